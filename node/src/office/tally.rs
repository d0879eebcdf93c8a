//! A secure sum at its parties: shares taken and checked at the two aggregators, closed when it is time, and put together at the
//! collector. What happens when stands in `protocol::tally`, the mathematics in `secure_sum`.

use super::exchange::Taken;
use super::outward::Outward;
use super::{DeskError, Office};
use crate::indicators::{self, Agreed};
use crate::records::{ReportState, Seen, TallyKept, TallyPart, TallyReport};
use crate::secure_sum::{Received, SecureSum, SumError, VERIFY_KEY_BYTES};
use crate::vault::{Record, Tx};
use casemesh_crypto::hash::Digest;
use casemesh_crypto::random::{self, os_rng};
use casemesh_protocol::bounded::List;
use casemesh_protocol::directory::{Directory, Member, Role};
use casemesh_protocol::id::{OfficeId, RecordId};
use casemesh_protocol::levels::Levels;
use casemesh_protocol::outgoing::Control;
use casemesh_protocol::statistics::{Agreement, AgreementText, Figure, Way, agreement_hash};
use casemesh_protocol::tally::{
    self, ITEMS_MAX, Tally, TallyItem, TallyStep, is_in_order, is_to_close, tally_of, width,
};
use casemesh_protocol::time::{Period, Timestamp};
use std::sync::Arc;

/// A sum of an agreement and a period.
pub(super) fn sum_of(agreement: &Agreement, tally: &Digest) -> Result<SecureSum, SumError> {
    SecureSum::new(width(agreement), agreement.terms.most, tally.as_bytes())
}

/// One sum as an aggregator works on it.
struct Work {
    sum: SecureSum,
    agreement: Digest,
    text: AgreementText,
    period: Period,
    name: Digest,
    leader: OfficeId,
    helper: OfficeId,
}

impl Work {
    fn tally(&self, step: TallyStep) -> Tally {
        Tally { agreement: self.agreement, period: self.period, step }
    }
}

/// What the collector has of one sum.
pub(super) struct Summed {
    /// Whose reports are in it; none where the two aggregators do not agree yet.
    pub(super) offices: Vec<OfficeId>,
    /// The figures; none where too few told.
    pub(super) figures: Vec<Figure>,
    /// When the second of the two sums came.
    pub(super) at: Timestamp,
}

impl Office {
    fn work(&self, agreement: &Digest, period: Period) -> Option<(Work, Agreement)> {
        let known = self.text_of(agreement)?;
        let text = known.clone();
        let known = indicators::read_agreement(known.as_str()).ok()?;
        let [leader, helper] = known.terms.aggregators.as_slice() else { return None };
        let (leader, helper, name) = (*leader, *helper, tally_of(agreement, period));
        let is_asked = known.terms.way != Way::Plain && known.terms.has(period);
        let sum = sum_of(&known, &name).ok().filter(|_| is_asked)?;
        Some((Work { sum, agreement: *agreement, text, period, name, leader, helper }, known))
    }

