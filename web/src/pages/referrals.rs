//! Referrals: lists, one with its log, and the steps in it.

use crate::App;
use crate::documents::handed_out;
use crate::form::Form;
use crate::page::{Page, Sent, Signed, go, html, html_with};
use askama::Template;
use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::{get, post};
use casemesh_node::office::{AnswerInput, DeskError, HandedOut, ReferralSummary, ReferralView, StepView, Wanted};
use casemesh_node::policy::Ask;
use casemesh_protocol::id::RecordId;
use casemesh_protocol::referral::Visit;

pub(crate) fn routes() -> Router<App> {
    Router::new()
        .route("/referrals", get(list))
        .route("/referrals/table", get(table))
        .route("/referrals/{id}", get(show))
        .route("/referrals/{id}/steps", post(step))
        .route("/referrals/{id}/case", post(open_case))
        .route("/referrals/{id}/recall", post(recall))
}

#[derive(Template)]
#[template(path = "referrals.html")]
struct ReferralsPage {
    page: Page,
    incoming: Vec<ReferralSummary>,
    outgoing: Vec<ReferralSummary>,
    /// Whether this account may take both along as a table.
    may_export: bool,
}

async fn list(State(app): State<App>, signed: Signed) -> Response {
    let desk = signed.desk.clone();
    let loaded = app.run(move || Ok::<_, DeskError>((desk.referrals(false)?, desk.referrals(true)?))).await;
    match loaded {
        Ok((incoming, outgoing)) => {
            let may_export = signed.desk.may(Ask::HandOver);
            html(&ReferralsPage { page: signed.page, incoming, outgoing, may_export })
        }
        Err(error) => signed.refused(&error),
    }
}

