//! What clients have in common: a party, a telephone, a home place, a route. It is found for who looks into patterns, among
//! the cases that they see, and never judged.

use super::{Desk, DeskError, SharedBy, SharedPerson};
use crate::index::{JourneyRow, Tables};
use crate::names;
use crate::policy::Ask;
use casemesh_protocol::id::RecordId;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use utoipa::ToSchema;

/// What so many share says nothing any more: the name of the town, the number of the office.
const SHARED_BY_MAX: usize = 20;
/// Groups that are shown.
const GROUPS_MAX: usize = 100;
/// Shortest telephone number.
const DIGITS_MIN: usize = 5;

/// What persons have in common, the more telling first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Shared {
    /// A telephone number, of a person or of a party.
    Telephone,
    /// A party whose name sounds alike.
    Party,
    /// A part of a journey, from place to place.
    Route,
    /// The home place.
    HomePlace,
}

impl Shared {
    /// The word for it in the catalogues.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Telephone => "telephone",
            Self::Party => "party",
            Self::Route => "route",
            Self::HomePlace => "home_place",
        }
    }
}

/// Who has what: by what it is and how it is compared, how it was written first, and the persons.
#[derive(Debug, Default)]
struct Groups(BTreeMap<(Shared, Vec<String>), (String, BTreeSet<RecordId>)>);

impl Groups {
    fn put(&mut self, shared: Shared, key: Vec<String>, written: &str, persons: impl IntoIterator<Item = RecordId>) {
        let mut persons = persons.into_iter().peekable();
        // What stands in a case that the asker does not see names no group.
        if key.iter().all(String::is_empty) || persons.peek().is_none() {
            return;
        }
        let group = self.0.entry((shared, key)).or_insert_with(|| (written.to_owned(), BTreeSet::new()));
        group.1.extend(persons);
    }
}

impl Desk {
    /// What clients of cases that this account sees have in common, the more telling first, and how many groups more there
    /// are than are shown. What more than twenty persons share is left out.
    ///
    /// # Errors
    /// When the account may not look for links.
    pub fn find_links(&self) -> Result<(Vec<SharedBy>, usize), DeskError> {
        self.allow(Ask::FindLinks)?;
        self.note_act("find_links");
        let tables = self.office.index.read();
        let groups = self.groups(&tables);
        let person = |id: &RecordId| {
            let cases = tables.all_cases_of(*id).filter(|case| self.sees(&tables, case));
            SharedPerson {
                person: *id,
                name: tables.persons.get(id).map(|row| row.name.clone()).unwrap_or_default(),
                cases: cases.map(|case| (case.id, case.number.to_string())).collect(),
            }
        };
        let telling = groups.0.into_iter().filter(|(_, (_, persons))| (2..=SHARED_BY_MAX).contains(&persons.len()));
        let mut found: Vec<_> = telling.collect();
        found.sort_by_key(|((shared, key), (_, persons))| (*shared, std::cmp::Reverse(persons.len()), key.clone()));
        let more = found.len().saturating_sub(GROUPS_MAX);
        let view = |((shared, _), (written, persons)): (_, (String, BTreeSet<RecordId>))| SharedBy {
            shared,
            what: written,
            persons: persons.iter().map(person).collect(),
        };
        Ok((found.into_iter().take(GROUPS_MAX).map(view).collect(), more))
    }

    fn groups(&self, tables: &Tables) -> Groups {
        let mut groups = Groups::default();
        let seen_clients = |case: RecordId| -> Vec<RecordId> {
            let case = tables.cases.get(&case).filter(|case| self.sees(tables, case));
            let clients = case.into_iter().flat_map(|case| &case.clients).map(|client| tables.standing(*client));
            clients.filter(|client| self.sees_person(tables, *client)).collect()
        };
        for party in tables.entries.parties() {
            let clients = seen_clients(party.case);
            if party.telephone.len() >= DIGITS_MIN {
                let key = vec![party.telephone.clone()];
                groups.put(Shared::Telephone, key, &party.telephone, clients.iter().copied());
            }
            groups.put(Shared::Party, party.sound.clone(), &party.name, clients);
        }
        for row in tables.persons.values() {
            let id = tables.standing(row.person.id);
            let is_asked = row.telephone().len() >= DIGITS_MIN || !row.area().is_empty();
            if !is_asked || !self.sees_person(tables, id) {
                continue;
            }
            if row.telephone().len() >= DIGITS_MIN {
                groups.put(Shared::Telephone, vec![row.telephone().to_owned()], row.telephone(), [id]);
            }
            groups.put(Shared::HomePlace, names::words(row.area()), row.area(), [id]);
        }
        let mut journeys: HashMap<RecordId, Vec<&JourneyRow>> = HashMap::new();
        for place in tables.entries.journeys() {
            journeys.entry(place.case).or_default().push(place);
        }
        for (case, mut places) in journeys {
            let Some(row) = tables.cases.get(&case) else { continue };
            places.retain(|place| self.sees_tier(tables, row, place.tier));
            places.sort_by_key(|place| place.on);
            let clients = seen_clients(case);
            for (from, to) in places.iter().zip(places.iter().skip(1)) {
                let key = [&from.place, &to.place].map(|place| names::words(place).join(" ")).to_vec();
                let written = format!("{} → {}", from.place, to.place);
                groups.put(Shared::Route, key, &written, clients.iter().copied());
            }
        }
        groups
    }
}
