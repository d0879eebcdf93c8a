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

/// The keys of all offices, drawn from their numbers.
pub(super) struct Keys {
    is_real: bool,
    signing: BTreeMap<u32, SigningKey>,
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
    senders: &'a BTreeMap<u32, SigningKey>,
}

impl Recipient for Holder<'_> {
    fn office(&self) -> OfficeId {
        self.office
    }
    fn prekey(&self, id: &PrekeyId) -> Option<&PrekeySecret> {
        self.secret.filter(|secret| secret.public().id() == *id)
    }
    fn sender_key(&self, from: &OfficeId, key: &KeyId, _: u64, _: &Digest) -> Option<VerifyingKey> {
        let (_, own) = self.senders.iter().find(|(number, _)| office_id(**number) == *from)?;
        Some(own.verifying_key()).filter(|own| own.id() == *key)
    }
}

impl Keys {
    pub(super) fn new(offices: u32, is_real: bool) -> Self {
        let all = if is_real { offices } else { 0 };
        let signing = (0..all).map(|number| (number, SigningKey::from_seed(&secret(b"sign", number, 0)))).collect();
        Self { is_real, signing, prekeys: BTreeMap::new() }
    }

    fn prekey(&mut self, office: u32, week: u64) -> &PrekeySecret {
        self.prekeys.entry((office, week)).or_insert_with(|| PrekeySecret::from_seed(secret(b"prekey", office, week)))
    }

    /// Seals to the prekey of the sender's week.
    pub(super) fn seal(&mut self, letter: &Letter<'_>, rng: &mut impl CryptoRng) -> Option<Sealed> {
        let week = letter.created.ms() / WEEK_MS;
        let sealed = |hash, bytes, inner| Sealed {
            hash,
            id: letter.id,
            from: letter.from,
            to: letter.to,
            created: letter.created,
            expires: letter.expires,
            bytes,
            week,
            inner,
        };
        // The same number of draws in both suites, so that the story after is the same.
        let salt = rng.next_u64();
        if !self.is_real {
            let hash = sha256(&[letter.id.as_bytes(), &salt.to_be_bytes()]);
            return Some(sealed(hash, 5_361, Inner::Cheap(letter.content.clone())));
        }
        let key = self.signing.get(&letter.from)?.clone();
        let body = body_of(letter.content, &key);
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

    /// Opens a packet, if its key is still held then.
    pub(super) fn open(&mut self, packet: &Sealed, to: u32, now: Timestamp) -> Option<Content> {
        let this_week = now.ms() / WEEK_MS;
        if packet.to != to || this_week.saturating_sub(packet.week) >= HELD_WEEKS {
            return None;
        }
        match &packet.inner {
            Inner::Cheap(content) => Some(content.clone()),
            Inner::Real(bytes) => {
                self.prekey(to, packet.week);
                let holder = Holder {
                    office: office_id(to),
                    secret: self.prekeys.get(&(to, packet.week)),
                    senders: &self.signing,
                };
                let opened = envelope::open(bytes, packet.created.s(), &holder).ok()?;
                let body = Body::decode(opened.statement.kind, &opened.body).ok()?;
                content_of(body, &self.signing.get(&packet.from)?.verifying_key())
            }
        }
    }
}

fn body_of(content: &Content, key: &SigningKey) -> Body {
    let signed = |event: &Event| SignedEvent::sign(event, key);
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

fn content_of(body: Body, key: &VerifyingKey) -> Option<Content> {
    let read = |event: &SignedEvent| event.verify(key).ok().map(std::rc::Rc::new);
    Some(match body {
        Body::ReferralPreview { event, .. } => Content::Preview(read(&event)?),
        Body::ReferralFull { event, .. } => Content::Full(read(&event)?),
        Body::ReferralEvent(event) => Content::Event(read(&event)?),
        Body::ReadReceipt(receipt) => Content::Read(receipt.packet_hash),
        Body::StatisticsTable(_)
        | Body::Card(_)
        | Body::ConflictNames { .. }
        | Body::News(_)
        | Body::CapacityQuestion(_)
        | Body::CapacityAnswer(_) => return None,
    })
}
