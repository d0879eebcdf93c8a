//! Codes that the network takes up into lists, from the day that its stewards said; and cases of before, found by their words, that
//! get such a code.

use super::offers::has_words;
use super::{CodeView, Desk, DeskError, FieldProblem, Office};
use crate::index::{CASE_LISTS, CaseRow};
use crate::indicators::{self, AgreedCode};
use crate::policy::Ask;
use crate::records::{Case, NetworkCode, NetworkCodes};
use crate::vault::Record;
use crate::vocabulary;
use casemesh_crypto::hash::Digest;
use casemesh_protocol::id::RecordId;
use casemesh_protocol::statistics::agreement_hash;
use casemesh_protocol::terms::{Code, FieldState};
use casemesh_protocol::time::Day;
use serde::Serialize;
use std::sync::PoisonError;
use utoipa::ToSchema;

/// So many cases are shown at once; the search is made again after some are done.
const FOUND_MAX: usize = 100;
/// So much of a text is shown.
const SHOWN_LETTERS: usize = 240;
/// Lists that tell of a person: no case gets a code of one in passing.
const OF_PERSONS: &[&str] = &["sex", "gender", "age_band", "nationality", "citizenship", "language", "identity"];

/// Whether a case can have a code of a list: what it is about, or a fact of a list that an office or a network made. Other lists are answers
/// to questions of their own.
fn is_of_cases(list: &str) -> bool {
    let is_ours = crate::codes::list(list).is_some() || CASE_LISTS.contains(&list) || OF_PERSONS.contains(&list);
    list == "case_type" || !is_ours
}

/// A case of before whose words were looked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct TagCandidate {
    /// Which.
    #[schema(value_type = String)]
    pub case: RecordId,
    /// Its number.
    pub number: String,
    /// Whose.
    pub client: String,
    /// When it was opened.
    #[schema(value_type = String)]
    pub opened: Day,
    /// What it is about now.
    pub case_type: Option<CodeView>,
    /// The text that holds the words.
    pub text: String,
}

/// Whether a case has a code: as its type, or among its facts.
fn has(case: &Case, code: &Code) -> bool {
    let is_it = |known: &Code| known.list == code.list && known.code == code.code;
    case.case_type.value().is_some_and(is_it) || case.facts.iter().any(is_it)
}

impl Office {
    /// Takes up the codes of the network's agreements, and offers those whose day has come.
    pub(super) fn adopt_codes(&self) -> Result<(), DeskError> {
        let Some(directory) = self.around.directory() else { return Ok(()) };
        let today = self.index.read().zone.day(self.around.clock.now());
        let now: (Vec<Digest>, Day) = (directory.agreements().map(agreement_hash).collect(), today);
        let mut adopted = self.adopted.lock().unwrap_or_else(PoisonError::into_inner);
        if adopted.as_ref() == Some(&now) {
            return Ok(());
        }
        // A text that is missing, or that this program cannot read, takes nothing away.
        let (agreed, problems) = indicators::agreements(directory.agreements());
        let is_whole = problems.is_empty() && now.0.len() == directory.roots().current().agreements.as_slice().len();
        let codes: Vec<AgreedCode> = agreed.into_iter().flat_map(|agreed| agreed.codes).collect();
        let known = self.vault.list::<NetworkCodes>(NetworkCodes::TOP)?.pop();
        let before: &[NetworkCode] = known.as_ref().map_or(&[], |known| known.record.codes.as_slice());
        if vocabulary::adopted(before, &codes, is_whole, today) != before {
            self.vault.write(None, "adopt_codes", move |tx| {
                let known = tx.list::<NetworkCodes>(NetworkCodes::TOP)?.pop();
                let before = known.as_ref().map_or(&[][..], |known| known.record.codes.as_slice());
                let codes = vocabulary::adopted(before, &codes, is_whole, today);
                match known {
                    Some(known) => tx.update(&NetworkCodes { id: known.record.id, codes }, known.revision)?,
                    None => tx.insert(&NetworkCodes { id: tx.fresh_id(), codes })?,
                }
                Ok::<_, DeskError>(())
            })?;
        }
        *adopted = Some(now);
        Ok(())
    }
}

