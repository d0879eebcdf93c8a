//! Columns of cases, of the people whom they are about, and of their money.

use super::{Rows, Sight, Wanted, codes, currencies, days, of_client, of_person, words};
use crate::index::{CaseRow, EntryRow, Ids, PersonRow, Tables};
use crate::records::CaseState;
use casemesh_protocol::id::RecordId;
use casemesh_protocol::indicators::{Column, Columns, End, FACT, SEVERAL, Source};
use casemesh_protocol::statistics::word_code;
use casemesh_protocol::time::Day;
use std::collections::{BTreeSet, HashMap};

/// The coded fact of one list of each case; of several, that they are several.
fn of_facts(rows: &[&CaseRow], list: &str) -> Column {
    let several = word_code(list, SEVERAL);
    codes(rows.iter().map(|case| {
        let mut own = case.facts.iter().filter(|fact| fact.list.as_str() == list);
        match (own.next(), own.next()) {
            (Some(_), Some(_)) => several.as_ref(),
            (one, _) => one.map(AsRef::as_ref),
        }
    }))
}

/// Whether and when a case was closed: of one that came in closed it may not be known when.
fn end_of(case: &CaseRow) -> End {
    match case.closed {
        Some(day) => End::On(day),
        None if case.state == CaseState::Closed => End::Unknown,
        None => End::No,
    }
}

/// What the entries of a case say of it.
#[derive(Default)]
struct FromEntries<'a> {
    /// The latest judgement of its risk.
    risk: Option<&'a EntryRow>,
    /// Whether the client was asked how it was.
    was_asked: bool,
}

/// What is known of somebody by the cases that are counted.
struct Seen {
    first: Day,
    last: Day,
    /// Whether and when the last of them was closed.
    closed: End,
    /// From the opening of each until its closing.
    worked_with: Vec<(Day, End)>,
    /// The last of them.
    latest: RecordId,
}

impl Seen {
    fn with(seen: Option<Self>, case: &CaseRow) -> Self {
        let stretch = (case.opened, end_of(case));
        let Some(mut seen) = seen else {
            let (first, last, latest) = (case.opened, case.opened, case.id);
            return Self { first, last, closed: end_of(case), worked_with: vec![stretch], latest };
        };
        seen.worked_with.push(stretch);
        Self {
            first: seen.first.min(case.opened),
            last: seen.last.max(case.opened),
            closed: match (seen.closed, end_of(case)) {
                (End::No, _) | (_, End::No) => End::No,
                (End::On(one), End::On(other)) => End::On(one.max(other)),
                _ => End::Unknown,
            },
            worked_with: seen.worked_with,
            latest: if case.opened > seen.last { case.id } else { seen.latest },
        }
    }
}

impl Tables {
    /// What entries say of the cases that are counted, as far as those are counted, too.
    fn said_of_cases<'a>(&'a self, sight: &Sight<'_>) -> HashMap<RecordId, FromEntries<'a>> {
        let mut all: HashMap<RecordId, FromEntries<'a>> = HashMap::new();
        let is_asked =
            |entry: &&EntryRow| sight.asks(Some(entry.about)) && (entry.is_of("risk") || entry.is_of("feedback"));
        for entry in self.entries.rows().filter(is_asked) {
            let Some(case) = self.cases.get(&entry.about).filter(|case| sight.has_entry(case, entry)) else {
                continue;
            };
            let of_case = all.entry(case.id).or_default();
            if entry.is_of("feedback") {
                of_case.was_asked = true;
            } else if of_case.risk.is_none_or(|known| (known.on, known.at) < (entry.on, entry.at)) {
                of_case.risk = Some(entry);
            }
        }
        all
    }

    pub(super) fn case_columns(&self, wanted: &Wanted<'_>, sight: &Sight<'_>) -> Rows {
        let asked = self.cases.iter().filter(|(id, _)| sight.asks(Some(**id)));
        let rows: Vec<&CaseRow> = asked.map(|(_, case)| case.as_ref()).filter(|case| sight.has(case)).collect();
        let today = self.zone.day(sight.now);
        let needs_entries = wanted.has_any(Source::Cases, &["risk_level", "has_safety_plan", "was_asked"]);
        let said = if needs_entries { self.said_of_cases(sight) } else { HashMap::new() };
        let risk = |case: &&CaseRow| said.get(&case.id).and_then(|of_case| of_case.risk);
        let column = |name: &str| {
            Some(match name {
                "opened" => Column::Day(rows.iter().map(|case| Some(case.opened)).collect()),
                "closed" => Column::End(rows.iter().map(|case| end_of(case)).collect()),
                "case_type" => codes(rows.iter().map(|case| case.case_type.as_deref())),
                "state" => words("case_state", rows.iter().map(|case| Some(case.state.as_str()))),
                "days_open" => {
                    let open = |case: &&CaseRow| match end_of(case) {
                        End::No => days(case.opened, today),
                        End::On(closed) => days(case.opened, closed),
                        End::Unknown => None,
                    };
                    Column::Number(rows.iter().map(open).collect())
                }
                "days_idle" => {
                    let idle = |case: &&CaseRow| days(self.zone.day(case.last_activity), today);
                    Column::Number(rows.iter().map(idle).collect())
                }
                "handed_over" => Column::Flag(rows.iter().map(|case| case.handed_over).collect()),
                "has_owner" => Column::Flag(rows.iter().map(|case| case.owner.is_some()).collect()),
                "faults" => {
                    let faults = self.faults_of(rows.iter().copied(), today);
                    Column::Number(faults.map(|(_, faults)| i64::try_from(faults.len()).ok()).collect())
                }
                "risk_level" => codes(rows.iter().map(|case| risk(case)?.code("risk_level"))),
                "has_safety_plan" => {
                    let has = |case| risk(case).is_some_and(|entry| entry.said("safety_plan").is_some());
                    Column::Flag(rows.iter().map(has).collect())
                }
                "was_asked" => {
                    let was = |case: &&CaseRow| said.get(&case.id).is_some_and(|of_case| of_case.was_asked);
                    Column::Flag(rows.iter().map(was).collect())
                }
                name => match name.strip_prefix("client_") {
                    Some(of_one) => of_client(self, rows.iter().map(|case| Some(*case)), of_one),
                    None => of_facts(&rows, name.strip_prefix(FACT)?),
                },
            })
        };
        let columns = Columns {
            counts: rows.iter().map(|case| self.counted(case)).collect(),
            units: Vec::new(),
            columns: wanted.of(Source::Cases, column),
        };
        Rows { columns, cases: rows.iter().map(|case| Some(case.id)).collect(), people: Vec::new() }
    }

