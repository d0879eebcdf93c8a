//! What an office sees of its own work: figures, what stands behind them, over time, and reports that are made again.

use crate::casework::filled;
use crate::harness::{TestNode, hire, resolved};
use crate::referring::{client, consent, known, refer, started_offices};
use crate::samples::seal;
use casemesh_node::office::{
    ActionInput, CaseChange, CaseInput, Desk, DeskError, FigureView, GrantInput, PaymentInput, PersonInput,
    RegisterInput, ReportLineInput, SavedReportInput, Scope, TaskInput,
};
use casemesh_node::records::TaskState;
use casemesh_protocol::indicators::Topic;
use casemesh_protocol::time::Period;

const ALL: Scope = Scope { topic: None, grant: None, whole: true };

fn this_year(desk: &Desk) -> Period {
    Period::year(desk.today().year()).unwrap()
}

fn figure(desk: &Desk, id: &str, scope: Scope) -> FigureView {
    let report = desk.report(this_year(desk), scope).unwrap();
    report.figures.into_iter().find(|one| one.id == id).unwrap()
}

/// Each cell of a figure: its classes as codes or numbers, and its value.
fn cells(desk: &Desk, id: &str) -> Vec<(String, String)> {
    use casemesh_node::office::ClassView;
    let class = |class: &ClassView| match class {
        ClassView::Code(code) => code.code.clone(),
        ClassView::From { from, .. } => format!("from {from}"),
        ClassView::All => "all".into(),
    };
    let figure = figure(desk, id, ALL);
    let named = |cell: &casemesh_node::office::CellView| {
        (cell.classes.iter().map(class).collect::<Vec<_>>().join("+"), cell.value.clone().unwrap())
    };
    figure.cells.iter().map(named).collect()
}

fn pairs(all: &[(String, String)]) -> Vec<(&str, &str)> {
    all.iter().map(|(class, value)| (class.as_str(), value.as_str())).collect()
}

/// An office with a case in which all kinds of things happened.
fn busy() -> (tokio::runtime::Runtime, TestNode, TestNode) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _guard = runtime.enter();
    let (advice, shelter) = started_offices();
    let desk = advice.desk("worker");
    let (_, case) = client(&desk);
    let today = desk.today();
    let earlier = |days: i32| today.plus_days(-days).to_string();
    let add = |entry: ActionInput| desk.add_action(case, &entry).unwrap();
    let service = |outcome: &str| {
        filled("service", &[("service", "safe_house"), ("service_outcome", outcome), ("cost", "150.50")])
    };
    add(service("done"));
    add(ActionInput { again: true, ..service("done") });
    let mistaken = add(ActionInput { again: true, ..service("unavailable") });
    add(ActionInput { corrects: mistaken.to_string(), void: true, text: "Twice".into(), ..filled("service", &[]) });
    add(filled("risk", &[("risk_level", "low"), ("judgement_reason", "x")]));
    add(filled("risk", &[("risk_level", "high"), ("judgement_reason", "x"), ("safety_plan", "The neighbour knows")]));
    let assessed = |area: &str, score: &str, on: String| ActionInput {
        on,
        ..filled("assessment", &[("assessment_area", area), ("score", score)])
    };
    add(assessed("safety", "3", earlier(9)));
    add(assessed("safety", "7", earlier(0)));
    add(assessed("health", "5", earlier(2)));
    add(filled("feedback", &[("helped", "partly"), ("complaint", "yes")]));
    let corrected = add(ActionInput { text: "Came by".into(), ..ActionInput::default() });
    add(ActionInput { text: "Came by, and left".into(), corrects: corrected.to_string(), ..ActionInput::default() });
    add(filled("party", &[("party_role", "respondent"), ("party_name", "R. Molefe")]));
    let training =
        filled("activity", &[("activity_kind", "training"), ("subject", "Rights"), ("women", "12"), ("men", "3")]);
    desk.add_office_entry(&training).unwrap();
    let line = desk.add_line(RegisterInput { topic: "debt".into(), ..RegisterInput::default() }).unwrap();
    desk.line_turned_away(line, "no_capacity").unwrap();
    drop(_guard);
    (runtime, advice, shelter)
}

