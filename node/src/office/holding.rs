//! Full packets that wait at a hub until the other office accepted: where ours wait, when they are taken back, and how those for us
//! are claimed.

use super::exchange::{Awaited, Taken};
use super::{Desk, DeskError, Office};
use crate::index::Tables;
use crate::records::{OutboxState, Referral, Seen};
use crate::spool::{ClaimRow, Hold};
use crate::vault::{Record, VaultError};
use casemesh_crypto::hash::Digest;
use casemesh_protocol::claim::Claim;
use casemesh_protocol::id::{OfficeId, RecordId, ThreadId};
use casemesh_protocol::packet::{Full, Kind as PacketKind};
use casemesh_protocol::referral::Step;
use casemesh_protocol::time::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

impl Desk {
    /// The hub at which a full packet for an office can wait: one of ours, and none that the other office lists.
    pub fn hub_to_hold(&self, to: OfficeId) -> Option<OfficeId> {
        let directory = self.office.around.directory()?;
        let own = directory.member(&self.office.keys.office)?;
        let theirs = &directory.member(&to)?.record.hubs;
        let is_meant = |hub: &&OfficeId| **hub != to && !theirs.iter().any(|other| other == *hub);
        own.record.hubs.iter().filter(|hub| directory.member(hub).is_some()).find(is_meant).copied()
    }

    /// Whether full packets can wait at a hub of ours at all.
    pub fn has_hub(&self) -> bool {
        let directory = self.office.around.directory();
        let own = directory.as_ref().and_then(|directory| directory.member(&self.office.keys.office));
        own.is_some_and(|own| !own.record.hubs.as_slice().is_empty())
    }

    /// Where the full packet of a referral waits now, by name.
    pub(super) fn held_at(&self, tables: &Tables, referral: &Referral) -> Option<String> {
        let hub = referral.preview.held_at?;
        let waits = match referral.outgoing {
            true => {
                held_rows(tables).any(|row| row.referral == Some(referral.id) && row.state == OutboxState::Released)
            }
            false => referral.full.is_none() && referral.state().is_open(),
        };
        waits.then(|| self.member_name(hub)).flatten()
    }
}

fn held_rows(tables: &Tables) -> impl Iterator<Item = &crate::index::OutboxRow> {
    let held = PacketKind::HeldFull.number();
    tables.outbox.values().filter(move |row| row.kind == held)
}

/// Whether the other office fetched what waited for it.
pub(super) fn was_fetched(tables: &Tables, referral: &Referral) -> bool {
    held_rows(tables).any(|row| row.referral == Some(referral.id) && row.facts.arrived.is_some())
}

/// The event by which we accepted, if we still work on it and wait for what is at the hub.
fn accepted(referral: &Referral, now: Timestamp) -> Option<Digest> {
    let thread = referral.thread();
    let waits = !referral.outgoing && referral.full.is_none() && referral.erased.is_none();
    if !waits || !thread.state.is_at_work() || referral.preview.consent_expires <= now {
        return None;
    }
    let is_accepted =
        |event: &&casemesh_protocol::referral::ThreadEvent| matches!(event.event.step, Step::Accepted { .. });
    thread.applied().map(|(event, _)| event).filter(is_accepted).last().map(|event| event.hash)
}

impl Office {
    /// Claims what waits for us, and takes back what is to reach nobody any more.
    pub(super) fn see_to_held(&self) {
        if let Err(error) = self.claim_held().and_then(|()| self.take_held_back()) {
            tracing::warn!(%error, "what waits at hubs could not be seen to; it is tried again");
        }
    }

    fn claim_held(&self) -> Result<(), DeskError> {
        let (now, relay) = (self.around.clock.now(), &self.around.relay);
        let waiting: BTreeMap<ThreadId, (Arc<Referral>, Digest)> = {
            let tables = self.index.read();
            let held = tables.referrals.values().filter(|referral| referral.preview.held_at.is_some());
            held.filter_map(|one| Some((one.thread, (Arc::clone(one), accepted(one, now)?)))).collect()
        };
        let claimed: BTreeSet<ThreadId> = relay.spool().claims().iter().map(|row| row.hold.thread).collect();
        for thread in claimed.iter().filter(|thread| !waiting.contains_key(thread)) {
            relay.unclaim(*thread);
        }
        for (thread, (referral, accepted)) in waiting.into_iter().filter(|(thread, _)| !claimed.contains(thread)) {
            let Some(hub) = referral.preview.held_at else { continue };
            let claim = Claim::sign((self.keys.office, hub), thread, accepted, now, &self.keys.node_key);
            let row = ClaimRow { hold: Hold { hub, thread }, until: referral.preview.consent_expires, claim };
            relay.claim(row).map_err(VaultError::Disk)?;
        }
        Ok(())
    }

    /// What waits at a hub for an office that will not get it, or got it otherwise.
    fn take_held_back(&self) -> Result<(), DeskError> {
        let over: Vec<(RecordId, OfficeId, Digest)> = {
            let tables = self.index.read();
            let is_over = |id: &RecordId| {
                tables.referrals.get(id).is_none_or(|referral| {
                    let thread = referral.thread();
                    thread.is_released() || !thread.state.is_open()
                })
            };
            let released = held_rows(&tables).filter(|row| row.state == OutboxState::Released);
            let over = released.filter(|row| row.referral.as_ref().is_none_or(is_over));
            over.filter_map(|row| Some((row.id, row.to, row.packet_hash?))).collect()
        };
        for (row, to, packet) in over {
            self.around.relay.cancel(to, packet);
            self.settle_row(row, OutboxState::Cancelled, None, None)?;
        }
        Ok(())
    }

    /// A full packet that waited for our acceptance.
    pub(super) fn take_held(
        &self,
        from: OfficeId,
        thread: ThreadId,
        full: Full,
        seen: RecordId,
    ) -> Result<Taken, DeskError> {
        let id = self.index.read().threads.get(&thread).copied();
        let Some(id) = id else { return Ok(Taken::Later(Awaited::Referral(thread))) };
        self.vault.write(None, "receive_held", move |tx| {
            let mut sealed = tx.get::<Referral>(Referral::TOP, id)?.ok_or(DeskError::NotFound)?;
            let referral = &mut sealed.record;
            if referral.partner != from || referral.outgoing || referral.preview.held_at.is_none() {
                return Ok(Taken::Aside("a held packet of another referral"));
            }
            let is_service = full.moved.is_none() && full.documents().is_empty() && !referral.preview.is_transfer();
            if !is_service || !referral.thread().was_accepted() {
                return Ok(Taken::Aside("a held packet that may not wait, or came before we accepted"));
            }
            tx.insert(&Seen { id: seen, at: tx.now(), set_aside: None })?;
            // What ended meanwhile is not filled any more; what the sender released since is newer.
            if referral.thread().state.is_open() && referral.erased.is_none() && referral.full.is_none() {
                super::handing::take_full(referral, full);
                tx.about(id);
                tx.update(&sealed.record, sealed.revision)?;
            }
            Ok(Taken::Done)
        })
    }
}
