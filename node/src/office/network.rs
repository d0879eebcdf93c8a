//! The network as a person sees it: who belongs to it, whose line stands, what waits for whom, and what is carried by hand.

use super::offers::OFFER_STALE_DAYS;
use super::{Desk, DeskError, FieldProblem, NetworkView, OfferView, OtherOfficeView};
use crate::bundle::{Brought, Packed};
use crate::index::Tables;
use crate::node::{NodeError, Reach};
use crate::policy::Ask;
use crate::records::{Outbox, OutboxState};
use crate::relay::RelayStatus;
use crate::vault::{Record, VaultError};
use casemesh_crypto::hash::Digest;
use casemesh_protocol::directory::{Member, Role};
use casemesh_protocol::id::{OfficeId, RecordId};
use std::collections::BTreeSet;

/// So many rows of the outbox are marked in one command.
const MARKED_AT_ONCE: usize = 200;

/// How another office can be reached now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Line {
    /// Its node is connected.
    Connected,
    /// It is not, and what we send waits at its hub.
    ByHub,
    /// It is not, and both nodes have to be switched on at the same time.
    Direct,
    /// It has no address: a stick.
    ByHand,
}

impl Line {
    fn of(office: OfficeId, member: &Member, status: &RelayStatus) -> Self {
        let (hubs, addresses) = (member.record.hubs.as_slice(), member.record.addresses.as_slice());
        match (status.connected.contains(&office), hubs.is_empty(), addresses.is_empty()) {
            (true, _, _) => Self::Connected,
            (false, false, _) => Self::ByHub,
            (false, true, false) => Self::Direct,
            (false, true, true) => Self::ByHand,
        }
    }

    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Connected => "connected",
            Self::ByHub => "by_hub",
            Self::Direct => "direct",
            Self::ByHand => "by_hand",
        }
    }
}

impl std::fmt::Display for Line {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Desk {
    /// The network: nothing of it where the office joined none.
    pub fn network(&self) -> Option<NetworkView> {
        let directory = self.office.around.directory()?;
        let (relay, today, may_carry) = (&self.office.around.relay, self.today(), self.may(Ask::AnswerReferrals));
        let (asked, invitations) = (self.capacity_asked(), self.invitations());
        let (status, spool, tables) = (relay.status(), relay.spool(), self.office.index.read());
        let others = directory.members().filter(|(office, _)| **office != self.office.keys.office);
        let mut members: Vec<OtherOfficeView> = others
            .map(|(office, member)| OtherOfficeView {
                office: *office,
                name: member.record.name.to_string(),
                kind: member.record.kind.as_str().into(),
                is_hub: member.has_role(Role::Hub),
                area: member.record.area.to_string(),
                services: member
                    .record
                    .services
                    .iter()
                    .map(|offer| OfferView::new(offer, today, OFFER_STALE_DAYS))
                    .collect(),
                closed_until: member.record.closed_until.filter(|until| *until > today),
                telephone: member.record.telephone.to_string(),
                languages: member.record.languages.iter().map(ToString::to_string).collect(),
                line: Line::of(*office, member, &status),
                problem: status.problems.get(office).cloned(),
                waiting: waiting_for(&tables, *office).count(),
                since: waiting_for(&tables, *office).filter_map(|row| row.facts.sent).min(),
                carried: waiting_for(&tables, *office).filter_map(|row| row.facts.carried).max(),
                digits: self.spoken_with(*office),
                verified: self.verified(&tables, *office),
            })
            .collect();
        // Where something waits first: that is what somebody has to see to.
        members.sort_by_key(|member| (member.waiting == 0 && member.problem.is_none(), member.name.to_lowercase()));
        Some(NetworkView {
            name: directory.name().to_string(),
            as_of: directory.as_of(),
            count: directory.members().count(),
            registers: self.registers(),
            may_leave: self.may(Ask::Administer),
            own: self.office.keys.office,
            invitations,
            has_lobby: self.office.around.lobby.is_some(),
            former: self.former_members(&directory, &tables),
            leaving: self.leaving(&directory, &tables),
            asked,
            members,
            waiting_in: spool.waiting_summary().0,
            set_aside: spool.set_aside_count(),
            newer: spool.newer_count(),
            may_carry,
        })
    }

    /// Puts what waits for an office, or for all where none is named, into a file that is carried by hand.
    ///
    /// # Errors
    /// When this account does not answer for referrals, or there is no such office.
    pub fn pack_bundle(&self, to: &str, with_network: bool) -> Result<Packed, DeskError> {
        self.allow(Ask::AnswerReferrals)?;
        let mut problems = self.problems();
        let to: Option<OfficeId> = if to.is_empty() { None } else { problems.word("to", to) };
        if to.is_some_and(|to| self.member_name(to).is_none()) {
            problems.add("to", "not-in-network");
        }
        problems.done()?;
        self.office.release_outbox();
        let packed = self.office.around.pack_bundle(to, with_network).map_err(by_hand)?;
        if packed.is_empty() && !with_network {
            return Err(DeskError::Invalid(vec![FieldProblem::new("to", "nothing-waits")]));
        }
        let carried: BTreeSet<Digest> = packed.packets.iter().copied().collect();
        let rows: Vec<RecordId> = {
            let tables = self.office.index.read();
            let is_in = |row: &&crate::index::OutboxRow| row.packet_hash.is_some_and(|hash| carried.contains(&hash));
            tables.outbox.values().filter(is_in).map(|row| row.id).collect()
        };
        self.office.vault.note_and_wait(Some(self.actor.staff), "pack_bundle", None)?;
        for rows in rows.chunks(MARKED_AT_ONCE) {
            let rows = rows.to_vec();
            self.write("pack_bundle", move |tx| {
                for id in rows {
                    let Some(mut row) = tx.get::<Outbox>(Outbox::TOP, id)? else { continue };
                    row.record.facts.carried = Some(tx.now());
                    tx.update(&row.record, row.revision)?;
                }
                Ok(())
            })?;
        }
        Ok(packed)
    }

    /// Takes what such a file brings.
    ///
    /// # Errors
    /// When this account does not answer for referrals, or the file is no bundle.
    pub fn bring_bundle(&self, bytes: &[u8]) -> Result<Brought, DeskError> {
        self.allow(Ask::AnswerReferrals)?;
        self.office.vault.note_and_wait(Some(self.actor.staff), "bring_bundle", None)?;
        let brought = self.office.around.bring_bundle(bytes, Reach::Network).map_err(by_hand)?;
        self.office.turn();
        Ok(brought)
    }
}

fn waiting_for(tables: &Tables, office: OfficeId) -> impl Iterator<Item = &crate::index::OutboxRow> {
    let is_under_way =
        |row: &&crate::index::OutboxRow| matches!(row.state, OutboxState::Waiting | OutboxState::Released);
    tables.outbox.values().filter(move |row| row.to == office).filter(is_under_way)
}

/// What to say at the desk when something cannot be carried by hand.
fn by_hand(error: NodeError) -> DeskError {
    let problem = |field: &str, problem: &str| DeskError::Invalid(vec![FieldProblem::new(field, problem)]);
    match error {
        NodeError::NoNetwork => problem("to", "no-network"),
        NodeError::Bundle(casemesh_protocol::bundle::NoBundle::Other) => problem("file", "no-bundle"),
        NodeError::Bundle(casemesh_protocol::bundle::NoBundle::TooLong) => problem("file", "bundle-too-long"),
        NodeError::Disk(error) => VaultError::Disk(error).into(),
        other => DeskError::Partner(other.to_string()),
    }
}
