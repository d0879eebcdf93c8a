//! Sending a referral: what would be shared, the request, its recall before it went, and more for one that is at work.

use super::effects::touch_case;
use super::outside::slip_code;
use super::outward::{Outward, Releasing, author, next_event, not_allowed, release};
use super::requests::ask;
use super::sharing::{self, Holdings};
use super::{Desk, DeskError, FieldProblem, MovedView, SharePreview};
use crate::codes;
use crate::names;
use crate::policy::{Ask, Relation};
use crate::records::{
    Action, Asked, Case, Consent, Facts, HandingOver, HeldEvent, Outbox, OutboxState, Outside, Payment, Person,
    PersonRef, Referral, Task,
};
use crate::vault::{Record, Tx};
use casemesh_crypto::hash::keyed_name;
use casemesh_crypto::random::os_rng;
use casemesh_protocol::bounded::{List, Text};
use casemesh_protocol::consent::{Permit, outside_office};
use casemesh_protocol::id::{OfficeId, RecordId, ThreadId};
use casemesh_protocol::outgoing::{Disclosure, Outgoing, Release};
use casemesh_protocol::packet::{self, Chain, ConflictNames, Full, Preview, SharedDocument};
use casemesh_protocol::referral::{Side, Step, Thread};
use casemesh_protocol::template::Template;
use casemesh_protocol::terms::{Code, FieldGroup, Line, Purpose};
use casemesh_protocol::time::{Day, Timestamp};
use casemesh_protocol::timers::{self, URGENCIES};
use serde::{Deserialize, Serialize};
use std::sync::{Arc, PoisonError};
use utoipa::ToSchema;

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
    /// Whether the full packet waits at a hub of ours, which gives it as soon as the other office accepts, also while our node is
    /// off.
    pub wait_at_hub: bool,
    /// Documents of the case that go along once the other office accepted. Where the case is handed over, all go that all see.
    pub documents: Vec<String>,
}

impl From<&HandingOver> for ReferralInput {
    fn from(how: &HandingOver) -> Self {
        Self {
            to: how.to.to_string(),
            service: how.service.clone(),
            need: how.need.clone(),
            urgency: how.urgency.clone(),
            consent: how.consent.to_string(),
            follows: how.follows.map(|follows| follows.to_string()).unwrap_or_default(),
            transfer: true,
            ..Self::default()
        }
    }
}

/// What more is shared in a referral that is at work, as entered.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct MoreInput {
    /// Under which consent: one that covers more.
    pub consent: String,
    /// What is shared: contact_only, legal_brief, child_protection, shelter or health.
    pub template: String,
    /// Documents of the case that go along.
    pub documents: Vec<String>,
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

/// What was asked for, read and checked.
struct Checked {
    to: OfficeId,
    partner_name: String,
    /// How it goes to an office without a node.
    outside: Option<Outside>,
    service: Code,
    need: Text<NEED_BYTES_MAX>,
    urgency: u8,
    template: Template,
    follows: Option<RecordId>,
    /// Where the full packet waits, if it does.
    hub: Option<OfficeId>,
    consent: RecordId,
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
    codes::age_band(person.birth.value()?.age_on(today)?.into())
}

/// A word of the client's name that stands in a text that must not have any.
fn name_in(client: &Person, text: &str) -> Option<String> {
    let names = [client.given.value(), client.family.value(), client.local_name.value()];
    let said = names::words(text);
    let mut names = names.into_iter().flatten().flat_map(|name| names::words(name));
    names.find(|name| name.chars().count() > 2 && said.contains(name))
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
    FieldGroup::Documents,
];

