//! Who lets offices into the network, and out of it. The stewards, some of whom must sign together, name the registrars in a
//! *root*; a registrar lets one office in or ends its membership in an *admission*. Roots are a chain: each is signed by enough
//! of the stewards before it, so that whoever knows the first believes the last (the rotation of The Update Framework). Of several
//! admissions of one office the highest number counts, and at the same number the end: what a registrar ended stays ended until a
//! registrar, knowing of it, lets the office in anew.
//!
//! Every statement is signed by itself. Two files over the same network can be put together in any order with the same outcome, so
//! nobody has to say which is the newest.

use crate::bounded::List;
use crate::coded_enum;
use crate::id::OfficeId;
use crate::statistics::AGREEMENTS_MAX;
use crate::terms::Line;
use crate::time::Timestamp;
use crate::timers::Rules;
use casemesh_crypto::hash::{Digest, sha256};
use casemesh_crypto::sign::{Context, KeyId, Signature, SigningKey, VerifyingKey};
use casemesh_crypto::wire;
use minicbor::{Decode, Encode};
use std::collections::BTreeSet;

/// Stewards of one network: people who meet.
pub const STEWARDS_MAX: usize = 16;
/// Registrars of one network, those that retired included.
pub const REGISTRARS_MAX: usize = 256;
/// Roots of one network: years of changes, and all of them go with each word of a registrar.
pub const ROOTS_MAX: usize = 64;

/// Who may let offices in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
pub enum Registrar {
    /// Whoever holds that key: a file on a stick.
    #[n(0)]
    Key(#[n(0)] VerifyingKey),
    /// An office of the network: its administrator, at the node.
    #[n(1)]
    Office(#[n(0)] OfficeId),
}

/// What the stewards decided.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Root {
    #[n(0)]
    version: u8,
    /// Which network; zero in the first root, whose hash it is.
    #[n(1)]
    network: Digest,
    /// Which root, from 1.
    #[n(2)]
    pub number: u64,
    /// What the network is called.
    #[n(3)]
    pub name: Line,
    /// When it was written.
    #[n(4)]
    pub made: Timestamp,
    /// The stewards' keys.
    #[n(5)]
    pub stewards: List<VerifyingKey, STEWARDS_MAX>,
    /// How many of them must sign.
    #[n(6)]
    pub needed: u8,
    /// Who lets offices in.
    #[n(7)]
    pub registrars: List<Registrar, REGISTRARS_MAX>,
    /// Who did so until then: what they decided before holds.
    #[n(8)]
    pub retired: List<(Registrar, Timestamp), REGISTRARS_MAX>,
    /// How long the answers to a referral may take; as [`Rules::DEFAULT`] says where nothing is set.
    #[n(9)]
    pub rules: Option<Rules>,
    /// What offices are asked to tell of their work: the hashes of the agreements that hold.
    #[n(10)]
    pub agreements: List<Digest, AGREEMENTS_MAX>,
}

/// Why the stewards' or registrars' word is not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TrustError {
    /// Nobody signed what others must believe.
    #[error(
        "the stewards' decision no. {number} is signed by {signed} of the {needed} stewards who must sign it; let the others sign"
    )]
    Unsigned {
        /// Which root.
        number: u64,
        /// How many signatures hold.
        signed: usize,
        /// How many it takes.
        needed: usize,
    },
    /// It does not follow from the one before, or cannot be read.
    #[error("the stewards' decision no. {0} does not hold; ask a steward for the network file again")]
    Root(u64),
    /// Enough stewards signed two decisions of the same number.
    #[error("there are two decisions no. {0} of the stewards; do not use the file, and call them")]
    TwoRoots(u64),
    /// An admission is not signed by who says so.
    #[error("the admission of office {0:?} was changed after it was signed; ask a steward for the network file again")]
    Admission(OfficeId),
}

