//! The page of the network: the other offices, whose line stands, what waits for whom, and what is carried by hand.

use crate::App;
use crate::documents::{self, handed_out};
use crate::form::Form;
use crate::page::{Page, Sent, Signed, html_with};
use askama::Template;
use axum::Router;
use axum::extract::{DefaultBodyLimit, Multipart, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::{get, post};
use casemesh_node::bundle::{Brought, Packed};
use casemesh_node::office::{DeskError, HandedOut, NetworkView};
use casemesh_protocol::limits::BUNDLE_BYTES_MAX;
use casemesh_protocol::time::Day;

/// Longest request: the file, and the fields around it.
const BODY_BYTES_MAX: usize = BUNDLE_BYTES_MAX + 1024 * 1024;

pub(crate) fn routes() -> Router<App> {
    Router::new()
        .route("/network", get(show))
        .route("/network/pack", post(pack))
        .route("/network/bring", post(bring))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
}

#[derive(Template)]
#[template(path = "network.html")]
struct NetworkPage {
    page: Page,
    network: Option<NetworkView>,
    form: Form,
    brought: Option<Brought>,
}

impl NetworkPage {
    fn name_of(&self, office: &casemesh_protocol::id::OfficeId) -> String {
        let members = self.network.iter().flat_map(|network| &network.members);
        let mut named = members.filter(|member| member.office == *office).map(|member| member.name.clone());
        named.next().unwrap_or_default()
    }
}

async fn network_page(app: &App, signed: Signed, form: Form, brought: Option<Brought>) -> Response {
    let desk = signed.desk.clone();
    let status = if form.problems().is_empty() { StatusCode::OK } else { StatusCode::UNPROCESSABLE_ENTITY };
    match app.run(move || Ok::<_, DeskError>(desk.network())).await {
        Ok(network) => html_with(status, &NetworkPage { page: signed.page, network, form, brought }),
        Err(error) => signed.refused(&error),
    }
}

async fn show(State(app): State<App>, signed: Signed) -> Response {
    network_page(&app, signed, Form::default(), None).await
}

/// The file as it is saved. Its name says nothing of whose it is.
pub(crate) fn file_of(packed: Packed, today: Day) -> Response {
    let rest = if packed.left > 0 { "-not-all" } else { "" };
    let name = format!("packets-{today}{rest}.cmb");
    handed_out(HandedOut { name, media_type: "application/octet-stream", bytes: packed.bytes })
}

async fn pack(State(app): State<App>, Sent { signed, form }: Sent) -> Response {
    let (desk, to) = (signed.desk.clone(), form.text("to"));
    let today = desk.today();
    match app.run(move || desk.pack_bundle(&to)).await {
        Ok(packed) => file_of(packed, today),
        Err(DeskError::Invalid(problems)) => network_page(&app, signed, form.with_problems(problems), None).await,
        Err(error) => signed.refused(&error),
    }
}

async fn bring(State(app): State<App>, signed: Signed, parts: Multipart) -> Response {
    let (form, _, file) = match documents::read(parts, BUNDLE_BYTES_MAX).await {
        Ok(sent) => sent,
        Err(problem) => return network_page(&app, signed, Form::default().with_problems(vec![problem]), None).await,
    };
    let desk = signed.desk.clone();
    match app.run(move || desk.bring_bundle(&file)).await {
        Ok(brought) => network_page(&app, signed, Form::default(), Some(brought)).await,
        Err(DeskError::Invalid(problems)) => network_page(&app, signed, form.with_problems(problems), None).await,
        Err(error) => signed.refused(&error),
    }
}
