//! The main story, step by step, each with what was found to be true.

use super::people::{ADVICE, CLINIC, Invented, SHELTER};
use super::world::{DemoOffice, World};
use crate::client::{Client, has, is, text};
use anyhow::{Context as _, Result};
use casemesh_node::vault;
use casemesh_protocol::time::Day;
use serde::Serialize;
use serde_json::{Value, json};
use std::time::Instant;

/// Words that stand in the referred client's record and must be found nowhere else.
const CANARIES: &[&str] = &["Nokuthula", "Canary-Zwane", "Marigold-Lane-77", "083-canary-555"];

/// One step of the story.
#[derive(Debug, Serialize)]
pub(super) struct Step {
    /// What happened.
    pub(super) what: String,
    /// Whether it was so.
    pub(super) is_true: bool,
    /// Milliseconds since the story began.
    pub(super) at_ms: u128,
    /// What was seen.
    pub(super) seen: Value,
}

/// The whole story.
#[derive(Debug, Serialize)]
pub(super) struct Story {
    /// Whether every step was so.
    pub(super) is_true: bool,
    /// The steps.
    pub(super) steps: Vec<Step>,
    #[serde(skip)]
    begun: Option<Instant>,
}

impl Story {
    fn begin() -> Self {
        Self { is_true: true, steps: Vec::new(), begun: Some(Instant::now()) }
    }

    pub(super) fn is_true(&self) -> bool {
        self.is_true
    }

    fn step(&mut self, what: &str, is_true: bool, seen: Value) {
        self.is_true &= is_true;
        let at_ms = self.begun.map_or(0, |begun| begun.elapsed().as_millis());
        self.steps.push(Step { what: what.to_owned(), is_true, at_ms, seen });
    }
}

/// The four facts and the state of a referral.
fn way(view: &Value) -> Value {
    json!({
        "state": view.get("state"), "sent": view.get("sent"), "arrived": view.get("arrived"),
        "read": view.get("read"), "answered": view.get("answered"),
    })
}

fn mentions_a_canary(value: &Value) -> bool {
    let all = value.to_string();
    CANARIES.iter().any(|canary| all.contains(canary))
}

pub(super) async fn play(world: &World) -> Result<Story> {
    let mut story = Story::begin();
    let password = world.password.as_str();
    let today = casemesh_node::clock::Clock::system().now().day();
    let thandi = Client::sign_in(world.advice.served.address, "thandi", password, "").await?;
    story.step("Thandi signs in and opens the advice office", true, json!({ "office": world.advice.name }));
    fill(&thandi, ADVICE, today).await?;

    let line = thandi
        .make(
            "/register",
            json!({ "visitor": "woman with two children", "topic": "domestic_violence", "note": "Afraid to go home" }),
        )
        .await?;
    let from_line = thandi.make(&format!("/register/{line}/case"), json!({})).await?;
    let opened = thandi.get(&format!("/cases/{from_line}")).await?;
    story.step(
        "A line of the desk register becomes a case in one step",
        has(&opened, "number"),
        json!({ "case": opened.get("number") }),
    );

    let (client, case) = register_client(&mut story, &thandi).await?;
    let sent = refer(&mut story, world, &thandi, &client, &case, today).await?;
    work_at_the_shelter(&mut story, world, &thandi, &sent, today).await?;
    declined_by_the_clinic(&mut story, world, &thandi, &client, &case, today).await?;
    consent_taken_back(&mut story, world, &thandi, &client, &case, today).await?;
    totals(&mut story, world, today).await?;
    nothing_leaked(&mut story, world).await?;
    Ok(story)
}

