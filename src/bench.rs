//! Measures what people wait for, each figure beside a named baseline of the same run: durable commands beside one
//! `fdatasync`, packets beside the bare primitives, a referral beside its parts, an import in rows a second.
//! Wall times say how busy the machine was; the ratios are what to quote.

mod network;
mod statistics;

use crate::cli::say;
use crate::serve::Served;
use anyhow::{Context as _, Result};
use casemesh_crypto::envelope::{self, Draft, OfficeId, PacketId, Recipient, ThreadId, Urgency};
use casemesh_crypto::hash::Digest;
use casemesh_crypto::passphrase::Cost;
use casemesh_crypto::prekey::{PrekeyId, PrekeySecret};
use casemesh_crypto::random::os_rng;
use casemesh_crypto::share::Split;
use casemesh_crypto::sign::{KeyId, SigningKey, VerifyingKey};
use casemesh_crypto::{bare, token};
use casemesh_node::clock::Clock;
use casemesh_node::node::{self, Config, FirstStaff, Knock, NewNode, Node, Reach};
use casemesh_node::office::{
    ActionInput, CaseFilter, CaseInput, ConsentInput, Desk, FieldInput, Mapping, PersonInput, ReferralInput,
    RegisterInput, Scope,
};
use casemesh_node::records::StaffRole;
use casemesh_protocol::directory::{OfficeKind, Role};
use casemesh_protocol::time::{Day, Period};
use serde::Serialize;
use std::fs::OpenOptions;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

const COMMANDS: usize = 300;
const PACKETS: usize = 300;
const REFERRALS: usize = 100;
const IMPORT_ROWS: usize = 5_000;
const BODY_BYTES: usize = 2048;
const PAGES: usize = 200;
/// A report reads every case.
const REPORTS: usize = 20;
const CLIENTS: usize = 8;
const REQUESTS: usize = 250;

#[derive(Debug, Serialize)]
struct Figure {
    what: &'static str,
    /// Median, in microseconds (or rows a second, where `what` says so).
    value: f64,
    baseline: &'static str,
    baseline_value: f64,
    ratio: f64,
    note: String,
}

fn figure(what: &'static str, value: f64, baseline: &'static str, baseline_value: f64, note: String) -> Figure {
    Figure { what, value, baseline, baseline_value, ratio: value / baseline_value, note }
}

/// The median of how long something takes, in microseconds.
fn median_us(runs: usize, run: impl FnMut() -> Result<()>) -> Result<f64> {
    median(times_us(runs, run)?)
}

/// The median and the 99th percentile.
fn spread_us(runs: usize, run: impl FnMut() -> Result<()>) -> Result<(f64, f64)> {
    let mut times = times_us(runs, run)?;
    times.sort_by(f64::total_cmp);
    let slow = times.get(times.len() * 99 / 100).or(times.last()).copied().context("no run")?;
    Ok((median(times)?, slow))
}

fn times_us(runs: usize, mut run: impl FnMut() -> Result<()>) -> Result<Vec<f64>> {
    let mut times = Vec::with_capacity(runs);
    for _ in 0..runs {
        let start = Instant::now();
        run()?;
        times.push(start.elapsed().as_secs_f64() * 1e6);
    }
    Ok(times)
}

fn median(mut times: Vec<f64>) -> Result<f64> {
    times.sort_by(f64::total_cmp);
    times.get(times.len() / 2).copied().context("no run")
}

fn wait_for(holds: impl Fn() -> Result<bool>) -> Result<()> {
    let start = Instant::now();
    while !holds()? {
        anyhow::ensure!(start.elapsed() < Duration::from_secs(30), "a referral did not arrive");
        std::thread::sleep(Duration::from_micros(200));
    }
    Ok(())
}

