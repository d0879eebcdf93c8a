//! What an office sees of its own work: the numbers that its network asks for, its report, and who its cases are about.

mod trend;
mod view;

pub(super) use trend::Step;
pub use trend::{LineView, TrendView};
pub(super) use view::heat;
pub use view::*;

use super::columns::{AllColumns, Found, Key, Sight, Wanted};
use super::{CaseSummary, CodeView, Desk, DeskError};
use crate::index::{CASE_LISTS, CaseRow, Tables};
use crate::indicators;
use crate::policy::Ask;
use crate::records::{StaffRole, Tier};
use casemesh_protocol::id::RecordId;
use casemesh_protocol::indicators::{Indicator, Source, Topic, rows_behind};
use casemesh_protocol::statistics;
use casemesh_protocol::terms::Code;
use casemesh_protocol::time::Period;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError};

/// So many cases behind a number are shown.
const BEHIND_MAX: usize = 200;
/// Most steps of a figure over time.
const STEPS_MAX: usize = 24;

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
        let is_imported = |code: &&Arc<Code>| !CASE_LISTS.contains(&code.list.as_str());
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

/// The indicators that an office can look at: those of the program for its pack, and its own.
pub(super) struct Known {
    sets: Vec<&'static indicators::Set>,
    own: Option<indicators::Set>,
    /// What is wrong with what the office wrote itself.
    problem: Option<String>,
}

impl Known {
    fn sets(&self) -> impl Iterator<Item = &indicators::Set> {
        self.sets.iter().copied().chain(&self.own)
    }

    /// All of them; what two sets ask in the same words is told once.
    pub(super) fn all(&self) -> Vec<&Indicator> {
        let mut all: Vec<&Indicator> = Vec::new();
        for one in self.sets().flat_map(|set| &set.indicators) {
            if !all.iter().any(|known| known.asks_the_same(one)) {
                all.push(one);
            }
        }
        all
    }

    pub(super) fn named(&self, id: &str) -> Result<&Indicator, DeskError> {
        let national = indicators::national().indicators.iter();
        self.all().into_iter().chain(national).find(|one| one.id == id).ok_or(DeskError::NotFound)
    }
}

/// What a report speaks of.
#[derive(Debug, Clone, Copy, Default)]
pub struct Scope {
    /// Under which heading; without one, what stands on the first page.
    pub topic: Option<Topic>,
    /// Of the work that is counted for that grant alone.
    pub grant: Option<RecordId>,
    /// All of it, whatever stands where.
    pub whole: bool,
}

impl Desk {
    /// Whether a case is in the figures that this account sees: who reports for the office counts all cases and sees none;
    /// everybody else counts those that they may see, so that no count tells of another.
    pub(super) fn counts(&self, tables: &Tables, case: &CaseRow) -> bool {
        self.has_role(StaffRole::Reporting) || self.sees(tables, case)
    }

