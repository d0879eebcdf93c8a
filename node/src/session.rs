//! Who is signed in, and how often somebody guessed wrong.

use casemesh_crypto::hash::{Digest, sha256};
use casemesh_crypto::random::os_rng;
use casemesh_crypto::token;
use casemesh_crypto::wire;
use casemesh_protocol::coded_enum;
use casemesh_protocol::id::StaffId;
use casemesh_protocol::time::Timestamp;
use minicbor::{Decode, Encode};
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::str::FromStr;

casemesh_crypto::byte_newtype!(
    /// A session, as its owner may name it. It opens nothing.
    SessionId, 8
);

/// Requests that come together, or a clock that is corrected a little, end no session.
const TOGETHER_MS: u64 = 2_000;
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

/// Wrong PINs after which a session ends.
const PIN_MISSES_MAX: u8 = 5;
/// Longest name of a browser that is kept.
const LABEL_BYTES_MAX: usize = 120;

coded_enum!(
    /// A part of the API that a program's token can be narrowed to.
    Part {
        /// The desk register.
        Register = 1 "register",
        /// Persons and families.
        People = 2 "people",
        /// Cases, their entries and tasks, and the office's book.
        Cases = 3 "cases",
        /// Referrals and partners.
        Referrals = 4 "referrals",
        /// Figures and tables.
        Figures = 5 "figures",
        /// Accounts, approvals, imports, lists, forms, the log.
        Office = 6 "office",
    }
);

/// What a program's token is good for, beside what its account may: written `figures:read` or `cases:write`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scope {
    /// Which part.
    pub part: Part,
    /// Whether it changes things there, too.
    pub writes: bool,
}

impl FromStr for Scope {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (part, what) = text.split_once(':').unwrap_or((text, ""));
        match (part.parse(), what) {
            (Ok(part), "read") => Ok(Self { part, writes: false }),
            (Ok(part), "write") => Ok(Self { part, writes: true }),
            _ => {
                let parts: Vec<&str> = Part::ALL.iter().map(|part| part.as_str()).collect();
                Err(format!("{text:?} is no scope; write one of {} and then :read or :write", parts.join(", ")))
            }
        }
    }
}

/// Where somebody signs in from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Origin {
    /// Counted together when somebody guesses: pages, api.
    pub source: &'static str,
    /// What the browser or program calls itself.
    pub label: String,
    /// The random name of a browser, by which its workers find each other's locked sessions; empty for a program.
    pub browser: String,
    /// What a program asks for; empty for all that the account may.
    pub scopes: Vec<Scope>,
}

impl Origin {
    /// A program, or this process itself.
    pub fn of(source: &'static str) -> Self {
        Self { source, ..Self::default() }
    }
}

/// One session.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Session {
    id: SessionId,
    staff: StaffId,
    label: String,
    browser: Option<Digest>,
    begun: Timestamp,
    used: Timestamp,
    is_locked: bool,
    pin_misses: u8,
    scopes: Vec<Scope>,
}

/// A session, as its owner sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionView {
    /// Which.
    pub id: SessionId,
    /// What the browser or program calls itself.
    pub label: String,
    /// When it began.
    pub begun: Timestamp,
    /// When it was last used.
    pub used: Timestamp,
    /// Whether it is this one.
    pub is_this: bool,
    /// Whether it waits for a PIN.
    pub is_locked: bool,
}

/// Why a PIN did not open a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PinRefusal {
    /// Not that PIN.
    Wrong,
    /// There is no such session any more; sign in with the password.
    Ended,
}

/// All sessions of a node. Only hashes of tokens are kept.
#[derive(Debug, Default)]
pub struct Sessions(HashMap<Digest, Session>);

