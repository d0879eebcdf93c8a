//! The lobby of a registrar, where offices with an invitation knock, and the knocking. Nobody gets any further here than to leave a card
//! and to wait: who is let in, a person decides at a desk.
//!
//! ```text
//! lobby/key             the machine key of the lobby: not the node's own
//! lobby/ID.invitation   an invitation that is open, for whom, and who knocked with it
//! joining               at an office that wants to join: the invitation that it was given
//! ```

use crate::clock::Clock;
use crate::disk;
use crate::keys::RelayProfile;
use crate::net::{self, Channel, Command, Door, Event, Net, NetError, Peer};
use crate::node::{NodeError, findable, read_card};
use casemesh_crypto::hash::Digest;
use casemesh_crypto::random::os_rng;
use casemesh_crypto::secret::Secret;
use casemesh_crypto::{token, wire};
use casemesh_protocol::bounded::List;
use casemesh_protocol::directory::{Card, Directory, NetworkFile};
use casemesh_protocol::id::OfficeId;
use casemesh_protocol::join::{
    INVITATION_DAYS, Invitation, InvitationId, InvitationSecret, JOIN_PIECE_BYTES_MAX, JoinAnswer, JoinRequest, id_of,
    proof,
};
use casemesh_protocol::limits::DIRECTORY_BYTES_MAX;

use casemesh_protocol::time::Timestamp;
use minicbor::{Decode, Encode};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Invitations that are open at a time.
const INVITATIONS_MAX: usize = 64;
/// Questions that wait at a lobby.
const WAITING_MAX: usize = 64;
/// How long a line or an answer is waited for.
const PATIENCE: Duration = Duration::from_secs(20);
/// The network file comes within that time, or it is tried again later.
const FILE_WITHIN: Duration = Duration::from_secs(300);
const JOINING_FILE: &str = "joining";
const INVITATION_BYTES_MAX: u64 = 512 * 1024;

/// An invitation that is open.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Open {
    #[n(0)]
    secret: InvitationSecret,
    /// Until when.
    #[n(1)]
    pub expires: Timestamp,
    /// For whom, in words.
    #[n(2)]
    pub note: String,
    /// Who knocked with it: the machine and the card. Nobody else can from then on.
    #[n(3)]
    pub knock: Option<Knocked>,
}

/// Who knocked.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Knocked {
    #[cbor(n(0), with = "minicbor::bytes")]
    peer: Vec<u8>,
    /// The card.
    #[cbor(n(1), with = "minicbor::bytes")]
    pub card: Vec<u8>,
}

/// The lobby of a registrar.
#[derive(Clone)]
pub struct Lobby {
    folder: PathBuf,
    address: String,
    /// Where others find it.
    announced: String,
    /// Held while an invitation is read and written.
    changing: Arc<Mutex<()>>,
    net: Arc<Mutex<Option<Net>>>,
}

impl std::fmt::Debug for Lobby {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Lobby({})", self.address)
    }
}

impl Lobby {
    /// The lobby of a data folder, at the address that its configuration names, and where others find it.
    pub fn new(folder: &Path, address: &str, announced: &str) -> Self {
        let (folder, address, announced) = (folder.join("lobby"), address.to_owned(), announced.to_owned());
        Self { folder, address, announced, changing: Arc::default(), net: Arc::default() }
    }

    fn seed(&self) -> io::Result<Secret> {
        disk::make_folder(&self.folder)?;
        let path = self.folder.join("key");
        if let Some(seed) = disk::read_bounded(&path, 32)?.and_then(|bytes| Secret::from_slice(&bytes)) {
            return Ok(seed);
        }
        let seed = Secret::random(&mut os_rng());
        disk::replace(&path, seed.expose())?;
        Ok(seed)
    }

    fn path(&self, id: &InvitationId) -> PathBuf {
        self.folder.join(format!("{id}.invitation"))
    }

