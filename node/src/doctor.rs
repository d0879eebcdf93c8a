//! How a node is, in words that a person without training understands. It reads files alone, so that it can be asked while the node
//! runs and while it does not, without a password.

use crate::clock::Clock;
use crate::disk;
use crate::keys::RelayProfile;
use crate::lobby;
use crate::node::{NETWORK_FILE, NodeError, OfflineFolder, clock_problem_of, pages_of, read_card, read_config};
use crate::office::renewal;
use crate::spool::{OutRow, Spool};
use casemesh_crypto::wire;
use casemesh_protocol::directory::{Card, Directory, Member, Role};
use casemesh_protocol::id::OfficeId;
use casemesh_protocol::limits::DIRECTORY_BYTES_MAX;
use casemesh_protocol::time::Timestamp;
use minicbor::{Decode, Encode};
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::Path;

/// What the relay leaves on the disk about itself, for whoever asks how the node is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Trace {
    /// When it was written.
    #[n(0)]
    pub at: Timestamp,
    /// Where the node listens.
    #[n(1)]
    pub listening: Vec<String>,
    /// Offices that were on the line then.
    #[n(2)]
    pub connected: Vec<OfficeId>,
    /// When each office was on the line last.
    #[n(3)]
    pub seen: BTreeMap<OfficeId, Timestamp>,
    /// What a person should know, by office.
    #[n(4)]
    pub problems: BTreeMap<OfficeId, String>,
}

/// Where it lies.
const TRACE_FILE: &str = "relay.trace";
const TRACE_BYTES_MAX: u64 = 4 * 1024 * 1024;
/// A hub needs so many open files for each office, and so many beside.
const FILES_PER_OFFICE: u64 = 3;
const FILES_BESIDE: u64 = 256;
/// Of so many offices with something waiting the names are told.
const NAMED_MAX: usize = 10;

impl Trace {
    /// Reads what the relay left last.
    pub fn read(folder: &Path) -> Self {
        let bytes = disk::read_bounded(&folder.join(TRACE_FILE), TRACE_BYTES_MAX).ok().flatten();
        bytes.and_then(|bytes| wire::decode(&bytes).ok()).unwrap_or_default()
    }

    /// Leaves it. Not synced: it says how it is, not what was.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn leave(&self, folder: &Path) -> std::io::Result<()> {
        let (path, beside) = (folder.join(TRACE_FILE), folder.join("relay.trace.new"));
        disk::write_unsynced(&beside, &wire::encode(self))?;
        std::fs::rename(beside, path)
    }
}

/// How much somebody has to do about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Weight {
    /// It is as it should be.
    Good,
    /// It can be left, and somebody should know.
    Note,
    /// Somebody has to do something.
    Act,
}

/// One sentence about a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How much somebody has to do.
    pub weight: Weight,
    /// The sentence, with what to do.
    pub text: String,
}

/// What there is to know.
#[derive(Debug, Default)]
struct Known {
    name: String,
    runs: bool,
    pages: Option<String>,
    is_hub: bool,
    clock: Option<String>,
    directory: Option<Directory>,
    joining: bool,
    office: Option<OfficeId>,
    trace: Trace,
    waiting: Vec<OutRow>,
    waiting_in: usize,
    newer: usize,
    aside: usize,
    files_limit: Option<u64>,
    now: Timestamp,
}

/// Says how the node of a folder is.
///
/// # Errors
/// When there is no office in the folder, or the disk refuses.
pub fn examine(folder: &Path, clock: &Clock) -> Result<Vec<Finding>, NodeError> {
    let config = read_config(folder)?;
    let runs = match OfflineFolder::take(folder) {
        Ok(_) => false,
        Err(NodeError::Running(_)) => true,
        Err(error) => return Err(error),
    };
    let bytes = disk::read_bounded(&folder.join(NETWORK_FILE), DIRECTORY_BYTES_MAX as u64)?;
    let directory = bytes.map(|bytes| Directory::read(&bytes, None)).transpose()?;
    let spool = Spool::beside(folder);
    let now = clock.now();
    let card: Option<Card> = wire::decode(&read_card(folder)?).ok();
    let known = Known {
        name: config.name,
        runs,
        pages: pages_of(folder).filter(|_| runs).map(|address| format!("http://{address}/")),
        is_hub: config.roles.contains(&Role::Hub),
        clock: clock_problem_of(card.as_ref(), now),
        directory: directory.map(|directory| renewal::with_kept_cards(folder, directory)),
        joining: lobby::joining(folder)?.is_some(),
        office: RelayProfile::read(folder).ok().map(|profile| profile.office),
        trace: Trace::read(folder),
        waiting: spool.under_way().unwrap_or_default(),
        waiting_in: spool.waiting_count(),
        newer: spool.newer_count(),
        aside: spool.set_aside_count(),
        files_limit: files_limit(),
        now,
    };
    Ok(explain(&known))
}

