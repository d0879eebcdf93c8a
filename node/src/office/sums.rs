//! What a collector shows of secure sums: which period, the sum of which version of an agreement, and sums over time.

use super::Desk;
use super::collected::STEPS_MAX;
use super::figures::{FigureView, Step, TrendView};
use super::tally::Summed;
use crate::indicators::Agreed;
use casemesh_protocol::indicators::Indicator;
use casemesh_protocol::statistics::{Agreement, Way, agreement_hash};
use casemesh_protocol::tally;
use casemesh_protocol::time::Period;
use std::collections::{BTreeMap, BTreeSet};

fn is_sum(agreed: &Agreed) -> bool {
    agreed.agreement.terms.way != Way::Plain
}

impl Desk {
    /// The latest period that anything came for under an agreement; where nothing did, of a sum the last one that is over, else this year.
    /// Its versions come with the newest first.
    pub(super) fn latest(&self, id: &str, versions: &[&Agreed]) -> Option<Period> {
        let came = {
            let tables = self.office.index.read();
            let told = tables.collected.values().filter(|collected| collected.table.agreement.as_str() == id);
            let hashes: BTreeSet<_> = versions.iter().map(|agreed| agreement_hash(&agreed.text)).collect();
            let summed = tables.tally_parts.values().filter(|part| hashes.contains(&part.agreement));
            told.map(|collected| collected.table.period).chain(summed.map(|part| part.period)).max()
        };
        let over = || {
            let newest = versions.first().filter(|agreed| is_sum(agreed))?;
            newest.agreement.terms.ended(self.today()).first().copied()
        };
        came.or_else(over).or_else(|| Period::year(self.today().year()))
    }

    /// The sum that is shown for a period, with its version: the newest one that both aggregators agree on. Nothing where tables are shown
    /// instead; no sum where it is awaited.
    pub(super) fn shown_sum(
        &self,
        id: &str,
        versions: &[&Agreed],
        period: Period,
    ) -> (Option<u16>, Option<Option<Summed>>) {
        let sums = versions.iter().filter(|agreed| is_sum(agreed));
        let sums = sums.filter_map(|agreed| Some((agreed.agreement.version, self.office.summed(agreed, period)?)));
        let mut sums: Vec<(u16, Summed)> = sums.collect();
        sums.sort_by_key(|(_, summed)| summed.offices.is_empty());
        if let Some((version, summed)) = sums.into_iter().next() {
            return (Some(version), Some(Some(summed)));
        }
        // What was told plainly under an earlier version stays.
        let tables = self.office.index.read();
        let mut told = tables.collected.values().map(|collected| &collected.table);
        let has_tables = told.any(|table| table.agreement.as_str() == id && table.period == period);
        let is_awaited = versions.first().is_some_and(|agreed| is_sum(agreed)) && !has_tables;
        (None, is_awaited.then_some(None))
    }

    /// The sums of each period that was closed, of every version that asked the same.
    pub(super) fn trend_of_sums(&self, all: &[Agreed], known: &Agreement, one: &Indicator) -> TrendView {
        let asks = |agreed: &&Agreed| agreed.agreement.id == known.id && agreed.agreement.terms.way == known.terms.way;
        let mut steps: BTreeMap<Period, Step> = BTreeMap::new();
        for agreed in all.iter().filter(asks) {
            let is_same = |asked: &Indicator| asked.id == one.id && asked.asks_the_same(one);
            if !agreed.agreement.indicators.iter().any(is_same) {
                continue;
            }
            let agreement = agreement_hash(&agreed.text);
            let periods: BTreeSet<Period> = {
                let tables = self.office.index.read();
                let own = tables.tally_parts.values().filter(|part| part.agreement == agreement);
                own.map(|part| part.period).collect()
            };
            // The newest version stands first.
            for period in periods.into_iter().filter(|period| !steps.contains_key(period)).collect::<Vec<_>>() {
                let figures = self.office.summed(agreed, period).map(|summed| summed.figures).unwrap_or_default();
                if let Some(figure) = figures.into_iter().find(|told| told.indicator.as_str() == one.id) {
                    let view = FigureView::of(&figure, Some(one));
                    steps.insert(period, Step { period, figure, view });
                }
            }
        }
        let excess = steps.len().saturating_sub(STEPS_MAX);
        let steps: Vec<Step> = steps.into_values().skip(excess).collect();
        TrendView { error_bar: known.noise_permille().map(tally::error_bar), ..TrendView::of(one, &steps) }
    }
}
