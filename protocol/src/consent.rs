//! The consent rule. Nothing about a person leaves an office without a [`Permit`], and only this module
//! makes one: from a live consent for that purpose and that named office, or from a supervisor's logged
//! override. It is asked when a packet is built and again when it is sent.

use crate::id::OfficeId;
use crate::terms::{ChildView, ConsentGiver, ConsentTerms, FieldGroup, Ground, Purpose, Withheld};
use crate::time::Timestamp;
use casemesh_crypto::hash::{Digest, sha256};
use casemesh_crypto::wire;
use minicbor::{Decode, Encode};
use serde::{Deserialize, Serialize};

/// What became of a consent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Encode, Decode)]
#[serde(rename_all = "snake_case", tag = "status", content = "at")]
pub enum ConsentStatus {
    /// Given, and not taken back.
    #[n(0)]
    Given,
    /// Asked and refused.
    #[n(1)]
    Refused,
    /// Taken back at that time.
    #[n(2)]
    Withdrawn(#[n(0)] Timestamp),
    /// Not given: a supervisor decided that it is shared all the same, on that ground. It is reviewed.
    #[n(3)]
    Overridden(#[n(0)] Ground),
}

/// Why something may not be shared. Each says what to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ConsentProblem {
    /// Its time is over.
    #[error("the consent expired; ask the client again before sharing")]
    Expired,
    /// It is for other offices.
    #[error("the consent names other offices; ask the client for this one")]
    OtherRecipient,
    /// It is for something else.
    #[error("the consent is for another purpose; ask the client for this one")]
    OtherPurpose,
    /// The client said no.
    #[error("the client refused; nothing may be shared")]
    Refused,
    /// It was taken back.
    #[error("the client took the consent back; nothing may be shared")]
    Withdrawn,
    /// Somebody gave it for a child who is one no longer.
    #[error("the client came of age; what somebody else agreed to holds no more: ask the client")]
    OfAge,
    /// Whoever gave it for the client is a party to the case.
    #[error("whoever agreed for the client is a party to the case; ask the client, or who else may speak for them")]
    GuardianIsParty,
    /// The child herself does not agree.
    #[error("the child does not agree; talk with the child and your supervisor before anything is shared")]
    ChildDisagrees,
    /// The client said that this office must never get anything.
    #[error("the client said that this must never go to this office")]
    Never,
    /// It was given in the future: a clock is wrong.
    #[error("the consent starts later than now; check the clock of this computer")]
    NotYet,
}

/// What is true of the client and of the addressee when the question is asked, beside the consent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Circumstances {
    /// Whether the client is of age: what a caregiver agreed to then holds no more.
    pub is_of_age: bool,
    /// Whether a caregiver of the client is a party to one of the client's cases.
    pub giver_is_party: bool,
    /// Whether the client said that the addressee must never get anything.
    pub is_never: bool,
}

/// Leave to share: for one purpose, with one office, these groups of fields and no others.
///
/// It cannot be made but by the rule, and is the argument without which no disclosure can be built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Permit {
    recipient: OfficeId,
    purpose: Purpose,
    groups: Vec<FieldGroup>,
    withheld: Vec<Withheld>,
    evidence: Digest,
    expires: Timestamp,
    ground: Option<Ground>,
    complete_now: bool,
}

impl Permit {
    /// Asks the rule: may something be shared with `recipient` for `purpose` now?
    ///
    /// # Errors
    /// Says why not.
    pub fn under(
        terms: &ConsentTerms,
        status: ConsentStatus,
        purpose: Purpose,
        recipient: OfficeId,
        circumstances: Circumstances,
        now: Timestamp,
    ) -> Result<Self, ConsentProblem> {
        let ground = match status {
            ConsentStatus::Given => None,
            ConsentStatus::Overridden(ground) => Some(ground),
            ConsentStatus::Refused => return Err(ConsentProblem::Refused),
            ConsentStatus::Withdrawn(_) => return Err(ConsentProblem::Withdrawn),
        };
        // Whom the client rules out, no override brings in.
        if circumstances.is_never {
            return Err(ConsentProblem::Never);
        }
        if ground.is_none() {
            if let Some(lapse) = lapse(terms, circumstances) {
                return Err(lapse);
            }
            if terms.child_view == Some(ChildView::Disagrees) {
                return Err(ConsentProblem::ChildDisagrees);
            }
        }
        if terms.purpose != purpose {
            return Err(ConsentProblem::OtherPurpose);
        }
        let outside = terms.outside.iter().flat_map(|names| names.iter());
        let is_named_outside = outside.into_iter().any(|name| outside_office(name.as_str()) == recipient);
        if !terms.recipients.as_slice().contains(&recipient) && !is_named_outside {
            return Err(ConsentProblem::OtherRecipient);
        }
        if terms.expires <= now {
            return Err(ConsentProblem::Expired);
        }
        if terms.given > now {
            return Err(ConsentProblem::NotYet);
        }
        let kept_back = |group: &FieldGroup| terms.withheld.iter().any(|withheld| withheld.group == *group);
        let mut groups: Vec<FieldGroup> = terms.scope.iter().copied().filter(|group| !kept_back(group)).collect();
        groups.sort_unstable();
        groups.dedup();
        Ok(Self {
            recipient,
            purpose,
            groups,
            withheld: terms.withheld.as_slice().to_vec(),
            evidence: evidence(terms),
            expires: terms.expires,
            ground,
            complete_now: terms.complete_now,
        })
    }

