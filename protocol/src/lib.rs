//! All that two Casemesh nodes must agree on: ids, value types, the consent rule, the referral's
//! lifecycle, delivery, the directory, the first indicators, and the frames that carry them.
//!
//! **No I/O.** Nothing here reads a clock, a file, the environment or a random number of its own; the
//! caller passes `now` and a generator. What is decided here is decided alike on every node.
//!
//! **Input is hostile.** Every type that can arrive from elsewhere has a bound and one canonical
//! encoding; what does not fit is an error and never a panic.

pub mod bounded;
pub mod bundle;
pub mod claim;
pub mod cohort;
pub mod consent;
pub mod delivery;
pub mod directory;
pub mod disclosure;
pub mod frame;
#[cfg(test)]
mod golden;
pub mod id;
pub mod indicators;
pub mod join;
pub mod levels;
pub mod limits;
pub mod mailbox;
pub mod outgoing;
pub mod packet;
pub mod proposal;
pub mod receipt;
pub mod referral;
pub mod sample;
#[cfg(any(test, feature = "simulation"))]
pub mod simulation;
pub mod statistics;
pub mod tally;
pub mod template;
pub mod terms;
pub mod time;
pub mod timers;
pub mod trust;
