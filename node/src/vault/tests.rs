use super::*;
use crate::keys::NewOffice;
use casemesh_crypto::passphrase::Cost;
use casemesh_crypto::random::os_rng;
use casemesh_crypto::shred::KeyHandle;
use std::collections::BTreeMap;
use std::path::Path;

const NOW: Timestamp = Timestamp::from_s(1_795_000_000);

#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
struct Note {
    #[n(0)]
    id: RecordId,
    #[n(1)]
    subjects: Vec<KeyHandle>,
    #[n(2)]
    text: String,
}

impl Record for Note {
    const KIND: Kind = Kind::Action;
    fn id(&self) -> RecordId {
        self.id
    }
    fn subjects(&self) -> Vec<KeyHandle> {
        self.subjects.clone()
    }
}

#[derive(Default)]
struct Seen(Mutex<BTreeMap<RecordId, String>>);

impl Observer for Seen {
    fn changed(&self, _: Kind, change: Change<'_>) {
        let mut seen = self.0.lock().unwrap();
        match change {
            Change::Put(plain) => {
                let note: Note = minicbor::decode(plain).unwrap();
                seen.insert(note.id, note.text);
            }
            Change::Gone(id) => drop(seen.remove(&id)),
        }
    }
}

struct Office {
    folder: tempfile::TempDir,
    seen: Arc<Seen>,
}

impl Office {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let rng = &mut os_rng();
        let mut new = NewOffice::draw("x", |seed| seed.expose().to_vec(), NOW, rng).unwrap();
        new.file.set_slot(&new.keys, StaffId::new([1; 16]), "a", "password of a", Cost::FLOOR, rng).unwrap();
        new.file.write(folder.path(), &new.keys, rng).unwrap();
        std::fs::write(folder.path().join("seed"), new.recovery_seed.expose()).unwrap();
        Self { folder, seen: Arc::default() }
    }

    fn keys(&self) -> Keys {
        let seed = std::fs::read(self.folder.path().join("seed")).unwrap();
        let seed = Secret::from_slice(&seed).unwrap();
        KeyFile::read(self.folder.path()).unwrap().open_with_seed(&seed).unwrap()
    }

    fn open(&mut self) -> (Vault, Report) {
        self.seen = Arc::default();
        let seen: Arc<dyn Observer> = self.seen.clone();
        Vault::open(self.folder.path(), self.keys(), seen, Clock::set_to(NOW)).unwrap()
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }
}

fn write(vault: &Vault, subjects: Vec<KeyHandle>, text: &str) -> RecordId {
    let text = text.to_owned();
    vault
        .write(None, "note", move |tx| {
            let note = Note { id: tx.fresh_id(), subjects, text };
            tx.insert(&note)?;
            Ok::<_, VaultError>(note.id)
        })
        .unwrap()
}

fn person(vault: &Vault) -> KeyHandle {
    vault.write(None, "person", |tx| Ok::<_, VaultError>(tx.new_person_key())).unwrap()
}

fn text(vault: &Vault, id: RecordId) -> Option<String> {
    vault.get::<Note>(Note::TOP, id).unwrap().map(|sealed| sealed.record.text)
}

#[test]
fn what_is_acknowledged_is_there_after_reopening() {
    let mut office = Office::new();
    let (vault, report) = office.open();
    assert_eq!(report, Report::default());
    let anna = person(&vault);
    let one = write(&vault, vec![anna], "about Anna");
    let two = write(&vault, vec![], "about nobody");
    assert_eq!(office.seen.0.lock().unwrap().len(), 2);
    vault.close();
    assert!(matches!(vault.get::<Note>(Note::TOP, one), Ok(Some(_))), "readers may finish");
    drop(vault);
    let (vault, report) = office.open();
    assert_eq!((report.records, report.rebuilt), (2, None));
    assert_eq!(text(&vault, one).as_deref(), Some("about Anna"));
    assert_eq!(text(&vault, two).as_deref(), Some("about nobody"));
    vault.close();
    drop(vault);
    let checked = check(office.path(), Some(office.keys()), |_| ()).unwrap();
    assert_eq!(checked.records, Some(2));
    assert!(checked.journal.checkpoints >= 1);
}

