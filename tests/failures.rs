//! What was seen to go wrong in other systems (25 observations of referrals between offices), each with the test that it does not go
//! wrong here.

use crate::harness::{TestNode, hire, network, new_node};
use crate::referring::{client, consent, incoming, known, refer, sharing, started_offices, step, wait_for};
use casemesh_node::forms::About;
use casemesh_node::office::{
    ActionInput, AnswerInput, ConsentInput, DecisionInput, Desk, DeskError, DocumentInput, FormFieldInput, FormInput,
    MoreInput, ReferralInput, TermInput,
};
use casemesh_protocol::directory::{OfficeKind, Role};
use casemesh_protocol::id::RecordId;
use casemesh_protocol::referral::State;

/// Which test shows each observation.
const FAILURES: &[(&str, &str)] = &[
    (
        "1 the same case is sent twice while the first is pending",
        "exchange::another_office_that_is_named_becomes_a_task_and_a_second_one_is_asked_only_on_purpose",
    ),
    (
        "2 an error in handing over leaves both sides editable",
        "handing::a_long_history_moves_in_parts_and_killed_nodes_never_share_a_case",
    ),
    ("3 the source goes while pending", "failures::what_was_taken_back_while_pending_cannot_be_accepted"),
    ("4 a refusal is not told", "exchange::every_answer_has_its_way_and_says_what_it_has_to"),
    ("5 the preview names the person", "exchange::a_referral_goes_its_whole_way_and_the_totals_agree"),
    (
        "6 the kind of referral restricts only what is shown",
        "handing::a_template_keeps_back_what_its_purpose_does_not_need_and_attempts_are_counted",
    ),
    ("7 codes that differ block a share", "failures::a_code_that_the_receiver_does_not_know_is_shown_and_answered"),
    ("8 nothing more can be shared later", "failures::more_is_shared_later_under_a_consent_that_covers_more"),
    (
        "9 pseudonymous and handed over at once",
        "handing::a_case_that_is_handed_over_moves_whole_and_is_one_offices_at_a_time",
    ),
    (
        "10 duplicates are found after acceptance, by order",
        "handing::names_are_compared_by_the_other_computer_alone_and_the_answer_says_no_more_than_it_must",
    ),
    (
        "11 a case that was handed over can still be changed",
        "handing::a_case_that_is_handed_over_moves_whole_and_is_one_offices_at_a_time",
    ),
    ("12 tasks and flags stay behind", "handing::a_case_that_is_handed_over_moves_whole_and_is_one_offices_at_a_time"),
    ("13 a state is stale", "exchange::offices_that_are_never_awake_together_meet_through_the_hub"),
    ("14 blank hard-coded forms go out", "failures::only_what_is_known_goes_out"),
    ("15 whose account ended holds a referral up", "failures::a_referral_is_the_desks_and_not_a_persons"),
    ("16 what is missing shows in a log only", "failures::what_is_missing_is_said_before_anything_is_sent"),
    (
        "17 nobody knows what follows from a refusal",
        "exchange::another_office_that_is_named_becomes_a_task_and_a_second_one_is_asked_only_on_purpose",
    ),
    ("18 a bad line doubles documents", "failures::a_file_that_is_sent_again_is_one_document"),
    ("19 formulas in exported tables", "web::a_table_that_is_taken_along_has_no_formula_and_no_name"),
    (
        "20 a node leaves with open shares",
        "membership::an_office_leaves_in_order_and_forgets_the_keys_to_which_others_could_write",
    ),
    ("21 fields of one's own lose their type", "failures::fields_of_an_offices_own_arrive_typed_under_their_labels"),
    ("22 keys are renewed", "exchange::an_office_writes_a_new_card_before_its_prekeys_end_and_partners_use_it"),
    (
        "23 a packet is passed on as if meant for another",
        "crypto: a_recipient_cannot_forward_it_as_if_it_were_for_another",
    ),
    ("24 all must have the same version", "hostile::an_old_and_a_new_node_live_beside_each_other"),
    ("25 what is finished is revoked", "protocol: what_each_side_may_do_in_each_state"),
];

