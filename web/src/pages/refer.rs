//! Referring a case, handing it over, and deciding to share without a consent.

use crate::App;
use crate::form::Form;
use crate::page::{Page, Sent, Signed, go, html, html_with};
use axum::Router;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::{get, post};
use casemesh_node::office::{ConsentView, DeskError, MoreInput, OverrideInput, ReferralInput, SharePreview};
use casemesh_node::policy::Ask;
use casemesh_protocol::id::RecordId;
use casemesh_protocol::template::Template;
use casemesh_protocol::terms::{FieldGroup, Ground};
use casemesh_protocol::timers::URGENCIES;
use serde::Deserialize;

pub(crate) fn routes() -> Router<App> {
    Router::new()
        .route("/cases/{id}/refer", get(refer_form).post(refer))
        .route("/referrals/{id}/more", get(more_form).post(more))
        .route("/cases/{id}/override", get(override_form).post(decide))
        .route("/cases/{id}/override/{consent}/review", post(review))
}

/// What stands before the name of an office without a node, where an office is chosen.
const OUTSIDE: &str = "outside:";

#[derive(askama::Template)]
#[template(path = "refer.html")]
struct ReferPage {
    page: Page,
    form: Form,
    action: String,
    about: String,
    consent_href: String,
    find_href: String,
    partners: Vec<(String, String)>,
    consents: Vec<(String, String)>,
    services: Vec<(String, String)>,
    templates: Vec<(String, String)>,
    /// Offices with a node, which can be asked at the same time.
    members: Vec<(String, String)>,
    documents: Vec<(String, String)>,
    /// Whether a consent lets everything go at once.
    may_go_now: bool,
    /// Whether the full packet can wait at a hub of ours.
    may_wait: bool,
    /// Whether somebody else must approve that a case is handed over.
    by_request: bool,
    /// Whether the account may decide without a consent.
    may_override: bool,
    override_href: String,
    share: Option<SharePreview>,
    refusal: Option<String>,
    /// Whether another office was asked for the same.
    asks_elsewhere: bool,
    /// Whom a listed service belongs to, where no consent names them yet.
    unnamed: Option<String>,
    /// Whether a consent names an office without a node, and how it can go there.
    has_outside: bool,
    ways: Vec<(String, String)>,
}

impl ReferPage {
    /// Whether something beyond the usual was chosen, or is wrong.
    fn has_more(&self) -> bool {
        let named = ["template", "complete_now", "wait_at_hub", "transfer", "also"];
        named.iter().any(|name| !self.form.get(name).is_empty() || self.form.problem(name).is_some())
    }
}

