//! The RP/1 envelope: what travels from one office to named others, by whatever road.
//!
//! ```text
//! packet    = u32be(len(header)) header STREAM(payload_key, plaintext)
//! header    = [1, suite, packet_id, expires_h, urgency, commitment, [[prekey_id, enc, wrapped]...], ext]
//! plaintext = u32be(len(statement)) statement signature[64] salt[32] u32be(len(body)) body zeros
//! ```
//!
//! **Guarantees.** Only a named recipient opens it; the recipient learns who signed it, for whom, in
//! which thread, when and until when; nobody can re-address it, strip or swap its signature, cut it,
//! or give two recipients different contents under one header (key commitment). What is signed is a
//! salted hash of the body: once body and salt are gone, the signature proves nothing about them.
//!
//! **Not guaranteed.** That the recipient keeps it to itself; that the time is true (the caller judges
//! it); that it was not seen before (the caller keeps that set). Size bucket, number of slots, urgency and
//! expiry are visible to a carrier.
//!
//! Every refusal looks alike from outside ([`Refused`]); its reason is for the local log.

use crate::hash::{Digest, sha256};
use crate::prekey::{Prekey, PrekeyId, PrekeySecret};
use crate::random::{self, CryptoRng};
use crate::schedule;
use crate::secret::Secret;
use crate::sign::{Context, KeyId, Signature, SigningKey, VerifyingKey};
use crate::stream;
use crate::wire::{self, Extensions};
use hpke::aead::ChaCha20Poly1305;
use hpke::kdf::HkdfSha256;
use hpke::kem::XWing;
use hpke::{Deserializable as _, OpModeR, OpModeS, Serializable as _};
use minicbor::{Decode, Encode};
use zeroize::Zeroizing;

byte_newtype!(
    /// An office, for ever: SHA-256 of its genesis statement.
    OfficeId, 32
);
byte_newtype!(
    /// One packet. Random; it stands in clear in the header.
    PacketId, 16
);
byte_newtype!(
    /// One conversation between two offices about one referral.
    ThreadId, 16
);

/// The version of this layout.
pub const VERSION: u8 = 1;
/// HPKE Base, X-Wing, HKDF-SHA256, ChaCha20-Poly1305.
pub const SUITE: u16 = 1;
/// A packet is at most this long; what is larger travels as a blob.
pub const PACKET_BYTES_MAX: usize = 240 * 1024;
/// How many offices one packet can be for.
pub const RECIPIENTS_MAX: usize = 8;
/// Smallest padded plaintext.
const PADDED_BYTES_MIN: usize = 4 * 1024;
/// Up to here plaintexts are padded to a power of two, above by Padmé (PURBs, 2019).
const PADDED_POWER_OF_TWO_MAX: usize = 64 * 1024;
const HEADER_BYTES_MAX: usize = 16 * 1024;
/// The header of a packet ends here at the latest: whoever asks for no more need not read on.
pub const HEADER_END_MAX: usize = 4 + HEADER_BYTES_MAX;
const ENCAPSULATED_BYTES: usize = 1120;
const WRAPPED_BYTES: usize = 48;

/// How soon a person should look. It stands in clear in the header, so that a locked node can say
/// "one urgent packet waits".
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
#[cbor(index_only)]
pub enum Urgency {
    /// Days.
    #[n(0)]
    Routine,
    /// A day.
    #[n(1)]
    Urgent,
    /// Hours.
    #[n(2)]
    Emergency,
}

/// One recipient's way into the packet.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
struct Slot {
    #[n(0)]
    prekey_id: PrekeyId,
    #[cbor(n(1), with = "minicbor::bytes")]
    encapsulated: Vec<u8>,
    #[cbor(n(2), with = "minicbor::bytes")]
    wrapped_key: Vec<u8>,
}

/// The part of a packet that a carrier can read.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Header {
    #[n(0)]
    version: u8,
    #[n(1)]
    suite: u16,
    /// Which packet this is.
    #[n(2)]
    pub packet_id: PacketId,
    /// Hours since 1970 after which nobody need keep or open it.
    #[n(3)]
    pub expires_h: u32,
    /// How soon a person should look.
    #[n(4)]
    pub urgency: Urgency,
    #[n(5)]
    commitment: Digest,
    #[n(6)]
    slots: Vec<Slot>,
    #[n(7)]
    ext: Extensions,
}

