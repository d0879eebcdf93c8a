//! What the network asks of this office and what leaves: agreements, the exact table before it goes, the ledger of what left.

use super::columns::{AllColumns, Sight, Wanted};
use super::figures::FigureView;
use super::outward::Outward;
use super::tally::{TallyReportView, report_view, sum_of};
use super::{Desk, DeskError, FieldProblem, Office, finished};
use crate::indicators::{self, Agreed};
use crate::policy::Ask;
use crate::records::{AgreementChoice, Answering, Release};
use crate::secure_sum::NONCE_BYTES;
use crate::vault::{Record, Tx};
use casemesh_protocol::bounded::List;
use casemesh_protocol::directory::Role;
use casemesh_protocol::id::{OfficeId, RecordId};
use casemesh_protocol::indicators::Indicator;
use casemesh_protocol::levels::Levels;
use casemesh_protocol::outgoing::Control;
use casemesh_protocol::statistics::{
    self, Agreement, AgreementText, Figure, Origin, Past, Rhythm, Table, Way, Withhold, agreement_hash, next_release,
};
use casemesh_protocol::tally::{self, Tally, TallyStep, tally_of};
use casemesh_protocol::time::{Day, Period, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;
use utoipa::ToSchema;

/// What a network asks, and how it is answered here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AgreementView {
    /// Its name.
    pub id: String,
    /// Its text, as a hash: who decides says what they saw.
    pub text: String,
    /// Its version.
    pub version: u16,
    /// How often it is due.
    pub every: Rhythm,
    /// Numbers of people below it are withheld.
    pub threshold: u16,
    /// How it leaves.
    pub way: Way,
    /// What each of its figures is called, by language.
    pub titles: Vec<BTreeMap<String, String>>,
    /// How it is answered.
    pub answering: Answering,
    /// Why, where somebody said so.
    pub reason: String,
    /// The periods that are over, the last one first; those that left where the office chooses them.
    pub periods: Vec<DueView>,
    /// Whether it ended: nothing is asked any more, and what left stands here.
    #[serde(default)]
    pub is_over: bool,
}

/// One period of an agreement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DueView {
    /// The first and last day.
    #[schema(value_type = Object)]
    pub period: Period,
    /// By when it is due; none where the office chooses the period.
    #[schema(value_type = Option<String>)]
    pub due: Option<Day>,
    /// Whether that day is over and nothing left.
    pub is_late: bool,
    /// What left.
    pub left: Option<LeftView>,
}

/// A table that left.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LeftView {
    /// Which release for its period.
    pub release: u32,
    /// Whether it was a finished table of another system.
    #[serde(default)]
    pub is_handed_in: bool,
    /// When it was made.
    #[schema(value_type = String)]
    pub made: Timestamp,
    /// When the collector's computer had it.
    #[schema(value_type = Option<String>)]
    pub arrived: Option<Timestamp>,
    /// When the collector opened it.
    #[schema(value_type = Option<String>)]
    pub read: Option<Timestamp>,
    /// Of a secure sum, what the aggregators said of this office's report.
    #[serde(default)]
    pub report: Option<TallyReportView>,
}

/// What would leave, number by number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct TablePreview {
    /// Under which agreement.
    pub agreement: String,
    /// Its version.
    pub version: u16,
    /// Numbers of people below it are withheld.
    pub threshold: u16,
    /// How it leaves.
    pub way: Way,
    /// Whether people are told apart in it.
    pub tells_apart: bool,
    /// The first and last day.
    #[schema(value_type = Object)]
    pub period: Period,
    /// Which release for this period it would be.
    pub release: u32,
    /// To whom.
    pub to: Option<String>,
    /// The figures.
    pub figures: Vec<FigureView>,
    /// Whether another system counted them, and this office hands the finished table in.
    pub is_handed_in: bool,
    /// Whether the last release was such a finished table.
    pub is_last_handed_in: bool,
    /// Corrected figures that stay as they left, because so small a change would tell of somebody.
    pub waiting: usize,
    /// The last release for this period, when it was made.
    #[schema(value_type = Option<String>)]
    pub last: Option<Timestamp>,
    /// Why nothing may leave now.
    pub refused: Option<FieldProblem>,
    /// What names exactly this table: who approves says what they saw.
    pub seen: String,
}

