//! What a network asks of its offices, and what an office answers: figures of a period, as a table that staff see cell by cell.
//!
//! An *agreement* is a set of indicators that the network's stewards signed (its hash stands in their decision, [`crate::trust`]), with
//! how often it is due. Numbers that tell nothing of a person leave as they are. Where people are told apart, small numbers are
//! withheld, and as many others as it takes ([`crate::disclosure`]). What left once binds what leaves later ([`next_release`]): nobody
//! can subtract two answers and be left with a person.
//!
//! Every figure says how many could not be told apart (*missing*), how many were left out because nobody may count them (*excluded*),
//! and how many numbers are withheld. Amounts of two currencies are never added.

use crate::bounded::{List, Text};
use crate::coded_enum;
use crate::cohort::is_in_order;
use crate::disclosure::{Grid, Place};
use crate::id::OfficeId;
use crate::indicators::{self, Class, Columns, Indicator, KINDS_OF_WORK, Measure, Outcome, Rule, Source, compute};
use crate::limits::{CODE_BYTES_MAX, TABLE_CELLS_MAX};
use crate::tally::TALLY_OFFICES_MAX;
use crate::terms::Code;
use crate::time::{Day, Period, Timestamp};
use casemesh_crypto::hash::{Digest, sha256};
use minicbor::{Decode, Encode};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};

mod total;

pub use total::total;

/// Longest text of an agreement, in bytes: thirty indicators in five languages.
pub const AGREEMENT_BYTES_MAX: usize = 16 * 1024;
/// Agreements that hold at one time.
pub const AGREEMENTS_MAX: usize = 8;
/// Figures of one table.
pub const FIGURES_MAX: usize = indicators::INDICATORS_MAX;
/// The threshold where an agreement names no other: that of CTDC, CMS and PCORnet.
pub const THRESHOLD: u16 = 11;
/// The share of a sum, of a hundred, above which one payment would be known from it.
const DOMINANCE_PERCENT: i64 = 80;

/// The name of a set or an indicator.
pub type Word = Text<CODE_BYTES_MAX>;
/// The text of an agreement, as the stewards read and signed it.
pub type AgreementText = Text<AGREEMENT_BYTES_MAX>;

/// What the stewards sign of an agreement.
pub fn agreement_hash(text: &AgreementText) -> Digest {
    sha256(&[b"casemesh/1/agreement\0", text.as_str().as_bytes()])
}

coded_enum!(
    /// How often an agreement is due.
    Rhythm {
        /// For a period that the office chooses.
        Chosen = 1 "chosen",
        /// Each calendar month.
        Month = 2 "month",
        /// Each quarter of a calendar year.
        Quarter = 3 "quarter",
        /// Each calendar year.
        Year = 4 "year",
    }
);

impl Rhythm {
    /// The period that a day lies in; none where the office chooses.
    pub fn around(self, day: Day) -> Option<Period> {
        let months = match self {
            Self::Chosen => return None,
            Self::Month => 1,
            Self::Quarter => 3,
            Self::Year => 12,
        };
        let first = (day.month() - 1) / months * months + 1;
        let from = Day::new(day.year(), first, 1)?;
        let next = match first + months {
            month @ 1..=12 => Day::new(day.year(), month, 1),
            _ => Day::new(day.year() + 1, 1, 1),
        };
        Period::new(from, next?.plus_days(-1))
    }

    /// The parts of a period that lie in its months, quarters or years, the first and last cut off where it begins and ends.
    fn parts(self, of: Period) -> impl Iterator<Item = Period> {
        let cut = move |from: Day| {
            let around = self.around(from)?;
            Period::new(from, around.to.min(of.to))
        };
        let next = move |part: &Period| Some(part.to).filter(|to| *to < of.to).and_then(|to| cut(to.plus_days(1)));
        std::iter::successors(cut(of.from), next)
    }
}

/// The steps in which a period is looked at over time: months, or, where that is more than so many, quarters or years; of too many years
/// the last.
pub fn steps(period: Period, most: usize) -> Vec<Period> {
    let few = |rhythm: &&Rhythm| rhythm.parts(period).take(most + 1).count() <= most;
    let rhythm = [Rhythm::Month, Rhythm::Quarter].iter().find(few).copied().unwrap_or(Rhythm::Year);
    let all: Vec<Period> = rhythm.parts(period).collect();
    all.get(all.len().saturating_sub(most)..).unwrap_or_default().to_vec()
}

coded_enum!(
    /// How numbers leave.
    Way {
        /// Each office's table, with small numbers withheld.
        Plain = 1 "plain",
        /// The sum of all offices alone, through two aggregators.
        SecureSum = 2 "secure_sum",
        /// The same, with noise that hides each person.
        NoisySum = 3 "noisy_sum",
    }
);

