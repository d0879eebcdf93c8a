//! What a collector tells the one above it: the sum of the tables that it holds, after somebody saw it.

use super::collected::Held;
use super::figures::FigureView;
use super::outward::Outward;
use super::tables::{keep, seen, table_of, views};
use super::{Desk, DeskError, FieldProblem, Office};
use crate::indicators::Agreed;
use crate::policy::Ask;
use crate::records::Release;
use crate::vault::{Record, Tx};
use casemesh_protocol::bounded::List;
use casemesh_protocol::directory::Role;
use casemesh_protocol::id::{OfficeId, RecordId};
use casemesh_protocol::levels::{Levels, is_to_send};
use casemesh_protocol::outgoing::Control;
use casemesh_protocol::statistics::{Figure, Origin, Way};
use casemesh_protocol::time::{Day, Period, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::sync::Arc;
use utoipa::ToSchema;

/// Where a collector's total goes, and what went.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct UpwardView {
    /// The collector above.
    pub to: String,
    /// What went last: which release, and when it was made.
    #[schema(value_type = Option<Object>)]
    pub last: Option<(u32, Timestamp)>,
    /// Whether what went last is what stands here.
    pub is_told: bool,
    /// Whether the period is over, so that it may go.
    pub is_over: bool,
    /// Offices that told this collector and tell another one now: what goes up is without them.
    pub left_out: Vec<String>,
    /// What goes up, where that is not the total as it stands: without those offices.
    pub figures: Vec<FigureView>,
    /// What names exactly this sum: who sends it says what they saw.
    pub seen: String,
}

/// The sum of what a collector holds for a period.
struct Sum {
    figures: Vec<Figure>,
    origin: Origin,
}

impl Sum {
    /// Whether what went said the same, to the same collector.
    fn is(&self, went: &Release, to: OfficeId) -> bool {
        let table = &went.table;
        let is_same = table.figures.as_slice() == self.figures.as_slice();
        is_same && table.origin.as_ref() == Some(&self.origin) && went.to == to
    }
}

/// The sum of a period that went last.
fn last_of<R: AsRef<Release>>(releases: impl Iterator<Item = R>, agreement: &str, period: Period) -> Option<R> {
    let is_it = |release: &R| {
        let table = &release.as_ref().table;
        table.is_sum() && table.agreement.as_str() == agreement && table.period == period
    };
    releases.filter(is_it).max_by_key(|release| release.as_ref().table.release)
}

impl Office {
    pub(super) fn has_role(&self, role: Role) -> bool {
        let directory = self.around.directory();
        let own = directory.as_deref().and_then(|directory| directory.member(&self.keys.office));
        own.is_some_and(|member| member.has_role(role))
    }

    /// The offices below this collector that keep records, over all levels.
    pub(super) fn offices_below(&self) -> Vec<OfficeId> {
        let Some(directory) = self.around.directory() else { return Vec::new() };
        let below = Levels::of(directory.members()).below(&self.keys.office);
        let is_office = |office: &OfficeId| directory.member(office).is_some_and(|one| one.has_role(Role::Office));
        below.into_iter().filter(is_office).collect()
    }

    /// What this collector holds for a period of an agreement, added up; none where nobody told.
    fn sum_of_tables(&self, agreed: &Agreed, period: Period) -> Option<Sum> {
        let directory = self.around.directory()?;
        let below = Levels::of(directory.members()).below(&self.keys.office);
        let asked = self.offices_below().len();
        let tables = self.index.read();
        // Who tells somebody else now is told of there.
        let held = Held::of(&tables, agreed.agreement.id.as_str(), period, |office| below.contains(office));
        if held.counted.is_empty() || held.version != Some(agreed.agreement.version) {
            return None;
        }
        let told = held.offices();
        let list = |offices: BTreeSet<OfficeId>| List::new(offices.into_iter().collect()).ok();
        let origin = Origin::Sum {
            handed_in: list(held.handed_in())?,
            offices: list(told)?,
            asked: u32::try_from(asked).unwrap_or(u32::MAX),
        };
        Some(Sum { figures: held.total(Some(&agreed.agreement)), origin })
    }

    /// What went up last for a period.
    fn last_sum(&self, agreement: &str, period: Period) -> Option<Arc<Release>> {
        last_of(self.index.read().releases.values(), agreement, period).cloned()
    }

