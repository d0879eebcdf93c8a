//! Sample checks: a few cases are looked at again with the clients themselves, by somebody other than who captured them. A coordinator
//! asks, the office agrees and draws, and only counts leave. An office may check itself as well.

use super::exchange::Taken;
use super::outward::Outward;
use super::{CodeView, Desk, DeskError, FieldProblem, Office};
use crate::index::CaseRow;
use crate::policy::Ask;
use crate::records::{Case, PaymentKind, Person, SampleCheck, SampleLine, SampleState, Seen};
use crate::vault::{Record, Tx, VaultError};
use casemesh_crypto::random::os_rng;
use casemesh_protocol::directory::{Directory, Role};
use casemesh_protocol::id::{OfficeId, RecordId, StaffId, ThreadId};
use casemesh_protocol::outgoing::Control;
use casemesh_protocol::sample::{
    SAMPLE_DAYS_MIN, SAMPLE_MAX, SAMPLE_MIN, SampleAnswer, SampleCounts, SampleField, SampleQuestion, SampleResult,
    SampleSaid, draw,
};
use casemesh_protocol::terms::SafeContact;
use casemesh_protocol::time::{Day, Period, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use utoipa::ToSchema;

/// So many checks of one coordinator wait at a time; what more it asks is declined at once.
const WAITING_MAX: usize = 10;
/// So many checks are shown.
const SHOWN_MAX: usize = 100;
/// Longest reason.
const REASON_BYTES_MAX: usize = 1_000;

/// A check as entered.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SampleInput {
    /// Which office is asked; empty for this one itself.
    pub office: String,
    /// The first day on which the cases were opened.
    pub from: String,
    /// The last day.
    pub to: String,
    /// How many cases.
    pub count: String,
}

/// What came of one case, as entered.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SampleResultInput {
    /// match, mismatch, not_reached, refused or no_safe_way.
    pub result: String,
    /// What differs: came, case_type, opened, services, outcome, money.
    pub fields: Vec<String>,
}

/// A check in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct SampleView {
    /// Which.
    #[schema(value_type = String)]
    pub id: RecordId,
    /// Whether we asked another office.
    pub outgoing: bool,
    /// The other office's name; none where the office checks itself.
    pub partner: Option<String>,
    /// The first and last day on which its cases were opened.
    #[schema(value_type = Object)]
    pub period: Period,
    /// How many were asked for.
    pub count: u16,
    /// Since when.
    #[schema(value_type = String)]
    pub at: Timestamp,
    /// Where it stands.
    pub state: SampleState,
    /// How it stands or came out, once cases were drawn: for whoever lets counts leave, and at whoever asked.
    pub counts: Option<CountsView>,
    /// Why the office does not take part, in its own words, which stay here.
    pub reason: String,
}

/// Counts of a check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct CountsView {
    /// How many cases were drawn.
    pub drawn: u16,
    /// Each result, and of how many cases.
    #[schema(value_type = Vec<Object>)]
    pub results: Vec<(SampleResult, u16)>,
    /// Each field that differs, and in how many cases.
    #[schema(value_type = Vec<Object>)]
    pub differing: Vec<(SampleField, u16)>,
    /// Of a hundred who answered, how many agreed with the record.
    pub percent_matching: Option<u16>,
}

impl CountsView {
    fn of(counts: &SampleCounts) -> Self {
        let results = SampleResult::ALL.iter().map(|result| (*result, counts.count(*result)));
        Self {
            drawn: counts.drawn,
            results: results.collect(),
            differing: counts.differing.iter().copied().collect(),
            percent_matching: counts.percent_matching(),
        }
    }
}

/// A line of the call sheet: whom to ask, how, and what the record says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct SampleLineView {
    /// The case.
    #[schema(value_type = String)]
    pub case: RecordId,
    /// Its number.
    pub number: String,
    /// Whom to ask.
    pub client: String,
    /// The number to call; empty where none is known.
    pub telephone: String,
    /// How the client may be reached.
    #[schema(value_type = Object)]
    pub safe_contact: SafeContact,
    /// Whether there is a way that is safe.
    pub has_safe_way: bool,
    /// What the record says.
    pub case_type: Option<CodeView>,
    /// When it was opened.
    #[schema(value_type = String)]
    pub opened: Day,
    /// Why it was closed, if it was.
    pub outcome: Option<CodeView>,
    /// What money was recovered.
    pub money: Vec<String>,
    /// What was done: kinds of services.
    pub services: Vec<CodeView>,
    /// Whether this account may ask: it did not capture the case and is not responsible for it.
    pub may_ask: bool,
    /// What came of it.
    pub result: Option<SampleResult>,
    /// What differs.
    pub fields: Vec<SampleField>,
}