impl Desk {
    /// Whether cases can get a code of that list by this account.
    pub fn may_tag(&self, list: &str) -> bool {
        is_of_cases(list) && self.may(Ask::OpenCase)
    }

    fn code_to_tag(&self, list: &str, code: &str) -> Result<Code, DeskError> {
        self.vocabulary().code(list, code).filter(|_| is_of_cases(list)).ok_or(DeskError::NotFound)
    }

    fn may_write(&self, tables: &crate::index::Tables, case: &CaseRow) -> bool {
        self.sees(tables, case) && self.may(Ask::WriteCase(self.relation_in(tables, case)))
    }

    /// Cases in whose summary or entries all of these words begin a word, and that do not have the code yet: the latest first, and whether
    /// there are more.
    ///
    /// # Errors
    /// When there is no such code that a case can have, or nothing is looked for.
    pub fn cases_to_tag(&self, list: &str, code: &str, words: &str) -> Result<(Vec<TagCandidate>, bool), DeskError> {
        self.allow(Ask::OpenCase)?;
        let code = self.code_to_tag(list, code)?;
        if crate::names::words(words).is_empty() {
            return Err(DeskError::Invalid(vec![FieldProblem::new("words", "required")]));
        }
        let mut all: Vec<(Day, RecordId)> = {
            let tables = self.office.index.read();
            let own = tables.cases.values().filter(|case| self.may_write(&tables, case));
            own.map(|case| (case.opened, case.id)).collect()
        };
        all.sort_unstable_by(|one, other| other.cmp(one));
        let mut found = Vec::new();
        for (opened, id) in all {
            let Some(sealed) = self.office.vault.get::<Case>(Case::TOP, id)? else { continue };
            let case = sealed.record;
            if has(&case, &code) {
                continue;
            }
            // Entries are read only where the summary does not say it.
            let text = match has_words(words, &[&case.summary]) {
                true => Some(case.summary),
                false => {
                    let entries = self.case_entries(id)?.into_iter().filter(|entry| !entry.void);
                    entries.map(|entry| entry.text).find(|text| has_words(words, &[text]))
                }
            };
            let Some(text) = text else { continue };
            if found.len() == FOUND_MAX {
                return Ok((found, true));
            }
            let tables = self.office.index.read();
            let Some(row) = tables.cases.get(&id) else { continue };
            let summary = self.summary(&tables, row);
            // Whose text was shown is in the log, and what was looked for is not.
            self.office.vault.note(Some(self.actor.staff), "cases_to_tag", Some(id));
            found.push(TagCandidate {
                case: id,
                number: summary.number,
                client: summary.client,
                opened,
                case_type: summary.case_type,
                text: text.chars().take(SHOWN_LETTERS).collect(),
            });
        }
        Ok((found, false))
    }

    /// Gives cases a code: as their type, or as a fact beside it. Nothing else of them changes; what they were is in their history.
    ///
    /// # Errors
    /// When there is no such code that a case can have, or the account may not write in one of the cases.
    pub fn tag_cases(&self, list: &str, code: &str, cases: &[RecordId]) -> Result<usize, DeskError> {
        self.allow(Ask::OpenCase)?;
        let code = self.code_to_tag(list, code)?;
        if cases.is_empty() {
            return Err(DeskError::Invalid(vec![FieldProblem::new("cases", "case-needed")]));
        }
        cases.iter().try_for_each(|case| self.may_in_case(*case, Ask::WriteCase).map(drop))?;
        let mut done = 0;
        for id in cases.iter().take(FOUND_MAX).copied() {
            let (desk, code) = (self.clone(), code.clone());
            let is_new = self.write("tag_case", move |tx| {
                let mut sealed = tx.get::<Case>(Case::TOP, id)?.ok_or(DeskError::NotFound)?;
                let relation = desk.relation_at(tx, &sealed.record)?;
                desk.actor.may(Ask::WriteCase(relation))?;
                let case = &mut sealed.record;
                if has(case, &code) {
                    return Ok(false);
                }
                match code.list.as_str() {
                    "case_type" => case.case_type = FieldState::Known(code),
                    _ => case.facts.push(code),
                }
                tx.about(id);
                tx.update(&sealed.record, sealed.revision)?;
                Ok::<_, DeskError>(true)
            })?;
            done += usize::from(is_new);
        }
        Ok(done)
    }
}
