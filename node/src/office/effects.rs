//! What follows at our office from an event that came to hold: who gets the full packet, who is told, what is to be done.

use super::DeskError;
use super::outward::{Releasing, add_own_event, release};
use super::tasks::{NewTask, add_task, settle_from};
use crate::codes;
use crate::index::{Index, Tables};
use crate::keys::Keys;
use crate::records::{
    Action, Case, CaseState, Consent, Outbox, Payment, PaymentKind, Person, Referral, Task, TaskKind, TaskState,
    TaskTitle,
};
use crate::vault::{Record, Tx};
use casemesh_protocol::consent::{ConsentStatus, Permit};
use casemesh_protocol::directory::Directory;
use casemesh_protocol::id::RecordId;
use casemesh_protocol::outgoing::Release;
use casemesh_protocol::packet::Kind as PacketKind;
use casemesh_protocol::referral::{Note, Step};
use casemesh_protocol::terms::Money;
use std::sync::Arc;

/// An answer on what is kept is due so many days after a referral was taken back.
const ERASURE_ANSWER_DAYS: i32 = 3;

/// What a command needs of the office that follows an event.
#[derive(Clone)]
pub(super) struct Ours {
    pub(super) keys: Keys,
    pub(super) index: Arc<Index>,
    pub(super) directory: Option<Arc<Directory>>,
}

/// What follows at our office from an event of the other one that came to hold.
pub(super) fn after_event(tx: &mut Tx<'_>, ours: &Ours, referral: &mut Referral, step: &Step) -> Result<(), DeskError> {
    // Somebody who was to look for another office need not, once this one took it; a mere word changes nothing.
    if let Some(case) = referral.case.filter(|_| referral.outgoing)
        && !referral.thread().state.is_before_acceptance()
        && !matches!(step, Step::Noted { .. } | Step::ErasureAnswered { .. })
    {
        settle_from(tx, case, referral.id)?;
    }
    match (step, referral.outgoing) {
        // The full packet goes only if *accepted* survived the fold, and only under a consent that still holds. Packets come in
        // any order: the other office may be at work already when we read that it accepted.
        (Step::Accepted { .. }, true) if awaits_full(referral) => first_accepts(tx, ours, referral),
        // The client told the other office: our consent ends as well, whatever else was to go under it.
        (Step::ConsentWithdrawn, true) => {
            if let Some((client, consent)) = referral.client.zip(referral.consent)
                && let Some(mut sealed) = tx.get::<Consent>(client, consent)?
                && sealed.record.status == ConsentStatus::Given
            {
                sealed.record.status = ConsentStatus::Withdrawn(tx.now());
                tx.update(&sealed.record, sealed.revision)?;
            }
            letter_in(tx, referral)
        }
        (Step::Completed { recovered, .. }, true) => {
            let amounts: Vec<Money> = recovered.iter().copied().collect();
            for money in amounts {
                note_reported(tx, referral, money)?;
            }
            letter_in(tx, referral)
        }
        (_, true) => {
            letter_in(tx, referral)?;
            match step {
                Step::Declined { .. } | Step::Rerouted { .. } | Step::Failed { .. } => {
                    find_another(tx, &ours.index, referral)
                }
                _ => Ok(()),
            }
        }
        (
            Step::Withdrawn { .. }
            | Step::Revoked { .. }
            | Step::ConsentWithdrawn
            | Step::EnteredInError
            | Step::ErasureAsked,
            false,
        ) => after_taking_back(tx, &ours.keys, referral),
        // More came for a case that we opened: whoever works on it sees that.
        (Step::Released { .. }, false) => letter_in(tx, referral),
        (_, false) => Ok(()),
    }
}

/// What follows at the receiver when the sender or the client takes a referral back: without a case everything that was
/// received goes, and the other office is told so; with one, a person decides what is kept and on what ground.
pub(super) fn after_taking_back(tx: &mut Tx<'_>, keys: &Keys, referral: &mut Referral) -> Result<(), DeskError> {
    if referral.outgoing {
        return Ok(());
    }
    let Some(id) = referral.case else {
        let answer = Step::ErasureAnswered { erased: true, kept: Note::default() };
        return add_own_event(tx, keys, referral, answer);
    };
    let Some(case) = tx.get::<Case>(Case::TOP, id)?.map(|sealed| sealed.record) else { return Ok(()) };
    let title = TaskTitle::Form("erasure_answer".into());
    let waits = |task: &Task| task.from == Some(referral.id) && task.title == title && task.state == TaskState::Open;
    if tx.list::<Task>(id)?.iter().any(|sealed| waits(&sealed.record)) {
        return Ok(());
    }
    letter_in(tx, referral)?;
    follow_up(tx, referral, &case, "erasure_answer", ERASURE_ANSWER_DAYS)
}

