//! Calls about the network, and about packets that are carried by hand.

use super::{Answer, Body, Caller, DONE, Done, Made, Path, Problem, Query, at_desk};
use crate::App;
use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::response::Response;
use axum::routing::{get, post};
use casemesh_node::bundle::Brought;
use casemesh_node::office::{
    CapacityAnswerInput, CapacityInput, CapacityView, CheckInput, EndInput, EntryInput, FoundOffer, ListingView,
    ListingsReport, NetworkView, NewcomerView, OfferInput, OfferSearch, OwnEntryView,
};
use casemesh_protocol::id::RecordId;
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
    at_desk(&app, move || caller.desk.find_listings(&search)).await
}

/// A directory of services outside the network.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Directory {
    /// The file: HSDS 3.0 as JSON; empty where tables are given.
    #[serde(default)]
    file: String,
    /// The tables of HSDS 3.0 as CSV, by their names.
    #[serde(default)]
    tables: std::collections::BTreeMap<String, String>,
    /// Code of the list `service_type` that all of them count as; none when empty.
    #[serde(default)]
    service: String,
    /// Whether only to say what would happen.
    #[serde(default)]
    dry_run: bool,
}

#[utoipa::path(post, path = "/api/v1/network/listings", request_body = Directory, responses((status = 200, body = ListingsReport), (status = 403, body = Problem), (status = 422, body = Problem)))]
async fn import(State(app): State<App>, caller: Caller, Body(input): Body<Directory>) -> Answer<ListingsReport> {
    let tables = input.tables.into_iter().map(|(name, text)| (format!("{name}.csv"), text.into_bytes()));
    let file = Some((String::new(), input.file.into_bytes())).filter(|(_, bytes)| !bytes.is_empty());
    let files: Vec<(String, Vec<u8>)> = tables.chain(file).collect();
    at_desk(&app, move || caller.desk.import_listings(&files, &input.service, input.dry_run)).await
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

/// An office's card, as it gave it: the bytes as hexadecimal digits.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct CardInput {
    /// The card.
    card: String,
}

/// Whether something was done, or waits for somebody else's approval.
#[derive(serde::Serialize, ToSchema)]
struct DoneOrAsked {
    /// Whether it was done.
    done: bool,
}

fn card_bytes(input: &CardInput) -> Vec<u8> {
    let pairs = input.card.as_bytes().chunks(2);
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    pairs.map(byte).collect::<Option<_>>().unwrap_or_default()
}

#[utoipa::path(post, path = "/api/v1/network/newcomer", request_body = CardInput, responses((status = 200, body = NewcomerView), (status = 403, body = Problem), (status = 422, body = Problem)))]
async fn newcomer(State(app): State<App>, caller: Caller, Body(input): Body<CardInput>) -> Answer<NewcomerView> {
    at_desk(&app, move || caller.desk.read_newcomer(&card_bytes(&input))).await
}

#[utoipa::path(post, path = "/api/v1/network/members", request_body = CardInput, responses((status = 200, body = DoneOrAsked), (status = 403, body = Problem), (status = 422, body = Problem)))]
async fn admit(State(app): State<App>, caller: Caller, Body(input): Body<CardInput>) -> Answer<DoneOrAsked> {
    at_desk(&app, move || caller.desk.admit(&card_bytes(&input)).map(|done| DoneOrAsked { done })).await
}

#[utoipa::path(post, path = "/api/v1/network/end", request_body = EndInput, responses((status = 200, body = DoneOrAsked), (status = 403, body = Problem), (status = 422, body = Problem)))]
async fn end(State(app): State<App>, caller: Caller, Body(input): Body<EndInput>) -> Answer<DoneOrAsked> {
    at_desk(&app, move || caller.desk.end_membership(&input).map(|done| DoneOrAsked { done })).await
}

#[utoipa::path(post, path = "/api/v1/network/checks", request_body = CheckInput, responses((status = 200, body = Done), (status = 403, body = Problem), (status = 422, body = Problem)))]
async fn verify(State(app): State<App>, caller: Caller, Body(input): Body<CheckInput>) -> Answer<Done> {
    at_desk(&app, move || caller.desk.verify_partner(&input).map(|()| DONE)).await
}

#[utoipa::path(get, path = "/api/v1/network/room", responses((status = 200, body = Vec<CapacityView>), (status = 401, body = Problem)))]
async fn rooms(State(app): State<App>, caller: Caller) -> Answer<Vec<CapacityView>> {
    at_desk(&app, move || Ok(caller.desk.capacity_asked())).await
}

#[utoipa::path(post, path = "/api/v1/network/room", request_body = CapacityInput, responses((status = 200, body = Made), (status = 403, body = Problem), (status = 422, body = Problem)))]
async fn ask_room(State(app): State<App>, caller: Caller, Body(input): Body<CapacityInput>) -> Answer<Made> {
    at_desk(&app, move || caller.desk.ask_capacity(&input).map(|id| Made { id })).await
}

#[utoipa::path(post, path = "/api/v1/network/room/{id}", params(("id" = String, Path)), request_body = CapacityAnswerInput, responses((status = 200, body = Done), (status = 403, body = Problem), (status = 404, body = Problem), (status = 409, body = Problem), (status = 422, body = Problem)))]
async fn answer_room(
    State(app): State<App>,
    Path(id): Path<RecordId>,
    caller: Caller,
    Body(input): Body<CapacityAnswerInput>,
) -> Answer<Done> {
    at_desk(&app, move || caller.desk.answer_capacity(id, &input).map(|()| DONE)).await
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
        .route("/network/newcomer", post(newcomer))
        .route("/network/members", post(admit))
        .route("/network/end", post(end))
        .route("/network/checks", post(verify))
        .route("/network/room", get(rooms).post(ask_room))
        .route("/network/room/{id}", post(answer_room))
        .route("/network/bundle", post(pack))
        .route("/network/brought", post(bring))
        .layer(DefaultBodyLimit::max(BUNDLE_BYTES_MAX))
}

#[derive(utoipa::OpenApi)]
#[openapi(paths(
    network,
    offers,
    listings,
    import,
    own,
    change_own,
    change_offer,
    newcomer,
    admit,
    end,
    verify,
    rooms,
    ask_room,
    answer_room,
    pack,
    bring
))]
pub(super) struct Document;
