//! Cases.

use crate::App;
use crate::form::Form;
use crate::page::{Page, Sent, Signed, go, html, html_with};
use askama::Template;
use axum::Router;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::{get, post};
use casemesh_node::forms::About;
use casemesh_node::office::{
    ActionInput, ActionView, COUNTED_MAX, CaseChange, CaseFilter, CaseInput, CaseSummary, CaseView, ClosureInput,
    DeskError, FieldProblem, PAGE_ROWS, PaymentInput, PaymentView,
};
use casemesh_node::policy::{Ask, Denied, Relation};
use casemesh_node::records::{CaseState, PaymentKind, TaskKind, Tier};
use casemesh_node::vault::VaultError;
use casemesh_protocol::id::{RecordId, StaffId};
use serde::Deserialize;

pub(crate) fn routes() -> Router<App> {
    Router::new()
        .route("/cases", get(list))
        .route("/people/{id}/cases/new", get(open_form))
        .route("/people/{id}/cases", post(open))
        .route("/cases/{id}", get(show))
        .route("/cases/{id}/edit", get(edit_form).post(edit))
        .route("/cases/{id}/actions", post(add_action))
        .route("/cases/{id}/payments", post(add_payment))
        .route("/cases/{id}/close", post(close))
}

#[derive(Template)]
#[template(path = "cases.html")]
struct CasesPage {
    page: Page,
    cases: Vec<CaseSummary>,
    total: usize,
    mine: bool,
    closed: bool,
    stale: bool,
    unassigned: bool,
    owner: String,
    case_type: String,
    owners: Vec<(String, String)>,
    types: Vec<(String, String)>,
    number: usize,
    more: bool,
}

impl CasesPage {
    fn link(&self, number: usize) -> String {
        let Self { mine, closed, stale, unassigned, owner, case_type, .. } = self;
        format!(
            "/cases?mine={mine}&closed={closed}&stale={stale}&unassigned={unassigned}&owner={owner}&case_type={case_type}&page={number}"
        )
    }
}

async fn list(State(app): State<App>, signed: Signed, Query(filter): Query<CaseFilter>) -> Response {
    let desk = signed.desk.clone();
    let asked = filter.clone();
    match app.run(move || desk.cases(&asked)).await {
        Ok((cases, total)) => html(&CasesPage {
            owners: signed.desk.colleagues().into_iter().map(|(id, name)| (id.to_string(), name)).collect(),
            types: signed.page.options_with("case_type", &filter.case_type),
            page: signed.page,
            more: filter.page.saturating_add(1).saturating_mul(PAGE_ROWS) < total,
            cases,
            total,
            mine: filter.mine,
            closed: filter.closed,
            stale: filter.stale,
            unassigned: filter.unassigned,
            owner: filter.owner.parse::<StaffId>().map(|owner| owner.to_string()).unwrap_or_default(),
            case_type: Some(filter.case_type).filter(|code| is_code(code)).unwrap_or_default(),
            number: filter.page,
        }),
        Err(error) => signed.refused(&error),
    }
}

#[derive(Template)]
#[template(path = "case_form.html")]
struct CaseFormPage {
    page: Page,
    form: Form,
    action: String,
    client: String,
    types: Vec<(String, String)>,
    forums: Vec<(String, String)>,
    sources: Vec<(String, String)>,
}

async fn case_form(app: &App, signed: Signed, person: RecordId, form: Form) -> Response {
    let desk = signed.desk.clone();
    let status = form.status();
    match app.run(move || desk.person(person)).await {
        Ok(view) => html_with(
            status,
            &CaseFormPage {
                types: signed.page.options("case_type"),
                forums: signed.page.options("forum"),
                sources: signed.page.options("case_source"),
                page: signed.page,
                form,
                action: format!("/people/{person}/cases"),
                client: view.name,
            },
        ),
        Err(error) => signed.refused(&error),
    }
}

