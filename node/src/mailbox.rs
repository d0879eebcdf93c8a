//! A hub's mailboxes: sealed packets for offices that sleep, and the receipts that go back. The hub can open
//! none of them; it sees who left how much for whom, and when.
//!
//! ```text
//! mailbox/RECIPIENT/HASH.pkt   mailbox/RECIPIENT/HASH.from (depositor)   mailbox/DEPOSITOR/HASH.rcp (receipt)
//! ```

use crate::disk;
use crate::held::HeldBox;
use crate::spool::list;
use casemesh_crypto::envelope::{HEADER_END_MAX, Header, packet_hash};
use casemesh_crypto::hash::Digest;
use casemesh_crypto::wire;
use casemesh_protocol::claim::Claim;
use casemesh_protocol::directory::Directory;
use casemesh_protocol::frame::{MailboxAnswer, MailboxRequest, Rejection};
use casemesh_protocol::id::OfficeId;
use casemesh_protocol::limits::MAILBOX_LIST_MAX;
use casemesh_protocol::mailbox::{Kept, Shelf, Taken};
use casemesh_protocol::packet::is_timely;
use casemesh_protocol::receipt::Receipt;
use casemesh_protocol::time::Timestamp;
use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// So many claims are told at once: they fit a frame.
const CLAIMS_MAX: usize = 256;
/// So long a claim waits for its sender.
const CLAIM_DAYS: u64 = 60;

/// The mailboxes of a hub.
#[derive(Debug)]
pub struct Mailboxes {
    folder: PathBuf,
    held: HeldBox,
    shelves: Mutex<BTreeMap<OfficeId, Shelf>>,
}

