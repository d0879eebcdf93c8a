//! The start page: what is due, and what came.

use super::cases::latest;
use super::{Desk, DeskError, HomeView, LoadView, TaskView};
use crate::index::{CaseRow, Tables, TaskRow};
use crate::policy::Ask;
use crate::records::TaskKind;
use casemesh_protocol::id::RecordId;
use casemesh_protocol::referral::State;
use casemesh_protocol::time::Day;

/// Days ahead that count as due.
const SOON_DAYS: i32 = 7;
/// A colleague's task that is overdue for more than so many days comes to who leads; a deadline or a hearing at once.
const ESCALATED_DAYS: i32 = 3;
/// Rows of each part of the page.
const ROWS_MAX: usize = 25;
/// Cases of mine on the page.
const CASES_MAX: usize = 10;

impl Desk {
    fn late_tasks(&self, tables: &Tables, today: Day, is_late: impl Fn(&&TaskRow) -> bool) -> Vec<TaskView> {
        let overdue = tables.due.iter().take_while(|(day, _)| *day < today).filter_map(|(_, id)| tables.tasks.get(id));
        let late = overdue.filter(is_late).filter(|task| self.sees_task(tables, task));
        late.take(ROWS_MAX).map(|task| self.task_view(tables, task)).collect()
    }

    /// Due work, the most pressing first.
    ///
    /// # Errors
    /// Never; what an account may not see is not there.
    pub fn home(&self) -> Result<HomeView, DeskError> {
        let today = self.today();
        let me = Some(self.actor.staff);
        let confirm_offers = self.should_confirm_offers();
        let knocking =
            self.invitations().into_iter().filter_map(|open| open.newcomer).filter(|newcomer| !newcomer.member);
        let knocking = knocking.map(|newcomer| newcomer.name).collect();
        let tables = self.office.index.read();
        let visible: Vec<&CaseRow> = tables.latest_cases(false).filter(|case| self.sees(&tables, case)).collect();
        let horizon = today.plus_days(SOON_DAYS);
        let due: Vec<TaskView> = tables
            .due
            .iter()
            .take_while(|(day, _)| *day <= horizon)
            .filter_map(|(_, id)| tables.tasks.get(id))
            .filter(|task| (task.owner == me || task.owner.is_none()) && self.sees_task(&tables, task))
            .take(ROWS_MAX)
            .map(|task| self.task_view(&tables, task))
            .collect();
        let glasses = if self.may(Ask::Register) {
            self.glasses_in(&tables).into_iter().filter(|glass| glass.reviewed_by.is_none() && !glass.mine).collect()
        } else {
            Vec::new()
        };
        let leads = self.may(Ask::HandOver);
        let now = self.now();
        let mut team: Vec<LoadView> = Vec::new();
        if leads {
            for (staff, name) in self.colleagues_in(&tables) {
                let theirs = || visible.iter().filter(|case| case.owner == Some(staff));
                let late =
                    tables.due.range(..(today, RecordId::new([0; 16]))).filter_map(|(_, id)| tables.tasks.get(id));
                team.push(LoadView {
                    staff,
                    name,
                    cases: theirs().count(),
                    stale: theirs().filter(|case| case.is_stale(now)).count(),
                    overdue: late.filter(|task| task.owner == Some(staff) && self.sees_task(&tables, task)).count(),
                });
            }
        }
        let answers = self.answers_referrals();
        let shown = &*tables;
        let listed = |outgoing: bool| {
            shown
                .referrals
                .values()
                .rev()
                .filter(move |referral| referral.outgoing == outgoing && answers && self.sees_referral(shown, referral))
                .map(|referral| self.referral_summary(shown, referral))
        };
        let incoming =
            listed(false).filter(|r| r.state.is_before_acceptance() || (r.state.is_at_work() && r.case.is_none()));
        let needs_us = |state: State| {
            matches!(
                state,
                State::InfoRequested
                    | State::Declined
                    | State::Rerouted
                    | State::Completed
                    | State::Failed
                    | State::Expired
            )
        };
        let outgoing = listed(true).filter(|r| r.case.is_some() && (r.is_late() || needs_us(r.state)));
        let since =
            tables.staff.get(&self.actor.staff).and_then(|member| member.signed_in).and_then(|(_, before)| before);
        let is_news = |case: &&&CaseRow| {
            let is_mine = case.owner == me || me.is_some_and(|me| case.assigned.contains(&me));
            is_mine
                && tables.last_by.get(&case.id).copied() != me
                && since.is_some_and(|since| case.last_activity > since)
        };
        let is_late = |task: &&TaskRow| {
            let days = if matches!(task.kind, TaskKind::Deadline | TaskKind::Hearing) { 0 } else { ESCALATED_DAYS };
            task.owner.is_some() && task.owner != me && task.due.days_to(today) > days
        };
        let escalated = if leads { self.late_tasks(&tables, today, is_late) } else { Vec::new() };
        let week_ago = today.plus_days(-SOON_DAYS);
        let late_entries = tables.entries.late(&tables.zone).filter(|(late, written)| {
            leads && *written >= week_ago && tables.cases.get(&late.about).is_some_and(|case| self.sees(&tables, case))
        });
        let late_entries = late_entries.count();
        Ok(HomeView {
            today,
            since,
            changed: visible.iter().filter(is_news).take(ROWS_MAX).map(|case| self.summary(&tables, case)).collect(),
            escalated,
            late_entries,
            proposals: self.proposals_waiting(&tables),
            samples: if self.may(Ask::ApproveTable) { tables.samples_waiting() } else { 0 },
            due,
            team,
            unassigned: if leads { visible.iter().filter(|case| case.owner.is_none()).count() } else { 0 },
            stale: visible.iter().filter(|case| leads || case.owner == me).filter(|case| case.is_stale(now)).count(),
            incoming: incoming.take(ROWS_MAX).collect(),
            outgoing: outgoing.take(ROWS_MAX).collect(),
            cases: latest(visible.into_iter().filter(|case| case.owner == me).collect(), 0, CASES_MAX)
                .into_iter()
                .map(|case| self.summary(&tables, case))
                .collect(),
            requests: self.requests_in(&tables).into_iter().filter(|request| request.may_decide).collect(),
            glasses,
            key_problem: self.office.key_problem().map(str::to_owned),
            confirm_offers,
            knocking,
            problems: self.office.around.relay.status().problems.into_values().collect(),
        })
    }
}