#[test]
fn what_was_done_is_counted_from_forms_and_registers() {
    let (runtime, advice, _shelter) = busy();
    let _guard = runtime.enter();
    let desk = advice.desk("worker");
    let of = |id: &str| cells(&desk, id);
    assert_eq!(pairs(&of("services")), [("safe_house+female", "2")], "what was a mistake is not counted");
    assert_eq!(pairs(&of("service_outcomes")), [("safe_house+done", "2")]);
    assert_eq!(pairs(&of("cost")), [("safe_house+ZAR", "301.00")]);
    assert_eq!(pairs(&of("risk")), [("high", "1")], "the last judgement counts");
    let planned = figure(&desk, "safety_plan", ALL);
    assert_eq!((planned.cells[0].value.as_deref(), planned.cells[0].of), (Some("1"), Some(1)));
    let change = figure(&desk, "change", ALL);
    assert_eq!(pairs(&of("change")), [("safety+from 3", "1")]);
    assert_eq!(
        (change.covered, change.missing),
        (Some(2), Some(1)),
        "with one assessment nothing can be said of a change"
    );
    assert_eq!(pairs(&of("helped")), [("partly", "1")]);
    assert_eq!(pairs(&of("complaints")), [("", "1")]);
    assert_eq!(pairs(&of("parties")), [("respondent", "1")]);
    assert_eq!(pairs(&of("participants_women")), [("training", "12")]);
    assert_eq!(pairs(&of("turned_away")), [("no_capacity+debt", "1")]);
    assert_eq!(pairs(&of("late_entries")), [("from 0", "9"), ("from 1", "1"), ("from 8", "1")]);
    // The cases behind what is no case itself.
    let (_, behind, _) = desk.cases_behind("services", this_year(&desk), Some(0), None).unwrap();
    assert_eq!(behind.len(), 1);
    // Who may not see an entry does not count it.
    let medical = ActionInput { tier: "medical".into(), again: true, ..filled("service", &[("service", "health")]) };
    desk.add_action(behind[0].id, &medical).unwrap();
    assert!(cells(&desk, "services").iter().any(|(class, _)| class == "health+female"));
    let admin = advice.desk("admin");
    hire(advice.node(), &admin, &desk, "figures", "reporting", false);
    hire(advice.node(), &admin, &desk, "mate", "caseworker", false);
    let (figures, mate) = (advice.desk("figures"), advice.desk("mate"));
    assert!(cells(&figures, "services").iter().any(|(class, _)| class == "health+female"), "who reports counts all");
    assert!(!cells(&mate, "services").iter().any(|(class, _)| class == "health+female"), "who may not see it does not");
    assert!(
        figures.cases_behind("services", this_year(&desk), Some(0), None).unwrap().1.is_empty(),
        "and sees no case"
    );
    // A colleague's load is for who leads.
    let load = |desk: &Desk| figure(desk, "caseload", ALL).covered.unwrap();
    assert_eq!(load(&mate), 1, "one's own");
    assert!(load(&desk) > 1);
}