/// A check, and its call sheet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct SampleSheet {
    /// The check.
    pub check: SampleView,
    /// The cases that this account may see, while clients are being asked.
    pub lines: Vec<SampleLineView>,
}

impl Desk {
    /// The checks of this office and, at a collector, of others.
    ///
    /// # Errors
    /// When the account has nothing to do with them.
    pub fn samples(&self) -> Result<Vec<SampleView>, DeskError> {
        self.allow(Ask::SeeFigures)?;
        let tables = self.office.index.read();
        let all = tables.samples.values().rev().filter(|check| self.knows_sample(check)).take(SHOWN_MAX);
        Ok(all.map(|check| self.sample_view(check)).collect())
    }

    /// Offices that this one can ask, where it collects.
    pub fn sample_offices(&self) -> Vec<(OfficeId, String)> {
        let Some(directory) = self.office.around.directory().filter(|_| self.may(Ask::SeeCollected)) else {
            return Vec::new();
        };
        if !self.is_collector() {
            return Vec::new();
        }
        let other = |office: &OfficeId| *office != self.office.keys.office;
        let members = directory.members().filter(|(office, member)| other(office) && member.has_role(Role::Office));
        let mut all: Vec<_> = members.map(|(office, member)| (*office, member.record.name.to_string())).collect();
        all.sort_by(|one, next| one.1.cmp(&next.1));
        all
    }

    /// Whether a check is for this account: what other offices told is for whoever sees tables that came in.
    fn knows_sample(&self, check: &SampleCheck) -> bool {
        !check.outgoing || self.may(Ask::SeeCollected)
    }

    fn sample_view(&self, check: &SampleCheck) -> SampleView {
        // Who lets counts leave sees them, and who asked; others would learn of cases that they may not see.
        let sees = check.outgoing || self.may(Ask::ApproveTable);
        let counts = match &check.told {
            _ if !sees => None,
            Some((counts, _)) => Some(CountsView::of(counts)),
            None => check.agreed.filter(|_| !check.outgoing).map(|_| CountsView::of(&check.counts())),
        };
        SampleView {
            id: check.id,
            outgoing: check.outgoing,
            partner: check.partner.map(|partner| self.member_name(partner).unwrap_or_else(|| partner.to_string())),
            period: check.question.period,
            count: check.question.count,
            at: check.at,
            state: check.state(),
            counts,
            reason: check.reason.clone(),
        }
    }

    /// Asks another office for a check, or begins one of this office's own.
    ///
    /// # Errors
    /// When fields are wrong, or this account may not.
    pub fn ask_sample(&self, input: &SampleInput) -> Result<RecordId, DeskError> {
        let is_own = input.office.trim().is_empty();
        self.allow(if is_own { Ask::ApproveTable } else { Ask::SeeCollected })?;
        let mut problems = self.problems();
        let period = problems.period(&input.from, &input.to);
        let count: Option<u16> = crate::names::ascii_digits(input.count.trim()).parse().ok();
        let count = count.filter(|count| (SAMPLE_MIN..=SAMPLE_MAX).contains(count));
        if count.is_none() {
            problems.with("count", "sample-count", format!("{SAMPLE_MIN}–{SAMPLE_MAX}"));
        }
        if period.is_some_and(|period| period.from.days_to(period.to) + 1 < SAMPLE_DAYS_MIN) {
            problems.with("to", "sample-days", SAMPLE_DAYS_MIN);
        }
        let partner: Option<OfficeId> = if is_own { None } else { problems.word("office", &input.office) };
        let is_other = |office: OfficeId| office != self.office.keys.office && self.member_name(office).is_some();
        if partner.is_some_and(|office| !is_other(office)) {
            problems.add("office", "not-in-network");
        }
        if !is_own && !self.is_collector() {
            problems.add("office", "sample-collectors");
        }
        problems.done()?;
        let (Some(period), Some(count)) = (period, count) else { return Err(DeskError::NotFound) };
        let question = SampleQuestion { question: ThreadId::random(&mut os_rng()), period, count };
        let drawn = match is_own {
            true => self.office.drawn(&question, "count")?,
            false => Vec::new(),
        };
        let id = self.write("ask_sample", move |tx| {
            let mut check = SampleCheck::new(tx.fresh_id(), partner, question, tx.now());
            check.outgoing = partner.is_some();
            check.by = tx.staff();
            match partner {
                Some(office) => Outward::control(Control::sample_question(office, question)).queue(tx)?,
                None => (check.agreed, check.lines) = (Some(tx.now()), drawn),
            }
            tx.insert(&check)?;
            tx.about(check.id);
            Ok(check.id)
        })?;
        self.office.release_outbox();
        Ok(id)
    }

