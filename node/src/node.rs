//! A node: one data folder, one relay, and an office that is locked or open.

use crate::bundle::{Brought, Packed};
use crate::clock::Clock;
use crate::clockwatch::ClockWatch;
use crate::disk;
use crate::keys::{KeyError, KeyFile, NewOffice, RelayProfile};
use crate::lobby::{self, Lobby, Reception};
use crate::net;
use crate::office::{Desk, Office, Surroundings};
use crate::office::{Pulse, renewal};
use crate::records::{Counters, SETTINGS_ID, Settings, Staff, StaffRole};
use crate::relay::{Relay, RelayConfig, RelayError};
use crate::rotation;
pub use crate::rotation::Opened;
use crate::session::{IDLE_MS, Origin, Part, PinRefusal, SessionId, SessionView, Sessions, Throttle};
use crate::vault::{Vault, VaultError};
use casemesh_crypto::envelope::Urgency;
use casemesh_crypto::passphrase::{Cost, PasswordHash};
use casemesh_crypto::random::os_rng;
use casemesh_crypto::secret::Secret;
use casemesh_crypto::share::{self, Split};
use casemesh_crypto::sign::{SigningKey, VerifyingKey};
use casemesh_crypto::token;
use casemesh_crypto::wire;
use casemesh_protocol::bounded::{List, TooLong};
use casemesh_protocol::bundle::NoBundle;
use casemesh_protocol::directory::{
    Capacity, Card, Directory, DirectoryError, NetworkFile, OfficeKind, OfficeRecord, Role, ServiceOffer,
};
use casemesh_protocol::id::{OfficeId, StaffId};
use casemesh_protocol::join::Invitation;
use casemesh_protocol::limits::{DIRECTORY_BYTES_MAX, LIST_MAX};
use casemesh_protocol::terms::{Code, Currency, Line};
use casemesh_protocol::time::Timestamp;
use casemesh_protocol::timers::Rules;
use casemesh_protocol::trust::{Admission, Decision, EndReason, Registrar, Root, SignedAdmission, SignedRoot};
use serde::{Deserialize, Serialize};
use std::fs::{File, OpenOptions};
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::thread::JoinHandle;
use std::time::Duration;

const CONFIG_FILE: &str = "node.toml";
pub(crate) const NETWORK_FILE: &str = "network.cbor";
pub(crate) const CARD_FILE: &str = "card.cbor";
const LOCK_FILE: &str = "LOCK";
/// Names the address of the pages while they are served.
const PAGES_FILE: &str = "pages";
const CONFIG_BYTES_MAX: u64 = 64 * 1024;
/// The exchange looks around this often, woken or not.
const TURN_EVERY: Duration = Duration::from_secs(5);
/// Casemesh was not yet made before this instant; a clock that says so is wrong.
const MADE: Timestamp = Timestamp::from_s(1_767_225_600);

/// What a person may set, in `node.toml`. No secret stands in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The office's name, as the sign-in page shows it.
    pub name: String,
    /// What the node does: office, hub, collector.
    pub roles: Vec<Role>,
    /// Where it listens to other nodes (multiaddresses).
    pub listen: Vec<String>,
    /// Where other nodes find it, where that is another place than where it listens: behind a router that forwards a port.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub announce: Vec<String>,
    /// Where the pages are.
    pub web: String,
    /// How often it looks into its mailboxes, in seconds.
    #[serde(default = "default_poll_s")]
    pub poll_s: u64,
    /// Where offices with an invitation knock (a multiaddress), where this one lets others in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lobby: Option<String>,
    /// Where the lobby is found, where that is another place than where it listens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub announce_lobby: Option<String>,
    /// For practice alone: it is marked on every page, talks to no other node, and joins no network.
    #[serde(default)]
    pub practice: bool,
}

impl Config {
    /// Where other nodes find this one.
    ///
    /// # Errors
    /// When nobody can, or there are too many such places.
    pub fn addresses(&self) -> Result<List<Line, LIST_MAX>, NodeError> {
        let found = if self.announce.is_empty() { &self.listen } else { &self.announce };
        let long = |error: TooLong| NodeError::Config(error.to_string());
        let lines: Vec<Line> = found.iter().map(|address| findable(address, "announce")).collect::<Result<_, _>>()?;
        List::new(lines).map_err(long)
    }
}

/// An address at which others can find something; `setting` is where to write a better one.
///
/// # Errors
/// When it means every address of this computer, or is none.
pub(crate) fn findable(address: &str, setting: &str) -> Result<Line, NodeError> {
    if ["/ip4/0.0.0.0/", "/ip6/::/"].iter().any(|all| address.starts_with(all)) {
        return Err(NodeError::Config(format!(
            "nobody can find {address}; write into node.toml, as {setting}, the address at which others reach this computer, for example /ip4/203.0.113.7/tcp/7501"
        )));
    }
    net::check_address(address).map_err(|why| NodeError::Config(why.to_string()))?;
    Line::new(address.to_owned()).map_err(|error| NodeError::Config(error.to_string()))
}

const fn default_poll_s() -> u64 {
    60
}

