//! The casework of a day: forms, what follows from them, corrections, tasks, handing over.

use crate::harness::{TestNode, eventually, hire, new_node, resolved, standing};
use casemesh_node::forms::About;
use casemesh_node::office::{
    ActionInput, CaseChange, CaseFilter, CaseInput, ClosureInput, CodeView, ConsentInput, Desk, DeskError,
    DocumentInput, FieldInput, GrantInput, HistoryOf, LinkInput, LogFilter, LogRow, MemberInput, PaymentInput,
    PersonInput, RegisterInput, SettingsInput, StandingInput, TaskChange, TaskFilter, TaskInput,
};
use casemesh_node::records::{CaseState, TaskKind, TaskState, TaskTitle};
use casemesh_protocol::directory::{OfficeKind, Role};
use casemesh_protocol::id::RecordId;
use std::collections::BTreeMap;

pub(crate) fn answers(pairs: &[(&str, &str)]) -> BTreeMap<String, FieldInput> {
    let known = |value: &str| FieldInput { state: String::new(), value: value.into() };
    pairs.iter().map(|(field, value)| ((*field).to_owned(), known(value))).collect()
}

pub(crate) fn filled(form: &str, pairs: &[(&str, &str)]) -> ActionInput {
    ActionInput { form: form.into(), answers: answers(pairs), ..ActionInput::default() }
}

fn person(desk: &Desk, name: &str) -> RecordId {
    let given = FieldInput { state: "known".into(), value: name.into() };
    desk.register_person(PersonInput { identity: "self_declared".into(), given, ..PersonInput::default() }).unwrap()
}

fn problems<T: std::fmt::Debug>(result: Result<T, DeskError>) -> Vec<(String, String)> {
    match result {
        Err(DeskError::Invalid(problems)) => problems.into_iter().map(|p| (p.field, p.problem)).collect(),
        other => panic!("{other:?}"),
    }
}

fn office() -> TestNode {
    let mut office = TestNode::new(&new_node("Office", OfficeKind::Shelter, vec![Role::Office], vec![]));
    office.start();
    office
}

fn colleague(office: &TestNode, name: &str) -> Desk {
    hire(office.node(), &office.desk("admin"), &office.desk("worker"), name, "caseworker", false);
    office.desk(name)
}

#[test]
fn a_form_is_checked_kept_corrected_and_leads_to_tasks() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _guard = runtime.enter();
    let office = office();
    let desk = office.desk("worker");
    let today = casemesh_node::clock::Clock::system().now().day();
    let client = person(&desk, "Nomvula");
    let case = desk.open_case(vec![client], CaseInput::default()).unwrap();

    // Everything that is wrong is said at once, by field; nothing is written.
    let wrong = filled("assessment", &[("score", "11"), ("review_on", "soon"), ("colour", "red")]);
    let mut found = problems(desk.add_action(case, &wrong));
    found.sort();
    let pair = |field: &str, problem: &str| (field.to_owned(), problem.to_owned());
    assert_eq!(
        found,
        [
            pair("assessment_area", "required"),
            pair("colour", "no-such-field"),
            pair("review_on", "not-a-day"),
            pair("score", "not-in-range")
        ]
    );
    assert_eq!(
        problems(desk.add_action(case, &filled("activity", &[]))),
        [pair("form", "unknown-value"), pair("text", "required")]
    );
    assert!(desk.case(case).unwrap().actions.is_empty());

    // A stay that ended a week ago, entered today from paper: it leads to four follow-ups.
    let left = today.plus_days(-7);
    let paper = ActionInput {
        on: left.to_string(),
        ..filled("stay_end", &[("left_on", &left.to_string()), ("stay_end_reason", "goal_reached")])
    };
    let entry = desk.add_action(case, &paper).unwrap();
    let view = desk.case(case).unwrap();
    assert_eq!((view.actions[0].days_late, view.actions[0].form.as_deref()), (7, Some("stay_end")));
    let due: Vec<_> = view.tasks.iter().map(|task| (task.due, task.kind, task.title.clone())).collect();
    let follow_up = |days: i32| (left.plus_days(days), TaskKind::FollowUp, TaskTitle::Form("stay_end".into()));
    assert_eq!(due, [follow_up(30), follow_up(91), follow_up(182), follow_up(365)]);

    // A correction stands beside what it corrects, and puts no task down twice.
    let corrected = ActionInput {
        corrects: entry.to_string(),
        ..filled(
            "stay_end",
            &[("left_on", &left.to_string()), ("stay_end_reason", "family"), ("went_to", "Her sister")],
        )
    };
    let later = desk.add_action(case, &corrected).unwrap();
    let view = desk.case(case).unwrap();
    assert_eq!((view.actions.len(), view.tasks.len()), (2, 4));
    let earlier = view.actions.iter().find(|action| action.id == entry).unwrap();
    assert_eq!(earlier.corrected_by, Some(later));
    // Once; by the same form; and what the earlier day led to is not to be done any more.
    assert!(desk.add_action(case, &corrected).is_err(), "corrected twice");
    let note = ActionInput { text: "x".into(), corrects: later.to_string(), ..ActionInput::default() };
    assert_eq!(problems(desk.add_action(case, &note))[0].1, "other-form");
    let moved = left.plus_days(-10).to_string();
    let again = ActionInput {
        corrects: later.to_string(),
        ..filled("stay_end", &[("left_on", &moved), ("stay_end_reason", "family")])
    };
    desk.add_action(case, &again).unwrap();
    let tasks = desk.case(case).unwrap().tasks;
    assert_eq!((tasks.len(), tasks[0].due), (4, left.plus_days(20)));
    let other = desk.open_case(vec![client], CaseInput::default()).unwrap();
    assert!(matches!(desk.add_action(other, &corrected), Err(DeskError::NotFound)), "an entry of another case");

    // Not knowing is an answer where a field is required.
    let unknown = FieldInput { state: "unknown".into(), value: String::new() };
    let mut service = filled("service", &[]);
    service.answers.insert("service".into(), unknown);
    desk.add_action(case, &service).unwrap();
    let money = filled("service", &[("service", "food"), ("cost", "12.50 usd"), ("quantity", "٣")]);
    desk.add_action(case, &money).unwrap();
    let entry = desk.case(case).unwrap().actions.remove(0);
    let shown: Vec<_> = entry.answers.iter().map(|answer| answer.value.value.clone().unwrap()).collect();
    assert_eq!(shown, ["Food", "3", "USD 12.50"]);
}

#[test]
fn tasks_are_done_once_and_stand_in_the_way_of_closing() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _guard = runtime.enter();
    let office = office();
    let desk = office.desk("worker");
    let case = desk.open_case(vec![person(&desk, "Anna")], CaseInput::default()).unwrap();
    assert_eq!(problems(desk.add_task(case, &TaskInput::default())).len(), 2);
    let task = |title: &str, due: &str| TaskInput { title: title.into(), due: due.into(), ..TaskInput::default() };
    let late = desk.add_task(case, &task("Call the court", "2026-01-01")).unwrap();
    desk.add_task(case, &task("Write", "2099-01-01")).unwrap();
    let home = desk.home().unwrap();
    assert_eq!(home.due.iter().map(|task| (task.id, task.overdue)).collect::<Vec<_>>(), [(late, true)]);
    assert_eq!(
        desk.cases(&CaseFilter::default()).unwrap().0[0].next_action,
        Some(TaskTitle::Words("Call the court".into()))
    );
    assert!(matches!(desk.close_case(case, &resolved()), Err(DeskError::Invalid(p)) if p[0].problem == "task-open"));
    let (tasks, total) = desk.tasks(&TaskFilter { mine: true, page: 0 }).unwrap();
    assert_eq!((tasks.len(), total), (2, 2));
    for task in tasks {
        desk.settle_task(task.id, TaskState::Done).unwrap();
    }
    assert!(desk.settle_task(late, TaskState::Done).is_err(), "once");
    desk.close_case(case, &resolved()).unwrap();
    assert!(desk.set_case_state(case, &standing(CaseState::OnHold)).is_err());
    desk.set_case_state(case, &standing(CaseState::Reopened)).unwrap();
    desk.set_case_state(case, &standing(CaseState::OnHold)).unwrap();
    assert_eq!(desk.case(case).unwrap().summary.state, CaseState::OnHold);
}