/// Runs all measurements and prints them.
///
/// # Errors
/// When something that is measured fails.
pub fn run(json: bool, sizes: &[usize], with_network: bool, with_statistics: bool) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let _guard = runtime.enter();
    let folder = tempfile::tempdir()?;
    let pair = Pair::new(folder.path())?;
    let sample = Sample::new()?;
    let mut figures = packets(&sample)?;
    figures.extend(commands(folder.path(), &pair)?);
    figures.push(referrals(folder.path(), &pair, &sample)?);
    figures.push(import(&pair)?);
    if with_network {
        figures.extend(network::run(folder.path(), pair)?);
    } else {
        pair.stop();
    }
    if with_statistics {
        figures.extend(statistics::run()?);
    }
    for size in sizes {
        figures.extend(desk(*size)?);
    }
    if json {
        say(serde_json::to_string_pretty(&figures)?);
        return Ok(());
    }
    for figure in figures {
        say(format_args!(
            "{:<44} {:>12.1}   beside {:<42} {:>12.1}   ratio {:>6.2}   {}",
            figure.what, figure.value, figure.baseline, figure.baseline_value, figure.ratio, figure.note
        ));
    }
    Ok(())
}

struct BenchOffice {
    office: OfficeId,
    prekey: PrekeySecret,
    sender: VerifyingKey,
}

impl Recipient for BenchOffice {
    fn office(&self) -> OfficeId {
        self.office
    }
    fn prekey(&self, _: &PrekeyId) -> Option<&PrekeySecret> {
        Some(&self.prekey)
    }
    fn sender_key(&self, _: &OfficeId, _: &KeyId, _: u64, _: &Digest) -> Option<VerifyingKey> {
        Some(self.sender)
    }
}

/// A packet of 2 KB, and those who seal and open it.
struct Sample {
    key: SigningKey,
    recipient: BenchOffice,
    body: Vec<u8>,
    now_s: u64,
    packet: Vec<u8>,
}

impl Sample {
    fn new() -> Result<Self> {
        let rng = &mut os_rng();
        let key = SigningKey::random(rng);
        let recipient = BenchOffice {
            office: OfficeId::new([1; 32]),
            prekey: PrekeySecret::random(rng),
            sender: key.verifying_key(),
        };
        let now_s = Clock::system().now().s();
        let mut sample = Self { key, recipient, body: vec![0x5a; BODY_BYTES], now_s, packet: Vec::new() };
        sample.packet = sample.seal()?;
        Ok(sample)
    }

    fn seal(&self) -> Result<Vec<u8>> {
        let rng = &mut os_rng();
        let draft = Draft {
            kind: 1,
            packet_id: PacketId::random(rng),
            urgency: Urgency::Routine,
            from: OfficeId::new([2; 32]),
            from_log_head: Digest::ZERO,
            to: vec![(self.recipient.office, self.recipient.prekey.public().clone())],
            created_s: self.now_s,
            expires_h: u32::try_from(self.now_s / 3600 + 24)?,
            thread: ThreadId::new([3; 16]),
            previous: Digest::ZERO,
            consent: Digest::ZERO,
            purpose: 0,
            body: &self.body,
            attachments: vec![],
        };
        Ok(envelope::seal(&draft, &self.key, rng)?)
    }

    fn open(&self) -> Result<()> {
        Ok(envelope::open(&self.packet, self.now_s, &self.recipient).map(drop)?)
    }
}

fn packets(sample: &Sample) -> Result<Vec<Figure>> {
    let build = median_us(PACKETS, || sample.seal().map(drop))?;
    let open = median_us(PACKETS, || sample.open())?;
    let bare = bare::Bare::new(&sample.key, &sample.recipient.prekey, &sample.body);
    let bare_build = median_us(PACKETS, || {
        let _sealed_bytes = bare.build(&mut os_rng());
        Ok(())
    })?;
    let bare_open = median_us(PACKETS, || bare.open().then_some(()).context("the bare primitives fail"))?;
    let note = format!("{} bytes on the wire, budget 1.5", sample.packet.len());
    Ok(vec![
        figure("packet build, 2 KB (us)", build, "bare HPKE + Ed25519 + AEAD", bare_build, note.clone()),
        figure("packet open, 2 KB (us)", open, "bare HPKE + Ed25519 + AEAD", bare_open, note),
    ])
}

/// A file on the disk that the offices use, to which blocks are appended and synced.
struct Synced(std::fs::File);

impl Synced {
    fn new(folder: &Path) -> Result<Self> {
        Ok(Self(OpenOptions::new().append(true).create(true).open(folder.join("sync-baseline"))?))
    }

    fn append(&mut self) -> Result<()> {
        self.0.write_all(&[0x5a; 1024])?;
        Ok(self.0.sync_data()?)
    }
}

