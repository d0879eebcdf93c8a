//! The view in memory: for tests, and as the other half of every comparison with sled.

use super::{Applied, Store, StoreError, VALUE_BYTES_MAX, Visit};
use crate::journal::Write;
use std::collections::BTreeMap;
use std::sync::{PoisonError, RwLock};

/// Rows in memory.
#[derive(Debug, Default)]
pub struct MemoryStore(RwLock<Rows>);

#[derive(Debug, Default)]
struct Rows {
    rows: BTreeMap<Vec<u8>, Vec<u8>>,
    applied: Applied,
}

impl Store for MemoryStore {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.0.read().unwrap_or_else(PoisonError::into_inner).rows.get(key).cloned())
    }

    fn scan(&self, prefix: &[u8], visit: &mut Visit<'_>) -> Result<(), StoreError> {
        let rows = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let matching = rows.rows.range(prefix.to_vec()..).take_while(|(key, _)| key.starts_with(prefix));
        for (key, value) in matching {
            if !visit(key, value) {
                break;
            }
        }
        Ok(())
    }

    fn apply(&self, writes: &[Write], applied: Applied) -> Result<(), StoreError> {
        if let Some(value) = writes.iter().filter_map(|w| w.value.as_ref()).find(|v| v.len() > VALUE_BYTES_MAX) {
            return Err(StoreError::TooLong(value.len()));
        }
        let mut rows = self.0.write().unwrap_or_else(PoisonError::into_inner);
        for write in writes {
            match &write.value {
                Some(value) => rows.rows.insert(write.key.clone(), value.clone()),
                None => rows.rows.remove(&write.key),
            };
        }
        rows.applied = applied;
        Ok(())
    }

    fn applied(&self) -> Result<Applied, StoreError> {
        Ok(self.0.read().unwrap_or_else(PoisonError::into_inner).applied)
    }

    fn flush(&self) -> Result<(), StoreError> {
        Ok(())
    }
}
