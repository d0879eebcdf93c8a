//! Case numbers that say nothing: the count of the year, put through a keyed permutation.

use casemesh_crypto::hash::keyed_name;
use casemesh_crypto::secret::Secret;

/// Rounds of the Feistel network: four are enough for a permutation that looks random (Luby and Rackoff 1988); the
/// domain is small, so there are more.
const ROUNDS: u8 = 8;

/// The number that the `count`-th case of a year gets. Every count of a year gets another number, with as many digits
/// as the count has, but at least four.
pub(crate) fn scatter(key: &Secret, year: i16, count: u32) -> u32 {
    let mut end = 10_000u32;
    let mut start = 0;
    while count >= end {
        start = end;
        end = end.saturating_mul(10);
    }
    let mut place = count - start;
    // Walk along the cycle of a permutation of a power of four until the place is in the range again.
    loop {
        place = permute(key, year, end, place, end - start);
        if place < end - start {
            return start + place;
        }
    }
}

fn permute(key: &Secret, year: i16, end: u32, place: u32, size: u32) -> u32 {
    let bits = (32 - (size - 1).leading_zeros()).div_ceil(2);
    let mask = (1u32 << bits) - 1;
    let (mut left, mut right) = (place >> bits, place & mask);
    for round in 0..ROUNDS {
        let name = keyed_name(key, &[&year.to_be_bytes(), &end.to_be_bytes(), &[round], &right.to_be_bytes()]);
        let [a, b, c, d, ..] = *name.as_bytes();
        (left, right) = (right, left ^ (u32::from_be_bytes([a, b, c, d]) & mask));
    }
    (left << bits) | right
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_case_of_a_year_gets_another_number_and_no_number_tells_the_count() {
        let key = Secret::new([7; 32]);
        let numbers: Vec<u32> = (1..10_100).map(|count| scatter(&key, 2026, count)).collect();
        assert_eq!(numbers.iter().collect::<BTreeSet<_>>().len(), numbers.len());
        assert!(numbers[..9_999].iter().all(|number| *number < 10_000));
        assert!(numbers[9_999..].iter().all(|number| (10_000..100_000).contains(number)));
        let next_to_each_other = numbers.windows(2).filter(|pair| pair[0].abs_diff(pair[1]) == 1).count();
        assert!(next_to_each_other < 20, "{next_to_each_other}");
        assert_ne!(numbers[..50], (1..51).map(|count| scatter(&key, 2027, count)).collect::<Vec<_>>()[..]);
        assert_ne!(
            numbers[..50],
            (1..51).map(|count| scatter(&Secret::new([8; 32]), 2026, count)).collect::<Vec<_>>()[..]
        );
    }
}
