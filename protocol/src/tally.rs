//! The secure sum of an agreement (`way = "secure_sum"`): how figures become a row of numbers that every office fills in the same way,
//! what offices, aggregators and the collector tell each other, and how the sum becomes figures again.
//!
//! The two aggregators are run by different organisations. An office sends each of them a share; the *leader* (the first that the
//! agreement names) asks the *helper* about each report, so that both know that it holds; then each sends the collector the sum of the
//! shares of the same offices. Nobody sees one office's numbers; both aggregators together could, and all other offices with the
//! collector can subtract.

use crate::bounded::List;
use crate::cohort::{Cohort, Inclusion, LeftOut, MISSED_MAX, Missed, TallyRoot};
use crate::id::OfficeId;
use crate::indicators::{self, Class, Columns, Indicator, Measure, OTHERS, Outcome, Source, compute};
use crate::statistics::{Agreement, Cell, Figure, Way, figure, withheld};
use crate::terms::Code;
use crate::time::{Period, Timestamp};
use casemesh_crypto::hash::{Digest, sha256};
use casemesh_crypto::wire;
use minicbor::{Decode, Encode};
use std::collections::BTreeMap;

/// Numbers of one sum: what a report of one packet holds.
pub const SLOTS_MAX: usize = 256;
/// Offices of one sum: their list goes in one packet.
pub const TALLY_OFFICES_MAX: usize = 4_096;
/// Reports of one question to the helper: with their proofs they fit one packet.
pub const ITEMS_MAX: usize = 32;

/// The name of one sum: an agreement, and a period.
pub fn tally_of(agreement: &Digest, period: Period) -> Digest {
    sha256(&[b"casemesh/1/tally\0", agreement.as_bytes(), &wire::encode(&period)])
}

/// What the parties of a sum tell each other.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Tally {
    /// The agreement's hash.
    #[n(0)]
    pub agreement: Digest,
    /// The period.
    #[n(1)]
    pub period: Period,
    /// What is told.
    #[n(2)]
    pub step: TallyStep,
}

impl Tally {
    /// The name of the sum.
    pub fn name(&self) -> Digest {
        tally_of(&self.agreement, self.period)
    }
}

/// What is told of a sum.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum TallyStep {
    /// An office to each aggregator: its report.
    #[n(0)]
    Share {
        /// What makes the report the only one of its kind.
        #[cbor(n(0), with = "minicbor::bytes")]
        nonce: [u8; 16],
        /// The part for both.
        #[cbor(n(1), with = "minicbor::bytes")]
        public: Vec<u8>,
        /// The share.
        #[cbor(n(2), with = "minicbor::bytes")]
        share: Vec<u8>,
    },
    /// The leader to the helper: what it asks about reports, under a key that no office knows.
    #[n(1)]
    Questions {
        /// The key that both use.
        #[cbor(n(0), with = "minicbor::bytes")]
        key: [u8; 32],
        /// The reports.
        #[n(1)]
        items: List<TallyItem, ITEMS_MAX>,
    },
    /// The helper to the leader.
    #[n(2)]
    Answers {
        /// The reports.
        #[n(0)]
        items: List<TallyItem, ITEMS_MAX>,
    },
    /// The leader to the helper: whose reports are in the sum.
    #[n(3)]
    Close {
        /// Which.
        #[n(0)]
        reports: Cohort,
    },
    /// An aggregator to the collector.
    #[n(4)]
    Sum {
        /// The signed root of the reports that are in it.
        #[n(0)]
        root: TallyRoot,
        /// The reports.
        #[n(1)]
        reports: Cohort,
        /// The sum of the shares.
        #[cbor(n(2), with = "minicbor::bytes")]
        sum: Vec<u8>,
        /// Whose reports came and are not in it.
        #[n(3)]
        left_out: List<Missed, MISSED_MAX>,
    },
    /// Each aggregator to each office that is in the sum.
    #[n(5)]
    Included {
        /// The proof.
        #[n(0)]
        inclusion: Inclusion,
    },
    /// Each aggregator to an office whose report is not in the sum.
    #[n(6)]
    LeftOut {
        /// Why not.
        #[n(0)]
        why: LeftOut,
    },
}

/// What one aggregator says to the other about one report; nothing where it does not hold.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct TallyItem {
    /// Whose report.
    #[n(0)]
    pub office: OfficeId,
    /// Which.
    #[cbor(n(1), with = "minicbor::bytes")]
    pub nonce: [u8; 16],
    /// The question or answer (VDAF, *ping-pong topology*).
    #[cbor(n(2), with = "minicbor::bytes")]
    pub message: Vec<u8>,
}

