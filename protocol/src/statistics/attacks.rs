//! An attacker: everything that ever left, known to somebody who knows how it is made, and computed exactly.

use super::tests::{
    Somebody, THRESHOLD_HERE, agreement, by_nationality, by_sex, by_sex_and_age, code, day, indicator, people,
};
use super::*;
use crate::indicators::{By, Codes, Column};
use crate::tally;
use proptest::prelude::*;
use std::collections::HashMap;

/// A sum of numbers with signs.
type Signed = Vec<(usize, i128)>;

/// An attacker who keeps every release, knows how they are made, and computes exactly.
mod attacker {
    use std::collections::HashMap;

    /// A prime of 61 bits.
    const PRIME: i128 = (1 << 61) - 1;

    fn inverse(of: i128) -> i128 {
        let (mut base, mut power, mut result) = (of.rem_euclid(PRIME), PRIME - 2, 1);
        while power > 0 {
            if power & 1 == 1 {
                result = result * base % PRIME;
            }
            base = base * base % PRIME;
            power >>= 1;
        }
        result
    }

    /// What is known of unknown numbers: sums of some of them.
    #[derive(Default)]
    pub(super) struct Known {
        names: HashMap<(usize, String), usize>,
        sums: Vec<(Vec<usize>, i64)>,
    }

    impl Known {
        pub(super) fn number(&mut self, version: usize, name: String) -> usize {
            let next = self.names.len();
            *self.names.entry((version, name)).or_insert(next)
        }

        /// The name of a number.
        pub(super) fn name(&self, number: usize) -> &str {
            self.names.iter().find(|(_, at)| **at == number).map_or("", |((_, name), _)| name)
        }

        pub(super) fn sum(&mut self, of: Vec<usize>, is: i64) {
            self.sums.push((of, is));
        }

        /// The rows in echelon form: for each, its leading place and its numbers, the sum last.
        fn echelon(&self) -> Vec<(usize, Vec<i128>)> {
            let width = self.names.len();
            let mut rows: Vec<(usize, Vec<i128>)> = Vec::new();
            for (of, is) in &self.sums {
                let mut row = vec![0i128; width + 1];
                of.iter().for_each(|at| row[*at] += 1);
                row[width] = i128::from(*is).rem_euclid(PRIME);
                reduce(&mut row, &rows);
                if let Some(lead) = row[..width].iter().position(|value| *value != 0) {
                    let by = inverse(row[lead]);
                    row.iter_mut().for_each(|value| *value = *value * by % PRIME);
                    rows.push((lead, row));
                }
            }
            rows
        }

        /// What a sum of numbers with signs must be, if what is known says it.
        fn told(rows: &[(usize, Vec<i128>)], width: usize, of: &[(usize, i128)]) -> Option<i64> {
            let mut row = vec![0i128; width + 1];
            of.iter().for_each(|(at, sign)| row[*at] += sign);
            reduce(&mut row, rows);
            let is_told = row[..width].iter().all(|value| *value == 0);
            // What is left at the end is the number, with the other sign.
            let value = (-row[width]).rem_euclid(PRIME);
            let value = if value > PRIME / 2 { value - PRIME } else { value };
            is_told.then(|| i64::try_from(value).unwrap())
        }

        /// The least and most of each number, as no number is below its least: each sum bounds each of its parts, until nothing moves.
        fn bounds(&self, least: impl Fn(usize) -> i64) -> Vec<(i64, i64)> {
            let mut bounds: Vec<(i64, i64)> = (0..self.names.len()).map(|at| (least(at), i64::MAX / 4)).collect();
            loop {
                let mut has_moved = false;
                for (of, is) in &self.sums {
                    let least: i64 = of.iter().map(|at| bounds[*at].0).sum();
                    let most: i64 = of.iter().fold(0, |sum: i64, at| sum.saturating_add(bounds[*at].1));
                    for at in of {
                        let (low, high) = bounds[*at];
                        let next = (low.max(is - most.saturating_sub(high)), high.min(is - (least - low)));
                        has_moved |= next != (low, high);
                        bounds[*at] = next;
                    }
                }
                if !has_moved {
                    return bounds;
                }
            }
        }

