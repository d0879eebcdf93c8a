//! Packets carried by hand: what waits for another office goes into a file ([`casemesh_protocol::bundle`]), and what such a file
//! brings is taken by the same rules as what comes over a line. Needs no open office: everything in it is sealed.

use crate::disk;
use crate::mailbox::Mailboxes;
use crate::node::{NETWORK_FILE, NodeError, Reach};
use crate::office::Surroundings;
use crate::relay::{Relay, is_for_us};
use crate::spool::{Fact, IN_PACKETS_MAX};
use casemesh_crypto::hash::Digest;
use casemesh_crypto::prekey::PrekeyId;
use casemesh_protocol::bundle::{Bundle, Entry, Origin, Writer};
use casemesh_protocol::directory::{Directory, NetworkFile};
use casemesh_protocol::frame::{MailboxAnswer, MailboxRequest};
use casemesh_protocol::id::OfficeId;
use casemesh_protocol::limits::DIRECTORY_BYTES_MAX;
use casemesh_protocol::receipt::Receipt;
use casemesh_protocol::time::Timestamp;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::io;

/// What was put into a bundle.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Packed {
    /// The file.
    pub bytes: Vec<u8>,
    /// The packets in it.
    pub packets: Vec<Digest>,
    /// Receipts for what came on an earlier stick.
    pub receipts: usize,
    /// Packets that had no room: they need another file.
    pub left: usize,
}

impl Packed {
    /// Whether there is nothing to carry.
    pub fn is_empty(&self) -> bool {
        self.packets.is_empty() && self.receipts == 0 && self.left == 0
    }
}

impl Packed {
    /// Puts a packet in, if it is still there: it can arrive by another road meanwhile. From the first that has no room they are
    /// counted and not read.
    fn put(&mut self, writer: &mut Writer, to: OfficeId, hash: Digest, read: impl FnOnce() -> Option<Vec<u8>>) {
        if self.left > 0 {
            self.left += 1;
        } else if let Some(packet) = read() {
            match writer.put(&Entry::Packet { to, packet }) {
                true => self.packets.push(hash),
                false => self.left += 1,
            }
        }
    }
}

/// What a bundle brought.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Brought {
    /// Who wrote the file, where its signature says so.
    #[schema(value_type = Option<String>)]
    pub by: Option<OfficeId>,
    /// When.
    #[schema(value_type = Option<String>)]
    pub written: Option<Timestamp>,
    /// Packets for us that are new.
    pub new: usize,
    /// Packets for us that came before.
    pub known: usize,
    /// Packets for us that had no room: too many wait to be opened.
    pub no_room: usize,
    /// Packets for us that are not taken: past their time, or for a key that is gone.
    pub refused: usize,
    /// Packets that this hub keeps for others now.
    pub deposited: usize,
    /// Packets for others, which stay on the stick.
    pub others: usize,
    /// Packets of ours of which we know now that they arrived.
    pub arrived: usize,
    /// Of when the newest decision in the network file is that came with it, where it told anything new.
    #[schema(value_type = Option<String>)]
    pub network: Option<Timestamp>,
    /// Sealed files that belong to packets.
    pub files: usize,
    /// Damaged places.
    pub damaged: usize,
}

/// What there is to know of the network.
struct Known<'a> {
    directory: &'a Directory,
    prekeys: &'a [PrekeyId],
    now: Timestamp,
}

impl Surroundings {
    /// Puts what waits for an office, or for all, into a file that is carried by hand; with the network file, which is not
    /// sealed, where somebody wants that.
    ///
    /// # Errors
    /// When there is no network, or the disk refuses.
    pub(crate) fn pack_bundle(&self, to: Option<OfficeId>, with_network: bool) -> Result<Packed, NodeError> {
        self.directory().ok_or(NodeError::NoNetwork)?;
        let network = match with_network {
            true => disk::read_bounded(&self.folder.join(NETWORK_FILE), DIRECTORY_BYTES_MAX as u64)?,
            false => None,
        };
        Ok(pack(&self.relay, to, network, self.clock.now())?)
    }