#[test]
fn a_conflict_is_shown_only_as_far_as_the_cases_are() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _guard = runtime.enter();
    let office = office();
    let worker = office.desk("worker");
    let colleague = colleague(&office, "colleague");
    let sealed = CaseInput { sealed: true, ..CaseInput::default() };
    let hidden = colleague.open_case(vec![person(&colleague, "Sipho")], sealed).unwrap();
    let adverse = filled("party", &[("party_role", "employer"), ("party_name", "Mohamed Khaled")]);
    colleague.add_action(hidden, &adverse).unwrap();
    let seen = worker.open_case(vec![person(&worker, "Thandi")], CaseInput::default()).unwrap();
    let client = person(&worker, "Muhammad Khalid");

    // Another spelling of a client's name; the other worker's sealed case is not there.
    let case = worker.open_case(vec![person(&worker, "Lerato")], CaseInput::default()).unwrap();
    let party = filled("party", &[("party_role", "respondent"), ("party_name", "Mohammed Khaled")]);
    let entry = worker.add_action(case, &party).unwrap();
    let found = worker.case(case).unwrap().conflicts;
    assert_eq!(found.iter().map(|c| (c.person, c.case)).collect::<Vec<_>>(), [(Some(client), None)]);
    worker.add_action(seen, &adverse).unwrap();
    assert_eq!(worker.case(case).unwrap().conflicts.iter().filter_map(|c| c.case).collect::<Vec<_>>(), [seen]);
    assert_eq!(colleague.case(hidden).unwrap().conflicts.iter().filter_map(|c| c.case).count(), 2);

    // A name that was corrected is not looked for any more.
    let other_name = ActionInput {
        corrects: entry.to_string(),
        ..filled("party", &[("party_role", "respondent"), ("party_name", "Zinhle Zulu")])
    };
    worker.add_action(case, &other_name).unwrap();
    assert!(worker.case(case).unwrap().conflicts.is_empty());
}

#[test]
fn who_leaves_leaves_nothing_behind() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _guard = runtime.enter();
    let office = office();
    let worker = office.desk("worker");
    let third = colleague(&office, "third");
    let colleague = colleague(&office, "colleague");
    let sealed =
        CaseInput { sealed: true, next_action: "Call".into(), next_due: "2026-01-01".into(), ..CaseInput::default() };
    let case = colleague.open_case(vec![person(&colleague, "Sipho")], sealed).unwrap();
    assert!(matches!(worker.case(case), Err(DeskError::NotFound)));
    assert!(worker.home().unwrap().due.is_empty());
    let load = |desk: &Desk| {
        let team = desk.home().unwrap().team;
        team.into_iter().map(|load| (load.name, load.cases, load.overdue)).collect::<Vec<_>>()
    };
    assert!(
        load(&worker).iter().all(|(_, cases, overdue)| (*cases, *overdue) == (0, 0)),
        "a hidden case is not counted"
    );
    assert!(colleague.hand_over(colleague.staff(), worker.staff()).is_err(), "a supervisor does that");
    let shared = worker.open_case(vec![person(&worker, "Anna")], CaseInput::default()).unwrap();
    let to_colleague = |title: &str| TaskInput {
        title: title.into(),
        due: "2026-01-02".into(),
        owner: colleague.staff().to_string(),
        ..TaskInput::default()
    };
    worker.add_task(shared, &to_colleague("Visit")).unwrap();
    worker.share_case(shared, vec![colleague.staff()]).unwrap();
    assert!(colleague.add_task(case, &TaskInput { owner: worker.staff().to_string(), ..to_colleague("x") }).is_err());
    // Not to the one who hands over, while the other still works here: confidential entries would open to whoever wants.
    assert_eq!(problems(worker.hand_over(colleague.staff(), worker.staff()))[0].1, "not-by-oneself");
    // To a third: everything, and the one who hands over sees none of it.
    worker.hand_over(colleague.staff(), third.staff()).unwrap();
    assert!(third.case(case).is_ok());
    assert!(matches!(colleague.case(case), Err(DeskError::NotFound)));
    assert!(matches!(worker.case(case), Err(DeskError::NotFound)));
    assert_eq!(third.home().unwrap().due.len(), 2);
    let helpers: Vec<_> = worker.case(shared).unwrap().assigned.into_iter().map(|(staff, _)| staff).collect();
    assert_eq!(helpers, [third.staff()], "who took over helps where the other did");
    third.assign_case(case, colleague.staff()).unwrap();
    assert!(colleague.case(case).is_ok() && third.case(case).is_err());
    // From one who left, also to the one who hands over: everything but what is for the other alone.
    office.desk("admin").end_staff(third.staff()).unwrap();
    worker.hand_over(third.staff(), worker.staff()).unwrap();
    assert!(matches!(worker.case(case), Err(DeskError::NotFound)));
    assert_eq!(worker.home().unwrap().due.len(), 1, "the task in a shared case");
}

#[test]
fn a_module_that_is_off_shows_nowhere_and_takes_nothing() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _guard = runtime.enter();
    let mut new = new_node("Office", OfficeKind::AdviceOffice, vec![Role::Office], vec![]);
    new.pack = "community_advice".into();
    let mut office = TestNode::new(&new);
    office.start();
    let (desk, admin) = (office.desk("worker"), office.desk("admin"));
    let ids = |desk: &Desk| desk.forms(About::Case).iter().map(|form| form.id.clone()).collect::<Vec<_>>();
    assert!(ids(&desk).contains(&"hearing".to_owned()) && !ids(&desk).contains(&"stay".to_owned()));
    let case = desk.open_case(vec![person(&desk, "Anna")], CaseInput::default()).unwrap();
    let stay = filled("stay", &[("stay_place", "Room 2"), ("stay_kind", "shelter"), ("arrived_on", "2026-01-05")]);
    assert_eq!(problems(desk.add_action(case, &stay))[0], ("form".to_owned(), "unknown-value".to_owned()));
    let modules = |modules: &[&str]| SettingsInput {
        name: "Office".into(),
        small_office: true,
        currency: "ZAR".into(),
        modules: modules.iter().map(|module| (*module).to_owned()).collect(),
        ..SettingsInput::default()
    };
    assert!(admin.change_settings(&modules(&["flying"])).is_err());
    admin.change_settings(&modules(&["shelter"])).unwrap();
    assert!(!ids(&desk).contains(&"hearing".to_owned()));
    let entry = desk.add_action(case, &stay).unwrap();
    admin.change_settings(&modules(&[])).unwrap();
    // What was written stays readable, and can be corrected.
    assert_eq!(desk.case(case).unwrap().actions[0].id, entry);
    desk.add_action(case, &ActionInput { corrects: entry.to_string(), ..stay }).unwrap();
}

