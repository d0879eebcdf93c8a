//! The keys of an office on disk, and how they are opened.
//!
//! ```text
//! password --Argon2id--> slot --opens--> key file key --opens--> office key, epoch key, node key, prekey key
//! recovery shares -----> seed ---------^      (the seed also gives the root key; neither lies on the disk)
//! ```
//!
//! `keys.cbor` holds the slots and the sealed body; `relay.cbor` holds what a locked node needs to be
//! reached and to sign receipts, and opens nothing; `prekeys.cbor` holds the secret halves of the prekeys.

use crate::disk;
use crate::journal::DatabaseId;
use casemesh_crypto::envelope::OfficeId;
use casemesh_crypto::hash::{Digest, sha256};
use casemesh_crypto::keylog::{Genesis, KeyLogError, OfficeKeys, Signed, Step};
use casemesh_crypto::passphrase::{Cost, PasswordError, PasswordSlot};
use casemesh_crypto::prekey::{PrekeyId, PrekeySecret};
use casemesh_crypto::random::CryptoRng;
use casemesh_crypto::seal;
use casemesh_crypto::secret::Secret;
use casemesh_crypto::shred::Epoch;
use casemesh_crypto::sign::SigningKey;
use casemesh_crypto::wire;
use casemesh_protocol::bounded::List;
use casemesh_protocol::directory::{PrekeyList, PublishedPrekey, prekey_list_hash};
use casemesh_protocol::id::StaffId;
use casemesh_protocol::limits::{PACKET_LIFETIME_HOURS, PREKEYS_MAX};
use casemesh_protocol::time::Timestamp;
use minicbor::{Decode, Encode};
use std::io;
use std::path::{Path, PathBuf};

const KEY_FILE: &str = "keys.cbor";
const RELAY_FILE: &str = "relay.cbor";
const PREKEY_FILE: &str = "prekeys.cbor";
const KEY_FILE_BYTES_MAX: u64 = 4 * 1024 * 1024;
/// How long a node key may sign: a year.
pub const NODE_KEY_DAYS: u64 = 365;
/// How many weeks of prekeys are published ahead: a season.
pub const PREKEY_WEEKS: u64 = 13;

/// What stands in the way of an office's keys.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The disk refuses.
    #[error("{}", crate::disk::refusal(.0))]
    Disk(#[from] io::Error),
    /// No office was set up here.
    #[error("there is no office in {0}; set one up with `casemesh init`")]
    NoOffice(PathBuf),
    /// The key file is no key file, or damaged.
    #[error("the key file in {0} is damaged or not one of Casemesh; put the right keys.cbor back from your backup")]
    Damaged(PathBuf),
    /// The key file belongs to another office's data.
    #[error("the key file in {0} belongs to another office; put the right keys.cbor back")]
    OtherOffice(PathBuf),
    /// Wrong name or password. Which, is not said.
    #[error("the name or the password is not right")]
    WrongPassword,
    /// The password cannot be used.
    #[error(transparent)]
    Password(PasswordError),
    /// The recovery shares are of another office.
    #[error("these recovery shares belong to another office")]
    WrongShares,
    /// Our own key log does not hold.
    #[error("the office's key log does not hold: {0}")]
    KeyLog(#[from] KeyLogError),
}

/// A staff member's way to the key.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Slot {
    #[n(0)]
    staff: StaffId,
    /// Keyed hash of the sign-in name.
    #[n(1)]
    name: Digest,
    #[n(2)]
    slot: PasswordSlot,
}

/// The key file. Slots, genesis and key log can be read without a password.
#[derive(Debug, Clone, Encode, Decode)]
#[cbor(array)]
pub struct KeyFile {
    #[n(0)]
    version: u8,
    /// Which database the keys are for.
    #[n(1)]
    pub database: DatabaseId,
    /// The office's first statement.
    #[n(2)]
    pub genesis: Genesis,
    /// Its key log.
    #[n(3)]
    pub log: Vec<Signed>,
    #[n(4)]
    slots: Vec<Slot>,
    #[cbor(n(5), with = "minicbor::bytes")]
    recovery: Vec<u8>,
    #[cbor(n(6), with = "minicbor::bytes")]
    body: Vec<u8>,
}

#[derive(Encode, Decode)]
#[cbor(array)]
struct Body {
    #[cbor(n(0), with = "minicbor::bytes")]
    office_key: [u8; 32],
    #[n(1)]
    epoch_number: u32,
    #[cbor(n(2), with = "minicbor::bytes")]
    epoch_key: [u8; 32],
    #[cbor(n(3), with = "minicbor::bytes")]
    node_key: [u8; 32],
    #[cbor(n(4), with = "minicbor::bytes")]
    prekey_key: [u8; 32],
}

