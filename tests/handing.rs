//! Cases that change hands, offices that are asked together, names that are compared, sharing without a consent.

use crate::harness::{TestNode, eventually, hire, network, new_node};
use crate::referring::{client, consent, incoming, known, refer, sharing, started_offices, step, wait_for};
use casemesh_node::office::{
    ActionInput, AnswerInput, ConsentInput, DecisionInput, Desk, OverrideInput, PaymentInput, PersonInput,
    ReferralInput, SettingsInput, TaskInput,
};
use casemesh_node::records::{CaseState, Tier};
use casemesh_protocol::directory::{OfficeKind, Role};
use casemesh_protocol::id::{OfficeId, RecordId};
use casemesh_protocol::referral::State;
use casemesh_protocol::terms::Ground;

const ALL: &[&str] = &["names", "birth_and_sex", "contact", "case_brief", "case_notes", "money"];

fn to_hand_over(to: OfficeId, scope: &[&str]) -> ConsentInput {
    ConsentInput { purpose: "share_for_transfer".into(), ..sharing(&[to], scope) }
}

fn hand_over(to: OfficeId, consent: RecordId) -> ReferralInput {
    ReferralInput {
        to: to.to_string(),
        service: "paralegal_advice".into(),
        need: "The client moved to your district".into(),
        urgency: "urgent".into(),
        consent: consent.to_string(),
        transfer: true,
        ..ReferralInput::default()
    }
}

fn note(desk: &Desk, case: RecordId, text: &str) -> Result<RecordId, String> {
    let input = ActionInput { text: text.into(), ..ActionInput::default() };
    desk.add_action(case, &input).map_err(|error| error.to_string())
}

/// Three offices of one network.
fn three_offices() -> (TestNode, TestNode, TestNode) {
    let office = |name: &str, kind| TestNode::new(&new_node(name, kind, vec![Role::Office], vec![]));
    let mut nodes = [
        office("Advice office", OfficeKind::AdviceOffice),
        office("Shelter", OfficeKind::Shelter),
        office("Second shelter", OfficeKind::Shelter),
    ];
    let network = network(&nodes.iter().collect::<Vec<_>>());
    for node in &mut nodes {
        node.start();
        node.node().join(&network).unwrap();
    }
    let [advice, shelter, second] = nodes;
    (advice, shelter, second)
}

