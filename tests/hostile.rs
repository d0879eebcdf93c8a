//! A member whose node says what ours never would. Each thing it tries costs it an error and us nothing; what
//! comes after it still works.

use crate::harness::{TestNode, eventually, network, new_node};
use casemesh_crypto::envelope::{self, Draft, Header, PacketId, ThreadId, Urgency};
use casemesh_crypto::hash::Digest;
use casemesh_crypto::prekey::PrekeySecret;
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

    let mut draft = Draft {
        kind: 3,
        packet_id: PacketId::random(&mut os_rng()),
        urgency: Urgency::Emergency,
        from: mallory.office,
        from_log_head: Digest::ZERO,
        to: vec![(shelter.office, prekey.clone())],
        created_s: now.s(),
        expires_h: now.h() + 24,
        thread: ThreadId::new([1; 16]),
        previous: Digest::ZERO,
        consent: Digest::ZERO,
        purpose: 0,
        body: b"no event at all",
        attachments: vec![],
    };
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
    // Kept, signed for, and set aside when opened: forged by an unknown key, and sent twice.
    let forged = envelope::seal(&draft, &forger, &mut os_rng()).unwrap();
    assert!(Header::read(&forged).is_ok());
    for _ in 0..2 {
        assert!(matches!(mallory_net.put(forged.clone()), PacketAnswer::Stored(_)));
    }
    let spool = shelter.node().relay().spool();
    eventually("the forged packet is set aside", || {
        (spool.set_aside_count() == 1 && spool.waiting_in().unwrap().is_empty()).then_some(())
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
