//! Joining from afar. A registrar gives an invitation away: a code that is good once and for a week. With it a node knocks at the
//! registrar's *lobby*, an address of its own that lets nobody any further; a person there looks at the card, and lets the office in or
//! not. The code alone lets nobody in, and who does not have it is not heard.

use crate::bounded::List;
use crate::id::OfficeId;
use crate::terms::Line;
use crate::time::Timestamp;
use casemesh_crypto::hash::{Digest, keyed_name, sha256};
use casemesh_crypto::secret::Secret;
use casemesh_crypto::{byte_newtype, token, wire};
use minicbor::{Decode, Encode};

byte_newtype!(
    /// The secret of an invitation.
    InvitationSecret, 16
);
byte_newtype!(
    /// Which invitation: it tells nothing of its secret.
    InvitationId, 16
);

/// An invitation is good for so many days.
pub const INVITATION_DAYS: u64 = 7;
/// Addresses of a lobby.
pub const LOBBY_ADDRESSES_MAX: usize = 4;
/// Largest frame at a lobby: a card with the prekeys of a season and a long key log.
pub const JOIN_FRAME_BYTES_MAX: usize = 256 * 1024;
/// What of the network file goes in one frame.
pub const JOIN_PIECE_BYTES_MAX: usize = 128 * 1024;

/// What a registrar gives to an office that shall join.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Invitation {
    #[n(0)]
    version: u8,
    /// Which network: a file of another is not taken.
    #[n(1)]
    pub network: Digest,
    /// Which office invites.
    #[n(2)]
    pub registrar: OfficeId,
    /// The peer id of its lobby.
    #[cbor(n(3), with = "minicbor::bytes")]
    pub lobby: Vec<u8>,
    /// Where its lobby is.
    #[n(4)]
    pub addresses: List<Line, LOBBY_ADDRESSES_MAX>,
    /// Known to who got the invitation.
    #[n(5)]
    pub secret: InvitationSecret,
    /// Until when it is good.
    #[n(6)]
    pub expires: Timestamp,
}

/// The text is no invitation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this is no invitation, or a letter of it is wrong: copy all of it")]
pub struct NoInvitation;

impl Invitation {
    /// An invitation of a registrar.
    pub fn new(
        (network, registrar): (Digest, OfficeId),
        (lobby, addresses): (Vec<u8>, List<Line, LOBBY_ADDRESSES_MAX>),
        secret: InvitationSecret,
        expires: Timestamp,
    ) -> Self {
        Self { version: 1, network, registrar, lobby, addresses, secret, expires }
    }

    /// As it is given away: letters and digits, with a check at the end.
    pub fn to_text(&self) -> String {
        let mut bytes = wire::encode(self);
        let check = sha256(&[b"casemesh/1/invitation-text\0", &bytes]);
        bytes.extend(check.as_bytes().iter().take(4));
        token::to_printed(&bytes)
    }

    /// Reads it as somebody typed or pasted it.
    ///
    /// # Errors
    /// When it is none, or a letter is wrong.
    pub fn from_text(text: &str) -> Result<Self, NoInvitation> {
        let letters: String = text.chars().filter(|letter| !letter.is_whitespace()).collect();
        let bytes = token::from_printed(&letters).ok_or(NoInvitation)?;
        let (body, check) = bytes.split_at_checked(bytes.len().saturating_sub(4)).ok_or(NoInvitation)?;
        if !sha256(&[b"casemesh/1/invitation-text\0", body]).as_bytes().starts_with(check) {
            return Err(NoInvitation);
        }
        wire::decode(body).ok().filter(|read: &Self| read.version == 1).ok_or(NoInvitation)
    }

    /// Which invitation it is.
    pub fn id(&self) -> InvitationId {
        id_of(&self.secret)
    }

    /// Shows a lobby that whoever knocks has the invitation: bound to both machines and to the card.
    pub fn proof(&self, knocking: &[u8], card: &[u8]) -> Digest {
        proof(&self.secret, &self.lobby, knocking, card)
    }
}

