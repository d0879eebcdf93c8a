//! Figures on a map: the areas that an office imported, coloured by what a figure says of each.

use super::collected::{Held, region_of};
use super::figures::{ClassView, FigureView, heat};
use super::{Desk, DeskError, FieldProblem};
use crate::areas::{self, place_of};
use crate::names;
use crate::policy::{Ask, Denied};
use crate::records::{AreaMap, MapArea};
use crate::vault::Record;
use casemesh_protocol::id::RecordId;
use casemesh_protocol::indicators::Source;
use casemesh_protocol::statistics::{Agreement, Way};
use casemesh_protocol::time::{Period, Timestamp};
use serde::Serialize;
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// The columns that tell where somebody lives.
const LIVES_IN: &[&str] = &["area", "client_area"];

/// The office's map, as it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct AreasView {
    /// The file that it is from.
    pub file: String,
    /// When it was imported.
    #[schema(value_type = String)]
    pub at: Timestamp,
    /// Its width and height in its own steps.
    #[schema(value_type = Object)]
    pub size: (u16, u16),
    /// Its areas.
    pub areas: Vec<AreaView>,
}

/// An area of the map, or a place that is not on it, and what is known of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct AreaView {
    /// Its name.
    pub name: String,
    /// Its outline as SVG writes it; empty for a place that is not on the map.
    pub path: String,
    /// Where its number is written.
    #[schema(value_type = Object)]
    pub at: (u16, u16),
    /// What is said of it; none where nothing is.
    pub said: Option<AreaValue>,
    /// How dark it stands, from 0 to 4: by its share of the largest.
    pub heat: u8,
}

/// What a figure says of an area.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct AreaValue {
    /// How many; none where all of it is withheld.
    pub value: Option<u64>,
    /// Whether it is at least so many, because something of it is withheld.
    pub is_at_least: bool,
    /// Of a network's total: how many offices told.
    pub offices: usize,
}

impl AreaValue {
    /// Both together.
    fn and(self, other: Self) -> Self {
        let value = self.value.into_iter().chain(other.value).reduce(u64::saturating_add);
        Self {
            value,
            is_at_least: self.is_at_least || other.is_at_least || self.value.is_none() || other.value.is_none(),
            offices: self.offices + other.offices,
        }
    }
}

/// A figure on the map.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct MapView {
    /// The figure.
    pub id: String,
    /// What it is called, by language.
    pub title: BTreeMap<String, String>,
    /// The first and last day.
    #[schema(value_type = Object)]
    pub period: Period,
    /// The map's width and height; none where no map was imported.
    #[schema(value_type = Option<Object>)]
    pub size: Option<(u16, u16)>,
    /// The areas of the map, and then the places that are not on it.
    pub areas: Vec<AreaView>,
    /// Of how many nobody knows where they live; none at a collector.
    pub missing: Option<u64>,
}

/// Places with what is said of them, on the areas of a map: places that mean one area are added, and those that mean none stand below.
fn placed(map: Option<&AreaMap>, places: impl Iterator<Item = (String, AreaValue)>) -> Vec<AreaView> {
    let known: &[MapArea] = map.map_or(&[], |map| map.areas.as_slice());
    let mut areas: Vec<AreaView> = known
        .iter()
        .map(|area| AreaView { name: area.name.clone(), path: area.path.clone(), at: area.at, ..AreaView::default() })
        .collect();
    let mut others: BTreeMap<String, AreaValue> = BTreeMap::new();
    let names: Vec<Vec<String>> = areas.iter().map(|area| names::words(&area.name)).collect();
    for (name, value) in places {
        let place = place_of(&names, &name).and_then(|at| areas.get_mut(at));
        match place {
            Some(area) => area.said = Some(area.said.map_or(value, |said| said.and(value))),
            None => drop(others.entry(name).and_modify(|said| *said = said.and(value)).or_insert(value)),
        }
    }
    areas.extend(others.into_iter().map(|(name, said)| AreaView { name, said: Some(said), ..AreaView::default() }));
    let value = |area: &AreaView| area.said.and_then(|said| said.value);
    let most = areas.iter().filter_map(value).max().unwrap_or_default();
    for area in &mut areas {
        area.heat = value(area).map_or(0, |value| heat(value, most));
    }
    areas
}

