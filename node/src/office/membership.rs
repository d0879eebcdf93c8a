//! Who belongs to the network, as this office has to do with it: what a registrar office decides and tells the others, what follows
//! when an office is out, how one is verified by voice, and how this one leaves.

use super::effects::{find_another, follow_up_once};
use super::exchange::Taken;
use super::outward::{Outward, add_own_event};
use super::requests::ask;
use super::{CodeView, Desk, DeskError, FieldProblem, MembershipView, NewcomerView, Office, VerifiedView};
use crate::codes;
use crate::index::OutboxRow;
use crate::node::Reach;
use crate::policy::Ask;
use crate::records::{Asked, OutboxState, PartnerCheck, Referral, Seen};
use crate::vault::Record;
use casemesh_crypto::hash::{Digest, sha256};
use casemesh_crypto::wire;
use casemesh_protocol::directory::{Card, Directory, Member, NetworkFile};
use casemesh_protocol::id::{OfficeId, RecordId, ThreadId};
use casemesh_protocol::outgoing::Control;
use casemesh_protocol::packet::Kind;
use casemesh_protocol::referral::Step;
use casemesh_protocol::time::Timestamp;
use casemesh_protocol::trust::{Admission, Decision, EndReason, Registrar, SignedAdmission};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::sync::{Arc, PoisonError};
use utoipa::ToSchema;

/// What a registrar decided is told to the members of that time for so many days: who joins later has it in the file.
const TOLD_DAYS: u64 = 60;
/// So many copies of one piece of news are written at a time: a journal entry holds no more.
pub(super) const TOLD_AT_ONCE: usize = 50;
/// Longest note on how somebody was spoken with.
const HOW_BYTES_MAX: usize = 400;

/// The end of a membership, as entered.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct EndInput {
    /// Which office.
    pub office: String,
    /// closed, left, removed or keys_lost.
    pub reason: String,
    /// The office that goes on with its work; empty for none.
    pub successor: String,
}

/// That another office was spoken with, as entered.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CheckInput {
    /// Which office.
    pub office: String,
    /// With whom, and how.
    pub how: String,
    /// Whether the digits were the same at both ends.
    pub same: bool,
}

/// What our packets with a decision are known by.
fn mark_of(decision: &[u8]) -> ThreadId {
    let mut bytes = [0u8; ThreadId::LENGTH];
    bytes.copy_from_slice(sha256(&[b"casemesh/1/news\0", decision]).as_bytes().split_at(ThreadId::LENGTH).0);
    ThreadId::new(bytes)
}

/// The digits that name two offices to people on the telephone, the same at both ends: 66 bits of their ids, which fix all their keys.
pub fn spoken(one: &OfficeId, other: &OfficeId) -> String {
    let (first, second) = if one < other { (one, other) } else { (other, one) };
    let digest = sha256(&[b"casemesh/1/spoken\0", first.as_bytes(), second.as_bytes()]);
    let groups = digest.as_bytes().chunks(4).take(5).map(|chunk| {
        let number = chunk.iter().fold(0u64, |number, byte| number << 8 | u64::from(*byte));
        format!("{:04}", number % 10_000)
    });
    groups.collect::<Vec<_>>().join(" ")
}

impl Office {
    /// Whether the stewards let this office decide who belongs to the network.
    pub(super) fn is_registrar(&self, directory: &Directory) -> bool {
        directory.roots().current().registrars.as_slice().contains(&Registrar::Office(self.keys.office))
    }

    /// Decides about an office, uses it, and keeps it. Whoever calls this sees to it that the others are told.
    pub(super) fn decide_about(
        &self,
        office: OfficeId,
        decision: Decision,
        card: Option<Card>,
    ) -> Result<(), DeskError> {
        let now = self.around.clock.now();
        let directory = self.around.directory().ok_or(DeskError::NotFound)?;
        if card.is_none() && directory.member(&office).is_none() {
            // It was done before, and the command that says so was cut off.
            return Ok(());
        }
        let (ours, of_network) = (Registrar::Office(self.keys.office), (directory.network(), office));
        let before = directory.admission(&office);
        // A member whose keys are new is let in anew, so that all learn of them by our word.
        let has_new_card = card.as_ref().is_some_and(|card| matches!(directory.with_card(card), Ok(Some(_))));
        let is_same = |before: &Admission| before.is_admitted() == matches!(decision, Decision::Admitted);
        if before.is_some_and(is_same) && !has_new_card {
            return Ok(());
        }
        let said =
            SignedAdmission::sign(&Admission::after(before, of_network, ours, decision, now), &self.keys.node_key);
        let mut news = directory.file_about(|_| false);
        (news.admissions, news.cards) = (one(said), card.map(one).unwrap_or_default());
        self.around.merge(&news, Reach::Network).map_err(|error| DeskError::Partner(error.to_string()))?;
        let said = self.around.directory().and_then(|directory| directory.admission(&office).copied());
        if said.is_none_or(|said| said.is_admitted() != matches!(decision, Decision::Admitted)) {
            let other = "another registrar decided otherwise about this office; speak with them first";
            return Err(DeskError::Partner(other.into()));
        }
        Ok(())
    }

