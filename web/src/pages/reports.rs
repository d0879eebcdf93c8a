//! Reports that an office makes again and again.

use crate::App;
use crate::form::Form;
use crate::page::{Page, Sent, Signed, go, html, html_with};
use crate::pages::figures::{Days, period, saved};
use askama::Template;
use axum::Router;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::{get, post};
use casemesh_node::office::{
    DeskError, FigureView, IndicatorView, ReportLineInput, ReportLineView, SavedReportInput, SavedReportSummary,
    SavedReportView,
};
use casemesh_node::policy::Ask;
use casemesh_protocol::id::RecordId;
use casemesh_protocol::indicators::Topic;
use casemesh_protocol::statistics::Rhythm;
use std::collections::BTreeMap;

pub(crate) fn routes() -> Router<App> {
    Router::new()
        .route("/reports", get(list).post(make))
        .route("/reports/new", get(new))
        .route("/reports/{id}", get(show).post(change))
        .route("/reports/{id}/edit", get(edit))
        .route("/reports/{id}/table", get(table))
        .route("/reports/{id}/drop", post(drop_it))
        .route("/reports/{id}/figures/{figure}", post(say))
}

#[derive(Template)]
#[template(path = "reports.html")]
struct ReportsPage {
    page: Page,
    reports: Vec<SavedReportSummary>,
    may_keep: bool,
}

async fn list(State(app): State<App>, signed: Signed) -> Response {
    let desk = signed.desk.clone();
    match app.run(move || desk.saved_reports()).await {
        Ok(reports) => {
            let may_keep = signed.desk.may(Ask::KeepReports);
            html(&ReportsPage { page: signed.page, reports, may_keep })
        }
        Err(error) => signed.refused(&error),
    }
}

#[derive(Template)]
#[template(path = "report_form.html")]
struct ReportForm {
    page: Page,
    form: Form,
    /// Where it is sent.
    action: String,
    rhythms: &'static [Rhythm],
    grants: Vec<(String, String)>,
    topics: BTreeMap<Topic, Vec<IndicatorView>>,
}

impl ReportForm {
    fn title(&self) -> &'static str {
        if self.action == "/reports" { "report-new" } else { "report-change" }
    }
}

async fn form_page(app: &App, signed: Signed, action: String, form: Form) -> Response {
    let desk = signed.desk.clone();
    let load = move || {
        desk.report_allowed()?;
        Ok::<_, DeskError>((desk.indicators()?, desk.grants()?))
    };
    let loaded = app.run(load).await;
    let (indicators, grants) = match loaded {
        Ok(loaded) => loaded,
        Err(error) => return signed.refused(&error),
    };
    let mut topics: BTreeMap<Topic, Vec<IndicatorView>> = BTreeMap::new();
    for one in indicators {
        topics.entry(one.topic).or_default().push(one);
    }
    let grants = grants.into_iter().map(|grant| (grant.id.to_string(), grant.name)).collect();
    let status = form.status();
    html_with(status, &ReportForm { page: signed.page, form, action, rhythms: Rhythm::ALL, grants, topics })
}

async fn new(State(app): State<App>, signed: Signed) -> Response {
    form_page(&app, signed, "/reports".into(), Form::of(&[("every", "quarter")])).await
}

async fn edit(State(app): State<App>, Path(id): Path<RecordId>, signed: Signed) -> Response {
    let desk = signed.desk.clone();
    match app.run(move || desk.saved_report_input(id)).await {
        Ok(known) => {
            let fields =
                [("name", &known.name), ("words", &known.words), ("every", &known.every), ("grant", &known.grant)];
            let figures = known.figures.iter().map(|figure| ("figures", figure));
            let fields: Vec<(&str, &str)> =
                fields.into_iter().chain(figures).map(|(name, value)| (name, value.as_str())).collect();
            form_page(&app, signed, format!("/reports/{id}"), Form::of(&fields)).await
        }
        Err(error) => signed.refused(&error),
    }
}

fn input(form: &Form) -> SavedReportInput {
    SavedReportInput {
        name: form.text("name"),
        words: form.text("words"),
        every: form.text("every"),
        grant: form.text("grant"),
        figures: form.all("figures"),
    }
}

async fn make(State(app): State<App>, Sent { signed, form }: Sent) -> Response {
    save(app, signed, None, form).await
}

async fn change(State(app): State<App>, Path(id): Path<RecordId>, Sent { signed, form }: Sent) -> Response {
    save(app, signed, Some(id), form).await
}

