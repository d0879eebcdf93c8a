//! Pictures of figures: where each bar, line and word of one stands, computed once, and drawn by a template. Every picture has a title, a
//! description and, below it, the table that it is drawn from; what tells series apart is a pattern or a dash as well as a colour.

use crate::page::Page;
use casemesh_node::office::{CellView, ClassView, CrossRow, FigureView, LineView, TrendView};
use casemesh_protocol::time::Period;
use std::collections::BTreeSet;

/// Width of the part of a picture that is drawn in, in its own units.
const WIDE: i64 = 600;
/// Height of a picture of lines.
const HIGH: i64 = 200;
/// Most series that can be told apart by pattern.
const SERIES_MAX: usize = 6;
/// Most bars in one picture: more are a list.
const BARS_MAX: usize = 24;
/// Longest bar of a pyramid: beside it stands its number, and in the middle the age.
const SIDE: i64 = 170;
/// About so many lines across a picture that one reads values at.
const TICKS: i64 = 4;
/// About so many words below it.
const LABELS: usize = 5;

/// A figure over time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Lines {
    /// Values to read at, from the lowest: how high each stands, and what is written there.
    pub(crate) ticks: Vec<(i64, String)>,
    /// What is written below: where, and what.
    pub(crate) labels: Vec<(i64, String)>,
    /// The lines.
    pub(crate) lines: Vec<Line>,
}

/// One line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Line {
    /// What it is of.
    pub(crate) name: String,
    /// Its points as SVG writes them, part by part: between two parts nothing is known.
    pub(crate) paths: Vec<String>,
    /// The same, each for itself, with what it says.
    pub(crate) points: Vec<(i64, i64, String)>,
}

/// What steps in time are called: a month, a quarter or a year by its usual name, also where it is cut off.
pub(crate) fn step_name(step: &Period) -> String {
    let (from, to) = (step.from, step.to);
    let year = from.year();
    let quarter = |month: u8| (month - 1) / 3;
    let is_in_year = year == to.year();
    if is_in_year && from.month() == to.month() {
        return format!("{year}-{:02}", from.month());
    }
    if is_in_year && quarter(from.month()) == quarter(to.month()) {
        return format!("{year} {}", ["I", "II", "III", "IV"].get(usize::from(quarter(from.month()))).unwrap_or(&""));
    }
    year.to_string()
}

/// A round number that a few of reach a value.
fn round_step(most: i64) -> i64 {
    let wanted = (most / TICKS).max(1);
    let mut step = 1i64;
    for factor in [2, 5, 10].into_iter().cycle().take(60) {
        if step >= wanted {
            break;
        }
        let tens = 10i64.saturating_pow(step.ilog10());
        step = tens.saturating_mul(factor);
    }
    step
}

/// The lines of a figure over time; none where there is nothing to draw.
pub(crate) fn lines(page: &Page, trend: &TrendView) -> Option<Lines> {
    let most = trend.lines.iter().flat_map(|line| &line.values).flatten().copied().max()?.max(1);
    let step = round_step(most);
    let top = most.div_euclid(step).saturating_add(i64::from(most % step != 0)).saturating_mul(step);
    let last = i64::try_from(trend.steps.len().checked_sub(1)?).ok()?;
    let across = |at: usize| i64::try_from(at).unwrap_or(0) * WIDE / last.max(1);
    let up =
        |value: i64| HIGH - i64::try_from(i128::from(value.max(0)) * i128::from(HIGH) / i128::from(top)).unwrap_or(0);
    // Money is written as the cells of the figure are: with its decimals.
    let with_value = |line: &'_ LineView| {
        line.written.iter().zip(&line.values).find_map(|(written, value)| {
            let decimals = written.rsplit_once('.').map_or(0, |(_, decimals)| decimals.len());
            value.filter(|value| *value != 0).map(|_| decimals)
        })
    };
    let decimals = trend.lines.iter().find_map(with_value);
    let written = |value: i64| match decimals.unwrap_or(0) {
        0 => value.to_string(),
        places => (value / 10i64.saturating_pow(u32::try_from(places).unwrap_or(0))).to_string(),
    };
    let every = trend.steps.len().div_ceil(LABELS).max(1);
    let line = |line: &LineView| {
        let points: Vec<Option<(i64, i64, String)>> = line
            .values
            .iter()
            .zip(&line.written)
            .zip(&trend.steps)
            .enumerate()
            .map(|(at, ((value, written), step))| {
                Some((across(at), up((*value)?), format!("{}: {written}", step_name(step))))
            })
            .collect();
        // Where nothing is known the line has a gap.
        let path = |part: &[Option<(i64, i64, String)>]| {
            let points: Vec<String> = part.iter().flatten().map(|(x, y, _)| format!("{x},{y}")).collect();
            points.join(" ")
        };
        let paths = points.split(Option::is_none).filter(|part| part.len() > 1).map(path).collect();
        Line { name: page.classes(&line.classes), paths, points: points.into_iter().flatten().collect() }
    };
    Some(Lines {
        ticks: (0..=top / step).map(|tick| (up(tick * step), written(tick * step))).collect(),
        labels: trend.steps.iter().enumerate().step_by(every).map(|(at, step)| (across(at), step_name(step))).collect(),
        lines: trend.lines.iter().map(line).collect(),
    })
}