async fn open_form(State(app): State<App>, Path(person): Path<RecordId>, signed: Signed) -> Response {
    let mut signed = signed;
    signed.page = signed.page.starting_in("case_type");
    case_form(&app, signed, person, Form::default()).await
}

/// Where somebody goes who opened a case: to the case, or home where only others work with it.
pub(crate) fn opened(signed: &Signed, case: RecordId) -> Response {
    if signed.desk.may(Ask::SeeCase(Relation { assigned: true, ..Relation::default() })) {
        go(&format!("/cases/{case}"))
    } else {
        go("/?done=case-waits")
    }
}

/// Whether a text can be a code: no other goes into an address.
fn is_code(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

async fn open(State(app): State<App>, Path(person): Path<RecordId>, Sent { signed, form }: Sent) -> Response {
    let input = CaseInput {
        case_type: form.text("case_type"),
        forum: form.text("forum"),
        source: form.text("source"),
        summary: form.text("summary"),
        next_action: form.text("next_action"),
        next_due: form.text("next_due"),
        sealed: form.on("sealed"),
        mediation: form.on("mediation"),
        opened: form.text("opened"),
        other_party: form.text("other_party"),
        despite_conflict: form.on("despite_conflict"),
    };
    let desk = signed.desk.clone();
    match app.run(move || desk.open_case(vec![person], input)).await {
        Ok(case) => opened(&signed, case),
        Err(DeskError::Invalid(problems)) => case_form(&app, signed, person, form.with_problems(problems)).await,
        Err(error) => signed.refused(&error),
    }
}

#[derive(Template)]
#[template(path = "case.html")]
struct CasePage {
    page: Page,
    case: CaseView,
    form: Form,
    money: Form,
    open_money: bool,
    kinds: Vec<(String, String)>,
    payment_kinds: &'static [PaymentKind],
    closure_reasons: Vec<(String, String)>,
    help_levels: Vec<(String, String)>,
    hold_reasons: Vec<(String, String)>,
    standing: Form,
    closing: Form,
    open_closing: bool,
    case_href: String,
    forms: Vec<(String, String)>,
    task: Form,
    open_task: bool,
    document: Form,
    open_document: bool,
    task_kinds: &'static [TaskKind],
    colleagues: Vec<(String, String)>,
    states: &'static [CaseState],
    tiers: &'static [Tier],
    grants: Vec<(RecordId, String)>,
    link_reasons: Vec<(String, String)>,
    /// The entry that the note follows from.
    after: Option<ActionView>,
    /// The note whose place the note takes.
    corrected: Option<ActionView>,
    /// The payment whose place the payment takes.
    paid: Option<PaymentView>,
    /// Colleagues, and whether each works on the case already.
    helpers: Vec<(String, String, bool)>,
    /// What was found on reviewing an override, as it came back, and of which consent.
    finding: Option<(RecordId, Form)>,
}

impl CasePage {
    fn finding_of(&self, consent: &RecordId) -> Form {
        self.finding.iter().find(|(id, _)| id == consent).map(|(_, form)| form.clone()).unwrap_or_default()
    }
}

/// The forms of a case page that came back with something wrong in them.
#[derive(Default)]
struct Returned {
    note: Form,
    money: Option<Form>,
    task: Option<Form>,
    document: Option<Form>,
    standing: Option<Form>,
    closing: Option<Form>,
    finding: Option<(RecordId, Form)>,
}

pub(super) async fn with_finding_problems(
    app: &App,
    signed: Signed,
    id: RecordId,
    finding: (RecordId, Form),
) -> Response {
    case_page(app, signed, id, Returned { finding: Some(finding), ..Returned::default() }).await
}

pub(crate) async fn with_document_problems(app: &App, signed: Signed, id: RecordId, document: Form) -> Response {
    case_page(app, signed, id, Returned { document: Some(document), ..Returned::default() }).await
}

pub(super) async fn with_standing_problems(app: &App, signed: Signed, id: RecordId, standing: Form) -> Response {
    case_page(app, signed, id, Returned { standing: Some(standing), ..Returned::default() }).await
}

pub(super) async fn with_task_problems(app: &App, signed: Signed, id: RecordId, task: Form) -> Response {
    case_page(app, signed, id, Returned { task: Some(task), ..Returned::default() }).await
}

async fn case_page(app: &App, signed: Signed, id: RecordId, returned: Returned) -> Response {
    let Returned { note: form, money, task, document, standing, closing, finding } = returned;
    let desk = signed.desk.clone();
    let is_wrong = |form: &Form| !form.problems().is_empty();
    let found = finding.as_ref().map(|(_, form)| form);
    let forms = [&money, &task, &document, &standing, &closing].map(Option::as_ref);
    let wrong = is_wrong(&form) || forms.into_iter().chain([found]).flatten().any(is_wrong);
    let status = if wrong { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::OK };
    match app.run(move || desk.case(id)).await {
        Ok(case) => {
            let mut form = form;
            let after = case.actions.iter().find(|entry| entry.id.to_string() == form.get("follows")).cloned();
            if let Some(after) = after.as_ref().filter(|_| form.get("tier").is_empty()) {
                form.set("tier", after.tier.as_str());
            }
            let stands = |entry: &&ActionView| entry.corrected_by.is_none() && entry.form.is_none() && !entry.void;
            let corrects = form.text("corrects");
            let corrected = case.actions.iter().filter(stands).find(|entry| entry.id.to_string() == corrects).cloned();
            if let Some(earlier) = corrected.as_ref().filter(|_| form.problems().is_empty()) {
                form.set("kind", earlier.kind.code.as_str());
                form.set("on", earlier.on.to_string());
                form.set("text", earlier.text.as_str());
                form.set("minutes", earlier.minutes.map(|minutes| minutes.to_string()).unwrap_or_default());
                form.set("tier", earlier.tier.as_str());
            }
            let pays = money.as_ref().map(|money| money.text("corrects")).unwrap_or_default();
            let paid =
                case.payments.iter().find(|payment| payment.id.to_string() == pays && !payment.corrected).cloned();
            let open_money = money.is_some();
            let fresh = || Form::of(&[("currency", &signed.desk.currency()), ("kind", "recovered")]);
            let money = money.map(|money| match &paid {
                Some(payment) if money.problems().is_empty() => Form::of(&[
                    ("corrects", &pays),
                    ("kind", payment.kind.as_str()),
                    ("amount", &payment.amount),
                    ("currency", &payment.currency),
                    ("paid", &payment.paid.map(|paid| paid.to_string()).unwrap_or_default()),
                    ("note", &payment.note),
                ]),
                _ => money,
            });
            html_with(
                status,
                &CasePage {
                    kinds: signed.page.options("action_kind"),
                    closure_reasons: signed.page.options("closure_reason"),
                    help_levels: signed.page.options("level_of_help"),
                    hold_reasons: signed.page.options("hold_reason"),
                    standing: standing.unwrap_or_default(),
                    open_closing: closing.is_some(),
                    closing: closing.unwrap_or_default(),
                    money: money.unwrap_or_else(fresh),
                    case_href: format!("/cases/{id}"),
                    forms: super::entries::links(&signed.page, &signed.desk, About::Case),
                    open_document: document.is_some(),
                    document: document.unwrap_or_default(),
                    open_task: task.is_some(),
                    task: task.unwrap_or_default(),
                    task_kinds: TaskKind::ALL,
                    colleagues: signed.desk.colleagues().into_iter().map(|(id, name)| (id.to_string(), name)).collect(),
                    states: case.summary.state.followers(),
                    grants: signed.desk.open_grants(),
                    link_reasons: signed.page.options("case_link"),
                    tiers: if case.sees_tiers { Tier::ALL } else { &[] },
                    helpers: signed
                        .desk
                        .colleagues()
                        .into_iter()
                        .map(|(id, name)| {
                            (id.to_string(), name, case.assigned.iter().any(|(assigned, _)| *assigned == id))
                        })
                        .collect(),
                    page: signed.page,
                    case,
                    form,
                    after,
                    corrected,
                    paid,
                    finding,
                    open_money,
                    payment_kinds: PaymentKind::ALL,
                },
            )
        }
        Err(error) => signed.refused(&error),
    }
}

/// What the note on a case page follows from.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct After {
    follows: String,
    /// The note that is corrected.
    corrects: String,
    /// The payment that is corrected.
    payment: String,
}

