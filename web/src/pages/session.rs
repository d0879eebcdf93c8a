//! Signing in and out, locking, choosing a language.

use crate::App;
use crate::form::Form;
use crate::i18n;
use crate::page::{Page, Signed, browser_of, go, html, html_with, outside_language, set_cookie, token_of};
use askama::Template;
use axum::Router;
use axum::body::Bytes;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{Html, Response};
use axum::routing::{get, post};
use casemesh_crypto::random::os_rng;
use casemesh_crypto::token::session_token;
use casemesh_node::node::{Knock, SignInError};
use casemesh_node::session::{Origin, PinRefusal, SessionId};
use fluent_bundle::FluentValue;
use serde::Deserialize;

pub(crate) fn routes() -> Router<App> {
    Router::new()
        .route("/sign-in", get(show).post(sign_in))
        .route("/sign-out", post(sign_out))
        .route("/away", get(away))
        .route("/lock", post(lock))
        .route("/switch", post(switch))
        .route("/pin", get(pin).post(unlock))
        .route("/language", post(language))
}

#[derive(Template)]
#[template(path = "sign_in.html")]
struct SignInPage {
    page: Page,
    locked: bool,
    waiting: usize,
    urgent: bool,
    clock_problem: Option<String>,
    failure: Option<String>,
    name: String,
    then: String,
    kept: Vec<(String, String)>,
}

#[derive(Template)]
#[template(path = "resume.html")]
pub(super) struct ResumePage {
    pub(super) page: Page,
    pub(super) title: &'static str,
    pub(super) text: &'static str,
    pub(super) then: String,
    pub(super) kept: Vec<(String, String)>,
    /// Where to drop it, if it is kept until then.
    pub(super) drop: Option<String>,
}

#[derive(Deserialize)]
struct Then {
    #[serde(default)]
    then: String,
}

/// A path of this site, whatever was asked for.
fn own_path(then: &str) -> String {
    if crate::page::is_own_path(then) { then.to_owned() } else { "/".to_owned() }
}

fn door(app: &App, headers: &HeaderMap, then: &str, kept: Vec<(String, String)>) -> SignInPage {
    let door = app.node.door();
    SignInPage {
        page: Page::outside(outside_language(headers), app.node.config(), "/sign-in"),
        locked: door.locked,
        waiting: door.waiting,
        urgent: door.urgent,
        clock_problem: door.clock_problem,
        failure: None,
        name: String::new(),
        then: own_path(then),
        kept,
    }
}

async fn show(State(app): State<App>, headers: HeaderMap, Query(query): Query<Then>) -> Response {
    html(&door(&app, &headers, &query.then, Vec::new()))
}

/// The sign-in page with a form in it that was sent after the session had ended.
pub(crate) fn sign_in_keeping(app: &App, headers: &HeaderMap, path: &str, form: &Form) -> Response {
    html_with(StatusCode::UNAUTHORIZED, &door(app, headers, path, form.pairs().to_vec()))
}

async fn sign_in(State(app): State<App>, headers: HeaderMap, body: Bytes) -> Response {
    let form = Form::read(&body);
    let kept: Vec<(String, String)> = form
        .pairs()
        .iter()
        .filter_map(|(name, value)| Some((name.strip_prefix("kept:")?.to_owned(), value.clone())))
        .collect();
    let name = form.text("name");
    let known_browser = browser_of(&app, &headers);
    let browser = known_browser.clone().unwrap_or_else(|| session_token(&mut os_rng()));
    let label = headers.get(header::USER_AGENT).and_then(|label| label.to_str().ok()).unwrap_or_default().to_owned();
    let origin = Origin { source: "pages", label, browser: browser.clone(), scopes: Vec::new() };
    let knock = Knock { name: name.clone(), password: form.text("password"), code: form.text("code"), origin };
    let node = app.node.clone();
    let result = app.run(move || node.sign_in(&knock)).await;
    let mut page = door(&app, &headers, form.get("then"), kept);
    match result {
        Ok(token) => {
            let mut response = if page.kept.is_empty() {
                go(&page.then)
            } else {
                html(&ResumePage {
                    page: page.page,
                    title: "resume-title",
                    text: "resume-text",
                    then: page.then,
                    kept: page.kept,
                    drop: None,
                })
            };
            set_cookie(&mut response, &app.cookie, &token, "");
            if known_browser.is_none() {
                set_cookie(&mut response, &app.browser_cookie, &browser, "; Max-Age=31536000");
            }
            response
        }
        Err(error) => {
            let language = page.page.language;
            let (status, failure) = match error {
                SignInError::Wrong => (StatusCode::UNPROCESSABLE_ENTITY, language.text("sign-in-wrong", &[])),
                SignInError::CodeNeeded => {
                    (StatusCode::UNPROCESSABLE_ENTITY, language.text("sign-in-code-needed", &[]))
                }
                SignInError::CodeWrong => (StatusCode::UNPROCESSABLE_ENTITY, language.text("sign-in-code-wrong", &[])),
                SignInError::Wait(seconds) => (
                    StatusCode::TOO_MANY_REQUESTS,
                    language.text("sign-in-wait", &[("seconds", FluentValue::from(seconds))]),
                ),
                SignInError::Node(error) => (
                    StatusCode::SERVICE_UNAVAILABLE,
                    language.text("sign-in-failed", &[("why", FluentValue::from(error.to_string()))]),
                ),
            };
            page.failure = Some(failure);
            page.name = name;
            html_with(status, &page)
        }
    }
}

