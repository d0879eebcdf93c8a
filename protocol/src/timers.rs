//! Who waits for whom, and until when (domain.md 4f). A network says how long each answer may take; an office may be
//! stricter with itself. Nothing here ends a referral but [`Rules::expire_h`]: lateness is told, by rungs.

use crate::coded_enum;
use crate::referral::{Side, State};
use crate::time::Timestamp;
use minicbor::{Decode, Encode};
use serde::{Deserialize, Serialize};

/// Hours for a routine, an urgent and an emergency referral.
pub type Hours = [u32; 3];

/// How long each answer may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Encode, Decode)]
#[cbor(array)]
pub struct Rules {
    /// Until it has arrived.
    #[n(0)]
    pub deliver_h: Hours,
    /// Until a person there has seen it.
    #[n(1)]
    pub acknowledge_h: Hours,
    /// Until they have decided, and until a question is answered.
    #[n(2)]
    pub decide_h: Hours,
    /// From acceptance to the first contact with the client.
    #[n(3)]
    pub first_contact_h: Hours,
    /// Between two words on how the work goes.
    #[n(4)]
    pub status_h: Hours,
    /// Until the client was asked how it was.
    #[n(5)]
    pub feedback_h: Hours,
    /// Until a referral that nobody decided ends.
    #[n(6)]
    pub expire_h: Hours,
}

const DAY: u32 = 24;
/// Longest time that a rule gives.
pub const YEAR: u32 = 365 * DAY;

/// A rule that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no rule: write for example decide=168/72/8, hours from 1 to 8760 for routine, urgent and emergency; the names are {names}", names = Rules::NAMES.join(", "))]
pub struct BadRule(String);

impl Rules {
    /// What networks start with.
    pub const DEFAULT: Self = Self {
        deliver_h: [DAY; 3],
        acknowledge_h: [3 * DAY, DAY, 3],
        decide_h: [7 * DAY, 3 * DAY, 8],
        first_contact_h: [3 * DAY, DAY, 3],
        status_h: [30 * DAY; 3],
        feedback_h: [7 * DAY; 3],
        expire_h: [14 * DAY; 3],
    };

    /// The rules with one of them set anew, as it is typed: `decide=168/72/8`.
    ///
    /// # Errors
    /// When the name is none of ours, or there are not three numbers from 1 to 8760, a year of hours.
    pub fn with(mut self, text: &str) -> Result<Self, BadRule> {
        let bad = || BadRule(text.to_owned());
        let (name, numbers) = text.split_once('=').ok_or_else(bad)?;
        let of = self.named_mut(&name.trim().replace('-', "_")).ok_or_else(bad)?;
        let numbers =
            numbers.split('/').map(|number| number.trim().parse().ok().filter(|hours| (1..=YEAR).contains(hours)));
        let numbers: Vec<u32> = numbers.collect::<Option<_>>().ok_or_else(bad)?;
        *of = Hours::try_from(numbers).map_err(|_| bad())?;
        Ok(self)
    }

    /// Whether every number is one that a person can mean: from an hour to a year.
    pub fn is_sound(mut self) -> bool {
        Self::NAMES
            .iter()
            .all(|name| self.named_mut(name).is_some_and(|hours| hours.iter().all(|hours| (1..=YEAR).contains(hours))))
    }

    /// Every rule by its name.
    pub fn named_mut(&mut self, name: &str) -> Option<&mut Hours> {
        Some(match name {
            "deliver" => &mut self.deliver_h,
            "acknowledge" => &mut self.acknowledge_h,
            "decide" => &mut self.decide_h,
            "first_contact" => &mut self.first_contact_h,
            "status" => &mut self.status_h,
            "feedback" => &mut self.feedback_h,
            "expire" => &mut self.expire_h,
            _ => return None,
        })
    }