async fn show(
    State(app): State<App>,
    Path(id): Path<RecordId>,
    signed: Signed,
    Query(after): Query<After>,
) -> Response {
    let note = Form::of(&[("follows", &after.follows), ("corrects", &after.corrects)]);
    let money = Some(Form::of(&[("corrects", &after.payment)])).filter(|_| !after.payment.is_empty());
    case_page(&app, signed, id, Returned { note, money, ..Returned::default() }).await
}

async fn add_action(State(app): State<App>, Path(id): Path<RecordId>, Sent { signed, form }: Sent) -> Response {
    let input = ActionInput {
        kind: form.text("kind"),
        on: form.text("on"),
        text: form.text("text"),
        minutes: form.text("minutes"),
        next_action: form.text("next_action"),
        next_due: form.text("next_due"),
        tier: form.text("tier"),
        follows: form.text("follows"),
        corrects: form.text("corrects"),
        void: form.on("void"),
        ..ActionInput::default()
    };
    let desk = signed.desk.clone();
    match app.run(move || desk.add_action(id, &input)).await {
        Ok(_) => go(&format!("/cases/{id}")),
        Err(DeskError::Invalid(problems)) => {
            case_page(&app, signed, id, Returned { note: form.with_problems(problems), ..Returned::default() }).await
        }
        Err(error) => signed.refused(&error),
    }
}

