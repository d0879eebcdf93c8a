//! A secure sum at its parties: shares taken and checked at the two aggregators, closed when it is time, and put together at the
//! collector. What happens when stands in `protocol::tally`, the mathematics in `secure_sum`.

mod standing;

pub(super) use standing::report_view;
pub use standing::{TallyReportView, TallyStanding};

use super::exchange::Taken;
use super::outward::Outward;
use super::{DeskError, Office};
use crate::indicators::{self, Agreed};
use crate::records::{ReportFate, ReportState, Seen, TallyKept, TallyPart, TallyReport, TallyWord};
use crate::secure_sum::{Received, SecureSum, SumError, VERIFY_KEY_BYTES};
use crate::vault::{Record, Tx};
use casemesh_crypto::hash::Digest;
use casemesh_crypto::random::{self, os_rng};
use casemesh_crypto::sign::SigningKey;
use casemesh_protocol::bounded::List;
use casemesh_protocol::cohort::{self, CountedReport, Inclusion, LeftOut, MISSED_MAX, Missed, Rooted, TallyRoot};
use casemesh_protocol::directory::{Directory, Member, Role};
use casemesh_protocol::id::{OfficeId, RecordId};
use casemesh_protocol::levels::Levels;
use casemesh_protocol::outgoing::Control;
use casemesh_protocol::statistics::{Agreement, Figure, Way, Word, agreement_hash};
use casemesh_protocol::tally::{self, ITEMS_MAX, Tally, TallyItem, TallyStep, is_to_close, tally_of, width};
use casemesh_protocol::time::{Period, Timestamp};
use std::collections::BTreeSet;
use std::sync::Arc;

/// A sum of an agreement and a period.
pub(super) fn sum_of(agreement: &Agreement, tally: &Digest) -> Result<SecureSum, SumError> {
    SecureSum::new(width(agreement), agreement.terms.most, tally.as_bytes())
}

/// One sum as an aggregator works on it.
struct Work {
    sum: SecureSum,
    agreement: Digest,
    period: Period,
    name: Digest,
    family: Word,
    leader: OfficeId,
    helper: OfficeId,
    /// What this office signs with.
    signs: (OfficeId, SigningKey),
}

impl Work {
    fn tally(&self, step: TallyStep) -> Tally {
        Tally { agreement: self.agreement, period: self.period, step }
    }
}

/// The end of a sum.
struct Closing {
    /// The reports that are in it.
    reports: Vec<CountedReport>,
    /// Whose reports came and are not in it, as far as is known here.
    left_out: Vec<Missed>,
}

/// What the collector has of one sum.
#[derive(Default)]
pub(super) struct Summed {
    /// Whose reports are in it; none where the two aggregators do not agree.
    pub(super) offices: Vec<OfficeId>,
    /// The root of the list of reports that both signed.
    pub(super) root: Option<Digest>,
    /// Whose reports came and are not in it.
    pub(super) left_out: Vec<Missed>,
    /// Whom either aggregator named: more than are in it where the two do not agree.
    pub(super) named: BTreeSet<OfficeId>,
    /// The figures; none where too few told.
    pub(super) figures: Vec<Figure>,
    /// When the second of the two sums came.
    pub(super) at: Timestamp,
}

impl Office {
    fn work(&self, agreement: &Digest, period: Period) -> Option<(Work, Agreement)> {
        let known = self.text_of(agreement)?;
        let known = indicators::read_agreement(known.as_str()).ok()?;
        let [leader, helper] = known.terms.aggregators.as_slice() else { return None };
        let (leader, helper, name) = (*leader, *helper, tally_of(agreement, period));
        let is_asked = known.terms.way != Way::Plain && known.terms.has(period);
        let sum = sum_of(&known, &name).ok().filter(|_| is_asked)?;
        let signs = (self.keys.office, self.keys.node_key.clone());
        let family = known.id.clone();
        Some((Work { sum, agreement: *agreement, period, name, family, leader, helper, signs }, known))
    }

