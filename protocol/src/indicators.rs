//! Indicator sets: which numbers are computed of an office's work, as data. One pure function computes any of them over columns, so
//! that the same definition gives the office's own report, a table for a spreadsheet and, where a network agreed to it, what leaves.
//!
//! Every result says of how many things it speaks (*covered*), how many of them it is (*counted*), how many could not be told apart
//! because something was not recorded (*missing*), and how many more there are that nobody may count (*excluded*). A value that was
//! not recorded is missing, never a default.

mod source;

pub(crate) use source::KINDS_OF_WORK;
pub use source::{CODE, CURRENCY, ColumnKind, FACT, MONEY, NUMBER, Source};

use crate::coded_enum;
use crate::terms::Code;
use crate::time::{Day, Period};
use minicbor::{Decode, Encode};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The code of those whose code an agreement does not name.
pub const OTHERS: &str = "others";
/// The code of who or what has several values where one is asked for.
pub const SEVERAL: &str = "several";

/// One column: a value for each row, or none where nothing was recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Column {
    /// Days.
    Day(Vec<Option<Day>>),
    /// Days on which something ended.
    End(Vec<End>),
    /// Codes: each value once, and for each row the place of its value.
    Code(Codes),
    /// Numbers.
    Number(Vec<Option<i64>>),
    /// True or false.
    Flag(Vec<bool>),
    /// Stretches of time, any number for each row.
    Stretches(Vec<Stretches>),
}

/// Stretches of time: each from a day until an end.
pub type Stretches = Box<[(Day, End)]>;

/// Whether one of some stretches had begun by the one day and not ended before the other; none where that hangs on an end that was not
/// recorded.
fn stood(stretches: &[(Day, End)], begun: Day, open: Day) -> Option<bool> {
    let mut all = Some(false);
    for (_, until) in stretches.iter().filter(|(from, _)| *from <= begun) {
        match until {
            End::On(day) if *day < open => {}
            End::No | End::On(_) => return Some(true),
            End::Unknown => all = None,
        }
    }
    all
}

/// Whether and when something ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// It goes on.
    No,
    /// On that day.
    On(Day),
    /// It ended; when was not recorded.
    Unknown,
}

impl End {
    /// By the day of its end, if it has one.
    pub fn of(day: Option<Day>) -> Self {
        day.map_or(Self::No, Self::On)
    }

    fn day(self) -> Option<Day> {
        match self {
            Self::On(day) => Some(day),
            Self::No | Self::Unknown => None,
        }
    }
}

/// A column of codes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Codes {
    values: Vec<Code>,
    /// The place of each code, by list and word.
    places: BTreeMap<String, BTreeMap<String, u32>>,
    rows: Vec<Option<u32>>,
}

impl Codes {
    /// Adds a row.
    pub fn push(&mut self, code: Option<&Code>) {
        self.push_named(code.map(|code| (code.list.as_str(), code.code.as_str())), |_| code.cloned());
    }

    /// Adds a row by the word of its code, where all are of one list; the code is made where the word is new.
    pub fn push_word(&mut self, word: Option<&str>, make: impl FnOnce(&str) -> Option<Code>) {
        self.push_named(word.map(|word| ("", word)), make);
    }

    fn push_named(&mut self, name: Option<(&str, &str)>, make: impl FnOnce(&str) -> Option<Code>) {
        let place = name.and_then(|(list, word)| {
            if let Some(place) = self.places.get(list).and_then(|places| places.get(word)) {
                return Some(*place);
            }
            let place = u32::try_from(self.values.len()).ok()?;
            self.values.push(make(word)?);
            self.places.entry(list.to_owned()).or_default().insert(word.to_owned(), place);
            Some(place)
        });
        self.rows.push(place);
    }

