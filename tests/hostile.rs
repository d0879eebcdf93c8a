//! A member whose node says what ours never would. Each thing it tries costs it an error and us nothing; what
//! comes after it still works.

use crate::harness::{TestNode, eventually, network, new_node};
use casemesh_crypto::envelope::{self, Draft, Header, PacketId, ThreadId, Urgency};
use casemesh_crypto::hash::Digest;
use casemesh_crypto::prekey::{Prekey, PrekeySecret};
use casemesh_crypto::random::os_rng;
use casemesh_crypto::secret::Secret;
use casemesh_crypto::sign::SigningKey;
use casemesh_crypto::wire;
use casemesh_node::clock::Clock;
use casemesh_node::keys::RelayProfile;
use casemesh_node::net::{Channel, Command, Event, Net, Peer};
use casemesh_protocol::directory::{Directory, OfficeKind, Role};
use casemesh_protocol::frame::{Hello, HelloAnswer, MailboxRequest, PacketAnswer, PacketRequest, Rejection, VERSION};
use casemesh_protocol::id::OfficeId;
use casemesh_protocol::time::Timestamp;
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Duration;

struct Attacker {
    net: Net,
    events: Receiver<Event>,
    victim: Peer,
    address: String,
}

impl Attacker {
    fn new(seed: &Secret, victim: &TestNode, network: &[u8]) -> Self {
        let directory = Directory::read(network, None).unwrap();
        let member = directory.member(&victim.office).unwrap();
        let (sender, events) = sync_channel(1024);
        let net =
            Net::start(seed, &["/ip4/127.0.0.1/tcp/0".into()], Box::new(move |event| sender.try_send(event).is_ok()))
                .unwrap();
        let victim = Peer(member.keys.machines()[0].peer.clone());
        net.send(Command::Allow(vec![victim.clone()]));
        let address = member.record.addresses.as_slice()[0].to_string();
        Self { net, events, victim, address }
    }

    fn connect(&self) -> bool {
        self.net.send(Command::Dial { peer: self.victim.clone(), addresses: vec![self.address.clone()] });
        loop {
            match self.events.recv_timeout(Duration::from_secs(10)).unwrap() {
                Event::Connected(_) => return true,
                Event::Unreachable(_) => return false,
                _ => {}
            }
        }
    }

    /// The answer to a frame; none when there is none.
    fn ask(&self, channel: Channel, frame: Vec<u8>) -> Option<Vec<u8>> {
        self.net.send(Command::Ask { peer: self.victim.clone(), channel, frame, tag: 7 });
        loop {
            match self.events.recv_timeout(Duration::from_secs(40)).unwrap() {
                Event::Answered { tag: 7, frame } => return Some(frame),
                Event::Unanswered { tag: 7 } => return None,
                _ => {}
            }
        }
    }

    fn put(&self, packet: Vec<u8>) -> PacketAnswer {
        let answer = self.ask(Channel::Packet, wire::encode(&PacketRequest::Put(packet))).unwrap();
        wire::decode(&answer).unwrap()
    }
}

fn hello(network: &[u8], office: OfficeId, now: Timestamp) -> Vec<u8> {
    let network = Directory::read(network, None).unwrap().network();
    wire::encode(&Hello { version_min: VERSION, version_max: VERSION, network, office, now })
}

/// A packet of a kind that says nothing, from whom it says.
fn drafted(from: OfficeId, to: (OfficeId, Prekey), now: Timestamp, body: &[u8]) -> Draft<'_> {
    Draft {
        kind: 3,
        packet_id: PacketId::random(&mut os_rng()),
        urgency: Urgency::Emergency,
        from,
        from_log_head: Digest::ZERO,
        to: vec![to],
        created_s: now.s(),
        expires_h: now.h() + 24,
        thread: ThreadId::new([1; 16]),
        previous: Digest::ZERO,
        consent: Digest::ZERO,
        purpose: 0,
        body,
        attachments: vec![],
    }
}