    /// The columns of what this account counts, or of the cases alone that it sees; rows of a source are made anew where something that
    /// they are counted from changed.
    fn counted_columns(
        &self,
        tables: &Tables,
        wanted: &Wanted<'_>,
        (reports, grant): (bool, Option<RecordId>),
    ) -> AllColumns {
        let now = self.now();
        // Emergency access ends by the clock: nothing is kept of it.
        let is_lasting = !tables.glass_runs(self.actor.staff, now);
        let leads = reports || self.may(Ask::HandOver);
        let sees_tier = |case: &CaseRow, tier: Tier| reports || self.sees_tier(tables, case, tier);
        let sight = Sight {
            case: &|case| reports || self.sees(tables, case),
            tier: &sees_tier,
            colleague: &|staff| leads || staff == self.actor.staff,
            line: &|line| reports || self.sees_line(tables, line),
            request: &|request| reports || (leads && self.knows(tables, request)),
            incoming: reports || self.answers_referrals(),
            grant,
            only: None,
            rules: self.office.rules_in(tables),
            now,
        };
        let kept = || self.office.columns.lock().unwrap_or_else(PoisonError::into_inner);
        let rows = |source: Source| {
            let (actor, team) = (self.actor.clone(), self.team.clone());
            let key = Key { actor, team, reports, grant, source, columns: wanted.names(source) };
            let made = || Arc::new(tables.rows(source, wanted, &sight));
            if !is_lasting {
                return made();
            }
            let found = kept().of(&key, tables, now);
            let (rows, at) = match found {
                Some(Found::Whole(rows)) => return rows,
                Some(Found::But(mut rows, stale, at)) => {
                    let of_people = || stale.people.iter().map(|person| Some(tables.standing(*person))).collect();
                    let only = if source == Source::People { of_people() } else { stale.cases };
                    let fresh = tables.rows(source, wanted, &Sight { only: Some(&only), ..sight });
                    if Arc::make_mut(&mut rows).renew(&only, fresh) { (rows, at) } else { (made(), now) }
                }
                None => (made(), now),
            };
            kept().keep(key, tables, at, &rows);
            rows
        };
        AllColumns::from_rows(wanted.sources().into_iter().map(|source| (source, rows(source))))
    }

    /// Indicators of a period, over what this account counts.
    pub(super) fn whole(&self, all: &[&Indicator], period: Period, grant: Option<RecordId>) -> Vec<FigureView> {
        let wanted = Wanted::by(all.iter().copied());
        let reports = self.has_role(StaffRole::Reporting);
        let columns = self.counted_columns(&self.office.index.read(), &wanted, (reports, grant));
        let view = |one: &&Indicator| {
            let figure = statistics::whole(one, columns.of(one.source.0), period);
            FigureView::of(&figure, Some(one))
        };
        all.iter().map(view).collect()
    }

    pub(super) fn known_indicators(&self) -> Known {
        let pack = {
            let tables = self.office.index.read();
            tables.settings.as_ref().map(|settings| settings.pack.clone()).unwrap_or_default()
        };
        let sets = indicators::shipped(&pack);
        let (own, problem) = match indicators::own(&self.office.around.folder) {
            Ok(own) => (own, None),
            Err(problem) => (None, Some(problem)),
        };
        let ours = || sets.iter().flat_map(|set| &set.indicators).chain(&indicators::national().indicators);
        let is_taken = |one: &&Indicator| ours().any(|ours| ours.id == one.id && !ours.asks_the_same(one));
        match own.as_ref().and_then(|own| own.indicators.iter().find(is_taken)) {
            None => Known { sets, own, problem },
            Some(one) => {
                let problem = format!(
                    "{}: {} is the id of one that comes with the program; choose another",
                    indicators::OWN_FILE,
                    one.id
                );
                Known { sets, own: None, problem: Some(problem) }
            }
        }
    }

    fn hidden_figures(&self) -> Vec<String> {
        let tables = self.office.index.read();
        tables.settings.as_ref().map(|settings| settings.hidden_figures.clone()).unwrap_or_default()
    }

