//! The life of a referral. Both offices hold the same signed events and fold them into the same state,
//! whatever order, loss or repetition the roads gave them.
//!
//! ```text
//! draft > sent > delivered > acknowledged > info requested <> info given
//!                    |-> accepted > in progress <> on hold > completed | failed > closed
//!                    |-> declined, rerouted, waitlisted
//! before acceptance: withdrawn, expired, consent withdrawn      after it: revoked, consent withdrawn, failed
//! ```
//!
//! An event names its author's previous event and the last it saw from the other side. The fold goes in
//! that causal order; among events that did not know of each other the graver goes first ([`rank`]), then
//! the smaller hash. An event that is not allowed where it comes to stand changes nothing and is kept as
//! refused. An event whose predecessors have not arrived waits.

use crate::bounded::{List, Text};
use crate::coded_enum;
use crate::id::{EventId, OfficeId, ThreadId};
use crate::limits::{LIST_MAX, NOTE_BYTES_MAX, THREAD_EVENTS_MAX};
use crate::terms::{Code, Line, Money};
use crate::time::{Day, Timestamp};
use casemesh_crypto::hash::{Digest, sha256};
use casemesh_crypto::sign::{BadSignature, Context, KeyId, Signature, SigningKey, VerifyingKey};
use casemesh_crypto::wire::{self, NotCanonical};
use minicbor::{Decode, Encode};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// A note that travels with an answer.
pub type Note = Text<NOTE_BYTES_MAX>;

coded_enum!(
    /// Where a referral stands (domain.md 4a).
    State {
        /// Being written; the other office has nothing.
        Draft = 0 "draft",
        /// Asked whether there is room, without a person.
        CapacityAsked = 1 "capacity_asked",
        /// On its way.
        Sent = 2 "sent",
        /// Stored by the other office's node.
        Delivered = 3 "delivered",
        /// Seen by a person there.
        Acknowledged = 4 "acknowledged",
        /// They ask something.
        InfoRequested = 5 "info_requested",
        /// We answered.
        InfoGiven = 6 "info_given",
        /// They take it.
        Accepted = 7 "accepted",
        /// They do not take it.
        Declined = 8 "declined",
        /// They name another office.
        Rerouted = 9 "rerouted",
        /// They keep it on a waiting list.
        Waitlisted = 10 "waitlisted",
        /// Work rests.
        OnHold = 11 "on_hold",
        /// Work has begun.
        InProgress = 12 "in_progress",
        /// Work is done.
        Completed = 13 "completed",
        /// They tried; it came to nothing.
        Failed = 14 "failed",
        /// We took it back before they took it.
        Withdrawn = 15 "withdrawn",
        /// We took it back after they took it.
        Revoked = 16 "revoked",
        /// The client took the consent back.
        ConsentWithdrawn = 17 "consent_withdrawn",
        /// Nobody decided in time.
        Expired = 18 "expired",
        /// We read the outcome and asked the client.
        Closed = 19 "closed",
        /// It should never have been.
        EnteredInError = 20 "entered_in_error",
        /// The case is the other office's now.
        Transferred = 21 "transferred",
    }
);

impl State {
    /// Whether the receiver may still decide.
    pub const fn is_before_acceptance(self) -> bool {
        matches!(
            self,
            Self::Sent
                | Self::Delivered
                | Self::Acknowledged
                | Self::InfoRequested
                | Self::InfoGiven
                | Self::Waitlisted
        )
    }

    /// Whether the receiver took it and has not finished.
    pub const fn is_at_work(self) -> bool {
        matches!(self, Self::Accepted | Self::InProgress | Self::OnHold)
    }

    /// Whether the two offices have something to do with each other still: it is to be decided, or somebody works on it.
    pub const fn is_open(self) -> bool {
        self.is_before_acceptance() || self.is_at_work()
    }

    /// Whether nothing but notes and corrections can follow.
    pub const fn is_final(self) -> bool {
        matches!(
            self,
            Self::Withdrawn
                | Self::Revoked
                | Self::ConsentWithdrawn
                | Self::Closed
                | Self::EnteredInError
                | Self::Transferred
        )
    }

