//! How a node is found: behind a router that forwards a port, at a new address, over QUIC where the program was built with it.

use crate::harness::{TestNode, eventually, free_port, network, new_node};
use crate::referring::{client, consent, incoming, refer};
use crate::weather::line;
use casemesh_node::node::{self, NodeError, read_config, write_config};
use casemesh_protocol::directory::{OfficeKind, Role};

fn at(port: u16) -> String {
    format!("/ip4/127.0.0.1/tcp/{port}")
}

#[test]
fn a_node_behind_a_forwarded_port_is_found_and_says_when_that_changes() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _guard = runtime.enter();
    let mut new = new_node("Shelter", OfficeKind::Shelter, vec![Role::Office], vec![]);
    let inside: u16 = new.config.listen[0].rsplit('/').next().unwrap().parse().unwrap();
    let [first, second] = [free_port(), free_port()];
    new.config.announce = vec![at(first)];
    let mut shelter = TestNode::new(&new);
    let mut advice = TestNode::new(&new_node("Advice office", OfficeKind::AdviceOffice, vec![Role::Office], vec![]));
    let network = network(&[&advice, &shelter]);
    let _router = line(first, inside);
    advice.start();
    advice.node().join(&network).unwrap();
    shelter.start();
    shelter.node().join(&network).unwrap();
    let known = |node: &TestNode| {
        let directory = node.node().directory().unwrap();
        let addresses = directory.member(&shelter.office).unwrap().record.addresses.clone();
        addresses.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(known(&advice), [at(first)]);
    let desk = advice.desk("worker");
    let (person, case) = client(&desk);
    let agreed = consent(&desk, person, shelter.office, &["names"], &[]);
    refer(&desk, case, shelter.office, agreed);
    let theirs = shelter.desk("worker");
    incoming(&theirs);
    drop(theirs);

    // The router gives another port: it is written into node.toml, and the others learn of it.
    let _router = line(second, inside);
    let office = shelter.office;
    shelter.stop();
    let mut config = read_config(shelter.folder.path()).unwrap();
    config.announce = vec![at(second)];
    write_config(shelter.folder.path(), &config).unwrap();
    shelter.start();
    let _theirs = shelter.desk("worker");
    eventually("the new address is known", || {
        let directory = advice.node().directory().unwrap();
        let addresses = &directory.member(&office).unwrap().record.addresses;
        addresses.iter().any(|address| *address.as_str() == at(second)).then_some(())
    });
}

#[test]
fn an_address_that_leads_nowhere_is_refused_with_what_to_write() {
    let refused = |listen: &str, announce: &str| {
        let mut new = new_node("Shelter", OfficeKind::Shelter, vec![Role::Office], vec![]);
        new.config.listen = vec![listen.to_owned()];
        new.config.announce = Some(announce.to_owned()).filter(|text| !text.is_empty()).into_iter().collect();
        let folder = tempfile::tempdir().unwrap();
        match node::init(folder.path(), &new, &casemesh_node::clock::Clock::system()) {
            Err(error @ NodeError::Config(_)) => error.to_string(),
            other => panic!("{other:?}"),
        }
    };
    let everywhere = refused("/ip4/0.0.0.0/tcp/7501", "");
    assert!(everywhere.contains("nobody can find") && everywhere.contains("announce"), "{everywhere}");
    let none = refused("/ip4/127.0.0.1/tcp/7501", "router.example:7501");
    assert!(none.contains("no address of a node"), "{none}");
    if !cfg!(feature = "quic") {
        let quic = refused("/ip4/127.0.0.1/udp/7501/quic-v1", "");
        assert!(quic.contains("--features quic"), "{quic}");
    }
}

/// Runs with `cargo test --features quic`.
#[cfg(feature = "quic")]
#[test]
fn two_offices_talk_over_quic_alone() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let _guard = runtime.enter();
    let over_udp = |name: &str, kind| {
        let mut new = new_node(name, kind, vec![Role::Office], vec![]);
        let port = std::net::UdpSocket::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port();
        new.config.listen = vec![format!("/ip4/127.0.0.1/udp/{port}/quic-v1")];
        TestNode::new(&new)
    };
    let mut advice = over_udp("Advice office", OfficeKind::AdviceOffice);
    let mut shelter = over_udp("Shelter", OfficeKind::Shelter);
    let network = network(&[&advice, &shelter]);
    for node in [&mut advice, &mut shelter] {
        node.start();
        node.node().join(&network).unwrap();
    }
    let desk = advice.desk("worker");
    let (person, case) = client(&desk);
    let agreed = consent(&desk, person, shelter.office, &["names"], &[]);
    let sent = refer(&desk, case, shelter.office, agreed);
    let theirs = shelter.desk("worker");
    let received = incoming(&theirs);
    crate::referring::step(&theirs, received, "accepted", "", "Come tonight");
    crate::referring::wait_for(&theirs, received, "the full packet comes", |view| view.full.is_some());
    crate::referring::wait_for(&desk, sent, "it was read", |view| view.summary.read.is_some());
}