/// Two ends of a bare TCP connection on loopback: a packet's bytes there, a receipt's bytes back.
struct RoundTrip(TcpStream);

impl RoundTrip {
    const RECEIPT_BYTES: usize = 256;

    fn new() -> Result<Self> {
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0))?;
        let client = TcpStream::connect(listener.local_addr()?)?;
        client.set_nodelay(true)?;
        let (mut server, _) = listener.accept()?;
        server.set_nodelay(true)?;
        let echo = move || {
            let mut packet = [0u8; 2 * BODY_BYTES];
            while server.read_exact(&mut packet).is_ok() && server.write_all(&[1; Self::RECEIPT_BYTES]).is_ok() {}
        };
        drop(std::thread::spawn(echo));
        Ok(Self(client))
    }

    fn go(&mut self) -> Result<()> {
        self.0.write_all(&[0; 2 * BODY_BYTES])?;
        Ok(self.0.read_exact(&mut [0u8; Self::RECEIPT_BYTES])?)
    }
}

struct Pair {
    a: Node,
    b: Node,
    b_office: OfficeId,
    desk: Desk,
    other: Desk,
    password: String,
}

/// An office of the bench.
fn plan(name: &str, role: Role, password: &str) -> Result<NewNode> {
    let port = std::net::TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port();
    let worker = FirstStaff {
        sign_in: "worker".into(),
        name: "Worker".into(),
        roles: vec![StaffRole::Caseworker, StaffRole::Supervisor],
        password: password.to_owned(),
        unlocks: true,
    };
    Ok(NewNode {
        config: Config {
            name: name.into(),
            roles: vec![role],
            listen: vec![format!("/ip4/127.0.0.1/tcp/{port}")],
            web: "127.0.0.1:0".into(),
            poll_s: 60,
            practice: false,
            lobby: None,
            announce: Vec::new(),
            announce_lobby: None,
        },
        kind: OfficeKind::Ngo,
        pack: String::new(),
        code: "BEN".into(),
        small_office: true,
        factor_to_administer: false,
        currency: "ZAR".parse()?,
        zone: "UTC".into(),
        language: "en".into(),
        area: String::new(),
        services: vec![],
        hubs: vec![],
        staff: vec![worker],
        cost: Cost::FLOOR,
        split: Split::SMALL_OFFICE,
    })
}

impl Pair {
    fn new(folder: &Path) -> Result<Self> {
        let password = token::spoken_code(20, &mut os_rng());
        let make = |name: &str| -> Result<OfficeId> {
            let new = plan(name, Role::Office, &password)?;
            Ok(node::init(&folder.join(name), &new, &Clock::system())?.office)
        };
        make("a")?;
        let b_office = make("b")?;
        let cards = [node::read_card(&folder.join("a"))?, node::read_card(&folder.join("b"))?];
        let network =
            node::sign_network("bench", &cards, None, &SigningKey::random(&mut os_rng()), Clock::system().now())?;
        let start = |name: &str| -> Result<(Node, Desk)> {
            let node = Node::start(&folder.join(name), Clock::system())?;
            node.join(&network)?;
            let token = node.sign_in(&Knock::new("worker", &password, "bench"))?;
            let desk = node.desk(&token).context("no desk")?;
            Ok((node, desk))
        };
        let ((a, desk), (b, other)) = (start("a")?, start("b")?);
        Ok(Self { a, b, b_office, desk, other, password })
    }

    fn stop(&self) {
        self.a.stop();
        self.b.stop();
    }
}

fn line(number: usize) -> RegisterInput {
    RegisterInput { visitor: format!("Visitor {number}"), note: "x".repeat(300), ..RegisterInput::default() }
}

