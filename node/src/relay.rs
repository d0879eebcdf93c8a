//! The relay: what a node does for the network whether or not its office is open. One thread that feeds
//! network events and the clock into the delivery queues, keeps what comes in, signs for it, serves the
//! mailboxes if the node is a hub, and looks into its own.
//!
//! It can open nothing. It holds the machine's network identity and receipt key, both certified by the
//! office, and the sealed packets in the spool.

use crate::blobs::Blobs;
use crate::clock::Clock;
use crate::clockwatch::ClockWatch;
use crate::doctor::Trace;
use crate::keys::RelayProfile;
use crate::mailbox::Mailboxes;
use crate::net::{Channel, Command, Event, Net, NetError, Peer};
use crate::spool::{
    ClaimRow, Fact, Hold, IN_BYTES_OF_ONE_MAX, IN_PACKETS_MAX, IN_PACKETS_OF_ONE_MAX, LetGoRow, OutRow, Spool,
};
use carriage::Carriage;
use casemesh_crypto::envelope::{Header, packet_hash};
use casemesh_crypto::hash::Digest;
use casemesh_crypto::prekey::PrekeyId;
use casemesh_crypto::random::os_rng;
use casemesh_crypto::sign::SigningKey;
use casemesh_crypto::wire;
use casemesh_protocol::delivery::{Input, Output, Queue};
use casemesh_protocol::directory::{Directory, Member, Role};
use casemesh_protocol::frame::{
    BlobRequest, Hello, HelloAnswer, MailboxAnswer, MailboxRequest, PacketAnswer, PacketRequest, Rejection, VERSION,
};
use casemesh_protocol::id::{OfficeId, ThreadId};
use casemesh_protocol::limits::CLOCK_SKEW_SECONDS_MAX;
use casemesh_protocol::packet::is_timely;
use casemesh_protocol::receipt::Receipt;
use casemesh_protocol::time::Timestamp;
use casemesh_protocol::trust::{Admission, Registrar};
use holding::Holding;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

mod carriage;
mod holding;

const INPUTS_WAITING_MAX: usize = 8192;
const TICK: Duration = Duration::from_millis(200);
const DEFER_MS: u64 = 60_000;
const HUB_REDIAL_MS: u64 = 15_000;
const SWEEP_MS: u64 = 3_600_000;
/// What the relay says of itself on the disk is written anew so often at most.
const TRACE_MS: u64 = 5_000;
/// So long an office that left by itself is still on the line.
const FAREWELL_MS: u64 = 3_000;
/// So many partners hear once that this node is back: what waits there for us comes now, not after its waiting time.
const GREETED_MAX: usize = 64;
/// So many of them in one tick.
const GREETED_A_TICK: usize = 8;

/// How a relay behaves.
#[derive(Debug, Clone)]
pub struct RelayConfig {
    /// Multiaddresses to listen on.
    pub listen: Vec<String>,
    /// Whether this node keeps packets for others.
    pub is_hub: bool,
    /// How often it looks into its mailboxes, in milliseconds.
    pub poll_ms: u64,
}

/// What the relay tells about itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RelayStatus {
    /// Where it can be reached.
    pub listening: Vec<String>,
    /// Offices that said hello on a connection that stands.
    pub connected: BTreeSet<OfficeId>,
    /// What a person should know, by office: one sentence each.
    pub problems: BTreeMap<OfficeId, String>,
    /// Bytes of packets that went to other nodes.
    pub bytes_sent: u64,
    /// Bytes of packets that came from other nodes.
    pub bytes_received: u64,
    /// Packets of ours of which a hub said that it keeps them until they are claimed.
    pub held: BTreeSet<Digest>,
}

enum RelayInput {
    Net(Event),
    HandOver(OutRow),
    Cancel(OfficeId, Digest),
    LetGo(LetGoRow),
    Claim(ClaimRow),
    Unclaim(ThreadId),
    ByHand(Vec<(OfficeId, Digest)>),
    Directory(Arc<Directory>, Vec<PrekeyId>),
    Nudge,
    Stop,
}

/// The door to the relay.
#[derive(Clone)]
pub struct Relay {
    inputs: SyncSender<RelayInput>,
    status: Arc<Mutex<RelayStatus>>,
    spool: Spool,
    blobs: Blobs,
    mailboxes: Option<Arc<Mailboxes>>,
    office: OfficeId,
    receipt_key: Arc<SigningKey>,
    thread: Arc<Mutex<Option<JoinHandle<()>>>>,
}

impl std::fmt::Debug for Relay {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Relay(..)")
    }
}

