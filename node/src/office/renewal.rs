//! Cards that do not run out. Before its prekeys or its machine's certificate end, an office adds to its key log, writes a new
//! card and sends it to every member; a card that comes in is believed if it goes on where the known one ended, and kept beside
//! the network file. The steward need not sign again for that: who belongs to the network does not change.
//!
//! The order holds through a power cut: the secret halves first, then the card, then the packets. The node key itself lasts a
//! year and is delegated by the root, which needs the recovery shares.

use super::exchange::Taken;
use super::membership::TOLD_AT_ONCE;
use super::outward::Outward;
use super::{DeskError, Office};
use crate::disk;
use crate::index::OutboxRow;
use crate::keys::NODE_KEY_DAYS;
use crate::node::{CARD_FILE, read_card};
use crate::records::{OutboxState, Seen};
use crate::vault::VaultError;
use casemesh_crypto::hash::Digest;
use casemesh_crypto::keylog::{OfficeKeys, Step};
use casemesh_crypto::random::os_rng;
use casemesh_crypto::wire;
use casemesh_protocol::directory::{Card, Directory, Member, OfficeRecord, prekey_list_hash};
use casemesh_protocol::id::{OfficeId, RecordId, ThreadId};
use casemesh_protocol::limits::DIRECTORY_BYTES_MAX;
use casemesh_protocol::outgoing::Control;
use casemesh_protocol::packet::Kind;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::PoisonError;

/// Where cards lie that came after the network file.
pub(crate) const CARDS_FOLDER: &str = "cards";

/// What our packets with a card of that number are known by.
fn mark_of(number: u64) -> ThreadId {
    let mut bytes = [0u8; ThreadId::LENGTH];
    bytes.split_at_mut(8).1.copy_from_slice(&number.to_be_bytes());
    ThreadId::new(bytes)
}

pub(crate) fn kept_card(folder: &Path, office: &OfficeId) -> PathBuf {
    folder.join(CARDS_FOLDER).join(format!("{office}.cbor"))
}

/// A directory with the cards that came after it. One that brings nothing new, or does not hold, is left aside.
pub(crate) fn with_kept_cards(folder: &Path, directory: Directory) -> Directory {
    let offices: Vec<OfficeId> = directory.members().map(|(office, _)| *office).collect();
    offices.iter().fold(directory, |directory, office| {
        let bytes = disk::read_bounded(&kept_card(folder, office), DIRECTORY_BYTES_MAX as u64).ok().flatten();
        let card = bytes.and_then(|bytes| wire::decode::<Card>(&bytes).ok());
        match card.map(|card| directory.with_card(&card)) {
            Some(Ok(Some(next))) => next,
            Some(Err(error)) => {
                tracing::warn!(%error, "a card that was kept is not used");
                directory
            }
            Some(Ok(None)) | None => directory,
        }
    })
}

/// What is new on a card.
pub(super) enum NewOnCard<'a> {
    /// Prekeys and the machine's certificate.
    Keys,
    /// What the office says of itself: a change of what it said before.
    Said(&'a dyn Fn(&mut OfficeRecord) -> Result<(), DeskError>),
}

impl Office {
    /// Writes a new card when the old one comes to its end, and sends it to whoever does not have it.
    pub(super) fn renew(&self) {
        let renewed = self.renew_card().and_then(|()| self.announce_card());
        if let Err(error) = renewed {
            tracing::warn!(%error, "the office's card could not be renewed; it is tried again");
        }
    }

    /// Says anew where this node is found, where `node.toml` says something else than its card.
    pub(super) fn tell_addresses(&self) -> Result<(), DeskError> {
        let Some(directory) = self.around.directory() else { return Ok(()) };
        let Some(own) = directory.member(&self.keys.office) else { return Ok(()) };
        let addresses = match self.around.addresses() {
            Ok(addresses) if !own.record.is_hidden() && addresses != own.record.addresses => addresses,
            Ok(_) => return Ok(()),
            // What others know may still be right.
            Err(error) => {
                tracing::warn!(%error, "where this node is found is not told");
                return Ok(());
            }
        };
        self.write_card(NewOnCard::Said(&|record| {
            record.addresses = addresses.clone();
            Ok(())
        }))
    }