impl Root {
    /// The first root of a network.
    pub fn first(
        name: Line,
        stewards: List<VerifyingKey, STEWARDS_MAX>,
        needed: u8,
        registrars: List<Registrar, REGISTRARS_MAX>,
        rules: Option<Rules>,
        made: Timestamp,
    ) -> Self {
        let (network, retired, agreements) = (Digest::ZERO, List::default(), List::default());
        Self { version: 2, network, number: 1, name, made, stewards, needed, registrars, retired, rules, agreements }
    }

    /// Whether some of its stewards can sign, and all of them are needed for nothing but what they can reach.
    fn is_sound(&self) -> bool {
        let distinct: BTreeSet<&VerifyingKey> = self.stewards.iter().collect();
        self.version == 2
            && distinct.len() == self.stewards.as_slice().len()
            && (1..=distinct.len()).contains(&usize::from(self.needed))
            && self.rules.is_none_or(|rules| rules.is_sound())
    }

    /// Whether a registrar's word of that time counts.
    pub fn believes(&self, registrar: &Registrar, made: Timestamp) -> bool {
        self.registrars.as_slice().contains(registrar)
            || self.retired.iter().any(|(retired, until)| retired == registrar && made < *until)
    }
}

/// A root as its stewards signed it.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct SignedRoot {
    #[cbor(n(0), with = "minicbor::bytes")]
    root: Vec<u8>,
    #[n(1)]
    signatures: List<(KeyId, Signature), STEWARDS_MAX>,
}

impl SignedRoot {
    /// A root that nobody signed yet.
    pub fn proposed(root: &Root) -> Self {
        Self { root: wire::encode(root), signatures: List::default() }
    }

    /// With one more steward's signature.
    pub fn endorsed(self, key: &SigningKey) -> Self {
        let id = key.verifying_key().id();
        let mut signatures = self.signatures.into_vec();
        signatures.retain(|(by, _)| *by != id);
        signatures.push((id, key.sign(Context::NetworkRoot, &self.root)));
        let signatures = List::new(signatures.split_off(signatures.len().saturating_sub(STEWARDS_MAX)));
        Self { root: self.root, signatures: signatures.unwrap_or_default() }
    }

    /// What it says, not believed yet.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn read(&self) -> Result<Root, TrustError> {
        wire::decode(&self.root).map_err(|_| TrustError::Root(0))
    }

    /// How many of these stewards signed it.
    pub fn signed_by(&self, stewards: &[VerifyingKey]) -> usize {
        let holds = |steward: &&VerifyingKey| {
            let mut own = self.signatures.iter().filter(|(by, _)| *by == steward.id());
            own.any(|(_, signature)| steward.verify(Context::NetworkRoot, &self.root, signature).is_ok())
        };
        stewards.iter().filter(holds).count()
    }
}

/// The believed roots of a network, the first one first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Roots {
    signed: Vec<SignedRoot>,
    network: Digest,
    current: Root,
}

impl Roots {
    /// Follows roots from the first one on.
    ///
    /// # Errors
    /// At the first that does not hold.
    pub fn follow(signed: &[SignedRoot]) -> Result<Self, TrustError> {
        let (first, rest) = signed.split_first().ok_or(TrustError::Root(0))?;
        let current = first.read()?;
        if current.number != 1 || current.network != Digest::ZERO || !current.is_sound() {
            return Err(TrustError::Root(current.number));
        }
        enough(first, &current, &current)?;
        let network = sha256(&[b"casemesh/1/network\0", &first.root]);
        let begun = Self { signed: vec![first.clone()], network, current };
        rest.iter().try_fold(begun, |roots, next| roots.step(next))
    }

    fn step(mut self, next: &SignedRoot) -> Result<Self, TrustError> {
        let root = next.read()?;
        let follows = root.number == self.current.number + 1 && root.network == self.network && root.is_sound();
        if !follows || self.signed.len() >= ROOTS_MAX {
            return Err(TrustError::Root(root.number));
        }
        enough(next, &root, &self.current)?;
        enough(next, &root, &root)?;
        self.signed.push(next.clone());
        self.current = root;
        Ok(self)
    }

