//! Who belongs to the network: founded by several stewards, a registrar office lets others in, an office that is out gets nothing and
//! what was asked of it is seen to, keys are changed, and an office leaves in order. Whether there is room is asked without a person.

use crate::harness::{PASSWORD, TestNode, eventually, new_node};
use crate::referring::{client, consent, incoming, refer, step, wait_for};
use casemesh_crypto::random::os_rng;
use casemesh_crypto::sign::SigningKey;
use casemesh_crypto::wire;
use casemesh_node::clock::Clock;
use casemesh_node::node::{self, Founding, NodeError, OfflineFolder, Opened};
use casemesh_node::office::{
    CapacityAnswerInput, CapacityInput, CheckInput, DecisionInput, Desk, DeskError, EndInput, ReferralInput,
    SettingsInput, TaskFilter,
};
use casemesh_node::records::OutboxState;
use casemesh_protocol::bounded::List;
use casemesh_protocol::directory::{Capacity, Card, NetworkFile, OfficeKind, Role};
use casemesh_protocol::id::OfficeId;
use casemesh_protocol::referral::State;
use casemesh_protocol::trust::{Registrar, SignedRoot};

fn office(name: &str, kind: OfficeKind) -> TestNode {
    TestNode::new(&new_node(name, kind, vec![Role::Office], vec![]))
}

/// A network that two of three stewards found, with one office that lets others in.
pub(crate) fn founded(registrar: &TestNode) -> Vec<u8> {
    let stewards = [(); 3].map(|()| SigningKey::random(&mut os_rng()));
    let card: Card = wire::decode(&registrar.card()).unwrap();
    let founding = Founding {
        name: "Test network",
        stewards: stewards.iter().map(SigningKey::verifying_key).collect(),
        needed: 2,
        registrars: vec![Registrar::Office(registrar.office)],
        rules: None,
    };
    let root = SignedRoot::proposed(&founding.root(Clock::system().now()).unwrap()).endorsed(&stewards[0]);
    let file = |root: SignedRoot| {
        NetworkFile::new(List::new(vec![root]).unwrap(), List::default(), List::new(vec![card.clone()]).unwrap())
    };
    let early = wire::encode(&file(root.clone()));
    let said = casemesh_protocol::directory::Directory::read(&early, None).unwrap_err().to_string();
    assert!(said.contains("1 of the 2 stewards"), "{said}");
    wire::encode(&file(root.endorsed(&stewards[2])))
}

/// Asked by the administrator, approved by the worker: whom to trust is for two people.
fn approve(desk: &Desk) {
    let open = desk.requests().unwrap().into_iter().find(|request| request.may_decide).unwrap();
    desk.decide(open.id, &DecisionInput { approved: true, ..DecisionInput::default() }).unwrap();
}

fn admit(registrar: &TestNode, card: &[u8]) {
    let (admin, worker) = (registrar.desk("admin"), registrar.desk("worker"));
    assert!(!admin.admit(card).unwrap(), "somebody else approves it");
    approve(&worker);
}

/// A registrar with two offices that it let in, one after the other.
fn network_of_three() -> (TestNode, TestNode, TestNode) {
    let mut support = office("Support organisation", OfficeKind::Ngo);
    let file = founded(&support);
    support.start();
    support.node().join(&file).unwrap();
    let mut advice = office("Advice office", OfficeKind::AdviceOffice);
    let mut shelter = office("Shelter", OfficeKind::Shelter);
    for node in [&mut advice, &mut shelter] {
        node.start();
        let refused = node.node().join(&file).unwrap_err();
        assert!(matches!(refused, NodeError::NotAdmitted(_)), "{refused}");
        admit(&support, &node.card());
        node.node().join(&support.desk("admin").network_file().unwrap()).unwrap();
    }
    (support, advice, shelter)
}

fn knows(node: &TestNode, other: OfficeId) -> bool {
    node.node().directory().unwrap().member(&other).is_some()
}