    /// Makes an invitation for somebody.
    ///
    /// # Errors
    /// When too many are open, or the disk refuses.
    pub fn invite(
        &self,
        (network, registrar): (Digest, OfficeId),
        note: &str,
        now: Timestamp,
    ) -> Result<Invitation, NodeError> {
        if self.invitations(now)?.len() >= INVITATIONS_MAX {
            return Err(NodeError::Input("too many invitations are open; take one back first".into()));
        }
        let wrong = |error: NetError| NodeError::Relay(error.into());
        let lobby = net::peer_of(&self.seed()?).map_err(wrong)?.0;
        let address = findable(&self.announced, "announce_lobby")?;
        let long = |error: casemesh_protocol::bounded::TooLong| NodeError::Config(error.to_string());
        let addresses = List::new(vec![address]).map_err(long)?;
        let (secret, expires) = (InvitationSecret::random(&mut os_rng()), now.plus_days(INVITATION_DAYS));
        let invitation = Invitation::new((network, registrar), (lobby, addresses), secret, expires);
        let open = Open { secret, expires, note: note.to_owned(), knock: None };
        disk::replace(&self.path(&invitation.id()), &wire::encode(&open))?;
        Ok(invitation)
    }

    /// Invitations that are open; those whose time is over are let go.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn invitations(&self, now: Timestamp) -> io::Result<Vec<(InvitationId, Open)>> {
        let mut all = Vec::new();
        if !self.folder.is_dir() {
            return Ok(all);
        }
        for entry in fs::read_dir(&self.folder)? {
            let path = entry?.path();
            let id = path.file_stem().and_then(|stem| stem.to_str()).and_then(|stem| stem.parse::<InvitationId>().ok());
            let Some(id) = id.filter(|_| path.extension().is_some_and(|kind| kind == "invitation")) else { continue };
            match self.open(&id)? {
                Some(open) if now < open.expires => all.push((id, open)),
                _ => disk::remove(&path)?,
            }
        }
        all.sort_by_key(|(id, open)| (open.expires, *id));
        Ok(all)
    }

    fn open(&self, id: &InvitationId) -> io::Result<Option<Open>> {
        let bytes = disk::read_bounded(&self.path(id), INVITATION_BYTES_MAX)?;
        Ok(bytes.and_then(|bytes| wire::decode(&bytes).ok()))
    }

    /// Takes an invitation back.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn take_back(&self, id: &InvitationId) -> io::Result<()> {
        let _held = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        disk::remove(&self.path(id))
    }

    /// Listens while invitations are open, and not otherwise. `directory` tells who is in.
    pub fn keep(
        &self,
        now: Timestamp,
        clock: &Clock,
        directory: Arc<dyn Fn() -> Option<Arc<Directory>> + Send + Sync>,
    ) {
        let is_open = self.invitations(now).is_ok_and(|all| !all.is_empty());
        let mut net = self.net.lock().unwrap_or_else(PoisonError::into_inner);
        if !is_open {
            *net = None;
        } else if net.is_none() {
            match self.listen(clock.clone(), directory) {
                Ok(started) => *net = Some(started),
                Err(error) => tracing::warn!(%error, "the lobby cannot be opened; invitations cannot be used yet"),
            }
        }
    }

    /// Closes it.
    pub fn close(&self) {
        *self.net.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    fn listen(
        &self,
        clock: Clock,
        directory: Arc<dyn Fn() -> Option<Arc<Directory>> + Send + Sync>,
    ) -> Result<Net, NodeError> {
        let (seed, (events, waiting)) = (self.seed()?, sync_channel(WAITING_MAX));
        let wrong = |error: NetError| NodeError::Relay(error.into());
        let own = net::peer_of(&seed).map_err(wrong)?.0;
        let take = Box::new(move |event| events.try_send(event).is_ok());
        let net = Net::start_at(Door::Lobby, &seed, std::slice::from_ref(&self.address), take).map_err(wrong)?;
        let (lobby, answers) = (self.clone(), net.weak());
        std::thread::Builder::new().name("lobby".into()).spawn(move || {
            while let Ok(event) = waiting.recv() {
                let Event::Asked { peer, channel: Channel::Join, frame, request } = event else { continue };
                let answer = lobby.answer(&own, &peer, &frame, directory().as_deref(), clock.now());
                let answer = answer.unwrap_or_else(|error| {
                    tracing::warn!(kind = %error.kind(), "the lobby cannot read or write its invitations");
                    JoinAnswer::Waiting
                });
                answers.send(Command::Answer { request, frame: wire::encode(&answer) });
            }
        })?;
        Ok(net)
    }

    fn answer(
        &self,
        own: &[u8],
        peer: &Peer,
        frame: &[u8],
        directory: Option<&Directory>,
        now: Timestamp,
    ) -> io::Result<JoinAnswer> {
        let _held = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let Ok(request) = wire::decode::<JoinRequest>(frame) else { return Ok(JoinAnswer::Refused) };
        let (JoinRequest::Knock { invitation, .. } | JoinRequest::File { invitation, .. }) = &request;
        let Some(mut open) = self.open(invitation)?.filter(|open| now < open.expires) else {
            return Ok(JoinAnswer::Refused);
        };
        if open.knock.as_ref().is_some_and(|knock| knock.peer != peer.0) {
            return Ok(JoinAnswer::Refused);
        }
        let holds = |shown: &Digest, card: &[u8]| {
            token::equal(shown.as_bytes(), proof(&open.secret, own, &peer.0, card).as_bytes())
        };
        let is_in = |card: &[u8]| {
            let office = wire::decode::<Card>(card).ok().map(|card| card.genesis.office());
            office.zip(directory).is_some_and(|(office, directory)| directory.member(&office).is_some())
        };
        match request {
            JoinRequest::Knock { proof: shown, card, .. } => {
                let held = wire::decode::<Card>(&card).ok().and_then(|card| card.verify().ok());
                let is_own = held.is_some_and(|member| member.keys.machine(&peer.0, now.s()).is_some());
                if !holds(&shown, &card) || !is_own {
                    return Ok(JoinAnswer::Refused);
                }
                let is_in = is_in(&card);
                let knock = Some(Knocked { peer: peer.0.clone(), card });
                if open.knock != knock {
                    open.knock = knock;
                    disk::replace(&self.path(&id_of(&open.secret)), &wire::encode(&open))?;
                }
                let file = directory.filter(|_| is_in).map(|directory| wire::encode(&directory.file()));
                Ok(file.map_or(JoinAnswer::Waiting, |file| JoinAnswer::Welcome(file.len() as u64)))
            }
            JoinRequest::File { proof: shown, at, .. } => {
                let Some(knock) = open.knock.as_ref().filter(|knock| holds(&shown, &knock.card)) else {
                    return Ok(JoinAnswer::Refused);
                };
                let Some(directory) = directory.filter(|_| is_in(&knock.card)) else {
                    return Ok(JoinAnswer::Waiting);
                };
                let file = wire::encode(&directory.file());
                let rest = usize::try_from(at).ok().and_then(|at| file.get(at..)).unwrap_or_default();
                Ok(JoinAnswer::Piece(rest.iter().take(JOIN_PIECE_BYTES_MAX).copied().collect()))
            }
        }
    }
}

