//! Passwords: Argon2id (RFC 9106), 64 MiB and 3 passes at the least. A password either wraps a key (a
//! *slot*) or is kept as a hash; parameters are stored beside and may only rise.

use crate::random::{self, CryptoRng};
use crate::seal::{self, OpenError};
use crate::secret::Secret;
use crate::{schedule, token};
use argon2::{Algorithm, Argon2, Params, Version};
use minicbor::{Decode, Encode};

/// Longest password in bytes; what is longer is refused before hashing.
pub const PASSWORD_BYTES_MAX: usize = 256;
/// Least memory in KiB.
pub const MEMORY_KIB_MIN: u32 = 64 * 1024;
/// Memory in KiB that a new office starts with.
pub const MEMORY_KIB_DEFAULT: u32 = 256 * 1024;
/// Most memory in KiB that a stored file can ask for.
const MEMORY_KIB_MAX: u32 = 2 * 1024 * 1024;
const PASSES_MIN: u32 = 3;
const PASSES_MAX: u32 = 16;

/// How costly one guess is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Cost {
    /// Memory in KiB.
    #[n(0)]
    memory_kib: u32,
    /// Passes over it.
    #[n(1)]
    passes: u32,
}

/// Why a password cannot be used here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PasswordError {
    /// The cost is below the floor or absurdly high: the file was tampered with.
    #[error("the stored password cost is outside the bounds; the key file was changed by somebody")]
    Cost,
    /// Too long to hash.
    #[error("the password is longer than {PASSWORD_BYTES_MAX} bytes")]
    TooLong,
    /// Not that password, or the slot is damaged.
    #[error("the password is not right")]
    Wrong,
}

impl From<OpenError> for PasswordError {
    fn from(_: OpenError) -> Self {
        Self::Wrong
    }
}

impl Cost {
    /// The least cost that is accepted.
    pub const FLOOR: Self = Self { memory_kib: MEMORY_KIB_MIN, passes: PASSES_MIN };
    /// What a new office starts with where the machine has the memory.
    pub const DEFAULT: Self = Self { memory_kib: MEMORY_KIB_DEFAULT, passes: PASSES_MIN };

    /// The memory one guess takes, in KiB.
    pub fn memory_kib(&self) -> u32 {
        self.memory_kib
    }

    fn derive(self, password: &str, salt: &[u8; 32]) -> Result<Secret, PasswordError> {
        let bounds = MEMORY_KIB_MIN..=MEMORY_KIB_MAX;
        if !bounds.contains(&self.memory_kib) || !(PASSES_MIN..=PASSES_MAX).contains(&self.passes) {
            return Err(PasswordError::Cost);
        }
        if password.len() > PASSWORD_BYTES_MAX {
            return Err(PasswordError::TooLong);
        }
        let params = Params::new(self.memory_kib, self.passes, 1, Some(32)).map_err(|_| PasswordError::Cost)?;
        let mut out = zeroize::Zeroizing::new([0u8; 32]);
        Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
            .hash_password_into(password.as_bytes(), salt, out.as_mut_slice())
            .map_err(|_| PasswordError::Cost)?;
        Ok(Secret::new(*out))
    }
}

/// A key wrapped under a password.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct PasswordSlot {
    #[n(0)]
    cost: Cost,
    #[cbor(n(1), with = "minicbor::bytes")]
    salt: [u8; 32],
    #[cbor(n(2), with = "minicbor::bytes")]
    wrapped: Vec<u8>,
}

impl PasswordSlot {
    /// Wraps `key` under `password`, bound to `owner` (who may use the slot).
    ///
    /// # Errors
    /// When the password is too long or the cost out of bounds.
    pub fn seal(
        key: &Secret,
        password: &str,
        owner: &[u8],
        cost: Cost,
        rng: &mut impl CryptoRng,
    ) -> Result<Self, PasswordError> {
        let salt = random::array(rng);
        let wrapping = schedule::derive(&cost.derive(password, &salt)?, &[], schedule::PASSWORD_SLOT);
        let wrapped = seal::seal(&wrapping, &Self::place(owner, cost), key.expose(), rng);
        Ok(Self { cost, salt, wrapped })
    }