async fn refer_page(
    app: &App,
    signed: Signed,
    id: RecordId,
    form: Form,
    share: Option<SharePreview>,
    refusal: Option<&DeskError>,
) -> Response {
    let desk = signed.desk.clone();
    let loaded = app.run(move || desk.case(id).map(|case| (case, desk.partners()))).await;
    let (case, partners) = match loaded {
        Ok(loaded) => loaded,
        Err(error) => return signed.refused(&error),
    };
    let page = &signed.page;
    let live = || case.consents.iter().filter(|consent| matches!(consent.status.as_str(), "given" | "overridden"));
    let mut outside: Vec<String> = live()
        .flat_map(|consent| consent.terms.outside.iter())
        .flat_map(|names| names.iter())
        .map(ToString::to_string)
        .collect();
    outside.sort_unstable();
    outside.dedup();
    let has_outside = !outside.is_empty();
    let wanted = form.get("to").strip_prefix(OUTSIDE).filter(|_| !form.get("listing").is_empty());
    let unnamed = wanted.filter(|name| !outside.iter().any(|known| known == name)).map(ToOwned::to_owned);
    let members: Vec<(String, String)> =
        partners.into_iter().map(|partner| (partner.office.to_string(), partner.name)).collect();
    let offices =
        members.iter().cloned().chain(outside.into_iter().map(|name| (format!("{OUTSIDE}{name}"), name))).collect();
    let consents = live()
        .map(|consent| {
            let what = match consent.overriding.as_ref().and_then(|overriding| overriding.ground) {
                Some(ground) => page.word("ground", &ground),
                None => page.word("purpose", &consent.terms.purpose),
            };
            let text = format!("{what} – {}", consent.recipients.join(", "));
            (consent.id.to_string(), text)
        })
        .collect();
    let first_client = case.clients.first().map(|client| client.id.to_string()).unwrap_or_default();
    let wrong = refusal.is_some() || !form.problems().is_empty();
    html_with(
        if wrong { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::OK },
        &ReferPage {
            action: format!("/cases/{id}/refer"),
            about: format!("{} {}", case.summary.number, case.summary.client),
            consent_href: format!("/people/{first_client}/consents/new"),
            unnamed,
            find_href: format!("/network?case={id}"),
            partners: offices,
            documents: documents_of(&case),
            members,
            may_go_now: live().any(|consent| consent.terms.complete_now),
            may_wait: signed.desk.has_hub(),
            by_request: signed.desk.hands_over_by_request(),
            may_override: signed.desk.may(Ask::ApproveCases),
            override_href: format!("/cases/{id}/override"),
            templates: templates(page),
            has_outside,
            ways: page.options("outside_way"),
            consents,
            services: page.options("service_type"),
            form,
            share,
            asks_elsewhere: matches!(refusal, Some(DeskError::AlsoOpen(_))),
            refusal: refusal.map(|error| match error {
                DeskError::AlsoOpen(office) => page.t1(error.key(), "office", office),
                _ => page.t(error.key()),
            }),
            page: signed.page,
        },
    )
}

/// What is known of a request before it is written: the office that another one named, or one that was asked before.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Begun {
    to: String,
    follows: String,
}

async fn refer_form(
    State(app): State<App>,
    Path(id): Path<RecordId>,
    signed: Signed,
    Query(begun): Query<Begun>,
) -> Response {
    let mut form = Form::of(&[("to", &begun.to), ("follows", &begun.follows)]);
    // Asked once more: what was said the first time need not be typed again.
    if let Ok(before) = begun.follows.parse::<RecordId>() {
        let desk = signed.desk.clone();
        match app.run(move || desk.referral(before)).await {
            Ok(before) if before.summary.case == Some(id) => {
                let urgency = URGENCIES.get(usize::from(before.summary.urgency));
                form.set("service", before.summary.service.code);
                form.set("need", before.preview.need.as_str());
                form.set("urgency", urgency.copied().unwrap_or_default());
                form.set("template", before.preview.template.as_str());
                form.set("consent", before.consent.map(|consent| consent.to_string()).unwrap_or_default());
            }
            Ok(_) => {}
            Err(error) => return signed.refused(&error),
        }
    }
    refer_page(&app, signed, id, form, None, None).await
}

/// A request begins at what was found in a search, which stands in no address: at an office, or at a service outside the network.
async fn begin(app: &App, signed: Signed, id: RecordId, found: Form) -> Response {
    let mut form = Form::default();
    if let Ok(listing) = found.get("listing").parse::<RecordId>() {
        let desk = signed.desk.clone();
        match app.run(move || desk.listing(listing)).await {
            Ok(listing) => {
                form.set("to", format!("{OUTSIDE}{}", listing.recipient()));
                form.set("contact", listing.contact.join(", "));
                form.set("service", listing.service.map(|service| service.code).unwrap_or_default());
                form.set("listing", found.get("listing"));
            }
            Err(error) => return signed.refused(&error),
        }
    } else {
        form.set("to", found.get("to"));
        form.set("service", found.get("service"));
    }
    refer_page(app, signed, id, form, None, None).await
}

