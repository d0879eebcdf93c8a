//! What a network asks, what leaves an office, and what its collector holds.

use crate::browser::Walk;
use crate::cli::casemesh;
use crate::harness::{TestNode, eventually, new_node};
use casemesh::serve::Served;
use casemesh_node::indicators::SHIPPED;
use casemesh_node::node::NewNode;
use casemesh_node::office::{
    AnsweringInput, CaseInput, CellView, ClassView, CollectedView, Desk, DeskError, FigureView, Mapping, OfficeFigures,
    PersonInput, TallyReportView, TallyStanding, TermInput,
};
use casemesh_node::records::Answering;
use casemesh_node::vocabulary::Vocabulary;
use casemesh_protocol::cohort::LeftOut;
use casemesh_protocol::directory::{OfficeKind, Role};
use casemesh_protocol::time::Period;
use std::collections::BTreeMap;
use std::path::PathBuf;

const MAPPING: &str = include_str!("mappings/trafficking.toml");

/// A network whose stewards have their keys in files, as they do.
pub(crate) struct Network {
    files: tempfile::TempDir,
    pub(crate) offices: Vec<TestNode>,
    pub(crate) collector: TestNode,
}

impl Network {
    pub(crate) fn new(offices: usize) -> Self {
        let files = tempfile::tempdir().unwrap();
        let office = |at| {
            let mut new = new_node(&format!("Office {at}"), OfficeKind::AdviceOffice, vec![Role::Office], vec![]);
            new.pack = "anti_trafficking".into();
            TestNode::new(&new)
        };
        let offices: Vec<TestNode> = (0..offices).map(office).collect();
        let collector = TestNode::new(&new_node("Collector", OfficeKind::Coordination, vec![Role::Collector], vec![]));
        let network = Self { files, offices, collector };
        let mut cards = Vec::new();
        for (at, node) in network.nodes().enumerate() {
            let card = network.file(&format!("{at}.card"));
            std::fs::write(&card, node.card()).unwrap();
            cards.push(card);
        }
        let (one, net) = (network.file("one.key"), network.file("the.net"));
        let found = ["join", "found", "--name", "Net", "--steward", &one, "--out", &net];
        let cards: Vec<&str> = cards.iter().map(String::as_str).collect();
        network.does(&[&found[..], &cards].concat());
        network
    }

    /// A network with two more nodes, at work, that add.
    fn with_adders(offices: usize) -> (Self, [TestNode; 2]) {
        let adder = |name| new_node(name, OfficeKind::Coordination, vec![], vec![]);
        let (network, adders) = Self::with_more(offices, &["First adder", "Second adder"].map(adder));
        (network, adders.try_into().unwrap_or_else(|_| panic!("two")))
    }

    /// A network with more nodes, at work.
    pub(crate) fn with_more(offices: usize, more: &[NewNode]) -> (Self, Vec<TestNode>) {
        let mut more: Vec<TestNode> = more.iter().map(TestNode::new).collect();
        let network = Self::new(offices);
        let (net, key) = (network.file("the.net"), network.file("one.key"));
        for (at, node) in more.iter_mut().enumerate() {
            let card = network.file(&format!("more{at}.card"));
            std::fs::write(&card, node.card()).unwrap();
            network.does(&["join", "grant", "--network", &net, "--key", &key, &card]);
        }
        let bytes = std::fs::read(&net).unwrap();
        for node in &mut more {
            node.start();
            node.node().join(&bytes).unwrap();
            drop(node.desk("worker"));
        }
        (network, more)
    }

    fn nodes(&self) -> impl Iterator<Item = &TestNode> {
        self.offices.iter().chain([&self.collector])
    }

    pub(crate) fn file(&self, name: &str) -> String {
        self.files.path().join(name).to_str().unwrap().to_owned()
    }

    #[track_caller]
    pub(crate) fn does(&self, arguments: &[&str]) -> String {
        let ran = casemesh(arguments, "");
        assert_eq!(ran.code, 0, "{}", ran.error);
        ran.out
    }

    /// Its stewards agree on a text.
    #[track_caller]
    pub(crate) fn agree(&self, text: &str) -> String {
        let (file, net, key) = (self.file("agreed.toml"), self.file("the.net"), self.file("one.key"));
        std::fs::write(&file, text).unwrap();
        self.does(&["join", "change", "--network", &net, "--steward", &key, "--agree", &file])
    }

    /// Every node learns what the network file says.
    pub(crate) fn tell(&self) {
        let bytes = std::fs::read(self.file("the.net")).unwrap();
        for node in self.nodes() {
            node.node().join(&bytes).unwrap();
        }
    }

    /// Those that add learn it, too.
    pub(crate) fn tell_all(&self, adders: &[TestNode]) {
        let bytes = std::fs::read(self.file("the.net")).unwrap();
        self.tell();
        for adder in adders {
            adder.node().join(&bytes).unwrap();
        }
    }

    pub(crate) fn start(&mut self) {
        self.offices.iter_mut().chain([&mut self.collector]).for_each(TestNode::start);
        self.tell();
    }
}

/// Loads a table of cases into an office.
pub(crate) fn load(desk: &Desk, table: &str) {
    let reading = Mapping::parse(MAPPING).unwrap().read(table.as_bytes(), &Vocabulary::default()).unwrap();
    let report = desk.run_import(reading, |_| ()).unwrap();
    assert!(report.problems.is_empty(), "{:?}", report.problems);
}

