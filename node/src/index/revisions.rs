//! What figures are counted from, and how often it changed: what was computed of it holds as long as it stays.

use crate::vault::Kind;
use casemesh_protocol::indicators::Source;
use std::collections::BTreeMap;

/// How often what each source of figures is counted from changed: what was computed of it holds as long as that stays.
#[derive(Debug, Default)]
pub struct Revisions {
    of_all: u64,
    of_one: BTreeMap<Source, u64>,
}

impl Revisions {
    /// That of one source.
    pub fn of(&self, source: Source) -> u64 {
        self.of_all + self.of_one.get(&source).copied().unwrap_or_default()
    }

    pub(super) fn changed(&mut self, what: Counted) {
        match what {
            Counted::In(sources) => sources.iter().for_each(|source| *self.of_one.entry(*source).or_default() += 1),
            Counted::Everywhere => self.of_all += 1,
        }
    }
}

/// Which sources of figures a record is counted in.
pub(super) enum Counted {
    /// These; none where nothing counts it.
    In(&'static [Source]),
    /// All: it says what is there, whose it is, or who may see it.
    Everywhere,
}

impl Counted {
    pub(super) fn of(kind: Kind) -> Self {
        match kind {
            Kind::Action => Self::In(&[Source::Cases, Source::Entries, Source::Assessments]),
            Kind::Payment => Self::In(&[Source::Cases, Source::Payments]),
            Kind::Referral => Self::In(&[Source::Referrals]),
            Kind::RegisterLine => Self::In(&[Source::Visits]),
            Kind::Task => Self::In(&[Source::Tasks]),
            Kind::Request => Self::In(&[Source::Requests]),
            Kind::AgreementChoice
            | Kind::AgreementKept
            | Kind::AreaMap
            | Kind::CapacityAsked
            | Kind::Collected
            | Kind::Consent
            | Kind::Counters
            | Kind::Document
            | Kind::Draft
            | Kind::Listing
            | Kind::Outbox
            | Kind::PartnerCheck
            | Kind::Proposed
            | Kind::Release
            | Kind::SampleCheck
            | Kind::SavedReport
            | Kind::Seen
            | Kind::TallyKept
            | Kind::TallyPart
            | Kind::TallyReport
            | Kind::TallyWord => Self::In(&[]),
            Kind::Case
            | Kind::Glass
            | Kind::Grant
            | Kind::Import
            | Kind::Link
            | Kind::Member
            | Kind::NetworkCodes
            | Kind::OfficeForm
            | Kind::OfficeList
            | Kind::Person
            | Kind::Settings
            | Kind::Staff => Self::Everywhere,
        }
    }
}
