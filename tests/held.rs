//! A full packet that waits at a hub: it goes when the other office accepts, while the sender sleeps, and to nobody before.

use crate::harness::{TestNode, eventually, network, new_node};
use crate::referring::{client, consent, incoming, step, wait_for};
use casemesh_crypto::envelope::{self, Draft, PacketId, Urgency, packet_hash};
use casemesh_crypto::hash::Digest;
use casemesh_crypto::prekey::PrekeySecret;
use casemesh_crypto::random::os_rng;
use casemesh_crypto::sign::SigningKey;
use casemesh_node::clock::Clock;
use casemesh_node::mailbox::Mailboxes;
use casemesh_node::office::{Desk, DeskError, NeverInput, PacketView, ReferralInput};
use casemesh_node::records::OutboxState;
use casemesh_protocol::claim::Claim;
use casemesh_protocol::directory::{Directory, OfficeKind, Role};
use casemesh_protocol::frame::{MailboxAnswer, MailboxRequest, Rejection};
use casemesh_protocol::id::{RecordId, ThreadId};
use casemesh_protocol::referral::State;

struct World {
    advice: TestNode,
    shelter: TestNode,
    hub: TestNode,
    network: Vec<u8>,
}

/// The packet of a referral that waits at a hub, as its sender sees it.
fn held_packet(desk: &Desk, sent: RecordId) -> PacketView {
    let packets = desk.referral(sent).unwrap().packets;
    packets.into_iter().find(|packet| packet.kind == "held_full").unwrap()
}

/// The packet once its row says that it is called off: the hub is told before.
fn called_off(desk: &Desk, sent: RecordId) -> PacketView {
    eventually("it is called off", || {
        Some(held_packet(desk, sent)).filter(|packet| packet.state == OutboxState::Cancelled)
    })
}

/// The hub is the advice office's alone.
fn world() -> World {
    let hub = TestNode::new(&new_node("Hub", OfficeKind::Coordination, vec![Role::Hub], vec![]));
    let advice =
        TestNode::new(&new_node("Advice office", OfficeKind::AdviceOffice, vec![Role::Office], vec![hub.office]));
    let shelter = TestNode::new(&new_node("Shelter", OfficeKind::Shelter, vec![Role::Office], vec![]));
    let network = network(&[&hub, &advice, &shelter]);
    let mut world = World { advice, shelter, hub, network };
    for node in [&mut world.advice, &mut world.hub, &mut world.shelter] {
        node.start();
        node.node().join(&world.network).unwrap();
    }
    world
}

impl World {
    /// Waits until the hub keeps nothing.
    fn hub_lets_go(&self) {
        eventually("the hub lets go", || (self.held() == 0).then_some(()));
    }

    /// How many packets wait at the hub.
    fn held(&self) -> usize {
        let folder = std::fs::read_dir(self.hub.folder.path().join("held")).unwrap();
        folder.flatten().filter(|entry| entry.path().extension().is_some_and(|found| found == "pkt")).count()
    }

    fn input(&self, consent: RecordId) -> ReferralInput {
        ReferralInput {
            to: self.shelter.office.to_string(),
            service: "safe_house".into(),
            need: "A bed for one adult tonight".into(),
            urgency: "urgent".into(),
            consent: consent.to_string(),
            template: "legal_brief".into(),
            wait_at_hub: true,
            ..ReferralInput::default()
        }
    }

    fn refer(&self, desk: &Desk) -> (RecordId, RecordId, RecordId) {
        let (person, case) = client(desk);
        let agreed = consent(desk, person, self.shelter.office, &["names", "contact"], &[]);
        let sent = desk.send_referral(case, self.input(agreed)).unwrap();
        eventually("the hub keeps it", || (self.held() == 1).then_some(()));
        (person, agreed, sent)
    }
}

#[test]
fn what_waits_at_a_hub_goes_when_they_accept_while_the_sender_sleeps() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _guard = runtime.enter();
    let mut world = world();
    let advice = world.advice.desk("worker");
    let (_, _, sent) = world.refer(&advice);
    wait_for(&advice, sent, "the hub says that it is there", |view| {
        view.held_at.as_ref().is_some_and(|held| held.is_there && held.hub == "Hub")
    });
    let shelter = world.shelter.desk("worker");
    let received = incoming(&shelter);
    let view = shelter.referral(received).unwrap();
    assert!(view.full.is_none(), "before acceptance there is the preview alone");
    assert_eq!(view.held_at.unwrap().hub, "Hub");
    // A stick does not bring what waits for an answer.
    assert!(matches!(advice.pack_bundle(&world.shelter.office.to_string(), false), Err(DeskError::Invalid(_))));
    wait_for(&advice, sent, "it was read", |view| view.summary.read.is_some());
    drop(advice);
    world.advice.stop();

    step(&shelter, received, "accepted", "", "Come tonight");
    let view = wait_for(&shelter, received, "the full packet comes from the hub", |view| view.full.is_some());
    assert!(view.full.unwrap().fields.iter().any(|field| field.value.as_str() == "Nomvula"));
    world.hub_lets_go();
    let spool = world.shelter.node().relay().spool();
    eventually("the claim is settled", || spool.claims().is_empty().then_some(()));
    shelter.referral_to_case(received).unwrap();

    // The sender learns all of it, and has only the event to say.
    world.advice.start();
    let advice = world.advice.desk("worker");
    let view = wait_for(&advice, sent, "it was accepted", |view| view.summary.state == State::Accepted);
    let view = match view.packets.iter().any(|packet| packet.kind == "held_full" && packet.arrived.is_some()) {
        true => view,
        false => wait_for(&advice, sent, "its receipt comes by the hub", |view| {
            view.packets.iter().any(|packet| packet.kind == "held_full" && packet.arrived.is_some())
        }),
    };
    assert_eq!(view.held_at, None);
    let released = |desk: &Desk, id| {
        wait_for(desk, id, "both know that it was released", |view| {
            view.events.iter().any(|event| event.step == "released")
        })
    };
    released(&advice, sent);
    released(&shelter, received);
    // Nothing of it is left there, although the sender was away while it was fetched.
    world.hub_lets_go();
    std::thread::sleep(std::time::Duration::from_secs(3));
    assert_eq!(world.held(), 0);
}

