//! Many offices over bad lines, in virtual time and from one seed: the core that nodes run (delivery queues, hubs' shelves, referral
//! threads, the consent rule, the rule for lost events) in a model of the shell around it. What goes wrong for real goes wrong here:
//! partitions, sleep, loss, duplicates, reordering, power cuts that lose what was not synced, wrong clocks, prekeys that rotate, offices that
//! change all their keys, a member that is revoked, hubs that lose their disk, sticks that travel for days.
//!
//! Two suites of sealing: a cheap one that keeps the rules of keys and identities, and the real envelope with real signatures.
//!
//! **Checked** while it runs: an effect happens once; *arrived* only after the recipient stored; no disclosure is sealed without a
//! live consent, and nothing to a member that is known to be revoked; a hub keeps to its bounds; a case that is handed over is never
//! two offices'. **Checked** after all lines healed: every packet ended delivered, with a notice, or parked; both logs of every
//! referral are equal; nothing is left on the way.

mod office;
mod seal;
mod world;

use crate::time::Timestamp;

/// What to simulate.
#[derive(Debug, Clone, Copy)]
pub struct Setup {
    /// Everything random follows from it.
    pub seed: u64,
    /// Offices.
    pub offices: u32,
    /// Hubs: each office uses two of them, where there are so many.
    pub hubs: u32,
    /// Virtual days before the lines heal.
    pub days: u32,
    /// Whether packets are sealed and signed for real.
    pub is_real: bool,
    /// How often, of a hundred days, an office begins a referral on a day.
    pub referrals_percent: u32,
}

impl Setup {
    /// Five offices and two hubs for thirty days, busy.
    pub fn small(seed: u64) -> Self {
        Self { seed, offices: 5, hubs: 2, days: 30, is_real: false, referrals_percent: 60 }
    }
}

/// What happened in a simulation.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Report {
    /// Referrals that were begun, those to hand a case over included.
    pub referrals: u64,
    /// Cases that changed hands.
    pub handed_over: u64,
    /// Packets that were sealed.
    pub packets: u64,
    /// Effects that packets had.
    pub effects: u64,
    /// Packets that came once more and had no second effect.
    pub repeated: u64,
    /// Packets fetched from a hub.
    pub by_hub: u64,
    /// Packets that came on a stick.
    pub by_stick: u64,
    /// Power cuts.
    pub crashes: u64,
    /// Packets that could not be delivered in their time.
    pub expired: u64,
    /// Disclosures that were not sealed because the consent had ended.
    pub withheld: u64,
    /// Packets that no key opened any more, or of a clock that is far ahead.
    pub set_aside: u64,
    /// Offices that changed all their keys.
    pub rotations: u64,
    /// Looks at packets whose sender's new keys were not known yet.
    pub early: u64,
    /// Steps of the simulation.
    pub steps: u64,
}

impl std::ops::AddAssign for Report {
    fn add_assign(&mut self, other: Self) {
        self.referrals += other.referrals;
        self.handed_over += other.handed_over;
        self.packets += other.packets;
        self.effects += other.effects;
        self.repeated += other.repeated;
        self.by_hub += other.by_hub;
        self.by_stick += other.by_stick;
        self.crashes += other.crashes;
        self.expired += other.expired;
        self.withheld += other.withheld;
        self.set_aside += other.set_aside;
        self.rotations += other.rotations;
        self.early += other.early;
        self.steps += other.steps;
    }
}

/// An invariant that did not hold, with the seed that shows it again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("seed {seed}, at {} s of virtual time: {what}", at.s())]
pub struct Broken {
    /// The seed.
    pub seed: u64,
    /// When, in virtual time.
    pub at: Timestamp,
    /// What did not hold.
    pub what: String,
}

/// Runs one simulation to its end.
///
/// # Errors
/// When an invariant does not hold.
pub fn run(setup: &Setup) -> Result<Report, Broken> {
    world::World::new(*setup).run()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, Instant};

    /// Seconds that the seeds may take: CI gives sixty.
    fn seconds() -> u64 {
        std::env::var("CASEMESH_SIMULATE_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(5)
    }

    #[test]
    fn as_many_seeds_as_the_time_allows_hold_every_invariant() {
        let end = Instant::now() + Duration::from_secs(seconds());
        let first: u64 = std::env::var("CASEMESH_SIMULATE_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(1);
        let mut seeds = 0;
        while seeds == 0 || Instant::now() < end {
            // Some with the real envelope.
            let setup = Setup { is_real: (first + seeds) % 50 == 3, ..Setup::small(first + seeds) };
            run(&setup).unwrap_or_else(|broken| panic!("{broken}; again with CASEMESH_SIMULATE_SEED={}", broken.seed));
            seeds += 1;
        }
        println!("{seeds} seeds from {first}");
    }

    #[test]
    fn a_seed_replays_and_every_road_and_fault_is_used() {
        let setup = Setup { referrals_percent: 90, ..Setup::small(7) };
        let report = run(&setup).unwrap();
        assert_eq!(run(&setup).unwrap(), report);
        assert!(report.referrals > 50 && report.effects > 500, "{report:?}");
        let mut all = Report::default();
        for seed in 1..40 {
            all += run(&Setup::small(seed)).unwrap();
        }
        for (what, count) in [
            ("hub", all.by_hub),
            ("stick", all.by_stick),
            ("crash", all.crashes),
            ("expiry", all.expired),
            ("withheld", all.withheld),
            ("repetition", all.repeated),
            ("handing over", all.handed_over),
            ("rotation", all.rotations),
            ("early packet", all.early),
        ] {
            assert!(count > 0, "no {what} in 39 seeds: {all:?}");
        }
    }

    #[test]
    fn the_real_envelope_and_the_cheap_one_tell_the_same_story() {
        let cheap = run(&Setup { days: 6, ..Setup::small(11) }).unwrap();
        let real = run(&Setup { days: 6, is_real: true, ..Setup::small(11) }).unwrap();
        assert_eq!(cheap, real);
    }
}