    /// Says whether this office takes part in a check; where it does, its cases are drawn at once.
    ///
    /// # Errors
    /// When there is no such question, it was answered, or the account may not.
    pub fn answer_sample(&self, id: RecordId, takes_part: bool, reason: &str) -> Result<(), DeskError> {
        self.allow(Ask::ApproveTable)?;
        let mut problems = self.problems();
        let reason = match takes_part {
            true => String::new(),
            false => problems.required_text("reason", reason, REASON_BYTES_MAX),
        };
        problems.done()?;
        let asked = self.office.index.read().samples.get(&id).map(|check| check.question).ok_or(DeskError::NotFound)?;
        let drawn = if takes_part { self.office.drawn(&asked, "takes_part")? } else { Vec::new() };
        self.change_sample("answer_sample", id, SampleState::Waiting, move |tx, check| {
            let partner = check.partner.ok_or(DeskError::NotFound)?;
            (check.by, check.reason, check.declined) = (tx.staff(), reason, !takes_part);
            if takes_part {
                (check.agreed, check.lines) = (Some(tx.now()), drawn);
            }
            let said = if takes_part { SampleSaid::Agreed } else { SampleSaid::Declined };
            let answer = SampleAnswer { question: check.question.question, said };
            Outward::control(Control::sample_answer(partner, answer)).queue(tx)?;
            tx.about(id);
            Ok(())
        })?;
        self.office.release_outbox();
        Ok(())
    }