fn commands(folder: &Path, pair: &Pair) -> Result<Vec<Figure>> {
    let mut file = Synced::new(folder)?;
    let sync = median_us(COMMANDS, || file.append())?;
    let mut number = 0;
    let one = median_us(COMMANDS, || {
        number += 1;
        let _id = pair.desk.add_line(line(number))?;
        Ok(())
    })?;
    let office = pair.a.office().context("locked")?;
    let before = office.vault().written();
    let start = Instant::now();
    std::thread::scope(|scope| {
        for writer in 0..32 {
            let desk = pair.desk.clone();
            scope.spawn(move || (0..40).try_for_each(|n| desk.add_line(line(writer * 100 + n)).map(drop)));
        }
    });
    let each = start.elapsed().as_secs_f64() * 1e6 / (32.0 * 40.0);
    let after = office.vault().written();
    let per_sync = (after.entries - before.entries) as f64 / (after.syncs - before.syncs).max(1) as f64;
    Ok(vec![
        figure("durable command, one writer (us)", one, "append 1 KiB + fdatasync, same disk", sync, String::new()),
        figure(
            "durable command, 32 writers, each (us)",
            each,
            "append 1 KiB + fdatasync, same disk",
            sync,
            format!("{per_sync:.1} commands a sync"),
        ),
    ])
}

fn known(value: &str) -> FieldInput {
    FieldInput { state: "known".into(), value: value.into() }
}

fn referrals(folder: &Path, pair: &Pair, sample: &Sample) -> Result<Figure> {
    let person = pair.desk.register_person(PersonInput {
        identity: "self_declared".into(),
        given: known("Bench"),
        ..PersonInput::default()
    })?;
    let expires = Clock::system().now().plus_days(30).day().to_string();
    let consent = pair.desk.record_consent(
        person,
        ConsentInput {
            purpose: "share_for_service".into(),
            recipients: vec![pair.b_office.to_string()],
            scope: vec!["names".into(), "case_brief".into()],
            expires,
            method: "signed_paper".into(),
            giver: "person".into(),
            ..ConsentInput::default()
        },
    )?;
    let mut cases = Vec::new();
    for _ in 0..REFERRALS {
        cases.push(pair.desk.open_case(vec![person], CaseInput { summary: "x".repeat(900), ..CaseInput::default() })?);
    }
    let (mut file, mut round_trip) = (Synced::new(folder)?, RoundTrip::new()?);
    let (mut times, mut parts) = (Vec::with_capacity(REFERRALS), Vec::with_capacity(REFERRALS));
    for case in cases {
        // The parts are done beside each referral, so that both see the same machine.
        let start = Instant::now();
        (0..3).try_for_each(|_| file.append())?;
        drop(sample.seal()?);
        sample.open()?;
        round_trip.go()?;
        parts.push(start.elapsed().as_secs_f64() * 1e6);
        let start = Instant::now();
        let referral = pair.desk.send_referral(
            case,
            ReferralInput {
                to: pair.b_office.to_string(),
                service: "safe_house".into(),
                need: "A bed".into(),
                urgency: String::new(),
                consent: consent.to_string(),
                ..ReferralInput::default()
            },
        )?;
        wait_for(|| Ok(pair.desk.referral_facts(referral)?.arrived.is_some()))?;
        times.push(start.elapsed().as_secs_f64() * 1e6);
        // The next one begins when both offices are done with this one.
        wait_for(|| Ok(pair.desk.referral_facts(referral)?.read.is_some()))?;
    }
    let received = pair.other.referrals(false)?.len();
    times.sort_by(f64::total_cmp);
    let slow = times.get(times.len() * 99 / 100).copied().unwrap_or_default();
    Ok(figure(
        "referral to signed durable receipt (us)",
        median(times)?,
        "3 syncs + build + open + bare TCP round trip",
        median(parts)?,
        format!("{received} arrived, p99 {slow:.0} us, budget 2.5"),
    ))
}

fn import(pair: &Pair) -> Result<Figure> {
    let mapping = Mapping::parse(
        "source = \"bench\"\nbasis = \"bench\"\ncase_type = \"trafficking\"\n[columns.year]\nfield = \"opened_year\"\n\
         [columns.sex]\nfield = \"sex\"\ncodes = { F = \"female\", M = \"male\" }\n",
    )?;
    let mut table = String::from("year,sex\n");
    for row in 0..IMPORT_ROWS {
        table.push_str(if row % 3 == 0 { "2012,F\n" } else { "2013,M\n" });
    }
    let start = Instant::now();
    let reading = mapping.read(table.as_bytes(), &pair.desk.vocabulary())?;
    let reading_s = start.elapsed().as_secs_f64();
    let start = Instant::now();
    let report = pair.desk.run_import(reading, |_| ())?;
    let rate = IMPORT_ROWS as f64 / start.elapsed().as_secs_f64();
    Ok(figure(
        "import (rows a second, all durable)",
        rate,
        "reading the same rows (rows a second)",
        IMPORT_ROWS as f64 / reading_s,
        format!("{} rows", report.new),
    ))
}