    /// Adds the rows of another column: a code that both have is one. Single rows are not pushed after that.
    fn append(&mut self, other: Self) {
        let place = |code: Code| {
            let is_it = |known: &Code| known.list == code.list && known.code == code.code;
            let at = self.values.iter().position(is_it).unwrap_or_else(|| {
                self.values.push(code);
                self.values.len() - 1
            });
            u32::try_from(at).ok()
        };
        let places: Vec<Option<u32>> = other.values.into_iter().map(place).collect();
        self.rows.extend(other.rows.iter().map(|row| row.and_then(|at| places.get(at as usize).copied().flatten())));
    }

    fn place(&self, row: usize) -> Option<u32> {
        self.rows.get(row).copied().flatten()
    }

    /// The same rows, with other codes in the place of some; what becomes one code is one class.
    pub fn renamed(self, other: impl Fn(&Code) -> Option<Code>) -> Self {
        let mut all = Self::default();
        let renamed: Vec<Code> = self.values.into_iter().map(|code| other(&code).unwrap_or(code)).collect();
        for place in self.rows {
            all.push(place.and_then(|place| renamed.get(place as usize)));
        }
        all
    }
}

/// The rows of one source, column by column.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Columns {
    /// For each row, whether there is a basis for counting whom it is about.
    pub counts: Vec<bool>,
    /// For each row, which of the people or cases it belongs to; empty where each row is its own.
    pub units: Vec<u32>,
    /// The columns, by name.
    pub columns: BTreeMap<String, Column>,
}

impl Columns {
    /// No rows.
    pub const NONE: Self = Self { counts: Vec::new(), units: Vec::new(), columns: BTreeMap::new() };

    /// Takes a row out; the last one takes its place.
    pub fn swap_remove(&mut self, row: usize) {
        swap_remove(&mut self.counts, row);
        swap_remove(&mut self.units, row);
        for column in self.columns.values_mut() {
            match column {
                Column::Day(rows) => swap_remove(rows, row),
                Column::End(rows) => swap_remove(rows, row),
                Column::Code(codes) => swap_remove(&mut codes.rows, row),
                Column::Number(rows) => swap_remove(rows, row),
                Column::Flag(rows) => swap_remove(rows, row),
                Column::Stretches(rows) => swap_remove(rows, row),
            }
        }
    }

    /// Adds rows with the same columns, of people or cases that none of the others belongs to. Where the columns are others, nothing is
    /// added, and it says so.
    #[must_use]
    pub fn append(&mut self, mut other: Self) -> bool {
        let is_same = |(one, next): (&Column, &Column)| std::mem::discriminant(one) == std::mem::discriminant(next);
        if !self.columns.keys().eq(other.columns.keys())
            || !self.columns.values().zip(other.columns.values()).all(is_same)
        {
            return false;
        }
        let next = self.units.iter().max().map_or(0, |last| last.saturating_add(1));
        self.units.extend(other.units.iter().map(|unit| unit.saturating_add(next)));
        self.counts.append(&mut other.counts);
        for (column, other) in self.columns.values_mut().zip(other.columns.into_values()) {
            match (column, other) {
                (Column::Day(rows), Column::Day(other)) => rows.extend(other),
                (Column::End(rows), Column::End(other)) => rows.extend(other),
                (Column::Code(codes), Column::Code(other)) => codes.append(other),
                (Column::Number(rows), Column::Number(other)) => rows.extend(other),
                (Column::Flag(rows), Column::Flag(other)) => rows.extend(other),
                (Column::Stretches(rows), Column::Stretches(other)) => rows.extend(other),
                _ => return false,
            }
        }
        true
    }
}

fn swap_remove<T>(rows: &mut Vec<T>, row: usize) {
    if row < rows.len() {
        rows.swap_remove(row);
    }
}

/// A rule for rows.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// Which column.
    pub column: String,
    /// A code: one of these.
    #[serde(default)]
    pub is: Vec<String>,
    /// A number: at least so much.
    #[serde(default)]
    pub at_least: Option<i64>,
    /// A number: less than that.
    #[serde(default)]
    pub below: Option<i64>,
    /// A flag: so.
    #[serde(default)]
    pub flag: Option<bool>,
    /// Whatever it is: recorded.
    #[serde(default)]
    pub recorded: bool,
}

