//! Calls about families, groups, and records of one person.

use super::{Answer, Body, Caller, DONE, Done, Made, Path, Problem, at_desk};
use crate::App;
use axum::Router;
use axum::extract::State;
use axum::routing::{get, post};
use casemesh_node::office::{
    DuplicateView, ErasureView, FamilyInput, Field, GrantInput, GrantView, LinkInput, MemberInput, OwnView, PersonView,
};
use casemesh_protocol::id::RecordId;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Another person.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Other {
    /// Who.
    #[schema(value_type = String)]
    other: RecordId,
}

/// A family that was taken in.
#[derive(Serialize, ToSchema)]
struct Family {
    /// Its people, in the order given.
    #[schema(value_type = Vec<String>)]
    people: Vec<RecordId>,
    /// The case they have together.
    #[schema(value_type = Option<String>)]
    case: Option<RecordId>,
}

/// Two persons.
#[derive(Serialize, ToSchema)]
struct Two {
    /// The one.
    one: PersonView,
    /// The other.
    other: PersonView,
}

#[utoipa::path(post, path = "/api/v1/families", request_body = FamilyInput, responses((status = 200, body = Family), (status = 403, body = Problem), (status = 422, body = Problem)))]
async fn register_family(State(app): State<App>, caller: Caller, Body(input): Body<FamilyInput>) -> Answer<Family> {
    at_desk(&app, move || caller.desk.register_family(input).map(|(people, case)| Family { people, case })).await
}

#[utoipa::path(post, path = "/api/v1/people/{id}/links", params(("id" = String, Path)), request_body = LinkInput, responses((status = 200, body = Made), (status = 403, body = Problem), (status = 404, body = Problem), (status = 422, body = Problem)))]
async fn add_link(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<RecordId>,
    Body(input): Body<LinkInput>,
) -> Answer<Made> {
    at_desk(&app, move || caller.desk.add_link(id, &input).map(|id| Made { id })).await
}

#[utoipa::path(post, path = "/api/v1/people/{id}/links/{link}/end", params(("id" = String, Path), ("link" = String, Path)), responses((status = 200, body = Done), (status = 403, body = Problem), (status = 404, body = Problem)))]
async fn end_link(
    State(app): State<App>,
    caller: Caller,
    Path((id, link)): Path<(RecordId, RecordId)>,
) -> Answer<Done> {
    at_desk(&app, move || caller.desk.end_link(id, link).map(|()| DONE)).await
}

#[utoipa::path(post, path = "/api/v1/people/{id}/members", params(("id" = String, Path)), request_body = MemberInput, responses((status = 200, body = Made), (status = 403, body = Problem), (status = 404, body = Problem), (status = 409, body = Problem), (status = 422, body = Problem)))]
async fn set_member(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<RecordId>,
    Body(input): Body<MemberInput>,
) -> Answer<Made> {
    at_desk(&app, move || caller.desk.set_member(id, &input).map(|id| Made { id })).await
}

#[utoipa::path(post, path = "/api/v1/people/{id}/reveal", params(("id" = String, Path)), responses((status = 200, body = Field), (status = 403, body = Problem), (status = 404, body = Problem)))]
async fn reveal(State(app): State<App>, caller: Caller, Path(id): Path<RecordId>) -> Answer<Field> {
    at_desk(&app, move || caller.desk.reveal_address(id)).await
}

#[utoipa::path(get, path = "/api/v1/duplicates", responses((status = 200, body = Vec<DuplicateView>), (status = 403, body = Problem)))]
async fn duplicates(State(app): State<App>, caller: Caller) -> Answer<Vec<DuplicateView>> {
    at_desk(&app, move || caller.desk.duplicates()).await
}

#[utoipa::path(get, path = "/api/v1/people/{id}/compare/{other}", params(("id" = String, Path), ("other" = String, Path)), responses((status = 200, body = Two), (status = 403, body = Problem), (status = 404, body = Problem), (status = 422, body = Problem)))]
async fn compare(State(app): State<App>, caller: Caller, Path((id, other)): Path<(RecordId, RecordId)>) -> Answer<Two> {
    at_desk(&app, move || caller.desk.compare(id, other).map(|(one, other)| Two { one, other })).await
}

#[utoipa::path(post, path = "/api/v1/people/{id}/merge", params(("id" = String, Path)), request_body = Other, responses((status = 200, body = Done), (status = 403, body = Problem), (status = 404, body = Problem), (status = 409, body = Problem), (status = 422, body = Problem)))]
async fn merge(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<RecordId>,
    Body(input): Body<Other>,
) -> Answer<Done> {
    at_desk(&app, move || caller.desk.merge(id, input.other).map(|()| DONE)).await
}

#[utoipa::path(post, path = "/api/v1/people/{id}/unmerge", params(("id" = String, Path)), request_body = Other, responses((status = 200, body = Done), (status = 403, body = Problem), (status = 404, body = Problem)))]
async fn unmerge(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<RecordId>,
    Body(input): Body<Other>,
) -> Answer<Done> {
    at_desk(&app, move || caller.desk.unmerge(id, input.other).map(|()| DONE)).await
}

#[utoipa::path(post, path = "/api/v1/people/{id}/different", params(("id" = String, Path)), request_body = Other, responses((status = 200, body = Done), (status = 403, body = Problem), (status = 404, body = Problem), (status = 422, body = Problem)))]
async fn are_different(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<RecordId>,
    Body(input): Body<Other>,
) -> Answer<Done> {
    at_desk(&app, move || caller.desk.are_different(id, input.other).map(|()| DONE)).await
}

