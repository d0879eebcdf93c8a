//! The exchange: between the outbox and inbox of the open office and the relay's spool.
//!
//! Out: a row of the outbox is checked against the consent once more, sealed, and handed to the relay; only
//! then is it marked released. The relay's copy is not synced: the outbox keeps what is in it, and seals it anew
//! when a power cut took the copy. In: a packet is opened and verified; its effect and the memory that it was
//! seen are one command, the read receipt is the next; only then does the spool let go of it. A crash between
//! repeats a step that has no second effect.

use super::effects::{Ours, after_event, not_arrived};
use super::outward::{Outward, add_own_event, carries_event, send_bare};
use super::{DeskError, Office};
use crate::records::{
    Collected, Consent, ErasureAnswer, Facts, HeldEvent, Outbox, OutboxState, Person, Referral, Seen,
};
use crate::spool::{Fact, Hold, OutRow};
use crate::vault::{Record, Sealed, Tx, VaultError};
use casemesh_crypto::envelope::{self, Draft, Opened, Reason, Recipient, Urgency};
use casemesh_crypto::hash::{Digest, sha256};
use casemesh_crypto::prekey::{PrekeyId, PrekeySecret};
use casemesh_crypto::random::os_rng;
use casemesh_crypto::sign::{KeyId, VerifyingKey};
use casemesh_protocol::claim::Claim;
use casemesh_protocol::consent::{ConsentStatus, Permit};
use casemesh_protocol::delivery::Lost;
use casemesh_protocol::directory::{Directory, Role};
use casemesh_protocol::id::{OfficeId, PacketId, RecordId, StaffId, ThreadId};
use casemesh_protocol::levels::Levels;
use casemesh_protocol::limits::{CLOCK_SKEW_SECONDS_MAX, PACKET_LIFETIME_HOURS, THREAD_EVENTS_MAX};
use casemesh_protocol::outgoing::Control;
use casemesh_protocol::packet::{Body, BodyError, Full, Kind as PacketKind, Preview, ReadReceipt};
use casemesh_protocol::referral::{SignedEvent, Step};
use casemesh_protocol::statistics::Table;
use casemesh_protocol::terms::Purpose;
use casemesh_protocol::time::Timestamp;
use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, PoisonError, Weak};

struct Inbox<'a> {
    office: OfficeId,
    prekeys: &'a crate::keys::Prekeys,
    directory: &'a Directory,
}

impl Recipient for Inbox<'_> {
    fn office(&self) -> OfficeId {
        self.office
    }
    fn prekey(&self, id: &PrekeyId) -> Option<&PrekeySecret> {
        self.prekeys.secret(id)
    }
    fn sender_key(&self, from: &OfficeId, key: &KeyId, created_s: u64, _: &Digest) -> Option<VerifyingKey> {
        self.directory.sender_key(from, key, created_s)
    }
}

fn urgency_of(number: u8) -> Urgency {
    match number {
        0 => Urgency::Routine,
        1 => Urgency::Urgent,
        _ => Urgency::Emergency,
    }
}

fn number_of(urgency: Urgency) -> u8 {
    match urgency {
        Urgency::Routine => 0,
        Urgency::Urgent => 1,
        Urgency::Emergency => 2,
    }
}

/// Who sent a referral, and how soon they asked us to look.
struct Partner {
    office: OfficeId,
    name: String,
    urgency: u8,
}

/// The record that remembers a packet.
fn seen_id(from: &OfficeId, packet: &PacketId) -> RecordId {
    let digest = sha256(&[b"casemesh/1/seen\0", from.as_bytes(), packet.as_bytes()]);
    let mut id = [0u8; RecordId::LENGTH];
    id.copy_from_slice(digest.as_bytes().split_at(RecordId::LENGTH).0);
    RecordId::new(id)
}

/// How many packets may wait for one that they follow from.
const LATER_MAX: usize = 256;
/// How many may wait for news of who signed them: anybody can make one up.
const LATER_FOR_KEY_MAX: usize = 64;
/// How many of these one member brings over a line.
const LATER_FOR_KEY_OF_ONE_MAX: usize = 16;

/// What to do with a packet that was opened.
pub(super) enum Taken {
    /// It had its effect.
    Done,
    /// What it follows from is not here yet.
    Later(Awaited),
    /// Only a newer program knows what to do with it.
    Newer,
    /// It cannot have one; a person may look.
    Aside(&'static str),
}

/// What a packet that came early waits for.
#[derive(Debug)]
pub(super) enum Awaited {
    /// The referral that it belongs to.
    Referral(ThreadId),
    /// News of the key that signed it, or of what it is about: the directory in which that was not found.
    News(Weak<Directory>),
}

impl Office {
    /// Looks at everything that waits, in both directions, and at the timers. Called when the relay wakes the
    /// office, and from time to time.
    pub fn turn(&self) {
        if let Err(error) = self.keep_agreements() {
            tracing::warn!(%error, "agreements of the network could not be kept; it is tried again");
        }
        self.take_facts();
        self.take_claimed();
        self.take_in();
        // While the clock is doubted, nothing ends and nobody is late.
        if !self.around.watch.is_doubted() {
            self.expire_referrals();
            self.remind();
            self.shed_referrals();
            self.renew();
            self.release_by_itself();
            self.see_to_tallies();
        }
        if let Err(error) = self.adopt_codes() {
            tracing::warn!(%error, "codes of the network could not be taken up; it is tried again");
        }
        self.tell_news();
        self.part_from_gone();
        self.want_documents();
        self.see_to_held();
        self.release_outbox();
    }

    /// What a command needs of this office.
    pub(super) fn ours(&self) -> Ours {
        Ours { keys: self.keys.clone(), index: Arc::clone(&self.index), directory: self.around.directory() }
    }

