//! Areas on a map, from a file that a country or a network publishes (GeoJSON, RFC 7946): their names and their outlines, made small
//! enough for a page. Nobody's home is on it: a figure colours whole areas.

use crate::names;
use serde::Deserialize;
use serde_json::{Map, Value};
use std::collections::BTreeSet;

/// The largest file of areas, in bytes.
pub const AREAS_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Most areas of one map.
const AREAS_MAX: usize = 400;
/// All outlines together, as SVG writes them, in bytes: what a page over a poor line can hold.
const PATHS_BYTES_MAX: usize = 26_000;
/// How finely outlines are drawn, in steps across the map: the finest that is small enough. Points of two areas on one border are
/// rounded alike, so that no gap opens between them.
const STEPS: &[u16] = &[600, 480, 380, 300, 240, 190, 150, 120, 95, 75, 60];
/// The longest name of an area, in letters.
const NAME_MAX: usize = 80;
/// Properties that usually hold the name, in the order in which they are looked for.
const USUAL_NAMES: &[&str] = &[
    "name",
    "shapename",
    "name_en",
    "nom",
    "nombre",
    "jina",
    "adm3_en",
    "adm2_en",
    "adm1_en",
    "name_3",
    "name_2",
    "name_1",
];

/// A map, ready to be drawn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Drawn {
    /// Its width in its own steps.
    pub width: u16,
    /// Its height.
    pub height: u16,
    /// Its areas, by name.
    pub areas: Vec<DrawnArea>,
}

/// An area of a map.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DrawnArea {
    /// Its name.
    pub name: String,
    /// Its outline, as SVG writes paths.
    pub path: String,
    /// Where something about it is written.
    pub at: (u16, u16),
}

