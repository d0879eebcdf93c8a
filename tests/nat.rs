//! Offices behind routers that translate addresses, in network namespaces of this machine: two private networks, a hub on a public
//! one, and no way in from outside. Needs root, `ip`, `nft` and `curl`: `bash .ci/nat`.

use crate::harness::{PASSWORD, TestNode, network, new_node};
use casemesh_node::clock::Clock;
use casemesh_node::node::{pages_of, read_config, write_config};
use casemesh_protocol::directory::{OfficeKind, Role};
use casemesh_protocol::id::OfficeId;
use serde_json::{Value, json};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// A referral by hub may wait for two tries and a minute; a line that died silently, for a question that times out.
const PATIENCE: Duration = Duration::from_secs(240);

/// Namespaces that go when the test ends.
struct World {
    prefix: String,
    spaces: Vec<String>,
    processes: Vec<Child>,
}

impl World {
    fn name(&self, space: &str) -> String {
        format!("{}{space}", self.prefix)
    }

    fn space(&mut self, space: &str) {
        let name = self.name(space);
        run(&["ip", "netns", "add", &name]);
        self.spaces.push(name);
        self.within(space, "ip link set lo up");
    }

    fn within(&self, space: &str, command: &str) {
        let name = self.name(space);
        let words: Vec<&str> = ["ip", "netns", "exec", &name].into_iter().chain(command.split(' ')).collect();
        run(&words);
    }

    /// A cable between two namespaces.
    fn cable(&self, (one, end): (&str, &str), (other, far): (&str, &str)) {
        let (one, other) = (self.name(one), self.name(other));
        run(&["ip", "link", "add", end, "netns", &one, "type", "veth", "peer", "name", far, "netns", &other]);
    }

    /// A router: a private network behind one public address, and nobody comes in who was not asked for.
    fn router(&mut self, router: &str, office: &str, public: &str, private: &str) {
        self.space(router);
        self.space(office);
        let port = format!("{router}0");
        self.cable((router, "wan0"), ("w", &port));
        self.within("w", &format!("ip link set {port} master br0 up"));
        self.cable((router, "lan0"), (office, "eth0"));
        for command in [
            format!("ip addr add {public}/24 dev wan0"),
            format!("ip addr add {private}.1/24 dev lan0"),
            "ip link set wan0 up".into(),
            "ip link set lan0 up".into(),
            "sysctl -qw net.ipv4.ip_forward=1".into(),
            "nft add table ip home".into(),
            "nft add chain ip home after { type nat hook postrouting priority 100 ; }".into(),
            "nft add chain ip home before { type nat hook prerouting priority -100 ; }".into(),
            "nft add chain ip home through { type filter hook forward priority 0 ; policy drop ; }".into(),
            "nft add rule ip home after oifname wan0 masquerade".into(),
            "nft add rule ip home through iifname lan0 accept".into(),
            "nft add rule ip home through ct state established,related accept".into(),
        ] {
            self.within(router, &command);
        }
        for command in [
            format!("ip addr add {private}.2/24 dev eth0"),
            "ip link set eth0 up".into(),
            format!("ip route add default via {private}.1"),
        ] {
            self.within(office, &command);
        }
    }

    fn serve(&mut self, space: &str, folder: &std::path::Path) -> usize {
        let process = Command::new("ip")
            .args(["netns", "exec", &self.name(space), env!("CARGO_BIN_EXE_casemesh"), "serve", "--folder"])
            .arg(folder)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        self.processes.push(process.unwrap());
        self.processes.len() - 1
    }

    fn end(&mut self, process: usize) {
        let process = &mut self.processes[process];
        // It may have ended by itself.
        let _ended = process.kill();
        process.wait().unwrap();
    }
}

impl Drop for World {
    fn drop(&mut self) {
        for at in 0..self.processes.len() {
            self.end(at);
        }
        for space in &self.spaces {
            let _gone = Command::new("ip").args(["netns", "del", space]).status();
        }
    }
}

fn output(words: &[&str]) -> Output {
    Command::new(words[0]).args(&words[1..]).output().unwrap()
}

fn run(words: &[&str]) {
    let done = output(words);
    assert!(done.status.success(), "{words:?}: {}", String::from_utf8_lossy(&done.stderr));
}

/// Somebody at an office, whose pages are on the loopback of its own namespace.
struct Person {
    space: String,
    folder: PathBuf,
    token: String,
}

impl Person {
    fn call(&self, path: &str, body: Option<&Value>) -> Option<Value> {
        let url = format!("http://{}/api/v1{path}", pages_of(&self.folder)?);
        let bearer = format!("Authorization: Bearer {}", self.token);
        let mut words = vec!["ip", "netns", "exec", &self.space, "curl", "-sf", "--max-time", "20", "-H", &bearer];
        let body = body.map(ToString::to_string);
        if let Some(body) = &body {
            words.extend(["-H", "Content-Type: application/json", "-d", body]);
        }
        words.push(&url);
        let answer = output(&words);
        answer.status.success().then(|| serde_json::from_slice(&answer.stdout).unwrap_or(Value::Null))
    }

    fn sign_in(&mut self) {
        let ask = json!({ "name": "worker", "password": PASSWORD });
        self.token =
            until("somebody signs in", || self.call("/sign-in", Some(&ask))?["token"].as_str().map(ToOwned::to_owned));
    }

    fn made(&self, path: &str, body: &Value) -> String {
        self.call(path, Some(body)).unwrap_or_else(|| panic!("{path}"))["id"].as_str().unwrap().to_owned()
    }
}

