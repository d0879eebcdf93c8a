//! What is kept of figures: reports that are made again, tables that left, tables that came in, and sums.

use super::record;
use crate::vault::{Kind, Record};
use casemesh_crypto::hash::Digest;
use casemesh_crypto::shred::KeyHandle;
use casemesh_protocol::coded_enum;
use casemesh_protocol::cohort::{CountedReport, Inclusion, LeftOut, Missed, TallyRoot};
use casemesh_protocol::id::{OfficeId, RecordId, StaffId};
use casemesh_protocol::proposal::{Proposal, Stance};
use casemesh_protocol::sample::{SampleCounts, SampleField, SampleQuestion, SampleResult};
use casemesh_protocol::statistics::{AgreementText, Rhythm, Table, Word};
use casemesh_protocol::time::{Period, Timestamp};
use minicbor::{Decode, Encode};

/// A table of statistics that left.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Release {
    /// Which.
    #[n(0)]
    pub id: RecordId,
    /// What it said.
    #[n(1)]
    pub table: Table,
    /// To whom.
    #[n(2)]
    pub to: OfficeId,
    /// Who saw it cell by cell and approved.
    #[n(3)]
    pub approved_by: Option<StaffId>,
    /// The agreement under which it left, as the stewards signed it.
    #[n(4)]
    pub agreed: AgreementText,
    /// The packet that carries it.
    #[n(5)]
    pub outbox: RecordId,
    /// Of a secure sum, what makes the report the only one of its kind.
    #[cbor(n(6), default, with = "minicbor::bytes")]
    pub nonce: Option<[u8; 16]>,
}

/// What an aggregator said of this office's report for a secure sum.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct TallyWord {
    /// Which.
    #[n(0)]
    pub id: RecordId,
    /// Of which sum.
    #[n(1)]
    pub tally: Digest,
    /// Which aggregator.
    #[n(2)]
    pub from: OfficeId,
    /// Its signed proof that the report is in the sum, or why it is not.
    #[n(3)]
    pub said: ReportFate,
    /// When it came.
    #[n(4)]
    pub at: Timestamp,
}

/// What became of an office's report.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum ReportFate {
    /// It is in the sum: the proof, with what was signed, which was checked.
    #[n(0)]
    Included(#[n(0)] Box<Inclusion>),
    /// It is not.
    #[n(1)]
    LeftOut(#[n(0)] LeftOut),
}

coded_enum!(
    /// How an office answers what its network asks.
    Answering {
        /// Somebody looks at each table and sends it.
        Asked = 1 "asked",
        /// Each table goes by itself when its period is over, as long as nothing stands against it.
        ByItself = 2 "by_itself",
        /// Nothing goes.
        Refused = 3 "refused",
    }
);

coded_enum!(
    /// Where a report stands at an aggregator.
    ReportState {
        /// It waits for the other aggregator.
        Waiting = 1 "waiting",
        /// The other was asked.
        Asked = 2 "asked",
        /// Both found that it holds: it is added.
        Added = 3 "added",
        /// It does not hold.
        Refused = 4 "refused",
    }
);

/// At an aggregator, what it got of one office's report: a share, which tells nothing by itself.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct TallyReport {
    /// Which.
    #[n(0)]
    pub id: RecordId,
    /// Of which sum.
    #[n(1)]
    pub tally: Digest,
    /// Whose.
    #[n(2)]
    pub office: OfficeId,
    /// What makes it the only one of its kind.
    #[cbor(n(3), with = "minicbor::bytes")]
    pub nonce: [u8; 16],
    /// The part for both; gone once it was added.
    #[cbor(n(4), with = "minicbor::bytes")]
    pub public: Vec<u8>,
    /// The share; gone once it was added. None where the question about it came first.
    #[cbor(n(5), with = "minicbor::bytes")]
    pub share: Vec<u8>,
    /// At the helper, the leader's question, until the share is there.
    #[cbor(n(6), with = "minicbor::bytes")]
    pub question: Vec<u8>,
    /// What is added to the sum.
    #[cbor(n(7), with = "minicbor::bytes")]
    pub added: Vec<u8>,
    /// Where it stands.
    #[n(8)]
    pub state: ReportState,
}

/// At an aggregator, a sum that it adds up.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct TallyKept {
    /// Which.
    #[n(0)]
    pub id: RecordId,
    /// Its name.
    #[n(1)]
    pub tally: Digest,
    /// The agreement's hash.
    #[n(2)]
    pub agreement: Digest,
    /// The period.
    #[n(3)]
    pub period: Period,
    /// The key of both aggregators; none at the helper until the leader asked.
    #[cbor(n(4), with = "minicbor::bytes")]
    pub key: Vec<u8>,
    /// When the first report came.
    #[n(5)]
    pub opened: Timestamp,
    /// When it was closed: from then on no noise is drawn and no report is taken.
    #[n(6)]
    pub closed: Option<Timestamp>,
    /// The agreement's id: sums of one stand beside each other.
    #[n(7)]
    pub family: Word,
    /// The reports that are in it, once it was closed.
    #[n(8)]
    pub reports: Vec<CountedReport>,
}

