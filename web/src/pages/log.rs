//! The log, and its check.

use crate::App;
use crate::page::{Page, Sent, Signed, html};
use askama::Template;
use axum::Router;
use axum::extract::{Query, State};
use axum::response::Response;
use axum::routing::get;
use casemesh_node::office::{LogCheck, LogFilter, LogView};

pub(crate) fn routes() -> Router<App> {
    Router::new().route("/log", get(show).post(check))
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
