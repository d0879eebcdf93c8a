use super::*;
use crate::clock::Clock;
use crate::keys::{KeyFile, NewOffice};
use crate::records::Outbox;
use crate::secure_sum::Report;
use crate::vault::{Change, Kind, Observer, Vault};
use casemesh_crypto::passphrase::Cost;
use casemesh_protocol::id::StaffId;
use casemesh_protocol::packet::Body;

const NOW: Timestamp = Timestamp::from_s(1_795_000_000);

struct Nobody;

impl Observer for Nobody {
    fn changed(&self, _: Kind, _: Change<'_>) {}
}

/// One aggregator with a store of its own, whose packets the test carries, or alters, or loses.
struct Party {
    _folder: tempfile::TempDir,
    vault: Vault,
    ours: OfficeId,
    sent: usize,
}

fn office(byte: u8) -> OfficeId {
    OfficeId::new([byte; 32])
}

const LEADER: u8 = 101;
const HELPER: u8 = 102;
const COLLECTOR: u8 = 103;

fn agreement() -> Agreement {
    let text = format!(
        "id = \"sums\"\nversion = 1\n[terms]\nevery = \"year\"\nfrom = \"2016-01-01\"\nway = \"secure_sum\"\n\
         aggregators = [\"{}\", \"{}\"]\nleast_offices = 3\nmost = 100\n[[indicator]]\nid = \"sex\"\n\
         title = {{ en = \"By sex\" }}\nsource = \"people\"\nwhen = {{ in = \"first_case\" }}\n\
         by = [{{ column = \"sex\", codes = [\"female\", \"male\"] }}]\n",
        office(LEADER),
        office(HELPER)
    );
    indicators::read_agreement(&text).unwrap()
}

fn work(ours: OfficeId, year: i16) -> Work {
    let (agreement, period) = (agreement(), Period::year(year).unwrap());
    let hash = Digest::new([5; 32]);
    let name = tally_of(&hash, period);
    Work {
        sum: sum_of(&agreement, &name).unwrap(),
        agreement: hash,
        period,
        name,
        family: agreement.id,
        leader: office(LEADER),
        helper: office(HELPER),
        signs: (ours, SigningKey::random(&mut os_rng())),
    }
}

impl Party {
    fn new(ours: u8) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let rng = &mut os_rng();
        let mut new = NewOffice::draw("x", |seed| seed.expose().to_vec(), NOW, rng).unwrap();
        new.file.set_slot(&new.keys, StaffId::new([1; 16]), "a", "password of a", Cost::FLOOR, rng).unwrap();
        new.file.write(folder.path(), &new.keys, rng).unwrap();
        let keys = KeyFile::read(folder.path()).unwrap().open_with_seed(&new.recovery_seed).unwrap();
        let (vault, _) = Vault::open(folder.path(), keys, Arc::new(Nobody), Clock::set_to(NOW)).unwrap();
        Self { _folder: folder, vault, ours: office(ours), sent: 0 }
    }

    /// Does something of one year's sum, as the node does.
    fn does<T: Send + 'static>(
        &self,
        year: i16,
        what: impl FnOnce(&Work, &mut Tx<'_>) -> Result<T, DeskError> + Send + 'static,
    ) -> T {
        let work = work(self.ours, year);
        self.vault.write(None, "tally", move |tx| what(&work, tx)).unwrap()
    }

    /// What it sent since it was asked last.
    fn sent(&mut self) -> Vec<(OfficeId, TallyStep)> {
        let mut rows: Vec<Outbox> = self
            .vault
            .write(None, "look", |tx| Ok::<_, DeskError>(tx.list::<Outbox>(Outbox::TOP)?))
            .unwrap()
            .into_iter()
            .map(|row| row.record)
            .collect();
        rows.sort_by_key(|row| row.id);
        let step = |row: &Outbox| match Body::decode(row.kind, &row.body).unwrap() {
            Body::Tally(tally) => (row.to, tally.step),
            other => panic!("{other:?}"),
        };
        let all: Vec<_> = rows.iter().map(step).collect();
        let news = all[self.sent..].to_vec();
        self.sent = all.len();
        news
    }