#[test]
fn a_misbehaving_member_gets_errors_and_costs_nothing() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _guard = runtime.enter();
    let mallory = TestNode::new(&new_node("Mallory", OfficeKind::Ngo, vec![Role::Office], vec![]));
    let mut shelter = TestNode::new(&new_node("Shelter", OfficeKind::Shelter, vec![Role::Office], vec![]));
    let network = network(&[&mallory, &shelter]);
    shelter.start();
    shelter.node().join(&network).unwrap();
    let desk = shelter.desk("worker");
    let directory = Directory::read(&network, None).unwrap();
    let prekey = directory.member(&shelter.office).unwrap().prekey(Clock::system().now()).unwrap().prekey.clone();
    let seed = RelayProfile::read(mallory.folder.path()).unwrap().peer_seed;
    let mallory_net = Attacker::new(&seed, &shelter, &network);
    // The relay takes the directory in a moment.
    eventually("the shelter lets a member in", || (mallory_net.connect()).then_some(()));
    let now = Clock::system().now();

    // Before the hello nothing is taken.
    let early = mallory_net.put(vec![1, 2, 3]);
    assert_eq!(early, PacketAnswer::Rejected(Rejection::HelloFirst));
    // A hello in another's name, another network, with a wrong clock.
    for (frame, why) in [
        (hello(&network, shelter.office, now), Rejection::Unknown),
        (hello(&network, mallory.office, now.plus_days(400)), Rejection::Clock),
    ] {
        let answer = mallory_net.ask(Channel::Hello, frame).unwrap();
        assert_eq!(wire::decode(&answer), Ok(HelloAnswer::Reject(why)));
    }
    let answer = mallory_net.ask(Channel::Hello, hello(&network, mallory.office, now)).unwrap();
    assert!(matches!(wire::decode(&answer), Ok(HelloAnswer::Welcome(_))));

    let mut draft = drafted(mallory.office, (shelter.office, prekey.clone()), now, b"no event at all");
    // Rejected at once: garbage, another's packet, one past its time, an unknown version.
    let stranger_prekey = PrekeySecret::random(&mut os_rng());
    let forger = SigningKey::random(&mut os_rng());
    let to_nobody = Draft { to: vec![(shelter.office, stranger_prekey.public().clone())], ..draft.clone() };
    let past = Draft { expires_h: now.h() - 1, ..draft.clone() };
    let mut unknown_version = envelope::seal(&draft, &forger, &mut os_rng()).unwrap();
    unknown_version[5] = 2;
    for packet in [
        vec![],
        vec![0xff; 200_000],
        envelope::seal(&to_nobody, &forger, &mut os_rng()).unwrap(),
        envelope::seal(&past, &forger, &mut os_rng()).unwrap(),
        unknown_version,
    ] {
        assert_eq!(mallory_net.put(packet), PacketAnswer::Rejected(Rejection::Packet));
    }
    // Kept and signed for; by an unknown key, sent twice: it waits until its time is over, for offices change keys. Of many made up
    // by a forger, all but some are set aside.
    let forged = envelope::seal(&draft, &forger, &mut os_rng()).unwrap();
    assert!(Header::read(&forged).is_ok());
    for _ in 0..2 {
        assert!(matches!(mallory_net.put(forged.clone()), PacketAnswer::Stored(_)));
    }
    let spool = shelter.node().relay().spool();
    assert_eq!((spool.waiting_count(), spool.set_aside_count()), (1, 0));
    for number in 1..70u8 {
        draft.packet_id = PacketId::new([number; 16]);
        let packet = envelope::seal(&draft, &forger, &mut os_rng()).unwrap();
        assert!(matches!(mallory_net.put(packet), PacketAnswer::Stored(_)));
    }
    eventually("most of the forged packets are set aside", || {
        (spool.set_aside_count() == 54 && spool.waiting_count() == 16).then_some(())
    });
    // Frames that are none end the connection; frames too long are not even read.
    assert!(mallory_net.ask(Channel::Packet, vec![0xa0; 10]).is_none());
    eventually("it can connect again", || mallory_net.connect().then_some(()));
    assert!(
        mallory_net.ask(Channel::Mailbox, wire::encode(&MailboxRequest::List { after: None })).is_some(),
        "no hub: refused"
    );
    assert!(mallory_net.ask(Channel::Hello, vec![0; 9_000]).is_none());

    // Nothing of it is on anybody's screen, and the next good packet is taken.
    assert!(desk.referrals(false).unwrap().is_empty());
    draft.packet_id = PacketId::random(&mut os_rng());
    eventually("it can connect", || mallory_net.connect().then_some(()));
    mallory_net.ask(Channel::Hello, hello(&network, mallory.office, now)).unwrap();
    let good = envelope::seal(&draft, &forger, &mut os_rng()).unwrap();
    assert!(matches!(mallory_net.put(good), PacketAnswer::Stored(_)));

    // A stranger does not even get to say hello.
    let stranger = Attacker::new(&Secret::random(&mut os_rng()), &shelter, &network);
    let _connected_for_a_moment = stranger.connect();
    assert!(stranger.ask(Channel::Hello, hello(&network, mallory.office, now)).is_none());
}