const HEAD: &str = "yearOfRegistration,Datasource,gender,citizenship,isForcedLabour,ControlCategory,RecruiterCategory,ExploitType,Labor_Type,ageCategories";

/// Rows about people of a year who differ by sex alone.
pub(crate) fn people(year: i16, women: usize, men: usize, unknown: usize) -> String {
    let row = |sex: &str, count: usize| {
        format!("{year},Hotline,{sex},UA,0,Threats,Other,Sexual Exploitation,Unknown,Age 9-17\n").repeat(count)
    };
    format!("{HEAD}\n{}{}{}", row("Female", women), row("Male", men), row("Unknown", unknown))
}

pub(crate) fn year(year: i16) -> Period {
    Period::year(year).unwrap()
}

pub(crate) fn problem<T: std::fmt::Debug>(result: Result<T, DeskError>) -> String {
    match result {
        Err(DeskError::Invalid(problems)) => problems[0].problem.clone(),
        other => panic!("{other:?}"),
    }
}

fn code_of(class: &ClassView) -> &str {
    match class {
        ClassView::Code(code) => &code.code,
        ClassView::All => "*",
        ClassView::From { .. } => "?",
    }
}

pub(crate) fn figure<'a>(figures: &'a [FigureView], id: &str) -> &'a FigureView {
    figures.iter().find(|figure| figure.id == id).unwrap()
}

pub(crate) fn cells(figure: &FigureView) -> BTreeMap<String, Option<String>> {
    let key = |cell: &CellView| cell.classes.iter().map(code_of).collect::<Vec<_>>().join("|");
    figure.cells.iter().map(|cell| (key(cell), cell.value.clone())).collect()
}

pub(crate) const YEARLY: &str = r#"
id = "yearly"
version = 1
[terms]
every = "year"
due_days = 30
[[indicator]]
id = "opened"
title = { en = "Cases opened" }
source = "cases"
when = { in = "opened" }
[[indicator]]
id = "sex"
title = { en = "People who came for the first time, by sex" }
source = "people"
when = { in = "first_case" }
by = [{ column = "sex" }]
"#;

pub(crate) fn some(text: &str) -> Option<String> {
    Some(text.to_owned())
}

