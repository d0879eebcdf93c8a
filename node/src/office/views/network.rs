//! What a desk shows of the network and of who offers what.

use super::CodeView;
use casemesh_protocol::directory::{Capacity, ServiceOffer};
use casemesh_protocol::id::{OfficeId, RecordId};
use casemesh_protocol::time::{Day, Timestamp};
use casemesh_protocol::trust::EndReason;
use serde::Serialize;
use utoipa::ToSchema;

/// A service that an office of the network offers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct OfferView {
    /// Which.
    pub service: CodeView,
    /// In words.
    pub description: String,
    /// When the office last said so.
    #[schema(value_type = String)]
    pub assured: Day,
    /// From which age.
    pub min_age: Option<u8>,
    /// Up to which age.
    pub max_age: Option<u8>,
    /// Whether there is room.
    #[schema(value_type = String)]
    pub capacity: Capacity,
    /// Whether that is so long ago that one should ask.
    pub is_stale: bool,
}

impl OfferView {
    pub(in crate::office) fn new(offer: &ServiceOffer, today: Day, stale_days: i32) -> Self {
        Self {
            service: CodeView::from(&offer.service),
            description: offer.description.to_string(),
            assured: offer.assured,
            min_age: offer.min_age,
            max_age: offer.max_age,
            capacity: offer.capacity,
            is_stale: offer.assured.plus_days(stale_days) < today,
        }
    }
}

/// An office that offers what is looked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct FoundOffer {
    /// Which.
    #[schema(value_type = String)]
    pub office: OfficeId,
    /// Its name.
    pub name: String,
    /// The area it serves.
    pub area: String,
    /// Languages spoken there.
    pub languages: Vec<String>,
    /// Its telephone.
    pub telephone: String,
    /// Until when it takes nobody.
    #[schema(value_type = Option<String>)]
    pub closed_until: Option<Day>,
    /// The service.
    pub offer: OfferView,
}

/// A service of an organisation outside the network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ListingView {
    /// Which.
    #[schema(value_type = String)]
    pub id: RecordId,
    /// What it is called.
    pub name: String,
    /// Whose it is.
    pub organization: String,
    /// What it is.
    pub description: String,
    /// As which service it counts.
    pub service: Option<CodeView>,
    /// Languages spoken there.
    pub languages: Vec<String>,
    /// From which age.
    pub min_age: Option<u8>,
    /// Up to which age.
    pub max_age: Option<u8>,
    /// For which area.
    pub area: String,
    /// Addresses.
    pub places: Vec<String>,
    /// Telephones, mail, page.
    pub contact: Vec<String>,
    /// When it is open.
    pub hours: Vec<String>,
    /// For whom.
    pub eligibility: String,
    /// How one gets in.
    pub application: String,
    /// What it costs.
    pub fees: String,
    /// What to bring.
    pub documents: Vec<String>,
    /// What is different just now.
    pub alert: String,
    /// When somebody last confirmed it.
    #[schema(value_type = Option<String>)]
    pub assured: Option<Day>,
    /// Whether that is so long ago, or unknown, that one should ask.
    pub is_stale: bool,
}

impl ListingView {
    /// Who is asked, as a consent names them.
    pub fn recipient(&self) -> &str {
        if self.organization.is_empty() { &self.name } else { &self.organization }
    }
}

/// What this office says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct OwnEntryView {
    /// The area it serves.
    pub area: String,
    /// Languages spoken there.
    pub languages: Vec<String>,
    /// A telephone for other offices.
    pub telephone: String,
    /// Until when it takes nobody.
    #[schema(value_type = Option<String>)]
    pub closed_until: Option<Day>,
    /// Whether others do not learn where its node is.
    pub hidden: bool,
    /// The collector that it says it tells its figures.
    #[schema(value_type = Option<String>)]
    pub reports_to: Option<OfficeId>,
    /// Those that it can tell, by name.
    #[schema(value_type = Vec<Object>)]
    pub collectors: Vec<(OfficeId, String)>,
    /// What it offers.
    pub offers: Vec<OfferView>,
}

/// Another office of the network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct OtherOfficeView {
    /// Which.
    #[schema(value_type = String)]
    pub office: OfficeId,
    /// Its name.
    pub name: String,
    /// Its kind.
    pub kind: String,
    /// Whether it keeps packets for others.
    pub is_hub: bool,
    /// The area it serves.
    pub area: String,
    /// What it offers.
    pub services: Vec<OfferView>,
    /// Until when it takes nobody.
    #[schema(value_type = Option<String>)]
    pub closed_until: Option<Day>,
    /// Its telephone.
    pub telephone: String,
    /// Languages spoken there.
    pub languages: Vec<String>,
    /// How it can be reached now.
    pub line: crate::office::Line,
    /// What a person should know about the connection.
    pub problem: Option<String>,
    /// How many packets wait for it.
    pub waiting: usize,
    /// Since when.
    #[schema(value_type = Option<String>)]
    pub since: Option<Timestamp>,
    /// When the last of them was put into a file that is carried by hand.
    #[schema(value_type = Option<String>)]
    pub carried: Option<Timestamp>,
    /// The digits to compare with it on the telephone.
    pub digits: String,
    /// When somebody did, last.
    pub verified: Option<VerifiedView>,
}

