//! The three numbers: the office's own, the table that may leave, and what a collector holds.

use super::outward::Outward;
use super::{CodeView, Desk, DeskError};
use crate::index::{CaseRow, Tables};
use crate::policy::Ask;
use crate::records::{Collected, Release, StaffRole};
use crate::vault::Record;
use casemesh_protocol::bounded::List;
use casemesh_protocol::directory::Role;
use casemesh_protocol::id::{OfficeId, RecordId};
use casemesh_protocol::outgoing::Control;
use casemesh_protocol::statistics::{self, Figure, Indicator, SET_VERSION, Table};
use casemesh_protocol::time::{Period, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use utoipa::ToSchema;

/// One cell of a figure.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CellView {
    /// Which value.
    pub key: CodeView,
    /// How many, or how much with a decimal point.
    pub value: String,
}

/// One of the three numbers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FigureView {
    /// Which.
    pub indicator: Indicator,
    /// Its cells.
    pub cells: Vec<CellView>,
    /// How many things it covers.
    pub covered: u64,
    /// How many of them lack what the cells are told apart by.
    pub missing: u64,
    /// How many more there are that nobody may count.
    pub excluded: u64,
    /// How many cells are withheld.
    pub suppressed: u64,
}

/// The three numbers of a period.
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
    /// Its cells.
    pub cells: Vec<CellView>,
    /// Cases without it.
    pub missing: u64,
}

/// What would leave, cell by cell.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct TablePreview {
    /// The first and last day.
    #[schema(value_type = Object)]
    pub period: Period,
    /// Which release for this period it would be.
    pub release: u32,
    /// To whom.
    pub to: Option<String>,
    /// The figures.
    pub figures: Vec<FigureView>,
    /// The last release for this period, when it left.
    #[schema(value_type = Option<String>)]
    pub last: Option<Timestamp>,
    /// Whether nothing changed since.
    pub unchanged: bool,
}

/// What a collector shows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CollectedView {
    /// The first and last day.
    #[schema(value_type = Object)]
    pub period: Period,
    /// All offices together.
    pub total: Vec<FigureView>,
    /// Each office.
    pub offices: Vec<OfficeFigures>,
    /// Offices of the network that sent nothing for this period.
    pub silent: Vec<String>,
    /// Periods for which something came.
    #[schema(value_type = Vec<Object>)]
    pub periods: Vec<Period>,
}

/// What one office sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct OfficeFigures {
    /// Its name.
    pub name: String,
    /// Which release.
    pub release: u32,
    /// When it came.
    #[schema(value_type = String)]
    pub at: Timestamp,
    /// The figures.
    pub figures: Vec<FigureView>,
}

