//! The office's own figures and its report.

use crate::App;
use crate::charts::{self, Lines};
use crate::documents::handed_out;
use crate::form::Form;
use crate::page::{Page, Signed, html, html_with};
use crate::pages::areas::MapPage;
use askama::Template;
use axum::Router;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::get;
use casemesh_node::names::ascii_digits;
use casemesh_node::office::{
    CaseSummary, CellView, DeskError, FieldProblem, FigureView, FiguresView, HandedOut, QualityView, ReportView, Scope,
    TrendView,
};
use casemesh_node::policy::Ask;
use casemesh_protocol::id::RecordId;
use casemesh_protocol::indicators::Topic;
use casemesh_protocol::statistics::Rhythm;
use casemesh_protocol::time::{Day, Period};
use serde::Deserialize;

pub(crate) fn routes() -> Router<App> {
    Router::new()
        .route("/figures", get(show))
        .route("/figures/table", get(report_table))
        .route("/figures/time", get(over_time))
        .route("/figures/map", get(on_map))
        .route("/quality", get(quality))
        .route("/figures/cases", get(behind))
}

const WORKBOOK: &str = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet";

#[derive(Debug, Default, Deserialize)]
pub(crate) struct Days {
    #[serde(default)]
    pub(crate) from: String,
    #[serde(default)]
    pub(crate) to: String,
    /// As which file: `xlsx`, or else CSV.
    #[serde(default)]
    pub(crate) format: String,
    /// Under which heading; `all` for everything, and empty for the first page.
    #[serde(default)]
    pub(crate) topic: String,
}

impl Days {
    fn scope(&self) -> Scope {
        Scope { topic: self.topic.parse().ok(), grant: None, whole: self.topic == "all" }
    }

    /// The form with the days of the period; with what was typed where that names none.
    pub(crate) fn shown(self, period: Option<Period>) -> Form {
        let (from, to) = period.map_or((self.from, self.to), |period| (period.from.to_string(), period.to.to_string()));
        Form::of(&[("from", &from), ("to", &to)])
    }
}

/// The period that two texts name; none when both are empty.
pub(crate) fn period(from: &str, to: &str) -> Result<Option<Period>, Vec<FieldProblem>> {
    if from.is_empty() && to.is_empty() {
        return Ok(None);
    }
    let day = |field: &str, text: &str| -> Result<Day, FieldProblem> {
        let text = ascii_digits(text.trim());
        match text.is_empty() {
            true => Err(FieldProblem::new(field, "required")),
            false => text.parse().map_err(|_| FieldProblem::with(field, "not-a-day", &text)),
        }
    };
    match (day("from", from), day("to", to)) {
        (Ok(from), Ok(to)) => match Period::new(from, to) {
            Some(period) => Ok(Some(period)),
            None => Err(vec![FieldProblem::new("to", "ends-before-start")]),
        },
        (from, to) => Err([from.err(), to.err()].into_iter().flatten().collect()),
    }
}

#[derive(Template)]
#[template(path = "figures.html")]
struct FiguresPage {
    page: Page,
    form: Form,
    figures: Option<FiguresView>,
    report: Option<ReportView>,
    topic: String,
    /// Periods that are often looked at: the key of each one's name, and the period.
    usual: Vec<(&'static str, Period)>,
    /// Whether the tables that leave may be looked at.
    approves: bool,
    /// Whether cases can be mended.
    mends: bool,
}

impl FiguresPage {
    /// What a link to the cases behind a number says of the period.
    fn days(&self, period: &Period) -> String {
        format!("from={}&to={}", period.from, period.to)
    }

    fn is_topic(&self, topic: &Topic) -> bool {
        self.topic == topic.as_str()
    }
}

/// Periods that are often looked at.
fn usual(today: Day) -> Vec<(&'static str, Period)> {
    let before = |rhythm: Rhythm| rhythm.around(rhythm.around(today)?.from.plus_days(-1));
    let now = |rhythm: Rhythm| Period::new(rhythm.around(today)?.from, today);
    let all = [
        ("period-this-month", now(Rhythm::Month)),
        ("period-last-month", before(Rhythm::Month)),
        ("period-last-quarter", before(Rhythm::Quarter)),
        ("period-this-year", now(Rhythm::Year)),
        ("period-last-year", before(Rhythm::Year)),
    ];
    all.into_iter().filter_map(|(key, period)| Some((key, period?))).collect()
}

#[derive(Template)]
#[template(path = "trend.html")]
pub(crate) struct TrendPage {
    page: Page,
    form: Form,
    trend: TrendView,
    chart: Option<Lines>,
    /// The grant whose work alone is asked for; empty for all.
    grant: String,
    /// At a collector: the totals that it belongs to.
    collector: Option<String>,
}

impl TrendPage {
    pub(crate) fn of(page: Page, trend: TrendView, collector: Option<String>) -> Self {
        let chart = charts::lines(&page, &trend);
        Self { page, form: Form::default(), trend, chart, grant: String::new(), collector }
    }
}

impl TrendPage {
    fn title(&self) -> &str {
        self.page.titled(&self.trend.title, &self.trend.id)
    }

