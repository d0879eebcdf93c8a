//! What offices say of themselves, and the search for whoever can help.

use crate::harness::{TestNode, eventually, hire, network, new_node};
use crate::referring::{client, consent, refer, sharing, started_offices, wait_for};
use casemesh_node::clock::Clock;
use casemesh_node::office::{ConsentInput, DeskError, EntryInput, OfferInput, OfferSearch, ReferralInput};
use casemesh_protocol::directory::{Capacity, OfficeKind, Role};

#[test]
fn what_an_office_says_is_found_by_others_and_doubted_when_it_is_old() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _guard = runtime.enter();
    let (mut advice, shelter) = started_offices();
    let (desk, theirs) = (advice.desk("worker"), shelter.desk("worker"));
    let offer = |service: &str, min: &str, max: &str, capacity: &str| OfferInput {
        service: service.into(),
        description: "Women with children".into(),
        min_age: min.into(),
        max_age: max.into(),
        capacity: capacity.into(),
        ..OfferInput::default()
    };
    theirs.change_offer(&offer("safe_house", "18", "", "available")).unwrap();
    theirs.change_offer(&offer("health", "", "12", "none")).unwrap();
    let closed = Clock::system().now().plus_days(20).day();
    theirs
        .change_entry(&EntryInput {
            area: "Ugu district".into(),
            languages: "isiZulu, English".into(),
            telephone: "039 555 0100".into(),
            closed_until: closed.to_string(),
            hidden: None,
            reports_to: None,
        })
        .unwrap();
    let search = |service: &str, words: &str, language: &str, age: &str| {
        let search =
            OfferSearch { service: service.into(), words: words.into(), language: language.into(), age: age.into() };
        desk.find_offers(&search).unwrap()
    };
    let found = eventually("the new card comes", || {
        Some(search("safe_house", "", "", "")).filter(|found| found.iter().any(|one| one.closed_until == Some(closed)))
    });
    assert_eq!(found[0].offer.capacity, Capacity::Available);
    assert!(found[0].telephone == "039 555 0100" && !found[0].offer.is_stale && found[0].languages.len() == 2);
    assert_eq!(search("", "ugu chil", "isiz", "30").len(), 1, "the shelter, and not its clinic for children");
    assert_eq!(
        search("", "", "", "9").iter().map(|one| one.offer.service.code.as_str()).collect::<Vec<_>>(),
        ["health"]
    );
    assert!(search("", "", "Khmer", "").is_empty() && search("legal_assistance", "", "", "").is_empty());
    let wrong = desk.find_offers(&OfferSearch { age: "old".into(), ..OfferSearch::default() });
    assert!(matches!(wrong, Err(DeskError::Invalid(problems)) if problems[0].problem == "not-a-number"));

    // Who is not asked says nothing; what cannot be said is refused in the field.
    hire(advice.node(), &advice.desk("admin"), &desk, "thandi", "caseworker", false);
    assert!(advice.desk("thandi").change_entry(&EntryInput::default()).is_err());
    let refused = |error: DeskError| match error {
        DeskError::Invalid(problems) => problems.into_iter().map(|problem| (problem.field, problem.problem)).collect(),
        other => panic!("{other}"),
    };
    let hidden: Vec<(String, String)> = refused(
        desk.change_entry(&EntryInput {
            hidden: Some(true),
            closed_until: "2020-01-01".into(),
            ..EntryInput::default()
        })
        .unwrap_err(),
    );
    assert_eq!(hidden, [("closed_until".into(), "day-is-past".into()), ("hidden".into(), "hidden-needs-hub".into())]);
    let ages: Vec<(String, String)> = refused(desk.change_offer(&offer("safe_house", "40", "20", "")).unwrap_err());
    assert_eq!(ages, [("max_age".into(), "ages-turned-round".into())]);

    // Taken away, it is not found; half a year later the other is doubted, and its office was asked to confirm it.
    theirs.change_offer(&OfferInput { remove: true, ..offer("health", "", "", "") }).unwrap();
    eventually("it is gone", || Some(()).filter(|()| search("health", "", "", "").is_empty()));
    assert!(!theirs.should_confirm_offers());
    drop(desk);
    advice.stop();
    advice.start_at(Clock::set_to(Clock::system().now().plus_days(200)));
    let later =
        advice.desk("worker").find_offers(&OfferSearch { service: "safe_house".into(), ..OfferSearch::default() });
    assert!(later.unwrap().iter().all(|one| one.offer.is_stale && one.closed_until.is_none()));
    assert!(advice.desk("worker").should_confirm_offers());
}