/// A picture of bars that are made of parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stack {
    /// What each pattern stands for.
    pub(crate) series: Vec<String>,
    /// The bars.
    pub(crate) bars: Vec<Bar>,
}

/// One bar.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Bar {
    /// What it is of.
    pub(crate) name: String,
    /// Its parts: the series, where it begins, how long it is, and what it says.
    pub(crate) parts: Vec<(usize, i64, i64, String)>,
}

/// What a bar can be as long as.
const NUMBER_MAX: i64 = 1_000_000_000_000;

fn number(cell: &CellView) -> Option<i64> {
    // Amounts have decimals; a bar is as long as the whole of them.
    let number: i64 = cell.value.as_deref()?.split('.').next()?.parse().ok()?;
    Some(number.clamp(0, NUMBER_MAX))
}

/// A figure that is told apart by two columns as bars; none where there are too many of either, where values cannot stand behind one
/// another, or where some are withheld.
pub(crate) fn stack(page: &Page, figure: &FigureView) -> Option<Stack> {
    if figure.is_share || !figure.is_added || figure.withheld > 0 || pyramid(page, figure).is_some() {
        return None;
    }
    let cross = figure.crossed()?;
    let columns: Vec<usize> =
        (0..cross.columns.len()).filter(|at| cross.columns.get(*at) != Some(&&ClassView::All)).collect();
    let rows: Vec<_> = cross.rows.iter().filter(|(class, _)| **class != ClassView::All).collect();
    if columns.len() > SERIES_MAX || rows.len() > BARS_MAX {
        return None;
    }
    let value = |cells: &CrossRow<'_>, at: usize| {
        cells.get(at).copied().flatten().and_then(|(_, cell)| number(cell)).unwrap_or(0)
    };
    let sum = |cells: &CrossRow<'_>| columns.iter().map(|at| value(cells, *at)).sum::<i64>();
    let longest = rows.iter().map(|(_, cells)| sum(cells)).max().filter(|longest| *longest > 0)?;
    let names: Vec<String> =
        columns.iter().filter_map(|at| cross.columns.get(*at)).map(|class| page.class(class)).collect();
    let bar = |(class, cells): &&(&ClassView, CrossRow<'_>)| {
        let mut from = 0;
        let mut parts = Vec::new();
        for (series, at) in columns.iter().enumerate() {
            let value = value(cells, *at);
            let (begin, end) = (from * WIDE / longest, (from + value) * WIDE / longest);
            from += value;
            let name = names.get(series).map_or("", String::as_str);
            if value > 0 {
                parts.push((series, begin, (end - begin).max(1), format!("{name}: {value}")));
            }
        }
        Bar { name: page.class(class), parts }
    };
    Some(Stack { bars: rows.iter().map(bar).collect(), series: names })
}

/// People by age and sex: bars to both sides of a middle, the youngest below.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pyramid {
    /// Who stands on the left and on the right.
    pub(crate) sides: [String; 2],
    /// Each age: its name, and the length and number of both sides.
    pub(crate) ages: Vec<(String, [(i64, i64); 2])>,
    /// How many stand on neither side.
    pub(crate) others: i64,
}

