//! Referrals: what would be shared, sending, following, answering.

use super::cases::NewCase;
use super::effects::after_taking_back;
use super::outward::add_own_event;
use super::people::country;
use super::steps::{self, AnswerInput};
use super::tasks::settle_from;
use super::{
    CodeView, ComparedView, Desk, DeskError, ErasureAnswerView, FieldProblem, NextView, OutsideView, PacketView,
    PartnerView, ReferralSummary, ReferralView,
};
use crate::calendars::{Calendar, birth_date};
use crate::index::Tables;
use crate::policy::Ask;
use crate::records::{
    Case, Compared, Facts, HeldEvent, IdentityLevel, OutboxState, Payment, PaymentKind, Person, Referral, StaffRole,
    Task, TaskState,
};
use crate::vault::{Record, Tx};
use casemesh_crypto::hash::Digest;
use casemesh_protocol::bounded::Text;
use casemesh_protocol::consent::{ConsentStatus, outside_office};
use casemesh_protocol::id::{OfficeId, RecordId};
use casemesh_protocol::packet::{Full, Kind as PacketKind};
use casemesh_protocol::referral::{Event, Side, State, Step};
use casemesh_protocol::terms::{Code, FieldState, Money};
use casemesh_protocol::time::Timestamp;
use std::collections::HashMap;
use std::sync::Arc;

/// Attempts for one need that are shown.
const ATTEMPTS_MAX: usize = 32;

impl Desk {
    /// The other offices of the network.
    pub fn partners(&self) -> Vec<PartnerView> {
        let Some(directory) = self.office.around.directory() else { return Vec::new() };
        let status = self.office.around.relay.status();
        directory
            .members()
            .filter(|(office, member)| {
                **office != self.office.keys.office && member.has_role(casemesh_protocol::directory::Role::Office)
            })
            .map(|(office, member)| PartnerView {
                office: *office,
                name: member.record.name.to_string(),
                kind: member.record.kind.as_str().into(),
                services: member.record.services.iter().map(|offer| CodeView::from(&offer.service)).collect(),
                area: member.record.area.to_string(),
                connected: status.connected.contains(office),
                problem: status.problems.get(office).cloned(),
            })
            .collect()
    }

    /// Referrals, latest first: incoming or outgoing.
    ///
    /// # Errors
    /// When the account may not see referrals.
    pub fn referrals(&self, outgoing: bool) -> Result<Vec<ReferralSummary>, DeskError> {
        self.allow(Ask::AnswerReferrals)?;
        self.note_act("view_referrals");
        let tables = self.office.index.read();
        let listed = tables.referrals.values().rev().filter(|referral| referral.outgoing == outgoing);
        Ok(listed
            .filter(|referral| self.sees_referral(&tables, referral))
            .map(|referral| self.referral_summary(&tables, referral))
            .collect())
    }

    /// A received referral is the desk's until it has a case; then, like a sent one, it is the case's.
    pub(super) fn sees_referral(&self, tables: &Tables, referral: &Referral) -> bool {
        match referral.case.and_then(|case| tables.cases.get(&case)) {
            Some(case) => self.sees(tables, case),
            // What is left of one whose client was erased is for those who erase: they see what the other office answered.
            None if referral.outgoing => referral.erased.is_some() && self.may(Ask::Erase),
            None => self.may(Ask::AnswerReferrals),
        }
    }

    pub(super) fn visible_referral(&self, id: RecordId) -> Result<Arc<Referral>, DeskError> {
        let tables = self.office.index.read();
        let referral = tables.referrals.get(&id).ok_or(DeskError::NotFound)?;
        if self.sees_referral(&tables, referral) { Ok(Arc::clone(referral)) } else { Err(DeskError::NotFound) }
    }

