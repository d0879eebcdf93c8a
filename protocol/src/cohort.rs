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

/// From one sum to the next of the same agreement so many offices come or go, or none: the difference of two sums would tell nearly the
/// numbers of one or two (Casemesh's rule; the measured attack is in ARCHITECTURE.md).
pub const CHANGED_MIN: usize = 3;
/// How many offices of which a report is not in the sum are named to the collector: more would not fit its packet.
pub const MISSED_MAX: usize = 256;
/// Hashes from one report up to the root.
pub const PATH_MAX: usize = 12;

/// A report that is in a sum.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
#[cbor(array)]
pub struct Counted {
    /// Whose.
    #[n(0)]
    pub office: OfficeId,
    /// Which: an office that is put back from a backup does not know the one it sent before.
    #[cbor(n(1), with = "minicbor::bytes")]
    pub nonce: [u8; 16],
}

/// The reports of a sum, in the order of their offices, each office once.
pub type Cohort = List<Counted, TALLY_OFFICES_MAX>;

/// Whether each office is named once, in order: one that is named twice is one office and not two.
pub fn is_in_order(offices: impl Iterator<Item = OfficeId>) -> bool {
    offices.is_sorted_by(|one, next| one < next)
}

/// Whose reports they are.
pub fn offices(reports: &[Counted]) -> Vec<OfficeId> {
    reports.iter().map(|report| report.office).collect()
}

fn changed(previous: &[OfficeId], next: &[OfficeId]) -> usize {
    let new = next.iter().filter(|office| !previous.contains(office)).count();
    new + previous.iter().filter(|office| !next.contains(office)).count()
}

/// Whether a sum of these offices may follow the last sum of the same agreement.
pub fn may_follow(previous: Option<&[OfficeId]>, next: &[OfficeId]) -> bool {
    previous.is_none_or(|previous| matches!(changed(previous, next), 0 | CHANGED_MIN..))
}

/// Whom to leave out, of those that told, so that the sum may follow the last one: as few as can be. New offices wait for others to come
/// with them; where somebody is missing, others are left out with them, drawn by a hash that nobody chooses.
pub fn left_out(previous: Option<&[OfficeId]>, told: &[OfficeId], tally: &Digest) -> Vec<OfficeId> {
    let Some(previous) = previous.filter(|previous| !may_follow(Some(previous), told)) else { return Vec::new() };
    let (stayed, new): (Vec<OfficeId>, Vec<OfficeId>) = told.iter().partition(|office| previous.contains(office));
    let others = CHANGED_MIN - changed(previous, told);
    let nobody_left = stayed.len() == previous.len();
    if nobody_left && new.len() <= others {
        return new;
    }
    let mut drawn = stayed;
    drawn.sort_by_key(|office| sha256(&[b"casemesh/1/cohort\0", tally.as_bytes(), office.as_bytes()]));
    drawn.truncate(others);
    drawn.sort_unstable();
    drawn
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

fn tree_of(reports: &[Counted]) -> Tree {
    Tree::new(reports.iter().map(wire::encode))
}

impl TallyRoot {
    /// Signs which reports are in a sum.
    pub fn sign((aggregator, tally): (OfficeId, Digest), reports: &[Counted], at: Timestamp, key: &SigningKey) -> Self {
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
    pub fn is_of(&self, reports: &[Counted]) -> bool {
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
    pub fn of_all<'a>(root: &'a TallyRoot, reports: &'a [Counted]) -> impl Iterator<Item = (OfficeId, Self)> + use<'a> {
        let tree = tree_of(reports);
        reports.iter().zip(0..).map(move |(report, place): (&Counted, u32)| {
            let path = List::new(tree.path(place as usize)).unwrap_or_default();
            (report.office, Self { root: root.clone(), nonce: report.nonce, place, path })
        })
    }

    /// Whether it leads from an office's report to the root that was signed.
    pub fn holds(&self, office: OfficeId, rooted: &Rooted) -> bool {
        let leaf = wire::encode(&Counted { office, nonce: self.nonce });
        let place = (self.place as usize, rooted.reports as usize);
        casemesh_crypto::merkle::root_by_path(&leaf, place, self.path.as_slice()) == Some(rooted.root)
    }
}

coded_enum!(
    /// Why an office's report is not in a sum.
    LeftOut {
        /// Its proof does not hold: the numbers are out of range, or the two shares do not belong together.
        Refused = 1 "refused",
        /// It came, or was checked, after the sum was closed.
        Late = 2 "late",
        /// With it, too few offices would have come or gone since the last sum.
        FewChanged = 3 "few_changed",
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

    /// All offices of a small network that told this time and the last: what is left never differs by one or two, as few as can be are
    /// left out, and nobody who did not tell is.
    #[test]
    fn no_two_sums_differ_by_one_office_or_two() {
        let name = Digest::new([9; 32]);
        assert_eq!(left_out(None, &some([1]), &name), []);
        for (before, now) in (0u16..64 * 64).map(|both| (both % 64, both / 64)) {
            let of = |set: u16| some((0..6u8).filter(|bit| set >> bit & 1 == 1).chain(10..15));
            let (previous, told) = (of(before), of(now));
            let out = left_out(Some(&previous), &told, &name);
            let next: Vec<OfficeId> = told.iter().filter(|office| !out.contains(office)).copied().collect();
            assert!(may_follow(Some(&previous), &next), "{before} {now}");
            assert_eq!(next.len() + out.len(), told.len(), "only of those that told, each once");
            let alike = (before ^ now).count_ones();
            assert!(out.len() <= if [1, 2].contains(&alike) { 3 - alike as usize } else { 0 }, "{before} {now}");
        }
        let (four, five) = (some(1..5), some(1..6));
        assert_eq!(left_out(Some(&four), &five, &name), some([5]), "one that is new waits");
        assert!(!may_follow(Some(&four), &five) && may_follow(Some(&four), &some(1..8)));
    }

    #[test]
    fn an_office_stands_once_in_a_sum() {
        let in_order = |bytes: [u8; 2]| is_in_order(some(bytes).into_iter());
        assert!(in_order([1, 2]) && !in_order([2, 1]) && !in_order([1, 1]));
    }

    #[test]
    fn who_is_missed_takes_others_along_whom_nobody_chose() {
        let (ten, nine) = (some(1..11), some(1..10));
        let drawn: std::collections::BTreeSet<Vec<OfficeId>> =
            (0..20).map(|sum| left_out(Some(&ten), &nine, &Digest::new([sum; 32]))).collect();
        assert!(drawn.len() > 10 && drawn.iter().all(|out| out.len() == 2), "other ones in each sum");
    }

    #[test]
    fn an_office_finds_its_report_under_the_root_and_no_other() {
        let (key, other) = (SigningKey::random(&mut os_rng()), SigningKey::random(&mut os_rng()));
        let reports: Vec<Counted> =
            some(1..14).into_iter().map(|office| Counted { office, nonce: [office.as_bytes()[0]; 16] }).collect();
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
