//! Drafts: what somebody typed and did not send. A draft is no record: it stands in a sealed file of its own outside the
//! journal, belongs to the one who typed it, and goes when the form is sent or after two weeks.

use super::Desk;
use crate::disk;
use crate::spool::list;
use casemesh_crypto::hash::{Digest, sha256};
use casemesh_crypto::random::os_rng;
use casemesh_crypto::{seal, wire};
use casemesh_protocol::time::Timestamp;
use minicbor::{Decode, Encode};
use std::io;
use std::path::PathBuf;

/// Drafts of one member of staff.
const DRAFTS_MAX: usize = 50;
/// Longest draft.
pub const DRAFT_BYTES_MAX: usize = 256 * 1024;
/// After so long a draft goes.
const DRAFT_DAYS: u64 = 14;

/// What somebody typed and did not send.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Draft {
    /// Where the form is sent to.
    #[n(0)]
    pub path: String,
    /// The page that it was typed in: two unfinished forms of one kind are two drafts.
    #[n(1)]
    pub page: String,
    /// Its fields.
    #[n(2)]
    pub pairs: Vec<(String, String)>,
    /// When it was last typed in.
    #[n(3)]
    pub at: Timestamp,
}

impl Draft {
    /// The first words of it, to know it by.
    pub fn beginning(&self) -> String {
        let longest = self.pairs.iter().map(|(_, value)| value.trim()).max_by_key(|value| value.len());
        longest.unwrap_or_default().chars().take(60).collect()
    }
}

impl Desk {
    fn drafts_folder(&self) -> PathBuf {
        self.office.around.folder.join("drafts")
    }

    fn draft_file(&self, id: &Digest) -> PathBuf {
        self.drafts_folder().join(self.actor.staff.to_string()).join(format!("{id}.draft"))
    }

    /// Which draft a form of this person is: by where it is sent to, and by the page that it was typed in.
    pub fn draft_id(&self, path: &str, page: &str) -> Digest {
        sha256(&[
            b"casemesh/1/draft\0",
            self.actor.staff.as_bytes(),
            &(path.len() as u64).to_be_bytes(),
            path.as_bytes(),
            page.as_bytes(),
        ])
    }

    /// Keeps what was typed in the form that is sent to `path`, on one page.
    ///
    /// # Errors
    /// When it is too long, there are too many, or the disk refuses.
    pub fn keep_draft(&self, path: &str, page: &str, pairs: Vec<(String, String)>) -> io::Result<()> {
        let draft = Draft { path: path.to_owned(), page: page.to_owned(), pairs, at: self.now() };
        let plain = zeroize::Zeroizing::new(wire::encode(&draft));
        let id = self.draft_id(path, page);
        let file = self.draft_file(&id);
        let kept = list(&self.drafts_folder().join(self.actor.staff.to_string()), "draft").unwrap_or_default();
        if plain.len() > DRAFT_BYTES_MAX || (!file.exists() && kept.len() >= DRAFTS_MAX) {
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, "too many or too long drafts"));
        }
        let sealed = seal::seal(&self.office.keys.subkey("drafts"), id.as_bytes(), &plain, &mut os_rng());
        disk::make_folder(file.parent().unwrap_or(&file))?;
        disk::replace(&file, &sealed)
    }

    /// A draft of this person.
    pub fn kept_draft(&self, id: &Digest) -> Option<Draft> {
        let sealed = disk::read_bounded(&self.draft_file(id), 2 * DRAFT_BYTES_MAX as u64).ok()??;
        let plain = seal::open(&self.office.keys.subkey("drafts"), id.as_bytes(), &sealed).ok()?;
        wire::decode::<Draft>(&plain).ok().filter(|draft| self.draft_id(&draft.path, &draft.page) == *id)
    }

    /// The drafts of this person, latest first. Those of anybody that are too old go.
    pub fn drafts(&self) -> Vec<(Digest, Draft)> {
        self.drop_old_drafts();
        let ids = list(&self.drafts_folder().join(self.actor.staff.to_string()), "draft").unwrap_or_default();
        let mut drafts: Vec<(Digest, Draft)> =
            ids.into_iter().filter_map(|id| Some((id, self.kept_draft(&id)?))).collect();
        drafts.sort_by_key(|(_, draft)| std::cmp::Reverse(draft.at));
        drafts
    }

    fn drop_old_drafts(&self) {
        let folders = std::fs::read_dir(self.drafts_folder()).into_iter().flatten().filter_map(Result::ok);
        for folder in folders {
            for file in std::fs::read_dir(folder.path()).into_iter().flatten().filter_map(Result::ok) {
                let age = file.metadata().and_then(|about| about.modified()).ok().and_then(|at| at.elapsed().ok());
                if age.is_some_and(|age| age.as_secs() > DRAFT_DAYS * 86_400)
                    && let Err(error) = disk::remove(&file.path())
                {
                    tracing::warn!(kind = %error.kind(), "an old draft could not be taken away");
                }
            }
        }
    }

    /// The form was sent, or the draft is not wanted any more.
    pub fn drop_draft(&self, id: &Digest) {
        if let Err(error) = disk::remove(&self.draft_file(id)) {
            tracing::warn!(kind = %error.kind(), "a draft could not be taken away");
        }
    }
}
