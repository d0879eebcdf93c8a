//! Sharing without a consent: a supervisor decides it, for one office, on a ground that the law knows, with a reason, for a week. It
//! stands beside the client's consents as what it is, goes along with the packet, and somebody else looks at it afterwards.

use super::people::Problems;
use super::tasks::{NewTask, add_task, settle_from};
use super::{Desk, DeskError, FieldProblem};
use crate::index::Tables;
use crate::policy::{Actor, Ask};
use crate::records::{Case, Consent, Overriding, Reviewed, TaskKind, TaskTitle};
use crate::vault::{Record, VaultError};
use casemesh_protocol::bounded::{List, Text};
use casemesh_protocol::consent::{ConsentStatus, outside_office};
use casemesh_protocol::id::{OfficeId, RecordId};
use casemesh_protocol::terms::{ConsentGiver, ConsentMethod, ConsentTerms, FieldGroup, Ground, Line, Purpose};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// So long something may be shared on a ground other than consent; then it is decided anew.
const HOLDS_DAYS: u64 = 7;
/// Somebody looks at it within so many days.
const REVIEW_DAYS: i32 = 7;
/// Longest reason and finding.
const REASON_BYTES_MAX: usize = 4_000;

/// A decision to share without a consent, as entered.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct OverrideInput {
    /// With which office; empty for one without a node.
    pub to: String,
    /// The name of an office without a node.
    pub outside: String,
    /// Groups of fields that may go: no more than is needed.
    pub scope: Vec<String>,
    /// vital_interest, legal_duty, court_order or best_interest_of_child.
    pub ground: String,
    /// Why the client is not asked, or is not followed.
    pub reason: String,
    /// Whether everything may go at once, before the other office accepted.
    pub complete_now: bool,
}

impl Desk {
    /// Decides that something about the client of a case is shared with one office without a consent.
    ///
    /// # Errors
    /// When fields are wrong, or the account is no supervisor's.
    pub fn override_consent(&self, case: RecordId, input: &OverrideInput) -> Result<RecordId, DeskError> {
        self.may_in_case(case, Ask::Refer)?;
        self.allow(Ask::ApproveCases)?;
        let mut problems = self.problems();
        let outside = problems.line("outside", &input.outside);
        let to: Option<OfficeId> = match outside.is_empty() {
            true => problems.word("to", &input.to),
            false => Some(outside_office(outside.as_str())),
        };
        if !outside.is_empty() && !input.to.is_empty() {
            problems.add("outside", "asked-one");
        }
        if outside.is_empty() && to.is_some_and(|to| self.member_name(to).is_none()) {
            problems.add("to", "not-in-network");
        }
        let scope: Vec<FieldGroup> = input.scope.iter().filter_map(|word| problems.word("scope", word)).collect();
        if scope.is_empty() {
            problems.add("scope", "scope-needed");
        }
        let ground: Option<Ground> = problems.word("ground", &input.ground);
        let reason = problems.required_text("reason", &input.reason, REASON_BYTES_MAX);
        problems.done()?;
        let (Some(to), Some(ground)) = (to, ground) else { return Err(DeskError::NotFound) };
        let bounded = |_| DeskError::NotFound;
        let terms = ConsentTerms {
            purpose: Purpose::ShareForService,
            recipients: List::new(if outside.is_empty() { vec![to] } else { Vec::new() }).map_err(bounded)?,
            scope: List::new(scope).map_err(bounded)?,
            withheld: List::default(),
            given: self.now(),
            expires: self.now().plus_days(HOLDS_DAYS),
            method: ConsentMethod::NotGiven,
            giver: ConsentGiver::Person,
            language: Text::default(),
            outside: named(outside),
            child_view: None,
            given_by: None,
            complete_now: input.complete_now,
        };
        self.write_in_case("override_consent", case, move |tx, case| {
            let client = *case.clients.first().ok_or(DeskError::NotFound)?;
            let by = tx.staff().ok_or(DeskError::NotFound)?;
            let consent = Consent {
                id: tx.fresh_id(),
                person: client,
                terms,
                status: ConsentStatus::Overridden(ground),
                explained_by: None,
                at: tx.now(),
                overriding: Some(Overriding { by, reason, reviewed: None }),
            };
            tx.insert(&consent)?;
            let due = super::today(tx)?.plus_days(REVIEW_DAYS);
            let title = TaskTitle::Form("override_review".into());
            let new = NewTask { kind: TaskKind::Review, title, due };
            add_task(tx, Some(case.id), &super::cases::keys(&case.clients), new, None, Some(consent.id))?;
            Ok(consent.id)
        })
    }

    /// Says that one looked at a decision to share without a consent, and what one found. Somebody else than who decided, where
    /// there is another supervisor.
    ///
    /// # Errors
    /// When it is one's own and somebody else could look, was looked at before, or there is none for this account.
    pub fn review_override(&self, case: RecordId, consent: RecordId, finding: &str) -> Result<(), DeskError> {
        // Also where the case was handed over since.
        self.reach_case(case)?;
        self.allow(Ask::ApproveCases)?;
        let mut problems: Problems = self.problems();
        let finding = problems.required_text("finding", finding, REASON_BYTES_MAX);
        problems.done()?;
        let (me, has_other) = (self.actor.staff, self.has_other_supervisor(&self.office.index.read()));
        let clients = self.office.vault.get::<Case>(Case::TOP, case)?.ok_or(DeskError::NotFound)?.record.clients;
        let records = self.all_records(&clients);
        self.write("review_override", move |tx| {
            let found = records.iter().find_map(|id| tx.get::<Consent>(*id, consent).transpose());
            let mut sealed = found.transpose()?.ok_or(DeskError::NotFound)?;
            let overriding = sealed.record.overriding.as_mut().ok_or(DeskError::NotFound)?;
            if overriding.reviewed.is_some() {
                return Err(VaultError::Conflict.into());
            }
            if overriding.by == me && has_other {
                return Err(DeskError::Invalid(vec![FieldProblem::new("finding", "review-not-now")]));
            }
            overriding.reviewed = Some(Reviewed { at: tx.now(), by: me, finding });
            tx.about(case);
            tx.update(&sealed.record, sealed.revision)?;
            settle_from(tx, case, consent)
        })
    }

    pub(super) fn has_other_supervisor(&self, tables: &Tables) -> bool {
        let now = self.now();
        tables.staff.values().any(|member| {
            let (roles, small_office) = (member.roles.clone(), self.actor.small_office);
            let actor = Actor { staff: member.id, roles, small_office, in_team: false };
            member.id != self.actor.staff && member.is_in_use(now) && actor.may(Ask::ApproveCases).is_ok()
        })
    }
}

fn named(outside: Line) -> Option<List<Line, { casemesh_protocol::limits::LIST_MAX }>> {
    List::new(vec![outside]).ok().filter(|names| names.iter().all(|name| !name.is_empty()))
}
