//! Where a case stands: resting, watched, resolved, closed; and what its entries say of that.

use super::cases::keys;
use super::requests::ask;
use super::tasks::{NewTask, add_task, settle_from};
use super::{ActionView, CodeView, ConsentView, Desk, DeskError, Field, FieldProblem, Measured};
use crate::policy::Ask;
use crate::records::{Action, Asked, Case, CaseState, Closure, Rest, TaskKind, TaskTitle};
use crate::vault::Tx;
use casemesh_protocol::id::RecordId;
use casemesh_protocol::terms::{Code, Value};
use casemesh_protocol::time::{Day, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// Where a case is to stand, as entered.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct StandingInput {
    /// on_hold, in_progress, resolved, monitoring or reopened.
    pub state: String,
    /// Why it rests: code of the list `hold_reason`. A case that rests needs one.
    pub rest_reason: String,
    /// The day on which somebody looks again; may be empty.
    pub rest_until: String,
}

/// The closing of a case, as entered.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ClosureInput {
    /// Code of the list `closure_reason`.
    pub reason: String,
    /// How much help it was: code of the list `level_of_help`; may be empty.
    pub level_of_help: String,
}

impl Desk {
    /// Closes a case.
    ///
    /// # Errors
    /// When it has an open referral, or the reason is missing.
    pub fn close_case(&self, case: RecordId, input: &ClosureInput) -> Result<(), DeskError> {
        // Before anything else: what stands in the way of closing would tell of a case that is not there.
        self.may_in_case(case, Ask::WriteCase)?;
        let mut problems = self.problems();
        let reason = problems.code("reason", "closure_reason", &input.reason);
        let help = problems.optional_code("level_of_help", "level_of_help", &input.level_of_help);
        problems.done()?;
        self.nothing_open(case)?;
        let Some(reason) = reason else { return Err(DeskError::NotFound) };
        let asked = Asked::Close(case, reason.clone(), help.clone());
        let asks = self.office.settings().is_some_and(|settings| settings.approve_closure)
            && !self.may(Ask::ApproveCases)
            && self.has_approver(&asked);
        if asks {
            return self
                .write_in_case("ask_closure", case, move |tx, case| ask(tx, keys(&case.clients), asked).map(drop));
        }
        let on = self.today();
        self.write_in_case("close_case", case, move |tx, case| close(tx, case, Closure { on, reason, help }))
    }

    /// What stands in the way of closing a case.
    pub(super) fn nothing_open(&self, case: RecordId) -> Result<(), DeskError> {
        let mut problems = self.problems();
        let tables = self.office.index.read();
        if tables.has_open_referral(case) {
            problems.add("reason", "referral-open");
        }
        // That somebody looks again at a case that rests is over when it is closed.
        if tables.open_tasks_of(case).any(|task| task.title != look_again()) {
            problems.add("reason", "task-open");
        }
        problems.done()
    }

    /// Lets a case rest, watches it, goes on with it, or opens a closed one again. Somebody looks again on the day that
    /// is named.
    ///
    /// # Errors
    /// When the case does not stand so that this can follow, or fields are wrong.
    pub fn set_case_state(&self, case: RecordId, input: &StandingInput) -> Result<(), DeskError> {
        self.may_in_case(case, Ask::WriteCase)?;
        let mut problems = self.problems();
        let state: Option<CaseState> = problems.word("state", &input.state);
        let reason = match state {
            Some(CaseState::OnHold) => problems.code("rest_reason", "hold_reason", &input.rest_reason),
            _ => None,
        };
        let until = match state {
            Some(CaseState::OnHold | CaseState::Monitoring) => problems.day("rest_until", &input.rest_until),
            _ => None,
        };
        if until.is_some_and(|until| until < self.today()) {
            problems.add("rest_until", "in-the-past");
        }
        problems.done()?;
        let Some(state) = state else { return Err(DeskError::NotFound) };
        self.write_in_case("set_case_state", case, move |tx, case| {
            if !case.state.followers().contains(&state) {
                return Err(DeskError::Invalid(vec![FieldProblem::with("state", "state-not-now", state)]));
            }
            settle_from(tx, case.id, case.id)?;
            case.state = state;
            case.closed = None;
            case.rest = (reason.is_some() || until.is_some()).then_some(Rest { reason, until });
            if let Some(due) = until {
                let task = NewTask { kind: TaskKind::Review, title: look_again(), due };
                add_task(tx, Some(case.id), &keys(&case.clients), task, case.owner, Some(case.id))?;
            }
            Ok(())
        })
    }
}