#[test]
fn a_case_that_is_handed_over_moves_whole_and_is_one_offices_at_a_time() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _guard = runtime.enter();
    let (advice, shelter) = started_offices();
    let desk = advice.desk("worker");
    let (person, case) = client(&desk);
    note(&desk, case, "First talk, in her kitchen").unwrap();
    let confidential =
        ActionInput { text: "Between us only".into(), tier: Tier::Privileged.to_string(), ..ActionInput::default() };
    desk.add_action(case, &confidential).unwrap();
    let task = TaskInput { title: "Fetch the lease".into(), due: "2031-02-03".into(), ..TaskInput::default() };
    desk.add_task(case, &task).unwrap();
    let paid = PaymentInput {
        kind: "recovered".into(),
        amount: "100".into(),
        currency: "ZAR".into(),
        paid: "2026-01-05".into(),
        ..PaymentInput::default()
    };
    desk.add_payment(case, paid).unwrap();

    // A consent for a service hands nothing over, nor does one that keeps the names back; both say what to do.
    let service = desk.record_consent(person, sharing(&[shelter.office], ALL)).unwrap();
    let refused = desk.send_referral(case, hand_over(shelter.office, service)).unwrap_err().to_string();
    assert!(refused.contains("another purpose"), "{refused}");
    let narrow = desk.record_consent(person, to_hand_over(shelter.office, &["names", "case_brief"])).unwrap();
    let refused = desk.send_referral(case, hand_over(shelter.office, narrow)).unwrap_err().to_string();
    assert!(refused.contains("transfer-needs-scope"), "{refused}");

    let agreed = desk.record_consent(person, to_hand_over(shelter.office, ALL)).unwrap();
    let share = desk.preview_referral(case, &hand_over(shelter.office, agreed)).unwrap();
    let moved = share.moved.unwrap();
    assert_eq!((moved.entries, moved.tasks, moved.payments, moved.left_behind), (1, 1, 1, 1));
    let sent = desk.send_referral(case, hand_over(shelter.office, agreed)).unwrap();
    note(&desk, case, "Still ours until they accept").unwrap();

    let theirs = shelter.desk("worker");
    let received = incoming(&theirs);
    assert!(theirs.referral(received).unwrap().preview.is_transfer());
    step(&theirs, received, "accepted", "", "");
    let view = wait_for(&theirs, received, "the case is there", |view| view.summary.state == State::Transferred);
    let new_case = view.summary.case.unwrap();
    let held = theirs.case(new_case).unwrap();
    assert_eq!((held.epoch, held.text.as_str()), (1, "Needs a safe place tonight"));
    let texts: Vec<&str> = held.actions.iter().map(|entry| entry.text.as_str()).collect();
    assert!(texts.contains(&"First talk, in her kitchen") && texts.contains(&"Still ours until they accept"));
    assert!(!serde_json::to_string(&held).unwrap().contains("Between us only"), "confidential entries stay");
    assert!(held.tasks.iter().any(|task| task.due.to_string() == "2031-02-03"));
    assert_eq!(held.payments.len(), 1);
    assert!(!held.payments[0].recovered_here, "the office that recovered it counted it");
    assert_eq!(held.clients[0].name, "Nomvula Dlamini");
    note(&theirs, new_case, "Now ours").unwrap();

    // Ours is read and not changed: no entry, no task, no money, no referral, no other owner.
    wait_for(&desk, sent, "the sender learns it", |view| view.summary.state == State::Transferred);
    let stub = desk.case(case).unwrap();
    assert_eq!(stub.handed.as_ref().map(|handed| handed.name.as_str()), Some("Shelter"));
    assert_eq!((stub.summary.state, stub.tasks.len()), (CaseState::Closed, 0));
    assert!(!stub.may_write && !stub.may_note && !stub.may_assign);
    for refused in [
        note(&desk, case, "Too late").unwrap_err(),
        desk.add_task(case, &task).unwrap_err().to_string(),
        desk.send_referral(case, hand_over(shelter.office, agreed)).unwrap_err().to_string(),
        desk.close_case(case, &crate::harness::resolved()).unwrap_err().to_string(),
        desk.set_case_state(case, &crate::harness::standing(CaseState::Reopened)).unwrap_err().to_string(),
    ] {
        assert!(refused.contains("handed over to another office"), "{refused}");
    }
    // It cannot be taken back by a word, and the two logs agree.
    for word in ["revoked", "entered_in_error", "withdrawn"] {
        let answer = AnswerInput { step: word.into(), code: "safety".into(), ..AnswerInput::default() };
        assert!(desk.answer(sent, answer).is_err(), "{word}");
    }
    let steps =
        |view: casemesh_node::office::ReferralView| view.events.into_iter().map(|event| event.step).collect::<Vec<_>>();
    assert_eq!(steps(desk.referral(sent).unwrap()), steps(theirs.referral(received).unwrap()));

    // It goes back the same way, and counts one more.
    let back = theirs.case(new_case).unwrap().clients[0].id;
    let agreed = theirs.record_consent(back, to_hand_over(advice.office, ALL)).unwrap();
    theirs.send_referral(new_case, hand_over(advice.office, agreed)).unwrap();
    let returned = incoming(&desk);
    step(&desk, returned, "accepted", "", "");
    let view = wait_for(&desk, returned, "it is back", |view| view.summary.state == State::Transferred);
    assert_eq!(desk.case(view.summary.case.unwrap()).unwrap().epoch, 2);
}

