//! Families, groups, and records that may be about one person.

use super::people::{PersonPage, input_of};
use crate::App;
use crate::form::Form;
use crate::page::{Page, Sent, Signed, go, html, html_with};
use askama::Template;
use axum::Router;
use axum::extract::{Path, State};
use axum::response::Response;
use axum::routing::{get, post};
use casemesh_node::office::{
    CaseInput, DeskError, DuplicateView, FAMILY_MAX, FamilyInput, FamilyPerson, Field, LinkInput, MemberInput,
    PersonHit, PersonView,
};
use casemesh_node::policy::{Ask, Denied};
use casemesh_protocol::id::RecordId;

pub(crate) fn routes() -> Router<App> {
    Router::new()
        .route("/families/new", get(family_form))
        .route("/families", post(register_family))
        .route("/people/{id}/others", post(others))
        .route("/people/{id}/links", post(add_link))
        .route("/people/{id}/links/{link}/end", post(end_link))
        .route("/people/{id}/members", post(set_member))
        .route("/people/{id}/reveal", post(reveal))
        .route("/duplicates", get(duplicates))
        .route("/people/{id}/compare/{other}", get(compare))
        .route("/people/{id}/merge", post(merge))
        .route("/people/{id}/unmerge", post(unmerge))
        .route("/people/{id}/different", post(are_different))
}

/// Rows of the family form at first.
const ROWS: usize = 4;

#[derive(Template)]
#[template(path = "family.html")]
struct FamilyPage {
    page: Page,
    form: Form,
    rows: Vec<Row>,
    sexes: Vec<(String, String)>,
    relations: Vec<(String, String)>,
    languages: Vec<(String, String)>,
    types: Vec<(String, String)>,
}

/// The names of the fields of one person of a family.
struct Row {
    number: usize,
    is_first: bool,
    given: String,
    family: String,
    birth: String,
    sex: String,
    relation: String,
    caregiver: String,
    client: String,
}

impl Row {
    fn new(number: usize) -> Self {
        let of = |field: &str| format!("{number}:{field}");
        Self {
            number,
            is_first: number == 1,
            given: of("given"),
            family: of("family"),
            birth: of("birth"),
            sex: of("sex"),
            relation: of("relation"),
            caregiver: of("caregiver"),
            client: of("client"),
        }
    }
}

fn family_page(signed: Signed, form: Form, rows: usize) -> Response {
    let status = form.status();
    let rows = rows.clamp(2, FAMILY_MAX);
    let page = signed.page;
    html_with(
        status,
        &FamilyPage {
            sexes: page.options("sex"),
            relations: page.options("relation"),
            languages: page.options("language"),
            types: page.options("case_type"),
            rows: (1..=rows).map(Row::new).collect(),
            page,
            form,
        },
    )
}

async fn family_form(signed: Signed) -> Response {
    if !signed.desk.may(Ask::People) {
        return signed.refused(&DeskError::Denied(Denied));
    }
    family_page(signed, Form::of(&[("1:client", "on")]), ROWS)
}

