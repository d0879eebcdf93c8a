//! Code lists and forms that an office makes, changes and imports.

use crate::harness::{TestNode, new_node};
use casemesh_node::forms::About;
use casemesh_node::office::{
    ActionInput, CaseInput, CodeListInput, Desk, DeskError, FieldInput, FormFieldInput, FormInput, ListMapping,
    PersonInput, TermInput,
};
use casemesh_protocol::directory::{OfficeKind, Role};

fn office() -> TestNode {
    let mut new = new_node("Office", OfficeKind::AdviceOffice, vec![Role::Office], vec![]);
    new.pack = "community_advice".into();
    let mut office = TestNode::new(&new);
    office.start();
    office
}

fn known(value: &str) -> FieldInput {
    FieldInput { state: "known".into(), value: value.into() }
}

fn case(desk: &Desk, case_type: &str) -> Result<casemesh_protocol::id::RecordId, DeskError> {
    let person = PersonInput { identity: "self_declared".into(), given: known("Anna"), ..PersonInput::default() };
    let person = desk.register_person(person)?;
    desk.open_case(vec![person], CaseInput { case_type: case_type.into(), ..CaseInput::default() })
}

fn field(label: &str, kind: &str, list: &str) -> FormFieldInput {
    FormFieldInput { label: label.into(), kind: kind.into(), list: list.into(), ..FormFieldInput::default() }
}

fn journal_bytes(office: &TestNode) -> u64 {
    let segments = std::fs::read_dir(office.folder.path().join("journal")).unwrap();
    segments.map(|segment| segment.unwrap().metadata().unwrap().len()).sum()
}

