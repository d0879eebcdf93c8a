//! People: families, groups, two records of one person, protected addresses, dates of other calendars.

use crate::harness::{TestNode, hire, new_node, resolved, standing};
use casemesh_node::office::{
    ActionInput, CaseFilter, CaseInput, ConsentInput, DecisionInput, Desk, DeskError, DocumentInput, FamilyInput,
    FamilyPerson, FieldInput, HistoryOf, LinkInput, Mapping, MemberInput, PersonInput, TaskInput,
};
use casemesh_node::records::{CaseState, TaskState};
use casemesh_protocol::directory::{OfficeKind, Role};
use casemesh_protocol::id::RecordId;

fn office() -> TestNode {
    let mut office = TestNode::new(&new_node("Office", OfficeKind::AdviceOffice, vec![Role::Office], vec![]));
    office.start();
    office
}

fn known(value: &str) -> FieldInput {
    FieldInput { state: String::new(), value: value.into() }
}

fn named(given: &str, family: &str) -> PersonInput {
    PersonInput {
        identity: "self_declared".into(),
        given: known(given),
        family: known(family),
        ..PersonInput::default()
    }
}

fn problems<T: std::fmt::Debug>(result: Result<T, DeskError>) -> Vec<(String, String)> {
    match result {
        Err(DeskError::Invalid(problems)) => problems.into_iter().map(|p| (p.field, p.problem)).collect(),
        other => panic!("{other:?}"),
    }
}

fn case_of(desk: &Desk, person: RecordId) -> RecordId {
    desk.open_case(vec![person], CaseInput::default()).unwrap()
}

#[test]
fn a_birth_date_is_kept_as_it_was_said() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _guard = runtime.enter();
    let office = office();
    let desk = office.desk("worker");
    let abebe = PersonInput { birth_calendar: "ethiopic".into(), birth: known("1984-09-09"), ..named("Abebe", "") };
    let view = desk.person(desk.register_person(abebe.clone()).unwrap()).unwrap();
    assert_eq!(view.birth.value.as_deref(), Some("1992-05-17"));
    assert_eq!(view.birth_said.unwrap().1, "1984-09-09");
    let wrong = PersonInput { birth: known("1984-13-09"), ..abebe };
    assert_eq!(problems(desk.register_person(wrong)), [("birth".into(), "not-a-birth-date".into())]);
}

#[test]
fn a_protected_address_shows_after_a_noted_click_and_survives_a_change() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _guard = runtime.enter();
    let office = office();
    let desk = office.desk("worker");
    let input = PersonInput { address: known("4 Hill Road"), address_protected: true, ..named("Thandi", "Mokoena") };
    let person = desk.register_person(input.clone()).unwrap();
    let seen = |text: String| assert!(!text.contains("Hill Road"), "{text}");
    seen(serde_json::to_string(&desk.person(person).unwrap()).unwrap());
    seen(serde_json::to_string(&desk.history(HistoryOf::Person(person)).unwrap()).unwrap());
    assert_eq!(desk.reveal_address(person).unwrap().value.as_deref(), Some("4 Hill Road"));
    let looks = desk.history(HistoryOf::Person(person)).unwrap().looks;
    assert!(looks.iter().any(|look| look.action == "reveal_address"));
    // The form does not carry it, and saving the form takes nothing away.
    let change = PersonInput { address: FieldInput::default(), telephone: known("082 555 0101"), ..input };
    desk.change_person(person, 1, change).unwrap();
    assert_eq!(desk.reveal_address(person).unwrap().value.as_deref(), Some("4 Hill Road"));
    // Nobody takes the protection away without the address, and the history of an address that was open is masked.
    let unprotected = PersonInput { address_protected: false, ..named("Thandi", "Mokoena") };
    desk.change_person(person, 2, unprotected).unwrap();
    assert!(desk.person(person).unwrap().address_protected);
    let open = desk.register_person(PersonInput { address: known("9 Hill Road"), ..named("Zodwa", "M") }).unwrap();
    let protect = PersonInput { address: known("9 Hill Road"), address_protected: true, ..named("Zodwa", "M") };
    desk.change_person(open, 1, protect).unwrap();
    seen(serde_json::to_string(&desk.history(HistoryOf::Person(open)).unwrap()).unwrap());
}

