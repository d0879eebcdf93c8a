//! Who gets in, and to what. Non-interference: what a colleague sees is byte for byte the same whether or not there is
//! a case that is for others alone.

use crate::harness::{PASSWORD, TestNode, hire, new_node, resolved, standing};
use casemesh_crypto::factor::FactorSecret;
use casemesh_node::clock::Clock;
use casemesh_node::node::{Knock, Node, SignInError};
use casemesh_node::office::{
    ActionInput, Approval, CaseFilter, CaseInput, ConsentInput, DecisionInput, Desk, DeskError, FieldInput, FigureView,
    GLASS_MINUTES, GlassInput, PaymentInput, PersonInput, RolesInput, SettingsInput, StaffInput, TaskFilter, TaskInput,
};
use casemesh_node::records::{CaseState, StaffRole, TaskState};
use casemesh_node::session::{Origin, PinRefusal};
use casemesh_protocol::directory::{OfficeKind, Role};
use casemesh_protocol::id::RecordId;
use casemesh_protocol::time::Period;

fn named(name: &str) -> PersonInput {
    let given = FieldInput { state: "known".into(), value: name.into() };
    PersonInput { identity: "self_declared".into(), given, ..PersonInput::default() }
}

fn this_year() -> Period {
    Period::year(Clock::system().now().day().year()).unwrap()
}

/// The figures, without the note of who looked at them.
fn figures(desk: &Desk) -> Vec<FigureView> {
    desk.figures(this_year()).unwrap().figures
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
        (figures(desk), desk.grants().unwrap(), desk.register(None).unwrap(), desk.requests().unwrap()),
        (desk.duplicates().unwrap(), desk.find_links().ok(), desk.review(this_year()).ok()),
    ))
    .unwrap()
}

fn is_absent<T: std::fmt::Debug>(result: Result<T, DeskError>) -> bool {
    matches!(result, Err(DeskError::NotFound))
}

/// An office under a clock that the test moves, with a colleague who is a caseworker.
fn office_at(clock: &Clock) -> TestNode {
    let mut office = TestNode::new(&new_node("Office", OfficeKind::AdviceOffice, vec![Role::Office], vec![]));
    office.start_at(clock.clone());
    hire(office.node(), &office.desk("admin"), &office.desk("worker"), "colleague", "caseworker", false);
    office
}

fn clock() -> Clock {
    // The office's keys for receiving are drawn from the computer's clock.
    Clock::set_to(Clock::system().now())
}

/// Sets a second factor up: its secret, and its printed codes.
fn set_factor(desk: &Desk, clock: &Clock) -> (FactorSecret, Vec<String>) {
    let new = desk.new_factor();
    assert!(desk.set_factor(&new.secret, "000000", PASSWORD).is_err());
    assert!(!desk.account().has_factor);
    let secret = FactorSecret::from_base32(&new.secret).unwrap();
    let codes = desk.set_factor(&new.secret, &secret.code(clock.now().ms() / 1000), PASSWORD).unwrap();
    assert_eq!((codes.len(), desk.account().spare_codes), (10, 10));
    (secret, codes)
}

