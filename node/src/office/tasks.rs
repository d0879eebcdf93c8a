//! Tasks: what somebody has to do by a day.

use super::access::is_barred_from;
use super::{Desk, DeskError, PAGE_ROWS, TaskView};
use crate::index::{Tables, TaskRow};
use crate::policy::Ask;
use crate::records::{Case, Glass, Settled, Task, TaskKind, TaskState, TaskTitle};
use crate::vault::{Record, Tx};
use casemesh_crypto::shred::KeyHandle;
use casemesh_protocol::id::{RecordId, StaffId};
use casemesh_protocol::time::Day;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A task as entered.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TaskInput {
    /// to_do, deadline, hearing, appointment, follow_up or review; to_do when empty.
    pub kind: String,
    /// What is to be done.
    pub title: String,
    /// Until when.
    pub due: String,
    /// Who has to do it; the case's owner when empty.
    pub owner: String,
}

/// What changes of a task; what is empty stays.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TaskChange {
    /// Until when.
    pub due: String,
    /// Who has to do it.
    pub owner: String,
}

/// Which tasks to list.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct TaskFilter {
    /// Only mine.
    pub mine: bool,
    /// The page, from 0.
    pub page: usize,
}

/// A task that was checked.
pub(super) struct NewTask {
    pub(super) kind: TaskKind,
    pub(super) title: TaskTitle,
    pub(super) due: Day,
}

/// Writes a task inside a command.
pub(super) fn add_task(
    tx: &mut Tx<'_>,
    case: Option<RecordId>,
    subjects: &[KeyHandle],
    new: NewTask,
    owner: Option<StaffId>,
    from: Option<RecordId>,
) -> Result<RecordId, DeskError> {
    let task = Task {
        id: tx.fresh_id(),
        case,
        subjects: subjects.to_vec(),
        kind: new.kind,
        title: new.title,
        due: new.due,
        owner,
        state: TaskState::Open,
        from,
        settled: None,
        by: tx.staff(),
        at: tx.now(),
        resolution: String::new(),
    };
    tx.insert(&task)?;
    Ok(task.id)
}

impl Desk {
    /// A page of open tasks that this account may see, the most pressing first, and how many there are.
    ///
    /// # Errors
    /// When the account has nothing to do with cases.
    pub fn tasks(&self, filter: &TaskFilter) -> Result<(Vec<TaskView>, usize), DeskError> {
        self.allow(Ask::Register)?;
        self.note_act("view_tasks");
        let tables = self.office.index.read();
        let me = Some(self.actor.staff);
        let open = tables.due.iter().filter_map(|(_, id)| tables.tasks.get(id));
        let seen: Vec<&TaskRow> =
            open.filter(|task| (!filter.mine || task.owner == me) && self.sees_task(&tables, task)).collect();
        let total = seen.len();
        let page = seen.into_iter().skip(filter.page.saturating_mul(PAGE_ROWS)).take(PAGE_ROWS);
        Ok((page.map(|task| self.task_view(&tables, task)).collect(), total))
    }

    /// Puts a task down in a case.
    ///
    /// # Errors
    /// When fields are wrong or this account may not write in the case.
    pub fn add_task(&self, case: RecordId, input: &TaskInput) -> Result<RecordId, DeskError> {
        self.may_in_case(case, Ask::NoteInCase)?;
        let (new, owner) = self.read_task(input)?;
        let desk = self.clone();
        self.note_in_case("add_task", case, move |tx, case| {
            if let Some(owner) = owner {
                desk.must_see(tx, case, owner)?;
            }
            let owner = owner.or(case.owner);
            add_task(tx, Some(case.id), &super::cases::keys(&case.clients), new, owner, None)
        })
    }

    /// Puts a task down that belongs to no case: who works here can read it, so it names nobody.
    ///
    /// # Errors
    /// When fields are wrong or the account may not.
    pub fn add_office_task(&self, input: &TaskInput) -> Result<RecordId, DeskError> {
        self.allow(Ask::Register)?;
        let (new, owner) = self.read_task(input)?;
        if new.kind == TaskKind::Flag {
            return Err(DeskError::Invalid(vec![super::FieldProblem::with("kind", "unknown-value", "flag")]));
        }
        let owner = owner.unwrap_or(self.actor.staff);
        self.write("add_task", move |tx| add_task(tx, None, &[], new, Some(owner), None))
    }