/// What the results are told apart by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct By {
    /// Which column.
    pub column: String,
    /// A number: where each next class begins, in order.
    #[serde(default)]
    pub from: Vec<i64>,
    /// A code, in a secure sum: those that are told apart; all others are one class.
    #[serde(default)]
    pub codes: Vec<String>,
}

impl By {
    /// Its classes of numbers: from where, until before where; the last without an end.
    pub fn groups(&self) -> impl Iterator<Item = (i64, Option<i64>)> {
        let next = self.from.iter().skip(1).copied().map(Some).chain([None]);
        self.from.iter().copied().zip(next)
    }
}

/// Whether a text can be the name of an indicator, a list or a code: lower case letters, digits and `_`.
pub fn is_name(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
}

/// When a row belongs to a period.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum When {
    /// The day in that column lies in it.
    In(String),
    /// It had begun by the last day and not ended by then: from the first column until the second.
    AtEnd(String, String),
    /// The same on the day before the first.
    AtStart(String, String),
    /// It had begun by the last day and not ended before the first.
    During(String, String),
    /// One of the stretches in that column had.
    DuringAny(String),
}

impl When {
    /// The columns that it is about: of days, or of stretches.
    pub fn days(&self) -> Vec<&str> {
        match self {
            Self::In(column) | Self::DuringAny(column) => vec![column],
            Self::AtEnd(from, until) | Self::AtStart(from, until) | Self::During(from, until) => vec![from, until],
        }
    }
}

/// What is computed of the rows.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Measure {
    /// How many.
    #[default]
    Count,
    /// The sum of a column.
    Sum(String),
    /// The number in the middle of a column.
    Median(String),
    /// Whether there is any: in a secure sum, in how many offices.
    Offices,
}

coded_enum!(
    /// Under which heading an indicator stands.
    Topic {
        /// Cases.
        Cases = 1 "cases",
        /// The people whom cases are about.
        People = 2 "people",
        /// Referrals.
        Referrals = 3 "referrals",
        /// Money.
        Money = 4 "money",
        /// What was done, and what came of it.
        Work = 5 "work",
        /// How complete, timely and reliable the records are.
        Quality = 6 "quality",
        /// What an office or a network adds.
        Own = 7 "own",
    }
);

/// Of an indicator that says nothing: it is looked at on the first page.
const fn on() -> bool {
    true
}

/// Of an indicator that says nothing.
const fn own() -> Topic {
    Topic::Own
}

/// One indicator.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Indicator {
    /// Its name in the set: lower case, digits and `_`.
    pub id: String,
    /// What it is called, by language; English is always there.
    pub title: BTreeMap<String, String>,
    /// What is counted.
    pub source: SourceName,
    /// Under which heading it stands.
    #[serde(default = "own")]
    pub topic: Topic,
    /// Whether it stands on the first page of a report; the others are under their heading.
    #[serde(default = "on")]
    pub on: bool,
    /// When it belongs to a period.
    pub when: When,
    /// What is computed.
    #[serde(default)]
    pub measure: Measure,
    /// What it is told apart by: at most two columns.
    #[serde(default)]
    pub by: Vec<By>,
    /// Of which rows it speaks: all of these hold.
    #[serde(default)]
    pub of: Vec<Rule>,
    /// Which of those it counts; all where it says nothing. With such a rule the indicator is a share.
    #[serde(default)]
    pub share: Vec<Rule>,
}

/// A source as a set names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct SourceName(pub Source);

impl TryFrom<String> for SourceName {
    type Error = String;

    fn try_from(word: String) -> Result<Self, String> {
        let all: Vec<&str> = Source::ALL.iter().map(|source| source.as_str()).collect();
        word.parse().map(Self).map_err(|_| format!("nothing is counted as {word:?}; choose one of {}", all.join(", ")))
    }
}

