//! What statistics cost: a set of indicators over a million cases, a table that is protected, and secure sums of many offices.

use super::{Figure, figure, median_us};
use anyhow::{Context as _, Result};
use casemesh_node::indicators::{self, SHIPPED};
use casemesh_node::secure_sum::{Received, SecureSum, VERIFY_KEY_BYTES};
use casemesh_protocol::disclosure::{Grid, Place};
use casemesh_protocol::indicators::{Codes, Column, ColumnKind, Columns, End, Indicator, Source};
use casemesh_protocol::statistics::{whole, word_code};
use casemesh_protocol::time::{Day, Period};
use std::hint::black_box;
use std::time::Instant;

const CASES: usize = 1_000_000;
const RUNS: usize = 5;
const CELLS: usize = 200;
/// What one office may count in all: ten bits a number, as in the measurements that the budget is from.
const MOST: u32 = 1_023;
const OFFICES: [usize; 3] = [100, 1_000, 10_000];
const KEY: [u8; VERIFY_KEY_BYTES] = [7; VERIFY_KEY_BYTES];

pub(super) fn run() -> Result<Vec<Figure>> {
    let mut figures = Vec::from(set()?);
    figures.push(table()?);
    for offices in OFFICES {
        figures.extend(sum(offices)?);
    }
    Ok(figures)
}

/// Numbers that look like chance, and are the same each time.
fn spread(seed: usize, of: usize) -> usize {
    (seed.wrapping_mul(2_654_435_761).wrapping_add(seed >> 7) >> 5) % of
}

/// Rows of a source with every column that these indicators name: of each kind, some of it not recorded.
fn columns(source: Source, set: &[Indicator], rows: std::ops::Range<usize>) -> Result<Columns> {
    let start = Day::new(2020, 1, 1).context("a day")?;
    let begun = |at: usize| start.plus_days(i32::try_from(spread(at, 2_192)).unwrap_or_default());
    let end = |at: usize| End::of((spread(at + 7, 5) > 0).then(|| begun(at).plus_days(40)));
    let own = || set.iter().filter(|one| one.source.0 == source);
    let is_end = |column: &str| own().any(|one| one.when.days().get(1).is_some_and(|until| *until == column));
    let make = |column: &str| {
        let seed = column.len() * 31;
        Some(match source.kind_of(column)? {
            ColumnKind::Day if is_end(column) => Column::End(rows.clone().map(end).collect()),
            ColumnKind::Day => Column::Day(rows.clone().map(|at| Some(begun(at))).collect()),
            ColumnKind::Stretches => Column::Stretches(rows.clone().map(|at| [(begun(at), end(at))].into()).collect()),
            ColumnKind::Flag => Column::Flag(rows.clone().map(|at| spread(at + seed, 30) > 0).collect()),
            ColumnKind::Number => {
                let number = |at: usize| (spread(at + seed, 20) > 0).then(|| i64::try_from(spread(at, 400)).ok());
                Column::Number(rows.clone().map(|at| number(at).flatten()).collect())
            }
            ColumnKind::Code => {
                let words: Vec<String> = (0..12).map(|at| format!("code{at}")).collect();
                let mut codes = Codes::default();
                for at in rows.clone() {
                    let word = (spread(at + seed, 4) > 0).then(|| words.get(spread(at + 3, 12))).flatten();
                    codes.push_word(word.map(String::as_str), |word| word_code("bench", word));
                }
                Column::Code(codes)
            }
        })
    };
    let names = own().flat_map(|one| one.when.days().into_iter().chain(one.columns()));
    Ok(Columns {
        counts: rows.clone().map(|at| spread(at + 1, 50) > 0).collect(),
        units: Vec::new(),
        columns: names.filter_map(|name| Some((name.to_owned(), make(name)?))).collect(),
    })
}

/// The whole set that every office has, over a million rows of each source; and again after one case changed.
fn set() -> Result<[Figure; 2]> {
    let year = Period::year(2024).context("a year")?;
    let all = indicators::read(SHIPPED.first().context("a set")?.1).map_err(anyhow::Error::msg)?.indicators;
    let mut took = 0.0;
    for source in Source::ALL {
        let rows = columns(*source, &all, 0..CASES)?;
        let own = || all.iter().filter(|one| one.source.0 == *source);
        took += median_us(RUNS, || {
            own().for_each(|one| drop(black_box(whole(one, &rows, year))));
            Ok(())
        })?;
    }
    let mut cases = columns(Source::Cases, &all, 0..CASES)?;
    let of_cases: Vec<&Indicator> = all.iter().filter(|one| one.source.0 == Source::Cases).collect();
    let mut next = CASES;
    let mut renewed = 0.0;
    let after = median_us(RUNS, || {
        let began = Instant::now();
        next += 1;
        cases.swap_remove(spread(next, CASES));
        anyhow::ensure!(cases.append(columns(Source::Cases, &all, next..next + 1)?), "the same columns");
        renewed = began.elapsed().as_secs_f64() * 1e6;
        of_cases.iter().for_each(|one| drop(black_box(whole(one, &cases, year))));
        Ok(())
    })?;
    // One number of the same cases, by hand: how many of each type were opened in the year.
    let types: Vec<u8> = (0..CASES).map(|at| u8::try_from(spread(at + 3, 12)).unwrap_or_default()).collect();
    let Some(Column::Day(opened)) = cases.columns.get("opened") else { anyhow::bail!("no days") };
    let plain = median_us(RUNS, || {
        let mut counts = [0u64; 256];
        for ((day, kind), counts_too) in opened.iter().zip(&types).zip(&cases.counts) {
            if *counts_too
                && day.is_some_and(|day| year.contains(day))
                && let Some(count) = counts.get_mut(usize::from(*kind))
            {
                *count += 1;
            }
        }
        black_box(counts);
        Ok(())
    })?;
    let many = |all: usize| f64::from(u32::try_from(all).unwrap_or(1));
    Ok([
        figure(
            "the whole set over 1,000,000 rows of each source (us each)",
            took / many(all.len()),
            "a plain loop over arrays, one number",
            plain,
            format!("{} indicators in {:.0} ms", all.len(), took / 1e3),
        ),
        figure(
            "those of cases again, one row put in the place of another (us)",
            after,
            "the whole set",
            took,
            format!("{} indicators; the row took {renewed:.0} us of it", of_cases.len()),
        ),
    ])
}