    /// Takes what such a file brings.
    ///
    /// # Errors
    /// When there is no network, the file is no bundle, or the disk refuses.
    pub(crate) fn bring_bundle(&self, bytes: &[u8], reach: Reach) -> Result<Brought, NodeError> {
        let read = Bundle::read(bytes)?;
        self.directory().ok_or(NodeError::NoNetwork)?;
        // First, for packets can be from offices that only the newer file knows.
        let file = read.entries.iter().find_map(|entry| match entry {
            Entry::Network(bytes) => NetworkFile::read(bytes).ok(),
            _ => None,
        });
        let is_new = file.is_some_and(|file| self.merge(&file, reach).unwrap_or(false));
        let directory = self.directory().ok_or(NodeError::NoNetwork)?;
        let known = Known { directory: &directory, prekeys: &self.own_prekeys(), now: self.clock.now() };
        let brought = bring(&self.relay, &read, &known)?;
        Ok(Brought { network: Some(directory.as_of()).filter(|_| is_new), ..brought })
    }
}

fn pack(relay: &Relay, to: Option<OfficeId>, network: Option<Vec<u8>>, now: Timestamp) -> io::Result<Packed> {
    let (spool, mut writer, mut packed) = (relay.spool(), Writer::default(), Packed::default());
    let is_meant = |office: &OfficeId| to.is_none_or(|to| to == *office);
    for (office, receipt) in spool.receipts_back()?.into_iter().filter(|(office, _)| is_meant(office)) {
        packed.receipts += usize::from(writer.put(&Entry::Receipt { to: office, receipt }));
    }
    let mut rows = spool.under_way()?;
    rows.retain(|row| is_meant(&row.to));
    rows.sort_by_key(|row| row.queued);
    for row in rows {
        packed.put(&mut writer, row.to, row.packet, || spool.read_out(&row.packet).ok());
    }
    if let Some(boxes) = relay.mailboxes() {
        for (office, hash) in boxes.kept(to)? {
            packed.put(&mut writer, office, hash, || boxes.packet(&office, &hash).ok().flatten());
        }
    }
    // Files last: packets are what somebody waits for.
    let blobs = relay.blobs();
    for row in blobs.offered().into_iter().filter(|row| is_meant(&row.office)) {
        if let Some(sealed) = blobs.read_out(&row.file) {
            writer.put(&Entry::File { to: row.office, sealed });
        }
    }
    if let Some(network) = network {
        writer.put(&Entry::Network(network));
    }
    packed.bytes = writer.sign(relay.office(), now, relay.receipt_key());
    Ok(packed)
}

/// Taking it twice is the same as once.
fn bring(relay: &Relay, bundle: &Bundle, known: &Known<'_>) -> io::Result<Brought> {
    let keys = |office: &OfficeId| known.directory.member(office).map(|m| m.receipt_keys()).unwrap_or_default();
    let origin = bundle.origin(keys);
    let mut brought = Brought {
        by: origin.map(|origin| origin.office),
        written: origin.map(|origin| origin.written),
        damaged: bundle.damaged,
        ..Brought::default()
    };
    let (spool, mut arrived) = (relay.spool(), Vec::new());
    let mut here = Here {
        waiting: spool.waiting_in().into_iter().collect(),
        signed_for: spool
            .receipts_back()?
            .into_iter()
            .filter_map(|(_, said)| Some(said.unverified()?.packet_hash))
            .collect(),
    };
    let under_way: BTreeMap<Digest, OfficeId> =
        spool.under_way()?.into_iter().chain(spool.held_out()?).map(|row| (row.packet, row.to)).collect();
    for entry in &bundle.entries {
        match entry {
            Entry::Packet { to, packet } if *to == relay.office() => {
                take_packet(relay, packet, origin, known, &mut here, &mut brought)?;
            }
            Entry::Packet { to, packet } => match (relay.mailboxes(), origin.filter(|origin| origin.is_whole)) {
                (Some(boxes), Some(origin)) if deposit(boxes, relay.office(), (origin.office, *to), packet, known)? => {
                    brought.deposited += 1;
                }
                _ => brought.others += 1,
            },
            Entry::Receipt { to, receipt } if *to == relay.office() => {
                arrived.extend(take_receipt(relay, receipt, &under_way, known)?);
            }
            Entry::File { to, sealed } if *to == relay.office() => {
                brought.files += usize::from(relay.blobs().take_whole(sealed)?);
            }
            Entry::Receipt { .. } | Entry::File { .. } | Entry::Network(_) | Entry::End(_) => {}
        }
    }
    brought.arrived = arrived.len();
    relay.came_by_hand(arrived);
    Ok(brought)
}