    /// The text of an agreement: one that holds, or that a sum was begun under.
    fn text_of(&self, agreement: &Digest) -> Option<AgreementText> {
        let directory = self.around.directory()?;
        if let Some(text) = directory.agreements().find(|text| agreement_hash(text) == *agreement) {
            return Some(text.clone());
        }
        let tables = self.index.read();
        let kept = tables.tallies.values().find(|kept| kept.agreement == *agreement).map(|kept| kept.text.clone());
        let part = || tables.tally_parts.values().find(|part| part.agreement == *agreement);
        kept.or_else(|| part().map(|part| part.text.clone()))
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
        let is_aggregator = [work.leader, work.helper].contains(&ours);
        let member = directory.member(&from);
        let is_fine = match &told.step {
            TallyStep::Share { .. } => {
                let today = self.index.read().zone.day(self.around.clock.now());
                // The stewards said from when on: nobody fills the store with periods of long ago.
                let is_over = agreement.terms.has(told.period) && told.period.to <= today.plus_days(1);
                is_aggregator && is_over && member.is_some_and(|member| member.has_role(Role::Office))
            }
            TallyStep::Questions { .. } | TallyStep::Close { .. } => ours == work.helper && from == work.leader,
            TallyStep::Answers { .. } => ours == work.leader && from == work.helper,
            TallyStep::Sum { .. } => {
                let collects = directory.member(&ours).is_some_and(|member| member.has_role(Role::Collector));
                collects && [work.leader, work.helper].contains(&from)
            }
        };
        if !is_fine {
            return Ok(Taken::Aside("part of a sum from an office whose part it is not"));
        }
        let collector = self.tally_collector();
        self.vault.write(None, "tally", move |tx| {
            let aside = match told.step {
                TallyStep::Share { nonce, public, share } => work.take_share(tx, from, nonce, (public, share))?,
                TallyStep::Questions { key, items } => work.take_questions(tx, key, items.into_vec())?,
                TallyStep::Answers { items } => work.take_answers(tx, items.into_vec())?,
                TallyStep::Close { offices } => work.close(tx, &agreement, offices.into_vec(), collector)?,
                TallyStep::Sum { offices, sum } => work.take_sum(tx, from, offices.into_vec(), sum)?,
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
        let added = in_state(ReportState::Added);
        // Who adds does not tell in the same sum. What the helper has not answered by the end is left out.
        let adds = |office: &OfficeId| [work.leader, work.helper].contains(office);
        let is_asked = |(office, member): &(&OfficeId, &Member)| member.has_role(Role::Office) && !adds(office);
        let asked = directory.members().filter(is_asked).count();
        let due = zone.instant(agreement.terms.due(kept.period).plus_days(1), 0);
        let least = usize::from(agreement.terms.least_offices);
        let times = (due, kept.opened, self.around.clock.now());
        // Without a collector it waits for one.
        let collector = self.tally_collector();
        if collector.is_some() && is_to_close(times, (added.len(), asked, least)) {
            let agreement = agreement.clone();
            self.vault.write(None, "tally", move |tx| {
                if let Some(why) = work.close(tx, &agreement, added.clone(), collector)? {
                    tracing::warn!(why, "a secure sum cannot be closed");
                    return Ok(());
                }
                let offices = List::new(added).unwrap_or_default();
                Outward::control(Control::tally(work.helper, work.tally(TallyStep::Close { offices }))).queue(tx)
            })?;
        }
        Ok(())
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
        let at = leader.at.max(helper.at);
        // Two sums of different offices are no sum.
        if leader.offices != helper.offices || !is_in_order(&leader.offices) {
            tracing::warn!(%period, "the aggregators added the reports of different offices");
            return Some(Summed { offices: Vec::new(), figures: Vec::new(), at });
        }
        let total = work.sum.total(&leader.sum, &helper.sum, leader.offices.len()).ok();
        let figures = total.map(|total| tally::figures(&agreement, &total)).unwrap_or_default();
        Some(Summed { offices: leader.offices.clone(), figures, at })
    }
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
        let text = self.text.clone();
        let kept = TallyKept { id, tally, agreement, text, period, key: Vec::new(), opened, closed: None };
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
        offices: Vec<OfficeId>,
        sum: Vec<u8>,
    ) -> Result<Aside, DeskError> {
        let id = id_of(&self.name, Some(&from));
        if row_of::<TallyPart>(tx, id)?.is_some() || !is_in_order(&offices) {
            return Ok(Some("a second sum of one aggregator, or one that names an office twice"));
        }
        let (tally, agreement, period, at) = (self.name, self.agreement, self.period, tx.now());
        tx.insert(&TallyPart { id, tally, agreement, text: self.text.clone(), period, from, offices, sum, at })?;
        Ok(None)
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
        Outward::control(Control::tally(self.leader, self.tally(TallyStep::Answers { items }))).queue(tx)
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
        Outward::control(Control::tally(self.helper, self.tally(TallyStep::Questions { key, items }))).queue(tx)
    }

    /// Adds up and tells the collector. The noise is drawn once: what is closed stays closed, with the sum in the outbox.
    fn close(
        &self,
        tx: &mut Tx<'_>,
        agreement: &Agreement,
        offices: Vec<OfficeId>,
        collector: Option<(OfficeId, bool)>,
    ) -> Result<Aside, DeskError> {
        let (mut kept, revision) = self.kept(tx)?;
        if !is_in_order(&offices) || offices.len() < usize::from(agreement.terms.least_offices) {
            return Ok(Some("the end of a sum of too few offices, or of one that is named twice"));
        }
        let Some((collector, is_here)) = collector.filter(|_| kept.closed.is_none()) else {
            return Ok(Some("the end of a sum that has ended, or that nobody collects"));
        };
        let mut shares = Vec::with_capacity(offices.len());
        for office in &offices {
            match self.report(tx, office)? {
                Some((report, _)) if report.state == ReportState::Added => shares.push(report.added),
                _ => return Ok(Some("the end of a sum with a report that was not added here")),
            }
        }
        let Ok(sum) = self.sum.added(&shares, agreement.noise_permille()) else {
            return Ok(Some("shares that cannot be added"));
        };
        kept.closed = Some(tx.now());
        tx.update(&kept, revision)?;
        if is_here {
            return self.take_sum(tx, collector, offices, sum);
        }
        let offices = List::new(offices).unwrap_or_default();
        Outward::control(Control::tally(collector, self.tally(TallyStep::Sum { offices, sum }))).queue(tx)?;
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
