//! Sample checks: a coordinator asks an office to look again at a few of its cases with the clients themselves, drawn by lot. The office
//! agrees or not; only counts leave it. (Legal Aid South Africa planned this to find errors in what advice
//! offices capture: a random selection of cases, followed up with clients, with the office's consent.)

use crate::bounded::List;
use crate::coded_enum;
use crate::id::{OfficeId, RecordId, ThreadId};
use crate::time::Period;
use casemesh_crypto::hash::{Digest, sha256};
use minicbor::{Decode, Encode};
use std::collections::BTreeMap;

/// Most cases of one check: more is a survey.
pub const SAMPLE_MAX: u16 = 200;
/// Fewest cases of one check: counts of fewer would tell of one client.
pub const SAMPLE_MIN: u16 = 5;
/// Shortest period of one check, in days: what was opened in fewer would tell of one client.
pub const SAMPLE_DAYS_MIN: i32 = 28;

coded_enum!(
    /// What is compared with what the client says.
    SampleField {
        /// Whether the client came to the office at all.
        Came = 1 "came",
        /// What the case is about.
        CaseType = 2 "case_type",
        /// When it was opened.
        Opened = 3 "opened",
        /// What was done.
        Services = 4 "services",
        /// How it came out.
        Outcome = 5 "outcome",
        /// What money was recovered.
        Money = 6 "money",
    }
);

coded_enum!(
    /// What came of one case of a check.
    SampleResult {
        /// The client was asked, and all fields agree.
        Match = 1 "match",
        /// The client was asked, and some field differs.
        Mismatch = 2 "mismatch",
        /// The client was not reached.
        NotReached = 3 "not_reached",
        /// The client did not want to answer.
        Refused = 4 "refused",
        /// There is no safe way to reach the client: nobody tried.
        NoSafeWay = 5 "no_safe_way",
    }
);

/// What a coordinator asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct SampleQuestion {
    /// Drawn for this question.
    #[n(0)]
    pub question: ThreadId,
    /// Of cases that were opened in that period.
    #[n(1)]
    pub period: Period,
    /// How many of them.
    #[n(2)]
    pub count: u16,
}

impl SampleQuestion {
    /// Whether it can be asked: neither so few cases nor so few days that counts would tell of a client.
    pub fn is_askable(&self) -> bool {
        let days = self.period.from.days_to(self.period.to) + 1;
        (SAMPLE_MIN..=SAMPLE_MAX).contains(&self.count) && days >= SAMPLE_DAYS_MIN
    }
}

/// What an office answers: whether it takes part, and at the end how many cases came out how.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct SampleAnswer {
    /// Of which question.
    #[n(0)]
    pub question: ThreadId,
    /// What.
    #[n(1)]
    pub said: SampleSaid,
}

/// What an office says of a check.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum SampleSaid {
    /// It takes part.
    #[n(0)]
    Agreed,
    /// It does not.
    #[n(1)]
    Declined,
    /// How it came out.
    #[n(2)]
    Counts(#[n(0)] SampleCounts),
}

/// How a check came out, in numbers alone.
#[derive(Debug, Clone, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct SampleCounts {
    /// How many cases were drawn.
    #[n(0)]
    pub drawn: u16,
    /// Each result, and of how many cases.
    #[n(1)]
    pub results: List<(SampleResult, u16), 8>,
    /// Each field that differs in some case, and in how many.
    #[n(2)]
    pub differing: List<(SampleField, u16), 8>,
}

impl SampleCounts {
    /// The counts of these results.
    pub fn of<'a>(drawn: usize, results: impl Iterator<Item = (SampleResult, &'a [SampleField])>) -> Self {
        let (mut by_result, mut differing) = (BTreeMap::new(), BTreeMap::new());
        for (result, fields) in results {
            *by_result.entry(result).or_insert(0u16) += 1;
            for field in fields.iter().filter(|_| result == SampleResult::Mismatch) {
                *differing.entry(*field).or_insert(0u16) += 1;
            }
        }
        Self {
            drawn: u16::try_from(drawn).unwrap_or(u16::MAX),
            results: List::new(by_result.into_iter().collect()).unwrap_or_default(),
            differing: List::new(differing.into_iter().collect()).unwrap_or_default(),
        }
    }

    /// As they may be told: what differs only where so many answered that it is nobody's answer.
    pub fn told(self) -> Self {
        let answered = self.count(SampleResult::Match).saturating_add(self.count(SampleResult::Mismatch));
        if answered >= SAMPLE_MIN { self } else { Self { differing: List::default(), ..self } }
    }

    /// How many cases came out so.
    pub fn count(&self, result: SampleResult) -> u16 {
        self.results.iter().find(|(known, _)| *known == result).map_or(0, |(_, count)| *count)
    }

    /// How many of a hundred clients who answered agreed with the record; none where nobody answered.
    pub fn percent_matching(&self) -> Option<u16> {
        let matching = self.count(SampleResult::Match);
        let answered = u32::from(matching) + u32::from(self.count(SampleResult::Mismatch));
        u16::try_from((u32::from(matching) * 100).checked_div(answered)?).ok()
    }

    /// Whether the numbers can be of one check: no more results than cases, and none named twice.
    pub fn is_whole(&self) -> bool {
        let is_rising = self.results.iter().map(|(result, _)| result.number()).is_sorted_by(|one, next| one < next)
            && self.differing.iter().map(|(field, _)| field.number()).is_sorted_by(|one, next| one < next);
        let sum: u32 = self.results.iter().map(|(_, count)| u32::from(*count)).sum();
        let mismatches = self.count(SampleResult::Mismatch);
        // Of fewer, each would be known by who knows whom the lot fell on.
        let is_enough = self.drawn >= SAMPLE_MIN && sum >= u32::from(SAMPLE_MIN);
        let answered = self.count(SampleResult::Match).saturating_add(mismatches);
        let may_tell_fields = answered >= SAMPLE_MIN || self.differing.iter().next().is_none();
        is_rising
            && is_enough
            && may_tell_fields
            && sum <= u32::from(self.drawn)
            && self.differing.iter().all(|(_, count)| *count <= mismatches)
    }
}