/// Why a file is no map: the key of the message, and a detail.
pub type NoMap = (&'static str, String);

#[derive(Deserialize)]
struct Collection {
    #[serde(default)]
    features: Vec<Feature>,
}

#[derive(Deserialize)]
struct Feature {
    #[serde(default)]
    properties: Option<Map<String, Value>>,
    #[serde(default)]
    geometry: Option<Geometry>,
}

#[derive(Deserialize)]
struct Geometry {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    coordinates: Value,
}

type Point = Vec<f64>;
type Ring = Vec<Point>;

/// The outlines of a geometry; none where it is no area.
fn rings(geometry: Geometry) -> Option<Vec<Ring>> {
    match geometry.kind.as_str() {
        "Polygon" => serde_json::from_value(geometry.coordinates).ok(),
        "MultiPolygon" => {
            let parts: Vec<Vec<Ring>> = serde_json::from_value(geometry.coordinates).ok()?;
            Some(parts.into_iter().flatten().collect())
        }
        _ => None,
    }
}

/// What a property says, as a name: a text, or a number.
fn named(properties: &Map<String, Value>, key: &str) -> String {
    let text = match properties.get(key) {
        Some(Value::String(text)) => text.trim().to_owned(),
        Some(Value::Number(number)) => number.to_string(),
        _ => String::new(),
    };
    text.chars().take(NAME_MAX).collect()
}

/// The property that names the areas: the one that is asked for, else a usual one, else the first text that differs from area to area.
fn name_property(all: &[(Map<String, Value>, Vec<Ring>)], asked: &str) -> Result<String, NoMap> {
    let keys: BTreeSet<&String> = all.iter().flat_map(|(properties, _)| properties.keys()).collect();
    let is_called = |key: &&&String, name: &str| key.to_lowercase() == name.to_lowercase();
    let listed = || keys.iter().map(|key| key.as_str()).collect::<Vec<_>>().join(", ");
    let text = |key: &str| -> Vec<String> {
        all.iter().map(|(properties, _)| named(properties, key)).filter(|text| !text.is_empty()).collect()
    };
    let is_name = |key: &str| {
        let texts = text(key);
        texts.len() == all.len() && texts.iter().collect::<BTreeSet<_>>().len() == all.len()
    };
    if !asked.is_empty() {
        let found = keys.iter().find(|key| is_called(key, asked) && is_name(key)).map(|key| (*key).clone());
        return found.ok_or_else(|| ("areas-property", listed()));
    }
    let usual = USUAL_NAMES.iter().find_map(|name| keys.iter().find(|key| is_called(key, name) && is_name(key)));
    let found = usual.or_else(|| keys.iter().find(|key| is_name(key))).map(|key| (*key).clone());
    found.ok_or_else(|| ("areas-property", listed()))
}

/// Reads a file of areas, named by a property of theirs; by the usual one where none is asked for.
///
/// # Errors
/// What is wrong with the file.
pub fn read(bytes: &[u8], property: &str) -> Result<Drawn, NoMap> {
    let text = bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(bytes);
    let read: Collection = serde_json::from_slice(text).map_err(|error| ("areas-unread", error.to_string()))?;
    let areas = read.features.into_iter().filter_map(|feature| {
        let rings = feature.geometry.and_then(rings).filter(|rings| !rings.is_empty())?;
        Some((feature.properties.unwrap_or_default(), rings))
    });
    let areas: Vec<(Map<String, Value>, Vec<Ring>)> = areas.collect();
    if areas.is_empty() || areas.len() > AREAS_MAX {
        return Err(("areas-count", AREAS_MAX.to_string()));
    }
    let property = name_property(&areas, property.trim())?;
    let name = |properties: &Map<String, Value>| named(properties, &property);
    let points = || areas.iter().flat_map(|(_, rings)| rings).flatten();
    let is_place =
        |point: &Point| matches!(point.as_slice(), [east, north, ..] if east.abs() <= 180.0 && north.abs() <= 90.0);
    if !points().all(is_place) {
        return Err(("areas-degrees", String::new()));
    }
    let frame = Frame::around(points()).ok_or(("areas-count", AREAS_MAX.to_string()))?;
    let drawn = STEPS.iter().map(|steps| {
        let scaled = frame.scaled(*steps);
        let of = |(properties, rings): &(Map<String, Value>, Vec<Ring>)| scaled.area(name(properties), rings);
        (scaled.size, areas.iter().map(of).collect::<Vec<DrawnArea>>())
    });
    let is_small =
        |(_, areas): &(_, Vec<DrawnArea>)| areas.iter().map(|area| area.path.len()).sum::<usize>() <= PATHS_BYTES_MAX;
    let ((width, height), mut areas) =
        drawn.into_iter().find(is_small).ok_or(("areas-detailed", PATHS_BYTES_MAX.to_string()))?;
    areas.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(Drawn { width, height, areas })
}

/// The part of the earth that a map shows, in degrees. Degrees of longitude are narrowed as they are in its middle (an equirectangular
/// projection with that standard parallel).
struct Frame {
    west: f64,
    north: f64,
    narrowed: f64,
    wide: f64,
    high: f64,
}

impl Frame {
    fn around<'a>(points: impl Iterator<Item = &'a Point>) -> Option<Self> {
        let mut bounds: Option<[f64; 4]> = None;
        for point in points {
            let [x, y, ..] = *point.as_slice() else { continue };
            let [west, south, east, north] = bounds.unwrap_or([x, y, x, y]);
            bounds = Some([west.min(x), south.min(y), east.max(x), north.max(y)]);
        }
        let [west, south, east, north] = bounds?;
        let narrowed = f64::midpoint(south, north).to_radians().cos().max(0.05);
        let (wide, high) = ((east - west) * narrowed, north - south);
        (wide > 0.0 && high > 0.0).then_some(Self { west, north, narrowed, wide, high })
    }

    /// The same in steps: so many across, and no more than that from top to bottom.
    fn scaled(&self, steps: u16) -> Scaled<'_> {
        let scale = f64::from(steps) / self.wide.max(self.high);
        let size = [self.wide, self.high].map(|side| step(side * scale).max(1));
        Scaled { frame: self, scale, size: (size[0], size[1]) }
    }
}

/// A number of steps; negative ones are none.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "bounded before it is cut")]
fn step(length: f64) -> u16 {
    length.round().clamp(0.0, f64::from(u16::MAX)) as u16
}

struct Scaled<'a> {
    frame: &'a Frame,
    scale: f64,
    size: (u16, u16),
}