/// Most indicators of one set.
pub const INDICATORS_MAX: usize = 100;
/// Most cells of one result: more classes would be a list, and no number.
pub const CELLS_MAX: usize = 400;

impl Indicator {
    /// Whether it can be computed: each column is there and holds what its use needs.
    ///
    /// # Errors
    /// What to change, in words.
    pub fn check(&self) -> Result<(), String> {
        if !is_name(&self.id) {
            return Err(format!("the id {:?} may hold lower case letters, digits and _ alone", self.id));
        }
        if self.title.get("en").is_none_or(|title| title.trim().is_empty()) {
            return Err("it has no title in English: title.en".into());
        }
        let kind = if matches!(self.when, When::DuringAny(_)) { ColumnKind::Stretches } else { ColumnKind::Day };
        self.when.days().into_iter().try_for_each(|column| self.needs(column, kind))?;
        if let Measure::Sum(column) | Measure::Median(column) = &self.measure {
            self.needs(column, ColumnKind::Number)?;
        }
        if let Some(currency) = self.currency_column().filter(|one| self.by.iter().all(|by| by.column != *one)) {
            return Err(format!("amounts of several currencies are never added: tell them apart by {currency}"));
        }
        if self.by.len() > 2 {
            return Err("it is told apart by more than two columns".into());
        }
        for by in &self.by {
            match self.kind(&by.column)? {
                ColumnKind::Code if by.from.is_empty() => {}
                ColumnKind::Number if !by.from.is_empty() && by.from.is_sorted_by(|one, next| one < next) => {}
                ColumnKind::Number => {
                    return Err(format!(
                        "say in rising order where the classes of {} begin: from = [0, 30, 90]",
                        by.column
                    ));
                }
                _ => return Err(format!("nothing is told apart by {}: it is no code and no number", by.column)),
            }
        }
        for rule in self.of.iter().chain(&self.share) {
            let kind = self.kind(&rule.column)?;
            let fits = match kind {
                ColumnKind::Code => rule.at_least.is_none() && rule.below.is_none() && rule.flag.is_none(),
                ColumnKind::Number => rule.is.is_empty() && rule.flag.is_none(),
                ColumnKind::Flag => {
                    rule.flag.is_some() && rule.is.is_empty() && rule.at_least.is_none() && rule.below.is_none()
                }
                ColumnKind::Stretches => false,
                ColumnKind::Day => {
                    rule.recorded
                        && rule.is.is_empty()
                        && rule.at_least.is_none()
                        && rule.below.is_none()
                        && rule.flag.is_none()
                }
            };
            let says = !rule.is.is_empty()
                || rule.at_least.is_some()
                || rule.below.is_some()
                || rule.flag.is_some()
                || rule.recorded;
            if !fits || !says {
                return Err(format!(
                    "the rule for {} does not fit it: codes take `is`, numbers `at_least` and `below`, flags `flag`, all `recorded`",
                    rule.column
                ));
            }
        }
        Ok(())
    }

    fn kind(&self, column: &str) -> Result<ColumnKind, String> {
        let all: Vec<&str> = self.source.0.columns().iter().map(|(name, _)| *name).collect();
        let families: Vec<String> = self.source.0.families().iter().map(|begin| format!("{begin}NAME")).collect();
        let all = all.into_iter().map(str::to_owned).chain(families).collect::<Vec<_>>();
        let kind = self.source.0.kind_of(column);
        kind.ok_or_else(|| format!("{} have no column {column:?}; they have {}", self.source.0, all.join(", ")))
    }

    fn needs(&self, column: &str, wanted: ColumnKind) -> Result<(), String> {
        match self.kind(column)? == wanted {
            true => Ok(()),
            false => Err(format!(
                "{column} cannot be used there: it is no {}",
                match wanted {
                    ColumnKind::Day => "day",
                    ColumnKind::Stretches => "stretch of time",
                    _ => "number",
                }
            )),
        }
    }

