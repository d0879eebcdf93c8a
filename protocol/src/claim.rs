//! The claim to a full packet that waits at one of the sender's hubs: the recipient's signed word that it accepted the referral. The
//! hub gives the packet against nothing else, keeps the claim from nobody, and learns no word of what was accepted.

use crate::id::{OfficeId, ThreadId};
use crate::time::Timestamp;
use casemesh_crypto::hash::Digest;
use casemesh_crypto::sign::{Context, KeyId, Signature, SigningKey, VerifyingKey};
use casemesh_crypto::wire;
use minicbor::{Decode, Encode};

/// What a claim says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Claimed {
    #[n(0)]
    version: u8,
    /// Who accepted.
    #[n(1)]
    pub office: OfficeId,
    /// Which hub is asked.
    #[n(2)]
    pub hub: OfficeId,
    /// Which referral.
    #[n(3)]
    pub thread: ThreadId,
    /// Hash of the event by which it was accepted: the sender gets that event, and can hold it against the claim.
    #[n(4)]
    pub accepted: Digest,
    /// When, by the recipient's clock.
    #[n(5)]
    pub at: Timestamp,
}

/// A signed claim.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Claim {
    #[cbor(n(0), with = "minicbor::bytes")]
    claimed: Vec<u8>,
    /// The node key that signed.
    #[n(1)]
    pub key: KeyId,
    #[n(2)]
    signature: Signature,
}

/// The claim is not one of that office to that hub.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the claim does not hold")]
pub struct BadClaim;

impl Claim {
    /// Signs that an office accepted a referral, for one hub.
    pub fn sign(
        (office, hub): (OfficeId, OfficeId),
        thread: ThreadId,
        accepted: Digest,
        at: Timestamp,
        key: &SigningKey,
    ) -> Self {
        let claimed = wire::encode(&Claimed { version: 1, office, hub, thread, accepted, at });
        let signature = key.sign(Context::Claim, &claimed);
        Self { claimed, key: key.verifying_key().id(), signature }
    }

    /// What it says, if that office's key signed it for that hub.
    ///
    /// # Errors
    /// When office, hub or signature are others.
    pub fn verify(&self, office: OfficeId, hub: OfficeId, key: &VerifyingKey) -> Result<Claimed, BadClaim> {
        key.verify(Context::Claim, &self.claimed, &self.signature).map_err(|_| BadClaim)?;
        let claimed: Claimed = wire::decode(&self.claimed).map_err(|_| BadClaim)?;
        let is_meant = claimed.version == 1 && claimed.office == office && claimed.hub == hub;
        if is_meant { Ok(claimed) } else { Err(BadClaim) }
    }
}

impl Claim {
    /// What it says, without checking who signed: for one that was checked before.
    pub fn unverified(&self) -> Option<Claimed> {
        wire::decode(&self.claimed).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use casemesh_crypto::random::os_rng;

    #[test]
    fn a_claim_is_of_one_office_to_one_hub_and_under_its_key() {
        let (key, other) = (SigningKey::random(&mut os_rng()), SigningKey::random(&mut os_rng()));
        let [us, hub, third] = [1, 2, 3].map(|n| OfficeId::new([n; 32]));
        let (thread, accepted, at) = (ThreadId::new([4; 16]), Digest::new([5; 32]), Timestamp::from_s(6));
        let claim = Claim::sign((us, hub), thread, accepted, at, &key);
        let said = claim.verify(us, hub, &key.verifying_key()).unwrap();
        assert_eq!((said.thread, said.accepted, said.at), (thread, accepted, at));
        assert!(claim.verify(third, hub, &key.verifying_key()).is_err());
        assert!(claim.verify(us, third, &key.verifying_key()).is_err());
        assert!(claim.verify(us, hub, &other.verifying_key()).is_err());
    }
}
