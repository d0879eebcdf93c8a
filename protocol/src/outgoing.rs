//! The three kinds of things that may leave an office, each with its reason in its type.
//!
//! A [`Disclosure`] tells something about a person and cannot be made without a [`Permit`]. A [`Reply`]
//! answers in a thread that the other office opened or that we disclosed into, and cannot be made without
//! that thread's [`Grant`]. A [`Control`] packet has no place for personal fields or free text. Only
//! these become packets ([`Outgoing`]).

use crate::consent::Permit;
use crate::directory::{Card, NetworkFile};
use crate::id::{OfficeId, ThreadId};
use crate::packet::{Body, CapacityAnswer, CapacityQuestion, ConflictNames, Full, Preview, ReadReceipt};
use crate::proposal::{Comment, Proposal};
use crate::referral::{SignedEvent, Step};
use crate::sample::{SampleAnswer, SampleQuestion};
use crate::statistics::Table;
use crate::tally::Tally;
use crate::template::Template;
use crate::terms::{FieldGroup, Purpose};
use casemesh_crypto::hash::Digest;

/// Something about a person, under a permit.
#[derive(Debug, Clone)]
pub struct Disclosure {
    to: OfficeId,
    consent: Digest,
    purpose: u16,
    body: Body,
}

/// What was to be disclosed goes beyond what may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BeyondPermit {
    /// The consent does not cover it.
    #[error("{0} is not covered by the consent")]
    Group(FieldGroup),
    /// The kind of referral does not hold it.
    #[error("{0} does not belong into a referral of this kind")]
    Template(FieldGroup),
    /// A case cannot be handed over without saying whose it is and what was done.
    #[error("a case cannot be handed over without {0}; ask the client for a consent that covers it")]
    Transfer(FieldGroup),
    /// The consent is for another purpose.
    #[error("the consent is for another purpose; ask the client for this one")]
    Purpose,
    /// Everything can go at once only where the consent says so.
    #[error("the consent does not let everything go before the other office accepted")]
    Now,
}

/// Whether what is released was accepted before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Release {
    /// The other office took it.
    Accepted,
    /// It goes with the preview: an emergency.
    Now,
}

impl Disclosure {
    /// The preview of a referral.
    ///
    /// # Errors
    /// When it tells or promises a group that the permit does not cover, or holds what a person wrote about how to
    /// reach her: such words can name her.
    pub fn preview(permit: &Permit, event: SignedEvent, preview: Preview) -> Result<Self, BeyondPermit> {
        let told = [
            (preview.age_band.is_some() || preview.sex.is_some(), FieldGroup::BirthAndSex),
            (preview.language.is_some(), FieldGroup::Origin),
            (!preview.area.is_empty(), FieldGroup::Address),
        ];
        let told = told.into_iter().filter(|(is_told, _)| *is_told).map(|(_, group)| group);
        if let Some(group) = told.chain(preview.will_share.iter().copied()).find(|group| !permit.covers(*group)) {
            return Err(BeyondPermit::Group(group));
        }
        if preview.safe_contact != preview.safe_contact.without_words() {
            return Err(BeyondPermit::Group(FieldGroup::Contact));
        }
        if preview.purpose != permit.purpose() || preview.ground != permit.ground() {
            return Err(BeyondPermit::Purpose);
        }
        if preview.is_transfer() != (preview.template == Template::FullTransfer) {
            return Err(BeyondPermit::Purpose);
        }
        if preview.is_transfer()
            && let Some(group) = Template::NEEDED_TO_HAND_OVER.iter().find(|group| !permit.covers(**group))
        {
            return Err(BeyondPermit::Transfer(*group));
        }
        Ok(Self::new(permit, Body::ReferralPreview { event, preview: Box::new(preview) }))
    }

    /// The full packet after acceptance. The scope and the template are enforced here, when the packet is built.
    ///
    /// # Errors
    /// When a field, the brief or the words about contact belong to a group that the permit or the template does not cover; when
    /// it brings a case along under another consent than one to hand it over; when it goes too soon.
    pub fn full(
        permit: &Permit,
        template: Template,
        release: Release,
        event: SignedEvent,
        full: Full,
    ) -> Result<Self, BeyondPermit> {
        if release == Release::Now && !permit.lets_all_go_now() {
            return Err(BeyondPermit::Now);
        }
        Self::check_full(permit, template, &full)?;
        Ok(Self::new(permit, Body::ReferralFull { event, full }))
    }