        /// Fails where a small number of people is known, or where two versions tell that so few came or went.
        pub(super) fn attack(&self, truth: &HashMap<usize, i64>, threshold: i64) {
            let (rows, width) = (self.echelon(), self.names.len());
            // A class that is named has somebody in it.
            let bounds = self.bounds(|at| truth.get(&at).copied().unwrap_or_default().min(1));
            for ((version, name), at) in &self.names {
                let value = truth[at];
                if (1..threshold).contains(&value) {
                    let told = Self::told(&rows, width, &[(*at, 1)]);
                    assert_eq!(told, None, "{name} of version {version} is {value}");
                    let (low, high) = bounds[*at];
                    assert!(high - low >= threshold, "{name} of version {version} is {value}, in {low}..={high}");
                }
                if let Some(before) = version.checked_sub(1).and_then(|before| self.names.get(&(before, name.clone())))
                {
                    let told = Self::told(&rows, width, &[(*at, 1), (*before, -1)]);
                    let by = told.unwrap_or_default().abs();
                    assert!(by == 0 || by >= threshold, "{name} changed by {by} in version {version}");
                }
            }
        }
    }

    impl Known {
        /// What sums of numbers, with signs, must be, where what is known says it.
        pub(super) fn find(&self, wanted: &[super::Signed]) -> Vec<Option<i64>> {
            let (rows, width) = (self.echelon(), self.names.len());
            wanted.iter().map(|of| Self::told(&rows, width, of)).collect()
        }

        /// Fails where a number is known that must not be, or lies in a range narrower than it needs.
        pub(super) fn attack_sums(&self, needs: &HashMap<usize, i64>) {
            let (rows, width) = (self.echelon(), self.names.len());
            let bounds = self.bounds(|_| 0);
            for (at, need) in needs {
                assert_eq!(Self::told(&rows, width, &[(*at, 1)]), None, "a sum that needs a range of {need}");
                let (low, high) = bounds[*at];
                assert!(high.saturating_sub(low) >= *need, "in {low}..={high}, and needs {need}");
            }
        }
    }

    fn reduce(row: &mut [i128], rows: &[(usize, Vec<i128>)]) {
        for (lead, known) in rows {
            let by = row[*lead];
            if by != 0 {
                row.iter_mut().zip(known).for_each(|(value, known)| *value = (*value - by * known).rem_euclid(PRIME));
            }
        }
    }
}

/// The attacker can do what it should: where small numbers alone are withheld, it finds them.
#[test]
#[should_panic(expected = "is 3")]
fn without_complements_the_attacker_finds_the_small_number() {
    let mut known = attacker::Known::default();
    let cells: Vec<usize> = ["women", "men", "others"].iter().map(|name| known.number(0, (*name).into())).collect();
    known.sum(cells.clone(), 63);
    known.sum(vec![cells[0]], 40);
    known.sum(vec![cells[1]], 20);
    known.attack(&cells.into_iter().zip([40, 20, 3]).collect(), 11);
}

/// And it finds a narrow range where nothing is told exactly.
#[test]
#[should_panic(expected = "in 1..=4")]
fn the_attacker_finds_a_narrow_range() {
    let mut known = attacker::Known::default();
    let cells: Vec<usize> = ["women", "men"].iter().map(|name| known.number(0, (*name).into())).collect();
    known.sum(cells.clone(), 5);
    known.attack(&cells.into_iter().zip([3, 2]).collect(), 11);
}

fn month(at: usize) -> Period {
    let first = Day::new(2025 + i16::try_from(at / 12).unwrap(), u8::try_from(at % 12).unwrap() + 1, 1).unwrap();
    Rhythm::Month.around(first).unwrap()
}

fn word(class: &Class) -> String {
    match class {
        Class::Code(code) => code.code.to_string(),
        _ => "*".into(),
    }
}

