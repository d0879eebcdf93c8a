//! Steps in a referral: what each needs, and what is offered where. One table makes the page, the API and the check of what
//! was sent.

use super::people::Problems;
use super::{CodeView, DeskError, EventView, StepView};
use crate::codes;
use crate::records::Referral;
use crate::vocabulary::Vocabulary;
use casemesh_protocol::bounded::List;
use casemesh_protocol::id::OfficeId;
use casemesh_protocol::limits::NOTE_BYTES_MAX;
use casemesh_protocol::referral::{Event, Fate, Note, Side, State, Step, Visit};
use casemesh_protocol::terms::{Code, Line, Money};
use casemesh_protocol::time::Day;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use utoipa::ToSchema;

/// An answer, or another step in a referral.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AnswerInput {
    /// Which step, of those that the referral offers.
    pub step: String,
    /// Code of the step's list: reason, outcome, feedback or what is kept.
    pub code: String,
    /// In words, shared with the other office.
    pub note: String,
    /// A day that belongs to the step: the first contact, or the end of a waiting list.
    pub on: String,
    /// The office that is named instead.
    pub office: String,
    /// When the client should come.
    pub when: String,
    /// Where.
    pub place: String,
    /// Whom to ask for.
    pub ask_for: String,
    /// What to bring.
    pub bring: String,
    /// What was given: codes of the list `service_type`.
    pub services: Vec<String>,
}

/// Whether something has to be said with a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Wanted {
    /// It is not asked.
    No,
    /// It can be said.
    May,
    /// It has to be said.
    Must,
}

/// What a step needs.
struct Needs {
    word: &'static str,
    /// The list of its code.
    list: Option<(&'static str, Wanted)>,
    note: Wanted,
    day: Wanted,
    /// Whether another office is named.
    office: bool,
    /// Whether it says when and where the client should come.
    visit: bool,
    /// Whether it says what was given.
    services: bool,
}

const fn plain(word: &'static str, list: Option<(&'static str, Wanted)>, note: Wanted, day: Wanted) -> Needs {
    Needs { word, list, note, day, office: false, visit: false, services: false }
}

/// Every step that a person can make, in the order in which a page offers them.
const STEPS: &[Needs] = {
    use Wanted::{May, Must, No};
    &[
        plain("acknowledged", None, No, No),
        plain("conflict_answered", Some(("conflict_answer", Must)), No, No),
        Needs { visit: true, ..plain("accepted", None, May, May) },
        plain("started", None, No, May),
        plain("info_requested", None, Must, No),
        plain("info_given", None, Must, No),
        plain("waitlisted", None, No, May),
        plain("on_hold", Some(("hold_reason", Must)), No, No),
        Needs { services: true, ..plain("completed", Some(("outcome", Must)), May, No) },
        plain("failed", Some(("failure_reason", Must)), May, No),
        plain("declined", Some(("decline_reason", Must)), May, No),
        Needs { office: true, ..plain("rerouted", None, May, No) },
        plain("closed", Some(("feedback", May)), May, No),
        plain("erasure_answered", Some(("erasure_answer", Must)), May, No),
        plain("noted", None, Must, No),
        plain("withdrawn", Some(("withdraw_reason", Must)), No, No),
        plain("revoked", Some(("withdraw_reason", Must)), No, No),
        plain("consent_withdrawn", None, No, No),
        plain("entered_in_error", None, No, No),
    ]
};

/// Reads a step as it was sent.
pub(super) fn read(
    mut problems: Problems,
    input: &AnswerInput,
    today: Day,
    recovered: Vec<Money>,
    name_of: impl Fn(OfficeId) -> Option<String>,
) -> Result<Step, DeskError> {
    let Some(needs) = STEPS.iter().find(|needs| needs.word == input.step) else {
        problems.with("step", "unknown-value", &input.step);
        problems.done()?;
        return Err(DeskError::NotFound);
    };
    let text = problems.text("note", &input.note, NOTE_BYTES_MAX);
    if needs.note == Wanted::Must && text.is_empty() {
        problems.add("note", "required");
    }
    let note = Note::cut(&text);
    let code = match needs.list {
        Some((list, Wanted::Must)) => problems.code("code", list, &input.code),
        Some((list, _)) => problems.optional_code("code", list, &input.code),
        None => None,
    };
    let on = if needs.day == Wanted::No { None } else { problems.day("on", &input.on) };
    let office = match input.office.as_str() {
        "" => None,
        _ if !needs.office => None,
        text => problems.word::<OfficeId>("office", text),
    };
    let suggested = office.and_then(&name_of);
    if office.is_some() && suggested.is_none() {
        problems.with("office", "unknown-value", &input.office);
    }
    if needs.office && office.is_none() && text.is_empty() {
        problems.add("note", "required");
    }
    let visit = Visit {
        when: problems.line("when", &input.when),
        place: problems.line("place", &input.place),
        ask_for: problems.line("ask_for", &input.ask_for),
        bring: problems.line("bring", &input.bring),
    };
    let services: Vec<Code> = match needs.services {
        true => input.services.iter().filter_map(|code| problems.code("services", "service_type", code)).collect(),
        false => Vec::new(),
    };
    problems.done()?;
    let step = step_of(needs.word, Said { code, note, on, today, office, suggested, visit, services, recovered });
    step.ok_or(DeskError::NotFound)
}