    /// Takes what another party of a sum says.
    pub(super) fn take_tally(
        &self,
        directory: &Directory,
        from: OfficeId,
        told: Tally,
        seen: RecordId,
    ) -> Result<Taken, DeskError> {
        // The network file that names the agreement may come later than the packet.
        let is_known = || directory.agreements().any(|text| agreement_hash(text) == told.agreement);
        let Some((work, agreement)) = self.work(&told.agreement, told.period) else {
            if !is_known() {
                return Ok(self.until_news());
            }
            return Ok(Taken::Aside("part of a sum that this network has not agreed on"));
        };
        let ours = self.keys.office;
        let adds = |office: &OfficeId| [work.leader, work.helper].contains(office);
        let has_role = |office: &OfficeId, role| directory.member(office).is_some_and(|member| member.has_role(role));
        let is_fine = match &told.step {
            TallyStep::Share { .. } => {
                let today = self.index.read().zone.day(self.around.clock.now());
                // The stewards said from when on: nobody fills the store with periods of long ago.
                let is_over = agreement.terms.has(told.period) && told.period.to <= today.plus_days(1);
                adds(&ours) && is_over && has_role(&from, Role::Office)
            }
            TallyStep::Questions { .. } | TallyStep::Close { .. } => ours == work.helper && from == work.leader,
            TallyStep::Answers { .. } => ours == work.leader && from == work.helper,
            TallyStep::Sum { root, reports, .. } => {
                let rooted = rooted(directory, from, &work.name, root);
                has_role(&ours, Role::Collector)
                    && adds(&from)
                    && rooted.is_some_and(|rooted| rooted.is_of(reports.as_slice()))
            }
            TallyStep::Included { inclusion } => {
                let rooted = rooted(directory, from, &work.name, &inclusion.root);
                adds(&from) && rooted.is_some_and(|rooted| inclusion.holds(ours, &rooted))
            }
            TallyStep::LeftOut { .. } => adds(&from),
        };
        if !is_fine {
            return Ok(Taken::Aside(
                "part of a sum from an office whose part it is not, or a proof that does not hold",
            ));
        }
        let collector = self.tally_collector();
        // The file that says who collects may come later.
        if matches!(told.step, TallyStep::Close { .. }) && collector.is_none() {
            return Ok(self.until_news());
        }
        self.vault.write(None, "tally", move |tx| {
            let aside = match told.step {
                TallyStep::Share { nonce, public, share } => work.take_share(tx, from, nonce, (public, share))?,
                TallyStep::Questions { key, items } => work.take_questions(tx, key, items.into_vec())?,
                TallyStep::Answers { items } => work.take_answers(tx, items.into_vec())?,
                TallyStep::Close { reports } => {
                    let reports = reports.into_vec();
                    let is_open = work.kept(tx)?.0.closed.is_none();
                    let left_out = if is_open { work.missed(tx, &agreement, &reports)? } else { Vec::new() };
                    work.close(tx, &agreement, &Closing { reports, left_out }, collector)?
                }
                TallyStep::Sum { root, reports, sum, left_out } => {
                    work.take_sum(tx, from, (root, sum), (reports.into_vec(), left_out.into_vec()))?
                }
                TallyStep::Included { inclusion } => {
                    work.take_word(tx, from, ReportFate::Included(Box::new(inclusion)))?
                }
                TallyStep::LeftOut { why } => work.take_word(tx, from, ReportFate::LeftOut(why))?,
            };
            if let Some(why) = aside {
                return Ok(Taken::Aside(why));
            }
            tx.insert(&Seen { id: seen, at: tx.now(), set_aside: None })?;
            Ok(Taken::Done)
        })
    }

    /// As a leader: asks the helper about reports that nobody asked about yet, and closes sums when it is time.
    pub(super) fn see_to_tallies(&self) {
        let open: Vec<Arc<TallyKept>> =
            self.index.read().tallies.values().filter(|kept| kept.closed.is_none()).cloned().collect();
        for kept in open {
            let Some((work, agreement)) = self.work(&kept.agreement, kept.period) else { continue };
            if work.leader == self.keys.office
                && let Err(error) = self.lead(work, &agreement, &kept)
            {
                tracing::warn!(%error, "a secure sum does not go on; it is tried again");
            }
        }
    }