/// Why the relay cannot start.
#[derive(Debug, thiserror::Error)]
pub enum RelayError {
    /// The disk refuses.
    #[error("{}", crate::disk::refusal(.0))]
    Disk(#[from] io::Error),
    /// The network refuses.
    #[error(transparent)]
    Net(#[from] NetError),
}

impl Relay {
    /// Starts the relay of a data folder. `wake` is called when the office has something to look at. Needs a
    /// tokio runtime around it.
    ///
    /// # Errors
    /// When the disk or the network refuses.
    pub fn start(
        folder: &Path,
        profile: RelayProfile,
        config: &RelayConfig,
        (clock, watch): (Clock, ClockWatch),
        wake: Box<dyn Fn() + Send>,
    ) -> Result<Self, RelayError> {
        let (spool, blobs) = (Spool::open(folder)?, Blobs::open(folder)?);
        let mailboxes = if config.is_hub { Some(Arc::new(Mailboxes::open(folder)?)) } else { None };
        let (office, receipt_key) = (profile.office, Arc::new(profile.receipt_key.clone()));
        let (inputs, waiting) = sync_channel(INPUTS_WAITING_MAX);
        let events = inputs.clone();
        let net = Net::start(
            &profile.peer_seed,
            &config.listen,
            Box::new(move |event| events.try_send(RelayInput::Net(event)).is_ok()),
        )?;
        let status = Arc::new(Mutex::new(RelayStatus::default()));
        let thread = Thread {
            clock,
            watch,
            trace: Trace::read(folder),
            folder: folder.to_owned(),
            trace_at: Timestamp::default(),
            profile,
            net,
            spool: spool.clone(),
            carriage: Carriage::new(blobs.clone()),
            mailboxes: mailboxes.clone(),
            directory: None,
            prekeys: Vec::new(),
            queues: HashMap::new(),
            present: HashMap::new(),
            asked: HashMap::new(),
            brought: HashMap::new(),
            arriving: Vec::new(),
            holding: Holding::default(),
            next_tag: 0,
            hubs: BTreeMap::new(),
            is_hidden: false,
            close_at: None,
            to_greet: Vec::new(),
            poll_ms: config.poll_ms,
            next_sweep: Timestamp::default(),
            next_asked: Timestamp::default(),
            status: Arc::clone(&status),
            wake,
        };
        let handle = std::thread::Builder::new().name("relay".into()).spawn(move || thread.run(&waiting))?;
        let thread = Arc::new(Mutex::new(Some(handle)));
        Ok(Self { inputs, status, spool, blobs, mailboxes, office, receipt_key, thread })
    }

    /// Takes a sealed packet and offers it to the other node until it arrives, is refused, or its time is over.
    ///
    /// # Errors
    /// When the disk refuses or the relay has ended.
    pub fn hand_over(&self, row: OutRow, packet: Vec<u8>) -> io::Result<()> {
        self.spool.keep_out(&row, packet)?;
        let gone = || io::Error::new(io::ErrorKind::BrokenPipe, "the relay has ended");
        self.inputs.send(RelayInput::HandOver(row)).map_err(|_| gone())
    }

    /// The packet must not go any more.
    pub fn cancel(&self, to: OfficeId, packet: Digest) {
        self.give(RelayInput::Cancel(to, packet));
    }

    /// What waits at a hub is to reach nobody: noted on the disk before this returns, and told to the hub however long that takes.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn let_go(&self, hold: Hold, to: OfficeId, until: Timestamp) -> io::Result<()> {
        let row = LetGoRow { hold, to, until, is_told: false };
        self.spool.keep_let_go(&row)?;
        self.give(RelayInput::LetGo(row));
        Ok(())
    }

    /// We accepted what waits at a hub: it is fetched there.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn claim(&self, row: ClaimRow) -> io::Result<()> {
        self.spool.keep_claim(&row)?;
        self.give(RelayInput::Claim(row));
        Ok(())
    }

    /// What was claimed came, or is not wanted any more.
    pub fn unclaim(&self, thread: ThreadId) {
        self.give(RelayInput::Unclaim(thread));
    }

    /// Who belongs to the network now, and which prekeys are ours.
    pub fn set_directory(&self, directory: Arc<Directory>, prekeys: Vec<PrekeyId>) {
        self.give(RelayInput::Directory(directory, prekeys));
    }

    /// A file brought packets, and the news that these arrived.
    pub(crate) fn came_by_hand(&self, arrived: Vec<(OfficeId, Digest)>) {
        self.give(RelayInput::ByHand(arrived));
    }

    /// Whose node it is.
    pub(crate) fn office(&self) -> OfficeId {
        self.office
    }

    /// Signs what leaves by hand.
    pub(crate) fn receipt_key(&self) -> &SigningKey {
        &self.receipt_key
    }

    /// The receipt for a packet that is on disk.
    pub(crate) fn sign_for(&self, packet: Digest, now: Timestamp) -> Receipt {
        Receipt::sign(packet, self.office, now, &self.receipt_key)
    }

    /// The mailboxes, where this node is a hub.
    pub(crate) fn mailboxes(&self) -> Option<&Mailboxes> {
        self.mailboxes.as_deref()
    }

    /// Looks into the mailboxes and tries what waits, now.
    pub fn nudge(&self) {
        self.give(RelayInput::Nudge);
    }

    /// What it is doing.
    pub fn status(&self) -> RelayStatus {
        self.status.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What waits on disk.
    pub fn spool(&self) -> &Spool {
        &self.spool
    }

    /// The sealed files that belong to packets.
    pub fn blobs(&self) -> &Blobs {
        &self.blobs
    }

    /// Ends it.
    pub fn stop(&self) {
        self.give(RelayInput::Stop);
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if thread.is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the relay stopped unexpectedly");
        }
    }

    fn give(&self, input: RelayInput) {
        if self.inputs.send(input).is_err() {
            tracing::debug!("the relay has ended");
        }
    }
}

/// The machines of members, as far as their certificates are in their time.
fn machines<'a>(members: impl Iterator<Item = &'a Member>, now: Timestamp) -> impl Iterator<Item = Peer> {
    let all = members.flat_map(|member| member.keys.machines());
    all.filter(move |machine| now.s() < machine.until_s).map(|machine| Peer(machine.peer.clone()))
}

/// Whether a packet is sealed to one of our prekeys, and its time is not over.
pub(crate) fn is_for_us(packet: &[u8], prekeys: &[PrekeyId], now: Timestamp) -> bool {
    let is_meant = |header: &Header| prekeys.iter().any(|prekey| header.is_for(prekey));
    Header::read(packet).is_ok_and(|header| is_timely(&header, now) && is_meant(&header))
}

/// What a question to another node was about.
enum Asked {
    Hello(Peer),
    Put { to: OfficeId, packet: Digest },
    Deposit { to: OfficeId, packet: Digest },
    List { hub: OfficeId },
    Fetch { hub: OfficeId },
    Receipts { hub: OfficeId },
    Hold(Digest),
    Claim { hub: OfficeId, thread: ThreadId },
    Claims { hub: OfficeId },
    LetGo(ThreadId),
    Piece(Digest),
    Left(Digest),
    Told,
}