    /// Unwraps the key.
    ///
    /// # Errors
    /// When the password is not the one, or the slot was changed.
    pub fn open(&self, password: &str, owner: &[u8]) -> Result<Secret, PasswordError> {
        let wrapping = schedule::derive(&self.cost.derive(password, &self.salt)?, &[], schedule::PASSWORD_SLOT);
        let key = seal::open(&wrapping, &Self::place(owner, self.cost), &self.wrapped)?;
        Secret::from_slice(&key).ok_or(PasswordError::Wrong)
    }

    /// The cost it was made with.
    pub fn cost(&self) -> Cost {
        self.cost
    }

    fn place(owner: &[u8], cost: Cost) -> Vec<u8> {
        [b"casemesh/1/slot\0", &cost.memory_kib.to_be_bytes()[..], &cost.passes.to_be_bytes(), owner].concat()
    }
}

/// What is kept of a password that opens no key.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct PasswordHash {
    #[n(0)]
    cost: Cost,
    #[cbor(n(1), with = "minicbor::bytes")]
    salt: [u8; 32],
    #[cbor(n(2), with = "minicbor::bytes")]
    hash: [u8; 32],
}

impl PasswordHash {
    /// Hashes a password.
    ///
    /// # Errors
    /// When it is too long or the cost out of bounds.
    pub fn new(password: &str, cost: Cost, rng: &mut impl CryptoRng) -> Result<Self, PasswordError> {
        let salt = random::array(rng);
        Ok(Self { cost, salt, hash: *cost.derive(password, &salt)?.expose() })
    }

    /// Checks a password in a time that does not depend on where it differs.
    ///
    /// # Errors
    /// When it is not the one.
    pub fn verify(&self, password: &str) -> Result<(), PasswordError> {
        let hash = self.cost.derive(password, &self.salt)?;
        if token::equal(hash.expose(), &self.hash) { Ok(()) } else { Err(PasswordError::Wrong) }
    }

    /// A hash that no password has: verifying against it takes the time that a known name takes.
    pub fn nobody(cost: Cost) -> Self {
        Self { cost, salt: [0; 32], hash: [0; 32] }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::os_rng;

    #[test]
    fn a_slot_opens_with_its_password_for_its_owner() {
        let key = Secret::random(&mut os_rng());
        let slot = PasswordSlot::seal(&key, "correct horse", b"thandi", Cost::FLOOR, &mut os_rng()).unwrap();
        assert_eq!(slot.open("correct horse", b"thandi").unwrap().expose(), key.expose());
        assert_eq!(slot.open("correct Horse", b"thandi").unwrap_err(), PasswordError::Wrong);
        assert_eq!(slot.open("correct horse", b"sipho").unwrap_err(), PasswordError::Wrong);
    }

    #[test]
    fn a_lowered_cost_or_an_endless_password_is_refused_without_work() {
        let slot = PasswordSlot { cost: Cost { memory_kib: 8, passes: 1 }, salt: [0; 32], wrapped: vec![0; 72] };
        assert_eq!(slot.open("x", b"").unwrap_err(), PasswordError::Cost);
        let long = "x".repeat(PASSWORD_BYTES_MAX + 1);
        assert_eq!(PasswordHash::new(&long, Cost::FLOOR, &mut os_rng()).unwrap_err(), PasswordError::TooLong);
    }

    #[test]
    fn a_hash_knows_its_password_and_nobody_has_one() {
        let hash = PasswordHash::new("пароль 密码", Cost::FLOOR, &mut os_rng()).unwrap();
        assert_eq!(hash.verify("пароль 密码"), Ok(()));
        assert_eq!(hash.verify("пароль"), Err(PasswordError::Wrong));
        assert_eq!(PasswordHash::nobody(Cost::FLOOR).verify(""), Err(PasswordError::Wrong));
    }
}
