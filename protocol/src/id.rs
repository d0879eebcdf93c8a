//! Names of things. Record ids are UUIDv7 (RFC 9562) and appear only inside seals; ids on the wire are
//! random, so that they tell nothing.

use crate::time::Timestamp;
use casemesh_crypto::byte_newtype;
pub use casemesh_crypto::envelope::{OfficeId, PacketId, ThreadId};
use casemesh_crypto::random::{self, CryptoRng};
use minicbor::{Decode, Encode};

byte_newtype!(
    /// A record of an office: person, case, note, consent and so on. UUIDv7: ordered by the time it was made.
    RecordId, 16
);
byte_newtype!(
    /// A member of staff.
    StaffId, 16
);
byte_newtype!(
    /// One life of an office's store: a restored backup starts a new one.
    StoreEpoch, 8
);

/// Where the milliseconds stand in the number that an id is, and how many of its last bits are random.
const STAMP_AT: u32 = 80;
const RANDOM_BITS: u32 = 62;

impl RecordId {
    /// A fresh id after the store's last one, above it also within one millisecond (RFC 9562 section 6.2, method 2).
    pub fn after(last: Self, now: Timestamp, rng: &mut impl CryptoRng) -> Self {
        let fresh = Self::fresh(now, rng);
        let (before, after) = (u128::from_be_bytes(*last.as_bytes()), u128::from_be_bytes(*fresh.as_bytes()));
        if before >> STAMP_AT != after >> STAMP_AT || before < after {
            return fresh;
        }
        let next = before + u128::from(u32::from_be_bytes(random::array(rng))) + 1;
        // What would run over into the variant, once in some 2^30 such ids, is left to chance instead.
        if next >> RANDOM_BITS == before >> RANDOM_BITS { Self::new(next.to_be_bytes()) } else { fresh }
    }

    /// A fresh id (RFC 9562 section 5.7).
    pub fn fresh(now: Timestamp, rng: &mut impl CryptoRng) -> Self {
        let mut bytes: [u8; 16] = random::array(rng);
        for (byte, stamp) in bytes.iter_mut().zip(now.ms().to_be_bytes().into_iter().skip(2)) {
            *byte = stamp;
        }
        let [_, _, _, _, _, _, version, _, variant, ..] = &mut bytes;
        *version = 0x70 | (*version & 0x0f);
        *variant = 0x80 | (*variant & 0x3f);
        Self::new(bytes)
    }
}

/// One signed step in the life of a referral.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
#[cbor(array)]
pub struct EventId {
    /// Who made it.
    #[n(0)]
    pub office: OfficeId,
    /// In which life of its store.
    #[n(1)]
    pub epoch: StoreEpoch,
    /// Which of that life.
    #[n(2)]
    pub number: u64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use casemesh_crypto::random::os_rng;

    #[test]
    fn record_ids_are_uuid_v7_in_order_of_time() {
        let early = RecordId::fresh(Timestamp::from_ms(1_795_000_000_000), &mut os_rng());
        let late = RecordId::fresh(Timestamp::from_ms(1_795_000_000_001), &mut os_rng());
        assert!(early < late);
        assert_eq!(early.as_bytes()[6] >> 4, 7);
        assert_eq!(early.as_bytes()[8] >> 6, 2);
        assert_eq!(&early.to_string()[..12], "01a1ee565e00");
        let mut last = early;
        for _ in 0..1_000 {
            let next = RecordId::after(last, Timestamp::from_ms(1_795_000_000_000), &mut os_rng());
            assert!(last < next && next < late);
            assert_eq!((next.as_bytes()[6] >> 4, next.as_bytes()[8] >> 6), (7, 2));
            last = next;
        }
        // A clock that was set back is followed.
        assert!(RecordId::after(late, Timestamp::from_ms(1_795_000_000_000), &mut os_rng()) < late);
    }
}
