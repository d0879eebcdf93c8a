//! Referrals: what would be shared, sending, following, answering.

use super::cases::NewCase;
use super::exchange::Outward;
use super::people::country;
use super::sharing::{self, Holdings};
use super::steps::{self, AnswerInput};
use super::tasks::{NewTask, add_task, settle_from};
use super::{
    CodeView, ComparedView, Desk, DeskError, ErasureAnswerView, FieldProblem, MovedView, NextView, OutsideView,
    PacketView, PartnerView, ReferralSummary, ReferralView, SharePreview,
};
use crate::calendars::{Calendar, birth_date};
use crate::codes;
use crate::index::Tables;
use crate::policy::{Ask, Relation};
use crate::records::{
    Action, Case, CaseState, Compared, Consent, Counters, Facts, HeldEvent, IdentityLevel, Outbox, OutboxState,
    Outside, Payment, PaymentKind, Person, PersonRef, Referral, SETTINGS_ID, StaffRole, Task, TaskKind, TaskState,
    TaskTitle,
};
use crate::vault::{Record, Tx};
use casemesh_crypto::hash::{Digest, keyed_name};
use casemesh_crypto::random::os_rng;
use casemesh_protocol::bounded::{List, Text};
use casemesh_protocol::consent::{ConsentStatus, Permit, outside_office};
use casemesh_protocol::id::{EventId, OfficeId, RecordId, StoreEpoch, ThreadId};
use casemesh_protocol::outgoing::{BeyondPermit, Disclosure, Grant, Outgoing, Release, Reply};
use casemesh_protocol::packet::{self, Chain, ConflictNames, Full, Kind as PacketKind, Preview};
use casemesh_protocol::referral::{Event, IllegalStep, Note, Side, SignedEvent, State, Step, Thread};
use casemesh_protocol::template::Template;
use casemesh_protocol::terms::{Code, FieldGroup, FieldState, Line, Money, Purpose};
use casemesh_protocol::time::{Day, Timestamp};
use casemesh_protocol::timers;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::sync::{Arc, PoisonError};
use utoipa::ToSchema;

/// An answer on what is kept is due so many days after a referral was taken back.
const ERASURE_ANSWER_DAYS: i32 = 3;
/// Attempts for one need that are shown.
const ATTEMPTS_MAX: usize = 32;
/// Offices that can be asked at the same time.
const ASKED_AT_ONCE_MAX: usize = 8;
/// The number of the greatest urgency.
const EMERGENCY: u8 = 2;
/// Longest need.
const NEED_BYTES_MAX: usize = casemesh_protocol::limits::NEED_BYTES_MAX;

/// A referral as entered.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ReferralInput {
    /// To which office; empty for one without a node.
    pub to: String,
    /// The name of an office without a node, as the consent has it.
    pub outside: String,
    /// How it goes to an office without a node: code of the list `outside_way`; a slip when empty.
    pub how: String,
    /// Telephone, address and the like of an office without a node.
    pub contact: String,
    /// Code of the list `service_type`.
    pub service: String,
    /// What is needed, in words, without names.
    pub need: String,
    /// routine, urgent or emergency.
    pub urgency: String,
    /// Under which consent.
    pub consent: String,
    /// Whether it is sent although another office was asked for the same and has not answered.
    pub also_elsewhere: bool,
    /// What is shared after acceptance: contact_only, legal_brief, child_protection, shelter or health; what the service usually
    /// needs when empty.
    pub template: String,
    /// Whether the case itself is handed over, and not a service asked for.
    pub transfer: bool,
    /// Other offices that are asked at the same time: the first that accepts gets it.
    pub also: Vec<String>,
    /// The referral for the same need that came before; may be empty.
    pub follows: String,
    /// Whether everything goes at once, before the other office accepts: an emergency, under a consent that says so.
    pub complete_now: bool,
}

/// What more is shared in a referral that is at work, as entered.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct MoreInput {
    /// Under which consent: one that covers more.
    pub consent: String,
    /// What is shared: contact_only, legal_brief, child_protection, shelter or health.
    pub template: String,
}

/// What goes into a referral, before it is signed.
struct Draft {
    partner_name: String,
    preview: Preview,
    full: Full,
    permit: Permit,
    left_out: Vec<FieldGroup>,
    urgency: u8,
    /// The record of the client that the consent stands with.
    holder: PersonRef,
    outside: Option<Outside>,
    follows: Option<RecordId>,
    /// What the other office's computer compares.
    names: Option<ConflictNames>,
}