/// A packet that came in, and who waits until it is on disk.
struct Arriving {
    packet: Vec<u8>,
    /// Who brought it over a line.
    by: Option<OfficeId>,
    then: Then,
}

enum Then {
    /// The sender is told over this line.
    Answer(u64),
    /// The hub lets go of it.
    Delete { hub: OfficeId },
}

#[derive(Default)]
struct HubLink {
    next_dial: Timestamp,
    next_poll: Timestamp,
    /// What goes into mailboxes there, and what is to be fetched from ours.
    deposits: Vec<(OfficeId, Digest)>,
    to_fetch: Vec<Digest>,
}

/// So often, while the clock is doubted.
const ASK_THE_DAY_MS: u64 = 60_000;
/// Packets that are on their way into and out of mailboxes at the same time.
const MAILBOX_OUT_MAX: usize = 16;
/// So much of what came meanwhile is looked at before what came in is synced.
const TOGETHER_MAX: usize = 64;

struct Thread {
    clock: Clock,
    watch: ClockWatch,
    /// What is left on the disk for whoever asks how the node is.
    trace: Trace,
    folder: PathBuf,
    trace_at: Timestamp,
    profile: RelayProfile,
    net: Net,
    spool: Spool,
    carriage: Carriage,
    mailboxes: Option<Arc<Mailboxes>>,
    directory: Option<Arc<Directory>>,
    prekeys: Vec<PrekeyId>,
    queues: HashMap<OfficeId, Queue>,
    /// Machines whose hello was welcomed, by office.
    present: HashMap<OfficeId, Peer>,
    asked: HashMap<u64, Asked>,
    /// Who brought what waits to be opened, and how long it is.
    brought: HashMap<Digest, (OfficeId, u64)>,
    /// What came in and is kept with the next sync.
    arriving: Vec<Arriving>,
    /// What waits at hubs until somebody accepted.
    holding: Holding,
    next_tag: u64,
    hubs: BTreeMap<OfficeId, HubLink>,
    /// Whether other offices are not to learn where this node is: it dials hubs alone.
    is_hidden: bool,
    /// When the door is closed to who left by itself.
    close_at: Option<Timestamp>,
    /// Partners who have not heard yet that this node is back.
    to_greet: Vec<OfficeId>,
    poll_ms: u64,
    /// When what lies here is looked through for what is over.
    next_sweep: Timestamp,
    next_asked: Timestamp,
    status: Arc<Mutex<RelayStatus>>,
    wake: Box<dyn Fn() + Send>,
}

impl Thread {
    fn run(mut self, inputs: &Receiver<RelayInput>) {
        self.load_under_way();
        self.load_holding();
        loop {
            match inputs.recv_timeout(TICK) {
                Ok(RelayInput::Stop) | Err(RecvTimeoutError::Disconnected) => return,
                Ok(input) => self.take(input),
                Err(RecvTimeoutError::Timeout) => {}
            }
            // What came meanwhile is kept with the same sync; who comes alone does not wait.
            for input in inputs.try_iter().take(TOGETHER_MAX) {
                if matches!(input, RelayInput::Stop) {
                    return;
                }
                self.take(input);
            }
            self.keep_arriving();
            self.tick();
        }
    }

    /// After a start, everything that was under way is under way again.
    fn load_under_way(&mut self) {
        match self.spool.under_way() {
            Ok(rows) => rows.into_iter().for_each(|row| self.queue(row)),
            Err(error) => tracing::error!(kind = %error.kind(), "the spool cannot be read"),
        }
    }

    fn take(&mut self, input: RelayInput) {
        match input {
            RelayInput::Net(event) => self.see(event),
            RelayInput::HandOver(row) if row.hold.is_some() => self.hold(row),
            RelayInput::HandOver(row) => self.queue(row),
            RelayInput::LetGo(row) => self.let_go(row),
            RelayInput::Claim(row) => self.claim(row),
            RelayInput::Unclaim(thread) => self.unclaim(thread),
            RelayInput::Cancel(to, packet) => {
                self.deliver(to, Input::Cancelled { packet });
                // What lies at a hub may have been given before the hub was told: its receipt is still awaited.
                if !self.end_hold(&packet) {
                    self.log_failure(self.spool.drop_out(&packet));
                }
            }
            RelayInput::ByHand(arrived) => {
                for (office, packet) in arrived {
                    self.end_hold(&packet);
                    self.deliver(office, Input::Arrived { packet });
                }
                (self.wake)();
            }
            RelayInput::Directory(directory, prekeys) => self.set_directory(directory, prekeys),
            RelayInput::Nudge => {
                for link in self.hubs.values_mut() {
                    link.next_poll = Timestamp::default();
                    link.next_dial = Timestamp::default();
                }
            }
            RelayInput::Stop => {}
        }
    }