/// How and when an agreement is due.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Terms {
    /// How often.
    pub every: Rhythm,
    /// The first day of the first period.
    #[serde(default)]
    pub from: Option<Day>,
    /// The last day of the last one, if there is a last one.
    #[serde(default)]
    pub until: Option<Day>,
    /// Days after the end of a period by which it is due.
    #[serde(default = "due_days")]
    pub due_days: u16,
    /// Numbers of people below it are withheld.
    #[serde(default = "threshold")]
    pub threshold: u16,
    /// How it leaves.
    #[serde(default = "way")]
    pub way: Way,
    /// Of a sum: the two offices that add, the leader first; of different organisations.
    #[serde(default)]
    pub aggregators: Vec<OfficeId>,
    /// Of a sum: how much one office may count in all, over all numbers.
    #[serde(default = "most")]
    pub most: u32,
    /// Of a sum: with fewer offices there is none.
    #[serde(default = "least_offices")]
    pub least_offices: u16,
    /// Of a sum, by how many offices it differs from each other sum of this agreement, if by any; 1 where stewards take it upon them that
    /// a difference tells nearly the numbers of one.
    #[serde(default = "least_changed")]
    pub least_changed: u16,
    /// Of a noisy sum: how much one answer may tell of a person (epsilon), in hundredths.
    #[serde(default = "epsilon_percent")]
    pub epsilon_percent: u16,
}

const fn way() -> Way {
    Way::Plain
}

const fn most() -> u32 {
    10_000
}

const fn least_changed() -> u16 {
    3
}

const fn least_offices() -> u16 {
    10
}

const fn epsilon_percent() -> u16 {
    100
}

const fn due_days() -> u16 {
    15
}

const fn threshold() -> u16 {
    THRESHOLD
}

/// Periods before today that are shown as due.
const PERIODS_MAX: usize = 8;

impl Terms {
    /// Terms of tables that leave plainly.
    pub const fn plain(every: Rhythm) -> Self {
        Self {
            every,
            from: None,
            until: None,
            due_days: due_days(),
            threshold: threshold(),
            way: Way::Plain,
            aggregators: Vec::new(),
            most: most(),
            least_offices: least_offices(),
            least_changed: least_changed(),
            epsilon_percent: epsilon_percent(),
        }
    }

    /// The periods that ended before a day, the last one first, as far as they are of this agreement.
    pub fn ended(&self, today: Day) -> Vec<Period> {
        let mut all = Vec::new();
        let mut day = today;
        while all.len() < PERIODS_MAX {
            let Some(period) = self.every.around(day) else { break };
            let is_of = self.from.is_none_or(|from| period.from >= from);
            if !is_of {
                break;
            }
            if period.to < today && self.until.is_none_or(|until| period.to <= until) {
                all.push(period);
            }
            day = period.from.plus_days(-1);
        }
        all
    }

    /// By when the answer for a period is due.
    pub fn due(&self, period: Period) -> Day {
        period.to.plus_days(i32::from(self.due_days))
    }

    /// Whether a period is one of this agreement.
    pub fn has(&self, period: Period) -> bool {
        let is_regular = self.every == Rhythm::Chosen || self.every.around(period.from) == Some(period);
        is_regular
            && self.from.is_none_or(|from| period.from >= from)
            && self.until.is_none_or(|until| period.to <= until)
    }
}

/// What the stewards agreed that offices tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Agreement {
    /// Its name; a new version of the same name takes its place.
    pub id: Word,
    /// Its version.
    pub version: u16,
    /// How and when.
    pub terms: Terms,
    /// Which numbers.
    pub indicators: Vec<Indicator>,
}

