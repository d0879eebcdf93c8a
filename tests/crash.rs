//! The test binary runs itself as a child that writes records as fast as it can and says each number once it is
//! acknowledged. The parent kills it at a random moment. The next child must find every number that was said,
//! without holes, and goes on.

use casemesh_crypto::random::{self, os_rng};
use casemesh_crypto::secret::Secret;
use casemesh_node::clock::Clock;
use casemesh_node::journal::{self, DatabaseId, Entry, EntryKind, Journal};
use casemesh_node::keys::{KeyFile, NewOffice};
use casemesh_node::records::Seen;
use casemesh_node::vault::{Change, Kind, Observer, Vault, VaultError, check};
use casemesh_protocol::id::RecordId;
use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const CHILD: &str = "CASEMESH_CRASH_FOLDER";
const ROUNDS: usize = 500;
/// A folder is used for so many rounds, so that opening stays quick.
const ROUNDS_PER_FOLDER: usize = 50;

fn numbered(number: u64) -> RecordId {
    let mut id = [0u8; 16];
    id[8..].copy_from_slice(&number.to_be_bytes());
    RecordId::new(id)
}

#[derive(Default)]
struct Numbers(Mutex<BTreeSet<u64>>);

impl Observer for Numbers {
    fn changed(&self, _: Kind, change: Change<'_>) {
        if let Change::Put(plain) = change {
            let seen: Seen = minicbor_decode(plain);
            let number = u64::from_be_bytes(seen.id.as_bytes()[8..].try_into().unwrap());
            self.0.lock().unwrap().insert(number);
        }
    }
}

fn minicbor_decode(plain: &[u8]) -> Seen {
    casemesh_crypto::wire::decode(plain).unwrap()
}

fn new_folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let rng = &mut os_rng();
    let now = Clock::system().now();
    let mut new = NewOffice::draw("Crash", |seed| seed.expose()[..8].to_vec(), now, rng).unwrap();
    new.file.write(folder.path(), &new.keys, rng).unwrap();
    std::fs::write(folder.path().join("test-seed"), new.recovery_seed.expose()).unwrap();
    folder
}

fn open(folder: &Path) -> (Vault, Arc<Numbers>) {
    let seed = Secret::from_slice(&std::fs::read(folder.join("test-seed")).unwrap()).unwrap();
    let keys = KeyFile::read(folder).unwrap().open_with_seed(&seed).unwrap();
    let numbers = Arc::new(Numbers::default());
    let observer: Arc<dyn Observer> = Arc::<Numbers>::clone(&numbers);
    let (vault, _) = Vault::open(folder, keys, observer, Clock::system()).unwrap();
    (vault, numbers)
}

/// The child: does nothing unless the parent named a folder.
#[test]
fn child_at_work() {
    let Some(folder) = std::env::var_os(CHILD) else { return };
    let (vault, numbers) = open(Path::new(&folder));
    let found = numbers.0.lock().unwrap().clone();
    let highest = found.last().copied().unwrap_or(0);
    let say = |text: String| {
        let mut out = std::io::stderr().lock();
        writeln!(out, "{text}").unwrap();
        out.flush().unwrap();
    };
    say(format!("found {highest} {}", found.len()));
    let next = &std::sync::atomic::AtomicU64::new(highest + 1);
    let vault = &vault;
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(move || {
                loop {
                    let number = next.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                    let padding = "x".repeat((number % 700) as usize);
                    vault
                        .write(None, "crash", move |tx| {
                            tx.insert(&Seen { id: numbered(number), at: tx.now(), set_aside: Some(padding) })
                        })
                        .map_err(|error: VaultError| error.to_string())
                        .unwrap();
                    say(format!("kept {number}"));
                }
            });
        }
    });
}

