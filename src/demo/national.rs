//! A whole network on one computer: many offices with synthetic cases, what they refer to one another, and what leaves for the
//! collector. Figures of the collector are compared with what was made up, counted while it was made.

use super::world::{Plan, free_password, set_up};
use crate::cli::say;
use crate::serve::Served;
use anyhow::{Context as _, Result, ensure};
use casemesh_crypto::random::os_rng;
use casemesh_crypto::sign::SigningKey;
use casemesh_node::clock::Clock;
use casemesh_node::indicators::NATIONAL;
use casemesh_node::node::{self, Founding, Knock, Node};
use casemesh_node::office::{
    ActionInput, AnswerInput, CaseFilter, CollectedView, ConsentInput, Desk, FieldInput, FigureView, Mapping,
    PaymentInput, ReferralInput,
};
use casemesh_node::records::StaffRole;
use casemesh_protocol::bounded::List;
use casemesh_protocol::directory::{NetworkFile, OfficeKind, Role};
use casemesh_protocol::id::OfficeId;
use casemesh_protocol::statistics::{AgreementText, agreement_hash};
use casemesh_protocol::time::{Day, Period};
use casemesh_protocol::trust::{Registrar, SignedRoot};
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// Most offices of a demonstration.
pub const OFFICES_MAX: usize = 300;
/// So many set up and fill at the same time.
const AT_WORK: usize = 4;
/// So long is waited for packets to arrive.
const PATIENCE: Duration = Duration::from_secs(300);
/// Who works in each office.
const WORKER: &str = "thandi";

/// How the columns of a made-up table become fields.
const MAPPING: &str = r#"
source = "synthetic"
basis = "invented people"
[columns]
opened = { field = "opened_on" }
closed = { field = "closed_on" }
state = { field = "state", unlisted = "keep" }
reason = { field = "closure_reason", unlisted = "keep" }
type = { field = "case_type", unlisted = "keep" }
given = { field = "given" }
family = { field = "family" }
sex = { field = "sex", unlisted = "keep" }
country = { field = "nationality" }
age = { field = "age_band", unlisted = "keep" }
area = { field = "area" }
source = { field = "source", unlisted = "keep" }
forum = { field = "forum", unlisted = "keep" }
"#;

/// What the stewards of the demonstration agree on beside the national numbers.
const PEOPLE: &str = r#"
id = "people"
version = 1

[terms]
every = "year"
due_days = 30
threshold = 11

[[indicator]]
id = "sex_age"
title = { en = "People who came for the first time, by sex and age", es = "Personas que vinieron por primera vez, por sexo y edad", fr = "Personnes venues pour la première fois, par sexe et âge", sw = "Watu waliokuja kwa mara ya kwanza, kwa jinsia na umri", ar = "من أتوا لأول مرة بحسب الجنس والعمر" }
source = "people"
when = { in = "first_case" }
by = [{ column = "sex" }, { column = "age_band" }]

[[indicator]]
id = "nationality"
title = { en = "People who came for the first time, by nationality", es = "Personas que vinieron por primera vez, por nacionalidad", fr = "Personnes venues pour la première fois, par nationalité", sw = "Watu waliokuja kwa mara ya kwanza, kwa uraia", ar = "من أتوا لأول مرة بحسب الجنسية" }
source = "people"
when = { in = "first_case" }
by = [{ column = "nationality" }]
"#;

/// Weighted choices.
type Choices = &'static [(&'static str, u64)];

const TYPES: Choices = &[
    ("unpaid_wages", 22),
    ("domestic_violence", 14),
    ("social_grant", 16),
    ("eviction", 8),
    ("land", 6),
    ("maintenance", 9),
    ("dismissal", 10),
    ("identity_document", 7),
    ("trafficking", 4),
    ("debt", 4),
];
const SEXES: Choices = &[("female", 62), ("male", 36), ("other", 2)];
const COUNTRIES: Choices = &[("ZA", 70), ("ZW", 9), ("MZ", 7), ("LS", 5), ("MW", 3), ("NG", 2), ("CD", 2), ("SO", 2)];
const AGES: Choices = &[
    ("0-8", 3),
    ("9-17", 8),
    ("18-20", 8),
    ("21-23", 10),
    ("24-26", 13),
    ("27-29", 14),
    ("30-38", 22),
    ("39-47", 13),
    ("48+", 9),
];
const REASONS: Choices = &[
    ("resolved", 52),
    ("partly_resolved", 16),
    ("not_resolved", 8),
    ("lost_contact", 12),
    ("withdrawn_by_client", 7),
    ("moved_away", 5),
];
const SOURCES: Choices =
    &[("self", 50), ("family", 18), ("former_client", 8), ("outreach", 9), ("authority", 8), ("helpline", 7)];