impl Agreement {
    /// Whether all of it can be told without telling of a person.
    ///
    /// # Errors
    /// What to change, in words.
    pub fn check(&self) -> Result<(), String> {
        if self.terms.threshold < 3 {
            return Err("a threshold below 3 withholds nothing: a pair is told apart by each of the two".into());
        }
        if self.terms.every != Rhythm::Chosen
            && self.terms.from.is_some_and(|from| self.terms.every.around(from).is_none_or(|first| first.from != from))
        {
            return Err(format!("from is no first day of a {}", self.terms.every));
        }
        if self.terms.way != Way::Plain {
            self.check_sum()?;
        } else if let Some(one) = self.indicators.iter().find(|one| one.measure == Measure::Offices) {
            return Err(format!(
                "{}: in how many offices something is can only be summed: way = \"secure_sum\"",
                one.id
            ));
        }
        if let Some(one) = self.indicators.iter().find(|one| one.source.0.is_of_office()) {
            return Err(format!("{}: numbers of {} are the office's own and do not leave it", one.id, one.source.0));
        }
        if let Some((one, column)) = self.indicators.iter().find_map(|one| Some((one, one.typed()?))) {
            return Err(format!(
                "{}: {column} is what somebody typed, word for word; it does not leave the office",
                one.id
            ));
        }
        for one in self.indicators.iter().filter(|one| one.source.0 == Source::Entries) {
            let is_of_work = |rule: &Rule| {
                rule.column == "kind"
                    && !rule.is.is_empty()
                    && rule.is.iter().all(|kind| KINDS_OF_WORK.contains(&kind.as_str()))
            };
            if !one.of.iter().any(is_of_work) {
                return Err(format!(
                    "{}: other entries tell of what happened to somebody; say of = [{{ column = \"kind\", is = [\"service\"] }}], of {}",
                    one.id,
                    KINDS_OF_WORK.join(", ")
                ));
            }
        }
        let mut told: BTreeMap<&str, &str> = BTreeMap::new();
        for one in self.indicators.iter().filter(|one| one.is_protected()) {
            let named = |why: &str| Err(format!("{}: {why}", one.id));
            if !one.source.0.counts_people() {
                return named(
                    "one person has many of these, so that a large number may be of one: tell cases or people apart instead",
                );
            }
            if self.terms.every == Rhythm::Chosen {
                return named(
                    "people are counted for periods that all offices share: every = \"quarter\"; chosen ones could be subtracted",
                );
            }
            if one.source.0 == Source::Payments && one.currency_column().is_none() {
                return named("one person gets many payments: tell sums of money apart, or count cases");
            }
            let is_trait = |column: &str| one.source.0.trait_of(column).is_some();
            if one.of.iter().chain(&one.share).any(|rule| is_trait(&rule.column)) {
                return named(
                    "a part of people leaves the rest to be subtracted: tell them apart with by, and leave the rule out",
                );
            }
            if one.by.iter().any(|by| !is_trait(&by.column) && Some(&by.column) != one.currency_column().as_ref()) {
                return named(
                    "what tells of people stands in tables of its own: the other column could be told exactly elsewhere",
                );
            }
            if !matches!(one.when, indicators::When::In(_)) {
                return named(
                    "people who are told apart are counted in one period alone: when = { in = ... }; stocks of two periods could be subtracted",
                );
            }
            let is_money = one.currency_column().is_some();
            if one.is_share() || !(is_money || matches!(one.measure, Measure::Count | Measure::Offices)) {
                return named("of people who are told apart, leave only how many they are, and sums of money");
            }
            for by in one.traits() {
                if let Some(other) = told.insert(by, &one.id).filter(|other| *other != one.id) {
                    return named(&format!(
                        "{other} tells people apart by {by} as well: two tables with one trait could be subtracted; put them into one"
                    ));
                }
            }
        }
        Ok(())
    }
}

impl Agreement {
    /// Whether every office can fill the same row, and the two can add it.
    fn check_sum(&self) -> Result<(), String> {
        let named: BTreeSet<&OfficeId> = self.terms.aggregators.iter().collect();
        if self.terms.aggregators.len() != 2 || named.len() != 2 {
            return Err("a sum needs two aggregators, by their office ids: aggregators = [\"...\", \"...\"]".into());
        }
        if self.terms.least_offices < 3 {
            return Err("least_offices below 3 would let two offices learn each other's numbers".into());
        }
        if self.terms.every == Rhythm::Chosen {
            return Err("a sum is of one period of all offices: every = \"quarter\"".into());
        }
        if self.terms.from.is_none() {
            return Err("a sum says from when on it is asked: from = \"2026-01-01\"".into());
        }
        if !(1..=1_000_000).contains(&self.terms.most) {
            return Err("most is how much one office may count: from 1 to 1000000".into());
        }
        if self.terms.way == Way::NoisySum && !(10..=400).contains(&self.terms.epsilon_percent) {
            return Err("epsilon_percent is from 10 to 400: how much one answer may tell of a person".into());
        }
        for one in &self.indicators {
            if !matches!(one.measure, Measure::Count | Measure::Offices)
                || one.is_share()
                || !matches!(one.when, indicators::When::In(_))
            {
                return Err(format!("{}: only counts of what lies in the period can be summed", one.id));
            }
            if self.terms.way == Way::NoisySum && one.source.0 != Source::People {
                return Err(format!(
                    "{}: noise hides a person who is counted once: only people are summed with it",
                    one.id
                ));
            }
            if let Some(by) = one.by.iter().find(|by| by.codes.is_empty() && by.from.is_empty()) {
                return Err(format!(
                    "{}: say which codes of {} are told apart: codes = [\"...\"]; every office must fill the same row",
                    one.id, by.column
                ));
            }
        }
        match crate::tally::width(self) {
            1..=crate::tally::SLOTS_MAX => Ok(()),
            many => Err(format!("it has {many} numbers; a report holds {}", crate::tally::SLOTS_MAX)),
        }
    }

    /// The scale of the noise of each aggregator, in thousandths: each person adds to one number of each figure.
    pub fn noise_permille(&self) -> Option<u32> {
        let figures = u32::try_from(self.indicators.len()).unwrap_or(u32::MAX);
        let epsilon = u32::from(self.terms.epsilon_percent.max(1));
        (self.terms.way == Way::NoisySum).then(|| figures.saturating_mul(100_000).div_ceil(epsilon))
    }
}

/// One number: its class in each column, and what was computed.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Cell {
    /// Its classes; [`Class::All`] in a total.
    #[n(0)]
    pub classes: List<Class, 2>,
    /// How many, or how much in the minor unit of the currency; none where it is withheld.
    #[n(1)]
    pub value: Option<i64>,
    /// Of a share: of how many.
    #[n(2)]
    pub of: Option<u64>,
    /// In a sum of several offices: by how many of them it is withheld; it is at least as much as it says.
    #[n(3)]
    pub withheld_by: Option<u32>,
}

