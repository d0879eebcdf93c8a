//! What a coordinator proposes that a network agrees on (an agreement: figures, codes), and what offices say of it, before the stewards sign.

use crate::bounded::Text;
use crate::coded_enum;
use crate::statistics::{AgreementText, agreement_hash};
use crate::time::{Day, Timestamp};
use casemesh_crypto::hash::Digest;
use minicbor::{Decode, Encode};

/// Longest reason or comment, in bytes.
pub const SAID_BYTES_MAX: usize = 2_000;

coded_enum!(
    /// What an office says of a proposal.
    Stance {
        /// It agrees.
        Agree = 1 "agree",
        /// It would agree to something else.
        Change = 2 "change",
        /// It does not agree.
        Against = 3 "against",
    }
);

/// A text that is proposed.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Proposal {
    /// The text, as the stewards would sign it.
    #[n(0)]
    pub text: AgreementText,
    /// Why.
    #[n(1)]
    pub why: Text<SAID_BYTES_MAX>,
    /// Until which day offices say what they think.
    #[n(2)]
    pub until: Day,
}

impl Proposal {
    /// What names it: the hash that the stewards would sign.
    pub fn name(&self) -> Digest {
        agreement_hash(&self.text)
    }
}

/// What an office says of a proposal; a later one takes the place of an earlier one, in whatever order they come.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Comment {
    /// Which proposal.
    #[n(0)]
    pub proposal: Digest,
    /// Whether it agrees.
    #[n(1)]
    pub stance: Stance,
    /// In words.
    #[n(2)]
    pub said: Text<SAID_BYTES_MAX>,
    /// When it was said.
    #[n(3)]
    pub at: Timestamp,
}
