//! The page of the network: the other offices, whose line stands, what waits for whom, and what is carried by hand.

use crate::App;
use crate::documents::{self, handed_out};
use crate::form::Form;
use crate::page::{Page, Sent, Signed, go, html_with};
use askama::Template;
use axum::Router;
use axum::extract::{DefaultBodyLimit, Multipart, Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::{get, post};
use casemesh_node::bundle::{Brought, Packed};
use casemesh_node::lobby::Reception;
use casemesh_node::office::{
    DeskError, EntryInput, FoundOffer, HandedOut, LISTINGS_BYTES_MAX, ListingView, ListingsReport, NetworkView,
    OfferInput, OfferSearch, OwnEntryView, spoken,
};
use casemesh_protocol::directory::Capacity;
use casemesh_protocol::id::RecordId;
use casemesh_protocol::limits::BUNDLE_BYTES_MAX;
use casemesh_protocol::time::Day;
use serde::Deserialize;

/// Longest request: the file, and the fields around it.
const BODY_BYTES_MAX: usize = BUNDLE_BYTES_MAX + 1024 * 1024;

pub(crate) fn routes() -> Router<App> {
    Router::new()
        .route("/network", get(show))
        .route("/network/find", post(find))
        .route("/network/own", get(own).post(change_own))
        .route("/network/own/offer", post(change_offer))
        .route("/network/services", post(import_services))
        .route("/network/pack", post(pack))
        .route("/network/bring", post(bring))
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
}

#[derive(Template)]
#[template(path = "network.html")]
struct NetworkPage {
    page: Page,
    network: Option<NetworkView>,
    form: Form,
    brought: Option<Brought>,
    /// What was found; nothing where nothing was looked for.
    found: Option<Found>,
    services: Vec<(String, String)>,
    /// The case for which help is looked for, if it is one.
    case: Option<RecordId>,
    keeps_entry: bool,
    /// Whether this account decides that the office joins a network.
    may_join: bool,
    /// Where the office waits to be let in: the digits to compare, and how the last knocking went.
    joining: Option<(String, &'static str)>,
}

/// How knocking went, as a word of the catalogues.
fn went(reception: Option<&Reception>) -> &'static str {
    match reception {
        None => "begun",
        Some(Reception::NoLine) => "no-line",
        Some(Reception::Waiting) => "waiting",
        Some(Reception::Refused) => "refused",
        Some(Reception::In(_)) => "in",
    }
}

/// What was found: in the network, and outside.
type Found = (Vec<FoundOffer>, Vec<ListingView>);

impl NetworkPage {
    /// What a directory says of a service beside its name, as far as it says anything.
    fn told(&self, one: &ListingView) -> Vec<(&'static str, String)> {
        let all = [
            ("own-area", one.area.clone()),
            ("listing-places", one.places.join("; ")),
            ("offers-language", one.languages.join(", ")),
            ("listing-hours", one.hours.join("; ")),
            ("listing-eligibility", one.eligibility.clone()),
            ("listing-application", one.application.clone()),
            ("listing-fees", one.fees.clone()),
            ("visit-bring", one.documents.join("; ")),
        ];
        all.into_iter().filter(|(_, text)| !text.is_empty()).collect()
    }

    /// How full an office can say it is.
    fn capacities(&self) -> Vec<(String, String)> {
        let said = Capacity::ALL.iter().filter(|capacity| **capacity != Capacity::NotSaid);
        said.map(|capacity| (capacity.to_string(), self.page.word("capacity", capacity))).collect()
    }

    fn name_of(&self, office: &casemesh_protocol::id::OfficeId) -> String {
        let members = self.network.iter().flat_map(|network| &network.members);
        let mut named = members.filter(|member| member.office == *office).map(|member| member.name.clone());
        named.next().unwrap_or_default()
    }
}

async fn network_page(app: &App, signed: Signed, form: Form, brought: Option<Brought>) -> Response {
    found_page(app, signed, form, brought, None).await
}

async fn found_page(app: &App, signed: Signed, form: Form, brought: Option<Brought>, found: Option<Found>) -> Response {
    let desk = signed.desk.clone();
    let status = form.status();
    match app.run(move || Ok::<_, DeskError>((desk.network(), desk.keeps_entry()))).await {
        Ok((network, keeps_entry)) => {
            let services = signed.page.options("service_type");
            let case = form.get("case").parse().ok();
            let (page, may_join) = (signed.page, signed.desk.may_join().is_ok());
            let joining = app.node.joining().map(|(invitation, reception)| {
                (spoken(&app.node.relay_office(), &invitation.registrar), went(reception.as_ref()))
            });
            html_with(
                status,
                &NetworkPage { page, network, form, brought, found, services, case, keeps_entry, may_join, joining },
            )
        }
        Err(error) => signed.refused(&error),
    }
}

/// The page again, with what is wrong.
pub(super) async fn again(app: &App, signed: Signed, form: Form) -> Response {
    network_page(app, signed, form, None).await
}

/// For whom help is looked for.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ForCase {
    case: String,
}

