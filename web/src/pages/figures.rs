//! The office's figures, the table that may leave, and what a collector holds.

use crate::App;
use crate::documents::handed_out;
use crate::form::Form;
use crate::page::{Page, Sent, Signed, go, html_with};
use askama::Template;
use axum::Router;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::get;
use casemesh_node::office::{
    ClassView, CollectedView, DeskError, FieldProblem, FiguresView, HandedOut, IndicatorView, ReportView, TablePreview,
};
use casemesh_protocol::time::{Day, Period};
use serde::Deserialize;

pub(crate) fn routes() -> Router<App> {
    Router::new()
        .route("/figures", get(show).post(approve))
        .route("/figures/table", get(report_table))
        .route("/collector", get(collected))
}

#[derive(Debug, Default, Deserialize)]
pub(crate) struct Days {
    #[serde(default)]
    pub(crate) from: String,
    #[serde(default)]
    pub(crate) to: String,
}

impl Days {
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
        text.trim().parse().map_err(|_| FieldProblem::with(field, "not-a-day", text))
    };
    match (day("from", from), day("to", to)) {
        (Ok(from), Ok(to)) => match Period::new(from, to) {
            Some(period) => Ok(Some(period)),
            None => Err(vec![FieldProblem::new("to", "in-the-past")]),
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
    table: Option<TablePreview>,
}

impl FiguresPage {
    /// What an indicator is called in the language of the page.
    fn title<'a>(&self, one: &'a IndicatorView) -> &'a str {
        title(&self.page, one)
    }

    /// What a class of a cell is called.
    fn class(&self, class: &ClassView) -> String {
        class_name(&self.page, class)
    }
}

fn title<'a>(page: &Page, one: &'a IndicatorView) -> &'a str {
    let said = one.title.get(page.language.code).or_else(|| one.title.get("en"));
    said.map_or(one.id.as_str(), String::as_str)
}

fn class_name(page: &Page, class: &ClassView) -> String {
    match class {
        // Words of ours are in the catalogues; codes have their own texts.
        ClassView::Code(code) if ["referral_state", "payment"].contains(&code.list.as_str()) => {
            page.word(&code.list.replace('_', "-"), &code.code)
        }
        ClassView::Code(code) => page.code(code),
        ClassView::From { from, to: Some(to) } => format!("{from}–{}", to - 1),
        ClassView::From { from, to: None } => format!("≥ {from}"),
    }
}

/// The report as a table for a spreadsheet: a line for each cell, with what is missing and excluded beside it.
async fn report_table(State(app): State<App>, signed: Signed, Query(days): Query<Days>) -> Response {
    let Ok(Some(period)) = period(&days.from, &days.to) else {
        return figures_page(&app, signed, days, Vec::new()).await;
    };
    let desk = signed.desk.clone();
    let report = match app.run(move || desk.report(period)).await {
        Ok(report) => report,
        Err(error) => return signed.refused(&error),
    };
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
    let rows: Vec<Vec<String>> = report
        .indicators
        .iter()
        .flat_map(|one| {
            one.cells.iter().map(move |cell| {
                let mut classes = cell.classes.iter().map(|class| class_name(page, class));
                vec![
                    title(page, one).to_owned(),
                    classes.next().unwrap_or_default(),
                    classes.next().unwrap_or_default(),
                    cell.value.clone(),
                    cell.of.to_string(),
                    one.covered.to_string(),
                    one.missing.to_string(),
                    one.excluded.to_string(),
                ]
            })
        })
        .collect();
    match casemesh_node::table::csv(&head, &rows) {
        Ok(bytes) => {
            let name = format!("figures-{}-{}.csv", period.from, period.to);
            handed_out(HandedOut { name, media_type: "text/csv; charset=utf-8", bytes })
        }
        Err(error) => signed.refused(&DeskError::Partner(error.to_string())),
    }
}

async fn figures_page(app: &App, signed: Signed, days: Days, problems: Vec<FieldProblem>) -> Response {
    let today = signed.desk.today();
    let month_start = Day::new(today.year(), today.month(), 1).unwrap_or(today);
    let (period, mut problems) = match period(&days.from, &days.to) {
        Ok(period) => (period.or_else(|| Period::new(month_start, today)), problems),
        Err(wrong) => (None, wrong),
    };
    let desk = signed.desk.clone();
    let loaded = app
        .run(move || {
            period.map(|period| {
                let table = match desk.table_preview(period) {
                    Ok(table) => Some(table),
                    Err(DeskError::Denied(_)) => None,
                    Err(error) => return Err(error),
                };
                Ok((desk.figures(period)?, desk.report(period)?, table))
            })
        })
        .await;
    let (figures, report, table) = match loaded {
        None => (None, None, None),
        Some(Ok((figures, report, table))) => (Some(figures), Some(report), table),
        Some(Err(error)) => return signed.refused(&error),
    };
    let form = days.shown(period);
    let status = if problems.is_empty() { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY };
    let form = form.with_problems(std::mem::take(&mut problems));
    html_with(status, &FiguresPage { page: signed.page, form, figures, report, table })
}

async fn show(State(app): State<App>, signed: Signed, Query(days): Query<Days>) -> Response {
    figures_page(&app, signed, days, Vec::new()).await
}

async fn approve(State(app): State<App>, Sent { signed, form }: Sent) -> Response {
    let days = Days { from: form.text("from"), to: form.text("to") };
    let Ok(Some(period)) = period(&days.from, &days.to) else {
        return figures_page(&app, signed, days, Vec::new()).await;
    };
    let desk = signed.desk.clone();
    match app.run(move || desk.approve_table(period)).await {
        Ok(_) => go(&format!("/figures?from={}&to={}", period.from, period.to)),
        Err(DeskError::Invalid(problems)) => figures_page(&app, signed, days, problems).await,
        Err(error) => signed.refused(&error),
    }
}

#[derive(Template)]
#[template(path = "collector.html")]
struct CollectorPage {
    page: Page,
    form: Form,
    collected: CollectedView,
}

async fn collected(State(app): State<App>, signed: Signed, Query(days): Query<Days>) -> Response {
    let (asked, problems) = match period(&days.from, &days.to) {
        Ok(period) => (period, Vec::new()),
        Err(problems) => (None, problems),
    };
    let desk = signed.desk.clone();
    match app.run(move || desk.collected(asked)).await {
        Ok(collected) => {
            let status = if problems.is_empty() { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY };
            let mut form = Form::default();
            form.set("from", if problems.is_empty() { collected.period.from.to_string() } else { days.from });
            form.set("to", if problems.is_empty() { collected.period.to.to_string() } else { days.to });
            html_with(status, &CollectorPage { page: signed.page, form: form.with_problems(problems), collected })
        }
        Err(error) => signed.refused(&error),
    }
}