    fn set_directory(&mut self, directory: Arc<Directory>, prekeys: Vec<PrekeyId>) {
        let now = self.clock.now();
        // Whoever leaves by itself still hears that its farewell arrived; whoever is put out is cut off at once.
        let leaves = |said: &&Admission| !said.is_admitted() && said.by == Registrar::Office(said.office);
        let known = self.directory.as_ref();
        let gone = directory.admissions().filter(leaves).filter_map(|said| known?.member(&said.office));
        let farewell: Vec<Peer> = machines(gone, now).collect();
        let others = directory.members().filter(|(office, _)| **office != self.profile.office);
        let allowed: Vec<Peer> = machines(others.map(|(_, member)| member), now).collect();
        self.close_at = Some(now.plus_ms(FAREWELL_MS)).filter(|_| !farewell.is_empty());
        self.net.send(Command::Allow(allowed.into_iter().chain(farewell).collect()));
        let own = directory.member(&self.profile.office);
        let own_hubs = own.map(|member| member.record.hubs.clone()).unwrap_or_default();
        let was_hidden = self.is_hidden;
        self.is_hidden = own.is_some_and(|member| member.record.is_hidden());
        for hub in own_hubs.iter().filter(|hub| **hub != self.profile.office) {
            self.hubs.entry(*hub).or_default();
        }
        for (office, queue) in &mut self.queues {
            queue.set_has_hub(directory.member(office).is_some_and(|member| !member.record.hubs.as_slice().is_empty()));
        }
        // At the start everybody; later those alone of whom something new is known: cards change often.
        let known = self.directory.as_ref().filter(|_| was_hidden == self.is_hidden);
        let is_new = |office: &OfficeId, member: &Member| {
            known.and_then(|known| known.member(office)).is_none_or(|known| {
                known.record.addresses != member.record.addresses || known.keys.machines() != member.keys.machines()
            })
        };
        let partners = directory.members().filter(|(office, member)| {
            let has_address = !member.record.addresses.as_slice().is_empty();
            let is_reachable = has_address && (!self.is_hidden || member.has_role(Role::Hub));
            **office != self.profile.office && is_reachable && is_new(office, member)
        });
        let to_greet: Vec<OfficeId> = partners.map(|(office, _)| *office).collect();
        self.to_greet.extend(to_greet);
        self.to_greet.truncate(GREETED_MAX);
        // Who is out has no line here from this moment; the network closes what stands.
        self.present.retain(|office, _| directory.member(office).is_some());
        {
            let mut status = self.status();
            status.connected.retain(|office| directory.member(office).is_some());
            status.problems.retain(|office, _| directory.member(office).is_some());
        }
        self.queues.retain(|office, _| directory.member(office).is_some());
        self.directory = Some(directory);
        self.prekeys = prekeys;
    }

    /// Says on the disk how it is, where anything changed.
    fn leave_trace(&mut self, now: Timestamp) {
        if now < self.trace_at.plus_ms(TRACE_MS) && self.trace_at != Timestamp::default() {
            return;
        }
        self.trace_at = now;
        let status = self.status().clone();
        let connected: Vec<OfficeId> = status.connected.iter().copied().collect();
        let is_same = self.trace.connected == connected
            && self.trace.listening == status.listening
            && self.trace.problems == status.problems;
        if is_same && now < self.trace.at.plus_ms(SWEEP_MS) {
            return;
        }
        for office in &connected {
            self.trace.seen.insert(*office, now);
        }
        let seen = std::mem::take(&mut self.trace.seen);
        let (listening, problems) = (status.listening, status.problems);
        self.trace = Trace { at: now, listening, connected, seen, problems };
        self.log_failure(self.trace.leave(&self.folder));
    }

    /// While the clock is doubted, whoever is on the line is asked whether theirs agrees.
    fn ask_the_day(&mut self, now: Timestamp) {
        // Far ahead it stands where the clock was set back meanwhile.
        let is_soon = now < self.next_asked && self.next_asked <= now.plus_ms(ASK_THE_DAY_MS);
        if is_soon || !self.watch.is_doubted() {
            return;
        }
        self.next_asked = now.plus_ms(ASK_THE_DAY_MS);
        let Some(hello) = self.hello() else { return };
        for peer in self.present.values().cloned().collect::<Vec<_>>() {
            self.ask(peer.clone(), Channel::Hello, wire::encode(&hello), Asked::Hello(peer));
        }
    }

    /// After a farewell, nobody but members gets in.
    fn close_door(&mut self, now: Timestamp) {
        let Some(directory) = self.directory.as_ref().filter(|_| self.close_at.is_some_and(|at| at <= now)) else {
            return;
        };
        let others = directory.members().filter(|(office, _)| **office != self.profile.office);
        let allowed = machines(others.map(|(_, member)| member), now).collect();
        self.close_at = None;
        self.net.send(Command::Allow(allowed));
    }

    fn queue(&mut self, row: OutRow) {
        self.deliver(row.to, Input::Queued { packet: row.packet, expires: row.expires });
    }

    /// Gives one input to the queue of an office and does what it says.
    fn deliver(&mut self, office: OfficeId, input: Input) {
        let now = self.clock.now();
        let has_hub = self
            .directory
            .as_ref()
            .and_then(|directory| directory.member(&office))
            .is_some_and(|member| !member.record.hubs.as_slice().is_empty());
        let queue = self.queues.entry(office).or_insert_with(|| Queue::new(has_hub));
        queue.set_nothing_ends(self.watch.is_doubted());
        let outputs = queue.handle(input, now, &mut os_rng());
        for output in outputs {
            self.perform(office, output);
        }
    }

    fn perform(&mut self, office: OfficeId, output: Output) {
        match output {
            Output::Dial => self.dial(office),
            Output::Put(packet) => self.put(office, packet),
            Output::Deposit(packet) => self.deposit(office, packet),
            // The packet stays until the office took note of the receipt.
            Output::Settle(_) => {}
            Output::Park(packet) => self.end(packet, Fact::Refused),
            Output::Expire(packet) => self.end(packet, Fact::Expired),
            Output::Overflow(packet) => {
                tracing::warn!(packet = ?packet, "too many packets wait for one office; it is tried again at the next start");
            }
        }
    }

    fn end(&mut self, packet: Digest, fact: Fact) {
        if self.log_failure(self.spool.note_fact(&packet, fact)) {
            (self.wake)();
        }
    }

    fn log_failure(&self, result: io::Result<()>) -> bool {
        if let Err(error) = &result {
            tracing::error!(kind = %error.kind(), "the spool cannot be written");
        }
        result.is_ok()
    }