#[test]
fn what_is_taken_back_reaches_nobody_and_what_cannot_wait_says_why() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _guard = runtime.enter();
    let mut world = world();
    let advice = world.advice.desk("worker");
    let (person, agreed, sent) = world.refer(&advice);
    let shelter = world.shelter.desk("worker");
    let received = incoming(&shelter);
    // The hub is away when the client takes her consent back: it is told as soon as it is there.
    world.hub.stop();
    advice.withdraw_consent(person, agreed).unwrap();
    wait_for(&shelter, received, "the withdrawal arrives", |view| view.summary.state == State::ConsentWithdrawn);
    called_off(&advice, sent);
    assert_eq!(world.held(), 1);
    assert_eq!(advice.referral(sent).unwrap().held_at, None);
    // Also where the node was off in between.
    drop(advice);
    world.advice.stop();
    world.advice.start();
    world.hub.start();
    world.hub_lets_go();

    // Whom the client rules out meanwhile does not get it either, whatever the consent said.
    let advice = world.advice.desk("worker");
    let (person, _, sent) = world.refer(&advice);
    advice
        .set_never(person, &NeverInput { offices: vec![world.shelter.office.to_string()], ..NeverInput::default() })
        .unwrap();
    world.hub_lets_go();
    assert!(called_off(&advice, sent).problem.is_some());

    let (person, case) = client(&advice);
    let agreed = consent(&advice, person, world.shelter.office, &["names"], &[]);
    let why = |input: ReferralInput| match advice.send_referral(case, input).unwrap_err() {
        DeskError::Invalid(problems) => problems.first().map(|problem| problem.problem.clone()).unwrap_or_default(),
        error => panic!("{error}"),
    };
    assert_eq!(
        why(ReferralInput { also: vec![world.hub.office.to_string()], ..world.input(agreed) }),
        "waits-for-one-service"
    );
    let theirs = shelter.partners();
    assert!(!theirs.is_empty());
    let (person, case) = client(&shelter);
    let agreed = consent(&shelter, person, world.advice.office, &["names"], &[]);
    let input = ReferralInput { to: world.advice.office.to_string(), ..world.input(agreed) };
    let refused = shelter.send_referral(case, input).unwrap_err();
    assert!(matches!(refused, DeskError::Invalid(problems) if problems[0].problem == "no-hub-to-hold"));
}

#[test]
fn what_a_hub_gave_before_it_was_told_to_let_go_is_said_to_have_gone() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _guard = runtime.enter();
    let mut world = world();
    let advice = world.advice.desk("worker");
    let (person, agreed, sent) = world.refer(&advice);
    let shelter = world.shelter.desk("worker");
    let received = incoming(&shelter);
    wait_for(&advice, sent, "it was read", |view| view.summary.read.is_some());
    drop(advice);
    world.advice.stop();
    step(&shelter, received, "accepted", "", "");
    wait_for(&shelter, received, "it comes", |view| view.full.is_some());
    // The sender knows nothing of that when the client takes her consent back: neither the hub nor the shelter is there.
    drop(shelter);
    world.shelter.stop();
    world.hub.stop();
    world.advice.start();
    let advice = world.advice.desk("worker");
    advice.withdraw_consent(person, agreed).unwrap();
    called_off(&advice, sent);
    world.hub.start();
    eventually("it is told that it had gone", || {
        (held_packet(&advice, sent).state == OutboxState::Arrived).then_some(())
    });
    let packet = held_packet(&advice, sent);
    assert!(packet.problem.is_none() && packet.arrived.is_some());
}