/// What stands in the way of a node.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// The disk refuses.
    #[error("{}", crate::disk::refusal(.0))]
    Disk(#[from] io::Error),
    /// Another process works on the folder.
    #[error("another Casemesh already works on {0}; stop it first, or use its web page")]
    Running(PathBuf),
    /// An office is there already.
    #[error("there is already an office in {0}; choose another folder")]
    Exists(PathBuf),
    /// The configuration is wrong.
    #[error("node.toml cannot be used: {0}")]
    Config(String),
    /// The keys.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The store.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// The relay.
    #[error(transparent)]
    Relay(#[from] RelayError),
    /// The network file.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    /// There is nobody to carry anything to.
    #[error("this office is in no network yet; take your steward's network file first: casemesh join accept")]
    NoNetwork,
    /// The file does not let this office in.
    #[error(
        "the network {0:?} does not list this office yet; give your card to its registrar (casemesh join card), then take the file they give you"
    )]
    NotAdmitted(String),
    /// A file that should be a bundle.
    #[error(transparent)]
    Bundle(#[from] NoBundle),
    /// The node is for practice.
    #[error("this is a practice node: it joins no network; set up an office of its own with `casemesh init`")]
    Practice,
    /// Something entered is wrong.
    #[error("{0}")]
    Input(String),
}

/// An account of a new office.
#[derive(Clone)]
pub struct FirstStaff {
    /// The name to sign in with.
    pub sign_in: String,
    /// The name to show.
    pub name: String,
    /// Roles.
    pub roles: Vec<StaffRole>,
    /// The password.
    pub password: String,
    /// Whether it can open the locked office.
    pub unlocks: bool,
}

impl std::fmt::Debug for FirstStaff {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "FirstStaff({:?})", self.roles)
    }
}

/// A new office.
#[derive(Debug, Clone)]
pub struct NewNode {
    /// What a person may set.
    pub config: Config,
    /// Its kind.
    pub kind: OfficeKind,
    /// The pack it starts with; none switches every module on.
    pub pack: String,
    /// Three letters that case numbers start with.
    pub code: String,
    /// All see all but sealed cases.
    pub small_office: bool,
    /// The currency that forms start with.
    pub currency: Currency,
    /// The language of people who did not choose one.
    pub language: String,
    /// The time zone, a name of the IANA database.
    pub zone: String,
    /// Whether accounts that administer need a second factor.
    pub factor_to_administer: bool,
    /// The area it serves.
    pub area: String,
    /// What it offers.
    pub services: Vec<Code>,
    /// Hubs that keep packets for it.
    pub hubs: Vec<OfficeId>,
    /// Its first accounts.
    pub staff: Vec<FirstStaff>,
    /// How costly one guess at a password is.
    pub cost: Cost,
    /// How the recovery secret is split.
    pub split: Split,
}

/// What `init` prints once and nobody keeps on a disk.
#[derive(Debug)]
pub struct Printed {
    /// Which office it is.
    pub office: OfficeId,
    /// The recovery shares, one a sheet.
    pub shares: Vec<String>,
    /// The next root key, on a sheet of its own.
    pub next_root: String,
}

/// Writes the configuration.
///
/// # Errors
/// When the disk refuses.
pub fn write_config(folder: &Path, config: &Config) -> Result<(), NodeError> {
    let text = toml::to_string_pretty(config).map_err(|error| NodeError::Config(error.to_string()))?;
    Ok(disk::replace(&folder.join(CONFIG_FILE), text.as_bytes())?)
}

/// Reads the configuration.
///
/// # Errors
/// When there is none, or a key in it is unknown or wrong.
pub fn read_config(folder: &Path) -> Result<Config, NodeError> {
    let bytes = disk::read_bounded(&folder.join(CONFIG_FILE), CONFIG_BYTES_MAX)?
        .ok_or_else(|| NodeError::Key(KeyError::NoOffice(folder.to_owned())))?;
    let text = String::from_utf8(bytes).map_err(|_| NodeError::Config("it is not UTF-8".into()))?;
    toml::from_str(&text).map_err(|error| NodeError::Config(error.to_string()))
}