    /// Whether the receiver has answered in any way.
    pub const fn is_answered(self) -> bool {
        !matches!(self, Self::Draft | Self::CapacityAsked | Self::Sent | Self::Delivered)
    }
}

/// Which of the two offices.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// The office that refers.
    Sender,
    /// The office that is asked.
    Receiver,
}

/// What a step says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Encode, Decode)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Step {
    /// The sender asks for a service.
    #[n(0)]
    Sent {
        /// Which.
        #[n(0)]
        service: Code,
        /// An answer is wanted by then.
        #[n(1)]
        respond_by: Timestamp,
        /// Without an answer it ends then.
        #[n(2)]
        expires: Timestamp,
        /// Hash of the preview that goes with it.
        #[n(3)]
        preview: Digest,
    },
    /// A person at the receiver saw it.
    #[n(1)]
    Acknowledged,
    /// The receiver asks.
    #[n(2)]
    InfoRequested {
        /// What.
        #[n(0)]
        text: Note,
    },
    /// The sender answers.
    #[n(3)]
    InfoGiven {
        /// What.
        #[n(0)]
        text: Note,
    },
    /// The receiver takes it.
    #[n(4)]
    Accepted {
        /// When, where, whom to ask for, what to bring.
        #[n(0)]
        arrangement: Note,
        /// First contact at the latest on that day.
        #[n(1)]
        first_contact_by: Option<Day>,
        /// When, where, whom to ask for, what to bring, each for itself.
        #[n(2)]
        visit: Option<Visit>,
    },
    /// The receiver does not take it.
    #[n(5)]
    Declined {
        /// Why, from the list.
        #[n(0)]
        reason: Code,
        /// In words.
        #[n(1)]
        note: Note,
    },
    /// The receiver names another office.
    #[n(6)]
    Rerouted {
        /// Which, by name.
        #[n(0)]
        suggested: Line,
        /// In words.
        #[n(1)]
        note: Note,
        /// Which, if it is a member of the network.
        #[n(2)]
        office: Option<OfficeId>,
    },
    /// The receiver keeps it on a waiting list.
    #[n(7)]
    Waitlisted {
        /// Until when.
        #[n(0)]
        until: Option<Day>,
    },
    /// Work rests.
    #[n(8)]
    OnHold {
        /// Why.
        #[n(0)]
        reason: Code,
    },
    /// Work has begun, or goes on.
    #[n(9)]
    Started {
        /// The day of the first contact.
        #[n(0)]
        first_contact: Day,
    },
    /// Work is done.
    #[n(10)]
    Completed {
        /// How it came out.
        #[n(0)]
        outcome: Code,
        /// What was given.
        #[n(1)]
        services: List<Code, LIST_MAX>,
        /// What was recovered for the client; the receiver counts it.
        #[n(2)]
        recovered: List<Money, LIST_MAX>,
        /// In words that the receiver chose to share.
        #[n(3)]
        note: Note,
    },
    /// They tried; it came to nothing.
    #[n(11)]
    Failed {
        /// Why.
        #[n(0)]
        reason: Code,
        /// In words.
        #[n(1)]
        note: Note,
    },
    /// The sender takes it back before acceptance.
    #[n(12)]
    Withdrawn {
        /// Why.
        #[n(0)]
        reason: Code,
    },
    /// The sender takes it back after acceptance.
    #[n(13)]
    Revoked {
        /// Why.
        #[n(0)]
        reason: Code,
    },
    /// The client took the consent back, at either office.
    #[n(14)]
    ConsentWithdrawn,
    /// What was erased and what is kept after that.
    #[n(15)]
    ErasureAnswered {
        /// Whether everything received is erased.
        #[n(0)]
        erased: bool,
        /// What is kept, and on which legal ground.
        #[n(1)]
        kept: Note,
    },
    /// Nobody decided in time.
    #[n(16)]
    Expired,
    /// The sender read the outcome and asked the client.
    #[n(17)]
    Closed {
        /// How the client sees it, if asked.
        #[n(0)]
        feedback: Option<Code>,
        /// In words.
        #[n(1)]
        note: Note,
    },
    /// It should never have been.
    #[n(18)]
    EnteredInError,
    /// A word to the other office; it changes nothing.
    #[n(19)]
    Noted {
        /// What.
        #[n(0)]
        text: Note,
    },
    /// The sender released the full packet after acceptance; it changes nothing.
    #[n(20)]
    Released {
        /// Hash of its body.
        #[n(0)]
        full: Digest,
    },
    /// The sender erased the person, and asks the receiver to do the same; it changes nothing.
    #[n(21)]
    ErasureAsked,
    /// The case that was handed over is here, and is the receiver's from now on.
    #[n(22)]
    TakenOver {
        /// How often the case was handed over, this time included.
        #[n(0)]
        epoch: u32,
    },
    /// The sender asks whether anything speaks against the receiver acting: names follow, for its computer alone; it changes
    /// nothing.
    #[n(23)]
    ConflictAsked {
        /// Hash of the names.
        #[n(0)]
        names: Digest,
    },
    /// The receiver says whether it can act, and no more; it changes nothing.
    #[n(24)]
    ConflictAnswered {
        /// Whether it can.
        #[n(0)]
        can_act: bool,
    },
}