#[test]
fn a_registrar_lets_offices_in_and_all_learn_of_it_and_of_who_is_out() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _guard = runtime.enter();
    let (support, advice, shelter) = network_of_three();
    // The advice office was let in before the shelter, and learns of it by packet.
    let desk = advice.desk("worker");
    eventually("the news of the shelter come", || Some(()).filter(|()| knows(&advice, shelter.office)));
    let refused = desk.admit(&shelter.card()).unwrap_err();
    assert!(matches!(refused, DeskError::Denied(_)), "an office that is no registrar");
    let seen = support.desk("admin").read_newcomer(&shelter.card()).unwrap();
    assert!(seen.member && seen.name == "Shelter");
    let theirs = shelter.desk("worker");
    let digits = |desk: &Desk, other: OfficeId| {
        let network = desk.network().unwrap();
        network.members.into_iter().find(|member| member.office == other).unwrap().digits
    };
    assert_eq!(digits(&desk, shelter.office), digits(&theirs, advice.office), "both read the same");
    let check = |same| CheckInput { office: shelter.office.to_string(), how: "Rang Zodwa at the desk".into(), same };
    assert!(desk.verify_partner(&check(false)).is_err());
    desk.verify_partner(&check(true)).unwrap();
    let verified = desk.network().unwrap().members.into_iter().find(|one| one.office == shelter.office).unwrap();
    assert_eq!(verified.verified.unwrap().how, "Rang Zodwa at the desk");

    // One referral is accepted, one is not; the shelter is removed.
    let (person, case) = client(&desk);
    let agreed = consent(&desk, person, shelter.office, &["names", "case_brief"], &[]);
    let accepted = refer(&desk, case, shelter.office, agreed);
    let received = incoming(&theirs);
    step(&theirs, received, "accepted", "", "");
    wait_for(&desk, accepted, "it is accepted", |view| view.summary.state == State::Accepted);
    let (second_person, second) = client(&desk);
    let agreed = consent(&desk, second_person, shelter.office, &["names", "case_brief"], &[]);
    let open = refer(&desk, second, shelter.office, agreed);
    wait_for(&desk, open, "it arrives", |view| view.summary.arrived.is_some());
    eventually("the line stands", || {
        Some(()).filter(|()| advice.node().relay().status().connected.contains(&shelter.office))
    });
    let end = EndInput { office: shelter.office.to_string(), reason: "removed".into(), successor: String::new() };
    assert!(desk.end_membership(&end).is_err(), "no registrar");
    assert!(!support.desk("admin").end_membership(&end).unwrap());
    approve(&support.desk("worker"));
    eventually("the advice office learns of it", || Some(()).filter(|()| !knows(&advice, shelter.office)));
    eventually("the line is cut", || {
        Some(()).filter(|()| !advice.node().relay().status().connected.contains(&shelter.office))
    });
    wait_for(&desk, open, "what was not accepted is taken back", |view| view.summary.state == State::Withdrawn);
    let former = desk.network().unwrap().former;
    assert_eq!(former.iter().map(|one| one.name.as_str()).collect::<Vec<_>>(), ["Shelter"]);
    assert_eq!(former[0].referrals.iter().map(|one| one.id).collect::<Vec<_>>(), [accepted], "what is still open");
    assert!(desk.referral(accepted).unwrap().partner_left);
    let tasks = desk.tasks(&TaskFilter::default()).unwrap();
    let titles = serde_json::to_string(&tasks).unwrap();
    assert!(titles.contains("partner_left") && titles.contains("find_another"), "{titles}");
    // Nothing more goes there, and nobody can ask.
    let refused = desk.send_referral(
        second,
        ReferralInput {
            to: shelter.office.to_string(),
            service: "safe_house".into(),
            need: "A bed".into(),
            urgency: "routine".into(),
            consent: agreed.to_string(),
            ..Default::default()
        },
    );
    assert!(
        matches!(refused, Err(DeskError::Invalid(problems)) if problems.iter().any(|one| one.problem == "not-in-network"))
    );
    // Let in anew, it can be asked again.
    admit(&support, &shelter.card());
    eventually("it is in again", || Some(()).filter(|()| knows(&advice, shelter.office)));
}

