//! Importing people and cases from another system's table.
//!
//! A mapping file says for every column which field it is, which codes mean what, and which values mean
//! missing. A row is known by the source's name, its content, and its number among equal rows, so that
//! running an import again, after a crash or after some rows were mended, adds only what is new. Equal rows
//! are separate people.

use super::cases::next_number;
use super::{Desk, DeskError, Office};
use crate::index::{Ids, Tables};
use crate::policy::Ask;
use crate::records::{
    Action, Case, CaseState, Closure, Consent, CountingBasis, IdentityLevel, Import, ImportMark, Person,
};
use crate::vault::{Erasure, Record, Tx, VaultError};
use crate::vocabulary::Vocabulary;
use casemesh_crypto::hash::{Digest, keyed_name, sha256};
use casemesh_crypto::secret::Secret;
use casemesh_crypto::shred::KeyHandle;
use casemesh_protocol::id::RecordId;
use casemesh_protocol::terms::{Code, FieldState};
use casemesh_protocol::time::Day;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};
use utoipa::ToSchema;

/// Rows of one command.
const BATCH_ROWS: usize = 200;
/// Longest file.
pub const FILE_BYTES_MAX: usize = 512 * 1024 * 1024;
/// Rows that a report lists one by one.
const LISTED_MAX: usize = 1_000;
/// Values of a column that a report lists.
const VALUES_MAX: usize = 100;

/// What a column is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    /// The year in which the case was opened.
    OpenedYear,
    /// The day on which the case was opened.
    OpenedOn,
    /// The day on which the case was closed; a case without one is closed, and nobody knows when, unless it is open still.
    ClosedOn,
    /// Whether the case is open still: the value `open` of the mapping's codes.
    State,
    /// Why it was closed.
    ClosureReason,
    /// Where the matter was dealt with.
    Forum,
    /// How the client came.
    Source,
    /// Where the person lives.
    Area,
    /// The person's sex.
    Sex,
    /// The person's nationality.
    Nationality,
    /// The person's age band; foreign bands are kept as they are, under a list of their own.
    AgeBand,
    /// The person's given names.
    Given,
    /// The person's family names.
    Family,
    /// The case type.
    CaseType,
    /// A coded fact of the case, under the list that `list` names.
    Fact,
    /// The case's summary.
    Summary,
    /// Not imported.
    Ignore,
}

/// What to do with a value that neither `codes` nor `missing` names.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Unlisted {
    /// The row is not loaded.
    #[default]
    Refuse,
    /// The value is kept as its own code.
    Keep,
}

/// One column of the mapping.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Column {
    /// What it is.
    pub field: Target,
    /// The list of a coded fact or of foreign age bands.
    pub list: Option<String>,
    /// Which value means which code.
    #[serde(default)]
    pub codes: BTreeMap<String, String>,
    /// Values that mean missing.
    #[serde(default)]
    pub missing: Vec<String>,
    /// What to do with other values.
    #[serde(default)]
    pub unlisted: Unlisted,
}

/// A mapping file.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mapping {
    /// The name of the source: the same source is the same import, whatever the file is called.
    pub source: String,
    /// On what ground these people may be counted, in words; without it they are not counted.
    pub basis: Option<String>,
    /// The case type of every row, unless a column gives it.
    pub case_type: Option<String>,
    /// The columns, by the heading in the file.
    pub columns: BTreeMap<String, Column>,
}

/// Why a file cannot be imported at all.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The mapping is no mapping.
    #[error("the mapping file cannot be used: {0}")]
    Mapping(String),
    /// The file is not UTF-8.
    #[error("line {0} of the file is not UTF-8; save it again as \"CSV UTF-8\" and nothing else needs to change")]
    NotUtf8(usize),
    /// The file is too long.
    #[error("the file is longer than {FILE_BYTES_MAX} bytes; split it")]
    TooLong,
    /// The headings do not fit the mapping.
    #[error("{0}")]
    Headings(String),
    /// The desk refuses.
    #[error(transparent)]
    Desk(#[from] DeskError),
}