#[test]
fn a_long_history_moves_in_parts_and_killed_nodes_never_share_a_case() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _guard = runtime.enter();
    let (mut advice, mut shelter) = started_offices();
    let desk = advice.desk("worker");
    let (person, case) = client(&desk);
    for number in 0..9 {
        note(&desk, case, &format!("{number} {}", "a long story ".repeat(4_000))).unwrap();
    }
    let agreed = desk.record_consent(person, to_hand_over(shelter.office, ALL)).unwrap();
    let sent = desk.send_referral(case, hand_over(shelter.office, agreed)).unwrap();
    let mut theirs = shelter.desk("worker");
    let received = incoming(&theirs);
    step(&theirs, received, "accepted", "", "");
    // Both are stopped at every turn; what was begun goes on when they are back.
    let mut desk = desk;
    for _ in 0..3 {
        drop(desk);
        advice.stop();
        advice.start();
        desk = advice.desk("worker");
        drop(theirs);
        shelter.stop();
        shelter.start();
        theirs = shelter.desk("worker");
        let ours = desk.case(case).unwrap().handed.is_none();
        let taken = theirs.referral(received).unwrap().summary.case.is_some();
        assert!(!(ours && taken), "two offices hold the case");
    }
    let view = wait_for(&theirs, received, "all parts come", |view| view.summary.state == State::Transferred);
    let held = theirs.case(view.summary.case.unwrap()).unwrap();
    assert_eq!(held.actions.iter().filter(|entry| entry.text.contains("a long story")).count(), 9);
    wait_for(&desk, sent, "the sender learns it", |view| view.summary.state == State::Transferred);
}

#[test]
fn a_case_comes_back_when_the_office_that_accepted_does_not_take_it_after_all() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _guard = runtime.enter();
    let (advice, shelter) = started_offices();
    let (desk, theirs) = (advice.desk("worker"), shelter.desk("worker"));
    let (person, case) = client(&desk);
    let agreed = desk.record_consent(person, to_hand_over(shelter.office, ALL)).unwrap();
    let sent = desk.send_referral(case, hand_over(shelter.office, agreed)).unwrap();
    let received = incoming(&theirs);
    // The consent ends while they accept: nothing of the case goes, and it stays where it was.
    step(&theirs, received, "acknowledged", "", "");
    desk.withdraw_consent(person, agreed).unwrap();
    wait_for(&theirs, received, "they learn it", |view| view.summary.state == State::ConsentWithdrawn);
    assert_eq!(desk.referral(sent).unwrap().summary.state, State::ConsentWithdrawn);
    assert!(desk.case(case).unwrap().handed.is_none());
    note(&desk, case, "We go on").unwrap();
}

