//! Journeys over real sockets, crash points, hostile peers, and the architecture's invariants. One binary.

/// Arrows between crates and other invariants of ARCHITECTURE.md.
mod architecture;
/// Offices, hubs and collectors on loopback.
mod harness;
/// Two offices, a hub and a collector: the main story at the desk.
mod exchange;
