//! Sealing in a simulation: the real envelope, or a cheap stand-in that keeps its rules about keys and identities.

use super::office::Content;
use crate::bounded::Text;
use crate::id::{OfficeId, PacketId, ThreadId};
use crate::packet::{Body, Full, Preview, ReadReceipt};
use crate::referral::{Event, SignedEvent};
use crate::template::Template;
use crate::terms::{Code, Line};
use crate::time::Timestamp;
use casemesh_crypto::envelope::{self, Draft, Recipient, Urgency};
use casemesh_crypto::hash::{Digest, sha256};
use casemesh_crypto::prekey::{PrekeyId, PrekeySecret};
use casemesh_crypto::random::CryptoRng;
use casemesh_crypto::secret::Secret;
use casemesh_crypto::sign::{KeyId, SigningKey, VerifyingKey};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng as _;
use std::collections::BTreeMap;

const WEEK_MS: u64 = 7 * 86_400_000;
/// A prekey is sealed to for its week, and opened until no packet for it lives.
const HELD_WEEKS: u64 = 1 + 1 + 5;
/// All have heard of another's new keys after so long: they come by a registrar, or in a file.
const NEWS_WITHIN_MS: u64 = 3 * 86_400_000;

/// A sealed packet on its way.
#[derive(Debug)]
pub(super) struct Sealed {
    pub(super) hash: Digest,
    pub(super) id: PacketId,
    pub(super) from: u32,
    pub(super) to: u32,
    pub(super) created: Timestamp,
    pub(super) expires: Timestamp,
    pub(super) bytes: u64,
    week: u64,
    /// The how many-th key of its office signed it.
    generation: usize,
    inner: Inner,
}

#[derive(Debug)]
enum Inner {
    Cheap(Content),
    Real(Vec<u8>),
}

/// What is sealed.
pub(super) struct Letter<'a> {
    pub(super) id: PacketId,
    pub(super) from: u32,
    pub(super) to: u32,
    pub(super) created: Timestamp,
    pub(super) expires: Timestamp,
    pub(super) content: &'a Content,
}

/// Why a packet does not open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unopened {
    /// Its office changed keys, and the news are not here yet.
    Early,
    /// Nothing will open it any more.
    Aside,
}

/// When an office changed its keys.
#[derive(Debug, Clone, Copy)]
struct Rotation {
    /// By the true time.
    at: Timestamp,
    /// By the office's own clock, as its key log has it.
    said: Timestamp,
}

/// The keys of all offices, drawn from their numbers.
pub(super) struct Keys {
    is_real: bool,
    rotations: Vec<Vec<Rotation>>,
    prekeys: BTreeMap<(u32, u64), PrekeySecret>,
}

pub(super) fn office_id(number: u32) -> OfficeId {
    OfficeId::new(*sha256(&[b"office", &number.to_be_bytes()]).as_bytes())
}

fn secret(label: &[u8], number: u32, week: u64) -> Secret {
    Secret::new(*sha256(&[label, &number.to_be_bytes(), &week.to_be_bytes()]).as_bytes())
}

/// The preview that goes with every referral of a simulation.
pub(super) fn preview() -> Preview {
    Preview::asking(service(), Template::ContactOnly, Timestamp::default())
}

pub(super) fn service() -> Code {
    Code { list: Text::cut("service_type"), version: 1, code: Text::cut("safe_house"), label: Line::cut("Safe house") }
}

struct Holder<'a> {
    office: OfficeId,
    secret: Option<&'a PrekeySecret>,
    sender: (u32, &'a SigningKey),
}

impl Recipient for Holder<'_> {
    fn office(&self) -> OfficeId {
        self.office
    }
    fn prekey(&self, id: &PrekeyId) -> Option<&PrekeySecret> {
        self.secret.filter(|secret| secret.public().id() == *id)
    }
    fn sender_key(&self, from: &OfficeId, key: &KeyId, _: u64, _: &Digest) -> Option<VerifyingKey> {
        let (number, key_of_sender) = self.sender;
        let own = key_of_sender.verifying_key();
        (office_id(number) == *from && own.id() == *key).then_some(own)
    }
}