fn files_limit() -> Option<u64> {
    let limits = std::fs::read_to_string("/proc/self/limits").ok()?;
    limits.lines().find(|line| line.starts_with("Max open files"))?.split_whitespace().nth(3)?.parse().ok()
}

/// How long ago, in words.
fn ago(then: Timestamp, now: Timestamp) -> String {
    match now.ms_since(then) / 60_000 {
        0..=1 => "just now".into(),
        minutes @ 2..=119 => format!("{minutes} minutes ago"),
        minutes @ 120..=2_879 => format!("{} hours ago", minutes / 60),
        minutes => format!("{} days ago", minutes / 1_440),
    }
}

fn explain(known: &Known) -> Vec<Finding> {
    let mut all = Vec::new();
    let mut say = |weight, text: String| all.push(Finding { weight, text });
    match (&known.pages, known.runs) {
        (Some(pages), _) => say(Weight::Good, format!("{} runs; its pages are at {pages}", known.name)),
        (None, true) => say(Weight::Good, format!("{} runs.", known.name)),
        (None, false) => say(
            Weight::Note,
            format!("{} does not run: nothing comes or goes until somebody starts it (casemesh serve).", known.name),
        ),
    }
    match &known.clock {
        Some(problem) => say(Weight::Act, problem.clone()),
        None => say(Weight::Good, "The clock looks right.".into()),
    }
    match &known.directory {
        None if known.joining => say(
            Weight::Note,
            "It waits to be let into a network: ring the office that invited you, somebody there has to look at your card.".into(),
        ),
        None => say(
            Weight::Note,
            "It is in no network. Ask the network's registrar for an invitation (casemesh join ask), or give them your card (casemesh join card) and take the file that they give you (casemesh join accept).".into(),
        ),
        Some(directory) => explain_network(known, directory, &mut say),
    }
    if known.waiting_in > 0 {
        say(
            Weight::Note,
            format!("{} packets are here and wait to be opened: they open when somebody signs in.", known.waiting_in),
        );
    }
    if known.newer > 0 {
        say(
            Weight::Act,
            format!(
                "{} packets come from a newer version of Casemesh: update this one, then they open by themselves.",
                known.newer
            ),
        );
    }
    if known.aside > 0 {
        say(
            Weight::Note,
            format!(
                "{} packets could not be opened and lie in spool/aside: they were damaged, sealed to a key that is gone, or not for this office. Ask the sender to send again.",
                known.aside
            ),
        );
    }
    all
}

fn explain_network(known: &Known, directory: &Directory, say: &mut impl FnMut(Weight, String)) {
    let others = directory.members().filter(|(office, _)| Some(**office) != known.office);
    let own = known.office.and_then(|office| directory.member(&office));
    say(
        Weight::Good,
        format!(
            "It is in the network {:?} with {} other offices, as of {}.",
            directory.name().as_str(),
            others.count(),
            directory.as_of().day()
        ),
    );
    let Some(own) = own else {
        say(Weight::Act, "This office does not belong to the network any more: nothing goes or comes. Ring the network's registrar, or run casemesh join leave.".into());
        return;
    };
    let name =
        |office: &OfficeId| directory.member(office).map_or_else(String::new, |member| member.record.name.to_string());
    let is_on = |office: &OfficeId| known.runs && known.trace.connected.contains(office);
    let hubs = own.record.hubs.as_slice();
    for hub in hubs.iter().filter(|hub| Some(**hub) != known.office) {
        match (is_on(hub), known.trace.seen.get(hub)) {
            (true, _) => say(Weight::Good, format!("The line to the hub {} stands.", name(hub))),
            (false, Some(then)) => say(
                Weight::Act,
                format!(
                    "The hub {} was on the line last {}: look whether this computer has internet; if it has, ring who runs the hub. Nothing is lost meanwhile.",
                    name(hub),
                    ago(*then, known.now)
                ),
            ),
            (false, None) => say(
                Weight::Act,
                format!(
                    "The hub {} was never reached from here: look whether this computer has internet, and whether a firewall lets Casemesh out.",
                    name(hub)
                ),
            ),
        }
    }
    let on = directory.members().filter(|(office, member)| is_on(office) && !member.has_role(Role::Hub)).count();
    if known.runs {
        say(
            Weight::Good,
            format!("{on} other offices are on the line just now. It is enough if a hub is: packets wait there."),
        );
    }
    if hubs.is_empty() && !known.is_hub && own.record.addresses.as_slice().is_empty() {
        say(
            Weight::Note,
            "This office has neither a hub nor an address: packets come and go on a stick (page \"Other offices\")."
                .into(),
        );
    }
    let mut waiting: BTreeMap<OfficeId, (usize, Timestamp)> = BTreeMap::new();
    for row in &known.waiting {
        let entry = waiting.entry(row.to).or_insert((0, row.queued));
        *entry = (entry.0 + 1, entry.1.min(row.queued));
    }
    for (office, (count, since)) in waiting.iter().take(NAMED_MAX) {
        say(
            Weight::Note,
            format!(
                "{count} packets wait for {}, the oldest {}. {}",
                name(office),
                age(*since, known.now),
                why(known, *office, directory)
            ),
        );
    }
    for (office, problem) in known.trace.problems.iter().filter(|(office, _)| directory.member(office).is_some()) {
        if !waiting.contains_key(office) || !problem.is_empty() {
            say(Weight::Act, format!("{problem}."));
        }
    }
    if let Some(limit) = known.files_limit.filter(|_| known.is_hub) {
        let needed = directory.members().count() as u64 * FILES_PER_OFFICE + FILES_BESIDE;
        if limit < needed {
            say(
                Weight::Act,
                format!(
                    "This hub may open {limit} files at a time and needs {needed} for so many offices: raise the limit (ulimit -n {needed})."
                ),
            );
        }
    }
    explain_keys(own, known.now, say);
}

