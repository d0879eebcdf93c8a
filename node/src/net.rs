//! The network: one task that owns the libp2p swarm and does nothing else. It knows peers and frames, not
//! offices and packets. Commands come in, events go out, both over bounded queues; when the other side
//! is slow, an inbound request is dropped and its sender asks again.
//!
//! The lessons of the probes stand here: a connection counts for nothing until the hello above it
//! succeeds; a request that times out closes its connection (a sleeping laptop looks connected); a
//! stranger is cut off right after the handshake; a gap in time means the machine slept.

use casemesh_crypto::secret::Secret;
use casemesh_protocol::frame::name;
use casemesh_protocol::join::JOIN_FRAME_BYTES_MAX;
use casemesh_protocol::limits::{
    BLOB_FRAME_BYTES_MAX, HELLO_FRAME_BYTES_MAX, MAILBOX_FRAME_BYTES_MAX, PACKET_FRAME_BYTES_MAX,
};
use futures::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, StreamExt as _};
use libp2p::connection_limits::{self, ConnectionLimits};
use libp2p::multiaddr::Protocol;
use libp2p::request_response::{self as rr, OutboundRequestId, ProtocolSupport, ResponseChannel};
use libp2p::swarm::behaviour::toggle::Toggle;
use libp2p::swarm::dial_opts::{DialOpts, PeerCondition};
use libp2p::swarm::{NetworkBehaviour, SwarmEvent};
use libp2p::{
    Multiaddr, PeerId, StreamProtocol, Swarm, TransportError, allow_block_list, identity, noise, ping, tcp, yamux,
};
use std::collections::{HashMap, HashSet};
use std::io;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// A machine on the network: its libp2p peer id, as bytes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Peer(pub Vec<u8>);

/// Which protocol a frame belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Channel {
    /// The first exchange.
    Hello,
    /// Packets.
    Packet,
    /// A hub's mailboxes.
    Mailbox,
    /// Sealed files.
    Blob,
    /// A registrar's lobby.
    Join,
}

/// Who gets in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Door {
    /// Machines that were allowed, and no others.
    Members,
    /// A few strangers at a time, who can knock and nothing else.
    Lobby,
}

/// What the network is told to do.
#[derive(Debug)]
pub enum Command {
    /// These machines, and no others, may connect.
    Allow(Vec<Peer>),
    /// Connect to a machine at one of these addresses.
    Dial {
        /// Which machine.
        peer: Peer,
        /// Where it may be.
        addresses: Vec<String>,
    },
    /// Ask a connected machine; the answer carries the tag.
    Ask {
        /// Which machine.
        peer: Peer,
        /// On which protocol.
        channel: Channel,
        /// The frame.
        frame: Vec<u8>,
        /// Comes back with the answer.
        tag: u64,
    },
    /// Answer an inbound request.
    Answer {
        /// Which request.
        request: u64,
        /// The frame.
        frame: Vec<u8>,
    },
    /// Cut a machine off.
    Disconnect(Peer),
}

/// What happened on the network.
#[derive(Debug)]
pub enum Event {
    /// We can be reached at this address.
    Listening(String),
    /// A connection stands. It proves nothing yet.
    Connected(Peer),
    /// The last connection to a machine ended, or none could be made.
    Unreachable(Peer),
    /// A machine asks.
    Asked {
        /// Which machine.
        peer: Peer,
        /// On which protocol.
        channel: Channel,
        /// The frame.
        frame: Vec<u8>,
        /// To answer it.
        request: u64,
    },
    /// A machine answered.
    Answered {
        /// Of the question.
        tag: u64,
        /// The frame.
        frame: Vec<u8>,
    },
    /// A question has no answer.
    Unanswered {
        /// Of the question.
        tag: u64,
    },
    /// This machine slept; what was connected may not be.
    Woke,
}