/// A table of 20 rows and 12 columns, most numbers small.
fn table() -> Result<Figure> {
    let (rows, columns, threshold) = (20, 12, 11);
    let cells: Vec<i64> = (0..rows * columns).map(|at| i64::try_from(spread(at, 40)).unwrap_or_default()).collect();
    let sum = |at: &dyn Fn(usize) -> bool| -> i64 {
        cells.iter().enumerate().filter(|(cell, _)| at(*cell)).map(|(_, value)| *value).sum()
    };
    let need = |place: Place| {
        let value = match place {
            Place::Cell(at) => cells.get(at).copied().unwrap_or_default(),
            Place::Row(row) => sum(&|cell| cell / columns == row),
            Place::Column(column) => sum(&|cell| cell % columns == column),
            Place::Total => sum(&|_| true),
        };
        (1..threshold).contains(&value).then_some(threshold)
    };
    let mut withheld = 0;
    let ours = median_us(RUNS, || {
        withheld = Grid::new(columns, &cells, need, |_| 1).protect().count();
        Ok(())
    })?;
    let bare = median_us(RUNS, || {
        black_box(Grid::new(columns, &cells, need, |_| 1));
        Ok(())
    })?;
    let small = cells.iter().filter(|value| (1..threshold).contains(*value)).count();
    Ok(figure(
        "a table of 20 by 12 protected (us)",
        ours,
        "the same table added up",
        bare,
        format!("{small} small numbers, {withheld} withheld"),
    ))
}

fn sum(offices: usize) -> Result<Vec<Figure>> {
    let sum = SecureSum::new(CELLS, MOST, b"bench")?;
    // Few reports stand for many: each is checked as often as it takes.
    let distinct = offices.min(100);
    let numbers = |office: usize| -> Vec<u64> {
        (0..CELLS).map(|at| u64::try_from(spread(office * CELLS + at, 10)).unwrap_or_default() / 2).collect()
    };
    let mut reports = Vec::with_capacity(distinct);
    let start = Instant::now();
    for office in 0..distinct {
        reports.push(sum.split(&numbers(office))?);
    }
    let split = start.elapsed().as_secs_f64() * 1e6 / f64::from(u32::try_from(distinct)?);
    let (mut leads, mut helps) = (Vec::with_capacity(offices), Vec::with_capacity(offices));
    let (mut leader, mut helper) = (0.0, 0.0);
    for report in reports.iter().cycle().take(offices) {
        let lead = Received { nonce: &report.nonce, public: &report.public, share: &report.leader };
        let help = Received { nonce: &report.nonce, public: &report.public, share: &report.helper };
        let start = Instant::now();
        let question = sum.question(&KEY, lead)?;
        leader += start.elapsed().as_secs_f64();
        let start = Instant::now();
        let (answer, added) = sum.answer(&KEY, help, &question)?;
        helper += start.elapsed().as_secs_f64();
        helps.push(added);
        let start = Instant::now();
        leads.push(sum.conclude(&KEY, lead, &answer)?);
        leader += start.elapsed().as_secs_f64();
    }
    let start = Instant::now();
    let (lead, help) = (sum.added(&leads, None)?, sum.added(&helps, None)?);
    let adding = start.elapsed().as_secs_f64() / 2.0;
    let total = sum.total(&lead, &help, offices)?;
    anyhow::ensure!(total.len() == CELLS, "a sum of another length");
    let start = Instant::now();
    reports.iter().cycle().take(offices).try_for_each(|report| sum.bare(&KEY, report))?;
    let bare = start.elapsed().as_secs_f64() / 2.0;
    let bytes = reports.first().map_or(0, |report| report.public.len() * 2 + report.leader.len() + report.helper.len());
    let note = |what: &str| format!("{offices} offices, {CELLS} numbers{what}");
    let mut out = vec![
        figure(
            "secure sum, helper (CPU ms)",
            (helper + adding) * 1e3,
            "the bare calls of prio, one aggregator",
            bare * 1e3,
            note(""),
        ),
        figure(
            "secure sum, leader (CPU ms)",
            (leader + adding) * 1e3,
            "the bare calls of prio, one aggregator",
            bare * 1e3,
            note(", which begins each check twice and keeps nothing between"),
        ),
    ];
    if offices == 100 {
        let per_report = bare * 1e6 / f64::from(u32::try_from(offices)?);
        out.push(figure(
            "split an office's numbers (us)",
            split,
            "check one report, bare",
            per_report,
            note(&format!(", {bytes} bytes an office")),
        ));
    }
    Ok(out)
}
