//! Nobody waits in the dark: who is late in a referral becomes a task, of one more person at each rung.

use super::access::is_barred_from;
use super::tasks::{NewTask, add_task};
use super::{Desk, DeskError, Office, WaitView};
use crate::index::Tables;
use crate::records::{Case, Referral, Reminder, Staff, StaffRole, Task, TaskKind, TaskState, TaskTitle};
use crate::vault::{Record, Tx};
use casemesh_protocol::id::{RecordId, StaffId};
use casemesh_protocol::referral::Side;
use casemesh_protocol::time::Timestamp;
use casemesh_protocol::timers::{Awaited, Rules, Rung, Standing, Wait};
use std::sync::Arc;

impl Office {
    /// How long answers may take: as the network says, and stricter where this office wants.
    pub fn rules(&self) -> Rules {
        self.rules_in(&self.index.read())
    }

    pub(super) fn rules_in(&self, tables: &Tables) -> Rules {
        let network = self.around.directory().map_or(Rules::DEFAULT, |directory| directory.rules());
        match tables.settings.as_ref().and_then(|settings| settings.timers) {
            Some(own) => network.tightened(&own),
            None => network,
        }
    }

    /// Makes a task of every referral in which somebody is late, gives it to one more person at each rung, and settles it when
    /// the wait is over.
    pub(super) fn remind(&self) {
        let (now, rules) = (self.around.clock.now(), self.rules());
        let changed: Vec<RecordId> = {
            let tables = self.index.read();
            let is_changed = |referral: &&Arc<Referral>| {
                let wanted =
                    wanted(referral, &tables.stands(referral), &rules, now).map(|(wait, rung)| (wait.what, rung));
                wanted != referral.reminder.map(|reminder| (reminder.what, reminder.rung))
            };
            tables.referrals.values().filter(is_changed).map(|referral| referral.id).collect()
        };
        for id in changed {
            let index = Arc::clone(&self.index);
            let reminded = self.vault.write(None, "remind", move |tx| {
                let mut sealed = tx.get::<Referral>(Referral::TOP, id)?.ok_or(DeskError::NotFound)?;
                let referral = &mut sealed.record;
                let staff: Vec<Staff> = index.read().staff.values().cloned().collect();
                let wanted = wanted(referral, &referral.standing(), &rules, now);
                referral.reminder = remind_in(tx, referral, wanted, &staff)?;
                tx.about(id);
                Ok::<_, DeskError>(tx.update(&sealed.record, sealed.revision)?)
            });
            if let Err(error) = reminded {
                tracing::warn!(%error, "a late referral could not be made a task");
            }
        }
    }
}

/// Whether somebody here has to know of a wait, and at which rung.
fn wanted(referral: &Referral, standing: &Standing, rules: &Rules, now: Timestamp) -> Option<(Wait, Rung)> {
    if referral.erased.is_some() || (referral.outgoing && referral.case.is_none()) {
        return None;
    }
    let wait = standing.wait(rules)?;
    let rung = wait.tells(referral.side(), now);
    (rung > Rung::InTime).then_some((wait, rung))
}

/// What a reminder asks somebody to do: their own part, or to ring the other office.
fn title(wait: &Wait, side: Side) -> TaskTitle {
    let key = match (wait.what, wait.turn == side) {
        (Awaited::Decision, _) if side == Side::Sender => "find_another".to_owned(),
        (what, true) => format!("referral_{what}"),
        (_, false) => "referral_ring".to_owned(),
    };
    TaskTitle::Form(key)
}

