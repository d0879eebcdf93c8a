//! The lines of a simulated world: what the queues ask for, what arrives, hubs, sticks.

use super::{Checked, DAY, Fact, HOUR, MINUTE, Rc, SECOND, Sealed, What, World};
use crate::delivery::{Input, Output, Queue};
use crate::limits::MAILBOX_OFFICE_BYTES_MAX;
use crate::mailbox::{Kept, Shelf, Taken};
use crate::simulation::seal::office_id;
use casemesh_crypto::hash::Digest;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng as _};

impl World {
    /// Gives the queue of a destination an input, and does what it says.
    pub(super) fn deliver(&mut self, n: u32, to: u32, input: Input) {
        let clock = self.own_clock(n);
        let has_hub = self.setup.hubs > 0;
        let mut rng = ChaCha8Rng::seed_from_u64(self.rng.next_u64());
        let office = self.office(n);
        let mut queue = office.queues.remove(&to).unwrap_or_else(|| Queue::new(has_hub));
        let outputs = queue.handle(input, clock, &mut rng);
        let wake = queue.wake_at(clock);
        if !queue.is_empty() || office.linked.contains(&to) {
            office.queues.insert(to, queue);
        }
        for output in outputs {
            self.output(n, to, output);
        }
        if let Some(wake) = wake {
            let at = self.now + wake.ms_since(clock);
            if self.ticks.get(&(n, to)).is_none_or(|known| at < *known) {
                self.ticks.insert((n, to), at);
                self.at(at - self.now, What::Tick(n, to));
            }
        }
    }

    pub(super) fn output(&mut self, n: u32, to: u32, output: Output) {
        match output {
            Output::Dial => {
                let after = 50 + self.draw(20 * SECOND);
                self.at(after, What::Dialed(n, to));
            }
            Output::Put(hash) => {
                let Some((packet, _)) = self.office(n).spool_out.get(&hash).cloned() else { return };
                let after = 20 + self.draw(2 * SECOND);
                if self.is_healed || !self.one_in(12) {
                    self.at(after, What::Arrive(n, to, Rc::clone(&packet)));
                }
                if !self.is_healed && self.one_in(15) {
                    let later = self.draw(2 * DAY);
                    self.at(later, What::Arrive(n, to, packet));
                }
            }
            Output::Deposit(hash) => {
                let Some((packet, _)) = self.office(n).spool_out.get(&hash).cloned() else { return };
                let after = 20 + self.draw(2 * SECOND);
                self.at(after, What::AtHub(n, to, packet));
            }
            Output::Settle(hash) => self.note(n, hash, Fact::Arrived),
            Output::Park(hash) | Output::Overflow(hash) => self.note(n, hash, Fact::Refused),
            Output::Expire(hash) => self.note(n, hash, Fact::Expired),
        }
    }

    pub(super) fn note(&mut self, n: u32, hash: Digest, fact: Fact) {
        let now = self.clock();
        self.office(n).facts.insert(hash, (fact, now));
        self.at(SECOND, What::Turn(n));
    }

    pub(super) fn dialed(&mut self, n: u32, to: u32) {
        if !self.office(n).is_up || self.office(n).linked.contains(&to) {
            return;
        }
        let now = self.clock();
        let is_known = !self.office(n).revoked.contains(&to)
            && !self.office(to).revoked.contains(&n)
            && self.keys.knows(n, to, now)
            && self.keys.knows(to, n, now);
        if self.is_reachable(n) && self.is_reachable(to) && is_known && n != to {
            self.office(n).linked.insert(to);
            self.office(to).linked.insert(n);
            self.deliver(n, to, Input::Alive);
            self.deliver(to, n, Input::Alive);
        } else if self.office(n).queues.contains_key(&to) {
            self.deliver(n, to, Input::Unreachable);
        }
    }

    /// The recipient's disk has it, before anybody is told so.
    pub(super) fn store(&mut self, to: u32, packet: &Rc<Sealed>) -> Option<bool> {
        let clock = self.own_clock(to);
        let office = self.office(to);
        if office.revoked.contains(&packet.from) {
            return None;
        }
        if packet.to != to || packet.expires <= clock {
            return Some(false);
        }
        office.spool_in.insert(packet.hash, Rc::clone(packet));
        self.stored.insert((to, packet.hash));
        self.at(SECOND, What::Turn(to));
        Some(true)
    }

    pub(super) fn arrive(&mut self, from: u32, to: u32, packet: &Rc<Sealed>) -> Checked {
        if !self.is_reachable(to) {
            return Ok(());
        }
        let Some(stored) = self.store(to, packet) else { return Ok(()) };
        if self.is_healed || !self.one_in(12) {
            let after = 20 + self.draw(2 * SECOND);
            self.at(after, What::Answered(from, to, packet.hash, stored));
        }
        Ok(())
    }

