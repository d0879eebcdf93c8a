//! What a collector holds: the tables that offices told, their totals, by region and over time, who told in time, and who sent whom
//! where.

use super::figures::{CellView, ClassView, FigureView, Step, TrendView, heat};
use super::levels::UpwardView;
use super::tables::views;
use super::{Desk, DeskError};
use crate::index::Tables;
use crate::indicators::Agreed;
use crate::policy::Ask;
use crate::records::Collected;
use crate::vocabulary::Vocabulary;
use casemesh_protocol::cohort::LeftOut;
use casemesh_protocol::directory::{Directory, Role};
use casemesh_protocol::id::OfficeId;
use casemesh_protocol::indicators::{Measure, OTHERS, SEVERAL};
use casemesh_protocol::levels::counted_once;
use casemesh_protocol::statistics::{self, Agreement, Figure, Origin, Rhythm, Way, Word, agreement_hash};
use casemesh_protocol::tally;
use casemesh_protocol::time::{Day, Period, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use utoipa::ToSchema;

/// So many periods stand beside one another over time.
pub(super) const STEPS_MAX: usize = 24;
/// So many offices stand side by side in a matrix of who sent whom where.
const FLOW_MAX: usize = 30;

/// What a collector holds for a period of an agreement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CollectedView {
    /// Which network, as its id.
    pub network: String,
    /// Under which agreement.
    pub agreement: String,
    /// Its version.
    pub version: u16,
    /// The first and last day.
    #[schema(value_type = Object)]
    pub period: Period,
    /// By when it was due; none where offices choose.
    #[schema(value_type = Option<String>)]
    pub due: Option<Day>,
    /// Numbers of people below it are withheld.
    pub threshold: u16,
    /// How it left the offices.
    pub way: Way,
    /// Of a secure sum, the root of the list of reports in it that both aggregators signed: offices see the same.
    #[serde(default)]
    pub root: Option<String>,
    /// How far a number can be off for noise, 95 times of 100; none where there is no noise.
    pub error_bar: Option<u32>,
    /// All offices together, or those of the region.
    pub total: Vec<FigureView>,
    /// Each office that told, and each collector below, by name.
    pub offices: Vec<OfficeFigures>,
    /// How many offices are in the total, on all levels.
    #[serde(default)]
    pub told: usize,
    /// How many of them handed in finished tables that were not computed here.
    #[serde(default)]
    pub handed_in: usize,
    /// Whose tables are not added, for an office in them is counted elsewhere.
    #[serde(default)]
    pub twice: Vec<String>,
    /// The collector above this one, where its total goes.
    #[serde(default)]
    pub upward: Option<UpwardView>,
    /// Offices of the network that sent nothing for this period.
    pub silent: Vec<String>,
    /// Whether the two aggregators of a secure sum signed different lists, so that there is none.
    #[serde(default)]
    pub is_at_odds: bool,
    /// Of a secure sum, offices that told and are not in it, and why.
    #[serde(default)]
    #[schema(value_type = Vec<Object>)]
    pub left_out: Vec<(String, LeftOut)>,
    /// Agreements and periods for which something came or is due.
    #[schema(value_type = Vec<Object>)]
    pub periods: Vec<(String, Period)>,
    /// The areas that offices of the network serve.
    #[serde(default)]
    pub regions: Vec<String>,
    /// Of which area this is; none for the whole network.
    #[serde(default)]
    pub region: Option<String>,
    /// Codes that the network's lists do not have: label, and how many offices told them.
    #[serde(default)]
    #[schema(value_type = Vec<Object>)]
    pub unknown: Vec<(String, usize)>,
    /// Who sent whom where, where a figure tells it.
    #[serde(default)]
    pub flow: Option<FlowView>,
}

impl CollectedView {
    /// How many offices told in time.
    pub fn in_time(&self) -> usize {
        self.offices.iter().filter(|office| office.is_in_time).count()
    }
}

