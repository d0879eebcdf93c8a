//! One's own account, emergency access, and what others ask to approve.

use crate::App;
use crate::form::Form;
use crate::page::{Page, Sent, Signed, go, html, html_with, token_of};
use askama::Template;
use axum::Router;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::response::Response;
use axum::routing::{get, post};
use casemesh_crypto::passphrase::Cost;
use casemesh_node::office::{
    AccountView, DecisionInput, DeskError, GLASS_MINUTES, GlassInput, GlassView, NewFactor, RequestView,
};
use casemesh_node::policy::Ask;
use casemesh_node::session::{SessionId, SessionView};
use casemesh_protocol::id::{RecordId, StaffId};
use qrcode::{Color, QrCode};

pub(crate) fn routes() -> Router<App> {
    Router::new()
        .route("/account", get(account))
        .route("/account/password", post(change_password))
        .route("/account/pin", post(set_pin))
        .route("/account/factor/new", post(new_factor))
        .route("/account/factor", post(set_factor))
        .route("/account/factor/drop", post(drop_factor))
        .route("/account/sessions/end-others", post(end_others))
        .route("/account/sessions/{session}/end", post(end_session))
        .route("/emergency", get(emergency).post(break_glass))
        .route("/emergency/{id}/review", post(review_glass))
        .route("/requests", get(requests))
        .route("/requests/{id}", post(decide))
        .route("/people/{id}/bar", post(bar))
        .route("/people/{id}/lift-bar", post(lift_bar))
        .route("/cases/{id}/assigned", post(share_case))
        .route("/cases/{id}/approvals/{entry}", post(ask_approval))
}

#[derive(Template)]
#[template(path = "account.html")]
struct AccountPage {
    page: Page,
    /// Whether a password of their own comes before everything else.
    first_password: bool,
    form: Form,
    account: AccountView,
    staff: StaffId,
    sessions: Vec<SessionView>,
}

impl AccountPage {
    /// A browser's long name for itself, as people call it: Chrome, Android.
    fn device(&self, label: &str) -> String {
        let known = |names: &[(&str, &str)]| {
            names.iter().find(|(mark, _)| label.contains(mark)).map(|(_, name)| (*name).to_owned())
        };
        let browser = known(&[("Edg/", "Edge"), ("Firefox/", "Firefox"), ("Chrome/", "Chrome"), ("Safari/", "Safari")]);
        let system = known(&[
            ("Android", "Android"),
            ("iPhone", "iPhone"),
            ("iPad", "iPad"),
            ("Windows", "Windows"),
            ("Mac OS", "macOS"),
            ("Linux", "Linux"),
        ]);
        let parts: Vec<String> = [browser, system].into_iter().flatten().collect();
        if parts.is_empty() { label.to_owned() } else { parts.join(", ") }
    }
}

fn account_page(app: &App, headers: &HeaderMap, signed: Signed, form: Form) -> Response {
    let token = token_of(app, headers).unwrap_or_default();
    let sessions = app.node.sessions_of(signed.desk.staff(), &token);
    html_with(
        form.status(),
        &AccountPage {
            first_password: signed.desk.must_change_password(),
            account: signed.desk.account(),
            staff: signed.desk.staff(),
            page: signed.page,
            form,
            sessions,
        },
    )
}

async fn account(State(app): State<App>, headers: HeaderMap, signed: Signed) -> Response {
    account_page(&app, &headers, signed, Form::default())
}

async fn change_password(State(app): State<App>, headers: HeaderMap, Sent { signed, form }: Sent) -> Response {
    let (desk, node) = (signed.desk.clone(), app.node.clone());
    let (current, new) = (form.text("current"), form.text("password"));
    let token = token_of(&app, &headers).unwrap_or_default();
    let change = move || -> Result<(), DeskError> {
        desk.change_password(&current, &new, Cost::FLOOR)?;
        node.end_other_sessions(desk.staff(), &token);
        Ok(())
    };
    match app.run(change).await {
        Ok(()) => go("/account"),
        Err(DeskError::Invalid(problems)) => {
            account_page(&app, &headers, signed, Form::default().with_problems(problems))
        }
        Err(error) => signed.refused(&error),
    }
}

