//! ```text
//!   advice office ---- direct ---- shelter
//!          \____ hub (mailbox) ____/
//! ```

use crate::harness::{TestNode, eventually, network, new_node, resolved};
use crate::referring::{client, consent, incoming, known, refer, started_offices, step, two_offices, wait_for};
use casemesh_node::clock::Clock;
use casemesh_node::node::Node;
use casemesh_node::office::{
    ActionInput, AnswerInput, BookInInput, CaseInput, ConsentInput, Desk, NeverInput, PaymentInput, PersonInput,
    ReferralInput, ReferralView, SettingsInput, TaskFilter, TaskView, ToldInput,
};
use casemesh_node::records::TaskState;
use casemesh_protocol::directory::{OfficeKind, Role};
use casemesh_protocol::id::{OfficeId, RecordId};
use casemesh_protocol::referral::State;
use casemesh_protocol::terms::FieldGroup;
use casemesh_protocol::time::{Period, Timestamp};
use casemesh_protocol::timers::Awaited;
use std::collections::BTreeMap;

struct World {
    advice: TestNode,
    shelter: TestNode,
    hub: TestNode,
    collector: TestNode,
    network: Vec<u8>,
}

fn world() -> World {
    let hub = TestNode::new(&new_node("Hub", OfficeKind::Coordination, vec![Role::Hub], vec![]));
    let hubs = vec![hub.office];
    let advice = TestNode::new(&new_node("Advice office", OfficeKind::AdviceOffice, vec![Role::Office], hubs.clone()));
    let shelter = TestNode::new(&new_node("Shelter", OfficeKind::Shelter, vec![Role::Office], hubs.clone()));
    let collector = TestNode::new(&new_node("Collector", OfficeKind::Coordination, vec![Role::Collector], hubs));
    let network = network(&[&advice, &shelter, &hub, &collector]);
    World { advice, shelter, hub, collector, network }
}

#[test]
fn a_referral_goes_its_whole_way_and_the_totals_agree() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _guard = runtime.enter();
    let mut world = world();
    for node in [&mut world.advice, &mut world.shelter, &mut world.hub, &mut world.collector] {
        node.start();
        node.node().join(&world.network).unwrap();
    }
    let advice = world.advice.desk("worker");
    let (person, case) = client(&advice);
    let consent = consent(
        &advice,
        person,
        world.shelter.office,
        &["names", "birth_and_sex", "contact", "case_brief", "address"],
        &["address"],
    );
    let sent = refer(&advice, case, world.shelter.office, consent);

    // The shelter is locked: the packet arrives, and nobody has read it.
    let view = wait_for(&advice, sent, "it arrives at the locked shelter", |v| v.summary.arrived.is_some());
    assert_eq!(view.summary.state, State::Delivered);
    assert_eq!((view.summary.read, view.summary.answered), (None, None));
    let door = world.shelter.node().door();
    assert!(door.locked && door.urgent);
    assert_eq!(door.waiting, 1);

    let shelter = world.shelter.desk("worker");
    let received = incoming(&shelter);
    let view = shelter.referral(received).unwrap();
    assert!(view.full.is_none(), "before acceptance there is the preview and nothing else");
    let seen = serde_json::to_string(&view).unwrap();
    for secret in ["Nomvula", "Dlamini", "555", "Canary", "1994"] {
        assert!(!seen.contains(secret), "{secret} in the preview");
    }
    let way = &view.summary;
    assert!(way.sent.is_some() && way.read.is_some(), "when they asked, and when it was opened here");
    assert_eq!((way.arrived, way.answered), (None, None), "the receipt is the sender's, and nobody answered yet");
    wait_for(&advice, sent, "it is read", |v| v.summary.read.is_some());
    step(&shelter, received, "acknowledged", "", "");
    let answered = shelter.referral(received).unwrap().summary.answered;
    assert!(answered.is_some(), "we answered");
    step(&shelter, received, "accepted", "", "Come to the back gate at six");
    let view = wait_for(&shelter, received, "the full packet comes", |v| v.full.is_some());
    assert_eq!(view.summary.answered, answered, "the first answer counts");
    let full = serde_json::to_string(&view.full).unwrap();
    assert!(full.contains("Nomvula") && full.contains("082 555 0101") && full.contains("safe place tonight"));
    assert!(!full.contains("Canary"), "the address is withheld");
    assert!(full.contains("fear_of_harm"), "and says so");

    let their_case = shelter.referral_to_case(received).unwrap();
    assert_eq!(shelter.search("Nomvula").unwrap()[0].birth_year, Some(1994), "every shared field is taken over");
    step(&shelter, received, "started", "", "");
    shelter.add_action(their_case, &ActionInput { text: "Settled in".into(), ..ActionInput::default() }).unwrap();
    let today = Clock::system().now().day();
    shelter
        .add_payment(
            their_case,
            PaymentInput {
                kind: "recovered".into(),
                amount: "1250.50".into(),
                currency: "ZAR".into(),
                paid: today.to_string(),
                note: "Deposit".into(),
                ..PaymentInput::default()
            },
        )
        .unwrap();
    step(&shelter, received, "completed", "service_given", "Stayed two nights");
    wait_for(&advice, sent, "the outcome comes back", |v| v.summary.state == State::Completed);
    step(&advice, sent, "closed", "satisfied", "She is well");
    wait_for(&shelter, received, "the shelter sees it closed", |v| v.summary.state == State::Closed);
    let ours = advice.case(case).unwrap();
    assert_eq!(ours.payments.len(), 1);
    assert!(!ours.payments[0].recovered_here, "shown here, counted there");

    // Both sides hold the same log.
    let steps = |view: ReferralView| view.events.into_iter().map(|event| event.step).collect::<Vec<_>>();
    assert_eq!(steps(advice.referral(sent).unwrap()), steps(shelter.referral(received).unwrap()));

    let period = Period::new(today.plus_days(-1), today).unwrap();
    let collector = world.collector.desk("worker");
    for desk in [&advice, &shelter] {
        desk.approve_table("", period, None).unwrap();
        assert!(desk.approve_table("", period, None).is_err(), "unchanged");
    }
    let totals = eventually("both tables come", || {
        let collected = collector.collected("", Some(period)).unwrap();
        (collected.offices.len() == 2).then_some(collected)
    });
    let cell = |figure: usize| {
        let cells = totals.total[figure].cells.iter();
        cells.map(|cell| (cell.code().unwrap().to_owned(), cell.value.clone().unwrap())).collect::<Vec<_>>()
    };
    assert_eq!(cell(0), [("domestic_violence".to_owned(), "1".to_owned())]);
    assert_eq!(totals.total[0].missing, Some(1), "the shelter's case has no type yet");
    assert_eq!(cell(1), [("closed".to_owned(), "1".to_owned())]);
    assert_eq!(cell(2), [("ZAR".to_owned(), "1250.50".to_owned())], "counted once");
    let all = serde_json::to_string(&totals).unwrap();
    assert!(!all.contains("Nomvula") && !all.contains("Dlamini"));
}