    /// What it is called in a language, or in English.
    pub fn title_in(&self, language: &str) -> &str {
        self.title.get(language).or_else(|| self.title.get("en")).map_or(self.id.as_str(), String::as_str)
    }

    /// The columns that it names beside its days.
    pub fn columns(&self) -> impl Iterator<Item = &str> {
        let measured = match &self.measure {
            Measure::Sum(column) | Measure::Median(column) => Some(column),
            Measure::Count | Measure::Offices => None,
        };
        let by = self.by.iter().map(|by| &by.column);
        let rules = self.of.iter().chain(&self.share).map(|rule| &rule.column);
        by.chain(rules).chain(measured).map(String::as_str)
    }

    /// The traits of people by which it tells them apart, chooses whom it speaks of, or measures them.
    pub fn traits(&self) -> impl Iterator<Item = &str> {
        self.columns().filter_map(|column| self.source.0.trait_of(column))
    }

    /// A column of it that somebody typed, if it names one.
    pub fn typed(&self) -> Option<&str> {
        self.columns().find(|column| self.source.0.is_typed(column))
    }

    /// Whether it says how things are today, whatever the period.
    pub fn is_of_today(&self) -> bool {
        self.columns().any(|column| self.source.0.is_of_today(column))
    }

    /// Whether it can be looked at over time: not where each step would only say how it is today.
    pub fn has_past(&self) -> bool {
        matches!(self.when, When::In(_)) || !self.is_of_today()
    }

    /// Whether small numbers of it would tell of somebody: it is about people, or tells them apart.
    pub fn is_protected(&self) -> bool {
        matches!(self.source.0, Source::People | Source::Assessments) || self.traits().next().is_some()
    }

    /// The column of the currency, where it is a sum of money.
    pub fn currency_column(&self) -> Option<String> {
        match (&self.measure, self.source.0) {
            (Measure::Sum(_), Source::Payments) => Some("currency".into()),
            (Measure::Sum(column), Source::Entries) => {
                column.strip_prefix(MONEY).map(|field| format!("{CURRENCY}{field}"))
            }
            _ => None,
        }
    }

    /// Whether another asks for the same numbers, whatever it is called.
    pub fn asks_the_same(&self, other: &Self) -> bool {
        let asks = |one: &Self| (one.source, one.when.clone(), one.measure.clone(), one.by.clone());
        let rules = |one: &Self| (one.of.clone(), one.share.clone());
        asks(self) == asks(other) && rules(self) == rules(other)
    }

    /// Whether it is a share of what it speaks of.
    pub fn is_share(&self) -> bool {
        !self.share.is_empty()
    }
}

/// What one class of a column is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
pub enum Class {
    /// A code.
    #[n(0)]
    Code(#[n(0)] Code),
    /// From that number until before the next.
    #[n(1)]
    From(#[n(0)] i64, #[n(1)] Option<i64>),
    /// All of them together.
    #[n(2)]
    All,
}

/// One cell: its classes, what was computed, and of how many.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cell {
    /// Its class in each column that it is told apart by.
    pub classes: Vec<Class>,
    /// What was computed.
    pub value: i64,
    /// Of how many it speaks: what a share is a share of, and of a sum the units that it is made of.
    pub of: u64,
    /// The most that one unit adds to a sum.
    pub largest: i64,
}

/// The result of an indicator in a period.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outcome {
    /// The cells, in the order of their classes; one without classes where it is not told apart.
    pub cells: Vec<Cell>,
    /// Of how many things it speaks.
    pub covered: u64,
    /// How many of them lack something that it needs.
    pub missing: u64,
    /// How many more there are that nobody may count.
    pub excluded: u64,
}

/// A rule with its column at hand.
struct Asked<'a> {
    rule: &'a Rule,
    column: Option<&'a Column>,
    /// For codes: which places of the column are meant.
    places: Vec<bool>,
}

