use super::*;
use proptest::prelude::*;

fn day(text: &str) -> Option<Day> {
    text.parse().ok()
}

fn code(word: &str) -> Option<Code> {
    Some(Code::new("case_type", 1, word, word).unwrap()).filter(|_| !word.is_empty())
}

fn cases(rows: &[(&str, &str, &str, bool)]) -> Columns {
    let mut types = Codes::default();
    rows.iter().for_each(|(_, _, word, _)| types.push(code(word).as_ref()));
    Columns {
        counts: rows.iter().map(|(.., counts)| *counts).collect(),
        units: Vec::new(),
        columns: BTreeMap::from([
            ("opened".into(), Column::Day(rows.iter().map(|(opened, ..)| day(opened)).collect())),
            ("closed".into(), Column::End(rows.iter().map(|(_, closed, ..)| End::of(day(closed))).collect())),
            ("case_type".into(), Column::Code(types)),
        ]),
    }
}

fn indicator(when: When) -> Indicator {
    Indicator {
        id: "i".into(),
        title: BTreeMap::from([("en".into(), "Number".into())]),
        source: SourceName(Source::Cases),
        topic: Topic::Own,
        on: true,
        when,
        measure: Measure::Count,
        by: Vec::new(),
        of: Vec::new(),
        share: Vec::new(),
    }
}

fn year() -> Period {
    Period::year(2026).unwrap()
}

fn opened() -> When {
    When::In("opened".into())
}

#[test]
fn what_is_missing_and_what_is_excluded_stand_beside_every_number() {
    let rows = cases(&[
        ("2026-01-05", "", "eviction", true),
        ("2026-02-05", "", "", true),
        ("2026-03-05", "", "wages", false),
        ("2025-12-31", "", "wages", true),
        ("", "", "wages", true),
    ]);
    let by_type =
        Indicator { by: vec![By { column: "case_type".into(), from: vec![], codes: vec![] }], ..indicator(opened()) };
    by_type.check().unwrap();
    let found = compute(&by_type, &rows, year());
    assert_eq!((found.covered, found.missing, found.excluded), (3, 2, 1));
    assert_eq!(found.cells.iter().map(|cell| cell.value).collect::<Vec<_>>(), [1]);
    // Behind each number stand its rows, and behind what is missing those that lack it.
    assert_eq!(rows_behind(&by_type, &rows, year(), Some(&found.cells[0].classes)), [0]);
    assert_eq!(rows_behind(&by_type, &rows, year(), None), [1, 4]);
    let rule = Rule { column: "case_type".into(), is: vec!["eviction".into()], ..Rule::default() };
    let share = Indicator { share: vec![rule], ..indicator(opened()) };
    let found = compute(&share, &rows, year());
    assert_eq!((found.cells[0].value, found.cells[0].of, found.missing), (1, 1, 2));
}

#[test]
fn classes_medians_and_sums_are_what_they_say() {
    let rows = Columns {
        counts: vec![true; 5],
        units: Vec::new(),
        columns: BTreeMap::from([
            ("opened".into(), Column::Day(vec![day("2026-01-01"); 5])),
            ("days_open".into(), Column::Number(vec![Some(3), Some(29), Some(30), Some(400), None])),
        ]),
    };
    let by = By { column: "days_open".into(), from: vec![0, 30, 90], codes: vec![] };
    let classes = Indicator { by: vec![by], ..indicator(opened()) };
    let found = compute(&classes, &rows, year());
    let cells: Vec<_> = found.cells.iter().map(|cell| (cell.classes[0].clone(), cell.value)).collect();
    assert_eq!(cells, [(Class::From(0, Some(30)), 2), (Class::From(30, Some(90)), 1), (Class::From(90, None), 1)]);
    assert_eq!(found.missing, 1);
    let median = Indicator { measure: Measure::Median("days_open".into()), ..indicator(opened()) };
    assert_eq!(compute(&median, &rows, year()).cells[0].value, 29);
    let sum = Indicator { measure: Measure::Sum("days_open".into()), ..indicator(opened()) };
    assert_eq!(compute(&sum, &rows, year()).cells[0].value, 462);
}