    fn dial(&mut self, office: OfficeId) {
        let member = self.directory.as_ref().and_then(|directory| directory.member(&office));
        let machine = member.and_then(|member| member.keys.machines().last());
        let may_dial = !self.is_hidden || member.is_some_and(|member| member.has_role(Role::Hub));
        let addresses: Vec<String> = member
            .map(|member| member.record.addresses.iter().map(|a| a.as_str().to_owned()).collect())
            .unwrap_or_default();
        match machine {
            Some(machine) if !addresses.is_empty() && may_dial => {
                self.net.send(Command::Dial { peer: Peer(machine.peer.clone()), addresses });
            }
            _ => self.deliver(office, Input::Unreachable),
        }
    }

    fn put(&mut self, to: OfficeId, packet: Digest) {
        match (self.present.get(&to).cloned(), self.spool.read_out(&packet)) {
            (Some(peer), Ok(bytes)) => {
                self.status().bytes_sent += bytes.len() as u64;
                let frame = wire::encode(&PacketRequest::Put(bytes));
                self.ask(peer, Channel::Packet, frame, Asked::Put { to, packet });
            }
            (None, _) => self.deliver(to, Input::Unreachable),
            (_, Err(error)) => tracing::error!(kind = %error.kind(), "a packet under way cannot be read"),
        }
    }

    fn deposit(&mut self, to: OfficeId, packet: Digest) {
        let hubs =
            self.directory.as_ref().and_then(|d| d.member(&to)).map(|m| m.record.hubs.clone()).unwrap_or_default();
        // The hub that is connected, else the first.
        let hub = hubs.iter().find(|hub| self.present.contains_key(hub)).or(hubs.as_slice().first()).copied();
        let Some(hub) = hub.filter(|hub| *hub != self.profile.office) else {
            self.deliver(to, Input::NotDeposited { packet });
            return;
        };
        self.hubs.entry(hub).or_default().deposits.push((to, packet));
        if self.present.contains_key(&hub) {
            self.use_hub(hub);
        }
    }

    /// Whether a hub keeps our mailbox.
    fn is_own_hub(&self, hub: &OfficeId) -> bool {
        let own = self.directory.as_ref().and_then(|directory| directory.member(&self.profile.office));
        own.is_some_and(|own| own.record.hubs.iter().any(|own| own == hub))
    }

    /// One way in or out of a mailbox is free: the next goes.
    fn use_hubs(&mut self) {
        let waits = |link: &HubLink| !link.deposits.is_empty() || !link.to_fetch.is_empty();
        let hubs: Vec<OfficeId> = self.hubs.iter().filter(|(_, link)| waits(link)).map(|(hub, _)| *hub).collect();
        hubs.into_iter().for_each(|hub| self.use_hub(hub));
    }

    fn use_hub(&mut self, hub: OfficeId) {
        let Some(peer) = self.present.get(&hub).cloned() else { return };
        let is_out = |asked: &&Asked| matches!(asked, Asked::Deposit { .. } | Asked::Fetch { .. });
        let room = MAILBOX_OUT_MAX.saturating_sub(self.asked.values().filter(is_out).count());
        let Some(link) = self.hubs.get_mut(&hub) else { return };
        let fetched = link.to_fetch.len().min(room);
        let deposited = link.deposits.len().min(room - fetched);
        let fetches: Vec<Digest> = link.to_fetch.drain(..fetched).collect();
        let deposits: Vec<(OfficeId, Digest)> = link.deposits.drain(..deposited).collect();
        for packet in fetches {
            let frame = wire::encode(&MailboxRequest::Fetch(packet));
            self.ask(peer.clone(), Channel::Mailbox, frame, Asked::Fetch { hub });
        }
        for (to, packet) in deposits {
            match self.spool.read_out(&packet) {
                Ok(bytes) => {
                    self.status().bytes_sent += bytes.len() as u64;
                    let frame = wire::encode(&MailboxRequest::Deposit { to, packet: bytes });
                    self.ask(peer.clone(), Channel::Mailbox, frame, Asked::Deposit { to, packet });
                }
                // It arrived by another road meanwhile.
                Err(_) => self.deliver(to, Input::Deposited { packet }),
            }
        }
    }

    fn ask(&mut self, peer: Peer, channel: Channel, frame: Vec<u8>, about: Asked) {
        let tag = self.next_tag;
        self.next_tag = self.next_tag.wrapping_add(1);
        self.asked.insert(tag, about);
        self.net.send(Command::Ask { peer, channel, frame, tag });
    }

    fn status(&self) -> std::sync::MutexGuard<'_, RelayStatus> {
        self.status.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn see(&mut self, event: Event) {
        match event {
            Event::Listening(address) => self.status().listening.push(address),
            Event::Connected(peer) => {
                if let Some(hello) = self.hello() {
                    self.ask(peer.clone(), Channel::Hello, wire::encode(&hello), Asked::Hello(peer));
                }
            }
            Event::Unreachable(peer) => self.lost(&peer),
            Event::Asked { peer, channel, frame, request } => {
                if channel == Channel::Packet {
                    return self.take_packet(peer, &frame, request);
                }
                match self.answer(&peer, channel, &frame) {
                    Some(frame) => self.net.send(Command::Answer { request, frame }),
                    None => self.net.send(Command::Disconnect(peer)),
                }
            }
            Event::Answered { tag, frame } => {
                if let Some(about) = self.asked.remove(&tag) {
                    self.answered(about, &frame);
                }
            }
            Event::Unanswered { tag } => {
                if let Some(about) = self.asked.remove(&tag) {
                    self.unanswered(about);
                }
            }
            Event::Woke => {
                self.present.clear();
                self.status().connected.clear();
            }
        }
    }

    /// Whose machine a peer is: as its hello said, for two cards could name the same machine, and only one of them has its key.
    fn office_of(&self, peer: &Peer) -> Option<OfficeId> {
        let present = self.present.iter().find(|(_, present)| *present == peer).map(|(office, _)| *office);
        present.or_else(|| self.directory.as_ref()?.by_peer(&peer.0, self.clock.now()).map(|(office, _)| *office))
    }

