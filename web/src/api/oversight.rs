//! Calls that look across entries and cases.

use super::{Answer, Caller, Days, Path, Problem, Query, at_desk};
use crate::App;
use axum::Router;
use axum::extract::State;
use axum::routing::get;
use casemesh_node::office::{PartyChain, PlaceView, ReviewView, SharedBy};
use casemesh_protocol::id::RecordId;
use serde::Serialize;
use utoipa::ToSchema;

/// What clients have in common.
#[derive(Serialize, ToSchema)]
struct Links {
    /// The more telling first.
    links: Vec<SharedBy>,
    /// How many more there are.
    more: usize,
}

#[utoipa::path(get, path = "/api/v1/cases/{id}/chain", params(("id" = String, Path)), responses((status = 200, body = Vec<PartyChain>), (status = 404, body = Problem)))]
async fn chain(State(app): State<App>, caller: Caller, Path(id): Path<RecordId>) -> Answer<Vec<PartyChain>> {
    at_desk(&app, move || caller.desk.case_chains(id)).await
}

#[utoipa::path(get, path = "/api/v1/links", responses((status = 200, body = Links), (status = 403, body = Problem)))]
async fn links(State(app): State<App>, caller: Caller) -> Answer<Links> {
    at_desk(&app, move || caller.desk.find_links().map(|(links, more)| Links { links, more })).await
}

#[utoipa::path(get, path = "/api/v1/places", responses((status = 200, body = Vec<PlaceView>), (status = 403, body = Problem)))]
async fn places(State(app): State<App>, caller: Caller) -> Answer<Vec<PlaceView>> {
    at_desk(&app, move || caller.desk.places()).await
}

#[utoipa::path(get, path = "/api/v1/review", params(("from" = String, Query), ("to" = String, Query)), responses((status = 200, body = ReviewView), (status = 403, body = Problem), (status = 422, body = Problem)))]
async fn review(State(app): State<App>, caller: Caller, Query(days): Query<Days>) -> Answer<ReviewView> {
    let period = days.period()?;
    at_desk(&app, move || caller.desk.review(period)).await
}

pub(super) fn routes() -> Router<App> {
    Router::new()
        .route("/cases/{id}/chain", get(chain))
        .route("/links", get(links))
        .route("/places", get(places))
        .route("/review", get(review))
}

#[derive(utoipa::OpenApi)]
#[openapi(paths(chain, links, places, review))]
pub(super) struct Document;
