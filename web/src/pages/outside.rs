//! Offices without a node: what comes by letter or telephone is booked in, a slip goes out on paper, and answers are written down
//! as they are told.

use super::referrals::{answer, referral_page, said};
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
use casemesh_crypto::random::os_rng;
use casemesh_crypto::{browser, bytes, random};
use casemesh_node::office::{BookInInput, DeskError, FieldProblem, HandedOut, SlipView, ToldInput};
use casemesh_protocol::id::RecordId;
use casemesh_protocol::referral::Visit;

pub(crate) fn routes() -> Router<App> {
    Router::new()
        .route("/referrals/book-in", get(form).post(book_in))
        .route("/referrals/by-code", get(code_form).post(by_code))
        .route("/referrals/{id}/slip", get(slip))
        .route("/referrals/{id}/letter", get(letter).post(letter_file))
        .route("/referrals/{id}/told", post(told))
}

/// A code in groups of four, as it is read out.
pub(super) fn grouped(code: &str) -> String {
    let letters: Vec<char> = code.chars().collect();
    letters.chunks(4).map(|group| group.iter().collect::<String>()).collect::<Vec<_>>().join("-")
}

#[derive(Template)]
#[template(path = "book_in.html")]
struct BookInPage {
    page: Page,
    form: Form,
    services: Vec<(String, String)>,
    ways: Vec<(String, String)>,
}

fn book_in_page(signed: Signed, form: Form) -> Response {
    let status = form.status();
    let services = signed.page.options("service_type");
    let ways = signed.page.options("outside_way");
    html_with(status, &BookInPage { page: signed.page, form, services, ways })
}

async fn form(signed: Signed) -> Response {
    if !signed.desk.answers_referrals() {
        return signed.refused(&DeskError::Denied(casemesh_node::policy::Denied));
    }
    book_in_page(signed, Form::of(&[("how", "letter")]))
}

async fn book_in(State(app): State<App>, Sent { signed, form }: Sent) -> Response {
    let input = BookInInput {
        from: form.text("from"),
        how: form.text("how"),
        contact: form.text("contact"),
        reference: form.text("reference"),
        service: form.text("service"),
        need: form.text("need"),
        urgency: form.text("urgency"),
    };
    let desk = signed.desk.clone();
    match app.run(move || desk.book_in(&input)).await {
        Ok(id) => go(&format!("/referrals/{id}")),
        Err(DeskError::Invalid(problems)) => book_in_page(signed, form.with_problems(problems)),
        Err(error) => signed.refused(&error),
    }
}

#[derive(Template)]
#[template(path = "by_code.html")]
struct CodePage {
    page: Page,
    form: Form,
}

async fn code_form(signed: Signed) -> Response {
    if !signed.desk.answers_referrals() {
        return signed.refused(&DeskError::Denied(casemesh_node::policy::Denied));
    }
    html(&CodePage { page: signed.page.starting_in("code"), form: Form::default() })
}

async fn by_code(State(app): State<App>, Sent { signed, form }: Sent) -> Response {
    let (desk, code) = (signed.desk.clone(), form.text("code"));
    match app.run(move || desk.referral_by_code(&code)).await {
        Ok(id) => go(&format!("/referrals/{id}#referral-told")),
        Err(DeskError::NotFound) => {
            let form = form.with_problems(vec![FieldProblem::new("code", "no-such-code")]);
            html_with(StatusCode::UNPROCESSABLE_ENTITY, &CodePage { page: signed.page, form })
        }
        Err(error) => signed.refused(&error),
    }
}

#[derive(Template)]
#[template(path = "slip.html")]
struct SlipPage {
    page: Page,
    slip: SlipView,
    code: String,
    declines: Vec<String>,
}

impl SlipPage {
    /// What is said about a first visit.
    fn said(&self, visit: &Visit) -> Vec<(&'static str, String)> {
        said(visit)
    }
}

