//! What entries say beyond their page: parties, alerts, confirmations, grants, journeys, stays. Entries come in any order
//! when the office opens; one that corrects another takes its place.

use super::shared::Shared;
use super::skeletons;
use crate::names;
use crate::records::{Action, Tier};
use crate::zone::Zone;
use casemesh_protocol::id::{RecordId, StaffId};
use casemesh_protocol::terms::{Code, Money, Value};
use casemesh_protocol::time::{Day, Timestamp};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

/// An entry is followed through so many corrections.
const CORRECTIONS_MAX: usize = 64;
/// An entry that was written down more than so many days after its day is late.
const LATE_DAYS: i32 = 3;

/// An entry, as figures see it: what can be counted of it, and no word that somebody wrote.
#[derive(Debug, Clone)]
pub struct EntryRow {
    /// The case or person that it belongs to; the top for the office's own.
    pub about: RecordId,
    /// Its day.
    pub on: Day,
    /// When it was written.
    pub at: Timestamp,
    /// When it was first written: a correction of it was not late.
    pub written: Timestamp,
    /// What kind; of a form, the form.
    pub kind: Arc<Code>,
    /// How many minutes it took.
    pub minutes: Option<u16>,
    /// For whom it is.
    pub tier: Tier,
    /// The grant that it is counted for.
    pub grant: Option<RecordId>,
    /// Whether somebody here wrote it; what another office or an import brought was not late here.
    pub is_ours: bool,
    answers: Box<[(Arc<str>, Said)]>,
}

/// What can be counted of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said {
    /// A code; yes and no are codes of `yes_no`.
    Code(Arc<Code>),
    /// A number.
    Number(i64),
    /// Money.
    Money(Money),
    /// Something in words.
    Words,
}

impl EntryRow {
    /// What was said in a field of its form.
    pub fn said(&self, field: &str) -> Option<&Said> {
        self.answers.iter().find(|(name, _)| name.as_ref() == field).map(|(_, said)| said)
    }

    /// The code that was said in a field.
    pub fn code(&self, field: &str) -> Option<&Code> {
        match self.said(field) {
            Some(Said::Code(code)) => Some(code),
            _ => None,
        }
    }

    /// The number that was said in a field.
    pub fn number(&self, field: &str) -> Option<i64> {
        match self.said(field) {
            Some(Said::Number(number)) => Some(*number),
            _ => None,
        }
    }

    /// The money that was said in a field.
    pub fn money(&self, field: &str) -> Option<Money> {
        match self.said(field) {
            Some(Said::Money(money)) => Some(*money),
            _ => None,
        }
    }

    /// Whether it is one of that form.
    pub fn is_of(&self, form: &str) -> bool {
        self.kind.list.as_str() == Action::FORM_LIST && self.kind.code.as_str() == form
    }
}

/// A party of a case, as the conflict check sees it.
#[derive(Debug, Clone)]
pub struct PartyRow {
    /// In which case.
    pub case: RecordId,
    /// The name.
    pub name: String,
    /// The digits of the telephone.
    pub telephone: String,
    /// How the name sounds.
    pub sound: Vec<String>,
}

/// What stands on a person's page before everything else.
#[derive(Debug, Clone)]
pub struct AlertRow {
    /// About whom.
    pub person: RecordId,
    /// What kind.
    pub kind: Option<Code>,
    /// What it says.
    pub text: String,
}

/// What was confirmed about a person, and when.
#[derive(Debug, Clone)]
struct ConfirmedRow {
    person: RecordId,
    what: String,
    on: Day,
}

/// A place on a journey.
#[derive(Debug, Clone)]
pub struct JourneyRow {
    /// In which case.
    pub case: RecordId,
    /// The place, as written.
    pub place: String,
    /// When it was reached, if known; else the day of the entry.
    pub on: Day,
    /// For whom the entry is.
    pub tier: Tier,
}

