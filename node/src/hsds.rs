//! A directory in the tables of the Human Services Data Specification (HSDS 3.0, Open Referral, "tabular"): several CSV files, each
//! named as its table, put together into the services that the same specification writes as JSON.

use serde_json::{Map, Value};
use std::collections::{BTreeMap, HashMap};
use std::path::Path;

/// So many services are kept.
pub(crate) const LISTINGS_MAX: usize = 5_000;
/// Longest text of one field, in bytes.
pub(crate) const TEXT_BYTES_MAX: usize = 1_000;
/// So many of the parts of one service are read: telephones, languages, places.
pub(crate) const PARTS_MAX: usize = 8;
/// Rows of one table that are read.
const ROWS_MAX: usize = 50_000;
/// Tables beside that of the services which say something of a service, each under the name of its place there.
const OF_SERVICE: [&str; 5] = ["phones", "languages", "service_areas", "schedules", "required_documents"];
/// Tables that are read beside these.
const OTHERS: [&str; 5] = ["services", "organizations", "locations", "addresses", "service_at_locations"];

/// Why tables cannot be put together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum BadTable {
    /// None of the files is the table of services.
    NoServices,
    /// A file is no CSV in UTF-8: its name.
    Unreadable(String),
    /// A table has too many rows: its name.
    TooLong(String),
}

/// Services with all that the tables say of them.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Joined {
    pub(crate) services: Vec<Value>,
    /// Files whose names are none of a table that is read.
    pub(crate) unread: Vec<String>,
}

type Rows = Vec<Map<String, Value>>;

/// Whether a file is a table, by its name.
pub(crate) fn is_table(name: &str) -> bool {
    Path::new(name).extension().is_some_and(|extension| extension.eq_ignore_ascii_case("csv"))
}

/// The table that a file is, by its name; the specification's singular and plural are taken as one.
fn table_of(name: &str) -> Option<&'static str> {
    let stem = Path::new(name).file_stem()?.to_str()?.to_ascii_lowercase();
    let all = OF_SERVICE.iter().chain(&OTHERS).copied();
    all.into_iter().find(|table| *table == stem || table.strip_suffix('s') == Some(&stem))
}

fn rows(name: &str, bytes: &[u8]) -> Result<Rows, BadTable> {
    let unreadable = || BadTable::Unreadable(name.to_owned());
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    // Published tables have rows that are a cell short or long: what has a place is read.
    let mut reader = csv::ReaderBuilder::new().flexible(true).trim(csv::Trim::All).from_reader(bytes);
    let heads: Vec<String> = reader.headers().map_err(|_| unreadable())?.iter().map(ToOwned::to_owned).collect();
    let mut rows = Vec::new();
    for record in reader.records() {
        let record = record.map_err(|_| unreadable())?;
        if rows.len() >= ROWS_MAX {
            return Err(BadTable::TooLong(name.to_owned()));
        }
        let cells = heads.iter().zip(record.iter()).filter(|(_, cell)| !cell.is_empty());
        rows.push(cells.map(|(head, cell)| (head.clone(), Value::from(cut(cell)))).collect());
    }
    Ok(rows)
}

/// A cell as far as it is kept: what is joined many times is short.
fn cut(cell: &str) -> &str {
    let end = (0..=TEXT_BYTES_MAX.min(cell.len())).rev().find(|end| cell.is_char_boundary(*end)).unwrap_or(0);
    cell.get(..end).unwrap_or_default()
}

fn cell<'a>(row: &'a Map<String, Value>, head: &str) -> &'a str {
    row.get(head).and_then(Value::as_str).unwrap_or_default()
}

/// Rows by what stands in one column.
fn by<'a>(rows: Option<&'a Rows>, head: &str) -> HashMap<&'a str, Vec<&'a Map<String, Value>>> {
    let mut all: HashMap<&str, Vec<&Map<String, Value>>> = HashMap::new();
    for row in rows.into_iter().flatten().filter(|row| !cell(row, head).is_empty()) {
        all.entry(cell(row, head)).or_default().push(row);
    }
    all
}