    /// With whom.
    pub fn recipient(&self) -> OfficeId {
        self.recipient
    }

    /// For what.
    pub fn purpose(&self) -> Purpose {
        self.purpose
    }

    /// Whether this group may go.
    pub fn covers(&self, group: FieldGroup) -> bool {
        self.groups.contains(&group)
    }

    /// What the person keeps back, to travel as "withheld".
    pub fn withheld(&self) -> &[Withheld] {
        &self.withheld
    }

    /// Hash of the terms, which the packet names.
    pub fn evidence(&self) -> Digest {
        self.evidence
    }

    /// Until when.
    pub fn expires(&self) -> Timestamp {
        self.expires
    }

    /// On which ground it is shared without a consent; none where there is one.
    pub fn ground(&self) -> Option<Ground> {
        self.ground
    }

    /// Whether everything may go at once, before the other office accepted.
    pub fn lets_all_go_now(&self) -> bool {
        self.complete_now
    }
}

/// Why what somebody agreed to for a child holds no more, if it does not.
pub fn lapse(terms: &ConsentTerms, circumstances: Circumstances) -> Option<ConsentProblem> {
    match terms.giver {
        ConsentGiver::Caregiver | ConsentGiver::Guardian if circumstances.is_of_age => Some(ConsentProblem::OfAge),
        ConsentGiver::Caregiver | ConsentGiver::Guardian if circumstances.giver_is_party => {
            Some(ConsentProblem::GuardianIsParty)
        }
        _ => None,
    }
}

/// What an office without a node is called where an office is asked for: made of its name, whatever case it is written in. No
/// key has it, so that nothing can be sealed to it.
pub fn outside_office(name: &str) -> OfficeId {
    let name = name.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase();
    OfficeId::new(*sha256(&[b"casemesh/1/outside\0", name.as_bytes()]).as_bytes())
}

