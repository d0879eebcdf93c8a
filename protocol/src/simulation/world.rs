//! The world of a simulation: virtual time, lines and what goes wrong on them, hubs, sticks, and the checks.

mod check;
mod lines;

use super::office::{Content, Fact, Held, Office, RowState};
use super::seal::{Keys, Letter, Sealed, Unopened};
use super::{Broken, Report, Setup};
use crate::consent::ConsentStatus;
use crate::delivery::{Input, Lost, Resends};
use crate::id::{PacketId, ThreadId};
use crate::mailbox::Shelf;
use crate::referral::{Event, Side, Step, ThreadEvent};
use crate::time::Timestamp;
use casemesh_crypto::hash::{Digest, sha256};
use casemesh_crypto::wire;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng as _};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

const SECOND: u64 = 1_000;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;
const START: u64 = 1_795_000_000 * SECOND;
/// Files that are older than this reached the disk by themselves.
const FLUSHED_AFTER_MS: u64 = 30 * SECOND;
/// After the lines healed, so long until all must have come to its end.
const HEALING: u64 = 6 * DAY;
/// Partners who hear at once that an office is back.
const GREETED_MAX: usize = 64;

#[derive(Debug)]
enum What {
    Up(u32),
    Down(u32),
    Unlock(u32),
    Crash(u32),
    Work(u32),
    Turn(u32),
    Hourly(u32),
    Poll(u32),
    Tick(u32, u32),
    Dialed(u32, u32),
    LinkLost(u32, u32),
    Arrive(u32, u32, Rc<Sealed>),
    Answered(u32, u32, Digest, bool),
    AtHub(u32, u32, Rc<Sealed>),
    Isolate(u32),
    HubLoses(u32),
    Stick(u32, u32, Vec<Rc<Sealed>>),
    StickBack(u32, u32, Vec<Digest>),
    Revoke(u32),
    Rotate(u32),
    Learn(u32, u32),
    Heal,
}

#[derive(Default)]
struct Hub {
    shelves: BTreeMap<u32, Shelf>,
    packets: BTreeMap<Digest, Rc<Sealed>>,
    receipts: BTreeMap<u32, BTreeSet<(u32, Digest)>>,
    revoked: BTreeSet<u32>,
}

pub(super) struct World {
    setup: Setup,
    rng: ChaCha8Rng,
    now: u64,
    sequence: u64,
    agenda: BTreeMap<(u64, u64), What>,
    offices: Vec<Office>,
    hubs: Vec<Hub>,
    keys: Keys,
    isolated_until: Vec<u64>,
    ticks: BTreeMap<(u32, u32), u64>,
    /// What is true, whatever an office believes.
    transfers: BTreeSet<ThreadId>,
    parties: BTreeMap<ThreadId, (u32, u32)>,
    stored: BTreeSet<(u32, Digest)>,
    effects: BTreeSet<(u32, u32, PacketId)>,
    revoked: Option<u32>,
    lifetime: u64,
    is_healed: bool,
    report: Report,
}

type Checked = Result<(), String>;