async fn set_pin(State(app): State<App>, headers: HeaderMap, Sent { signed, form }: Sent) -> Response {
    let (desk, pin, current) = (signed.desk.clone(), form.text("pin"), form.text("current"));
    match app.run(move || desk.set_pin(&pin, &current)).await {
        Ok(()) => go("/account"),
        Err(DeskError::Invalid(problems)) => {
            account_page(&app, &headers, signed, Form::default().with_problems(problems))
        }
        Err(error) => signed.refused(&error),
    }
}

#[derive(Template)]
#[template(path = "factor.html")]
struct FactorPage {
    page: Page,
    form: Form,
    secret: String,
    side: usize,
    picture: String,
    codes: Vec<String>,
}

/// A code for a camera, as one path of an SVG with a quiet zone of four modules (ISO/IEC 18004), and its side.
fn picture_of(text: &str) -> (usize, String) {
    let Ok(code) = QrCode::new(text) else { return (0, String::new()) };
    let width = code.width();
    let dark = code.to_colors().into_iter().enumerate().filter(|(_, color)| *color == Color::Dark);
    let path = dark.map(|(at, _)| format!("M{} {}h1v1h-1z", at % width + 4, at / width + 4)).collect();
    (width + 8, path)
}

fn factor_page(signed: Signed, form: Form, new: NewFactor) -> Response {
    let (side, picture) = picture_of(&new.address);
    html_with(
        form.status(),
        &FactorPage { page: signed.page, form, secret: new.secret, side, picture, codes: Vec::new() },
    )
}

async fn new_factor(Sent { signed, .. }: Sent) -> Response {
    let new = signed.desk.new_factor();
    factor_page(signed, Form::default(), new)
}

async fn set_factor(State(app): State<App>, Sent { signed, form }: Sent) -> Response {
    let desk = signed.desk.clone();
    let (secret, code, current) = (form.text("secret"), form.text("code"), form.text("current"));
    match app.run(move || desk.set_factor(&secret, &code, &current)).await {
        Ok(codes) => html(&FactorPage {
            page: signed.page,
            form: Form::default(),
            secret: String::new(),
            side: 0,
            picture: String::new(),
            codes,
        }),
        Err(DeskError::Invalid(problems)) => {
            let same = signed.desk.same_factor(form.get("secret")).unwrap_or_else(|| signed.desk.new_factor());
            factor_page(signed, Form::default().with_problems(problems), same)
        }
        Err(error) => signed.refused(&error),
    }
}

async fn drop_factor(State(app): State<App>, headers: HeaderMap, Sent { signed, form }: Sent) -> Response {
    let (desk, code) = (signed.desk.clone(), form.text("code"));
    match app.run(move || desk.drop_factor(&code)).await {
        Ok(()) => go("/account"),
        Err(DeskError::Invalid(problems)) => {
            account_page(&app, &headers, signed, Form::default().with_problems(problems))
        }
        Err(error) => signed.refused(&error),
    }
}

async fn end_session(State(app): State<App>, Path(session): Path<SessionId>, Sent { signed, .. }: Sent) -> Response {
    app.node.end_session(signed.desk.staff(), session);
    go("/account")
}

async fn end_others(State(app): State<App>, headers: HeaderMap, Sent { signed, .. }: Sent) -> Response {
    app.node.end_other_sessions(signed.desk.staff(), &token_of(&app, &headers).unwrap_or_default());
    go("/account")
}

#[derive(Template)]
#[template(path = "emergency.html")]
struct EmergencyPage {
    page: Page,
    form: Form,
    may_break: bool,
    has_factor: bool,
    minutes: u64,
    glasses: Vec<GlassView>,
}

async fn emergency_page(app: &App, signed: Signed, form: Form) -> Response {
    let desk = signed.desk.clone();
    match app.run(move || desk.glasses()).await {
        Ok(glasses) => html_with(
            form.status(),
            &EmergencyPage {
                may_break: signed.desk.may(Ask::BreakGlass),
                has_factor: signed.desk.account().has_factor,
                page: signed.page,
                form,
                minutes: GLASS_MINUTES,
                glasses,
            },
        ),
        Err(error) => signed.refused(&error),
    }
}

