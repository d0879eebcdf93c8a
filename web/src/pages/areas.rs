//! The office's map of areas, and figures on it.

use crate::App;
use crate::api::{self, Answer, Caller, Done, Problem};
use crate::form::Form;
use crate::page::{Page, Signed, go, html, html_with};
use askama::Template;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Multipart, State};
use axum::response::Response;
use axum::routing::get;
use axum::{Json, Router};
use casemesh_node::areas::AREAS_BYTES_MAX;
use casemesh_node::office::{AreaValue, AreaView, AreasView, DeskError, MapView};
use casemesh_node::policy::Ask;
use serde::Deserialize;

/// Longest request: the file, and the field beside it.
const BODY_BYTES_MAX: usize = AREAS_BYTES_MAX + 64 * 1024;

pub(crate) fn routes() -> Router<App> {
    Router::new()
        .route("/areas", get(show).post(import))
        .route("/api/v1/areas", get(api_show).post(api_import))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
}

#[derive(Template)]
#[template(path = "areas.html")]
struct AreasPage {
    page: Page,
    form: Form,
    map: Option<AreasView>,
    may_import: bool,
}

impl AreasPage {
    fn count(&self, map: &AreasView) -> String {
        self.page.n("areas-count", &map.areas.len())
    }
}

async fn page(app: &App, signed: Signed, form: Form) -> Response {
    let desk = signed.desk.clone();
    match app.run(move || desk.areas()).await {
        Ok(map) => {
            let may_import = signed.desk.may(Ask::KeepReports);
            let status = form.status();
            html_with(status, &AreasPage { page: signed.page, form, map, may_import })
        }
        Err(error) => signed.refused(&error),
    }
}

async fn show(State(app): State<App>, signed: Signed) -> Response {
    page(&app, signed, Form::default()).await
}

async fn import(State(app): State<App>, signed: Signed, parts: Multipart) -> Response {
    let (form, name, file) = match crate::documents::read(parts, AREAS_BYTES_MAX).await {
        Ok(sent) => sent,
        Err(problem) => return page(&app, signed, Form::default().with_problems(vec![problem])).await,
    };
    let (desk, property) = (signed.desk.clone(), form.text("property"));
    match app.run(move || desk.import_areas(&name, &file, &property)).await {
        Ok(()) => go("/areas"),
        Err(DeskError::Invalid(problems)) => page(&app, signed, form.with_problems(problems)).await,
        Err(error) => signed.refused(&error),
    }
}

/// The file's name, and the property that names its areas.
#[derive(Deserialize)]
struct Imported {
    #[serde(default)]
    name: String,
    #[serde(default)]
    property: String,
}

#[utoipa::path(get, path = "/api/v1/areas", responses((status = 200, description = "The map; null where none was imported.", body = Option<AreasView>), (status = 403, body = Problem)))]
async fn api_show(State(app): State<App>, caller: Caller) -> Answer<Option<AreasView>> {
    Ok(Json(app.run(move || caller.desk.areas()).await?))
}

#[utoipa::path(post, path = "/api/v1/areas", params(("name" = Option<String>, Query), ("property" = Option<String>, Query)), request_body(content = Vec<u8>, content_type = "application/octet-stream"), responses((status = 200, body = Done), (status = 403, body = Problem), (status = 413, description = "The file is too long."), (status = 422, body = Problem)))]
async fn api_import(
    State(app): State<App>,
    caller: Caller,
    api::Query(asked): api::Query<Imported>,
    file: Bytes,
) -> Answer<Done> {
    app.run(move || caller.desk.import_areas(&asked.name, &file, &asked.property)).await?;
    Ok(Json(Done { done: true }))
}

#[derive(utoipa::OpenApi)]
#[openapi(paths(api_show, api_import))]
pub(crate) struct Document;

/// A figure on the map, with the table that it is drawn from.
#[derive(Template)]
#[template(path = "map.html")]
pub(crate) struct MapPage {
    pub(crate) page: Page,
    pub(crate) map: MapView,
    /// At a collector: the totals that it belongs to.
    pub(crate) collector: Option<String>,
    /// Whether only the work that is counted for one grant is asked for.
    pub(crate) of_grant: bool,
}

impl MapPage {
    pub(crate) fn answer(&self) -> Response {
        html(self)
    }

    fn title(&self) -> &str {
        self.page.titled(&self.map.title, &self.map.id)
    }

    /// Places of which something is said, the largest first.
    fn lines(&self) -> Vec<(&AreaView, AreaValue)> {
        let mut all: Vec<(&AreaView, AreaValue)> =
            self.map.areas.iter().filter_map(|area| Some((area, area.said?))).collect();
        all.sort_by(|(one, said), (other, also)| also.value.cmp(&said.value).then_with(|| one.name.cmp(&other.name)));
        all
    }

    /// What each shade stands for: from the smallest to the largest number that has it.
    fn legend(&self) -> Vec<(u8, u64, u64)> {
        let of = |heat: u8| {
            let on_map = self.map.areas.iter().filter(|area| area.heat == heat && !area.path.is_empty());
            let values: Vec<u64> = on_map.filter_map(|area| area.said?.value).collect();
            Some((heat, *values.iter().min()?, *values.iter().max()?))
        };
        (0..=4).filter_map(of).collect()
    }
}