/// Days that a sum waits for late offices after it was due, or after its first report where that is later.
pub const PATIENCE_DAYS: u64 = 3;

/// Whether a sum is closed now: all have told, or it was due (`due` is the end of that day) and offices had time. With fewer offices than
/// the agreement asks for it stays open.
pub fn is_to_close(
    (due, first, now): (Timestamp, Timestamp, Timestamp),
    (told, asked, least): (usize, usize, usize),
) -> bool {
    told >= least && (told >= asked || now > due.max(first).plus_days(PATIENCE_DAYS))
}

/// What one number of the row counts.
#[derive(Debug, Clone, PartialEq, Eq)]
enum What {
    /// A cell of these classes.
    Cell(Vec<Class>),
    /// Those that lack something.
    Missing,
    /// Those that nobody may count.
    Excluded,
}

/// The list that the codes of a column are of.
fn list_of(source: Source, column: &str) -> &str {
    let bare = column.strip_prefix(indicators::FACT).or(column.strip_prefix("client_")).unwrap_or(column);
    match (source, bare) {
        (Source::Cases, "state") => "case_state",
        (Source::Referrals, "state") => "referral_state",
        (Source::Referrals, "service") => "service_type",
        (Source::Payments, "kind") => "payment",
        (_, bare) => bare,
    }
}

/// The classes of an indicator, all of them: the codes that its definition names, and one for all others.
fn classes(indicator: &Indicator) -> Vec<Vec<Class>> {
    let of_column = |by: &indicators::By| -> Vec<Class> {
        let list = list_of(indicator.source.0, &by.column);
        let codes = by.codes.iter().map(String::as_str).chain((!by.codes.is_empty()).then_some(OTHERS));
        let codes = codes.filter_map(|code| Code::new(list, 0, code, code).ok()).map(Class::Code);
        codes.chain(by.groups().map(|(from, next)| Class::From(from, next))).collect()
    };
    let begin = vec![Vec::new()];
    indicator.by.iter().map(of_column).fold(begin, |all, column| {
        all.iter()
            .flat_map(|row| column.iter().map(|class| [row.as_slice(), std::slice::from_ref(class)].concat()))
            .collect()
    })
}

fn slots(agreement: &Agreement) -> Vec<(&Indicator, What)> {
    let of = |one| {
        let cells = classes(one).into_iter().map(What::Cell);
        cells.chain([What::Missing, What::Excluded]).map(move |what| (one, what))
    };
    agreement.indicators.iter().flat_map(of).collect()
}

/// How many numbers a report has.
pub fn width(agreement: &Agreement) -> usize {
    slots(agreement).len()
}

/// An office's row of numbers.
pub fn row<'a>(agreement: &Agreement, columns: impl Fn(Source) -> &'a Columns, period: Period) -> Vec<u64> {
    let mut all = Vec::new();
    for indicator in &agreement.indicators {
        let outcome = compute(indicator, columns(indicator.source.0), period);
        let places = classes(indicator);
        let mut numbers = vec![0u64; places.len()];
        for cell in &outcome.cells {
            let own: Vec<Class> = cell.classes.iter().zip(&indicator.by).map(|(class, by)| known(class, by)).collect();
            let at = places.iter().position(|place| place.iter().zip(&own).all(|(place, own)| is_same(place, own)));
            if let Some(number) = at.and_then(|at| numbers.get_mut(at)) {
                *number = number.saturating_add(u64::try_from(cell.value).unwrap_or_default());
            }
        }
        if indicator.measure == Measure::Offices {
            numbers.iter_mut().for_each(|number| *number = (*number).min(1));
        }
        all.extend(numbers);
        all.extend([outcome.missing, outcome.excluded]);
    }
    all
}

/// A class as every office knows it: a code that the definition does not name is one of the others.
fn known(class: &Class, by: &indicators::By) -> Class {
    match class {
        Class::Code(code) if !by.codes.iter().any(|known| known == code.code.as_str()) => {
            Code::new("", 0, OTHERS, OTHERS).map_or(Class::All, Class::Code)
        }
        other => other.clone(),
    }
}

fn is_same(one: &Class, other: &Class) -> bool {
    match (one, other) {
        (Class::Code(one), Class::Code(other)) => one.code == other.code,
        (one, other) => one == other,
    }
}