    fn lost(&mut self, peer: &Peer) {
        let Some(office) = self.office_of(peer) else { return };
        self.present.remove(&office);
        self.status().connected.remove(&office);
        let undeposited = self.hubs.get_mut(&office).map(|link| std::mem::take(&mut link.deposits)).unwrap_or_default();
        for (to, packet) in undeposited {
            self.deliver(to, Input::NotDeposited { packet });
        }
        self.deliver(office, Input::Unreachable);
    }

    fn hello(&self) -> Option<Hello> {
        let network = self.directory.as_ref()?.network();
        let now = self.clock.now();
        Some(Hello { version_min: VERSION, version_max: VERSION, network, office: self.profile.office, now })
    }

    /// Whether a hello is one we welcome, from the machine it came from.
    fn judge(&self, peer: &Peer, hello: &Hello) -> Result<OfficeId, Rejection> {
        let ours = self.hello().ok_or(Rejection::Unknown)?;
        if hello.network != ours.network {
            return Err(Rejection::Network);
        }
        let member = self.directory.as_ref().and_then(|directory| directory.member(&hello.office));
        if member.is_none_or(|member| member.keys.machine(&peer.0, self.clock.now().s()).is_none()) {
            return Err(Rejection::Unknown);
        }
        if hello.version_min > VERSION || hello.version_max < VERSION {
            return Err(Rejection::Version);
        }
        if hello.now.s().abs_diff(ours.now.s()) > CLOCK_SKEW_SECONDS_MAX {
            return Err(Rejection::Clock);
        }
        Ok(hello.office)
    }

    fn welcome(&mut self, peer: &Peer, office: OfficeId) {
        // Their clock agrees with ours.
        self.watch.confirm(self.clock.now());
        self.trace.seen.insert(office, self.clock.now());
        self.present.insert(office, peer.clone());
        {
            let mut status = self.status();
            status.connected.insert(office);
            status.problems.remove(&office);
        }
        self.deliver(office, Input::Alive);
        self.hub_is_back(office);
        self.use_hub(office);
        if let Some(link) = self.hubs.get_mut(&office) {
            link.next_poll = Timestamp::default();
        }
    }

    fn problem(&self, peer: &Peer, rejection: Rejection) {
        let Some(office) = self.office_of(peer) else { return };
        let name = self
            .directory
            .as_ref()
            .and_then(|directory| directory.member(&office))
            .map_or_else(String::new, |member| member.record.name.to_string());
        let sentence = match rejection {
            Rejection::Clock => format!(
                "The clock of this computer and that of {name} differ by more than a day; set the wrong one right, nothing is lost"
            ),
            Rejection::Version => format!("{name} runs another version of Casemesh; the older of the two must update"),
            Rejection::Network => format!("{name} belongs to another network; ask your steward for the current file"),
            _ => {
                format!("{name} does not know this office; ask your steward whether both have the current network file")
            }
        };
        self.status().problems.insert(office, sentence);
    }

    /// The answer to a question; none when the asker is cut off.
    fn answer(&mut self, peer: &Peer, channel: Channel, frame: &[u8]) -> Option<Vec<u8>> {
        if channel == Channel::Hello {
            let hello: Hello = wire::decode(frame).ok()?;
            return Some(wire::encode(&match self.judge(peer, &hello) {
                Ok(office) => {
                    let answer = HelloAnswer::Welcome(self.hello()?);
                    self.welcome(peer, office);
                    answer
                }
                Err(rejection) => {
                    self.problem(peer, rejection);
                    HelloAnswer::Reject(rejection)
                }
            }));
        }
        let from = self.greeted(peer);
        match channel {
            Channel::Blob => {
                let request: BlobRequest = wire::decode(frame).ok()?;
                Some(wire::encode(&self.serve_blob(from, request)))
            }
            _ => {
                let request: MailboxRequest = wire::decode(frame).ok()?;
                Some(wire::encode(&self.serve_mailbox(from, request)))
            }
        }
    }

    /// Who said hello from this machine.
    fn greeted(&self, peer: &Peer) -> Option<OfficeId> {
        self.office_of(peer).filter(|office| self.present.get(office) == Some(peer))
    }

    /// A member brings a packet: it is refused at once, or answered when it is on disk.
    fn take_packet(&mut self, peer: Peer, frame: &[u8], request: u64) {
        let Ok(PacketRequest::Put(packet)) = wire::decode(frame) else {
            return self.net.send(Command::Disconnect(peer));
        };
        let from = self.greeted(&peer);
        let refused = match from {
            Some(from) => self.refuses(&packet, Some(from)),
            None => Some(PacketAnswer::Rejected(Rejection::HelloFirst)),
        };
        if let Some(answer) = refused {
            return self.net.send(Command::Answer { request, frame: wire::encode(&answer) });
        }
        self.brought.extend(from.map(|from| (packet_hash(&packet), (from, packet.len() as u64))));
        self.arriving.push(Arriving { packet, by: from, then: Then::Answer(request) });
    }

    /// Why a packet is not kept for this office now, if it is not.
    fn refuses(&mut self, packet: &[u8], from: Option<OfficeId>) -> Option<PacketAnswer> {
        let is_full = self.spool.waiting_count() + self.arriving.len() >= IN_PACKETS_MAX
            || from.is_some_and(|from| self.has_filled(from, packet));
        // Nothing can be judged before our own prekeys are known.
        if is_full || self.prekeys.is_empty() {
            return Some(PacketAnswer::Defer { after_ms: DEFER_MS });
        }
        let is_meant = is_for_us(packet, &self.prekeys, self.clock.now());
        (!is_meant).then_some(PacketAnswer::Rejected(Rejection::Packet))
    }

