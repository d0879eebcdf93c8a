//! What must be true of a simulated world, while it runs and when all is over.

use super::{Checked, Content, Held, Office, RowState, World};
use crate::id::ThreadId;

impl World {
    /// A case that is handed over is never two offices'.
    pub(super) fn check_case(&mut self, thread: ThreadId) -> Checked {
        let Some((one, two)) = self.parties.get(&thread).copied().filter(|_| self.transfers.contains(&thread)) else {
            return Ok(());
        };
        let holds = |office: &Office| office.threads.get(&thread).is_some_and(Held::holds_case);
        let (one, two) = (holds(self.office(one)), holds(self.office(two)));
        if one && two { Err(format!("the case of {thread:?} is two offices'")) } else { Ok(()) }
    }

    pub(super) fn check_the_end(&mut self) -> Checked {
        let revoked = self.revoked;
        for office in self.offices.iter().filter(|office| Some(office.number) != revoked) {
            for row in office.outbox.values().filter(|row| Some(row.to) != revoked) {
                let is_over = !matches!(row.state, RowState::Waiting | RowState::Released(_));
                if !is_over && row.not_before <= self.clock() {
                    return Err(format!("a packet of {} for {} is left on the way: {row:?}", office.number, row.to));
                }
            }
            for hash in office.row_of.iter().filter(|(_, row)| {
                office.outbox.get(row).is_some_and(|row| matches!(row.state, RowState::Arrived | RowState::Read))
            }) {
                let (hash, row) = hash;
                let to = office.outbox.get(row).map_or(0, |row| row.to);
                let shown =
                    office.row_of.iter().any(|(other, same)| same == row && self.stored.contains(&(to, *other)));
                if !shown {
                    return Err(format!("{} shows {hash:?} as arrived, and {to} never stored it", office.number));
                }
            }
        }
        self.check_owners()?;
        let threads: Vec<(ThreadId, (u32, u32))> = self.parties.iter().map(|(id, both)| (*id, *both)).collect();
        for (thread, (sender, receiver)) in threads {
            if revoked == Some(sender) || revoked == Some(receiver) {
                continue;
            }
            self.check_logs(thread, sender, receiver)?;
        }
        Ok(())
    }

    fn check_logs(&mut self, thread: ThreadId, sender: u32, receiver: u32) -> Checked {
        // A preview that came to nothing is not sent again by itself: a person is told.
        let lost = self.office(sender).outbox.values().any(|row| {
            matches!(row.content, Content::Preview(_))
                && row.content.thread() == Some(thread)
                && matches!(row.state, RowState::Cancelled | RowState::Expired | RowState::Refused)
        });
        let theirs = self.office(receiver).threads.get(&thread).map(Held::thread);
        let Some(ours) = self.office(sender).threads.get(&thread).map(Held::thread) else { return Ok(()) };
        match theirs {
            None if lost => Ok(()),
            None => Err(format!("the referral {thread:?} of {sender} never reached {receiver}")),
            Some(theirs) if ours == theirs => Ok(()),
            Some(theirs) => {
                let words = |thread: &crate::referral::Thread| {
                    let steps =
                        thread.events.iter().map(|(event, fate)| format!("{} {fate:?}", event.event.step.word()));
                    steps.collect::<Vec<_>>().join("; ")
                };
                Err(format!(
                    "the logs of {thread:?} differ: {sender} has [{}], {receiver} has [{}]",
                    words(&ours),
                    words(&theirs)
                ))
            }
        }
    }

    /// A case that was handed over is somebody's. One excuse: what was released never arrived, and a person must look.
    fn check_owners(&mut self) -> Checked {
        let revoked = self.revoked;
        for thread in self.transfers.clone() {
            let Some((sender, receiver)) = self.parties.get(&thread).copied() else { continue };
            if revoked == Some(sender) || revoked == Some(receiver) {
                continue;
            }
            let holds = |office: &Office| office.threads.get(&thread).is_some_and(Held::holds_case);
            let is_held = holds(self.office(sender)) || holds(self.office(receiver));
            let is_lost = self.office(sender).outbox.values().any(|row| {
                matches!(&row.content, Content::Full(event) if event.thread == thread)
                    && matches!(row.state, RowState::Cancelled | RowState::Expired | RowState::Refused)
            });
            if !is_held && !is_lost {
                return Err(format!("the case of {thread:?} is nobody's"));
            }
        }
        Ok(())
    }
}
