//! Indicator sets as files: those that this program brings, what an office writes beside them, and what a network agreed on.

use casemesh_protocol::indicators::{INDICATORS_MAX, Indicator, is_name};
use casemesh_protocol::limits::CODE_BYTES_MAX;
use casemesh_protocol::statistics::{AGREEMENTS_MAX, Agreement, AgreementText, Rhythm, Terms, Word};
use casemesh_protocol::terms::Line;
use casemesh_protocol::time::Day;
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::LazyLock;
use toml::Spanned;

/// What an office writes of its own, in its folder.
pub const OWN_FILE: &str = "indicators.toml";
/// Longest file of a set, in bytes.
const SET_BYTES_MAX: u64 = 256 * 1024;

/// A set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Set {
    /// Its name.
    pub id: String,
    /// Its version: a change of what is counted is a new one.
    pub version: u16,
    /// What is computed.
    pub indicators: Vec<Indicator>,
    /// Codes that a network takes up into lists.
    pub codes: Vec<AgreedCode>,
    /// When it is due, where a network agreed on it.
    pub terms: Option<Terms>,
}

/// A code that all offices of a network take up into a list.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AgreedCode {
    /// The list: one of this program, or one that the network makes.
    pub list: String,
    /// The code.
    pub code: String,
    /// What it is called, by language; English is always there.
    pub label: BTreeMap<String, String>,
    /// From which day on it is offered; from now on where it does not say.
    #[serde(default)]
    pub from: Option<Day>,
    /// The line of the text in which it stands.
    #[serde(skip)]
    pub line: usize,
}

impl AgreedCode {
    /// What is wrong with it, with its line.
    fn wrong(&self, why: &str) -> String {
        format!("line {}: {}: {why}", self.line, self.code)
    }

    /// Whether another is the same code of the same list.
    fn is(&self, other: &Self) -> bool {
        self.list == other.list && self.code == other.code
    }

