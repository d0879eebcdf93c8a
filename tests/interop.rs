//! An independent program speaks with our node: built from PROTOCOL.md alone, in Python, on libraries of others (`interop/client.py`).

use crate::harness::{PASSWORD, TestNode, network, new_node};
use crate::referring::{incoming, step, wait_for};
use casemesh_node::clock::Clock;
use casemesh_node::keys::{KeyFile, Prekeys, RelayProfile};
use casemesh_node::net::peer_of;
use casemesh_node::spool::Spool;
use casemesh_protocol::directory::{Directory, OfficeKind, Role};
use casemesh_protocol::referral::State;
use serde_json::{Value, json};
use std::path::Path;
use std::process::Command;

/// Where the program is run: the set-up says so.
fn python() -> Option<String> {
    let python = std::env::var("CASEMESH_INTEROP").ok();
    assert!(python.is_some() || std::env::var_os("CI").is_none(), "run bash .ci/test: it sets up the Python client");
    python
}

fn run(python: &str, arguments: &[&str]) -> Value {
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/interop/client.py");
    let out = Command::new(python).arg(program).args(arguments).output().unwrap();
    let error = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(out.status.success(), "{arguments:?}: {error}");
    serde_json::from_slice(&out.stdout).unwrap_or_else(|_| panic!("{arguments:?} answered no JSON: {error}"))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// All that a program needs to act for an office: its secrets, and whom it writes to.
fn secrets(own: &TestNode, partner: &TestNode, network: &[u8]) -> Value {
    let directory = Directory::read(network, None).unwrap();
    let keys = KeyFile::read(own.folder.path()).unwrap().open("worker", PASSWORD).unwrap().1;
    let profile = RelayProfile::read(own.folder.path()).unwrap();
    let now = Clock::system().now();
    let prekeys = Prekeys::read(own.folder.path(), &keys).unwrap();
    let published = prekeys.published(now);
    let own_prekeys: Vec<Value> = published
        .iter()
        .map(|one| {
            let id = one.prekey.id();
            json!({ "id": hex(id.as_bytes()), "seed": hex(prekeys.secret(&id).unwrap().seed().expose()) })
        })
        .collect();
    let member = directory.member(&partner.office).unwrap();
    let peer = RelayProfile::read(partner.folder.path()).unwrap().peer_seed;
    json!({
        "network": hex(directory.network().as_bytes()),
        "office": hex(own.office.as_bytes()),
        "log_head": hex(directory.member(&own.office).unwrap().keys.head().as_bytes()),
        "node_key_seed": hex(keys.node_key.to_seed().expose()),
        "peer_seed": hex(profile.peer_seed.expose()),
        "prekeys": own_prekeys,
        "partner": {
            "office": hex(partner.office.as_bytes()),
            "address": member.record.addresses.as_slice()[0].to_string(),
            "peer": hex(&peer_of(&peer).unwrap().0),
            "prekey": hex(member.prekey(now).unwrap().prekey.as_bytes()),
            "node_keys": member.keys.node_keys().iter().map(|key| hex(key.as_bytes())).collect::<Vec<_>>(),
            "receipt_keys": member.receipt_keys().iter().map(|key| hex(key.as_bytes())).collect::<Vec<_>>(),
        },
    })
}

#[test]
fn another_program_reads_every_golden_body() {
    let Some(python) = python() else { return };
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("protocol/src/golden.txt");
    let read = run(&python, &["golden", golden.to_str().unwrap()]);
    assert_eq!(read["kinds"], json!([1, 2, 3, 4, 5, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16]));
    assert_eq!(read["signatures"], 4, "each event's signature holds");
}

#[test]
fn another_program_is_refused_as_a_stranger_and_as_a_member_refers_and_reads_the_answer() {
    let Some(python) = python() else { return };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _guard = runtime.enter();
    let mut shelter = TestNode::new(&new_node("Shelter", OfficeKind::Shelter, vec![Role::Office], vec![]));
    let other = TestNode::new(&new_node("Other program", OfficeKind::AdviceOffice, vec![Role::Office], vec![]));
    let network = network(&[&shelter, &other]);
    shelter.start();
    shelter.node().join(&network).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("office.json");
    std::fs::write(&file, secrets(&other, &shelter, &network).to_string()).unwrap();
    let file = file.to_str().unwrap();

    let stranger = run(&python, &["stranger", file]);
    assert_eq!(stranger["refused"], true, "{stranger}");

    let told = run(&python, &["deliver", file]);
    assert_eq!(told["receipt_holds"], true, "{told}");
    let desk = shelter.desk("worker");
    let received = incoming(&desk);
    let view = desk.referral(received).unwrap();
    assert_eq!(view.summary.state, State::Delivered);
    assert_eq!(view.preview.need.as_str(), "Built by another program");
    assert_eq!(view.summary.partner, "Other program");
    assert!(view.events.iter().all(|event| event.verified));
    // The same bytes once more have no second effect.
    assert_eq!(run(&python, &["deliver", file, "again"])["receipt_holds"], true);
    assert_eq!(desk.referrals(false).unwrap().len(), 1);

    // What we answer, the other program opens.
    step(&desk, received, "acknowledged", "", "");
    let spool = Spool::open(shelter.folder.path()).unwrap();
    let mut opened = Vec::new();
    for row in spool.under_way().unwrap() {
        let packet = folder.path().join("packet");
        std::fs::write(&packet, spool.read_out(&row.packet).unwrap()).unwrap();
        opened.push(run(&python, &["open", file, packet.to_str().unwrap()]));
    }
    let kinds: Vec<&Value> = opened.iter().map(|one| &one["kind"]).collect();
    assert!(kinds.contains(&&json!(3)) && kinds.contains(&&json!(4)), "an event and a read receipt: {opened:?}");
    let event = opened.iter().find(|one| one["kind"] == 3).unwrap();
    assert_eq!((&event["step"], &event["signature_holds"]), (&json!(1), &json!(true)), "{event}");
    wait_for(&desk, received, "it stands", |view| view.summary.state == State::Acknowledged);
}
