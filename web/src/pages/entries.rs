//! Forms from their definitions: to fill in, to correct, and blank on paper. And the office's own entries.

use crate::App;
use crate::form::Form;
use crate::page::{Page, Sent, Signed, go, html, html_with};
use askama::Template;
use axum::Router;
use axum::extract::{Path, Query, State};
use axum::response::Response;
use axum::routing::get;
use casemesh_node::forms::{self, About, FieldKind, FormField};
use casemesh_node::office::{ActionInput, ActionView, Desk, DeskError};
use casemesh_node::records::Tier;
use casemesh_node::vocabulary::Vocabulary;
use casemesh_protocol::id::RecordId;
use casemesh_protocol::timers::URGENCIES;
use serde::Deserialize;

pub(crate) fn routes() -> Router<App> {
    Router::new()
        .route("/cases/{id}/entries/{form}", get(case_form).post(case_entry))
        .route("/people/{id}/entries/{form}", get(person_form).post(person_entry))
        .route("/office", get(office))
        .route("/office/entries/{form}", get(office_form).post(office_entry))
        .route("/forms/{form}/print", get(print))
        .route("/blank/{sheet}", get(blank))
}

/// What the fields of a form are filled with at first.
#[derive(Debug, Default, Deserialize)]
struct Start {
    /// The entry that is to be corrected.
    corrects: Option<String>,
    /// The entry that this one follows from.
    follows: Option<String>,
}

/// The forms for what an entry belongs to, with their names in the page's language.
pub(crate) fn links(page: &Page, desk: &Desk, about: About) -> Vec<(String, String)> {
    desk.forms(about).into_iter().map(|form| (form.id.clone(), page.form_name(&form.id))).collect()
}

/// So many codes can be chosen from on one page.
const OPTIONS_MAX: usize = 120;

/// The lists of a form whose codes are explained.
fn glossary(page: &Page, words: &Vocabulary, form: &forms::Form) -> Vec<(String, String)> {
    let mut lists: Vec<&str> = form.asked().filter_map(|field| field.list.as_deref()).collect();
    lists.sort_unstable();
    lists.dedup();
    let lists = lists.into_iter().filter(|list| words.has_list(list));
    lists.map(|list| (format!("/lists/{list}"), page.list_name(list))).collect()
}

/// A field as the page shows it.
struct Line {
    field: FormField,
    label: String,
    options: Vec<(String, String)>,
}

impl Line {
    fn is_area(&self) -> bool {
        self.field.kind == FieldKind::Text
    }

    /// The fields that are asked; and those that are not any more, where an entry that is corrected has them.
    fn all_of(page: &Page, definition: &forms::Form, form: &Form) -> Vec<Self> {
        let is_answered = |id: &str| !form.get(id).is_empty() || !form.get(&format!("{id}_state")).is_empty();
        let is_there = |field: &&FormField| !field.retired || is_answered(&field.id);
        let line = |field: &FormField| Self {
            label: page.form_field_name(Some(&definition.id), &field.id),
            options: match (field.kind, field.list.as_deref()) {
                (FieldKind::YesNo, _) => page.options("yes_no"),
                (_, Some(list)) => page.options_with(list, form.get(&field.id)),
                _ => Vec::new(),
            },
            field: field.clone(),
        };
        definition.fields.iter().filter(is_there).map(line).collect()
    }

    /// Whether the list is too long to choose from: its code or label is typed.
    fn is_typed(&self) -> bool {
        self.options.is_empty() || self.options.len() > OPTIONS_MAX
    }
}

#[derive(Template)]
#[template(path = "entry_form.html")]
struct EntryPage {
    page: Page,
    form: Form,
    title: String,
    about: String,
    action: String,
    back: String,
    lines: Vec<Line>,
    /// Lists whose codes are explained.
    glossary: Vec<(String, String)>,
    print: String,
    corrects: bool,
    /// The tiers to choose from; none where an entry is for all who see it.
    tiers: &'static [Tier],
    /// Grants that the entry can be counted for.
    grants: Vec<(String, String)>,
}

/// Where an entry goes.
enum Place {
    Case(RecordId),
    Person(RecordId),
    Office,
}

impl Place {
    fn base(&self) -> String {
        match self {
            Self::Case(id) => format!("/cases/{id}"),
            Self::Person(id) => format!("/people/{id}"),
            Self::Office => "/office".to_owned(),
        }
    }

