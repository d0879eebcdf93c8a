use super::*;
use crate::indicators::{By, Codes, Column, Rule, SourceName, When};

pub(super) const THRESHOLD_HERE: u16 = 11;

pub(super) fn day(text: &str) -> Day {
    text.parse().unwrap()
}

pub(super) fn code(list: &str, word: &str) -> Code {
    Code::new(list, 1, word, word).unwrap()
}

pub(super) fn indicator(id: &str, source: Source, when: &str, by: &[&str]) -> Indicator {
    let by = by.iter().map(|column| By { column: (*column).into(), from: vec![], codes: vec![] }).collect();
    Indicator {
        id: id.into(),
        title: BTreeMap::from([("en".into(), id.into())]),
        source: SourceName(source),
        topic: indicators::Topic::Own,
        on: true,
        when: When::In(when.into()),
        measure: Measure::Count,
        by,
        of: vec![],
        share: vec![],
    }
}

pub(super) fn agreement(every: Rhythm, indicators: Vec<Indicator>) -> Agreement {
    let terms = Terms { threshold: THRESHOLD_HERE, ..Terms::plain(every) };
    Agreement { id: Word::new("network").unwrap(), version: 1, terms, indicators }
}

fn quarter(from: &str, to: &str) -> Period {
    Period::new(day(from), day(to)).unwrap()
}

fn table(agreement: &Agreement, period: Period, release: u32, figures: Vec<Figure>) -> Table {
    let figures = List::new(figures).unwrap();
    Table::new(agreement, (OfficeId::new([1; 32]), period, release), Timestamp::from_s(0), figures)
}

/// What may leave next, long after the periods.
fn next(
    agreement: &Agreement,
    period: Period,
    figures: Vec<Figure>,
    past: &[(Table, Option<&Agreement>)],
) -> Result<(Vec<Figure>, usize), Withhold> {
    let past = past.iter().map(|(table, agreement)| Past { table, agreement: *agreement });
    next_release(agreement, period, day("2027-06-01"), figures, past)
}

/// A person as statistics see one.
#[derive(Debug, Clone, Copy)]
pub(super) struct Somebody {
    pub(super) first: Day,
    pub(super) sex: Option<u8>,
    pub(super) age: u8,
    pub(super) nationality: Option<u8>,
}

pub(super) fn people(all: &[Somebody]) -> Columns {
    let column = |list: &str, of: &dyn Fn(&Somebody) -> Option<u8>| {
        let mut codes = Codes::default();
        all.iter().for_each(|one| codes.push(of(one).map(|at| code(list, &format!("{list}{at}"))).as_ref()));
        Column::Code(codes)
    };
    Columns {
        counts: vec![true; all.len()],
        units: vec![],
        columns: BTreeMap::from([
            ("first_case".into(), Column::Day(all.iter().map(|one| Some(one.first)).collect())),
            ("sex".into(), column("sex", &|one| one.sex)),
            ("age_band".into(), column("age_band", &|one| Some(one.age))),
            ("nationality".into(), column("nationality", &|one| one.nationality)),
        ]),
    }
}

pub(super) fn by_sex_and_age() -> Indicator {
    indicator("sex_age", Source::People, "first_case", &["sex", "age_band"])
}

pub(super) fn by_nationality() -> Indicator {
    indicator("nationality", Source::People, "first_case", &["nationality"])
}

#[test]
fn periods_follow_the_calendar() {
    let terms = Terms { from: Some(day("2026-01-01")), ..Terms::plain(Rhythm::Quarter) };
    let ended: Vec<String> = terms.ended(day("2026-10-05")).iter().map(ToString::to_string).collect();
    assert_eq!(ended, ["2026-07-01/2026-09-30", "2026-04-01/2026-06-30", "2026-01-01/2026-03-31"]);
    let last = terms.ended(day("2027-01-01"))[0];
    assert_eq!(
        (last.to_string().as_str(), terms.due(last).to_string().as_str()),
        ("2026-10-01/2026-12-31", "2027-01-15")
    );
    assert!(terms.has(last) && !terms.has(Period::new(last.from, last.to.plus_days(1)).unwrap()));
}

