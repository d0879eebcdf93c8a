//! Keys that can be destroyed. Every person has a key; every record version is sealed under a content
//! key that lives only as long as the key of one of its subjects. All of them are kept wrapped under a
//! *shred epoch key*. To erase a person is to start a new epoch without that key and to destroy the old
//! epoch key: a disk that remembers deleted bytes then remembers noise.
//!
//! ```text
//! epoch key --wraps--> person key K_p --derives--> content key of (place, version), one subject
//!     `------wraps--> content key of a version with several subjects, while one of them lives
//! ```

use crate::random::CryptoRng;
use crate::schedule;
use crate::seal::{self, OpenError};
use crate::secret::Secret;
use minicbor::{Decode, Encode};
use std::collections::BTreeMap;

byte_newtype!(
    /// The opaque name of a person key or a content key. Random: it tells nothing about the person.
    KeyHandle, 16
);

/// A key as it stands in the key table and in the journal entry that brought it.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct WrappedKey {
    /// The name under which records refer to it.
    #[n(0)]
    pub handle: KeyHandle,
    /// For a content key: the person keys that keep it alive. Empty for a person key.
    #[n(1)]
    pub subjects: Vec<KeyHandle>,
    #[cbor(n(2), with = "minicbor::bytes")]
    wrapped: Vec<u8>,
}

/// The epoch key and its number.
#[derive(Debug, Clone)]
pub struct Epoch {
    number: u32,
    key: Secret,
}

impl Epoch {
    /// The first epoch of a new store.
    pub fn first(rng: &mut impl CryptoRng) -> Self {
        Self::new(1, Secret::random(rng))
    }

    /// An epoch read from the key file.
    pub fn new(number: u32, key: Secret) -> Self {
        Self { number, key }
    }

    /// The epoch after this one, under a fresh key.
    pub fn next(&self, rng: &mut impl CryptoRng) -> Self {
        Self::new(self.number.saturating_add(1), Secret::random(rng))
    }

    /// Its number, from 1.
    pub fn number(&self) -> u32 {
        self.number
    }

    /// Its key. **Warning:** everything hangs on it.
    pub fn key(&self) -> &Secret {
        &self.key
    }

    /// Wraps a key for the table.
    pub fn wrap(
        &self,
        handle: KeyHandle,
        subjects: Vec<KeyHandle>,
        key: &Secret,
        rng: &mut impl CryptoRng,
    ) -> WrappedKey {
        let wrapped = seal::seal(&self.key, &self.place(&handle, &subjects), key.expose(), rng);
        WrappedKey { handle, subjects, wrapped }
    }

    /// Unwraps a key of this epoch.
    ///
    /// # Errors
    /// When it was wrapped in another epoch, or changed.
    pub fn unwrap(&self, key: &WrappedKey) -> Result<Secret, OpenError> {
        let bytes = seal::open(&self.key, &self.place(&key.handle, &key.subjects), &key.wrapped)?;
        Secret::from_slice(&bytes).ok_or(OpenError)
    }

    fn place(&self, handle: &KeyHandle, subjects: &[KeyHandle]) -> Vec<u8> {
        let mut place = b"casemesh/1/shred\0".to_vec();
        place.extend(self.number.to_be_bytes());
        place.extend(handle.as_bytes());
        place.extend(subjects.iter().flat_map(KeyHandle::as_bytes));
        place
    }
}

/// All living keys, in memory while the office is open.
#[derive(Debug, Default, Clone)]
pub struct KeyRing {
    persons: BTreeMap<KeyHandle, Secret>,
    contents: BTreeMap<KeyHandle, (Vec<KeyHandle>, Secret)>,
}

impl KeyRing {
    /// Takes a key in.
    pub fn insert(&mut self, handle: KeyHandle, subjects: Vec<KeyHandle>, key: Secret) {
        if subjects.is_empty() {
            self.persons.insert(handle, key);
        } else {
            self.contents.insert(handle, (subjects, key));
        }
    }

    /// Takes a wrapped key in.
    ///
    /// # Errors
    /// When it does not unwrap in this epoch.
    pub fn admit(&mut self, epoch: &Epoch, key: &WrappedKey) -> Result<(), OpenError> {
        self.insert(key.handle, key.subjects.clone(), epoch.unwrap(key)?);
        Ok(())
    }

