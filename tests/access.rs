//! Non-interference: what a colleague sees is byte for byte the same whether or not there is a case that is for
//! others alone.

use crate::harness::{PASSWORD, TestNode, new_node};
use casemesh_node::office::{
    ActionInput, CaseFilter, CaseInput, ConsentInput, Desk, DeskError, FieldInput, PaymentInput, PersonInput,
    StaffInput, TaskFilter, TaskInput,
};
use casemesh_node::records::{CaseState, TaskState};
use casemesh_protocol::directory::{OfficeKind, Role};
use casemesh_protocol::id::RecordId;

fn named(name: &str) -> PersonInput {
    let given = FieldInput { state: "known".into(), value: name.into() };
    PersonInput { identity: "self_declared".into(), given, ..PersonInput::default() }
}

/// Everything that a desk shows without naming a record.
fn all_pages(desk: &Desk) -> String {
    let cases = desk.cases(&CaseFilter { closed: true, ..CaseFilter::default() }).unwrap();
    let found: Vec<_> = ["sealed", "seald", "open"].iter().map(|text| desk.search(text).unwrap()).collect();
    serde_json::to_string(&(
        desk.home().unwrap(),
        cases,
        found,
        desk.referrals(true).unwrap(),
        desk.referrals(false).unwrap(),
        desk.tasks(&TaskFilter::default()).unwrap(),
        desk.office_entries().unwrap(),
    ))
    .unwrap()
}

fn is_absent<T: std::fmt::Debug>(result: Result<T, DeskError>) -> bool {
    matches!(result, Err(DeskError::NotFound))
}

#[test]
fn a_case_for_others_alone_does_not_exist() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _guard = runtime.enter();
    let mut office = TestNode::new(&new_node("Office", OfficeKind::AdviceOffice, vec![Role::Office], vec![]));
    office.start();
    let admin = office.desk("admin");
    let colleague = StaffInput {
        sign_in: "colleague".into(),
        name: "Colleague".into(),
        roles: vec!["caseworker".into()],
        password: PASSWORD.into(),
        unlocks: false,
    };
    admin.add_staff(&colleague, casemesh_crypto::passphrase::Cost::FLOOR).unwrap();
    let (worker, colleague) = (office.desk("worker"), office.desk("colleague"));
    let open = worker.register_person(named("Open")).unwrap();
    worker.open_case(vec![open], CaseInput { summary: "seen by all".into(), ..CaseInput::default() }).unwrap();
    let before = all_pages(&colleague);

    let person = worker.register_person(named("Sealed")).unwrap();
    let sealed =
        CaseInput { sealed: true, next_action: "Call".into(), next_due: "2026-01-01".into(), ..CaseInput::default() };
    let case = worker.open_case(vec![person], sealed).unwrap();
    assert_eq!(all_pages(&colleague), before);
    assert_ne!(all_pages(&worker), before);

    // By its id, the case is as absent as one that never was; so is the person.
    for id in [case, RecordId::new([9; 16])] {
        assert!(is_absent(colleague.case(id)));
        assert!(is_absent(colleague.add_action(id, &ActionInput { text: "x".into(), ..ActionInput::default() })));
        let money = PaymentInput {
            kind: "claimed".into(),
            amount: "1".into(),
            currency: "ZAR".into(),
            ..PaymentInput::default()
        };
        assert!(is_absent(colleague.add_payment(id, money)));
        assert!(is_absent(colleague.close_case(id, "resolved")));
        assert!(is_absent(colleague.set_case_state(id, CaseState::OnHold)));
        assert!(is_absent(colleague.assign_case(id, colleague.staff())));
        let task = TaskInput { title: "x".into(), due: "2026-01-01".into(), ..TaskInput::default() };
        assert!(is_absent(colleague.add_task(id, &task)));
        assert!(is_absent(colleague.settle_task(id, TaskState::Done)));
    }
    let (tasks, _) = worker.tasks(&TaskFilter::default()).unwrap();
    assert!(is_absent(colleague.settle_task(tasks[0].id, TaskState::Done)));
    assert!(is_absent(colleague.add_person_entry(person, &ActionInput { text: "x".into(), ..ActionInput::default() })));
    assert!(is_absent(colleague.person(person)));
    assert!(is_absent(colleague.change_person(person, 1, named("x"))));
    assert!(is_absent(colleague.open_case(vec![person], CaseInput::default())));
    assert!(is_absent(colleague.record_consent(person, ConsentInput::default())));
    assert!(worker.case(case).is_ok() && worker.person(person).is_ok());

    // An account that has ended has no desk any more, at once.
    let view = admin.staff_list().unwrap().into_iter().find(|member| member.sign_in == "colleague").unwrap();
    let token = office.node().sign_in("colleague", PASSWORD, "test").unwrap();
    admin.end_staff(view.id).unwrap();
    office.node().end_sessions(view.id);
    assert!(office.node().desk(&token).is_none());
    assert!(office.node().sign_in("colleague", PASSWORD, "test").is_err());
}