    fn lead(&self, work: Work, agreement: &Agreement, kept: &TallyKept) -> Result<(), DeskError> {
        let Some(directory) = self.around.directory() else { return Ok(()) };
        let name = work.name;
        let zone = self.index.read().zone.clone();
        let in_state = |wanted: ReportState| -> Vec<OfficeId> {
            let tables = self.index.read();
            let own = tables.tally_reports.range((name, OfficeId::new([0; 32]))..);
            let own = own.take_while(|((tally, _), _)| *tally == name);
            own.filter(|(_, (_, state))| *state == wanted).map(|((_, office), _)| *office).collect()
        };
        let work = Arc::new(work);
        for some in in_state(ReportState::Waiting).chunks(ITEMS_MAX) {
            let (some, work) = (some.to_vec(), Arc::clone(&work));
            self.vault.write(None, "tally", move |tx| work.ask(tx, &some))?;
        }
        let mut told = in_state(ReportState::Added);
        // Who adds does not tell in the same sum. What the helper has not answered by the end is left out.
        let adds = |office: &OfficeId| [work.leader, work.helper].contains(office);
        let is_asked = |(office, member): &(&OfficeId, &Member)| member.has_role(Role::Office) && !adds(office);
        let asked = directory.members().filter(is_asked).count();
        let due = zone.instant(agreement.terms.due(kept.period).plus_days(1), 0);
        let least = usize::from(agreement.terms.least_offices);
        let times = (due, kept.opened, self.around.clock.now());
        // Without a collector it waits for one.
        let collector = self.tally_collector();
        if collector.is_none() || !is_to_close(times, (told.len(), asked, least)) {
            return Ok(());
        }
        let sums: Vec<Vec<OfficeId>> = {
            let tables = self.index.read();
            let beside = tables.tallies.values().filter(|kept| work.is_beside(kept));
            beside.map(|kept| cohort::offices(&kept.reports)).collect()
        };
        let least_changed = usize::from(agreement.terms.least_changed);
        let Some(few_changed) = cohort::left_out(&sums, &told, &name, (least_changed, least)) else {
            tracing::warn!(period = %kept.period, "a secure sum waits: it would differ from another by too few offices");
            return Ok(());
        };
        told.retain(|office| !few_changed.contains(office));
        let missed = |why| move |office| Missed { office, why };
        let mut left_out: Vec<Missed> = few_changed.into_iter().map(missed(LeftOut::FewChanged)).collect();
        left_out.extend(in_state(ReportState::Refused).into_iter().map(missed(LeftOut::Refused)));
        left_out.extend(in_state(ReportState::Asked).into_iter().map(missed(LeftOut::Unchecked)));
        let agreement = agreement.clone();
        self.vault.write(None, "tally", move |tx| {
            let closing = Closing { reports: work.counted(tx, &told)?, left_out };
            if let Some(why) = work.close(tx, &agreement, &closing, collector)? {
                tracing::warn!(why, "a secure sum cannot be closed");
                return Ok(());
            }
            let reports = List::new(closing.reports).unwrap_or_default();
            work.tell(tx, work.helper, TallyStep::Close { reports })
        })
    }

    /// The network's collector above all, and whether it is this office.
    fn tally_collector(&self) -> Option<(OfficeId, bool)> {
        let directory = self.around.directory()?;
        let collector = Levels::of(directory.members()).top()?;
        Some((collector, collector == self.keys.office))
    }

    /// What the two aggregators told of a sum, put together.
    pub(super) fn summed(&self, agreed: &Agreed, period: Period) -> Option<Summed> {
        let (work, agreement) = self.work(&agreement_hash(&agreed.text), period)?;
        let tables = self.index.read();
        let of = |office: OfficeId| {
            tables.tally_parts.values().find(|part| part.tally == work.name && part.from == office).cloned()
        };
        let (leader, helper) = of(work.leader).zip(of(work.helper))?;
        drop(tables);
        Some(work.together(&agreement, &leader, &helper))
    }
}

