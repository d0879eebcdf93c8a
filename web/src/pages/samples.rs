//! Sample checks: asked, answered, carried out and told.

use crate::App;
use crate::form::Form;
use crate::page::{Page, Sent, Signed, go, html_with};
use askama::Template;
use axum::Router;
use axum::extract::{Path, State};
use axum::response::Response;
use axum::routing::{get, post};
use casemesh_node::office::{DeskError, SampleInput, SampleLineView, SampleResultInput, SampleSheet, SampleView};
use casemesh_node::policy::Ask;
use casemesh_node::records::SampleState;
use casemesh_protocol::id::RecordId;
use casemesh_protocol::sample::{SampleField, SampleResult};

pub(crate) fn routes() -> Router<App> {
    Router::new()
        .route("/samples", get(list).post(ask))
        .route("/samples/{id}", get(show))
        .route("/samples/{id}/answer", post(answer))
        .route("/samples/{id}/tell", post(tell))
        .route("/samples/{id}/cases/{case}", post(note))
}

#[derive(Template)]
#[template(path = "samples.html")]
struct SamplesPage {
    page: Page,
    form: Form,
    checks: Vec<SampleView>,
    /// Offices that can be asked; none where this one does not collect.
    offices: Vec<(String, String)>,
    /// Whether this office can check itself.
    asks_own: bool,
}

impl SamplesPage {
    fn may_begin(&self) -> bool {
        self.asks_own || !self.offices.is_empty()
    }
}

async fn list_page(app: &App, signed: Signed, form: Form) -> Response {
    let desk = signed.desk.clone();
    let load = move || Ok::<_, DeskError>((desk.samples()?, desk.sample_offices()));
    let (checks, offices) = match app.run(load).await {
        Ok(loaded) => loaded,
        Err(error) => return signed.refused(&error),
    };
    let status = form.status();
    let asks_own = signed.desk.may(Ask::ApproveTable);
    let offices = offices.into_iter().map(|(id, name)| (id.to_string(), name)).collect();
    html_with(status, &SamplesPage { page: signed.page, form, checks, offices, asks_own })
}

async fn list(State(app): State<App>, signed: Signed) -> Response {
    list_page(&app, signed, Form::of(&[("count", "10")])).await
}

async fn ask(State(app): State<App>, Sent { signed, form }: Sent) -> Response {
    let input = SampleInput {
        office: form.text("office"),
        from: form.text("from"),
        to: form.text("to"),
        count: form.text("count"),
    };
    let desk = signed.desk.clone();
    match app.run(move || desk.ask_sample(&input)).await {
        Ok(id) => go(&format!("/samples/{id}")),
        Err(DeskError::Invalid(problems)) => list_page(&app, signed, form.with_problems(problems)).await,
        Err(error) => signed.refused(&error),
    }
}

#[derive(Template)]
#[template(path = "sample.html")]
struct SamplePage {
    page: Page,
    form: Form,
    sheet: SampleSheet,
    /// Whether this account decides what leaves.
    decides: bool,
    results: &'static [SampleResult],
    fields: &'static [SampleField],
}

impl SamplePage {
    /// What was sent for a case and could not be taken, if this is the one.
    fn sent(&self, line: &SampleLineView) -> bool {
        self.form.get("case") == line.case.to_string()
    }

    fn is_result(&self, line: &SampleLineView, result: &SampleResult) -> bool {
        if self.sent(line) { self.form.get("result") == result.as_str() } else { line.result == Some(*result) }
    }

    fn differs(&self, line: &SampleLineView, field: &SampleField) -> bool {
        if self.sent(line) { self.form.is("fields", field.as_str()) } else { line.fields.contains(field) }
    }

    fn waits(&self) -> bool {
        self.sheet.check.state == SampleState::Waiting && !self.sheet.check.outgoing
    }

    /// Whether it is another office's to answer.
    fn is_asked(&self) -> bool {
        self.sheet.check.outgoing && matches!(self.sheet.check.state, SampleState::Waiting | SampleState::Open)
    }

    fn is_open(&self) -> bool {
        self.sheet.check.state == SampleState::Open && !self.sheet.check.outgoing
    }
}

async fn sheet_page(app: &App, signed: Signed, id: RecordId, form: Form) -> Response {
    let desk = signed.desk.clone();
    match app.run(move || desk.sample_sheet(id)).await {
        Ok(sheet) => {
            let status = form.status();
            let decides = signed.desk.may(Ask::ApproveTable);
            let (results, fields) = (SampleResult::ALL, SampleField::ALL);
            html_with(status, &SamplePage { page: signed.page, form, sheet, decides, results, fields })
        }
        Err(error) => signed.refused(&error),
    }
}

async fn show(State(app): State<App>, Path(id): Path<RecordId>, signed: Signed) -> Response {
    sheet_page(&app, signed, id, Form::default()).await
}

/// What came of an action on a check: its page again, at the place where something was done.
async fn done(
    app: &App,
    signed: Signed,
    id: RecordId,
    form: Form,
    result: Result<(), DeskError>,
    place: &str,
) -> Response {
    match result {
        Ok(()) => go(&format!("/samples/{id}{place}")),
        Err(DeskError::Invalid(problems)) => sheet_page(app, signed, id, form.with_problems(problems)).await,
        Err(error) => signed.refused(&error),
    }
}

async fn answer(State(app): State<App>, Path(id): Path<RecordId>, Sent { signed, form }: Sent) -> Response {
    let (desk, takes_part, reason) = (signed.desk.clone(), form.get("takes_part") == "yes", form.text("reason"));
    let result = app.run(move || desk.answer_sample(id, takes_part, &reason)).await;
    done(&app, signed, id, form, result, "").await
}

async fn tell(State(app): State<App>, Path(id): Path<RecordId>, Sent { signed, form }: Sent) -> Response {
    let desk = signed.desk.clone();
    let result = app.run(move || desk.tell_sample(id)).await;
    done(&app, signed, id, form, result, "").await
}

async fn note(
    State(app): State<App>,
    Path((id, case)): Path<(RecordId, RecordId)>,
    Sent { signed, form }: Sent,
) -> Response {
    let input = SampleResultInput { result: form.text("result"), fields: form.all("fields") };
    let desk = signed.desk.clone();
    let result = app.run(move || desk.note_sample(id, case, &input)).await;
    done(&app, signed, id, form, result, &format!("#line-{case}")).await
}