/// How knocking went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reception {
    /// The lobby cannot be reached now.
    NoLine,
    /// Somebody has to look at the card.
    Waiting,
    /// The invitation was used by another, taken back, or its time is over.
    Refused,
    /// The office is in: the network file.
    In(Vec<u8>),
}

/// The invitation that an office was given and has not used up.
///
/// # Errors
/// When the disk refuses.
pub fn joining(folder: &Path) -> io::Result<Option<Invitation>> {
    let text = disk::read_bounded(&folder.join(JOINING_FILE), 16 * 1024)?;
    Ok(text.and_then(|text| Invitation::from_text(std::str::from_utf8(&text).ok()?).ok()))
}

/// Keeps the invitation that an office was given, until it is in.
///
/// # Errors
/// When the text is no invitation, its time is over, or the disk refuses.
pub fn begin_joining(folder: &Path, text: &str, now: Timestamp) -> Result<Invitation, NodeError> {
    let invitation = Invitation::from_text(text).map_err(|error| NodeError::Input(error.to_string()))?;
    if invitation.expires <= now {
        return Err(NodeError::Input("this invitation was good until a day that is over; ask for a new one".into()));
    }
    disk::replace(&folder.join(JOINING_FILE), invitation.to_text().as_bytes())?;
    Ok(invitation)
}