#[test]
fn an_old_and_a_new_node_live_beside_each_other() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _guard = runtime.enter();
    let newer = TestNode::new(&new_node("Newer office", OfficeKind::Ngo, vec![Role::Office], vec![]));
    let mut shelter = TestNode::new(&new_node("Shelter", OfficeKind::Shelter, vec![Role::Office], vec![]));
    let network = network(&[&newer, &shelter]);
    shelter.start();
    shelter.node().join(&network).unwrap();
    let desk = shelter.desk("worker");
    let seed = RelayProfile::read(newer.folder.path()).unwrap().peer_seed;
    let (now, ours) = (Clock::system().now(), Directory::read(&network, None).unwrap().network());
    let line = Attacker::new(&seed, &shelter, &network);
    eventually("the line stands", || line.connect().then_some(()));
    let says = |version_min, version_max| {
        let hello = Hello { version_min, version_max, network: ours, office: newer.office, now };
        wire::decode::<HelloAnswer>(&line.ask(Channel::Hello, wire::encode(&hello)).unwrap()).unwrap()
    };
    // One that speaks only what we do not know is told so, and a person here is.
    assert_eq!(says(VERSION + 1, VERSION + 1), HelloAnswer::Reject(Rejection::Version));
    let problem =
        eventually("somebody is told", || shelter.node().relay().status().problems.get(&newer.office).cloned());
    assert!(problem.contains("Newer office runs another version"), "{problem}");
    // One that knows more and speaks ours too is welcome.
    assert!(matches!(says(VERSION, VERSION + 3), HelloAnswer::Welcome(_)));
    // What only a newer program can read waits for it, is signed for, and holds nothing up.
    let file = std::fs::read(newer.folder.path().join("keys.cbor")).unwrap();
    let keys: casemesh_node::keys::KeyFile = wire::decode(&file).unwrap();
    let (_, keys) = keys.open("worker", crate::harness::PASSWORD).unwrap();
    let directory = Directory::read(&network, None).unwrap();
    let prekey = directory.member(&shelter.office).unwrap().prekey(now).unwrap().prekey.clone();
    let draft = Draft { kind: 99, ..drafted(newer.office, (shelter.office, prekey), now, b"of a later year") };
    let packet = envelope::seal(&draft, &keys.node_key, &mut os_rng()).unwrap();
    assert!(matches!(line.put(packet), PacketAnswer::Stored(_)));
    eventually("it waits", || Some(()).filter(|()| desk.network().unwrap().newer == 1));
    assert_eq!(desk.network().unwrap().set_aside, 0, "it is nobody's fault");
    let said = casemesh_node::doctor::examine(shelter.folder.path(), &Clock::system()).unwrap();
    assert!(said.iter().any(|one| one.text.contains("newer version of Casemesh")), "{said:?}");
    // The next start looks again: it can be that of the newer program.
    drop(desk);
    shelter.stop();
    shelter.start();
    let spool = shelter.node().relay().spool();
    assert_eq!((spool.newer_count(), spool.waiting_in().len()), (0, 1));
    let desk = shelter.desk("worker");
    eventually("it still waits", || Some(()).filter(|()| desk.network().unwrap().newer == 1));
}

