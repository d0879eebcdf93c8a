//! Full packets that wait at a hub until the other office accepted: where ours wait, when they are taken back, and how those for us
//! are claimed.

use super::effects::follow_up_once;
use super::exchange::{Awaited, Taken};
use super::{Desk, DeskError, HeldView, Office};
use crate::index::{OutboxRow, Tables};
use crate::records::{Outbox, OutboxState, Referral, Seen};
use crate::spool::{ClaimRow, Hold};
use crate::vault::{Record, VaultError};
use casemesh_crypto::hash::Digest;
use casemesh_protocol::claim::{Claim, Claimed};
use casemesh_protocol::directory::Role;
use casemesh_protocol::id::{OfficeId, RecordId, ThreadId};
use casemesh_protocol::packet::{Full, Kind as PacketKind};
use casemesh_protocol::referral::{Step, ThreadEvent};
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
        let is_hub = |hub: &&OfficeId| directory.member(hub).is_some_and(|member| member.has_role(Role::Hub));
        own.record.hubs.iter().filter(is_hub).find(is_meant).copied()
    }

    /// Whether full packets can wait at a hub of ours at all.
    pub fn has_hub(&self) -> bool {
        let directory = self.office.around.directory();
        let own = directory.as_ref().and_then(|directory| directory.member(&self.office.keys.office));
        own.is_some_and(|own| !own.record.hubs.as_slice().is_empty())
    }

    /// Where the full packet of a referral waits now.
    pub(super) fn held_at(&self, tables: &Tables, referral: &Referral) -> Option<HeldView> {
        let hub = self.member_name(referral.preview.held_at?)?;
        if !referral.outgoing {
            let waits = referral.full.is_none() && referral.state().is_open();
            return waits.then_some(HeldView { hub, is_there: true });
        }
        let mut rows = held_rows(tables).filter(|row| row.referral == Some(referral.id));
        let row = rows.find(|row| matches!(row.state, OutboxState::Released | OutboxState::Waiting))?;
        let there = self.office.around.relay.status().held;
        Some(HeldView { hub, is_there: row.packet_hash.is_some_and(|packet| there.contains(&packet)) })
    }
}

fn held_rows(tables: &Tables) -> impl Iterator<Item = &OutboxRow> {
    let held = PacketKind::HeldFull.number();
    tables.outbox.values().filter(move |row| row.kind == held)
}

/// Whether the other office fetched what waited for it.
pub(super) fn was_fetched(tables: &Tables, referral: &Referral) -> bool {
    held_rows(tables).any(|row| row.referral == Some(referral.id) && row.facts.arrived.is_some())
}

/// So long after a claim somebody is told that no acceptance came.
const MISSED_DAYS: u64 = 30;