    /// Tells the members what this office decided, and what the stewards did, where it is a registrar; and that this office leaves.
    pub(super) fn tell_news(&self) {
        // Two turns at the same time would tell it twice.
        let _held = self.around.changing();
        for (mark, news, to_tell) in self.news_to_tell() {
            for some in to_tell.chunks(TOLD_AT_ONCE).map(<[OfficeId]>::to_vec) {
                let news = news.clone();
                let told = self.vault.write(None, "tell_news", move |tx| {
                    let mut some = some.into_iter();
                    some.try_for_each(|to| Outward::control(Control::news(to, news.clone())).marked(mark).queue(tx))
                });
                if let Err::<_, DeskError>(error) = told {
                    tracing::warn!(%error, "other offices could not be told what is new in the network; it is tried again");
                }
            }
        }
    }

    fn news_to_tell(&self) -> Vec<(ThreadId, NetworkFile, Vec<OfficeId>)> {
        let Some(directory) = self.around.directory() else { return Vec::new() };
        let (ours, since) = (self.keys.office, self.around.clock.now());
        let is_new = |made: Timestamp| made.plus_days(TOLD_DAYS) > since;
        let mut all = Vec::new();
        let is_due =
            |said: &&Admission| said.by == Registrar::Office(ours) && (is_new(said.made) || !said.is_admitted());
        let decided = directory.admissions().filter(is_due);
        for said in decided {
            let is_meant = |office: &OfficeId| *office == said.office && said.is_admitted();
            let mut news = directory.file_about(|office| *office == said.office);
            news.cards = directory.file_about(is_meant).cards;
            all.push((
                mark_of(&wire::encode(said)),
                news,
                Some(said.made).filter(|_| said.is_admitted()),
                Some(said.office),
            ));
        }
        let root = directory.roots().current();
        if root.number > 1 && is_new(root.made) && self.is_registrar(&directory) {
            all.push((mark_of(&wire::encode(root)), directory.file_about(|_| false), None, None));
        }
        let tables = self.index.read();
        let told_of = |mark: ThreadId| -> BTreeSet<OfficeId> {
            let is_it = |row: &&OutboxRow| {
                row.kind == Kind::News.number() && row.thread == mark && row.state != OutboxState::Expired
            };
            tables.outbox.values().filter(is_it).map(|row| row.to).collect()
        };
        let to_tell = |(mark, news, made, about): (ThreadId, NetworkFile, Option<Timestamp>, Option<OfficeId>)| {
            let told = told_of(mark);
            let members = directory.members().map(|(office, _)| *office);
            let needs = |office: &OfficeId| {
                // Whom we let in later got our file, and with it who else is in.
                let joined = directory.admission(office).filter(|said| said.by == Registrar::Office(ours));
                let has_it = joined.is_some_and(|joined| made.is_some_and(|made| made <= joined.made));
                *office != ours && Some(*office) != about && !told.contains(office) && !has_it
            };
            let to_tell: Vec<OfficeId> = members.filter(needs).collect();
            Some((mark, news, to_tell)).filter(|(.., to_tell)| !to_tell.is_empty())
        };
        all.into_iter().filter_map(to_tell).collect()
    }

    /// Takes what another office tells of the network. Each statement in it is signed by who may decide it.
    pub(super) fn take_news(&self, news: &NetworkFile, seen: RecordId) -> Result<Taken, DeskError> {
        if let Err(error) = self.around.merge(news, Reach::Network) {
            tracing::warn!(%error, "news of the network are not believed");
            return Ok(Taken::Aside("news of the network that are not believed"));
        }
        self.vault.write(None, "receive_news", move |tx| {
            tx.insert(&Seen { id: seen, at: tx.now(), set_aside: None })?;
            Ok(Taken::Done)
        })
    }