/// What will happen with one column.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ColumnReport {
    /// The heading.
    pub column: String,
    /// What it is.
    pub field: String,
    /// How many rows have a value.
    pub values: u64,
    /// How many rows have none.
    pub missing: u64,
    /// How often each value occurs and what it becomes, most frequent first.
    pub becomes: Vec<(String, String, u64)>,
}

/// A row that will not load.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RowProblem {
    /// Its line in the file.
    pub line: u64,
    /// Why.
    pub reason: String,
}

/// What an import will do, or did.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ImportReport {
    /// The source.
    pub source: String,
    /// Rows in the file.
    pub rows: u64,
    /// Rows with different content.
    pub distinct: u64,
    /// Rows that are new.
    pub new: u64,
    /// Rows that were imported before.
    pub known: u64,
    /// Rows that will not load.
    pub refused: u64,
    /// Each of them, up to a thousand.
    pub problems: Vec<RowProblem>,
    /// The columns.
    pub columns: Vec<ColumnReport>,
    /// Whether these people may be counted, and on what ground.
    pub basis: Option<String>,
    /// The import's id, when it ran.
    pub import: Option<String>,
}

/// One row, ready to load.
#[derive(Debug, Clone)]
struct Row {
    key: RecordId,
    opened: Option<Day>,
    closed: Option<Day>,
    is_open: bool,
    reason: Option<Code>,
    forum: Option<Code>,
    source: Option<Code>,
    area: FieldState<String>,
    sex: FieldState<Code>,
    nationality: FieldState<Code>,
    age_band: FieldState<Code>,
    given: FieldState<String>,
    family: FieldState<String>,
    case_type: FieldState<Code>,
    summary: String,
    facts: Vec<Code>,
}

/// A file that was read against a mapping.
#[derive(Debug)]
pub struct Reading {
    rows: Vec<Row>,
    report: ImportReport,
}

impl Reading {
    /// What was found.
    pub fn report(&self) -> &ImportReport {
        &self.report
    }
}

impl Mapping {
    /// Reads a mapping file.
    ///
    /// # Errors
    /// When a key is unknown or missing.
    pub fn parse(text: &str) -> Result<Self, ImportError> {
        let mapping: Self = toml::from_str(text).map_err(|error| ImportError::Mapping(error.to_string()))?;
        for (heading, column) in &mapping.columns {
            if column.field == Target::Fact && column.list.is_none() {
                return Err(ImportError::Mapping(format!("column {heading:?} is a fact and needs a `list`")));
            }
        }
        Ok(mapping)
    }