#[test]
fn offices_that_are_never_awake_together_meet_through_the_hub() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _guard = runtime.enter();
    let mut world = world();
    for node in [&mut world.advice, &mut world.hub, &mut world.shelter] {
        node.start();
        node.node().join(&world.network).unwrap();
    }
    world.shelter.stop();
    let advice = world.advice.desk("worker");
    let (person, case) = client(&advice);
    let consent = consent(&advice, person, world.shelter.office, &["names"], &[]);
    let sent = refer(&advice, case, world.shelter.office, consent);
    let mailbox = world.hub.folder.path().join("mailbox").join(world.shelter.office.to_string());
    eventually("the hub keeps it", || {
        std::fs::read_dir(&mailbox).ok()?.flatten().find(|entry| entry.path().extension().is_some_and(|e| e == "pkt"))
    });
    assert_eq!(advice.referral(sent).unwrap().summary.arrived, None, "a hub's acceptance is no arrival");
    drop(advice);
    world.advice.stop();

    // The shelter wakes, locked, and fetches; the advice office wakes later and learns that it arrived.
    world.shelter.start();
    eventually("the shelter fetches", || (world.shelter.node().door().waiting == 1).then_some(()));
    eventually("the hub lets go", || {
        let left = std::fs::read_dir(&mailbox)
            .ok()?
            .flatten()
            .filter(|e| e.path().extension().is_some_and(|e| e == "pkt"))
            .count();
        (left == 0).then_some(())
    });
    world.shelter.stop();
    world.advice.start();
    let advice = world.advice.desk("worker");
    wait_for(&advice, sent, "the receipt comes by the hub", |v| v.summary.arrived.is_some());
}

#[test]
fn consent_taken_back_reaches_the_other_office_and_stops_what_waits() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _guard = runtime.enter();
    let mut world = world();
    for node in [&mut world.advice, &mut world.shelter] {
        node.start();
        node.node().join(&world.network).unwrap();
    }
    let advice = world.advice.desk("worker");
    let shelter = world.shelter.desk("worker");
    let (person, case) = client(&advice);
    let first = consent(&advice, person, world.shelter.office, &["names"], &[]);
    let sent = refer(&advice, case, world.shelter.office, first);
    let received = incoming(&shelter);
    advice.withdraw_consent(person, first).unwrap();
    wait_for(&shelter, received, "the withdrawal arrives", |v| v.summary.state == State::ConsentWithdrawn);
    assert_eq!(advice.referral(sent).unwrap().summary.state, State::ConsentWithdrawn);
    assert!(shelter.answer(received, AnswerInput { step: "accepted".into(), ..AnswerInput::default() }).is_err());
    let again = ReferralInput {
        to: world.shelter.office.to_string(),
        service: "safe_house".into(),
        need: "A bed".into(),
        urgency: String::new(),
        consent: first.to_string(),
        ..ReferralInput::default()
    };
    assert!(advice.send_referral(case, again.clone()).unwrap_err().to_string().contains("took the consent back"));

    // A name in the need, an office without consent, and a second identical referral are stopped.
    let second = consent(&advice, person, world.shelter.office, &["names"], &[]);
    let named = ReferralInput { need: "Nomvula needs a bed".into(), consent: second.to_string(), ..again.clone() };
    assert!(advice.send_referral(case, named).unwrap_err().to_string().contains("need-has-name"));
    let elsewhere = ReferralInput { to: world.hub.office.to_string(), consent: second.to_string(), ..again.clone() };
    assert!(advice.send_referral(case, elsewhere).unwrap_err().to_string().contains("other offices"));
    let good = ReferralInput { consent: second.to_string(), ..again };
    advice.send_referral(case, good.clone()).unwrap();
    assert!(advice.send_referral(case, good).unwrap_err().to_string().contains("already has an open referral"));
}

#[test]
fn a_withdrawal_ends_referrals_that_wait_unopened_and_takes_back_those_that_have_not_arrived() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _guard = runtime.enter();
    let (advice, mut shelter) = started_offices();
    let desk = advice.desk("worker");

    // Six referrals and their ends wait at the locked shelter; it opens them in no certain order.
    let mut clients = Vec::new();
    for _ in 0..6 {
        let (person, case) = client(&desk);
        let consent = consent(&desk, person, shelter.office, &["names", "case_brief"], &[]);
        let sent = refer(&desk, case, shelter.office, consent);
        wait_for(&desk, sent, "it arrives", |view| view.summary.arrived.is_some());
        clients.push((person, consent));
    }
    for (person, consent) in &clients {
        desk.withdraw_consent(*person, *consent).unwrap();
    }
    eventually("all wait", || (shelter.node().door().waiting == 12).then_some(()));
    let other = shelter.desk("worker");
    eventually("every withdrawal is known", || {
        let referrals = other.referrals(false).unwrap();
        let ended = referrals.iter().filter(|referral| referral.state == State::ConsentWithdrawn).count();
        (ended == 6).then_some(())
    });

    // The shelter is away: what is under way to it goes no more.
    shelter.stop();
    let (person, case) = client(&desk);
    let consent = consent(&desk, person, shelter.office, &["names", "case_brief"], &[]);
    let packets = || -> Vec<_> {
        let rows = advice.node().relay().spool().under_way().unwrap();
        rows.into_iter().map(|row| row.packet).collect()
    };
    let before = packets();
    refer(&desk, case, shelter.office, consent);
    let packet = eventually("it is under way", || packets().into_iter().find(|packet| !before.contains(packet)));
    desk.withdraw_consent(person, consent).unwrap();
    eventually("it is taken back", || (!packets().contains(&packet)).then_some(()));
}