/// Which of the columns that a figure is told apart by says where somebody lives; none where its numbers cannot be added, or the areas are those
/// of an assessment, which are none on the earth.
fn place_column(figure: &FigureView) -> Option<usize> {
    let definition = figure.definition.as_ref().filter(|one| figure.is_added && one.source != Source::Assessments)?;
    definition.by.iter().position(|by| LIVES_IN.contains(&by.column.as_str()))
}

/// What a figure says of each place, told apart by that column.
fn by_place(figure: &FigureView, column: usize) -> BTreeMap<String, AreaValue> {
    let mut places: BTreeMap<String, AreaValue> = BTreeMap::new();
    for cell in figure.cells.iter().filter(|cell| !cell.is_total()) {
        let Some(ClassView::Code(code)) = cell.classes.get(column) else { continue };
        let value = cell.value.as_deref().and_then(|value| value.parse().ok());
        let value = AreaValue { value, is_at_least: cell.is_at_least, offices: 0 };
        places.entry(code.label.clone()).and_modify(|said| *said = said.and(value)).or_insert(value);
    }
    places
}

impl FigureView {
    /// Whether it tells apart where somebody lives, so that it can be looked at on a map.
    pub fn is_of_places(&self) -> bool {
        place_column(self).is_some()
    }
}

impl Desk {
    fn may_see_map(&self) -> Result<(), DeskError> {
        let sees = self.may(Ask::SeeFigures) || self.may(Ask::SeeCollected);
        if sees { Ok(()) } else { Err(DeskError::Denied(Denied)) }
    }

    /// The office's map; none where none was imported.
    ///
    /// # Errors
    /// When the account may not see figures.
    pub fn areas(&self) -> Result<Option<AreasView>, DeskError> {
        self.may_see_map()?;
        let map = self.office.index.read().map.clone();
        Ok(map.map(|map| AreasView {
            file: map.file.clone(),
            at: map.at,
            size: (map.width, map.height),
            areas: placed(Some(&map), std::iter::empty()),
        }))
    }

    /// Takes up a map (GeoJSON, RFC 7946) in the place of the one that is there; its areas are named by a property of theirs, the usual
    /// one where none is asked for.
    ///
    /// # Errors
    /// When the account may not keep reports, or the file is no map.
    pub fn import_areas(&self, file: &str, bytes: &[u8], property: &str) -> Result<(), DeskError> {
        self.allow(Ask::KeepReports)?;
        let drawn = areas::read(bytes, property);
        let field = |key: &str| if key == "areas-property" { "property" } else { "file" };
        let drawn =
            drawn.map_err(|(key, detail)| DeskError::Invalid(vec![FieldProblem::with(field(key), key, detail)]))?;
        let area = |area: areas::DrawnArea| MapArea { name: area.name, path: area.path, at: area.at };
        let (file, width, height) = (file.to_owned(), drawn.width, drawn.height);
        let areas: Vec<MapArea> = drawn.areas.into_iter().map(area).collect();
        self.write("import_areas", move |tx| {
            let known = tx.list::<AreaMap>(AreaMap::TOP)?.into_iter().next();
            let (by, at) = (tx.staff(), tx.now());
            let id = known.as_ref().map_or_else(|| tx.fresh_id(), |known| known.record.id);
            let map = AreaMap { id, file, width, height, areas, by, at };
            match known {
                Some(known) => tx.update(&map, known.revision)?,
                None => tx.insert(&map)?,
            }
            tx.about(id);
            Ok::<_, DeskError>(())
        })
    }

    /// A figure of the office's own on its map; of the work that is counted for a grant alone, where one is named.
    ///
    /// # Errors
    /// When the account may not see figures, or the figure is not about places.
    pub fn figure_on_map(&self, figure: &str, period: Period, grant: Option<RecordId>) -> Result<MapView, DeskError> {
        self.allow(Ask::SeeFigures)?;
        let known = self.known_indicators();
        let one = known.named(figure)?;
        let figure = self.whole(&[one], period, grant).pop().ok_or(DeskError::NotFound)?;
        let places = by_place(&figure, place_column(&figure).ok_or(DeskError::NotFound)?);
        self.office.vault.note(Some(self.actor.staff), "figures", None);
        let map = self.office.index.read().map.clone();
        Ok(MapView {
            id: figure.id,
            title: figure.title,
            period,
            size: map.as_ref().map(|map| (map.width, map.height)),
            areas: placed(map.as_deref(), places.into_iter()),
            missing: figure.missing,
        })
    }