/// A stay that began.
#[derive(Debug, Clone)]
struct StayRow {
    case: RecordId,
    place: String,
    arrived: Day,
    tier: Tier,
}

/// A stay that ended.
#[derive(Debug, Clone)]
struct StayEndRow {
    case: RecordId,
    follows: Option<RecordId>,
    left: Day,
}

/// A place that the office has, and how many can stay there.
#[derive(Debug, Clone)]
struct PlaceRow {
    name: String,
    places: u32,
    on: Day,
}

/// How full a place is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Occupied {
    /// What the place is called.
    pub name: String,
    /// How many can stay there; none where nobody wrote it down.
    pub places: Option<u32>,
    /// How many stay there.
    pub taken: u32,
}

/// An entry that was written down late.
#[derive(Debug, Clone, Copy)]
pub struct LateRow {
    /// What it belongs to.
    pub about: RecordId,
    /// Who wrote it.
    pub by: Option<StaffId>,
    /// The day it is of.
    on: Day,
    /// When it was written.
    written: Timestamp,
}

/// What entries say.
#[derive(Debug, Default)]
pub struct Entries {
    /// Entries that others correct, and by which.
    corrected: HashMap<RecordId, RecordId>,
    parties: HashMap<RecordId, PartyRow>,
    parties_of: HashMap<RecordId, BTreeSet<RecordId>>,
    parties_by_sound: HashMap<Vec<String>, BTreeSet<RecordId>>,
    /// What can be counted of each.
    rows: HashMap<RecordId, EntryRow>,
    codes: Shared<Code>,
    fields: Shared<str>,
    /// Entries that are counted for a grant, by the grant.
    granted: BTreeSet<(RecordId, RecordId)>,
    /// Alerts about persons, by the entry that says so.
    pub alerts: BTreeMap<RecordId, AlertRow>,
    confirmed: HashMap<RecordId, ConfirmedRow>,
    journeys: BTreeMap<RecordId, JourneyRow>,
    stays: HashMap<RecordId, StayRow>,
    stay_ends: HashMap<RecordId, StayEndRow>,
    places: HashMap<RecordId, PlaceRow>,
    late: HashMap<RecordId, LateRow>,
    /// Who cares for whom, where only the name is known.
    carers: HashMap<RecordId, (RecordId, String)>,
}

fn text(action: &Action, field: &str) -> Option<String> {
    match action.answer(field) {
        Some(Value::Text(text)) => Some(text.clone()),
        _ => None,
    }
}

fn code(action: &Action, field: &str) -> Option<Code> {
    match action.answer(field) {
        Some(Value::Code(code)) => Some(code.clone()),
        _ => None,
    }
}

fn day(action: &Action, field: &str) -> Option<Day> {
    match action.answer(field) {
        Some(Value::Day(day)) => Some(*day),
        _ => None,
    }
}

