use super::*;
use casemesh_crypto::random::os_rng;
use casemesh_crypto::sign::SigningKey;
use casemesh_protocol::time::Timestamp;

const DATABASE: DatabaseId = DatabaseId::new([7; 16]);

fn entry(n: u64) -> Entry {
    let write = Write { key: n.to_be_bytes().to_vec(), value: Some(vec![0x55; 100]) };
    Entry { kind: EntryKind::Change, about: vec![1, 2, 3], writes: vec![write], keys: vec![] }
}

fn written(folder: &Path, count: u64) -> Journal {
    let mut journal = Journal::create(folder, DATABASE).unwrap();
    journal.set_segment_bytes(2000);
    for n in 1..=count {
        assert_eq!(journal.append(&entry(n)).unwrap(), n);
        if n % 3 == 0 {
            journal.sync().unwrap();
        }
    }
    journal.sync().unwrap();
    journal
}

fn numbers(folder: &Path, from: u64) -> Vec<u64> {
    let mut out = Vec::new();
    Reader::new(folder, DATABASE)
        .unwrap()
        .walk(
            |segment| from < segment.end,
            |number, read| {
                assert_eq!(read, entry(number));
                out.push(number);
                Ok(())
            },
        )
        .unwrap();
    out
}

#[test]
fn entries_come_back_in_order_across_segments_and_reopening() {
    let folder = tempfile::tempdir().unwrap();
    drop(written(folder.path(), 40));
    assert!(segment::list(folder.path()).unwrap().len() > 3);
    let (mut journal, opened) = Journal::open(folder.path(), DATABASE, 40).unwrap();
    assert_eq!(opened, Opened { last: 40, cut: 0, checkpoint: 0 });
    journal.append(&entry(41)).unwrap();
    journal.sync().unwrap();
    assert_eq!(numbers(folder.path(), 1), (1..=41).collect::<Vec<_>>());
    // The segments before are not even read.
    let from_17 = numbers(folder.path(), 17);
    let first = *from_17.first().unwrap();
    assert!(first > 1 && first <= 17 && from_17 == (first..=41).collect::<Vec<_>>(), "{from_17:?}");
    let verified = verify(folder.path(), DATABASE, &[], |_| ()).unwrap();
    assert_eq!((verified.entries, verified.root), (41, journal.frontier().root()));
}

#[test]
fn a_torn_tail_is_cut_wherever_the_power_went() {
    let whole = tempfile::tempdir().unwrap();
    drop(written(whole.path(), 4));
    let path = segment::last(whole.path()).unwrap().unwrap();
    let bytes = std::fs::read(&path).unwrap();
    let mut before_last = 0;
    for end in 0..bytes.len() {
        let folder = tempfile::tempdir().unwrap();
        let torn = folder.path().join(path.file_name().unwrap());
        std::fs::write(&torn, &bytes[..end]).unwrap();
        match Journal::open(folder.path(), DATABASE, 0) {
            Ok((mut journal, opened)) => {
                assert!(opened.last < 4 || end == bytes.len());
                before_last = before_last.max(opened.last);
                journal.append(&entry(opened.last + 1)).unwrap();
                journal.sync().unwrap();
                assert_eq!(numbers(folder.path(), 1).len() as u64, opened.last + 1);
            }
            Err(JournalError::Damaged(finding)) => assert_eq!(finding.byte, 0, "only a torn head stops it: {finding}"),
            Err(other) => panic!("{other}"),
        }
    }
    assert_eq!(before_last, 3);
}

#[test]
fn what_was_acknowledged_is_never_cut() {
    let folder = tempfile::tempdir().unwrap();
    drop(written(folder.path(), 4));
    let path = segment::last(folder.path()).unwrap().unwrap();
    let file = OpenOptions::new().write(true).open(&path).unwrap();
    file.set_len(file.metadata().unwrap().len() - 5).unwrap();
    assert!(matches!(Journal::open(folder.path(), DATABASE, 4), Err(JournalError::Damaged(_))));
    assert_eq!(Journal::open(folder.path(), DATABASE, 3).unwrap().1.last, 3);
}

#[test]
fn every_flipped_byte_is_found_and_named() {
    let folder = tempfile::tempdir().unwrap();
    drop(written(folder.path(), 12));
    for path in segment::list(folder.path()).unwrap() {
        let good = std::fs::read(&path).unwrap();
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 0x10;
            std::fs::write(&path, &bad).unwrap();
            let found = verify(folder.path(), DATABASE, &[], |_| ());
            match found {
                Err(ReadError::Journal(JournalError::Damaged(finding))) => {
                    assert_eq!(finding.byte, at as u64, "{finding}");
                }
                other => panic!("byte {at} of {path:?}: {other:?}"),
            }
        }
        std::fs::write(&path, &good).unwrap();
    }
}

