//! Columns of what the office does beside its cases: entries, visits, tasks, assessments, and those who work here.

use super::{Rows, Sight, Wanted, codes, currencies, days, of_client, words};
use crate::index::{CaseRow, EntryRow, Tables, TaskRow};
use crate::records::{Action, Asked, RegisterLine, Request, Staff, TaskState, VisitOutcome};
use crate::vault::Record as _;
use casemesh_protocol::id::{RecordId, StaffId};
use casemesh_protocol::indicators::{CODE, CURRENCY, Column, Columns, End, MONEY, NUMBER, Source};
use casemesh_protocol::terms::Code;
use casemesh_protocol::time::Day;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// An entry, and the case that it is of.
type OfCase<'a> = (&'a EntryRow, Option<&'a CaseRow>);

/// Rows that are about nobody who is registered: all are counted.
fn own(rows: usize, columns: BTreeMap<String, Column>) -> Rows {
    Rows {
        columns: Columns { counts: vec![true; rows], units: Vec::new(), columns },
        cases: vec![None; rows],
        people: Vec::new(),
    }
}

impl Tables {
    /// The entries that are counted: those of cases that are, and the office's own. What is written about a person outside of any case
    /// is not counted.
    fn counted_entries<'a>(&'a self, sight: &Sight<'_>) -> Vec<OfCase<'a>> {
        let in_sight = |entry: &'a EntryRow| match self.cases.get(&entry.about) {
            Some(case) => sight.has_entry(case, entry).then_some((entry, Some(case.as_ref()))),
            None => (entry.about == Action::TOP && sight.has_own(entry.grant)).then_some((entry, None)),
        };
        let is_asked = |entry: &&EntryRow| sight.asks(Some(entry.about).filter(|about| *about != Action::TOP));
        self.entries.rows().filter(is_asked).filter_map(in_sight).collect()
    }

    pub(super) fn entry_columns(&self, wanted: &Wanted<'_>, sight: &Sight<'_>) -> Rows {
        let rows = self.counted_entries(sight);
        let late = |(entry, _): &OfCase<'_>| days(entry.on, self.zone.day(entry.written)).map(|days| days.max(0));
        let column = |name: &str| {
            Some(match name {
                "on" => Column::Day(rows.iter().map(|(entry, _)| Some(entry.on)).collect()),
                "kind" => codes(rows.iter().map(|(entry, _)| Some(entry.kind.as_ref()))),
                "minutes" => Column::Number(rows.iter().map(|(entry, _)| entry.minutes.map(i64::from)).collect()),
                "days_late" => Column::Number(rows.iter().map(late).collect()),
                "is_ours" => Column::Flag(rows.iter().map(|(entry, _)| entry.is_ours).collect()),
                "of_case" => Column::Flag(rows.iter().map(|(_, case)| case.is_some()).collect()),
                "case_type" => codes(rows.iter().map(|(_, case)| (*case)?.case_type.as_deref())),
                name => {
                    if let Some(of_one) = name.strip_prefix("client_") {
                        return Some(of_client(self, rows.iter().map(|(_, case)| *case), of_one));
                    }
                    if let Some(field) = name.strip_prefix(CODE) {
                        return Some(codes(rows.iter().map(|(entry, _)| entry.code(field))));
                    }
                    if let Some(field) = name.strip_prefix(NUMBER) {
                        return Some(Column::Number(rows.iter().map(|(entry, _)| entry.number(field)).collect()));
                    }
                    if let Some(field) = name.strip_prefix(MONEY) {
                        let minor = |(entry, _): &OfCase<'_>| entry.money(field).map(|money| money.minor);
                        return Some(Column::Number(rows.iter().map(minor).collect()));
                    }
                    let field = name.strip_prefix(CURRENCY)?;
                    currencies(rows.iter().map(|(entry, _)| entry.money(field)))
                }
            })
        };
        let columns = Columns {
            counts: rows.iter().map(|(_, case)| case.is_none_or(|case| self.counted(case))).collect(),
            units: Vec::new(),
            columns: wanted.of(Source::Entries, column),
        };
        Rows { columns, cases: rows.iter().map(|(_, case)| case.map(|case| case.id)).collect(), people: Vec::new() }
    }

    pub(super) fn visit_columns(&self, wanted: &Wanted<'_>, sight: &Sight<'_>) -> Rows {
        let is_in = |line: &&Arc<RegisterLine>| sight.has_own(None) && (sight.line)(line);
        let rows: Vec<&Arc<RegisterLine>> = self.lines.values().filter(is_in).collect();
        let case_of = |outcome: &VisitOutcome| match outcome {
            VisitOutcome::Case(case) => self.cases.get(case),
            _ => None,
        };
        let outcome = |outcome: &VisitOutcome| match outcome {
            VisitOutcome::Open => "open",
            VisitOutcome::Consult => "consult",
            VisitOutcome::Case(_) => "case",
            VisitOutcome::TurnedAway(_) => "turned_away",
        };
        let reason = |outcome: &VisitOutcome| match outcome {
            VisitOutcome::TurnedAway(reason) => Some(reason.clone()),
            _ => None,
        };
        let column = |name: &str| {
            Some(match name {
                "on" => Column::Day(rows.iter().map(|line| Some(line.on.unwrap_or(self.zone.day(line.at)))).collect()),
                "topic" => codes(rows.iter().map(|line| line.topic.as_ref())),
                "outcome" => words("visit_outcome", rows.iter().map(|line| Some(outcome(&line.outcome)))),
                "reason" => codes(rows.iter().map(|line| reason(&line.outcome))),
                "channel" => codes(rows.iter().map(|line| line.channel.as_ref())),
                "minutes" => Column::Number(rows.iter().map(|line| line.minutes.map(i64::from)).collect()),
                _ => return None,
            })
        };
        // Who is not registered is nobody; whose visit became a case is counted as that case is.
        let counted = |line: &&Arc<RegisterLine>| case_of(&line.outcome).is_none_or(|case| self.counted(case));
        let counts = rows.iter().map(counted).collect();
        Rows {
            cases: vec![None; rows.len()],
            people: Vec::new(),
            columns: Columns { counts, units: Vec::new(), columns: wanted.of(Source::Visits, column) },
        }
    }

    pub(super) fn task_columns(&self, wanted: &Wanted<'_>, sight: &Sight<'_>) -> Rows {
        let case_of = |task: &TaskRow| task.case.and_then(|case| self.cases.get(&case));
        let is_in = |task: &&TaskRow| match task.case {
            Some(case) => self.cases.get(&case).is_some_and(|case| sight.has(case)),
            None => sight.has_own(None),
        };
        let rows: Vec<&TaskRow> = self.tasks.values().filter(|task| sight.asks(task.case)).filter(is_in).collect();
        let today = self.zone.day(sight.now);
        let is_late = |task: &&TaskRow| task.state == TaskState::Open && task.due < today;
        let column = |name: &str| {
            Some(match name {
                "due" => Column::Day(rows.iter().map(|task| Some(task.due)).collect()),
                "kind" => words("task_kind", rows.iter().map(|task| Some(task.kind.as_str()))),
                "state" => words("task_state", rows.iter().map(|task| Some(task.state.as_str()))),
                "is_late" => Column::Flag(rows.iter().map(is_late).collect()),
                "has_owner" => Column::Flag(rows.iter().map(|task| task.owner.is_some()).collect()),
                _ => return None,
            })
        };
        let columns = Columns {
            counts: rows.iter().map(|task| case_of(task).is_none_or(|case| self.counted(case))).collect(),
            units: Vec::new(),
            columns: wanted.of(Source::Tasks, column),
        };
        Rows { columns, cases: rows.iter().map(|task| task.case).collect(), people: Vec::new() }
    }

    /// Assessments, by case and area: how it was at first and how it is now. With one alone nothing can be said of a change.
    pub(super) fn assessment_columns(&self, wanted: &Wanted<'_>, sight: &Sight<'_>) -> Rows {
        type When = (Day, casemesh_protocol::time::Timestamp);
        struct Line<'a> {
            case: &'a CaseRow,
            area: &'a Code,
            first: (When, i64),
            last: (When, i64),
            times: u32,
        }
        let mut lines: BTreeMap<(RecordId, &str), Line<'_>> = BTreeMap::new();
        for (entry, case) in self.counted_entries(sight) {
            let Some(case) = case.filter(|_| entry.is_of("assessment")) else { continue };
            let (Some(area), Some(score)) = (entry.code("assessment_area"), entry.number("score")) else { continue };
            let said = ((entry.on, entry.at), score);
            let line = lines.entry((case.id, area.code.as_str())).or_insert(Line {
                case,
                area,
                first: said,
                last: said,
                times: 0,
            });
            line.times += 1;
            if said.0 < line.first.0 {
                line.first = said;
            }
            if said.0 > line.last.0 {
                line.last = said;
            }
        }
        let rows: Vec<Line<'_>> = lines.into_values().collect();
        let again = |line: &Line<'_>, of: &dyn Fn(&Line<'_>) -> i64| (line.times > 1).then(|| of(line));
        let column = |name: &str| {
            Some(match name {
                "first" => Column::Day(rows.iter().map(|line| Some(line.first.0.0)).collect()),
                "last" => Column::Day(rows.iter().map(|line| Some(line.last.0.0)).collect()),
                "area" => codes(rows.iter().map(|line| Some(line.area))),
                "first_score" => Column::Number(rows.iter().map(|line| Some(line.first.1)).collect()),
                "last_score" => Column::Number(rows.iter().map(|line| again(line, &|line| line.last.1)).collect()),
                "change" => {
                    let change = |line: &Line<'_>| again(line, &|line| line.last.1.saturating_sub(line.first.1));
                    Column::Number(rows.iter().map(change).collect())
                }
                _ => return None,
            })
        };
        let columns = Columns {
            counts: rows.iter().map(|line| self.counted(line.case)).collect(),
            units: Vec::new(),
            columns: wanted.of(Source::Assessments, column),
        };
        Rows { columns, cases: rows.iter().map(|line| Some(line.case.id)).collect(), people: Vec::new() }
    }

    /// Those whose account is in use, as far as whoever asks may know of each.
    pub(super) fn worker_columns(&self, wanted: &Wanted<'_>, sight: &Sight<'_>) -> Rows {
        let is_in =
            |member: &&Staff| sight.has_own(None) && member.is_in_use(sight.now) && (sight.colleague)(member.id);
        let rows: Vec<&Staff> = self.staff.values().filter(is_in).collect();
        let mut open: HashMap<StaffId, i64> = HashMap::new();
        for case in self.cases.values().filter(|case| case.state.is_open() && sight.has(case)) {
            case.owner.into_iter().for_each(|owner| *open.entry(owner).or_default() += 1);
        }
        let today = self.zone.day(sight.now);
        let ends = |member: &&Staff| End::of(member.ends.map(|ends| self.zone.day(ends)));
        let signed_in = |member: &&Staff| days(self.zone.day(member.signed_in?.0), today);
        let column = |name: &str| {
            Some(match name {
                "since" => Column::Day(rows.iter().map(|member| Some(self.zone.day(member.made))).collect()),
                "until" => Column::End(rows.iter().map(ends).collect()),
                "open_cases" => {
                    let open = |member: &&Staff| Some(open.get(&member.id).copied().unwrap_or_default());
                    Column::Number(rows.iter().map(open).collect())
                }
                "days_since_sign_in" => Column::Number(rows.iter().map(signed_in).collect()),
                _ => return None,
            })
        };
        own(rows.len(), wanted.of(Source::Workers, column))
    }

    pub(super) fn request_columns(&self, wanted: &Wanted<'_>, sight: &Sight<'_>) -> Rows {
        let is_in = |request: &&Request| sight.has_own(None) && (sight.request)(request);
        let rows: Vec<&Request> = self.requests.values().map(AsRef::as_ref).filter(is_in).collect();
        let kind = |request: &&Request| match request.asked {
            Asked::Close(..) => "close_case",
            Asked::Entry(..) => "entry",
            Asked::HandOver(..) => "hand_over",
            Asked::Erase(..) => "erase",
            Asked::Admit(_) | Asked::EndMembership(..) => "network",
            Asked::LiftBar(..) => "lift_bar",
            Asked::Account(..) | Asked::End(_) | Asked::ResetFactor(_) | Asked::ResetPassword(..) | Asked::Team(..) => {
                "account"
            }
        };
        let answer = |request: &&Request| match &request.decided {
            None => "waiting",
            Some(decided) if decided.approved => "approved",
            Some(_) => "refused",
        };
        let took = |request: &&Request| days(self.zone.day(request.at), self.zone.day(request.decided.as_ref()?.at));
        let column = |name: &str| {
            Some(match name {
                "asked" => Column::Day(rows.iter().map(|request| Some(self.zone.day(request.at))).collect()),
                "kind" => words("request_kind", rows.iter().map(|request| Some(kind(request)))),
                "answer" => words("request_answer", rows.iter().map(|request| Some(answer(request)))),
                "days_to_answer" => Column::Number(rows.iter().map(took).collect()),
                _ => return None,
            })
        };
        own(rows.len(), wanted.of(Source::Requests, column))
    }
}