/// The numbers of a figure that are no totals, by their classes.
fn keys_of(said: &Figure) -> Vec<Vec<String>> {
    let is_total = |cell: &&Cell| cell.classes.iter().any(|class| *class == Class::All);
    said.cells.iter().filter(|cell| !is_total(cell)).map(|cell| cell.classes.iter().map(word).collect()).collect()
}

/// The attacker reads a figure: each number that is told is the sum of those that it stands for.
fn read(known: &mut attacker::Known, version: usize, said: &Figure) {
    let keys = keys_of(said);
    for cell in &said.cells {
        let Some(value) = cell.value else { continue };
        let wanted: Vec<String> = cell.classes.iter().map(word).collect();
        let fits = |key: &&Vec<String>| key.iter().zip(&wanted).all(|(one, wanted)| wanted == "*" || wanted == one);
        let of = keys.iter().filter(fits).map(|key| known.number(version, key.join("|"))).collect();
        known.sum(of, value);
    }
}

/// Who comes in a month, and what becomes of it later.
#[derive(Debug, Clone)]
struct Month {
    people: Vec<(u8, u8, u8)>,
    /// In which later months people are entered late, and how many; or erased, where below zero.
    later: Vec<(usize, i8)>,
}

fn months() -> impl Strategy<Value = Vec<Month>> {
    // Most are of one kind, as in life: small numbers stand beside large ones.
    let skewed = |of: u8| prop_oneof![4 => Just(0u8), 2 => Just(1u8), 1 => 0..of];
    let person = (skewed(4), skewed(6), skewed(9));
    let month = (prop::collection::vec(person, 0..140), prop::collection::vec((1usize..12, -20i8..20), 0..4));
    prop::collection::vec(month.prop_map(|(people, later)| Month { people, later }), 24)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]
    /// Two years of releases with late entries, erasures and corrections: an exact solver finds no number of people below the
    /// threshold, and no two releases tell that so few came or went.
    #[test]
    fn two_years_of_releases_single_out_nobody(history in months()) {
        let own = agreement(Rhythm::Month, vec![by_sex_and_age(), by_nationality()]);
        own.check().unwrap();
        let mut all: Vec<Vec<Somebody>> = vec![Vec::new(); history.len()];
        let mut ledger: Vec<Table> = Vec::new();
        // The truth at each release, by month.
        let mut truths: Vec<Vec<Vec<Somebody>>> = vec![Vec::new(); history.len()];
        for now in 0..history.len() {
            let first = month(now).from;
            let come = history[now].people.iter().map(|(sex, age, nationality)| Somebody {
                first,
                sex: Some(*sex).filter(|sex| *sex < 3),
                age: *age,
                nationality: Some(*nationality).filter(|nationality| *nationality < 8),
            });
            all[now].extend(come);
            for (then, begun) in history.iter().enumerate().take(now) {
                for (after, by) in &begun.later {
                    let is_now = then + after == now;
                    if is_now && *by < 0 {
                        let stay = all[then].len().saturating_sub(usize::from(by.unsigned_abs()));
                        all[then].truncate(stay);
                    } else if is_now {
                        let one = Somebody { first: month(then).from, sex: Some(1), age: 2, nationality: Some(1) };
                        all[then].extend(std::iter::repeat_n(one, usize::from(by.unsigned_abs())));
                    }
                }
            }
            let everybody: Vec<Somebody> = all.concat();
            let columns = people(&everybody);
            let today = month(now).to.plus_days(1);
            for at in 0..=now {
                let period = month(at);
                let figures: Vec<Figure> =
                    own.indicators.iter().map(|one| released(one, &columns, period, THRESHOLD_HERE)).collect();
                let past = ledger.iter().map(|table| Past { table, agreement: Some(&own) });
                if let Ok((figures, _)) = next_release(&own, period, today, figures, past) {
                    let release = u32::try_from(truths[at].len()).unwrap() + 1;
                    let table = Table::new(&own, (OfficeId::new([1; 32]), period, release), Timestamp::from_s(0), List::new(figures).unwrap());
                    ledger.push(table);
                    truths[at].push(all[at].clone());
                }
            }
        }
        prop_assert!(ledger.len() >= history.len());
        for (at, truths) in truths.iter().enumerate() {
            let tables: Vec<&Table> = ledger.iter().filter(|table| table.period == month(at)).collect();
            for figure in 0..2 {
                attack_figure(&tables, truths, figure);
            }
            // How many there are is the same in both figures, and in every version the same or far enough apart.
            let covered: Vec<i64> = tables
                .iter()
                .flat_map(|table| table.figures.iter().filter_map(|figure| figure.covered))
                .map(|covered| i64::try_from(covered).unwrap())
                .collect();
            for (one, other) in covered.iter().flat_map(|one| covered.iter().map(move |other| (one, other))) {
                let by = (one - other).abs();
                prop_assert!(by == 0 || by >= i64::from(THRESHOLD_HERE), "{covered:?}");
            }
        }
    }
}