/// One indicator of a period.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Figure {
    /// Which.
    #[n(0)]
    pub indicator: Word,
    /// Its cells; none where the figure is withheld altogether.
    #[n(1)]
    pub cells: List<Cell, TABLE_CELLS_MAX>,
    /// How many things it covers: cases, referrals, payments, people. None where that is withheld.
    #[n(2)]
    pub covered: Option<u64>,
    /// How many of them lack what the cells are told apart by.
    #[n(3)]
    pub missing: Option<u64>,
    /// How many more there are that nobody may count.
    #[n(4)]
    pub excluded: Option<u64>,
    /// How many numbers are withheld.
    #[n(5)]
    pub withheld: u64,
    /// In a sum of several offices: by how many of them it is withheld altogether.
    #[n(6)]
    pub withheld_by: Option<u32>,
}

/// Whose numbers a table holds, where an office's own node did not count them.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum Origin {
    /// Another system of the office counted them; it handed in the finished table.
    #[n(0)]
    HandedIn,
    /// The sum of the tables that a collector holds.
    #[n(1)]
    Sum {
        /// Of which offices, each once and in order.
        #[n(0)]
        offices: List<OfficeId, TALLY_OFFICES_MAX>,
        /// Which of them handed in finished tables.
        #[n(1)]
        handed_in: List<OfficeId, TALLY_OFFICES_MAX>,
        /// How many were asked.
        #[n(2)]
        asked: u32,
    },
}

/// What one office says of one period.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Table {
    #[n(0)]
    version: u8,
    /// Which agreement.
    #[n(1)]
    pub agreement: Word,
    /// Its version.
    #[n(2)]
    pub agreement_version: u16,
    /// Which office.
    #[n(3)]
    pub office: OfficeId,
    /// Which period.
    #[n(4)]
    pub period: Period,
    /// Which release for this period, from 1; a later one corrects the earlier.
    #[n(5)]
    pub release: u32,
    /// When it was made.
    #[n(6)]
    pub made: Timestamp,
    /// The figures, in the order of the agreement.
    #[n(7)]
    pub figures: List<Figure, FIGURES_MAX>,
    /// Where its numbers are from; none where the office's own node counted them.
    #[n(8)]
    pub origin: Option<Origin>,
}

const TABLE_VERSION: u8 = 2;

/// No number of an office is larger: what is would be a mistake, or meant to break whoever adds up.
const NUMBER_MAX: u64 = 1_000_000_000_000_000;

impl Table {
    /// Whether this program knows what it says, and its numbers can be some.
    pub fn is_known(&self) -> bool {
        let is_some = |value: i64| value.unsigned_abs() <= NUMBER_MAX;
        let holds = |figure: &Figure| {
            let counts = [figure.covered, figure.missing, figure.excluded, Some(figure.withheld)];
            counts.into_iter().flatten().all(|count| count <= NUMBER_MAX)
                && figure
                    .cells
                    .iter()
                    .all(|cell| cell.value.is_none_or(is_some) && cell.of.is_none_or(|of| of <= NUMBER_MAX))
        };
        let is_in_order = match &self.origin {
            Some(Origin::Sum { offices, handed_in, .. }) => {
                !offices.as_slice().is_empty()
                    && is_in_order(offices.iter().copied())
                    && is_in_order(handed_in.iter().copied())
                    && handed_in.iter().all(|office| offices.as_slice().binary_search(office).is_ok())
            }
            Some(Origin::HandedIn) | None => true,
        };
        self.version == TABLE_VERSION && is_in_order && self.figures.iter().all(holds)
    }

    /// Whether it is the sum of other tables.
    pub const fn is_sum(&self) -> bool {
        matches!(self.origin, Some(Origin::Sum { .. }))
    }

    /// The offices whose numbers are in it.
    pub fn offices(&self) -> &[OfficeId] {
        match &self.origin {
            Some(Origin::Sum { offices, .. }) => offices.as_slice(),
            Some(Origin::HandedIn) | None => std::slice::from_ref(&self.office),
        }
    }

    /// Those of them that handed in finished tables.
    pub fn handed_in(&self) -> &[OfficeId] {
        match &self.origin {
            Some(Origin::Sum { handed_in, .. }) => handed_in.as_slice(),
            Some(Origin::HandedIn) => std::slice::from_ref(&self.office),
            None => &[],
        }
    }

    /// The same table, with where its numbers are from.
    #[must_use]
    pub fn from(self, origin: Option<Origin>) -> Self {
        Self { origin, ..self }
    }

    /// A table of an agreement.
    pub fn new(
        agreement: &Agreement,
        (office, period, release): (OfficeId, Period, u32),
        made: Timestamp,
        figures: List<Figure, FIGURES_MAX>,
    ) -> Self {
        let (id, agreement_version) = (agreement.id.clone(), agreement.version);
        let version = TABLE_VERSION;
        Self { version, agreement: id, agreement_version, office, period, release, made, figures, origin: None }
    }
}