/// The relay's copy of a packet is not synced. Here it goes, as in a power cut, before the other office is there.
#[test]
fn a_packet_that_a_power_cut_took_from_the_relay_is_sealed_anew() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _guard = runtime.enter();
    let (mut advice, mut shelter) = started_offices();
    shelter.stop();
    let desk = advice.desk("worker");
    let (person, case) = client(&desk);
    let consent = consent(&desk, person, shelter.office, &["names", "case_brief"], &[]);
    let sent = refer(&desk, case, shelter.office, consent);
    assert!(desk.referral(sent).unwrap().summary.sent.is_some());
    drop(desk);
    advice.stop();
    let copies: Vec<_> = std::fs::read_dir(advice.folder.path().join("spool/out")).unwrap().collect();
    assert_eq!(copies.len(), 1);
    for copy in copies {
        std::fs::write(copy.unwrap().path(), b"half").unwrap();
    }
    advice.start();
    shelter.start();
    let (desk, other) = (advice.desk("worker"), shelter.desk("worker"));
    incoming(&other);
    wait_for(&desk, sent, "read", |referral| referral.summary.arrived.is_some() && referral.summary.read.is_some());
}

/// A clock that is wrong is said in one sentence, and loses nothing.
#[test]
fn wrong_clocks_are_said_and_lose_nothing() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _guard = runtime.enter();
    let (mut advice, mut shelter, network) = two_offices();
    let now = Clock::system().now();
    // Our own, years off in both directions.
    for (clock, expected) in [
        (Timestamp::from_s(1_000_000_000), "which is before Casemesh was made"),
        (now.plus_days(3000), "this office's keys for receiving ran out"),
        (Timestamp::from_s(now.s() - 90 * 86_400), "which is before this office was set up"),
    ] {
        let node = Node::start(shelter.folder.path(), Clock::set_to(clock)).unwrap();
        let problem = node.door().clock_problem.unwrap();
        assert!(problem.contains(expected) && problem.contains("Nothing is lost"), "{problem}");
        node.stop();
    }
    // The other office's, by three days: both say so, the referral waits, and goes when the clock is set right.
    let ahead = Node::start(shelter.folder.path(), Clock::set_to(now.plus_days(3))).unwrap();
    ahead.join(&network).unwrap();
    advice.start();
    advice.node().join(&network).unwrap();
    let desk = advice.desk("worker");
    let (person, case) = client(&desk);
    let consent = consent(&desk, person, shelter.office, &["names", "case_brief"], &[]);
    let sent = refer(&desk, case, shelter.office, consent);
    eventually("the clocks are named", || {
        let said = |node: &Node| node.relay().status().problems.into_values().next();
        let problem = said(advice.node()).or_else(|| said(&ahead))?;
        assert!(problem.contains("differ by more than a day"), "{problem}");
        Some(())
    });
    assert!(desk.referral(sent).unwrap().summary.arrived.is_none());
    ahead.stop();
    drop(ahead);
    shelter.start();
    let other = shelter.desk("worker");
    incoming(&other);
    wait_for(&desk, sent, "read", |referral| referral.summary.read.is_some());
}

/// Two started offices that know each other, and a client of the first with a case.
struct Pair {
    advice: TestNode,
    shelter: TestNode,
    desk: Desk,
    other: Desk,
    person: RecordId,
    case: RecordId,
}

fn started_pair() -> Pair {
    let (advice, shelter) = started_offices();
    let (desk, other) = (advice.desk("worker"), shelter.desk("worker"));
    let (person, case) = client(&desk);
    Pair { advice, shelter, desk, other, person, case }
}

#[test]
fn every_answer_has_its_way_and_says_what_it_has_to() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _guard = runtime.enter();
    let pair = started_pair();
    let (desk, other) = (&pair.desk, &pair.other);
    let to = pair.shelter.office;
    let consent = consent(desk, pair.person, to, &["names", "contact"], &[]);
    let sent = refer(desk, pair.case, to, consent);
    let received = incoming(other);
    let offered = |desk: &Desk, id| -> Vec<String> {
        desk.referral(id).unwrap().steps.into_iter().map(|step| step.step).collect()
    };
    assert!(
        ["accepted", "waitlisted", "rerouted", "declined"]
            .iter()
            .all(|s| offered(other, received).contains(&(*s).into()))
    );
    assert!(["withdrawn", "consent_withdrawn", "noted"].iter().all(|s| offered(desk, sent).contains(&(*s).into())));
    let answer = |desk: &Desk, id, input: AnswerInput| desk.answer(id, input);
    let said = |step: &str| AnswerInput { step: step.into(), ..AnswerInput::default() };
    assert!(answer(other, received, said("noted")).is_err(), "a note has words");
    answer(other, received, AnswerInput { on: "2099-01-31".into(), ..said("waitlisted") }).unwrap();
    let view = wait_for(desk, sent, "the waiting list", |v| v.summary.state == State::Waitlisted);
    assert_eq!(view.events.last().unwrap().text, "2099-01-31");
    let visit = AnswerInput {
        when: "Monday, nine o'clock".into(),
        ask_for: "Thandi".into(),
        bring: "the child's card".into(),
        note: "Use the side gate".into(),
        ..said("accepted")
    };
    answer(other, received, visit).unwrap();
    let view = wait_for(desk, sent, "the acceptance", |v| v.summary.state == State::Accepted);
    let visit = view.events.iter().find_map(|event| event.visit.clone()).unwrap();
    assert_eq!((visit.ask_for.as_str(), visit.place.as_str()), ("Thandi", ""));
    answer(other, received, said("started")).unwrap();
    assert!(answer(other, received, said("on_hold")).is_err(), "why it rests is said");
    answer(other, received, AnswerInput { code: "court".into(), ..said("on_hold") }).unwrap();
    wait_for(desk, sent, "it rests", |v| v.summary.state == State::OnHold);
    answer(other, received, said("started")).unwrap();
    let done = AnswerInput { code: "service_given".into(), services: vec!["safe_house".into()], ..said("completed") };
    answer(other, received, done).unwrap();
    let view = wait_for(desk, sent, "the outcome", |v| v.summary.state == State::Completed);
    let given = view.events.iter().flat_map(|event| &event.services).map(|code| code.code.as_str());
    assert_eq!(given.collect::<Vec<_>>(), ["safe_house"]);
    answer(desk, sent, AnswerInput { code: "satisfied".into(), ..said("closed") }).unwrap();
    wait_for(other, received, "the end", |v| v.summary.state == State::Closed);
}