impl Step {
    /// The word for it.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Sent { .. } => "sent",
            Self::Acknowledged => "acknowledged",
            Self::InfoRequested { .. } => "info_requested",
            Self::InfoGiven { .. } => "info_given",
            Self::Accepted { .. } => "accepted",
            Self::Declined { .. } => "declined",
            Self::Rerouted { .. } => "rerouted",
            Self::Waitlisted { .. } => "waitlisted",
            Self::OnHold { .. } => "on_hold",
            Self::Started { .. } => "started",
            Self::Completed { .. } => "completed",
            Self::Failed { .. } => "failed",
            Self::Withdrawn { .. } => "withdrawn",
            Self::Revoked { .. } => "revoked",
            Self::ConsentWithdrawn => "consent_withdrawn",
            Self::ErasureAnswered { .. } => "erasure_answered",
            Self::Expired => "expired",
            Self::Closed { .. } => "closed",
            Self::EnteredInError => "entered_in_error",
            Self::Noted { .. } => "noted",
            Self::Released { .. } => "released",
            Self::ErasureAsked => "erasure_asked",
            Self::TakenOver { .. } => "taken_over",
            Self::ConflictAsked { .. } => "conflict_asked",
            Self::ConflictAnswered { .. } => "conflict_answered",
        }
    }
}

/// A step that is not allowed where the referral stands, or not for that side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a referral that is {state} cannot be {step} by the {side}", side = match side { Side::Sender => "office that sent it", Side::Receiver => "office that received it" })]
pub struct IllegalStep {
    /// Where it stands.
    pub state: State,
    /// What was tried.
    pub step: &'static str,
    /// By whom.
    pub side: Side,
}