    fn about(&self) -> About {
        match self {
            Self::Case(_) => About::Case,
            Self::Person(_) => About::Person,
            Self::Office => About::Office,
        }
    }

    /// The line under the title, the entries that can be corrected, and the tiers to choose from.
    fn look(&self, desk: &Desk) -> Result<(String, Vec<ActionView>, &'static [Tier]), DeskError> {
        match self {
            Self::Case(id) => {
                let case = desk.case(*id)?;
                let tiers = if case.sees_tiers { Tier::ALL } else { &[] };
                Ok((format!("{} {}", case.summary.number, case.summary.client), case.actions, tiers))
            }
            Self::Person(id) => {
                let person = desk.person(*id)?;
                Ok((person.name, person.entries, &[]))
            }
            Self::Office => Ok((desk.office_name(), desk.office_entries()?, &[])),
        }
    }

    fn write(&self, desk: &Desk, input: &ActionInput) -> Result<RecordId, DeskError> {
        match self {
            Self::Case(id) => desk.add_action(*id, input),
            Self::Person(id) => desk.add_person_entry(*id, input),
            Self::Office => desk.add_office_entry(input),
        }
    }
}

async fn entry_page(app: &App, signed: Signed, place: Place, form_id: &str, form: Form, start: Start) -> Response {
    let about = place.about();
    let words = signed.desk.vocabulary();
    let Some(definition) = words.form(form_id).filter(|form| form.about == about) else {
        return signed.refused(&DeskError::NotFound);
    };
    let (desk, base) = (signed.desk.clone(), place.base());
    let (line, entries, tiers) = match app.run(move || place.look(&desk)).await {
        Ok(found) => found,
        Err(error) => return signed.refused(&error),
    };
    let mut form = form;
    if let Some(corrected) = start.corrects.as_deref() {
        let earlier = entries.iter().find(|entry| {
            entry.id.to_string() == corrected && entry.form.as_deref() == Some(form_id) && entry.corrected_by.is_none()
        });
        let Some(earlier) = earlier else { return signed.refused(&DeskError::NotFound) };
        form.set("corrects", corrected);
        form.set("on", earlier.on.to_string());
        form.set("tier", earlier.tier.as_str());
        form.set("minutes", earlier.minutes.map(|minutes| minutes.to_string()).unwrap_or_default());
        form.set("grant", earlier.grant.map(|grant| grant.to_string()).unwrap_or_default());
        form.set("text", earlier.text.clone());
        for answer in &earlier.answers {
            let value = answer.value.code.as_ref().or(answer.value.value.as_ref());
            form.set(&answer.field, value.cloned().unwrap_or_default());
            if answer.value.state != "known" {
                form.set(&format!("{}_state", answer.field), answer.value.state.clone());
            }
        }
    }
    if let Some(follows) = start.follows {
        let earlier = entries.iter().find(|entry| entry.id.to_string() == follows);
        form.set("tier", earlier.map_or("", |entry| entry.tier.as_str()));
        form.set("follows", follows);
    }
    let status = form.status();
    let page = signed.page;
    html_with(
        status,
        &EntryPage {
            title: page.form_name(form_id),
            glossary: glossary(&page, &words, definition),
            lines: Line::all_of(&page, definition, &form),
            corrects: !form.get("corrects").is_empty(),
            print: format!("/forms/{form_id}/print"),
            about: line,
            action: format!("{base}/entries/{form_id}"),
            back: base,
            grants: match about {
                About::Person => Vec::new(),
                _ => signed.desk.open_grants().into_iter().map(|(id, name)| (id.to_string(), name)).collect(),
            },
            tiers: if definition.is_for_all() { &[] } else { tiers },
            form,
            page,
        },
    )
}

async fn write(app: &App, place: Place, form_id: &str, Sent { signed, form }: Sent) -> Response {
    let words = signed.desk.vocabulary();
    let Some(definition) = words.form(form_id) else { return signed.refused(&DeskError::NotFound) };
    let input = ActionInput {
        form: form_id.to_owned(),
        on: form.text("on"),
        text: form.text("text"),
        minutes: form.text("minutes"),
        answers: definition.fields.iter().map(|field| (field.id.clone(), form.field(&field.id))).collect(),
        follows: form.text("follows"),
        corrects: form.text("corrects"),
        tier: form.text("tier"),
        grant: form.text("grant"),
        again: form.on("again"),
        void: form.on("void"),
        ..ActionInput::default()
    };
    let (desk, base) = (signed.desk.clone(), place.base());
    let (place, result) = app
        .run(move || {
            let result = place.write(&desk, &input);
            (place, result)
        })
        .await;
    match result {
        Ok(_) => go(&base),
        Err(DeskError::Invalid(problems)) => {
            entry_page(app, signed, place, form_id, form.with_problems(problems), Start::default()).await
        }
        Err(error) => signed.refused(&error),
    }
}