#[test]
fn an_office_leaves_in_order_and_forgets_the_keys_to_which_others_could_write() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _guard = runtime.enter();
    let (support, advice, mut shelter) = network_of_three();
    let desk = advice.desk("worker");
    eventually("the news of the shelter come", || Some(()).filter(|()| knows(&advice, shelter.office)));
    let (person, case) = client(&desk);
    let agreed = consent(&desk, person, shelter.office, &["names"], &[]);
    let sent = refer(&desk, case, shelter.office, agreed);
    let theirs = shelter.desk("worker");
    let received = incoming(&theirs);
    let admin = shelter.desk("admin");
    let leave = |reason: &str| EndInput {
        office: shelter.office.to_string(),
        reason: reason.into(),
        successor: support.office.to_string(),
    };
    let refused = |input: &EndInput| match admin.end_membership(input) {
        Err(DeskError::Invalid(problems)) => problems[0].problem.clone(),
        other => panic!("{other:?}"),
    };
    assert_eq!(refused(&leave("closed")), "leave-open", "first it answers what it was asked");
    step(&theirs, received, "declined", "no_capacity", "We close");
    assert_eq!(refused(&leave("removed")), "leave-reason");
    assert!(!admin.end_membership(&leave("closed")).unwrap());
    approve(&theirs);
    eventually("all know", || admin.network().unwrap().leaving.filter(|(told, all)| *all == 2 && told == all));
    for node in [&support, &advice] {
        eventually("it is out", || Some(()).filter(|()| !knows(node, shelter.office)));
    }
    wait_for(&desk, sent, "its answer came before", |view| view.summary.state == State::Declined);
    let former = desk.network().unwrap().former;
    assert_eq!(former[0].successor.as_deref(), Some("Support organisation"));
    drop((theirs, admin));
    shelter.stop();
    let folder = OfflineFolder::take(shelter.folder.path()).unwrap();
    node::forget_network(&folder).unwrap();
    assert!(node::forget_network(&folder).is_err(), "there is nothing left to forget");
    drop(folder);
    // Its own records are still there.
    shelter.start();
    assert!(shelter.desk("worker").network().is_none());
    assert_eq!(shelter.desk("worker").referrals(false).unwrap().len(), 1);
}

#[test]
fn a_stolen_computers_keys_are_taken_back_with_the_second_sheet() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _guard = runtime.enter();
    let mut support = office("Support organisation", OfficeKind::Ngo);
    let file = founded(&support);
    support.start();
    support.node().join(&file).unwrap();
    let new = new_node("Shelter", OfficeKind::Shelter, vec![Role::Office], vec![]);
    let folder = tempfile::tempdir().unwrap();
    let printed = node::init(folder.path(), &new, &Clock::system()).unwrap();
    admit(&support, &node::read_card(folder.path()).unwrap());
    let directory = support.node().directory().unwrap();
    let before = directory.member(&printed.office).unwrap().clone();
    let held = OfflineFolder::take(folder.path()).unwrap();
    let by_password = || Opened::ByPassword("worker".into(), PASSWORD.into());
    let how = (casemesh_crypto::share::Split::SMALL_OFFICE, true);
    let wrong = casemesh_crypto::token::to_printed(&[7; 32]);
    let refused = node::rotate_root(&held, &by_password(), &wrong, how, &Clock::system()).unwrap_err();
    assert!(refused.to_string().contains("second sheet"), "{refused}");
    let after = node::rotate_root(&held, &by_password(), &printed.next_root, how, &Clock::system()).unwrap();
    // The old sheet is used up; the new shares open the office, and the old ones do not.
    assert!(node::rotate_root(&held, &by_password(), &printed.next_root, how, &Clock::system()).is_err());
    let seed = |shares: &[String]| {
        let shares: Vec<_> =
            shares.iter().map(|one| casemesh_crypto::share::Share::from_printed(one).unwrap()).collect();
        casemesh_crypto::share::combine(&shares).unwrap()
    };
    assert!(node::renew_node_key(&held, &seed(&printed.shares), &Clock::system()).is_err());
    node::renew_node_key(&held, &seed(&after.shares), &Clock::system()).unwrap();
    drop(held);
    // The registrar looks at the new card, and tells all.
    let card = node::read_card(folder.path()).unwrap();
    let seen = support.desk("admin").read_newcomer(&card).unwrap();
    assert!(seen.member && seen.newer);
    admit(&support, &card);
    let directory = support.node().directory().unwrap();
    let member = directory.member(&printed.office).unwrap();
    let machine = |member: &casemesh_protocol::directory::Member| member.keys.machines()[0].peer.clone();
    assert_eq!(member.keys.machines().len(), 1, "the stolen computer is known no more");
    assert_ne!(machine(member), machine(&before));
    assert!(directory.by_peer(&machine(&before), Clock::system().now()).is_none());
    // The office opens as before.
    let node = node::Node::start(folder.path(), Clock::system()).unwrap();
    node.join(&support.desk("admin").network_file().unwrap()).unwrap();
    let knock = node::Knock::new("worker", PASSWORD, "test");
    let token = node.sign_in(&knock).unwrap();
    assert!(node.desk(&token).unwrap().network().is_some());
    eventually("it is welcome with its new keys", || {
        Some(()).filter(|()| support.node().relay().status().connected.contains(&printed.office))
    });
    node.stop();
}

