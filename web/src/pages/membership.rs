//! Who belongs to the network: a registrar office lets others in and out, an office leaves in order, partners are verified by voice,
//! and whether there is room is asked without a person.

use crate::App;
use crate::documents::{self, handed_out};
use crate::form::Form;
use crate::page::{Page, Sent, Signed, go, html_with};
use askama::Template;
use axum::Router;
use axum::extract::{Multipart, Path, State};
use axum::response::Response;
use axum::routing::{get, post};
use casemesh_node::office::{
    CapacityAnswerInput, CapacityInput, CheckInput, DeskError, EndInput, FieldProblem, HandedOut, NetworkView,
    NewcomerView,
};
use casemesh_protocol::id::RecordId;
use casemesh_protocol::trust::EndReason;
use qrcodegen::{QrCode, QrCodeEcc};

/// Longest card: one with the prekeys of a season and the key log of many years.
const CARD_BYTES_MAX: usize = 1024 * 1024;

pub(crate) fn routes() -> Router<App> {
    Router::new()
        .route("/network/membership", get(show))
        .route("/network/newcomer", post(newcomer))
        .route("/network/admit", post(admit))
        .route("/network/end", post(end))
        .route("/network/invite", post(invite))
        .route("/network/invitations/{id}/end", post(end_invitation))
        .route("/network/join", post(join))
        .route("/network/file", get(file))
        .route("/network/verify", post(verify))
        .route("/network/room", post(ask_room))
        .route("/network/room/{id}", post(answer_room))
}

#[derive(Template)]
#[template(path = "membership.html")]
struct MembershipPage {
    page: Page,
    network: Option<NetworkView>,
    form: Form,
    /// Whose card was brought, and the card to send back once somebody looked at it.
    newcomer: Option<(NewcomerView, String)>,
    /// An invitation that was just made: it is shown this once.
    invitation: Option<String>,
    reasons: &'static [EndReason],
}

impl MembershipPage {
    /// How many offices there are, ours among them.
    fn count(&self) -> &usize {
        self.network.as_ref().map_or(&0, |network| &network.count)
    }

    /// The invitation as a picture that a telephone reads: lines of a path, one for each dark square.
    fn squares(&self, text: &str) -> Option<(i32, String)> {
        let letters: String = text.chars().filter(|letter| *letter != '-').collect();
        let code = QrCode::encode_text(&letters, QrCodeEcc::Low).ok()?;
        let all = (0..code.size()).flat_map(|y| (0..code.size()).map(move |x| (x, y)));
        let dark = all.filter(|(x, y)| code.get_module(*x, *y));
        Some((code.size() + 8, dark.map(|(x, y)| format!("M{},{}h1v1h-1z", x + 4, y + 4)).collect()))
    }

    /// Every office whose membership this account may end: our own stands apart.
    fn offices(&self) -> Vec<(String, String)> {
        let members = self.network.iter().flat_map(|network| &network.members);
        members.map(|member| (member.office.to_string(), member.name.clone())).collect()
    }
}

async fn membership_page(app: &App, signed: Signed, form: Form, newcomer: Option<(NewcomerView, String)>) -> Response {
    invited_page(app, signed, form, newcomer, None).await
}

async fn invited_page(
    app: &App,
    signed: Signed,
    form: Form,
    newcomer: Option<(NewcomerView, String)>,
    invitation: Option<String>,
) -> Response {
    let status = form.status();
    let desk = signed.desk.clone();
    match app.run(move || Ok::<_, DeskError>(desk.network())).await {
        Ok(network) => {
            let (page, reasons) = (signed.page, EndReason::ALL);
            html_with(status, &MembershipPage { page, network, form, newcomer, invitation, reasons })
        }
        Err(error) => signed.refused(&error),
    }
}

async fn show(State(app): State<App>, signed: Signed) -> Response {
    membership_page(&app, signed, Form::default(), None).await
}

/// Somebody looks at a card before anything is decided.
async fn newcomer(State(app): State<App>, signed: Signed, parts: Multipart) -> Response {
    let card = match documents::read(parts, CARD_BYTES_MAX).await {
        Ok((_, _, file)) => file,
        Err(problem) => {
            return membership_page(&app, signed, Form::default().with_problems(vec![problem]), None).await;
        }
    };
    let desk = signed.desk.clone();
    let hex: String = card.iter().map(|byte| format!("{byte:02x}")).collect();
    match app.run(move || desk.read_newcomer(&card)).await {
        Ok(view) => membership_page(&app, signed, Form::default(), Some((view, hex))).await,
        Err(error) => came_back(&app, signed, Form::default(), error).await,
    }
}