const FORUMS: Choices =
    &[("negotiation", 30), ("mediation", 34), ("customary", 8), ("tribunal", 14), ("court", 8), ("administrative", 6)];
const AREAS: Choices = &[("Ugu", 1), ("Zululand", 1), ("Amajuba", 1), ("iLembe", 1), ("Harry Gwala", 1)];
const GIVEN: &[&str] = &[
    "Nomvula",
    "Bongani",
    "Selamawit",
    "Oksana",
    "Lucía",
    "Sokha",
    "Thida",
    "Yusuf",
    "Sita",
    "Zanele",
    "Themba",
    "Ayaan",
];
const FAMILY: &[&str] = &[
    "Dlamini",
    "Cele",
    "Tesfaye",
    "Kovalenko",
    "Mamani",
    "Chann",
    "Aung",
    "al-Najjar",
    "Gurung",
    "Khumalo",
    "Zulu",
    "Warsame",
];

/// Numbers that look like chance and are the same for the same seed (SplitMix64, Steele and others 2014).
struct Chance(u64);

impl Chance {
    fn below(&mut self, of: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % of.max(1)
    }

    /// Whether something happens that happens so many times of a thousand.
    fn happens(&mut self, permille: u64) -> bool {
        self.below(1_000) < permille
    }

    fn of(&mut self, choices: Choices) -> &'static str {
        let mut at = self.below(choices.iter().map(|(_, weight)| weight).sum());
        for (choice, weight) in choices {
            match at.checked_sub(*weight) {
                Some(rest) => at = rest,
                None => return choice,
            }
        }
        ""
    }

    /// A choice, or nothing where it was not recorded.
    fn recorded(&mut self, missing_permille: u64, choices: Choices) -> &'static str {
        if self.happens(missing_permille) { "" } else { self.of(choices) }
    }

    fn one<'a>(&mut self, of: &[&'a str]) -> &'a str {
        let at = usize::try_from(self.below(of.len() as u64)).unwrap_or_default();
        of.get(at).copied().unwrap_or_default()
    }
}

/// What was made up, counted while it was made: cases opened this year by type.
#[derive(Debug, Default)]
struct Truth {
    types: BTreeMap<&'static str, i64>,
    missing: u64,
    cases: usize,
}

/// A table of made-up cases, as many people leave them: of 100 cases 24 have no type, of 100 people 57 no age, 4 no sex and 3 no
/// country (the shares that the Victim Case Management System published, Liberty Shared 2020).
fn table(chance: &mut Chance, cases: usize, today: Day, truth: &mut Truth) -> String {
    let mut all = String::from("opened,closed,state,reason,type,given,family,sex,country,age,area,source,forum\n");
    for _ in 0..cases {
        let back = i32::try_from(chance.below(1_050)).unwrap_or_default();
        let opened = today.plus_days(-back);
        let closed = opened.plus_days(i32::try_from(3 + chance.below(300)).unwrap_or_default());
        let is_closed = closed < today && chance.happens(850);
        let kind = chance.recorded(241, TYPES);
        let (state, reason) = if is_closed { ("closed", chance.recorded(60, REASONS)) } else { ("open", "") };
        let row = [
            opened.to_string(),
            if is_closed { closed.to_string() } else { String::new() },
            state.to_owned(),
            reason.to_owned(),
            kind.to_owned(),
            chance.one(GIVEN).to_owned(),
            chance.one(FAMILY).to_owned(),
            chance.recorded(45, SEXES).to_owned(),
            chance.recorded(35, COUNTRIES).to_owned(),
            chance.recorded(570, AGES).to_owned(),
            chance.recorded(100, AREAS).to_owned(),
            chance.recorded(300, SOURCES).to_owned(),
            chance.recorded(500, FORUMS).to_owned(),
        ];
        if opened.year() == today.year() {
            match kind {
                "" => truth.missing += 1,
                kind => *truth.types.entry(kind).or_default() += 1,
            }
        }
        truth.cases += 1;
        let _written = writeln!(all, "{}", row.join(","));
    }
    all
}

