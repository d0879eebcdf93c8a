//! Documents that go with a referral: sealed anew under a key of their own when it is sent, served from the moment at which the full
//! packet goes, fetched piece by piece by the other office, and kept there as documents of the case that it opens.

use super::documents::HandedOut;
use super::{Desk, DeskError, FieldProblem, Office, SharedDocumentView};
use crate::blobs::BlobRow;
use crate::pictures::Kind;
use crate::policy::Ask;
use crate::records::{Document, DocumentVersion, Outbox, Referral, Tier};
use crate::vault::{Record as _, Tx, VaultError};
use casemesh_crypto::envelope::AttachmentMark;
use casemesh_crypto::hash::{Digest, sha256};
use casemesh_crypto::random::os_rng;
use casemesh_crypto::secret::Secret;
use casemesh_crypto::shred::KeyHandle;
use casemesh_crypto::stream;
use casemesh_protocol::id::RecordId;
use casemesh_protocol::limits::{BLOB_BYTES_MAX, DOCUMENTS_SHARED_MAX};
use casemesh_protocol::packet::{Body, Full, Kind as PacketKind, SharedDocument};
use casemesh_protocol::referral::State;
use casemesh_protocol::terms::Line;
use std::collections::BTreeSet;
use std::sync::Arc;

/// A file that does not come in so long is not waited for any more.
const AWAITED_DAYS: u64 = 45;

/// The documents that a packet of the outbox names.
fn documents_of(kind: u16, body: &[u8]) -> Vec<SharedDocument> {
    if kind != PacketKind::ReferralFull.number() {
        return Vec::new();
    }
    match Body::decode(kind, body) {
        Ok(Body::ReferralFull { full, .. }) => full.documents().to_vec(),
        _ => Vec::new(),
    }
}

/// How the statement of a packet names the documents that belong to it.
pub(super) fn marks(row: &Outbox) -> Vec<AttachmentMark> {
    let mark = |document: SharedDocument| AttachmentMark { hash: document.file, length: document.sealed_bytes };
    documents_of(row.kind, &row.body).into_iter().map(mark).collect()
}

/// Whether what was received with a referral is worth waiting for.
fn is_awaited(referral: &Referral, now: casemesh_protocol::time::Timestamp) -> bool {
    let last = referral.events.iter().map(|held| held.at).max().unwrap_or(now);
    !referral.outgoing && referral.erased.is_none() && last.plus_days(AWAITED_DAYS) > now
}

impl Office {
    /// The packet that names them goes: whoever it is for may fetch them.
    pub(super) fn offer_documents(&self, row: &Outbox) -> Result<(), DeskError> {
        let since = self.around.clock.now();
        for document in documents_of(row.kind, &row.body) {
            let (file, bytes) = (document.file, document.sealed_bytes);
            let blob = BlobRow { file, office: row.to, bytes, expires: row.expires, since };
            self.around.relay.blobs().offer(blob).map_err(VaultError::Disk)?;
        }
        Ok(())
    }

    /// Waits for the documents of referrals that we received, and lets go of ours that must not go any more.
    pub(super) fn want_documents(&self) {
        let now = self.around.clock.now();
        let blobs = self.around.relay.blobs();
        // Read before what may go: who sends at this moment offers after.
        let offered = blobs.offered();
        let (awaited, may_go) = {
            let tables = self.index.read();
            let (mut awaited, mut may_go) = (Vec::new(), BTreeSet::new());
            for referral in tables.referrals.values() {
                let Some(full) = referral.full.as_ref().filter(|full| !full.documents().is_empty()) else { continue };
                if is_awaited(referral, now) {
                    awaited.extend(full.documents().iter().map(|document| (referral.partner, document.clone())));
                }
                if referral.outgoing && goes_on(tables.stands(referral).state) {
                    may_go.extend(full.documents().iter().map(|document| document.file));
                }
            }
            (awaited, may_go)
        };
        for (office, document) in awaited {
            let (file, bytes) = (document.file, document.sealed_bytes);
            let row = BlobRow { file, office, bytes, expires: now.plus_days(AWAITED_DAYS), since: now };
            if let Err(error) = blobs.want(row) {
                tracing::warn!(kind = %error.kind(), "a document that was shared cannot be waited for");
            }
        }
        for row in offered.iter().filter(|row| !may_go.contains(&row.file)) {
            if let Err(error) = blobs.drop_out(&row.file) {
                tracing::warn!(kind = %error.kind(), "a document that must not go could not be taken back; it is tried again");
            }
        }
    }