impl Header {
    /// Reads the header of a packet without any key, as a carrier or a locked node does.
    ///
    /// # Errors
    /// When the bytes are too long, too short, or no canonical header of this version.
    pub fn read(packet: &[u8]) -> Result<Self, Refused> {
        split(packet).map(|(header, _, _)| header)
    }

    /// Whether one of the slots is for this prekey.
    pub fn is_for(&self, prekey: &PrekeyId) -> bool {
        self.slots.iter().any(|slot| slot.prekey_id == *prekey)
    }
}

/// What the sender signs.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Statement {
    #[n(0)]
    version: u8,
    /// What kind of body follows; numbers are given in PROTOCOL.md.
    #[n(1)]
    pub kind: u16,
    #[n(2)]
    header_hash: Digest,
    /// As in the header.
    #[n(3)]
    pub packet_id: PacketId,
    /// Who sends.
    #[n(4)]
    pub from: OfficeId,
    /// Which of the sender's keys signs.
    #[n(5)]
    pub from_key: KeyId,
    /// Head of the sender's key log when it signed.
    #[n(6)]
    pub from_log_head: Digest,
    /// For whom, in the order of the slots.
    #[n(7)]
    pub to: Vec<OfficeId>,
    /// When it was made, seconds since 1970.
    #[n(8)]
    pub created_s: u64,
    /// As in the header.
    #[n(9)]
    pub expires_h: u32,
    /// Which conversation it belongs to.
    #[n(10)]
    pub thread: ThreadId,
    /// Hash of the sender's previous packet in the conversation, else zero.
    #[n(11)]
    pub previous: Digest,
    /// Hash of the consent under which a disclosure is made, else zero.
    #[n(12)]
    pub consent: Digest,
    /// The purpose of the consent, else zero.
    #[n(13)]
    pub purpose: u16,
    #[n(14)]
    body_hash: Digest,
    /// Hash and padded length of each attachment's ciphertext.
    #[n(15)]
    pub attachments: Vec<AttachmentMark>,
    #[n(16)]
    ext: Extensions,
}

/// One attachment as the statement names it. Its key stands in the body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct AttachmentMark {
    /// Hash of the ciphertext.
    #[n(0)]
    pub hash: Digest,
    /// Its length in bytes.
    #[n(1)]
    pub length: u64,
}

/// What a sender says of a packet; the rest of the statement follows from it.
#[derive(Debug, Clone)]
pub struct Draft<'a> {
    /// What kind of body this is.
    pub kind: u16,
    /// Which packet this is: random, drawn when the sending was decided.
    pub packet_id: PacketId,
    /// How soon a person should look.
    pub urgency: Urgency,
    /// Who sends.
    pub from: OfficeId,
    /// Head of the sender's key log.
    pub from_log_head: Digest,
    /// For whom, each with the prekey of the week.
    pub to: Vec<(OfficeId, Prekey)>,
    /// Now, seconds since 1970.
    pub created_s: u64,
    /// Hours since 1970 after which nobody need keep or open it.
    pub expires_h: u32,
    /// Which conversation it belongs to.
    pub thread: ThreadId,
    /// Hash of the sender's previous packet in the conversation, else zero.
    pub previous: Digest,
    /// Hash of the consent, else zero.
    pub consent: Digest,
    /// The purpose of the consent, else zero.
    pub purpose: u16,
    /// The body.
    pub body: &'a [u8],
    /// Attachments that belong to it.
    pub attachments: Vec<AttachmentMark>,
}

/// Why a packet cannot be built.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// No recipient, or more than [`RECIPIENTS_MAX`].
    #[error("a packet has 1 to {RECIPIENTS_MAX} recipients, not {0}")]
    Recipients(usize),
    /// A recipient's prekey is no key.
    #[error("a recipient's prekey is no key")]
    Prekey,
    /// The body does not fit.
    #[error("the packet would be {actual} bytes, more than {PACKET_BYTES_MAX}; send the largest parts as attachments")]
    TooLong {
        /// How long it would be.
        actual: usize,
    },
}