    /// Nothing goes to offices that are out: what waits for them is parked, and whoever works on what they were asked for is told.
    pub(super) fn part_from_gone(&self) {
        let Some(directory) = self.around.directory() else { return };
        let gone: BTreeSet<OfficeId> = directory
            .admissions()
            .filter(|said| !said.is_admitted() && said.office != self.keys.office)
            .map(|said| said.office)
            .collect();
        if gone.is_empty() {
            return;
        }
        let parted = self.park_for(&gone, &directory).and_then(|()| self.end_with(&gone));
        if let Err(error) = parted {
            tracing::warn!(%error, "what goes to an office that is out could not be parked; it is tried again");
        }
    }

    fn park_for(&self, gone: &BTreeSet<OfficeId>, directory: &Directory) -> Result<(), DeskError> {
        let _held = self.releasing.lock().unwrap_or_else(PoisonError::into_inner);
        let rows: Vec<(RecordId, OfficeId, Option<Digest>)> = {
            let tables = self.index.read();
            let is_under_way = |row: &&OutboxRow| {
                gone.contains(&row.to) && matches!(row.state, OutboxState::Waiting | OutboxState::Released)
            };
            tables.outbox.values().filter(is_under_way).map(|row| (row.id, row.to, row.packet_hash)).collect()
        };
        for (row, to, packet) in rows {
            if let Some(packet) = packet {
                self.around.relay.cancel(to, packet);
            }
            let name = directory.outsider(&to).map(|member| member.record.name.to_string()).unwrap_or_default();
            let problem = format!("{name} does not belong to the network any more; nothing goes there");
            self.settle_row(row, OutboxState::Refused, Some(problem), None)?;
        }
        Ok(())
    }

    /// What was asked of an office that is out and not accepted is asked of another; for the rest somebody sees to it.
    fn end_with(&self, gone: &BTreeSet<OfficeId>) -> Result<(), DeskError> {
        let open: Vec<RecordId> = {
            let tables = self.index.read();
            let is_open = |referral: &&Arc<Referral>| {
                gone.contains(&referral.partner) && referral.erased.is_none() && tables.stands(referral).state.is_open()
            };
            tables.referrals.values().filter(is_open).map(|referral| referral.id).collect()
        };
        for id in open {
            let ours = self.ours();
            self.vault.write(None, "partner_left", move |tx| {
                let Some(mut sealed) = tx.get::<Referral>(Referral::TOP, id)? else { return Ok(()) };
                let referral = &mut sealed.record;
                if !(referral.outgoing && referral.thread().state.is_before_acceptance()) {
                    return follow_up_once(tx, referral, "partner_left");
                }
                let reason = codes::code("withdraw_reason", "office_left").ok_or(DeskError::NotFound)?;
                add_own_event(tx, &ours.keys, referral, Step::Withdrawn { reason })?;
                find_another(tx, &ours.index, referral)?;
                tx.about(id);
                Ok::<_, DeskError>(tx.update(&sealed.record, sealed.revision)?)
            })?;
        }
        Ok(())
    }
}

/// A list of one.
fn one<T, const N: usize>(item: T) -> casemesh_protocol::bounded::List<T, N> {
    casemesh_protocol::bounded::List::new(vec![item]).unwrap_or_default()
}

impl Desk {
    /// Whether the stewards let this office decide who belongs to the network, and this account does so for it.
    pub fn registers(&self) -> bool {
        let directory = self.office.around.directory();
        self.may(Ask::Administer) && directory.is_some_and(|directory| self.office.is_registrar(&directory))
    }

    /// Whether this account decides that the office joins a network.
    ///
    /// # Errors
    /// When it does not administer.
    pub fn may_join(&self) -> Result<(), DeskError> {
        self.administers()
    }

    /// Notes that this account says that the day is right.
    ///
    /// # Errors
    /// When it is not one that answers for the office.
    pub fn may_confirm_clock(&self) -> Result<(), DeskError> {
        self.allow(Ask::AnswerReferrals).or_else(|_| self.allow(Ask::Administer))?;
        Ok(self.office.vault.note_and_wait(Some(self.actor.staff), "confirm_clock", None)?)
    }

