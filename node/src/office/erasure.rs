//! Erasing a person: the keys go, and with them everything that stands under them, wherever a copy lies; then the rows.
//! Cases that the person has together with others stay theirs, without the person.

use super::import::mark_of;
use super::outward::{Outward, next_event, not_allowed};
use super::requests::ask;
use super::shedding::stripped;
use super::tasks::{NewTask, add_task};
use super::{Desk, DeskError, ErasureView, FieldProblem};
use crate::disk;
use crate::index::{CaseRow, Index, Tables};
use crate::keys::Keys;
use crate::policy::Ask;
use crate::records::{
    Action, Asked, Case, Consent, Decided, Document, ErasureAnswer, Glass, Import, ImportMark, Link, Member, Outbox,
    OutboxState, Payment, Person, Referral, RegisterLine, Request, Task, TaskKind, TaskTitle, VisitOutcome,
};
use crate::vault::{Erasure, Record, Sealed, Tx, VaultError};
use casemesh_crypto::hash::Digest;
use casemesh_crypto::shred::KeyHandle;
use casemesh_protocol::id::RecordId;
use casemesh_protocol::outgoing::{Grant, Outgoing, Reply};
use casemesh_protocol::packet::Kind as PacketKind;
use casemesh_protocol::referral::{Side, Step};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Longest reason.
const REASON_BYTES_MAX: usize = 1_000;
/// What partners are asked waits so long at most, until the person is erased.
const HELD_MS: u64 = 3_600_000;
/// Rows of one command.
const BATCH_ROWS: usize = 200;

/// A row that goes with a person: what it is, under what it is kept, and its id.
#[derive(Debug, Clone, Copy)]
enum Row {
    Person(RecordId),
    Case(RecordId),
    Action(RecordId, RecordId),
    Task(RecordId, RecordId),
    Payment(RecordId, RecordId),
    Document(RecordId, RecordId),
    Consent(RecordId, RecordId),
    Member(RecordId, RecordId),
    Referral(RecordId),
    Outbox(RecordId),
    Line(RecordId),
    Link(RecordId),
    Glass(RecordId),
}

impl Row {
    fn remove(self, tx: &mut Tx<'_>) -> Result<(), VaultError> {
        match self {
            Self::Person(id) => tx.remove_id::<Person>(Person::TOP, id),
            Self::Case(id) => tx.remove_id::<Case>(Case::TOP, id),
            Self::Action(parent, id) => tx.remove_id::<Action>(parent, id),
            Self::Task(parent, id) => tx.remove_id::<Task>(parent, id),
            Self::Payment(parent, id) => tx.remove_id::<Payment>(parent, id),
            Self::Document(parent, id) => tx.remove_id::<Document>(parent, id),
            Self::Consent(parent, id) => tx.remove_id::<Consent>(parent, id),
            Self::Member(parent, id) => tx.remove_id::<Member>(parent, id),
            Self::Referral(id) => tx.remove_id::<Referral>(Referral::TOP, id),
            Self::Outbox(id) => tx.remove_id::<Outbox>(Outbox::TOP, id),
            Self::Line(id) => tx.remove_id::<RegisterLine>(RegisterLine::TOP, id),
            Self::Link(id) => tx.remove_id::<Link>(Link::TOP, id),
            Self::Glass(id) => tx.remove_id::<Glass>(Glass::TOP, id),
        }
    }
}

/// What an erasure takes.
#[derive(Debug, Clone, Default)]
struct Plan {
    rows: Vec<Row>,
    /// Sealed files of documents.
    files: Vec<Digest>,
    keys: Vec<KeyHandle>,
    /// Content keys of rows that are about others, too, and name the person.
    redacted: Vec<KeyHandle>,
}

/// The cases of a person: those that are theirs alone, and those that they have together with others.
fn cases_of(tables: &Tables, person: RecordId) -> (Vec<&CaseRow>, Vec<&CaseRow>) {
    let records = tables.records_of(person);
    tables.all_cases_of(person).partition(|case| case.clients.iter().all(|client| records.contains(client)))
}

