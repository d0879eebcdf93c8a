//! The JSON API: the same operations as the pages, for programs. A call carries `Authorization: Bearer TOKEN`
//! from `POST /api/v1/sign-in`; a page's cookie does not count here. Errors are problem documents
//! (RFC 9457) with the fields that are wrong.

mod access;
mod figures;
mod history;
mod network;
mod outside;
mod overriding;
mod oversight;
mod people;
mod register;
mod samples;
mod vocabulary;

use crate::App;
use axum::extract::rejection::JsonRejection;
use axum::extract::{DefaultBodyLimit, FromRequest, FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use axum::{Json, Router};
use casemesh_crypto::passphrase::Cost;
use casemesh_node::node::{Knock, SignInError};
use casemesh_node::office::{
    ActionInput, ActionView, AgreementView, AnswerInput, AnsweringInput, CaseChange, CaseFilter, CaseInput,
    CaseSummary, CaseView, ClosureInput, CollectedView, CommentInput, ConsentInput, Desk, DeskError, FieldProblem,
    HomeView, ImportError, ImportReport, ImportView, LogCheck, LogFilter, LogView, Mapping, PartnerView, PatternView,
    PaymentInput, PersonHit, PersonInput, PersonView, ProposalInput, ProposalView, ReferralInput, ReferralSummary,
    ReferralView, SettingsInput, SharePreview, StaffInput, StaffView, StandingInput, TablePreview, TaskChange,
    TaskFilter, TaskInput, TaskView, Undone,
};
use casemesh_node::policy::{Ask, Denied};
use casemesh_node::records::TaskState;
use casemesh_node::session::{Origin, Part, Scope};
use casemesh_protocol::id::{RecordId, StaffId};
use casemesh_protocol::time::{Day, Period};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use utoipa::{OpenApi, ToSchema};

/// Longest table and mapping that come in one call; a longer table is imported while the node does not run.
const IMPORT_BYTES_MAX: usize = 64 * 1024 * 1024;

/// A problem document.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub(crate) struct Problem {
    /// Which problem, as a key.
    #[serde(rename = "type")]
    pub(crate) kind: String,
    /// One sentence.
    pub(crate) title: String,
    /// The HTTP status.
    pub(crate) status: u16,
    /// Fields that are missing or wrong.
    pub(crate) fields: Vec<FieldProblem>,
}

impl Problem {
    fn new(status: StatusCode, kind: &str, title: impl Into<String>) -> Self {
        Self { kind: kind.into(), title: title.into(), status: status.as_u16(), fields: Vec::new() }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, Json(self)).into_response();
        let kind = axum::http::HeaderValue::from_static("application/problem+json");
        response.headers_mut().insert(header::CONTENT_TYPE, kind);
        response
    }
}

impl From<DeskError> for Problem {
    fn from(error: DeskError) -> Self {
        let status = match &error {
            DeskError::Denied(_) => StatusCode::FORBIDDEN,
            DeskError::NotFound => StatusCode::NOT_FOUND,
            DeskError::Invalid(_) => StatusCode::UNPROCESSABLE_ENTITY,
            DeskError::Vault(casemesh_node::vault::VaultError::Conflict) => StatusCode::CONFLICT,
            DeskError::Vault(_) => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::CONFLICT,
        };
        let mut problem = Self::new(status, error.key(), error.to_string());
        if let DeskError::Invalid(fields) = error {
            problem.fields = fields;
        }
        problem
    }
}

/// A program at somebody's desk.
pub(crate) struct Caller {
    pub(crate) desk: Desk,
    token: String,
}

impl FromRequestParts<App> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let header = parts.headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let token = header.and_then(|value| value.strip_prefix("Bearer ")).map(str::to_owned);
        let signed = token.and_then(|token| app.node.desk(&token).map(|desk| Self { desk, token }));
        let caller = signed.ok_or_else(|| {
            Problem::new(StatusCode::UNAUTHORIZED, "error-sign-in", "sign in first: POST /api/v1/sign-in")
        })?;
        let is_way = ["/account/password", "/sign-out"].iter().any(|end| parts.uri.path().ends_with(end));
        if !is_way && caller.desk.must_change_password() {
            let title = "choose a password of your own first: POST /api/v1/account/password";
            return Err(Problem::new(StatusCode::FORBIDDEN, "error-first-password", title));
        }
        if let Some(part) = part_of(parts.uri.path())
            && !app.node.covers(&caller.token, part, writes(&parts.method, parts.uri.path()))
        {
            let title = format!("this token is not good for that; sign in with a scope of {part}");
            return Err(Problem::new(StatusCode::FORBIDDEN, "error-scope", title));
        }
        Ok(caller)
    }
}

/// Calls that any token may make.
const FOR_ANY_TOKEN: &[&str] = &["session", "sign-in", "sign-out", "openapi.json"];

/// The part of the API that a call belongs to; none for those that any token may make. What is in no list belongs to the
/// office.
fn part_of(path: &str) -> Option<Part> {
    let path = path.strip_prefix("/api/v1").unwrap_or(path);
    let first = path.trim_start_matches('/').split('/').next().unwrap_or_default();
    // What stands below a code is about cases.
    if first == "lists" && path.contains("/cases") {
        return Some(Part::Cases);
    }
    match first {
        "register" => Some(Part::Register),
        "people" | "families" | "duplicates" => Some(Part::People),
        "home" | "cases" | "tasks" | "grants" | "review" | "links" | "places" | "office" => Some(Part::Cases),
        "referrals" | "partners" | "network" => Some(Part::Referrals),
        "figures" | "indicators" | "reports" | "samples" | "agreements" | "tables" | "collected" | "areas"
        | "proposals" => Some(Part::Figures),
        free if FOR_ANY_TOKEN.contains(&free) => None,
        _ => Some(Part::Office),
    }
}

/// Whether a call changes anything. A search goes by POST so that no name stands in an address.
fn writes(method: &Method, path: &str) -> bool {
    let only_looks =
        ["/people/search", "/referral-preview", "/more-preview", "/cases/search"].iter().any(|end| path.ends_with(end));
    method != Method::GET && !only_looks
}