impl Mailboxes {
    /// Opens or makes the mailboxes of a data folder.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn open(folder: &Path) -> io::Result<Self> {
        let (held, folder) = (HeldBox::open(folder)?, folder.join("mailbox"));
        disk::make_folder(&folder)?;
        let mut shelves = BTreeMap::new();
        for entry in fs::read_dir(&folder)? {
            let path = entry?.path();
            let office = path.file_name().and_then(|name| name.to_str()).and_then(|name| name.parse::<OfficeId>().ok());
            let Some(office) = office else { continue };
            shelves.insert(office, shelf_of(&path)?);
        }
        Ok(Self { folder, held, shelves: Mutex::new(shelves) })
    }

    /// Lets go of packets whose time is over: their senders were told by their own nodes.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn sweep(&self, now: Timestamp) -> io::Result<()> {
        self.held.sweep(now)?;
        let mut shelves = self.shelves.lock().unwrap_or_else(PoisonError::into_inner);
        for (office, shelf) in shelves.iter_mut() {
            for packet in shelf.over(now) {
                let path = self.of(office).join(format!("{packet}.pkt"));
                disk::remove(&path)?;
                disk::remove(&path.with_extension("from"))?;
                shelf.remove(&packet);
            }
        }
        drop(shelves);
        // Claims whose sender does not ask for them any more.
        for entry in fs::read_dir(&self.folder)? {
            let folder = entry?.path();
            for packet in list_or_none(&folder, "clm")? {
                let path = folder.join(format!("{packet}.clm"));
                let said = fs::read(&path).ok().and_then(|bytes| wire::decode::<Claim>(&bytes).ok()?.unverified());
                if said.is_none_or(|said| said.at.plus_days(CLAIM_DAYS) <= now) {
                    disk::remove(&path)?;
                }
            }
        }
        Ok(())
    }

    /// What is kept for an office, or for all: for whom, under which hash.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn kept(&self, for_whom: Option<OfficeId>) -> io::Result<Vec<(OfficeId, Digest)>> {
        let offices: Vec<OfficeId> = match for_whom {
            Some(office) => vec![office],
            None => self.shelves.lock().unwrap_or_else(PoisonError::into_inner).keys().copied().collect(),
        };
        let mut kept = Vec::new();
        for office in offices {
            kept.extend(list_or_none(&self.of(&office), "pkt")?.into_iter().map(|hash| (office, hash)));
        }
        Ok(kept)
    }

    /// A packet that is kept for an office; none where it was fetched meanwhile.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn packet(&self, of: &OfficeId, hash: &Digest) -> io::Result<Option<Vec<u8>>> {
        match fs::read(self.of(of).join(format!("{hash}.pkt"))) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            read => read.map(Some),
        }
    }

    fn of(&self, office: &OfficeId) -> PathBuf {
        self.folder.join(office.to_string())
    }

    /// Serves one request of a member; `hub` is who we are.
    ///
    /// # Errors
    /// When the disk refuses; the member then asks again.
    pub fn serve(
        &self,
        (from, hub): (OfficeId, OfficeId),
        request: MailboxRequest,
        directory: &Directory,
        now: Timestamp,
    ) -> io::Result<MailboxAnswer> {
        match request {
            MailboxRequest::Deposit { to, packet } => self.deposit(from, to, &packet, directory, now),
            MailboxRequest::List { after } => {
                let shelves = self.shelves.lock().unwrap_or_else(PoisonError::into_inner);
                Ok(MailboxAnswer::Listed(shelves.get(&from).map(|shelf| shelf.list(after)).unwrap_or_default()))
            }
            MailboxRequest::Fetch(packet) => {
                Ok(self.packet(&from, &packet)?.map_or(MailboxAnswer::Nothing, MailboxAnswer::Packet))
            }
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
            MailboxRequest::Hold { to, thread, packet } => {
                let boxes = self.shelves.lock().unwrap_or_else(PoisonError::into_inner);
                let hub_bytes = boxes.values().map(Shelf::bytes).sum();
                drop(boxes);
                self.held.hold((from, hub), (to, thread), &packet, (directory, hub_bytes), now)
            }
            MailboxRequest::Claim(claim) => self.held.claim((from, hub), &claim, (directory, now), |sender, packet| {
                let folder = self.of(&sender);
                disk::make_folder(&folder)?;
                disk::replace(&folder.join(format!("{packet}.clm")), &wire::encode(&claim))
            }),
            MailboxRequest::LetGo { to, thread } => self.held.let_go(from, to, thread),
            MailboxRequest::Claims => {
                let folder = self.of(&from);
                let claims = list_or_none(&folder, "clm")?.into_iter().take(CLAIMS_MAX).filter_map(|packet| {
                    let bytes = fs::read(folder.join(format!("{packet}.clm"))).ok()?;
                    Some((packet, wire::decode::<Claim>(&bytes).ok()?))
                });
                Ok(MailboxAnswer::Claims(claims.collect()))
            }
            MailboxRequest::ForgetClaim(packet) => {
                disk::remove(&self.of(&from).join(format!("{packet}.clm")))?;
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
        let header = Header::read(packet).ok().filter(|header| is_timely(header, now));
        let Some(header) = header else { return Ok(MailboxAnswer::Rejected(Rejection::Packet)) };
        let (hash, bytes) = (packet_hash(packet), packet.len() as u64);
        let kept = Kept { from, bytes, expires: Timestamp::from_h(header.expires_h) };
        let mut shelves = self.shelves.lock().unwrap_or_else(PoisonError::into_inner);
        let hub_bytes = shelves.values().map(Shelf::bytes).sum::<u64>().saturating_add(self.held.bytes());
        let shelf = shelves.entry(to).or_default();
        match shelf.take(hash, &kept, hub_bytes, now) {
            Ok(Taken::Known) => return Ok(MailboxAnswer::Done),
            Ok(Taken::New) => {}
            Err(rejection) => return Ok(MailboxAnswer::Rejected(rejection)),
        }
        let folder = self.of(&to);
        disk::make_folder(&folder)?;
        let path = folder.join(format!("{hash}.pkt"));
        disk::replace(&path.with_extension("from"), from.as_bytes())?;
        disk::replace(&path, packet)?;
        shelf.put(hash, kept);
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
        let held = self.held.sender_of(&stored.packet_hash, from);
        let depositor = depositor.or(held);
        if let Some(depositor) = depositor {
            let folder = self.of(&depositor);
            disk::make_folder(&folder)?;
            disk::replace(&folder.join(format!("{}.rcp", stored.packet_hash)), &wire::encode(receipt))?;
        }
        if held.is_some() {
            self.held.fetched(&stored.packet_hash)?;
        }
        disk::remove(&path)?;
        disk::remove(&path.with_extension("from"))?;
        let mut shelves = self.shelves.lock().unwrap_or_else(PoisonError::into_inner);
        shelves.get_mut(&from).and_then(|shelf| shelf.remove(&stored.packet_hash));
        Ok(MailboxAnswer::Done)
    }
}

/// What lies in a folder, as the hub left it. A packet without its depositor was cut off while it came: it is left again.
fn shelf_of(folder: &Path) -> io::Result<Shelf> {
    let mut shelf = Shelf::default();
    for packet in list_or_none(folder, "pkt")? {
        let path = folder.join(format!("{packet}.pkt"));
        let (start, bytes) = start_of(&path)?;
        let from = fs::read(path.with_extension("from")).ok().and_then(|from| OfficeId::from_slice(&from));
        if let (Some(from), Ok(header)) = (from, Header::read(&start)) {
            shelf.put(packet, Kept { from, bytes, expires: Timestamp::from_h(header.expires_h) });
        }
    }
    Ok(shelf)
}

/// What of a packet holds its header, and how long the whole is, in bytes.
fn start_of(path: &Path) -> io::Result<(Vec<u8>, u64)> {
    let (file, mut start) = (fs::File::open(path)?, Vec::new());
    let bytes = file.metadata()?.len();
    file.take(HEADER_END_MAX as u64).read_to_end(&mut start)?;
    Ok((start, bytes))
}

fn list_or_none(folder: &Path, extension: &str) -> io::Result<Vec<Digest>> {
    if folder.is_dir() { list(folder, extension) } else { Ok(Vec::new()) }
}