fn is_busy(tables: &Tables, case: &CaseRow) -> bool {
    case.state.is_open() || tables.has_open_referral(case.id)
}

impl Plan {
    /// Everything that stands under a person, from the view and the index.
    fn of(tx: &Tx<'_>, tables: &Tables, person: RecordId) -> Result<Self, VaultError> {
        let mut plan = Self::default();
        let records = tables.records_of(person);
        for id in &records {
            if let Some(sealed) = tx.get::<Person>(Person::TOP, *id)? {
                plan.keys.push(sealed.record.key);
            }
            plan.rows.push(Row::Person(*id));
            plan.under(tx.list::<Action>(*id)?, |id, parent| Row::Action(parent, id));
            plan.under(tx.list::<Consent>(*id)?, |id, parent| Row::Consent(parent, id));
            plan.under(tx.list::<Member>(*id)?, |id, parent| Row::Member(parent, id));
        }
        let (alone, _) = cases_of(tables, person);
        for case in &alone {
            plan.rows.push(Row::Case(case.id));
            plan.under(tx.list::<Action>(case.id)?, |id, parent| Row::Action(parent, id));
            plan.under(tx.list::<Task>(case.id)?, |id, parent| Row::Task(parent, id));
            plan.under(tx.list::<Payment>(case.id)?, |id, parent| Row::Payment(parent, id));
            let documents = tx.list::<Document>(case.id)?;
            let versions = documents.iter().flat_map(|document| &document.record.versions);
            plan.files.extend(versions.map(|version| version.file));
            plan.under(documents, |id, parent| Row::Document(parent, id));
            let glasses = tables.glasses().filter(|glass| glass.case == case.id);
            plan.rows.extend(glasses.map(|glass| Row::Glass(glass.id)));
        }
        let is_theirs = |referral: &Referral| match referral.client {
            Some(client) => records.contains(&client),
            None => referral.case.is_some_and(|case| alone.iter().any(|row| row.id == case)),
        };
        for referral in tables.referrals.values().filter(|referral| is_theirs(referral)) {
            plan.keys.push(referral.key);
            plan.rows.push(Row::Referral(referral.id));
            let packets = tables.outbox.values().filter(|row| row.referral == Some(referral.id));
            plan.rows.extend(packets.map(|row| Row::Outbox(row.id)));
        }
        // A line that became a case of theirs tells of them, under whatever key it was written.
        let of_theirs = |line: &RegisterLine| match line.outcome {
            VisitOutcome::Case(case) => alone.iter().any(|row| row.id == case),
            _ => false,
        };
        let lines = tables.lines.values().filter(|line| of_theirs(line) || plan.keys.contains(&line.key));
        let lines: Vec<(RecordId, KeyHandle)> = lines.map(|line| (line.id, line.key)).collect();
        for (id, key) in lines {
            plan.rows.push(Row::Line(id));
            plan.keys.push(key);
        }
        for link in tables.links_of(person) {
            plan.rows.push(Row::Link(link.id));
            plan.redacted.extend(tx.key_of::<Link>(Link::TOP, link.id)?);
        }
        // A group lives on without the member.
        for group in tables.groups().filter(|group| !records.contains(group)) {
            for member in tx.list::<Member>(group)? {
                if member.record.person.is_some_and(|person| records.contains(&person.id)) {
                    plan.rows.push(Row::Member(group, member.record.id));
                    plan.redacted.extend(tx.key_of::<Member>(group, member.record.id)?);
                }
            }
        }
        plan.keys.sort_unstable();
        plan.keys.dedup();
        // Whatever points here: the key of somebody else is never destroyed.
        let others = tables.persons.values().filter(|row| !records.contains(&row.person.id));
        let others: BTreeSet<KeyHandle> = others.map(|row| row.person.key).collect();
        plan.keys.retain(|key| !others.contains(key));
        Ok(plan)
    }