    /// Changes a check of this office's own cases that stands so; one that stands otherwise was changed by somebody else.
    fn change_sample(
        &self,
        action: &'static str,
        id: RecordId,
        state: SampleState,
        change: impl FnOnce(&mut Tx<'_>, &mut SampleCheck) -> Result<(), DeskError> + Send + 'static,
    ) -> Result<(), DeskError> {
        self.write(action, move |tx| {
            let sealed = tx.get::<SampleCheck>(SampleCheck::TOP, id)?.filter(|sealed| !sealed.record.outgoing);
            let mut sealed = sealed.ok_or(DeskError::NotFound)?;
            if sealed.record.state() != state {
                return Err(VaultError::Conflict.into());
            }
            change(tx, &mut sealed.record)?;
            Ok(tx.update(&sealed.record, sealed.revision)?)
        })
    }

    /// The call sheet of a check: who is asked, how, and what the record says.
    ///
    /// # Errors
    /// When there is no such check here, or the account has nothing to do with it.
    pub fn sample_sheet(&self, id: RecordId) -> Result<SampleSheet, DeskError> {
        self.allow(Ask::SeeFigures)?;
        let check = self.office.index.read().samples.get(&id).cloned().filter(|check| self.knows_sample(check));
        let check = check.ok_or(DeskError::NotFound)?;
        // What was told is over: whom it was about is nobody's to look up again.
        let is_open = check.state() == SampleState::Open && !check.outgoing;
        let seen: Vec<SampleLine> = {
            let tables = self.office.index.read();
            let sees = |line: &&SampleLine| {
                tables.cases.get(&line.case).is_some_and(|case| !case.handed_over && self.sees(&tables, case))
            };
            check.lines.iter().filter(|_| is_open).filter(sees).cloned().collect()
        };
        let cases: BTreeSet<RecordId> = seen.iter().map(|line| line.case).collect();
        let done = self.done_in(&cases);
        let lines = seen.iter().filter_map(|line| self.sheet_line(line, done.get(&line.case)).transpose());
        let lines = lines.collect::<Result<Vec<_>, _>>()?;
        self.note("sample_sheet", id);
        cases.into_iter().for_each(|case| self.note("view_case", case));
        Ok(SampleSheet { check: self.sample_view(&check), lines })
    }

    /// What was done and recovered in each of these cases, as far as this account sees it.
    fn done_in(&self, cases: &BTreeSet<RecordId>) -> BTreeMap<RecordId, Done> {
        let tables = self.office.index.read();
        let mut all: BTreeMap<RecordId, Done> = BTreeMap::new();
        for entry in tables.entries.rows().filter(|entry| cases.contains(&entry.about) && entry.is_of("service")) {
            let row = tables.cases.get(&entry.about);
            let is_open = row.is_some_and(|row| self.sees_tier(&tables, row, entry.tier));
            let of_case = all.entry(entry.about).or_default();
            let service = entry.code("service").filter(|_| is_open).map(CodeView::from);
            of_case.services.extend(service.filter(|service| !of_case.services.contains(service)));
        }
        let recovered = tables.payments.values().filter(|payment| payment.kind == PaymentKind::Recovered);
        for payment in recovered.filter(|payment| cases.contains(&payment.case)) {
            all.entry(payment.case).or_default().money.push(payment.money.to_string());
        }
        all
    }

    fn sheet_line(&self, line: &SampleLine, done: Option<&Done>) -> Result<Option<SampleLineView>, DeskError> {
        let Some(case) = self.office.vault.get::<Case>(Case::TOP, line.case)? else { return Ok(None) };
        let case = case.record;
        let person = match case.clients.first() {
            Some(client) => {
                let client = self.office.index.read().standing(client.id);
                self.office.vault.get::<Person>(Person::TOP, client)?.map(|sealed| sealed.record)
            }
            None => None,
        };
        let safe_contact = person.as_ref().map(|person| person.safe_contact.clone()).unwrap_or_default();
        let telephone = person.as_ref().and_then(|person| person.telephone.value().cloned());
        let done = done.cloned().unwrap_or_default();
        Ok(Some(SampleLineView {
            case: case.id,
            number: case.number.clone(),
            client: person.as_ref().map(Person::display_name).unwrap_or_default(),
            // Where no call and no message is safe the number is not on the sheet.
            telephone: telephone.filter(|_| safe_contact.call || safe_contact.text).unwrap_or_default(),
            has_safe_way: safe_contact.has_way(),
            safe_contact,
            case_type: case.case_type.value().map(CodeView::from),
            opened: case.opened,
            outcome: case.closed.as_ref().map(|closure| CodeView::from(&closure.reason)),
            money: done.money,
            services: done.services,
            may_ask: may_ask(&case, self.actor.staff),
            result: line.result,
            fields: line.fields.clone(),
        }))
    }

    /// Writes down what came of one case of a check.
    ///
    /// # Errors
    /// When fields are wrong, the check is over, or this account captured the case or is responsible for it.
    pub fn note_sample(&self, id: RecordId, case: RecordId, input: &SampleResultInput) -> Result<(), DeskError> {
        self.allow(Ask::SeeFigures)?;
        self.may_in_case(case, Ask::NoteInCase)?;
        let mut problems = self.problems();
        let result: Option<SampleResult> = problems.word("result", &input.result);
        let mut fields: Vec<SampleField> =
            input.fields.iter().filter_map(|field| problems.word("fields", field)).collect();
        fields.sort_unstable();
        fields.dedup();
        if result == Some(SampleResult::Mismatch) && fields.is_empty() {
            problems.add("fields", "required");
        }
        if result != Some(SampleResult::Mismatch) {
            fields.clear();
        }
        problems.done()?;
        self.change_sample("note_sample", id, SampleState::Open, move |tx, check| {
            let of_case = tx.get::<Case>(Case::TOP, case)?.ok_or(DeskError::NotFound)?;
            let (staff, at) = (tx.staff(), tx.now());
            if staff.is_none_or(|staff| !may_ask(&of_case.record, staff)) {
                return Err(DeskError::Invalid(vec![FieldProblem::new("result", "sample-own")]));
            }
            let line = check.lines.iter_mut().find(|line| line.case == case).ok_or(DeskError::NotFound)?;
            (line.result, line.fields, line.by, line.at) = (result, fields, staff, Some(at));
            tx.about(case);
            Ok(())
        })
    }

    /// Ends a check: its counts, and nothing else, go to who asked.
    ///
    /// # Errors
    /// When nothing was asked yet, it is over, or the account may not.
    pub fn tell_sample(&self, id: RecordId) -> Result<(), DeskError> {
        self.allow(Ask::ApproveTable)?;
        self.change_sample("tell_sample", id, SampleState::Open, move |tx, check| {
            let counts = check.counts().told();
            if !counts.is_whole() {
                return Err(DeskError::Invalid(vec![FieldProblem::with("result", "sample-nothing", SAMPLE_MIN)]));
            }
            check.told = Some((counts.clone(), tx.now()));
            if let Some(partner) = check.partner {
                let answer = SampleAnswer { question: check.question.question, said: SampleSaid::Counts(counts) };
                Outward::control(Control::sample_answer(partner, answer)).queue(tx)?;
            }
            tx.about(id);
            Ok(())
        })?;
        self.office.release_outbox();
        Ok(())
    }
}

/// Whether somebody may ask the client of a case whether its record is true: not who opened it, and nobody who works on it.
fn may_ask(case: &Case, staff: StaffId) -> bool {
    case.made_by != Some(staff) && case.owner != Some(staff) && !case.assigned.contains(&staff)
}

/// What was done in a case.
#[derive(Debug, Clone, Default)]
struct Done {
    services: Vec<CodeView>,
    money: Vec<String>,
}

impl Office {
    /// Draws the cases of a check, of clients who may be counted: who objected to that is not asked about it. Where there are too few,
    /// the field that asked for them is wrong.
    fn drawn(&self, question: &SampleQuestion, field: &str) -> Result<Vec<SampleLine>, DeskError> {
        let tables = self.index.read();
        let is_in = |case: &&CaseRow| {
            question.period.contains(case.opened)
                && !case.clients.is_empty()
                && !case.handed_over
                && tables.counted(case)
        };
        let cases = tables.cases.values().map(Box::as_ref).filter(is_in).map(|case| case.id);
        let drawn = draw(question, &self.keys.office, cases);
        if drawn.len() < usize::from(SAMPLE_MIN) {
            return Err(DeskError::Invalid(vec![FieldProblem::with(field, "sample-few", SAMPLE_MIN)]));
        }
        Ok(drawn.into_iter().map(SampleLine::of).collect())
    }

