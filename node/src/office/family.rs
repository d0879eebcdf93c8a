//! Families and groups: relations between registered persons, one intake for a family, and the roll of a group.

use super::cases::{NewCase, new_case, parse_next};
use super::entries::TEXT_BYTES_MAX;
use super::people::{FieldInput, PersonInput, Problems, apply};
use super::{CaseInput, CodeView, Desk, DeskError, Field, FieldProblem, LinkView, MemberView};
use crate::index::Tables;
use crate::policy::Ask;
use crate::records::{Link, Member, Person};
use crate::vault::Record;
use casemesh_protocol::id::RecordId;
use casemesh_protocol::terms::{Currency, FieldState, Money};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// People of one family that are taken in at a time.
pub const FAMILY_MAX: usize = 20;
/// Longest name on a roll.
const NAME_BYTES_MAX: usize = 400;

/// A relation as entered.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LinkInput {
    /// The other person.
    pub person: String,
    /// What the other is to this person: code of the list `relation`.
    pub relation: String,
    /// Whether they live together: yes, no, or what is known of it.
    pub lives_together: FieldInput,
    /// Whether the other cares for this person.
    pub is_caregiver: bool,
}

/// A family as it comes through the door: the first is whom the others are related to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct FamilyInput {
    /// The people.
    pub people: Vec<FamilyPerson>,
    /// The case that they have together; none is opened when it has no type and no summary.
    pub case: CaseInput,
}

/// One of a family.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct FamilyPerson {
    /// The person.
    pub person: PersonInput,
    /// What this person is to the first; empty for the first.
    pub relation: String,
    /// Whether this person cares for the first.
    pub is_caregiver: bool,
    /// Whether the case is theirs too.
    pub is_client: bool,
}

/// A member of a group as entered.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct MemberInput {
    /// The member to change; empty for a new one.
    pub member: String,
    /// The revision that was read.
    pub revision: u64,
    /// The person, if registered.
    pub person: String,
    /// The name.
    pub name: String,
    /// Telephone.
    pub telephone: String,
    /// Whether the member speaks for the group.
    pub speaks: bool,
    /// Whether the member agreed to what the group does: yes, no, or what is known of it.
    pub agreed: FieldInput,
    /// Code of the list `closure_reason`.
    pub outcome: String,
    /// How much the member got, in the office's currency unless another is written behind it.
    pub amount: String,
}

fn yes_no(problems: &mut Problems, field: &str, input: &FieldInput) -> FieldState<bool> {
    problems.field_to(field, input, 8, |problems, value| match value {
        "yes" => Some(true),
        "no" => Some(false),
        other => {
            problems.with(field, "unknown-value", other);
            None
        }
    })
}

fn said(state: &FieldState<bool>) -> Field {
    let code = state.value().map(|yes| if *yes { "yes" } else { "no" }.to_owned());
    let list = code.is_some().then(|| "yes_no".to_owned());
    Field { state: state.word().into(), value: code.clone(), code, list }
}

/// An amount as entered, in a currency unless another is written behind it.
pub(super) fn money_of(problems: &mut Problems, field: &str, text: &str, currency: Currency) -> Option<Money> {
    let text = crate::names::ascii_digits(text.trim());
    let (amount, currency) = match text.rsplit_once(' ') {
        Some((amount, written)) => (amount.to_owned(), written.to_uppercase().parse().ok()),
        None => (text.clone(), Some(currency)),
    };
    let money = currency.and_then(|currency| Money::parse(&amount, currency).ok());
    if money.is_none() {
        problems.with(field, "not-an-amount", &text);
    }
    money
}

impl Desk {
    /// Writes down what another registered person is to this one.
    ///
    /// # Errors
    /// When fields are wrong, or one of the persons does not exist for this account.
    pub fn add_link(&self, person: RecordId, input: &LinkInput) -> Result<RecordId, DeskError> {
        self.allow(Ask::KeepPeople)?;
        self.visible_person(person)?;
        let mut problems = self.problems();
        let other: Option<RecordId> = problems.word("person", &input.person);
        let relation = problems.code("relation", "relation", &input.relation);
        let lives_together = yes_no(&mut problems, "lives_together", &input.lives_together);
        problems.done()?;
        let (Some(other), Some(relation)) = (other, relation) else { return Err(DeskError::NotFound) };
        self.visible_person(other)?;
        let (person, other) = {
            let tables = self.office.index.read();
            (tables.standing(person), tables.standing(other))
        };
        if person == other {
            return Err(DeskError::Invalid(vec![FieldProblem::new("person", "same-person")]));
        }
        let is_caregiver = input.is_caregiver;
        self.write("add_link", move |tx| {
            let from = tx.get::<Person>(Person::TOP, person)?.ok_or(DeskError::NotFound)?.record.reference();
            let to = tx.get::<Person>(Person::TOP, other)?.ok_or(DeskError::NotFound)?.record.reference();
            let (id, by, at) = (tx.fresh_id(), tx.staff(), tx.now());
            tx.insert(&Link { id, from, to, relation, lives_together, is_caregiver, ended: None, by, at })?;
            tx.about(person);
            Ok(id)
        })
    }