/// A page that says nothing: what stands on the screen after somebody had to leave at once.
async fn away() -> Html<&'static str> {
    Html("<!doctype html><html lang=\"und\"><title>–</title><body></body></html>")
}

async fn sign_out(State(app): State<App>, headers: HeaderMap, body: Bytes) -> Response {
    if let Some(token) = token_of(&app, &headers) {
        app.node.sign_out(&token);
    }
    let is_away = Form::read(&body).get("then") == "/away";
    let mut response = go(if is_away { "/away" } else { "/sign-in" });
    set_cookie(&mut response, &app.cookie, "", "; Max-Age=0");
    // The cache and no storage: what a phone has not sent yet must stay.
    response.headers_mut().append("clear-site-data", HeaderValue::from_static("\"cache\""));
    response
}

async fn lock(State(app): State<App>, _: Signed) -> Response {
    let node = app.node.clone();
    app.run(move || node.lock()).await;
    go("/sign-in")
}

#[derive(Template)]
#[template(path = "pin.html")]
struct PinPage {
    page: Page,
    then: String,
    locked: Vec<(SessionId, String)>,
    failure: Option<&'static str>,
}

/// The session waits behind its owner's PIN, and a colleague can work.
async fn switch(State(app): State<App>, headers: HeaderMap, body: Bytes) -> Response {
    let then: String = form_urlencoded::byte_serialize(own_path(Form::read(&body).get("then")).as_bytes()).collect();
    let can_come_back = token_of(&app, &headers).is_some_and(|token| app.node.lock_session(&token));
    let mut response = go(&if can_come_back { format!("/pin?then={then}") } else { "/sign-in".to_owned() });
    set_cookie(&mut response, &app.cookie, "", "; Max-Age=0");
    response
}

fn pin_page(app: &App, headers: &HeaderMap, then: &str, failure: Option<&'static str>) -> Response {
    let browser = browser_of(app, headers).unwrap_or_default();
    let page = PinPage {
        page: Page::outside(outside_language(headers), app.node.config(), "/pin"),
        then: own_path(then),
        locked: app.node.locked_sessions(&browser),
        failure,
    };
    let status = if page.failure.is_some() { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::OK };
    html_with(status, &page)
}

async fn pin(State(app): State<App>, headers: HeaderMap, Query(query): Query<Then>) -> Response {
    pin_page(&app, &headers, &query.then, None)
}

async fn unlock(State(app): State<App>, headers: HeaderMap, body: Bytes) -> Response {
    let form = Form::read(&body);
    let then = own_path(form.get("then"));
    let Ok(session) = form.get("session").parse::<SessionId>() else {
        return pin_page(&app, &headers, &then, Some("pin-ended"));
    };
    let (node, browser, pin) = (app.node.clone(), browser_of(&app, &headers).unwrap_or_default(), form.text("pin"));
    let work = move || {
        let token = node.unlock_session(&browser, session, &pin)?;
        let desk = node.desk(&token).ok_or(PinRefusal::Ended)?;
        Ok((token, desk.drafts()))
    };
    match app.run(work).await {
        Ok((token, drafts)) => {
            // What was being typed when the session was locked comes first.
            let draft = drafts.iter().find(|(_, draft)| then != "/" && draft.path.starts_with(&then));
            let mut response = go(&draft.map_or(then.clone(), |(id, _)| format!("/drafts/{id}")));
            set_cookie(&mut response, &app.cookie, &token, "");
            response
        }
        Err(PinRefusal::Wrong) => pin_page(&app, &headers, &then, Some("pin-wrong")),
        Err(PinRefusal::Ended) => pin_page(&app, &headers, &then, Some("pin-ended")),
    }
}

async fn language(State(app): State<App>, headers: HeaderMap, body: Bytes) -> Response {
    let form = Form::read(&body);
    let chosen = i18n::language(form.get("language"));
    if let Some(desk) = token_of(&app, &headers).and_then(|token| app.node.page_desk(&token)) {
        app.run(move || {
            if let Err(error) = desk.choose_language(chosen.code) {
                tracing::warn!(%error, "a language could not be kept");
            }
        })
        .await;
    }
    // A page that only a form leads to is not gone back to.
    let then = own_path(form.get("then"));
    let mut response = go(if then.is_empty() { "/" } else { &then });
    let cookie = format!("language={}; Path=/; Max-Age=31536000; SameSite=Lax", chosen.code);
    if let Ok(cookie) = HeaderValue::from_str(&cookie) {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
    response
}
