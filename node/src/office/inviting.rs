//! Invitations of a registrar office: made, looked at, taken back. Who knocks with one is looked at like a card that was brought.

use super::{Desk, DeskError, FieldProblem, InvitationView};
use crate::lobby::{Lobby, Open};
use crate::node::NodeError;
use crate::vault::VaultError;
use casemesh_crypto::wire;
use casemesh_protocol::directory::Card;
use casemesh_protocol::join::InvitationId;

/// Longest note on for whom an invitation is.
const NOTE_BYTES_MAX: usize = 400;

impl Desk {
    /// The lobby, where this account invites for an office that has one.
    fn lobby(&self) -> Result<&Lobby, DeskError> {
        self.may_register()?;
        let none = || DeskError::Invalid(vec![FieldProblem::new("note", "no-lobby")]);
        self.office.around.lobby.as_ref().ok_or_else(none)
    }

    /// Makes an invitation: the text to give away. It is good once, and for a week.
    ///
    /// # Errors
    /// When this office or account invites nobody, or too many are open.
    pub fn invite(&self, note: &str) -> Result<String, DeskError> {
        let lobby = self.lobby()?;
        let mut problems = self.problems();
        let note = problems.required_text("note", note, NOTE_BYTES_MAX);
        problems.done()?;
        let network = self.office.around.directory().ok_or(DeskError::NotFound)?.network();
        self.office.vault.note_and_wait(Some(self.actor.staff), "invite_office", None)?;
        let made = lobby.invite((network, self.office.keys.office), &note, self.now());
        let invitation = made.map_err(|error| match error {
            NodeError::Disk(error) => VaultError::Disk(error).into(),
            other => DeskError::Partner(other.to_string()),
        })?;
        self.office.around.keep_lobby();
        Ok(invitation.to_text())
    }

    /// Invitations that are open, and who knocked with them: none where this account invites nobody.
    pub fn invitations(&self) -> Vec<InvitationView> {
        let Some(lobby) = self.office.around.lobby.as_ref().filter(|_| self.registers()) else { return Vec::new() };
        let Some(directory) = self.office.around.directory() else { return Vec::new() };
        let view = |(id, open): (InvitationId, Open)| {
            let card = open.knock.map(|knock| knock.card);
            let member = card.as_ref().and_then(|card| wire::decode::<Card>(card).ok()?.verify().ok());
            InvitationView {
                id: id.to_string(),
                note: open.note,
                expires: open.expires,
                newcomer: member.map(|member| super::membership::newcomer(&self.office, &directory, &member)),
                card: card.map(|card| card.iter().map(|byte| format!("{byte:02x}")).collect()),
            }
        };
        lobby.invitations(self.now()).unwrap_or_default().into_iter().map(view).collect()
    }

    /// Takes an invitation back.
    ///
    /// # Errors
    /// When this office or account invites nobody, or there is no such invitation.
    pub fn take_invitation_back(&self, id: &str) -> Result<(), DeskError> {
        let lobby = self.lobby()?;
        let id: InvitationId = id.parse().map_err(|_| DeskError::NotFound)?;
        self.office.vault.note_and_wait(Some(self.actor.staff), "take_invitation_back", None)?;
        Ok(lobby.take_back(&id).map_err(VaultError::Disk)?)
    }
}