/// A packet that opened and verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opened {
    /// What the sender signed.
    pub statement: Statement,
    /// The body.
    pub body: Zeroizing<Vec<u8>>,
    /// SHA-256 of the whole packet: what receipts name.
    pub packet_hash: Digest,
}

/// The packet was refused. It always reads the same; [`Refused::reason`] is for the local log.
#[derive(Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the packet was refused")]
pub struct Refused(Reason);

impl Refused {
    /// Why, for the local log only.
    pub fn reason(&self) -> Reason {
        self.0
    }
}

impl std::fmt::Debug for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Refused")
    }
}

/// Why a packet was refused. Never told to a peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// Longer than a packet can be.
    TooLong,
    /// No canonical header of a version that we know.
    Header,
    /// Its time is over.
    Expired,
    /// No slot is for a key that we hold.
    NoSlot,
    /// The slot does not open or holds another key than the header commits to.
    Slot,
    /// The payload does not open.
    Payload,
    /// The plaintext has not the layout it must have.
    Layout,
    /// The sender, or its key, is not known or not valid then.
    Sender,
    /// The signature is not the sender's.
    Signature,
    /// The statement contradicts header, body or address.
    Contradiction,
}

/// What a recipient knows when it opens packets.
pub trait Recipient {
    /// Who we are.
    fn office(&self) -> OfficeId;
    /// The secret half of one of our prekeys, unless it is destroyed or never was ours.
    fn prekey(&self, id: &PrekeyId) -> Option<&PrekeySecret>;
    /// The sender's key of that name, if it was the sender's at that time (seconds since 1970) and the
    /// log head the packet names is one that we can follow.
    fn sender_key(&self, from: &OfficeId, key: &KeyId, created_s: u64, log_head: &Digest) -> Option<VerifyingKey>;
}

/// Signs and seals a packet.
///
/// # Errors
/// When there are no or too many recipients, a prekey is broken, or the body is too long.
pub fn seal(draft: &Draft<'_>, key: &SigningKey, rng: &mut impl CryptoRng) -> Result<Vec<u8>, SealError> {
    if draft.to.is_empty() || draft.to.len() > RECIPIENTS_MAX {
        return Err(SealError::Recipients(draft.to.len()));
    }
    let content_key = Secret::random(rng);
    let mut slots = Vec::with_capacity(draft.to.len().next_power_of_two());
    for (_, prekey) in &draft.to {
        slots.push(seal_slot(draft.packet_id, prekey, &content_key, rng)?);
    }
    while !slots.len().is_power_of_two() {
        let nobody = PrekeySecret::random(rng);
        slots.push(seal_slot(draft.packet_id, nobody.public(), &content_key, rng)?);
    }
    let header = wire::encode(&Header {
        version: VERSION,
        suite: SUITE,
        packet_id: draft.packet_id,
        expires_h: draft.expires_h,
        urgency: draft.urgency,
        commitment: commitment(&content_key, draft.packet_id),
        slots,
        ext: Extensions::default(),
    });
    let header_hash = sha256(&[&header]);
    let salt: [u8; 32] = random::array(rng);
    let statement = wire::encode(&Statement {
        version: VERSION,
        kind: draft.kind,
        header_hash,
        packet_id: draft.packet_id,
        from: draft.from,
        from_key: key.verifying_key().id(),
        from_log_head: draft.from_log_head,
        to: draft.to.iter().map(|(office, _)| *office).collect(),
        created_s: draft.created_s,
        expires_h: draft.expires_h,
        thread: draft.thread,
        previous: draft.previous,
        consent: draft.consent,
        purpose: draft.purpose,
        body_hash: sha256(&[&salt, draft.body]),
        attachments: draft.attachments.clone(),
        ext: Extensions::default(),
    });
    let signature = key.sign(Context::PacketStatement, &statement);

    let mut plaintext = Zeroizing::new(Vec::with_capacity(padded_length(draft.body.len() + statement.len() + 128)));
    push_sized(&mut plaintext, &statement);
    plaintext.extend_from_slice(signature.as_bytes());
    plaintext.extend_from_slice(&salt);
    push_sized(&mut plaintext, draft.body);
    let padded = padded_length(plaintext.len());
    plaintext.resize(padded, 0);

    let mut packet = Vec::with_capacity(4 + header.len() + plaintext.len() + 64);
    push_sized(&mut packet, &header);
    packet.extend(stream::seal(&payload_key(&content_key, &header_hash), &plaintext));
    if packet.len() > PACKET_BYTES_MAX {
        return Err(SealError::TooLong { actual: packet.len() });
    }
    Ok(packet)
}