fn problems<T: std::fmt::Debug>(result: Result<T, DeskError>) -> Vec<(String, String)> {
    match result {
        Err(DeskError::Invalid(problems)) => problems.into_iter().map(|one| (one.field, one.problem)).collect(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_office_adds_choices_and_hides_others_and_records_keep_theirs() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _guard = runtime.enter();
    let mut office = office();
    let (desk, admin) = (office.desk("worker"), office.desk("admin"));
    let dust =
        TermInput { label: "Mining dust".into(), explanation: "Illness from a mine".into(), ..TermInput::default() };
    assert!(matches!(desk.put_term("case_type", &dust), Err(DeskError::Denied(_))), "who administers changes lists");
    let code = admin.put_term("case_type", &dust).unwrap();
    assert_eq!(problems(admin.put_term("case_type", &dust)), [("label".to_owned(), "label-taken".to_owned())]);
    let id = case(&desk, &code).unwrap();
    let by_label = case(&desk, "mining dust").unwrap();
    for id in [id, by_label] {
        assert_eq!(desk.case(id).unwrap().summary.case_type.unwrap().label, "Mining dust");
    }
    // Taken away again: not offered, and the case keeps it.
    admin.put_term("case_type", &TermInput { code: code.clone(), offered: false, ..dust }).unwrap();
    admin.put_term("case_type", &TermInput { code: "land".into(), ..TermInput::default() }).unwrap();
    let offered = |desk: &Desk| {
        let terms = desk.terms("case_type", "").unwrap().into_iter();
        terms.filter(|view| view.term.offered).map(|view| view.term.code).collect::<Vec<_>>()
    };
    assert!(!offered(&desk).contains(&code) && !offered(&desk).contains(&"land".to_owned()));
    assert!(offered(&desk).contains(&"eviction".to_owned()));
    // It is all there after a restart.
    office.stop();
    office.start();
    let desk = office.desk("worker");
    assert!(!offered(&desk).contains(&"land".to_owned()));
    assert_eq!(desk.case(id).unwrap().summary.case_type.unwrap().code, code);
    assert!(matches!(desk.terms("no_such_list", ""), Err(DeskError::NotFound)));
}

#[test]
fn a_form_of_the_office_is_filled_in_changed_and_corrected() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _guard = runtime.enter();
    let office = office();
    let (desk, admin) = (office.desk("worker"), office.desk("admin"));
    let list = admin.add_code_list(&CodeListInput { title: "Kinds of farm".into() }).unwrap();
    let wine = admin.put_term(&list, &TermInput { label: "Wine".into(), ..TermInput::default() }).unwrap();
    let mut form = FormInput {
        title: "Farm visit".into(),
        about: "case".into(),
        fields: vec![
            FormFieldInput { required: true, ..field("Farm", "line", "") },
            field("Kind of farm", "code", &list),
            field("Dwellers", "number", ""),
        ],
        ..FormInput::default()
    };
    assert!(matches!(desk.put_form(None, &form), Err(DeskError::Denied(_))));
    let nothing = FormInput { fields: vec![field("", "line", "")], ..form.clone() };
    assert_eq!(problems(admin.put_form(None, &nothing)), [("fields".to_owned(), "form-size".to_owned())]);
    let wrong = FormInput { fields: vec![field("Kind", "code", "no_such_list")], ..form.clone() };
    assert_eq!(problems(admin.put_form(None, &wrong)), [("1:list".to_owned(), "unknown-value".to_owned())]);
    let id = admin.put_form(None, &form).unwrap();
    let case = case(&desk, "eviction").unwrap();
    let visit = |answers: &[(&str, &str)]| ActionInput {
        form: id.clone(),
        answers: answers.iter().map(|(field, value)| ((*field).to_owned(), known(value))).collect(),
        ..ActionInput::default()
    };
    assert_eq!(problems(desk.add_action(case, &visit(&[])))[0], ("own_farm".to_owned(), "required".to_owned()));
    let entry = desk
        .add_action(case, &visit(&[("own_farm", "Rose Hill"), ("own_kind_of_farm", &wine), ("own_dwellers", "40")]));
    let entry = entry.unwrap();
    let seen = desk.case(case).unwrap();
    assert_eq!(seen.actions[0].kind.label, "Farm visit");
    assert_eq!(seen.actions[0].answers[1].value.value.as_deref(), Some("Wine"));
    // Who changes what somebody else changed meanwhile is told, and overwrites nothing.
    let read = admin.form_revision(&id).unwrap();
    let stale = FormInput { revision: Some(read.wrapping_sub(1)), ..form.clone() };
    assert!(matches!(admin.put_form(Some(&id), &stale), Err(DeskError::Vault(_))));
    form.revision = Some(read);
    // A field is left out and one comes in; what kind of answer a field has does not change any more.
    form.fields = vec![
        FormFieldInput { id: "own_farm".into(), ..field("Name of the farm", "number", "") },
        FormFieldInput { id: "own_dwellers".into(), retired: true, ..field("Dwellers", "number", "") },
        field("Owner", "line", ""),
    ];
    admin.put_form(Some(&id), &form).unwrap();
    let now = desk.forms(About::Case).into_iter().find(|form| form.id == id).unwrap();
    let asked: Vec<&str> = now.asked().map(|field| field.id.as_str()).collect();
    assert_eq!(asked, ["own_farm", "own_owner", "own_kind_of_farm"], "what was not named stays");
    let corrected = ActionInput {
        corrects: entry.to_string(),
        ..visit(&[("own_farm", "Rose Hill"), ("own_dwellers", "41"), ("own_owner", "Mr Venter")])
    };
    desk.add_action(case, &corrected).unwrap();
    let answers = &desk.case(case).unwrap().actions[0].answers;
    assert!(
        answers.iter().any(|answer| answer.field == "own_dwellers"),
        "an answer to a field that was left out stays"
    );
    // A retired form takes no new entries; those there are can be corrected.
    assert!(admin.put_form(Some(&id), &form).is_err(), "the revision was used up");
    admin.put_form(Some(&id), &FormInput { retired: true, revision: None, ..form }).unwrap();
    assert_eq!(problems(desk.add_action(case, &visit(&[("own_farm", "x")])))[0].0, "form");
    let last = desk.case(case).unwrap().actions[0].id;
    let again = ActionInput { corrects: last.to_string(), ..visit(&[("own_farm", "Rose Hill 2")]) };
    desk.add_action(case, &again).unwrap();
}

#[test]
fn a_form_of_the_program_has_the_offices_fields_and_not_those_it_leaves_out() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _guard = runtime.enter();
    let office = office();
    let (desk, admin) = (office.desk("worker"), office.desk("admin"));
    let out = |id: &str| FormFieldInput { id: id.into(), retired: true, ..FormFieldInput::default() };
    let input = FormInput {
        fields: vec![out("harm"), out("incident_kind"), field("Weather", "line", "")],
        ..FormInput::default()
    };
    admin.put_form(Some("incident"), &input).unwrap();
    let form = desk.forms(About::Case).into_iter().find(|form| form.id == "incident").unwrap();
    let asked: Vec<&str> = form.asked().map(|field| field.id.as_str()).collect();
    assert!(asked.contains(&"incident_kind"), "what an entry needs cannot be left out");
    assert!(!asked.contains(&"harm") && asked.contains(&"own_weather"));
    // Alerts and parties feed lists and checks: they stay whole.
    admin.put_form(Some("party"), &FormInput { fields: vec![out("organisation")], ..FormInput::default() }).unwrap();
    let party = desk.forms(About::Case).into_iter().find(|form| form.id == "party").unwrap();
    assert!(party.asked().any(|field| field.id == "organisation"));
    assert!(matches!(admin.put_form(Some("nothing"), &FormInput::default()), Err(DeskError::NotFound)));
}