impl Entries {
    /// Takes up an entry.
    pub(super) fn put(&mut self, action: &Action) {
        // When it was first written, and whether here.
        let mut first = (action.at, action.by.is_some());
        if let Some(corrected) = action.corrects {
            let known = self.rows.get(&corrected).map(|row| (row.written, row.is_ours));
            first = known.filter(|known| known.0 <= first.0).unwrap_or(first);
            self.remove(corrected);
            self.corrected.insert(corrected, action.id);
        }
        // When the office opens, entries come in any order: the later one may have been seen already.
        if self.corrected.contains_key(&action.id) || action.void {
            let standing = self.standing(action.id);
            if let Some(row) = self.rows.get_mut(&standing).filter(|row| first.0 < row.written) {
                (row.written, row.is_ours) = first;
            }
            return;
        }
        self.put_row(action, first);
        // In some zones it is a day later than in UTC.
        if action.by.is_some() && action.corrects.is_none() && action.on.days_to(action.at.day()) >= LATE_DAYS {
            let row = LateRow { about: action.about, by: action.by, on: action.on, written: action.at };
            self.late.insert(action.id, row);
        }
        match action.form.as_ref().map(|(form, _)| form.as_str()) {
            Some("party") => self.put_party(action),
            Some("relation") if action.answer("is_caregiver") == Some(&Value::YesNo(true)) => {
                if let Some(name) = text(action, "relative_name") {
                    self.carers.insert(action.id, (action.about, name));
                }
            }
            Some("alert") => {
                let text = text(action, "alert_text").unwrap_or_default();
                let row = AlertRow { person: action.about, kind: code(action, "alert_kind"), text };
                self.alerts.insert(action.id, row);
            }
            Some("confirmed") => {
                if let Some(what) = code(action, "confirmed_what") {
                    let row = ConfirmedRow { person: action.about, what: what.code.to_string(), on: action.on };
                    self.confirmed.insert(action.id, row);
                }
            }
            Some("journey") => {
                if let Some(place) = text(action, "place") {
                    let on = day(action, "arrived_on").unwrap_or(action.on);
                    let row = JourneyRow { case: action.about, place, on, tier: action.tier };
                    self.journeys.insert(action.id, row);
                }
            }
            Some("stay") => {
                if let Some(place) = text(action, "stay_place") {
                    let arrived = day(action, "arrived_on").unwrap_or(action.on);
                    let row = StayRow { case: action.about, place, arrived, tier: action.tier };
                    self.stays.insert(action.id, row);
                }
            }
            Some("stay_end") => {
                let left = day(action, "left_on").unwrap_or(action.on);
                self.stay_ends.insert(action.id, StayEndRow { case: action.about, follows: action.follows, left });
            }
            Some("place") => {
                let places = match action.answer("places") {
                    Some(Value::Number(places)) => u32::try_from(*places).unwrap_or(0),
                    _ => 0,
                };
                if let Some(name) = text(action, "stay_place") {
                    self.places.insert(action.id, PlaceRow { name, places, on: action.on });
                }
            }
            _ => {}
        }
    }

    fn put_row(&mut self, action: &Action, (written, is_ours): (Timestamp, bool)) {
        let one = |code: &Code| Arc::new(code.clone());
        let said = |value: &Value, codes: &mut Shared<Code>| match value {
            Value::Code(code) => Some(Said::Code(codes.of(code, one))),
            Value::YesNo(is) => {
                let word = if *is { "yes" } else { "no" };
                Code::new("yes_no", 1, word, word).ok().map(|code| Said::Code(codes.of(&code, one)))
            }
            Value::Number(number) => Some(Said::Number(*number)),
            Value::Money(money) => Some(Said::Money(*money)),
            Value::Text(text) => (!text.trim().is_empty()).then_some(Said::Words),
            Value::Day(_) => None,
        };
        let mut answers = Vec::new();
        for answer in &action.answers {
            let said = answer.value.value().and_then(|value| said(value, &mut self.codes));
            answers.extend(said.map(|said| (self.fields.of(&answer.field, |field| field.into()), said)));
        }
        let row = EntryRow {
            about: action.about,
            on: action.on,
            at: action.at,
            written,
            is_ours,
            kind: self.codes.of(&action.kind, one),
            minutes: action.minutes,
            tier: action.tier,
            grant: action.grant,
            answers: answers.into(),
        };
        self.granted.extend(action.grant.map(|grant| (grant, action.id)));
        self.rows.insert(action.id, row);
    }

    fn put_party(&mut self, action: &Action) {
        let Some(name) = text(action, "party_name") else { return };
        let sound = skeletons(&name);
        let telephone = text(action, "telephone").map(|text| names::digits(&text)).unwrap_or_default();
        self.parties_of.entry(action.about).or_default().insert(action.id);
        self.parties_by_sound.entry(sound.clone()).or_default().insert(action.id);
        self.parties.insert(action.id, PartyRow { case: action.about, name, telephone, sound });
    }

