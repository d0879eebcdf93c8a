//! Sample checks: a coordinator asks, the office agrees and draws, somebody other than the writer asks clients, only counts leave.

use crate::harness::{TestNode, eventually, hire, network, new_node};
use crate::referring::{client, known};
use casemesh_node::office::{
    CaseChange, CaseInput, Desk, DeskError, PersonInput, SampleInput, SampleResultInput, SampleView,
};
use casemesh_node::records::SampleState;
use casemesh_protocol::directory::{OfficeKind, Role};
use casemesh_protocol::id::RecordId;
use casemesh_protocol::sample::SampleResult;

fn problem<T: std::fmt::Debug>(result: Result<T, DeskError>) -> String {
    match result {
        Err(DeskError::Invalid(problems)) => format!("{}: {}", problems[0].field, problems[0].problem),
        other => panic!("{other:?}"),
    }
}

/// Only who works on the case sees it from now on.
pub(crate) fn seal(desk: &Desk, case: RecordId) {
    let view = desk.case(case).unwrap();
    let change = CaseChange {
        revision: view.revision,
        sealed: true,
        clients: view.clients.iter().map(|client| client.id).collect(),
        ..CaseChange::default()
    };
    desk.change_case_details(case, &change).unwrap();
}

fn result(result: &str, fields: &[&str]) -> SampleResultInput {
    SampleResultInput { result: result.into(), fields: fields.iter().map(|field| (*field).into()).collect() }
}

fn asked(desk: &Desk, office: &str, count: &str) -> SampleInput {
    let year = desk.today().year();
    SampleInput {
        office: office.into(),
        from: format!("{year}-01-01"),
        to: format!("{year}-12-31"),
        count: count.into(),
    }
}

fn first(desk: &Desk, what: &str, holds: impl Fn(&SampleView) -> bool) -> SampleView {
    eventually(what, || desk.samples().unwrap().into_iter().next().filter(&holds))
}

