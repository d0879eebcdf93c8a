//! CRC-32 (ISO 3309, reflected polynomial EDB88320), which here does one thing that a hash cannot: it says *which*
//! byte of an entry changed. A change of one byte leaves a remainder that every further byte moves on in a way that
//! can be undone, so the place is found by walking back from the end. Whether that was the change, the hash decides.

const POLYNOMIAL: u32 = 0xedb8_8320;

/// What one byte leaves.
fn of_byte(byte: u8) -> u32 {
    (0..8).fold(u32::from(byte), |rest, _| if rest & 1 == 1 { (rest >> 1) ^ POLYNOMIAL } else { rest >> 1 })
}

/// The checksum.
pub(super) fn crc32(bytes: &[u8]) -> u32 {
    crc32fast::hash(bytes)
}

/// Where a change of one byte gives `bytes` the checksum `expected`, and what must be XORed to that byte.
pub(super) fn one_byte_off(bytes: &[u8], expected: u32) -> Option<(usize, u8)> {
    // What bytes leave differs in its first byte: it tells which one came last.
    let mut by_first_byte = [(0u8, 0u32); 256];
    for byte in 0..=u8::MAX {
        let left = of_byte(byte);
        if let Some(place) = by_first_byte.get_mut((left >> 24) as usize) {
            *place = (byte, left);
        }
    }
    let mut rest = crc32(bytes) ^ expected;
    if rest == 0 {
        return None;
    }
    for at in (0..bytes.len()).rev() {
        let (last, left) = by_first_byte.get((rest >> 24) as usize).copied()?;
        if left == rest {
            return Some((at, last));
        }
        rest = ((rest ^ left) << 8) | u32::from(last);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_the_known_one() {
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
        assert_eq!(crc32(b""), 0);
    }

    #[test]
    fn the_one_changed_byte_is_found() {
        let good: Vec<u8> = (0..999u32).map(|n| (n * n % 251) as u8).collect();
        let checksum = crc32(&good);
        assert_eq!(one_byte_off(&good, checksum), None);
        for at in (0..good.len()).step_by(13) {
            for change in [1, 0x10, 0x80, 0xff] {
                let mut bad = good.clone();
                bad[at] ^= change;
                assert_eq!(one_byte_off(&bad, checksum), Some((at, change)));
            }
        }
    }
}