/// What an aggregator signed of a sum, where its key did.
fn rooted(directory: &Directory, from: OfficeId, tally: &Digest, root: &TallyRoot) -> Option<Rooted> {
    let at = root.unverified()?.at;
    let key = directory.member(&from)?.keys.node_key(&root.key, at.s())?;
    root.verify(from, tally, &key).ok()
}

/// The id of what is kept of a sum, or of one office in it: found without looking through all.
fn id_of(tally: &Digest, office: Option<&OfficeId>) -> RecordId {
    let own: &[u8] = office.map_or(&[], |office| office.as_bytes());
    let hash = casemesh_crypto::hash::sha256(&[b"casemesh/1/tally-row\0", tally.as_bytes(), own]);
    RecordId::new(hash.as_bytes().first_chunk().copied().unwrap_or_default())
}

type Row<R> = Option<(R, u64)>;

fn row_of<R: Record>(tx: &Tx<'_>, id: RecordId) -> Result<Row<R>, DeskError> {
    Ok(tx.get::<R>(R::TOP, id)?.map(|sealed| (sealed.record, sealed.revision)))
}

fn put<R: Record>(tx: &mut Tx<'_>, record: &R, revision: Option<u64>) -> Result<(), DeskError> {
    match revision {
        Some(revision) => tx.update(record, revision)?,
        None => tx.insert(record)?,
    }
    Ok(())
}

/// Why something of a sum is set aside; none where it had its effect.
type Aside = Option<&'static str>;

impl Work {
    /// The sum as it is kept; kept from now on where it is new.
    fn kept(&self, tx: &mut Tx<'_>) -> Result<(TallyKept, u64), DeskError> {
        let id = id_of(&self.name, None);
        if let Some(known) = row_of::<TallyKept>(tx, id)? {
            return Ok(known);
        }
        let (tally, agreement, period, opened) = (self.name, self.agreement, self.period, tx.now());
        let (family, key, reports) = (self.family.clone(), Vec::new(), Vec::new());
        let kept = TallyKept { id, tally, agreement, period, key, opened, closed: None, family, reports };
        tx.insert(&kept)?;
        Ok((kept, 1))
    }

    fn report(&self, tx: &Tx<'_>, office: &OfficeId) -> Result<Row<TallyReport>, DeskError> {
        row_of(tx, id_of(&self.name, Some(office)))
    }

    fn fresh(&self, office: OfficeId, nonce: [u8; 16]) -> TallyReport {
        TallyReport {
            id: id_of(&self.name, Some(&office)),
            tally: self.name,
            office,
            nonce,
            public: Vec::new(),
            share: Vec::new(),
            question: Vec::new(),
            added: Vec::new(),
            state: ReportState::Waiting,
        }
    }

    fn take_share(
        &self,
        tx: &mut Tx<'_>,
        from: OfficeId,
        nonce: [u8; 16],
        (public, share): (Vec<u8>, Vec<u8>),
    ) -> Result<Aside, DeskError> {
        let (kept, _) = self.kept(tx)?;
        if kept.closed.is_some() {
            let is_in = kept.reports.iter().any(|report| report.office == from);
            if !is_in {
                self.tell(tx, from, TallyStep::LeftOut { why: LeftOut::Late })?;
            }
            return Ok(Some("a report for a sum that is closed"));
        }
        let (mut report, revision) = match self.report(tx, &from)? {
            Some((report, revision)) => (report, Some(revision)),
            None => (self.fresh(from, nonce), None),
        };
        if !report.share.is_empty() || report.nonce != nonce || report.state != ReportState::Waiting {
            return Ok(Some("a second report of an office for the same sum"));
        }
        (report.public, report.share) = (public, share);
        if !report.question.is_empty() {
            let answer = self.answered(&kept, &mut report);
            self.answer(tx, vec![answer])?;
        }
        put(tx, &report, revision)?;
        Ok(None)
    }

