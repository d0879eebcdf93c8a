//! Collectors on levels, and offices that keep another system.

use crate::browser::Walk;
use crate::harness::{TestNode, eventually, new_node};
use crate::statistics::{Network, YEARLY, cells, figure, load, people, problem, some, year};
use casemesh::serve::Served;
use casemesh_node::office::{AnsweringInput, CollectedView, Desk, EntryInput};
use casemesh_protocol::directory::{OfficeKind, Role};
use casemesh_protocol::id::OfficeId;
use std::path::PathBuf;

/// Says whom an office tells its figures, and which area it serves.
#[track_caller]
fn tells(desk: &Desk, collector: Option<OfficeId>, area: &str) {
    desk.change_entry(&EntryInput { area: area.into(), ..reports_to(collector) }).unwrap();
}

fn reports_to(collector: Option<OfficeId>) -> EntryInput {
    let reports_to = collector.map(|office| office.to_string()).unwrap_or_default();
    EntryInput { reports_to: Some(reports_to), ..EntryInput::default() }
}

/// Until that office's tables go to that collector.
fn goes_to(desk: &Desk, name: &str) {
    eventually("the card came", || {
        let to = desk.table_preview("yearly", year(2019)).unwrap().to;
        Some(()).filter(|()| to.as_deref() == Some(name))
    });
}

fn held(collector: &Desk, until: impl Fn(&CollectedView) -> bool) -> CollectedView {
    eventually("the table came", || Some(collector.collected("yearly", Some(year(2019))).unwrap()).filter(&until))
}

#[test]
fn a_region_adds_up_what_its_offices_told_and_the_nation_counts_nobody_twice() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _guard = runtime.enter();
    let region = new_node("Region", OfficeKind::Coordination, vec![Role::Collector], vec![]);
    let (mut network, mut regions) = Network::with_more(3, &[region]);
    network.start();
    network.agree(YEARLY);
    network.tell_all(&regions);
    let (nation_id, region_id) = (network.collector.office, regions[0].office);
    let [large, small, other] = [0, 1, 2].map(|at| network.offices[at].desk("worker"));
    let (region, nation) = (regions[0].desk("worker"), network.collector.desk("worker"));
    tells(&region, Some(nation_id), "Coast");
    // Nobody can tell a collector that tells it.
    let may_tell = || nation.own_entry().unwrap().collectors.iter().any(|(office, _)| *office == region_id);
    eventually("the region's card came", || (!may_tell()).then_some(()));
    assert_eq!(problem(nation.change_entry(&reports_to(Some(region_id)))), "reports-to");
    [&large, &small].into_iter().for_each(|desk| tells(desk, Some(region_id), "Ugu"));
    [(&large, "Region"), (&small, "Region"), (&other, "Collector")]
        .into_iter()
        .for_each(|(desk, to)| goes_to(desk, to));

    load(&large, &people(2019, 40, 17, 0));
    load(&small, &people(2019, 4, 1, 0));
    large.approve_table("yearly", year(2019), None).unwrap();
    let one = held(&region, |view| view.told == 1);
    assert_eq!(one.silent, ["Office 1"], "the third tells somebody else");
    small.approve_table("yearly", year(2019), None).unwrap();
    let both = held(&region, |view| view.told == 2);
    let up = both.upward.unwrap();
    assert_eq!((up.to.as_str(), up.last, up.is_told, up.is_over), ("Collector", None, false, true));
    // What is sent is what was seen.
    assert_eq!(problem(region.send_sum("yearly", year(2019), one.upward.unwrap().seen)), "table-changed");
    region.send_sum("yearly", year(2019), up.seen.clone()).unwrap();
    assert_eq!(problem(region.send_sum("yearly", year(2019), up.seen)), "table-unchanged");
    assert!(held(&region, |_| true).upward.unwrap().is_told);

    // The third office keeps another system.
    let table = b"figure,class,value\nopened,,20\nsex,female,12\nsex,male,3\nsex,missing,5\n";
    let preview = other.finished_preview("yearly", year(2019), table).unwrap();
    assert!(preview.is_handed_in);
    assert_eq!(cells(figure(&preview.figures, "sex"))["male"], None, "three men are withheld here as well");
    let seen = other.table_preview("yearly", year(2019)).unwrap().seen;
    assert_eq!(problem(other.approve_finished("yearly", year(2019), (table, seen))), "table-changed");
    other.approve_finished("yearly", year(2019), (table, preview.seen)).unwrap();
    assert!(
        other.agreements().unwrap().0[0]
            .periods
            .iter()
            .any(|due| due.left.as_ref().is_some_and(|left| left.is_handed_in))
    );

    let all = held(&nation, |view| view.told == 3);
    assert!(all.silent.is_empty() && all.twice.is_empty() && all.upward.is_none());
    // Who told the region of another area is not silent there.
    let ugu = nation.collected_in("yearly", Some(year(2019)), Some("Ugu")).unwrap();
    assert_eq!((ugu.told, ugu.silent.len()), (0, 0));
    let row = |name: &str| all.offices.iter().find(|office| office.name == name).unwrap();
    assert_eq!((all.offices.len(), all.handed_in), (2, 1));
    assert_eq!((row("Region").sum_of, row("Region").is_handed_in), (Some((2, 2)), false));
    assert_eq!((row("Office 2").sum_of, row("Office 2").is_handed_in), (None, true));
    assert_eq!(cells(figure(&all.total, "opened"))[""], some("82"), "40 + 17 + 4 + 1 + 20");
    let sex = figure(&all.total, "sex");
    assert_eq!(cells(sex)["female"], some("40"));
    assert!(sex.is_at_least && sex.cells.iter().all(|cell| cell.is_at_least), "the small office told nothing of it");

    // An office that moves is not counted twice: what the region told of it stands until the region tells anew.
    tells(&large, None, "Ugu");
    goes_to(&large, "Collector");
    load(&large, &people(2019, 60, 17, 0));
    large.approve_table("yearly", year(2019), None).unwrap();
    let moved = held(&nation, |view| !view.twice.is_empty());
    assert_eq!((moved.twice.as_slice(), moved.told), (["Office 0".to_owned()].as_slice(), 3));
    assert_eq!(cells(figure(&moved.total, "opened"))[""], some("82"));

    // What the region sends from now on is without it, and is shown before it goes.
    let up = held(&region, |_| true).upward.unwrap();
    assert_eq!((up.left_out.as_slice(), up.is_told), (["Office 0".to_owned()].as_slice(), false));
    assert_eq!(cells(figure(&up.figures, "opened"))[""], some("5"));
    region.send_sum("yearly", year(2019), up.seen).unwrap();
    let put_right = held(&nation, |view| view.twice.is_empty());
    assert_eq!(cells(figure(&put_right.total, "opened"))[""], some("102"), "77 + 5 + 20: once each");

    drop((large, small, other, region, nation));
    let Some(tools) = Walk::tools() else { return };
    let (office, mut region, mut nation) = (network.offices.swap_remove(2), regions.remove(0), network.collector);
    drop(network.offices);
    let mut office = office;
    [&mut office, &mut region, &mut nation].into_iter().for_each(TestNode::stop);
    runtime.block_on(walk(tools, [&office, &region, &nation]));
}