/// Brings the reminder of a referral to what is wanted now, inside a command.
fn remind_in(
    tx: &mut Tx<'_>,
    referral: &Referral,
    wanted: Option<(Wait, Rung)>,
    staff: &[Staff],
) -> Result<Option<Reminder>, DeskError> {
    let parent = referral.case.unwrap_or(Task::TOP);
    let case = referral.case.map(|id| tx.get::<Case>(Case::TOP, id)).transpose()?.flatten().map(|sealed| sealed.record);
    let mut open = match referral.reminder {
        Some(reminder) => tx.get::<Task>(parent, reminder.task)?.filter(|task| task.record.state == TaskState::Open),
        None => None,
    };
    let goes_on = referral.reminder.is_some_and(|reminder| wanted.is_some_and(|(wait, _)| wait.what == reminder.what));
    if let Some(sealed) = open.as_mut().filter(|_| !goes_on) {
        sealed.record.state = TaskState::Cancelled;
        tx.update(&sealed.record, sealed.revision)?;
    }
    let Some((wait, rung)) = wanted else { return Ok(None) };
    let what = wait.what;
    if case.as_ref().is_some_and(|case| !case.state.is_open()) {
        // A case that is closed is nobody's work; the wait shows on the referral.
        return Ok(Some(Reminder { what, rung, task: RecordId::new([0; 16]) }));
    }
    let owner = responsible(tx, case.as_ref(), rung, staff)?;
    if let Some(mut sealed) = open.filter(|_| goes_on) {
        sealed.record.owner = owner.or(sealed.record.owner);
        tx.update(&sealed.record, sealed.revision)?;
        return Ok(Some(Reminder { what, rung, task: sealed.record.id }));
    }
    let due = super::zone(tx)?.day(wait.due);
    let new = NewTask { kind: TaskKind::FollowUp, title: title(&wait, referral.side()), due };
    let subjects = case.as_ref().map(|case| super::cases::keys(&case.clients)).unwrap_or_default();
    let task = add_task(tx, referral.case, &subjects, new, owner, Some(referral.id))?;
    Ok(Some(Reminder { what, rung, task }))
}

/// Whose task it is: who works on the case, then the desk that takes referrals, then who leads. Nobody is given what they may
/// not see.
fn responsible(tx: &Tx<'_>, case: Option<&Case>, rung: Rung, staff: &[Staff]) -> Result<Option<StaffId>, DeskError> {
    let now = tx.now();
    let with = |role: StaffRole| {
        staff.iter().find(|member| member.is_in_use(now) && member.roles.contains(&role)).map(|member| member.id)
    };
    let worker = case.and_then(|case| case.owner);
    Ok(match (rung, case) {
        (Rung::Supervisor, None) => with(StaffRole::Supervisor).or_else(|| with(StaffRole::IntakeDesk)),
        (_, None) => with(StaffRole::IntakeDesk),
        (Rung::Supervisor, Some(case)) if !case.sealed => {
            let records: Vec<RecordId> = case.clients.iter().map(|client| client.id).collect();
            // Who leads one team does not see the cases of another.
            let teams: Vec<&str> = staff
                .iter()
                .filter(|member| Some(member.id) == worker || case.assigned.contains(&member.id))
                .map(|member| member.team.as_str())
                .collect();
            let leads = |member: &&Staff| {
                let sees = member.team.is_empty() || teams.contains(&member.team.as_str());
                member.is_in_use(now) && member.roles.contains(&StaffRole::Supervisor) && sees
            };
            let lead = staff.iter().find(leads).map(|member| member.id);
            match lead {
                Some(lead) if !is_barred_from(tx, &records, lead)? => Some(lead),
                _ => worker,
            }
        }
        _ => worker,
    })
}

/// What waits for somebody, as numbers: what a page that is left open shows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Pulse {
    /// Referrals in which it is our turn.
    pub referrals: usize,
    /// Own tasks that are late or due today.
    pub tasks: usize,
}

impl Desk {
    /// What waits for this account now.
    pub fn pulse(&self) -> Pulse {
        let (today, rules, me) = (self.today(), self.office.rules(), Some(self.actor.staff));
        let tables = self.office.index.read();
        let is_ours = |referral: &&Arc<Referral>| {
            let wait = tables.stands(referral).wait(&rules).filter(|_| referral.erased.is_none());
            wait.is_some_and(|wait| wait.turn == referral.side() && wait.what != Awaited::Delivery)
                && self.sees_referral(&tables, referral)
        };
        let referrals = if self.answers_referrals() { tables.referrals.values().filter(is_ours).count() } else { 0 };
        let due = tables.due.iter().take_while(|(due, _)| *due <= today).filter_map(|(_, id)| tables.tasks.get(id));
        let tasks = due.filter(|task| task.owner == me && self.sees_task(&tables, task)).count();
        Pulse { referrals, tasks }
    }

    /// Who waits for whom in a referral, and until when.
    pub(super) fn wait_view(&self, tables: &Tables, referral: &Referral, standing: &Standing) -> Option<WaitView> {
        let wait = standing.wait(&self.office.rules_in(tables)).filter(|_| referral.erased.is_none())?;
        Some(WaitView {
            what: wait.what,
            ours: wait.turn == referral.side(),
            due: wait.due,
            late: wait.rung(self.now()) > Rung::InTime,
        })
    }
}