    /// Takes up what a crash cut off. Called once, when the office opens.
    pub(super) fn resume(&self) -> Result<(), DeskError> {
        self.recall_lost()?;
        self.end_withdrawn()?;
        self.tell_addresses()
    }

    /// Ends what stands under consents that were withdrawn, at whichever office.
    pub(super) fn end_withdrawn(&self) -> Result<(), DeskError> {
        let withdrawn: BTreeSet<RecordId> = {
            let tables = self.index.read();
            let consents = tables.consents.values().flat_map(std::collections::BTreeMap::values);
            let is_withdrawn = |consent: &&Arc<Consent>| matches!(consent.status, ConsentStatus::Withdrawn(_));
            consents.filter(is_withdrawn).map(|consent| consent.id).collect()
        };
        self.end_referrals_under(None, &withdrawn)
    }

    /// What was released and is not in the spool any more (a power cut took it) waits again.
    fn recall_lost(&self) -> Result<(), DeskError> {
        let spool = self.around.relay.spool();
        let lost: Vec<RecordId> = {
            let tables = self.index.read();
            let is_lost = |row: &&crate::index::OutboxRow| {
                row.state == OutboxState::Released && !row.packet_hash.is_some_and(|packet| spool.holds_out(&packet))
            };
            tables.outbox.values().filter(is_lost).map(|row| row.id).collect()
        };
        lost.into_iter().try_for_each(|id| self.settle_row(id, OutboxState::Waiting, None, None))
    }

    /// Seals and hands over what waits in the outbox.
    pub fn release_outbox(&self) {
        let waiting: Vec<RecordId> = {
            let tables = self.index.read();
            tables.outbox.values().filter(|row| row.state == OutboxState::Waiting).map(|row| row.id).collect()
        };
        for id in waiting {
            if let Err(error) = self.release(id) {
                tracing::warn!(%error, "a packet could not be released; it is tried again");
            }
        }
    }

    fn release(&self, id: RecordId) -> Result<(), DeskError> {
        let _held = self.releasing.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(sealed) = self.vault.get::<Outbox>(Outbox::TOP, id)? else { return Ok(()) };
        let row = sealed.record;
        if row.state != OutboxState::Waiting {
            return Ok(());
        }
        let now = self.around.clock.now();
        if row.not_before.is_some_and(|at| now < at) {
            return Ok(());
        }
        let Some(directory) = self.around.directory() else { return Ok(()) };
        let prekey = directory.member(&row.to).and_then(|member| member.prekey(now)).map(|own| own.prekey.clone());
        let Some(prekey) = prekey else { return Ok(()) };
        if let Some(problem) = self.still_permitted(&row, now)? {
            return match row.referral.filter(|_| carries_event(row.kind)) {
                Some(referral) => self.take_release_back(referral, problem),
                None => {
                    self.let_go_of(&row)?;
                    self.settle_row(id, OutboxState::Cancelled, Some(problem), None)
                }
            };
        }
        let previous = row
            .referral
            .and_then(|referral| self.index.read().referrals.get(&referral).map(|referral| referral.last_packet))
            .unwrap_or(Digest::ZERO);
        let own_head = directory.member(&self.keys.office).map_or(Digest::ZERO, |member| member.keys.head());
        let draft = Draft {
            kind: row.kind,
            packet_id: row.packet_id,
            urgency: urgency_of(row.urgency),
            from: self.keys.office,
            from_log_head: own_head,
            to: vec![(row.to, prekey)],
            created_s: now.s(),
            expires_h: row.expires.h(),
            thread: row.thread,
            previous,
            consent: row.evidence,
            purpose: row.purpose.map_or(0, Purpose::number),
            body: &row.body,
            attachments: super::attachments::marks(&row),
        };
        let packet = match envelope::seal(&draft, &self.keys.node_key, &mut os_rng()) {
            Ok(packet) => packet,
            Err(error) => return self.settle_row(id, OutboxState::Refused, Some(error.to_string()), None),
        };
        let (hash, bytes) = (envelope::packet_hash(&packet), packet.len() as u64);
        let hold = row.held_at.map(|hub| Hold { hub, thread: row.thread });
        let out = OutRow { packet: hash, to: row.to, expires: row.expires, queued: now, hold };
        self.offer_documents(&row)?;
        self.around.relay.hand_over(out, packet).map_err(VaultError::Disk)?;
        self.settle_row(id, OutboxState::Released, None, Some((hash, bytes)))
    }

    /// What was to be disclosed does not go any more: the other office gets the bare events, so that what follows reaches it, and
    /// is told that the consent ended. Whether an earlier copy went before a power cut, nobody can know.
    fn take_release_back(&self, id: RecordId, problem: String) -> Result<(), DeskError> {
        let unsent: Vec<RecordId> = {
            let tables = self.index.read();
            let is_unsent = |row: &&crate::index::OutboxRow| {
                row.referral == Some(id) && carries_event(row.kind) && row.state == OutboxState::Waiting
            };
            tables.outbox.values().filter(is_unsent).map(|row| row.id).collect()
        };
        let ours = self.ours();
        self.vault.write(None, "consent_withdrawn", move |tx| {
            let Some(mut sealed) = tx.get::<Referral>(Referral::TOP, id)? else { return Ok(()) };
            let referral = &mut sealed.record;
            for row in unsent {
                let Some(mut row) = tx.get::<Outbox>(Outbox::TOP, row)? else { continue };
                send_bare(tx, referral, &row.record)?;
                (row.record.state, row.record.problem) = (OutboxState::Cancelled, Some(problem.clone()));
                row.record.body.clear();
                tx.update(&row.record, row.revision)?;
            }
            let state = referral.thread().state;
            if state.is_open() {
                add_own_event(tx, &ours.keys, referral, Step::ConsentWithdrawn)?;
            }
            super::handing::settle(tx, &ours, referral)?;
            tx.about(id);
            Ok::<_, DeskError>(tx.update(&sealed.record, sealed.revision)?)
        })
    }

