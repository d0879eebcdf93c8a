//! Tasks: a list, and settling them. And who is responsible for what.

use crate::App;
use crate::page::{Page, Sent, Signed, go, html};
use askama::Template;
use axum::Router;
use axum::extract::{Path, Query, State};
use axum::response::Response;
use axum::routing::{get, post};
use casemesh_node::office::{DeskError, FieldProblem, TaskFilter, TaskInput, TaskView};
use casemesh_node::records::{CaseState, TaskState};
use casemesh_protocol::id::{RecordId, StaffId};

pub(crate) fn routes() -> Router<App> {
    Router::new()
        .route("/tasks", get(list))
        .route("/tasks/{id}/settle", post(settle))
        .route("/cases/{id}/tasks", post(add))
        .route("/cases/{id}/state", post(state))
        .route("/cases/{id}/owner", post(assign))
        .route("/team/hand-over", post(hand_over))
}

#[derive(Template)]
#[template(path = "tasks.html")]
struct TasksPage {
    page: Page,
    tasks: Vec<TaskView>,
    total: usize,
    mine: bool,
    number: usize,
    more: bool,
}

async fn list(State(app): State<App>, signed: Signed, Query(filter): Query<TaskFilter>) -> Response {
    let (desk, asked) = (signed.desk.clone(), filter.clone());
    match app.run(move || desk.tasks(&asked)).await {
        Ok((tasks, total)) => html(&TasksPage {
            page: signed.page,
            more: filter.page.saturating_add(1).saturating_mul(casemesh_node::office::PAGE_ROWS) < total,
            tasks,
            total,
            mine: filter.mine,
            number: filter.page,
        }),
        Err(error) => signed.refused(&error),
    }
}

fn back(form: &crate::form::Form, otherwise: &str) -> Response {
    let then = form.get("then");
    go(if crate::page::is_own_path(then) { then } else { otherwise })
}

async fn settle(State(app): State<App>, Path(id): Path<RecordId>, Sent { signed, form }: Sent) -> Response {
    let desk = signed.desk.clone();
    let state = if form.get("state") == "cancelled" { TaskState::Cancelled } else { TaskState::Done };
    match app.run(move || desk.settle_task(id, state)).await {
        Ok(()) => back(&form, "/tasks"),
        Err(error) => signed.refused(&error),
    }
}

async fn add(State(app): State<App>, Path(case): Path<RecordId>, Sent { signed, form }: Sent) -> Response {
    let input = TaskInput {
        kind: form.text("kind"),
        title: form.text("title"),
        due: form.text("due"),
        owner: form.text("owner"),
    };
    let desk = signed.desk.clone();
    match app.run(move || desk.add_task(case, &input)).await {
        Ok(_) => back(&form, &format!("/cases/{case}")),
        Err(DeskError::Invalid(problems)) => {
            super::cases::with_task_problems(&app, signed, case, form.with_problems(problems)).await
        }
        Err(error) => signed.refused(&error),
    }
}

fn unknown(field: &str) -> DeskError {
    DeskError::Invalid(vec![FieldProblem::new(field, "required")])
}

async fn state(State(app): State<App>, Path(case): Path<RecordId>, Sent { signed, form }: Sent) -> Response {
    let desk = signed.desk.clone();
    let Ok(state) = form.get("state").parse::<CaseState>() else { return signed.refused(&unknown("state")) };
    match app.run(move || desk.set_case_state(case, state)).await {
        Ok(()) => go(&format!("/cases/{case}")),
        Err(error) => signed.refused(&error),
    }
}

async fn assign(State(app): State<App>, Path(case): Path<RecordId>, Sent { signed, form }: Sent) -> Response {
    let desk = signed.desk.clone();
    let Ok(owner) = form.get("owner").parse::<StaffId>() else { return signed.refused(&unknown("owner")) };
    match app.run(move || desk.assign_case(case, owner)).await {
        Ok(()) => go(&format!("/cases/{case}")),
        Err(error) => signed.refused(&error),
    }
}

async fn hand_over(State(app): State<App>, Sent { signed, form }: Sent) -> Response {
    let desk = signed.desk.clone();
    let (Ok(from), Ok(to)) = (form.get("from").parse::<StaffId>(), form.get("to").parse::<StaffId>()) else {
        return signed.refused(&unknown("owner"));
    };
    match app.run(move || desk.hand_over(from, to)).await {
        Ok(_) => go("/"),
        Err(error) => signed.refused(&error),
    }
}