/// Opens and verifies a packet, in the order that lets the least be learned or spent: size, header,
/// expiry, slot, commitment, payload, sender, signature, address, body.
///
/// # Errors
/// [`Refused`], always alike.
pub fn open(packet: &[u8], now_s: u64, recipient: &impl Recipient) -> Result<Opened, Refused> {
    let (header, header_bytes, payload) = split(packet)?;
    let refuse = |reason| Err(Refused(reason));
    if u64::from(header.expires_h) < now_s / 3600 {
        return refuse(Reason::Expired);
    }
    let Some((slot, prekey)) =
        header.slots.iter().find_map(|slot| recipient.prekey(&slot.prekey_id).map(|prekey| (slot, prekey)))
    else {
        return refuse(Reason::NoSlot);
    };
    let content_key = open_slot(header.packet_id, slot, prekey).ok_or(Refused(Reason::Slot))?;
    if !crate::token::equal(commitment(&content_key, header.packet_id).as_bytes(), header.commitment.as_bytes()) {
        return refuse(Reason::Slot);
    }
    let header_hash = sha256(&[header_bytes]);
    let plaintext =
        stream::open(&payload_key(&content_key, &header_hash), payload).map_err(|_| Refused(Reason::Payload))?;

    let parts = Parts::read(&plaintext).ok_or(Refused(Reason::Layout))?;
    let statement: Statement = wire::decode(parts.statement).map_err(|_| Refused(Reason::Layout))?;
    let Some(sender) =
        recipient.sender_key(&statement.from, &statement.from_key, statement.created_s, &statement.from_log_head)
    else {
        return refuse(Reason::Sender);
    };
    sender
        .verify(Context::PacketStatement, parts.statement, &parts.signature)
        .map_err(|_| Refused(Reason::Signature))?;
    let agrees = statement.version == VERSION
        && statement.header_hash == header_hash
        && statement.packet_id == header.packet_id
        && statement.expires_h == header.expires_h
        && statement.to.len() <= RECIPIENTS_MAX
        && statement.ext.is_bounded()
        && statement.to.contains(&recipient.office())
        && statement.body_hash == sha256(&[parts.salt, parts.body]);
    if !agrees {
        return refuse(Reason::Contradiction);
    }
    Ok(Opened { statement, body: Zeroizing::new(parts.body.to_vec()), packet_hash: sha256(&[packet]) })
}

/// SHA-256 of a packet: the name under which receipts and carriers know these very bytes.
pub fn packet_hash(packet: &[u8]) -> Digest {
    sha256(&[packet])
}

fn seal_slot(
    packet_id: PacketId,
    prekey: &Prekey,
    content_key: &Secret,
    rng: &mut impl CryptoRng,
) -> Result<Slot, SealError> {
    let public = prekey.hpke().map_err(|_| SealError::Prekey)?;
    let prekey_id = prekey.id();
    let (encapsulated, wrapped_key) = hpke::single_shot_seal_with_rng::<ChaCha20Poly1305, HkdfSha256, XWing>(
        &OpModeS::Base,
        &public,
        &slot_info(packet_id, prekey_id),
        content_key.expose(),
        b"",
        rng,
    )
    .map_err(|_| SealError::Prekey)?;
    Ok(Slot { prekey_id, encapsulated: encapsulated.to_bytes().to_vec(), wrapped_key })
}