    /// Forgets an entry.
    pub(super) fn remove(&mut self, id: RecordId) {
        if let Some(row) = self.parties.remove(&id) {
            if self.parties_of.get_mut(&row.case).is_some_and(|ids| ids.remove(&id) && ids.is_empty()) {
                self.parties_of.remove(&row.case);
            }
            if self.parties_by_sound.get_mut(&row.sound).is_some_and(|ids| ids.remove(&id) && ids.is_empty()) {
                self.parties_by_sound.remove(&row.sound);
            }
        }
        self.alerts.remove(&id);
        self.confirmed.remove(&id);
        if let Some(grant) = self.rows.remove(&id).and_then(|row| row.grant) {
            self.granted.remove(&(grant, id));
        }
        self.journeys.remove(&id);
        self.stays.remove(&id);
        self.stay_ends.remove(&id);
        self.places.remove(&id);
        self.late.remove(&id);
        self.carers.remove(&id);
    }

    /// The entries that are counted for a grant: what each belongs to, and its day.
    pub fn granted_to(&self, grant: RecordId) -> impl Iterator<Item = (RecordId, Day)> {
        let all = (grant, RecordId::new([0; 16]))..=(grant, RecordId::new([u8::MAX; 16]));
        self.granted.range(all).filter_map(|(_, id)| self.rows.get(id)).map(|row| (row.about, row.on))
    }

    /// What can be counted of all that stand.
    pub fn rows(&self) -> impl Iterator<Item = &EntryRow> {
        self.rows.values()
    }

    /// When something about a person was last confirmed, in any of the records that are theirs.
    pub fn last_confirmed(&self, records: &[RecordId], what: &str) -> Option<Day> {
        let rows = self.confirmed.values().filter(|row| records.contains(&row.person) && row.what == what);
        rows.map(|row| row.on).max()
    }

    /// Names of those who care for a person and are not registered.
    pub fn carers_of(&self, records: &[RecordId]) -> impl Iterator<Item = &str> {
        let rows = self.carers.values().filter(|(person, _)| records.contains(person));
        rows.map(|(_, name)| name.as_str())
    }

    /// The parties of a case.
    pub fn parties_of(&self, case: RecordId) -> impl Iterator<Item = &PartyRow> {
        self.parties_of.get(&case).into_iter().flatten().filter_map(|id| self.parties.get(id))
    }

    /// Parties of any case whose name sounds like this one.
    pub fn parties_like(&self, name: &str) -> impl Iterator<Item = &PartyRow> {
        let sound = Some(skeletons(name)).filter(|sound| !sound.is_empty());
        let ids = sound.and_then(|sound| self.parties_by_sound.get(&sound));
        ids.into_iter().flatten().filter_map(|id| self.parties.get(id))
    }

    /// All parties.
    pub fn parties(&self) -> impl Iterator<Item = &PartyRow> {
        self.parties.values()
    }

    /// All places on journeys.
    pub fn journeys(&self) -> impl Iterator<Item = &JourneyRow> {
        self.journeys.values()
    }

    /// Entries that were written down late, and the day when each was written.
    pub fn late(&self, zone: &Zone) -> impl Iterator<Item = (&LateRow, Day)> {
        let dated = self.late.values().map(|late| (late, zone.day(late.written)));
        dated.filter(|(late, written)| late.on.days_to(*written) > LATE_DAYS)
    }