/// The report of a period: the set that this program brings, one of the office's own, and what is wrong in it.
#[test]
fn a_report_is_computed_from_data_and_says_what_is_missing() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _guard = runtime.enter();
    let (advice, shelter) = started_offices();
    let desk = advice.desk("worker");
    let (person, case) = client(&desk);
    let untyped = desk.open_case(vec![person], CaseInput::default()).unwrap();
    let agreed = consent(&desk, person, shelter.office, &["names"], &[]);
    refer(&desk, case, shelter.office, agreed);
    let claimed = PaymentInput {
        kind: "claimed".into(),
        amount: "1250.50".into(),
        currency: "ZAR".into(),
        paid: desk.today().to_string(),
        ..PaymentInput::default()
    };
    desk.add_payment(case, claimed).unwrap();
    desk.close_case(untyped, &resolved()).unwrap();
    let period = Period::year(desk.today().year()).unwrap();
    let report = desk.report(period, ALL).unwrap();
    let number = |report: &casemesh_node::office::ReportView, id: &str| {
        report.figures.iter().find(|one| one.id == id).unwrap().clone()
    };
    let opened = number(&report, "opened");
    assert_eq!(
        (opened.covered, opened.missing, opened.cells.len()),
        (Some(2), Some(1), 1),
        "one has no type, and it is said"
    );
    let (_, behind, all) = desk.cases_behind("opened", period, Some(0), None).unwrap();
    assert_eq!((behind.len(), behind[0].id, all), (1, case, 1), "behind the number stands the case");
    let (_, behind, _) = desk.cases_behind("opened", period, None, None).unwrap();
    assert_eq!(
        behind.iter().map(|case| case.id).collect::<Vec<_>>(),
        [untyped],
        "and behind what is missing, what lacks it"
    );
    let (_, behind, _) = desk.cases_behind("new_people", period, Some(0), None).unwrap();
    assert_eq!(behind.len(), 1, "behind somebody stands their latest case");
    let value = |report: &casemesh_node::office::ReportView, id: &str| {
        number(report, id).cells[0].value.as_deref().unwrap().parse::<i64>().unwrap()
    };
    let closed: i64 =
        number(&report, "closed").cells.iter().map(|cell| cell.value.as_deref().unwrap().parse::<i64>().unwrap()).sum();
    assert_eq!(value(&report, "open_at_start") + 2 - closed, value(&report, "open_at_end"), "numbers that balance");
    assert_eq!(number(&report, "money").cells[0].value.as_deref(), Some("1250.50"));
    let people = number(&report, "new_people");
    assert_eq!(
        (people.covered, people.cells[0].value.as_deref()),
        (Some(1), Some("1")),
        "one person, whatever the number of cases"
    );
    assert!(people.crossed().is_none(), "one person is no table");
    let nationality = number(&report, "nationality");
    assert_eq!((nationality.missing, nationality.cells.len()), (Some(1), 0));
    let silent = number(&report, "no_feedback");
    assert!(silent.is_share && (silent.cells[0].value.as_deref(), silent.cells[0].of) == (Some("1"), Some(1)));

    let own = "id = \"ours\"\nversion = 1\n[[indicator]]\nid = \"urgent\"\ntitle = { en = \"Urgent referrals\" }\nsource = \"referrals\"\nwhen = { in = \"sent\" }\nshare = [{ column = \"urgency\", is = [\"urgent\"] }]\n";
    let file = advice.folder.path().join("indicators.toml");
    std::fs::write(&file, own).unwrap();
    let report = desk.report(period, ALL).unwrap();
    assert_eq!(report.sets.last().unwrap(), &("ours".to_owned(), 1));
    assert_eq!((number(&report, "urgent").cells[0].value.as_deref(), report.problem), (Some("1"), None));
    std::fs::write(&file, own.replace("\"urgency\"", "\"hurry\"")).unwrap();
    let report = desk.report(period, ALL).unwrap();
    let problem = report.problem.unwrap();
    assert!(problem.contains("indicators.toml: line 3: urgent: referrals have no column \"hurry\""), "{problem}");
    assert!(report.figures.len() >= 10, "the others are still there");
    // An id that is ours means one thing.
    std::fs::write(&file, own.replace("\"urgent\"\ntitle", "\"opened\"\ntitle")).unwrap();
    let problem = desk.report(period, ALL).unwrap().problem.unwrap();
    assert!(problem.contains("opened is the id of one that comes with the program"), "{problem}");
    // Whoever may not see the case does not count it.
    assert!(advice.desk("admin").report(period, ALL).is_err());
}

