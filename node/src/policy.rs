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
    /// Whether the asker works in a team: a supervisor leads that one then, and not the whole office.
    pub in_team: bool,
}

/// How the asker stands to a case.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Relation {
    /// Owner, or assigned.
    pub assigned: bool,
    /// Only who is assigned may see it.
    pub sealed: bool,
    /// On the conflict list of one of its clients.
    pub barred: bool,
    /// Has emergency access now.
    pub glass: bool,
    /// Somebody of the asker's team works on it.
    pub team: bool,
    /// Nobody is responsible for it.
    pub unowned: bool,
    /// It was handed over to another office: it can be read, and nothing else.
    pub handed_over: bool,
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
    /// Change a case: what it is, money, state.
    WriteCase(Relation),
    /// Write down in a case what was done: entries, documents, tasks.
    NoteInCase(Relation),
    /// Say who works on a case and who may see it. Emergency access never widens itself.
    AssignCase(Relation),
    /// See the entries of a case that are not for all who see it.
    SeeTiers(Relation),
    /// Take emergency access to a case.
    BreakGlass,
    /// Look at emergency accesses of others.
    ReviewGlass,
    /// Put a colleague on the conflict list of a person, and ask to take one off.
    Bar,
    /// Close a case without asking where closures are approved; approve what others ask about cases.
    ApproveCases,
    /// Erase a person, and approve that another does.
    Erase,
    /// Approve accounts.
    ApproveAccounts,
    /// Record or take back a consent for a client of a case or a new one.
    RecordConsent,
    /// Say what is known of persons beside their fields: relations, rolls, entries, and which records are one person's.
    KeepPeople,
    /// Send a referral of a case, follow it, close it.
    Refer(Relation),
    /// See incoming referrals and answer them.
    AnswerReferrals,
    /// Look for what clients of several cases have in common.
    FindLinks,
    /// See the office's figures.
    SeeFigures,
    /// Make and change reports that are made again and again.
    KeepReports,
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
            Ask::OpenCase | Ask::KeepPeople => self.is(&[Caseworker, Supervisor, IntakeDesk]),
            Ask::RecordConsent => self.is(&[Caseworker, Supervisor, IntakeDesk, Volunteer]),
            Ask::SeeCase(relation) => self.reaches(relation),
            Ask::NoteInCase(relation) => self.works_in(relation),
            Ask::WriteCase(relation) | Ask::Refer(relation) => {
                self.works_in(relation) && self.is(&[Caseworker, Supervisor])
            }
            Ask::AssignCase(relation) => {
                self.works_in(Relation { glass: false, ..relation }) && self.is(&[Caseworker, Supervisor])
            }
            Ask::SeeTiers(relation) => self.reaches(relation) && (relation.assigned || relation.glass),
            Ask::BreakGlass => self.is(&[Caseworker, Supervisor]),
            Ask::ReviewGlass | Ask::Bar | Ask::ApproveCases | Ask::Erase => self.is(&[Supervisor]),
            Ask::ApproveAccounts => self.is(&[Supervisor, Administrator]),
            Ask::AnswerReferrals => self.is(&[Caseworker, Supervisor, IntakeDesk]),
            Ask::SeeFigures => self.is(&[Caseworker, Supervisor, Reporting]),
            Ask::ApproveTable => self.is(&[Supervisor]) || (self.small_office && self.is(&[Caseworker])),
            Ask::SeeCollected | Ask::KeepReports => self.is(&[Supervisor, Reporting]),
            Ask::FindLinks | Ask::Import => self.is(&[Supervisor]) || (self.small_office && self.is(&[Caseworker])),
            Ask::HandOver => self.is(&[Supervisor]),
            Ask::Administer => self.is(&[Administrator]),
            Ask::ReadLog => self.is(&[Auditor]),
        };
        if allowed { Ok(()) } else { Err(Denied) }
    }

    fn works_in(&self, relation: Relation) -> bool {
        self.reaches(relation) && !relation.handed_over
    }

    fn reaches(&self, relation: Relation) -> bool {
        use StaffRole::{Caseworker, Supervisor, Volunteer};
        let works_with_cases = self.is(&[Caseworker, Supervisor, Volunteer]);
        let leads = self.is(&[Supervisor]) && (!self.in_team || relation.team || relation.unowned);
        let by_role = leads || (self.is(&[Caseworker]) && (self.small_office || relation.team));
        // The conflict list comes first: nothing overrides it.
        !relation.barred && works_with_cases && (relation.assigned || relation.glass || (by_role && !relation.sealed))
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
        ("keep_people", Ask::KeepPeople),
        ("answer_referrals", Ask::AnswerReferrals),
        ("see_figures", Ask::SeeFigures),
        ("approve_table", Ask::ApproveTable),
        ("see_collected", Ask::SeeCollected),
        ("keep_reports", Ask::KeepReports),
        ("import", Ask::Import),
        ("hand_over", Ask::HandOver),
        ("find_links", Ask::FindLinks),
        ("erase", Ask::Erase),
        ("administer", Ask::Administer),
        ("read_log", Ask::ReadLog),
        ("break_glass", Ask::BreakGlass),
        ("review_glass", Ask::ReviewGlass),
        ("bar", Ask::Bar),
        ("approve_cases", Ask::ApproveCases),
        ("approve_accounts", Ask::ApproveAccounts),
    ];

    /// Every way to stand to a case, by name.
    fn relations() -> impl Iterator<Item = (String, Relation)> {
        (0..32u8).map(|bits| {
            let on = |bit: u8| bits & bit != 0;
            let (who, assigned, team, unowned) = match bits & 3 {
                0 => ("assigned", true, false, false),
                1 => ("other", false, false, false),
                2 => ("team", false, true, false),
                _ => ("unowned", false, false, true),
            };
            let (sealed, glass, barred) = (on(4), on(8), on(16));
            let relation = Relation { assigned, sealed, glass, barred, team, unowned, handed_over: false };
            let marks = [(relation.sealed, "+sealed"), (relation.glass, "+glass"), (relation.barred, "+barred")];
            let marks: String = marks.into_iter().filter(|(on, _)| *on).map(|(_, mark)| mark).collect();
            (format!("{who}{marks}"), relation)
        })
    }

    #[test]
    fn the_matrix_of_roles_asks_and_relations() {
        let mut table = String::new();
        for (small_office, in_team) in [(false, false), (false, true), (true, false)] {
            for role in StaffRole::ALL {
                let actor = Actor { staff: StaffId::new([1; 16]), roles: vec![*role], small_office, in_team };
                let mut may: Vec<String> = ASKS
                    .iter()
                    .filter(|(_, ask)| actor.may(*ask).is_ok())
                    .map(|(name, _)| (*name).to_owned())
                    .collect();
                for (who, relation) in relations() {
                    let asks = [
                        ("see", Ask::SeeCase(relation)),
                        ("tiers", Ask::SeeTiers(relation)),
                        ("note", Ask::NoteInCase(relation)),
                        ("write", Ask::WriteCase(relation)),
                        ("refer", Ask::Refer(relation)),
                        ("assign", Ask::AssignCase(relation)),
                    ];
                    let allowed: Vec<&str> =
                        asks.iter().filter(|(_, ask)| actor.may(*ask).is_ok()).map(|(name, _)| *name).collect();
                    if !allowed.is_empty() {
                        may.push(format!("{who}={}", allowed.join("+")));
                    }
                }
                let office = if small_office { "small " } else { "" };
                let team = if in_team { "in a team " } else { "" };
                table.push_str(&format!("{office}{team}{role}: {}\n", may.join(" ")));
            }
        }
        assert_eq!(table, include_str!("policy_matrix.txt"), "the whole table as found:\n{table}");
    }

    #[test]
    fn nothing_overrides_the_conflict_list_and_emergency_access_gives_nothing_on() {
        for (small_office, in_team) in [(false, false), (false, true), (true, false), (true, true)] {
            let roles = StaffRole::ALL.to_vec();
            let actor = Actor { staff: StaffId::new([1; 16]), roles, small_office, in_team };
            for (who, relation) in relations() {
                let asks = [Ask::SeeCase(relation), Ask::SeeTiers(relation), Ask::Refer(relation)];
                let all = asks.into_iter().chain([Ask::NoteInCase(relation), Ask::WriteCase(relation)]);
                let all = all.chain([Ask::AssignCase(relation)]);
                assert!(!relation.barred || all.into_iter().all(|ask| actor.may(ask).is_err()), "{who}");
                let without = Relation { glass: false, ..relation };
                assert_eq!(actor.may(Ask::AssignCase(relation)), actor.may(Ask::AssignCase(without)), "{who}");
            }
        }
    }

    #[test]
    fn a_case_that_was_handed_over_is_read_and_nothing_else() {
        for role in StaffRole::ALL {
            let actor = Actor { staff: StaffId::new([1; 16]), roles: vec![*role], small_office: true, in_team: false };
            for (who, relation) in relations() {
                let gone = Relation { handed_over: true, ..relation };
                assert_eq!(actor.may(Ask::SeeCase(gone)), actor.may(Ask::SeeCase(relation)), "{who}");
                for ask in [Ask::NoteInCase(gone), Ask::WriteCase(gone), Ask::AssignCase(gone), Ask::Refer(gone)] {
                    assert!(actor.may(ask).is_err(), "{role} {who} {ask:?}");
                }
            }
        }
    }

    #[test]
    fn nobody_without_a_role_may_anything() {
        let nobody = Actor { staff: StaffId::new([1; 16]), roles: vec![], small_office: true, in_team: true };
        assert!(ASKS.iter().all(|(_, ask)| nobody.may(*ask) == Err(Denied)));
        assert!(nobody.may(Ask::SeeCase(Relation { assigned: true, ..Relation::default() })).is_err());
    }
}
