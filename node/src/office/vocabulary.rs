//! The code lists and forms of the office: to read, to add to, to import.

use super::people::Problems;
use super::{CodeListView, Desk, DeskError, FieldProblem, TermView};
use crate::codes;
use crate::forms::{FIELDS_MAX, FieldKind, Form, FormField};
use crate::packs;
use crate::records::{OfficeCode, OfficeForm, OfficeList};
use crate::vault::{Record, Sealed, Tx, VaultError};
use crate::vocabulary::{Term, Vocabulary, id_of, read_form};
use casemesh_protocol::terms::Code;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use utoipa::ToSchema;

/// Codes of one list.
const CODES_MAX: usize = 5_000;
/// Letters of one list: it is one record.
const LIST_BYTES_MAX: usize = 512 * 1024;
/// Longest label: what a coded value can carry.
const LABEL_BYTES_MAX: usize = 200;
/// Longest explanation.
const EXPLANATION_BYTES_MAX: usize = 1_000;
/// Longest file of lists.
pub const LISTS_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Codes on one page.
pub const TERMS_ROWS: usize = 100;
/// Entries of an import that a report names one by one.
const NAMED_MAX: usize = 100;

/// A list of the office's own, as entered.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CodeListInput {
    /// What it is called.
    pub title: String,
}

/// A code as entered: a new one, or a change of one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TermInput {
    /// The code that is changed; empty for a new one, which is given one.
    pub code: String,
    /// Its label. The label of a code of this program stays what it is.
    pub label: String,
    /// What it means, and when to choose it.
    pub explanation: String,
    /// Whether forms offer it.
    pub offered: bool,
    /// The code of the network's list that one of the office's own is counted as in what leaves; empty where it stands for itself.
    pub counts_as: String,
}

/// A field of a form as entered.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct FormFieldInput {
    /// The field that is changed; empty for a new one.
    pub id: String,
    /// What it asks; a line without is left out.
    pub label: String,
    /// line, text, day, number, money, code or yes_no.
    pub kind: String,
    /// The list, for a code.
    pub list: String,
    /// Whether an entry needs it.
    pub required: bool,
    /// Not asked any more.
    pub retired: bool,
}

/// A form as entered.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct FormInput {
    /// What it is called. A form of this program keeps its name.
    pub title: String,
    /// case, person or office. A form keeps what it is about.
    pub about: String,
    /// The fields of the office, in order. Those of this program are named to leave them out.
    pub fields: Vec<FormFieldInput>,
    /// Not offered any more.
    pub retired: bool,
    /// The revision that was read; none to change whatever stands there.
    pub revision: Option<u64>,
}

/// What the entries of a file of lists are: a JSON array of objects, or CSV with headings. Keys of nested objects are
/// joined with a point.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListMapping {
    /// Where the file comes from, in words.
    pub source: String,
    /// The key of the list that an entry belongs to.
    pub list: String,
    /// The key of the code.
    pub code: String,
    /// The key of the label.
    pub label: String,
    /// The key of an explanation.
    pub explanation: Option<String>,
    /// What the names of the lists begin with, so that two sources do not mix.
    pub prefix: String,
    /// Titles of lists, by what stands under `list`.
    #[serde(default)]
    pub titles: BTreeMap<String, String>,
    /// Entries to leave out: a key and the value that says so.
    #[serde(default)]
    pub skip: BTreeMap<String, String>,
}

/// What an import of lists will do, or did.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ListsReport {
    /// Where the file comes from.
    pub source: String,
    /// Entries in the file.
    pub entries: usize,
    /// Lists in the file.
    pub lists: usize,
    /// Codes that are new.
    pub new: usize,
    /// Codes whose label or explanation changes.
    pub changed: usize,
    /// Codes that are known as they are.
    pub known: usize,
    /// Entries that the mapping leaves out.
    pub skipped: usize,
    /// Entries that cannot be used.
    pub refused: usize,
    /// Each of them, up to a hundred: its number in the file, and why.
    pub problems: Vec<(usize, String)>,
}

/// A list as it is read from a file.
struct Taken {
    /// How the file calls it.
    called: String,
    bytes: usize,
    seen: BTreeSet<String>,
    list: OfficeList,
}

