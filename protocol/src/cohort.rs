//! Whose reports are in a secure sum, the *cohort*: which of those that told may be in it, and what the aggregators sign of it, so that
//! each office can check that its own report counts.

use crate::bounded::List;
use crate::coded_enum;
use crate::id::OfficeId;
use crate::tally::TALLY_OFFICES_MAX;
use crate::time::Timestamp;
use casemesh_crypto::hash::{Digest, sha256};
use casemesh_crypto::merkle::Tree;
use casemesh_crypto::sign::{Context, KeyId, Signature, SigningKey, VerifyingKey};
use casemesh_crypto::wire;
use minicbor::{Decode, Encode};

/// How many offices of which a report is not in the sum are named to the collector: more would not fit its packet.
pub const MISSED_MAX: usize = 256;
/// Hashes from one report up to the root.
pub const PATH_MAX: usize = 12;

/// A report that is in a sum.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
#[cbor(array)]
pub struct CountedReport {
    /// Whose.
    #[n(0)]
    pub office: OfficeId,
    /// Which: an office that is put back from a backup does not know the one it sent before.
    #[cbor(n(1), with = "minicbor::bytes")]
    pub nonce: [u8; 16],
}

/// The reports of a sum, in the order of their offices, each office once.
pub type Cohort = List<CountedReport, TALLY_OFFICES_MAX>;

/// Whether each office is named once, in order: one that is named twice is one office and not two.
pub fn is_in_order(offices: impl Iterator<Item = OfficeId>) -> bool {
    offices.is_sorted_by(|one, next| one < next)
}

/// Whose reports they are.
pub fn offices(reports: &[CountedReport]) -> Vec<OfficeId> {
    reports.iter().map(|report| report.office).collect()
}

/// By how many offices two lists differ, both in order.
pub fn changed(one: &[OfficeId], other: &[OfficeId]) -> usize {
    let alone = |these: &[OfficeId], those: &[OfficeId]| {
        these.iter().filter(|office| those.binary_search(office).is_err()).count()
    };
    alone(one, other) + alone(other, one)
}

/// Whether a sum that differs from another by so many offices may stand beside it.
pub const fn is_apart(changed: usize, least_changed: usize) -> bool {
    changed == 0 || changed >= least_changed
}

/// Whether a sum of these offices, in order, may stand beside the sums of the same agreement that there are: from each of them it differs
/// by none, or by so many, for the difference of two sums tells nearly the numbers of the offices by which they differ.
pub fn may_stand(sums: &[Vec<OfficeId>], next: &[OfficeId], least_changed: usize) -> bool {
    sums.iter().all(|sum| is_apart(changed(sum, next), least_changed))
}

/// Whom to leave out, of those that told, so that their sum may stand beside the others: those that are not in the largest earlier sum all
/// of whose offices told, or, where that takes fewer, some that are drawn by the sum's name. None where too few would be left.
pub fn left_out(
    sums: &[Vec<OfficeId>],
    told: &[OfficeId],
    tally: &Digest,
    (least_changed, least): (usize, usize),
) -> Option<Vec<OfficeId>> {
    let is_again = |sum: &&Vec<OfficeId>| {
        sum.len() >= least
            && sum.iter().all(|office| told.binary_search(office).is_ok())
            && may_stand(sums, sum, least_changed)
    };
    let again = sums.iter().filter(is_again).max_by_key(|sum| sum.len());
    let without = |out: &dyn Fn(&OfficeId) -> bool| -> (Vec<OfficeId>, Vec<OfficeId>) {
        told.iter().partition(|office| out(office))
    };
    let mut by_draw = told.to_vec();
    by_draw.sort_by_key(|office| sha256(&[b"casemesh/1/cohort\0", tally.as_bytes(), office.as_bytes()]));
    let most = told.len().checked_sub(least)?;
    let drawn = (0..=most).find_map(|many| {
        let (out, rest) = without(&|office| by_draw.iter().take(many).any(|drawn| drawn == office));
        may_stand(sums, &rest, least_changed).then_some(out)
    });
    let again = again.map(|sum| without(&|office| !sum.contains(office)).0);
    match (again, drawn) {
        (Some(again), Some(drawn)) if drawn.len() < again.len() => Some(drawn),
        (Some(again), _) => Some(again),
        (None, drawn) => drawn,
    }
}

/// What an aggregator says of a sum that it closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Rooted {
    #[n(0)]
    version: u8,
    /// Which aggregator.
    #[n(1)]
    pub aggregator: OfficeId,
    /// Of which sum.
    #[n(2)]
    pub tally: Digest,
    /// The root of the Merkle tree over the reports that are in it (RFC 6962 section 2.1).
    #[n(3)]
    pub root: Digest,
    /// How many they are.
    #[n(4)]
    pub reports: u32,
    /// When it was closed.
    #[n(5)]
    pub at: Timestamp,
}

