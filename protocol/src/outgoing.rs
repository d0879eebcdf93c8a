//! The three kinds of things that may leave an office, each with its reason in its type.
//!
//! A [`Disclosure`] tells something about a person and cannot be made without a [`Permit`]. A [`Reply`]
//! answers in a thread that the other office opened or that we disclosed into, and cannot be made without
//! that thread's [`Grant`]. A [`Control`] packet has no place for personal fields or free text. Only
//! these become packets ([`Outgoing`]).

use crate::consent::Permit;
use crate::id::{OfficeId, ThreadId};
use crate::packet::{Body, Full, Preview, ReadReceipt};
use crate::referral::{SignedEvent, Step};
use crate::statistics::Table;
use crate::terms::FieldGroup;
use casemesh_crypto::hash::Digest;

/// Something about a person, under a permit.
#[derive(Debug, Clone)]
pub struct Disclosure {
    to: OfficeId,
    consent: Digest,
    purpose: u16,
    body: Body,
}

/// What was to be disclosed goes beyond the permit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0} is not covered by the consent")]
pub struct BeyondPermit(pub FieldGroup);

impl Disclosure {
    /// The preview of a referral.
    ///
    /// # Errors
    /// When it promises a group that the permit does not cover.
    pub fn preview(permit: &Permit, event: SignedEvent, preview: Preview) -> Result<Self, BeyondPermit> {
        if let Some(group) = preview.will_share.iter().find(|group| !permit.covers(**group)) {
            return Err(BeyondPermit(*group));
        }
        Ok(Self::new(permit, Body::ReferralPreview { event, preview }))
    }

    /// The full packet after acceptance. The scope is enforced here, when the packet is built.
    ///
    /// # Errors
    /// When a field or the brief belongs to a group that the permit does not cover.
    pub fn full(permit: &Permit, event: SignedEvent, full: Full) -> Result<Self, BeyondPermit> {
        if let Some(field) = full.fields.iter().find(|field| !permit.covers(field.group)) {
            return Err(BeyondPermit(field.group));
        }
        if !full.brief.is_empty() && !permit.covers(FieldGroup::CaseBrief) {
            return Err(BeyondPermit(FieldGroup::CaseBrief));
        }
        Ok(Self::new(permit, Body::ReferralFull { event, full }))
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
    /// An event of a thread.
    ///
    /// # Errors
    /// When the event is of another thread, or one that only a disclosure may carry.
    pub fn event(grant: Grant, event: SignedEvent) -> Result<Self, NeedsDisclosure> {
        let read = event.read().map_err(|_| NeedsDisclosure)?;
        let discloses = matches!(read.step, Step::Sent { .. } | Step::Released { .. });
        if discloses || read.thread != grant.thread {
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
