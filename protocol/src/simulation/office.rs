//! One office of a simulation: what is on its disk, what a power cut takes, and how it acts in its referrals.

use super::seal::{Sealed, office_id, preview, service};
use crate::bounded::{List, Text};
use crate::consent::{Circumstances, ConsentStatus, Permit};
use crate::delivery::{Queue, Resends};
use crate::id::{EventId, PacketId, StoreEpoch, ThreadId};
use crate::referral::{Event, Note, Side, State, Step, Thread, ThreadEvent};
use crate::terms::{Code, ConsentGiver, ConsentMethod, ConsentTerms, FieldGroup, Line, Purpose};
use crate::time::Timestamp;
use casemesh_crypto::hash::{Digest, sha256};
use casemesh_crypto::wire;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

/// What a packet carries.
#[derive(Debug, Clone)]
pub(super) enum Content {
    /// The first event of a referral, with its preview.
    Preview(Rc<Event>),
    /// A release.
    Full(Rc<Event>),
    /// A later event.
    Event(Rc<Event>),
    /// "We opened that packet."
    Read(Digest),
}

impl Content {
    pub(super) fn discloses(&self) -> bool {
        matches!(self, Self::Preview(_) | Self::Full(_))
    }

    pub(super) fn thread(&self) -> Option<ThreadId> {
        match self {
            Self::Preview(event) | Self::Full(event) | Self::Event(event) => Some(event.thread),
            Self::Read(_) => None,
        }
    }
}

/// Where a row of an outbox stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RowState {
    Waiting,
    Released(Digest),
    Arrived,
    Read,
    Refused,
    Expired,
    Cancelled,
}

/// A row of an outbox: on disk when it is written.
#[derive(Debug, Clone)]
pub(super) struct Row {
    pub(super) to: u32,
    pub(super) content: Content,
    pub(super) state: RowState,
    pub(super) id: PacketId,
    pub(super) expires: Timestamp,
    pub(super) not_before: Timestamp,
    pub(super) resends: Resends,
}

/// What became of a packet, as the relay notes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fact {
    Arrived,
    Refused,
    Expired,
}

/// A referral, at one of its offices.
#[derive(Debug, Clone)]
pub(super) struct Held {
    pub(super) side: Side,
    pub(super) partner: u32,
    pub(super) events: Vec<ThreadEvent>,
    pub(super) is_transfer: bool,
    /// Whether what was released came, and not its event alone.
    pub(super) has_full: bool,
    /// The consent, at the sender.
    pub(super) consent: Option<(ConsentTerms, ConsentStatus)>,
}

impl Held {
    pub(super) fn thread(&self) -> Thread {
        Thread::fold(self.events.iter().cloned())
    }

    /// Whether this side is responsible for the case that is handed over.
    pub(super) fn holds_case(&self) -> bool {
        self.thread().holds_case(self.side)
    }
}

/// One office.
pub(super) struct Office {
    pub(super) number: u32,
    // On disk, synced before it is told to anybody.
    pub(super) outbox: BTreeMap<u64, Row>,
    pub(super) threads: BTreeMap<ThreadId, Held>,
    pub(super) seen: BTreeSet<(u32, PacketId)>,
    pub(super) spool_in: BTreeMap<Digest, Rc<Sealed>>,
    pub(super) revoked: BTreeSet<u32>,
    events: u64,
    rows: u64,
    // In files that are not synced: when they were written.
    pub(super) spool_out: BTreeMap<Digest, (Rc<Sealed>, Timestamp)>,
    pub(super) facts: BTreeMap<Digest, (Fact, Timestamp)>,
    // In memory.
    pub(super) queues: BTreeMap<u32, Queue>,
    pub(super) row_of: BTreeMap<Digest, u64>,
    pub(super) linked: BTreeSet<u32>,
    /// Packets that were opened and wait for the referral that they belong to.
    pub(super) later: BTreeMap<Digest, ThreadId>,
    pub(super) is_up: bool,
    pub(super) is_unlocked: bool,
    pub(super) skew_ms: i64,
    /// The last referrals that something happened in.
    recent: Vec<ThreadId>,
}

