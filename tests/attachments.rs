//! Documents that go with a referral: to an office that is on, to one that sleeps, on a stick, with a case that is handed over, and not
//! when they must not.

use crate::harness::{TestNode, eventually, network, new_node};
use crate::referring::{client, incoming, sharing, started_offices, step, wait_for};
use casemesh_node::office::{ConsentInput, Desk, DeskError, DocumentInput, ReferralInput};
use casemesh_protocol::directory::{OfficeKind, Role};
use casemesh_protocol::id::{OfficeId, RecordId};
use casemesh_protocol::referral::State;

const SCOPE: &[&str] = &["names", "case_brief", "case_notes", "documents"];

/// A file that is like no other.
fn paper(length: usize) -> Vec<u8> {
    (0..length as u64).map(|n| (n.wrapping_mul(2_654_435_761) >> 13).to_le_bytes()[0]).collect()
}

fn keep(desk: &Desk, case: RecordId, title: &str, bytes: &[u8]) -> RecordId {
    let name = format!("{title}.bin");
    desk.add_document(case, &DocumentInput { title: title.into(), name, ..DocumentInput::default() }, bytes.to_vec())
        .unwrap()
}

fn with_papers(to: OfficeId, consent: RecordId, documents: &[RecordId]) -> ReferralInput {
    ReferralInput {
        to: to.to_string(),
        service: "legal_assistance".into(),
        need: "Somebody to read a lease".into(),
        urgency: "urgent".into(),
        consent: consent.to_string(),
        documents: documents.iter().map(ToString::to_string).collect(),
        ..ReferralInput::default()
    }
}

/// How many sealed files of ours another office may fetch.
fn offered(node: &TestNode) -> usize {
    node.node().relay().blobs().offered().len()
}

#[test]
fn documents_come_after_acceptance_are_kept_in_the_case_and_go_when_the_consent_does() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _guard = runtime.enter();
    let (advice, shelter) = started_offices();
    let desk = advice.desk("worker");
    let (person, case) = client(&desk);
    let (long, short) = (paper(9_000_001), paper(30));
    let lease = keep(&desk, case, "Lease", &long);
    let letter = keep(&desk, case, "Letter", &short);
    keep(&desk, case, "Not for others", b"private");

    // What the consent does not cover does not go, and somebody says so in the field.
    let narrow = desk.record_consent(person, sharing(&[shelter.office], &["names", "case_brief"])).unwrap();
    let refused = desk.send_referral(case, with_papers(shelter.office, narrow, &[lease])).unwrap_err();
    assert!(matches!(refused, DeskError::Invalid(problems) if problems[0].problem == "documents-not-covered"));
    let agreed = desk.record_consent(person, sharing(&[shelter.office], SCOPE)).unwrap();
    let share = desk.preview_referral(case, &with_papers(shelter.office, agreed, &[lease, letter])).unwrap();
    assert_eq!(share.full.documents().iter().map(|one| one.title.as_str()).collect::<Vec<_>>(), ["Lease", "Letter"]);
    let sent = desk.send_referral(case, with_papers(shelter.office, agreed, &[lease, letter])).unwrap();

    let theirs = shelter.desk("worker");
    let received = incoming(&theirs);
    assert!(theirs.referral(received).unwrap().documents.is_empty(), "nothing before acceptance");
    assert_eq!(offered(&advice), 0, "nothing may be fetched before acceptance");
    step(&theirs, received, "accepted", "", "");
    wait_for(&theirs, received, "the documents come", |v| v.documents.len() == 2 && v.documents.iter().all(|d| d.here));
    let file = theirs.hand_out_shared(received, 1).unwrap();
    assert!(file.bytes == long && file.name == "Lease.bin");
    assert!(matches!(theirs.hand_out_shared(received, 3), Err(DeskError::NotFound)));
    wait_for(&desk, sent, "the sender learns that they were fetched", |v| {
        v.documents.iter().all(|document| document.percent.is_none())
    });
    let opened = theirs.referral_to_case(received).unwrap();
    let held = theirs.case(opened).unwrap();
    let letter = held.documents.iter().find(|document| document.title == "Letter").unwrap();
    assert_eq!(theirs.hand_out(opened, letter.id, 1).unwrap().bytes, short);
    assert!(!held.documents.iter().any(|document| document.title == "Not for others"));
}

#[test]
fn what_is_taken_back_is_not_fetched_any_more_and_not_kept() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _guard = runtime.enter();
    let (advice, mut shelter) = started_offices();
    let desk = advice.desk("worker");
    let (person, case) = client(&desk);
    let lease = keep(&desk, case, "Lease", &paper(3_000_000));
    let agreed = desk.record_consent(person, sharing(&[shelter.office], SCOPE)).unwrap();
    desk.send_referral(case, with_papers(shelter.office, agreed, &[lease])).unwrap();
    let theirs = shelter.desk("worker");
    let received = incoming(&theirs);
    step(&theirs, received, "accepted", "", "");
    wait_for(&theirs, received, "the document comes", |v| v.documents.iter().any(|document| document.here));
    let documents = shelter.folder.path().join("documents");
    let files = || std::fs::read_dir(&documents).unwrap().count();
    assert_eq!(files(), 1);
    drop(theirs);
    // The shelter sleeps; the client takes the consent back; a second office is never served.
    shelter.stop();
    desk.withdraw_consent(person, agreed).unwrap();
    eventually("nothing may be fetched any more", || Some(()).filter(|()| offered(&advice) == 0));
    shelter.start();
    let theirs = shelter.desk("worker");
    wait_for(&theirs, received, "what came is erased", |v| v.erased.is_some());
    eventually("its file too", || Some(()).filter(|()| files() == 0));
}

