//! Columns of referrals, sent and received.

use super::{Rows, Sight, Wanted, codes, days, words};
use crate::index::Tables;
use crate::office::referrals::way_of;
use crate::records::Referral;
use casemesh_protocol::indicators::{Column, Columns, Source};
use casemesh_protocol::referral::{Side, Step, Thread};
use casemesh_protocol::statistics::word_code;
use casemesh_protocol::terms::Code;
use casemesh_protocol::time::{Day, Timestamp};
use casemesh_protocol::timers::URGENCIES;

/// What the office that was asked can have said to a referral: the words of the list `referral_answer`.
pub(in crate::office) const ANSWERS: [&str; 7] =
    ["silent", "acknowledged", "waitlisted", "accepted", "declined", "rerouted", "withdrawn"];

/// What the office that was asked said to it: one of [`ANSWERS`].
fn answer(thread: &Thread) -> &'static str {
    // A decision outweighs a waiting list, and that outweighs having seen it; of two decisions the later one holds.
    let mut said = (0u8, "silent");
    for (event, _) in thread.applied() {
        let next = match &event.event.step {
            Step::Accepted { .. } => (3, "accepted"),
            Step::Declined { .. } => (3, "declined"),
            Step::Rerouted { .. } => (3, "rerouted"),
            Step::Waitlisted { .. } => (2, "waitlisted"),
            Step::Acknowledged | Step::InfoRequested { .. } => (1, "acknowledged"),
            // Taken back before anybody had decided.
            Step::Withdrawn { .. } | Step::EnteredInError => (2, "withdrawn"),
            _ => continue,
        };
        if next.0 >= said.0 {
            said = next;
        }
    }
    said.1
}

/// The office on the other side, as a code: its id, or that it is outside the network.
fn partner(referral: &Referral) -> Option<Code> {
    match &referral.outside {
        // Those outside are one class, whatever somebody called them.
        Some(_) => word_code("office", "outside"),
        None => Code::new("office", 1, &referral.partner.to_string(), &referral.partner_name).ok(),
    }
}

impl Tables {
    pub(super) fn referral_columns(&self, wanted: &Wanted<'_>, sight: &Sight<'_>) -> Rows {
        let is_in = |referral: &&Referral| match referral.case.and_then(|case| self.cases.get(&case)) {
            Some(case) => sight.has(case),
            None => sight.incoming && sight.has_own(None),
        };
        let rows: Vec<&Referral> =
            self.referrals.values().map(AsRef::as_ref).filter(|one| sight.asks(one.case)).filter(is_in).collect();
        let threads: Vec<Thread> = rows.iter().map(|referral| referral.thread()).collect();
        let day = |at: Timestamp| self.zone.day(at);
        // The day of the last step that is meant.
        let on = |thread: &Thread, is: &dyn Fn(Side, &Step) -> bool| {
            let all = thread.applied().filter(|(event, _)| is(event.side, &event.event.step));
            all.last().map(|(event, _)| day(event.event.at))
        };
        let sent =
            |thread: &Thread| on(thread, &|side, step| side == Side::Sender && matches!(step, Step::Sent { .. }));
        let sent: Vec<Option<Day>> = threads.iter().map(sent).collect();
        let days_from = |ends: &mut dyn Iterator<Item = Option<Day>>| {
            let from = |(sent, end): (&Option<Day>, Option<Day>)| sent.zip(end).and_then(|(sent, end)| days(sent, end));
            Column::Number(sent.iter().zip(ends).map(from).collect())
        };
        let urgency = |referral: &&Referral| URGENCIES.get(usize::from(referral.urgency)).copied();
        let reason = |thread: &Thread| {
            let reasons = thread.applied().filter_map(|(event, _)| match &event.event.step {
                Step::Declined { reason, .. } | Step::Failed { reason, .. } => Some(reason.clone()),
                _ => None,
            });
            reasons.last()
        };
        let is_late = |referral: &&Referral| {
            let wait = self.stands(referral).wait(&sight.rules).filter(|_| referral.erased.is_none());
            wait.is_some_and(|wait| wait.due < sight.now)
        };
        let contact = |thread: &Thread| {
            thread.applied().find_map(|(event, _)| match &event.event.step {
                Step::Started { first_contact } => Some(*first_contact),
                _ => None,
            })
        };
        let column = |name: &str| {
            Some(match name {
                "sent" => Column::Day(sent.clone()),
                "outgoing" => Column::Flag(rows.iter().map(|referral| referral.outgoing).collect()),
                "service" => codes(rows.iter().map(|referral| Some(&referral.preview.service))),
                "state" => {
                    words("referral_state", rows.iter().map(|referral| Some(self.stands(referral).state.as_str())))
                }
                "answer" => words("referral_answer", threads.iter().map(|thread| Some(answer(thread)))),
                "partner" => codes(rows.iter().map(|referral| partner(referral))),
                "urgency" => words("urgency", rows.iter().map(urgency)),
                "reason" => codes(threads.iter().map(reason)),
                "is_late" => Column::Flag(rows.iter().map(is_late).collect()),
                "days_to_read" => days_from(&mut rows.iter().map(|referral| way_of(referral).read.map(day))),
                "days_to_answer" => days_from(&mut rows.iter().map(|referral| way_of(referral).answered.map(day))),
                "days_to_contact" => days_from(&mut threads.iter().map(contact)),
                "days_to_outcome" => {
                    let is_outcome = |_, step: &Step| matches!(step, Step::Completed { .. } | Step::Failed { .. });
                    days_from(&mut threads.iter().map(|thread| on(thread, &is_outcome)))
                }
                _ => return None,
            })
        };
        let counted = |referral: &&Referral| referral.client.is_none_or(|client| self.may_count(client));
        let columns = Columns {
            counts: rows.iter().map(counted).collect(),
            units: Vec::new(),
            columns: wanted.of(Source::Referrals, column),
        };
        Rows { columns, cases: rows.iter().map(|referral| referral.case).collect(), people: Vec::new() }
    }
}