#[test]
fn a_family_comes_in_at_once() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _guard = runtime.enter();
    let office = office();
    let desk = office.desk("worker");
    let one = |given: &str, relation: &str, is_client: bool| FamilyPerson {
        person: named(given, "Dlamini"),
        relation: relation.into(),
        is_caregiver: relation == "grandparent",
        is_client,
    };
    let people = vec![one("Nomvula", "", true), one("Sipho", "child", true), one("Gogo", "grandparent", false)];
    let case = CaseInput { summary: "The rent".into(), ..CaseInput::default() };
    let wrong = FamilyInput { people: vec![one("Nomvula", "", true), one("", "cousin", false)], case: case.clone() };
    let found = problems(desk.register_family(wrong));
    assert_eq!(found, [("2:relation".to_owned(), "unknown-value".to_owned())]);
    assert!(desk.search("Nomvula").unwrap().is_empty());
    let (people, case) = desk.register_family(FamilyInput { people, case }).unwrap();
    assert_eq!(desk.case(case.unwrap()).unwrap().clients.len(), 2);
    let mother = desk.person(people[0]).unwrap();
    let mut relations: Vec<_> =
        mother.links.iter().map(|link| (link.name.as_str(), link.relation.code.as_str())).collect();
    relations.sort_unstable();
    assert_eq!(relations, [("Gogo Dlamini", "grandparent"), ("Sipho Dlamini", "child")]);
    let child = desk.person(people[1]).unwrap();
    assert!(child.links[0].from_other && child.links[0].person == people[0]);
    desk.end_link(people[1], child.links[0].id).unwrap();
    assert!(desk.person(people[0]).unwrap().links.iter().any(|link| link.ended.is_some()));
    let self_link = LinkInput { person: people[0].to_string(), relation: "child".into(), ..LinkInput::default() };
    assert_eq!(problems(desk.add_link(people[0], &self_link)), [("person".into(), "same-person".into())]);
}

#[test]
fn a_group_is_one_client_with_a_roll() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _guard = runtime.enter();
    let office = office();
    let desk = office.desk("worker");
    let person = desk.register_person(named("Rosa", "Botha")).unwrap();
    let member =
        MemberInput { name: "Rosa Botha".into(), speaks: true, person: person.to_string(), ..MemberInput::default() };
    assert_eq!(problems(desk.set_member(person, &member)), [("name".into(), "no-group".into())]);
    let group = PersonInput { is_group: true, ..named("Farm dwellers of Rooiberg", "") };
    let group = desk.register_person(group).unwrap();
    let case = case_of(&desk, group);
    let id = desk.set_member(group, &member).unwrap();
    for number in 1..40 {
        let other = MemberInput { name: format!("Dweller {number}"), agreed: known("yes"), ..MemberInput::default() };
        desk.set_member(group, &other).unwrap();
    }
    let paid = MemberInput {
        member: id.to_string(),
        revision: 1,
        outcome: "resolved".into(),
        amount: "1250.50".into(),
        ..member.clone()
    };
    desk.set_member(group, &paid).unwrap();
    assert!(matches!(desk.set_member(group, &paid), Err(DeskError::Vault(_))));
    let view = desk.person(group).unwrap();
    assert_eq!(view.members.len(), 40);
    let rosa = view.members.iter().find(|member| member.name == "Rosa Botha").unwrap();
    assert_eq!(rosa.amount.as_deref(), Some("ZAR 1250.50"));
    // Who changes a member without naming the person keeps the person.
    let renamed = MemberInput { member: id.to_string(), revision: 2, name: "Rosa B.".into(), ..MemberInput::default() };
    desk.set_member(group, &renamed).unwrap();
    let view = desk.person(group).unwrap();
    assert!(view.members.iter().any(|member| member.name == "Rosa B." && member.person == Some(person)));
    // One case, forty persons.
    assert_eq!(desk.case(case).unwrap().clients[0].members, 40);
    assert_eq!(view.cases.len(), 1);
}

