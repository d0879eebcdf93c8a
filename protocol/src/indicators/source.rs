//! What is counted, and what is known of each thing that is.

use crate::coded_enum;

coded_enum!(
    /// What is counted.
    Source {
        /// Cases of the office.
        Cases = 1 "cases",
        /// Referrals that it sent or got.
        Referrals = 2 "referrals",
        /// Money claimed, agreed, recovered.
        Payments = 3 "payments",
        /// The people whom cases are about: each once, whatever the number of their cases.
        People = 4 "people",
        /// Entries: notes, and forms that were filled in. Services and activities are among them.
        Entries = 5 "entries",
        /// Lines of the desk register.
        Visits = 6 "visits",
        /// Tasks.
        Tasks = 7 "tasks",
        /// Assessments of one area in one case, from the first to the last.
        Assessments = 8 "assessments",
        /// Those who work here.
        Workers = 9 "workers",
        /// Requests for a second person's approval.
        Requests = 10 "requests",
    }
);

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ColumnKind {
    /// A day.
    Day,
    /// A code of a list.
    Code,
    /// A whole number: days, or money in the minor unit of its currency.
    Number,
    /// True or false, always recorded.
    Flag,
    /// Stretches of time, any number of them.
    Stretches,
}

/// How the columns of coded facts of a case begin: `fact:` and the list.
pub const FACT: &str = "fact:";
/// How the columns of an entry's coded answers begin, yes and no among them: `code:` and the field of the form.
pub const CODE: &str = "code:";
/// How the columns of an entry's numbers begin.
pub const NUMBER: &str = "number:";
/// How the columns of an entry's money begin: amounts in the minor unit.
pub const MONEY: &str = "money:";
/// How the columns of the currency of an entry's money begin.
pub const CURRENCY: &str = "currency:";

/// Answers that tell of the office's work and of nobody.
const OF_WORK: [&str; 6] =
    ["code:service", "code:activity_kind", "number:women", "number:men", "number:children", "number:contacts"];
/// Kinds of entries that tell of the office's work and of nobody.
pub(crate) const KINDS_OF_WORK: [&str; 4] = ["service", "activity", "outreach", "meeting"];
/// Columns of what somebody typed: their codes are words about people.
const TYPED: [&str; 2] = ["area", "client_area"];