#[test]
fn what_cannot_be_computed_says_what_to_change() {
    let wrong = |change: &dyn Fn(&mut Indicator)| {
        let mut one = indicator(opened());
        change(&mut one);
        one.check().unwrap_err()
    };
    assert!(wrong(&|one| one.id = "Cases!".into()).contains("lower case"));
    assert!(wrong(&|one| one.title.clear()).contains("English"));
    assert!(wrong(&|one| one.when = When::In("born".into())).contains("opened, closed"));
    assert!(wrong(&|one| one.when = When::In("case_type".into())).contains("no day"));
    assert!(
        wrong(&|one| one.by = vec![By { column: "days_open".into(), from: vec![], codes: vec![] }]).contains("classes")
    );
    assert!(wrong(&|one| one.of = vec![Rule { column: "opened".into(), ..Rule::default() }]).contains("does not fit"));
    let money = |one: &mut Indicator| {
        (one.source, one.when) = (SourceName(Source::Payments), When::In("paid".into()));
        one.measure = Measure::Sum("amount".into());
    };
    assert!(wrong(&money).contains("currency"));
}

#[test]
fn what_ended_at_an_unknown_day_is_missing_and_not_open() {
    let mut rows =
        cases(&[("2026-01-05", "", "", true), ("2026-02-05", "2026-03-01", "", true), ("2027-01-01", "", "", true)]);
    let ends = |ends: Vec<End>| Column::End(ends);
    rows.columns.insert("closed".into(), ends(vec![End::Unknown, End::of(day("2026-03-01")), End::Unknown]));
    let stock = |when: fn(String, String) -> When| {
        let found = compute(&indicator(when("opened".into(), "closed".into())), &rows, year());
        (found.cells[0].value, found.missing)
    };
    assert_eq!(stock(When::AtEnd), (0, 1), "what began later is neither open nor missing");
    assert_eq!(stock(When::During), (1, 1));
    let closed = compute(&indicator(When::In("closed".into())), &rows, year());
    assert_eq!((closed.cells[0].value, closed.missing), (1, 2), "it may have ended then");
    rows.columns.insert("closed".into(), ends(vec![End::No; 3]));
    let closed = compute(&indicator(When::In("closed".into())), &rows, year());
    assert_eq!((closed.cells[0].value, closed.missing), (0, 0), "what goes on has not ended");
}

/// Somebody who came twice with two years between is not counted in between.
#[test]
fn who_had_nothing_open_in_between_is_not_counted() {
    let at = |text: &str| day(text).unwrap();
    // Twice with two years between; once and still; nothing at all; closed at a day that nobody knows, and again later.
    let stretches: Vec<Stretches> = vec![
        Box::new([(at("2023-01-10"), End::On(at("2023-06-01"))), (at("2026-02-01"), End::On(at("2026-02-20")))]),
        Box::new([(at("2024-05-01"), End::No)]),
        Box::new([]),
        Box::new([(at("2024-01-01"), End::Unknown), (at("2026-12-31"), End::No)]),
    ];
    let columns = BTreeMap::from([("worked_with".into(), Column::Stretches(stretches))]);
    let rows = Columns { counts: vec![true; 4], units: Vec::new(), columns };
    let served = Indicator { source: SourceName(Source::People), ..indicator(When::DuringAny("worked_with".into())) };
    served.check().unwrap();
    let number = |year: i16| {
        let found = compute(&served, &rows, Period::year(year).unwrap());
        (found.cells[0].value, found.missing)
    };
    assert_eq!([2022, 2023, 2024, 2025, 2026].map(number), [(0, 0), (1, 0), (1, 1), (1, 1), (3, 0)]);
    let no_stretch = Indicator { when: When::DuringAny("first_case".into()), ..served.clone() };
    assert!(no_stretch.check().unwrap_err().contains("no stretch of time"));
    let no_day = Indicator { when: When::In("worked_with".into()), ..served };
    assert!(no_day.check().unwrap_err().contains("no day"));
}