#[test]
fn an_entry_with_two_changed_bytes_is_named_by_its_start() {
    let folder = tempfile::tempdir().unwrap();
    drop(written(folder.path(), 4));
    let path = segment::list(folder.path()).unwrap().remove(0);
    let mut bytes = std::fs::read(&path).unwrap();
    let start = bytes.windows(4).position(|window| window == b"FRM1").unwrap();
    bytes[start + 60] ^= 1;
    bytes[start + 90] ^= 1;
    std::fs::write(&path, &bytes).unwrap();
    match verify(folder.path(), DATABASE, &[], |_| ()) {
        Err(ReadError::Journal(JournalError::Damaged(finding))) => {
            assert_eq!((finding.byte, finding.number), (start as u64, Some(1)));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_entry_that_was_taken_out_is_named_and_no_byte_is_blamed() {
    let folder = tempfile::tempdir().unwrap();
    drop(written(folder.path(), 4));
    let path = segment::list(folder.path()).unwrap().remove(0);
    let bytes = std::fs::read(&path).unwrap();
    let starts: Vec<usize> =
        bytes.windows(4).enumerate().filter(|(_, window)| window == b"FRM1").map(|(at, _)| at).collect();
    let cut: Vec<u8> = [&bytes[..starts[1]], &bytes[starts[2]..]].concat();
    std::fs::write(&path, &cut).unwrap();
    match verify(folder.path(), DATABASE, &[], |_| ()) {
        Err(ReadError::Journal(JournalError::Damaged(finding))) => {
            assert_eq!((finding.byte, finding.number), (starts[1] as u64, Some(2)));
            assert!(finding.what.starts_with("an entry does not hold"), "{finding}");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_last_segment_with_a_damaged_head_is_never_passed_over() {
    let folder = tempfile::tempdir().unwrap();
    drop(written(folder.path(), 40));
    let last = segment::last(folder.path()).unwrap().unwrap();
    let good = std::fs::read(&last).unwrap();
    let mut bad = good.clone();
    bad[9] ^= 0x10;
    std::fs::write(&last, &bad).unwrap();
    assert!(matches!(Journal::open(folder.path(), DATABASE, 0), Err(JournalError::Damaged(_))));
    assert_eq!(std::fs::read(&last).unwrap(), bad);
    // One that was never born whole is: it held nothing.
    std::fs::write(&last, &good[..20]).unwrap();
    let (journal, _) = Journal::open(folder.path(), DATABASE, 0).unwrap();
    assert!(journal.next_number() > 1 && !last.exists());
}

#[test]
fn checkpoints_hold_only_with_the_offices_key_over_the_true_root() {
    let key = SigningKey::random(&mut os_rng());
    let checked = |database, size_off, key: &SigningKey| {
        let folder = tempfile::tempdir().unwrap();
        let mut journal = written(folder.path(), 5);
        let frontier = journal.frontier().clone();
        let signed =
            SignedCheckpoint::sign(database, frontier.size() + size_off, frontier.root(), Timestamp::from_s(9), key);
        let about = wire_encode(&signed);
        journal.append(&Entry { kind: EntryKind::Checkpoint, about, writes: vec![], keys: vec![] }).unwrap();
        journal.sync().unwrap();
        folder
    };
    let good = checked(DATABASE, 0, &key);
    assert_eq!(verify(good.path(), DATABASE, &[key.verifying_key()], |_| ()).unwrap().checkpoints, 1);
    assert!(verify(good.path(), DATABASE, &[], |_| ()).is_err(), "an unknown key");
    for bad in [checked(DATABASE, 1, &key), checked(DatabaseId::new([8; 16]), 0, &key)] {
        assert!(verify(bad.path(), DATABASE, &[key.verifying_key()], |_| ()).is_err());
    }
}

fn wire_encode(signed: &SignedCheckpoint) -> Vec<u8> {
    casemesh_crypto::wire::encode(signed)
}

#[test]
fn another_offices_file_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    drop(written(folder.path(), 2));
    assert!(matches!(Journal::open(folder.path(), DatabaseId::new([9; 16]), 0), Err(JournalError::Foreign(_))));
}

#[test]
fn a_group_is_kept_though_no_new_segment_can_be_started() {
    let folder = tempfile::tempdir().unwrap();
    let mut journal = Journal::create(folder.path(), DATABASE).unwrap();
    journal.set_segment_bytes(1);
    let in_the_way = folder.path().join(format!("{:016}.seg", 2));
    std::fs::write(&in_the_way, b"").unwrap();
    for n in 1..=3 {
        assert_eq!(journal.append(&entry(n)).unwrap(), n);
        journal.sync().unwrap();
    }
    drop(journal);
    std::fs::remove_file(in_the_way).unwrap();
    assert_eq!(numbers(folder.path(), 1), [1, 2, 3]);
}