/// Somebody who may import: asked before their table is read.
struct Importer(Caller);

impl FromRequestParts<App> for Importer {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let caller = Caller::from_request_parts(parts, app).await?;
        if caller.desk.may(Ask::Import) { Ok(Self(caller)) } else { Err(DeskError::Denied(Denied).into()) }
    }
}

/// A JSON body; what is wrong with it is said, not guessed.
struct Body<T>(T);

impl<T: DeserializeOwned> FromRequest<App> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &App) -> Result<Self, Problem> {
        match Json::<T>::from_request(request, app).await {
            Ok(Json(value)) => Ok(Self(value)),
            Err(rejection) => {
                let status = match &rejection {
                    JsonRejection::JsonDataError(_) => StatusCode::UNPROCESSABLE_ENTITY,
                    other => other.status(),
                };
                Err(Problem::new(status, "error-invalid", rejection.body_text()))
            }
        }
    }
}

/// What stands in the path; what cannot be read there names nothing.
pub(crate) struct Path<T>(pub(crate) T);

impl<T: DeserializeOwned + Send> FromRequestParts<App> for Path<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        match axum::extract::Path::<T>::from_request_parts(parts, app).await {
            Ok(axum::extract::Path(value)) => Ok(Self(value)),
            Err(_) => Err(DeskError::NotFound.into()),
        }
    }
}

/// What stands behind the question mark.
pub(crate) struct Query<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequestParts<App> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        match axum::extract::Query::<T>::from_request_parts(parts, app).await {
            Ok(axum::extract::Query(value)) => Ok(Self(value)),
            Err(rejection) => {
                Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "error-invalid", rejection.body_text()))
            }
        }
    }
}

pub(crate) type Answer<T> = Result<Json<T>, Problem>;

async fn at_desk<T: Send + 'static>(
    app: &App,
    work: impl FnOnce() -> Result<T, DeskError> + Send + 'static,
) -> Answer<T> {
    Ok(Json(app.run(work).await?))
}

/// Name and password.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SignIn {
    /// The name to sign in with.
    pub(crate) name: String,
    /// The password.
    pub(crate) password: String,
    /// The code of the second factor, if the account has one.
    #[serde(default)]
    pub(crate) code: String,
    /// What the token is to be good for, of what the account may: `register`, `people`, `cases`, `referrals`, `figures` or
    /// `office`, then `:read` or `:write`. All of it when empty.
    #[serde(default)]
    pub(crate) scopes: Vec<String>,
}

/// A session.
#[derive(Serialize, ToSchema)]
pub(crate) struct Session {
    /// To send as `Authorization: Bearer TOKEN`.
    pub(crate) token: String,
}

/// The id of what was made.
#[derive(Serialize, ToSchema)]
pub(crate) struct Made {
    /// Its id.
    #[schema(value_type = String)]
    pub(crate) id: RecordId,
}

/// Done; there is nothing more to say.
#[derive(Serialize, ToSchema)]
pub(crate) struct Done {
    /// True; or false, when it waits for another person's approval.
    pub(crate) done: bool,
}

const DONE: Done = Done { done: true };

/// A search.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Search {
    /// Name in any spelling, telephone, document number, year of birth.
    pub(crate) text: String,
}

/// A reason.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Reason {
    /// Its code.
    pub(crate) reason: String,
}

/// A new case.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewCase {
    /// Whose.
    #[schema(value_type = Vec<String>)]
    pub(crate) clients: Vec<RecordId>,
    /// What is known of it.
    #[serde(default)]
    pub(crate) case: CaseInput,
}

/// A changed person.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ChangedPerson {
    /// The revision that was read.
    pub(crate) revision: u64,
    /// The whole person.
    pub(crate) person: PersonInput,
}

/// Days from the first to the last.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Days {
    /// The first day.
    #[schema(value_type = String)]
    pub(crate) from: Day,
    /// The last day.
    #[schema(value_type = String)]
    pub(crate) to: Day,
    /// Of which agreement; of the first where none is named.
    #[serde(default)]
    pub(crate) agreement: String,
    /// What the preview said in `seen`: that table leaves, and no other.
    #[serde(default)]
    pub(crate) seen: Option<String>,
}

/// A finished table of another system.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct FinishedInput {
    /// The first day.
    #[schema(value_type = String)]
    from: Day,
    /// The last day.
    #[schema(value_type = String)]
    to: Day,
    /// Of which agreement; of the first where none is named.
    #[serde(default)]
    agreement: String,
    /// The table as CSV: `figure`, `class`, `second_class`, `value`, `of`.
    table: String,
    /// What the preview said in `seen`; empty in a question for the preview.
    #[serde(default)]
    seen: String,
}

/// The period of two days.
fn period(from: Day, to: Day) -> Result<Period, Problem> {
    Period::new(from, to).ok_or_else(|| {
        Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "error-invalid", "the period ends before it starts")
    })
}

impl Days {
    fn period(&self) -> Result<Period, Problem> {
        period(self.from, self.to)
    }
}

/// A page of cases.
#[derive(Serialize, ToSchema)]
pub(crate) struct Cases {
    /// The cases of the page.
    pub(crate) cases: Vec<CaseSummary>,
    /// How many there are on all pages.
    pub(crate) total: usize,
}

/// Referrals of one direction.
#[derive(Deserialize)]
struct Direction {
    #[serde(default)]
    outgoing: bool,
}

