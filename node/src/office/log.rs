//! The log: who did what, and whether the log itself holds.

use super::{Desk, DeskError, FieldProblem};
use crate::index::Tables;
use crate::policy::Ask;
use crate::records::Staff;
use crate::vault::LogEntry;
use casemesh_protocol::id::{RecordId, StaffId};
use casemesh_protocol::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::sync::PoisonError;
use utoipa::ToSchema;

/// Rows of one page of the log.
const ROWS_MAX: usize = 100;
/// Entries that are read at a time.
const WINDOW: u64 = 10_000;
/// So many times: a filter that finds little ends there, and says how far it looked.
const WINDOWS_MAX: usize = 5;

/// Which entries to show.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct LogFilter {
    /// Only by this member of staff.
    pub staff: String,
    /// Only from this number backwards.
    pub before: Option<u64>,
}

/// A row of the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct LogRow {
    /// Its number.
    pub number: u64,
    /// When.
    #[schema(value_type = String)]
    pub at: Timestamp,
    /// Who; empty for the node itself.
    pub by: String,
    /// What was done.
    pub action: String,
    /// About what: a case's number (an auditor learns the numbers of all cases, and nothing else of them), or `person`.
    pub about: String,
    /// Whether something changed.
    pub changed: bool,
}

/// A page of the log, latest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct LogView {
    /// The rows.
    pub rows: Vec<LogRow>,
    /// Where the next page begins.
    pub before: Option<u64>,
    /// The number of the last entry.
    pub last: u64,
}

/// What a check of the log found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct LogCheck {
    /// How many entries hold.
    pub entries: u64,
    /// How many signed checkpoints.
    pub checkpoints: u64,
    /// The root of the Merkle tree over all of them.
    pub root: String,
    /// What does not hold, if anything.
    pub damage: Option<String>,
}

impl Desk {
    /// A page of the log of the whole office, latest first.
    ///
    /// # Errors
    /// When the account is no auditor.
    pub fn log(&self, filter: &LogFilter) -> Result<LogView, DeskError> {
        self.allow(Ask::ReadLog)?;
        let staff: Option<StaffId> = match filter.staff.as_str() {
            "" => None,
            text => {
                Some(text.parse().map_err(|_| DeskError::Invalid(vec![FieldProblem::new("staff", "unknown-value")]))?)
            }
        };
        let vault = &self.office.vault;
        let last = vault.last_entry();
        self.note_act("log");
        let is_wanted = |entry: &LogEntry| staff.is_none() || entry.about.staff == staff;
        let (found, before) = self.look_back(filter.before.map_or(last, |before| before.min(last)), is_wanted)?;
        let tables = self.office.index.read();
        Ok(LogView { rows: found.iter().map(|entry| self.log_row(&tables, entry)).collect(), before, last })
    }

    /// Notes that a page was printed: about the record whose page it was, or its case, if this account may see that. Each print
    /// is one line of the log.
    pub fn note_print(&self, record: Option<RecordId>) {
        let about = record.and_then(|id| {
            let tables = self.office.index.read();
            let case = match (tables.tasks.get(&id), tables.referrals.get(&id)) {
                (Some(task), _) => task.case,
                (_, Some(referral)) => referral.case,
                (None, None) => Some(id),
            };
            let case = case.and_then(|case| tables.cases.get(&case)).filter(|case| self.sees(&tables, case));
            let is_person = tables.persons.contains_key(&id) && self.sees_person(&tables, id);
            let is_line = tables.lines.get(&id).is_some_and(|line| self.sees_line(&tables, line));
            case.map(|case| case.id).or_else(|| (is_person || is_line).then_some(id))
        });
        self.office.vault.note(Some(self.actor.staff), "print", about);
    }

    /// Entries backwards from a number, and where to go on.
    pub(super) fn look_back(
        &self,
        from: u64,
        is_wanted: impl Fn(&LogEntry) -> bool,
    ) -> Result<(Vec<LogEntry>, Option<u64>), DeskError> {
        let _alone = self.office.reading_log.lock().unwrap_or_else(PoisonError::into_inner);
        let mut found = Vec::new();
        let mut to = from;
        for _ in 0..WINDOWS_MAX {
            if to == 0 {
                return Ok((found, None));
            }
            let start = to.saturating_sub(WINDOW - 1).max(1);
            let window = self.office.vault.entries(start, to)?;
            for entry in window.into_iter().rev().filter(|entry| is_wanted(entry)) {
                if found.len() == ROWS_MAX {
                    return Ok((found, Some(entry.number)));
                }
                found.push(entry);
            }
            to = start - 1;
        }
        Ok((found, Some(to).filter(|to| *to > 0)))
    }

    pub(super) fn log_row(&self, tables: &Tables, entry: &LogEntry) -> LogRow {
        let about = match entry.about.record {
            Some(id) if tables.cases.contains_key(&id) => {
                tables.cases.get(&id).map(|case| case.number.to_string()).unwrap_or_default()
            }
            Some(id) if tables.persons.contains_key(&id) => "person".to_owned(),
            _ => String::new(),
        };
        LogRow {
            number: entry.number,
            at: entry.about.at,
            by: self.staff_name(tables, entry.about.staff),
            action: entry.about.action.clone(),
            about,
            changed: entry.changed,
        }
    }

    /// Checks the whole log as it stands.
    ///
    /// # Errors
    /// When the account is no auditor.
    pub fn check_log(&self) -> Result<LogCheck, DeskError> {
        self.allow(Ask::ReadLog)?;
        self.note_act("check_log");
        let _alone = self.office.reading_log.lock().unwrap_or_else(PoisonError::into_inner);
        let last = self.office.vault.last_entry();
        Ok(match self.office.vault.verify_journal() {
            Ok(verified) if verified.entries < last => LogCheck {
                entries: verified.entries,
                checkpoints: verified.checkpoints,
                root: verified.root.to_string(),
                damage: Some(format!("entries {} to {last} are missing or damaged", verified.entries + 1)),
            },
            Ok(verified) => LogCheck {
                entries: verified.entries,
                checkpoints: verified.checkpoints,
                root: verified.root.to_string(),
                damage: None,
            },
            Err(error) => LogCheck { entries: 0, checkpoints: 0, root: String::new(), damage: Some(error.to_string()) },
        })
    }

    /// The staff whose entries the log can be narrowed to.
    ///
    /// # Errors
    /// When the account is no auditor.
    pub fn log_staff(&self) -> Result<Vec<(StaffId, String)>, DeskError> {
        self.allow(Ask::ReadLog)?;
        let tables = self.office.index.read();
        Ok(tables.staff.values().map(|Staff { id, name, .. }| (*id, name.clone())).collect())
    }
}
