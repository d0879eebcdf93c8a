//! Reports that an office makes again and again: which figures, for which grant, over which periods, with what was planned and what is
//! said beside a figure.

use super::{Desk, DeskError, FieldProblem, FigureView};
use crate::policy::Ask;
use crate::records::{ReportLine, SavedReport};
use crate::vault::Record;
use casemesh_protocol::id::RecordId;
use casemesh_protocol::indicators::{INDICATORS_MAX, Indicator, Topic};
use casemesh_protocol::statistics::Rhythm;
use casemesh_protocol::time::{Day, Period};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use utoipa::ToSchema;

/// Longest name.
const NAME_BYTES_MAX: usize = 200;
/// Longest text before or beside figures.
const WORDS_BYTES_MAX: usize = 8_000;
/// Most reports of an office.
const REPORTS_MAX: usize = 200;

/// A report as entered.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SavedReportInput {
    /// Its name.
    pub name: String,
    /// What stands before its figures.
    pub words: String,
    /// Of which periods it is: chosen, month, quarter or year.
    pub every: String,
    /// The grant that it is about; empty for all work.
    pub grant: String,
    /// Its figures, in order.
    pub figures: Vec<String>,
}

/// What is said of a figure of a report.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ReportLineInput {
    /// How many were planned; empty for nothing.
    pub planned: String,
    /// A sentence.
    pub words: String,
}

/// A report in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct SavedReportSummary {
    /// Which.
    #[schema(value_type = String)]
    pub id: RecordId,
    /// Its name.
    pub name: String,
    /// Of which periods it is.
    pub every: Rhythm,
    /// The grant's name.
    pub grant: Option<String>,
    /// How many figures it has.
    pub figures: usize,
}

/// A report of a period.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct SavedReportView {
    /// Which.
    #[schema(value_type = String)]
    pub id: RecordId,
    /// Its name.
    pub name: String,
    /// What stands before its figures.
    pub words: String,
    /// Of which periods it is.
    pub every: Rhythm,
    /// The grant: which, its name, and who gives it.
    #[schema(value_type = Option<Object>)]
    pub grant: Option<(RecordId, String, String)>,
    /// The first and last day.
    #[schema(value_type = Object)]
    pub period: Period,
    /// Its figures.
    pub lines: Vec<ReportLineView>,
    /// Figures that are in no set any more.
    pub unknown: Vec<String>,
}

/// A figure of a report, and what stands beside it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ReportLineView {
    /// The figure.
    pub figure: FigureView,
    /// How many were planned.
    pub planned: Option<u64>,
    /// How many there are, where its numbers can be added.
    pub achieved: Option<u64>,
    /// A sentence, or what somebody agreed may be told.
    pub words: String,
}

impl ReportLineView {
    /// How long the bar of what was achieved is, of a hundred.
    pub fn percent(&self) -> Option<u8> {
        let (planned, achieved) = (self.planned.filter(|planned| *planned > 0)?, self.achieved?);
        u8::try_from((achieved.saturating_mul(100) / planned).min(100)).ok()
    }
}

/// An indicator that a report can have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct IndicatorView {
    /// Its name in its set.
    pub id: String,
    /// What it is called, by language.
    pub title: BTreeMap<String, String>,
    /// Under which heading it stands.
    pub topic: Topic,
}

/// The period that a report is of on a day, where nobody says another: the last that is over; of a grant its own time until then.
fn usual_period(every: Rhythm, grant: Option<(Day, Day)>, today: Day) -> Option<Period> {
    let chosen = || match grant {
        Some((from, to)) => Period::new(from, to.min(today).max(from)),
        None => Period::new(Day::new(today.year(), 1, 1)?, today),
    };
    let Some(around) = every.around(today) else { return chosen() };
    every.around(around.from.plus_days(-1))
}

/// How much of what was planned there is: what its cells add up to. What is missing stands beside the figure and is in no cell.
fn achieved(figure: &FigureView) -> Option<u64> {
    if !figure.is_added {
        return None;
    }
    let number = |cell: &super::CellView| cell.value.as_deref().and_then(|value| value.parse::<u64>().ok());
    Some(figure.cells.iter().filter(|cell| !cell.is_total()).filter_map(number).fold(0, u64::saturating_add))
}

impl Desk {
    /// What a report can be made of.
    ///
    /// # Errors
    /// When the account may not see figures.
    pub fn indicators(&self) -> Result<Vec<IndicatorView>, DeskError> {
        self.allow(Ask::SeeFigures)?;
        let known = self.known_indicators();
        let view = |one: &Indicator| IndicatorView { id: one.id.clone(), title: one.title.clone(), topic: one.topic };
        Ok(known.all().into_iter().map(view).collect())
    }