#[test]
fn of_offices_that_are_asked_at_once_the_first_that_accepts_gets_it() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _guard = runtime.enter();
    let (advice, shelter, second) = three_offices();
    let (desk, one, two) = (advice.desk("worker"), shelter.desk("worker"), second.desk("worker"));
    let (person, case) = client(&desk);
    let both = desk.record_consent(person, sharing(&[shelter.office, second.office], &["names", "contact"])).unwrap();
    let request = ReferralInput {
        to: shelter.office.to_string(),
        also: vec![second.office.to_string()],
        service: "safe_house".into(),
        need: "A bed tonight".into(),
        urgency: "emergency".into(),
        consent: both.to_string(),
        ..ReferralInput::default()
    };
    // The consent must name each of them.
    let narrow = consent(&desk, person, shelter.office, &["names"], &[]);
    let refused = desk.send_referral(case, ReferralInput { consent: narrow.to_string(), ..request.clone() });
    assert!(refused.unwrap_err().to_string().contains("other offices"));
    assert!(desk.referrals(true).unwrap().is_empty(), "all or none");

    let first = desk.send_referral(case, request.clone()).unwrap();
    assert_eq!(desk.referral(first).unwrap().same_time.len(), 1);
    let (at_one, at_two) = (incoming(&one), incoming(&two));
    assert!(one.referral(at_one).unwrap().preview.chain.is_open);
    let names = |desk: &Desk, id| desk.referral(id).unwrap().preview.pseudonym;
    assert_ne!(names(&one, at_one), names(&two, at_two), "they cannot join what they hold");
    step(&two, at_two, "accepted", "", "Come at six");
    wait_for(&two, at_two, "the first gets it", |view| view.full.is_some());
    let lost = wait_for(&one, at_one, "the other is told", |view| view.summary.state == State::Withdrawn);
    assert!(lost.full.is_none());
    assert!(one.answer(at_one, AnswerInput { step: "accepted".into(), ..AnswerInput::default() }).is_err());

    // Both say yes before either hears of the other: one gets it.
    let (person, case) = client(&desk);
    let both = desk.record_consent(person, sharing(&[shelter.office, second.office], &["names"])).unwrap();
    desk.send_referral(case, ReferralInput { consent: both.to_string(), ..request }).unwrap();
    let newest = |desk: &Desk, before: RecordId| {
        eventually("the second comes", || {
            let first = desk.referrals(false).unwrap().first().map(|referral| referral.id);
            first.filter(|id| *id != before)
        })
    };
    let (at_one, at_two) = (newest(&one, at_one), newest(&two, at_two));
    step(&one, at_one, "accepted", "", "");
    let late = two.answer(at_two, AnswerInput { step: "accepted".into(), ..AnswerInput::default() });
    let ended = |state: State| matches!(state, State::Withdrawn | State::Revoked);
    eventually("one has it and the other not", || {
        let (one, two) = (one.referral(at_one).ok()?, two.referral(at_two).ok()?);
        let released = [one.full.is_some(), two.full.is_some()];
        let over = [ended(one.summary.state), ended(two.summary.state)];
        (released == [true, false] && over == [false, true] || released == [false, true] && over == [true, false])
            .then_some(())
    });
    drop(late);
}

#[test]
fn a_template_keeps_back_what_its_purpose_does_not_need_and_attempts_are_counted() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _guard = runtime.enter();
    let (advice, shelter, second) = three_offices();
    let (desk, one) = (advice.desk("worker"), shelter.desk("worker"));
    let (person, case) = client(&desk);
    let scope = &["names", "contact", "address", "case_brief", "safety"];
    let agreed = desk.record_consent(person, sharing(&[shelter.office, second.office], scope)).unwrap();
    let request = |template: &str| ReferralInput {
        to: shelter.office.to_string(),
        service: "safe_house".into(),
        need: "A bed tonight".into(),
        urgency: "urgent".into(),
        consent: agreed.to_string(),
        template: template.into(),
        ..ReferralInput::default()
    };
    let fields = |template: &str| {
        let share = desk.preview_referral(case, &request(template)).unwrap();
        let fields = share.full.fields.iter().map(|field| field.field.to_string()).collect::<Vec<_>>().join(" ");
        (fields, share.full.brief.is_empty())
    };
    // By itself a shelter learns nothing of the place she left, nor of the legal matter.
    assert_eq!(fields(""), ("given family telephone".into(), true));
    assert_eq!(fields("contact_only"), ("given family telephone".into(), true));
    assert_eq!(fields("legal_brief"), ("given family telephone address area case_type".into(), false));
    let refused = desk.preview_referral(case, &request("full_transfer")).unwrap_err().to_string();
    assert!(refused.contains("template"), "{refused}");

    let first = desk.send_referral(case, request("")).unwrap();
    let received = incoming(&one);
    assert_eq!(one.referral(received).unwrap().preview.chain.attempts_before, 0);
    step(&one, received, "declined", "no_capacity", "");
    let view = wait_for(&desk, first, "they decline", |view| view.summary.state == State::Declined);
    let next = view.next.unwrap();
    assert_eq!((next.office, next.name.as_str()), (Some(second.office), "Second shelter"));
    let again = ReferralInput { to: second.office.to_string(), follows: first.to_string(), ..request("") };
    let second_try = desk.send_referral(case, again).unwrap();
    let theirs = second.desk("worker");
    let at_second = incoming(&theirs);
    let preview = theirs.referral(at_second).unwrap().preview;
    assert_eq!(preview.chain.attempts_before, 1, "a number, and not who was asked");
    assert_eq!(desk.referral(second_try).unwrap().before[0].partner, "Shelter");

    // Passed on from there, the third office learns how many it came through.
    step(&theirs, at_second, "accepted", "", "");
    wait_for(&theirs, at_second, "it comes", |view| view.full.is_some());
    let onward = theirs.referral_to_case(at_second).unwrap();
    let client = theirs.case(onward).unwrap().clients[0].id;
    let consent = consent(&theirs, client, shelter.office, &["names"], &[]);
    refer(&theirs, onward, shelter.office, consent);
    let through = eventually("it is passed on", || {
        let first = one.referrals(false).unwrap().first().map(|referral| referral.id)?;
        (first != received).then(|| one.referral(first).unwrap().preview.chain.offices_before)
    });
    assert_eq!(through, 1);
    assert_eq!(theirs.referral(at_second).unwrap().onward.len(), 1);
}

