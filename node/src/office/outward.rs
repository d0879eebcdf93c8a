//! What leaves: an event of ours is numbered, signed, held and put into the outbox as one step of a command, alone or with what it
//! discloses.

use super::DeskError;
use crate::keys::Keys;
use crate::records::{Counters, Facts, HeldEvent, Outbox, OutboxState, Referral, SETTINGS_ID};
use crate::vault::{Record, Tx};
use casemesh_crypto::random::os_rng;
use casemesh_crypto::shred::KeyHandle;
use casemesh_protocol::consent::Permit;
use casemesh_protocol::delivery::Resends;
use casemesh_protocol::id::{EventId, OfficeId, PacketId, RecordId, StoreEpoch, ThreadId};
use casemesh_protocol::limits::PACKET_LIFETIME_HOURS;
use casemesh_protocol::outgoing::{Control, Disclosure, Grant, Outgoing, Release, Reply};
use casemesh_protocol::packet::{Body, Full, Kind as PacketKind};
use casemesh_protocol::referral::{IllegalStep, Side, SignedEvent, Step, Thread};
use casemesh_protocol::template::Template;
use casemesh_protocol::terms::Purpose;
use casemesh_protocol::time::Timestamp;

/// Something that leaves, with what the outbox must know of it.
pub(super) struct Outward {
    outgoing: Outgoing,
    thread: ThreadId,
    referral: Option<RecordId>,
    consent: Option<(RecordId, RecordId)>,
    subjects: Vec<KeyHandle>,
    urgency: u8,
    not_before: Option<Timestamp>,
    held: Option<(OfficeId, Timestamp)>,
}

impl Outward {
    pub(super) fn new(outgoing: Outgoing, referral: &Referral) -> Self {
        let discloses = matches!(outgoing, Outgoing::Disclosure(_));
        Self {
            outgoing,
            thread: referral.thread,
            referral: Some(referral.id),
            consent: if discloses { referral.client.zip(referral.consent) } else { None },
            subjects: vec![referral.key],
            urgency: referral.urgency,
            not_before: None,
            held: None,
        }
    }

    /// Marks which of several that go to everybody it is.
    pub(super) fn marked(mut self, mark: ThreadId) -> Self {
        self.thread = mark;
        self
    }

    /// It does not leave before that.
    pub(super) fn not_before(mut self, at: Option<Timestamp>) -> Self {
        self.not_before = at;
        self
    }

    /// It waits at that hub until its recipient accepted, and no longer than the consent holds.
    pub(super) fn held_at(mut self, hub: OfficeId, consent_expires: Timestamp) -> Self {
        self.held = Some((hub, consent_expires));
        self
    }

    pub(super) fn control(control: Control) -> Self {
        Self {
            outgoing: Outgoing::Control(control),
            thread: ThreadId::new([0; 16]),
            referral: None,
            consent: None,
            subjects: Vec::new(),
            urgency: 0,
            not_before: None,
            held: None,
        }
    }

    /// Puts it into the outbox, inside a command.
    pub(super) fn queue(self, tx: &mut Tx<'_>) -> Result<(), DeskError> {
        self.queue_row(tx).map(drop)
    }

    /// Puts it into the outbox, inside a command: its row.
    pub(super) fn queue_row(self, tx: &mut Tx<'_>) -> Result<RecordId, DeskError> {
        let body = self.outgoing.body();
        let (evidence, purpose) = self.outgoing.consent();
        let lifetime = tx.now().plus_ms(u64::from(PACKET_LIFETIME_HOURS) * 3_600_000);
        let id = tx.fresh_id();
        tx.insert(&Outbox {
            id,
            to: self.outgoing.to(),
            packet_id: PacketId::random(&mut os_rng()),
            kind: body.kind().number(),
            body: body.encode(),
            thread: self.thread,
            referral: self.referral,
            consent: self.consent,
            purpose: Purpose::ALL.iter().copied().find(|known| known.number() == purpose),
            evidence,
            subjects: self.subjects,
            state: OutboxState::Waiting,
            packet_hash: None,
            expires: self.held.map_or(lifetime, |(_, until)| lifetime.min(until)),
            urgency: self.urgency,
            problem: None,
            facts: Facts::default(),
            bytes: 0,
            not_before: self.not_before,
            resends: Resends::default(),
            held_at: self.held.map(|(hub, _)| hub),
            claim: None,
        })?;
        Ok(id)
    }
}