#[test]
fn a_directory_of_others_is_imported_once_and_found_by_the_same_search() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _guard = runtime.enter();
    let (advice, _shelter) = started_offices();
    let desk = advice.desk("worker");
    let service = |id: &str, name: &str, assured: &str| {
        serde_json::json!({
            "id": id, "name": name, "description": "Talks for people in distress", "status": "active",
            "organization": { "name": "Hope" }, "assured_date": assured, "minimum_age": 12, "maximum_age": 100,
            "phones": [{ "number": "039 555 0177" }], "languages": [{ "name": "Urdu" }],
            "service_areas": [{ "name": "Ugu district" }], "alert": "Closed in December",
        })
    };
    let json = |bytes: &[u8]| vec![(String::new(), bytes.to_vec())];
    let file = |services: Vec<serde_json::Value>| json(&serde_json::to_vec(&services).unwrap());
    let today = Clock::system().now().day();
    let first = file(vec![
        service("a", "Counselling", "2005-01-01"),
        service("b", "Helpline", &today.to_string()),
        serde_json::json!({ "name": "no id" }),
    ]);
    let dry = desk.import_listings(&first, "health", true).unwrap();
    let done = desk.import_listings(&first, "health", false).unwrap();
    assert!(dry == done && (done.new, done.refused, done.problems[0].0) == (2, 1, 3));
    let again = desk.import_listings(&first, "health", false).unwrap();
    assert_eq!((again.new, again.known, again.changed), (0, 2, 0));
    let search = |words: &str, language: &str, age: &str, service: &str| {
        let search =
            OfferSearch { service: service.into(), words: words.into(), language: language.into(), age: age.into() };
        desk.find_listings(&search).unwrap()
    };
    let found = search("ugu distress", "urdu", "30", "health");
    assert_eq!(
        found.iter().map(|one| (one.name.as_str(), one.is_stale)).collect::<Vec<_>>(),
        [("Helpline", false), ("Counselling", true)]
    );
    assert!(search("", "", "11", "").is_empty() && search("", "", "", "food").is_empty());
    let mut gone = service("a", "Counselling", "2005-01-01");
    gone["status"] = "inactive".into();
    let changed = desk.import_listings(&file(vec![gone]), "health", false).unwrap();
    assert_eq!((changed.changed, changed.inactive), (1, 1));
    assert_eq!(search("counselling", "", "", "").len(), 0);
    for wrong in [&b"%PDF"[..], b"[]", b"{\"title\": 3}"] {
        let refused = desk.import_listings(&json(wrong), "", false).unwrap_err();
        assert!(matches!(refused, DeskError::Invalid(problems) if problems[0].problem == "no-service-directory"));
    }
}