    fn steps(&self) -> Vec<String> {
        self.trend.steps.iter().map(charts::step_name).collect()
    }
}

/// A figure over time: over the period, or, where that is short, over the year until its end.
async fn over_time(State(app): State<App>, signed: Signed, Query(asked): Query<Behind>) -> Response {
    let Ok(Some(period)) = period(&asked.days.from, &asked.days.to) else {
        return figures_page(&app, signed, asked.days).await;
    };
    let year = || Some(Rhythm::Month.around(period.to.plus_days(-334))?.from);
    let from = if period.from.days_to(period.to) < 62 { year().unwrap_or(period.from) } else { period.from };
    let period = Period::new(from.min(period.from), period.to).unwrap_or(period);
    let (desk, figure) = (signed.desk.clone(), asked.figure.clone());
    let Some(grant) = asked.grant() else { return signed.refused(&DeskError::NotFound) };
    match app.run(move || desk.trend(&figure, period, grant)).await {
        Ok(trend) => {
            let form = asked.days.shown(Some(period));
            html(&TrendPage { form, grant: asked.grant, ..TrendPage::of(signed.page, trend, None) })
        }
        Err(error) => signed.refused(&error),
    }
}

/// A figure that tells places apart, on the office's map.
async fn on_map(State(app): State<App>, signed: Signed, Query(asked): Query<Behind>) -> Response {
    let Ok(Some(period)) = period(&asked.days.from, &asked.days.to) else {
        return figures_page(&app, signed, asked.days).await;
    };
    let Some(grant) = asked.grant() else { return signed.refused(&DeskError::NotFound) };
    let desk = signed.desk.clone();
    match app.run(move || desk.figure_on_map(&asked.figure, period, grant)).await {
        Ok(map) => MapPage { page: signed.page, map, collector: None, of_grant: grant.is_some() }.answer(),
        Err(error) => signed.refused(&error),
    }
}

#[derive(Template)]
#[template(path = "behind.html")]
struct BehindPage {
    page: Page,
    period: Period,
    figure: FigureView,
    cell: Option<CellView>,
    cases: Vec<CaseSummary>,
    /// Whether only the work that is counted for one grant is asked for.
    of_grant: bool,
    /// How many are shown, and how many there are.
    shown: usize,
    total: usize,
}

#[derive(Debug, Deserialize)]
struct Behind {
    #[serde(flatten)]
    days: Days,
    #[serde(default)]
    figure: String,
    #[serde(default)]
    cell: String,
    /// Of the work that is counted for that grant alone; empty for all.
    #[serde(default)]
    grant: String,
}

impl Behind {
    /// The grant that is asked for, if one is; nothing where what was asked is none.
    fn grant(&self) -> Option<Option<RecordId>> {
        if self.grant.is_empty() { Some(None) } else { self.grant.parse().ok().map(Some) }
    }
}

/// The cases behind a number, for those who may see them.
async fn behind(State(app): State<App>, signed: Signed, Query(asked): Query<Behind>) -> Response {
    let Ok(Some(period)) = period(&asked.days.from, &asked.days.to) else {
        return figures_page(&app, signed, asked.days).await;
    };
    let (desk, figure) = (signed.desk.clone(), asked.figure.clone());
    // What is no number of a cell asks for what is missing.
    let at: Option<usize> = asked.cell.parse().ok();
    let Some(grant) = asked.grant() else { return signed.refused(&DeskError::NotFound) };
    match app.run(move || desk.cases_behind(&figure, period, at, grant)).await {
        Ok((figure, cases, total)) => {
            let cell = at.and_then(|at| figure.cells.get(at)).cloned();
            let of_grant = grant.is_some();
            html(&BehindPage { page: signed.page, period, figure, cell, of_grant, shown: cases.len(), cases, total })
        }
        Err(error) => signed.refused(&error),
    }
}

#[derive(Template)]
#[template(path = "quality.html")]
struct QualityPage {
    page: Page,
    quality: QualityView,
}

impl QualityPage {
    /// That so many of all are shown.
    fn first(&self, shown: usize, all: &usize) -> String {
        self.page.told_of("quality-first", &shown, all)
    }
}

/// What can be mended.
async fn quality(State(app): State<App>, signed: Signed) -> Response {
    let desk = signed.desk.clone();
    match app.run(move || desk.quality()).await {
        Ok(quality) => html(&QualityPage { page: signed.page, quality }),
        Err(error) => signed.refused(&error),
    }
}

/// The report as a table for a spreadsheet: a line for each cell, with what is missing and excluded beside it.
async fn report_table(State(app): State<App>, signed: Signed, Query(days): Query<Days>) -> Response {
    let Ok(Some(period)) = period(&days.from, &days.to) else {
        return figures_page(&app, signed, days).await;
    };
    let (desk, scope) = (signed.desk.clone(), days.scope());
    let report = match app.run(move || desk.report(period, scope)).await {
        Ok(report) => report,
        Err(error) => return signed.refused(&error),
    };
    saved(&signed, &report.figures, &format!("figures-{}-{}", period.from, period.to), days.format == "xlsx")
}

/// Figures as a file for a spreadsheet.
pub(crate) fn saved(signed: &Signed, figures: &[FigureView], name: &str, is_workbook: bool) -> Response {
    let page = &signed.page;
    let head = [
        "report-number",
        "report-class",
        "report-class-more",
        "report-value",
        "report-of",
        "report-covered",
        "report-missing",
        "report-excluded",
    ];
    let head: Vec<String> = head.into_iter().map(|key| page.t(key)).collect();
    let number = |count: Option<u64>| count.map_or_else(|| page.t("withheld"), |count| count.to_string());
    let mut rows = Vec::new();
    for one in figures {
        let counts = [one.covered, one.missing, one.excluded].map(number);
        for cell in &one.cells {
            let mut classes = cell.classes.iter().map(|class| page.class(class));
            let (first, second) = (classes.next().unwrap_or_default(), classes.next().unwrap_or_default());
            let value = cell.value.clone().unwrap_or_else(|| page.t("withheld"));
            let of = cell.of.map(|of| of.to_string()).unwrap_or_default();
            rows.push([vec![page.figure_title(one).to_owned(), first, second, value, of], counts.to_vec()].concat());
        }
        if one.cells.is_empty() {
            let nothing = if one.covered.is_some() { "0".to_owned() } else { page.t("withheld") };
            let head = vec![page.figure_title(one).to_owned(), String::new(), String::new(), nothing, String::new()];
            rows.push([head, counts.to_vec()].concat());
        }
    }
    let made = match is_workbook {
        true => casemesh_node::table::workbook(&head, &rows)
            .map(|bytes| HandedOut { name: format!("{name}.xlsx"), media_type: WORKBOOK, bytes })
            .map_err(|error| error.to_string()),
        false => casemesh_node::table::csv(&head, &rows)
            .map(|bytes| HandedOut { name: format!("{name}.csv"), media_type: "text/csv; charset=utf-8", bytes })
            .map_err(|error| error.to_string()),
    };
    match made {
        Ok(made) => handed_out(made),
        Err(error) => signed.refused(&DeskError::Partner(error)),
    }
}

async fn figures_page(app: &App, signed: Signed, days: Days) -> Response {
    let today = signed.desk.today();
    let month_start = Day::new(today.year(), today.month(), 1).unwrap_or(today);
    let (period, problems) = match period(&days.from, &days.to) {
        Ok(period) => (period.or_else(|| Period::new(month_start, today)), Vec::new()),
        Err(problems) => (None, problems),
    };
    let (desk, scope, topic) = (signed.desk.clone(), days.scope(), days.topic.clone());
    let loaded = app.run(move || period.map(|period| Ok((desk.figures(period)?, desk.report(period, scope)?)))).await;
    let (figures, mut report) = match loaded.transpose() {
        Ok(loaded) => loaded.unzip(),
        Err(error) => return signed.refused(&error),
    };
    // What stands above among the national numbers is not told twice.
    if let (Some(figures), Some(report)) = (&figures, &mut report)
        && topic.is_empty()
    {
        let is_above = |one: &FigureView| figures.figures.iter().any(|known| known.definition == one.definition);
        report.figures.retain(|one| !is_above(one));
    }
    let form = days.shown(period);
    let status = if problems.is_empty() { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY };
    let form = form.with_problems(problems);
    let (approves, mends) = (signed.desk.may(Ask::ApproveTable), signed.desk.may(Ask::Register));
    html_with(
        status,
        &FiguresPage { page: signed.page, form, figures, report, topic, usual: usual(today), approves, mends },
    )
}

async fn show(State(app): State<App>, signed: Signed, Query(days): Query<Days>) -> Response {
    figures_page(&app, signed, days).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_period_has_two_days_in_order_in_any_digits() {
        let wrong = |from: &str, to: &str| {
            let all = period(from, to).unwrap_err();
            all.iter().map(|one| format!("{} {}", one.field, one.problem)).collect::<Vec<_>>().join(", ")
        };
        assert_eq!(wrong("", "2026-01-31"), "from required");
        assert_eq!(wrong("soon", " "), "from not-a-day, to required");
        assert_eq!(wrong("2026-02-01", "2026-01-31"), "to ends-before-start");
        assert_eq!(period("", "").unwrap(), None);
        assert_eq!(period("٢٠٢٦-٠١-٠١", "2026-01-31").unwrap().unwrap().to_string(), "2026-01-01/2026-01-31");
    }
}
