//! The log: who did what, how a record came to be what it is, and whether the log itself holds.

use super::{Desk, DeskError, Field, FieldProblem};
use crate::index::Tables;
use crate::policy::Ask;
use crate::records::{Case, Person, PersonRef, Staff};
use crate::vault::{LogEntry, Record};
use casemesh_protocol::id::{RecordId, StaffId};
use casemesh_protocol::terms::FieldState;
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

/// One field that a version changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct FieldChange {
    /// Which field.
    pub field: String,
    /// What stood there; none in the first version.
    pub before: Option<Field>,
    /// What stands there since.
    pub after: Field,
}

/// A version of a record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct VersionView {
    /// When.
    #[schema(value_type = String)]
    pub at: Timestamp,
    /// Who.
    pub by: String,
    /// What was done.
    pub action: String,
    /// The fields that it changed.
    pub changes: Vec<FieldChange>,
}

/// How a record came to be what it is, and who looked at it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct HistoryView {
    /// The versions, latest first.
    pub versions: Vec<VersionView>,
    /// Who looked, wrote or was refused, latest first, as far back as was looked.
    pub looks: Vec<LogRow>,
}

fn word(text: &str) -> Field {
    Field { state: "known".into(), value: Some(text.to_owned()), code: None, list: None }
}

fn person_fields(
    person: &Person,
    is_masked: bool,
    staff_names: impl Fn(&[StaffId]) -> Field,
) -> Vec<(&'static str, Field)> {
    let safe = &person.safe_contact;
    let ways = [(safe.call, "call"), (safe.text, "text"), (safe.voicemail, "voicemail"), (safe.post, "post")];
    let ways: Vec<&str> = ways.into_iter().filter(|(on, _)| *on).map(|(_, way)| way).collect();
    vec![
        ("identity", word(person.identity.as_str())),
        ("alias", word(&person.alias)),
        ("given", Field::text(&person.given)),
        ("family", Field::text(&person.family)),
        ("local_name", Field::text(&person.local_name)),
        ("birth", Field::text(&person.birth)),
        ("sex", Field::code(&person.sex)),
        ("nationality", Field::code(&person.nationality)),
        ("language", Field::code(&person.language)),
        ("telephone", Field::text(&person.telephone)),
        ("address", if is_masked { word("•••") } else { Field::text(&person.address) }),
        ("area", Field::text(&person.area)),
        ("identifier", Field::text(&person.identifier)),
        ("safe_contact", word(&ways.join(", "))),
        ("safe_instructions", word(safe.instructions.as_str())),
        ("code_word", word(safe.code_word.as_str())),
        ("counting", word(person.counting.as_str())),
        ("age_band", Field::code(&person.age_band)),
        ("interpreter", yes_no(person.interpreter)),
        ("address_protected", yes_no(person.address_protected)),
        ("is_group", yes_no(person.is_group)),
        ("birth_said", word(&person.birth_said.as_ref().map(|(_, said)| said.clone()).unwrap_or_default())),
        ("merged", yes_no(person.merged_into.is_some())),
        ("barred", staff_names(&person.barred)),
    ]
}

fn yes_no(yes: bool) -> Field {
    let code = if yes { "yes" } else { "no" };
    Field { state: "known".into(), value: Some(code.into()), code: Some(code.into()), list: Some("yes_no".into()) }
}

fn case_fields(
    case: &Case,
    clients: Field,
    linked: usize,
    staff_name: impl Fn(Option<StaffId>) -> String,
) -> Vec<(&'static str, Field)> {
    let assigned: Vec<String> = case.assigned.iter().map(|staff| staff_name(Some(*staff))).collect();
    let reason = case.closed.as_ref().map(|closure| closure.reason.clone());
    vec![
        ("case_type", Field::code(&case.case_type)),
        ("summary", word(&case.summary)),
        ("state", word(case.state.as_str())),
        ("owner", word(&staff_name(case.owner))),
        ("sealed", yes_no(case.sealed)),
        ("clients", clients),
        ("assigned", word(&assigned.join(", "))),
        ("mediation", yes_no(case.mediation)),
        ("linked", word(&count(linked))),
        ("grants", word(&count(case.grants.len()))),
        ("closed_on", word(&case.closed.as_ref().map(|closure| closure.on.to_string()).unwrap_or_default())),
        ("closure_reason", Field::code(&reason.map_or(FieldState::NotAsked, FieldState::Known))),
    ]
}

