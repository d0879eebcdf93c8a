//! Whether the clock of this computer can be believed. A dead battery sets it to any year: what ends by itself, and keys that are
//! destroyed on time, must not follow it. After a jump ahead nothing ends until another office's clock agrees, or a person says that the
//! day is right.

use crate::disk;
use casemesh_protocol::time::Timestamp;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

const FILE: &str = "clock.last";
/// A node that was off no longer than that believes its clock.
const JUMP_DAYS: u64 = 45;
/// The time is noted so often.
const NOTED_MS: u64 = 10 * 60_000;

#[derive(Debug)]
struct State {
    last: Timestamp,
    is_doubted: bool,
}

/// Watches the clock of a data folder.
#[derive(Debug, Clone)]
pub struct ClockWatch {
    path: PathBuf,
    state: Arc<Mutex<State>>,
}

impl ClockWatch {
    /// Reads when the clock was believed last.
    pub fn open(folder: &Path, now: Timestamp) -> Self {
        let path = folder.join(FILE);
        let bytes = disk::read_bounded(&path, 8).ok().flatten();
        let last = bytes.and_then(|bytes| <[u8; 8]>::try_from(bytes).ok()).map(u64::from_be_bytes);
        let is_doubted = last.is_some_and(|last| jumps(Timestamp::from_ms(last), now));
        let last = last.map_or(now, Timestamp::from_ms);
        Self { path, state: Arc::new(Mutex::new(State { last, is_doubted })) }
    }

    /// Whether nothing may end by itself now.
    pub fn is_doubted(&self) -> bool {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).is_doubted
    }

    /// When the clock was believed last.
    pub fn last(&self) -> Timestamp {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).last
    }

    /// Time goes on.
    pub fn tick(&self, now: Timestamp) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.is_doubted |= jumps(state.last, now);
        let is_due = now >= state.last.plus_ms(NOTED_MS) || !self.path.exists();
        if !state.is_doubted && is_due {
            self.note(&mut state, now);
        }
    }

    /// Another office's clock agrees, or a person looked at the day.
    pub fn confirm(&self, now: Timestamp) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.is_doubted {
            state.is_doubted = false;
            self.note(&mut state, now);
        }
    }

    fn note(&self, state: &mut State, now: Timestamp) {
        state.last = now;
        if let Err(error) = disk::replace(&self.path, &now.ms().to_be_bytes()) {
            tracing::warn!(kind = %error.kind(), "the time could not be noted");
        }
    }
}

fn jumps(last: Timestamp, now: Timestamp) -> bool {
    now > last.plus_days(JUMP_DAYS)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_s(1_795_000_000);

    #[test]
    fn a_jump_is_doubted_until_somebody_agrees() {
        let folder = tempfile::tempdir().unwrap();
        let watch = ClockWatch::open(folder.path(), NOW);
        watch.tick(NOW);
        watch.tick(NOW.plus_days(40));
        assert!(!watch.is_doubted(), "a month away is no jump");
        let watch = ClockWatch::open(folder.path(), NOW.plus_days(40 + 46));
        assert!(watch.is_doubted());
        watch.tick(NOW.plus_days(40 + 47));
        assert!(ClockWatch::open(folder.path(), NOW.plus_days(90)).is_doubted(), "a doubted day is not noted");
        watch.confirm(NOW.plus_days(87));
        assert!(!watch.is_doubted() && !ClockWatch::open(folder.path(), NOW.plus_days(90)).is_doubted());
        watch.tick(NOW.plus_days(10_000));
        assert!(watch.is_doubted(), "also while it runs");
    }
}
