//! The words that an office works with: the code lists and forms of this program, and what the office made, imported,
//! added to them or left out.
//!
//! A code or field is never removed: records point to it. It is retired, and not offered any more.

use crate::codes::{self, CodeList};
use crate::forms::{self, Form, FormField};
use crate::indicators::AgreedCode;
use crate::packs::{self, Pack};
use crate::records::{NetworkCode, NetworkCodes, OfficeForm, OfficeList};
use casemesh_protocol::terms::Code;
use casemesh_protocol::time::Day;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use utoipa::ToSchema;

/// What ids of codes, fields and forms that an office made begin with, so that none of a later version of this program is
/// the same.
pub const OWN: &str = "own_";

/// A code, as it is offered or explained.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Term {
    /// The code.
    pub code: String,
    /// Its label: in English, for one of this program.
    pub label: String,
    /// What it means, if the office wrote it down or imported it.
    pub explanation: String,
    /// Whether the office made or imported it.
    pub own: bool,
    /// Whether forms offer it.
    pub offered: bool,
    /// What it is counted as in what leaves the office; none where it stands for itself.
    pub counts_as: Option<String>,
}

/// What an office works with.
#[derive(Debug, Clone, Default)]
pub struct Vocabulary {
    pack: Option<&'static Pack>,
    lists: BTreeMap<String, Arc<OfficeList>>,
    network: Arc<[NetworkCode]>,
    forms: BTreeMap<String, Arc<Form>>,
}

impl Vocabulary {
    /// The words that an office starts with.
    pub fn of_pack(pack: &str) -> Self {
        Self { pack: packs::pack(pack), ..Self::default() }
    }

    /// The same, with another pack.
    pub(crate) fn set_pack(&mut self, pack: &str) {
        self.pack = packs::pack(pack);
    }

    /// Takes up what the office says of a list.
    pub(crate) fn put_list(&mut self, list: OfficeList) {
        self.lists.insert(list.name.clone(), Arc::new(list));
    }

    /// Takes up the codes of the network.
    pub(crate) fn put_network(&mut self, codes: NetworkCodes) {
        self.network = codes.codes.into();
    }

    /// A code that the network took up, also one that it does not offer any more.
    pub fn of_network(&self, list: &str, code: &str) -> Option<&NetworkCode> {
        self.network.iter().find(|known| known.list == list && known.code == code)
    }

    /// A code that all offices have: of this program, or of the network.
    pub fn shared(&self, list: &str, code: &str) -> Option<Code> {
        codes::code(list, code).or_else(|| self.of_network(list, code)?.coded())
    }

    /// Whether all offices have a list of that name.
    pub fn is_shared_list(&self, list: &str) -> bool {
        codes::list(list).is_some() || self.network.iter().any(|known| known.list == list)
    }

    /// Takes up a form of the office.
    pub(crate) fn put_form(&mut self, form: &OfficeForm) {
        if let Some(form) = read_form(form) {
            self.forms.insert(form.id.clone(), Arc::new(form));
        }
    }

    /// The coded value of a list, if both exist. A code that is not offered any more still counts: an entry that is
    /// corrected may have it.
    pub fn code(&self, list: &str, code: &str) -> Option<Code> {
        let own = || self.own(list)?.code(code);
        self.shared(list, code).or_else(own)
    }

    /// A code by what somebody typed: the code, or its label in whatever case.
    pub fn code_or_label(&self, list: &str, typed: &str) -> Option<Code> {
        self.code(list, typed).or_else(|| {
            let typed = typed.trim().to_lowercase();
            let mut same = self.terms(list).filter(|term| term.label.to_lowercase() == typed);
            // Two places of one name are told apart by their code.
            let only = same.next().filter(|_| same.next().is_none())?;
            self.code(list, &only.code)
        })
    }

    /// Labels of a list that begin like what somebody typed, for the message that it is none of them.
    pub fn like(&self, list: &str, typed: &str) -> String {
        const SHOWN: usize = 5;
        let typed = typed.trim().to_lowercase();
        let like = self.terms(list).filter(|term| term.offered && term.label.to_lowercase().contains(&typed));
        let shown: Vec<String> = like.take(SHOWN).map(|term| format!("{} ({})", term.label, term.code)).collect();
        shown.join(", ")
    }

