//! What in the records does not fit together, and what is not filled in yet: for those who can mend it, case by case.

use super::{CaseSummary, Desk, DeskError};
use crate::index::{CaseRow, PaymentRow, PersonRow, Tables};
use crate::policy::Ask;
use crate::records::PaymentKind;
use casemesh_protocol::id::RecordId;
use casemesh_protocol::terms::Currency;
use casemesh_protocol::time::Day;
use serde::Serialize;
use std::collections::{BTreeMap, HashMap};
use utoipa::ToSchema;

/// So many cases stand in each list.
const SHOWN_MAX: usize = 100;
/// Nobody is older.
const AGE_MAX: i32 = 120;

/// Something in a case that cannot be so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// More was recovered than the other side agreed to.
    RecoveredMoreThanAgreed,
    /// The other side agreed to more than was claimed.
    AgreedMoreThanClaimed,
    /// Money was paid before the case was opened.
    PaidBeforeOpened,
    /// Money was paid on a day that is still to come.
    PaidInFuture,
    /// The case was closed before it was opened.
    ClosedBeforeOpened,
    /// It was opened on a day that is still to come.
    OpenedInFuture,
    /// The client's year of birth is still to come, or too long ago.
    BornWhen,
}

impl Fault {
    /// The word for it in the catalogues.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::RecoveredMoreThanAgreed => "recovered-more",
            Self::AgreedMoreThanClaimed => "agreed-more",
            Self::PaidBeforeOpened => "paid-before",
            Self::PaidInFuture => "paid-future",
            Self::ClosedBeforeOpened => "closed-before",
            Self::OpenedInFuture => "opened-future",
            Self::BornWhen => "born",
        }
    }
}

/// A field that figures need and that nobody filled in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Lack {
    /// What the case is about.
    CaseType,
    /// How the client came.
    Source,
    /// The client's sex.
    Sex,
    /// The client's age.
    Age,
}

impl Lack {
    /// The word for it in the catalogues.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::CaseType => "case-type",
            Self::Source => "source",
            Self::Sex => "sex",
            Self::Age => "age",
        }
    }
}

/// What does not fit together in a case, each with the day that it is of. A value that was not recorded fits everything.
fn faults(case: &CaseRow, payments: &[&PaymentRow], born: Option<i16>, today: Day) -> Vec<(Fault, Day)> {
    let mut found = Vec::new();
    let mut note = |is_so: bool, fault: Fault, day: Day| {
        if is_so {
            found.push((fault, day));
        }
    };
    note(case.opened > today, Fault::OpenedInFuture, case.opened);
    if let Some(closed) = case.closed {
        note(closed < case.opened, Fault::ClosedBeforeOpened, closed);
    }
    let mut sums: BTreeMap<Currency, [i64; 3]> = BTreeMap::new();
    for payment in payments {
        let sum = sums.entry(payment.money.currency).or_default();
        let place = match payment.kind {
            PaymentKind::Claimed => 0,
            PaymentKind::Agreed => 1,
            PaymentKind::Recovered => 2,
            _ => continue,
        };
        if let Some(sum) = sum.get_mut(place) {
            *sum = sum.saturating_add(payment.money.minor);
        }
        if let Some(on) = payment.paid.filter(|_| payment.kind == PaymentKind::Recovered) {
            note(on < case.opened, Fault::PaidBeforeOpened, on);
            note(on > today, Fault::PaidInFuture, on);
        }
    }
    for [claimed, agreed, recovered] in sums.into_values() {
        note(agreed > 0 && recovered > agreed, Fault::RecoveredMoreThanAgreed, case.opened);
        note(claimed > 0 && agreed > claimed, Fault::AgreedMoreThanClaimed, case.opened);
    }
    if let Some(born) = born {
        let age = i32::from(today.year()) - i32::from(born);
        note(!(0..=AGE_MAX).contains(&age), Fault::BornWhen, case.opened);
    }
    found.sort_unstable();
    found.dedup();
    found
}