/// What one office sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct OfficeFigures {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// The area that it serves; empty where it is not known.
    #[serde(default)]
    pub region: String,
    /// Which release.
    pub release: u32,
    /// Whether it handed in a finished table that another system counted.
    #[serde(default)]
    pub is_handed_in: bool,
    /// Of a collector that sent the sum of other offices: how many told, and of how many.
    #[serde(default)]
    #[schema(value_type = Option<Object>)]
    pub sum_of: Option<(usize, usize)>,
    /// When it came.
    #[schema(value_type = String)]
    pub at: Timestamp,
    /// Whether its first release came by the day on which it was due.
    pub is_in_time: bool,
    /// The figures.
    pub figures: Vec<FigureView>,
}

impl OfficeFigures {
    /// What names it on a page: a collector that keeps records, too, stands there twice.
    pub fn key(&self) -> String {
        format!("{}{}", self.id, if self.sum_of.is_some() { "-sum" } else { "" })
    }
}

/// Who sent whom where: a row for each office that sent, a column for each that was asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FlowView {
    /// The figure that it is of.
    pub figure: String,
    /// The offices that were asked.
    pub to: Vec<String>,
    /// Each office that sent, and how much to each; none where it is withheld or nothing.
    #[schema(value_type = Vec<Object>)]
    pub from: Vec<(String, Vec<Option<FlowCell>>)>,
}

/// How much one office sent to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FlowCell {
    /// How many; none where it is withheld.
    pub value: Option<i64>,
    /// How dark it stands, from 0 to 4.
    pub heat: u8,
}

/// Who sent whom where, of the first figure that tells offices apart; none where there is none, or too many offices to stand side by
/// side.
fn flow(offices: &[OfficeFigures], name: impl Fn(&str) -> Option<String>) -> Option<FlowView> {
    fn partner(cell: &CellView) -> Option<&str> {
        match cell.classes.first() {
            Some(ClassView::Code(code)) if code.list == "office" => Some(&code.code),
            _ => None,
        }
    }
    fn number(cell: &CellView) -> Option<i64> {
        cell.value.as_deref().and_then(|value| value.parse().ok())
    }
    let of_partners = |figure: &&FigureView| figure.cells.iter().any(|cell| partner(cell).is_some());
    let figure = offices.iter().flat_map(|office| &office.figures).find(of_partners)?.id.clone();
    let mut columns: BTreeMap<String, String> = BTreeMap::new();
    let mut rows: Vec<(String, BTreeMap<String, Option<i64>>)> = Vec::new();
    for office in offices {
        let cells = office.figures.iter().filter(|one| one.id == figure).flat_map(|one| &one.cells);
        let cells: Vec<(&str, &CellView)> = cells.filter_map(|cell| Some((partner(cell)?, cell))).collect();
        let mut row: BTreeMap<String, Option<i64>> = BTreeMap::new();
        // What is told apart further has a total, which is told or not; without one its parts are added up.
        let (totals, parts): (Vec<_>, Vec<_>) = cells.into_iter().partition(|(_, cell)| cell.is_total());
        for (code, cell) in totals {
            row.insert(code.to_owned(), number(cell));
        }
        let with_total: BTreeSet<String> = row.keys().cloned().collect();
        for (code, cell) in parts.into_iter().filter(|(code, _)| !with_total.contains(*code)) {
            let sum = row.entry(code.to_owned()).or_insert(Some(0));
            *sum = sum.zip(number(cell)).map(|(sum, value)| sum.saturating_add(value));
        }
        columns.extend(row.keys().map(|code| (code.clone(), name(code).unwrap_or_else(|| code.clone()))));
        rows.push((office.name.clone(), row));
    }
    if columns.len() > FLOW_MAX || rows.len() > FLOW_MAX {
        return None;
    }
    let most = rows.iter().flat_map(|(_, row)| row.values()).flatten().copied().max().unwrap_or(1).max(1);
    let cell = |value: &Option<i64>| FlowCell {
        value: *value,
        heat: value.map_or(0, |value| heat(value.unsigned_abs(), most.unsigned_abs())),
    };
    let row = |(name, row): (String, BTreeMap<String, Option<i64>>)| {
        (name, columns.keys().map(|code| row.get(code).map(cell)).collect())
    };
    let from = rows.into_iter().map(row).collect();
    Some(FlowView { figure, to: columns.into_values().collect(), from })
}