/// How an agreement is to be answered.
#[derive(Debug, Clone, Default, Deserialize, ToSchema)]
#[serde(default)]
pub struct AnsweringInput {
    /// Which agreement.
    pub agreement: String,
    /// `asked`, `by_itself` or `refused`.
    pub answering: String,
    /// Why; needed to refuse.
    pub reason: String,
    /// The hash of the text that was seen.
    pub text: String,
}

/// What stands against a table, as a problem of the form.
fn problem_of(why: &Withhold) -> FieldProblem {
    match why {
        Withhold::Open => FieldProblem::new("to", "period-open"),
        Withhold::OtherPeriod => FieldProblem::new("from", "period-of-other"),
        Withhold::Overlaps(other) => FieldProblem::with("from", "period-overlaps", *other),
        Withhold::OtherVersion(version) => FieldProblem::with("from", "period-answered", version),
        Withhold::Finer(other, _) => FieldProblem::with("from", "period-told-apart", other),
        Withhold::Answered => FieldProblem::new("from", "sum-answered"),
        Withhold::Spent(year) => FieldProblem::with("from", "sum-spent", year),
        Withhold::Unchanged(0) => FieldProblem::new("from", "table-unchanged"),
        Withhold::Unchanged(waiting) => FieldProblem::with("from", "table-waits", waiting),
    }
}

/// The largest table that a packet carries.
const TABLE_BYTES_MAX: usize = 200 * 1024;

/// What left, with the agreements that it left under.
struct Ledger(Vec<(Table, Option<Agreement>, OfficeId)>);

impl Ledger {
    fn of<'a>(releases: impl Iterator<Item = &'a Release>) -> Self {
        // Many releases left under few texts.
        let mut texts: BTreeMap<&str, Option<Agreement>> = BTreeMap::new();
        let mut read = |release: &'a Release| {
            let text = release.agreed.as_str();
            texts.entry(text).or_insert_with(|| indicators::read_agreement(text).ok()).clone()
        };
        let own = releases.filter(|release| !release.table.is_sum());
        Self(own.map(|release| (release.table.clone(), read(release), release.to)).collect())
    }

    fn past(&self) -> impl Iterator<Item = Past<'_>> + Clone {
        self.0.iter().map(|(table, agreement, _)| Past { table, agreement: agreement.as_ref() })
    }

    fn last(&self, agreement: &Agreement, period: Period) -> Option<&Table> {
        self.last_to(agreement, period).map(|(table, _)| table)
    }

    /// The last release of a period, and whom it was told.
    fn last_to(&self, agreement: &Agreement, period: Period) -> Option<(&Table, OfficeId)> {
        let own = self.0.iter().map(|(table, _, to)| (table, *to));
        let of_it = own.filter(|(table, _)| table.agreement == agreement.id && table.period == period);
        of_it.max_by_key(|(table, _)| table.release)
    }

    /// What may leave next to a collector. One that the office tells anew gets what was told before, which tells nobody more than that.
    fn next(
        &self,
        agreement: &Agreement,
        (period, today): (Period, Day),
        figures: Vec<Figure>,
        to: Option<OfficeId>,
    ) -> Result<(Vec<Figure>, usize), Withhold> {
        let next = next_release(agreement, period, today, figures, self.past());
        let elsewhere = self.last_to(agreement, period).filter(|(_, told)| to.is_some_and(|to| to != *told));
        match (next, elsewhere) {
            (Err(Withhold::Unchanged(waiting)), Some((last, _))) => Ok((last.figures.as_slice().to_vec(), waiting)),
            (next, _) => next,
        }
    }
}