    /// Reads a table against the mapping: what each row becomes, or why it does not load. Pure.
    ///
    /// # Errors
    /// When the file as a whole cannot be used.
    pub fn read(&self, bytes: &[u8], words: &Vocabulary) -> Result<Reading, ImportError> {
        if bytes.len() > FILE_BYTES_MAX {
            return Err(ImportError::TooLong);
        }
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        if let Err(error) = std::str::from_utf8(bytes) {
            let before = bytes.get(..error.valid_up_to()).unwrap_or_default();
            return Err(ImportError::NotUtf8(before.iter().filter(|byte| **byte == b'\n').count() + 1));
        }
        let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(bytes);
        let headings = reader.headers().map_err(|error| ImportError::Headings(error.to_string()))?.clone();
        let columns = self.match_headings(&headings)?;
        let mut reading = Reading {
            rows: Vec::new(),
            report: ImportReport { source: self.source.clone(), basis: self.basis.clone(), ..ImportReport::default() },
        };
        let mut tallies: Vec<BTreeMap<(String, String), u64>> = vec![BTreeMap::new(); columns.len()];
        let mut missing = vec![0u64; columns.len()];
        let mut occurrences: BTreeMap<Vec<u8>, u64> = BTreeMap::new();
        for record in reader.records() {
            let report = &mut reading.report;
            report.rows += 1;
            let (line, cells) = match record {
                Ok(record) => (record.position().map_or(0, csv::Position::line), record),
                Err(error) => {
                    let line = error.position().map_or(0, csv::Position::line);
                    report.refuse(line, error.to_string());
                    continue;
                }
            };
            if cells.len() != headings.len() {
                report.refuse(line, format!("it has {} fields and the heading has {}", cells.len(), headings.len()));
                continue;
            }
            let content = cells.iter().collect::<Vec<_>>().join("\u{1f}").into_bytes();
            let occurrence = occurrences.entry(content.clone()).or_default();
            *occurrence += 1;
            let key = row_key(&self.source, &content, *occurrence);
            match self.row(key, &columns, &cells, words) {
                Ok((row, becomes)) => {
                    for (i, value) in becomes.into_iter().enumerate() {
                        match (value, tallies.get_mut(i), missing.get_mut(i), cells.get(i)) {
                            (Some(code), Some(tally), _, Some(cell)) => {
                                *tally.entry((cell.to_owned(), code)).or_default() += 1;
                            }
                            (None, _, Some(missing), _) => *missing += 1,
                            _ => {}
                        }
                    }
                    reading.rows.push(row);
                }
                Err(reason) => report.refuse(line, reason),
            }
        }
        reading.report.distinct = occurrences.len() as u64;
        for (i, (heading, column)) in headings.iter().zip(&columns).enumerate() {
            let tally = tallies.get(i).cloned().unwrap_or_default();
            let values = tally.values().sum();
            let mut becomes: Vec<(String, String, u64)> =
                tally.into_iter().map(|((value, code), count)| (value, code, count)).collect();
            becomes.sort_by(|a, b| (b.2, &a.0).cmp(&(a.2, &b.0)));
            becomes.truncate(VALUES_MAX);
            let field = serde_json::to_value(column.field).ok().and_then(|v| v.as_str().map(str::to_owned));
            reading.report.columns.push(ColumnReport {
                column: heading.to_owned(),
                field: field.unwrap_or_default(),
                values,
                missing: missing.get(i).copied().unwrap_or(0),
                becomes,
            });
        }
        Ok(reading)
    }

    fn match_headings(&self, headings: &csv::StringRecord) -> Result<Vec<&Column>, ImportError> {
        let absent: Vec<&str> =
            self.columns.keys().map(String::as_str).filter(|name| !headings.iter().any(|h| h == *name)).collect();
        if !absent.is_empty() {
            let text = format!("the mapping names columns that the file does not have: {}", absent.join(", "));
            return Err(ImportError::Headings(text));
        }
        let unmapped: Vec<&str> = headings.iter().filter(|heading| !self.columns.contains_key(*heading)).collect();
        if !unmapped.is_empty() {
            let text = format!(
                "the mapping says nothing about these columns: {}; give each a field, or `field = \"ignore\"`",
                unmapped.join(", ")
            );
            return Err(ImportError::Headings(text));
        }
        Ok(headings.iter().filter_map(|heading| self.columns.get(heading)).collect())
    }

    /// What a row becomes, and what each of its cells became (none: missing).
    fn row(
        &self,
        key: RecordId,
        columns: &[&Column],
        cells: &csv::StringRecord,
        words: &Vocabulary,
    ) -> Result<(Row, Vec<Option<String>>), String> {
        let case_type = match &self.case_type {
            None => FieldState::NotAsked,
            Some(code) => {
                FieldState::Known(words.code("case_type", code).ok_or_else(|| format!("{code:?} is no case type"))?)
            }
        };
        let mut row = Row {
            key,
            opened: None,
            closed: None,
            is_open: false,
            reason: None,
            forum: None,
            source: None,
            area: FieldState::NotAsked,
            sex: FieldState::Unknown,
            nationality: FieldState::Unknown,
            age_band: FieldState::Unknown,
            given: FieldState::NotAsked,
            family: FieldState::NotAsked,
            case_type,
            summary: String::new(),
            facts: Vec::new(),
        };
        let mut becomes = Vec::with_capacity(columns.len());
        for (column, cell) in columns.iter().zip(cells.iter()) {
            let cell = cell.trim();
            if column.field == Target::Ignore {
                becomes.push(Some("not imported".to_owned()));
                continue;
            }
            if cell.is_empty() || column.missing.iter().any(|missing| missing == cell) {
                becomes.push(None);
                continue;
            }
            becomes.push(Some(column.apply(cell, &mut row, words)?));
        }
        let Some(opened) = row.opened else { return Err("it has no date on which the case was opened".into()) };
        if row.closed.is_some_and(|closed| closed < opened) {
            return Err("it was closed before it was opened".into());
        }
        if row.is_open && row.closed.is_some() {
            return Err("it is open, and has a date on which it was closed".into());
        }
        Ok((row, becomes))
    }
}