    /// A referral: what was shared, what happened, what can be done.
    ///
    /// # Errors
    /// When there is none that this account may see.
    pub fn referral(&self, id: RecordId) -> Result<ReferralView, DeskError> {
        self.visible_referral(id)?;
        self.note("view_referral", id);
        let tables = self.office.index.read();
        // Read again: log and state are of the same moment.
        let referral = tables.referrals.get(&id).cloned().ok_or(DeskError::NotFound)?;
        let thread = referral.thread();
        let directory = self.office.around.directory();
        // With the key that its author had then; our own stand in the directory as well.
        let holds = |held: &HeldEvent, event: &Event| {
            let author = directory.as_ref().and_then(|directory| directory.member(&event.id.office));
            let key = author.and_then(|author| author.keys.node_key(&held.signed.key, event.at.s()));
            let own = (event.id.office == self.office.keys.office).then(|| self.office.keys.node_key.verifying_key());
            Some(held.signed.verify(&key.or(own)?).is_ok())
        };
        let known = thread.known_to(other_side(referral.side()));
        let held: HashMap<Digest, &HeldEvent> = referral.events.iter().map(|held| (held.signed.hash(), held)).collect();
        let events = thread.events.iter().map(|(event, fate)| {
            let held = held.get(&event.hash);
            let shown = steps::Shown {
                ours: event.side == referral.side(),
                by: held.and_then(|held| held.by).map(|staff| self.staff_name(&tables, Some(staff))),
                verified: held.and_then(|held| holds(held, &event.event)).unwrap_or(false),
                known: known.contains(&event.hash),
                told: held.and_then(|held| held.told.as_ref()).map(|told| (told.by.clone(), CodeView::from(&told.how))),
            };
            steps::event_view(&event.event, event.side, *fate, shown)
        });
        let packets = tables
            .outbox
            .values()
            .filter(|row| row.referral == Some(id))
            .map(|row| PacketView {
                kind: PacketKind::from_number(row.kind).map_or("unknown", PacketKind::as_str).into(),
                state: row.state,
                problem: row.problem.clone(),
                bytes: row.bytes,
                sent: row.facts.sent,
                arrived: row.facts.arrived,
                read: row.facts.read,
                carried: row.facts.carried,
            })
            .collect();
        // What the receiver may see before it accepted is the preview and nothing else; the sender sees what
        // it will release.
        let full = referral.full.clone();
        let recall_until = goes_at(&tables, id, self.now());
        let recalled = preview_row(&tables, id).is_some_and(|row| row.state == OutboxState::Cancelled);
        Ok(ReferralView {
            summary: self.referral_summary(&tables, &referral),
            preview: referral.preview.clone(),
            full,
            events: events.collect(),
            erased: referral.erased.map(|(at, _)| at),
            recall_until,
            erasure_answer: referral.erasure_answer.as_ref().map(|answer| ErasureAnswerView {
                at: answer.at,
                erased: answer.erased,
                kept: answer.kept.clone(),
            }),
            carries: referral.carries.as_ref().map(CodeView::from),
            outside: referral.outside.as_ref().map(|outside| OutsideView {
                how: CodeView::from(&outside.how),
                contact: outside.contact.clone(),
                reference: outside.reference.clone(),
                code: outside.code.clone(),
            }),
            heard: referral.heard.iter().map(|heard| self.heard_view(&tables, heard)).collect(),
            told_steps: match referral.erased {
                Some(_) => Vec::new(),
                None => steps::offered(&tables.vocabulary, &referral, thread.state, other_side(referral.side())),
            },
            steps: match referral.erased {
                Some(_) => Vec::new(),
                // Nothing goes before the referral itself, and nothing after it was taken back.
                None if recall_until.is_some() || recalled => Vec::new(),
                None => steps::offered(&tables.vocabulary, &referral, thread.state, referral.side()),
            },
            packets,
            compared: referral
                .compared
                .as_ref()
                .map(|compared| self.compared_view(&tables, compared, thread.was_accepted())),
            consent: referral.consent,
            before: self.attempts_before(&tables, &referral),
            same_time: self.asked_too(&tables, &referral),
            onward: self.onward(&tables, &referral),
            next: self.next_to_ask(&tables, &referral, thread.state),
            documents: self.shared_documents(&referral),
            held_at: self.held_at(&tables, &referral),
            partner_left: referral.outside.is_none() && self.member_name(referral.partner).is_none(),
        })
    }

    /// What a comparison found, as far as this account may know of it. Who the client may be is told after acceptance: before, it
    /// would be her name.
    fn compared_view(&self, tables: &Tables, compared: &Compared, accepted: bool) -> ComparedView {
        let persons = compared.persons.iter().filter(|id| self.sees_person(tables, **id));
        let known = persons.clone().count();
        let persons = persons.filter(|_| accepted);
        let cases = compared.cases.iter().filter_map(|id| tables.cases.get(id)).filter(|case| self.sees(tables, case));
        let cases: Vec<(RecordId, String)> = cases.map(|case| (case.id, case.number.to_string())).collect();
        ComparedView {
            at: compared.at,
            persons: persons.filter_map(|id| Some((*id, tables.persons.get(id)?.name.clone()))).collect(),
            known,
            hidden: compared.cases.len() - cases.len(),
            cases,
            too_many: compared.too_many,
        }
    }

