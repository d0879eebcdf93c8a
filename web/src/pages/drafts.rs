//! What was typed and not sent: kept by the page as it is typed, found again under "My work".

use super::session::ResumePage;
use crate::App;
use crate::form::Form;
use crate::page::{Sent, Signed, go, html, is_own_path};
use axum::Router;
use axum::extract::{Path, Request, State};
use axum::http::{Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use casemesh_crypto::hash::Digest;
use casemesh_node::office::DeskError;

/// The name under which a draft carries where its form is sent to.
const PATH: &str = "draft:path";
/// The name under which it carries the page that it was typed in.
const PAGE: &str = "draft:page";
/// Where a form that has a draft is sent to carries the page too: `?draft=PAGE`.
const QUERY: &str = "draft=";

pub(crate) fn routes() -> Router<App> {
    Router::new()
        .route("/drafts", post(keep))
        .route("/drafts/{id}", get(show))
        .route("/drafts/{id}/drop", post(drop_one))
}

fn encoded(page: &str) -> String {
    form_urlencoded::byte_serialize(page.as_bytes()).collect()
}

fn decoded(page: &str) -> String {
    let pair = format!("{QUERY}{page}");
    form_urlencoded::parse(pair.as_bytes()).map(|(_, value)| value.into_owned()).next().unwrap_or_default()
}

async fn keep(State(app): State<App>, signed: Signed, body: axum::body::Bytes) -> Response {
    let form = Form::read(&body);
    let path = form.text(PATH);
    if !is_own_path(&path) || path.starts_with("/drafts") {
        return StatusCode::UNPROCESSABLE_ENTITY.into_response();
    }
    let page = form.text(PAGE);
    let secret = |name: &str| name == PATH || name == PAGE || name.contains("password");
    let pairs = form.pairs().iter().filter(|(name, _)| !secret(name)).cloned().collect();
    match app.run(move || signed.desk.keep_draft(&path, &page, pairs)).await {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(error) => {
            tracing::warn!(kind = %error.kind(), "a draft could not be kept");
            StatusCode::INSUFFICIENT_STORAGE.into_response()
        }
    }
}

async fn show(State(app): State<App>, Path(id): Path<Digest>, signed: Signed) -> Response {
    let desk = signed.desk.clone();
    match app.run(move || desk.kept_draft(&id)).await {
        Some(draft) => html(&ResumePage {
            page: signed.page,
            title: "draft-title",
            text: "draft-text",
            then: format!("{}?{QUERY}{}", draft.path, encoded(&draft.page)),
            kept: draft.pairs,
            drop: Some(format!("/drafts/{id}/drop")),
        }),
        None => signed.refused(&DeskError::NotFound),
    }
}

async fn drop_one(State(app): State<App>, Path(id): Path<Digest>, Sent { signed, .. }: Sent) -> Response {
    app.run(move || signed.desk.drop_draft(&id)).await;
    go("/")
}

/// A form that was taken leaves no draft behind.
pub(crate) async fn forget_what_was_sent(State(app): State<App>, request: Request, next: Next) -> Response {
    let is_post = request.method() == Method::POST;
    let path = request.uri().path().to_owned();
    let query = request.uri().query().and_then(|query| query.strip_prefix(QUERY)).map(decoded);
    let token = if is_post { crate::page::token_of(&app, request.headers()) } else { None };
    let response = next.run(request).await;
    if response.status().is_redirection()
        && let Some(page) = query
        && let Some(desk) = token.and_then(|token| app.node.page_desk(&token))
    {
        app.run(move || desk.drop_draft(&desk.draft_id(&path, &page))).await;
    }
    response
}