#[utoipa::path(post, path = "/api/v1/sign-in", request_body = SignIn, responses((status = 200, body = Session), (status = 401, body = Problem), (status = 422, body = Problem), (status = 429, body = Problem), (status = 503, body = Problem)))]
async fn sign_in(State(app): State<App>, headers: HeaderMap, Body(input): Body<SignIn>) -> Answer<Session> {
    let node = app.node.clone();
    let label = headers.get(header::USER_AGENT).and_then(|label| label.to_str().ok()).unwrap_or_default().to_owned();
    let unknown = |why: String| Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "error-invalid", why);
    let scopes: Result<Vec<Scope>, String> = input.scopes.iter().map(|scope| scope.parse()).collect();
    let origin = Origin { label, scopes: scopes.map_err(unknown)?, ..Origin::of("api") };
    let knock = Knock { name: input.name, password: input.password, code: input.code, origin };
    let result = app.run(move || node.sign_in(&knock)).await;
    match result {
        Ok(token) => Ok(Json(Session { token })),
        Err(error) => Err(match error {
            SignInError::Wrong => Problem::new(StatusCode::UNAUTHORIZED, "sign-in-wrong", error.to_string()),
            SignInError::CodeNeeded => Problem::new(StatusCode::UNAUTHORIZED, "sign-in-code-needed", error.to_string()),
            SignInError::CodeWrong => Problem::new(StatusCode::UNAUTHORIZED, "sign-in-code-wrong", error.to_string()),
            SignInError::Wait(_) => Problem::new(StatusCode::TOO_MANY_REQUESTS, "sign-in-wait", error.to_string()),
            SignInError::Node(_) => Problem::new(StatusCode::SERVICE_UNAVAILABLE, "sign-in-failed", error.to_string()),
        }),
    }
}

#[utoipa::path(post, path = "/api/v1/sign-out", responses((status = 200, body = Done), (status = 401, body = Problem)))]
async fn sign_out(State(app): State<App>, caller: Caller) -> Json<Done> {
    app.node.sign_out(&caller.token);
    Json(DONE)
}

#[utoipa::path(get, path = "/api/v1/home", responses((status = 200, body = HomeView), (status = 401, body = Problem)))]
async fn home(State(app): State<App>, caller: Caller) -> Answer<HomeView> {
    at_desk(&app, move || caller.desk.home()).await
}

/// A search is a POST, so that no name stands in an address or a log.
#[utoipa::path(post, path = "/api/v1/people/search", request_body = Search, responses((status = 200, body = Vec<PersonHit>), (status = 403, body = Problem)))]
async fn search(State(app): State<App>, caller: Caller, Body(input): Body<Search>) -> Answer<Vec<PersonHit>> {
    at_desk(&app, move || caller.desk.search(&input.text)).await
}

#[utoipa::path(post, path = "/api/v1/people", request_body = PersonInput, responses((status = 200, body = Made), (status = 422, body = Problem)))]
async fn register_person(State(app): State<App>, caller: Caller, Body(input): Body<PersonInput>) -> Answer<Made> {
    at_desk(&app, move || caller.desk.register_person(input).map(|id| Made { id })).await
}

#[utoipa::path(get, path = "/api/v1/people/{id}", params(("id" = String, Path)), responses((status = 200, body = PersonView), (status = 404, body = Problem)))]
async fn person(State(app): State<App>, Path(id): Path<RecordId>, caller: Caller) -> Answer<PersonView> {
    at_desk(&app, move || caller.desk.person(id)).await
}

#[utoipa::path(put, path = "/api/v1/people/{id}", params(("id" = String, Path)), request_body = ChangedPerson, responses((status = 200, body = Done), (status = 404, body = Problem), (status = 409, body = Problem), (status = 422, body = Problem)))]
async fn change_person(
    State(app): State<App>,
    Path(id): Path<RecordId>,
    caller: Caller,
    Body(input): Body<ChangedPerson>,
) -> Answer<Done> {
    at_desk(&app, move || caller.desk.change_person(id, input.revision, input.person).map(|()| DONE)).await
}

#[utoipa::path(post, path = "/api/v1/people/{id}/consents", params(("id" = String, Path)), request_body = ConsentInput, responses((status = 200, body = Made), (status = 404, body = Problem), (status = 422, body = Problem)))]
async fn record_consent(
    State(app): State<App>,
    Path(id): Path<RecordId>,
    caller: Caller,
    Body(input): Body<ConsentInput>,
) -> Answer<Made> {
    at_desk(&app, move || caller.desk.record_consent(id, input).map(|id| Made { id })).await
}

#[utoipa::path(post, path = "/api/v1/people/{id}/consents/{consent}/withdraw", params(("id" = String, Path), ("consent" = String, Path)), responses((status = 200, body = Done), (status = 404, body = Problem)))]
async fn withdraw_consent(
    State(app): State<App>,
    Path((id, consent)): Path<(RecordId, RecordId)>,
    caller: Caller,
) -> Answer<Done> {
    at_desk(&app, move || caller.desk.withdraw_consent(id, consent).map(|()| DONE)).await
}

#[utoipa::path(get, path = "/api/v1/cases", params(("mine" = Option<bool>, Query), ("closed" = Option<bool>, Query), ("stale" = Option<bool>, Query), ("unassigned" = Option<bool>, Query), ("owner" = Option<String>, Query), ("case_type" = Option<String>, Query), ("page" = Option<usize>, Query)), responses((status = 200, body = Cases), (status = 403, body = Problem)))]
async fn cases(State(app): State<App>, caller: Caller, Query(filter): Query<CaseFilter>) -> Answer<Cases> {
    at_desk(&app, move || caller.desk.cases(&filter).map(|(cases, total)| Cases { cases, total })).await
}

#[utoipa::path(post, path = "/api/v1/cases", request_body = NewCase, responses((status = 200, body = Made), (status = 404, body = Problem), (status = 422, body = Problem)))]
async fn open_case(State(app): State<App>, caller: Caller, Body(input): Body<NewCase>) -> Answer<Made> {
    at_desk(&app, move || caller.desk.open_case(input.clients, input.case).map(|id| Made { id })).await
}

#[utoipa::path(get, path = "/api/v1/cases/{id}", params(("id" = String, Path)), responses((status = 200, body = CaseView), (status = 404, body = Problem)))]
async fn case(State(app): State<App>, Path(id): Path<RecordId>, caller: Caller) -> Answer<CaseView> {
    at_desk(&app, move || caller.desk.case(id)).await
}

#[utoipa::path(put, path = "/api/v1/cases/{id}", params(("id" = String, Path)), request_body = CaseChange, responses((status = 200, body = Done), (status = 403, body = Problem), (status = 404, body = Problem), (status = 409, body = Problem), (status = 422, body = Problem)))]
async fn change_case(
    State(app): State<App>,
    Path(id): Path<RecordId>,
    caller: Caller,
    Body(input): Body<CaseChange>,
) -> Answer<Done> {
    at_desk(&app, move || caller.desk.change_case_details(id, &input).map(|()| DONE)).await
}