type Which = Path<(RecordId, String)>;

async fn case_form(
    State(app): State<App>,
    Path((id, form)): Which,
    signed: Signed,
    Query(start): Query<Start>,
) -> Response {
    entry_page(&app, signed, Place::Case(id), &form, Form::default(), start).await
}

async fn case_entry(State(app): State<App>, Path((id, form)): Which, sent: Sent) -> Response {
    write(&app, Place::Case(id), &form, sent).await
}

async fn person_form(
    State(app): State<App>,
    Path((id, form)): Which,
    signed: Signed,
    Query(start): Query<Start>,
) -> Response {
    entry_page(&app, signed, Place::Person(id), &form, Form::default(), start).await
}

async fn person_entry(State(app): State<App>, Path((id, form)): Which, sent: Sent) -> Response {
    write(&app, Place::Person(id), &form, sent).await
}

async fn office_form(
    State(app): State<App>,
    Path(form): Path<String>,
    signed: Signed,
    Query(start): Query<Start>,
) -> Response {
    entry_page(&app, signed, Place::Office, &form, Form::default(), start).await
}

async fn office_entry(State(app): State<App>, Path(form): Path<String>, sent: Sent) -> Response {
    write(&app, Place::Office, &form, sent).await
}

#[derive(Template)]
#[template(path = "office.html")]
struct OfficePage {
    page: Page,
    entries: Vec<ActionView>,
    forms: Vec<(String, String)>,
}

async fn office(State(app): State<App>, signed: Signed) -> Response {
    let desk = signed.desk.clone();
    match app.run(move || desk.office_entries()).await {
        Ok(entries) => {
            html(&OfficePage { forms: links(&signed.page, &signed.desk, About::Office), page: signed.page, entries })
        }
        Err(error) => signed.refused(&error),
    }
}

/// A line of a sheet of paper.
struct PaperLine {
    label: String,
    /// Boxes to tick; none where it is written.
    boxes: Vec<String>,
    is_tall: bool,
}

#[derive(Template)]
#[template(path = "form_print.html")]
struct PrintPage {
    page: Page,
    title: String,
    lines: Vec<PaperLine>,
    /// Whether the rule of consent stands above it, to be read to the client.
    says_rule: bool,
}

