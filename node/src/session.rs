//! Who is signed in, and how often somebody guessed wrong.

use casemesh_crypto::hash::{Digest, sha256};
use casemesh_crypto::random::os_rng;
use casemesh_crypto::token;
use casemesh_crypto::wire;
use casemesh_protocol::id::StaffId;
use casemesh_protocol::time::Timestamp;
use minicbor::{Decode, Encode};
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

/// A session ends after so long without a click.
pub const IDLE_MS: u64 = 15 * 60_000;
/// And after so long in any case.
pub const ABSOLUTE_MS: u64 = 12 * 3_600_000;
/// Wrong guesses that cost nothing.
const FREE_GUESSES: u32 = 3;
/// The longest wait after a wrong guess: nobody can lock a colleague out for good.
const LONGEST_WAIT_MS: u64 = 15 * 60_000;
/// Names and sources that are remembered.
const REMEMBERED_MAX: usize = 4_096;
const SESSIONS_MAX: usize = 1_000;

/// One session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Session {
    staff: StaffId,
    begun: Timestamp,
    used: Timestamp,
}

/// All sessions of a node. Only hashes of tokens are kept.
#[derive(Debug, Default)]
pub struct Sessions(HashMap<Digest, Session>);

impl Sessions {
    /// Begins a session. Its token.
    pub fn begin(&mut self, staff: StaffId, now: Timestamp) -> String {
        self.0.retain(|_, session| session.is_alive(now));
        if self.0.len() >= SESSIONS_MAX
            && let Some(oldest) = self.0.iter().min_by_key(|(_, session)| session.used).map(|(token, _)| *token)
        {
            self.0.remove(&oldest);
        }
        let token = token::session_token(&mut os_rng());
        self.0.insert(token::digest(&token), Session { staff, begun: now, used: now });
        token
    }

    /// Whose session it is, if it lives; and that it was used.
    pub fn touch(&mut self, token: &str, now: Timestamp) -> Option<StaffId> {
        let digest = token::digest(token);
        let session = self.0.get_mut(&digest)?;
        if !session.is_alive(now) {
            self.0.remove(&digest);
            return None;
        }
        session.used = now;
        Some(session.staff)
    }

    /// Ends one session.
    pub fn end(&mut self, token: &str) {
        self.0.remove(&token::digest(token));
    }

    /// Ends all sessions of a member of staff.
    pub fn end_all_of(&mut self, staff: StaffId) {
        self.0.retain(|_, session| session.staff != staff);
    }

    /// Ends all sessions.
    pub fn end_all(&mut self) {
        self.0.clear();
    }

    /// Whether somebody is signed in.
    pub fn any_alive(&self, now: Timestamp) -> bool {
        self.0.values().any(|session| session.is_alive(now))
    }
}

impl Session {
    fn is_alive(&self, now: Timestamp) -> bool {
        // A clock that was set back must not make a session longer.
        now >= self.used && now.ms_since(self.used) < IDLE_MS && now.ms_since(self.begun) < ABSOLUTE_MS
    }
}

#[derive(Debug, Clone, Copy, Encode, Decode)]
#[cbor(array)]
struct Guesses {
    #[n(0)]
    wrong: u32,
    #[n(1)]
    wait_until: Timestamp,
}

/// Wrong guesses by name and by source. It survives a restart.
#[derive(Debug)]
pub struct Throttle {
    path: PathBuf,
    guesses: BTreeMap<Digest, Guesses>,
}

impl Throttle {
    /// Reads what was remembered.
    pub fn open(folder: &Path) -> Self {
        let path = folder.join("throttle.cbor");
        let guesses = crate::disk::read_bounded(&path, 1024 * 1024).ok().flatten();
        let guesses: Vec<(Digest, Guesses)> =
            guesses.and_then(|bytes| minicbor::decode(&bytes).ok()).unwrap_or_default();
        Self { path, guesses: guesses.into_iter().collect() }
    }

    fn keys(name: &str, source: &str) -> [Digest; 2] {
        [sha256(&[b"name\0", crate::keys::name_key(name).as_bytes()]), sha256(&[b"source\0", source.as_bytes()])]
    }

