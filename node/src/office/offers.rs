//! What offices offer: what this one says of itself, and the search for whoever can help.

use super::renewal::NewOnCard;
use super::{Desk, DeskError, FieldProblem, FoundOffer, OfferView, OwnEntryView};
use crate::names;
use crate::policy::Ask;
use casemesh_protocol::bounded::List;
use casemesh_protocol::directory::{Capacity, Member, OfficeRecord, Role, ServiceOffer};
use casemesh_protocol::id::OfficeId;
use casemesh_protocol::levels::Levels;
use casemesh_protocol::limits::LIST_MAX;
use casemesh_protocol::terms::{Code, Line};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What an office said of a service is doubted after so many days.
pub(super) const OFFER_STALE_DAYS: i32 = 180;
/// The office is asked to confirm what it offers after so many days.
const CONFIRM_DAYS: i32 = 90;
/// So much of what is found is shown.
const FOUND_MAX: usize = 100;

/// What the office says of itself, as entered.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct EntryInput {
    /// The area it serves.
    pub area: String,
    /// Languages spoken there, with commas between.
    pub languages: String,
    /// A telephone for other offices.
    pub telephone: String,
    /// Until which day it takes nobody; empty when it does.
    pub closed_until: String,
    /// Whether other offices are not told where its node is, and it is reached by its hub; as it was when not said.
    pub hidden: Option<bool>,
    /// The collector that it tells its figures, as its id; empty leaves it to the network, and as it was when not said.
    pub reports_to: Option<String>,
}

/// A service that the office offers, as entered. It counts as confirmed today.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct OfferInput {
    /// Code of the list `service_type`.
    pub service: String,
    /// For whom and how.
    pub description: String,
    /// From which age; empty for any.
    pub min_age: String,
    /// Up to which age; empty for any.
    pub max_age: String,
    /// not_said, available, waiting_list, none or assessed_first.
    pub capacity: String,
    /// Whether it is not offered any more.
    pub remove: bool,
}

/// What is looked for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct OfferSearch {
    /// Code of the list `service_type`; any when empty.
    pub service: String,
    /// Words that stand in the office's name, its area, or what it says of the service.
    pub words: String,
    /// A language that is spoken there.
    pub language: String,
    /// The age of whoever needs it.
    pub age: String,
}

/// Whether every word that is looked for begins a word of what there is.
pub(super) fn has_words(wanted: &str, texts: &[&str]) -> bool {
    let there: Vec<String> = texts.iter().flat_map(|text| names::words(text)).collect();
    names::words(wanted).iter().all(|word| there.iter().any(|known| known.starts_with(word.as_str())))
}

/// Whether a service from one age to another is for somebody; for any age where none is said.
pub(super) fn is_for_age(from: Option<u8>, to: Option<u8>, age: Option<u8>) -> bool {
    age.is_none_or(|age| from.is_none_or(|from| from <= age) && to.is_none_or(|to| age <= to))
}

impl Desk {
    /// Whether this account says what the office offers.
    pub fn keeps_entry(&self) -> bool {
        self.may(Ask::HandOver) || self.may(Ask::Administer)
    }

    /// What the office says of itself; nothing where it joined no network.
    pub fn own_entry(&self) -> Option<OwnEntryView> {
        let directory = self.office.around.directory()?;
        let (record, today) = (&directory.member(&self.office.keys.office)?.record, self.today());
        let offers = record.services.iter().map(|offer| OfferView::new(offer, today, OFFER_STALE_DAYS));
        Some(OwnEntryView {
            area: record.area.to_string(),
            languages: record.languages.iter().map(ToString::to_string).collect(),
            telephone: record.telephone.to_string(),
            closed_until: record.closed_until.filter(|until| *until > today),
            hidden: record.is_hidden(),
            reports_to: record.reports_to,
            collectors: self.collectors_to_tell(),
            offers: offers.collect(),
        })
    }

    /// The collectors that this office can tell, by name: those that do not tell it.
    pub(super) fn collectors_to_tell(&self) -> Vec<(OfficeId, String)> {
        let Some(directory) = self.office.around.directory() else { return Vec::new() };
        let (levels, ours) = (Levels::of(directory.members()), self.office.keys.office);
        let may_hear = |(office, member): &(&OfficeId, &Member)| {
            member.has_role(Role::Collector) && !levels.is_ring(&ours, office)
        };
        let collectors = directory.members().filter(may_hear);
        let mut all: Vec<_> = collectors.map(|(office, member)| (*office, member.record.name.to_string())).collect();
        all.sort_by(|one, next| one.1.cmp(&next.1));
        all
    }