async fn show(State(app): State<App>, signed: Signed, Query(wanted): Query<ForCase>) -> Response {
    network_page(&app, signed, Form::of(&[("case", &wanted.case)]), None).await
}

/// What is looked for tells of a client: it stands in no address.
async fn find(State(app): State<App>, Sent { signed, form }: Sent) -> Response {
    let search = OfferSearch {
        service: form.text("service"),
        words: form.text("words"),
        language: form.text("language"),
        age: form.text("age"),
    };
    let desk = signed.desk.clone();
    match app.run(move || Ok((desk.find_offers(&search)?, desk.find_listings(&search)?))).await {
        Ok(found) => found_page(&app, signed, form, None, Some(found)).await,
        Err(DeskError::Invalid(problems)) => network_page(&app, signed, form.with_problems(problems), None).await,
        Err(error) => signed.refused(&error),
    }
}

/// What this office says of itself.
#[derive(Template)]
#[template(path = "own_entry.html")]
struct OwnPage {
    page: Page,
    own: Option<OwnEntryView>,
    form: Form,
    /// The offer that is written or changed.
    offer: Form,
    services: Vec<(String, String)>,
    capacities: &'static [Capacity],
    /// The form with a directory that is imported, and what that did.
    import: Form,
    report: Option<ListingsReport>,
}

impl OwnPage {
    /// Whether the collector that the office names is one that it can name now.
    fn is_offered(&self, own: &OwnEntryView) -> bool {
        own.collectors.iter().any(|(office, _)| Some(*office) == own.reports_to)
    }
}

async fn own_page(app: &App, signed: Signed, form: Option<Form>, offer: Form) -> Response {
    import_page(app, signed, form, offer, (Form::default(), None)).await
}

async fn import_page(
    app: &App,
    signed: Signed,
    form: Option<Form>,
    offer: Form,
    (import, report): (Form, Option<ListingsReport>),
) -> Response {
    let desk = signed.desk.clone();
    if !desk.keeps_entry() {
        return signed.refused(&DeskError::Denied(casemesh_node::policy::Denied));
    }
    let is_wrong = |form: &Form| !form.problems().is_empty();
    let wrong = form.as_ref().is_some_and(is_wrong) || is_wrong(&offer) || is_wrong(&import);
    let status = if wrong { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::OK };
    match app.run(move || Ok::<_, DeskError>(desk.own_entry())).await {
        Ok(own) => {
            let fresh = || {
                let Some(own) = &own else { return Form::default() };
                let reports_to = own.reports_to.map(|office| office.to_string()).unwrap_or_default();
                let until = own.closed_until.map(|day| day.to_string()).unwrap_or_default();
                let mut form = Form::of(&[
                    ("area", &own.area),
                    ("languages", &own.languages.join(", ")),
                    ("telephone", &own.telephone),
                    ("closed_until", &until),
                    ("reports_to", &reports_to),
                ]);
                if own.hidden {
                    form.set("hidden", "on");
                }
                form
            };
            let form = form.unwrap_or_else(fresh);
            let services = signed.page.options_with("service_type", offer.get("service"));
            // What is not said is the empty choice.
            let capacities = Capacity::ALL.split_first().map(|(_, rest)| rest).unwrap_or_default();
            html_with(status, &OwnPage { page: signed.page, own, form, offer, services, capacities, import, report })
        }
        Err(error) => signed.refused(&error),
    }
}

/// Which offer is changed.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Which {
    service: String,
}