/// Where the facts of a draft come from: the view, or a command at work.
trait Source {
    fn case(&self, id: RecordId) -> Result<Option<Case>, DeskError>;
    fn person(&self, id: RecordId) -> Result<Option<Person>, DeskError>;
    fn consent(&self, person: RecordId, id: RecordId) -> Result<Option<Consent>, DeskError>;
    fn holdings(&self, case: RecordId) -> Result<Holdings, DeskError>;
}

impl Source for Desk {
    fn case(&self, id: RecordId) -> Result<Option<Case>, DeskError> {
        Ok(self.office.vault.get::<Case>(Case::TOP, id)?.map(|sealed| sealed.record))
    }
    fn person(&self, id: RecordId) -> Result<Option<Person>, DeskError> {
        Ok(self.office.vault.get::<Person>(Person::TOP, id)?.map(|sealed| sealed.record))
    }
    fn consent(&self, person: RecordId, id: RecordId) -> Result<Option<Consent>, DeskError> {
        Ok(self.office.vault.get::<Consent>(person, id)?.map(|sealed| sealed.record))
    }
    fn holdings(&self, case: RecordId) -> Result<Holdings, DeskError> {
        let vault = &self.office.vault;
        Ok(Holdings::of(vault.list::<Action>(case)?, vault.list::<Task>(case)?, vault.list::<Payment>(case)?))
    }
}

impl Source for Tx<'_> {
    fn case(&self, id: RecordId) -> Result<Option<Case>, DeskError> {
        Ok(self.get::<Case>(Case::TOP, id)?.map(|sealed| sealed.record))
    }
    fn person(&self, id: RecordId) -> Result<Option<Person>, DeskError> {
        Ok(self.get::<Person>(Person::TOP, id)?.map(|sealed| sealed.record))
    }
    fn consent(&self, person: RecordId, id: RecordId) -> Result<Option<Consent>, DeskError> {
        Ok(self.get::<Consent>(person, id)?.map(|sealed| sealed.record))
    }
    fn holdings(&self, case: RecordId) -> Result<Holdings, DeskError> {
        Ok(Holdings::of(self.list::<Action>(case)?, self.list::<Task>(case)?, self.list::<Payment>(case)?))
    }
}

fn age_band(person: &Person, today: Day) -> Option<Code> {
    if let Some(band) = person.age_band.value() {
        return Some(band.clone());
    }
    let age = person.birth.value()?.age_on(today)?;
    let band = match age {
        0..=8 => "0-8",
        9..=17 => "9-17",
        18..=20 => "18-20",
        21..=23 => "21-23",
        24..=26 => "24-26",
        27..=29 => "27-29",
        30..=38 => "30-38",
        39..=47 => "39-47",
        _ => "48+",
    };
    codes::code("age_band", band)
}

