//! What a client carries away from a referral, in her own language.

use super::referrals::{referral_page, said};
use crate::App;
use crate::form::Form;
use crate::i18n;
use crate::page::{Page, Sent, Signed, go, html};
use askama::Template;
use axum::Router;
use axum::extract::{Path, State};
use axum::response::Response;
use axum::routing::{get, post};
use casemesh_node::office::{CarryView, DeskError};
use casemesh_protocol::id::RecordId;

pub(crate) fn routes() -> Router<App> {
    Router::new().route("/referrals/{id}/carries", post(choose)).route("/referrals/{id}/carry", get(show))
}

#[derive(Template)]
#[template(path = "carry.html")]
struct CarryPage {
    page: Page,
    carry: CarryView,
    visit: Vec<(&'static str, String)>,
}

async fn choose(State(app): State<App>, Path(id): Path<RecordId>, Sent { signed, form }: Sent) -> Response {
    let (desk, choice) = (signed.desk.clone(), form.text("carries"));
    let prints = choice != "nothing";
    match app.run(move || desk.choose_carries(id, &choice)).await {
        Ok(()) if prints => go(&format!("/referrals/{id}/carry")),
        Ok(()) => go(&format!("/referrals/{id}")),
        Err(DeskError::Invalid(problems)) => referral_page(&app, signed, id, form.with_problems(problems), None).await,
        Err(error @ DeskError::CaregiverIsParty) => {
            referral_page(&app, signed, id, Form::default(), Some(&error)).await
        }
        Err(error) => signed.refused(&error),
    }
}

async fn show(State(app): State<App>, Path(id): Path<RecordId>, signed: Signed) -> Response {
    let desk = signed.desk.clone();
    match app.run(move || desk.carry(id)).await {
        Ok(carry) => {
            let mut page = signed.page;
            // In her language where this program speaks it, else in the worker's.
            page.language = i18n::complete(&carry.language).unwrap_or(page.language);
            let visit = carry.visit.as_ref().map(said).unwrap_or_default();
            html(&CarryPage { page, carry, visit })
        }
        Err(error) => signed.refused(&error),
    }
}