fn problem<T: std::fmt::Debug>(result: Result<T, DeskError>) -> String {
    match result {
        Err(DeskError::Invalid(problems)) => problems[0].problem.clone(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_second_factor_is_asked_for_and_each_code_is_good_once() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _guard = runtime.enter();
    let clock = clock();
    let mut office = office_at(&clock);
    let colleague = office.desk("colleague");
    let (secret, printed) = set_factor(&colleague, &clock);
    let knock = |code: &str| Knock { code: code.into(), ..Knock::new("colleague", PASSWORD, "test") };
    let code = |clock: &Clock| secret.code(clock.now().ms() / 1000);
    let node = office.node().clone();
    assert!(matches!(node.sign_in(&knock("")), Err(SignInError::CodeNeeded)));
    // The code that set it up was used by that.
    assert!(matches!(node.sign_in(&knock(&code(&clock))), Err(SignInError::CodeWrong)));
    clock.advance_ms(31_000);
    assert!(node.sign_in(&knock(&code(&clock))).is_ok());
    assert!(matches!(node.sign_in(&knock(&code(&clock))), Err(SignInError::CodeWrong)));
    assert!(node.sign_in(&knock(&printed[0])).is_ok());
    assert!(matches!(node.sign_in(&knock(&printed[0])), Err(SignInError::CodeWrong)));
    // The right code does not help a wrong password, and a locked office stays locked without the code.
    clock.advance_ms(60_000);
    let wrong = Knock { password: "another long password".into(), ..knock(&code(&clock)) };
    assert!(matches!(node.sign_in(&wrong), Err(SignInError::Wrong)));
    let (worker_secret, _) = set_factor(&office.desk("worker"), &clock);
    drop((colleague, node));
    office.stop();
    let node = Node::start(office.folder.path(), clock.clone()).unwrap();
    clock.advance_ms(16 * 60_000);
    let knock = |code: &str| Knock { code: code.into(), ..Knock::new("worker", PASSWORD, "test") };
    assert!(matches!(node.sign_in(&knock("")), Err(SignInError::CodeNeeded)));
    assert!(node.office().is_none());
    assert!(node.sign_in(&knock(&worker_secret.code(clock.now().ms() / 1000))).is_ok());
    assert!(node.office().is_some());
    node.stop();
}

#[test]
fn a_password_is_changed_by_who_knows_it_also_where_it_opens_the_office() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _guard = runtime.enter();
    let clock = clock();
    let mut office = office_at(&clock);
    let cost = casemesh_crypto::passphrase::Cost::FLOOR;
    let new = "a lamp in the window";
    for name in ["worker", "colleague"] {
        let desk = office.desk(name);
        assert_eq!(problem(desk.change_password("not it at all, no", new, cost)), "password-wrong");
        assert_eq!(problem(desk.change_password(PASSWORD, "short", cost)), "password-short");
        desk.change_password(PASSWORD, new, cost).unwrap();
        assert!(office.node().sign_in(&Knock::new(name, PASSWORD, "test")).is_err());
        assert!(office.node().sign_in(&Knock::new(name, new, "other")).is_ok());
    }
    office.stop();
    let node = Node::start(office.folder.path(), clock.clone()).unwrap();
    assert!(node.sign_in(&Knock::new("worker", PASSWORD, "test")).is_err());
    assert!(node.sign_in(&Knock::new("worker", new, "other")).is_ok());
    node.stop();
}

#[test]
fn an_office_can_ask_its_administrators_for_a_second_factor() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _guard = runtime.enter();
    let clock = clock();
    let mut new = new_node("Office", OfficeKind::AdviceOffice, vec![Role::Office], vec![]);
    new.factor_to_administer = true;
    let mut office = TestNode::new(&new);
    office.start_at(clock.clone());
    let admin = office.desk("admin");
    assert!(matches!(admin.staff_list(), Err(DeskError::FactorNeeded)));
    set_factor(&admin, &clock);
    assert_eq!(admin.staff_list().unwrap().len(), 2);
}

#[test]
fn a_pin_hands_the_computer_over_and_takes_it_back() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _guard = runtime.enter();
    let clock = clock();
    let office = office_at(&clock);
    let node = office.node();
    let here = Origin { source: "pages", label: "Browser".into(), browser: "this one".into(), scopes: Vec::new() };
    let knock = |name: &str| Knock { origin: here.clone(), ..Knock::new(name, PASSWORD, "pages") };
    let token = node.sign_in(&knock("worker")).unwrap();
    let desk = node.desk(&token).unwrap();
    assert_eq!(problem(desk.set_pin("194736", "not it at all, no")), "password-wrong");
    assert_eq!(problem(desk.set_pin("123456", PASSWORD)), "pin-common");
    desk.set_pin("194736", PASSWORD).unwrap();
    assert!(node.lock_session(&token));
    assert!(node.desk(&token).is_none());
    // The colleague works meanwhile; without a PIN there is no coming back.
    let theirs = node.sign_in(&knock("colleague")).unwrap();
    assert!(!node.lock_session(&theirs));
    assert!(node.desk(&theirs).is_none());
    let waiting = node.locked_sessions("this one");
    assert_eq!(waiting.len(), 1);
    assert_eq!(node.unlock_session("this one", waiting[0].0, "000000"), Err(PinRefusal::Wrong));
    let back = node.unlock_session("this one", waiting[0].0, "194736").unwrap();
    assert!(node.desk(&back).is_some() && node.desk(&token).is_none());
    // Whoever ends a session ends it now.
    let other = node.sign_in(&knock("worker")).unwrap();
    let sessions = node.sessions_of(desk.staff(), &back);
    assert!(sessions.len() >= 2);
    let it = sessions.iter().find(|session| !session.is_this).unwrap();
    node.end_session(desk.staff(), it.id);
    node.end_other_sessions(desk.staff(), &back);
    assert!(node.desk(&other).is_none() && node.desk(&back).is_some());
}