#[test]
fn in_an_emergency_everything_goes_at_once_under_a_consent_that_says_so() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _guard = runtime.enter();
    let (advice, shelter) = started_offices();
    let (desk, theirs) = (advice.desk("worker"), shelter.desk("worker"));
    let (person, case) = client(&desk);
    let usual = consent(&desk, person, shelter.office, &["names", "contact"], &[]);
    let request = |consent: RecordId, urgency: &str| ReferralInput {
        to: shelter.office.to_string(),
        service: "safe_house".into(),
        need: "She is at the bus station".into(),
        urgency: urgency.into(),
        consent: consent.to_string(),
        complete_now: true,
        ..ReferralInput::default()
    };
    let refused = |consent, urgency| desk.send_referral(case, request(consent, urgency)).unwrap_err().to_string();
    assert!(refused(usual, "emergency").contains("consent-not-now"));
    let input = ConsentInput { complete_now: true, ..sharing(&[shelter.office], &["names", "contact"]) };
    let at_once = desk.record_consent(person, input).unwrap();
    assert!(refused(at_once, "urgent").contains("only-in-emergency"));
    desk.send_referral(case, request(at_once, "emergency")).unwrap();
    let received = incoming(&theirs);
    let view = wait_for(&theirs, received, "all of it comes", |view| view.full.is_some());
    assert_eq!(view.summary.state, State::Delivered, "nobody accepted yet");
    // Who does not help keeps nothing.
    step(&theirs, received, "declined", "no_capacity", "");
    let view = theirs.referral(received).unwrap();
    assert!(view.full.is_none() && view.erased.is_some());
}

