//! The command line with bad input: one sentence that says what to do, the documented exit code, nothing lost.

use crate::harness::{PASSWORD, TestNode, hire, new_node};
use casemesh_node::office::{ActionInput, CaseFilter, Mapping};
use casemesh_protocol::directory::{OfficeKind, Role};
use casemesh_protocol::id::RecordId;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};

pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) error: String,
}

pub(crate) fn casemesh(arguments: &[&str], input: &str) -> Ran {
    run(Command::new(env!("CARGO_BIN_EXE_casemesh")).args(arguments), input)
}

fn run(command: &mut Command, input: &str) -> Ran {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // A command that needs no input may have ended already.
    let _written = child.stdin.take().unwrap().write_all(input.as_bytes());
    let output = child.wait_with_output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ran { code: output.status.code().unwrap(), out: text(&output.stdout), error: text(&output.stderr) }
}

fn office() -> TestNode {
    TestNode::new(&new_node("Advice office", OfficeKind::AdviceOffice, vec![Role::Office], vec![]))
}

fn folder(node: &TestNode) -> &str {
    node.folder.path().to_str().unwrap()
}

#[track_caller]
fn refused(ran: &Ran, code: i32, sentence: &str) {
    assert_eq!(ran.code, code, "{}{}", ran.out, ran.error);
    assert!(ran.error.contains(sentence), "{:?} not in {:?}", sentence, ran.error);
}

const PASSWORD_LINE: &str = "paper boats on a river\n";

#[test]
fn an_office_is_set_up_once_with_shares_that_are_printed_once() {
    let temp = tempfile::tempdir().unwrap();
    let folder = temp.path().join("office");
    let folder = folder.to_str().unwrap();
    let arguments = ["init", "--folder", folder, "--name", "Ugu", "--small-office"];
    refused(&casemesh(&arguments, "short\n"), 1, "too short: take at least 15 characters");
    let made = casemesh(&arguments, "green paper lanterns\nseven slow turtles\n");
    assert_eq!(made.code, 0, "{}", made.error);
    let shares: Vec<_> = made.out.lines().filter_map(|line| line.trim().strip_prefix("sheet ")).collect();
    assert_eq!(shares.len(), 3, "{}", made.out);
    refused(&casemesh(&arguments, "green paper lanterns\nseven slow turtles\n"), 1, "there is already an office");
    let shown = casemesh(&["stats", "show", "--folder", folder, "--as", "worker", "--json"], "seven slow turtles\n");
    assert_eq!(shown.code, 0, "{}", shown.error);
    assert!(serde_json::from_str::<serde_json::Value>(&shown.out).is_ok());

    // With the recovery shares the office's key is made good for another year.
    let words: Vec<&str> =
        shares.iter().map(|sheet| sheet.split_once(':').map_or(*sheet, |(_, text)| text.trim())).collect();
    let renew = ["join", "renew", "--folder", folder];
    let enough = words.iter().take(2).map(|share| format!("{share}\n")).collect::<String>();
    let renewed = casemesh(&renew, &enough);
    assert_eq!(renewed.code, 0, "{}", renewed.error);
    assert!(renewed.out.contains("is good until 20"), "{}", renewed.out);
    refused(&casemesh(&renew, "abcde fghij\n"), 1, "share");
    refused(&casemesh(&renew, &format!("{0}\n{0}\n", words[0])), 1, "twice");
    // Any two of the three sheets open the office again; so they are what was printed.
    let shares: Vec<_> = shares
        .iter()
        .map(|line| casemesh_crypto::share::Share::from_printed(line.split_once(": ").unwrap().1).unwrap())
        .collect();
    let seed = casemesh_crypto::share::combine(&shares[1..]).unwrap();
    assert!(casemesh_node::keys::KeyFile::read(Path::new(folder)).unwrap().open_with_seed(&seed).is_ok());
}