    fn check(&self) -> Result<(), String> {
        if [&self.list, &self.code].iter().any(|text| !is_name(text) || text.len() > CODE_BYTES_MAX) {
            return Err("list and code may hold lower case letters, digits and _ alone, at most 64".into());
        }
        if self.code.starts_with(crate::vocabulary::OWN) {
            return Err(format!("codes that begin with {} are those of single offices", crate::vocabulary::OWN));
        }
        if self.label.get("en").is_none_or(|label| label.trim().is_empty()) {
            return Err("it has no label in English: label.en".into());
        }
        match self.label.values().all(|label| Line::new(label).is_ok()) {
            true => Ok(()),
            false => Err("a label is too long".into()),
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    id: String,
    version: u16,
    #[serde(default)]
    terms: Option<Terms>,
    #[serde(default)]
    indicator: Vec<Spanned<Indicator>>,
    #[serde(default)]
    code: Vec<Spanned<AgreedCode>>,
}

/// Reads a set.
///
/// # Errors
/// With the line, and what to change there.
pub fn read(text: &str) -> Result<Set, String> {
    let file: File = toml::from_str(text).map_err(|error| {
        let line = error.span().map_or(0, |span| line_of(text, span.start));
        format!("line {line}: {}", error.message())
    })?;
    if file.indicator.len() > INDICATORS_MAX {
        return Err(format!("a set has at most {INDICATORS_MAX} indicators"));
    }
    let mut known = BTreeSet::new();
    for indicator in &file.indicator {
        let wrong =
            |why: String| format!("line {}: {}: {why}", line_of(text, indicator.span().start), indicator.get_ref().id);
        indicator.get_ref().check().map_err(wrong)?;
        if !known.insert(indicator.get_ref().id.clone()) {
            return Err(wrong("another indicator of the set has this id".into()));
        }
    }
    let at_line = |code: Spanned<AgreedCode>| {
        let line = line_of(text, code.span().start);
        AgreedCode { line, ..code.into_inner() }
    };
    let codes: Vec<AgreedCode> = file.code.into_iter().map(at_line).collect();
    let mut words = BTreeSet::new();
    for one in &codes {
        one.check().map_err(|why| one.wrong(&why))?;
        if !words.insert((&one.list, &one.code)) {
            return Err(one.wrong("the list has it twice here"));
        }
    }
    if file.indicator.is_empty() && codes.is_empty() {
        return Err("it says nothing: no [[indicator]] and no [[code]]".into());
    }
    let indicators = file.indicator.into_iter().map(Spanned::into_inner).collect();
    Ok(Set { id: file.id, version: file.version, indicators, codes, terms: file.terms })
}

/// Reads what a network agrees on: a set with its terms.
///
/// # Errors
/// With the line where there is one, and what to change.
pub fn read_agreement(text: &str) -> Result<Agreement, String> {
    read_agreed(text).map(|(agreement, _)| agreement)
}

/// Reads what a network may agree on from now on: also what would be wrong only for a new text.
///
/// # Errors
/// With the line where there is one, and what to change.
pub fn read_new(text: &str) -> Result<(Agreement, Vec<AgreedCode>), String> {
    let (agreement, codes) = read_agreed(text)?;
    // A later version of this program may have a code that was agreed on before.
    match codes.iter().find(|one| crate::codes::code(&one.list, &one.code).is_some()) {
        Some(one) => Err(one.wrong(&format!("the list {} of this program has it already", one.list))),
        None => Ok((agreement, codes)),
    }
}

/// The same with the codes that the network takes up. A text of codes alone has no figures, and is never due.
///
/// # Errors
/// With the line where there is one, and what to change.
pub fn read_agreed(text: &str) -> Result<(Agreement, Vec<AgreedCode>), String> {
    let Set { id, version, indicators, codes, terms } = read(text)?;
    let of_codes = indicators.is_empty().then(|| Terms::plain(Rhythm::Chosen));
    let terms = terms.or(of_codes).ok_or("it does not say when it is due: [terms] with every = \"quarter\"")?;
    let id = Word::new(id).ok().filter(|id| !id.is_empty()).ok_or("the id has no letter, or more than 64")?;
    let agreement = Agreement { id, version, terms, indicators };
    agreement.check()?;
    Ok((agreement, codes))
}

fn line_of(text: &str, at: usize) -> usize {
    text.bytes().take(at).filter(|byte| *byte == b'\n').count() + 1
}

/// The sets that this program brings, by name. The first is every office's; the others are of offices whose pack has their name.
pub const SHIPPED: [(&str, &str); 3] = [
    ("community_advice", include_str!("../packs/sets/community_advice.toml")),
    ("anti_trafficking", include_str!("../packs/sets/anti_trafficking.toml")),
    ("child_protection", include_str!("../packs/sets/child_protection.toml")),
];

/// An agreement about what is reported in many offices at once, to be completed: who adds, and which codes.
pub const PATTERNS: &str = include_str!("../packs/sets/patterns.toml");

/// The sets of the report of an office with that pack.
pub fn shipped(pack: &str) -> Vec<&'static Set> {
    static SETS: LazyLock<Vec<Set>> = LazyLock::new(|| {
        let read_one = |(name, text): &(&str, &str)| match read(text) {
            Ok(set) => Some(set),
            Err(error) => {
                tracing::error!(error, name, "a set of this program cannot be read");
                None
            }
        };
        SHIPPED.iter().filter_map(read_one).collect()
    });
    let is_own = |(at, set): &(usize, &Set)| *at == 0 || set.id == pack;
    SETS.iter().enumerate().filter(is_own).map(|(_, set)| set).collect()
}

/// The text of what a network asks until its stewards agree on something else.
pub const NATIONAL: &str = include_str!("../packs/national.toml");

/// What a network asks until its stewards agree on something else: the three national numbers.
pub fn national() -> &'static Agreement {
    static NUMBERS: LazyLock<Agreement> = LazyLock::new(|| {
        read_agreement(NATIONAL).unwrap_or_else(|error| {
            tracing::error!(error, "the national numbers of this program cannot be read");
            let terms = Terms::plain(Rhythm::Chosen);
            Agreement { id: Word::default(), version: 0, terms, indicators: Vec::new() }
        })
    });
    &NUMBERS
}

