//! Levels of collectors: a support organisation, a region, a nation. Who tells whom, and whose tables are added.
//!
//! Each card says which collector its office tells. A collector that names another sends that one the sum of what it holds; one that
//! names nobody is the top. Cards change while tables are under way, so that what is added is chosen by the offices in each table.

use crate::directory::{Member, Role};
use crate::id::OfficeId;
use crate::statistics::Table;
use crate::time::Day;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

/// Who tells whom in a network.
#[derive(Debug, Clone, Default)]
pub struct Levels {
    members: BTreeMap<OfficeId, Stand>,
    top: Option<OfficeId>,
}

#[derive(Debug, Clone, Copy)]
struct Stand {
    collects: bool,
    says: Option<OfficeId>,
}

impl Levels {
    /// The levels of these members.
    pub fn of<'a>(members: impl Iterator<Item = (&'a OfficeId, &'a Member)>) -> Self {
        let stand =
            |member: &Member| Stand { collects: member.has_role(Role::Collector), says: member.record.reports_to };
        Self::with(members.map(|(office, member)| (*office, stand(member))).collect())
    }

    /// The top is the collector that names nobody; of several, the one that most members name, and then the one with the smallest id.
    fn with(members: BTreeMap<OfficeId, Stand>) -> Self {
        let named = Self { members, top: None };
        let mut naming: BTreeMap<OfficeId, usize> = BTreeMap::new();
        for upper in named.members.keys().filter_map(|office| named.named(office)) {
            *naming.entry(upper).or_default() += 1;
        }
        let collectors = || named.members.iter().filter(|(_, one)| one.collects).map(|(office, _)| *office);
        let free = collectors().filter(|office| named.named(office).is_none());
        let most = free.min_by_key(|office| (Reverse(naming.get(office).copied().unwrap_or_default()), *office));
        let top = most.or_else(|| collectors().next());
        Self { top, ..named }
    }

    /// The collector whom an office names, where it is one and another.
    fn named(&self, by: &OfficeId) -> Option<OfficeId> {
        let is_other = |office: &OfficeId| office != by && self.members.get(office).is_some_and(|one| one.collects);
        self.members.get(by)?.says.filter(is_other)
    }

    /// The collector above all.
    pub const fn top(&self) -> Option<OfficeId> {
        self.top
    }

    /// The collector that an office tells, or that a collector sends its sums to. A collector that names nobody tells nobody.
    pub fn above(&self, office: &OfficeId) -> Option<OfficeId> {
        let one = self.members.get(office)?;
        self.named(office).or_else(|| self.top.filter(|top| !one.collects && top != office))
    }

    /// The collectors above an office, the nearest first, each once.
    pub fn chain(&self, office: &OfficeId) -> Vec<OfficeId> {
        let mut all = Vec::new();
        let mut at = *office;
        while let Some(next) = self.above(&at).filter(|next| next != office && !all.contains(next)) {
            all.push(next);
            at = next;
        }
        all
    }

    /// Whether a collector would hear its own sums again if it told that one.
    pub fn is_ring(&self, office: &OfficeId, upper: &OfficeId) -> bool {
        upper == office || self.chain(upper).contains(office)
    }

    /// Those below a collector, over all levels.
    pub fn below(&self, collector: &OfficeId) -> BTreeSet<OfficeId> {
        let is_below = |office: &&OfficeId| *office != collector && self.chain(office).contains(collector);
        self.members.keys().filter(is_below).copied().collect()
    }
}

/// The tables that are added, so that no office is counted twice, and those that are not: of tables that share an office the one of most
/// offices is taken, of equals the one whose sender has the smaller id.
pub fn counted_once<'a, T>(tables: impl Iterator<Item = T>, of: impl Fn(&T) -> &'a Table) -> (Vec<T>, Vec<T>) {
    let mut all: Vec<T> = tables.collect();
    all.sort_by_key(|one| {
        let table = of(one);
        (Reverse(table.offices().len()), table.office, Reverse(table.is_sum()))
    });
    let mut counted: BTreeSet<OfficeId> = BTreeSet::new();
    all.into_iter().partition(|one| {
        let offices = of(one).offices();
        let is_new = offices.iter().all(|office| !counted.contains(office));
        if is_new {
            counted.extend(offices);
        }
        is_new
    })
}

