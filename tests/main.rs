//! Journeys over real sockets, crash points, hostile peers, and the architecture's invariants. One binary.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on should stop and say where"
)]

/// Who gets in, and to what: a case that somebody may not see does not exist for them.
mod access;
/// Arrows between crates and other invariants of ARCHITECTURE.md; the dependency check.
mod architecture;
/// Documents that go with a referral, by every road.
mod attachments;
/// A real Chromium walks the story; every page is checked for access and looked at.
mod browser;
mod bundle;
/// A week's work at the desk: forms, tasks, documents, packs, the log.
mod casework;
/// Messages and exit codes of the command line for bad input.
mod cli;
/// Killed at random points, nothing that was acknowledged is lost.
mod crash;
/// Two offices, a hub and a collector: the main story at the desk.
mod exchange;
/// What went wrong elsewhere, and the tests that it does not here.
mod failures;
/// Schemathesis, where it is installed: every answer keeps to the API's document.
mod fuzz;
/// Cases that change hands, offices that are asked together, names that are compared, sharing without a consent.
mod handing;
/// Offices, hubs and collectors on loopback.
mod harness;
/// Full packets that wait at a hub until the other office accepts.
mod held;
/// A member that misbehaves, and strangers.
mod hostile;
/// Another program, built from PROTOCOL.md alone, speaks with our node.
mod interop;
/// Five people's days in a real browser, and the keys they press.
mod journeys;
/// Collectors on levels, and offices that keep another system.
mod levels;
/// How a node is found.
mod lines;
/// Every operation and page, by every role and relation.
mod matrix;
/// Who is let in, who is out, and what follows.
mod membership;
/// Offices behind routers, in network namespaces.
mod nat;
/// A whole network with synthetic cases, and what its pages look like then.
mod national;
/// What offices offer, and directories of others.
mod offers;
/// Families, groups, and two records of one person.
mod people;
/// What a network agrees on, from its proposal on.
mod proposals;
/// What stories about referrals begin with.
mod referring;
/// Figures of an office's own work.
mod reports;
/// Cases that are looked at again with the clients.
mod samples;
/// What a network asks, and what leaves.
mod statistics;
/// Code lists and forms of the office.
mod vocabulary;
/// Real processes under power cuts, sleep and bad lines.
mod weather;
/// What the web server refuses, and what it always sends.
mod web;