#[test]
fn stewards_agree_on_what_is_asked_and_small_numbers_stay_in_the_office() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _guard = runtime.enter();
    let mut network = Network::new(2);
    network.start();
    let (large, small) = (network.offices[0].desk("worker"), network.offices[1].desk("worker"));
    let collector = network.collector.desk("worker");
    assert_eq!(large.agreements().unwrap().0[0].id, "national", "until the stewards agree on something");

    // What tells too much is refused before anybody signs it.
    let file = network.file("bad.toml");
    std::fs::write(&file, YEARLY.replace("in = \"first_case\"", "at_end = [\"first_case\", \"last_case\"]")).unwrap();
    let refused = casemesh(&["stats", "check", &file], "");
    assert!(refused.code != 0 && refused.error.contains("sex: people who are told apart"), "{}", refused.error);
    std::fs::write(&file, YEARLY).unwrap();
    let checked = network.does(&["stats", "check", &file]);
    assert!(
        checked.contains("Cases opened (exact)") && checked.contains("by sex (numbers of people below 11"),
        "{checked}"
    );
    network.agree(YEARLY);
    network.tell();
    let agreed = large.agreements().unwrap().0;
    assert_eq!((agreed.len(), agreed[0].id.as_str(), agreed[0].threshold), (1, "yearly", 11));
    assert!(agreed[0].periods.iter().all(|due| due.left.is_none()));

    load(&large, &people(2019, 40, 17, 0));
    load(&small, &people(2019, 4, 1, 0));
    let preview = large.table_preview("", year(2019)).unwrap();
    assert_eq!(cells(figure(&preview.figures, "sex"))["female"], some("40"));
    large.approve_table("", year(2019), None).unwrap();
    let preview = small.table_preview("", year(2019)).unwrap();
    let own = figure(&preview.figures, "sex");
    assert_eq!((own.covered, own.cells.len(), own.withheld), (None, 0, 1), "five people: nothing of them leaves");
    assert_eq!(cells(figure(&preview.figures, "opened"))[""], some("5"), "what tells of nobody does");
    small.approve_table("", year(2019), None).unwrap();
    let both = || collector.collected("yearly", Some(year(2019))).unwrap();
    let collected = eventually("both tables come", || Some(both()).filter(|view| view.offices.len() == 2));
    assert_eq!(cells(figure(&collected.total, "opened"))[""], some("62"));
    assert_eq!(cells(figure(&collected.total, "sex"))["*"], some("57"), "of the office that told");
    assert_eq!(figure(&collected.total, "sex").withheld, 1);
    assert!(collected.offices.iter().all(|office| !office.is_in_time), "2019 was due in January 2020");

    // A correction leaves when it changes enough people, and not before.
    load(&large, &people(2019, 43, 17, 0));
    let preview = large.table_preview("", year(2019)).unwrap();
    assert_eq!((preview.release, preview.waiting), (2, 1), "the cases are told, the three women wait");
    large.approve_table("", year(2019), None).unwrap();
    assert_eq!(problem(large.approve_table("", year(2019), None)), "table-waits");
    let first = collector.collected("yearly", Some(year(2019))).unwrap();
    assert_eq!(cells(figure(&first.total, "sex"))["female"], some("40"));
    load(&large, &people(2019, 60, 17, 0));
    large.approve_table("", year(2019), None).unwrap();
    let third = || collector.collected("yearly", Some(year(2019))).unwrap();
    let third = eventually("the third release comes", || {
        Some(third()).filter(|view| view.offices.iter().any(|office| office.release == 3))
    });
    assert_eq!(cells(figure(&third.total, "sex"))["female"], some("60"));

    // An office may say no, with a reason; or yes for good.
    assert_eq!(problem(small.answer_agreement(&answer("refused", ""))), "required");
    small.answer_agreement(&answer("refused", "The board decides in May")).unwrap();
    assert_eq!(problem(small.approve_table("", year(2018), None)), "agreement-refused");
    // For good, but only to the text that was seen.
    assert_eq!(problem(large.answer_agreement(&answer("by_itself", ""))), "agreement-changed");
    let text = large.agreements().unwrap().0[0].text.clone();
    large.answer_agreement(&AnsweringInput { text, ..answer("by_itself", "") }).unwrap();
    let agreed = &large.agreements().unwrap().0[0];
    assert_eq!(agreed.answering, Answering::ByItself);
    assert!(agreed.periods.iter().all(|due| due.left.is_some()), "each year that is over left: {agreed:?}");
    let last_year = year(large.today().year() - 1);
    eventually("it comes by itself", || {
        Some(collector.collected("yearly", Some(last_year)).unwrap()).filter(|view| view.offices.len() == 1)
    });

    // What left binds what leaves: not under another version, and not told apart the same way by another agreement.
    network.agree(&YEARLY.replace("version = 1", "version = 2"));
    network.agree(&YEARLY.replace("\"yearly\"", "\"other\"").replace("every = \"year\"", "every = \"quarter\""));
    network.tell();
    assert_eq!(problem(large.approve_table("yearly", year(2019), None)), "period-answered");
    let spring = Period::new("2019-01-01".parse().unwrap(), "2019-03-31".parse().unwrap()).unwrap();
    assert_eq!(problem(large.approve_table("other", spring, None)), "period-told-apart");
    let shown = network.does(&["join", "show", &network.file("the.net")]);
    assert!(shown.contains("yearly version 2") && shown.contains("other version 1"), "{shown}");
    let key = network.file("one.key");
    let end = ["join", "change", "--network", &network.file("the.net"), "--steward", &key, "--end-agreement", "other"];
    network.does(&end);
    network.tell();
    assert!(large.table_preview("other", spring).is_err());
    let older =
        casemesh(&["join", "change", "--network", &network.file("the.net"), "--steward", &key, "--agree", &file], "");
    assert!(older.code != 0 && older.error.contains("higher version"), "{}", older.error);

    // What ended stays to be read as it was asked, and what is under way when it ends is taken.
    let ended = collector.collected("yearly", Some(year(2019))).unwrap();
    assert_eq!((ended.version, ended.offices.len()), (1, 2));
    assert!(figure(&ended.total, "sex").title.contains_key("en"), "by the text of version 1");
    // Also when the next version is a sum, of which there is none yet.
    let summed = YEARLY
        .replace("version = 1", "version = 3")
        .replace("every = \"year\"", "every = \"year\"\nway = \"secure_sum\"");
    let terms = format!(
        "from = \"2016-01-01\"\naggregators = [\"{}\", \"{}\"]\ndue_days",
        network.offices[0].office, network.collector.office
    );
    let summed = summed
        .replace("due_days", &terms)
        .replace("{ column = \"sex\" }", "{ column = \"sex\", codes = [\"female\"] }");
    network.agree(&summed);
    network.tell();
    let told = collector.collected("yearly", Some(year(2019))).unwrap();
    assert_eq!((told.version, told.offices.len(), told.silent.len()), (1, 2, 0));
    let brief = YEARLY.replace("\"yearly\"", "\"brief\"");
    network.agree(brief.split("[[indicator]]\nid = \"sex\"").next().unwrap());
    network.tell();
    small.approve_table("brief", year(2019), None).unwrap();
    let told = |collector: &Desk, offices: usize| {
        eventually("the table is taken", || {
            Some(collector.collected("brief", Some(year(2019))).ok()?).filter(|view| view.offices.len() == offices)
        })
    };
    told(&collector, 1);
    drop(collector);
    network.collector.stop();
    large.approve_table("brief", year(2019), None).unwrap();
    let end = ["join", "change", "--network", &network.file("the.net"), "--steward", &key, "--end-agreement", "brief"];
    network.does(&end);
    let bytes = std::fs::read(network.file("the.net")).unwrap();
    network.offices[0].node().join(&bytes).unwrap();
    network.collector.start();
    network.collector.node().join(&bytes).unwrap();
    let collector = network.collector.desk("worker");
    told(&collector, 2);
    let over = large.agreements().unwrap().0.into_iter().find(|one| one.id == "brief").unwrap();
    assert!(over.is_over && over.periods.len() == 1 && over.periods[0].due.is_none(), "{over:?}");
    assert!(large.table_preview("brief", year(2019)).is_err(), "nothing is asked any more");
}