    pub(super) fn may_register(&self) -> Result<(), DeskError> {
        self.administers()?;
        if self.registers() { Ok(()) } else { Err(DeskError::Denied(crate::policy::Denied)) }
    }

    /// What a card says of an office that wants to join, for somebody to look at.
    ///
    /// # Errors
    /// When it is no card, or does not hold.
    pub fn read_newcomer(&self, bytes: &[u8]) -> Result<NewcomerView, DeskError> {
        self.may_register()?;
        let problem = |problem| DeskError::Invalid(vec![FieldProblem::new("file", problem)]);
        let card: Card = wire::decode(bytes).map_err(|_| problem("no-card"))?;
        let member = card.verify().map_err(|_| problem("card-does-not-hold"))?;
        let directory = self.office.around.directory().ok_or(DeskError::NotFound)?;
        Ok(newcomer(&self.office, &directory, &member))
    }

    /// Lets an office into the network, or asks somebody else to approve that, where there is somebody else. Whether it is in.
    ///
    /// # Errors
    /// When the card does not hold, or this office or account decides about nobody.
    pub fn admit(&self, bytes: &[u8]) -> Result<bool, DeskError> {
        let newcomer = self.read_newcomer(bytes)?;
        if newcomer.member && !newcomer.newer {
            return Err(DeskError::Invalid(vec![FieldProblem::with("file", "member-already", newcomer.name)]));
        }
        self.decide_or_ask("admit_office", Asked::Admit(bytes.to_vec()))
    }

    /// Ends the membership of an office, or asks somebody else to approve that. Whether it ended. An office that leaves has answered
    /// and taken back before what was under way.
    ///
    /// # Errors
    /// When fields are wrong, something is open, or this office or account decides about nobody but itself.
    pub fn end_membership(&self, input: &EndInput) -> Result<bool, DeskError> {
        self.allow(Ask::Administer)?;
        let mut problems = self.problems();
        let office: Option<OfficeId> = problems.word("office", &input.office);
        let reason: Option<EndReason> = problems.word("reason", &input.reason);
        let successor: Option<OfficeId> =
            if input.successor.is_empty() { None } else { problems.word("successor", &input.successor) };
        let (Some(office), Some(reason)) = (office, reason) else {
            return Err(DeskError::Invalid(problems.done().err().map_or_else(Vec::new, |error| match error {
                DeskError::Invalid(problems) => problems,
                _ => Vec::new(),
            })));
        };
        if self.member_name(office).is_none() {
            problems.add("office", "not-in-network");
        }
        if successor.is_some_and(|successor| successor == office || self.member_name(successor).is_none()) {
            problems.add("successor", "not-in-network");
        }
        let leaves = office == self.office.keys.office;
        if leaves && !matches!(reason, EndReason::Closed | EndReason::Left) {
            problems.add("reason", "leave-reason");
        }
        let open = if leaves { self.open_with_others() } else { 0 };
        if open > 0 {
            problems.with("office", "leave-open", open);
        }
        problems.done()?;
        match leaves {
            true => self.administers()?,
            false => self.may_register()?,
        }
        self.decide_or_ask("end_membership", Asked::EndMembership(office, reason, successor))
    }

    /// Referrals that are open with other offices: before this one leaves, each is answered or taken back.
    fn open_with_others(&self) -> usize {
        let tables = self.office.index.read();
        let open = tables.referrals.values().filter(|one| one.outside.is_none() && tables.stands(one).state.is_open());
        open.count()
    }

    fn decide_or_ask(&self, action: &'static str, asked: Asked) -> Result<bool, DeskError> {
        if self.has_approver(&asked) {
            self.write(action, move |tx| ask(tx, Vec::new(), asked))?;
            return Ok(false);
        }
        self.before_carrying_out(&asked)?;
        self.office.vault.note_and_wait(Some(self.actor.staff), action, None)?;
        self.office.turn();
        Ok(true)
    }

    /// All that is known of the network, as a file for an office that was let in.
    ///
    /// # Errors
    /// When this office is in no network.
    pub fn network_file(&self) -> Result<Vec<u8>, DeskError> {
        self.allow(Ask::AnswerReferrals).or_else(|_| self.allow(Ask::Administer))?;
        let directory = self.office.around.directory().ok_or(DeskError::NotFound)?;
        Ok(wire::encode(&directory.file()))
    }

