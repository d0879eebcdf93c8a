//! Calls about accounts, emergency access, conflict lists and approvals.

use super::{Answer, Body, Caller, DONE, Done, Made, Path, Problem, at_desk};
use crate::App;
use axum::extract::State;
use axum::routing::{get, post};
use axum::{Json, Router};
use casemesh_crypto::passphrase::Cost;
use casemesh_node::node::Node;
use casemesh_node::office::{AccountView, DecisionInput, DeskError, GlassInput, GlassView, RequestView, RolesInput};
use casemesh_node::session::{SessionId, SessionView};
use casemesh_protocol::id::{RecordId, StaffId};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A session of one's own.
#[derive(Serialize, ToSchema)]
struct OwnSession {
    /// Which.
    #[schema(value_type = String)]
    id: SessionId,
    /// What the browser or program calls itself.
    label: String,
    /// When it began.
    begun: String,
    /// When it was last used.
    used: String,
    /// Whether it is this one.
    this: bool,
    /// Whether it waits for a PIN.
    locked: bool,
}

impl From<SessionView> for OwnSession {
    fn from(view: SessionView) -> Self {
        Self {
            id: view.id,
            label: view.label,
            begun: view.begun.to_string(),
            used: view.used.to_string(),
            this: view.is_this,
            locked: view.is_locked,
        }
    }
}

/// A PIN.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Pin {
    /// Six to twelve digits.
    pin: String,
    /// The password of the account.
    current: String,
}

/// A second factor that is not in use yet.
#[derive(Serialize, ToSchema)]
struct Offered {
    /// What the telephone takes, as text.
    secret: String,
    /// The same as an address for its camera.
    address: String,
}

/// A second factor to set up.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Factor {
    /// What was offered.
    secret: String,
    /// What the telephone shows now.
    code: String,
    /// The password of the account.
    current: String,
}

/// Codes to print: each is good once.
#[derive(Serialize, ToSchema)]
struct Spare {
    /// The codes.
    codes: Vec<String>,
}

/// A code of the second factor.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Code {
    /// What the telephone shows now, or a printed one.
    code: String,
}

/// What somebody found.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Finding {
    /// In words.
    finding: String,
}

/// A colleague.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Colleague {
    /// Who.
    #[schema(value_type = String)]
    staff: StaffId,
}

/// Colleagues.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Colleagues {
    /// Who.
    #[schema(value_type = Vec<String>)]
    staff: Vec<StaffId>,
}

#[utoipa::path(get, path = "/api/v1/account", responses((status = 200, body = AccountView)))]
async fn account(State(app): State<App>, caller: Caller) -> Answer<AccountView> {
    at_desk(&app, move || Ok(caller.desk.account())).await
}

#[utoipa::path(post, path = "/api/v1/account/pin", request_body = Pin, responses((status = 200, body = Done), (status = 422, body = Problem)))]
async fn set_pin(State(app): State<App>, caller: Caller, Body(input): Body<Pin>) -> Answer<Done> {
    at_desk(&app, move || caller.desk.set_pin(&input.pin, &input.current).map(|()| DONE)).await
}

/// A new password.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewPassword {
    /// The one in force.
    current: String,
    /// The new one.
    password: String,
}

#[utoipa::path(post, path = "/api/v1/account/password", request_body = NewPassword, responses((status = 200, body = Done), (status = 422, body = Problem)))]
async fn change_password(State(app): State<App>, caller: Caller, Body(input): Body<NewPassword>) -> Answer<Done> {
    let node = app.node.clone();
    let change = move || -> Result<Done, DeskError> {
        caller.desk.change_password(&input.current, &input.password, Cost::FLOOR)?;
        node.end_other_sessions(caller.desk.staff(), &caller.token);
        Ok(DONE)
    };
    at_desk(&app, change).await
}

#[utoipa::path(post, path = "/api/v1/account/factor/new", responses((status = 200, body = Offered)))]
async fn new_factor(State(app): State<App>, caller: Caller) -> Answer<Offered> {
    let offer = move || {
        let new = caller.desk.new_factor();
        Ok(Offered { secret: new.secret, address: new.address })
    };
    at_desk(&app, offer).await
}

#[utoipa::path(post, path = "/api/v1/account/factor", request_body = Factor, responses((status = 200, body = Spare), (status = 422, body = Problem)))]
async fn set_factor(State(app): State<App>, caller: Caller, Body(input): Body<Factor>) -> Answer<Spare> {
    at_desk(&app, move || {
        caller.desk.set_factor(&input.secret, &input.code, &input.current).map(|codes| Spare { codes })
    })
    .await
}

#[utoipa::path(post, path = "/api/v1/account/factor/drop", request_body = Code, responses((status = 200, body = Done), (status = 409, body = Problem), (status = 422, body = Problem)))]
async fn drop_factor(State(app): State<App>, caller: Caller, Body(input): Body<Code>) -> Answer<Done> {
    at_desk(&app, move || caller.desk.drop_factor(&input.code).map(|()| DONE)).await
}

