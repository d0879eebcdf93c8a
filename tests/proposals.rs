//! What a network agrees on is proposed, commented and signed; codes that it takes up are given to cases of before.

use crate::browser::Walk;
use crate::cli::casemesh;
use crate::harness::eventually;
use crate::statistics::{Network, cells, figure, problem, some, year};
use casemesh::serve::Served;
use casemesh_node::office::{ActionInput, CaseInput, CommentInput, Desk, DeskError, PersonInput, ProposalInput};
use casemesh_protocol::proposal::Stance;
use casemesh_protocol::time::Period;

/// A new problem becomes a code of all offices: stewards sign it, each office has it from its day on, and cases of before get it by their words.
#[test]
fn a_code_is_taken_up_by_the_network_and_given_to_cases_of_before() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _guard = runtime.enter();
    let mut network = Network::new(2);
    network.start();
    let desks: Vec<Desk> = network.offices.iter().map(|node| node.desk("worker")).collect();
    let opened = |desk: &Desk, summary: &str| {
        let person =
            PersonInput { identity: "anonymous".into(), counting: "headcount".into(), ..PersonInput::default() };
        let person = desk.register_person(person).unwrap();
        let case = CaseInput { case_type: "social_grant".into(), summary: summary.into(), ..CaseInput::default() };
        desk.open_case(vec![person], case).unwrap()
    };
    let said = opened(&desks[0], "Airtime was taken from her grant again");
    let noted = opened(&desks[0], "Her money is less each month");
    let entry = ActionInput {
        kind: "note".into(),
        text: "The slip shows deductions for airtime".into(),
        ..ActionInput::default()
    };
    desks[0].add_action(noted, &entry).unwrap();
    opened(&desks[0], "The grant was refused");

    let text = r#"
id = "deductions"
version = 1
[[code]]
list = "case_type"
code = "grant_deduction"
label = { en = "Deduction from a social grant", fr = "Retenue sur une allocation" }
[[code]]
list = "deduction"
code = "airtime"
label = { en = "Airtime" }
[[code]]
list = "deduction"
code = "funeral_policy"
label = { en = "Funeral policy" }
from = "2999-01-01"
"#;
    let wrong = network.file("wrong.toml");
    std::fs::write(&wrong, text.replace("grant_deduction", "social_grant")).unwrap();
    let refused = casemesh(&["stats", "check", &wrong], "");
    assert!(refused.code != 0 && refused.error.contains("line 4: social_grant: the list"), "{}", refused.error);
    network.agree(text);
    network.tell();
    let offered = |desk: &Desk, list: &str| -> Vec<String> {
        desk.vocabulary().terms(list).filter(|term| term.offered).map(|term| term.code).collect()
    };
    let collector = network.collector.desk("worker");
    for desk in desks.iter().chain([&collector]) {
        eventually("the code is there", || {
            offered(desk, "case_type").contains(&"grant_deduction".to_owned()).then_some(())
        });
        assert_eq!(offered(desk, "deduction"), ["airtime"], "the other from its day on");
        assert_eq!(desk.agreements().unwrap().0[0].id, "national", "a text of codes asks for no figures");
    }

    let find = |words: &str| desks[0].cases_to_tag("case_type", "grant_deduction", words).unwrap().0;
    let found: Vec<_> = find("airtime").into_iter().map(|one| one.case).collect();
    assert!(found.len() == 2 && found.contains(&said) && found.contains(&noted));
    assert!(find("slip airtime")[0].text.starts_with("The slip shows"), "what is shown is what holds the words");
    assert_eq!(problem(desks[0].cases_to_tag("case_type", "grant_deduction", " ")), "required");
    assert!(
        matches!(desks[0].cases_to_tag("sex", "female", "airtime"), Err(DeskError::NotFound)),
        "a person is no case"
    );
    assert_eq!(desks[0].tag_cases("case_type", "grant_deduction", &found).unwrap(), 2);
    assert_eq!(desks[0].tag_cases("case_type", "grant_deduction", &found).unwrap(), 0, "once");
    assert_eq!(desks[0].tag_cases("deduction", "airtime", &[said]).unwrap(), 1);
    assert!(find("airtime").is_empty());
    let case = desks[0].case(said).unwrap();
    assert_eq!(case.summary.case_type.unwrap().label, "Deduction from a social grant");

    // Both offices tell the same code, and the collector knows it.
    let case = CaseInput { case_type: "grant_deduction".into(), ..CaseInput::default() };
    let person = PersonInput { identity: "anonymous".into(), counting: "headcount".into(), ..PersonInput::default() };
    let person = desks[1].register_person(person).unwrap();
    desks[1].open_case(vec![person], case).unwrap();
    let today = desks[0].today();
    let this_year = Period::new(year(today.year()).from, today).unwrap();
    for desk in &desks {
        desk.approve_table("", this_year, None).unwrap();
    }
    let total = eventually("both tables came", || {
        Some(collector.collected("national", Some(this_year)).unwrap()).filter(|view| view.told == 2)
    });
    assert_eq!(cells(figure(&total.total, "cases_by_type"))["grant_deduction"], some("3"));
    assert!(total.unknown.is_empty(), "{:?}", total.unknown);

    // What the network ends is not offered any more, and cases keep it.
    let (net, key) = (network.file("the.net"), network.file("one.key"));
    network.does(&["join", "change", "--network", &net, "--steward", &key, "--end-agreement", "deductions"]);
    network.tell();
    eventually("it ends", || (!offered(&desks[0], "case_type").contains(&"grant_deduction".to_owned())).then_some(()));
    assert!(desks[0].vocabulary().code("case_type", "grant_deduction").is_some());
}