#[test]
fn an_agreement_that_would_tell_of_people_is_refused_with_what_to_change() {
    let refused = |indicators: Vec<Indicator>| agreement(Rhythm::Month, indicators).check().unwrap_err();
    assert!(agreement(Rhythm::Month, vec![by_sex_and_age(), by_nationality()]).check().is_ok());
    let twice = refused(vec![by_sex_and_age(), indicator("by_sex", Source::Cases, "opened", &["client_sex"])]);
    assert!(twice.contains("by_sex: sex_age tells people apart by sex as well"), "{twice}");
    let stock = Indicator { when: When::AtEnd("opened".into(), "closed".into()), ..by_nationality() };
    assert!(refused(vec![stock]).contains("one period alone"));
    let share = Rule { column: "sex".into(), is: vec!["female".into()], ..Rule::default() };
    assert!(refused(vec![Indicator { share: vec![share.clone()], ..by_nationality() }]).contains("leave the rule out"));
    let sum = Indicator { measure: Measure::Sum("cases".into()), ..by_nationality() };
    assert!(refused(vec![sum]).contains("only how many"));
    // The rest of a part, a margin that is told exactly elsewhere, and periods of one's own.
    assert!(refused(vec![Indicator { of: vec![share], ..by_nationality() }]).contains("leave the rule out"));
    let crossed = indicator("crossed", Source::Cases, "opened", &["case_type", "client_sex"]);
    assert!(refused(vec![crossed]).contains("tables of its own"));
    assert!(agreement(Rhythm::Chosen, vec![by_sex_and_age()]).check().unwrap_err().contains("every = \"quarter\""));
    let low = Agreement {
        terms: Terms { threshold: 2, ..agreement(Rhythm::Month, vec![]).terms },
        ..agreement(Rhythm::Month, vec![])
    };
    assert!(low.check().unwrap_err().contains("threshold"));
}

#[test]
fn a_table_of_people_leaves_without_its_small_numbers_and_a_small_one_not_at_all() {
    let somebody = |sex, age| Somebody { first: day("2026-03-01"), sex: Some(sex), age, nationality: None };
    let many = |sex, age, count| vec![somebody(sex, age); count];
    let all = [many(0, 0, 40), many(0, 1, 3), many(1, 0, 30), many(1, 1, 25)].concat();
    let year = Period::year(2026).unwrap();
    let figure = released(&by_sex_and_age(), &people(&all), year, THRESHOLD_HERE);
    assert_eq!(figure.covered, Some(98));
    let value = |sex: Option<&str>, age: Option<&str>| {
        let class = |list, word: Option<&str>| word.map_or(Class::All, |word| Class::Code(code(list, word)));
        let key = [class("sex", sex), class("age_band", age)];
        figure.cells.iter().find(|cell| cell.classes.as_slice() == key).map(|cell| cell.value)
    };
    assert_eq!(value(Some("sex0"), Some("age_band1")), Some(None), "three people");
    assert_eq!(value(Some("sex0"), None), Some(Some(43)));
    assert_eq!(value(None, None), Some(Some(98)));
    assert_eq!(figure.withheld, 4, "a circle of four");
    let few = released(&by_sex_and_age(), &people(&all[..9]), year, THRESHOLD_HERE);
    assert_eq!((few.covered, few.missing, few.excluded, few.cells.as_slice().len()), (None, None, None, 0));
    // The office itself sees all of it.
    assert_eq!(whole(&by_sex_and_age(), &people(&all[..9]), year).covered, Some(9));
}

#[test]
fn money_of_one_person_is_not_known_from_a_sum() {
    let mut types = Codes::default();
    let mut currencies = Codes::default();
    let mut amounts = Vec::new();
    let mut units = Vec::new();
    // Wages: twenty payments to one case, and one each to eleven others. Land: a dozen cases alike.
    for (kind, unit, amount) in (0..20)
        .map(|_| ("wages", 0, 90_000))
        .chain((1..12).map(|unit| ("wages", unit, 10_000)))
        .chain((20..32).map(|unit| ("land", unit, 40_000)))
        .chain((40..60).map(|unit| ("eviction", unit, 50_000)))
    {
        types.push(Some(&code("case_type", kind)));
        currencies.push(Some(&code("currency", "ZAR")));
        amounts.push(Some(amount));
        units.push(unit);
    }
    let columns = Columns {
        counts: vec![true; amounts.len()],
        units,
        columns: BTreeMap::from([
            ("paid".into(), Column::Day(vec![Some(day("2026-03-01")); amounts.len()])),
            ("case_type".into(), Column::Code(types)),
            ("currency".into(), Column::Code(currencies)),
            ("amount".into(), Column::Number(amounts)),
        ]),
    };
    let by_type = Indicator {
        measure: Measure::Sum("amount".into()),
        ..indicator("money", Source::Payments, "paid", &["currency", "case_type"])
    };
    let figure = released(&by_type, &columns, Period::year(2026).unwrap(), THRESHOLD_HERE);
    let shown: Vec<(String, Option<i64>)> = figure
        .cells
        .iter()
        .map(|cell| match &cell.classes.as_slice()[1] {
            Class::Code(code) => (code.code.to_string(), cell.value),
            _ => ("all".into(), cell.value),
        })
        .collect();
    let all = 1_800_000 + 110_000 + 480_000 + 1_000_000;
    // One case has nearly all of the wages; the total less the others would tell them, so the smallest other is withheld, too.
    assert!(shown.contains(&("wages".into(), None)) && shown.contains(&("all".into(), Some(all))), "{shown:?}");
    assert_eq!(shown.iter().filter(|(_, value)| value.is_none()).count(), 2, "{shown:?}");
}