async fn slip(State(app): State<App>, Path(id): Path<RecordId>, signed: Signed) -> Response {
    let desk = signed.desk.clone();
    match app.run(move || desk.slip(id)).await {
        Ok(slip) => html(&SlipPage {
            code: grouped(&slip.code),
            declines: signed.page.options("decline_reason").into_iter().map(|(_, text)| text).collect(),
            page: signed.page,
            slip,
        }),
        Err(error @ DeskError::Consent(_)) => referral_page(&app, signed, id, Form::default(), Some(&error)).await,
        Err(error) => signed.refused(&error),
    }
}

/// A file that opens in any browser, with digits that are told by telephone: what the slip says, for an office without a node.
#[derive(Template)]
#[template(path = "letter.html")]
struct LetterPage {
    page: Page,
    id: RecordId,
    digits: String,
}

impl LetterPage {
    fn grouped(&self) -> String {
        grouped(&self.digits).replace('-', " ")
    }
}

async fn letter(State(app): State<App>, Path(id): Path<RecordId>, signed: Signed) -> Response {
    let desk = signed.desk.clone();
    match app.run(move || desk.referral(id)).await {
        Ok(referral) if referral.outside.is_some() && referral.summary.outgoing => {
            html(&LetterPage { page: signed.page, id, digits: browser::draw_digits(&mut os_rng()) })
        }
        Ok(_) => signed.refused(&DeskError::NotFound),
        Err(error) => signed.refused(&error),
    }
}

/// What is sealed.
#[derive(Template)]
#[template(path = "letter_text.html")]
struct LetterText {
    page: Page,
    slip: SlipView,
    code: String,
}

/// The file around it: it names nobody.
#[derive(Template)]
#[template(path = "letter_file.html")]
struct LetterFile {
    page: Page,
    nonce: String,
    sealed: String,
    script: &'static str,
}

async fn letter_file(State(app): State<App>, Path(id): Path<RecordId>, Sent { signed, form }: Sent) -> Response {
    let (desk, page, digits) = (signed.desk.clone(), signed.page.clone(), form.text("digits"));
    if digits.len() != browser::DIGITS || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return signed.refused(&DeskError::NotFound);
    }
    let made = app.run(move || {
        let slip = desk.slip(id)?;
        let rng = &mut os_rng();
        let text = LetterText { page: page.clone(), code: grouped(&slip.code), slip }.render().unwrap_or_default();
        let sealed = browser::seal(&digits, text.as_bytes(), rng);
        let sealed = serde_json::json!({
            "salt": bytes::to_hex(&sealed.salt), "nonce": bytes::to_hex(&sealed.nonce),
            "bytes": bytes::to_hex(&sealed.bytes), "rounds": browser::ROUNDS,
        });
        let nonce = bytes::to_hex(&random::array::<16>(rng));
        let script = include_str!("../../assets/letter.js");
        let file = LetterFile { page, nonce, sealed: sealed.to_string(), script }.render().unwrap_or_default();
        Ok(HandedOut {
            name: format!("letter-{}.html", desk.today()),
            media_type: "text/html; charset=utf-8",
            bytes: file.into_bytes(),
        })
    });
    match made.await {
        Ok(file) => handed_out(file),
        Err(error @ DeskError::Consent(_)) => referral_page(&app, signed, id, Form::default(), Some(&error)).await,
        Err(error) => signed.refused(&error),
    }
}

async fn told(State(app): State<App>, Path(id): Path<RecordId>, Sent { signed, form }: Sent) -> Response {
    let input = ToldInput { by: form.text("by"), how: form.text("how"), answer: answer(&form) };
    let desk = signed.desk.clone();
    let mut form = form;
    form.set("told", "on");
    match app.run(move || desk.told(id, &input)).await {
        Ok(()) => go(&format!("/referrals/{id}")),
        Err(DeskError::Invalid(problems)) => referral_page(&app, signed, id, form.with_problems(problems), None).await,
        Err(error @ DeskError::Illegal(_)) => referral_page(&app, signed, id, form, Some(&error)).await,
        Err(error) => signed.refused(&error),
    }
}
