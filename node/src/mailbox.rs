//! A hub's mailboxes: sealed packets for offices that sleep, and the receipts that go back. The hub can open
//! none of them; it sees who left how much for whom, and when.
//!
//! ```text
//! mailbox/RECIPIENT/HASH.pkt   mailbox/RECIPIENT/HASH.from (depositor)   mailbox/DEPOSITOR/HASH.rcp (receipt)
//! ```

use crate::disk;
use crate::spool::list;
use casemesh_crypto::envelope::{Header, packet_hash};
use casemesh_crypto::hash::Digest;
use casemesh_crypto::wire;
use casemesh_protocol::directory::Directory;
use casemesh_protocol::frame::{MailboxAnswer, MailboxRequest, Rejection};
use casemesh_protocol::id::OfficeId;
use casemesh_protocol::limits::{
    MAILBOX_LIST_MAX, MAILBOX_OFFICE_BYTES_MAX, MAILBOX_OFFICE_PACKETS_MAX, MAILBOX_PAIR_PACKETS_MAX,
};
use casemesh_protocol::receipt::Receipt;
use casemesh_protocol::time::Timestamp;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The mailboxes of a hub.
#[derive(Debug)]
pub struct Mailboxes {
    folder: PathBuf,
}

impl Mailboxes {
    /// Opens or makes the mailboxes of a data folder.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn open(folder: &Path) -> io::Result<Self> {
        let folder = folder.join("mailbox");
        disk::make_folder(&folder)?;
        Ok(Self { folder })
    }

    fn of(&self, office: &OfficeId) -> PathBuf {
        self.folder.join(office.to_string())
    }

    /// Serves one request of a member.
    ///
    /// # Errors
    /// When the disk refuses; the member then asks again.
    pub fn serve(
        &self,
        from: OfficeId,
        request: MailboxRequest,
        directory: &Directory,
        now: Timestamp,
    ) -> io::Result<MailboxAnswer> {
        match request {
            MailboxRequest::Deposit { to, packet } => self.deposit(from, to, &packet, directory, now),
            MailboxRequest::List { after } => {
                let all = list_or_none(&self.of(&from), "pkt")?;
                let listed = all.into_iter().filter(|hash| after.is_none_or(|after| *hash > after));
                Ok(MailboxAnswer::Listed(listed.take(MAILBOX_LIST_MAX).collect()))
            }
            MailboxRequest::Fetch(packet) => match fs::read(self.of(&from).join(format!("{packet}.pkt"))) {
                Ok(bytes) => Ok(MailboxAnswer::Packet(bytes)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(MailboxAnswer::Nothing),
                Err(error) => Err(error),
            },
            MailboxRequest::Delete(receipt) => self.delete(from, &receipt, directory),
            MailboxRequest::Receipts => {
                let folder = self.of(&from);
                let receipts = list_or_none(&folder, "rcp")?.into_iter().take(MAILBOX_LIST_MAX).filter_map(|hash| {
                    let bytes = fs::read(folder.join(format!("{hash}.rcp"))).ok()?;
                    wire::decode::<Receipt>(&bytes).ok()
                });
                Ok(MailboxAnswer::Receipts(receipts.collect()))
            }
            MailboxRequest::ForgetReceipt(packet) => {
                disk::remove(&self.of(&from).join(format!("{packet}.rcp")))?;
                Ok(MailboxAnswer::Done)
            }
        }
    }

    fn deposit(
        &self,
        from: OfficeId,
        to: OfficeId,
        packet: &[u8],
        directory: &Directory,
        now: Timestamp,
    ) -> io::Result<MailboxAnswer> {
        if directory.member(&to).is_none() {
            return Ok(MailboxAnswer::Rejected(Rejection::NotServed));
        }
        if Header::read(packet).is_err_and(|_| true) || Header::read(packet).is_ok_and(|h| h.expires_h < now.h()) {
            return Ok(MailboxAnswer::Rejected(Rejection::Packet));
        }
        let folder = self.of(&to);
        disk::make_folder(&folder)?;
        let path = folder.join(format!("{}.pkt", packet_hash(packet)));
        if path.exists() {
            return Ok(MailboxAnswer::Done);
        }
        let (mut packets, mut bytes, mut of_pair) = (0usize, packet.len() as u64, 0usize);
        for hash in list(&folder, "pkt")? {
            packets += 1;
            bytes += fs::metadata(folder.join(format!("{hash}.pkt"))).map_or(0, |about| about.len());
            let depositor = fs::read(folder.join(format!("{hash}.from"))).unwrap_or_default();
            of_pair += usize::from(depositor == from.as_bytes());
        }
        let full = packets >= MAILBOX_OFFICE_PACKETS_MAX
            || bytes > MAILBOX_OFFICE_BYTES_MAX
            || of_pair >= MAILBOX_PAIR_PACKETS_MAX;
        if full {
            return Ok(MailboxAnswer::Rejected(Rejection::Quota));
        }
        disk::replace(&path.with_extension("from"), from.as_bytes())?;
        disk::replace(&path, packet)?;
        Ok(MailboxAnswer::Done)
    }

    /// The recipient has the packet: its receipt goes to the depositor's box.
    fn delete(&self, from: OfficeId, receipt: &Receipt, directory: &Directory) -> io::Result<MailboxAnswer> {
        let keys = directory.member(&from).map(|member| member.receipt_keys()).unwrap_or_default();
        let Ok(stored) = receipt.verify(from, &keys) else {
            return Ok(MailboxAnswer::Rejected(Rejection::Packet));
        };
        let path = self.of(&from).join(format!("{}.pkt", stored.packet_hash));
        let depositor = fs::read(path.with_extension("from")).ok().and_then(|bytes| OfficeId::from_slice(&bytes));
        if let Some(depositor) = depositor {
            let folder = self.of(&depositor);
            disk::make_folder(&folder)?;
            disk::replace(&folder.join(format!("{}.rcp", stored.packet_hash)), &wire::encode(receipt))?;
        }
        disk::remove(&path)?;
        disk::remove(&path.with_extension("from"))?;
        Ok(MailboxAnswer::Done)
    }
}

fn list_or_none(folder: &Path, extension: &str) -> io::Result<Vec<Digest>> {
    if folder.is_dir() { list(folder, extension) } else { Ok(Vec::new()) }
}
