//! What an office sees of its own work: the numbers that its network asks for, its report, and who its cases are about.

use super::columns::Wanted;
use super::{CaseSummary, CodeView, Desk, DeskError};
use crate::index::{CASE_LISTS, CaseRow, Tables};
use crate::indicators;
use crate::policy::Ask;
use crate::records::StaffRole;
use casemesh_protocol::id::RecordId;
use casemesh_protocol::indicators::{Class, Indicator, Measure, Source, compute, rows_behind};
use casemesh_protocol::statistics::{self, Cell, Figure};
use casemesh_protocol::terms::{Code, Money};
use casemesh_protocol::time::Period;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use utoipa::ToSchema;

/// So many cases behind a number are shown.
const BEHIND_MAX: usize = 200;
/// So many classes stand side by side.
const CROSSED_MAX: usize = 9;

/// One class of a cell. All together stands last.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
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

/// One cell of a figure.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CellView {
    /// Its class in each column that it is told apart by.
    pub classes: Vec<ClassView>,
    /// What was computed; money with a decimal point. None where it is withheld.
    pub value: Option<String>,
    /// Of a share: of how many.
    pub of: Option<u64>,
    /// How long its bar is, of a hundred: the longest of the figure has a hundred.
    pub percent: u8,
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
        if self.is_total() { 0 } else { self.percent.div_ceil(25).min(4) }
    }

    /// Whether it is the sum of others.
    pub fn is_total(&self) -> bool {
        self.classes.contains(&ClassView::All)
    }
}

/// One indicator of a period.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FigureView {
    /// Its name in the set.
    pub id: String,
    /// What it is called, by language; empty where its definition is not known here.
    pub title: BTreeMap<String, String>,
    /// Whether each value is a share of what the cell speaks of.
    pub is_share: bool,
    /// The cells; none where the figure is withheld altogether.
    pub cells: Vec<CellView>,
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

/// A figure that is told apart by two columns, as rows and columns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CrossView<'a> {
    /// The classes of the second column; the total last, where there is one.
    pub columns: Vec<&'a ClassView>,
    /// Each class of the first column, and its cells; none where nobody is.
    pub rows: Vec<(&'a ClassView, Vec<Option<&'a CellView>>)>,
}

impl FigureView {
    /// The figure as rows and columns, where it is told apart by two columns and has few enough of the second to stand side by side.
    pub fn crossed<'a>(&'a self) -> Option<CrossView<'a>> {
        let mut rows: BTreeMap<&'a ClassView, BTreeMap<&'a ClassView, &'a CellView>> = BTreeMap::new();
        for cell in &self.cells {
            let [row, column] = cell.classes.as_slice() else { return None };
            rows.entry(row).or_default().insert(column, cell);
        }
        let columns: BTreeSet<&'a ClassView> = rows.values().flat_map(BTreeMap::keys).copied().collect();
        let is_table = rows.len() > 1 && (2..=CROSSED_MAX).contains(&columns.len());
        if !is_table {
            return None;
        }
        let columns: Vec<&'a ClassView> = columns.into_iter().collect();
        let row = |(class, cells): (&'a ClassView, BTreeMap<&'a ClassView, &'a CellView>)| {
            (class, columns.iter().map(|column| cells.get(column).copied()).collect())
        };
        let rows = rows.into_iter().map(row).collect();
        Some(CrossView { columns, rows })
    }

    /// What a figure says, in the words of its definition.
    pub(super) fn of(figure: &Figure, known: Option<&Indicator>) -> Self {
        let is_money =
            known.is_some_and(|one| matches!(one.measure, Measure::Sum(_)) && one.source.0 == Source::Payments);
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
        };
        Self {
            id: figure.indicator.to_string(),
            title: known.map(|one| one.title.clone()).unwrap_or_default(),
            is_share: known.is_some_and(Indicator::is_share),
            cells: figure.cells.iter().map(cell).collect(),
            covered: figure.covered,
            missing: figure.missing,
            excluded: figure.excluded,
            withheld: figure.withheld,
            is_of_cases: known.is_some_and(|one| one.source.0 == Source::Cases),
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
    /// Name and version of the sets that they are of.
    pub sets: Vec<(String, u16)>,
    /// The indicators, in the order of the sets.
    pub figures: Vec<FigureView>,
    /// What is wrong with what the office wrote itself: the file, the line, and what to change.
    pub problem: Option<String>,
}