#[test]
fn an_account_needs_a_second_person_and_ends_by_itself() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _guard = runtime.enter();
    let clock = clock();
    let office = office_at(&clock);
    let (admin, worker) = (office.desk("admin"), office.desk("worker"));
    let intern = StaffInput {
        sign_in: "intern".into(),
        name: "Intern".into(),
        roles: vec!["volunteer".into()],
        password: PASSWORD.into(),
        ends_on: clock.now().day().plus_days(1).to_string(),
        ends_at: "17:00".into(),
        ..StaffInput::default()
    };
    let cost = casemesh_crypto::passphrase::Cost::FLOOR;
    let past = StaffInput { ends_on: "2020-01-01".into(), ..intern.clone() };
    assert_eq!(problem(admin.add_staff(&past, cost)), "in-the-past");
    let hour = StaffInput { ends_at: "5 pm".into(), ..intern.clone() };
    assert_eq!(problem(admin.add_staff(&hour, cost)), "not-an-hour");
    let staff = admin.add_staff(&intern, cost).unwrap();
    assert!(office.node().sign_in(&Knock::new("intern", PASSWORD, "test")).is_err());
    // Nobody approves their own, and who may not approve does not know of it.
    let own: Vec<_> = admin.requests().unwrap().into_iter().filter(|request| request.decided_by.is_none()).collect();
    assert!(own[0].mine && !own[0].may_decide);
    let approve = DecisionInput { approved: true, ..DecisionInput::default() };
    assert_eq!(problem(admin.decide(own[0].id, &approve)), "own-request");
    assert!(is_absent(office.desk("colleague").decide(own[0].id, &approve)));
    assert_eq!(problem(worker.decide(own[0].id, &DecisionInput::default())), "required");
    worker.decide(own[0].id, &approve).unwrap();
    assert!(worker.decide(own[0].id, &approve).is_err());
    let token = office.node().sign_in(&Knock::new("intern", PASSWORD, "test")).unwrap();
    assert!(office.node().desk(&token).is_some());
    // More power asks again, and counts only then.
    let more = RolesInput { roles: vec!["supervisor".into()], ..RolesInput::default() };
    admin.change_roles(staff, &more).unwrap();
    assert_eq!(problem(admin.change_roles(staff, &more)), "asked-before");
    assert!(!office.desk("intern").has_role(StaffRole::Supervisor));
    let refused = DecisionInput { approved: false, comment: "An intern does not lead".into() };
    worker.decide(worker.home().unwrap().requests[0].id, &refused).unwrap();
    assert!(!office.desk("intern").has_role(StaffRole::Supervisor));
    // At five in the afternoon of the next day the account is over, whatever session lives.
    let token = office.node().sign_in(&Knock::new("intern", PASSWORD, "test")).unwrap();
    let five = clock.now().day().plus_days(1).start().plus_ms(17 * 3_600_000);
    clock.advance_ms(five.ms() - clock.now().ms());
    assert!(office.node().desk(&token).is_none());
    assert!(office.node().sign_in(&Knock::new("intern", PASSWORD, "test")).is_err());
}