    /// Sends the sums of agreements that go by themselves: once for each period, when all told or it was due.
    pub(super) fn send_sums<'a>(&self, by_itself: impl Iterator<Item = &'a Agreed>) {
        if !self.has_role(Role::Collector) {
            return;
        }
        let Some((to, _)) = self.collector() else { return };
        let today = self.index.read().zone.day(self.around.clock.now());
        for agreed in by_itself.filter(|agreed| agreed.agreement.terms.way == Way::Plain) {
            let (terms, id) = (&agreed.agreement.terms, agreed.agreement.id.as_str());
            for period in terms.ended(today).into_iter().filter(|period| self.last_sum(id, *period).is_none()) {
                let Some(sum) = self.sum_of_tables(agreed, period) else { continue };
                let Origin::Sum { offices, asked, .. } = &sum.origin else { continue };
                let told = (offices.as_slice().len(), *asked as usize);
                if !is_to_send(told, terms.due(period), today) {
                    continue;
                }
                let (ours, agreed) = (self.keys.office, agreed.clone());
                let sent = self
                    .vault
                    .write(None, "send_sum", move |tx| send(tx, &agreed, (period, today), (ours, to), sum, None));
                if let Err(error) = sent {
                    tracing::warn!(%error, %period, "a sum that goes by itself stays here");
                }
            }
        }
    }
}

/// Sends a sum, inside a command, as the next release of its period.
fn send(
    tx: &mut Tx<'_>,
    agreed: &Agreed,
    (period, today): (Period, Day),
    (ours, to): (OfficeId, OfficeId),
    sum: Sum,
    approved: Option<String>,
) -> Result<RecordId, DeskError> {
    let refused = |problem: &str| DeskError::Invalid(vec![FieldProblem::new("from", problem)]);
    if period.to >= today {
        return Err(refused("period-open"));
    }
    if approved.is_some_and(|approved| approved != seen(&agreed.text, Some(&to), (&sum.figures, Some(&sum.origin)))) {
        return Err(refused("table-changed"));
    }
    let releases = tx.list::<Release>(Release::TOP)?.into_iter().map(|row| Arc::new(row.record));
    let last = last_of(releases, agreed.agreement.id.as_str(), period);
    if last.as_ref().is_some_and(|last| sum.is(last, to)) {
        return Err(refused("table-unchanged"));
    }
    let Sum { figures, origin } = sum;
    let release = last.map_or(1, |last| last.table.release + 1);
    let table = table_of(agreed, (ours, period, release), tx.now(), (figures, Some(origin)))?;
    let outbox = Outward::control(Control::table(to, table.clone())).queue_row(tx)?;
    keep(tx, agreed, (to, table), (outbox, None))
}

impl Desk {
    /// Where this collector's total of a period goes; none where it is the top, nobody told, or the agreement is none that holds.
    pub(super) fn upward(&self, agreement: &str, period: Period) -> Option<UpwardView> {
        let (to, name) = self.office.collector().filter(|_| self.is_collector() && self.may(Ask::ApproveTable))?;
        let agreed = self.agreed(agreement).ok()?;
        let sum = self.office.sum_of_tables(&agreed, period)?;
        let last = self.office.last_sum(agreement, period);
        let Origin::Sum { offices, .. } = &sum.origin else { return None };
        let told = Held::of(&self.office.index.read(), agreement, period, |_| true).offices();
        let left_out = told.into_iter().filter(|office| offices.as_slice().binary_search(office).is_err());
        let left_out: Vec<String> = left_out.filter_map(|office| self.member_name(office)).collect();
        let figures = if left_out.is_empty() { Vec::new() } else { views(&sum.figures, Some(&agreed.agreement)) };
        Some(UpwardView {
            left_out,
            figures,
            to: name,
            is_told: last.as_ref().is_some_and(|last| sum.is(last, to)),
            last: last.map(|last| (last.table.release, last.table.made)),
            is_over: period.to < self.today(),
            seen: seen(&agreed.text, Some(&to), (&sum.figures, Some(&sum.origin))),
        })
    }

    /// Sends this collector's total of a period to the one above, exactly as it was seen.
    ///
    /// # Errors
    /// When the account may not, nobody is above, nothing was told, or it changed since it was seen.
    pub fn send_sum(&self, agreement: &str, period: Period, seen: String) -> Result<RecordId, DeskError> {
        self.allow(Ask::SeeCollected)?;
        self.allow(Ask::ApproveTable)?;
        let agreed = self.agreed(agreement)?;
        let above = self.office.collector().filter(|_| self.is_collector());
        let (to, _) = above.ok_or_else(|| DeskError::Partner("no collector stands above this one".into()))?;
        let sum = self.office.sum_of_tables(&agreed, period).ok_or(DeskError::NotFound)?;
        let (ours, today) = (self.office.keys.office, self.today());
        let id = self.write("send_sum", move |tx| send(tx, &agreed, (period, today), (ours, to), sum, Some(seen)))?;
        self.office.release_outbox();
        Ok(id)
    }
}