/// The opened keys of an office.
#[derive(Debug, Clone)]
pub struct Keys {
    file_key: Secret,
    office_key: Secret,
    /// The shred epoch in force.
    pub epoch: Epoch,
    /// What the office signs with.
    pub node_key: SigningKey,
    prekey_key: Secret,
    /// Which database they are for.
    pub database: DatabaseId,
    /// Whose keys they are.
    pub office: OfficeId,
}

impl Keys {
    /// A key for one use, from the office key.
    pub fn subkey(&self, name: &str) -> Secret {
        seal::subkey(&self.office_key, name)
    }
}

/// What a locked node needs: to be reached, and to sign for what it stores.
#[derive(Debug, Clone)]
pub struct RelayProfile {
    /// Seed of the libp2p identity.
    pub peer_seed: Secret,
    /// Signs receipts.
    pub receipt_key: SigningKey,
    /// Whose node it is.
    pub office: OfficeId,
}

#[derive(Encode, Decode)]
#[cbor(array)]
struct RelayFile {
    #[n(0)]
    version: u8,
    #[n(1)]
    office: OfficeId,
    #[cbor(n(2), with = "minicbor::bytes")]
    peer_seed: [u8; 32],
    #[cbor(n(3), with = "minicbor::bytes")]
    receipt_seed: [u8; 32],
}

/// One prekey with its secret half.
#[derive(Debug, Clone)]
pub struct OwnPrekey {
    /// From when it may be sealed to.
    pub from: Timestamp,
    /// Until when it may be sealed to.
    pub until: Timestamp,
    /// The pair.
    pub secret: PrekeySecret,
}

#[derive(Encode, Decode)]
#[cbor(array)]
struct StoredPrekey {
    #[n(0)]
    from: Timestamp,
    #[n(1)]
    until: Timestamp,
    #[cbor(n(2), with = "minicbor::bytes")]
    seed: [u8; 32],
}

/// The secret halves of an office's prekeys.
#[derive(Debug, Clone, Default)]
pub struct Prekeys(Vec<OwnPrekey>);

/// A new office's keys, and the seed that the recovery shares are made of.
#[derive(Debug)]
pub struct NewOffice {
    /// The key file, not yet on disk.
    pub file: KeyFile,
    /// The opened keys.
    pub keys: Keys,
    /// The relay profile, not yet on disk.
    pub relay: RelayProfile,
    /// The prekeys, not yet on disk.
    pub prekeys: Prekeys,
    /// Split this into shares, print them, and forget it.
    pub recovery_seed: Secret,
    /// Print this on a second sheet: the next root key.
    pub next_root_seed: Secret,
}

/// The key that speaks for the office itself, from the seed that the recovery shares give.
pub(crate) fn root_key(seed: &Secret) -> SigningKey {
    SigningKey::from_seed(&seal::subkey(seed, "root"))
}

impl NewOffice {
    /// Draws all keys of a new office.
    ///
    /// # Errors
    /// When our own statements do not hold, which would be a bug.
    pub fn draw(
        name: &str,
        peer_id: impl Fn(&Secret) -> Vec<u8>,
        now: Timestamp,
        rng: &mut impl CryptoRng,
    ) -> Result<Self, KeyError> {
        let (recovery_seed, next_root_seed) = (Secret::random(rng), Secret::random(rng));
        let (root, next_root) = (root_key(&recovery_seed), root_key(&next_root_seed));
        let genesis = Genesis::new(root.verifying_key(), next_root.verifying_key(), name, now.s());
        let node_key = SigningKey::random(rng);
        let database = DatabaseId::random(rng);
        let office = genesis.office();
        let relay = RelayProfile { peer_seed: Secret::random(rng), receipt_key: SigningKey::random(rng), office };
        let prekeys = Prekeys::ahead(now, rng);

        let until_s = now.plus_days(NODE_KEY_DAYS).s();
        // A partner whose clock is behind ours should still believe the first things we sign.
        let from_s = now.s().saturating_sub(86_400);
        let certify = Step::CertifyMachine {
            peer: peer_id(&relay.peer_seed),
            receipt_key: relay.receipt_key.verifying_key(),
            until_s,
        };
        let publish = Step::PublishPrekeys { list: prekey_list_hash(&prekeys.published(now)) };
        let mut office_keys = OfficeKeys::genesis(&genesis);
        let mut log = Vec::new();
        for (step, key) in [
            (Step::Delegate { key: node_key.verifying_key(), from_s, until_s }, &root),
            (certify, &node_key),
            (publish, &node_key),
        ] {
            let signed = office_keys.write(step, now.s(), key);
            office_keys = office_keys.step(&signed)?;
            log.push(signed);
        }

        let keys = Keys {
            file_key: Secret::random(rng),
            office_key: Secret::random(rng),
            epoch: Epoch::first(rng),
            node_key,
            prekey_key: Secret::random(rng),
            database,
            office,
        };
        let recovery_key = seal::subkey(&recovery_seed, "recovery-slot");
        let recovery = seal::seal(&recovery_key, &recovery_place(&database), keys.file_key.expose(), rng);
        let file = KeyFile { version: 1, database, genesis, log, slots: Vec::new(), recovery, body: Vec::new() };
        Ok(Self { file, keys, relay, prekeys, recovery_seed, next_root_seed })
    }
}

