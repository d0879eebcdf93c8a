//! Proposals: a coordinator shows every office the text that the network would agree on, each office says what it thinks of it, and then the
//! stewards sign it or do not. Nothing of a proposal holds before they do.

use super::exchange::Taken;
use super::outward::Outward;
use super::{Desk, DeskError, Office};
use crate::index::Tables;
use crate::indicators;
use crate::policy::{Ask, Denied};
use crate::records::{Commented, Proposed, Seen};
use crate::vault::Record;
use casemesh_protocol::bounded::Text;
use casemesh_protocol::directory::{Directory, Role};
use casemesh_protocol::id::{OfficeId, RecordId};
use casemesh_protocol::outgoing::Control;
use casemesh_protocol::proposal::{Comment, Proposal, SAID_BYTES_MAX, Stance};
use casemesh_protocol::statistics::{AGREEMENT_BYTES_MAX, AgreementText, agreement_hash};
use casemesh_protocol::time::{Day, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;
use utoipa::ToSchema;

/// So many proposals of one coordinator are kept.
const KEPT_MAX: usize = 40;

/// What a coordinator proposes.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ProposalInput {
    /// The text of the agreement (TOML).
    pub text: String,
    /// Why.
    pub why: String,
    /// Until which day offices say what they think.
    pub until: String,
}

/// What an office says of a proposal.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CommentInput {
    /// `agree`, `change` or `against`.
    pub stance: String,
    /// In words.
    pub said: String,
}

/// A proposal, and what is said of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ProposalView {
    /// Which.
    #[schema(value_type = String)]
    pub id: RecordId,
    /// Who proposes it; none where this office does.
    pub from: Option<String>,
    /// The name of the agreement, and its version; none where this program cannot read it.
    #[schema(value_type = Option<Object>)]
    pub agreement: Option<(String, u16)>,
    /// What each of its figures would be called, by language.
    pub figures: Vec<BTreeMap<String, String>>,
    /// Codes that it would add: the list, and the label by language.
    #[schema(value_type = Vec<Object>)]
    pub codes: Vec<(String, BTreeMap<String, String>)>,
    /// Why it cannot be read here.
    pub problem: Option<String>,
    /// The text.
    pub text: String,
    /// Why it is proposed.
    pub why: String,
    /// Until which day offices say what they think.
    #[schema(value_type = String)]
    pub until: Day,
    /// Since when.
    #[schema(value_type = String)]
    pub at: Timestamp,
    /// Whether offices can still say something.
    pub is_open: bool,
    /// Whether the stewards signed exactly this text.
    pub is_signed: bool,
    /// What offices say, by name.
    pub comments: Vec<CommentView>,
    /// How many offices were asked; none of another's proposal.
    pub asked: Option<usize>,
}

impl ProposalView {
    /// How many offices say so.
    pub fn count(&self, stance: Stance) -> usize {
        self.comments.iter().filter(|comment| comment.stance == stance).count()
    }
}

/// What an office says of a proposal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct CommentView {
    /// The office's name.
    pub office: String,
    /// Whether it agrees.
    pub stance: Stance,
    /// In words.
    pub said: String,
    /// When.
    #[schema(value_type = String)]
    pub at: Timestamp,
}

impl Desk {
    fn sees_proposals(&self) -> Result<(), DeskError> {
        let sees = self.may(Ask::ApproveTable) || self.may(Ask::SeeCollected);
        if sees { Ok(()) } else { Err(DeskError::Denied(Denied)) }
    }

    /// Whether this account proposes something to the network: at a collector, who approves what leaves.
    pub fn may_propose(&self) -> bool {
        self.is_collector() && self.may(Ask::ApproveTable)
    }

    /// How many proposals wait for what this office says.
    pub(super) fn proposals_waiting(&self, tables: &Tables) -> usize {
        if !self.may(Ask::ApproveTable) {
            return 0;
        }
        let today = tables.zone.day(self.now());
        let waits = |one: &&Arc<Proposed>| one.from.is_some() && one.comments.is_empty() && one.proposal.until >= today;
        tables.proposals.values().filter(waits).count()
    }

    /// What is proposed, the latest first.
    ///
    /// # Errors
    /// When the account may not see it.
    pub fn proposals(&self) -> Result<Vec<ProposalView>, DeskError> {
        self.sees_proposals()?;
        let mut all: Vec<Arc<Proposed>> = self.office.index.read().proposals.values().cloned().collect();
        all.sort_by_key(|one| std::cmp::Reverse((one.at, one.id)));
        Ok(all.iter().map(|one| self.proposal_view(one)).collect())
    }