/// Whether the other office works on a referral and was not sent the full packet.
fn awaits_full(referral: &Referral) -> bool {
    let thread = referral.thread();
    referral.outside.is_none() && thread.state.is_at_work() && !thread.is_released()
}

/// Of several offices that were asked at the same time, the first that accepts gets it: the others are told that it is taken.
fn first_accepts(tx: &mut Tx<'_>, ours: &Ours, referral: &mut Referral) -> Result<(), DeskError> {
    let asked: Vec<RecordId> = {
        let tables = ours.index.read();
        let is_other = |other: &&Arc<Referral>| {
            other.group.is_some() && other.group == referral.group && other.id != referral.id && other.erased.is_none()
        };
        tables.referrals.values().filter(is_other).map(|other| other.id).collect()
    };
    let reason = || codes::code("withdraw_reason", "other_provider").ok_or(DeskError::NotFound);
    let mut others = Vec::new();
    for id in asked {
        others.extend(tx.get::<Referral>(Referral::TOP, id)?);
    }
    if others.iter().any(|other| other.record.thread().state.is_at_work()) {
        return add_own_event(tx, &ours.keys, referral, Step::Revoked { reason: reason()? });
    }
    for mut other in others {
        if other.record.thread().state.is_before_acceptance() {
            add_own_event(tx, &ours.keys, &mut other.record, Step::Withdrawn { reason: reason()? })?;
            tx.update(&other.record, other.revision)?;
        }
    }
    release_full(tx, ours, referral)
}

/// Whether another office that was asked at the same time can still say yes.
fn others_are_open(tables: &Tables, referral: &Referral) -> bool {
    let mut others = tables.referrals.values().filter(|other| other.group == referral.group && other.id != referral.id);
    referral.group.is_some() && others.any(|other| tables.stands(other).state.is_open())
}

fn release_full(tx: &mut Tx<'_>, ours: &Ours, referral: &mut Referral) -> Result<(), DeskError> {
    let (Some(client), Some(consent), Some(mut full)) = (referral.client, referral.consent, referral.full.clone())
    else {
        return Ok(());
    };
    let Some(consent) = tx.get::<Consent>(client, consent)?.map(|sealed| sealed.record) else { return Ok(()) };
    let standing = ours.index.read().standing(client);
    let Some(holder) = tx.get::<Person>(Person::TOP, standing)?.map(|sealed| sealed.record) else { return Ok(()) };
    let circumstances = {
        let to = (referral.partner, referral.partner_name.as_str());
        super::circumstances::around(&ours.index.read(), ours.directory.as_deref(), &holder, to, tx.now())
    };
    let (status, purpose) = (consent.status, referral.preview.purpose);
    let Ok(permit) = Permit::under(&consent.terms, status, purpose, referral.partner, circumstances, tx.now()) else {
        // The consent ended meanwhile: the other office is told, and gets nothing.
        return add_own_event(tx, &ours.keys, referral, Step::ConsentWithdrawn);
    };
    let as_held = full.clone();
    full.never = super::circumstances::shared(&holder.never, &permit);
    referral.full = Some(full.clone());
    if let Some(case) = referral.case
        && tx.get::<Case>(Case::TOP, case)?.is_some_and(|case| case.record.handed.is_some())
    {
        // The case is another office's meanwhile: nothing of it is ours to give.
        let reason = codes::code("withdraw_reason", "case_closed").ok_or(DeskError::NotFound)?;
        return add_own_event(tx, &ours.keys, referral, Step::Revoked { reason });
    }
    let under = Releasing {
        permit: &permit,
        template: referral.preview.template,
        release: Release::Accepted,
        not_before: None,
    };
    if referral.preview.is_transfer() {
        return match super::handing::release_case(tx, ours, referral, &under, full) {
            // It changed since it was offered: somebody has to see to it.
            Err(DeskError::Invalid(_)) => see_to_delivery(tx, referral),
            done => done,
        };
    }
    // It waited at a hub, and they fetched it there: the event that names it is all that is left to say.
    let is_there = super::holding::was_fetched(&ours.index.read(), referral) && as_held == full;
    match is_there && full.documents().is_empty() {
        true => add_own_event(tx, &ours.keys, referral, Step::Released { full: full.hash() })?,
        false => release(tx, &ours.keys, referral, &under, full)?,
    }
    letter_in(tx, referral)
}