/// The cases of a check: those whose hash with the question and the office is smallest. The coordinator cannot know them; whoever draws
/// again from the same cases draws the same. An office that means to deceive can change which cases there are before it agrees.
pub fn draw(question: &SampleQuestion, office: &OfficeId, cases: impl Iterator<Item = RecordId>) -> Vec<RecordId> {
    let place = |case: RecordId| -> (Digest, RecordId) {
        let parts: [&[u8]; 4] =
            [b"casemesh/1/sample\0", question.question.as_bytes(), office.as_bytes(), case.as_bytes()];
        (sha256(&parts), case)
    };
    let mut all: Vec<(Digest, RecordId)> = cases.map(place).collect();
    all.sort_unstable_by(|one, other| (one.0.as_bytes(), one.1).cmp(&(other.0.as_bytes(), other.1)));
    all.into_iter().take(usize::from(question.count.min(SAMPLE_MAX))).map(|(_, case)| case).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question(seed: u8, count: u16) -> SampleQuestion {
        SampleQuestion { question: ThreadId::new([seed; 16]), period: Period::year(2026).unwrap(), count }
    }

    fn cases() -> Vec<RecordId> {
        (0..100u8).map(|at| RecordId::new([at; 16])).collect()
    }

    #[test]
    fn a_sample_is_the_same_whoever_draws_it_in_whatever_order_and_another_for_another_question() {
        let office = OfficeId::new([1; 32]);
        let all = cases();
        let drawn = draw(&question(1, 10), &office, all.iter().copied());
        assert_eq!(drawn.len(), 10);
        assert_eq!(drawn, draw(&question(1, 10), &office, all.iter().rev().copied()));
        assert_ne!(drawn, draw(&question(2, 10), &office, all.iter().copied()));
        assert_ne!(drawn, draw(&question(1, 10), &OfficeId::new([2; 32]), all.iter().copied()));
        assert_eq!(draw(&question(1, 10), &office, all.iter().take(3).copied()).len(), 3);
        assert_eq!(
            draw(
                &question(1, u16::MAX),
                &office,
                (0..250u16).map(|at| {
                    let mut id = [0; 16];
                    id[..2].copy_from_slice(&at.to_be_bytes());
                    RecordId::new(id)
                })
            )
            .len(),
            usize::from(SAMPLE_MAX)
        );
    }

    #[test]
    fn every_case_is_drawn_as_often_as_any_other() {
        let (office, all) = (OfficeId::new([1; 32]), cases());
        let mut times: BTreeMap<RecordId, u32> = BTreeMap::new();
        for seed in 0..=255 {
            for case in draw(&question(seed, 25), &office, all.iter().copied()) {
                *times.entry(case).or_default() += 1;
            }
        }
        // 256 draws of a quarter: 64 expected, standard deviation 6.9.
        assert!(times.len() == 100 && times.values().all(|times| (36..=92).contains(times)), "{times:?}");
    }

    #[test]
    fn counts_hold_together_or_are_refused() {
        let fields = [SampleField::Money, SampleField::Services];
        let mut results = vec![(SampleResult::Match, &fields[..0]); 4];
        results.extend([(SampleResult::Mismatch, &fields[..]), (SampleResult::NotReached, &fields[..1])]);
        let counts = SampleCounts::of(7, results.iter().copied());
        assert!(counts.is_whole());
        assert_eq!((counts.count(SampleResult::Match), counts.percent_matching()), (4, Some(80)));
        assert_eq!(counts.differing.iter().count(), 2, "what was not asked does not differ");
        assert_eq!(counts.clone().told(), counts);
        assert_eq!(SampleCounts::default().percent_matching(), None);
        assert!(!SampleCounts { drawn: 5, ..counts.clone() }.is_whole(), "more results than cases");
        let twice = List::new(vec![(SampleResult::Match, 3), (SampleResult::Match, 3)]).unwrap();
        assert!(!SampleCounts { results: twice, ..counts.clone() }.is_whole());
        let differing = List::new(vec![(SampleField::Money, 2)]).unwrap();
        assert!(!SampleCounts { differing, ..counts }.is_whole(), "in more cases than differ");
        // Of few nothing is told of one.
        let few = SampleCounts::of(7, results.iter().copied().skip(1));
        assert!(!few.is_whole() && few.clone().told().is_whole());
        assert!(few.told().differing.iter().next().is_none(), "what four said is theirs");
        assert!(!SampleCounts::of(7, results.iter().copied().skip(2)).told().is_whole());
        let asked = |count, to: &str| {
            let period = Period::new("2026-01-01".parse().unwrap(), to.parse().unwrap()).unwrap();
            SampleQuestion { period, ..question(1, count) }.is_askable()
        };
        assert!(asked(5, "2026-01-28") && !asked(4, "2026-01-28") && !asked(5, "2026-01-27"));
    }
}
