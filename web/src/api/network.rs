//! Calls about the network, and about packets that are carried by hand.

use super::{Answer, Body, Caller, DONE, Done, Problem, Query, at_desk};
use crate::App;
use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::response::Response;
use axum::routing::{get, post};
use casemesh_node::bundle::Brought;
use casemesh_node::office::{
    EntryInput, FoundOffer, ListingView, ListingsReport, NetworkView, OfferInput, OfferSearch, OwnEntryView,
};
use casemesh_protocol::limits::BUNDLE_BYTES_MAX;
use serde::Deserialize;
use utoipa::ToSchema;

#[utoipa::path(get, path = "/api/v1/network/offers", params(("service" = Option<String>, Query), ("words" = Option<String>, Query), ("language" = Option<String>, Query), ("age" = Option<String>, Query)), responses((status = 200, body = Vec<FoundOffer>), (status = 401, body = Problem), (status = 422, body = Problem)))]
async fn offers(State(app): State<App>, caller: Caller, Query(search): Query<OfferSearch>) -> Answer<Vec<FoundOffer>> {
    at_desk(&app, move || caller.desk.find_offers(&search)).await
}

#[utoipa::path(get, path = "/api/v1/network/own", responses((status = 200, body = Option<OwnEntryView>), (status = 401, body = Problem)))]
async fn own(State(app): State<App>, caller: Caller) -> Answer<Option<OwnEntryView>> {
    at_desk(&app, move || Ok(caller.desk.own_entry())).await
}

#[utoipa::path(put, path = "/api/v1/network/own", request_body = EntryInput, responses((status = 200, body = Done), (status = 403, body = Problem), (status = 422, body = Problem)))]
async fn change_own(State(app): State<App>, caller: Caller, Body(input): Body<EntryInput>) -> Answer<Done> {
    at_desk(&app, move || caller.desk.change_entry(&input).map(|()| DONE)).await
}

#[utoipa::path(post, path = "/api/v1/network/own/offers", request_body = OfferInput, responses((status = 200, body = Done), (status = 403, body = Problem), (status = 422, body = Problem)))]
async fn change_offer(State(app): State<App>, caller: Caller, Body(input): Body<OfferInput>) -> Answer<Done> {
    at_desk(&app, move || caller.desk.change_offer(&input).map(|()| DONE)).await
}

#[utoipa::path(get, path = "/api/v1/network/listings", params(("service" = Option<String>, Query), ("words" = Option<String>, Query), ("language" = Option<String>, Query), ("age" = Option<String>, Query)), responses((status = 200, body = Vec<ListingView>), (status = 401, body = Problem), (status = 422, body = Problem)))]
async fn listings(
    State(app): State<App>,
    caller: Caller,
    Query(search): Query<OfferSearch>,
) -> Answer<Vec<ListingView>> {
    at_desk(&app, move || Ok(caller.desk.find_listings(&search))).await
}

/// A directory of services outside the network.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Directory {
    /// The file: HSDS 3.0 as JSON.
    file: String,
    /// Code of the list `service_type` that all of them count as; none when empty.
    #[serde(default)]
    service: String,
    /// Whether only to say what would happen.
    #[serde(default)]
    dry_run: bool,
}

#[utoipa::path(post, path = "/api/v1/network/listings", request_body = Directory, responses((status = 200, body = ListingsReport), (status = 403, body = Problem), (status = 422, body = Problem)))]
async fn import(State(app): State<App>, caller: Caller, Body(input): Body<Directory>) -> Answer<ListingsReport> {
    at_desk(&app, move || caller.desk.import_listings(input.file.as_bytes(), &input.service, input.dry_run)).await
}

/// For whom.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
struct For {
    /// The office; all when empty.
    to: String,
    /// Whether the network file goes along, which is not sealed.
    with_network: bool,
}

#[utoipa::path(get, path = "/api/v1/network", responses((status = 200, body = Option<NetworkView>), (status = 401, body = Problem)))]
async fn network(State(app): State<App>, caller: Caller) -> Answer<Option<NetworkView>> {
    at_desk(&app, move || Ok(caller.desk.network())).await
}

#[utoipa::path(post, path = "/api/v1/network/bundle", request_body = For, responses((status = 200, description = "The file.", body = Vec<u8>, content_type = "application/octet-stream"), (status = 403, body = Problem), (status = 422, body = Problem)))]
async fn pack(State(app): State<App>, caller: Caller, Body(input): Body<For>) -> Result<Response, Problem> {
    let today = caller.desk.today();
    let packed = app.run(move || caller.desk.pack_bundle(&input.to, input.with_network)).await?;
    Ok(crate::pages::bundle_file(packed, today))
}

#[utoipa::path(post, path = "/api/v1/network/brought", request_body(content = Vec<u8>, content_type = "application/octet-stream"), responses((status = 200, body = Brought), (status = 403, body = Problem), (status = 413, description = "The file is too long."), (status = 422, body = Problem)))]
async fn bring(State(app): State<App>, caller: Caller, file: Bytes) -> Answer<Brought> {
    at_desk(&app, move || caller.desk.bring_bundle(&file)).await
}

pub(super) fn routes() -> Router<App> {
    Router::new()
        .route("/network", get(network))
        .route("/network/offers", get(offers))
        .route("/network/listings", get(listings).post(import))
        .route("/network/own", get(own).put(change_own))
        .route("/network/own/offers", post(change_offer))
        .route("/network/bundle", post(pack))
        .route("/network/brought", post(bring))
        .layer(DefaultBodyLimit::max(BUNDLE_BYTES_MAX))
}

#[derive(utoipa::OpenApi)]
#[openapi(paths(network, offers, listings, import, own, change_own, change_offer, pack, bring))]
pub(super) struct Document;
