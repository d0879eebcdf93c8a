//! What a hub keeps for one office, what it takes on, and when it lets go. Pure: the hub's shell keeps the bytes.
//!
//! Nothing is evicted to make room: what does not fit is refused, and the sender keeps it.

use crate::frame::Rejection;
use crate::id::{OfficeId, ThreadId};
use crate::limits::{
    BLOB_BYTES_MAX, MAILBOX_HUB_BYTES_MAX, MAILBOX_LIST_MAX, MAILBOX_OFFICE_BYTES_MAX, MAILBOX_OFFICE_PACKETS_MAX,
    MAILBOX_PAIR_BYTES_MAX, MAILBOX_PAIR_PACKETS_MAX,
};
use crate::time::Timestamp;
use casemesh_crypto::hash::Digest;
use minicbor::{Decode, Encode};
use std::collections::BTreeMap;

/// A packet that a hub keeps: who left it, how long it is, until when it is worth keeping.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kept {
    /// Who left it.
    pub from: OfficeId,
    /// Its length in bytes.
    pub bytes: u64,
    /// After that nobody need keep it.
    pub expires: Timestamp,
}

/// How much a hub takes on for one office.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quota {
    /// How many in all.
    pub count: usize,
    /// How many bytes in all.
    pub bytes: u64,
    /// How many from one sender.
    pub pair_count: usize,
    /// How many bytes from one sender.
    pub pair_bytes: u64,
}

/// How many packets.
pub const PACKETS: Quota = Quota {
    count: MAILBOX_OFFICE_PACKETS_MAX,
    bytes: MAILBOX_OFFICE_BYTES_MAX,
    pair_count: MAILBOX_PAIR_PACKETS_MAX,
    pair_bytes: MAILBOX_PAIR_BYTES_MAX,
};

/// How many sealed files: two of the longest from one sender.
pub const BLOBS: Quota =
    Quota { count: 256, bytes: 4 * BLOB_BYTES_MAX, pair_count: 64, pair_bytes: 2 * BLOB_BYTES_MAX };

/// Sealed files of one sender, for all offices together, in bytes: an eighth of the room.
pub const BLOBS_OF_ONE_BYTES_MAX: u64 = MAILBOX_HUB_BYTES_MAX / 8;
/// A hub keeps a file no longer than that.
pub const BLOB_DAYS: u64 = 14;

/// What a hub keeps for one office.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Shelf {
    kept: BTreeMap<Digest, Kept>,
    bytes: u64,
}

/// What becomes of a packet that is left at a hub.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// It is to be kept; put the bytes on disk, then [`Shelf::put`].
    New,
    /// It is here already.
    Known,
}

impl Shelf {
    /// Whether a packet is taken on. `hub_bytes` is what the hub keeps for all offices together.
    ///
    /// # Errors
    /// When its time is over, or it does not fit.
    pub fn take(&self, packet: Digest, offer: &Kept, hub_bytes: u64, now: Timestamp) -> Result<Taken, Rejection> {
        self.take_within(packet, offer, hub_bytes, &PACKETS, now)
    }

    /// Whether something is taken on within a quota.
    ///
    /// # Errors
    /// When its time is over, or it does not fit.
    pub fn take_within(
        &self,
        packet: Digest,
        offer: &Kept,
        hub_bytes: u64,
        quota: &Quota,
        now: Timestamp,
    ) -> Result<Taken, Rejection> {
        if self.kept.contains_key(&packet) {
            return Ok(Taken::Known);
        }
        if offer.expires <= now {
            return Err(Rejection::Packet);
        }
        let (mut packets, mut bytes) = (0, 0u64);
        for kept in self.kept.values().filter(|kept| kept.from == offer.from) {
            packets += 1;
            bytes = bytes.saturating_add(kept.bytes);
        }
        let fits = self.kept.len() < quota.count
            && self.bytes().saturating_add(offer.bytes) <= quota.bytes
            && packets < quota.pair_count
            && bytes.saturating_add(offer.bytes) <= quota.pair_bytes
            && hub_bytes.saturating_add(offer.bytes) <= MAILBOX_HUB_BYTES_MAX;
        if fits { Ok(Taken::New) } else { Err(Rejection::Quota) }
    }

    /// What lies here under a hash.
    pub fn get(&self, packet: &Digest) -> Option<&Kept> {
        self.kept.get(packet)
    }

    /// How much of it one sender left, in bytes.
    pub fn bytes_of(&self, sender: &OfficeId) -> u64 {
        self.kept.values().filter(|kept| kept.from == *sender).map(|kept| kept.bytes).sum()
    }

    /// Whether something lies here.
    pub fn holds(&self, packet: &Digest) -> bool {
        self.kept.contains_key(packet)
    }

