//! The start page: what is due, and what came.

use super::{Desk, DeskError, DueItem, HomeView};
use crate::index::CaseRow;
use casemesh_protocol::referral::State;

/// Days ahead that count as due.
const SOON_DAYS: i32 = 7;
/// Rows of each part of the page.
const ROWS_MAX: usize = 25;
/// Cases of mine on the page.
const CASES_MAX: usize = 10;

impl Desk {
    /// Due work, the most pressing first.
    ///
    /// # Errors
    /// Never; what an account may not see is not there.
    pub fn home(&self) -> Result<HomeView, DeskError> {
        let today = self.now().day();
        let me = Some(self.actor.staff);
        let tables = self.office.index.read();
        let mut visible: Vec<&CaseRow> =
            tables.cases.values().filter(|case| self.sees(case) && case.state.is_open()).collect();
        visible.sort_by_key(|case| std::cmp::Reverse((case.last_activity, case.id)));
        let mut due: Vec<DueItem> = visible
            .iter()
            .filter_map(|case| {
                let (text, due) = case.next_action.as_ref().filter(|(_, due)| *due <= today.plus_days(SOON_DAYS))?;
                let summary = self.summary(&tables, case);
                Some(DueItem {
                    text: text.clone(),
                    due: *due,
                    overdue: *due < today,
                    case: case.id,
                    about: format!("{} {}", summary.number, summary.client),
                })
            })
            .collect();
        due.sort_by(|a, b| (a.due, &a.about).cmp(&(b.due, &b.about)));
        due.truncate(ROWS_MAX);
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
        let outgoing = listed(true).filter(|r| r.case.is_some() && (r.overdue || needs_us(r.state)));
        Ok(HomeView {
            due,
            incoming: incoming.take(ROWS_MAX).collect(),
            outgoing: outgoing.take(ROWS_MAX).collect(),
            cases: visible
                .iter()
                .filter(|case| case.owner == me)
                .take(CASES_MAX)
                .map(|case| self.summary(&tables, case))
                .collect(),
            problems: self.office.around.relay.status().problems.into_values().collect(),
        })
    }
}
