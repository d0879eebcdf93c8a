//! Packs: what an office of one kind starts with. Modules are off until the pack, or an administrator, switches them on:
//! a new office sees a small tool.

use crate::{codes, forms, indicators};
use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

/// The module that is always on.
pub const CORE: &str = "core";

/// Fields of a person that an office can leave out of the form.
pub const HIDEABLE: &[&str] = &["local_name", "age_band", "nationality", "language", "address", "area", "identifier"];

/// A pack.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pack {
    /// Its id; its text stands in the catalogues (`pack-ID`).
    pub id: String,
    /// Modules that are on from the start.
    pub modules: Vec<String>,
    /// Fields of a person that the form leaves out.
    #[serde(default)]
    pub hidden_fields: Vec<String>,
    /// The figures that the office's page shows.
    #[serde(default)]
    pub indicators: Vec<String>,
    /// The codes that forms offer, by list.
    #[serde(default)]
    pub lists: BTreeMap<String, Vec<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    pack: Vec<Pack>,
}

/// Reads a file of packs.
///
/// # Errors
/// With the line, or the pack and what is wrong in it.
pub fn read(text: &str) -> Result<Vec<Pack>, String> {
    let File { pack: packs } = toml::from_str(text).map_err(|error| error.to_string())?;
    let known = modules();
    for pack in &packs {
        let wrong = |why: String| Err(format!("pack {:?}: {why}", pack.id));
        if let Some(module) = pack.modules.iter().find(|module| !known.contains(module.as_str())) {
            return wrong(format!("there is no module {module:?}"));
        }
        if let Some(field) = pack.hidden_fields.iter().find(|field| !HIDEABLE.contains(&field.as_str())) {
            return wrong(format!("a person has no field {field:?} that can be left out"));
        }
        let numbers = || indicators::national().indicators.iter().map(|one| &one.id);
        if let Some(number) = pack.indicators.iter().find(|number| numbers().all(|known| known != *number)) {
            return wrong(format!("there is no figure {number:?}"));
        }
        for (list, codes) in &pack.lists {
            let Some(known) = codes::list(list) else { return wrong(format!("there is no list {list:?}")) };
            if let Some(code) = codes.iter().find(|code| known.code(code).is_none()) {
                return wrong(format!("the list {list:?} has no code {code:?}"));
            }
        }
    }
    Ok(packs)
}

/// The packs that this program brings.
pub fn all() -> &'static [Pack] {
    static PACKS: LazyLock<Vec<Pack>> = LazyLock::new(|| {
        read(include_str!("../packs/packs.toml")).unwrap_or_else(|error| {
            tracing::error!(error, "the packs of this program cannot be read");
            Vec::new()
        })
    });
    &PACKS
}

/// The pack with that id.
pub fn pack(id: &str) -> Option<&'static Pack> {
    all().iter().find(|pack| pack.id == id)
}

/// Every module that some form comes with, but the one that is always on.
pub fn modules() -> BTreeSet<&'static str> {
    forms::all().iter().map(|form| form.module.as_str()).filter(|module| *module != CORE).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_packs_of_this_program_hold_and_mistakes_are_said() {
        assert_eq!(read(include_str!("../packs/packs.toml")).unwrap().len(), all().len());
        assert_eq!(all().len(), 3);
        let with = |rest: &str| read(&format!("[[pack]]\nid = \"x\"\n{rest}")).unwrap_err();
        assert!(with("modules = [\"flying\"]").contains("there is no module \"flying\""));
        assert!(with("modules = []\n[pack.lists]\ncolour = []").contains("there is no list \"colour\""));
        assert!(with("modules = []\nhidden_fields = [\"given\"]").contains("no field \"given\""));
        assert!(with("modules = []\nindicators = [\"tears\"]").contains("tears"));
        assert!(with("modules = []\n[pack.lists]\nsex = [\"red\"]").contains("has no code \"red\""));
    }
}