    /// Whether one member has brought as much as one may while nobody opens it. What it brought before the last start is not known.
    fn has_filled(&mut self, from: OfficeId, packet: &[u8]) -> bool {
        let is_over = |brought: &HashMap<Digest, (OfficeId, u64)>| {
            let of_member = brought.values().filter(|(by, _)| *by == from);
            let (count, bytes) = of_member.fold((0, 0), |(count, all), (_, bytes)| (count + 1, all + bytes));
            count >= IN_PACKETS_OF_ONE_MAX || bytes + packet.len() as u64 > IN_BYTES_OF_ONE_MAX
        };
        if !is_over(&self.brought) {
            return false;
        }
        let arriving: BTreeSet<Digest> = self.arriving.iter().map(|one| packet_hash(&one.packet)).collect();
        self.brought.retain(|hash, _| self.spool.is_waiting(hash) || arriving.contains(hash));
        is_over(&self.brought)
    }

    /// Keeps what came in, all with one sync, and signs for it.
    fn keep_arriving(&mut self) {
        let arriving = std::mem::take(&mut self.arriving);
        if arriving.is_empty() {
            return;
        }
        let packets: Vec<(&[u8], Option<OfficeId>)> =
            arriving.iter().map(|one| (one.packet.as_slice(), one.by)).collect();
        let kept = self.spool.keep_in(&packets);
        if let Err(error) = &kept {
            tracing::error!(kind = %error.kind(), "packets could not be kept; who sent them keeps them");
        }
        for Arriving { packet, then, .. } in &arriving {
            let hash = packet_hash(packet);
            if kept.is_err() {
                self.brought.remove(&hash);
            } else {
                self.status().bytes_received += packet.len() as u64;
            }
            match then {
                Then::Answer(request) => {
                    let answer = match kept {
                        Ok(_) => PacketAnswer::Stored(self.sign_for(hash)),
                        Err(_) => PacketAnswer::Defer { after_ms: DEFER_MS },
                    };
                    self.net.send(Command::Answer { request: *request, frame: wire::encode(&answer) });
                }
                Then::Delete { hub } if kept.is_ok() => {
                    if let Some(peer) = self.present.get(hub).cloned() {
                        let frame = wire::encode(&MailboxRequest::Delete(self.sign_for(hash)));
                        self.ask(peer, Channel::Mailbox, frame, Asked::Told);
                    }
                }
                Then::Delete { .. } => {}
            }
        }
        if kept.is_ok() {
            (self.wake)();
        }
    }

    fn sign_for(&self, packet: Digest) -> Receipt {
        Receipt::sign(packet, self.profile.office, self.clock.now(), &self.profile.receipt_key)
    }

    fn serve_mailbox(&mut self, from: Option<OfficeId>, request: MailboxRequest) -> MailboxAnswer {
        let (Some(mailboxes), Some(directory)) = (&self.mailboxes, &self.directory) else {
            return MailboxAnswer::Rejected(Rejection::NotServed);
        };
        let Some(from) = from else { return MailboxAnswer::Rejected(Rejection::HelloFirst) };
        mailboxes.serve((from, self.profile.office), request, directory, self.clock.now()).unwrap_or_else(|error| {
            tracing::error!(kind = %error.kind(), "a mailbox could not be served");
            MailboxAnswer::Rejected(Rejection::Quota)
        })
    }

    fn answered(&mut self, about: Asked, frame: &[u8]) {
        match about {
            Asked::Hello(peer) => match wire::decode(frame) {
                Ok(HelloAnswer::Welcome(hello)) => match self.judge(&peer, &hello) {
                    Ok(office) => self.welcome(&peer, office),
                    Err(rejection) => self.not_welcome(&peer, rejection),
                },
                Ok(HelloAnswer::Reject(rejection)) => self.not_welcome(&peer, rejection),
                Err(_) => self.not_welcome(&peer, Rejection::Version),
            },
            Asked::Put { to, packet } => match wire::decode(frame) {
                Ok(PacketAnswer::Stored(receipt)) => self.arrived(to, packet, &receipt),
                Ok(PacketAnswer::Rejected(Rejection::HelloFirst)) | Err(_) => self.deliver(to, Input::Unreachable),
                Ok(PacketAnswer::Rejected(_)) => self.deliver(to, Input::Rejected { packet }),
                Ok(PacketAnswer::Defer { after_ms }) => {
                    let until = self.clock.now().plus_ms(after_ms);
                    self.deliver(to, Input::Deferred { packet, until });
                }
            },
            Asked::Deposit { to, packet } => {
                let kept = matches!(wire::decode(frame), Ok(MailboxAnswer::Done));
                self.deliver(to, if kept { Input::Deposited { packet } } else { Input::NotDeposited { packet } });
                self.use_hubs();
            }
            Asked::List { hub } => {
                if let Ok(MailboxAnswer::Listed(packets)) = wire::decode(frame) {
                    self.hubs.entry(hub).or_default().to_fetch = packets;
                    self.use_hub(hub);
                }
            }
            Asked::Fetch { hub } => {
                if let Ok(MailboxAnswer::Packet(packet)) = wire::decode(frame) {
                    self.fetched(hub, packet);
                }
                self.use_hubs();
            }
            Asked::Receipts { hub } => {
                if let Ok(MailboxAnswer::Receipts(receipts)) = wire::decode(frame) {
                    for receipt in receipts {
                        self.receipt_from_hub(hub, &receipt);
                    }
                }
            }
            Asked::Hold(packet) => self.was_held(packet, wire::decode(frame).ok()),
            Asked::Claim { hub, thread } => self.was_claimed((hub, thread), wire::decode(frame).ok()),
            Asked::Claims { hub } => {
                if let Ok(MailboxAnswer::Claims(claims)) = wire::decode(frame) {
                    self.take_claims(hub, claims);
                }
            }
            Asked::LetGo(thread) => {
                if matches!(wire::decode(frame), Ok(MailboxAnswer::Done | MailboxAnswer::Nothing)) {
                    self.was_let_go(thread);
                }
            }
            Asked::Piece(file) => self.piece_came(file, wire::decode(frame).ok()),
            Asked::Left(file) => self.piece_left(file, wire::decode(frame).ok()),
            Asked::Told => {}
        }
    }