fn open_slot(packet_id: PacketId, slot: &Slot, prekey: &PrekeySecret) -> Option<Secret> {
    let secret = prekey.hpke().ok()?;
    let encapsulated = <XWing as hpke::Kem>::EncappedKey::from_bytes(&slot.encapsulated).ok()?;
    let opened = Zeroizing::new(
        hpke::single_shot_open::<ChaCha20Poly1305, HkdfSha256, XWing>(
            &OpModeR::Base,
            &secret,
            &encapsulated,
            &slot_info(packet_id, slot.prekey_id),
            &slot.wrapped_key,
            b"",
        )
        .ok()?,
    );
    Secret::from_slice(&opened)
}

fn slot_info(packet_id: PacketId, prekey_id: PrekeyId) -> Vec<u8> {
    [schedule::PACKET_SLOT, packet_id.as_bytes(), prekey_id.as_bytes()].concat()
}

fn commitment(content_key: &Secret, packet_id: PacketId) -> Digest {
    Digest::new(*schedule::derive(content_key, packet_id.as_bytes(), schedule::PACKET_COMMITMENT).expose())
}

fn payload_key(content_key: &Secret, header_hash: &Digest) -> Secret {
    schedule::derive(content_key, header_hash.as_bytes(), schedule::PACKET_PAYLOAD)
}

/// Header, its bytes, payload.
fn split(packet: &[u8]) -> Result<(Header, &[u8], &[u8]), Refused> {
    if packet.len() > PACKET_BYTES_MAX {
        return Err(Refused(Reason::TooLong));
    }
    let (bytes, payload) = take_sized(packet).ok_or(Refused(Reason::Header))?;
    if bytes.len() > HEADER_BYTES_MAX {
        return Err(Refused(Reason::Header));
    }
    let header: Header = wire::decode(bytes).map_err(|_| Refused(Reason::Header))?;
    let well_formed = header.version == VERSION
        && header.suite == SUITE
        && header.slots.len().is_power_of_two()
        && header.slots.len() <= RECIPIENTS_MAX
        && header.ext.is_bounded()
        && header
            .slots
            .iter()
            .all(|slot| slot.encapsulated.len() == ENCAPSULATED_BYTES && slot.wrapped_key.len() == WRAPPED_BYTES);
    if well_formed { Ok((header, bytes, payload)) } else { Err(Refused(Reason::Header)) }
}

/// The parts of an opened plaintext.
struct Parts<'a> {
    statement: &'a [u8],
    signature: Signature,
    salt: &'a [u8],
    body: &'a [u8],
}

impl<'a> Parts<'a> {
    fn read(plaintext: &'a [u8]) -> Option<Self> {
        let (statement, rest) = take_sized(plaintext)?;
        let (signature, rest) = rest.split_at_checked(Signature::LENGTH)?;
        let (salt, rest) = rest.split_at_checked(32)?;
        let (body, padding) = take_sized(rest)?;
        let padded_right =
            padding.iter().all(|byte| *byte == 0) && padded_length(plaintext.len() - padding.len()) == plaintext.len();
        padded_right.then_some(Self { statement, signature: Signature::from_slice(signature)?, salt, body })
    }
}

fn push_sized(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(&u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_be_bytes());
    out.extend_from_slice(bytes);
}

fn take_sized(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    rest.split_at_checked(usize::try_from(u32::from_be_bytes(*length)).ok()?)
}