#[test]
fn another_office_that_is_named_becomes_a_task_and_a_second_one_is_asked_only_on_purpose() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _guard = runtime.enter();
    let mut world = world();
    for node in [&mut world.advice, &mut world.shelter, &mut world.hub] {
        node.start();
        node.node().join(&world.network).unwrap();
    }
    let (desk, other) = (world.advice.desk("worker"), world.shelter.desk("worker"));
    let (person, case) = client(&desk);
    let both = |to: OfficeId| consent(&desk, person, to, &["names"], &[]);
    let sent = refer(&desk, case, world.shelter.office, both(world.shelter.office));
    let received = incoming(&other);
    // The same need at a second office at the same time is asked about.
    let elsewhere = ReferralInput {
        to: world.hub.office.to_string(),
        service: "safe_house".into(),
        need: "A bed for one adult tonight".into(),
        consent: both(world.hub.office).to_string(),
        ..ReferralInput::default()
    };
    assert_eq!(desk.send_referral(case, elsewhere.clone()).unwrap_err().key(), "error-also-open");
    let both = desk.send_referral(case, ReferralInput { also_elsewhere: true, ..elsewhere }).unwrap();
    step(&desk, both, "withdrawn", "other_provider", "");
    // The shelter names another office: somebody looks for one, and the name leads there.
    let named = AnswerInput {
        step: "rerouted".into(),
        office: world.hub.office.to_string(),
        note: "They have beds".into(),
        ..AnswerInput::default()
    };
    other.answer(received, named).unwrap();
    let view = wait_for(&desk, sent, "the other office", |v| v.summary.state == State::Rerouted);
    assert_eq!(view.events.last().unwrap().office, Some(world.hub.office));
    let tasks = desk.case(case).unwrap().tasks;
    assert!(tasks.iter().any(|task| format!("{:?}", task.title).contains("find_another")), "{tasks:?}");
}

#[test]
fn what_was_received_goes_when_it_is_taken_back_and_the_sender_is_told() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _guard = runtime.enter();
    let mut pair = started_pair();
    let to = pair.shelter.office;
    let first = consent(&pair.desk, pair.person, to, &["names", "contact"], &[]);
    let sent = refer(&pair.desk, pair.case, to, first);
    let received = incoming(&pair.other);
    let tables = || -> Vec<String> {
        let files = std::fs::read_dir(pair.shelter.folder.path().join("keys")).unwrap();
        files.map(|file| file.unwrap().file_name().to_string_lossy().into_owned()).collect()
    };
    assert!(tables().iter().all(|file| file.ends_with("1.tbl")), "{:?}", tables());
    step(&pair.other, received, "accepted", "", "Come at nine");
    wait_for(&pair.other, received, "the full packet", |v| v.full.is_some());
    step(&pair.desk, sent, "revoked", "safety", "");
    let view = wait_for(&pair.other, received, "it is erased", |v| v.erased.is_some());
    assert!(view.full.is_none() && view.preview.need.is_empty() && view.events.is_empty() && view.steps.is_empty());
    assert_eq!(view.summary.state, State::Revoked, "a line is left");
    // The key under which it stood is destroyed: all living keys stand under another epoch now.
    eventually("the old key goes", || (tables() == ["00000002.tbl"]).then_some(()));
    wait_for(&pair.desk, sent, "the answer", |v| v.events.iter().any(|event| event.step == "erasure_answered"));
    // After a restart it opens, and nothing came back.
    pair.shelter.stop();
    pair.shelter.start();
    let other = pair.shelter.desk("worker");
    assert!(other.referral(received).unwrap().erased.is_some());

    // With a case, a person says what is kept and why.
    let second = refer(&pair.desk, pair.case, to, first);
    let received = eventually("the second", || {
        other.referrals(false).unwrap().into_iter().find(|r| r.id != received).map(|r| r.id)
    });
    step(&other, received, "accepted", "", "");
    wait_for(&other, received, "the full packet", |v| v.full.is_some());
    let case = other.referral_to_case(received).unwrap();
    // The client tells the shelter, and the advice office's consent ends with it.
    step(&other, received, "consent_withdrawn", "", "");
    wait_for(&pair.desk, second, "the withdrawal", |v| v.summary.state == State::ConsentWithdrawn);
    assert_eq!(pair.desk.person(pair.person).unwrap().consents[0].status, "withdrawn");
    let tasks = other.case(case).unwrap().tasks;
    assert!(tasks.iter().any(|task| format!("{:?}", task.title).contains("erasure_answer")), "{tasks:?}");
    step(&other, received, "erasure_answered", "legal_duty", "A report to the court");
    wait_for(&pair.desk, second, "what is kept", |v| {
        v.events.iter().any(|event| event.text.contains("A report to the court"))
    });
    drop(pair.advice);
}

#[test]
fn an_office_that_accepts_and_starts_while_the_sender_is_away_gets_the_full_packet() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _guard = runtime.enter();
    // The order in which packets are opened is that of their hashes: several times, so that both orders come.
    for _ in 0..4 {
        let pair = started_pair();
        let consent = consent(&pair.desk, pair.person, pair.shelter.office, &["names"], &[]);
        refer(&pair.desk, pair.case, pair.shelter.office, consent);
        let received = incoming(&pair.other);
        drop(pair.desk);
        pair.advice.node().lock();
        step(&pair.other, received, "accepted", "", "");
        step(&pair.other, received, "started", "", "");
        eventually("both answers wait at the locked office", || (pair.advice.node().door().waiting >= 2).then_some(()));
        let _desk = pair.advice.desk("worker");
        wait_for(&pair.other, received, "the full packet", |v| v.full.is_some());
    }
}