impl Column {
    /// The code that a value means, by the mapping.
    fn mapped(&self, cell: &str) -> Result<String, String> {
        match (self.codes.get(cell), self.unlisted) {
            (Some(code), _) => Ok(code.clone()),
            (None, Unlisted::Keep) => Ok(cell.to_owned()),
            (None, Unlisted::Refuse) => Err(format!("the mapping does not say what {cell:?} means")),
        }
    }

    /// A code of one of our lists, or of the foreign list that the column names.
    fn code(&self, own_list: &str, cell: &str, words: &Vocabulary) -> Result<Code, String> {
        let mapped = self.mapped(cell)?;
        let code = match &self.list {
            None => words.code(own_list, &mapped),
            Some(list) => Code::new(list, 1, &mapped, cell).ok(),
        };
        code.ok_or_else(|| format!("{mapped:?} is not in the list {own_list}"))
    }

    fn apply(&self, cell: &str, row: &mut Row, words: &Vocabulary) -> Result<String, String> {
        let short = |text: &str| {
            if text.len() <= 400 { Ok(text.to_owned()) } else { Err("a text is longer than 400 bytes".to_owned()) }
        };
        match self.field {
            Target::OpenedYear => {
                let year = cell.parse().ok().and_then(|year: i16| Day::new(year, 1, 1));
                row.opened = Some(year.ok_or_else(|| format!("{cell:?} is no year"))?);
                Ok(cell.to_owned())
            }
            Target::OpenedOn | Target::ClosedOn => {
                let day: Day = cell.parse().map_err(|error: casemesh_protocol::time::NotADay| error.to_string())?;
                *(if self.field == Target::OpenedOn { &mut row.opened } else { &mut row.closed }) = Some(day);
                Ok(cell.to_owned())
            }
            Target::State => {
                let mapped = self.mapped(cell)?;
                row.is_open = match mapped.as_str() {
                    "open" => true,
                    "closed" => false,
                    other => {
                        return Err(format!("a case is open or closed, and not {other:?}: say in `codes` which it is"));
                    }
                };
                Ok(mapped)
            }
            Target::ClosureReason => kept(&mut row.reason, self.code("closure_reason", cell, words)?),
            Target::Forum => kept(&mut row.forum, self.code("forum", cell, words)?),
            Target::Source => kept(&mut row.source, self.code("case_source", cell, words)?),
            Target::Area => {
                row.area = FieldState::Known(short(cell)?);
                Ok("a place".into())
            }
            Target::Sex => known(&mut row.sex, self.code("sex", cell, words)?),
            Target::AgeBand => known(&mut row.age_band, self.code("age_band", cell, words)?),
            Target::CaseType => known(&mut row.case_type, self.code("case_type", cell, words)?),
            Target::Nationality => {
                let mapped = if self.codes.is_empty() { cell.to_owned() } else { self.mapped(cell)? };
                let code = mapped.to_ascii_uppercase();
                if code.len() != 2 || !code.bytes().all(|byte| byte.is_ascii_uppercase()) {
                    return Err(format!("{cell:?} is no country of two letters"));
                }
                let code = Code::new("country", 1, &code, &code).map_err(|error| error.to_string())?;
                known(&mut row.nationality, code)
            }
            Target::Fact => {
                let list = self.list.as_deref().unwrap_or("fact");
                let mapped = self.mapped(cell)?;
                let label = if self.codes.contains_key(cell) { mapped.as_str() } else { cell };
                let code = Code::new(list, 1, &mapped, label).map_err(|error| error.to_string())?;
                row.facts.push(code);
                Ok(mapped)
            }
            Target::Given => {
                row.given = FieldState::Known(short(cell)?);
                Ok("a name".into())
            }
            Target::Family => {
                row.family = FieldState::Known(short(cell)?);
                Ok("a name".into())
            }
            Target::Summary => {
                row.summary = cell.to_owned();
                Ok("a text".into())
            }
            Target::Ignore => Ok(String::new()),
        }
    }
}