async fn fill(client: &Client, people: &[Invented], today: Day) -> Result<()> {
    for (i, invented) in people.iter().enumerate() {
        let person = client.make("/people", invented.as_input()).await?;
        let case = client.make("/cases", invented.case_input(&person)).await?;
        let days = i32::try_from(i).unwrap_or(0);
        let due = today.plus_days(days - 1).to_string();
        let action =
            json!({ "text": invented.note, "minutes": "20", "next_action": "Call about the answer", "next_due": due });
        client.make(&format!("/cases/{case}/actions"), action).await?;
        if let Some((amount, currency)) = invented.recovered {
            let payment = json!({
                "kind": "recovered", "amount": amount, "currency": currency, "paid": today.to_string(), "note": "Paid in full",
            });
            client.make(&format!("/cases/{case}/payments"), payment).await?;
        }
    }
    Ok(())
}

async fn register_client(story: &mut Story, thandi: &Client) -> Result<(String, String)> {
    let hits = thandi.post("/people/search", json!({ "text": "Nokutula Zwane" })).await?;
    story.step("Searched first: nobody of that name is known", hits.as_array().is_some_and(Vec::is_empty), hits);
    let person = json!({
        "identity": "self_declared",
        "given": { "state": "known", "value": "Nokuthula" },
        "family": { "state": "known", "value": "Canary-Zwane" },
        "birth": { "state": "known", "value": "1991-08-24" },
        "sex": { "state": "known", "value": "female" },
        "nationality": { "state": "not_asked", "value": "" },
        "language": { "state": "known", "value": "zu" },
        "telephone": { "state": "known", "value": "083-canary-555" },
        "address": { "state": "known", "value": "Marigold-Lane-77" },
        "area": { "state": "known", "value": "Ugu" },
        "identifier": { "state": "refused", "value": "" },
        "safe_text": true,
        "safe_instructions": "Weekdays after ten",
        "code_word": "library",
    });
    let client = thandi.make("/people", person).await?;
    let found = thandi.post("/people/search", json!({ "text": "nokutula kanari" })).await?;
    let by_sound = found.as_array().is_some_and(|hits| hits.iter().any(|hit| is(hit, "id", &client)));
    story.step(
        "Registered, and found again by how the name sounds",
        by_sound,
        json!({ "hits": found.as_array().map(Vec::len) }),
    );
    let case = thandi
        .make("/cases", json!({ "clients": [client], "case": { "case_type": "domestic_violence", "summary": "Needs a safe place for herself." } }))
        .await?;
    thandi
        .make(
            &format!("/cases/{case}/actions"),
            json!({ "kind": "advice", "text": "Explained the protection order.", "minutes": "35" }),
        )
        .await?;
    Ok((client, case))
}

async fn consent(thandi: &Client, client: &str, to: &DemoOffice, today: Day) -> Result<String> {
    let consent = json!({
        "purpose": "share_for_service", "recipients": [to.id.to_string()],
        "scope": ["names", "birth_and_sex", "contact", "case_brief", "address"], "withheld": ["address"],
        "withheld_reason": "fear_of_harm", "expires": today.plus_days(60).to_string(),
        "method": "signed_paper", "giver": "person", "language": "zu",
    });
    thandi.make(&format!("/people/{client}/consents"), consent).await
}