    /// Says that a relation ended today.
    ///
    /// # Errors
    /// When there is no such relation for this account.
    pub fn end_link(&self, person: RecordId, link: RecordId) -> Result<(), DeskError> {
        self.allow(Ask::KeepPeople)?;
        self.visible_person(person)?;
        let records = self.office.index.read().records_of(person);
        self.write("end_link", move |tx| {
            let mut sealed = tx.get::<Link>(Link::TOP, link)?.ok_or(DeskError::NotFound)?;
            if !records.contains(&sealed.record.from.id) && !records.contains(&sealed.record.to.id) {
                return Err(DeskError::NotFound);
            }
            sealed.record.ended = Some(super::today(tx)?);
            tx.about(person);
            Ok(tx.update(&sealed.record, sealed.revision)?)
        })
    }

    /// Whether somebody who cares for a person has the name of a party in one of the person's cases.
    pub(super) fn caregiver_is_party(&self, tables: &Tables, person: RecordId) -> bool {
        let cases: Vec<RecordId> = self.cases_of(tables, person).into_iter().map(|case| case.id).collect();
        cares_and_is_party(tables, person, &cases)
    }

    pub(super) fn links(&self, tables: &Tables, person: RecordId) -> Vec<LinkView> {
        let view = |link: &Link| {
            let from_other = tables.standing(link.to.id) == person;
            let other = tables.standing(if from_other { link.from.id } else { link.to.id });
            let row = tables.persons.get(&other).filter(|_| self.sees_person(tables, other))?;
            Some(LinkView {
                id: link.id,
                person: other,
                name: row.name.clone(),
                relation: CodeView::from(&link.relation),
                from_other,
                lives_together: said(&link.lives_together),
                is_caregiver: link.is_caregiver,
                ended: link.ended,
            })
        };
        tables.links_of(person).filter_map(view).collect()
    }

    /// Takes a family in at once: its people, what each is to the first, and the case that they have together.
    ///
    /// # Errors
    /// When fields are wrong; nothing is saved then. A field is named with the number of its person: `2:given`.
    pub fn register_family(&self, input: FamilyInput) -> Result<(Vec<RecordId>, Option<RecordId>), DeskError> {
        self.allow(Ask::People)?;
        let opens = input.case != CaseInput::default();
        if opens {
            self.allow(Ask::OpenCase)?;
        }
        let mut problems = self.problems();
        if input.people.is_empty() || input.people.len() > FAMILY_MAX {
            problems.with("people", "family-size", FAMILY_MAX);
        }
        let mut relations = Vec::new();
        let words = self.vocabulary();
        let nobody = casemesh_crypto::shred::KeyHandle::new([0; 16]);
        for (at, one) in input.people.iter().enumerate() {
            let number = at + 1;
            let probe = &mut Person::unknown(RecordId::new([0; 16]), nobody, self.now(), None);
            if let Err(DeskError::Invalid(found)) = apply(probe, &one.person, &words) {
                for problem in found {
                    problems.with(&format!("{number}:{}", problem.field), &problem.problem, problem.detail);
                }
            }
            let field = format!("{number}:relation");
            relations.push(if at == 0 { None } else { problems.code(&field, "relation", &one.relation) });
        }
        let case_type = problems.optional_code("case_type", "case_type", &input.case.case_type);
        let forum = problems.optional_code("forum", "forum", &input.case.forum);
        let source = problems.optional_code("source", "case_source", &input.case.source);
        let summary = problems.text("summary", &input.case.summary, TEXT_BYTES_MAX);
        let next = parse_next(&mut problems, &input.case.next_action, &input.case.next_due);
        if opens && !input.people.iter().any(|one| one.is_client) {
            problems.add("people", "client-needed");
        }
        let owner = self.opener();
        if opens && input.case.sealed && owner.is_none() {
            problems.add("sealed", "seal-needs-owner");
        }
        problems.done()?;
        self.write("register_family", move |tx| {
            let mut people: Vec<Person> = Vec::with_capacity(input.people.len());
            for one in &input.people {
                let key = tx.new_person_key();
                let mut person = Person::unknown(tx.fresh_id(), key, tx.now(), tx.staff());
                apply(&mut person, &one.person, &words)?;
                tx.insert(&person)?;
                people.push(person);
            }
            let first = people.first().ok_or(DeskError::NotFound)?.reference();
            for ((person, one), relation) in people.iter().zip(&input.people).zip(relations) {
                let Some(relation) = relation else { continue };
                tx.insert(&Link {
                    id: tx.fresh_id(),
                    from: first,
                    to: person.reference(),
                    relation,
                    lives_together: FieldState::NotAsked,
                    is_caregiver: one.is_caregiver,
                    ended: None,
                    by: tx.staff(),
                    at: tx.now(),
                })?;
            }
            let clients = people.iter().zip(&input.people).filter(|(_, one)| one.is_client);
            let clients = clients.map(|(person, _)| person.reference()).collect();
            let case = if opens {
                let (opened, input) = (None, input.case);
                Some(new_case(tx, clients, NewCase { case_type, forum, source, summary, next, owner, opened, input })?)
            } else {
                tx.about(first.id);
                None
            };
            Ok((people.iter().map(|person| person.id).collect(), case))
        })
    }