/// How long a question waits for its answer.
const ASK_TIMEOUT: Duration = Duration::from_secs(30);
/// An office pings its hubs this often: 5 MB a fortnight is all a poor line should pay.
const PING_INTERVAL: Duration = Duration::from_secs(240);
const PING_TIMEOUT: Duration = Duration::from_secs(20);
/// A connection without questions is kept so long.
const IDLE_TIMEOUT: Duration = Duration::from_secs(3600);
const PENDING_INCOMING_MAX: u32 = 32;
const CONNECTIONS_PER_PEER_MAX: u32 = 3;
const CONNECTIONS_MAX: u32 = 2048;
/// Strangers at a lobby at a time.
const LOBBY_CONNECTIONS_MAX: u32 = 8;
/// A stranger who says nothing is shown out after so long.
const LOBBY_IDLE_TIMEOUT: Duration = Duration::from_secs(30);
/// Questions of one channel on one connection, both ways together: as many packets as are under way at a time, and room.
const STREAMS_PER_PEER_MAX: usize = 40;
/// Inbound questions that wait for an answer of ours.
const OPEN_REQUESTS_MAX: usize = 4096;
const COMMANDS_WAITING_MAX: usize = 1024;
/// A step of the clock beyond this means that the machine slept.
const SLEPT_AFTER: Duration = Duration::from_secs(20);
const TICK: Duration = Duration::from_secs(5);

/// The network cannot start.
#[derive(Debug, thiserror::Error)]
#[error("the network cannot start: {0}")]
pub struct NetError(String);

fn net_error(error: impl std::fmt::Display) -> NetError {
    NetError(error.to_string())
}

fn keypair(seed: &Secret) -> Result<identity::Keypair, NetError> {
    identity::Keypair::ed25519_from_bytes(*seed.expose()).map_err(net_error)
}

/// The peer id of a machine with that seed.
///
/// # Errors
/// When the seed is no key, which no 32 bytes are.
pub fn peer_of(seed: &Secret) -> Result<Peer, NetError> {
    Ok(Peer(keypair(seed)?.public().to_peer_id().to_bytes()))
}

/// Frames of one protocol: `u32be(length)` and that many bytes, at most `max`.
#[derive(Debug, Clone)]
struct Frames {
    max: usize,
}

impl Frames {
    async fn read<T: AsyncRead + Unpin + Send>(&self, io: &mut T) -> io::Result<Vec<u8>> {
        let mut length = [0u8; 4];
        io.read_exact(&mut length).await?;
        let length = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
        if length > self.max {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "frame too long"));
        }
        let mut frame = vec![0u8; length];
        io.read_exact(&mut frame).await?;
        Ok(frame)
    }

    async fn write<T: AsyncWrite + Unpin + Send>(&self, io: &mut T, frame: &[u8]) -> io::Result<()> {
        let length = u32::try_from(frame.len()).ok().filter(|_| frame.len() <= self.max);
        let length = length.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "frame too long"))?;
        io.write_all(&length.to_be_bytes()).await?;
        io.write_all(frame).await?;
        io.close().await
    }
}

impl rr::Codec for Frames {
    type Protocol = StreamProtocol;
    type Request = Vec<u8>;
    type Response = Vec<u8>;

    async fn read_request<T>(&mut self, _: &StreamProtocol, io: &mut T) -> io::Result<Vec<u8>>
    where
        T: AsyncRead + Unpin + Send,
    {
        self.read(io).await
    }

    async fn read_response<T>(&mut self, _: &StreamProtocol, io: &mut T) -> io::Result<Vec<u8>>
    where
        T: AsyncRead + Unpin + Send,
    {
        self.read(io).await
    }

    async fn write_request<T>(&mut self, _: &StreamProtocol, io: &mut T, frame: Vec<u8>) -> io::Result<()>
    where
        T: AsyncWrite + Unpin + Send,
    {
        self.write(io, &frame).await
    }

    async fn write_response<T>(&mut self, _: &StreamProtocol, io: &mut T, frame: Vec<u8>) -> io::Result<()>
    where
        T: AsyncWrite + Unpin + Send,
    {
        self.write(io, &frame).await
    }
}

