//! A whole network with synthetic cases, from empty folders to the collector's page, and its pages in a real browser. Four offices and
//! 600 cases; more with `CASEMESH_NATIONAL=100x40000`.

use crate::browser::Walk;
use casemesh::demo::national;

fn size() -> (usize, usize) {
    let asked = std::env::var("CASEMESH_NATIONAL").unwrap_or_else(|_| "4x600".into());
    let (offices, cases) = asked.split_once('x').unwrap();
    (offices.parse().unwrap(), cases.parse().unwrap())
}

#[test]
fn a_network_of_offices_is_collected_and_looked_at() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (offices, cases) = size();
    let running = runtime.block_on(national::play(offices, cases)).unwrap();
    for phase in &running.told.phases {
        println!("{:>7.1} s {:>6.0} MB  {}", phase.seconds, phase.resident_mb, phase.what);
    }
    assert!(running.told.is_true(), "{:#?}", running.told.checks);
    if let Some(tools) = Walk::tools() {
        runtime.block_on(walk(tools, &running.told));
    }
    runtime.block_on(running.stop()).unwrap();
}

async fn walk(tools: (String, std::path::PathBuf), told: &national::National) {
    let [office, collector] = told.pages.as_slice() else { panic!("two have pages") };
    let walk = Walk::open(tools).await;
    walk.sign_in_with(office, "thandi", &told.password).await;
    let year = |page: &str, topic: &str| {
        let today = casemesh_node::clock::Clock::system().now().day();
        format!("{office}{page}?from={}-01-01&to={}-12-31{topic}", today.year() - 1, today.year())
    };
    for (topic, name) in [
        ("", "dashboard"),
        ("&topic=cases", "dashboard-cases"),
        ("&topic=people", "dashboard-people"),
        ("&topic=referrals", "dashboard-referrals"),
        ("&topic=work", "dashboard-work"),
        ("&topic=quality", "dashboard-quality"),
    ] {
        walk.go(&year("figures", topic)).await;
        walk.check(name).await;
    }
    walk.go(&year("figures/time", "&figure=opened")).await;
    walk.check("dashboard-time").await;

    walk.go(&format!("{office}areas")).await;
    walk.attach("form[action='/areas']", "home.geojson", r#"{"features":[]}"#).await;
    walk.press("form[action='/areas']").await;
    walk.shows("Points are no areas").await;
    walk.check("areas-problem").await;
    walk.attach("form[action='/areas']", "districts.geojson", &districts()).await;
    walk.press("form[action='/areas']").await;
    walk.shows("districts.geojson").await;
    walk.check("areas").await;
    walk.go(&year("figures/map", "&figure=areas")).await;
    walk.check("dashboard-map").await;
    walk.go(&format!("{office}quality")).await;
    walk.check("quality").await;
    walk.go(&format!("{office}reports/new")).await;
    walk.press("main form").await;
    walk.check("report-problem").await;
    let report =
        [("name", "Report to the government"), ("every", "year"), ("figures", "opened"), ("figures", "new_people")];
    walk.fill("main form", &report).await;
    walk.fill("main form", &[("words", "What our office did in the year.")]).await;
    walk.press("main form").await;
    walk.shows("Report to the government").await;
    walk.fill(
        "form[action$='/opened']",
        &[("planned", "200"), ("words", "More people came for wages than ever before.")],
    )
    .await;
    walk.press("form[action$='/opened']").await;
    walk.shows("More people came for wages").await;
    walk.check("report").await;
    walk.go(&format!("{office}reports")).await;
    walk.check("reports").await;

    walk.sign_in_with(collector, "nomsa", &told.password).await;
    walk.go(&format!("{collector}collector")).await;
    walk.check("collector-many").await;
    let last = casemesh_node::clock::Clock::system().now().day().year() - 1;
    walk.go(&format!("{collector}collector?agreement=people&from={last}-01-01&to={last}-12-31")).await;
    walk.check("collector-people").await;
    walk.press("a[href*='/collector/time?']").await;
    walk.check("collector-time").await;
    walk.go(&format!("{collector}collector?agreement=national&region=Ugu")).await;
    walk.check("collector-region").await;
    walk.press("td a[href*='office=']").await;
    walk.check("collector-office").await;
    walk.go(&format!("{collector}areas")).await;
    walk.attach("form[action='/areas']", "districts.geojson", &districts()).await;
    walk.press("form[action='/areas']").await;
    walk.go(&format!("{collector}collector?agreement=national")).await;
    walk.press("a[href*='/collector/map?']").await;
    walk.check("collector-map").await;
    walk.go(&format!("{collector}samples")).await;
    walk.press("main form").await;
    walk.check("samples-problem").await;
    let asked = [("from", format!("{last}-01-01")), ("to", format!("{last}-12-31")), ("count", "5".into())];
    let asked: Vec<(&str, &str)> = asked.iter().map(|(name, text)| (*name, text.as_str())).collect();
    walk.fill("main form", &asked).await;
    walk.fill("main form", &[("office", "Advice office 001")]).await;
    walk.press("main form").await;
    walk.check("sample-asked").await;

    walk.sign_in_with(office, "thandi", &told.password).await;
    walk.go(&format!("{office}samples")).await;
    walk.reload_until("National coordination").await;
    walk.press(".card a").await;
    walk.check("sample-decide").await;
    walk.press("form[action$='/answer']").await;
    walk.check("sample-sheet").await;
    walk.close().await;
}

/// A made-up country of five districts, four of which are those of the offices.
fn districts() -> String {
    let names = ["Ugu", "Zululand", "Amajuba", "iLembe", "Faraway"];
    let feature = |(at, name): (usize, &str)| {
        // Slices of a cake with a bay in each border.
        let corner = |part: usize, far: f64| {
            let angle = part as f64 / 40.0 * std::f64::consts::TAU;
            format!("[{:.4},{:.4}]", 30.0 + far * angle.sin(), -29.0 + far * angle.cos())
        };
        let coast = (0..=8).map(|part| corner(at * 8 + part, if part % 3 == 1 { 1.8 } else { 2.0 }));
        let inland = [corner(at * 8 + 8, 1.1), "[30,-29]".to_owned(), corner(at * 8, 1.1)];
        let ring: Vec<String> = coast.chain(inland).chain([corner(at * 8, 2.0)]).collect();
        format!(
            r#"{{"type":"Feature","properties":{{"name":"{name}"}},"geometry":{{"type":"Polygon","coordinates":[[{}]]}}}}"#,
            ring.join(",")
        )
    };
    let all: Vec<String> = names.into_iter().enumerate().map(feature).collect();
    format!(r#"{{"type":"FeatureCollection","features":[{}]}}"#, all.join(","))
}