/// The tables of one agreement and period, the latest of each sender, of the newest version that anybody answered.
pub(super) struct Held<'a> {
    /// Those that are added, so that no office is counted twice.
    pub(super) counted: Vec<&'a Collected>,
    /// Those that are not, for an office in them is counted elsewhere.
    twice: Vec<&'a Collected>,
    /// When the first release of each sender came.
    first: BTreeMap<(OfficeId, bool), Timestamp>,
    pub(super) version: Option<u16>,
}

impl<'a> Held<'a> {
    pub(super) fn of(tables: &'a Tables, agreement: &str, period: Period, keep: impl Fn(&OfficeId) -> bool) -> Self {
        let mut last: BTreeMap<(OfficeId, bool), &Collected> = BTreeMap::new();
        let mut first: BTreeMap<(OfficeId, bool), Timestamp> = BTreeMap::new();
        let is_it = |collected: &&Collected| {
            let table = &collected.table;
            table.agreement.as_str() == agreement && table.period == period && keep(&table.office)
        };
        for collected in tables.collected.values().map(AsRef::as_ref).filter(is_it) {
            let sender = sender(collected);
            let came = first.entry(sender).or_insert(collected.at);
            *came = (*came).min(collected.at);
            let current = last.entry(sender).or_insert(collected);
            if collected.table.release >= current.table.release {
                *current = collected;
            }
        }
        // Older answers are of other questions.
        let version = last.values().map(|collected| collected.table.agreement_version).max();
        last.retain(|_, collected| Some(collected.table.agreement_version) == version);
        let (counted, twice) = counted_once(last.into_values(), |collected| &collected.table);
        Self { counted, twice, first, version }
    }

    /// All of it together, by what its agreement says of each figure.
    pub(super) fn total(&self, known: Option<&Agreement>) -> Vec<Figure> {
        let of = |id: &Word| known.and_then(|known| known.indicators.iter().find(|one| one.id == id.as_str()));
        let is_added = |id: &Word| of(id).is_none_or(|one| !matches!(one.measure, Measure::Median(_)));
        statistics::total(self.counted.iter().map(|collected| collected.table.figures.as_slice()), is_added)
    }

    /// The offices whose numbers are in the total.
    pub(super) fn offices(&self) -> BTreeSet<OfficeId> {
        self.counted.iter().flat_map(|collected| collected.table.offices()).copied().collect()
    }

    /// Those of them that handed in finished tables.
    pub(super) fn handed_in(&self) -> BTreeSet<OfficeId> {
        self.counted.iter().flat_map(|collected| collected.table.handed_in()).copied().collect()
    }
}

/// Whose table it is: a collector that keeps records, too, tells its own numbers beside the sum of others.
fn sender(collected: &Collected) -> (OfficeId, bool) {
    (collected.table.office, collected.table.is_sum())
}

/// Codes that neither this program nor the network has, of lists that one of them has; with how many offices told each.
fn unknown(words: &Vocabulary, offices: &[OfficeFigures]) -> Vec<(String, usize)> {
    let mut all: BTreeMap<(&str, &str), (&str, BTreeSet<&str>)> = BTreeMap::new();
    for office in offices {
        let classes = office.figures.iter().flat_map(|figure| &figure.cells).flat_map(|cell| &cell.classes);
        for class in classes {
            let ClassView::Code(code) = class else { continue };
            let is_unknown = words.is_shared_list(&code.list) && words.shared(&code.list, &code.code).is_none();
            if is_unknown && code.code != SEVERAL && code.code != OTHERS {
                all.entry((&code.list, &code.code)).or_insert((&code.label, BTreeSet::new())).1.insert(&office.id);
            }
        }
    }
    all.into_values().map(|(label, offices)| (label.to_owned(), offices.len())).collect()
}

