//! Ed25519 signatures (RFC 8032). A signature is always made over a context and then the bytes, so that
//! what was signed for one purpose proves nothing for another; it is always checked with
//! `verify_strict`, one at a time.

use crate::random::CryptoRng;
use crate::secret::Secret;
use ed25519_dalek::Signer as _;

byte_newtype!(
    /// The public half of a signing key.
    VerifyingKey, 32
);
byte_newtype!(
    /// An Ed25519 signature.
    Signature, 64
);
byte_newtype!(
    /// The first 8 bytes of SHA-256 of a verifying key.
    KeyId, 8
);

/// What a signature is for. Each has its own tag before the signed bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Context {
    /// A registrar's word about an office.
    Admission,
    /// The end of a bundle: packets on a stick.
    Bundle,
    /// A checkpoint of the journal's Merkle log.
    Checkpoint,
    /// A certificate that lets a node key act for an office.
    KeyLog,
    /// What the stewards of a network decided.
    NetworkRoot,
    /// An office's own entry in the directory.
    OfficeRecord,
    /// A packet's statement.
    PacketStatement,
    /// A receipt that a node signs after it stored a packet.
    Receipt,
    /// A claim to a packet that waits at a hub.
    Claim,
    /// A step in the life of a referral.
    ReferralEvent,
    /// Whose reports are in a secure sum.
    TallyRoot,
}

impl Context {
    const fn tag(self) -> &'static [u8] {
        match self {
            Self::Admission => b"casemesh/1/admission\0",
            Self::Bundle => b"casemesh/1/bundle-end\0",
            Self::Claim => b"casemesh/1/claim\0",
            Self::Checkpoint => b"casemesh/1/checkpoint\0",
            Self::KeyLog => b"casemesh/1/key-log\0",
            Self::NetworkRoot => b"casemesh/1/network-root\0",
            Self::OfficeRecord => b"casemesh/1/office-record\0",
            Self::PacketStatement => b"rp/1/statement\0",
            Self::Receipt => b"casemesh/1/receipt\0",
            Self::ReferralEvent => b"casemesh/1/referral-event\0",
            Self::TallyRoot => b"casemesh/1/tally-root\0",
        }
    }

    fn message(self, bytes: &[u8]) -> Vec<u8> {
        [self.tag(), bytes].concat()
    }
}

/// The signature is not by that key over those bytes in that context.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the signature does not verify")]
pub struct BadSignature;

/// The secret half of an Ed25519 key pair.
#[derive(Clone)]
pub struct SigningKey(Box<ed25519_dalek::SigningKey>);

impl SigningKey {
    /// Draws a fresh key.
    pub fn random(rng: &mut impl CryptoRng) -> Self {
        Self::from_seed(&Secret::random(rng))
    }

    /// The key of a 32-byte seed (RFC 8032 section 5.1.5).
    pub fn from_seed(seed: &Secret) -> Self {
        Self(Box::new(ed25519_dalek::SigningKey::from_bytes(seed.expose())))
    }

    /// The seed. **Warning:** copies the secret.
    pub fn to_seed(&self) -> Secret {
        Secret::new(self.0.to_bytes())
    }

    /// The public half.
    pub fn verifying_key(&self) -> VerifyingKey {
        VerifyingKey::new(self.0.verifying_key().to_bytes())
    }

    /// Signs bytes that the caller built itself, for one purpose.
    pub fn sign(&self, context: Context, bytes: &[u8]) -> Signature {
        Signature::new(self.0.sign(&context.message(bytes)).to_bytes())
    }
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SigningKey({:?})", self.verifying_key())
    }
}

impl VerifyingKey {
    /// Checks a signature over `bytes` in `context` (strict: no small-order key, canonical encodings).
    ///
    /// # Errors
    /// When the key is not a point, or the signature is not its own.
    pub fn verify(&self, context: Context, bytes: &[u8], signature: &Signature) -> Result<(), BadSignature> {
        self.verify_message(&context.message(bytes), signature.as_bytes())
    }

    /// The name under which a packet refers to this key.
    pub fn id(&self) -> KeyId {
        let digest = crate::hash::sha256(&[self.as_bytes()]);
        let mut id = [0u8; KeyId::LENGTH];
        id.copy_from_slice(digest.as_bytes().split_at(KeyId::LENGTH).0);
        KeyId::new(id)
    }

    pub(crate) fn verify_message(&self, message: &[u8], signature: &[u8; 64]) -> Result<(), BadSignature> {
        ed25519_dalek::VerifyingKey::from_bytes(self.as_bytes())
            .and_then(|key| key.verify_strict(message, &ed25519_dalek::Signature::from_bytes(signature)))
            .map_err(|_| BadSignature)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::os_rng;

    #[test]
    fn a_signature_for_one_purpose_proves_nothing_for_another() {
        let key = SigningKey::random(&mut os_rng());
        let signature = key.sign(Context::Receipt, b"stored");
        let public = key.verifying_key();
        assert_eq!(public.verify(Context::Receipt, b"stored", &signature), Ok(()));
        assert_eq!(public.verify(Context::Checkpoint, b"stored", &signature), Err(BadSignature));
        assert_eq!(public.verify(Context::Receipt, b"Stored", &signature), Err(BadSignature));
    }

    #[test]
    fn debug_shows_the_public_half_only() {
        let key = SigningKey::from_seed(&Secret::new([7; 32]));
        assert_eq!(format!("{key:?}"), "SigningKey(VerifyingKey(ea4a6c63..))");
    }
}
