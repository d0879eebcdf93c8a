//! Which cells of a table about people are withheld, so that nobody can work out a small number from those that are shown.
//!
//! A number from one to below the threshold is withheld (*primary*). As rows and columns are shown with their totals, one withheld
//! cell in a line is the total less the others; so more cells are withheld (*complementary*) until every primary one could be
//! anything in a range at least as wide as the threshold, whatever is computed from what is shown. The range is exact: a table with
//! its totals is a flow in a network whose arcs are its cells (Cox, *Network models for complementary cell suppression*, 1995), and
//! the most and the least that a withheld arc can carry are two maximum flows. No floating point, no sampling.

use std::collections::VecDeque;

/// A table with its totals, as flow: rows and columns are nodes, every number is an arc.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grid {
    rows: usize,
    columns: usize,
    /// The cells row by row, then the totals of rows, then those of columns, then the total.
    arcs: Vec<Arc>,
    /// The arcs at each node.
    at: Vec<Vec<usize>>,
}

/// One number of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Arc {
    from: usize,
    to: usize,
    value: i64,
    /// What outsiders know it is at least.
    least: i64,
    /// How wide the range must be in which outsiders can place it; none where it may be known.
    need: Option<i64>,
    is_hidden: bool,
}

impl Arc {
    /// By how much it can be less for outsiders.
    fn slack(&self, value: i64) -> i64 {
        value.saturating_sub(self.least).max(0)
    }
}

/// Where a number stands in a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// A cell, counted row by row.
    Cell(usize),
    /// The total of a row.
    Row(usize),
    /// The total of a column.
    Column(usize),
    /// The total of all.
    Total,
}

/// What is withheld of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Withheld {
    /// Cells, row by row.
    pub cells: Vec<bool>,
    /// Totals of rows.
    pub rows: Vec<bool>,
    /// Totals of columns.
    pub columns: Vec<bool>,
    /// The total of all.
    pub total: bool,
}

impl Withheld {
    /// How many numbers it withholds.
    pub fn count(&self) -> usize {
        let all = self.cells.iter().chain(&self.rows).chain(&self.columns).chain(std::iter::once(&self.total));
        all.filter(|is_hidden| **is_hidden).count()
    }
}

impl Grid {
    /// A table of so many columns, row by row. `need` says of a number how wide the range of outsiders must be, none where they may
    /// know it; `least` what they know it is at least: one where its class is named because somebody is in it.
    pub fn new(
        columns: usize,
        cells: &[i64],
        need: impl Fn(Place) -> Option<i64>,
        least: impl Fn(Place) -> i64,
    ) -> Self {
        let columns = columns.max(1);
        let rows = cells.len().div_ceil(columns);
        let at = |row: usize, column: usize| cells.get(row * columns + column).copied().unwrap_or_default();
        // Nodes: the source, the sink, each row, each column. What flows in leaves again, and the total closes the circle.
        let (source, sink) = (0, 1);
        let (row_node, column_node) = (|row: usize| 2 + row, |column: usize| 2 + rows + column);
        let sum = |all: &mut dyn Iterator<Item = i64>| all.fold(0i64, i64::saturating_add);
        let arc = |from, to, value, place| {
            let need = need(place);
            Arc { from, to, value, least: least(place).min(value), need, is_hidden: need.is_some() }
        };
        let mut arcs = Vec::with_capacity((rows + 1) * (columns + 1));
        for row in 0..rows {
            let cell =
                |column| arc(row_node(row), column_node(column), at(row, column), Place::Cell(row * columns + column));
            arcs.extend((0..columns).map(cell));
        }
        for row in 0..rows {
            let all = sum(&mut (0..columns).map(|column| at(row, column)));
            arcs.push(arc(source, row_node(row), all, Place::Row(row)));
        }
        for column in 0..columns {
            let all = sum(&mut (0..rows).map(|row| at(row, column)));
            arcs.push(arc(column_node(column), sink, all, Place::Column(column)));
        }
        arcs.push(arc(sink, source, sum(&mut cells.iter().copied()), Place::Total));
        let mut at = vec![Vec::new(); 2 + rows + columns];
        for (number, arc) in arcs.iter().enumerate() {
            for node in [arc.from, arc.to] {
                if let Some(own) = at.get_mut(node) {
                    own.push(number);
                }
            }
        }
        Self { rows, columns, arcs, at }
    }