    /// The names of the rules, in the order in which a referral comes to them.
    pub const NAMES: [&'static str; 7] =
        ["deliver", "acknowledge", "decide", "first_contact", "status", "feedback", "expire"];

    /// The stricter of the two, number by number: an office may tighten what its network set, and never loosen it. Zero
    /// leaves it as it is.
    #[must_use]
    pub fn tightened(&self, own: &Self) -> Self {
        let stricter = |network: Hours, own: Hours| {
            let mut hours = network;
            for (hours, own) in hours.iter_mut().zip(own) {
                *hours = if own == 0 { *hours } else { own.min(*hours) };
            }
            hours
        };
        Self {
            deliver_h: stricter(self.deliver_h, own.deliver_h),
            acknowledge_h: stricter(self.acknowledge_h, own.acknowledge_h),
            decide_h: stricter(self.decide_h, own.decide_h),
            first_contact_h: stricter(self.first_contact_h, own.first_contact_h),
            status_h: stricter(self.status_h, own.status_h),
            feedback_h: stricter(self.feedback_h, own.feedback_h),
            expire_h: stricter(self.expire_h, own.expire_h),
        }
    }
}

/// The words for urgencies: each stands at its number.
pub const URGENCIES: [&str; 3] = ["routine", "urgent", "emergency"];

/// The hours for an urgency: 0 routine, 1 urgent, 2 and more emergency.
pub fn hours(of: Hours, urgency: u8) -> u32 {
    let [routine, urgent, emergency] = of;
    match urgency {
        0 => routine,
        1 => urgent,
        _ => emergency,
    }
}

coded_enum!(
    /// What is waited for.
    Awaited {
        /// That it arrives.
        Delivery = 1 "delivery",
        /// That a person sees it.
        Acknowledgement = 2 "acknowledgement",
        /// A decision.
        Decision = 3 "decision",
        /// The answer to a question.
        Answer = 4 "answer",
        /// The first contact with the client.
        FirstContact = 5 "first_contact",
        /// A word on how the work goes.
        Status = 6 "status",
        /// What the client says.
        Feedback = 7 "feedback",
    }
);

/// Where a referral stands, as far as timers care.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// Where.
    pub state: State,
    /// Since when, by our clock.
    pub since: Timestamp,
    /// How urgent.
    pub urgency: u8,
    /// When the sender asked for an answer.
    pub respond_by: Timestamp,
    /// The day that the receiver named: of the first contact, or the end of its waiting list.
    pub promised: Option<Timestamp>,
}

/// Somebody waits for somebody.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wait {
    /// For what.
    pub what: Awaited,
    /// Whose turn it is.
    pub turn: Side,
    /// It is late from then on.
    pub due: Timestamp,
    /// The time that was given, in hours.
    pub given_h: u32,
}

impl Standing {
    /// What is waited for here, and whose turn it is.
    pub fn wait(&self, rules: &Rules) -> Option<Wait> {
        use Side::{Receiver, Sender};
        let (what, turn, hours_of) = match self.state {
            State::Sent => (Awaited::Delivery, Sender, rules.deliver_h),
            State::Delivered => (Awaited::Acknowledgement, Receiver, rules.acknowledge_h),
            State::Acknowledged | State::InfoGiven | State::Waitlisted => (Awaited::Decision, Receiver, rules.decide_h),
            State::InfoRequested => (Awaited::Answer, Sender, rules.decide_h),
            State::Accepted => (Awaited::FirstContact, Receiver, rules.first_contact_h),
            State::InProgress | State::OnHold => (Awaited::Status, Receiver, rules.status_h),
            State::Completed | State::Failed | State::Declined | State::Rerouted | State::Expired => {
                (Awaited::Feedback, Sender, rules.feedback_h)
            }
            State::Draft
            | State::CapacityAsked
            | State::Withdrawn
            | State::Revoked
            | State::ConsentWithdrawn
            | State::Closed
            | State::Transferred
            | State::EnteredInError => return None,
        };
        let given_h = hours(hours_of, self.urgency);
        let by_rule = self.since.plus_ms(u64::from(given_h) * HOUR_MS);
        let due = match (what, self.promised) {
            // A day that was named counts, be it earlier or later than the rule.
            (Awaited::FirstContact | Awaited::Decision, Some(promised)) => promised,
            (Awaited::Decision, None) => by_rule.min(self.respond_by.max(self.since)),
            _ => by_rule,
        };
        Some(Wait { what, turn, due, given_h })
    }
}

const HOUR_MS: u64 = 3_600_000;

coded_enum!(
    /// How late somebody is: each rung tells one more person.
    Rung {
        /// In time.
        InTime = 0 "in_time",
        /// Late: who works on it.
        Worker = 1 "worker",
        /// Late by half of the time that was given: the desk.
        Desk = 2 "desk",
        /// Late by all of it: who leads, and the other office's worker.
        Supervisor = 3 "supervisor",
    }
);

impl Wait {
    /// How late it is.
    pub fn rung(&self, now: Timestamp) -> Rung {
        let given = u64::from(self.given_h) * HOUR_MS;
        match now {
            now if now < self.due => Rung::InTime,
            now if now < self.due.plus_ms(given / 2) => Rung::Worker,
            now if now < self.due.plus_ms(given) => Rung::Desk,
            _ => Rung::Supervisor,
        }
    }

