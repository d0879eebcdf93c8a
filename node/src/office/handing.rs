//! Handing a case over to another office. Ownership follows the thread that both offices hold ([`Thread::holds_case`]): the sender
//! keeps the case until it releases it to the office that accepted; from then on its copy is read and not changed. The receiver has
//! it from the moment all parts are here. Should the handing over be undone before that, the case comes back.
//!
//! What goes along: the client's fields, the case's own, entries for all who see the case, open tasks and flags, money. What stays:
//! entries for assigned workers alone (their number is told), names of staff, grants, links to other cases, the access log.

use super::cases::{NewCase, keys, new_case};
use super::effects::Ours;
use super::outward::{Releasing, add_own_event, release};
use super::referrals::person_from;
use super::sharing::Holdings;
use super::standing::close;
use super::tasks::{NewTask, add_task};
use super::{DeskError, FieldProblem};
use crate::codes;
use crate::records::{
    Action, Case, CaseState, Closure, Handed, HeldEvent, Payment, PaymentKind, Referral, StaffRole, Task, TaskKind,
    TaskState, TaskTitle,
};
use crate::vault::{Record, Tx};
use crate::vocabulary::Vocabulary;
use casemesh_crypto::wire;
use casemesh_protocol::bounded::{List, Text, TooLong};
use casemesh_protocol::consent::Permit;
use casemesh_protocol::id::StaffId;
use casemesh_protocol::limits::{MOVED_PART_BYTES_MAX, MOVED_PARTS_MAX};
use casemesh_protocol::packet::{Full, Moved, MovedEntry, MovedPayment, MovedTask};
use casemesh_protocol::referral::Step;
use casemesh_protocol::template::Template;
use casemesh_protocol::terms::{Answer, FieldGroup, Line};

/// What the head of a part may hold beside its entries.
const HEAD_BYTES_MAX: usize = 24 * 1024;
/// A task of a form goes along under its key, which the receiver's catalogue knows as well.
const FORM_TITLE: &str = "form:";

/// What a case brings along, in parts of which each fits a packet.
pub(super) fn parts(
    words: &Vocabulary,
    case: &Case,
    held: &Holdings,
    permit: &Permit,
) -> Result<Vec<Moved>, DeskError> {
    const MOST_KIB: usize = MOVED_PART_BYTES_MAX * MOVED_PARTS_MAX as usize / 1024;
    let too_long = || DeskError::Invalid(vec![FieldProblem::with("transfer", "transfer-too-long", MOST_KIB)]);
    let bounded = |_| too_long();
    let (entries, left_behind) = held.open_entries();
    let head = Moved {
        part: 0,
        parts: 1,
        epoch: case.epoch.saturating_add(1),
        number: Line::cut(&case.number),
        opened: case.opened,
        case_type: case.case_type.value().cloned(),
        forum: case.forum.clone(),
        source: case.source.clone(),
        facts: List::new(case.facts.iter().take(casemesh_protocol::limits::LIST_MAX).cloned().collect())
            .map_err(bounded)?,
        entries: List::default(),
        tasks: List::new(held.open_tasks().map(moved_task).collect()).map_err(bounded)?,
        payments: match permit.covers(FieldGroup::Money) {
            true => List::new(held.payments.iter().map(moved_payment).collect()).map_err(bounded)?,
            false => List::default(),
        },
        left_behind: u32::try_from(left_behind).unwrap_or(u32::MAX),
    };
    let head_bytes = wire::encode(&head).len();
    if head_bytes > MOVED_PART_BYTES_MAX / 2 {
        return Err(too_long());
    }
    let mut room = MOVED_PART_BYTES_MAX.saturating_sub(head_bytes);
    let (mut all, mut part) = (vec![head.clone()], Vec::new());
    let put = |all: &mut Vec<Moved>, part: &mut Vec<MovedEntry>| -> Result<(), DeskError> {
        if let Some(last) = all.last_mut() {
            last.entries = List::new(std::mem::take(part)).map_err(bounded)?;
        }
        Ok(())
    };
    for entry in entries {
        let entry = moved_entry(words, entry).map_err(bounded)?;
        let bytes = wire::encode(&entry).len();
        if bytes > room && !part.is_empty() {
            put(&mut all, &mut part)?;
            all.push(Moved { tasks: List::default(), payments: List::default(), ..head.clone() });
            room = MOVED_PART_BYTES_MAX;
        }
        room = room.saturating_sub(bytes);
        part.push(entry);
    }
    put(&mut all, &mut part)?;
    let parts = u16::try_from(all.len()).ok().filter(|parts| *parts <= MOVED_PARTS_MAX);
    let parts = parts.ok_or_else(too_long)?;
    for (number, one) in (0..).zip(&mut all) {
        (one.part, one.parts) = (number, parts);
    }
    Ok(all)
}