/// The signed root of the reports that are in a sum.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct TallyRoot {
    #[cbor(n(0), with = "minicbor::bytes")]
    rooted: Vec<u8>,
    /// The node key that signed.
    #[n(1)]
    pub key: KeyId,
    #[n(2)]
    signature: Signature,
}

/// The root, or what is proven by it, does not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the root of the sum does not hold")]
pub struct BadRoot;

fn tree_of(reports: &[CountedReport]) -> Tree {
    Tree::new(reports.iter().map(wire::encode))
}

impl TallyRoot {
    /// Signs which reports are in a sum.
    pub fn sign(
        (aggregator, tally): (OfficeId, Digest),
        reports: &[CountedReport],
        at: Timestamp,
        key: &SigningKey,
    ) -> Self {
        let (root, count) = (tree_of(reports).root(), u32::try_from(reports.len()).unwrap_or(u32::MAX));
        let rooted = wire::encode(&Rooted { version: 1, aggregator, tally, root, reports: count, at });
        let signature = key.sign(Context::TallyRoot, &rooted);
        Self { rooted, key: key.verifying_key().id(), signature }
    }

    /// What it says, if that aggregator's key signed it for that sum.
    ///
    /// # Errors
    /// When aggregator, sum or signature are others.
    pub fn verify(&self, aggregator: OfficeId, tally: &Digest, key: &VerifyingKey) -> Result<Rooted, BadRoot> {
        key.verify(Context::TallyRoot, &self.rooted, &self.signature).map_err(|_| BadRoot)?;
        let rooted: Rooted = wire::decode(&self.rooted).map_err(|_| BadRoot)?;
        let is_meant = rooted.version == 1 && rooted.aggregator == aggregator && rooted.tally == *tally;
        if is_meant { Ok(rooted) } else { Err(BadRoot) }
    }

    /// What it says, without checking who signed: for one that was checked before.
    pub fn unverified(&self) -> Option<Rooted> {
        wire::decode(&self.rooted).ok()
    }
}

impl Rooted {
    /// Whether these are the reports that it was signed for.
    pub fn is_of(&self, reports: &[CountedReport]) -> bool {
        tree_of(reports).root() == self.root && u32::try_from(reports.len()) == Ok(self.reports)
    }
}

/// An aggregator's word to an office that its report is in a sum: the signed root, and the path from the report to it.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Inclusion {
    /// What the aggregator signed.
    #[n(0)]
    pub root: TallyRoot,
    /// Which of the office's reports.
    #[cbor(n(1), with = "minicbor::bytes")]
    pub nonce: [u8; 16],
    /// Its place among all.
    #[n(2)]
    pub place: u32,
    /// The hashes beside the way up to the root.
    #[n(3)]
    pub path: List<Digest, PATH_MAX>,
}

impl Inclusion {
    /// The words to all offices of a sum.
    pub fn of_all<'a>(
        root: &'a TallyRoot,
        reports: &'a [CountedReport],
    ) -> impl Iterator<Item = (OfficeId, Self)> + use<'a> {
        let tree = tree_of(reports);
        reports.iter().zip(0..).map(move |(report, place): (&CountedReport, u32)| {
            let path = List::new(tree.path(place as usize)).unwrap_or_default();
            (report.office, Self { root: root.clone(), nonce: report.nonce, place, path })
        })
    }

    /// Whether it leads from an office's report to the root that was signed.
    pub fn holds(&self, office: OfficeId, rooted: &Rooted) -> bool {
        let leaf = wire::encode(&CountedReport { office, nonce: self.nonce });
        let place = (self.place as usize, rooted.reports as usize);
        casemesh_crypto::merkle::root_by_path(&leaf, place, self.path.as_slice()) == Some(rooted.root)
    }
}

coded_enum!(
    /// Why an office's report is not in a sum.
    LeftOut {
        /// Its proof does not hold: the numbers are out of range, or the two shares do not belong together.
        Refused = 1 "refused",
        /// It came after the sum was closed.
        Late = 2 "late",
        /// With it, the sum would differ from another by too few offices.
        FewChanged = 3 "few_changed",
        /// The two aggregators had not both checked it when the sum was closed.
        Unchecked = 4 "unchecked",
    }
);

/// An office whose report is not in a sum.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Missed {
    /// Whose.
    #[n(0)]
    pub office: OfficeId,
    /// Why not.
    #[n(1)]
    pub why: LeftOut,
}

#[cfg(test)]
mod tests {
    use super::*;
    use casemesh_crypto::random::os_rng;

    fn some(bytes: impl IntoIterator<Item = u8>) -> Vec<OfficeId> {
        bytes.into_iter().map(|byte| OfficeId::new([byte; 32])).collect()
    }