/// Sets an office up in an empty folder.
///
/// # Errors
/// When there is one already, something entered is wrong, or the disk refuses.
pub fn init(folder: &Path, new: &NewNode, clock: &Clock) -> Result<Printed, NodeError> {
    if folder.join(CONFIG_FILE).exists() || folder.join("keys.cbor").exists() {
        return Err(NodeError::Exists(folder.to_owned()));
    }
    disk::make_folder(folder)?;
    let _lock = lock_folder(folder)?;
    let (now, rng) = (clock.now(), &mut os_rng());
    let peer_id = |seed: &Secret| net::peer_of(seed).map(|peer| peer.0).unwrap_or_default();
    let mut office = NewOffice::draw(&new.config.name, peer_id, now, rng)?;
    let mut staff = Vec::with_capacity(new.staff.len());
    for first in &new.staff {
        let id = StaffId::random(rng);
        let password = if first.unlocks {
            office.file.set_slot(&office.keys, id, &first.sign_in, &first.password, new.cost, rng)?;
            None
        } else {
            Some(PasswordHash::new(&first.password, new.cost, rng).map_err(KeyError::Password)?)
        };
        staff.push(Staff {
            id,
            sign_in: first.sign_in.clone(),
            name: first.name.clone(),
            roles: first.roles.clone(),
            password,
            active: true,
            language: None,
            made: now,
            factor: None,
            pin: None,
            ends: None,
            first_password: false,
            sessions_from: None,
            signed_in: None,
            team: String::new(),
        });
    }
    let shares =
        share::split(&office.recovery_seed, new.split, rng).map_err(|error| NodeError::Input(error.to_string()))?;
    office.relay.write(folder)?;
    office.prekeys.write(folder, &office.keys, rng)?;
    disk::replace(&folder.join(CARD_FILE), &wire::encode(&card(new, &office, now)?))?;
    office.file.write(folder, &office.keys, rng)?;

    let observer: Arc<dyn crate::vault::Observer> = Arc::new(crate::index::Index::default());
    let (vault, _) = Vault::open(folder, office.keys.clone(), observer, clock.clone())?;
    let pack = crate::packs::pack(&new.pack);
    let numbers = crate::indicators::national().indicators.iter().map(|one| one.id.clone());
    let settings = Settings {
        name: new.config.name.clone(),
        code: new.code.clone(),
        small_office: new.small_office,
        currency: new.currency,
        language: new.language.clone(),
        pack: new.pack.clone(),
        modules: match pack {
            Some(pack) => pack.modules.clone(),
            None => crate::packs::modules().into_iter().map(str::to_owned).collect(),
        },
        approve_closure: false,
        factor_to_administer: new.factor_to_administer,
        zone: new.zone.clone(),
        recall_minutes: 0,
        timers: None,
        hidden_fields: pack.map(|pack| pack.hidden_fields.clone()).unwrap_or_default(),
        hidden_figures: match pack {
            Some(pack) => numbers.filter(|one| !pack.indicators.contains(one)).collect(),
            None => Vec::new(),
        },
    };
    debug_assert_eq!(crate::vault::Record::id(&settings), SETTINGS_ID);
    vault.write(None, "init", move |tx| {
        tx.insert(&settings)?;
        tx.insert(&Counters::default())?;
        staff.iter().try_for_each(|member| tx.insert(member))
    })?;
    vault.close();
    // Last, so that a set-up that was cut off can simply be repeated in another folder.
    write_config(folder, &new.config)?;
    Ok(Printed {
        office: office.keys.office,
        shares: shares.iter().map(share::Share::to_printed).collect(),
        next_root: token::to_printed(office.next_root_seed.expose()),
    })
}

fn card(new: &NewNode, office: &NewOffice, now: Timestamp) -> Result<Card, NodeError> {
    let long = |error: TooLong| NodeError::Input(error.to_string());
    let mut record = OfficeRecord::new(
        office.keys.office,
        Line::new(new.config.name.clone()).map_err(long)?,
        new.kind,
        List::new(new.config.roles.clone()).map_err(long)?,
        now,
    );
    let offers = new.services.iter().map(|service| ServiceOffer {
        service: service.clone(),
        description: Line::default(),
        assured: now.day(),
        min_age: None,
        max_age: None,
        capacity: Capacity::NotSaid,
    });
    record.services = List::new(offers.collect()).map_err(long)?;
    record.area = Line::new(new.area.clone()).map_err(long)?;
    record.addresses = new.config.addresses()?;
    record.hubs = List::new(new.hubs.clone()).map_err(long)?;
    let (genesis, log) = (office.file.genesis.clone(), office.file.log.clone());
    Ok(Card::write(genesis, log, &record, office.prekeys.published(now), &office.keys.node_key))
}

/// The card of an office, as `casemesh join card` hands it to the steward.
///
/// # Errors
/// When there is no office.
pub fn read_card(folder: &Path) -> Result<Vec<u8>, NodeError> {
    disk::read_bounded(&folder.join(CARD_FILE), DIRECTORY_BYTES_MAX as u64)?
        .ok_or_else(|| NodeError::Key(KeyError::NoOffice(folder.to_owned())))
}

/// Founds a network of one steward, who is its registrar too, and lets the offices of these cards in.
///
/// # Errors
/// When a card does not hold, or there are too many.
pub fn sign_network(
    name: &str,
    cards: &[Vec<u8>],
    rules: Option<Rules>,
    steward: &SigningKey,
    now: Timestamp,
) -> Result<Vec<u8>, NodeError> {
    let (key, registrar) = (steward.verifying_key(), Registrar::Key(steward.verifying_key()));
    let first = Founding { name, stewards: vec![key], needed: 1, registrars: vec![registrar], rules };
    let root = SignedRoot::proposed(&first.root(now)?).endorsed(steward);
    let file = NetworkFile::new(list(vec![root])?, List::default(), List::default());
    grant(&file, cards, steward, now)
}

/// What a network begins with.
#[derive(Debug, Clone)]
pub struct Founding<'a> {
    /// Its name.
    pub name: &'a str,
    /// The stewards' keys.
    pub stewards: Vec<VerifyingKey>,
    /// How many of them must sign.
    pub needed: u8,
    /// Who lets offices in.
    pub registrars: Vec<Registrar>,
    /// How long answers may take.
    pub rules: Option<Rules>,
}

impl Founding<'_> {
    /// The first root, for the stewards to sign.
    ///
    /// # Errors
    /// When something is too long.
    pub fn root(&self, now: Timestamp) -> Result<Root, NodeError> {
        let name = Line::new(self.name).map_err(|error| NodeError::Input(error.to_string()))?;
        let (stewards, registrars) = (list(self.stewards.clone())?, list(self.registrars.clone())?);
        Ok(Root::first(name, stewards, self.needed, registrars, self.rules, now))
    }
}