#[test]
fn a_report_is_made_again_for_a_grant_with_what_was_planned_and_said() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _guard = runtime.enter();
    let (advice, _shelter) = started_offices();
    let boss = advice.desk("worker");
    hire(advice.node(), &advice.desk("admin"), &boss, "mate", "caseworker", false);
    let desk = advice.desk("mate");
    let year = this_year(&desk);
    let grant = boss
        .add_grant(&GrantInput {
            name: "Rural women".into(),
            from: year.from.to_string(),
            to: year.to.to_string(),
            ..GrantInput::default()
        })
        .unwrap();
    let (person, case) = client(&desk);
    let untyped = desk.open_case(vec![person], CaseInput::default()).unwrap();
    desk.tag_case(case, vec![grant]).unwrap();
    let mut input = SavedReportInput {
        name: "Half-year report".into(),
        every: "chosen".into(),
        grant: grant.to_string(),
        figures: vec!["opened".into(), "people_served".into()],
        ..SavedReportInput::default()
    };
    assert!(matches!(desk.save_report(None, &input), Err(DeskError::Denied(_))), "a caseworker makes none");
    let wrong = SavedReportInput { figures: vec!["sorrows".into()], name: String::new(), ..input.clone() };
    let Err(DeskError::Invalid(problems)) = boss.save_report(None, &wrong) else { panic!("it was taken") };
    assert_eq!(problems.iter().map(|one| one.field.as_str()).collect::<Vec<_>>(), ["name", "figures"]);
    let report = boss.save_report(None, &input).unwrap();
    let said = ReportLineInput { planned: "4".into(), words: "One woman came back to her fields.".into() };
    boss.say_of_figure(report, "opened", &said).unwrap();
    let view = desk.saved_report(report, None).unwrap();
    assert_eq!((view.period.from, view.period.to), (year.from, desk.today()), "a grant's time, until today");
    let line = &view.lines[0];
    assert_eq!((line.planned, line.achieved, line.percent()), (Some(4), Some(1), Some(25)), "of this grant alone");
    // What cannot be told into a class is missing, and nobody's achievement.
    desk.tag_case(untyped, vec![grant]).unwrap();
    let line = desk.saved_report(report, None).unwrap().lines[0].clone();
    assert_eq!((line.achieved, line.figure.missing), (Some(1), Some(1)));
    desk.tag_case(untyped, vec![]).unwrap();
    // An entry that is counted for another grant is not counted for this one.
    let other = GrantInput {
        name: "Fields".into(),
        from: year.from.to_string(),
        to: year.to.to_string(),
        ..GrantInput::default()
    };
    let other = boss.add_grant(&other).unwrap();
    let service = ActionInput { grant: other.to_string(), ..filled("service", &[("service", "health")]) };
    desk.add_action(case, &service).unwrap();
    let of = |grant| figure(&desk, "services", Scope { grant: Some(grant), ..ALL }).covered;
    assert_eq!((of(grant), of(other)), (Some(0), Some(1)));
    assert_eq!(line.words, said.words);
    assert_eq!(figure(&desk, "opened", ALL).covered, Some(2));
    // What was said of a figure that stays is kept; one that goes takes its words along.
    input.figures = vec!["closed".into(), "opened".into()];
    boss.save_report(Some(report), &input).unwrap();
    let view = desk.saved_report(report, Some(year)).unwrap();
    assert_eq!(view.lines.iter().map(|line| line.figure.id.as_str()).collect::<Vec<_>>(), ["closed", "opened"]);
    assert_eq!(view.lines[1].words, said.words);
    boss.drop_report(report).unwrap();
    assert!(desk.saved_report(report, None).is_err() && desk.saved_reports().unwrap().is_empty());
}

#[test]
fn a_figure_over_time_has_a_step_for_each_month_and_says_what_is_missing() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _guard = runtime.enter();
    let (advice, _shelter) = started_offices();
    let desk = advice.desk("worker");
    let (person, _) = client(&desk);
    desk.open_case(vec![person], CaseInput::default()).unwrap();
    let trend = desk.trend("opened", this_year(&desk), None).unwrap();
    let month = usize::from(desk.today().month()) - 1;
    assert_eq!(trend.steps.len(), 12);
    let sum: i64 = trend.lines[0].values.iter().flatten().sum();
    assert_eq!((trend.lines.len(), trend.lines[0].values[month], sum), (1, Some(1), 1));
    // Of a middle there is nothing where nothing is; what only says how it is today has no past.
    let middle = desk.trend("days_to_answer", this_year(&desk), None).unwrap();
    assert!(middle.lines.iter().all(|line| line.values.iter().all(Option::is_none)));
    assert!(desk.trend("idle", this_year(&desk), None).is_err());
    assert_eq!((trend.covered[month], trend.missing[month]), (Some(2), Some(1)));
    assert!(desk.trend("sorrows", this_year(&desk), None).is_err());
    // Ten stand on the first page beside the national three; the others are under their headings.
    let first = desk.report(this_year(&desk), Scope::default()).unwrap();
    assert_eq!(first.figures.len(), 10);
    assert_eq!(
        first.topics,
        [Topic::Cases, Topic::People, Topic::Referrals, Topic::Money, Topic::Work, Topic::Quality]
    );
    let people = Scope { topic: Some(Topic::People), ..Scope::default() };
    assert!(desk.report(this_year(&desk), people).unwrap().figures.iter().any(|one| one.id == "returning"));
}