    fn under<R: Record>(&mut self, rows: Vec<Sealed<R>>, row: fn(RecordId, RecordId) -> Row) {
        self.rows.extend(rows.into_iter().map(|sealed| row(sealed.record.id(), sealed.record.parent())));
    }
}

/// Takes a person out of a case that is others', too: what is written there from now on is about the others.
fn leave(tx: &mut Tx<'_>, case: RecordId, records: &[RecordId], keys: &[KeyHandle]) -> Result<(), DeskError> {
    let Some(mut sealed) = tx.get::<Case>(Case::TOP, case)? else { return Ok(()) };
    sealed.record.clients.retain(|client| !records.contains(&client.id));
    tx.update(&sealed.record, sealed.revision)?;
    let stays = |subjects: &mut Vec<KeyHandle>| subjects.retain(|key| !keys.contains(key));
    for mut sealed in tx.list::<Task>(case)? {
        stays(&mut sealed.record.subjects);
        tx.update(&sealed.record, sealed.revision)?;
    }
    for mut sealed in tx.list::<Payment>(case)? {
        stays(&mut sealed.record.subjects);
        tx.update(&sealed.record, sealed.revision)?;
    }
    for mut sealed in tx.list::<Document>(case)? {
        stays(&mut sealed.record.subjects);
        tx.update(&sealed.record, sealed.revision)?;
    }
    Ok(())
}

/// Whether the other office got a referral of ours: what was recalled or refused before it went, nobody knows of.
fn was_sent(referral: &Referral) -> bool {
    referral.outgoing && referral.facts.sent.is_some()
}

/// Asks every office that got a referral of the person to erase as well. Of the referral a line is left, under a key of its own and
/// without the person, so that the answer finds it. What is asked goes when the person is erased: its rows are told.
fn ask_partners(tx: &mut Tx<'_>, index: &Index, keys: &Keys, records: &[RecordId]) -> Result<Vec<RecordId>, DeskError> {
    let sent: Vec<RecordId> = {
        let tables = index.read();
        let is_theirs = |referral: &Referral| referral.client.is_some_and(|client| records.contains(&client));
        let sent = tables.referrals.values().filter(|referral| was_sent(referral) && is_theirs(referral));
        sent.map(|referral| referral.id).collect()
    };
    let mut asked = Vec::new();
    for id in sent {
        let Some(mut sealed) = tx.get::<Referral>(Referral::TOP, id)? else { continue };
        let referral = &mut sealed.record;
        let thread = referral.thread();
        let answers = thread.applied().filter_map(|(event, _)| match &event.event.step {
            Step::ErasureAnswered { erased, kept } => {
                Some(ErasureAnswer { at: event.event.at, erased: *erased, kept: kept.to_string() })
            }
            _ => None,
        });
        let answer = answers.last();
        let is_done = answer.as_ref().is_some_and(|answer| answer.erased);
        let key = tx.new_person_key();
        // Events that have not arrived go on: what is asked now names them. Everything else stands under the person's key.
        let packets: Vec<RecordId> = {
            let tables = index.read();
            tables.outbox.values().filter(|row| row.referral == Some(id)).map(|row| row.id).collect()
        };
        for packet in packets {
            let Some(mut row) = tx.get::<Outbox>(Outbox::TOP, packet)? else { continue };
            if row.record.kind == PacketKind::ReferralEvent.number() && !row.record.state.is_settled() {
                row.record.subjects = vec![key];
                tx.update(&row.record, row.revision)?;
            } else {
                tx.remove_id::<Outbox>(Outbox::TOP, packet)?;
            }
        }
        let is_outside = referral.outside.is_some();
        let signed = match is_done || is_outside {
            true => None,
            false => Some(next_event(tx, keys, referral.thread, Side::Sender, &thread, Step::ErasureAsked)?),
        };
        let mut line = stripped(referral, key, tx.now());
        (line.shed, line.case, line.consent, line.erasure_answer) = (None, None, None, answer);
        if is_outside {
            let title = TaskTitle::Form("erase_outside".into());
            let new = NewTask { kind: TaskKind::ToDo, title, due: super::today(tx)?.plus_days(1) };
            add_task(tx, None, &[], new, tx.staff(), Some(id))?;
        } else if let Some(signed) = signed {
            let reply = Reply::event(Grant::of_thread(line.thread, line.partner), signed).map_err(not_allowed)?;
            let held = Some(tx.now().plus_ms(HELD_MS));
            asked.push(Outward::new(Outgoing::Reply(reply), &line).not_before(held).queue_row(tx)?);
        }
        sealed.record = line;
        tx.update(&sealed.record, sealed.revision)?;
    }
    Ok(asked)
}