/// Puts tables together: each file with its name.
///
/// # Errors
/// When there is no table of services, or a file cannot be read as a table.
pub(crate) fn join(files: &[(String, Vec<u8>)]) -> Result<Joined, BadTable> {
    let (mut tables, mut joined): (BTreeMap<&str, Rows>, _) = (BTreeMap::new(), Joined::default());
    for (name, bytes) in files {
        match table_of(name) {
            Some(table) => tables.entry(table).or_default().extend(rows(name, bytes)?),
            None => joined.unread.push(name.clone()),
        }
    }
    let services = tables.get("services").ok_or(BadTable::NoServices)?;
    if services.len() > LISTINGS_MAX {
        return Err(BadTable::TooLong("services.csv".into()));
    }
    let organizations = by(tables.get("organizations"), "id");
    let (locations, addresses) = (by(tables.get("locations"), "id"), by(tables.get("addresses"), "location_id"));
    let places = by(tables.get("service_at_locations"), "service_id");
    let of_service: Vec<_> = OF_SERVICE.iter().map(|table| (*table, by(tables.get(table), "service_id"))).collect();
    let of_organization = by(tables.get("phones"), "organization_id");
    let values = |rows: Option<&Vec<&Map<String, Value>>>| -> Vec<Value> {
        rows.into_iter().flatten().take(PARTS_MAX).map(|row| Value::Object((*row).clone())).collect()
    };
    for row in services {
        let (id, organization) = (cell(row, "id"), cell(row, "organization_id"));
        let mut service = row.clone();
        if let Some(found) = organizations.get(organization).and_then(|rows| rows.first()) {
            service.insert("organization".into(), Value::Object((*found).clone()));
        }
        for (table, rows) in &of_service {
            service.insert((*table).into(), Value::Array(values(rows.get(id))));
        }
        // A telephone of the organisation is the service's, where it has none of its own.
        if let Some(Value::Array(phones)) = service.get_mut("phones")
            && phones.is_empty()
        {
            let general = of_organization.get(organization).into_iter().flatten();
            let general = general.filter(|phone| cell(phone, "service_id").is_empty());
            phones.extend(general.take(PARTS_MAX).map(|phone| Value::Object((*phone).clone())));
        }
        let at = places.get(id).into_iter().flatten().take(PARTS_MAX).filter_map(|place| {
            let location = cell(place, "location_id");
            let mut whole = (**locations.get(location)?.first()?).clone();
            whole.insert("addresses".into(), Value::Array(values(addresses.get(location))));
            Some(Value::from_iter([("location", Value::Object(whole))]))
        });
        service.insert("service_at_locations".into(), at.collect());
        joined.services.push(Value::Object(service));
    }
    Ok(joined)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str, text: &str) -> (String, Vec<u8>) {
        (name.to_owned(), text.as_bytes().to_vec())
    }

    #[test]
    fn tables_become_services_with_all_that_is_said_of_them() {
        let files = [
            file(
                "Services.csv",
                "\u{feff}id,organization_id,name,status\ns1,o1,Counselling,active\ns2,o1,Helpline,active\n",
            ),
            file("organization.csv", "id,name\no1,Hope\n"),
            file("phones.csv", "id,service_id,organization_id,number\np1,s1,,039 1\np2,,o1,039 2,extra\n"),
            file("service_at_location.csv", "id,service_id,location_id\nx,s1,l1\ny,s1,none\n"),
            file("locations.csv", "id,name\nl1,Civic Center\n"),
            file("addresses.csv", "id,location_id,address_1,city\na1,l1,1 Main,Ugu\n"),
            file("taxonomies.csv", "id\n1\n"),
        ];
        let joined = join(&files).unwrap();
        assert_eq!(joined.unread, ["taxonomies.csv"]);
        let [first, second] = joined.services.as_slice() else { panic!("{joined:?}") };
        assert_eq!(first["organization"]["name"], "Hope");
        assert_eq!(first["phones"][0]["number"], "039 1");
        assert_eq!(second["phones"][0]["number"], "039 2", "the organisation's, where the service has none");
        assert_eq!(first["service_at_locations"][0]["location"]["addresses"][0]["city"], "Ugu");
        assert_eq!(first["service_at_locations"].as_array().map(Vec::len), Some(1));
    }

    #[test]
    fn what_cannot_be_put_together_is_named() {
        assert_eq!(join(&[file("phones.csv", "id\n")]), Err(BadTable::NoServices));
        let broken = ("services.csv".to_owned(), vec![b'i', b'd', b'\n', 0xff, b'\n']);
        assert_eq!(join(&[broken]), Err(BadTable::Unreadable("services.csv".into())));
        let long = format!("id\n{}", "x\n".repeat(ROWS_MAX + 1));
        assert_eq!(join(&[file("services.csv", &long)]), Err(BadTable::TooLong("services.csv".into())));
        assert!(is_table("a/Services.CSV") && !is_table("services.json"));
    }
}