#[utoipa::path(get, path = "/api/v1/account/sessions", responses((status = 200, body = Vec<OwnSession>)))]
async fn sessions(State(app): State<App>, caller: Caller) -> Json<Vec<OwnSession>> {
    let views = app.node.sessions_of(caller.desk.staff(), &caller.token);
    Json(views.into_iter().map(OwnSession::from).collect())
}

#[utoipa::path(post, path = "/api/v1/account/sessions/{session}/end", params(("session" = String, Path)), responses((status = 200, body = Done)))]
async fn end_session(State(app): State<App>, caller: Caller, Path(session): Path<SessionId>) -> Json<Done> {
    app.node.end_session(caller.desk.staff(), session);
    Json(DONE)
}

#[utoipa::path(get, path = "/api/v1/emergency", responses((status = 200, body = Vec<GlassView>), (status = 403, body = Problem)))]
async fn glasses(State(app): State<App>, caller: Caller) -> Answer<Vec<GlassView>> {
    at_desk(&app, move || caller.desk.glasses()).await
}

#[utoipa::path(post, path = "/api/v1/emergency", request_body = GlassInput, responses((status = 200, body = Made), (status = 403, body = Problem), (status = 409, body = Problem), (status = 422, body = Problem)))]
async fn break_glass(State(app): State<App>, caller: Caller, Body(input): Body<GlassInput>) -> Answer<Made> {
    at_desk(&app, move || caller.desk.break_glass(&input).map(|id| Made { id })).await
}

#[utoipa::path(post, path = "/api/v1/emergency/{id}/review", params(("id" = String, Path)), request_body = Finding, responses((status = 200, body = Done), (status = 403, body = Problem), (status = 404, body = Problem), (status = 422, body = Problem)))]
async fn review_glass(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<RecordId>,
    Body(input): Body<Finding>,
) -> Answer<Done> {
    at_desk(&app, move || caller.desk.review_glass(id, &input.finding).map(|()| DONE)).await
}

#[utoipa::path(get, path = "/api/v1/requests", responses((status = 200, body = Vec<RequestView>)))]
async fn requests(State(app): State<App>, caller: Caller) -> Answer<Vec<RequestView>> {
    at_desk(&app, move || caller.desk.requests()).await
}

#[utoipa::path(post, path = "/api/v1/requests/{id}/decide", params(("id" = String, Path)), request_body = DecisionInput, responses((status = 200, body = Done), (status = 403, body = Problem), (status = 404, body = Problem), (status = 409, body = Problem), (status = 422, body = Problem)))]
async fn decide(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<RecordId>,
    Body(input): Body<DecisionInput>,
) -> Answer<Done> {
    at_desk(&app, move || caller.desk.decide(id, &input).map(|()| DONE)).await
}

#[utoipa::path(post, path = "/api/v1/people/{id}/bar", params(("id" = String, Path)), request_body = Colleague, responses((status = 200, body = Done), (status = 403, body = Problem), (status = 404, body = Problem), (status = 422, body = Problem)))]
async fn bar(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<RecordId>,
    Body(input): Body<Colleague>,
) -> Answer<Done> {
    at_desk(&app, move || caller.desk.bar(id, input.staff).map(|()| DONE)).await
}

#[utoipa::path(post, path = "/api/v1/people/{id}/lift-bar", params(("id" = String, Path)), request_body = Colleague, responses((status = 200, body = Done), (status = 403, body = Problem), (status = 404, body = Problem), (status = 422, body = Problem)))]
async fn lift_bar(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<RecordId>,
    Body(input): Body<Colleague>,
) -> Answer<Done> {
    at_desk(&app, move || caller.desk.lift_bar(id, input.staff).map(|()| DONE)).await
}

#[utoipa::path(post, path = "/api/v1/cases/{id}/assigned", params(("id" = String, Path)), request_body = Colleagues, responses((status = 200, body = Done), (status = 403, body = Problem), (status = 404, body = Problem), (status = 422, body = Problem)))]
async fn share_case(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<RecordId>,
    Body(input): Body<Colleagues>,
) -> Answer<Done> {
    at_desk(&app, move || caller.desk.share_case(id, input.staff).map(|()| DONE)).await
}

#[utoipa::path(post, path = "/api/v1/cases/{id}/approvals/{entry}", params(("id" = String, Path), ("entry" = String, Path)), responses((status = 200, body = Done), (status = 403, body = Problem), (status = 404, body = Problem), (status = 422, body = Problem)))]
async fn ask_approval(
    State(app): State<App>,
    caller: Caller,
    Path((id, entry)): Path<(RecordId, RecordId)>,
) -> Answer<Done> {
    at_desk(&app, move || caller.desk.ask_approval(id, entry).map(|()| DONE)).await
}

#[utoipa::path(post, path = "/api/v1/staff/{id}/roles", params(("id" = String, Path)), request_body = RolesInput, responses((status = 200, body = Done), (status = 403, body = Problem), (status = 404, body = Problem), (status = 422, body = Problem)))]
async fn change_roles(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<StaffId>,
    Body(input): Body<RolesInput>,
) -> Answer<Done> {
    at_desk(&app, move || caller.desk.change_roles(id, &input).map(|()| DONE)).await
}

