//! What is done to an office's keys while its node does not run: the node key is made good for another year, the root goes to the next
//! one, stolen keys are taken back, and an office that left forgets its network.
//!
//! Key file first, then the card: a crash in between is mended by doing it again, for a key that no card names signs nothing.

use crate::disk;
use crate::keys::{KeyFile, Keys, NODE_KEY_DAYS, Prekeys, RelayProfile, root_key};
use crate::net;
use crate::node::{CARD_FILE, NETWORK_FILE, NodeError, Printed, read_card};
use crate::office::renewal::{CARDS_FOLDER, kept_card};
use crate::vault::VaultError;
use casemesh_crypto::keylog::{OfficeKeys, Signed, Step};
use casemesh_crypto::random::os_rng;
use casemesh_crypto::secret::Secret;
use casemesh_crypto::share::{self, Split};
use casemesh_crypto::sign::{SigningKey, VerifyingKey};
use casemesh_crypto::{token, wire};
use casemesh_protocol::directory::{Card, PrekeyList, prekey_list_hash};
use casemesh_protocol::limits::CLOCK_SKEW_SECONDS_MAX;
use casemesh_protocol::time::Timestamp;
use std::fs;
use std::path::Path;

/// How the keys of an office are opened while its node does not run.
pub enum Opened {
    /// By somebody whose password opens the office.
    ByPassword(String, String),
    /// By the seed that the recovery shares give.
    ByShares(Secret),
}

impl std::fmt::Debug for Opened {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Opened(..)")
    }
}

impl Opened {
    fn keys(&self, file: &KeyFile) -> Result<Keys, NodeError> {
        Ok(match self {
            Self::ByPassword(name, password) => file.open(name, password)?.1,
            Self::ByShares(seed) => file.open_with_seed(seed)?,
        })
    }
}

fn damaged() -> NodeError {
    NodeError::Vault(VaultError::DamagedRecord)
}

/// A key log that goes on, step by step.
struct Log {
    card: Card,
    keys: OfficeKeys,
    log: Vec<Signed>,
}

impl Log {
    fn of(folder: &Path) -> Result<Self, NodeError> {
        let card: Card = wire::decode(&read_card(folder)?).map_err(|_| damaged())?;
        let keys = OfficeKeys::follow(&card.genesis, &card.log).map_err(|_| damaged())?;
        let log = card.log.clone();
        Ok(Self { card, keys, log })
    }

    fn add(&mut self, step: Step, now: Timestamp, key: &SigningKey) -> Result<(), NodeError> {
        let signed = self.keys.write(step, now.s(), key);
        self.keys = self.keys.clone().step(&signed).map_err(|_| damaged())?;
        self.log.push(signed);
        Ok(())
    }

    /// The next card, with the log as it is now, kept as this office's and as what it knows of itself.
    fn write_card(self, folder: &Path, prekeys: PrekeyList, key: &SigningKey, now: Timestamp) -> Result<(), NodeError> {
        let mut record = self.card.record().map_err(|_| damaged())?;
        record.number += 1;
        record.made = now;
        let card = Card::write(self.card.genesis, self.log, &record, prekeys, key);
        card.verify()?;
        let bytes = wire::encode(&card);
        disk::replace(&folder.join(CARD_FILE), &bytes)?;
        disk::make_folder(&folder.join(CARDS_FOLDER))?;
        Ok(disk::replace(&kept_card(folder, &card.genesis.office()), &bytes)?)
    }
}

/// Good from a day ago: a clock that was ahead may be set right afterwards.
fn delegate(key: &SigningKey, now: Timestamp) -> Step {
    let from_s = now.s().saturating_sub(CLOCK_SKEW_SECONDS_MAX);
    Step::Delegate { key: key.verifying_key(), from_s, until_s: now.plus_days(NODE_KEY_DAYS).s() }
}

/// Delegates the node key for another year, with the seed that the recovery shares give: what the root alone may do. Until when
/// it is good then, and whether it was good until now: partners believe a packet with the new card only then.
///
/// # Errors
/// When the shares are of another office, or the disk refuses.
pub(crate) fn renew_node_key(folder: &Path, seed: &Secret, now: Timestamp) -> Result<(Timestamp, bool), NodeError> {
    let keys = KeyFile::read(folder)?.open_with_seed(seed)?;
    let mut log = Log::of(folder)?;
    let held = log.keys.node_key(&keys.node_key.verifying_key().id(), now.s()).is_some();
    log.add(delegate(&keys.node_key, now), now, &root_key(seed))?;
    let prekeys = log.card.prekeys.clone();
    log.write_card(folder, prekeys, &keys.node_key, now)?;
    Ok((now.plus_days(NODE_KEY_DAYS), held))
}

