//! Full packets that wait at hubs until somebody accepted: ours are left there, and let go of where they are to reach nobody; those for
//! us are claimed.

use super::{Arriving, Asked, HUB_REDIAL_MS, Then, Thread};
use crate::net::Channel;
use crate::spool::{ClaimRow, Fact, Hold, LetGoRow, OutRow};
use casemesh_crypto::hash::Digest;
use casemesh_crypto::wire;
use casemesh_protocol::claim::Claim;
use casemesh_protocol::delivery::{HUB_AGAIN_MS, Input};
use casemesh_protocol::frame::{MailboxAnswer, MailboxRequest, PacketAnswer};
use casemesh_protocol::id::{OfficeId, ThreadId};
use casemesh_protocol::time::Timestamp;
use std::collections::{BTreeMap, BTreeSet};

/// A hub that does not take one, or has none for us yet, is asked again after so long: doubled each time, and at once when it was away.
const AGAIN_MS: u64 = 60_000;
const LONGEST_MS: u64 = 6 * 3_600_000;
/// So many packets are on their way to where they wait at a time.
const HOLDS_OUT_MAX: usize = 4;

/// When something is seen to next, and how often it came to nothing.
#[derive(Debug, Clone, Copy, Default)]
struct Next {
    at: Timestamp,
    in_vain: u32,
}

impl Next {
    fn again(self, now: Timestamp) -> Self {
        let wait = AGAIN_MS.saturating_mul(1 << self.in_vain.min(10)).min(LONGEST_MS);
        Self { at: now.plus_ms(wait), in_vain: self.in_vain.saturating_add(1) }
    }
}

/// What waits at hubs, and when each is seen to next.
#[derive(Default)]
pub(super) struct Holding {
    left: BTreeMap<Digest, (OutRow, Next)>,
    claims: BTreeMap<ThreadId, (ClaimRow, Next)>,
    let_go: BTreeMap<ThreadId, (LetGoRow, Next)>,
}

impl Thread {
    /// After a start, what waited still waits.
    pub(super) fn load_holding(&mut self) {
        let let_go = self.spool.let_go().into_iter().map(|row| (row.hold.thread, (row, Next::default())));
        self.holding.let_go = let_go.collect();
        match self.spool.held_out() {
            Ok(rows) => rows.into_iter().for_each(|row| self.hold(row)),
            Err(error) => tracing::error!(kind = %error.kind(), "the spool cannot be read"),
        }
        self.spool.claims().into_iter().for_each(|row| self.claim(row));
    }

    pub(super) fn hold(&mut self, row: OutRow) {
        if row.hold.is_some_and(|hold| !self.holding.let_go.contains_key(&hold.thread)) {
            self.holding.left.insert(row.packet, (row, Next::default()));
        }
    }

    /// We accepted what waits at a hub: it is dialled, also where it is none of ours.
    pub(super) fn claim(&mut self, row: ClaimRow) {
        self.hubs.entry(row.hold.hub).or_default();
        self.holding.claims.insert(row.hold.thread, (row, Next::default()));
    }

    /// It came, or is not wanted any more.
    pub(super) fn unclaim(&mut self, thread: ThreadId) {
        self.log_failure(self.spool.drop_claim(&thread));
        let Some((row, _)) = self.holding.claims.remove(&thread) else { return };
        let hub = row.hold.hub;
        if self.is_own_hub(&hub) || self.holding.claims.values().any(|(other, _)| other.hold.hub == hub) {
            return;
        }
        let deposits = self.hubs.remove(&hub).map(|link| link.deposits).unwrap_or_default();
        for (to, packet) in deposits {
            self.deliver(to, Input::NotDeposited { packet });
        }
    }

    /// What waits at a hub is to reach nobody.
    pub(super) fn let_go(&mut self, row: LetGoRow) {
        let is_it = |left: &OutRow| left.hold.is_some_and(|hold| hold.thread == row.hold.thread);
        let packets: Vec<Digest> = self
            .holding
            .left
            .values()
            .map(|(left, _)| left)
            .filter(|left| is_it(left))
            .map(|left| left.packet)
            .collect();
        packets.iter().for_each(|packet| self.settle_held(packet));
        self.holding.let_go.insert(row.hold.thread, (row, Next::default()));
    }