/// The next event of our side, with the number that this store gives it.
pub(super) fn next_event(
    tx: &mut Tx<'_>,
    keys: &Keys,
    thread_id: ThreadId,
    side: Side,
    thread: &Thread,
    step: Step,
) -> Result<SignedEvent, DeskError> {
    let mut sealed = tx.get::<Counters>(Counters::TOP, SETTINGS_ID)?.ok_or(DeskError::NotFound)?;
    sealed.record.events += 1;
    let number = sealed.record.events;
    tx.update(&sealed.record, sealed.revision)?;
    let mut epoch = [0u8; StoreEpoch::LENGTH];
    epoch.copy_from_slice(keys.database.as_bytes().split_at(StoreEpoch::LENGTH).0);
    let id = EventId { office: keys.office, epoch: StoreEpoch::new(epoch), number };
    Ok(SignedEvent::sign(&thread.next(id, thread_id, side, step, tx.now())?, &keys.node_key))
}

/// The next event of ours in a referral, signed and held there. What was erased stands where it stood then: nothing follows.
pub(super) fn author(
    tx: &mut Tx<'_>,
    keys: &Keys,
    referral: &mut Referral,
    step: Step,
) -> Result<SignedEvent, DeskError> {
    let side = referral.side();
    if let Some((_, state)) = referral.erased {
        return Err(IllegalStep { state, step: step.word(), side }.into());
    }
    let signed = next_event(tx, keys, referral.thread, side, &referral.thread(), step)?;
    referral.events.push(HeldEvent { signed: signed.clone(), ours: true, at: tx.now(), by: tx.staff(), told: None });
    Ok(signed)
}

/// Adds an event of ours to a referral and queues it for the other office.
pub(super) fn add_own_event(
    tx: &mut Tx<'_>,
    keys: &Keys,
    referral: &mut Referral,
    step: Step,
) -> Result<(), DeskError> {
    let signed = author(tx, keys, referral, step)?;
    match referral.outside {
        // Somebody has to say it to them.
        Some(_) => super::outside::tell(tx, referral),
        None => say(tx, referral, signed),
    }
}

/// Queues an event alone.
fn say(tx: &mut Tx<'_>, referral: &Referral, signed: SignedEvent) -> Result<(), DeskError> {
    let reply = Reply::event(Grant::of_thread(referral.thread, referral.partner), signed).map_err(not_allowed)?;
    Outward::new(Outgoing::Reply(reply), referral).queue(tx)
}

/// Under what a full packet goes.
pub(super) struct Releasing<'a> {
    pub(super) permit: &'a Permit,
    pub(super) template: Template,
    pub(super) release: Release,
    pub(super) not_before: Option<Timestamp>,
}

/// Releases a full packet: the event that names it, and the packet with both.
pub(super) fn release(
    tx: &mut Tx<'_>,
    keys: &Keys,
    referral: &mut Referral,
    under: &Releasing<'_>,
    full: Full,
) -> Result<(), DeskError> {
    let signed = author(tx, keys, referral, Step::Released { full: full.hash() })?;
    let disclosure =
        Disclosure::full(under.permit, under.template, under.release, signed, full).map_err(not_allowed)?;
    Outward::new(Outgoing::Disclosure(disclosure), referral).not_before(under.not_before).queue(tx)
}

/// What the rule for what leaves refuses, to whoever wanted to send it.
pub(super) fn not_allowed(error: impl std::fmt::Display) -> DeskError {
    DeskError::Partner(error.to_string())
}

/// Whether a packet carries an event of a thread beside what it discloses.
pub(super) fn carries_event(kind: u16) -> bool {
    kind == PacketKind::ReferralFull.number() || kind == PacketKind::ConflictNames.number()
}

/// Sends the event of a disclosure that does not arrive alone.
pub(super) fn send_bare(tx: &mut Tx<'_>, referral: &Referral, row: &Outbox) -> Result<(), DeskError> {
    match Body::decode(row.kind, &row.body) {
        Ok(Body::ReferralFull { event, .. } | Body::ConflictNames { event, .. }) => say(tx, referral, event),
        _ => Ok(()),
    }
}
