//! What one frame holds.

use super::DatabaseId;
use casemesh_crypto::hash::Digest;
use casemesh_crypto::shred::WrappedKey;
use casemesh_crypto::sign::{BadSignature, Context, Signature, SigningKey, VerifyingKey};
use casemesh_crypto::wire::{self, NotCanonical};
use casemesh_protocol::time::Timestamp;
use minicbor::{Decode, Encode};

/// What kind of entry it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub enum EntryKind {
    /// A command changed records.
    #[n(0)]
    Change,
    /// Somebody looked, searched, exported, or was refused.
    #[n(1)]
    Access,
    /// The state of the log, signed.
    #[n(2)]
    Checkpoint,
}

/// One row that a command wrote or removed.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Write {
    /// The row's key: a keyed hash, no plaintext.
    #[cbor(n(0), with = "minicbor::bytes")]
    pub key: Vec<u8>,
    /// The sealed value; none removes the row.
    #[cbor(n(1), with = "minicbor::bytes")]
    pub value: Option<Vec<u8>>,
}

/// One entry: one command as one atomic batch.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Entry {
    /// What kind.
    #[n(0)]
    pub kind: EntryKind,
    /// Who, when, what, about which record: sealed. Of a checkpoint: the signed checkpoint.
    #[cbor(n(1), with = "minicbor::bytes")]
    pub about: Vec<u8>,
    /// The rows, already sealed.
    #[n(2)]
    pub writes: Vec<Write>,
    /// Keys that came into being, wrapped under the epoch key.
    #[n(3)]
    pub keys: Vec<WrappedKey>,
}

impl Entry {
    /// The bytes of a frame's body.
    pub fn encode(&self) -> Vec<u8> {
        wire::encode(self)
    }

    /// Reads a frame's body.
    ///
    /// # Errors
    /// When the bytes are no entry.
    pub fn decode(body: &[u8]) -> Result<Self, NotCanonical> {
        wire::decode(body)
    }
}

/// The state of the log at one point.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Checkpoint {
    #[n(0)]
    version: u8,
    /// Which database.
    #[n(1)]
    pub database: DatabaseId,
    /// How many entries the tree has: those before this one.
    #[n(2)]
    pub size: u64,
    /// Root of the Merkle tree over them.
    #[n(3)]
    pub root: Digest,
    /// When.
    #[n(4)]
    pub at: Timestamp,
}

/// A checkpoint with the office's signature.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct SignedCheckpoint {
    #[cbor(n(0), with = "minicbor::bytes")]
    checkpoint: Vec<u8>,
    /// The node key that signed.
    #[n(1)]
    pub key: VerifyingKey,
    #[n(2)]
    signature: Signature,
}

impl SignedCheckpoint {
    /// Signs the state of the log.
    pub fn sign(database: DatabaseId, size: u64, root: Digest, at: Timestamp, key: &SigningKey) -> Self {
        let checkpoint = wire::encode(&Checkpoint { version: 1, database, size, root, at });
        let signature = key.sign(Context::Checkpoint, &checkpoint);
        Self { checkpoint, key: key.verifying_key(), signature }
    }

    /// What it says, if its own key signed it. Whether that key is the office's, the caller knows.
    ///
    /// # Errors
    /// When the signature does not hold or the content is none.
    pub fn verify(&self) -> Result<Checkpoint, BadSignature> {
        self.key.verify(Context::Checkpoint, &self.checkpoint, &self.signature)?;
        wire::decode(&self.checkpoint).map_err(|_| BadSignature)
    }
}