    fn not_welcome(&mut self, peer: &Peer, rejection: Rejection) {
        self.problem(peer, rejection);
        if let Some(office) = self.office_of(peer) {
            self.deliver(office, Input::Unreachable);
        }
        self.net.send(Command::Disconnect(peer.clone()));
    }

    /// A packet from our mailbox: when it is on disk, the hub may forget it.
    fn fetched(&mut self, hub: OfficeId, packet: Vec<u8>) {
        // What is not for us or past its time is kept and signed for as well, so that the hub can let go of it; the office sets it
        // aside when it opens the spool.
        if !matches!(self.refuses(&packet, None), Some(PacketAnswer::Defer { .. })) {
            self.arriving.push(Arriving { packet, by: None, then: Then::Delete { hub } });
        }
    }

    fn receipt_from_hub(&mut self, hub: OfficeId, receipt: &Receipt) {
        let Some(packet) = receipt.unverified().map(|said| said.packet_hash) else { return };
        if let Some(row) = self.spool.out_row(&packet) {
            self.arrived(row.to, packet, receipt);
        }
        if let Some(peer) = self.present.get(&hub).cloned() {
            let frame = wire::encode(&MailboxRequest::ForgetReceipt(packet));
            self.ask(peer, Channel::Mailbox, frame, Asked::Told);
        }
    }

    /// A receipt settles a packet only if the recipient's certified key signed for these bytes.
    fn arrived(&mut self, to: OfficeId, packet: Digest, receipt: &Receipt) {
        let keys = self.directory.as_ref().and_then(|d| d.member(&to)).map(|m| m.receipt_keys()).unwrap_or_default();
        match receipt.verify(to, &keys) {
            Ok(stored) if stored.packet_hash == packet => {
                if self.log_failure(self.spool.note_fact(&packet, Fact::Arrived(stored.stored))) {
                    self.end_hold(&packet);
                    self.deliver(to, Input::Arrived { packet });
                    (self.wake)();
                }
            }
            _ => tracing::warn!(office = ?to, "a receipt does not hold; the packet is offered again"),
        }
    }

    fn unanswered(&mut self, about: Asked) {
        match about {
            Asked::Hello(peer) => self.lost(&peer),
            Asked::Put { to, .. } => self.deliver(to, Input::Unreachable),
            Asked::Deposit { to, packet } => {
                self.deliver(to, Input::NotDeposited { packet });
                self.use_hubs();
            }
            Asked::Fetch { .. } => self.use_hubs(),
            Asked::Piece(file) | Asked::Left(file) => self.carriage.rest(file, self.clock.now()),
            Asked::List { .. }
            | Asked::Receipts { .. }
            | Asked::Hold(_)
            | Asked::Claim { .. }
            | Asked::Claims { .. }
            | Asked::LetGo(_)
            | Asked::Told => {}
        }
    }

    fn tick(&mut self) {
        let now = self.clock.now();
        let due: Vec<OfficeId> = self
            .queues
            .iter()
            .filter(|(_, queue)| queue.wake_at(now.plus_ms(0)).is_some_and(|at| at <= now.plus_ms(1)))
            .map(|(office, _)| *office)
            .collect();
        for office in due {
            self.deliver(office, Input::Tick);
        }
        if self.next_sweep <= now && !self.watch.is_doubted() {
            self.next_sweep = now.plus_ms(SWEEP_MS);
            self.log_failure(self.spool.sweep_back(now));
            self.log_failure(self.carriage.blobs.sweep(now));
            if let Some(mailboxes) = &self.mailboxes {
                self.log_failure(mailboxes.sweep(now));
            }
        }
        self.ask_the_day(now);
        let greeted = self.to_greet.len().min(GREETED_A_TICK);
        for office in self.to_greet.drain(..greeted).collect::<Vec<_>>() {
            if !self.present.contains_key(&office) {
                self.dial(office);
            }
        }
        self.close_door(now);
        self.leave_trace(now);
        self.carry_files(now);
        self.see_to_holding(now);
        let poll_ms = self.poll_ms;
        let mut dial = Vec::new();
        let mut poll = Vec::new();
        for (hub, link) in &mut self.hubs {
            if self.present.contains_key(hub) {
                if link.next_poll <= now {
                    link.next_poll = now.plus_ms(poll_ms);
                    poll.push(*hub);
                }
            } else if link.next_dial <= now && self.directory.is_some() {
                link.next_dial = now.plus_ms(HUB_REDIAL_MS);
                dial.push(*hub);
            }
        }
        for hub in dial {
            self.dial(hub);
        }
        for hub in poll {
            if let Some(peer) = self.present.get(&hub).cloned() {
                // Elsewhere we have no mailbox: whatever lies there was left by whoever keeps it.
                if self.is_own_hub(&hub) {
                    let list = wire::encode(&MailboxRequest::List { after: None });
                    self.ask(peer.clone(), Channel::Mailbox, list, Asked::List { hub });
                }
                if self.has_left_at(&hub) {
                    let claims = wire::encode(&MailboxRequest::Claims);
                    self.ask(peer.clone(), Channel::Mailbox, claims, Asked::Claims { hub });
                }
                self.ask(peer, Channel::Mailbox, wire::encode(&MailboxRequest::Receipts), Asked::Receipts { hub });
            }
        }
    }
}