/// The agreements of a network, read; those that this program cannot compute are named with why.
pub fn agreements<'a>(texts: impl Iterator<Item = &'a AgreementText>) -> (Vec<Agreed>, Vec<String>) {
    let (mut all, mut problems) = (Vec::new(), Vec::new());
    for text in texts {
        match read_agreed(text.as_str()) {
            Ok((agreement, codes)) => all.push(Agreed { agreement, codes, text: text.clone() }),
            Err(problem) => problems.push(problem),
        }
    }
    (all, problems)
}

/// What a network asks: its agreements, or the national numbers where its stewards agreed on nothing.
pub fn asked<'a>(texts: impl Iterator<Item = &'a AgreementText>) -> (Vec<Agreed>, Vec<String>) {
    let (mut all, problems) = agreements(texts);
    all.retain(Agreed::asks);
    if all.is_empty() && problems.is_empty() {
        all.push(agreed_national());
    }
    (all, problems)
}

/// The national numbers, as an agreement.
pub fn agreed_national() -> Agreed {
    Agreed { agreement: national().clone(), codes: Vec::new(), text: AgreementText::cut(NATIONAL) }
}

/// The agreements that hold after a change: those of before but for the ended, and the new ones; a new version takes the place of an
/// older one.
///
/// # Errors
/// When a text cannot be an agreement, an older version would follow a newer one, or there is nothing to end.
pub fn changed(before: &[Agreed], new: &[AgreementText], ended: &[String]) -> Result<Vec<AgreementText>, String> {
    if let Some(unknown) = ended.iter().find(|id| before.iter().all(|known| known.agreement.id.as_str() != **id)) {
        return Err(format!("the network has no agreement {unknown:?} that could end"));
    }
    let stays = before.iter().filter(|known| !ended.iter().any(|id| known.agreement.id.as_str() == id));
    let mut all: Vec<Agreed> = stays.cloned().collect();
    for text in new {
        let (agreement, codes) = read_new(text.as_str())?;
        let older = all.iter().position(|known| known.agreement.id == agreement.id);
        if let Some(older) = older.map(|at| all.remove(at)).filter(|older| older.agreement.version >= agreement.version)
        {
            return Err(format!(
                "{} version {} holds already; give the changed agreement a higher version",
                agreement.id, older.agreement.version
            ));
        }
        let is_taken = |one: &&AgreedCode| all.iter().flat_map(|known| &known.codes).any(|known| known.is(one));
        if let Some(taken) = codes.iter().find(is_taken) {
            return Err(taken.wrong("another agreement has the code already"));
        }
        all.push(Agreed { agreement, codes, text: text.clone() });
    }
    if all.len() > AGREEMENTS_MAX {
        return Err(format!("a network has at most {AGREEMENTS_MAX} agreements at one time; end one"));
    }
    Ok(all.into_iter().map(|agreed| agreed.text).collect())
}

/// An agreement, and the text that the stewards signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Agreed {
    /// What it says.
    pub agreement: Agreement,
    /// Codes that the network takes up.
    pub codes: Vec<AgreedCode>,
    /// The text.
    pub text: AgreementText,
}

impl Agreed {
    /// Whether it asks for figures; one of codes alone does not.
    pub fn asks(&self) -> bool {
        !self.agreement.indicators.is_empty()
    }
}