#[test]
fn two_records_of_one_person_become_one_and_can_be_taken_apart() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _guard = runtime.enter();
    let office = office();
    let desk = office.desk("worker");
    let one = PersonInput { birth: known("1994"), ..named("Mohammed", "Yusuf") };
    let other =
        PersonInput { birth: known("1994-05-17"), telephone: known("082 555 0101"), ..named("Muhamad", "Yusuf") };
    let (one, other) = (desk.register_person(one).unwrap(), desk.register_person(other).unwrap());
    let third = desk.register_person(PersonInput { birth: known("1994"), ..named("Mahmood", "Yasif") }).unwrap();
    let (first, second) = (case_of(&desk, one), case_of(&desk, other));
    let pairs = desk.duplicates().unwrap();
    assert!(pairs.iter().any(|pair| [(one, other), (other, one)].contains(&(pair.one, pair.other))));
    let with_third =
        |desk: &Desk| desk.duplicates().unwrap().iter().filter(|p| p.one == third || p.other == third).count();
    let before = with_third(&desk);
    desk.are_different(one, third).unwrap();
    assert!(with_third(&desk) < before.max(1));

    desk.merge(one, other).unwrap();
    let view = desk.person(other).unwrap();
    assert_eq!((view.id, view.cases.len(), view.merged.len()), (one, 2, 1));
    let hits = desk.search("Muhamad Yusuf").unwrap();
    assert_eq!(hits.iter().filter(|hit| hit.id == one).count(), 1);
    assert!(!hits.iter().any(|hit| hit.id == other));
    assert_eq!(desk.case(second).unwrap().summary.client, "Mohammed Yusuf");
    assert!(!desk.duplicates().unwrap().iter().any(|pair| pair.one == other || pair.other == other));
    assert_eq!(problems(desk.merge(other, one)), [("person".into(), "same-person".into())]);
    // A consent that was given to the one record holds for the person.
    let consent = ConsentInput {
        purpose: "hold_record".into(),
        expires: "2099-01-01".into(),
        method: "signed_paper".into(),
        giver: "person".into(),
        language: "en".into(),
        ..ConsentInput::default()
    };
    let consent = desk.record_consent(other, consent).unwrap();
    assert_eq!(desk.person(one).unwrap().consents.len(), 1);
    desk.withdraw_consent(one, consent).unwrap();

    desk.unmerge(one, other).unwrap();
    let apart = (desk.person(one).unwrap(), desk.person(other).unwrap());
    assert_eq!((apart.0.id, apart.0.cases[0].id, apart.0.consents.len()), (one, first, 0));
    assert_eq!((apart.1.id, apart.1.cases[0].id, apart.1.consents.len()), (other, second, 1));
}

#[test]
fn merging_opens_nothing_that_was_shut() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _guard = runtime.enter();
    let mut office = office();
    hire(office.node(), &office.desk("admin"), &office.desk("worker"), "colleague", "caseworker", false);
    let (desk, colleague) = (office.desk("worker"), office.desk("colleague"));
    let (one, other) =
        (desk.register_person(named("Anna", "A")).unwrap(), desk.register_person(named("Anne", "A")).unwrap());
    desk.bar(other, colleague.staff()).unwrap();
    let case = case_of(&desk, one);
    assert!(colleague.case(case).is_ok());
    assert!(matches!(colleague.merge(one, other), Err(DeskError::NotFound)));
    desk.merge(one, other).unwrap();
    for office_reopened in [false, true] {
        if office_reopened {
            office.stop();
            office.start();
        }
        let worker = office.desk("worker");
        let colleague = office.desk("colleague");
        assert!(matches!(colleague.case(case), Err(DeskError::NotFound)));
        assert!(matches!(colleague.person(one), Err(DeskError::NotFound)));
        assert!(colleague.search("Anna").unwrap().is_empty());
        assert_eq!(worker.person(other).unwrap().id, one);
    }
    // A name put on the list of the one who stands for both is on both: taking them apart opens nothing.
    let (worker, colleague) = (office.desk("worker"), office.desk("colleague"));
    let (third, fourth) =
        (worker.register_person(named("Rosa", "B")).unwrap(), worker.register_person(named("Rose", "B")).unwrap());
    worker.merge(third, fourth).unwrap();
    worker.bar(third, colleague.staff()).unwrap();
    worker.unmerge(third, fourth).unwrap();
    assert!(matches!(colleague.person(fourth), Err(DeskError::NotFound)));
    // And a sealed case of the one hides the person that both became.
    let (fifth, sixth) =
        (worker.register_person(named("Lena", "C")).unwrap(), worker.register_person(named("Lina", "C")).unwrap());
    case_of(&worker, fifth);
    worker.open_case(vec![sixth], CaseInput { sealed: true, ..CaseInput::default() }).unwrap();
    worker.merge(fifth, sixth).unwrap();
    assert!(matches!(colleague.person(fifth), Err(DeskError::NotFound)));
}