async fn refer(
    story: &mut Story,
    world: &World,
    thandi: &Client,
    client: &str,
    case: &str,
    today: Day,
) -> Result<String> {
    let mut referral = json!({
        "to": world.shelter.id.to_string(), "service": "safe_house", "urgency": "urgent",
        "need": "A bed for one adult, from tonight", "consent": "00000000000000000000000000000000",
    });
    let path = format!("/cases/{case}/referrals");
    let (status, _) = thandi.refused(&path, referral.clone()).await?;
    story.step("Without a consent nothing can be sent", status == 404, json!({ "status": status }));
    let consent = consent(thandi, client, &world.shelter, today).await?;
    set(&mut referral, "consent", &consent);
    let share = thandi.post(&format!("/cases/{case}/referral-preview"), referral.clone()).await?;
    let at_once = share.get("preview").cloned().unwrap_or_default();
    let later = share.get("full").cloned().unwrap_or_default().to_string();
    let exact = !mentions_a_canary(&at_once) && later.contains("Nokuthula") && !later.contains("Marigold");
    story.step("Shown exactly: no name before acceptance, the address never", exact, share);
    let sent = thandi.make(&path, referral.clone()).await?;
    let (status, _) = thandi.refused(&path, referral).await?;
    story.step("The same referral cannot be sent twice", status == 409, json!({ "status": status }));
    let view = thandi.wait(&format!("/referrals/{sent}"), "the referral arrives", |view| has(view, "arrived")).await?;
    let unread = !has(&view, "read") && !has(&view, "answered") && is(&view, "state", "delivered");
    let door = world.shelter.served.node.door();
    story.step(
        "It arrives at the locked shelter: stored and signed for, read by nobody",
        unread && door.locked && door.waiting == 1 && door.urgent,
        json!({ "way": way(&view), "shelter_is_locked": door.locked, "waiting": door.waiting, "packets": view.get("packets") }),
    );
    Ok(sent)
}

fn set(value: &mut Value, key: &str, text: &str) {
    if let Some(object) = value.as_object_mut() {
        object.insert(key.to_owned(), json!(text));
    }
}

fn step_input(step: &str, code: &str, note: &str) -> Value {
    json!({ "step": step, "code": code, "note": note })
}

async fn first_incoming(client: &Client, state: &str) -> Result<String> {
    let list = client
        .wait("/referrals?outgoing=false", "a referral comes in", |list| {
            list.as_array().is_some_and(|all| all.iter().any(|referral| is(referral, "state", state)))
        })
        .await?;
    let all = list.as_array().context("a list")?;
    text(all.iter().find(|referral| is(referral, "state", state)).context("one of them")?, "id")
}

async fn work_at_the_shelter(story: &mut Story, world: &World, thandi: &Client, sent: &str, today: Day) -> Result<()> {
    let rosa = Client::sign_in(world.shelter.served.address, "rosa", &world.password, "").await?;
    fill(&rosa, SHELTER, today).await?;
    let received = first_incoming(&rosa, "delivered").await?;
    let theirs = format!("/referrals/{received}");
    let view = rosa.get(&theirs).await?;
    story.step(
        "Rosa signs in at the shelter and sees the preview, without identity",
        !mentions_a_canary(&view) && !has(&view, "full"),
        json!({ "preview": view.get("preview") }),
    );
    let ours = format!("/referrals/{sent}");
    let view = thandi.wait(&ours, "it is read", |view| has(view, "read")).await?;
    story.step("Thandi sees that it was read, and not yet answered", !has(&view, "answered"), way(&view));
    rosa.post(&format!("{theirs}/steps"), step_input("acknowledged", "", "")).await?;
    rosa.post(&format!("{theirs}/steps"), step_input("accepted", "", "Come to the side gate at six; ask for Rosa"))
        .await?;
    let view = rosa.wait(&theirs, "the full packet comes", |view| has(view, "full")).await?;
    let full = view.get("full").cloned().unwrap_or_default().to_string();
    let scoped = full.contains("Nokuthula") && full.contains("083-canary-555") && !full.contains("Marigold");
    story.step(
        "Accepted: only now the full packet comes, to the consent's scope",
        scoped,
        json!({ "full": view.get("full") }),
    );
    let their_case = rosa.make(&format!("{theirs}/case"), json!({})).await?;
    rosa.post(&format!("{theirs}/steps"), step_input("started", "", "")).await?;
    rosa.make(&format!("/cases/{their_case}/actions"), json!({ "text": "Settled in; first talk tomorrow." })).await?;
    let payment = json!({
        "kind": "recovered", "amount": "2500.00", "currency": "ZAR", "paid": today.to_string(), "note": "Deposit returned by the landlord",
    });
    rosa.make(&format!("/cases/{their_case}/payments"), payment).await?;
    rosa.post(
        &format!("{theirs}/steps"),
        step_input("completed", "service_given", "Stayed, and moved to her sister's"),
    )
    .await?;
    let view = thandi.wait(&ours, "the outcome comes back", |view| is(view, "state", "completed")).await?;
    story.step(
        "The outcome and the amount come back to the sender",
        true,
        json!({ "way": way(&view), "events": view.get("events") }),
    );
    thandi.post(&format!("{ours}/steps"), step_input("closed", "satisfied", "She says she is safe")).await?;
    let closed = rosa.wait(&theirs, "the shelter sees it closed", |view| is(view, "state", "closed")).await?;
    let log = |view: &Value| -> Vec<String> {
        let events = view.get("events").and_then(Value::as_array);
        events.into_iter().flatten().filter_map(|event| text(event, "step").ok()).collect()
    };
    let sender_log = log(&thandi.get(&ours).await?);
    story.step(
        "Closed with the client's feedback; both offices hold the same log",
        sender_log == log(&closed),
        json!({ "log": sender_log, "bytes": thandi.get(&ours).await?.get("packets") }),
    );
    Ok(())
}