/// Which invitation has that secret.
pub fn id_of(secret: &InvitationSecret) -> InvitationId {
    let digest = sha256(&[b"casemesh/1/invitation\0", secret.as_bytes()]);
    let mut id = [0u8; InvitationId::LENGTH];
    id.copy_from_slice(digest.as_bytes().split_at(InvitationId::LENGTH).0);
    InvitationId::new(id)
}

/// What whoever knocks with a secret must show: HMAC over both peer ids and the card.
pub fn proof(secret: &InvitationSecret, lobby: &[u8], knocking: &[u8], card: &[u8]) -> Digest {
    let key = Secret::new(*sha256(&[b"casemesh/1/invitation-key\0", secret.as_bytes()]).as_bytes());
    let card = sha256(&[card]);
    let length = |bytes: &[u8]| (bytes.len() as u64).to_be_bytes();
    keyed_name(&key, &[&length(lobby), lobby, &length(knocking), knocking, card.as_bytes()])
}

/// A request at a lobby.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum JoinRequest {
    /// May this office come in?
    #[n(0)]
    Knock {
        /// With which invitation.
        #[n(0)]
        invitation: InvitationId,
        /// That we have it.
        #[n(1)]
        proof: Digest,
        /// Who we are.
        #[cbor(n(2), with = "minicbor::bytes")]
        card: Vec<u8>,
    },
    /// The network file, from there on: for who was let in.
    #[n(1)]
    File {
        /// With which invitation.
        #[n(0)]
        invitation: InvitationId,
        /// The same as when we knocked.
        #[n(1)]
        proof: Digest,
        /// From which byte on.
        #[n(2)]
        at: u64,
    },
}

/// Its answer.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum JoinAnswer {
    /// Somebody has to look first: knock again later.
    #[n(0)]
    Waiting,
    /// You are in; the network file is so long.
    #[n(1)]
    Welcome(#[n(0)] u64),
    /// What follows of the network file.
    #[n(2)]
    Piece(#[cbor(n(0), with = "minicbor::bytes")] Vec<u8>),
    /// No. It does not say why.
    #[n(3)]
    Refused,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn invitation() -> Invitation {
        let addresses = List::new(vec![Line::new("/ip4/127.0.0.1/tcp/4010").unwrap()]).unwrap();
        Invitation::new(
            (Digest::new([1; 32]), OfficeId::new([2; 32])),
            (vec![3; 38], addresses),
            InvitationSecret::new([4; 16]),
            Timestamp::from_s(1_795_000_000),
        )
    }

    #[test]
    fn an_invitation_is_typed_as_people_type_and_a_wrong_letter_is_found() {
        let text = invitation().to_text();
        assert_eq!(Invitation::from_text(&text), Ok(invitation()));
        let sloppy = format!(" {} \n", text.to_lowercase().replace('-', " "));
        assert_eq!(Invitation::from_text(&sloppy), Ok(invitation()));
        for at in 0..text.len() {
            let mut wrong: Vec<char> = text.chars().collect();
            wrong[at] = match wrong[at] {
                '-' => continue,
                '7' => '8',
                _ => '7',
            };
            assert!(Invitation::from_text(&wrong.into_iter().collect::<String>()).is_err(), "letter {at}");
        }
        assert!(Invitation::from_text("").is_err() && Invitation::from_text("hello").is_err());
    }

    #[test]
    fn a_proof_is_for_one_machine_one_lobby_and_one_card() {
        let own = invitation();
        let shown = own.proof(b"machine", b"card");
        assert_eq!(shown, proof(&own.secret, &own.lobby, b"machine", b"card"));
        let others = [
            own.proof(b"other", b"card"),
            own.proof(b"machine", b"other"),
            proof(&own.secret, b"lobby", b"machine", b"card"),
            proof(&InvitationSecret::new([5; 16]), &own.lobby, b"machine", b"card"),
        ];
        assert!(others.iter().all(|other| *other != shown));
    }
}