impl Scaled<'_> {
    fn point(&self, point: &Point) -> Option<(u16, u16)> {
        let [east, north, ..] = *point.as_slice() else { return None };
        let x = (east - self.frame.west) * self.frame.narrowed * self.scale;
        Some((step(x), step((self.frame.north - north) * self.scale)))
    }

    fn area(&self, name: String, rings: &[Ring]) -> DrawnArea {
        let rounded = |ring: &Ring| corners(&ring.iter().filter_map(|point| self.point(point)).collect::<Vec<_>>());
        let mut drawn: Vec<Vec<(u16, u16)>> = rings.iter().map(rounded).filter(|ring| ring.len() > 2).collect();
        // What is too small to be seen is a spot.
        if drawn.is_empty() {
            let spot = rings.first().and_then(|ring| ring.first()).and_then(|point| self.point(point));
            let (x, y) = spot.unwrap_or_default();
            let (left, top) = (x.saturating_sub(2), y.saturating_sub(2));
            drawn.push(vec![(left, y), (x, top), (x.saturating_add(2), y), (x, y.saturating_add(2))]);
        }
        let largest = drawn.iter().max_by_key(|ring| extent(ring));
        let at = largest.map(|ring| middle(ring)).unwrap_or_default();
        DrawnArea { name, path: drawn.iter().map(|ring| path(ring)).collect(), at }
    }
}

/// The smallest and largest of each coordinate.
fn bounds(ring: &[(u16, u16)]) -> [u16; 4] {
    let of = |side: fn(&(u16, u16)) -> u16| {
        let all = || ring.iter().map(side);
        (all().min().unwrap_or_default(), all().max().unwrap_or_default())
    };
    let ((left, right), (top, bottom)) = (of(|point| point.0), of(|point| point.1));
    [left, top, right, bottom]
}

fn extent(ring: &[(u16, u16)]) -> u32 {
    let [left, top, right, bottom] = bounds(ring);
    u32::from(right - left) * u32::from(bottom - top)
}

fn middle(ring: &[(u16, u16)]) -> (u16, u16) {
    let [left, top, right, bottom] = bounds(ring);
    (u16::midpoint(left, right), u16::midpoint(top, bottom))
}

/// The corners of an outline: without points that repeat, and without those on a straight line between their neighbours.
fn corners(points: &[(u16, u16)]) -> Vec<(u16, u16)> {
    let mut ring: Vec<(u16, u16)> = Vec::new();
    let turn = |one: (u16, u16), two: (u16, u16), three: (u16, u16)| {
        let part = |from: u16, to: u16| i64::from(to) - i64::from(from);
        part(one.0, two.0) * part(two.1, three.1) - part(one.1, two.1) * part(two.0, three.0)
    };
    for point in points {
        // There and back again is no corner, either.
        while let [.., one, two] = ring.as_slice()
            && turn(*one, *two, *point) == 0
        {
            ring.pop();
        }
        if ring.last() != Some(point) {
            ring.push(*point);
        }
    }
    if ring.len() > 1 && ring.first() == ring.last() {
        ring.pop();
    }
    ring
}

/// An outline as SVG writes it: where it begins, and how far each next corner is.
fn path(ring: &[(u16, u16)]) -> String {
    let Some((first, rest)) = ring.split_first() else { return String::new() };
    let mut text = format!("M{} {}l", first.0, first.1);
    let mut before = *first;
    for (at, point) in rest.iter().enumerate() {
        let parts = [i32::from(point.0) - i32::from(before.0), i32::from(point.1) - i32::from(before.1)];
        for (part, is_first) in parts.into_iter().zip([at == 0, false]) {
            // A sign stands between two numbers as well as a blank does.
            if part >= 0 && !is_first {
                text.push(' ');
            }
            text.push_str(&part.to_string());
        }
        before = *point;
    }
    text.push('z');
    text
}