/// The page again with what is wrong, where that stands in a field.
async fn came_back(app: &App, signed: Signed, form: Form, error: DeskError) -> Response {
    match error {
        DeskError::Invalid(problems) => membership_page(app, signed, form.with_problems(problems), None).await,
        error => signed.refused(&error),
    }
}

async fn admit(State(app): State<App>, Sent { signed, form }: Sent) -> Response {
    let digits = form.get("card").as_bytes().chunks(2);
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    let card: Option<Vec<u8>> = digits.map(byte).collect();
    let (desk, card) = (signed.desk.clone(), card.unwrap_or_default());
    match app.run(move || desk.admit(&card)).await {
        Ok(true) => go("/network/membership"),
        Ok(false) => go("/requests"),
        Err(error) => came_back(&app, signed, Form::default(), error).await,
    }
}

async fn end(State(app): State<App>, Sent { signed, form }: Sent) -> Response {
    let input =
        EndInput { office: form.text("office"), reason: form.text("reason"), successor: form.text("successor") };
    let desk = signed.desk.clone();
    match app.run(move || desk.end_membership(&input)).await {
        Ok(true) => go("/network/membership"),
        Ok(false) => go("/requests"),
        Err(error) => came_back(&app, signed, form, error).await,
    }
}

/// The invitation is shown once: whoever has it can knock.
async fn invite(State(app): State<App>, Sent { signed, form }: Sent) -> Response {
    let (desk, note) = (signed.desk.clone(), form.text("note"));
    match app.run(move || desk.invite(&note)).await {
        Ok(text) => invited_page(&app, signed, Form::default(), None, Some(text)).await,
        Err(error) => came_back(&app, signed, form, error).await,
    }
}

async fn end_invitation(State(app): State<App>, Path(id): Path<String>, Sent { signed, .. }: Sent) -> Response {
    let desk = signed.desk.clone();
    match app.run(move || desk.take_invitation_back(&id)).await {
        Ok(()) => go("/network/membership"),
        Err(error) => came_back(&app, signed, Form::default(), error).await,
    }
}

/// An office that is in no network knocks with an invitation.
async fn join(State(app): State<App>, Sent { signed, form }: Sent) -> Response {
    let (desk, node, text) = (signed.desk.clone(), app.node.clone(), form.text("invitation"));
    let asked = app.run(move || {
        desk.may_join()?;
        node.ask_to_join(&text).map_err(|_| DeskError::Invalid(vec![FieldProblem::new("invitation", "no-invitation")]))
    });
    match asked.await {
        Ok(()) => go("/network"),
        Err(DeskError::Invalid(problems)) => super::network::again(&app, signed, form.with_problems(problems)).await,
        Err(error) => signed.refused(&error),
    }
}

async fn file(State(app): State<App>, signed: Signed) -> Response {
    let (desk, today) = (signed.desk.clone(), signed.desk.today());
    match app.run(move || desk.network_file()).await {
        Ok(bytes) => {
            let name = format!("network-{today}.casemesh");
            handed_out(HandedOut { name, media_type: "application/octet-stream", bytes })
        }
        Err(error) => signed.refused(&error),
    }
}

async fn verify(State(app): State<App>, Sent { signed, form }: Sent) -> Response {
    let input = CheckInput { office: form.text("office"), how: form.text("how"), same: form.on("same") };
    let (desk, office) = (signed.desk.clone(), form.text("office"));
    match app.run(move || desk.verify_partner(&input)).await {
        Ok(()) => go(&format!("/network#{office}")),
        Err(DeskError::Invalid(problems)) => super::network::again(&app, signed, form.with_problems(problems)).await,
        Err(error) => signed.refused(&error),
    }
}

async fn ask_room(State(app): State<App>, Sent { signed, form }: Sent) -> Response {
    let input = CapacityInput {
        office: form.text("office"),
        service: form.text("service"),
        urgency: form.text("urgency"),
        age_band: form.text("age_band"),
        language: form.text("language"),
    };
    let desk = signed.desk.clone();
    match app.run(move || desk.ask_capacity(&input)).await {
        Ok(_) => go("/network#asked"),
        Err(DeskError::Invalid(problems)) => super::network::again(&app, signed, form.with_problems(problems)).await,
        Err(error) => signed.refused(&error),
    }
}

async fn answer_room(State(app): State<App>, Path(id): Path<RecordId>, Sent { signed, form }: Sent) -> Response {
    let input = CapacityAnswerInput { capacity: form.text("capacity"), from: form.text("from") };
    let desk = signed.desk.clone();
    match app.run(move || desk.answer_capacity(id, &input)).await {
        Ok(()) => go("/network#asked"),
        Err(DeskError::Invalid(problems)) => super::network::again(&app, signed, form.with_problems(problems)).await,
        Err(error) => signed.refused(&error),
    }
}