#[test]
fn what_colleagues_must_know_stands_on_the_persons_page() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _guard = runtime.enter();
    let office = office();
    let desk = office.desk("worker");
    let client = person(&desk, "Anna");
    desk.add_person_entry(
        client,
        &filled("alert", &[("alert_kind", "safety"), ("alert_text", "Never call after six")]),
    )
    .unwrap();
    let earlier = ActionInput { on: "2026-01-05".into(), ..filled("confirmed", &[("confirmed_what", "contact")]) };
    desk.add_person_entry(client, &earlier).unwrap();
    let view = desk.person(client).unwrap();
    assert_eq!(view.alerts[0].text, "Never call after six");
    let case = desk.open_case(vec![client], CaseInput::default()).unwrap();
    assert_eq!(desk.case(case).unwrap().clients[0].alerts, view.alerts, "wherever her telephone is shown");
    assert_eq!(view.confirmed, [("contact".to_owned(), "2026-01-05".parse().unwrap())]);
    let mistaken = desk.add_person_entry(client, &filled("confirmed", &[("confirmed_what", "contact")])).unwrap();
    let address = filled("confirmed", &[("confirmed_what", "address")]);
    desk.add_person_entry(client, &ActionInput { corrects: mistaken.to_string(), ..address }).unwrap();
    let last = |what: &str| desk.person(client).unwrap().confirmed.into_iter().find(|(known, _)| known == what);
    assert_eq!(last("contact").unwrap().1, "2026-01-05".parse().unwrap(), "the mistaken one does not count");
    assert!(last("address").is_some());
    let with_task = ActionInput {
        next_action: "Call".into(),
        next_due: "2099-01-01".into(),
        ..filled("alert", &[("alert_kind", "other"), ("alert_text", "x")])
    };
    assert_eq!(problems(desk.add_person_entry(client, &with_task))[0].0, "next_action");
    let meeting =
        filled("meeting", &[("subject", "Weekly"), ("decided", "Call the clinic"), ("review_on", "2026-01-05")]);
    desk.add_office_entry(&meeting).unwrap();
    let task = desk.home().unwrap().due.remove(0);
    assert_eq!((task.kind, task.case, task.overdue), (TaskKind::ToDo, None, true));
    desk.settle_task(task.id, TaskState::Done).unwrap();
    assert_eq!(desk.office_entries().unwrap().len(), 1);
}

#[test]
fn a_document_is_kept_sealed_in_versions_and_handed_out_by_the_policy() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _guard = runtime.enter();
    let mut office = office();
    let worker = office.desk("worker");
    let other = colleague(&office, "colleague");
    let case = worker.open_case(vec![person(&worker, "Nomvula")], CaseInput::default()).unwrap();
    let input = |title: &str, tier: &str| DocumentInput {
        title: title.into(),
        tier: tier.into(),
        name: "C:\\photos\\letter.txt".into(),
        ..DocumentInput::default()
    };
    assert_eq!(problems(worker.add_document(case, &input("x", ""), Vec::new()))[0].1, "file-empty");
    let long = vec![0; casemesh_node::office::DOCUMENT_BYTES_MAX + 1];
    assert_eq!(problems(worker.add_document(case, &input("x", ""), long))[0].1, "file-too-long");
    assert_eq!(problems(other.add_document(case, &input("x", "medical"), vec![1]))[0].1, "tier-not-yours");
    let text = b"Dear Nomvula, the eviction is set aside.".repeat(5_000);
    let letter = worker.add_document(case, &input("The court's letter", ""), text.clone()).unwrap();
    let scan = worker.add_document(case, &input("Scan", "medical"), b"%PDF-1.7".to_vec()).unwrap();
    let again = DocumentInput { document: letter.to_string(), ..input("", "") };
    assert_eq!(worker.add_document(case, &again, b"Corrected".to_vec()).unwrap(), letter);
    let out = worker.hand_out(case, letter, 1).unwrap();
    assert_eq!((out.name.as_str(), out.bytes), ("letter.txt", text));
    assert_eq!(worker.hand_out(case, letter, 2).unwrap().bytes, b"Corrected");
    assert!(matches!(worker.hand_out(case, letter, 3), Err(DeskError::NotFound)));
    // A colleague of a small office sees the letter, and not that there is a medical one.
    assert_eq!(other.case(case).unwrap().documents.len(), 1);
    assert!(matches!(other.hand_out(case, scan, 1), Err(DeskError::NotFound)));
    let foreign = worker.open_case(vec![person(&worker, "Thandi")], CaseInput::default()).unwrap();
    assert!(matches!(worker.hand_out(foreign, letter, 1), Err(DeskError::NotFound)));
    let looks = worker.history(HistoryOf::Case(case)).unwrap().looks;
    assert!(looks.iter().any(|look| look.action == "hand_out"));
    // On the disk there is noise; a changed byte is noticed; the rest stays whole over a restart.
    let folder = office.folder.path().join("documents");
    let mut files: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|file| file.unwrap().path()).collect();
    files.sort_by_key(|file| std::fs::metadata(file).unwrap().len());
    assert_eq!(files.len(), 3);
    assert!(files.iter().all(|file| !std::fs::read(file).unwrap().windows(7).any(|seven| seven == b"Nomvula")));
    let mut bytes = std::fs::read(&files[2]).unwrap();
    bytes[70_000] ^= 1;
    std::fs::write(&files[2], bytes).unwrap();
    drop((worker, other));
    office.stop();
    office.start();
    let worker = office.desk("worker");
    assert!(matches!(worker.hand_out(case, letter, 1), Err(DeskError::Vault(_))));
    assert_eq!(worker.hand_out(case, letter, 2).unwrap().bytes, b"Corrected");
}

#[test]
fn a_flag_is_resolved_with_a_reason() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _guard = runtime.enter();
    let office = office();
    let desk = office.desk("worker");
    let case = desk.open_case(vec![person(&desk, "Anna")], CaseInput::default()).unwrap();
    let flag = TaskInput {
        kind: "flag".into(),
        title: "Two dates differ".into(),
        due: "2099-01-01".into(),
        ..TaskInput::default()
    };
    let flag = desk.add_task(case, &flag).unwrap();
    assert_eq!(problems(desk.settle_task(flag, TaskState::Done))[0].1, "flag-needs-reason");
    assert_eq!(problems(desk.resolve_flag(flag, " "))[0].1, "required");
    assert_eq!(problems(desk.close_case(case, &resolved()))[0].1, "task-open");
    desk.resolve_flag(flag, "The summons names the right one").unwrap();
    assert!(desk.resolve_flag(flag, "Again").is_err());
    desk.close_case(case, &resolved()).unwrap();
    let task = TaskInput { title: "Call".into(), due: "2099-01-01".into(), ..TaskInput::default() };
    let other = desk.open_case(vec![person(&desk, "Rosa")], CaseInput::default()).unwrap();
    let task = desk.add_task(other, &task).unwrap();
    assert!(matches!(desk.resolve_flag(task, "x"), Err(DeskError::NotFound)));
}