proptest! {
    /// Rows that are taken out and put in again are the same rows, whether their codes were told by code or by word.
    #[test]
    fn rows_that_are_renewed_are_as_if_made_anew(
        all in prop::collection::vec(("[abc]?", 0i64..50), 1..30),
        renewed in prop::collection::vec(any::<bool>(), 30),
    ) {
        let made = |rows: &[(usize, &(String, i64))]| {
            let (mut types, mut currencies) = (Codes::default(), Codes::default());
            for (_, (word, _)) in rows {
                types.push(code(word).as_ref());
                let word = Some(word.as_str()).filter(|word| !word.is_empty());
                currencies.push_word(word, |word| Code::new("currency", 1, word, word).ok());
            }
            Columns {
                counts: vec![true; rows.len()],
                units: rows.iter().map(|(row, _)| u32::try_from(*row).unwrap()).collect(),
                columns: BTreeMap::from([
                    ("opened".into(), Column::Day(vec![day("2026-05-05"); rows.len()])),
                    ("case_type".into(), Column::Code(types)),
                    ("currency".into(), Column::Code(currencies)),
                    ("amount".into(), Column::Number(rows.iter().map(|(_, (_, amount))| Some(*amount)).collect())),
                ]),
            }
        };
        let rows: Vec<(usize, &(String, i64))> = all.iter().enumerate().collect();
        let whole = made(&rows);
        let mut patched = whole.clone();
        let again: Vec<(usize, &(String, i64))> = rows.iter().filter(|(row, _)| renewed[*row]).copied().collect();
        again.iter().rev().for_each(|(row, _)| patched.swap_remove(*row));
        prop_assert!(patched.append(made(&again)));
        for by in ["case_type", "currency"] {
            let by = vec![By { column: by.into(), from: vec![], codes: vec![] }];
            let sum = Indicator { measure: Measure::Sum("amount".into()), by, ..indicator(opened()) };
            prop_assert_eq!(compute(&sum, &patched, year()), compute(&sum, &whole, year()));
        }
        let flags = Columns { columns: BTreeMap::from([("opened".into(), Column::Flag(vec![]))]), ..Columns::default() };
        prop_assert!(!patched.append(flags), "other columns");
    }

    /// Open at the start, and opened, less closed, is open at the end, whatever the cases are.
    #[test]
    fn stock_and_flow_balance(days in prop::collection::vec((0i32..1_200, prop::option::of(0i32..400)), 0..60)) {
        let start = "2025-01-01".parse::<Day>().unwrap();
        let at = |day: i32| start.plus_days(day).to_string();
        let made: Vec<(String, String)> = days
            .iter()
            .map(|(from, long)| (at(*from), long.map(|long| at(from + long)).unwrap_or_default()))
            .collect();
        let rows: Vec<(&str, &str, &str, bool)> =
            made.iter().map(|(from, until)| (from.as_str(), until.as_str(), "", true)).collect();
        let rows = cases(&rows);
        let number = |when: When| compute(&indicator(when), &rows, year()).cells[0].value;
        let stock = |when: fn(String, String) -> When| number(when("opened".into(), "closed".into()));
        let closed = number(When::In("closed".into()));
        prop_assert_eq!(stock(When::AtStart) + number(opened()) - closed, stock(When::AtEnd));
    }

    /// The cells of an indicator that is told apart, and what is missing, are all that it covers.
    #[test]
    fn cells_and_what_is_missing_are_all(words in prop::collection::vec("[abc]{0,1}", 0..40)) {
        let rows: Vec<(&str, &str, &str, bool)> = words.iter().map(|word| ("2026-05-05", "", word.as_str(), true)).collect();
        let by_type = Indicator { by: vec![By { column: "case_type".into(), from: vec![], codes: vec![] }], ..indicator(opened()) };
        let found = compute(&by_type, &cases(&rows), year());
        let counted: i64 = found.cells.iter().map(|cell| cell.value).sum();
        prop_assert_eq!(u64::try_from(counted).unwrap() + found.missing, found.covered);
    }
}
