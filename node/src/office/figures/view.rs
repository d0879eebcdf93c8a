//! How figures are shown: cells with their classes, and tables of them.

use crate::office::CodeView;
use casemesh_protocol::indicators::{By, Class, Indicator, Measure, Rule, Source, Topic, When};
use casemesh_protocol::statistics::{Cell, Figure};
use casemesh_protocol::terms::Money;
use casemesh_protocol::time::Period;
use serde::{Deserialize, Serialize};
use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use utoipa::ToSchema;

/// So many classes stand side by side.
const CROSSED_MAX: usize = 12;

/// One class of a cell. All together stands last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ClassView {
    /// A code.
    Code(CodeView),
    /// From a number until before another.
    From {
        /// The first.
        from: i64,
        /// Before which; none for all above.
        to: Option<i64>,
    },
    /// All together.
    All,
}

impl ClassView {
    /// The place in a row of classes: codes by the number that they begin with, where they do (bands of age), and then by their word.
    fn place(&self) -> (u8, &str, i64, &str) {
        match self {
            Self::Code(code) => {
                let digits = code.code.bytes().take_while(u8::is_ascii_digit).count();
                let number = code.code.get(..digits).and_then(|digits| digits.parse().ok());
                (0, &code.list, number.unwrap_or(i64::MAX), &code.code)
            }
            Self::From { from, .. } => (1, "", *from, ""),
            Self::All => (2, "", 0, ""),
        }
    }
}

impl PartialOrd for ClassView {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for ClassView {
    fn cmp(&self, other: &Self) -> Ordering {
        self.place().cmp(&other.place()).then_with(|| match (self, other) {
            (Self::Code(one), Self::Code(other)) => one.cmp(other),
            (Self::From { to: one, .. }, Self::From { to: other, .. }) => one.cmp(other),
            _ => Ordering::Equal,
        })
    }
}

/// How dark a number stands among others, from 0 to 4: by its share of the largest, in quarters that are begun.
pub(in crate::office) fn heat(value: u64, most: u64) -> u8 {
    let quarters = (u128::from(value) * 4).div_ceil(u128::from(most.max(1)));
    u8::try_from(quarters.min(4)).unwrap_or(4)
}

/// One cell of a figure.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CellView {
    /// Its class in each column that it is told apart by.
    pub classes: Vec<ClassView>,
    /// What was computed; money with a decimal point. None where it is withheld.
    pub value: Option<String>,
    /// Of a share: of how many.
    pub of: Option<u64>,
    /// How long its bar is, of a hundred: the longest of the figure has a hundred.
    pub percent: u8,
    /// Whether it is at least as much: of a total of several offices, of which some withheld their part.
    #[serde(default)]
    pub is_at_least: bool,
}

impl CellView {
    /// The code by which it is told apart, where it is told apart by one.
    pub fn code(&self) -> Option<&str> {
        match self.classes.as_slice() {
            [ClassView::Code(code)] => Some(&code.code),
            _ => None,
        }
    }

    /// How dark it stands in a table, from 0 to 4: by its share of the largest.
    pub fn heat(&self) -> u8 {
        if self.is_total() { 0 } else { heat(self.percent.into(), 100) }
    }

    /// Whether it is the sum of others.
    pub fn is_total(&self) -> bool {
        self.classes.contains(&ClassView::All)
    }
}

/// What a figure is, as its set defines it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DefinitionView {
    /// What is counted.
    pub source: Source,
    /// When it belongs to a period: `in`, `at_end`, `at_start` or `during`.
    pub when: String,
    /// By which days.
    pub days: Vec<String>,
    /// `count`, `sum`, `median` or `offices`.
    pub measure: String,
    /// Of which column it is the sum or the median.
    pub column: Option<String>,
    /// Of which rows it speaks: all of these hold.
    #[schema(value_type = Vec<Object>)]
    pub of: Vec<Rule>,
    /// Which of those it counts, where it is a share.
    #[schema(value_type = Vec<Object>)]
    pub share: Vec<Rule>,
    /// What it is told apart by.
    #[schema(value_type = Vec<Object>)]
    pub by: Vec<By>,
    /// Whether it says how things are today, whatever the period.
    pub is_of_today: bool,
    /// Whether it can be looked at over time.
    pub has_past: bool,
}

