//! Whether another office could take somebody, asked and answered without a person: before a consent is asked for, and before
//! anything about anybody leaves.

use super::exchange::Taken;
use super::outward::Outward;
use super::{CapacityView, CodeView, Desk, DeskError, FieldProblem, Office};
use crate::policy::Ask;
use crate::records::{CapacityAsked, Seen};
use crate::vault::{Record, VaultError};
use casemesh_crypto::random::os_rng;
use casemesh_protocol::directory::Capacity;
use casemesh_protocol::id::{OfficeId, RecordId, ThreadId};
use casemesh_protocol::outgoing::Control;
use casemesh_protocol::packet::{CapacityAnswer, CapacityQuestion};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A question is worth an answer for so many days.
const ASKED_DAYS: u64 = 14;
/// So many questions of one office wait at a time; more are let go.
const WAITING_MAX: usize = 50;
/// One that nobody answered in so many days waits no more.
const WAITING_DAYS: u64 = 14;
/// So many questions and answers are shown.
const SHOWN_MAX: usize = 50;

/// A question as entered.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CapacityInput {
    /// Which office is asked.
    pub office: String,
    /// Code of the list `service_type`.
    pub service: String,
    /// routine, urgent or emergency.
    pub urgency: String,
    /// Code of the list `age_band`; empty where it does not matter.
    pub age_band: String,
    /// Code of the list `language`; empty where it does not matter.
    pub language: String,
}

/// An answer as entered.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CapacityAnswerInput {
    /// available, waiting_list, none or assessed_first.
    pub capacity: String,
    /// From which day on, where not now.
    pub from: String,
}

impl Desk {
    /// Asks another office whether it could take somebody.
    ///
    /// # Errors
    /// When fields are wrong, or the same was asked and not answered.
    pub fn ask_capacity(&self, input: &CapacityInput) -> Result<RecordId, DeskError> {
        self.allow(Ask::AnswerReferrals)?;
        let mut problems = self.problems();
        let office: Option<OfficeId> = problems.word("office", &input.office);
        let service = problems.code("service", "service_type", &input.service);
        let urgency = super::outside::urgency_of(&mut problems, &input.urgency);
        let age_band = problems.optional_code("age_band", "age_band", &input.age_band);
        let language = problems.optional_code("language", "language", &input.language);
        if office.is_some_and(|office| office == self.office.keys.office || self.member_name(office).is_none()) {
            problems.add("office", "not-in-network");
        }
        problems.done()?;
        let (Some(office), Some(service)) = (office, service) else { return Err(DeskError::NotFound) };
        let now = self.now();
        let is_same = |asked: &CapacityAsked| {
            asked.outgoing
                && asked.partner == office
                && asked.answer.is_none()
                && asked.question.service.code == service.code
                && asked.at.plus_days(ASKED_DAYS) > now
        };
        if self.office.index.read().capacity_asked.values().any(is_same) {
            return Err(DeskError::Invalid(vec![FieldProblem::new("service", "asked-before")]));
        }
        let question = ThreadId::random(&mut os_rng());
        let question = CapacityQuestion { question, service, urgency, age_band, language };
        let by = Some(self.actor.staff);
        let id = self.write("ask_capacity", move |tx| {
            let (id, at) = (tx.fresh_id(), tx.now());
            let asked = CapacityAsked { id, outgoing: true, partner: office, question, at, by, answer: None };
            tx.insert(&asked)?;
            Outward::control(Control::capacity_question(office, asked.question)).queue(tx)?;
            Ok(id)
        })?;
        self.office.release_outbox();
        Ok(id)
    }