/// What was written before waits for its packet, and the packet is sealed by the new keys; it comes where nobody has heard of these.
#[test]
fn what_is_under_way_while_an_office_changes_its_keys_has_its_effect() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _guard = runtime.enter();
    let (support, mut advice, shelter) = network_of_three();
    let desk = advice.desk("worker");
    eventually("they know each other", || {
        (knows(&advice, shelter.office) && knows(&shelter, advice.office)).then_some(())
    });
    let admin = advice.desk("admin");
    let settings = SettingsInput { recall_minutes: 5, ..admin.settings().unwrap().into() };
    admin.change_settings(&settings).unwrap();
    let (person, case) = client(&desk);
    let agreed = consent(&desk, person, shelter.office, &["names"], &[]);
    let input = ReferralInput {
        to: shelter.office.to_string(),
        service: "safe_house".into(),
        need: "A bed for one adult".into(),
        urgency: "routine".into(),
        consent: agreed.to_string(),
        ..ReferralInput::default()
    };
    let sent = desk.send_referral(case, input).unwrap();
    assert!(desk.referral(sent).unwrap().packets[0].state == OutboxState::Waiting, "it can still be recalled");
    drop((desk, admin));
    advice.stop();

    let later = Clock::set_to(Clock::system().now().plus_ms(6 * 60_000));
    let held = OfflineFolder::take(advice.folder.path()).unwrap();
    let by_password = Opened::ByPassword("worker".into(), PASSWORD.into());
    let how = (casemesh_crypto::share::Split::SMALL_OFFICE, true);
    node::rotate_root(&held, &by_password, &advice.next_root, how, &later).unwrap();
    drop(held);
    advice.start_at(later);
    let desk = advice.desk("worker");
    let packed = eventually("it is sealed", || desk.pack_bundle(&shelter.office.to_string(), false).ok());
    let theirs = shelter.desk("worker");
    assert_eq!(theirs.bring_bundle(&packed.bytes).unwrap().new, packed.packets.len());
    // The shelter looks at it, and cannot know who signed.
    std::thread::sleep(std::time::Duration::from_millis(500));
    assert!(theirs.referrals(false).unwrap().is_empty());

    admit(&support, &advice.card());
    incoming(&theirs);
    let spool = shelter.node().relay().spool();
    eventually("nothing waits", || (spool.waiting_count() == 0).then_some(()));
    assert_eq!(spool.set_aside_count(), 0);
    wait_for(&desk, sent, "its receipt comes over the line", |view| view.summary.read.is_some());
}

