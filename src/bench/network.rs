//! What goes over a line: packets a second, what is drained after an absence, a long file, a hub with many offices, a large directory.

use super::{Figure, Pair, Synced, figure};
use crate::cli::say;
use anyhow::{Context as _, Result};
use casemesh_crypto::envelope::{self, Draft, PacketId, ThreadId, Urgency, packet_hash};
use casemesh_crypto::hash::Digest;
use casemesh_crypto::keylog::{Genesis, OfficeKeys, Step};
use casemesh_crypto::prekey::PrekeySecret;
use casemesh_crypto::random::os_rng;
use casemesh_crypto::secret::Secret;
use casemesh_crypto::sign::{Context, SigningKey};
use casemesh_crypto::wire;
use casemesh_node::blobs::BlobRow;
use casemesh_node::clock::Clock;
use casemesh_node::net::{self, Channel, Command, Event, Net, Peer};
use casemesh_node::node::{self, Node, read_config, write_config};
use casemesh_node::spool::OutRow;
use casemesh_protocol::bounded::List;
use casemesh_protocol::directory::{
    Card, Directory, OfficeKind, OfficeRecord, PublishedPrekey, Role, prekey_list_hash,
};
use casemesh_protocol::frame::{Hello, HelloAnswer, VERSION};
use casemesh_protocol::id::OfficeId;
use casemesh_protocol::terms::Line;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

const PACKETS: usize = 1_000;
const FILE_BYTES: usize = 50 * 1024 * 1024;
const OFFICES_AT_HUB: usize = 1_000;
const OFFICES_IN_DIRECTORY: usize = 10_000;
/// Looking costs, too: the spool reads what is under way from the disk.
const LOOK: Duration = Duration::from_millis(20);
const PATIENCE: Duration = Duration::from_secs(120);

fn until(what: &str, holds: impl Fn() -> bool) -> Result<f64> {
    let start = Instant::now();
    while !holds() {
        anyhow::ensure!(start.elapsed() < PATIENCE, "waited in vain: {what}");
        std::thread::sleep(LOOK);
    }
    Ok(start.elapsed().as_secs_f64())
}

/// Sealed packets of 2 KB from one office to another.
fn sealed(from: &Node, to: &Node, count: usize) -> Result<Vec<(OutRow, Vec<u8>)>> {
    let now = Clock::system().now();
    let (sender, recipient) = (from.relay_office(), to.relay_office());
    let directory = from.directory().context("no network")?;
    let prekey = directory.member(&recipient).and_then(|member| member.prekey(now)).context("no prekey")?;
    // Who signed is seen when a packet is opened; these are stored and signed for.
    let (key, body) = (SigningKey::random(&mut os_rng()), vec![0x5a; super::BODY_BYTES]);
    let make = |_| {
        let draft = Draft {
            kind: 3,
            packet_id: PacketId::random(&mut os_rng()),
            urgency: Urgency::Routine,
            from: sender,
            from_log_head: Digest::ZERO,
            to: vec![(recipient, prekey.prekey.clone())],
            created_s: now.s(),
            expires_h: now.h() + 24,
            thread: ThreadId::new([3; 16]),
            previous: Digest::ZERO,
            consent: Digest::ZERO,
            purpose: 0,
            body: &body,
            attachments: vec![],
        };
        let packet = envelope::seal(&draft, &key, &mut os_rng())?;
        let row =
            OutRow { packet: packet_hash(&packet), to: recipient, expires: now.plus_days(1), queued: now, hold: None };
        Ok((row, packet))
    };
    (0..count).map(make).collect()
}

fn hand_over(node: &Node, packets: Vec<(OutRow, Vec<u8>)>) -> Result<()> {
    packets.into_iter().try_for_each(|(row, packet)| Ok(node.relay().hand_over(row, packet)?))
}

fn under_way(node: &Node) -> usize {
    node.relay().spool().under_way().map_or(usize::MAX, |rows| rows.len())
}

