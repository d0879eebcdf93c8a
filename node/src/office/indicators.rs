//! The office's own report: the indicators of the set that this program brings and of its own, over the cases that the asker counts.

use super::referrals::way_of;
use super::{CodeView, Desk, DeskError};
use crate::index::{CaseRow, PersonRow, Tables, Traits};
use crate::indicators;
use crate::policy::Ask;
use crate::records::{Referral, StaffRole};
use casemesh_protocol::id::RecordId;
use casemesh_protocol::indicators::{Cell, Class, Codes, Column, Columns, Indicator, Measure, Source, compute};
use casemesh_protocol::referral::{Side, Step};
use casemesh_protocol::terms::{Code, Money};
use casemesh_protocol::time::{Day, Period};
use casemesh_protocol::timers::URGENCIES;
use serde::Serialize;
use std::collections::{BTreeMap, HashMap};
use utoipa::ToSchema;

/// One class of a cell.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ClassView {
    /// A code.
    Code(CodeView),
    /// From a number until before another.
    From {
        /// The first.
        from: i64,
        /// Before which; none for all above.
        to: Option<i64>,
    },
}

/// One cell of an indicator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct IndicatorCellView {
    /// Its class in each column that it is told apart by.
    pub classes: Vec<ClassView>,
    /// What was computed; money with a decimal point.
    pub value: String,
    /// Of how many it speaks.
    pub of: u64,
    /// How long its bar is, of a hundred: the longest of the indicator has a hundred.
    pub percent: u8,
}

/// An indicator of a period.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct IndicatorView {
    /// Its name in the set.
    pub id: String,
    /// What it is called, by language.
    pub title: BTreeMap<String, String>,
    /// Whether each value is a share of what the cell speaks of.
    pub is_share: bool,
    /// The cells.
    pub cells: Vec<IndicatorCellView>,
    /// Of how many things it speaks.
    pub covered: u64,
    /// How many of them lack something that it needs.
    pub missing: u64,
    /// How many more there are that nobody may count.
    pub excluded: u64,
}

/// The indicators of a period.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ReportView {
    /// The first and last day.
    #[schema(value_type = Object)]
    pub period: Period,
    /// Name and version of the sets that they are of.
    pub sets: Vec<(String, u16)>,
    /// The indicators, in the order of the sets.
    pub indicators: Vec<IndicatorView>,
    /// What is wrong with what the office wrote itself: the file, the line, and what to change.
    pub problem: Option<String>,
}

fn word(list: &str, word: &str) -> Option<Code> {
    Code::new(list, 1, word, word).ok()
}

fn codes<'a>(all: impl Iterator<Item = Option<&'a Code>>) -> Column {
    let mut codes = Codes::default();
    all.for_each(|code| codes.push(code));
    Column::Code(codes)
}

/// Words of a list of ours.
fn words<'a>(list: &str, all: impl Iterator<Item = Option<&'a str>>) -> Column {
    let mut codes = Codes::default();
    all.for_each(|one| codes.push_word(one, |one| word(list, one)));
    Column::Code(codes)
}

/// First and last case of somebody, and how many.
type Seen = (Day, Day, i64);

fn days(from: Day, to: Day) -> Option<i64> {
    Some(i64::from(from.days_to(to)))
}

impl Tables {
    fn case_columns(&self, counts: impl Fn(&CaseRow) -> bool, today: Day) -> Columns {
        let rows: Vec<&CaseRow> = self.cases.values().map(AsRef::as_ref).filter(|case| counts(case)).collect();
        Columns {
            counts: rows.iter().map(|case| self.counted(case)).collect(),
            columns: BTreeMap::from([
                ("opened", Column::Day(rows.iter().map(|case| Some(case.opened)).collect())),
                ("closed", Column::Day(rows.iter().map(|case| case.closed).collect())),
                ("case_type", codes(rows.iter().map(|case| case.case_type.as_deref()))),
                ("state", words("case_state", rows.iter().map(|case| Some(case.state.as_str())))),
                (
                    "days_open",
                    Column::Number(rows.iter().map(|case| days(case.opened, case.closed.unwrap_or(today))).collect()),
                ),
                ("handed_over", Column::Flag(rows.iter().map(|case| case.handed_over).collect())),
                ("has_owner", Column::Flag(rows.iter().map(|case| case.owner.is_some()).collect())),
            ]),
        }
    }