impl Office {
    /// What the network asks; what of it cannot be read, and why.
    pub(super) fn agreements(&self) -> (Vec<Agreed>, Vec<String>) {
        let Some(directory) = self.around.directory() else { return indicators::asked(std::iter::empty()) };
        let (known, agreed) = (directory.agreements().count(), directory.roots().current().agreements.as_slice().len());
        if known == agreed {
            return indicators::asked(directory.agreements());
        }
        // What the stewards agreed on is not replaced by what they did not.
        let (mut all, mut problems) = indicators::agreements(directory.agreements());
        all.retain(Agreed::asks);
        problems.push("the text of an agreement is missing; ask a registrar for the network file".into());
        (all, problems)
    }

    /// The collector that this office tells, and its name.
    pub(super) fn collector(&self) -> Option<(OfficeId, String)> {
        let directory = self.around.directory()?;
        let above = Levels::of(directory.members()).above(&self.keys.office)?;
        directory.member(&above).map(|member| (above, member.record.name.to_string()))
    }

    /// How an agreement is answered: what was decided last about this text of it.
    pub(super) fn choice(&self, agreed: &Agreed) -> Option<AgreementChoice> {
        let tables = self.index.read();
        let hash = agreement_hash(&agreed.text);
        let of = |choice: &&AgreementChoice| choice.agreement == hash;
        tables.choices.values().map(AsRef::as_ref).filter(of).max_by_key(|choice| choice.id).cloned()
    }

    fn all_columns<'a>(&self, agreements: impl Iterator<Item = &'a Agreement>, now: Timestamp) -> AllColumns {
        let wanted = Wanted::by(agreements.flat_map(|agreement| &agreement.indicators));
        let tables = self.index.read();
        let all = Sight {
            case: &|_| true,
            tier: &|_, _| true,
            colleague: &|_| true,
            incoming: true,
            line: &|_| true,
            request: &|_| true,
            grant: None,
            only: None,
            rules: self.rules_in(&tables),
            now,
        };
        tables.columns(&wanted, &all).named_by_the_network(&tables.vocabulary)
    }

    /// Sends what goes by itself: tables of periods that are over, under agreements that somebody said yes to for good.
    pub(super) fn release_by_itself(&self) {
        let Some((to, _)) = self.collector() else { return };
        let is_said = |choice: &Arc<AgreementChoice>| choice.answering == Answering::ByItself;
        if !self.index.read().choices.values().any(is_said) {
            return;
        }
        let (all, _) = self.agreements();
        let by_itself =
            |agreed: &&Agreed| self.choice(agreed).is_some_and(|choice| choice.answering == Answering::ByItself);
        self.send_sums(all.iter().filter(by_itself));
        if !self.has_role(Role::Office) {
            return;
        }
        let today = self.index.read().zone.day(self.around.clock.now());
        let ledger = Ledger::of(self.index.read().releases.values().map(AsRef::as_ref));
        let mut has_left = false;
        for agreed in all.iter().filter(by_itself) {
            let agreement = &agreed.agreement;
            // What stands against it is known before anything is counted; corrections are somebody's to send.
            let may_leave = |period: &Period| {
                ledger.last(agreement, *period).is_none()
                    && next_release(agreement, *period, today, Vec::new(), ledger.past()).is_ok()
            };
            for period in agreement.terms.ended(today).into_iter().filter(may_leave) {
                let columns = self.all_columns(std::iter::once(agreement), self.around.clock.now());
                let ready = prepared(agreement, &columns, period);
                let (agreed, office) = (agreed.clone(), self.keys.office);
                let done = self
                    .vault
                    .write(None, "approve_table", move |tx| release(tx, (&agreed, period, today), (office, to), ready));
                match done {
                    Ok(_) => has_left = true,
                    Err(error) => tracing::warn!(%error, %period, "a table that goes by itself stays here"),
                }
            }
        }
        if has_left {
            self.release_outbox();
        }
    }
}