#[test]
fn wrong_names_passwords_and_folders_are_told_apart() {
    let node = office();
    let empty = tempfile::tempdir().unwrap();
    let nowhere = empty.path().to_str().unwrap();
    refused(&casemesh(&["serve", "--folder", nowhere], ""), 1, "set one up with `casemesh init`");
    let stats = ["stats", "show", "--folder", folder(&node)];
    refused(&casemesh(&stats, "a wrong password here\n"), 3, "the name or the password is not right");
    refused(&casemesh(&stats, ""), 1, "no password was given");
    let nobody = ["stats", "show", "--folder", folder(&node), "--as", "nobody"];
    refused(&casemesh(&nobody, PASSWORD_LINE), 3, "the name or the password is not right");
}

#[test]
fn a_second_process_on_the_folder_is_refused() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _guard = runtime.enter();
    let mut node = office();
    node.start();
    refused(&casemesh(&["verify", "--folder", folder(&node)], ""), 4, "another Casemesh already works on");
    refused(&casemesh(&["serve", "--folder", folder(&node)], ""), 4, "stop it first");
}

#[test]
fn verify_names_a_flipped_byte_and_a_foreign_key_file() {
    let node = office();
    let held = casemesh(&["verify", "--folder", folder(&node), "--as", "worker"], PASSWORD_LINE);
    assert_eq!(held.code, 0, "{}", held.error);
    assert!(held.out.contains("The journal holds") && held.out.contains("Every record opens"), "{}", held.out);

    let segment = node.folder.path().join("journal/0000000000000001.seg");
    let good = std::fs::read(&segment).unwrap();
    let mut bad = good.clone();
    bad[40] ^= 1;
    std::fs::write(&segment, &bad).unwrap();
    refused(&casemesh(&["verify", "--folder", folder(&node)], ""), 5, "at byte 40 of 0000000000000001.seg");
    bad.clone_from(&good);
    bad[200] ^= 1;
    std::fs::write(&segment, &bad).unwrap();
    refused(&casemesh(&["verify", "--folder", folder(&node)], ""), 5, "at byte 200 of 0000000000000001.seg");
    std::fs::write(&segment, &good).unwrap();
    assert_eq!(casemesh(&["verify", "--folder", folder(&node)], "").code, 0);

    let other = office();
    std::fs::copy(other.folder.path().join("keys.cbor"), node.folder.path().join("keys.cbor")).unwrap();
    refused(&casemesh(&["verify", "--folder", folder(&node)], ""), 5, "belongs to another office's journal");
    refused(&casemesh(&["stats", "show", "--folder", folder(&node)], PASSWORD_LINE), 5, "another office");
}

#[test]
fn a_damaged_view_and_a_torn_journal_tail_lose_nothing() {
    let node = office();
    std::fs::remove_dir_all(node.folder.path().join("view")).unwrap();
    std::fs::create_dir(node.folder.path().join("view")).unwrap();
    std::fs::write(node.folder.path().join("view/db"), vec![0x5a; 100_000]).unwrap();
    let shown = casemesh(&["stats", "show", "--folder", folder(&node)], PASSWORD_LINE);
    assert_eq!(shown.code, 0, "{}", shown.error);

    let segment = node.folder.path().join("journal/0000000000000001.seg");
    let mut torn = std::fs::read(&segment).unwrap();
    let whole = torn.len();
    torn.extend_from_slice(b"FRM1\0\0\x01\0half an entry");
    std::fs::write(&segment, &torn).unwrap();
    let shown = casemesh(&["stats", "show", "--folder", folder(&node)], PASSWORD_LINE);
    assert_eq!(shown.code, 0, "{}", shown.error);
    assert!(std::fs::metadata(&segment).unwrap().len() >= whole as u64);
    assert_eq!(casemesh(&["verify", "--folder", folder(&node)], "").code, 0);
}

const MAPPING: &str = r#"
source = "elsewhere"
basis = "a public set"
case_type = "trafficking"
[columns.year]
field = "opened_year"
[columns.sex]
field = "sex"
codes = { F = "female", M = "male" }
missing = ["?"]
"#;