    /// Whether that collector tells this office its own sums.
    fn is_ring(&self, upper: &OfficeId) -> bool {
        let directory = self.office.around.directory();
        let levels = directory.map(|directory| Levels::of(directory.members())).unwrap_or_default();
        levels.is_ring(&self.office.keys.office, upper)
    }

    /// Whether somebody should confirm what the office offers.
    pub fn should_confirm_offers(&self) -> bool {
        let (today, own) = (self.today(), self.own_entry());
        let is_due = |offer: &OfferView| offer.assured.plus_days(CONFIRM_DAYS) < today;
        self.keeps_entry() && own.is_some_and(|own| own.offers.iter().any(is_due))
    }

    pub(super) fn may_keep_entry(&self) -> Result<(), DeskError> {
        if self.keeps_entry() { Ok(()) } else { Err(DeskError::Denied(crate::policy::Denied)) }
    }

    /// Says anew what the office is, and tells every member.
    ///
    /// # Errors
    /// When fields are wrong, the account may not, or the office is in no network.
    pub fn change_entry(&self, input: &EntryInput) -> Result<(), DeskError> {
        self.may_keep_entry()?;
        let mut problems = self.problems();
        let (area, telephone) = (problems.line("area", &input.area), problems.line("telephone", &input.telephone));
        let languages = problems.line("languages", &input.languages);
        let languages = languages.as_str().split([',', '،']).map(str::trim).filter(|one| !one.is_empty());
        let languages = List::new(languages.map(Line::cut).collect()).unwrap_or_else(|_| {
            problems.with("languages", "too-many", LIST_MAX);
            List::default()
        });
        let closed_until = problems.day("closed_until", &input.closed_until);
        if closed_until.is_some_and(|day| day <= self.today()) {
            problems.add("closed_until", "day-is-past");
        }
        let own = self.own_record()?;
        let is_hidden = input.hidden.unwrap_or_else(|| own.is_hidden());
        if is_hidden && own.hubs.as_slice().is_empty() {
            problems.add("hidden", "hidden-needs-hub");
        }
        let reports_to = match input.reports_to.as_deref() {
            None => own.reports_to,
            Some("") => None,
            // What it said before stays, also where that one collects no more; but not in a ring.
            Some(typed) if own.reports_to.is_some_and(|known| known.to_string() == typed && !self.is_ring(&known)) => {
                own.reports_to
            }
            Some(typed) => {
                let upper = self.collectors_to_tell().into_iter().find(|(office, _)| office.to_string() == typed);
                if upper.is_none() {
                    problems.add("reports_to", "reports-to");
                }
                upper.map(|(office, _)| office)
            }
        };
        problems.done()?;
        let addresses = match is_hidden {
            true => List::default(),
            false => self.office.around.addresses().map_err(|error| DeskError::Partner(error.to_string()))?,
        };
        self.say("change_entry", &|record| {
            (record.area, record.telephone) = (area.clone(), telephone.clone());
            (record.languages, record.closed_until) = (languages.clone(), closed_until);
            (record.addresses, record.reports_to) = (addresses.clone(), reports_to);
            Ok(())
        })
    }

    /// Says anew what the office offers in one service, confirmed today, and tells every member.
    ///
    /// # Errors
    /// When fields are wrong, the account may not, or the office is in no network.
    pub fn change_offer(&self, input: &OfferInput) -> Result<(), DeskError> {
        self.may_keep_entry()?;
        let mut problems = self.problems();
        let service = problems.code("service", "service_type", &input.service);
        let description = problems.line("description", &input.description);
        let (min_age, max_age) =
            (problems.number("min_age", &input.min_age), problems.number("max_age", &input.max_age));
        if min_age.zip(max_age).is_some_and(|(from, to)| to < from) {
            problems.add("max_age", "ages-turned-round");
        }
        let capacity = match input.capacity.as_str() {
            "" => Some(Capacity::NotSaid),
            word => problems.word("capacity", word),
        };
        problems.done()?;
        let (Some(service), Some(capacity)) = (service, capacity) else { return Err(DeskError::NotFound) };
        let offer = ServiceOffer { service, description, assured: self.today(), min_age, max_age, capacity };
        self.say("change_offer", &|record| {
            let mut services: Vec<ServiceOffer> = record.services.iter().cloned().collect();
            services.retain(|known| known.service.code != offer.service.code);
            services.extend(Some(offer.clone()).filter(|_| !input.remove));
            services.sort_by(|a, b| a.service.code.as_str().cmp(b.service.code.as_str()));
            let full = |_| DeskError::Invalid(vec![FieldProblem::with("service", "too-many", LIST_MAX)]);
            record.services = List::new(services).map_err(full)?;
            Ok(())
        })
    }

