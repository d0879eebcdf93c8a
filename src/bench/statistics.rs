//! What statistics cost: a set of indicators over a million cases, a table that is protected, and secure sums of many offices.

use super::{Figure, figure, median_us};
use anyhow::{Context as _, Result};
use casemesh_node::indicators::{self, SHIPPED};
use casemesh_node::secure_sum::{Received, SecureSum, VERIFY_KEY_BYTES};
use casemesh_protocol::disclosure::{Grid, Place};
use casemesh_protocol::indicators::{Codes, Column, Columns, End, Indicator, Source};
use casemesh_protocol::statistics::{whole, word_code};
use casemesh_protocol::time::{Day, Period};
use std::collections::BTreeMap;
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
    let mut figures = vec![set()?, table()?];
    for offices in OFFICES {
        figures.extend(sum(offices)?);
    }
    Ok(figures)
}

/// Numbers that look like chance, and are the same each time.
fn spread(seed: usize, of: usize) -> usize {
    (seed.wrapping_mul(2_654_435_761).wrapping_add(seed >> 7) >> 5) % of
}

fn set() -> Result<Figure> {
    let start = Day::new(2020, 1, 1).context("a day")?;
    let year = Period::year(2024).context("a year")?;
    let opened: Vec<Day> =
        (0..CASES).map(|at| start.plus_days(i32::try_from(spread(at, 2_192)).unwrap_or_default())).collect();
    let closed = |at: usize| (spread(at + 7, 5) > 0).then(|| opened.get(at).map(|day| day.plus_days(40))).flatten();
    let codes = |list: &str, of: usize, missing: usize| {
        let words: Vec<String> = (0..of).map(|at| format!("{list}{at}")).collect();
        let mut all = Codes::default();
        for at in 0..CASES {
            let word = (spread(at + of, missing) > 0).then(|| words.get(spread(at + 3, of))).flatten();
            all.push_word(word.map(String::as_str), |word| word_code(list, word));
        }
        Column::Code(all)
    };
    let columns = Columns {
        counts: (0..CASES).map(|at| spread(at + 1, 50) > 0).collect(),
        units: Vec::new(),
        columns: BTreeMap::from([
            ("opened".into(), Column::Day(opened.iter().copied().map(Some).collect())),
            ("closed".into(), Column::End((0..CASES).map(|at| End::of(closed(at))).collect())),
            ("case_type".into(), codes("case_type", 22, 20)),
            ("days_open".into(), Column::Number((0..CASES).map(|at| i64::try_from(spread(at, 400)).ok()).collect())),
            ("has_owner".into(), Column::Flag((0..CASES).map(|at| spread(at + 2, 30) > 0).collect())),
            ("fact:case_source".into(), codes("case_source", 12, 3)),
            ("fact:closure_reason".into(), codes("closure_reason", 16, 4)),
            ("fact:forum".into(), codes("forum", 8, 2)),
        ]),
    };
    let all = indicators::read(SHIPPED.first().context("a set")?.1).map_err(anyhow::Error::msg)?;
    let own: Vec<&Indicator> = all.indicators.iter().filter(|one| one.source.0 == Source::Cases).collect();
    let ours = median_us(RUNS, || {
        own.iter().for_each(|one| drop(black_box(whole(one, &columns, year))));
        Ok(())
    })?;
    // One number of the same cases, by hand: how many of each type were opened in the year.
    let types: Vec<u8> = (0..CASES).map(|at| u8::try_from(spread(at + 3, 22)).unwrap_or_default()).collect();
    let plain = median_us(RUNS, || {
        let mut counts = [0u64; 256];
        for ((day, kind), counts_too) in opened.iter().zip(&types).zip(&columns.counts) {
            if *counts_too
                && year.contains(*day)
                && let Some(count) = counts.get_mut(usize::from(*kind))
            {
                *count += 1;
            }
        }
        black_box(counts);
        Ok(())
    })?;
    let many = f64::from(u32::try_from(own.len()).unwrap_or(1));
    Ok(figure(
        "indicators over 1,000,000 cases (us each)",
        ours / many,
        "a plain loop over arrays, one number",
        plain,
        format!("{} indicators in {:.0} ms", own.len(), ours / 1e3),
    ))
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
