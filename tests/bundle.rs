//! Packets on a stick: there, back with receipts, through a hub, damaged, of strangers, and on the command line.

use crate::cli::{Ran, casemesh};
use crate::harness::{TestNode, eventually, network, new_node};
use crate::referring::{client, consent, incoming, refer, sharing, started_offices, step, two_offices, wait_for};
use casemesh_node::office::{DeskError, Line};
use casemesh_node::records::OutboxState;
use casemesh_protocol::bundle::{Bundle, Entry};
use casemesh_protocol::directory::{OfficeKind, Role};
use casemesh_protocol::referral::State;

/// Two offices of one network that never run at the same time.
fn apart() -> (TestNode, TestNode) {
    let (mut advice, mut shelter, network) = two_offices();
    for node in [&mut advice, &mut shelter] {
        node.start();
        node.node().join(&network).unwrap();
        node.stop();
    }
    (advice, shelter)
}

#[test]
fn a_stick_goes_there_and_back_and_the_line_takes_over() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _guard = runtime.enter();
    let (mut advice, mut shelter) = apart();

    advice.start();
    let desk = advice.desk("worker");
    let nothing = desk.pack_bundle("", false).unwrap_err();
    assert!(matches!(nothing, DeskError::Invalid(problems) if problems[0].problem == "nothing-waits"));
    let (person, case) = client(&desk);
    let agreed = consent(&desk, person, shelter.office, &["names", "contact"], &[]);
    let sent = refer(&desk, case, shelter.office, agreed);
    let packed = desk.pack_bundle(&shelter.office.to_string(), false).unwrap();
    assert_eq!((packed.packets.len(), packed.receipts, packed.left), (1, 0, 0));
    let row = desk.referral(sent).unwrap().packets[0].clone();
    assert!(row.carried.is_some() && row.state == OutboxState::Released);
    let seen = desk.network().unwrap();
    let member = seen.members.iter().find(|member| member.office == shelter.office).unwrap();
    assert!(member.waiting == 1 && member.carried.is_some() && member.line == Line::Direct);
    for canary in ["Nomvula", "Dlamini", "082 555 0101", "A bed for one"] {
        assert!(!String::from_utf8_lossy(&packed.bytes).contains(canary), "{canary} can be read on the stick");
    }
    drop(desk);
    advice.stop();

    shelter.start();
    let theirs = shelter.desk("worker");
    let brought = theirs.bring_bundle(&packed.bytes).unwrap();
    assert_eq!((brought.new, brought.known, brought.damaged, brought.by), (1, 0, 0, Some(advice.office)));
    let again = theirs.bring_bundle(&packed.bytes).unwrap();
    assert_eq!((again.new, again.known), (0, 1));
    let received = incoming(&theirs);
    assert_eq!(theirs.referrals(false).unwrap().len(), 1, "one effect");
    step(&theirs, received, "accepted", "", "Come tonight");
    // The receipt that it is here, the receipt that it was read, and the answer.
    let back = theirs.pack_bundle("", false).unwrap();
    assert_eq!((back.packets.len(), back.receipts), (2, 1));
    drop(theirs);
    shelter.stop();

    advice.start();
    let desk = advice.desk("worker");
    let brought = desk.bring_bundle(&back.bytes).unwrap();
    assert_eq!((brought.new, brought.arrived), (2, 1));
    let view = wait_for(&desk, sent, "the answer is taken", |v| v.summary.state == State::Accepted);
    assert!(view.summary.arrived.is_some() && view.summary.read.is_some());
    // The full packet waits now. It goes on the next stick, and the line is there as well: one effect.
    let second =
        eventually("the full packet is sealed", || desk.pack_bundle("", false).ok().filter(|p| p.packets.len() == 2));
    shelter.start();
    let theirs = shelter.desk("worker");
    assert_eq!(theirs.bring_bundle(&second.bytes).unwrap().damaged, 0);
    wait_for(&theirs, received, "the full packet", |v| v.full.is_some());
    wait_for(&desk, sent, "it arrived by whichever road", |v| {
        v.packets.iter().all(|row| row.state == OutboxState::Read)
    });
    let steps = |v: &casemesh_node::office::ReferralView| v.events.iter().map(|e| e.step.clone()).collect::<Vec<_>>();
    assert_eq!(steps(&theirs.referral(received).unwrap()), ["sent", "accepted", "released"]);
}