/// The figures that a sum says. An exact sum is withheld like a table that leaves; of a noisy one, what is below the threshold.
pub fn figures(agreement: &Agreement, sum: &[i64]) -> Vec<Figure> {
    let mut outcomes: BTreeMap<&str, Outcome> = BTreeMap::new();
    for ((indicator, what), value) in slots(agreement).into_iter().zip(sum) {
        let outcome = outcomes.entry(&indicator.id).or_default();
        let count = u64::try_from(*value).unwrap_or_default();
        match what {
            What::Cell(classes) => {
                if *value != 0 {
                    outcome.cells.push(indicators::Cell { classes, value: *value, of: count, largest: 1 });
                }
                outcome.covered = outcome.covered.saturating_add(count);
            }
            What::Missing => {
                outcome.missing = count;
                outcome.covered = outcome.covered.saturating_add(count);
            }
            What::Excluded => outcome.excluded = count,
        }
    }
    let mut read = |one: &Indicator| {
        let outcome = outcomes.remove(one.id.as_str()).unwrap_or_default();
        match agreement.terms.way {
            // Whether something is in so many offices: what is in fewer is not told, and they are not added up.
            _ if one.measure == Measure::Offices => alerts(one, outcome, agreement.terms.threshold),
            Way::NoisySum => noisy(one, outcome, agreement.terms.threshold),
            Way::Plain | Way::SecureSum => withheld(one, &outcome, agreement.terms.threshold),
        }
    };
    agreement.indicators.iter().map(&mut read).collect()
}

/// What is reported in as many offices as the threshold says.
fn alerts(indicator: &Indicator, outcome: Outcome, threshold: u16) -> Figure {
    let told = outcome.cells.iter().filter(|cell| cell.value >= i64::from(threshold));
    let cell = |cell: &indicators::Cell| Cell {
        classes: List::new(cell.classes.clone()).unwrap_or_default(),
        value: Some(cell.value),
        of: None,
        withheld_by: None,
    };
    let said = figure(indicator, &outcome, told.map(cell).collect());
    // Their sum would tell of those that are not told.
    Figure { covered: None, missing: None, excluded: None, ..said }
}

/// Noise hides each person: totals are the sums of the noisy cells, and nothing can be subtracted that is not noisy.
fn noisy(indicator: &Indicator, outcome: Outcome, threshold: u16) -> Figure {
    let total: i64 = outcome.cells.iter().map(|cell| cell.value).fold(0, i64::saturating_add);
    let all = vec![Class::All; indicator.by.len().max(1)];
    let is_told = |value: i64| value >= i64::from(threshold);
    let shown = |classes: Vec<Class>, value: i64| Cell {
        classes: List::new(classes).unwrap_or_default(),
        value: Some(value).filter(|value| is_told(*value)),
        of: None,
        withheld_by: None,
    };
    let mut cells: Vec<Cell> = outcome.cells.iter().map(|cell| shown(cell.classes.clone(), cell.value)).collect();
    if !indicator.by.is_empty() {
        cells.push(shown(all, total));
    }
    figure(indicator, &outcome, cells)
}