/// What a flood by one member may cost, in KiB of resident memory and in milliseconds that a page takes.
const FLOOD_KIB_MAX: u64 = 64 * 1024;
const PAGE_MS_MAX: u128 = 500;

#[test]
fn a_flood_by_one_member_costs_little_memory_and_slows_no_page() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _guard = runtime.enter();
    let mallory = TestNode::new(&new_node("Mallory", OfficeKind::Ngo, vec![Role::Office], vec![]));
    let shelter = TestNode::new(&new_node("Shelter", OfficeKind::Shelter, vec![Role::Office], vec![]));
    let network = network(&[&mallory, &shelter]);
    std::fs::write(shelter.folder.path().join("network.cbor"), &network).unwrap();
    struct Running(std::process::Child);
    impl Drop for Running {
        fn drop(&mut self) {
            self.0.kill().unwrap();
            self.0.wait().unwrap();
        }
    }
    let serve = std::process::Command::new(env!("CARGO_BIN_EXE_casemesh"))
        .args(["serve", "--folder"])
        .arg(shelter.to_serve())
        .stdout(std::process::Stdio::null())
        .spawn();
    let running = Running(serve.unwrap());
    let pages = eventually("its pages are there", || casemesh_node::node::pages_of(shelter.folder.path()));
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let ask = |path: &str| {
        let start = std::time::Instant::now();
        let answer = runtime.block_on(http.get(format!("http://{pages}{path}")).send()).unwrap();
        assert!(answer.status().is_success());
        start.elapsed().as_millis()
    };
    // Somebody works there: the office is open, and packets are opened as they come.
    let sign_in = serde_json::json!({ "name": "worker", "password": crate::harness::PASSWORD });
    let request = http.post(format!("http://{pages}/api/v1/sign-in")).json(&sign_in).send();
    assert!(runtime.block_on(request).unwrap().status().is_success());
    let resident = || -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", running.0.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    };
    ask("/sign-in");
    let before = resident();
    let seed = RelayProfile::read(mallory.folder.path()).unwrap().peer_seed;
    let (now, directory) = (Clock::system().now(), Directory::read(&network, None).unwrap());
    let prekey = directory.member(&shelter.office).unwrap().prekey(now).unwrap().prekey.clone();
    let line = Attacker::new(&seed, &shelter, &network);
    eventually("the line stands", || line.connect().then_some(()));
    line.ask(Channel::Hello, hello(&network, mallory.office, now)).unwrap();
    let forger = SigningKey::random(&mut os_rng());
    let body = vec![0x5a; 220_000];
    let (mut largest, mut times, mut put) = (before, Vec::new(), 0);
    let end = std::time::Instant::now() + Duration::from_secs(6);
    while std::time::Instant::now() < end {
        // The longest packets there are, each another, as many at a time as a line carries.
        for tag in 0..12 {
            let draft = drafted(mallory.office, (shelter.office, prekey.clone()), now, &body);
            let packet = envelope::seal(&draft, &forger, &mut os_rng()).unwrap();
            let frame = wire::encode(&PacketRequest::Put(packet));
            line.net.send(Command::Ask { peer: line.victim.clone(), channel: Channel::Packet, frame, tag });
        }
        for _ in 0..12 {
            if matches!(line.events.recv_timeout(Duration::from_secs(20)), Ok(Event::Answered { .. })) {
                put += 1;
            }
        }
        times.push(ask("/sign-in"));
        largest = largest.max(resident());
    }
    times.sort_unstable();
    assert!(put > 50, "the flood was none: {put}");
    assert!(largest < before + FLOOD_KIB_MAX, "{before} KiB before, {largest} KiB at most, {put} packets");
    assert!(times.last().unwrap() < &PAGE_MS_MAX, "a page took {times:?} ms");
    let held: u64 = ["in", "aside"]
        .iter()
        .filter_map(|part| std::fs::read_dir(shelter.folder.path().join("spool").join(part)).ok())
        .flat_map(|files| files.flatten().filter_map(|file| Some(file.metadata().ok()?.len())))
        .sum();
    assert!(held < 2 * FLOOD_KIB_MAX * 1024, "{held} bytes lie on the disk");
}