#[derive(NetworkBehaviour)]
struct Behaviour {
    limits: connection_limits::Behaviour,
    allowed: Toggle<allow_block_list::Behaviour<allow_block_list::AllowedPeers>>,
    ping: ping::Behaviour,
    hello: rr::Behaviour<Frames>,
    packet: rr::Behaviour<Frames>,
    mailbox: rr::Behaviour<Frames>,
    blob: rr::Behaviour<Frames>,
    join: rr::Behaviour<Frames>,
}

fn frames(protocol: &'static str, max: usize) -> rr::Behaviour<Frames> {
    rr::Behaviour::with_codec(
        Frames { max },
        [(StreamProtocol::new(protocol), ProtocolSupport::Full)],
        rr::Config::default().with_request_timeout(ASK_TIMEOUT).with_max_concurrent_streams(STREAMS_PER_PEER_MAX),
    )
}

impl Behaviour {
    fn new(door: Door) -> Self {
        let most = match door {
            Door::Members => CONNECTIONS_MAX,
            Door::Lobby => LOBBY_CONNECTIONS_MAX,
        };
        let limits = ConnectionLimits::default()
            .with_max_pending_incoming(Some(PENDING_INCOMING_MAX))
            .with_max_established_per_peer(Some(CONNECTIONS_PER_PEER_MAX))
            .with_max_established(Some(most));
        Self {
            limits: connection_limits::Behaviour::new(limits),
            allowed: Some(allow_block_list::Behaviour::default()).filter(|_| door == Door::Members).into(),
            ping: ping::Behaviour::new(ping::Config::new().with_interval(PING_INTERVAL).with_timeout(PING_TIMEOUT)),
            hello: frames(name::HELLO, HELLO_FRAME_BYTES_MAX),
            packet: frames(name::PACKET, PACKET_FRAME_BYTES_MAX),
            mailbox: frames(name::MAILBOX, MAILBOX_FRAME_BYTES_MAX),
            blob: frames(name::BLOB, BLOB_FRAME_BYTES_MAX),
            join: frames(name::JOIN, JOIN_FRAME_BYTES_MAX),
        }
    }

    fn channel(&mut self, channel: Channel) -> &mut rr::Behaviour<Frames> {
        match channel {
            Channel::Hello => &mut self.hello,
            Channel::Packet => &mut self.packet,
            Channel::Mailbox => &mut self.mailbox,
            Channel::Blob => &mut self.blob,
            Channel::Join => &mut self.join,
        }
    }
}

/// An address that this program can use.
///
/// # Errors
/// When it is none, or over QUIC and the program was built without.
pub(crate) fn check_address(address: &str) -> Result<Multiaddr, NetError> {
    let wrong = |why: &str| NetError(format!("{address:?} {why}"));
    let parsed: Multiaddr =
        address.parse().map_err(|_| wrong("is no address of a node; write for example /ip4/192.0.2.7/tcp/7501"))?;
    let is_quic = parsed.iter().any(|part| matches!(part, Protocol::Quic | Protocol::QuicV1));
    match is_quic && !cfg!(feature = "quic") {
        true => Err(wrong("needs QUIC; use an address over tcp, or build Casemesh with --features quic")),
        false => Ok(parsed),
    }
}

/// Where events go; it answers at once whether it took the event.
pub type Events = Box<dyn Fn(Event) -> bool + Send>;

/// The door to the network task. When the last one is dropped, the task ends.
#[derive(Debug, Clone)]
pub struct Net(mpsc::Sender<Command>);

impl Net {
    /// Starts the network on these addresses. Every event is given to `events`, which must not wait and
    /// says whether it took it.
    ///
    /// # Errors
    /// When an address cannot be listened on.
    pub fn start(seed: &Secret, listen: &[String], events: Events) -> Result<Self, NetError> {
        Self::start_at(Door::Members, seed, listen, events)
    }