    fn share(&self, year: i16, from: u8, report: &Report) -> Aside {
        let share = if self.ours == office(LEADER) { report.leader.clone() } else { report.helper.clone() };
        let (nonce, public) = (report.nonce, report.public.clone());
        self.does(year, move |work, tx| work.take_share(tx, office(from), nonce, (public, share)))
    }

    fn close(&self, year: i16, reports: Vec<CountedReport>) -> Aside {
        self.does(year, move |work, tx| {
            let closing = Closing { reports, left_out: Vec::new() };
            work.close(tx, &agreement(), &closing, Some((office(COLLECTOR), false)))
        })
    }

    fn counted(&self, year: i16, offices: &[u8]) -> Vec<CountedReport> {
        let offices: Vec<OfficeId> = offices.iter().map(|byte| office(*byte)).collect();
        self.does(year, move |work, tx| work.counted(tx, &offices))
    }
}

fn split(year: i16, numbers: [u64; 5]) -> Report {
    work(office(1), year).sum.split(&numbers).unwrap()
}

/// The leader asks about these offices, and the helper answers; what it says can be altered on the way.
fn checked(parties: &mut [Party; 2], year: i16, offices: &[u8], alter: impl Fn(&mut TallyItem)) {
    let [leader, helper] = parties;
    let asked: Vec<OfficeId> = offices.iter().map(|byte| office(*byte)).collect();
    leader.does(year, move |work, tx| work.ask(tx, &asked));
    for (to, step) in leader.sent() {
        assert_eq!(to, office(HELPER));
        let TallyStep::Questions { key, items } = step else { panic!("{step:?}") };
        helper.does(year, move |work, tx| work.take_questions(tx, key, items.into_vec()));
    }
    for (to, step) in helper.sent() {
        assert_eq!(to, office(LEADER));
        let TallyStep::Answers { items } = step else { panic!("{step:?}") };
        let mut items = items.into_vec();
        items.iter_mut().for_each(&alter);
        leader.does(year, move |work, tx| work.take_answers(tx, items));
    }
}

fn states(party: &Party, year: i16, offices: &[u8]) -> Vec<Option<ReportState>> {
    let offices: Vec<OfficeId> = offices.iter().map(|byte| office(*byte)).collect();
    party.does(year, move |work, tx| {
        offices.iter().map(|one| Ok(work.report(tx, one)?.map(|(report, _)| report.state))).collect()
    })
}