impl World {
    pub(super) fn new(setup: Setup) -> Self {
        let mut world = Self {
            setup,
            rng: ChaCha8Rng::seed_from_u64(setup.seed),
            now: START,
            sequence: 0,
            agenda: BTreeMap::new(),
            offices: (0..setup.offices).map(Office::new).collect(),
            hubs: (0..setup.hubs).map(|_| Hub::default()).collect(),
            keys: Keys::new(setup.offices, setup.is_real),
            isolated_until: vec![0; setup.offices as usize],
            ticks: BTreeMap::new(),
            transfers: BTreeSet::new(),
            parties: BTreeMap::new(),
            stored: BTreeSet::new(),
            effects: BTreeSet::new(),
            revoked: None,
            lifetime: if setup.seed.is_multiple_of(3) { 4 * DAY } else { 30 * DAY },
            is_healed: false,
            report: Report::default(),
        };
        let length = u64::from(setup.days) * DAY;
        for office in 0..setup.offices {
            let at = world.draw(8 * HOUR);
            world.at(at, What::Up(office));
            world.at(at, What::Hourly(office));
            // Most clocks are nearly right; some are hours off.
            let skew = world.draw(11 * HOUR);
            if world.one_in(4) {
                let skew = i64::try_from(skew).unwrap_or(0);
                let sign = if world.one_in(2) { 1 } else { -1 };
                if let Some(office) = world.offices.get_mut(office as usize) {
                    office.skew_ms = sign * skew;
                }
            }
        }
        for _ in 0..setup.offices * setup.days / 15 {
            let (office, other) = (world.some_office(), world.some_office());
            let at = world.draw(length);
            world.at(at, What::Crash(office));
            let at = world.draw(length);
            world.at(at, What::Isolate(other));
            let at = world.draw(length);
            if office != other {
                world.at(at, What::Stick(office, other, Vec::new()));
            }
        }
        for _ in 0..setup.offices * setup.days / 60 {
            let office = world.some_office();
            let at = world.draw(length);
            world.at(at, What::Rotate(office));
        }
        for hub in 0..setup.hubs {
            let at = world.draw(length);
            world.at(at, What::HubLoses(hub));
        }
        if world.one_in(3) {
            let victim = world.some_office();
            let at = length / 3 + world.draw(length / 3);
            world.at(at, What::Revoke(victim));
        }
        world.at(length, What::Heal);
        world
    }

    pub(super) fn run(mut self) -> Result<Report, Broken> {
        let end = START + u64::from(self.setup.days) * DAY + HEALING;
        while let Some(((at, _), what)) = self.agenda.pop_first() {
            if at > end {
                break;
            }
            self.now = at;
            self.report.steps += 1;
            self.happen(what).map_err(|what| self.broken(what))?;
        }
        self.check_the_end().map_err(|what| self.broken(what))?;
        Ok(self.report)
    }

    fn broken(&self, what: String) -> Broken {
        Broken { seed: self.setup.seed, at: Timestamp::from_ms(self.now - START), what }
    }

    fn draw(&mut self, below: u64) -> u64 {
        self.rng.next_u64() % below.max(1)
    }

    fn one_in(&mut self, many: u64) -> bool {
        self.draw(many) == 0
    }

    fn some_office(&mut self) -> u32 {
        u32::try_from(self.draw(u64::from(self.setup.offices))).unwrap_or(0)
    }

    /// Puts something on the agenda, so long after now.
    fn at(&mut self, after: u64, what: What) {
        self.sequence += 1;
        self.agenda.insert((self.now + after, self.sequence), what);
    }

    fn clock(&self) -> Timestamp {
        Timestamp::from_ms(self.now)
    }

    #[expect(clippy::indexing_slicing, reason = "numbers of offices are made here")]
    fn office(&mut self, number: u32) -> &mut Office {
        &mut self.offices[number as usize]
    }

    #[expect(clippy::indexing_slicing, reason = "numbers of offices are made here")]
    fn own_clock(&self, number: u32) -> Timestamp {
        self.offices[number as usize].clock(Timestamp::from_ms(self.now))
    }

    #[expect(clippy::indexing_slicing, reason = "numbers of offices are made here")]
    fn is_reachable(&self, number: u32) -> bool {
        self.offices[number as usize].is_up && self.isolated_until[number as usize] <= self.now
    }

    fn hubs_of(&self, office: u32) -> [u32; 2] {
        let hubs = self.setup.hubs.max(1);
        [office % hubs, (office + 1) % hubs]
    }