    /// The same, with a door of that kind.
    ///
    /// # Errors
    /// When an address cannot be listened on.
    pub fn start_at(door: Door, seed: &Secret, listen: &[String], events: Events) -> Result<Self, NetError> {
        let idle = match door {
            Door::Members => IDLE_TIMEOUT,
            Door::Lobby => LOBBY_IDLE_TIMEOUT,
        };
        let builder = libp2p::SwarmBuilder::with_existing_identity(keypair(seed)?)
            .with_tokio()
            .with_tcp(tcp::Config::default(), noise::Config::new, yamux::Config::default)
            .map_err(net_error)?;
        #[cfg(feature = "quic")]
        let builder = builder.with_quic();
        let mut swarm = builder
            .with_behaviour(|_| Behaviour::new(door))
            .map_err(net_error)?
            .with_swarm_config(|config| config.with_idle_connection_timeout(idle))
            .build();
        for address in listen {
            swarm.listen_on(check_address(address)?).map_err(|error| match error {
                // Its own text is empty.
                TransportError::Other(why) => NetError(format!("{address} cannot be listened on: {why}")),
                TransportError::MultiaddrNotSupported(_) => net_error(error),
            })?;
        }
        let (commands, receiver) = mpsc::channel(COMMANDS_WAITING_MAX);
        let task = Task {
            swarm,
            door,
            events,
            allowed: HashSet::new(),
            asked: HashMap::new(),
            open: HashMap::new(),
            next_request: 0,
        };
        tokio::spawn(task.run(receiver));
        Ok(Self(commands))
    }

    /// A door that does not keep the task alive.
    pub(crate) fn weak(&self) -> WeakNet {
        WeakNet(self.0.downgrade())
    }

    /// Gives a command. Dropped when the task is gone; waits when it is busy. Not for async callers.
    pub fn send(&self, command: Command) {
        if self.0.blocking_send(command).is_err() {
            tracing::debug!("the network has ended");
        }
    }
}

/// A door to the network task that does not keep it alive.
pub(crate) struct WeakNet(mpsc::WeakSender<Command>);

impl WeakNet {
    /// Gives a command, if the task is there.
    pub(crate) fn send(&self, command: Command) {
        if let Some(sender) = self.0.upgrade() {
            Net(sender).send(command);
        }
    }
}

struct Task {
    swarm: Swarm<Behaviour>,
    door: Door,
    events: Events,
    allowed: HashSet<PeerId>,
    asked: HashMap<(Channel, OutboundRequestId), u64>,
    open: HashMap<u64, (Channel, ResponseChannel<Vec<u8>>)>,
    next_request: u64,
}

impl Task {
    async fn run(mut self, mut commands: mpsc::Receiver<Command>) {
        let mut tick = tokio::time::interval(TICK);
        let mut last = Instant::now();
        loop {
            tokio::select! {
                command = commands.recv() => match command {
                    Some(command) => self.obey(command),
                    None => return,
                },
                event = self.swarm.select_next_some() => self.see(event),
                _ = tick.tick() => {
                    if last.elapsed() > SLEPT_AFTER + TICK {
                        self.wake();
                    }
                    last = Instant::now();
                }
            }
        }
    }

    fn emit(&self, event: Event) {
        if !(self.events)(event) {
            tracing::warn!("a network event was dropped: too many wait");
        }
    }

    fn obey(&mut self, command: Command) {
        match command {
            Command::Allow(peers) => {
                let peers: HashSet<PeerId> = peers.iter().filter_map(peer_id).collect();
                let Some(door) = self.swarm.behaviour_mut().allowed.as_mut() else { return };
                for gone in self.allowed.difference(&peers) {
                    door.disallow_peer(*gone);
                }
                for peer in &peers {
                    door.allow_peer(*peer);
                }
                self.allowed = peers;
            }
            Command::Dial { peer, addresses } => self.dial(peer, &addresses),
            Command::Ask { peer, channel, frame, tag } => match peer_id(&peer) {
                Some(id) if self.swarm.is_connected(&id) => {
                    let request = self.swarm.behaviour_mut().channel(channel).send_request(&id, frame);
                    self.asked.insert((channel, request), tag);
                }
                _ => self.emit(Event::Unanswered { tag }),
            },
            Command::Answer { request, frame } => {
                if let Some((channel, response)) = self.open.remove(&request) {
                    // The other side may have hung up meanwhile; then it asks again.
                    let _sent = self.swarm.behaviour_mut().channel(channel).send_response(response, frame);
                }
            }
            Command::Disconnect(peer) => {
                if let Some(id) = peer_id(&peer) {
                    let _was_connected = self.swarm.disconnect_peer_id(id);
                }
            }
        }
    }