    pub(super) fn deposit(&mut self, n: u32, to: u32, packet: &Rc<Sealed>) -> Checked {
        if !self.office(n).is_up {
            return Ok(());
        }
        let chosen = {
            let [one, two] = self.hubs_of(to);
            if self.one_in(2) { one } else { two }
        };
        let now = self.clock();
        let reachable = self.is_reachable(n) && self.is_known_at(chosen, n);
        let Some(hub) = self.hubs.get_mut(chosen as usize).filter(|hub| reachable && !hub.revoked.contains(&n)) else {
            self.deliver(n, to, Input::NotDeposited { packet: packet.hash });
            return Ok(());
        };
        let kept = Kept { from: office_id(n), bytes: packet.bytes, expires: packet.expires };
        let hub_bytes = hub.shelves.values().map(Shelf::bytes).sum();
        let shelf = hub.shelves.entry(to).or_default();
        let taken = shelf.take(packet.hash, &kept, hub_bytes, now);
        if taken == Ok(Taken::New) {
            shelf.put(packet.hash, kept);
            hub.packets.insert(packet.hash, Rc::clone(packet));
        }
        if shelf.bytes() > MAILBOX_OFFICE_BYTES_MAX {
            return Err(format!("hub {chosen} keeps more than it may for {to}"));
        }
        let hash = packet.hash;
        self.deliver(
            n,
            to,
            if taken.is_ok() { Input::Deposited { packet: hash } } else { Input::NotDeposited { packet: hash } },
        );
        Ok(())
    }

    /// Whether a hub knows the keys that an office has now.
    fn is_known_at(&self, hub: u32, n: u32) -> bool {
        self.keys.knows(self.setup.offices + hub, n, self.clock())
    }

    pub(super) fn poll(&mut self, n: u32) -> Checked {
        if !self.office(n).is_up {
            return Ok(());
        }
        let again = if self.setup.offices > 100 { 2 * HOUR } else { 20 * MINUTE };
        self.at(again, What::Poll(n));
        if !self.is_reachable(n) {
            return Ok(());
        }
        for hub in self.hubs_of(n) {
            if !self.is_known_at(hub, n) {
                continue;
            }
            let listed = self.hubs.get(hub as usize).and_then(|hub| hub.shelves.get(&n)).map(|shelf| shelf.list(None));
            for hash in listed.unwrap_or_default() {
                let Some(packet) = self.hubs.get(hub as usize).and_then(|hub| hub.packets.get(&hash)).cloned() else {
                    continue;
                };
                let stored = self.store(n, &packet);
                self.report.by_hub += u64::from(stored == Some(true));
                // Cut off between storing and deleting: it is fetched once more.
                if !self.is_healed && self.one_in(30) {
                    break;
                }
                if let Some(hub) = self.hubs.get_mut(hub as usize) {
                    hub.packets.remove(&hash);
                    hub.shelves.get_mut(&n).and_then(|shelf| shelf.remove(&hash));
                    if stored == Some(true) {
                        hub.receipts.entry(packet.from).or_default().insert((n, hash));
                    }
                }
            }
        }
        for hub in 0..self.setup.hubs {
            if !self.is_known_at(hub, n) {
                continue;
            }
            let receipts = self.hubs.get_mut(hub as usize).and_then(|hub| hub.receipts.remove(&n)).unwrap_or_default();
            for (from, packet) in receipts {
                self.deliver(n, from, Input::Arrived { packet });
            }
        }
        Ok(())
    }

    /// A stick with what waits for an office leaves, or comes.
    pub(super) fn stick(&mut self, from: u32, to: u32, packets: Vec<Rc<Sealed>>) -> Checked {
        if packets.is_empty() {
            let sealed = self.office(from).spool_out.values().filter(|(packet, _)| packet.to == to);
            let packets: Vec<Rc<Sealed>> = sealed.map(|(packet, _)| Rc::clone(packet)).collect();
            if !packets.is_empty() {
                let after = 2 * HOUR + self.draw(3 * DAY);
                self.at(after, What::Stick(from, to, packets));
            }
            return Ok(());
        }
        if !self.office(to).is_up {
            self.at(HOUR, What::Stick(from, to, packets));
            return Ok(());
        }
        let mut receipts = Vec::new();
        for packet in &packets {
            if self.store(to, packet) == Some(true) {
                self.report.by_stick += 1;
                receipts.push(packet.hash);
            }
        }
        let after = 2 * HOUR + self.draw(2 * DAY);
        self.at(after, What::StickBack(from, to, receipts));
        Ok(())
    }
}
