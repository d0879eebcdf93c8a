//! How a record came to be what it is; and that a page was printed.

use crate::App;
use crate::page::{Page, Sent, Signed, html};
use askama::Template;
use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use casemesh_node::office::{HistoryOf, HistoryView};
use casemesh_protocol::id::{RecordId, StaffId};

pub(crate) fn routes() -> Router<App> {
    Router::new()
        .route("/cases/{id}/history", get(case))
        .route("/people/{id}/history", get(person))
        .route("/tasks/{id}/history", get(task))
        .route("/register/{id}/history", get(line))
        .route("/staff/{id}/history", get(account))
        .route("/settings/history", get(settings))
        .route("/printed", post(printed))
}

#[derive(Template)]
#[template(path = "history.html")]
struct HistoryPage {
    page: Page,
    history: HistoryView,
    back: String,
}

async fn show(app: App, signed: Signed, of: HistoryOf, back: String) -> Response {
    let desk = signed.desk.clone();
    match app.run(move || desk.history(of)).await {
        Ok(history) => html(&HistoryPage { page: signed.page, history, back }),
        Err(error) => signed.refused(&error),
    }
}

async fn case(State(app): State<App>, Path(id): Path<RecordId>, signed: Signed) -> Response {
    show(app, signed, HistoryOf::Case(id), format!("/cases/{id}")).await
}

async fn person(State(app): State<App>, Path(id): Path<RecordId>, signed: Signed) -> Response {
    show(app, signed, HistoryOf::Person(id), format!("/people/{id}")).await
}

async fn task(State(app): State<App>, Path(id): Path<RecordId>, signed: Signed) -> Response {
    show(app, signed, HistoryOf::Task(id), format!("/tasks/{id}")).await
}

async fn line(State(app): State<App>, Path(id): Path<RecordId>, signed: Signed) -> Response {
    show(app, signed, HistoryOf::Line(id), format!("/register/{id}")).await
}

async fn account(State(app): State<App>, Path(id): Path<StaffId>, signed: Signed) -> Response {
    let back = if id == signed.desk.staff() { "/account" } else { "/staff" };
    show(app, signed, HistoryOf::Account(id), back.into()).await
}

async fn settings(State(app): State<App>, signed: Signed) -> Response {
    show(app, signed, HistoryOf::Settings, "/staff".into()).await
}

/// A browser says that its page goes to a printer; where it runs no scripts, nobody can know.
async fn printed(State(app): State<App>, Sent { signed, form }: Sent) -> Response {
    let path = form.text("path");
    let desk = signed.desk.clone();
    app.run(move || desk.note_print(path.split('/').find_map(|part| part.parse().ok()))).await;
    StatusCode::NO_CONTENT.into_response()
}