    fn referral_columns(&self, counts: impl Fn(&CaseRow) -> bool, counts_incoming: bool) -> Columns {
        let is_in = |referral: &&Referral| match referral.case.and_then(|case| self.cases.get(&case)) {
            Some(case) => counts(case),
            None => counts_incoming,
        };
        let rows: Vec<&Referral> = self.referrals.values().map(AsRef::as_ref).filter(is_in).collect();
        let threads: Vec<_> = rows.iter().map(|referral| referral.thread()).collect();
        let sent = threads.iter().map(|thread| {
            let is_first = |side, step: &Step| side == Side::Sender && matches!(step, Step::Sent { .. });
            let first = thread.applied().find(|(event, _)| is_first(event.side, &event.event.step));
            first.map(|(event, _)| self.zone.day(event.event.at))
        });
        let sent: Vec<Option<Day>> = sent.collect();
        let urgency = |referral: &&Referral| URGENCIES.get(usize::from(referral.urgency)).copied();
        let reasons: Vec<Option<Code>> = threads
            .iter()
            .map(|thread| {
                thread
                    .applied()
                    .filter_map(|(event, _)| match &event.event.step {
                        Step::Declined { reason, .. } | Step::Failed { reason, .. } => Some(reason.clone()),
                        _ => None,
                    })
                    .last()
            })
            .collect();
        let answered = rows.iter().zip(&sent).map(|(referral, sent)| {
            let answered = way_of(referral).answered.map(|at| self.zone.day(at));
            sent.zip(answered).and_then(|(sent, answered)| days(sent, answered))
        });
        Columns {
            counts: rows
                .iter()
                .map(|referral| {
                    referral
                        .client
                        .and_then(|client| self.persons.get(&client))
                        .is_none_or(|client| client.counting.counts())
                })
                .collect(),
            columns: BTreeMap::from([
                ("outgoing", Column::Flag(rows.iter().map(|referral| referral.outgoing).collect())),
                ("service", codes(rows.iter().map(|referral| Some(&referral.preview.service)))),
                (
                    "state",
                    words("referral_state", rows.iter().map(|referral| Some(self.stands(referral).state.as_str()))),
                ),
                ("urgency", words("urgency", rows.iter().map(urgency))),
                ("reason", codes(reasons.iter().map(Option::as_ref))),
                ("days_to_answer", Column::Number(answered.collect())),
                ("sent", Column::Day(sent)),
            ]),
        }
    }

    /// People by the cases that are counted: the first of them makes somebody new.
    fn people_columns(&self, counts: impl Fn(&CaseRow) -> bool) -> Columns {
        let mut people: HashMap<RecordId, Seen> = HashMap::new();
        for case in self.cases.values().filter(|case| counts(case)) {
            for client in &case.clients {
                let seen = people.entry(self.standing(*client)).or_insert((case.opened, case.opened, 0));
                *seen = (seen.0.min(case.opened), seen.1.max(case.opened), seen.2 + 1);
            }
        }
        let rows: Vec<(Option<&PersonRow>, Seen)> =
            people.into_iter().map(|(id, seen)| (self.persons.get(&id).map(AsRef::as_ref), seen)).collect();
        let traits =
            |row: &Option<&PersonRow>| row.and_then(|person| person.traits.as_deref()).cloned().unwrap_or_default();
        let all: Vec<Traits> = rows.iter().map(|(person, _)| traits(person)).collect();
        // The band that was recorded, or that of the year of birth when they first came.
        let mut bands = Codes::default();
        for ((person, (first, ..)), traits) in rows.iter().zip(&all) {
            let born = person.and_then(|person| person.birth_year).filter(|_| traits.age_band.is_none());
            match born.and_then(|born| crate::codes::age_band(i64::from(first.year()) - i64::from(born))) {
                Some(band) => bands.push(Some(&band)),
                None => bands.push(traits.age_band.as_deref()),
            }
        }
        Columns {
            counts: rows.iter().map(|(person, _)| person.is_none_or(|person| person.counting.counts())).collect(),
            columns: BTreeMap::from([
                ("first_case", Column::Day(rows.iter().map(|(_, (first, ..))| Some(*first)).collect())),
                ("last_case", Column::Day(rows.iter().map(|(_, (_, last, _))| Some(*last)).collect())),
                ("sex", codes(all.iter().map(|traits| traits.sex.as_deref()))),
                ("age_band", Column::Code(bands)),
                ("nationality", codes(all.iter().map(|traits| traits.nationality.as_deref()))),
                ("cases", Column::Number(rows.iter().map(|(.., (_, _, cases))| Some(*cases)).collect())),
            ]),
        }
    }