    /// Withholds numbers until every one that must not be known is safe.
    pub fn protect(mut self) -> Withheld {
        // What is safe stays safe when more is hidden, so that each number is made safe once. Each turn hides at least one more, and
        // where all are hidden every range is open.
        for arc in 0..self.arcs.len() {
            while self.is_weak(arc) {
                let Some(of) = self.arcs.get(arc).copied() else { break };
                let need = of.need.unwrap_or_default();
                // What it can shrink by itself need not come from others; where that is not enough, all of it must.
                let steps = [need.saturating_sub(of.slack(of.value)).max(1), need];
                let is_done = steps.into_iter().any(|step| self.hide_around(arc, step));
                let rest = self.arcs.iter_mut().filter(|arc| !arc.is_hidden);
                if !is_done && rest.map(|arc| arc.is_hidden = true).count() == 0 {
                    break;
                }
            }
        }
        let hidden: Vec<bool> = self.arcs.iter().map(|arc| arc.is_hidden).collect();
        let part = |from: usize, many: usize| hidden.iter().skip(from).take(many).copied().collect::<Vec<_>>();
        let cells = self.rows * self.columns;
        Withheld {
            cells: part(0, cells),
            rows: part(cells, self.rows),
            columns: part(cells + self.rows, self.columns),
            total: hidden.last().copied().unwrap_or_default(),
        }
    }

    /// Withholds the cheapest circle through a number whose others can shrink by a step. Whether that was anything new.
    fn hide_around(&mut self, weak: usize, step: i64) -> bool {
        let mut is_new = false;
        for at in self.way_around(weak, step).unwrap_or_default() {
            if let Some(arc) = self.arcs.get_mut(at) {
                is_new |= !arc.is_hidden;
                arc.is_hidden = true;
            }
        }
        is_new
    }

    fn is_weak(&self, arc: usize) -> bool {
        let Some(of) = self.arcs.get(arc) else { return false };
        let Some(need) = of.need else { return false };
        let less = self.less(arc, need);
        let more = || self.flow(of.to, of.from, arc, need.saturating_sub(less));
        of.is_hidden && less < need && more().is_some_and(|more| less.saturating_add(more) < need)
    }

    /// By how much less than it is a number can be, as far as that is of interest: what it carried must find another way.
    fn less(&self, arc: usize, enough: i64) -> i64 {
        let Some(of) = self.arcs.get(arc) else { return 0 };
        let slack = of.slack(of.value).min(enough);
        self.flow(of.from, of.to, arc, slack).unwrap_or(slack).min(slack)
    }

    /// The least and the most that a number can be for somebody who knows all that is shown and what each is at least. The most is
    /// none where there is no bound.
    #[cfg(test)]
    fn range(&self, arc: usize) -> (i64, Option<i64>) {
        let Some(of) = self.arcs.get(arc) else { return (0, None) };
        if !of.is_hidden {
            return (of.value, Some(of.value));
        }
        let more = self.flow(of.to, of.from, arc, i64::MAX);
        (of.value - self.less(arc, i64::MAX), more.map(|more| of.value.saturating_add(more)))
    }

    /// The greatest flow between two nodes over the withheld numbers but one, or as much of it as is enough: each can grow without
    /// bound, and shrink to the least that it is. None where there is no bound. By shortest ways (Edmonds and Karp, 1972).
    fn flow(&self, from: usize, to: usize, without: usize, enough: i64) -> Option<i64> {
        let mut values: Vec<i64> = self.arcs.iter().map(|arc| arc.value).collect();
        let mut all = 0i64;
        while all < enough {
            let Some(way) = self.way(from, to, without, &values) else { return Some(all) };
            let backward = way.iter().filter(|(_, forward)| !forward);
            // A way that shrinks nothing has no end.
            let slack = |at: &usize| self.arcs.get(*at).zip(values.get(*at)).map(|(arc, value)| arc.slack(*value));
            let step = backward.filter_map(|(arc, _)| slack(arc)).min()?;
            for (arc, forward) in way {
                if let Some(value) = values.get_mut(arc) {
                    *value = if forward { value.saturating_add(step) } else { *value - step };
                }
            }
            all = all.saturating_add(step);
        }
        Some(all)
    }

    /// The shortest way over withheld numbers that can still give.
    fn way(&self, from: usize, to: usize, without: usize, values: &[i64]) -> Option<Vec<(usize, bool)>> {
        let mut came: Vec<Option<(usize, bool)>> = vec![None; 2 + self.rows + self.columns];
        let mut next = VecDeque::from([from]);
        while let Some(node) = next.pop_front() {
            let own = self.at.get(node).into_iter().flatten().copied();
            for (at, arc) in own.filter_map(|at| Some((at, self.arcs.get(at)?))) {
                if !arc.is_hidden || at == without {
                    continue;
                }
                let (end, forward) = match node {
                    node if node == arc.from => (arc.to, true),
                    node if node == arc.to && values.get(at).is_some_and(|value| arc.slack(*value) > 0) => {
                        (arc.from, false)
                    }
                    _ => continue,
                };
                if end == from || came.get(end).is_none_or(Option::is_some) {
                    continue;
                }
                if let Some(place) = came.get_mut(end) {
                    *place = Some((at, forward));
                }
                if end == to {
                    return self.back(from, to, &came);
                }
                next.push_back(end);
            }
        }
        None
    }