#[test]
fn an_import_says_what_is_wrong_adds_only_what_is_new_and_can_be_taken_back() {
    let node = office();
    let files = tempfile::tempdir().unwrap();
    let (mapping, table) = (files.path().join("map.toml"), files.path().join("cases.csv"));
    let (mapping_path, table_path) = (mapping.to_str().unwrap().to_owned(), table.to_str().unwrap().to_owned());
    std::fs::write(&mapping, MAPPING).unwrap();
    let import = |extra: &[&str]| {
        let mut all = vec!["import", "cases", &table_path, "--mapping", &mapping_path, "--folder", folder(&node)];
        all.extend(extra);
        casemesh(&all, PASSWORD_LINE)
    };
    let report = |ran: Ran| -> serde_json::Value {
        assert_eq!(ran.code, 0, "{}", ran.error);
        serde_json::from_str(&ran.out).unwrap()
    };
    std::fs::write(&table, b"year,sex\n2012,F\n2013,\xc9\n").unwrap();
    refused(&import(&[]), 6, "line 3 of the file is not UTF-8; save it again as \"CSV UTF-8\"");

    std::fs::write(&table, "year,sex\n2012,F\n2012,F\nnever,F\n2013,?\n2014,X\n2014\n").unwrap();
    let dry = report(import(&["--dry-run", "--json"]));
    assert_eq!((dry["new"].as_u64(), dry["refused"].as_u64()), (Some(3), Some(3)));
    let lines: Vec<_> = dry["problems"].as_array().unwrap().iter().map(|p| p["line"].as_u64().unwrap()).collect();
    assert_eq!(lines, [4, 6, 7]);
    assert_eq!(report(import(&["--dry-run", "--json"]))["known"].as_u64(), Some(0), "a dry run loads nothing");
    let first = report(import(&["--json"]));
    assert_eq!(report(import(&["--json"]))["new"].as_u64(), Some(0));
    // Three bad rows are mended in the file: only they are new.
    std::fs::write(&table, "year,sex\n2012,F\n2012,F\n2011,F\n2013,?\n2014,M\n2014,F\n").unwrap();
    let mended = report(import(&["--json"]));
    assert_eq!((mended["new"].as_u64(), mended["known"].as_u64()), (Some(3), Some(3)));

    let stats = ["stats", "show", "--folder", folder(&node), "--from", "2012-01-01", "--to", "2014-12-31", "--json"];
    let shown = report(casemesh(&stats, PASSWORD_LINE));
    assert_eq!(shown["figures"][0]["cells"][0]["value"], "5");
    let undo =
        casemesh(&["import", "undo", first["import"].as_str().unwrap(), "--folder", folder(&node)], PASSWORD_LINE);
    assert!(undo.out.contains("Taken back: 3 people"), "{}{}", undo.out, undo.error);
    let left = report(casemesh(
        &["stats", "show", "--folder", folder(&node), "--from", "2010-01-01", "--json"],
        PASSWORD_LINE,
    ));
    assert_eq!(left["figures"][0]["cells"][0]["value"], "3");
    assert!(PASSWORD_LINE.starts_with(PASSWORD));
}

