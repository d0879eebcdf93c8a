//! The pages: one file a subject, each handler reads, acts at the desk, and shows.

mod access;
pub(crate) mod areas;
mod carry;
mod cases;
mod drafts;
mod entries;
mod family;
mod figures;
mod grants;
mod hers;
mod history;
mod home;
mod log;
mod manual;
mod membership;
mod network;
mod outside;
mod oversight;
mod people;
mod proposals;
mod refer;
mod referrals;
mod register;
mod reports;
mod samples;
mod session;
mod staff;
mod tables;
mod tasks;
mod vocabulary;

pub(crate) use cases::with_document_problems;
pub(crate) use drafts::forget_what_was_sent;
pub(crate) use network::file_of as bundle_file;
pub(crate) use session::sign_in_keeping;

use crate::App;
use crate::page::{Page, html_with, outside_language};
use askama::Template;
use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use std::any::Any;

pub(crate) fn routes() -> Router<App> {
    Router::new()
        .merge(session::routes())
        .merge(access::routes())
        .merge(areas::routes())
        .merge(home::routes())
        .merge(register::routes())
        .merge(reports::routes())
        .merge(samples::routes())
        .merge(grants::routes())
        .merge(hers::routes())
        .merge(history::routes())
        .merge(manual::routes())
        .merge(membership::routes())
        .merge(network::routes())
        .merge(outside::routes())
        .merge(oversight::routes())
        .merge(people::routes())
        .merge(proposals::routes())
        .merge(family::routes())
        .merge(carry::routes())
        .merge(cases::routes())
        .merge(drafts::routes())
        .merge(entries::routes())
        .merge(tasks::routes())
        .merge(vocabulary::routes())
        .merge(refer::routes())
        .merge(referrals::routes())
        .merge(figures::routes())
        .merge(tables::routes())
        .merge(log::routes())
        .merge(staff::routes())
}

#[derive(Template)]
#[template(path = "error.html")]
struct ErrorPage {
    page: Page,
    key: &'static str,
    problems: Vec<String>,
}

/// A page that says what went wrong and what to do.
pub(crate) fn error_page(page: Page, status: StatusCode, key: &'static str, problems: Vec<String>) -> Response {
    html_with(status, &ErrorPage { page, key, problems })
}

/// There is no such page.
pub(crate) async fn not_found(State(app): State<App>, headers: HeaderMap) -> Response {
    let page = Page::outside(outside_language(&headers), app.node.config(), "");
    error_page(page, StatusCode::NOT_FOUND, "error-not-found", Vec::new())
}

/// A handler stopped unexpectedly: the person gets a sentence, the log gets the fact.
pub(crate) fn panicked(_: Box<dyn Any + Send + 'static>) -> Response {
    tracing::error!("a page stopped unexpectedly");
    (
        StatusCode::INTERNAL_SERVER_ERROR,
        "Something went wrong inside. It was noted in the log; nothing that was saved is lost.",
    )
        .into_response()
}