/// At a collector, what one aggregator added.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct TallyPart {
    /// Which.
    #[n(0)]
    pub id: RecordId,
    /// Of which sum.
    #[n(1)]
    pub tally: Digest,
    /// The agreement's hash.
    #[n(2)]
    pub agreement: Digest,
    /// The period.
    #[n(3)]
    pub period: Period,
    /// Which aggregator.
    #[n(4)]
    pub from: OfficeId,
    /// The reports that are in it.
    #[n(5)]
    pub reports: Vec<CountedReport>,
    /// The sum of shares.
    #[cbor(n(6), with = "minicbor::bytes")]
    pub sum: Vec<u8>,
    /// When it came.
    #[n(7)]
    pub at: Timestamp,
    /// What the aggregator signed of the reports.
    #[n(8)]
    pub root: TallyRoot,
    /// Whose reports came and are not in it.
    #[n(9)]
    pub left_out: Vec<Missed>,
}

/// An agreement of the network, kept for when it ends.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct AgreementKept {
    /// Which.
    #[n(0)]
    pub id: RecordId,
    /// Its text, as the stewards signed it.
    #[n(1)]
    pub text: AgreementText,
    /// Since when this node knows it.
    #[n(2)]
    pub at: Timestamp,
}

/// What an office decided about an agreement of its network.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct AgreementChoice {
    /// Which.
    #[n(0)]
    pub id: RecordId,
    /// The agreement's hash: another text is decided anew.
    #[n(1)]
    pub agreement: Digest,
    /// How it is answered.
    #[n(2)]
    pub answering: Answering,
    /// Why, in words.
    #[n(3)]
    pub reason: String,
    /// Who decided.
    #[n(4)]
    pub by: Option<StaffId>,
    /// When.
    #[n(5)]
    pub at: Timestamp,
}

/// A table of statistics that came in, at a collector.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Collected {
    /// Which.
    #[n(0)]
    pub id: RecordId,
    /// The office's name at the time.
    #[n(1)]
    pub office_name: String,
    /// What it said.
    #[n(2)]
    pub table: Table,
    /// When it came.
    #[n(3)]
    pub at: Timestamp,
}

/// A report that an office makes again and again: for a donor, for the government, for its own meeting.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct SavedReport {
    /// Which.
    #[n(0)]
    pub id: RecordId,
    /// Its name.
    #[n(1)]
    pub name: String,
    /// What stands before its figures.
    #[n(2)]
    pub words: String,
    /// Of which periods it is.
    #[n(3)]
    pub every: Rhythm,
    /// Of the work that is counted for that grant alone.
    #[n(4)]
    pub grant: Option<RecordId>,
    /// Its figures, in order.
    #[n(5)]
    pub figures: Vec<ReportLine>,
    /// Who made it.
    #[n(6)]
    pub by: Option<StaffId>,
    /// When it was changed last.
    #[n(7)]
    pub at: Timestamp,
}

/// A figure of a report, and what is said beside it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct ReportLine {
    /// The indicator.
    #[n(0)]
    pub figure: String,
    /// How many were planned, where something was.
    #[n(1)]
    pub planned: Option<u64>,
    /// A sentence, or what somebody agreed may be told.
    #[n(2)]
    pub words: String,
}

/// A sample check: of this office, or one that it asked another for.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct SampleCheck {
    /// Which.
    #[n(0)]
    pub id: RecordId,
    /// Whether we asked another office.
    #[n(1)]
    pub outgoing: bool,
    /// The other office; none where the office checks itself.
    #[n(2)]
    pub partner: Option<OfficeId>,
    /// What is asked.
    #[n(3)]
    pub question: SampleQuestion,
    /// Since when.
    #[n(4)]
    pub at: Timestamp,
    /// Who asked, or decided here.
    #[n(5)]
    pub by: Option<StaffId>,
    /// Since when the office takes part.
    #[n(6)]
    pub agreed: Option<Timestamp>,
    /// Whether it does not take part.
    #[n(7)]
    pub declined: bool,
    /// Why not, in words that stay here.
    #[n(8)]
    pub reason: String,
    /// The cases that were drawn, and what came of each.
    #[n(9)]
    pub lines: Vec<SampleLine>,
    /// What was told, and when.
    #[n(10)]
    pub told: Option<(SampleCounts, Timestamp)>,
}