/// A test that is renamed is renamed here as well.
#[test]
fn every_observation_names_a_test_that_exists() {
    assert_eq!(FAILURES.len(), 25);
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    for (failure, test) in FAILURES {
        let split = test.split_once("::").or_else(|| test.split_once(": "));
        let (module, name) = split.unwrap_or_else(|| panic!("{failure}: {test}"));
        let file = match module {
            "crypto" => root.join("crypto/src/envelope.rs"),
            "protocol" => root.join("protocol/src/referral.rs"),
            module => root.join(format!("tests/{module}.rs")),
        };
        let source = std::fs::read_to_string(&file).unwrap();
        assert!(source.contains(&format!("fn {name}(")), "{failure}: no {name} in {}", file.display());
    }
}

fn request(to: &TestNode, consent: RecordId) -> ReferralInput {
    ReferralInput {
        to: to.office.to_string(),
        service: "legal_assistance".into(),
        need: "Advice about a lease".into(),
        urgency: "urgent".into(),
        consent: consent.to_string(),
        ..ReferralInput::default()
    }
}

fn fields<T: std::fmt::Debug>(result: Result<T, DeskError>) -> Vec<String> {
    match result {
        Err(DeskError::Invalid(problems)) => problems.into_iter().map(|problem| problem.field).collect(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_was_taken_back_while_pending_cannot_be_accepted() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _guard = runtime.enter();
    let (advice, shelter) = started_offices();
    let (desk, theirs) = (advice.desk("worker"), shelter.desk("worker"));
    let (person, case) = client(&desk);
    let agreed = consent(&desk, person, shelter.office, &["names"], &[]);
    let sent = refer(&desk, case, shelter.office, agreed);
    let received = incoming(&theirs);
    // The case cannot go while it is pending: the referral is taken back first.
    assert!(desk.close_case(case, &crate::harness::resolved()).is_err());
    step(&desk, sent, "withdrawn", "need_solved", "");
    wait_for(&theirs, received, "it is gone", |view| view.summary.state == State::Withdrawn);
    let late = theirs.answer(received, AnswerInput { step: "accepted".into(), ..AnswerInput::default() });
    assert!(late.unwrap_err().to_string().contains("withdrawn"), "it says that it is gone");
    wait_for(&theirs, received, "what came with it is erased", |view| view.erased.is_some());
}

#[test]
fn a_code_that_the_receiver_does_not_know_is_shown_and_answered() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _guard = runtime.enter();
    let (advice, shelter) = started_offices();
    let term = TermInput { label: "Kennel for a dog".into(), ..TermInput::default() };
    let own = advice.desk("admin").put_term("service_type", &term).unwrap();
    let (desk, theirs) = (advice.desk("worker"), shelter.desk("worker"));
    let (person, case) = client(&desk);
    let agreed = consent(&desk, person, shelter.office, &["names"], &[]);
    let sent = desk.send_referral(case, ReferralInput { service: own, ..request(&shelter, agreed) }).unwrap();
    let received = incoming(&theirs);
    assert_eq!(theirs.referral(received).unwrap().summary.service.label, "Kennel for a dog");
    step(&theirs, received, "accepted", "", "");
    wait_for(&desk, sent, "they take it", |view| view.summary.state == State::Accepted);
}

#[test]
fn only_what_is_known_goes_out() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _guard = runtime.enter();
    let (advice, shelter) = started_offices();
    let desk = advice.desk("worker");
    let (person, case) = client(&desk);
    let everything: Vec<&str> = casemesh_protocol::terms::FieldGroup::ALL.iter().map(|group| group.as_str()).collect();
    let agreed = consent(&desk, person, shelter.office, &everything, &[]);
    for template in ["contact_only", "legal_brief", "child_protection", "shelter", "health"] {
        let input = ReferralInput { template: template.into(), ..request(&shelter, agreed) };
        let share = desk.preview_referral(case, &input).unwrap();
        assert!(share.full.fields.iter().all(|field| !field.value.is_empty()), "{template}");
        assert!(share.full.moved.is_none(), "{template}");
    }
}