    /// Whether this account may make and change reports.
    ///
    /// # Errors
    /// When it may not.
    pub fn report_allowed(&self) -> Result<(), DeskError> {
        Ok(self.allow(Ask::KeepReports)?)
    }

    /// The reports of the office, by name.
    ///
    /// # Errors
    /// When the account may not see figures.
    pub fn saved_reports(&self) -> Result<Vec<SavedReportSummary>, DeskError> {
        self.allow(Ask::SeeFigures)?;
        let tables = self.office.index.read();
        let view = |report: &SavedReport| SavedReportSummary {
            id: report.id,
            name: report.name.clone(),
            every: report.every,
            grant: report.grant.and_then(|grant| tables.grants.get(&grant)).map(|grant| grant.name.clone()),
            figures: report.figures.len(),
        };
        let mut all: Vec<SavedReportSummary> = tables.reports.values().map(|report| view(report)).collect();
        all.sort_by(|one, other| (&one.name, one.id).cmp(&(&other.name, other.id)));
        Ok(all)
    }

    /// A report as it was saved, to change it.
    ///
    /// # Errors
    /// When there is none, or the account may not change reports.
    pub fn saved_report_input(&self, id: RecordId) -> Result<SavedReportInput, DeskError> {
        self.allow(Ask::KeepReports)?;
        let tables = self.office.index.read();
        let report = tables.reports.get(&id).ok_or(DeskError::NotFound)?;
        Ok(SavedReportInput {
            name: report.name.clone(),
            words: report.words.clone(),
            every: report.every.as_str().to_owned(),
            grant: report.grant.map(|grant| grant.to_string()).unwrap_or_default(),
            figures: report.figures.iter().map(|line| line.figure.clone()).collect(),
        })
    }

    /// A report over a period, or over its usual one.
    ///
    /// # Errors
    /// When there is none, or the account may not see figures.
    pub fn saved_report(&self, id: RecordId, period: Option<Period>) -> Result<SavedReportView, DeskError> {
        self.allow(Ask::SeeFigures)?;
        let (report, grant) = {
            let tables = self.office.index.read();
            let report = tables.reports.get(&id).cloned().ok_or(DeskError::NotFound)?;
            let grant = report.grant.and_then(|grant| tables.grants.get(&grant)).cloned();
            (report, grant)
        };
        let usual = || usual_period(report.every, grant.as_ref().map(|grant| (grant.from, grant.to)), self.today());
        let period = period.or_else(usual).ok_or(DeskError::NotFound)?;
        let known = self.known_indicators();
        let of_line = |line: &ReportLine| known.named(&line.figure).ok();
        let unknown = report.figures.iter().filter(|line| of_line(line).is_none()).map(|line| line.figure.clone());
        let unknown = unknown.collect();
        let (said, asked): (Vec<&ReportLine>, Vec<&Indicator>) =
            report.figures.iter().filter_map(|line| Some((line, of_line(line)?))).unzip();
        let figures = self.whole(&asked, period, report.grant);
        self.office.vault.note(Some(self.actor.staff), "figures", None);
        let lines = said.into_iter().zip(figures).map(|(line, figure)| ReportLineView {
            planned: line.planned,
            achieved: achieved(&figure),
            words: line.words.clone(),
            figure,
        });
        let lines = lines.collect();
        let grant = grant.map(|grant| (grant.id, grant.name, grant.donor));
        let (name, words, every) = (report.name.clone(), report.words.clone(), report.every);
        Ok(SavedReportView { id, name, words, every, grant, period, lines, unknown })
    }