/// Lists that were read from a file.
#[derive(Debug)]
pub struct ReadLists {
    lists: BTreeMap<String, OfficeList>,
    report: ListsReport,
}

/// A key of a list: small Latin letters, digits and underscores.
fn plain_key(text: &str) -> String {
    let latin = any_ascii::any_ascii(text).to_ascii_lowercase();
    let plain: String = latin.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    plain.trim_matches('_').to_owned()
}

fn flat(value: &serde_json::Value, at: &str, found: &mut BTreeMap<String, String>) {
    match value {
        serde_json::Value::Object(entries) => {
            for (key, value) in entries {
                flat(value, &if at.is_empty() { key.clone() } else { format!("{at}.{key}") }, found);
            }
        }
        serde_json::Value::String(text) => drop(found.insert(at.to_owned(), text.clone())),
        serde_json::Value::Null => {}
        other => drop(found.insert(at.to_owned(), other.to_string())),
    }
}

impl ListMapping {
    /// Reads a mapping file.
    ///
    /// # Errors
    /// When a key is unknown or missing: with the line.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mapping: Self = toml::from_str(text).map_err(|error| error.to_string())?;
        let prefix = plain_key(&mapping.prefix);
        if prefix.is_empty() || prefix.starts_with("own") {
            return Err("`prefix` needs a letter or digit, and not `own`: names of imported lists begin with it".into());
        }
        Ok(mapping)
    }

    fn entries(bytes: &[u8]) -> Result<Vec<BTreeMap<String, String>>, String> {
        if bytes.len() > LISTS_BYTES_MAX {
            return Err(format!("the file is longer than {LISTS_BYTES_MAX} bytes; split it"));
        }
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        if bytes.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'[') {
            let values: Vec<serde_json::Value> =
                serde_json::from_slice(bytes).map_err(|error| format!("this is no JSON array of entries: {error}"))?;
            let entry = |value: &serde_json::Value| {
                let mut found = BTreeMap::new();
                flat(value, "", &mut found);
                found
            };
            return Ok(values.iter().map(entry).collect());
        }
        let mut reader = csv::Reader::from_reader(bytes);
        let rows = reader.deserialize::<BTreeMap<String, String>>();
        rows.map(|row| row.map_err(|error| format!("this is neither a JSON array nor a CSV table: {error}"))).collect()
    }

    /// Reads a file of lists. Pure.
    ///
    /// # Errors
    /// When the file as a whole cannot be used.
    pub fn read(&self, bytes: &[u8]) -> Result<ReadLists, String> {
        let mut report = ListsReport { source: self.source.clone(), ..ListsReport::default() };
        let mut lists: BTreeMap<String, Taken> = BTreeMap::new();
        for (at, entry) in Self::entries(bytes)?.into_iter().enumerate() {
            report.entries += 1;
            if self.skip.iter().any(|(key, value)| entry.get(key) == Some(value)) {
                report.skipped += 1;
                continue;
            }
            if let Err(why) = self.take(&entry, &mut lists) {
                report.refused += 1;
                if report.problems.len() < NAMED_MAX {
                    report.problems.push((at + 1, why));
                }
            }
        }
        report.lists = lists.len();
        Ok(ReadLists { lists: lists.into_iter().map(|(name, taken)| (name, taken.list)).collect(), report })
    }

    fn take(&self, entry: &BTreeMap<String, String>, lists: &mut BTreeMap<String, Taken>) -> Result<(), String> {
        let part = |key: &str| -> Result<&str, String> {
            let found = entry.get(key).map(|text| text.trim()).filter(|text| !text.is_empty());
            found.ok_or_else(|| format!("it has no {key:?}"))
        };
        let (list, code, label) = (part(&self.list)?, part(&self.code)?, part(&self.label)?);
        let name = format!("{}_{}", plain_key(&self.prefix), plain_key(list));
        let explanation = self.explanation.as_deref().and_then(|key| entry.get(key)).map(|text| text.trim());
        let explanation = explanation.filter(|text| *text != label).unwrap_or_default();
        if codes::list(&name).is_some() {
            return Err(format!("{name:?} is a list of this program; choose another `prefix`"));
        }
        if Code::new(&name, 1, code, label).is_err() || explanation.len() > EXPLANATION_BYTES_MAX {
            return Err(format!("its list, code or text is too long: {code:?}"));
        }
        let title = self.titles.get(list).cloned().unwrap_or_else(|| list.replace('_', " "));
        let known = lists.entry(name.clone()).or_insert_with(|| Taken {
            called: list.to_owned(),
            bytes: 0,
            seen: BTreeSet::new(),
            list: OfficeList {
                title,
                source: self.source.clone(),
                ..OfficeList::new(<OfficeList as Record>::TOP, &name)
            },
        });
        if known.called != list {
            return Err(format!("{list:?} and {:?} would be one list here; rename one in the file", known.called));
        }
        if !known.seen.insert(code.to_owned()) {
            return Err(format!("the list {list:?} has the code {code:?} twice"));
        }
        known.bytes += code.len() + label.len() + explanation.len();
        if known.list.codes.len() >= CODES_MAX || known.bytes > LIST_BYTES_MAX {
            return Err(format!("the list {list:?} has more than {CODES_MAX} codes, or is too long; split it"));
        }
        known.list.codes.push(OfficeCode {
            code: code.to_owned(),
            label: label.to_owned(),
            explanation: explanation.to_owned(),
            retired: false,
            counts_as: None,
        });
        Ok(())
    }
}

