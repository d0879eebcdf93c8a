//! Grants with their targets; cases that belong together; flags that are resolved.

use crate::App;
use crate::form::Form;
use crate::page::{Page, Sent, Signed, go, html_with};
use askama::Template;
use axum::Router;
use axum::extract::{Path, State};
use axum::response::Response;
use axum::routing::{get, post};
use casemesh_node::office::{DeskError, GrantInput, GrantView};
use casemesh_node::policy::Ask;
use casemesh_protocol::id::RecordId;

pub(crate) fn routes() -> Router<App> {
    Router::new()
        .route("/grants", get(show).post(add))
        .route("/cases/{id}/grants", post(tag))
        .route("/cases/{id}/links", post(link))
        .route("/tasks/{id}/resolve", post(resolve))
}

#[derive(Template)]
#[template(path = "grants.html")]
struct GrantsPage {
    page: Page,
    form: Form,
    grants: Vec<GrantView>,
    may_add: bool,
}

async fn grants_page(app: &App, signed: Signed, form: Form) -> Response {
    let desk = signed.desk.clone();
    let status = form.status();
    match app.run(move || desk.grants()).await {
        Ok(grants) => {
            let may_add = signed.desk.may(Ask::HandOver);
            html_with(status, &GrantsPage { page: signed.page, form, grants, may_add })
        }
        Err(error) => signed.refused(&error),
    }
}

async fn show(State(app): State<App>, signed: Signed) -> Response {
    grants_page(&app, signed, Form::default()).await
}

async fn add(State(app): State<App>, Sent { signed, form }: Sent) -> Response {
    let input = GrantInput {
        name: form.text("name"),
        donor: form.text("donor"),
        from: form.text("from"),
        to: form.text("to"),
        cases: form.text("cases"),
        entries: form.text("entries"),
    };
    let desk = signed.desk.clone();
    match app.run(move || desk.add_grant(&input)).await {
        Ok(_) => go("/grants"),
        Err(DeskError::Invalid(problems)) => grants_page(&app, signed, form.with_problems(problems)).await,
        Err(error) => signed.refused(&error),
    }
}

async fn tag(State(app): State<App>, Path(id): Path<RecordId>, Sent { signed, form }: Sent) -> Response {
    let grants: Vec<RecordId> = form.all("grants").iter().filter_map(|grant| grant.parse().ok()).collect();
    let desk = signed.desk.clone();
    match app.run(move || desk.tag_case(id, grants)).await {
        Ok(()) => go(&format!("/cases/{id}")),
        Err(error) => signed.refused(&error),
    }
}

async fn link(State(app): State<App>, Path(id): Path<RecordId>, Sent { signed, form }: Sent) -> Response {
    let (desk, number, why) = (signed.desk.clone(), form.text("number"), form.text("why"));
    match app.run(move || desk.link_case(id, &number, &why)).await {
        Ok(()) => go(&format!("/cases/{id}")),
        Err(error) => signed.refused(&error),
    }
}

async fn resolve(State(app): State<App>, Path(id): Path<RecordId>, Sent { signed, form }: Sent) -> Response {
    let (desk, resolution) = (signed.desk.clone(), form.text("resolution"));
    match app.run(move || desk.resolve_flag(id, &resolution)).await {
        Ok(()) => {
            let then = form.get("then");
            go(if crate::page::is_own_path(then) { then } else { "/tasks" })
        }
        Err(error) => signed.refused(&error),
    }
}