    fn happen(&mut self, what: What) -> Checked {
        match what {
            What::Up(n) => self.up(n),
            What::Down(n) if !self.is_healed => self.down(n),
            What::Unlock(n) => self.unlock(n)?,
            What::Crash(n) if !self.is_healed => self.crash(n),
            What::Work(n) if !self.is_healed => self.work(n)?,
            What::Turn(n) => self.turn(n)?,
            What::Hourly(n) => {
                self.turn(n)?;
                self.at(HOUR, What::Hourly(n));
            }
            What::Poll(n) => self.poll(n)?,
            What::Tick(n, to) => {
                self.ticks.remove(&(n, to));
                if self.office(n).is_up {
                    self.deliver(n, to, Input::Tick);
                }
            }
            What::Dialed(n, to) => self.dialed(n, to),
            What::LinkLost(n, to) => {
                if self.office(n).linked.remove(&to) {
                    self.deliver(n, to, Input::Unreachable);
                }
            }
            What::Arrive(from, to, packet) => self.arrive(from, to, &packet)?,
            What::Answered(n, to, packet, stored) => {
                if self.office(n).is_up && self.is_reachable(n) {
                    let input = if stored { Input::Arrived { packet } } else { Input::Rejected { packet } };
                    self.deliver(n, to, input);
                }
            }
            What::AtHub(n, to, packet) => self.deposit(n, to, &packet)?,
            What::Isolate(n) if !self.is_healed => {
                let long = self.draw(4 * DAY);
                if let Some(until) = self.isolated_until.get_mut(n as usize) {
                    *until = self.now + long;
                }
                self.unlink(n);
            }
            What::HubLoses(hub) if !self.is_healed => {
                if let Some(hub) = self.hubs.get_mut(hub as usize) {
                    *hub = Hub { revoked: std::mem::take(&mut hub.revoked), ..Hub::default() };
                }
            }
            What::Stick(from, to, packets) => self.stick(from, to, packets)?,
            What::StickBack(n, to, packets) => {
                if self.office(n).is_up {
                    for packet in packets {
                        self.deliver(n, to, Input::Arrived { packet });
                    }
                } else {
                    self.at(HOUR, What::StickBack(n, to, packets));
                }
            }
            What::Revoke(victim) => {
                self.revoked = Some(victim);
                for office in (0..self.setup.offices).filter(|office| *office != victim) {
                    let after = self.draw(2 * DAY);
                    self.at(after, What::Learn(office, victim));
                }
                for hub in &mut self.hubs {
                    hub.revoked.insert(victim);
                }
            }
            What::Learn(n, victim) => self.learn(n, victim),
            What::Rotate(n) if !self.is_healed => self.rotate(n),
            What::Heal => self.heal(),
            What::Down(_) | What::Crash(_) | What::Work(_) | What::Isolate(_) | What::HubLoses(_) | What::Rotate(_) => {
            }
        }
        Ok(())
    }

    fn up(&mut self, n: u32) {
        if self.office(n).is_up {
            return;
        }
        self.office(n).is_up = true;
        // What was under way is under way again; lines that were there are not.
        let under_way: Vec<(u32, Digest, Timestamp)> = {
            let office = self.office(n);
            let open = office.spool_out.iter().filter(|(hash, _)| !office.facts.contains_key(hash));
            open.map(|(hash, (packet, _))| (packet.to, *hash, packet.expires)).collect()
        };
        for (to, packet, expires) in under_way {
            self.deliver(n, to, Input::Queued { packet, expires });
        }
        let partners: BTreeSet<u32> = self.office(n).threads.values().rev().map(|held| held.partner).collect();
        for partner in partners.into_iter().take(GREETED_MAX) {
            let after = self.draw(MINUTE);
            self.at(after, What::Dialed(n, partner));
        }
        let after = self.draw(10 * SECOND);
        self.at(after, What::Poll(n));
        let after = self.draw(3 * HOUR);
        self.at(after, What::Unlock(n));
        if !self.is_healed {
            let after = HOUR + self.draw(11 * HOUR);
            self.at(after, What::Down(n));
        }
    }

    fn unlink(&mut self, n: u32) {
        let linked = std::mem::take(&mut self.office(n).linked);
        for other in linked {
            self.deliver(n, other, Input::Unreachable);
            // The other side notices later: half-open.
            let after = self.draw(MINUTE);
            self.at(after, What::LinkLost(other, n));
        }
    }