/// Somebody must look for another office: the one that was asked does not help, or says nothing.
pub(super) fn find_another(tx: &mut Tx<'_>, index: &Index, referral: &Referral) -> Result<(), DeskError> {
    let Some(id) = referral.case else { return Ok(()) };
    if others_are_open(&index.read(), referral) {
        return Ok(());
    }
    let Some(case) = tx.get::<Case>(Case::TOP, id)?.map(|sealed| sealed.record) else { return Ok(()) };
    if !case.state.is_open() {
        return Ok(());
    }
    follow_up(tx, referral, &case, "find_another", 0)
}

/// An amount that the other office recovered: shown in our case, counted by them.
fn note_reported(tx: &mut Tx<'_>, referral: &Referral, money: Money) -> Result<(), DeskError> {
    let Some(case) = referral.case else { return Ok(()) };
    let Some(sealed) = tx.get::<Case>(Case::TOP, case)? else { return Ok(()) };
    Ok(tx.insert(&Payment {
        id: tx.fresh_id(),
        case,
        subjects: super::cases::keys(&sealed.record.clients),
        kind: PaymentKind::Recovered,
        money,
        paid: Some(super::today(tx)?),
        note: referral.partner_name.clone(),
        recovered_here: false,
        by: None,
        at: tx.now(),
        corrects: None,
        void: false,
    })?)
}

/// What was released did not arrive: whoever works on the case rings the other office.
pub(super) fn not_arrived(tx: &mut Tx<'_>, referral: &Referral, row: &Outbox) -> Result<(), DeskError> {
    if row.kind != PacketKind::ReferralFull.number() || !referral.outgoing {
        return Ok(());
    }
    see_to_delivery(tx, referral)
}

/// Whoever works on the case has to see that the other office gets what it waits for.
fn see_to_delivery(tx: &mut Tx<'_>, referral: &Referral) -> Result<(), DeskError> {
    match referral.case.map(|case| tx.get::<Case>(Case::TOP, case)).transpose()?.flatten() {
        Some(case) => follow_up(tx, referral, &case.record, "referral_delivery", 0),
        None => Ok(()),
    }
}

/// Whoever is responsible for the case of a referral has something to do about it, due in so many days.
fn follow_up(tx: &mut Tx<'_>, referral: &Referral, case: &Case, title: &str, days: i32) -> Result<(), DeskError> {
    let (title, due) = (TaskTitle::Form(title.to_owned()), super::today(tx)?.plus_days(days));
    let new = NewTask { kind: TaskKind::FollowUp, title, due };
    add_task(tx, Some(case.id), &super::cases::keys(&case.clients), new, case.owner, Some(referral.id)).map(drop)
}

/// The same, where nobody was told before; for a referral without a case there is nobody.
pub(super) fn follow_up_once(tx: &mut Tx<'_>, referral: &Referral, title: &str) -> Result<(), DeskError> {
    let Some(case) = referral.case.map(|case| tx.get::<Case>(Case::TOP, case)).transpose()?.flatten() else {
        return Ok(());
    };
    let said = TaskTitle::Form(title.to_owned());
    let mut tasks = tx.list::<Task>(case.record.id)?.into_iter();
    if tasks.any(|task| task.record.from == Some(referral.id) && task.record.title == said) {
        return Ok(());
    }
    follow_up(tx, referral, &case.record, title, 0)
}

/// Notes in the case of a referral that the other office wrote.
fn letter_in(tx: &mut Tx<'_>, referral: &Referral) -> Result<(), DeskError> {
    match referral.case {
        Some(case) => touch_case(tx, case, "letter_in", &referral.partner_name),
        None => Ok(()),
    }
}

/// Notes in the case that something went out or came in.
pub(super) fn touch_case(tx: &mut Tx<'_>, case: RecordId, kind: &str, text: &str) -> Result<(), DeskError> {
    let Some(mut sealed) = tx.get::<Case>(Case::TOP, case)? else { return Ok(()) };
    if let Some(kind) = codes::code("action_kind", kind) {
        let subjects = super::cases::keys(&sealed.record.clients);
        tx.insert(&Action {
            text: text.to_owned(),
            by: tx.staff(),
            ..Action::note(tx.fresh_id(), case, subjects, kind, super::today(tx)?, tx.now())
        })?;
    }
    sealed.record.last_activity = tx.now();
    sealed.record.last_by = tx.staff();
    if sealed.record.state == CaseState::Opened {
        sealed.record.state = CaseState::InProgress;
    }
    Ok(tx.update(&sealed.record, sealed.revision)?)
}