#[test]
fn a_referral_that_has_not_gone_is_taken_back_and_nothing_leaves() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _guard = runtime.enter();
    let pair = started_pair();
    let admin = pair.advice.desk("admin");
    let settings = SettingsInput { recall_minutes: 10, ..SettingsInput::from(admin.settings().unwrap()) };
    assert!(admin.change_settings(&SettingsInput { recall_minutes: 61, ..settings.clone() }).is_err());
    admin.change_settings(&settings).unwrap();
    let consent = consent(&pair.desk, pair.person, pair.shelter.office, &["names"], &[]);
    let routine = ReferralInput {
        to: pair.shelter.office.to_string(),
        service: "safe_house".into(),
        need: "A bed".into(),
        consent: consent.to_string(),
        ..ReferralInput::default()
    };
    let wrong = pair.desk.send_referral(pair.case, routine.clone()).unwrap();
    let view = pair.desk.referral(wrong).unwrap();
    assert!(view.recall_until.is_some() && view.steps.is_empty(), "nothing goes before the referral itself");
    let word = AnswerInput { step: "noted".into(), note: "Wait".into(), ..AnswerInput::default() };
    assert!(pair.desk.answer(wrong, word).is_err());
    pair.desk.recall_referral(wrong).unwrap();
    let view = pair.desk.referral(wrong).unwrap();
    assert_eq!((view.summary.state, view.recall_until), (State::EnteredInError, None));
    assert!(view.steps.is_empty());
    // To withdraw it is to take it back.
    let other = pair.desk.send_referral(pair.case, routine.clone()).unwrap();
    step(&pair.desk, other, "withdrawn", "wrong_office", "");
    assert_eq!(pair.desk.referral(other).unwrap().summary.state, State::EnteredInError);
    // What is urgent goes at once, and comes before what was taken back.
    let urgent = ReferralInput { urgency: "emergency".into(), ..routine };
    let right = pair.desk.send_referral(pair.case, urgent).unwrap();
    wait_for(&pair.desk, right, "it arrives", |v| v.summary.arrived.is_some());
    assert_eq!(pair.desk.recall_referral(right).unwrap_err().key(), "error-conflict");
    incoming(&pair.other);
    assert_eq!(pair.other.referrals(false).unwrap().len(), 1);
}

#[test]
fn an_office_writes_a_new_card_before_its_prekeys_end_and_partners_use_it() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _guard = runtime.enter();
    let (mut advice, mut shelter, network) = two_offices();
    let clock = Clock::set_to(Clock::system().now());
    for node in [&mut advice, &mut shelter] {
        node.start_at(clock.clone());
        node.node().join(&network).unwrap();
    }
    let prekeys_of = |node: &TestNode, office: OfficeId| {
        let directory = node.node().directory().unwrap();
        let member = directory.member(&office).unwrap();
        (member.record.number, member.prekeys.iter().map(|prekey| prekey.until).max().unwrap())
    };
    let first = prekeys_of(&shelter, advice.office);
    // Ten weeks on, there are three weeks left: both offices renew, and each learns the other's card.
    let day_ms = 86_400_000;
    clock.advance_ms(70 * day_ms);
    let (desk, other) = (advice.desk("worker"), shelter.desk("worker"));
    eventually("the shelter has the advice office's new card", || {
        advice.node().nudge();
        shelter.node().nudge();
        (prekeys_of(&shelter, advice.office).1 > first.1.plus_days(60)).then_some(())
    });
    eventually("and the other way round", || (prekeys_of(&advice, shelter.office).0 == 2).then_some(()));
    // After the first season is over, a referral still goes its way; after a restart the cards are there.
    drop((desk, other));
    for node in [&mut advice, &mut shelter] {
        node.stop();
    }
    clock.advance_ms(40 * day_ms);
    for node in [&mut advice, &mut shelter] {
        node.start_at(clock.clone());
    }
    assert_eq!(prekeys_of(&advice, shelter.office).0, 2);
    let (desk, other) = (advice.desk("worker"), shelter.desk("worker"));
    let (person, case) = client(&desk);
    let expires = clock.now().plus_days(30).day().to_string();
    let consent = ConsentInput {
        purpose: "share_for_service".into(),
        recipients: vec![shelter.office.to_string()],
        scope: vec!["names".into()],
        expires,
        method: "signed_paper".into(),
        giver: "person".into(),
        ..ConsentInput::default()
    };
    let consent = desk.record_consent(person, consent).unwrap();
    let sent = refer(&desk, case, shelter.office, consent);
    wait_for(&desk, sent, "it is read with a key of the new card", |v| v.summary.read.is_some());
    assert_eq!(other.referrals(false).unwrap().len(), 1);
    // An older network file does not take the new cards away.
    advice.node().join(&network).unwrap();
    assert!(prekeys_of(&advice, shelter.office).0 >= 2);
}

#[test]
fn who_is_late_becomes_a_task_rung_by_rung_at_both_offices() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _guard = runtime.enter();
    let (mut advice, mut shelter, network) = two_offices();
    let clock = Clock::set_to(Clock::system().now());
    for node in [&mut advice, &mut shelter] {
        node.start_at(clock.clone());
        node.node().join(&network).unwrap();
    }
    let (desk, other) = (advice.desk("worker"), shelter.desk("worker"));
    // The shelter is stricter with itself than the network: a routine referral is seen within a day.
    let admin = shelter.desk("admin");
    let settings = SettingsInput::from(admin.settings().unwrap());
    let hours = |hours: [u32; 3]| BTreeMap::from([("acknowledge".to_owned(), hours)]);
    let wrong = SettingsInput { timers: hours([9_000, 0, 0]), ..settings.clone() };
    assert!(admin.change_settings(&wrong).is_err(), "a year at most");
    admin.change_settings(&SettingsInput { timers: hours([24, 0, 9]), ..settings }).unwrap();
    assert_eq!(admin.rules()["acknowledge"], [24, 24, 3], "never looser than the network");
    let (person, case) = client(&desk);
    let to = shelter.office;
    let routine = ReferralInput {
        to: to.to_string(),
        service: "safe_house".into(),
        need: "A bed for one adult".into(),
        consent: consent(&desk, person, to, &["names"], &[]).to_string(),
        ..ReferralInput::default()
    };
    let sent = desk.send_referral(case, routine).unwrap();
    let received = incoming(&other);
    wait_for(&desk, sent, "it arrived", |v| v.summary.state == State::Delivered);
    let wait = |desk: &Desk, id| desk.referral(id).unwrap().summary.wait.unwrap();
    assert!(wait(&other, received).ours && !wait(&desk, sent).ours);
    assert_eq!(other.pulse().referrals, 1);
    let titles =
        |tasks: Vec<TaskView>| -> Vec<String> { tasks.into_iter().map(|task| format!("{:?}", task.title)).collect() };
    let office_tasks = |desk: &Desk| titles(desk.tasks(&TaskFilter::default()).unwrap().0);
    // After a day and an hour it is the receiver's task; the sender, whose network gives three days, hears nothing yet.
    let hour = 3_600_000;
    clock.advance_ms(25 * hour);
    let (desk, other) = (advice.desk("worker"), shelter.desk("worker"));
    eventually("the receiver is reminded", || {
        office_tasks(&other).iter().any(|title| title.contains("referral_acknowledgement")).then_some(())
    });
    assert!(wait(&other, received).late && !wait(&desk, sent).late);
    assert!(desk.case(case).unwrap().tasks.is_empty());
    // Twice the time that the network gives: the sender is told to ring them.
    clock.advance_ms(130 * hour);
    let (desk, other) = (advice.desk("worker"), shelter.desk("worker"));
    let ring = || titles(desk.case(case).unwrap().tasks).iter().any(|title| title.contains("referral_ring"));
    eventually("the sender is told", || ring().then_some(()));
    // What was waited for comes: both tasks go, and the next wait begins.
    step(&other, received, "acknowledged", "", "");
    wait_for(&desk, sent, "it was seen", |v| v.summary.state == State::Acknowledged);
    eventually("the sender need not ring any more", || (!ring()).then_some(()));
    eventually("nor is the receiver late", || {
        (!office_tasks(&other).iter().any(|title| title.contains("acknowledgement"))).then_some(())
    });
    assert_eq!(wait(&desk, sent).what, Awaited::Decision);
    // Each side sees what the other has shown to know, and that the signatures hold.
    let events = desk.referral(sent).unwrap().events;
    assert!(events.iter().all(|event| event.verified), "{events:?}");
    assert!(events.iter().filter(|event| event.ours).all(|event| event.known));
    let theirs = other.referral(received).unwrap().events;
    assert!(theirs.iter().any(|event| event.ours && !event.known), "nothing of the sender names the acknowledgement");
    // No decision by the time that was asked for: somebody looks for another office.
    clock.advance_ms(30 * hour);
    let desk = advice.desk("worker");
    eventually("another office is to be found", || {
        titles(desk.case(case).unwrap().tasks).iter().any(|title| title.contains("find_another")).then_some(())
    });
}