/// Sends a report to both aggregators: its row in the outbox, that of the leader, and what makes the report the only one of its kind.
fn report(
    tx: &mut Tx<'_>,
    agreed: &Agreed,
    (ours, period): (OfficeId, Period),
    row: &[u64],
) -> Result<(RecordId, [u8; NONCE_BYTES]), DeskError> {
    let refused = |problem: &str| DeskError::Invalid(vec![FieldProblem::new("from", problem)]);
    let agreement = agreement_hash(&agreed.text);
    let name = tally_of(&agreement, period);
    let split = sum_of(&agreed.agreement, &name).and_then(|sum| sum.split(row));
    let report = split.map_err(|_| refused("sum-too-many"))?;
    let [leader, helper] = agreed.agreement.terms.aggregators.as_slice() else { return Err(DeskError::NotFound) };
    if [leader, helper].contains(&&ours) {
        return Err(refused("sum-own"));
    }
    let mut rows = Vec::new();
    for (to, share) in [(*leader, report.leader), (*helper, report.helper)] {
        let step = TallyStep::Share { nonce: report.nonce, public: report.public.clone(), share };
        rows.push(Outward::control(Control::tally(to, Tally { agreement, period, step })).queue_row(tx)?);
    }
    rows.first().map(|row| (*row, report.nonce)).ok_or(DeskError::NotFound)
}

/// Sends the table of a period, inside a command, after all that left before.
fn release(
    tx: &mut Tx<'_>,
    (agreed, period, today): (&Agreed, Period, Day),
    (office, to): (OfficeId, OfficeId),
    Prepared { figures, row, origin, approved }: Prepared,
) -> Result<RecordId, DeskError> {
    let refused = |problem: FieldProblem| DeskError::Invalid(vec![problem]);
    let releases: Vec<Release> = tx.list::<Release>(Release::TOP)?.into_iter().map(|row| row.record).collect();
    let ledger = Ledger::of(releases.iter());
    let next = ledger.next(&agreed.agreement, (period, today), figures, Some(to));
    let (figures, _) = next.map_err(|why| refused(problem_of(&why)))?;
    if approved.is_some_and(|approved| approved != seen(&agreed.text, Some(&to), (&figures, origin.as_ref()))) {
        return Err(refused(FieldProblem::new("from", "table-changed")));
    }
    let release = ledger.last(&agreed.agreement, period).map_or(1, |last| last.release + 1);
    let table = table_of(agreed, (office, period, release), tx.now(), (figures, origin))?;
    // Of a sum the numbers stay here: shares of them leave.
    let (outbox, nonce) = match &row {
        None => (Outward::control(Control::table(to, table.clone())).queue_row(tx)?, None),
        Some(row) => report(tx, agreed, (office, period), row).map(|(outbox, nonce)| (outbox, Some(nonce)))?,
    };
    keep(tx, agreed, (to, table), (outbox, nonce))
}

/// A table as it leaves; none that no packet carries, or that no collector would take.
pub(super) fn table_of(
    agreed: &Agreed,
    which: (OfficeId, Period, u32),
    made: Timestamp,
    (figures, origin): (Vec<Figure>, Option<Origin>),
) -> Result<Table, DeskError> {
    let too_large = || DeskError::Invalid(vec![FieldProblem::new("from", "table-too-large")]);
    let figures = List::new(figures).map_err(|_| too_large())?;
    let table = Table::new(&agreed.agreement, which, made, figures).from(origin);
    let fits = casemesh_crypto::wire::encode(&table).len() <= TABLE_BYTES_MAX && table.is_known();
    if fits { Ok(table) } else { Err(too_large()) }
}

/// Writes into the ledger that a table left.
pub(super) fn keep(
    tx: &mut Tx<'_>,
    agreed: &Agreed,
    (to, table): (OfficeId, Table),
    (outbox, nonce): (RecordId, Option<[u8; NONCE_BYTES]>),
) -> Result<RecordId, DeskError> {
    let (id, approved_by, agreed) = (tx.fresh_id(), tx.staff(), agreed.text.clone());
    tx.insert(&Release { id, table, to, approved_by, agreed, outbox, nonce })?;
    tx.about(id);
    Ok(id)
}

/// What may leave for a period: the figures, and of a sum the row of numbers that is split.
struct Prepared {
    figures: Vec<Figure>,
    row: Option<Vec<u64>>,
    /// Where the numbers are from, where this node did not count them.
    origin: Option<Origin>,
    /// The table that somebody saw and approved.
    approved: Option<String>,
}

