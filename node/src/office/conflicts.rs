//! The question before acceptance whether anything speaks against the other office acting. Names go to its computer alone, under a
//! consent that covers this; the computer compares and forgets them. If it finds nothing it answers by itself; what it finds, a person
//! there judges, and the answer is *can act* or *cannot act* and no more.

use super::exchange::{Awaited, Taken};
use super::outward::{Outward, add_own_event, author, not_allowed};
use super::{Desk, DeskError, Office};
use crate::index::Tables;
use crate::names;
use crate::records::{Compared, HeldEvent, Person, Referral, Seen};
use crate::vault::{Record, Tx};
use casemesh_crypto::sign::VerifyingKey;
use casemesh_protocol::bounded::List;
use casemesh_protocol::consent::Permit;
use casemesh_protocol::id::{OfficeId, RecordId};
use casemesh_protocol::limits::THREAD_EVENTS_MAX;
use casemesh_protocol::outgoing::{Disclosure, Outgoing};
use casemesh_protocol::packet::ConflictNames;
use casemesh_protocol::referral::{SignedEvent, Step, Thread};
use casemesh_protocol::terms::{FieldGroup, Line};
use casemesh_protocol::time::Timestamp;
use std::collections::BTreeSet;
use std::sync::PoisonError;

/// So many names of one office are compared in a day: whoever asks about more is looking for somebody.
const COMPARED_A_DAY: usize = 60;
/// So many names of one question are compared.
const NAMES_MAX: usize = 8;
const DAY_MS: u64 = 86_400_000;
/// So much of what was found is kept.
const FOUND_MAX: usize = 32;

/// Whether the sender asked, and has no answer.
pub(super) fn is_open(thread: &Thread) -> bool {
    thread.did(|step| matches!(step, Step::ConflictAsked { .. }))
        && !thread.did(|step| matches!(step, Step::ConflictAnswered { .. }))
}

impl Desk {
    /// The names that go to the other office's computer: none where the consent does not cover that.
    pub(super) fn conflict_names(&self, case: RecordId, client: &Person, permit: &Permit) -> Option<ConflictNames> {
        if !permit.covers(FieldGroup::ConflictCheck) {
            return None;
        }
        let tables = self.office.index.read();
        let lines = |names: Vec<String>| List::new(names.iter().map(|name| Line::cut(name)).collect()).ok();
        let name = client.display_name();
        let local = client.local_name.value().cloned();
        let own = [Some(name.clone()), local.filter(|local| *local != name)];
        let parties = tables.entries.parties_of(case).map(|party| party.name.clone()).take(FOUND_MAX).collect();
        let own = own.into_iter().flatten().filter(|name| !name.is_empty()).collect();
        Some(ConflictNames { client: lines(own)?, parties: lines(parties)? })
    }
}

/// Asks, in a referral that is about to be sent.
pub(super) fn ask(
    tx: &mut Tx<'_>,
    office: &Office,
    referral: &mut Referral,
    permit: &Permit,
    names: ConflictNames,
    not_before: Option<Timestamp>,
) -> Result<(), DeskError> {
    let signed = author(tx, &office.keys, referral, Step::ConflictAsked { names: names.hash() })?;
    let disclosure = Disclosure::conflict_names(permit, signed, names).map_err(not_allowed)?;
    Outward::new(Outgoing::Disclosure(disclosure), referral).not_before(not_before).queue(tx)
}

/// What of ours has one of these names, or one that sounds like it.
fn compare(tables: &Tables, names: &ConflictNames, now: Timestamp) -> Compared {
    // Whole names: one word, or the beginning of one, is a way to look for people.
    let sound = |name: &str| names::words(name).iter().map(|word| names::skeleton(word)).collect::<BTreeSet<_>>();
    let alike = |name: &str| -> Vec<RecordId> {
        let asked = sound(name);
        let is_whole = |row: &str| asked.len() > 1 && asked.is_subset(&sound(row));
        let found = tables.search(name).into_iter();
        found.filter(|(row, _)| is_whole(&row.name)).map(|(row, _)| row.person.id).collect()
    };
    let mut compared = Compared { at: now, ..Compared::default() };
    for name in names.client.iter().take(NAMES_MAX) {
        compared.persons.extend(alike(name.as_str()));
        compared.cases.extend(tables.entries.parties_like(name.as_str()).map(|party| party.case));
    }
    for party in names.parties.iter().take(NAMES_MAX) {
        for person in alike(party.as_str()) {
            compared.cases.extend(tables.all_cases_of(person).map(|case| case.id));
        }
    }
    for found in [&mut compared.persons, &mut compared.cases] {
        found.sort_unstable();
        found.dedup();
        found.truncate(FOUND_MAX);
    }
    compared
}

impl Office {
    /// Compares names that came, answers where nothing is found, and forgets them.
    pub(super) fn take_names(
        &self,
        from: OfficeId,
        signed: SignedEvent,
        key: &VerifyingKey,
        names: &ConflictNames,
        seen: RecordId,
    ) -> Result<Taken, DeskError> {
        let Ok(event) = signed.verify(key) else { return Ok(Taken::Aside("the event's signature does not hold")) };
        let Step::ConflictAsked { names: named } = &event.step else {
            return Ok(Taken::Aside("names without the event that asks"));
        };
        if *named != names.hash() {
            return Ok(Taken::Aside("event and names do not agree"));
        }
        let now = self.around.clock.now();
        let (id, compared) = {
            let tables = self.index.read();
            let Some(id) = tables.threads.get(&event.thread).copied() else {
                return Ok(Taken::Later(Awaited::Referral(event.thread)));
            };
            // Counted beside the referrals: those that are taken back count as well.
            let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
            let asked = asked.entry(from).or_default();
            asked.retain(|(at, _)| now.ms_since(*at) < DAY_MS);
            let count = (names.client.as_slice().len() + names.parties.as_slice().len()).clamp(1, 2 * NAMES_MAX);
            let today: usize = asked.iter().map(|(_, count)| count).sum();
            if today < COMPARED_A_DAY {
                asked.push((now, count));
            }
            let compared = match today < COMPARED_A_DAY {
                true => compare(&tables, names, now),
                false => Compared { at: now, too_many: true, ..Compared::default() },
            };
            (id, compared)
        };
        let ours = self.ours();
        self.vault.write(None, "compare_names", move |tx| {
            let mut sealed = tx.get::<Referral>(Referral::TOP, id)?.ok_or(DeskError::NotFound)?;
            let referral = &mut sealed.record;
            if referral.partner != from || referral.outgoing || referral.events.len() >= THREAD_EVENTS_MAX {
                return Ok(Taken::Aside("the event is of another office's referral"));
            }
            tx.insert(&Seen { id: seen, at: tx.now(), set_aside: None })?;
            let hash = signed.hash();
            if referral.erased.is_some() || referral.events.iter().any(|held| held.signed.hash() == hash) {
                return Ok(Taken::Done);
            }
            referral.events.push(HeldEvent { signed, ours: false, at: tx.now(), by: None, told: None });
            let is_clear = compared.cases.is_empty() && !compared.too_many;
            referral.compared = Some(compared);
            if is_clear && is_open(&referral.thread()) {
                add_own_event(tx, &ours.keys, referral, Step::ConflictAnswered { can_act: true })?;
            }
            // It can be what others, that came before it, were waiting for.
            super::handing::settle(tx, &ours, referral)?;
            tx.about(id);
            tx.update(&sealed.record, sealed.revision)?;
            Ok(Taken::Done)
        })
    }
}
