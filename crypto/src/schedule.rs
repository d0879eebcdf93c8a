//! Every derived key: one label each, and nothing else in the crate calls HKDF.

use crate::secret::Secret;
use hkdf::Hkdf;
use sha2::Sha256;

/// Commitment to the content key of a packet.
pub(crate) const PACKET_COMMITMENT: &[u8] = b"rp/1/commit";
/// Key of a packet's payload stream.
pub(crate) const PACKET_PAYLOAD: &[u8] = b"rp/1/payload";
/// HPKE `info` of a packet's slot.
pub(crate) const PACKET_SLOT: &[u8] = b"rp/1/slot";
/// Key that a password slot's key becomes.
pub(crate) const PASSWORD_SLOT: &[u8] = b"casemesh/1/password-slot";
/// The visible mark of a secret.
pub(crate) const CHECK_VALUE: &[u8] = b"casemesh/1/check-value";
/// Content key of one version of a record with one subject.
pub(crate) const RECORD_CONTENT: &[u8] = b"casemesh/1/record-content";
/// Anything that a caller derives under its own label.
pub(crate) const NAMED: &[u8] = b"casemesh/1/named/";

/// HKDF-SHA256 to 32 bytes (RFC 5869). `info` parts are joined; callers keep all but the last fixed in
/// length, so that no two inputs give the same bytes.
pub(crate) fn derive_with(key: &[u8], salt: &[u8], info: &[&[u8]]) -> Secret {
    let mut out = [0u8; 32];
    let expanded = Hkdf::<Sha256>::new(Some(salt), key).expand_multi_info(info, &mut out);
    debug_assert!(expanded.is_ok(), "32 bytes are within HKDF's bound");
    let secret = Secret::new(out);
    zeroize::Zeroize::zeroize(&mut out);
    secret
}

/// [`derive_with`] for a key of 32 bytes and one label.
pub(crate) fn derive(key: &Secret, salt: &[u8], label: &[u8]) -> Secret {
    derive_with(key.expose(), salt, &[label])
}

/// A key for one use that the caller names, from a key of 32 bytes.
pub(crate) fn derive_named(key: &Secret, name: &str) -> Secret {
    derive_with(key.expose(), &[], &[NAMED, name.as_bytes()])
}