    /// The digits to compare with another office on the telephone.
    pub fn spoken_with(&self, office: OfficeId) -> String {
        spoken(&self.office.keys.office, &office)
    }

    /// Notes that somebody spoke with another office, and that the digits were the same.
    ///
    /// # Errors
    /// When fields are wrong, or the digits were not the same: then nobody should send anything there.
    pub fn verify_partner(&self, input: &CheckInput) -> Result<(), DeskError> {
        self.allow(Ask::AnswerReferrals)?;
        let mut problems = self.problems();
        let office: Option<OfficeId> = problems.word("office", &input.office);
        let how = problems.required_text("how", &input.how, HOW_BYTES_MAX);
        if !input.same {
            problems.add("same", "digits-differ");
        }
        if office.is_some_and(|office| self.member_name(office).is_none()) {
            problems.add("office", "not-in-network");
        }
        problems.done()?;
        let office = office.ok_or(DeskError::NotFound)?;
        let by = self.actor.staff;
        self.write("verify_partner", move |tx| {
            Ok(tx.insert(&PartnerCheck { id: tx.fresh_id(), office, at: tx.now(), by, how })?)
        })
    }

    /// When another office was spoken with last, and by whom of us.
    pub(super) fn verified(&self, tables: &crate::index::Tables, office: OfficeId) -> Option<VerifiedView> {
        let check = tables.partner_checks.get(&office)?;
        Some(VerifiedView { at: check.at, by: self.staff_name(tables, Some(check.by)), how: check.how.clone() })
    }

    /// Offices that are out, with what is still open with them.
    pub(super) fn former_members(&self, directory: &Directory, tables: &crate::index::Tables) -> Vec<MembershipView> {
        let ended = directory.admissions().filter(|said| said.office != self.office.keys.office);
        let view = |said: &Admission| {
            let Decision::Ended { reason, successor } = said.decision else { return None };
            let is_open = |one: &&Arc<Referral>| one.partner == said.office && tables.stands(one).state.is_open();
            let open = tables.referrals.values().filter(is_open).filter(|one| self.sees_referral(tables, one));
            Some(MembershipView {
                office: said.office,
                name: directory.outsider(&said.office).map(|member| member.record.name.to_string()).unwrap_or_default(),
                reason,
                since: said.made,
                successor: successor.and_then(|office| self.member_name(office)),
                referrals: open.map(|one| self.referral_summary(tables, one)).collect(),
            })
        };
        ended.filter_map(view).collect()
    }

    /// Whether this office has left the network, and how many of the others know.
    pub(super) fn leaving(&self, directory: &Directory, tables: &crate::index::Tables) -> Option<(usize, usize)> {
        let said = directory.admission(&self.office.keys.office).filter(|said| !said.is_admitted())?;
        let mark = mark_of(&wire::encode(said));
        let rows = tables.outbox.values().filter(|row| row.kind == Kind::News.number() && row.thread == mark);
        let (mut told, mut all) = (0, 0);
        for row in rows {
            all += 1;
            told += usize::from(row.facts.arrived.or(row.facts.read).is_some());
        }
        Some((told, all))
    }
}

pub(super) fn newcomer(office: &Office, directory: &Directory, member: &Member) -> NewcomerView {
    let (id, record) = (member.keys.office(), &member.record);
    NewcomerView {
        office: id,
        name: record.name.to_string(),
        kind: record.kind.as_str().into(),
        area: record.area.to_string(),
        telephone: record.telephone.to_string(),
        services: record.services.iter().map(|offer| CodeView::from(&offer.service)).collect(),
        digits: spoken(&office.keys.office, &id),
        member: directory.member(&id).is_some(),
        newer: directory.member(&id).is_some_and(|known| {
            let age = |one: &Member| (one.keys.length(), one.record.number);
            age(member) > age(known)
        }),
        ended: directory.admission(&id).is_some_and(|said| !said.is_admitted()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_offices_read_the_same_digits() {
        let (a, b, c) = (OfficeId::new([1; 32]), OfficeId::new([2; 32]), OfficeId::new([3; 32]));
        let digits = spoken(&a, &b);
        assert_eq!(digits, spoken(&b, &a));
        assert!(digits != spoken(&a, &c) && digits.len() == 24);
        assert!(digits.chars().all(|c| c.is_ascii_digit() || c == ' '));
    }
}