/// An indicator of a period as the office itself sees it: nothing is withheld.
pub fn whole(indicator: &Indicator, columns: &Columns, period: Period) -> Figure {
    as_is(indicator, &compute(indicator, columns, period))
}

fn as_is(indicator: &Indicator, outcome: &Outcome) -> Figure {
    let cell = |cell: &indicators::Cell| Cell {
        classes: List::new(cell.classes.clone()).unwrap_or_default(),
        value: Some(cell.value),
        of: indicator.is_share().then_some(cell.of),
        withheld_by: None,
    };
    figure(indicator, outcome, outcome.cells.iter().map(cell).collect())
}

/// A figure of these cells, with what is covered, missing and excluded, and how many of the cells are withheld.
pub(crate) fn figure(indicator: &Indicator, outcome: &Outcome, cells: Vec<Cell>) -> Figure {
    let withheld = cells.iter().filter(|cell| cell.value.is_none()).count();
    Figure {
        indicator: Word::cut(&indicator.id),
        cells: List::new(cells).unwrap_or_default(),
        covered: Some(outcome.covered),
        missing: Some(outcome.missing),
        excluded: Some(outcome.excluded),
        withheld: u64::try_from(withheld).unwrap_or(u64::MAX),
        withheld_by: None,
    }
}

/// An indicator of a period as it may leave the office.
pub fn released(indicator: &Indicator, columns: &Columns, period: Period, threshold: u16) -> Figure {
    withheld(indicator, &compute(indicator, columns, period), threshold)
}

/// An outcome as it may be told.
pub fn withheld(indicator: &Indicator, outcome: &Outcome, threshold: u16) -> Figure {
    if !indicator.is_protected() {
        return as_is(indicator, outcome);
    }
    let is_sum = matches!(indicator.measure, Measure::Sum(_));
    let mut cells = Vec::new();
    // So few people altogether are not told, also where nothing is known of them that a table could be made of.
    let mut is_whole_withheld = (1..u64::from(threshold)).contains(&outcome.covered);
    // Amounts stay in their currency: each is a table of its own.
    let parts = if is_whole_withheld { Vec::new() } else { parts(indicator, outcome) };
    for part in &parts {
        match protect(part, is_sum, i64::from(threshold)) {
            Some(shown) => cells.extend(shown),
            // Of a currency it may be said that there is some.
            None if part.within.is_some() => cells.push(part.cell(&Class::All, &Class::All, None)),
            None => is_whole_withheld = true,
        }
    }
    let said = figure(indicator, outcome, cells);
    // Who knows how many there are and how many of them are missing knows the total.
    match is_whole_withheld {
        true => Figure { covered: None, missing: None, excluded: None, withheld: 1, ..said },
        false => said,
    }
}

/// A table with its total: cells by the class of row and column.
struct Part {
    /// What stands before the classes of rows: the currency of a sum.
    within: Option<Class>,
    rows: Vec<Class>,
    columns: Vec<Class>,
    cells: BTreeMap<(Class, Class), indicators::Cell>,
}

/// Numbers of a table of people: more classes would be a list of people, and no table.
const GRID_MAX: usize = 2_048;

impl Part {
    /// A number of it. A table of one row has no rows to name.
    fn cell(&self, row: &Class, column: &Class, value: Option<i64>) -> Cell {
        let mut classes: Vec<Class> = self.within.iter().cloned().collect();
        if self.is_crossed() {
            classes.push(row.clone());
        }
        classes.push(column.clone());
        Cell { classes: List::new(classes).unwrap_or_default(), value, of: None, withheld_by: None }
    }

    fn is_crossed(&self) -> bool {
        self.rows.as_slice() != [Class::All]
    }

    /// Whether it is a single number.
    fn is_one(&self) -> bool {
        !self.is_crossed() && self.columns.as_slice() == [Class::All]
    }
}

fn parts(indicator: &Indicator, outcome: &Outcome) -> Vec<Part> {
    let currency = indicator.currency_column();
    let currency_at = indicator.by.iter().position(|by| Some(&by.column) == currency.as_ref());
    let mut parts: BTreeMap<Option<Class>, BTreeMap<(Class, Class), indicators::Cell>> = BTreeMap::new();
    for cell in &outcome.cells {
        let mut classes = cell.classes.clone();
        let within = currency_at.filter(|at| *at < classes.len()).map(|at| classes.remove(at));
        let mut classes = classes.into_iter();
        let key = match (classes.next(), classes.next()) {
            (Some(row), Some(column)) => (row, column),
            (Some(column), None) => (Class::All, column),
            _ => (Class::All, Class::All),
        };
        parts.entry(within).or_default().insert(key, cell.clone());
    }
    let part = |(within, cells): (Option<Class>, BTreeMap<(Class, Class), indicators::Cell>)| {
        let rows: BTreeSet<Class> = cells.keys().map(|(row, _)| row.clone()).collect();
        let columns: BTreeSet<Class> = cells.keys().map(|(_, column)| column.clone()).collect();
        Part { within, rows: rows.into_iter().collect(), columns: columns.into_iter().collect(), cells }
    };
    parts.into_iter().map(part).collect()
}

