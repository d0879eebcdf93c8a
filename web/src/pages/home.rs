//! My work.

use crate::App;
use crate::form::Form;
use crate::i18n;
use crate::page::{Page, Sent, Signed, go, html, outside_language, token_of};
use askama::Template;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use casemesh_node::office::{DeskError, Draft, HomeView, TaskView};
use casemesh_node::policy::Ask;
use casemesh_protocol::time::Day;
use fluent_bundle::FluentValue;
use serde::Deserialize;

pub(crate) fn routes() -> Router<App> {
    Router::new().route("/", get(show)).route("/pulse", get(pulse)).route("/clock", post(confirm_clock))
}

#[derive(Template)]
#[template(path = "home.html")]
struct HomePage {
    page: Page,
    home: HomeView,
    form: Form,
    topics: Vec<(String, String)>,
    can_register: bool,
    may_find: bool,
    sees_figures: bool,
    may_break: bool,
    leads: bool,
    finds_links: bool,
    has_places: bool,
    answers: bool,
    /// The day, where the clock jumped ahead to it and nobody has said that it is right.
    doubted: Option<Day>,
    drafts: Vec<(String, Draft)>,
}

impl HomePage {
    /// What is due: late, today, and in the week.
    fn due(&self) -> [(&'static str, Vec<TaskView>); 3] {
        let of = |holds: &dyn Fn(Day) -> bool| {
            self.home.due.iter().filter(|task| holds(task.due)).cloned().collect::<Vec<TaskView>>()
        };
        let today = self.home.today;
        [
            ("due-late", of(&|due| due < today)),
            ("due-today", of(&|due| due == today)),
            ("due-week", of(&|due| due > today)),
        ]
    }
}

/// Somebody looked at the day, and it is right.
async fn confirm_clock(State(app): State<App>, Sent { signed, .. }: Sent) -> Response {
    let (desk, node) = (signed.desk.clone(), app.node.clone());
    let confirmed = app.run(move || {
        desk.may_confirm_clock()?;
        node.confirm_clock();
        Ok::<_, DeskError>(())
    });
    match confirmed.await {
        Ok(()) => go("/"),
        Err(error) => signed.refused(&error),
    }
}

/// What a page that is left open counts beside its navigation.
async fn pulse(State(app): State<App>, headers: HeaderMap) -> Response {
    let Some(token) = token_of(&app, &headers) else { return StatusCode::NO_CONTENT.into_response() };
    let node = app.node.clone();
    let found = app.run(move || node.pulse(&token)).await;
    let Some((pulse, language)) = found else { return StatusCode::NO_CONTENT.into_response() };
    let language = language.map_or_else(|| outside_language(&headers), |code| i18n::language(&code));
    let text = |key, count: usize| language.text(key, &[("count", FluentValue::from(count))]);
    let words = format!("{} {}", text("pulse-referrals", pulse.referrals), text("pulse-tasks", pulse.tasks));
    let counts = serde_json::json!({ "/referrals": pulse.referrals, "/tasks": pulse.tasks });
    Json(serde_json::json!({ "counts": counts, "words": words })).into_response()
}

/// What somebody did who is sent here.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Came {
    done: String,
}

async fn show(State(app): State<App>, signed: Signed, Query(came): Query<Came>) -> Response {
    let mut signed = signed;
    if came.done == "case-waits" {
        signed.page.notice = Some("case-waits".into());
    }
    let desk = signed.desk.clone();
    match app.run(move || desk.home().map(|home| (home, desk.drafts()))).await {
        Ok((home, drafts)) => html(&HomePage {
            home,
            drafts: drafts.into_iter().map(|(id, draft)| (id.to_string(), draft)).collect(),
            form: Form::default(),
            topics: signed.page.options("case_type"),
            can_register: signed.desk.may(Ask::Register),
            may_find: signed.desk.may(Ask::People),
            sees_figures: signed.desk.may(Ask::SeeFigures),
            may_break: signed.desk.may(Ask::BreakGlass),
            leads: signed.desk.may(Ask::HandOver),
            finds_links: signed.desk.may(Ask::FindLinks),
            has_places: signed.desk.may(Ask::SeeFigures) && signed.desk.has_module("shelter"),
            answers: signed.desk.answers_referrals(),
            doubted: Some(signed.desk.today()).filter(|_| app.node.doubts_clock()),
            page: signed.page,
        }),
        Err(error) => signed.refused(&error),
    }
}