impl Desk {
    /// What an erasure of a person would take, and what stands in its way.
    ///
    /// # Errors
    /// When there is no such person for this account, or it may not erase.
    pub fn erasure(&self, person: RecordId) -> Result<ErasureView, DeskError> {
        self.allow(Ask::Erase)?;
        self.visible_person(person)?;
        let needs_another = self.has_approver(&Asked::Erase(person, String::new(), Vec::new()));
        let documents: usize = {
            let cases: Vec<RecordId> = {
                let tables = self.office.index.read();
                let (alone, _) = cases_of(&tables, person);
                alone.iter().filter(|case| self.sees(&tables, case)).map(|case| case.id).collect()
            };
            let count = |case: RecordId| self.office.vault.list::<Document>(case).map(|all| all.len());
            cases.into_iter().map(count).sum::<Result<usize, VaultError>>()?
        };
        let tables = self.office.index.read();
        let (alone, shared) = cases_of(&tables, person);
        let numbers = |cases: &[&CaseRow]| -> Vec<String> {
            cases.iter().filter(|case| self.sees(&tables, case)).map(|case| case.number.to_string()).collect()
        };
        let busy: Vec<&CaseRow> = alone.iter().chain(&shared).copied().filter(|case| is_busy(&tables, case)).collect();
        let records = tables.records_of(person);
        let told = tables.referrals.values().filter(|referral| {
            let is_theirs = referral.client.is_some_and(|client| records.contains(&client));
            was_sent(referral) && is_theirs && self.sees_referral(&tables, referral)
        });
        let told: BTreeSet<String> = told.map(|referral| referral.partner_name.clone()).collect();
        Ok(ErasureView {
            person: tables.standing(person),
            name: tables.persons.get(&tables.standing(person)).map(|row| row.name.clone()).unwrap_or_default(),
            cases: numbers(&alone),
            shared: numbers(&shared),
            busy: numbers(&busy),
            is_busy: !busy.is_empty(),
            documents,
            told: told.into_iter().collect(),
            needs_another,
        })
    }

    /// Erases a person, or asks another supervisor to approve it, where there is one. Whether it waits.
    ///
    /// # Errors
    /// When there is no such person for this account, no reason is given, or a case or referral is still open.
    pub fn erase_person(&self, person: RecordId, reason: &str) -> Result<bool, DeskError> {
        let view = self.erasure(person)?;
        let mut problems = self.problems();
        let reason = problems.required_text("reason", reason, REASON_BYTES_MAX);
        if view.is_busy {
            problems.add("reason", "erase-open-case");
        }
        problems.done()?;
        let records = self.office.index.read().records_of(view.person);
        let asked = Asked::Erase(view.person, reason, records.clone());
        if view.needs_another {
            self.write("ask_erasure", move |tx| {
                tx.about(view.person);
                ask(tx, Vec::new(), asked).map(drop)
            })?;
            return Ok(true);
        }
        self.erase_now(view.person, &records)?;
        // Why it was done stays, also where nobody else had to be asked.
        self.write("erase_person", move |tx| {
            let by = tx.staff().ok_or(DeskError::NotFound)?;
            let decided = Some(Decided { at: tx.now(), by, approved: true, comment: String::new() });
            let request = Request { id: tx.fresh_id(), subjects: Vec::new(), asked, by, at: tx.now(), decided };
            Ok::<(), DeskError>(tx.insert(&request)?)
        })?;
        Ok(false)
    }