    /// With what another file knows of the same network.
    ///
    /// # Errors
    /// When the two do not agree, or a later root does not hold.
    pub fn with(self, other: &[SignedRoot]) -> Result<Self, TrustError> {
        for (number, (ours, theirs)) in (1..).zip(self.signed.iter().zip(other)) {
            if ours.root != theirs.root {
                // Enough signed the other one, too, or it is a forgery: a person has to know which.
                let before = if number == 1 { &self.current } else { &self.signed_root(number - 1)? };
                let signed = theirs.signed_by(before.stewards.as_slice()) >= usize::from(before.needed);
                return Err(if signed { TrustError::TwoRoots(number) } else { TrustError::Root(number) });
            }
        }
        let new = other.get(self.signed.len()..).unwrap_or_default();
        new.iter().try_fold(self, |roots, next| roots.step(next))
    }

    fn signed_root(&self, number: u64) -> Result<Root, TrustError> {
        let at = usize::try_from(number).ok().and_then(|number| number.checked_sub(1));
        at.and_then(|at| self.signed.get(at)).ok_or(TrustError::Root(number))?.read()
    }

    /// The next root, for the stewards to sign: as the current one, but for what `change` does.
    pub fn next(&self, made: Timestamp, change: impl FnOnce(&mut Root)) -> Root {
        let mut next = Root { network: self.network, number: self.current.number + 1, made, ..self.current.clone() };
        change(&mut next);
        next
    }

    /// The network's id: it stays when stewards change.
    pub fn network(&self) -> Digest {
        self.network
    }

    /// What holds now.
    pub fn current(&self) -> &Root {
        &self.current
    }

    /// All of them, as signed.
    pub fn signed(&self) -> &[SignedRoot] {
        &self.signed
    }
}

/// Whether enough of the stewards of `by` signed a root.
fn enough(signed: &SignedRoot, root: &Root, by: &Root) -> Result<(), TrustError> {
    let (count, needed) = (signed.signed_by(by.stewards.as_slice()), usize::from(by.needed));
    if count >= needed { Ok(()) } else { Err(TrustError::Unsigned { number: root.number, signed: count, needed }) }
}

coded_enum!(
    /// Why an office belongs to the network no more.
    EndReason {
        /// It closed its doors.
        Closed = 1 "closed",
        /// It left the network.
        Left = 2 "left",
        /// The network does not want it any more.
        Removed = 3 "removed",
        /// Its keys are lost or stolen.
        KeysLost = 4 "keys_lost",
    }
);

/// What a registrar decides about an office.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub enum Decision {
    /// It belongs to the network.
    #[n(0)]
    Admitted,
    /// It does not any more: a tombstone.
    #[n(1)]
    Ended {
        /// Why.
        #[n(0)]
        reason: EndReason,
        /// Which office goes on with its work.
        #[n(1)]
        successor: Option<OfficeId>,
    },
}

/// A registrar's word about one office.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Admission {
    #[n(0)]
    version: u8,
    #[n(1)]
    network: Digest,
    /// Which office.
    #[n(2)]
    pub office: OfficeId,
    /// The highest number counts.
    #[n(3)]
    pub number: u32,
    /// When.
    #[n(4)]
    pub made: Timestamp,
    /// Whose word it is.
    #[n(5)]
    pub by: Registrar,
    /// What was decided.
    #[n(6)]
    pub decision: Decision,
}

impl Admission {
    /// A new word about an office, after what was said of it so far.
    pub fn after(
        before: Option<&Self>,
        (network, office): (Digest, OfficeId),
        by: Registrar,
        decision: Decision,
        made: Timestamp,
    ) -> Self {
        // Only who knows of an end can undo it: a second admission of who is in does not outrank an end that its writer never saw.
        let number = match before {
            None => 1,
            Some(before) if !before.is_admitted() && matches!(decision, Decision::Admitted) => {
                before.number.saturating_add(1)
            }
            Some(before) => before.number,
        };
        Self { version: 1, network, office, number, made, by, decision }
    }