/// What names a table: its agreement, its figures, and where they are from.
pub(super) fn seen(
    agreement: &AgreementText,
    to: Option<&OfficeId>,
    (figures, origin): (&[Figure], Option<&Origin>),
) -> String {
    let figures = figures.iter().map(casemesh_crypto::wire::encode);
    let figures: Vec<Vec<u8>> = figures.chain(origin.map(casemesh_crypto::wire::encode)).collect();
    let begun: [&[u8]; 3] =
        [b"casemesh/1/seen-table\0", agreement.as_str().as_bytes(), to.map_or(&[], |to| to.as_bytes().as_slice())];
    let parts: Vec<&[u8]> = begun.into_iter().chain(figures.iter().map(Vec::as_slice)).collect();
    casemesh_crypto::hash::sha256(&parts).to_string()
}

fn prepared(agreement: &Agreement, columns: &AllColumns, period: Period) -> Prepared {
    let (threshold, is_sum) = (agreement.terms.threshold, agreement.terms.way != Way::Plain);
    let figure = |one: &Indicator| match is_sum {
        true => statistics::whole(one, columns.of(one.source.0), period),
        false => statistics::released(one, columns.of(one.source.0), period, threshold),
    };
    Prepared {
        figures: agreement.indicators.iter().map(figure).collect(),
        row: is_sum.then(|| tally::row(agreement, |source| columns.of(source), period)),
        origin: None,
        approved: None,
    }
}

pub(super) fn views(figures: &[Figure], agreement: Option<&Agreement>) -> Vec<FigureView> {
    let known = |figure: &Figure| agreement?.indicators.iter().find(|one| one.id == figure.indicator.as_str());
    figures.iter().map(|figure| FigureView::of(figure, known(figure))).collect()
}

impl Desk {
    /// The agreement of that name; where no name is given, the first.
    pub(super) fn agreed(&self, id: &str) -> Result<Agreed, DeskError> {
        let (all, _) = self.office.agreements();
        let is_it = |agreed: &&Agreed| id.is_empty() || agreed.agreement.id.as_str() == id;
        all.iter().find(is_it).cloned().ok_or(DeskError::NotFound)
    }

    /// What the network asks, and how it is answered here; what of it this program cannot read, and why.
    ///
    /// # Errors
    /// When the account may not approve tables.
    pub fn agreements(&self) -> Result<(Vec<AgreementView>, Vec<String>), DeskError> {
        self.allow(Ask::ApproveTable)?;
        let (mut all, problems) = self.office.agreements();
        let today = self.today();
        let over = self.office.answered_and_over(&all);
        // Who adds up does not tell in the same sum.
        all.retain(|agreed| !agreed.agreement.terms.aggregators.contains(&self.office.keys.office));
        let hold = all.len();
        all.extend(over);
        let view = |agreed: &Agreed, is_over: bool| {
            let agreement = &agreed.agreement;
            let choice = self.office.choice(agreed);
            let tables = self.office.index.read();
            let is_own = |table: &Table| table.agreement == agreement.id && !table.is_sum();
            let own = || tables.releases.values().filter(|release| is_own(&release.table));
            let mut periods = if is_over { Vec::new() } else { agreement.terms.ended(today) };
            periods.extend(own().map(|release| release.table.period));
            periods.sort_unstable_by(|one, other| other.cmp(one));
            periods.dedup();
            let due = |period: Period| {
                let due =
                    Some(agreement.terms.due(period)).filter(|_| agreement.terms.every != Rhythm::Chosen && !is_over);
                let last = own().filter(|release| release.table.period == period);
                let last = last.max_by_key(|release| release.table.release);
                let left = last.map(|release| {
                    let row = tables.outbox.get(&release.outbox);
                    LeftView {
                        release: release.table.release,
                        is_handed_in: release.table.origin == Some(Origin::HandedIn),
                        made: release.table.made,
                        arrived: row.and_then(|row| row.facts.arrived),
                        read: row.and_then(|row| row.facts.read),
                        report: release.nonce.map(|nonce| report_view(&tables, &release.agreed, period, &nonce)),
                    }
                });
                DueView { period, is_late: left.is_none() && due.is_some_and(|due| due < today), due, left }
            };
            AgreementView {
                id: agreement.id.to_string(),
                text: agreement_hash(&agreed.text).to_string(),
                version: agreement.version,
                every: agreement.terms.every,
                threshold: agreement.terms.threshold,
                way: agreement.terms.way,
                titles: agreement.indicators.iter().map(|one| one.title.clone()).collect(),
                answering: choice.as_ref().map_or(Answering::Asked, |choice| choice.answering),
                reason: choice.map(|choice| choice.reason).unwrap_or_default(),
                periods: periods.into_iter().map(due).collect(),
                is_over,
            }
        };
        Ok((all.iter().enumerate().map(|(at, agreed)| view(agreed, at >= hold)).collect(), problems))
    }