/// Another first password of an account.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct FirstPassword {
    /// The password, which its owner changes at the next sign-in.
    password: String,
}

/// After something that ends the sessions of an account, unless it waits for approval.
fn done(node: &Node, staff: StaffId, waits: bool) -> Done {
    if !waits {
        node.end_sessions(staff);
    }
    Done { done: !waits }
}

#[utoipa::path(post, path = "/api/v1/staff/{id}/reset-factor", params(("id" = String, Path)), responses((status = 200, body = Done), (status = 403, body = Problem), (status = 404, body = Problem), (status = 422, body = Problem)))]
async fn reset_factor(State(app): State<App>, caller: Caller, Path(id): Path<StaffId>) -> Answer<Done> {
    let node = app.node.clone();
    at_desk(&app, move || Ok(done(&node, id, caller.desk.reset_factor(id)?))).await
}

/// A team.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Team {
    /// Its name; empty for none.
    team: String,
}

/// Puts somebody into a team: those of a team see each other's cases, and a supervisor in one leads it alone.
#[utoipa::path(post, path = "/api/v1/staff/{id}/team", params(("id" = String, Path)), request_body = Team, responses((status = 200, body = Done), (status = 403, body = Problem), (status = 404, body = Problem), (status = 422, body = Problem)))]
async fn change_team(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<StaffId>,
    Body(input): Body<Team>,
) -> Answer<Done> {
    at_desk(&app, move || Ok(Done { done: !caller.desk.change_team(id, &input.team)? })).await
}

#[utoipa::path(post, path = "/api/v1/staff/{id}/reset-password", params(("id" = String, Path)), request_body = FirstPassword, responses((status = 200, body = Done), (status = 403, body = Problem), (status = 404, body = Problem), (status = 422, body = Problem)))]
async fn reset_password(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<StaffId>,
    Body(input): Body<FirstPassword>,
) -> Answer<Done> {
    let node = app.node.clone();
    at_desk(&app, move || Ok(done(&node, id, caller.desk.reset_password(id, &input.password, Cost::FLOOR)?))).await
}

#[utoipa::path(post, path = "/api/v1/staff/{id}/end", params(("id" = String, Path)), responses((status = 200, body = Done), (status = 403, body = Problem), (status = 404, body = Problem), (status = 422, body = Problem)))]
async fn end_staff(State(app): State<App>, caller: Caller, Path(id): Path<StaffId>) -> Answer<Done> {
    let node = app.node.clone();
    at_desk(&app, move || Ok(done(&node, id, caller.desk.end_staff(id)?))).await
}

#[utoipa::path(post, path = "/api/v1/staff/{id}/end-sessions", params(("id" = String, Path)), responses((status = 200, body = Done), (status = 403, body = Problem)))]
async fn end_sessions(State(app): State<App>, caller: Caller, Path(id): Path<StaffId>) -> Answer<Done> {
    let node = app.node.clone();
    at_desk(&app, move || caller.desk.may_end_sessions(id).map(|()| node.end_sessions(id)).map(|()| DONE)).await
}

pub(super) fn routes() -> Router<App> {
    Router::new()
        .route("/account", get(account))
        .route("/account/password", post(change_password))
        .route("/account/pin", post(set_pin))
        .route("/account/factor/new", post(new_factor))
        .route("/account/factor", post(set_factor))
        .route("/account/factor/drop", post(drop_factor))
        .route("/account/sessions", get(sessions))
        .route("/account/sessions/{session}/end", post(end_session))
        .route("/emergency", get(glasses).post(break_glass))
        .route("/emergency/{id}/review", post(review_glass))
        .route("/requests", get(requests))
        .route("/requests/{id}/decide", post(decide))
        .route("/people/{id}/bar", post(bar))
        .route("/people/{id}/lift-bar", post(lift_bar))
        .route("/cases/{id}/assigned", post(share_case))
        .route("/cases/{id}/approvals/{entry}", post(ask_approval))
        .route("/staff/{id}/roles", post(change_roles))
        .route("/staff/{id}/team", post(change_team))
        .route("/staff/{id}/reset-factor", post(reset_factor))
        .route("/staff/{id}/reset-password", post(reset_password))
        .route("/staff/{id}/end", post(end_staff))
        .route("/staff/{id}/end-sessions", post(end_sessions))
}

#[derive(utoipa::OpenApi)]
#[openapi(paths(
    account,
    change_password,
    set_pin,
    new_factor,
    set_factor,
    drop_factor,
    sessions,
    end_session,
    glasses,
    break_glass,
    review_glass,
    requests,
    decide,
    bar,
    lift_bar,
    share_case,
    ask_approval,
    change_roles,
    reset_factor,
    change_team,
    reset_password,
    end_staff,
    end_sessions
))]
pub(super) struct Document;