async fn add_payment(State(app): State<App>, Path(id): Path<RecordId>, Sent { signed, form }: Sent) -> Response {
    let input = PaymentInput {
        kind: form.text("kind"),
        amount: form.text("amount"),
        currency: form.text("currency"),
        paid: form.text("paid"),
        note: form.text("note"),
        corrects: form.text("corrects"),
        void: form.on("void"),
    };
    let desk = signed.desk.clone();
    match app.run(move || desk.add_payment(id, input)).await {
        Ok(_) => go(&format!("/cases/{id}")),
        Err(DeskError::Invalid(problems)) => {
            case_page(&app, signed, id, Returned { money: Some(form.with_problems(problems)), ..Returned::default() })
                .await
        }
        Err(error) => signed.refused(&error),
    }
}

async fn close(State(app): State<App>, Path(id): Path<RecordId>, Sent { signed, form }: Sent) -> Response {
    let input = ClosureInput { reason: form.text("reason"), level_of_help: form.text("level_of_help") };
    let desk = signed.desk.clone();
    match app.run(move || desk.close_case(id, &input)).await {
        Ok(()) => go(&format!("/cases/{id}")),
        Err(DeskError::Invalid(problems)) => {
            let closing = Some(form.with_problems(problems));
            case_page(&app, signed, id, Returned { closing, ..Returned::default() }).await
        }
        Err(error) => signed.refused(&error),
    }
}

#[derive(Template)]
#[template(path = "case_edit.html")]
struct EditPage {
    page: Page,
    form: Form,
    case: CaseView,
    types: Vec<(String, String)>,
    forums: Vec<(String, String)>,
    sources: Vec<(String, String)>,
    /// Whether a search for another client found nobody.
    found_nobody: bool,
    /// Persons who can be clients: who they are, and whether they are.
    clients: Vec<(String, String, bool)>,
}

fn filled(case: &CaseView) -> Form {
    let mut form = Form::of(&[
        ("revision", &case.revision.to_string()),
        ("case_type", case.summary.case_type.as_ref().map_or("", |code| &code.code)),
        ("forum", case.forum.as_ref().map_or("", |code| &code.code)),
        ("source", case.source.as_ref().map_or("", |code| &code.code)),
        ("summary", &case.text),
        ("sealed", if case.sealed { "on" } else { "" }),
        ("mediation", if case.mediation { "on" } else { "" }),
    ]);
    for client in &case.clients {
        form.set("clients", client.id.to_string());
    }
    form
}

