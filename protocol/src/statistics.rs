//! The first three numbers that the network asked for: cases by type, referrals by state, amount
//! recovered. One pure computation gives the office's own figures and the table that may leave.
//!
//! Every figure says how many could not be told apart (*missing*), how many were left out because nobody
//! may count them (*excluded*), and how many cells were withheld (*suppressed*; none in this set, whose
//! cells cross no attribute of a person). Amounts of two currencies are never added. Money is counted by
//! the office that recovered it, by the date of payment, once.

use crate::bounded::List;
use crate::coded_enum;
use crate::id::OfficeId;
use crate::limits::TABLE_CELLS_MAX;
use crate::referral::State;
use crate::terms::{Code, Money};
use crate::time::{Day, Period, Timestamp};
use minicbor::{Decode, Encode};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

coded_enum!(
    /// A number that the network agreed to see of each office.
    Indicator {
        /// Cases by type: cases opened in the period.
        CasesByType = 1 "cases_by_type",
        /// Referrals by state: referrals sent in the period, by where they stand.
        ReferralsByState = 2 "referrals_by_state",
        /// Amount recovered: money paid to clients in the period, by currency.
        AmountRecovered = 3 "amount_recovered",
    }
);

/// The version of this set of indicators.
pub const SET_VERSION: u16 = 1;

/// A case, as far as statistics see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CaseFact {
    /// The day it was opened.
    pub opened: Day,
    /// Its type, if recorded.
    pub case_type: Option<Code>,
    /// Whether there is a basis for counting its client.
    pub counted: bool,
}

/// A referral that the office sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReferralFact {
    /// The day it was sent.
    pub sent: Day,
    /// Where it stands.
    pub state: State,
    /// Whether there is a basis for counting its client.
    pub counted: bool,
}

/// Money that was recovered for a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PaymentFact {
    /// The day of payment, if recorded.
    pub paid: Option<Day>,
    /// How much.
    pub money: Money,
    /// Whether this office recovered it. What a partner reports back is the partner's to count.
    pub recovered_here: bool,
    /// Whether there is a basis for counting its client.
    pub counted: bool,
}

/// One cell: a coded value and its number (or its sum in the minor unit of the currency).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Encode, Decode)]
#[cbor(array)]
pub struct Cell {
    /// Which value.
    #[n(0)]
    pub key: Code,
    /// How many, or how much.
    #[n(1)]
    pub value: i64,
}

/// One indicator in one period.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Encode, Decode)]
#[cbor(array)]
pub struct Figure {
    /// Which.
    #[n(0)]
    pub indicator: Indicator,
    /// Its cells, by code.
    #[n(1)]
    pub cells: List<Cell, TABLE_CELLS_MAX>,
    /// How many things it covers: cases, referrals, payments.
    #[n(2)]
    pub covered: u64,
    /// How many of them lack what the cells are told apart by.
    #[n(3)]
    pub missing: u64,
    /// How many more there are that nobody may count.
    #[n(4)]
    pub excluded: u64,
    /// How many cells are withheld.
    #[n(5)]
    pub suppressed: u64,
}

/// What one office says of one period.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Encode, Decode)]
#[cbor(array)]
pub struct Table {
    /// The version of the set.
    #[n(0)]
    pub set_version: u16,
    /// Which office.
    #[n(1)]
    pub office: OfficeId,
    /// Which period.
    #[n(2)]
    pub period: Period,
    /// Which release for this period, from 1; a later one corrects the earlier.
    #[n(3)]
    pub release: u32,
    /// When it was made.
    #[n(4)]
    pub made: Timestamp,
    /// The figures, in the order of [`Indicator::ALL`].
    #[n(5)]
    pub figures: List<Figure, 8>,
}

/// All that the three numbers are computed from.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    /// Cases that the office opened.
    pub cases: Vec<CaseFact>,
    /// Referrals that it sent.
    pub referrals: Vec<ReferralFact>,
    /// Money that was recovered.
    pub payments: Vec<PaymentFact>,
}

#[derive(Default)]
struct Count {
    cells: BTreeMap<String, (Code, i64)>,
    covered: u64,
    missing: u64,
    excluded: u64,
}

impl Count {
    fn add(&mut self, counted: bool, key: Option<Code>, value: i64) {
        if !counted {
            self.excluded += 1;
            return;
        }
        self.covered += 1;
        match key {
            None => self.missing += 1,
            Some(key) => {
                let cell = self.cells.entry(key.code.as_str().to_owned()).or_insert((key, 0));
                cell.1 = cell.1.saturating_add(value);
            }
        }
    }

    fn figure(self, indicator: Indicator) -> Figure {
        let cells: Vec<Cell> =
            self.cells.into_values().take(TABLE_CELLS_MAX).map(|(key, value)| Cell { key, value }).collect();
        Figure {
            indicator,
            cells: List::new(cells).unwrap_or_default(),
            covered: self.covered,
            missing: self.missing,
            excluded: self.excluded,
            suppressed: 0,
        }
    }
}