/// What one part of it took.
#[derive(Debug, Serialize)]
pub struct Phase {
    /// What was done.
    pub what: String,
    /// How long it took, in seconds.
    pub seconds: f64,
    /// The memory of this process then, in megabytes.
    pub resident_mb: f64,
}

/// The demonstration, as it went.
#[derive(Debug, Serialize)]
pub struct National {
    /// Offices beside the collector.
    pub offices: usize,
    /// Cases in all of them.
    pub cases: usize,
    /// Part by part.
    pub phases: Vec<Phase>,
    /// What was compared, and whether it was so.
    pub checks: Vec<(String, bool)>,
    /// Where the pages of the first office and of the collector are.
    pub pages: Vec<String>,
    /// The password of everybody.
    #[serde(skip)]
    pub password: String,
}

impl National {
    /// Whether all was as it should be.
    pub fn is_true(&self) -> bool {
        self.checks.iter().all(|(_, is_so)| *is_so)
    }
}

/// A network that runs.
pub struct Running {
    /// How it went.
    pub told: National,
    offices: Vec<Office>,
    served: Vec<Served>,
    _folder: tempfile::TempDir,
}

struct Office {
    name: String,
    id: OfficeId,
    folder: PathBuf,
    node: Option<Node>,
    /// Where its worker sits: signed in once, for each sign-in costs a password hash.
    desk: Option<Desk>,
    truth: Truth,
}

impl Office {
    fn start(&mut self, network: &[u8], password: &str) -> Result<()> {
        let node = Node::start(&self.folder, Clock::system())?;
        node.join(network)?;
        // Who signs in opens the office.
        let token = node.sign_in(&Knock::new(WORKER, password, "demonstration"))?;
        self.desk = node.desk(&token);
        self.node = Some(node);
        Ok(())
    }

    fn desk(&self) -> Result<&Desk> {
        self.desk.as_ref().context("the sign-in holds")
    }
}