    fn down(&mut self, n: u32) {
        if !self.office(n).is_up {
            return;
        }
        self.unlink(n);
        let office = self.office(n);
        (office.is_up, office.is_unlocked) = (false, false);
        let after = 4 * HOUR + self.draw(20 * HOUR);
        // Some stay away for days.
        let away = if self.one_in(10) { self.draw(8 * DAY) } else { 0 };
        self.at(after + away, What::Up(n));
    }

    fn crash(&mut self, n: u32) {
        if !self.office(n).is_up {
            return;
        }
        self.report.crashes += 1;
        let linked = std::mem::take(&mut self.office(n).linked);
        for other in linked {
            let after = self.draw(MINUTE);
            self.at(after, What::LinkLost(other, n));
        }
        let now = self.clock();
        let coin = self.rng.next_u64();
        let office = self.office(n);
        let is_lost = |written: &Timestamp, hash: &Digest| {
            now.ms_since(*written) < FLUSHED_AFTER_MS
                && hash.as_bytes().first().is_some_and(|byte| u64::from(*byte) < coin % 256)
        };
        office.spool_out.retain(|hash, (_, written)| !is_lost(written, hash));
        office.facts.retain(|hash, (_, written)| !is_lost(written, hash));
        office.queues.clear();
        office.later.clear();
        (office.is_up, office.is_unlocked) = (false, false);
        let after = MINUTE + self.draw(6 * HOUR);
        self.at(after, What::Up(n));
    }

    fn unlock(&mut self, n: u32) -> Checked {
        if !self.office(n).is_up || self.office(n).is_unlocked {
            return Ok(());
        }
        self.office(n).is_unlocked = true;
        // What was released and is not in the spool any more waits again.
        let office = self.office(n);
        for row in office.outbox.values_mut() {
            if let RowState::Released(hash) = row.state
                && !office.spool_out.contains_key(&hash)
                && !office.facts.contains_key(&hash)
            {
                row.state = RowState::Waiting;
            }
        }
        self.turn(n)?;
        let after = self.draw(HOUR);
        self.at(after, What::Work(n));
        Ok(())
    }

    /// What an open office does when something came, and from time to time.
    fn turn(&mut self, n: u32) -> Checked {
        if !self.office(n).is_up || !self.office(n).is_unlocked {
            return Ok(());
        }
        self.take_facts(n);
        self.take_in(n)?;
        self.release(n)
    }

    fn take_facts(&mut self, n: u32) {
        let facts = std::mem::take(&mut self.office(n).facts);
        for (hash, (fact, _)) in facts {
            let clock = self.own_clock(n);
            let lifetime = self.lifetime;
            let id = self.packet_id();
            let office = self.office(n);
            office.spool_out.remove(&hash);
            let Some(row) = office.row_of.get(&hash).and_then(|row| office.outbox.get_mut(row)) else { continue };
            let is_open = matches!(row.state, RowState::Released(_) | RowState::Waiting | RowState::Arrived);
            let lost = match fact {
                Fact::Arrived => {
                    if matches!(row.state, RowState::Released(_)) {
                        row.state = RowState::Arrived;
                    }
                    continue;
                }
                Fact::Refused => Lost::Refused,
                Fact::Expired => Lost::Expired,
            };
            let is_event = matches!(row.content, Content::Event(_)) && is_open;
            let bare = match &row.content {
                Content::Full(event) if is_open => Some((row.to, Rc::clone(event))),
                _ => None,
            };
            if is_open {
                row.state = if lost == Lost::Refused { RowState::Refused } else { RowState::Expired };
            }
            if let Some((wait, resends)) = row.resends.after(is_event, lost) {
                let (to, content) = (row.to, row.content.clone());
                let from = clock.plus_ms(wait);
                office.queue(to, content, id, (from, from.plus_ms(lifetime)), resends);
            }
            if let Some((to, event)) = bare {
                self.send(n, to, Content::Event(event));
            }
            if fact == Fact::Expired {
                self.report.expired += 1;
            }
        }
    }

    fn packet_id(&mut self) -> PacketId {
        PacketId::new(casemesh_crypto::random::array(&mut self.rng))
    }