/// The area that an office serves; empty where it says none.
pub(super) fn region_of(directory: Option<&Directory>, office: &OfficeId) -> String {
    let member = directory.and_then(|directory| directory.member(office));
    member.map(|member| member.record.area.to_string()).unwrap_or_default()
}

impl Desk {
    /// What the collector holds for a period of an agreement; without a period, for the latest that anything came for.
    ///
    /// # Errors
    /// When the account may not see it, or there is no such agreement.
    pub fn collected(&self, agreement: &str, period: Option<Period>) -> Result<CollectedView, DeskError> {
        self.collected_in(agreement, period, None)
    }

    /// The same, of the offices that serve one area alone.
    ///
    /// # Errors
    /// When the account may not see it, or there is no such agreement.
    pub fn collected_in(
        &self,
        agreement: &str,
        period: Option<Period>,
        region: Option<&str>,
    ) -> Result<CollectedView, DeskError> {
        self.allow(Ask::SeeCollected)?;
        let (holds, _) = self.office.agreements();
        let all = self.office.agreements_ever();
        let today = self.today();
        let first = || all.first().map(|agreed| agreed.agreement.id.to_string());
        let id = Some(agreement.to_owned()).filter(|id| !id.is_empty()).or_else(first).ok_or(DeskError::NotFound)?;
        let of_it: Vec<&Agreed> = all.iter().filter(|agreed| agreed.agreement.id.as_str() == id).collect();
        let period = period.or_else(|| self.latest(&id, &of_it)).ok_or(DeskError::NotFound)?;
        let (version_of_sum, summed) = self.shown_sum(&id, &of_it, period);
        // A sum is of all offices: nothing of it belongs to one area.
        let region = region.filter(|_| summed.is_none());
        let upward = self.upward(&id, period);
        let directory = self.office.around.directory();
        let directory = directory.as_deref();
        let is_in = |office: &OfficeId| region.is_none_or(|region| region_of(directory, office) == region);
        let tables = self.office.index.read();
        let mut periods: Vec<(String, Period)> = tables
            .collected
            .values()
            .map(|collected| (collected.table.agreement.to_string(), collected.table.period))
            .chain(tables.tally_parts.values().filter_map(|part| {
                let agreed = all.iter().find(|agreed| agreement_hash(&agreed.text) == part.agreement)?;
                Some((agreed.agreement.id.to_string(), part.period))
            }))
            .chain(holds.iter().flat_map(|agreed| {
                agreed.agreement.terms.ended(today).into_iter().map(|period| (agreed.agreement.id.to_string(), period))
            }))
            .collect();
        periods.sort_unstable_by(|one, other| (&one.0, other.1).cmp(&(&other.0, one.1)));
        periods.dedup();
        let held = Held::of(&tables, &id, period, |office| summed.is_none() && is_in(office));
        let mut known = of_it.iter().map(|agreed| &agreed.agreement);
        let newest = || of_it.first().map(|agreed| agreed.agreement.version);
        let version = version_of_sum.or(held.version).or_else(newest).unwrap_or_default();
        let known = known.find(|known| known.version == version);
        let due = known.filter(|known| known.terms.every != Rhythm::Chosen).map(|known| known.terms.due(period));
        let in_time = |at: Option<&Timestamp>| {
            let came = at.map(|at| tables.zone.day(*at));
            due.is_none_or(|due| came.is_some_and(|came| came <= due))
        };
        let of_tables = || -> Vec<OfficeFigures> {
            let view = |collected: &&Collected| OfficeFigures {
                id: collected.table.office.to_string(),
                name: collected.office_name.clone(),
                region: region_of(directory, &collected.table.office),
                release: collected.table.release,
                is_handed_in: !collected.table.handed_in().is_empty(),
                sum_of: match &collected.table.origin {
                    Some(Origin::Sum { offices, asked, .. }) => Some((offices.as_slice().len(), *asked as usize)),
                    Some(Origin::HandedIn) | None => None,
                },
                at: collected.at,
                is_in_time: in_time(held.first.get(&sender(collected))),
                figures: views(collected.table.figures.as_slice(), known),
            };
            held.counted.iter().map(view).collect()
        };
        let is_plain = summed.is_none();
        let closed = summed.as_ref().and_then(Option::as_ref);
        let root = closed.and_then(|summed| summed.root);
        let left_out = closed.map(|summed| summed.left_out.clone()).unwrap_or_default();
        let named = closed.map(|summed| summed.named.clone()).unwrap_or_default();
        let is_at_odds = closed.is_some_and(|summed| summed.offices.is_empty());
        let (told, total, mut offices): (BTreeSet<OfficeId>, Vec<FigureView>, Vec<OfficeFigures>) = match summed {
            None => (held.offices(), views(&held.total(known), known), of_tables()),
            Some(None) => (BTreeSet::new(), Vec::new(), Vec::new()),
            Some(Some(summed)) => {
                let view = |office: &OfficeId| OfficeFigures {
                    id: office.to_string(),
                    name: self.member_name(*office).unwrap_or_default(),
                    region: region_of(directory, office),
                    release: 1,
                    is_handed_in: false,
                    sum_of: None,
                    at: summed.at,
                    is_in_time: true,
                    figures: Vec::new(),
                };
                let offices = summed.offices.iter().map(view).collect();
                (summed.offices.iter().copied().collect(), views(&summed.figures, known), offices)
            }
        };
        offices.sort_by(|one, next| (&one.name, &one.id).cmp(&(&next.name, &next.id)));
        let adds = |office: &OfficeId| known.is_some_and(|known| known.terms.aggregators.contains(office));
        let members =
            || directory.into_iter().flat_map(Directory::members).filter(|(_, member)| member.has_role(Role::Office));
        // Of an area, an office may have told a collector of another one.
        let told_anywhere = match region {
            Some(_) => Held::of(&tables, &id, period, |_| true).offices(),
            None => told.clone(),
        };
        let is_left_out = |office: &OfficeId| left_out.iter().any(|missed| missed.office == *office);
        let is_silent = |office: &OfficeId| {
            !told_anywhere.contains(office)
                && !adds(office)
                && is_in(office)
                && !is_left_out(office)
                && !named.contains(office)
        };
        let asked = self.office.offices_below().into_iter().filter(is_silent);
        let mut silent: Vec<String> = asked.filter_map(|office| self.member_name(office)).collect();
        silent.sort();
        let areas = members().map(|(_, member)| member.record.area.to_string()).filter(|area| !area.is_empty());
        let regions: BTreeSet<String> = areas.collect();
        let named = |code: &str| self.member_name(code.parse().ok()?);
        Ok(CollectedView {
            network: directory.map(|directory| directory.network().to_string()).unwrap_or_default(),
            agreement: id,
            version,
            period,
            due,
            threshold: known.map_or(statistics::THRESHOLD, |known| known.terms.threshold),
            way: known.map_or(Way::Plain, |known| known.terms.way),
            is_at_odds,
            root: root.map(|root| root.to_string()),
            error_bar: known.and_then(Agreement::noise_permille).map(tally::error_bar),
            total,
            flow: flow(&offices, named),
            unknown: unknown(&tables.vocabulary, &offices),
            offices,
            told: told.len(),
            handed_in: held.handed_in().len(),
            twice: held.twice.iter().map(|collected| collected.office_name.clone()).collect(),
            upward: if region.is_none() && is_plain { upward } else { None },
            silent,
            left_out: left_out.iter().filter_map(|one| Some((self.member_name(one.office)?, one.why))).collect(),
            periods,
            regions: if is_plain { regions.into_iter().collect() } else { Vec::new() },
            region: region.map(str::to_owned),
        })
    }

