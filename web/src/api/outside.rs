//! Calls about what leaves and comes on paper: offices without a node, what a client carries, and whom nothing may reach.

use super::{Answer, Body, Caller, DONE, Done, Made, Path, Problem, Query, at_desk};
use crate::App;
use axum::Router;
use axum::extract::State;
use axum::routing::{get, post, put};
use casemesh_node::office::{BookInInput, CarryView, NeverInput, SlipView, ToldInput};
use casemesh_protocol::id::RecordId;
use serde::Deserialize;
use utoipa::ToSchema;

/// What the client carries away.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Choice {
    /// sheet, card or nothing.
    carries: String,
}

/// What stands on a slip.
#[derive(Deserialize)]
struct Code {
    code: String,
}

#[utoipa::path(post, path = "/api/v1/referrals/book-in", request_body = BookInInput, responses((status = 200, body = Made), (status = 403, body = Problem), (status = 422, body = Problem)))]
async fn book_in(State(app): State<App>, caller: Caller, Body(input): Body<BookInInput>) -> Answer<Made> {
    at_desk(&app, move || caller.desk.book_in(&input).map(|id| Made { id })).await
}

#[utoipa::path(get, path = "/api/v1/referrals/by-code", params(("code" = String, Query)), responses((status = 200, body = Made), (status = 403, body = Problem), (status = 404, body = Problem), (status = 422, body = Problem)))]
async fn by_code(State(app): State<App>, caller: Caller, Query(code): Query<Code>) -> Answer<Made> {
    at_desk(&app, move || caller.desk.referral_by_code(&code.code).map(|id| Made { id })).await
}

#[utoipa::path(get, path = "/api/v1/referrals/{id}/slip", params(("id" = String, Path)), responses((status = 200, body = SlipView), (status = 404, body = Problem), (status = 409, body = Problem)))]
async fn slip(State(app): State<App>, caller: Caller, Path(id): Path<RecordId>) -> Answer<SlipView> {
    at_desk(&app, move || caller.desk.slip(id)).await
}

#[utoipa::path(post, path = "/api/v1/referrals/{id}/told", params(("id" = String, Path)), request_body = ToldInput, responses((status = 200, body = Done), (status = 404, body = Problem), (status = 409, body = Problem), (status = 422, body = Problem)))]
async fn told(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<RecordId>,
    Body(input): Body<ToldInput>,
) -> Answer<Done> {
    at_desk(&app, move || caller.desk.told(id, &input).map(|()| DONE)).await
}

#[utoipa::path(post, path = "/api/v1/referrals/{id}/carries", params(("id" = String, Path)), request_body = Choice, responses((status = 200, body = Done), (status = 404, body = Problem), (status = 409, body = Problem), (status = 422, body = Problem)))]
async fn choose_carries(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<RecordId>,
    Body(choice): Body<Choice>,
) -> Answer<Done> {
    at_desk(&app, move || caller.desk.choose_carries(id, &choice.carries).map(|()| DONE)).await
}

#[utoipa::path(get, path = "/api/v1/referrals/{id}/carry", params(("id" = String, Path)), responses((status = 200, body = CarryView), (status = 404, body = Problem), (status = 409, body = Problem)))]
async fn carry(State(app): State<App>, caller: Caller, Path(id): Path<RecordId>) -> Answer<CarryView> {
    at_desk(&app, move || caller.desk.carry(id)).await
}

#[utoipa::path(put, path = "/api/v1/people/{id}/never", params(("id" = String, Path)), request_body = NeverInput, responses((status = 200, body = Done), (status = 403, body = Problem), (status = 404, body = Problem), (status = 422, body = Problem)))]
async fn set_never(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<RecordId>,
    Body(input): Body<NeverInput>,
) -> Answer<Done> {
    at_desk(&app, move || caller.desk.set_never(id, &input).map(|()| DONE)).await
}

pub(super) fn routes() -> Router<App> {
    Router::new()
        .route("/referrals/book-in", post(book_in))
        .route("/referrals/by-code", get(by_code))
        .route("/referrals/{id}/slip", get(slip))
        .route("/referrals/{id}/told", post(told))
        .route("/referrals/{id}/carries", post(choose_carries))
        .route("/referrals/{id}/carry", get(carry))
        .route("/people/{id}/never", put(set_never))
}

#[derive(utoipa::OpenApi)]
#[openapi(paths(book_in, by_code, slip, told, choose_carries, carry, set_never))]
pub(super) struct Document;