/// Brings a list that was read into what the office has of it: how many codes are new, changed, and known as they are. A
/// code that the office retired stays so; one that the file does not have any more stays.
fn bring(list: &mut OfficeList, read: &OfficeList) -> (usize, usize, usize) {
    let (mut new, mut changed, mut known) = (0, 0, 0);
    if list.codes.is_empty() {
        list.title.clone_from(&read.title);
        list.source.clone_from(&read.source);
    }
    let at: BTreeMap<String, usize> = list.codes.iter().enumerate().map(|(at, code)| (code.code.clone(), at)).collect();
    for code in &read.codes {
        match at.get(&code.code).copied().and_then(|at| list.codes.get_mut(at)) {
            Some(held) if held.label == code.label && held.explanation == code.explanation => known += 1,
            Some(held) => {
                changed += 1;
                *held = OfficeCode { retired: held.retired, counts_as: held.counts_as.clone(), ..code.clone() };
            }
            None => {
                new += 1;
                list.codes.push(code.clone());
            }
        }
    }
    (new, changed, known)
}

impl ReadLists {
    /// What an office's lists would become: what is new in them, and the lists that change.
    fn against(&self, words: &Vocabulary) -> (ListsReport, Vec<&OfficeList>) {
        let mut report = self.report.clone();
        let mut changing = Vec::new();
        for (name, read) in &self.lists {
            let mut list = words.own(name).cloned().unwrap_or_else(|| OfficeList::new(OfficeList::TOP, name));
            let (new, changed, known) = bring(&mut list, read);
            report.new += new;
            report.changed += changed;
            report.known += known;
            if new + changed > 0 {
                changing.push(read);
            }
        }
        (report, changing)
    }
}

/// Changes what the office says of a list, from what stands on the disk now.
fn change_list<T>(
    tx: &mut Tx<'_>,
    name: &str,
    change: impl FnOnce(&mut OfficeList) -> Result<T, DeskError>,
) -> Result<T, DeskError> {
    match tx.list::<OfficeList>(OfficeList::TOP)?.into_iter().find(|known| known.record.name == name) {
        Some(mut known) => {
            let done = change(&mut known.record)?;
            tx.about(known.record.id);
            tx.update(&known.record, known.revision)?;
            Ok(done)
        }
        None => {
            let mut list = OfficeList::new(tx.fresh_id(), name);
            let done = change(&mut list)?;
            tx.about(list.id);
            tx.insert(&list)?;
            Ok(done)
        }
    }
}