/// Lets the offices of these cards into a network, with the key of a registrar: the file with them in it.
///
/// # Errors
/// When a card does not hold, the file does not, or the key is no registrar's.
pub fn grant(
    file: &NetworkFile,
    cards: &[Vec<u8>],
    registrar: &SigningKey,
    now: Timestamp,
) -> Result<Vec<u8>, NodeError> {
    let directory = Directory::read(&wire::encode(file), None)?;
    let by = Registrar::Key(registrar.verifying_key());
    if !directory.roots().current().believes(&by, now) {
        return Err(NodeError::Input("this key is no registrar's of the network; ask a steward".into()));
    }
    let mut news = NetworkFile::new(file.roots.clone(), List::default(), List::default());
    let (mut admissions, mut read) = (Vec::new(), Vec::new());
    for bytes in cards {
        let card: Card = wire::decode(bytes).map_err(|_| NodeError::Input("a file is no office's card".into()))?;
        let office = card.verify()?.keys.office();
        let before = directory.admission(&office);
        if before.is_none_or(|before| !before.is_admitted()) {
            let said = Admission::after(before, (directory.network(), office), by, Decision::Admitted, now);
            admissions.push(SignedAdmission::sign(&said, registrar));
        }
        read.push(card);
    }
    (news.admissions, news.cards) = (list(admissions)?, list(read)?);
    Ok(wire::encode(&directory.with(&news)?.unwrap_or(directory).file()))
}

/// Ends the membership of an office, with the key of a registrar: the file that says so.
///
/// # Errors
/// When the office is no member, or the key is no registrar's.
pub fn end_membership(
    file: &[u8],
    office: OfficeId,
    (reason, successor): (EndReason, Option<OfficeId>),
    registrar: &SigningKey,
    now: Timestamp,
) -> Result<Vec<u8>, NodeError> {
    let directory = Directory::read(file, None)?;
    let by = Registrar::Key(registrar.verifying_key());
    if !directory.roots().current().believes(&by, now) {
        return Err(NodeError::Input("this key is no registrar's of the network; ask a steward".into()));
    }
    let decision = Decision::Ended { reason, successor };
    let said = Admission::after(directory.admission(&office), (directory.network(), office), by, decision, now);
    let mut news = directory.file_about(|_| false);
    news.admissions = list(vec![SignedAdmission::sign(&said, registrar)])?;
    Ok(wire::encode(&directory.with(&news)?.unwrap_or(directory).file()))
}

fn list<T, const N: usize>(items: Vec<T>) -> Result<List<T, N>, NodeError> {
    List::new(items).map_err(|error| NodeError::Input(error.to_string()))
}

/// What is wrong with a clock, if a card tells.
pub(crate) fn clock_problem_of(card: Option<&Card>, now: Timestamp) -> Option<String> {
    let sentence = |why: &str| {
        format!(
            "The clock of this computer says {}, {why}. Set it right; until then other offices refuse our packets. Nothing is lost.",
            now.day()
        )
    };
    if now < MADE {
        return Some(sentence("which is before Casemesh was made"));
    }
    let prekeys = &card?.prekeys;
    let last = prekeys.iter().map(|prekey| prekey.until).max()?;
    let first = prekeys.iter().map(|prekey| prekey.from).min()?;
    if now < first {
        Some(sentence("which is before this office was set up"))
    } else if now > last {
        Some(sentence("and this office's keys for receiving ran out; if the clock is right, renew the office's card"))
    } else {
        None
    }
}

fn lock_folder(folder: &Path) -> Result<File, NodeError> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false);
    disk::private(&mut options);
    let file = options.open(folder.join(LOCK_FILE))?;
    match file.try_lock() {
        // An address that a killed node left behind is nobody's now: no password must go there.
        Ok(()) => disk::remove(&folder.join(PAGES_FILE)).map(|()| file).map_err(NodeError::Disk),
        Err(std::fs::TryLockError::WouldBlock) => Err(NodeError::Running(folder.to_owned())),
        Err(std::fs::TryLockError::Error(error)) => Err(error.into()),
    }
}

/// Makes the node key good for another year, with the seed that the recovery shares give. Until when it is good then,
/// and whether it was good until now: if not, partners learn of it by a new network file alone.
///
/// # Errors
/// When the shares are of another office, or the disk refuses.
pub fn renew_node_key(folder: &OfflineFolder, seed: &Secret, clock: &Clock) -> Result<(Timestamp, bool), NodeError> {
    rotation::renew_node_key(folder.path(), seed, clock.now())
}

/// Hands the office over to its next root key, the one on the second sheet, and draws the one after: new shares and a new second
/// sheet. With `new_keys` everything that a stolen computer knows is drawn anew and taken back.
///
/// # Errors
/// When password, shares or sheet are not right, or the disk refuses.
pub fn rotate_root(
    folder: &OfflineFolder,
    opened: &Opened,
    sheet: &str,
    how: (Split, bool),
    clock: &Clock,
) -> Result<Printed, NodeError> {
    rotation::rotate_root(folder.path(), opened, sheet, how, clock.now())
}

/// An office that left forgets its network, and destroys the keys to which others could seal.
///
/// # Errors
/// When the office did not leave, or the disk refuses.
pub fn forget_network(folder: &OfflineFolder) -> Result<(), NodeError> {
    rotation::forget_network(folder.path())
}