fn recovery_place(database: &DatabaseId) -> Vec<u8> {
    [b"casemesh/1/recovery\0", &database.as_bytes()[..]].concat()
}

fn body_place(database: &DatabaseId) -> Vec<u8> {
    [b"casemesh/1/keys\0", &database.as_bytes()[..]].concat()
}

fn is_in_network(folder: &Path) -> bool {
    folder.join(crate::node::NETWORK_FILE).exists()
}

/// The form in which sign-in names are compared.
pub fn name_key(name: &str) -> String {
    use unicode_normalization::UnicodeNormalization as _;
    name.trim().nfkc().collect::<String>().to_lowercase()
}

impl KeyFile {
    /// Reads the key file of a data folder.
    ///
    /// # Errors
    /// When there is none, or it is damaged.
    pub fn read(folder: &Path) -> Result<Self, KeyError> {
        let path = folder.join(KEY_FILE);
        let bytes = disk::read_bounded(&path, KEY_FILE_BYTES_MAX)?.ok_or_else(|| KeyError::NoOffice(folder.into()))?;
        let file: Self = wire::decode(&bytes).map_err(|_| KeyError::Damaged(folder.into()))?;
        if file.version == 1 { Ok(file) } else { Err(KeyError::Damaged(folder.into())) }
    }