/// What a hub is asked by members that are not to have it.
#[test]
fn a_hub_gives_what_it_holds_to_nobody_else_and_for_no_other_word() {
    let world = {
        let hub = TestNode::new(&new_node("Hub", OfficeKind::Coordination, vec![Role::Hub], vec![]));
        let [advice, shelter, third] = ["Advice office", "Shelter", "Third"]
            .map(|name| TestNode::new(&new_node(name, OfficeKind::Shelter, vec![Role::Office], vec![])));
        (hub, advice, shelter, third)
    };
    let (hub, advice, shelter, third) = &world;
    let file = network(&[hub, advice, shelter, third]);
    let (directory, now) = (Directory::read(&file, None).unwrap(), Clock::system().now());
    let folder = tempfile::tempdir().unwrap();
    let boxes = Mailboxes::open(folder.path()).unwrap();
    let key_of = |node: &TestNode| {
        let bytes = std::fs::read(node.folder.path().join("keys.cbor")).unwrap();
        let file: casemesh_node::keys::KeyFile = casemesh_crypto::wire::decode(&bytes).unwrap();
        file.open("worker", crate::harness::PASSWORD).unwrap().1.node_key
    };
    let thread = ThreadId::new([9; 16]);
    let sealed = |hours| {
        let prekey = PrekeySecret::random(&mut os_rng());
        let draft = Draft {
            kind: 11,
            packet_id: PacketId::random(&mut os_rng()),
            urgency: Urgency::Routine,
            from: advice.office,
            from_log_head: Digest::ZERO,
            to: vec![(shelter.office, prekey.public().clone())],
            created_s: now.s(),
            expires_h: now.h() + hours,
            thread,
            previous: Digest::ZERO,
            consent: Digest::ZERO,
            purpose: 0,
            body: b"body",
            attachments: vec![],
        };
        envelope::seal(&draft, &SigningKey::random(&mut os_rng()), &mut os_rng()).unwrap()
    };
    let packet = sealed(24);
    let ask = |from: &TestNode, request| boxes.serve((from.office, hub.office), request, &directory, now).unwrap();
    let hold = |to: &TestNode| MailboxRequest::Hold { to: to.office, thread, packet: packet.clone() };
    assert_eq!(ask(advice, hold(hub)), MailboxAnswer::Rejected(Rejection::NotServed), "not at the recipient itself");
    assert_eq!(ask(advice, hold(shelter)), MailboxAnswer::Done);
    let claim = |node: &TestNode, at: &TestNode, thread| {
        let claim = Claim::sign((node.office, at.office), thread, Digest::ZERO, now, &key_of(node));
        MailboxRequest::Claim(claim)
    };
    // It is in no list, and no hash fetches it.
    assert_eq!(ask(shelter, MailboxRequest::List { after: None }), MailboxAnswer::Listed(vec![]));
    assert_eq!(ask(shelter, MailboxRequest::Fetch(packet_hash(&packet))), MailboxAnswer::Nothing);
    // Another's word, in its own name and in the shelter's; the shelter's for another hub or referral.
    assert_eq!(ask(third, claim(third, hub, thread)), MailboxAnswer::Nothing);
    assert_eq!(ask(third, claim(shelter, hub, thread)), MailboxAnswer::Rejected(Rejection::Unknown));
    assert_eq!(ask(shelter, claim(shelter, third, thread)), MailboxAnswer::Rejected(Rejection::Unknown));
    assert_eq!(ask(shelter, claim(shelter, hub, ThreadId::new([8; 16]))), MailboxAnswer::Nothing);
    let let_go = MailboxRequest::LetGo { to: shelter.office, thread };
    assert_eq!(ask(shelter, let_go.clone()), MailboxAnswer::Nothing);
    assert_eq!(ask(third, let_go.clone()), MailboxAnswer::Nothing);
    // The hub starts anew, and gives it to whom it is for; its sender takes it back.
    let boxes = Mailboxes::open(folder.path()).unwrap();
    let ask = |from: &TestNode, request| boxes.serve((from.office, hub.office), request, &directory, now).unwrap();
    assert_eq!(ask(shelter, claim(shelter, hub, thread)), MailboxAnswer::Packet(packet.clone()));
    // Its sender has the claim, until it says so.
    let MailboxAnswer::Claims(claims) = ask(advice, MailboxRequest::Claims) else { panic!("no claims") };
    assert_eq!(claims.iter().map(|(packet, _)| *packet).collect::<Vec<_>>(), [packet_hash(&packet)]);
    assert_eq!(ask(third, MailboxRequest::Claims), MailboxAnswer::Claims(vec![]));
    assert_eq!(ask(advice, MailboxRequest::ForgetClaim(packet_hash(&packet))), MailboxAnswer::Done);
    assert_eq!(ask(advice, MailboxRequest::Claims), MailboxAnswer::Claims(vec![]));
    assert_eq!(ask(advice, let_go), MailboxAnswer::Done);
    assert_eq!(ask(shelter, claim(shelter, hub, thread)), MailboxAnswer::Nothing);
    // One that says it lives for ever is not taken.
    let for_ever = MailboxRequest::Hold { to: shelter.office, thread, packet: sealed(24 * 60) };
    assert_eq!(ask(advice, for_ever), MailboxAnswer::Rejected(Rejection::Packet));
    // What is over goes by itself.
    assert_eq!(ask(advice, hold(shelter)), MailboxAnswer::Done);
    boxes.sweep(now.plus_days(2)).unwrap();
    assert_eq!(ask(shelter, claim(shelter, hub, thread)), MailboxAnswer::Nothing);
}