/// How a line of a sheet is answered.
enum Asked {
    Line,
    Tall,
    /// One code of a list.
    One(&'static str),
    /// Words of an enumeration in the catalogues (`PREFIX-WORD`).
    Of(&'static str, &'static [&'static str]),
    YesNo,
}

type Sheet = (&'static str, &'static str, &'static [(&'static str, Asked)]);

const IDENTITIES: &[&str] = &["anonymous", "alias", "self_declared", "document_seen"];
const COUNTINGS: &[&str] = &["consent", "headcount", "not_stated", "objected"];
const PAYMENTS: &[&str] =
    &["claimed", "agreed", "recovered", "offered", "promised", "bounced", "in_kind", "cost", "waived"];
const GROUPS: &[&str] =
    &["names", "birth_and_sex", "contact", "address", "origin", "identifiers", "case_brief", "case_notes", "money"];
const WITHHOLD: &[&str] = &["fear_of_harm", "tells_personally", "other"];
const METHODS: &[&str] = &["signed_paper", "thumbprint", "recorded_voice", "witnessed_oral"];
const GIVERS: &[&str] = &["person", "caregiver", "guardian", "representative"];
const PURPOSES: &[&str] = &["share_for_service", "share_for_transfer", "statistics"];

/// Paper for what is no form: the same fields as the page has, so that what was written by hand can be typed in later.
const SHEETS: &[Sheet] = &[
    (
        "register",
        "nav-register",
        &[
            ("register-visitor", Asked::Line),
            ("register-topic", Asked::One("case_type")),
            ("register-channel", Asked::One("contact_channel")),
            ("register-note", Asked::Tall),
            ("register-advice", Asked::Tall),
            ("minutes", Asked::Line),
        ],
    ),
    (
        "person",
        "person-new",
        &[
            ("person-identity", Asked::Of("identity", IDENTITIES)),
            ("person-alias", Asked::Line),
            ("field-given", Asked::Line),
            ("field-family", Asked::Line),
            ("field-local-name", Asked::Line),
            ("person-birth", Asked::Line),
            ("field-age-band", Asked::One("age_band")),
            ("field-sex", Asked::One("sex")),
            ("person-nationality", Asked::Line),
            ("field-language", Asked::One("language")),
            ("person-interpreter", Asked::YesNo),
            ("field-telephone", Asked::Line),
            ("field-address", Asked::Line),
            ("address-protected", Asked::YesNo),
            ("field-area", Asked::Line),
            ("field-identifier", Asked::Line),
            ("safe-call", Asked::YesNo),
            ("safe-text", Asked::YesNo),
            ("safe-voicemail", Asked::YesNo),
            ("safe-post", Asked::YesNo),
            ("safe-instructions", Asked::Tall),
            ("safe-code-word", Asked::Line),
            ("counting-label", Asked::Of("counting", COUNTINGS)),
        ],
    ),
    (
        "case",
        "case-open",
        &[
            ("case-type", Asked::One("case_type")),
            ("case-summary", Asked::Tall),
            ("case-other-party", Asked::Line),
            ("next-action", Asked::Line),
            ("next-due", Asked::Line),
            ("case-sealed", Asked::YesNo),
            ("mediation", Asked::YesNo),
        ],
    ),
    (
        "money",
        "money",
        &[
            ("money-kind", Asked::Of("payment", PAYMENTS)),
            ("money-amount", Asked::Line),
            ("money-currency", Asked::Line),
            ("money-paid", Asked::Line),
            ("money-note", Asked::Tall),
        ],
    ),
    (
        "consent",
        "consent-record",
        &[
            ("consent-purpose", Asked::Of("purpose", PURPOSES)),
            ("consent-recipients", Asked::Tall),
            ("consent-scope", Asked::Of("group", GROUPS)),
            ("consent-withheld", Asked::Of("group", GROUPS)),
            ("consent-why-withheld", Asked::Of("withhold", WITHHOLD)),
            ("consent-expires", Asked::Line),
            ("consent-method", Asked::Of("method", METHODS)),
            ("consent-giver", Asked::Of("giver", GIVERS)),
            ("consent-language", Asked::One("language")),
            ("consent-answer", Asked::Of("consent", &["yes", "no"])),
            ("consent-signature-client", Asked::Tall),
            ("consent-signature-worker", Asked::Tall),
        ],
    ),
    (
        "referral",
        "refer",
        &[
            ("refer-to", Asked::Line),
            ("refer-service", Asked::One("service_type")),
            ("refer-need", Asked::Tall),
            ("refer-urgency", Asked::Of("urgency", &URGENCIES)),
        ],
    ),
];

async fn blank(Path(sheet): Path<String>, signed: Signed) -> Response {
    let Some((_, title, fields)) = SHEETS.iter().find(|(id, ..)| *id == sheet) else {
        return signed.refused(&DeskError::NotFound);
    };
    let page = signed.page;
    let texts = |list: &str| page.options(list).into_iter().map(|(_, text)| text).collect();
    let line = |(label, asked): &(&str, Asked)| PaperLine {
        label: page.t(label),
        boxes: match asked {
            Asked::Line | Asked::Tall => Vec::new(),
            Asked::One(list) => texts(list),
            Asked::Of(prefix, words) => words.iter().map(|word| page.word(prefix, *word)).collect(),
            Asked::YesNo => texts("yes_no"),
        },
        is_tall: matches!(asked, Asked::Tall),
    };
    let says_rule = sheet == "consent";
    html(&PrintPage { title: page.t(title), lines: fields.iter().map(line).collect(), page, says_rule })
}

impl From<Line> for PaperLine {
    fn from(line: Line) -> Self {
        let boxes =
            if line.is_typed() { Vec::new() } else { line.options.iter().map(|(_, text)| text.clone()).collect() };
        Self { is_tall: line.is_area(), label: line.label, boxes }
    }
}

async fn print(Path(form): Path<String>, signed: Signed) -> Response {
    match signed.desk.vocabulary().form(&form) {
        Some(definition) => html(&PrintPage {
            title: signed.page.form_name(&form),
            lines: Line::all_of(&signed.page, definition, &Form::default()).into_iter().map(PaperLine::from).collect(),
            page: signed.page,
            says_rule: false,
        }),
        None => signed.refused(&DeskError::NotFound),
    }
}