/// Whether a sum that did not go yet goes up by itself: when all told or the day on which it was due is over. What comes later is somebody's
/// to send.
pub fn is_to_send((told, asked): (usize, usize), due: Day, today: Day) -> bool {
    told > 0 && (told >= asked || due < today)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bounded::List;
    use crate::statistics::{Agreement, Origin, Rhythm, Terms, Word};
    use crate::time::{Period, Timestamp};

    fn id(byte: u8) -> OfficeId {
        OfficeId::new([byte; 32])
    }

    /// Members by number: whether one collects, and whom it names.
    fn levels(all: &[(u8, bool, Option<u8>)]) -> Levels {
        let one = |(office, collects, says): &(u8, bool, Option<u8>)| {
            (id(*office), Stand { collects: *collects, says: says.map(id) })
        };
        Levels::with(all.iter().map(one).collect())
    }

    #[test]
    fn an_office_tells_whom_it_names_and_else_the_top() {
        // A nation (9), two regions below it (7, 8), an office in each, one that names nobody, and one that names an office.
        let all = levels(&[
            (1, false, Some(7)),
            (2, false, Some(8)),
            (3, false, None),
            (4, false, Some(1)),
            (7, true, Some(9)),
            (8, true, Some(9)),
            (9, true, None),
        ]);
        assert_eq!([1, 2, 3, 4].map(|office| all.above(&id(office))), [7, 8, 9, 9].map(|upper| Some(id(upper))));
        assert_eq!((all.above(&id(7)), all.above(&id(9)), all.top()), (Some(id(9)), None, Some(id(9))));
        assert_eq!(all.chain(&id(1)), [id(7), id(9)]);
        assert_eq!(all.below(&id(7)), BTreeSet::from([id(1)]));
        assert_eq!(all.below(&id(9)).len(), 6);
        assert!(all.is_ring(&id(9), &id(7)) && all.is_ring(&id(9), &id(9)) && !all.is_ring(&id(7), &id(8)));
        assert_eq!(all.above(&id(99)), None, "a stranger tells nobody");
    }

    #[test]
    fn a_ring_ends_and_without_a_collector_nobody_is_told() {
        let ring = levels(&[(1, false, Some(7)), (7, true, Some(8)), (8, true, Some(7))]);
        assert_eq!(ring.chain(&id(1)), [id(7), id(8)]);
        assert_eq!(ring.chain(&id(7)), [id(8)]);
        assert!(levels(&[(1, false, Some(1))]).above(&id(1)).is_none());
        // A collector that names itself, or somebody who is gone, is the top.
        assert_eq!(levels(&[(1, false, None), (7, true, Some(7))]).above(&id(1)), Some(id(7)));
        assert_eq!(levels(&[(7, true, Some(3))]).above(&id(7)), None);
        // A new region whose card names nobody yet does not become the top of those who name the nation.
        let new = levels(&[(1, false, None), (5, true, None), (8, true, Some(9)), (9, true, None)]);
        assert_eq!((new.top(), new.above(&id(1))), (Some(id(9)), Some(id(9))));
    }

    fn table(office: u8, of: Option<&[u8]>) -> Table {
        let id_of = |word| Word::new(word).unwrap();
        let agreement = Agreement { id: id_of("a"), version: 1, terms: Terms::plain(Rhythm::Year), indicators: vec![] };
        let year = Period::year(2026).unwrap();
        let own = Table::new(&agreement, (id(office), year, 1), Timestamp::from_s(1), List::default());
        let sum = |offices: &[u8]| Origin::Sum {
            offices: List::new(offices.iter().map(|byte| id(*byte)).collect()).unwrap(),
            handed_in: List::default(),
            asked: 9,
        };
        own.from(of.map(sum))
    }

    #[test]
    fn no_office_is_counted_twice() {
        // Office 2 moved from one region to the other, and told the nation, too.
        let all = [table(2, None), table(3, None), table(7, Some(&[1, 2])), table(8, Some(&[2, 4, 5])), table(7, None)];
        assert!(all.iter().all(Table::is_known));
        let (added, left) = counted_once(all.iter(), |table| *table);
        let names = |all: &[&Table]| all.iter().map(|table| (table.office, table.is_sum())).collect::<Vec<_>>();
        assert_eq!(names(&added), [(id(8), true), (id(3), false), (id(7), false)]);
        assert_eq!(names(&left), [(id(7), true), (id(2), false)]);
        assert!(!table(7, Some(&[2, 1])).is_known() && !table(7, Some(&[])).is_known(), "in order, and of somebody");
    }

    #[test]
    fn a_sum_goes_once_when_all_told_or_it_was_due() {
        let day = |day: u8| Day::new(2026, 1, day).unwrap();
        assert!(is_to_send((3, 3), day(15), day(2)) && !is_to_send((0, 3), day(15), day(16)));
        assert!(!is_to_send((2, 3), day(15), day(15)) && is_to_send((2, 3), day(15), day(16)));
    }
}