/// Gives the attacker all that the releases of one figure say, and lets it try. A figure that waited says what an earlier version said.
fn attack_figure(tables: &[&Table], truths: &[Vec<Somebody>], figure: usize) {
    let mut known = attacker::Known::default();
    let mut truth = HashMap::new();
    let mut of_truth = 0;
    for (version, table) in tables.iter().enumerate() {
        let said = &table.figures.as_slice()[figure];
        let is_as_before = version > 0 && tables[version - 1].figures.as_slice()[figure] == *said;
        if !is_as_before {
            of_truth = version;
        }
        let people = &truths[of_truth];
        let keys = keys_of(said);
        for key in &keys {
            let at = known.number(version, key.join("|"));
            let is_it = |one: &&Somebody| match (key.as_slice(), figure) {
                ([sex, age], 0) => {
                    one.sex.map(|sex| format!("sex{sex}")).as_ref() == Some(sex)
                        && format!("age_band{}", one.age) == *age
                }
                ([nationality], _) => {
                    one.nationality.map(|one| format!("nationality{one}")).as_ref() == Some(nationality)
                }
                _ => false,
            };
            truth.insert(at, i64::try_from(people.iter().filter(is_it).count()).unwrap());
        }
        read(&mut known, version, said);
        // What waited is the same as before, and the attacker knows that it is.
        if is_as_before {
            for key in &keys {
                let (now, before) = (known.number(version, key.join("|")), known.number(version - 1, key.join("|")));
                assert_eq!(truth[&now], truth[&before]);
            }
        }
    }
    known.attack(&truth, i64::from(THRESHOLD_HERE));
}

/// What one payment was: of which type of case, in which currency, of which case, and how much.
type Paid = (u8, u8, u32, i64);

fn payments(all: &[(Day, Paid)]) -> Columns {
    let words = |list: &str, of: &dyn Fn(&Paid) -> u8| {
        let mut codes = Codes::default();
        all.iter().for_each(|(_, paid)| codes.push(Some(&code(list, &format!("{list}{}", of(paid))))));
        Column::Code(codes)
    };
    Columns {
        counts: vec![true; all.len()],
        units: all.iter().map(|(_, paid)| paid.2).collect(),
        columns: BTreeMap::from([
            ("paid".into(), Column::Day(all.iter().map(|(day, _)| Some(*day)).collect())),
            ("case_type".into(), words("case_type", &|paid| paid.0)),
            ("currency".into(), words("currency", &|paid| paid.1)),
            ("amount".into(), Column::Number(all.iter().map(|(_, paid)| Some(paid.3)).collect())),
        ]),
    }
}

fn money() -> Indicator {
    Indicator {
        measure: Measure::Sum("amount".into()),
        ..indicator("money", Source::Payments, "paid", &["currency", "case_type"])
    }
}