/// The node's own API answers them, with the same sign-in and the same policy.
#[test]
fn data_commands_work_while_the_node_runs() {
    let node = office();
    let mut serving = Command::new(env!("CARGO_BIN_EXE_casemesh"))
        .args(["serve", "--folder", folder(&node)])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = String::new();
    BufReader::new(serving.stdout.take().unwrap()).read_line(&mut said).unwrap();
    assert!(said.contains("is at http://127.0.0.1:"), "{said}");

    let files = tempfile::tempdir().unwrap();
    let (mapping, table) = (files.path().join("map.toml"), files.path().join("cases.csv"));
    std::fs::write(&mapping, MAPPING).unwrap();
    std::fs::write(&table, "year,sex\n2012,F\n2012,F\n2013,M\n").unwrap();
    let (table, mapping) = (table.to_str().unwrap(), mapping.to_str().unwrap());
    let import = ["import", "cases", table, "--mapping", mapping, "--folder", folder(&node), "--json"];
    let report = |ran: &Ran| -> serde_json::Value {
        assert_eq!(ran.code, 0, "{}", ran.error);
        serde_json::from_str(&ran.out).unwrap()
    };
    let first = report(&casemesh(&import, PASSWORD_LINE));
    assert_eq!(first["new"], 3);
    assert_eq!(report(&casemesh(&import, PASSWORD_LINE))["new"], 0);
    let stats = ["stats", "show", "--folder", folder(&node), "--from", "2012-01-01", "--json"];
    assert_eq!(report(&casemesh(&stats, PASSWORD_LINE))["figures"][0]["cells"][0]["value"], "3");
    let listed = casemesh(&["import", "list", "--folder", folder(&node)], PASSWORD_LINE);
    assert!(listed.out.contains("3 rows"), "{}{}", listed.out, listed.error);
    let undo = ["import", "undo", first["import"].as_str().unwrap(), "--folder", folder(&node)];
    let undone = casemesh(&undo, PASSWORD_LINE);
    assert!(undone.out.contains("Taken back: 3 people"), "{}{}", undone.out, undone.error);
    refused(&casemesh(&stats, "not the password of anybody\n"), 3, "the name or the password is not right");
    // What needs the folder for itself says so.
    refused(&casemesh(&["verify", "--folder", folder(&node)], ""), 4, "another Casemesh already works on");
    serving.kill().unwrap();
    serving.wait().unwrap();
    // The address that a killed node left behind is not asked.
    assert_eq!(report(&casemesh(&stats, PASSWORD_LINE))["figures"][0]["covered"], 0);
}

/// Somebody that staff worked with since is not erased with the import that brought them; and the account whose slot
/// is made after an erasure opens the office under the key that is in force.
#[test]
fn an_import_taken_back_keeps_whom_staff_worked_with() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _guard = runtime.enter();
    let mut office = TestNode::new(&new_node("Office", OfficeKind::AdviceOffice, vec![Role::Office], vec![]));
    office.start();
    let (worker, admin) = (office.desk("worker"), office.desk("admin"));
    let reading = Mapping::parse(MAPPING)
        .unwrap()
        .read(b"year,sex\n2012,F\n2012,F\n2013,M\n", &casemesh_node::vocabulary::Vocabulary::default())
        .unwrap();
    let import: RecordId = worker.run_import(reading, |_| ()).unwrap().import.unwrap().parse().unwrap();
    let everything = CaseFilter { closed: true, ..CaseFilter::default() };
    let (rows, _) = worker.cases(&everything).unwrap();
    let (case, number) = (rows[0].id, rows[0].number.clone());
    worker.add_action(case, &ActionInput { text: "Called her".into(), ..ActionInput::default() }).unwrap();
    let undone = worker.undo_import(import).unwrap();
    assert_eq!((undone.removed, undone.kept), (2, vec![number]));
    assert!(worker.case(case).is_ok());
    assert_eq!(worker.cases(&everything).unwrap().1, 1);

    hire(office.node(), &admin, &worker, "late", "caseworker", true);
    drop((worker, admin));
    office.stop();
    office.start();
    assert!(office.desk("late").case(case).is_ok());
}