    /// Erases a person. One who is gone already is no error: an approval that a crash cut off is simply given again.
    /// What was asked is what is erased: when records were merged or taken apart since, it is asked again.
    pub(super) fn erase_now(&self, person: RecordId, asked: &[RecordId]) -> Result<(), DeskError> {
        {
            let tables = self.office.index.read();
            if !tables.persons.contains_key(&person) {
                return Ok(());
            }
            if tables.records_of(person) != asked {
                return Err(DeskError::Invalid(vec![FieldProblem::new("comment", "erase-changed")]));
            }
        }
        let (index, marks) = (Arc::clone(&self.office.index), self.office.row_marks());
        let office_keys = self.office.keys.clone();
        // What has not arrived stays here.
        let theirs: Vec<RecordId> = {
            let tables = self.office.index.read();
            let is_theirs = |referral: &Referral| referral.client.is_some_and(|client| asked.contains(&client));
            let referrals = tables.referrals.values().filter(|referral| referral.outgoing && is_theirs(referral));
            referrals.map(|referral| referral.id).collect()
        };
        self.office.take_back(&theirs)?;
        let held = self.write("erase_person", move |tx| {
            let (records, shared) = {
                let tables = index.read();
                let (alone, shared) = cases_of(&tables, person);
                if alone.iter().chain(&shared).any(|case| is_busy(&tables, case)) {
                    return Err(DeskError::Invalid(vec![FieldProblem::new("comment", "erase-open-case")]));
                }
                (tables.records_of(person), shared.iter().map(|case| case.id).collect::<Vec<_>>())
            };
            let mut keys = Vec::new();
            for id in &records {
                let Some(Sealed { record: person, .. }) = tx.get::<Person>(Person::TOP, *id)? else { continue };
                keys.push(person.key);
                // The row that brought them does not bring them again.
                if let Some(ImportMark { import, row }) = person.import
                    && let Some(mut sealed) = tx.get::<Import>(Import::TOP, import)?
                {
                    sealed.record.erased.push(mark_of(&marks, row));
                    tx.update(&sealed.record, sealed.revision)?;
                }
            }
            let held = ask_partners(tx, &index, &office_keys, &records)?;
            tx.about(person);
            shared.into_iter().try_for_each(|case| leave(tx, case, &records, &keys))?;
            Ok::<_, DeskError>(held)
        })?;
        let index = Arc::clone(&self.office.index);
        let plan = self.office.vault.erase(Some(self.actor.staff), move |tx| {
            let tables = index.read();
            let (alone, shared) = cases_of(&tables, person);
            // Somebody opened a case again since the last look: nothing was destroyed yet.
            if !shared.is_empty() || alone.iter().any(|case| is_busy(&tables, case)) {
                return Err(VaultError::Conflict);
            }
            let plan = Plan::of(tx, &tables, person)?;
            let erasure = Erasure { persons: plan.keys.clone(), redacted: plan.redacted.clone() };
            Ok((plan, erasure))
        });
        // Nobody is asked to erase whom we keep.
        let state = if plan.is_ok() { OutboxState::Waiting } else { OutboxState::Cancelled };
        self.write("erase_person", move |tx| {
            for id in held {
                let Some(mut row) = tx.get::<Outbox>(Outbox::TOP, id)? else { continue };
                (row.record.not_before, row.record.state) = (None, state);
                tx.update(&row.record, row.revision)?;
            }
            Ok::<(), DeskError>(())
        })?;
        let plan = plan?;
        // From here on nothing opens any more; what follows makes room.
        for batch in plan.rows.chunks(BATCH_ROWS) {
            let batch = batch.to_vec();
            self.write("erase_person", move |tx| {
                Ok::<(), DeskError>(batch.into_iter().try_for_each(|row| row.remove(tx))?)
            })?;
        }
        for file in &plan.files {
            disk::remove(&self.office.document_file(file)).map_err(VaultError::Disk)?;
        }
        self.office.release_outbox();
        Ok(())
    }
}
