//! The command line. Exit codes: 0 done; 1 something else went wrong; 2 the command was not understood;
//! 3 name, password or shares are not right; 4 another process works on the folder; 5 data on the disk is
//! damaged; 6 a file that was given cannot be used; 7 the demo's story was not true.

use crate::client::Refused;
use crate::counter::{Numbers, at_counter};
use crate::network::{self, JoinStep, member};
use crate::serve::Served;
use crate::{bench, demo};
use anyhow::{Context as _, Result, bail};
use casemesh_crypto::passphrase::Cost;
use casemesh_crypto::share::Split;
use casemesh_node::clock::Clock;
use casemesh_node::doctor::{Weight, examine};
use casemesh_node::journal::JournalError;
use casemesh_node::keys::{KeyError, KeyFile};
use casemesh_node::node::{self, Config, FirstStaff, NewNode, Node, NodeError, OfflineFolder, Reach, SignInError};
use casemesh_node::office::{
    ClassView, FILE_BYTES_MAX, FigureView, ImportError, ImportReport, ImportView, LISTINGS_BYTES_MAX, LISTS_BYTES_MAX,
    password_problem,
};
use casemesh_node::packs;
use casemesh_node::records::StaffRole;
use casemesh_node::vault::{self, VaultError};
use casemesh_node::zone::Zone;
use casemesh_protocol::directory::{OfficeKind, Role};
use casemesh_protocol::limits::BUNDLE_BYTES_MAX;
use casemesh_protocol::time::{Day, Period};
use clap::{Parser, Subcommand};
use std::io::{IsTerminal as _, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Case management that an office runs itself.
#[derive(Debug, Parser)]
#[command(name = "casemesh", version, about, max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Set an office up in an empty folder; prints the recovery shares once
    Init(Box<InitArguments>),
    /// Run the office's node and its pages
    Serve {
        /// The office's folder
        #[arg(long)]
        folder: PathBuf,
    },
    /// Show three offices, a hub and a collector with synthetic people
    Demo {
        /// Play the story by itself, print each step, and end
        #[arg(long)]
        once: bool,
        /// Print the story as JSON
        #[arg(long)]
        json: bool,
        /// A whole network instead of the story: so many offices, and a collector
        #[arg(long, value_parser = clap::value_parser!(u16).range(2..=300))]
        offices: Option<u16>,
        /// With --offices: so many invented cases in all
        #[arg(long, default_value_t = 40_000, requires = "offices")]
        cases: u32,
    },
    /// Networks of offices: found one, let offices in and out, join, leave, and change keys
    Join {
        #[command(subcommand)]
        step: JoinStep,
    },
    /// Carry packets by hand: write what waits into a file, or take one (while the node does not run; else the page "Other offices")
    Bundle {
        #[command(subcommand)]
        step: BundleStep,
    },
    /// Check journal, checkpoints and every record; names the first damage
    Verify {
        /// The office's folder
        #[arg(long)]
        folder: PathBuf,
        /// Sign in with this name to check every record too
        #[arg(long = "as")]
        name: Option<String>,
        /// Print as JSON
        #[arg(long)]
        json: bool,
    },
    /// Import people and cases from another system's table, or take an import back
    Import {
        #[command(subcommand)]
        what: ImportWhat,
    },
    /// Show the three numbers: an office's own, or a collector's totals
    Stats {
        #[command(subcommand)]
        what: StatsWhat,
    },
    /// Measure, each figure beside a named baseline of the same run
    Bench {
        /// Print as JSON
        #[arg(long)]
        json: bool,
        /// Also measure what goes over a line: packets a second, a long file, a hub with a thousand offices, a large directory
        #[arg(long)]
        network: bool,
        /// Also measure statistics: indicators over a million cases, a table that is protected, secure sums of up to 10,000 offices
        #[arg(long)]
        statistics: bool,
        /// Also measure the desk with so many cases in the office
        #[arg(long)]
        cases: Vec<usize>,
        /// Open this folder and tell what that takes: what the bench starts another process for
        #[arg(long, hide = true)]
        resident: Option<PathBuf>,
    },
    /// Say in plain words how this office's node is, whether it runs or not
    Doctor {
        /// The office's folder
        #[arg(long)]
        folder: PathBuf,
        /// Print as JSON
        #[arg(long)]
        json: bool,
    },
    /// Write the OpenAPI document of the JSON API
    Openapi,
}