    fn take_in(&mut self, n: u32) -> Checked {
        loop {
            let waiting: Vec<Rc<Sealed>> = self.office(n).spool_in.values().cloned().collect();
            let before = waiting.len();
            for packet in waiting {
                self.open(n, &packet)?;
            }
            if self.office(n).spool_in.len() == before || self.office(n).spool_in.is_empty() {
                return Ok(());
            }
        }
    }

    fn open(&mut self, n: u32, packet: &Rc<Sealed>) -> Checked {
        let office = self.office(n);
        if office.later.get(&packet.hash).is_some_and(|thread| !office.threads.contains_key(thread)) {
            return Ok(());
        }
        let clock = self.own_clock(n);
        let now = self.clock();
        let opened = match self.keys.open(packet, n, (now, clock)) {
            Err(Unopened::Early) => {
                self.report.early += 1;
                return Ok(());
            }
            opened => opened.ok().filter(|_| packet.created <= clock.plus_days(1)),
        };
        let Some(content) = opened else {
            self.report.set_aside += 1;
            self.office(n).spool_in.remove(&packet.hash);
            return Ok(());
        };
        let from = packet.from;
        let is_receipt = matches!(content, Content::Read(_));
        if self.office(n).seen.contains(&(from, packet.id)) {
            self.report.repeated += 1;
        } else if self.effect(n, from, &content)? {
            self.office(n).seen.insert((from, packet.id));
            self.report.effects += 1;
            if !self.effects.insert((n, from, packet.id)) {
                return Err(format!("packet {:?} had its effect at {n} twice", packet.id));
            }
        } else {
            if let Some(thread) = content.thread() {
                self.office(n).later.insert(packet.hash, thread);
            }
            return Ok(());
        }
        self.office(n).later.remove(&packet.hash);
        self.office(n).spool_in.remove(&packet.hash);
        if !is_receipt {
            self.send(n, from, Content::Read(packet.hash));
        }
        Ok(())
    }

    /// Puts something into an outbox, to go as soon as it may.
    fn send(&mut self, n: u32, to: u32, content: Content) {
        let (id, lifetime) = (self.packet_id(), self.lifetime);
        let clock = self.own_clock(n);
        self.office(n).queue(to, content, id, (clock, clock.plus_ms(lifetime)), Resends::default());
    }

    /// What a packet does; false where what it follows from is not here yet.
    fn effect(&mut self, n: u32, from: u32, content: &Content) -> Result<bool, String> {
        let event = match content {
            Content::Read(hash) => {
                let office = self.office(n);
                if let Some(row) = office.row_of.get(hash).and_then(|row| office.outbox.get_mut(row))
                    && matches!(row.state, RowState::Released(_) | RowState::Arrived | RowState::Waiting)
                {
                    row.state = RowState::Read;
                }
                office.spool_out.remove(hash);
                self.deliver(n, from, Input::Cancelled { packet: *hash });
                return Ok(true);
            }
            Content::Preview(event) => {
                let is_transfer = self.transfers.contains(&event.thread);
                let held = Held {
                    side: Side::Receiver,
                    partner: from,
                    events: Vec::new(),
                    is_transfer,
                    has_full: false,
                    consent: None,
                };
                self.office(n).threads.entry(event.thread).or_insert(held);
                event
            }
            Content::Event(event) | Content::Full(event) => event,
        };
        let thread = event.thread;
        let clock = self.own_clock(n);
        let office = self.office(n);
        let Some(held) = office.threads.get_mut(&thread).filter(|held| held.partner == from) else { return Ok(false) };
        let hash = sha256(&[&wire::encode(event.as_ref())]);
        if held.events.iter().any(|known| known.hash == hash) {
            return Ok(true);
        }
        let side = if held.side == Side::Sender { Side::Receiver } else { Side::Sender };
        held.events.push(ThreadEvent { hash, side, event: Event::clone(event) });
        held.has_full |= matches!(content, Content::Full(_));
        let is_withdrawn = held.thread().state == crate::referral::State::ConsentWithdrawn;
        if let Some((_, status)) = held.consent.as_mut().filter(|_| is_withdrawn) {
            *status = ConsentStatus::Withdrawn(clock);
        }
        office.touch(thread);
        if office.awaits_full(thread) {
            self.release_full(n, from, thread);
        }
        while let Some(step) = self.office(n).reflex(thread) {
            self.act(n, thread, step)?;
        }
        self.check_case(thread)?;
        Ok(true)
    }

