//! A set of ids, of which most are tiny: a person has one case, a rare name one bearer. One id lies in the set itself, a few
//! in a vector of the right length, a tenth of a tree; a set that grows becomes a tree.

use casemesh_protocol::id::RecordId;
use std::collections::BTreeSet;

/// So many ids are kept in a vector.
const FEW_MAX: usize = 32;

/// A set of ids, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ids {
    /// The only one.
    One(RecordId),
    /// In order, each once.
    Few(Vec<RecordId>),
    /// Too many to shift.
    Many(BTreeSet<RecordId>),
}

impl Default for Ids {
    fn default() -> Self {
        Self::Few(Vec::new())
    }
}

impl Ids {
    /// Adds an id.
    pub fn insert(&mut self, id: RecordId) {
        match self {
            Self::One(only) if *only == id => {}
            Self::One(only) => {
                let mut both = vec![*only, id];
                both.sort_unstable();
                *self = Self::Few(both);
            }
            Self::Few(ids) if ids.is_empty() => *self = Self::One(id),
            Self::Few(ids) => {
                let Err(at) = ids.binary_search(&id) else { return };
                if ids.len() < FEW_MAX {
                    ids.reserve_exact(1);
                    ids.insert(at, id);
                } else {
                    let mut many: BTreeSet<RecordId> = ids.drain(..).collect();
                    many.insert(id);
                    *self = Self::Many(many);
                }
            }
            Self::Many(ids) => {
                ids.insert(id);
            }
        }
    }

    /// Takes an id away. Whether the set is empty now.
    pub fn remove(&mut self, id: &RecordId) -> bool {
        match self {
            Self::One(only) => {
                if only == id {
                    *self = Self::default();
                }
                matches!(self, Self::Few(_))
            }
            Self::Few(ids) => {
                if let Ok(at) = ids.binary_search(id) {
                    ids.remove(at);
                }
                ids.is_empty()
            }
            Self::Many(ids) => {
                ids.remove(id);
                ids.is_empty()
            }
        }
    }

    /// The ids, in order.
    pub fn iter(&self) -> impl Iterator<Item = &RecordId> {
        let (few, many): (&[RecordId], _) = match self {
            Self::One(only) => (std::slice::from_ref(only), None),
            Self::Few(ids) => (ids, None),
            Self::Many(ids) => (&[], Some(ids)),
        };
        few.iter().chain(many.into_iter().flatten())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_a_set_in_order_however_many_there_are() {
        for count in [0usize, 1, 2, FEW_MAX, FEW_MAX + 1, 300] {
            let id = |number: usize| {
                let mut bytes = [0; 16];
                bytes[..8].copy_from_slice(&(number as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15).to_be_bytes());
                RecordId::new(bytes)
            };
            let (mut ids, mut model) = (Ids::default(), BTreeSet::new());
            for number in (0..count).chain(0..count / 2) {
                ids.insert(id(number));
                model.insert(id(number));
            }
            assert_eq!(ids.iter().copied().collect::<Vec<_>>(), model.iter().copied().collect::<Vec<_>>());
            for number in 0..count {
                model.remove(&id(number));
                assert_eq!(ids.remove(&id(number)), model.is_empty());
            }
            assert_eq!(ids.iter().count(), 0);
        }
    }
}
