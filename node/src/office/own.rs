//! The client's own view of her record.

use super::{Desk, DeskError, LogRow, PersonView};
use crate::policy::Ask;
use crate::records::{Action, Tier};
use casemesh_protocol::id::RecordId;
use casemesh_protocol::terms::Value;
use casemesh_protocol::time::Day;
use serde::Serialize;
use utoipa::ToSchema;

/// Fields in which the person's own words stand.
const OWN_WORDS: &[&str] = &["client_words", "own_words"];
/// Looks at the record that are listed.
const LOOKS_MAX: usize = 50;

/// What a person may see of her record at once: without third persons, her own words first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct OwnView {
    /// Her record.
    pub person: PersonView,
    /// Her own words, the latest first.
    #[schema(value_type = Vec<Object>)]
    pub words: Vec<(Day, String)>,
    /// Who looked at her record, the latest first.
    pub looks: Vec<LogRow>,
}

impl Desk {
    /// What a person may see of her record at once: for the page that is turned towards her. What others are, said or
    /// wrote is left out.
    ///
    /// # Errors
    /// When there is no such person, or somebody who cares for them is a party in one of their cases: then a page that
    /// is turned round could be read by the wrong eyes.
    pub fn own_view(&self, id: RecordId) -> Result<OwnView, DeskError> {
        let mut person = self.person(id)?;
        if person.caregiver_is_party {
            return Err(DeskError::CaregiverIsParty);
        }
        self.note("own_view", person.id);
        let (records, cases): (Vec<RecordId>, Vec<RecordId>) = {
            let tables = self.office.index.read();
            // In a case of several clients nobody can tell whose words they are.
            let alone = |case: &RecordId| tables.cases.get(case).is_some_and(|row| row.clients.len() == 1);
            let cases = person.cases.iter().map(|case| case.id).filter(alone).collect();
            (tables.records_of(person.id), cases)
        };
        let mut words = Vec::new();
        for (record, is_case) in records.into_iter().map(|id| (id, false)).chain(cases.into_iter().map(|id| (id, true)))
        {
            let entries = self.office.vault.list::<Action>(record)?;
            let corrected: Vec<RecordId> = entries.iter().filter_map(|entry| entry.record.corrects).collect();
            let sees_tiers = !is_case || self.may(Ask::SeeTiers(self.relation_to(record).unwrap_or_default()));
            for entry in entries.into_iter().map(|entry| entry.record) {
                if corrected.contains(&entry.id) || (entry.tier != Tier::Normal && !sees_tiers) {
                    continue;
                }
                let said = OWN_WORDS.iter().filter_map(|field| match entry.answer(field) {
                    Some(Value::Text(text)) => Some((entry.on, text.clone())),
                    _ => None,
                });
                words.extend(said);
            }
        }
        words.sort_by(|a, b| b.cmp(a));
        let mut looks = self.history(super::HistoryOf::Person(person.id))?.looks;
        looks.truncate(LOOKS_MAX);
        for case in &mut person.cases {
            case.client = String::new();
            case.next_action = None;
            case.next_due = None;
        }
        person.links.clear();
        person.entries.clear();
        person.members.clear();
        person.barred.clear();
        person.alerts.clear();
        person.merged.clear();
        Ok(OwnView { person, words, looks })
    }
}
