//! A figure over time: its largest classes as lines.

use super::view::{ClassView, FigureView};
use casemesh_protocol::indicators::{Indicator, Measure};
use casemesh_protocol::statistics::Figure;
use casemesh_protocol::time::Period;
use serde::Serialize;
use std::cmp::Reverse;
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// So many lines of a figure over time stand in one picture.
const LINES_MAX: usize = 6;

/// A figure over time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct TrendView {
    /// Its name in the set.
    pub id: String,
    /// What it is called, by language.
    pub title: BTreeMap<String, String>,
    /// The steps: first and last day of each.
    #[schema(value_type = Vec<Object>)]
    pub steps: Vec<Period>,
    /// The largest classes, each as a line.
    pub lines: Vec<LineView>,
    /// How many smaller classes are left out.
    pub more: usize,
    /// How many things it covers in each step; none where that is withheld.
    pub covered: Vec<Option<u64>>,
    /// How many of them lack something.
    pub missing: Vec<Option<u64>>,
    /// How far a number can be off for noise, 95 times of 100; none where there is no noise.
    #[serde(default)]
    pub error_bar: Option<u32>,
}

/// A class over time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct LineView {
    /// The class; empty where nothing is told apart.
    pub classes: Vec<ClassView>,
    /// What was computed in each step, money in the minor unit; none where there is nothing to compute, or it is withheld.
    pub values: Vec<Option<i64>>,
    /// The same as it is written; empty where there is none.
    pub written: Vec<String>,
}

/// A figure in one step.
pub(in crate::office) struct Step {
    pub(in crate::office) period: Period,
    pub(in crate::office) figure: Figure,
    /// The same as it is shown.
    pub(in crate::office) view: FigureView,
}

/// A number as it is written.
fn written(value: &str, is_at_least: bool) -> String {
    if is_at_least { format!("≥ {value}") } else { value.to_owned() }
}

impl TrendView {
    /// An indicator in these steps.
    pub(in crate::office) fn of(indicator: &Indicator, steps: &[Step]) -> Self {
        let is_middle = matches!(indicator.measure, Measure::Median(_));
        // Of things that are counted, a step without any has none of them, as far as nobody withheld theirs; of a middle there is
        // nothing then.
        let nothing = |step: &Step| match is_middle || step.figure.covered.is_none() {
            true => (None, String::new()),
            false => (Some(0), written("0", step.view.is_at_least)),
        };
        let empty: (Vec<Option<i64>>, Vec<String>) = steps.iter().map(nothing).unzip();
        let mut lines: BTreeMap<&[ClassView], LineView> = BTreeMap::new();
        for (at, step) in steps.iter().enumerate() {
            let is_empty = is_middle && step.figure.covered == step.figure.missing;
            for (cell, shown) in step.figure.cells.iter().zip(&step.view.cells) {
                let line = lines.entry(&shown.classes).or_insert_with(|| LineView {
                    classes: shown.classes.clone(),
                    values: empty.0.clone(),
                    written: empty.1.clone(),
                });
                if let (Some(value), Some(text)) = (line.values.get_mut(at), line.written.get_mut(at)) {
                    *value = cell.value.filter(|_| !is_empty);
                    let known = shown.value.as_deref().filter(|_| !is_empty);
                    *text = known.map_or_else(String::new, |known| written(known, shown.is_at_least));
                }
            }
        }
        let mut lines: Vec<LineView> = lines.into_values().collect();
        lines.sort_by_key(|line| Reverse(line.values.iter().flatten().map(|value| i128::from(*value)).sum::<i128>()));
        let more = lines.len().saturating_sub(LINES_MAX);
        lines.truncate(LINES_MAX);
        Self {
            id: indicator.id.clone(),
            title: indicator.title.clone(),
            steps: steps.iter().map(|step| step.period).collect(),
            lines,
            more,
            covered: steps.iter().map(|step| step.figure.covered).collect(),
            missing: steps.iter().map(|step| step.figure.missing).collect(),
            error_bar: None,
        }
    }
}