#[derive(Debug, clap::Args)]
struct InitArguments {
    /// An empty or new folder
    #[arg(long)]
    folder: PathBuf,
    /// The office's name
    #[arg(long)]
    name: String,
    /// What the office starts with: community_advice, anti_trafficking or child_protection
    #[arg(long, default_value = "community_advice")]
    pack: String,
    /// Three letters that case numbers start with
    #[arg(long, default_value = "OFF")]
    code: String,
    /// The kind of office: advice_office, legal_aid, paralegal, shelter, health, ngo and so on
    #[arg(long, default_value = "advice_office")]
    kind: String,
    /// What the node does: office, hub, collector (several with commas)
    #[arg(long, default_value = "office", value_delimiter = ',')]
    roles: Vec<String>,
    /// Sign-in name of the first administrator
    #[arg(long, default_value = "admin")]
    admin: String,
    /// Sign-in name of the first caseworker
    #[arg(long, default_value = "worker")]
    worker: String,
    /// All see all but what is only for those assigned
    #[arg(long)]
    small_office: bool,
    /// Let accounts administer without a second factor (codes from a telephone)
    #[arg(long)]
    no_second_factor: bool,
    /// A node to practise on: marked on every page, with exercises, and without any network
    #[arg(long)]
    practice: bool,
    /// The currency that forms start with
    #[arg(long, default_value = "ZAR")]
    currency: String,
    /// The time zone, a name of the IANA database; by default that of this computer
    #[arg(long, default_value_t = Zone::of_computer(), value_parser = known_zone)]
    zone: String,
    /// Where this node listens to other nodes; by default a free port on this computer
    #[arg(long)]
    listen: Option<String>,
    /// Where other nodes find this one, if that is another place: behind a router that forwards a port
    #[arg(long)]
    announce: Option<String>,
    /// Where offices with an invitation knock, if this one lets others in: an address of its own beside --listen
    #[arg(long)]
    lobby: Option<String>,
    /// Where the lobby is found, if that is another place than where it listens
    #[arg(long)]
    announce_lobby: Option<String>,
    /// Where the pages are
    #[arg(long, default_value = "127.0.0.1:8480")]
    web: String,
    /// Hubs that keep packets for this office, by their office ids
    #[arg(long, value_delimiter = ',')]
    hubs: Vec<String>,
    /// Services offered, by code (safe_house, legal_assistance, health and so on)
    #[arg(long, value_delimiter = ',')]
    services: Vec<String>,
    /// The area served
    #[arg(long, default_value = "")]
    area: String,
}

#[derive(Debug, Subcommand)]
enum BundleStep {
    /// Write what waits for other offices into a file
    Pack {
        /// The office's folder
        #[arg(long)]
        folder: PathBuf,
        /// For one office alone, by its name or id
        #[arg(long)]
        to: Option<String>,
        /// With the network file, which is not sealed: names and addresses of all offices
        #[arg(long)]
        with_network: bool,
        /// The file to write
        out: PathBuf,
    },
    /// Take what a file brings
    Bring {
        /// The office's folder
        #[arg(long)]
        folder: PathBuf,
        /// Print as JSON
        #[arg(long)]
        json: bool,
        /// The file
        file: PathBuf,
    },
}