/// What figures need of a case and nobody filled in.
fn lacks(case: &CaseRow, client: Option<&PersonRow>) -> Vec<Lack> {
    let has_fact = |list: &str| case.facts.iter().any(|fact| fact.list.as_str() == list);
    // That somebody does not know, or does not want to say, is an answer.
    let all = [
        (case.type_asked, Lack::CaseType),
        (has_fact("case_source"), Lack::Source),
        (client.is_none_or(|client| client.sex_asked), Lack::Sex),
        (client.is_none_or(|client| client.age_asked), Lack::Age),
    ];
    all.into_iter().filter(|(is_there, _)| !is_there).map(|(_, lack)| lack).collect()
}

impl Tables {
    /// The money of all cases, by case.
    fn money_by_case(&self) -> HashMap<RecordId, Vec<&PaymentRow>> {
        let mut all: HashMap<RecordId, Vec<&PaymentRow>> = HashMap::new();
        self.payments.values().for_each(|payment| all.entry(payment.case).or_default().push(payment));
        all
    }

    fn client_of(&self, case: &CaseRow) -> Option<&PersonRow> {
        match case.clients.as_ref() {
            [one] => self.persons.get(&self.standing(*one)).map(Box::as_ref),
            _ => None,
        }
    }

    /// What does not fit together in each of these cases.
    pub(super) fn faults_of<'a>(
        &'a self,
        cases: impl Iterator<Item = &'a CaseRow>,
        today: Day,
    ) -> impl Iterator<Item = (&'a CaseRow, Vec<(Fault, Day)>)> {
        let money = self.money_by_case();
        cases.map(move |case| {
            let payments = money.get(&case.id).map_or(&[][..], Vec::as_slice);
            let born = self.client_of(case).and_then(|client| client.birth_year);
            (case, faults(case, payments, born, today))
        })
    }
}

/// A case in which something does not fit together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct FaultyCase {
    /// The case.
    pub case: CaseSummary,
    /// What, and the day that it is of.
    #[schema(value_type = Vec<Object>)]
    pub faults: Vec<(Fault, Day)>,
}

/// A case in which something is not filled in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct LackingCase {
    /// The case.
    pub case: CaseSummary,
    /// What.
    pub lacks: Vec<Lack>,
}

/// What can be mended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct QualityView {
    /// What does not fit together, in cases that this account sees, the latest first.
    pub faulty: Vec<FaultyCase>,
    /// In how many cases.
    pub faulty_in_all: usize,
    /// What is not filled in, in this account's own cases: nobody else is shown this list.
    pub lacking: Vec<LackingCase>,
    /// In how many of them.
    pub lacking_in_all: usize,
}

impl Desk {
    /// What can be mended: what does not fit together, and what is not filled in in one's own cases.
    ///
    /// # Errors
    /// When the account does not work with cases.
    pub fn quality(&self) -> Result<QualityView, DeskError> {
        self.allow(Ask::Register)?;
        let (today, me) = (self.today(), Some(self.actor.staff));
        let tables = self.office.index.read();
        let seen = || tables.cases.values().map(Box::as_ref).filter(|case| self.sees(&tables, case));
        let mut faulty: Vec<_> = tables.faults_of(seen(), today).filter(|(_, faults)| !faults.is_empty()).collect();
        faulty.sort_by_key(|(case, faults)| {
            let latest = faults.iter().map(|(_, day)| *day).max();
            (case.owner != me, std::cmp::Reverse(latest), case.id)
        });
        let own = seen().filter(|case| case.owner == me && !case.handed_over);
        let mut lacking: Vec<_> = own.map(|case| (case, lacks(case, tables.client_of(case)))).collect();
        lacking.retain(|(_, lacks)| !lacks.is_empty());
        lacking.sort_by_key(|(case, _)| (!case.state.is_open(), std::cmp::Reverse((case.opened, case.id))));
        let (faulty_in_all, lacking_in_all) = (faulty.len(), lacking.len());
        let faulty = faulty.into_iter().take(SHOWN_MAX);
        let lacking = lacking.into_iter().take(SHOWN_MAX);
        Ok(QualityView {
            faulty: faulty.map(|(case, faults)| FaultyCase { case: self.summary(&tables, case), faults }).collect(),
            faulty_in_all,
            lacking: lacking.map(|(case, lacks)| LackingCase { case: self.summary(&tables, case), lacks }).collect(),
            lacking_in_all,
        })
    }
}