impl<'a> Asked<'a> {
    fn of(rule: &'a Rule, columns: &'a Columns) -> Self {
        let column = columns.columns.get(rule.column.as_str());
        let places = match column {
            Some(Column::Code(codes)) => codes
                .values
                .iter()
                .map(|code| rule.is.is_empty() || rule.is.iter().any(|is| is == code.code.as_str()))
                .collect(),
            _ => Vec::new(),
        };
        Self { rule, column, places }
    }

    /// Whether it holds for a row; none where what it asks was not recorded.
    fn holds(&self, row: usize) -> Option<bool> {
        let known = match self.column? {
            Column::Day(days) => days.get(row).copied().flatten().map(|_| true),
            Column::End(ends) => ends.get(row).and_then(|end| end.day()).map(|_| true),
            Column::Flag(flags) => flags.get(row).map(|is| Some(*is) == self.rule.flag),
            Column::Number(numbers) => numbers.get(row).copied().flatten().map(|number| {
                self.rule.at_least.is_none_or(|least| number >= least)
                    && self.rule.below.is_none_or(|below| number < below)
            }),
            Column::Code(codes) => codes.place(row).and_then(|place| self.places.get(place as usize).copied()),
            Column::Stretches(_) => None,
        };
        // Whether something was recorded is always known.
        if self.rule.recorded { Some(known.unwrap_or(false)) } else { known }
    }
}

/// What all rules say together: false where one does not hold, none where none is against it and one is not known.
fn all_hold(asked: &[Asked<'_>], row: usize) -> Option<bool> {
    let mut all = Some(true);
    for one in asked {
        match one.holds(row) {
            Some(true) => {}
            Some(false) => return Some(false),
            None => all = None,
        }
    }
    all
}

/// Days of rows, whatever they are days of.
#[derive(Clone, Copy)]
enum Days<'a> {
    Of(&'a [Option<Day>]),
    Ends(&'a [End]),
}

impl<'a> Days<'a> {
    fn of(columns: &'a Columns, column: &str) -> Self {
        match columns.columns.get(column) {
            Some(Column::Day(days)) => Self::Of(days),
            Some(Column::End(ends)) => Self::Ends(ends),
            _ => Self::Of(&[]),
        }
    }

    /// Whether the row's day is one of these; none where it was not recorded. What goes on has no day yet.
    fn is(self, row: usize, wanted: impl Fn(Day) -> bool) -> Option<bool> {
        match self {
            Self::Of(days) => days.get(row).copied().flatten().map(wanted),
            Self::Ends(ends) => match ends.get(row)? {
                End::On(day) => Some(wanted(*day)),
                End::No => Some(false),
                End::Unknown => None,
            },
        }
    }
}

/// When rows belong to the period, with the columns at hand.
enum Stands<'a> {
    In(Days<'a>, Period),
    /// It had begun by the one day, and had not ended before the other.
    Over {
        from: Days<'a>,
        until: Days<'a>,
        begun: Day,
        open: Day,
    },
    /// One of its stretches had.
    AnyOver {
        stretches: &'a [Stretches],
        begun: Day,
        open: Day,
    },
}

impl<'a> Stands<'a> {
    fn of(when: &When, columns: &'a Columns, period: Period) -> Self {
        let days = |column: &str| Days::of(columns, column);
        let (from, until, begun, open) = match when {
            When::In(column) => return Self::In(days(column), period),
            When::DuringAny(column) => {
                let stretches = match columns.columns.get(column.as_str()) {
                    Some(Column::Stretches(stretches)) => stretches.as_slice(),
                    _ => &[],
                };
                return Self::AnyOver { stretches, begun: period.to, open: period.from };
            }
            // What ends on a day does not stand at its end.
            When::AtEnd(from, until) => (from, until, period.to, period.to.plus_days(1)),
            When::AtStart(from, until) => (from, until, period.from.plus_days(-1), period.from),
            When::During(from, until) => (from, until, period.to, period.from),
        };
        Self::Over { from: days(from), until: days(until), begun, open }
    }

    /// Whether a row belongs; none where that cannot be known: its day, or the day of its end, was not recorded.
    fn has(&self, row: usize) -> Option<bool> {
        match self {
            Self::In(days, period) => days.is(row, |day| period.contains(day)),
            Self::AnyOver { stretches, begun, open } => {
                stretches.get(row).and_then(|stretches| stood(stretches, *begun, *open))
            }
            Self::Over { from, until, begun, open } => {
                let has_begun = from.is(row, |from| from <= *begun);
                let is_over = until.is(row, |until| until < *open);
                match (has_begun, is_over) {
                    (Some(false), _) | (_, Some(true)) => Some(false),
                    (Some(true), Some(false)) => Some(true),
                    _ => None,
                }
            }
        }
    }
}

/// What cells are told apart by, with the column at hand.
struct Apart<'a> {
    by: &'a By,
    column: Option<&'a Column>,
}

impl Apart<'_> {
    /// The place of a row's class.
    fn place(&self, row: usize) -> Option<u32> {
        match self.column? {
            Column::Code(codes) => codes.place(row),
            Column::Number(numbers) => {
                let number = numbers.get(row).copied().flatten()?;
                u32::try_from(self.by.from.partition_point(|from| *from <= number).checked_sub(1)?).ok()
            }
            Column::Day(_) | Column::End(_) | Column::Flag(_) | Column::Stretches(_) => None,
        }
    }

    fn class(&self, place: u32) -> Option<Class> {
        match self.column? {
            Column::Code(codes) => codes.values.get(place as usize).cloned().map(Class::Code),
            Column::Number(_) => {
                let place = place as usize;
                Some(Class::From(*self.by.from.get(place)?, self.by.from.get(place + 1).copied()))
            }
            Column::Day(_) | Column::End(_) | Column::Flag(_) | Column::Stretches(_) => None,
        }
    }
}

