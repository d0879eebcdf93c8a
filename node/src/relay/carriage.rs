//! How sealed files travel: whoever awaits one asks for piece after piece, at the sender or at a hub; who has one for an office that is
//! away leaves it at that office's hub.

use super::{Asked, Thread};
use crate::blobs::{BlobRow, Blobs, Progress};
use crate::net::Channel;
use casemesh_crypto::hash::Digest;
use casemesh_crypto::wire;
use casemesh_protocol::delivery::{HUB_AFTER_MS, HUB_AGAIN_MS};
use casemesh_protocol::frame::{BlobAnswer, BlobRequest, Rejection};
use casemesh_protocol::id::OfficeId;
use casemesh_protocol::mailbox::BLOB_DAYS;
use casemesh_protocol::time::Timestamp;
use std::collections::{HashMap, HashSet};

/// A question about a file that came to nothing is asked again after so long.
const RETRY_MS: u64 = 15_000;
/// Files that are on their way at the same time: a slow line carries few.
const UNDER_WAY_MAX: usize = 4;

/// The files, and which of them are asked about now.
pub(super) struct Carriage {
    pub(super) blobs: Blobs,
    /// A question about it is out.
    asked: HashSet<Digest>,
    /// It is not asked about before then.
    rests: HashMap<Digest, Timestamp>,
    /// How often a question about it came to nothing: the next one goes to another who may have it.
    in_vain: HashMap<Digest, usize>,
    /// How much of ours lies at the hub of whom it is for.
    left: HashMap<Digest, u64>,
}

impl Carriage {
    pub(super) fn new(blobs: Blobs) -> Self {
        Self { blobs, asked: HashSet::new(), rests: HashMap::new(), in_vain: HashMap::new(), left: HashMap::new() }
    }

    /// Nothing came of it for now.
    pub(super) fn rest(&mut self, file: Digest, now: Timestamp) {
        self.rest_for(file, now, RETRY_MS);
    }

    fn rest_for(&mut self, file: Digest, now: Timestamp, ms: u64) {
        self.asked.remove(&file);
        *self.in_vain.entry(file).or_default() += 1;
        self.rests.insert(file, now.plus_ms(ms));
    }

    fn is_due(&self, file: &Digest, now: Timestamp) -> bool {
        !self.asked.contains(file) && self.rests.get(file).is_none_or(|until| *until <= now)
    }
}

impl Thread {
    /// Answers a member about files.
    pub(super) fn serve_blob(&mut self, from: Option<OfficeId>, request: BlobRequest) -> BlobAnswer {
        let Some(from) = from else { return BlobAnswer::Rejected(Rejection::HelloFirst) };
        if let BlobRequest::Put { to, .. } = &request
            && self.directory.as_ref().is_none_or(|directory| directory.member(to).is_none())
        {
            return BlobAnswer::Rejected(Rejection::NotServed);
        }
        let (is_hub, now) = (self.mailboxes.is_some(), self.clock.now());
        let is_got = matches!(request, BlobRequest::Got(_));
        let answer = self.carriage.blobs.serve(from, request, is_hub, now).unwrap_or_else(|error| {
            tracing::warn!(kind = %error.kind(), "a file could not be served; it is asked for again");
            BlobAnswer::Nothing
        });
        match &answer {
            BlobAnswer::Piece(piece) => self.status().bytes_sent += piece.len() as u64,
            _ if is_got => (self.wake)(),
            _ => {}
        }
        answer
    }

    /// Asks for what is awaited, and leaves what waits for offices that are away.
    pub(super) fn carry_files(&mut self, now: Timestamp) {
        let wanted = self.carriage.blobs.wanted();
        for row in wanted {
            if self.carriage.asked.len() < UNDER_WAY_MAX && self.carriage.is_due(&row.file, now) {
                self.ask_for_piece(&row, now);
            }
        }
        for row in self.carriage.blobs.offered() {
            let is_away = !self.present.contains_key(&row.office) && row.since.plus_ms(HUB_AFTER_MS) <= now;
            if is_away && self.carriage.asked.len() < UNDER_WAY_MAX && self.carriage.is_due(&row.file, now) {
                self.leave_piece(&row, now);
            }
        }
    }