    /// It arrived, or is not to: no hub need keep it, and one that was sent it once more meanwhile lets go of it too. Whether it was
    /// one that waits.
    pub(super) fn end_hold(&mut self, packet: &Digest) -> bool {
        let Some(row) = self.spool.out_row(packet) else { return false };
        let Some(hold) = row.hold else { return false };
        let row = LetGoRow { hold, to: row.to, until: row.expires, is_told: false };
        if self.log_failure(self.spool.keep_let_go(&row)) {
            self.let_go(row);
        }
        true
    }

    fn settle_held(&mut self, packet: &Digest) {
        self.holding.left.remove(packet);
        self.status().held.remove(packet);
    }

    /// Whether something of ours lies at a hub, or did until a short while ago.
    pub(super) fn has_left_at(&self, hub: &OfficeId) -> bool {
        let left = self.holding.left.values().filter_map(|(row, _)| row.hold);
        left.chain(self.holding.let_go.values().map(|(row, _)| row.hold)).any(|hold| hold.hub == *hub)
    }

    /// A hub said hello: what came to nothing there is tried at once.
    pub(super) fn hub_is_back(&mut self, hub: OfficeId) {
        let left = self.holding.left.values_mut().filter(|(row, _)| row.hold.is_some_and(|hold| hold.hub == hub));
        let claims = self.holding.claims.values_mut().filter(|(row, _)| row.hold.hub == hub);
        let let_go = self.holding.let_go.values_mut().filter(|(row, _)| row.hold.hub == hub);
        let all = left.map(|(_, next)| next).chain(claims.map(|(_, next)| next)).chain(let_go.map(|(_, next)| next));
        // What the hub keeps, and what is not asked for again, came to something.
        all.filter(|next| next.in_vain > 0).for_each(|next| next.at = Timestamp::default());
    }