#[test]
fn names_are_compared_by_the_other_computer_alone_and_the_answer_says_no_more_than_it_must() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _guard = runtime.enter();
    let (advice, shelter) = started_offices();
    let (desk, theirs) = (advice.desk("worker"), shelter.desk("worker"));
    let (person, case) = client(&desk);
    let without = consent(&desk, person, shelter.office, &["names"], &[]);
    let request = |consent: RecordId, service: &str| ReferralInput {
        to: shelter.office.to_string(),
        service: service.into(),
        need: "Advice about a lease".into(),
        urgency: "urgent".into(),
        consent: consent.to_string(),
        ..ReferralInput::default()
    };
    assert!(desk.preview_referral(case, &request(without, "food")).unwrap().names.is_none(), "ask by telephone");
    let covers = &["names", "conflict_check"];
    let checked = desk.record_consent(person, sharing(&[shelter.office], covers)).unwrap();
    let named = desk.preview_referral(case, &request(checked, "food")).unwrap().names.unwrap();
    assert_eq!(named, ["Nomvula Dlamini"]);
    let sent = desk.send_referral(case, request(checked, "food")).unwrap();
    let view = wait_for(&desk, sent, "the computer answers", |view| {
        view.events.iter().any(|event| event.step == "conflict_answered")
    });
    let answer = view.events.iter().find(|event| event.step == "conflict_answered").unwrap();
    assert_eq!(answer.code.as_ref().map(|code| code.code.as_str()), Some("can_act"));
    let received = incoming(&theirs);
    let view = theirs.referral(received).unwrap();
    assert!(view.compared.unwrap().cases.is_empty());
    // Once she is registered there, they learn before acceptance that she may be known, and not who she is.
    theirs
        .register_person(PersonInput {
            identity: "self_declared".into(),
            given: known("Nomvula"),
            family: known("Dlamini"),
            ..PersonInput::default()
        })
        .unwrap();

    // Their own case has the client on the other side: a person there says so, and not with whom.
    let other = PersonInput {
        identity: "self_declared".into(),
        given: known("Sipho"),
        family: known("Zulu"),
        ..PersonInput::default()
    };
    let other = theirs.register_person(other).unwrap();
    let opened = casemesh_node::office::CaseInput {
        summary: "A lease".into(),
        other_party: "Nomvula Dlamini".into(),
        despite_conflict: true,
        ..casemesh_node::office::CaseInput::default()
    };
    let conflict = theirs.open_case(vec![other], opened).unwrap();
    let sent = desk.send_referral(case, request(checked, "cash")).unwrap();
    let received = eventually("it comes", || {
        let all = theirs.referrals(false).unwrap();
        let it = all.iter().find(|referral| referral.service.code == "cash")?;
        theirs.referral(it.id).unwrap().compared.map(|compared| (it.id, compared))
    });
    let (received, compared) = received;
    assert_eq!(compared.cases.first().map(|(case, _)| *case), Some(conflict));
    assert_eq!((compared.known, compared.persons.len()), (1, 0));
    let page = serde_json::to_string(&theirs.referral(received).unwrap()).unwrap();
    assert!(!page.contains("Nomvula"), "no person there sees the name before they accept");
    assert!(desk.referral(sent).unwrap().events.iter().all(|event| event.step != "conflict_answered"));
    step(&theirs, received, "conflict_answered", "cannot_act", "");
    let view =
        wait_for(&desk, sent, "they say no", |view| view.events.iter().any(|event| event.step == "conflict_answered"));
    let told = serde_json::to_string(&view.events).unwrap();
    assert!(told.contains("cannot_act") && !told.contains("Zulu") && !told.contains("Sipho"));
}