/// Computes the three figures of a period.
pub fn compute(facts: &Facts, period: Period) -> Vec<Figure> {
    let mut cases = Count::default();
    for case in facts.cases.iter().filter(|case| period.contains(case.opened)) {
        cases.add(case.counted, case.case_type.clone(), 1);
    }
    let mut referrals = Count::default();
    for referral in facts.referrals.iter().filter(|referral| period.contains(referral.sent)) {
        referrals.add(referral.counted, word_code("referral_state", referral.state.as_str()), 1);
    }
    let mut amounts = Count::default();
    // A payment without a date belongs to no period; it is shown as missing in each.
    let paid_in_period = |payment: &&PaymentFact| payment.paid.is_none_or(|day| period.contains(day));
    for payment in facts.payments.iter().filter(|payment| payment.recovered_here).filter(paid_in_period) {
        let currency = payment.paid.and_then(|_| word_code("currency", &payment.money.currency.to_string()));
        amounts.add(payment.counted, currency, payment.money.minor);
    }
    vec![
        cases.figure(Indicator::CasesByType),
        referrals.figure(Indicator::ReferralsByState),
        amounts.figure(Indicator::AmountRecovered),
    ]
}

/// Adds the figures of several offices, code by code.
pub fn total<'a>(tables: impl IntoIterator<Item = &'a [Figure]>) -> Vec<Figure> {
    let mut sums: BTreeMap<Indicator, (Count, u64)> =
        Indicator::ALL.iter().map(|indicator| (*indicator, Default::default())).collect();
    for figure in tables.into_iter().flatten() {
        let Some((count, suppressed)) = sums.get_mut(&figure.indicator) else { continue };
        for cell in &figure.cells {
            let sum = count.cells.entry(cell.key.code.as_str().to_owned()).or_insert((cell.key.clone(), 0));
            sum.1 = sum.1.saturating_add(cell.value);
        }
        count.covered = count.covered.saturating_add(figure.covered);
        count.missing = count.missing.saturating_add(figure.missing);
        count.excluded = count.excluded.saturating_add(figure.excluded);
        *suppressed = suppressed.saturating_add(figure.suppressed);
    }
    sums.into_iter().map(|(indicator, (count, suppressed))| Figure { suppressed, ..count.figure(indicator) }).collect()
}

fn word_code(list: &str, word: &str) -> Option<Code> {
    Code::new(list, 1, word, word).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(text: &str) -> Day {
        text.parse().unwrap()
    }

    fn year() -> Period {
        Period::year(2026).unwrap()
    }

    fn eviction() -> Option<Code> {
        Some(Code::new("case_type", 1, "eviction", "Eviction").unwrap())
    }

    fn payment(paid: Option<&str>, minor: i64, currency: &str, recovered_here: bool) -> PaymentFact {
        let money = Money { minor, currency: currency.parse().unwrap() };
        PaymentFact { paid: paid.map(day), money, recovered_here, counted: true }
    }

    fn cells(figure: &Figure) -> Vec<(&str, i64)> {
        figure.cells.iter().map(|cell| (cell.key.code.as_str(), cell.value)).collect()
    }

    #[test]
    fn every_figure_says_what_is_missing_and_what_is_excluded() {
        let case = |case_type, counted| CaseFact { opened: day("2026-03-01"), case_type, counted };
        let facts = Facts {
            cases: vec![
                case(eviction(), true),
                case(eviction(), true),
                case(None, true),
                case(eviction(), false),
                CaseFact { opened: day("2025-12-31"), case_type: eviction(), counted: true },
            ],
            ..Facts::default()
        };
        let figures = compute(&facts, year());
        let figure = &figures[0];
        assert_eq!(cells(figure), [("eviction", 2)]);
        assert_eq!((figure.covered, figure.missing, figure.excluded), (3, 1, 1));
    }

    #[test]
    fn money_counts_once_where_it_was_recovered_by_the_date_of_payment() {
        let facts = Facts {
            payments: vec![
                payment(Some("2026-01-01"), 100, "ZAR", true),
                payment(Some("2026-12-31"), 50, "ZAR", true),
                payment(Some("2026-06-01"), 7, "KES", true),
                payment(Some("2026-06-01"), 999, "ZAR", false),
                payment(Some("2027-01-01"), 999, "ZAR", true),
                payment(None, 999, "ZAR", true),
            ],
            ..Facts::default()
        };
        let figures = compute(&facts, year());
        let figure = &figures[2];
        assert_eq!(cells(figure), [("KES", 7), ("ZAR", 150)]);
        assert_eq!((figure.covered, figure.missing), (4, 1));
    }

    #[test]
    fn the_total_is_the_sum_of_the_offices() {
        let referral = |state| ReferralFact { sent: day("2026-03-01"), state, counted: true };
        let facts = Facts { referrals: vec![referral(State::Accepted), referral(State::Declined)], ..Facts::default() };
        let one = compute(&facts, year());
        let sum = total([one.as_slice(), one.as_slice()]);
        assert_eq!(cells(&sum[1]), [("accepted", 2), ("declined", 2)]);
        assert_eq!(sum[1].covered, 4);
        assert_eq!(total([]).len(), 3);
    }
}