    /// A total of the network on the map: how many things it covers, by the area that each office serves.
    ///
    /// # Errors
    /// When the account may not see it, there is no such agreement or figure, or nobody sees it of one office.
    pub fn collected_on_map(&self, agreement: &str, figure: &str, period: Period) -> Result<MapView, DeskError> {
        self.allow(Ask::SeeCollected)?;
        let all = self.office.agreements_ever();
        let directory = self.office.around.directory();
        let directory = directory.as_deref();
        let tables = self.office.index.read();
        let held = Held::of(&tables, agreement, period, |_| true);
        let is_told = |known: &&Agreement| {
            let is_version = held.version.is_none_or(|version| version == known.version);
            known.id.as_str() == agreement && known.terms.way == Way::Plain && is_version
        };
        let known = all.iter().map(|agreed| &agreed.agreement).find(is_told).ok_or(DeskError::NotFound)?;
        let one = known.indicators.iter().find(|one| one.id == figure).ok_or(DeskError::NotFound)?;
        let mut places: BTreeMap<String, AreaValue> = BTreeMap::new();
        for collected in &held.counted {
            let told = collected.table.figures.iter().find(|told| told.indicator.as_str() == figure);
            let Some(told) = told else { continue };
            let value = AreaValue {
                value: told.covered,
                is_at_least: told.covered.is_some() && told.withheld_by.is_some(),
                offices: collected.table.offices().len(),
            };
            // Who says no area stands there by name.
            let region = Some(region_of(directory, &collected.table.office)).filter(|region| !region.is_empty());
            let region = region.unwrap_or_else(|| collected.office_name.clone());
            places.entry(region).and_modify(|said| *said = said.and(value)).or_insert(value);
        }
        // Where nobody told, the offices that serve the area stand there as silent, and not as none.
        let silent = AreaValue { value: None, is_at_least: false, offices: 0 };
        let told = held.offices();
        for office in self.office.offices_below().into_iter().filter(|office| !told.contains(office)) {
            let region = region_of(directory, &office);
            if !region.is_empty() {
                places.entry(region).or_insert(silent);
            }
        }
        let map = tables.map.clone();
        Ok(MapView {
            id: one.id.clone(),
            title: one.title.clone(),
            period,
            size: map.as_ref().map(|map| (map.width, map.height)),
            areas: placed(map.as_deref(), places.into_iter()),
            missing: None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(names: &[&str]) -> AreaMap {
        let area = |name: &&str| MapArea { name: (*name).to_owned(), path: "M0 0l1 0 0 1z".into(), at: (0, 0) };
        AreaMap {
            id: RecordId::new([1; 16]),
            file: "areas.geojson".into(),
            width: 10,
            height: 10,
            areas: names.iter().map(area).collect(),
            by: None,
            at: Timestamp::from_ms(0),
        }
    }

    #[test]
    fn places_that_mean_one_area_are_added_and_strangers_stand_below() {
        let value = |value| AreaValue { value, is_at_least: false, offices: 1 };
        let places = [("Ugu", Some(30)), ("Ugu district", Some(10)), ("Abroad", Some(1)), ("ZULULAND", None)];
        let places = places.into_iter().map(|(name, many)| (name.to_owned(), value(many)));
        let all = placed(Some(&map(&["Ugu", "Zululand", "iLembe"])), places);
        let said = |at: usize| (all[at].name.as_str(), all[at].said, all[at].heat);
        let both = AreaValue { value: Some(40), is_at_least: false, offices: 2 };
        assert_eq!(said(0), ("Ugu", Some(both), 4));
        assert_eq!(said(1), ("Zululand", Some(value(None)), 0), "withheld is not none");
        assert_eq!(said(2), ("iLembe", None, 0));
        assert_eq!(said(3), ("Abroad", Some(value(Some(1))), 1));
        assert!(all[3].path.is_empty());
        let some = value(Some(5)).and(value(None));
        assert_eq!(some, AreaValue { value: Some(5), is_at_least: true, offices: 2 });
        assert_eq!(placed(None, [("Ugu".to_owned(), value(Some(3)))].into_iter()).len(), 1, "without a map, a list");
    }
}
