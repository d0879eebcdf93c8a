//! Indicator sets as files: the one that this program brings, and what an office writes beside it.

use casemesh_protocol::indicators::{INDICATORS_MAX, Indicator};
use serde::Deserialize;
use std::collections::BTreeSet;
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
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    id: String,
    version: u16,
    indicator: Vec<Spanned<Indicator>>,
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
    let indicators = file.indicator.into_iter().map(Spanned::into_inner).collect();
    Ok(Set { id: file.id, version: file.version, indicators })
}

fn line_of(text: &str, at: usize) -> usize {
    text.bytes().take(at).filter(|byte| *byte == b'\n').count() + 1
}

/// The set that this program brings.
pub fn shipped() -> &'static Set {
    static SET: LazyLock<Set> = LazyLock::new(|| {
        read(include_str!("../packs/indicators.toml")).unwrap_or_else(|error| {
            tracing::error!(error, "the indicators of this program cannot be read");
            Set { id: String::new(), version: 0, indicators: Vec::new() }
        })
    });
    &SET
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
    read(text).map(Some).map_err(named)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_set_holds_and_speaks_five_languages() {
        let set = read(include_str!("../packs/indicators.toml")).unwrap();
        assert!(set.indicators.len() >= 10);
        for indicator in &set.indicators {
            for language in ["en", "es", "fr", "sw", "ar"] {
                assert!(indicator.title.contains_key(language), "{} in {language}", indicator.id);
            }
        }
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