    /// Sees to what is due at hubs whose line stands.
    pub(super) fn see_to_holding(&mut self, now: Timestamp) {
        self.end_holding(now);
        // While a packet is on its way there, the hub is neither asked to let go of it nor sent another: that could come first.
        let on_its_way: BTreeSet<Digest> = self
            .asked
            .values()
            .filter_map(|asked| if let Asked::Hold(packet) = asked { Some(*packet) } else { None })
            .collect();
        let busy: BTreeSet<ThreadId> =
            on_its_way.iter().filter_map(|packet| self.spool.out_row(packet)?.hold).map(|hold| hold.thread).collect();
        let mut due: Vec<(OfficeId, MailboxRequest, Asked)> = Vec::new();
        // Few at a time, and first what came to nothing least often: a thin line gets through all of them.
        let mut waiting: Vec<&mut (OutRow, Next)> =
            self.holding.left.values_mut().filter(|(_, next)| next.at <= now).collect();
        waiting.sort_by_key(|(_, next)| next.in_vain);
        let mut room = HOLDS_OUT_MAX.saturating_sub(on_its_way.len());
        for (row, next) in waiting {
            let can_go = |hold: &Hold| self.present.contains_key(&hold.hub) && !busy.contains(&hold.thread);
            let Some(Hold { hub, thread }) = row.hold.filter(can_go).filter(|_| room > 0) else { continue };
            let Ok(packet) = self.spool.read_out(&row.packet) else { continue };
            room -= 1;
            *next = next.again(now);
            due.push((hub, MailboxRequest::Hold { to: row.to, thread, packet }, Asked::Hold(row.packet)));
        }
        for (thread, (row, next)) in self.holding.claims.iter_mut().filter(|(_, (_, next))| next.at <= now) {
            if self.present.contains_key(&row.hold.hub) {
                *next = next.again(now);
                let asked = Asked::Claim { hub: row.hold.hub, thread: *thread };
                due.push((row.hold.hub, MailboxRequest::Claim(row.claim.clone()), asked));
            }
        }
        for (thread, (row, next)) in self.holding.let_go.iter_mut().filter(|(_, (_, next))| next.at <= now) {
            if !row.is_told && self.present.contains_key(&row.hold.hub) && !busy.contains(thread) {
                *next = Next { at: now.plus_ms(HUB_REDIAL_MS), in_vain: 1 };
                let request = MailboxRequest::LetGo { to: row.to, thread: *thread };
                due.push((row.hold.hub, request, Asked::LetGo(*thread)));
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
            self.settle_held(&packet);
            self.end(packet, Fact::Expired);
        }
        let claims = self.holding.claims.values().filter(|(row, _)| row.until <= now);
        for thread in claims.map(|(row, _)| row.hold.thread).collect::<Vec<_>>() {
            self.unclaim(thread);
        }
        let let_go = self.holding.let_go.values().filter(|(row, _)| row.until <= now);
        for thread in let_go.map(|(row, _)| row.hold.thread).collect::<Vec<_>>() {
            self.forget_let_go(thread);
        }
    }

    /// A hub answered whether it keeps one of ours.
    pub(super) fn was_held(&mut self, packet: Digest, answer: Option<MailboxAnswer>) {
        let (now, kept) = (self.clock.now(), matches!(answer, Some(MailboxAnswer::Done)));
        let Some((row, next)) = self.holding.left.get_mut(&packet) else { return };
        let hub = row.hold.map(|hold| hold.hub);
        if kept {
            // A hub may lose what it keeps.
            *next = Next { at: now.plus_ms(HUB_AGAIN_MS), in_vain: 0 };
        }
        let Some(hub) = hub else { return };
        let name = self.directory.as_ref().and_then(|directory| directory.member(&hub));
        let name = name.map_or_else(String::new, |member| member.record.name.to_string());
        let mut status = self.status();
        if kept {
            status.held.insert(packet);
        } else {
            status.held.remove(&packet);
            status.problems.insert(
                hub,
                format!("{name} does not take a full packet that is to wait there; it goes when the other office accepts and this computer is on"),
            );
        }
    }

    /// A hub answered to a claim.
    pub(super) fn was_claimed(&mut self, (hub, thread): (OfficeId, ThreadId), answer: Option<MailboxAnswer>) {
        let Some(MailboxAnswer::Packet(packet)) = answer else { return };
        match self.refuses(&packet, None) {
            None => self.arriving.push(Arriving { packet, by: None, then: Then::Delete { hub } }),
            Some(PacketAnswer::Defer { .. }) => {}
            Some(_) => {
                tracing::warn!(
                    ?thread,
                    "what waited at a hub for our acceptance is not for us, or past its time; it is not asked for again"
                );
                if let Some((row, next)) = self.holding.claims.get_mut(&thread) {
                    *next = Next { at: row.until, in_vain: 0 };
                }
            }
        }
    }

    /// Who claimed what we left: the sender can show it for as long as it keeps its records.
    pub(super) fn take_claims(&mut self, hub: OfficeId, claims: Vec<(Digest, Claim)>) {
        for (packet, claim) in claims {
            let row = self.spool.out_row(&packet);
            let key = row.as_ref().and_then(|row| {
                let member = self.directory.as_ref()?.member(&row.to)?;
                member.keys.node_key_ever(&claim.key)
            });
            let claimed = row.as_ref().zip(key).and_then(|(row, key)| claim.verify(row.to, hub, &key).ok());
            let is_it = claimed.is_some_and(|said| {
                row.as_ref().and_then(|row| row.hold).is_some_and(|hold| hold.thread == said.thread)
            });
            if is_it {
                if !self.log_failure(self.spool.keep_claimed(&packet, &claim)) {
                    continue;
                }
                (self.wake)();
            }
            if let Some(peer) = self.present.get(&hub).cloned() {
                let forget = wire::encode(&MailboxRequest::ForgetClaim(packet));
                self.ask(peer, Channel::Mailbox, forget, Asked::Told);
            }
        }
    }

    /// A hub answered that it let go of one of ours, or has none. It may have given it before: until its time is over we listen for that.
    pub(super) fn was_let_go(&mut self, thread: ThreadId) {
        let Some((row, _)) = self.holding.let_go.get_mut(&thread) else { return };
        row.is_told = true;
        let row = *row;
        self.log_failure(self.spool.keep_let_go(&row));
    }

    fn forget_let_go(&mut self, thread: ThreadId) {
        self.holding.let_go.remove(&thread);
        let is_it = |row: &OutRow| row.hold.is_some_and(|hold| hold.thread == thread);
        for row in self.spool.held_out().unwrap_or_default().iter().filter(|row| is_it(row)) {
            self.log_failure(self.spool.drop_out(&row.packet));
        }
        self.log_failure(self.spool.drop_let_go(&thread));
    }
}