fn known(field: &mut FieldState<Code>, code: Code) -> Result<String, String> {
    let text = code.code.to_string();
    *field = FieldState::Known(code);
    Ok(text)
}

fn kept(field: &mut Option<Code>, code: Code) -> Result<String, String> {
    let text = code.code.to_string();
    *field = Some(code);
    Ok(text)
}

fn row_key(source: &str, content: &[u8], occurrence: u64) -> RecordId {
    let digest = sha256(&[
        b"casemesh/1/import\0",
        &(source.len() as u64).to_be_bytes(),
        source.as_bytes(),
        &occurrence.to_be_bytes(),
        content,
    ]);
    let mut id = [0u8; RecordId::LENGTH];
    id.copy_from_slice(digest.as_bytes().split_at(RecordId::LENGTH).0);
    RecordId::new(id)
}

/// An import of this office.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ImportView {
    /// Its id.
    pub id: String,
    /// The source.
    pub source: String,
    /// Rows that it added until now.
    pub added: u64,
    /// Whether it was taken back.
    pub undone: bool,
}

/// What taking an import back did.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Undone {
    /// How many people are gone, with their cases.
    pub removed: u64,
    /// Numbers of cases that staff worked with since: they and their people stay.
    pub kept: Vec<String>,
}

impl ImportReport {
    fn refuse(&mut self, line: u64, reason: String) {
        self.refused += 1;
        if self.problems.len() < LISTED_MAX {
            self.problems.push(RowProblem { line, reason });
        }
    }
}

impl Desk {
    /// Says what an import would do. Nothing is written.
    ///
    /// # Errors
    /// When the account may not import.
    pub fn check_import(&self, reading: &Reading) -> Result<ImportReport, DeskError> {
        self.allow(Ask::Import)?;
        let tables = self.office.index.read();
        let mut report = reading.report.clone();
        let marks = self.office.row_marks();
        report.known = reading.rows.iter().filter(|row| is_known(&tables, &marks, row.key)).count() as u64;
        report.new = (reading.rows.len() as u64).saturating_sub(report.known);
        Ok(report)
    }

    /// Imports what is new, batch by batch; each batch is one command. `progress` hears how many rows are done.
    ///
    /// # Errors
    /// When the account may not import, or the store refuses; what was imported until then stays, and the next
    /// run goes on from there.
    pub fn run_import(&self, reading: Reading, mut progress: impl FnMut(u64)) -> Result<ImportReport, DeskError> {
        self.allow(Ask::Import)?;
        // What is new is asked and loaded by one at a time.
        let _alone = self.office.importing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut report = self.check_import(&reading)?;
        let counting =
            if reading.report.basis.is_some() { CountingBasis::StatedAtImport } else { CountingBasis::NotStated };
        let source = reading.report.source.clone();
        let import = self.write("begin_import", move |tx| {
            let (id, at, by) = (tx.fresh_id(), tx.now(), tx.staff());
            let import = Import { id, source, at, added: 0, undone: false, by, erased: Vec::new() };
            tx.insert(&import)?;
            tx.about(import.id);
            Ok(import.id)
        })?;
        let new: Vec<Row> = {
            let marks = self.office.row_marks();
            let tables = self.office.index.read();
            reading.rows.into_iter().filter(|row| !is_known(&tables, &marks, row.key)).collect()
        };
        let mut done = 0;
        for batch in new.chunks(BATCH_ROWS) {
            let rows = batch.to_vec();
            done += rows.len() as u64;
            self.write("import", move |tx| {
                for row in rows {
                    load(tx, row, import, counting)?;
                }
                let mut sealed = tx.get::<Import>(Import::TOP, import)?.ok_or(DeskError::NotFound)?;
                sealed.record.added = done;
                tx.about(import);
                Ok(tx.update(&sealed.record, sealed.revision)?)
            })?;
            progress(done);
        }
        report.import = Some(import.to_string());
        Ok(report)
    }

