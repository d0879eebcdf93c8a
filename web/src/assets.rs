//! Style sheet, script and icon: in the binary, under addresses that change with their content.

use crate::App;
use axum::Router;
use axum::http::header;
use axum::response::IntoResponse;
use axum::routing::get;
use std::sync::LazyLock;

const STYLE: &str = include_str!("../assets/style.css");
const SCRIPT: &str = include_str!("../assets/app.js");
const ICON: &str = include_str!("../assets/icon.svg");

/// The part of the addresses that changes with the content.
pub(crate) static VERSION: LazyLock<String> = LazyLock::new(|| {
    let digest = casemesh_crypto::hash::sha256(&[STYLE.as_bytes(), SCRIPT.as_bytes(), ICON.as_bytes()]);
    digest.to_string().chars().take(12).collect()
});

const FOR_EVER: &str = "public, max-age=31536000, immutable";

fn asset(kind: &'static str, body: &'static str) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, kind), (header::CACHE_CONTROL, FOR_EVER)], body)
}

pub(crate) fn routes() -> Router<App> {
    Router::new()
        .route("/a/{version}/style.css", get(|| async { asset("text/css; charset=utf-8", STYLE) }))
        .route("/a/{version}/app.js", get(|| async { asset("text/javascript; charset=utf-8", SCRIPT) }))
        .route("/a/{version}/icon.svg", get(|| async { asset("image/svg+xml", ICON) }))
}
