//! Offices without a node, both ways: a printed slip with a code to answer by, a letter or a call that is booked in, and answers
//! that somebody tells. They stand in the same lists, under the same timers and rules, as what comes in packets; what another
//! office told is written down with who said it, and never signed as if it were theirs.

use super::effects::after_event;
use super::outward::next_event;
use super::people::Problems;
use super::referrals::other_side;
use super::steps::{self, AnswerInput};
use super::tasks::{NewTask, add_task};
use super::{CodeView, Desk, DeskError, HeardView, SlipView};
use crate::index::Tables;
use crate::policy::Ask;
use crate::records::{Case, Consent, Heard, HeldEvent, Outside, Person, Referral, TaskKind, TaskTitle, Told};
use crate::vault::{Record, Tx};
use casemesh_crypto::random::os_rng;
use casemesh_crypto::token;
use casemesh_protocol::bounded::Text;
use casemesh_protocol::consent::{Permit, outside_office};
use casemesh_protocol::id::{RecordId, ThreadId};
use casemesh_protocol::limits::NEED_BYTES_MAX;
use casemesh_protocol::packet::{self, Preview};
use casemesh_protocol::referral::{Fate, Side, Step, Thread};
use casemesh_protocol::terms::Purpose;
use casemesh_protocol::timers;
use casemesh_protocol::timers::URGENCIES;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use utoipa::ToSchema;

/// So much is written down of what another office tells beside its packets.
const HEARD_MAX: usize = 64;

/// A referral that came by letter, telephone or in person, as entered.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct BookInInput {
    /// Who refers: an office, a court, a helpline, a person.
    pub from: String,
    /// How it came: code of the list `outside_way`.
    pub how: String,
    /// Telephone, address and the like, to answer to.
    pub contact: String,
    /// Their number for it.
    pub reference: String,
    /// Code of the list `service_type`.
    pub service: String,
    /// What is needed, in words.
    pub need: String,
    /// routine, urgent or emergency.
    pub urgency: String,
}

/// What another office told, as entered.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ToldInput {
    /// Who told it: name and role.
    pub by: String,
    /// How: code of the list `outside_way`.
    pub how: String,
    /// What they said.
    pub answer: AnswerInput,
}

/// Characters of the code on a slip.
const CODE_SYMBOLS: usize = 8;

/// A code for a slip of paper.
pub(super) fn slip_code() -> String {
    token::spoken_code(CODE_SYMBOLS, &mut os_rng())
}

/// A code as it is read from paper: whatever is written between, and letters that look like numbers.
fn plain(code: &str) -> String {
    let code = crate::names::ascii_digits(code).to_uppercase();
    let letters = code.chars().filter(char::is_ascii_alphanumeric);
    letters
        .map(|letter| {
            if matches!(letter, 'I' | 'L') {
                '1'
            } else if letter == 'O' {
                '0'
            } else {
                letter
            }
        })
        .collect()
}

impl Desk {
    /// Books in a referral of somebody who has no node. It is answered like any other.
    ///
    /// # Errors
    /// When fields are wrong, or the account answers no referrals.
    pub fn book_in(&self, input: &BookInInput) -> Result<RecordId, DeskError> {
        self.allow(Ask::AnswerReferrals)?;
        let mut problems = self.problems();
        let from = problems.line("from", &input.from);
        if from.is_empty() {
            problems.add("from", "required");
        }
        let how = problems.code("how", "outside_way", &input.how);
        let contact = problems.text("contact", &input.contact, 400);
        let reference = problems.text("reference", &input.reference, 200);
        let service = problems.code("service", "service_type", &input.service);
        let need = problems.required_text("need", &input.need, NEED_BYTES_MAX);
        let urgency = urgency_of(&mut problems, &input.urgency);
        problems.done()?;
        let (Some(how), Some(service)) = (how, service) else { return Err(DeskError::NotFound) };
        let rules = self.office.rules();
        let office = Arc::clone(&self.office);
        let input_service = service.code.to_string();
        self.write("book_in", move |tx| {
            let now = tx.now();
            let within = |of| now.plus_ms(u64::from(timers::hours(of, urgency)) * 3_600_000);
            let (respond_by, expires) = (within(rules.decide_h), within(rules.expire_h));
            let thread = ThreadId::random(&mut os_rng());
            let partner = outside_office(from.as_str());
            let seed: [u8; 4] = casemesh_crypto::random::array(&mut os_rng());
            let preview = Preview {
                need: Text::cut(&need),
                pseudonym: Text::cut(&packet::pseudonym(&partner, seed)),
                ..Preview::asking(service.clone(), super::sharing::usual(&input_service), expires)
            };
            let step = Step::Sent { service, respond_by, expires, preview: preview.hash() };
            let signed = next_event(tx, &office.keys, thread, Side::Sender, &Thread::fold([]), step)?;
            let told = Some(Told { by: from.to_string(), how: how.clone() });
            let first = HeldEvent { signed, ours: false, at: now, by: tx.staff(), told };
            let (id, key) = (tx.fresh_id(), tx.new_person_key());
            let referral = Referral::begun(id, key, (partner, from.to_string()), preview, first, urgency);
            let outside = Outside { how, contact, reference, code: slip_code() };
            let referral = Referral { outside: Some(outside), ..referral.ok_or(DeskError::NotFound)? };
            tx.insert(&referral)?;
            tx.about(referral.id);
            Ok(referral.id)
        })
    }