impl State {
    /// Where a step leads from here.
    ///
    /// # Errors
    /// When it is not allowed here, or not for that side.
    pub fn after(self, step: &Step, side: Side) -> Result<Self, IllegalStep> {
        use Side::{Receiver, Sender};
        let refused = IllegalStep { state: self, step: step.word(), side };
        let open = self.is_before_acceptance();
        let decided_against = matches!(self, Self::Declined | Self::Rerouted | Self::Expired);
        let is_over = self.is_final() || decided_against || matches!(self, Self::Completed | Self::Failed);
        let next = match (step, side) {
            (Step::Sent { .. }, Sender) if matches!(self, Self::Draft | Self::CapacityAsked) => Self::Sent,
            (Step::Acknowledged, Receiver) if matches!(self, Self::Sent | Self::Delivered) => Self::Acknowledged,
            (Step::InfoRequested { .. }, Receiver) if open => Self::InfoRequested,
            (Step::InfoGiven { .. }, Sender) if self == Self::InfoRequested => Self::InfoGiven,
            (Step::Accepted { .. }, Receiver) if open => Self::Accepted,
            (Step::Declined { .. }, Receiver) if open || self == Self::Accepted => Self::Declined,
            (Step::Rerouted { .. }, Receiver) if open => Self::Rerouted,
            (Step::Waitlisted { .. }, Receiver) if open => Self::Waitlisted,
            (Step::Started { .. }, Receiver) if matches!(self, Self::Accepted | Self::OnHold) => Self::InProgress,
            (Step::OnHold { .. }, Receiver) if matches!(self, Self::Accepted | Self::InProgress) => Self::OnHold,
            (Step::Completed { .. }, Receiver) if self.is_at_work() => Self::Completed,
            (Step::Failed { .. }, Receiver) if self.is_at_work() => Self::Failed,
            (Step::Withdrawn { .. }, Sender) if open => Self::Withdrawn,
            (Step::Revoked { .. }, Sender) if self.is_at_work() => Self::Revoked,
            (Step::ConsentWithdrawn, _) if open || self.is_at_work() => Self::ConsentWithdrawn,
            (Step::Expired, _) if open => Self::Expired,
            (Step::Closed { .. }, Sender) if decided_against || matches!(self, Self::Completed | Self::Failed) => {
                Self::Closed
            }
            // What is the other office's case now cannot be taken back by a word.
            (Step::EnteredInError, Sender)
                if !matches!(self, Self::Draft | Self::EnteredInError | Self::Transferred) =>
            {
                Self::EnteredInError
            }
            // Erasure is asked where nothing more is to be done, and answered there.
            (Step::ErasureAnswered { .. }, Receiver) | (Step::ErasureAsked, Sender) if is_over => self,
            // Before acceptance only where the consent lets everything go at once: the permit guards that.
            (Step::Released { .. }, Sender) if open || self.is_at_work() => self,
            (Step::TakenOver { .. }, Receiver) if self.is_at_work() => Self::Transferred,
            (Step::ConflictAsked { .. }, Sender) | (Step::ConflictAnswered { .. }, Receiver) if open => self,
            (Step::Noted { .. }, _) if self != Self::Draft => self,
            _ => return Err(refused),
        };
        Ok(next)
    }
}

/// Where a step leads in a thread: what was never released cannot be taken over.
fn allowed(state: State, released: bool, step: &Step, side: Side) -> Result<State, IllegalStep> {
    if matches!(step, Step::TakenOver { .. }) && !released {
        return Err(IllegalStep { state, step: step.word(), side });
    }
    state.after(step, side)
}

/// Which of two steps that did not know of each other comes first: the smaller number.
pub const fn rank(step: &Step) -> u8 {
    match step {
        Step::EnteredInError => 0,
        Step::ConsentWithdrawn => 1,
        Step::Withdrawn { .. } | Step::Revoked { .. } => 2,
        Step::Expired => 3,
        Step::Declined { .. } => 4,
        Step::Accepted { .. } => 5,
        _ => 6,
    }
}

/// What a client has to know before the first visit.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, Encode, Decode)]
#[cbor(array)]
pub struct Visit {
    /// When to come.
    #[n(0)]
    pub when: Line,
    /// Where.
    #[n(1)]
    pub place: Line,
    /// Whom to ask for.
    #[n(2)]
    pub ask_for: Line,
    /// What to bring.
    #[n(3)]
    pub bring: Line,
}

impl Visit {
    /// Whether nothing is said.
    pub fn is_empty(&self) -> bool {
        [&self.when, &self.place, &self.ask_for, &self.bring].into_iter().all(Line::is_empty)
    }
}

/// One step as its author writes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Encode, Decode)]
#[cbor(array)]
pub struct Event {
    /// Its name.
    #[n(0)]
    #[serde(skip, default = "no_event")]
    pub id: EventId,
    /// Which referral.
    #[n(1)]
    pub thread: ThreadId,
    /// The author's previous event, else zero.
    #[n(2)]
    pub previous: Digest,
    /// The last event the author saw from the other side, else zero.
    #[n(3)]
    pub seen: Digest,
    /// When, by the author's clock. It orders nothing.
    #[n(4)]
    pub at: Timestamp,
    /// What.
    #[n(5)]
    pub step: Step,
}

const fn no_event() -> EventId {
    EventId { office: OfficeId::new([0; 32]), epoch: crate::id::StoreEpoch::new([0; 8]), number: 0 }
}

