//! Tasks: a list, and settling them. And who is responsible for what.

use crate::App;
use crate::form::Form;
use crate::page::{Page, Sent, Signed, go, html_with};
use askama::Template;
use axum::Router;
use axum::extract::{Path, Query, State};
use axum::response::Response;
use axum::routing::{get, post};
use casemesh_node::office::{
    Desk, DeskError, FieldProblem, StandingInput, TaskChange, TaskFilter, TaskInput, TaskView,
};
use casemesh_node::records::TaskState;
use casemesh_protocol::id::{RecordId, StaffId};

pub(crate) fn routes() -> Router<App> {
    Router::new()
        .route("/tasks", get(list).post(add_office))
        .route("/tasks/{id}", get(one).post(change))
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
    form: Form,
    colleagues: Vec<(String, String)>,
}

fn colleagues(desk: &Desk) -> Vec<(String, String)> {
    desk.colleagues().into_iter().map(|(id, name)| (id.to_string(), name)).collect()
}

async fn list(State(app): State<App>, signed: Signed, Query(filter): Query<TaskFilter>) -> Response {
    page(&app, signed, filter, Form::default()).await
}

async fn page(app: &App, signed: Signed, filter: TaskFilter, form: Form) -> Response {
    let status = form.status();
    let (desk, asked) = (signed.desk.clone(), filter.clone());
    match app.run(move || desk.tasks(&asked)).await {
        Ok((tasks, total)) => html_with(
            status,
            &TasksPage {
                colleagues: colleagues(&signed.desk),
                form,
                page: signed.page,
                more: filter.page.saturating_add(1).saturating_mul(casemesh_node::office::PAGE_ROWS) < total,
                tasks,
                total,
                mine: filter.mine,
                number: filter.page,
            },
        ),
        Err(error) => signed.refused(&error),
    }
}

fn back(form: &Form, otherwise: &str) -> Response {
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

async fn add_office(State(app): State<App>, Sent { signed, form }: Sent) -> Response {
    let (desk, input) = (signed.desk.clone(), input(&form));
    match app.run(move || desk.add_office_task(&input)).await {
        Ok(_) => back(&form, "/tasks"),
        Err(DeskError::Invalid(problems)) => {
            page(&app, signed, TaskFilter::default(), form.with_problems(problems)).await
        }
        Err(error) => signed.refused(&error),
    }
}

#[derive(Template)]
#[template(path = "task.html")]
struct TaskPage {
    page: Page,
    task: TaskView,
    form: Form,
    colleagues: Vec<(String, String)>,
}

async fn task_page(app: &App, signed: Signed, id: RecordId, form: Option<Form>) -> Response {
    let desk = signed.desk.clone();
    let task = match app.run(move || desk.task(id)).await {
        Ok(task) => task,
        Err(error) => return signed.refused(&error),
    };
    let form = form.unwrap_or_else(|| Form::of(&[("due", &task.due.to_string())]));
    let status = form.status();
    html_with(status, &TaskPage { colleagues: colleagues(&signed.desk), page: signed.page, task, form })
}

async fn one(State(app): State<App>, Path(id): Path<RecordId>, signed: Signed) -> Response {
    task_page(&app, signed, id, None).await
}

async fn change(State(app): State<App>, Path(id): Path<RecordId>, Sent { signed, form }: Sent) -> Response {
    let input = TaskChange { due: form.text("due"), owner: form.text("owner") };
    let desk = signed.desk.clone();
    match app.run(move || desk.change_task(id, &input)).await {
        Ok(()) => back(&form, "/tasks"),
        Err(DeskError::Invalid(problems)) => task_page(&app, signed, id, Some(form.with_problems(problems))).await,
        Err(error) => signed.refused(&error),
    }
}

fn input(form: &Form) -> TaskInput {
    TaskInput { kind: form.text("kind"), title: form.text("title"), due: form.text("due"), owner: form.text("owner") }
}

async fn add(State(app): State<App>, Path(case): Path<RecordId>, Sent { signed, form }: Sent) -> Response {
    let (desk, input) = (signed.desk.clone(), input(&form));
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
    let input = StandingInput {
        state: form.text("state"),
        rest_reason: form.text("rest_reason"),
        rest_until: form.text("rest_until"),
    };
    match app.run(move || desk.set_case_state(case, &input)).await {
        Ok(()) => go(&format!("/cases/{case}")),
        Err(DeskError::Invalid(problems)) => {
            super::cases::with_standing_problems(&app, signed, case, form.with_problems(problems)).await
        }
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
