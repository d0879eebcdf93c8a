//! Services of organisations outside the network, imported from a directory in the Human Services Data Specification (HSDS 3.0,
//! Open Referral): a full service, a list of them, a page of an HSDS API, or the specification's tables as CSV.

use super::offers::{OFFER_STALE_DAYS, has_words, is_for_age};
use super::{CodeView, Desk, DeskError, FieldProblem, ListingView, OfferSearch};
use crate::hsds::{self, BadTable, Joined, LISTINGS_MAX, PARTS_MAX, TEXT_BYTES_MAX};
use crate::records::Listing;
use crate::vault::Record;
use casemesh_crypto::hash::sha256;
use casemesh_protocol::id::RecordId;
use casemesh_protocol::terms::Code;
use casemesh_protocol::time::{Day, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// Longest file, in bytes.
pub const LISTINGS_BYTES_MAX: usize = 16 * 1024 * 1024;
/// So many are written in one command.
const WRITTEN_AT_ONCE: usize = 100;
/// So many problems are told.
const PROBLEMS_MAX: usize = 100;
/// So much of what is found is shown.
const FOUND_MAX: usize = 100;

/// What an import of services did, or would do.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ListingsReport {
    /// Services in the file.
    pub entries: usize,
    /// Services that are new.
    pub new: usize,
    /// Services of which something changed.
    pub changed: usize,
    /// Services that are known as they are.
    pub known: usize,
    /// Services that are not offered any more, by what the file says; they are not shown.
    pub inactive: usize,
    /// Services that cannot be used.
    pub refused: usize,
    /// Each of them, up to a hundred: its number in the file, and why.
    pub problems: Vec<(usize, String)>,
    /// Files that are no table that is read.
    pub unread: Vec<String>,
}

/// A text of a field; empty where there is none.
fn text(of: &Value, field: &str) -> String {
    let found = match of.get(field) {
        Some(Value::String(text)) => text.trim().trim_matches('"').trim().to_owned(),
        Some(Value::Number(number)) => number.to_string(),
        _ => String::new(),
    };
    let end = (0..=TEXT_BYTES_MAX.min(found.len())).rev().find(|end| found.is_char_boundary(*end)).unwrap_or(0);
    found.get(..end).unwrap_or_default().to_owned()
}

fn parts<'a>(of: &'a Value, field: &str) -> impl Iterator<Item = &'a Value> {
    of.get(field).and_then(Value::as_array).into_iter().flatten().take(PARTS_MAX)
}

/// What stands in one field of the parts, or in the first of several that has something; each once.
fn of_parts(of: &Value, field: &str, names: &[&str]) -> Vec<String> {
    let mut all = Vec::new();
    for part in parts(of, field) {
        let said = names.iter().map(|name| text(part, name)).find(|said| !said.is_empty());
        all.extend(said.filter(|said| !all.contains(said)));
    }
    all
}

fn age(of: &Value, field: &str) -> Option<u8> {
    // Whole years, also where half ones are given. A hundred is more than anybody is: no bound at all.
    let said = text(of, field);
    said.split('.').next()?.parse::<u8>().ok().filter(|years| *years < 100)
}

fn places(of: &Value) -> Vec<String> {
    let mut all = Vec::new();
    for place in parts(of, "service_at_locations") {
        let location = place.get("location").unwrap_or(place);
        if parts(location, "addresses").next().is_none() {
            all.extend(Some(text(location, "name")).filter(|name| !name.is_empty() && !all.contains(name)));
        }
        for address in parts(location, "addresses") {
            let lines = ["address_1", "address_2", "city", "region", "state_province", "postal_code", "country"];
            let lines: Vec<String> =
                lines.iter().map(|line| text(address, line)).filter(|line| !line.is_empty()).collect();
            all.extend(Some(lines.join(", ")).filter(|line| !line.is_empty() && !all.contains(line)));
        }
    }
    all
}