/// An office that belongs to no network, with a client who agreed that a clinic without a node may be asked.
fn outside_referral(node: &TestNode) -> (Desk, RecordId, RecordId, RecordId) {
    let desk = node.desk("worker");
    let (person, case) = client(&desk);
    let agreed = ConsentInput {
        purpose: "share_for_service".into(),
        outside: "Ugu Clinic\nThe pastor".into(),
        scope: vec!["names".into(), "contact".into()],
        withheld: vec!["address".into()],
        withheld_reason: "fear_of_harm".into(),
        expires: "2099-01-01".into(),
        method: "signed_paper".into(),
        giver: "person".into(),
        language: "zu".into(),
        ..ConsentInput::default()
    };
    let consent = desk.record_consent(person, agreed).unwrap();
    let input = ReferralInput {
        outside: "ugu clinic".into(),
        service: "health".into(),
        need: "A check-up".into(),
        consent: consent.to_string(),
        contact: "039 555 0000".into(),
        ..ReferralInput::default()
    };
    let stranger = ReferralInput { outside: "Some other clinic".into(), ..input.clone() };
    assert_eq!(desk.send_referral(case, stranger).unwrap_err().key(), "error-consent-recipient");
    assert!(desk.preview_referral(case, &input).unwrap().left_out.contains(&FieldGroup::Address));
    let sent = desk.send_referral(case, input).unwrap();
    (desk, person, case, sent)
}

fn told(by: &str, step: &str) -> ToldInput {
    let answer = AnswerInput { step: step.into(), ..AnswerInput::default() };
    ToldInput { by: by.into(), how: "telephone".into(), answer }
}

#[test]
fn an_office_without_a_node_gets_a_slip_and_its_answers_are_written_down_as_told() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _guard = runtime.enter();
    let mut node = TestNode::new(&new_node("Advice office", OfficeKind::AdviceOffice, vec![Role::Office], vec![]));
    node.start();
    let (desk, person, case, sent) = outside_referral(&node);
    let slip = desk.slip(sent).unwrap();
    let fields: Vec<&str> = slip.full.iter().flat_map(|full| full.fields.iter()).map(|f| f.field.as_str()).collect();
    assert_eq!(fields, ["given", "family", "telephone"], "what the consent covers and nothing more");
    assert!(!format!("{slip:?}").contains("Canary"), "the address is withheld");
    let on_paper = format!("{}-{}", &slip.code[..4].to_lowercase(), &slip.code[4..]);
    assert_eq!(desk.referral_by_code(&on_paper).unwrap(), sent);
    assert!(desk.referral_by_code("0000-0000").is_err());
    // It stands in the list with all others, and nothing waits to be sent.
    let view = desk.referral(sent).unwrap();
    assert!(view.packets.is_empty() && view.summary.partner == "ugu clinic" && view.summary.state == State::Sent);
    assert_eq!(view.told_steps.iter().filter(|step| step.step == "accepted").count(), 1);
    // Who told it has to be said, and what they cannot say now is refused.
    assert!(desk.told(sent, &ToldInput { by: String::new(), ..told("", "accepted") }).is_err());
    assert!(desk.told(sent, &told("Sister Mkhize", "started")).is_err(), "they have not accepted");
    let accepted = AnswerInput { step: "accepted".into(), when: "Monday at nine".into(), ..AnswerInput::default() };
    desk.told(sent, &ToldInput { answer: accepted, ..told("Sister Mkhize", "accepted") }).unwrap();
    let view = desk.referral(sent).unwrap();
    assert_eq!(view.summary.state, State::Accepted);
    let event = view.events.last().unwrap();
    assert!(!event.ours && event.told.as_ref().unwrap().0 == "Sister Mkhize");
    assert_eq!(event.visit.as_ref().unwrap().when.as_str(), "Monday at nine");
    // The client takes the consent back: it ends, no slip is printed any more, and somebody has to tell the clinic.
    desk.withdraw_consent(person, desk.person(person).unwrap().consents[0].id).unwrap();
    assert_eq!(desk.referral(sent).unwrap().summary.state, State::ConsentWithdrawn);
    assert!(desk.slip(sent).is_err());
    let tasks = desk.case(case).unwrap().tasks;
    assert!(tasks.iter().any(|task| format!("{:?}", task.title).contains("tell_outside")), "{tasks:?}");
}