#[test]
fn emergency_access_is_short_told_and_never_passes_the_conflict_list() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _guard = runtime.enter();
    let clock = clock();
    let office = office_at(&clock);
    let (worker, colleague) = (office.desk("worker"), office.desk("colleague"));
    let person = worker.register_person(named("Sealed")).unwrap();
    let case = worker.open_case(vec![person], CaseInput { sealed: true, ..CaseInput::default() }).unwrap();
    let number = worker.case(case).unwrap().summary.number;
    let medical = ActionInput { text: "The clinic's letter".into(), tier: "medical".into(), ..ActionInput::default() };
    worker.add_action(case, &medical).unwrap();
    let glass =
        |code: &str| GlassInput { number: number.clone(), reason: "Her brother called".into(), code: code.into() };
    assert!(matches!(colleague.break_glass(&glass("123456")), Err(DeskError::FactorNeeded)));
    let (_, codes) = set_factor(&colleague, &clock);
    assert_eq!(problem(colleague.set_factor("", "", PASSWORD)), "factor-in-use");
    for _ in 0..5 {
        assert_eq!(problem(colleague.break_glass(&glass("123456"))), "code-wrong");
    }
    // Whoever guesses waits, with the right code too.
    assert_eq!(problem(colleague.break_glass(&glass(&codes[9]))), "code-wait");
    clock.advance_ms(15 * 60_000);
    let nowhere = GlassInput { number: "TST-2026-9999".into(), ..glass(&codes[0]) };
    let answer = format!("{:?}", colleague.break_glass(&nowhere));
    assert!(is_absent(colleague.case(case)));

    assert_eq!(colleague.break_glass(&glass(&codes[1])).unwrap(), case);
    let view = colleague.case(case).unwrap();
    assert!(view.emergency_until.is_some() && view.sees_tiers && !view.may_assign);
    assert_eq!(view.actions.len(), 1);
    // It gives nothing on: not to oneself, not to others.
    assert!(matches!(colleague.assign_case(case, colleague.staff()), Err(DeskError::Denied(_))));
    assert!(matches!(colleague.share_case(case, vec![colleague.staff()]), Err(DeskError::Denied(_))));
    // Who is responsible finds it as due work, looks, and says what they found; the one who took it cannot.
    let mine = worker.glasses().unwrap();
    assert!(mine[0].may_review && mine[0].reason == "Her brother called");
    assert!(!colleague.glasses().unwrap().iter().any(|glass| glass.may_review));
    assert!(worker.home().unwrap().due.iter().any(|task| task.case == Some(case)));
    assert_eq!(worker.home().unwrap().glasses.len(), 1);
    let task = worker.case(case).unwrap().tasks[0].id;
    assert_eq!(problem(colleague.settle_task(task, TaskState::Done)), "review-not-now");
    worker.review_glass(mine[0].id, "It was right").unwrap();
    assert!(worker.review_glass(mine[0].id, "Twice").is_err());
    assert!(!worker.home().unwrap().due.iter().any(|task| task.case == Some(case)));
    // An hour later it is over, and a restart does not bring it back.
    clock.advance_ms(GLASS_MINUTES * 60_000);
    assert!(is_absent(colleague.case(case)));

    // On the conflict list, not even an emergency opens it, and the answer is that of a case that is not there.
    worker.bar(person, colleague.staff()).unwrap();
    let barred = format!("{:?}", colleague.break_glass(&glass(&codes[2])));
    assert_eq!(barred, answer);
    assert!(is_absent(colleague.case(case)) && is_absent(colleague.person(person)));
}