#[derive(Debug, Subcommand)]
enum ImportWhat {
    /// Cases, one row a person
    Cases {
        /// The table, as CSV in UTF-8
        file: PathBuf,
        /// What each column means
        #[arg(long)]
        mapping: PathBuf,
        /// The office's folder
        #[arg(long)]
        folder: PathBuf,
        /// Sign in with this name
        #[arg(long = "as", default_value = "worker")]
        name: String,
        /// Say what would happen, and load nothing
        #[arg(long)]
        dry_run: bool,
        /// Print as JSON
        #[arg(long)]
        json: bool,
    },
    /// Import code lists (a JSON array or a CSV table); what is known already is not imported again
    Lists {
        /// The file
        file: PathBuf,
        /// The mapping file: which key is the list, the code, the label
        #[arg(long)]
        mapping: PathBuf,
        /// The office's folder
        #[arg(long)]
        folder: PathBuf,
        /// Sign in with this name, of somebody who administers
        #[arg(long = "as", default_value = "admin")]
        name: String,
        /// Say what would happen, and import nothing
        #[arg(long)]
        dry_run: bool,
        /// Print as JSON
        #[arg(long)]
        json: bool,
    },
    /// Services of organisations outside the network: a directory in HSDS 3.0, as one JSON file or as its tables in CSV
    Services {
        /// The file; or the tables, each named as in HSDS: services.csv, organizations.csv and so on
        #[arg(required = true)]
        files: Vec<PathBuf>,
        /// The service that all of them count as, by code (health, legal_assistance and so on)
        #[arg(long, default_value = "")]
        service: String,
        /// The office's folder
        #[arg(long)]
        folder: PathBuf,
        /// Sign in with this name, of somebody who leads or administers
        #[arg(long = "as", default_value = "worker")]
        name: String,
        /// Say what would happen, and import nothing
        #[arg(long)]
        dry_run: bool,
        /// Print as JSON
        #[arg(long)]
        json: bool,
    },
    /// List the imports
    List {
        /// The office's folder
        #[arg(long)]
        folder: PathBuf,
        /// Sign in with this name
        #[arg(long = "as", default_value = "worker")]
        name: String,
    },
    /// Take an import back as a whole
    Undo {
        /// Its id, as `import list` shows it
        import: String,
        /// The office's folder
        #[arg(long)]
        folder: PathBuf,
        /// Sign in with this name
        #[arg(long = "as", default_value = "worker")]
        name: String,
    },
}

#[derive(Debug, Subcommand)]
enum StatsWhat {
    /// Write out a set that this program brings, to change it and agree on it: community_advice, anti_trafficking, child_protection, patterns
    Set {
        /// Its name
        name: String,
    },
    /// As a steward: read an agreement before it is signed, and see what of it would be withheld
    Check {
        /// The agreement file
        file: PathBuf,
    },
    /// Show the three numbers of a period
    Show {
        /// The office's or collector's folder
        #[arg(long)]
        folder: PathBuf,
        /// Sign in with this name
        #[arg(long = "as", default_value = "worker")]
        name: String,
        /// The first day; by default the first of this year
        #[arg(long)]
        from: Option<Day>,
        /// The last day; by default today
        #[arg(long)]
        to: Option<Day>,
        /// Print as JSON
        #[arg(long)]
        json: bool,
    },
}

/// Runs the command and gives its exit code.
pub fn main() -> ExitCode {
    let filter = tracing_subscriber::EnvFilter::try_from_env("CASEMESH_LOG").unwrap_or_else(|_| "warn".into());
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_target(false).init();
    match run(Arguments::parse().command) {
        Ok(code) => code,
        Err(error) => {
            say_error(&error);
            ExitCode::from(exit_code(&error))
        }
    }
}

#[expect(clippy::print_stderr, reason = "the command line speaks to a person")]
fn say_error(error: &anyhow::Error) {
    eprintln!("casemesh: {error:#}");
}

fn known_zone(name: &str) -> Result<String, String> {
    let zone = Zone::named(name).map(|_| name.to_owned());
    zone.ok_or_else(|| "there is no such time zone; write a place such as Africa/Johannesburg".into())
}

/// Prints one line for a person or a program.
pub(crate) fn say(line: impl std::fmt::Display) {
    // A reader that went away needs no more lines.
    let _written = writeln!(std::io::stdout(), "{line}");
}

fn exit_code(error: &anyhow::Error) -> u8 {
    error.chain().find_map(code_of).unwrap_or(1)
}