    /// What came with a referral goes: the files are noise without their keys, and need not lie about.
    pub(super) fn drop_documents(&self, files: &[Digest]) {
        let blobs = self.around.relay.blobs();
        for file in files {
            let gone = blobs.forget(file).and_then(|()| crate::disk::remove(&blobs.document(file)));
            if let Err(error) = gone {
                tracing::warn!(kind = %error.kind(), "a sealed file that no record names stays");
            }
        }
    }

    /// Opens the file of a document.
    pub(super) fn open_file(&self, file: &Digest, key: [u8; 32]) -> Result<Vec<u8>, DeskError> {
        let blobs = self.around.relay.blobs();
        let sealed = crate::disk::read_bounded(&blobs.document(file), BLOB_BYTES_MAX).map_err(VaultError::Disk)?;
        let sealed = match sealed {
            Some(sealed) if sha256(&[&sealed]) == *file => sealed,
            None if blobs.wanted().iter().any(|row| row.file == *file) => return Err(DeskError::StillComing),
            _ => return Err(VaultError::DamagedRecord.into()),
        };
        let bytes = stream::open(&Secret::new(key), &sealed).map_err(|_| VaultError::DamagedRecord)?;
        Ok(bytes.to_vec())
    }
}

/// Whether what goes with a referral may still be fetched.
fn goes_on(state: State) -> bool {
    state.is_open() || matches!(state, State::Completed | State::Closed | State::Transferred)
}

/// The documents of a case that is opened from what came with a referral: their files may still be on their way.
pub(super) fn take_documents(
    tx: &mut Tx<'_>,
    case: RecordId,
    subjects: &[KeyHandle],
    full: &Full,
) -> Result<(), DeskError> {
    for shared in full.documents() {
        let version = DocumentVersion {
            file: shared.file,
            key: shared.key,
            name: shared.name.to_string(),
            media_type: "application/octet-stream".into(),
            bytes: shared.bytes,
            by: None,
            at: tx.now(),
        };
        tx.insert(&Document {
            id: tx.fresh_id(),
            case,
            subjects: subjects.to_vec(),
            title: shared.title.to_string(),
            tier: Tier::Normal,
            versions: vec![version],
        })?;
    }
    Ok(())
}

impl Desk {
    /// What of a case's documents would go: those that are chosen, or all that all see where the case is handed over. Not sealed yet.
    pub(super) fn chosen_documents(
        &self,
        case: RecordId,
        chosen: &[String],
        all: bool,
    ) -> Result<Vec<(SharedDocument, DocumentVersion)>, DeskError> {
        if chosen.is_empty() && !all {
            return Ok(Vec::new());
        }
        let problem =
            |problem: &str, detail| DeskError::Invalid(vec![FieldProblem::with("documents", problem, detail)]);
        let sees_all = self.may(Ask::SeeTiers(self.relation_to(case).unwrap_or_default()));
        let documents = self.office.vault.list::<Document>(case)?.into_iter().map(|sealed| sealed.record);
        let visible: Vec<Document> = documents.filter(|one| one.tier == Tier::Normal || (sees_all && !all)).collect();
        let is_meant = |one: &&Document| all || chosen.iter().any(|id| *id == one.id.to_string());
        let meant: Vec<&Document> = visible.iter().filter(is_meant).collect();
        if !all && meant.len() < chosen.iter().collect::<BTreeSet<_>>().len() {
            return Err(problem("unknown-document", String::new()));
        }
        if meant.len() > DOCUMENTS_SHARED_MAX {
            return Err(problem("too-many", DOCUMENTS_SHARED_MAX.to_string()));
        }
        let newest = meant.into_iter().filter_map(|one| Some((one, one.versions.last()?)));
        let shared = |(one, version): (&Document, &DocumentVersion)| {
            let document = SharedDocument {
                title: Line::cut(&one.title),
                name: Line::cut(&version.name),
                bytes: version.bytes,
                file: version.file,
                sealed_bytes: 0,
                key: [0; 32],
            };
            (document, version.clone())
        };
        Ok(newest.map(shared).collect())
    }