    /// Writes it, with these keys as its body.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn write(&mut self, folder: &Path, keys: &Keys, rng: &mut impl CryptoRng) -> Result<(), KeyError> {
        let body = zeroize_encode(&Body {
            office_key: *keys.office_key.expose(),
            epoch_number: keys.epoch.number(),
            epoch_key: *keys.epoch.key().expose(),
            node_key: *keys.node_key.to_seed().expose(),
            prekey_key: *keys.prekey_key.expose(),
        });
        self.body = seal::seal(&keys.file_key, &body_place(&self.database), &body, rng);
        disk::replace(&folder.join(KEY_FILE), &wire::encode(self))?;
        Ok(())
    }

    /// Gives a staff member a slot, or a new one for a new password.
    ///
    /// # Errors
    /// When the password cannot be used.
    pub fn set_slot(
        &mut self,
        keys: &Keys,
        staff: StaffId,
        name: &str,
        password: &str,
        cost: Cost,
        rng: &mut impl CryptoRng,
    ) -> Result<(), KeyError> {
        let slot = self.make_slot(keys, staff, name, password, cost, rng)?;
        self.put_slot(slot);
        Ok(())
    }

    /// A slot that opens nothing until it is put in its place.
    ///
    /// # Errors
    /// When the password cannot be used.
    pub fn make_slot(
        &self,
        keys: &Keys,
        staff: StaffId,
        name: &str,
        password: &str,
        cost: Cost,
        rng: &mut impl CryptoRng,
    ) -> Result<Slot, KeyError> {
        let slot =
            PasswordSlot::seal(&keys.file_key, password, staff.as_bytes(), cost, rng).map_err(KeyError::Password)?;
        Ok(Slot { staff, name: self.name_hash(name), slot })
    }

    /// Puts a slot in its place: what opened the office for this staff member before does not any more.
    pub fn put_slot(&mut self, slot: Slot) {
        self.slots.retain(|other| other.staff != slot.staff);
        self.slots.push(slot);
    }

    /// Takes a staff member's slot away.
    pub fn remove_slot(&mut self, staff: StaffId) {
        self.slots.retain(|slot| slot.staff != staff);
    }

    /// Whether a staff member can open the office.
    pub fn has_slot(&self, staff: StaffId) -> bool {
        self.slots.iter().any(|slot| slot.staff == staff)
    }

    fn name_hash(&self, name: &str) -> Digest {
        sha256(&[b"casemesh/1/name\0", self.database.as_bytes(), name_key(name).as_bytes()])
    }

    /// Opens the keys with a staff member's name and password. It takes as long for a name that nobody has.
    ///
    /// # Errors
    /// When name and password do not open a slot.
    pub fn open(&self, name: &str, password: &str) -> Result<(StaffId, Keys), KeyError> {
        let name = self.name_hash(name);
        let Some(slot) = self.slots.iter().find(|slot| slot.name == name) else {
            let cost = self.slots.first().map_or(Cost::FLOOR, |slot| slot.slot.cost());
            return match casemesh_crypto::passphrase::PasswordHash::nobody(cost).verify(password) {
                Err(error @ PasswordError::TooLong) => Err(KeyError::Password(error)),
                _ => Err(KeyError::WrongPassword),
            };
        };
        let file_key = slot.slot.open(password, slot.staff.as_bytes()).map_err(|error| match error {
            PasswordError::Wrong => KeyError::WrongPassword,
            other => KeyError::Password(other),
        })?;
        Ok((slot.staff, self.open_body(file_key)?))
    }

    /// Opens the keys with the seed that the recovery shares give.
    ///
    /// # Errors
    /// When the shares are of another office.
    pub fn open_with_seed(&self, seed: &Secret) -> Result<Keys, KeyError> {
        let key = seal::subkey(seed, "recovery-slot");
        let opened =
            seal::open(&key, &recovery_place(&self.database), &self.recovery).map_err(|_| KeyError::WrongShares)?;
        self.open_body(Secret::from_slice(&opened).ok_or(KeyError::WrongShares)?)
    }

    fn open_body(&self, file_key: Secret) -> Result<Keys, KeyError> {
        let damaged = || KeyError::Damaged(PathBuf::from(KEY_FILE));
        let body = seal::open(&file_key, &body_place(&self.database), &self.body).map_err(|_| damaged())?;
        let body: Body = wire::decode(&body).map_err(|_| damaged())?;
        Ok(Keys {
            file_key,
            office_key: Secret::new(body.office_key),
            epoch: Epoch::new(body.epoch_number, Secret::new(body.epoch_key)),
            node_key: SigningKey::from_seed(&Secret::new(body.node_key)),
            prekey_key: Secret::new(body.prekey_key),
            database: self.database,
            office: self.genesis.office(),
        })
    }

    /// From now on another seed opens the keys when every password is lost.
    pub fn set_recovery(&mut self, keys: &Keys, seed: &Secret, rng: &mut impl CryptoRng) {
        let key = seal::subkey(seed, "recovery-slot");
        self.recovery = seal::seal(&key, &recovery_place(&self.database), keys.file_key.expose(), rng);
    }

    /// What our own key log says.
    ///
    /// # Errors
    /// When it does not hold.
    pub fn office_keys(&self) -> Result<OfficeKeys, KeyError> {
        Ok(OfficeKeys::follow(&self.genesis, &self.log)?)
    }
}

fn zeroize_encode(body: &Body) -> zeroize::Zeroizing<Vec<u8>> {
    zeroize::Zeroizing::new(wire::encode(body))
}

impl RelayProfile {
    /// Reads the relay profile of a data folder.
    ///
    /// # Errors
    /// When there is none, or it is damaged.
    pub fn read(folder: &Path) -> Result<Self, KeyError> {
        let bytes = disk::read_bounded(&folder.join(RELAY_FILE), KEY_FILE_BYTES_MAX)?
            .ok_or_else(|| KeyError::NoOffice(folder.into()))?;
        let file: RelayFile = wire::decode(&bytes).map_err(|_| KeyError::Damaged(folder.into()))?;
        Ok(Self {
            peer_seed: Secret::new(file.peer_seed),
            receipt_key: SigningKey::from_seed(&Secret::new(file.receipt_seed)),
            office: file.office,
        })
    }

    /// Writes it.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn write(&self, folder: &Path) -> Result<(), KeyError> {
        let file = RelayFile {
            version: 1,
            office: self.office,
            peer_seed: *self.peer_seed.expose(),
            receipt_seed: *self.receipt_key.to_seed().expose(),
        };
        Ok(disk::replace(&folder.join(RELAY_FILE), &wire::encode(&file))?)
    }
}