#[test]
fn what_does_not_fit_together_is_listed_with_its_day_and_what_is_not_filled_in_is_ones_own() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _guard = runtime.enter();
    let (advice, _shelter) = started_offices();
    let desk = advice.desk("worker");
    hire(advice.node(), &advice.desk("admin"), &desk, "mate", "supervisor", false);
    let (_, case) = client(&desk);
    assert!(desk.quality().unwrap().faulty.is_empty());
    let money = |kind: &str, amount: &str, paid: &str| PaymentInput {
        kind: kind.into(),
        amount: amount.into(),
        currency: "ZAR".into(),
        paid: paid.into(),
        ..PaymentInput::default()
    };
    let today = desk.today();
    desk.add_payment(case, money("claimed", "100", "")).unwrap();
    desk.add_payment(case, money("agreed", "80", "")).unwrap();
    desk.add_payment(case, money("recovered", "80", &today.to_string())).unwrap();
    assert!(desk.quality().unwrap().faulty.is_empty(), "all that was agreed was paid");
    desk.add_payment(case, money("recovered", "10", &today.plus_days(-40).to_string())).unwrap();
    let view = desk.quality().unwrap();
    let found: Vec<(&str, _)> = view.faulty[0].faults.iter().map(|(fault, day)| (fault.as_str(), *day)).collect();
    assert_eq!(found, [("recovered-more", today), ("paid-before", today.plus_days(-40))]);
    assert_eq!(figure(&desk, "faulty", ALL).cells[0].value.as_deref(), Some("1"));
    let lacking: Vec<&str> = view.lacking[0].lacks.iter().map(|lack| lack.as_str()).collect();
    assert_eq!(lacking, ["source"], "how she came was not asked");
    let mate = advice.desk("mate").quality().unwrap();
    assert_eq!((mate.faulty.len(), mate.lacking.len()), (1, 0), "nobody else is shown what is not filled in");
    assert!(advice.desk("admin").quality().is_err());
}

/// A number never tells of what somebody may not see: lines of the register that became hidden cases, requests about them.
#[test]
fn visits_and_requests_of_hidden_cases_are_not_counted() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _guard = runtime.enter();
    let (advice, _shelter) = started_offices();
    let desk = advice.desk("worker");
    hire(advice.node(), &advice.desk("admin"), &desk, "mate", "supervisor", false);
    let mate = advice.desk("mate");
    let visits = |desk: &Desk| figure(desk, "consults", ALL).covered.unwrap();
    let line = RegisterInput { topic: "debt".into(), visitor: "Nomvula".into(), ..RegisterInput::default() };
    let line = desk.add_line(line).unwrap();
    assert_eq!((visits(&desk), visits(&mate)), (1, 1));
    let case = desk.line_to_case(line, None).unwrap();
    assert_eq!((visits(&desk), visits(&mate)), (1, 1));
    seal(&desk, case);
    assert_eq!((visits(&desk), visits(&mate)), (1, 0), "a line that became a case for others alone is not there");
    // Nor what was asked about it.
    let asked = |desk: &Desk| figure(desk, "approvals", ALL).covered.unwrap();
    let before = (asked(&desk), asked(&mate));
    let goal = desk.add_action(case, &filled("goal", &[("need", "A room")])).unwrap();
    desk.ask_approval(case, goal).unwrap();
    assert_eq!((asked(&desk), asked(&mate)), (before.0 + 1, before.1));
}

