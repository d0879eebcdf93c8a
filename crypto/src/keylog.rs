//! The key log of an office: a signed hash chain that says which keys speak for it, from its genesis on.
//! The root key signs who may act for the office; it lies on paper, not on a disk. The genesis commits
//! to the hash of the next root, so that a stolen root cannot take the office over once the rightful
//! next one is revealed (the pre-rotation of KERI).

use crate::envelope::OfficeId;
use crate::hash::{Digest, sha256};
use crate::sign::{Context, KeyId, Signature, SigningKey, VerifyingKey};
use crate::wire;
use minicbor::{Decode, Encode};

const VERSION: u8 = 1;
/// How many statements one key log can have: decades of yearly keys and weekly prekeys.
pub const STATEMENTS_MAX: usize = 4096;

/// The first statement; its hash is the office's lasting id.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Genesis {
    #[n(0)]
    version: u8,
    /// The first root key.
    #[n(1)]
    pub root: VerifyingKey,
    /// SHA-256 of the next root key.
    #[n(2)]
    pub next_root: Digest,
    /// SHA-256 of the office's name at the time.
    #[n(3)]
    pub name: Digest,
    /// Seconds since 1970.
    #[n(4)]
    pub created_s: u64,
}

impl Genesis {
    /// The genesis of an office of that name.
    pub fn new(root: VerifyingKey, next_root: VerifyingKey, name: &str, created_s: u64) -> Self {
        Self {
            version: VERSION,
            root,
            next_root: sha256(&[next_root.as_bytes()]),
            name: sha256(&[name.as_bytes()]),
            created_s,
        }
    }

    /// The office's id.
    pub fn office(&self) -> OfficeId {
        OfficeId::new(*sha256(&[b"casemesh/1/genesis\0", &wire::encode(self)]).as_bytes())
    }
}

/// What a statement does.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum Step {
    /// The root lets a node key sign for the office for a time (seconds since 1970).
    #[n(0)]
    Delegate {
        /// The node's signing key.
        #[n(0)]
        key: VerifyingKey,
        /// From when.
        #[n(1)]
        from_s: u64,
        /// Until when.
        #[n(2)]
        until_s: u64,
    },
    /// A node key names the network identity and the receipt key of the machine.
    #[n(1)]
    CertifyMachine {
        /// The libp2p peer id, as bytes.
        #[cbor(n(0), with = "minicbor::bytes")]
        peer: Vec<u8>,
        /// The key that signs receipts while the office is locked.
        #[n(1)]
        receipt_key: VerifyingKey,
        /// Until when.
        #[n(2)]
        until_s: u64,
    },
    /// A node key publishes the prekeys of the coming weeks.
    #[n(2)]
    PublishPrekeys {
        /// SHA-256 of the encoded list.
        #[n(0)]
        list: Digest,
    },
    /// The root takes a node key back.
    #[n(3)]
    Revoke {
        /// Which key.
        #[n(0)]
        key: KeyId,
        /// Nothing signed from then on is believed.
        #[n(1)]
        since_s: u64,
    },
    /// The root hands over to the key that was committed to, and commits to the one after.
    #[n(4)]
    RotateRoot {
        /// The new root key.
        #[n(0)]
        root: VerifyingKey,
        /// SHA-256 of the one after.
        #[n(1)]
        next_root: Digest,
    },
    /// The office ends.
    #[n(5)]
    Close,
}

/// One statement of the chain.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Statement {
    #[n(0)]
    version: u8,
    #[n(1)]
    office: OfficeId,
    #[n(2)]
    number: u64,
    #[n(3)]
    previous: Digest,
    /// When it was made, seconds since 1970.
    #[n(4)]
    pub created_s: u64,
    /// What it does.
    #[n(5)]
    pub step: Step,
}

/// A statement as its signer wrote it.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Signed {
    #[cbor(n(0), with = "minicbor::bytes")]
    statement: Vec<u8>,
    #[n(1)]
    signature: Signature,
}

