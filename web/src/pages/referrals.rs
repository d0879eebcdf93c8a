//! Referrals: lists, one with its log, and the steps in it.

use crate::App;
use crate::form::Form;
use crate::page::{Page, Sent, Signed, go, html, html_with};
use askama::Template;
use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::{get, post};
use casemesh_node::office::{AnswerInput, DeskError, PartnerView, ReferralSummary, ReferralView};
use casemesh_protocol::id::RecordId;

pub(crate) fn routes() -> Router<App> {
    Router::new()
        .route("/referrals", get(list))
        .route("/referrals/{id}", get(show))
        .route("/referrals/{id}/steps", post(step))
        .route("/referrals/{id}/case", post(open_case))
}

#[derive(Template)]
#[template(path = "referrals.html")]
struct ReferralsPage {
    page: Page,
    incoming: Vec<ReferralSummary>,
    outgoing: Vec<ReferralSummary>,
    partners: Vec<PartnerView>,
}

async fn list(State(app): State<App>, signed: Signed) -> Response {
    let desk = signed.desk.clone();
    let loaded =
        app.run(move || Ok::<_, DeskError>((desk.referrals(false)?, desk.referrals(true)?, desk.partners()))).await;
    match loaded {
        Ok((incoming, outgoing, partners)) => html(&ReferralsPage { page: signed.page, incoming, outgoing, partners }),
        Err(error) => signed.refused(&error),
    }
}

#[derive(Template)]
#[template(path = "referral.html")]
struct ReferralPage {
    page: Page,
    referral: ReferralView,
    form: Form,
    refusal: Option<String>,
    can_open: bool,
}

impl ReferralPage {
    /// The codes that a step can carry.
    fn codes(&self, step: &str) -> Vec<(String, String)> {
        match step {
            "declined" => self.page.options("decline_reason"),
            "failed" => self.page.options("failure_reason"),
            "completed" => self.page.options("outcome"),
            "withdrawn" | "revoked" => self.page.options("withdraw_reason"),
            "closed" => self.page.options("feedback"),
            _ => Vec::new(),
        }
    }

    fn takes_note(&self, step: &str) -> bool {
        matches!(step, "info_requested" | "info_given" | "accepted" | "declined" | "completed" | "failed" | "closed")
    }
}

async fn referral_page(app: &App, signed: Signed, id: RecordId, form: Form, refusal: Option<&DeskError>) -> Response {
    let desk = signed.desk.clone();
    match app.run(move || desk.referral(id)).await {
        Ok(referral) => {
            let wrong = refusal.is_some() || !form.problems().is_empty();
            let can_open = !referral.summary.outgoing
                && referral.full.is_some()
                && referral.summary.case.is_none()
                && referral.summary.state.is_at_work();
            html_with(
                if wrong { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::OK },
                &ReferralPage {
                    refusal: refusal.map(|error| signed.page.t(error.key())),
                    page: signed.page,
                    referral,
                    form,
                    can_open,
                },
            )
        }
        Err(error) => signed.refused(&error),
    }
}

async fn show(State(app): State<App>, Path(id): Path<RecordId>, signed: Signed) -> Response {
    referral_page(&app, signed, id, Form::default(), None).await
}

async fn step(State(app): State<App>, Path(id): Path<RecordId>, Sent { signed, form }: Sent) -> Response {
    let input =
        AnswerInput { step: form.text("step"), code: form.text("code"), note: form.text("note"), on: form.text("on") };
    let desk = signed.desk.clone();
    match app.run(move || desk.answer(id, input)).await {
        Ok(()) => go(&format!("/referrals/{id}")),
        Err(DeskError::Invalid(problems)) => referral_page(&app, signed, id, form.with_problems(problems), None).await,
        Err(error @ DeskError::Illegal(_)) => referral_page(&app, signed, id, form, Some(&error)).await,
        Err(error) => signed.refused(&error),
    }
}

async fn open_case(State(app): State<App>, Path(id): Path<RecordId>, Sent { signed, .. }: Sent) -> Response {
    let desk = signed.desk.clone();
    match app.run(move || desk.referral_to_case(id)).await {
        Ok(case) => go(&format!("/cases/{case}")),
        Err(error) => signed.refused(&error),
    }
}