    /// Takes an import back: its people and their cases are removed and their keys destroyed. Whom staff worked with
    /// since stays, and is named by case number.
    ///
    /// The keys go first, in one step: a crash after it leaves rows that nobody can read, and no index shows.
    ///
    /// # Errors
    /// When there is no such import, or the store refuses.
    pub fn undo_import(&self, import: RecordId) -> Result<Undone, DeskError> {
        self.allow(Ask::Import)?;
        let _alone = self.office.importing.lock().unwrap_or_else(PoisonError::into_inner);
        if !self.office.index.read().imports.contains_key(&import) {
            return Err(DeskError::NotFound);
        }
        let index = Arc::clone(&self.office.index);
        // Asked where nothing can come between the answer and the erasure.
        let (undone, rows) = self.office.vault.erase(Some(self.actor.staff), move |tx| {
            let persons: Vec<(RecordId, Vec<RecordId>, bool)> = {
                let tables = index.read();
                let cases =
                    |person: &RecordId| tables.cases_of.get(person).into_iter().flat_map(Ids::iter).copied().collect();
                let row = |person: &RecordId| (*person, cases(person), tables.is_leaned_on(*person));
                tables.import_rows.values().map(row).collect()
            };
            let (mut undone, mut keys, mut rows) = (Undone::default(), Vec::new(), Vec::new());
            for (person, cases, is_leaned_on) in persons {
                match untouched(tx, import, person, &cases, is_leaned_on)? {
                    None => {}
                    Some(Untouched::Yes(key)) => {
                        keys.push(key);
                        rows.push((person, cases));
                    }
                    Some(Untouched::No(numbers)) => undone.kept.extend(numbers),
                }
            }
            undone.removed = rows.len() as u64;
            Ok(((undone, rows), Erasure { persons: keys, redacted: Vec::new() }))
        })?;
        for batch in rows.chunks(BATCH_ROWS) {
            let batch = batch.to_vec();
            self.write("undo_import", move |tx| {
                for (person, cases) in batch {
                    cases.into_iter().try_for_each(|case| tx.remove_id::<Case>(Case::TOP, case))?;
                    tx.remove_id::<Person>(Person::TOP, person)?;
                }
                tx.about(import);
                Ok(())
            })?;
        }
        let is_whole = undone.kept.is_empty();
        self.write("undo_import", move |tx| {
            let mut sealed = tx.get::<Import>(Import::TOP, import)?.ok_or(DeskError::NotFound)?;
            sealed.record.undone = is_whole;
            Ok(tx.update(&sealed.record, sealed.revision)?)
        })?;
        Ok(undone)
    }

    /// The imports of this office, oldest first.
    ///
    /// # Errors
    /// When the account may not import.
    pub fn imports(&self) -> Result<Vec<ImportView>, DeskError> {
        self.allow(Ask::Import)?;
        let tables = self.office.index.read();
        let view = |import: &Import| ImportView {
            id: import.id.to_string(),
            source: import.source.clone(),
            added: import.added,
            undone: import.undone,
        };
        Ok(tables.imports.values().map(view).collect())
    }
}