    /// Writes down what the other office told. Of an office without a node it is its step; of one with a node it stands beside
    /// the log until its own event says the same.
    ///
    /// # Errors
    /// When the other office cannot say that now, or who told it is missing.
    pub fn told(&self, id: RecordId, input: &ToldInput) -> Result<(), DeskError> {
        let referral = self.visible_referral(id)?;
        self.allow(Ask::AnswerReferrals)?;
        if referral.outgoing {
            self.may_refer(referral.case.ok_or(DeskError::NotFound)?)?;
        }
        let mut problems = self.problems();
        let by = problems.required_text("by", &input.by, 200);
        let how = problems.code("how", "outside_way", &input.how);
        problems.done()?;
        let Some(how) = how else { return Err(DeskError::NotFound) };
        let told = Told { by, how };
        let step =
            steps::read(self.problems(), &input.answer, self.today(), Vec::new(), |office| self.member_name(office))?;
        let ours = self.office.ours();
        self.write("told", move |tx| {
            let mut sealed = tx.get::<Referral>(Referral::TOP, id)?.ok_or(DeskError::NotFound)?;
            let referral = &mut sealed.record;
            let (thread, side) = (referral.thread(), other_side(referral.side()));
            thread.state.after(&step, side)?;
            if referral.outside.is_some() {
                let signed = next_event(tx, &ours.keys, referral.thread, side, &thread, step.clone())?;
                let held = HeldEvent { signed, ours: false, at: tx.now(), by: tx.staff(), told: Some(told) };
                referral.events.push(held);
                if referral.outgoing {
                    referral.facts.arrived.get_or_insert(tx.now());
                    referral.facts.answered.get_or_insert(tx.now());
                }
                after_event(tx, &ours, referral, &step)?;
            } else if referral.heard.len() >= HEARD_MAX {
                return Err(crate::vault::VaultError::Conflict.into());
            } else {
                referral.heard.push(Heard { step, told, at: tx.now(), by: tx.staff(), confirmed: None });
            }
            tx.about(id);
            Ok(tx.update(&sealed.record, sealed.revision)?)
        })?;
        // A consent that the other office was told is taken back ends whatever else stands under it.
        self.office.end_withdrawn()?;
        self.office.shed_referrals();
        self.office.release_outbox();
        Ok(())
    }

    /// What stands on the slip that goes to an office without a node, or that answers it. The consent is asked again, and that
    /// it was printed is in the log before it is shown.
    ///
    /// # Errors
    /// When there is no such referral for this account, the office has a node, or the consent does not hold any more.
    pub fn slip(&self, id: RecordId) -> Result<SlipView, DeskError> {
        let referral = self.visible_referral(id)?;
        self.allow(Ask::AnswerReferrals)?;
        let Some(outside) = &referral.outside else { return Err(DeskError::NotFound) };
        if referral.outgoing {
            self.may_refer(referral.case.ok_or(DeskError::NotFound)?)?;
            let (client, consent) = referral.client.zip(referral.consent).ok_or(DeskError::NotFound)?;
            let consent = self.office.vault.get::<Consent>(client, consent)?.ok_or(DeskError::NotFound)?.record;
            let holder = self.office.index.read().standing(client);
            let holder = self.office.vault.get::<Person>(Person::TOP, holder)?.ok_or(DeskError::NotFound)?.record;
            let to = referral.partner;
            let circumstances = self.office.circumstances(&holder, to, &referral.partner_name);
            Permit::under(&consent.terms, consent.status, Purpose::ShareForService, to, circumstances, self.now())?;
            let state = referral.thread().state;
            // Whoever does not help needs nothing more on paper.
            if !state.is_before_acceptance() && !state.is_at_work() {
                return Err(DeskError::NotFound);
            }
        }
        self.office.vault.note_and_wait(Some(self.actor.staff), "hand_out", Some(id))?;
        let state = {
            let tables = self.office.index.read();
            tables.stands(&referral).state
        };
        Ok(SlipView {
            id,
            outgoing: referral.outgoing,
            from: self.office_name(),
            worker: self.name.clone(),
            to: referral.partner_name.clone(),
            contact: outside.contact.clone(),
            reference: outside.reference.clone(),
            code: outside.code.clone(),
            respond_by: referral.respond_by,
            urgency: referral.urgency,
            state,
            preview: referral.preview.clone(),
            full: referral.full.clone(),
            answer: referral.thread().applied().filter(|(event, _)| event.side == Side::Receiver).last().map(
                |(event, _)| steps::event_view(&event.event, event.side, Fate::Applied(state), steps::Shown::default()),
            ),
        })
    }