#[test]
fn what_left_binds_what_leaves() {
    let first = quarter("2026-01-01", "2026-03-31");
    let somebody = |sex, age| Somebody { first: day("2026-02-01"), sex: Some(sex), age, nationality: Some(0) };
    let all = |more: usize| {
        [vec![somebody(0, 0); 40 + more], vec![somebody(0, 1); 30], vec![somebody(1, 0); 30], vec![somebody(1, 1); 25]]
            .concat()
    };
    let own = agreement(Rhythm::Quarter, vec![by_sex_and_age()]);
    let figures = |all: &[Somebody], period| vec![released(&by_sex_and_age(), &people(all), period, THRESHOLD_HERE)];
    let one = figures(&all(0), first);
    assert_eq!(next(&own, first, one.clone(), &[]), Ok((one.clone(), 0)));
    let past = [(table(&own, first, 1, one.clone()), Some(&own))];
    assert_eq!(next(&own, first, one.clone(), &past), Err(Withhold::Unchanged(0)));
    // Three more people wait, a dozen more may be told.
    assert_eq!(next(&own, first, figures(&all(3), first), &past), Err(Withhold::Unchanged(1)));
    let dozen = figures(&all(12), first);
    assert_eq!(next(&own, first, dozen.clone(), &past), Ok((dozen, 0)));
    // What was nobody at first can become many, and not few.
    let nobody = [(table(&own, first, 1, figures(&[], first)), Some(&own))];
    assert_eq!(next(&own, first, one.clone(), &nobody), Ok((one.clone(), 0)));
    assert_eq!(next(&own, first, figures(&all(0)[..5], first), &nobody), Err(Withhold::Unchanged(1)));
    // Back to nearly what it was first: the first release is not forgotten.
    let later = [past[0].clone(), (table(&own, first, 2, figures(&all(12), first)), Some(&own))];
    assert_eq!(next(&own, first, figures(&all(1), first), &later), Err(Withhold::Unchanged(1)));
    // Nothing that overlaps, under no name and no version.
    let newer = Agreement { version: 2, ..own.clone() };
    assert_eq!(next(&newer, first, one.clone(), &past), Err(Withhold::OtherVersion(1)));
    let other_text = Agreement { indicators: vec![by_sex_and_age(), by_nationality()], ..own.clone() };
    assert_eq!(
        next(&other_text, first, one.clone(), &past),
        Err(Withhold::OtherVersion(1)),
        "the same name and number"
    );
    let yearly = |indicator: Indicator| Agreement {
        id: Word::new("other").unwrap(),
        terms: Terms { every: Rhythm::Year, ..own.terms.clone() },
        indicators: vec![indicator],
        ..own.clone()
    };
    let by_sex = yearly(indicator("by_sex", Source::Cases, "opened", &["client_sex"]));
    let year = Period::year(2026).unwrap();
    assert_eq!(next(&by_sex, year, vec![], &past), Err(Withhold::Finer(own.id.clone(), "sex".into())));
    let by_nationality = yearly(by_nationality());
    let apart = Err(Withhold::Finer(own.id.clone(), first.to_string()));
    assert_eq!(next(&by_nationality, year, vec![], &past), apart, "a year less its first quarter is the rest");
    let plain = yearly(indicator("opened", Source::Cases, "opened", &["case_type"]));
    assert!(next(&plain, year, vec![], &past).is_ok(), "case types tell of nobody");
    assert_eq!(next(&own, quarter("2027-04-01", "2027-06-30"), vec![], &past), Err(Withhold::Open));
    let chosen = agreement(Rhythm::Chosen, vec![indicator("opened", Source::Cases, "opened", &["case_type"])]);
    let left = [(table(&chosen, first, 1, vec![]), Some(&chosen))];
    let longer = quarter("2026-01-01", "2026-04-30");
    assert_eq!(next(&chosen, longer, vec![], &left), Err(Withhold::Overlaps(first)));
}