impl SampleCheck {
    /// One that nobody decided on.
    pub fn new(id: RecordId, partner: Option<OfficeId>, question: SampleQuestion, at: Timestamp) -> Self {
        Self {
            id,
            outgoing: false,
            partner,
            question,
            at,
            by: None,
            agreed: None,
            declined: false,
            reason: String::new(),
            lines: Vec::new(),
            told: None,
        }
    }
}

/// Where a check stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum SampleState {
    /// Nobody said yet whether the office takes part.
    Waiting,
    /// Clients are being asked.
    Open,
    /// The office does not take part.
    Declined,
    /// Counts were told.
    Told,
}

impl SampleState {
    /// The word for it in catalogues.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Open => "open",
            Self::Declined => "declined",
            Self::Told => "told",
        }
    }
}

impl SampleCheck {
    /// How it stands, in numbers.
    pub fn counts(&self) -> SampleCounts {
        let results = self.lines.iter().filter_map(|line| Some((line.result?, line.fields.as_slice())));
        SampleCounts::of(self.lines.len(), results)
    }

    /// Where it stands.
    pub fn state(&self) -> SampleState {
        match (self.told.is_some(), self.declined, self.agreed) {
            (true, ..) => SampleState::Told,
            (_, true, _) => SampleState::Declined,
            (_, _, Some(_)) => SampleState::Open,
            _ => SampleState::Waiting,
        }
    }
}

/// A case of a sample check.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct SampleLine {
    /// Which.
    #[n(0)]
    pub case: RecordId,
    /// What came of it.
    #[n(1)]
    pub result: Option<SampleResult>,
    /// What differs.
    #[n(2)]
    pub fields: Vec<SampleField>,
    /// Who asked the client.
    #[n(3)]
    pub by: Option<StaffId>,
    /// When that was written down.
    #[n(4)]
    pub at: Option<Timestamp>,
}

impl SampleLine {
    /// A case that was drawn.
    pub fn of(case: RecordId) -> Self {
        Self { case, result: None, fields: Vec::new(), by: None, at: None }
    }
}

/// The areas on the office's map: the last that was imported.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct AreaMap {
    /// Which.
    #[n(0)]
    pub id: RecordId,
    /// The file that it is from.
    #[n(1)]
    pub file: String,
    /// Its width in its own steps.
    #[n(2)]
    pub width: u16,
    /// Its height.
    #[n(3)]
    pub height: u16,
    /// Its areas, by name.
    #[n(4)]
    pub areas: Vec<MapArea>,
    /// Who imported it.
    #[n(5)]
    pub by: Option<StaffId>,
    /// When.
    #[n(6)]
    pub at: Timestamp,
}

/// An area of a map.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct MapArea {
    /// Its name.
    #[n(0)]
    pub name: String,
    /// Its outline, as SVG writes paths.
    #[n(1)]
    pub path: String,
    /// Where something about it is written.
    #[n(2)]
    pub at: (u16, u16),
}

/// What is proposed that the network agrees on: by this office, or by another.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Proposed {
    /// Which.
    #[n(0)]
    pub id: RecordId,
    /// Who proposes it; none where this office does.
    #[n(1)]
    pub from: Option<OfficeId>,
    /// What.
    #[n(2)]
    pub proposal: Proposal,
    /// Since when.
    #[n(3)]
    pub at: Timestamp,
    /// What offices say of it; of another's proposal, what this office says.
    #[n(4)]
    pub comments: Vec<Commented>,
}

/// What an office says of a proposal.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Commented {
    /// Which office.
    #[n(0)]
    pub office: OfficeId,
    /// Whether it agrees.
    #[n(1)]
    pub stance: Stance,
    /// In words.
    #[n(2)]
    pub said: String,
    /// When.
    #[n(3)]
    pub at: Timestamp,
}

impl Proposed {
    /// Takes up what an office says, in the place of what it said before; what it said before and comes later changes nothing.
    pub fn take(&mut self, said: Commented) {
        match self.comments.iter_mut().find(|known| known.office == said.office) {
            Some(known) if known.at > said.at => {}
            Some(known) => *known = said,
            None => self.comments.push(said),
        }
    }
}

record!(Proposed, Proposed, |proposed| proposed.id, vec![]);
record!(AreaMap, AreaMap, |map| map.id, vec![]);
record!(Release, Release, |release| release.id, vec![]);
record!(Collected, Collected, |collected| collected.id, vec![]);
record!(TallyReport, TallyReport, |report| report.id, vec![]);
record!(TallyKept, TallyKept, |kept| kept.id, vec![]);
record!(TallyPart, TallyPart, |part| part.id, vec![]);
record!(TallyWord, TallyWord, |word| word.id, vec![]);
record!(AgreementKept, AgreementKept, |kept| kept.id, vec![]);
record!(AgreementChoice, AgreementChoice, |choice| choice.id, vec![]);
record!(SavedReport, SavedReport, |report| report.id, vec![]);
record!(SampleCheck, SampleCheck, |check| check.id, vec![]);