async fn refer(State(app): State<App>, Path(id): Path<RecordId>, Sent { signed, form }: Sent) -> Response {
    if form.on("back") {
        return refer_page(&app, signed, id, form, None, None).await;
    }
    if form.get("stage") == "begin" {
        return begin(&app, signed, id, form).await;
    }
    let outside = form.get("to").strip_prefix(OUTSIDE).unwrap_or_default().to_owned();
    let input = ReferralInput {
        to: if outside.is_empty() { form.text("to") } else { String::new() },
        outside,
        how: form.text("how"),
        contact: form.text("contact"),
        service: form.text("service"),
        need: form.text("need"),
        urgency: form.text("urgency"),
        consent: form.text("consent"),
        also_elsewhere: form.on("also_elsewhere"),
        template: form.text("template"),
        transfer: form.on("transfer"),
        also: form.all("also"),
        follows: form.text("follows"),
        complete_now: form.on("complete_now"),
        wait_at_hub: form.on("wait_at_hub"),
        documents: form.all("documents"),
    };
    let desk = signed.desk.clone();
    let asks = input.transfer && desk.hands_over_by_request();
    let refused = if form.get("stage") == "send" && asks {
        match app.run(move || desk.ask_to_hand_over(id, &input)).await {
            Ok(()) => return go(&format!("/cases/{id}")),
            Err(error) => error,
        }
    } else if form.get("stage") == "send" {
        match app.run(move || desk.send_referral(id, input)).await {
            Ok(referral) => return go(&format!("/referrals/{referral}")),
            Err(error) => error,
        }
    } else {
        match app.run(move || desk.preview_referral(id, &input)).await {
            Ok(share) => return refer_page(&app, signed, id, form, Some(share), None).await,
            Err(error) => error,
        }
    };
    match refused {
        DeskError::Invalid(problems) => refer_page(&app, signed, id, form.with_problems(problems), None, None).await,
        error @ (DeskError::Consent(_)
        | DeskError::DoubleSend
        | DeskError::AlsoOpen(_)
        | DeskError::HandedOver
        | DeskError::Partner(_)) => refer_page(&app, signed, id, form, None, Some(&error)).await,
        error => signed.refused(&error),
    }
}

#[derive(askama::Template)]
#[template(path = "more.html")]
struct MorePage {
    page: Page,
    form: Form,
    action: String,
    about: String,
    consents: Vec<(String, String)>,
    templates: Vec<(String, String)>,
    documents: Vec<(String, String)>,
    share: Option<SharePreview>,
    refusal: Option<String>,
}

/// The documents of a case that this account may let go along.
fn documents_of(case: &casemesh_node::office::CaseView) -> Vec<(String, String)> {
    case.documents.iter().map(|document| (document.id.to_string(), document.title.clone())).collect()
}

async fn more_page(
    app: &App,
    signed: Signed,
    id: RecordId,
    form: Form,
    share: Option<SharePreview>,
    refusal: Option<&DeskError>,
) -> Response {
    let desk = signed.desk.clone();
    let loaded = app.run(move || {
        let referral = desk.referral(id)?;
        let case = desk.case(referral.summary.case.ok_or(DeskError::NotFound)?)?;
        Ok::<_, DeskError>((referral, case))
    });
    let (referral, case) = match loaded.await {
        Ok(loaded) => loaded,
        Err(error) => return signed.refused(&error),
    };
    let page = signed.page;
    let is_for_them = |consent: &&ConsentView| {
        matches!(consent.status.as_str(), "given" | "overridden")
            && consent.recipients.contains(&referral.summary.partner)
            && consent.terms.purpose == casemesh_protocol::terms::Purpose::ShareForService
    };
    let groups = |consent: &ConsentView| {
        let groups: Vec<String> = consent.terms.scope.iter().map(|group| page.word("group", group)).collect();
        (consent.id.to_string(), groups.join(", "))
    };
    let status = match refusal.is_some() || !form.problems().is_empty() {
        true => StatusCode::UNPROCESSABLE_ENTITY,
        false => StatusCode::OK,
    };
    let shown = MorePage {
        action: format!("/referrals/{id}/more"),
        about: format!("{} – {}", referral.summary.partner, case.summary.client),
        consents: case.consents.iter().filter(is_for_them).map(groups).collect(),
        templates: templates(&page),
        documents: documents_of(&case),
        refusal: refusal.map(|error| page.t(error.key())),
        form,
        share,
        page,
    };
    html_with(status, &shown)
}