    /// Whether the office is in, by this word.
    pub fn is_admitted(&self) -> bool {
        matches!(self.decision, Decision::Admitted)
    }

    /// Which of two words about one office counts.
    pub fn outranks(&self, other: &Self) -> bool {
        let rank = |one: &Self| (one.number, !one.is_admitted(), one.made, wire::encode(one));
        rank(self) > rank(other)
    }

    /// Whether a root lets whoever says so decide it. An office can end its own membership.
    pub fn is_believed_by(&self, root: &Root) -> bool {
        let ends_itself = self.by == Registrar::Office(self.office) && !self.is_admitted();
        ends_itself || root.believes(&self.by, self.made)
    }
}

/// An admission as its registrar signed it.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct SignedAdmission {
    #[cbor(n(0), with = "minicbor::bytes")]
    admission: Vec<u8>,
    #[n(1)]
    key: KeyId,
    #[n(2)]
    signature: Signature,
}

impl SignedAdmission {
    /// Signs a word about an office.
    pub fn sign(admission: &Admission, key: &SigningKey) -> Self {
        let admission = wire::encode(admission);
        let signature = key.sign(Context::Admission, &admission);
        Self { admission, key: key.verifying_key().id(), signature }
    }

    /// Which key signed it.
    pub fn key(&self) -> KeyId {
        self.key
    }

