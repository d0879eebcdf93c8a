//! Delivery to one office: which packets wait, when to try again, by which road, and what is known of
//! each. Pure: [`Queue::handle`] takes an input and the time and says what to do.
//!
//! A packet ends *arrived* (the recipient's node signed for it), *parked* (a person must look), or
//! *expired*; nothing else ends it. A live connection is used at once. After two failed tries or a
//! minute, the packet is also left at the recipient's hubs; that is a road, not an arrival. Waiting
//! grows per office, not per packet, and any authenticated sign of life ends it.

use crate::limits::OUTBOX_PER_OFFICE_MAX;
use crate::time::Timestamp;
use casemesh_crypto::hash::Digest;
use casemesh_crypto::random::CryptoRng;
use minicbor::{Decode, Encode};
use std::collections::BTreeMap;

/// The first wait after a failed try.
pub const FIRST_WAIT_MS: u64 = 15_000;
/// The longest wait.
pub const LONGEST_WAIT_MS: u64 = 6 * 3_600_000;
/// After so long without a direct success the hubs are used too.
pub const HUB_AFTER_MS: u64 = 60_000;
/// The longest wait between two tries to leave something at the hubs.
pub const HUB_LONGEST_WAIT_MS: u64 = 3_600_000;
/// Or after so many failed tries.
pub const HUB_AFTER_TRIES: u32 = 2;
/// What a hub keeps is left there again after so long: the hub may have lost it.
pub const HUB_AGAIN_MS: u64 = 24 * 3_600_000;
/// Packets that are under way to one office at a time.
pub const IN_FLIGHT_MAX: usize = 16;
/// A packet that has no answer for so long is offered again.
pub const ANSWER_WITHIN_MS: u64 = 45_000;

/// An event whose packet was not fetched in time is sent again so many times: half a year in all.
pub const EXPIRED_RESENDS_MAX: u8 = 6;
/// One that the other office's node refused is tried so many times more, a day apart.
pub const REFUSED_RESENDS_MAX: u8 = 3;
/// The day between.
const RESEND_AFTER_REFUSAL_MS: u64 = 86_400_000;

/// How a packet came to nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lost {
    /// Its time was over.
    Expired,
    /// The recipient's node refused it.
    Refused,
}

/// How often the event of a packet was sent again, by why the packet before came to nothing: one does not use up the other.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Resends {
    /// Its time was over.
    #[n(0)]
    pub expired: u8,
    /// The recipient's node refused it.
    #[n(1)]
    pub refused: u8,
}

impl Resends {
    /// After how long an event that is lost goes again in a packet of its own, if it does, and how often then: what follows from it
    /// would wait for it for ever. A disclosure is never sent again by itself.
    pub fn after(self, is_event: bool, lost: Lost) -> Option<(u64, Self)> {
        match lost {
            _ if !is_event => None,
            Lost::Expired if self.expired < EXPIRED_RESENDS_MAX => {
                Some((0, Self { expired: self.expired + 1, ..self }))
            }
            Lost::Refused if self.refused < REFUSED_RESENDS_MAX => {
                Some((RESEND_AFTER_REFUSAL_MS, Self { refused: self.refused + 1, ..self }))
            }
            Lost::Expired | Lost::Refused => None,
        }
    }
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Input {
    /// A sealed packet waits on disk.
    Queued {
        /// SHA-256 of the packet.
        packet: Digest,
        /// When it is not worth delivering any more.
        expires: Timestamp,
    },
    /// The packet must not go any more.
    Cancelled {
        /// Which.
        packet: Digest,
    },
    /// The office said hello, or anything else that proves it is there.
    Alive,
    /// The connection ended or could not be made.
    Unreachable,
    /// A verified receipt came, by whatever road.
    Arrived {
        /// Which.
        packet: Digest,
    },
    /// The office refuses it, for good.
    Rejected {
        /// Which.
        packet: Digest,
    },
    /// The office cannot take it now.
    Deferred {
        /// Which.
        packet: Digest,
        /// When to ask again.
        until: Timestamp,
    },
    /// A hub keeps it.
    Deposited {
        /// Which.
        packet: Digest,
    },
    /// No hub took it.
    NotDeposited {
        /// Which.
        packet: Digest,
    },
    /// Time passed.
    Tick,
}

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Output {
    /// Connect to the office.
    Dial,
    /// Offer the packet over the connection.
    Put(Digest),
    /// Leave the packet at a hub of the recipient.
    Deposit(Digest),
    /// Its time is over; tell a person.
    Expire(Digest),
    /// The recipient refuses it; a person must look.
    Park(Digest),
    /// The body need not be offered any more.
    Settle(Digest),
    /// The queue is full; the packet was not taken.
    Overflow(Digest),
}

/// Where one packet stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Waiting {
    queued: Timestamp,
    expires: Timestamp,
    offered: Option<Timestamp>,
    not_before: Timestamp,
    deposit: Deposit,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Deposit {
    NotTried,
    Asked,
    DoneAt(Timestamp),
    Failed,
}

/// The queue of one destination.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Queue {
    packets: BTreeMap<Digest, Waiting>,
    connected: bool,
    dialing: Option<Timestamp>,
    failures: u32,
    next_try: Timestamp,
    has_hub: bool,
    hub_failures: u32,
    hub_next_try: Timestamp,
    nothing_ends: bool,
}

