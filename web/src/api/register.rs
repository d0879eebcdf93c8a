//! Calls about the desk register.

use super::{Answer, Body, Caller, DONE, Done, Made, Path, Problem, Query, Reason, at_desk};
use crate::App;
use axum::Router;
use axum::extract::State;
use axum::routing::{get, post};
use casemesh_node::office::{PersonHit, RegisterInput, RegisterView};
use casemesh_protocol::id::RecordId;
use casemesh_protocol::time::Day;
use serde::Deserialize;
use utoipa::ToSchema;

/// Which lines.
#[derive(Deserialize)]
struct Lines {
    day: Option<Day>,
}

/// For whom a case is opened.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
struct Visitor {
    /// A person who is registered; the visitor becomes a new one where there is none.
    #[schema(value_type = Option<String>)]
    person: Option<RecordId>,
}

/// The lines of a day; the latest ones where no day is asked for.
#[utoipa::path(get, path = "/api/v1/register", params(("day" = Option<String>, Query)), responses((status = 200, body = Vec<RegisterView>), (status = 401, body = Problem), (status = 403, body = Problem), (status = 422, body = Problem)))]
async fn register(State(app): State<App>, caller: Caller, Query(lines): Query<Lines>) -> Answer<Vec<RegisterView>> {
    at_desk(&app, move || caller.desk.register(lines.day)).await
}

#[utoipa::path(post, path = "/api/v1/register", request_body = RegisterInput, responses((status = 200, body = Made), (status = 422, body = Problem)))]
async fn add_line(State(app): State<App>, caller: Caller, Body(input): Body<RegisterInput>) -> Answer<Made> {
    at_desk(&app, move || caller.desk.add_line(input).map(|id| Made { id })).await
}

#[utoipa::path(get, path = "/api/v1/register/{id}", params(("id" = String, Path)), responses((status = 200, body = RegisterView), (status = 404, body = Problem)))]
async fn line(State(app): State<App>, Path(id): Path<RecordId>, caller: Caller) -> Answer<RegisterView> {
    at_desk(&app, move || caller.desk.line(id)).await
}

#[utoipa::path(put, path = "/api/v1/register/{id}", params(("id" = String, Path)), request_body = RegisterInput, responses((status = 200, body = Done), (status = 404, body = Problem), (status = 409, body = Problem), (status = 422, body = Problem)))]
async fn change_line(
    State(app): State<App>,
    Path(id): Path<RecordId>,
    caller: Caller,
    Body(input): Body<RegisterInput>,
) -> Answer<Done> {
    at_desk(&app, move || caller.desk.change_line(id, &input).map(|()| DONE)).await
}

/// Persons who may be the visitor.
#[utoipa::path(get, path = "/api/v1/register/{id}/persons", params(("id" = String, Path)), responses((status = 200, body = Vec<PersonHit>), (status = 404, body = Problem)))]
async fn line_persons(State(app): State<App>, Path(id): Path<RecordId>, caller: Caller) -> Answer<Vec<PersonHit>> {
    at_desk(&app, move || caller.desk.line_persons(id)).await
}

#[utoipa::path(post, path = "/api/v1/register/{id}/consult", params(("id" = String, Path)), responses((status = 200, body = Done), (status = 404, body = Problem), (status = 409, body = Problem)))]
async fn line_to_consult(State(app): State<App>, Path(id): Path<RecordId>, caller: Caller) -> Answer<Done> {
    at_desk(&app, move || caller.desk.line_to_consult(id).map(|()| DONE)).await
}

#[utoipa::path(post, path = "/api/v1/register/{id}/case", params(("id" = String, Path)), request_body = Visitor, responses((status = 200, body = Made), (status = 404, body = Problem), (status = 409, body = Problem)))]
async fn line_to_case(
    State(app): State<App>,
    Path(id): Path<RecordId>,
    caller: Caller,
    Body(visitor): Body<Visitor>,
) -> Answer<Made> {
    at_desk(&app, move || caller.desk.line_to_case(id, visitor.person).map(|id| Made { id })).await
}

#[utoipa::path(post, path = "/api/v1/register/{id}/turn-away", params(("id" = String, Path)), request_body = Reason, responses((status = 200, body = Done), (status = 404, body = Problem), (status = 422, body = Problem)))]
async fn turn_away(
    State(app): State<App>,
    Path(id): Path<RecordId>,
    caller: Caller,
    Body(input): Body<Reason>,
) -> Answer<Done> {
    at_desk(&app, move || caller.desk.line_turned_away(id, &input.reason).map(|()| DONE)).await
}

pub(super) fn routes() -> Router<App> {
    Router::new()
        .route("/register", get(register).post(add_line))
        .route("/register/{id}", get(line).put(change_line))
        .route("/register/{id}/persons", get(line_persons))
        .route("/register/{id}/consult", post(line_to_consult))
        .route("/register/{id}/case", post(line_to_case))
        .route("/register/{id}/turn-away", post(turn_away))
}

#[derive(utoipa::OpenApi)]
#[openapi(paths(register, add_line, line, change_line, line_persons, line_to_consult, line_to_case, turn_away))]
pub(super) struct Document;