    fn back(&self, from: usize, to: usize, came: &[Option<(usize, bool)>]) -> Option<Vec<(usize, bool)>> {
        let (mut node, mut way) = (to, Vec::new());
        while node != from {
            let (at, forward) = came.get(node).copied().flatten()?;
            way.push((at, forward));
            let arc = self.arcs.get(at)?;
            node = if forward { arc.from } else { arc.to };
        }
        Some(way)
    }

    /// The cheapest circle through a weak number: those of its numbers that are not withheld yet cost what they say, so that small
    /// ones go first and totals last; numbers that are withheld but could not give enough are no way (Dijkstra, 1959).
    fn way_around(&self, weak: usize, step: i64) -> Option<Vec<usize>> {
        let of = self.arcs.get(weak)?;
        let nodes = 2 + self.rows + self.columns;
        let mut best: Vec<Option<(i64, usize)>> = vec![None; nodes];
        let mut open: Vec<(i64, usize)> = vec![(0, of.to)];
        let mut done = vec![false; nodes];
        while let Some(at) = (0..open.len()).min_by_key(|at| open.get(*at).map(|(cost, _)| *cost)) {
            let (cost, node) = open.swap_remove(at);
            match done.get_mut(node) {
                Some(is_done) if !*is_done => *is_done = true,
                _ => continue,
            }
            let own = self.at.get(node).into_iter().flatten().copied().filter(|at| *at != weak);
            for (at, arc) in own.filter_map(|at| Some((at, self.arcs.get(at)?))) {
                let end = match node {
                    node if node == arc.from => arc.to,
                    node if node == arc.to && arc.slack(arc.value) >= step => arc.from,
                    _ => continue,
                };
                let is_total = arc.from < 2 || arc.to < 2;
                let price = match arc.is_hidden {
                    true => 0,
                    false if is_total => arc.value.saturating_mul(TOTAL_PRICE).saturating_add(TOTAL_PRICE),
                    false => arc.value.saturating_add(1),
                };
                let sum = cost.saturating_add(price);
                if let Some(known) = best.get_mut(end)
                    && known.is_none_or(|(known, _)| sum < known)
                    && end != of.to
                {
                    *known = Some((sum, at));
                    open.push((sum, end));
                }
            }
        }
        let (mut node, mut way) = (of.from, Vec::new());
        while node != of.to {
            let (_, at) = best.get(node).copied().flatten()?;
            way.push(at);
            let arc = self.arcs.get(at)?;
            node = if node == arc.to { arc.from } else { arc.to };
            if way.len() > nodes {
                return None;
            }
        }
        Some(way)
    }
}