#[test]
fn cases_that_belong_together_show_each_other_to_who_may_see_both() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _guard = runtime.enter();
    let office = office();
    let desk = office.desk("worker");
    let other = colleague(&office, "colleague");
    let open = |name: &str, sealed: bool| {
        let input = CaseInput { sealed, mediation: !sealed, ..CaseInput::default() };
        desk.open_case(vec![person(&desk, name)], input).unwrap()
    };
    let (one, hidden) = (open("Anna", false), open("Rosa", true));
    let number = desk.case(hidden).unwrap().summary.number;
    desk.link_case(one, &number.to_lowercase(), "adverse_party").unwrap();
    assert_eq!(desk.case(one).unwrap().linked[0].case, hidden);
    assert_eq!(desk.case(hidden).unwrap().linked[0].case, one);
    assert!(desk.case(one).unwrap().mediation);
    assert!(other.case(one).unwrap().linked.is_empty());
    // A number that is not there and one that stays shut are answered alike.
    let answers =
        [number.as_str(), "TST-2026-0000"].map(|number| format!("{:?}", other.link_case(one, number, "other")));
    assert_eq!(answers[0], answers[1]);
}

#[test]
fn a_grant_counts_what_was_done_of_what_was_promised() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _guard = runtime.enter();
    let office = office();
    let desk = office.desk("worker");
    let wrong =
        GrantInput { name: "X".into(), from: "2026-02-01".into(), to: "2026-01-01".into(), ..GrantInput::default() };
    assert_eq!(problems(desk.add_grant(&wrong))[0].1, "ends-before-start");
    let grant = GrantInput {
        name: "Farm dwellers 2026".into(),
        from: "2020-01-01".into(),
        to: "2099-12-31".into(),
        cases: "10".into(),
        entries: "200".into(),
        ..GrantInput::default()
    };
    let grant = desk.add_grant(&grant).unwrap();
    let past =
        GrantInput { name: "Past".into(), from: "2010-01-01".into(), to: "2010-12-31".into(), ..GrantInput::default() };
    let past = desk.add_grant(&past).unwrap();
    let case = desk.open_case(vec![person(&desk, "Anna")], CaseInput::default()).unwrap();
    desk.tag_case(case, vec![grant, grant, past]).unwrap();
    assert_eq!(problems(desk.tag_case(case, vec![case]))[0].1, "no-such-grant");
    let entry = ActionInput { text: "Advice".into(), grant: grant.to_string(), ..ActionInput::default() };
    desk.add_action(case, &entry).unwrap();
    desk.add_action(case, &ActionInput { text: "Not for the grant".into(), ..ActionInput::default() }).unwrap();
    let done: Vec<_> = desk.grants().unwrap().into_iter().map(|g| (g.id, g.cases, g.entries)).collect();
    assert!(done.contains(&(grant, 1, 1)) && done.contains(&(past, 0, 0)), "{done:?}");
}

#[test]
fn the_page_for_the_client_has_her_words_and_nobody_else() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _guard = runtime.enter();
    let office = office();
    let desk = office.desk("worker");
    let (child, father) = (person(&desk, "Lindiwe"), person(&desk, "Themba"));
    let link =
        LinkInput { person: father.to_string(), relation: "parent".into(), is_caregiver: true, ..LinkInput::default() };
    desk.add_link(child, &link).unwrap();
    let case = desk.open_case(vec![child], CaseInput::default()).unwrap();
    desk.add_action(case, &ActionInput { text: "Her aunt Zodwa called".into(), ..ActionInput::default() }).unwrap();
    desk.add_person_entry(child, &filled("client_says", &[("client_words", "I want to go to school")])).unwrap();
    let own = desk.own_view(child).unwrap();
    assert_eq!(own.words[0].1, "I want to go to school");
    let text = serde_json::to_string(&own).unwrap();
    assert!(!text.contains("Zodwa") && !text.contains("Themba"), "{text}");
    eventually("a look is noted", || {
        desk.own_view(child).unwrap().looks.iter().any(|look| look.action == "view_person").then_some(())
    });
    // What she said in confidence stays with who works on the case, also here; and her words are hers alone.
    let confided =
        ActionInput { tier: "medical".into(), ..filled("feedback", &[("own_words", "I am ill"), ("helped", "yes")]) };
    desk.add_action(case, &confided).unwrap();
    assert_eq!(desk.own_view(child).unwrap().words.len(), 2);
    let other = colleague(&office, "colleague");
    assert!(!serde_json::to_string(&other.own_view(child).unwrap()).unwrap().contains("I am ill"));
    // Once the one who cares for her is a party in her case, the page is not turned round.
    desk.add_action(case, &filled("party", &[("party_name", "Themba"), ("party_role", "perpetrator")])).unwrap();
    assert!(matches!(desk.own_view(child), Err(DeskError::CaregiverIsParty)));
}

#[test]
fn the_log_says_who_did_what_and_every_version_stays() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _guard = runtime.enter();
    let mut office = office();
    let admin = office.desk("admin");
    hire(office.node(), &admin, &office.desk("worker"), "auditor", "auditor", false);
    let colleague = colleague(&office, "colleague");
    let (desk, auditor) = (office.desk("worker"), office.desk("auditor"));
    let client = person(&desk, "Nomvula");
    let sealed = CaseInput { sealed: true, ..CaseInput::default() };
    let case = desk.open_case(vec![client], sealed).unwrap();
    let changed = PersonInput {
        identity: "self_declared".into(),
        given: FieldInput { state: "known".into(), value: "Nomvula Grace".into() },
        telephone: FieldInput { state: "refused".into(), value: String::new() },
        ..PersonInput::default()
    };
    desk.change_person(client, 1, changed).unwrap();
    desk.set_case_state(case, &standing(CaseState::OnHold)).unwrap();
    assert!(colleague.case(case).is_err());
    assert!(colleague.log(&LogFilter::default()).is_err());

    // Field by field, what stood there before and after, and by whom.
    let history = desk.history(HistoryOf::Person(client)).unwrap();
    let latest: Vec<_> = history.versions[0]
        .changes
        .iter()
        .map(|c| {
            (
                c.field.as_str(),
                c.before.as_ref().and_then(|f| f.value.clone()),
                c.after.value.clone(),
                c.after.state.as_str(),
            )
        })
        .collect();
    assert_eq!(
        latest,
        [
            ("given", Some("Nomvula".into()), Some("Nomvula Grace".into()), "known"),
            ("telephone", None, None, "refused")
        ]
    );
    assert!(history.versions.len() == 2 && history.versions[1].by == "worker of Office");
    assert!(history.looks.iter().any(|row| row.action == "change_person"));
    let history = desk.history(HistoryOf::Case(case)).unwrap();
    assert_eq!(history.versions[0].changes[0].after.value.as_deref(), Some("on_hold"));
    // The colleague's refusal stands in the history of the case that does not exist for them.
    let is_refusal = |row: &LogRow| row.action == "refused" && row.by == "colleague";
    eventually("the refusal is noted", || {
        desk.history(HistoryOf::Case(case)).unwrap().looks.into_iter().find(is_refusal)
    });
    assert!(matches!(colleague.history(HistoryOf::Case(case)), Err(DeskError::NotFound)));

    let log = auditor.log(&LogFilter::default()).unwrap();
    let actions: Vec<&str> = log.rows.iter().map(|row| row.action.as_str()).collect();
    for expected in ["open_case", "register_person", "refused", "set_case_state", "sign_in"] {
        assert!(actions.contains(&expected), "{expected} in {actions:?}");
    }
    let by = LogFilter { staff: colleague.staff().to_string(), before: None };
    assert!(auditor.log(&by).unwrap().rows.iter().all(|row| row.by == "colleague"));
    assert!(auditor.case(case).is_err() && auditor.person(client).is_err(), "the log, and no content");

    // The log that is open holds; one changed byte in it does not.
    let check = auditor.check_log().unwrap();
    assert!(check.damage.is_none() && check.entries >= log.last, "{check:?}");
    // That the log was checked is noted in passing; what is acknowledged after it is on the disk behind it.
    desk.add_action(case, &ActionInput { text: "x".into(), ..ActionInput::default() }).unwrap();
    let segment = office.folder.path().join("journal/0000000000000001.seg");
    let mut bytes = std::fs::read(&segment).unwrap();
    bytes[300] ^= 1;
    std::fs::write(&segment, &bytes).unwrap();
    assert!(auditor.check_log().unwrap().damage.unwrap().contains("at byte 300"));
    bytes[300] ^= 1;
    // A log that was cut is no shorter log that holds.
    std::fs::write(&segment, &bytes[..bytes.len() - 5]).unwrap();
    assert!(auditor.check_log().unwrap().damage.unwrap().contains("are missing"));
    std::fs::write(&segment, &bytes).unwrap();
    drop((desk, auditor, colleague, admin));
    office.stop();
}