/// The offices are locked: packets are stored and signed for, and opened by nobody.
fn packets(folder: &Path, pair: &Pair) -> Result<Vec<Figure>> {
    let (a, b) = (&pair.a, &pair.b);
    a.lock();
    b.lock();
    let mut file = Synced::new(folder)?;
    let start = Instant::now();
    (0..PACKETS).try_for_each(|_| file.append())?;
    let syncs = PACKETS as f64 / start.elapsed().as_secs_f64();
    until("the line stands", || a.relay().status().connected.contains(&b.relay_office()))?;
    let baseline = "append 1 KiB + fdatasync, one after another (a second)";
    let there = sealed(a, b, PACKETS)?;
    let start = Instant::now();
    hand_over(a, there)?;
    until("all are signed for", || under_way(a) == 0)?;
    let one_way = PACKETS as f64 / start.elapsed().as_secs_f64();
    let (there, back) = (sealed(a, b, PACKETS)?, sealed(b, a, PACKETS)?);
    let start = Instant::now();
    std::thread::scope(|scope| {
        let other = scope.spawn(|| hand_over(b, back));
        hand_over(a, there)?;
        other.join().map_err(|_| anyhow::anyhow!("a thread ended early"))?
    })?;
    until("all are signed for", || under_way(a) == 0 && under_way(b) == 0)?;
    let both_ways = 2.0 * PACKETS as f64 / start.elapsed().as_secs_f64();
    Ok(vec![
        figure("packets one way, durable and receipted (a second)", one_way, baseline, syncs, "budget 1,000".into()),
        figure("packets both ways at once (a second)", both_ways, baseline, syncs, String::new()),
    ])
}

/// The other office was away; how long after its return until all is there.
fn backlog(folder: &Path, pair: Pair) -> Result<(Figure, Node, Node)> {
    let waiting = sealed(&pair.a, &pair.b, PACKETS)?;
    let Pair { a, b, b_office, other, .. } = pair;
    b.stop();
    // The folder is let go with the last who holds the node.
    drop((b, other));
    until("the line is gone", || !a.relay().status().connected.contains(&b_office))?;
    hand_over(&a, waiting)?;
    std::thread::sleep(Duration::from_secs(30));
    let start = Instant::now();
    let b = Node::start(&folder.join("b"), Clock::system())?;
    let ready = start.elapsed().as_secs_f64();
    until("all is there", || under_way(&a) == 0)?;
    let drained = start.elapsed().as_secs_f64();
    let what = "1,000 packets, other office back after 30 s (s)";
    let note = "from its start to the last receipt; budget 2 s after it is there".into();
    Ok((figure(what, drained, "start of its node (s)", ready, note), a, b))
}

/// A long document, fetched piece by piece.
fn long_file(a: &Node, b: &Node) -> Result<Figure> {
    let sealed: Vec<u8> =
        (0..FILE_BYTES as u64).map(|n| (n.wrapping_mul(2_654_435_761) >> 9).to_le_bytes()[0]).collect();
    let (now, bytes) = (Clock::system().now(), FILE_BYTES as u64);
    until("the line stands", || a.relay().status().connected.contains(&b.relay_office()))?;
    let blobs = a.relay().blobs();
    let file = blobs.keep(&sealed)?;
    let row = |office: OfficeId| BlobRow { file, office, bytes, expires: now.plus_days(1), since: now };
    blobs.offer(row(b.relay_office()))?;
    let start = Instant::now();
    b.relay().blobs().want(row(a.relay_office()))?;
    until("the file is there", || b.relay().blobs().document(&file).exists())?;
    let fetched = start.elapsed().as_secs_f64();
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0))?;
    let mut client = TcpStream::connect(listener.local_addr()?)?;
    let (mut server, _) = listener.accept()?;
    let start = Instant::now();
    let reader = std::thread::spawn(move || {
        let mut all = Vec::new();
        server.read_to_end(&mut all).map(|_| all.len())
    });
    client.write_all(&sealed)?;
    drop(client);
    let _length = reader.join().map_err(|_| anyhow::anyhow!("a thread ended early"))??;
    let raw = start.elapsed().as_secs_f64();
    let note = format!("{:.0} MiB/s, on the disk and its hash checked", 50.0 / fetched);
    Ok(figure("50 MiB document (s)", fetched, "50 MiB over raw TCP on loopback (s)", raw, note))
}

/// An office that exists only as a card and a machine key.
struct Phantom {
    office: OfficeId,
    seed: Secret,
    card: Vec<u8>,
}

