//! The review of a period, and the meeting about cases: what came in, what rests, what is missing, and who is asked.

use super::{CodeView, Desk, DeskError, ReviewCase, ReviewRow, ReviewView};
use crate::index::{CaseRow, Tables};
use crate::policy::Ask;
use crate::records::TaskKind;
use casemesh_protocol::id::StaffId;
use casemesh_protocol::time::{Day, Period};
use std::collections::BTreeMap;

/// Cases to talk about on one page.
const TALK_MAX: usize = 50;

/// Why a case is talked about, the words of the catalogues (`review-why-WORD`).
fn reasons(tables: &Tables, case: &CaseRow, today: Day, is_stale: bool) -> Vec<&'static str> {
    let mut why = Vec::new();
    let mut tasks = tables.open_tasks_of(case.id).peekable();
    if tasks.peek().is_none() {
        why.push("no_task");
    }
    let (mut overdue, mut flag) = (false, false);
    for task in tasks {
        overdue |= task.due < today;
        flag |= task.kind == TaskKind::Flag;
    }
    let more = [
        (flag, "flag"),
        (overdue, "overdue"),
        (is_stale, "stale"),
        (case.owner.is_none(), "unassigned"),
        (case.case_type.is_none(), "no_type"),
    ];
    why.extend(more.into_iter().filter(|(holds, _)| *holds).map(|(_, why)| why));
    why
}

impl Desk {
    /// Whether this account may see reviews.
    ///
    /// # Errors
    /// When it does not lead others.
    pub fn review_allowed(&self) -> Result<(), DeskError> {
        Ok(self.allow(Ask::HandOver)?)
    }

    /// The review of a period, over the cases that this account sees: figures, each colleague's, and the cases to talk
    /// about, those with most reasons first.
    ///
    /// # Errors
    /// When the account does not lead others.
    pub fn review(&self, period: Period) -> Result<ReviewView, DeskError> {
        self.allow(Ask::HandOver)?;
        self.note_act("review");
        let (now, today) = (self.now(), self.today());
        let within = |day: Day| period.from <= day && day <= period.to;
        let tables = self.office.index.read();
        let mut rows: BTreeMap<Option<StaffId>, ReviewRow> = BTreeMap::new();
        for (staff, name) in self.colleagues_in(&tables) {
            rows.insert(Some(staff), ReviewRow { name, ..ReviewRow::default() });
        }
        let mut types: BTreeMap<Option<CodeView>, usize> = BTreeMap::new();
        let mut talk: Vec<(Vec<&'static str>, &CaseRow)> = Vec::new();
        for case in tables.cases.values().filter(|case| self.sees(&tables, case)) {
            let row = rows
                .entry(case.owner)
                .or_insert_with(|| ReviewRow { name: self.staff_name(&tables, case.owner), ..ReviewRow::default() });
            row.opened += usize::from(within(case.opened));
            row.closed += usize::from(case.closed.is_some_and(within));
            if within(case.opened) {
                *types.entry(case.case_type.as_deref().map(CodeView::from)).or_default() += 1;
            }
            if !case.state.is_open() {
                continue;
            }
            let why = reasons(&tables, case, today, case.is_stale(now));
            row.open += 1;
            row.stale += usize::from(why.contains(&"stale"));
            row.overdue += usize::from(why.contains(&"overdue"));
            row.no_type += usize::from(why.contains(&"no_type"));
            row.no_task += usize::from(why.contains(&"no_task"));
            if !why.is_empty() {
                talk.push((why, case));
            }
        }
        for (late, _) in tables.entries.late(&tables.zone).filter(|(_, written)| within(*written)) {
            let is_seen = tables.cases.get(&late.about).is_some_and(|case| self.sees(&tables, case));
            if let Some(row) = rows.get_mut(&late.by).filter(|_| is_seen) {
                row.late += 1;
            }
        }
        talk.sort_by_key(|(why, case)| (std::cmp::Reverse(why.len()), case.last_activity, case.id));
        let more = talk.len().saturating_sub(TALK_MAX);
        let talk = talk.into_iter().take(TALK_MAX).map(|(why, case)| ReviewCase {
            summary: self.summary(&tables, case),
            why: why.into_iter().map(str::to_owned).collect(),
        });
        let mut by_type: Vec<(Option<CodeView>, usize)> = types.into_iter().collect();
        by_type.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        Ok(ReviewView { period, by_type, rows: rows.into_values().collect(), talk: talk.collect(), more })
    }

    /// How full the places are that the office has. A count is of all stays, whoever may see them: a bed is free or not.
    ///
    /// # Errors
    /// When the account may not see figures.
    pub fn places(&self) -> Result<Vec<super::PlaceView>, DeskError> {
        self.allow(Ask::SeeFigures)?;
        let today = self.today();
        let tables = self.office.index.read();
        let occupied = tables.entries.occupied(today, |case, tier| {
            let row = tables.cases.get(&case).filter(|row| self.sees(&tables, row));
            row.is_some_and(|row| self.sees_tier(&tables, row, tier))
        });
        let view = |one: crate::index::Occupied| super::PlaceView {
            free: one.places.map(|places| i64::from(places) - i64::from(one.taken)),
            name: one.name,
            places: one.places,
            taken: one.taken,
        };
        Ok(occupied.into_iter().map(view).collect())
    }
}