#[test]
fn the_conflict_list_hides_person_and_cases_until_a_second_person_lifts_it() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _guard = runtime.enter();
    let clock = clock();
    let office = office_at(&clock);
    let (worker, colleague, admin) = (office.desk("worker"), office.desk("colleague"), office.desk("admin"));
    let before = all_pages(&colleague);
    let person = worker.register_person(named("Barred")).unwrap();
    worker.bar(person, colleague.staff()).unwrap();
    let case = worker.open_case(vec![person], CaseInput::default()).unwrap();
    worker.add_action(case, &ActionInput { text: "x".into(), ..ActionInput::default() }).unwrap();
    // The office is a small one: everybody would see the case.
    assert_eq!(all_pages(&colleague), before);
    assert!(is_absent(colleague.case(case)) && is_absent(colleague.person(person)));
    // Not even the owner's chair opens it.
    assert_eq!(problem(worker.assign_case(case, colleague.staff())), "owner-does-not-see");
    // Nobody lifts it alone.
    assert_eq!(problem(worker.lift_bar(person, colleague.staff())), "no-second-person");
    hire(office.node(), &admin, &worker, "second", "supervisor", false);
    worker.lift_bar(person, colleague.staff()).unwrap();
    assert!(is_absent(colleague.case(case)));
    let second = office.desk("second");
    let request = second.home().unwrap().requests[0].id;
    second.decide(request, &DecisionInput { approved: true, ..DecisionInput::default() }).unwrap();
    assert!(colleague.case(case).is_ok() && colleague.person(person).is_ok());
}

#[test]
fn confidential_entries_are_for_those_who_work_on_the_case() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _guard = runtime.enter();
    let clock = clock();
    let office = office_at(&clock);
    let (worker, colleague) = (office.desk("worker"), office.desk("colleague"));
    let person = worker.register_person(named("Client")).unwrap();
    let case = worker.open_case(vec![person], CaseInput::default()).unwrap();
    let seen = |desk: &Desk| serde_json::to_string(&desk.case(case).unwrap().actions).unwrap();
    let before = seen(&colleague);
    let secret = ActionInput { text: "What she told".into(), tier: "privileged".into(), ..ActionInput::default() };
    let entry = worker.add_action(case, &secret).unwrap();
    assert_eq!(seen(&colleague), before);
    assert_ne!(seen(&worker), before);
    // It can be neither written nor followed by who could not read it.
    assert_eq!(problem(colleague.add_action(case, &secret)), "tier-not-yours");
    let follows = ActionInput { text: "x".into(), follows: entry.to_string(), ..ActionInput::default() };
    assert!(is_absent(colleague.add_action(case, &follows)));
    // Nobody lets themself in: neither as a helper nor as the owner.
    assert_eq!(problem(colleague.share_case(case, vec![colleague.staff()])), "not-by-oneself");
    assert_eq!(problem(colleague.assign_case(case, colleague.staff())), "not-by-oneself");
    // What takes up a confidential entry is not for more eyes than that: a translation, a correction left plain.
    let translation =
        ActionInput { text: "What she told, in English".into(), follows: entry.to_string(), ..ActionInput::default() };
    worker.add_action(case, &translation).unwrap();
    assert_eq!(seen(&colleague), before);
    worker.share_case(case, vec![colleague.staff()]).unwrap();
    assert_ne!(seen(&colleague), before);
    let party = ActionInput { form: "party".into(), tier: "medical".into(), ..ActionInput::default() };
    assert!(
        matches!(worker.add_action(case, &party), Err(DeskError::Invalid(p)) if p.iter().any(|p| p.problem == "tier-not-here"))
    );
}

#[test]
fn a_supervisor_approves_closures_and_plans_where_the_office_wants_it() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _guard = runtime.enter();
    let clock = clock();
    let office = office_at(&clock);
    let (worker, colleague, admin) = (office.desk("worker"), office.desk("colleague"), office.desk("admin"));
    let settings = SettingsInput {
        name: "Office".into(),
        small_office: true,
        currency: "ZAR".into(),
        approve_closure: true,
        ..SettingsInput::default()
    };
    admin.change_settings(&settings).unwrap();
    let person = colleague.register_person(named("Client")).unwrap();
    let case = colleague.open_case(vec![person], CaseInput::default()).unwrap();
    let goal = ActionInput { text: "A safe room by May".into(), ..ActionInput::default() };
    let entry = colleague.add_action(case, &goal).unwrap();
    colleague.ask_approval(case, entry).unwrap();
    let approval = |desk: &Desk| desk.case(case).unwrap().actions[0].approval;
    assert_eq!(approval(&colleague), Some(Approval::Waiting));
    colleague.close_case(case, &resolved()).unwrap();
    assert!(colleague.case(case).unwrap().closed.is_none());
    let waiting = worker.home().unwrap().requests;
    assert_eq!(waiting.len(), 2);
    for request in waiting {
        worker.decide(request.id, &DecisionInput { approved: true, ..DecisionInput::default() }).unwrap();
    }
    assert_eq!(approval(&colleague), Some(Approval::Approved));
    assert!(colleague.case(case).unwrap().closed.is_some());
}