/// How much dearer it is to withhold a total than a cell of the same number.
const TOTAL_PRICE: i64 = 16;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A table of people: numbers from one to below the threshold are not to be known.
    fn people(columns: usize, cells: &[i64], threshold: i64) -> Grid {
        let rows = cells.len() / columns;
        let of = |place| -> i64 {
            match place {
                Place::Cell(at) => cells[at],
                Place::Row(row) => cells[row * columns..(row + 1) * columns].iter().sum(),
                Place::Column(column) => (0..rows).map(|row| cells[row * columns + column]).sum(),
                Place::Total => cells.iter().sum(),
            }
        };
        Grid::new(columns, cells, |place| (1..threshold).contains(&of(place)).then_some(threshold), |_| 1)
    }

    #[test]
    fn a_single_small_number_takes_another_with_it() {
        let withheld = people(4, &[3, 40, 12, 0], 11).protect();
        assert_eq!(withheld.cells, [true, false, true, false], "the smallest that is wide enough");
        assert!(!withheld.total);
        let none = people(3, &[11, 40, 0], 11).protect();
        assert_eq!(none.count(), 0);
    }

    /// Who sees eleven nationalities named, and that they are eleven people, knows each.
    #[test]
    fn a_tail_of_ones_is_not_its_own_cover() {
        let cells = [40, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1];
        let grid = people(12, &cells, 11);
        assert!(grid.clone().protect().cells[0], "the forty go with them");
        assert!(
            people(3, &[40, 10, 1], 11).protect().cells[0],
            "ten and one are no cover for each other: from one to ten"
        );
    }

    #[test]
    fn a_long_table_is_protected_in_a_moment() {
        let cells: Vec<i64> = (0..150 * 8).map(|at| if at % 3 == 0 { 1 + at % 7 } else { 0 }).collect();
        let withheld = people(8, &cells, 11).protect();
        assert!(withheld.count() > 400);
    }

    #[test]
    fn a_table_that_is_small_altogether_is_not_shown() {
        let withheld = people(2, &[3, 2], 11).protect();
        assert!(withheld.total && withheld.cells.iter().all(|is_hidden| *is_hidden));
    }

    #[test]
    fn a_withheld_cell_of_a_crossed_table_stands_on_a_circle() {
        let cells = [3, 40, 50, 60, 70, 80, 90, 20, 30];
        let withheld = people(3, &cells, 11).protect();
        for row in 0..3 {
            let hidden = (0..3).filter(|column| withheld.cells[row * 3 + column]).count();
            assert!(hidden != 1 || withheld.rows[row], "{withheld:?}");
        }
        assert!(withheld.cells[0] && withheld.count() == 4, "{withheld:?}");
    }

    /// The least and the most of each number by trying every table there is: for small tables.
    fn tried(columns: usize, cells: &[i64], withheld: &Withheld, (top, are_named): (i64, bool)) -> Vec<(i64, i64)> {
        let rows = cells.len() / columns;
        let mut found = vec![(i64::MAX, i64::MIN); cells.len()];
        let first: Vec<i64> = cells.iter().map(|value| i64::from(are_named && *value > 0)).collect();
        let mut guess = first.clone();
        let sums = |all: &[i64]| {
            let by_row: Vec<i64> = (0..rows).map(|row| all[row * columns..(row + 1) * columns].iter().sum()).collect();
            let by_column: Vec<i64> =
                (0..columns).map(|column| (0..rows).map(|row| all[row * columns + column]).sum()).collect();
            (by_row, by_column, all.iter().sum::<i64>())
        };
        let truth = sums(cells);
        loop {
            let said = sums(&guess);
            let fits = cells.iter().zip(&guess).zip(&withheld.cells).all(|((a, b), hidden)| *hidden || a == b)
                && truth.0.iter().zip(&said.0).zip(&withheld.rows).all(|((a, b), hidden)| *hidden || a == b)
                && truth.1.iter().zip(&said.1).zip(&withheld.columns).all(|((a, b), hidden)| *hidden || a == b)
                && (withheld.total || truth.2 == said.2);
            if fits {
                for (range, value) in found.iter_mut().zip(&guess) {
                    *range = (range.0.min(*value), range.1.max(*value));
                }
            }
            let Some(at) = guess.iter().position(|value| *value < top) else { return found };
            guess[at] += 1;
            guess[..at].copy_from_slice(&first[..at]);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]
        /// Nobody who tries every table that fits what is shown comes closer to a small number than the threshold.
        #[test]
        fn whoever_tries_everything_learns_no_small_number(cells in prop::collection::vec(0i64..5, 6)) {
            let threshold = 3;
            let withheld = people(3, &cells, threshold).protect();
            // As high as any shown total allows one cell to be; beyond it where none is shown.
            let top = cells.iter().sum::<i64>().min(12);
            for ((value, (least, most)), is_hidden) in
                cells.iter().zip(tried(3, &cells, &withheld, (top, true))).zip(&withheld.cells)
            {
                if (1..threshold).contains(value) {
                    prop_assert!(*is_hidden);
                    prop_assert!(most - least >= threshold || withheld.total || most == top,
                        "{value} in {least}..={most} of {cells:?}: {withheld:?}");
                }
            }
        }

        /// The range is what trying everything finds.
        #[test]
        fn ranges_are_exact(cells in prop::collection::vec(0i64..4, 4), hidden in prop::collection::vec(any::<bool>(), 9)) {
            let mut grid = Grid::new(2, &cells, |_| None, |_| 0);
            grid.arcs.iter_mut().zip(&hidden).for_each(|(arc, is_hidden)| arc.is_hidden = *is_hidden);
            let withheld = Withheld {
                cells: hidden[..4].to_vec(), rows: hidden[4..6].to_vec(), columns: hidden[6..8].to_vec(), total: hidden[8],
            };
            for (at, (least, most)) in tried(2, &cells, &withheld, (12, false)).into_iter().enumerate() {
                let (low, high) = grid.range(at);
                prop_assert_eq!(low, least);
                prop_assert_eq!(high.unwrap_or(12).min(12), most, "{:?} {:?}", &cells, &withheld);
            }
        }

        /// Large tables end, and show something where there is much.
        #[test]
        fn large_tables_are_protected(cells in prop::collection::vec(0i64..60, 8 * 12)) {
            let grid = people(12, &cells, 11);
            let withheld = grid.clone().protect();
            let mut grid = grid;
            let all = withheld.cells.iter().chain(&withheld.rows).chain(&withheld.columns).chain([&withheld.total]);
            grid.arcs.iter_mut().zip(all).for_each(|(arc, is_hidden)| arc.is_hidden = *is_hidden);
            prop_assert!((0..grid.arcs.len()).all(|arc| !grid.is_weak(arc)));
            prop_assert!(!withheld.total);
        }
    }
}