/// What a number is made of: how many things, and the largest of them.
#[derive(Debug, Clone, Copy, Default)]
struct Makeup {
    value: i64,
    of: i64,
    largest: i64,
}

impl Makeup {
    fn with(self, cell: &indicators::Cell) -> Self {
        Self {
            value: self.value.saturating_add(cell.value),
            of: self.of.saturating_add(i64::try_from(cell.of).unwrap_or(i64::MAX)),
            largest: self.largest.max(cell.largest),
        }
    }

    /// How wide the range must be in which others can place it; none where they may know it.
    fn need(self, is_sum: bool, threshold: i64) -> Option<i64> {
        let is_few = (1..threshold).contains(&self.of);
        if !is_sum {
            return is_few.then_some(threshold);
        }
        let is_dominated = self.largest.saturating_mul(100) > self.value.saturating_mul(DOMINANCE_PERCENT);
        (self.of > 0 && (is_few || is_dominated)).then_some(self.value.max(1))
    }
}

/// The numbers of a table as they may leave, totals included; none where not even its total may.
fn protect(part: &Part, is_sum: bool, threshold: i64) -> Option<Vec<Cell>> {
    if part.rows.len() * part.columns.len() > GRID_MAX {
        return None;
    }
    let makeup = |is_in: &dyn Fn(&(Class, Class)) -> bool| {
        part.cells.iter().filter(|(key, _)| is_in(key)).fold(Makeup::default(), |sum, (_, cell)| sum.with(cell))
    };
    let cells: Vec<Makeup> = part
        .rows
        .iter()
        .flat_map(|row| part.columns.iter().map(move |column| (row, column)))
        .map(|(row, column)| {
            let cell = part.cells.get(&(row.clone(), column.clone()));
            cell.map(|cell| Makeup::default().with(cell)).unwrap_or_default()
        })
        .collect();
    let rows: Vec<Makeup> = part.rows.iter().map(|row| makeup(&|key| key.0 == *row)).collect();
    let columns: Vec<Makeup> = part.columns.iter().map(|column| makeup(&|key| key.1 == *column)).collect();
    let total = makeup(&|_| true);
    let values: Vec<i64> = cells.iter().map(|cell| cell.value).collect();
    let need = |place: Place| {
        let made = match place {
            Place::Cell(at) => cells.get(at),
            Place::Row(at) => rows.get(at),
            Place::Column(at) => columns.get(at),
            Place::Total => Some(&total),
        };
        made.and_then(|made| made.need(is_sum, threshold))
    };
    // Who sees a class named may know that somebody is in it.
    let least = |_| i64::from(!is_sum);
    let withheld = Grid::new(part.columns.len(), &values, need, least).protect();
    if withheld.total {
        return None;
    }
    let shown = |row: &Class, column: &Class, made: &Makeup, is_hidden: bool| {
        part.cell(row, column, (!is_hidden).then_some(made.value))
    };
    let mut all = Vec::new();
    let keys = part.rows.iter().flat_map(|row| part.columns.iter().map(move |column| (row, column)));
    for (((row, column), made), is_hidden) in keys.zip(&cells).zip(&withheld.cells) {
        // A zero that is shown need not stand there; one that is withheld must, or its absence would tell.
        if !part.is_one() && (*is_hidden || made.value != 0) {
            all.push(shown(row, column, made, *is_hidden));
        }
    }
    if part.is_crossed() {
        let of_rows = part.rows.iter().zip(&rows).zip(&withheld.rows);
        all.extend(of_rows.map(|((row, made), is_hidden)| shown(row, &Class::All, made, *is_hidden)));
        let of_columns = part.columns.iter().zip(&columns).zip(&withheld.columns);
        all.extend(of_columns.map(|((column, made), is_hidden)| shown(&Class::All, column, made, *is_hidden)));
    }
    all.push(shown(&Class::All, &Class::All, &total, false));
    Some(all)
}

/// What noisy answers may tell of a person in one calendar year, in hundredths of epsilon.
pub const EPSILON_PERCENT_A_YEAR: u32 = 400;

/// What left earlier, as far as it binds what leaves next.
#[derive(Debug, Clone, Copy)]
pub struct Past<'a> {
    /// What left.
    pub table: &'a Table,
    /// The agreement that it was of, if it is still known.
    pub agreement: Option<&'a Agreement>,
}

/// Why a table may not leave.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Withhold {
    /// The period is not over.
    #[error("the period is not over yet")]
    Open,
    /// It is none of the agreement.
    #[error("the agreement is not about this period")]
    OtherPeriod,
    /// An overlapping period was answered: the difference would tell what neither does.
    #[error("an answer was given for {0}, which overlaps: the difference of the two would tell what neither does")]
    Overlaps(Period),
    /// The period was answered under another version of the agreement.
    #[error("this period was answered under version {0} of the agreement")]
    OtherVersion(u16),
    /// Another agreement told people apart by the same trait for an overlapping period.
    #[error("{0} told people apart by {1} for a period that overlaps")]
    Finer(Word, String),
    /// A sum is answered once: what changed later cannot be taken out of it.
    #[error("this period was answered; a sum is answered once")]
    Answered,
    /// Another noisy answer of that year would tell more of a person than is allowed.
    #[error("the noisy answers of {0} have used up what may be told of a person in one year")]
    Spent(i16),
    /// Nothing changed since the last release, but for what waits.
    #[error("nothing that may leave changed since the last release; {0} corrected figures wait until more changed")]
    Unchanged(usize),
}

