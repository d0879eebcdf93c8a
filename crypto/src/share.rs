//! Recovery shares: a secret split so that any `threshold` sheets of paper give it back (Shamir over
//! GF(256)). Combining too few shares gives wrong bytes and no error, so each share carries the check
//! value of the secret and the mark of its set.

use crate::random::{self, CryptoRng};
use crate::secret::Secret;
use crate::token;
use vsss_rs::Gf256;

/// Who can bring an office back: any `threshold` of `count` people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Split {
    /// How many shares are needed.
    pub threshold: u8,
    /// How many are printed.
    pub count: u8,
}

impl Split {
    /// Five people, any three.
    pub const OFFICE: Self = Self { threshold: 3, count: 5 };
    /// Three people, any two: for a small office.
    pub const SMALL_OFFICE: Self = Self { threshold: 2, count: 3 };
}

/// One printed share.
#[derive(Clone, PartialEq, Eq)]
pub struct Share {
    set: [u8; 2],
    threshold: u8,
    check: [u8; 4],
    /// The number of the share and 32 bytes.
    point: zeroize::Zeroizing<Vec<u8>>,
}

const POINT_BYTES: usize = 33;

/// Why shares do not give a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ShareError {
    /// Not a share, or a character was misread.
    #[error("this is not a complete share; read it again, letter by letter")]
    Unreadable,
    /// Shares of two different printings.
    #[error("these shares come from different printings; use shares of one set only")]
    Mixed,
    /// One share twice.
    #[error("the same share was entered twice")]
    Repeated,
    /// Not enough of them.
    #[error("{needed} shares are needed and {given} were entered")]
    TooFew {
        /// How many are needed.
        needed: u8,
        /// How many there are.
        given: usize,
    },
    /// The sum is not the secret that was split.
    #[error("the shares do not fit together; one of them has a wrong letter")]
    Wrong,
    /// A split that cannot be made.
    #[error("a secret is split so that at least 2 and at most all of 255 shares are needed")]
    Split,
}

/// Splits a secret.
///
/// # Errors
/// When the threshold is below 2 or above the count.
pub fn split(secret: &Secret, split: Split, rng: &mut impl CryptoRng) -> Result<Vec<Share>, ShareError> {
    if split.threshold < 2 || split.threshold > split.count {
        return Err(ShareError::Split);
    }
    let set = random::array(rng);
    let check = secret.check_value();
    let points = Gf256::split_bytes(usize::from(split.threshold), usize::from(split.count), secret.expose(), rng)
        .map_err(|_| ShareError::Split)?;
    Ok(points
        .into_iter()
        .map(|point| Share { set, threshold: split.threshold, check, point: zeroize::Zeroizing::new(point) })
        .collect())
}

/// Brings a secret back and proves that it is the one that was split.
///
/// # Errors
/// When the shares are too few, repeated, of two sets, or misread.
pub fn combine(shares: &[Share]) -> Result<Secret, ShareError> {
    let first = shares.first().ok_or(ShareError::TooFew { needed: 2, given: 0 })?;
    if shares.iter().any(|share| share.set != first.set || share.threshold != first.threshold) {
        return Err(ShareError::Mixed);
    }
    let mut numbers: Vec<u8> = shares.iter().map(Share::number).collect();
    numbers.sort_unstable();
    numbers.dedup();
    if numbers.len() != shares.len() {
        return Err(ShareError::Repeated);
    }
    if shares.len() < usize::from(first.threshold) {
        return Err(ShareError::TooFew { needed: first.threshold, given: shares.len() });
    }
    let points: Vec<Vec<u8>> =
        shares.iter().take(usize::from(first.threshold)).map(|share| share.point.to_vec()).collect();
    let bytes = zeroize::Zeroizing::new(Gf256::combine_bytes(&points).map_err(|_| ShareError::Wrong)?);
    let secret = Secret::from_slice(&bytes).ok_or(ShareError::Wrong)?;
    if secret.check_value() == first.check { Ok(secret) } else { Err(ShareError::Wrong) }
}