impl Person {
    /// A client of this office is referred to another.
    fn refer(&self, to: OfficeId) -> String {
        let client = self.made("/people", &json!({ "identity": "alias", "alias": "Client" }));
        let case = self.made("/cases", &json!({ "clients": [client], "case": {} }));
        let expires = Clock::system().now().plus_days(30).day().to_string();
        let consent = json!({
            "purpose": "share_for_service", "recipients": [to.to_string()], "scope": ["names"], "expires": expires,
            "method": "signed_paper", "giver": "person", "language": "en",
        });
        let consent = self.made(&format!("/people/{client}/consents"), &consent);
        let referral = json!({
            "to": to.to_string(), "service": "safe_house", "need": "A bed", "urgency": "urgent", "consent": consent,
            "template": "contact_only",
        });
        self.made(&format!("/cases/{case}/referrals"), &referral)
    }
}

#[track_caller]
fn until<T>(what: &str, mut probe: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(value) = probe() {
            eprintln!("{what}: {:.1} s", start.elapsed().as_secs_f64());
            return value;
        }
        assert!(start.elapsed() < PATIENCE, "never: {what}");
        std::thread::sleep(Duration::from_millis(250));
    }
}

#[test]
#[ignore = "needs root, ip, nft and curl: bash .ci/nat"]
fn offices_behind_routers_meet_at_a_hub_and_directly_once_a_port_is_forwarded() {
    let mut world = World { prefix: format!("cm{}", std::process::id()), spaces: Vec::new(), processes: Vec::new() };
    world.space("w");
    for command in ["ip link add br0 type bridge", "ip addr add 203.0.113.1/24 dev br0", "ip link set br0 up"] {
        world.within("w", command);
    }
    world.router("ra", "a", "203.0.113.2", "192.168.1");
    world.router("rb", "b", "203.0.113.3", "192.168.2");
    let at = |name: &str, kind, roles, hubs, announce: &str| {
        let mut new = new_node(name, kind, roles, hubs);
        new.config.listen = vec!["/ip4/0.0.0.0/tcp/7501".into()];
        new.config.announce = vec![announce.to_owned()];
        TestNode::new(&new)
    };
    let hub = at("Hub", OfficeKind::Coordination, vec![Role::Hub], vec![], "/ip4/203.0.113.1/tcp/7501");
    let office =
        |name: &str, announce: &str| at(name, OfficeKind::AdviceOffice, vec![Role::Office], vec![hub.office], announce);
    let advice = office("Advice office", "/ip4/192.168.1.2/tcp/7501");
    let shelter = office("Shelter", "/ip4/192.168.2.2/tcp/7501");
    let file = network(&[&hub, &advice, &shelter]);
    for node in [&hub, &advice, &shelter] {
        std::fs::write(node.folder.path().join("network.cbor"), &file).unwrap();
    }
    world.serve("w", hub.folder.path());
    let serving = world.serve("a", advice.folder.path());
    world.serve("b", shelter.folder.path());
    let person = |space: &str, node: &TestNode| Person {
        space: world.name(space),
        folder: node.folder.path().to_owned(),
        token: String::new(),
    };
    let (mut thandi, mut zodwa) = (person("a", &advice), person("b", &shelter));
    thandi.sign_in();
    zodwa.sign_in();

    // There is no way from one to the other but the hub.
    let sent = thandi.refer(shelter.office);
    let received = until("a referral comes through two routers and a hub", || {
        zodwa.call("/referrals?outgoing=false", None)?[0]["id"].as_str().map(ToOwned::to_owned)
    });
    zodwa.call(&format!("/referrals/{received}/steps"), Some(&json!({ "step": "accepted" }))).unwrap();
    until("the full packet follows", || {
        let view = zodwa.call(&format!("/referrals/{received}"), None)?;
        view["full"].is_object().then_some(())
    });

    // The router comes back with another public address: lines that look alive are dead.
    world.within("ra", "ip link set wan0 down");
    world.within("ra", "ip addr flush dev wan0");
    std::thread::sleep(Duration::from_secs(5));
    world.within("ra", "ip addr add 203.0.113.22/24 dev wan0");
    world.within("ra", "ip link set wan0 up");
    let started = json!({ "step": "started", "on": Clock::system().now().day().to_string() });
    zodwa.call(&format!("/referrals/{received}/steps"), Some(&started)).unwrap();
    until("an answer finds its way after the router changed", || {
        let view = thandi.call(&format!("/referrals/{sent}"), None)?;
        (view["state"] == "in_progress" || view["state"] == "started").then_some(())
    });

    // A port is forwarded, and the node announces it: the other rings it directly.
    world.within("ra", "nft add rule ip home before iifname wan0 tcp dport 7501 dnat to 192.168.1.2");
    world.within("ra", "nft add rule ip home through iifname wan0 tcp dport 7501 accept");
    world.end(serving);
    let mut config = read_config(advice.folder.path()).unwrap();
    config.announce = vec!["/ip4/203.0.113.22/tcp/7501".into()];
    write_config(advice.folder.path(), &config).unwrap();
    world.serve("a", advice.folder.path());
    thandi.sign_in();
    zodwa.refer(advice.office);
    until("the line is direct", || {
        let network = zodwa.call("/network", None)?;
        let members = network["members"].as_array()?;
        let is_direct = |one: &&Value| one["office"] == advice.office.to_string() && one["line"] == "connected";
        members.iter().find(is_direct).map(drop)
    });
}