    /// The rung at which a side stands now. It is told of its own turn as soon as it is late; of the other's when that one is late by all the
    /// time it had. Silence before a decision is the sender's to know at once: somebody else must be found.
    pub fn tells(&self, side: Side, now: Timestamp) -> Rung {
        let rung = self.rung(now);
        let asks_elsewhere = side == Side::Sender && self.what == Awaited::Decision;
        match (self.turn == side || asks_elsewhere, rung) {
            (true, rung) => rung,
            (false, Rung::Supervisor) => Rung::Worker,
            (false, _) => Rung::InTime,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NOW: Timestamp = Timestamp::from_s(1_795_000_000);

    fn standing(state: State, urgency: u8) -> Standing {
        Standing { state, since: NOW, urgency, respond_by: NOW.plus_days(7), promised: None }
    }

    fn after_h(hours: u32) -> Timestamp {
        NOW.plus_ms(u64::from(hours) * HOUR_MS)
    }

    #[test]
    fn every_state_has_its_wait_and_its_turn() {
        let rules = Rules::DEFAULT;
        for (state, what, turn, hours) in [
            (State::Sent, Awaited::Delivery, Side::Sender, [24, 24, 24]),
            (State::Delivered, Awaited::Acknowledgement, Side::Receiver, [72, 24, 3]),
            (State::Acknowledged, Awaited::Decision, Side::Receiver, [168, 72, 8]),
            (State::InfoRequested, Awaited::Answer, Side::Sender, [168, 72, 8]),
            (State::Accepted, Awaited::FirstContact, Side::Receiver, [72, 24, 3]),
            (State::OnHold, Awaited::Status, Side::Receiver, [720; 3]),
            (State::Declined, Awaited::Feedback, Side::Sender, [168; 3]),
        ] {
            for (urgency, hours) in (0u8..).zip(hours) {
                let wait = standing(state, urgency).wait(&rules).unwrap();
                assert_eq!((wait.what, wait.turn, wait.due), (what, turn, after_h(hours)), "{state} {urgency}");
            }
        }
        for state in State::ALL.iter().filter(|state| state.is_final()) {
            assert_eq!(standing(*state, 0).wait(&rules), None, "{state}");
        }
    }

    #[test]
    fn rules_are_read_as_they_are_typed() {
        let rules = Rules::DEFAULT.with("decide=120/48/6").unwrap().with("first-contact = 48 / 24 / 2").unwrap();
        assert_eq!((rules.decide_h, rules.first_contact_h), ([120, 48, 6], [48, 24, 2]));
        for bad in
            ["decide", "decide=1/2", "decide=1/2/3/4", "decide=0/1/1", "decide=1/1/9000", "sleep=1/1/1", "decide=a/b/c"]
        {
            assert!(Rules::DEFAULT.with(bad).unwrap_err().to_string().contains("write for example"), "{bad}");
        }
        for name in Rules::NAMES {
            let mut rules = Rules::DEFAULT;
            assert!(rules.named_mut(name).is_some(), "{name}");
        }
    }

    #[test]
    fn a_day_that_was_named_and_the_senders_wish_count() {
        let rules = Rules::DEFAULT;
        let named = Standing { promised: Some(NOW.plus_days(40)), ..standing(State::Waitlisted, 0) };
        assert_eq!(named.wait(&rules).unwrap().due, NOW.plus_days(40));
        let soon = Standing { respond_by: NOW.plus_days(1), ..standing(State::Acknowledged, 0) };
        assert_eq!(soon.wait(&rules).unwrap().due, NOW.plus_days(1));
        // A wish that is over already gives no more than now.
        let over = Standing { respond_by: NOW, since: NOW.plus_days(2), ..standing(State::InfoGiven, 0) };
        assert_eq!(over.wait(&rules).unwrap().due, NOW.plus_days(2));
    }

    #[test]
    fn the_ladder_tells_one_more_at_each_rung_and_the_sender_of_silence_at_once() {
        let wait = standing(State::Delivered, 0).wait(&Rules::DEFAULT).unwrap();
        for (hours, rung) in [(71, Rung::InTime), (72, Rung::Worker), (108, Rung::Desk), (144, Rung::Supervisor)] {
            assert_eq!(wait.rung(after_h(hours)), rung);
        }
        assert_eq!(wait.tells(Side::Receiver, after_h(72)), Rung::Worker);
        assert_eq!(wait.tells(Side::Sender, after_h(143)), Rung::InTime);
        assert_eq!(wait.tells(Side::Sender, after_h(144)), Rung::Worker);
        let decision = standing(State::Acknowledged, 0).wait(&Rules::DEFAULT).unwrap();
        assert_eq!(decision.tells(Side::Sender, after_h(167)), Rung::InTime);
        assert_eq!(decision.tells(Side::Sender, after_h(168)), Rung::Worker);
    }

    proptest! {
        #[test]
        fn an_office_tightens_and_never_loosens(
            network in proptest::array::uniform3(1u32..2000), own in proptest::array::uniform3(0u32..4000),
        ) {
            let rules = Rules { decide_h: network, ..Rules::DEFAULT };
            let tight = rules.tightened(&Rules { decide_h: own, ..Rules::DEFAULT });
            for ((tight, network), own) in tight.decide_h.into_iter().zip(network).zip(own) {
                prop_assert!(tight <= network && tight > 0);
                prop_assert!(own == 0 || tight <= own);
            }
        }
    }
}
