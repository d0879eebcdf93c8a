//! The key table: `keys/<epoch>.tbl`, all living keys of an epoch wrapped under its key, outside journal and
//! view. Keys made since it was written ride in the journal. A keyed hash at its end shows any change.

use super::VaultError;
use crate::disk;
use crate::journal::DatabaseId;
use casemesh_crypto::hash::keyed_name;
use casemesh_crypto::random::CryptoRng;
use casemesh_crypto::seal;
use casemesh_crypto::shred::{Epoch, KeyHandle, KeyRing, WrappedKey};
use casemesh_crypto::{token, wire};
use minicbor::{Decode, Encode};
use std::path::{Path, PathBuf};

/// Far above a million persons.
const TABLE_BYTES_MAX: u64 = 1024 * 1024 * 1024;

/// What the table holds.
#[derive(Debug, Clone, Encode, Decode)]
#[cbor(array)]
pub(super) struct Table {
    #[n(0)]
    version: u8,
    #[n(1)]
    database: DatabaseId,
    #[n(2)]
    epoch: u32,
    /// Keys in later journal entries are not in it.
    #[n(3)]
    pub(super) through: u64,
    #[n(4)]
    keys: Vec<WrappedKey>,
    /// The erasure ledger: handles whose keys were destroyed.
    #[n(5)]
    pub(super) erased: Vec<KeyHandle>,
}

fn path(folder: &Path, epoch: u32) -> PathBuf {
    folder.join("keys").join(format!("{epoch:08}.tbl"))
}

impl Table {
    pub(super) fn new(
        database: DatabaseId,
        ring: &KeyRing,
        epoch: &Epoch,
        through: u64,
        erased: Vec<KeyHandle>,
        rng: &mut impl CryptoRng,
    ) -> Self {
        Self { version: 1, database, epoch: epoch.number(), through, keys: ring.wrap_all(epoch, rng), erased }
    }

    pub(super) fn write(&self, folder: &Path, epoch: &Epoch) -> Result<(), VaultError> {
        let path = path(folder, epoch.number());
        if let Some(parent) = path.parent() {
            disk::make_folder(parent)?;
        }
        let mut bytes = wire::encode(self);
        let mac = keyed_name(&seal::subkey(epoch.key(), "table"), &[&bytes]);
        bytes.extend(mac.as_bytes());
        Ok(disk::replace(&path, &bytes)?)
    }

    /// Reads the table of an epoch into a ring. None was written yet for a new office.
    pub(super) fn read(
        folder: &Path,
        database: DatabaseId,
        epoch: &Epoch,
    ) -> Result<Option<(Self, KeyRing)>, VaultError> {
        let Some(bytes) = disk::read_bounded(&path(folder, epoch.number()), TABLE_BYTES_MAX)? else { return Ok(None) };
        let (body, mac) = bytes.split_last_chunk::<32>().ok_or(VaultError::DamagedRecord)?;
        let expected = keyed_name(&seal::subkey(epoch.key(), "table"), &[body]);
        if !token::equal(expected.as_bytes(), mac) {
            return Err(VaultError::DamagedRecord);
        }
        let table: Self = wire::decode(body).map_err(|_| VaultError::DamagedRecord)?;
        if table.database != database || table.epoch != epoch.number() {
            return Err(VaultError::DamagedRecord);
        }
        let mut ring = KeyRing::default();
        for key in &table.keys {
            ring.admit(epoch, key).map_err(|_| VaultError::DamagedRecord)?;
        }
        Ok(Some((table, ring)))
    }

    /// Removes the tables of all other epochs.
    pub(super) fn remove_others(folder: &Path, epoch: u32) -> Result<(), VaultError> {
        let keep = path(folder, epoch);
        let Some(parent) = keep.parent() else { return Ok(()) };
        for entry in std::fs::read_dir(parent)? {
            let entry = entry?.path();
            if entry != keep {
                std::fs::remove_file(entry)?;
            }
        }
        Ok(disk::sync_parent(&keep)?)
    }
}