    /// What the office says of a list.
    pub fn own(&self, list: &str) -> Option<&OfficeList> {
        self.lists.get(list).map(Arc::as_ref)
    }

    /// Whether there is a list of that name.
    pub fn has_list(&self, list: &str) -> bool {
        self.is_shared_list(list) || self.lists.contains_key(list)
    }

    /// The names of all lists: those of this program first.
    pub fn list_names(&self) -> impl Iterator<Item = &str> {
        let own = self.lists.keys().chain(self.network.iter().map(|known| &known.list)).map(String::as_str);
        let own: BTreeSet<&str> = own.filter(|name| codes::list(name).is_none()).collect();
        codes::LISTS.iter().map(|list| list.name).chain(own)
    }

    /// The codes of a list, in its order: those of this program first, then those of the network.
    pub fn terms<'a>(&'a self, list: &'a str) -> impl Iterator<Item = Term> + 'a {
        let ours = codes::list(list).map_or(&[][..], |CodeList { codes, .. }| codes);
        let of_pack = self.pack.and_then(|pack| pack.lists.get(list));
        let own = self.own(list);
        let is_offered = move |code: &str| match own.and_then(|own| own.choice(code)) {
            Some(offered) => offered,
            None => of_pack.is_none_or(|offered| offered.iter().any(|known| known == code)),
        };
        let ours = ours.iter().map(move |(code, label)| Term {
            code: (*code).to_owned(),
            label: (*label).to_owned(),
            explanation: String::new(),
            own: false,
            offered: is_offered(code),
            counts_as: None,
        });
        let network = self.network.iter().filter(move |known| known.list == list).map(move |known| Term {
            code: known.code.clone(),
            label: known.label("en").unwrap_or(&known.code).to_owned(),
            explanation: String::new(),
            own: false,
            offered: known.offered && own.and_then(|own| own.choice(&known.code)).unwrap_or(true),
            counts_as: None,
        });
        ours.chain(network).chain(own.into_iter().flat_map(|own| &own.codes).map(|code| Term {
            code: code.code.clone(),
            label: code.label.clone(),
            explanation: code.explanation.clone(),
            own: true,
            offered: !code.retired,
            counts_as: code.counts_as.clone(),
        }))
    }

    /// What a code of the office's own is counted as in what leaves it: the network's code that stands above it.
    pub fn counts_as(&self, code: &Code) -> Option<Code> {
        let own = self.own(code.list.as_str())?.codes.iter().find(|own| own.code == code.code.as_str())?;
        self.shared(code.list.as_str(), own.counts_as.as_deref()?)
    }

    /// A form by its id.
    pub fn form(&self, id: &str) -> Option<&Arc<Form>> {
        self.forms.get(id).or_else(|| forms::all().iter().find(|form| form.id == id))
    }

    /// All forms: those of this program first.
    pub fn forms(&self) -> impl Iterator<Item = &Arc<Form>> {
        let ours = forms::all().iter().map(|form| self.forms.get(&form.id).unwrap_or(form));
        let is_ours = |id: &str| forms::all().iter().any(|form| form.id == id);
        ours.chain(self.forms.values().filter(move |form| !is_ours(&form.id)))
    }
}

/// The codes of the network on a day: those that its agreements name, each once, and those that they named once. Only where all agreements
/// are known (`is_whole`) is what none names any more not offered.
pub(crate) fn adopted(known: &[NetworkCode], agreed: &[AgreedCode], is_whole: bool, today: Day) -> Vec<NetworkCode> {
    let mut all: Vec<NetworkCode> = known.to_vec();
    let is_it = |one: &AgreedCode, other: &NetworkCode| one.list == other.list && one.code == other.code;
    for other in all.iter_mut().filter(|_| is_whole) {
        other.offered &= agreed.iter().any(|one| is_it(one, other));
    }
    let mut seen: BTreeSet<(&str, &str)> = BTreeSet::new();
    for one in agreed.iter().filter(|one| codes::code(&one.list, &one.code).is_none()) {
        if !seen.insert((&one.list, &one.code)) {
            continue;
        }
        let offered = NetworkCode {
            list: one.list.clone(),
            code: one.code.clone(),
            labels: one.label.iter().map(|(language, label)| (language.clone(), label.clone())).collect(),
            from: one.from,
            offered: one.from.is_none_or(|from| from <= today),
        };
        match all.iter_mut().find(|other| is_it(one, other)) {
            Some(other) => *other = offered,
            None => all.push(offered),
        }
    }
    all
}