    /// A total over time: of each period of an agreement for which offices told anything.
    ///
    /// # Errors
    /// When the account may not see it, or there is no such agreement or figure.
    pub fn collected_trend(&self, agreement: &str, figure: &str, region: Option<&str>) -> Result<TrendView, DeskError> {
        self.allow(Ask::SeeCollected)?;
        let all = self.office.agreements_ever();
        let agreed = all.iter().find(|agreed| agreed.agreement.id.as_str() == agreement).ok_or(DeskError::NotFound)?;
        let known = &agreed.agreement;
        let one = known.indicators.iter().find(|one| one.id == figure).ok_or(DeskError::NotFound)?;
        if known.terms.way != Way::Plain {
            return Ok(self.trend_of_sums(&all, known, one));
        }
        let directory = self.office.around.directory();
        let directory = directory.as_deref();
        let is_in = |office: &OfficeId| region.is_none_or(|region| region_of(directory, office) == region);
        let tables = self.office.index.read();
        let of_it = tables.collected.values().filter(|collected| collected.table.agreement.as_str() == agreement);
        let periods: BTreeSet<Period> = of_it.map(|collected| collected.table.period).collect();
        let step = |period: Period| {
            let held = Held::of(&tables, agreement, period, is_in);
            // What was told of another version was told of another question.
            let total = Some(held.total(Some(known))).filter(|_| held.version == Some(known.version));
            let figure = total?.into_iter().find(|one| one.indicator.as_str() == figure)?;
            let view = FigureView::of(&figure, Some(one));
            Some(Step { period, figure, view })
        };
        let steps: Vec<Period> = periods.into_iter().rev().take(STEPS_MAX).rev().collect();
        let steps: Vec<Step> = steps.into_iter().filter_map(step).collect();
        Ok(TrendView::of(one, &steps))
    }