async fn save(app: App, signed: Signed, id: Option<RecordId>, form: Form) -> Response {
    let (desk, input) = (signed.desk.clone(), input(&form));
    match app.run(move || desk.save_report(id, &input)).await {
        Ok(id) => go(&format!("/reports/{id}")),
        Err(DeskError::Invalid(problems)) => {
            let action = id.map_or_else(|| "/reports".to_owned(), |id| format!("/reports/{id}"));
            form_page(&app, signed, action, form.with_problems(problems)).await
        }
        Err(error) => signed.refused(&error),
    }
}

#[derive(Template)]
#[template(path = "report.html")]
struct ReportPage {
    page: Page,
    form: Form,
    report: SavedReportView,
    may_keep: bool,
    /// What was sent for a figure and could not be taken.
    typed: Option<Typed>,
}

/// What somebody typed beside a figure.
struct Typed {
    figure: String,
    planned: String,
    words: String,
}

impl ReportPage {
    /// What was typed beside a figure and is not taken yet.
    fn typed(&self, line: &ReportLineView) -> Option<&Typed> {
        self.typed.as_ref().filter(|typed| typed.figure == line.figure.id)
    }

    /// A figure by itself, as what draws figures takes them.
    fn alone<'a>(&self, line: &'a ReportLineView) -> &'a [FigureView] {
        std::slice::from_ref(&line.figure)
    }

    fn query(&self) -> String {
        format!("from={}&to={}", self.report.period.from, self.report.period.to)
    }

    /// The same, for links to what stands behind a number.
    fn behind(&self) -> String {
        let grant = self.report.grant.as_ref().map(|(grant, ..)| format!("&grant={grant}"));
        format!("{}{}", self.query(), grant.unwrap_or_default())
    }
}

async fn report_page(app: &App, signed: Signed, id: RecordId, days: Days, sent: Option<(Form, Typed)>) -> Response {
    let (asked, problems) = match period(&days.from, &days.to) {
        Ok(asked) => (asked, Vec::new()),
        Err(problems) => (None, problems),
    };
    let desk = signed.desk.clone();
    let report = match app.run(move || desk.saved_report(id, asked)).await {
        Ok(report) => report,
        Err(error) => return signed.refused(&error),
    };
    let status = match problems.is_empty() && sent.is_none() {
        true => StatusCode::OK,
        false => StatusCode::UNPROCESSABLE_ENTITY,
    };
    let shown = days.shown(Some(report.period).filter(|_| problems.is_empty()));
    let (form, typed) = match sent {
        Some((sent, typed)) => (shown.with_problems(sent.problems().to_vec()), Some(typed)),
        None => (shown.with_problems(problems), None),
    };
    let may_keep = signed.desk.may(Ask::KeepReports);
    html_with(status, &ReportPage { page: signed.page, form, report, may_keep, typed })
}

async fn show(State(app): State<App>, Path(id): Path<RecordId>, signed: Signed, Query(days): Query<Days>) -> Response {
    report_page(&app, signed, id, days, None).await
}

async fn table(State(app): State<App>, Path(id): Path<RecordId>, signed: Signed, Query(days): Query<Days>) -> Response {
    let Ok(asked) = period(&days.from, &days.to) else { return report_page(&app, signed, id, days, None).await };
    let desk = signed.desk.clone();
    match app.run(move || desk.saved_report(id, asked)).await {
        Ok(report) => {
            let figures: Vec<FigureView> = report.lines.iter().map(|line| line.figure.clone()).collect();
            let name = format!("report-{}-{}", report.period.from, report.period.to);
            saved(&signed, &figures, &name, days.format == "xlsx")
        }
        Err(error) => signed.refused(&error),
    }
}

async fn say(
    State(app): State<App>,
    Path((id, figure)): Path<(RecordId, String)>,
    Sent { signed, form }: Sent,
) -> Response {
    let input = ReportLineInput { planned: form.text("planned"), words: form.text("words") };
    let (desk, of) = (signed.desk.clone(), figure.clone());
    let days = Days { from: form.text("from"), to: form.text("to"), ..Days::default() };
    match app.run(move || desk.say_of_figure(id, &of, &input)).await {
        Ok(()) => {
            let period = period(&days.from, &days.to).ok().flatten();
            let days = period.map(|period| format!("?from={}&to={}", period.from, period.to)).unwrap_or_default();
            go(&format!("/reports/{id}{days}#line-{figure}"))
        }
        Err(DeskError::Invalid(problems)) => {
            let typed = Typed { figure, planned: form.text("planned"), words: form.text("words") };
            report_page(&app, signed, id, days, Some((form.with_problems(problems), typed))).await
        }
        Err(error) => signed.refused(&error),
    }
}

async fn drop_it(State(app): State<App>, Path(id): Path<RecordId>, Sent { signed, .. }: Sent) -> Response {
    let desk = signed.desk.clone();
    match app.run(move || desk.drop_report(id)).await {
        Ok(()) => go("/reports"),
        Err(error) => signed.refused(&error),
    }
}