/// How far a noisy number can be off, 95 times of 100: both aggregators add noise of a scale in thousandths.
pub fn error_bar(permille: u32) -> u32 {
    // The sum of two such numbers lies within 4.2 times their scale (measured 4, 12 and 25 at 1, 3 and 6).
    permille.saturating_mul(42).div_ceil(10_000)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::indicators::{By, Codes, Column, SourceName, When};
    use crate::statistics::{Rhythm, Terms, Word};

    fn agreement(way: Way) -> Agreement {
        let by = |column: &str, codes: &[&str]| By {
            column: column.into(),
            from: vec![],
            codes: codes.iter().map(|code| (*code).to_owned()).collect(),
        };
        let sex = Indicator {
            id: "sex".into(),
            title: BTreeMap::from([("en".into(), "By sex".into())]),
            source: SourceName(Source::People),
            topic: indicators::Topic::Own,
            on: true,
            when: When::In("first_case".into()),
            measure: Measure::Count,
            by: vec![by("sex", &["female", "male"])],
            of: vec![],
            share: vec![],
        };
        let all = Indicator { id: "all".into(), by: vec![], ..sex.clone() };
        let office = |byte| OfficeId::new([byte; 32]);
        let terms = Terms {
            way,
            aggregators: vec![office(1), office(2)],
            from: "2026-01-01".parse().ok(),
            ..Terms::plain(Rhythm::Year)
        };
        Agreement { id: Word::new("sum").unwrap(), version: 1, terms, indicators: vec![sex, all] }
    }

    fn people(all: &[Option<&str>], excluded: usize) -> Columns {
        let mut sexes = Codes::default();
        let code = |word: &str| Code::new("sex", 1, word, word).unwrap();
        all.iter().for_each(|word| sexes.push(word.map(code).as_ref()));
        let mut counts = vec![true; all.len() - excluded];
        counts.extend(vec![false; excluded]);
        let day = Some("2026-03-01".parse().unwrap());
        Columns {
            counts,
            units: vec![],
            columns: BTreeMap::from([
                ("first_case".into(), Column::Day(vec![day; all.len()])),
                ("sex".into(), Column::Code(sexes)),
            ]),
        }
    }

    #[test]
    fn every_office_fills_the_same_row_and_the_sum_is_read_back() {
        let own = agreement(Way::SecureSum);
        own.check().unwrap();
        let year = Period::year(2026).unwrap();
        let one = people(&[Some("female"), Some("female"), Some("third"), None, Some("male")], 1);
        let row = row(&own, |_| &one, year);
        // By sex: women, men, others, missing, excluded; then all, missing, excluded.
        assert_eq!(row, [2, 0, 1, 1, 1, 4, 0, 1]);
        assert_eq!(width(&own), row.len());
        let sum: Vec<i64> = [30, 20, 3, 2, 5, 55, 0, 5].to_vec();
        let figures = figures(&own, &sum);
        let values: Vec<Option<i64>> = figures[0].cells.iter().map(|cell| cell.value).collect();
        assert_eq!(values, [Some(30), None, None, Some(53)], "three others, and the men with them");
        assert_eq!((figures[0].covered, figures[0].missing, figures[0].excluded), (Some(55), Some(2), Some(5)));
        assert_eq!(figures[1].covered, Some(55));
        let noisy = super::figures(&agreement(Way::NoisySum), &[30, 20, -1, 2, 5, 55, 0, 5]);
        let values: Vec<Option<i64>> = noisy[0].cells.iter().map(|cell| cell.value).collect();
        assert_eq!(values, [Some(30), Some(20), None, Some(49)], "totals are those of the noisy cells");
    }

    /// The same thing in at least eleven offices: found without a number of any office (the deductions from grants that advice offices
    /// found only when they compared their books).
    #[test]
    fn a_pattern_in_many_offices_is_found_and_one_in_few_is_not() {
        let mut own = agreement(Way::SecureSum);
        own.indicators.truncate(1);
        own.indicators[0].measure = Measure::Offices;
        own.check().unwrap();
        let year = Period::year(2026).unwrap();
        let office = people(&[Some("female"), Some("female"), Some("third"), Some("fourth")], 0);
        assert_eq!(row(&own, |_| &office, year)[..3], [1, 0, 1], "whether, not how many");
        let found = figures(&own, &[14, 10, 12, 0, 0]);
        let told: Vec<_> = found[0].cells.iter().map(|cell| (cell.classes.as_slice()[0].clone(), cell.value)).collect();
        assert_eq!(told.len(), 2);
        assert!(matches!(&told[0], (Class::Code(code), Some(14)) if code.code.as_str() == "female"));
        own.terms.way = Way::Plain;
        assert!(own.check().unwrap_err().contains("secure_sum"));
    }

    #[test]
    fn what_cannot_be_summed_says_what_to_change() {
        let wrong = |change: &dyn Fn(&mut Agreement)| {
            let mut own = agreement(Way::SecureSum);
            change(&mut own);
            own.check().unwrap_err()
        };
        assert!(wrong(&|own| own.terms.aggregators.truncate(1)).contains("two aggregators"));
        assert!(wrong(&|own| own.terms.from = None).contains("from when on"));
        assert!(wrong(&|own| own.indicators[0].by[0].codes.clear()).contains("codes = ["));
        assert!(wrong(&|own| own.indicators[0].measure = Measure::Sum("cases".into())).contains("only counts"));
        let many = (0..300).map(|at| format!("c{at}")).collect::<Vec<_>>();
        assert!(wrong(&|own| own.indicators[0].by[0].codes = many.clone()).contains("256"));
        assert!(wrong(&|own| own.terms.least_offices = 2).contains("least_offices"));
        assert!(
            wrong(&|own| {
                own.terms.way = Way::NoisySum;
                own.terms.epsilon_percent = 0;
            })
            .contains("epsilon_percent")
        );
    }

    #[test]
    fn a_sum_is_closed_when_all_told_or_had_time_and_never_with_too_few() {
        let day = |day: u64| Timestamp::default().plus_days(day);
        // Due on day 10; the first report on day 2, or late on day 20.
        let close = |now: u64, first: u64, told| is_to_close((day(10), day(first), day(now)), (told, 5, 3));
        assert!(close(3, 2, 5), "all told");
        assert!(!close(12, 2, 4) && close(14, 2, 4), "three days after it was due");
        assert!(!close(22, 20, 4) && close(24, 20, 4), "three days after the first");
        assert!(!close(100, 2, 2), "two are too few, however long");
    }

    #[test]
    fn error_bars_are_those_that_were_measured() {
        assert_eq!([1_000, 3_000, 6_000].map(error_bar), [5, 13, 26]);
    }
}
