//! The pages and the JSON API of a Casemesh node.
//!
//! Pages are made on the server and work without JavaScript. Every page and every call works at the desk of
//! the person who signed in; nothing here reads the store. What was typed is never lost: wrong input
//! comes back in the form, and a form that was sent after the session ended waits until the person has
//! signed in again.

mod api;
mod assets;
mod charts;
mod documents;
mod form;
mod guard;
mod i18n;
mod page;
mod pages;

pub use api::openapi;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware;
use casemesh_node::node::Node;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::compression::CompressionLayer;
use tower_http::csrf::CsrfLayer;
use tower_http::timeout::TimeoutLayer;

/// Longest body of a form or call.
const BODY_BYTES_MAX: usize = 1024 * 1024;
/// Longest time for one request.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);
/// Requests that work at the store at a time; more wait.
const AT_WORK_MAX: usize = 64;

/// What every handler gets.
#[derive(Clone)]
pub(crate) struct App {
    node: Node,
    hosts: Arc<Vec<String>>,
    cookie: Arc<str>,
    browser_cookie: Arc<str>,
    at_work: Arc<Semaphore>,
}

impl App {
    /// Runs something that waits for the disk, away from the threads that serve connections.
    async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> T {
        let _permit = Arc::clone(&self.at_work).acquire_owned().await;
        match tokio::task::spawn_blocking(work).await {
            Ok(value) => value,
            // The panic goes on to the layer that turns it into an error page.
            Err(stopped) => std::panic::resume_unwind(stopped.into_panic()),
        }
    }
}

/// Serves the pages and the API of a node until `shutdown` ends.
///
/// # Errors
/// When the listener fails.
pub async fn serve(
    listener: TcpListener,
    node: Node,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    let port = listener.local_addr()?.port();
    let app = router(node, port);
    axum::serve(listener, app).with_graceful_shutdown(shutdown).await
}

/// The name of the session cookie of a node's pages. Ports share cookies: each office has a name of its own.
pub fn session_cookie(node: &Node) -> String {
    format!("__Host-sid-{}", short_name(node))
}

fn short_name(node: &Node) -> String {
    node.relay_office().to_string().chars().take(12).collect()
}

/// All routes of a node whose pages are on this port.
pub fn router(node: Node, port: u16) -> Router {
    let hosts = ["127.0.0.1", "localhost", "[::1]"].iter().map(|host| format!("{host}:{port}")).collect();
    let app = App {
        cookie: session_cookie(&node).into(),
        browser_cookie: format!("__Host-browser-{}", short_name(&node)).into(),
        node,
        hosts: Arc::new(hosts),
        at_work: Arc::new(Semaphore::new(AT_WORK_MAX)),
    };
    pages::routes()
        .layer(middleware::from_fn_with_state(app.clone(), pages::forget_what_was_sent))
        .merge(api::routes())
        .merge(assets::routes())
        .fallback(pages::not_found)
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(TimeoutLayer::with_status_code(axum::http::StatusCode::SERVICE_UNAVAILABLE, REQUEST_TIMEOUT))
        .merge(api::long_routes())
        .merge(documents::routes())
        // A case of many years is a long page, and lines are poor.
        .layer(CompressionLayer::new())
        .layer(CsrfLayer::new())
        .layer(middleware::from_fn_with_state(app.clone(), guard::hosts))
        .layer(CatchPanicLayer::custom(pages::panicked))
        .layer(middleware::from_fn(guard::headers))
        .with_state(app)
}