#[test]
fn documents_wait_at_a_hub_for_an_office_that_sleeps() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _guard = runtime.enter();
    let mut hub = TestNode::new(&new_node("Hub", OfficeKind::Coordination, vec![Role::Hub], vec![]));
    let hubs = vec![hub.office];
    let office = |name: &str, kind| TestNode::new(&new_node(name, kind, vec![Role::Office], hubs.clone()));
    let mut advice = office("Advice office", OfficeKind::AdviceOffice);
    let mut shelter = office("Shelter", OfficeKind::Shelter);
    let network = network(&[&hub, &advice, &shelter]);
    for node in [&mut hub, &mut advice, &mut shelter] {
        node.start();
        node.node().join(&network).unwrap();
    }
    let desk = advice.desk("worker");
    let (person, case) = client(&desk);
    let bytes = paper(2_000_000);
    let lease = keep(&desk, case, "Lease", &bytes);
    let agreed = desk.record_consent(person, sharing(&[shelter.office], SCOPE)).unwrap();
    let sent = desk.send_referral(case, with_papers(shelter.office, agreed, &[lease])).unwrap();
    let theirs = shelter.desk("worker");
    let received = incoming(&theirs);
    // It answers, and is gone before the full packet.
    drop(desk);
    advice.stop();
    step(&theirs, received, "accepted", "", "");
    drop(theirs);
    let at_hub = hub.folder.path().join("mailbox").join(advice.office.to_string());
    eventually("the answer waits at the hub", || {
        let files = std::fs::read_dir(&at_hub).ok()?;
        Some(()).filter(|()| files.flatten().any(|file| file.path().extension().is_some_and(|e| e == "pkt")))
    });
    shelter.stop();
    let later = casemesh_node::clock::Clock::set_to(casemesh_node::clock::Clock::system().now());
    advice.start_at(later.clone());
    let desk = advice.desk("worker");
    wait_for(&desk, sent, "the answer comes", |v| v.summary.state == State::Accepted);
    // A minute without the shelter: packet and file are left at its hub.
    eventually("the file is left at the hub", || {
        later.advance_ms(2_000);
        let folder = hub.folder.path().join("blobs/box").join(shelter.office.to_string());
        let files = std::fs::read_dir(folder).ok()?.flatten();
        let whole = files.filter(|file| file.path().extension().is_some_and(|e| e == "part"));
        Some(()).filter(|()| whole.map(|file| file.metadata().unwrap().len()).any(|length| length > 2_000_000))
    });
    drop(desk);
    advice.stop();
    shelter.start();
    let theirs = shelter.desk("worker");
    wait_for(&theirs, received, "packet and file come from the hub", |v| v.documents.iter().any(|one| one.here));
    assert_eq!(theirs.hand_out_shared(received, 1).unwrap().bytes, bytes);
    eventually("the hub lets go", || {
        let folder = hub.folder.path().join("blobs/box").join(shelter.office.to_string());
        Some(()).filter(|()| std::fs::read_dir(folder).map_or(0, |files| files.count()) == 0)
    });
}

#[test]
fn documents_travel_on_a_stick_and_with_a_case_that_is_handed_over() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _guard = runtime.enter();
    let office = |name: &str, kind| {
        let mut new = new_node(name, kind, vec![Role::Office], vec![]);
        new.config.listen.clear();
        TestNode::new(&new)
    };
    let mut advice = office("Advice office", OfficeKind::AdviceOffice);
    let mut shelter = office("Shelter", OfficeKind::Shelter);
    let network = network(&[&advice, &shelter]);
    for node in [&mut advice, &mut shelter] {
        node.start();
        node.node().join(&network).unwrap();
    }
    let (desk, theirs) = (advice.desk("worker"), shelter.desk("worker"));
    let (person, case) = client(&desk);
    let bytes = paper(700_000);
    keep(&desk, case, "Lease", &bytes);
    let transfer = ConsentInput { purpose: "share_for_transfer".into(), ..sharing(&[shelter.office], SCOPE) };
    let agreed = desk.record_consent(person, transfer).unwrap();
    let input = ReferralInput { transfer: true, ..with_papers(shelter.office, agreed, &[]) };
    desk.send_referral(case, input).unwrap();
    let carry = |from: &Desk, to: &Desk| to.bring_bundle(&from.pack_bundle("", false).unwrap().bytes).unwrap();
    carry(&desk, &theirs);
    let received = incoming(&theirs);
    step(&theirs, received, "accepted", "", "");
    carry(&theirs, &desk);
    let brought = eventually("the full packet is ready", || {
        let packed = desk.pack_bundle("", false).ok()?;
        Some(packed).filter(|packed| packed.packets.len() > 1 || packed.bytes.len() > 700_000)
    });
    assert_eq!(theirs.bring_bundle(&brought.bytes).unwrap().files, 1);
    let view = wait_for(&theirs, received, "the case is there", |v| v.summary.state == State::Transferred);
    let held = theirs.case(view.summary.case.unwrap()).unwrap();
    let lease = held.documents.iter().find(|document| document.title == "Lease").unwrap();
    let lease = eventually("the file is taken in", || theirs.hand_out(held.summary.id, lease.id, 1).ok());
    assert_eq!(lease.bytes, bytes);
}