    pub(super) fn members(&self, group: RecordId) -> Result<Vec<MemberView>, DeskError> {
        let members = self.office.vault.list::<Member>(group)?;
        let tables = self.office.index.read();
        let is_seen = |sealed: &crate::vault::Sealed<Member>| {
            sealed.record.person.is_none_or(|person| self.sees_person(&tables, person.id))
        };
        let view = |sealed: crate::vault::Sealed<Member>| MemberView {
            id: sealed.record.id,
            revision: sealed.revision,
            person: sealed.record.person.map(|person| tables.standing(person.id)),
            name: sealed.record.name,
            telephone: sealed.record.telephone,
            speaks: sealed.record.speaks,
            agreed: said(&sealed.record.agreed),
            outcome: sealed.record.outcome.as_ref().map(CodeView::from),
            amount: sealed.record.amount.map(|amount| amount.to_string()),
        };
        Ok(members.into_iter().filter(is_seen).map(view).collect())
    }

    /// Puts a member on the roll of a group, or changes one.
    ///
    /// # Errors
    /// When fields are wrong, it is no group, or somebody else changed the member meanwhile.
    pub fn set_member(&self, group: RecordId, input: &MemberInput) -> Result<RecordId, DeskError> {
        self.allow(Ask::KeepPeople)?;
        self.visible_person(group)?;
        let mut problems = self.problems();
        let optional = |problems: &mut Problems, field: &str, text: &str| -> Option<RecordId> {
            if text.is_empty() { None } else { problems.word(field, text) }
        };
        let member = optional(&mut problems, "member", &input.member);
        let person = optional(&mut problems, "person", &input.person);
        let name = problems.required_text("name", &input.name, NAME_BYTES_MAX);
        let telephone = problems.text("telephone", &input.telephone, NAME_BYTES_MAX);
        let agreed = yes_no(&mut problems, "agreed", &input.agreed);
        let outcome = problems.optional_code("outcome", "closure_reason", &input.outcome);
        let currency = self.office.settings().map(|settings| settings.currency).ok_or(DeskError::NotFound)?;
        let amount = match input.amount.trim() {
            "" => None,
            text => money_of(&mut problems, "amount", text, currency),
        };
        problems.done()?;
        if let Some(person) = person {
            self.visible_person(person)?;
        }
        let (speaks, revision, desk) = (input.speaks, input.revision, self.clone());
        self.write("set_member", move |tx| {
            let group = tx.get::<Person>(Person::TOP, group)?.ok_or(DeskError::NotFound)?.record;
            if !group.is_group {
                return Err(DeskError::Invalid(vec![FieldProblem::new("name", "no-group")]));
            }
            let person = match person {
                Some(person) => {
                    Some(tx.get::<Person>(Person::TOP, person)?.ok_or(DeskError::NotFound)?.record.reference())
                }
                None => None,
            };
            // Who changes a member keeps the person that the roll names.
            let stored = member.map(|member| tx.get::<Member>(group.id, member)).transpose()?.flatten();
            if member.is_some() && stored.is_none() {
                return Err(DeskError::NotFound);
            }
            let named = stored.and_then(|stored| stored.record.person);
            if let Some(named) = named {
                desk.visible_person(named.id)?;
            }
            let person = person.or(named);
            let (by, at) = (tx.staff(), tx.now());
            tx.about(group.id);
            let id = member.unwrap_or_else(|| tx.fresh_id());
            let record = Member {
                id,
                group: group.reference(),
                person,
                name,
                telephone,
                speaks,
                agreed,
                outcome,
                amount,
                by,
                at,
            };
            match member {
                Some(_) => tx.update(&record, revision)?,
                None => tx.insert(&record)?,
            }
            Ok(id)
        })
    }
}

/// Whether somebody who cares for a person has the name of a party in one of these cases.
pub(super) fn cares_and_is_party(tables: &Tables, person: RecordId, cases: &[RecordId]) -> bool {
    let caring = tables.links_of(person).filter(|link| link.is_caregiver && link.ended.is_none());
    let registered = caring.filter_map(|link| {
        let is_carer = tables.standing(link.from.id) == person;
        tables.persons.get(&tables.standing(if is_carer { link.to.id } else { link.from.id }))
    });
    let records = tables.records_of(person);
    let mut names = registered.map(|row| row.name.as_str()).chain(tables.entries.carers_of(&records));
    names.any(|name| tables.entries.parties_like(name).any(|party| cases.contains(&party.case)))
}