#[utoipa::path(post, path = "/api/v1/cases/{id}/actions", params(("id" = String, Path)), request_body = ActionInput, responses((status = 200, body = Made), (status = 403, body = Problem), (status = 404, body = Problem), (status = 422, body = Problem)))]
async fn add_action(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<RecordId>,
    Body(input): Body<ActionInput>,
) -> Answer<Made> {
    at_desk(&app, move || caller.desk.add_action(id, &input).map(|id| Made { id })).await
}

#[utoipa::path(post, path = "/api/v1/people/{id}/entries", params(("id" = String, Path)), request_body = ActionInput, responses((status = 200, body = Made), (status = 403, body = Problem), (status = 404, body = Problem), (status = 422, body = Problem)))]
async fn add_person_entry(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<RecordId>,
    Body(input): Body<ActionInput>,
) -> Answer<Made> {
    at_desk(&app, move || caller.desk.add_person_entry(id, &input).map(|id| Made { id })).await
}

#[utoipa::path(get, path = "/api/v1/office/entries", responses((status = 200, body = Vec<ActionView>), (status = 403, body = Problem)))]
async fn office_entries(State(app): State<App>, caller: Caller) -> Answer<Vec<ActionView>> {
    at_desk(&app, move || caller.desk.office_entries()).await
}

#[utoipa::path(post, path = "/api/v1/office/entries", request_body = ActionInput, responses((status = 200, body = Made), (status = 403, body = Problem), (status = 422, body = Problem)))]
async fn add_office_entry(State(app): State<App>, caller: Caller, Body(input): Body<ActionInput>) -> Answer<Made> {
    at_desk(&app, move || caller.desk.add_office_entry(&input).map(|id| Made { id })).await
}

#[utoipa::path(get, path = "/api/v1/tasks", params(("mine" = Option<bool>, Query), ("page" = Option<usize>, Query)), responses((status = 200, body = Vec<TaskView>), (status = 403, body = Problem)))]
async fn tasks(State(app): State<App>, caller: Caller, Query(filter): Query<TaskFilter>) -> Answer<Vec<TaskView>> {
    at_desk(&app, move || caller.desk.tasks(&filter).map(|(tasks, _)| tasks)).await
}

#[utoipa::path(post, path = "/api/v1/cases/{id}/tasks", params(("id" = String, Path)), request_body = TaskInput, responses((status = 200, body = Made), (status = 403, body = Problem), (status = 404, body = Problem), (status = 422, body = Problem)))]
async fn add_task(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<RecordId>,
    Body(input): Body<TaskInput>,
) -> Answer<Made> {
    at_desk(&app, move || caller.desk.add_task(id, &input).map(|id| Made { id })).await
}

/// How a task ended.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Settle {
    /// done or cancelled.
    state: TaskState,
}

#[utoipa::path(post, path = "/api/v1/tasks", request_body = TaskInput, responses((status = 200, body = Made), (status = 403, body = Problem), (status = 422, body = Problem)))]
async fn add_office_task(State(app): State<App>, caller: Caller, Body(input): Body<TaskInput>) -> Answer<Made> {
    at_desk(&app, move || caller.desk.add_office_task(&input).map(|id| Made { id })).await
}

#[utoipa::path(put, path = "/api/v1/tasks/{id}", params(("id" = String, Path)), request_body = TaskChange, responses((status = 200, body = Done), (status = 403, body = Problem), (status = 404, body = Problem), (status = 409, body = Problem), (status = 422, body = Problem)))]
async fn change_task(
    State(app): State<App>,
    Path(id): Path<RecordId>,
    caller: Caller,
    Body(input): Body<TaskChange>,
) -> Answer<Done> {
    at_desk(&app, move || caller.desk.change_task(id, &input).map(|()| DONE)).await
}

#[utoipa::path(post, path = "/api/v1/tasks/{id}/settle", params(("id" = String, Path)), request_body = Settle, responses((status = 200, body = Done), (status = 403, body = Problem), (status = 404, body = Problem), (status = 409, body = Problem)))]
async fn settle_task(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<RecordId>,
    Body(settle): Body<Settle>,
) -> Answer<Done> {
    at_desk(&app, move || caller.desk.settle_task(id, settle.state).map(|()| DONE)).await
}

#[utoipa::path(post, path = "/api/v1/cases/{id}/state", params(("id" = String, Path)), request_body = StandingInput, responses((status = 200, body = Done), (status = 403, body = Problem), (status = 404, body = Problem), (status = 422, body = Problem)))]
async fn set_case_state(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<RecordId>,
    Body(input): Body<StandingInput>,
) -> Answer<Done> {
    at_desk(&app, move || caller.desk.set_case_state(id, &input).map(|()| DONE)).await
}

/// Who is to be responsible.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Owner {
    /// A member of staff.
    #[schema(value_type = String)]
    owner: StaffId,
}

#[utoipa::path(post, path = "/api/v1/cases/{id}/owner", params(("id" = String, Path)), request_body = Owner, responses((status = 200, body = Done), (status = 403, body = Problem), (status = 404, body = Problem), (status = 422, body = Problem)))]
async fn assign_case(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<RecordId>,
    Body(owner): Body<Owner>,
) -> Answer<Done> {
    at_desk(&app, move || caller.desk.assign_case(id, owner.owner).map(|()| DONE)).await
}

#[utoipa::path(post, path = "/api/v1/cases/{id}/payments", params(("id" = String, Path)), request_body = PaymentInput, responses((status = 200, body = Made), (status = 404, body = Problem), (status = 422, body = Problem)))]
async fn add_payment(
    State(app): State<App>,
    Path(id): Path<RecordId>,
    caller: Caller,
    Body(input): Body<PaymentInput>,
) -> Answer<Made> {
    at_desk(&app, move || caller.desk.add_payment(id, input).map(|id| Made { id })).await
}