/// A text is shown to all offices, each says what it thinks, and then stewards sign it.
#[test]
fn what_is_proposed_is_commented_before_it_is_signed() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _guard = runtime.enter();
    let mut network = Network::new(2);
    network.start();
    let desks: Vec<Desk> = network.offices.iter().map(|node| node.desk("worker")).collect();
    let collector = network.collector.desk("worker");
    let text = "id = \"deductions\"\nversion = 1\n[[code]]\nlist = \"case_type\"\ncode = \"grant_deduction\"\nlabel = { en = \"Deduction from a grant\" }";
    let proposal = |text: &str| ProposalInput {
        text: text.into(),
        why: "Three offices told us of it".into(),
        until: collector.today().plus_days(10).to_string(),
    };
    assert!(matches!(desks[0].propose(&proposal(text)), Err(DeskError::Denied(_))), "who coordinates proposes");
    assert_eq!(problem(collector.propose(&proposal(&text.replace("grant_deduction", "land")))), "agreement-wrong");
    let ours = collector.propose(&proposal(text)).unwrap();
    assert_eq!(problem(collector.propose(&proposal(text))), "proposal-known");

    let came = |desk: &Desk| desk.proposals().unwrap().into_iter().next();
    let theirs: Vec<_> = desks.iter().map(|desk| eventually("the proposal came", || came(desk))).collect();
    assert_eq!(
        (theirs[0].from.as_deref(), theirs[0].is_open, desks[0].home().unwrap().proposals),
        (Some("Collector"), true, 1)
    );
    assert_eq!(theirs[0].codes[0].1["en"], "Deduction from a grant");
    let says = |stance: &str, said: &str| CommentInput { stance: stance.into(), said: said.into() };
    assert_eq!(problem(desks[0].comment(theirs[0].id, &says("change", ""))), "required", "a change is said in words");
    desks[0].comment(theirs[0].id, &says("change", "Loans as well")).unwrap();
    desks[1].comment(theirs[1].id, &says("against", "Not now")).unwrap();
    // The last word counts.
    desks[1].comment(theirs[1].id, &says("agree", "")).unwrap();
    assert_eq!(desks[0].home().unwrap().proposals, 0);
    let view = eventually("both offices said it", || {
        Some(collector.proposal(ours).unwrap())
            .filter(|view| view.comments.len() == 2 && view.count(Stance::Agree) == 1)
    });
    assert_eq!((view.asked, view.count(Stance::Change), view.count(Stance::Against)), (Some(2), 1, 0));
    assert_eq!((view.comments[0].office.as_str(), view.comments[0].said.as_str()), ("Office 0", "Loans as well"));
    assert!(
        !view.is_signed && desks[0].vocabulary().code("case_type", "grant_deduction").is_none(),
        "nothing holds yet"
    );

    network.agree(&view.text);
    network.tell();
    eventually("it is signed", || collector.proposal(ours).unwrap().is_signed.then_some(()));
    let signed = desks[0].proposal(theirs[0].id).unwrap();
    assert!(signed.is_signed && !signed.is_open);
    let loans = text.replace("grant_deduction", "loan_deduction");
    assert_eq!(problem(collector.propose(&proposal(&loans))), "agreement-wrong", "version 1 holds already");
    let loans = loans.replace("version = 1", "version = 2");

    let person =
        desks[0].register_person(PersonInput { identity: "anonymous".into(), ..PersonInput::default() }).unwrap();
    let summary = "Airtime was taken from her grant".into();
    desks[0].open_case(vec![person], CaseInput { summary, ..CaseInput::default() }).unwrap();

    drop((desks, collector));
    let Some(tools) = Walk::tools() else { return };
    network.collector.stop();
    network.offices[0].stop();
    runtime.block_on(async {
        let walk = Walk::open(tools).await;
        let served = Served::start(network.collector.to_serve()).await.unwrap();
        let base = format!("http://{}/", served.address);
        walk.sign_in(&base, "worker").await;
        walk.go(&format!("{base}proposals/{ours}")).await;
        walk.shows("Loans as well").await;
        walk.check("proposal-ours").await;
        walk.go(&format!("{base}proposals")).await;
        walk.fill("form[action='/proposals']", &[("why", "Two offices asked"), ("text", "id = \"x\"\nversion = 2")])
            .await;
        walk.press("form[action='/proposals']").await;
        walk.shows("The network could not agree on this").await;
        walk.check("proposals-problem").await;
        walk.fill("form[action='/proposals']", &[("text", &loans)]).await;
        walk.press("form[action='/proposals']").await;
        let office = Served::start(network.offices[0].to_serve()).await.unwrap();
        let base = format!("http://{}/", office.address);
        walk.sign_in(&base, "worker").await;
        walk.reload_until("waits for what your office thinks").await;
        walk.check("home-proposals").await;
        walk.press("a[href='/proposals']").await;
        walk.check("proposals").await;
        walk.press("li.late a").await;
        walk.check("proposal").await;
        walk.press("form[action$='/comment']").await;
        walk.shows("This is needed").await;
        walk.go(&format!("{base}lists/case_type?text=deduction")).await;
        walk.check("list-network").await;
        walk.press("a[href$='/grant_deduction/tag']").await;
        walk.check("tag").await;
        walk.fill("form.quick", &[("words", "airtime")]).await;
        walk.press("form.quick").await;
        walk.shows("Airtime was taken from her grant").await;
        walk.check("tag-found").await;
        walk.press("form:has(#cases)").await;
        walk.shows("Tick at least one case").await;
        walk.check("tag-problem").await;
        walk.close().await;
    });
}