async fn declined_by_the_clinic(
    story: &mut Story,
    world: &World,
    thandi: &Client,
    client: &str,
    case: &str,
    today: Day,
) -> Result<()> {
    let layla = Client::sign_in(world.clinic.served.address, "layla", &world.password, "").await?;
    fill(&layla, CLINIC, today).await?;
    let consent = consent(thandi, client, &world.clinic, today).await?;
    let referral = json!({
        "to": world.clinic.id.to_string(), "service": "representation", "urgency": "routine",
        "need": "Representation at a hearing next month", "consent": consent,
    });
    let sent = thandi.make(&format!("/cases/{case}/referrals"), referral).await?;
    let received = first_incoming(&layla, "delivered").await?;
    let reason = step_input("declined", "no_capacity", "Our calendar is full until spring");
    layla.post(&format!("/referrals/{received}/steps"), reason).await?;
    let view =
        thandi.wait(&format!("/referrals/{sent}"), "the answer comes", |view| is(view, "state", "declined")).await?;
    let home = thandi.get("/home").await?;
    let on_home = home.get("outgoing").is_some_and(|list| list.to_string().contains(&sent));
    let kept = layla.get(&format!("/referrals/{received}")).await?;
    story.step(
        "The clinic declines with a reason; the sender is told and finds it among due work",
        on_home && !has(&kept, "full"),
        way(&view),
    );
    Ok(())
}

async fn consent_taken_back(
    story: &mut Story,
    world: &World,
    thandi: &Client,
    client: &str,
    case: &str,
    today: Day,
) -> Result<()> {
    let layla = Client::sign_in(world.clinic.served.address, "layla", &world.password, "").await?;
    let consent = consent(thandi, client, &world.clinic, today).await?;
    let referral = json!({
        "to": world.clinic.id.to_string(), "service": "legal_assistance", "urgency": "routine",
        "need": "Advice on a protection order", "consent": consent,
    });
    let path = format!("/cases/{case}/referrals");
    thandi.make(&path, referral.clone()).await?;
    let received = first_incoming(&layla, "delivered").await?;
    thandi.post(&format!("/people/{client}/consents/{consent}/withdraw"), json!({})).await?;
    let theirs = format!("/referrals/{received}");
    let view = layla.wait(&theirs, "the withdrawal arrives", |view| is(view, "state", "consent_withdrawn")).await?;
    let (status, _) = layla.refused(&format!("{theirs}/steps"), step_input("accepted", "", "")).await?;
    let (again, _) = thandi.refused(&path, referral).await?;
    story.step(
        "The client takes the consent back: it reaches the other office by itself, and nothing more can be sent",
        status == 409 && again == 409,
        json!({ "way": way(&view), "accepting_then": status, "sending_again": again }),
    );
    Ok(())
}

