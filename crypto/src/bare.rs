//! The bare primitives of one packet, without envelope, padding, commitment or statement: the baseline that the
//! bench holds the envelope against. Nothing else uses it.

use crate::prekey::{Prekey, PrekeySecret};
use crate::random::CryptoRng;
use crate::secret::Secret;
use crate::sign::{Context, Signature, SigningKey, VerifyingKey};
use crate::stream;
use hpke::aead::ChaCha20Poly1305;
use hpke::kdf::HkdfSha256;
use hpke::kem::XWing;
use hpke::{Deserializable as _, OpModeR, OpModeS, Serializable as _};

/// One sealed key, one sealed body, one signature.
#[derive(Debug)]
struct Parts {
    encapsulated: Vec<u8>,
    wrapped: Vec<u8>,
    sealed: Vec<u8>,
    signature: Signature,
}

/// A sender, a recipient and a body.
#[derive(Debug)]
pub struct Bare {
    key: SigningKey,
    public: VerifyingKey,
    prekey: Prekey,
    secret: PrekeySecret,
    body: Vec<u8>,
    content_key: Secret,
    built: Option<Parts>,
}

impl Bare {
    /// Prepares everything that is not measured.
    pub fn new(key: &SigningKey, prekey: &PrekeySecret, body: &[u8]) -> Self {
        let mut bare = Self {
            key: key.clone(),
            public: key.verifying_key(),
            prekey: prekey.public().clone(),
            secret: prekey.clone(),
            body: body.to_vec(),
            content_key: Secret::new([7; 32]),
            built: None,
        };
        bare.built = bare.parts(&mut crate::random::os_rng());
        bare
    }

    fn parts(&self, rng: &mut impl CryptoRng) -> Option<Parts> {
        let public = self.prekey.hpke().ok()?;
        let (encapsulated, wrapped) = hpke::single_shot_seal_with_rng::<ChaCha20Poly1305, HkdfSha256, XWing>(
            &OpModeS::Base,
            &public,
            b"",
            self.content_key.expose(),
            b"",
            rng,
        )
        .ok()?;
        let sealed = stream::seal(&self.content_key, &self.body);
        let signature = self.key.sign(Context::PacketStatement, self.body.get(..256).unwrap_or(&self.body));
        Some(Parts { encapsulated: encapsulated.to_bytes().to_vec(), wrapped, sealed, signature })
    }

    /// Seals a key to the prekey, seals the body, signs 256 bytes. How long the sealed body is.
    pub fn build(&self, rng: &mut impl CryptoRng) -> usize {
        self.parts(rng).map_or(0, |parts| parts.sealed.len())
    }

    /// Opens the key, opens the body, verifies the signature. Whether all of it holds.
    pub fn open(&self) -> bool {
        let Some(parts) = &self.built else { return false };
        let opened = || -> Option<()> {
            let secret = self.secret.hpke().ok()?;
            let encapsulated = <XWing as hpke::Kem>::EncappedKey::from_bytes(&parts.encapsulated).ok()?;
            let key = hpke::single_shot_open::<ChaCha20Poly1305, HkdfSha256, XWing>(
                &OpModeR::Base,
                &secret,
                &encapsulated,
                b"",
                &parts.wrapped,
                b"",
            )
            .ok()?;
            let body = stream::open(&Secret::from_slice(&key)?, &parts.sealed).ok()?;
            self.public.verify(Context::PacketStatement, body.get(..256).unwrap_or(&body), &parts.signature).ok()
        };
        opened().is_some()
    }
}