impl DefinitionView {
    fn of(indicator: &Indicator) -> Self {
        let when = match &indicator.when {
            When::In(..) => "in",
            When::AtEnd(..) => "at_end",
            When::AtStart(..) => "at_start",
            When::During(..) | When::DuringAny(..) => "during",
        };
        let (measure, column) = match &indicator.measure {
            Measure::Count => ("count", None),
            Measure::Sum(column) => ("sum", Some(column.clone())),
            Measure::Median(column) => ("median", Some(column.clone())),
            Measure::Offices => ("offices", None),
        };
        Self {
            source: indicator.source.0,
            when: when.into(),
            days: indicator.when.days().into_iter().map(str::to_owned).collect(),
            measure: measure.into(),
            column,
            of: indicator.of.clone(),
            share: indicator.share.clone(),
            by: indicator.by.clone(),
            is_of_today: indicator.is_of_today(),
            has_past: indicator.has_past(),
        }
    }
}

/// One indicator of a period.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FigureView {
    /// Its name in the set.
    pub id: String,
    /// What it is called, by language; empty where its definition is not known here.
    pub title: BTreeMap<String, String>,
    /// What it is; none where its definition is not known here.
    #[serde(default)]
    pub definition: Option<DefinitionView>,
    /// Whether each value is a share of what the cell speaks of.
    pub is_share: bool,
    /// Whether its numbers can be added to one another: things of one kind, counted.
    #[serde(default)]
    pub is_added: bool,
    /// The cells; none where the figure is withheld altogether.
    pub cells: Vec<CellView>,
    /// Whether it covers at least so many: of a total of several offices, of which some withheld theirs.
    #[serde(default)]
    pub is_at_least: bool,
    /// How many things it covers; none where that is withheld.
    pub covered: Option<u64>,
    /// How many of them lack something that it needs.
    pub missing: Option<u64>,
    /// How many more there are that nobody may count.
    pub excluded: Option<u64>,
    /// How many numbers are withheld.
    pub withheld: u64,
    /// Whether cases stand behind its numbers.
    pub is_of_cases: bool,
}

/// The cells of a row, each with its place in the figure; none where nobody is.
pub type CrossRow<'a> = Vec<Option<(usize, &'a CellView)>>;

/// A figure that is told apart by two columns, as rows and columns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CrossView<'a> {
    /// The classes of the second column; the total last, where there is one.
    pub columns: Vec<&'a ClassView>,
    /// Each class of the first column, and its cells.
    pub rows: Vec<(&'a ClassView, CrossRow<'a>)>,
}

impl FigureView {
    /// Whether it is a number in the middle of which there is only how many things it covers: those of several offices are not added.
    pub fn is_median_of_offices(&self) -> bool {
        let is_median = self.definition.as_ref().is_some_and(|one| one.measure == "median");
        is_median && self.cells.is_empty() && self.covered.is_some_and(|covered| covered > 0)
    }