fn phantom(number: usize, prekey: &PrekeySecret) -> Result<Phantom> {
    let (rng, now) = (&mut os_rng(), Clock::system().now());
    let [root, next, node] = [(); 3].map(|()| SigningKey::random(rng));
    let (name, seed) = (format!("Office {number}"), Secret::random(rng));
    let genesis = Genesis::new(root.verifying_key(), next.verifying_key(), &name, now.s());
    let own = PublishedPrekey { from: now, until: now.plus_days(14), prekey: prekey.public().clone() };
    let prekeys = List::new(vec![own])?;
    let (mut keys, mut log) = (OfficeKeys::genesis(&genesis), Vec::new());
    let until_s = now.plus_days(365).s();
    let peer = net::peer_of(&seed)?.0;
    for (step, key) in [
        (Step::Delegate { key: node.verifying_key(), from_s: now.s(), until_s }, &root),
        (Step::CertifyMachine { peer, receipt_key: node.verifying_key(), until_s }, &node),
        (Step::PublishPrekeys { list: prekey_list_hash(&prekeys) }, &node),
    ] {
        let signed = keys.write(step, now.s(), key);
        keys = keys.step(&signed)?;
        log.push(signed);
    }
    let roles = List::new(vec![Role::Office])?;
    let record = OfficeRecord::new(genesis.office(), Line::new(name)?, OfficeKind::Shelter, roles, now);
    let office = genesis.office();
    Ok(Phantom { office, seed, card: wire::encode(&Card::write(genesis, log, &record, prekeys, &node)) })
}

/// How long it takes until a network of that size is known.
fn directory() -> Result<Figure> {
    let prekey = PrekeySecret::random(&mut os_rng());
    let cards: Vec<Vec<u8>> =
        (0..OFFICES_IN_DIRECTORY).map(|number| Ok(phantom(number, &prekey)?.card)).collect::<Result<_>>()?;
    let steward = SigningKey::random(&mut os_rng());
    let file = node::sign_network("bench", &cards, None, &steward, Clock::system().now())?;
    let start = Instant::now();
    let directory = Directory::read(&file, None)?;
    let loaded = start.elapsed().as_secs_f64();
    let members = directory.members().count();
    // Five signatures an office: three of its key log, its record, its admission.
    let signature = steward.sign(Context::Admission, b"bench");
    let start = Instant::now();
    for _ in 0..5 * OFFICES_IN_DIRECTORY {
        steward.verifying_key().verify(Context::Admission, b"bench", &signature)?;
    }
    let bare = start.elapsed().as_secs_f64();
    let note = format!("{members} offices, {} MB of file, one prekey each", file.len() / 1_000_000);
    Ok(figure("directory of 10,000 offices loaded (s)", loaded, "checking as many signatures (s)", bare, note))
}

/// A hub in a process of its own.
struct Hub(Child);

impl Hub {
    fn start(folder: &Path) -> Result<Self> {
        let mut command = std::process::Command::new(std::env::current_exe()?);
        command.args(["serve", "--folder"]).arg(folder).stdout(Stdio::null()).stderr(Stdio::null());
        Ok(Self(command.spawn()?))
    }

    /// Resident memory in MB, and CPU time in seconds.
    fn costs(&self) -> Result<(f64, f64)> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.0.id()))?;
        let kib: f64 = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))
            .and_then(|rest| rest.trim().trim_end_matches(" kB").parse().ok())
            .context("no VmRSS")?;
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.0.id()))?;
        let after_name = stat.rsplit_once(')').context("no stat")?.1;
        let ticks: f64 =
            after_name.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<f64>().ok()).sum();
        Ok((kib / 1024.0, ticks / 100.0))
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ended = self.0.kill();
        let _waited = self.0.wait();
    }
}

/// Offices that do nothing but hold their line to the hub.
fn hold_lines(
    phantoms: &[Phantom],
    hub: &Peer,
    address: &str,
    network: Digest,
    welcome: &Arc<AtomicUsize>,
) -> Result<Vec<Net>> {
    phantoms
        .iter()
        .map(|one| {
            let (events, seen) = std::sync::mpsc::sync_channel(64);
            let net = Net::start(&one.seed, &[], Box::new(move |event| events.try_send(event).is_ok()))?;
            net.send(Command::Allow(vec![hub.clone()]));
            let (line, hub, address, welcome) = (net.clone(), hub.clone(), address.to_owned(), Arc::clone(welcome));
            let office = one.office;
            std::thread::Builder::new().stack_size(128 * 1024).spawn(move || {
                let dial = || line.send(Command::Dial { peer: hub.clone(), addresses: vec![address.clone()] });
                dial();
                while let Ok(event) = seen.recv() {
                    match event {
                        Event::Connected(peer) => {
                            let now = Clock::system().now();
                            let hello = Hello { version_min: VERSION, version_max: VERSION, network, office, now };
                            line.send(Command::Ask {
                                peer,
                                channel: Channel::Hello,
                                frame: wire::encode(&hello),
                                tag: 1,
                            });
                        }
                        Event::Asked { request, .. } => {
                            let now = Clock::system().now();
                            let hello = Hello { version_min: VERSION, version_max: VERSION, network, office, now };
                            let frame = wire::encode(&HelloAnswer::Welcome(hello));
                            line.send(Command::Answer { request, frame });
                        }
                        Event::Answered { frame, .. }
                            if matches!(wire::decode(&frame), Ok(HelloAnswer::Welcome(_))) =>
                        {
                            welcome.fetch_add(1, Ordering::Relaxed);
                        }
                        Event::Unreachable(_) => {
                            std::thread::sleep(Duration::from_millis(500));
                            dial();
                        }
                        _ => {}
                    }
                }
            })?;
            Ok(net)
        })
        .collect()
}