fn read_field(problems: &mut Problems, number: usize, words: &Vocabulary, input: &FormFieldInput) -> Option<FormField> {
    let at = |field: &str| format!("{number}:{field}");
    let kind: Option<FieldKind> = serde_json::from_value(serde_json::Value::String(input.kind.clone())).ok();
    let Some(kind) = kind else {
        problems.with(&at("kind"), "unknown-value", &input.kind);
        return None;
    };
    let list = Some(input.list.clone()).filter(|_| kind == FieldKind::Code);
    if list.as_ref().is_some_and(|list| !words.has_list(list)) {
        problems.with(&at("list"), if input.list.is_empty() { "required" } else { "unknown-value" }, &input.list);
    }
    let label = problems.required_text(&at("label"), &input.label, LABEL_BYTES_MAX);
    Some(FormField {
        id: input.id.clone(),
        label: Some(label),
        kind,
        list,
        required: input.required,
        min: None,
        max: None,
        retired: input.retired,
    })
}

impl Desk {
    /// The code lists that the office works with.
    pub fn code_lists(&self) -> Vec<CodeListView> {
        let words = self.vocabulary();
        let view = |name: &str| {
            let own = words.own(name);
            CodeListView {
                name: name.to_owned(),
                title: own.map(|own| own.title.clone()).unwrap_or_default(),
                source: own.map(|own| own.source.clone()).unwrap_or_default(),
                codes: words.terms(name).filter(|term| term.offered).count(),
                own: codes::list(name).is_none(),
            }
        };
        words.list_names().map(view).collect()
    }

    /// The codes of a list that a text finds, in its order.
    ///
    /// # Errors
    /// When there is no such list.
    pub fn terms(&self, list: &str, text: &str) -> Result<Vec<TermView>, DeskError> {
        let words = self.vocabulary();
        if !words.has_list(list) {
            return Err(DeskError::NotFound);
        }
        let text = text.trim().to_lowercase();
        let is_found = |text_of: &str| text_of.to_lowercase().contains(&text);
        let found = words.terms(list).filter(|term| is_found(&term.label) || is_found(&term.code));
        Ok(found.map(|term| TermView { list: list.to_owned(), term }).collect())
    }

    /// Makes a list of the office's own; its name.
    ///
    /// # Errors
    /// When fields are wrong or the account may not.
    pub fn add_code_list(&self, input: &CodeListInput) -> Result<String, DeskError> {
        self.administers()?;
        let mut problems = self.problems();
        let title = problems.required_text("title", &input.title, LABEL_BYTES_MAX);
        problems.done()?;
        let words = self.vocabulary();
        let name = id_of(&title, |name| words.has_list(name));
        let made = name.clone();
        self.write("change_lists", move |tx| {
            change_list(tx, &made, |list| {
                list.title = title;
                Ok(())
            })
        })?;
        Ok(name)
    }

    /// Adds a code to a list, or changes what the office says of one.
    ///
    /// # Errors
    /// When fields are wrong, there is no such list or code, or the account may not.
    pub fn put_term(&self, list: &str, input: &TermInput) -> Result<String, DeskError> {
        self.administers()?;
        let words = self.vocabulary();
        if !words.has_list(list) {
            return Err(DeskError::NotFound);
        }
        let name = list.to_owned();
        if words.shared(list, &input.code).is_some() {
            let (code, offered) = (input.code.clone(), input.offered);
            self.write("change_lists", move |tx| {
                change_list(tx, &name, |list| {
                    list.choices.retain(|(known, _)| *known != code);
                    list.choices.push((code, offered));
                    Ok(())
                })
            })?;
            return Ok(input.code.clone());
        }
        let mut problems = self.problems();
        let label = problems.required_text("label", &input.label, LABEL_BYTES_MAX);
        let explanation = problems.text("explanation", &input.explanation, EXPLANATION_BYTES_MAX);
        let is_same =
            |term: &Term| term.code != input.code && term.offered && term.label.to_lowercase() == label.to_lowercase();
        if words.terms(list).any(|term| is_same(&term)) {
            problems.add("label", "label-taken");
        }
        if words.own(list).is_some_and(|own| own.codes.len() >= CODES_MAX) {
            problems.with("label", "too-many", CODES_MAX);
        }
        let counts_as = Some(input.counts_as.trim().to_owned()).filter(|code| !code.is_empty());
        if let Some(unknown) = counts_as.as_deref().filter(|above| words.shared(list, above).is_none()) {
            problems.with("counts_as", "unknown-value", unknown);
        }
        problems.done()?;
        let (code, offered) = (input.code.clone(), input.offered);
        self.write("change_lists", move |tx| {
            change_list(tx, &name, |list| {
                let is_new = code.is_empty();
                let is_taken = |code: &str| list.code(code).is_some() || codes::code(&list.name, code).is_some();
                let code = if is_new { id_of(&label, is_taken) } else { code };
                let retired = !(is_new || offered);
                let changed = OfficeCode { code: code.clone(), label, explanation, retired, counts_as };
                match list.codes.iter_mut().find(|known| known.code == code) {
                    Some(known) => *known = changed,
                    None if is_new => list.codes.push(changed),
                    None => return Err(DeskError::NotFound),
                }
                Ok(code)
            })
        })
    }