/// The hash by which a packet refers to the terms of a consent.
pub fn evidence(terms: &ConsentTerms) -> Digest {
    sha256(&[b"casemesh/1/consent\0", &wire::encode(terms)])
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::bounded::{List, Text};
    use crate::directory::OfficeKind;
    use crate::terms::{ConsentMethod, Line, Never, WithholdReason};

    const SHELTER: OfficeId = OfficeId::new([2; 32]);
    const CLINIC: OfficeId = OfficeId::new([3; 32]);
    const NOW: Timestamp = Timestamp::from_s(1_795_000_000);

    pub(crate) fn terms() -> ConsentTerms {
        ConsentTerms {
            purpose: Purpose::ShareForService,
            recipients: List::new(vec![SHELTER]).unwrap(),
            scope: List::new(vec![FieldGroup::Names, FieldGroup::Address, FieldGroup::CaseBrief]).unwrap(),
            withheld: List::new(vec![Withheld { group: FieldGroup::Address, reason: WithholdReason::FearOfHarm }])
                .unwrap(),
            given: NOW,
            expires: NOW.plus_days(30),
            method: ConsentMethod::SignedPaper,
            giver: ConsentGiver::Person,
            language: Text::new("en").unwrap(),
            outside: None,
            child_view: None,
            given_by: None,
            complete_now: false,
        }
    }

    #[test]
    fn a_live_consent_permits_its_scope_less_what_is_withheld() {
        let permit = Permit::under(
            &terms(),
            ConsentStatus::Given,
            Purpose::ShareForService,
            SHELTER,
            Circumstances::default(),
            NOW.plus_days(1),
        )
        .unwrap();
        assert!(permit.covers(FieldGroup::Names));
        assert!(!permit.covers(FieldGroup::Address), "withheld wins over scope");
        assert!(!permit.covers(FieldGroup::Contact), "not in scope");
    }

    #[test]
    fn what_somebody_agreed_to_for_a_child_lapses_and_never_is_kept() {
        let under = |giver, child_view, circumstances| {
            let terms = ConsentTerms { giver, child_view, ..terms() };
            let service = Purpose::ShareForService;
            Permit::under(&terms, ConsentStatus::Given, service, SHELTER, circumstances, NOW).err()
        };
        let of_age = Circumstances { is_of_age: true, ..Circumstances::default() };
        let party = Circumstances { giver_is_party: true, ..Circumstances::default() };
        let never = Circumstances { is_never: true, ..Circumstances::default() };
        for giver in [ConsentGiver::Caregiver, ConsentGiver::Guardian] {
            assert_eq!(under(giver, None, Circumstances::default()), None);
            assert_eq!(under(giver, None, of_age), Some(ConsentProblem::OfAge));
            assert_eq!(under(giver, None, party), Some(ConsentProblem::GuardianIsParty));
            let disagrees = under(giver, Some(ChildView::Disagrees), Circumstances::default());
            assert_eq!(disagrees, Some(ConsentProblem::ChildDisagrees));
            assert_eq!(under(giver, Some(ChildView::TooYoung), Circumstances::default()), None);
        }
        // What the client herself agreed to is hers, whatever her age and whoever cares for her; never is never.
        assert_eq!(under(ConsentGiver::Person, None, of_age), None);
        assert_eq!(under(ConsentGiver::Person, None, party), None);
        assert_eq!(under(ConsentGiver::Person, None, never), Some(ConsentProblem::Never));
        let named = |name: &str| Never::Named(Line::new(name).unwrap());
        let bars = |never: &Never, name: &str| never.bars(SHELTER, Some(OfficeKind::PoliceUnit), name);
        assert!(bars(&Never::Kind(OfficeKind::PoliceUnit), "x") && bars(&Never::Office(SHELTER), "x"));
        assert!(bars(&named("ugu police"), "Police unit Ugu") && !bars(&named("Ugu clinic"), "Police unit Ugu"));
        assert!(!bars(&named(""), "x") && !bars(&Never::Office(CLINIC), "x"));
    }

    #[test]
    fn an_override_sets_the_missing_consent_aside_and_nothing_else() {
        let by = ConsentStatus::Overridden(Ground::LegalDuty);
        let service = Purpose::ShareForService;
        let terms = ConsentTerms { giver: ConsentGiver::Guardian, child_view: Some(ChildView::Disagrees), ..terms() };
        let party = Circumstances { giver_is_party: true, ..Circumstances::default() };
        let permit = Permit::under(&terms, by, service, SHELTER, party, NOW).unwrap();
        assert_eq!(permit.ground(), Some(Ground::LegalDuty));
        assert!(permit.covers(FieldGroup::Names) && !permit.covers(FieldGroup::Address), "what is kept back is");
        let never = Circumstances { is_never: true, ..Circumstances::default() };
        let none = Circumstances::default();
        let refused =
            |purpose, to, circumstances, now| Permit::under(&terms, by, purpose, to, circumstances, now).err();
        assert_eq!(refused(service, SHELTER, never, NOW), Some(ConsentProblem::Never));
        assert_eq!(refused(service, CLINIC, none, NOW), Some(ConsentProblem::OtherRecipient));
        assert_eq!(refused(Purpose::Media, SHELTER, none, NOW), Some(ConsentProblem::OtherPurpose));
        assert_eq!(refused(service, SHELTER, none, NOW.plus_days(30)), Some(ConsentProblem::Expired));
    }

    #[test]
    fn an_office_without_a_node_is_named_as_it_is_written() {
        let clinic = List::new(vec![Line::new("Ugu  Clinic").unwrap()]).unwrap();
        let named = ConsentTerms { outside: Some(clinic), ..terms() };
        let under = |name: &str| {
            Permit::under(
                &named,
                ConsentStatus::Given,
                Purpose::ShareForService,
                outside_office(name),
                Circumstances::default(),
                NOW,
            )
        };
        assert!(under("ugu clinic").is_ok() && under(" Ugu Clinic ").is_ok());
        assert_eq!(under("Ugu Clinics"), Err(ConsentProblem::OtherRecipient));
        assert_ne!(evidence(&named), evidence(&terms()), "whom it names is part of what was agreed");
    }

    #[test]
    fn every_other_consent_is_refused_with_its_reason() {
        use ConsentProblem::*;
        let given = ConsentStatus::Given;
        let service = Purpose::ShareForService;
        for (status, purpose, recipient, now, problem) in [
            (ConsentStatus::Refused, service, SHELTER, NOW, Refused),
            (ConsentStatus::Withdrawn(NOW), service, SHELTER, NOW, Withdrawn),
            (given, Purpose::Statistics, SHELTER, NOW, OtherPurpose),
            (given, Purpose::ShareForTransfer, SHELTER, NOW, OtherPurpose),
            (given, service, CLINIC, NOW, OtherRecipient),
            (given, service, SHELTER, NOW.plus_days(30), Expired),
            (given, service, SHELTER, Timestamp::from_s(1), NotYet),
        ] {
            assert_eq!(
                Permit::under(&terms(), status, purpose, recipient, Circumstances::default(), now),
                Err(problem)
            );
        }
    }
}