impl Keys {
    pub(super) fn new(offices: u32, is_real: bool) -> Self {
        Self { is_real, rotations: vec![Vec::new(); offices as usize], prekeys: BTreeMap::new() }
    }

    fn rotations(&self, office: u32) -> &[Rotation] {
        self.rotations.get(office as usize).map_or(&[], Vec::as_slice)
    }

    /// The office changes its keys. What is sealed to the old prekeys still opens.
    pub(super) fn rotate(&mut self, office: u32, at: Timestamp, said: Timestamp) {
        if let Some(rotations) = self.rotations.get_mut(office as usize) {
            rotations.push(Rotation { at, said });
        }
    }

    /// How many of an office's changes another, or a hub, has heard of: of each after a while of its own.
    fn heard(&self, who: u32, of: u32, now: Timestamp) -> usize {
        let after = |change: usize| {
            let mark = sha256(&[b"news", &who.to_be_bytes(), &of.to_be_bytes(), &change.to_be_bytes()]);
            let [one, two, ..] = *mark.as_bytes();
            u64::from(u16::from_be_bytes([one, two])) * NEWS_WITHIN_MS / 65_536
        };
        let is_heard = |(change, rotation): &(usize, &Rotation)| rotation.at.plus_ms(after(*change)) <= now;
        self.rotations(of).iter().enumerate().take_while(is_heard).count()
    }

    /// Whether one knows the machine and the keys that the other has now.
    pub(super) fn knows(&self, who: u32, of: u32, now: Timestamp) -> bool {
        self.rotations(of).is_empty() || self.heard(who, of, now) == self.rotations(of).len()
    }

    fn signing(office: u32, generation: usize) -> SigningKey {
        SigningKey::from_seed(&secret(b"sign", office, generation as u64))
    }

    /// The key that was the office's when it said so.
    fn generation_at(&self, office: u32, said: Timestamp) -> usize {
        self.rotations(office).iter().filter(|rotation| rotation.said <= said).count()
    }

    fn prekey(&mut self, office: u32, week: u64) -> &PrekeySecret {
        self.prekeys.entry((office, week)).or_insert_with(|| PrekeySecret::from_seed(secret(b"prekey", office, week)))
    }

    /// Seals to the prekey of the sender's week.
    pub(super) fn seal(&mut self, letter: &Letter<'_>, rng: &mut impl CryptoRng) -> Option<Sealed> {
        let week = letter.created.ms() / WEEK_MS;
        let generation = self.rotations(letter.from).len();
        let sealed = |hash, bytes, inner| Sealed {
            hash,
            id: letter.id,
            from: letter.from,
            to: letter.to,
            created: letter.created,
            expires: letter.expires,
            bytes,
            week,
            generation,
            inner,
        };
        // The same number of draws in both suites, so that the story after is the same.
        let salt = rng.next_u64();
        if !self.is_real {
            let hash = sha256(&[letter.id.as_bytes(), &salt.to_be_bytes()]);
            return Some(sealed(hash, 5_361, Inner::Cheap(letter.content.clone())));
        }
        let key = Self::signing(letter.from, generation);
        let body = self.body_of(letter.content, letter.from);
        let prekey = self.prekey(letter.to, week).public().clone();
        let draft = Draft {
            kind: body.kind().number(),
            packet_id: letter.id,
            urgency: Urgency::Routine,
            from: office_id(letter.from),
            from_log_head: Digest::ZERO,
            to: vec![(office_id(letter.to), prekey)],
            created_s: letter.created.s(),
            expires_h: letter.expires.h() + 1,
            thread: ThreadId::new([0; 16]),
            previous: Digest::ZERO,
            consent: Digest::ZERO,
            purpose: 0,
            body: &body.encode(),
            attachments: Vec::new(),
        };
        let packet = envelope::seal(&draft, &key, &mut ChaCha8Rng::seed_from_u64(salt)).ok()?;
        let hash = sha256(&[letter.id.as_bytes(), &salt.to_be_bytes()]);
        Some(sealed(hash, 5_361, Inner::Real(packet)))
    }

