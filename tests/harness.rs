//! Nodes on loopback: real folders, real sockets, ports chosen beforehand, for they stand in cards.

use casemesh_crypto::passphrase::Cost;
use casemesh_crypto::random::os_rng;
use casemesh_crypto::share::Split;
use casemesh_crypto::sign::SigningKey;
use casemesh_node::clock::Clock;
use casemesh_node::node::{self, Config, FirstStaff, Knock, NewNode, Node};
use casemesh_node::office::{ClosureInput, DecisionInput, Desk, StaffInput, StandingInput};
use casemesh_node::records::{CaseState, StaffRole};
use casemesh_protocol::directory::{OfficeKind, Role};
use casemesh_protocol::id::{OfficeId, StaffId};
use std::net::TcpListener;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

pub(crate) const PASSWORD: &str = "paper boats on a river";
/// The password that an account begins with, and that its owner changes.
pub(crate) const FIRST_PASSWORD: &str = "a lantern on the way home";

/// Where ports of tests begin and end: below those that systems give to connections, so that none of another test takes one while its
/// node is not running. A port that is held instead is also held by each process that starts meanwhile.
const PORTS: std::ops::Range<u16> = 20_000..32_000;

/// A free port, which no other test of this process gets.
pub(crate) fn free_port() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let next = || {
        let given = std::process::id().wrapping_mul(997).wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed));
        PORTS.start + u16::try_from(given % u32::from(PORTS.end - PORTS.start)).unwrap()
    };
    let is_free = |port: &u16| TcpListener::bind(("127.0.0.1", *port)).is_ok();
    std::iter::repeat_with(next).take(1_000).find(is_free).unwrap()
}

/// What to make.
pub(crate) fn new_node(name: &str, kind: OfficeKind, roles: Vec<Role>, hubs: Vec<OfficeId>) -> NewNode {
    let staff = |sign_in: &str, roles: Vec<StaffRole>| FirstStaff {
        sign_in: sign_in.into(),
        name: format!("{sign_in} of {name}"),
        roles,
        password: PASSWORD.into(),
        unlocks: true,
    };
    NewNode {
        config: Config {
            name: name.into(),
            roles,
            listen: vec![format!("/ip4/127.0.0.1/tcp/{}", free_port())],
            web: "127.0.0.1:0".into(),
            poll_s: 1,
            practice: false,
            lobby: None,
            announce: Vec::new(),
            announce_lobby: None,
        },
        kind,
        pack: String::new(),
        code: "TST".into(),
        small_office: true,
        factor_to_administer: false,
        currency: "ZAR".parse().unwrap(),
        zone: "UTC".into(),
        language: "en".into(),
        area: "Test district".into(),
        services: casemesh_node::codes::code("service_type", "safe_house").into_iter().collect(),
        hubs,
        staff: vec![
            staff("worker", vec![StaffRole::Caseworker, StaffRole::Supervisor]),
            staff("admin", vec![StaffRole::Administrator]),
        ],
        cost: Cost::FLOOR,
        split: Split::SMALL_OFFICE,
    }
}

/// A node of a test, in a folder of its own.
pub(crate) struct TestNode {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) office: OfficeId,
    /// The key of its second sheet.
    pub(crate) next_root: String,
    pub(crate) node: Option<Node>,
}

impl TestNode {
    pub(crate) fn new(new: &NewNode) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let printed = node::init(folder.path(), new, &Clock::system()).unwrap();
        Self { folder, office: printed.office, next_root: printed.next_root, node: None }
    }

    pub(crate) fn card(&self) -> Vec<u8> {
        node::read_card(self.folder.path()).unwrap()
    }

    pub(crate) fn start(&mut self) {
        self.start_at(Clock::system());
    }

    /// Starts it with a clock of its own.
    pub(crate) fn start_at(&mut self, clock: Clock) {
        self.node = Some(Node::start(self.folder.path(), clock).unwrap());
    }

    /// Its folder, for whoever starts it otherwise.
    pub(crate) fn to_serve(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn stop(&mut self) {
        if let Some(node) = self.node.take() {
            node.stop();
        }
    }

    pub(crate) fn node(&self) -> &Node {
        self.node.as_ref().unwrap()
    }

    pub(crate) fn desk(&self, name: &str) -> Desk {
        let token = self.node().sign_in(&Knock::new(name, PASSWORD, "test")).unwrap();
        self.node().desk(&token).unwrap()
    }
}

/// An account of that name with one role, asked for by one and approved by another, whose owner chose a password.
pub(crate) fn hire(node: &Node, admin: &Desk, second: &Desk, name: &str, role: &str, unlocks: bool) -> StaffId {
    let input = StaffInput {
        sign_in: name.into(),
        name: name.into(),
        roles: vec![role.into()],
        password: FIRST_PASSWORD.into(),
        unlocks,
        ..StaffInput::default()
    };
    let staff = admin.add_staff(&input, Cost::FLOOR).unwrap();
    let open = second.requests().unwrap().into_iter().find(|request| request.may_decide).unwrap();
    second.decide(open.id, &DecisionInput { approved: true, ..DecisionInput::default() }).unwrap();
    let token = node.sign_in(&Knock::new(name, FIRST_PASSWORD, "test")).unwrap();
    node.desk(&token).unwrap().change_password(FIRST_PASSWORD, PASSWORD, Cost::FLOOR).unwrap();
    node.sign_out(&token);
    staff
}

impl Drop for TestNode {
    fn drop(&mut self) {
        self.stop();
    }
}

/// The network file over these nodes.
pub(crate) fn network(nodes: &[&TestNode]) -> Vec<u8> {
    let steward = SigningKey::random(&mut os_rng());
    let cards: Vec<Vec<u8>> = nodes.iter().map(|node| node.card()).collect();
    node::sign_network("Test network", &cards, None, &steward, Clock::system().now()).unwrap()
}

/// Waits until something holds; fails after a minute.
#[track_caller]
pub(crate) fn eventually<T>(what: &str, mut probe: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(value) = probe() {
            return value;
        }
        assert!(start.elapsed() < Duration::from_secs(60), "never: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A case that was resolved is closed.
pub(crate) fn resolved() -> ClosureInput {
    ClosureInput { reason: "resolved".into(), ..ClosureInput::default() }
}

/// A case is set to a state; one that rests waits for the client.
pub(crate) fn standing(state: CaseState) -> StandingInput {
    StandingInput { state: state.to_string(), rest_reason: "waiting_client".into(), ..StandingInput::default() }
}
