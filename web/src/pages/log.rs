//! The log, its check, and the history of a case or person.

use crate::App;
use crate::page::{Page, Sent, Signed, html};
use askama::Template;
use axum::Router;
use axum::extract::{Path, Query, State};
use axum::response::Response;
use axum::routing::get;
use casemesh_node::office::{HistoryView, LogCheck, LogFilter, LogView};
use casemesh_protocol::id::RecordId;

pub(crate) fn routes() -> Router<App> {
    Router::new()
        .route("/log", get(show).post(check))
        .route("/cases/{id}/history", get(case_history))
        .route("/people/{id}/history", get(person_history))
}

#[derive(Template)]
#[template(path = "log.html")]
struct LogPage {
    page: Page,
    log: LogView,
    check: Option<LogCheck>,
    staff: Vec<(String, String)>,
    chosen: String,
}

async fn log_page(app: &App, signed: Signed, filter: LogFilter, checks: bool) -> Response {
    let (desk, asked) = (signed.desk.clone(), filter.clone());
    let read = move || {
        let check = if checks { Some(desk.check_log()?) } else { None };
        Ok::<_, casemesh_node::office::DeskError>((desk.log(&asked)?, desk.log_staff()?, check))
    };
    match app.run(read).await {
        Ok((log, staff, check)) => html(&LogPage {
            page: signed.page,
            log,
            check,
            staff: staff.into_iter().map(|(id, name)| (id.to_string(), name)).collect(),
            chosen: filter.staff,
        }),
        Err(error) => signed.refused(&error),
    }
}

async fn show(State(app): State<App>, signed: Signed, Query(filter): Query<LogFilter>) -> Response {
    log_page(&app, signed, filter, false).await
}

async fn check(State(app): State<App>, Sent { signed, .. }: Sent) -> Response {
    log_page(&app, signed, LogFilter::default(), true).await
}

#[derive(Template)]
#[template(path = "history.html")]
struct HistoryPage {
    page: Page,
    history: HistoryView,
    back: String,
}

async fn case_history(State(app): State<App>, Path(id): Path<RecordId>, signed: Signed) -> Response {
    let desk = signed.desk.clone();
    match app.run(move || desk.case_history(id)).await {
        Ok(history) => html(&HistoryPage { page: signed.page, history, back: format!("/cases/{id}") }),
        Err(error) => signed.refused(&error),
    }
}

async fn person_history(State(app): State<App>, Path(id): Path<RecordId>, signed: Signed) -> Response {
    let desk = signed.desk.clone();
    match app.run(move || desk.person_history(id)).await {
        Ok(history) => html(&HistoryPage { page: signed.page, history, back: format!("/people/{id}") }),
        Err(error) => signed.refused(&error),
    }
}