/// The groups that have something to share.
const SHAREABLE: &[FieldGroup] = &[
    FieldGroup::Names,
    FieldGroup::BirthAndSex,
    FieldGroup::Contact,
    FieldGroup::Address,
    FieldGroup::Origin,
    FieldGroup::Identifiers,
    FieldGroup::CaseBrief,
    FieldGroup::CaseNotes,
    FieldGroup::Money,
    FieldGroup::Safety,
    FieldGroup::Family,
];

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

    /// What would go to the other office, exactly, if the referral were sent now.
    ///
    /// # Errors
    /// When fields are wrong or the consent does not allow it.
    pub fn preview_referral(&self, case: RecordId, input: &ReferralInput) -> Result<SharePreview, DeskError> {
        self.may_refer(case)?;
        let draft = self.draft(self, case, input, self.now())?;
        let held = self.holdings(case)?;
        if draft.full.fields.iter().any(|field| field.field.as_str() == "address") {
            self.office.vault.note_and_wait(Some(self.actor.staff), "reveal_address", Some(draft.holder.id))?;
        }
        Ok(SharePreview {
            partner: draft.partner_name,
            preview: draft.preview,
            full: draft.full,
            left_out: draft.left_out,
            names: draft
                .names
                .map(|names| names.client.iter().chain(names.parties.iter()).map(ToString::to_string).collect()),
            also: input.also.iter().filter_map(|office| self.member_name(office.parse().ok()?)).collect(),
            moved: input.transfer.then(|| {
                let (entries, left_behind) = held.open_entries();
                let (tasks, payments) = (held.open_tasks().count(), held.payments.len());
                MovedView { entries: entries.count(), tasks, payments, left_behind }
            }),
        })
    }

    /// Sends a referral. It is decided, signed and queued as one step; the network takes it from there.
    ///
    /// # Errors
    /// When fields are wrong, the consent does not allow it, or the same is already under way.
    pub fn send_referral(&self, case: RecordId, input: ReferralInput) -> Result<RecordId, DeskError> {
        self.may_refer(case)?;
        if input.transfer {
            self.may_hand_over(case)?;
        }
        let desk = self.clone();
        let id = self.write("send_referral", move |tx| {
            let mut offices = vec![input.to.trim().to_owned()];
            for other in input.also.iter().map(|other| other.trim()).filter(|other| !other.is_empty()) {
                if !offices.iter().any(|known| known.eq_ignore_ascii_case(other)) {
                    offices.push(other.to_owned());
                }
            }
            if offices.len() > ASKED_AT_ONCE_MAX {
                return Err(DeskError::Invalid(vec![FieldProblem::with("also", "asked-too-many", ASKED_AT_ONCE_MAX)]));
            }
            let is_open = offices.len() > 1;
            let mut first = None;
            for to in offices {
                let draft = desk.draft(tx, case, &ReferralInput { to, ..input.clone() }, tx.now())?;
                desk.not_twice(tx, case, &draft, input.also_elsewhere || is_open, first)?;
                let referral = desk.begin_referral(tx, case, draft, &input, first, is_open)?;
                first = first.or(Some(referral));
            }
            first.ok_or(DeskError::NotFound)
        })?;
        self.office.release_outbox();
        Ok(id)
    }

    /// Refuses to ask the same office for the same twice, and another by mistake. `group` are those of this very request.
    fn not_twice(
        &self,
        tx: &Tx<'_>,
        case: RecordId,
        draft: &Draft,
        also_elsewhere: bool,
        group: Option<RecordId>,
    ) -> Result<(), DeskError> {
        let partner = draft.permit.recipient();
        let service = &draft.preview.service.code;
        let is_for_same =
            |other: &Referral| other.outgoing && other.case == Some(case) && other.preview.service.code == *service;
        let is_same = |other: &Referral| {
            let state = other.state();
            is_for_same(other) && other.partner == partner && (state.is_before_acceptance() || state.is_at_work())
        };
        let tables = self.office.index.read();
        // The same need at another office at the same time: sometimes right, never by mistake.
        let is_elsewhere = |other: &&Arc<Referral>| {
            is_for_same(other) && other.partner != partner && other.state().is_before_acceptance()
        };
        if let Some(other) = tables.referrals.values().find(is_elsewhere).filter(|_| !also_elsewhere) {
            return Err(DeskError::AlsoOpen(other.partner_name.clone()));
        }
        let unseen = tx.unseen::<Referral>(Referral::TOP)?;
        let is_under_way = tables.referrals.values().any(|other| is_same(other));
        if is_under_way || unseen.iter().any(|other| is_same(other) && (group.is_none() || other.group != group)) {
            return Err(DeskError::DoubleSend);
        }
        Ok(())
    }

    /// Begins one referral and queues what goes: the preview, and all the rest with it where it goes at once.
    fn begin_referral(
        &self,
        tx: &mut Tx<'_>,
        case: RecordId,
        draft: Draft,
        input: &ReferralInput,
        group: Option<RecordId>,
        is_open: bool,
    ) -> Result<RecordId, DeskError> {
        let (now, partner, keys) = (tx.now(), draft.permit.recipient(), &self.office.keys);
        let settings = self.office.settings();
        let recall_ms = u64::from(settings.map_or(0, |settings| settings.recall_minutes)) * 60_000;
        let rules = self.office.rules();
        let consent: RecordId = input.consent.parse().map_err(|_| DeskError::NotFound)?;
        let thread = ThreadId::random(&mut os_rng());
        let within = |of| now.plus_ms(u64::from(timers::hours(of, draft.urgency)) * 3_600_000);
        let (respond_by, expires) = (within(rules.decide_h), within(rules.expire_h));
        let preview = Preview { chain: Chain { is_open, ..draft.preview.chain }, ..draft.preview };
        let step = Step::Sent { service: preview.service.clone(), respond_by, expires, preview: preview.hash() };
        let event = next_event(tx, keys, thread, Side::Sender, &Thread::fold([]), step)?;
        let signed = SignedEvent::sign(&event, &keys.node_key);
        let refused = |error: BeyondPermit| DeskError::Partner(error.to_string());
        // Built for an office without a node as well: what the permit does not cover does not get onto paper either.
        let disclosure = Disclosure::preview(&draft.permit, signed.clone(), preview.clone()).map_err(refused)?;
        let is_outside = draft.outside.is_some();
        let first = HeldEvent { signed, ours: true, at: now, by: tx.staff(), told: None };
        let (id, to) = (tx.fresh_id(), (partner, draft.partner_name));
        let referral = Referral::begun(id, draft.holder.key, to, preview, first, draft.urgency);
        let mut referral = Referral {
            outgoing: true,
            case: Some(case),
            client: Some(draft.holder.id),
            consent: Some(consent),
            full: Some(draft.full.clone()),
            facts: Facts { sent: Some(now).filter(|_| is_outside), ..Facts::default() },
            outside: draft.outside,
            follows: draft.follows,
            group: group.or(Some(id)).filter(|_| is_open),
            ..referral.ok_or(DeskError::NotFound)?
        };
        let goes_at = Some(now.plus_ms(recall_ms)).filter(|_| recall_ms > 0 && referral.urgency == 0);
        if !is_outside {
            Outward::new(Outgoing::Disclosure(disclosure), &referral).not_before(goes_at).queue(tx)?;
        }
        if let Some(names) = draft.names {
            super::conflicts::ask(tx, &self.office, &mut referral, &draft.permit, names, goes_at)?;
        }
        if input.complete_now && !is_outside {
            let step = Step::Released { full: draft.full.hash() };
            let event = next_event(tx, keys, thread, Side::Sender, &referral.thread(), step)?;
            let signed = SignedEvent::sign(&event, &keys.node_key);
            let template = referral.preview.template;
            let full = Disclosure::full(&draft.permit, template, Release::Now, signed.clone(), draft.full);
            referral.events.push(HeldEvent { signed, ours: true, at: now, by: tx.staff(), told: None });
            let full = Outgoing::Disclosure(full.map_err(refused)?);
            Outward::new(full, &referral).not_before(goes_at).queue(tx)?;
        }
        tx.insert(&referral)?;
        touch_case(tx, case, "letter_out", &referral.partner_name)?;
        tx.about(id);
        Ok(id)
    }

    /// Following a referral to its end is allowed to who may refer, also when it handed the case over.
    fn may_follow(&self, case: RecordId) -> Result<(), DeskError> {
        let relation = self.reach_case(case)?;
        Ok(self.allow(Ask::Refer(Relation { handed_over: false, ..relation }))?)
    }

    /// Handing a case over is more than referring it: nobody does it by emergency access, and where closures are approved, who
    /// approves them does it.
    fn may_hand_over(&self, case: RecordId) -> Result<(), DeskError> {
        self.may_in_case(case, Ask::AssignCase)?;
        match self.office.settings().is_some_and(|settings| settings.approve_closure) {
            true => Ok(self.allow(Ask::ApproveCases)?),
            false => Ok(()),
        }
    }

    pub(super) fn may_refer(&self, case: RecordId) -> Result<(), DeskError> {
        self.may_in_case(case, Ask::Refer).map(drop)
    }

    fn draft(
        &self,
        source: &impl Source,
        case: RecordId,
        input: &ReferralInput,
        now: Timestamp,
    ) -> Result<Draft, DeskError> {
        let case = source.case(case)?.ok_or(DeskError::NotFound)?;
        let client = case.clients.first().ok_or(DeskError::NotFound)?;
        let records = self.office.index.read().records_of(client.id);
        let standing = records.first().copied().unwrap_or(client.id);
        let client = source.person(standing)?.ok_or(DeskError::NotFound)?;
        let mut problems = self.problems();
        let outside = problems.line("outside", &input.outside);
        let how = match input.how.as_str() {
            "" => codes::code("outside_way", "slip"),
            how => problems.code("how", "outside_way", how),
        };
        let contact = problems.text("contact", &input.contact, 400);
        let is_outside = !outside.is_empty();
        let to: Option<OfficeId> = match is_outside {
            true => Some(outside_office(outside.as_str())),
            false => problems.word("to", &input.to),
        };
        let service = problems.code("service", "service_type", &input.service);
        let need = problems.required_text("need", &input.need, NEED_BYTES_MAX);
        let urgency = super::outside::urgency_of(&mut problems, &input.urgency);
        let template: Option<Template> = match (input.transfer, input.template.as_str()) {
            (true, _) => Some(Template::FullTransfer),
            (false, "") => Some(sharing::usual(&input.service)),
            (false, word) => problems.word("template", word),
        };
        if template == Some(Template::FullTransfer) && !input.transfer {
            problems.with("template", "unknown-value", &input.template);
        }
        if input.transfer && is_outside {
            problems.add("to", "transfer-needs-node");
        }
        if is_outside && !input.also.is_empty() {
            problems.add("also", "transfer-needs-node");
        }
        if input.transfer && !input.also.is_empty() {
            problems.add("also", "transfer-to-one");
        }
        if input.complete_now && (urgency != EMERGENCY || input.transfer || !input.also.is_empty()) {
            problems.add("complete_now", "only-in-emergency");
        }
        let follows: Option<RecordId> = match input.follows.as_str() {
            "" => None,
            text => problems.word("follows", text),
        };
        let consent: Option<RecordId> = problems.word("consent", &input.consent);
        let names = [client.given.value(), client.family.value(), client.local_name.value()];
        let need_words = crate::names::words(&need);
        let names: Vec<String> = names.into_iter().flatten().flat_map(|name| crate::names::words(name)).collect();
        if let Some(name) = names.iter().find(|name| name.chars().count() > 2 && need_words.contains(name)) {
            problems.with("need", "need-has-name", name);
        }
        let directory = self.office.around.directory();
        let member = to.and_then(|to| directory.as_ref().and_then(|directory| directory.member(&to)));
        if to.is_some() && member.is_none() && !is_outside {
            problems.add("to", "not-in-network");
        }
        if member.is_some_and(|member| member.prekey(now).is_none()) {
            problems.add("to", "no-prekey");
        }
        problems.done()?;
        let (Some(to), Some(service), Some(consent), Some(how)) = (to, service, consent, how) else {
            return Err(DeskError::NotFound);
        };
        let partner_name = match (is_outside, member) {
            (true, _) => outside.to_string(),
            (false, Some(member)) => member.record.name.to_string(),
            (false, None) => return Err(DeskError::NotFound),
        };
        // The consent may stand with a record that turned out to be about the same person.
        let found = records.iter().find_map(|id| source.consent(*id, consent).transpose());
        let consent = found.transpose()?.ok_or(DeskError::NotFound)?;
        let circumstances = self.office.circumstances(&client, to, &partner_name);
        let purpose = if input.transfer { Purpose::ShareForTransfer } else { Purpose::ShareForService };
        let permit = Permit::under(&consent.terms, consent.status, purpose, to, circumstances, now)?;
        let mut problems = self.problems();
        if input.complete_now && !permit.lets_all_go_now() {
            problems.add("complete_now", "consent-not-now");
        }
        if input.transfer {
            let is_open = self.office.index.read().has_open_referral(case.id);
            if let Some((field, problem, value)) = super::handing::obstacle(&permit, is_open, case.clients.len()) {
                problems.with(field, problem, value);
            }
        }
        if !input.transfer && self.is_being_handed_over(case.id) {
            problems.add("to", "transfer-open-referral");
        }
        problems.done()?;
        let Some(template) = template else { return Err(DeskError::NotFound) };
        let held = source.holdings(case.id)?;
        if input.transfer {
            // It must fit when it is accepted; somebody learns now that it does not.
            super::handing::parts(&self.office.index.read().vocabulary, &case, &held, &permit)?;
        }
        let attempt = self.office.index.read().referrals.values().filter(|r| r.case == Some(case.id)).count();
        let seed = keyed_name(
            &self.office.keys.subkey("pseudonym"),
            &[case.id.as_bytes(), to.as_bytes(), &(attempt as u64).to_be_bytes()],
        );
        let [a, b, c, d, ..] = *seed.as_bytes();
        let (will_share, left_out): (Vec<FieldGroup>, Vec<FieldGroup>) =
            SHAREABLE.iter().copied().partition(|group| permit.covers(*group) && template.asks_for(*group));
        let bounded = |_| DeskError::NotFound;
        let preview = Preview {
            service,
            need: Text::new(need).map_err(bounded)?,
            pseudonym: Text::cut(&packet::pseudonym(&to, [a, b, c, d])),
            age_band: age_band(&client, now.day()).filter(|_| permit.covers(FieldGroup::BirthAndSex)),
            sex: client.sex.value().filter(|_| permit.covers(FieldGroup::BirthAndSex)).cloned(),
            language: client.language.value().filter(|_| permit.covers(FieldGroup::Origin)).cloned(),
            interpreter: client.interpreter,
            area: client
                .area
                .value()
                .filter(|_| permit.covers(FieldGroup::Address))
                .map(|area| Line::cut(area))
                .unwrap_or_default(),
            safe_contact: client.safe_contact.without_words(),
            purpose,
            consent_expires: permit.expires(),
            will_share: List::new(will_share).map_err(bounded)?,
            withheld: List::new(permit.withheld().to_vec()).map_err(bounded)?,
            template,
            chain: self.chain(&case, follows),
            ground: permit.ground(),
        };
        let has_brief = permit.covers(FieldGroup::CaseBrief) && template.has_brief();
        let brief = if has_brief { Text::cut(&case.summary) } else { Text::default() };
        let fields = {
            let tables = self.office.index.read();
            let sees = |person: RecordId| self.sees_person(&tables, person);
            sharing::fields(&tables, (&client, &case), &held, &permit, template, &sees)?
        };
        let full = Full {
            fields: List::new(fields).map_err(bounded)?,
            brief,
            withheld: List::new(permit.withheld().to_vec()).map_err(bounded)?,
            sender_contact: Line::cut(&format!("{}, {}", self.name, self.office_name())),
            safe_contact: match permit.covers(FieldGroup::Contact) {
                true => client.safe_contact.clone(),
                false => client.safe_contact.without_words(),
            },
            never: super::circumstances::shared(&client.never, &permit),
            moved: None,
        };
        let names = self.conflict_names(case.id, &client, &permit).filter(|_| !is_outside);
        Ok(Draft {
            follows,
            names,
            partner_name,
            preview,
            full,
            permit,
            left_out,
            urgency,
            holder: consent.person,
            outside: is_outside.then(|| Outside {
                how,
                contact,
                reference: String::new(),
                code: super::outside::slip_code(),
            }),
        })
    }

    /// Whether a case is about to become another office's.
    fn is_being_handed_over(&self, case: RecordId) -> bool {
        let tables = self.office.index.read();
        let mut of_case = tables.referrals.values().filter(|referral| referral.outgoing && referral.case == Some(case));
        of_case.any(|referral| {
            let state = tables.stands(referral).state;
            referral.preview.is_transfer() && (state.is_before_acceptance() || state.is_at_work())
        })
    }

    /// Where a referral stands among others for the same need.
    fn chain(&self, case: &Case, follows: Option<RecordId>) -> Chain {
        let tables = self.office.index.read();
        let before = |id: &RecordId| tables.referrals.get(id)?.follows;
        let attempts = follows.map_or(0, |last| std::iter::successors(Some(last), before).take(100).count());
        let came_by = case.from_referral.and_then(|id| tables.referrals.get(&id));
        let offices = came_by.map_or(0, |came_by| came_by.preview.chain.offices_before.saturating_add(1));
        Chain { attempts_before: u8::try_from(attempts).unwrap_or(u8::MAX), offices_before: offices, is_open: false }
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
        let referral = self.visible_referral(id)?;
        self.note("view_referral", id);
        let tables = self.office.index.read();
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
            compared: referral.compared.as_ref().map(|compared| {
                let accepted = thread.applied().any(|(event, _)| matches!(event.event.step, Step::Accepted { .. }));
                self.compared_view(&tables, compared, accepted)
            }),
            consent: referral.consent,
            before: self.attempts_before(&tables, &referral),
            same_time: self.asked_too(&tables, &referral),
            onward: self.onward(&tables, &referral),
            next: self.next_to_ask(&tables, &referral, thread.state),
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
            sent: referral.facts.sent,
            arrived: referral.facts.arrived,
            read: referral.facts.read,
            answered: referral.facts.answered,
            respond_by: referral.respond_by,
        }
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
        // What came with it is erased: it stands where it stood then.
        if let Some((_, state)) = referral.erased {
            return Err(IllegalStep { state, step: step.word(), side: referral.side() }.into());
        }
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
        self.office.release_outbox();
        Ok(())
    }

    /// What a member of the network is called.
    pub(super) fn member_name(&self, office: OfficeId) -> Option<String> {
        let directory = self.office.around.directory()?;
        directory.member(&office).map(|member| member.record.name.to_string())
    }

    /// What a referral at work would send once more, under another consent.
    fn more(&self, referral: &Referral, input: &MoreInput) -> Result<(RecordId, ReferralInput), DeskError> {
        let case = referral.case.filter(|_| referral.outgoing).ok_or(DeskError::NotFound)?;
        self.may_refer(case)?;
        let is_service = !referral.preview.is_transfer() && referral.outside.is_none();
        if !is_service || !referral.thread().state.is_at_work() {
            return Err(DeskError::Invalid(vec![FieldProblem::new("consent", "more-not-now")]));
        }
        let urgency = ["routine", "urgent", "emergency"].get(usize::from(referral.urgency));
        let request = ReferralInput {
            to: referral.partner.to_string(),
            service: referral.preview.service.code.to_string(),
            need: referral.preview.need.to_string(),
            urgency: urgency.copied().unwrap_or_default().to_owned(),
            consent: input.consent.clone(),
            template: input.template.clone(),
            ..ReferralInput::default()
        };
        Ok((case, request))
    }

    /// What exactly would be sent beside what was sent before.
    ///
    /// # Errors
    /// When fields are wrong, the consent does not allow it, or the other office is not at work.
    pub fn preview_more(&self, id: RecordId, input: &MoreInput) -> Result<SharePreview, DeskError> {
        let (case, request) = self.more(&*self.visible_referral(id)?, input)?;
        self.preview_referral(case, &request)
    }

    /// Sends more in a referral that is at work: the same fields anew, under a consent that covers more.
    ///
    /// # Errors
    /// When fields are wrong, the consent does not allow it, or the other office is not at work.
    pub fn share_more(&self, id: RecordId, input: &MoreInput) -> Result<(), DeskError> {
        let (case, request) = self.more(&*self.visible_referral(id)?, input)?;
        let desk = self.clone();
        self.write("share_more", move |tx| {
            let draft = desk.draft(tx, case, &request, tx.now())?;
            let mut sealed = tx.get::<Referral>(Referral::TOP, id)?.ok_or(DeskError::NotFound)?;
            let (referral, keys) = (&mut sealed.record, &desk.office.keys);
            let step = Step::Released { full: draft.full.hash() };
            let event = next_event(tx, keys, referral.thread, Side::Sender, &referral.thread(), step)?;
            let signed = SignedEvent::sign(&event, &keys.node_key);
            let template = draft.preview.template;
            let full = Disclosure::full(&draft.permit, template, Release::Accepted, signed.clone(), draft.full.clone())
                .map_err(|error| DeskError::Partner(error.to_string()))?;
            referral.events.push(HeldEvent { signed, ours: true, at: tx.now(), by: tx.staff(), told: None });
            referral.full = Some(draft.full);
            referral.client = Some(draft.holder.id);
            referral.under_before.extend(referral.consent);
            referral.consent = request.consent.parse().ok();
            Outward::new(Outgoing::Disclosure(full), referral).queue(tx)?;
            touch_case(tx, case, "letter_out", &referral.partner_name.clone())?;
            tx.about(id);
            Ok(tx.update(&sealed.record, sealed.revision)?)
        })?;
        self.office.release_outbox();
        Ok(())
    }

    /// Takes a referral back that has not gone yet: nothing leaves, and it counts as entered in error.
    ///
    /// # Errors
    /// When there is no such referral for this account, or it has gone.
    pub fn recall_referral(&self, id: RecordId) -> Result<(), DeskError> {
        let referral = self.visible_referral(id)?;
        self.may_refer(referral.case.filter(|_| referral.outgoing).ok_or(DeskError::NotFound)?)?;
        let _held = self.office.releasing.lock().unwrap_or_else(PoisonError::into_inner);
        let rows: Vec<RecordId> = {
            let tables = self.office.index.read();
            tables.outbox.values().filter(|row| row.referral == Some(id)).map(|row| row.id).collect()
        };
        let office = Arc::clone(&self.office);
        self.write("recall_referral", move |tx| {
            let mut sealed = tx.get::<Referral>(Referral::TOP, id)?.ok_or(DeskError::NotFound)?;
            for row in rows {
                let mut row = tx.get::<Outbox>(Outbox::TOP, row)?.ok_or(DeskError::NotFound)?;
                if row.record.state != OutboxState::Waiting {
                    return Err(crate::vault::VaultError::Conflict.into());
                }
                row.record.state = OutboxState::Cancelled;
                row.record.body.clear();
                tx.update(&row.record, row.revision)?;
            }
            let referral = &mut sealed.record;
            let (thread, side) = (referral.thread(), referral.side());
            let event = next_event(tx, &office.keys, referral.thread, side, &thread, Step::EnteredInError)?;
            let signed = SignedEvent::sign(&event, &office.keys.node_key);
            referral.events.push(HeldEvent { signed, ours: true, at: tx.now(), by: tx.staff(), told: None });
            tx.about(id);
            Ok(tx.update(&sealed.record, sealed.revision)?)
        })
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

/// The next event of our side, with the number that this store gives it.
pub(super) fn next_event(
    tx: &mut Tx<'_>,
    keys: &crate::keys::Keys,
    thread_id: ThreadId,
    side: Side,
    thread: &Thread,
    step: Step,
) -> Result<Event, DeskError> {
    let mut sealed = tx.get::<Counters>(Counters::TOP, SETTINGS_ID)?.ok_or(DeskError::NotFound)?;
    sealed.record.events += 1;
    let number = sealed.record.events;
    tx.update(&sealed.record, sealed.revision)?;
    let mut epoch = [0u8; StoreEpoch::LENGTH];
    epoch.copy_from_slice(keys.database.as_bytes().split_at(StoreEpoch::LENGTH).0);
    let id = EventId { office: keys.office, epoch: StoreEpoch::new(epoch), number };
    Ok(thread.next(id, thread_id, side, step, tx.now())?)
}

/// The side that is not this one.
pub(super) const fn other_side(side: Side) -> Side {
    match side {
        Side::Sender => Side::Receiver,
        Side::Receiver => Side::Sender,
    }
}

/// The packet with which a referral of ours begins.
fn preview_row(tables: &Tables, id: RecordId) -> Option<&crate::index::OutboxRow> {
    let kind = PacketKind::ReferralPreview.number();
    tables.outbox.values().find(|row| row.referral == Some(id) && row.kind == kind)
}

/// When a referral of ours goes, while it waits and can still be recalled.
fn goes_at(tables: &Tables, id: RecordId, now: Timestamp) -> Option<Timestamp> {
    let row = preview_row(tables, id).filter(|row| row.state == OutboxState::Waiting)?;
    row.not_before.filter(|at| now < *at)
}

/// What follows at the receiver when the sender or the client takes a referral back: without a case everything that was
/// received goes, and the other office is told so; with one, a person decides what is kept and on what ground.
pub(super) fn after_taking_back(
    tx: &mut Tx<'_>,
    keys: &crate::keys::Keys,
    referral: &mut Referral,
) -> Result<(), DeskError> {
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
    touch_case(tx, id, "letter_in", &referral.partner_name)?;
    let due = super::today(tx)?.plus_days(ERASURE_ANSWER_DAYS);
    let new = NewTask { kind: TaskKind::FollowUp, title, due };
    add_task(tx, Some(id), &super::cases::keys(&case.clients), new, case.owner, Some(referral.id)).map(drop)
}

/// Adds an event of ours to a referral and queues it for the other office.
pub(super) fn add_own_event(
    tx: &mut Tx<'_>,
    keys: &crate::keys::Keys,
    referral: &mut Referral,
    step: Step,
) -> Result<(), DeskError> {
    let event = next_event(tx, keys, referral.thread, referral.side(), &referral.thread(), step)?;
    let signed = SignedEvent::sign(&event, &keys.node_key);
    let grant = Grant::of_thread(referral.thread, referral.partner);
    let reply = Reply::event(grant, signed.clone()).map_err(|error| DeskError::Partner(error.to_string()))?;
    referral.events.push(HeldEvent { signed, ours: true, at: tx.now(), by: tx.staff(), told: None });
    if !referral.outgoing {
        referral.facts = Facts { answered: referral.facts.answered, ..Default::default() };
    }
    match referral.outside {
        // Somebody has to say it to them.
        Some(_) => super::outside::tell(tx, referral),
        None => Outward::new(Outgoing::Reply(reply), referral).queue(tx),
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