/// The form of what a case is; a search for another client shows who was found beside those whose case it is.
async fn edit_page(app: &App, signed: Signed, id: RecordId, form: Option<Form>) -> Response {
    let desk = signed.desk.clone();
    let wanted = form.as_ref().map(|form| form.text("find")).unwrap_or_default();
    let chosen = form.as_ref().map(|form| form.all("clients")).unwrap_or_default();
    let found = app.run(move || {
        let case = desk.case(id)?;
        let mut known: Vec<(String, String)> =
            case.clients.iter().map(|client| (client.id.to_string(), client.name.clone())).collect();
        for client in &case.clients {
            let relatives = desk.person(client.id)?.links.into_iter().filter(|link| link.ended.is_none());
            known.extend(relatives.map(|link| (link.person.to_string(), link.name)));
        }
        for one in chosen.iter().filter_map(|one| one.parse().ok()) {
            known.push((desk.person(one)?.id.to_string(), desk.person(one)?.name));
        }
        let hits = if wanted.is_empty() { Vec::new() } else { desk.search(&wanted)? };
        let found_nobody = !wanted.is_empty() && hits.is_empty();
        known.extend(hits.into_iter().map(|hit| (hit.id.to_string(), hit.name)));
        Ok((case, known, found_nobody))
    });
    let (case, known, found_nobody) = match found.await {
        Ok(found) => found,
        Err(error) => return signed.refused(&error),
    };
    if !case.may_write {
        return signed.refused(&DeskError::Denied(Denied));
    }
    let form = form.unwrap_or_else(|| filled(&case));
    let mut clients: Vec<(String, String, bool)> = Vec::new();
    for (id, name) in known {
        if !clients.iter().any(|(known, ..)| *known == id) {
            let is_client = form.is("clients", &id);
            clients.push((id, name, is_client));
        }
    }
    let status = form.status();
    let types = signed.page.options_with("case_type", form.get("case_type"));
    let forums = signed.page.options_with("forum", form.get("forum"));
    let sources = signed.page.options_with("case_source", form.get("source"));
    html_with(status, &EditPage { page: signed.page, form, case, types, forums, sources, clients, found_nobody })
}

async fn edit_form(State(app): State<App>, Path(id): Path<RecordId>, signed: Signed) -> Response {
    edit_page(&app, signed, id, None).await
}

async fn edit(State(app): State<App>, Path(id): Path<RecordId>, Sent { signed, form }: Sent) -> Response {
    if form.on("search") {
        return edit_page(&app, signed, id, Some(form)).await;
    }
    let input = CaseChange {
        revision: form.get("revision").parse().unwrap_or(0),
        case_type: form.text("case_type"),
        forum: form.text("forum"),
        source: form.text("source"),
        summary: form.text("summary"),
        sealed: form.on("sealed"),
        mediation: form.on("mediation"),
        clients: form.all("clients").iter().filter_map(|client| client.parse().ok()).collect(),
    };
    let desk = signed.desk.clone();
    match app.run(move || desk.change_case_details(id, &input)).await {
        Ok(()) => go(&format!("/cases/{id}")),
        Err(DeskError::Invalid(problems)) => edit_page(&app, signed, id, Some(form.with_problems(problems))).await,
        Err(DeskError::Vault(VaultError::Conflict)) => {
            // Everything but the words stands as it is now; who saves once more has seen what was changed.
            let desk = signed.desk.clone();
            let Ok(now) = app.run(move || desk.case(id)).await else { return signed.refused(&DeskError::NotFound) };
            let form = filled(&now).replaced("summary", form.text("summary"));
            let problems = vec![FieldProblem::with("summary", "changed-meanwhile", now.text)];
            edit_page(&app, signed, id, Some(form.with_problems(problems))).await
        }
        Err(error) => signed.refused(&error),
    }
}