    /// The content key of one version of a record about one person: HKDF(K_p, place, version).
    pub fn of_person(&self, person: &KeyHandle, place: &[u8; 16], version: u64) -> Option<Secret> {
        self.persons.get(person).map(|key| {
            schedule::derive_with(key.expose(), &[], &[schedule::RECORD_CONTENT, place, &version.to_be_bytes()])
        })
    }

    /// The content key of one version of a record about several persons.
    pub fn content(&self, handle: &KeyHandle) -> Option<&Secret> {
        self.contents.get(handle).map(|(_, key)| key)
    }

    /// Whether this person's key is alive.
    pub fn knows(&self, person: &KeyHandle) -> bool {
        self.persons.contains_key(person)
    }

    /// How many keys there are.
    pub fn len(&self) -> usize {
        self.persons.len() + self.contents.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Forgets a person: the key, the content keys that nobody else keeps alive, and those named as
    /// redacted. The handles of the content keys that went; write the table of the next epoch afterwards.
    pub fn forget(&mut self, person: &KeyHandle, redacted: &[KeyHandle]) -> Vec<KeyHandle> {
        self.persons.remove(person);
        let persons = &self.persons;
        let mut gone = Vec::new();
        self.contents.retain(|handle, (subjects, _)| {
            let lives = !redacted.contains(handle) && subjects.iter().any(|subject| persons.contains_key(subject));
            if !lives {
                gone.push(*handle);
            }
            lives
        });
        gone
    }

    /// Every living key, wrapped for `epoch`.
    pub fn wrap_all(&self, epoch: &Epoch, rng: &mut impl CryptoRng) -> Vec<WrappedKey> {
        let persons = self.persons.iter().map(|(handle, key)| (*handle, Vec::new(), key));
        let contents = self.contents.iter().map(|(handle, (subjects, key))| (*handle, subjects.clone(), key));
        persons.chain(contents).map(|(handle, subjects, key)| epoch.wrap(handle, subjects, key, rng)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::os_rng;

    #[test]
    fn after_an_erasure_only_the_others_open() {
        let rng = &mut os_rng();
        let (anna, ben, both, redacted) =
            (KeyHandle::random(rng), KeyHandle::random(rng), KeyHandle::random(rng), KeyHandle::random(rng));
        let mut ring = KeyRing::default();
        ring.insert(anna, vec![], Secret::random(rng));
        ring.insert(ben, vec![], Secret::random(rng));
        ring.insert(both, vec![anna, ben], Secret::random(rng));
        ring.insert(redacted, vec![anna, ben], Secret::random(rng));
        let old = Epoch::first(rng);
        let old_table = ring.wrap_all(&old, rng);

        assert_eq!(ring.forget(&anna, &[redacted]), [redacted]);
        let new = old.next(rng);
        let new_table = ring.wrap_all(&new, rng);

        let mut reopened = KeyRing::default();
        for key in &new_table {
            reopened.admit(&new, key).unwrap();
        }
        assert!(!reopened.knows(&anna));
        assert!(reopened.knows(&ben));
        assert!(reopened.content(&both).is_some(), "a note about two people opens while either key lives");
        assert!(reopened.content(&redacted).is_none());
        assert!(old_table.iter().all(|key| new.unwrap(key).is_err()), "the old table is noise in the new epoch");

        assert_eq!(ring.forget(&ben, &[]), [both]);
        assert!(ring.is_empty(), "with the last subject the shared key goes");
    }

    #[test]
    fn content_keys_differ_by_place_version_and_person() {
        let rng = &mut os_rng();
        let (a, b) = (KeyHandle::random(rng), KeyHandle::random(rng));
        let mut ring = KeyRing::default();
        ring.insert(a, vec![], Secret::random(rng));
        ring.insert(b, vec![], Secret::random(rng));
        let key = |person, place, version| *ring.of_person(person, &place, version).unwrap().expose();
        let first = key(&a, [1; 16], 1);
        assert_eq!(first, key(&a, [1; 16], 1));
        assert_ne!(first, key(&a, [1; 16], 2));
        assert_ne!(first, key(&a, [2; 16], 1));
        assert_ne!(first, key(&b, [1; 16], 1));
    }
}