    /// Decides how an agreement is answered from now on.
    ///
    /// # Errors
    /// When the account may not approve tables, there is no such agreement, or a refusal has no reason.
    pub fn answer_agreement(&self, input: &AnsweringInput) -> Result<(), DeskError> {
        self.allow(Ask::ApproveTable)?;
        let Agreed { agreement, text, .. } = self.agreed(&input.agreement)?;
        let agreement_text = agreement_hash(&text);
        let mut problems = self.problems();
        let answering: Option<Answering> = problems.word("answering", &input.answering);
        if answering == Some(Answering::ByItself) && input.text != agreement_text.to_string() {
            problems.add("answering", "agreement-changed");
        }
        let reason = input.reason.trim().to_owned();
        if answering == Some(Answering::Refused) && reason.is_empty() {
            problems.add("reason", "required");
        }
        if answering == Some(Answering::ByItself) && agreement.terms.every == Rhythm::Chosen {
            problems.add("answering", "period-chosen");
        }
        problems.done()?;
        let Some(answering) = answering else { return Err(DeskError::NotFound) };
        self.write("answer_agreement", move |tx| {
            let (id, by, at) = (tx.fresh_id(), tx.staff(), tx.now());
            tx.insert(&AgreementChoice { id, agreement: agreement_text, answering, reason, by, at })?;
            tx.about(id);
            Ok::<_, DeskError>(())
        })?;
        self.office.release_by_itself();
        Ok(())
    }

    /// What would leave for a period, number by number, before anybody approves it.
    ///
    /// # Errors
    /// When the account may not approve tables, or there is no such agreement.
    pub fn table_preview(&self, agreement: &str, period: Period) -> Result<TablePreview, DeskError> {
        self.allow(Ask::ApproveTable)?;
        let agreed = self.agreed(agreement)?;
        Ok(self.preview_table(&agreed, period, self.counted_table(&agreed, period)))
    }

    /// The same of a finished table of another system, as CSV: what it may tell.
    ///
    /// # Errors
    /// When the account may not approve tables, there is no such agreement, or something in the file is wrong.
    pub fn finished_preview(&self, agreement: &str, period: Period, text: &[u8]) -> Result<TablePreview, DeskError> {
        self.allow(Ask::ApproveTable)?;
        let agreed = self.agreed(agreement)?;
        Ok(self.preview_table(&agreed, period, self.finished_table(&agreed, text)?))
    }

    /// The file in which a finished table is handed in, to be filled in.
    ///
    /// # Errors
    /// When the account may not approve tables, or there is no such agreement.
    pub fn finished_blank(
        &self,
        agreement: &str,
        language: &str,
    ) -> Result<(Vec<String>, Vec<Vec<String>>), DeskError> {
        self.allow(Ask::ApproveTable)?;
        let agreed = self.agreed(agreement)?;
        Ok(finished::blank(&agreed.agreement, &self.office.index.read().vocabulary, language))
    }

    /// The figures of a period from this office's records.
    fn counted_table(&self, agreed: &Agreed, period: Period) -> Prepared {
        let columns = self.office.all_columns(std::iter::once(&agreed.agreement), self.now());
        prepared(&agreed.agreement, &columns, period)
    }