impl Queue {
    /// An empty queue. `has_hub` says whether the recipient names hubs.
    pub fn new(has_hub: bool) -> Self {
        Self {
            packets: BTreeMap::new(),
            connected: false,
            dialing: None,
            failures: 0,
            next_try: Timestamp::default(),
            has_hub,
            hub_failures: 0,
            hub_next_try: Timestamp::default(),
            nothing_ends: false,
        }
    }

    /// How many packets wait.
    pub fn len(&self) -> usize {
        self.packets.len()
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.packets.is_empty()
    }

    /// Whether the directory now names hubs for the recipient.
    pub fn set_has_hub(&mut self, has_hub: bool) {
        self.has_hub = has_hub;
    }

    /// While nobody knows what day it is, nothing expires.
    pub fn set_nothing_ends(&mut self, nothing_ends: bool) {
        self.nothing_ends = nothing_ends;
    }

    /// Takes one input and says what to do.
    pub fn handle(&mut self, input: Input, now: Timestamp, rng: &mut impl CryptoRng) -> Vec<Output> {
        let mut out = Vec::new();
        match input {
            Input::Queued { packet, expires } => {
                if self.packets.len() >= OUTBOX_PER_OFFICE_MAX && !self.packets.contains_key(&packet) {
                    return vec![Output::Overflow(packet)];
                }
                self.packets.entry(packet).or_insert(Waiting {
                    queued: now,
                    expires,
                    offered: None,
                    not_before: now,
                    deposit: Deposit::NotTried,
                });
            }
            Input::Cancelled { packet } => {
                self.packets.remove(&packet);
            }
            Input::Alive => {
                self.connected = true;
                self.dialing = None;
                self.failures = 0;
                self.next_try = now;
            }
            Input::Unreachable => self.fail(now, rng),
            Input::Arrived { packet } => {
                if self.packets.remove(&packet).is_some() {
                    out.push(Output::Settle(packet));
                }
                self.failures = 0;
                self.next_try = now;
            }
            Input::Rejected { packet } => {
                if self.packets.remove(&packet).is_some() {
                    out.push(Output::Park(packet));
                }
            }
            Input::Deferred { packet, until } => {
                if let Some(waiting) = self.packets.get_mut(&packet) {
                    waiting.offered = None;
                    waiting.not_before = until.min(now.plus_ms(LONGEST_WAIT_MS));
                }
            }
            Input::Deposited { packet } => {
                self.deposit_is(packet, Deposit::DoneAt(now));
                self.hub_failures = 0;
                self.hub_next_try = now;
            }
            Input::NotDeposited { packet } => {
                self.deposit_is(packet, Deposit::Failed);
                let wait = HUB_AFTER_MS.saturating_mul(1 << self.hub_failures.min(10)).min(HUB_LONGEST_WAIT_MS);
                // Several that fail together are one failure.
                if self.hub_next_try <= now {
                    self.hub_failures = self.hub_failures.saturating_add(1);
                    self.hub_next_try = now.plus_ms(wait);
                }
            }
            Input::Tick => {}
        }
        self.drain(now, &mut out);
        out
    }

    /// When to tick next, if anything waits.
    pub fn wake_at(&self, now: Timestamp) -> Option<Timestamp> {
        let packets = self.packets.values().map(|waiting| {
            let retry = match (self.connected, waiting.offered) {
                (true, Some(offered)) => offered.plus_ms(ANSWER_WITHIN_MS),
                (true, None) => waiting.not_before,
                (false, _) => self.dialing.map_or(self.next_try, |since| since.plus_ms(ANSWER_WITHIN_MS)),
            };
            let hub = match waiting.deposit {
                _ if !self.has_hub => waiting.expires,
                Deposit::NotTried => waiting.queued.plus_ms(HUB_AFTER_MS).max(self.hub_next_try),
                Deposit::Failed => self.hub_next_try,
                Deposit::DoneAt(at) => at.plus_ms(HUB_AGAIN_MS).max(self.hub_next_try),
                Deposit::Asked => waiting.expires,
            };
            retry.min(hub).min(waiting.expires)
        });
        packets.min().map(|at| at.max(now.plus_ms(1)))
    }

