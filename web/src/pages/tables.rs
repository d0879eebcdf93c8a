//! What the network asks and how this office answers it, the exact table before it goes, and what a collector holds.

use crate::App;
use crate::form::Form;
use crate::page::{Page, Sent, Signed, go, html_with};
use crate::pages::figures::{Days, period, saved};
use askama::Template;
use axum::Router;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::get;
use casemesh_node::office::{AgreementView, AnsweringInput, CollectedView, DeskError, FieldProblem, TablePreview};
use casemesh_protocol::time::Period;
use serde::Deserialize;

pub(crate) fn routes() -> Router<App> {
    Router::new()
        .route("/tables", get(all).post(answer))
        .route("/tables/show", get(show).post(approve))
        .route("/collector", get(collected))
        .route("/collector/table", get(collected_table))
}

#[derive(Debug, Default, Deserialize)]
struct Asked {
    #[serde(default)]
    agreement: String,
    #[serde(flatten)]
    days: Days,
}

fn address(agreement: &str, period: &Period) -> String {
    format!("agreement={agreement}&from={}&to={}", period.from, period.to)
}

#[derive(Template)]
#[template(path = "tables.html")]
struct TablesPage {
    page: Page,
    form: Form,
    agreements: Vec<AgreementView>,
    problems: Vec<String>,
}

impl TablesPage {
    fn title<'a>(&self, titles: &'a std::collections::BTreeMap<String, String>) -> &'a str {
        let said = titles.get(self.page.language.code).or_else(|| titles.get("en"));
        said.map_or("", String::as_str)
    }
}

async fn tables_page(app: &App, signed: Signed, form: Form) -> Response {
    let desk = signed.desk.clone();
    let status = if !form.problems().is_empty() { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::OK };
    match app.run(move || desk.agreements()).await {
        Ok((agreements, problems)) => html_with(status, &TablesPage { page: signed.page, form, agreements, problems }),
        Err(error) => signed.refused(&error),
    }
}

async fn all(State(app): State<App>, signed: Signed) -> Response {
    tables_page(&app, signed, Form::default()).await
}

async fn answer(State(app): State<App>, Sent { signed, form }: Sent) -> Response {
    let desk = signed.desk.clone();
    let input = AnsweringInput {
        agreement: form.text("agreement"),
        answering: form.text("answering"),
        reason: form.text("reason"),
    };
    match app.run(move || desk.answer_agreement(&input)).await {
        Ok(()) => go("/tables"),
        Err(DeskError::Invalid(problems)) => tables_page(&app, signed, form.with_problems(problems)).await,
        Err(error) => signed.refused(&error),
    }
}

#[derive(Template)]
#[template(path = "table.html")]
struct TablePage {
    page: Page,
    form: Form,
    table: TablePreview,
}

async fn table_page(app: &App, signed: Signed, asked: Asked, problems: Vec<FieldProblem>) -> Response {
    let (desk, agreement) = (signed.desk.clone(), asked.agreement.clone());
    let today = desk.today();
    let (named, wrong) = match period(&asked.days.from, &asked.days.to) {
        Ok(period) => (period, problems),
        Err(wrong) => (None, wrong),
    };
    let Some(shown) = named.or_else(|| Period::new(today, today)) else { return go("/tables") };
    match app.run(move || desk.table_preview(&agreement, shown)).await {
        Ok(table) => {
            let status = if wrong.is_empty() { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY };
            let form = asked.days.shown(named).with_problems(wrong);
            html_with(status, &TablePage { page: signed.page, form, table })
        }
        Err(error) => signed.refused(&error),
    }
}

async fn show(State(app): State<App>, signed: Signed, Query(asked): Query<Asked>) -> Response {
    table_page(&app, signed, asked, Vec::new()).await
}

async fn approve(State(app): State<App>, Sent { signed, form }: Sent) -> Response {
    let days = Days { from: form.text("from"), to: form.text("to") };
    let asked = Asked { agreement: form.text("agreement"), days };
    let Ok(Some(period)) = period(&asked.days.from, &asked.days.to) else {
        return table_page(&app, signed, asked, Vec::new()).await;
    };
    let (desk, agreement) = (signed.desk.clone(), asked.agreement.clone());
    match app.run(move || desk.approve_table(&agreement, period)).await {
        Ok(_) => go("/tables"),
        Err(DeskError::Invalid(problems)) => table_page(&app, signed, asked, problems).await,
        Err(error) => signed.refused(&error),
    }
}

#[derive(Template)]
#[template(path = "collector.html")]
struct CollectorPage {
    page: Page,
    form: Form,
    collected: CollectedView,
    /// Offices that told something, that did so in time, and that were asked.
    told: usize,
    in_time: usize,
    asked: usize,
}

impl CollectorPage {
    fn prefix(&self, at: &usize) -> String {
        format!("office-{at}")
    }

    fn address(&self) -> String {
        address(&self.collected.agreement, &self.collected.period)
    }

    fn address_of(&self, agreement: &str, period: &Period) -> String {
        address(agreement, period)
    }
}

async fn collected(State(app): State<App>, signed: Signed, Query(asked): Query<Asked>) -> Response {
    let (named, problems) = match period(&asked.days.from, &asked.days.to) {
        Ok(period) => (period, Vec::new()),
        Err(problems) => (None, problems),
    };
    let desk = signed.desk.clone();
    match app.run(move || desk.collected(&asked.agreement, named)).await {
        Ok(collected) => {
            let status = if problems.is_empty() { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY };
            let shown = Some(collected.period).filter(|_| problems.is_empty());
            let form = asked.days.shown(shown).with_problems(problems);
            let (told, in_time) = (collected.offices.len(), collected.in_time());
            let asked = told + collected.silent.len();
            html_with(status, &CollectorPage { page: signed.page, form, collected, told, in_time, asked })
        }
        Err(error) => signed.refused(&error),
    }
}

/// The totals as a table for a spreadsheet.
async fn collected_table(State(app): State<App>, signed: Signed, Query(asked): Query<Asked>) -> Response {
    let named = period(&asked.days.from, &asked.days.to).ok().flatten();
    let desk = signed.desk.clone();
    match app.run(move || desk.collected(&asked.agreement, named)).await {
        Ok(collected) => {
            let name = format!("{}-{}-{}.csv", collected.agreement, collected.period.from, collected.period.to);
            saved(&signed, &collected.total, &name)
        }
        Err(error) => signed.refused(&error),
    }
}