    /// One of them.
    ///
    /// # Errors
    /// When there is none, or the account may not see it.
    pub fn proposal(&self, id: RecordId) -> Result<ProposalView, DeskError> {
        self.sees_proposals()?;
        let one = self.office.index.read().proposals.get(&id).cloned().ok_or(DeskError::NotFound)?;
        Ok(self.proposal_view(&one))
    }

    fn proposal_view(&self, one: &Proposed) -> ProposalView {
        let directory = self.office.around.directory();
        let directory = directory.as_deref();
        let name = |office: &OfficeId| self.member_name(*office).unwrap_or_default();
        let text = &one.proposal.text;
        let (mut read, problems) = indicators::agreements(std::iter::once(text));
        let read = read.pop();
        let comment = |said: &Commented| CommentView {
            office: name(&said.office),
            stance: said.stance,
            said: said.said.clone(),
            at: said.at,
        };
        let mut comments: Vec<CommentView> = one.comments.iter().map(comment).collect();
        comments.sort_by(|one, other| one.office.cmp(&other.office));
        let hash = agreement_hash(text);
        let is_signed =
            directory.is_some_and(|directory| directory.roots().current().agreements.as_slice().contains(&hash));
        ProposalView {
            id: one.id,
            from: one.from.as_ref().map(name),
            agreement: read.as_ref().map(|read| (read.agreement.id.to_string(), read.agreement.version)),
            figures: read.iter().flat_map(|read| &read.agreement.indicators).map(|one| one.title.clone()).collect(),
            codes: read
                .iter()
                .flat_map(|read| &read.codes)
                .map(|code| (code.list.clone(), code.label.clone()))
                .collect(),
            problem: problems.into_iter().next(),
            text: text.to_string(),
            why: one.proposal.why.to_string(),
            until: one.proposal.until,
            at: one.at,
            is_open: !is_signed && one.proposal.until >= self.today(),
            is_signed,
            comments,
            asked: one.from.is_none().then(|| self.office.offices_to_ask().len()),
        }
    }

    /// Proposes a text to every office of the network.
    ///
    /// # Errors
    /// When the account may not, or what is proposed could not be agreed on.
    pub fn propose(&self, input: &ProposalInput) -> Result<RecordId, DeskError> {
        if !self.may_propose() {
            return Err(DeskError::Denied(Denied));
        }
        let mut problems = self.problems();
        let until = problems.required_day("until", &input.until);
        if until.is_some_and(|until| until < self.today()) {
            problems.add("until", "day-is-past");
        }
        let why = problems.required_text("why", &input.why, SAID_BYTES_MAX);
        // Browsers end lines in their own way; stewards sign the file.
        let typed = input.text.replace("\r\n", "\n");
        let text = problems.required_text("text", &typed, AGREEMENT_BYTES_MAX);
        let text = AgreementText::cut(&text);
        if !text.is_empty() {
            let holds =
                self.office.around.directory().map(|directory| indicators::agreements(directory.agreements()).0);
            let signed = indicators::changed(&holds.unwrap_or_default(), std::slice::from_ref(&text), &[]);
            signed.err().into_iter().for_each(|why| problems.with("text", "agreement-wrong", why));
        }
        let is_ours = |one: &Arc<Proposed>| one.from.is_none() && one.proposal.text == text;
        if self.office.index.read().proposals.values().any(is_ours) {
            problems.add("text", "proposal-known");
        }
        problems.done()?;
        let Some(until) = until else { return Err(DeskError::NotFound) };
        let proposal = Proposal { text, why: Text::cut(&why), until };
        let offices = self.office.offices_to_ask();
        let id = self.write("propose", move |tx| {
            let (id, at) = (tx.fresh_id(), tx.now());
            for to in offices {
                Outward::control(Control::proposal(to, proposal.clone())).queue(tx)?;
            }
            tx.insert(&Proposed { id, from: None, proposal, at, comments: Vec::new() })?;
            tx.about(id);
            Ok::<_, DeskError>(id)
        })?;
        self.office.release_outbox();
        Ok(id)
    }