    fn take_questions(
        &self,
        tx: &mut Tx<'_>,
        key: [u8; VERIFY_KEY_BYTES],
        items: Vec<TallyItem>,
    ) -> Result<Aside, DeskError> {
        let (mut kept, revision) = self.kept(tx)?;
        if kept.key.is_empty() {
            kept.key = key.to_vec();
            tx.update(&kept, revision)?;
        }
        let mut answers = Vec::new();
        for item in items {
            match self.report(tx, &item.office)? {
                Some((mut report, revision)) if report.nonce == item.nonce && report.state == ReportState::Waiting => {
                    report.question = item.message;
                    if !report.share.is_empty() {
                        answers.push(self.answered(&kept, &mut report));
                    }
                    tx.update(&report, revision)?;
                }
                Some(_) => answers.push(TallyItem { message: Vec::new(), ..item }),
                // The question came before the share, which is answered when it comes.
                None => tx.insert(&TallyReport { question: item.message, ..self.fresh(item.office, item.nonce) })?,
            }
        }
        self.answer(tx, answers)?;
        Ok(None)
    }

    fn take_answers(&self, tx: &mut Tx<'_>, items: Vec<TallyItem>) -> Result<Aside, DeskError> {
        let (kept, _) = self.kept(tx)?;
        for item in items {
            let Some((mut report, revision)) = self.report(tx, &item.office)? else { continue };
            if report.nonce == item.nonce && report.state == ReportState::Asked {
                let received = Received { nonce: &report.nonce, public: &report.public, share: &report.share };
                let added = key_of(&kept).and_then(|key| self.sum.conclude(&key, received, &item.message).ok());
                settle(&mut report, added);
                tx.update(&report, revision)?;
            }
        }
        Ok(None)
    }

    fn take_sum(
        &self,
        tx: &mut Tx<'_>,
        from: OfficeId,
        (root, sum): (TallyRoot, Vec<u8>),
        (reports, left_out): (Vec<CountedReport>, Vec<Missed>),
    ) -> Result<Aside, DeskError> {
        let id = id_of(&self.name, Some(&from));
        if row_of::<TallyPart>(tx, id)?.is_some() || !cohort::is_in_order(reports.iter().map(|report| report.office)) {
            return Ok(Some("a second sum of one aggregator, or one that names an office twice"));
        }
        let (tally, agreement, period, at) = (self.name, self.agreement, self.period, tx.now());
        tx.insert(&TallyPart { id, tally, agreement, period, from, reports, sum, at, root, left_out })?;
        Ok(None)
    }

    /// At an office, what an aggregator says of its report.
    fn take_word(&self, tx: &mut Tx<'_>, from: OfficeId, said: ReportFate) -> Result<Aside, DeskError> {
        let id = id_of(&self.name, Some(&from));
        if row_of::<TallyWord>(tx, id)?.is_some() {
            return Ok(Some("a second word of one aggregator on the same report"));
        }
        let (tally, at) = (self.name, tx.now());
        tx.insert(&TallyWord { id, tally, from, said, at })?;
        Ok(None)
    }

    /// At the collector, what the two aggregators told, put together.
    fn together(&self, agreement: &Agreement, leader: &TallyPart, helper: &TallyPart) -> Summed {
        let at = leader.at.max(helper.at);
        let named = leader.reports.iter().chain(&helper.reports).map(|report| report.office).collect();
        // Two sums of different reports are no sum.
        if leader.reports != helper.reports {
            tracing::warn!(period = %self.period, "the aggregators added different reports");
            return Summed { at, named, ..Summed::default() };
        }
        let total = self.sum.total(&leader.sum, &helper.sum, leader.reports.len()).ok();
        let figures = total.map(|total| tally::figures(agreement, &total)).unwrap_or_default();
        let root = leader.root.unverified().map(|rooted| rooted.root);
        let offices = cohort::offices(&leader.reports);
        let mut left_out = leader.left_out.clone();
        let is_new = |missed: &&Missed| leader.left_out.iter().all(|known| known.office != missed.office);
        left_out.extend(helper.left_out.iter().filter(is_new));
        Summed { offices, root, left_out, named, figures, at }
    }