/// The first prekeys are good from a day earlier, for partners whose clock is behind.
fn day_before(now: Timestamp) -> Timestamp {
    Timestamp::from_ms(now.ms().saturating_sub(86_400_000))
}

impl Prekeys {
    /// Prekeys for the coming season, one a week, each good for two.
    pub fn ahead(now: Timestamp, rng: &mut impl CryptoRng) -> Self {
        let mut prekeys = Self::default();
        prekeys.extend_from(day_before(now), now.plus_days(7 * PREKEY_WEEKS - 1), rng);
        prekeys
    }

    /// Adds prekeys, so that they reach a season ahead again.
    pub fn extend(&mut self, now: Timestamp, rng: &mut impl CryptoRng) {
        // Each is good for two weeks, and the next begins in the middle.
        let last = self.0.iter().map(|own| own.from.plus_days(7)).max().unwrap_or_default();
        self.extend_from(last.max(now), now.plus_days(7 * PREKEY_WEEKS), rng);
    }

    fn extend_from(&mut self, mut from: Timestamp, until: Timestamp, rng: &mut impl CryptoRng) {
        while from < until {
            self.0.push(OwnPrekey { from, until: from.plus_days(14), secret: PrekeySecret::random(rng) });
            from = from.plus_days(7);
        }
    }

    /// The public halves that can still be sealed to, as the card carries them.
    pub fn published(&self, now: Timestamp) -> PrekeyList {
        let list = self
            .0
            .iter()
            .filter(|own| now < own.until)
            .take(PREKEYS_MAX)
            .map(|own| PublishedPrekey { from: own.from, until: own.until, prekey: own.secret.public().clone() })
            .collect();
        List::new(list).unwrap_or_default()
    }

    /// Nobody is to seal to any of these from now on; others take their place. What is under way to them still opens.
    pub fn replace(&mut self, now: Timestamp, rng: &mut impl CryptoRng) {
        self.0.retain(|own| own.from < now);
        for own in &mut self.0 {
            own.until = own.until.min(now);
        }
        self.extend_from(day_before(now), now.plus_days(7 * PREKEY_WEEKS - 1), rng);
    }

    /// Destroys all secret halves on the disk: nothing that still comes can be opened.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn destroy(folder: &Path) -> io::Result<()> {
        disk::remove(&folder.join(PREKEY_FILE))
    }

    /// The secret half with that name.
    pub fn secret(&self, id: &PrekeyId) -> Option<&PrekeySecret> {
        self.0.iter().map(|own| &own.secret).find(|secret| secret.public().id() == *id)
    }

    /// Drops the secret halves to which no living packet can be sealed any more. Whether any was dropped.
    pub fn destroy_past(&mut self, now: Timestamp) -> bool {
        let before = self.0.len();
        let lifetime_ms = u64::from(PACKET_LIFETIME_HOURS) * 3_600_000;
        self.0.retain(|own| now <= own.until.plus_ms(lifetime_ms));
        self.0.len() < before
    }

    /// Reads the prekey file.
    ///
    /// # Errors
    /// When it is missing or damaged.
    pub fn read(folder: &Path, keys: &Keys) -> Result<Self, KeyError> {
        let Some(bytes) = disk::read_bounded(&folder.join(PREKEY_FILE), KEY_FILE_BYTES_MAX)? else {
            // An office that left its network destroyed them.
            return if is_in_network(folder) { Err(KeyError::Damaged(folder.into())) } else { Ok(Self::default()) };
        };
        let opened =
            seal::open(&keys.prekey_key, &prekey_place(keys), &bytes).map_err(|_| KeyError::Damaged(folder.into()))?;
        let stored: Vec<StoredPrekey> = wire::decode(&opened).map_err(|_| KeyError::Damaged(folder.into()))?;
        Ok(Self(
            stored
                .into_iter()
                .map(|prekey| OwnPrekey {
                    from: prekey.from,
                    until: prekey.until,
                    secret: PrekeySecret::from_seed(Secret::new(prekey.seed)),
                })
                .collect(),
        ))
    }

    /// Writes the prekey file.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn write(&self, folder: &Path, keys: &Keys, rng: &mut impl CryptoRng) -> Result<(), KeyError> {
        let stored: Vec<StoredPrekey> = self
            .0
            .iter()
            .map(|own| StoredPrekey { from: own.from, until: own.until, seed: *own.secret.seed().expose() })
            .collect();
        let sealed = seal::seal(&keys.prekey_key, &prekey_place(keys), &wire::encode(&stored), rng);
        Ok(disk::replace(&folder.join(PREKEY_FILE), &sealed)?)
    }
}