/// Rows of figures are kept from one look to the next, and those that changed are made anew: after each kind of change, and another one,
/// they say what a node that just started says.
#[test]
fn rows_that_are_kept_say_what_fresh_ones_say() {
    let (runtime, mut advice, shelter) = busy();
    let _guard = runtime.enter();
    let desk = advice.desk("worker");
    let (client_of_case, case) = client(&desk);
    let (person, over) = client(&desk);
    let (double, third) = client(&desk);
    let agreed = consent(&desk, client_of_case, shelter.office, &["names"], &[]);
    // Another case has of everything one, so that what stays and what is made anew stand side by side.
    let pay = |desk: &Desk, case| {
        let (kind, amount, currency) = ("recovered".into(), "75".into(), "ZAR".into());
        let paid = desk.today().to_string();
        desk.add_payment(case, PaymentInput { kind, amount, currency, paid, ..PaymentInput::default() }).unwrap();
    };
    let call = |desk: &Desk, case| {
        let (title, due) = ("Call".into(), desk.today().to_string());
        desk.add_task(case, &TaskInput { title, due, ..TaskInput::default() }).unwrap();
    };
    pay(&desk, third);
    call(&desk, third);
    let also = consent(&desk, double, shelter.office, &["names"], &[]);
    refer(&desk, third, shelter.office, also);
    // A colleague sees less: her own cases and those of nobody.
    let mate = hire(advice.node(), &advice.desk("admin"), &desk, "mate", "caseworker", false);
    let grant = GrantInput {
        name: "Rural women".into(),
        from: desk.today().plus_days(-30).to_string(),
        to: desk.today().to_string(),
        ..GrantInput::default()
    };
    let grant = desk.add_grant(&grant).unwrap();
    drop(desk);
    let task = |desk: &Desk| desk.case(case).unwrap().tasks.first().unwrap().id;
    type Change<'a> = &'a dyn Fn(&Desk);
    let steps: [(&str, Change<'_>); 23] = [
        ("a line of the register", &|desk| {
            desk.add_line(RegisterInput { note: "x".into(), ..RegisterInput::default() }).unwrap();
        }),
        ("an entry", &|desk| {
            desk.add_action(case, &filled("risk", &[("risk_level", "high"), ("judgement_reason", "x")])).unwrap();
        }),
        ("an assessment", &|desk| {
            desk.add_action(case, &filled("assessment", &[("assessment_area", "safety"), ("score", "4")])).unwrap();
        }),
        ("an entry of the office's own", &|desk| {
            let training = [("activity_kind", "training"), ("subject", "Wages"), ("women", "5"), ("men", "6")];
            desk.add_office_entry(&filled("activity", &training)).unwrap();
        }),
        ("a payment", &|desk| pay(desk, case)),
        ("a task", &|desk| call(desk, case)),
        ("a task that is done", &|desk| desk.settle_task(task(desk), TaskState::Done).unwrap()),
        ("a referral", &|desk| {
            refer(desk, case, shelter.office, agreed);
        }),
        ("a trait of somebody", &|desk| {
            let (identity, given, sex) = ("self_declared".into(), known("Sipho"), known("male"));
            let input = PersonInput { identity, given, sex, ..PersonInput::default() };
            desk.change_person(client_of_case, 1, input).unwrap();
        }),
        ("what a case is about", &|desk| {
            desk.tag_cases("case_type", "debt", &[case]).unwrap();
        }),
        ("whom a case is about", &|desk| {
            let revision = desk.case(over).unwrap().revision;
            let change = CaseChange { revision, clients: vec![person, double], ..CaseChange::default() };
            desk.change_case_details(over, &change).unwrap();
        }),
        ("whom it is not about any more", &|desk| {
            let revision = desk.case(over).unwrap().revision;
            let change = CaseChange { revision, clients: vec![person], ..CaseChange::default() };
            desk.change_case_details(over, &change).unwrap();
        }),
        ("what is counted for a grant", &|desk| desk.tag_case(case, vec![grant]).unwrap()),
        ("whose case it is", &|desk| desk.assign_case(third, mate).unwrap()),
        ("a sealed case", &|desk| seal(desk, case)),
        ("who is shut out", &|desk| desk.bar(double, mate).unwrap()),
        ("a case that is sealed from the beginning", &|desk| {
            let (given, identity) = (known("Zanele"), "self_declared".into());
            let person = PersonInput { given, identity, ..PersonInput::default() };
            let person = desk.register_person(person).unwrap();
            desk.open_case(vec![person], CaseInput { sealed: true, ..CaseInput::default() }).unwrap();
        }),
        ("a note to a case of hers", &|desk| {
            let served = filled("service", &[("service", "safe_house"), ("service_outcome", "done")]);
            desk.add_action(third, &served).unwrap();
        }),
        ("a closed case", &|desk| desk.close_case(over, &resolved()).unwrap()),
        ("a new person with a case", &|desk| {
            client(desk);
        }),
        ("two records of one person", &|desk| desk.merge(person, double).unwrap()),
        ("and taken apart", &|desk| desk.unmerge(person, double).unwrap()),
        ("an erased person", &|desk| {
            desk.erase_person(person, "She asks for it").unwrap();
        }),
    ];
    let scopes = [ALL, Scope { grant: Some(grant), ..ALL }];
    let figures = |node: &TestNode| -> Vec<Vec<FigureView>> {
        let of = |name| {
            let desk = node.desk(name);
            scopes.map(|scope| desk.report(this_year(&desk), scope).unwrap().figures)
        };
        ["worker", "mate"].map(of).into_iter().flatten().collect()
    };
    for (what, change) in steps {
        let before = figures(&advice);
        let desk = advice.desk("worker");
        change(&desk);
        assert_ne!(before, figures(&advice), "{what} is counted");
        desk.add_action(case, &ActionInput { again: true, ..filled("feedback", &[("helped", "partly")]) }).unwrap();
        let kept = figures(&advice);
        drop(desk);
        advice.stop();
        advice.start();
        assert_eq!(kept, figures(&advice), "{what}");
    }
}