    /// Offices that were asked for the same before.
    fn attempts_before(&self, tables: &Tables, referral: &Referral) -> Vec<ReferralSummary> {
        let before = |referral: &&Arc<Referral>| tables.referrals.get(&referral.follows?);
        let first = referral.follows.and_then(|id| tables.referrals.get(&id));
        let all = std::iter::successors(first, before).take(ATTEMPTS_MAX).filter(|one| self.sees_referral(tables, one));
        all.map(|one| self.referral_summary(tables, one)).collect()
    }

    /// Offices that are asked at the same time.
    fn asked_too(&self, tables: &Tables, referral: &Referral) -> Vec<ReferralSummary> {
        let is_other = |other: &&Arc<Referral>| other.group == referral.group && other.id != referral.id;
        let others = tables.referrals.values().filter(|_| referral.group.is_some()).filter(is_other);
        let others = others.filter(|one| self.sees_referral(tables, one));
        others.map(|one| self.referral_summary(tables, one)).collect()
    }

    /// Where the matter went on to from our case.
    fn onward(&self, tables: &Tables, referral: &Referral) -> Vec<ReferralSummary> {
        let of_case = |other: &&Arc<Referral>| other.outgoing && other.case == referral.case;
        let all = tables.referrals.values().filter(|_| !referral.outgoing && referral.case.is_some()).filter(of_case);
        let all = all.filter(|one| self.sees_referral(tables, one));
        all.map(|one| self.referral_summary(tables, one)).collect()
    }

    /// Whom the consent names after an office that does not help, and who was not asked for the same yet.
    fn next_to_ask(&self, tables: &Tables, referral: &Referral, state: State) -> Option<NextView> {
        let came_to_nothing =
            matches!(state, State::Declined | State::Rerouted | State::Expired | State::Failed | State::Withdrawn);
        if !came_to_nothing || !referral.outgoing {
            return None;
        }
        let service = &referral.preview.service.code;
        let of_case = tables.referrals.values().filter(|other| other.outgoing && other.case == referral.case);
        let asked: Vec<OfficeId> =
            of_case.filter(|other| other.preview.service.code == *service).map(|other| other.partner).collect();
        let records = tables.records_of(referral.client?);
        let consent = records.iter().find_map(|id| tables.consents.get(id)?.get(&referral.consent?))?;
        let holds = matches!(consent.status, ConsentStatus::Given) && consent.terms.expires > self.now();
        let members = consent.terms.recipients.iter().filter_map(|office| {
            let name = self.member_name(*office)?;
            Some((*office, NextView { office: Some(*office), name }))
        });
        let outside = consent.terms.outside.iter().flat_map(|names| names.iter());
        let outside =
            outside.map(|name| (outside_office(name.as_str()), NextView { office: None, name: name.to_string() }));
        let mut open = members.chain(outside).filter(|(office, _)| holds && !asked.contains(office));
        open.next().map(|(_, next)| next)
    }

    pub(super) fn referral_summary(&self, tables: &Tables, referral: &Referral) -> ReferralSummary {
        let case = referral.case.filter(|case| tables.cases.get(case).is_some_and(|case| self.sees(tables, case)));
        let client = case.and(referral.client).and_then(|client| tables.persons.get(&client)).map(|p| p.name.clone());
        let standing = tables.stands(referral);
        let state = standing.state;
        let way = way_of(referral);
        ReferralSummary {
            wait: self.wait_view(tables, referral, &standing),
            id: referral.id,
            outgoing: referral.outgoing,
            partner: referral.partner_name.clone(),
            service: CodeView::from(&referral.preview.service),
            state,
            urgency: referral.urgency,
            pseudonym: referral.preview.pseudonym.to_string(),
            client,
            case,
            sent: way.sent,
            arrived: way.arrived,
            read: way.read,
            answered: way.answered,
            respond_by: referral.respond_by,
        }
    }

    /// Notes that the list of referrals leaves as a table. It names no client.
    ///
    /// # Errors
    /// When the account does not lead, or the log cannot be written.
    pub fn note_referral_table(&self) -> Result<(), DeskError> {
        self.allow(Ask::HandOver)?;
        Ok(self.office.vault.note_and_wait(Some(self.actor.staff), "export_referrals", None)?)
    }

    /// How far our request has come: the cheap question of whoever waits for it.
    ///
    /// # Errors
    /// When there is no such referral that this account may see.
    pub fn referral_facts(&self, id: RecordId) -> Result<Facts, DeskError> {
        Ok(self.visible_referral(id)?.facts)
    }

