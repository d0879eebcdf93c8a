//! Sealing for somebody who has a browser and nothing else: AES-256-GCM under a key that PBKDF2-HMAC-SHA-256 makes of digits that are
//! told by telephone. These two, for a browser offers them itself (Web Cryptography API, W3C 2017) and Argon2 and ChaCha20 it does
//! not. The digits are drawn here and are used once: 80 bits of their own, before the stretching.

use crate::random::{self, CryptoRng};
use aes_gcm::aead::{Aead as _, KeyInit as _};
use aes_gcm::{Aes256Gcm, Key, Nonce};
use sha2::Sha256;
use zeroize::Zeroizing;

/// Digits of a passphrase.
pub const DIGITS: usize = 24;
/// Rounds of PBKDF2 (OWASP Password Storage Cheat Sheet, 2023): a second on a cheap phone.
pub const ROUNDS: u32 = 600_000;

/// What stands in the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sealed {
    /// Salt of PBKDF2.
    pub salt: [u8; 16],
    /// Nonce of AES-GCM.
    pub nonce: [u8; 12],
    /// Ciphertext and tag.
    pub bytes: Vec<u8>,
}

/// Digits for one file, each equally likely.
pub fn draw_digits(rng: &mut impl CryptoRng) -> String {
    let mut digits = String::with_capacity(DIGITS);
    while digits.len() < DIGITS {
        let [byte] = random::array::<1>(rng);
        // 250 is the greatest multiple of ten that a byte can hold.
        if byte < 250 {
            digits.push(char::from(b'0' + byte % 10));
        }
    }
    digits
}

fn key_of(digits: &str, salt: &[u8; 16]) -> Zeroizing<[u8; 32]> {
    let mut key = Zeroizing::new([0u8; 32]);
    pbkdf2::pbkdf2_hmac::<Sha256>(digits.as_bytes(), salt, ROUNDS, key.as_mut());
    key
}

/// Seals a text under digits that [`draw_digits`] gave. Takes about a tenth of a second.
pub fn seal(digits: &str, plaintext: &[u8], rng: &mut impl CryptoRng) -> Sealed {
    let (salt, nonce) = (random::array::<16>(rng), random::array::<12>(rng));
    let key = key_of(digits, &salt);
    let cipher = Aes256Gcm::new(&Key::<Aes256Gcm>::from(*key));
    let bytes = cipher.encrypt(&Nonce::from(nonce), plaintext).unwrap_or_default();
    Sealed { salt, nonce, bytes }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::os_rng;

    #[test]
    fn only_its_digits_open_it() {
        let digits = draw_digits(&mut os_rng());
        assert!(digits.len() == DIGITS && digits.bytes().all(|digit| digit.is_ascii_digit()));
        let sealed = seal(&digits, b"letter", &mut os_rng());
        let open = |digits: &str, sealed: &Sealed| {
            let key = key_of(digits, &sealed.salt);
            Aes256Gcm::new(&Key::<Aes256Gcm>::from(*key)).decrypt(&Nonce::from(sealed.nonce), sealed.bytes.as_slice())
        };
        assert_eq!(open(&digits, &sealed).unwrap(), b"letter");
        let mut other = digits.clone().into_bytes();
        other[7] = if other[7] == b'9' { b'0' } else { other[7] + 1 };
        assert!(open(&String::from_utf8(other).unwrap(), &sealed).is_err());
        let mut changed = sealed;
        changed.bytes[0] ^= 1;
        assert!(open(&digits, &changed).is_err());
    }

    #[test]
    fn digits_are_drawn_evenly() {
        let mut seen = [0usize; 10];
        for _ in 0..500 {
            for digit in draw_digits(&mut os_rng()).bytes() {
                seen[usize::from(digit - b'0')] += 1;
            }
        }
        // 1,200 each; eight standard deviations.
        assert!(seen.iter().all(|count| (940..1_460).contains(count)), "{seen:?}");
    }
}