/// The records of an office are read in no order when it opens: what was corrected stays corrected.
#[test]
fn a_correction_holds_when_the_office_opens_again() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _guard = runtime.enter();
    let mut office = office();
    let desk = office.desk("worker");
    let client = person(&desk, "Themba");
    let case = desk.open_case(vec![person(&desk, "Lerato")], CaseInput::default()).unwrap();
    for _ in 0..8 {
        let party = filled("party", &[("party_role", "respondent"), ("party_name", "Themba")]);
        let entry = desk.add_action(case, &party).unwrap();
        let other = filled("party", &[("party_role", "respondent"), ("party_name", "Zinhle")]);
        desk.add_action(case, &ActionInput { corrects: entry.to_string(), ..other }).unwrap();
    }
    desk.settle_task(
        desk.add_task(case, &TaskInput { title: "x".into(), due: "2026-01-01".into(), ..TaskInput::default() })
            .unwrap(),
        TaskState::Done,
    )
    .unwrap();
    assert!(desk.case(case).unwrap().conflicts.is_empty());
    drop(desk);
    office.stop();
    office.start();
    let desk = office.desk("worker");
    assert!(desk.person(client).is_ok());
    let view = desk.case(case).unwrap();
    assert!(view.conflicts.is_empty() && view.tasks.is_empty(), "{:?}", view.conflicts);
}

#[test]
fn places_chains_links_and_the_review_show_what_is_there_and_no_more() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _guard = runtime.enter();
    let office = office();
    let desk = office.desk("worker");
    let colleague = colleague(&office, "colleague");
    let client = |desk: &Desk, name: &str, telephone: &str, area: &str| {
        let known = |value: &str| FieldInput { state: "known".into(), value: value.into() };
        let input = PersonInput {
            identity: "self_declared".into(),
            given: known(name),
            telephone: known(telephone),
            area: known(area),
            ..PersonInput::default()
        };
        desk.register_person(input).unwrap()
    };
    let open = |desk: &Desk, person: RecordId, sealed: bool| {
        let input = CaseInput { sealed, case_type: "eviction".into(), ..CaseInput::default() };
        desk.open_case(vec![person], input).unwrap()
    };
    let anna = open(&desk, client(&desk, "Anna", "082 555 0101", "Hill"), false);
    let bela = open(&desk, client(&desk, "Bela", "082 555 0199", "hill"), false);
    let hidden = open(&colleague, client(&colleague, "Cora", "0825550101", "Hill"), true);

    // Free places.
    desk.add_office_entry(&filled("place", &[("stay_place", "Blue house"), ("places", "2")])).unwrap();
    let stay = [("stay_place", "blue house"), ("stay_kind", "shelter"), ("arrived_on", "2026-01-05")];
    let first = desk.add_action(anna, &filled("stay", &stay)).unwrap();
    colleague.add_action(hidden, &filled("stay", &stay)).unwrap();
    let free = |desk: &Desk| desk.places().unwrap().iter().map(|place| place.free).collect::<Vec<_>>();
    assert_eq!(free(&desk), [Some(0)], "a bed is taken, whoever may see by whom");
    let end = filled("stay_end", &[("left_on", "2026-02-05"), ("stay_end_reason", "own_wish")]);
    desk.add_action(anna, &ActionInput { follows: first.to_string(), ..end }).unwrap();
    assert_eq!(free(&desk), [Some(1)]);

    // The chain of a case, by party.
    let letter = |party: &str| filled("letter", &[("direction", "out"), ("party_name", party), ("subject", "Notice")]);
    let sent = desk.add_action(anna, &letter("Mr Venter")).unwrap();
    let answer = ActionInput { text: "He called back".into(), follows: sent.to_string(), ..ActionInput::default() };
    desk.add_action(anna, &answer).unwrap();
    let chains = desk.case_chains(anna).unwrap();
    let of_party = chains.iter().find(|chain| chain.party == "Mr Venter").unwrap();
    assert_eq!(of_party.steps.iter().map(|step| step.depth).collect::<Vec<_>>(), [0, 1]);
    assert!(matches!(desk.case_chains(hidden), Err(DeskError::NotFound)));

    // Links: by party, place and route; nothing of the hidden case.
    for case in [anna, bela] {
        let party = [("party_role", "landlord"), ("party_name", "Venter Mr"), ("telephone", "031 555 7000")];
        desk.add_action(case, &filled("party", &party)).unwrap();
    }
    for (case, day) in [(anna, "2026-01-02"), (bela, "2026-01-03"), (hidden, "2026-01-04")] {
        let desk = if case == hidden { &colleague } else { &desk };
        let place = |place: &str, on: &str| filled("journey", &[("place", place), ("arrived_on", on)]);
        desk.add_action(case, &place("Harare", "2026-01-01")).unwrap();
        desk.add_action(case, &place("Musina", day)).unwrap();
    }
    let (links, more) = desk.find_links().unwrap();
    let told: Vec<(&str, usize)> = links.iter().map(|link| (link.shared.as_str(), link.persons.len())).collect();
    assert_eq!(told, [("telephone", 2), ("party", 2), ("route", 2), ("home_place", 2)]);
    assert_eq!(more, 0);
    assert!(links.iter().flat_map(|link| &link.persons).all(|person| person.name != "Cora"));
    assert!(matches!(office.desk("admin").find_links(), Err(DeskError::Denied(_))));

    // The review: what rests, and who is asked; without the hidden case.
    let late = ActionInput { on: "2026-01-02".into(), text: "Found on paper".into(), ..ActionInput::default() };
    desk.add_action(bela, &late).unwrap();
    let today = casemesh_node::clock::Clock::system().now().day();
    let period = casemesh_protocol::time::Period::new("2020-01-01".parse().unwrap(), today).unwrap();
    let review = desk.review(period).unwrap();
    let mine = review.rows.iter().find(|row| row.name == desk.name()).unwrap();
    assert_eq!((mine.opened, mine.open, mine.no_task, mine.late), (2, 2, 1, 1), "the stay's end asks for follow-up");
    assert_eq!(review.rows.iter().map(|row| row.open).sum::<usize>(), 2);
    let talked: Vec<RecordId> = review.talk.iter().map(|one| one.summary.id).collect();
    assert!(talked.contains(&bela) && !talked.contains(&hidden));
    assert!(matches!(colleague.review(period), Err(DeskError::Denied(_))));
}

