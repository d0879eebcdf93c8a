//! The columns that indicators are computed over, from the index: only those that some indicator names.

mod cases;
mod referrals;
mod work;

pub(super) use referrals::ANSWERS;

use crate::index::{CaseRow, EntryRow, PersonRow, Stale, Tables};
use crate::policy::Actor;
use crate::records::{RegisterLine, Request, Tier};
use crate::vocabulary::Vocabulary;
use casemesh_protocol::id::{RecordId, StaffId};
use casemesh_protocol::indicators::{Codes, Column, Columns, Indicator, SEVERAL, Source};
use casemesh_protocol::statistics::word_code;
use casemesh_protocol::terms::{Code, Money};
use casemesh_protocol::time::{Day, Timestamp};
use casemesh_protocol::timers::Rules;
use std::borrow::Borrow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Which columns of each source are named.
#[derive(Debug, Default)]
pub(super) struct Wanted<'a>(BTreeSet<(Source, &'a str)>);

impl<'a> Wanted<'a> {
    /// Those that these indicators name.
    pub(super) fn by(indicators: impl Iterator<Item = &'a Indicator>) -> Self {
        let mut all = BTreeSet::new();
        for one in indicators {
            let source = one.source.0;
            all.extend(one.when.days().into_iter().chain(one.columns()).map(|column| (source, column)));
        }
        Self(all)
    }

    /// The sources of which some is named.
    pub(super) fn sources(&self) -> BTreeSet<Source> {
        self.0.iter().map(|(source, _)| *source).collect()
    }

    /// The names of those of a source, to know them again.
    pub(super) fn names(&self, of: Source) -> Vec<String> {
        let own = self.0.iter().filter(|(source, _)| *source == of);
        own.map(|(_, column)| (*column).to_owned()).collect()
    }

    /// Whether one of these columns of a source is named.
    fn has_any(&self, source: Source, columns: &[&str]) -> bool {
        columns.iter().any(|column| self.0.contains(&(source, *column)))
    }

    fn of(&self, source: Source, make: impl Fn(&str) -> Option<Column>) -> BTreeMap<String, Column> {
        let own = self.0.iter().filter(|(of, _)| *of == source);
        own.filter_map(|(_, column)| Some(((*column).to_owned(), make(column)?))).collect()
    }
}

/// What is counted for whoever asks: no count tells of what they may not see.
#[derive(Clone, Copy)]
pub(super) struct Sight<'a> {
    /// Whether a case is.
    pub(super) case: &'a dyn Fn(&CaseRow) -> bool,
    /// Whether an entry of a case that is counted is, by whom it is for.
    pub(super) tier: &'a dyn Fn(&CaseRow, Tier) -> bool,
    /// Whether a colleague is.
    pub(super) colleague: &'a dyn Fn(StaffId) -> bool,
    /// Whether a line of the register is.
    pub(super) line: &'a dyn Fn(&RegisterLine) -> bool,
    /// Whether a request for approval is.
    pub(super) request: &'a dyn Fn(&Request) -> bool,
    /// Whether referrals without a case are: those that came in.
    pub(super) incoming: bool,
    /// Only what is counted for that grant.
    pub(super) grant: Option<RecordId>,
    /// Only rows of these cases, or of these people, where not all are asked for; of none where it says none.
    pub(super) only: Option<&'a BTreeSet<Option<RecordId>>>,
    /// How long answers may take.
    pub(super) rules: Rules,
    /// The time.
    pub(super) now: Timestamp,
}

impl Sight<'_> {
    /// Whether rows of a case, or of a person, are asked for.
    fn asks(&self, of: Option<RecordId>) -> bool {
        self.only.is_none_or(|only| only.contains(&of))
    }

    /// Whether a case is counted: seen, and of the grant that is asked for.
    fn has(&self, case: &CaseRow) -> bool {
        self.grant.is_none_or(|grant| case.grants.contains(&grant)) && (self.case)(case)
    }

    /// Whether an entry of a case is: one that is counted for a grant of its own is counted for that grant alone.
    fn has_entry(&self, case: &CaseRow, entry: &EntryRow) -> bool {
        let is_granted = |grant| entry.grant.map_or(case.grants.contains(&grant), |own| own == grant);
        self.grant.is_none_or(is_granted) && (self.case)(case) && (self.tier)(case, entry.tier)
    }

    /// Whether what is of no case and no grant is.
    fn has_own(&self, grant: Option<RecordId>) -> bool {
        self.grant.is_none_or(|asked| grant == Some(asked))
    }
}

/// The rows of one source, and for each the case that it is about, where it is about one.
#[derive(Debug, Clone, Default)]
pub(super) struct Rows {
    pub(super) columns: Columns,
    pub(super) cases: Vec<Option<RecordId>>,
    /// Of rows of people, whose each is.
    pub(super) people: Vec<RecordId>,
}