impl Sessions {
    /// Begins a session. Its token.
    pub fn begin(&mut self, staff: StaffId, origin: &Origin, now: Timestamp) -> String {
        self.0.retain(|_, session| session.is_alive(now));
        if self.0.len() >= SESSIONS_MAX
            && let Some(oldest) = self.0.iter().min_by_key(|(_, session)| session.used).map(|(token, _)| *token)
        {
            self.0.remove(&oldest);
        }
        let mut label = origin.label.clone();
        label.truncate(label.floor_char_boundary(LABEL_BYTES_MAX));
        self.insert(Session {
            id: SessionId::random(&mut os_rng()),
            staff,
            label,
            browser: (!origin.browser.is_empty()).then(|| token::digest(&origin.browser)),
            begun: now,
            used: now,
            is_locked: false,
            pin_misses: 0,
            scopes: origin.scopes.clone(),
        })
    }

    fn insert(&mut self, session: Session) -> String {
        let token = token::session_token(&mut os_rng());
        self.0.insert(token::digest(&token), session);
        token
    }

    /// Whose session it is, if it lives and is not locked; and that it was used.
    pub fn touch(&mut self, token: &str, now: Timestamp) -> Option<StaffId> {
        let digest = token::digest(token);
        let session = self.0.get_mut(&digest)?;
        if !session.is_alive(now) {
            self.0.remove(&digest);
            return None;
        }
        if session.is_locked {
            return None;
        }
        session.used = session.used.max(now);
        Some(session.staff)
    }

    /// Whose session it is, if it lives and is not locked. It does not count as used: a page that looks by itself keeps nobody
    /// signed in.
    pub fn peek(&self, token: &str, now: Timestamp) -> Option<StaffId> {
        let session = self.0.get(&token::digest(token))?;
        (session.is_alive(now) && !session.is_locked).then_some(session.staff)
    }

    /// Whether a session is good for a part of the API.
    pub fn covers(&self, token: &str, part: Part, writes: bool) -> bool {
        self.0.get(&token::digest(token)).is_some_and(|session| {
            let is_it = |scope: &Scope| scope.part == part && (scope.writes || !writes);
            session.scopes.is_empty() || session.scopes.iter().any(is_it)
        })
    }

    /// Whether a session is good for everything that its account may: a page's cookie is, a narrowed token is not.
    pub fn is_whole(&self, token: &str) -> bool {
        self.0.get(&token::digest(token)).is_some_and(|session| session.scopes.is_empty())
    }

    /// When a session began.
    pub fn begun(&self, token: &str) -> Option<Timestamp> {
        self.0.get(&token::digest(token)).map(|session| session.begun)
    }

    /// Locks a session behind its owner's PIN.
    pub fn lock(&mut self, token: &str) {
        if let Some(session) = self.0.get_mut(&token::digest(token)) {
            session.is_locked = true;
        }
    }

    /// The locked sessions of a browser: which, and whose.
    pub fn locked_at(&self, browser: &str, now: Timestamp) -> Vec<(SessionId, StaffId)> {
        let browser = Some(token::digest(browser));
        let here = self.0.values().filter(|session| session.is_locked && session.browser == browser);
        let mut found: Vec<(SessionId, StaffId)> =
            here.filter(|session| session.is_alive(now)).map(|session| (session.id, session.staff)).collect();
        found.sort_unstable_by_key(|(id, _)| *id);
        found
    }

    /// Opens a locked session of a browser, if the PIN was right: it goes on under a new token. After too many wrong
    /// PINs it ends.
    ///
    /// # Errors
    /// When the PIN was wrong, or there is no such session.
    pub fn unlock(
        &mut self,
        browser: &str,
        id: SessionId,
        is_right: bool,
        now: Timestamp,
    ) -> Result<String, PinRefusal> {
        let browser = Some(token::digest(browser));
        let is_it = |session: &Session| {
            session.id == id && session.is_locked && session.browser == browser && session.is_alive(now)
        };
        let digest = self.0.iter().find(|(_, session)| is_it(session)).map(|(digest, _)| *digest);
        let (digest, mut session) = digest
            .and_then(|digest| self.0.remove(&digest).map(|session| (digest, session)))
            .ok_or(PinRefusal::Ended)?;
        if is_right {
            session.is_locked = false;
            session.pin_misses = 0;
            session.used = now;
            return Ok(self.insert(session));
        }
        session.pin_misses = session.pin_misses.saturating_add(1);
        if session.pin_misses >= PIN_MISSES_MAX {
            return Err(PinRefusal::Ended);
        }
        self.0.insert(digest, session);
        Err(PinRefusal::Wrong)
    }