/// Both lists as a table for a spreadsheet: for whoever leads, noted in the log, and without a client's name.
async fn table(State(app): State<App>, signed: Signed) -> Response {
    let desk = signed.desk.clone();
    let loaded = app.run(move || {
        desk.note_referral_table()?;
        Ok::<_, DeskError>((desk.referrals(false)?, desk.referrals(true)?, desk.today()))
    });
    let (incoming, outgoing, today) = match loaded.await {
        Ok(loaded) => loaded,
        Err(error) => return signed.refused(&error),
    };
    let page = &signed.page;
    let head = [
        "table-direction",
        "table-office",
        "refer-service",
        "refer-urgency",
        "state-label",
        "share-pseudonym",
        "fact-sent",
        "fact-arrived",
        "fact-read",
        "fact-answered",
        "table-respond-by",
    ];
    let head: Vec<String> = head.into_iter().map(|key| page.t(key)).collect();
    let row = |one: &ReferralSummary| {
        vec![
            page.t(if one.outgoing { "referrals-out" } else { "referrals-in" }),
            one.partner.clone(),
            page.code(&one.service),
            page.word("urgency", &one.urgency),
            page.word("referral-state", &one.state),
            one.pseudonym.clone(),
            page.maybe_when(&one.sent),
            page.maybe_when(&one.arrived),
            page.maybe_when(&one.read),
            page.maybe_when(&one.answered),
            page.when(&one.respond_by),
        ]
    };
    let rows: Vec<Vec<String>> = incoming.iter().chain(&outgoing).map(row).collect();
    match casemesh_node::table::csv(&head, &rows) {
        Ok(bytes) => {
            let name = format!("referrals-{today}.csv");
            handed_out(HandedOut { name, media_type: "text/csv; charset=utf-8", bytes })
        }
        Err(error) => signed.refused(&DeskError::Partner(error.to_string())),
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
    /// Offices that can be named instead.
    offices: Vec<(String, String)>,
    services: Vec<(String, String)>,
    /// How something can be told.
    ways: Vec<(String, String)>,
    /// What a client can carry away.
    carries: Vec<(String, String)>,
    /// Whether the form that came back is of what was told.
    came_back_told: bool,
}

/// What is said about a first visit.
pub(super) fn said(visit: &Visit) -> Vec<(&'static str, String)> {
    let all = [
        ("visit-when", &visit.when),
        ("visit-place", &visit.place),
        ("visit-ask-for", &visit.ask_for),
        ("visit-bring", &visit.bring),
    ];
    all.into_iter().filter(|(_, text)| !text.is_empty()).map(|(label, text)| (label, text.to_string())).collect()
}

impl ReferralPage {
    /// What our side can do, and what the other office can say that somebody tells us.
    fn sections(&self) -> [(&'static str, &'static str, bool, &[StepView]); 2] {
        [
            ("referral-next", "steps", false, &self.referral.steps),
            ("referral-told", "told", true, &self.referral.told_steps),
        ]
    }

    /// Other referrals for the same need.
    fn related(&self) -> [(&'static str, &[ReferralSummary]); 3] {
        [
            ("referral-before", &self.referral.before),
            ("referral-same-time", &self.referral.same_time),
            ("referral-onward", &self.referral.onward),
        ]
    }

    /// Whether it is the form that came back.
    fn is_open(&self, step: &str, told: &bool) -> bool {
        self.form.get("step") == step && self.came_back_told == *told
    }

    /// What distinguishes the fields of a form from those of the others.
    fn at(&self, step: &str, told: &bool) -> String {
        if *told { format!("told-{step}") } else { step.to_owned() }
    }

    /// Whether the client chose to carry this.
    fn is_carried(&self, code: &str) -> bool {
        self.referral.carries.as_ref().is_some_and(|chosen| chosen.code == code)
    }

    /// A code in groups of four, as it is read out.
    fn grouped(&self, code: &str) -> String {
        super::outside::grouped(code)
    }

    /// What was typed into the form of a step that came back.
    fn typed(&self, step: &str, told: &bool, field: &str) -> &str {
        if self.is_open(step, told) { self.form.get(field) } else { "" }
    }

    /// What is wrong with a field of a step.
    fn wrong(&self, step: &str, told: &bool, field: &str) -> Option<String> {
        let problem = self.form.problem(field).filter(|_| self.is_open(step, told));
        problem.map(|problem| self.page.problem(problem))
    }

    /// What is said about a first visit.
    fn said(&self, visit: &Visit) -> Vec<(&'static str, String)> {
        said(visit)
    }

    /// The codes that a step can carry.
    fn codes(&self, step: &StepView) -> Vec<(String, String)> {
        step.list.as_deref().map(|list| self.page.options(list)).unwrap_or_default()
    }
}

pub(super) async fn referral_page(
    app: &App,
    signed: Signed,
    id: RecordId,
    form: Form,
    refusal: Option<&DeskError>,
) -> Response {
    let desk = signed.desk.clone();
    match app.run(move || desk.referral(id).map(|referral| (referral, desk.partners()))).await {
        Ok((referral, partners)) => {
            let services = signed.page.options("service_type");
            let ways = signed.page.options("outside_way");
            let carries = signed.page.options("carries");
            let came_back_told = form.on("told");
            let wrong = refusal.is_some() || !form.problems().is_empty();
            let can_open = !referral.summary.outgoing
                && (referral.full.is_some() || referral.outside.is_some())
                && referral.summary.case.is_none()
                && !referral.preview.is_transfer()
                && referral.summary.state.is_at_work();
            html_with(
                if wrong { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::OK },
                &ReferralPage {
                    refusal: refusal.map(|error| signed.page.t(error.key())),
                    page: signed.page,
                    referral,
                    form,
                    can_open,
                    offices: partners.into_iter().map(|one| (one.office.to_string(), one.name)).collect(),
                    services,
                    ways,
                    carries,
                    came_back_told,
                },
            )
        }
        Err(error) => signed.refused(&error),
    }
}

async fn show(State(app): State<App>, Path(id): Path<RecordId>, signed: Signed) -> Response {
    referral_page(&app, signed, id, Form::default(), None).await
}

/// A step as its form sends it.
pub(super) fn answer(form: &Form) -> AnswerInput {
    AnswerInput {
        step: form.text("step"),
        code: form.text("code"),
        note: form.text("note"),
        on: form.text("on"),
        office: form.text("office"),
        when: form.text("when"),
        place: form.text("place"),
        ask_for: form.text("ask_for"),
        bring: form.text("bring"),
        services: form.all("services"),
    }
}

async fn step(State(app): State<App>, Path(id): Path<RecordId>, Sent { signed, form }: Sent) -> Response {
    let input = answer(&form);
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
        Ok(case) => super::cases::opened(&signed, case),
        Err(error) => signed.refused(&error),
    }
}

async fn recall(State(app): State<App>, Path(id): Path<RecordId>, Sent { signed, .. }: Sent) -> Response {
    let desk = signed.desk.clone();
    match app.run(move || desk.recall_referral(id)).await {
        Ok(()) => go(&format!("/referrals/{id}")),
        Err(error) => signed.refused(&error),
    }
}