    /// How long to wait before the next guess, in milliseconds; none when it may be made now.
    pub fn wait_ms(&self, name: &str, source: &str, now: Timestamp) -> Option<u64> {
        let waits = Self::keys(name, source).into_iter().filter_map(|key| {
            let until = self.guesses.get(&key)?.wait_until;
            // A wait that lies further ahead than any wait can be comes from a clock that was wrong.
            Some(until.ms_since(now)).filter(|wait| *wait > 0 && *wait <= LONGEST_WAIT_MS)
        });
        waits.max()
    }

    /// Remembers a wrong guess.
    pub fn wrong(&mut self, name: &str, source: &str, now: Timestamp) {
        for key in Self::keys(name, source) {
            let guesses = self.guesses.entry(key).or_insert(Guesses { wrong: 0, wait_until: now });
            guesses.wrong = guesses.wrong.saturating_add(1);
            let beyond = guesses.wrong.saturating_sub(FREE_GUESSES);
            if beyond > 0 {
                let wait = 1000u64.saturating_mul(1 << beyond.min(20)).min(LONGEST_WAIT_MS);
                guesses.wait_until = now.plus_ms(wait);
            }
        }
        while self.guesses.len() > REMEMBERED_MAX {
            let Some(oldest) = self.guesses.iter().min_by_key(|(_, g)| g.wait_until).map(|(key, _)| *key) else {
                break;
            };
            self.guesses.remove(&oldest);
        }
        self.save();
    }

    /// Forgets the wrong guesses of a name and source that got it right.
    pub fn right(&mut self, name: &str, source: &str) {
        let known = Self::keys(name, source).iter().filter(|key| self.guesses.remove(key).is_some()).count();
        if known > 0 {
            self.save();
        }
    }

    fn save(&self) {
        let all: Vec<(Digest, Guesses)> = self.guesses.iter().map(|(key, guesses)| (*key, *guesses)).collect();
        if let Err(error) = crate::disk::replace(&self.path, &wire::encode(&all)) {
            tracing::warn!(kind = %error.kind(), "wrong guesses could not be remembered");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_s(1_795_000_000);

    #[test]
    fn a_session_ends_by_idleness_by_age_and_by_a_clock_set_back() {
        let mut sessions = Sessions::default();
        let staff = StaffId::new([1; 16]);
        let token = sessions.begin(staff, NOW);
        assert_eq!(sessions.touch(&token, NOW.plus_ms(IDLE_MS - 1)), Some(staff));
        assert_eq!(sessions.touch(&token, NOW.plus_ms(2 * IDLE_MS)), None);
        let token = sessions.begin(staff, NOW);
        let mut now = NOW;
        while now.ms_since(NOW) < ABSOLUTE_MS - 60_000 {
            assert!(sessions.touch(&token, now).is_some());
            now = now.plus_ms(60_000);
        }
        assert_eq!(sessions.touch(&token, NOW.plus_ms(ABSOLUTE_MS)), None);
        let token = sessions.begin(staff, NOW);
        assert_eq!(sessions.touch(&token, Timestamp::from_s(1)), None);
        let token = sessions.begin(staff, NOW);
        sessions.end_all_of(staff);
        assert_eq!(sessions.touch(&token, NOW), None);
        assert_eq!(sessions.touch("guess", NOW), None);
    }

    #[test]
    fn guessing_gets_slower_survives_a_restart_and_never_locks_for_good() {
        let folder = tempfile::tempdir().unwrap();
        let mut throttle = Throttle::open(folder.path());
        for _ in 0..FREE_GUESSES {
            throttle.wrong("Thandi", "here", NOW);
            assert_eq!(throttle.wait_ms("thandi", "here", NOW), None);
        }
        throttle.wrong("thandi", "here", NOW);
        assert_eq!(throttle.wait_ms("THANDI", "elsewhere", NOW), Some(2000));
        let mut throttle = {
            drop(throttle);
            Throttle::open(folder.path())
        };
        assert_eq!(throttle.wait_ms("thandi", "elsewhere", NOW), Some(2000));
        for _ in 0..100 {
            throttle.wrong("thandi", "here", NOW);
        }
        assert_eq!(throttle.wait_ms("thandi", "here", NOW), Some(LONGEST_WAIT_MS));
        assert_eq!(throttle.wait_ms("thandi", "here", NOW.plus_ms(LONGEST_WAIT_MS)), None);
        throttle.right("thandi", "here");
        assert_eq!(throttle.wait_ms("thandi", "here", NOW), None);
    }
}