    /// People by the cases that are counted: the first of them makes somebody new.
    pub(super) fn people_columns(&self, wanted: &Wanted<'_>, sight: &Sight<'_>) -> Rows {
        let mut people: HashMap<RecordId, Seen> = HashMap::new();
        let mut see = |case: &CaseRow| {
            // Two records of one person are one client.
            let clients: BTreeSet<RecordId> = case.clients.iter().map(|client| self.standing(*client)).collect();
            for client in clients.into_iter().filter(|id| sight.asks(Some(*id))) {
                let seen = people.remove(&client);
                people.insert(client, Seen::with(seen, case));
            }
        };
        match sight.only {
            None => self.cases.values().filter(|case| sight.has(case)).for_each(|case| see(case)),
            Some(only) => {
                let records = only.iter().flatten().flat_map(|person| self.records_of(*person));
                let cases: BTreeSet<RecordId> =
                    records.filter_map(|person| self.cases_of.get(&person)).flat_map(Ids::iter).copied().collect();
                let cases = cases.iter().filter_map(|case| self.cases.get(case)).filter(|case| sight.has(case));
                cases.for_each(|case| see(case));
            }
        }
        let counts: Vec<bool> = people.keys().map(|id| self.may_count(*id)).collect();
        let rows: Vec<(Option<&PersonRow>, &Seen)> =
            people.iter().map(|(id, seen)| (self.persons.get(id).map(AsRef::as_ref), seen)).collect();
        let column = |name: &str| {
            Some(match name {
                "first_case" => Column::Day(rows.iter().map(|(_, seen)| Some(seen.first)).collect()),
                "last_case" => Column::Day(rows.iter().map(|(_, seen)| Some(seen.last)).collect()),
                "last_closed" => Column::End(rows.iter().map(|(_, seen)| seen.closed).collect()),
                "worked_with" => {
                    let stretches = |(_, seen): &(_, &Seen)| seen.worked_with.clone().into_boxed_slice();
                    Column::Stretches(rows.iter().map(stretches).collect())
                }
                "cases" => {
                    let cases = |seen: &Seen| i64::try_from(seen.worked_with.len()).ok();
                    Column::Number(rows.iter().map(|(_, seen)| cases(seen)).collect())
                }
                name => {
                    let of_row = |(person, seen): &(Option<&PersonRow>, &Seen)| of_person((*person)?, name, seen.first);
                    codes(rows.iter().map(of_row))
                }
            })
        };
        let cases = rows.iter().map(|(_, seen)| Some(seen.latest)).collect();
        let columns = Columns { counts, units: Vec::new(), columns: wanted.of(Source::People, column) };
        Rows { columns, cases, people: people.keys().copied().collect() }
    }

    pub(super) fn payment_columns(&self, wanted: &Wanted<'_>, sight: &Sight<'_>) -> Rows {
        let is_in =
            |case: &RecordId| sight.asks(Some(*case)) && self.cases.get(case).is_none_or(|case| sight.has(case));
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
                "currency" => currencies(rows.iter().map(|payment| Some(payment.money))),
                "amount" => Column::Number(rows.iter().map(|payment| Some(payment.money.minor)).collect()),
                "recovered_here" => Column::Flag(rows.iter().map(|payment| payment.recovered_here).collect()),
                "case_type" => codes(rows.iter().map(|payment| self.cases.get(&payment.case)?.case_type.as_deref())),
                _ => return None,
            })
        };
        let counted = |case: &RecordId| self.cases.get(case).is_none_or(|case| self.counted(case));
        let columns = Columns {
            counts: rows.iter().map(|payment| counted(&payment.case)).collect(),
            units: rows.iter().map(|payment| unit(payment.case)).collect(),
            columns: wanted.of(Source::Payments, column),
        };
        Rows { columns, cases: rows.iter().map(|payment| Some(payment.case)).collect(), people: Vec::new() }
    }
}