/// Payments of a month: a few cases get most, as in life.
fn months_of_money() -> impl Strategy<Value = Vec<(Vec<Paid>, Vec<Paid>)>> {
    let skewed = |of: u8| prop_oneof![4 => Just(0u8), 2 => Just(1u8), 1 => 0..of];
    let paid = (
        skewed(4),
        skewed(3),
        prop_oneof![1 => Just(0u32), 6 => 1..60u32],
        prop_oneof![1 => Just(9_000_000i64), 20 => 1_000..80_000i64],
    );
    let month = (prop::collection::vec(paid.clone(), 0..150), prop::collection::vec(paid, 0..6));
    prop::collection::vec(month, 24)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]
    /// Two years of sums of money, each released again when late payments came: no sum of few cases, or nearly of one, is known, or known
    /// to lie close, and what one payment changed is not seen.
    #[test]
    fn two_years_of_money_tell_no_ones_amount(history in months_of_money()) {
        release_and_attack(&history, &|columns, period| released(&money(), columns, period, THRESHOLD_HERE));
    }
}

/// The attacker of money can do what it should: where nothing is withheld, it knows.
#[test]
#[should_panic(expected = "a sum that needs a range")]
fn without_withholding_the_attacker_of_money_finds_an_amount() {
    let paid = (0..40).map(|case| (u8::from(case == 0), 0, case, 5_000)).collect();
    release_and_attack(&[(paid, vec![])], &|columns, period| whole(&money(), columns, period));
}

fn release_and_attack(history: &[(Vec<Paid>, Vec<Paid>)], tell: &dyn Fn(&Columns, Period) -> Figure) {
    let own = agreement(Rhythm::Month, vec![money(), by_sex()]);
    own.check().unwrap();
    for (at, (paid, late)) in history.iter().enumerate() {
        let period = month(at);
        let mut ledger: Vec<Table> = Vec::new();
        for of_late in [0, late.len()] {
            let all: Vec<(Day, Paid)> = paid.iter().chain(&late[..of_late]).map(|paid| (period.from, *paid)).collect();
            let columns = payments(&all);
            let figures = vec![tell(&columns, period)];
            let past = ledger.iter().map(|table| Past { table, agreement: Some(&own) });
            let Ok((figures, _)) = next_release(&own, period, period.to.plus_days(40), figures, past) else { continue };
            let table = Table::new(
                &own,
                (OfficeId::new([1; 32]), period, 1),
                Timestamp::from_s(0),
                List::new(figures).unwrap(),
            );
            ledger.push(table);
        }
        // Nothing of money is corrected: what it differs by is somebody's.
        assert!(ledger.windows(2).all(|two| two[0].figures == two[1].figures));
        let Some(table) = ledger.first() else { continue };
        let said = &table.figures.as_slice()[0];
        let mut known = attacker::Known::default();
        let mut needs = HashMap::new();
        let keys = keys_of(said);
        for key in &keys {
            let place = known.number(0, key.join("|"));
            let mut cases: BTreeMap<u32, i64> = BTreeMap::new();
            for (kind, currency, case, amount) in paid {
                if format!("currency{currency}") == key[0] && format!("case_type{kind}") == key[1] {
                    *cases.entry(*case).or_default() += amount;
                }
            }
            let sum: i64 = cases.values().sum();
            let most = cases.values().copied().max().unwrap_or_default();
            if cases.len() < usize::from(THRESHOLD_HERE) || most * 100 > sum * 80 {
                needs.insert(place, sum);
            }
        }
        read(&mut known, 0, said);
        known.attack_sums(&needs);
    }
}

/// Somebody of an office, by the month in which they came.
type Came = (usize, u8, u8, u8);

const OFFICES: usize = 2;
const MONTHS: usize = 6;

/// By month and sex plainly, by quarter and nationality plainly, and by month and age as a secure sum of the offices.
fn three_agreements() -> [Agreement; 3] {
    let named = |id: &str, agreement: Agreement| Agreement { id: Word::new(id).unwrap(), ..agreement };
    let codes = (0..3).map(|age| format!("age_band{age}")).collect();
    let by_age = indicator("age", Source::People, "first_case", &[]);
    let by_age = Indicator { by: vec![By { column: "age_band".into(), from: vec![], codes }], ..by_age };
    let mut summed = agreement(Rhythm::Month, vec![by_age]);
    summed.terms.way = Way::SecureSum;
    summed.terms.from = Some(day("2025-01-01"));
    summed.terms.aggregators = [8, 9].map(|byte| OfficeId::new([byte; 32])).to_vec();
    [
        named("months", agreement(Rhythm::Month, vec![by_sex()])),
        named("quarters", agreement(Rhythm::Quarter, vec![by_nationality()])),
        named("sums", summed),
    ]
}