/// What may leave next for a period, after all that left: the figures, and how many of them stay as they were because a correction of
/// so few would tell of somebody.
///
/// # Errors
/// Why nothing may leave.
pub fn next_release<'a>(
    agreement: &Agreement,
    period: Period,
    today: Day,
    figures: Vec<Figure>,
    past: impl Iterator<Item = Past<'a>> + Clone,
) -> Result<(Vec<Figure>, usize), Withhold> {
    // Of people who are told apart, the last day counts too: what came in the evening would be a correction of one.
    let is_whole = agreement.terms.way != Way::Plain || agreement.indicators.iter().any(Indicator::is_protected);
    let last = if is_whole { today.plus_days(-1) } else { today };
    if period.to > last {
        return Err(Withhold::Open);
    }
    if !agreement.terms.has(period) {
        return Err(Withhold::OtherPeriod);
    }
    let own = past.clone().filter(|past| past.table.agreement == agreement.id);
    let mut around = past.clone().filter(|past| past.table.period.overlaps(&period));
    if let Some(other) = own.clone().find(|past| past.table.period != period && past.table.period.overlaps(&period)) {
        return Err(Withhold::Overlaps(other.table.period));
    }
    // Another text of the same name is another question, whatever its version says.
    if let Some(other) = own.clone().find(|past| past.table.period == period && past.agreement != Some(agreement)) {
        return Err(Withhold::OtherVersion(other.table.agreement_version));
    }
    if let Some((other, both)) = around.find_map(|other| told_apart(agreement, period, &other)) {
        return Err(Withhold::Finer(other, both));
    }
    let earlier: Vec<&Table> = own.filter(|past| past.table.period == period).map(|past| past.table).collect();
    if agreement.terms.way != Way::Plain && !earlier.is_empty() {
        return Err(Withhold::Answered);
    }
    // What each noisy answer of the year tells adds up; the ledger is what left, so that nothing forgets it.
    let year = period.to.year();
    let noisy = past.filter(|past| past.table.period.to.year() == year).filter_map(|past| past.agreement);
    let noisy = noisy.filter(|agreement| agreement.terms.way == Way::NoisySum);
    let spent: u32 = noisy.map(|agreement| u32::from(agreement.terms.epsilon_percent)).sum();
    let is_noisy = agreement.terms.way == Way::NoisySum;
    if is_noisy && spent + u32::from(agreement.terms.epsilon_percent) > EPSILON_PERCENT_A_YEAR {
        return Err(Withhold::Spent(year));
    }
    let Some(last) = earlier.iter().max_by_key(|table| table.release) else { return Ok((figures, 0)) };
    let before = |table: &Table, figure: &Figure| -> Option<Figure> {
        table.figures.iter().find(|before| before.indicator == figure.indicator).cloned()
    };
    // What a finished table leaves out stays as it was told.
    let is_left_out = |told: &&Figure| figures.iter().all(|figure| figure.indicator != told.indicator);
    let stays: Vec<Figure> = last.figures.iter().filter(is_left_out).cloned().collect();
    let place = |figure: &Figure| agreement.indicators.iter().position(|one| one.id == figure.indicator.as_str());
    let mut figures = [figures, stays].concat();
    figures.sort_by_key(place);
    let protected: Vec<&Indicator> = agreement.indicators.iter().filter(|one| one.is_protected()).collect();
    let definition = |figure: &Figure| protected.iter().find(|one| one.id == figure.indicator.as_str());
    // A correction must be wide enough beside every release of the period. The figures of people leave or wait together: each says
    // how many there are. A sum of money is not corrected: what it differs by is somebody's.
    let follows = |figure: &Figure, one: &Indicator| {
        earlier.iter().all(|table| {
            let before = before(table, figure);
            let is_same = before.as_ref() == Some(figure);
            let is_count = one.measure == Measure::Count;
            is_same
                || (is_count
                    && before.is_some_and(|before| corrects(&before, figure, agreement.terms.threshold.into())))
        })
    };
    let may_follow = figures.iter().all(|figure| definition(figure).is_none_or(|one| follows(figure, one)));
    let mut waiting = 0;
    let mut next = Vec::with_capacity(figures.len());
    for figure in figures {
        if definition(&figure).is_none() || may_follow {
            next.push(figure);
            continue;
        }
        // One of people that was never told waits, too: it says how many they are now.
        let before = before(last, &figure);
        waiting += usize::from(before.as_ref() != Some(&figure));
        next.extend(before);
    }
    if next.as_slice() == last.figures.as_slice() {
        return Err(Withhold::Unchanged(waiting));
    }
    Ok((next, waiting))
}