/// The bucket that a plaintext of `length` bytes is padded to.
fn padded_length(length: usize) -> usize {
    if length <= PADDED_POWER_OF_TWO_MAX {
        return length.next_power_of_two().max(PADDED_BYTES_MIN);
    }
    let exponent = length.ilog2();
    let mantissa_bits = exponent.ilog2() + 1;
    let mask = (1usize << (exponent - mantissa_bits)) - 1;
    (length + mask) & !mask
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use rand_chacha::ChaCha20Rng;
    use rand_chacha::rand_core::SeedableRng as _;

    pub(crate) const NOW_S: u64 = 1_795_000_000;
    const EXPIRES_H: u32 = 498_635;

    /// An office that knows one sender.
    pub(crate) struct Office {
        id: OfficeId,
        prekey: PrekeySecret,
        sender: (OfficeId, VerifyingKey),
    }

    impl Recipient for Office {
        fn office(&self) -> OfficeId {
            self.id
        }
        fn prekey(&self, id: &PrekeyId) -> Option<&PrekeySecret> {
            (self.prekey.public().id() == *id).then_some(&self.prekey)
        }
        fn sender_key(&self, from: &OfficeId, key: &KeyId, _: u64, _: &Digest) -> Option<VerifyingKey> {
            (self.sender.0 == *from && self.sender.1.id() == *key).then_some(self.sender.1)
        }
    }

    struct World {
        sender: SigningKey,
        sender_id: OfficeId,
        offices: Vec<Office>,
        rng: ChaCha20Rng,
    }

    fn world(recipients: u8) -> World {
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        let sender = SigningKey::random(&mut rng);
        let sender_id = OfficeId::new([0xa1; 32]);
        let offices = (0..recipients)
            .map(|i| Office {
                id: OfficeId::new([0xb0 + i; 32]),
                prekey: PrekeySecret::random(&mut rng),
                sender: (sender_id, sender.verifying_key()),
            })
            .collect();
        World { sender, sender_id, offices, rng }
    }

    impl World {
        fn draft<'a>(&self, body: &'a [u8]) -> Draft<'a> {
            Draft {
                kind: 1,
                packet_id: PacketId::new([9; 16]),
                urgency: Urgency::Urgent,
                from: self.sender_id,
                from_log_head: Digest::ZERO,
                to: self.offices.iter().map(|office| (office.id, office.prekey.public().clone())).collect(),
                created_s: NOW_S,
                expires_h: EXPIRES_H,
                thread: ThreadId::new([4; 16]),
                previous: Digest::ZERO,
                consent: Digest::ZERO,
                purpose: 0,
                body,
                attachments: vec![],
            }
        }

        fn seal(&mut self, body: &[u8]) -> Vec<u8> {
            let draft = self.draft(body);
            seal(&draft, &self.sender, &mut self.rng).unwrap()
        }
    }

    #[test]
    fn every_recipient_opens_and_learns_who_signed() {
        for recipients in [1, 2, 3, 5, 8] {
            let mut world = world(recipients);
            let packet = world.seal(b"a referral");
            assert_eq!(Header::read(&packet).unwrap().slots.len(), usize::from(recipients).next_power_of_two());
            for office in &world.offices {
                let opened = open(&packet, NOW_S, office).unwrap();
                assert_eq!(opened.body.as_slice(), b"a referral");
                assert_eq!(opened.statement.from, world.sender_id);
                assert_eq!(opened.packet_hash, packet_hash(&packet));
            }
        }
    }

    #[test]
    fn every_flipped_bit_is_refused_alike() {
        let mut world = world(1);
        let packet = world.seal(b"a referral");
        let office = &world.offices[0];
        for bit in 0..packet.len() * 8 {
            let mut damaged = packet.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            // Most flips are refused before any key is used; one in sixteen of the others is opened for real.
            if bit > 12_000 && bit % 16 != 3 {
                continue;
            }
            let refused = open(&damaged, NOW_S, office).expect_err("flipped bit");
            assert_eq!(format!("{refused} {refused:?}"), "the packet was refused Refused");
        }
    }

    #[test]
    fn every_flipped_bit_of_the_payload_is_refused() {
        let mut world = world(1);
        let packet = world.seal(b"a referral");
        let (header, header_bytes, payload) = split(&packet).unwrap();
        let key = open_slot(header.packet_id, &header.slots[0], &world.offices[0].prekey).unwrap();
        let key = payload_key(&key, &sha256(&[header_bytes]));
        for bit in 0..payload.len() * 8 {
            let mut damaged = payload.to_vec();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(stream::open(&key, &damaged).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn every_truncation_is_refused_alike() {
        let mut world = world(1);
        let packet = world.seal(b"a referral");
        for end in 0..packet.len() {
            let refused = open(&packet[..end], NOW_S, &world.offices[0]).expect_err("truncated");
            assert_eq!(refused.to_string(), "the packet was refused");
        }
        assert!(open(&[packet.as_slice(), &[0]].concat(), NOW_S, &world.offices[0]).is_err());
    }

    #[test]
    fn a_packet_for_somebody_else_or_past_its_time_is_refused() {
        let mut world = world(2);
        let only_first = {
            let mut draft = world.draft(b"x");
            draft.to.truncate(1);
            seal(&draft, &world.sender, &mut world.rng).unwrap()
        };
        assert_eq!(open(&only_first, NOW_S, &world.offices[1]).unwrap_err().reason(), Reason::NoSlot);
        assert_eq!(open(&only_first, NOW_S + 26 * 3600, &world.offices[0]).unwrap_err().reason(), Reason::Expired);
    }

    #[test]
    fn a_recipient_cannot_forward_it_as_if_it_were_for_another() {
        // B opens what A sent to B, and seals the same signed statement and body to C.
        let mut world = world(2);
        let to_b = {
            let mut draft = world.draft(b"x");
            draft.to.truncate(1);
            seal(&draft, &world.sender, &mut world.rng).unwrap()
        };
        let (header, header_bytes, payload) = split(&to_b).unwrap();
        let key = open_slot(header.packet_id, &header.slots[0], &world.offices[0].prekey).unwrap();
        let plaintext = stream::open(&payload_key(&key, &sha256(&[header_bytes])), payload).unwrap();
        let c = &world.offices[1];
        let slot = seal_slot(header.packet_id, c.prekey.public(), &key, &mut world.rng).unwrap();
        let forged_header = wire::encode(&Header { slots: vec![slot], ..header });
        let mut forged = Vec::new();
        push_sized(&mut forged, &forged_header);
        forged.extend(stream::seal(&payload_key(&key, &sha256(&[&forged_header])), &plaintext));
        assert_eq!(open(&forged, NOW_S, c).unwrap_err().reason(), Reason::Contradiction);
    }

    #[test]
    fn an_unknown_sender_or_another_key_is_refused() {
        let mut world = world(1);
        let stranger = SigningKey::random(&mut world.rng);
        let draft = world.draft(b"x");
        let packet = seal(&draft, &stranger, &mut world.rng).unwrap();
        assert_eq!(open(&packet, NOW_S, &world.offices[0]).unwrap_err().reason(), Reason::Sender);
    }

    #[test]
    fn sizes_say_only_the_bucket() {
        let mut world = world(1);
        let lengths: Vec<usize> = [0, 10, 1000, 3000].iter().map(|n| world.seal(&vec![b'x'; *n]).len()).collect();
        assert!(lengths.windows(2).all(|pair| pair[0] == pair[1]), "{lengths:?}");
        assert_eq!(padded_length(4096), 4096);
        assert_eq!(padded_length(4097), 8192);
        assert_eq!(padded_length(65_537), 67_584);
        for length in (65_537..1_000_000).step_by(4099) {
            let padded = padded_length(length);
            assert!(padded >= length && (padded - length) * 1000 < length * 35, "{length} -> {padded}");
        }
    }

    #[test]
    fn too_long_or_too_many_is_said_before_sealing() {
        let mut world = world(1);
        let body = vec![0; PACKET_BYTES_MAX];
        let draft = world.draft(&body);
        assert!(matches!(seal(&draft, &world.sender, &mut world.rng), Err(SealError::TooLong { .. })));
        let mut nobody = world.draft(b"x");
        nobody.to.clear();
        assert_eq!(seal(&nobody, &world.sender, &mut world.rng), Err(SealError::Recipients(0)));
    }

    #[test]
    fn golden_packet_does_not_change() {
        let mut world = world(1);
        let packet = world.seal(b"golden");
        assert_eq!(packet.len(), 5361);
        assert_eq!(packet_hash(&packet).to_string(), GOLDEN_ONE);
        let mut world = self::world(3);
        let packet = world.seal(b"golden for three");
        assert_eq!(packet_hash(&packet).to_string(), GOLDEN_THREE);
    }

    const GOLDEN_ONE: &str = "efef2d92cc34991acb6c681e724def5e84aa57a40e8e25b1f3f086ed4244eec8";
    const GOLDEN_THREE: &str = "425f84749d0559328e7465a172d6ac0a9fa45a66e44aa2668f6878a0a2dc8623";
}