/// What the office wrote into its folder; none where it wrote nothing.
///
/// # Errors
/// With the file, the line, and what to change there.
pub fn own(folder: &Path) -> Result<Option<Set>, String> {
    let named = |why: String| format!("{OWN_FILE}: {why}");
    let bytes = crate::disk::read_bounded(&folder.join(OWN_FILE), SET_BYTES_MAX);
    let Some(bytes) = bytes.map_err(|error| named(crate::disk::refusal(&error)))? else { return Ok(None) };
    let text = std::str::from_utf8(&bytes).map_err(|_| named("it is no text in UTF-8".into()))?;
    let set = read(text).map_err(named)?;
    match set.codes.is_empty() {
        true => Ok(Some(set)),
        false => Err(named("codes of one office are made on the page of their list, and not here".into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_sets_hold_and_speak_five_languages() {
        for (name, text) in SHIPPED {
            let set = read(text).unwrap();
            assert_eq!(set.id, name);
            for indicator in &set.indicators {
                for language in ["en", "es", "fr", "sw", "ar"] {
                    assert!(indicator.title.contains_key(language), "{} in {language}", indicator.id);
                }
            }
            // Those that have terms can be agreed on as they are.
            assert!(set.terms.is_none() || read_agreement(text).is_ok(), "{:?}", read_agreement(text));
        }
        let two = [("ADDS-FIRST", [1; 32]), ("ADDS-SECOND", [2; 32])];
        let completed = two.iter().fold(PATTERNS.to_owned(), |text, (word, id)| {
            text.replace(word, &casemesh_protocol::id::OfficeId::new(*id).to_string())
        });
        assert!(read_agreement(&completed).is_ok() && read_agreement(PATTERNS).is_err());
        assert_eq!(shipped("community_advice").len(), 1);
        assert_eq!(shipped("anti_trafficking").len(), 2);
    }

    #[test]
    fn the_national_numbers_are_an_agreement_that_tells_nobody_apart() {
        let numbers = read_agreement(NATIONAL).unwrap();
        assert_eq!(numbers.indicators.len(), 3);
        assert!(numbers.indicators.iter().all(|one| !one.is_protected()));
        let (all, problems) = asked(std::iter::empty());
        assert_eq!((all.len(), problems.len()), (1, 0));
        let none = AgreementText::new("id = \"x\"\nversion = 1\nindicator = []").unwrap();
        let (all, problems) = asked([&none].into_iter());
        assert!(
            all.is_empty() && problems[0].contains("[[indicator]]"),
            "what cannot be read does not become something else"
        );
    }

    #[test]
    fn stewards_change_what_they_agreed_on() {
        let text = |id: &str, version: u16| {
            let own = NATIONAL
                .replace("\"national\"", &format!("{id:?}"))
                .replace("version = 1", &format!("version = {version}"));
            AgreementText::new(own).unwrap()
        };
        let (before, _) = agreements([&text("one", 1)].into_iter());
        let ids = |texts: Vec<AgreementText>| -> Vec<(String, u16)> {
            let (all, _) = agreements(texts.iter());
            all.iter().map(|agreed| (agreed.agreement.id.to_string(), agreed.agreement.version)).collect()
        };
        let found = ids(changed(&before, &[text("one", 2), text("two", 1)], &[]).unwrap());
        assert_eq!(found, [("one".to_owned(), 2), ("two".to_owned(), 1)]);
        assert!(changed(&before, &[text("one", 1)], &[]).unwrap_err().contains("higher version"));
        assert!(changed(&before, &[], &["two".into()]).unwrap_err().contains("\"two\""));
        assert!(changed(&before, &[], &["one".into()]).unwrap().is_empty());
    }

    #[test]
    fn what_is_wrong_is_named_with_its_line() {
        let with = |rest: &str| {
            read(&format!(
                "id = \"own\"\nversion = 1\n\n[[indicator]]\nid = \"one\"\ntitle = {{ en = \"One\" }}\n{rest}\n"
            ))
            .unwrap_err()
        };
        let column = with("source = \"cases\"\nwhen = { in = \"born\" }");
        assert!(column.starts_with("line 4: one: cases have no column \"born\""), "{column}");
        let source = with("source = \"sorrows\"\nwhen = { in = \"opened\" }");
        assert!(
            source.contains("line 7") && source.contains("choose one of cases, referrals, payments, people"),
            "{source}"
        );
        let key = with("source = \"cases\"\nwhen = { in = \"opened\" }\ncolour = \"red\"");
        assert!(key.contains("colour"), "{key}");
        let twice = with(
            "source = \"cases\"\nwhen = { in = \"opened\" }\n[[indicator]]\nid = \"one\"\ntitle = { en = \"One\" }\nsource = \"cases\"\nwhen = { in = \"opened\" }",
        );
        assert!(twice.contains("line 9") && twice.contains("this id"), "{twice}");
    }

    #[test]
    fn an_offices_own_set_is_read_from_its_folder_or_says_why_not() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(own(folder.path()), Ok(None));
        std::fs::write(folder.path().join(OWN_FILE), "id = 3").unwrap();
        assert!(own(folder.path()).unwrap_err().starts_with("indicators.toml: line 1"));
    }
}