    /// Whether this node collects.
    pub fn is_collector(&self) -> bool {
        self.office.has_role(Role::Collector)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::office::CodeView;
    use casemesh_protocol::terms::Code;

    fn office(name: &str, cells: &[(&str, Option<i64>)]) -> OfficeFigures {
        let cell = |(to, value): &(&str, Option<i64>)| CellView {
            classes: vec![ClassView::Code(CodeView::from(&Code::new("office", 1, to, "as it was").unwrap()))],
            value: value.map(|value| value.to_string()),
            ..CellView::default()
        };
        let figure =
            FigureView { id: "partners".into(), cells: cells.iter().map(cell).collect(), ..FigureView::default() };
        OfficeFigures {
            id: name.into(),
            name: name.into(),
            region: String::new(),
            release: 1,
            is_handed_in: false,
            sum_of: None,
            at: Timestamp::from_ms(0),
            is_in_time: true,
            figures: vec![figure],
        }
    }

    #[test]
    fn who_sent_whom_where_stands_in_rows_and_columns_and_what_is_withheld_stays_so() {
        let all = [office("A", &[("b", Some(40)), ("c", None)]), office("B", &[("c", Some(11)), ("c", Some(2))])];
        let flow = flow(&all, |code| (code == "b").then(|| "B".into())).unwrap();
        assert_eq!(flow.to, ["B", "c"]);
        let cells =
            |at: usize| flow.from[at].1.iter().map(|cell| cell.map(|cell| (cell.value, cell.heat))).collect::<Vec<_>>();
        assert_eq!(cells(0), [Some((Some(40), 4)), Some((None, 0))]);
        assert_eq!(cells(1), [None, Some((Some(13), 2))]);
        assert!(super::flow(&[], |_| None).is_none());
        // A total stands for its parts, and is not added to them.
        let mut crossed = office("A", &[("b", Some(30)), ("b", None), ("b", Some(i64::MAX))]);
        for (cell, class) in crossed.figures[0].cells.iter_mut().zip(["accepted", "declined", ""]) {
            let code = || Code::new("referral_answer", 1, class, class).unwrap();
            cell.classes.push(if class.is_empty() { ClassView::All } else { ClassView::Code(CodeView::from(&code())) });
        }
        let flow = super::flow(&[crossed], |_| None).unwrap();
        assert_eq!(flow.from[0].1, [Some(FlowCell { value: Some(i64::MAX), heat: 4 })]);
    }
}