#[test]
fn a_case_is_changed_where_its_first_words_were_wrong() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _guard = runtime.enter();
    let office = office();
    let desk = office.desk("worker");
    let (mother, child, stranger) = (person(&desk, "Nomvula"), person(&desk, "Sipho"), person(&desk, "Zanele"));
    let case = desk.open_case(vec![mother], CaseInput::default()).unwrap();
    let read = desk.case(case).unwrap();
    let change = CaseChange {
        revision: read.revision,
        case_type: "eviction".into(),
        summary: "The landlord changed the locks.".into(),
        clients: vec![mother, child],
        ..CaseChange::default()
    };
    desk.change_case_details(case, &change).unwrap();
    let view = desk.case(case).unwrap();
    assert_eq!(view.summary.case_type.as_ref().unwrap().code, "eviction");
    assert_eq!(view.clients.len(), 2);
    assert_eq!(desk.person(child).unwrap().cases.len(), 1, "the case is the child's too");
    // Who wrote on the older page is told.
    let late = CaseChange { summary: "Another word".into(), ..change.clone() };
    assert_eq!(desk.change_case_details(case, &late).unwrap_err().key(), "error-conflict");
    assert_eq!(desk.case(case).unwrap().text, "The landlord changed the locks.");
    let nobody = CaseChange { revision: view.revision, clients: vec![], ..change.clone() };
    assert_eq!(problems(desk.change_case_details(case, &nobody)), [("clients".into(), "client-needed".into())]);
    // What it was stays to be seen.
    let history = desk.history(HistoryOf::Case(case)).unwrap();
    let fields: Vec<&str> = history.versions.iter().flat_map(|v| &v.changes).map(|c| c.field.as_str()).collect();
    assert!(["clients", "case_type", "summary"].iter().all(|field| fields.contains(field)), "{fields:?}");

    // A case opened for the wrong person: what was written stays with those whose case it is.
    let wrong = person(&desk, "Wrong");
    let moved = desk.open_case(vec![wrong], CaseInput::default()).unwrap();
    desk.add_action(moved, &ActionInput { text: "She came alone.".into(), ..ActionInput::default() }).unwrap();
    let read = desk.case(moved).unwrap();
    let right = CaseChange { revision: read.revision, clients: vec![stranger], ..CaseChange::default() };
    desk.change_case_details(moved, &right).unwrap();
    desk.erase_person(wrong, "entered by mistake").unwrap();
    assert!(desk.person(wrong).is_err());
    assert_eq!(desk.case(moved).unwrap().actions[0].text, "She came alone.");

    // Nobody is on both sides: a client's name as the other side is asked about before the case is there.
    let against = |name: &str| CaseInput { other_party: name.into(), ..CaseInput::default() };
    let before = desk.cases(&CaseFilter::default()).unwrap().1;
    let found = problems(desk.open_case(vec![stranger], against("Nomvulla")));
    assert_eq!(found, [("other_party".into(), "conflict-found".into())]);
    assert_eq!(desk.cases(&CaseFilter::default()).unwrap().1, before);
    let sure = CaseInput { despite_conflict: true, ..against("Nomvulla") };
    let opened = desk.open_case(vec![stranger], sure).unwrap();
    assert_eq!(desk.case(opened).unwrap().conflicts.len(), 1, "and it stands on the case");
    // The other way round: a client who is the other side of a colleague's client.
    let found = problems(desk.open_case(vec![mother], CaseInput::default()));
    assert_eq!(found, [("other_party".into(), "conflict-found".into())]);
}

#[test]
fn money_and_notes_that_were_wrong_are_struck_out_and_stay_to_be_read() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _guard = runtime.enter();
    let office = office();
    let desk = office.desk("worker");
    let today = desk.today();
    let case = desk.open_case(vec![person(&desk, "Nomvula")], CaseInput::default()).unwrap();
    let money = |kind: &str, amount: &str, paid: String| PaymentInput {
        kind: kind.into(),
        amount: amount.into(),
        currency: "ZAR".into(),
        paid,
        ..PaymentInput::default()
    };
    let recovered = || {
        let period = casemesh_protocol::time::Period::new(today.plus_days(-1), today).unwrap();
        let figures = desk.figures(period).unwrap().figures;
        let money = figures.into_iter().find(|figure| figure.id.contains("amount")).unwrap();
        money.cells.into_iter().filter_map(|cell| cell.value).collect::<Vec<_>>()
    };
    let wrong = desk.add_payment(case, money("recovered", "15000", today.to_string())).unwrap();
    assert_eq!(recovered(), ["15000.00"]);
    let right = PaymentInput { corrects: wrong.to_string(), ..money("recovered", "1500", today.to_string()) };
    let right_id = desk.add_payment(case, right.clone()).unwrap();
    assert_eq!(recovered(), ["1500.00"]);
    assert_eq!(desk.add_payment(case, right).unwrap_err().key(), "error-conflict", "corrected once");
    let void = PaymentInput { corrects: right_id.to_string(), void: true, ..PaymentInput::default() };
    assert_eq!(problems(desk.add_payment(case, void.clone())), [("note".into(), "required".into())]);
    desk.add_payment(case, PaymentInput { note: "another client's".into(), ..void }).unwrap();
    assert!(recovered().is_empty());
    assert_eq!(desk.case(case).unwrap().payments.len(), 3, "all of it stays to be read");

    // A promise has a day to come, and somebody looks then.
    let day = today.plus_days(20);
    let promised = desk.add_payment(case, money("promised", "300", day.to_string())).unwrap();
    let tasks = desk.case(case).unwrap().tasks;
    assert_eq!((tasks.len(), tasks[0].due), (1, day));
    let kept = PaymentInput { corrects: promised.to_string(), ..money("recovered", "300", today.to_string()) };
    desk.add_payment(case, kept).unwrap();
    assert!(desk.case(case).unwrap().tasks.is_empty());

    // A note is corrected, an alert is lifted.
    let note = desk.add_action(case, &ActionInput { text: "She rang.".into(), ..ActionInput::default() }).unwrap();
    let fixed = ActionInput { text: "Her sister rang.".into(), corrects: note.to_string(), ..ActionInput::default() };
    desk.add_action(case, &fixed).unwrap();
    let party =
        desk.add_action(case, &filled("party", &[("party_role", "landlord"), ("party_name", "Botha")])).unwrap();
    let gone = ActionInput {
        form: "party".into(),
        corrects: party.to_string(),
        void: true,
        text: "wrong case".into(),
        ..ActionInput::default()
    };
    desk.add_action(case, &gone).unwrap();
    assert!(
        desk.open_case(vec![person(&desk, "Botha")], CaseInput::default()).is_ok(),
        "struck out, nobody is a party"
    );
    let view = desk.case(case).unwrap();
    assert_eq!(view.actions.iter().filter(|entry| entry.corrected_by.is_some()).count(), 2);
}

