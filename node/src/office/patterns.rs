//! Patterns: what is reported in many offices of a network at once, found by a secure sum of whether each office has any, so that no
//! office's number and no name leaves. Advice offices found the unlawful deductions from social grants only when they laid
//! their books side by side; this is that comparison, without the books.

use super::figures::ClassView;
use super::{Desk, DeskError};
use crate::policy::Ask;
use casemesh_protocol::indicators::{Class, Measure};
use casemesh_protocol::statistics::Figure;
use casemesh_protocol::time::Period;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// Something that is reported in at least as many offices as the agreement says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PatternView {
    /// The agreement under which it was found.
    pub agreement: String,
    /// What was asked, by language.
    pub title: BTreeMap<String, String>,
    /// The name of what was asked.
    pub figure: String,
    /// What it is.
    pub classes: Vec<ClassView>,
    /// In how many offices.
    pub offices: i64,
    /// From how many on it is told.
    pub threshold: u16,
    /// The last period that was added up.
    #[schema(value_type = Object)]
    pub period: Period,
    /// Since which period it is found without a break.
    #[schema(value_type = Object)]
    pub since: Period,
}

impl PatternView {
    /// Whether it was not found in the period before.
    pub fn is_new(&self) -> bool {
        self.since == self.period
    }
}

/// What was found in the last of some periods, and since when without a break; the last period first.
fn found(periods: &[(Period, BTreeMap<Vec<Class>, i64>)]) -> Vec<(Vec<Class>, i64, Period)> {
    let Some((last, patterns)) = periods.first() else { return Vec::new() };
    let since = |classes: &Vec<Class>| {
        let unbroken = periods.iter().take_while(|(_, found)| found.contains_key(classes));
        unbroken.last().map_or(*last, |(period, _)| *period)
    };
    let mut all: Vec<(Vec<Class>, i64, Period)> =
        patterns.iter().map(|(classes, offices)| (classes.clone(), *offices, since(classes))).collect();
    all.sort_by(|one, other| other.1.cmp(&one.1).then_with(|| one.0.cmp(&other.0)));
    all
}

impl Desk {
    /// What is reported in many offices, in the last period that was added up under each agreement that asks for it: the most first; and
    /// whether any agreement asks.
    ///
    /// # Errors
    /// When the account may not see totals of the network.
    pub fn patterns(&self) -> Result<(Vec<PatternView>, bool), DeskError> {
        self.allow(Ask::SeeCollected)?;
        let (all, _) = self.office.agreements();
        let mut patterns = Vec::new();
        let mut asks = false;
        for agreed in &all {
            let terms = &agreed.agreement.terms;
            let asked = agreed.agreement.indicators.iter().filter(|one| one.measure == Measure::Offices);
            let asked: Vec<_> = asked.collect();
            if asked.is_empty() {
                continue;
            }
            asks = true;
            // A period that was not added up ends what is found without a break.
            let figures = |period| {
                let summed = self.office.summed(agreed, period).filter(|summed| !summed.offices.is_empty());
                (period, summed.map(|summed| summed.figures).unwrap_or_default())
            };
            let summed: Vec<(Period, Vec<Figure>)> =
                terms.ended(self.today()).into_iter().map(figures).skip_while(|(_, all)| all.is_empty()).collect();
            for one in asked {
                let told = |figures: &[Figure]| -> BTreeMap<Vec<Class>, i64> {
                    let figure = figures.iter().find(|figure| figure.indicator.as_str() == one.id);
                    let cells = figure.into_iter().flat_map(|figure| &figure.cells);
                    cells.filter_map(|cell| Some((cell.classes.as_slice().to_vec(), cell.value?))).collect()
                };
                let periods: Vec<_> = summed.iter().map(|(period, figures)| (*period, told(figures))).collect();
                let Some((period, _)) = periods.first().cloned() else { continue };
                let view = |(classes, offices, since): (Vec<Class>, i64, Period)| PatternView {
                    agreement: agreed.agreement.id.to_string(),
                    title: one.title.clone(),
                    figure: one.id.clone(),
                    classes: classes.iter().map(ClassView::from).collect(),
                    offices,
                    threshold: terms.threshold,
                    period,
                    since,
                };
                patterns.extend(found(&periods).into_iter().map(view));
            }
        }
        Ok((patterns, asks))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use casemesh_protocol::statistics::word_code;

    #[test]
    fn a_pattern_is_told_with_the_period_since_which_it_is_found() {
        let class = |code: &str| vec![Class::Code(word_code("deduction", code).unwrap())];
        let month = |month: u8| {
            let from = casemesh_protocol::time::Day::new(2026, month, 1).unwrap();
            casemesh_protocol::statistics::Rhythm::Month.around(from).unwrap()
        };
        let of =
            |at: u8, all: &[(&str, i64)]| (month(at), all.iter().map(|(code, many)| (class(code), *many)).collect());
        let periods = [
            of(4, &[("airtime", 12), ("loan", 31)]),
            of(3, &[("airtime", 11)]),
            of(2, &[("loan", 11)]),
            of(1, &[("airtime", 14)]),
        ];
        let found = found(&periods);
        assert_eq!(found, [(class("loan"), 31, month(4)), (class("airtime"), 12, month(3))]);
        assert!(super::found(&[]).is_empty() && super::found(&[of(4, &[])]).is_empty());
    }
}
