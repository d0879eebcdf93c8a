//! What became of an office's report for a secure sum, by what the two aggregators signed.

use crate::index::Tables;
use crate::indicators;
use crate::records::ReportFate;
use casemesh_protocol::cohort::LeftOut;
use casemesh_protocol::statistics::{AgreementText, agreement_hash};
use casemesh_protocol::tally::tally_of;
use casemesh_protocol::time::Period;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Where an office's report for a secure sum stands, by what the two aggregators signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum TallyStanding {
    /// The sum is not closed, as far as is known.
    Open,
    /// One says that the report is in the sum; the other has not said anything.
    OneSigned,
    /// Both signed the same list of reports, and it is in it.
    Counted,
    /// Both signed a list with another report of this office, sent before its data were put back.
    OtherCounted,
    /// They do not say the same: there is no sum.
    Differ,
    /// Its proof does not hold.
    Refused,
    /// It came after the sum was closed.
    Late,
    /// With it, the sum would differ from another by too few offices.
    FewChanged,
    /// The two had not both checked it when the sum was closed.
    Unchecked,
}

impl TallyStanding {
    /// Whether somebody should ask why.
    pub const fn is_trouble(self) -> bool {
        matches!(self, Self::OtherCounted | Self::Differ | Self::Refused | Self::Unchecked)
    }

    /// From what aggregators said of the report with that nonce, the leader first.
    fn of(nonce: &[u8; 16], said: &[&ReportFate]) -> Self {
        let included = |fate: &&ReportFate| match fate {
            ReportFate::Included(inclusion) => {
                inclusion.root.unverified().map(|rooted| (rooted.root, rooted.reports, inclusion.nonce))
            }
            ReportFate::LeftOut(_) => None,
        };
        let all: Vec<_> = said.iter().map(included).collect();
        match (said, all.as_slice()) {
            // Both left it out: the leader, who stands first, knows why.
            ([ReportFate::LeftOut(why)] | [ReportFate::LeftOut(why), ReportFate::LeftOut(_)], _) => match why {
                LeftOut::Refused => Self::Refused,
                LeftOut::Late => Self::Late,
                LeftOut::FewChanged => Self::FewChanged,
                LeftOut::Unchecked => Self::Unchecked,
            },
            (_, []) => Self::Open,
            (_, [Some(_)]) => Self::OneSigned,
            (_, [Some(one), Some(other)]) if one == other && one.2 == *nonce => Self::Counted,
            (_, [Some(one), Some(other)]) if one == other => Self::OtherCounted,
            _ => Self::Differ,
        }
    }
}

impl std::fmt::Display for TallyStanding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Open => "open",
            Self::OneSigned => "one-signed",
            Self::Counted => "counted",
            Self::OtherCounted => "other-counted",
            Self::Differ => "differ",
            Self::Refused => "refused",
            Self::Late => "late",
            Self::FewChanged => "few-changed",
            Self::Unchecked => "unchecked",
        })
    }
}

/// What became of an office's report for a secure sum.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TallyReportView {
    /// Where it stands.
    pub standing: TallyStanding,
    /// How many reports are in the list that was signed.
    pub reports: Option<u32>,
    /// The root of that list: the collector's page shows the same.
    pub root: Option<String>,
}

/// What became of an office's report.
pub(in crate::office) fn report_view(
    tables: &Tables,
    agreed: &AgreementText,
    period: Period,
    nonce: &[u8; 16],
) -> TallyReportView {
    let known = indicators::read_agreement(agreed.as_str()).ok();
    let leader = known.and_then(|known| known.terms.aggregators.first().copied());
    let words = tables.tally_words.get(&tally_of(&agreement_hash(agreed), period));
    let mut words: Vec<_> = words.into_iter().flatten().collect();
    words.sort_by_key(|word| Some(word.from) != leader);
    let said: Vec<&ReportFate> = words.into_iter().map(|word| &word.said).collect();
    let rooted = said.iter().find_map(|said| match said {
        ReportFate::Included(inclusion) => inclusion.root.unverified(),
        ReportFate::LeftOut(_) => None,
    });
    TallyReportView {
        standing: TallyStanding::of(nonce, &said),
        reports: rooted.map(|rooted| rooted.reports),
        root: rooted.map(|rooted| rooted.root.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use casemesh_crypto::hash::Digest;
    use casemesh_crypto::random::os_rng;
    use casemesh_crypto::sign::SigningKey;
    use casemesh_protocol::cohort::{CountedReport, Inclusion, TallyRoot};
    use casemesh_protocol::id::OfficeId;
    use casemesh_protocol::time::Timestamp;

    /// Every pair of words of two aggregators, and what an office makes of them.
    #[test]
    fn an_office_knows_by_two_signed_lists_whether_its_report_counts() {
        let key = SigningKey::random(&mut os_rng());
        let (us, other) = (OfficeId::new([1; 32]), OfficeId::new([2; 32]));
        let word = |nonce: u8, with: bool| {
            let mut reports = vec![CountedReport { office: us, nonce: [nonce; 16] }];
            reports.extend(with.then_some(CountedReport { office: other, nonce: [9; 16] }));
            let root = TallyRoot::sign((other, Digest::new([3; 32])), &reports, Timestamp::from_s(1), &key);
            let (_, inclusion) = Inclusion::of_all(&root, &reports).next().unwrap();
            ReportFate::Included(Box::new(inclusion))
        };
        let standing = |said: &[&ReportFate]| TallyStanding::of(&[7; 16], said);
        let (both, alone, before) = (word(7, true), word(7, false), word(8, true));
        let out = ReportFate::LeftOut(LeftOut::FewChanged);
        assert_eq!(standing(&[]), TallyStanding::Open);
        assert_eq!(standing(&[&both]), TallyStanding::OneSigned);
        assert_eq!(standing(&[&both, &both]), TallyStanding::Counted);
        assert_eq!(standing(&[&before, &before]), TallyStanding::OtherCounted);
        assert_eq!(standing(&[&both, &alone]), TallyStanding::Differ, "two lists");
        assert_eq!(standing(&[&both, &before]), TallyStanding::Differ, "two reports of one office");
        assert_eq!(standing(&[&out]), TallyStanding::FewChanged);
        assert_eq!(standing(&[&out, &ReportFate::LeftOut(LeftOut::Unchecked)]), TallyStanding::FewChanged);
        assert_eq!(standing(&[&both, &out]), TallyStanding::Differ, "one left it out, the other did not");
    }
}