/// Where the pages of the node that runs on a folder are, if it serves any.
pub fn pages_of(folder: &Path) -> Option<SocketAddr> {
    let address: SocketAddr = std::fs::read_to_string(folder.join(PAGES_FILE)).ok()?.trim().parse().ok()?;
    Some(address).filter(|address| address.ip().is_loopback())
}

/// Whether a node talks to others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// It listens and dials.
    Network,
    /// It does neither: for commands that open the folder while no node runs on it.
    Offline,
}

/// A folder of an office that nobody else works on, held while it is checked.
#[derive(Debug)]
pub struct OfflineFolder {
    folder: PathBuf,
    _lock: File,
}

impl OfflineFolder {
    /// Takes the folder.
    ///
    /// # Errors
    /// When the node runs, or there is no office.
    pub fn take(folder: &Path) -> Result<Self, NodeError> {
        read_config(folder)?;
        Ok(Self { folder: folder.to_owned(), _lock: lock_folder(folder)? })
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.folder
    }
}

/// Why a sign-in failed.
#[derive(Debug, thiserror::Error)]
pub enum SignInError {
    /// Too many wrong guesses.
    #[error("too many wrong tries; wait {0} seconds and try again")]
    Wait(u64),
    /// Name or password.
    #[error("the name or the password is not right")]
    Wrong,
    /// The account has a second factor, and no code was given.
    #[error("type the six digits that your telephone shows for this office, or one of your printed codes")]
    CodeNeeded,
    /// The code of the second factor.
    #[error("that code is not right, or was used before; wait for the next one")]
    CodeWrong,
    /// The office cannot be opened.
    #[error(transparent)]
    Node(#[from] NodeError),
}

/// What somebody knocks with.
#[derive(Clone, Default)]
pub struct Knock {
    /// The name to sign in with.
    pub name: String,
    /// The password.
    pub password: String,
    /// The code of the second factor; empty without one.
    pub code: String,
    /// From where.
    pub origin: Origin,
}

impl Knock {
    /// With a password alone.
    pub fn new(name: &str, password: &str, source: &'static str) -> Self {
        Self { name: name.into(), password: password.into(), code: String::new(), origin: Origin::of(source) }
    }
}

/// What the locked door tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Door {
    /// The office's name.
    pub name: String,
    /// Whether nobody opened the office yet.
    pub locked: bool,
    /// How many packets wait to be opened.
    pub waiting: usize,
    /// Whether one of them is urgent.
    pub urgent: bool,
    /// What is wrong with the clock, if anything.
    pub clock_problem: Option<String>,
}

struct Inner {
    office_id: OfficeId,
    config: Config,
    around: Surroundings,
    office: RwLock<Option<Arc<Office>>>,
    sessions: Mutex<Sessions>,
    throttle: Mutex<Throttle>,
    /// Argon2 takes much memory: one guess at a time.
    guessing: Mutex<()>,
    last_used: Mutex<Timestamp>,
    /// How the last knocking at a registrar's lobby went.
    knocked: Mutex<Option<Reception>>,
    /// Held while this node knocks.
    knocking: Mutex<()>,
    reach: Reach,
    _lock: File,
}

/// A running node.
#[derive(Clone)]
pub struct Node {
    inner: Arc<Inner>,
    stop: SyncSender<Turn>,
    thread: Arc<Mutex<Option<JoinHandle<()>>>>,
}

enum Turn {
    Look,
    Stop,
}

impl std::fmt::Debug for Node {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Node({})", self.inner.config.name)
    }
}

impl Node {
    /// Starts the node of a data folder, locked. Needs a tokio runtime around it.
    ///
    /// # Errors
    /// When another process works on the folder, or something on the disk does not hold.
    pub fn start(folder: &Path, clock: Clock) -> Result<Self, NodeError> {
        Self::start_as(folder, clock, Reach::Network)
    }

    /// Starts the node of a data folder as told.
    ///
    /// # Errors
    /// When another process works on the folder, or something on the disk does not hold.
    pub fn start_as(folder: &Path, clock: Clock, reach: Reach) -> Result<Self, NodeError> {
        let config = read_config(folder)?;
        let reach = if config.practice { Reach::Offline } else { reach };
        let lock = lock_folder(folder)?;
        let profile = RelayProfile::read(folder)?;
        let office_id = profile.office;
        let (turns, waiting) = sync_channel(1);
        let wake = turns.clone();
        let relay_config = RelayConfig {
            listen: if reach == Reach::Network { config.listen.clone() } else { Vec::new() },
            is_hub: config.roles.contains(&Role::Hub),
            poll_ms: config.poll_s.saturating_mul(1000),
        };
        // A full channel means that a look is due anyway.
        let wake = Box::new(move || drop(wake.try_send(Turn::Look)));
        let watch = ClockWatch::open(folder, clock.now());
        let relay = Relay::start(folder, profile, &relay_config, (clock.clone(), watch.clone()), wake)?;
        let around = Surroundings {
            folder: folder.to_owned(),
            clock: clock.clone(),
            relay,
            directory: Arc::default(),
            changing: Arc::default(),
            watch,
            lobby: config
                .lobby
                .as_ref()
                .filter(|_| reach == Reach::Network)
                .map(|address| Lobby::new(folder, address, config.announce_lobby.as_deref().unwrap_or(address))),
        };
        let inner = Arc::new(Inner {
            office_id,
            config,
            around,
            office: RwLock::new(None),
            sessions: Mutex::default(),
            throttle: Mutex::new(Throttle::open(folder)),
            guessing: Mutex::new(()),
            last_used: Mutex::new(clock.now()),
            knocked: Mutex::default(),
            knocking: Mutex::default(),
            reach,
            _lock: lock,
        });
        if let Some(bytes) = disk::read_bounded(&folder.join(NETWORK_FILE), DIRECTORY_BYTES_MAX as u64)? {
            let directory = renewal::with_kept_cards(folder, Directory::read(&bytes, None)?);
            inner.around.use_directory(directory, reach);
        }
        let for_thread = Arc::clone(&inner);
        let runtime = tokio::runtime::Handle::current();
        let thread = std::thread::Builder::new().name("exchange".into()).spawn(move || {
            let _in_runtime = runtime.enter();
            loop {
                match waiting.recv_timeout(TURN_EVERY) {
                    Ok(Turn::Stop) | Err(RecvTimeoutError::Disconnected) => return,
                    Ok(Turn::Look) | Err(RecvTimeoutError::Timeout) => for_thread.turn(),
                }
            }
        })?;
        Ok(Self { inner, stop: turns, thread: Arc::new(Mutex::new(Some(thread))) })
    }

