//! Calls about code lists and forms.

use super::{Answer, Body, Caller, Done, Path, Problem, Query, at_desk};
use crate::App;
use axum::extract::State;
use axum::routing::{get, post, put};
use axum::{Json, Router};
use casemesh_node::forms::Form;
use casemesh_node::office::{CodeListInput, CodeListView, FormInput, ListsReport, TagCandidate, TermInput, TermView};
use casemesh_protocol::id::RecordId;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The name of what was made or changed.
#[derive(Serialize, ToSchema)]
struct Named {
    /// The name of a list, a code, or the id of a form.
    name: String,
}

/// What to look for in a list.
#[derive(Default, Deserialize)]
#[serde(default)]
struct TermSearch {
    text: String,
}

/// A file of code lists.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct ListsInput {
    /// The mapping file (TOML).
    mapping: String,
    /// The file: a JSON array of objects, or CSV with headings.
    file: String,
    /// Say what would happen, and import nothing.
    dry_run: bool,
}

#[utoipa::path(get, path = "/api/v1/lists", responses((status = 200, body = Vec<CodeListView>), (status = 401, body = Problem)))]
async fn code_lists(caller: Caller) -> Json<Vec<CodeListView>> {
    Json(caller.desk.code_lists())
}

#[utoipa::path(post, path = "/api/v1/lists", request_body = CodeListInput, responses((status = 200, body = Named), (status = 403, body = Problem), (status = 422, body = Problem)))]
async fn add_code_list(State(app): State<App>, caller: Caller, Body(input): Body<CodeListInput>) -> Answer<Named> {
    at_desk(&app, move || caller.desk.add_code_list(&input).map(|name| Named { name })).await
}

#[utoipa::path(get, path = "/api/v1/lists/{list}", params(("list" = String, Path), ("text" = Option<String>, Query)), responses((status = 200, body = Vec<TermView>), (status = 404, body = Problem)))]
async fn terms(
    State(app): State<App>,
    caller: Caller,
    Path(list): Path<String>,
    Query(search): Query<TermSearch>,
) -> Answer<Vec<TermView>> {
    at_desk(&app, move || caller.desk.terms(&list, &search.text)).await
}

#[utoipa::path(put, path = "/api/v1/lists/{list}", params(("list" = String, Path)), request_body = TermInput, responses((status = 200, body = Named), (status = 403, body = Problem), (status = 404, body = Problem), (status = 422, body = Problem)))]
async fn put_term(
    State(app): State<App>,
    caller: Caller,
    Path(list): Path<String>,
    Body(input): Body<TermInput>,
) -> Answer<Named> {
    at_desk(&app, move || caller.desk.put_term(&list, &input).map(|name| Named { name })).await
}

#[utoipa::path(post, path = "/api/v1/list-imports", request_body = ListsInput, responses((status = 200, body = ListsReport), (status = 403, body = Problem), (status = 422, body = Problem)))]
async fn import_lists(State(app): State<App>, caller: Caller, Body(input): Body<ListsInput>) -> Answer<ListsReport> {
    at_desk(&app, move || {
        let read = caller.desk.read_lists(&input.mapping, input.file.as_bytes())?;
        caller.desk.import_lists(&read, input.dry_run)
    })
    .await
}

#[utoipa::path(get, path = "/api/v1/forms", responses((status = 200, body = Vec<Form>), (status = 401, body = Problem)))]
async fn all_forms(caller: Caller) -> Json<Vec<Form>> {
    Json(caller.desk.all_forms().iter().map(|form| Form::clone(form)).collect())
}

#[utoipa::path(post, path = "/api/v1/forms", request_body = FormInput, responses((status = 200, body = Named), (status = 403, body = Problem), (status = 422, body = Problem)))]
async fn add_form(State(app): State<App>, caller: Caller, Body(input): Body<FormInput>) -> Answer<Named> {
    at_desk(&app, move || caller.desk.put_form(None, &input).map(|name| Named { name })).await
}

#[utoipa::path(put, path = "/api/v1/forms/{form}", params(("form" = String, Path)), request_body = FormInput, responses((status = 200, body = Named), (status = 403, body = Problem), (status = 404, body = Problem), (status = 409, body = Problem), (status = 422, body = Problem)))]
async fn change_form(
    State(app): State<App>,
    caller: Caller,
    Path(form): Path<String>,
    Body(input): Body<FormInput>,
) -> Answer<Named> {
    at_desk(&app, move || caller.desk.put_form(Some(&form), &input).map(|name| Named { name })).await
}

pub(super) fn routes() -> Router<App> {
    Router::new()
        .route("/lists", get(code_lists).post(add_code_list))
        .route("/lists/{list}", get(terms).put(put_term))
        .route("/lists/{list}/{code}/cases", post(tag_cases))
        .route("/lists/{list}/{code}/cases/search", post(cases_to_tag))
        .route("/forms", get(all_forms).post(add_form))
        .route("/forms/{form}", put(change_form))
}

/// Calls that bring much.
pub(super) fn long_routes() -> Router<App> {
    Router::new().route("/list-imports", post(import_lists))
}

/// What is looked for in cases of before.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct WordsInput {
    /// Words that stand in a summary or an entry.
    words: String,
}

/// Cases that get a code.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TaggedInput {
    /// Which.
    #[schema(value_type = Vec<String>)]
    cases: Vec<RecordId>,
}

/// Cases whose summary or entries hold these words, and that do not have the code yet.
#[utoipa::path(post, path = "/api/v1/lists/{list}/{code}/cases/search", params(("list" = String, Path), ("code" = String, Path)), request_body = WordsInput, responses((status = 200, body = Vec<TagCandidate>), (status = 403, body = Problem), (status = 404, body = Problem), (status = 422, body = Problem)))]
async fn cases_to_tag(
    State(app): State<App>,
    Path((list, code)): Path<(String, String)>,
    caller: Caller,
    Body(looked): Body<WordsInput>,
) -> Answer<Vec<TagCandidate>> {
    at_desk(&app, move || caller.desk.cases_to_tag(&list, &code, &looked.words).map(|(found, _)| found)).await
}

/// Gives cases a code.
#[utoipa::path(post, path = "/api/v1/lists/{list}/{code}/cases", params(("list" = String, Path), ("code" = String, Path)), request_body = TaggedInput, responses((status = 200, body = Done), (status = 403, body = Problem), (status = 404, body = Problem), (status = 409, body = Problem), (status = 422, body = Problem)))]
async fn tag_cases(
    State(app): State<App>,
    Path((list, code)): Path<(String, String)>,
    caller: Caller,
    Body(input): Body<TaggedInput>,
) -> Answer<Done> {
    at_desk(&app, move || caller.desk.tag_cases(&list, &code, &input.cases).map(|_| Done { done: true })).await
}

#[derive(utoipa::OpenApi)]
#[openapi(paths(
    code_lists,
    add_code_list,
    terms,
    put_term,
    cases_to_tag,
    tag_cases,
    import_lists,
    all_forms,
    add_form,
    change_form
))]
pub(super) struct Document;