    /// What it says, not believed yet.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn read(&self) -> Result<Admission, TrustError> {
        wire::decode(&self.admission).map_err(|_| TrustError::Admission(OfficeId::new([0; 32])))
    }

    /// Believes that the registrar said it, in this network. `key_of` gives the key of an office at a time, in seconds since 1970.
    ///
    /// # Errors
    /// When it was changed, is of another network, or is not signed by who says so.
    pub fn verify(
        &self,
        network: Digest,
        key_of: impl Fn(&OfficeId, &KeyId, u64) -> Option<VerifyingKey>,
    ) -> Result<Admission, TrustError> {
        let said = self.read()?;
        let wrong = TrustError::Admission(said.office);
        let key = match said.by {
            Registrar::Key(key) => Some(key),
            Registrar::Office(office) => key_of(&office, &self.key, said.made.s()),
        };
        let key = key.filter(|key| key.id() == self.key).ok_or(wrong)?;
        key.verify(Context::Admission, &self.admission, &self.signature).map_err(|_| wrong)?;
        if said.version == 1 && said.network == network { Ok(said) } else { Err(wrong) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use casemesh_crypto::random::os_rng;

    const NOW: Timestamp = Timestamp::from_s(1_795_000_000);

    fn keys<const N: usize>() -> [SigningKey; N] {
        [(); N].map(|()| SigningKey::random(&mut os_rng()))
    }

    fn public(keys: &[SigningKey]) -> List<VerifyingKey, STEWARDS_MAX> {
        List::new(keys.iter().map(SigningKey::verifying_key).collect()).unwrap()
    }

    fn first(stewards: &[SigningKey], needed: u8) -> Root {
        let name = Line::new("Network").unwrap();
        let registrars = List::new(vec![Registrar::Key(stewards[0].verifying_key())]).unwrap();
        Root::first(name, public(stewards), needed, registrars, None, NOW)
    }

    #[test]
    fn enough_stewards_sign_a_root_and_fewer_do_not() {
        let stewards = keys::<3>();
        let proposed = SignedRoot::proposed(&first(&stewards, 2));
        let missing = |signed| Err(TrustError::Unsigned { number: 1, signed, needed: 2 });
        assert_eq!(Roots::follow(std::slice::from_ref(&proposed)), missing(0));
        let one = proposed.endorsed(&stewards[0]).endorsed(&stewards[0]);
        assert_eq!(Roots::follow(std::slice::from_ref(&one)), missing(1), "the same steward twice is one");
        let stranger = one.clone().endorsed(&keys::<1>()[0]);
        assert_eq!(Roots::follow(&[stranger]), missing(1));
        assert!(Roots::follow(&[one.endorsed(&stewards[2])]).is_ok());
        for needed in [0, 4] {
            let unsound = SignedRoot::proposed(&first(&stewards, needed)).endorsed(&stewards[0]);
            assert_eq!(Roots::follow(&[unsound]), Err(TrustError::Root(1)));
        }
    }

    #[test]
    fn stewards_hand_over_and_the_network_stays_the_same() {
        let [old, new] = [keys::<1>(), keys::<1>()];
        let signed = SignedRoot::proposed(&first(&old, 1)).endorsed(&old[0]);
        let roots = Roots::follow(std::slice::from_ref(&signed)).unwrap();
        let next = roots.next(NOW, |root| root.stewards = public(&new));
        let takeover = SignedRoot::proposed(&next).endorsed(&new[0]);
        assert!(roots.clone().with(&[signed.clone(), takeover.clone()]).is_err(), "the old steward did not agree");
        let agreed = takeover.endorsed(&old[0]);
        let after = roots.clone().with(&[signed.clone(), agreed.clone()]).unwrap();
        assert_eq!((after.network(), after.current().number), (roots.network(), 2));
        // An older file takes nothing back; a second decision of the same number is told.
        assert_eq!(after.clone().with(std::slice::from_ref(&signed)).unwrap(), after);
        let other = roots.next(NOW.plus_days(1), |root| root.needed = 1);
        let fork = SignedRoot::proposed(&other).endorsed(&old[0]);
        assert_eq!(after.clone().with(&[signed.clone(), fork]), Err(TrustError::TwoRoots(2)));
        let forged = SignedRoot::proposed(&other).endorsed(&new[0]);
        assert_eq!(after.with(&[signed, forged]), Err(TrustError::Root(2)));
    }

    #[test]
    fn the_end_of_a_membership_wins_until_a_registrar_who_knows_of_it_lets_the_office_in_anew() {
        let [registrar, office] = keys::<2>();
        let by = Registrar::Key(registrar.verifying_key());
        let (network, id) = (Digest::new([7; 32]), OfficeId::new([1; 32]));
        let ended = Decision::Ended { reason: EndReason::Removed, successor: None };
        let say =
            |before: Option<&Admission>, decision, made| Admission::after(before, (network, id), by, decision, made);
        let granted = say(None, Decision::Admitted, NOW);
        let removed = say(Some(&granted), ended, NOW.plus_days(1));
        let again = say(Some(&removed), Decision::Admitted, NOW);
        let late = Admission { made: NOW.plus_days(9), ..granted };
        assert!(removed.outranks(&granted) && removed.outranks(&late) && again.outranks(&removed));
        assert!(late.outranks(&granted) != granted.outranks(&late));

        let of_office =
            |_: &OfficeId, key: &KeyId, _: u64| Some(office.verifying_key()).filter(|known| known.id() == *key);
        let signed = SignedAdmission::sign(&granted, &registrar);
        assert_eq!(signed.verify(network, of_office), Ok(granted));
        assert!(signed.verify(Digest::ZERO, of_office).is_err(), "another network's");
        assert!(SignedAdmission::sign(&granted, &office).verify(network, of_office).is_err());
        let own = Admission { by: Registrar::Office(id), ..removed };
        assert_eq!(SignedAdmission::sign(&own, &office).verify(network, of_office), Ok(own));

        let root = first(std::slice::from_ref(&registrar), 1);
        let itself = Admission { decision: Decision::Admitted, ..own };
        assert!(granted.is_believed_by(&root) && own.is_believed_by(&root) && !itself.is_believed_by(&root));
        let retired = Root {
            registrars: List::default(),
            retired: List::new(vec![(by, NOW.plus_days(1))]).unwrap(),
            ..root.clone()
        };
        assert!(granted.is_believed_by(&retired) && !late.is_believed_by(&retired));
        assert!(!granted.is_believed_by(&Root { registrars: List::default(), ..root }), "struck out");
    }
}