#[test]
fn a_sum_of_offices_says_what_is_withheld_in_it() {
    let somebody = |sex| Somebody { first: day("2026-03-01"), sex: Some(sex), age: 0, nationality: None };
    let by_sex = indicator("sex", Source::People, "first_case", &["sex"]);
    let of = |women: usize, men: usize| {
        let all = [vec![somebody(0); women], vec![somebody(1); men]].concat();
        vec![released(&by_sex, &people(&all), Period::year(2026).unwrap(), THRESHOLD_HERE)]
    };
    let (one, other, small) = (of(40, 20), of(30, 2), of(3, 0));
    let sum = total([one.as_slice(), other.as_slice(), small.as_slice()], |_| true);
    let values: Vec<Option<i64>> = sum[0].cells.iter().map(|cell| cell.value).collect();
    assert_eq!(values, [Some(40), Some(20), Some(92)], "women, men, all: of the two that told");
    assert_eq!((sum[0].covered, sum[0].withheld), (Some(92), 3));
    // The women of the second office, the men of it, and whoever the third did not tell of.
    let by = |sum: &[Figure]| sum[0].cells.iter().map(|cell| cell.withheld_by).collect::<Vec<_>>();
    assert_eq!((by(&sum), sum[0].withheld_by), (vec![Some(2), Some(2), Some(1)], Some(1)));
    // On the next level nothing of that is forgotten.
    let nation = total([sum.as_slice(), one.as_slice()], |_| true);
    assert_eq!((by(&nation), nation[0].withheld_by), (by(&sum), Some(1)));
    assert_eq!(nation[0].cells.iter().map(|cell| cell.value).collect::<Vec<_>>(), [Some(80), Some(40), Some(152)]);
}

#[test]
fn a_currency_that_an_office_withheld_marks_what_others_told_in_it() {
    let code = |list, code| Class::Code(word_code(list, code).unwrap());
    let cell =
        |classes: Vec<Class>, value| Cell { classes: List::new(classes).unwrap(), value, of: None, withheld_by: None };
    let figure = |cells| Figure {
        indicator: Word::new("money").unwrap(),
        cells: List::new(cells).unwrap(),
        covered: Some(9),
        missing: Some(0),
        excluded: Some(0),
        withheld: 0,
        withheld_by: None,
    };
    let told = vec![
        cell(vec![code("currency", "ZAR"), code("sex", "female")], Some(900)),
        cell(vec![code("currency", "ZAR"), Class::All], Some(900)),
        cell(vec![code("currency", "USD"), Class::All], Some(50)),
    ];
    let (one, other) = (vec![figure(told)], vec![figure(vec![cell(vec![code("currency", "ZAR"), Class::All], None)])]);
    let sum = total([one.as_slice(), other.as_slice()], |_| true);
    let by: Vec<_> = sum[0].cells.iter().map(|cell| (cell.value, cell.withheld_by)).collect();
    assert_eq!(by, [(Some(50), None), (Some(900), Some(1)), (Some(900), Some(1))]);
    // What another region tells of a class that the first does not name is marked as well.
    let men = vec![
        cell(vec![code("currency", "ZAR"), code("sex", "male")], Some(400)),
        cell(vec![code("currency", "ZAR"), Class::All], Some(400)),
    ];
    let nation = total([sum.as_slice(), vec![figure(men)].as_slice()], |_| true);
    let by: Vec<_> = nation[0].cells.iter().map(|cell| (cell.value, cell.withheld_by)).collect();
    assert_eq!(by, [(Some(50), None), (Some(900), Some(1)), (Some(400), Some(1)), (Some(1_300), Some(1))]);
    // Numbers in the middle are not added.
    let none = total([one.as_slice(), other.as_slice()], |_| false);
    assert_eq!((none[0].cells.as_slice().len(), none[0].covered), (0, Some(18)));
}