#[test]
fn an_erased_person_is_gone_everywhere_and_others_keep_their_case() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _guard = runtime.enter();
    let mut office = office();
    let (admin, desk) = (office.desk("admin"), office.desk("worker"));
    hire(office.node(), &admin, &desk, "second", "supervisor", false);
    let second = office.desk("second");
    let anna = desk.register_person(named("Anna", "Peters")).unwrap();
    let ben = desk.register_person(named("Ben", "Peters")).unwrap();
    let alone = desk.open_case(vec![anna], CaseInput::default()).unwrap();
    let shared = desk.open_case(vec![anna, ben], CaseInput::default()).unwrap();
    let note = |text: &str| ActionInput { text: text.into(), ..ActionInput::default() };
    desk.add_action(alone, &note("Only Anna's")).unwrap();
    let task = TaskInput { title: "Call".into(), due: "2099-01-01".into(), ..TaskInput::default() };
    let task = desk.add_task(shared, &task).unwrap();
    let letter = DocumentInput { name: "letter.txt".into(), title: "Letter".into(), ..DocumentInput::default() };
    desk.add_document(alone, &letter, b"dear Anna".to_vec()).unwrap();
    let group = desk.register_person(PersonInput { is_group: true, ..named("Farm", "dwellers") }).unwrap();
    let member = MemberInput { name: "Anna P".into(), person: anna.to_string(), ..MemberInput::default() };
    desk.set_member(group, &member).unwrap();
    let link = LinkInput { person: ben.to_string(), relation: "sibling".into(), ..LinkInput::default() };
    desk.add_link(anna, &link).unwrap();
    let files = || std::fs::read_dir(office.folder.path().join("documents")).unwrap().count();
    assert_eq!(files(), 1);

    assert!(desk.erasure(anna).unwrap().is_busy);
    let in_the_way = [("reason".to_owned(), "erase-open-case".to_owned())];
    assert_eq!(problems(desk.erase_person(anna, "She asked for it")), in_the_way);
    for case in [alone, shared] {
        desk.settle_task(task, TaskState::Done).ok();
        desk.close_case(case, &resolved()).unwrap();
    }
    assert_eq!(problems(desk.erase_person(anna, " ")), [("reason".to_owned(), "required".to_owned())]);
    let view = desk.erasure(anna).unwrap();
    assert_eq!((view.cases.len(), view.shared.len(), view.documents, view.needs_another), (1, 1, 1, true));
    assert!(desk.erase_person(anna, "She asked for it").unwrap(), "it waits");
    assert!(desk.person(anna).is_ok());
    let open = second.requests().unwrap().into_iter().find(|request| request.may_decide).unwrap();
    // Sent back, it cannot be approved from another window.
    let send_back = DecisionInput { approved: false, comment: "Ask her again".into() };
    let yes = DecisionInput { approved: true, ..DecisionInput::default() };
    second.decide(open.id, &send_back).unwrap();
    assert!(second.decide(open.id, &yes).is_err() && desk.person(anna).is_ok());
    // Records that were merged since are not what was asked.
    assert!(desk.erase_person(anna, "She asked again").unwrap());
    let open = second.requests().unwrap().into_iter().find(|request| request.may_decide).unwrap();
    let twin = desk.register_person(named("Thea", "Petersen")).unwrap();
    desk.merge(anna, twin).unwrap();
    assert_eq!(problems(second.decide(open.id, &yes)), [("comment".to_owned(), "erase-changed".to_owned())]);
    desk.unmerge(anna, twin).unwrap();
    let approve = DecisionInput { approved: true, ..DecisionInput::default() };
    assert!(matches!(admin.decide(open.id, &approve), Err(DeskError::Denied(_) | DeskError::NotFound)));
    second.decide(open.id, &approve).unwrap();

    assert!(matches!(desk.decide(open.id, &approve), Err(DeskError::Invalid(_))), "not one's own, and not twice");

    let gone = |office: &TestNode| {
        let desk = office.desk("worker");
        assert!(matches!(desk.person(anna), Err(DeskError::NotFound)));
        assert!(matches!(desk.case(alone), Err(DeskError::NotFound)));
        assert!(desk.search("Anna").unwrap().is_empty());
        let view = desk.case(shared).unwrap();
        assert_eq!(view.clients.iter().map(|client| client.id).collect::<Vec<_>>(), [ben]);
        assert_eq!(desk.cases(&CaseFilter { closed: true, ..CaseFilter::default() }).unwrap().1, 1);
        assert!(desk.person(ben).unwrap().links.is_empty());
        assert!(desk.person(group).unwrap().members.is_empty(), "nor on the roll of a group");
        // The case of the other goes on, and what is written there opens.
        desk.set_case_state(shared, &standing(CaseState::Reopened)).unwrap();
        desk.add_action(shared, &note("Ben came alone")).unwrap();
        desk.close_case(shared, &resolved()).unwrap();
    };
    gone(&office);
    assert_eq!(files(), 0);
    assert!(second.requests().unwrap().iter().any(|request| request.approved), "that it was approved is left");
    office.stop();
    office.start();
    gone(&office);
    office.stop();
    let checked = casemesh_node::vault::check(office.folder.path(), None, |_| ()).unwrap();
    assert!(checked.journal.entries > 10, "the log still verifies");
}