/// The mark by which a row is known again whose person was erased: nobody without the office key can try names on it.
pub(super) fn mark_of(marks: &Secret, row: RecordId) -> Digest {
    keyed_name(marks, &[row.as_bytes()])
}

/// Whether a row came in before, whatever became of its person.
fn is_known(tables: &Tables, marks: &Secret, row: RecordId) -> bool {
    tables.import_rows.contains_key(&row)
        || (!tables.erased_rows.is_empty() && tables.erased_rows.contains(&mark_of(marks, row)))
}

impl Office {
    /// The key of the marks of erased rows.
    pub(super) fn row_marks(&self) -> Secret {
        self.keys.subkey("erased-rows")
    }
}

/// Whether staff worked with somebody since an import brought them.
enum Untouched {
    Yes(KeyHandle),
    /// With the numbers of their cases.
    No(Vec<String>),
}

fn untouched(
    tx: &Tx<'_>,
    import: RecordId,
    person: RecordId,
    cases: &[RecordId],
    is_leaned_on: bool,
) -> Result<Option<Untouched>, VaultError> {
    let Some(sealed) = tx.get::<Person>(Person::TOP, person)? else { return Ok(None) };
    if sealed.record.import.is_none_or(|mark| mark.import != import) {
        return Ok(None);
    }
    let mut touched = is_leaned_on
        || sealed.revision > 1
        || !tx.list::<Consent>(person)?.is_empty()
        || !tx.list::<Action>(person)?.is_empty();
    let mut numbers = Vec::new();
    for case in cases {
        if let Some(case) = tx.get::<Case>(Case::TOP, *case)? {
            let is_of_import = case.record.import.is_some_and(|mark| mark.import == import);
            touched |= case.revision > 1 || !is_of_import;
            // Another case of the person may be one that this account may not see.
            if is_of_import {
                numbers.push(case.record.number);
            }
        }
    }
    Ok(Some(if touched { Untouched::No(numbers) } else { Untouched::Yes(sealed.record.key) }))
}

/// Of a case whose table says when it was closed, and not why.
fn no_reason() -> Option<Code> {
    Code::new("closure_reason", crate::codes::VERSION, crate::codes::NOT_RECORDED, "Not recorded").ok()
}