#[test]
fn five_hundred_kills_lose_nothing_that_was_acknowledged() {
    let binary = std::env::current_exe().unwrap();
    let mut folder = new_folder();
    let (mut kept, mut acknowledged, mut replaced): (BTreeSet<u64>, usize, usize) = Default::default();
    for round in 0..ROUNDS {
        if round % ROUNDS_PER_FOLDER == 0 && round > 0 {
            verify(folder.path(), &kept);
            folder = new_folder();
            kept.clear();
            replaced += 1;
        }
        let mut child = Command::new(&binary)
            .args(["--exact", "crash::child_at_work", "--nocapture", "--test-threads=1"])
            .env(CHILD, folder.path())
            .stderr(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap());
        let pid = child.id();
        let kept_before = kept.clone();
        let (heard, says) = std::sync::mpsc::sync_channel(8);
        let reader = std::thread::spawn(move || {
            let (mut found, mut now_kept) = (None, Vec::new());
            for line in lines.lines().map_while(Result::ok) {
                let mut words = line.split(' ');
                match (words.next(), words.next().and_then(|n| n.parse::<u64>().ok()), words.next()) {
                    (Some("found"), Some(highest), Some(count)) => {
                        found = Some((highest, count.parse::<usize>().unwrap()))
                    }
                    (Some("kept"), Some(number), _) => {
                        now_kept.push(number);
                        // The parent waits for eight at most, and for none once the child is to be killed.
                        let _heard = heard.try_send(());
                    }
                    _ => eprintln!("child {pid}: {line}"),
                }
            }
            (found, now_kept)
        });
        let [a, b, c, d] = random::array::<4>(&mut os_rng());
        let some_us = u64::from(u16::from_be_bytes([a, b]));
        if c < 52 {
            // One round in five is killed at any time, so also while it opens.
            std::thread::sleep(Duration::from_micros(some_us));
        } else {
            for _ in 0..d % 8 + 1 {
                says.recv_timeout(Duration::from_secs(30)).unwrap();
            }
            std::thread::sleep(Duration::from_micros(some_us / 16));
        }
        drop(says);
        child.kill().unwrap();
        child.wait().unwrap();
        let (found, now_kept) = reader.join().unwrap();
        if let Some((highest, count)) = found {
            assert!(
                highest >= kept_before.last().copied().unwrap_or(0),
                "round {round}: an acknowledged record is gone"
            );
            assert!(count >= kept_before.len(), "round {round}: {count} of {}", kept_before.len());
        }
        acknowledged += now_kept.len();
        kept.extend(now_kept);
    }
    verify(folder.path(), &kept);
    assert!(acknowledged > ROUNDS, "only {acknowledged} records were acknowledged in all; {replaced} folders");
}

/// Everything that was acknowledged is there, and the journal verifies to its last entry.
fn verify(folder: &Path, kept: &BTreeSet<u64>) {
    let (vault, numbers) = open(folder);
    let found = numbers.0.lock().unwrap().clone();
    let lost: Vec<_> = kept.difference(&found).collect();
    assert!(lost.is_empty(), "lost: {lost:?}");
    vault.close();
    drop(vault);
    let checked = check(folder, None, |_| ()).unwrap();
    assert!(checked.journal.entries >= kept.len() as u64 && checked.journal.checkpoints >= 1);
}

const FULL: &str = "CASEMESH_FULL_FOLDER";
const DATABASE: DatabaseId = DatabaseId::new([5; 16]);

fn entry() -> Entry {
    Entry { kind: EntryKind::Change, about: vec![0x5a; 700], writes: vec![], keys: vec![] }
}

/// The child: fills its journal until the disk refuses, and says what it was told.
#[test]
fn child_with_a_small_disk() {
    let Some(folder) = std::env::var_os(FULL) else { return };
    let mut journal = Journal::create(Path::new(&folder), DATABASE).unwrap();
    let mut kept = 0;
    let refusal = loop {
        // Three entries a group: a group that does not fit is dropped as a whole.
        let numbers: Vec<u64> = (0..3).map(|_| journal.append(&entry()).unwrap()).collect();
        match journal.sync() {
            Ok(()) => kept = numbers[2],
            Err(error) => break error.to_string(),
        }
    };
    let again = journal.append(&entry()).and_then(|number| journal.sync().map(|()| number));
    eprintln!("kept {kept}|{refusal}|{again:?}");
}

/// A limit on the length of a file stands for a full disk, as in the test of the command line; here it is the journal
/// itself that cannot be written.
#[cfg(target_os = "linux")]
#[test]
fn a_journal_on_a_full_disk_keeps_what_it_said_it_kept_and_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let binary = std::env::current_exe().unwrap();
    let script = format!(
        "trap '' XFSZ; ulimit -f 64; exec {} --exact crash::child_with_a_small_disk --nocapture --test-threads=1",
        binary.display()
    );
    let journal = folder.path().join("journal");
    let ran = Command::new("sh").args(["-c", &script]).env(FULL, &journal).output().unwrap();
    let said = String::from_utf8(ran.stderr).unwrap();
    let line = said.lines().find_map(|line| line.strip_prefix("kept ")).unwrap_or_else(|| panic!("{said}"));
    let parts: Vec<&str> = line.split('|').collect();
    let kept: u64 = parts[0].parse().unwrap();
    assert!(kept > 10, "{said}");
    assert!(parts[1].starts_with("the disk is full"), "{said}");
    // One entry is smaller than the group that was dropped: the journal took it, or said again that it is full.
    let more = u64::from(parts[2] == format!("Ok({})", kept + 1));
    assert!(more == 1 || parts[2].contains("FileTooLarge"), "{said}");
    let (mut opened, found) = Journal::open(&journal, DATABASE, kept).unwrap();
    assert_eq!((found.last, found.cut), (kept + more, 0));
    assert_eq!(opened.append(&entry()).unwrap(), kept + more + 1);
    opened.sync().unwrap();
    assert_eq!(journal::verify(&journal, DATABASE, &[], |_| ()).unwrap().entries, kept + more + 1);
}