    fn dial(&mut self, peer: Peer, addresses: &[String]) {
        let addresses: Vec<Multiaddr> = addresses.iter().filter_map(|address| address.parse().ok()).collect();
        let dialed = match peer_id(&peer) {
            Some(id) if self.swarm.is_connected(&id) => {
                self.emit(Event::Connected(peer));
                return;
            }
            Some(id) if !addresses.is_empty() => {
                let options = DialOpts::peer_id(id)
                    .addresses(addresses)
                    .condition(PeerCondition::DisconnectedAndNotDialing)
                    .allocate_new_port()
                    .build();
                self.swarm.dial(options).is_ok()
            }
            _ => false,
        };
        if !dialed {
            self.emit(Event::Unreachable(peer));
        }
    }

    fn see(&mut self, event: SwarmEvent<BehaviourEvent>) {
        match event {
            SwarmEvent::NewListenAddr { address, .. } => self.emit(Event::Listening(address.to_string())),
            SwarmEvent::ConnectionEstablished { peer_id, .. } => self.emit(Event::Connected(peer(peer_id))),
            SwarmEvent::ConnectionClosed { peer_id, num_established: 0, .. } => {
                self.emit(Event::Unreachable(peer(peer_id)));
            }
            SwarmEvent::OutgoingConnectionError { peer_id: Some(peer_id), .. }
                if !self.swarm.is_connected(&peer_id) =>
            {
                self.emit(Event::Unreachable(peer(peer_id)));
            }
            SwarmEvent::Behaviour(BehaviourEvent::Hello(event)) => self.exchange(Channel::Hello, event),
            SwarmEvent::Behaviour(BehaviourEvent::Packet(event)) => self.exchange(Channel::Packet, event),
            SwarmEvent::Behaviour(BehaviourEvent::Mailbox(event)) => self.exchange(Channel::Mailbox, event),
            SwarmEvent::Behaviour(BehaviourEvent::Blob(event)) => self.exchange(Channel::Blob, event),
            SwarmEvent::Behaviour(BehaviourEvent::Join(event)) => self.exchange(Channel::Join, event),
            SwarmEvent::Behaviour(BehaviourEvent::Ping(ping::Event { result: Err(_), connection, .. })) => {
                self.swarm.close_connection(connection);
            }
            _ => {}
        }
    }

    fn exchange(&mut self, channel: Channel, event: rr::Event<Vec<u8>, Vec<u8>>) {
        match event {
            rr::Event::Message {
                peer: from, message: rr::Message::Request { request, channel: response, .. }, ..
            } => {
                // At a lobby one can knock and nothing else; nobody knocks at the node itself.
                let is_meant = (self.door == Door::Lobby) == (channel == Channel::Join);
                if self.open.len() >= OPEN_REQUESTS_MAX || !is_meant {
                    return;
                }
                let id = self.next_request;
                self.next_request = self.next_request.wrapping_add(1);
                let asked = Event::Asked { peer: peer(from), channel, frame: request, request: id };
                // Dropping the response channel tells the other side to ask again.
                if (self.events)(asked) {
                    self.open.insert(id, (channel, response));
                }
            }
            rr::Event::Message { message: rr::Message::Response { request_id, response }, .. } => {
                if let Some(tag) = self.asked.remove(&(channel, request_id)) {
                    self.emit(Event::Answered { tag, frame: response });
                }
            }
            rr::Event::OutboundFailure { request_id, error, connection_id, .. } => {
                if matches!(error, rr::OutboundFailure::Timeout) {
                    self.swarm.close_connection(connection_id);
                }
                if let Some(tag) = self.asked.remove(&(channel, request_id)) {
                    self.emit(Event::Unanswered { tag });
                }
            }
            rr::Event::InboundFailure { .. } | rr::Event::ResponseSent { .. } => {
                self.open.retain(|_, (_, response)| response.is_open());
            }
        }
    }