    /// The consent rule, asked again at the moment of sending: why it may not go, if it may not.
    ///
    /// # Errors
    /// When the store cannot be read; nothing is decided then.
    pub(super) fn still_permitted(&self, row: &Outbox, now: Timestamp) -> Result<Option<String>, DeskError> {
        let (Some((person, consent)), Some(purpose)) = (row.consent, row.purpose) else { return Ok(None) };
        let referral = row.referral.and_then(|id| self.index.read().referrals.get(&id).cloned());
        if referral.is_some_and(|referral| referral.thread().state.is_final()) {
            return Ok(Some("the referral was taken back before it went".into()));
        }
        let Some(consent) = self.vault.get::<Consent>(person, consent)?.map(|sealed| sealed.record) else {
            return Ok(Some("the consent is gone".into()));
        };
        let holder = self.index.read().standing(person);
        let Some(holder) = self.vault.get::<Person>(Person::TOP, holder)?.map(|sealed| sealed.record) else {
            return Ok(Some("the person is gone".into()));
        };
        let circumstances = self.circumstances(&holder, row.to, &self.name_of(row.to));
        let permit = Permit::under(&consent.terms, consent.status, purpose, row.to, circumstances, now);
        Ok(permit.err().map(|error| error.to_string()))
    }

    /// That a packet waits until something new is known of the network.
    pub(super) fn until_news(&self) -> Taken {
        match self.around.directory() {
            Some(directory) => Taken::Later(Awaited::News(Arc::downgrade(&directory))),
            None => Taken::Aside("this office is in no network"),
        }
    }

    /// What a member of the network is called.
    fn name_of(&self, office: OfficeId) -> String {
        let directory = self.around.directory();
        let member = directory.as_ref().and_then(|directory| directory.member(&office));
        member.map(|member| member.record.name.to_string()).unwrap_or_default()
    }

    pub(super) fn settle_row(
        &self,
        id: RecordId,
        state: OutboxState,
        problem: Option<String>,
        released: Option<(Digest, u64)>,
    ) -> Result<(), DeskError> {
        self.vault.write(None, "outbox", move |tx| {
            let Some(mut sealed) = tx.get::<Outbox>(Outbox::TOP, id)? else { return Ok(()) };
            let row = &mut sealed.record;
            row.state = state;
            row.problem = problem;
            if let Some((hash, bytes)) = released {
                row.packet_hash = Some(hash);
                row.bytes = bytes;
                row.facts.sent = Some(tx.now());
            }
            if state.is_settled() {
                row.body.clear();
            }
            tx.update(&sealed.record, sealed.revision)?;
            show_on_referral(tx, &sealed.record)
        })
    }

    /// What the relay learnt about our packets.
    fn take_facts(&self) {
        let _held = self.releasing.lock().unwrap_or_else(PoisonError::into_inner);
        let spool = self.around.relay.spool();
        for (packet, fact) in spool.facts().unwrap_or_default() {
            self.note_on(packet, move |tx, sealed| take_fact(tx, sealed, fact), || spool.drop_fact(&packet));
        }
    }

    /// For which words hubs gave what waited there: they stand with the packets from now on.
    fn take_claimed(&self) {
        let spool = self.around.relay.spool();
        for (packet, claim) in spool.claimed() {
            self.note_on(packet, move |tx, sealed| take_claim(tx, sealed, claim), || spool.drop_claimed(&packet));
        }
    }