/// The exit code of one cause, if it has one of its own.
fn code_of(cause: &(dyn std::error::Error + 'static)) -> Option<u8> {
    if let Some(error) = cause.downcast_ref::<SignInError>() {
        return match error {
            SignInError::Wrong | SignInError::Wait(_) | SignInError::CodeNeeded | SignInError::CodeWrong => Some(3),
            SignInError::Node(error) => code_of(error),
        };
    }
    if let Some(error) = cause.downcast_ref::<NodeError>() {
        return match error {
            NodeError::Running(_) => Some(4),
            NodeError::Vault(error) => code_of(error),
            NodeError::Key(error) => code_of(error),
            NodeError::Directory(_)
            | NodeError::Input(_)
            | NodeError::Config(_)
            | NodeError::Bundle(_)
            | NodeError::NoNetwork
            | NodeError::NotAdmitted(_)
            | NodeError::Practice => Some(6),
            NodeError::Disk(_) | NodeError::Exists(_) | NodeError::Relay(_) => None,
        };
    }
    if let Some(error) = cause.downcast_ref::<KeyError>() {
        return match error {
            KeyError::WrongPassword | KeyError::WrongShares => Some(3),
            KeyError::Damaged(_) | KeyError::OtherOffice(_) => Some(5),
            _ => None,
        };
    }
    if let Some(error) = cause.downcast_ref::<VaultError>() {
        return match error {
            VaultError::DamagedRecord | VaultError::Journal(JournalError::Damaged(_) | JournalError::Foreign(_)) => {
                Some(5)
            }
            _ => None,
        };
    }
    if let Some(refused) = cause.downcast_ref::<Refused>() {
        return match refused.status {
            401 | 429 => Some(3),
            422 => Some(6),
            _ => None,
        };
    }
    match cause.downcast_ref::<ImportError>() {
        Some(ImportError::Desk(_)) | None => None,
        Some(_) => Some(6),
    }
}

fn run(command: Command) -> Result<ExitCode> {
    match command {
        Command::Init(arguments) => init(&arguments)?,
        Command::Serve { folder } => runtime()?.block_on(serve(&folder))?,
        Command::Demo { once, json, offices: None, .. } => return runtime()?.block_on(demo::run(once, json)),
        Command::Demo { once, json, offices: Some(offices), cases } => {
            let cases = usize::try_from(cases)?;
            return runtime()?.block_on(demo::run_national(offices.into(), cases, once, json));
        }
        Command::Join { step } => network::join(step)?,
        Command::Bundle { step } => bundle(step)?,
        Command::Verify { folder, name, json } => verify(&folder, name.as_deref(), json)?,
        Command::Import { what } => import(what)?,
        Command::Stats { what: StatsWhat::Set { name } } => {
            let all = casemesh_node::indicators::SHIPPED;
            let all: Vec<_> = all.into_iter().chain([("patterns", casemesh_node::indicators::PATTERNS)]).collect();
            let names: Vec<&str> = all.iter().map(|(name, _)| *name).collect();
            let set = all.iter().find(|(known, _)| *known == name);
            say(set.with_context(|| format!("there is no set {name:?}; choose one of {}", names.join(", ")))?.1);
        }
        Command::Stats { what: StatsWhat::Check { file } } => network::check_agreement(&file)?,
        Command::Stats { what: StatsWhat::Show { folder, name, from, to, json } } => {
            let today = Clock::system().now().day();
            let from = from.or_else(|| Day::new(today.year(), 1, 1)).unwrap_or(today);
            let period = Period::new(from, to.unwrap_or(today)).context("the period ends before it starts")?;
            let numbers = at_counter(&folder, &name, |counter| counter.numbers(period))?;
            show_stats(&numbers, json)?;
        }
        Command::Bench { resident: Some(folder), .. } => bench::tell_resident(&folder)?,
        Command::Bench { json, cases, network, statistics, resident: None } => {
            bench::run(json, &cases, network, statistics)?;
        }
        Command::Doctor { folder, json } => doctor(&folder, json)?,
        Command::Openapi => say(casemesh_web::openapi()),
    }
    Ok(ExitCode::SUCCESS)
}

pub(crate) fn runtime() -> Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_multi_thread().enable_all().build()?)
}

/// Asks for a secret at the terminal, or takes the next line of standard input.
pub(crate) fn ask_secret(question: &str) -> Result<String> {
    if std::io::stdin().is_terminal() {
        return Ok(rpassword::prompt_password(format!("{question}: "))?);
    }
    let mut line = String::new();
    let mut stdin = std::io::stdin().lock();
    let mut byte = [0u8; 1];
    let mut bytes = Vec::new();
    while bytes.len() < 1024 && stdin.read(&mut byte)? == 1 && byte != *b"\n" {
        bytes.extend(byte);
    }
    line.push_str(std::str::from_utf8(&bytes).context("the password is not UTF-8")?.trim_end_matches('\r'));
    if line.is_empty() {
        bail!("no password was given; type it at the terminal or give it as a line of standard input");
    }
    Ok(line)
}