    /// The full packet, to wait at a hub until the recipient accepted. What belongs to a case that is handed over and documents
    /// do not wait: they go by the sender's own word.
    ///
    /// # Errors
    /// As for [`Self::full`]; when it brings a case or documents along.
    pub fn held(permit: &Permit, template: Template, full: Full) -> Result<Self, BeyondPermit> {
        if full.moved.is_some() || permit.purpose() == Purpose::ShareForTransfer {
            return Err(BeyondPermit::Purpose);
        }
        if !full.documents().is_empty() {
            return Err(BeyondPermit::Group(FieldGroup::Documents));
        }
        Self::check_full(permit, template, &full)?;
        Ok(Self::new(permit, Body::HeldFull(full)))
    }

    fn check_full(permit: &Permit, template: Template, full: &Full) -> Result<(), BeyondPermit> {
        if let Some(field) = full.fields.iter().find(|field| !permit.covers(field.group)) {
            return Err(BeyondPermit::Group(field.group));
        }
        if let Some(field) = full.fields.iter().find(|field| !template.holds(field.group, field.field.as_str())) {
            return Err(BeyondPermit::Template(field.group));
        }
        if !full.brief.is_empty() && !permit.covers(FieldGroup::CaseBrief) {
            return Err(BeyondPermit::Group(FieldGroup::CaseBrief));
        }
        if !full.brief.is_empty() && !template.has_brief() {
            return Err(BeyondPermit::Template(FieldGroup::CaseBrief));
        }
        if !permit.covers(FieldGroup::Contact) && full.safe_contact != full.safe_contact.without_words() {
            return Err(BeyondPermit::Group(FieldGroup::Contact));
        }
        if !full.documents().is_empty() && !permit.covers(FieldGroup::Documents) {
            return Err(BeyondPermit::Group(FieldGroup::Documents));
        }
        if !full.documents().is_empty() && !template.asks_for(FieldGroup::Documents) {
            return Err(BeyondPermit::Template(FieldGroup::Documents));
        }
        if full.moved.is_some() {
            if permit.purpose() != Purpose::ShareForTransfer || template != Template::FullTransfer {
                return Err(BeyondPermit::Purpose);
            }
            if let Some(group) = Template::NEEDED_TO_HAND_OVER.iter().find(|group| !permit.covers(**group)) {
                return Err(BeyondPermit::Transfer(*group));
            }
            let has_money = full.moved.as_ref().is_some_and(|moved| !moved.payments.as_slice().is_empty());
            if has_money && !permit.covers(FieldGroup::Money) {
                return Err(BeyondPermit::Group(FieldGroup::Money));
            }
        }
        Ok(())
    }

    /// Names for the other office's computer to compare, before it accepts.
    ///
    /// # Errors
    /// When the permit does not cover that.
    pub fn conflict_names(permit: &Permit, event: SignedEvent, names: ConflictNames) -> Result<Self, BeyondPermit> {
        if !permit.covers(FieldGroup::ConflictCheck) {
            return Err(BeyondPermit::Group(FieldGroup::ConflictCheck));
        }
        Ok(Self::new(permit, Body::ConflictNames { event, names }))
    }

    fn new(permit: &Permit, body: Body) -> Self {
        Self { to: permit.recipient(), consent: permit.evidence(), purpose: permit.purpose().number(), body }
    }
}

/// Leave to answer in one thread: held by the office that received the referral, and by the sender
/// towards the office it disclosed to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grant {
    thread: ThreadId,
    partner: OfficeId,
}

impl Grant {
    /// The grant of a thread that stands in our own store.
    pub fn of_thread(thread: ThreadId, partner: OfficeId) -> Self {
        Self { thread, partner }
    }
}

/// An answer in a thread.
#[derive(Debug, Clone)]
pub struct Reply {
    to: OfficeId,
    body: Body,
}

/// The event opens or fills a thread, which takes a disclosure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this step discloses something and needs a consent")]
pub struct NeedsDisclosure;

impl Reply {
    /// An event of a thread. That something was released or asked goes as well without what it names, where the disclosure that
    /// carried both did not arrive: what follows would wait for it for ever, and it holds a hash alone.
    ///
    /// # Errors
    /// When the event is of another thread, or opens one, which takes a disclosure.
    pub fn event(grant: Grant, event: SignedEvent) -> Result<Self, NeedsDisclosure> {
        let read = event.read().map_err(|_| NeedsDisclosure)?;
        if matches!(read.step, Step::Sent { .. }) || read.thread != grant.thread {
            return Err(NeedsDisclosure);
        }
        Ok(Self { to: grant.partner, body: Body::ReferralEvent(event) })
    }
}

/// What cannot hold a personal field or free text.
#[derive(Debug, Clone)]
pub struct Control {
    to: OfficeId,
    body: Body,
}