    fn release_full(&mut self, n: u32, to: u32, thread: ThreadId) {
        let clock = self.own_clock(n);
        let office = self.office(n);
        if !office.may_disclose(thread, clock) {
            if let Some(event) = office.author(thread, Step::ConsentWithdrawn, clock) {
                self.send(n, to, Content::Event(event));
            }
            return;
        }
        if let Some(event) = office.author(thread, Step::Released { full: Digest::ZERO }, clock) {
            self.send(n, to, Content::Full(event));
        }
    }

    /// A step of an office, told to the other.
    fn act(&mut self, n: u32, thread: ThreadId, step: Step) -> Checked {
        let clock = self.own_clock(n);
        let office = self.office(n);
        let Some((partner, side)) = office.threads.get(&thread).map(|held| (held.partner, held.side)) else {
            return Ok(());
        };
        let takes_over = matches!(step, Step::TakenOver { .. });
        let ends_consent = side == Side::Sender && step == Step::ConsentWithdrawn;
        let Some(event) = office.author(thread, step, clock) else { return Ok(()) };
        if ends_consent {
            if let Some((_, status)) = office.threads.get_mut(&thread).and_then(|held| held.consent.as_mut()) {
                *status = ConsentStatus::Withdrawn(clock);
            }
            self.take_back(n, thread);
        }
        self.report.handed_over += u64::from(takes_over);
        self.send(n, partner, Content::Event(event));
        self.check_case(thread)
    }

    /// Takes what discloses, and has not arrived, out of the spool.
    fn take_back(&mut self, n: u32, thread: ThreadId) {
        let mut cancelled = Vec::new();
        let office = self.office(n);
        for row in office.outbox.values_mut() {
            if let RowState::Released(hash) = row.state
                && row.content.discloses()
                && row.content.thread() == Some(thread)
            {
                row.state = RowState::Cancelled;
                cancelled.push((row.to, hash, row.content.clone()));
            }
        }
        for (to, hash, content) in cancelled {
            if let Content::Full(event) = content {
                self.send(n, to, Content::Event(event));
            }
            self.office(n).spool_out.remove(&hash);
            self.deliver(n, to, Input::Cancelled { packet: hash });
        }
    }

    /// Seals and hands over what waits.
    fn release(&mut self, n: u32) -> Checked {
        let waiting: Vec<u64> = {
            let rows = self.office(n).outbox.iter();
            rows.filter(|(_, row)| row.state == RowState::Waiting).map(|(id, _)| *id).collect()
        };
        for id in waiting {
            self.release_row(n, id)?;
        }
        Ok(())
    }

    fn release_row(&mut self, n: u32, id: u64) -> Checked {
        let clock = self.own_clock(n);
        let office = self.office(n);
        let Some(row) = office.outbox.get(&id).cloned() else { return Ok(()) };
        if row.state != RowState::Waiting || clock < row.not_before || office.revoked.contains(&row.to) {
            return Ok(());
        }
        if let Some(thread) = row.content.thread().filter(|_| row.content.discloses()) {
            if !office.may_disclose(thread, clock) {
                self.report.withheld += 1;
                self.withhold(n, id, thread);
                return Ok(());
            }
            let consent = self.office(n).threads.get(&thread).and_then(|held| held.consent.clone());
            let is_live =
                consent.is_some_and(|(terms, status)| status == ConsentStatus::Given && clock < terms.expires);
            if !is_live {
                return Err(format!("office {n} seals a disclosure without a live consent"));
            }
        }
        let letter =
            Letter { id: row.id, from: n, to: row.to, created: clock, expires: row.expires, content: &row.content };
        let Some(packet) = self.keys.seal(&letter, &mut self.rng) else { return Err("cannot seal".into()) };
        self.report.packets += 1;
        let (hash, now) = (packet.hash, self.clock());
        let office = self.office(n);
        office.spool_out.insert(hash, (Rc::new(packet), now));
        office.row_of.insert(hash, id);
        if let Some(row) = office.outbox.get_mut(&id) {
            row.state = RowState::Released(hash);
        }
        self.deliver(n, row.to, Input::Queued { packet: hash, expires: row.expires });
        Ok(())
    }