fn new_password(question: &str, names: &[&str]) -> Result<String> {
    let password = ask_secret(question)?;
    match password_problem(&password, names) {
        None => Ok(password),
        Some("password-short") => bail!("this password is too short: take at least 15 characters, best several words"),
        Some("password-long") => bail!("this password is longer than 256 bytes"),
        Some(_) => bail!("this password would be guessed early: take several unrelated words"),
    }
}

fn init(arguments: &InitArguments) -> Result<()> {
    let input = |error: String| NodeError::Input(error);
    let pack = packs::pack(&arguments.pack).ok_or_else(|| {
        let known: Vec<&str> = packs::all().iter().map(|pack| pack.id.as_str()).collect();
        input(format!("--pack: {:?} is not one of: {}", arguments.pack, known.join(", ")))
    })?;
    let kind: OfficeKind = arguments.kind.parse().map_err(|error| input(format!("--kind: {error}")))?;
    let roles: Result<Vec<Role>, _> = arguments.roles.iter().map(|role| role.parse()).collect();
    let roles = roles.map_err(|error| input(format!("--roles: {error}")))?;
    let hubs: Result<Vec<_>, _> = arguments.hubs.iter().map(|hub| hub.parse()).collect();
    let hubs = hubs.map_err(|error| input(format!("--hubs: {error}")))?;
    let service = |code: &String| {
        casemesh_node::codes::code("service_type", code)
            .ok_or_else(|| input(format!("--services: {code:?} is unknown")))
    };
    let services: Vec<_> = arguments.services.iter().map(service).collect::<Result<_, _>>()?;
    let listen = match &arguments.listen {
        Some(listen) => listen.clone(),
        None => format!("/ip4/127.0.0.1/tcp/{}", std::net::TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port()),
    };
    let staff = |sign_in: &str, name: &str, roles: Vec<StaffRole>, password: String| FirstStaff {
        sign_in: sign_in.to_owned(),
        name: name.to_owned(),
        roles,
        password,
        unlocks: true,
    };
    let names = [arguments.admin.as_str(), arguments.worker.as_str(), arguments.name.as_str()];
    let admin = new_password(&format!("Password of {} (administrator)", arguments.admin), &names)?;
    let worker = new_password(&format!("Password of {} (caseworker)", arguments.worker), &names)?;
    let new = NewNode {
        config: Config {
            name: arguments.name.clone(),
            roles,
            listen: vec![listen],
            announce: arguments.announce.iter().cloned().collect(),
            web: arguments.web.clone(),
            poll_s: 60,
            practice: arguments.practice,
            lobby: arguments.lobby.clone(),
            announce_lobby: arguments.announce_lobby.clone(),
        },
        kind,
        pack: pack.id.clone(),
        code: arguments.code.clone(),
        small_office: arguments.small_office,
        factor_to_administer: !arguments.no_second_factor && !arguments.practice,
        currency: arguments.currency.parse().map_err(|error| input(format!("--currency: {error}")))?,
        language: "en".into(),
        zone: arguments.zone.clone(),
        area: arguments.area.clone(),
        services,
        hubs,
        staff: vec![
            staff(&arguments.admin, &arguments.admin, vec![StaffRole::Administrator], admin),
            staff(&arguments.worker, &arguments.worker, vec![StaffRole::Caseworker, StaffRole::Supervisor], worker),
        ],
        cost: cost_for_this_machine(),
        split: if arguments.small_office { Split::SMALL_OFFICE } else { Split::OFFICE },
    };
    let printed = node::init(&arguments.folder, &new, &Clock::system())?;
    say(format_args!("Office {} is set up.\nIts id: {}\n", arguments.name, printed.office));
    say(format_args!(
        "RECOVERY SHARES. Any {} of these {} bring the office back when every password is lost.\n\
         Write each on a sheet of its own and give each to another person. They are shown this once.\n",
        new.split.threshold, new.split.count
    ));
    for (i, share) in printed.shares.iter().enumerate() {
        say(format_args!("  sheet {}: {share}", i + 1));
    }
    say(format_args!(
        "\nNEXT ROOT KEY. Keep this sheet apart from the others, in a safe:\n\n  {}\n",
        printed.next_root
    ));
    say(format_args!("Now run: casemesh serve --folder {}", arguments.folder.display()));
    Ok(())
}

