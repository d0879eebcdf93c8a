//! Texts from the catalogues: one file a language, the English one complete. A text that a language does not
//! have yet is shown in English.

use fluent_bundle::concurrent::FluentBundle;
use fluent_bundle::{FluentArgs, FluentResource, FluentValue};
use std::collections::BTreeMap;
use std::sync::LazyLock;
use unic_langid::LanguageIdentifier;

/// A language of the pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Language {
    pub(crate) code: &'static str,
    /// Its name in itself.
    pub(crate) name: &'static str,
    /// `ltr` or `rtl`.
    pub(crate) dir: &'static str,
    source: &'static str,
}

pub(crate) const LANGUAGES: &[Language] = &[
    Language { code: "en", name: "English", dir: "ltr", source: include_str!("../locales/en.ftl") },
    Language { code: "es", name: "Español", dir: "ltr", source: include_str!("../locales/es.ftl") },
    Language { code: "fr", name: "Français", dir: "ltr", source: include_str!("../locales/fr.ftl") },
    Language { code: "sw", name: "Kiswahili", dir: "ltr", source: include_str!("../locales/sw.ftl") },
    Language { code: "ar", name: "العربية", dir: "rtl", source: include_str!("../locales/ar.ftl") },
];

/// Languages that have the words of the first pages: what they lack stands in English. A test holds them to the same keys.
pub(crate) const PARTIAL: &[Language] = &[
    Language { code: "am", name: "አማርኛ", dir: "ltr", source: include_str!("../locales/partial/am.ftl") },
    Language { code: "km", name: "ខ្មែរ", dir: "ltr", source: include_str!("../locales/partial/km.ftl") },
    Language { code: "my", name: "မြန်မာ", dir: "ltr", source: include_str!("../locales/partial/my.ftl") },
    Language { code: "ne", name: "नेपाली", dir: "ltr", source: include_str!("../locales/partial/ne.ftl") },
    Language { code: "th", name: "ไทย", dir: "ltr", source: include_str!("../locales/partial/th.ftl") },
    Language { code: "vi", name: "Tiếng Việt", dir: "ltr", source: include_str!("../locales/partial/vi.ftl") },
];

/// All languages, the complete ones first.
fn all() -> impl Iterator<Item = &'static Language> {
    LANGUAGES.iter().chain(PARTIAL)
}

type Bundle = FluentBundle<FluentResource>;

static BUNDLES: LazyLock<BTreeMap<&'static str, Bundle>> =
    LazyLock::new(|| all().map(|language| (language.code, bundle(language))).collect());

fn bundle(language: &Language) -> Bundle {
    let id: LanguageIdentifier = language.code.parse().unwrap_or_default();
    let mut bundle = FluentBundle::new_concurrent(vec![id]);
    // A catalogue with a mistake still gives its other texts; a test refuses mistakes.
    let resource = FluentResource::try_new(language.source.to_owned()).unwrap_or_else(|(resource, _)| resource);
    bundle.add_resource_overriding(resource);
    bundle
}

/// The language with that code, else English.
pub(crate) fn language(code: &str) -> Language {
    let primary = code.split(['-', '_']).next().unwrap_or_default();
    all().copied().find(|language| language.code == primary).unwrap_or_else(english)
}

/// A language that every text of the program is there in.
pub(crate) fn complete(code: &str) -> Option<Language> {
    LANGUAGES.iter().copied().find(|language| language.code == code)
}

fn english() -> Language {
    LANGUAGES.first().copied().unwrap_or(Language { code: "en", name: "English", dir: "ltr", source: "" })
}

/// The best of the languages that a browser asks for.
pub(crate) fn accepted(header: &str) -> Language {
    header
        .split(',')
        .filter_map(|part| part.split(';').next())
        .map(|code| code.trim().split('-').next().unwrap_or_default().to_lowercase())
        .find_map(|code| all().copied().find(|language| language.code == code))
        .unwrap_or_else(english)
}

