//! SHA-256 and keyed names.

use crate::secret::Secret;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256};

byte_newtype!(
    /// A SHA-256 digest.
    Digest, 32
);

impl Digest {
    /// The digest that stands where there is none (the predecessor of the first).
    pub const ZERO: Self = Self::new([0; 32]);
}

/// SHA-256 of the concatenated parts.
pub fn sha256(parts: &[&[u8]]) -> Digest {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update(part);
    }
    Digest::new(hasher.finalize().into())
}

/// HMAC-SHA256 of the parts, each preceded by its length, so that no two lists of parts agree.
///
/// It names rows on disk: without the key a name tells nothing.
pub fn keyed_name(key: &Secret, parts: &[&[u8]]) -> Digest {
    let mut mac = keyed(key);
    for part in parts {
        mac.update(&(part.len() as u64).to_be_bytes());
        mac.update(part);
    }
    Digest::new(mac.finalize().into_bytes().into())
}

#[expect(clippy::expect_used, reason = "HMAC takes a key of any length")]
fn keyed(key: &Secret) -> Hmac<Sha256> {
    Hmac::new_from_slice(key.expose()).expect("HMAC takes a key of any length")
}