/// How many; nothing for none, so that the first version does not say it.
fn count(number: usize) -> String {
    if number == 0 { String::new() } else { number.to_string() }
}

/// The fields in which each version differs from the one before.
fn changes(versions: Vec<(LogEntry, Vec<(&'static str, Field)>)>) -> Vec<(LogEntry, Vec<FieldChange>)> {
    let mut before: Vec<(&'static str, Field)> = Vec::new();
    let mut out = Vec::with_capacity(versions.len());
    for (entry, fields) in versions {
        let is_empty =
            |field: &Field| matches!(field.value.as_deref().unwrap_or_default(), "" | "no") && field.state != "refused";
        let changed = fields.iter().filter_map(|(name, after)| {
            let earlier = before.iter().find(|(known, _)| known == name).map(|(_, field)| field.clone());
            match &earlier {
                Some(earlier) if earlier == after => None,
                None if is_empty(after) => None,
                _ => Some(FieldChange { field: (*name).to_owned(), before: earlier, after: after.clone() }),
            }
        });
        out.push((entry, changed.collect()));
        before = fields;
    }
    out
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

    /// Entries backwards from a number, and where to go on.
    fn look_back(
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

    fn log_row(&self, tables: &Tables, entry: &LogEntry) -> LogRow {
        let about = match entry.about.record {
            Some(id) if tables.cases.contains_key(&id) => {
                tables.cases.get(&id).map(|case| case.number.clone()).unwrap_or_default()
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

    /// How a case came to be what it is, and who looked at it.
    ///
    /// # Errors
    /// When there is no such case for this account.
    pub fn case_history(&self, id: RecordId) -> Result<HistoryView, DeskError> {
        self.visible_case(id)?;
        self.note("history", id);
        let versions = self.office.vault.versions::<Case>(Case::TOP, id)?;
        let tables = self.office.index.read();
        let names = |clients: &[PersonRef]| {
            let seen = clients.iter().filter(|client| self.sees_person(&tables, client.id));
            let names = seen.filter_map(|client| tables.persons.get(&client.id)).map(|row| row.name.as_str());
            word(&names.collect::<Vec<_>>().join(", "))
        };
        let fields = versions.into_iter().filter_map(|(entry, version)| {
            let case = version?.record;
            let clients = names(&case.clients);
            let is_seen = |id: &RecordId| tables.cases.get(id).is_some_and(|row| self.sees(&tables, row));
            let linked = case.linked.iter().filter(|(id, _)| is_seen(id)).count();
            Some((entry, case_fields(&case, clients, linked, |staff| self.staff_name(&tables, staff))))
        });
        let fields = fields.collect();
        drop(tables);
        self.history(fields, id)
    }

    /// How a person's record came to be what it is, and who looked at it: what the person may ask to see.
    ///
    /// # Errors
    /// When there is no such person for this account.
    pub fn person_history(&self, id: RecordId) -> Result<HistoryView, DeskError> {
        self.allow(Ask::People)?;
        self.visible_person(id)?;
        self.note("history", id);
        let versions = self.office.vault.versions::<Person>(Person::TOP, id)?;
        // An address that is protected now was the same address before.
        let is_masked = versions.iter().filter_map(|(_, version)| version.as_ref()).any(|v| v.record.address_protected);
        let fields = {
            let tables = self.office.index.read();
            let names = |staff: &[StaffId]| {
                word(&staff.iter().map(|staff| self.staff_name(&tables, Some(*staff))).collect::<Vec<_>>().join(", "))
            };
            let fields = versions
                .into_iter()
                .filter_map(|(entry, version)| Some((entry, person_fields(&version?.record, is_masked, names))));
            fields.collect()
        };
        self.history(fields, id)
    }

    fn history(
        &self,
        versions: Vec<(LogEntry, Vec<(&'static str, Field)>)>,
        id: RecordId,
    ) -> Result<HistoryView, DeskError> {
        let (looks, _) = self.look_back(self.office.vault.last_entry(), |entry| entry.about.record == Some(id))?;
        let tables = self.office.index.read();
        let version = |(entry, changes): (LogEntry, Vec<FieldChange>)| VersionView {
            at: entry.about.at,
            by: self.staff_name(&tables, entry.about.staff),
            action: entry.about.action,
            changes,
        };
        let mut versions: Vec<VersionView> = changes(versions).into_iter().map(version).collect();
        versions.retain(|version| !version.changes.is_empty());
        versions.reverse();
        Ok(HistoryView { versions, looks: looks.iter().map(|entry| self.log_row(&tables, entry)).collect() })
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