fn answer(answering: &str, reason: &str) -> AnsweringInput {
    let (agreement, answering, reason) = ("yearly".into(), answering.into(), reason.into());
    AnsweringInput { agreement, answering, reason, text: String::new() }
}

/// The public set of trafficking cases where its file is at hand (`CASEMESH_TRAFFICKING`); else rows with its columns and the same
/// share of what is not recorded.
fn trafficking() -> String {
    if let Some(file) = std::env::var_os("CASEMESH_TRAFFICKING") {
        return std::fs::read_to_string(PathBuf::from(file)).unwrap();
    }
    let mut state = 1u64;
    let mut pick = |all: &[(&'static str, u64)]| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let mut at = (state >> 33) % all.iter().map(|(_, weight)| weight).sum::<u64>();
        let found = all.iter().find(|(_, weight)| {
            let is_it = at < *weight;
            at = at.saturating_sub(*weight);
            is_it
        });
        found.unwrap().0
    };
    let mut table = String::from(HEAD);
    for _ in 0..3_000 {
        let row = [
            pick(&[("2016", 1), ("2017", 7), ("2018", 2)]),
            pick(&[("Hotline", 6), ("Case Management", 1)]),
            pick(&[("Female", 62), ("Male", 9), ("Unknown", 4)]),
            pick(&[("0", 42), ("US", 18), ("UA", 5), ("BY", 2), ("NG", 1)]),
            pick(&[("0", 60), ("1", 11)]),
            pick(&[("Other", 29), ("Threats", 20), ("Financial", 13), ("Physical", 8), ("Survival", 1)]),
            pick(&[("Not Specified", 41), ("Other", 11), ("Intimate Partner", 8), ("Family/Relative", 6)]),
            pick(&[("Sexual Exploitation", 60), ("Forced Labor", 11), ("Other", 1), ("Forced Marriage", 1)]),
            pick(&[("Unknown", 63), ("Construction", 4), ("Manufacturing", 2), ("Domestic Work", 1)]),
            pick(&[("Age 9-17", 25), ("Age 30-38", 11), ("Age 18-20", 10), ("Age 48+", 2), ("Unknown", 2)]),
        ];
        table.push('\n');
        table.push_str(&row.join(","));
    }
    table
}

/// What a figure must say of rows, counted without any of our code: by the value of a column, or of two.
fn counted(rows: &[&str], columns: &[usize], year: &str) -> BTreeMap<Vec<String>, i64> {
    let mut all = BTreeMap::new();
    for row in rows {
        let values: Vec<&str> = row.split(',').collect();
        let own: Vec<String> = columns.iter().map(|column| values[*column].to_owned()).collect();
        let is_missing = |value: &String| ["0", "-99", "Unknown", "Not Specified"].contains(&value.as_str());
        if values[0] == year && !own.iter().any(is_missing) {
            *all.entry(own).or_default() += 1;
        }
    }
    all
}

/// Seven offices hold the rows of the set by a fixed rule; their tables, and the totals, are the file's own counts wherever they are
/// shown, and no small number is.
#[test]
fn seven_offices_with_the_trafficking_set_tell_its_own_counts_and_no_small_number() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _guard = runtime.enter();
    let table = trafficking();
    let (head, rows) = table.trim_end().split_once('\n').unwrap();
    let rows: Vec<&str> = rows.lines().map(|row| row.trim_end_matches('\r')).collect();
    let (mut network, adders) = Network::with_adders(7);
    network.agree(SHIPPED[1].1);
    network.start();
    let period = year(2017);
    let mut own_rows: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for (at, node) in network.offices.iter().enumerate() {
        let own: Vec<&str> = rows.iter().skip(at).step_by(7).copied().collect();
        let desk = node.desk("worker");
        load(&desk, &format!("{head}\n{}", own.join("\n")));
        desk.approve_table("anti_trafficking", period, None).unwrap();
        own_rows.insert(format!("Office {at}"), own);
    }
    let collector = network.collector.desk("worker");
    let collected = eventually("all tables come", || {
        let view = collector.collected("anti_trafficking", Some(period)).unwrap();
        (view.offices.len() == 7).then_some(view)
    });
    let asked: [(&str, &[usize]); 7] = [
        ("sex_age", &[2, 9]),
        ("nationality", &[3]),
        ("exploitation", &[7]),
        ("sector", &[8]),
        ("control", &[5]),
        ("recruiter", &[6]),
        ("found_by", &[1]),
    ];
    let (mut shown, mut withheld) = (0, 0);
    for office in &collected.offices {
        for (id, columns) in asked {
            let truth = counted(&own_rows[&office.name], columns, "2017");
            let (some, none) = compare(office, id, &truth);
            shown += some;
            withheld += none;
        }
    }
    assert!(shown > 50 && withheld > 10, "{shown} numbers shown, {withheld} withheld");
    totals_are_the_files(&collected, &rows, &asked);
    println!("{shown} numbers shown and equal to the file's own counts, {withheld} withheld");

    // The second and the third way, each for another year: what left once binds.
    let asked = |id: &str, terms: &str| sums(id, &format!("{terms}\nmost = 5000"), [&adders[0], &adders[1]]);
    network.agree(&asked("exact", "way = \"secure_sum\""));
    network.agree(&asked("noisy", "way = \"noisy_sum\"\nepsilon_percent = 10"));
    network.tell_all(&adders);
    for (id, of) in [("exact", 2016), ("noisy", 2018)] {
        for node in &network.offices {
            node.desk("worker").approve_table(id, year(of), None).unwrap();
        }
        let view = summed_of(&collector, id, year(of));
        assert_eq!(view.offices.len(), 7);
        let truth = counted(&rows, &[2], &of.to_string());
        let mut off = 0;
        for (sex, code) in [("Female", "female"), ("Male", "male")] {
            let exact = truth[&vec![sex.to_owned()]];
            let told: i64 = cells(figure(&view.total, "sex"))[code].clone().unwrap().parse().unwrap();
            let bar = i64::from(view.error_bar.unwrap_or_default());
            // One time of twenty a noisy number is farther off; three times as far, one time of a hundred thousand.
            assert!((told - exact).abs() <= 3 * bar, "{id}: {told} for {exact}, error bar {bar}");
            off += (told - exact).abs();
            println!("{id}: {told} {code}, the file has {exact}, error bar {bar}");
        }
        // Without noise nothing is off; with it both numbers are exact once in four hundred times, and then the total is looked at.
        let all: i64 = cells(figure(&view.total, "sex"))["*"].clone().unwrap().parse().unwrap();
        let missing = i64::try_from(figure(&view.total, "sex").missing.unwrap()).unwrap();
        off += (all + missing - rows.iter().filter(|row| row.starts_with(&of.to_string())).count() as i64).abs();
        assert_eq!(off == 0, id == "exact");
    }
}