    /// At the sender and at our hubs, in turn, as far as their lines stand.
    fn ask_for_piece(&mut self, row: &BlobRow, now: Timestamp) {
        let own = self.directory.as_ref().and_then(|directory| directory.member(&self.profile.office));
        let hubs = own.map(|own| own.record.hubs.clone()).unwrap_or_default();
        let who = std::iter::once(&row.office).chain(hubs.iter()).filter_map(|office| self.present.get(office));
        let who: Vec<_> = who.collect();
        let turn = self.carriage.in_vain.get(&row.file).copied().unwrap_or(0).checked_rem(who.len()).unwrap_or(0);
        let Some(peer) = who.get(turn).map(|peer| (*peer).clone()) else { return };
        self.carriage.asked.insert(row.file);
        self.carriage.rests.insert(row.file, now);
        let request = BlobRequest::Get { file: row.file, at: self.carriage.blobs.have(&row.file) };
        self.ask(peer, Channel::Blob, wire::encode(&request), Asked::Piece(row.file));
    }

    pub(super) fn piece_came(&mut self, file: Digest, answer: Option<BlobAnswer>) {
        let now = self.clock.now();
        self.carriage.asked.remove(&file);
        let Some(row) = self.carriage.blobs.wanted().into_iter().find(|row| row.file == file) else { return };
        let Some(BlobAnswer::Piece(piece)) = answer else { return self.carriage.rest(file, now) };
        self.status().bytes_received += piece.len() as u64;
        let at = self.carriage.blobs.have(&file);
        match self.carriage.blobs.take_piece(&file, at, &piece) {
            Ok(Progress::Here(here)) if here > at => self.ask_for_piece(&row, now),
            Ok(Progress::Here(_)) => self.carriage.rest(file, now),
            Ok(Progress::Whole) => {
                self.carriage.in_vain.remove(&file);
                self.tell_got(&row);
                (self.wake)();
            }
            Err(error) => {
                tracing::warn!(kind = %error.kind(), "a piece of a file could not be kept; it is asked for again");
                self.carriage.rest(file, now);
            }
        }
    }

    /// Sender and hubs need not keep it any more.
    fn tell_got(&mut self, row: &BlobRow) {
        let offices = std::iter::once(row.office).chain(self.hubs.keys().copied());
        let peers: Vec<_> = offices.filter_map(|office| self.present.get(&office).cloned()).collect();
        for peer in peers {
            self.ask(peer, Channel::Blob, wire::encode(&BlobRequest::Got(row.file)), Asked::Told);
        }
    }

    fn leave_piece(&mut self, row: &BlobRow, now: Timestamp) {
        let member = self.directory.as_ref().and_then(|directory| directory.member(&row.office));
        let hubs = member.map(|member| member.record.hubs.clone()).unwrap_or_default();
        let Some(hub) = hubs.iter().find(|hub| **hub != self.profile.office).copied() else { return };
        let left = self.carriage.left.get(&row.file).copied();
        if left == Some(row.bytes) {
            // It lies there; after a day it is looked whether it still does.
            self.carriage.left.remove(&row.file);
            return self.carriage.rest_for(row.file, now, HUB_AGAIN_MS);
        }
        self.hubs.entry(hub).or_default();
        let Some(peer) = self.present.get(&hub).cloned() else { return };
        // Without a piece the hub says how far it came.
        let piece = match left {
            None => Ok(Vec::new()),
            Some(at) => self.carriage.blobs.read_out_piece(&row.file, at),
        };
        let Ok(piece) = piece else { return self.carriage.rest(row.file, now) };
        let at = left.unwrap_or(0);
        let expires = row.expires.min(now.plus_days(BLOB_DAYS));
        let request = BlobRequest::Put { to: row.office, file: row.file, bytes: row.bytes, at, expires, piece };
        self.carriage.asked.insert(row.file);
        self.ask(peer, Channel::Blob, wire::encode(&request), Asked::Left(row.file));
    }

    pub(super) fn piece_left(&mut self, file: Digest, answer: Option<BlobAnswer>) {
        let now = self.clock.now();
        self.carriage.asked.remove(&file);
        let Some(row) = self.carriage.blobs.offered().into_iter().find(|row| row.file == file) else { return };
        match answer {
            Some(BlobAnswer::Have(here)) => {
                let before = self.carriage.left.insert(file, here);
                if before != Some(here) {
                    self.leave_piece(&row, now);
                } else {
                    self.carriage.rest(file, now);
                }
            }
            // No room, or no hub: later, or by another road.
            _ => self.carriage.rest_for(file, now, 60 * RETRY_MS),
        }
    }
}