/// The cases of a period that are counted: of people who may be, and that the asker counts.
fn counted(tables: &Tables, period: Period, counts: impl Fn(&CaseRow) -> bool) -> impl Iterator<Item = &CaseRow> {
    let shown = move |case: &&CaseRow| period.contains(case.opened) && tables.counted(case) && counts(case);
    tables.cases.values().map(Box::as_ref).filter(shown)
}

/// Cases of a period, of people who may be counted, by each coded fact that any of them has.
fn facts_of(tables: &Tables, period: Period, counts: impl Fn(&CaseRow) -> bool) -> Vec<FactView> {
    let mut lists: BTreeMap<String, (u64, BTreeMap<CodeView, u64>)> = BTreeMap::new();
    let mut cases = 0u64;
    for case in counted(tables, period, counts) {
        cases += 1;
        let is_imported = |code: &&std::sync::Arc<Code>| !CASE_LISTS.contains(&code.list.as_str());
        for code in case.facts.iter().filter(is_imported) {
            *lists.entry(code.list.to_string()).or_default().1.entry(CodeView::from(code.as_ref())).or_default() += 1;
        }
        // A case with two facts of one list is one case that has it.
        for list in case.facts.iter().filter(is_imported).map(|code| code.list.to_string()).collect::<BTreeSet<_>>() {
            lists.entry(list).or_default().0 += 1;
        }
    }
    let view = |(list, (known, cells)): (String, (u64, BTreeMap<CodeView, u64>))| FactView {
        list,
        cells: cells.into_iter().collect(),
        missing: cases.saturating_sub(known),
    };
    lists.into_iter().map(view).collect()
}

/// The people whom the cases of a period are about: each once, and for a group all on its roll.
fn persons_of(tables: &Tables, period: Period, counts: impl Fn(&CaseRow) -> bool) -> u64 {
    let clients = counted(tables, period, counts).flat_map(|case| &case.clients);
    let clients: BTreeSet<RecordId> = clients.map(|client| tables.standing(*client)).collect();
    let of = |client: &RecordId| u64::try_from(tables.members_of(*client).max(1)).unwrap_or(1);
    clients.iter().map(of).sum()
}

impl Desk {
    /// Whether a case is in the figures that this account sees: who reports for the office counts all cases and sees none;
    /// everybody else counts those that they may see, so that no count tells of another.
    pub(super) fn counts(&self, tables: &Tables, case: &CaseRow) -> bool {
        self.has_role(StaffRole::Reporting) || self.sees(tables, case)
    }

    /// Indicators of a period, over the cases that this account counts.
    fn whole(&self, all: &[&Indicator], period: Period) -> Vec<FigureView> {
        let today = self.today();
        let wanted = Wanted::by(all.iter().copied());
        let tables = self.office.index.read();
        let counts_incoming = self.answers_referrals() || self.has_role(StaffRole::Reporting);
        let columns = tables.columns(&wanted, |case| self.counts(&tables, case), counts_incoming, today);
        drop(tables);
        let view = |one: &&Indicator| {
            let figure = statistics::whole(one, columns.of(one.source.0), period);
            FigureView::of(&figure, Some(one))
        };
        all.iter().map(view).collect()
    }