#[test]
fn a_directory_in_tables_says_the_same_and_a_letter_goes_to_a_service_of_it() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _guard = runtime.enter();
    let (advice, _shelter) = started_offices();
    let desk = advice.desk("worker");
    let table = |name: &str, text: &str| (format!("{name}.csv"), text.as_bytes().to_vec());
    let tables = [
        table(
            "services",
            "id,organization_id,name,description,status\ns1,o1,Counselling,Talks,active\ns2,o1,,,active\n",
        ),
        table("organizations", "id,name\no1,Hope\n"),
        table("phones", "id,service_id,number\np1,s1,039 555 0177\n"),
        table("funding", "id\nx\n"),
    ];
    let done = desk.import_listings(&tables, "health", false).unwrap();
    assert_eq!((done.new, done.refused, done.unread), (1, 1, vec!["funding.csv".to_owned()]));
    assert_eq!(desk.import_listings(&tables, "health", false).unwrap().known, 1);
    let why = |files: &[(String, Vec<u8>)]| match desk.import_listings(files, "", false).unwrap_err() {
        DeskError::Invalid(problems) => problems[0].problem.clone(),
        error => panic!("{error}"),
    };
    assert_eq!(why(&tables[1..]), "no-services-table");
    assert_eq!(why(&[("services.csv".into(), vec![0xff, b'\n', 0xff])]), "no-table");
    let found = desk.find_listings(&OfferSearch { words: "hope".into(), ..OfferSearch::default() }).unwrap();
    let listing = desk.listing(found[0].id).unwrap();
    assert_eq!((listing.recipient(), listing.contact.as_slice()), ("Hope", &["039 555 0177".to_owned()][..]));
    // The client agrees to them by name, and a letter is made for them.
    let (person, case) = client(&desk);
    let named = ConsentInput { outside: listing.recipient().into(), ..sharing(&[], &["names", "contact"]) };
    let agreed = desk.record_consent(person, named).unwrap();
    let letter = ReferralInput {
        outside: listing.recipient().into(),
        how: "letter".into(),
        contact: listing.contact.join(", "),
        service: "health".into(),
        need: "Talks, once a week".into(),
        urgency: "routine".into(),
        consent: agreed.to_string(),
        ..ReferralInput::default()
    };
    let sent = desk.send_referral(case, letter).unwrap();
    let outside = desk.referral(sent).unwrap().outside.unwrap();
    assert_eq!((outside.contact.as_str(), outside.how.code.as_str()), ("039 555 0177", "letter"));
}

#[test]
fn a_hidden_office_rings_nobody_but_hubs() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _guard = runtime.enter();
    let mut hub = TestNode::new(&new_node("Hub", OfficeKind::Coordination, vec![Role::Hub], vec![]));
    let hubs = vec![hub.office];
    let mut advice =
        TestNode::new(&new_node("Advice office", OfficeKind::AdviceOffice, vec![Role::Office], hubs.clone()));
    let mut shelter = TestNode::new(&new_node("Shelter", OfficeKind::Shelter, vec![Role::Office], hubs));
    let network = network(&[&hub, &advice, &shelter]);
    for node in [&mut hub, &mut shelter] {
        node.start();
        node.node().join(&network).unwrap();
    }
    shelter.desk("worker").change_entry(&EntryInput { hidden: Some(true), ..EntryInput::default() }).unwrap();
    // A change of something else keeps it hidden.
    shelter.desk("worker").change_entry(&EntryInput { area: "Ugu".into(), ..EntryInput::default() }).unwrap();
    assert!(shelter.desk("worker").own_entry().unwrap().hidden);
    shelter.stop();
    // Whoever rings at the advice office is heard here.
    let address = casemesh_node::node::read_config(advice.to_serve()).unwrap().listen[0].clone();
    let port: u16 = address.rsplit('/').next().unwrap().parse().unwrap();
    let bell = std::net::TcpListener::bind(("127.0.0.1", port)).unwrap();
    bell.set_nonblocking(true).unwrap();
    shelter.start();
    let desk = shelter.desk("worker");
    let (person, case) = client(&desk);
    let agreed = consent(&desk, person, advice.office, &["names"], &[]);
    let sent = refer(&desk, case, advice.office, agreed);
    let mailbox = hub.folder.path().join("mailbox").join(advice.office.to_string());
    eventually("it waits at the hub", || {
        let files = std::fs::read_dir(&mailbox).ok()?;
        Some(())
            .filter(|()| files.flatten().filter(|file| file.path().extension().is_some_and(|e| e == "pkt")).count() > 1)
    });
    assert!(bell.accept().is_err(), "a hidden office rang");
    desk.change_entry(&EntryInput { hidden: Some(false), ..EntryInput::default() }).unwrap();
    eventually("it rings when it need not hide", || bell.accept().ok());
    drop(bell);
    desk.change_entry(&EntryInput { hidden: Some(true), ..EntryInput::default() }).unwrap();
    advice.start();
    advice.node().join(&network).unwrap();
    wait_for(&desk, sent, "it arrives by the hub", |v| v.summary.arrived.is_some());
}
