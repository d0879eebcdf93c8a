//! The chain of what happened in a case: entries that follow from others, as a tree for each party.

use super::{ActionView, Desk, DeskError, PartyChain, Step};
use crate::names;
use casemesh_protocol::id::RecordId;
use std::collections::{BTreeMap, BTreeSet};

/// Fields of forms that name who it was about.
const PARTY_FIELDS: &[&str] = &["party_name", "provider"];
/// An entry is shown at most so far in: a longer chain goes on at the same edge.
const DEPTH_MAX: usize = 6;

/// Who an entry was about, if it says so.
fn party_of(entry: &ActionView) -> Option<String> {
    let answer = entry.answers.iter().find(|answer| PARTY_FIELDS.contains(&answer.field.as_str()))?;
    answer.value.value.clone().filter(|name| !name.trim().is_empty())
}

/// The entries of a case as trees: for each party, in order, each entry with what followed from it. An entry that was
/// corrected is left out; what followed from it follows from the one that corrects it. What names no party, and follows
/// from nothing that does, stands at the end under no name.
pub(super) fn chains(entries: Vec<ActionView>) -> Vec<PartyChain> {
    let stands_for: BTreeMap<RecordId, RecordId> =
        entries.iter().filter_map(|entry| Some((entry.id, entry.corrected_by?))).collect();
    let standing = |id: RecordId| {
        let next = |id: &RecordId| stands_for.get(id).copied();
        std::iter::successors(Some(id), next).take(entries.len() + 1).last().unwrap_or(id)
    };
    let current: BTreeMap<RecordId, &ActionView> =
        entries.iter().filter(|entry| entry.corrected_by.is_none()).map(|entry| (entry.id, entry)).collect();
    let mut followers: BTreeMap<RecordId, Vec<&ActionView>> = BTreeMap::new();
    let mut roots: Vec<&ActionView> = Vec::new();
    for entry in current.values() {
        match entry.follows.map(standing).filter(|before| *before != entry.id && current.contains_key(before)) {
            Some(before) => followers.entry(before).or_default().push(entry),
            None => roots.push(entry),
        }
    }
    let order = |entry: &&ActionView| (entry.on, entry.at, entry.id);
    roots.sort_by_key(order);
    followers.values_mut().for_each(|all| all.sort_by_key(order));
    let mut found: BTreeMap<Vec<String>, PartyChain> = BTreeMap::new();
    let mut shown: BTreeSet<RecordId> = BTreeSet::new();
    let mut walk = |root: &ActionView| {
        let mut steps: Vec<Step> = Vec::new();
        let mut party = None;
        let mut open = vec![(0, root)];
        while let Some((depth, entry)) = open.pop() {
            if !shown.insert(entry.id) {
                continue;
            }
            party = party.or_else(|| party_of(entry));
            steps.push(Step { depth: depth.min(DEPTH_MAX), entry: entry.clone() });
            let next = followers.get(&entry.id).into_iter().flatten().rev();
            open.extend(next.map(|next| (depth + 1, *next)));
        }
        if steps.is_empty() {
            return;
        }
        let name = party.unwrap_or_default();
        let key = names::words(&name);
        let chain = found.entry(key).or_insert_with(|| PartyChain { party: name, steps: Vec::new() });
        chain.steps.extend(steps);
    };
    roots.into_iter().for_each(&mut walk);
    // What follows from itself in a circle, which only a program can write, is not lost either.
    let mut left: Vec<&ActionView> = current.values().copied().collect();
    left.sort_by_key(order);
    left.into_iter().for_each(&mut walk);
    // What names no party comes first in that order and is shown last.
    let mut chains: Vec<PartyChain> = found.into_values().collect();
    if chains.first().is_some_and(|chain| chain.party.is_empty()) {
        chains.rotate_left(1);
    }
    chains
}

impl Desk {
    /// What happened in a case, as a tree for each party.
    ///
    /// # Errors
    /// When there is no such case for this account.
    pub fn case_chains(&self, case: RecordId) -> Result<Vec<PartyChain>, DeskError> {
        self.reach_case(case)?;
        self.note("view_case", case);
        Ok(chains(self.case_entries(case)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::office::{AnswerView, CodeView, Field};
    use crate::records::Tier;
    use casemesh_protocol::time::Timestamp;

    fn entry(id: u8, day: &str, party: &str, follows: Option<u8>) -> ActionView {
        let id_of = |id: u8| RecordId::new([id; 16]);
        let answer = AnswerView {
            field: "party_name".into(),
            value: Field { state: "known".into(), value: Some(party.into()), code: None, list: None },
        };
        ActionView {
            id: id_of(id),
            kind: CodeView { list: "form".into(), code: "letter".into(), label: "letter".into() },
            on: day.parse().unwrap(),
            text: String::new(),
            minutes: None,
            by: String::new(),
            at: Timestamp::from_ms(u64::from(id)),
            days_late: 0,
            form: None,
            answers: if party.is_empty() { Vec::new() } else { vec![answer] },
            follows: follows.map(id_of),
            corrects: None,
            corrected_by: None,
            tier: Tier::Normal,
            approval: None,
            grant: None,
            void: false,
        }
    }

    fn told(chains: &[PartyChain]) -> Vec<(String, Vec<(usize, u8)>)> {
        let steps = |chain: &PartyChain| {
            chain.steps.iter().map(|step| (step.depth, step.entry.id.as_bytes()[0])).collect::<Vec<_>>()
        };
        chains.iter().map(|chain| (chain.party.clone(), steps(chain))).collect()
    }

    #[test]
    fn letters_and_what_followed_stand_under_their_party() {
        let entries = vec![
            entry(1, "2026-01-01", "Mr Venter", None),
            entry(2, "2026-01-09", "", Some(1)),
            entry(3, "2026-01-10", "", Some(2)),
            entry(4, "2026-01-05", "", Some(1)),
            entry(5, "2026-01-02", "Labour office", None),
            entry(6, "2026-01-03", "", None),
            entry(7, "2026-02-01", "mr venter", None),
        ];
        assert_eq!(
            told(&chains(entries)),
            [
                ("Labour office".into(), vec![(0, 5)]),
                ("Mr Venter".into(), vec![(0, 1), (1, 4), (1, 2), (2, 3), (0, 7)]),
                (String::new(), vec![(0, 6)]),
            ]
        );
    }

    #[test]
    fn what_follows_a_corrected_entry_follows_its_correction_and_a_circle_ends() {
        let mut wrong = entry(1, "2026-01-01", "Mr Venter", None);
        wrong.corrected_by = Some(RecordId::new([2; 16]));
        let mut right = entry(2, "2026-01-01", "Mr Venter", None);
        right.corrects = Some(wrong.id);
        let chains_of = chains(vec![wrong, right, entry(3, "2026-01-05", "", Some(1))]);
        assert_eq!(told(&chains_of), [("Mr Venter".into(), vec![(0, 2), (1, 3)])]);
        let circle = vec![entry(1, "2026-01-01", "", Some(2)), entry(2, "2026-01-02", "", Some(1))];
        assert_eq!(told(&chains(circle)), [(String::new(), vec![(0, 1), (1, 2)])]);
    }
}