#[test]
fn a_supervisor_can_share_without_a_consent_and_another_looks_at_it() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _guard = runtime.enter();
    let (advice, shelter) = started_offices();
    let (desk, theirs) = (advice.desk("worker"), shelter.desk("worker"));
    hire(advice.node(), &advice.desk("admin"), &desk, "thandi", "caseworker", false);
    hire(advice.node(), &advice.desk("admin"), &desk, "lindiwe", "supervisor", false);
    let (_, case) = client(&desk);
    let input = OverrideInput {
        to: shelter.office.to_string(),
        scope: vec!["names".into(), "safety".into()],
        ground: "vital_interest".into(),
        reason: "She is unconscious in hospital".into(),
        ..OverrideInput::default()
    };
    assert!(advice.desk("thandi").override_consent(case, &input).is_err(), "no caseworker decides this");
    for wrong in [
        OverrideInput { reason: String::new(), ..input.clone() },
        OverrideInput { ground: String::new(), ..input.clone() },
        OverrideInput { scope: vec![], ..input.clone() },
    ] {
        assert!(desk.override_consent(case, &wrong).is_err());
    }
    let decided = desk.override_consent(case, &input).unwrap();
    let sent = desk
        .send_referral(
            case,
            ReferralInput {
                to: shelter.office.to_string(),
                service: "safe_house".into(),
                need: "A bed after hospital".into(),
                urgency: "urgent".into(),
                consent: decided.to_string(),
                ..ReferralInput::default()
            },
        )
        .unwrap();
    let received = incoming(&theirs);
    assert_eq!(theirs.referral(received).unwrap().preview.ground, Some(Ground::VitalInterest), "they see the ground");
    step(&theirs, received, "accepted", "", "");
    let view = wait_for(&theirs, received, "it comes", |view| view.full.is_some());
    let full = serde_json::to_string(&view.full).unwrap();
    assert!(full.contains("Nomvula") && !full.contains("555"), "no more than was decided");

    // It stands in the case for all to see until somebody else looked at it.
    let shown = |desk: &Desk| desk.case(case).unwrap().consents[0].overriding.clone().unwrap();
    assert_eq!(shown(&desk).reviewed_by, None);
    assert!(desk.case(case).unwrap().tasks.iter().any(|task| format!("{task:?}").contains("override_review")));
    assert!(desk.review_override(case, decided, "Fine").is_err(), "not one's own");
    advice.desk("lindiwe").review_override(case, decided, "Right: nobody could ask her").unwrap();
    assert!(shown(&desk).reviewed_by.is_some());
    assert!(desk.case(case).unwrap().tasks.iter().all(|task| !format!("{task:?}").contains("override_review")));
    assert_eq!(desk.referral(sent).unwrap().summary.state, State::Accepted);
}

#[test]
fn where_closures_are_approved_a_case_is_handed_over_by_request() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _guard = runtime.enter();
    let (advice, shelter) = started_offices();
    let (worker, admin) = (advice.desk("worker"), advice.desk("admin"));
    let settings = SettingsInput { approve_closure: true, ..admin.settings().unwrap().into() };
    admin.change_settings(&settings).unwrap();
    hire(advice.node(), &admin, &worker, "colleague", "caseworker", true);
    let colleague = advice.desk("colleague");
    let (person, case) = client(&colleague);
    let agreed = colleague.record_consent(person, to_hand_over(shelter.office, ALL)).unwrap();
    let input = hand_over(shelter.office, agreed);
    assert!(colleague.hands_over_by_request() && !worker.hands_over_by_request());
    assert!(colleague.send_referral(case, input.clone()).is_err(), "not alone");
    let named = ReferralInput { need: "Nomvula moved".into(), ..input.clone() };
    assert!(colleague.ask_to_hand_over(case, &named).unwrap_err().to_string().contains("need-has-name"));
    colleague.ask_to_hand_over(case, &input).unwrap();
    assert!(colleague.ask_to_hand_over(case, &input).is_err(), "it is asked already");
    let request = worker.home().unwrap().requests.remove(0);
    let refused = DecisionInput { approved: false, comment: "Wait for Monday".into() };
    worker.decide(request.id, &refused).unwrap();
    assert!(shelter.desk("worker").referrals(false).unwrap().is_empty());
    colleague.ask_to_hand_over(case, &input).unwrap();
    // The client changes her mind before it is approved: it does not go, and the request stays.
    let request = worker.home().unwrap().requests.remove(0);
    colleague.withdraw_consent(person, agreed).unwrap();
    let approve = |id| worker.decide(id, &DecisionInput { approved: true, ..DecisionInput::default() });
    assert!(approve(request.id).is_err());
    let again = colleague.record_consent(person, to_hand_over(shelter.office, ALL)).unwrap();
    let second = hand_over(shelter.office, again);
    colleague.ask_to_hand_over(case, &second).unwrap();
    let requests = worker.home().unwrap().requests;
    let newest = requests.iter().max_by_key(|request| request.at).unwrap();
    approve(newest.id).unwrap();
    let theirs = shelter.desk("worker");
    assert!(theirs.referral(incoming(&theirs)).unwrap().preview.is_transfer());
}
