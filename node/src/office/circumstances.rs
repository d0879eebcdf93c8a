//! What binds sharing beside the consent: whether the client came of age, whether who cares for a client is a party, and whom the
//! client never wants to know. Asked wherever the consent is asked.

use super::people::Problems;
use super::{Desk, DeskError, NeverView, Office};
use crate::index::Tables;
use crate::policy::Ask;
use crate::records::Person;
use crate::vault::Record;
use casemesh_protocol::bounded::List;
use casemesh_protocol::consent::{Circumstances, Permit};
use casemesh_protocol::directory::{Directory, OfficeKind};
use casemesh_protocol::id::{OfficeId, RecordId};
use casemesh_protocol::limits::LIST_MAX;
use casemesh_protocol::terms::{FieldGroup, Never};
use casemesh_protocol::time::{Day, Timestamp};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Childhood ends with the eighteenth birthday (Convention on the Rights of the Child, article 1).
pub(super) const OF_AGE: i16 = 18;
/// Age bands below that.
const CHILD_BANDS: [&str; 2] = ["0-8", "9-17"];
/// So many can be named.
const NEVER_MAX: usize = 16;

/// Who must never get anything about a person, as entered.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct NeverInput {
    /// Offices of the network.
    pub offices: Vec<String>,
    /// Kinds of offices: `police_unit` and so on.
    pub kinds: Vec<String>,
    /// People and offices by name, one a line.
    pub names: String,
}

/// Whether a person is known to be of age on a day.
pub(super) fn is_of_age(person: &Person, today: Day) -> bool {
    match (person.birth.value(), person.age_band.value()) {
        (Some(birth), _) => birth.age_on(today).is_some_and(|age| i32::from(age) >= i32::from(OF_AGE)),
        (None, Some(band)) => !CHILD_BANDS.contains(&band.code.as_str()),
        (None, None) => false,
    }
}

impl Office {
    /// What is true of a client and an addressee now. All cases of the client are looked at, whoever may see them.
    pub(super) fn circumstances(&self, person: &Person, to: OfficeId, name: &str) -> Circumstances {
        let directory = self.around.directory();
        around(&self.index.read(), directory.as_deref(), person, (to, name), self.around.clock.now())
    }
}

/// What is true of a client and an addressee at a time.
pub(super) fn around(
    tables: &Tables,
    directory: Option<&Directory>,
    person: &Person,
    (to, name): (OfficeId, &str),
    now: Timestamp,
) -> Circumstances {
    let kind = directory.and_then(|directory| Some(directory.member(&to)?.record.kind));
    Circumstances {
        is_never: person.never.iter().any(|never| never.bars(to, kind, name)),
        ..caring(tables, person, tables.zone.day(now))
    }
}

/// Whom a client rules out, as it goes along with a full packet: offices and kinds always, names of people only where the words of
/// the case may go as well.
pub(super) fn shared(never: &[Never], permit: &Permit) -> Option<List<Never, LIST_MAX>> {
    let names = permit.covers(FieldGroup::CaseBrief);
    let goes: Vec<Never> = never.iter().filter(|one| names || !matches!(one, Never::Named(_))).cloned().collect();
    List::new(goes).ok().filter(|never| never.iter().next().is_some())
}

/// What is true of a client, to whomever something would go.
pub(super) fn caring(tables: &Tables, person: &Person, today: Day) -> Circumstances {
    let cases: Vec<RecordId> = tables.all_cases_of(person.id).map(|case| case.id).collect();
    Circumstances {
        is_of_age: is_of_age(person, today),
        giver_is_party: super::family::cares_and_is_party(tables, person.id, &cases),
        is_never: false,
    }
}

impl Desk {
    /// Says who must never get anything about a person. It holds against every consent, and goes along with what is shared.
    ///
    /// # Errors
    /// When fields are wrong, or the account may not record consents.
    pub fn set_never(&self, person: RecordId, input: &NeverInput) -> Result<(), DeskError> {
        self.allow(Ask::RecordConsent)?;
        self.visible_person(person)?;
        let mut problems = self.problems();
        let never = read(&mut problems, input);
        if never.len() > NEVER_MAX {
            problems.with("names", "too-many-links", NEVER_MAX);
        }
        problems.done()?;
        let standing = self.office.index.read().standing(person);
        self.write("set_never", move |tx| {
            let mut sealed = tx.get::<Person>(Person::TOP, standing)?.ok_or(DeskError::NotFound)?;
            sealed.record.never = never;
            tx.about(standing);
            Ok(tx.update(&sealed.record, sealed.revision)?)
        })
    }

    pub(super) fn never_view(&self, never: &[Never]) -> NeverView {
        let directory = self.office.around.directory();
        let mut view = NeverView::default();
        for one in never {
            match one {
                Never::Office(office) => {
                    let member = directory.as_ref().and_then(|directory| directory.member(office));
                    let name = member.map_or_else(|| office.to_string(), |member| member.record.name.to_string());
                    view.offices.push((office.to_string(), name));
                }
                Never::Kind(kind) => view.kinds.push(kind.to_string()),
                Never::Named(name) => view.names.push(name.to_string()),
            }
        }
        view
    }
}

fn read(problems: &mut Problems, input: &NeverInput) -> Vec<Never> {
    let offices = input.offices.iter().filter_map(|office| problems.word("offices", office).map(Never::Office));
    let mut never: Vec<Never> = offices.collect();
    never.extend(input.kinds.iter().filter_map(|kind| problems.word::<OfficeKind>("kinds", kind).map(Never::Kind)));
    let names = input.names.lines().map(str::trim).filter(|name| !name.is_empty());
    never.extend(names.map(|name| Never::Named(problems.line("names", name))));
    never
}