    /// Writes a report down, or changes one; what was said of figures that stay is kept.
    ///
    /// # Errors
    /// When fields are wrong, there is no such report, or the account may not.
    pub fn save_report(&self, id: Option<RecordId>, input: &SavedReportInput) -> Result<RecordId, DeskError> {
        self.allow(Ask::KeepReports)?;
        let mut problems = self.problems();
        let name = problems.required_text("name", &input.name, NAME_BYTES_MAX);
        let words = problems.text("words", &input.words, WORDS_BYTES_MAX);
        let every: Option<Rhythm> = problems.word("every", &input.every);
        let grant: Option<RecordId> = match input.grant.trim() {
            "" => None,
            grant => {
                let known = grant.parse().ok().filter(|grant| self.known_grant(*grant));
                if known.is_none() {
                    problems.add("grant", "no-such-grant");
                }
                known
            }
        };
        if input.figures.is_empty() {
            problems.add("figures", "required");
        }
        let mut figures: Vec<String> = Vec::new();
        if input.figures.len() > INDICATORS_MAX {
            problems.with("figures", "too-many", INDICATORS_MAX);
        } else {
            let known = self.known_indicators();
            let ids: BTreeSet<&str> = known.all().into_iter().map(|one| one.id.as_str()).collect();
            for figure in &input.figures {
                if !ids.contains(figure.as_str()) && known.named(figure).is_err() {
                    problems.with("figures", "unknown-value", figure);
                } else if !figures.contains(figure) {
                    figures.push(figure.clone());
                }
            }
        }
        problems.done()?;
        let every = every.ok_or(DeskError::NotFound)?;
        self.write("save_report", move |tx| {
            let known = match id {
                Some(id) => Some(tx.get::<SavedReport>(SavedReport::TOP, id)?.ok_or(DeskError::NotFound)?),
                None => None,
            };
            if known.is_none() && tx.list::<SavedReport>(SavedReport::TOP)?.len() >= REPORTS_MAX {
                return Err(DeskError::Invalid(vec![FieldProblem::with("name", "too-many", REPORTS_MAX)]));
            }
            let said = |figure: String| {
                let line =
                    known.as_ref().and_then(|known| known.record.figures.iter().find(|line| line.figure == figure));
                line.cloned().unwrap_or(ReportLine { figure, ..ReportLine::default() })
            };
            let id = id.unwrap_or_else(|| tx.fresh_id());
            let figures = figures.into_iter().map(said).collect();
            let report = SavedReport { id, name, words, every, grant, figures, by: tx.staff(), at: tx.now() };
            match known {
                Some(known) => tx.update(&report, known.revision)?,
                None => tx.insert(&report)?,
            }
            Ok(id)
        })
    }

    /// Says what was planned for a figure of a report, and a sentence beside it.
    ///
    /// # Errors
    /// When fields are wrong, the report has no such figure, or the account may not.
    pub fn say_of_figure(&self, id: RecordId, figure: &str, input: &ReportLineInput) -> Result<(), DeskError> {
        self.allow(Ask::KeepReports)?;
        let mut problems = self.problems();
        let words = problems.text("words", &input.words, WORDS_BYTES_MAX);
        let planned = problems.number("planned", &input.planned);
        problems.done()?;
        let figure = figure.to_owned();
        self.write("save_report", move |tx| {
            let mut known = tx.get::<SavedReport>(SavedReport::TOP, id)?.ok_or(DeskError::NotFound)?;
            let line = known.record.figures.iter_mut().find(|line| line.figure == figure).ok_or(DeskError::NotFound)?;
            (line.planned, line.words) = (planned, words);
            known.record.at = tx.now();
            Ok(tx.update(&known.record, known.revision)?)
        })
    }

    /// Takes a report away. What it was computed of stays.
    ///
    /// # Errors
    /// When there is none, or the account may not.
    pub fn drop_report(&self, id: RecordId) -> Result<(), DeskError> {
        self.allow(Ask::KeepReports)?;
        self.write("drop_report", move |tx| {
            tx.get::<SavedReport>(SavedReport::TOP, id)?.ok_or(DeskError::NotFound)?;
            Ok(tx.remove_id::<SavedReport>(SavedReport::TOP, id)?)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_of_what_is_over_and_of_a_grant_until_today() {
        let day = |text: &str| text.parse::<Day>().unwrap();
        let today = day("2026-05-20");
        let of = |every, grant| usual_period(every, grant, today).unwrap().to_string();
        assert_eq!(of(Rhythm::Quarter, None), "2026-01-01/2026-03-31");
        assert_eq!(of(Rhythm::Year, None), "2025-01-01/2025-12-31");
        assert_eq!(of(Rhythm::Month, None), "2026-04-01/2026-04-30");
        assert_eq!(of(Rhythm::Chosen, None), "2026-01-01/2026-05-20");
        let grant = Some((day("2025-07-01"), day("2027-06-30")));
        assert_eq!(of(Rhythm::Chosen, grant), "2025-07-01/2026-05-20");
        let over = Some((day("2024-07-01"), day("2025-06-30")));
        assert_eq!(of(Rhythm::Chosen, over), "2024-07-01/2025-06-30");
        let ahead = Some((day("2026-07-01"), day("2027-06-30")));
        assert_eq!(of(Rhythm::Chosen, ahead), "2026-07-01/2026-07-01");
    }
}