#[test]
fn more_is_shared_later_under_a_consent_that_covers_more() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _guard = runtime.enter();
    let (advice, shelter) = started_offices();
    let (desk, theirs) = (advice.desk("worker"), shelter.desk("worker"));
    let (person, case) = client(&desk);
    let little = consent(&desk, person, shelter.office, &["names"], &[]);
    let sent = refer(&desk, case, shelter.office, little);
    let received = incoming(&theirs);
    let more = |consent: RecordId| MoreInput {
        consent: consent.to_string(),
        template: "legal_brief".into(),
        documents: Vec::new(),
    };
    assert_eq!(fields(desk.share_more(sent, &more(little))), ["consent"], "not before they accept");
    step(&theirs, received, "accepted", "", "");
    let view = wait_for(&theirs, received, "a little comes", |view| view.full.is_some());
    assert!(!serde_json::to_string(&view.full).unwrap().contains("555"));
    wait_for(&desk, sent, "they took it", |view| view.summary.state == State::Accepted);
    let elsewhere = consent(&desk, person, advice.office, &["names", "contact"], &[]);
    assert!(desk.share_more(sent, &more(elsewhere)).is_err(), "a consent for another office");
    let wider = consent(&desk, person, shelter.office, &["names", "contact"], &[]);
    let share = desk.preview_more(sent, &more(wider)).unwrap();
    assert!(share.full.fields.iter().any(|field| field.field.as_str() == "telephone"));
    desk.share_more(sent, &more(wider)).unwrap();
    wait_for(&theirs, received, "more comes", |view| {
        serde_json::to_string(&view.full).is_ok_and(|full| full.contains("082 555 0101"))
    });
    // Whoever takes the wider consent back ends the referral.
    desk.withdraw_consent(person, wider).unwrap();
    wait_for(&theirs, received, "it ends", |view| view.summary.state == State::ConsentWithdrawn);
}

#[test]
fn a_referral_is_the_desks_and_not_a_persons() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _guard = runtime.enter();
    let (advice, shelter) = started_offices();
    let (desk, theirs, admin) = (advice.desk("worker"), shelter.desk("worker"), shelter.desk("admin"));
    let leaving = hire(shelter.node(), &admin, &theirs, "thandi", "caseworker", false);
    let (person, case) = client(&desk);
    let agreed = consent(&desk, person, shelter.office, &["names"], &[]);
    let sent = refer(&desk, case, shelter.office, agreed);
    let received = incoming(&theirs);
    step(&shelter.desk("thandi"), received, "accepted", "", "");
    admin.end_staff(leaving).unwrap();
    if let Some(open) = theirs.requests().unwrap().into_iter().find(|request| request.may_decide) {
        theirs.decide(open.id, &DecisionInput { approved: true, ..DecisionInput::default() }).unwrap();
    }
    wait_for(&desk, sent, "they took it", |view| view.summary.state == State::Accepted);
    step(&desk, sent, "revoked", "safety", "");
    wait_for(&theirs, received, "it reaches the office all the same", |view| view.summary.state == State::Revoked);
}

#[test]
fn what_is_missing_is_said_before_anything_is_sent() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _guard = runtime.enter();
    let (advice, shelter) = started_offices();
    let desk = advice.desk("worker");
    let (person, case) = client(&desk);
    let agreed = consent(&desk, person, shelter.office, &["names"], &[]);
    let nothing = ReferralInput { to: String::new(), consent: String::new(), ..ReferralInput::default() };
    assert_eq!(fields(desk.send_referral(case, nothing)), ["to", "service", "need", "consent"]);
    let strange = ReferralInput { template: "everything".into(), ..request(&shelter, agreed) };
    assert_eq!(fields(desk.send_referral(case, strange)), ["template"]);
    assert!(desk.referrals(true).unwrap().is_empty());
}