/// Five offices of which two cheat: the numbers of the others come out, and who cheated is known by name to both.
#[test]
fn offices_that_cheat_are_refused_by_name_and_the_others_are_summed() {
    let mut parties = [Party::new(LEADER), Party::new(HELPER)];
    let year = 2025;
    let honest: Vec<Report> = (1..=3).map(|from| split(year, [from, 1, 0, 2, 0])).collect();
    for party in &parties {
        for (from, report) in (1..).zip(&honest) {
            assert_eq!(party.share(year, from, report), None);
        }
    }
    // The fourth sends shares of two reports; the fifth a report that it made for another year.
    let (one, other) = (split(year, [9, 0, 0, 0, 0]), split(year, [90, 0, 0, 0, 0]));
    let mixed = Report { helper: other.helper, ..one };
    let replayed = split(2024, [50, 0, 0, 0, 0]);
    for party in &parties {
        assert_eq!(party.share(year, 4, &mixed), None);
        assert_eq!(party.share(year, 5, &replayed), None);
        let twice = party.share(year, 1, &split(year, [77, 0, 0, 0, 0]));
        assert!(twice.unwrap().contains("second report"), "an office tells once");
    }
    checked(&mut parties, year, &[1, 2, 3, 4, 5], |_| {});
    let [leader, helper] = &mut parties;
    let (added, refused) = (Some(ReportState::Added), Some(ReportState::Refused));
    for party in [&*leader, &*helper] {
        assert_eq!(states(party, year, &[1, 2, 3, 4, 5]), [added, added, added, refused, refused]);
    }
    let reports = leader.counted(year, &[1, 2, 3]);
    for party in [&*leader, &*helper] {
        assert!(party.close(year, party.counted(year, &[1, 2, 3, 4])).unwrap().contains("not added"));
        let twice = vec![reports[0], reports[0], reports[1]];
        assert!(party.close(year, twice).unwrap().contains("named twice"));
        assert!(party.close(year, reports[..2].to_vec()).unwrap().contains("too few"));
        assert_eq!(party.close(year, reports.clone()), None);
        assert!(party.close(year, reports.clone()).unwrap().contains("has ended"), "once");
    }
    let mut sums = Vec::new();
    for party in [leader, helper] {
        let sent = party.sent();
        let included = sent.iter().filter(|(_, step)| matches!(step, TallyStep::Included { .. }));
        assert_eq!(included.map(|(to, _)| *to).collect::<Vec<_>>(), [1, 2, 3].map(office));
        let sum = sent.into_iter().find_map(|(to, step)| match step {
            TallyStep::Sum { sum, reports, .. } => Some((to, sum, reports.into_vec())),
            _ => None,
        });
        let (to, sum, of) = sum.unwrap();
        assert_eq!((to, of), (office(COLLECTOR), reports.clone()));
        sums.push(sum);
    }
    let total = work(office(COLLECTOR), year).sum.total(&sums[0], &sums[1], 3).unwrap();
    assert_eq!(total, [6, 3, 0, 6, 0]);
}

/// Two aggregators that do not name the same reports give no sum, and whom either named is known.
#[test]
fn two_lists_that_differ_make_no_sum() {
    let (work, agreement) = (work(office(COLLECTOR), 2025), agreement());
    let part = |offices: &[u8]| {
        let reports: Vec<CountedReport> =
            offices.iter().map(|byte| CountedReport { office: office(*byte), nonce: [*byte; 16] }).collect();
        let root = TallyRoot::sign((office(LEADER), work.name), &reports, NOW, &work.signs.1);
        let (id, from, sum) = (RecordId::new([1; 16]), office(LEADER), work.sum.added(&[], None).unwrap());
        let (tally, agreement, period) = (work.name, work.agreement, work.period);
        TallyPart { id, tally, agreement, period, from, reports, sum, at: NOW, root, left_out: Vec::new() }
    };
    let summed = work.together(&agreement, &part(&[1, 2, 3]), &part(&[1, 2, 4]));
    assert!(summed.offices.is_empty() && summed.figures.is_empty() && summed.root.is_none());
    assert_eq!(summed.named, [1, 2, 3, 4].map(office).into());
    let summed = work.together(&agreement, &part(&[1, 2, 3]), &part(&[1, 2, 3]));
    assert_eq!((summed.offices, summed.figures.len()), ([1, 2, 3].map(office).to_vec(), 1));
}

