//! The desk register: a day of it, and one line.

use crate::App;
use crate::form::Form;
use crate::page::{Page, Sent, Signed, go, html_with};
use askama::Template;
use axum::Router;
use axum::extract::{Path, Query, State};
use axum::response::Response;
use axum::routing::{get, post};
use casemesh_node::office::{DeskError, PersonHit, RegisterInput, RegisterView};
use casemesh_node::policy::Ask;
use casemesh_protocol::id::RecordId;
use casemesh_protocol::time::Day;
use serde::Deserialize;

pub(crate) fn routes() -> Router<App> {
    Router::new()
        .route("/register", get(show).post(add))
        .route("/register/{id}", get(line).post(change))
        .route("/register/{id}/consult", post(consult))
        .route("/register/{id}/case", post(case))
        .route("/register/{id}/turn-away", post(turn_away))
}

/// The day whose lines are shown; the latest ones where it is empty.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Which {
    day: String,
}

#[derive(Template)]
#[template(path = "register.html")]
struct RegisterPage {
    page: Page,
    form: Form,
    lines: Vec<RegisterView>,
    topics: Vec<(String, String)>,
    reasons: Vec<(String, String)>,
    /// The day that is shown; none for the latest lines.
    day: Option<Day>,
    before: Day,
    after: Day,
    opens_cases: bool,
}

async fn show(State(app): State<App>, signed: Signed, Query(which): Query<Which>) -> Response {
    let day = casemesh_node::names::ascii_digits(which.day.trim()).parse().ok();
    page(&app, signed, Form::default(), day).await
}

async fn page(app: &App, signed: Signed, form: Form, day: Option<Day>) -> Response {
    let desk = signed.desk.clone();
    let status = form.status();
    let around = day.unwrap_or_else(|| signed.desk.today());
    match app.run(move || desk.register(day)).await {
        Ok(lines) => html_with(
            status,
            &RegisterPage {
                topics: signed.page.options("case_type"),
                reasons: signed.page.options("turnaway_reason"),
                opens_cases: signed.desk.may(Ask::OpenCase),
                page: signed.page,
                form,
                lines,
                day,
                before: around.plus_days(-1),
                after: around.plus_days(1),
            },
        ),
        Err(error) => signed.refused(&error),
    }
}

fn input(form: &Form) -> RegisterInput {
    RegisterInput {
        visitor: form.text("visitor"),
        topic: form.text("topic"),
        note: form.text("note"),
        minutes: form.text("minutes"),
        on: form.text("on"),
        advice: form.text("advice"),
        channel: form.text("channel"),
    }
}

async fn add(State(app): State<App>, Sent { signed, form }: Sent) -> Response {
    let (desk, input) = (signed.desk.clone(), input(&form));
    // A line that is written on the page of a past day belongs to that day.
    let day: Option<Day> = form.get("on").parse().ok();
    match app.run(move || desk.add_line(input)).await {
        Ok(_) => match day {
            Some(day) => go(&format!("/register?day={day}")),
            None => go("/register"),
        },
        Err(DeskError::Invalid(problems)) => page(&app, signed, form.with_problems(problems), day).await,
        Err(error) => signed.refused(&error),
    }
}

#[derive(Template)]
#[template(path = "register_line.html")]
struct LinePage {
    page: Page,
    form: Form,
    line: RegisterView,
    topics: Vec<(String, String)>,
    channels: Vec<(String, String)>,
    reasons: Vec<(String, String)>,
    /// Persons who may be the visitor.
    persons: Vec<PersonHit>,
    opens_cases: bool,
}

async fn line_page(app: &App, signed: Signed, id: RecordId, form: Option<Form>) -> Response {
    let desk = signed.desk.clone();
    let found = app.run(move || desk.line(id).and_then(|line| Ok((line, desk.line_persons(id)?)))).await;
    let (line, persons) = match found {
        Ok(found) => found,
        Err(error) => return signed.refused(&error),
    };
    let form = form.unwrap_or_else(|| {
        let code =
            |code: &Option<casemesh_node::office::CodeView>| code.as_ref().map_or("", |code| &code.code).to_owned();
        Form::of(&[
            ("visitor", &line.visitor),
            ("topic", &code(&line.topic)),
            ("note", &line.note),
            ("minutes", &line.minutes.map(|minutes| minutes.to_string()).unwrap_or_default()),
            ("on", &line.on.to_string()),
            ("advice", &line.advice),
            ("channel", &code(&line.channel)),
        ])
    });
    let status = form.status();
    html_with(
        status,
        &LinePage {
            topics: signed.page.options_with("case_type", form.get("topic")),
            channels: signed.page.options_with("contact_channel", form.get("channel")),
            reasons: signed.page.options("turnaway_reason"),
            opens_cases: signed.desk.may(Ask::OpenCase),
            page: signed.page,
            form,
            line,
            persons,
        },
    )
}

async fn line(State(app): State<App>, Path(id): Path<RecordId>, signed: Signed) -> Response {
    line_page(&app, signed, id, None).await
}

async fn change(State(app): State<App>, Path(id): Path<RecordId>, Sent { signed, form }: Sent) -> Response {
    let (desk, input) = (signed.desk.clone(), input(&form));
    let is_consult = form.get("then") == "consult";
    let changed = app.run(move || {
        desk.change_line(id, &input)?;
        if is_consult { desk.line_to_consult(id) } else { Ok(()) }
    });
    match changed.await {
        Ok(()) => go("/register"),
        Err(DeskError::Invalid(problems)) => line_page(&app, signed, id, Some(form.with_problems(problems))).await,
        Err(error) => signed.refused(&error),
    }
}

async fn consult(State(app): State<App>, Path(id): Path<RecordId>, Sent { signed, .. }: Sent) -> Response {
    let desk = signed.desk.clone();
    match app.run(move || desk.line_to_consult(id)).await {
        Ok(()) => go("/register"),
        Err(error) => signed.refused(&error),
    }
}

async fn case(State(app): State<App>, Path(id): Path<RecordId>, Sent { signed, form }: Sent) -> Response {
    let desk = signed.desk.clone();
    let person = match form.get("person") {
        "" => None,
        text => match text.parse() {
            Ok(person) => Some(person),
            Err(_) => return signed.refused(&DeskError::NotFound),
        },
    };
    match app.run(move || desk.line_to_case(id, person)).await {
        Ok(case) => super::cases::opened(&signed, case),
        Err(error) => signed.refused(&error),
    }
}

async fn turn_away(State(app): State<App>, Path(id): Path<RecordId>, Sent { signed, form }: Sent) -> Response {
    let (desk, reason) = (signed.desk.clone(), form.text("reason"));
    match app.run(move || desk.line_turned_away(id, &reason)).await {
        Ok(()) => go("/register"),
        Err(error) => signed.refused(&error),
    }
}