    /// What a person may set.
    pub fn config(&self) -> &Config {
        &self.inner.config
    }

    /// What the locked door tells.
    pub fn door(&self) -> Door {
        let (waiting, urgency) = self.inner.around.relay.spool().waiting_summary();
        Door {
            name: self.inner.config.name.clone(),
            locked: self.office().is_none(),
            waiting,
            urgent: urgency.is_some_and(|urgency| urgency > Urgency::Routine),
            clock_problem: self.clock_problem(),
        }
    }

    /// What is wrong with the clock of this computer, if anything can be told.
    pub fn clock_problem(&self) -> Option<String> {
        let (now, watch) = (self.inner.around.clock.now(), &self.inner.around.watch);
        if watch.is_doubted() {
            return Some(format!(
                "The clock of this computer says {}; when it was used last, it said {}. If the day is right, say so on the first page; if not, set the clock. Until then nothing ends by itself.",
                now.day(),
                watch.last().day()
            ));
        }
        let card: Option<Card> = wire::decode(&read_card(&self.inner.around.folder).ok()?).ok();
        clock_problem_of(card.as_ref(), now)
    }

    /// Somebody looked at the day, and it is right.
    pub fn confirm_clock(&self) {
        self.inner.around.watch.confirm(self.inner.around.clock.now());
        drop(self.stop.try_send(Turn::Look));
    }

    /// Whether the clock jumped ahead, and nobody has said yet that the day is right.
    pub fn doubts_clock(&self) -> bool {
        self.inner.around.watch.is_doubted()
    }