    /// The referral that a code on a slip belongs to.
    ///
    /// # Errors
    /// When there is none that this account may see.
    pub fn referral_by_code(&self, code: &str) -> Result<RecordId, DeskError> {
        self.allow(Ask::AnswerReferrals)?;
        let wanted = plain(code);
        let tables = self.office.index.read();
        let is_it = |referral: &&Arc<Referral>| {
            let outside = referral.outside.as_ref().filter(|_| self.sees_referral(&tables, referral));
            outside.is_some_and(|outside| plain(&outside.code) == wanted)
        };
        tables.referrals.values().find(is_it).map(|referral| referral.id).ok_or(DeskError::NotFound)
    }

    pub(super) fn heard_view(&self, tables: &Tables, heard: &Heard) -> HeardView {
        HeardView {
            step: heard.step.word().into(),
            told_by: heard.told.by.clone(),
            how: CodeView::from(&heard.told.how),
            at: heard.at,
            by: self.staff_name(tables, heard.by),
            confirmed: heard.confirmed,
        }
    }
}

/// How urgent, as it is written in forms.
pub(super) fn urgency_of(problems: &mut Problems, word: &str) -> u8 {
    if word.is_empty() {
        return 0;
    }
    let number = (0u8..).zip(URGENCIES).find(|(_, known)| *known == word).map(|(number, _)| number);
    number.unwrap_or_else(|| {
        problems.with("urgency", "unknown-value", word);
        0
    })
}

/// Somebody has to tell an office without a node what we decided.
pub(super) fn tell(tx: &mut Tx<'_>, referral: &Referral) -> Result<(), DeskError> {
    let told = referral.events.last().and_then(|held| held.signed.read().ok());
    let silent =
        told.is_some_and(|event| matches!(event.step, Step::Acknowledged | Step::Closed { .. } | Step::Noted { .. }));
    let case = match referral.case {
        Some(id) => tx.get::<Case>(Case::TOP, id)?.map(|sealed| sealed.record),
        None => None,
    };
    if silent || case.as_ref().is_some_and(|case| !case.state.is_open()) {
        return Ok(());
    }
    let (due, title) = (super::today(tx)?, TaskTitle::Form("tell_outside".into()));
    let subjects = case.as_ref().map(|case| super::cases::keys(&case.clients)).unwrap_or_default();
    let owner = case.as_ref().and_then(|case| case.owner).or(tx.staff());
    let new = NewTask { kind: TaskKind::ToDo, title, due };
    add_task(tx, referral.case, &subjects, new, owner, Some(referral.id)).map(drop)
}

/// Steps by which an office decides: what was told of one of them is confirmed or denied by another.
const fn decides(step: &Step) -> bool {
    matches!(
        step,
        Step::Accepted { .. }
            | Step::Declined { .. }
            | Step::Rerouted { .. }
            | Step::Waitlisted { .. }
            | Step::Completed { .. }
            | Step::Failed { .. }
    )
}

/// Compares what was told beside the packets with an event of the other office that came to hold.
pub(super) fn compare(tx: &mut Tx<'_>, referral: &mut Referral, step: &Step) -> Result<(), DeskError> {
    let mut differs = false;
    for heard in referral.heard.iter_mut().filter(|heard| heard.confirmed.is_none()) {
        if heard.step.word() == step.word() {
            heard.confirmed = Some(true);
        } else if decides(step) && decides(&heard.step) {
            heard.confirmed = Some(false);
            differs = true;
        }
    }
    let Some(case) = referral.case.filter(|_| differs) else { return Ok(()) };
    let Some(case) = tx.get::<Case>(Case::TOP, case)?.map(|sealed| sealed.record) else { return Ok(()) };
    let (due, title) = (super::today(tx)?, TaskTitle::Form("told_otherwise".into()));
    let new = NewTask { kind: TaskKind::FollowUp, title, due };
    add_task(tx, Some(case.id), &super::cases::keys(&case.clients), new, case.owner, Some(referral.id)).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_found_as_people_write_it() {
        assert_eq!(plain("7k-q2 0o1L"), "7KQ20011");
        assert_eq!(plain("٧KQ2"), "7KQ2");
        assert_ne!(plain("7KQ2"), plain("7KQ3"));
    }
}
