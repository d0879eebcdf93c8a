//! Accounts and settings.

use crate::App;
use crate::form::Form;
use crate::page::{Page, Sent, Signed, go, html_with};
use askama::Template;
use axum::Router;
use axum::extract::{Path, State};
use axum::response::Response;
use axum::routing::{get, post};
use casemesh_crypto::passphrase::Cost;
use casemesh_node::names;
use casemesh_node::office::{DeskError, RolesInput, SettingsInput, StaffInput, StaffView};
use casemesh_node::packs::HIDEABLE;
use casemesh_node::records::StaffRole;
use casemesh_protocol::id::StaffId;
use casemesh_protocol::timers::{Hours, Rules, URGENCIES};
use std::collections::BTreeMap;

pub(crate) fn routes() -> Router<App> {
    Router::new()
        .route("/staff", get(show).post(add))
        .route("/staff/{id}/end", post(end))
        .route("/staff/{id}/end-sessions", post(end_sessions))
        .route("/staff/{id}/team", post(team))
        .route("/staff/{id}/reset-factor", post(reset_factor))
        .route("/staff/{id}/reset-password", post(reset_password))
        .route("/staff/{id}/roles", post(roles))
        .route("/settings", post(settings))
}

#[derive(Template)]
#[template(path = "staff.html")]
struct StaffPage {
    page: Page,
    form: Form,
    staff: Vec<StaffView>,
    roles: Vec<String>,
    office_name: String,
    currency: String,
    zone: String,
    recall_minutes: u16,
    /// Rules on how long answers may take: the name, what holds, and what is set here.
    timers: Vec<(&'static str, Vec<TimerCell>)>,
    hidden_fields: Vec<(&'static str, bool)>,
    hidden_figures: Vec<(String, bool)>,
    small_office: bool,
    approve_closure: bool,
    factor_to_administer: bool,
    all_roles: &'static [StaffRole],
    modules: Vec<(String, bool)>,
}

/// The hours of one urgency, as the form asks for them.
struct TimerCell {
    name: String,
    urgency: &'static str,
    /// What holds.
    holds: u32,
    /// What this office set; empty where it set nothing.
    own: String,
}

fn timers(rules: &BTreeMap<String, Hours>, own: &BTreeMap<String, Hours>) -> Vec<(&'static str, Vec<TimerCell>)> {
    let of_rule = |rule: &'static str| {
        let own = own.get(rule).copied().unwrap_or_default();
        let cells = URGENCIES.into_iter().zip(*rules.get(rule)?).zip(own).enumerate();
        let cells = cells.map(|(number, ((urgency, holds), own))| TimerCell {
            name: format!("timer_{rule}_{number}"),
            urgency,
            holds,
            own: if own == 0 { String::new() } else { own.to_string() },
        });
        Some((rule, cells.collect()))
    };
    Rules::NAMES.into_iter().filter_map(of_rule).collect()
}

/// The hours of a rule as they were sent; what is no number is out of every range, and said so.
fn hours(form: &Form, rule: &str) -> Hours {
    [0, 1, 2].map(|urgency| match names::ascii_digits(form.get(&format!("timer_{rule}_{urgency}")).trim()).as_str() {
        "" => 0,
        text => text.parse().unwrap_or(u32::MAX),
    })
}

async fn staff_page(app: &App, signed: Signed, form: Form) -> Response {
    let desk = signed.desk.clone();
    let desk_rules = desk.rules();
    let status = form.status();
    match app.run(move || Ok::<_, DeskError>((desk.staff_list()?, desk.settings()?))).await {
        Ok((staff, settings)) => {
            let timers = timers(&desk_rules, &SettingsInput::from(settings.clone()).timers);
            html_with(
                status,
                &StaffPage {
                    page: signed.page,
                    form,
                    staff,
                    roles: StaffRole::ALL.iter().map(ToString::to_string).collect(),
                    office_name: settings.name,
                    currency: settings.currency.to_string(),
                    zone: settings.zone.clone(),
                    recall_minutes: settings.recall_minutes,
                    timers,
                    hidden_fields: HIDEABLE
                        .iter()
                        .map(|field| (*field, settings.hidden_fields.iter().any(|hidden| hidden == field)))
                        .collect(),
                    hidden_figures: casemesh_node::indicators::national()
                        .indicators
                        .iter()
                        .map(|one| (one.id.clone(), settings.hidden_figures.contains(&one.id)))
                        .collect(),
                    small_office: settings.small_office,
                    approve_closure: settings.approve_closure,
                    factor_to_administer: settings.factor_to_administer,
                    all_roles: StaffRole::ALL,
                    modules: casemesh_node::packs::modules()
                        .into_iter()
                        .map(|module| (module.to_owned(), settings.modules.iter().any(|on| on == module)))
                        .collect(),
                },
            )
        }
        Err(error) => signed.refused(&error),
    }
}

async fn show(State(app): State<App>, signed: Signed) -> Response {
    staff_page(&app, signed, Form::default()).await
}

async fn add(State(app): State<App>, Sent { signed, form }: Sent) -> Response {
    let input = StaffInput {
        sign_in: form.text("sign_in"),
        name: form.text("name"),
        roles: form.all("roles"),
        password: form.text("password"),
        unlocks: form.on("unlocks"),
        ends_on: form.text("ends_on"),
        ends_at: form.text("ends_at"),
    };
    let desk = signed.desk.clone();
    match app.run(move || desk.add_staff(&input, Cost::FLOOR)).await {
        Ok(_) => go("/staff"),
        Err(DeskError::Invalid(problems)) => staff_page(&app, signed, form.with_problems(problems)).await,
        Err(error) => signed.refused(&error),
    }
}

/// After something that ends the sessions of an account, or waits for approval.
fn done(app: &App, signed: &Signed, id: StaffId, done: Result<bool, DeskError>) -> Response {
    match done {
        Ok(true) => go("/requests"),
        Ok(false) => {
            app.node.end_sessions(id);
            go("/staff")
        }
        Err(error) => signed.refused(&error),
    }
}

async fn end(State(app): State<App>, Path(id): Path<StaffId>, Sent { signed, .. }: Sent) -> Response {
    let desk = signed.desk.clone();
    let ended = app.run(move || desk.end_staff(id)).await;
    done(&app, &signed, id, ended)
}

async fn reset_password(State(app): State<App>, Path(id): Path<StaffId>, Sent { signed, form }: Sent) -> Response {
    let (desk, password) = (signed.desk.clone(), form.text("password"));
    match app.run(move || desk.reset_password(id, &password, Cost::FLOOR)).await {
        Err(DeskError::Invalid(problems)) => staff_page(&app, signed, Form::default().with_problems(problems)).await,
        reset => done(&app, &signed, id, reset),
    }
}

async fn end_sessions(State(app): State<App>, Path(id): Path<StaffId>, Sent { signed, .. }: Sent) -> Response {
    let desk = signed.desk.clone();
    match app.run(move || desk.may_end_sessions(id)).await {
        Ok(()) => {
            app.node.end_sessions(id);
            go("/staff")
        }
        Err(error) => signed.refused(&error),
    }
}

async fn team(State(app): State<App>, Path(id): Path<StaffId>, Sent { signed, form }: Sent) -> Response {
    let (desk, team) = (signed.desk.clone(), form.text("team"));
    match app.run(move || desk.change_team(id, &team)).await {
        Ok(_) => go("/staff"),
        Err(DeskError::Invalid(problems)) => staff_page(&app, signed, Form::default().with_problems(problems)).await,
        Err(error) => signed.refused(&error),
    }
}

async fn reset_factor(State(app): State<App>, Path(id): Path<StaffId>, Sent { signed, .. }: Sent) -> Response {
    let desk = signed.desk.clone();
    let reset = app.run(move || desk.reset_factor(id)).await;
    done(&app, &signed, id, reset)
}

async fn roles(State(app): State<App>, Path(id): Path<StaffId>, Sent { signed, form }: Sent) -> Response {
    let input = RolesInput { roles: form.all("roles"), ends_on: form.text("ends_on"), ends_at: form.text("ends_at") };
    let desk = signed.desk.clone();
    match app.run(move || desk.change_roles(id, &input)).await {
        Ok(()) => go("/staff"),
        Err(DeskError::Invalid(problems)) => staff_page(&app, signed, Form::default().with_problems(problems)).await,
        Err(error) => signed.refused(&error),
    }
}

async fn settings(State(app): State<App>, Sent { signed, form }: Sent) -> Response {
    let input = SettingsInput {
        name: form.text("name"),
        small_office: form.on("small_office"),
        currency: form.text("currency"),
        modules: form.all("modules"),
        approve_closure: form.on("approve_closure"),
        factor_to_administer: form.on("factor_to_administer"),
        zone: form.text("zone"),
        hidden_fields: form.all("hidden_fields"),
        hidden_figures: form.all("hidden_figures"),
        recall_minutes: match names::ascii_digits(form.get("recall_minutes").trim()).as_str() {
            "" => 0,
            // What is no number is out of every range, and said so.
            text => text.parse().unwrap_or(u16::MAX),
        },
        timers: Rules::NAMES.into_iter().map(|rule| (rule.to_owned(), hours(&form, rule))).collect(),
    };
    let desk = signed.desk.clone();
    match app.run(move || desk.change_settings(&input)).await {
        Ok(()) => go("/staff"),
        Err(DeskError::Invalid(problems)) => staff_page(&app, signed, form.with_problems(problems)).await,
        Err(error) => signed.refused(&error),
    }
}