impl Source {
    /// Its columns.
    pub const fn columns(self) -> &'static [(&'static str, ColumnKind)] {
        use ColumnKind::{Code, Day, Flag, Number, Stretches};
        match self {
            Self::Cases => &[
                ("opened", Day),
                ("closed", Day),
                ("case_type", Code),
                ("state", Code),
                ("days_open", Number),
                ("days_idle", Number),
                ("handed_over", Flag),
                ("has_owner", Flag),
                ("risk_level", Code),
                ("has_safety_plan", Flag),
                ("was_asked", Flag),
                ("faults", Number),
                ("client_sex", Code),
                ("client_age_band", Code),
                ("client_nationality", Code),
                ("client_identity", Code),
                ("client_area", Code),
            ],
            Self::Referrals => &[
                ("sent", Day),
                ("outgoing", Flag),
                ("service", Code),
                ("state", Code),
                ("answer", Code),
                ("partner", Code),
                ("urgency", Code),
                ("reason", Code),
                ("is_late", Flag),
                ("days_to_read", Number),
                ("days_to_answer", Number),
                ("days_to_contact", Number),
                ("days_to_outcome", Number),
            ],
            Self::People => &[
                ("first_case", Day),
                ("last_case", Day),
                ("last_closed", Day),
                ("worked_with", Stretches),
                ("sex", Code),
                ("age_band", Code),
                ("nationality", Code),
                ("identity", Code),
                ("area", Code),
                ("cases", Number),
            ],
            Self::Payments => &[
                ("paid", Day),
                ("kind", Code),
                ("currency", Code),
                ("amount", Number),
                ("recovered_here", Flag),
                ("case_type", Code),
            ],
            Self::Entries => &[
                ("on", Day),
                ("kind", Code),
                ("minutes", Number),
                ("days_late", Number),
                ("is_ours", Flag),
                ("of_case", Flag),
                ("case_type", Code),
                ("client_sex", Code),
                ("client_age_band", Code),
                ("client_nationality", Code),
            ],
            Self::Visits => &[
                ("on", Day),
                ("topic", Code),
                ("outcome", Code),
                ("reason", Code),
                ("channel", Code),
                ("minutes", Number),
            ],
            Self::Tasks => &[("due", Day), ("kind", Code), ("state", Code), ("is_late", Flag), ("has_owner", Flag)],
            Self::Assessments => &[
                ("first", Day),
                ("last", Day),
                ("area", Code),
                ("first_score", Number),
                ("last_score", Number),
                ("change", Number),
            ],
            Self::Workers => &[("since", Day), ("until", Day), ("open_cases", Number), ("days_since_sign_in", Number)],
            Self::Requests => &[("asked", Day), ("kind", Code), ("answer", Code), ("days_to_answer", Number)],
        }
    }

    /// What a column of it holds. A case has a column for each list of coded facts, an entry for each field of its form.
    pub fn kind_of(self, column: &str) -> Option<ColumnKind> {
        let begins: &[(&str, ColumnKind)] = match self {
            Self::Cases => &[(FACT, ColumnKind::Code)],
            Self::Entries => &[
                (CODE, ColumnKind::Code),
                (NUMBER, ColumnKind::Number),
                (MONEY, ColumnKind::Number),
                (CURRENCY, ColumnKind::Code),
            ],
            _ => &[],
        };
        let named = begins.iter().find(|(begin, _)| column.strip_prefix(begin).is_some_and(|name| !name.is_empty()));
        named.or_else(|| self.columns().iter().find(|(name, _)| *name == column)).map(|(_, kind)| *kind)
    }

    /// How the columns of it begin that are made of a name.
    pub const fn families(self) -> &'static [&'static str] {
        match self {
            Self::Cases => &[FACT],
            Self::Entries => &[CODE, NUMBER, MONEY, CURRENCY],
            _ => &[],
        }
    }

    /// What a column tells of a person, or of two offices, if it does: sums by it are small, and somebody can be known by it. The same
    /// trait may stand in columns of several sources.
    pub fn trait_of(self, column: &str) -> Option<&str> {
        match self {
            Self::People => Some(column),
            Self::Cases => match column.strip_prefix(FACT) {
                // Imported cases have facts about their client, in the lists of their source.
                Some("gender") => Some("sex"),
                Some("citizenship") => Some("nationality"),
                Some("age_band") => Some("age_band"),
                Some(_) => Some(column),
                None => match column {
                    "risk_level" | "has_safety_plan" | "was_asked" => Some(column),
                    _ => column.strip_prefix("client_"),
                },
            },
            // What one person got, by what for.
            Self::Payments => Some(column).filter(|column| *column == "case_type"),
            Self::Referrals => Some(column).filter(|column| matches!(*column, "partner" | "answer" | "reason")),
            Self::Entries => match column.strip_prefix("client_") {
                Some(of_client) => Some(of_client),
                None => {
                    let is_answer = [CODE, NUMBER, MONEY, CURRENCY].iter().any(|begin| column.starts_with(begin));
                    Some(column).filter(|column| is_answer && !OF_WORK.contains(column))
                }
            },
            Self::Assessments => Some(column),
            Self::Visits | Self::Tasks | Self::Workers | Self::Requests => None,
        }
    }

    /// Whether what stands in a column was typed by somebody, so that its classes themselves would tell of people.
    pub fn is_typed(self, column: &str) -> bool {
        self != Self::Assessments && TYPED.contains(&column)
    }

    /// Whether a column says how it is today, also of a period that is over: how it was then is not kept.
    pub fn is_of_today(self, column: &str) -> bool {
        match self {
            Self::Cases => matches!(
                column,
                "state" | "days_idle" | "has_owner" | "risk_level" | "has_safety_plan" | "was_asked" | "faults"
            ),
            Self::People => column == "cases",
            Self::Referrals => matches!(column, "state" | "answer" | "is_late"),
            Self::Tasks => matches!(column, "state" | "is_late" | "has_owner"),
            Self::Workers => matches!(column, "open_cases" | "days_since_sign_in"),
            Self::Requests => column == "answer",
            Self::Payments | Self::Entries | Self::Visits | Self::Assessments => false,
        }
    }

    /// Whether numbers of it are of the office alone, and stand in no agreement: they tell of those who work here.
    pub const fn is_of_office(self) -> bool {
        matches!(self, Self::Workers | Self::Requests)
    }

    /// Whether a case stands behind what is counted.
    pub const fn leads_to_cases(self) -> bool {
        !matches!(self, Self::Visits | Self::Workers | Self::Requests)
    }

    /// Whether each row of it is one person, or one of few things of one: then so many rows are as many people.
    pub const fn counts_people(self) -> bool {
        !matches!(self, Self::Entries | Self::Assessments)
    }
}