async fn own(State(app): State<App>, signed: Signed, Query(which): Query<Which>) -> Response {
    let own = signed.desk.own_entry();
    let offers = own.iter().flat_map(|own| &own.offers);
    let mut chosen =
        offers.filter(|offer| !which.service.is_empty() && offer.service.code == which.service).map(|offer| {
            let age = |age: Option<u8>| age.map(|age| age.to_string()).unwrap_or_default();
            Form::of(&[
                ("service", &offer.service.code),
                ("description", &offer.description),
                ("min_age", &age(offer.min_age)),
                ("max_age", &age(offer.max_age)),
                ("capacity", offer.capacity.as_str()),
            ])
        });
    let chosen = chosen.next().unwrap_or_default();
    own_page(&app, signed, None, chosen).await
}

async fn change_own(State(app): State<App>, Sent { signed, form }: Sent) -> Response {
    let input = EntryInput {
        area: form.text("area"),
        languages: form.text("languages"),
        telephone: form.text("telephone"),
        closed_until: form.text("closed_until"),
        hidden: Some(form.on("hidden")),
        reports_to: form.pairs().iter().any(|(name, _)| name == "reports_to").then(|| form.text("reports_to")),
    };
    let desk = signed.desk.clone();
    match app.run(move || desk.change_entry(&input)).await {
        Ok(()) => go("/network/own"),
        Err(DeskError::Invalid(problems)) => {
            own_page(&app, signed, Some(form.with_problems(problems)), Form::default()).await
        }
        Err(error) => signed.refused(&error),
    }
}

async fn change_offer(State(app): State<App>, Sent { signed, form }: Sent) -> Response {
    let input = OfferInput {
        service: form.text("service"),
        description: form.text("description"),
        min_age: form.text("min_age"),
        max_age: form.text("max_age"),
        capacity: form.text("capacity"),
        remove: form.on("remove"),
    };
    let desk = signed.desk.clone();
    match app.run(move || desk.change_offer(&input)).await {
        Ok(()) => go("/network/own"),
        Err(DeskError::Invalid(problems)) => own_page(&app, signed, None, form.with_problems(problems)).await,
        Err(error) => signed.refused(&error),
    }
}

async fn import_services(State(app): State<App>, signed: Signed, parts: Multipart) -> Response {
    let (form, files) = match documents::read_all(parts, LISTINGS_BYTES_MAX).await {
        Ok(sent) => sent,
        Err(problem) => {
            let form = Form::default().with_problems(vec![problem]);
            return import_page(&app, signed, None, Form::default(), (form, None)).await;
        }
    };
    let (desk, service) = (signed.desk.clone(), form.text("listing_service"));
    match app.run(move || desk.import_listings(&files, &service, false)).await {
        Ok(report) => import_page(&app, signed, None, Form::default(), (form, Some(report))).await,
        Err(DeskError::Invalid(problems)) => {
            import_page(&app, signed, None, Form::default(), (form.with_problems(problems), None)).await
        }
        Err(error) => signed.refused(&error),
    }
}

/// The file as it is saved. Its name says nothing of whose it is.
pub(crate) fn file_of(packed: Packed, today: Day) -> Response {
    let rest = if packed.left > 0 { "-not-all" } else { "" };
    let name = format!("packets-{today}{rest}.cmb");
    handed_out(HandedOut { name, media_type: "application/octet-stream", bytes: packed.bytes })
}

async fn pack(State(app): State<App>, Sent { signed, form }: Sent) -> Response {
    let (desk, to, with_network) = (signed.desk.clone(), form.text("to"), form.on("with_network"));
    let today = desk.today();
    match app.run(move || desk.pack_bundle(&to, with_network)).await {
        Ok(packed) => file_of(packed, today),
        Err(DeskError::Invalid(problems)) => network_page(&app, signed, form.with_problems(problems), None).await,
        Err(error) => signed.refused(&error),
    }
}

async fn bring(State(app): State<App>, signed: Signed, parts: Multipart) -> Response {
    let (form, _, file) = match documents::read(parts, BUNDLE_BYTES_MAX).await {
        Ok(sent) => sent,
        Err(problem) => return network_page(&app, signed, Form::default().with_problems(vec![problem]), None).await,
    };
    let desk = signed.desk.clone();
    match app.run(move || desk.bring_bundle(&file)).await {
        Ok(brought) => network_page(&app, signed, Form::default(), Some(brought)).await,
        Err(DeskError::Invalid(problems)) => network_page(&app, signed, form.with_problems(problems), None).await,
        Err(error) => signed.refused(&error),
    }
}