    /// Opens a packet, if its key is still held then, and the sender's is known.
    pub(super) fn open(
        &mut self,
        packet: &Sealed,
        to: u32,
        (now, clock): (Timestamp, Timestamp),
    ) -> Result<Content, Unopened> {
        let this_week = clock.ms() / WEEK_MS;
        if packet.to != to || this_week.saturating_sub(packet.week) >= HELD_WEEKS {
            return Err(Unopened::Aside);
        }
        let heard = self.heard(to, packet.from, now);
        // A key is good from a day before its office says: clocks are set right.
        let rotations = self.rotations(packet.from);
        let since = packet.generation.checked_sub(1).and_then(|before| rotations.get(before));
        let until = rotations.get(packet.generation).filter(|_| heard > packet.generation);
        let is_good = since.is_none_or(|rotation| rotation.said <= packet.created.plus_days(1))
            && until.is_none_or(|rotation| packet.created < rotation.said);
        if packet.generation > heard || !is_good {
            return Err(Unopened::Early);
        }
        match &packet.inner {
            Inner::Cheap(content) => Ok(content.clone()),
            Inner::Real(bytes) => {
                self.prekey(to, packet.week);
                let key = Self::signing(packet.from, packet.generation);
                let holder = Holder {
                    office: office_id(to),
                    secret: self.prekeys.get(&(to, packet.week)),
                    sender: (packet.from, &key),
                };
                let opened = envelope::open(bytes, packet.created.s(), &holder).map_err(|_| Unopened::Aside)?;
                let body = Body::decode(opened.statement.kind, &opened.body).map_err(|_| Unopened::Aside)?;
                // An event can be older than the key of the packet that brings it.
                let keys: Vec<VerifyingKey> =
                    (0..=heard).map(|generation| Self::signing(packet.from, generation).verifying_key()).collect();
                content_of(body, &keys).ok_or(Unopened::Aside)
            }
        }
    }

    fn body_of(&self, content: &Content, office: u32) -> Body {
        let signed =
            |event: &Event| SignedEvent::sign(event, &Self::signing(office, self.generation_at(office, event.at)));
        match content {
            Content::Preview(event) => Body::ReferralPreview { event: signed(event), preview: Box::new(preview()) },
            Content::Full(event) => Body::ReferralFull { event: signed(event), full: Full::default() },
            Content::Event(event) => Body::ReferralEvent(signed(event)),
            Content::Read(packet) => Body::ReadReceipt(ReadReceipt {
                packet_hash: *packet,
                packet_id: PacketId::new([0; 16]),
                opened: Timestamp::default(),
            }),
        }
    }
}

fn content_of(body: Body, keys: &[VerifyingKey]) -> Option<Content> {
    let key = |event: &SignedEvent| keys.iter().find(|key| key.id() == event.key);
    let read = |event: &SignedEvent| event.verify(key(event)?).ok().map(std::rc::Rc::new);
    Some(match body {
        Body::ReferralPreview { event, .. } => Content::Preview(read(&event)?),
        Body::ReferralFull { event, .. } => Content::Full(read(&event)?),
        Body::ReferralEvent(event) => Content::Event(read(&event)?),
        Body::ReadReceipt(receipt) => Content::Read(receipt.packet_hash),
        Body::StatisticsTable(_)
        | Body::Tally(_)
        | Body::Card(_)
        | Body::ConflictNames { .. }
        | Body::News(_)
        | Body::CapacityQuestion(_)
        | Body::CapacityAnswer(_)
        | Body::SampleQuestion(_)
        | Body::SampleAnswer(_)
        | Body::Proposal(_)
        | Body::Comment(_)
        | Body::HeldFull(_) => return None,
    })
}