    fn own_record(&self) -> Result<OfficeRecord, DeskError> {
        let no_network = || DeskError::Invalid(vec![FieldProblem::new("area", "no-network")]);
        let directory = self.office.around.directory().ok_or_else(no_network)?;
        Ok(directory.member(&self.office.keys.office).ok_or_else(no_network)?.record.clone())
    }

    fn say(
        &self,
        action: &'static str,
        change: &dyn Fn(&mut OfficeRecord) -> Result<(), DeskError>,
    ) -> Result<(), DeskError> {
        self.own_record()?;
        self.office.vault.note_and_wait(Some(self.actor.staff), action, None)?;
        self.office.write_card(NewOnCard::Said(change))?;
        self.office.turn();
        Ok(())
    }

    /// The service and the age that are looked for.
    pub(super) fn looked_for(&self, search: &OfferSearch) -> Result<(Option<Code>, Option<u8>), DeskError> {
        let mut problems = self.problems();
        let service = problems.optional_code("service", "service_type", &search.service);
        let age = problems.number("age", &search.age);
        problems.done()?;
        Ok((service, age))
    }

    /// Offices of the network that offer what is looked for: who has room first, then what was confirmed last.
    ///
    /// # Errors
    /// When fields are wrong.
    pub fn find_offers(&self, search: &OfferSearch) -> Result<Vec<FoundOffer>, DeskError> {
        let (service, age) = self.looked_for(search)?;
        let Some(directory) = self.office.around.directory() else { return Ok(Vec::new()) };
        let (today, ours) = (self.today(), self.office.keys.office);
        let mut found = Vec::new();
        for (office, member) in
            directory.members().filter(|(office, member)| **office != ours && member.has_role(Role::Office))
        {
            let record = &member.record;
            let languages: Vec<&str> = record.languages.iter().map(Line::as_str).collect();
            if !has_words(&search.language, &languages) {
                continue;
            }
            for offer in record.services.iter() {
                let texts = [&record.name, &record.area, &offer.description, &offer.service.label];
                let said = texts.map(|text| text.as_str());
                let is_meant = service.as_ref().is_none_or(|wanted| wanted.code == offer.service.code)
                    && is_for_age(offer.min_age, offer.max_age, age)
                    && has_words(&search.words, &said);
                if is_meant {
                    found.push(FoundOffer {
                        office: *office,
                        name: record.name.to_string(),
                        area: record.area.to_string(),
                        languages: languages.iter().map(ToString::to_string).collect(),
                        telephone: record.telephone.to_string(),
                        closed_until: record.closed_until.filter(|until| *until > today),
                        offer: OfferView::new(offer, today, OFFER_STALE_DAYS),
                    });
                }
            }
        }
        found.sort_by(|a, b| {
            let rank = |one: &FoundOffer| (one.closed_until.is_some(), one.offer.capacity.rank(), one.offer.is_stale);
            rank(a).cmp(&rank(b)).then(b.offer.assured.cmp(&a.offer.assured)).then(a.name.cmp(&b.name))
        });
        found.truncate(FOUND_MAX);
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_begin_words_and_ages_bound() {
        assert!(has_words("", &[]) && has_words("casa ama", &["Casa Amapola", "Ugu"]));
        assert!(has_words("UGU", &["ugu district"]) && !has_words("mapola", &["Casa Amapola"]));
        let fits = |min, max| (0..=100).filter(|age| is_for_age(min, max, Some(*age))).count();
        assert_eq!(
            (fits(None, None), fits(Some(18), None), fits(Some(12), Some(17)), fits(None, Some(0))),
            (101, 83, 6, 1)
        );
    }
}