/// When another office was spoken with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct VerifiedView {
    /// When.
    #[schema(value_type = String)]
    pub at: Timestamp,
    /// By whom of us.
    pub by: String,
    /// With whom, and how.
    pub how: String,
}

/// An office that wants to join.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct NewcomerView {
    /// Which.
    #[schema(value_type = String)]
    pub office: OfficeId,
    /// Its name.
    pub name: String,
    /// Its kind.
    pub kind: String,
    /// The area it serves.
    pub area: String,
    /// Its telephone.
    pub telephone: String,
    /// What it offers.
    pub services: Vec<CodeView>,
    /// The digits to compare with it on the telephone.
    pub digits: String,
    /// Whether it belongs to the network already.
    pub member: bool,
    /// Whether its keys or what it says are newer than what is known here.
    pub newer: bool,
    /// Whether it did once, and that was ended.
    pub ended: bool,
}

/// An invitation that is open.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct InvitationView {
    /// Which.
    pub id: String,
    /// For whom.
    pub note: String,
    /// Until when it is good.
    #[schema(value_type = String)]
    pub expires: Timestamp,
    /// Who knocked with it.
    pub newcomer: Option<NewcomerView>,
    /// Their card, to be let in with: hexadecimal digits.
    pub card: Option<String>,
}

/// An office that does not belong to the network any more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct MembershipView {
    /// Which.
    #[schema(value_type = String)]
    pub office: OfficeId,
    /// Its name.
    pub name: String,
    /// Why.
    #[schema(value_type = String)]
    pub reason: EndReason,
    /// Since when.
    #[schema(value_type = String)]
    pub since: Timestamp,
    /// Which office goes on with its work.
    pub successor: Option<String>,
    /// What is still open with it.
    pub referrals: Vec<super::ReferralSummary>,
}

/// Whether there is room: a question of ours or of another office.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct CapacityView {
    /// Which.
    #[schema(value_type = String)]
    pub id: RecordId,
    /// Whether we ask.
    pub outgoing: bool,
    /// The other office.
    #[schema(value_type = String)]
    pub office: OfficeId,
    /// Its name.
    pub name: String,
    /// In which service.
    pub service: CodeView,
    /// How urgent: 0 routine, 1 urgent, 2 emergency.
    pub urgency: u8,
    /// For which age band.
    pub age_band: Option<CodeView>,
    /// In which language.
    pub language: Option<CodeView>,
    /// When it was asked.
    #[schema(value_type = String)]
    pub at: Timestamp,
    /// What was answered.
    #[schema(value_type = Option<String>)]
    pub capacity: Option<Capacity>,
    /// From which day on.
    #[schema(value_type = Option<String>)]
    pub from: Option<Day>,
    /// When it was answered.
    #[schema(value_type = Option<String>)]
    pub answered: Option<Timestamp>,
}

/// The network that the office is in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct NetworkView {
    /// Its name.
    pub name: String,
    /// Of when the last decision about it is that is known here.
    #[schema(value_type = String)]
    pub as_of: Timestamp,
    /// How many offices there are, this one among them.
    pub count: usize,
    /// The other offices: where something waits first.
    pub members: Vec<OtherOfficeView>,
    /// Packets that came and are not opened yet.
    pub waiting_in: usize,
    /// Packets that could not be opened.
    pub set_aside: usize,
    /// Packets that wait for a newer version of this program.
    pub newer: usize,
    /// Whether this account may put what waits into a file, and take one.
    pub may_carry: bool,
    /// Whether this account lets offices in, for this one.
    pub registers: bool,
    /// Whether this account may let this office leave.
    pub may_leave: bool,
    /// Our own office.
    #[schema(value_type = String)]
    pub own: OfficeId,
    /// Invitations that are open, where this account lets offices in.
    pub invitations: Vec<InvitationView>,
    /// Whether offices can be invited from here: the node has a lobby.
    pub has_lobby: bool,
    /// Offices that are out.
    pub former: Vec<MembershipView>,
    /// Whether this office left: how many of the others know, of how many.
    pub leaving: Option<(usize, usize)>,
    /// Whether there is room, asked of us and by us in the last weeks.
    pub asked: Vec<CapacityView>,
}
