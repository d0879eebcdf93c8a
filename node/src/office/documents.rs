//! Documents of a case: kept sealed in files of their own, in versions, and handed out only through the policy.
//!
//! A file lies in `documents/HASH.doc`, sealed in chunks under a key that stands in its record; so it is noise when the
//! record is: erasing a person needs to find no file. It is written and synced before the record that names it; what a
//! crash leaves over in between is noise, too.

use super::cases::keys;
use super::{Desk, DeskError, DocumentVersionView, DocumentView, FieldProblem, Office};
use crate::disk;
use crate::pictures::{self, Kind, PictureError};
use crate::policy::Ask;
use crate::records::{Document, DocumentVersion, Tier};
use crate::vault::VaultError;
use casemesh_crypto::hash::{Digest, sha256};
use casemesh_crypto::random::os_rng;
use casemesh_crypto::secret::Secret;
use casemesh_crypto::stream;
use casemesh_protocol::id::RecordId;
use serde::Deserialize;
use std::path::PathBuf;
use utoipa::ToSchema;

/// Longest document: as long as what goes with a referral.
pub const DOCUMENT_BYTES_MAX: usize = 50 * 1024 * 1024;
/// A file that comes again within so long was sent again, and is not another one.
const SENT_AGAIN_MS: u64 = 10 * 60_000;
/// Documents of one case, and versions of one document.
const DOCUMENTS_MAX: usize = 500;
/// Longest title and file name.
const TITLE_BYTES_MAX: usize = 400;

/// A document as entered.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(default)]
pub struct DocumentInput {
    /// The document of which this is another version; empty for a new one.
    pub document: String,
    /// What it is.
    pub title: String,
    /// normal, privileged, medical or protected; normal when empty.
    pub tier: String,
    /// The file's name.
    pub name: String,
}

/// A document that is handed out.
#[derive(Debug, Clone)]
pub struct HandedOut {
    /// The file's name.
    pub name: String,
    /// What kind of file it is, by its content.
    pub media_type: &'static str,
    /// The file.
    pub bytes: Vec<u8>,
}

impl Office {
    fn document_folder(&self) -> PathBuf {
        self.around.folder.join("documents")
    }

    pub(super) fn document_file(&self, file: &Digest) -> PathBuf {
        self.document_folder().join(format!("{file}.doc"))
    }
}

impl Desk {
    /// The documents of a case that this account may see, the newest first.
    pub(super) fn documents(&self, case: RecordId) -> Result<Vec<DocumentView>, DeskError> {
        let sees_all = self.may(Ask::SeeTiers(self.relation_to(case).unwrap_or_default()));
        let mut documents = self.office.vault.list::<Document>(case)?;
        documents.retain(|sealed| sees_all || sealed.record.tier == Tier::Normal);
        documents.reverse();
        let tables = self.office.index.read();
        let version = |(at, version): (usize, &DocumentVersion)| DocumentVersionView {
            number: at + 1,
            name: version.name.clone(),
            media_type: version.media_type.clone(),
            bytes: version.bytes,
            by: self.staff_name(&tables, version.by),
            at: version.at,
        };
        Ok(documents
            .into_iter()
            .map(|sealed| DocumentView {
                id: sealed.record.id,
                title: sealed.record.title,
                tier: sealed.record.tier,
                versions: sealed.record.versions.iter().enumerate().map(version).rev().collect(),
            })
            .collect())
    }