    /// Says where the pages are, for commands of the same account on this computer.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn serves_pages_at(&self, address: SocketAddr) -> io::Result<()> {
        disk::replace(&self.inner.around.folder.join(PAGES_FILE), address.to_string().as_bytes())
    }

    /// The open office.
    pub fn office(&self) -> Option<Arc<Office>> {
        self.inner.office.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The relay.
    pub fn relay(&self) -> &Relay {
        &self.inner.around.relay
    }

    /// Whose node it is.
    pub fn relay_office(&self) -> OfficeId {
        self.inner.office_id
    }

    /// The time.
    pub fn clock(&self) -> &Clock {
        &self.inner.around.clock
    }

    /// Signs a member of staff in, and opens the office if it is locked. A session's token.
    ///
    /// # Errors
    /// When name or password is wrong, or was guessed too often.
    pub fn sign_in(&self, knock: &Knock) -> Result<String, SignInError> {
        let Knock { name, password, code, origin } = knock;
        let (inner, source) = (&self.inner, origin.source);
        let now = inner.around.clock.now();
        let throttle = || inner.throttle.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(wait) = throttle().wait_ms(name, source, now) {
            return Err(SignInError::Wait(wait.div_ceil(1000)));
        }
        let guessing = inner.guessing.lock().unwrap_or_else(PoisonError::into_inner);
        let was_locked = self.office().is_none();
        let result = inner.authenticate(name, password).and_then(|staff| {
            let office = self.office().ok_or(NodeError::Vault(VaultError::Locked))?;
            office.check_factor(staff, code).map(|()| staff)
        });
        if was_locked && result.is_err() {
            inner.lock();
        }
        if result.is_ok() {
            *inner.last_used.lock().unwrap_or_else(PoisonError::into_inner) = now;
        }
        drop(guessing);
        match result {
            Ok(staff) => {
                throttle().right(name, source);
                let token = inner.sessions.lock().unwrap_or_else(PoisonError::into_inner).begin(staff, origin, now);
                if let Some(office) = self.office() {
                    office.signed_in(staff);
                }
                // What waited while the office was locked is looked at now.
                drop(self.stop.try_send(Turn::Look));
                Ok(token)
            }
            Err(refused) => {
                if matches!(refused, SignInError::Wrong | SignInError::CodeWrong) {
                    throttle().wrong(name, source, now);
                }
                Err(refused)
            }
        }
    }

    /// The desk of a session that lives.
    pub fn desk(&self, token: &str) -> Option<Desk> {
        let now = self.inner.around.clock.now();
        let staff = self.sessions().touch(token, now)?;
        *self.inner.last_used.lock().unwrap_or_else(PoisonError::into_inner) = now;
        self.desk_of(token, staff)
    }

    /// The desk of whoever's session it is; one that was ended for its account opens none.
    fn desk_of(&self, token: &str, staff: StaffId) -> Option<Desk> {
        let begun = self.sessions().begun(token)?;
        let office = self.office()?;
        if office.counts_from(staff).is_some_and(|from| begun < from) {
            self.sessions().end(token);
            return None;
        }
        office.desk(staff)
    }

    /// What waits for whoever has this page open, and their language, without counting as their work.
    pub fn pulse(&self, token: &str) -> Option<(Pulse, Option<String>)> {
        let staff = self.sessions().peek(token, self.inner.around.clock.now())?;
        let desk = self.desk_of(token, staff).filter(|_| self.sessions().is_whole(token))?;
        Some((desk.pulse(), desk.language().map(str::to_owned)))
    }

    /// The desk of a page's session. A token that was narrowed to parts of the API opens no page.
    pub fn page_desk(&self, token: &str) -> Option<Desk> {
        let is_whole = self.sessions().is_whole(token);
        if is_whole { self.desk(token) } else { None }
    }

    /// Whether a token is good for a part of the API.
    pub fn covers(&self, token: &str, part: Part, writes: bool) -> bool {
        self.sessions().covers(token, part, writes)
    }

    /// Locks a session behind its owner's PIN; without one it ends. Whether it can be opened again.
    pub fn lock_session(&self, token: &str) -> bool {
        let has_pin = self.desk(token).is_some_and(|desk| desk.has_pin());
        if has_pin {
            self.sessions().lock(token)
        } else {
            self.sessions().end(token)
        }
        has_pin
    }

    /// The locked sessions of a browser: which, and whose.
    pub fn locked_sessions(&self, browser: &str) -> Vec<(SessionId, String)> {
        let Some(office) = self.office() else { return Vec::new() };
        let found = self.sessions().locked_at(browser, self.inner.around.clock.now());
        found.into_iter().filter_map(|(id, staff)| Some((id, office.desk(staff)?.name().to_owned()))).collect()
    }

    /// Opens a locked session of a browser with its owner's PIN: a new token.
    ///
    /// # Errors
    /// When the PIN is wrong, or the session has ended.
    pub fn unlock_session(&self, browser: &str, id: SessionId, pin: &str) -> Result<String, PinRefusal> {
        let now = self.inner.around.clock.now();
        let found = self.sessions().locked_at(browser, now);
        let staff = found.into_iter().find(|(known, _)| *known == id).map(|(_, staff)| staff);
        let (Some(office), Some(staff)) = (self.office(), staff) else { return Err(PinRefusal::Ended) };
        let guessing = self.inner.guessing.lock().unwrap_or_else(PoisonError::into_inner);
        let is_right = office.is_pin_of(staff, pin);
        let opened = self.sessions().unlock(browser, id, is_right, now);
        if opened.is_ok() {
            *self.inner.last_used.lock().unwrap_or_else(PoisonError::into_inner) = now;
        }
        drop(guessing);
        let action = if opened.is_ok() { "unlock_session" } else { "refused" };
        office.vault().note(Some(staff), action, None);
        opened
    }

    /// The sessions of whose session this is.
    pub fn sessions_of(&self, staff: StaffId, token: &str) -> Vec<SessionView> {
        self.sessions().of(staff, token, self.inner.around.clock.now())
    }

    /// Ends one session of a member of staff.
    pub fn end_session(&self, staff: StaffId, id: SessionId) {
        self.sessions().end_one_of(staff, id);
    }

    /// Ends all sessions of a member of staff but this one.
    pub fn end_other_sessions(&self, staff: StaffId, token: &str) {
        self.sessions().end_others_of(staff, token);
    }

    fn sessions(&self) -> MutexGuard<'_, Sessions> {
        self.inner.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends a session.
    pub fn sign_out(&self, token: &str) {
        self.sessions().end(token);
    }

    /// Ends all sessions of a member of staff, at once.
    pub fn end_sessions(&self, staff: StaffId) {
        self.sessions().end_all_of(staff);
    }

    /// Locks the office: keys and index leave the memory. The relay goes on.
    pub fn lock(&self) {
        self.inner.lock();
    }

    /// Joins the network of a file, or takes what is new in it. Whether anything is.
    ///
    /// # Errors
    /// When the file is of another network than this node joined, does not hold, or does not let this office in.
    pub fn join(&self, bytes: &[u8]) -> Result<bool, NodeError> {
        if self.inner.config.practice {
            return Err(NodeError::Practice);
        }
        self.inner.around.join(bytes, Reach::Network)
    }

    /// Knocks at the lobby that an invitation names, until this office is in.
    ///
    /// # Errors
    /// When the text is no invitation, its time is over, the office is in a network, or the disk refuses.
    pub fn ask_to_join(&self, text: &str) -> Result<(), NodeError> {
        if self.inner.config.practice {
            return Err(NodeError::Practice);
        }
        if self.directory().is_some() {
            return Err(NodeError::Input("this office is in a network already".into()));
        }
        lobby::begin_joining(&self.inner.around.folder, text, self.inner.around.clock.now())?;
        drop(self.stop.try_send(Turn::Look));
        Ok(())
    }

    /// Whether this office waits to be let in: by which office, and how the last knocking went.
    pub fn joining(&self) -> Option<(Invitation, Option<Reception>)> {
        let invitation = lobby::joining(&self.inner.around.folder).ok().flatten()?;
        Some((invitation, self.inner.knocked.lock().unwrap_or_else(PoisonError::into_inner).clone()))
    }

    /// Puts what waits for an office, or for all, into a file that is carried by hand, with the network file or without.
    ///
    /// # Errors
    /// When there is no network, or the disk refuses.
    pub fn pack_bundle(&self, to: Option<OfficeId>, with_network: bool) -> Result<Packed, NodeError> {
        self.inner.around.pack_bundle(to, with_network)
    }

    /// Takes what such a file brings, without the network.
    ///
    /// # Errors
    /// When there is no network, the file is no bundle, or the disk refuses.
    pub fn bring_bundle(&self, bytes: &[u8]) -> Result<Brought, NodeError> {
        self.inner.around.bring_bundle(bytes, Reach::Offline)
    }

    /// The network, if joined.
    pub fn directory(&self) -> Option<Arc<Directory>> {
        self.inner.around.directory()
    }

    /// Looks at everything that waits, now.
    pub fn nudge(&self) {
        self.inner.around.relay.nudge();
        drop(self.stop.try_send(Turn::Look));
    }

    /// Ends the node: the office is closed, the relay stopped, the folder free.
    pub fn stop(&self) {
        drop(self.stop.send(Turn::Stop));
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if thread.is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the exchange stopped unexpectedly");
        }
        self.inner.lock();
        if let Some(lobby) = &self.inner.around.lobby {
            lobby.close();
        }
        self.inner.around.relay.stop();
        if let Err(error) = disk::remove(&self.inner.around.folder.join(PAGES_FILE)) {
            tracing::warn!(kind = %error.kind(), "the address of the pages could not be taken away");
        }
    }
}

