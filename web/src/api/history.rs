//! Calls that tell how a record came to be what it is.

use super::{Answer, Caller, Path, Problem, at_desk};
use crate::App;
use axum::Router;
use axum::extract::State;
use axum::routing::get;
use casemesh_node::office::{HistoryOf, HistoryView};
use casemesh_protocol::id::{RecordId, StaffId};

#[utoipa::path(get, path = "/api/v1/cases/{id}/history", params(("id" = String, Path)), responses((status = 200, body = HistoryView), (status = 404, body = Problem)))]
async fn case_history(State(app): State<App>, caller: Caller, Path(id): Path<RecordId>) -> Answer<HistoryView> {
    at_desk(&app, move || caller.desk.history(HistoryOf::Case(id))).await
}

#[utoipa::path(get, path = "/api/v1/people/{id}/history", params(("id" = String, Path)), responses((status = 200, body = HistoryView), (status = 403, body = Problem), (status = 404, body = Problem)))]
async fn person_history(State(app): State<App>, caller: Caller, Path(id): Path<RecordId>) -> Answer<HistoryView> {
    at_desk(&app, move || caller.desk.history(HistoryOf::Person(id))).await
}

#[utoipa::path(get, path = "/api/v1/tasks/{id}/history", params(("id" = String, Path)), responses((status = 200, body = HistoryView), (status = 404, body = Problem)))]
async fn task_history(State(app): State<App>, caller: Caller, Path(id): Path<RecordId>) -> Answer<HistoryView> {
    at_desk(&app, move || caller.desk.history(HistoryOf::Task(id))).await
}

#[utoipa::path(get, path = "/api/v1/register/{id}/history", params(("id" = String, Path)), responses((status = 200, body = HistoryView), (status = 403, body = Problem), (status = 404, body = Problem)))]
async fn line_history(State(app): State<App>, caller: Caller, Path(id): Path<RecordId>) -> Answer<HistoryView> {
    at_desk(&app, move || caller.desk.history(HistoryOf::Line(id))).await
}

#[utoipa::path(get, path = "/api/v1/staff/{id}/history", params(("id" = String, Path)), responses((status = 200, body = HistoryView), (status = 403, body = Problem), (status = 404, body = Problem)))]
async fn account_history(State(app): State<App>, caller: Caller, Path(id): Path<StaffId>) -> Answer<HistoryView> {
    at_desk(&app, move || caller.desk.history(HistoryOf::Account(id))).await
}

#[utoipa::path(get, path = "/api/v1/settings/history", responses((status = 200, body = HistoryView), (status = 403, body = Problem)))]
async fn settings_history(State(app): State<App>, caller: Caller) -> Answer<HistoryView> {
    at_desk(&app, move || caller.desk.history(HistoryOf::Settings)).await
}

pub(super) fn routes() -> Router<App> {
    Router::new()
        .route("/cases/{id}/history", get(case_history))
        .route("/people/{id}/history", get(person_history))
        .route("/tasks/{id}/history", get(task_history))
        .route("/register/{id}/history", get(line_history))
        .route("/staff/{id}/history", get(account_history))
        .route("/settings/history", get(settings_history))
}

#[derive(utoipa::OpenApi)]
#[openapi(paths(case_history, person_history, task_history, line_history, account_history, settings_history))]
pub(super) struct Document;