/// What was said with a step, checked.
struct Said {
    code: Option<Code>,
    note: Note,
    on: Option<Day>,
    today: Day,
    office: Option<OfficeId>,
    suggested: Option<String>,
    visit: Visit,
    services: Vec<Code>,
    recovered: Vec<Money>,
}

fn step_of(word: &str, said: Said) -> Option<Step> {
    let Said { code, note, on, today, office, suggested, visit, services, recovered } = said;
    Some(match word {
        "acknowledged" => Step::Acknowledged,
        "info_requested" => Step::InfoRequested { text: note },
        "info_given" => Step::InfoGiven { text: note },
        "noted" => Step::Noted { text: note },
        "accepted" => {
            let visit = Some(visit).filter(|visit| !visit.is_empty());
            Step::Accepted { arrangement: note, first_contact_by: on, visit }
        }
        "declined" => Step::Declined { reason: code?, note },
        "rerouted" => Step::Rerouted { suggested: Line::cut(&suggested.unwrap_or_default()), note, office },
        "waitlisted" => Step::Waitlisted { until: on },
        "started" => Step::Started { first_contact: on.unwrap_or(today) },
        "on_hold" => Step::OnHold { reason: code? },
        "completed" => Step::Completed {
            outcome: code?,
            services: List::new(services).ok()?,
            recovered: List::new(recovered).unwrap_or_default(),
            note,
        },
        "failed" => Step::Failed { reason: code?, note },
        "withdrawn" => Step::Withdrawn { reason: code? },
        "revoked" => Step::Revoked { reason: code? },
        "conflict_answered" => Step::ConflictAnswered { can_act: code?.code.as_str() == "can_act" },
        "consent_withdrawn" => Step::ConsentWithdrawn,
        "entered_in_error" => Step::EnteredInError,
        "closed" => Step::Closed { feedback: code, note },
        "erasure_answered" => {
            let code = code?;
            let erased = code.code.as_str() == "all_erased";
            let kept = if erased { note } else { Note::cut(format!("{}. {note}", code.label).trim()) };
            Step::ErasureAnswered { erased, kept }
        }
        _ => return None,
    })
}

/// The steps that a side can make where the referral stands.
pub(super) fn offered(words: &Arc<Vocabulary>, referral: &Referral, state: State, side: Side) -> Vec<StepView> {
    let today = referral.expires.day();
    let is_legal = |needs: &&Needs| {
        let code = needs.list.and_then(|(list, _)| codes::list(list)?.codes.first());
        let probe = AnswerInput {
            step: needs.word.to_owned(),
            code: code.map(|(code, _)| (*code).to_owned()).unwrap_or_default(),
            note: "x".into(),
            ..AnswerInput::default()
        };
        let step = read(Problems::new(Arc::clone(words)), &probe, today, Vec::new(), |_| None);
        step.is_ok_and(|step| state.after(&step, side).is_ok())
    };
    let is_asked = state.is_final() || referral.is_to_erase();
    // A case is handed over or not: there is no service to give and to finish.
    let is_transfer = referral.preview.is_transfer();
    let asks_conflict = super::conflicts::is_open(&referral.thread());
    let is_due = |needs: &&Needs| match needs.word {
        "erasure_answered" => is_asked,
        "conflict_answered" => asks_conflict,
        "started" | "on_hold" | "completed" => !is_transfer,
        _ => true,
    };
    let view = |needs: &Needs| StepView {
        step: needs.word.to_owned(),
        list: needs.list.map(|(list, _)| list.to_owned()),
        code: needs.list.map_or(Wanted::No, |(_, wanted)| wanted),
        note: needs.note,
        day: needs.day,
        office: needs.office,
        visit: needs.visit,
        services: needs.services,
    };
    STEPS.iter().filter(is_due).filter(is_legal).map(view).collect()
}