/// How many requests a second the pages answer, asked by several clients at once: home, and the sign-in page, which asks
/// nothing of the office.
fn over_http(folder: &Path, password: &str) -> Result<(f64, f64)> {
    tokio::runtime::Handle::current().block_on(async {
        let served = Served::start(folder).await?;
        let (node, knock) = (served.node.clone(), Knock::new("worker", password, "bench"));
        let token = tokio::task::spawn_blocking(move || node.sign_in(&knock)).await??;
        let cookie = format!("{}={token}", casemesh_web::session_cookie(&served.node));
        let rate = async |path: &str, cookie: &str| -> Result<f64> {
            let start = Instant::now();
            let clients = (0..CLIENTS).map(|_| {
                let (url, cookie) = (format!("http://{}{path}", served.address), cookie.to_owned());
                tokio::spawn(async move {
                    let http =
                        reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).build()?;
                    for _ in 0..REQUESTS {
                        let answer = http.get(&url).header("cookie", &cookie).send().await?;
                        anyhow::ensure!(answer.status() == 200, "{url}: {}", answer.status());
                        answer.bytes().await?;
                    }
                    Ok(())
                })
            });
            for client in clients.collect::<Vec<_>>() {
                client.await??;
            }
            Ok((CLIENTS * REQUESTS) as f64 / start.elapsed().as_secs_f64())
        };
        let (door, home) = (rate("/sign-in", "").await?, rate("/", &cookie).await?);
        served.stop().await?;
        Ok((home, door))
    })
}

/// Resident memory in MB of a process of its own that opens an office: while it is locked, and after its first page.
fn resident(folder: &Path, password: &str) -> Result<(f64, f64)> {
    let mut child = std::process::Command::new(std::env::current_exe()?);
    child.args(["bench", "--resident"]).arg(folder).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = child.spawn()?;
    child.stdin.take().context("no way to the process")?.write_all(format!("{password}\n").as_bytes())?;
    let told = String::from_utf8(child.wait_with_output()?.stdout)?;
    let mut numbers = told.split_whitespace().map(str::parse::<f64>);
    let mut next = || numbers.next().context("the process said nothing")?.context("the process said no number");
    Ok((next()?, next()?))
}

/// What the measuring of memory asks of the process that it starts.
pub fn tell_resident(folder: &Path) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let _guard = runtime.enter();
    let node = Node::start_as(folder, Clock::system(), Reach::Offline)?;
    let locked = resident_mb();
    let token = node.sign_in(&Knock::new("worker", &crate::cli::ask_secret("Password")?, "bench"))?;
    node.desk(&token).context("no desk")?.home()?;
    say(format_args!("{locked} {}", resident_mb()));
    node.stop();
    Ok(())
}

/// Resident memory of this process, in MB.
pub(crate) fn resident_mb() -> f64 {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages: f64 = pages.split(' ').nth(1).and_then(|pages| pages.parse().ok()).unwrap_or(0.0);
    pages * 4096.0 / 1e6
}