fn moved_entry(words: &Vocabulary, entry: &Action) -> Result<MovedEntry, TooLong> {
    let form = entry.form.as_ref().and_then(|(form, _)| words.form(form));
    let label = |field: &str| {
        let known = form.and_then(|form| form.fields.iter().find(|known| known.id == field));
        Line::cut(known.and_then(|known| known.label.as_deref()).unwrap_or(field))
    };
    let answers = entry.answers.iter().map(|answer| (label(&answer.field), answer.clone())).collect();
    Ok(MovedEntry {
        kind: entry.kind.clone(),
        on: entry.on,
        at: entry.at,
        text: Text::cut(&entry.text),
        minutes: entry.minutes,
        form: entry.form.as_ref().map(|(form, version)| (Text::cut(form), *version)),
        answers: List::new(answers)?,
    })
}

fn moved_task(task: &Task) -> MovedTask {
    let title = match &task.title {
        TaskTitle::Words(words) => words.clone(),
        TaskTitle::Form(key) => format!("{FORM_TITLE}{key}"),
    };
    MovedTask { kind: Text::cut(task.kind.as_str()), title: Line::cut(&title), due: task.due }
}

fn moved_payment(payment: &Payment) -> MovedPayment {
    MovedPayment {
        kind: Text::cut(payment.kind.as_str()),
        money: payment.money,
        on: payment.paid,
        note: Text::cut(&payment.note),
    }
}

/// Releases the case to the office that accepted it. From here on ours is read and not changed.
pub(super) fn release_case(
    tx: &mut Tx<'_>,
    ours: &Ours,
    referral: &mut Referral,
    under: &Releasing<'_>,
    full: Full,
) -> Result<(), DeskError> {
    let id = referral.case.ok_or(DeskError::NotFound)?;
    let mut sealed = tx.get::<Case>(Case::TOP, id)?.ok_or(DeskError::NotFound)?;
    if sealed.record.clients.len() > 1 {
        return Err(DeskError::Invalid(vec![FieldProblem::new("transfer", "transfer-one-client")]));
    }
    let held = Holdings::of(tx.list::<Action>(id)?, tx.list::<Task>(id)?, tx.list::<Payment>(id)?);
    let words = ours.index.read().vocabulary.clone();
    for moved in parts(&words, &sealed.record, &held, under.permit)? {
        let first = moved.part == 0;
        let full = match first {
            true => Full { moved: Some(Box::new(moved)), ..full.clone() },
            false => Full { moved: Some(Box::new(moved)), ..Full::default() },
        };
        release(tx, &ours.keys, referral, under, full)?;
    }
    let name = referral.partner_name.clone();
    give_up(tx, &mut sealed.record, referral, &name)?;
    Ok(tx.update(&sealed.record, sealed.revision)?)
}

/// Whether a task is the case's own, and moves with it: what follows from a referral or from a decision here stays here.
pub(super) fn moves(task: &Task) -> bool {
    match &task.title {
        TaskTitle::Words(_) => true,
        TaskTitle::Form(key) => {
            const OURS: &[&str] = &[
                "override_review",
                "erasure_answer",
                "find_another",
                "case_came_back",
                "tell_outside",
                "told_otherwise",
                "erase_outside",
                "review_emergency_access",
                "partner_left",
            ];
            !OURS.contains(&key.as_str()) && !key.starts_with("referral")
        }
    }
}