    fn fail(&mut self, now: Timestamp, rng: &mut impl CryptoRng) {
        self.connected = false;
        self.dialing = None;
        let wait = match self.failures {
            0 => FIRST_WAIT_MS,
            n => (FIRST_WAIT_MS * 2).saturating_mul(1 << n.min(10)).min(LONGEST_WAIT_MS),
        };
        // Spread over [1, 2) of the wait, so that a hub's return does not bring every office at once.
        let jitter = rng.next_u64() % wait;
        self.failures = self.failures.saturating_add(1);
        self.next_try = now.plus_ms(wait + jitter);
        for waiting in self.packets.values_mut() {
            waiting.offered = None;
        }
    }

    fn deposit_is(&mut self, packet: Digest, deposit: Deposit) {
        if let Some(waiting) = self.packets.get_mut(&packet) {
            waiting.deposit = deposit;
        }
    }

    fn drain(&mut self, now: Timestamp, out: &mut Vec<Output>) {
        let is_over = |waiting: &Waiting| waiting.expires <= now && !self.nothing_ends;
        let over: Vec<Digest> =
            self.packets.iter().filter(|(_, waiting)| is_over(waiting)).map(|(packet, _)| *packet).collect();
        for packet in over {
            self.packets.remove(&packet);
            out.push(Output::Expire(packet));
        }
        if self.packets.is_empty() {
            return;
        }
        if self.connected {
            self.offer(now, out);
        } else if self.dialing.is_some_and(|since| now.ms_since(since) < ANSWER_WITHIN_MS) {
            // A dial is under way.
        } else if self.next_try <= now {
            self.dialing = Some(now);
            out.push(Output::Dial);
        }
        if self.has_hub {
            self.deposit(now, out);
        }
    }

    fn offer(&mut self, now: Timestamp, out: &mut Vec<Output>) {
        let answered_late = |offered: Timestamp| now.ms_since(offered) >= ANSWER_WITHIN_MS;
        let mut room = IN_FLIGHT_MAX
            .saturating_sub(self.packets.values().filter(|w| w.offered.is_some_and(|at| !answered_late(at))).count());
        for (packet, waiting) in &mut self.packets {
            if room == 0 {
                break;
            }
            if waiting.not_before <= now && waiting.offered.is_none_or(answered_late) {
                waiting.offered = Some(now);
                room -= 1;
                out.push(Output::Put(*packet));
            }
        }
    }