/// How many numbers of an office's figure are shown, each as in the file, and how many are not.
fn compare(office: &OfficeFigures, id: &str, truth: &BTreeMap<Vec<String>, i64>) -> (usize, usize) {
    let figure = figure(&office.figures, id);
    // Codes are of our lists: their labels are compared by what is in them.
    let mut values: Vec<i64> = truth.values().copied().collect();
    let all: i64 = values.iter().sum();
    let (mut shown, mut withheld) = (0, 0);
    for cell in &figure.cells {
        let Some(value) = cell.value.as_deref().map(|value| value.parse::<i64>().unwrap()) else {
            withheld += 1;
            continue;
        };
        shown += 1;
        assert!(value == 0 || value >= 11, "{}: {id} shows {value}", office.name);
        if cell.classes.iter().all(|class| *class == ClassView::All) {
            assert_eq!(value, all, "{}: all of {id}", office.name);
        } else if !cell.is_total() {
            let at = values.iter().position(|known| *known == value);
            assert!(at.is_some(), "{}: {id} shows {value}, the file has {truth:?}", office.name);
            values.remove(at.unwrap());
        }
    }
    // Every number of the file is there, shown or withheld.
    let small = truth.values().filter(|value| **value < 11).count();
    assert!(figure.covered.is_none() || withheld >= small, "{}: {id} withholds {withheld} of {small}", office.name);
    (shown, withheld)
}

/// Where all offices show a class, its total is the file's own.
fn totals_are_the_files(collected: &CollectedView, rows: &[&str], asked: &[(&str, &[usize])]) {
    let by_type = cells(figure(&collected.total, "cases_by_type"));
    let all = rows.iter().filter(|row| row.starts_with("2017,")).count();
    assert_eq!(by_type["trafficking"], Some(all.to_string()), "an exact number of all offices");
    let mut compared = 0;
    for (id, columns) in asked {
        let truth = counted(rows, columns, "2017");
        for (key, value) in cells(figure(&collected.total, id)) {
            let is_everywhere = collected
                .offices
                .iter()
                .all(|office| matches!(cells(figure(&office.figures, id)).get(&key), Some(Some(_))));
            if !is_everywhere || key.contains('*') {
                continue;
            }
            let value: i64 = value.unwrap().parse().unwrap();
            assert!(truth.values().any(|known| *known == value), "{id} {key}: {value} of {truth:?}");
            compared += 1;
        }
    }
    assert!(compared > 5, "{compared} totals compared");
}

/// An agreement on sums of a year over these two aggregators.
fn sums(id: &str, terms: &str, aggregators: [&TestNode; 2]) -> String {
    let [leader, helper] = aggregators.map(|node| node.office.to_string());
    format!(
        r#"
id = "{id}"
version = 1
[terms]
every = "year"
from = "2016-01-01"
due_days = 30
aggregators = ["{leader}", "{helper}"]
least_offices = 3
{terms}
[[indicator]]
id = "sex"
title = {{ en = "People who came for the first time, by sex" }}
source = "people"
when = {{ in = "first_case" }}
by = [{{ column = "sex", codes = ["female", "male"] }}]
"#
    )
}

/// Four offices with people of 2019, and two nodes that add.
fn with_aggregators() -> (Network, [TestNode; 2], Vec<Desk>) {
    let (mut network, adders) = Network::with_adders(4);
    network.start();
    let desks: Vec<Desk> = network.offices.iter().map(|node| node.desk("worker")).collect();
    for (desk, (women, men)) in desks.iter().zip([(30, 4), (7, 1), (2, 0), (3, 9)]) {
        load(desk, &people(2019, women, men, 1));
    }
    (network, adders, desks)
}