/// A case of ours is another office's from now on: what was to be done in it moved along.
fn give_up(tx: &mut Tx<'_>, case: &mut Case, referral: &Referral, name: &str) -> Result<(), DeskError> {
    let mut tasks = Vec::new();
    for mut task in tx.list::<Task>(case.id)? {
        if task.record.state == TaskState::Open && moves(&task.record) {
            tasks.push(task.record.id);
            task.record.state = TaskState::Cancelled;
            task.record.settled = Some(crate::records::Settled { at: tx.now(), by: None });
            tx.update(&task.record, task.revision)?;
        }
    }
    let (handed, reason) = (
        Handed { referral: referral.id, name: name.to_owned(), at: tx.now(), state: case.state, tasks },
        codes::code("closure_reason", "transferred").ok_or(DeskError::NotFound)?,
    );
    if case.state.is_open() {
        let on = super::today(tx)?;
        close(tx, case, Closure { on, reason, help: None })?;
    }
    case.handed = Some(handed);
    case.last_by = None;
    Ok(())
}

/// After an event: makes our case what the thread says. It is asked again after every event, so that nothing depends on their order.
pub(super) fn settle(tx: &mut Tx<'_>, ours: &Ours, referral: &mut Referral) -> Result<(), DeskError> {
    if !referral.preview.is_transfer() || referral.outside.is_some() {
        return Ok(());
    }
    if !referral.outgoing && referral.case.is_none() {
        return take_over(tx, ours, referral);
    }
    let Some(mut sealed) = referral.case.map(|id| tx.get::<Case>(Case::TOP, id)).transpose()?.flatten() else {
        return Ok(());
    };
    let holds = referral.thread().holds_case(referral.side());
    let case = &mut sealed.record;
    match (holds, case.handed.clone()) {
        // It comes back: nothing was changed meanwhile.
        (true, Some(handed)) if handed.referral == referral.id => {
            case.handed = None;
            for id in handed.tasks {
                let Some(mut task) = tx.get::<Task>(case.id, id)? else { continue };
                (task.record.state, task.record.settled) = (TaskState::Open, None);
                tx.update(&task.record, task.revision)?;
            }
            if handed.state.is_open() {
                (case.state, case.closed) = (CaseState::Reopened, None);
                let due = super::today(tx)?;
                let title = TaskTitle::Form("case_came_back".into());
                let new = NewTask { kind: TaskKind::Review, title, due };
                add_task(tx, Some(case.id), &keys(&case.clients), new, case.owner, Some(referral.id))?;
            }
        }
        // The sender took it back before it knew that we had it.
        (false, None) if !referral.outgoing => {
            let name = referral.partner_name.clone();
            give_up(tx, case, referral, &name)?;
        }
        _ => return Ok(()),
    }
    Ok(tx.update(&sealed.record, sealed.revision)?)
}

/// Opens the case that was handed over to us, once all of it is here, and says so.
fn take_over(tx: &mut Tx<'_>, ours: &Ours, referral: &mut Referral) -> Result<(), DeskError> {
    let thread = referral.thread();
    let Some(full) = referral.full.clone().filter(|_| thread.state.is_at_work() && thread.is_released()) else {
        return Ok(());
    };
    referral.moved.sort_by_key(|moved| moved.part);
    let Some(head) = referral.moved.first().cloned() else { return Ok(()) };
    let is_whole = (0..head.parts).eq(referral.moved.iter().map(|moved| moved.part));
    if !is_whole {
        return Ok(());
    }
    let person = person_from(tx, referral, &full);
    tx.insert(&person)?;
    let (id, words) = (person.reference(), ours.index.read().vocabulary.clone());
    let new = NewCase {
        case_type: head.case_type.clone(),
        forum: head.forum.clone(),
        source: head.source.clone(),
        summary: full.brief.to_string(),
        owner: accepted_by(ours, referral),
        ..NewCase::default()
    };
    let case = new_case(tx, vec![id], new)?;
    let mut opened = tx.get::<Case>(Case::TOP, case)?.ok_or(DeskError::NotFound)?;
    opened.record.from_referral = Some(referral.id);
    opened.record.epoch = head.epoch;
    opened.record.facts = head.facts.iter().cloned().collect();
    tx.update(&opened.record, opened.revision)?;
    let subjects = vec![person.key];
    super::attachments::take_documents(tx, case, &subjects, &full)?;
    for moved in std::mem::take(&mut referral.moved) {
        for entry in moved.entries.iter() {
            let action = entry_of(
                &words,
                entry,
                Action {
                    text: entry.text.to_string(),
                    minutes: entry.minutes,
                    ..Action::note(tx.fresh_id(), case, subjects.clone(), entry.kind.clone(), entry.on, tx.now())
                },
            );
            tx.insert(&action)?;
        }
        for task in moved.tasks.iter() {
            let kind = task.kind.as_str().parse().unwrap_or(TaskKind::ToDo);
            let title = match task.title.as_str().strip_prefix(FORM_TITLE) {
                Some(key) => TaskTitle::Form(key.to_owned()),
                None => TaskTitle::Words(task.title.to_string()),
            };
            let new = NewTask { kind, title, due: task.due };
            add_task(tx, Some(case), &subjects, new, opened.record.owner, None)?;
        }
        for payment in moved.payments.iter() {
            let Ok(kind) = payment.kind.as_str().parse::<PaymentKind>() else { continue };
            tx.insert(&Payment {
                id: tx.fresh_id(),
                case,
                subjects: subjects.clone(),
                kind,
                money: payment.money,
                paid: payment.on,
                note: payment.note.to_string(),
                // The office that recovered it has counted it.
                recovered_here: false,
                by: None,
                at: tx.now(),
                corrects: None,
                void: false,
            })?;
        }
    }
    referral.case = Some(case);
    referral.client = Some(person.id);
    tx.about(case);
    add_own_event(tx, &ours.keys, referral, Step::TakenOver { epoch: head.epoch })
}

