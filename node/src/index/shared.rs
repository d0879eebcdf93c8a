//! Values that many rows have, kept once.

use std::collections::HashSet;
use std::hash::Hash;
use std::sync::Arc;

/// Values, each once.
#[derive(Debug)]
pub(super) struct Shared<T: ?Sized>(HashSet<Arc<T>>);

impl<T: ?Sized> Default for Shared<T> {
    fn default() -> Self {
        Self(HashSet::new())
    }
}

impl<T: ?Sized + Eq + Hash> Shared<T> {
    /// The one that is kept of a value; made where there is none yet.
    pub(super) fn of(&mut self, value: &T, make: impl FnOnce(&T) -> Arc<T>) -> Arc<T> {
        if let Some(known) = self.0.get(value) {
            return Arc::clone(known);
        }
        let made = make(value);
        self.0.insert(Arc::clone(&made));
        made
    }
}