fn came() -> impl Strategy<Value = Vec<Came>> {
    let skewed = |of: u8| prop_oneof![3 => Just(0u8), 1 => 0..of];
    prop::collection::vec((0..MONTHS, skewed(3), skewed(3), skewed(3)), 0..220)
}

/// Who came to an office in time, and who was entered late.
type Office = (Vec<Came>, Vec<Came>);

fn office() -> impl Strategy<Value = Office> {
    (came(), prop::collection::vec((0..MONTHS, 0u8..3, 0u8..3, 0u8..3), 0..5))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 10, ..ProptestConfig::default() })]
    /// Offices that answer several agreements about the same people, in whatever order, and again after some came late: all that left
    /// together tells no small number, of an office or of all, and no small change.
    #[test]
    fn several_agreements_at_once_single_out_nobody(
        offices in prop::collection::vec(office(), OFFICES),
        order in prop::collection::vec(0usize..3, 24),
    ) {
        answer_and_attack(&offices, &order, true);
    }
}

/// And the attacker of several agreements: where what left does not bind what leaves, it sees who came late.
#[test]
#[should_panic(expected = "came or went, and it is seen")]
fn without_the_ledger_the_attacker_sees_a_late_entry() {
    let early: Vec<Came> = (0..120).map(|at| (at % MONTHS, 0, 0, 0)).collect();
    let office = (early, vec![(0, 0, 0, 0)]);
    answer_and_attack(&[office.clone(), office], &[0, 1, 2].repeat(8), false);
}

