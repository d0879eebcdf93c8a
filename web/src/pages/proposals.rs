//! What is proposed that the network agrees on, and what offices say of it.

use crate::App;
use crate::documents::handed_out;
use crate::form::Form;
use crate::page::{Page, Sent, Signed, go, html_with};
use askama::Template;
use axum::Router;
use axum::extract::{Path, State};
use axum::response::Response;
use axum::routing::{get, post};
use casemesh_node::office::{CommentInput, DeskError, HandedOut, ProposalInput, ProposalView};
use casemesh_node::policy::Ask;
use casemesh_protocol::id::RecordId;
use casemesh_protocol::proposal::Stance;

pub(crate) fn routes() -> Router<App> {
    Router::new()
        .route("/proposals", get(all).post(propose))
        .route("/proposals/{id}", get(show))
        .route("/proposals/{id}/text", get(text))
        .route("/proposals/{id}/comment", post(comment))
}

#[derive(Template)]
#[template(path = "proposals.html")]
struct ProposalsPage {
    page: Page,
    form: Form,
    proposals: Vec<ProposalView>,
    may_propose: bool,
}

async fn all_page(app: &App, signed: Signed, form: Form) -> Response {
    let desk = signed.desk.clone();
    match app.run(move || desk.proposals()).await {
        Ok(proposals) => {
            let status = form.status();
            let may_propose = signed.desk.may_propose();
            html_with(status, &ProposalsPage { page: signed.page, form, proposals, may_propose })
        }
        Err(error) => signed.refused(&error),
    }
}

async fn all(State(app): State<App>, signed: Signed) -> Response {
    let form = Form::of(&[("until", &signed.desk.today().plus_days(30).to_string())]);
    all_page(&app, signed, form).await
}

async fn propose(State(app): State<App>, Sent { signed, form }: Sent) -> Response {
    let input = ProposalInput { text: form.text("text"), why: form.text("why"), until: form.text("until") };
    let desk = signed.desk.clone();
    match app.run(move || desk.propose(&input)).await {
        Ok(id) => go(&format!("/proposals/{id}")),
        Err(DeskError::Invalid(problems)) => all_page(&app, signed, form.with_problems(problems)).await,
        Err(error) => signed.refused(&error),
    }
}

#[derive(Template)]
#[template(path = "proposal.html")]
struct ProposalPage {
    page: Page,
    form: Form,
    proposal: ProposalView,
    may_comment: bool,
}

impl ProposalPage {
    fn told(&self, asked: &usize) -> String {
        self.page.told_of("collector-told", &self.proposal.comments.len(), asked)
    }

    /// How many offices say so, in words.
    fn count(&self, stance: &Stance) -> String {
        self.proposal.count(*stance).to_string()
    }

    /// What the office said already, where nothing is typed.
    fn typed(&self, field: &str) -> String {
        if self.form.pairs().iter().any(|(name, _)| name == field) {
            return self.form.text(field);
        }
        let said = self.proposal.comments.first().filter(|_| self.proposal.from.is_some());
        said.map(|said| if field == "stance" { said.stance.to_string() } else { said.said.clone() }).unwrap_or_default()
    }
}

async fn proposal_page(app: &App, signed: Signed, id: RecordId, form: Form) -> Response {
    let desk = signed.desk.clone();
    match app.run(move || desk.proposal(id)).await {
        Ok(proposal) => {
            let status = form.status();
            let may_comment = proposal.from.is_some() && proposal.is_open && signed.desk.may(Ask::ApproveTable);
            html_with(status, &ProposalPage { page: signed.page, form, proposal, may_comment })
        }
        Err(error) => signed.refused(&error),
    }
}

async fn show(State(app): State<App>, Path(id): Path<RecordId>, signed: Signed) -> Response {
    proposal_page(&app, signed, id, Form::default()).await
}

/// The text as a file, for the stewards to sign.
async fn text(State(app): State<App>, Path(id): Path<RecordId>, signed: Signed) -> Response {
    let desk = signed.desk.clone();
    match app.run(move || desk.proposal(id)).await {
        Ok(proposal) => {
            let name =
                proposal.agreement.map_or_else(|| "proposal".to_owned(), |(id, version)| format!("{id}-{version}"));
            handed_out(HandedOut {
                name: format!("{name}.toml"),
                media_type: "text/plain; charset=utf-8",
                bytes: proposal.text.into_bytes(),
            })
        }
        Err(error) => signed.refused(&error),
    }
}

async fn comment(State(app): State<App>, Path(id): Path<RecordId>, Sent { signed, form }: Sent) -> Response {
    let input = CommentInput { stance: form.text("stance"), said: form.text("said") };
    let desk = signed.desk.clone();
    match app.run(move || desk.comment(id, &input)).await {
        Ok(()) => go(&format!("/proposals/{id}")),
        Err(DeskError::Invalid(problems)) => proposal_page(&app, signed, id, form.with_problems(problems)).await,
        Err(error) => signed.refused(&error),
    }
}