/// 256 MiB where the machine has memory to spare, else the floor.
fn cost_for_this_machine() -> Cost {
    const ENOUGH_KIB: u64 = 2 * 1024 * 1024;
    let memory_kib = std::fs::read_to_string("/proc/meminfo").ok().and_then(|text| {
        let line = text.lines().find(|line| line.starts_with("MemTotal:"))?.to_owned();
        line.split_whitespace().nth(1)?.parse::<u64>().ok()
    });
    if memory_kib.is_some_and(|kib| kib < ENOUGH_KIB) { Cost::FLOOR } else { Cost::DEFAULT }
}

async fn serve(folder: &Path) -> Result<()> {
    let served = Served::start(folder).await?;
    say(format_args!(
        "{} is at http://{}/ (locked until somebody signs in)",
        served.node.config().name,
        served.address
    ));
    tokio::signal::ctrl_c().await?;
    served.stop().await
}

fn bundle(step: BundleStep) -> Result<()> {
    match step {
        BundleStep::Pack { folder, to, with_network, out } => {
            let packed = with_node(&folder, |node| {
                let directory = node.directory().ok_or(NodeError::NoNetwork)?;
                let to = to.map(|to| member(&directory, &to)).transpose()?;
                Ok(node.pack_bundle(to, with_network)?)
            })?;
            if packed.is_empty() && !with_network {
                say("Nothing waits to be carried there.");
                return Ok(());
            }
            casemesh_node::disk::replace(&out, &packed.bytes)?;
            say(format_args!(
                "{}: {} packets, {} receipts. What the office has not signed yet goes when somebody signs in.",
                out.display(),
                packed.packets.len(),
                packed.receipts
            ));
            if packed.left > 0 {
                say(format_args!(
                    "{} more had no room: they go in a file that is written when the receipts for these are back.",
                    packed.left
                ));
            }
        }
        BundleStep::Bring { folder, json, file } => {
            let bytes = casemesh_node::disk::read_bounded(&file, BUNDLE_BYTES_MAX as u64)?
                .with_context(|| format!("there is no file {}", file.display()))?;
            let (brought, by) = with_node(&folder, |node| {
                let brought = node.bring_bundle(&bytes)?;
                let directory = node.directory();
                let member = directory.as_ref().and_then(|directory| directory.member(brought.by.as_ref()?));
                let by = member.map(|member| member.record.name.to_string());
                Ok((brought, by))
            })?;
            if json {
                say(serde_json::to_string_pretty(&brought)?);
                return Ok(());
            }
            say(match by {
                Some(name) => format!("Written by {name}."),
                None => "Who wrote the file cannot be told; each packet in it is checked by itself.".into(),
            });
            let counts = [
                (brought.new, "new packets for this office: somebody signs in to open them"),
                (brought.known, "packets that were here already"),
                (brought.arrived, "packets of ours that arrived there"),
                (brought.no_room, "packets that had no room: open the office, then bring the file again"),
                (brought.refused, "packets that come too late, or for a key that is gone"),
                (brought.deposited, "packets kept here for other offices"),
                (brought.others, "packets for other offices: take the stick on"),
                (brought.files, "files that belong to packets"),
                (brought.damaged, "damaged places: copy the file again for what was there"),
            ];
            for (count, what) in counts.into_iter().filter(|(count, _)| *count > 0) {
                say(format_args!("  {count} {what}"));
            }
            if let Some(as_of) = brought.network {
                say(format_args!("News of the network came with it, as of {}.", as_of.day()));
            }
        }
    }
    Ok(())
}

/// Opens a folder without the network, for one thing.
pub(crate) fn with_node<T>(folder: &Path, work: impl FnOnce(&Node) -> Result<T>) -> Result<T> {
    let runtime = runtime()?;
    let _guard = runtime.enter();
    let node = Node::start_as(folder, Clock::system(), Reach::Offline)?;
    let result = work(&node);
    node.stop();
    result
}