impl Share {
    /// Which of the set it is, from 1.
    pub fn number(&self) -> u8 {
        self.point.first().copied().unwrap_or_default()
    }

    /// The text that is printed: groups of five letters and digits, with a checksum over the whole.
    pub fn to_printed(&self) -> String {
        let mut bytes = vec![1u8];
        bytes.extend(self.set);
        bytes.push(self.threshold);
        bytes.extend(self.check);
        bytes.extend(self.point.iter());
        let sum = crate::hash::sha256(&[b"casemesh/1/share\0", &bytes]);
        bytes.extend(sum.as_bytes().iter().take(2));
        token::to_printed(&bytes)
    }

    /// Reads a printed share.
    ///
    /// # Errors
    /// When a letter is missing or wrong.
    pub fn from_printed(text: &str) -> Result<Self, ShareError> {
        let bytes = zeroize::Zeroizing::new(token::from_printed(text).ok_or(ShareError::Unreadable)?);
        let (body, sum) = bytes.split_at_checked(8 + POINT_BYTES).ok_or(ShareError::Unreadable)?;
        let expected = crate::hash::sha256(&[b"casemesh/1/share\0", body]);
        let [1, set_0, set_1, threshold, c0, c1, c2, c3, point @ ..] = body else {
            return Err(ShareError::Unreadable);
        };
        if sum.len() != 2 || !expected.as_bytes().starts_with(sum) {
            return Err(ShareError::Unreadable);
        }
        Ok(Self {
            set: [*set_0, *set_1],
            threshold: *threshold,
            check: [*c0, *c1, *c2, *c3],
            point: zeroize::Zeroizing::new(point.to_vec()),
        })
    }
}

impl std::fmt::Debug for Share {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Share({})", self.number())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::os_rng;

    fn printed() -> (Secret, Vec<Share>) {
        let secret = Secret::random(&mut os_rng());
        let shares = split(&secret, Split::OFFICE, &mut os_rng()).unwrap();
        let read =
            shares.iter().map(|share| Share::from_printed(&share.to_printed().to_lowercase()).unwrap()).collect();
        (secret, read)
    }

    #[test]
    fn any_three_of_five_printed_shares_bring_it_back() {
        let (secret, shares) = printed();
        for a in 0..5 {
            for b in a + 1..5 {
                for c in b + 1..5 {
                    let some = [shares[c].clone(), shares[a].clone(), shares[b].clone()];
                    assert_eq!(combine(&some).unwrap().expose(), secret.expose());
                }
            }
        }
        assert_eq!(combine(&shares).unwrap().expose(), secret.expose());
    }

    #[test]
    fn too_few_repeated_and_mixed_shares_are_told_apart() {
        let (_, shares) = printed();
        let (_, others) = printed();
        assert_eq!(combine(&shares[..2]).unwrap_err(), ShareError::TooFew { needed: 3, given: 2 });
        let twice = [shares[0].clone(), shares[0].clone(), shares[1].clone()];
        assert_eq!(combine(&twice).unwrap_err(), ShareError::Repeated);
        let mixed = [shares[0].clone(), shares[1].clone(), others[2].clone()];
        assert_eq!(combine(&mixed).unwrap_err(), ShareError::Mixed);
    }

    #[test]
    fn a_misread_letter_is_noticed() {
        let (_, shares) = printed();
        let text = shares[0].to_printed();
        for position in 0..text.len() {
            let mut letters: Vec<char> = text.chars().collect();
            if letters[position] == '-' {
                continue;
            }
            letters[position] = if letters[position] == '7' { '8' } else { '7' };
            let misread: String = letters.into_iter().collect();
            assert_eq!(Share::from_printed(&misread).unwrap_err(), ShareError::Unreadable, "{position}");
        }
        assert_eq!(Share::from_printed(&text[..text.len() - 1]).unwrap_err(), ShareError::Unreadable);
    }
}