#[test]
fn a_hub_takes_a_stick_and_gives_one() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _guard = runtime.enter();
    let mut hub = TestNode::new(&new_node("Hub", OfficeKind::Coordination, vec![Role::Hub], vec![]));
    let hubs = vec![hub.office];
    let mut advice = TestNode::new(&new_node("Advice office", OfficeKind::AdviceOffice, vec![Role::Office], vec![]));
    let mut shelter = TestNode::new(&new_node("Shelter", OfficeKind::Shelter, vec![Role::Office], hubs));
    let network = network(&[&hub, &advice, &shelter]);
    hub.start();
    hub.node().join(&network).unwrap();
    advice.start();
    advice.node().join(&network).unwrap();
    let desk = advice.desk("worker");
    let (person, case) = client(&desk);
    let agreed = consent(&desk, person, shelter.office, &["names", "contact"], &[]);
    refer(&desk, case, shelter.office, agreed);
    let packed = desk.pack_bundle("", false).unwrap();
    drop(desk);
    advice.stop();
    hub.stop();
    hub.start();
    let at_hub = hub.desk("worker");
    // It came over the line as well, or not: the hub keeps one.
    let brought = at_hub.bring_bundle(&packed.bytes).unwrap();
    assert_eq!((brought.deposited, brought.others, brought.new), (1, 0, 0));
    // What was put together by nobody whom the network knows is not kept for others.
    let mut unsigned = packed.bytes.clone();
    unsigned.truncate(unsigned.len() - 40);
    let refused = at_hub.bring_bundle(&unsigned).unwrap();
    assert_eq!((refused.deposited, refused.others, refused.by), (0, 1, None));
    let onward = at_hub.pack_bundle(&shelter.office.to_string(), false).unwrap();
    assert_eq!(onward.packets.len(), 1);
    drop(at_hub);
    hub.stop();
    shelter.start();
    shelter.node().join(&network).unwrap();
    let theirs = shelter.desk("worker");
    assert_eq!(theirs.bring_bundle(&onward.bytes).unwrap().new, 1);
    incoming(&theirs);
    let back = theirs.pack_bundle(&hub.office.to_string(), false).unwrap();
    assert_eq!(back.receipts, 1);
    drop(theirs);
    shelter.stop();
    // The hub lets go of what arrived, and the receipt lies in the sender's box.
    hub.start();
    hub.desk("worker").bring_bundle(&back.bytes).unwrap();
    let boxes = hub.folder.path().join("mailbox");
    let files = |office: &TestNode, ending: &str| {
        std::fs::read_dir(boxes.join(office.office.to_string())).map_or(0, |files| {
            files.filter(|file| file.as_ref().unwrap().path().extension().is_some_and(|found| found == ending)).count()
        })
    };
    assert_eq!((files(&shelter, "pkt"), files(&advice, "rcp")), (0, 1));
}

