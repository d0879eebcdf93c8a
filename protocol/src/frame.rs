//! What two nodes say to each other on a connection. Every frame is `u32be(length)` and one canonical CBOR
//! value. Packets, receipts and tables are not frames: they are sealed and travel by any road.

use crate::claim::Claim;
use crate::id::{OfficeId, ThreadId};
use crate::receipt::Receipt;
use crate::time::Timestamp;
use casemesh_crypto::hash::Digest;
use minicbor::{Decode, Encode};

/// Names of the protocols on a connection.
pub mod name {
    /// The first exchange on every connection.
    pub const HELLO: &str = "/casemesh/hello/1";
    /// Packets.
    pub const PACKET: &str = "/casemesh/packet/1";
    /// A hub's mailboxes.
    pub const MAILBOX: &str = "/casemesh/mailbox/1";
    /// Sealed files, piece by piece.
    pub const BLOB: &str = "/casemesh/blob/1";
    /// Knocking at a network's door with an invitation, on an address of its own.
    pub const JOIN: &str = "/casemesh/join/1";
}

/// The version of the frames; a node speaks from the oldest to the newest it knows.
pub const VERSION: u16 = 1;

/// The first frame from each side.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Hello {
    /// The oldest version the node speaks.
    #[n(0)]
    pub version_min: u16,
    /// The newest.
    #[n(1)]
    pub version_max: u16,
    /// Which network: hash of its first root.
    #[n(2)]
    pub network: Digest,
    /// Who we are.
    #[n(3)]
    pub office: OfficeId,
    /// Our clock.
    #[n(4)]
    pub now: Timestamp,
}

/// The answer to a hello.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum HelloAnswer {
    /// Welcome; the same from our side.
    #[n(0)]
    Welcome(#[n(0)] Hello),
    /// We do not talk.
    #[n(1)]
    Reject(#[n(0)] Rejection),
}

/// Why a node does not talk or does not take something. It says as little as helps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub enum Rejection {
    /// You are not in our directory as the machine of that office.
    #[n(0)]
    Unknown,
    /// We have no version in common; one of us must update.
    #[n(1)]
    Version,
    /// Another network.
    #[n(2)]
    Network,
    /// The clocks differ by more than a day.
    #[n(3)]
    Clock,
    /// The packet is not for us, too long, past its time or no packet.
    #[n(4)]
    Packet,
    /// Too much for now.
    #[n(5)]
    Quota,
    /// This node is no hub, or not yours.
    #[n(6)]
    NotServed,
    /// Say hello first.
    #[n(7)]
    HelloFirst,
}

/// A request of the packet protocol.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum PacketRequest {
    /// Here is a packet for you.
    #[n(0)]
    Put(#[cbor(n(0), with = "minicbor::bytes")] Vec<u8>),
}

/// Its answer.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum PacketAnswer {
    /// It is on our disk.
    #[n(0)]
    Stored(#[n(0)] Receipt),
    /// We do not take it, for good.
    #[n(1)]
    Rejected(#[n(0)] Rejection),
    /// Not now.
    #[n(2)]
    Defer {
        /// Ask again in so many milliseconds.
        #[n(0)]
        after_ms: u64,
    },
}

/// A request of the mailbox protocol.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum MailboxRequest {
    /// Keep this for that office.
    #[n(0)]
    Deposit {
        /// For whom.
        #[n(0)]
        to: OfficeId,
        /// The packet.
        #[cbor(n(1), with = "minicbor::bytes")]
        packet: Vec<u8>,
    },
    /// What do you keep for me? After this packet, or from the first.
    #[n(1)]
    List {
        /// The last one of the previous list.
        #[n(0)]
        after: Option<Digest>,
    },
    /// Give me this one.
    #[n(2)]
    Fetch(#[n(0)] Digest),
    /// I have it; here is my receipt for the depositor.
    #[n(3)]
    Delete(#[n(0)] Receipt),
    /// Which receipts came for what I deposited?
    #[n(4)]
    Receipts,
    /// I have that receipt.
    #[n(5)]
    ForgetReceipt(#[n(0)] Digest),
    /// Keep this until that office claims it, and give it to nobody before. It takes the place of an earlier one of ours for
    /// the same referral.
    #[n(6)]
    Hold {
        /// For whom.
        #[n(0)]
        to: OfficeId,
        /// In which referral.
        #[n(1)]
        thread: ThreadId,
        /// The packet.
        #[cbor(n(2), with = "minicbor::bytes")]
        packet: Vec<u8>,
    },
    /// I accepted: give me what waits for that.
    #[n(7)]
    Claim(#[n(0)] Claim),
    /// Nobody is to get what I asked you to hold for that office in that referral.
    #[n(8)]
    LetGo {
        /// For whom it was.
        #[n(0)]
        to: OfficeId,
        /// In which referral.
        #[n(1)]
        thread: ThreadId,
    },
    /// Who claimed what I asked you to hold?
    #[n(9)]
    Claims,
    /// I have that claim.
    #[n(10)]
    ForgetClaim(#[n(0)] Digest),
}

/// Its answer.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum MailboxAnswer {
    /// Done.
    #[n(0)]
    Done,
    /// Packets by hash.
    #[n(1)]
    Listed(#[n(0)] Vec<Digest>),
    /// The packet.
    #[n(2)]
    Packet(#[cbor(n(0), with = "minicbor::bytes")] Vec<u8>),
    /// Receipts.
    #[n(3)]
    Receipts(#[n(0)] Vec<Receipt>),
    /// There is no such packet.
    #[n(4)]
    Nothing,
    /// Refused.
    #[n(5)]
    Rejected(#[n(0)] Rejection),
    /// Claims, each with the packet that was given for it.
    #[n(6)]
    Claims(#[n(0)] Vec<(Digest, Claim)>),
}

/// A request about a sealed file that belongs to a packet.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum BlobRequest {
    /// Give me what follows there.
    #[n(0)]
    Get {
        /// SHA-256 of the sealed file.
        #[n(0)]
        file: Digest,
        /// From which byte on.
        #[n(1)]
        at: u64,
    },
    /// I have all of it: nobody need keep it for me.
    #[n(1)]
    Got(#[n(0)] Digest),
    /// Keep this piece for that office. An empty piece asks how far it came.
    #[n(2)]
    Put {
        /// For whom.
        #[n(0)]
        to: OfficeId,
        /// SHA-256 of the sealed file.
        #[n(1)]
        file: Digest,
        /// How long the whole file is, in bytes.
        #[n(2)]
        bytes: u64,
        /// Where the piece begins.
        #[n(3)]
        at: u64,
        /// Nobody need keep it after that.
        #[n(4)]
        expires: Timestamp,
        /// The piece.
        #[cbor(n(5), with = "minicbor::bytes")]
        piece: Vec<u8>,
    },
}

/// Its answer.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum BlobAnswer {
    /// What follows there.
    #[n(0)]
    Piece(#[cbor(n(0), with = "minicbor::bytes")] Vec<u8>),
    /// So much of it is kept here: go on there.
    #[n(1)]
    Have(#[n(0)] u64),
    /// There is no such file for you, or no more of it yet.
    #[n(2)]
    Nothing,
    /// Refused.
    #[n(3)]
    Rejected(#[n(0)] Rejection),
}