/// What a page waits for at the desk, with so many cases in the office; beside one `fdatasync` on the same disk.
fn desk(size: usize) -> Result<Vec<Figure>> {
    let folder = tempfile::tempdir()?;
    let pair = Pair::new(folder.path())?;
    let sync = {
        let mut file = Synced::new(folder.path())?;
        median_us(COMMANDS, || file.append())?
    };
    let mapping = Mapping::parse(
        "source = \"bench\"\nbasis = \"bench\"\ncase_type = \"trafficking\"\n[columns.year]\nfield = \"opened_year\"\n\
         [columns.given]\nfield = \"given\"\n[columns.family]\nfield = \"family\"\n",
    )?;
    let mut table = String::from("year,given,family\n");
    for row in 0..size {
        table.push_str(&format!("2020,{},{}\n", invented(row), invented(row / 7 + 1_000_003)));
    }
    pair.desk.run_import(mapping.read(table.as_bytes(), &pair.desk.vocabulary())?, |_| ())?;
    let person = pair.desk.register_person(PersonInput {
        identity: "self_declared".into(),
        given: known("Bench"),
        ..PersonInput::default()
    })?;
    let mut cases = Vec::new();
    for _ in 0..PAGES {
        cases.push(pair.desk.open_case(vec![person], CaseInput { summary: "x".repeat(900), ..CaseInput::default() })?);
    }
    let all = CaseFilter { closed: true, ..CaseFilter::default() };
    let first = Day::new(2020, 1, 1).context("a day")?;
    let years = Period::new(first, pair.desk.today()).context("a period")?;
    let whole = Scope { whole: true, ..Scope::default() };
    let mut next = cases.iter().cycle();
    let figures = [
        ("open a case", spread_us(PAGES, || Ok(pair.desk.case(*next.next().context("a case")?).map(drop)?))?),
        ("list 25 of all cases", spread_us(PAGES, || Ok(pair.desk.cases(&all).map(drop)?))?),
        ("search by name", spread_us(PAGES, || Ok(pair.desk.search(&invented(4711)).map(drop)?))?),
        ("home", spread_us(PAGES, || Ok(pair.desk.home().map(drop)?))?),
        (
            "figures, first page, after a line",
            spread_us(REPORTS, || {
                pair.desk.add_line(RegisterInput { note: "x".into(), ..RegisterInput::default() })?;
                Ok(pair.desk.report(years, Scope::default()).map(drop)?)
            })?,
        ),
        (
            "figures, first page, after an entry",
            spread_us(REPORTS, || {
                let note = ActionInput { kind: "note".into(), text: "x".into(), ..ActionInput::default() };
                pair.desk.add_action(*cases.first().context("a case")?, &note)?;
                Ok(pair.desk.report(years, Scope::default()).map(drop)?)
            })?,
        ),
        (
            "figures, first page, after a new case",
            spread_us(REPORTS, || {
                let person = PersonInput { identity: "anonymous".into(), ..PersonInput::default() };
                let person = pair.desk.register_person(person)?;
                pair.desk.open_case(vec![person], CaseInput::default())?;
                Ok(pair.desk.report(years, Scope::default()).map(drop)?)
            })?,
        ),
        (
            "figures, first page, nothing changed",
            spread_us(PAGES, || Ok(pair.desk.report(years, Scope::default()).map(drop)?))?,
        ),
        ("all sixty figures", spread_us(REPORTS, || Ok(pair.desk.report(years, whole).map(drop)?))?),
    ];
    pair.stop();
    let password = pair.password.clone();
    drop(pair);
    let start = Instant::now();
    let node = Node::start(&folder.path().join("a"), Clock::system())?;
    let to_door = start.elapsed().as_secs_f64() * 1e6;
    node.stop();
    drop(node);
    let (home, door) = over_http(&folder.path().join("a"), &password)?;
    let (locked, open) = resident(&folder.path().join("a"), &password)?;
    let note = |what: &str| format!("{size} cases{what}");
    let mut out: Vec<Figure> = figures
        .into_iter()
        .map(|(what, (half, slow))| {
            let slowest = note(&format!(", p99 {slow:.0} us"));
            figure(what, half, "append 1 KiB + fdatasync, same disk", sync, slowest)
        })
        .collect();
    out.push(figure("start to sign-in page (us)", to_door, "append 1 KiB + fdatasync, same disk", sync, note("")));
    out.push(figure(
        "home over HTTP, 8 clients (requests a second)",
        home,
        "the sign-in page over HTTP, 8 clients (requests a second)",
        door,
        note(", clients and node in one process"),
    ));
    out.push(figure(
        "resident memory of an open office (MB)",
        open,
        "the same process, locked",
        locked,
        note(", after its first page, in a process of its own"),
    ));
    Ok(out)
}

/// A name that stands for one of many people.
fn invented(number: usize) -> String {
    const PARTS: [&str; 16] =
        ["ba", "ko", "li", "mu", "na", "pe", "ri", "so", "ta", "vu", "we", "zi", "du", "fa", "go", "he"];
    let mut name = String::from("X");
    let mut rest = number.wrapping_mul(2_654_435_761) % 1_048_576;
    for _ in 0..4 {
        name.push_str(PARTS.get(rest % 16).copied().unwrap_or_default());
        rest /= 16;
    }
    name
}