#[utoipa::path(post, path = "/api/v1/cases/{id}/close", params(("id" = String, Path)), request_body = ClosureInput, responses((status = 200, body = Done), (status = 404, body = Problem), (status = 422, body = Problem)))]
async fn close_case(
    State(app): State<App>,
    Path(id): Path<RecordId>,
    caller: Caller,
    Body(input): Body<ClosureInput>,
) -> Answer<Done> {
    at_desk(&app, move || caller.desk.close_case(id, &input).map(|()| DONE)).await
}

#[utoipa::path(post, path = "/api/v1/cases/{id}/referral-preview", params(("id" = String, Path)), request_body = ReferralInput, responses((status = 200, body = SharePreview), (status = 404, body = Problem), (status = 409, body = Problem), (status = 422, body = Problem)))]
async fn preview_referral(
    State(app): State<App>,
    Path(id): Path<RecordId>,
    caller: Caller,
    Body(input): Body<ReferralInput>,
) -> Answer<SharePreview> {
    at_desk(&app, move || caller.desk.preview_referral(id, &input)).await
}

#[utoipa::path(post, path = "/api/v1/cases/{id}/referrals", params(("id" = String, Path)), request_body = ReferralInput, responses((status = 200, body = Made), (status = 404, body = Problem), (status = 409, body = Problem), (status = 422, body = Problem)))]
async fn send_referral(
    State(app): State<App>,
    Path(id): Path<RecordId>,
    caller: Caller,
    Body(input): Body<ReferralInput>,
) -> Answer<Made> {
    at_desk(&app, move || caller.desk.send_referral(id, input).map(|id| Made { id })).await
}

#[utoipa::path(post, path = "/api/v1/cases/{id}/hand-over", params(("id" = String, Path)), request_body = ReferralInput, responses((status = 200, body = Done), (status = 403, body = Problem), (status = 404, body = Problem), (status = 409, body = Problem), (status = 422, body = Problem)))]
async fn ask_to_hand_over(
    State(app): State<App>,
    Path(id): Path<RecordId>,
    caller: Caller,
    Body(input): Body<ReferralInput>,
) -> Answer<Done> {
    at_desk(&app, move || caller.desk.ask_to_hand_over(id, &input).map(|()| DONE)).await
}

#[utoipa::path(get, path = "/api/v1/referrals", params(("outgoing" = Option<bool>, Query)), responses((status = 200, body = Vec<ReferralSummary>), (status = 403, body = Problem)))]
async fn referrals(
    State(app): State<App>,
    caller: Caller,
    Query(direction): Query<Direction>,
) -> Answer<Vec<ReferralSummary>> {
    at_desk(&app, move || caller.desk.referrals(direction.outgoing)).await
}

#[utoipa::path(get, path = "/api/v1/referrals/{id}", params(("id" = String, Path)), responses((status = 200, body = ReferralView), (status = 404, body = Problem)))]
async fn referral(State(app): State<App>, Path(id): Path<RecordId>, caller: Caller) -> Answer<ReferralView> {
    at_desk(&app, move || caller.desk.referral(id)).await
}

#[utoipa::path(post, path = "/api/v1/referrals/{id}/steps", params(("id" = String, Path)), request_body = AnswerInput, responses((status = 200, body = Done), (status = 404, body = Problem), (status = 409, body = Problem), (status = 422, body = Problem)))]
async fn answer(
    State(app): State<App>,
    Path(id): Path<RecordId>,
    caller: Caller,
    Body(input): Body<AnswerInput>,
) -> Answer<Done> {
    at_desk(&app, move || caller.desk.answer(id, input).map(|()| DONE)).await
}

/// Takes a referral back that has not gone yet.
#[utoipa::path(post, path = "/api/v1/referrals/{id}/recall", params(("id" = String, Path)), responses((status = 200, body = Done), (status = 404, body = Problem), (status = 409, body = Problem)))]
async fn recall_referral(State(app): State<App>, Path(id): Path<RecordId>, caller: Caller) -> Answer<Done> {
    at_desk(&app, move || caller.desk.recall_referral(id).map(|()| DONE)).await
}

#[utoipa::path(post, path = "/api/v1/referrals/{id}/case", params(("id" = String, Path)), responses((status = 200, body = Made), (status = 404, body = Problem), (status = 409, body = Problem)))]
async fn referral_to_case(State(app): State<App>, Path(id): Path<RecordId>, caller: Caller) -> Answer<Made> {
    at_desk(&app, move || caller.desk.referral_to_case(id).map(|id| Made { id })).await
}

#[utoipa::path(get, path = "/api/v1/partners", responses((status = 200, body = Vec<PartnerView>), (status = 401, body = Problem)))]
async fn partners(State(app): State<App>, caller: Caller) -> Answer<Vec<PartnerView>> {
    at_desk(&app, move || Ok(caller.desk.partners())).await
}

#[utoipa::path(get, path = "/api/v1/tables", params(("from" = String, Query), ("to" = String, Query)), responses((status = 200, body = TablePreview), (status = 403, body = Problem)))]
async fn table_preview(State(app): State<App>, caller: Caller, Query(days): Query<Days>) -> Answer<TablePreview> {
    let period = days.period()?;
    at_desk(&app, move || caller.desk.table_preview(&days.agreement, period)).await
}

#[utoipa::path(get, path = "/api/v1/agreements", responses((status = 200, body = Vec<AgreementView>), (status = 403, body = Problem)))]
async fn agreements(State(app): State<App>, caller: Caller) -> Answer<Vec<AgreementView>> {
    at_desk(&app, move || caller.desk.agreements().map(|(all, _)| all)).await
}

#[utoipa::path(post, path = "/api/v1/agreements", request_body = AnsweringInput, responses((status = 200, body = Done), (status = 403, body = Problem), (status = 404, body = Problem), (status = 422, body = Problem)))]
async fn answer_agreement(State(app): State<App>, caller: Caller, Body(input): Body<AnsweringInput>) -> Answer<Done> {
    at_desk(&app, move || caller.desk.answer_agreement(&input).map(|()| Done { done: true })).await
}

#[utoipa::path(post, path = "/api/v1/tables", request_body = Days, responses((status = 200, body = Made), (status = 403, body = Problem), (status = 409, body = Problem), (status = 422, body = Problem)))]
async fn approve_table(State(app): State<App>, caller: Caller, Body(days): Body<Days>) -> Answer<Made> {
    let period = days.period()?;
    at_desk(&app, move || caller.desk.approve_table(&days.agreement, period, days.seen).map(|id| Made { id })).await
}