/// What the collector sees of a sum, once it is there.
fn summed(collector: &Desk, id: &str) -> CollectedView {
    summed_of(collector, id, year(2019))
}

/// What aggregators said of an office's report, once it stands like that.
fn report_of(desk: &Desk, period: Period, standing: TallyStanding) -> TallyReportView {
    eventually("both said what became of the report", || {
        let agreed = desk.agreements().unwrap().0;
        let due = agreed.iter().flat_map(|one| &one.periods).find(|due| due.period == period && due.left.is_some())?;
        due.left.as_ref()?.report.clone().filter(|report| report.standing == standing)
    })
}

fn summed_of(collector: &Desk, id: &str, period: Period) -> CollectedView {
    eventually("the sum comes", || {
        let view = collector.collected(id, Some(period)).unwrap();
        (!view.offices.is_empty()).then_some(view)
    })
}

#[test]
fn a_secure_sum_tells_the_total_and_no_office() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _guard = runtime.enter();
    let (mut network, mut adders, desks) = with_aggregators();
    let terms = "way = \"secure_sum\"\nmost = 1000\nthreshold = 3";
    let asked = sums("sums", terms, [&adders[0], &adders[1]]) + IN_MANY;
    let agreed = network.agree(&asked);
    assert!(agreed.contains("holds"), "{agreed}");
    network.tell_all(&adders);
    let collector = network.collector.desk("worker");
    // The office sees its own numbers, and that they are split.
    let preview = desks[1].table_preview("sums", year(2019)).unwrap();
    assert_eq!(cells(figure(&preview.figures, "sex"))["male"], some("1"), "one man: seen here, and nowhere else");
    // One aggregator sleeps while offices tell.
    adders[1].stop();
    for desk in &desks {
        desk.approve_table("sums", year(2019), None).unwrap();
    }
    assert_eq!(problem(desks[0].approve_table("sums", year(2019), None)), "sum-answered");
    adders[1].start();
    drop(adders[1].desk("worker"));
    let view = summed(&collector, "sums");
    assert_eq!((view.offices.len(), view.silent.len(), view.error_bar), (4, 0, None));
    let told = cells(figure(&view.total, "sex"));
    assert_eq!((told["female"].clone(), told["male"].clone(), told["*"].clone()), (some("42"), some("14"), some("56")));
    assert_eq!(figure(&view.total, "sex").missing, Some(4));
    assert!(view.offices.iter().all(|office| office.figures.is_empty()));
    // Each office holds the word of both that its report counts, under the root that the collector has.
    for desk in &desks {
        let report = report_of(desk, year(2019), TallyStanding::Counted);
        assert_eq!((report.reports, &report.root), (Some(4), &view.root));
    }
    // What at least three offices have is found, and no number of any of them.
    let last_year = year(collector.today().year() - 1);
    let (patterns, _) = collector.patterns().unwrap();
    assert!(patterns.iter().all(|one| one.is_new() && one.period == year(2019)) && patterns.len() == 1);
    // An office that joined since is the only one that is new: in the sum of the next year its numbers would be seen in the difference.
    let mut new = new_node("Late office", OfficeKind::AdviceOffice, vec![Role::Office], vec![]);
    new.pack = "anti_trafficking".into();
    let mut late = TestNode::new(&new);
    let card = network.file("late.card");
    std::fs::write(&card, late.card()).unwrap();
    let (net, key) = (network.file("the.net"), network.file("one.key"));
    network.does(&["join", "grant", "--network", &net, "--key", &key, &card]);
    late.start();
    network.tell_all(&adders);
    late.node().join(&std::fs::read(&net).unwrap()).unwrap();
    let newcomer = late.desk("worker");
    load(&newcomer, &people(last_year.from.year(), 20, 20, 0));
    load_last_year(&desks, last_year);
    for desk in desks.iter().chain([&newcomer]) {
        desk.approve_table("sums", last_year, None).unwrap();
    }
    report_of(&newcomer, last_year, TallyStanding::FewChanged);
    report_of(&desks[0], last_year, TallyStanding::Counted);
    let of_last_year = summed_of(&collector, "sums", last_year);
    assert_eq!((of_last_year.offices.len(), of_last_year.silent.len()), (4, 0));
    assert_eq!(of_last_year.left_out, [("Late office".to_owned(), LeftOut::FewChanged)]);
    let (patterns, _) =
        eventually("the sum is closed", || Some(collector.patterns().unwrap()).filter(|all| all.0.len() > 1));
    let found: Vec<_> = patterns.iter().map(|one| (code_of(&one.classes[0]), one.offices, one.is_new())).collect();
    assert_eq!(found, [("Threats", 4, true), ("Debts", 3, true)]);
    network.does(&["join", "change", "--network", &net, "--steward", &key, "--end-agreement", "sums"]);
    let ended = std::fs::read(&net).unwrap();
    late.node().join(&ended).unwrap();
    drop((collector, desks, newcomer));
    network.collector.stop();
    late.stop();
    if let Some(tools) = Walk::tools() {
        runtime.block_on(walk_sums(tools, [&network.collector, &late], last_year));
    }
    // What was summed stays to be read, over time, too, when the agreement has ended.
    network.collector.start();
    network.collector.node().join(&ended).unwrap();
    let collector = network.collector.desk("worker");
    assert_eq!(summed(&collector, "sums").total, view.total);
    assert_eq!(collector.collected_trend("sums", "sex", None).unwrap().steps.len(), 2);
}