    /// Reads a file of lists by a mapping file.
    ///
    /// # Errors
    /// When the account may not import lists, or one of the files cannot be used.
    pub fn read_lists(&self, mapping: &str, file: &[u8]) -> Result<ReadLists, DeskError> {
        self.administers()?;
        let unusable = |field: &str, why: String| {
            DeskError::Invalid(vec![FieldProblem { field: field.into(), problem: "file-unusable".into(), detail: why }])
        };
        let mapping = ListMapping::parse(mapping).map_err(|why| unusable("mapping", why))?;
        mapping.read(file).map_err(|why| unusable("file", why))
    }

    /// Imports lists, or says what an import would do. What is known already is not written again.
    ///
    /// # Errors
    /// When the account may not.
    pub fn import_lists(&self, read: &ReadLists, dry_run: bool) -> Result<ListsReport, DeskError> {
        self.administers()?;
        let (report, changing) = read.against(&self.vocabulary());
        for read in changing.into_iter().filter(|_| !dry_run).cloned() {
            // One command a list, from what stands on the disk then: what somebody adds meanwhile stays.
            self.write("import_lists", move |tx| {
                change_list(tx, &read.name.clone(), |list| {
                    bring(list, &read);
                    Ok(())
                })
            })?;
        }
        Ok(report)
    }

    /// All forms of the office, those that are not offered included.
    pub fn all_forms(&self) -> Vec<Arc<Form>> {
        self.vocabulary().forms().map(Arc::clone).collect()
    }

    /// How often the office changed a form: what a change names, so that nobody's is overwritten unseen.
    ///
    /// # Errors
    /// When the store refuses.
    pub fn form_revision(&self, id: &str) -> Result<u64, DeskError> {
        let held = self.office.vault.list::<OfficeForm>(OfficeForm::TOP)?;
        let mut held = held.into_iter();
        let is_it = |held: &Sealed<OfficeForm>| read_form(&held.record).is_some_and(|form| form.id == id);
        Ok(held.find(is_it).map_or(0, |held| held.revision))
    }

