//! Calls about sharing more, and sharing without a consent.

use super::{Answer, Body, Caller, DONE, Done, Made, Path, Problem, at_desk};
use crate::App;
use axum::Router;
use axum::extract::State;
use axum::routing::post;
use casemesh_node::office::{MoreInput, OverrideInput, SharePreview};
use casemesh_protocol::id::RecordId;
use serde::Deserialize;
use utoipa::ToSchema;

/// What somebody found who looked at a decision.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Finding {
    /// In words.
    finding: String,
}

#[utoipa::path(post, path = "/api/v1/cases/{id}/overrides", params(("id" = String, Path)), request_body = OverrideInput, responses((status = 200, body = Made), (status = 403, body = Problem), (status = 404, body = Problem), (status = 422, body = Problem)))]
async fn override_consent(
    State(app): State<App>,
    Path(id): Path<RecordId>,
    caller: Caller,
    Body(input): Body<OverrideInput>,
) -> Answer<Made> {
    at_desk(&app, move || caller.desk.override_consent(id, &input).map(|id| Made { id })).await
}

#[utoipa::path(post, path = "/api/v1/cases/{id}/overrides/{consent}/review", params(("id" = String, Path), ("consent" = String, Path)), request_body = Finding, responses((status = 200, body = Done), (status = 403, body = Problem), (status = 404, body = Problem), (status = 409, body = Problem), (status = 422, body = Problem)))]
async fn review_override(
    State(app): State<App>,
    Path((id, consent)): Path<(RecordId, RecordId)>,
    caller: Caller,
    Body(input): Body<Finding>,
) -> Answer<Done> {
    at_desk(&app, move || caller.desk.review_override(id, consent, &input.finding).map(|()| DONE)).await
}

#[utoipa::path(post, path = "/api/v1/referrals/{id}/more-preview", params(("id" = String, Path)), request_body = MoreInput, responses((status = 200, body = SharePreview), (status = 404, body = Problem), (status = 409, body = Problem), (status = 422, body = Problem)))]
async fn preview_more(
    State(app): State<App>,
    Path(id): Path<RecordId>,
    caller: Caller,
    Body(input): Body<MoreInput>,
) -> Answer<SharePreview> {
    at_desk(&app, move || caller.desk.preview_more(id, &input)).await
}

#[utoipa::path(post, path = "/api/v1/referrals/{id}/more", params(("id" = String, Path)), request_body = MoreInput, responses((status = 200, body = Done), (status = 404, body = Problem), (status = 409, body = Problem), (status = 422, body = Problem)))]
async fn share_more(
    State(app): State<App>,
    Path(id): Path<RecordId>,
    caller: Caller,
    Body(input): Body<MoreInput>,
) -> Answer<Done> {
    at_desk(&app, move || caller.desk.share_more(id, &input).map(|()| DONE)).await
}

pub(super) fn routes() -> Router<App> {
    Router::new()
        .route("/cases/{id}/overrides", post(override_consent))
        .route("/cases/{id}/overrides/{consent}/review", post(review_override))
        .route("/referrals/{id}/more-preview", post(preview_more))
        .route("/referrals/{id}/more", post(share_more))
}

#[derive(utoipa::OpenApi)]
#[openapi(paths(override_consent, review_override, preview_more, share_more))]
pub(super) struct Document;