async fn register_family(State(app): State<App>, Sent { signed, form }: Sent) -> Response {
    let rows: usize = form.get("rows").parse().unwrap_or(ROWS).min(FAMILY_MAX);
    if form.on("more") {
        return family_page(signed, form, rows + ROWS);
    }
    let (mut people, mut numbers) = (Vec::new(), Vec::new());
    for row in 1..=rows {
        let of = |field: &str| format!("{row}:{field}");
        let is_empty = ["given", "family", "birth"].iter().all(|field| form.get(&of(field)).trim().is_empty());
        if is_empty && row > 1 {
            continue;
        }
        let mut person = input_of(&Form::default());
        person.identity = "self_declared".into();
        person.counting = "headcount".into();
        person.given = form.field(&of("given"));
        person.family = form.field(&of("family"));
        if person.family.value.is_empty() {
            person.family = form.field("1:family");
        }
        person.birth = form.field(&of("birth"));
        person.sex = form.field(&of("sex"));
        person.telephone = form.field("telephone");
        person.address = form.field("address");
        person.area = form.field("area");
        person.language = form.field("language");
        person.safe_call = form.on("safe_call");
        person.safe_text = form.on("safe_text");
        people.push(FamilyPerson {
            person,
            relation: if row == 1 { String::new() } else { form.text(&of("relation")) },
            is_caregiver: form.on(&of("caregiver")),
            is_client: form.on(&of("client")),
        });
        numbers.push(row);
    }
    let case = CaseInput { case_type: form.text("case_type"), summary: form.text("summary"), ..CaseInput::default() };
    let desk = signed.desk.clone();
    match app.run(move || desk.register_family(FamilyInput { people, case })).await {
        Ok((_, Some(case))) => go(&format!("/cases/{case}")),
        Ok((people, None)) => go(&people.first().map_or("/find".to_owned(), |first| format!("/people/{first}"))),
        Err(DeskError::Invalid(mut problems)) => {
            // A row that was left empty has no number at the desk.
            for problem in &mut problems {
                let of_row = problem.field.split_once(':').and_then(|(number, field)| {
                    let row = numbers.get(number.parse::<usize>().ok()?.checked_sub(1)?)?;
                    Some(format!("{row}:{field}"))
                });
                problem.field = of_row.unwrap_or_else(|| problem.field.clone());
            }
            family_page(signed, form.with_problems(problems), rows)
        }
        Err(error) => signed.refused(&error),
    }
}

#[derive(Template)]
#[template(path = "others.html")]
struct OthersPage {
    page: Page,
    form: Form,
    person: RecordId,
    name: String,
    query: String,
    hits: Vec<PersonHit>,
    relations: Vec<(String, String)>,
}

async fn others_page(app: &App, signed: Signed, id: RecordId, query: String, form: Form) -> Response {
    let (desk, text) = (signed.desk.clone(), query.clone());
    let status = form.status();
    match app.run(move || Ok::<_, DeskError>((desk.person(id)?, desk.search(&text)?))).await {
        Ok((person, mut hits)) => {
            hits.retain(|hit| hit.id != person.id);
            let relations = signed.page.options("relation");
            html_with(
                status,
                &OthersPage { page: signed.page, form, person: person.id, name: person.name, query, hits, relations },
            )
        }
        Err(error) => signed.refused(&error),
    }
}

/// Other persons that a search finds, to relate this one to or to compare it with.
async fn others(State(app): State<App>, Path(id): Path<RecordId>, Sent { signed, form }: Sent) -> Response {
    let query = form.text("q");
    others_page(&app, signed, id, query, Form::default()).await
}

async fn add_link(State(app): State<App>, Path(id): Path<RecordId>, Sent { signed, form }: Sent) -> Response {
    let input = LinkInput {
        person: form.text("person"),
        relation: form.text("relation"),
        lives_together: form.field("lives_together"),
        is_caregiver: form.on("is_caregiver"),
    };
    let (desk, query) = (signed.desk.clone(), form.text("q"));
    match app.run(move || desk.add_link(id, &input)).await {
        Ok(_) => go(&format!("/people/{id}")),
        Err(DeskError::Invalid(problems)) => others_page(&app, signed, id, query, form.with_problems(problems)).await,
        Err(error) => signed.refused(&error),
    }
}

/// Runs a change and shows the person again.
async fn then_person(
    app: &App,
    signed: Signed,
    id: RecordId,
    change: impl FnOnce() -> Result<(), DeskError> + Send + 'static,
) -> Response {
    match app.run(change).await {
        Ok(()) => go(&format!("/people/{id}")),
        Err(error) => signed.refused(&error),
    }
}

async fn end_link(
    State(app): State<App>,
    Path((id, link)): Path<(RecordId, RecordId)>,
    Sent { signed, .. }: Sent,
) -> Response {
    let desk = signed.desk.clone();
    then_person(&app, signed, id, move || desk.end_link(id, link)).await
}

