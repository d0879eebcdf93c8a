//! The desk register.

use crate::App;
use crate::form::Form;
use crate::page::{Page, Sent, Signed, go, html_with};
use askama::Template;
use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::{get, post};
use casemesh_node::office::{DeskError, RegisterInput, RegisterView};
use casemesh_protocol::id::RecordId;

pub(crate) fn routes() -> Router<App> {
    Router::new()
        .route("/register", get(show).post(add))
        .route("/register/{id}/consult", post(consult))
        .route("/register/{id}/case", post(case))
        .route("/register/{id}/turn-away", post(turn_away))
}

#[derive(Template)]
#[template(path = "register.html")]
struct RegisterPage {
    page: Page,
    form: Form,
    lines: Vec<RegisterView>,
    topics: Vec<(String, String)>,
    reasons: Vec<(String, String)>,
}

async fn show(State(app): State<App>, signed: Signed) -> Response {
    page(&app, signed, Form::default()).await
}

async fn page(app: &App, signed: Signed, form: Form) -> Response {
    let desk = signed.desk.clone();
    let status = if form.problems().is_empty() { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY };
    match app.run(move || desk.register(None)).await {
        Ok(lines) => html_with(
            status,
            &RegisterPage {
                topics: signed.page.options("case_type"),
                reasons: signed.page.options("turnaway_reason"),
                page: signed.page,
                form,
                lines,
            },
        ),
        Err(error) => signed.refused(&error),
    }
}

async fn add(State(app): State<App>, Sent { signed, form }: Sent) -> Response {
    let input = RegisterInput {
        visitor: form.text("visitor"),
        topic: form.text("topic"),
        note: form.text("note"),
        minutes: form.text("minutes"),
    };
    let desk = signed.desk.clone();
    match app.run(move || desk.add_line(input)).await {
        Ok(_) => go("/register"),
        Err(DeskError::Invalid(problems)) => page(&app, signed, form.with_problems(problems)).await,
        Err(error) => signed.refused(&error),
    }
}

async fn consult(State(app): State<App>, Path(id): Path<RecordId>, Sent { signed, .. }: Sent) -> Response {
    let desk = signed.desk.clone();
    match app.run(move || desk.line_to_consult(id)).await {
        Ok(()) => go("/register"),
        Err(error) => signed.refused(&error),
    }
}

async fn case(State(app): State<App>, Path(id): Path<RecordId>, Sent { signed, .. }: Sent) -> Response {
    let desk = signed.desk.clone();
    match app.run(move || desk.line_to_case(id)).await {
        Ok(case) => go(&format!("/cases/{case}")),
        Err(error) => signed.refused(&error),
    }
}

async fn turn_away(State(app): State<App>, Path(id): Path<RecordId>, Sent { signed, form }: Sent) -> Response {
    let (desk, reason) = (signed.desk.clone(), form.text("reason"));
    match app.run(move || desk.line_turned_away(id, &reason)).await {
        Ok(()) => go("/register"),
        Err(error) => signed.refused(&error),
    }
}
