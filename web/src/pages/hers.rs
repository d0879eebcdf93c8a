//! The client's own view: a page to turn towards her. Her words come first; nobody else stands in it.

use crate::App;
use crate::page::{Page, Signed, html};
use askama::Template;
use axum::Router;
use axum::extract::{Path, State};
use axum::response::Response;
use axum::routing::get;
use casemesh_node::office::{Field, OwnView};
use casemesh_protocol::id::RecordId;

pub(crate) fn routes() -> Router<App> {
    Router::new().route("/people/{id}/view", get(show))
}

#[derive(Template)]
#[template(path = "hers.html")]
struct OwnPage {
    page: Page,
    own: OwnView,
}

impl OwnPage {
    fn fields(&self) -> Vec<(&'static str, &Field)> {
        super::people::fields(&self.own.person)
    }
}

async fn show(State(app): State<App>, Path(id): Path<RecordId>, signed: Signed) -> Response {
    let desk = signed.desk.clone();
    match app.run(move || desk.own_view(id)).await {
        Ok(own) => html(&OwnPage { page: signed.page, own }),
        Err(error) => signed.refused(&error),
    }
}