/// The office is in, or does not want to be.
///
/// # Errors
/// When the disk refuses.
pub fn end_joining(folder: &Path) -> io::Result<()> {
    disk::remove(&folder.join(JOINING_FILE))
}

/// Knocks once, with the office's own machine key: the card names it. Needs a tokio runtime around it.
///
/// # Errors
/// When the disk or the network refuses.
pub fn knock(folder: &Path, invitation: &Invitation) -> Result<Reception, NodeError> {
    let (card, profile) = (read_card(folder)?, RelayProfile::read(folder)?);
    let wrong = |error: NetError| NodeError::Relay(error.into());
    let own = net::peer_of(&profile.peer_seed).map_err(wrong)?.0;
    let (sender, events) = sync_channel(WAITING_MAX);
    let take = Box::new(move |event| sender.try_send(event).is_ok());
    let net = Net::start_at(Door::Members, &profile.peer_seed, &[], take).map_err(wrong)?;
    let lobby = Peer(invitation.lobby.clone());
    net.send(Command::Allow(vec![lobby.clone()]));
    let addresses = invitation.addresses.iter().map(ToString::to_string).collect();
    net.send(Command::Dial { peer: lobby.clone(), addresses });
    if !is_connected(&events) {
        return Ok(Reception::NoLine);
    }
    let (id, proof) = (invitation.id(), invitation.proof(&own, &card));
    let ask = |request: &JoinRequest| {
        let (peer, frame) = (lobby.clone(), wire::encode(request));
        net.send(Command::Ask { peer, channel: Channel::Join, frame, tag: 0 });
        answer(&events)
    };
    let length = match ask(&JoinRequest::Knock { invitation: id, proof, card }) {
        None => return Ok(Reception::NoLine),
        Some(JoinAnswer::Welcome(length)) => length,
        Some(JoinAnswer::Refused) => return Ok(Reception::Refused),
        Some(JoinAnswer::Waiting | JoinAnswer::Piece(_)) => return Ok(Reception::Waiting),
    };
    let (mut file, since): (Vec<u8>, _) = (Vec::new(), Instant::now());
    let length = length.min(DIRECTORY_BYTES_MAX as u64);
    while (file.len() as u64) < length {
        let whole = (length - file.len() as u64).min(JOIN_PIECE_BYTES_MAX as u64);
        match ask(&JoinRequest::File { invitation: id, proof, at: file.len() as u64 }) {
            Some(JoinAnswer::Piece(piece)) if piece.len() as u64 == whole && since.elapsed() < FILE_WITHIN => {
                file.extend(piece);
            }
            _ => return Ok(Reception::NoLine),
        }
    }
    // What a lobby gives is a network file of the network that the invitation names, or nothing.
    NetworkFile::read(&file)?;
    Directory::read(&file, Some(&invitation.network))?;
    Ok(Reception::In(file))
}

fn is_connected(events: &Receiver<Event>) -> bool {
    loop {
        match events.recv_timeout(PATIENCE) {
            Ok(Event::Connected(_)) => return true,
            Ok(Event::Unreachable(_)) | Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                return false;
            }
            Ok(_) => {}
        }
    }
}

fn answer(events: &Receiver<Event>) -> Option<JoinAnswer> {
    loop {
        match events.recv_timeout(PATIENCE).ok()? {
            Event::Answered { frame, .. } => return wire::decode(&frame).ok(),
            Event::Unanswered { .. } | Event::Unreachable(_) => return None,
            _ => {}
        }
    }
}
