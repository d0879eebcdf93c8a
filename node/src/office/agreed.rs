//! The agreements that this node knows: those that hold, and those that ended, under which tables are still under way and whose totals
//! stay to be read.

use super::{DeskError, Office};
use crate::indicators::{self, Agreed};
use crate::records::AgreementKept;
use crate::vault::Record;
use casemesh_crypto::hash::Digest;
use casemesh_protocol::id::RecordId;
use casemesh_protocol::statistics::{AgreementText, Word, agreement_hash};
use casemesh_protocol::time::Timestamp;
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;

fn id_of(agreement: &Digest) -> RecordId {
    RecordId::new(agreement.as_bytes().first_chunk().copied().unwrap_or_default())
}

impl Office {
    /// Keeps the texts that hold, for when they end.
    pub(super) fn keep_agreements(&self) -> Result<(), DeskError> {
        let Some(directory) = self.around.directory() else { return Ok(()) };
        let new: Vec<AgreementText> = {
            let tables = self.index.read();
            let is_new = |text: &&AgreementText| !tables.agreements.contains_key(&agreement_hash(text));
            directory.agreements().filter(is_new).cloned().collect()
        };
        if new.is_empty() {
            return Ok(());
        }
        self.vault.write(None, "keep_agreements", move |tx| {
            for text in new {
                let id = id_of(&agreement_hash(&text));
                if tx.get::<AgreementKept>(AgreementKept::TOP, id)?.is_none() {
                    tx.insert(&AgreementKept { id, text, at: tx.now() })?;
                }
            }
            Ok(())
        })
    }

    /// The text of an agreement that holds, or held.
    pub(super) fn text_of(&self, agreement: &Digest) -> Option<AgreementText> {
        let directory = self.around.directory()?;
        let holds = directory.agreements().find(|text| agreement_hash(text) == *agreement).cloned();
        holds.or_else(|| self.index.read().agreements.get(agreement).map(|kept| kept.text.clone()))
    }

    /// Agreements that ended and that this office answered, by the last text under which it did.
    pub(super) fn answered_and_over(&self, holds: &[Agreed]) -> Vec<Agreed> {
        let mut texts: BTreeMap<Word, (Timestamp, AgreementText)> = BTreeMap::new();
        for release in self.index.read().releases.values() {
            let (table, id) = (&release.table, &release.table.agreement);
            let is_over = !table.is_sum() && holds.iter().all(|known| known.agreement.id != *id);
            if is_over && texts.get(id).is_none_or(|(made, _)| *made < table.made) {
                texts.insert(id.clone(), (table.made, release.agreed.clone()));
            }
        }
        indicators::agreements(texts.values().map(|(_, text)| text)).0
    }

    /// The agreements that hold, and after them those that ended, the last ones first.
    pub(super) fn agreements_ever(&self) -> Vec<Agreed> {
        let (mut all, _) = self.agreements();
        let mut ended: Vec<_> = {
            let tables = self.index.read();
            let is_over = |kept: &&Arc<AgreementKept>| all.iter().all(|agreed| agreed.text != kept.text);
            tables.agreements.values().filter(is_over).cloned().collect()
        };
        ended.sort_by_key(|kept| Reverse(kept.at));
        let (known, _) = indicators::agreements(ended.iter().map(|kept| &kept.text));
        all.extend(known.into_iter().filter(Agreed::asks));
        // The national numbers were asked before the stewards agreed on anything.
        if all.iter().all(|agreed| agreed.agreement != *indicators::national()) {
            all.push(indicators::agreed_national());
        }
        all
    }
}