    /// The packet is on disk.
    pub fn put(&mut self, packet: Digest, kept: Kept) {
        self.bytes = self.bytes.saturating_add(kept.bytes);
        if let Some(before) = self.kept.insert(packet, kept) {
            self.bytes = self.bytes.saturating_sub(before.bytes);
        }
    }

    /// The recipient has it, or its time is over: who left it.
    pub fn remove(&mut self, packet: &Digest) -> Option<OfficeId> {
        let kept = self.kept.remove(packet)?;
        self.bytes = self.bytes.saturating_sub(kept.bytes);
        Some(kept.from)
    }

    /// What lies here after a packet, or from the first, as far as one list holds.
    pub fn list(&self, after: Option<Digest>) -> Vec<Digest> {
        let listed = self.kept.keys().filter(|packet| after.is_none_or(|after| **packet > after));
        listed.take(MAILBOX_LIST_MAX).copied().collect()
    }

    /// Packets whose time is over.
    pub fn over(&self, now: Timestamp) -> Vec<Digest> {
        self.kept.iter().filter(|(_, kept)| kept.expires <= now).map(|(packet, _)| *packet).collect()
    }

    /// How many bytes lie here.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// How many packets lie here.
    pub fn len(&self) -> usize {
        self.kept.len()
    }

    /// Whether nothing lies here.
    pub fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }
}

/// A full packet that waits until its recipient accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Held {
    /// Who left it.
    #[n(0)]
    pub from: OfficeId,
    /// Who may claim it.
    #[n(1)]
    pub to: OfficeId,
    /// In which referral.
    #[n(2)]
    pub thread: ThreadId,
    /// Its length.
    #[n(3)]
    pub bytes: u64,
    /// Nobody need keep it after that.
    #[n(4)]
    pub expires: Timestamp,
}

/// So many full packets of one office wait at a hub.
pub const HELD_OF_ONE_MAX: usize = 200;
/// The same, in bytes.
pub const HELD_OF_ONE_BYTES_MAX: u64 = 32 * 1024 * 1024;

/// The full packets that wait at a hub.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HeldShelf {
    held: BTreeMap<Digest, Held>,
}

impl HeldShelf {
    /// Whether a packet is taken on; the hub keeps so many bytes of other kinds already.
    ///
    /// # Errors
    /// When its time is over, or one office would leave too much.
    pub fn take(&self, packet: Digest, offer: &Held, hub_bytes: u64, now: Timestamp) -> Result<Taken, Rejection> {
        if self.held.get(&packet).is_some_and(|known| known.from == offer.from) {
            return Ok(Taken::Known);
        }
        if self.held.contains_key(&packet) || offer.expires <= now {
            return Err(Rejection::Packet);
        }
        let (mut count, mut bytes) = (0, 0u64);
        for held in self.held.values().filter(|held| held.from == offer.from && !held.is_instead(offer)) {
            count += 1;
            bytes = bytes.saturating_add(held.bytes);
        }
        let all = self.bytes().saturating_add(hub_bytes).saturating_add(offer.bytes);
        let fits = count < HELD_OF_ONE_MAX
            && bytes.saturating_add(offer.bytes) <= HELD_OF_ONE_BYTES_MAX
            && all <= MAILBOX_HUB_BYTES_MAX;
        if fits { Ok(Taken::New) } else { Err(Rejection::Quota) }
    }

    /// Notes that a packet is kept: those whose place it takes.
    pub fn put(&mut self, packet: Digest, held: Held) -> Vec<Digest> {
        let is_replaced = |(known, other): &(&Digest, &Held)| **known != packet && other.is_instead(&held);
        let replaced: Vec<Digest> = self.held.iter().filter(is_replaced).map(|(known, _)| *known).collect();
        self.held.retain(|known, _| !replaced.contains(known));
        self.held.insert(packet, held);
        replaced
    }

    /// What waits for an office that accepted a referral.
    pub fn claimed(&self, to: OfficeId, thread: ThreadId) -> Option<Digest> {
        let mut meant = self.held.iter().filter(|(_, held)| held.to == to && held.thread == thread);
        meant.next().map(|(packet, _)| *packet)
    }

    /// What an office left for another in a referral.
    pub fn left(&self, from: OfficeId, to: OfficeId, thread: ThreadId) -> Option<Digest> {
        let mut meant = self.held.iter().filter(|(_, held)| (held.from, held.to, held.thread) == (from, to, thread));
        meant.next().map(|(packet, _)| *packet)
    }

    /// A packet that is kept.
    pub fn get(&self, packet: &Digest) -> Option<&Held> {
        self.held.get(packet)
    }

    /// All packets that are kept.
    pub fn packets(&self) -> impl Iterator<Item = &Digest> {
        self.held.keys()
    }

    /// The packet is not kept any more: what was known of it.
    pub fn remove(&mut self, packet: &Digest) -> Option<Held> {
        self.held.remove(packet)
    }

