//! STREAM-BE32 over ChaCha20-Poly1305 in chunks of 64 KiB (Hoang, Reyhanitabar, Rogaway, Vizár 2015).
//! It detects truncation, reordering and splicing of chunks. A key seals one stream and no more, so the
//! nonce prefix is fixed.

use crate::seal::OpenError;
use crate::secret::Secret;
use aead_stream::{DecryptorBE32, EncryptorBE32};
use chacha20poly1305::{ChaCha20Poly1305, KeyInit as _};
use zeroize::Zeroizing;

/// Plaintext bytes in a chunk.
pub const CHUNK_BYTES: usize = 64 * 1024;
/// Bytes that each chunk grows by.
pub const TAG_BYTES: usize = 16;
const NONCE_PREFIX: [u8; 7] = [0; 7];

/// Seals `plaintext` under a key that is used for nothing else.
pub fn seal(key: &Secret, plaintext: &[u8]) -> Vec<u8> {
    let mut stream = EncryptorBE32::from_aead(ChaCha20Poly1305::new(key.expose().into()), (&NONCE_PREFIX).into());
    let mut out = Vec::with_capacity(plaintext.len() + TAG_BYTES * (plaintext.len() / CHUNK_BYTES + 1));
    let last_start = plaintext.len().saturating_sub(1) / CHUNK_BYTES * CHUNK_BYTES;
    let (head, last) = plaintext.split_at(last_start);
    for chunk in head.chunks(CHUNK_BYTES) {
        out.extend(stream.encrypt_next(chunk).unwrap_or_default());
    }
    out.extend(stream.encrypt_last(last).unwrap_or_default());
    out
}

/// Opens what [`seal`] made.
///
/// # Errors
/// When the key differs, or a bit, a chunk or the end.
pub fn open(key: &Secret, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, OpenError> {
    const SEALED_CHUNK: usize = CHUNK_BYTES + TAG_BYTES;
    let mut stream = DecryptorBE32::from_aead(ChaCha20Poly1305::new(key.expose().into()), (&NONCE_PREFIX).into());
    let mut out = Zeroizing::new(Vec::with_capacity(sealed.len()));
    let last_start = sealed.len().saturating_sub(1) / SEALED_CHUNK * SEALED_CHUNK;
    let (head, last) = sealed.split_at(last_start);
    for chunk in head.chunks(SEALED_CHUNK) {
        let plain = Zeroizing::new(stream.decrypt_next(chunk).map_err(|_| OpenError)?);
        out.extend_from_slice(&plain);
    }
    let plain = Zeroizing::new(stream.decrypt_last(last).map_err(|_| OpenError)?);
    out.extend_from_slice(&plain);
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_of_every_boundary_open_again() {
        let key = Secret::new([3; 32]);
        for length in [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 2 * CHUNK_BYTES, 2 * CHUNK_BYTES + 5] {
            let plain = vec![0x5a; length];
            assert_eq!(open(&key, &seal(&key, &plain)).unwrap().as_slice(), plain, "length {length}");
        }
    }

    #[test]
    fn a_stream_cut_at_a_chunk_or_with_chunks_swapped_is_refused() {
        let key = Secret::new([3; 32]);
        let sealed = seal(&key, &vec![1; 3 * CHUNK_BYTES]);
        let chunk = CHUNK_BYTES + TAG_BYTES;
        assert!(open(&key, &sealed[..chunk]).is_err());
        assert!(open(&key, &sealed[..2 * chunk]).is_err());
        let swapped = [&sealed[chunk..2 * chunk], &sealed[..chunk], &sealed[2 * chunk..]].concat();
        assert!(open(&key, &swapped).is_err());
    }
}