/// What a finished table of another system may tell, before it leaves.
#[utoipa::path(post, path = "/api/v1/tables/finished", request_body = FinishedInput, responses((status = 200, body = TablePreview), (status = 403, body = Problem), (status = 404, body = Problem), (status = 422, body = Problem)))]
async fn finished_preview(
    State(app): State<App>,
    caller: Caller,
    Body(input): Body<FinishedInput>,
) -> Answer<TablePreview> {
    let period = period(input.from, input.to)?;
    at_desk(&app, move || caller.desk.finished_preview(&input.agreement, period, input.table.as_bytes())).await
}

/// Sends a finished table, exactly as the preview showed it.
#[utoipa::path(post, path = "/api/v1/tables/finished/send", request_body = FinishedInput, responses((status = 200, body = Made), (status = 403, body = Problem), (status = 404, body = Problem), (status = 409, body = Problem), (status = 422, body = Problem)))]
async fn approve_finished(State(app): State<App>, caller: Caller, Body(input): Body<FinishedInput>) -> Answer<Made> {
    let period = period(input.from, input.to)?;
    let send = move || {
        let FinishedInput { agreement, table, seen, .. } = input;
        caller.desk.approve_finished(&agreement, period, (table.as_bytes(), seen)).map(|id| Made { id })
    };
    at_desk(&app, send).await
}

#[utoipa::path(get, path = "/api/v1/proposals", responses((status = 200, body = Vec<ProposalView>), (status = 403, body = Problem)))]
async fn proposals(State(app): State<App>, caller: Caller) -> Answer<Vec<ProposalView>> {
    at_desk(&app, move || caller.desk.proposals()).await
}

/// Proposes a text to every office of the network.
#[utoipa::path(post, path = "/api/v1/proposals", request_body = ProposalInput, responses((status = 200, body = Made), (status = 403, body = Problem), (status = 422, body = Problem)))]
async fn propose(State(app): State<App>, caller: Caller, Body(input): Body<ProposalInput>) -> Answer<Made> {
    at_desk(&app, move || caller.desk.propose(&input).map(|id| Made { id })).await
}

/// Says what this office thinks of a proposal.
#[utoipa::path(post, path = "/api/v1/proposals/{id}/comment", params(("id" = String, Path)), request_body = CommentInput, responses((status = 200, body = Done), (status = 403, body = Problem), (status = 404, body = Problem), (status = 422, body = Problem)))]
async fn comment(
    State(app): State<App>,
    Path(id): Path<RecordId>,
    caller: Caller,
    Body(input): Body<CommentInput>,
) -> Answer<Done> {
    at_desk(&app, move || caller.desk.comment(id, &input).map(|()| DONE)).await
}

/// What is reported in many offices at once.
#[utoipa::path(get, path = "/api/v1/collected/patterns", responses((status = 200, body = Vec<PatternView>), (status = 403, body = Problem)))]
async fn patterns(State(app): State<App>, caller: Caller) -> Answer<Vec<PatternView>> {
    at_desk(&app, move || caller.desk.patterns().map(|(all, _)| all)).await
}

/// Sends a collector's total to the collector above, exactly as it was seen.
#[utoipa::path(post, path = "/api/v1/collected", request_body = Days, responses((status = 200, body = Made), (status = 403, body = Problem), (status = 404, body = Problem), (status = 409, body = Problem), (status = 422, body = Problem)))]
async fn send_sum(State(app): State<App>, caller: Caller, Body(days): Body<Days>) -> Answer<Made> {
    let period = days.period()?;
    let seen = days.seen.unwrap_or_default();
    at_desk(&app, move || caller.desk.send_sum(&days.agreement, period, seen).map(|id| Made { id })).await
}

#[utoipa::path(get, path = "/api/v1/collected", params(("from" = String, Query), ("to" = String, Query)), responses((status = 200, body = CollectedView), (status = 403, body = Problem)))]
async fn collected(State(app): State<App>, caller: Caller, Query(days): Query<Days>) -> Answer<CollectedView> {
    let period = days.period()?;
    at_desk(&app, move || caller.desk.collected(&days.agreement, Some(period))).await
}

#[utoipa::path(get, path = "/api/v1/staff", responses((status = 200, body = Vec<StaffView>), (status = 403, body = Problem)))]
async fn staff(State(app): State<App>, caller: Caller) -> Answer<Vec<StaffView>> {
    at_desk(&app, move || caller.desk.staff_list()).await
}

#[utoipa::path(post, path = "/api/v1/staff", request_body = StaffInput, responses((status = 200, body = Done), (status = 403, body = Problem), (status = 422, body = Problem)))]
async fn add_staff(State(app): State<App>, caller: Caller, Body(input): Body<StaffInput>) -> Answer<Done> {
    at_desk(&app, move || caller.desk.add_staff(&input, Cost::FLOOR).map(|_| DONE)).await
}

#[utoipa::path(get, path = "/api/v1/log", params(("staff" = Option<String>, Query), ("before" = Option<u64>, Query)), responses((status = 200, body = LogView), (status = 403, body = Problem)))]
async fn log(State(app): State<App>, caller: Caller, Query(filter): Query<LogFilter>) -> Answer<LogView> {
    at_desk(&app, move || caller.desk.log(&filter)).await
}

#[utoipa::path(post, path = "/api/v1/log/check", responses((status = 200, body = LogCheck), (status = 403, body = Problem)))]
async fn check_log(State(app): State<App>, caller: Caller) -> Answer<LogCheck> {
    at_desk(&app, move || caller.desk.check_log()).await
}

/// Whose work goes to whom.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct HandOver {
    /// Who leaves.
    #[schema(value_type = String)]
    pub(crate) from: StaffId,
    /// Who takes over.
    #[schema(value_type = String)]
    pub(crate) to: StaffId,
}

