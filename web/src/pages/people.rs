//! Finding and registering people; their consents.

use crate::App;
use crate::form::Form;
use crate::page::{Page, Sent, Signed, go, html, html_with};
use askama::Template;
use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::{get, post};
use casemesh_node::forms::About;
use casemesh_node::index::MatchReason;
use casemesh_node::office::{ConsentInput, DeskError, Field, PartnerView, PersonHit, PersonInput, PersonView};
use casemesh_node::policy::Ask;
use casemesh_node::records::{CountingBasis, IdentityLevel};
use casemesh_protocol::id::{RecordId, StaffId};
use casemesh_protocol::terms::{ConsentGiver, ConsentMethod, FieldGroup, Purpose, WithholdReason};

pub(crate) fn routes() -> Router<App> {
    Router::new()
        .route("/find", get(find).post(search))
        .route("/people/new", post(new))
        .route("/people", post(register))
        .route("/people/{id}", get(show).post(change))
        .route("/people/{id}/change", get(change_form))
        .route("/people/{id}/consents/new", get(consent_form))
        .route("/people/{id}/consents", post(record_consent))
        .route("/people/{id}/consents/{consent}/withdraw", post(withdraw_consent))
}

#[derive(Template)]
#[template(path = "find.html")]
struct FindPage {
    page: Page,
    query: String,
    hits: Option<Vec<PersonHit>>,
}

impl FindPage {
    fn reason(&self, reason: &MatchReason) -> &'static str {
        match reason {
            MatchReason::Identifier => "identifier",
            MatchReason::Telephone => "telephone",
            MatchReason::Name => "name",
            MatchReason::SoundsLike => "sounds_like",
            MatchReason::BirthYear => "birth_year",
        }
    }
}

async fn find(signed: Signed) -> Response {
    html(&FindPage { page: signed.page, query: String::new(), hits: None })
}

/// A search is sent as a form, so that no name stands in an address or a history.
async fn search(State(app): State<App>, Sent { signed, form }: Sent) -> Response {
    let (desk, query) = (signed.desk.clone(), form.text("q"));
    let text = query.clone();
    match app.run(move || desk.search(&text)).await {
        Ok(hits) => html(&FindPage { page: signed.page, query, hits: Some(hits) }),
        Err(error) => signed.refused(&error),
    }
}

#[derive(Template)]
#[template(path = "person_form.html")]
struct PersonFormPage {
    page: Page,
    form: Form,
    action: String,
    identities: &'static [IdentityLevel],
    countings: Vec<CountingBasis>,
    sexes: Vec<(String, String)>,
    languages: Vec<(String, String)>,
}

fn person_form(signed: Signed, form: Form, action: String) -> Response {
    let status = if form.problems().is_empty() { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY };
    let countings =
        CountingBasis::ALL.iter().copied().filter(|basis| *basis != CountingBasis::StatedAtImport).collect();
    html_with(
        status,
        &PersonFormPage {
            sexes: signed.page.options("sex"),
            languages: signed.page.options("language"),
            page: signed.page,
            form,
            action,
            identities: IdentityLevel::ALL,
            countings,
        },
    )
}

/// The form for a new person comes after a search, with what was searched for in it.
async fn new(Sent { signed, form }: Sent) -> Response {
    let query = form.get("q").trim();
    let is_name = query.chars().any(char::is_alphabetic);
    let (given, family) = if is_name { query.split_once(' ').unwrap_or((query, "")) } else { ("", "") };
    let mut shown = Form::of(&[("identity", "self_declared"), ("counting", "headcount")]);
    shown.set("given", given);
    shown.set("family", family);
    person_form(signed, shown, "/people".into())
}

fn input(form: &Form) -> PersonInput {
    PersonInput {
        identity: form.text("identity"),
        alias: form.text("alias"),
        given: form.field("given"),
        family: form.field("family"),
        local_name: form.field("local_name"),
        birth: form.field("birth"),
        birth_estimated: form.on("birth_estimated"),
        sex: form.field("sex"),
        nationality: form.field("nationality"),
        language: form.field("language"),
        interpreter: form.on("interpreter"),
        telephone: form.field("telephone"),
        address: form.field("address"),
        area: form.field("area"),
        identifier: form.field("identifier"),
        safe_call: form.on("safe_call"),
        safe_text: form.on("safe_text"),
        safe_voicemail: form.on("safe_voicemail"),
        safe_post: form.on("safe_post"),
        safe_instructions: form.text("safe_instructions"),
        code_word: form.text("code_word"),
        counting: form.text("counting"),
    }
}

async fn register(State(app): State<App>, Sent { signed, form }: Sent) -> Response {
    let (desk, input) = (signed.desk.clone(), input(&form));
    match app.run(move || desk.register_person(input)).await {
        Ok(id) => go(&format!("/people/{id}")),
        Err(DeskError::Invalid(problems)) => person_form(signed, form.with_problems(problems), "/people".into()),
        Err(error) => signed.refused(&error),
    }
}

async fn change(State(app): State<App>, Path(id): Path<RecordId>, Sent { signed, form }: Sent) -> Response {
    let (desk, input) = (signed.desk.clone(), input(&form));
    let revision = form.get("revision").parse().unwrap_or(0);
    match app.run(move || desk.change_person(id, revision, input)).await {
        Ok(()) => go(&format!("/people/{id}")),
        Err(DeskError::Invalid(problems)) => person_form(signed, form.with_problems(problems), format!("/people/{id}")),
        Err(error) => signed.refused(&error),
    }
}

#[derive(Template)]
#[template(path = "person.html")]
struct PersonPage {
    page: Page,
    person: PersonView,
    forms: Vec<(String, String)>,
    href: String,
    may_bar: bool,
    staff: Vec<(StaffId, String)>,
}