impl Control {
    /// We opened your packet.
    pub fn read(to: OfficeId, receipt: ReadReceipt) -> Self {
        Self { to, body: Body::ReadReceipt(receipt) }
    }

    /// Our new card: it is about nobody but the office.
    pub fn card(to: OfficeId, card: Card) -> Self {
        Self { to, body: Body::Card(card) }
    }

    /// What is new in the network.
    pub fn news(to: OfficeId, news: NetworkFile) -> Self {
        Self { to, body: Body::News(news) }
    }

    /// Whether there is room.
    pub fn capacity_question(to: OfficeId, question: CapacityQuestion) -> Self {
        Self { to, body: Body::CapacityQuestion(question) }
    }

    /// Whether there is room here.
    pub fn capacity_answer(to: OfficeId, answer: CapacityAnswer) -> Self {
        Self { to, body: Body::CapacityAnswer(answer) }
    }

    /// Part of a secure sum: shares, and what aggregators say of them, tell nothing by themselves.
    pub fn tally(to: OfficeId, tally: Tally) -> Self {
        Self { to, body: Body::Tally(Box::new(tally)) }
    }

    /// A sample check is asked for.
    pub fn sample_question(to: OfficeId, question: SampleQuestion) -> Self {
        Self { to, body: Body::SampleQuestion(question) }
    }

    /// Whether we take part in it, or how it came out: numbers alone.
    pub fn sample_answer(to: OfficeId, answer: SampleAnswer) -> Self {
        Self { to, body: Body::SampleAnswer(answer) }
    }

    /// What we propose that the network agrees on.
    pub fn proposal(to: OfficeId, proposal: Proposal) -> Self {
        Self { to, body: Body::Proposal(Box::new(proposal)) }
    }

    /// What we say of a proposal.
    pub fn comment(to: OfficeId, comment: Comment) -> Self {
        Self { to, body: Body::Comment(comment) }
    }

    /// A table that staff saw cell by cell and approved.
    pub fn table(to: OfficeId, table: Table) -> Self {
        Self { to, body: Body::StatisticsTable(table) }
    }
}

/// What may leave.
#[derive(Debug, Clone)]
pub enum Outgoing {
    /// About a person, under a permit.
    Disclosure(Disclosure),
    /// In a thread, under its grant.
    Reply(Reply),
    /// Without a person.
    Control(Control),
}

impl Outgoing {
    /// For whom.
    pub fn to(&self) -> OfficeId {
        match self {
            Self::Disclosure(disclosure) => disclosure.to,
            Self::Reply(reply) => reply.to,
            Self::Control(control) => control.to,
        }
    }

    /// The body.
    pub fn body(&self) -> &Body {
        match self {
            Self::Disclosure(disclosure) => &disclosure.body,
            Self::Reply(reply) => &reply.body,
            Self::Control(control) => &control.body,
        }
    }

