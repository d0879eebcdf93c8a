//! Who may do what: one pure function, asked by every handle that a person gets. What is not allowed here is
//! denied. A case that somebody may not see does not exist for them: search, counts and errors tell the
//! same as if it were not there.

use crate::records::StaffRole;
use casemesh_protocol::id::StaffId;

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Actor {
    /// Which member of staff.
    pub staff: StaffId,
    /// Their roles.
    pub roles: Vec<StaffRole>,
    /// Whether the office uses the small-office preset.
    pub small_office: bool,
}

/// How the asker stands to a case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Relation {
    /// Owner, or assigned.
    pub assigned: bool,
    /// Only who is assigned may see it.
    pub sealed: bool,
}

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ask {
    /// See or search persons, register a person.
    People,
    /// Write and read the desk register.
    Register,
    /// Open a new case.
    OpenCase,
    /// See a case.
    SeeCase(Relation),
    /// Write in a case: notes, money, state.
    WriteCase(Relation),
    /// Record or take back a consent for a client of a case or a new one.
    RecordConsent,
    /// Send a referral of a case, follow it, close it.
    Refer(Relation),
    /// See incoming referrals and answer them.
    AnswerReferrals,
    /// See the office's figures.
    SeeFigures,
    /// Approve a table that leaves the office.
    ApproveTable,
    /// See tables that came in, at a collector.
    SeeCollected,
    /// Import or undo an import.
    Import,
    /// Hand all cases of one member of staff to another.
    HandOver,
    /// Manage accounts and settings.
    Administer,
    /// Read the log of the whole office.
    ReadLog,
}

/// The asker may not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("your account may not do this; ask your supervisor")]
pub struct Denied;

impl Actor {
    fn is(&self, roles: &[StaffRole]) -> bool {
        self.roles.iter().any(|role| roles.contains(role))
    }

    /// Whether the asker may.
    ///
    /// # Errors
    /// [`Denied`], unless a rule allows it.
    pub fn may(&self, ask: Ask) -> Result<(), Denied> {
        use StaffRole::{Administrator, Auditor, Caseworker, IntakeDesk, Reporting, Supervisor, Volunteer};
        let allowed = match ask {
            Ask::People | Ask::Register => self.is(&[Caseworker, Supervisor, IntakeDesk, Volunteer]),
            Ask::OpenCase | Ask::RecordConsent => self.is(&[Caseworker, Supervisor, IntakeDesk]),
            Ask::SeeCase(relation) => self.reaches(relation),
            Ask::WriteCase(relation) => self.reaches(relation) && self.is(&[Caseworker, Supervisor]),
            Ask::Refer(relation) => self.reaches(relation) && self.is(&[Caseworker, Supervisor]),
            Ask::AnswerReferrals => self.is(&[Caseworker, Supervisor, IntakeDesk]),
            Ask::SeeFigures => self.is(&[Caseworker, Supervisor, Reporting]),
            Ask::ApproveTable => self.is(&[Supervisor]) || (self.small_office && self.is(&[Caseworker])),
            Ask::SeeCollected => self.is(&[Supervisor, Reporting]),
            Ask::Import => self.is(&[Supervisor]) || (self.small_office && self.is(&[Caseworker])),
            Ask::HandOver => self.is(&[Supervisor]),
            Ask::Administer => self.is(&[Administrator]),
            Ask::ReadLog => self.is(&[Auditor]),
        };
        if allowed { Ok(()) } else { Err(Denied) }
    }

    fn reaches(&self, relation: Relation) -> bool {
        use StaffRole::{Caseworker, Supervisor, Volunteer};
        let works_with_cases = self.is(&[Caseworker, Supervisor, Volunteer]);
        let by_role = self.is(&[Supervisor]) || (self.small_office && self.is(&[Caseworker]));
        works_with_cases && (relation.assigned || (by_role && !relation.sealed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ASKS: &[(&str, Ask)] = &[
        ("people", Ask::People),
        ("register", Ask::Register),
        ("open_case", Ask::OpenCase),
        ("consent", Ask::RecordConsent),
        ("answer_referrals", Ask::AnswerReferrals),
        ("see_figures", Ask::SeeFigures),
        ("approve_table", Ask::ApproveTable),
        ("see_collected", Ask::SeeCollected),
        ("import", Ask::Import),
        ("hand_over", Ask::HandOver),
        ("administer", Ask::Administer),
        ("read_log", Ask::ReadLog),
    ];

    #[test]
    fn the_matrix_of_roles_asks_and_relations() {
        let mut table = String::new();
        for small_office in [false, true] {
            for role in StaffRole::ALL {
                let actor = Actor { staff: StaffId::new([1; 16]), roles: vec![*role], small_office };
                let mut may: Vec<String> = ASKS
                    .iter()
                    .filter(|(_, ask)| actor.may(*ask).is_ok())
                    .map(|(name, _)| (*name).to_owned())
                    .collect();
                for (assigned, sealed) in [(true, false), (true, true), (false, false), (false, true)] {
                    let relation = Relation { assigned, sealed };
                    let asks = [
                        ("see", Ask::SeeCase(relation)),
                        ("write", Ask::WriteCase(relation)),
                        ("refer", Ask::Refer(relation)),
                    ];
                    for (name, _) in asks.iter().filter(|(_, ask)| actor.may(*ask).is_ok()) {
                        let who = if assigned { "assigned" } else { "other" };
                        may.push(format!("{name}:{who}{}", if sealed { "+sealed" } else { "" }));
                    }
                }
                table.push_str(&format!("{}{role}: {}\n", if small_office { "small " } else { "" }, may.join(" ")));
            }
        }
        assert_eq!(table, include_str!("policy_matrix.txt"));
    }

    #[test]
    fn nobody_without_a_role_may_anything() {
        let nobody = Actor { staff: StaffId::new([1; 16]), roles: vec![], small_office: true };
        assert!(ASKS.iter().all(|(_, ask)| nobody.may(*ask) == Err(Denied)));
        assert!(nobody.may(Ask::SeeCase(Relation { assigned: true, sealed: false })).is_err());
    }
}