impl PersonPage {
    fn fields(&self) -> Vec<(&'static str, &Field)> {
        let person = &self.person;
        vec![
            ("field-given", &person.given),
            ("field-family", &person.family),
            ("field-local-name", &person.local_name),
            ("field-birth", &person.birth),
            ("share-age-band", &person.age_band),
            ("field-sex", &person.sex),
            ("field-nationality", &person.nationality),
            ("field-language", &person.language),
            ("field-telephone", &person.telephone),
            ("field-address", &person.address),
            ("field-area", &person.area),
            ("field-identifier", &person.identifier),
        ]
    }
}

async fn show(State(app): State<App>, Path(id): Path<RecordId>, signed: Signed) -> Response {
    let desk = signed.desk.clone();
    match app.run(move || desk.person(id)).await {
        Ok(person) => html(&PersonPage {
            forms: super::entries::links(&signed.page, &signed.desk, About::Person),
            href: format!("/people/{id}"),
            may_bar: signed.desk.may(Ask::Bar),
            staff: signed.desk.everybody_else(),
            page: signed.page,
            person,
        }),
        Err(error) => signed.refused(&error),
    }
}

fn filled(person: &PersonView) -> Form {
    let mut form = Form::of(&[("identity", person.identity.as_str()), ("counting", person.counting.as_str())]);
    form.set("revision", person.revision.to_string());
    form.set("alias", &person.alias);
    let fields = [
        ("given", &person.given),
        ("family", &person.family),
        ("local_name", &person.local_name),
        ("birth", &person.birth),
        ("sex", &person.sex),
        ("nationality", &person.nationality),
        ("language", &person.language),
        ("telephone", &person.telephone),
        ("address", &person.address),
        ("area", &person.area),
        ("identifier", &person.identifier),
    ];
    for (name, field) in fields {
        form.set(name, field.code.clone().or_else(|| field.value.clone()).unwrap_or_default());
        form.set(&format!("{name}_state"), if field.state == "known" { "" } else { &field.state });
    }
    let contact = &person.safe_contact;
    let ticks = [
        ("birth_estimated", person.birth_estimated),
        ("interpreter", person.interpreter),
        ("safe_call", contact.call),
        ("safe_text", contact.text),
        ("safe_voicemail", contact.voicemail),
        ("safe_post", contact.post),
    ];
    for (name, _) in ticks.iter().filter(|(_, ticked)| *ticked) {
        form.set(name, "on");
    }
    form.set("safe_instructions", contact.instructions.as_str());
    form.set("code_word", contact.code_word.as_str());
    form
}

async fn change_form(State(app): State<App>, Path(id): Path<RecordId>, signed: Signed) -> Response {
    let desk = signed.desk.clone();
    match app.run(move || desk.person(id)).await {
        Ok(person) => person_form(signed, filled(&person), format!("/people/{id}")),
        Err(error) => signed.refused(&error),
    }
}

#[derive(Template)]
#[template(path = "consent_form.html")]
struct ConsentFormPage {
    page: Page,
    form: Form,
    action: String,
    client: String,
    partners: Vec<PartnerView>,
    purposes: &'static [Purpose],
    groups: Vec<String>,
    reasons: &'static [WithholdReason],
    methods: &'static [ConsentMethod],
    givers: &'static [ConsentGiver],
    languages: Vec<(String, String)>,
}

async fn consent_page(app: &App, signed: Signed, id: RecordId, form: Form) -> Response {
    let desk = signed.desk.clone();
    let status = if form.problems().is_empty() { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY };
    let loaded = app.run(move || desk.person(id).map(|person| (person, desk.partners()))).await;
    match loaded {
        Ok((person, partners)) => html_with(
            status,
            &ConsentFormPage {
                languages: signed.page.options("language"),
                page: signed.page,
                form,
                action: format!("/people/{id}/consents"),
                client: person.name,
                partners,
                purposes: Purpose::ALL,
                groups: FieldGroup::ALL.iter().map(ToString::to_string).collect(),
                reasons: WithholdReason::ALL,
                methods: ConsentMethod::ALL,
                givers: ConsentGiver::ALL,
            },
        ),
        Err(error) => signed.refused(&error),
    }
}

async fn consent_form(State(app): State<App>, Path(id): Path<RecordId>, signed: Signed) -> Response {
    let form = Form::of(&[("purpose", "share_for_service"), ("method", "signed_paper"), ("giver", "person")]);
    consent_page(&app, signed, id, form).await
}

async fn record_consent(State(app): State<App>, Path(id): Path<RecordId>, Sent { signed, form }: Sent) -> Response {
    let input = ConsentInput {
        purpose: form.text("purpose"),
        recipients: form.all("recipients"),
        scope: form.all("scope"),
        withheld: form.all("withheld"),
        withheld_reason: form.text("withheld_reason"),
        expires: form.text("expires"),
        method: form.text("method"),
        giver: form.text("giver"),
        language: form.text("language"),
        refused: form.on("refused"),
    };
    let desk = signed.desk.clone();
    match app.run(move || desk.record_consent(id, input)).await {
        Ok(_) => go(&format!("/people/{id}")),
        Err(DeskError::Invalid(problems)) => consent_page(&app, signed, id, form.with_problems(problems)).await,
        Err(error) => signed.refused(&error),
    }
}

async fn withdraw_consent(
    State(app): State<App>,
    Path((id, consent)): Path<(RecordId, RecordId)>,
    Sent { signed, .. }: Sent,
) -> Response {
    let desk = signed.desk.clone();
    match app.run(move || desk.withdraw_consent(id, consent)).await {
        Ok(()) => go(&format!("/people/{id}")),
        Err(error) => signed.refused(&error),
    }
}