#[test]
fn a_file_that_is_sent_again_is_one_document() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _guard = runtime.enter();
    let (advice, _) = started_offices();
    let desk = advice.desk("worker");
    let (_, case) = client(&desk);
    let input = DocumentInput { title: "The order".into(), name: "order.txt".into(), ..DocumentInput::default() };
    let keep = |bytes: &[u8]| desk.add_document(case, &input, bytes.to_vec()).unwrap();
    let first = keep(b"It is ordered");
    assert_eq!(keep(b"It is ordered"), first, "the answer was lost, and the browser sent it again");
    assert_ne!(keep(b"It is forbidden"), first);
    assert_eq!(desk.case(case).unwrap().documents.len(), 2);
}

fn own_form(admin: &Desk) -> String {
    let field = |label: &str, kind: &str| FormFieldInput {
        label: label.into(),
        kind: kind.into(),
        ..FormFieldInput::default()
    };
    let form = FormInput {
        title: "Farm visit".into(),
        about: "case".into(),
        fields: vec![field("Families on the farm", "number"), field("Water", "yes_no")],
        ..FormInput::default()
    };
    admin.put_form(None, &form).unwrap()
}

#[test]
fn fields_of_an_offices_own_arrive_typed_under_their_labels() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _guard = runtime.enter();
    let (advice, shelter) = started_offices();
    let form = own_form(&advice.desk("admin"));
    let (desk, theirs) = (advice.desk("worker"), shelter.desk("worker"));
    let (person, case) = client(&desk);
    let asked = desk.forms(About::Case).into_iter().find(|known| known.id == form).unwrap();
    let answers = [known("12"), known("yes")];
    let answers = asked.fields.iter().map(|field| field.id.clone()).zip(answers).collect();
    desk.add_action(case, &ActionInput { form: form.clone(), answers, ..ActionInput::default() }).unwrap();
    let scope = &["names", "case_brief", "case_notes"];
    let input = ConsentInput { purpose: "share_for_transfer".into(), ..sharing(&[shelter.office], scope) };
    let agreed = desk.record_consent(person, input).unwrap();
    desk.send_referral(case, ReferralInput { transfer: true, ..request(&shelter, agreed) }).unwrap();
    let received = incoming(&theirs);
    step(&theirs, received, "accepted", "", "");
    let view = wait_for(&theirs, received, "it is there", |view| view.summary.state == State::Transferred);
    let held = theirs.case(view.summary.case.unwrap()).unwrap();
    let entry = held.actions.iter().find(|entry| entry.kind.label == "Farm visit").unwrap();
    let shown: Vec<(&str, Option<&str>)> =
        entry.answers.iter().map(|answer| (answer.field.as_str(), answer.value.value.as_deref())).collect();
    assert_eq!(shown, [("Families on the farm", Some("12")), ("Water", Some("yes"))]);
}

#[test]
fn an_office_that_nobody_can_write_to_is_said_and_not_tried() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _guard = runtime.enter();
    let mut advice = TestNode::new(&new_node("Advice office", OfficeKind::AdviceOffice, vec![Role::Office], vec![]));
    let stranger = TestNode::new(&new_node("Stranger", OfficeKind::Shelter, vec![Role::Office], vec![]));
    let network = network(&[&advice]);
    advice.start();
    advice.node().join(&network).unwrap();
    let desk = advice.desk("worker");
    let (person, case) = client(&desk);
    let agreed = consent(&desk, person, stranger.office, &["names"], &[]);
    assert_eq!(fields(desk.send_referral(case, request(&stranger, agreed))), ["to"]);
}