async fn walk_sums(tools: (String, PathBuf), [collector, office]: [&TestNode; 2], last_year: Period) {
    let walk = Walk::open(tools).await;
    let served = Served::start(collector.to_serve()).await.unwrap();
    let base = format!("http://{}/", served.address);
    walk.sign_in(&base, "worker").await;
    walk.go(&format!("{base}collector/patterns")).await;
    walk.shows("Debts").await;
    walk.check("collector-patterns").await;
    walk.go(&format!("{base}collector?agreement=sums&from={}&to={}", last_year.from, last_year.to)).await;
    walk.shows("Told, and not in the sum").await;
    walk.check("collector-sum").await;
    walk.go(&format!("{base}collector?agreement=sums&from=2018-01-01&to=2018-12-31")).await;
    walk.shows("There is no sum of this period yet").await;
    walk.check("collector-sum-waits").await;
    let office = Served::start(office.to_serve()).await.unwrap();
    let base = format!("http://{}/", office.address);
    walk.sign_in(&base, "worker").await;
    walk.go(&format!("{base}tables")).await;
    walk.shows("Your report is not in this sum").await;
    walk.shows("ended").await;
    walk.check("tables-sum").await;
    walk.close().await;
    served.stop().await.unwrap();
}

/// Whether offices have any case of a kind.
const IN_MANY: &str = r#"
[[indicator]]
id = "in_many"
title = { en = "In how many offices somebody came" }
source = "cases"
when = { in = "opened" }
measure = "offices"
by = [{ column = "fact:means_of_control", codes = ["Threats", "Debts"] }]
"#;

/// Four offices with people of a year, in three of which somebody came for debts.
fn load_last_year(desks: &[Desk], year: Period) {
    for (desk, (women, men)) in desks.iter().zip([(30, 4), (7, 1), (2, 0), (3, 9)]) {
        let rows = people(year.from.year(), women, men, 1).replace(",Male,UA,0,Threats,", ",Male,UA,0,Debts,");
        load(desk, &rows);
    }
}

#[test]
fn an_office_that_tells_twice_or_not_at_all_harms_no_sum_and_noise_hides_a_person() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _guard = runtime.enter();
    let (mut network, adders, desks) = with_aggregators();
    network.agree(&sums("noisy", "way = \"noisy_sum\"\nepsilon_percent = 300\nmost = 1000", [&adders[0], &adders[1]]));
    network.tell_all(&adders);
    // An office tells, is put back to what it was before, and tells again.
    let before = tempfile::tempdir().unwrap();
    drop(desks);
    network.offices[0].stop();
    copy(network.offices[0].folder.path(), before.path());
    network.offices[0].start();
    let first = network.offices[0].desk("worker");
    first.approve_table("noisy", year(2019), None).unwrap();
    eventually("its report arrives", || {
        let agreed = &first.agreements().unwrap().0[0];
        agreed.periods.iter().any(|due| due.left.as_ref().is_some_and(|left| left.read.is_some())).then_some(())
    });
    // What may be told of a person in one year is spent by what left, whatever restarts.
    network.agree(
        &sums("more", "way = \"noisy_sum\"\nepsilon_percent = 200\nmost = 1000", [&adders[0], &adders[1]])
            .replace("first_case", "last_case")
            .replace("column = \"sex\"", "column = \"age_band\""),
    );
    network.tell();
    assert_eq!(problem(first.approve_table("more", year(2019), None)), "sum-spent");
    drop(first);
    network.offices[0].stop();
    for entry in std::fs::read_dir(network.offices[0].folder.path()).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { std::fs::remove_dir_all(path).unwrap() } else { std::fs::remove_file(path).unwrap() }
    }
    copy(before.path(), network.offices[0].folder.path());
    network.offices[0].start();
    network.offices[0].desk("worker").approve_table("noisy", year(2019), None).unwrap();
    // The last one never tells: the sum is closed when it had time.
    for node in &network.offices[1..3] {
        node.desk("worker").approve_table("noisy", year(2019), None).unwrap();
    }
    let collector = network.collector.desk("worker");
    assert!(collector.collected("noisy", Some(year(2019))).unwrap().offices.is_empty());
    network.offices[3].desk("worker").approve_table("noisy", year(2019), None).unwrap();
    let view = summed(&collector, "noisy");
    assert_eq!((view.offices.len(), view.error_bar), (4, Some(2)), "each once");
    let women: i64 = cells(figure(&view.total, "sex"))["female"].clone().unwrap().parse().unwrap();
    assert!((women - 42).abs() < 12, "{women}");
    report_of(&network.offices[0].desk("worker"), year(2019), TallyStanding::OtherCounted);
    report_of(&network.offices[1].desk("worker"), year(2019), TallyStanding::Counted);
    drop(collector);
    network.collector.stop();
    network.offices[0].stop();
    if let Some(tools) = Walk::tools() {
        runtime.block_on(walk_noise(tools, [&network.collector, &network.offices[0]]));
    }
}