    /// Notes on a row of ours what the relay learnt of its packet, and then lets go of what it was learnt from: also where the row is gone.
    fn note_on(
        &self,
        packet: Digest,
        note: impl FnOnce(&mut Tx<'_>, Sealed<Outbox>) -> Result<(), DeskError> + Send + 'static,
        let_go: impl FnOnce() -> std::io::Result<()>,
    ) {
        let id = self.index.read().outbox.values().find(|row| row.packet_hash == Some(packet)).map(|row| row.id);
        let noted = id.map_or(Ok(()), |id| {
            self.vault.write(None, "fact", move |tx| match tx.get::<Outbox>(Outbox::TOP, id)? {
                Some(sealed) => note(tx, sealed),
                None => Ok(()),
            })
        });
        match noted.map(|()| let_go()) {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!(kind = %error.kind(), "the spool cannot be written"),
            Err(error) => tracing::error!(%error, "what became of a packet could not be kept; it is taken again"),
        }
    }

    /// Opens what waits in the spool. One packet that cannot be opened never holds up the next.
    fn take_in(&self) {
        let spool = self.around.relay.spool();
        let mut waiting = spool.waiting_in();
        loop {
            let before = waiting.len();
            waiting = self.take_each(&waiting);
            // An event can come before the referral that it belongs to.
            if waiting.is_empty() || waiting.len() == before {
                break;
            }
        }
        let mut awaited = self.awaited.lock().unwrap_or_else(PoisonError::into_inner);
        let is_for_key = |hash: &&Digest| matches!(awaited.get(*hash), Some((Awaited::News(_), ..)));
        let (mut for_key, for_referral): (Vec<&Digest>, Vec<&Digest>) = waiting.iter().partition(is_for_key);
        for_key.sort_by_key(|hash| awaited.get(*hash).map(|(_, _, turn)| *turn));
        // The oldest stay, and nobody brings more than a few; through hubs come those of many.
        let mut kept: HashMap<Option<OfficeId>, usize> = HashMap::new();
        let mut over = Vec::new();
        for hash in for_key {
            let by = spool.bringer(hash);
            let most = if by.is_some() { LATER_FOR_KEY_OF_ONE_MAX } else { LATER_FOR_KEY_MAX / 2 };
            let has_room =
                kept.values().sum::<usize>() < LATER_FOR_KEY_MAX && kept.get(&by).is_none_or(|count| *count < most);
            match has_room {
                true => *kept.entry(by).or_default() += 1,
                false => over.push(hash),
            }
        }
        for hash in over.into_iter().chain(for_referral.into_iter().skip(LATER_MAX)) {
            tracing::warn!(packet = ?hash, "too many packets wait for what they follow from; one was set aside");
            awaited.remove(hash);
            if let Err(error) = spool.set_aside(hash) {
                tracing::error!(kind = %error.kind(), "the spool cannot be written");
            }
        }
    }

    /// Opens each packet once; those that must wait for another.
    fn take_each(&self, waiting: &[Digest]) -> Vec<Digest> {
        let spool = self.around.relay.spool();
        let mut later = Vec::new();
        let mut awaited = self.awaited.lock().unwrap_or_else(PoisonError::into_inner);
        for hash in waiting {
            let now = self.around.clock.now().h();
            // Past its time it is opened once more, and set aside.
            let is_early = |(awaited, expires_h, _): &(Awaited, u32, u64)| {
                now <= *expires_h
                    && match awaited {
                        Awaited::Referral(thread) => !self.index.read().threads.contains_key(thread),
                        Awaited::News(known) => {
                            self.around.directory().is_none_or(|now| Weak::ptr_eq(known, &Arc::downgrade(&now)))
                        }
                    }
            };
            if awaited.get(hash).is_some_and(is_early) {
                later.push(*hash);
                continue;
            }
            let turn_before = awaited.remove(hash).map(|(_, _, turn)| turn);
            let packet = match spool.read_in(hash) {
                Ok(packet) => packet,
                Err(error) => {
                    tracing::warn!(packet = ?hash, %error, "a packet that came in cannot be read yet");
                    continue;
                }
            };
            let done = match self.open_packet(&packet) {
                Ok(Taken::Later(what)) => {
                    later.push(*hash);
                    let expires_h = envelope::Header::read(&packet).map_or(0, |header| header.expires_h);
                    let next = || awaited.values().map(|(_, _, turn)| turn + 1).max().unwrap_or_default();
                    let turn = turn_before.unwrap_or_else(next);
                    awaited.insert(*hash, (what, expires_h, turn));
                    continue;
                }
                Ok(Taken::Done) => spool.drop_in(hash),
                Ok(Taken::Newer) => spool.set_newer(hash),
                Ok(Taken::Aside(why)) => {
                    tracing::warn!(packet = ?hash, why, "a packet was set aside");
                    spool.set_aside(hash)
                }
                // What no rule allows is not allowed later either.
                Err(DeskError::Illegal(illegal)) => {
                    tracing::warn!(packet = ?hash, %illegal, "a packet was set aside");
                    spool.set_aside(hash)
                }
                Err(error @ DeskError::Vault(VaultError::TooLong)) => {
                    tracing::warn!(packet = ?hash, %error, "a packet was set aside");
                    spool.set_aside(hash)
                }
                Err(error) => {
                    tracing::error!(%error, "a packet could not be taken; it is tried again");
                    continue;
                }
            };
            if let Err(error) = done {
                tracing::error!(kind = %error.kind(), "the spool cannot be written");
            }
        }
        later
    }

    fn open_packet(&self, packet: &[u8]) -> Result<Taken, DeskError> {
        let Some(directory) = self.around.directory() else { return Ok(Taken::Aside("no directory")) };
        let now = self.around.clock.now();
        let opened = {
            let prekeys = self.prekeys.read().unwrap_or_else(PoisonError::into_inner);
            let inbox = Inbox { office: self.keys.office, prekeys: &prekeys, directory: &directory };
            envelope::open(packet, now.s(), &inbox)
        };
        let opened = match opened {
            Ok(opened) => opened,
            // Its office changed keys, or joined, and the news of that come by another road.
            Err(refused) if refused.reason() == Reason::Sender => {
                return Ok(Taken::Later(Awaited::News(Arc::downgrade(&directory))));
            }
            Err(refused) => {
                tracing::warn!(reason = ?refused.reason(), "a packet does not open");
                return Ok(Taken::Aside("it does not open"));
            }
        };
        if opened.statement.created_s > now.s() + CLOCK_SKEW_SECONDS_MAX {
            return Ok(Taken::Aside("it comes from the future: a clock is wrong"));
        }
        let body = match Body::decode(opened.statement.kind, &opened.body) {
            Ok(body) => body,
            Err(error @ BodyError::UnknownKind(_)) => {
                tracing::warn!(%error, "a packet waits for a newer version of this program");
                return Ok(Taken::Newer);
            }
            Err(error) => {
                tracing::warn!(%error, "a packet cannot be read");
                return Ok(Taken::Aside("its body cannot be read"));
            }
        };
        let from = opened.statement.from;
        let is_receipt = matches!(body, Body::ReadReceipt(_));
        let seen = seen_id(&from, &opened.statement.packet_id);
        let was_seen = self.index.read().seen.contains(&seen);
        let receipt = Control::read(
            from,
            ReadReceipt { packet_hash: opened.packet_hash, packet_id: opened.statement.packet_id, opened: now },
        );
        let taken = if was_seen { Ok(Taken::Done) } else { self.effect(&directory, packet, &opened, body, seen) };
        if matches!(taken, Ok(Taken::Done)) && !is_receipt {
            // A repeated packet means that our receipt may be lost: it is sent again, the effect is not.
            self.vault.write(None, "read_receipt", move |tx| Outward::control(receipt).queue(tx))?;
        }
        taken
    }

    fn effect(
        &self,
        directory: &Directory,
        packet: &[u8],
        opened: &Opened,
        body: Body,
        seen: RecordId,
    ) -> Result<Taken, DeskError> {
        let from = opened.statement.from;
        let Some(member) = directory.member(&from) else { return Ok(Taken::Aside("the sender is unknown")) };
        let name = member.record.name.to_string();
        // An event can be older than the key of the packet that brings it; the packet's signature vouches for it.
        let author = |event: &SignedEvent| member.keys.node_key_ever(&event.key);
        let inside = match &body {
            Body::ReferralPreview { event, .. }
            | Body::ReferralFull { event, .. }
            | Body::ReferralEvent(event)
            | Body::ConflictNames { event, .. } => event.read().ok(),
            Body::ReadReceipt(_)
            | Body::StatisticsTable(_)
            | Body::Tally(_)
            | Body::Card(_)
            | Body::News(_)
            | Body::CapacityQuestion(_)
            | Body::CapacityAnswer(_)
            | Body::SampleQuestion(_)
            | Body::SampleAnswer(_)
            | Body::Proposal(_)
            | Body::Comment(_)
            | Body::HeldFull(_) => None,
        };
        if inside.is_some_and(|event| event.thread != opened.statement.thread || event.id.office != from) {
            return Ok(Taken::Aside("the event is of another thread or office than the packet"));
        }
        match body {
            Body::ReferralPreview { preview, .. } if preview.purpose.number() != opened.statement.purpose => {
                Ok(Taken::Aside("preview and packet name different purposes"))
            }
            Body::ReferralPreview { event, preview } => {
                let Some(key) = author(&event) else { return Ok(Taken::Aside("the event's key is unknown")) };
                let urgency = envelope::Header::read(packet).map_or(0, |header| number_of(header.urgency));
                let partner = Partner { office: from, name, urgency };
                self.take_preview(partner, event, &key, *preview, seen)
            }
            Body::ReferralEvent(event) => {
                let Some(key) = author(&event) else { return Ok(Taken::Aside("the event's key is unknown")) };
                self.take_event(from, event, &key, None, seen)
            }
            Body::ReferralFull { event, full } => {
                let Some(key) = author(&event) else { return Ok(Taken::Aside("the event's key is unknown")) };
                self.take_event(from, event, &key, Some(full), seen)
            }
            Body::ConflictNames { event, names } => {
                let Some(key) = author(&event) else { return Ok(Taken::Aside("the event's key is unknown")) };
                self.take_names(from, event, &key, &names, seen)
            }
            Body::ReadReceipt(receipt) => self.take_receipt(from, receipt, seen),
            Body::StatisticsTable(table) => self.take_table(directory, from, name, table, seen),
            Body::Tally(told) => self.take_tally(directory, from, *told, seen),
            Body::Card(card) => self.take_card(from, &card, seen),
            Body::News(news) => self.take_news(&news, seen),
            Body::CapacityQuestion(question) => self.take_capacity_question(from, question, seen),
            Body::CapacityAnswer(answer) => self.take_capacity_answer(from, answer, seen),
            Body::SampleQuestion(question) => self.take_sample_question(directory, from, question, seen),
            Body::SampleAnswer(answer) => self.take_sample_answer(from, answer, seen),
            Body::Proposal(proposal) => self.take_proposal(directory, from, *proposal, seen),
            Body::Comment(comment) => self.take_comment(from, &comment, seen),
            Body::HeldFull(full) => self.take_held(from, opened.statement.thread, full, seen),
        }
    }

    fn take_preview(
        &self,
        partner: Partner,
        signed: SignedEvent,
        key: &VerifyingKey,
        preview: Preview,
        seen: RecordId,
    ) -> Result<Taken, DeskError> {
        let Ok(event) = signed.verify(key) else { return Ok(Taken::Aside("the event's signature does not hold")) };
        let Step::Sent { preview: named, service, .. } = &event.step else {
            return Ok(Taken::Aside("a preview without its first event"));
        };
        let is_first = event.previous == Digest::ZERO && event.seen == Digest::ZERO;
        if *named != preview.hash() || *service != preview.service || !is_first {
            return Ok(Taken::Aside("event and preview do not agree"));
        }
        // What a person wrote about how to reach the client is for after acceptance, whatever the sender's program thinks.
        if preview.safe_contact != preview.safe_contact.without_words() {
            return Ok(Taken::Aside("a preview with words about how to reach the client"));
        }
        let thread = event.thread;
        let is_known = self.index.read().threads.contains_key(&thread);
        self.vault.write(None, "receive_referral", move |tx| {
            let known = is_known || tx.unseen::<Referral>(Referral::TOP)?.iter().any(|other| other.thread == thread);
            tx.insert(&Seen { id: seen, at: tx.now(), set_aside: None })?;
            if known {
                return Ok(Taken::Done);
            }
            let first = HeldEvent { signed, ours: false, at: tx.now(), by: None, told: None };
            let (id, key) = (tx.fresh_id(), tx.new_person_key());
            let referral = Referral::begun(id, key, (partner.office, partner.name), preview, first, partner.urgency);
            let referral = referral.ok_or(DeskError::NotFound)?;
            tx.insert(&referral)?;
            tx.about(referral.id);
            Ok(Taken::Done)
        })
    }

    fn take_event(
        &self,
        from: OfficeId,
        signed: SignedEvent,
        key: &VerifyingKey,
        full: Option<Full>,
        seen: RecordId,
    ) -> Result<Taken, DeskError> {
        let Ok(event) = signed.verify(key) else { return Ok(Taken::Aside("the event's signature does not hold")) };
        let id = self.index.read().threads.get(&event.thread).copied();
        let Some(id) = id else { return Ok(Taken::Later(Awaited::Referral(event.thread))) };
        let full_agrees = match (&event.step, &full) {
            (Step::Released { full: named }, Some(full)) => *named == full.hash(),
            // What it names did not arrive, and the event comes alone.
            (_, full) => full.is_none(),
        };
        if !full_agrees {
            return Ok(Taken::Aside("event and content do not agree"));
        }
        let ours = self.ours();
        let taken: Result<Taken, DeskError> = self.vault.write(None, "receive_event", move |tx| {
            let mut sealed = tx.get::<Referral>(Referral::TOP, id)?.ok_or(DeskError::NotFound)?;
            let referral = &mut sealed.record;
            if referral.erased.is_some() && referral.partner == from {
                tx.insert(&Seen { id: seen, at: tx.now(), set_aside: None })?;
                if let (Step::ErasureAnswered { erased, kept }, true) = (&event.step, referral.outgoing) {
                    referral.erasure_answer =
                        Some(ErasureAnswer { at: tx.now(), erased: *erased, kept: kept.to_string() });
                    tx.about(id);
                    tx.update(&sealed.record, sealed.revision)?;
                }
                return Ok(Taken::Done);
            }
            if referral.partner != from || referral.events.len() >= THREAD_EVENTS_MAX {
                return Ok(Taken::Aside("the event is of another office's referral"));
            }
            tx.insert(&Seen { id: seen, at: tx.now(), set_aside: None })?;
            let hash = signed.hash();
            if referral.events.iter().any(|held| held.signed.hash() == hash) {
                return Ok(Taken::Done);
            }
            let before: Vec<Digest> = referral.thread().applied().map(|(event, _)| event.hash).collect();
            referral.events.push(HeldEvent { signed, ours: false, at: tx.now(), by: None, told: None });
            let after = referral.thread();
            if referral.outgoing {
                referral.facts.answered.get_or_insert(tx.now());
            }
            // Before acceptance only where the sender let everything go at once.
            let at_once = after.state.is_before_acceptance() && !referral.preview.is_transfer();
            if let Some(full) = full.filter(|_| (after.state.is_at_work() || at_once) && !referral.outgoing) {
                super::handing::take_full(referral, full);
            }
            // One event can be what others, that came before it, were waiting for.
            for (event, _) in after.applied().filter(|(event, _)| !before.contains(&event.hash)) {
                after_event(tx, &ours, referral, &event.event.step)?;
                super::outside::compare(tx, referral, &event.event.step)?;
            }
            super::handing::settle(tx, &ours, referral)?;
            tx.about(id);
            tx.update(&sealed.record, sealed.revision)?;
            Ok(Taken::Done)
        });
        if let Err(error) = self.end_withdrawn() {
            tracing::warn!(%error, "referrals under a withdrawn consent could not be ended; it is tried again");
        }
        self.shed_referrals();
        self.release_outbox();
        taken
    }

    fn take_receipt(&self, from: OfficeId, receipt: ReadReceipt, seen: RecordId) -> Result<Taken, DeskError> {
        let row = self
            .index
            .read()
            .outbox
            .values()
            .find(|row| row.packet_hash == Some(receipt.packet_hash) && row.to == from)
            .map(|row| row.id);
        let packet = receipt.packet_hash;
        let taken = self.vault.write(None, "receive_receipt", move |tx| {
            tx.insert(&Seen { id: seen, at: tx.now(), set_aside: None })?;
            let Some(row) = row else { return Ok::<_, DeskError>(()) };
            let Some(mut sealed) = tx.get::<Outbox>(Outbox::TOP, row)? else { return Ok(()) };
            let row = &mut sealed.record;
            row.facts.read.get_or_insert(receipt.opened);
            if !row.state.is_settled() {
                row.state = OutboxState::Read;
                row.body.clear();
            }
            let row = row.clone();
            tx.update(&sealed.record, sealed.revision)?;
            show_on_referral(tx, &row)
        });
        // Read is more than arrived: nobody need offer the packet again.
        self.around.relay.cancel(from, packet);
        taken.map(|()| Taken::Done)
    }

    fn take_table(
        &self,
        directory: &Directory,
        from: OfficeId,
        office_name: String,
        table: Table,
        seen: RecordId,
    ) -> Result<Taken, DeskError> {
        let ours = &self.keys.office;
        let has_role = |office, role| directory.member(office).is_some_and(|member| member.has_role(role));
        if !has_role(ours, Role::Collector) || table.office != from || !table.is_known() {
            return Ok(Taken::Aside("a table that is not for us"));
        }
        if !table.is_sum() && !has_role(&from, Role::Office) {
            return Ok(Taken::Aside("a table of an office that keeps no records"));
        }
        if table.is_sum() {
            let levels = Levels::of(directory.members());
            if levels.is_ring(&from, ours) {
                return Ok(Taken::Aside("a sum of sums that are ours"));
            }
            // Who sums is a collector below us, of offices that are below it by their own cards; cards may come later than the sum.
            let below = levels.below(&from);
            let is_theirs = |office: &OfficeId| *office == from || below.contains(office);
            let holds = has_role(&from, Role::Collector)
                && levels.above(&from) == Some(*ours)
                && table.offices().iter().all(is_theirs);
            if !holds {
                return Ok(self.until_news());
            }
        }
        // What was under way when the stewards agreed on something else is of an agreement that ended.
        let all = self.agreements_ever();
        let mut known = all.iter().map(|agreed| &agreed.agreement).filter(|known| known.id == table.agreement);
        let is_newer = known.clone().all(|known| known.version < table.agreement_version);
        match known.find(|known| known.version == table.agreement_version) {
            Some(known) if known.terms.has(table.period) => {}
            // The network file that names the agreement may come later.
            None if is_newer => return Ok(self.until_news()),
            Some(_) | None => return Ok(Taken::Aside("a table that is not for us")),
        }
        self.vault.write(None, "receive_table", move |tx| {
            tx.insert(&Seen { id: seen, at: tx.now(), set_aside: None })?;
            tx.insert(&Collected { id: tx.fresh_id(), office_name, table, at: tx.now() })?;
            Ok(Taken::Done)
        })
    }

    /// Ends what nobody decided in time.
    fn expire_referrals(&self) {
        let now = self.around.clock.now();
        let over: Vec<RecordId> = {
            let tables = self.index.read();
            let open = |referral: &&Arc<Referral>| {
                let is_open = || tables.stands(referral).state.is_before_acceptance();
                referral.outgoing && referral.expires <= now && is_open()
            };
            tables.referrals.values().filter(open).map(|referral| referral.id).collect()
        };
        for id in over {
            if let Err(error) = self.step_by_node(None, id, Step::Expired) {
                tracing::warn!(%error, "a referral could not be ended");
            }
        }
    }

    /// The client took the consent back: every open referral under it ends, the other office is told, and what is
    /// under way and has not arrived is taken back.
    pub(super) fn end_referrals_under(
        &self,
        staff: Option<StaffId>,
        consents: &BTreeSet<RecordId>,
    ) -> Result<(), DeskError> {
        let under: Vec<Arc<Referral>> = {
            let tables = self.index.read();
            let is_under = |referral: &&Arc<Referral>| {
                let mut all = referral.consent.iter().chain(&referral.under_before);
                all.any(|consent| consents.contains(consent))
            };
            tables.referrals.values().filter(is_under).cloned().collect()
        };
        if under.is_empty() {
            return Ok(());
        }
        // Those that have ended may still have packets under way: a crash can come between the two steps.
        let all: Vec<RecordId> = under.iter().map(|referral| referral.id).collect();
        let mut ended = Ok(());
        for referral in under {
            let state = referral.thread().state;
            if state.is_open() {
                ended = match self.step_by_node(staff, referral.id, Step::ConsentWithdrawn) {
                    // Somebody else ended it in the same moment.
                    Err(DeskError::Illegal(_)) => ended,
                    done => done.and(ended),
                };
            }
        }
        self.take_back(&all)?;
        self.release_outbox();
        ended
    }

    /// Takes what these referrals disclose, and what has not arrived, out of the spool.
    pub(super) fn take_back(&self, referrals: &[RecordId]) -> Result<(), DeskError> {
        let _held = self.releasing.lock().unwrap_or_else(PoisonError::into_inner);
        let (preview, held) = (PacketKind::ReferralPreview.number(), PacketKind::HeldFull.number());
        let under_way: Vec<(RecordId, OfficeId, Digest)> = {
            let tables = self.index.read();
            let of_these = |row: &&crate::index::OutboxRow| {
                row.state == OutboxState::Released
                    && (row.kind == preview || row.kind == held || carries_event(row.kind))
                    && row.referral.is_some_and(|referral| referrals.contains(&referral))
            };
            let rows = tables.outbox.values().filter(of_these);
            rows.filter_map(|row| Some((row.id, row.to, row.packet_hash?))).collect()
        };
        for (id, to, packet) in under_way {
            if let Some(row) = self.vault.get::<Outbox>(Outbox::TOP, id)? {
                self.let_go_of(&row.record)?;
            }
            self.around.relay.cancel(to, packet);
            let problem = "the consent was withdrawn before it arrived".to_owned();
            self.vault.write(None, "outbox", move |tx| {
                let Some(row) = tx.get::<Outbox>(Outbox::TOP, id)?.map(|sealed| sealed.record) else { return Ok(()) };
                let Some(referral) = row.referral else { return Ok(()) };
                match tx.get::<Referral>(Referral::TOP, referral)? {
                    Some(referral) if referral.record.erased.is_none() => send_bare(tx, &referral.record, &row),
                    _ => Ok::<_, DeskError>(()),
                }
            })?;
            self.settle_row(id, OutboxState::Cancelled, Some(problem), None)?;
        }
        Ok(())
    }

    fn step_by_node(&self, staff: Option<StaffId>, id: RecordId, step: Step) -> Result<(), DeskError> {
        let ours = self.ours();
        self.vault.write(staff, step.word(), move |tx| {
            let mut sealed = tx.get::<Referral>(Referral::TOP, id)?.ok_or(DeskError::NotFound)?;
            add_own_event(tx, &ours.keys, &mut sealed.record, step)?;
            super::handing::settle(tx, &ours, &mut sealed.record)?;
            tx.about(id);
            Ok(tx.update(&sealed.record, sealed.revision)?)
        })
    }
}

/// What became of a packet: its row and its referral say so, and what must not be lost with it is sent again.
fn take_fact(tx: &mut Tx<'_>, mut sealed: Sealed<Outbox>, fact: Fact) -> Result<(), DeskError> {
    let row = &mut sealed.record;
    // What a hub gave before it was told to let go went all the same.
    let is_open = row.state == OutboxState::Released || (row.state == OutboxState::Cancelled && row.held_at.is_some());
    match fact {
        Fact::Arrived(at) => {
            row.facts.arrived.get_or_insert(at);
            if is_open {
                (row.state, row.problem) = (OutboxState::Arrived, None);
            }
        }
        Fact::Refused if !row.state.is_settled() => {
            row.state = OutboxState::Refused;
            row.problem = Some("the other office refused the packet; call them".into());
        }
        // Nobody accepted in time: what waited for that is not missed.
        Fact::Expired if row.held_at.is_some() => {
            if row.state == OutboxState::Released {
                row.state = OutboxState::Cancelled;
            }
        }
        Fact::Expired if !row.state.is_settled() => {
            row.state = OutboxState::Expired;
            row.problem = Some("it could not be delivered in time; call them".into());
        }
        Fact::Refused | Fact::Expired => {}
    }
    // An event that is lost would hold up all that follow from it: what it came with is not sent again by itself.
    if matches!(row.state, OutboxState::Refused | OutboxState::Expired)
        && let Some(referral) = row.referral
        && let Some(referral) = tx.get::<Referral>(Referral::TOP, referral)?
    {
        send_bare(tx, &referral.record, row)?;
        not_arrived(tx, &referral.record, row)?;
    }
    if let Some(again) = again(row, fact, tx.fresh_id(), PacketId::random(&mut os_rng()), tx.now()) {
        tx.insert(&again)?;
    }
    if row.state.is_settled() {
        row.body.clear();
    }
    tx.update(&sealed.record, sealed.revision)?;
    show_on_referral(tx, &sealed.record)
}

/// For which word of the recipient a hub gave what waited there.
fn take_claim(tx: &mut Tx<'_>, mut sealed: Sealed<Outbox>, claim: Claim) -> Result<(), DeskError> {
    let row = &mut sealed.record;
    row.claim = Some(claim);
    if row.state == OutboxState::Cancelled {
        row.problem =
            Some("the other office had claimed it at the hub before; whether it came there is not known yet".into());
    }
    Ok(tx.update(&sealed.record, sealed.revision)?)
}

/// The same event, or part of a sum, in a packet of its own, where the one that carried it was lost: others would wait for it for
/// ever. A disclosure is not sent again by itself: somebody looks first.
fn again(row: &Outbox, fact: Fact, id: RecordId, packet_id: PacketId, now: Timestamp) -> Option<Outbox> {
    let goes_again = [PacketKind::ReferralEvent, PacketKind::Tally].iter().any(|kind| row.kind == kind.number());
    let lost = match fact {
        Fact::Expired => Lost::Expired,
        Fact::Refused => Lost::Refused,
        Fact::Arrived(_) => return None,
    };
    let (wait_ms, resends) = row.resends.after(goes_again && !row.body.is_empty(), lost)?;
    Some(Outbox {
        id,
        packet_id,
        state: OutboxState::Waiting,
        packet_hash: None,
        expires: now.plus_ms(wait_ms + u64::from(PACKET_LIFETIME_HOURS) * 3_600_000),
        problem: None,
        facts: Facts::default(),
        bytes: 0,
        not_before: Some(now.plus_ms(wait_ms)),
        resends,
        ..row.clone()
    })
}

/// What a packet's way means for its referral.
fn show_on_referral(tx: &mut Tx<'_>, row: &Outbox) -> Result<(), DeskError> {
    let Some(id) = row.referral else { return Ok(()) };
    let Some(mut sealed) = tx.get::<Referral>(Referral::TOP, id)? else { return Ok(()) };
    let referral = &mut sealed.record;
    if row.packet_hash.is_some() && row.state == OutboxState::Released {
        referral.last_packet = row.packet_hash.unwrap_or(Digest::ZERO);
    }
    if referral.outgoing && row.kind == PacketKind::ReferralPreview.number() {
        let answered = referral.facts.answered;
        referral.facts = Facts { answered, ..row.facts };
    }
    Ok(tx.update(&sealed.record, sealed.revision)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use casemesh_protocol::delivery::{EXPIRED_RESENDS_MAX, REFUSED_RESENDS_MAX, Resends};

    const DAY_MS: u64 = 86_400_000;

    #[test]
    fn an_event_that_is_lost_goes_again_and_a_disclosure_does_not() {
        let now = Timestamp::from_s(1_800_000_000);
        let row = |kind: PacketKind, resends| Outbox {
            id: RecordId::new([1; 16]),
            to: OfficeId::new([2; 32]),
            packet_id: PacketId::new([3; 16]),
            kind: kind.number(),
            body: vec![1],
            thread: ThreadId::new([4; 16]),
            referral: None,
            consent: None,
            purpose: None,
            evidence: Digest::ZERO,
            subjects: Vec::new(),
            state: OutboxState::Expired,
            packet_hash: Some(Digest::ZERO),
            expires: now,
            urgency: 0,
            problem: Some("late".into()),
            facts: Facts { sent: Some(now), ..Facts::default() },
            bytes: 10,
            not_before: None,
            resends,
            held_at: None,
            claim: None,
        };
        let often = Resends { expired: EXPIRED_RESENDS_MAX, refused: REFUSED_RESENDS_MAX };
        let again = |row: &Outbox, fact: Fact| again(row, fact, RecordId::new([5; 16]), PacketId::new([6; 16]), now);
        let event = row(PacketKind::ReferralEvent, Resends::default());
        let next = again(&event, Fact::Expired).unwrap();
        assert_eq!(
            (next.state, next.resends, next.facts, next.bytes),
            (OutboxState::Waiting, Resends { expired: 1, refused: 0 }, Facts::default(), 0)
        );
        assert!(next.packet_id != event.packet_id && next.expires > now && next.problem.is_none());
        assert_eq!(again(&event, Fact::Refused).unwrap().not_before, Some(now.plus_ms(DAY_MS)));
        assert!(again(&row(PacketKind::ReferralEvent, often), Fact::Expired).is_none());
        assert!(again(&row(PacketKind::ReferralEvent, often), Fact::Refused).is_none());
        // One does not use up the other.
        let expired = Resends { refused: 0, ..often };
        assert!(again(&row(PacketKind::ReferralEvent, expired), Fact::Refused).is_some());
        assert!(again(&event, Fact::Arrived(now)).is_none());
        for kind in [PacketKind::ReferralPreview, PacketKind::ReferralFull, PacketKind::StatisticsTable] {
            assert!(again(&row(kind, Resends::default()), Fact::Expired).is_none());
        }
        assert!(again(&Outbox { body: Vec::new(), ..event }, Fact::Expired).is_none(), "it was read meanwhile");
    }
}