    /// Makes a step in a referral and tells the other office.
    ///
    /// # Errors
    /// When the step is not allowed now, or something it needs is missing.
    pub fn answer(&self, id: RecordId, input: AnswerInput) -> Result<(), DeskError> {
        let referral = self.visible_referral(id)?;
        self.allow(Ask::AnswerReferrals)?;
        if referral.outgoing {
            self.may_follow(referral.case.ok_or(DeskError::NotFound)?)?;
        }
        let waits = goes_at(&self.office.index.read(), id, self.now());
        if waits.is_some() {
            return match input.step.as_str() {
                "withdrawn" | "entered_in_error" => self.recall_referral(id),
                "consent_withdrawn" => {
                    self.recall_referral(id)?;
                    match referral.client.zip(referral.consent) {
                        Some((client, consent)) => self.withdraw_consent(client, consent),
                        None => Ok(()),
                    }
                }
                _ => Err(DeskError::Invalid(vec![FieldProblem::new("step", "not-gone-yet")])),
            };
        }
        // The client told us, the sender: the consent itself ends, and every referral under it.
        if let ("consent_withdrawn", true, Some((client, consent))) =
            (input.step.as_str(), referral.outgoing, referral.client.zip(referral.consent))
        {
            return self.withdraw_consent(client, consent);
        }
        let recovered = match (referral.case, input.step.as_str()) {
            (Some(case), "completed") => self.recovered_in(case)?,
            _ => Vec::new(),
        };
        let step = steps::read(self.problems(), &input, self.today(), recovered, |office| self.member_name(office))?;
        let (office, ours) = (Arc::clone(&self.office), self.office.ours());
        self.write("answer_referral", move |tx| {
            let mut sealed = tx.get::<Referral>(Referral::TOP, id)?.ok_or(DeskError::NotFound)?;
            let ends = matches!(step, Step::ConsentWithdrawn);
            let answers = matches!(step, Step::ErasureAnswered { .. });
            add_own_event(tx, &office.keys, &mut sealed.record, step)?;
            if ends {
                after_taking_back(tx, &office.keys, &mut sealed.record)?;
            }
            if let Some(case) = sealed.record.case.filter(|_| answers) {
                settle_from(tx, case, id)?;
            }
            super::handing::settle(tx, &ours, &mut sealed.record)?;
            tx.about(id);
            Ok(tx.update(&sealed.record, sealed.revision)?)
        })?;
        self.office.shed_referrals();
        self.office.see_to_held();
        self.office.release_outbox();
        Ok(())
    }

    /// What a member of the network is called.
    pub(super) fn member_name(&self, office: OfficeId) -> Option<String> {
        let directory = self.office.around.directory()?;
        directory.member(&office).map(|member| member.record.name.to_string())
    }

    fn recovered_in(&self, case: RecordId) -> Result<Vec<Money>, DeskError> {
        let mut sums: std::collections::BTreeMap<_, i64> = std::collections::BTreeMap::new();
        for payment in super::cases::standing_payments(self.office.vault.list::<Payment>(case)?) {
            if payment.kind == PaymentKind::Recovered && payment.recovered_here {
                let sum = sums.entry(payment.money.currency).or_default();
                *sum = sum.saturating_add(payment.money.minor);
            }
        }
        Ok(sums.into_iter().map(|(currency, minor)| Money { minor, currency }).collect())
    }