/// Reads one service; or says what is missing.
fn listing(of: &Value, service: Option<&Code>, at: Timestamp) -> Result<Listing, String> {
    let (source, name) = (text(of, "id"), text(of, "name"));
    if source.is_empty() || name.is_empty() {
        return Err("it has no id or no name".into());
    }
    let organization = of.get("organization").unwrap_or(&Value::Null);
    let telephones = of_parts(of, "phones", &["number"]);
    let contact = telephones.into_iter().chain([text(of, "email"), text(of, "url")]).filter(|one| !one.is_empty());
    let hash = sha256(&[b"casemesh/1/listing\0", source.as_bytes()]);
    let mut id = [0u8; RecordId::LENGTH];
    id.copy_from_slice(hash.as_bytes().split_at(RecordId::LENGTH).0);
    Ok(Listing {
        id: RecordId::new(id),
        organization: text(organization, "name"),
        name,
        description: text(of, "description"),
        service: service.cloned(),
        languages: of_parts(of, "languages", &["name", "code"]),
        min_age: age(of, "minimum_age"),
        max_age: age(of, "maximum_age"),
        area: of_parts(of, "service_areas", &["name", "description"]).join("; "),
        places: places(of),
        contact: contact.collect(),
        hours: of_parts(of, "schedules", &["description", "notes"]),
        eligibility: text(of, "eligibility_description"),
        application: text(of, "application_process"),
        fees: text(of, "fees_description"),
        documents: of_parts(of, "required_documents", &["document"]),
        alert: text(of, "alert"),
        assured: text(of, "assured_date").get(..10).and_then(|day| day.parse::<Day>().ok()),
        is_active: !["inactive", "defunct", "temporarily closed"].contains(&text(of, "status").as_str()),
        at,
    })
}

/// The services of a file, or of several that are tables; and which of them are not read.
fn services(files: &[(String, Vec<u8>)]) -> Result<Joined, FieldProblem> {
    if files.iter().map(|(_, bytes)| bytes.len()).sum::<usize>() > LISTINGS_BYTES_MAX {
        return Err(FieldProblem::with("file", "file-too-long", LISTINGS_BYTES_MAX / 1024 / 1024));
    }
    let joined = match files {
        [(name, bytes)] if !hsds::is_table(name) => Joined { services: in_json(bytes)?, unread: Vec::new() },
        files => hsds::join(files).map_err(|bad| match bad {
            BadTable::NoServices => FieldProblem::new("file", "no-services-table"),
            BadTable::Unreadable(name) => FieldProblem::with("file", "no-table", name),
            BadTable::TooLong(name) => FieldProblem::with("file", "table-too-long", name),
        })?,
    };
    if joined.services.len() > LISTINGS_MAX {
        return Err(FieldProblem::with("file", "too-many", LISTINGS_MAX));
    }
    match joined.services.iter().all(|one| text(one, "name").is_empty()) {
        true => Err(FieldProblem::new("file", "no-service-directory")),
        false => Ok(joined),
    }
}

fn in_json(bytes: &[u8]) -> Result<Vec<Value>, FieldProblem> {
    let no_directory = || FieldProblem::new("file", "no-service-directory");
    let read: Value = serde_json::from_slice(bytes).map_err(|_| no_directory())?;
    Ok(match read {
        Value::Array(all) => all,
        Value::Object(mut page) => match (page.remove("contents"), page.remove("services")) {
            (Some(Value::Array(all)), _) | (_, Some(Value::Array(all))) => all,
            _ => vec![Value::Object(page)],
        },
        _ => return Err(no_directory()),
    })
}

fn shown(one: &Listing, today: Day) -> ListingView {
    ListingView {
        id: one.id,
        name: one.name.clone(),
        organization: one.organization.clone(),
        description: one.description.clone(),
        service: one.service.as_ref().map(CodeView::from),
        languages: one.languages.clone(),
        min_age: one.min_age,
        max_age: one.max_age,
        area: one.area.clone(),
        places: one.places.clone(),
        contact: one.contact.clone(),
        hours: one.hours.clone(),
        eligibility: one.eligibility.clone(),
        application: one.application.clone(),
        fees: one.fees.clone(),
        documents: one.documents.clone(),
        alert: one.alert.clone(),
        assured: one.assured,
        is_stale: one.assured.is_none_or(|assured| assured.plus_days(OFFER_STALE_DAYS) < today),
    }
}

/// Whether two say the same, whenever they were read.
fn is_same(a: &Listing, b: &Listing) -> bool {
    *a == Listing { at: a.at, ..b.clone() }
}