const RECENT_MAX: usize = 8;

fn code(text: &str) -> Code {
    Code { list: Text::cut("simulated"), version: 1, code: Text::cut(text), label: Line::cut(text) }
}

impl Office {
    pub(super) fn new(number: u32) -> Self {
        Self {
            number,
            outbox: BTreeMap::new(),
            threads: BTreeMap::new(),
            seen: BTreeSet::new(),
            spool_in: BTreeMap::new(),
            revoked: BTreeSet::new(),
            events: 0,
            rows: 0,
            spool_out: BTreeMap::new(),
            facts: BTreeMap::new(),
            queues: BTreeMap::new(),
            row_of: BTreeMap::new(),
            linked: BTreeSet::new(),
            later: BTreeMap::new(),
            is_up: false,
            is_unlocked: false,
            skew_ms: 0,
            recent: Vec::new(),
        }
    }

    /// The office's own clock.
    pub(super) fn clock(&self, now: Timestamp) -> Timestamp {
        Timestamp::from_ms(now.ms().saturating_add_signed(self.skew_ms))
    }

    pub(super) fn touch(&mut self, thread: ThreadId) {
        self.recent.retain(|known| *known != thread);
        self.recent.push(thread);
        if self.recent.len() > RECENT_MAX {
            self.recent.remove(0);
        }
    }

    /// One of the last referrals.
    pub(super) fn some_thread(&self, draw: u64) -> Option<ThreadId> {
        let place = usize::try_from(draw % (self.recent.len().max(1) as u64)).ok()?;
        self.recent.get(place).copied()
    }

    /// Puts something into the outbox.
    pub(super) fn queue(
        &mut self,
        to: u32,
        content: Content,
        id: PacketId,
        times: (Timestamp, Timestamp),
        resends: Resends,
    ) {
        let (not_before, expires) = times;
        self.rows += 1;
        let row = Row { to, content, state: RowState::Waiting, id, expires, not_before, resends };
        self.outbox.insert(self.rows, row);
    }

    /// The next event of this office in a referral, put into its log; none where the step is not allowed.
    pub(super) fn author(&mut self, thread: ThreadId, step: Step, at: Timestamp) -> Option<Rc<Event>> {
        let number = self.number;
        self.events += 1;
        let id = EventId { office: office_id(number), epoch: StoreEpoch::new([0; 8]), number: self.events };
        let held = self.threads.get_mut(&thread)?;
        let event = held.thread().next(id, thread, held.side, step, at).ok()?;
        let hash = sha256(&[&wire::encode(&event)]);
        held.events.push(ThreadEvent { hash, side: held.side, event: event.clone() });
        self.touch(thread);
        Some(Rc::new(event))
    }

    /// Begins a referral under a consent.
    pub(super) fn begin(
        &mut self,
        thread: ThreadId,
        to: u32,
        (now, until): (Timestamp, Timestamp),
        is_transfer: bool,
    ) -> Option<Rc<Event>> {
        let purpose = if is_transfer { Purpose::ShareForTransfer } else { Purpose::ShareForService };
        let terms = ConsentTerms {
            purpose,
            recipients: List::new(vec![office_id(to)]).ok()?,
            scope: List::new(vec![FieldGroup::Names, FieldGroup::CaseBrief, FieldGroup::CaseNotes]).ok()?,
            withheld: List::default(),
            given: now,
            expires: until,
            method: ConsentMethod::SignedPaper,
            giver: ConsentGiver::Person,
            language: Text::default(),
            outside: None,
            child_view: None,
            given_by: None,
            complete_now: false,
        };
        let consent = Some((terms, ConsentStatus::Given));
        let held = Held { side: Side::Sender, partner: to, events: Vec::new(), is_transfer, has_full: false, consent };
        self.threads.insert(thread, held);
        let step = Step::Sent {
            service: service(),
            respond_by: now.plus_days(7),
            expires: now.plus_days(14),
            preview: preview().hash(),
        };
        self.author(thread, step, now)
    }