/// The number of another case, and why it belongs there.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct CaseLink {
    /// Its number.
    number: String,
    /// Code of the list `case_link`.
    why: String,
}

/// Grants that a case is counted for.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Tags {
    /// Which.
    #[schema(value_type = Vec<String>)]
    grants: Vec<RecordId>,
}

/// How a flag was resolved.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Resolution {
    /// In words.
    resolution: String,
}

#[utoipa::path(get, path = "/api/v1/grants", responses((status = 200, body = Vec<GrantView>), (status = 403, body = Problem)))]
async fn grants(State(app): State<App>, caller: Caller) -> Answer<Vec<GrantView>> {
    at_desk(&app, move || caller.desk.grants()).await
}

#[utoipa::path(post, path = "/api/v1/grants", request_body = GrantInput, responses((status = 200, body = Made), (status = 403, body = Problem), (status = 422, body = Problem)))]
async fn add_grant(State(app): State<App>, caller: Caller, Body(input): Body<GrantInput>) -> Answer<Made> {
    at_desk(&app, move || caller.desk.add_grant(&input).map(|id| Made { id })).await
}

#[utoipa::path(post, path = "/api/v1/cases/{id}/grants", params(("id" = String, Path)), request_body = Tags, responses((status = 200, body = Done), (status = 403, body = Problem), (status = 404, body = Problem), (status = 422, body = Problem)))]
async fn tag_case(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<RecordId>,
    Body(input): Body<Tags>,
) -> Answer<Done> {
    at_desk(&app, move || caller.desk.tag_case(id, input.grants).map(|()| DONE)).await
}

#[utoipa::path(post, path = "/api/v1/cases/{id}/links", params(("id" = String, Path)), request_body = CaseLink, responses((status = 200, body = Done), (status = 403, body = Problem), (status = 404, body = Problem), (status = 422, body = Problem)))]
async fn link_case(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<RecordId>,
    Body(input): Body<CaseLink>,
) -> Answer<Done> {
    at_desk(&app, move || caller.desk.link_case(id, &input.number, &input.why).map(|()| DONE)).await
}

#[utoipa::path(post, path = "/api/v1/tasks/{id}/resolve", params(("id" = String, Path)), request_body = Resolution, responses((status = 200, body = Done), (status = 403, body = Problem), (status = 404, body = Problem), (status = 409, body = Problem), (status = 422, body = Problem)))]
async fn resolve_flag(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<RecordId>,
    Body(input): Body<Resolution>,
) -> Answer<Done> {
    at_desk(&app, move || caller.desk.resolve_flag(id, &input.resolution).map(|()| DONE)).await
}

#[utoipa::path(get, path = "/api/v1/people/{id}/view", params(("id" = String, Path)), responses((status = 200, body = OwnView), (status = 403, body = Problem), (status = 404, body = Problem), (status = 409, body = Problem)))]
async fn own_view(State(app): State<App>, caller: Caller, Path(id): Path<RecordId>) -> Answer<OwnView> {
    at_desk(&app, move || caller.desk.own_view(id)).await
}

/// Why a person is erased.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct ErasureReason {
    /// Why, without a name: it stays when the person is gone.
    reason: String,
}

#[utoipa::path(get, path = "/api/v1/people/{id}/erasure", params(("id" = String, Path)), responses((status = 200, body = ErasureView), (status = 403, body = Problem), (status = 404, body = Problem)))]
async fn erasure(State(app): State<App>, caller: Caller, Path(id): Path<RecordId>) -> Answer<ErasureView> {
    at_desk(&app, move || caller.desk.erasure(id)).await
}

#[utoipa::path(post, path = "/api/v1/people/{id}/erasure", params(("id" = String, Path)), request_body = ErasureReason, responses((status = 200, body = Done), (status = 403, body = Problem), (status = 404, body = Problem), (status = 422, body = Problem)))]
async fn erase(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<RecordId>,
    Body(input): Body<ErasureReason>,
) -> Answer<Done> {
    at_desk(&app, move || caller.desk.erase_person(id, &input.reason).map(|waits| Done { done: !waits })).await
}

pub(super) fn routes() -> Router<App> {
    Router::new()
        .route("/families", post(register_family))
        .route("/people/{id}/links", post(add_link))
        .route("/people/{id}/links/{link}/end", post(end_link))
        .route("/people/{id}/members", post(set_member))
        .route("/people/{id}/reveal", post(reveal))
        .route("/duplicates", get(duplicates))
        .route("/people/{id}/compare/{other}", get(compare))
        .route("/people/{id}/merge", post(merge))
        .route("/people/{id}/unmerge", post(unmerge))
        .route("/people/{id}/different", post(are_different))
        .route("/people/{id}/view", get(own_view))
        .route("/people/{id}/erasure", get(erasure).post(erase))
        .route("/grants", get(grants).post(add_grant))
        .route("/cases/{id}/grants", post(tag_case))
        .route("/cases/{id}/links", post(link_case))
        .route("/tasks/{id}/resolve", post(resolve_flag))
}

#[derive(utoipa::OpenApi)]
#[openapi(paths(
    register_family,
    add_link,
    end_link,
    set_member,
    reveal,
    duplicates,
    compare,
    merge,
    unmerge,
    are_different,
    own_view,
    erasure,
    erase,
    grants,
    add_grant,
    tag_case,
    link_case,
    resolve_flag
))]
pub(super) struct Document;
