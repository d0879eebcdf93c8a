//! The receipt of storage: "these very bytes lie safely with us", signed by the receipt key of the
//! recipient's machine after its fsync, whether or not the office is open. It is the fact *arrived*; a
//! hub's acceptance is not.

use crate::id::OfficeId;
use crate::time::Timestamp;
use casemesh_crypto::hash::Digest;
use casemesh_crypto::sign::{Context, Signature, SigningKey, VerifyingKey};
use casemesh_crypto::wire;
use minicbor::{Decode, Encode};

/// What the receipt says.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Stored {
    #[n(0)]
    version: u8,
    /// SHA-256 of the packet.
    #[n(1)]
    pub packet_hash: Digest,
    /// Who stored it.
    #[n(2)]
    pub office: OfficeId,
    /// When, by the recipient's clock.
    #[n(3)]
    pub stored: Timestamp,
}

/// A signed receipt.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Receipt {
    #[cbor(n(0), with = "minicbor::bytes")]
    stored: Vec<u8>,
    /// The receipt key that signed.
    #[n(1)]
    pub key: VerifyingKey,
    #[n(2)]
    signature: Signature,
}

/// The receipt is not one of that office for that packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the receipt does not hold")]
pub struct BadReceipt;

impl Receipt {
    /// Signs for a packet that is on disk.
    pub fn sign(packet_hash: Digest, office: OfficeId, stored: Timestamp, key: &SigningKey) -> Self {
        let stored = wire::encode(&Stored { version: 1, packet_hash, office, stored });
        let signature = key.sign(Context::Receipt, &stored);
        Self { stored, key: key.verifying_key(), signature }
    }

    /// What it says, if it is by one of the office's certified receipt keys.
    ///
    /// # Errors
    /// When the key is none of them, or the signature or the office is another.
    pub fn verify(&self, office: OfficeId, receipt_keys: &[VerifyingKey]) -> Result<Stored, BadReceipt> {
        if !receipt_keys.contains(&self.key) {
            return Err(BadReceipt);
        }
        self.key.verify(Context::Receipt, &self.stored, &self.signature).map_err(|_| BadReceipt)?;
        let stored: Stored = wire::decode(&self.stored).map_err(|_| BadReceipt)?;
        if stored.version == 1 && stored.office == office { Ok(stored) } else { Err(BadReceipt) }
    }

    /// What it says, without checking who signed: to find the packet and the keys that the check needs.
    pub fn unverified(&self) -> Option<Stored> {
        wire::decode(&self.stored).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use casemesh_crypto::random::os_rng;

    #[test]
    fn only_the_recipients_certified_key_gives_a_receipt() {
        let key = SigningKey::random(&mut os_rng());
        let (us, other) = (OfficeId::new([1; 32]), OfficeId::new([2; 32]));
        let receipt = Receipt::sign(Digest::new([7; 32]), us, Timestamp::from_s(5), &key);
        let stored = receipt.verify(us, &[key.verifying_key()]).unwrap();
        assert_eq!((stored.packet_hash, stored.stored), (Digest::new([7; 32]), Timestamp::from_s(5)));
        assert!(receipt.verify(other, &[key.verifying_key()]).is_err());
        assert!(receipt.verify(us, &[SigningKey::random(&mut os_rng()).verifying_key()]).is_err());
    }
}