    /// The national numbers, and whom the cases are about, as far as this account counts them.
    ///
    /// # Errors
    /// When the account may not see figures.
    pub fn figures(&self, period: Period) -> Result<FiguresView, DeskError> {
        self.allow(Ask::SeeFigures)?;
        let hidden = self.hidden_figures();
        let tables = self.office.index.read();
        let counts = |case: &CaseRow| self.counts(&tables, case);
        let facts = facts_of(&tables, period, counts);
        let persons = persons_of(&tables, period, counts);
        drop(tables);
        let shown: Vec<&Indicator> =
            indicators::national().indicators.iter().filter(|one| !hidden.contains(&one.id)).collect();
        let figures = self.whole(&shown, period, None);
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
        grant: Option<RecordId>,
    ) -> Result<(FigureView, Vec<CaseSummary>, usize), DeskError> {
        self.allow(Ask::SeeFigures)?;
        let known = self.known_indicators();
        let one = known.named(figure)?;
        let source = one.source.0;
        if !source.leads_to_cases() {
            return Err(DeskError::NotFound);
        }
        self.office.vault.note(Some(self.actor.staff), "figures", None);
        let tables = self.office.index.read();
        let wanted = Wanted::by(std::iter::once(one));
        let reports = self.has_role(StaffRole::Reporting);
        let counted = self.counted_columns(&tables, &wanted, (reports, grant));
        let figure = statistics::whole(one, counted.of(source), period);
        let classes = match cell {
            None => None,
            Some(at) => Some(figure.cells.as_slice().get(at).ok_or(DeskError::NotFound)?.classes.as_slice()),
        };
        // Who reports counts cases that they do not see: behind a number stand those that are seen.
        let all = if reports { self.counted_columns(&tables, &wanted, (false, grant)) } else { counted };
        let behind = rows_behind(one, all.of(source), period, classes);
        let cases: BTreeSet<RecordId> = behind.iter().filter_map(|row| all.case_of(source, *row)).collect();
        let cases = cases.iter().filter_map(|case| tables.cases.get(case)).map(Box::as_ref);
        let mut found: Vec<&CaseRow> = cases.filter(|case| self.sees(&tables, case)).collect();
        found.sort_unstable_by_key(|case| std::cmp::Reverse((case.opened, case.id)));
        let shown = found.iter().take(BEHIND_MAX).map(|case| self.summary(&tables, case)).collect();
        Ok((FigureView::of(&figure, Some(one)), shown, found.len()))
    }

    /// The indicators of a period, over what this account counts.
    ///
    /// # Errors
    /// When the account may not see figures.
    pub fn report(&self, period: Period, scope: Scope) -> Result<ReportView, DeskError> {
        self.allow(Ask::SeeFigures)?;
        let known = self.known_indicators();
        let hidden = self.hidden_figures();
        let is_asked = |one: &&Indicator| match scope.topic {
            _ if scope.whole => true,
            Some(topic) => one.topic == topic,
            None => one.on && !hidden.contains(&one.id),
        };
        let all = known.all();
        let topics: BTreeSet<Topic> = all.iter().map(|one| one.topic).collect();
        let asked: Vec<&Indicator> = all.into_iter().filter(is_asked).collect();
        let figures = self.whole(&asked, period, scope.grant);
        self.office.vault.note(Some(self.actor.staff), "figures", None);
        let sets = known.sets().map(|set| (set.id.clone(), set.version)).collect();
        Ok(ReportView {
            period,
            topic: scope.topic,
            topics: topics.into_iter().collect(),
            sets,
            figures,
            problem: known.problem,
        })
    }

    /// An indicator over time: in each step of a period, its largest classes as lines, and what is missing.
    ///
    /// # Errors
    /// When the account may not see figures, or there is no such indicator.
    pub fn trend(&self, figure: &str, period: Period, grant: Option<RecordId>) -> Result<TrendView, DeskError> {
        self.allow(Ask::SeeFigures)?;
        let known = self.known_indicators();
        let one = known.named(figure).ok().filter(|one| one.has_past()).ok_or(DeskError::NotFound)?;
        let steps = statistics::steps(period, STEPS_MAX);
        let wanted = Wanted::by(std::iter::once(one));
        let reports = self.has_role(StaffRole::Reporting);
        let all = self.counted_columns(&self.office.index.read(), &wanted, (reports, grant));
        self.office.vault.note(Some(self.actor.staff), "figures", None);
        let columns = all.of(one.source.0);
        let step = |period: Period| {
            let figure = statistics::whole(one, columns, period);
            Step { period, view: FigureView::of(&figure, Some(one)), figure }
        };
        let steps: Vec<Step> = steps.into_iter().map(step).collect();
        Ok(TrendView::of(one, &steps))
    }
}