#[derive(Default)]
struct Sum {
    of: u64,
    count: i64,
    values: Vec<i64>,
    /// What each unit adds to it, where rows belong to units.
    units: BTreeMap<u32, i64>,
}

/// The place of a class where nothing is told apart.
const WHOLE: u32 = u32::MAX;

/// How a row stands to an indicator of a period.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// It is of another period, or not asked for.
    Out,
    /// Nobody may count it.
    Excluded,
    /// Something that the indicator needs was not recorded.
    Missing,
    /// It is in that cell, counts there or not, and has that number.
    In([u32; 2], bool, Option<i64>),
}

/// An indicator with the columns and the period at hand.
struct Look<'a> {
    columns: &'a Columns,
    stands: Stands<'a>,
    of: Vec<Asked<'a>>,
    share: Vec<Asked<'a>>,
    apart: Vec<Apart<'a>>,
    measured: Option<&'a [Option<i64>]>,
}

impl<'a> Look<'a> {
    fn new(indicator: &'a Indicator, columns: &'a Columns, period: Period) -> Self {
        let measured = match &indicator.measure {
            Measure::Count | Measure::Offices => None,
            Measure::Sum(column) | Measure::Median(column) => Some(match columns.columns.get(column.as_str()) {
                Some(Column::Number(numbers)) => numbers.as_slice(),
                _ => &[],
            }),
        };
        let apart = |by: &'a By| Apart { by, column: columns.columns.get(by.column.as_str()) };
        Self {
            columns,
            stands: Stands::of(&indicator.when, columns, period),
            of: indicator.of.iter().map(|rule| Asked::of(rule, columns)).collect(),
            share: indicator.share.iter().map(|rule| Asked::of(rule, columns)).collect(),
            apart: indicator.by.iter().map(apart).collect(),
            measured,
        }
    }