fn verify(folder: &Path, name: Option<&str>, json: bool) -> Result<()> {
    let held = OfflineFolder::take(folder)?;
    let keys = match name {
        None => None,
        Some(name) => Some(KeyFile::read(folder)?.open(name, &ask_secret(&format!("Password of {name}"))?)?.1),
    };
    let checked = vault::check(held.path(), keys, |_| ())?;
    let (journal, records) = (checked.journal, checked.records);
    if json {
        say(serde_json::json!({
            "entries": journal.entries, "segments": journal.segments, "checkpoints": journal.checkpoints,
            "root": journal.root.to_string(), "records": records,
        }));
        return Ok(());
    }
    say(format_args!(
        "The journal holds: {} entries in {} segments, {} signed checkpoints, root {}.",
        journal.entries, journal.segments, journal.checkpoints, journal.root
    ));
    match records {
        Some(records) => say(format_args!("Every record opens: {records}.")),
        None => say("Records were not opened; give --as NAME to check them too."),
    }
    Ok(())
}

fn import(what: ImportWhat) -> Result<()> {
    match what {
        ImportWhat::Cases { file, mapping, folder, name, dry_run, json } => {
            let text =
                std::fs::read_to_string(&mapping).with_context(|| format!("cannot read {}", mapping.display()))?;
            let bytes = casemesh_node::disk::read_bounded(&file, FILE_BYTES_MAX as u64)?
                .with_context(|| format!("there is no file {}", file.display()))?;
            let report = at_counter(&folder, &name, |counter| {
                let checked = counter.check_import(&text, &bytes)?;
                if dry_run {
                    return Ok(checked);
                }
                let bar = progress_bar(checked.new);
                let report = counter.run_import(&text, &bytes, |done| bar.set_position(done));
                bar.finish_and_clear();
                report
            })?;
            show_import(&report, dry_run, json)?;
        }
        ImportWhat::Lists { file, mapping, folder, name, dry_run, json } => {
            let text =
                std::fs::read_to_string(&mapping).with_context(|| format!("cannot read {}", mapping.display()))?;
            let bytes = casemesh_node::disk::read_bounded(&file, LISTS_BYTES_MAX as u64)?
                .with_context(|| format!("there is no file {}", file.display()))?;
            let report = at_counter(&folder, &name, |counter| counter.import_lists(&text, &bytes, dry_run))?;
            if json {
                say(serde_json::to_string_pretty(&report)?);
                return Ok(());
            }
            say(format_args!(
                "{}: {} entries of {} lists; {} new, {} changed, {} known, {} left out, {} refused.",
                report.source,
                report.entries,
                report.lists,
                report.new,
                report.changed,
                report.known,
                report.skipped,
                report.refused
            ));
            for (number, why) in &report.problems {
                say(format_args!("  entry {number}: {why}"));
            }
            if dry_run {
                say("Nothing was imported.");
            }
        }
        ImportWhat::Services { files, service, folder, name, dry_run, json } => {
            let read = |file: &PathBuf| {
                let bytes = casemesh_node::disk::read_bounded(file, LISTINGS_BYTES_MAX as u64)?
                    .with_context(|| format!("there is no file {}", file.display()))?;
                Ok((file.file_name().unwrap_or_default().to_string_lossy().into_owned(), bytes))
            };
            let files = files.iter().map(read).collect::<Result<Vec<_>>>()?;
            let report = at_counter(&folder, &name, |counter| counter.import_listings(&files, &service, dry_run))?;
            if json {
                say(serde_json::to_string_pretty(&report)?);
                return Ok(());
            }
            say(format_args!(
                "{} services: {} new, {} changed, {} known, {} of them not offered any more, {} refused.",
                report.entries, report.new, report.changed, report.known, report.inactive, report.refused
            ));
            for (number, why) in &report.problems {
                say(format_args!("  service {number}: {why}"));
            }
            if !report.unread.is_empty() {
                say(format_args!(
                    "Not read, for they are no table that says more of a service: {}.",
                    report.unread.join(", ")
                ));
            }
            if dry_run {
                say("Nothing was imported.");
            }
        }
        ImportWhat::List { folder, name } => {
            for import in at_counter(&folder, &name, |counter| counter.imports())? {
                let ImportView { id, source, added, undone } = import;
                say(format_args!("{id}  {source}  {added} rows{}", if undone { "  taken back" } else { "" }));
            }
        }
        ImportWhat::Undo { import, folder, name } => {
            let import = import.parse().context("this is no import's id; see `import list`")?;
            let undone = at_counter(&folder, &name, |counter| counter.undo_import(import))?;
            say(format_args!("Taken back: {} people and their cases.", undone.removed));
            if let Some(first) = undone.kept.first() {
                say(format_args!(
                    "Kept: {} cases that staff worked with since, from {first} on. Close them one by one if they must go.",
                    undone.kept.len()
                ));
            }
        }
    }
    Ok(())
}