/// Why a key log is not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyLogError {
    /// More statements than an office can need.
    #[error("the key log has more than {STATEMENTS_MAX} statements")]
    TooLong,
    /// A statement is unreadable, out of order, of another office, or not signed by who may.
    #[error("statement {0} of the key log does not hold")]
    Statement(u64),
}

/// What a believed key log says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OfficeKeys {
    office: OfficeId,
    root: VerifyingKey,
    next_root: Digest,
    nodes: Vec<NodeKey>,
    machines: Vec<Machine>,
    prekey_list: Option<Digest>,
    closed: bool,
    length: u64,
    head: Digest,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct NodeKey {
    key: VerifyingKey,
    from_s: u64,
    until_s: u64,
}

/// A machine that speaks for the office on the network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Machine {
    /// Its libp2p peer id, as bytes.
    pub peer: Vec<u8>,
    /// The key of its receipts.
    pub receipt_key: VerifyingKey,
    /// Until when, seconds since 1970.
    pub until_s: u64,
    /// The node key that certified it: when that is taken back, so is this.
    pub by: KeyId,
}

impl OfficeKeys {
    /// The state after the genesis alone.
    pub fn genesis(genesis: &Genesis) -> Self {
        let office = genesis.office();
        Self {
            office,
            root: genesis.root,
            next_root: genesis.next_root,
            nodes: Vec::new(),
            machines: Vec::new(),
            prekey_list: None,
            closed: false,
            length: 0,
            head: Digest::new(*office.as_bytes()),
        }
    }

    /// Follows a whole log.
    ///
    /// # Errors
    /// At the first statement that does not hold.
    pub fn follow(genesis: &Genesis, log: &[Signed]) -> Result<Self, KeyLogError> {
        if log.len() > STATEMENTS_MAX {
            return Err(KeyLogError::TooLong);
        }
        log.iter().try_fold(Self::genesis(genesis), |keys, signed| keys.step(signed))
    }

    /// Whether a log goes on where this one ended: a log that tells another story of the same past is somebody else's, or a theft.
    pub fn is_continued_by(&self, genesis: &Genesis, log: &[Signed]) -> bool {
        let past = usize::try_from(self.length).ok().and_then(|length| log.get(..length));
        past.is_some_and(|past| Self::follow(genesis, past).is_ok_and(|then| then.head == self.head))
    }

    /// How many statements there are.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Follows one more statement.
    ///
    /// # Errors
    /// When it does not hold.
    pub fn step(mut self, signed: &Signed) -> Result<Self, KeyLogError> {
        let wrong = KeyLogError::Statement(self.length);
        let statement: Statement = wire::decode(&signed.statement).map_err(|_| wrong)?;
        let in_order = statement.version == VERSION
            && statement.office == self.office
            && statement.number == self.length
            && statement.previous == self.head
            && !self.closed;
        if !in_order {
            return Err(wrong);
        }
        let by = |key: &VerifyingKey| key.verify(Context::KeyLog, &signed.statement, &signed.signature).is_ok();
        let valid = |node: &&NodeKey| node.is_valid_at(statement.created_s) && by(&node.key);
        let signer = match &statement.step {
            Step::CertifyMachine { .. } | Step::PublishPrekeys { .. } => {
                self.nodes.iter().find(valid).map(|node| node.key)
            }
            Step::RotateRoot { root, .. } => {
                Some(*root).filter(|root| sha256(&[root.as_bytes()]) == self.next_root && by(root))
            }
            Step::Delegate { .. } | Step::Revoke { .. } | Step::Close => Some(self.root).filter(|root| by(root)),
        };
        let signer = signer.ok_or(wrong)?.id();
        self.apply(statement.step, signer);
        self.length += 1;
        self.head = sha256(&[&signed.statement]);
        Ok(self)
    }