    fn at(&self, row: usize) -> Standing {
        // A row whose day was not recorded belongs to no period; it is missing in each.
        let day = self.stands.has(row);
        if day == Some(false) {
            return Standing::Out;
        }
        let is_asked = all_hold(&self.of, row);
        if is_asked == Some(false) {
            return Standing::Out;
        }
        if self.columns.counts.get(row) != Some(&true) {
            return Standing::Excluded;
        }
        let is_shared = all_hold(&self.share, row);
        let value = self.measured.map(|numbers| numbers.get(row).copied().flatten());
        let mut key = [WHOLE; 2];
        let mut is_known = day.is_some() && is_asked.is_some() && is_shared.is_some() && value != Some(None);
        for (apart, place) in self.apart.iter().zip(&mut key) {
            match apart.place(row) {
                Some(known) => *place = known,
                None => is_known = false,
            }
        }
        match is_known {
            true => Standing::In(key, is_shared == Some(true), value.flatten()),
            false => Standing::Missing,
        }
    }

    fn classes(&self, key: [u32; 2]) -> Vec<Class> {
        self.apart.iter().zip(key).filter_map(|(apart, place)| apart.class(place)).collect()
    }
}

/// The rows behind a number: those that count in the cell of these classes, or, with none, those that lack something.
pub fn rows_behind(indicator: &Indicator, columns: &Columns, period: Period, cell: Option<&[Class]>) -> Vec<usize> {
    let look = Look::new(indicator, columns, period);
    let is_behind = |row: &usize| match (look.at(*row), cell) {
        (Standing::Missing, None) => true,
        (Standing::In(key, true, _), Some(classes)) => look.classes(key) == classes,
        _ => false,
    };
    (0..columns.counts.len()).filter(is_behind).collect()
}

/// Computes an indicator of a period.
pub fn compute(indicator: &Indicator, columns: &Columns, period: Period) -> Outcome {
    let mut outcome = Outcome::default();
    let mut cells: BTreeMap<[u32; 2], Sum> = BTreeMap::new();
    let look = Look::new(indicator, columns, period);
    for row in 0..columns.counts.len() {
        let (key, is_shared, value) = match look.at(row) {
            Standing::Out => continue,
            Standing::Excluded => {
                outcome.excluded += 1;
                continue;
            }
            Standing::Missing => {
                outcome.covered += 1;
                outcome.missing += 1;
                continue;
            }
            Standing::In(key, is_shared, value) => (key, is_shared, value),
        };
        outcome.covered += 1;
        if cells.len() >= CELLS_MAX && !cells.contains_key(&key) {
            outcome.missing += 1;
            continue;
        }
        let sum = cells.entry(key).or_default();
        sum.of += 1;
        if is_shared {
            sum.count += 1;
            sum.values.extend(value);
            if let (Some(unit), Some(value)) = (columns.units.get(row), value) {
                let all = sum.units.entry(*unit).or_default();
                *all = all.saturating_add(value);
            }
        }
    }
    if indicator.by.is_empty() {
        cells.entry([WHOLE; 2]).or_default();
    }
    let cell = |(key, mut sum): ([u32; 2], Sum)| {
        let by_unit = sum.units.values().copied().max();
        let largest = by_unit.or(sum.values.iter().copied().max()).unwrap_or_default();
        let of = if sum.units.is_empty() { sum.of } else { u64::try_from(sum.units.len()).unwrap_or(u64::MAX) };
        let value = match indicator.measure {
            Measure::Count => sum.count,
            Measure::Offices => sum.count.min(1),
            Measure::Sum(_) => sum.values.iter().fold(0i64, |all, value| all.saturating_add(*value)),
            Measure::Median(_) => {
                sum.values.sort_unstable();
                // Of an even number the lower one in the middle: a day that was.
                sum.values.get(sum.values.len().saturating_sub(1) / 2).copied().unwrap_or_default()
            }
        };
        Cell { classes: look.classes(key), value, of, largest }
    };
    outcome.cells = cells.into_iter().map(cell).collect();
    outcome.cells.sort_by(|one, other| one.classes.cmp(&other.classes));
    outcome
}

#[cfg(test)]
mod tests;
