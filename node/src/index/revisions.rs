//! What figures are counted from, and what of it changed: what was computed of it holds as long as it stays, and rows of which few changed
//! are made anew one by one.

use crate::vault::Kind;
use casemesh_protocol::id::RecordId;
use casemesh_protocol::indicators::Source;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// So many changes are remembered one by one: who looks after more makes all rows anew.
const REMEMBERED_MAX: usize = 256;

/// Sources whose rows are each of one case, or of none, or of one person: they can be made anew one by one.
const ROW_BY_ROW: &[Source] = &[
    Source::Cases,
    Source::People,
    Source::Payments,
    Source::Entries,
    Source::Assessments,
    Source::Referrals,
    Source::Tasks,
];
/// Sources that look at cases without a row for each.
const ACROSS: &[Source] = &[Source::Visits, Source::Workers, Source::Requests];

/// What each source of figures is counted from, and how often it changed.
#[derive(Debug, Default)]
pub struct Revisions {
    /// How often anything changed.
    now: u64,
    /// The last change that touched each source.
    last: BTreeMap<Source, u64>,
    /// The last one that touched each in a way that is not known row by row.
    whole: BTreeMap<Source, u64>,
    /// The latest changes that are known row by row, the last one last.
    log: VecDeque<(u64, Touched)>,
    /// The last change of each that is not remembered any more.
    forgotten: BTreeMap<Source, u64>,
}

/// Which rows of which sources a change touched.
#[derive(Debug)]
struct Touched {
    sources: &'static [Source],
    cases: Vec<Option<RecordId>>,
    people: Vec<RecordId>,
}

/// The rows of a source that are not as they were.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Stale {
    /// Those of these cases; of none where it says none.
    pub cases: BTreeSet<Option<RecordId>>,
    /// Those of these people.
    pub people: BTreeSet<RecordId>,
}

impl Revisions {
    /// That of one source.
    pub fn of(&self, source: Source) -> u64 {
        self.last.get(&source).copied().unwrap_or_default()
    }

    /// The rows of a source that changed since a revision of it; none where that is not known row by row.
    pub fn since(&self, source: Source, revision: u64) -> Option<Stale> {
        let known_from = self.whole.get(&source).max(self.forgotten.get(&source)).copied().unwrap_or_default();
        if revision < known_from {
            return None;
        }
        let mut stale = Stale::default();
        let later = self.log.iter().filter(|(at, touched)| *at > revision && touched.sources.contains(&source));
        for (_, touched) in later {
            stale.cases.extend(&touched.cases);
            stale.people.extend(&touched.people);
        }
        Some(stale)
    }

    pub(super) fn changed(&mut self, what: Counted) {
        self.now += 1;
        match what {
            Counted::In(sources) => self.touch(sources),
            Counted::Everywhere => {
                self.touch(ROW_BY_ROW);
                self.touch(ACROSS);
            }
            Counted::OfCases(sources, cases) => self.note(Touched { sources, cases, people: Vec::new() }),
            Counted::OfPeople(people, cases) => {
                let cases = cases.into_iter().map(Some).collect();
                self.note(Touched { sources: ROW_BY_ROW, cases, people });
                self.touch(ACROSS);
            }
        }
    }

    fn touch(&mut self, sources: &[Source]) {
        for source in sources {
            self.last.insert(*source, self.now);
            self.whole.insert(*source, self.now);
        }
    }

    fn note(&mut self, touched: Touched) {
        self.last.extend(touched.sources.iter().map(|source| (*source, self.now)));
        self.log.push_back((self.now, touched));
        while self.log.len() > REMEMBERED_MAX {
            if let Some((at, touched)) = self.log.pop_front() {
                self.forgotten.extend(touched.sources.iter().map(|source| (*source, at)));
            }
        }
    }
}

/// What a change is counted in.
pub(super) enum Counted {
    /// These sources, whichever of their rows; none where nothing counts it.
    In(&'static [Source]),
    /// The rows of these cases in these sources; of none where it says none.
    OfCases(&'static [Source], Vec<Option<RecordId>>),
    /// These people, and all that is counted of these cases.
    OfPeople(Vec<RecordId>, Vec<RecordId>),
    /// All: it says what is there, whose it is, or who may see it.
    Everywhere,
}

impl Counted {
    /// Where a record of a kind is counted, when nothing more is known of it.
    pub(super) fn of(kind: Kind) -> Self {
        match kind {
            Kind::Action => Self::In(Self::ENTRY),
            Kind::Payment => Self::In(Self::PAYMENT),
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

    const ENTRY: &'static [Source] = &[Source::Cases, Source::Entries, Source::Assessments];
    const PAYMENT: &'static [Source] = &[Source::Cases, Source::Payments];

    /// An entry of a case; of the office itself where it is of none.
    pub(super) fn entry(case: Option<RecordId>) -> Self {
        Self::OfCases(Self::ENTRY, vec![case])
    }

    /// A payment of a case.
    pub(super) fn payment(case: RecordId) -> Self {
        Self::OfCases(Self::PAYMENT, vec![Some(case)])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_known_one_by_one_until_something_touches_all_or_too_much_happened() {
        let id = |byte| RecordId::new([byte; 16]);
        let mut revisions = Revisions::default();
        revisions.changed(Counted::Everywhere);
        let begun = revisions.of(Source::Cases);
        assert_eq!(revisions.since(Source::Cases, begun), Some(Stale::default()), "nothing changed");
        revisions.changed(Counted::entry(Some(id(1))));
        revisions.changed(Counted::OfPeople(vec![id(9)], vec![id(2)]));
        let stale = revisions.since(Source::Cases, begun).unwrap();
        assert_eq!(stale.cases, [Some(id(1)), Some(id(2))].into());
        assert_eq!(stale.people, [id(9)].into());
        let of_entries = revisions.since(Source::Referrals, begun).unwrap();
        assert_eq!(of_entries.cases, [Some(id(2))].into(), "an entry is no referral");
        assert_eq!(revisions.since(Source::Visits, begun), None, "visits are not known row by row");
        assert!(revisions.of(Source::Tasks) > begun && revisions.of(Source::Workers) > begun);
        let later = revisions.of(Source::Cases);
        revisions.changed(Counted::In(&[Source::Cases]));
        assert_eq!(revisions.since(Source::Cases, later), None);
        assert!(revisions.since(Source::Entries, later).is_some());
        let now = revisions.of(Source::Entries);
        for _ in 0..=REMEMBERED_MAX {
            revisions.changed(Counted::entry(None));
        }
        assert_eq!(revisions.since(Source::Entries, now), None, "too long ago");
        let tasks = revisions.of(Source::Tasks);
        assert_eq!(revisions.since(Source::Tasks, tasks), Some(Stale::default()), "nothing of tasks was forgotten");
        assert!(revisions.since(Source::Entries, revisions.of(Source::Entries) - 1).is_some());
    }
}