    /// Gives a task another day or another owner.
    ///
    /// # Errors
    /// When there is no such open task for this account, or fields are wrong.
    pub fn change_task(&self, id: RecordId, input: &TaskChange) -> Result<(), DeskError> {
        let case = self.seen_task(id)?;
        if let Some(case) = case {
            self.may_in_case(case, Ask::NoteInCase)?;
        }
        let mut problems = self.problems();
        let due = problems.day("due", &input.due);
        let owner = if input.owner.is_empty() { None } else { problems.word::<StaffId>("owner", &input.owner) };
        problems.done()?;
        if let Some(owner) = owner {
            self.case_staff(owner)?;
        }
        let desk = self.clone();
        let change = move |tx: &mut Tx<'_>, case: Option<&Case>| {
            let parent = case.map_or(Task::TOP, |case| case.id);
            let mut sealed = tx.get::<Task>(parent, id)?.ok_or(DeskError::NotFound)?;
            if sealed.record.state != TaskState::Open {
                return Err(crate::vault::VaultError::Conflict.into());
            }
            // Nobody moves away what somebody else has to look at.
            let of_glass = sealed.record.from.map(|from| tx.get::<Glass>(Glass::TOP, from)).transpose()?.flatten();
            if sealed.record.kind == TaskKind::Flag || of_glass.is_some() {
                return Err(DeskError::Invalid(vec![super::FieldProblem::new("due", "review-not-now")]));
            }
            if let (Some(owner), Some(case)) = (owner, case) {
                desk.must_see(tx, case, owner)?;
            }
            sealed.record.due = due.unwrap_or(sealed.record.due);
            sealed.record.owner = owner.or(sealed.record.owner);
            Ok(tx.update(&sealed.record, sealed.revision)?)
        };
        match case {
            Some(case) => self.note_in_case("change_task", case, move |tx, case| change(tx, Some(case))),
            None => {
                self.allow(Ask::Register)?;
                self.write("change_task", move |tx| change(tx, None))
            }
        }
    }

    /// One task.
    ///
    /// # Errors
    /// When there is none that this account may see.
    pub fn task(&self, id: RecordId) -> Result<TaskView, DeskError> {
        let tables = self.office.index.read();
        let task = tables.tasks.get(&id).filter(|task| self.sees_task(&tables, task)).ok_or(DeskError::NotFound)?;
        Ok(self.task_view(&tables, task))
    }

    /// The case of a task that this account may see; another one does not exist.
    fn seen_task(&self, id: RecordId) -> Result<Option<RecordId>, DeskError> {
        let tables = self.office.index.read();
        let task = tables.tasks.get(&id).filter(|task| self.sees_task(&tables, task));
        Ok(task.ok_or(DeskError::NotFound)?.case)
    }

    /// Somebody who may not see the case would never come to see the task.
    fn must_see(&self, tx: &Tx<'_>, case: &Case, staff: StaffId) -> Result<(), DeskError> {
        let works_on_it = case.owner == Some(staff) || case.assigned.contains(&staff);
        if (case.sealed && !works_on_it) || is_barred_from(tx, &self.all_records(&case.clients), staff)? {
            return Err(DeskError::Invalid(vec![super::FieldProblem::new("owner", "owner-does-not-see")]));
        }
        Ok(())
    }

    fn read_task(&self, input: &TaskInput) -> Result<(NewTask, Option<StaffId>), DeskError> {
        let mut problems = self.problems();
        let kind = if input.kind.is_empty() { Some(TaskKind::ToDo) } else { problems.word("kind", &input.kind) };
        let title = problems.required_text("title", &input.title, 400);
        let due = problems.required_day("due", &input.due);
        let owner = if input.owner.is_empty() { None } else { problems.word::<StaffId>("owner", &input.owner) };
        problems.done()?;
        let (Some(kind), Some(due)) = (kind, due) else { return Err(DeskError::NotFound) };
        if let Some(owner) = owner {
            self.case_staff(owner)?;
        }
        Ok((NewTask { kind, title: TaskTitle::Words(title), due }, owner))
    }

    /// Settles a task: done, or not to be done any more.
    ///
    /// # Errors
    /// When there is no such task for this account, or somebody else settled it.
    pub fn settle_task(&self, id: RecordId, state: TaskState) -> Result<(), DeskError> {
        let case = {
            let tables = self.office.index.read();
            tables.tasks.get(&id).ok_or(DeskError::NotFound)?.case
        };
        let settle = move |tx: &mut Tx<'_>| {
            let mut sealed = tx.get::<Task>(case.unwrap_or(Task::TOP), id)?.ok_or(DeskError::NotFound)?;
            if sealed.record.state != TaskState::Open {
                return Err(crate::vault::VaultError::Conflict.into());
            }
            if sealed.record.kind == TaskKind::Flag {
                return Err(DeskError::Invalid(vec![super::FieldProblem::new("resolution", "flag-needs-reason")]));
            }
            // A review of an emergency access is settled by the review alone.
            if sealed.record.from.map(|from| tx.get::<Glass>(Glass::TOP, from)).transpose()?.flatten().is_some() {
                return Err(DeskError::Invalid(vec![super::FieldProblem::new("state", "review-not-now")]));
            }
            sealed.record.state = state;
            sealed.record.settled = Some(Settled { at: tx.now(), by: tx.staff() });
            Ok(tx.update(&sealed.record, sealed.revision)?)
        };
        match case {
            Some(case) => self.note_in_case("settle_task", case, move |tx, _| settle(tx)),
            None => {
                self.allow(Ask::Register)?;
                self.write("settle_task", settle)
            }
        }
    }

    /// Resolves a flag, with a reason.
    ///
    /// # Errors
    /// When there is no such flag for this account, somebody else resolved it, or the reason is missing.
    pub fn resolve_flag(&self, id: RecordId, resolution: &str) -> Result<(), DeskError> {
        let case = {
            let tables = self.office.index.read();
            tables.tasks.get(&id).and_then(|task| task.case).ok_or(DeskError::NotFound)?
        };
        self.may_in_case(case, Ask::WriteCase)?;
        let mut problems = self.problems();
        let resolution = problems.required_text("resolution", resolution, 4_000);
        problems.done()?;
        self.write_in_case("resolve_flag", case, move |tx, case| {
            let mut sealed = tx.get::<Task>(case.id, id)?.ok_or(DeskError::NotFound)?;
            if sealed.record.kind != TaskKind::Flag {
                return Err(DeskError::NotFound);
            }
            if sealed.record.state != TaskState::Open {
                return Err(crate::vault::VaultError::Conflict.into());
            }
            sealed.record.state = TaskState::Done;
            sealed.record.settled = Some(Settled { at: tx.now(), by: tx.staff() });
            sealed.record.resolution = resolution;
            Ok(tx.update(&sealed.record, sealed.revision)?)
        })
    }

    pub(super) fn sees_task(&self, tables: &Tables, task: &TaskRow) -> bool {
        match task.case {
            Some(case) => tables.cases.get(&case).is_some_and(|case| self.sees(tables, case)),
            None => self.may(Ask::Register),
        }
    }

    pub(super) fn task_view(&self, tables: &Tables, task: &TaskRow) -> TaskView {
        let case = task.case.and_then(|case| tables.cases.get(&case)).map(|case| self.summary(tables, case));
        TaskView {
            id: task.id,
            kind: task.kind,
            title: task.title.clone(),
            due: task.due,
            overdue: task.state == TaskState::Open && task.due < tables.zone.day(self.now()),
            owner: task.owner.map(|owner| self.staff_name(tables, Some(owner))),
            mine: task.owner == Some(self.actor.staff),
            state: task.state,
            case: task.case,
            about: case.map(|case| format!("{} {}", case.number, case.client)).unwrap_or_default(),
        }
    }

    /// The open tasks of a case, the most pressing first.
    pub(super) fn tasks_of(&self, tables: &Tables, case: RecordId) -> Vec<TaskView> {
        tables.open_tasks_of(case).map(|task| self.task_view(tables, task)).collect()
    }
}

/// Settles the open tasks of a case that follow from something, inside a command.
pub(super) fn settle_from(tx: &mut Tx<'_>, case: RecordId, from: RecordId) -> Result<(), DeskError> {
    for mut sealed in tx.list::<Task>(case)? {
        let task = &mut sealed.record;
        if task.from == Some(from) && task.state == TaskState::Open {
            task.state = TaskState::Done;
            task.settled = Some(Settled { at: tx.now(), by: tx.staff() });
            tx.update(&sealed.record, sealed.revision)?;
        }
    }
    Ok(())
}

/// Hands the open tasks of a case to its new owner, inside a command.
pub(super) fn hand_over_tasks(
    tx: &mut Tx<'_>,
    case: &Case,
    from: Option<StaffId>,
    to: Option<StaffId>,
) -> Result<(), DeskError> {
    for mut sealed in tx.list::<Task>(case.id)? {
        let task = &mut sealed.record;
        if task.state == TaskState::Open && task.owner == from {
            task.owner = to;
            tx.update(&sealed.record, sealed.revision)?;
        }
    }
    Ok(())
}