#[utoipa::path(post, path = "/api/v1/staff/hand-over", request_body = HandOver, responses((status = 200, body = Done), (status = 403, body = Problem), (status = 422, body = Problem)))]
async fn hand_over(State(app): State<App>, caller: Caller, Body(input): Body<HandOver>) -> Answer<Done> {
    at_desk(&app, move || caller.desk.hand_over(input.from, input.to).map(|()| DONE)).await
}

#[utoipa::path(get, path = "/api/v1/settings", responses((status = 200, body = SettingsInput), (status = 403, body = Problem)))]
async fn settings(State(app): State<App>, caller: Caller) -> Answer<SettingsInput> {
    at_desk(&app, move || caller.desk.settings().map(SettingsInput::from)).await
}

#[utoipa::path(put, path = "/api/v1/settings", request_body = SettingsInput, responses((status = 200, body = Done), (status = 403, body = Problem), (status = 422, body = Problem)))]
async fn change_settings(State(app): State<App>, caller: Caller, Body(input): Body<SettingsInput>) -> Answer<Done> {
    at_desk(&app, move || caller.desk.change_settings(&input).map(|()| DONE)).await
}

/// Whose desk it is.
#[derive(Serialize, ToSchema)]
struct SessionView {
    /// The name.
    name: String,
    /// The office.
    office: String,
    /// Whether the office collects the totals of its network.
    is_collector: bool,
}

#[utoipa::path(get, path = "/api/v1/session", responses((status = 200, body = SessionView), (status = 401, body = Problem)))]
async fn session(caller: Caller) -> Json<SessionView> {
    let desk = caller.desk;
    Json(SessionView { name: desk.name().to_owned(), office: desk.office_name(), is_collector: desk.is_collector() })
}

/// Another system's table, and what its columns mean.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct ImportInput {
    /// The mapping file (TOML).
    mapping: String,
    /// The table (CSV).
    table: String,
    /// Say what would happen, and load nothing.
    dry_run: bool,
}

#[utoipa::path(get, path = "/api/v1/imports", responses((status = 200, body = Vec<ImportView>), (status = 403, body = Problem)))]
async fn imports(State(app): State<App>, caller: Caller) -> Answer<Vec<ImportView>> {
    at_desk(&app, move || caller.desk.imports()).await
}

#[utoipa::path(post, path = "/api/v1/imports", request_body = ImportInput, responses((status = 200, body = ImportReport), (status = 403, body = Problem), (status = 422, body = Problem)))]
async fn import(
    State(app): State<App>,
    Importer(caller): Importer,
    Body(input): Body<ImportInput>,
) -> Answer<ImportReport> {
    let unusable = |error: ImportError| match error {
        ImportError::Desk(error) => error.into(),
        other => Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "error-invalid", other.to_string()),
    };
    let work = move || {
        let reading = Mapping::parse(&input.mapping)?.read(input.table.as_bytes(), &caller.desk.vocabulary())?;
        let desk = &caller.desk;
        Ok(if input.dry_run { desk.check_import(&reading)? } else { desk.run_import(reading, |_| ())? })
    };
    app.run(work).await.map(Json).map_err(unusable)
}

#[utoipa::path(post, path = "/api/v1/imports/{id}/undo", params(("id" = String, Path)), responses((status = 200, body = Undone), (status = 403, body = Problem), (status = 404, body = Problem)))]
async fn undo_import(State(app): State<App>, caller: Caller, Path(id): Path<RecordId>) -> Answer<Undone> {
    at_desk(&app, move || caller.desk.undo_import(id)).await
}

async fn document() -> Json<serde_json::Value> {
    Json(serde_json::from_str(&openapi()).unwrap_or_default())
}

async fn no_such_method() -> Problem {
    let title = "this call is made with another method; see /api/v1/openapi.json";
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "error-method", title)
}

async fn no_such_call() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "error-not-found", "there is no such call; see /api/v1/openapi.json")
}

pub(crate) fn routes() -> Router<App> {
    let calls = Router::new()
        .route("/sign-in", post(sign_in))
        .route("/sign-out", post(sign_out))
        .route("/home", get(home))
        .route("/people/search", post(search))
        .route("/people", post(register_person))
        .route("/people/{id}", get(person).put(change_person))
        .route("/people/{id}/consents", post(record_consent))
        .route("/people/{id}/consents/{consent}/withdraw", post(withdraw_consent))
        .route("/cases", get(cases).post(open_case))
        .route("/cases/{id}", get(case).put(change_case))
        .route("/cases/{id}/actions", post(add_action))
        .route("/cases/{id}/tasks", post(add_task))
        .route("/cases/{id}/state", post(set_case_state))
        .route("/cases/{id}/owner", post(assign_case))
        .route("/people/{id}/entries", post(add_person_entry))
        .route("/office/entries", get(office_entries).post(add_office_entry))
        .route("/tasks", get(tasks).post(add_office_task))
        .route("/tasks/{id}", put(change_task))
        .route("/tasks/{id}/settle", post(settle_task))
        .route("/cases/{id}/payments", post(add_payment))
        .route("/cases/{id}/close", post(close_case))
        .route("/cases/{id}/referral-preview", post(preview_referral))
        .route("/cases/{id}/referrals", post(send_referral))
        .route("/cases/{id}/hand-over", post(ask_to_hand_over))
        .route("/referrals", get(referrals))
        .route("/referrals/{id}", get(referral))
        .route("/referrals/{id}/steps", post(answer))
        .route("/referrals/{id}/case", post(referral_to_case))
        .route("/referrals/{id}/recall", post(recall_referral))
        .route("/partners", get(partners))
        .route("/agreements", get(agreements).post(answer_agreement))
        .route("/tables", get(table_preview).post(approve_table))
        .route("/tables/finished", post(finished_preview))
        .route("/tables/finished/send", post(approve_finished))
        .route("/collected", get(collected).post(send_sum))
        .route("/collected/patterns", get(patterns))
        .route("/proposals", get(proposals).post(propose))
        .route("/proposals/{id}/comment", post(comment))
        .route("/staff", get(staff).post(add_staff))
        .route("/staff/hand-over", post(hand_over))
        .route("/settings", get(settings).put(change_settings))
        .route("/session", get(session))
        .route("/log", get(log))
        .route("/openapi.json", get(document))
        .merge(access::routes())
        .merge(history::routes())
        .merge(network::routes())
        .merge(outside::routes())
        .merge(oversight::routes())
        .merge(overriding::routes())
        .merge(people::routes())
        .merge(figures::routes())
        .merge(samples::routes())
        .merge(register::routes())
        .merge(vocabulary::routes())
        .method_not_allowed_fallback(no_such_method)
        .fallback(no_such_call);
    Router::new().nest("/api/v1", calls)
}