    fn tell(&self, tx: &mut Tx<'_>, to: OfficeId, step: TallyStep) -> Result<(), DeskError> {
        Outward::control(Control::tally(to, self.tally(step))).queue(tx)
    }

    /// Whether it is another sum of the same agreement that was closed.
    fn is_beside(&self, kept: &TallyKept) -> bool {
        kept.closed.is_some() && kept.family == self.family && kept.tally != self.name
    }

    /// The offices of the other sums of the same agreement.
    fn beside(&self, tx: &Tx<'_>) -> Result<Vec<Vec<OfficeId>>, DeskError> {
        let all = tx.list::<TallyKept>(TallyKept::TOP)?.into_iter().map(|sealed| sealed.record);
        Ok(all.filter(|kept| self.is_beside(kept)).map(|kept| cohort::offices(&kept.reports)).collect())
    }

    /// At the helper, whose reports it holds that the leader did not name.
    fn missed(&self, tx: &Tx<'_>, agreement: &Agreement, reports: &[CountedReport]) -> Result<Vec<Missed>, DeskError> {
        let (sums, named) = (self.beside(tx)?, cohort::offices(reports));
        let changed: Vec<usize> = sums.iter().map(|sum| cohort::changed(sum, &named)).collect();
        let held = tx.list::<TallyReport>(TallyReport::TOP)?.into_iter().map(|sealed| sealed.record);
        // A question without a share says nothing of an office that told.
        let told = held.filter(|report| report.state != ReportState::Waiting || !report.share.is_empty());
        let missed = told.filter(|report| report.tally == self.name && !named.contains(&report.office));
        let why = |report: &TallyReport| {
            let mut with_it = sums.iter().zip(&changed).map(|(sum, changed)| match sum.binary_search(&report.office) {
                Ok(_) => changed.saturating_sub(1),
                Err(_) => changed + 1,
            });
            let may_be_in = with_it.all(|changed| cohort::is_apart(changed, agreement.terms.least_changed.into()));
            match report.state {
                ReportState::Refused => LeftOut::Refused,
                ReportState::Added if !may_be_in => LeftOut::FewChanged,
                ReportState::Added | ReportState::Asked | ReportState::Waiting => LeftOut::Unchecked,
            }
        };
        Ok(missed.map(|report| Missed { office: report.office, why: why(&report) }).collect())
    }

    /// The reports of some offices.
    fn counted(&self, tx: &Tx<'_>, offices: &[OfficeId]) -> Result<Vec<CountedReport>, DeskError> {
        let mut reports = Vec::with_capacity(offices.len());
        for office in offices {
            reports.extend(
                self.report(tx, office)?.map(|(report, _)| CountedReport { office: *office, nonce: report.nonce }),
            );
        }
        Ok(reports)
    }

    /// The helper's part of one report.
    fn answered(&self, kept: &TallyKept, report: &mut TallyReport) -> TallyItem {
        let received = Received { nonce: &report.nonce, public: &report.public, share: &report.share };
        let answer = key_of(kept).and_then(|key| self.sum.answer(&key, received, &report.question).ok());
        let (message, added) = answer.unzip();
        let item = TallyItem { office: report.office, nonce: report.nonce, message: message.unwrap_or_default() };
        settle(report, added);
        item
    }

    fn answer(&self, tx: &mut Tx<'_>, answers: Vec<TallyItem>) -> Result<(), DeskError> {
        if answers.is_empty() {
            return Ok(());
        }
        let items = List::new(answers).unwrap_or_default();
        self.tell(tx, self.leader, TallyStep::Answers { items })
    }