/// The event by which we accepted, if we still work on it and wait for what is at the hub.
fn accepted(referral: &Referral, now: Timestamp) -> Option<Digest> {
    let thread = referral.thread();
    let waits = !referral.outgoing && referral.full.is_none() && referral.erased.is_none();
    if !waits || !thread.state.is_at_work() || referral.preview.consent_expires <= now {
        return None;
    }
    let is_accepted = |event: &&ThreadEvent| matches!(event.event.step, Step::Accepted { .. });
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
        // While the clock is doubted, no consent is over.
        let expiry_now = if self.around.watch.is_doubted() { Timestamp::default() } else { now };
        let waiting: BTreeMap<ThreadId, (Arc<Referral>, Digest)> = {
            let tables = self.index.read();
            let held = tables.referrals.values().filter(|referral| referral.preview.held_at.is_some());
            held.filter_map(|one| Some((one.thread, (Arc::clone(one), accepted(one, expiry_now)?)))).collect()
        };
        // One that an older key signed is signed anew: keys change, and the hub asks for a good one.
        let own_key = self.keys.node_key.verifying_key().id();
        let claims = relay.spool().claims();
        let claimed: BTreeSet<ThreadId> =
            claims.iter().filter(|row| row.claim.key == own_key).map(|row| row.hold.thread).collect();
        for row in claims.iter().filter(|row| !waiting.contains_key(&row.hold.thread)) {
            relay.unclaim(row.hold.thread);
        }
        for (thread, (referral, accepted)) in waiting.into_iter().filter(|(thread, _)| !claimed.contains(thread)) {
            let Some(hub) = referral.preview.held_at.filter(|hub| self.may_hold(hub, referral.partner)) else {
                continue;
            };
            let claim = Claim::sign((self.keys.office, hub), thread, accepted, now, &self.keys.node_key);
            let row = ClaimRow { hold: Hold { hub, thread }, until: referral.preview.consent_expires, claim };
            relay.claim(row).map_err(VaultError::Disk)?;
        }
        Ok(())
    }

    /// Whether an office's packets can wait at a hub for us: one of its own, and not ourselves.
    fn may_hold(&self, hub: &OfficeId, sender: OfficeId) -> bool {
        let Some(directory) = self.around.directory() else { return false };
        let lists = directory.member(&sender).is_some_and(|member| member.record.hubs.iter().any(|own| own == hub));
        let is_hub = directory.member(hub).is_some_and(|member| member.has_role(Role::Hub));
        lists && is_hub && *hub != self.keys.office
    }

    /// Nobody is to get what waits at a hub, if it does: noted before anything else is.
    pub(super) fn let_go_of(&self, row: &Outbox) -> Result<(), DeskError> {
        let Some(hub) = row.held_at else { return Ok(()) };
        let hold = Hold { hub, thread: row.thread };
        Ok(self.around.relay.let_go(hold, row.to, row.expires).map_err(VaultError::Disk)?)
    }

    /// What waits at a hub for an office that will not get it, or got it otherwise, or may not have it any more.
    fn take_held_back(&self) -> Result<(), DeskError> {
        let now = self.around.clock.now();
        let released: Vec<(RecordId, bool)> = {
            let tables = self.index.read();
            let is_over = |id: &RecordId| {
                tables.referrals.get(id).is_none_or(|referral| {
                    let thread = referral.thread();
                    thread.is_released() || !thread.state.is_open()
                })
            };
            let released = held_rows(&tables).filter(|row| row.state == OutboxState::Released);
            released.map(|row| (row.id, row.referral.as_ref().is_none_or(is_over))).collect()
        };
        for (id, is_over) in released {
            let Some(row) = self.vault.get::<Outbox>(Outbox::TOP, id)?.map(|sealed| sealed.record) else { continue };
            // The consent, and whom the client rules out, as the usual road asks when they accept.
            let problem = match is_over || self.around.watch.is_doubted() {
                true => None,
                false => self.still_permitted(&row, now)?,
            };
            if is_over || problem.is_some() {
                self.let_go_of(&row)?;
                row.packet_hash.into_iter().for_each(|packet| self.around.relay.cancel(row.to, packet));
                self.settle_row(id, OutboxState::Cancelled, problem, None)?;
            }
        }
        if self.around.watch.is_doubted() { Ok(()) } else { self.miss_acceptances(now) }
    }

    /// What was claimed at a hub, and no acceptance came for it in a day: somebody asks.
    fn miss_acceptances(&self, now: Timestamp) -> Result<(), DeskError> {
        let missed: Vec<RecordId> = {
            let tables = self.index.read();
            let is_missed = |referral: &RecordId, said: &Claimed| {
                let is_old = said.at.plus_days(1) <= now && now <= said.at.plus_days(MISSED_DAYS);
                // Whatever became of the acceptance, that it came is enough.
                let came =
                    |referral: &Arc<Referral>| referral.events.iter().any(|held| held.signed.hash() == said.accepted);
                is_old && tables.referrals.get(referral).is_some_and(|referral| !came(referral))
            };
            let claimed = held_rows(&tables).filter_map(|row| row.referral.zip(row.claimed));
            claimed.filter(|(referral, said)| is_missed(referral, said)).map(|(referral, _)| referral).collect()
        };
        for id in missed {
            self.vault.write(None, "missed_acceptance", move |tx| {
                let referral = tx.get::<Referral>(Referral::TOP, id)?.ok_or(DeskError::NotFound)?;
                follow_up_once(tx, &referral.record, "missed_acceptance")
            })?;
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