/// An event with its author's signature, as both offices keep it.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct SignedEvent {
    #[cbor(n(0), with = "minicbor::bytes")]
    event: Vec<u8>,
    /// Which of the author's keys signed.
    #[n(1)]
    pub key: KeyId,
    #[n(2)]
    signature: Signature,
}

/// Why a signed event is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EventError {
    /// The bytes are no event.
    #[error("the event cannot be read")]
    Unreadable,
    /// The signature is not its author's.
    #[error("the event's signature is not its author's")]
    Signature,
}

impl From<NotCanonical> for EventError {
    fn from(_: NotCanonical) -> Self {
        Self::Unreadable
    }
}

impl From<BadSignature> for EventError {
    fn from(_: BadSignature) -> Self {
        Self::Signature
    }
}

impl SignedEvent {
    /// Signs an event.
    pub fn sign(event: &Event, key: &SigningKey) -> Self {
        let bytes = wire::encode(event);
        let signature = key.sign(Context::ReferralEvent, &bytes);
        Self { event: bytes, key: key.verifying_key().id(), signature }
    }

    /// The event, if `author_key` signed it.
    ///
    /// # Errors
    /// When it cannot be read or the signature is another's.
    pub fn verify(&self, author_key: &VerifyingKey) -> Result<Event, EventError> {
        author_key.verify(Context::ReferralEvent, &self.event, &self.signature)?;
        Ok(wire::decode(&self.event)?)
    }

    /// The event of an entry of our own store, verified when it came in.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn read(&self) -> Result<Event, EventError> {
        Ok(wire::decode(&self.event)?)
    }

    /// The name under which other events refer to it.
    pub fn hash(&self) -> Digest {
        sha256(&[&self.event])
    }
}

/// An event of a thread with its hash and its author's side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ThreadEvent {
    /// Its hash.
    pub hash: Digest,
    /// Who made it.
    pub side: Side,
    /// What it says.
    pub event: Event,
}

/// What became of an event in the fold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It led to that state.
    Applied(State),
    /// It was not allowed where it came to stand.
    Refused(IllegalStep),
    /// Its predecessors have not arrived.
    Waiting,
}

/// A referral as both offices see it once they hold the same events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Thread {
    /// Where it stands.
    pub state: State,
    /// Every event with what became of it, in the order of the fold; those that wait come last.
    pub events: Vec<(ThreadEvent, Fate)>,
}

impl Thread {
    /// Folds events in any order, with repetitions.
    pub fn fold(events: impl IntoIterator<Item = ThreadEvent>) -> Self {
        let mut left: BTreeMap<Digest, ThreadEvent> =
            events.into_iter().take(THREAD_EVENTS_MAX).map(|event| (event.hash, event)).collect();
        let mut done: BTreeSet<Digest> = BTreeSet::from([Digest::ZERO]);
        let mut folded = Vec::with_capacity(left.len());
        let (mut state, mut released) = (State::Draft, false);
        loop {
            let ready = left
                .values()
                .filter(|event| done.contains(&event.event.previous) && done.contains(&event.event.seen))
                .min_by_key(|event| (rank(&event.event.step), event.hash))
                .map(|event| event.hash);
            let Some(event) = ready.and_then(|hash| left.remove(&hash)) else { break };
            done.insert(event.hash);
            let fate = match allowed(state, released, &event.event.step, event.side) {
                Ok(next) => {
                    released |= matches!(event.event.step, Step::Released { .. });
                    state = next;
                    Fate::Applied(next)
                }
                Err(illegal) => Fate::Refused(illegal),
            };
            folded.push((event, fate));
        }
        folded.extend(left.into_values().map(|event| (event, Fate::Waiting)));
        Self { state, events: folded }
    }

    /// Hash of the last event of a side in the fold, else zero.
    pub fn head(&self, side: Side) -> Digest {
        self.events
            .iter()
            .rev()
            .find(|(event, fate)| event.side == side && *fate != Fate::Waiting)
            .map_or(Digest::ZERO, |(event, _)| event.hash)
    }