fn load(tx: &mut Tx<'_>, row: Row, import: RecordId, counting: CountingBasis) -> Result<(), DeskError> {
    let Some(opened) = row.opened else { return Ok(()) };
    let mark = Some(ImportMark { import, row: row.key });
    let key = tx.new_person_key();
    let mut person = Person::unknown(tx.fresh_id(), key, tx.now(), tx.staff());
    let named = row.given.value().or(row.family.value()).is_some();
    person.identity = if named { IdentityLevel::SelfDeclared } else { IdentityLevel::Anonymous };
    person.given = row.given;
    person.family = row.family;
    person.sex = row.sex;
    person.nationality = row.nationality;
    person.age_band = row.age_band;
    person.area = row.area;
    person.counting = counting;
    person.import = mark;
    tx.insert(&person)?;
    let mut facts = row.facts;
    // Of a case that was closed nobody knows when, why it was stands among its facts.
    facts.extend(row.reason.clone().filter(|_| row.closed.is_none() && !row.is_open));
    // What statistics tell apart by the person stands with the case as well, in the lists of its source.
    let shown = [("gender", &person.sex), ("citizenship", &person.nationality), ("age_band", &person.age_band)];
    facts.extend(shown.into_iter().filter_map(|(list, state)| {
        let code = state.value()?;
        Code::new(list, code.version, code.code.as_str(), code.label.as_str()).ok()
    }));
    let case = Case {
        id: tx.fresh_id(),
        number: next_number(tx, opened)?,
        clients: vec![person.reference()],
        case_type: row.case_type,
        summary: row.summary,
        state: if row.is_open { CaseState::InProgress } else { CaseState::Closed },
        opened,
        closed: row.closed.and_then(|on| Some(Closure { on, reason: row.reason.or_else(no_reason)?, help: None })),
        owner: tx.staff(),
        assigned: Vec::new(),
        sealed: false,
        last_activity: row.closed.unwrap_or(opened).start(),
        from_referral: None,
        facts,
        import: mark,
        made_by: tx.staff(),
        linked: Vec::new(),
        mediation: false,
        grants: Vec::new(),
        last_by: None,
        forum: row.forum,
        source: row.source,
        rest: None,
        epoch: 0,
        handed: None,
    };
    Ok(tx.insert(&case)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAPPING: &str = r#"
        source = "elsewhere"
        basis = "public data set"
        case_type = "trafficking"
        [columns.year]
        field = "opened_year"
        [columns.citizenship]
        field = "nationality"
        missing = ["0", "-99"]
        [columns.forced]
        field = "fact"
        list = "forced_labour"
        codes = { "1" = "yes", "0" = "no" }
        missing = ["-99"]
    "#;

    fn read(text: &str) -> ImportReport {
        Mapping::parse(MAPPING).unwrap().read(text.as_bytes(), &Vocabulary::default()).unwrap().report
    }

    #[test]
    fn a_value_means_missing_in_one_column_and_no_in_another() {
        let report = read("year,citizenship,forced\n2012,LK,1\n2013,0,0\n2014,-99,-99\n");
        assert_eq!((report.rows, report.refused), (3, 0));
        assert_eq!((report.columns[1].values, report.columns[1].missing), (1, 2));
        assert_eq!((report.columns[2].values, report.columns[2].missing), (2, 1));
        assert_eq!(report.columns[2].becomes, [("0".into(), "no".into(), 1), ("1".into(), "yes".into(), 1)]);
    }

    #[test]
    fn rows_that_do_not_load_are_named_by_line_and_reason() {
        let report = read("year,citizenship,forced\n2012,LK\n2013,Lanka,1\nsoon,LK,1\n2014,LK,2\n2015,LK,1\n");
        let lines: Vec<(u64, &str)> = report.problems.iter().map(|p| (p.line, p.reason.as_str())).collect();
        assert_eq!(
            lines,
            [
                (2, "it has 2 fields and the heading has 3"),
                (3, "\"Lanka\" is no country of two letters"),
                (4, "\"soon\" is no year"),
                (5, "the mapping does not say what \"2\" means"),
            ]
        );
        assert_eq!(report.rows - report.refused, 1);
    }

    #[test]
    fn equal_rows_are_separate_people_and_keep_their_names() {
        let mapping = Mapping::parse(MAPPING).unwrap();
        let keys = |text: &str| -> Vec<RecordId> {
            mapping.read(text.as_bytes(), &Vocabulary::default()).unwrap().rows.iter().map(|row| row.key).collect()
        };
        let three = keys("year,citizenship,forced\n2012,LK,1\n2012,LK,1\n2013,LK,1\n");
        assert_ne!(three[0], three[1]);
        let with_one_more = keys("year,citizenship,forced\n2013,LK,1\n2012,LK,1\n2012,LK,1\n2012,LK,1\n");
        assert_eq!(with_one_more.iter().filter(|key| !three.contains(key)).count(), 1);
    }

    #[test]
    fn files_that_cannot_be_used_say_what_to_do() {
        let mapping = Mapping::parse(MAPPING).unwrap();
        let latin_1 = b"year,citizenship,forced\n2012,LK,1\n2012,\xc9,1\n";
        assert!(
            mapping
                .read(latin_1, &Vocabulary::default())
                .unwrap_err()
                .to_string()
                .starts_with("line 3 of the file is not UTF-8; save it")
        );
        let other = mapping.read(b"year,citizenship,extra\n", &Vocabulary::default()).unwrap_err().to_string();
        assert!(other.contains("does not have: forced"), "{other}");
        let more = mapping.read(b"year,citizenship,forced,extra\n", &Vocabulary::default()).unwrap_err().to_string();
        assert!(more.contains("says nothing about these columns: extra"), "{more}");
        assert!(Mapping::parse("source = 1").is_err());
    }
}