    /// Opens a case from a referral that we accepted and whose full packet is here.
    ///
    /// # Errors
    /// When it is not accepted, the packet is not here, or there is a case already.
    pub fn referral_to_case(&self, id: RecordId) -> Result<RecordId, DeskError> {
        let referral = self.visible_referral(id)?;
        self.allow(Ask::OpenCase)?;
        // A case that is handed over opens by itself, once all of it is here.
        if referral.outgoing || referral.preview.is_transfer() || !referral.thread().state.is_at_work() {
            return Err(DeskError::NotFound);
        }
        let owner = self.opener();
        self.write("referral_to_case", move |tx| {
            let mut sealed = tx.get::<Referral>(Referral::TOP, id)?.ok_or(DeskError::NotFound)?;
            let referral = &mut sealed.record;
            if referral.case.is_some() {
                return Err(crate::vault::VaultError::Conflict.into());
            }
            let booked = || Full { brief: Text::cut(referral.preview.need.as_str()), ..Full::default() };
            let full = referral.full.clone().or_else(|| referral.outside.as_ref().map(|_| booked()));
            let full = full.ok_or(DeskError::NotFound)?;
            let person = person_from(tx, referral, &full);
            tx.insert(&person)?;
            let new = NewCase { summary: full.brief.to_string(), owner, ..NewCase::default() };
            let case = super::cases::new_case(tx, vec![person.reference()], new)?;
            let mut opened = tx.get::<Case>(Case::TOP, case)?.ok_or(DeskError::NotFound)?;
            opened.record.from_referral = Some(id);
            tx.update(&opened.record, opened.revision)?;
            super::attachments::take_documents(tx, case, &[person.key], &full)?;
            // Who was reminded while it had no case is reminded in the case from now on.
            if let Some(reminder) = referral.reminder.take()
                && let Some(mut task) = tx.get::<Task>(Task::TOP, reminder.task)?
                && task.record.state == TaskState::Open
            {
                task.record.state = TaskState::Cancelled;
                tx.update(&task.record, task.revision)?;
            }
            referral.case = Some(case);
            referral.client = Some(person.id);
            tx.about(case);
            tx.update(&sealed.record, sealed.revision)?;
            Ok(case)
        })
    }

    /// Whether this account answers for the office's incoming referrals.
    pub fn answers_referrals(&self) -> bool {
        self.may(Ask::AnswerReferrals) && !self.has_role(StaffRole::Administrator)
    }
}

pub(super) fn person_from(tx: &mut Tx<'_>, referral: &Referral, full: &Full) -> Person {
    let mut person = Person::unknown(tx.fresh_id(), referral.key, tx.now(), tx.staff());
    person.identity = IdentityLevel::Alias;
    person.alias = referral.preview.pseudonym.to_string();
    person.safe_contact = full.safe_contact.clone();
    person.never = full.never.iter().flat_map(|never| never.iter()).cloned().collect();
    person.interpreter = referral.preview.interpreter;
    let known = |code: &Option<Code>| code.clone().map_or(FieldState::NotAsked, FieldState::Known);
    person.sex = known(&referral.preview.sex);
    person.age_band = known(&referral.preview.age_band);
    person.language = known(&referral.preview.language);
    for field in &full.fields {
        let value = || FieldState::Known(field.value.to_string());
        match field.field.as_str() {
            "given" => person.given = value(),
            "family" => person.family = value(),
            "local_name" => person.local_name = value(),
            "alias" => person.alias = field.value.to_string(),
            "telephone" => person.telephone = value(),
            "address" => person.address = value(),
            "area" => person.area = value(),
            "identifier" => person.identifier = value(),
            "birth" => {
                person.birth = birth_date(Calendar::Gregorian, field.value.as_str(), false)
                    .map_or(FieldState::NotAsked, FieldState::Known)
            }
            "nationality" => {
                person.nationality = country(field.value.as_str()).map_or(FieldState::NotAsked, FieldState::Known)
            }
            // Sex and language stand in the preview as codes.
            _ => {}
        }
    }
    if person.given.value().or(person.family.value()).is_some() {
        person.identity = IdentityLevel::SelfDeclared;
    }
    person
}

/// The side that is not this one.
pub(super) const fn other_side(side: Side) -> Side {
    match side {
        Side::Sender => Side::Receiver,
        Side::Receiver => Side::Sender,
    }
}

/// The packet with which a referral of ours begins.
/// The way of a request. Of one that came to us we know when it was made, when it was opened here, and when we answered; its stored
/// receipt is the sender's to show.
pub(super) fn way_of(referral: &Referral) -> Facts {
    if referral.outgoing {
        return referral.facts;
    }
    let at = |event: &HeldEvent| event.signed.read().ok().map(|event| event.at);
    let asked = referral.events.iter().find(|event| !event.ours);
    Facts {
        sent: asked.and_then(at),
        read: asked.map(|event| event.at),
        answered: referral.events.iter().find(|event| event.ours).map(|event| event.at),
        ..Facts::default()
    }
}

fn preview_row(tables: &Tables, id: RecordId) -> Option<&crate::index::OutboxRow> {
    let kind = PacketKind::ReferralPreview.number();
    tables.outbox.values().find(|row| row.referral == Some(id) && row.kind == kind)
}

/// When a referral of ours goes, while it waits and can still be recalled.
fn goes_at(tables: &Tables, id: RecordId, now: Timestamp) -> Option<Timestamp> {
    let row = preview_row(tables, id).filter(|row| row.state == OutboxState::Waiting)?;
    row.not_before.filter(|at| now < *at)
}
