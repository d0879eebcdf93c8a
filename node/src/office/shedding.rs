//! What came with a referral is kept no longer than it is needed: its key goes, and a line is left.

use super::outward::add_own_event;
use super::{DeskError, Office};
use crate::records::{Outbox, Outside, Referral};
use crate::vault::{Erasure, Record};
use casemesh_crypto::hash::Digest;
use casemesh_crypto::shred::KeyHandle;
use casemesh_protocol::bounded::Text;
use casemesh_protocol::id::RecordId;
use casemesh_protocol::packet::Preview;
use casemesh_protocol::referral::{Note, State, Step};
use casemesh_protocol::terms::{Line, SafeContact};
use casemesh_protocol::time::Timestamp;
use std::sync::{Arc, PoisonError};

/// What was received with a referral that came to nothing is erased so many days after.
const KEEP_DECLINED_DAYS: u64 = 30;

/// What was received with one that was done without a case of ours, so many days after.
const KEEP_COMPLETED_DAYS: u64 = 90;

/// Whether what was received with a referral goes now: without a case of ours it is kept no longer than it is needed.
fn is_to_shed(referral: &Referral, state: State, now: Timestamp) -> bool {
    if referral.outgoing || referral.case.is_some() || referral.erased.is_some() {
        return false;
    }
    if referral.is_to_erase() {
        return true;
    }
    match state {
        State::Withdrawn | State::Revoked | State::ConsentWithdrawn | State::EnteredInError => true,
        // Everything came at once, and we do not help.
        State::Declined | State::Rerouted | State::Expired
            if referral.full.is_some() && !referral.thread().was_accepted() =>
        {
            true
        }
        State::Declined | State::Rerouted | State::Expired | State::Closed | State::Failed => {
            last_event(referral, now).plus_days(KEEP_DECLINED_DAYS) <= now
        }
        // The sender never closed it.
        State::Completed => last_event(referral, now).plus_days(KEEP_COMPLETED_DAYS) <= now,
        _ => false,
    }
}

/// When the last event of a referral came.
fn last_event(referral: &Referral, now: Timestamp) -> Timestamp {
    referral.events.iter().map(|held| held.at).max().unwrap_or(now)
}

/// What is left of a referral whose content goes: which office, which service, where it stood, when.
pub(super) fn stripped(referral: &Referral, key: KeyHandle, now: Timestamp) -> Referral {
    let preview = Preview {
        need: Text::default(),
        pseudonym: referral.preview.pseudonym.clone(),
        age_band: None,
        sex: None,
        language: None,
        area: Line::default(),
        safe_contact: SafeContact::default(),
        ..referral.preview.clone()
    };
    let outside = referral.outside.clone().map(|outside| match referral.outgoing {
        true => outside,
        false => Outside { contact: String::new(), reference: String::new(), ..outside },
    });
    Referral {
        preview,
        outside,
        full: None,
        events: Vec::new(),
        heard: Vec::new(),
        carries: None,
        reminder: None,
        moved: Vec::new(),
        compared: None,
        client: None,
        erased: Some((now, referral.state())),
        shed: Some(referral.key),
        key,
        ..referral.clone()
    }
}

impl Office {
    /// Erases what came with referrals that were taken back, or came to nothing long ago: the keys go, and a line is left.
    pub(super) fn shed_referrals(&self) {
        let now = self.around.clock.now();
        let over: Vec<RecordId> = {
            let tables = self.index.read();
            let goes = |referral: &&Arc<Referral>| {
                referral.shed.is_some() || is_to_shed(referral, tables.stands(referral).state, now)
            };
            tables.referrals.values().filter(goes).map(|referral| referral.id).collect()
        };
        for id in over {
            if let Err(error) = self.shed(id) {
                tracing::warn!(%error, "what came with a referral could not be erased; it is tried again");
            }
        }
    }

    /// In three steps, each of which can be done again after a crash: the line is written under another key, the old key goes,
    /// and the line forgets it.
    fn shed(&self, id: RecordId) -> Result<(), DeskError> {
        let _held = self.releasing.lock().unwrap_or_else(PoisonError::into_inner);
        let (index, keys) = (Arc::clone(&self.index), self.keys.clone());
        let (old, files) = self.vault.write(None, "shed_referral", move |tx| {
            let mut sealed = tx.get::<Referral>(Referral::TOP, id)?.ok_or(DeskError::NotFound)?;
            if let Some(old) = sealed.record.shed {
                return Ok((old, Vec::new()));
            }
            let now = tx.now();
            if !is_to_shed(&sealed.record, sealed.record.state(), now) {
                return Err(DeskError::NotFound);
            }
            // The sender learns by itself that nothing is left here.
            let is_answered = sealed.record.thread().did(|step| matches!(step, Step::ErasureAnswered { .. }));
            if !is_answered {
                let answer = Step::ErasureAnswered { erased: true, kept: Note::default() };
                add_own_event(tx, &keys, &mut sealed.record, answer)?;
            }
            let files = sealed.record.full.iter().flat_map(|full| full.documents()).map(|document| document.file);
            let files: Vec<Digest> = files.collect();
            let key = tx.new_person_key();
            sealed.record = stripped(&sealed.record, key, now);
            // Our answers have yet to go.
            let mut packets: Vec<RecordId> = {
                let tables = index.read();
                tables.outbox.values().filter(|row| row.referral == Some(id)).map(|row| row.id).collect()
            };
            let unseen = tx.unseen::<Outbox>(Outbox::TOP)?;
            packets.extend(unseen.iter().filter(|row| row.referral == Some(id)).map(|row| row.id));
            for packet in packets {
                let Some(mut row) = tx.get::<Outbox>(Outbox::TOP, packet)? else { continue };
                row.record.subjects = vec![key];
                tx.update(&row.record, row.revision)?;
            }
            tx.about(id);
            tx.update(&sealed.record, sealed.revision)?;
            Ok((sealed.record.shed.unwrap_or(key), files))
        })?;
        self.vault.erase(None, move |_| Ok(((), Erasure { persons: vec![old], redacted: Vec::new() })))?;
        self.drop_documents(&files);
        self.vault.write(None, "shed_referral", move |tx| {
            let mut sealed = tx.get::<Referral>(Referral::TOP, id)?.ok_or(DeskError::NotFound)?;
            sealed.record.shed = None;
            Ok(tx.update(&sealed.record, sealed.revision)?)
        })
    }
}