    /// Packets whose time is over.
    pub fn over(&self, now: Timestamp) -> Vec<Digest> {
        self.held.iter().filter(|(_, held)| held.expires <= now).map(|(packet, _)| *packet).collect()
    }

    /// How many bytes are kept.
    pub fn bytes(&self) -> u64 {
        self.held.values().map(|held| held.bytes).sum()
    }
}

impl Held {
    /// Whether one is in place of the other.
    fn is_instead(&self, other: &Self) -> bool {
        (self.from, self.to, self.thread) == (other.from, other.to, other.thread)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_s(1_795_000_000);

    fn packet(n: u32) -> Digest {
        casemesh_crypto::hash::sha256(&[&n.to_be_bytes()])
    }

    fn of(from: u8, bytes: u64) -> Kept {
        Kept { from: OfficeId::new([from; 32]), bytes, expires: NOW.plus_days(30) }
    }

    #[test]
    fn a_shelf_fills_to_its_bounds_and_evicts_nothing() {
        let mut shelf = Shelf::default();
        let mut next = 0;
        for from in 0..u8::MAX {
            loop {
                let offer = of(from, 1_000);
                match shelf.take(packet(next), &offer, shelf.bytes(), NOW) {
                    Ok(Taken::New) => shelf.put(packet(next), offer),
                    Ok(Taken::Known) => panic!("never before"),
                    Err(refused) => {
                        assert_eq!(refused, Rejection::Quota);
                        break;
                    }
                }
                next += 1;
            }
        }
        assert_eq!(shelf.len(), MAILBOX_OFFICE_PACKETS_MAX);
        assert_eq!(shelf.take(packet(0), &of(0, 1_000), 0, NOW), Ok(Taken::Known), "what is here is here");
        assert_eq!(shelf.remove(&packet(0)), Some(OfficeId::new([0; 32])));
        assert_eq!(shelf.take(packet(next), &of(9, 1_000), MAILBOX_HUB_BYTES_MAX, NOW), Err(Rejection::Quota));
        let big = of(250, MAILBOX_PAIR_BYTES_MAX + 1);
        assert_eq!(shelf.take(packet(next), &big, 0, NOW), Err(Rejection::Quota));
    }

    #[test]
    fn what_is_over_goes_and_lists_go_on_where_they_ended() {
        let mut shelf = Shelf::default();
        for n in 0..300 {
            shelf.put(packet(n), of(1, 10));
        }
        let first = shelf.list(None);
        assert_eq!(first.len(), MAILBOX_LIST_MAX);
        let rest = shelf.list(first.last().copied());
        assert_eq!(first.len() + rest.len(), 300);
        assert!(shelf.over(NOW).is_empty());
        assert_eq!(shelf.over(NOW.plus_days(30)).len(), 300);
        assert_eq!(shelf.take(packet(999), &of(1, 10), 0, NOW.plus_days(30)), Err(Rejection::Packet));
    }

    #[test]
    fn what_waits_is_given_to_whom_it_is_for_and_the_newest_takes_the_place() {
        let [us, them, third] = [1, 2, 3].map(|n| OfficeId::new([n; 32]));
        let held = |from, thread, bytes| Held {
            from,
            to: them,
            thread: ThreadId::new([thread; 16]),
            bytes,
            expires: NOW.plus_days(1),
        };
        let mut shelf = HeldShelf::default();
        assert_eq!(shelf.take(packet(1), &held(us, 1, 10), 0, NOW), Ok(Taken::New));
        assert!(shelf.put(packet(1), held(us, 1, 10)).is_empty());
        assert_eq!(shelf.take(packet(1), &held(us, 1, 10), 0, NOW), Ok(Taken::Known));
        assert!(shelf.take(packet(1), &held(third, 1, 10), 0, NOW).is_err(), "another cannot take it over");
        assert_eq!(shelf.claimed(them, ThreadId::new([1; 16])), Some(packet(1)));
        assert_eq!(shelf.claimed(third, ThreadId::new([1; 16])), None);
        assert_eq!(shelf.claimed(them, ThreadId::new([2; 16])), None);
        assert_eq!(shelf.put(packet(2), held(us, 1, 20)), [packet(1)]);
        assert_eq!((shelf.claimed(them, ThreadId::new([1; 16])), shelf.bytes()), (Some(packet(2)), 20));
        let over = held(us, 3, HELD_OF_ONE_BYTES_MAX);
        assert_eq!(shelf.take(packet(3), &over, 0, NOW), Err(Rejection::Quota));
        assert_eq!(shelf.take(packet(3), &held(us, 3, 1), MAILBOX_HUB_BYTES_MAX, NOW), Err(Rejection::Quota));
        assert_eq!(shelf.take(packet(3), &held(us, 3, 1), 0, NOW.plus_days(2)), Err(Rejection::Packet));
        assert_eq!(shelf.over(NOW.plus_days(1)), [packet(2)]);
    }
}