impl Rows {
    /// Puts fresh rows in the place of those of some cases or people; whether that could be done.
    pub(super) fn renew(&mut self, stale: &BTreeSet<Option<RecordId>>, fresh: Self) -> bool {
        let is_stale = |row: &usize| match self.people.get(*row) {
            Some(person) => stale.contains(&Some(*person)),
            None => self.cases.get(*row).is_some_and(|case| stale.contains(case)),
        };
        let rows: Vec<usize> = (0..self.cases.len()).filter(is_stale).collect();
        for row in rows.into_iter().rev() {
            self.columns.swap_remove(row);
            self.cases.swap_remove(row);
            if !self.people.is_empty() {
                self.people.swap_remove(row);
            }
        }
        self.cases.extend(fresh.cases);
        self.people.extend(fresh.people);
        self.columns.append(fresh.columns)
    }
}

/// The rows of so many sources are kept: those of the pages that somebody looks at again and again.
const KEPT_MAX: usize = 40;
/// So many rows are kept in all: those of an office with a hundred thousand cases, for a few who look.
const KEPT_ROWS_MAX: usize = 1_000_000;
/// How things stand by the hour, and not by the day, is computed anew after so long, also where nothing changed.
const KEPT_MS: u64 = 60_000;

/// For whom rows were made, with the roles and the team that they had then, whether who reports, and for which grant; of which source, and
/// with which columns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Key {
    pub(super) actor: Actor,
    pub(super) team: String,
    pub(super) reports: bool,
    pub(super) grant: Option<RecordId>,
    pub(super) source: Source,
    pub(super) columns: Vec<String>,
}

/// Rows that were made lately, the latest last; each with the revision of its source, and when it was made as a whole.
#[derive(Debug, Default)]
pub(super) struct Kept(Vec<KeptRows>);

#[derive(Debug)]
struct KeptRows {
    key: Key,
    revision: u64,
    at: Timestamp,
    rows: Arc<Rows>,
}

/// What is kept of rows that are asked for again.
pub(super) enum Found {
    /// They hold.
    Whole(Arc<Rows>),
    /// These do but for some; and when they were made as a whole.
    But(Arc<Rows>, Stale, Timestamp),
}

impl Kept {
    /// Those that were made for the same asker and still hold, at least in part; the latter are taken out, to be kept again.
    pub(super) fn of(&mut self, key: &Key, tables: &Tables, now: Timestamp) -> Option<Found> {
        let today = tables.zone.day(now);
        self.0.retain(|kept| {
            let is_lasting = !matches!(kept.key.source, Source::Referrals | Source::Workers | Source::Requests);
            // What cannot be renewed goes at once: it may be of somebody who was erased.
            let lasts = kept.at <= now
                && tables.zone.day(kept.at) == today
                && tables.revisions.since(kept.key.source, kept.revision).is_some();
            lasts && (is_lasting || now.ms_since(kept.at) < KEPT_MS)
        });
        let place = self.0.iter().position(|kept| kept.key == *key)?;
        let kept = self.0.get(place)?;
        if kept.revision == tables.revisions.of(key.source) {
            return Some(Found::Whole(Arc::clone(&kept.rows)));
        }
        let KeptRows { revision, at, rows, .. } = self.0.remove(place);
        let stale = tables.revisions.since(key.source, revision)?;
        Some(Found::But(rows, stale, at))
    }

    /// Keeps rows that were made as a whole at that time.
    pub(super) fn keep(&mut self, key: Key, tables: &Tables, at: Timestamp, rows: &Arc<Rows>) {
        let revision = tables.revisions.of(key.source);
        self.0.retain(|kept| kept.key != key);
        self.0.push(KeptRows { key, revision, at, rows: Arc::clone(rows) });
        let mut all: usize = self.0.iter().map(|kept| kept.rows.cases.len()).sum();
        let excess = self.0.iter().take_while(|kept| {
            let is_over = all > KEPT_ROWS_MAX;
            all -= kept.rows.cases.len();
            is_over
        });
        let excess = excess.count().min(self.0.len() - 1).max(self.0.len().saturating_sub(KEPT_MAX));
        self.0.drain(..excess);
    }
}

/// The columns of all sources.
#[derive(Debug)]
pub(super) struct AllColumns(BTreeMap<Source, Arc<Rows>>);

impl AllColumns {
    pub(super) fn of(&self, source: Source) -> &Columns {
        static NONE: Columns = Columns::NONE;
        self.0.get(&source).map_or(&NONE, |rows| &rows.columns)
    }

    /// Rows by their source.
    pub(super) fn from_rows(rows: impl Iterator<Item = (Source, Arc<Rows>)>) -> Self {
        Self(rows.collect())
    }

