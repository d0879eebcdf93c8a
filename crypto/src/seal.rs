//! Sealing at rest: XChaCha20-Poly1305 with a random 24-byte nonce, never a counter kept in a file. The
//! associated data says where the ciphertext belongs; moved elsewhere, it does not open.

use crate::random::{self, CryptoRng};
use crate::secret::Secret;
use chacha20poly1305::aead::{Aead as _, KeyInit as _, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use zeroize::Zeroizing;

/// Bytes that sealing adds: the nonce before and the tag behind.
pub const OVERHEAD_BYTES: usize = NONCE_BYTES + 16;
const NONCE_BYTES: usize = 24;

/// The bytes do not open: damaged, moved, or sealed under another key. Which, is not said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the sealed bytes do not open")]
pub struct OpenError;

/// Seals `plaintext` under `key`, bound to `place`. Result: nonce, ciphertext, tag.
pub fn seal(key: &Secret, place: &[u8], plaintext: &[u8], rng: &mut impl CryptoRng) -> Vec<u8> {
    let nonce: [u8; NONCE_BYTES] = random::array(rng);
    let sealed = cipher(key).encrypt(&XNonce::from(nonce), Payload { msg: plaintext, aad: place });
    debug_assert!(sealed.is_ok(), "a record is far below the cipher's bound");
    let mut out = nonce.to_vec();
    out.extend(sealed.unwrap_or_default());
    out
}

/// Opens what [`seal`] made for the same `place`.
///
/// # Errors
/// When anything differs: key, place, or a bit of the bytes.
pub fn open(key: &Secret, place: &[u8], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, OpenError> {
    let (nonce, ciphertext) = sealed.split_at_checked(NONCE_BYTES).ok_or(OpenError)?;
    let nonce = <[u8; NONCE_BYTES]>::try_from(nonce).map_err(|_| OpenError)?;
    cipher(key)
        .decrypt(&XNonce::from(nonce), Payload { msg: ciphertext, aad: place })
        .map(Zeroizing::new)
        .map_err(|_| OpenError)
}

/// A key for one use that the caller names (HKDF-SHA256).
pub fn subkey(key: &Secret, name: &str) -> Secret {
    crate::schedule::derive_named(key, name)
}

fn cipher(key: &Secret) -> XChaCha20Poly1305 {
    XChaCha20Poly1305::new(key.expose().into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::os_rng;

    #[test]
    fn sealed_bytes_open_only_in_their_place() {
        let key = Secret::random(&mut os_rng());
        let sealed = seal(&key, b"record/1", b"tell nobody", &mut os_rng());
        assert_eq!(sealed.len(), b"tell nobody".len() + OVERHEAD_BYTES);
        assert_eq!(open(&key, b"record/1", &sealed).unwrap().as_slice(), b"tell nobody");
        assert_eq!(open(&key, b"record/2", &sealed), Err(OpenError));
        assert_eq!(open(&Secret::random(&mut os_rng()), b"record/1", &sealed), Err(OpenError));
    }

    #[test]
    fn every_flipped_bit_and_every_truncation_is_refused() {
        let key = Secret::random(&mut os_rng());
        let sealed = seal(&key, b"p", b"twelve bytes", &mut os_rng());
        for bit in 0..sealed.len() * 8 {
            let mut damaged = sealed.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(open(&key, b"p", &damaged), Err(OpenError), "bit {bit}");
        }
        for end in 0..sealed.len() {
            assert_eq!(open(&key, b"p", &sealed[..end]), Err(OpenError), "length {end}");
        }
    }

    #[test]
    fn equal_plaintexts_do_not_look_equal() {
        let key = Secret::random(&mut os_rng());
        assert_ne!(seal(&key, b"p", b"x", &mut os_rng()), seal(&key, b"p", b"x", &mut os_rng()));
    }
}
