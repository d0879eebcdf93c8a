//! Full packets that wait at hubs until somebody accepted: ours are left there and taken back, and those for us are claimed.

use super::{Arriving, Asked, HUB_REDIAL_MS, Then, Thread};
use crate::net::Channel;
use crate::spool::{ClaimRow, Fact, Hold, OutRow, RecallRow};
use casemesh_crypto::hash::Digest;
use casemesh_crypto::wire;
use casemesh_protocol::delivery::HUB_AGAIN_MS;
use casemesh_protocol::frame::{MailboxAnswer, MailboxRequest};
use casemesh_protocol::id::{OfficeId, ThreadId};
use casemesh_protocol::time::Timestamp;
use std::collections::BTreeMap;

/// A hub that does not take one, or has none for us yet, is asked again after so long.
const AGAIN_MS: u64 = 60_000;

/// What waits at hubs, and when each is seen to next.
#[derive(Default)]
pub(super) struct Holding {
    left: BTreeMap<Digest, (OutRow, Timestamp)>,
    claims: BTreeMap<ThreadId, (ClaimRow, Timestamp)>,
    recalls: BTreeMap<Digest, (RecallRow, Timestamp)>,
}

impl Thread {
    /// After a start, what waited still waits.
    pub(super) fn load_holding(&mut self) {
        match self.spool.held_out() {
            Ok(rows) => rows.into_iter().for_each(|row| self.hold(row)),
            Err(error) => tracing::error!(kind = %error.kind(), "the spool cannot be read"),
        }
        self.spool.claims().into_iter().for_each(|row| self.claim(row));
        let recalls = self.spool.recalls().into_iter().map(|row| (row.packet, (row, Timestamp::default())));
        self.holding.recalls = recalls.collect();
    }

    pub(super) fn hold(&mut self, row: OutRow) {
        self.holding.left.insert(row.packet, (row, Timestamp::default()));
    }

    /// We accepted what waits at a hub: it is dialled, also where it is none of ours.
    pub(super) fn claim(&mut self, row: ClaimRow) {
        self.hubs.entry(row.hold.hub).or_default();
        self.holding.claims.insert(row.hold.thread, (row, Timestamp::default()));
    }

    /// It came, or is not wanted any more.
    pub(super) fn unclaim(&mut self, thread: ThreadId) {
        self.log_failure(self.spool.drop_claim(&thread));
        let Some((row, _)) = self.holding.claims.remove(&thread) else { return };
        let hub = row.hold.hub;
        let own = self.directory.as_ref().and_then(|directory| directory.member(&self.profile.office));
        let is_ours = own.is_some_and(|own| own.record.hubs.iter().any(|own| *own == hub));
        if !is_ours && self.holding.claims.values().all(|(other, _)| other.hold.hub != hub) {
            self.hubs.remove(&hub);
        }
    }

    /// What waits at a hub is to reach nobody: the hub is told, however long that takes.
    pub(super) fn recall(&mut self, packet: Digest) {
        let Some((row, hold)) = self.holding.left.remove(&packet).and_then(|(row, _)| Some((row.hold?, row.expires)))
        else {
            return;
        };
        let recall = RecallRow { packet, hub: row.hub, until: hold };
        if self.log_failure(self.spool.keep_recall(&recall)) {
            self.holding.recalls.insert(packet, (recall, Timestamp::default()));
        }
    }

    /// It arrived: nobody need keep it.
    pub(super) fn settle_held(&mut self, packet: &Digest) {
        self.holding.left.remove(packet);
    }

    /// Sees to what is due at hubs whose line stands.
    pub(super) fn see_to_holding(&mut self, now: Timestamp) {
        self.end_holding(now);
        let soon = now.plus_ms(HUB_REDIAL_MS);
        let mut due: Vec<(OfficeId, MailboxRequest, Asked)> = Vec::new();
        for (row, next) in self.holding.left.values_mut().filter(|(_, next)| *next <= now) {
            let Some(Hold { hub, thread }) = row.hold.filter(|hold| self.present.contains_key(&hold.hub)) else {
                continue;
            };
            let Ok(packet) = self.spool.read_out(&row.packet) else { continue };
            *next = soon;
            let request = MailboxRequest::Hold { to: row.to, thread, packet };
            due.push((hub, request, Asked::Hold(row.packet)));
        }
        for (row, next) in self.holding.claims.values_mut().filter(|(_, next)| *next <= now) {
            if self.present.contains_key(&row.hold.hub) {
                *next = now.plus_ms(AGAIN_MS);
                let asked = Asked::Claim { hub: row.hold.hub };
                due.push((row.hold.hub, MailboxRequest::Claim(row.claim.clone()), asked));
            }
        }
        for (row, next) in self.holding.recalls.values_mut().filter(|(_, next)| *next <= now) {
            if self.present.contains_key(&row.hub) {
                *next = soon;
                due.push((row.hub, MailboxRequest::LetGo(row.packet), Asked::LetGo(row.packet)));
            }
        }
        for (hub, request, about) in due {
            if let Some(peer) = self.present.get(&hub).cloned() {
                self.ask(peer, Channel::Mailbox, wire::encode(&request), about);
            }
        }
    }

    /// What is over by its time.
    fn end_holding(&mut self, now: Timestamp) {
        if self.watch.is_doubted() {
            return;
        }
        let over: Vec<Digest> =
            self.holding.left.values().filter(|(row, _)| row.expires <= now).map(|(row, _)| row.packet).collect();
        for packet in over {
            self.holding.left.remove(&packet);
            self.end(packet, Fact::Expired);
        }
        let claims = self.holding.claims.values().filter(|(row, _)| row.until <= now);
        for thread in claims.map(|(row, _)| row.hold.thread).collect::<Vec<_>>() {
            self.unclaim(thread);
        }
        let recalls = self.holding.recalls.values().filter(|(row, _)| row.until <= now);
        for packet in recalls.map(|(row, _)| row.packet).collect::<Vec<_>>() {
            self.was_let_go(packet, true);
        }
    }

    /// A hub answered whether it keeps one of ours.
    pub(super) fn was_held(&mut self, packet: Digest, answer: Option<MailboxAnswer>) {
        let now = self.clock.now();
        let kept = matches!(answer, Some(MailboxAnswer::Done));
        if !kept {
            tracing::warn!(?packet, "a hub does not hold a packet until it is accepted; it is asked again");
        }
        if let Some((_, next)) = self.holding.left.get_mut(&packet) {
            // A hub may lose what it keeps.
            *next = now.plus_ms(if kept { HUB_AGAIN_MS } else { AGAIN_MS });
        }
    }

    /// A hub answered to a claim.
    pub(super) fn was_claimed(&mut self, hub: OfficeId, answer: Option<MailboxAnswer>) {
        if let Some(MailboxAnswer::Packet(packet)) = answer
            && self.refuses(&packet, None).is_none()
        {
            self.arriving.push(Arriving { packet, then: Then::Delete { hub } });
        }
    }

    /// A hub answered that it let go of one of ours.
    pub(super) fn was_let_go(&mut self, packet: Digest, is_done: bool) {
        if is_done {
            self.holding.recalls.remove(&packet);
            self.log_failure(self.spool.drop_recall(&packet));
        }
    }
}