    fn wake(&mut self) {
        let connected: Vec<PeerId> = self.swarm.connected_peers().copied().collect();
        for id in connected {
            let _was_connected = self.swarm.disconnect_peer_id(id);
        }
        self.emit(Event::Woke);
    }
}

fn peer(id: PeerId) -> Peer {
    Peer(id.to_bytes())
}

fn peer_id(peer: &Peer) -> Option<PeerId> {
    PeerId::from_bytes(&peer.0).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use casemesh_crypto::random::os_rng;
    use std::sync::mpsc::{Receiver, sync_channel};

    struct Machine {
        net: Net,
        events: Receiver<Event>,
        peer: Peer,
        address: String,
    }

    fn machine() -> Machine {
        let seed = Secret::random(&mut os_rng());
        let (sender, events) = sync_channel(64);
        let events_to = Box::new(move |event| sender.try_send(event).is_ok());
        let net = Net::start(&seed, &["/ip4/127.0.0.1/tcp/0".into()], events_to).unwrap();
        let Ok(Event::Listening(address)) = events.recv_timeout(Duration::from_secs(10)) else {
            panic!("not listening")
        };
        Machine { net, events, peer: peer_of(&seed).unwrap(), address }
    }

    impl Machine {
        fn next(&self) -> Event {
            self.events.recv_timeout(Duration::from_secs(10)).unwrap()
        }

        fn dial(&self, other: &Self) {
            self.net.send(Command::Dial { peer: other.peer.clone(), addresses: vec![other.address.clone()] });
        }
    }

    #[test]
    fn an_address_that_is_taken_is_named() {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let _guard = runtime.enter();
        let taken = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let address = format!("/ip4/127.0.0.1/tcp/{}", taken.local_addr().unwrap().port());
        let error = Net::start(&Secret::random(&mut os_rng()), std::slice::from_ref(&address), Box::new(|_| true))
            .err()
            .unwrap();
        assert!(error.to_string().contains(&format!("{address} cannot be listened on: Address")), "{error}");
    }

    #[test]
    fn members_exchange_frames_and_strangers_are_cut_off() {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let _guard = runtime.enter();
        let (anna, ben, stranger) = (machine(), machine(), machine());
        anna.net.send(Command::Allow(vec![ben.peer.clone()]));
        ben.net.send(Command::Allow(vec![anna.peer.clone()]));
        stranger.net.send(Command::Allow(vec![anna.peer.clone()]));
        anna.dial(&ben);
        assert!(matches!(anna.next(), Event::Connected(peer) if peer == ben.peer));
        let frame = vec![7; 100_000];
        anna.net.send(Command::Ask { peer: ben.peer.clone(), channel: Channel::Packet, frame: frame.clone(), tag: 5 });
        assert!(matches!(ben.next(), Event::Connected(_)));
        let Event::Asked { request, frame: got, channel: Channel::Packet, .. } = ben.next() else {
            panic!("not asked")
        };
        assert_eq!(got, frame);
        ben.net.send(Command::Answer { request, frame: b"stored".to_vec() });
        assert!(matches!(anna.next(), Event::Answered { tag: 5, frame } if frame == b"stored"));

        let too_long = vec![0; HELLO_FRAME_BYTES_MAX + 1];
        anna.net.send(Command::Ask { peer: ben.peer.clone(), channel: Channel::Hello, frame: too_long, tag: 6 });
        assert!(matches!(anna.next(), Event::Unanswered { tag: 6 }));

        stranger.dial(&anna);
        while !matches!(stranger.next(), Event::Unreachable(_)) {}
        anna.net.send(Command::Allow(vec![]));
        while !matches!(anna.next(), Event::Unreachable(peer) if peer == ben.peer) {}
    }
}