fn figure_view(figure: &Figure) -> FigureView {
    let is_money = figure.indicator == Indicator::AmountRecovered;
    let value = |cell: &statistics::Cell| match cell.key.code.as_str().parse() {
        Ok(currency) if is_money => casemesh_protocol::terms::Money { minor: cell.value, currency }.amount(),
        _ => cell.value.to_string(),
    };
    FigureView {
        indicator: figure.indicator,
        cells: figure
            .cells
            .iter()
            .map(|cell| CellView { key: CodeView::from(&cell.key), value: value(cell) })
            .collect(),
        covered: figure.covered,
        missing: figure.missing,
        excluded: figure.excluded,
        suppressed: figure.suppressed,
    }
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
        for code in &case.facts {
            *lists.entry(code.list.to_string()).or_default().1.entry(CodeView::from(code.as_ref())).or_default() += 1;
        }
        // A case with two facts of one list is one case that has it.
        for list in case.facts.iter().map(|code| code.list.to_string()).collect::<BTreeSet<_>>() {
            lists.entry(list).or_default().0 += 1;
        }
    }
    lists
        .into_iter()
        .map(|(list, (known, cells))| {
            let cells = cells.into_iter().map(|(key, count)| CellView { key, value: count.to_string() }).collect();
            FactView { list, cells, missing: cases.saturating_sub(known) }
        })
        .collect()
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

    /// The three numbers, of the cases that this account counts.
    ///
    /// # Errors
    /// When the account may not see figures.
    pub fn figures(&self, period: Period) -> Result<FiguresView, DeskError> {
        self.allow(Ask::SeeFigures)?;
        let tables = self.office.index.read();
        let counts = |case: &CaseRow| self.counts(&tables, case);
        let figures = statistics::compute(&tables.facts(counts), period);
        let facts = facts_of(&tables, period, counts);
        let persons = persons_of(&tables, period, counts);
        let hidden = tables.settings.as_ref().map(|settings| settings.hidden_figures.clone()).unwrap_or_default();
        drop(tables);
        self.office.vault.note(Some(self.actor.staff), "figures", None);
        let figures = figures.iter().filter(|figure| !hidden.contains(&figure.indicator)).map(figure_view).collect();
        Ok(FiguresView { period, figures, persons, facts })
    }

    fn collector(&self) -> Option<(OfficeId, String)> {
        let directory = self.office.around.directory()?;
        directory
            .members()
            .find(|(office, member)| **office != self.office.keys.office && member.has_role(Role::Collector))
            .map(|(office, member)| (*office, member.record.name.to_string()))
    }

    /// What would leave for a period, cell by cell, before anybody approves it.
    ///
    /// # Errors
    /// When the account may not approve tables.
    pub fn table_preview(&self, period: Period) -> Result<TablePreview, DeskError> {
        self.allow(Ask::ApproveTable)?;
        let tables = self.office.index.read();
        let figures = statistics::compute(&tables.facts(|_| true), period);
        let earlier = tables.releases.values().filter(|release| release.table.period == period);
        let last = earlier.max_by_key(|release| release.table.release);
        Ok(TablePreview {
            period,
            release: last.map_or(1, |release| release.table.release + 1),
            to: self.collector().map(|(_, name)| name),
            unchanged: last.is_some_and(|release| release.table.figures.as_slice() == figures),
            last: last.map(|release| release.table.made),
            figures: figures.iter().map(figure_view).collect(),
        })
    }

    /// Approves the table of a period and sends it to the collector. Two different periods that overlap are
    /// refused: their difference would tell what neither does.
    ///
    /// # Errors
    /// When there is no collector, an overlapping period was released, or nothing changed.
    pub fn approve_table(&self, period: Period) -> Result<RecordId, DeskError> {
        self.allow(Ask::ApproveTable)?;
        let Some((to, _)) = self.collector() else {
            return Err(DeskError::Partner("the network has no collector".into()));
        };
        let mut problems = self.problems();
        if period.to > self.today() {
            problems.add("to", "period-open");
        }
        problems.done()?;
        let figures = statistics::compute(&self.office.index.read().facts(|_| true), period);
        let office = self.office.keys.office;
        let id = self.write("approve_table", move |tx| {
            let releases = tx.list::<Release>(Release::TOP)?;
            let clash = releases
                .iter()
                .map(|release| release.record.table.period)
                .find(|other| *other != period && other.overlaps(&period));
            if let Some(other) = clash {
                let problem = super::FieldProblem::with("from", "period-overlaps", other);
                return Err(DeskError::Invalid(vec![problem]));
            }
            let last = releases.iter().map(|release| &release.record.table).filter(|table| table.period == period);
            let last = last.max_by_key(|table| table.release);
            if last.is_some_and(|table| table.figures.as_slice() == figures) {
                return Err(DeskError::Invalid(vec![super::FieldProblem::new("from", "table-unchanged")]));
            }
            let table = Table {
                set_version: SET_VERSION,
                office,
                period,
                release: last.map_or(1, |table| table.release + 1),
                made: tx.now(),
                figures: List::new(figures).map_err(|_| DeskError::NotFound)?,
            };
            let release = Release { id: tx.fresh_id(), table: table.clone(), to, approved_by: tx.staff() };
            tx.insert(&release)?;
            Outward::control(Control::table(to, table)).queue(tx)?;
            tx.about(release.id);
            Ok(release.id)
        })?;
        self.office.release_outbox();
        Ok(id)
    }

    /// What the collector holds for a period; without one, for the latest period that anything came for.
    ///
    /// # Errors
    /// When the account may not see it.
    pub fn collected(&self, period: Option<Period>) -> Result<CollectedView, DeskError> {
        self.allow(Ask::SeeCollected)?;
        let today = self.today();
        let tables = self.office.index.read();
        let mut periods: Vec<Period> = tables.collected.values().map(|collected| collected.table.period).collect();
        periods.sort_unstable();
        periods.dedup();
        let this_year = || Period::year(today.year());
        let period = period.or(periods.last().copied()).or_else(this_year).ok_or(DeskError::NotFound)?;
        let mut latest: BTreeMap<OfficeId, &Collected> = BTreeMap::new();
        for collected in tables.collected.values().filter(|collected| collected.table.period == period) {
            let current = latest.entry(collected.table.office).or_insert(collected);
            if collected.table.release >= current.table.release {
                *current = collected;
            }
        }
        let total = statistics::total(latest.values().map(|collected| collected.table.figures.as_slice()));
        let silent = self.office.around.directory().map_or_else(Vec::new, |directory| {
            directory
                .members()
                .filter(|(office, member)| member.has_role(Role::Office) && !latest.contains_key(office))
                .map(|(_, member)| member.record.name.to_string())
                .collect()
        });
        Ok(CollectedView {
            period,
            total: total.iter().map(figure_view).collect(),
            offices: latest
                .values()
                .map(|collected| OfficeFigures {
                    name: collected.office_name.clone(),
                    release: collected.table.release,
                    at: collected.at,
                    figures: collected.table.figures.iter().map(figure_view).collect(),
                })
                .collect(),
            silent,
            periods,
        })
    }

    /// Whether this node collects.
    pub fn is_collector(&self) -> bool {
        let directory = self.office.around.directory();
        directory
            .and_then(|directory| {
                directory.member(&self.office.keys.office).map(|member| member.has_role(Role::Collector))
            })
            .unwrap_or(false)
    }
}
