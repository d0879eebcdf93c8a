//! The columns that indicators are computed over, from the index: only those that some indicator names.

use super::referrals::way_of;
use crate::index::{CaseRow, PersonRow, Tables};
use crate::records::Referral;
use casemesh_protocol::id::RecordId;
use casemesh_protocol::indicators::{Codes, Column, Columns, FACT, Indicator, Measure, SEVERAL, Source, When};
use casemesh_protocol::referral::{Side, Step};
use casemesh_protocol::statistics::word_code;
use casemesh_protocol::terms::Code;
use casemesh_protocol::time::Day;
use casemesh_protocol::timers::URGENCIES;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Which columns of each source are named.
#[derive(Debug, Default)]
pub(super) struct Wanted<'a>(BTreeSet<(Source, &'a str)>);

impl<'a> Wanted<'a> {
    /// Those that these indicators name.
    pub(super) fn by(indicators: impl Iterator<Item = &'a Indicator>) -> Self {
        let mut all = BTreeSet::new();
        for one in indicators {
            let source = one.source.0;
            match &one.when {
                When::In(day) => drop(all.insert((source, day.as_str()))),
                When::AtEnd(from, until) | When::AtStart(from, until) => {
                    all.extend([(source, from.as_str()), (source, until.as_str())]);
                }
            }
            if let Measure::Sum(column) | Measure::Median(column) = &one.measure {
                all.insert((source, column.as_str()));
            }
            all.extend(one.by.iter().map(|by| (source, by.column.as_str())));
            all.extend(one.of.iter().chain(&one.share).map(|rule| (source, rule.column.as_str())));
        }
        Self(all)
    }

    fn has(&self, source: Source) -> bool {
        self.0.iter().any(|(of, _)| *of == source)
    }

    fn of(&self, source: Source, make: impl Fn(&str) -> Option<Column>) -> BTreeMap<String, Column> {
        let own = self.0.iter().filter(|(of, _)| *of == source);
        own.filter_map(|(_, column)| Some(((*column).to_owned(), make(column)?))).collect()
    }
}

/// The columns of all sources.
pub(super) struct AllColumns([Columns; Source::ALL.len()]);

impl AllColumns {
    pub(super) fn of(&self, source: Source) -> &Columns {
        let [cases, referrals, payments, people] = &self.0;
        match source {
            Source::Cases => cases,
            Source::Referrals => referrals,
            Source::Payments => payments,
            Source::People => people,
        }
    }
}

fn codes<'a>(all: impl Iterator<Item = Option<&'a Code>>) -> Column {
    let mut codes = Codes::default();
    all.for_each(|code| codes.push(code));
    Column::Code(codes)
}

/// Words of a list of ours.
fn words<'a>(list: &str, all: impl Iterator<Item = Option<&'a str>>) -> Column {
    let mut codes = Codes::default();
    all.for_each(|one| codes.push_word(one, |one| word_code(list, one)));
    Column::Code(codes)
}

/// First and last case of somebody, and how many.
type Seen = (Day, Day, i64);

fn days(from: Day, to: Day) -> Option<i64> {
    Some(i64::from(from.days_to(to)))
}

/// The age band of somebody: the one that was recorded, or that of the year of birth on that day.
fn age_band(person: &PersonRow, on: Day) -> Option<Code> {
    let recorded = person.traits.as_deref().and_then(|traits| traits.age_band.as_deref()).cloned();
    recorded.or_else(|| crate::codes::age_band(i64::from(on.year()) - i64::from(person.birth_year?)))
}

/// A trait of the one client of each case; of several clients, that they are several.
fn of_client(rows: &[&CaseRow], tables: &Tables, list: &str, of: impl Fn(&PersonRow, Day) -> Option<Code>) -> Column {
    let several = word_code(list, SEVERAL);
    let mut all = Codes::default();
    for case in rows {
        let code = match case.clients.as_ref() {
            [one] => {
                let one = tables.persons.get(&tables.standing(*one));
                one.and_then(|person| of(person, case.opened))
            }
            [] => None,
            _ => several.clone(),
        };
        all.push(code.as_ref());
    }
    Column::Code(all)
}