impl Desk {
    /// Imports services of organisations outside the network, from a file in JSON or from tables, each with its name. All of a file are taken as the service that is named, if one is.
    /// Importing a file again changes only what changed in it.
    ///
    /// # Errors
    /// When the file is no such directory, or the account may not.
    pub fn import_listings(
        &self,
        files: &[(String, Vec<u8>)],
        service: &str,
        dry_run: bool,
    ) -> Result<ListingsReport, DeskError> {
        self.may_keep_entry()?;
        let mut problems = self.problems();
        let service = problems.optional_code("service", "service_type", service);
        problems.done()?;
        let Joined { services: all, unread } = services(files).map_err(|problem| DeskError::Invalid(vec![problem]))?;
        let (mut report, now) =
            (ListingsReport { entries: all.len(), unread, ..ListingsReport::default() }, self.now());
        let mut read: BTreeMap<RecordId, Listing> = BTreeMap::new();
        for (number, one) in all.iter().enumerate() {
            match listing(one, service.as_ref(), now) {
                Ok(listing) => {
                    read.insert(listing.id, listing);
                }
                Err(why) => {
                    report.refused += 1;
                    if report.problems.len() < PROBLEMS_MAX {
                        report.problems.push((number + 1, why));
                    }
                }
            }
        }
        let mut writes = Vec::new();
        {
            let tables = self.office.index.read();
            for listing in read.into_values() {
                report.inactive += usize::from(!listing.is_active);
                match tables.listings.get(&listing.id) {
                    Some(known) if is_same(known, &listing) => {
                        report.known += 1;
                        continue;
                    }
                    Some(_) => report.changed += 1,
                    None => report.new += 1,
                }
                writes.push(listing);
            }
            if tables.listings.len() + report.new > LISTINGS_MAX {
                return Err(DeskError::Invalid(vec![FieldProblem::with("file", "too-many", LISTINGS_MAX)]));
            }
        }
        for some in writes.chunks(WRITTEN_AT_ONCE).filter(|_| !dry_run) {
            let some = some.to_vec();
            self.write("import_services", move |tx| {
                for listing in some {
                    match tx.get::<Listing>(Listing::TOP, listing.id)? {
                        Some(known) => tx.update(&listing, known.revision)?,
                        None => tx.insert(&listing)?,
                    }
                }
                Ok(())
            })?;
        }
        Ok(report)
    }

    /// One service outside the network.
    ///
    /// # Errors
    /// When there is none.
    pub fn listing(&self, id: RecordId) -> Result<ListingView, DeskError> {
        let (today, tables) = (self.today(), self.office.index.read());
        tables.listings.get(&id).map(|one| shown(one, today)).ok_or(DeskError::NotFound)
    }

    /// Services outside the network that are looked for: what was confirmed last first.
    ///
    /// # Errors
    /// When fields are wrong.
    pub fn find_listings(&self, search: &OfferSearch) -> Result<Vec<ListingView>, DeskError> {
        let (service, age) = self.looked_for(search)?;
        let (today, tables) = (self.today(), self.office.index.read());
        let is_meant = |one: &&std::sync::Arc<Listing>| {
            let texts = [&one.name, &one.organization, &one.description, &one.area, &one.eligibility];
            let said: Vec<&str> = texts.into_iter().chain(&one.places).map(String::as_str).collect();
            let languages: Vec<&str> = one.languages.iter().map(String::as_str).collect();
            one.is_active
                && service.as_ref().is_none_or(|wanted| one.service.as_ref().is_some_and(|own| own.code == wanted.code))
                && is_for_age(one.min_age, one.max_age, age)
                && has_words(&search.words, &said)
                && has_words(&search.language, &languages)
        };
        let mut found: Vec<_> = tables.listings.values().filter(is_meant).collect();
        found.sort_by(|a, b| b.assured.cmp(&a.assured).then(a.name.cmp(&b.name)));
        Ok(found.into_iter().take(FOUND_MAX).map(|one| shown(one, today)).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_full_service_is_read_and_what_is_missing_is_told() {
        let full = json!({
            "id": "s1", "name": "Counselling", "status": "active", "minimum_age": "12", "maximum_age": 100,
            "organization": { "name": "Hope" }, "assured_date": "2026-05-01T00:00:00Z",
            "phones": [{ "number": "\"039 1\"" }, { "number": "039 1" }], "languages": [{ "name": "Urdu" }, { "code": "zu" }],
            "service_at_locations": [{ "location": { "addresses": [{ "address_1": "1 Main", "city": "Ugu" }] } }],
        });
        let read = listing(&full, None, Timestamp::from_s(1)).unwrap();
        assert_eq!((read.min_age, read.max_age, read.assured), (Some(12), None, "2026-05-01".parse().ok()));
        assert_eq!(
            (read.contact, read.languages),
            (vec!["039 1".to_owned()], vec!["Urdu".to_owned(), "zu".to_owned()])
        );
        assert_eq!((read.places, read.organization.as_str()), (vec!["1 Main, Ugu".to_owned()], "Hope"));
        assert!(listing(&json!({ "name": "x" }), None, Timestamp::from_s(1)).is_err());
        let services = |bytes: &[u8]| services(&[(String::new(), bytes.to_vec())]);
        assert!(services(b"{}").is_err() && services(b"[]").is_err() && services(b"name,id").is_err());
        assert_eq!(services(&serde_json::to_vec(&json!({ "contents": [full] })).unwrap()).unwrap().services.len(), 1);
        assert!(text(&json!({ "a": "é".repeat(2_000) }), "a").len() <= TEXT_BYTES_MAX);
    }
}