    /// Keeps a document of a case, or another version of one. Pictures lose what they tell beside what they show.
    ///
    /// # Errors
    /// When it is too long, a picture that cannot be cleaned, or this account may not write in the case.
    pub fn add_document(&self, case: RecordId, input: &DocumentInput, bytes: Vec<u8>) -> Result<RecordId, DeskError> {
        let relation = self.may_in_case(case, Ask::NoteInCase)?;
        let mut problems = self.problems();
        let earlier: Option<RecordId> =
            if input.document.is_empty() { None } else { problems.word("document", &input.document) };
        let title = match earlier {
            Some(_) => String::new(),
            None if input.title.trim().is_empty() => problems.required_text("title", &input.name, TITLE_BYTES_MAX),
            None => problems.text("title", &input.title, TITLE_BYTES_MAX),
        };
        // A name is shown and offered for saving; it is never a path.
        let name = input.name.rsplit(['/', '\\']).next().unwrap_or_default();
        let name = problems.text("file", name, TITLE_BYTES_MAX);
        let tier = if input.tier.is_empty() { Some(Tier::Normal) } else { problems.word("tier", &input.tier) };
        let sees_tiers = self.may(Ask::SeeTiers(relation));
        if tier != Some(Tier::Normal) && !sees_tiers {
            problems.add("tier", "tier-not-yours");
        }
        if bytes.is_empty() {
            problems.add("file", "file-empty");
        }
        if bytes.len() > DOCUMENT_BYTES_MAX {
            problems.with("file", "file-too-long", DOCUMENT_BYTES_MAX / 1024 / 1024);
        }
        problems.done()?;
        let bytes = pictures::clean(bytes).map_err(|error| {
            let problem = match error {
                PictureError::Damaged => "picture-damaged",
                PictureError::Uncleanable => "picture-kind",
            };
            DeskError::Invalid(vec![FieldProblem::new("file", problem)])
        })?;
        // A line that broke before the answer came makes a browser send the same file again.
        if earlier.is_none()
            && let Some(kept) = self.same_document(case, &title, &name, &bytes)?
        {
            return Ok(kept);
        }
        let key = Secret::random(&mut os_rng());
        let sealed = stream::seal(&key, &bytes);
        let file = sha256(&[&sealed]);
        let path = self.office.document_file(&file);
        disk::make_folder(&self.office.document_folder()).map_err(VaultError::Disk)?;
        disk::replace(&path, &sealed).map_err(VaultError::Disk)?;
        let (tier, media_type) = (tier.unwrap_or_default(), Kind::of(&bytes).media_type().to_owned());
        let length = bytes.len() as u64;
        let added = self.note_in_case("add_document", case, move |tx, case| {
            let version = DocumentVersion {
                file,
                key: *key.expose(),
                name,
                media_type,
                bytes: length,
                by: tx.staff(),
                at: tx.now(),
            };
            let full = || DeskError::Invalid(vec![FieldProblem::with("file", "too-many-documents", DOCUMENTS_MAX)]);
            match earlier {
                Some(id) => {
                    let mut sealed = tx.get::<Document>(case.id, id)?.ok_or(DeskError::NotFound)?;
                    if sealed.record.tier != Tier::Normal && !sees_tiers {
                        return Err(DeskError::NotFound);
                    }
                    if tier != Tier::Normal && tier != sealed.record.tier {
                        return Err(DeskError::Invalid(vec![FieldProblem::new("tier", "tier-of-document")]));
                    }
                    if sealed.record.versions.len() >= DOCUMENTS_MAX {
                        return Err(full());
                    }
                    sealed.record.versions.push(version);
                    tx.update(&sealed.record, sealed.revision)?;
                    Ok(id)
                }
                None => {
                    if tx.list::<Document>(case.id)?.len() >= DOCUMENTS_MAX {
                        return Err(full());
                    }
                    let (id, subjects) = (tx.fresh_id(), keys(&case.clients));
                    tx.insert(&Document { id, case: case.id, subjects, title, tier, versions: vec![version] })?;
                    Ok(id)
                }
            }
        });
        if added.is_err()
            && let Err(error) = disk::remove(&path)
        {
            tracing::warn!(kind = %error.kind(), "a sealed file that no record names stays");
        }
        added
    }

    /// A document with this very file that the same person kept in the case a moment ago.
    fn same_document(
        &self,
        case: RecordId,
        title: &str,
        name: &str,
        bytes: &[u8],
    ) -> Result<Option<RecordId>, DeskError> {
        let (now, me) = (self.now(), Some(self.actor.staff));
        let is_same = |document: &Document| {
            let [version] = document.versions.as_slice() else { return false };
            let is_like = version.name == name && version.bytes == bytes.len() as u64 && version.by == me;
            if document.title != title || !is_like || now.ms_since(version.at) > SENT_AGAIN_MS {
                return false;
            }
            let sealed = std::fs::read(self.office.document_file(&version.file)).unwrap_or_default();
            stream::open(&Secret::new(version.key), &sealed).is_ok_and(|held| held.as_slice() == bytes)
        };
        let documents = self.office.vault.list::<Document>(case)?;
        Ok(documents.into_iter().map(|sealed| sealed.record).find(is_same).map(|document| document.id))
    }

    /// Hands a version of a document out. That it was handed out is on the disk before it is.
    ///
    /// # Errors
    /// When there is no such document for this account, or its file is damaged.
    pub fn hand_out(&self, case: RecordId, document: RecordId, number: usize) -> Result<HandedOut, DeskError> {
        let sees_all = self.may(Ask::SeeTiers(self.reach_case(case)?));
        let found = self.office.vault.get::<Document>(case, document)?.map(|sealed| sealed.record);
        let found = found.filter(|found| sees_all || found.tier == Tier::Normal).ok_or(DeskError::NotFound)?;
        let version = number.checked_sub(1).and_then(|at| found.versions.get(at)).ok_or(DeskError::NotFound)?;
        self.office.vault.note_and_wait(Some(self.actor.staff), "hand_out", Some(case))?;
        let bytes = self.office.open_file(&version.file, version.key)?;
        let media_type = Kind::of(&bytes).media_type();
        Ok(HandedOut { name: version.name.clone(), media_type, bytes })
    }
}