/// The coded fact of one list of each case; of several, that they are several.
fn of_facts(rows: &[&CaseRow], list: &str) -> Column {
    let several = word_code(list, SEVERAL);
    let mut all = Codes::default();
    for case in rows {
        let mut own = case.facts.iter().filter(|fact| fact.list.as_str() == list);
        match (own.next(), own.next()) {
            (Some(_), Some(_)) => all.push(several.as_ref()),
            (one, _) => all.push(one.map(AsRef::as_ref)),
        }
    }
    Column::Code(all)
}

impl Tables {
    /// The columns that some indicator names, over the cases that `counts` lets in, and of referrals without a case where
    /// `counts_incoming` says so.
    pub(super) fn columns(
        &self,
        wanted: &Wanted<'_>,
        counts: impl Fn(&CaseRow) -> bool,
        counts_incoming: bool,
        today: Day,
    ) -> AllColumns {
        let made = |source, make: &dyn Fn() -> Columns| if wanted.has(source) { make() } else { Columns::default() };
        AllColumns([
            made(Source::Cases, &|| self.case_columns(wanted, &counts, today)),
            made(Source::Referrals, &|| self.referral_columns(wanted, &counts, counts_incoming)),
            made(Source::Payments, &|| self.payment_columns(wanted, &counts)),
            made(Source::People, &|| self.people_columns(wanted, &counts)),
        ])
    }

    fn case_columns(&self, wanted: &Wanted<'_>, counts: &impl Fn(&CaseRow) -> bool, today: Day) -> Columns {
        let rows: Vec<&CaseRow> = self.cases.values().map(AsRef::as_ref).filter(|case| counts(case)).collect();
        let column = |name: &str| {
            Some(match name {
                "opened" => Column::Day(rows.iter().map(|case| Some(case.opened)).collect()),
                "closed" => Column::Day(rows.iter().map(|case| case.closed).collect()),
                "case_type" => codes(rows.iter().map(|case| case.case_type.as_deref())),
                "state" => words("case_state", rows.iter().map(|case| Some(case.state.as_str()))),
                "days_open" => {
                    let open = |case: &&CaseRow| days(case.opened, case.closed.unwrap_or(today));
                    Column::Number(rows.iter().map(open).collect())
                }
                "handed_over" => Column::Flag(rows.iter().map(|case| case.handed_over).collect()),
                "has_owner" => Column::Flag(rows.iter().map(|case| case.owner.is_some()).collect()),
                "client_sex" => of_client(&rows, self, "sex", |one, _| one.traits.as_deref()?.sex.as_deref().cloned()),
                "client_age_band" => of_client(&rows, self, "age_band", age_band),
                "client_nationality" => of_client(&rows, self, "nationality", |one, _| {
                    one.traits.as_deref()?.nationality.as_deref().cloned()
                }),
                name => of_facts(&rows, name.strip_prefix(FACT)?),
            })
        };
        Columns {
            counts: rows.iter().map(|case| self.counted(case)).collect(),
            units: Vec::new(),
            columns: wanted.of(Source::Cases, column),
        }
    }

    fn referral_columns(
        &self,
        wanted: &Wanted<'_>,
        counts: &impl Fn(&CaseRow) -> bool,
        counts_incoming: bool,
    ) -> Columns {
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
        let reason = |thread: &casemesh_protocol::referral::Thread| {
            let reasons = thread.applied().filter_map(|(event, _)| match &event.event.step {
                Step::Declined { reason, .. } | Step::Failed { reason, .. } => Some(reason.clone()),
                _ => None,
            });
            reasons.last()
        };
        let answered = |(referral, sent): (&&Referral, &Option<Day>)| {
            let answered = way_of(referral).answered.map(|at| self.zone.day(at));
            sent.zip(answered).and_then(|(sent, answered)| days(sent, answered))
        };
        let column = |name: &str| {
            Some(match name {
                "sent" => Column::Day(sent.clone()),
                "outgoing" => Column::Flag(rows.iter().map(|referral| referral.outgoing).collect()),
                "service" => codes(rows.iter().map(|referral| Some(&referral.preview.service))),
                "state" => {
                    words("referral_state", rows.iter().map(|referral| Some(self.stands(referral).state.as_str())))
                }
                "urgency" => words("urgency", rows.iter().map(urgency)),
                "reason" => {
                    let reasons: Vec<Option<Code>> = threads.iter().map(reason).collect();
                    codes(reasons.iter().map(Option::as_ref))
                }
                "days_to_answer" => Column::Number(rows.iter().zip(&sent).map(answered).collect()),
                _ => return None,
            })
        };
        let counted = |referral: &&Referral| referral.client.is_none_or(|client| self.may_count(client));
        Columns {
            counts: rows.iter().map(counted).collect(),
            units: Vec::new(),
            columns: wanted.of(Source::Referrals, column),
        }
    }

