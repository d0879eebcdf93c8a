//! Documents come and go: forms with files, the API's plain bodies, and what is handed out.

use crate::App;
use crate::api::{self, Answer, Caller, Made, Problem};
use crate::form::Form;
use crate::page::{Signed, go};
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Multipart, Path, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use casemesh_node::office::{DOCUMENT_BYTES_MAX, DeskError, DocumentInput, FieldProblem, HandedOut};
use casemesh_protocol::id::RecordId;

/// Longest request: the file, and the fields around it.
const BODY_BYTES_MAX: usize = DOCUMENT_BYTES_MAX + 1024 * 1024;

pub(crate) fn routes() -> Router<App> {
    Router::new()
        .route("/cases/{id}/documents", post(add))
        .route("/cases/{id}/documents/{document}/{version}", get(show))
        .route("/referrals/{id}/documents/{number}", get(show_shared))
        .route("/api/v1/referrals/{id}/documents/{number}", get(api_show_shared))
        .route("/api/v1/cases/{id}/documents", post(api_add))
        .route("/api/v1/cases/{id}/documents/{document}/{version}", get(api_show))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
}

/// What stands in a form with a file: its fields, the file's name, the file.
pub(crate) async fn read(parts: Multipart, max: usize) -> Result<(Form, String, Vec<u8>), FieldProblem> {
    let (form, mut files) = read_all(parts, max).await?;
    let (name, file) = files.pop().unwrap_or_default();
    Ok((form, name, file))
}

/// The same with several files.
pub(crate) async fn read_all(mut parts: Multipart, max: usize) -> Result<(Form, Vec<(String, Vec<u8>)>), FieldProblem> {
    let too_long = |_| FieldProblem::with("file", "file-too-long", max.div_ceil(1024 * 1024));
    let (mut form, mut files) = (Form::default(), Vec::new());
    while let Some(part) = parts.next_field().await.map_err(too_long)? {
        let field = part.name().unwrap_or_default().to_owned();
        if field == "file" {
            let name = part.file_name().unwrap_or_default().to_owned();
            files.push((name, part.bytes().await.map_err(too_long)?.to_vec()));
        } else {
            form.set(&field, part.text().await.map_err(too_long)?);
        }
    }
    Ok((form, files))
}

async fn add(State(app): State<App>, Path(id): Path<RecordId>, signed: Signed, parts: Multipart) -> Response {
    let (form, name, file) = match read(parts, DOCUMENT_BYTES_MAX).await {
        Ok(sent) => sent,
        Err(problem) => {
            let form = Form::default().with_problems(vec![problem]);
            return crate::pages::with_document_problems(&app, signed, id, form).await;
        }
    };
    let input =
        DocumentInput { document: form.text("document"), title: form.text("title"), tier: form.text("tier"), name };
    let desk = signed.desk.clone();
    match app.run(move || desk.add_document(id, &input, file)).await {
        Ok(_) => go(&format!("/cases/{id}#documents")),
        Err(DeskError::Invalid(problems)) => {
            crate::pages::with_document_problems(&app, signed, id, form.with_problems(problems)).await
        }
        Err(error) => signed.refused(&error),
    }
}

/// A file as it leaves: saved, never shown inside a page.
pub(crate) fn handed_out(file: HandedOut) -> Response {
    // RFC 6266 and RFC 8187: any name, as percent-encoded UTF-8.
    let encoded: String = file
        .name
        .bytes()
        .map(|byte| match byte {
            b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' | b'.' | b'-' | b'_' => char::from(byte).to_string(),
            other => format!("%{other:02X}"),
        })
        .collect();
    let mut response = (StatusCode::OK, Bytes::from(file.bytes)).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(file.media_type));
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("sandbox; default-src 'none'"));
    if let Ok(disposition) = HeaderValue::from_str(&format!("attachment; filename*=UTF-8''{encoded}")) {
        headers.insert(header::CONTENT_DISPOSITION, disposition);
    }
    response
}

type Which = Path<(RecordId, RecordId, usize)>;

async fn show(State(app): State<App>, Path((case, document, version)): Which, signed: Signed) -> Response {
    let desk = signed.desk.clone();
    match app.run(move || desk.hand_out(case, document, version)).await {
        Ok(file) => handed_out(file),
        Err(error) => signed.refused(&error),
    }
}

async fn show_shared(State(app): State<App>, Path((id, number)): Path<(RecordId, usize)>, signed: Signed) -> Response {
    let desk = signed.desk.clone();
    match app.run(move || desk.hand_out_shared(id, number)).await {
        Ok(file) => handed_out(file),
        Err(error) => signed.refused(&error),
    }
}

#[utoipa::path(get, path = "/api/v1/referrals/{id}/documents/{number}", params(("id" = String, Path), ("number" = usize, Path)), responses((status = 200, description = "The file.", body = Vec<u8>, content_type = "application/octet-stream"), (status = 403, body = Problem), (status = 404, body = Problem), (status = 409, body = Problem)))]
async fn api_show_shared(
    State(app): State<App>,
    api::Path((id, number)): api::Path<(RecordId, usize)>,
    caller: Caller,
) -> Result<Response, Problem> {
    Ok(handed_out(app.run(move || caller.desk.hand_out_shared(id, number)).await?))
}

#[utoipa::path(post, path = "/api/v1/cases/{id}/documents", params(("id" = String, Path), ("document" = Option<String>, Query), ("title" = Option<String>, Query), ("tier" = Option<String>, Query), ("name" = Option<String>, Query)), request_body(content = Vec<u8>, content_type = "application/octet-stream"), responses((status = 200, body = Made), (status = 403, body = Problem), (status = 404, body = Problem), (status = 413, description = "The file is too long."), (status = 422, body = Problem)))]
async fn api_add(
    State(app): State<App>,
    api::Path(id): api::Path<RecordId>,
    caller: Caller,
    api::Query(input): api::Query<DocumentInput>,
    file: Bytes,
) -> Answer<Made> {
    let add = move || caller.desk.add_document(id, &input, file.to_vec());
    Ok(Json(Made { id: app.run(add).await? }))
}

#[utoipa::path(get, path = "/api/v1/cases/{id}/documents/{document}/{version}", params(("id" = String, Path), ("document" = String, Path), ("version" = usize, Path)), responses((status = 200, description = "The file.", body = Vec<u8>, content_type = "application/octet-stream"), (status = 404, body = Problem)))]
async fn api_show(
    State(app): State<App>,
    api::Path((case, document, version)): api::Path<(RecordId, RecordId, usize)>,
    caller: Caller,
) -> Result<Response, Problem> {
    Ok(handed_out(app.run(move || caller.desk.hand_out(case, document, version)).await?))
}

#[derive(utoipa::OpenApi)]
#[openapi(paths(api_add, api_show, api_show_shared))]
pub(crate) struct Document;