#[test]
fn whether_there_is_room_is_asked_and_answered_without_a_person() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _guard = runtime.enter();
    let (_support, advice, shelter) = network_of_three();
    let (desk, theirs) = (advice.desk("worker"), shelter.desk("worker"));
    eventually("the news of the shelter come", || Some(()).filter(|()| knows(&advice, shelter.office)));
    let question = CapacityInput {
        office: shelter.office.to_string(),
        service: "safe_house".into(),
        urgency: "emergency".into(),
        age_band: "9-17".into(),
        language: String::new(),
    };
    desk.ask_capacity(&question).unwrap();
    assert!(desk.ask_capacity(&question).is_err(), "it was asked and not answered");
    assert!(desk.ask_capacity(&CapacityInput { office: advice.office.to_string(), ..question.clone() }).is_err());
    let asked = eventually("the question comes", || theirs.capacity_asked().into_iter().next());
    assert_eq!((asked.outgoing, asked.urgency, asked.name.as_str()), (false, 2, "Advice office"));
    let answer = |capacity: &str| CapacityAnswerInput { capacity: capacity.into(), from: String::new() };
    assert!(theirs.answer_capacity(asked.id, &answer("not_said")).is_err());
    theirs.answer_capacity(asked.id, &answer("waiting_list")).unwrap();
    assert!(theirs.answer_capacity(asked.id, &answer("none")).is_err(), "once");
    let told = eventually("the answer comes", || desk.capacity_asked().into_iter().find(|one| one.capacity.is_some()));
    assert_eq!(told.capacity, Some(Capacity::WaitingList));
    assert!(desk.referrals(true).unwrap().is_empty(), "nobody was referred");
}

#[test]
fn an_office_joins_by_invitation_and_a_stranger_gets_no_further_than_the_lobby() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _guard = runtime.enter();
    let port = crate::harness::free_port();
    let mut new = new_node("Support organisation", OfficeKind::Ngo, vec![Role::Office], vec![]);
    new.config.lobby = Some(format!("/ip4/127.0.0.1/tcp/{port}"));
    let mut support = TestNode::new(&new);
    let file = founded(&support);
    support.start();
    support.node().join(&file).unwrap();
    let admin = support.desk("admin");
    assert!(support.desk("worker").invite("Somebody").is_err(), "who does not administer invites nobody");
    let text = admin.invite("The shelter in Ugu").unwrap();
    let withdrawn = admin.invite("By mistake").unwrap();
    let mistake = admin.invitations().into_iter().find(|open| open.note == "By mistake").unwrap();
    admin.take_invitation_back(&mistake.id).unwrap();

    let mut shelter = office("Shelter", OfficeKind::Shelter);
    shelter.start();
    assert!(shelter.node().ask_to_join("HELLO-WORLD").is_err());
    shelter.node().ask_to_join(&text).unwrap();
    let knocked = eventually("it knocks", || admin.invitations().into_iter().find_map(|open| open.newcomer));
    assert_eq!((knocked.name.as_str(), knocked.member), ("Shelter", false));
    assert_eq!(admin.home().unwrap().knocking, ["Shelter"], "whoever lets others in sees it at once");
    assert!(shelter.desk("worker").home().unwrap().knocking.is_empty());
    let invitation = casemesh_protocol::join::Invitation::from_text(&text).unwrap();
    assert_eq!(
        casemesh_node::office::spoken(&shelter.office, &invitation.registrar),
        knocked.digits,
        "both ends read the same"
    );
    // A second computer with the same invitation is not heard, nor is one with an invitation that was taken back.
    let thief = office("Thief", OfficeKind::Ngo);
    use casemesh_node::lobby::{Reception, knock};
    assert_eq!(knock(thief.folder.path(), &invitation).unwrap(), Reception::Refused);
    let back = casemesh_protocol::join::Invitation::from_text(&withdrawn).unwrap();
    assert_eq!(knock(thief.folder.path(), &back).unwrap(), Reception::Refused);
    // Somebody looked, and another approved.
    assert!(shelter.node().directory().is_none());
    let card = admin.invitations().into_iter().find_map(|open| open.card).unwrap();
    let bytes: Vec<u8> = card
        .as_bytes()
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect();
    assert!(!admin.admit(&bytes).unwrap());
    approve(&support.desk("worker"));
    eventually("it is in", || shelter.node().directory());
    assert!(knows(&shelter, support.office));
    eventually("its invitation is used up", || shelter.node().joining().is_none().then_some(()));
    eventually("the two talk", || {
        Some(()).filter(|()| support.node().relay().status().connected.contains(&shelter.office))
    });
}