/// An office without a line sends its shares on a stick: each aggregator takes its own.
#[test]
fn shares_travel_on_a_stick() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _guard = runtime.enter();
    let (mut network, mut adders, desks) = with_aggregators();
    network.agree(&sums("sums", "way = \"secure_sum\"\nmost = 1000\nthreshold = 3", [&adders[0], &adders[1]]));
    network.tell_all(&adders);
    adders.iter_mut().for_each(TestNode::stop);
    desks[3].approve_table("sums", year(2019), None).unwrap();
    let stick = eventually("both shares are packed", || {
        let packed = desks[3].pack_bundle("", false).ok()?;
        Some(packed.bytes).filter(|_| packed.packets.len() == 2)
    });
    drop(desks);
    network.offices[3].stop();
    adders.iter_mut().for_each(TestNode::start);
    for adder in &adders {
        adder.desk("worker").bring_bundle(&stick).unwrap();
    }
    for node in &network.offices[..3] {
        node.desk("worker").approve_table("sums", year(2019), None).unwrap();
    }
    let view = summed(&network.collector.desk("worker"), "sums");
    assert_eq!(cells(figure(&view.total, "sex"))["female"], some("42"), "with the one that came on the stick");
    network.offices[3].start();
    let report = report_of(&network.offices[3].desk("worker"), year(2019), TallyStanding::Counted);
    assert_eq!(report.root, view.root);
}

async fn walk_noise(tools: (String, PathBuf), [collector, office]: [&TestNode; 2]) {
    let walk = Walk::open(tools).await;
    let served = Served::start(collector.to_serve()).await.unwrap();
    let base = format!("http://{}/", served.address);
    walk.sign_in(&base, "worker").await;
    walk.go(&format!("{base}collector?agreement=noisy&from=2019-01-01&to=2019-12-31")).await;
    walk.shows("With noise").await;
    walk.check("collector-noisy").await;
    walk.go(&format!("{base}collector/time?agreement=noisy&from=2019-01-01&to=2019-12-31&figure=sex")).await;
    walk.shows("With noise").await;
    walk.check("collector-noisy-time").await;
    let served = Served::start(office.to_serve()).await.unwrap();
    let base = format!("http://{}/", served.address);
    walk.sign_in(&base, "worker").await;
    walk.go(&format!("{base}tables")).await;
    walk.shows("before its data were put back").await;
    walk.check("tables-sum-other").await;
    walk.close().await;
}

fn copy(from: &std::path::Path, to: &std::path::Path) {
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            std::fs::create_dir(&target).unwrap();
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// A code of an office's own leaves as the network's code above it; one that stands for itself leaves as it is, and the collector lists it.
#[test]
fn codes_of_an_offices_own_are_counted_under_the_networks() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _guard = runtime.enter();
    let mut network = Network::new(2);
    network.start();
    let made = |node: &TestNode, label: &str, counts_as: &str| {
        let term = TermInput { label: label.into(), counts_as: counts_as.into(), ..TermInput::default() };
        node.desk("admin").put_term("case_type", &term)
    };
    let [one, other] = network.offices.as_slice() else { panic!("two offices") };
    assert_eq!(problem(made(one, "Mining dust", "nothing of ours")), "unknown-value");
    let dust = made(one, "Mining dust", "health_access").unwrap();
    let silicosis = made(other, "Silicosis", "health_access").unwrap();
    let cattle = made(other, "Cattle", "").unwrap();
    let opened = |node: &TestNode, kind: &str| {
        let desk = node.desk("worker");
        let person =
            PersonInput { identity: "anonymous".into(), counting: "headcount".into(), ..PersonInput::default() };
        let person = desk.register_person(person).unwrap();
        desk.open_case(vec![person], CaseInput { case_type: kind.into(), ..CaseInput::default() }).unwrap();
    };
    [(one, &dust), (other, &silicosis), (other, &cattle)].into_iter().for_each(|(node, kind)| opened(node, kind));
    opened(one, "health_access");
    let today = one.desk("worker").today();
    let this_year = Period::new(year(today.year()).from, today).unwrap();
    for node in [one, other] {
        node.desk("worker").approve_table("", this_year, None).unwrap();
        let own = node.desk("worker").figures(this_year).unwrap();
        assert!(
            own.figures[0].cells.iter().any(|cell| cell.code().is_some_and(|code| code.starts_with("own_"))),
            "here it is what it is"
        );
    }
    let collector = network.collector.desk("worker");
    let view = eventually("both tell", || {
        Some(collector.collected("", Some(this_year)).unwrap()).filter(|view| view.offices.len() == 2)
    });
    let cells: Vec<_> =
        view.total[0].cells.iter().map(|cell| (cell.code().unwrap(), cell.value.as_deref().unwrap())).collect();
    assert_eq!(cells, [("health_access", "3"), ("own_cattle", "1")]);
    assert_eq!(view.unknown, [("Cattle".to_owned(), 1)]);
    // Of offices that serve no such area there is nothing.
    let elsewhere = collector.collected_in("", Some(this_year), Some("The moon")).unwrap();
    assert!(elsewhere.offices.is_empty() && elsewhere.silent.is_empty());
    let trend = collector.collected_trend("national", "cases_by_type", None);
    assert!(trend.is_ok_and(|trend| trend.steps == [this_year] && trend.lines.len() == 2));
}