    fn payment_columns(&self, counts: impl Fn(&CaseRow) -> bool) -> Columns {
        let is_in = |case: &RecordId| self.cases.get(case).is_none_or(|case| counts(case));
        let rows: Vec<_> = self.payments.values().filter(|payment| is_in(&payment.case)).collect();
        let currencies: Vec<Option<Code>> =
            rows.iter().map(|payment| word("currency", &payment.money.currency.to_string())).collect();
        Columns {
            counts: rows
                .iter()
                .map(|payment| self.cases.get(&payment.case).is_none_or(|case| self.counted(case)))
                .collect(),
            columns: BTreeMap::from([
                ("paid", Column::Day(rows.iter().map(|payment| payment.paid).collect())),
                ("kind", words("payment", rows.iter().map(|payment| Some(payment.kind.as_str())))),
                ("currency", codes(currencies.iter().map(Option::as_ref))),
                ("amount", Column::Number(rows.iter().map(|payment| Some(payment.money.minor)).collect())),
                ("recovered_here", Column::Flag(rows.iter().map(|payment| payment.recovered_here).collect())),
            ]),
        }
    }
}

fn view(indicator: &Indicator, columns: &Columns, period: Period) -> IndicatorView {
    let found = compute(indicator, columns, period);
    let longest = found.cells.iter().map(|cell| cell.value).max().unwrap_or_default().max(1);
    let is_money = matches!(indicator.measure, Measure::Sum(_)) && indicator.source.0 == Source::Payments;
    let cell = |cell: &Cell| {
        let currency = cell.classes.iter().find_map(|class| match class {
            Class::Code(code) if code.list.as_str() == "currency" => code.code.as_str().parse().ok(),
            _ => None,
        });
        IndicatorCellView {
            classes: cell
                .classes
                .iter()
                .map(|class| match class {
                    Class::Code(code) => ClassView::Code(CodeView::from(code)),
                    Class::From(from, to) => ClassView::From { from: *from, to: *to },
                })
                .collect(),
            value: match currency.filter(|_| is_money) {
                Some(currency) => Money { minor: cell.value, currency }.amount(),
                None => cell.value.to_string(),
            },
            of: cell.of,
            percent: u8::try_from(cell.value.max(0).saturating_mul(100) / longest).unwrap_or(100),
        }
    };
    IndicatorView {
        id: indicator.id.clone(),
        title: indicator.title.clone(),
        is_share: indicator.is_share(),
        cells: found.cells.iter().map(cell).collect(),
        covered: found.covered,
        missing: found.missing,
        excluded: found.excluded,
    }
}

impl Desk {
    /// The indicators of a period, over the cases that this account counts.
    ///
    /// # Errors
    /// When the account may not see figures.
    pub fn report(&self, period: Period) -> Result<ReportView, DeskError> {
        self.allow(Ask::SeeFigures)?;
        let (own, problem) = match indicators::own(&self.office.around.folder) {
            Ok(own) => (own, None),
            Err(problem) => (None, Some(problem)),
        };
        let sets: Vec<&indicators::Set> = std::iter::once(indicators::shipped()).chain(&own).collect();
        let today = self.today();
        let tables = self.office.index.read();
        let counts = |case: &CaseRow| self.counts(&tables, case);
        let columns = [
            tables.case_columns(counts, today),
            tables.referral_columns(counts, self.answers_referrals() || self.has_role(StaffRole::Reporting)),
            tables.payment_columns(counts),
            tables.people_columns(counts),
        ];
        drop(tables);
        self.office.vault.note(Some(self.actor.staff), "figures", None);
        let [cases, referrals, payments, people] = &columns;
        let of = |source| match source {
            Source::Cases => cases,
            Source::Referrals => referrals,
            Source::Payments => payments,
            Source::People => people,
        };
        let all = sets.iter().flat_map(|set| &set.indicators);
        Ok(ReportView {
            period,
            sets: sets.iter().map(|set| (set.id.clone(), set.version)).collect(),
            indicators: all.map(|indicator| view(indicator, of(indicator.source.0), period)).collect(),
            problem,
        })
    }
}