/// An answer that is altered, dropped, or of an aggregator that is not there costs that report, and no more.
#[test]
fn an_aggregator_that_cheats_or_is_absent_spoils_no_other_report() {
    let mut parties = [Party::new(LEADER), Party::new(HELPER)];
    let year = 2025;
    let reports: Vec<Report> = (1..=5).map(|at| split(year, [at, 0, 0, 0, 0])).collect();
    for party in &parties {
        for (from, report) in (1..).zip(&reports[..4]) {
            assert_eq!(party.share(year, from, report), None);
        }
    }
    // The fifth comes to the leader alone: the helper is not there.
    assert_eq!(parties[0].share(year, 5, &reports[4]), None);
    checked(&mut parties, year, &[1, 2, 3, 4, 5], |item| {
        if item.office == office(4) {
            item.message.iter_mut().for_each(|byte| *byte ^= 1);
        }
    });
    let [leader, helper] = &parties;
    assert_eq!(
        states(leader, year, &[3, 4, 5]),
        [ReportState::Added, ReportState::Refused, ReportState::Asked].map(Some)
    );
    // A leader that adds what it did not check, or that names another report of an office, gets no sum from the helper.
    let mut forged = helper.counted(year, &[1, 2, 3]);
    forged[2].nonce = [9; 16];
    assert!(helper.close(year, forged).unwrap().contains("not added"));
    let counted = leader.counted(year, &[1, 2, 3]);
    assert_eq!(leader.close(year, counted.clone()), None);
    assert_eq!(helper.close(year, counted), None);
    // What comes now is late, and its office is told by the leader.
    assert!(leader.share(year, 6, &split(year, [1; 5])).unwrap().contains("closed"));
    let late = parties[0].sent().pop().unwrap();
    assert_eq!(late, (office(6), TallyStep::LeftOut { why: LeftOut::Late }));
}

/// A leader that wants to see one office: the helper ends no sum that differs from another by one or two, and tells whom the leader left
/// out.
#[test]
fn the_helper_ends_no_sum_that_shows_an_office_by_subtracting() {
    let mut parties = [Party::new(LEADER), Party::new(HELPER)];
    let mut told = |year: i16, offices: &[u8]| {
        for from in offices {
            let report = split(year, [u64::from(*from), 0, 0, 0, 0]);
            parties.iter().for_each(|party| assert_eq!(party.share(year, *from, &report), None));
        }
        checked(&mut parties, year, offices, |_| {});
        (year, parties[1].counted(year, offices))
    };
    let sums = [told(2023, &[1, 2, 3, 4, 5, 6]), told(2024, &[1, 2, 3, 4, 5, 6, 7]), told(2025, &[1, 2, 3, 4, 5, 6])];
    let helper = &mut parties[1];
    let without = |(year, reports): &(i16, Vec<CountedReport>), out: &[u8]| {
        let is_in = |report: &&CountedReport| out.iter().all(|byte| report.office != office(*byte));
        (*year, reports.iter().filter(is_in).copied().collect::<Vec<CountedReport>>())
    };
    let ends = |helper: &Party, (year, reports): (i16, Vec<CountedReport>)| {
        let aside = helper.does(year, move |work, tx| {
            let left_out = work.missed(tx, &agreement(), &reports)?;
            work.close(tx, &agreement(), &Closing { reports, left_out }, Some((office(COLLECTOR), false)))
        });
        assert!(aside.is_none_or(|why| why.contains("by too few offices")), "{aside:?}");
        aside.is_none()
    };
    assert!(ends(helper, without(&sums[0], &[])));
    assert!(!ends(helper, without(&sums[1], &[])), "one more");
    assert!(!ends(helper, without(&sums[1], &[6, 7])), "one less");
    helper.sent();
    assert!(ends(helper, without(&sums[1], &[7])));
    let fates = helper.sent().into_iter().filter_map(|(to, step)| match step {
        TallyStep::LeftOut { why } => Some((to, why)),
        _ => None,
    });
    assert_eq!(fates.collect::<Vec<_>>(), [(office(7), LeftOut::FewChanged)]);
    // Whom the leader leaves out without need is told so.
    let (year, fewer) = without(&sums[2], &[6]);
    let missed = helper.does(year, move |work, tx| work.missed(tx, &agreement(), &fewer));
    assert_eq!(missed, [Missed { office: office(6), why: LeftOut::Unchecked }]);
    assert!(!ends(helper, without(&sums[2], &[6])));
    assert!(ends(helper, without(&sums[2], &[4, 5, 6])), "three less");
}