    fn renew_card(&self) -> Result<(), DeskError> {
        let now = self.around.clock.now();
        let Some(directory) = self.around.directory() else { return Ok(()) };
        let Some(own) = directory.member(&self.keys.office).filter(|own| own.is_to_renew(now)) else { return Ok(()) };
        if own.keys.node_key(&self.keys.node_key.verifying_key().id(), now.s()).is_none() {
            // Said on the home page; only the recovery shares help.
            return Ok(());
        }
        self.write_card(NewOnCard::Keys)
    }

    /// Writes a new card of this office, and uses it. Whoever calls this sees to it that the others are told.
    ///
    /// # Errors
    /// When there is no network, the node key is not good any more, or the disk refuses.
    pub(super) fn write_card(&self, new: NewOnCard<'_>) -> Result<(), DeskError> {
        let now = self.around.clock.now();
        let _held = self.around.changing();
        let directory = self.around.directory().ok_or(DeskError::NotFound)?;
        let own = directory.member(&self.keys.office).ok_or(DeskError::NotFound)?;
        let bytes = read_card(&self.around.folder).map_err(|error| DeskError::Partner(error.to_string()))?;
        let damaged = |_| VaultError::DamagedRecord;
        let card: Card = wire::decode(&bytes).map_err(|_| VaultError::DamagedRecord)?;
        let (mut log, mut published, mut record) = (card.log, card.prekeys, own.record.clone());
        match new {
            NewOnCard::Said(change) => change(&mut record)?,
            NewOnCard::Keys => {
                let mut prekeys = self.prekeys.write().unwrap_or_else(PoisonError::into_inner);
                prekeys.destroy_past(now);
                prekeys.extend(now, &mut os_rng());
                prekeys.write(&self.around.folder, &self.keys, &mut os_rng()).map_err(damaged)?;
                published = prekeys.published(now);
                drop(prekeys);
                let mut keys = OfficeKeys::follow(&card.genesis, &log).map_err(|_| VaultError::DamagedRecord)?;
                let machines = keys.machines().iter().map(|machine| Step::CertifyMachine {
                    peer: machine.peer.clone(),
                    receipt_key: machine.receipt_key,
                    until_s: now.plus_days(NODE_KEY_DAYS).s(),
                });
                let steps: Vec<Step> =
                    machines.chain([Step::PublishPrekeys { list: prekey_list_hash(&published) }]).collect();
                for step in steps {
                    let signed = keys.write(step, now.s(), &self.keys.node_key);
                    keys = keys.step(&signed).map_err(|_| VaultError::DamagedRecord)?;
                    log.push(signed);
                }
            }
        }
        record.number = own.record.number + 1;
        record.made = now;
        let card = Card::write(card.genesis, log, &record, published, &self.keys.node_key);
        // A card that does not hold (the node key ended) is not written.
        card.verify().map_err(|_| {
            DeskError::Partner("the key of this office ended; renew it first: casemesh join renew".into())
        })?;
        disk::replace(&self.around.folder.join(CARD_FILE), &wire::encode(&card)).map_err(VaultError::Disk)?;
        self.use_card(&directory, &card)?;
        if let Some(directory) = self.around.directory() {
            self.around.tell_relay(directory);
        }
        tracing::info!(number = record.number, "the office has a new card");
        Ok(())
    }

    /// Keeps a card and uses it, if it brings anything new.
    fn use_card(&self, directory: &Directory, card: &Card) -> Result<bool, DeskError> {
        let next = directory.with_card(card).map_err(|error| DeskError::Partner(error.to_string()))?;
        let Some(next) = next else { return Ok(false) };
        let path = kept_card(&self.around.folder, &card.genesis.office());
        if let Some(folder) = path.parent() {
            disk::make_folder(folder).map_err(VaultError::Disk)?;
        }
        disk::replace(&path, &wire::encode(card)).map_err(VaultError::Disk)?;
        self.around.know(next);
        Ok(true)
    }