/// What is known of an event beside what it says.
#[derive(Default)]
pub(super) struct Shown {
    pub(super) ours: bool,
    pub(super) by: Option<String>,
    pub(super) verified: bool,
    pub(super) known: bool,
    pub(super) told: Option<(String, CodeView)>,
}

/// An event, as the log of a referral shows it.
pub(super) fn event_view(event: &Event, side: Side, fate: Fate, shown: Shown) -> EventView {
    let Shown { ours, by, verified, known, told } = shown;
    let said;
    let mut visit = None;
    let mut services: Vec<&Code> = Vec::new();
    let (code, text, amounts): (Option<&Code>, String, Vec<String>) = match &event.step {
        Step::Sent { service, .. } => (Some(service), String::new(), vec![]),
        Step::InfoRequested { text } | Step::InfoGiven { text } | Step::Noted { text } => {
            (None, text.to_string(), vec![])
        }
        Step::Accepted { arrangement, visit: said, first_contact_by } => {
            visit.clone_from(said);
            let by = first_contact_by.map(|day| format!("{day} ")).unwrap_or_default();
            (None, format!("{by}{arrangement}").trim().to_owned(), vec![])
        }
        Step::Declined { reason, note } | Step::Failed { reason, note } => (Some(reason), note.to_string(), vec![]),
        Step::Rerouted { suggested, note, .. } => (None, format!("{suggested} {note}").trim().to_owned(), vec![]),
        Step::OnHold { reason } | Step::Withdrawn { reason } | Step::Revoked { reason } => {
            (Some(reason), String::new(), vec![])
        }
        Step::Completed { outcome, recovered, note, services: given } => {
            services.extend(given.iter());
            (Some(outcome), note.to_string(), recovered.iter().map(ToString::to_string).collect())
        }
        Step::Closed { feedback, note } => (feedback.as_ref(), note.to_string(), vec![]),
        Step::ConflictAnswered { can_act } => {
            said = codes::code("conflict_answer", if *can_act { "can_act" } else { "cannot_act" });
            (said.as_ref(), String::new(), vec![])
        }
        Step::ErasureAnswered { kept, .. } => (None, kept.to_string(), vec![]),
        Step::Started { first_contact } => (None, first_contact.to_string(), vec![]),
        Step::Waitlisted { until } => (None, until.map(|day| day.to_string()).unwrap_or_default(), vec![]),
        Step::Acknowledged
        | Step::ConsentWithdrawn
        | Step::Expired
        | Step::EnteredInError
        | Step::ErasureAsked
        | Step::TakenOver { .. }
        | Step::ConflictAsked { .. }
        | Step::Released { .. } => (None, String::new(), vec![]),
    };
    EventView {
        step: event.step.word().into(),
        side,
        at: event.at,
        code: code.map(CodeView::from),
        text,
        visit,
        services: services.into_iter().map(CodeView::from).collect(),
        office: match &event.step {
            Step::Rerouted { office, .. } => *office,
            _ => None,
        },
        amounts,
        refused: matches!(fate, Fate::Refused(_)),
        ours,
        by,
        verified,
        known,
        told,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_step_that_a_person_makes_can_be_said_and_leads_somewhere() {
        let words = Arc::new(Vocabulary::default());
        let day: Day = "2026-03-01".parse().unwrap();
        for needs in STEPS {
            let code = needs.list.map(|(list, _)| codes::list(list).unwrap().codes[0].0.to_owned());
            let input = AnswerInput {
                step: needs.word.into(),
                code: code.unwrap_or_default(),
                note: "said".into(),
                on: "2026-04-01".into(),
                ..AnswerInput::default()
            };
            let step = read(Problems::new(Arc::clone(&words)), &input, day, Vec::new(), |_| None).unwrap();
            assert_eq!(step.word(), needs.word);
            let states = State::ALL.iter().flat_map(|state| [(*state, Side::Sender), (*state, Side::Receiver)]);
            let legal = states.filter(|(state, side)| state.after(&step, *side).is_ok()).count();
            assert!(legal > 0, "{} is never legal", needs.word);
            let empty = AnswerInput { step: needs.word.into(), ..AnswerInput::default() };
            let refused = read(Problems::new(Arc::clone(&words)), &empty, day, Vec::new(), |_| None).is_err();
            let needs_words = needs.note == Wanted::Must || needs.office;
            assert_eq!(refused, needs_words || needs.list.is_some_and(|(_, wanted)| wanted == Wanted::Must));
        }
    }
}