#[test]
fn a_line_becomes_a_consult_and_a_consult_a_case_for_somebody_who_is_known() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _guard = runtime.enter();
    let office = office();
    let desk = office.desk("worker");
    let known = person(&desk, "Nomvula Dlamini");
    let yesterday = desk.today().plus_days(-1);
    let line = desk
        .add_line(RegisterInput {
            visitor: "nomvula dlamini".into(),
            on: yesterday.to_string(),
            ..RegisterInput::default()
        })
        .unwrap();
    assert_eq!(desk.register(Some(yesterday)).unwrap().len(), 1);
    assert_eq!(desk.register(Some(desk.today())).unwrap().len(), 0);
    assert_eq!(desk.line(line).unwrap().days_late, 1);
    let more = RegisterInput {
        visitor: "Nomvula Dlamini".into(),
        note: "Grant stopped".into(),
        advice: "Go to the office with the letter".into(),
        channel: "walk_in".into(),
        ..RegisterInput::default()
    };
    desk.change_line(line, &more).unwrap();
    desk.line_turned_away(line, "conflict_of_interest").unwrap();
    desk.line_to_consult(line).unwrap();
    assert_eq!(desk.line(line).unwrap().outcome, "consult", "a mistaken outcome is no end");
    assert_eq!(desk.line_persons(line).unwrap()[0].id, known);
    let case = desk.line_to_case(line, Some(known)).unwrap();
    let view = desk.case(case).unwrap();
    let is_erased = |desk: &Desk| desk.line(line).is_err();
    assert!(!is_erased(&desk));
    assert_eq!(view.clients[0].id, known, "nobody is registered twice");
    assert!(view.actions[0].text.contains("Grant stopped") && view.actions[0].text.contains("Go to the office"));
    assert_eq!(desk.line_to_case(line, None).unwrap_err().key(), "error-conflict");
    assert_eq!(desk.change_line(line, &more).unwrap_err().key(), "error-conflict");
    assert_eq!(desk.search("nomvula").unwrap().len(), 1);
    assert_eq!((view.summary.opened, view.actions[0].on), (desk.today(), desk.today()), "the day of the visit");
    // By the number of the case, too.
    let hits = desk.search(&view.summary.number).unwrap();
    assert_eq!(hits.iter().map(|hit| hit.id).collect::<Vec<_>>(), [known]);
    // Erasing the person takes the line along that became their case.
    desk.close_case(case, &resolved()).unwrap();
    desk.erase_person(known, "asked for it").unwrap();
    assert!(is_erased(&desk) && desk.register(None).unwrap().is_empty());
}

#[test]
fn tasks_are_given_on_and_the_late_ones_come_to_who_leads() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _guard = runtime.enter();
    let office = office();
    let (desk, colleague) = (office.desk("worker"), colleague(&office, "colleague"));
    let today = desk.today();
    let case = colleague.open_case(vec![person(&colleague, "Nomvula")], CaseInput::default()).unwrap();
    let task = |title: &str, due: i32| TaskInput {
        title: title.into(),
        due: today.plus_days(due).to_string(),
        ..TaskInput::default()
    };
    let late = colleague.add_task(case, &task("Call the school", -10)).unwrap();
    colleague.add_task(case, &task("Write the letter", -1)).unwrap();
    let home = desk.home().unwrap();
    assert_eq!(home.escalated.iter().map(|task| task.id).collect::<Vec<_>>(), [late]);
    assert!(colleague.home().unwrap().escalated.is_empty(), "she knows already");
    let change = TaskChange { due: today.plus_days(2).to_string(), owner: desk.staff().to_string() };
    desk.change_task(late, &change).unwrap();
    let moved = desk.task(late).unwrap();
    assert_eq!((moved.due, moved.mine), (today.plus_days(2), true));
    assert!(desk.home().unwrap().escalated.is_empty());
    // One that belongs to no case.
    let office_task = desk.add_office_task(&task("Buy paper", 1)).unwrap();
    assert!(desk.task(office_task).unwrap().case.is_none() && desk.task(office_task).unwrap().mine);
    assert_eq!(problems(desk.add_office_task(&TaskInput::default())).len(), 2);
}

#[test]
fn the_same_service_twice_is_asked_about() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _guard = runtime.enter();
    let office = office();
    let (desk, colleague) = (office.desk("worker"), colleague(&office, "colleague"));
    let case = desk.open_case(vec![person(&desk, "Nomvula")], CaseInput::default()).unwrap();
    desk.assign_case(case, colleague.staff()).unwrap();
    let service = filled("service", &[("service", "safe_house")]);
    colleague.add_action(case, &service).unwrap();
    colleague.add_action(case, &service).unwrap();
    assert_eq!(problems(desk.add_action(case, &service)), [("service".into(), "service-again".into())]);
    desk.add_action(case, &ActionInput { again: true, ..service }).unwrap();
}

#[test]
fn home_says_what_others_changed_since_the_last_time() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _guard = runtime.enter();
    let clock = casemesh_node::clock::Clock::set_to(casemesh_node::clock::Clock::system().now());
    let mut office = TestNode::new(&new_node("Office", OfficeKind::Shelter, vec![Role::Office], vec![]));
    office.start_at(clock.clone());
    let _desk = office.desk("worker");
    let colleague = colleague(&office, "colleague");
    let case = colleague.open_case(vec![person(&colleague, "Nomvula")], CaseInput::default()).unwrap();
    clock.advance_ms(3_600_000);
    // After an idle hour the office has locked itself, and the worker's password opens it.
    office.desk("worker");
    let colleague = office.desk("colleague");
    assert!(colleague.home().unwrap().changed.is_empty(), "her own work is no news");
    clock.advance_ms(3_600_000);
    let desk = office.desk("worker");
    desk.add_action(case, &ActionInput { text: "The school rang.".into(), ..ActionInput::default() }).unwrap();
    clock.advance_ms(3_600_000);
    office.desk("worker");
    let colleague = office.desk("colleague");
    let home = colleague.home().unwrap();
    assert_eq!(home.changed.iter().map(|case| case.id).collect::<Vec<_>>(), [case]);
    assert!(home.since.is_some());
}

#[test]
fn a_case_shows_before_and_after_and_the_journey_in_order() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _guard = runtime.enter();
    let office = office();
    let desk = office.desk("worker");
    let case = desk.open_case(vec![person(&desk, "Nomvula")], CaseInput::default()).unwrap();
    let on = |days: i32, input: ActionInput| ActionInput { on: desk.today().plus_days(days).to_string(), ..input };
    let area = casemesh_node::codes::list("assessment_area").unwrap().codes[0].0;
    let scored = |score: &str| filled("assessment", &[("assessment_area", area), ("score", score)]);
    desk.add_action(case, &on(-30, scored("3"))).unwrap();
    assert!(desk.case(case).unwrap().measures.is_empty(), "one is no comparison");
    desk.add_action(case, &on(-1, scored("8"))).unwrap();
    desk.add_action(case, &on(-10, scored("5"))).unwrap();
    let measures = desk.case(case).unwrap().measures;
    assert_eq!((measures.len(), measures[0].first.1, measures[0].last.1), (1, 3, 8));
    let place = |name: &str, day: &str| filled("journey", &[("place", name), ("arrived_on", day)]);
    for (name, day) in [("Gaborone", "2025-03-01"), ("Harare", "2025-01-05"), ("Durban", "2025-06-01")] {
        desk.add_action(case, &place(name, day)).unwrap();
    }
    let journey = desk.case(case).unwrap().journey;
    let places: Vec<_> = journey.iter().filter_map(|entry| entry.answers[0].value.value.clone()).collect();
    assert_eq!(places, ["Harare", "Gaborone", "Durban"]);
}