#[test]
fn a_sample_is_drawn_here_asked_by_others_than_who_wrote_it_and_only_counts_leave() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _guard = runtime.enter();
    let mut advice = TestNode::new(&new_node("Advice office", OfficeKind::AdviceOffice, vec![Role::Office], vec![]));
    let mut national = TestNode::new(&new_node("National", OfficeKind::Coordination, vec![Role::Collector], vec![]));
    let file = network(&[&advice, &national]);
    for node in [&mut advice, &mut national] {
        node.start();
        node.node().join(&file).unwrap();
    }
    let (worker, nomsa) = (advice.desk("worker"), national.desk("worker"));
    hire(advice.node(), &advice.desk("admin"), &worker, "mate", "supervisor", false);
    let mate = advice.desk("mate");
    let mut cases: Vec<RecordId> = (0..4).map(|_| client(&worker).1).collect();
    // Somebody whom nobody can reach safely.
    let hidden = PersonInput { identity: "self_declared".into(), given: known("Thuli"), ..PersonInput::default() };
    let hidden = worker.register_person(hidden).unwrap();
    cases.push(worker.open_case(vec![hidden], CaseInput { case_type: "debt".into(), ..CaseInput::default() }).unwrap());

    // Somebody who objected to being counted is not asked about it either.
    let objects = PersonInput { given: known("Ayanda"), counting: "objected".into(), ..PersonInput::default() };
    let objects = worker.register_person(PersonInput { identity: "self_declared".into(), ..objects }).unwrap();
    worker.open_case(vec![objects], CaseInput::default()).unwrap();

    let office = advice.office.to_string();
    assert_eq!(problem(nomsa.ask_sample(&asked(&nomsa, &office, "4"))), "count: sample-count");
    let day = SampleInput { to: format!("{}-01-02", nomsa.today().year()), ..asked(&nomsa, &office, "5") };
    assert_eq!(problem(nomsa.ask_sample(&day)), "to: sample-days");
    assert_eq!(
        problem(worker.ask_sample(&asked(&worker, &national.office.to_string(), "5"))),
        "office: sample-collectors"
    );
    nomsa.ask_sample(&asked(&nomsa, &office, "10")).unwrap();
    assert!(
        problem(nomsa.ask_sample(&SampleInput { from: String::new(), ..asked(&nomsa, &office, "5") })).contains("from")
    );

    let waiting = first(&mate, "the question arrives", |check| check.state == SampleState::Waiting);
    assert_eq!((waiting.partner.as_deref(), waiting.count, waiting.counts), (Some("National"), 10, None));
    assert_eq!(problem(mate.answer_sample(waiting.id, false, "")), "reason: required");
    mate.answer_sample(waiting.id, true, "").unwrap();
    assert!(mate.answer_sample(waiting.id, true, "").is_err(), "answered once");
    let heard = first(&nomsa, "the answer arrives", |check| check.state == SampleState::Open);
    assert_eq!(heard.counts, None, "not even how many there are");

    let sheet = mate.sample_sheet(waiting.id).unwrap();
    assert_eq!(sheet.lines.len(), 5, "fewer cases than asked for: all who may be counted");
    assert!(sheet.lines.iter().all(|line| line.may_ask));
    let unsafe_line = sheet.lines.iter().find(|line| line.client == "Thuli").unwrap();
    assert!(!unsafe_line.has_safe_way && unsafe_line.telephone.is_empty());
    let safe = sheet.lines.iter().find(|line| line.case == cases[0]).unwrap();
    assert_eq!((safe.telephone.as_str(), safe.safe_contact.code_word.as_str()), ("082 555 0101", "library"));

    // Who wrote the case does not ask.
    assert!(!worker.sample_sheet(waiting.id).unwrap().lines[0].may_ask);
    assert_eq!(problem(worker.note_sample(waiting.id, cases[0], &result("match", &[]))), "result: sample-own");
    assert_eq!(problem(mate.tell_sample(waiting.id)), "result: sample-nothing");
    assert_eq!(problem(mate.note_sample(waiting.id, cases[0], &result("mismatch", &[]))), "fields: required");
    assert_eq!(
        problem(mate.note_sample(waiting.id, cases[0], &result("mismatch", &["shoes"]))),
        "fields: unknown-value"
    );
    mate.note_sample(waiting.id, cases[0], &result("match", &["money"])).unwrap();
    mate.note_sample(waiting.id, cases[1], &result("mismatch", &["money", "services", "money"])).unwrap();
    mate.note_sample(waiting.id, cases[2], &result("not_reached", &[])).unwrap();
    mate.note_sample(waiting.id, cases[4], &result("no_safe_way", &[])).unwrap();
    // What was typed by mistake is typed again.
    mate.note_sample(waiting.id, cases[2], &result("refused", &[])).unwrap();
    assert_eq!(problem(mate.tell_sample(waiting.id)), "result: sample-nothing", "four would tell of one client");
    mate.note_sample(waiting.id, cases[3], &result("match", &[])).unwrap();
    mate.tell_sample(waiting.id).unwrap();
    assert!(mate.note_sample(waiting.id, cases[2], &result("match", &[])).is_err(), "it is over");

    let told = first(&nomsa, "the counts arrive", |check| check.state == SampleState::Told);
    let counts = told.counts.unwrap();
    let of = |result| counts.results.iter().find(|(known, _)| *known == result).unwrap().1;
    use SampleResult::{Match, Mismatch, NoSafeWay, NotReached, Refused};
    assert_eq!([Match, Mismatch, NotReached, Refused, NoSafeWay].map(of), [2, 1, 0, 1, 1]);
    assert_eq!(counts.differing, [], "what one of three said differs is hers");
    assert_eq!((counts.drawn, counts.percent_matching), (5, Some(66)));
    assert!(nomsa.sample_sheet(told.id).unwrap().lines.is_empty(), "who asked knows no case");
    assert!(mate.sample_sheet(waiting.id).unwrap().lines.is_empty(), "nor does anybody look it up again");

    // An office checks itself, and nobody learns of a case that they may not see; it says no to another, with a reason that stays.
    let long_ago = SampleInput { from: "2001-01-01".into(), to: "2001-12-31".into(), ..asked(&mate, "", "5") };
    assert_eq!(problem(mate.ask_sample(&long_ago)), "count: sample-few");
    let own = mate.ask_sample(&asked(&mate, "", "200")).unwrap();
    assert_eq!(mate.sample_sheet(own).unwrap().lines.len(), 5);
    seal(&worker, cases[0]);
    assert_eq!(mate.sample_sheet(own).unwrap().lines.len(), 4);
    hire(advice.node(), &advice.desk("admin"), &worker, "reports", "reporting", false);
    let sheet = advice.desk("reports").sample_sheet(own).unwrap();
    assert!(sheet.lines.is_empty() && sheet.check.counts.is_none());
    nomsa.ask_sample(&asked(&nomsa, &office, "5")).unwrap();
    let again = first(&mate, "another question", |check| check.state == SampleState::Waiting);
    mate.answer_sample(again.id, false, "Flood in the district; nobody can be reached").unwrap();
    let declined = first(&nomsa, "it is declined", |check| check.state == SampleState::Declined);
    assert_eq!(declined.reason, "", "the reason stays");
}