    fn apply(&mut self, step: Step, by: KeyId) {
        match step {
            Step::Delegate { key, from_s, until_s } => self.nodes.push(NodeKey { key, from_s, until_s }),
            Step::CertifyMachine { peer, receipt_key, until_s } => {
                self.machines.retain(|machine| machine.peer != peer);
                self.machines.push(Machine { peer, receipt_key, until_s, by });
            }
            Step::PublishPrekeys { list } => self.prekey_list = Some(list),
            Step::Revoke { key, since_s } => {
                for node in self.nodes.iter_mut().filter(|node| node.key.id() == key) {
                    node.until_s = node.until_s.min(since_s);
                }
                self.machines.retain(|machine| machine.by != key);
            }
            Step::RotateRoot { root, next_root } => {
                self.root = root;
                self.next_root = next_root;
            }
            Step::Close => self.closed = true,
        }
    }

    /// Writes the next statement, signed by `key`. It holds only if that key may make the step.
    pub fn write(&self, step: Step, created_s: u64, key: &SigningKey) -> Signed {
        let statement = wire::encode(&Statement {
            version: VERSION,
            office: self.office,
            number: self.length,
            previous: self.head,
            created_s,
            step,
        });
        let signature = key.sign(Context::KeyLog, &statement);
        Signed { statement, signature }
    }

    /// The office's id.
    pub fn office(&self) -> OfficeId {
        self.office
    }

    /// The hash of the last statement (of the genesis, when there is none).
    pub fn head(&self) -> Digest {
        self.head
    }

    /// Whether the office ended.
    pub fn is_closed(&self) -> bool {
        self.closed
    }

    /// The node key of that name, if it may sign at that time (seconds since 1970).
    pub fn node_key(&self, id: &KeyId, at_s: u64) -> Option<VerifyingKey> {
        self.nodes.iter().find(|node| node.key.id() == *id && node.is_valid_at(at_s)).map(|node| node.key)
    }

    /// The node key of that name, in or out of its time: for what another signature of the office vouches for.
    pub fn node_key_ever(&self, id: &KeyId) -> Option<VerifyingKey> {
        self.nodes.iter().map(|node| node.key).find(|key| key.id() == *id)
    }

    /// Every node key there ever was, in or out of its time.
    pub fn node_keys(&self) -> Vec<VerifyingKey> {
        self.nodes.iter().map(|node| node.key).collect()
    }

    /// The machine with that peer id, if certified at that time.
    pub fn machine(&self, peer: &[u8], at_s: u64) -> Option<&Machine> {
        self.machines.iter().find(|machine| machine.peer == peer && at_s < machine.until_s)
    }

    /// All machines that were ever certified and not replaced.
    pub fn machines(&self) -> &[Machine] {
        &self.machines
    }

    /// SHA-256 of the prekey list that is in force.
    pub fn prekey_list(&self) -> Option<Digest> {
        self.prekey_list
    }
}