#[test]
fn lists_of_others_are_imported_once_and_chosen_from() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _guard = runtime.enter();
    let office = office();
    let (desk, admin) = (office.desk("worker"), office.desk("admin"));
    let mapping = ListMapping::parse(include_str!("mappings/cpims_areas.toml")).unwrap();
    let entry = |area: &str, code: u32, name: &str| {
        format!(
            r#"{{"fields": {{"area_type_id": "{area}", "area_code": {code}, "area_name": "{name}", "is_void": "False"}}}}"#
        )
    };
    let wards: Vec<String> = (1..=200).map(|number| entry("GWRD", number, &format!("Ward {number}"))).collect();
    let file = format!("[{}, {}]", entry("GPRV", 1, "Coast"), wards.join(", "));
    let read = mapping.read(file.as_bytes()).unwrap();
    assert!(matches!(desk.import_lists(&read, true), Err(DeskError::Denied(_))));
    let checked = admin.import_lists(&read, true).unwrap();
    assert_eq!((checked.new, checked.lists), (201, 2));
    assert!(desk.terms("area_gwrd", "").is_err(), "checking imports nothing");
    admin.import_lists(&read, false).unwrap();
    let before = journal_bytes(&office);
    let again = admin.import_lists(&read, false).unwrap();
    assert_eq!((again.new, again.changed, again.known), (0, 0, 201));
    assert_eq!(journal_bytes(&office), before, "nothing is written the second time");
    assert_eq!(desk.code_lists().iter().find(|list| list.name == "area_gwrd").unwrap().title, "Wards");
    let form = FormInput {
        title: "Origin".into(),
        about: "case".into(),
        fields: vec![field("Ward", "code", "area_gwrd")],
        ..FormInput::default()
    };
    let form = admin.put_form(None, &form).unwrap();
    let case = case(&desk, "eviction").unwrap();
    let answer = |text: &str| ActionInput {
        form: form.clone(),
        answers: [("own_ward".to_owned(), known(text))].into(),
        ..ActionInput::default()
    };
    desk.add_action(case, &answer("ward 17")).unwrap();
    let code = desk.case(case).unwrap().actions[0].answers[0].value.code.clone();
    assert_eq!(code.as_deref(), Some("17"), "a code is typed by its label");
    match desk.add_action(case, &answer("ward 19x")) {
        Err(DeskError::Invalid(problems)) => assert_eq!(problems[0].problem, "unknown-value"),
        other => panic!("{other:?}"),
    }
    match desk.add_action(case, &answer("19")) {
        Ok(_) => {}
        other => panic!("{other:?}"),
    }
    match desk.add_action(case, &answer("rd 19")) {
        Err(DeskError::Invalid(problems)) => {
            assert_eq!(problems[0].problem, "unknown-like");
            assert!(problems[0].detail.contains("Ward 190 (190)"), "{}", problems[0].detail);
        }
        other => panic!("{other:?}"),
    }
}