/// Calls that may take long and bring much.
pub(crate) fn long_routes() -> Router<App> {
    let calls = Router::new()
        .route("/imports", get(imports).post(import))
        .route("/imports/{id}/undo", post(undo_import))
        .route("/log/check", post(check_log))
        .merge(vocabulary::long_routes())
        .layer(DefaultBodyLimit::max(IMPORT_BYTES_MAX));
    Router::new().nest("/api/v1", calls)
}

#[derive(OpenApi)]
#[openapi(
    info(title = "Casemesh", description = "The API of one office's node. Sign in, then send the token as a bearer."),
    paths(
        sign_in,
        sign_out,
        home,
        search,
        register_person,
        person,
        change_person,
        record_consent,
        withdraw_consent,
        cases,
        open_case,
        case,
        change_case,
        add_action,
        add_person_entry,
        office_entries,
        add_office_entry,
        tasks,
        add_task,
        add_office_task,
        change_task,
        settle_task,
        set_case_state,
        assign_case,
        add_payment,
        close_case,
        preview_referral,
        send_referral,
        ask_to_hand_over,
        referrals,
        referral,
        answer,
        recall_referral,
        referral_to_case,
        partners,
        agreements,
        answer_agreement,
        table_preview,
        approve_table,
        finished_preview,
        approve_finished,
        send_sum,
        patterns,
        proposals,
        propose,
        comment,
        collected,
        staff,
        add_staff,
        hand_over,
        settings,
        change_settings,
        session,
        log,
        check_log,
        imports,
        import,
        undo_import
    )
)]
struct Document;

/// The OpenAPI document of the API, as `casemesh openapi` writes it.
pub fn openapi() -> String {
    let document = Document::openapi()
        .merge_from(access::Document::openapi())
        .merge_from(history::Document::openapi())
        .merge_from(network::Document::openapi())
        .merge_from(outside::Document::openapi())
        .merge_from(oversight::Document::openapi())
        .merge_from(overriding::Document::openapi())
        .merge_from(people::Document::openapi())
        .merge_from(figures::Document::openapi())
        .merge_from(samples::Document::openapi())
        .merge_from(register::Document::openapi())
        .merge_from(vocabulary::Document::openapi())
        .merge_from(crate::pages::areas::Document::openapi())
        .merge_from(crate::documents::Document::openapi());
    let mut document = serde_json::to_value(document).unwrap_or_default();
    let paths = document.get_mut("paths").and_then(serde_json::Value::as_object_mut);
    for (path, methods) in paths.into_iter().flatten() {
        let methods = methods.as_object_mut().into_iter().flatten();
        for operation in methods.filter_map(|(_, operation)| operation.as_object_mut()) {
            with_problems(operation, !path.ends_with("/sign-in"));
        }
    }
    if let Some(components) = document.get_mut("components").and_then(serde_json::Value::as_object_mut) {
        let bearer = serde_json::json!({ "token": { "type": "http", "scheme": "bearer" } });
        components.insert("securitySchemes".into(), bearer);
    }
    serde_json::to_string_pretty(&document).unwrap_or_default()
}

/// Says of an operation what holds for all of them: that it may answer with a problem document, and needs a token.
fn with_problems(operation: &mut serde_json::Map<String, serde_json::Value>, needs_token: bool) {
    if needs_token {
        operation.insert("security".into(), serde_json::json!([{ "token": [] }]));
    }
    let Some(responses) = operation.get_mut("responses").and_then(serde_json::Value::as_object_mut) else { return };
    for (_, response) in responses.iter_mut().filter(|(status, _)| !status.starts_with('2')) {
        if let Some(content) = response.get_mut("content").and_then(serde_json::Value::as_object_mut)
            && let Some(problem) = content.remove("application/json")
        {
            content.insert("application/problem+json".into(), problem);
        }
    }
    let schema = serde_json::json!({ "$ref": "#/components/schemas/Problem" });
    let content = serde_json::json!({ "application/problem+json": { "schema": schema } });
    let problem = serde_json::json!({ "description": "What is wrong, and what to do.", "content": content });
    responses.insert("default".into(), problem);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cases_are_of_the_scope_of_cases_also_below_a_list() {
        assert_eq!(part_of("/api/v1/lists/case_type/debt/cases/search"), Some(Part::Cases));
        assert_eq!(part_of("/api/v1/lists/case_type"), Some(Part::Office));
        assert!(!writes(&Method::POST, "/api/v1/lists/case_type/debt/cases/search"), "who searches changes nothing");
        assert!(writes(&Method::POST, "/api/v1/lists/case_type/debt/cases"));
        assert_eq!(part_of("/api/v1/proposals"), Some(Part::Figures));
    }

    #[test]
    fn the_document_names_every_route() {
        let document: serde_json::Value = serde_json::from_str(&openapi()).unwrap();
        let paths = document["paths"].as_object().unwrap();
        let sources = [
            include_str!("api.rs"),
            include_str!("api/access.rs"),
            include_str!("api/history.rs"),
            include_str!("api/network.rs"),
            include_str!("api/outside.rs"),
            include_str!("api/oversight.rs"),
            include_str!("api/overriding.rs"),
            include_str!("api/people.rs"),
            include_str!("api/figures.rs"),
            include_str!("api/samples.rs"),
            include_str!("api/register.rs"),
            include_str!("api/vocabulary.rs"),
        ];
        let routed = sources
            .into_iter()
            .flat_map(str::lines)
            .filter_map(|line| line.trim().strip_prefix(".route(\""))
            .filter_map(|rest| rest.split('"').next());
        for route in routed.filter(|route| *route != "/openapi.json") {
            assert!(paths.contains_key(&format!("/api/v1{route}")), "{route}");
        }
        assert!(paths.len() >= 25);
    }
}