#[test]
fn a_group_is_one_case_of_many_people_and_a_refusal_needs_no_expiry() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _guard = runtime.enter();
    let office = office();
    let desk = office.desk("worker");
    let group = PersonInput {
        identity: "alias".into(),
        alias: "Farm dwellers of Rietvlei".into(),
        counting: "headcount".into(),
        is_group: true,
        ..PersonInput::default()
    };
    let group = desk.register_person(group).unwrap();
    for name in ["Anna", "Ben", "Cora"] {
        desk.set_member(group, &MemberInput { name: name.into(), ..MemberInput::default() }).unwrap();
    }
    desk.open_case(vec![group], CaseInput::default()).unwrap();
    desk.open_case(vec![person(&desk, "Nomvula")], CaseInput::default()).unwrap();
    let today = desk.today();
    let figures = desk.figures(casemesh_protocol::time::Period::new(today, today).unwrap()).unwrap();
    assert_eq!(figures.persons, 4);

    let yesterday = today.plus_days(-1);
    let no = ConsentInput {
        purpose: "statistics".into(),
        refused: true,
        given_on: yesterday.to_string(),
        ..ConsentInput::default()
    };
    let client = person(&desk, "Zanele");
    desk.record_consent(client, no.clone()).unwrap();
    let consent = &desk.person(client).unwrap().consents[0];
    assert_eq!((consent.status.as_str(), consent.terms.given.day()), ("refused", yesterday));
    let yes = ConsentInput { refused: false, ..no };
    assert!(!problems(desk.record_consent(client, yes)).is_empty(), "a consent that is given needs all of it");
}

#[test]
fn what_hangs_on_a_record_is_in_its_history_and_lists_and_prints_are_in_the_log() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _guard = runtime.enter();
    let office = office();
    let (admin, desk) = (office.desk("admin"), office.desk("worker"));
    let client = person(&desk, "Nomvula");
    let case = desk.open_case(vec![client], CaseInput::default()).unwrap();
    let input = TaskInput { title: "Ring the landlord".into(), due: "2099-01-01".into(), ..TaskInput::default() };
    let task = desk.add_task(case, &input).unwrap();
    desk.change_task(task, &TaskChange { due: "2099-02-01".into(), ..TaskChange::default() }).unwrap();
    let of = |of: HistoryOf, field: &str| {
        let versions = desk.history(of).unwrap().versions.into_iter();
        let changes = versions.flat_map(|version| version.changes.into_iter().map(move |c| (version.part.clone(), c)));
        let found = changes.filter(|(_, change)| change.field == field);
        found.map(|(part, change)| (part, change.after.value.unwrap_or_default())).collect::<Vec<_>>()
    };
    let task_days = [("task".into(), "2099-02-01".into()), ("task".into(), "2099-01-01".into())];
    assert_eq!(of(HistoryOf::Case(case), "next_due"), task_days);
    assert_eq!(of(HistoryOf::Task(task), "next_due"), task_days.map(|(_, day): (String, String)| (String::new(), day)));
    let line = desk.add_line(RegisterInput { visitor: "A woman".into(), ..RegisterInput::default() }).unwrap();
    desk.change_line(line, &RegisterInput { visitor: "Zanele".into(), ..RegisterInput::default() }).unwrap();
    let visitors = of(HistoryOf::Line(line), "register_visitor");
    assert_eq!(visitors.into_iter().map(|(_, name)| name).collect::<Vec<_>>(), ["Zanele", "A woman"]);
    // A consent that was taken back, with the day and the person who wrote it down.
    let consent = ConsentInput {
        purpose: "statistics".into(),
        scope: vec!["names".into()],
        expires: "2099-01-01".into(),
        method: "signed_paper".into(),
        giver: "person".into(),
        language: "zu".into(),
        ..ConsentInput::default()
    };
    let consent = desk.record_consent(client, consent).unwrap();
    desk.withdraw_consent(client, consent).unwrap();
    let states = of(HistoryOf::Person(client), "state");
    assert_eq!(states, [("consent".into(), "withdrawn".into()), ("consent".into(), "given".into())]);
    // Accounts and settings: by who administers or reads the log, and one's own.
    let settings = SettingsInput { recall_minutes: 5, ..admin.settings().unwrap().into() };
    admin.change_settings(&settings).unwrap();
    let history = admin.history(HistoryOf::Settings).unwrap();
    assert_eq!(history.versions[0].changes[0].field, "settings_recall");
    assert_eq!(history.versions[0].by, "admin of Office");
    assert!(desk.history(HistoryOf::Account(desk.staff())).is_ok());
    assert!(matches!(desk.history(HistoryOf::Account(admin.staff())), Err(DeskError::Denied(_))));
    assert!(matches!(desk.history(HistoryOf::Settings), Err(DeskError::Denied(_))));
    // What a browser prints, and which lists were looked at.
    desk.note_print(Some(case));
    desk.cases(&CaseFilter::default()).unwrap();
    hire(office.node(), &admin, &desk, "auditor", "auditor", false);
    let auditor = office.desk("auditor");
    eventually("both are in the log", || {
        let rows = auditor.log(&LogFilter::default()).unwrap().rows;
        let has = |action: &str| rows.iter().any(|row| row.action == action);
        (has("print") && has("view_cases")).then_some(())
    });
}

#[test]
fn a_case_rests_for_a_reason_and_somebody_looks_again() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _guard = runtime.enter();
    let office = office();
    let desk = office.desk("worker");
    let input = CaseInput { forum: "tribunal".into(), source: "helpline".into(), ..CaseInput::default() };
    let case = desk.open_case(vec![person(&desk, "Nomvula")], input).unwrap();
    let code = |code: Option<CodeView>| code.map(|code| code.code).unwrap_or_default();
    let view = desk.case(case).unwrap();
    assert_eq!((code(view.forum).as_str(), code(view.source).as_str()), ("tribunal", "helpline"));
    let rest = |reason: &str, until: &str| StandingInput {
        state: "on_hold".into(),
        rest_reason: reason.into(),
        rest_until: until.into(),
    };
    assert_eq!(problems(desk.set_case_state(case, &rest("", "")))[0].0, "rest_reason");
    assert_eq!(problems(desk.set_case_state(case, &rest("court", "2001-01-01")))[0].1, "in-the-past");
    desk.set_case_state(case, &rest("court", "2099-03-01")).unwrap();
    let view = desk.case(case).unwrap();
    assert_eq!(code(view.rest_reason), "court");
    assert_eq!(view.tasks.iter().map(|task| task.due.to_string()).collect::<Vec<_>>(), ["2099-03-01"]);
    desk.set_case_state(case, &standing(CaseState::InProgress)).unwrap();
    let view = desk.case(case).unwrap();
    assert!(view.tasks.is_empty() && view.rest_reason.is_none(), "who goes on has looked");
    let watch =
        StandingInput { state: "monitoring".into(), rest_until: "2099-04-01".into(), ..StandingInput::default() };
    desk.set_case_state(case, &watch).unwrap();
    let closing = ClosureInput { reason: "resolved".into(), level_of_help: "court_decision".into() };
    desk.close_case(case, &closing).unwrap();
    let view = desk.case(case).unwrap();
    assert_eq!(code(view.level_of_help), "court_decision");
    assert!(view.tasks.is_empty() && view.rest_until.is_none());
}