    /// Says what this office thinks of a proposal; a later word takes the place of an earlier one.
    ///
    /// # Errors
    /// When the account may not, there is no such proposal of another, or it is over.
    pub fn comment(&self, id: RecordId, input: &CommentInput) -> Result<(), DeskError> {
        self.allow(Ask::ApproveTable)?;
        let known = self.office.index.read().proposals.get(&id).cloned().ok_or(DeskError::NotFound)?;
        let Some(from) = known.from else { return Err(DeskError::NotFound) };
        let mut problems = self.problems();
        let stance: Option<Stance> = problems.word("stance", &input.stance);
        let said = problems.text("said", &input.said, SAID_BYTES_MAX);
        if stance.is_some_and(|stance| stance != Stance::Agree) && said.is_empty() {
            problems.add("said", "required");
        }
        if known.proposal.until < self.today() {
            problems.add("stance", "proposal-over");
        }
        problems.done()?;
        let Some(stance) = stance else { return Err(DeskError::NotFound) };
        let office = self.office.keys.office;
        self.write("comment", move |tx| {
            let mut sealed = tx.get::<Proposed>(Proposed::TOP, id)?.ok_or(DeskError::NotFound)?;
            let (proposal, at) = (sealed.record.proposal.name(), tx.now());
            let comment = Comment { proposal, stance, said: Text::cut(&said), at };
            sealed.record.take(Commented { office, stance, said, at });
            Outward::control(Control::comment(from, comment)).queue(tx)?;
            tx.about(id);
            tx.update(&sealed.record, sealed.revision)?;
            Ok::<_, DeskError>(())
        })?;
        self.office.release_outbox();
        Ok(())
    }
}

impl Office {
    /// The other offices of the network that keep records.
    fn offices_to_ask(&self) -> Vec<OfficeId> {
        let Some(directory) = self.around.directory() else { return Vec::new() };
        let members = directory
            .members()
            .filter(|(office, member)| **office != self.keys.office && member.has_role(Role::Office));
        members.map(|(office, _)| *office).collect()
    }

    /// Takes what a coordinator proposes: somebody here says what the office thinks.
    pub(super) fn take_proposal(
        &self,
        directory: &Directory,
        from: OfficeId,
        proposal: Proposal,
        seen: RecordId,
    ) -> Result<Taken, DeskError> {
        // The card that says that it coordinates may come later.
        if !directory.member(&from).is_some_and(|member| member.has_role(Role::Collector)) {
            return Ok(self.until_news());
        }
        let (many, known, today) = {
            let tables = self.index.read();
            let theirs = || tables.proposals.values().filter(|one| one.from == Some(from));
            let known = theirs().find(|one| one.proposal.text == proposal.text).map(|one| one.id);
            (theirs().count(), known, tables.zone.day(self.around.clock.now()))
        };
        if known.is_none() && (many >= KEPT_MAX || proposal.until < today) {
            return Ok(Taken::Aside("a proposal that is over, or of an office that proposed very much"));
        }
        self.vault.write(None, "receive_proposal", move |tx| {
            let at = tx.now();
            tx.insert(&Seen { id: seen, at, set_aside: None })?;
            let row = known.map(|id| tx.get::<Proposed>(Proposed::TOP, id)).transpose()?.flatten();
            match row {
                // The same text with another day or reason.
                Some(mut row) => {
                    row.record.proposal = proposal;
                    tx.update(&row.record, row.revision)?;
                }
                None => {
                    let id = tx.fresh_id();
                    tx.insert(&Proposed { id, from: Some(from), proposal, at, comments: Vec::new() })?;
                }
            }
            Ok(Taken::Done)
        })
    }

    /// Takes what an office says of a proposal of ours.
    pub(super) fn take_comment(&self, from: OfficeId, comment: &Comment, seen: RecordId) -> Result<Taken, DeskError> {
        let ours = {
            let tables = self.index.read();
            let is_it = |one: &&Arc<Proposed>| one.from.is_none() && one.proposal.name() == comment.proposal;
            tables.proposals.values().find(is_it).map(|one| one.id)
        };
        let Some(id) = ours else { return Ok(Taken::Aside("a comment on a proposal that is not ours")) };
        let (stance, said, at) = (comment.stance, comment.said.to_string(), comment.at);
        self.vault.write(None, "receive_comment", move |tx| {
            tx.insert(&Seen { id: seen, at: tx.now(), set_aside: None })?;
            let mut sealed = tx.get::<Proposed>(Proposed::TOP, id)?.ok_or(DeskError::NotFound)?;
            // A clock that is ahead does not keep what is said later from counting.
            sealed.record.take(Commented { office: from, stance, said, at: at.min(tx.now()) });
            tx.update(&sealed.record, sealed.revision)?;
            Ok(Taken::Done)
        })
    }
}