/// A finished table may say less than the one before: what it leaves out stays, and no person can be told by leaving one out between two.
#[test]
fn what_a_table_leaves_out_stays_as_it_was_told() {
    let of = |women: usize| {
        let somebody = Somebody { first: day("2026-02-01"), sex: Some(0), age: 0, nationality: None };
        let people = people(&vec![somebody; women]);
        let opened = Outcome {
            cells: vec![indicators::Cell { classes: vec![], value: 7, of: 7, largest: 1 }],
            covered: 7,
            missing: 0,
            excluded: 0,
        };
        let (sex, cases) = (by_sex(), indicator("opened", Source::Cases, "opened", &[]));
        vec![
            withheld(&cases, &opened, 11),
            released(&sex, &people, quarter("2026-01-01", "2026-03-31"), THRESHOLD_HERE),
        ]
    };
    let spring = quarter("2026-01-01", "2026-03-31");
    let asked = agreement(Rhythm::Quarter, vec![indicator("opened", Source::Cases, "opened", &[]), by_sex()]);
    let first = table(&asked, spring, 1, of(30));
    let left = vec![(first.clone(), Some(&asked))];
    // The second tells of cases alone; people stay.
    let cases = vec![of(30).remove(0)];
    assert_eq!(next(&asked, spring, cases.clone(), &left), Err(Withhold::Unchanged(0)));
    let fewer = vec![(table(&asked, spring, 1, cases.clone()), Some(&asked))];
    // Of people who were never told beside others, so few more do not tell.
    assert_eq!(next(&asked, spring, of(31), &left), Err(Withhold::Unchanged(1)), "one more waits");
    // Also where the second release left people out.
    let twice = vec![(first.clone(), Some(&asked)), (table(&asked, spring, 2, of(30)), Some(&asked))];
    assert_eq!(next(&asked, spring, of(31), &twice), Err(Withhold::Unchanged(1)));
    assert_eq!(next(&asked, spring, of(30), &fewer), Err(Withhold::Unchanged(1)), "people cannot come later");
}

pub(super) fn by_sex() -> Indicator {
    indicator("sex", Source::People, "first_case", &["sex"])
}

#[test]
fn steps_are_months_quarters_or_years_and_fill_the_period() {
    let period = |from: &str, to: &str| Period::new(from.parse().unwrap(), to.parse().unwrap()).unwrap();
    let all = |from, to| steps(period(from, to), 24).iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(
        all("2025-12-20", "2026-02-03"),
        ["2025-12-20/2025-12-31", "2026-01-01/2026-01-31", "2026-02-01/2026-02-03"]
    );
    assert_eq!(all("2024-01-01", "2025-12-31").len(), 24);
    assert_eq!(all("2023-12-31", "2025-12-31")[..2], ["2023-12-31/2023-12-31", "2024-01-01/2024-03-31"]);
    assert_eq!(all("2000-01-01", "2026-11-30").len(), 24, "so many years and no more");
    assert_eq!(all("2000-01-01", "2026-11-30").last().unwrap(), "2026-01-01/2026-11-30", "the last of them");
    assert_eq!(all("2017-01-01", "2026-11-30").last().unwrap(), "2026-01-01/2026-11-30");
}

/// What would tell of somebody exactly is no agreement, in whatever source it is written.
#[test]
fn what_tells_of_somebody_by_another_name_is_refused() {
    let refused = |source: Source, when: &str, change: &dyn Fn(&mut Indicator)| {
        let mut one = by_nationality();
        (one.source, one.when, one.by) = (SourceName(source), When::In(when.into()), Vec::new());
        change(&mut one);
        one.check().unwrap();
        agreement(Rhythm::Quarter, vec![one]).check().unwrap_err()
    };
    let by = |column: &str| vec![By { column: column.into(), from: vec![], codes: vec![] }];
    let is = |column: &str, code: &str| vec![Rule { column: column.into(), is: vec![code.into()], ..Rule::default() }];
    let service = || is("kind", "service");
    let typed = refused(Source::People, "first_case", &|one| one.by = by("area"));
    assert!(typed.contains("somebody typed"), "{typed}");
    let died =
        refused(Source::Referrals, "sent", &|one| (one.of, one.by) = (is("reason", "died_or_missing"), by("service")));
    assert!(died.contains("leaves the rest"), "{died}");
    let feedback = refused(Source::Entries, "on", &|one| one.of = is("kind", "feedback"));
    assert!(feedback.contains("what happened to somebody"), "{feedback}");
    let all = refused(Source::Entries, "on", &|one| one.by = by("case_type"));
    assert!(all.contains("what happened to somebody"), "{all}");
    for column in ["client_sex", "code:service_outcome", "currency:cost"] {
        let answers = refused(Source::Entries, "on", &|one| (one.of, one.by) = (service(), by(column)));
        assert!(answers.contains("one person has many"), "{column}: {answers}");
    }
    let score = |one: &mut Indicator| one.measure = Measure::Median("last_score".into());
    assert!(refused(Source::Assessments, "last", &score).contains("one person has many"));
    let wages = refused(Source::Payments, "paid", &|one| one.by = by("case_type"));
    assert!(wages.contains("many payments"), "{wages}");
    let load = refused(Source::Workers, "since", &|_| ());
    assert!(load.contains("do not leave"), "{load}");
}