async fn emergency(State(app): State<App>, signed: Signed) -> Response {
    emergency_page(&app, signed, Form::default()).await
}

async fn break_glass(State(app): State<App>, Sent { signed, form }: Sent) -> Response {
    let input = GlassInput { number: form.text("number"), reason: form.text("reason"), code: form.text("code") };
    let desk = signed.desk.clone();
    match app.run(move || desk.break_glass(&input)).await {
        Ok(case) => go(&format!("/cases/{case}")),
        Err(DeskError::Invalid(problems)) => emergency_page(&app, signed, form.with_problems(problems)).await,
        Err(error) => signed.refused(&error),
    }
}

async fn review_glass(State(app): State<App>, Path(id): Path<RecordId>, Sent { signed, form }: Sent) -> Response {
    let (desk, finding) = (signed.desk.clone(), form.text("finding"));
    match app.run(move || desk.review_glass(id, &finding)).await {
        Ok(()) => go("/emergency"),
        Err(DeskError::Invalid(problems)) => emergency_page(&app, signed, form.with_problems(problems)).await,
        Err(error) => signed.refused(&error),
    }
}

#[derive(Template)]
#[template(path = "requests.html")]
struct RequestsPage {
    page: Page,
    form: Form,
    requests: Vec<RequestView>,
}

async fn requests_page(app: &App, signed: Signed, form: Form) -> Response {
    let desk = signed.desk.clone();
    match app.run(move || desk.requests()).await {
        Ok(requests) => html_with(form.status(), &RequestsPage { page: signed.page, form, requests }),
        Err(error) => signed.refused(&error),
    }
}

async fn requests(State(app): State<App>, signed: Signed) -> Response {
    requests_page(&app, signed, Form::default()).await
}

async fn decide(State(app): State<App>, Path(id): Path<RecordId>, Sent { signed, form }: Sent) -> Response {
    let input = DecisionInput { approved: form.on("approved"), comment: form.text("comment") };
    let desk = signed.desk.clone();
    match app.run(move || desk.decide(id, &input)).await {
        Ok(()) => go("/requests"),
        Err(DeskError::Invalid(problems)) => requests_page(&app, signed, form.with_problems(problems)).await,
        Err(error) => signed.refused(&error),
    }
}

/// Runs a change that has no form of its own to come back to, and shows the page it belongs to.
async fn then_show(
    app: &App,
    signed: Signed,
    to: String,
    change: impl FnOnce() -> Result<(), DeskError> + Send + 'static,
) -> Response {
    match app.run(change).await {
        Ok(()) => go(&to),
        Err(error) => signed.refused(&error),
    }
}

async fn bar(State(app): State<App>, Path(id): Path<RecordId>, Sent { signed, form }: Sent) -> Response {
    let Ok(staff) = form.get("staff").parse::<StaffId>() else { return signed.refused(&DeskError::NotFound) };
    let desk = signed.desk.clone();
    then_show(&app, signed, format!("/people/{id}"), move || desk.bar(id, staff)).await
}

async fn lift_bar(State(app): State<App>, Path(id): Path<RecordId>, Sent { signed, form }: Sent) -> Response {
    let Ok(staff) = form.get("staff").parse::<StaffId>() else { return signed.refused(&DeskError::NotFound) };
    let desk = signed.desk.clone();
    then_show(&app, signed, "/requests".to_owned(), move || desk.lift_bar(id, staff)).await
}

async fn share_case(State(app): State<App>, Path(id): Path<RecordId>, Sent { signed, form }: Sent) -> Response {
    let staff: Result<Vec<StaffId>, _> = form.all("assigned").iter().map(|staff| staff.parse()).collect();
    let Ok(staff) = staff else { return signed.refused(&DeskError::NotFound) };
    let desk = signed.desk.clone();
    then_show(&app, signed, format!("/cases/{id}"), move || desk.share_case(id, staff)).await
}

async fn ask_approval(
    State(app): State<App>,
    Path((id, entry)): Path<(RecordId, RecordId)>,
    Sent { signed, .. }: Sent,
) -> Response {
    let desk = signed.desk.clone();
    then_show(&app, signed, format!("/cases/{id}"), move || desk.ask_approval(id, entry)).await
}