    /// Every event that a side has shown to know: its own, what they name, and all that went before.
    pub fn known_to(&self, side: Side) -> BTreeSet<Digest> {
        let by_hash: BTreeMap<Digest, &Event> =
            self.events.iter().map(|(event, _)| (event.hash, &event.event)).collect();
        let own = self.events.iter().filter(|(event, _)| event.side == side).map(|(event, _)| event.hash);
        let mut left: Vec<Digest> = own.collect();
        let mut known = BTreeSet::new();
        while let Some(hash) = left.pop() {
            if let Some(event) = by_hash.get(&hash).filter(|_| known.insert(hash)) {
                left.extend([event.previous, event.seen]);
            }
        }
        known
    }

    /// Writes the next event of a side, if the step is allowed.
    ///
    /// # Errors
    /// When it is not allowed where the referral stands.
    pub fn next(
        &self,
        id: EventId,
        thread: ThreadId,
        side: Side,
        step: Step,
        at: Timestamp,
    ) -> Result<Event, IllegalStep> {
        allowed(self.state, self.is_released(), &step, side)?;
        let other = if side == Side::Sender { Side::Receiver } else { Side::Sender };
        Ok(Event { id, thread, previous: self.head(side), seen: self.head(other), at, step })
    }

    /// Whether the sender released a full packet.
    pub fn is_released(&self) -> bool {
        self.did(|step| matches!(step, Step::Released { .. }))
    }

    /// Whether the receiver said yes, whatever came after.
    pub fn was_accepted(&self) -> bool {
        self.did(|step| matches!(step, Step::Accepted { .. }))
    }

    /// Whether a step of a kind came to hold.
    pub fn did(&self, is: impl Fn(&Step) -> bool) -> bool {
        self.applied().any(|(event, _)| is(&event.event.step))
    }

    /// Whether a side is responsible for a case that this thread hands over, as far as it can know. Never both: the sender is not from
    /// the moment it released the case, until the receiver says that it has none of it (or did not take it in the end); the
    /// receiver is from the moment it took it over, and no more once it knows that the sender took it back before.
    pub fn holds_case(&self, side: Side) -> bool {
        match side {
            Side::Receiver => self.state == State::Transferred,
            Side::Sender if !self.is_released() => true,
            Side::Sender => {
                // What was closed or rerouted came back before: a case that was taken over is neither closed nor rerouted.
                let came_back = matches!(
                    self.state,
                    State::Declined | State::Failed | State::Completed | State::Closed | State::Rerouted
                );
                let is_erased = self.did(|step| matches!(step, Step::ErasureAnswered { .. }));
                self.state != State::Transferred && (came_back || is_erased)
            }
        }
    }