/// People by sex and age as a pyramid; none where the figure is another, or numbers are withheld.
pub(crate) fn pyramid(page: &Page, figure: &FigureView) -> Option<Pyramid> {
    if figure.withheld > 0 {
        return None;
    }
    let list = |cell: &CellView, at: usize| match cell.classes.get(at) {
        Some(ClassView::Code(code)) => Some(code.list.clone()),
        _ => None,
    };
    let is_it = |cell: &CellView| {
        let lists = (list(cell, 0), list(cell, 1));
        lists == (Some("sex".into()), Some("age_band".into()))
            || lists == (Some("gender".into()), Some("age_band".into()))
    };
    let parts: Vec<&CellView> = figure.cells.iter().filter(|cell| !cell.is_total()).collect();
    if parts.len() < 2 || !parts.iter().all(|cell| is_it(cell)) {
        return None;
    }
    let is_side = |cell: &CellView, side: &str| matches!(cell.classes.first(), Some(ClassView::Code(code)) if code.code.eq_ignore_ascii_case(side));
    let age = |cell: &CellView| cell.classes.get(1).cloned();
    let mut ages: Vec<ClassView> =
        parts.iter().filter_map(|cell| age(cell)).collect::<BTreeSet<_>>().into_iter().collect();
    // Bands are named by their first year; the oldest stands on top.
    let first = |class: &ClassView| match class {
        ClassView::Code(code) => {
            let digits: String =
                code.code.chars().skip_while(|c| !c.is_ascii_digit()).take_while(char::is_ascii_digit).collect();
            digits.parse::<i64>().unwrap_or(-1)
        }
        _ => -1,
    };
    ages.sort_by_key(|class| std::cmp::Reverse(first(class)));
    let of = |class: &ClassView, side: &str| {
        let of_it = parts.iter().filter(|cell| age(cell).as_ref() == Some(class) && is_side(cell, side));
        of_it.filter_map(|cell| number(cell)).sum::<i64>()
    };
    let sides = ["female", "male"];
    let rows: Vec<(ClassView, [i64; 2])> = ages
        .into_iter()
        .map(|class| {
            let both = sides.map(|side| of(&class, side));
            (class, both)
        })
        .collect();
    let longest = rows.iter().flat_map(|(_, both)| both).copied().max().filter(|longest| *longest > 0)?;
    let all: i64 = parts.iter().filter_map(|cell| number(cell)).sum();
    let shown: i64 = rows.iter().flat_map(|(_, both)| both).sum();
    let name = |side: &str| {
        parts
            .iter()
            .find(|cell| is_side(cell, side))
            .and_then(|cell| cell.classes.first())
            .map(|class| page.class(class))
    };
    let length = |value: i64| value * SIDE / longest;
    Some(Pyramid {
        sides: sides.map(|side| name(side).unwrap_or_default()),
        ages: rows
            .into_iter()
            .map(|(class, both)| (page.class(&class), both.map(|value| (length(value), value))))
            .collect(),
        others: all - shown,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(from: &str, to: &str) -> Period {
        Period::new(from.parse().unwrap(), to.parse().unwrap()).unwrap()
    }

    #[test]
    fn steps_are_named_as_people_name_them() {
        let named = |from, to| step_name(&step(from, to));
        assert_eq!(named("2026-02-01", "2026-02-28"), "2026-02");
        assert_eq!(named("2026-02-10", "2026-02-28"), "2026-02");
        assert_eq!(named("2026-04-01", "2026-06-30"), "2026 II");
        assert_eq!(named("2026-11-01", "2026-12-31"), "2026 IV");
        assert_eq!(named("2026-01-01", "2026-12-31"), "2026");
        assert_eq!(named("2026-01-01", "2026-11-30"), "2026");
    }

    #[test]
    fn values_are_read_at_round_numbers() {
        assert_eq!([1, 4, 7, 19, 43, 99, 1_000, 4_321].map(round_step), [1, 1, 1, 5, 10, 50, 500, 2_000]);
        assert!(round_step(i64::MAX) > 0);
    }
}