fn age(since: Timestamp, now: Timestamp) -> String {
    ago(since, now).replace(" ago", " old").replace("just now", "of just now")
}

/// Why something waits for an office, as far as can be told.
fn why(known: &Known, office: OfficeId, directory: &Directory) -> String {
    let Some(member) = directory.member(&office) else {
        return "It does not belong to the network any more.".into();
    };
    let has_hub = !member.record.hubs.as_slice().is_empty();
    match (known.trace.seen.get(&office), has_hub) {
        (Some(then), true) => {
            format!("It was on the line last {}; a hub keeps what it can meanwhile.", ago(*then, known.now))
        }
        (Some(then), false) => {
            format!("It was on the line last {}; both computers have to be on at the same time.", ago(*then, known.now))
        }
        (None, true) => "It was never reached directly; its hub keeps what it can.".into(),
        (None, false) => {
            "It was never reached: both computers have to be on at the same time, or a stick goes there.".into()
        }
    }
}

fn explain_keys(own: &Member, now: Timestamp, say: &mut impl FnMut(Weight, String)) {
    const WARN_DAYS: u64 = 60;
    let node_key_holds = |days: u64| {
        let keys = own.keys.node_keys();
        keys.iter().any(|key| own.keys.node_key(&key.id(), now.plus_days(days).s()).is_some())
    };
    match (node_key_holds(0), node_key_holds(WARN_DAYS)) {
        (false, _) => say(Weight::Act, "The signing key of this office has ended: others believe nothing from it. Renew it with the recovery shares: casemesh join renew.".into()),
        (true, false) => say(Weight::Act, "The signing key of this office ends within two months. Renew it with the recovery shares: casemesh join renew.".into()),
        (true, true) => {}
    }
    let last = own.prekeys.iter().map(|prekey| prekey.until).max().unwrap_or_default();
    if last <= now {
        say(Weight::Act, "The keys with which others write to this office ran out: start the node and sign in, it makes new ones by itself.".into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(known: &Known) -> String {
        explain(known).into_iter().map(|finding| format!("{:?}: {}\n", finding.weight, finding.text)).collect()
    }

    #[test]
    fn an_office_alone_is_told_what_to_do_next() {
        let known = Known { name: "Ugu".into(), ..Known::default() };
        let said = texts(&known);
        assert!(said.contains("does not run") && said.contains("no network") && said.contains("casemesh join ask"));
        let said = texts(&Known { joining: true, runs: true, newer: 2, aside: 1, waiting_in: 3, ..known });
        assert!(said.contains("waits to be let into") && said.contains("Act: 2 packets come from a newer version"));
        assert!(said.contains("3 packets are here") && said.contains("spool/aside"));
    }

    #[test]
    fn times_are_told_as_people_say_them() {
        let now = Timestamp::from_s(1_795_000_000);
        let before = |minutes: u64| ago(Timestamp::from_ms(now.ms() - minutes * 60_000), now);
        assert_eq!(
            [before(0), before(45), before(180), before(6_000)],
            ["just now", "45 minutes ago", "3 hours ago", "4 days ago"]
        );
    }
}