    /// The same, with codes of the office's own under those of the network that they are counted as, and no label but those that all
    /// have: who adds up must not take one code for two, and a label that somebody typed stays here.
    pub(super) fn named_by_the_network(mut self, words: &Vocabulary) -> Self {
        for rows in self.0.values_mut() {
            for column in Arc::make_mut(rows).columns.columns.values_mut() {
                if let Column::Code(codes) = column {
                    *codes = std::mem::take(codes).renamed(|code| as_all_call_it(words, code));
                }
            }
        }
        self
    }

    /// The case that a row of a source is about.
    pub(super) fn case_of(&self, source: Source, row: usize) -> Option<RecordId> {
        self.0.get(&source)?.cases.get(row).copied().flatten()
    }
}

impl Tables {
    /// The columns that some indicator names.
    pub(super) fn columns(&self, wanted: &Wanted<'_>, sight: &Sight<'_>) -> AllColumns {
        let made = |source: Source| (source, Arc::new(self.rows(source, wanted, sight)));
        AllColumns::from_rows(wanted.sources().into_iter().map(made))
    }

    /// The rows of one source, with the columns that some indicator names.
    pub(super) fn rows(&self, source: Source, wanted: &Wanted<'_>, sight: &Sight<'_>) -> Rows {
        match source {
            Source::Cases => self.case_columns(wanted, sight),
            Source::Referrals => self.referral_columns(wanted, sight),
            Source::Payments => self.payment_columns(wanted, sight),
            Source::People => self.people_columns(wanted, sight),
            Source::Entries => self.entry_columns(wanted, sight),
            Source::Visits => self.visit_columns(wanted, sight),
            Source::Tasks => self.task_columns(wanted, sight),
            Source::Assessments => self.assessment_columns(wanted, sight),
            Source::Workers => self.worker_columns(wanted, sight),
            Source::Requests => self.request_columns(wanted, sight),
        }
    }
}

/// What a code is called by all offices of a network.
pub(super) fn as_all_call_it(words: &Vocabulary, code: &Code) -> Option<Code> {
    let ours = || words.shared(code.list.as_str(), code.code.as_str());
    let by_id = || (code.list.as_str() == "office").then(|| word_code("office", code.code.as_str())).flatten();
    words.counts_as(code).or_else(ours).or_else(by_id)
}

fn codes<C: Borrow<Code>>(all: impl Iterator<Item = Option<C>>) -> Column {
    let mut codes = Codes::default();
    all.for_each(|code| codes.push(code.as_ref().map(Borrow::borrow)));
    Column::Code(codes)
}

/// In which currency each amount is.
fn currencies(all: impl Iterator<Item = Option<Money>>) -> Column {
    let mut codes = Codes::default();
    for money in all {
        let currency = money.map(|money| money.currency.to_string());
        codes.push_word(currency.as_deref(), |one| word_code("currency", one));
    }
    Column::Code(codes)
}

/// Words of a list of ours.
fn words<'a>(list: &str, all: impl Iterator<Item = Option<&'a str>>) -> Column {
    let mut codes = Codes::default();
    all.for_each(|one| codes.push_word(one, |one| word_code(list, one)));
    Column::Code(codes)
}

fn days(from: Day, to: Day) -> Option<i64> {
    Some(i64::from(from.days_to(to)))
}

/// The age band of somebody: the one that was recorded, or that of the year of birth on that day.
fn age_band(person: &PersonRow, on: Day) -> Option<Code> {
    let recorded = person.traits.as_deref().and_then(|traits| traits.age_band.as_deref()).cloned();
    recorded.or_else(|| crate::codes::age_band(i64::from(on.year()) - i64::from(person.birth_year?)))
}

/// The area that somebody lives in, as a code: however its letters are written.
fn area(person: &PersonRow) -> Option<Code> {
    let label = Some(person.area()).filter(|area| !area.is_empty())?;
    let code = crate::names::words(label).join("-");
    Code::new("area", 1, &code, label).ok().filter(|_| !code.is_empty())
}

/// A trait of somebody, by the name of its column, on a day.
fn of_person(person: &PersonRow, name: &str, on: Day) -> Option<Code> {
    let traits = person.traits.as_deref();
    match name {
        "sex" => traits?.sex.as_deref().cloned(),
        "age_band" => age_band(person, on),
        "nationality" => traits?.nationality.as_deref().cloned(),
        "identity" => word_code("identity", person.identity.as_str()),
        "area" => area(person),
        _ => None,
    }
}

/// A trait of the one client of each of these cases; of several clients, that they are several.
fn of_client<'a>(tables: &Tables, cases: impl Iterator<Item = Option<&'a CaseRow>>, name: &str) -> Column {
    let several = word_code(name, SEVERAL);
    codes(cases.map(|case| {
        let case = case?;
        match case.clients.as_ref() {
            [one] => of_person(tables.persons.get(&tables.standing(*one))?, name, case.opened),
            [] => None,
            _ => several.clone(),
        }
    }))
}