    /// A disclosure whose consent ended does not go; its event goes alone, and the other office is told.
    fn withhold(&mut self, n: u32, id: u64, thread: ThreadId) {
        let clock = self.own_clock(n);
        let Some(row) = self.office(n).outbox.get_mut(&id) else { return };
        row.state = RowState::Cancelled;
        let (to, content) = (row.to, row.content.clone());
        let Content::Full(event) = content else { return };
        self.send(n, to, Content::Event(event));
        let office = self.office(n);
        let Some(state) = office.threads.get(&thread).map(|held| held.thread().state) else { return };
        if (state.is_at_work() || state.is_before_acceptance())
            && let Some(event) = office.author(thread, Step::ConsentWithdrawn, clock)
        {
            self.send(n, to, Content::Event(event));
        }
    }

    fn work(&mut self, n: u32) -> Checked {
        if !self.office(n).is_up || !self.office(n).is_unlocked {
            return Ok(());
        }
        let clock = self.own_clock(n);
        // About four times a day somebody does something.
        if self.draw(400) < u64::from(self.setup.referrals_percent) {
            let to = self.some_office();
            if to != n && !self.office(n).revoked.contains(&to) {
                let thread = ThreadId::new(casemesh_crypto::random::array(&mut self.rng));
                let until = clock.plus_ms(HOUR + self.draw(20 * DAY));
                let is_transfer = self.one_in(2);
                if is_transfer {
                    self.transfers.insert(thread);
                }
                self.parties.insert(thread, (n, to));
                self.report.referrals += 1;
                if let Some(event) = self.office(n).begin(thread, to, (clock, until), is_transfer) {
                    self.send(n, to, Content::Preview(event));
                }
            }
        }
        for _ in 0..2 {
            let (one, two) = (self.rng.next_u64(), self.rng.next_u64());
            let office = self.office(n);
            if let Some(thread) = office.some_thread(one)
                && let Some(step) = office.think(thread, two)
            {
                self.act(n, thread, step)?;
            }
        }
        self.release(n)?;
        let after = HOUR + self.draw(2 * HOUR);
        self.at(after, What::Work(n));
        Ok(())
    }

    /// An office learns that a member was revoked: the line is cut, and what waits for it stays.
    fn learn(&mut self, n: u32, victim: u32) {
        self.office(n).revoked.insert(victim);
        self.office(n).linked.remove(&victim);
        self.office(victim).linked.remove(&n);
        let office = self.office(n);
        office.queues.remove(&victim);
        for row in office.outbox.values_mut().filter(|row| row.to == victim) {
            if let RowState::Released(hash) = row.state {
                office.spool_out.remove(&hash);
                row.state = RowState::Cancelled;
            }
        }
    }

    /// An office's keys and its machine's are drawn anew, while its node does not run.
    fn rotate(&mut self, n: u32) {
        if self.office(n).is_up {
            return self.at(HOUR, What::Rotate(n));
        }
        let (now, said) = (self.clock(), self.own_clock(n));
        self.keys.rotate(n, now, said);
        self.report.rotations += 1;
    }

    fn heal(&mut self) {
        self.is_healed = true;
        self.isolated_until.fill(0);
        for n in 0..self.setup.offices {
            self.office(n).skew_ms = 0;
            // Lines that one side only believes in are cut.
            self.unlink(n);
            self.up(n);
            let after = self.draw(HOUR);
            self.at(after, What::Unlock(n));
        }
    }
}