async fn walk(tools: (String, PathBuf), [office, region, nation]: [&TestNode; 3]) {
    let walk = Walk::open(tools).await;
    let of_2019 = "agreement=yearly&from=2019-01-01&to=2019-12-31";
    let served = Served::start(region.to_serve()).await.unwrap();
    let base = format!("http://{}/", served.address);
    walk.sign_in(&base, "worker").await;
    walk.go(&format!("{base}network/own")).await;
    walk.shows("Whom we tell our figures").await;
    walk.check("own-entry-levels").await;
    walk.go(&format!("{base}collector?{of_2019}")).await;
    walk.shows("This total goes to").await;
    walk.check("collector-upward").await;
    let served = Served::start(nation.to_serve()).await.unwrap();
    let base = format!("http://{}/", served.address);
    walk.sign_in(&base, "worker").await;
    walk.go(&format!("{base}collector?{of_2019}")).await;
    walk.shows("One office handed in a finished table").await;
    walk.check("collector-levels").await;
    let served = Served::start(office.to_serve()).await.unwrap();
    let base = format!("http://{}/", served.address);
    walk.sign_in(&base, "worker").await;
    walk.go(&format!("{base}tables")).await;
    walk.check("tables-finished").await;
    walk.go(&format!("{base}tables/show?{}", of_2019.replace("2019", "2020"))).await;
    let form = "form[action='/tables/finished']";
    walk.attach(form, "figures.csv", "figure,class,value\nopened,,many\nsexes,female,12\n").await;
    walk.press(form).await;
    walk.shows("write a number without a sign").await;
    assert!(!walk.text().await.contains("These cells"), "nothing of this file can leave");
    walk.check("table-finished-problem").await;
    walk.attach(form, "figures.csv", "figure,class,value\nopened,,31\nsex,female,19\nsex,male,12\n").await;
    walk.press(form).await;
    walk.shows("These numbers are from the file").await;
    walk.check("table-finished").await;
    walk.press("form[action='/tables/finished/send']").await;
    walk.shows("not computed here").await;
    walk.go(&format!("{base}tables/show?{}", of_2019.replace("2019", "2020"))).await;
    walk.shows("hand in the file again").await;
    assert!(!walk.text().await.contains("These cells"), "what is counted here is not what left");
    walk.check("table-finished-left").await;
    walk.close().await;
}

#[test]
fn a_sum_goes_up_by_itself_once_it_was_due() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _guard = runtime.enter();
    let region = new_node("Region", OfficeKind::Coordination, vec![Role::Collector], vec![]);
    let (mut network, regions) = Network::with_more(1, &[region]);
    network.start();
    network.agree(YEARLY);
    network.tell_all(&regions);
    let (office, region) = (network.offices[0].desk("worker"), regions[0].desk("worker"));
    let nation = network.collector.desk("worker");
    tells(&region, Some(network.collector.office), "Coast");
    tells(&office, Some(regions[0].office), "Ugu");
    goes_to(&office, "Region");
    load(&office, &people(2019, 40, 17, 0));
    office.approve_table("yearly", year(2019), None).unwrap();
    let waiting = held(&region, |view| view.told == 1);
    assert!(waiting.upward.unwrap().last.is_none() && nation.collected("yearly", Some(year(2019))).unwrap().told == 0);
    let text = region.agreements().unwrap().0[0].text.clone();
    let by_itself =
        AnsweringInput { agreement: "yearly".into(), answering: "by_itself".into(), text, ..AnsweringInput::default() };
    region.answer_agreement(&by_itself).unwrap();
    let all = held(&nation, |view| view.told == 1);
    assert_eq!(all.offices[0].sum_of, Some((1, 1)));
    // Its own table, of which there is none, does not go.
    assert_eq!((all.offices.len(), all.handed_in), (1, 0));
}
