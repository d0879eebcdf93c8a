//! The second factor: codes of six digits from a telephone (RFC 6238: SHA-1, 30 seconds), each good once.

use crate::random::{self, CryptoRng};
use minicbor::{Decode, Encode};
use totp_rs::{Builder, Secret, Totp};
use zeroize::{Zeroize, ZeroizeOnDrop};

/// RFC 4226 section 4: 160 bits.
const SECRET_BYTES: usize = 20;

/// What the telephone and the office share.
#[derive(Clone, PartialEq, Eq, Encode, Decode, Zeroize, ZeroizeOnDrop)]
#[cbor(transparent)]
pub struct FactorSecret(#[cbor(with = "minicbor::bytes")] [u8; SECRET_BYTES]);

impl std::fmt::Debug for FactorSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("FactorSecret")
    }
}

impl FactorSecret {
    /// A new one.
    pub fn random(rng: &mut impl CryptoRng) -> Self {
        Self(random::array(rng))
    }

    fn totp(&self) -> Totp {
        Builder::new().with_secret(Secret::from(self.0.to_vec())).build_noncompliant()
    }

    /// As a telephone takes it: base 32 (RFC 4648), without padding.
    pub fn to_base32(&self) -> String {
        Secret::from(self.0.to_vec()).to_base32()
    }

    /// Reads what [`Self::to_base32`] wrote.
    pub fn from_base32(text: &str) -> Option<Self> {
        let secret = Secret::try_from_base32(text).ok()?;
        secret.as_ref().try_into().ok().map(Self)
    }

    /// The code of a moment, in seconds since 1970.
    pub fn code(&self, at_s: u64) -> String {
        self.totp().generate(at_s).to_string()
    }

    /// Whether a code holds at a moment, one step early or late included: then its step, which must be greater than
    /// the last that was used, so that nobody uses a code a second time.
    pub fn check(&self, code: &str, at_s: u64, after_step: u64) -> Option<u64> {
        let code: String = code.chars().filter(|letter| !letter.is_whitespace()).collect();
        self.totp().check(&code, at_s).filter(|step| *step > after_step)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_codes_of_rfc_6238() {
        let secret = FactorSecret(*b"12345678901234567890");
        // Appendix B, the last six of its eight digits.
        for (at, code) in [(59, "287082"), (1_111_111_109, "081804"), (2_000_000_000, "279037")] {
            assert_eq!(secret.code(at), code);
        }
    }

    #[test]
    fn a_code_holds_once_and_not_for_long() {
        let secret = FactorSecret::random(&mut random::os_rng());
        let now = 1_795_000_000;
        let code = secret.code(now);
        let step = secret.check(&code, now + 30, 0).unwrap();
        assert_eq!(step, now / 30);
        assert_eq!(secret.check(&code, now, step), None);
        assert_eq!(secret.check(&code, now + 90, 0), None);
        let spaced = format!("{} {}", &code[..3], &code[3..]);
        assert_eq!(secret.check(&spaced, now, 0), Some(step));
        assert_eq!(secret.check("", now, 0), None);
        assert_eq!(FactorSecret::from_base32(&secret.to_base32()), Some(secret));
        assert_eq!(FactorSecret::from_base32("short"), None);
    }
}