/// Does something at every office, some at a time.
fn everywhere(offices: &mut [Office], work: impl Fn(usize, &mut Office) -> Result<()> + Sync) -> Result<()> {
    let runtime = tokio::runtime::Handle::current();
    let waiting = Mutex::new(offices.iter_mut().enumerate());
    let failed = Mutex::new(None);
    std::thread::scope(|scope| {
        for _ in 0..AT_WORK {
            scope.spawn(|| {
                let _guard = runtime.enter();
                loop {
                    let next = waiting.lock().map(|mut waiting| waiting.next());
                    let Ok(Some((at, office))) = next else { break };
                    if let Err(error) = work(at, office)
                        && let Ok(mut failed) = failed.lock()
                    {
                        failed.get_or_insert(error.context(office.name.clone()));
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    failed.map_or(Ok(()), Err)
}

fn eventually(what: &str, mut holds: impl FnMut() -> Result<bool>) -> Result<()> {
    let until = Instant::now() + PATIENCE;
    while !holds()? {
        ensure!(Instant::now() < until, "{what}: not within {} seconds", PATIENCE.as_secs());
        std::thread::sleep(Duration::from_millis(200));
    }
    Ok(())
}

/// The network file: all cards, and what the stewards agreed on.
fn network(cards: &[Vec<u8>]) -> Result<Vec<u8>> {
    let (steward, now) = (SigningKey::random(&mut os_rng()), Clock::system().now());
    let key = steward.verifying_key();
    let first = Founding {
        name: "Demonstration network",
        stewards: vec![key],
        needed: 1,
        registrars: vec![Registrar::Key(key)],
        rules: None,
    };
    let texts = [NATIONAL, PEOPLE].into_iter().map(AgreementText::new).collect::<Result<Vec<_>, _>>()?;
    let mut root = first.root(now)?;
    root.agreements = List::new(texts.iter().map(agreement_hash).collect())?;
    let root = SignedRoot::proposed(&root).endorsed(&steward);
    let mut file = NetworkFile::new(List::new(vec![root])?, List::default(), List::default());
    file.agreements = List::new(texts)?;
    Ok(node::grant(&file, cards, &steward, now)?)
}

/// What an office does beside what it brought along: money, services, referrals.
fn work(at: usize, office: &Office, others: &[(OfficeId, String)]) -> Result<usize> {
    let desk = office.desk()?;
    let today = desk.today();
    let mut chance = Chance(at as u64 + 7_919);
    let open = desk.cases(&CaseFilter::default())?.0;
    let mut sent = 0;
    for (nth, case) in open.iter().take(8).enumerate() {
        let day = today.plus_days(-i32::try_from(chance.below(20)).unwrap_or_default());
        let money = |kind: &str, amount: u64| PaymentInput {
            kind: kind.into(),
            amount: format!("{amount}.00"),
            currency: "ZAR".into(),
            paid: day.max(Day::new(today.year(), 1, 1).unwrap_or(today)).to_string(),
            ..PaymentInput::default()
        };
        if nth % 2 == 0 {
            let claimed = 500 + chance.below(9_000);
            desk.add_payment(case.id, money("claimed", claimed))?;
            desk.add_payment(case.id, money("recovered", claimed / 2))?;
        }
        let known = |value: &str| FieldInput { state: "known".into(), value: value.into() };
        let service = chance.one(&["paralegal_advice", "family_mediation", "psychosocial", "health", "interpretation"]);
        let given = ActionInput {
            form: "service".into(),
            answers: BTreeMap::from([
                ("service".to_owned(), known(service)),
                ("service_outcome".to_owned(), known("done")),
            ]),
            ..ActionInput::default()
        };
        desk.add_action(case.id, &given)?;
        let Some((to, _)) = (nth < 3 && others.len() > 1)
            .then(|| {
                others
                    .get((at + 1 + usize::try_from(chance.below(others.len() as u64 - 1)).unwrap_or(0)) % others.len())
            })
            .flatten()
        else {
            continue;
        };
        let view = desk.case(case.id)?;
        let Some(client) = view.clients.first() else { continue };
        let consent = desk.record_consent(
            client.id,
            ConsentInput {
                purpose: "share_for_service".into(),
                recipients: vec![to.to_string()],
                scope: vec!["names".into()],
                expires: today.plus_days(90).to_string(),
                method: "signed_paper".into(),
                giver: "person".into(),
                language: "en".into(),
                ..ConsentInput::default()
            },
        )?;
        desk.send_referral(
            case.id,
            ReferralInput {
                to: to.to_string(),
                service: service.into(),
                need: "Help with the next step".into(),
                urgency: "routine".into(),
                consent: consent.to_string(),
                ..ReferralInput::default()
            },
        )?;
        sent += 1;
    }
    Ok(sent)
}

/// Answers what came in: most of it, and not all.
fn answer(at: usize, office: &Office) -> Result<()> {
    let desk = office.desk()?;
    let mut chance = Chance(at as u64 + 104_729);
    for referral in desk.referrals(false)? {
        let (step, code) = match chance.below(10) {
            0..=4 => ("accepted", ""),
            5 | 6 => ("declined", "no_capacity"),
            7 => ("acknowledged", ""),
            _ => continue,
        };
        let input = AnswerInput {
            step: step.into(),
            code: code.into(),
            note: "Monday at nine".into(),
            ..AnswerInput::default()
        };
        desk.answer(referral.id, input)?;
    }
    Ok(())
}

fn value_of(figures: &[FigureView], figure: &str, code: &str) -> i64 {
    let cells = figures.iter().filter(|one| one.id == figure).flat_map(|one| &one.cells);
    let of_code = cells.filter(|cell| cell.code() == Some(code));
    of_code.filter_map(|cell| cell.value.as_deref()?.parse::<i64>().ok()).sum()
}

/// Sets a network of so many offices up, fills it with so many cases, and collects.
///
/// # Errors
/// When a node cannot be set up or started, or packets do not arrive.
pub async fn play(offices: usize, cases: usize) -> Result<Running> {
    ensure!((2..=OFFICES_MAX).contains(&offices), "a network of the demonstration has 2 to {OFFICES_MAX} offices");
    let folder = tempfile::Builder::new().prefix("casemesh-national-").tempdir()?;
    let root = folder.path().to_owned();
    let runtime = tokio::runtime::Handle::current();
    let (told, all, collector) = tokio::task::spawn_blocking(move || {
        let _guard = runtime.enter();
        collect(&root, offices, cases)
    })
    .await??;
    let mut running = Running { told, offices: all, served: Vec::new(), _folder: folder };
    let first = running.offices.first().map(|office| office.folder.clone()).context("an office")?;
    // Those two are looked at: they run with their pages.
    if let Some(office) = running.offices.first_mut()
        && let Some(node) = office.node.take()
    {
        tokio::task::spawn_blocking(move || node.stop()).await?;
    }
    let stopped = collector.node.context("the collector runs")?;
    tokio::task::spawn_blocking(move || stopped.stop()).await?;
    for folder in [&first, &collector.folder] {
        running.served.push(Served::start(folder).await?);
    }
    running.told.pages = running.served.iter().map(|served| format!("http://{}/", served.address)).collect();
    Ok(running)
}

impl Running {
    /// Ends all of it.
    ///
    /// # Errors
    /// When pages had failed.
    pub async fn stop(self) -> Result<()> {
        for served in self.served {
            served.stop().await?;
        }
        let nodes: Vec<Node> = self.offices.into_iter().filter_map(|office| office.node).collect();
        tokio::task::spawn_blocking(move || nodes.into_iter().for_each(|node| node.stop())).await?;
        Ok(())
    }
}

fn collect(root: &Path, count: usize, cases: usize) -> Result<(National, Vec<Office>, Office)> {
    let password = free_password();
    let today = Clock::system().now().day();
    let mut told = National {
        offices: count,
        cases,
        phases: Vec::new(),
        checks: Vec::new(),
        pages: Vec::new(),
        password: password.clone(),
    };
    let mut since = Instant::now();
    let mut phase = |told: &mut National, what: &str| {
        let seconds = since.elapsed().as_secs_f64();
        told.phases.push(Phase { what: what.to_owned(), seconds, resident_mb: crate::bench::resident_mb() });
        since = Instant::now();
    };
    let office = |name: String| Office {
        folder: root.join(name.to_lowercase().replace(' ', "-")),
        name,
        id: OfficeId::new([0; 32]),
        node: None,
        desk: None,
        truth: Truth::default(),
    };
    let mut offices: Vec<Office> = (1..=count).map(|at| office(format!("Advice office {at:03}"))).collect();
    offices.push(office("National coordination".into()));
    let staff: &[(&str, &str, &[StaffRole], &str)] = &[
        (WORKER, "Thandi Mkhize", &[StaffRole::Caseworker, StaffRole::Supervisor], "supervisor"),
        ("nomsa", "Nomsa Dube", &[StaffRole::Reporting], "reporting"),
    ];
    everywhere(&mut offices, |at, office| {
        let is_collector = at == count;
        let plan = Plan {
            name: &office.name,
            folder: "",
            kind: if is_collector { OfficeKind::Coordination } else { OfficeKind::AdviceOffice },
            role: if is_collector { Role::Collector } else { Role::Office },
            code: "DEM",
            services: &["paralegal_advice", "family_mediation", "psychosocial", "health", "interpretation"],
            area: AREAS.get(at % AREAS.len()).map_or("", |(area, _)| area),
            staff,
        };
        office.id = set_up(&office.folder, &plan, vec![], &password)?;
        Ok(())
    })?;
    phase(&mut told, "folders, keys and accounts made");

    let cards: Vec<Vec<u8>> = offices.iter().map(|office| node::read_card(&office.folder)).collect::<Result<_, _>>()?;
    let network = network(&cards)?;
    everywhere(&mut offices, |_, office| office.start(&network, &password))?;
    phase(&mut told, "nodes started, joined and opened");

    everywhere(&mut offices, |at, office| {
        if at == count {
            return Ok(());
        }
        let own = cases / count + usize::from(at < cases % count);
        let mut chance = Chance(at as u64);
        let text = table(&mut chance, own, today, &mut office.truth);
        let desk = office.desk()?;
        let reading = Mapping::parse(MAPPING)?.read(text.as_bytes(), &desk.vocabulary())?;
        let report = desk.run_import(reading, |_| ())?;
        ensure!(report.refused == 0, "{:?}", report.problems.first());
        Ok(())
    })?;
    phase(&mut told, "cases made up and imported");

    let others: Vec<(OfficeId, String)> =
        offices.iter().take(count).map(|office| (office.id, office.name.clone())).collect();
    let sent = Mutex::new(0usize);
    everywhere(&mut offices, |at, office| {
        if at < count {
            let own = work(at, office, &others)?;
            if let Ok(mut sent) = sent.lock() {
                *sent += own;
            }
        }
        Ok(())
    })?;
    let sent = sent.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    let arrived = |offices: &[Office]| -> Result<usize> {
        offices.iter().take(count).map(|office| Ok(office.desk()?.referrals(false)?.len())).sum()
    };
    eventually("all referrals arrive", || Ok(arrived(&offices)? == sent))?;
    phase(&mut told, "money, services and referrals written down; every referral arrived");
    everywhere(&mut offices, |at, office| if at < count { answer(at, office) } else { Ok(()) })?;
    phase(&mut told, "referrals answered");

    let year = Period::new(Day::new(today.year(), 1, 1).context("a day")?, today).context("a period")?;
    let last = Period::year(today.year() - 1).context("a year")?;
    everywhere(&mut offices, |at, office| {
        if at < count {
            let desk = office.desk()?;
            desk.approve_table("national", year, None)?;
            desk.approve_table("people", last, None)?;
        }
        Ok(())
    })?;
    let collector = offices.pop().context("the collector")?;
    let desk = collector.desk()?;
    let view = |id: &str, period: Period| -> Result<CollectedView> { Ok(desk.collected(id, Some(period))?) };
    eventually("all tables arrive", || {
        Ok(view("national", year)?.offices.len() == count && view("people", last)?.offices.len() == count)
    })?;
    phase(&mut told, "tables approved, sent and collected");

    let mut truth = Truth::default();
    for office in &offices {
        truth.cases += office.truth.cases;
        truth.missing += office.truth.missing;
        office.truth.types.iter().for_each(|(kind, cases)| *truth.types.entry(kind).or_default() += cases);
    }
    let national = view("national", year)?;
    let is_exact = truth.types.iter().all(|(kind, made)| value_of(&national.total, "cases_by_type", kind) == *made);
    let missing = national.total.iter().find(|one| one.id == "cases_by_type").and_then(|one| one.missing);
    let referrals: i64 = national
        .total
        .iter()
        .filter(|one| one.id == "referrals_by_state")
        .flat_map(|one| &one.cells)
        .filter_map(|cell| cell.value.as_deref()?.parse::<i64>().ok())
        .sum();
    let people = view("people", last)?;
    let cells = people.offices.iter().flat_map(|office| &office.figures).flat_map(|figure| &figure.cells);
    let told_of: Vec<i64> = cells.filter_map(|cell| cell.value.as_deref()?.parse().ok()).collect();
    let small = told_of.iter().filter(|value| (1..11).contains(*value)).count();
    told.checks = vec![
        (format!("{} cases were made", truth.cases), truth.cases == cases),
        ("cases by type are those that were made up, of all offices together".into(), is_exact),
        (format!("{} cases without a type are told as missing", truth.missing), missing == Some(truth.missing)),
        (format!("{sent} referrals were sent, and are told"), usize::try_from(referrals) == Ok(sent)),
        (
            format!("{} numbers of people are told, and none of fewer than eleven", told_of.len()),
            small == 0 && !told_of.is_empty(),
        ),
    ];
    Ok((told, offices, collector))
}

/// Runs the demonstration and says how it went.
///
/// # Errors
/// When a node cannot be set up or started.
pub(super) async fn run(offices: usize, cases: usize, once: bool, json: bool) -> Result<bool> {
    let running = play(offices, cases).await?;
    let told = &running.told;
    if json {
        say(serde_json::to_string_pretty(told)?);
    } else {
        for phase in &told.phases {
            say(format_args!("  {:>7.1} s  {:>6.0} MB  {}", phase.seconds, phase.resident_mb, phase.what));
        }
        for (what, is_so) in &told.checks {
            say(format_args!("{} {what}", if *is_so { "  ok " } else { "FALSE" }));
        }
    }
    let is_true = told.is_true();
    if !once {
        say("\nThe first office and the collector, with their pages:\n");
        told.pages.iter().for_each(|page| say(format_args!("  {page}")));
        say(format_args!(
            "\n  Sign in as {WORKER} (supervisor) or nomsa (reporting); the password is {}",
            told.password
        ));
        say("  All people are invented. Ctrl-C ends the demonstration and removes its folders.\n");
        tokio::signal::ctrl_c().await?;
    }
    running.stop().await?;
    Ok(is_true)
}