    /// The figures of a finished table.
    fn finished_table(&self, agreed: &Agreed, text: &[u8]) -> Result<Prepared, DeskError> {
        if agreed.agreement.terms.way != Way::Plain {
            return Err(DeskError::Invalid(vec![FieldProblem::new("table", "finished-plain")]));
        }
        let figures = finished::read(&agreed.agreement, &self.office.index.read().vocabulary, text);
        let figures = figures.map_err(DeskError::Invalid)?;
        Ok(Prepared { figures, row: None, origin: Some(Origin::HandedIn), approved: None })
    }

    fn preview_table(&self, agreed: &Agreed, period: Period, ready: Prepared) -> TablePreview {
        let Prepared { figures, origin, .. } = ready;
        let agreement = &agreed.agreement;
        let ledger = Ledger::of(self.office.index.read().releases.values().map(AsRef::as_ref));
        let last = ledger.last(agreement, period);
        let choice = self.office.choice(agreed);
        let collector = self.office.collector();
        let to = collector.as_ref().map(|(to, _)| *to);
        let (figures, waiting, mut refused) = match ledger.next(agreement, (period, self.today()), figures.clone(), to)
        {
            Ok((figures, waiting)) => (figures, waiting, None),
            Err(why) => (figures, 0, Some(problem_of(&why))),
        };
        if choice.is_some_and(|choice| choice.answering == Answering::Refused) {
            refused = Some(FieldProblem::new("answering", "agreement-refused"));
        }
        TablePreview {
            agreement: agreement.id.to_string(),
            version: agreement.version,
            threshold: agreement.terms.threshold,
            way: agreement.terms.way,
            tells_apart: agreement.indicators.iter().any(Indicator::is_protected),
            period,
            release: last.map_or(1, |last| last.release + 1),
            figures: views(&figures, Some(agreement)),
            is_handed_in: origin == Some(Origin::HandedIn),
            waiting,
            is_last_handed_in: last.is_some_and(|last| last.origin == Some(Origin::HandedIn)),
            last: last.map(|last| last.made),
            refused,
            seen: seen(&agreed.text, to.as_ref(), (&figures, origin.as_ref())),
            to: collector.map(|(_, name)| name),
        }
    }

    /// Approves the table of a period and sends it to the collector; with what was seen of it, that table and no other. What stands against it is said as a problem of the period.
    ///
    /// # Errors
    /// When there is no collector, the office refuses the agreement, or what left before stands against it.
    pub fn approve_table(&self, agreement: &str, period: Period, seen: Option<String>) -> Result<RecordId, DeskError> {
        self.allow(Ask::ApproveTable)?;
        let agreed = self.agreed(agreement)?;
        let ready = self.counted_table(&agreed, period);
        self.send_table(agreed, period, Prepared { approved: seen, ..ready })
    }

    /// The same of a finished table of another system, as CSV.
    ///
    /// # Errors
    /// As for a table that was counted here, and when something in the file is wrong.
    pub fn approve_finished(
        &self,
        agreement: &str,
        period: Period,
        (text, seen): (&[u8], String),
    ) -> Result<RecordId, DeskError> {
        self.allow(Ask::ApproveTable)?;
        let agreed = self.agreed(agreement)?;
        let ready = self.finished_table(&agreed, text)?;
        self.send_table(agreed, period, Prepared { approved: Some(seen), ..ready })
    }

    fn send_table(&self, agreed: Agreed, period: Period, ready: Prepared) -> Result<RecordId, DeskError> {
        let Some((to, _)) = self.office.collector() else {
            return Err(DeskError::Partner("the network has no collector".into()));
        };
        if self.office.choice(&agreed).is_some_and(|choice| choice.answering == Answering::Refused) {
            return Err(DeskError::Invalid(vec![FieldProblem::new("answering", "agreement-refused")]));
        }
        let (today, office) = (self.today(), self.office.keys.office);
        let id = self.write("approve_table", move |tx| release(tx, (&agreed, period, today), (office, to), ready))?;
        self.office.release_outbox();
        Ok(id)
    }
}