fn progress_bar(length: u64) -> indicatif::ProgressBar {
    if std::io::stderr().is_terminal() { indicatif::ProgressBar::new(length) } else { indicatif::ProgressBar::hidden() }
}

fn show_import(report: &ImportReport, dry_run: bool, json: bool) -> Result<()> {
    if json {
        say(serde_json::to_string_pretty(report)?);
        return Ok(());
    }
    say(format_args!(
        "{}: {} rows, {} of them distinct; {} new, {} imported before, {} will not load.",
        report.source, report.rows, report.distinct, report.new, report.known, report.refused
    ));
    match &report.basis {
        Some(basis) => say(format_args!("Counted in statistics on this ground: {basis}")),
        None => say("No ground for counting is stated: these people are excluded from statistics."),
    }
    for column in &report.columns {
        say(format_args!(
            "  {} -> {}: {} values, {} missing",
            column.column, column.field, column.values, column.missing
        ));
        for (value, code, count) in column.becomes.iter().take(12) {
            say(format_args!("      {value:?} becomes {code:?} ({count})"));
        }
    }
    for problem in &report.problems {
        say(format_args!("  line {}: {}", problem.line, problem.reason));
    }
    if dry_run {
        say("Nothing was loaded.");
    }
    Ok(())
}

fn show_stats(numbers: &Numbers, json: bool) -> Result<()> {
    match numbers {
        Numbers::Collected(collected) if json => say(serde_json::to_string_pretty(collected)?),
        Numbers::Own { figures, .. } if json => say(serde_json::to_string_pretty(figures)?),
        Numbers::Collected(collected) => {
            say(format_args!("All offices, {}", collected.period));
            collected.total.iter().for_each(show_figure);
            for office in &collected.offices {
                say(format_args!("\n{} (release {})", office.name, office.release));
                office.figures.iter().for_each(show_figure);
            }
        }
        Numbers::Own { office, figures } => {
            say(format_args!("{office}, {}", figures.period));
            figures.figures.iter().for_each(show_figure);
            for fact in &figures.facts {
                say(format_args!("{} ({} missing)", fact.list, fact.missing));
                for (code, count) in &fact.cells {
                    say(format_args!("  {count:>10}  {}", code.label));
                }
            }
        }
    }
    Ok(())
}

fn show_figure(figure: &FigureView) {
    let number = |count: Option<u64>| count.map_or_else(|| "withheld".to_owned(), |count| count.to_string());
    say(format_args!(
        "{} ({} covered, {} missing, {} excluded, {} withheld)",
        figure.id,
        number(figure.covered),
        number(figure.missing),
        number(figure.excluded),
        figure.withheld
    ));
    for cell in &figure.cells {
        let class = |class: &ClassView| match class {
            ClassView::Code(code) => code.label.clone(),
            ClassView::From { from, to: Some(to) } => format!("{from}-{}", to - 1),
            ClassView::From { from, to: None } => format!("{from}+"),
            ClassView::All => "all".into(),
        };
        let classes: Vec<String> = cell.classes.iter().map(class).collect();
        let value = cell.value.as_deref().unwrap_or("withheld");
        say(format_args!("  {value:>14}  {}", classes.join(" · ")));
    }
}

fn doctor(folder: &Path, json: bool) -> Result<()> {
    let findings = examine(folder, &Clock::system())?;
    if json {
        say(serde_json::to_string_pretty(&findings)?);
        return Ok(());
    }
    for finding in &findings {
        let mark = match finding.weight {
            Weight::Good => "  ",
            Weight::Note => "- ",
            Weight::Act => "! ",
        };
        say(format_args!("{mark}{}", finding.text));
    }
    if findings.iter().all(|finding| finding.weight != Weight::Act) {
        say("Nothing needs to be done.");
    }
    Ok(())
}