    /// The figure as rows and columns, where it is told apart by two columns and has few enough of the second to stand side by side.
    pub fn crossed<'a>(&'a self) -> Option<CrossView<'a>> {
        let mut rows: BTreeMap<&'a ClassView, BTreeMap<&'a ClassView, (usize, &'a CellView)>> = BTreeMap::new();
        for (at, cell) in self.cells.iter().enumerate() {
            let [row, column] = cell.classes.as_slice() else { return None };
            rows.entry(row).or_default().insert(column, (at, cell));
        }
        let columns: BTreeSet<&'a ClassView> = rows.values().flat_map(BTreeMap::keys).copied().collect();
        let is_table = rows.len() > 1 && (2..=CROSSED_MAX).contains(&columns.len());
        if !is_table {
            return None;
        }
        let columns: Vec<&'a ClassView> = columns.into_iter().collect();
        let row = |(class, cells): (&'a ClassView, BTreeMap<&'a ClassView, (usize, &'a CellView)>)| {
            (class, columns.iter().map(|column| cells.get(column).copied()).collect())
        };
        let rows = rows.into_iter().map(row).collect();
        Some(CrossView { columns, rows })
    }

    /// What a figure says, in the words of its definition.
    pub(in crate::office) fn of(figure: &Figure, known: Option<&Indicator>) -> Self {
        let is_money = known.is_some_and(|one| one.currency_column().is_some());
        let is_total = |cell: &Cell| cell.classes.iter().any(|class| *class == Class::All);
        let parts = figure.cells.iter().filter(|cell| !is_total(cell));
        let longest = parts.filter_map(|cell| cell.value).max().unwrap_or_default().max(1);
        let value = |cell: &Cell| {
            let currency = cell.classes.iter().find_map(|class| match class {
                Class::Code(code) if code.list.as_str() == "currency" => code.code.as_str().parse().ok(),
                _ => None,
            });
            cell.value.map(|minor| match currency.filter(|_| is_money) {
                Some(currency) => Money { minor, currency }.amount(),
                None => minor.to_string(),
            })
        };
        let cell = |cell: &Cell| CellView {
            classes: cell.classes.iter().map(ClassView::from).collect(),
            value: value(cell),
            of: cell.of,
            percent: cell
                .value
                .map_or(0, |value| u8::try_from(value.max(0).saturating_mul(100) / longest).unwrap_or(100)),
            is_at_least: cell.value.is_some() && cell.withheld_by.is_some(),
        };
        Self {
            id: figure.indicator.to_string(),
            title: known.map(|one| one.title.clone()).unwrap_or_default(),
            definition: known.map(DefinitionView::of),
            is_share: known.is_some_and(Indicator::is_share),
            is_at_least: figure.withheld_by.is_some(),
            is_added: known.is_some_and(|one| {
                matches!(one.measure, Measure::Count | Measure::Sum(_)) && one.currency_column().is_none()
            }),
            cells: figure.cells.iter().map(cell).collect(),
            covered: figure.covered,
            missing: figure.missing,
            excluded: figure.excluded,
            withheld: figure.withheld,
            is_of_cases: known.is_some_and(|one| one.source.0.leads_to_cases()),
        }
    }
}

impl From<&Class> for ClassView {
    fn from(class: &Class) -> Self {
        match class {
            Class::Code(code) => Self::Code(CodeView::from(code)),
            Class::From(from, to) => Self::From { from: *from, to: *to },
            Class::All => Self::All,
        }
    }
}

/// The numbers that the network asks for, of a period, and whom the cases are about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FiguresView {
    /// The first and last day.
    #[schema(value_type = Object)]
    pub period: Period,
    /// The figures.
    pub figures: Vec<FigureView>,
    /// How many people the cases of the period are about, as far as they may be counted: of a group, all on its roll.
    pub persons: u64,
    /// Coded facts of imported cases, by list: cell by cell, with what is missing.
    pub facts: Vec<FactView>,
}

/// Cases by one coded fact.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FactView {
    /// The list.
    pub list: String,
    /// Its codes, and how many cases have each.
    pub cells: Vec<(CodeView, u64)>,
    /// Cases without it.
    pub missing: u64,
}

/// The indicators of a period.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ReportView {
    /// The first and last day.
    #[schema(value_type = Object)]
    pub period: Period,
    /// Under which heading; none on the first page.
    pub topic: Option<Topic>,
    /// The headings under which there is something.
    pub topics: Vec<Topic>,
    /// Name and version of the sets that they are of.
    pub sets: Vec<(String, u16)>,
    /// The indicators, in the order of the sets.
    pub figures: Vec<FigureView>,
    /// What is wrong with what the office wrote itself: the file, the line, and what to change.
    pub problem: Option<String>,
}