    /// The applied events, with the state that each led to.
    pub fn applied(&self) -> impl Iterator<Item = (&ThreadEvent, State)> {
        self.events.iter().filter_map(|(event, fate)| match fate {
            Fate::Applied(state) => Some((event, *state)),
            Fate::Refused(_) | Fate::Waiting => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::StoreEpoch;
    use proptest::prelude::*;

    fn code(text: &str) -> Code {
        Code::new("test", 1, text, text).unwrap()
    }

    fn every_step() -> Vec<Step> {
        let note = Note::default;
        let day = Day::new(2026, 11, 21).unwrap();
        vec![
            Step::Sent {
                service: code("s"),
                respond_by: Timestamp::from_s(1),
                expires: Timestamp::from_s(2),
                preview: Digest::ZERO,
            },
            Step::Acknowledged,
            Step::InfoRequested { text: note() },
            Step::InfoGiven { text: note() },
            Step::Accepted { arrangement: note(), first_contact_by: None, visit: None },
            Step::Declined { reason: code("r"), note: note() },
            Step::Rerouted { suggested: Line::default(), note: note(), office: None },
            Step::Waitlisted { until: None },
            Step::OnHold { reason: code("r") },
            Step::Started { first_contact: day },
            Step::Completed { outcome: code("o"), services: List::default(), recovered: List::default(), note: note() },
            Step::Failed { reason: code("r"), note: note() },
            Step::Withdrawn { reason: code("r") },
            Step::Revoked { reason: code("r") },
            Step::ConsentWithdrawn,
            Step::ErasureAnswered { erased: true, kept: note() },
            Step::Expired,
            Step::Closed { feedback: None, note: note() },
            Step::EnteredInError,
            Step::Noted { text: note() },
            Step::ErasureAsked,
            Step::Released { full: Digest::ZERO },
            Step::TakenOver { epoch: 1 },
            Step::ConflictAsked { names: Digest::ZERO },
            Step::ConflictAnswered { can_act: true },
        ]
    }

    #[test]
    fn what_each_side_may_do_in_each_state() {
        let mut table = String::new();
        for state in State::ALL {
            for side in [Side::Sender, Side::Receiver] {
                let allowed: Vec<_> = every_step()
                    .iter()
                    .filter_map(|step| state.after(step, side).ok().map(|next| format!("{}>{next}", step.word())))
                    .filter(|text| !text.starts_with("noted"))
                    .collect();
                if !allowed.is_empty() {
                    table.push_str(&format!("{state} {side:?}: {}\n", allowed.join(" ")));
                }
            }
        }
        assert_eq!(table, include_str!("referral_table.txt"));
    }

    /// One office's copy of a thread: what it holds, and how it adds to it.
    #[derive(Clone)]
    struct Copy {
        side: Side,
        number: u64,
        held: Vec<ThreadEvent>,
    }

    impl Copy {
        fn new(side: Side) -> Self {
            Self { side, number: 0, held: Vec::new() }
        }

        fn author(&mut self, step: Step) -> Option<ThreadEvent> {
            let office = OfficeId::new([if self.side == Side::Sender { 1 } else { 2 }; 32]);
            let id = EventId { office, epoch: StoreEpoch::new([0; 8]), number: self.number };
            let thread = Thread::fold(self.held.clone());
            let event =
                thread.next(id, ThreadId::new([0; 16]), self.side, step, Timestamp::from_s(self.number)).ok()?;
            self.number += 1;
            let event = ThreadEvent { hash: sha256(&[&wire::encode(&event)]), side: self.side, event };
            self.held.push(event.clone());
            Some(event)
        }
    }

    /// Two offices that act and exchange as the numbers say.
    fn play(moves: &[(bool, u8, u8)]) -> (Copy, Copy) {
        let (mut sender, mut receiver) = (Copy::new(Side::Sender), Copy::new(Side::Receiver));
        sender.author(every_step().remove(0));
        for (who, what, deliver) in moves {
            let steps = every_step();
            let step = steps[usize::from(*what) % steps.len()].clone();
            if *who {
                sender.author(step)
            } else {
                receiver.author(step)
            };
            // Some moves carry one event across, the others none: the rest arrives late.
            if deliver % 3 == 0 {
                let lost = usize::from(*deliver);
                if let Some(event) = sender.held.get(lost % sender.held.len()).cloned() {
                    receiver.held.push(event);
                }
                if let Some(event) = receiver.held.get(lost % receiver.held.len().max(1)).cloned() {
                    sender.held.push(event);
                }
            }
        }
        (sender, receiver)
    }

    proptest! {
        #[test]
        fn any_order_repetition_and_loss_converges(
            moves in proptest::collection::vec((any::<bool>(), any::<u8>(), any::<u8>()), 0..40),
            shuffle in any::<u64>(),
        ) {
            let (sender, receiver) = play(&moves);
            let mut all: Vec<_> = sender.held.iter().chain(&receiver.held).cloned().collect();
            let one = Thread::fold(all.clone());
            let length = all.len();
            for i in 0..length {
                let j = usize::try_from(shuffle.wrapping_mul(i as u64 + 1) % length as u64).unwrap();
                all.swap(i, j);
            }
            all.extend(sender.held.clone());
            let other = Thread::fold(all);
            prop_assert_eq!(&one, &other);
            prop_assert!(one.events.iter().all(|(_, fate)| *fate != Fate::Waiting), "nothing waits once all is there");
        }

        #[test]
        fn after_consent_is_withdrawn_nothing_is_released(
            moves in proptest::collection::vec((any::<bool>(), any::<u8>(), any::<u8>()), 0..40),
        ) {
            let (mut sender, receiver) = play(&moves);
            sender.held.extend(receiver.held);
            sender.author(Step::ConsentWithdrawn);
            let state = Thread::fold(sender.held.clone()).state;
            if state == State::ConsentWithdrawn {
                let released = sender.author(Step::Released { full: Digest::ZERO });
                prop_assert!(released.is_none());
            }
        }
    }

    proptest! {
        /// However the two offices act and whatever is lost on the way: a case that is handed over is never both offices'.
        #[test]
        fn a_case_that_is_handed_over_is_never_two_offices_case(
            moves in proptest::collection::vec((any::<bool>(), any::<u8>(), any::<u8>()), 0..30),
        ) {
            for cut in 0..=moves.len() {
                let (sender, receiver) = play(&moves[..cut]);
                let holds = |copy: &Copy| Thread::fold(copy.held.clone()).holds_case(copy.side);
                prop_assert!(!(holds(&sender) && holds(&receiver)), "both after {cut} moves");
            }
        }
    }

    #[test]
    fn a_case_that_came_back_is_its_senders_also_when_the_referral_is_closed() {
        let (mut sender, mut receiver) = (Copy::new(Side::Sender), Copy::new(Side::Receiver));
        let words = ["sent", "accepted", "released", "failed", "closed"];
        for word in words {
            let step = every_step().into_iter().find(|step| step.word() == word).unwrap();
            let (author, other) = if matches!(word, "accepted" | "failed") {
                (&mut receiver, &mut sender)
            } else {
                (&mut sender, &mut receiver)
            };
            let event = author.author(step).unwrap();
            other.held.push(event);
        }
        let thread = Thread::fold(sender.held.clone());
        assert_eq!((thread.state, thread.holds_case(Side::Sender)), (State::Closed, true));
        assert!(!Thread::fold(receiver.held.clone()).holds_case(Side::Receiver));
    }

    #[test]
    fn withdrawal_and_acceptance_that_cross_end_withdrawn_on_both_sides() {
        let (mut sender, mut receiver) = (Copy::new(Side::Sender), Copy::new(Side::Receiver));
        let sent = sender.author(every_step().remove(0)).unwrap();
        receiver.held.push(sent);
        let accepted = receiver
            .author(Step::Accepted { arrangement: Note::default(), first_contact_by: None, visit: None })
            .unwrap();
        let withdrawn = sender.author(Step::Withdrawn { reason: code("r") }).unwrap();
        sender.held.push(accepted);
        receiver.held.push(withdrawn);
        for copy in [&sender, &receiver] {
            let thread = Thread::fold(copy.held.clone());
            assert_eq!(thread.state, State::Withdrawn);
            assert!(
                thread
                    .events
                    .iter()
                    .any(|(event, fate)| { event.event.step.word() == "accepted" && matches!(fate, Fate::Refused(_)) })
            );
        }
    }

    #[test]
    fn an_event_waits_for_its_predecessor() {
        let (mut sender, mut receiver) = (Copy::new(Side::Sender), Copy::new(Side::Receiver));
        let sent = sender.author(every_step().remove(0)).unwrap();
        receiver.held.push(sent.clone());
        let acknowledged = receiver.author(Step::Acknowledged).unwrap();
        let accepted = receiver
            .author(Step::Accepted { arrangement: Note::default(), first_contact_by: None, visit: None })
            .unwrap();
        let thread = Thread::fold([sent.clone(), accepted.clone()]);
        assert_eq!(thread.state, State::Sent);
        assert_eq!(thread.events.last().map(|(_, fate)| *fate), Some(Fate::Waiting));
        assert_eq!(Thread::fold([accepted, acknowledged, sent]).state, State::Accepted);
    }

    #[test]
    fn a_refusal_reads_as_a_sentence() {
        let illegal = State::Closed.after(&Step::Acknowledged, Side::Receiver).unwrap_err();
        assert_eq!(
            illegal.to_string(),
            "a referral that is closed cannot be acknowledged by the office that received it"
        );
    }
}