    /// Seals them under keys of their own, so that whoever gets one can open nothing else.
    pub(super) fn seal_documents(
        &self,
        chosen: Vec<(SharedDocument, DocumentVersion)>,
    ) -> Result<Vec<SharedDocument>, DeskError> {
        let seal = |(document, version): (SharedDocument, DocumentVersion)| {
            let bytes = self.office.open_file(&version.file, version.key)?;
            let key = Secret::random(&mut os_rng());
            let sealed = stream::seal(&key, &bytes);
            let file = self.office.around.relay.blobs().keep(&sealed).map_err(VaultError::Disk)?;
            Ok(SharedDocument { file, sealed_bytes: sealed.len() as u64, key: *key.expose(), ..document })
        };
        chosen.into_iter().map(seal).collect()
    }

    /// The documents that go with a referral, or came with one, and how far they are.
    pub(super) fn shared_documents(&self, referral: &Referral) -> Vec<SharedDocumentView> {
        let Some(full) = &referral.full else { return Vec::new() };
        let blobs = self.office.around.relay.blobs();
        let (offered, wanted) = (blobs.offered(), blobs.wanted());
        let view = |document: &SharedDocument| {
            let here = match referral.outgoing {
                // Once it was fetched it is not offered any more.
                true => Some(0).filter(|_| offered.iter().any(|row| row.file == document.file)),
                false => {
                    Some(blobs.have(&document.file)).filter(|_| wanted.iter().any(|row| row.file == document.file))
                }
            };
            let share = |here: u64| here.saturating_mul(100).checked_div(document.sealed_bytes).unwrap_or(0);
            SharedDocumentView {
                title: document.title.to_string(),
                name: document.name.to_string(),
                bytes: document.bytes,
                percent: here.map(share),
                here: !referral.outgoing && blobs.document(&document.file).exists(),
            }
        };
        full.documents().iter().map(view).collect()
    }

    /// Hands a document out that came with a referral. That it was handed out is on the disk before it is.
    ///
    /// # Errors
    /// When there is no such document for this account, or its file has not come yet.
    pub fn hand_out_shared(&self, id: RecordId, number: usize) -> Result<HandedOut, DeskError> {
        let referral: Arc<Referral> = self.visible_referral(id)?;
        self.allow(Ask::AnswerReferrals)?;
        let shared = referral.full.as_ref().filter(|_| !referral.outgoing);
        let shared = shared.and_then(|full| full.documents().get(number.checked_sub(1)?)).ok_or(DeskError::NotFound)?;
        self.office.vault.note_and_wait(Some(self.actor.staff), "hand_out", Some(referral.id()))?;
        let bytes = self.office.open_file(&shared.file, shared.key)?;
        let media_type = Kind::of(&bytes).media_type();
        // A name is offered for saving; it is never a path, whatever the other office's node wrote.
        let name = shared.name.as_str().rsplit(['/', '\\']).next().unwrap_or_default().to_owned();
        Ok(HandedOut { name, media_type, bytes })
    }
}