#[test]
fn a_case_for_others_alone_does_not_exist() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _guard = runtime.enter();
    let mut office = TestNode::new(&new_node("Office", OfficeKind::AdviceOffice, vec![Role::Office], vec![]));
    office.start();
    let admin = office.desk("admin");
    let worker = office.desk("worker");
    hire(office.node(), &admin, &worker, "colleague", "caseworker", false);
    let colleague = office.desk("colleague");
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
        assert!(is_absent(colleague.close_case(id, &resolved())));
        assert!(is_absent(colleague.set_case_state(id, &standing(CaseState::OnHold))));
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
    let token = office.node().sign_in(&Knock::new("colleague", PASSWORD, "test")).unwrap();
    admin.end_staff(view.id).unwrap();
    office.node().end_sessions(view.id);
    assert!(office.node().desk(&token).is_none());
    assert!(office.node().sign_in(&Knock::new("colleague", PASSWORD, "test")).is_err());
}

#[test]
fn a_first_password_is_changed_and_a_forgotten_one_is_reset_by_two() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _guard = runtime.enter();
    let clock = clock();
    let mut office = office_at(&clock);
    let (admin, worker) = (office.desk("admin"), office.desk("worker"));
    let cost = casemesh_crypto::passphrase::Cost::FLOOR;
    let first = "a lantern on the way home";
    let new = StaffInput {
        sign_in: "nomsa".into(),
        name: "Nomsa".into(),
        roles: vec!["caseworker".into()],
        password: first.into(),
        unlocks: true,
        ..StaffInput::default()
    };
    let nomsa = admin.add_staff(&new, cost).unwrap();
    let opens = |office: &TestNode, password: &str| office.node().sign_in(&Knock::new("nomsa", password, "test")).ok();
    let waiting = |desk: &Desk| desk.requests().unwrap().into_iter().find(|request| request.may_decide);
    let approve = DecisionInput { approved: true, ..DecisionInput::default() };
    // Until it is approved there is no way to the office key, not even for a locked node.
    assert!(!admin.staff_list().unwrap().iter().any(|member| member.id == nomsa && member.unlocks));
    assert!(opens(&office, first).is_none());
    worker.decide(waiting(&worker).unwrap().id, &approve).unwrap();
    let token = opens(&office, first).unwrap();
    let desk = office.node().desk(&token).unwrap();
    assert!(desk.must_change_password());
    assert_eq!(problem(desk.change_password(first, first, cost)), "password-same");
    desk.change_password(first, PASSWORD, cost).unwrap();
    assert!(!desk.must_change_password() && opens(&office, first).is_none());
    // She forgot it: the administrator thinks of another, and nothing happens before the supervisor approves.
    let second = "four grey geese in a row";
    assert!(matches!(worker.reset_password(nomsa, second, cost), Err(DeskError::Denied(_))));
    assert_eq!(problem(admin.reset_password(nomsa, "short", cost)), "password-short");
    assert!(admin.reset_password(nomsa, second, cost).unwrap(), "it waits");
    assert_eq!(problem(admin.reset_password(nomsa, "another one that is long", cost)), "asked-before");
    assert!(opens(&office, second).is_none() && office.node().desk(&token).is_some());
    clock.advance_ms(1_000);
    worker.decide(waiting(&worker).unwrap().id, &approve).unwrap();
    assert!(office.node().desk(&token).is_none(), "her sessions ended");
    assert!(opens(&office, PASSWORD).is_none());
    let token = opens(&office, second).unwrap();
    assert!(office.node().desk(&token).unwrap().must_change_password());
    // It opens the locked office, too.
    office.stop();
    office.start();
    assert!(opens(&office, second).is_some());
}