/// A form of the office as it is filled in.
pub(crate) fn read_form(form: &OfficeForm) -> Option<Form> {
    match serde_json::from_str(&form.definition) {
        Ok(definition) => Some(merged(definition)),
        Err(error) => {
            tracing::error!(%error, "a form of the office cannot be read");
            None
        }
    }
}

/// One that has the id of a form of this program is that form with the office's
/// fields behind it, and without those that the office leaves out.
fn merged(own: Form) -> Form {
    let Some(ours) = forms::all().iter().find(|form| form.id == own.id) else { return own };
    let left_out = |field: &FormField| own.fields.iter().any(|other| other.id == field.id && other.retired);
    let mut form = Form::clone(ours);
    for field in &mut form.fields {
        field.retired = ours.can_do_without(field) && left_out(field);
    }
    form.fields.extend(own.fields.into_iter().filter(|field| field.id.starts_with(OWN)));
    form
}

/// An id made of a label: small Latin letters, digits and underscores; a number where the label gives none.
pub fn id_of(label: &str, is_taken: impl Fn(&str) -> bool) -> String {
    let latin = any_ascii::any_ascii(label).to_ascii_lowercase();
    let words: Vec<&str> = latin.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty()).collect();
    let mut id = words.join("_");
    id.truncate(40);
    let id = format!("{OWN}{}", id.trim_matches('_'));
    let with_number = (2..).map(|number| format!("{}_{number}", id.trim_end_matches('_')));
    let first = Some(id.clone()).filter(|id| id != OWN);
    first.into_iter().chain(with_number).find(|id| !is_taken(id)).unwrap_or(id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::forms::{About, FieldKind};
    use crate::records::OfficeCode;
    use casemesh_protocol::id::RecordId;

    fn own_list(name: &str, labels: &[&str]) -> OfficeList {
        let code = |label: &&str| OfficeCode {
            code: id_of(label, |_| false),
            label: (*label).to_owned(),
            explanation: String::new(),
            retired: false,
            counts_as: None,
        };
        OfficeList {
            id: RecordId::new([7; 16]),
            name: name.into(),
            title: String::new(),
            source: String::new(),
            codes: labels.iter().map(code).collect(),
            choices: Vec::new(),
        }
    }

    #[test]
    fn an_office_adds_codes_and_leaves_codes_out() {
        let mut words = Vocabulary::of_pack("community_advice");
        let offered = |words: &Vocabulary| -> Vec<String> {
            words.terms("case_type").filter(|term| term.offered).map(|term| term.code).collect()
        };
        assert!(!offered(&words).contains(&"trafficking".to_owned()), "the pack leaves it out");
        let mut list = own_list("case_type", &["Mining dust"]);
        list.choices = vec![("trafficking".into(), true), ("land".into(), false)];
        words.put_list(list);
        let now = offered(&words);
        assert!(now.contains(&"trafficking".to_owned()) && now.contains(&"own_mining_dust".to_owned()));
        assert!(!now.contains(&"land".to_owned()));
        assert!(words.code("case_type", "land").is_some(), "records have it");
        assert_eq!(words.code_or_label("case_type", "mining DUST").unwrap().code.as_str(), "own_mining_dust");
        assert!(words.code("case_type", "nothing").is_none());
    }

    #[test]
    fn the_networks_codes_are_offered_from_their_day_on_and_never_lost() {
        let day = |day: &str| day.parse::<Day>().unwrap();
        let one = |code: &str, from: Option<&str>| AgreedCode {
            list: "case_type".into(),
            code: code.into(),
            label: BTreeMap::from([("en".into(), code.to_uppercase()), ("fr".into(), "mot".into())]),
            from: from.map(day),
            line: 0,
        };
        let agreed = [one("airtime", Some("2026-12-01")), one("loans", None)];
        let before = adopted(&[], &agreed, true, day("2026-11-30"));
        assert_eq!(before.iter().map(|one| one.offered).collect::<Vec<_>>(), [false, true]);
        let then = adopted(&before, &agreed, true, day("2026-12-01"));
        assert!(then[0].offered && then.len() == 2);
        // A text that is missing takes nothing away; the same code in two texts is one.
        assert_eq!(adopted(&then, &[one("loans", None), one("loans", None)], false, day("2027-01-01")), then);
        let ended = adopted(&then, &agreed[..1], true, day("2027-01-01"));
        assert_eq!(
            ended.iter().map(|one| one.offered).collect::<Vec<_>>(),
            [true, false],
            "loans are not offered any more"
        );

        let mut words = Vocabulary::of_pack("community_advice");
        words.put_network(NetworkCodes { id: RecordId::new([1; 16]), codes: ended });
        let terms: Vec<(String, bool)> = words.terms("case_type").map(|term| (term.code, term.offered)).collect();
        assert_eq!(terms[terms.len() - 2..], [("airtime".to_owned(), true), ("loans".to_owned(), false)]);
        assert!(words.code("case_type", "loans").is_some(), "records have it");
        assert_eq!(words.of_network("case_type", "airtime").unwrap().label("fr"), Some("mot"));
        // An office may leave it out, and count its own under it.
        let mut list = own_list("case_type", &["Prepaid"]);
        list.choices = vec![("airtime".into(), false)];
        list.codes[0].counts_as = Some("airtime".into());
        words.put_list(list);
        assert!(words.terms("case_type").all(|term| term.code != "airtime" || !term.offered));
        let own = words.code("case_type", "own_prepaid").unwrap();
        assert_eq!(words.counts_as(&own).unwrap().label.as_str(), "AIRTIME");
    }

    #[test]
    fn a_label_that_two_codes_have_is_no_answer() {
        let mut words = Vocabulary::default();
        let mut list = own_list("ward", &["Township", "Hill"]);
        list.codes.push(OfficeCode {
            code: "w2".into(),
            label: "Township".into(),
            explanation: String::new(),
            retired: false,
            counts_as: None,
        });
        words.put_list(list);
        assert!(words.code_or_label("ward", "hill").is_some());
        assert!(words.code_or_label("ward", "township").is_none());
        assert!(words.code_or_label("ward", "w2").is_some());
    }

    #[test]
    fn fields_come_behind_those_of_a_form_and_needed_ones_stay() {
        let field = |id: &str, retired| FormField {
            id: id.into(),
            label: Some(id.into()),
            kind: FieldKind::Line,
            list: None,
            required: false,
            min: None,
            max: None,
            retired,
        };
        let own = Form {
            id: "incident".into(),
            title: None,
            about: About::Case,
            module: packs::CORE.into(),
            fields: vec![field("own_weather", false), field("harm", true), field("incident_kind", true)],
            tasks: Vec::new(),
            approved: false,
            retired: false,
        };
        let mut words = Vocabulary::default();
        words.put_form(&OfficeForm { id: RecordId::new([9; 16]), definition: serde_json::to_string(&own).unwrap() });
        let form = words.form("incident").unwrap();
        let asked: Vec<&str> = form.asked().map(|field| field.id.as_str()).collect();
        assert_eq!(asked, ["happened_on", "place", "incident_kind", "reported", "reported_to", "own_weather"]);
        assert_eq!(words.forms().count(), forms::all().len());
    }

    #[test]
    fn an_id_is_made_of_any_label() {
        let none = |_: &str| false;
        assert_eq!(id_of("Type of Farm!", none), "own_type_of_farm");
        assert_eq!(id_of("Ферма", none), "own_ferma");
        assert_eq!(id_of("…", none), "own_2");
        assert_eq!(id_of("Farm", |id| id == "own_farm"), "own_farm_2");
    }
}