    /// The national numbers, and whom the cases are about, as far as this account counts them.
    ///
    /// # Errors
    /// When the account may not see figures.
    pub fn figures(&self, period: Period) -> Result<FiguresView, DeskError> {
        self.allow(Ask::SeeFigures)?;
        let tables = self.office.index.read();
        let counts = |case: &CaseRow| self.counts(&tables, case);
        let facts = facts_of(&tables, period, counts);
        let persons = persons_of(&tables, period, counts);
        let hidden = tables.settings.as_ref().map(|settings| settings.hidden_figures.clone()).unwrap_or_default();
        drop(tables);
        let shown: Vec<&Indicator> =
            indicators::national().indicators.iter().filter(|one| !hidden.contains(&one.id)).collect();
        let figures = self.whole(&shown, period);
        self.office.vault.note(Some(self.actor.staff), "figures", None);
        Ok(FiguresView { period, figures, persons, facts })
    }

    /// The cases behind a number of the report, as far as this account may see them: those of its cell, or, without one, those that lack
    /// something that the indicator needs. The indicator with them, and how many there are.
    ///
    /// # Errors
    /// When the account may not see figures, or there is no such number.
    pub fn cases_behind(
        &self,
        figure: &str,
        period: Period,
        cell: Option<usize>,
    ) -> Result<(FigureView, Vec<CaseSummary>, usize), DeskError> {
        self.allow(Ask::SeeFigures)?;
        let report = self.report(period)?;
        let view = report.figures.into_iter().find(|one| one.id == figure).ok_or(DeskError::NotFound)?;
        let own = indicators::own(&self.office.around.folder).ok().flatten();
        let pack = self.office.index.read().settings.as_ref().map(|settings| settings.pack.clone()).unwrap_or_default();
        let sets = indicators::shipped(&pack).into_iter().chain(&own);
        let one = sets.flat_map(|set| &set.indicators).find(|one| one.id == figure).ok_or(DeskError::NotFound)?;
        if one.source.0 != Source::Cases {
            return Err(DeskError::NotFound);
        }
        let today = self.today();
        let tables = self.office.index.read();
        let sees = |case: &CaseRow| self.sees(&tables, case);
        let columns = tables.columns(&Wanted::by(std::iter::once(one)), sees, false, today);
        let columns = columns.of(Source::Cases);
        let outcome = compute(one, columns, period);
        let classes = match cell {
            None => None,
            Some(at) => Some(outcome.cells.get(at).ok_or(DeskError::NotFound)?.classes.as_slice()),
        };
        // In the order of the columns, which is that of the index.
        let rows: Vec<&CaseRow> = tables.cases.values().map(Box::as_ref).filter(|case| sees(case)).collect();
        let behind = rows_behind(one, columns, period, classes);
        let mut found: Vec<&CaseRow> = behind.iter().filter_map(|row| rows.get(*row).copied()).collect();
        found.sort_unstable_by_key(|case| std::cmp::Reverse((case.opened, case.id)));
        let shown = found.iter().take(BEHIND_MAX).map(|case| self.summary(&tables, case)).collect();
        Ok((view, shown, found.len()))
    }

    /// The indicators of a period, over the cases that this account counts.
    ///
    /// # Errors
    /// When the account may not see figures.
    pub fn report(&self, period: Period) -> Result<ReportView, DeskError> {
        self.allow(Ask::SeeFigures)?;
        let (own, problem) = match indicators::own(&self.office.around.folder) {
            Ok(own) => (own, None),
            Err(problem) => (None, Some(problem)),
        };
        let pack = self.office.index.read().settings.as_ref().map(|settings| settings.pack.clone()).unwrap_or_default();
        let sets: Vec<&indicators::Set> = indicators::shipped(&pack).into_iter().chain(&own).collect();
        // What two sets ask in the same words is told once.
        let mut all: Vec<&Indicator> = Vec::new();
        for one in sets.iter().flat_map(|set| &set.indicators) {
            if all.iter().all(|known| {
                (known.source, &known.when, &known.by, &known.of) != (one.source, &one.when, &one.by, &one.of)
            }) {
                all.push(one);
            }
        }
        let figures = self.whole(&all, period);
        self.office.vault.note(Some(self.actor.staff), "figures", None);
        let sets = sets.iter().map(|set| (set.id.clone(), set.version)).collect();
        Ok(ReportView { period, sets, figures, problem })
    }
}