fn answer_and_attack(offices: &[Office], order: &[usize], binds: bool) {
    let agreements = three_agreements();
    agreements.iter().for_each(|one| one.check().unwrap());
    let periods = |agreement: &Agreement| -> Vec<Period> {
        let of_month = (0..MONTHS).map(|at| agreement.terms.every.around(month(at).from).unwrap());
        let mut all: Vec<Period> = of_month.collect();
        all.dedup();
        all
    };
    let mut known = attacker::Known::default();
    // A number for each kind of person of an office, a month and a version.
    let name = |office: usize, (at, sex, nationality, age): Came| format!("{office}|{at}|{sex}|{nationality}|{age}");
    let kinds = || (0..MONTHS).flat_map(|at| (0..27u8).map(move |kind| (at, kind / 9, kind / 3 % 3, kind % 3)));
    let mut rows: HashMap<Period, (usize, Vec<i64>, Vec<usize>)> = HashMap::new();
    let mut wanted: Vec<(Signed, i64, String)> = Vec::new();
    let mut told = 0;
    for (office, (early, late)) in offices.iter().enumerate() {
        let mut ledger: Vec<(Table, usize)> = Vec::new();
        for version in 0..2 {
            let all: Vec<Came> =
                early.iter().chain(late.iter().take(if version == 0 { 0 } else { late.len() })).copied().collect();
            let count = |is: &dyn Fn(&Came) -> bool| i64::try_from(all.iter().filter(|one| is(one)).count()).unwrap();
            let somebody = |(at, sex, nationality, age): &Came| Somebody {
                first: month(*at).from,
                sex: Some(*sex),
                age: *age,
                nationality: Some(*nationality),
            };
            let columns = people(&all.iter().map(somebody).collect::<Vec<_>>());
            let of = |known: &mut attacker::Known, is: &dyn Fn(&Came) -> bool| -> Vec<usize> {
                kinds().filter(|kind| is(kind)).map(|kind| known.number(version, name(office, kind))).collect()
            };
            for which in order.iter().skip(12 * version).take(12).chain(&[0, 1, 2]) {
                let own = &agreements[*which];
                for period in periods(own) {
                    let figure = &own.indicators[0];
                    let is_sum = own.terms.way != Way::Plain;
                    let figures = vec![if is_sum {
                        whole(figure, &columns, period)
                    } else {
                        released(figure, &columns, period, THRESHOLD_HERE)
                    }];
                    let past = ledger
                        .iter()
                        .filter(|_| binds)
                        .map(|(table, which)| Past { table, agreement: Some(&agreements[*which]) });
                    let Ok((figures, _)) = next_release(own, period, day("2026-06-01"), figures, past) else {
                        continue;
                    };
                    told += 1;
                    let in_period = |came: &Came| period.contains(month(came.0).from);
                    if is_sum {
                        let row = tally::row(own, |_| &columns, period);
                        let sum = rows.entry(period).or_insert_with(|| (0, vec![0; row.len()], Vec::new()));
                        sum.0 += 1;
                        sum.1.iter_mut().zip(&row).for_each(|(all, one)| *all += i64::try_from(*one).unwrap());
                        sum.2.extend(of(&mut known, &in_period));
                    } else {
                        for cell in &figures[0].cells {
                            let Some(value) = cell.value else { continue };
                            let class = word(&cell.classes.as_slice()[0]);
                            let is = |came: &Came| {
                                in_period(came)
                                    && (class == "*"
                                        || [format!("sex{}", came.1), format!("nationality{}", came.2)]
                                            .contains(&class))
                            };
                            let of = of(&mut known, &is);
                            known.sum(of, value);
                        }
                    }
                    let table = Table::new(
                        own,
                        (OfficeId::new([1; 32]), period, 1),
                        Timestamp::from_s(0),
                        List::new(figures).unwrap(),
                    );
                    ledger.push((table, *which));
                }
            }
            // What must not be known: few of a sex in a month, or of a nationality in a quarter, whichever was told.
            for at in 0..MONTHS {
                for class in 0..3u8 {
                    let of_sex = |came: &Came| came.0 == at && came.1 == class;
                    let of_nationality = |came: &Came| came.0 / 3 == at / 3 && came.2 == class;
                    for (is, what) in [(&of_sex as &dyn Fn(&Came) -> bool, "sex"), (&of_nationality, "nationality")] {
                        let sum = of(&mut known, is).into_iter().map(|at| (at, 1)).collect();
                        wanted.push((sum, count(is), format!("{what}{class} of {at} in version {version}")));
                    }
                }
            }
        }
    }
    // Nor what changed between the two times, in a month or a quarter, whichever said it first.
    let mut changes: Vec<Signed> = Vec::new();
    for office in 0..OFFICES {
        for months in (0..MONTHS).map(|at| at..at + 1).chain([0..3, 3..6]) {
            let all = kinds().filter(|kind| months.contains(&kind.0)).collect::<Vec<_>>();
            let mut of = |version, sign| {
                all.iter().map(|kind| (known.number(version, name(office, *kind)), sign)).collect::<Vec<_>>()
            };
            changes.push([of(1, 1), of(0, -1)].concat());
        }
    }
    for (period, (_, sum, of)) in &rows {
        for cell in &tally::figures(&agreements[2], sum)[0].cells {
            let Some(value) = cell.value else { continue };
            let class = word(&cell.classes.as_slice()[0]);
            let is_of = |at: &&usize| {
                (0..3u8).any(|age| class == format!("age_band{age}") && known.name(**at).ends_with(&format!("|{age}")))
            };
            known.sum(of.iter().filter(|at| class == "*" || is_of(at)).copied().collect(), value);
        }
        assert!(agreements[2].terms.has(*period));
    }
    assert!(told >= OFFICES * 2, "{told} tables");
    for change in known.find(&changes).into_iter().flatten() {
        assert!(change == 0 || change.abs() >= THRESHOLD_HERE.into(), "{} came or went, and it is seen", change);
    }
    let found = known.find(&wanted.iter().map(|(of, ..)| of.clone()).collect::<Vec<_>>());
    for ((_, truth, what), found) in wanted.iter().zip(found) {
        assert!(
            !(1..i64::from(THRESHOLD_HERE)).contains(truth) || found.is_none(),
            "{} is {} and was found",
            what,
            truth
        );
    }
}