    /// Takes a coordinator's question: somebody here decides.
    pub(super) fn take_sample_question(
        &self,
        directory: &Directory,
        from: OfficeId,
        question: SampleQuestion,
        seen: RecordId,
    ) -> Result<Taken, DeskError> {
        let may = directory.member(&from).is_some_and(|member| member.has_role(Role::Collector));
        if !may || !question.is_askable() {
            return Ok(Taken::Aside("a sample check that this office may not ask for"));
        }
        let (waiting, is_known) = {
            let tables = self.index.read();
            let of_theirs = |check: &&Arc<SampleCheck>| !check.outgoing && check.partner == Some(from);
            let waits = |check: &&Arc<SampleCheck>| check.state() == SampleState::Waiting;
            let is_it = |check: &Arc<SampleCheck>| check.question.question == question.question;
            let theirs = || tables.samples.values().filter(of_theirs);
            (theirs().filter(waits).count(), theirs().any(is_it))
        };
        self.vault.write(None, "receive_sample_question", move |tx| {
            tx.insert(&Seen { id: seen, at: tx.now(), set_aside: None })?;
            if is_known {
                return Ok(Taken::Done);
            }
            if waiting < WAITING_MAX {
                tx.insert(&SampleCheck::new(tx.fresh_id(), Some(from), question, tx.now()))?;
                return Ok(Taken::Done);
            }
            // So many wait already: whoever asks is told that nothing comes of it.
            let answer = SampleAnswer { question: question.question, said: SampleSaid::Declined };
            Outward::control(Control::sample_answer(from, answer)).queue(tx)?;
            Ok(Taken::Done)
        })
    }

    /// Takes an office's answer to a question of ours.
    pub(super) fn take_sample_answer(
        &self,
        from: OfficeId,
        answer: SampleAnswer,
        seen: RecordId,
    ) -> Result<Taken, DeskError> {
        let asked = {
            let tables = self.index.read();
            let is_it = |check: &&Arc<SampleCheck>| {
                check.outgoing && check.partner == Some(from) && check.question.question == answer.question
            };
            tables.samples.values().find(is_it).map(|check| check.id)
        };
        let Some(id) = asked else { return Ok(Taken::Aside("an answer to a sample check that was not asked for")) };
        if matches!(&answer.said, SampleSaid::Counts(counts) if !counts.is_whole()) {
            return Ok(Taken::Aside("counts of a sample check that do not hold together"));
        }
        self.vault.write(None, "receive_sample_answer", move |tx| {
            tx.insert(&Seen { id: seen, at: tx.now(), set_aside: None })?;
            let mut sealed = tx.get::<SampleCheck>(SampleCheck::TOP, id)?.ok_or(DeskError::NotFound)?;
            let (check, at) = (&mut sealed.record, tx.now());
            // Counts end it; what comes late or twice changes nothing.
            if check.told.is_some() {
                return Ok(Taken::Done);
            }
            match answer.said {
                SampleSaid::Agreed => check.agreed = Some(at),
                SampleSaid::Declined => check.declined = true,
                SampleSaid::Counts(counts) => check.told = Some((counts, at)),
            }
            tx.update(&sealed.record, sealed.revision)?;
            Ok(Taken::Done)
        })
    }
}