/// What is to be done on the day until which a case rests or is watched.
fn look_again() -> TaskTitle {
    TaskTitle::Form("rest".into())
}

/// Closes a case, inside a command.
pub(super) fn close(tx: &mut Tx<'_>, case: &mut Case, closure: Closure) -> Result<(), DeskError> {
    settle_from(tx, case.id, case.id)?;
    case.state = CaseState::Closed;
    case.closed = Some(closure);
    case.rest = None;
    case.last_activity = tx.now();
    Ok(())
}

/// The field in which a worker judges the risk.
const RISK_LEVEL: &str = "risk_level";

/// The last word of a worker on the risk, of entries that stand.
pub(super) fn last_risk(entries: &[Action]) -> Option<(Day, Code)> {
    let is_risk = |entry: &&Action| entry.form.as_ref().is_some_and(|(form, _)| form == "risk");
    let last = entries.iter().filter(is_risk).max_by_key(|entry| (entry.on, entry.at))?;
    match last.answer(RISK_LEVEL)? {
        Value::Code(level) => Some((last.on, level.clone())),
        _ => None,
    }
}

/// How a worker judged the risk last: their own word, and nothing that a program made of it.
pub(super) fn risk_of(entries: &[ActionView]) -> Option<(Day, CodeView)> {
    let levels = standing_of(entries, "risk").filter_map(|entry| {
        let level = answer_of(entry, RISK_LEVEL).and_then(code_of)?;
        Some((entry.on, entry.at, level))
    });
    levels.max_by_key(|(on, at, _)| (*on, *at)).map(|(on, _, level)| (on, level))
}

fn answer_of<'a>(entry: &'a ActionView, field: &str) -> Option<&'a Field> {
    entry.answers.iter().find(|answer| answer.field == field).map(|answer| &answer.value)
}

fn code_of(field: &Field) -> Option<CodeView> {
    let (list, code, label) = (field.list.clone()?, field.code.clone()?, field.value.clone()?);
    Some(CodeView { list, code, label })
}

/// Entries of a form that stand.
fn standing_of<'a>(entries: &'a [ActionView], form: &'a str) -> impl Iterator<Item = &'a ActionView> {
    let stands = |entry: &&ActionView| entry.corrected_by.is_none() && !entry.void;
    entries.iter().filter(stands).filter(move |entry| entry.form.as_deref() == Some(form))
}

/// What was measured more than once, before and after: scores that the client and the worker gave, not added up.
pub(super) fn measures_of(entries: &[ActionView]) -> Vec<Measured> {
    let mut scores: BTreeMap<CodeView, Vec<(Day, Timestamp, i64)>> = BTreeMap::new();
    for entry in standing_of(entries, "assessment") {
        let area = answer_of(entry, "assessment_area").and_then(code_of);
        let score = answer_of(entry, "score").and_then(|score| score.value.as_ref()?.parse().ok());
        if let (Some(area), Some(score)) = (area, score) {
            scores.entry(area).or_default().push((entry.on, entry.at, score));
        }
    }
    let measured = |(area, mut scores): (CodeView, Vec<(Day, Timestamp, i64)>)| {
        scores.sort_unstable();
        let (first, last) = (scores.first()?, scores.last()?);
        let is_twice = scores.len() > 1;
        is_twice.then_some(Measured { area, first: (first.0, first.2), last: (last.0, last.2) })
    };
    scores.into_iter().filter_map(measured).collect()
}

/// The places of a journey in the order in which they were reached; those without a day by the day of their entry.
pub(super) fn journey_of(entries: &[ActionView]) -> Vec<ActionView> {
    let mut places: Vec<ActionView> = standing_of(entries, "journey").cloned().collect();
    places.sort_by_cached_key(|entry| {
        let arrived = answer_of(entry, "arrived_on").and_then(|day| day.value.as_ref()?.parse().ok());
        (arrived.unwrap_or(entry.on), entry.at)
    });
    places
}

/// What is usually done before a case is closed, and was not. It stops nobody: not every case has money, and not everybody
/// can be asked.
pub(super) fn before_closing(entries: &[ActionView], no_money: bool, consents: &[ConsentView]) -> Vec<&'static str> {
    let has = |form: &str| standing_of(entries, form).next().is_some();
    let checks = [
        (!has("feedback"), "no_feedback"),
        (no_money, "no_money"),
        (consents.iter().any(|consent| consent.status == "given"), "consent_holds"),
    ];
    checks.into_iter().filter(|(holds, _)| *holds).map(|(_, word)| word).collect()
}