    fn deposit(&mut self, now: Timestamp, out: &mut Vec<Output>) {
        let tired = !self.connected && self.failures >= HUB_AFTER_TRIES;
        if now < self.hub_next_try {
            return;
        }
        for (packet, waiting) in &mut self.packets {
            let due = match waiting.deposit {
                Deposit::NotTried => tired || now.ms_since(waiting.queued) >= HUB_AFTER_MS,
                Deposit::Failed => true,
                Deposit::DoneAt(at) => now.ms_since(at) >= HUB_AGAIN_MS,
                Deposit::Asked => false,
            };
            if due {
                waiting.deposit = Deposit::Asked;
                out.push(Output::Deposit(*packet));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use casemesh_crypto::random::os_rng;
    use proptest::prelude::*;

    const START: Timestamp = Timestamp::from_s(1_795_000_000);

    fn packet(n: u8) -> Digest {
        Digest::new([n; 32])
    }

    fn queued(n: u8) -> Input {
        Input::Queued { packet: packet(n), expires: START.plus_days(30) }
    }

    #[test]
    fn a_packet_goes_at_once_over_a_live_connection_and_once_only() {
        let rng = &mut os_rng();
        let mut queue = Queue::new(true);
        assert_eq!(queue.handle(Input::Alive, START, rng), []);
        assert_eq!(queue.handle(queued(1), START, rng), [Output::Put(packet(1))]);
        assert_eq!(queue.handle(queued(1), START, rng), []);
        assert_eq!(queue.handle(Input::Tick, START.plus_ms(1000), rng), []);
        assert_eq!(queue.handle(Input::Arrived { packet: packet(1) }, START, rng), [Output::Settle(packet(1))]);
        assert_eq!(queue.handle(Input::Arrived { packet: packet(1) }, START, rng), []);
        assert!(queue.is_empty());
    }

    #[test]
    fn waiting_grows_to_six_hours_and_a_sign_of_life_ends_it() {
        let rng = &mut os_rng();
        let mut queue = Queue::new(false);
        let mut now = START;
        assert_eq!(queue.handle(queued(1), now, rng), [Output::Dial]);
        let mut waits = Vec::new();
        for _ in 0..14 {
            assert_eq!(queue.handle(Input::Unreachable, now, rng), []);
            let wake = queue.wake_at(now).unwrap();
            waits.push(wake.ms_since(now));
            assert_eq!(queue.handle(Input::Tick, wake.plus_ms(0), rng), [Output::Dial]);
            now = wake;
        }
        assert!((FIRST_WAIT_MS..2 * FIRST_WAIT_MS).contains(&waits[0]), "{waits:?}");
        assert!((LONGEST_WAIT_MS..2 * LONGEST_WAIT_MS).contains(&waits[13]), "{waits:?}");
        assert_eq!(queue.handle(Input::Unreachable, now, rng), []);
        assert_eq!(queue.handle(Input::Alive, now.plus_ms(1), rng), [Output::Put(packet(1))]);
    }

    #[test]
    fn after_two_failures_the_hub_gets_it_and_that_is_no_arrival() {
        let rng = &mut os_rng();
        let mut queue = Queue::new(true);
        queue.handle(queued(1), START, rng);
        assert_eq!(queue.handle(Input::Unreachable, START, rng), []);
        assert_eq!(queue.handle(Input::Unreachable, START, rng), [Output::Deposit(packet(1))]);
        queue.handle(Input::Deposited { packet: packet(1) }, START, rng);
        assert_eq!(queue.len(), 1, "still ours to deliver");
        let later = START.plus_ms(HUB_AGAIN_MS);
        let again = queue.handle(Input::Tick, later, rng);
        assert!(again.contains(&Output::Deposit(packet(1))), "the hub may have lost it: {again:?}");
        assert_eq!(queue.handle(Input::Arrived { packet: packet(1) }, START, rng), [Output::Settle(packet(1))]);
    }

    #[test]
    fn a_packet_ends_with_a_notice_when_its_time_is_over() {
        let rng = &mut os_rng();
        let mut queue = Queue::new(false);
        queue.handle(queued(1), START, rng);
        queue.set_nothing_ends(true);
        let doubted = queue.handle(Input::Tick, START.plus_days(30), rng);
        assert!(!doubted.contains(&Output::Expire(packet(1))), "nobody knows what day it is");
        queue.set_nothing_ends(false);
        assert_eq!(queue.handle(Input::Tick, START.plus_days(30), rng), [Output::Expire(packet(1))]);
        assert_eq!(queue.wake_at(START), None);
    }

    #[test]
    fn one_packet_that_is_never_answered_does_not_hold_up_the_others() {
        let rng = &mut os_rng();
        let mut queue = Queue::new(false);
        queue.handle(Input::Alive, START, rng);
        for n in 0..100 {
            queue.handle(queued(n), START, rng);
        }
        let mut settled = 0;
        for n in 1..100 {
            let out = queue.handle(Input::Arrived { packet: packet(n) }, START, rng);
            settled += out.iter().filter(|output| matches!(output, Output::Settle(_))).count();
        }
        assert_eq!((settled, queue.len()), (99, 1));
    }

    proptest! {
        /// Whatever the line does, each packet ends exactly once or still waits.
        #[test]
        fn nothing_is_lost_and_nothing_ends_twice(moves in proptest::collection::vec((0u8..8, 0u8..10, 0u64..100_000_000), 0..200)) {
            let rng = &mut os_rng();
            let mut queue = Queue::new(true);
            let mut now = START;
            let (mut taken, mut ended) = (std::collections::BTreeSet::new(), Vec::new());
            for (what, n, later) in moves {
                now = now.plus_ms(later);
                let input = match what {
                    0 if !taken.contains(&n) => { taken.insert(n); Input::Queued { packet: packet(n), expires: now.plus_days(2) } }
                    1 => Input::Alive,
                    2 => Input::Unreachable,
                    3 => Input::Arrived { packet: packet(n) },
                    4 => Input::Rejected { packet: packet(n) },
                    5 => Input::Deposited { packet: packet(n) },
                    6 => Input::Deferred { packet: packet(n), until: now.plus_days(400) },
                    _ => Input::Tick,
                };
                let outputs = queue.handle(input, now, rng);
                // Nothing is due that was just done: a node that wakes for nothing never sleeps.
                if let Some(wake) = queue.wake_at(now) {
                    let due = queue.clone().handle(Input::Tick, wake, rng);
                    prop_assert!(wake > now.plus_ms(1) || !due.is_empty(), "wakes at once for nothing: {queue:?}");
                }
                for output in outputs {
                    if let Output::Settle(p) | Output::Park(p) | Output::Expire(p) = output {
                        prop_assert!(!ended.contains(&p), "ended twice");
                        ended.push(p);
                    }
                }
                prop_assert_eq!(ended.len() + queue.len(), taken.len());
                prop_assert!(queue.is_empty() || queue.wake_at(now).is_some_and(|at| at > now), "nothing sleeps for ever");
            }
        }
    }
}