    /// The sessions of a member of staff, the last used first.
    pub fn of(&self, staff: StaffId, token: &str, now: Timestamp) -> Vec<SessionView> {
        let this = token::digest(token);
        let theirs = self.0.iter().filter(|(_, session)| session.staff == staff && session.is_alive(now));
        let mut views: Vec<SessionView> = theirs
            .map(|(digest, session)| SessionView {
                id: session.id,
                label: session.label.clone(),
                begun: session.begun,
                used: session.used,
                is_this: *digest == this,
                is_locked: session.is_locked,
            })
            .collect();
        views.sort_unstable_by_key(|view| (std::cmp::Reverse(view.used), view.id));
        views
    }

    /// Ends one session.
    pub fn end(&mut self, token: &str) {
        self.0.remove(&token::digest(token));
    }

    /// Ends one session of a member of staff.
    pub fn end_one_of(&mut self, staff: StaffId, id: SessionId) {
        self.0.retain(|_, session| session.staff != staff || session.id != id);
    }

    /// Ends all sessions of a member of staff but this one.
    pub fn end_others_of(&mut self, staff: StaffId, token: &str) {
        let this = token::digest(token);
        self.0.retain(|digest, session| session.staff != staff || *digest == this);
    }

    /// Ends all sessions of a member of staff.
    pub fn end_all_of(&mut self, staff: StaffId) {
        self.0.retain(|_, session| session.staff != staff);
    }

    /// Ends all sessions.
    pub fn end_all(&mut self) {
        self.0.clear();
    }
}