/// What lies here already, read once for a bundle.
struct Here {
    waiting: BTreeSet<Digest>,
    signed_for: BTreeSet<Digest>,
}

fn take_packet(
    relay: &Relay,
    packet: &[u8],
    origin: Option<Origin>,
    known: &Known<'_>,
    here: &mut Here,
    brought: &mut Brought,
) -> io::Result<()> {
    if !is_for_us(packet, known.prekeys, known.now) {
        brought.refused += 1;
        return Ok(());
    }
    let (spool, hash) = (relay.spool(), casemesh_crypto::envelope::packet_hash(packet));
    let was_here = here.signed_for.contains(&hash) || (here.waiting.contains(&hash) && spool.read_in(&hash).is_ok());
    match was_here {
        true => brought.known += 1,
        false if here.waiting.len() >= IN_PACKETS_MAX => {
            brought.no_room += 1;
            return Ok(());
        }
        false => {
            spool.keep_in(&[(packet, None)])?;
            here.waiting.insert(hash);
            brought.new += 1;
        }
    }
    // Also for one that came before: the stick that took the receipt can have been lost.
    let Some(origin) = origin else { return Ok(()) };
    here.signed_for.insert(hash);
    spool.keep_receipt_back(origin.office, &hash, &relay.sign_for(hash, known.now))
}

/// Keeps a packet for somebody whose hub this is.
fn deposit(
    boxes: &Mailboxes,
    hub: OfficeId,
    (from, to): (OfficeId, OfficeId),
    packet: &[u8],
    known: &Known<'_>,
) -> io::Result<bool> {
    let serves = known.directory.member(&to).is_some_and(|member| member.record.hubs.as_slice().contains(&hub));
    if !serves {
        return Ok(false);
    }
    let request = MailboxRequest::Deposit { to, packet: packet.to_vec() };
    Ok(boxes.serve((from, hub), request, known.directory, known.now)? == MailboxAnswer::Done)
}

/// A receipt for a packet of ours, or for one that lay in a mailbox of this hub.
fn take_receipt(
    relay: &Relay,
    receipt: &Receipt,
    under_way: &BTreeMap<Digest, OfficeId>,
    known: &Known<'_>,
) -> io::Result<Option<(OfficeId, Digest)>> {
    let Some(said) = receipt.unverified() else { return Ok(None) };
    let (office, packet) = (said.office, said.packet_hash);
    let keys = known.directory.member(&office).map(|member| member.receipt_keys()).unwrap_or_default();
    let Ok(stored) = receipt.verify(office, &keys) else { return Ok(None) };
    if under_way.get(&packet) == Some(&office) {
        relay.spool().note_fact(&packet, Fact::Arrived(stored.stored))?;
        return Ok(Some((office, packet)));
    }
    if let Some(boxes) = relay.mailboxes() {
        boxes.serve((office, relay.office()), MailboxRequest::Delete(receipt.clone()), known.directory, known.now)?;
    }
    Ok(None)
}