    /// Answers another office.
    ///
    /// # Errors
    /// When fields are wrong, or it was answered before.
    pub fn answer_capacity(&self, id: RecordId, input: &CapacityAnswerInput) -> Result<(), DeskError> {
        self.allow(Ask::AnswerReferrals)?;
        let mut problems = self.problems();
        let capacity: Option<Capacity> = problems.word("capacity", &input.capacity);
        if capacity == Some(Capacity::NotSaid) {
            problems.add("capacity", "required");
        }
        let from = problems.day("from", &input.from);
        if from.is_some_and(|day| day < self.today()) {
            problems.add("from", "day-is-past");
        }
        problems.done()?;
        let (capacity, by) = (capacity.ok_or(DeskError::NotFound)?, Some(self.actor.staff));
        self.write("answer_capacity", move |tx| {
            let mut sealed = tx.get::<CapacityAsked>(CapacityAsked::TOP, id)?.ok_or(DeskError::NotFound)?;
            let asked = &mut sealed.record;
            if asked.outgoing {
                return Err(DeskError::NotFound);
            }
            if asked.answer.is_some() {
                return Err(VaultError::Conflict.into());
            }
            let answer = CapacityAnswer { question: asked.question.question, capacity, from };
            (asked.answer, asked.by) = (Some((answer, tx.now())), by);
            Outward::control(Control::capacity_answer(asked.partner, answer)).queue(tx)?;
            Ok(tx.update(&sealed.record, sealed.revision)?)
        })?;
        self.office.release_outbox();
        Ok(())
    }

    /// Questions of the last weeks: those that wait for our answer first, then the latest.
    pub fn capacity_asked(&self) -> Vec<CapacityView> {
        if !self.may(Ask::AnswerReferrals) {
            return Vec::new();
        }
        let (now, tables) = (self.now(), self.office.index.read());
        let recent = tables.capacity_asked.values().filter(|asked| asked.at.plus_days(ASKED_DAYS) > now);
        let mut views: Vec<CapacityView> = recent
            .map(|asked| CapacityView {
                id: asked.id,
                outgoing: asked.outgoing,
                office: asked.partner,
                name: self.member_name(asked.partner).unwrap_or_default(),
                service: CodeView::from(&asked.question.service),
                urgency: asked.question.urgency,
                age_band: asked.question.age_band.as_ref().map(CodeView::from),
                language: asked.question.language.as_ref().map(CodeView::from),
                at: asked.at,
                capacity: asked.answer.map(|(answer, _)| answer.capacity),
                from: asked.answer.and_then(|(answer, _)| answer.from),
                answered: asked.answer.map(|(_, at)| at),
            })
            .collect();
        views.sort_by_key(|view| (view.outgoing || view.capacity.is_some(), std::cmp::Reverse(view.at)));
        views.truncate(SHOWN_MAX);
        views
    }
}

impl Office {
    /// Takes another office's question: it waits for somebody here.
    pub(super) fn take_capacity_question(
        &self,
        from: OfficeId,
        question: CapacityQuestion,
        seen: RecordId,
    ) -> Result<Taken, DeskError> {
        let now = self.around.clock.now();
        let waiting = {
            let tables = self.index.read();
            let waits = |asked: &&CapacityAsked| {
                let is_open = asked.answer.is_none() && asked.at.plus_days(WAITING_DAYS) > now;
                !asked.outgoing && asked.partner == from && is_open
            };
            tables.capacity_asked.values().filter(waits).count()
        };
        self.vault.write(None, "receive_capacity_question", move |tx| {
            tx.insert(&Seen { id: seen, at: tx.now(), set_aside: None })?;
            if waiting < WAITING_MAX {
                let (id, at) = (tx.fresh_id(), tx.now());
                tx.insert(&CapacityAsked { id, outgoing: false, partner: from, question, at, by: None, answer: None })?;
            }
            Ok(Taken::Done)
        })
    }

    /// Takes the answer to a question of ours, of the office that was asked.
    pub(super) fn take_capacity_answer(
        &self,
        from: OfficeId,
        answer: CapacityAnswer,
        seen: RecordId,
    ) -> Result<Taken, DeskError> {
        let asked = {
            let tables = self.index.read();
            let is_it = |asked: &&CapacityAsked| {
                asked.outgoing && asked.partner == from && asked.question.question == answer.question
            };
            tables.capacity_asked.values().find(is_it).map(|asked| asked.id)
        };
        self.vault.write(None, "receive_capacity_answer", move |tx| {
            tx.insert(&Seen { id: seen, at: tx.now(), set_aside: None })?;
            let sealed = asked.map(|id| tx.get::<CapacityAsked>(CapacityAsked::TOP, id)).transpose()?.flatten();
            if let Some(mut sealed) = sealed.filter(|sealed| sealed.record.answer.is_none()) {
                sealed.record.answer = Some((answer, tx.now()));
                tx.update(&sealed.record, sealed.revision)?;
            }
            Ok(Taken::Done)
        })
    }
}