async fn totals(story: &mut Story, world: &World, today: Day) -> Result<()> {
    let from = Day::new(today.year(), 1, 1).unwrap_or(today);
    let period = json!({ "from": from.to_string(), "to": today.to_string() });
    let query = format!("?from={from}&to={today}");
    for (office, name) in [(&world.advice, "sipho"), (&world.shelter, "rosa"), (&world.clinic, "layla")] {
        let client = Client::sign_in(office.served.address, name, &world.password, "").await?;
        let preview = client.get(&format!("/tables{query}")).await?;
        client.make("/tables", period.clone()).await?;
        story.step(
            &format!("{} looks at every cell and sends its table", office.name),
            !mentions_a_canary(&preview),
            json!({ "table": preview.get("figures") }),
        );
    }
    let nomsa = Client::sign_in(world.collector.served.address, "nomsa", &world.password, "").await?;
    let collected = nomsa
        .wait(&format!("/collected{query}"), "all tables come", |view| {
            view.get("offices").and_then(Value::as_array).is_some_and(|offices| offices.len() == 3)
        })
        .await?;
    let figure = |number: usize| collected.pointer(&format!("/total/{number}")).cloned().unwrap_or_default();
    let cell = |figure: &Value, code: &str| -> Option<String> {
        let cells = figure.get("cells")?.as_array()?;
        let cell =
            cells.iter().find(|cell| cell.pointer("/classes/0/code/code").and_then(Value::as_str) == Some(code))?;
        text(cell, "value").ok()
    };
    let (cases, referrals, amounts) = (figure(0), figure(1), figure(2));
    let expected = [
        (&cases, "domestic_violence", Some("3")),
        (&cases, "unpaid_wages", Some("2")),
        (&referrals, "closed", Some("1")),
        (&referrals, "declined", Some("1")),
        (&referrals, "consent_withdrawn", Some("1")),
        (&amounts, "ZAR", Some("8590.50")),
        (&amounts, "USD", Some("310.00")),
        (&amounts, "NPR", Some("15000.00")),
    ];
    let agree = expected.iter().all(|(figure, code, value)| cell(figure, code).as_deref() == *value);
    // The case that the shelter opened from the referral has no type yet.
    let missing = cases.get("missing").and_then(Value::as_u64) == Some(1);
    story.step(
        "The coordinator sees the three numbers per office and in total, money counted once",
        agree && missing && !mentions_a_canary(&collected),
        collected,
    );
    Ok(())
}

async fn nothing_leaked(story: &mut Story, world: &World) -> Result<()> {
    for office in world.offices() {
        let folder = office.folder.clone();
        let found = tokio::task::spawn_blocking(move || canaries_in(&folder)).await??;
        story.step(
            &format!("No name, number or address can be read in the folder of {}", office.name),
            found.is_empty(),
            json!({ "found": found }),
        );
    }
    let node = &world.advice.served.node;
    let status = node.relay().status();
    let (locking, folder) = (node.clone(), world.advice.folder.clone());
    let checked = tokio::task::spawn_blocking(move || {
        locking.lock();
        vault::check(&folder, None, |_| ())
    })
    .await??;
    story.step(
        "The advice office's journal verifies, entry by entry, under signed checkpoints",
        checked.journal.checkpoints > 0,
        json!({
            "entries": checked.journal.entries, "checkpoints": checked.journal.checkpoints,
            "root": checked.journal.root.to_string(), "bytes_sent": status.bytes_sent, "bytes_received": status.bytes_received,
        }),
    );
    Ok(())
}

/// Files below a folder in which one of the canaries can be read.
fn canaries_in(folder: &std::path::Path) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(canaries_in(&path)?);
            continue;
        }
        let bytes = std::fs::read(&path).unwrap_or_default();
        let holds = |canary: &&&str| bytes.windows(canary.len()).any(|window| window == canary.as_bytes());
        found.extend(CANARIES.iter().find(holds).map(|canary| format!("{canary} in {}", path.display())));
    }
    Ok(found)
}
