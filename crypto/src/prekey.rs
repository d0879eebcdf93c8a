//! Prekeys: X-Wing key pairs (X25519 with ML-KEM-768, KEM 0x647a of draft-ietf-hpke-pq) to which packets
//! are sealed. An office publishes one for each coming week and destroys each secret half after its
//! time, so that a packet captured today does not open with keys taken tomorrow.

use crate::hash::sha256;
use crate::random::CryptoRng;
use crate::secret::Secret;
use hpke::kem::XWing;
use hpke::{Deserializable as _, Kem as _, Serializable as _};

byte_newtype!(
    /// The first 8 bytes of SHA-256 of a prekey: which slot of a packet is whose. It changes with the
    /// prekey, so it is no lasting name of an office.
    PrekeyId, 8
);

/// The public half of a prekey, as published: 1,216 bytes.
#[derive(Clone, PartialEq, Eq)]
pub struct Prekey(Vec<u8>);

/// The bytes are no X-Wing public key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the bytes are no X-Wing public key")]
pub struct BadPrekey;

impl Prekey {
    /// Length in bytes.
    pub const LENGTH: usize = 1216;

    /// Takes the published bytes.
    ///
    /// # Errors
    /// When they are not the encoding of a public key.
    pub fn from_slice(bytes: &[u8]) -> Result<Self, BadPrekey> {
        <XWing as hpke::Kem>::PublicKey::from_bytes(bytes).map_err(|_| BadPrekey)?;
        Ok(Self(bytes.to_vec()))
    }

    /// The published bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The name of this prekey in a packet's header.
    pub fn id(&self) -> PrekeyId {
        let digest = sha256(&[&self.0]);
        let mut id = [0u8; PrekeyId::LENGTH];
        id.copy_from_slice(digest.as_bytes().split_at(PrekeyId::LENGTH).0);
        PrekeyId::new(id)
    }

    pub(crate) fn hpke(&self) -> Result<<XWing as hpke::Kem>::PublicKey, BadPrekey> {
        <XWing as hpke::Kem>::PublicKey::from_bytes(&self.0).map_err(|_| BadPrekey)
    }
}

impl std::fmt::Debug for Prekey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Prekey({})", self.id())
    }
}

impl<C> minicbor::Encode<C> for Prekey {
    fn encode<W: minicbor::encode::Write>(
        &self,
        e: &mut minicbor::Encoder<W>,
        _: &mut C,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        e.bytes(&self.0)?.ok()
    }
}

impl<'b, C> minicbor::Decode<'b, C> for Prekey {
    fn decode(d: &mut minicbor::Decoder<'b>, _: &mut C) -> Result<Self, minicbor::decode::Error> {
        Self::from_slice(d.bytes()?).map_err(minicbor::decode::Error::message)
    }
}

/// The secret half of a prekey: a 32-byte seed (draft-connolly-cfrg-xwing-kem section 5.2).
#[derive(Clone)]
pub struct PrekeySecret {
    seed: Secret,
    public: Prekey,
}

impl PrekeySecret {
    /// Draws a fresh pair.
    pub fn random(rng: &mut impl CryptoRng) -> Self {
        Self::from_seed(Secret::random(rng))
    }

    /// The pair of a seed.
    #[expect(clippy::expect_used, reason = "any 32 bytes are an X-Wing seed, and the seed has 32 bytes")]
    pub fn from_seed(seed: Secret) -> Self {
        let secret = private(&seed).expect("any 32 bytes are an X-Wing seed");
        let public = Prekey(XWing::sk_to_pk(&secret).to_bytes().to_vec());
        Self { seed, public }
    }

    /// The seed. **Warning:** copies the secret.
    pub fn seed(&self) -> &Secret {
        &self.seed
    }

    /// The public half.
    pub fn public(&self) -> &Prekey {
        &self.public
    }

    pub(crate) fn hpke(&self) -> Result<<XWing as hpke::Kem>::PrivateKey, BadPrekey> {
        private(&self.seed)
    }
}

fn private(seed: &Secret) -> Result<<XWing as hpke::Kem>::PrivateKey, BadPrekey> {
    <XWing as hpke::Kem>::PrivateKey::from_bytes(seed.expose()).map_err(|_| BadPrekey)
}

impl std::fmt::Debug for PrekeySecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PrekeySecret({})", self.public.id())
    }
}
