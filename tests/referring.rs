//! A client with a case, a consent, a referral: what many stories begin with.

use crate::harness::{TestNode, eventually, network, new_node};
use casemesh_node::clock::Clock;
use casemesh_node::office::{
    AnswerInput, CaseInput, ConsentInput, Desk, FieldInput, PersonInput, ReferralInput, ReferralView,
};
use casemesh_protocol::directory::{OfficeKind, Role};
use casemesh_protocol::id::{OfficeId, RecordId};

pub(crate) fn known(value: &str) -> FieldInput {
    FieldInput { state: "known".into(), value: value.into() }
}

pub(crate) fn client(desk: &Desk) -> (RecordId, RecordId) {
    let person = desk
        .register_person(PersonInput {
            identity: "self_declared".into(),
            given: known("Nomvula"),
            family: known("Dlamini"),
            birth: known("1994-05-17"),
            sex: known("female"),
            telephone: known("082 555 0101"),
            address: known("12 Canary Street"),
            area: known("Ugu"),
            safe_text: true,
            code_word: "library".into(),
            ..PersonInput::default()
        })
        .unwrap();
    let case = desk
        .open_case(
            vec![person],
            CaseInput {
                case_type: "domestic_violence".into(),
                summary: "Needs a safe place tonight".into(),
                ..CaseInput::default()
            },
        )
        .unwrap();
    (person, case)
}

pub(crate) fn consent(desk: &Desk, person: RecordId, to: OfficeId, scope: &[&str], withheld: &[&str]) -> RecordId {
    let withheld = withheld.iter().map(|group| (*group).into()).collect();
    let input = ConsentInput { withheld, withheld_reason: "fear_of_harm".into(), ..sharing(&[to], scope) };
    desk.record_consent(person, input).unwrap()
}

pub(crate) fn refer(desk: &Desk, case: RecordId, to: OfficeId, consent: RecordId) -> RecordId {
    desk.send_referral(
        case,
        ReferralInput {
            to: to.to_string(),
            service: "safe_house".into(),
            need: "A bed for one adult tonight".into(),
            urgency: "urgent".into(),
            consent: consent.to_string(),
            template: "legal_brief".into(),
            ..ReferralInput::default()
        },
    )
    .unwrap()
}

pub(crate) fn step(desk: &Desk, referral: RecordId, step: &str, code: &str, note: &str) {
    desk.answer(
        referral,
        AnswerInput { step: step.into(), code: code.into(), note: note.into(), ..AnswerInput::default() },
    )
    .unwrap();
}

pub(crate) fn wait_for(
    desk: &Desk,
    referral: RecordId,
    what: &str,
    holds: impl Fn(&ReferralView) -> bool,
) -> ReferralView {
    eventually(what, || desk.referral(referral).ok().filter(&holds))
}

pub(crate) fn incoming(desk: &Desk) -> RecordId {
    eventually("a referral arrives", || desk.referrals(false).unwrap().first().map(|referral| referral.id))
}

/// Two offices of one network, and its file.
pub(crate) fn two_offices() -> (TestNode, TestNode, Vec<u8>) {
    let advice = TestNode::new(&new_node("Advice office", OfficeKind::AdviceOffice, vec![Role::Office], vec![]));
    let shelter = TestNode::new(&new_node("Shelter", OfficeKind::Shelter, vec![Role::Office], vec![]));
    let network = network(&[&advice, &shelter]);
    (advice, shelter, network)
}

/// Two offices of one network that run and know it.
pub(crate) fn started_offices() -> (TestNode, TestNode) {
    let (mut advice, mut shelter, network) = two_offices();
    for node in [&mut advice, &mut shelter] {
        node.start();
        node.node().join(&network).unwrap();
    }
    (advice, shelter)
}

/// What a consent to share says, beside for whom and what.
pub(crate) fn sharing(to: &[OfficeId], scope: &[&str]) -> ConsentInput {
    ConsentInput {
        purpose: "share_for_service".into(),
        recipients: to.iter().map(ToString::to_string).collect(),
        scope: scope.iter().map(|group| (*group).into()).collect(),
        expires: Clock::system().now().plus_days(30).day().to_string(),
        method: "signed_paper".into(),
        giver: "person".into(),
        language: "zu".into(),
        ..ConsentInput::default()
    }
}