impl Inner {
    /// An office that was given an invitation knocks until it is in.
    fn knock(&self) {
        let folder = &self.around.folder;
        if self.reach != Reach::Network || self.around.directory().is_some() {
            return;
        }
        let Ok(Some(invitation)) = lobby::joining(folder) else { return };
        let Ok(_alone) = self.knocking.try_lock() else { return };
        let went = lobby::knock(folder, &invitation).unwrap_or_else(|error| {
            tracing::warn!(%error, "knocking at the lobby failed; it is tried again");
            Reception::NoLine
        });
        if let Reception::In(file) = &went {
            match self.around.join(file, self.reach).map(|_| lobby::end_joining(folder)) {
                Ok(Ok(())) => tracing::info!("this office was let into the network"),
                Ok(Err(error)) => tracing::warn!(kind = %error.kind(), "the used invitation stays on the disk"),
                Err(error) => tracing::warn!(%error, "the network file that a lobby gave is not used"),
            }
        }
        *self.knocked.lock().unwrap_or_else(PoisonError::into_inner) = Some(went);
    }

    fn turn(&self) {
        self.around.watch.tick(self.around.clock.now());
        self.around.keep_lobby();
        self.knock();
        let office = self.office.read().unwrap_or_else(PoisonError::into_inner).clone();
        let Some(office) = office else { return };
        office.turn();
        // Whoever signs in just now is using it, and it is not locked under their hands.
        let _nobody_signs_in = match self.guessing.try_lock() {
            Ok(held) => held,
            Err(std::sync::TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(std::sync::TryLockError::WouldBlock) => return,
        };
        let last_used = *self.last_used.lock().unwrap_or_else(PoisonError::into_inner);
        if self.around.clock.now().ms_since(last_used) > IDLE_MS {
            drop(office);
            self.lock();
        }
    }

    fn lock(&self) {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner).end_all();
        // Held until the writer has ended: nobody opens the folder again before.
        let mut office = self.office.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(office) = office.take() {
            office.close();
        }
    }

    fn authenticate(&self, name: &str, password: &str) -> Result<StaffId, SignInError> {
        let office = self.office.read().unwrap_or_else(PoisonError::into_inner).clone();
        let wrong = |error| match error {
            KeyError::WrongPassword | KeyError::Password(_) => SignInError::Wrong,
            other => SignInError::Node(NodeError::Key(other)),
        };
        let file = KeyFile::read(&self.around.folder).map_err(wrong)?;
        let Some(office) = office else {
            let (staff, keys) = file.open(name, password).map_err(wrong)?;
            let office = Office::open(keys, self.around.clone()).map_err(NodeError::from)?;
            if office.desk(staff).is_none() {
                office.close();
                return Err(SignInError::Wrong);
            }
            *self.office.write().unwrap_or_else(PoisonError::into_inner) = Some(office);
            return Ok(staff);
        };
        let key = crate::keys::name_key(name);
        let member = {
            let tables = office.index().read();
            let now = self.around.clock.now();
            let is_it = |member: &&Staff| member.is_in_use(now) && crate::keys::name_key(&member.sign_in) == key;
            tables.staff.values().find(is_it).cloned()
        };
        match member {
            Some(Staff { id, password: Some(hash), .. }) => {
                hash.verify(password).map(|()| id).map_err(|_| SignInError::Wrong)
            }
            // An unknown name takes as long as a wrong password.
            _ => file
                .open(name, password)
                .map(|(staff, _)| staff)
                .map_err(wrong)
                .and_then(|staff| if office.desk(staff).is_some() { Ok(staff) } else { Err(SignInError::Wrong) }),
        }
    }
}