/// Where another answer about an overlapping period, with this one, would tell people apart twice: by the same trait, or over another
/// period.
fn told_apart(agreement: &Agreement, period: Period, other: &Past<'_>) -> Option<(Word, String)> {
    let protected = || agreement.indicators.iter().filter(|one| one.is_protected());
    let id = other.table.agreement.clone();
    if id == agreement.id || protected().next().is_none() {
        return None;
    }
    // Of an agreement that cannot be read any more, each figure may have told apart by anything.
    let Some(known) = other.agreement else { return Some((id, "?".into())) };
    let told: Vec<&Indicator> = known.indicators.iter().filter(|one| one.is_protected()).collect();
    let traits: BTreeSet<&str> = told.iter().flat_map(|one| one.traits()).collect();
    if let Some(both) = protected().flat_map(Indicator::traits).find(|one| traits.contains(one)) {
        return Some((id, both.to_owned()));
    }
    // The same people in a longer period, less those in a shorter one, are those in between; and of the same period each says how many
    // there are when it leaves. In a sum they are those of all offices.
    let is_plain = agreement.terms.way == Way::Plain && known.terms.way == Way::Plain;
    (!told.is_empty() && (is_plain || other.table.period != period)).then(|| (id, other.table.period.to_string()))
}

/// Whether a corrected figure may follow one that left: every number that both show, and what is withheld in every line, is the same
/// or differs by the threshold or more; and nothing is withheld that was shown or shown that was withheld, for the one of the two that
/// is known would tell of the other.
fn corrects(before: &Figure, after: &Figure, threshold: i64) -> bool {
    let is_apart = |one: i64, other: i64| one == other || one.saturating_sub(other).saturating_abs() >= threshold;
    let are_apart = |one: Option<i64>, other: Option<i64>| match (one, other) {
        (Some(one), Some(other)) => is_apart(one, other),
        (one, other) => one.is_none() && other.is_none(),
    };
    let counts = |figure: &Figure| {
        let number = |count: Option<u64>| count.map(|count| i64::try_from(count).unwrap_or(i64::MAX));
        [number(figure.covered), number(figure.missing), number(figure.excluded)]
    };
    let (earlier, later) = (Shown::of(before), Shown::of(after));
    let keys: BTreeSet<&[Class]> = earlier.1.keys().chain(later.1.keys()).copied().collect();
    counts(before).into_iter().zip(counts(after)).all(|(before, after)| are_apart(before, after))
        && keys.iter().all(|key| are_apart(earlier.value(key), later.value(key)))
        && keys.iter().flat_map(lines_of).all(|line| are_apart(earlier.hidden(&line), later.hidden(&line)))
}

/// The numbers of a figure by their classes, and whether it is of nobody.
struct Shown<'a>(bool, BTreeMap<&'a [Class], Option<i64>>);

/// A total, and which of its classes stand for all in the numbers that it is the sum of.
struct Line<'a> {
    total: &'a [Class],
    is_all: Vec<bool>,
}

/// The lines that a number is the total of: where it says *all*, each other class, or all again.
fn lines_of<'a>(total: &'a &[Class]) -> Vec<Line<'a>> {
    let is_all: Vec<bool> = total.iter().map(|class| *class == Class::All).collect();
    let many = is_all.iter().filter(|is_all| **is_all).count();
    let line = |is_all: Vec<bool>| Line { total, is_all };
    match many {
        0 => Vec::new(),
        1 => vec![line(vec![false; is_all.len()])],
        // The total of all is the sum of the cells, of the totals of rows, and of those of columns.
        _ => vec![line(vec![false, false]), line(vec![false, true]), line(vec![true, false])],
    }
}

impl<'a> Shown<'a> {
    fn of(figure: &'a Figure) -> Self {
        Self(figure.covered == Some(0), figure.cells.iter().map(|cell| (cell.classes.as_slice(), cell.value)).collect())
    }

    /// What it says there: a class that is not named is a zero that is shown, where anything is.
    fn value(&self, key: &[Class]) -> Option<i64> {
        self.1.get(key).copied().unwrap_or(Some(0).filter(|_| self.0 || !self.1.is_empty()))
    }

    /// What is withheld in a line together; none where its total is withheld.
    fn hidden(&self, line: &Line<'_>) -> Option<i64> {
        let is_in = |key: &[Class]| {
            key.len() == line.total.len()
                && key.iter().zip(line.total).zip(&line.is_all).all(|((class, total), is_all)| {
                    if *total == Class::All { (*class == Class::All) == *is_all } else { class == total }
                })
        };
        let shown = self.1.iter().filter(|(key, _)| is_in(key)).filter_map(|(_, value)| *value);
        self.value(line.total).map(|total| total.saturating_sub(shown.fold(0, i64::saturating_add)))
    }
}

/// A word of one of this program's own lists, as a code.
pub fn word_code(list: &str, word: &str) -> Option<Code> {
    Code::new(list, 1, word, word).ok()
}

#[cfg(test)]
mod attacks;
#[cfg(test)]
mod tests;