    /// Years of sums of a network in which offices come, go and miss one: no two ever differ by one office or two, nobody is in who did not
    /// tell, and where a sum is possible it is made.
    #[test]
    fn no_two_sums_differ_by_one_office_or_two() {
        let mut state = 7u64;
        let mut next = |below: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 33) % below
        };
        let mut made = 0;
        for _ in 0..60 {
            let mut members: Vec<u8> = (1..=8 + u8::try_from(next(8)).unwrap()).collect();
            let mut sums: Vec<Vec<OfficeId>> = Vec::new();
            for period in 0..16u8 {
                match next(4) {
                    0 => members.push(100 + period),
                    1 => drop(members.swap_remove(usize::try_from(next(members.len() as u64)).unwrap())),
                    _ => {}
                }
                let mut told = some(members.iter().copied().filter(|_| next(12) > 0));
                told.sort_unstable();
                let Some(out) = left_out(&sums, &told, &Digest::new([period; 32]), (3, 5)) else { continue };
                let rest: Vec<OfficeId> = told.iter().filter(|office| !out.contains(office)).copied().collect();
                assert!(may_stand(&sums, &rest, 3) && rest.len() >= 5 && rest.len() + out.len() == told.len());
                sums.push(rest);
                made += 1;
            }
            for (one, other) in sums.iter().flat_map(|one| sums.iter().map(move |other| (one, other))) {
                assert!(![1, 2].contains(&changed(one, other)));
            }
        }
        assert!(made > 60 * 12, "{made} sums of 960");
    }

    #[test]
    fn as_few_are_left_out_as_it_takes() {
        let name = Digest::new([9; 32]);
        let out = |sums: &[Vec<OfficeId>], told: Vec<OfficeId>, least| left_out(sums, &told, &name, (3, least));
        let ten = vec![some(1..11)];
        assert_eq!(out(&[], some(1..4), 3), Some(vec![]), "the first is of all");
        assert_eq!(out(&ten, some(1..11), 3), Some(vec![]));
        assert_eq!(out(&ten, some(1..12), 3), Some(some([11])), "one that is new waits");
        assert_eq!(out(&ten, some(1..14), 3), Some(vec![]), "three come together");
        assert_eq!(out(&ten, some(1..10), 3).unwrap().len(), 2, "with one that is missing two others wait");
        assert_eq!(out(&ten, some(1..10), 8), None, "too few would be left");
        // Whoever was missed once is back when all are.
        let both = vec![some(1..11), some(4..11)];
        assert_eq!(out(&both, some(1..11), 3), Some(vec![]));
        assert_eq!(left_out(&ten, &some(1..12), &name, (1, 3)), Some(vec![]), "stewards may ask for less");
        // And for more again: a sum of before that is too close to another is no way out.
        let close = vec![some(1..11), some(1..12)];
        let out = left_out(&close, &some(1..12), &name, (3, 3)).unwrap();
        let rest: Vec<OfficeId> = some(1..12).into_iter().filter(|office| !out.contains(office)).collect();
        assert!(may_stand(&close, &rest, 3));
    }

    #[test]
    fn an_office_stands_once_in_a_sum() {
        let in_order = |bytes: [u8; 2]| is_in_order(some(bytes).into_iter());
        assert!(in_order([1, 2]) && !in_order([2, 1]) && !in_order([1, 1]));
    }

    #[test]
    fn an_office_finds_its_report_under_the_root_and_no_other() {
        let (key, other) = (SigningKey::random(&mut os_rng()), SigningKey::random(&mut os_rng()));
        let reports: Vec<CountedReport> =
            some(1..14).into_iter().map(|office| CountedReport { office, nonce: [office.as_bytes()[0]; 16] }).collect();
        let (us, sum) = (OfficeId::new([40; 32]), Digest::new([7; 32]));
        let root = TallyRoot::sign((us, sum), &reports, Timestamp::from_s(5), &key);
        let rooted = root.verify(us, &sum, &key.verifying_key()).unwrap();
        assert!(rooted.is_of(&reports) && !rooted.is_of(&reports[1..]));
        for (office, inclusion) in Inclusion::of_all(&root, &reports) {
            assert!(inclusion.holds(office, &rooted));
            assert!(!inclusion.holds(us, &rooted));
            assert!(!Inclusion { nonce: [99; 16], ..inclusion.clone() }.holds(office, &rooted));
            assert!(!Inclusion { place: inclusion.place + 1, ..inclusion }.holds(office, &rooted));
        }
        assert!(root.verify(us, &sum, &other.verifying_key()).is_err());
        assert!(root.verify(OfficeId::new([41; 32]), &sum, &key.verifying_key()).is_err());
        assert!(root.verify(us, &Digest::new([8; 32]), &key.verifying_key()).is_err());
    }

    #[test]
    fn the_largest_sum_has_paths_that_fit() {
        assert_eq!(TALLY_OFFICES_MAX.next_power_of_two().trailing_zeros() as usize, PATH_MAX);
    }
}