#[test]
fn who_approves_is_ended_or_reset_only_with_a_third_person() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _guard = runtime.enter();
    let office = office_at(&clock());
    let (admin, worker) = (office.desk("admin"), office.desk("worker"));
    let second = hire(office.node(), &admin, &worker, "second", "administrator", false);
    let lead = office.desk("second");
    let waiting = |desk: &Desk| desk.requests().unwrap().into_iter().find(|request| request.may_decide);
    assert!(admin.end_staff(second).unwrap(), "it waits");
    assert!(waiting(&lead).is_none(), "nobody decides about themselves");
    let mine = lead.requests().unwrap().into_iter().find(|request| request.decided_by.is_none()).unwrap();
    let approve = DecisionInput { approved: true, ..DecisionInput::default() };
    assert_eq!(problem(lead.decide(mine.id, &approve)), "own-request");
    assert!(office.node().desk(&office.node().sign_in(&Knock::new("second", PASSWORD, "test")).unwrap()).is_some());
    worker.decide(waiting(&worker).unwrap().id, &approve).unwrap();
    assert!(office.node().sign_in(&Knock::new("second", PASSWORD, "test")).is_err());
    // A caseworker approves nothing: her account ends at once, and her second factor is taken away at once.
    let colleague = office.desk("colleague").staff();
    assert!(!admin.reset_factor(colleague).unwrap());
    assert!(!admin.end_staff(colleague).unwrap());
    // Where nobody is left to ask, it is done at once, and stands in the log.
    assert!(!admin.reset_factor(worker.staff()).unwrap());
}

#[test]
fn those_of_a_team_see_each_others_cases_and_its_supervisor_leads_it_alone() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _guard = runtime.enter();
    let mut new = new_node("Office", OfficeKind::AdviceOffice, vec![Role::Office], vec![]);
    new.small_office = false;
    let mut office = TestNode::new(&new);
    office.start();
    let (admin, worker) = (office.desk("admin"), office.desk("worker"));
    for (name, role) in
        [("north", "caseworker"), ("mate", "caseworker"), ("south", "caseworker"), ("head", "supervisor")]
    {
        hire(office.node(), &admin, &worker, name, role, false);
    }
    let place = |name: &str, team: &str| {
        assert!(admin.change_team(office.desk(name).staff(), team).unwrap());
        let open = worker.requests().unwrap().into_iter().find(|request| request.may_decide).unwrap();
        worker.decide(open.id, &DecisionInput { approved: true, ..DecisionInput::default() }).unwrap();
    };
    let case = |name: &str, sealed: bool| {
        let desk = office.desk(name);
        let person = desk.register_person(named(name)).unwrap();
        desk.open_case(vec![person], CaseInput { sealed, ..CaseInput::default() }).unwrap()
    };
    let (of_north, of_south, alone) = (case("north", false), case("south", false), case("north", true));
    let sees = |name: &str, case: RecordId| office.desk(name).case(case).is_ok();
    assert!(!sees("mate", of_north) && sees("head", of_north) && sees("head", of_south));
    for (name, team) in [("north", "North"), ("mate", "North"), ("south", "South"), ("head", "North")] {
        place(name, team);
    }
    assert!(sees("mate", of_north) && !sees("mate", of_south) && !sees("mate", alone));
    assert!(sees("head", of_north) && !sees("head", of_south) && !sees("head", alone));
    assert!(sees("worker", of_south), "who is in no team leads the whole office");
    // What counts, lists and finds follows.
    let head = office.desk("head");
    let (cases, total) = head.cases(&CaseFilter::default()).unwrap();
    assert_eq!((cases[0].id, total), (of_north, 1));
    office.desk("mate").add_action(of_north, &ActionInput { text: "Helped".into(), ..ActionInput::default() }).unwrap();
    // Out of the team, it is over at once.
    place("mate", "");
    assert!(!sees("mate", of_north));
    // Nobody puts themself anywhere.
    assert_eq!(problem(admin.change_team(admin.staff(), "North")), "own-account");
}
