//! The figures of several offices together, and what they lack because an office withheld it.

use super::{Cell, Figure, Word};
use crate::bounded::List;
use crate::indicators::Class;
use crate::limits::TABLE_CELLS_MAX;
use std::collections::BTreeMap;

/// Adds the figures of several offices, class by class. What an office withheld is in no sum: such a sum is at least what stands
/// there, and says by how many offices it is withheld. Numbers in the middle are not added: of such a figure (`is_added` says no) there is only
/// how many things it covers.
pub fn total<'a>(tables: impl IntoIterator<Item = &'a [Figure]>, is_added: impl Fn(&Word) -> bool) -> Vec<Figure> {
    let mut all: Vec<&Figure> = tables.into_iter().flatten().collect();
    let mut sums = Vec::new();
    while let Some(first) = all.first() {
        let indicator = first.indicator.clone();
        let (own, others): (Vec<_>, Vec<_>) = all.into_iter().partition(|figure| figure.indicator == indicator);
        let is_added = is_added(&indicator);
        sums.push(sum(&own, indicator, is_added));
        all = others;
    }
    sums
}

/// Adds the figures of one indicator.
fn sum(figures: &[&Figure], indicator: Word, is_added: bool) -> Figure {
    // Of a figure that is withheld altogether nobody knows in which classes somebody is: it stands against each that it does not name.
    let whole = |figure: &Figure| withheld_of(figure.covered.is_none(), figure.withheld_by);
    let by: u32 = figures.iter().map(|figure| whole(figure)).sum();
    let mut cells: BTreeMap<&[Class], (Cell, u32)> = BTreeMap::new();
    // Amounts of a currency that is withheld altogether stand in its total alone.
    let mut within: BTreeMap<&Class, u32> = BTreeMap::new();
    let mut sum = Figure {
        indicator,
        cells: List::default(),
        covered: None,
        missing: None,
        excluded: None,
        withheld: 0,
        withheld_by: Some(by).filter(|by| *by > 0),
    };
    for figure in figures {
        let of_currency = |cell: &Cell| withheld_of(cell.value.is_none(), cell.withheld_by);
        let totals = figure.cells.iter().filter_map(|cell| Some((currency_total(cell)?, of_currency(cell))));
        let totals: BTreeMap<&Class, u32> = totals.collect();
        for cell in figure.cells.iter().filter(|_| is_added) {
            let none = Cell { value: None, of: None, withheld_by: None, ..cell.clone() };
            let (known, withheld) = cells.entry(cell.classes.as_slice()).or_insert((none, by));
            known.value = both(known.value, cell.value, i64::saturating_add);
            known.of = both(known.of, cell.of, u64::saturating_add);
            // What is withheld altogether is in what the cell itself says.
            let of_all = cell.classes.as_slice().first().and_then(|first| totals.get(first)).copied();
            let of_all = of_all.filter(|_| currency_total(cell).is_none()).unwrap_or_default();
            *withheld = withheld
                .saturating_add(withheld_of(cell.value.is_none(), cell.withheld_by))
                .saturating_sub(whole(figure).saturating_add(of_all));
        }
        for (currency, withheld) in totals {
            *within.entry(currency).or_default() += withheld;
        }
        sum.covered = both(sum.covered, figure.covered, u64::saturating_add);
        sum.missing = both(sum.missing, figure.missing, u64::saturating_add);
        sum.excluded = both(sum.excluded, figure.excluded, u64::saturating_add);
        sum.withheld = sum.withheld.saturating_add(figure.withheld);
    }
    let done = |(classes, (cell, withheld)): (&[Class], (Cell, u32))| {
        let within = classes.first().and_then(|first| within.get(first)).filter(|_| currency_total(&cell).is_none());
        let by = withheld.saturating_add(within.copied().unwrap_or_default());
        Cell { withheld_by: Some(by).filter(|by| *by > 0), ..cell }
    };
    let cells = cells.into_iter().map(done).take(TABLE_CELLS_MAX).collect();
    Figure { cells: List::new(cells).unwrap_or_default(), ..sum }
}

/// By how many offices a number is withheld: what a sum says of it, or the office itself.
fn withheld_of(is_withheld: bool, said: Option<u32>) -> u32 {
    said.unwrap_or(u32::from(is_withheld))
}

/// The currency of which a cell is the total.
fn currency_total(cell: &Cell) -> Option<&Class> {
    let (first, rest) = cell.classes.as_slice().split_first()?;
    let is_currency = matches!(first, Class::Code(code) if code.list.as_str() == "currency");
    (is_currency && !rest.is_empty() && rest.iter().all(|class| *class == Class::All)).then_some(first)
}

fn both<T>(one: Option<T>, other: Option<T>, add: impl FnOnce(T, T) -> T) -> Option<T> {
    match (one, other) {
        (Some(one), Some(other)) => Some(add(one, other)),
        (one, None) => one,
        (None, other) => other,
    }
}