impl Desk {
    /// What would go to the other office, exactly, if the referral were sent now.
    ///
    /// # Errors
    /// When fields are wrong or the consent does not allow it.
    pub fn preview_referral(&self, case: RecordId, input: &ReferralInput) -> Result<SharePreview, DeskError> {
        self.may_refer(case)?;
        let chosen = self.chosen_documents(case, &input.documents, input.transfer)?;
        let documents: Vec<SharedDocument> = chosen.into_iter().map(|(document, _)| document).collect();
        let draft = self.draft(self, case, input, &documents, self.now())?;
        let held = self.holdings(case)?;
        if draft.full.fields.iter().any(|field| field.field.as_str() == "address") {
            self.office.vault.note_and_wait(Some(self.actor.staff), "reveal_address", Some(draft.holder.id))?;
        }
        Ok(SharePreview {
            partner: draft.partner_name,
            held_at: draft.preview.held_at.and_then(|hub| self.member_name(hub)),
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
        let documents = self.documents_to_go(case, &input)?;
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
                let draft = desk.draft(tx, case, &ReferralInput { to, ..input.clone() }, &documents, tx.now())?;
                desk.not_twice(tx, case, &draft, input.also_elsewhere || is_open, first)?;
                let referral = desk.begin_referral(tx, case, draft, &input, first, is_open)?;
                first = first.or(Some(referral));
            }
            first.ok_or(DeskError::NotFound)
        })?;
        self.office.release_outbox();
        Ok(id)
    }

    /// The documents that go along, sealed for that: what the consent keeps back is refused before anything is sealed.
    fn documents_to_go(&self, case: RecordId, input: &ReferralInput) -> Result<Vec<SharedDocument>, DeskError> {
        let chosen = self.chosen_documents(case, &input.documents, input.transfer)?;
        if chosen.is_empty() {
            return Ok(Vec::new());
        }
        let documents: Vec<SharedDocument> = chosen.iter().map(|(document, _)| document.clone()).collect();
        let draft = self.draft(self, case, input, &documents, self.now())?;
        if draft.full.documents().is_empty() { Ok(Vec::new()) } else { self.seal_documents(chosen) }
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
        let is_same = |other: &Referral| is_for_same(other) && other.partner == partner && other.state().is_open();
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
        let signed = next_event(tx, keys, thread, Side::Sender, &Thread::fold([]), step)?;
        // Built for an office without a node as well: what the permit does not cover does not get onto paper either.
        let disclosure = Disclosure::preview(&draft.permit, signed.clone(), preview.clone()).map_err(not_allowed)?;
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
            let template = referral.preview.template;
            let under = Releasing { permit: &draft.permit, template, release: Release::Now, not_before: goes_at };
            release(tx, keys, &mut referral, &under, draft.full)?;
        } else if let Some(hub) = referral.preview.held_at {
            let full = Full { documents: None, ..draft.full };
            let disclosure = Disclosure::held(&draft.permit, referral.preview.template, full).map_err(not_allowed)?;
            Outward::new(Outgoing::Disclosure(disclosure), &referral)
                .not_before(goes_at)
                .held_at(hub, draft.permit.expires())
                .queue(tx)?;
        }
        tx.insert(&referral)?;
        touch_case(tx, case, "letter_out", &referral.partner_name)?;
        tx.about(id);
        Ok(id)
    }

    /// Following a referral to its end is allowed to who may refer, also when it handed the case over.
    pub(super) fn may_follow(&self, case: RecordId) -> Result<(), DeskError> {
        let relation = self.reach_case(case)?;
        Ok(self.allow(Ask::Refer(Relation { handed_over: false, ..relation }))?)
    }

    /// Whether this account hands cases over only where somebody else approves it.
    pub fn hands_over_by_request(&self) -> bool {
        self.office.settings().is_some_and(|settings| settings.approve_closure) && !self.may(Ask::ApproveCases)
    }

    /// Asks whoever approves closures to hand a case over. It is checked now as it would be sent, and once more when it is approved.
    ///
    /// # Errors
    /// When fields are wrong, the consent does not allow it, or nobody could approve.
    pub fn ask_to_hand_over(&self, case: RecordId, input: &ReferralInput) -> Result<(), DeskError> {
        self.may_refer(case)?;
        self.may_in_case(case, Ask::AssignCase)?;
        let input = ReferralInput { transfer: true, ..input.clone() };
        let documents = self.chosen_documents(case, &[], true)?.into_iter().map(|(document, _)| document);
        let draft = self.draft(self, case, &input, &documents.collect::<Vec<_>>(), self.now())?;
        let consent = input.consent.parse().map_err(|_| DeskError::NotFound)?;
        let how = HandingOver {
            to: draft.permit.recipient(),
            service: input.service,
            need: draft.preview.need.to_string(),
            urgency: input.urgency,
            consent,
            follows: draft.follows,
        };
        let asked = Asked::HandOver(case, how);
        if !self.has_approver(&asked) {
            return Err(DeskError::Invalid(vec![FieldProblem::new("transfer", "no-second-person")]));
        }
        self.write_in_case("ask_to_hand_over", case, move |tx, case| {
            ask(tx, super::cases::keys(&case.clients), asked).map(drop)
        })
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

    /// Reads what was entered, as far as it can be judged without the consent.
    fn asked(&self, input: &ReferralInput, client: &Person, now: Timestamp) -> Result<Checked, DeskError> {
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
        let hub = to.and_then(|to| self.hub_to_hold(to)).filter(|_| input.wait_at_hub);
        if input.wait_at_hub && (input.transfer || input.complete_now || is_outside || !input.also.is_empty()) {
            problems.add("wait_at_hub", "waits-for-one-service");
        } else if input.wait_at_hub && hub.is_none() && to.is_some() {
            problems.add("wait_at_hub", "no-hub-to-hold");
        }
        let follows: Option<RecordId> = match input.follows.as_str() {
            "" => None,
            text => problems.word("follows", text),
        };
        let consent: Option<RecordId> = problems.word("consent", &input.consent);
        if let Some(name) = name_in(client, &need) {
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
        let partner_name = match member {
            Some(member) if !is_outside => member.record.name.to_string(),
            _ => outside.to_string(),
        };
        let asked = || {
            Some(Checked {
                to: to?,
                partner_name,
                outside: match is_outside {
                    true => Some(Outside { how: how?, contact, reference: String::new(), code: slip_code() }),
                    false => None,
                },
                service: service?,
                need: Text::new(need).ok()?,
                urgency,
                template: template?,
                follows,
                hub,
                consent: consent?,
            })
        };
        asked().ok_or(DeskError::NotFound)
    }

    /// What goes to the other office under the consent that is named: nothing that it does not cover, and nothing that the
    /// template does not ask for.
    fn draft(
        &self,
        source: &impl Source,
        case: RecordId,
        input: &ReferralInput,
        documents: &[SharedDocument],
        now: Timestamp,
    ) -> Result<Draft, DeskError> {
        let case = source.case(case)?.ok_or(DeskError::NotFound)?;
        let client = case.clients.first().ok_or(DeskError::NotFound)?;
        let records = self.office.index.read().records_of(client.id);
        let standing = records.first().copied().unwrap_or(client.id);
        let client = source.person(standing)?.ok_or(DeskError::NotFound)?;
        let asked = self.asked(input, &client, now)?;
        // The consent may stand with a record that turned out to be about the same person.
        let found = records.iter().find_map(|id| source.consent(*id, asked.consent).transpose());
        let consent = found.transpose()?.ok_or(DeskError::NotFound)?;
        let circumstances = self.office.circumstances(&client, asked.to, &asked.partner_name);
        let purpose = if input.transfer { Purpose::ShareForTransfer } else { Purpose::ShareForService };
        let permit = Permit::under(&consent.terms, consent.status, purpose, asked.to, circumstances, now)?;
        let held = source.holdings(case.id)?;
        self.check_permitted(&case, input, &permit, &held)?;
        let covers = permit.covers(FieldGroup::Documents) && asked.template.asks_for(FieldGroup::Documents);
        let documents = if covers { documents } else { &[] };
        if !covers && !input.documents.is_empty() && !input.transfer {
            return Err(DeskError::Invalid(vec![FieldProblem::new("documents", "documents-not-covered")]));
        }
        if asked.outside.is_some() && !documents.is_empty() {
            return Err(DeskError::Invalid(vec![FieldProblem::new("documents", "documents-need-node")]));
        }
        let mut preview = self.preview(&case, &client, &asked, &permit, now)?;
        if documents.is_empty() {
            let told = preview.will_share.iter().copied().filter(|group| *group != FieldGroup::Documents);
            preview.will_share = List::new(told.collect()).map_err(|_| DeskError::NotFound)?;
        }
        let mut full = self.full(&case, &client, &held, &permit, asked.template)?;
        full.documents = match documents.is_empty() {
            true => None,
            false => Some(List::new(documents.to_vec()).map_err(|_| DeskError::NotFound)?),
        };
        let names = self.conflict_names(case.id, &client, &permit).filter(|_| asked.outside.is_none());
        let is_left_out = |group: &FieldGroup| !preview.will_share.as_slice().contains(group);
        Ok(Draft {
            left_out: SHAREABLE.iter().copied().filter(is_left_out).collect(),
            follows: asked.follows,
            names,
            partner_name: asked.partner_name,
            preview,
            full,
            permit,
            urgency: asked.urgency,
            holder: consent.person,
            outside: asked.outside,
        })
    }

    /// Whether the consent allows the way in which this is to go.
    fn check_permitted(
        &self,
        case: &Case,
        input: &ReferralInput,
        permit: &Permit,
        held: &Holdings,
    ) -> Result<(), DeskError> {
        let mut problems = self.problems();
        if input.complete_now && !permit.lets_all_go_now() {
            problems.add("complete_now", "consent-not-now");
        }
        if !input.transfer {
            if self.is_being_handed_over(case.id) {
                problems.add("to", "transfer-open-referral");
            }
            return problems.done();
        }
        let is_open = self.office.index.read().has_open_referral(case.id);
        if let Some((field, problem, value)) = super::handing::obstacle(permit, is_open, case.clients.len()) {
            problems.with(field, problem, value);
        }
        problems.done()?;
        // It must fit when it is accepted; somebody learns now that it does not.
        super::handing::parts(&self.office.index.read().vocabulary, case, held, permit).map(drop)
    }

    /// What the other office sees before it accepts.
    fn preview(
        &self,
        case: &Case,
        client: &Person,
        asked: &Checked,
        permit: &Permit,
        now: Timestamp,
    ) -> Result<Preview, DeskError> {
        let attempt = self.office.index.read().referrals.values().filter(|r| r.case == Some(case.id)).count();
        let seed = keyed_name(
            &self.office.keys.subkey("pseudonym"),
            &[case.id.as_bytes(), asked.to.as_bytes(), &(attempt as u64).to_be_bytes()],
        );
        let [a, b, c, d, ..] = *seed.as_bytes();
        let is_shared = |group: &FieldGroup| permit.covers(*group) && asked.template.asks_for(*group);
        let area = client.area.value().filter(|_| permit.covers(FieldGroup::Address));
        let bounded = |_| DeskError::NotFound;
        Ok(Preview {
            need: asked.need.clone(),
            pseudonym: Text::cut(&packet::pseudonym(&asked.to, [a, b, c, d])),
            age_band: age_band(client, now.day()).filter(|_| permit.covers(FieldGroup::BirthAndSex)),
            sex: client.sex.value().filter(|_| permit.covers(FieldGroup::BirthAndSex)).cloned(),
            language: client.language.value().filter(|_| permit.covers(FieldGroup::Origin)).cloned(),
            interpreter: client.interpreter,
            area: area.map(|area| Line::cut(area)).unwrap_or_default(),
            safe_contact: client.safe_contact.without_words(),
            will_share: List::new(SHAREABLE.iter().copied().filter(is_shared).collect()).map_err(bounded)?,
            withheld: List::new(permit.withheld().to_vec()).map_err(bounded)?,
            chain: self.chain(case, asked.follows),
            ground: permit.ground(),
            held_at: asked.hub,
            ..Preview::asking(asked.service.clone(), asked.template, permit.expires())
        })
    }

    /// What the other office gets once it accepted.
    fn full(
        &self,
        case: &Case,
        client: &Person,
        held: &Holdings,
        permit: &Permit,
        template: Template,
    ) -> Result<Full, DeskError> {
        let fields = {
            let tables = self.office.index.read();
            let sees = |person: RecordId| self.sees_person(&tables, person);
            sharing::fields(&tables, (client, case), held, permit, template, &sees)?
        };
        let has_brief = permit.covers(FieldGroup::CaseBrief) && template.has_brief();
        let bounded = |_| DeskError::NotFound;
        Ok(Full {
            fields: List::new(fields).map_err(bounded)?,
            brief: if has_brief { Text::cut(&case.summary) } else { Text::default() },
            withheld: List::new(permit.withheld().to_vec()).map_err(bounded)?,
            sender_contact: Line::cut(&format!("{}, {}", self.name, self.office_name())),
            safe_contact: match permit.covers(FieldGroup::Contact) {
                true => client.safe_contact.clone(),
                false => client.safe_contact.without_words(),
            },
            never: super::circumstances::shared(&client.never, permit),
            moved: None,
            documents: None,
        })
    }

    /// Whether a case is about to become another office's.
    fn is_being_handed_over(&self, case: RecordId) -> bool {
        let tables = self.office.index.read();
        let mut of_case = tables.referrals.values().filter(|referral| referral.outgoing && referral.case == Some(case));
        of_case.any(|referral| referral.preview.is_transfer() && tables.stands(referral).state.is_open())
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

    /// What a referral at work would send once more, under another consent.
    fn more(&self, referral: &Referral, input: &MoreInput) -> Result<(RecordId, ReferralInput), DeskError> {
        let case = referral.case.filter(|_| referral.outgoing).ok_or(DeskError::NotFound)?;
        self.may_refer(case)?;
        let is_service = !referral.preview.is_transfer() && referral.outside.is_none();
        if !is_service || !referral.thread().state.is_at_work() {
            return Err(DeskError::Invalid(vec![FieldProblem::new("consent", "more-not-now")]));
        }
        let urgency = URGENCIES.get(usize::from(referral.urgency));
        let request = ReferralInput {
            to: referral.partner.to_string(),
            service: referral.preview.service.code.to_string(),
            need: referral.preview.need.to_string(),
            urgency: urgency.copied().unwrap_or_default().to_owned(),
            consent: input.consent.clone(),
            template: input.template.clone(),
            documents: input.documents.clone(),
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
        let documents = self.documents_to_go(case, &request)?;
        let desk = self.clone();
        self.write("share_more", move |tx| {
            let draft = desk.draft(tx, case, &request, &documents, tx.now())?;
            let mut sealed = tx.get::<Referral>(Referral::TOP, id)?.ok_or(DeskError::NotFound)?;
            let (referral, keys) = (&mut sealed.record, &desk.office.keys);
            referral.full = Some(draft.full.clone().after(referral.full.as_ref()));
            referral.client = Some(draft.holder.id);
            referral.under_before.extend(referral.consent);
            referral.consent = request.consent.parse().ok();
            let (template, release_now) = (draft.preview.template, Release::Accepted);
            let under = Releasing { permit: &draft.permit, template, release: release_now, not_before: None };
            release(tx, keys, referral, &under, draft.full)?;
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
            author(tx, &office.keys, referral, Step::EnteredInError)?;
            tx.about(id);
            Ok(tx.update(&sealed.record, sealed.revision)?)
        })
    }
}