impl Session {
    fn is_alive(&self, now: Timestamp) -> bool {
        // A clock that was set back must not make a session longer; requests that come together ask for the time in any order. A locked
        // one waits for its PIN as long as the office is open: the office locks itself when nobody uses it.
        now.plus_ms(TOGETHER_MS) >= self.used
            && (self.is_locked || now.ms_since(self.used) < IDLE_MS)
            && now.ms_since(self.begun) < ABSOLUTE_MS
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
    fn a_token_is_good_for_what_was_asked_and_no_more() {
        let mut sessions = Sessions::default();
        let staff = StaffId::new([1; 16]);
        let scopes = vec!["figures:read".parse().unwrap(), "cases:write".parse().unwrap()];
        let narrow = sessions.begin(staff, &Origin { scopes, ..Origin::of("api") }, NOW);
        for (part, writes, covered) in [
            (Part::Figures, false, true),
            (Part::Figures, true, false),
            (Part::Cases, false, true),
            (Part::Cases, true, true),
            (Part::People, false, false),
        ] {
            assert_eq!(sessions.covers(&narrow, part, writes), covered, "{part} {writes}");
        }
        let wide = sessions.begin(staff, &Origin::of("api"), NOW);
        assert!(sessions.covers(&wide, Part::Office, true));
        assert!(!sessions.covers("guess", Part::Figures, false));
        for wrong in ["figures", "figures:all", "flying:read", ""] {
            assert!(wrong.parse::<Scope>().unwrap_err().contains("register, people"), "{wrong}");
        }
    }

    #[test]
    fn a_session_ends_by_idleness_by_age_and_by_a_clock_set_back() {
        let mut sessions = Sessions::default();
        let (staff, origin) = (StaffId::new([1; 16]), Origin::of("pages"));
        let token = sessions.begin(staff, &origin, NOW);
        assert_eq!(sessions.touch(&token, NOW.plus_ms(IDLE_MS - 1)), Some(staff));
        assert_eq!(sessions.touch(&token, NOW.plus_ms(2 * IDLE_MS)), None);
        let token = sessions.begin(staff, &origin, NOW);
        let mut now = NOW;
        while now.ms_since(NOW) < ABSOLUTE_MS - 60_000 {
            assert!(sessions.touch(&token, now).is_some());
            now = now.plus_ms(60_000);
        }
        assert_eq!(sessions.touch(&token, NOW.plus_ms(ABSOLUTE_MS)), None);
        // Two pages asked for at once: the one that read the clock first comes second.
        let token = sessions.begin(staff, &origin, NOW);
        assert_eq!(sessions.touch(&token, NOW.plus_ms(60_001)), Some(staff));
        assert_eq!(sessions.touch(&token, NOW.plus_ms(60_000)), Some(staff));
        assert_eq!(sessions.touch(&token, NOW), None, "set back by a minute");
        let token = sessions.begin(staff, &origin, NOW);
        assert_eq!(sessions.touch(&token, Timestamp::from_s(1)), None);
        let token = sessions.begin(staff, &origin, NOW);
        sessions.end_all_of(staff);
        assert_eq!(sessions.touch(&token, NOW), None);
        assert_eq!(sessions.touch("guess", NOW), None);
    }

    #[test]
    fn a_locked_session_opens_with_its_pin_in_its_browser_alone() {
        let mut sessions = Sessions::default();
        let staff = StaffId::new([1; 16]);
        let here = Origin { source: "pages", label: "x".repeat(500), browser: "here".into(), scopes: Vec::new() };
        let token = sessions.begin(staff, &here, NOW);
        assert_eq!(sessions.of(staff, &token, NOW)[0].label.len(), LABEL_BYTES_MAX);
        sessions.lock(&token);
        assert_eq!(sessions.touch(&token, NOW), None);
        // Longer than the office of one person would stay open, shorter than a day's work.
        let later = NOW.plus_ms(4 * IDLE_MS);
        let (id, whose) = sessions.locked_at("here", later)[0];
        assert_eq!(whose, staff);
        assert!(sessions.locked_at("elsewhere", later).is_empty());
        assert_eq!(sessions.unlock("elsewhere", id, true, later), Err(PinRefusal::Ended));
        assert_eq!(sessions.unlock("here", id, false, later), Err(PinRefusal::Wrong));
        let next = sessions.unlock("here", id, true, later).unwrap();
        assert_ne!(next, token);
        assert_eq!(sessions.touch(&token, later), None);
        assert_eq!(sessions.touch(&next, later), Some(staff));
        sessions.lock(&next);
        let misses: Vec<_> = (0..PIN_MISSES_MAX).map(|_| sessions.unlock("here", id, false, later)).collect();
        assert_eq!(misses.last(), Some(&Err(PinRefusal::Ended)));
        assert_eq!(sessions.unlock("here", id, true, later), Err(PinRefusal::Ended));
    }

    #[test]
    fn somebody_ends_their_own_sessions_and_nobody_elses() {
        let mut sessions = Sessions::default();
        let (one, other) = (StaffId::new([1; 16]), StaffId::new([2; 16]));
        let origin = Origin::of("pages");
        let (first, second) = (sessions.begin(one, &origin, NOW), sessions.begin(one, &origin, NOW));
        let others = sessions.begin(other, &origin, NOW);
        let theirs = sessions.of(other, &others, NOW)[0].id;
        sessions.end_one_of(one, theirs);
        sessions.end_others_of(one, &first);
        assert_eq!(sessions.touch(&second, NOW), None);
        assert!(sessions.touch(&first, NOW).is_some() && sessions.touch(&others, NOW).is_some());
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