    /// Sends our card to every member who was not sent it: also to one that joined since.
    fn announce_card(&self) -> Result<(), DeskError> {
        let Some(directory) = self.around.directory() else { return Ok(()) };
        let number = directory.member(&self.keys.office).map_or(0, |own: &Member| own.record.number);
        // The first card is the one that the steward signed.
        if number <= 1 {
            return Ok(());
        }
        let mark = mark_of(number);
        self.withdraw_cards(mark)?;
        let told: BTreeSet<OfficeId> = {
            let tables = self.index.read();
            let is_it = |row: &&OutboxRow| {
                row.kind == Kind::Card.number() && row.thread == mark && row.state != OutboxState::Expired
            };
            tables.outbox.values().filter(is_it).map(|row| row.to).collect()
        };
        let ours = self.keys.office;
        let to_tell: Vec<OfficeId> =
            directory.members().map(|(office, _)| *office).filter(|to| *to != ours && !told.contains(to)).collect();
        if to_tell.is_empty() {
            return Ok(());
        }
        let bytes = read_card(&self.around.folder).map_err(|error| DeskError::Partner(error.to_string()))?;
        let card: Card = wire::decode(&bytes).map_err(|_| VaultError::DamagedRecord)?;
        to_tell.chunks(TOLD_AT_ONCE).map(<[OfficeId]>::to_vec).try_for_each(|some| {
            let card = card.clone();
            self.vault.write(None, "announce_card", move |tx| {
                some.into_iter()
                    .try_for_each(|office| Outward::control(Control::card(office, card.clone())).marked(mark).queue(tx))
            })
        })
    }

    /// Takes back what is under way of cards that a newer one replaces.
    fn withdraw_cards(&self, newest: ThreadId) -> Result<(), DeskError> {
        let _held = self.releasing.lock().unwrap_or_else(PoisonError::into_inner);
        let old: Vec<(RecordId, OfficeId, Option<Digest>)> = {
            let tables = self.index.read();
            let is_old = |row: &&OutboxRow| {
                let is_under_way = matches!(row.state, OutboxState::Waiting | OutboxState::Released);
                row.kind == Kind::Card.number() && row.thread != newest && is_under_way
            };
            tables.outbox.values().filter(is_old).map(|row| (row.id, row.to, row.packet_hash)).collect()
        };
        for (row, to, packet) in old {
            if let Some(packet) = packet {
                self.around.relay.cancel(to, packet);
            }
            self.settle_row(row, OutboxState::Cancelled, Some("a newer card replaces it".into()), None)?;
        }
        Ok(())
    }

    /// Takes a partner's new card.
    pub(super) fn take_card(&self, from: OfficeId, card: &Card, seen: RecordId) -> Result<Taken, DeskError> {
        let held = self.around.changing();
        let Some(directory) = self.around.directory() else { return Ok(Taken::Aside("no directory")) };
        if card.genesis.office() != from {
            return Ok(Taken::Aside("a card of somebody else"));
        }
        match directory.with_card(card) {
            Ok(Some(_)) => {
                self.use_card(&directory, card)?;
                if let Some(directory) = self.around.directory() {
                    self.around.tell_relay(directory);
                }
            }
            Ok(None) => {}
            Err(error) => {
                tracing::warn!(%error, "a card is not believed");
                return Ok(Taken::Aside("the card is not believed"));
            }
        }
        drop(held);
        self.vault.write(None, "receive_card", move |tx| {
            tx.insert(&Seen { id: seen, at: tx.now(), set_aside: None })?;
            Ok(Taken::Done)
        })
    }

    /// What somebody should know about the keys of the office: that the node key ends.
    pub(super) fn key_problem(&self) -> Option<&'static str> {
        let now = self.around.clock.now();
        let directory = self.around.directory()?;
        let own = directory.member(&self.keys.office)?;
        let key = self.keys.node_key.verifying_key().id();
        let holds = |days: u64| own.keys.node_key(&key, now.plus_days(days).s()).is_some();
        match (holds(0), holds(NODE_KEY_WARN_DAYS)) {
            (true, true) => None,
            (true, false) => Some("key-ends-soon"),
            (false, _) => Some("key-ended"),
        }
    }
}

/// The office is told so many days before its node key ends.
const NODE_KEY_WARN_DAYS: u64 = 60;