/// What a referral for a service can share.
fn templates(page: &Page) -> Vec<(String, String)> {
    let all = Template::ALL.iter().filter(|template| **template != Template::FullTransfer);
    all.map(|template| (template.to_string(), page.word("template", template))).collect()
}

async fn more_form(State(app): State<App>, Path(id): Path<RecordId>, signed: Signed) -> Response {
    more_page(&app, signed, id, Form::default(), None, None).await
}

async fn more(State(app): State<App>, Path(id): Path<RecordId>, Sent { signed, form }: Sent) -> Response {
    let input =
        MoreInput { consent: form.text("consent"), template: form.text("template"), documents: form.all("documents") };
    let desk = signed.desk.clone();
    let refused = if form.get("stage") == "send" {
        match app.run(move || desk.share_more(id, &input)).await {
            Ok(()) => return go(&format!("/referrals/{id}")),
            Err(error) => error,
        }
    } else {
        match app.run(move || desk.preview_more(id, &input)).await {
            Ok(share) => return more_page(&app, signed, id, form, Some(share), None).await,
            Err(error) => error,
        }
    };
    match refused {
        DeskError::Invalid(problems) => more_page(&app, signed, id, form.with_problems(problems), None, None).await,
        error @ (DeskError::Consent(_) | DeskError::Partner(_)) => {
            more_page(&app, signed, id, form, None, Some(&error)).await
        }
        error => signed.refused(&error),
    }
}

#[derive(askama::Template)]
#[template(path = "override.html")]
struct OverridePage {
    page: Page,
    form: Form,
    action: String,
    about: String,
    partners: Vec<(String, String)>,
    groups: Vec<&'static str>,
    grounds: &'static [Ground],
}

async fn override_page(app: &App, signed: Signed, id: RecordId, form: Form) -> Response {
    let desk = signed.desk.clone();
    let (case, partners) = match app.run(move || desk.case(id).map(|case| (case, desk.partners()))).await {
        Ok(loaded) => loaded,
        Err(error) => return signed.refused(&error),
    };
    let page = OverridePage {
        action: format!("/cases/{id}/override"),
        about: format!("{} {}", case.summary.number, case.summary.client),
        partners: partners.into_iter().map(|partner| (partner.office.to_string(), partner.name)).collect(),
        groups: FieldGroup::ALL.iter().map(|group| group.as_str()).collect(),
        grounds: Ground::ALL,
        page: signed.page,
        form,
    };
    match page.form.problems().is_empty() {
        true => html(&page),
        false => html_with(StatusCode::UNPROCESSABLE_ENTITY, &page),
    }
}

async fn override_form(State(app): State<App>, Path(id): Path<RecordId>, signed: Signed) -> Response {
    if !signed.desk.may(Ask::ApproveCases) {
        return signed.refused(&casemesh_node::policy::Denied.into());
    }
    override_page(&app, signed, id, Form::default()).await
}

async fn decide(State(app): State<App>, Path(id): Path<RecordId>, Sent { signed, form }: Sent) -> Response {
    let input = OverrideInput {
        to: form.text("to"),
        outside: form.text("outside"),
        scope: form.all("scope"),
        ground: form.text("ground"),
        reason: form.text("reason"),
        complete_now: form.on("complete_now"),
    };
    let desk = signed.desk.clone();
    match app.run(move || desk.override_consent(id, &input)).await {
        Ok(_) => go(&format!("/cases/{id}/refer")),
        Err(DeskError::Invalid(problems)) => override_page(&app, signed, id, form.with_problems(problems)).await,
        Err(error) => signed.refused(&error),
    }
}

async fn review(
    State(app): State<App>,
    Path((id, consent)): Path<(RecordId, RecordId)>,
    Sent { signed, form }: Sent,
) -> Response {
    let (desk, finding) = (signed.desk.clone(), form.text("finding"));
    match app.run(move || desk.review_override(id, consent, &finding)).await {
        Ok(()) => go(&format!("/cases/{id}")),
        Err(DeskError::Invalid(problems)) => {
            super::cases::with_finding_problems(&app, signed, id, (consent, form.with_problems(problems))).await
        }
        Err(error) => signed.refused(&error),
    }
}
