//! What the client carries away from a referral is her choice: a sheet in plain words, a neutral card that tells nobody anything, or
//! nothing. Neither is made where somebody who cares for her is a party: it would come home with her.

use super::{CarryView, CodeView, Desk, DeskError};
use crate::policy::Ask;
use crate::records::{Person, Referral};
use crate::vault::Record;
use casemesh_protocol::id::RecordId;
use casemesh_protocol::referral::Step;

impl Desk {
    /// Keeps what the client chose to carry away: sheet, card or nothing.
    ///
    /// # Errors
    /// When there is no such referral of ours for this account, or it is none of these.
    pub fn choose_carries(&self, id: RecordId, choice: &str) -> Result<(), DeskError> {
        self.carried(id)?;
        let mut problems = self.problems();
        let choice = problems.code("carries", "carries", choice);
        problems.done()?;
        self.write("choose_carries", move |tx| {
            let mut sealed = tx.get::<Referral>(Referral::TOP, id)?.ok_or(DeskError::NotFound)?;
            sealed.record.carries = choice;
            tx.about(id);
            Ok(tx.update(&sealed.record, sealed.revision)?)
        })
    }

    /// The sheet or the card, as she chose.
    ///
    /// # Errors
    /// When there is nothing that she wants to carry, or somebody who cares for her is a party.
    pub fn carry(&self, id: RecordId) -> Result<CarryView, DeskError> {
        let (referral, client) = self.carried(id)?;
        let carries = referral.carries.as_ref().map(|code| code.code.to_string()).unwrap_or_default();
        if !matches!(carries.as_str(), "sheet" | "card") {
            return Err(DeskError::NotFound);
        }
        self.office.vault.note_and_wait(Some(self.actor.staff), "hand_out", Some(id))?;
        // The card tells nobody where she goes, nor what for.
        let is_sheet = carries == "sheet";
        let thread = referral.thread();
        let visit = thread.applied().filter_map(|(event, _)| match &event.event.step {
            Step::Accepted { visit, .. } => visit.clone(),
            _ => None,
        });
        Ok(CarryView {
            id,
            carries,
            language: client.language.value().map(|code| code.code.to_string()).unwrap_or_default(),
            from: self.office_name(),
            worker: self.name.clone(),
            to: is_sheet.then(|| referral.partner_name.clone()),
            service: is_sheet.then(|| CodeView::from(&referral.preview.service)),
            visit: visit.last().filter(|_| is_sheet),
            code_word: client.safe_contact.code_word.to_string(),
        })
    }

    /// A referral of ours, and its client.
    fn carried(&self, id: RecordId) -> Result<(std::sync::Arc<Referral>, Person), DeskError> {
        let referral = self.visible_referral(id)?;
        self.allow(Ask::AnswerReferrals)?;
        self.may_refer(referral.case.filter(|_| referral.outgoing).ok_or(DeskError::NotFound)?)?;
        let client = referral.client.ok_or(DeskError::NotFound)?;
        let standing = self.office.index.read().standing(client);
        let client = self.office.vault.get::<Person>(Person::TOP, standing)?.ok_or(DeskError::NotFound)?.record;
        // In whichever case: what comes home with her must not be found there.
        let today = self.today();
        if super::circumstances::caring(&self.office.index.read(), &client, today).giver_is_party {
            return Err(DeskError::CaregiverIsParty);
        }
        Ok((referral, client))
    }
}