/// A limit on the length of a file stands for a full disk: writing stops in the midst of a group of entries.
#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_loses_nothing_that_was_saved_and_the_import_goes_on_later() {
    let node = office();
    let files = tempfile::tempdir().unwrap();
    let (mapping, table) = (files.path().join("map.toml"), files.path().join("cases.csv"));
    let rows = 1_500;
    std::fs::write(&mapping, MAPPING).unwrap();
    std::fs::write(&table, format!("year,sex\n{}", "2012,F\n".repeat(rows))).unwrap();
    let arguments = format!(
        "import cases {} --mapping {} --folder {} --json",
        table.display(),
        mapping.display(),
        node.folder.path().display()
    );
    let shell = |limit: &str| {
        let script = format!("trap '' XFSZ; {limit} exec {} {arguments}", env!("CARGO_BIN_EXE_casemesh"));
        run(Command::new("sh").args(["-c", &script]), PASSWORD_LINE)
    };
    refused(&shell("ulimit -f 2048;"), 1, "the disk is full");
    assert_eq!(casemesh(&["verify", "--folder", folder(&node)], "").code, 0);
    let after = shell("");
    assert_eq!(after.code, 0, "{}", after.error);
    let report: serde_json::Value = serde_json::from_str(&after.out).unwrap();
    let (new, known) = (report["new"].as_u64().unwrap(), report["known"].as_u64().unwrap());
    assert!(known > 0, "some rows were kept before the disk was full");
    assert_eq!(new + known, rows as u64);
    let stats = ["stats", "show", "--folder", folder(&node), "--from", "2012-01-01", "--to", "2012-12-31", "--json"];
    let shown: serde_json::Value = serde_json::from_str(&casemesh(&stats, PASSWORD_LINE).out).unwrap();
    assert_eq!(shown["figures"][0]["cells"][0]["value"], rows.to_string());
}

#[test]
fn a_network_file_of_another_steward_or_a_changed_one_is_refused() {
    let node = office();
    let files = tempfile::tempdir().unwrap();
    let path = |name: &str| files.path().join(name).to_str().unwrap().to_owned();
    let card = path("office.card");
    assert_eq!(casemesh(&["join", "card", "--folder", folder(&node), "--out", &card], "").code, 0);
    let found = |steward: &str, out: &str| {
        let (steward, out) = (path(steward), path(out));
        let ran = casemesh(&["join", "found", "--name", "Net", "--steward", &steward, "--out", &out, &card], "");
        assert_eq!(ran.code, 0, "{}", ran.error);
    };
    found("steward.key", "one.net");
    found("other.key", "other.net");
    std::fs::copy(path("one.net"), path("two.net")).unwrap();
    let (second, second_card) =
        (TestNode::new(&new_node("Second", OfficeKind::Ngo, vec![Role::Office], vec![])), path("second.card"));
    assert_eq!(casemesh(&["join", "card", "--folder", folder(&second), "--out", &second_card], "").code, 0);
    let grant = |key: &str, network: &str| {
        casemesh(&["join", "grant", "--network", &path(network), "--key", &path(key), &second_card], "")
    };
    refused(&grant("other.key", "two.net"), 6, "no registrar's of the network");
    assert_eq!(grant("steward.key", "two.net").code, 0);
    let accept = |file: &str| casemesh(&["join", "accept", "--folder", folder(&node), &path(file)], "");
    let said = casemesh(&["join", "accept", "--folder", folder(&second), &path("one.net")], "");
    refused(&said, 6, "does not list this office yet");
    assert_eq!(accept("two.net").code, 0);
    assert!(accept("one.net").out.contains("Nothing in this file is new"), "an older file takes nothing back");
    refused(&accept("other.net"), 6, "of another network");
    let shown = casemesh(&["join", "show", &path("two.net")], "").out;
    assert!(shown.contains("1 of 1 stewards sign") && shown.contains("Second"), "{shown}");
    let end = |office: &str| {
        casemesh(&["join", "end", "--network", &path("two.net"), "--key", &path("steward.key"), office], "")
    };
    refused(&end("Nobody"), 6, "no office of the network is called");
    assert_eq!(end("second").code, 0);
    assert!(casemesh(&["join", "show", &path("two.net")], "").out.contains("out since"));
    let mut changed = std::fs::read(path("two.net")).unwrap();
    let at = changed.windows(3).position(|window| window == b"Net").unwrap();
    changed[at] ^= 1;
    std::fs::write(path("changed.net"), changed).unwrap();
    refused(&accept("changed.net"), 6, "0 of the 1 stewards");
    std::fs::write(path("nonsense.net"), b"nonsense").unwrap();
    refused(&accept("nonsense.net"), 6, "no Casemesh network file");
    let doctor = casemesh(&["doctor", "--folder", folder(&node)], "");
    assert!(
        doctor.out.contains("The clock looks right") && doctor.out.contains("with 1 other offices"),
        "{}",
        doctor.out
    );
}