async fn set_member(State(app): State<App>, Path(id): Path<RecordId>, Sent { signed, form }: Sent) -> Response {
    let input = MemberInput {
        member: form.text("member"),
        revision: form.get("revision").parse().unwrap_or(0),
        person: form.text("person"),
        name: form.text("name"),
        telephone: form.text("telephone"),
        speaks: form.on("speaks"),
        agreed: form.field("agreed"),
        outcome: form.text("outcome"),
        amount: form.text("amount"),
    };
    let desk = signed.desk.clone();
    match app.run(move || desk.set_member(id, &input)).await {
        Ok(_) => go(&format!("/people/{id}#roll")),
        Err(DeskError::Invalid(problems)) => {
            PersonPage::show(&app, signed, id, None, form.with_problems(problems)).await
        }
        Err(error) => signed.refused(&error),
    }
}

async fn reveal(State(app): State<App>, Path(id): Path<RecordId>, Sent { signed, .. }: Sent) -> Response {
    let desk = signed.desk.clone();
    match app.run(move || desk.reveal_address(id)).await {
        Ok(address) => PersonPage::show(&app, signed, id, Some(address), Form::default()).await,
        Err(error) => signed.refused(&error),
    }
}

#[derive(Template)]
#[template(path = "duplicates.html")]
struct DuplicatesPage {
    page: Page,
    pairs: Vec<DuplicateView>,
}

async fn duplicates(State(app): State<App>, signed: Signed) -> Response {
    let desk = signed.desk.clone();
    match app.run(move || desk.duplicates()).await {
        Ok(pairs) => html(&DuplicatesPage { page: signed.page, pairs }),
        Err(error) => signed.refused(&error),
    }
}

#[derive(Template)]
#[template(path = "compare.html")]
struct ComparePage {
    page: Page,
    one: PersonView,
    other: PersonView,
}

impl ComparePage {
    /// Each field of the two, and whether they say the same.
    fn rows(&self) -> Vec<(&'static str, &Field, &Field, bool)> {
        let (one, other) = (super::people::fields(&self.one), super::people::fields(&self.other));
        one.into_iter().zip(other).map(|((label, a), (_, b))| (label, a, b, a == b)).collect()
    }
}

async fn compare(State(app): State<App>, Path((id, other)): Path<(RecordId, RecordId)>, signed: Signed) -> Response {
    let desk = signed.desk.clone();
    match app.run(move || desk.compare(id, other)).await {
        Ok((one, other)) => html(&ComparePage { page: signed.page, one, other }),
        Err(error) => signed.refused(&error),
    }
}

fn other_of(form: &Form) -> Option<RecordId> {
    form.get("other").parse().ok()
}

async fn merge(State(app): State<App>, Path(id): Path<RecordId>, Sent { signed, form }: Sent) -> Response {
    let Some(other) = other_of(&form) else { return signed.refused(&DeskError::NotFound) };
    let desk = signed.desk.clone();
    then_person(&app, signed, id, move || desk.merge(id, other)).await
}

async fn unmerge(State(app): State<App>, Path(id): Path<RecordId>, Sent { signed, form }: Sent) -> Response {
    let Some(other) = other_of(&form) else { return signed.refused(&DeskError::NotFound) };
    let desk = signed.desk.clone();
    then_person(&app, signed, id, move || desk.unmerge(id, other)).await
}

async fn are_different(State(app): State<App>, Path(id): Path<RecordId>, Sent { signed, form }: Sent) -> Response {
    let Some(other) = other_of(&form) else { return signed.refused(&DeskError::NotFound) };
    let desk = signed.desk.clone();
    match app.run(move || desk.are_different(id, other)).await {
        Ok(()) => go("/duplicates"),
        Err(error) => signed.refused(&error),
    }
}