    /// Whether something may be disclosed in a referral now.
    pub(super) fn may_disclose(&self, thread: ThreadId, clock: Timestamp) -> bool {
        let Some(held) = self.threads.get(&thread) else { return false };
        let Some((terms, status)) = &held.consent else { return false };
        let to = office_id(held.partner);
        Permit::under(terms, *status, terms.purpose, to, Circumstances::default(), clock).is_ok()
            && !held.thread().state.is_final()
    }

    /// A step that a person would make now in one of the last referrals.
    pub(super) fn think(&self, thread: ThreadId, draw: u64) -> Option<Step> {
        let held = self.threads.get(&thread)?;
        let state = held.thread().state;
        let note = Note::default;
        let day = Timestamp::from_s(1_795_000_000).day();
        let receiver = [
            Step::Acknowledged,
            Step::Accepted { arrangement: note(), first_contact_by: None, visit: None },
            Step::Accepted { arrangement: note(), first_contact_by: None, visit: None },
            Step::Declined { reason: code("no_capacity"), note: note() },
            Step::InfoRequested { text: note() },
            Step::Started { first_contact: day },
            Step::OnHold { reason: code("hold") },
            Step::Failed { reason: code("no_show"), note: note() },
            Step::ConsentWithdrawn,
            Step::Completed {
                outcome: code("given"),
                services: List::default(),
                recovered: List::default(),
                note: note(),
            },
        ];
        let sender = [
            Step::InfoGiven { text: note() },
            Step::Noted { text: note() },
            Step::Withdrawn { reason: code("solved") },
            Step::Revoked { reason: code("safety") },
            Step::ConsentWithdrawn,
            Step::EnteredInError,
            Step::Closed { feedback: None, note: note() },
            Step::Expired,
        ];
        let is_legal = |step: &&Step| {
            // What is handed over is not worked on as a service.
            let is_service = matches!(step, Step::Started { .. } | Step::OnHold { .. } | Step::Completed { .. });
            !(is_service && held.is_transfer) && state.after(step, held.side).is_ok()
        };
        let steps: &[Step] = if held.side == Side::Sender { &sender } else { &receiver };
        let legal: Vec<&Step> = steps.iter().filter(is_legal).collect();
        let place = usize::try_from(draw % (legal.len().max(1) as u64)).ok()?;
        legal.get(place).map(|step| (*step).clone())
    }

    /// Whether the full packet is to go: they took it, and it was not released.
    pub(super) fn awaits_full(&self, thread: ThreadId) -> bool {
        let Some(held) = self.threads.get(&thread).filter(|held| held.side == Side::Sender) else { return false };
        let folded = held.thread();
        folded.state.is_at_work() && !folded.is_released()
    }

    /// What follows by itself at the receiver: it takes a case over, or says what it erased.
    pub(super) fn reflex(&self, thread: ThreadId) -> Option<Step> {
        let held = self.threads.get(&thread).filter(|held| held.side == Side::Receiver)?;
        let folded = held.thread();
        let answered = folded.applied().any(|(event, _)| matches!(event.event.step, Step::ErasureAnswered { .. }));
        let taken_back =
            matches!(folded.state, State::Withdrawn | State::Revoked | State::ConsentWithdrawn | State::EnteredInError);
        if taken_back && !answered {
            return Some(Step::ErasureAnswered { erased: true, kept: Note::default() });
        }
        let takes_over = held.is_transfer && held.has_full && folded.state.is_at_work() && folded.is_released();
        takes_over.then_some(Step::TakenOver { epoch: 1 })
    }
}