    /// Makes a form of the office's own, or changes one; or says which fields a form of this program has here. Its id.
    ///
    /// # Errors
    /// When fields are wrong, there is no such form, or the account may not.
    pub fn put_form(&self, id: Option<&str>, input: &FormInput) -> Result<String, DeskError> {
        self.administers()?;
        let words = self.vocabulary();
        // From what stands on the disk, and not from the index: who was first wins.
        let held = self.office.vault.list::<OfficeForm>(OfficeForm::TOP)?;
        let read = |held: &Sealed<OfficeForm>| read_form(&held.record).filter(|form| Some(form.id.as_str()) == id);
        let held = held.into_iter().find_map(|held| Some((read(&held)?, held)));
        let revision = held.as_ref().map_or(0, |(_, held)| held.revision);
        if input.revision.is_some_and(|read| read != revision) {
            return Err(VaultError::Conflict.into());
        }
        let known = match (&held, id) {
            (Some((form, _)), _) => Some(form.clone()),
            (None, Some(id)) => Some(Form::clone(words.form(id).ok_or(DeskError::NotFound)?)),
            (None, None) => None,
        };
        let mut problems = self.problems();
        let is_ours = known.as_ref().is_some_and(|form| form.title.is_none());
        let title = if is_ours { None } else { Some(problems.required_text("title", &input.title, LABEL_BYTES_MAX)) };
        let about = match &known {
            Some(form) => Some(form.about),
            None => serde_json::from_value(serde_json::Value::String(input.about.clone())).ok(),
        };
        if about.is_none() {
            problems.with("about", "unknown-value", &input.about);
        }
        let form_id = match (&known, &title) {
            (Some(form), _) => form.id.clone(),
            (None, title) => id_of(title.as_deref().unwrap_or_default(), |id| words.form(id).is_some()),
        };
        let mut ids: BTreeSet<String> =
            known.iter().flat_map(|form| &form.fields).map(|field| field.id.clone()).collect();
        let mut fields: Vec<FormField> = Vec::new();
        for (at, given) in input.fields.iter().enumerate() {
            let earlier = known.as_ref().and_then(|form| form.field(&given.id));
            match earlier {
                // Of a field of this program, the office says only whether it is asked.
                Some(field) if field.label.is_none() => {
                    fields.push(FormField { retired: given.retired, ..field.clone() });
                }
                Some(field) => {
                    let Some(changed) = read_field(&mut problems, at + 1, &words, given) else { continue };
                    // What earlier answers are stays what they are.
                    fields.push(FormField { kind: field.kind, list: field.list.clone(), ..changed });
                }
                None if given.label.trim().is_empty() && given.id.is_empty() => {}
                None => {
                    let Some(mut field) = read_field(&mut problems, at + 1, &words, given) else { continue };
                    // What is known of a field stands in a form beside it under its name and `_state`.
                    field.id = id_of(&given.label, |id| ids.contains(id) || id.ends_with("_state"));
                    ids.insert(field.id.clone());
                    fields.push(field);
                }
            }
        }
        // A field that was not named stays as it is.
        for field in known.iter().flat_map(|form| &form.fields) {
            if !fields.iter().any(|named| named.id == field.id) {
                fields.push(field.clone());
            }
        }
        if fields.is_empty() || fields.len() > FIELDS_MAX {
            problems.with("fields", "form-size", FIELDS_MAX);
        }
        problems.done()?;
        let Some(about) = about else { return Err(DeskError::NotFound) };
        let form = Form {
            id: form_id.clone(),
            title,
            about,
            module: packs::CORE.to_owned(),
            fields,
            tasks: Vec::new(),
            approved: false,
            retired: input.retired,
        };
        let definition = serde_json::to_string(&form).unwrap_or_default();
        self.write("change_forms", move |tx| {
            match held {
                Some((_, mut held)) => {
                    held.record.definition = definition;
                    tx.about(held.record.id);
                    tx.update(&held.record, held.revision)?;
                }
                None => {
                    let all = tx.list::<OfficeForm>(OfficeForm::TOP)?;
                    if all.iter().any(|other| read_form(&other.record).is_some_and(|other| other.id == form.id)) {
                        return Err(VaultError::Conflict.into());
                    }
                    let record = OfficeForm { id: tx.fresh_id(), definition };
                    tx.about(record.id);
                    tx.insert(&record)?;
                }
            }
            Ok::<(), DeskError>(())
        })?;
        Ok(form_id)
    }
}

/// The kinds of fields, as words.
pub const FIELD_KINDS: &[&str] = &["line", "text", "day", "number", "money", "code", "yes_no"];

#[cfg(test)]
mod tests {
    use super::*;