    /// Hash of the consent terms and number of the purpose, for the statement; zero where there is none.
    pub fn consent(&self) -> (Digest, u16) {
        match self {
            Self::Disclosure(disclosure) => (disclosure.consent, disclosure.purpose),
            Self::Reply(_) | Self::Control(_) => (Digest::ZERO, 0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bounded::{List, Text};
    use crate::consent::{ConsentStatus, tests::terms};
    use crate::id::{EventId, StoreEpoch};
    use crate::packet::SharedField;
    use crate::referral::Event;
    use crate::terms::{Code, Line, SafeContact};
    use crate::time::Timestamp;
    use casemesh_crypto::random::os_rng;
    use casemesh_crypto::sign::SigningKey;

    fn permit() -> Permit {
        let terms = terms();
        let to = terms.recipients.as_slice()[0];
        Permit::under(
            &terms,
            ConsentStatus::Given,
            Purpose::ShareForService,
            to,
            crate::consent::Circumstances::default(),
            terms.given.plus_days(1),
        )
        .unwrap()
    }

    fn event(step: Step) -> SignedEvent {
        let id = EventId { office: OfficeId::new([1; 32]), epoch: StoreEpoch::new([0; 8]), number: 1 };
        let thread = ThreadId::new([5; 16]);
        let event = Event { id, thread, previous: Digest::ZERO, seen: Digest::ZERO, at: Timestamp::from_s(1), step };
        SignedEvent::sign(&event, &SigningKey::random(&mut os_rng()))
    }

    fn preview() -> Preview {
        let service = Code::new("service_type", 1, "safe_house", "Safe house").unwrap();
        Preview {
            will_share: List::new(vec![FieldGroup::Names]).unwrap(),
            ..Preview::asking(service, Template::LegalBrief, Timestamp::from_s(1))
        }
    }

    #[test]
    fn a_preview_tells_and_promises_only_what_the_permit_covers() {
        let sex = Code::new("sex", 1, "female", "Female").unwrap();
        let words = SafeContact { instructions: Line::new("Ask for Nomvula").unwrap(), ..SafeContact::default() };
        let make = |preview| Disclosure::preview(&permit(), event(Step::Acknowledged), preview).map(|_| ());
        assert_eq!(make(preview()), Ok(()));
        let beyond = [
            (Preview { sex: Some(sex), ..preview() }, FieldGroup::BirthAndSex),
            (Preview { area: Line::new("Ugu").unwrap(), ..preview() }, FieldGroup::Address),
            (Preview { safe_contact: words, ..preview() }, FieldGroup::Contact),
            (Preview { will_share: List::new(vec![FieldGroup::Contact]).unwrap(), ..preview() }, FieldGroup::Contact),
        ];
        for (preview, group) in beyond {
            assert_eq!(make(preview), Err(BeyondPermit::Group(group)));
        }
        let transfer = Preview { purpose: Purpose::ShareForTransfer, ..preview() };
        assert_eq!(make(transfer), Err(BeyondPermit::Purpose), "a consent for a service hands nothing over");
        assert_eq!(make(Preview { template: Template::FullTransfer, ..preview() }), Err(BeyondPermit::Purpose));
    }

    #[test]
    fn a_full_packet_holds_only_what_the_permit_covers() {
        let full = |group, field: &str, brief: &str| Full {
            fields: List::new(vec![SharedField {
                group,
                field: Text::new(field).unwrap(),
                value: Text::new("y").unwrap(),
            }])
            .unwrap(),
            brief: Text::new(brief).unwrap(),
            withheld: List::default(),
            sender_contact: Line::default(),
            safe_contact: SafeContact::default(),
            never: None,
            moved: None,
            documents: None,
        };
        let under = |template, release, full| {
            Disclosure::full(&permit(), template, release, event(Step::Acknowledged), full).map(|_| ())
        };
        let make = |full| under(Template::LegalBrief, Release::Accepted, full);
        assert_eq!(make(full(FieldGroup::Names, "given", "the case")), Ok(()));
        for group in FieldGroup::ALL.iter().filter(|group| !permit().covers(**group)) {
            assert_eq!(make(full(*group, "given", "")), Err(BeyondPermit::Group(*group)));
        }
        let strange = full(FieldGroup::Names, "telephone", "");
        assert_eq!(make(strange), Err(BeyondPermit::Template(FieldGroup::Names)), "a field under another's group");
        let brief = full(FieldGroup::Names, "given", "the case");
        let health = under(Template::Health, Release::Accepted, brief.clone());
        assert_eq!(health, Err(BeyondPermit::Template(FieldGroup::CaseBrief)), "a clinic gets no legal facts");
        assert_eq!(under(Template::LegalBrief, Release::Now, brief), Err(BeyondPermit::Now));
        let document = crate::packet::SharedDocument {
            title: Line::default(),
            name: Line::default(),
            bytes: 1,
            file: Digest::ZERO,
            sealed_bytes: 17,
            key: [0; 32],
        };
        let paper = Full { documents: Some(List::new(vec![document]).unwrap()), ..Full::default() };
        assert_eq!(make(paper), Err(BeyondPermit::Group(FieldGroup::Documents)));
        let names = Disclosure::conflict_names(&permit(), event(Step::Acknowledged), ConflictNames::default());
        assert_eq!(names.map(|_| ()), Err(BeyondPermit::Group(FieldGroup::ConflictCheck)));
    }

    #[test]
    fn what_discloses_cannot_leave_as_a_reply_nor_into_another_thread() {
        let here = Grant::of_thread(ThreadId::new([5; 16]), OfficeId::new([2; 32]));
        let elsewhere = Grant::of_thread(ThreadId::new([6; 16]), OfficeId::new([2; 32]));
        assert!(Reply::event(here, event(Step::Acknowledged)).is_ok());
        assert_eq!(Reply::event(elsewhere, event(Step::Acknowledged)).map(|_| ()), Err(NeedsDisclosure));
        let sent = Step::Sent {
            service: preview().service,
            respond_by: Timestamp::from_s(1),
            expires: Timestamp::from_s(2),
            preview: Digest::ZERO,
        };
        assert_eq!(Reply::event(here, event(sent)).map(|_| ()), Err(NeedsDisclosure));
    }
}