impl Language {
    /// A text.
    pub(crate) fn text(&self, key: &str, args: &[(&str, FluentValue<'_>)]) -> String {
        let mut fluent_args = FluentArgs::new();
        for (name, value) in args {
            fluent_args.set(*name, value.clone());
        }
        self.find(key, &fluent_args).or_else(|| english().find(key, &fluent_args)).unwrap_or_else(|| key.to_owned())
    }

    /// A text that may not exist.
    pub(crate) fn maybe(&self, key: &str) -> Option<String> {
        let none = FluentArgs::new();
        self.find(key, &none).or_else(|| english().find(key, &none))
    }

    fn find(&self, key: &str, args: &FluentArgs<'_>) -> Option<String> {
        let bundle = BUNDLES.get(self.code)?;
        let pattern = bundle.get_message(key)?.value()?;
        let mut errors = Vec::new();
        Some(bundle.format_pattern(pattern, Some(args), &mut errors).into_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn keys(language: &Language) -> BTreeSet<String> {
        let keys = language.source.lines().filter(|line| line.starts_with(|c: char| c.is_ascii_lowercase()));
        keys.filter_map(|line| line.split_once(" =")).map(|(key, _)| key.to_owned()).collect()
    }

    fn placeables(language: &Language, key: &str) -> BTreeSet<String> {
        let mut inside = false;
        let mut text = String::new();
        for line in language.source.lines() {
            if line.starts_with(|c: char| c.is_ascii_lowercase()) {
                inside = line.split_once(" =").is_some_and(|(found, _)| found == key);
            }
            if inside {
                text.push_str(line);
            }
        }
        text.split('$').skip(1).map(|rest| rest.chars().take_while(|c| c.is_alphanumeric()).collect()).collect()
    }

    #[test]
    fn every_catalogue_is_without_mistakes_and_has_every_text() {
        let english = keys(&LANGUAGES[0]);
        assert!(english.len() > 200);
        for language in LANGUAGES {
            if let Err((_, errors)) = FluentResource::try_new(language.source.to_owned()) {
                panic!("{}: {errors:?}", language.code);
            }
            let own = keys(language);
            let missing: Vec<_> = english.difference(&own).collect();
            let extra: Vec<_> = own.difference(&english).collect();
            assert!(missing.is_empty() && extra.is_empty(), "{}: missing {missing:?}, extra {extra:?}", language.code);
            for key in &english {
                assert_eq!(placeables(language, key), placeables(&LANGUAGES[0], key), "{}: {key}", language.code);
            }
        }
    }

    #[test]
    fn a_partial_catalogue_has_no_text_of_its_own_and_falls_back() {
        for language in PARTIAL {
            if let Err((_, errors)) = FluentResource::try_new(language.source.to_owned()) {
                panic!("{}: {errors:?}", language.code);
            }
            let own = keys(language);
            assert!(own.len() > 150 && own.is_subset(&keys(&LANGUAGES[0])), "{}", language.code);
            for key in &own {
                assert_eq!(placeables(language, key), placeables(&LANGUAGES[0], key), "{}: {key}", language.code);
            }
            assert_ne!(language.text("nav-cases", &[]), "Cases", "{}", language.code);
            assert_eq!(language.text("grants", &[]), LANGUAGES[0].text("grants", &[]), "{}", language.code);
        }
    }

    #[test]
    fn every_code_has_a_text() {
        let english = keys(&LANGUAGES[0]);
        for list in casemesh_node::codes::LISTS.iter().filter(|list| list.name != "exploitation_type") {
            for (code, _) in list.codes {
                let key = crate::page::code_key(list.name, code);
                assert!(english.contains(&key), "{key}");
            }
        }
    }

    #[test]
    fn every_list_has_a_name_and_every_code_an_explanation() {
        let english = keys(&LANGUAGES[0]);
        for list in casemesh_node::codes::LISTS {
            let name = format!("list-{}", list.name.replace('_', "-"));
            assert!(english.contains(&name), "{name}");
            for (code, _) in list.codes {
                let key = crate::page::code_key(list.name, code).replacen("code-", "explain-", 1);
                assert!(english.contains(&key), "{key}");
            }
        }
        for form in casemesh_node::forms::all() {
            let key = format!("explain-form-{}", form.id.replace('_', "-"));
            assert!(english.contains(&key), "{key}");
        }
    }

    #[test]
    fn every_form_has_its_texts() {
        let english = keys(&LANGUAGES[0]);
        for form in casemesh_node::forms::all() {
            let dashed = |id: &str| id.replace('_', "-");
            let own = std::iter::once(format!("form-{}", dashed(&form.id)));
            let fields = form.fields.iter().map(|field| format!("form-field-{}", dashed(&field.id)));
            let tasks = form.tasks.iter().map(|task| format!("form-task-{}", dashed(&task.title)));
            for key in own.chain(fields).chain(tasks) {
                assert!(english.contains(&key), "{key}");
            }
        }
    }

    #[test]
    fn a_browsers_wish_is_heard() {
        assert_eq!(accepted("de-DE,ar;q=0.8,en;q=0.5").code, "ar");
        assert_eq!(accepted("xx").code, "en");
        assert_eq!(accepted("my-MM,en;q=0.5").code, "my");
    }
}