    const MAPPING: &str = r#"
        source = "a list of somebody"
        list = "fields.field_name"
        code = "fields.item_id"
        label = "fields.item_description"
        prefix = "them"
        titles = { care_type_id = "Kinds of care" }
        skip = { "fields.is_void" = "True" }
    "#;
    const FILE: &[u8] = br#"[
        {"pk": 1, "fields": {"field_name": "care_type_id", "item_id": "A", "item_description": "With kin", "is_void": "False"}},
        {"pk": 2, "fields": {"field_name": "care_type_id", "item_id": "B", "item_description": "Foster", "is_void": "False"}},
        {"pk": 3, "fields": {"field_name": "care_type_id", "item_id": "B", "item_description": "Again", "is_void": "False"}},
        {"pk": 4, "fields": {"field_name": "care_type_id", "item_id": "C", "item_description": "Old", "is_void": "True"}},
        {"pk": 5, "fields": {"field_name": "area", "item_id": 7, "item_description": "Hill", "is_void": "False"}},
        {"pk": 6, "fields": {"field_name": "area", "item_description": "Nowhere", "is_void": "False"}}
    ]"#;

    #[test]
    fn a_file_is_imported_once_however_often() {
        let read = ListMapping::parse(MAPPING).unwrap().read(FILE).unwrap();
        let mut words = Vocabulary::default();
        let (first, changed) = read.against(&words);
        assert_eq!((first.entries, first.lists, first.new, first.known), (6, 2, 3, 0));
        assert_eq!((first.skipped, first.refused), (1, 2));
        assert!(first.problems[0].1.contains("twice") && first.problems[1].1.contains("item_id"), "{first:?}");
        let brought = |words: &Vocabulary, read: &OfficeList| {
            let mut list =
                words.own(&read.name).cloned().unwrap_or_else(|| OfficeList::new(OfficeList::TOP, &read.name));
            bring(&mut list, read);
            list
        };
        for list in changed {
            let list = brought(&words, list);
            words.put_list(list);
        }
        assert_eq!(words.own("them_care_type_id").unwrap().title, "Kinds of care");
        assert_eq!(words.code("them_area", "7").unwrap().label.as_str(), "Hill");
        let (again, changed) = read.against(&words);
        assert_eq!((again.new, again.changed, again.known), (0, 0, 3));
        assert!(changed.is_empty());
    }

    #[test]
    fn a_new_label_changes_the_code_and_a_retired_one_stays_so() {
        let mapping = ListMapping::parse(MAPPING).unwrap();
        let mut words = Vocabulary::default();
        for mut list in mapping.read(FILE).unwrap().lists.into_values() {
            list.codes[0].retired = true;
            words.put_list(list);
        }
        let text = String::from_utf8_lossy(FILE).replace("With kin", "With relatives");
        let read = mapping.read(text.as_bytes()).unwrap();
        let (report, changed) = read.against(&words);
        assert_eq!((report.new, report.changed), (0, 1));
        assert_eq!(changed.len(), 1);
        let mut list = words.own("them_care_type_id").unwrap().clone();
        bring(&mut list, changed[0]);
        assert!(list.codes[0].retired && list.codes[0].label == "With relatives");
    }

    #[test]
    fn lists_of_any_script_stay_apart() {
        let mapping = ListMapping::parse("source='s'\nlist='l'\ncode='c'\nlabel='t'\nprefix='x'").unwrap();
        let read = mapping.read("l,c,t\nРайон,1,Hill\nОбласть,1,Tal\nWard A,1,A\nward-a,2,B\n".as_bytes()).unwrap();
        assert_eq!(read.report.lists, 3);
        assert!(read.report.problems[0].1.contains("would be one list here"), "{:?}", read.report.problems);
        assert!(ListMapping::parse("source='s'\nlist='l'\ncode='c'\nlabel='t'\nprefix='own'").is_err());
    }

    #[test]
    fn a_table_is_read_too_and_what_is_neither_is_said() {
        let mapping = ListMapping::parse("source='s'\nlist='l'\ncode='c'\nlabel='t'\nprefix='x'").unwrap();
        let read = mapping.read("l,c,t\nward,1,Hill\nward,2,Tal\n".as_bytes()).unwrap();
        assert_eq!(read.against(&Vocabulary::default()).0.new, 2);
        assert!(mapping.read(b"[1,").unwrap_err().contains("no JSON array"));
        assert!(mapping.read(b"l,c\nward\n").unwrap_err().contains("neither"));
        assert!(
            ListMapping::parse("source='s'\nlist='l'\ncode='c'\nlabel='t'\nprefix='…'").unwrap_err().contains("prefix")
        );
    }
}
