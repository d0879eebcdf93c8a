//! Calls about figures: the office's own, over time, and reports that are made again.

use super::{Answer, Body, Caller, DONE, Done, Made, Path, Problem, at_desk, period};
use crate::App;
use axum::Router;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::routing::{get, put};
use casemesh_node::office::{
    FiguresView, IndicatorView, QualityView, ReportLineInput, ReportView, SavedReportInput, SavedReportSummary,
    SavedReportView, Scope, TrendView,
};
use casemesh_protocol::id::RecordId;
use casemesh_protocol::indicators::Topic;
use casemesh_protocol::time::Day;
use serde::Deserialize;

/// Of which days, and which figures.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    /// The first day.
    from: Day,
    /// The last day.
    to: Day,
    /// Under which heading; without one, what stands on the first page.
    #[serde(default)]
    topic: Option<Topic>,
    /// Of the work that is counted for that grant alone.
    #[serde(default)]
    grant: Option<RecordId>,
    /// Everything, whatever stands where.
    #[serde(default)]
    whole: bool,
}

/// Of which days, and which figure.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AskedOne {
    from: Day,
    to: Day,
    figure: String,
    #[serde(default)]
    grant: Option<RecordId>,
}

/// Of which days, or of the usual ones.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AskedDays {
    #[serde(default)]
    from: Option<Day>,
    #[serde(default)]
    to: Option<Day>,
}

#[utoipa::path(get, path = "/api/v1/figures", params(("from" = String, Query), ("to" = String, Query)), responses((status = 200, body = FiguresView), (status = 403, body = Problem)))]
async fn figures(State(app): State<App>, caller: Caller, Query(asked): Query<Asked>) -> Answer<FiguresView> {
    let period = period(asked.from, asked.to)?;
    at_desk(&app, move || caller.desk.figures(period)).await
}

#[utoipa::path(get, path = "/api/v1/figures/report", params(("from" = String, Query), ("to" = String, Query), ("topic" = Option<Topic>, Query), ("grant" = Option<String>, Query), ("whole" = Option<bool>, Query)), responses((status = 200, body = ReportView), (status = 403, body = Problem)))]
async fn report(State(app): State<App>, caller: Caller, Query(asked): Query<Asked>) -> Answer<ReportView> {
    let period = period(asked.from, asked.to)?;
    let scope = Scope { topic: asked.topic, grant: asked.grant, whole: asked.whole };
    at_desk(&app, move || caller.desk.report(period, scope)).await
}

#[utoipa::path(get, path = "/api/v1/figures/time", params(("from" = String, Query), ("to" = String, Query), ("figure" = String, Query), ("grant" = Option<String>, Query)), responses((status = 200, body = TrendView), (status = 403, body = Problem), (status = 404, body = Problem)))]
async fn figure_over_time(State(app): State<App>, caller: Caller, Query(asked): Query<AskedOne>) -> Answer<TrendView> {
    let period = period(asked.from, asked.to)?;
    at_desk(&app, move || caller.desk.trend(&asked.figure, period, asked.grant)).await
}

#[utoipa::path(get, path = "/api/v1/indicators", responses((status = 200, body = Vec<IndicatorView>), (status = 403, body = Problem)))]
async fn indicators(State(app): State<App>, caller: Caller) -> Answer<Vec<IndicatorView>> {
    at_desk(&app, move || caller.desk.indicators()).await
}

#[utoipa::path(get, path = "/api/v1/reports", responses((status = 200, body = Vec<SavedReportSummary>), (status = 403, body = Problem)))]
async fn reports(State(app): State<App>, caller: Caller) -> Answer<Vec<SavedReportSummary>> {
    at_desk(&app, move || caller.desk.saved_reports()).await
}

#[utoipa::path(post, path = "/api/v1/reports", request_body = SavedReportInput, responses((status = 200, body = Made), (status = 403, body = Problem), (status = 422, body = Problem)))]
async fn make_report(State(app): State<App>, caller: Caller, Body(input): Body<SavedReportInput>) -> Answer<Made> {
    at_desk(&app, move || caller.desk.save_report(None, &input).map(|id| Made { id })).await
}

#[utoipa::path(get, path = "/api/v1/reports/{id}", params(("id" = String, Path), ("from" = Option<String>, Query), ("to" = Option<String>, Query)), responses((status = 200, body = SavedReportView), (status = 403, body = Problem), (status = 404, body = Problem), (status = 422, body = Problem)))]
async fn saved_report(
    State(app): State<App>,
    Path(id): Path<RecordId>,
    caller: Caller,
    Query(asked): Query<AskedDays>,
) -> Answer<SavedReportView> {
    let period = match (asked.from, asked.to) {
        (None, None) => None,
        (Some(from), Some(to)) => Some(period(from, to)?),
        _ => {
            let said = "a period has both days: say from and to, or neither";
            return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "error-invalid", said));
        }
    };
    at_desk(&app, move || caller.desk.saved_report(id, period)).await
}

#[utoipa::path(put, path = "/api/v1/reports/{id}", params(("id" = String, Path)), request_body = SavedReportInput, responses((status = 200, body = Made), (status = 403, body = Problem), (status = 404, body = Problem), (status = 422, body = Problem)))]
async fn change_report(
    State(app): State<App>,
    Path(id): Path<RecordId>,
    caller: Caller,
    Body(input): Body<SavedReportInput>,
) -> Answer<Made> {
    at_desk(&app, move || caller.desk.save_report(Some(id), &input).map(|id| Made { id })).await
}

#[utoipa::path(put, path = "/api/v1/reports/{id}/figures/{figure}", params(("id" = String, Path), ("figure" = String, Path)), request_body = ReportLineInput, responses((status = 200, body = Done), (status = 403, body = Problem), (status = 404, body = Problem), (status = 422, body = Problem)))]
async fn say_of_figure(
    State(app): State<App>,
    Path((id, figure)): Path<(RecordId, String)>,
    caller: Caller,
    Body(input): Body<ReportLineInput>,
) -> Answer<Done> {
    at_desk(&app, move || caller.desk.say_of_figure(id, &figure, &input).map(|()| DONE)).await
}

#[utoipa::path(delete, path = "/api/v1/reports/{id}", params(("id" = String, Path)), responses((status = 200, body = Done), (status = 403, body = Problem), (status = 404, body = Problem)))]
async fn drop_report(State(app): State<App>, Path(id): Path<RecordId>, caller: Caller) -> Answer<Done> {
    at_desk(&app, move || caller.desk.drop_report(id).map(|()| DONE)).await
}

#[utoipa::path(get, path = "/api/v1/figures/quality", responses((status = 200, body = QualityView), (status = 403, body = Problem)))]
async fn quality(State(app): State<App>, caller: Caller) -> Answer<QualityView> {
    at_desk(&app, move || caller.desk.quality()).await
}

pub(super) fn routes() -> Router<App> {
    Router::new()
        .route("/figures", get(figures))
        .route("/figures/report", get(report))
        .route("/figures/time", get(figure_over_time))
        .route("/figures/quality", get(quality))
        .route("/indicators", get(indicators))
        .route("/reports", get(reports).post(make_report))
        .route("/reports/{id}", get(saved_report).put(change_report).delete(drop_report))
        .route("/reports/{id}/figures/{figure}", put(say_of_figure))
}

#[derive(utoipa::OpenApi)]
#[openapi(paths(
    figures,
    report,
    figure_over_time,
    quality,
    indicators,
    reports,
    make_report,
    saved_report,
    change_report,
    say_of_figure,
    drop_report
))]
pub(super) struct Document;