    /// People by the cases that are counted: the first of them makes somebody new.
    fn people_columns(&self, wanted: &Wanted<'_>, counts: &impl Fn(&CaseRow) -> bool) -> Columns {
        let mut people: HashMap<RecordId, Seen> = HashMap::new();
        for case in self.cases.values().filter(|case| counts(case)) {
            for client in &case.clients {
                let seen = people.entry(self.standing(*client)).or_insert((case.opened, case.opened, 0));
                *seen = (seen.0.min(case.opened), seen.1.max(case.opened), seen.2 + 1);
            }
        }
        let counts: Vec<bool> = people.keys().map(|id| self.may_count(*id)).collect();
        let rows: Vec<(Option<&PersonRow>, Seen)> =
            people.iter().map(|(id, seen)| (self.persons.get(id).map(AsRef::as_ref), *seen)).collect();
        let traits = || rows.iter().map(|(person, _)| person.and_then(|person| person.traits.as_deref()));
        let column = |name: &str| {
            Some(match name {
                "first_case" => Column::Day(rows.iter().map(|(_, (first, ..))| Some(*first)).collect()),
                "last_case" => Column::Day(rows.iter().map(|(_, (_, last, _))| Some(*last)).collect()),
                "sex" => codes(traits().map(|traits| traits?.sex.as_deref())),
                "age_band" => {
                    let mut bands = Codes::default();
                    let band = |(person, (first, ..)): &(Option<&PersonRow>, Seen)| age_band((*person)?, *first);
                    rows.iter().for_each(|row| bands.push(band(row).as_ref()));
                    Column::Code(bands)
                }
                "nationality" => codes(traits().map(|traits| traits?.nationality.as_deref())),
                "cases" => Column::Number(rows.iter().map(|(_, (.., cases))| Some(*cases)).collect()),
                _ => return None,
            })
        };
        Columns { counts, units: Vec::new(), columns: wanted.of(Source::People, column) }
    }

    fn payment_columns(&self, wanted: &Wanted<'_>, counts: &impl Fn(&CaseRow) -> bool) -> Columns {
        let is_in = |case: &RecordId| self.cases.get(case).is_none_or(|case| counts(case));
        let rows: Vec<_> = self.payments.values().filter(|payment| is_in(&payment.case)).collect();
        let mut cases: HashMap<RecordId, u32> = HashMap::new();
        let mut unit = |case: RecordId| {
            let next = u32::try_from(cases.len()).unwrap_or(u32::MAX);
            *cases.entry(case).or_insert(next)
        };
        let column = |name: &str| {
            Some(match name {
                "paid" => Column::Day(rows.iter().map(|payment| payment.paid).collect()),
                "kind" => words("payment", rows.iter().map(|payment| Some(payment.kind.as_str()))),
                "currency" => {
                    let mut all = Codes::default();
                    for payment in &rows {
                        let currency = payment.money.currency.to_string();
                        all.push_word(Some(&currency), |one| word_code("currency", one));
                    }
                    Column::Code(all)
                }
                "amount" => Column::Number(rows.iter().map(|payment| Some(payment.money.minor)).collect()),
                "recovered_here" => Column::Flag(rows.iter().map(|payment| payment.recovered_here).collect()),
                "case_type" => codes(rows.iter().map(|payment| self.cases.get(&payment.case)?.case_type.as_deref())),
                _ => return None,
            })
        };
        Columns {
            counts: rows
                .iter()
                .map(|payment| self.cases.get(&payment.case).is_none_or(|case| self.counted(case)))
                .collect(),
            units: rows.iter().map(|payment| unit(payment.case)).collect(),
            columns: wanted.of(Source::Payments, column),
        }
    }
}