#[test]
fn a_letter_is_booked_in_and_answered_on_paper() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _guard = runtime.enter();
    let mut node = TestNode::new(&new_node("Shelter", OfficeKind::Shelter, vec![Role::Office], vec![]));
    node.start();
    let desk = node.desk("worker");
    let letter = BookInInput {
        from: "Magistrate's court, Scottburgh".into(),
        how: "court".into(),
        reference: "DV 112/2026".into(),
        service: "safe_house".into(),
        need: "A place for a mother and two children".into(),
        urgency: "urgent".into(),
        ..BookInInput::default()
    };
    assert!(desk.book_in(&BookInInput { need: String::new(), ..letter.clone() }).is_err());
    let booked = desk.book_in(&letter).unwrap();
    let view = desk.referral(booked).unwrap();
    assert!(view.summary.wait.unwrap().ours && view.summary.state == State::Delivered);
    assert!(view.steps.iter().any(|step| step.step == "accepted"));
    assert_eq!(desk.pulse().referrals, 1);
    let yes = AnswerInput { step: "accepted".into(), place: "The office".into(), ..AnswerInput::default() };
    desk.answer(booked, yes).unwrap();
    let slip = desk.slip(booked).unwrap();
    assert_eq!(slip.answer.unwrap().visit.unwrap().place.as_str(), "The office");
    assert_eq!(slip.reference, "DV 112/2026");
    // A case is opened from it; the letter is its first words.
    let case = desk.referral_to_case(booked).unwrap();
    assert!(desk.case(case).unwrap().text.contains("two children"));
    // The court takes it back: what is kept is answered, on paper.
    let back = AnswerInput { step: "withdrawn".into(), code: "need_solved".into(), ..AnswerInput::default() };
    assert!(
        desk.told(booked, &ToldInput { answer: back, ..told("Clerk", "withdrawn") }).is_err(),
        "not after acceptance"
    );
}

#[test]
fn what_is_told_on_the_telephone_is_confirmed_by_the_other_node_or_denied() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _guard = runtime.enter();
    let pair = started_pair();
    let to = pair.shelter.office;
    let agreed = consent(&pair.desk, pair.person, to, &["names"], &[]);
    let sent = refer(&pair.desk, pair.case, to, agreed);
    let received = incoming(&pair.other);
    pair.desk.told(sent, &told("Thandi", "acknowledged")).unwrap();
    pair.desk.told(sent, &told("Thandi", "accepted")).unwrap();
    let view = pair.desk.referral(sent).unwrap();
    assert_eq!(view.heard.iter().map(|heard| heard.confirmed).collect::<Vec<_>>(), [None, None]);
    assert!(view.summary.state.is_before_acceptance(), "what is told moves nothing");
    step(&pair.other, received, "acknowledged", "", "");
    step(&pair.other, received, "declined", "no_capacity", "");
    let view = wait_for(&pair.desk, sent, "the answer of the node", |v| v.summary.state == State::Declined);
    assert_eq!(view.heard.iter().map(|heard| heard.confirmed).collect::<Vec<_>>(), [Some(true), Some(false)]);
    let tasks = pair.desk.case(pair.case).unwrap().tasks;
    assert!(tasks.iter().any(|task| format!("{:?}", task.title).contains("told_otherwise")), "{tasks:?}");
}

#[test]
fn never_binds_both_offices_and_what_was_agreed_for_a_child_lapses() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _guard = runtime.enter();
    let pair = started_pair();
    let (desk, to) = (&pair.desk, pair.shelter.office);
    let agreed = consent(desk, pair.person, to, &["names", "case_brief"], &[]);
    // The police are ruled out from the start, and it goes along with what is shared.
    let police = NeverInput { kinds: vec!["police_unit".into()], names: "Uncle Sipho".into(), ..NeverInput::default() };
    desk.set_never(pair.person, &police).unwrap();
    let sent = refer(desk, pair.case, to, agreed);
    let received = incoming(&pair.other);
    // Somebody names the shelter itself before the acceptance comes: nothing more goes to it, and it is told.
    let ruled_out = NeverInput { offices: vec![to.to_string()], ..police.clone() };
    desk.set_never(pair.person, &ruled_out).unwrap();
    let input = ReferralInput {
        to: to.to_string(),
        service: "health".into(),
        need: "A check-up".into(),
        consent: agreed.to_string(),
        ..ReferralInput::default()
    };
    assert_eq!(desk.send_referral(pair.case, input.clone()).unwrap_err().key(), "error-consent-never");
    desk.set_never(pair.person, &police).unwrap();
    step(&pair.other, received, "accepted", "", "Come at nine");
    wait_for(&pair.other, received, "the full packet", |v| v.full.is_some());
    let case = pair.other.referral_to_case(received).unwrap();
    let client = pair.other.case(case).unwrap().clients[0].id;
    let never = pair.other.person(client).unwrap().never;
    assert_eq!((never.kinds, never.names), (vec!["police_unit".to_owned()], vec!["Uncle Sipho".to_owned()]));
    // What she carries is her choice; without one there is nothing to print.
    assert!(desk.carry(sent).is_err());
    desk.choose_carries(sent, "card").unwrap();
    let card = desk.carry(sent).unwrap();
    assert_eq!((card.carries.as_str(), card.code_word.as_str()), ("card", "library"));
    assert!(pair.other.carry(received).is_err(), "it is the sender's client");

    // A guardian's consent for a child who is one no longer.
    let born = |year: i16| PersonInput { birth: known(&format!("{year}-05-17")), ..PersonInput::default() };
    let guardian = |person: RecordId, child_view: &str| {
        let input = ConsentInput {
            purpose: "share_for_service".into(),
            recipients: vec![to.to_string()],
            scope: vec!["names".into()],
            expires: "2099-01-01".into(),
            method: "signed_paper".into(),
            giver: "guardian".into(),
            given_by: "Aunt Thembi".into(),
            child_view: child_view.into(),
            language: "zu".into(),
            ..ConsentInput::default()
        };
        desk.record_consent(person, input).unwrap()
    };
    let year = Clock::system().now().day().year();
    for (born_in, view, expected) in [
        (year - 30, "", Some("error-consent-of-age")),
        (year - 10, "disagrees", Some("error-consent-child")),
        (year - 10, "agrees", None),
    ] {
        let child = desk.register_person(PersonInput { identity: "anonymous".into(), ..born(born_in) }).unwrap();
        let case = desk.open_case(vec![child], CaseInput::default()).unwrap();
        let agreed = guardian(child, view);
        let asked = ReferralInput { consent: agreed.to_string(), ..input.clone() };
        let answer = desk.preview_referral(case, &asked);
        assert_eq!(answer.as_ref().err().map(|error| error.key()), expected, "{born_in} {view}");
        let status = &desk.person(child).unwrap().consents[0].status;
        assert_eq!(status, if born_in < year - 18 { "lapsed" } else { "given" });
    }
}