/// Hands the office over to its next root key, the one on the second sheet, and draws the one after. With `new_keys` the node key,
/// the machine's keys and the prekeys are drawn anew, and the old ones taken back.
///
/// # Errors
/// When password, shares or sheet are not right, or the disk refuses.
pub(crate) fn rotate_root(
    folder: &Path,
    opened: &Opened,
    sheet: &str,
    (split, new_keys): (Split, bool),
    now: Timestamp,
) -> Result<Printed, NodeError> {
    let rng = &mut os_rng();
    let mut file = KeyFile::read(folder)?;
    let seed = token::from_printed(sheet).and_then(|bytes| Secret::from_slice(&bytes));
    let seed =
        seed.ok_or_else(|| NodeError::Input("this is no key of a second sheet: type it group by group".into()))?;
    // Where this was cut off before, the sheet's own seed opens the keys already, and no share of the first sheet does.
    let mut keys = match opened.keys(&file) {
        Err(error) if matches!(opened, Opened::ByShares(_)) => file.open_with_seed(&seed).map_err(|_| error)?,
        opened => opened?,
    };
    let (root, after) = (root_key(&seed), Secret::random(rng));
    let mut log = Log::of(folder)?;
    let next_root = casemesh_crypto::hash::sha256(&[root_key(&after).verifying_key().as_bytes()]);
    log.add(Step::RotateRoot { root: root.verifying_key(), next_root }, now, &root)
        .map_err(|_| NodeError::Input("this is not the second sheet of this office".into()))?;
    let mut prekeys = log.card.prekeys.clone();
    let mut own = Prekeys::read(folder, &keys)?;
    let mut relay = RelayProfile::read(folder)?;
    if new_keys {
        keys.node_key = SigningKey::random(rng);
        relay =
            RelayProfile { peer_seed: Secret::random(rng), receipt_key: SigningKey::random(rng), office: relay.office };
        own.replace(now, rng);
        prekeys = own.published(now);
        for old in log.keys.node_keys().iter().map(VerifyingKey::id) {
            if log.keys.node_key(&old, now.s()).is_some() {
                log.add(Step::Revoke { key: old, since_s: now.s() }, now, &root)?;
            }
        }
        log.add(delegate(&keys.node_key, now), now, &root)?;
        let machine = Step::CertifyMachine {
            peer: net::peer_of(&relay.peer_seed).map(|peer| peer.0).unwrap_or_default(),
            receipt_key: relay.receipt_key.verifying_key(),
            until_s: now.plus_days(NODE_KEY_DAYS).s(),
        };
        log.add(machine, now, &keys.node_key)?;
        log.add(Step::PublishPrekeys { list: prekey_list_hash(&prekeys) }, now, &keys.node_key)?;
    }
    let shares = share::split(&seed, split, rng).map_err(|error| NodeError::Input(error.to_string()))?;
    file.set_recovery(&keys, &seed, rng);
    file.log.clone_from(&log.log);
    own.write(folder, &keys, rng)?;
    file.write(folder, &keys, rng)?;
    relay.write(folder)?;
    log.write_card(folder, prekeys, &keys.node_key, now)?;
    Ok(Printed {
        office: keys.office,
        shares: shares.iter().map(share::Share::to_printed).collect(),
        next_root: token::to_printed(after.expose()),
    })
}

/// An office that left forgets its network, and destroys the keys to which others could seal: what still comes opens nothing.
///
/// # Errors
/// When the office did not leave, or the disk refuses.
pub(crate) fn forget_network(folder: &Path) -> Result<(), NodeError> {
    let bytes = disk::read_bounded(&folder.join(NETWORK_FILE), casemesh_protocol::limits::DIRECTORY_BYTES_MAX as u64)?;
    let directory = casemesh_protocol::directory::Directory::read(&bytes.ok_or(NodeError::NoNetwork)?, None)?;
    let office = RelayProfile::read(folder)?.office;
    if directory.member(&office).is_some() {
        return Err(NodeError::Input(
            "this office is still in the network: leave it first, on the page \"Who belongs to the network\"".into(),
        ));
    }
    Prekeys::destroy(folder)?;
    match fs::remove_dir_all(folder.join(CARDS_FOLDER)) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
        _ => {}
    }
    Ok(disk::remove(&folder.join(NETWORK_FILE))?)
}