#[test]
fn a_missing_or_damaged_view_is_rebuilt_and_nothing_is_lost() {
    let mut office = Office::new();
    let (vault, _) = office.open();
    let anna = person(&vault);
    let ids: Vec<_> = (0..50).map(|n| write(&vault, vec![anna], &format!("note {n}"))).collect();
    vault.close();
    drop(vault);

    std::fs::remove_dir_all(office.path().join("view")).unwrap();
    let (vault, report) = office.open();
    assert_eq!(report.records, 50);
    vault.close();
    drop(vault);

    let db = office.path().join("view/db");
    let mut bytes = std::fs::read(&db).unwrap();
    bytes.iter_mut().skip(200).take(2000).for_each(|byte| *byte ^= 0xff);
    std::fs::write(&db, bytes).unwrap();
    let (vault, report) = office.open();
    // The engine either refuses, or forgets without a word; both end in what the journal says.
    assert!(report.rebuilt.is_some() || report.replayed > 50, "{report:?}");
    for (n, id) in ids.iter().enumerate() {
        assert_eq!(text(&vault, *id), Some(format!("note {n}")));
    }
    assert_eq!(report.rebuilt.is_some(), office.path().join("quarantine").exists(), "set aside, never deleted");
}

#[test]
fn a_row_that_vanished_from_the_view_is_noticed() {
    let mut office = Office::new();
    let (vault, _) = office.open();
    let id = write(&vault, vec![], "here");
    vault.close();
    let key = vault.shared.row_key(Note::KIND, Note::TOP, id);
    let applied = vault.shared.store.applied().unwrap();
    vault.shared.store.apply(&[crate::journal::Write { key, value: None }], applied).unwrap();
    vault.shared.store.flush().unwrap();
    drop(vault);
    let (vault, report) = office.open();
    assert!(report.rebuilt.is_some());
    assert_eq!(text(&vault, id).as_deref(), Some("here"));
}

#[test]
fn two_changes_of_one_record_do_not_lose_one() {
    let mut office = Office::new();
    let (vault, _) = office.open();
    let id = write(&vault, vec![], "first");
    let change = |revision| {
        vault.write(None, "note", move |tx| tx.update(&Note { id, subjects: vec![], text: "second".into() }, revision))
    };
    assert!(change(1).is_ok());
    assert!(matches!(change(1), Err(VaultError::Conflict)));
    assert!(change(2).is_ok());
}

#[test]
fn a_command_that_is_refused_or_stops_changes_nothing() {
    let mut office = Office::new();
    let (vault, _) = office.open();
    let refused: Result<(), VaultError> = vault.write(None, "x", |tx| {
        tx.insert(&Note { id: tx.fresh_id(), subjects: vec![], text: "no".into() })?;
        Err(VaultError::Conflict)
    });
    assert!(refused.is_err());
    let stopped: Result<(), VaultError> = vault.write(None, "x", |_| panic!("a bug in a command"));
    assert!(matches!(stopped, Err(VaultError::Locked)));
    assert!(office.seen.0.lock().unwrap().is_empty());
    write(&vault, vec![], "still working");
}

#[test]
fn many_writers_share_syncs() {
    let mut office = Office::new();
    let (vault, _) = office.open();
    let before = vault.written();
    std::thread::scope(|scope| {
        for writer in 0..16 {
            let vault = vault.clone();
            scope.spawn(move || {
                (0..25).for_each(|n| {
                    write(&vault, vec![], &format!("{writer}/{n}"));
                })
            });
        }
    });
    let after = vault.written();
    assert_eq!(after.entries - before.entries, 400);
    assert!(after.syncs - before.syncs < 300, "{after:?}");
    assert_eq!(office.seen.0.lock().unwrap().len(), 400);
}

#[test]
fn an_erased_person_is_noise_everywhere_and_the_log_still_verifies() {
    let mut office = Office::new();
    let (vault, _) = office.open();
    let (anna, ben) = (person(&vault), person(&vault));
    let of_anna = write(&vault, vec![anna], "Anna alone");
    let of_both = write(&vault, vec![anna, ben], "Anna and Ben");
    let old_keys = office.keys();
    vault.erase(None, move |_| Ok(((), Erasure { persons: vec![anna], redacted: vec![] }))).unwrap();
    assert_eq!(text(&vault, of_anna), None);
    assert_eq!(text(&vault, of_both).as_deref(), Some("Anna and Ben"));
    let later = write(&vault, vec![ben], "Ben, later");
    vault.close();
    drop(vault);

    let (vault, report) = office.open();
    assert_eq!((report.records, report.rebuilt), (2, None));
    assert_eq!(text(&vault, later).as_deref(), Some("Ben, later"));
    vault.close();
    drop(vault);
    assert!(check(office.path(), Some(office.keys()), |_| ()).is_ok());
    assert!(!office.path().join("keys/00000001.tbl").exists());
    // Whoever kept the old epoch key has no table to use it on.
    assert!(matches!(table::Table::read(office.path(), old_keys.database, &old_keys.epoch), Ok(None)));
}