#[test]
fn names_numbers_and_dates_come_in_any_script() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _guard = runtime.enter();
    let office = office();
    let desk = office.desk("worker");
    for (name, beginning, telephone, birth, calendar) in [
        ("ሰላም ተስፋዬ", "ተስፋ", "0911-2233", "1979-01-01", "ethiopic"),
        ("အောင် စန်း", "စန်း", "၀၉၄၅၁၂၃၄", "၁၉၈၆-၀၉-၀၇", "gregorian"),
        ("សុខ វណ្ណា", "វណ្ណ", "០៩២៣៤៥៦៧", "១៩៨៦-០៩-០៧", "gregorian"),
        ("सीता थापा", "थापा", "९८४१२३४५", "२०४३-०५-२२", "bikram_sambat"),
        ("สมชาย ใจดี", "ใจดี", "๐๘๑๒๓๔๕๖", "๒๕๒๙-๐๙-๐๗", "buddhist"),
        ("Nguyễn Văn Đức", "nguyen van duc", "0912 345 678", "1986-09-07", "gregorian"),
    ] {
        let input = PersonInput {
            identity: "self_declared".into(),
            local_name: known(name),
            telephone: known(telephone),
            birth: known(birth),
            birth_calendar: calendar.into(),
            ..PersonInput::default()
        };
        let id = desk.register_person(input).unwrap();
        let finds = |text: &str| desk.search(text).unwrap().iter().any(|hit| hit.id == id);
        assert!(finds(name) && finds(beginning), "{name}");
        assert!(finds(telephone), "{telephone}");
        let view = desk.person(id).unwrap();
        assert_eq!(view.name, name);
        assert_eq!(
            view.birth.value.as_deref(),
            Some("1986-09-07").filter(|_| calendar != "ethiopic").or(Some("1986-09-11"))
        );
    }
}