/// What an entry says: fields of a form that we know as they are, others under the label that they came with.
fn entry_of(words: &Vocabulary, entry: &MovedEntry, action: Action) -> Action {
    let known = entry.form.as_ref().and_then(|(form, version)| Some((words.form(form.as_str())?, *version)));
    let knows = |field: &str| known.is_some_and(|(form, _)| form.fields.iter().any(|own| own.id == field));
    let answers = entry.answers.iter().map(|(label, answer)| Answer {
        field: if knows(&answer.field) { answer.field.clone() } else { label.to_string() },
        value: answer.value.clone(),
    });
    Action { answers: answers.collect(), form: known.map(|(form, version)| (form.id.clone(), version)), ..action }
}

/// Who of us accepted: the case is theirs, unless somebody gives it to another.
fn accepted_by(ours: &Ours, referral: &Referral) -> Option<StaffId> {
    let accepts = |held: &&HeldEvent| {
        held.ours && held.signed.read().is_ok_and(|event| matches!(event.step, Step::Accepted { .. }))
    };
    let tables = ours.index.read();
    let works = |staff: &StaffId| {
        let roles = tables.staff.get(staff).map(|member| member.roles.as_slice()).unwrap_or_default();
        roles.iter().any(|role| matches!(role, StaffRole::Caseworker | StaffRole::Supervisor))
    };
    referral.events.iter().rev().find(accepts).and_then(|held| held.by).filter(works)
}

/// Takes what was released to us: the newest fields, and the parts of a case that is handed over.
pub(super) fn take_full(referral: &mut Referral, mut full: Full) {
    let moved = full.moved.take();
    if moved.as_ref().is_none_or(|moved| moved.part == 0) {
        referral.full = Some(full.after(referral.full.as_ref()));
    }
    let is_expected = |moved: &Moved| {
        let is_new = referral.moved.iter().all(|known| known.part != moved.part && known.parts == moved.parts);
        let is_bounded = moved.part < moved.parts && moved.parts <= MOVED_PARTS_MAX;
        // Its head comes with each part.
        is_new && is_bounded && wire::encode(moved).len() <= MOVED_PART_BYTES_MAX + HEAD_BYTES_MAX
    };
    let takes_parts = referral.preview.is_transfer() && referral.thread().state.is_at_work();
    if let Some(moved) = moved.filter(|moved| takes_parts && is_expected(moved)) {
        referral.moved.push(*moved);
    }
}

/// Whether a case may be handed over now, or which field of the form says why not.
pub(super) fn obstacle(
    permit: &Permit,
    has_open_referral: bool,
    clients: usize,
) -> Option<(&'static str, &'static str, String)> {
    // One client's consent is not the others'.
    if clients > 1 {
        return Some(("transfer", "transfer-one-client", String::new()));
    }
    let missing: Vec<&str> = Template::NEEDED_TO_HAND_OVER
        .iter()
        .filter(|group| !permit.covers(**group))
        .map(|group| group.as_str())
        .collect();
    if !missing.is_empty() {
        return Some(("consent", "transfer-needs-scope", missing.join(", ")));
    }
    has_open_referral.then(|| ("to", "transfer-open-referral", String::new()))
}
