//! The view: the current version of every row, made from the journal and rebuilt from it whenever it is
//! missing or damaged. One narrow trait, two implementations, one suite that both pass.

mod memory;
mod sled_store;

pub use memory::MemoryStore;
pub use sled_store::SledStore;

use crate::journal::Write;
use casemesh_crypto::hash::{Digest, keyed_name};
use casemesh_crypto::secret::Secret;
use minicbor::{Decode, Encode};

/// The longest value of a row.
pub const VALUE_BYTES_MAX: usize = 1024 * 1024;

/// What stands in the way of the view.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The engine refuses or is damaged.
    #[error("the view is damaged or cannot be read ({0}); it will be rebuilt from the journal")]
    Engine(String),
    /// The disk refuses.
    #[error("{}", crate::disk::refusal(.0))]
    Disk(#[from] std::io::Error),
    /// A value is longer than a row can be.
    #[error("a record of {0} bytes is longer than {VALUE_BYTES_MAX}")]
    TooLong(usize),
}

/// How many rows there are and what they add up to. Adding and removing a row changes it without reading
/// the others, and a row that vanished shows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Manifest {
    #[n(0)]
    rows: u64,
    #[n(1)]
    sum: [u64; 4],
}

impl Manifest {
    /// How many rows.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Adds a row: a keyed hash of it, modulo 2^256.
    pub fn add(&mut self, mac_key: &Secret, key: &[u8], value: &[u8]) {
        self.rows = self.rows.wrapping_add(1);
        self.combine(row_hash(mac_key, key, value), u64::overflowing_add);
    }

    /// Removes a row that was added.
    pub fn remove(&mut self, mac_key: &Secret, key: &[u8], value: &[u8]) {
        self.rows = self.rows.wrapping_sub(1);
        self.combine(row_hash(mac_key, key, value), u64::overflowing_sub);
    }

    fn combine(&mut self, hash: Digest, operation: fn(u64, u64) -> (u64, bool)) {
        let mut carry = false;
        for (limb, bytes) in self.sum.iter_mut().zip(hash.as_bytes().chunks_exact(8)) {
            let other = bytes.try_into().map_or(0, u64::from_le_bytes);
            let (partial, first) = operation(*limb, other);
            let (value, second) = operation(partial, u64::from(carry));
            (*limb, carry) = (value, first || second);
        }
    }
}

fn row_hash(mac_key: &Secret, key: &[u8], value: &[u8]) -> Digest {
    keyed_name(mac_key, &[key, value])
}

/// How far the view has come, and what it should add up to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Applied {
    /// The number of the last entry that was applied.
    #[n(0)]
    pub number: u64,
    /// The rows after it.
    #[n(1)]
    pub manifest: Manifest,
}

/// A visitor of rows; it returns whether it wants more.
pub type Visit<'a> = dyn FnMut(&[u8], &[u8]) -> bool + 'a;

/// The view of the journal.
pub trait Store: Send + Sync {
    /// One row.
    ///
    /// # Errors
    /// When the engine fails.
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError>;

    /// Rows whose key starts with `prefix`, in order, until the visitor has enough.
    ///
    /// # Errors
    /// When the engine fails.
    fn scan(&self, prefix: &[u8], visit: &mut Visit<'_>) -> Result<(), StoreError>;

    /// Applies the rows of one entry, and how far the view then is, as one step.
    ///
    /// # Errors
    /// When the engine fails or a value is too long.
    fn apply(&self, writes: &[Write], applied: Applied) -> Result<(), StoreError>;

    /// How far the view is.
    ///
    /// # Errors
    /// When the engine fails.
    fn applied(&self) -> Result<Applied, StoreError>;

    /// Asks the engine to bring everything to the disk.
    ///
    /// # Errors
    /// When the disk refuses.
    fn flush(&self) -> Result<(), StoreError>;
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What every implementation must do.
    fn conforms(store: &dyn Store) {
        let put = |key: &[u8], value: &[u8]| Write { key: key.to_vec(), value: Some(value.to_vec()) };
        assert_eq!(store.applied().unwrap(), Applied::default());
        let mac_key = Secret::new([1; 32]);
        let mut applied = Applied { number: 1, manifest: Manifest::default() };
        applied.manifest.add(&mac_key, b"a1", b"one");
        store.apply(&[put(b"a1", b"one"), put(b"a2", b"two"), put(b"b", b"")], applied).unwrap();
        assert_eq!(store.applied().unwrap(), applied);
        assert_eq!(store.get(b"a1").unwrap().as_deref(), Some(&b"one"[..]));
        assert_eq!(store.get(b"a").unwrap(), None);
        assert_eq!(store.get(b"b").unwrap().as_deref(), Some(&b""[..]));

        let rows = |prefix: &[u8]| {
            let mut rows = Vec::new();
            store
                .scan(prefix, &mut |key, value| {
                    rows.push((key.to_vec(), value.to_vec()));
                    true
                })
                .unwrap();
            rows
        };
        assert_eq!(rows(b"a"), [(b"a1".to_vec(), b"one".to_vec()), (b"a2".to_vec(), b"two".to_vec())]);
        assert_eq!(rows(b"").len(), 3);
        let mut seen = 0;
        store
            .scan(b"", &mut |_, _| {
                seen += 1;
                false
            })
            .unwrap();
        assert_eq!(seen, 1);

        for length in [4095, 4096, 4097, 100_000, VALUE_BYTES_MAX, 5, 0] {
            let value = vec![0x5a; length];
            store.apply(&[put(b"long", &value)], Applied { number: 2, ..applied }).unwrap();
            assert_eq!(store.get(b"long").unwrap(), Some(value.clone()), "{length}");
            assert_eq!(rows(b"long"), [(b"long".to_vec(), value)], "{length}");
        }
        let too_long = [put(b"x", &vec![0; VALUE_BYTES_MAX + 1])];
        assert!(matches!(store.apply(&too_long, applied), Err(StoreError::TooLong(_))));

        let remove = [Write { key: b"a1".to_vec(), value: None }, Write { key: b"none".to_vec(), value: None }];
        store.apply(&remove, Applied { number: 3, ..applied }).unwrap();
        assert_eq!(store.get(b"a1").unwrap(), None);
        assert_eq!(store.applied().unwrap().number, 3);
        store.flush().unwrap();
    }

    #[test]
    fn memory_conforms() {
        conforms(&MemoryStore::default());
    }

    #[test]
    fn sled_conforms_and_remembers() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("view");
        conforms(&SledStore::open(&path).unwrap());
        // A process that another test starts at that moment holds the lock until it is its own program.
        let open =
            || SledStore::open(&path).inspect_err(|_| std::thread::sleep(std::time::Duration::from_millis(20))).ok();
        let again = std::iter::repeat_with(open).take(100).flatten().next().unwrap();
        assert_eq!(again.get(b"a2").unwrap().as_deref(), Some(&b"two"[..]));
        assert_eq!(again.applied().unwrap().number, 3);
    }

    #[test]
    fn a_manifest_does_not_depend_on_order_and_shows_a_missing_row() {
        let key = Secret::new([2; 32]);
        let (mut one, mut other) = (Manifest::default(), Manifest::default());
        for n in 0..50u8 {
            one.add(&key, &[n], &[n, n]);
            other.add(&key, &[49 - n], &[49 - n, 49 - n]);
        }
        assert_eq!(one, other);
        one.remove(&key, &[7], &[7, 7]);
        assert_ne!(one, other);
        one.add(&key, &[7], &[7, 7]);
        assert_eq!(one, other);
    }
}