fn prekey_place(keys: &Keys) -> Vec<u8> {
    [b"casemesh/1/prekey-file\0", &keys.database.as_bytes()[..]].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use casemesh_crypto::random::os_rng;

    const NOW: Timestamp = Timestamp::from_s(1_795_000_000);

    fn office(folder: &Path) -> (NewOffice, StaffId) {
        let rng = &mut os_rng();
        let mut new = NewOffice::draw("Advice office", |seed| seed.expose()[..8].to_vec(), NOW, rng).unwrap();
        let staff = StaffId::random(rng);
        new.file.set_slot(&new.keys, staff, "Thandi", "six words make a good password", Cost::FLOOR, rng).unwrap();
        new.file.write(folder, &new.keys, rng).unwrap();
        new.prekeys.write(folder, &new.keys, rng).unwrap();
        new.relay.write(folder).unwrap();
        (new, staff)
    }

    #[test]
    fn name_and_password_or_the_shares_open_the_office_and_nothing_else_does() {
        let folder = tempfile::tempdir().unwrap();
        let (new, staff) = office(folder.path());
        let file = KeyFile::read(folder.path()).unwrap();
        let (who, keys) = file.open(" THANDI ", "six words make a good password").unwrap();
        assert_eq!(who, staff);
        assert_eq!(keys.office_key.expose(), new.keys.office_key.expose());
        for (name, password) in [("thandi", "six words"), ("sipho", "six words make a good password")] {
            assert!(matches!(file.open(name, password), Err(KeyError::WrongPassword)));
        }
        assert_eq!(file.open_with_seed(&new.recovery_seed).unwrap().office_key.expose(), new.keys.office_key.expose());
        assert!(matches!(file.open_with_seed(&new.next_root_seed), Err(KeyError::WrongShares)));
        assert_eq!(Prekeys::read(folder.path(), &keys).unwrap().published(NOW), new.prekeys.published(NOW));
    }

    #[test]
    fn the_new_office_can_show_a_card_that_holds() {
        use casemesh_protocol::directory::{Card, OfficeKind, OfficeRecord, Role};
        let folder = tempfile::tempdir().unwrap();
        let (new, _) = office(folder.path());
        let name = casemesh_protocol::terms::Line::new("Advice office").unwrap();
        let record = OfficeRecord::new(
            new.keys.office,
            name,
            OfficeKind::AdviceOffice,
            List::new(vec![Role::Office]).unwrap(),
            NOW,
        );
        let card = Card::write(new.file.genesis, new.file.log, &record, new.prekeys.published(NOW), &new.keys.node_key);
        assert!(card.verify().is_ok());
    }

    #[test]
    fn prekeys_are_destroyed_when_no_packet_to_them_can_live() {
        let mut prekeys = Prekeys::ahead(NOW, &mut os_rng());
        assert!(!prekeys.destroy_past(NOW.plus_days(13 + 30)));
        assert!(prekeys.destroy_past(NOW.plus_days(13 + 30 + 1)));
        assert_eq!(prekeys.published(NOW).as_slice().len(), 12);
    }

    #[test]
    fn prekeys_are_extended_to_a_season_ahead_without_a_gap() {
        let mut prekeys = Prekeys::ahead(NOW, &mut os_rng());
        for weeks in [5, 6, 20, 60] {
            let now = NOW.plus_days(7 * weeks);
            prekeys.extend(now, &mut os_rng());
            prekeys.destroy_past(now);
            let list = prekeys.published(now);
            assert!(list.iter().all(|prekey| prekey.until > now));
            for day in 0..7 * PREKEY_WEEKS {
                let then = now.plus_days(day);
                let good = list.iter().filter(|prekey| prekey.from <= then && then < prekey.until).count();
                assert!((1..=2).contains(&good), "{good} in week {weeks}, day {day}");
            }
        }
    }

    #[test]
    fn a_missing_or_damaged_key_file_says_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        let missing = KeyFile::read(folder.path()).unwrap_err().to_string();
        assert!(missing.contains("casemesh init"), "{missing}");
        std::fs::write(folder.path().join(KEY_FILE), b"nonsense").unwrap();
        let damaged = KeyFile::read(folder.path()).unwrap_err().to_string();
        assert!(damaged.contains("backup"), "{damaged}");
    }
}