/// What a hub costs with many offices on the line, and how long until all are back after it was restarted.
fn hub(folder: &Path, password: &str) -> Result<Vec<Figure>> {
    let home = folder.join("hub");
    let new = super::plan("hub", Role::Hub, password)?;
    let printed = node::init(&home, &new, &Clock::system())?;
    let mut config = read_config(&home)?;
    config.web = "127.0.0.1:0".into();
    write_config(&home, &config)?;
    let prekey = PrekeySecret::random(&mut os_rng());
    let limit = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let files = limit.lines().find(|line| line.starts_with("Max open files"));
    let files: usize = files.and_then(|line| line.split_whitespace().nth(3)?.parse().ok()).unwrap_or(1_024);
    let count = OFFICES_AT_HUB.min(files.saturating_sub(200) / 3);
    let phantoms: Vec<Phantom> = (0..count).map(|number| phantom(number, &prekey)).collect::<Result<_>>()?;
    let mut cards: Vec<Vec<u8>> = phantoms.iter().map(|one| one.card.clone()).collect();
    cards.push(node::read_card(&home)?);
    let steward = SigningKey::random(&mut os_rng());
    let network = node::sign_network("bench", &cards, None, &steward, Clock::system().now())?;
    std::fs::write(home.join("network.cbor"), &network)?;
    let directory = Directory::read(&network, None)?;
    let member = directory.member(&printed.office).context("no hub")?;
    let machine = Peer(member.keys.machines().first().context("no machine")?.peer.clone());
    let address = config.listen.first().context("no address")?.clone();
    let running = Hub::start(&home)?;
    std::thread::sleep(Duration::from_secs(2));
    let (empty, _) = running.costs()?;
    let welcome = Arc::new(AtomicUsize::new(0));
    let lines = hold_lines(&phantoms, &machine, &address, directory.network(), &welcome)?;
    let connected = until("all are on the line", || welcome.load(Ordering::Relaxed) >= count)?;
    std::thread::sleep(Duration::from_secs(2));
    let (_, before) = running.costs()?;
    std::thread::sleep(Duration::from_secs(10));
    let (full, after) = running.costs()?;
    drop(running);
    welcome.store(0, Ordering::Relaxed);
    let start = Instant::now();
    let running = Hub::start(&home)?;
    until("all are back", || welcome.load(Ordering::Relaxed) >= count)?;
    let storm = start.elapsed().as_secs_f64();
    drop((running, lines));
    let named = format!("{count} offices");
    Ok(vec![
        figure(
            "hub, resident with all on the line (MB)",
            full,
            "the same hub, nobody on the line (MB)",
            empty,
            format!("{named}; budget 100 MB"),
        ),
        figure("hub, idle CPU (% of one core)", (after - before) * 10.0, "budget (%)", 1.0, named.clone()),
        figure("reconnect storm after a restart (s)", storm, "first connect, one after another (s)", connected, named),
    ])
}

/// Runs what goes over a line.
pub(super) fn run(folder: &Path, pair: Pair) -> Result<Vec<Figure>> {
    let mut figures = packets(folder, &pair)?;
    let password = pair.password.clone();
    let (drained, a, b) = backlog(folder, pair)?;
    figures.push(drained);
    figures.push(long_file(&a, &b)?);
    a.stop();
    b.stop();
    figures.push(directory()?);
    match hub(folder, &password) {
        Ok(rows) => figures.extend(rows),
        Err(error) => say(format_args!("hub: not measured: {error:#}")),
    }
    Ok(figures)
}
