//! Finding and registering people; their consents.

use crate::App;
use crate::form::{Both, Form, Merged, merge};
use crate::page::{Page, Sent, Signed, go, html, html_with};
use askama::Template;
use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::{get, post};
use casemesh_node::calendars::Calendar;
use casemesh_node::forms::About;
use casemesh_node::office::{
    ConsentInput, DeskError, ErasureView, Field, NeverInput, PartnerView, PersonHit, PersonInput, PersonView,
};
use casemesh_node::policy::Ask;
use casemesh_node::records::{CountingBasis, IdentityLevel};
use casemesh_node::vault::VaultError;
use casemesh_protocol::directory::OfficeKind;
use casemesh_protocol::id::{RecordId, StaffId};
use casemesh_protocol::terms::{ChildView, ConsentGiver, ConsentMethod, FieldGroup, Purpose, WithholdReason};

pub(crate) fn routes() -> Router<App> {
    Router::new()
        .route("/find", get(find).post(search))
        .route("/people/new", post(new))
        .route("/people", post(register))
        .route("/people/{id}", get(show).post(change))
        .route("/people/{id}/change", get(change_form))
        .route("/people/{id}/erase", get(erase_form).post(erase))
        .route("/people/{id}/consents/new", get(consent_form).post(consent_for))
        .route("/people/{id}/never", post(set_never))
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

async fn find(signed: Signed) -> Response {
    html(&FindPage { page: signed.page.starting_in("q"), query: String::new(), hits: None })
}

/// A search is sent as a form, so that no name stands in an address or a history.
async fn search(State(app): State<App>, Sent { signed, form }: Sent) -> Response {
    let (desk, query) = (signed.desk.clone(), form.text("q"));
    let text = query.clone();
    match app.run(move || desk.search(&text)).await {
        Ok(hits) => {
            // Nobody was found: the next key registers them.
            let page = if hits.is_empty() { signed.page.starting_in("new") } else { signed.page };
            html(&FindPage { page, query, hits: Some(hits) })
        }
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
    calendars: &'static [Calendar],
    age_bands: Vec<(String, String)>,
    hidden: Vec<String>,
    sexes: Vec<(String, String)>,
    languages: Vec<(String, String)>,
    beside: Beside,
}

impl PersonFormPage {
    /// Whether a field is asked: not where the office leaves it out, unless there is something in it.
    fn asks(&self, field: &str) -> bool {
        let is_filled = !self.form.get(field).is_empty() || !self.form.get(&format!("{field}_state")).is_empty();
        is_filled || self.form.problem(field).is_some() || !self.hidden.iter().any(|hidden| hidden == field)
    }
}

/// What somebody else wrote meanwhile, field by field: its name, theirs, and what was typed.
#[derive(Default)]
struct Beside {
    both: Vec<(String, String, String)>,
    taken: Vec<(String, String, String)>,
}

fn person_form(signed: Signed, form: Form, action: String) -> Response {
    person_form_beside(signed, form, action, Beside::default())
}

fn person_form_beside(signed: Signed, form: Form, action: String, beside: Beside) -> Response {
    let status = match (form.problems().is_empty(), beside.both.is_empty() && beside.taken.is_empty()) {
        (true, true) => StatusCode::OK,
        (true, false) => StatusCode::CONFLICT,
        (false, _) => StatusCode::UNPROCESSABLE_ENTITY,
    };
    let countings =
        CountingBasis::ALL.iter().copied().filter(|basis| *basis != CountingBasis::StatedAtImport).collect();
    html_with(
        status,
        &PersonFormPage {
            hidden: signed.desk.hidden_fields(),
            age_bands: signed.page.options_with("age_band", form.get("age_band")),
            sexes: signed.page.options_with("sex", form.get("sex")),
            languages: signed.page.options_with("language", form.get("language")),
            page: signed.page,
            form,
            action,
            identities: IdentityLevel::ALL,
            calendars: Calendar::ALL,
            countings,
            beside,
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
    let mut signed = signed;
    signed.page = signed.page.starting_in(if is_name { "birth" } else { "given" });
    person_form(signed, shown, "/people".into())
}

pub(super) fn input_of(form: &Form) -> PersonInput {
    PersonInput {
        identity: form.text("identity"),
        alias: form.text("alias"),
        given: form.field("given"),
        family: form.field("family"),
        local_name: form.field("local_name"),
        birth: form.field("birth"),
        birth_calendar: form.text("birth_calendar"),
        birth_estimated: form.on("birth_estimated"),
        address_protected: form.on("address_protected"),
        is_group: form.on("is_group"),
        age_band: form.field("age_band"),
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
    let (desk, input) = (signed.desk.clone(), input_of(&form));
    match app.run(move || desk.register_person(input)).await {
        Ok(id) if form.is("then", "case") => go(&format!("/people/{id}/cases/new")),
        Ok(id) => go(&format!("/people/{id}")),
        Err(DeskError::Invalid(problems)) => person_form(signed, form.with_problems(problems), "/people".into()),
        Err(error) => signed.refused(&error),
    }
}

async fn change(State(app): State<App>, Path(id): Path<RecordId>, Sent { signed, form }: Sent) -> Response {
    let (desk, input) = (signed.desk.clone(), input_of(&form));
    let revision = form.get("revision").parse().unwrap_or(0);
    let changed = app.run(move || match desk.change_person(id, revision, input) {
        // What the other wrote, to be shown beside what was typed.
        Err(DeskError::Vault(VaultError::Conflict)) => Ok(Some(desk.person(id)?)),
        changed => changed.map(|()| None),
    });
    match changed.await {
        Ok(None) => go(&format!("/people/{id}")),
        Ok(Some(now)) => {
            let was = Form::read(form.get("was").as_bytes());
            let Merged { form, both, taken } = merge(&was, &filled(&now), &form);
            if both.is_empty() && taken.is_empty() {
                // What the other wrote is not in this form, or is the same: nobody has to look at it.
                let (desk, input) = (signed.desk.clone(), input_of(&form));
                return match app.run(move || desk.change_person(id, now.revision, input)).await {
                    Ok(()) => go(&format!("/people/{id}")),
                    Err(error) => signed.refused(&error),
                };
            }
            let written =
                |signed: &Signed, all: Vec<Both>| all.into_iter().map(|one| beside(&signed.page, &one)).collect();
            let (both, taken) = (written(&signed, both), written(&signed, taken));
            person_form_beside(signed, form, format!("/people/{id}"), Beside { both, taken })
        }
        Err(DeskError::Invalid(problems)) => person_form(signed, form.with_problems(problems), format!("/people/{id}")),
        Err(error) => signed.refused(&error),
    }
}

/// What two people wrote into one field, as the page shows it: its name, what stands there now, what was typed.
fn beside(page: &Page, both: &Both) -> (String, String, String) {
    let text = |(text, state): &(String, String)| {
        let label = page.vocabulary.code(&both.field, text).map(|code| page.wire_code(&code));
        let text = match text.as_str() {
            "on" => page.t("state-known"),
            _ => label.unwrap_or_else(|| text.clone()),
        };
        let state = if state.is_empty() { String::new() } else { page.word("state", state) };
        let parts = [text, state].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>();
        if parts.is_empty() { "–".to_owned() } else { parts.join(", ") }
    };
    (page.field_name(&both.field), text(&both.theirs), text(&both.mine))
}

#[derive(Template)]
#[template(path = "person.html")]
pub(super) struct PersonPage {
    page: Page,
    form: Form,
    person: PersonView,
    address: Option<Field>,
    outcomes: Vec<(String, String)>,
    forms: Vec<(String, String)>,
    href: String,
    may_bar: bool,
    may_erase: bool,
    staff: Vec<(StaffId, String)>,
    /// Kinds of offices, and offices, that a client can rule out.
    kinds: Vec<String>,
    partners: Vec<(String, String)>,
}

/// The fields of a person, in the order in which they are shown.
pub(super) fn fields(person: &PersonView) -> Vec<(&'static str, &Field)> {
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

impl PersonPage {
    fn fields(&self) -> Vec<(&'static str, &Field)> {
        let revealed = |(label, field)| match &self.address {
            Some(address) if label == "field-address" => (label, address),
            _ => (label, field),
        };
        fields(&self.person).into_iter().map(revealed).collect()
    }

    /// Whether an office must never get anything about the person.
    fn is_never(&self, office: &str) -> bool {
        self.person.never.offices.iter().any(|(barred, _)| barred == office)
    }

    fn never_names(&self) -> String {
        self.person.never.names.join("\n")
    }

    /// A person's page, with a revealed address, or with a form that came back.
    pub(super) async fn show(app: &App, signed: Signed, id: RecordId, address: Option<Field>, form: Form) -> Response {
        let desk = signed.desk.clone();
        let status = form.status();
        match app.run(move || desk.person(id)).await {
            Ok(person) => html_with(
                status,
                &Self {
                    forms: super::entries::links(&signed.page, &signed.desk, About::Person),
                    href: format!("/people/{}", person.id),
                    may_bar: signed.desk.may(Ask::Bar),
                    may_erase: signed.desk.may(Ask::Erase),
                    staff: signed.desk.everybody_else(),
                    kinds: OfficeKind::ALL.iter().map(ToString::to_string).collect(),
                    partners: signed
                        .desk
                        .partners()
                        .into_iter()
                        .map(|partner| (partner.office.to_string(), partner.name))
                        .collect(),
                    outcomes: signed.page.options("closure_reason"),
                    page: signed.page,
                    person,
                    form,
                    address,
                },
            ),
            Err(error) => signed.refused(&error),
        }
    }
}

async fn show(State(app): State<App>, Path(id): Path<RecordId>, signed: Signed) -> Response {
    PersonPage::show(&app, signed, id, None, Form::default()).await
}

fn filled(person: &PersonView) -> Form {
    let mut form = Form::of(&[("identity", person.identity.as_str()), ("counting", person.counting.as_str())]);
    form.set("revision", person.revision.to_string());
    form.set("alias", &person.alias);
    let fields = [
        ("given", &person.given),
        ("family", &person.family),
        ("local_name", &person.local_name),
        ("age_band", &person.age_band),
        ("sex", &person.sex),
        ("nationality", &person.nationality),
        ("language", &person.language),
        ("telephone", &person.telephone),
        ("address", &person.address),
        ("area", &person.area),
        ("identifier", &person.identifier),
    ];
    for (name, field) in fields.into_iter().filter(|(name, _)| *name != "address" || !person.address_protected) {
        form.set(name, field.code.clone().or_else(|| field.value.clone()).unwrap_or_default());
        form.set(&format!("{name}_state"), if field.state == "known" { "" } else { &field.state });
    }
    if person.address_protected {
        form.set("address_state", "");
    }
    form.set("birth_state", if person.birth.state == "known" { "" } else { &person.birth.state });
    match &person.birth_said {
        Some((calendar, said)) => {
            form.set("birth_calendar", calendar.as_str());
            form.set("birth", said);
        }
        None => form.set("birth", person.birth.value.clone().unwrap_or_default()),
    }
    let contact = &person.safe_contact;
    let ticks = [
        ("birth_estimated", person.birth_estimated),
        ("interpreter", person.interpreter),
        ("safe_call", contact.call),
        ("safe_text", contact.text),
        ("safe_voicemail", contact.voicemail),
        ("safe_post", contact.post),
        ("address_protected", person.address_protected),
        ("is_group", person.is_group),
    ];
    for (name, _) in ticks.iter().filter(|(_, ticked)| *ticked) {
        form.set(name, "on");
    }
    form.set("safe_instructions", contact.instructions.as_str());
    form.set("code_word", contact.code_word.as_str());
    form.set("was", form.line());
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
#[template(path = "erase.html")]
struct ErasePage {
    page: Page,
    form: Form,
    erasure: ErasureView,
}

async fn erase_page(app: &App, signed: Signed, id: RecordId, form: Form) -> Response {
    let desk = signed.desk.clone();
    let status = form.status();
    match app.run(move || desk.erasure(id)).await {
        Ok(erasure) => html_with(status, &ErasePage { page: signed.page, form, erasure }),
        Err(error) => signed.refused(&error),
    }
}

async fn erase_form(State(app): State<App>, Path(id): Path<RecordId>, signed: Signed) -> Response {
    erase_page(&app, signed, id, Form::default()).await
}

async fn erase(State(app): State<App>, Path(id): Path<RecordId>, Sent { signed, form }: Sent) -> Response {
    let (desk, reason) = (signed.desk.clone(), form.text("reason"));
    match app.run(move || desk.erase_person(id, &reason)).await {
        Ok(true) => go("/requests"),
        Ok(false) => go("/find"),
        Err(DeskError::Invalid(problems)) => erase_page(&app, signed, id, form.with_problems(problems)).await,
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
    methods: Vec<ConsentMethod>,
    givers: &'static [ConsentGiver],
    child_views: &'static [ChildView],
    languages: Vec<(String, String)>,
}

async fn consent_page(app: &App, signed: Signed, id: RecordId, form: Form) -> Response {
    let desk = signed.desk.clone();
    let status = form.status();
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
                methods: given_methods(),
                givers: ConsentGiver::ALL,
                child_views: ChildView::ALL,
            },
        ),
        Err(error) => signed.refused(&error),
    }
}

async fn consent_form(State(app): State<App>, Path(id): Path<RecordId>, signed: Signed) -> Response {
    consent_page(&app, signed, id, Form::of(&[("purpose", "share_for_service")])).await
}

/// A consent is asked for a service outside the network that was found.
async fn consent_for(State(app): State<App>, Path(id): Path<RecordId>, Sent { signed, form: found }: Sent) -> Response {
    let mut form = Form::of(&[("purpose", "share_for_service")]);
    if let Ok(listing) = found.get("listing").parse::<RecordId>() {
        let desk = signed.desk.clone();
        match app.run(move || desk.listing(listing)).await {
            Ok(listing) => form.set("outside", listing.recipient()),
            Err(error) => return signed.refused(&error),
        }
    }
    consent_page(&app, signed, id, form).await
}

async fn set_never(State(app): State<App>, Path(id): Path<RecordId>, Sent { signed, form }: Sent) -> Response {
    let input = NeverInput { offices: form.all("offices"), kinds: form.all("kinds"), names: form.text("names") };
    let desk = signed.desk.clone();
    match app.run(move || desk.set_never(id, &input)).await {
        Ok(()) => go(&format!("/people/{id}#never")),
        Err(DeskError::Invalid(problems)) => {
            PersonPage::show(&app, signed, id, None, form.with_problems(problems)).await
        }
        Err(error) => signed.refused(&error),
    }
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
        given_on: form.text("given_on"),
        outside: form.text("outside"),
        child_view: form.text("child_view"),
        given_by: form.text("given_by"),
        complete_now: form.on("complete_now"),
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

/// How a client can give a consent.
fn given_methods() -> Vec<ConsentMethod> {
    ConsentMethod::ALL.iter().copied().filter(|method| *method != ConsentMethod::NotGiven).collect()
}
