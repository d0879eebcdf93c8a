//! A 32-byte secret: on the heap, wiped when dropped, never printed, read by one method.

use crate::random::CryptoRng;
use zeroize::Zeroizing;

/// A secret key of 32 bytes.
///
/// It has no `Display`, no serialisation and a `Debug` that shows nothing.
#[derive(Clone)]
pub struct Secret(Box<Zeroizing<[u8; 32]>>);

impl Secret {
    /// Takes 32 bytes. **Warning:** the caller's own copy is not wiped.
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(Box::new(Zeroizing::new(bytes)))
    }

    /// Draws a fresh secret.
    pub fn random(rng: &mut impl CryptoRng) -> Self {
        let mut boxed = Box::new(Zeroizing::new([0u8; 32]));
        rng.fill_bytes(boxed.as_mut().as_mut_slice());
        Self(boxed)
    }

    /// Takes a slice of exactly 32 bytes, else `None`.
    pub fn from_slice(bytes: &[u8]) -> Option<Self> {
        <[u8; 32]>::try_from(bytes).ok().map(Self::new)
    }

    /// The bytes. **Warning:** search for this name to find every place that reads a secret.
    pub fn expose(&self) -> &[u8; 32] {
        &self.0
    }

    /// A short non-secret mark by which two copies of one secret can be recognised.
    pub fn check_value(&self) -> [u8; 4] {
        let digest = crate::schedule::derive(self, &[], crate::schedule::CHECK_VALUE);
        let mut check = [0u8; 4];
        check.copy_from_slice(digest.expose().split_at(4).0);
        check
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_nothing() {
        assert_eq!(format!("{:?}", Secret::new([7; 32])), "Secret(..)");
    }
}