#[test]
fn an_erased_person_does_not_come_back_with_the_same_file() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _guard = runtime.enter();
    let mut office = office();
    let desk = office.desk("worker");
    let mapping =
        "source = \"old system\"\n[columns.year]\nfield = \"opened_year\"\n[columns.name]\nfield = \"given\"\n";
    let reading = |desk: &Desk| {
        let table = b"year,name\n2012,Anna\n2013,Ben\n";
        Mapping::parse(mapping).unwrap().read(table, &desk.vocabulary()).unwrap()
    };
    assert_eq!(desk.run_import(reading(&desk), |_| ()).unwrap().new, 2);
    let anna = desk.search("Anna").unwrap()[0].id;
    assert!(!desk.erase_person(anna, "She asked for it").unwrap(), "nobody else could approve");
    assert!(desk.search("Anna").unwrap().is_empty());
    let why = desk.requests().unwrap().into_iter().find(|request| request.approved).unwrap();
    assert!(format!("{:?}", why.asked).contains("She asked for it"));
    for _ in 0..2 {
        let desk = office.desk("worker");
        let report = desk.run_import(reading(&desk), |_| ()).unwrap();
        assert_eq!((report.new, report.known), (0, 2));
        assert!(desk.search("Anna").unwrap().is_empty());
        office.stop();
        office.start();
    }
}

#[test]
fn a_history_tells_nobody_whom_the_pages_do_not_show() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _guard = runtime.enter();
    let office = office();
    let (admin, worker) = (office.desk("admin"), office.desk("worker"));
    let colleague = hire(office.node(), &admin, &worker, "colleague", "caseworker", false);
    let hidden = worker.register_person(named("Hidden", "Sister")).unwrap();
    let open = worker.register_person(named("Open", "Brother")).unwrap();
    let group = worker.register_person(PersonInput { is_group: true, ..named("Farm", "dwellers") }).unwrap();
    let line = |person: RecordId, name: &str| MemberInput {
        person: person.to_string(),
        name: name.into(),
        ..MemberInput::default()
    };
    // A line of the roll that stood for the one and stands for the other now.
    let member = worker.set_member(group, &line(hidden, "Hidden Sister")).unwrap();
    let revision = worker.person(group).unwrap().members[0].revision;
    let moved = MemberInput { member: member.to_string(), revision, ..line(open, "Open Brother") };
    worker.set_member(group, &moved).unwrap();
    let relation = LinkInput { person: hidden.to_string(), relation: "sibling".into(), ..LinkInput::default() };
    worker.add_link(open, &relation).unwrap();
    let told = |desk: &Desk, of: RecordId| format!("{:?}", desk.history(HistoryOf::Person(of)).unwrap().versions);
    assert!(told(&worker, group).contains("Hidden Sister"), "{}", told(&worker, group));
    assert!(told(&worker, open).contains("sibling"), "{}", told(&worker, open));
    worker.bar(hidden, colleague).unwrap();
    let desk = office.desk("colleague");
    assert!(!told(&desk, group).contains("Hidden"), "{}", told(&desk, group));
    assert!(told(&desk, group).contains("Open Brother"));
    assert!(!told(&desk, open).contains("link"), "that there is a relation is not told");
    // The record that stands for two tells both, and masks an address that one of them protects.
    let one = PersonInput { address: known("12 Canary Street"), address_protected: true, ..named("Anna", "K") };
    let one = worker.register_person(one).unwrap();
    let other = PersonInput { address: known("12 Canary Street"), ..named("Ana", "Kay") };
    let other = worker.register_person(other).unwrap();
    worker.merge(one, other).unwrap();
    for of in [one, other] {
        let told = told(&desk, of);
        assert!(told.contains("Kay") && told.contains("Anna") && !told.contains("Canary"), "{told}");
    }
    // What an account keeps to itself: whether there is a PIN, and not which.
    desk.set_pin("734912", crate::harness::PASSWORD).unwrap();
    let account = admin.history(HistoryOf::Account(colleague)).unwrap();
    let fields: std::collections::BTreeSet<String> =
        account.versions.into_iter().flat_map(|version| version.changes).map(|change| change.field).collect();
    let known: Vec<&str> = fields.iter().map(String::as_str).collect();
    assert_eq!(known, ["pin", "sign_in_name", "staff_active", "staff_name", "staff_roles"]);
}