#[test]
fn who_is_erased_is_asked_to_be_erased_everywhere_and_the_answer_is_kept() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _guard = runtime.enter();
    let mut pair = started_pair();
    let (desk, other, to) = (&pair.desk, &pair.other, pair.shelter.office);
    let agreed = consent(desk, pair.person, to, &["names", "contact"], &[]);
    // Two referrals: with the one the shelter opened a case of its own, with the other it did not.
    let with_case = refer(desk, pair.case, to, agreed);
    let received = incoming(other);
    step(other, received, "accepted", "", "Come at nine");
    wait_for(other, received, "the full packet", |v| v.full.is_some());
    let case = other.referral_to_case(received).unwrap();
    step(other, received, "completed", "service_given", "");
    wait_for(desk, with_case, "the outcome", |v| v.summary.state == State::Completed);
    let second = ReferralInput {
        to: to.to_string(),
        service: "health".into(),
        need: "A check-up".into(),
        consent: agreed.to_string(),
        ..ReferralInput::default()
    };
    let without_case = desk.send_referral(pair.case, second).unwrap();
    let declined = eventually("the second arrives", || {
        desk.referral(without_case).unwrap().summary.arrived?;
        other.referrals(false).unwrap().into_iter().map(|r| r.id).find(|id| *id != received)
    });
    step(other, declined, "declined", "no_capacity", "");
    wait_for(desk, without_case, "the refusal", |v| v.summary.state == State::Declined);
    for task in desk.case(pair.case).unwrap().tasks {
        desk.settle_task(task.id, TaskState::Done).unwrap();
    }
    desk.close_case(pair.case, &resolved()).unwrap();
    assert_eq!(desk.erasure(pair.person).unwrap().told, ["Shelter"]);
    assert!(!desk.erase_person(pair.person, "She asks for it").unwrap(), "nobody else has to approve");
    assert!(desk.person(pair.person).is_err());
    // Without a case everything goes by itself, and the answer says so.
    wait_for(other, declined, "the preview is erased", |v| v.erased.is_some() && v.preview.need.is_empty());
    let told = wait_for(desk, without_case, "the answer", |v| v.erasure_answer.is_some());
    assert!(told.erasure_answer.unwrap().erased && told.summary.client.is_none());
    // With a case a person answers, on which ground something is kept.
    let tasks = eventually("somebody has to answer", || {
        let tasks = other.case(case).unwrap().tasks;
        tasks.iter().any(|task| format!("{:?}", task.title).contains("erasure_answer")).then_some(tasks)
    });
    assert_eq!(tasks.len(), 1);
    step(other, received, "erasure_answered", "own_client", "She is our client, too");
    let told = wait_for(desk, with_case, "the answer of a person", |v| v.erasure_answer.is_some());
    let answer = told.erasure_answer.unwrap();
    assert!(!answer.erased && answer.kept.contains("She is our client"), "{answer:?}");
    // The lines hold nothing of her, also after a restart.
    pair.advice.stop();
    pair.advice.start();
    let desk = pair.advice.desk("worker");
    for id in [with_case, without_case] {
        let view = format!("{:?}", desk.referral(id).unwrap());
        assert!(!view.contains("Nomvula") && !view.contains("check-up") && !view.contains("bed"), "{view}");
    }
}

#[test]
fn what_is_ruled_out_between_sending_and_acceptance_stops_the_full_packet_and_the_other_office_is_told() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _guard = runtime.enter();
    let pair = started_pair();
    let (desk, other, to) = (&pair.desk, &pair.other, pair.shelter.office);
    let agreed = consent(desk, pair.person, to, &["names"], &[]);
    let sent = refer(desk, pair.case, to, agreed);
    let received = incoming(other);
    let shelters = NeverInput { kinds: vec!["shelter".into()], ..NeverInput::default() };
    desk.set_never(pair.person, &shelters).unwrap();
    step(other, received, "accepted", "", "Come at nine");
    wait_for(desk, sent, "it ends here", |v| v.summary.state == State::ConsentWithdrawn);
    wait_for(other, received, "and there", |v| v.summary.state == State::ConsentWithdrawn);
    assert!(other.referral(received).unwrap().full.is_none());
    // What was ruled out holds for whichever record of her stands.
    let twin = PersonInput { identity: "self_declared".into(), given: known("Nomvula"), ..PersonInput::default() };
    let twin = desk.register_person(twin).unwrap();
    desk.merge(twin, pair.person).unwrap();
    assert_eq!(desk.person(twin).unwrap().never.kinds, ["shelter"]);
}

#[test]
fn a_consent_that_a_clinic_says_is_taken_back_ends_everything_under_it() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _guard = runtime.enter();
    let pair = started_pair();
    let (desk, other, to) = (&pair.desk, &pair.other, pair.shelter.office);
    let both = ConsentInput {
        purpose: "share_for_service".into(),
        recipients: vec![to.to_string()],
        outside: "Ugu Clinic".into(),
        scope: vec!["names".into()],
        expires: "2099-01-01".into(),
        method: "signed_paper".into(),
        giver: "person".into(),
        language: "zu".into(),
        ..ConsentInput::default()
    };
    let both = desk.record_consent(pair.person, both).unwrap();
    let sent = refer(desk, pair.case, to, both);
    let received = incoming(other);
    let clinic = ReferralInput {
        outside: "Ugu Clinic".into(),
        service: "health".into(),
        need: "A check-up".into(),
        consent: both.to_string(),
        ..ReferralInput::default()
    };
    let clinic = desk.send_referral(pair.case, clinic).unwrap();
    desk.told(clinic, &told("Sister Mkhize", "consent_withdrawn")).unwrap();
    wait_for(desk, sent, "the other referral ends", |v| v.summary.state == State::ConsentWithdrawn);
    wait_for(other, received, "and the shelter is told", |v| v.summary.state == State::ConsentWithdrawn);
    // Whoever does not help any more gets nothing on paper either.
    assert!(desk.slip(clinic).is_err());
}
