//! Calls about sample checks.

use super::{Answer, Body, Caller, DONE, Done, Made, Path, Problem, at_desk};
use crate::App;
use axum::Router;
use axum::extract::State;
use axum::routing::{get, post};
use casemesh_node::office::{SampleInput, SampleResultInput, SampleSheet, SampleView};
use casemesh_protocol::id::RecordId;
use serde::Deserialize;
use utoipa::ToSchema;

/// Whether an office takes part in a check.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct TakesPart {
    /// Whether it does.
    takes_part: bool,
    /// Why not; it stays in the office.
    #[serde(default)]
    reason: String,
}

#[utoipa::path(get, path = "/api/v1/samples", responses((status = 200, body = Vec<SampleView>), (status = 403, body = Problem)))]
async fn samples(State(app): State<App>, caller: Caller) -> Answer<Vec<SampleView>> {
    at_desk(&app, move || caller.desk.samples()).await
}

#[utoipa::path(post, path = "/api/v1/samples", request_body = SampleInput, responses((status = 200, body = Made), (status = 403, body = Problem), (status = 422, body = Problem)))]
async fn ask_sample(State(app): State<App>, caller: Caller, Body(input): Body<SampleInput>) -> Answer<Made> {
    at_desk(&app, move || caller.desk.ask_sample(&input).map(|id| Made { id })).await
}

#[utoipa::path(get, path = "/api/v1/samples/{id}", params(("id" = String, Path)), responses((status = 200, body = SampleSheet), (status = 403, body = Problem), (status = 404, body = Problem)))]
async fn sample_sheet(State(app): State<App>, Path(id): Path<RecordId>, caller: Caller) -> Answer<SampleSheet> {
    at_desk(&app, move || caller.desk.sample_sheet(id)).await
}

#[utoipa::path(post, path = "/api/v1/samples/{id}/answer", params(("id" = String, Path)), request_body = TakesPart, responses((status = 200, body = Done), (status = 403, body = Problem), (status = 404, body = Problem), (status = 409, body = Problem), (status = 422, body = Problem)))]
async fn answer_sample(
    State(app): State<App>,
    Path(id): Path<RecordId>,
    caller: Caller,
    Body(input): Body<TakesPart>,
) -> Answer<Done> {
    at_desk(&app, move || caller.desk.answer_sample(id, input.takes_part, &input.reason).map(|()| DONE)).await
}

#[utoipa::path(post, path = "/api/v1/samples/{id}/tell", params(("id" = String, Path)), responses((status = 200, body = Done), (status = 403, body = Problem), (status = 404, body = Problem), (status = 409, body = Problem), (status = 422, body = Problem)))]
async fn tell_sample(State(app): State<App>, Path(id): Path<RecordId>, caller: Caller) -> Answer<Done> {
    at_desk(&app, move || caller.desk.tell_sample(id).map(|()| DONE)).await
}

#[utoipa::path(post, path = "/api/v1/samples/{id}/cases/{case}", params(("id" = String, Path), ("case" = String, Path)), request_body = SampleResultInput, responses((status = 200, body = Done), (status = 403, body = Problem), (status = 404, body = Problem), (status = 409, body = Problem), (status = 422, body = Problem)))]
async fn note_sample(
    State(app): State<App>,
    Path((id, case)): Path<(RecordId, RecordId)>,
    caller: Caller,
    Body(input): Body<SampleResultInput>,
) -> Answer<Done> {
    at_desk(&app, move || caller.desk.note_sample(id, case, &input).map(|()| DONE)).await
}

pub(super) fn routes() -> Router<App> {
    Router::new()
        .route("/samples", get(samples).post(ask_sample))
        .route("/samples/{id}", get(sample_sheet))
        .route("/samples/{id}/answer", post(answer_sample))
        .route("/samples/{id}/tell", post(tell_sample))
        .route("/samples/{id}/cases/{case}", post(note_sample))
}

#[derive(utoipa::OpenApi)]
#[openapi(paths(samples, ask_sample, sample_sheet, answer_sample, tell_sample, note_sample))]
pub(super) struct Document;