/// The area that a name means, of areas by their words ([`names::words`]): that of the same words, however they are written; else the only one
/// whose words all stand in it (Ugu for "Ugu district").
pub fn place_of(areas: &[Vec<String>], name: &str) -> Option<usize> {
    let wanted = names::words(name);
    let same = areas.iter().position(|words| *words == wanted);
    same.or_else(|| {
        let is_in = |words: &Vec<String>| !words.is_empty() && words.iter().all(|word| wanted.contains(word));
        let mut within = areas.iter().enumerate().filter(|(_, words)| is_in(words)).map(|(at, _)| at);
        within.next().filter(|_| within.next().is_none())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Squares beside one another, one degree wide.
    fn squares(names: &[&str]) -> String {
        let square = |(at, name): (usize, &&str)| {
            let (west, east) = (at, at + 1);
            format!(
                r#"{{"type":"Feature","properties":{{"code":"{at}","NAME":"{name}"}},"geometry":{{"type":"Polygon","coordinates":[[[{west},0],[{west}.5,0],[{east},0],[{east},1],[{west},1],[{west},0]]]}}}}"#
            )
        };
        let all: Vec<String> = names.iter().enumerate().map(square).collect();
        format!(r#"{{"type":"FeatureCollection","features":[{}]}}"#, all.join(","))
    }

    #[test]
    fn areas_are_drawn_beside_one_another_by_their_names() {
        let map = read(squares(&["Ugu", "Zululand"]).as_bytes(), "").unwrap();
        assert_eq!((map.width, map.height), (600, 300));
        let of = |at: usize| (map.areas[at].name.as_str(), map.areas[at].path.as_str(), map.areas[at].at);
        assert_eq!(of(0), ("Ugu", "M0 300l300 0 0-300-300 0z", (150, 150)), "the point on the line is gone");
        assert_eq!(of(1), ("Zululand", "M300 300l300 0 0-300-300 0z", (450, 150)));
        assert_eq!(read(squares(&["a", "b"]).as_bytes(), "Code").unwrap().areas[1].name, "1", "by what is asked for");
    }

    #[test]
    fn what_is_too_fine_is_drawn_more_roughly_and_what_is_too_small_is_a_spot() {
        // A round coast of very many small bays, and an island.
        let point = |at: i32| {
            let (turn, far) =
                (f64::from(at) / 20_000.0 * std::f64::consts::TAU, 4.0 + f64::from(at * 7919 % 101) / 2_000.0);
            format!("[{},{}]", 5.0 + far * turn.cos(), 5.0 + far * turn.sin())
        };
        let coast: Vec<String> = (0..=20_000).map(|at| point(at % 20_000)).collect();
        let feature = |name: &str, ring: &str| {
            format!(
                r#"{{"properties":{{"name":"{name}"}},"geometry":{{"type":"MultiPolygon","coordinates":[[[{ring}]]]}}}}"#
            )
        };
        let coast = feature("Coast", &coast.join(","));
        let island = feature("Island", "[5,9.5],[5.00001,9.5],[5.00001,9.50001],[5,9.5]");
        let file = format!(r#"{{"features":[{coast},{island}]}}"#);
        let map = read(file.as_bytes(), "").unwrap();
        let size: usize = map.areas.iter().map(|area| area.path.len()).sum();
        assert!(size <= PATHS_BYTES_MAX && map.width < 600, "{size} bytes, {} steps", map.width);
        assert!(map.areas[1].path.ends_with('z') && map.areas[1].path.len() > 10, "{}", map.areas[1].path);
    }

    #[test]
    fn what_is_no_map_is_said() {
        let why = |text: &str, property: &str| read(text.as_bytes(), property).unwrap_err().0;
        assert_eq!(why("no map", ""), "areas-unread");
        assert_eq!(why(r#"{"features":[]}"#, ""), "areas-count");
        let point = r#"{"features":[{"properties":{"name":"Home"},"geometry":{"type":"Point","coordinates":[1,2]}}]}"#;
        assert_eq!(why(point, ""), "areas-count", "a point is no area");
        assert_eq!(why(&squares(&["a", "b"]), "nothing"), "areas-property");
        assert_eq!(why(&squares(&["a"]).replace("[0,0]", "[500000,0]"), ""), "areas-degrees");
        assert_eq!(why(&squares(&["a"]).replace("[0,0]", "[]"), ""), "areas-degrees");
        let nameless = r#"{"features":[{"geometry":{"type":"Polygon","coordinates":[[[0,0],[1,0],[1,1]]]}}]}"#;
        assert_eq!(why(nameless, ""), "areas-property");
    }

    #[test]
    fn a_name_is_found_however_it_is_written() {
        let areas = ["Ugu", "eThekwini", "Zululand", "Zululand North"].map(names::words);
        let place = |name| place_of(&areas, name);
        assert_eq!((place("UGU"), place("Ugu district"), place("ethekwini")), (Some(0), Some(0), Some(1)));
        assert_eq!(place("Zululand North coast"), None, "two could be meant");
        assert_eq!((place("zululand"), place("Durban"), place("")), (Some(2), None, None));
    }
}