impl NodeKey {
    fn is_valid_at(&self, at_s: u64) -> bool {
        (self.from_s..self.until_s).contains(&at_s)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::os_rng;

    struct Office {
        root: SigningKey,
        next: SigningKey,
        node: SigningKey,
        genesis: Genesis,
    }

    fn office() -> Office {
        let [root, next, node] = [(); 3].map(|()| SigningKey::random(&mut os_rng()));
        let genesis = Genesis::new(root.verifying_key(), next.verifying_key(), "Advice office", 1000);
        Office { root, next, node, genesis }
    }

    impl Office {
        fn delegated(&self) -> (OfficeKeys, Vec<Signed>) {
            let keys = OfficeKeys::genesis(&self.genesis);
            let step = Step::Delegate { key: self.node.verifying_key(), from_s: 1000, until_s: 2000 };
            let signed = keys.write(step, 1000, &self.root);
            (keys.step(&signed).unwrap(), vec![signed])
        }
    }

    #[test]
    fn a_node_key_speaks_for_the_office_in_its_time_and_until_it_is_revoked() {
        let office = office();
        let (keys, mut log) = office.delegated();
        let id = office.node.verifying_key().id();
        assert!(keys.node_key(&id, 1999).is_some());
        assert!(keys.node_key(&id, 999).is_none());
        assert!(keys.node_key(&id, 2000).is_none());
        log.push(keys.write(Step::Revoke { key: id, since_s: 1500 }, 1600, &office.root));
        let keys = OfficeKeys::follow(&office.genesis, &log).unwrap();
        assert!(keys.node_key(&id, 1499).is_some());
        assert!(keys.node_key(&id, 1500).is_none());
    }

    #[test]
    fn a_machine_falls_with_the_key_that_certified_it() {
        let office = office();
        let (keys, _) = office.delegated();
        let receipt_key = office.node.verifying_key();
        let machine = Step::CertifyMachine { peer: vec![1], receipt_key, until_s: 2000 };
        let keys = keys.clone().step(&keys.write(machine, 1100, &office.node)).unwrap();
        assert!(keys.machine(&[1], 1200).is_some());
        let revoke = Step::Revoke { key: receipt_key.id(), since_s: 1200 };
        let keys = keys.clone().step(&keys.write(revoke, 1200, &office.root)).unwrap();
        assert!(keys.machine(&[1], 1200).is_none() && keys.machines().is_empty());
    }

    #[test]
    fn only_who_may_can_make_a_step() {
        let office = office();
        let (keys, _) = office.delegated();
        let stranger = SigningKey::random(&mut os_rng());
        let machine = Step::CertifyMachine { peer: vec![1], receipt_key: stranger.verifying_key(), until_s: 2000 };
        assert!(keys.clone().step(&keys.write(machine.clone(), 1100, &office.node)).is_ok());
        for (step, key) in [
            (machine.clone(), &office.root),
            (machine.clone(), &stranger),
            (Step::Close, &office.node),
            (Step::Delegate { key: stranger.verifying_key(), from_s: 0, until_s: 9 }, &office.node),
            (Step::Revoke { key: office.node.verifying_key().id(), since_s: 0 }, &stranger),
        ] {
            let signed = keys.write(step, 1100, key);
            assert_eq!(keys.clone().step(&signed), Err(KeyLogError::Statement(1)));
        }
        let late = keys.write(machine, 2000, &office.node);
        assert_eq!(keys.clone().step(&late), Err(KeyLogError::Statement(1)));
    }

    #[test]
    fn the_root_goes_only_to_the_key_that_was_committed_to() {
        let office = office();
        let (keys, _) = office.delegated();
        let thief = SigningKey::random(&mut os_rng());
        let takeover = Step::RotateRoot { root: thief.verifying_key(), next_root: Digest::ZERO };
        assert!(keys.clone().step(&keys.write(takeover.clone(), 1100, &office.root)).is_err());
        assert!(keys.clone().step(&keys.write(takeover, 1100, &thief)).is_err());
        let handover = Step::RotateRoot { root: office.next.verifying_key(), next_root: Digest::ZERO };
        let rotated = keys.clone().step(&keys.write(handover, 1100, &office.next)).unwrap();
        assert!(rotated.clone().step(&rotated.write(Step::Close, 1200, &office.root)).is_err());
        let closed = rotated.clone().step(&rotated.write(Step::Close, 1200, &office.next)).unwrap();
        assert!(closed.is_closed());
        assert_eq!(closed.office(), keys.office());
    }

    #[test]
    fn a_reordered_or_foreign_log_is_refused() {
        let office = office();
        let (keys, mut log) = office.delegated();
        log.push(keys.write(Step::PublishPrekeys { list: Digest::ZERO }, 1100, &office.node));
        assert!(OfficeKeys::follow(&office.genesis, &log).is_ok());
        log.swap(0, 1);
        assert_eq!(OfficeKeys::follow(&office.genesis, &log), Err(KeyLogError::Statement(0)));
        let other = self::office();
        log.swap(0, 1);
        assert_eq!(OfficeKeys::follow(&other.genesis, &log), Err(KeyLogError::Statement(0)));
    }
}
