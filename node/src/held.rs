//! Full packets that wait at a hub until their recipients accepted. The hub can open none of them; it gives one against the
//! recipient's signed claim, and lets go of it at its sender's word.
//!
//! ```text
//! held/HASH.pkt   held/HASH.row (who left it, for whom, in which referral, until when)
//! mailbox/SENDER/HASH.clm (the claim for which it was given, until its sender has it)
//! ```

use crate::disk;
use crate::spool::list;
use casemesh_crypto::envelope::{Header, packet_hash};
use casemesh_crypto::hash::Digest;
use casemesh_crypto::wire;
use casemesh_protocol::claim::Claim;
use casemesh_protocol::directory::{Directory, Member};
use casemesh_protocol::frame::{MailboxAnswer, Rejection};
use casemesh_protocol::id::{OfficeId, ThreadId};
use casemesh_protocol::limits::CLOCK_SKEW_SECONDS_MAX;
use casemesh_protocol::mailbox::{Held, HeldShelf, Taken};
use casemesh_protocol::packet::is_timely;
use casemesh_protocol::time::Timestamp;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What waits at one hub.
#[derive(Debug)]
pub(crate) struct HeldBox {
    folder: PathBuf,
    shelf: Mutex<HeldShelf>,
}

impl HeldBox {
    /// Opens or makes it. A packet without its row was cut off while it came: it is left again.
    pub(crate) fn open(folder: &Path) -> io::Result<Self> {
        let folder = folder.join("held");
        disk::make_folder(&folder)?;
        let (mut shelf, mut all) = (HeldShelf::default(), Vec::new());
        for packet in list(&folder, "pkt")? {
            let path = folder.join(format!("{packet}.pkt"));
            let row = fs::read(path.with_extension("row")).ok().and_then(|row| wire::decode::<Held>(&row).ok());
            all.extend(
                row.map(|held| Ok::<_, io::Error>((fs::metadata(&path)?.modified()?, packet, held))).transpose()?,
            );
        }
        // A crash can leave one that was replaced: the newest holds.
        all.sort_unstable_by_key(|(at, packet, _)| (*at, *packet));
        for (_, packet, held) in all {
            shelf.put(packet, held);
        }
        for extension in ["pkt", "row"] {
            for packet in list(&folder, extension)?.iter().filter(|packet| shelf.get(packet).is_none()) {
                disk::remove(&folder.join(format!("{packet}.{extension}")))?;
            }
        }
        Ok(Self { folder, shelf: Mutex::new(shelf) })
    }

    fn shelf(&self) -> MutexGuard<'_, HeldShelf> {
        self.shelf.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn path(&self, packet: &Digest) -> PathBuf {
        self.folder.join(format!("{packet}.pkt"))
    }

    fn remove_files(&self, packet: &Digest) -> io::Result<()> {
        disk::remove(&self.path(packet))?;
        disk::remove(&self.path(packet).with_extension("row"))
    }

    /// How many bytes it keeps.
    pub(crate) fn bytes(&self) -> u64 {
        self.shelf().bytes()
    }

    /// Keeps a packet until it is claimed; the hub keeps so many bytes of other kinds already.
    pub(crate) fn hold(
        &self,
        (from, hub): (OfficeId, OfficeId),
        (to, thread): (OfficeId, ThreadId),
        packet: &[u8],
        (directory, hub_bytes): (&Directory, u64),
        now: Timestamp,
    ) -> io::Result<MailboxAnswer> {
        // At a hub that the recipient lists, the packet would lie with whom it is to be kept from.
        let is_theirs = |member: &Member| to == hub || member.record.hubs.iter().any(|own| *own == hub);
        if directory.member(&to).is_none_or(is_theirs) {
            return Ok(MailboxAnswer::Rejected(Rejection::NotServed));
        }
        let header = Header::read(packet).ok().filter(|header| is_timely(header, now));
        let Some(header) = header else { return Ok(MailboxAnswer::Rejected(Rejection::Packet)) };
        let expires = Timestamp::from_h(header.expires_h);
        let (hash, held) = (packet_hash(packet), Held { from, to, thread, bytes: packet.len() as u64, expires });
        let mut shelf = self.shelf();
        match shelf.take(hash, &held, hub_bytes, now) {
            Ok(Taken::Known) => return Ok(MailboxAnswer::Done),
            Ok(Taken::New) => {}
            Err(rejection) => return Ok(MailboxAnswer::Rejected(rejection)),
        }
        disk::replace(&self.path(&hash).with_extension("row"), &wire::encode(&held))?;
        disk::replace(&self.path(&hash), packet)?;
        shelf.put(hash, held).iter().try_for_each(|before| self.remove_files(before))?;
        Ok(MailboxAnswer::Done)
    }

    /// Gives what waits, against the recipient's signed word that it accepted. `keep` keeps the claim for the sender before
    /// anything is given.
    pub(crate) fn claim(
        &self,
        (from, hub): (OfficeId, OfficeId),
        claim: &Claim,
        (directory, now): (&Directory, Timestamp),
        keep: impl FnOnce(OfficeId, &Digest) -> io::Result<()>,
    ) -> io::Result<MailboxAnswer> {
        let key = directory.member(&from).and_then(|member| member.keys.node_key(&claim.key, now.s()));
        let Some(Ok(claimed)) = key.map(|key| claim.verify(from, hub, &key)) else {
            return Ok(MailboxAnswer::Rejected(Rejection::Unknown));
        };
        if claimed.at.s() > now.s() + CLOCK_SKEW_SECONDS_MAX {
            return Ok(MailboxAnswer::Rejected(Rejection::Clock));
        }
        let shelf = self.shelf();
        let Some(packet) = shelf.claimed(from, claimed.thread) else { return Ok(MailboxAnswer::Nothing) };
        let Some(held) = shelf.get(&packet) else { return Ok(MailboxAnswer::Nothing) };
        let bytes = fs::read(self.path(&packet))?;
        keep(held.from, &packet)?;
        Ok(MailboxAnswer::Packet(bytes))
    }

    /// Lets go of a packet at its sender's word.
    pub(crate) fn let_go(&self, from: OfficeId, to: OfficeId, thread: ThreadId) -> io::Result<MailboxAnswer> {
        let mut shelf = self.shelf();
        let Some(packet) = shelf.left(from, to, thread) else { return Ok(MailboxAnswer::Nothing) };
        self.remove_files(&packet)?;
        shelf.remove(&packet);
        Ok(MailboxAnswer::Done)
    }

    /// Who left a packet that waits for an office.
    pub(crate) fn sender_of(&self, packet: &Digest, to: OfficeId) -> Option<OfficeId> {
        self.shelf().get(packet).filter(|held| held.to == to).map(|held| held.from)
    }

    /// The recipient has it, and its sender's receipt lies ready.
    pub(crate) fn fetched(&self, packet: &Digest) -> io::Result<()> {
        self.remove_files(packet)?;
        self.shelf().remove(packet);
        Ok(())
    }

    /// Lets go of what is over.
    pub(crate) fn sweep(&self, now: Timestamp) -> io::Result<()> {
        let mut shelf = self.shelf();
        for packet in shelf.over(now) {
            self.remove_files(&packet)?;
            shelf.remove(&packet);
        }
        Ok(())
    }
}
