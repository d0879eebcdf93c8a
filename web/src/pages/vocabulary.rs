//! Code lists with their explanations, and forms: to read for all, to change for who administers.

use crate::App;
use crate::form::Form;
use crate::page::{Page, Sent, Signed, go, html, html_with};
use askama::Template;
use axum::Router;
use axum::extract::{DefaultBodyLimit, Multipart, Path, Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::get;
use casemesh_node::forms::{self, About, FieldKind, FormField};
use casemesh_node::office::{
    CodeListInput, CodeListView, DeskError, FIELD_KINDS, FormFieldInput, FormInput, LISTS_BYTES_MAX, ListsReport,
    TERMS_ROWS, TagCandidate, TermInput, TermView,
};
use casemesh_node::policy::Ask;
use casemesh_protocol::id::RecordId;
use casemesh_protocol::time::Day;
use serde::Deserialize;
use std::sync::Arc;

/// Blank lines at the end of a form that is made or changed.
const BLANK_LINES: usize = 6;

pub(crate) fn routes() -> Router<App> {
    Router::new()
        .route("/lists", get(lists).post(add_list))
        .route("/lists/import", get(import_form).post(import))
        .route("/lists/{list}", get(list).post(put_term))
        .route("/lists/{list}/{code}/tag", get(to_tag).post(tag))
        .route("/forms", get(all_forms).post(add_form))
        .route("/forms/new", get(new_form))
        .route("/forms/{form}", get(form).post(change_form))
        .layer(DefaultBodyLimit::max(LISTS_BYTES_MAX + 1024 * 1024))
}

#[derive(Template)]
#[template(path = "lists.html")]
struct ListsPage {
    page: Page,
    form: Form,
    lists: Vec<(String, CodeListView)>,
    may_change: bool,
}

fn lists_page(signed: Signed, form: Form) -> Response {
    let named = |list: CodeListView| (signed.page.list_name(&list.name), list);
    let lists = signed.desk.code_lists().into_iter().map(named).collect();
    let may_change = signed.desk.may(Ask::Administer);
    html_with(form.status(), &ListsPage { page: signed.page, form, lists, may_change })
}

async fn lists(signed: Signed) -> Response {
    lists_page(signed, Form::default())
}

async fn add_list(State(app): State<App>, Sent { signed, form }: Sent) -> Response {
    let (desk, input) = (signed.desk.clone(), CodeListInput { title: form.text("title") });
    match app.run(move || desk.add_code_list(&input)).await {
        Ok(name) => go(&format!("/lists/{name}")),
        Err(DeskError::Invalid(problems)) => lists_page(signed, form.with_problems(problems)),
        Err(error) => signed.refused(&error),
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Look {
    text: String,
    page: usize,
}

/// A code with its texts in the page's language.
struct Line {
    view: TermView,
    label: String,
    explanation: String,
    /// Of a code of the network that is not offered yet: from which day on it is.
    from: Option<Day>,
    /// Whether cases of before can be looked for that should have it.
    may_tag: bool,
}

#[derive(Template)]
#[template(path = "list.html")]
struct ListPage {
    page: Page,
    form: Form,
    name: String,
    title: String,
    source: String,
    text: String,
    lines: Vec<Line>,
    total: usize,
    at: usize,
    pages: usize,
    may_change: bool,
    /// Codes of the network's list, which one of the office's own can be counted as.
    above: Vec<(String, String)>,
}

fn list_page(signed: Signed, name: String, form: Form, look: Look) -> Response {
    let found = match signed.desk.terms(&name, &look.text) {
        Ok(found) => found,
        Err(error) => return signed.refused(&error),
    };
    let (total, page, today) = (found.len(), &signed.page, signed.desk.today());
    let pages = total.div_ceil(TERMS_ROWS);
    let at = look.page.min(pages.saturating_sub(1));
    let line = |view: TermView| Line {
        label: page.term(&name, &view.term),
        explanation: page.explanation(&name, &view.term),
        from: page
            .vocabulary
            .of_network(&name, &view.term.code)
            .and_then(|code| code.from)
            .filter(|from| *from > today),
        may_tag: signed.desk.may_tag(&name),
        view,
    };
    let lines = found.into_iter().skip(at * TERMS_ROWS).take(TERMS_ROWS).map(line).collect();
    html_with(
        form.status(),
        &ListPage {
            title: page.list_name(&name),
            source: page.vocabulary.own(&name).map(|own| own.source.clone()).unwrap_or_default(),
            may_change: signed.desk.may(Ask::Administer),
            above: above(&signed.page, &name),
            lines,
            total,
            at,
            pages,
            text: look.text,
            page: signed.page,
            form,
            name,
        },
    )
}

/// The codes that this program brings for a list, with their texts.
fn above(page: &Page, list: &str) -> Vec<(String, String)> {
    let ours = page.vocabulary.terms(list).filter(|term| !term.own);
    ours.map(|term| (term.code.clone(), page.term(list, &term))).collect()
}

async fn list(Path(name): Path<String>, Query(look): Query<Look>, signed: Signed) -> Response {
    list_page(signed, name, Form::default(), look)
}

async fn put_term(State(app): State<App>, Path(name): Path<String>, Sent { signed, form }: Sent) -> Response {
    let input = TermInput {
        code: form.text("code"),
        label: form.text("label"),
        explanation: form.text("explanation"),
        offered: form.on("offered"),
        counts_as: form.text("counts_as"),
    };
    let (desk, list) = (signed.desk.clone(), name.clone());
    match app.run(move || desk.put_term(&list, &input)).await {
        Ok(code) => go(&format!("/lists/{name}#term-{code}")),
        Err(DeskError::Invalid(problems)) => list_page(signed, name, form.with_problems(problems), Look::default()),
        Err(error) => signed.refused(&error),
    }
}

#[derive(Template)]
#[template(path = "tag.html")]
struct TagPage {
    page: Page,
    form: Form,
    list: String,
    title: String,
    /// The code, and its label.
    code: (String, String),
    words: String,
    found: Vec<TagCandidate>,
    more: bool,
}

/// Where one looks for cases of before that may get a code. What is looked for goes by a form: no name stands in an address.
async fn to_tag(State(app): State<App>, Path((list, code)): Path<(String, String)>, signed: Signed) -> Response {
    tag_page(&app, signed, (list, code), None, Form::default()).await
}

async fn tag_page(
    app: &App,
    signed: Signed,
    (list, code): (String, String),
    words: Option<String>,
    form: Form,
) -> Response {
    if !signed.desk.may(Ask::OpenCase) {
        return signed.refused(&DeskError::Denied(casemesh_node::policy::Denied));
    }
    let Some(known) = signed.page.vocabulary.code(&list, &code) else {
        return signed.refused(&DeskError::NotFound);
    };
    let label = signed.page.wire_code(&known);
    let (found, form) = match words.clone() {
        None => (Ok((Vec::new(), false)), form),
        Some(words) => {
            let (desk, list, code) = (signed.desk.clone(), list.clone(), code.clone());
            match app.run(move || desk.cases_to_tag(&list, &code, &words)).await {
                Err(DeskError::Invalid(problems)) => (Ok((Vec::new(), false)), form.with_problems(problems)),
                found => (found, form),
            }
        }
    };
    match found {
        Ok((found, more)) => {
            let (title, words) = (signed.page.list_name(&list), words.unwrap_or_default());
            let code = (code, label);
            html_with(form.status(), &TagPage { page: signed.page, form, list, title, code, words, found, more })
        }
        Err(error) => signed.refused(&error),
    }
}

/// Looks for cases, or gives those that are ticked the code and looks again.
async fn tag(
    State(app): State<App>,
    Path((list, code)): Path<(String, String)>,
    Sent { signed, form }: Sent,
) -> Response {
    let words = Some(form.text("words"));
    if !form.is("give", "yes") {
        return tag_page(&app, signed, (list, code), words, Form::default()).await;
    }
    let cases: Vec<RecordId> = form.all("cases").iter().filter_map(|case| case.parse().ok()).collect();
    let (desk, of, chosen) = (signed.desk.clone(), list.clone(), code.clone());
    match app.run(move || desk.tag_cases(&of, &chosen, &cases)).await {
        Ok(_) => tag_page(&app, signed, (list, code), words, Form::default()).await,
        Err(DeskError::Invalid(problems)) => {
            tag_page(&app, signed, (list, code), words, form.with_problems(problems)).await
        }
        Err(error) => signed.refused(&error),
    }
}

#[derive(Template)]
#[template(path = "lists_import.html")]
struct ImportPage {
    page: Page,
    form: Form,
    report: Option<ListsReport>,
    checked: bool,
}

async fn import_form(signed: Signed) -> Response {
    if !signed.desk.may(Ask::Administer) {
        return signed.refused(&DeskError::Denied(casemesh_node::policy::Denied));
    }
    let mut form = Form::default();
    form.set("dry_run", "on");
    html(&ImportPage { page: signed.page, form, report: None, checked: false })
}

async fn import(State(app): State<App>, signed: Signed, parts: Multipart) -> Response {
    let (form, file) = match crate::documents::read(parts, LISTS_BYTES_MAX).await {
        Ok((form, _, file)) => (form, file),
        Err(problem) => {
            let form = Form::default().with_problems(vec![problem]);
            return html_with(
                StatusCode::UNPROCESSABLE_ENTITY,
                &ImportPage { page: signed.page, form, report: None, checked: false },
            );
        }
    };
    let (desk, mapping, checked) = (signed.desk.clone(), form.text("mapping"), form.on("dry_run"));
    let work = move || {
        let read = desk.read_lists(&mapping, &file)?;
        desk.import_lists(&read, checked)
    };
    match app.run(work).await {
        Ok(report) => html(&ImportPage { page: signed.page, form, report: Some(report), checked }),
        Err(DeskError::Invalid(problems)) => {
            let form = form.with_problems(problems);
            html_with(form.status(), &ImportPage { page: signed.page, form, report: None, checked })
        }
        Err(error) => signed.refused(&error),
    }
}

#[derive(Template)]
#[template(path = "forms.html")]
struct FormsPage {
    page: Page,
    forms: Vec<(String, String, Arc<forms::Form>)>,
    may_change: bool,
}

async fn all_forms(signed: Signed) -> Response {
    let named = |form: Arc<forms::Form>| {
        let about = match form.about {
            About::Case => "form-about-case",
            About::Person => "form-about-person",
            About::Office => "form-about-office",
        };
        (signed.page.form_name(&form.id), signed.page.t(about), form)
    };
    let forms = signed.desk.all_forms().into_iter().map(named).collect();
    html(&FormsPage { forms, may_change: signed.desk.may(Ask::Administer), page: signed.page })
}

/// A line of the form that is made.
struct Row {
    number: usize,
    /// The field of this program that it is, which keeps its name and kind.
    ours: Option<String>,
    /// Whether the office can leave it out.
    can_be_left_out: bool,
    /// Whether the field is new, so that its kind can be chosen.
    is_new: bool,
}

#[derive(Template)]
#[template(path = "form_edit.html")]
struct EditPage {
    page: Page,
    form: Form,
    title: String,
    action: String,
    /// Whether it is a form of this program.
    is_ours: bool,
    is_new: bool,
    rows: Vec<Row>,
    kinds: &'static [&'static str],
    lists: Vec<(String, String)>,
}

impl Row {
    fn name(&self, field: &str) -> String {
        format!("{}:{field}", self.number)
    }
}

fn word_of(kind: FieldKind) -> String {
    serde_json::to_value(kind).ok().and_then(|word| word.as_str().map(str::to_owned)).unwrap_or_default()
}

/// What stands in the lines of a form that is to be changed.
fn fill(form: &mut Form, definition: &forms::Form) {
    let mut set = |number: usize, field: &str, value: &str| form.set(&format!("{number}:{field}"), value);
    for (at, field) in definition.fields.iter().enumerate() {
        let number = at + 1;
        set(number, "id", &field.id);
        set(number, "label", field.label.as_deref().unwrap_or_default());
        set(number, "kind", &word_of(field.kind));
        set(number, "list", field.list.as_deref().unwrap_or_default());
        set(number, "required", if field.required { "on" } else { "" });
        set(number, "retired", if field.retired { "on" } else { "" });
    }
    form.set("title", definition.title.clone().unwrap_or_default());
    form.set("retired", if definition.retired { "on" } else { "" });
}

fn edit_page(signed: Signed, definition: Option<&forms::Form>, form: Form) -> Response {
    if !signed.desk.may(Ask::Administer) {
        return signed.refused(&DeskError::Denied(casemesh_node::policy::Denied));
    }
    let page = signed.page;
    let known: &[FormField] = definition.map_or(&[], |definition| &definition.fields);
    let typed = (1..=forms::FIELDS_MAX).rev().find(|number| !form.get(&format!("{number}:label")).is_empty());
    let until = known.len().max(typed.unwrap_or(0)) + BLANK_LINES;
    let row = |number: usize| {
        let field = known.get(number - 1);
        Row {
            number,
            ours: field.filter(|field| field.label.is_none()).map(|field| page.form_field_name(None, &field.id)),
            can_be_left_out: definition.zip(field).is_some_and(|(form, field)| form.can_do_without(field)),
            is_new: field.is_none(),
        }
    };
    let rows = (1..=until.min(forms::FIELDS_MAX)).map(row).collect();
    let mut lists: Vec<(String, String)> =
        page.vocabulary.list_names().map(|name| (name.to_owned(), page.list_name(name))).collect();
    lists.sort_by_key(|(_, title)| title.to_lowercase());
    html_with(
        form.status(),
        &EditPage {
            title: match definition {
                Some(definition) => page.form_name(&definition.id),
                None => page.t("form-new"),
            },
            action: match definition {
                Some(definition) => format!("/forms/{}", definition.id),
                None => "/forms".to_owned(),
            },
            is_ours: definition.is_some_and(|definition| definition.title.is_none()),
            is_new: definition.is_none(),
            rows,
            kinds: FIELD_KINDS,
            lists,
            form,
            page,
        },
    )
}

fn input_of(form: &Form) -> FormInput {
    let field = |number: usize| {
        let text = |field: &str| form.text(&format!("{number}:{field}"));
        FormFieldInput {
            id: text("id"),
            label: text("label"),
            kind: text("kind"),
            list: text("list"),
            required: form.on(&format!("{number}:required")),
            retired: form.on(&format!("{number}:retired")),
        }
    };
    let all = (1..=forms::FIELDS_MAX).map(field);
    FormInput {
        title: form.text("title"),
        about: form.text("about"),
        fields: all.filter(|field| !field.id.is_empty() || !field.label.trim().is_empty()).collect(),
        retired: form.on("retired"),
        revision: form.get("revision").parse().ok(),
    }
}

async fn new_form(signed: Signed) -> Response {
    edit_page(signed, None, Form::default())
}

async fn form(State(app): State<App>, Path(id): Path<String>, signed: Signed) -> Response {
    let (desk, asked) = (signed.desk.clone(), id.clone());
    let revision = match app.run(move || desk.form_revision(&asked)).await {
        Ok(revision) => revision,
        Err(error) => return signed.refused(&error),
    };
    match signed.desk.vocabulary().form(&id) {
        Some(definition) => {
            let mut form = Form::default();
            fill(&mut form, definition);
            form.set("revision", revision.to_string());
            edit_page(signed, Some(definition), form)
        }
        None => signed.refused(&DeskError::NotFound),
    }
}

async fn put_form(app: &App, id: Option<String>, Sent { signed, form }: Sent) -> Response {
    let (desk, input, known) = (signed.desk.clone(), input_of(&form), id.clone());
    match app.run(move || desk.put_form(known.as_deref(), &input)).await {
        Ok(id) => go(&format!("/forms/{id}/print")),
        Err(DeskError::Invalid(problems)) => {
            let words = signed.desk.vocabulary();
            let definition = id.and_then(|id| words.form(&id).cloned());
            edit_page(signed, definition.as_deref(), form.with_problems(problems))
        }
        Err(error) => signed.refused(&error),
    }
}

async fn add_form(State(app): State<App>, sent: Sent) -> Response {
    put_form(&app, None, sent).await
}

async fn change_form(State(app): State<App>, Path(id): Path<String>, sent: Sent) -> Response {
    put_form(&app, Some(id), sent).await
}