    /// The leader's questions about some reports.
    fn ask(&self, tx: &mut Tx<'_>, offices: &[OfficeId]) -> Result<(), DeskError> {
        let (mut kept, revision) = self.kept(tx)?;
        if kept.key.is_empty() {
            kept.key = random::array::<VERIFY_KEY_BYTES>(&mut os_rng()).to_vec();
            tx.update(&kept, revision)?;
        }
        let Some(key) = key_of(&kept) else { return Ok(()) };
        let mut items = Vec::new();
        for office in offices {
            let Some((mut report, revision)) = self.report(tx, office)? else { continue };
            let received = Received { nonce: &report.nonce, public: &report.public, share: &report.share };
            match self.sum.question(&key, received) {
                Ok(message) => {
                    items.push(TallyItem { office: *office, nonce: report.nonce, message });
                    report.state = ReportState::Asked;
                }
                Err(_) => settle(&mut report, None),
            }
            tx.update(&report, revision)?;
        }
        if items.is_empty() {
            return Ok(());
        }
        let items = List::new(items).unwrap_or_default();
        self.tell(tx, self.helper, TallyStep::Questions { key, items })
    }

    /// Adds up, tells the collector, and each office that its report is in the sum. The noise is drawn once: what is closed stays closed,
    /// with the sum in the outbox.
    fn close(
        &self,
        tx: &mut Tx<'_>,
        agreement: &Agreement,
        Closing { reports, left_out }: &Closing,
        collector: Option<(OfficeId, bool)>,
    ) -> Result<Aside, DeskError> {
        let (mut kept, revision) = self.kept(tx)?;
        let offices = cohort::offices(reports);
        if !cohort::is_in_order(offices.iter().copied()) || offices.len() < usize::from(agreement.terms.least_offices) {
            return Ok(Some("the end of a sum of too few offices, or of one that is named twice"));
        }
        let Some((collector, is_here)) = collector.filter(|_| kept.closed.is_none()) else {
            return Ok(Some("the end of a sum that has ended, or that nobody collects"));
        };
        if !cohort::may_stand(&self.beside(tx)?, &offices, agreement.terms.least_changed.into()) {
            return Ok(Some("the end of a sum that differs from another by too few offices"));
        }
        let mut shares = Vec::with_capacity(offices.len());
        for counted in reports {
            match self.report(tx, &counted.office)? {
                Some((report, _)) if report.state == ReportState::Added && report.nonce == counted.nonce => {
                    shares.push(report.added);
                }
                _ => return Ok(Some("the end of a sum with a report that was not added here")),
            }
        }
        let Ok(sum) = self.sum.added(&shares, agreement.noise_permille()) else {
            return Ok(Some("shares that cannot be added"));
        };
        let at = tx.now();
        kept.closed = Some(at);
        kept.reports.clone_from(reports);
        tx.update(&kept, revision)?;
        let (us, key) = &self.signs;
        let root = TallyRoot::sign((*us, self.name), reports, at, key);
        for (office, inclusion) in Inclusion::of_all(&root, reports) {
            self.tell(tx, office, TallyStep::Included { inclusion })?;
        }
        for missed in left_out {
            self.tell(tx, missed.office, TallyStep::LeftOut { why: missed.why })?;
        }
        // The first are named: more would not fit the packet.
        let left_out: Vec<Missed> = left_out.iter().take(MISSED_MAX).copied().collect();
        if is_here {
            return self.take_sum(tx, collector, (root, sum), (reports.clone(), left_out));
        }
        let (reports, left_out) = (List::new(reports.clone()), List::new(left_out));
        let (reports, left_out) = (reports.unwrap_or_default(), left_out.unwrap_or_default());
        self.tell(tx, collector, TallyStep::Sum { root, reports, sum, left_out })?;
        Ok(None)
    }
}

fn key_of(kept: &TallyKept) -> Option<[u8; VERIFY_KEY_BYTES]> {
    kept.key.as_slice().try_into().ok()
}

/// A report that was looked at: what is added is kept, the share goes.
fn settle(report: &mut TallyReport, added: Option<Vec<u8>>) {
    report.state = if added.is_some() { ReportState::Added } else { ReportState::Refused };
    report.added = added.unwrap_or_default();
    (report.public, report.share, report.question) = (Vec::new(), Vec::new(), Vec::new());
}

#[cfg(test)]
mod tests;