#[test]
fn what_is_damaged_foreign_or_no_bundle_is_told_and_harms_nothing() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _guard = runtime.enter();
    let (mut advice, mut shelter) = apart();
    advice.start();
    let desk = advice.desk("worker");
    let (person, case) = client(&desk);
    let agreed = desk.record_consent(person, sharing(&[shelter.office], &["names", "conflict_check"])).unwrap();
    refer(&desk, case, shelter.office, agreed);
    let packed = desk.pack_bundle("", false).unwrap();
    assert_eq!(packed.packets.len(), 2, "the preview, and the names to compare");
    drop(desk);
    advice.stop();
    shelter.start();
    let theirs = shelter.desk("worker");
    let problem = |bytes: &[u8]| match theirs.bring_bundle(bytes) {
        Err(DeskError::Invalid(problems)) => problems[0].problem.clone(),
        other => panic!("{other:?}"),
    };
    assert_eq!(problem(b"%PDF-1.7"), "no-bundle");
    assert_eq!(problem(b""), "no-bundle");
    // The second packet is damaged; the first is taken.
    let mut damaged = packed.bytes.clone();
    let second = packed.bytes.windows(4).enumerate().filter(|(_, w)| w == b"CMB>").nth(1).unwrap().0;
    damaged[second + 200] ^= 1;
    let brought = theirs.bring_bundle(&damaged).unwrap();
    assert_eq!((brought.new, brought.damaged, brought.by), (1, 1, Some(advice.office)));
    let whole = theirs.bring_bundle(&packed.bytes).unwrap();
    assert_eq!((whole.new, whole.known, whole.damaged), (1, 1, 0));
    assert_eq!(theirs.referrals(false).unwrap().len(), 1);
    // A stranger's network cannot read it, and says so.
    let (mut stranger, _) = started_offices();
    let elsewhere = stranger.desk("worker").bring_bundle(&packed.bytes).unwrap();
    assert_eq!((elsewhere.new, elsewhere.others, elsewhere.by), (0, 2, None));
    stranger.stop();
}

#[test]
fn the_command_line_packs_and_brings_while_the_node_does_not_run() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _guard = runtime.enter();
    let (mut advice, shelter) = apart();
    advice.start();
    let desk = advice.desk("worker");
    let (person, case) = client(&desk);
    let agreed = consent(&desk, person, shelter.office, &["names"], &[]);
    let sent = refer(&desk, case, shelter.office, agreed);
    eventually("it is sealed", || desk.referral(sent).unwrap().packets[0].sent);
    let stick = tempfile::tempdir().unwrap();
    let file = stick.path().join("packets.cmb");
    let at = |node: &TestNode, rest: &[&str]| -> Ran {
        let folder = node.folder.path().to_str().unwrap();
        let (verb, rest) = rest.split_first().unwrap();
        casemesh(&[&["bundle", verb, "--folder", folder], rest].concat(), "")
    };
    let file = file.to_str().unwrap();
    let running = at(&advice, &["pack", file]);
    assert!(running.code == 4 && running.error.contains("use its web page"), "{}", running.error);
    drop(desk);
    advice.stop();
    let unknown = at(&advice, &["pack", "--to", "Nobody", file]);
    assert!(unknown.code == 6 && unknown.error.contains("no office of the network is called"), "{}", unknown.error);
    let packed = at(&advice, &["pack", "--to", "shelter", file]);
    assert!(packed.code == 0 && packed.out.contains("1 packets"), "{}{}", packed.out, packed.error);
    let has_network = || {
        let bundle = Bundle::read(&std::fs::read(file).unwrap()).unwrap();
        bundle.damaged == 0 && bundle.entries.iter().any(|entry| matches!(entry, Entry::Network(_)))
    };
    assert!(!has_network(), "who belongs to the network is nobody's business who finds the stick");
    assert_eq!(at(&advice, &["pack", "--to", "shelter", "--with-network", file]).code, 0);
    assert!(has_network());
    let brought = at(&shelter, &["bring", file]);
    assert!(brought.out.contains("Written by Advice office"), "{}{}", brought.out, brought.error);
    assert!(brought.out.contains("1 new packets for this office"), "{}", brought.out);
    let back = stick.path().join("back.cmb");
    assert_eq!(at(&shelter, &["pack", back.to_str().unwrap()]).code, 0);
    let arrived = at(&advice, &["bring", "--json", back.to_str().unwrap()]);
    let arrived: serde_json::Value = serde_json::from_str(&arrived.out).unwrap();
    assert_eq!((&arrived["arrived"], &arrived["damaged"]), (&1.into(), &0.into()));
    std::fs::write(file, "no bundle").unwrap();
    let wrong = at(&shelter, &["bring", file]);
    assert!(wrong.code == 6 && wrong.error.contains("is no bundle of Casemesh"), "{}", wrong.error);
    advice.start();
    let desk = advice.desk("worker");
    wait_for(&desk, sent, "the receipt is taken up", |v| v.summary.arrived.is_some());
}