    /// How full each place is on a day: those that the office wrote down, where everybody counts, and other places of stays
    /// that the asker may see.
    pub fn occupied(&self, today: Day, is_seen: impl Fn(RecordId, Tier) -> bool) -> Vec<Occupied> {
        let mut found: BTreeMap<Vec<String>, Occupied> = BTreeMap::new();
        let mut latest: HashMap<Vec<String>, (Day, RecordId)> = HashMap::new();
        for (id, place) in &self.places {
            let key = names::words(&place.name);
            let newest = latest.entry(key.clone()).or_insert((place.on, *id));
            if *newest <= (place.on, *id) {
                *newest = (place.on, *id);
                found.insert(key, Occupied { name: place.name.clone(), places: Some(place.places), taken: 0 });
            }
        }
        for stay in self.present(today) {
            let key = names::words(&stay.place);
            if !found.contains_key(&key) && !is_seen(stay.case, stay.tier) {
                continue;
            }
            let name = || stay.place.clone();
            let one = found.entry(key).or_insert_with(|| Occupied { name: name(), places: None, taken: 0 });
            one.taken += 1;
        }
        found.into_values().collect()
    }

    /// The stays that began and are not over on a day.
    fn present(&self, today: Day) -> Vec<&StayRow> {
        type OfCase<'a> = (Vec<(RecordId, &'a StayRow)>, Vec<&'a StayEndRow>);
        let mut cases: HashMap<RecordId, OfCase<'_>> = HashMap::new();
        for (id, stay) in self.stays.iter().filter(|(_, stay)| stay.arrived <= today) {
            cases.entry(stay.case).or_default().0.push((*id, stay));
        }
        for end in self.stay_ends.values().filter(|end| end.left <= today) {
            cases.entry(end.case).or_default().1.push(end);
        }
        cases.into_values().flat_map(|(stays, ends)| self.open_of(stays, ends)).collect()
    }

    /// The stays of a case that no end ends. An end says which stay it ends; one that does not ends the earliest stay that
    /// began before that day and is open still, or on that day where there is no earlier.
    fn open_of<'a>(
        &self,
        mut stays: Vec<(RecordId, &'a StayRow)>,
        mut ends: Vec<&StayEndRow>,
    ) -> impl Iterator<Item = &'a StayRow> + use<'a> {
        stays.sort_by_key(|(id, stay)| (stay.arrived, *id));
        ends.sort_by_key(|end| (end.follows.is_none(), end.left));
        for end in ends {
            let named = end.follows.map(|id| self.standing(id));
            let at = stays.iter().position(|(id, _)| named == Some(*id)).or_else(|| {
                let before = stays.iter().position(|(_, stay)| stay.arrived < end.left);
                before.or_else(|| stays.iter().position(|(_, stay)| stay.arrived == end.left))
            });
            if let Some(at) = at {
                stays.remove(at);
            }
        }
        stays.into_iter().map(|(_, stay)| stay)
    }

    /// The entry that stands in the place of one.
    fn standing(&self, id: RecordId) -> RecordId {
        let next = |id: &RecordId| self.corrected.get(id).copied();
        std::iter::successors(Some(id), next).take(CORRECTIONS_MAX).last().unwrap_or(id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use casemesh_protocol::terms::Answer;
    use casemesh_protocol::terms::FieldState;

    fn entry(id: u8, about: u8, form: &str, answers: &[(&str, Value)]) -> Action {
        let kind = Code::new("form", 1, form, form).unwrap();
        let on: Day = "2026-03-01".parse().unwrap();
        let about = RecordId::new([about; 16]);
        Action {
            form: Some((form.to_owned(), 1)),
            answers: answers
                .iter()
                .map(|(field, value)| Answer { field: (*field).into(), value: FieldState::Known(value.clone()) })
                .collect(),
            ..Action::note(RecordId::new([id; 16]), about, Vec::new(), kind, on, Timestamp::from_ms(0))
        }
    }

    fn text(text: &str) -> Value {
        Value::Text(text.into())
    }

    fn on(day: &str) -> Value {
        Value::Day(day.parse().unwrap())
    }

    #[test]
    fn free_places_follow_stays_and_their_ends_in_any_order() {
        let stay = |id, case, place: &str, day: &str| {
            entry(id, case, "stay", &[("stay_place", text(place)), ("arrived_on", on(day))])
        };
        let end = |id, case, day: &str| entry(id, case, "stay_end", &[("left_on", on(day))]);
        let mut entries = vec![
            entry(1, 0, "place", &[("stay_place", text("Room 2")), ("places", Value::Number(4))]),
            stay(2, 10, "room 2", "2026-03-01"),
            stay(3, 11, "Room 2", "2026-03-02"),
            end(4, 11, "2026-03-05"),
            stay(5, 11, "Room 2", "2026-04-01"),
            stay(6, 12, "Aunt's house", "2026-03-03"),
        ];
        let mut ended = end(7, 12, "2026-06-01");
        ended.follows = Some(RecordId::new([6; 16]));
        entries.push(ended);
        for turn in 0..entries.len() {
            entries.rotate_left(turn);
            let mut found = Entries::default();
            entries.iter().for_each(|entry| found.put(entry));
            let taken = |day: &str| -> Vec<(String, Option<u32>, u32)> {
                let all = found.occupied(day.parse().unwrap(), |_, _| true).into_iter();
                all.map(|one| (one.name.to_lowercase(), one.places, one.taken)).collect()
            };
            assert_eq!(taken("2026-03-04"), [("aunt's house".into(), None, 1), ("room 2".into(), Some(4), 2)]);
            assert_eq!(taken("2026-03-20"), [("aunt's house".into(), None, 1), ("room 2".into(), Some(4), 1)]);
            assert_eq!(taken("2026-07-01"), [("room 2".into(), Some(4), 2)]);
            let only_written_down = found.occupied("2026-03-04".parse().unwrap(), |_, _| false);
            assert_eq!(only_written_down.len(), 1, "another place is named to who may see the stay");
        }
    }

    #[test]
    fn who_moves_on_a_day_leaves_the_first_place_and_two_who_leave_free_two() {
        let stay =
            |id, place: &str, day: &str| entry(id, 10, "stay", &[("stay_place", text(place)), ("arrived_on", on(day))]);
        let end = |id, day: &str| entry(id, 10, "stay_end", &[("left_on", on(day))]);
        let present = |entries: &[Action], day: &str| {
            let mut found = Entries::default();
            entries.iter().for_each(|entry| found.put(entry));
            let mut places: Vec<String> =
                found.present(day.parse().unwrap()).into_iter().map(|stay| stay.place.clone()).collect();
            places.sort();
            places
        };
        let moved = [stay(1, "A", "2026-03-01"), end(2, "2026-03-05"), stay(3, "B", "2026-03-05")];
        assert_eq!(present(&moved, "2026-03-06"), ["B"]);
        let family =
            [stay(1, "A", "2026-03-01"), stay(2, "B", "2026-03-01"), end(3, "2026-03-05"), end(4, "2026-03-07")];
        assert_eq!(present(&family, "2026-03-06").len(), 1);
        assert!(present(&family, "2026-03-08").is_empty());
        let mut corrected = stay(5, "C", "2026-03-01");
        corrected.corrects = Some(RecordId::new([1; 16]));
        let mut ended = end(6, "2026-03-05");
        ended.follows = Some(RecordId::new([1; 16]));
        assert_eq!(present(&[moved[2].clone(), corrected, ended], "2026-03-06"), ["B"]);
    }

    #[test]
    fn a_party_is_found_by_sound_until_its_entry_is_corrected() {
        let mut found = Entries::default();
        found.put(&entry(1, 10, "party", &[("party_name", text("Mohammed Kasim"))]));
        assert_eq!(found.parties_like("Muhamad Qasim").count(), 1);
        let mut corrected = entry(2, 10, "party", &[("party_name", text("Anna Peters"))]);
        corrected.corrects = Some(RecordId::new([1; 16]));
        found.put(&corrected);
        assert_eq!(found.parties_like("Muhamad Qasim").count(), 0);
        assert_eq!(found.parties_of(RecordId::new([10; 16])).count(), 1);
    }
}
