//! The code lists that a new office starts with. A code is for ever; labels are translated in the
//! catalogues (`code-<list>-<code>`), the English one travels with the code for readers without them.

use casemesh_protocol::terms::Code;

/// The version of these lists.
pub const VERSION: u16 = 1;

/// One list: its name, and its codes with their English labels.
#[derive(Debug, Clone, Copy)]
pub struct CodeList {
    /// Its name.
    pub name: &'static str,
    /// Code and English label.
    pub codes: &'static [(&'static str, &'static str)],
}

/// The band in which an age lies, in years.
pub fn age_band(age: i64) -> Option<Code> {
    let band = match age {
        ..0 => return None,
        0..=8 => "0-8",
        9..=17 => "9-17",
        18..=20 => "18-20",
        21..=23 => "21-23",
        24..=26 => "24-26",
        27..=29 => "27-29",
        30..=38 => "30-38",
        39..=47 => "39-47",
        48.. => "48+",
    };
    code("age_band", band)
}

/// The word of a code that must stand somewhere and was not recorded: what is counted by it is missing.
pub const NOT_RECORDED: &str = "not_recorded";

impl CodeList {
    /// The coded value, if the list has it.
    pub fn code(&self, code: &str) -> Option<Code> {
        let (code, label) = self.codes.iter().find(|(known, _)| *known == code)?;
        Code::new(self.name, VERSION, code, label).ok()
    }
}

/// The list of that name.
pub fn list(name: &str) -> Option<&'static CodeList> {
    LISTS.iter().find(|list| list.name == name)
}

/// The coded value of a list, if both exist.
pub fn code(list_name: &str, code: &str) -> Option<Code> {
    list(list_name)?.code(code)
}

/// All lists.
pub const LISTS: &[CodeList] = &[
    CodeList {
        name: "case_type",
        codes: &[
            ("unpaid_wages", "Labour and unpaid wages"),
            ("dismissal", "Dismissal"),
            ("domestic_violence", "Domestic violence"),
            ("maintenance", "Maintenance"),
            ("child_abuse", "Child abuse and neglect"),
            ("custody", "Custody and guardianship"),
            ("social_grant", "Social grant and pension"),
            ("identity_document", "Identity document and birth registration"),
            ("eviction", "Housing and eviction"),
            ("land", "Land and tenure"),
            ("inheritance", "Inheritance"),
            ("debt", "Debt and consumer"),
            ("recruitment_fee", "Unlawful commission or recruitment fee"),
            ("asylum", "Immigration and asylum"),
            ("statelessness", "Citizenship and statelessness"),
            ("police_conduct", "Police conduct and detention"),
            ("criminal_complaint", "Criminal complaint"),
            ("health_access", "Access to health care"),
            ("education_access", "Access to education"),
            ("discrimination", "Discrimination"),
            ("witchcraft_accusation", "Witchcraft accusation"),
            ("trafficking", "Trafficking and forced labour"),
            ("other", "Other"),
        ],
    },
    CodeList {
        name: "service_type",
        codes: &[
            ("safe_house", "Safe house"),
            ("health", "Health care"),
            ("psychosocial", "Psychosocial support"),
            ("police", "Police"),
            ("legal_assistance", "Legal assistance"),
            ("livelihoods", "Livelihoods"),
            ("child_protection", "Child protection"),
            ("family_mediation", "Family mediation"),
            ("family_reunification", "Family reunification"),
            ("education", "Education"),
            ("non_food_items", "Non-food items"),
            ("registration", "Registration"),
            ("food", "Food"),
            ("paralegal_advice", "Paralegal advice"),
            ("representation", "Representation"),
            ("interpretation", "Interpretation"),
            ("transport", "Transport"),
            ("cash", "Cash and emergency aid"),
            ("repatriation", "Repatriation"),
            ("other", "Other"),
        ],
    },
    CodeList {
        name: "sex",
        codes: &[
            ("female", "Female"),
            ("male", "Male"),
            ("other", "Other"),
            ("prefer_not_to_say", "Prefers not to say"),
        ],
    },
    CodeList {
        name: "age_band",
        codes: &[
            ("0-8", "0 to 8"),
            ("9-17", "9 to 17"),
            ("18-20", "18 to 20"),
            ("21-23", "21 to 23"),
            ("24-26", "24 to 26"),
            ("27-29", "27 to 29"),
            ("30-38", "30 to 38"),
            ("39-47", "39 to 47"),
            ("48+", "48 and older"),
        ],
    },
    CodeList {
        name: "language",
        codes: &[
            ("am", "Amharic"),
            ("ar", "Arabic"),
            ("en", "English"),
            ("es", "Spanish"),
            ("fr", "French"),
            ("km", "Khmer"),
            ("my", "Burmese"),
            ("ne", "Nepali"),
            ("pt", "Portuguese"),
            ("st", "Sesotho"),
            ("sw", "Swahili"),
            ("th", "Thai"),
            ("uk", "Ukrainian"),
            ("vi", "Vietnamese"),
            ("xh", "isiXhosa"),
            ("zu", "isiZulu"),
            ("other", "Other"),
        ],
    },
    CodeList {
        name: "action_kind",
        codes: &[
            ("note", "Note"),
            ("advice", "Advice given"),
            ("call", "Call"),
            ("meeting", "Meeting"),
            ("letter_out", "Letter sent"),
            ("letter_in", "Letter received"),
            ("negotiation", "Negotiation"),
            ("mediation", "Mediation"),
            ("hearing", "Hearing"),
            ("visit", "Visit"),
            ("accompaniment", "Accompaniment"),
        ],
    },
    CodeList {
        name: "decline_reason",
        codes: &[
            ("no_capacity", "No capacity"),
            ("not_offered", "Service not offered"),
            ("not_eligible", "Not eligible"),
            ("outside_area", "Outside our area"),
            ("cannot_act", "We cannot act"),
            ("missing_information", "Documents or information missing"),
            ("duplicate", "Already our client"),
            ("unsafe", "Not safe"),
            ("other_provider_better", "Another provider is better"),
            ("language", "Language or access not available"),
            ("in_error", "Referred in error"),
            ("other", "Other"),
        ],
    },
    CodeList {
        name: "failure_reason",
        codes: &[
            ("unreachable", "Client could not be reached"),
            ("no_show", "Client did not come"),
            ("client_declined", "Client declined the service"),
            ("moved", "Client moved away"),
            ("died_or_missing", "Client died or is missing"),
            ("ineligible", "Not eligible on assessment"),
            ("lost_capacity", "We lost the capacity"),
            ("safety", "Stopped for safety"),
            ("other", "Other"),
        ],
    },
    CodeList {
        name: "hold_reason",
        codes: &[
            ("waiting_client", "Waiting for the client"),
            ("third_party", "Waiting for somebody else"),
            ("court", "Waiting for a court"),
            ("document", "Waiting for a document"),
            ("no_capacity", "No capacity at the moment"),
            ("other", "Other"),
        ],
    },
    CodeList {
        name: "erasure_answer",
        codes: &[
            ("all_erased", "Everything that was received is erased"),
            ("legal_duty", "Kept: the law demands it"),
            ("own_client", "Kept: the person is our own client and agreed"),
            ("defence", "Kept: needed in a court case"),
            ("other", "Kept for another reason"),
        ],
    },
    CodeList {
        name: "withdraw_reason",
        codes: &[
            ("client_changed_mind", "Client changed their mind"),
            ("consent_withdrawn", "Consent taken back"),
            ("need_solved", "Need is solved"),
            ("other_provider", "Another provider took it"),
            ("wrong_office", "Sent to the wrong office"),
            ("safety", "For safety"),
            ("case_closed", "Case closed"),
            ("office_left", "The other office left the network"),
        ],
    },
    CodeList {
        name: "outcome",
        codes: &[
            ("service_given", "Service given"),
            ("partly_given", "Partly given"),
            ("settled", "Settled by agreement"),
            ("decided", "Decided by a court or agency"),
            ("referred_on", "Referred on"),
            ("not_resolved", "Not resolved"),
        ],
    },
    CodeList {
        name: "feedback",
        codes: &[
            ("satisfied", "Satisfied"),
            ("partly_satisfied", "Partly satisfied"),
            ("not_satisfied", "Not satisfied"),
            ("not_reached", "Could not be asked"),
        ],
    },
    CodeList {
        name: "closure_reason",
        codes: &[
            ("resolved", "Resolved as the client wished"),
            ("partly_resolved", "Partly resolved"),
            ("not_resolved", "Not resolved"),
            ("withdrawn_by_client", "Withdrawn by the client"),
            ("lost_contact", "Lost contact"),
            ("moved_away", "Moved away"),
            ("died", "Died"),
            ("not_eligible", "Not eligible"),
            ("no_merit", "No merit"),
            ("duplicate", "Duplicate"),
            ("graduated", "Graduated: the plan is done"),
            ("returned", "Returned home or to the family"),
            ("transferred", "Transferred to another office"),
            ("conflict_of_interest", "Conflict of interest"),
            ("other", "Other"),
        ],
    },
    CodeList {
        name: "case_source",
        codes: &[
            ("self", "Came by themself"),
            ("family", "Family or friend"),
            ("former_client", "Former client"),
            ("outreach", "Our outreach"),
            ("organisation", "Another organisation"),
            ("authority", "Authority or police"),
            ("helpline", "Helpline"),
            ("media", "Radio, press or internet"),
            ("other", "Other"),
        ],
    },
    CodeList {
        name: "level_of_help",
        codes: &[
            ("information", "Information"),
            ("advice", "Advice"),
            ("brief_service", "Brief service"),
            ("mediated", "Mediated settlement"),
            ("negotiated", "Negotiated settlement"),
            ("agency_decision", "Decision of an authority"),
            ("court_decision", "Decision of a court"),
            ("extensive", "Other extensive work"),
            ("referred_only", "Referred only"),
        ],
    },
    CodeList {
        name: "outside_way",
        codes: &[
            ("slip", "Printed slip"),
            ("letter", "Letter or e-mail"),
            ("telephone", "Telephone"),
            ("in_person", "In person"),
            ("helpline", "Helpline"),
            ("court", "Court or authority"),
            ("other", "Other"),
        ],
    },
    CodeList {
        name: "carries",
        codes: &[
            ("sheet", "A sheet in plain words"),
            ("card", "A neutral card with a code word"),
            ("nothing", "Nothing"),
        ],
    },
    CodeList {
        name: "contact_channel",
        codes: &[
            ("walk_in", "Walked in"),
            ("telephone", "Telephone"),
            ("message", "Message"),
            ("letter", "Letter or e-mail"),
            ("visit", "Home visit"),
            ("outreach", "Outreach"),
            ("brought", "Brought by somebody"),
            ("other", "Other"),
        ],
    },
    CodeList {
        name: "turnaway_reason",
        codes: &[
            ("outside_area", "Outside our area"),
            ("outside_priority", "Outside our priorities"),
            ("not_eligible", "Not eligible"),
            ("no_capacity", "No capacity"),
            ("not_offered", "Service not offered"),
            ("other_provider_better", "Another provider is better"),
            ("client_declined", "Client declined"),
            ("conflict_of_interest", "Conflict of interest"),
            ("other", "Other"),
        ],
    },
    CodeList {
        name: "exploitation_type",
        codes: &[
            ("forced_labour", "Forced labour"),
            ("sexual_exploitation", "Sexual exploitation"),
            ("slavery", "Slavery and similar practices"),
            ("other", "Other"),
        ],
    },
    CodeList {
        name: "party_role",
        codes: &[
            ("respondent", "Other side"),
            ("perpetrator", "Alleged perpetrator"),
            ("witness", "Witness"),
            ("employer", "Employer"),
            ("landlord", "Landlord"),
            ("caregiver", "Caregiver"),
            ("reporter", "Who reported it"),
            ("official", "Official"),
            ("interpreter", "Interpreter"),
            ("participant", "Participant in a mediation"),
            ("other", "Other"),
        ],
    },
    CodeList {
        name: "party_relation",
        codes: &[
            ("partner", "Partner or former partner"),
            ("parent", "Parent"),
            ("relative", "Other relative"),
            ("neighbour", "Neighbour"),
            ("employer", "Employer"),
            ("teacher", "Teacher"),
            ("authority", "Authority"),
            ("stranger", "Stranger"),
            ("other", "Other"),
        ],
    },
    CodeList {
        name: "incident_kind",
        codes: &[
            ("physical", "Physical violence"),
            ("sexual", "Sexual violence"),
            ("psychological", "Psychological violence"),
            ("economic", "Economic violence"),
            ("neglect", "Neglect"),
            ("exploitation", "Exploitation"),
            ("eviction", "Eviction"),
            ("dismissal", "Dismissal"),
            ("detention", "Detention"),
            ("other", "Other"),
        ],
    },
    CodeList {
        name: "risk_level",
        codes: &[("high", "High"), ("medium", "Medium"), ("low", "Low"), ("not_assessed", "Not assessed")],
    },
    CodeList {
        name: "service_outcome",
        codes: &[
            ("done", "Done"),
            ("partly", "Partly done"),
            ("declined", "Declined by the client"),
            ("unavailable", "Not available"),
            ("stopped", "Stopped"),
        ],
    },
    CodeList {
        name: "assessment_area",
        codes: &[
            ("safety", "Safety"),
            ("health", "Health"),
            ("wellbeing", "Wellbeing"),
            ("housing", "Housing"),
            ("income", "Income"),
            ("schooling", "Schooling"),
            ("relations", "Relations with others"),
            ("legal", "Legal situation"),
        ],
    },
    CodeList {
        name: "item_kind",
        codes: &[("returned", "Returned to the client"), ("aid", "Aid given"), ("kept", "Kept for the client")],
    },
    CodeList { name: "helped", codes: &[("yes", "Yes"), ("partly", "In part"), ("no", "No")] },
    CodeList { name: "direction", codes: &[("in", "Received"), ("out", "Sent")] },
    CodeList {
        name: "forum",
        codes: &[
            ("negotiation", "Negotiation"),
            ("mediation", "Mediation"),
            ("customary", "Customary forum"),
            ("tribunal", "Tribunal"),
            ("court", "Court"),
            ("administrative", "Authority"),
        ],
    },
    CodeList {
        name: "settlement_result",
        codes: &[
            ("agreed", "Agreement"),
            ("partly", "Agreement in part"),
            ("none", "No agreement"),
            ("adjourned", "Adjourned"),
        ],
    },
    CodeList {
        name: "stay_kind",
        codes: &[
            ("shelter", "Shelter"),
            ("foster", "Foster family"),
            ("kinship", "Relatives"),
            ("institution", "Institution"),
            ("independent", "Supported living"),
        ],
    },
    CodeList {
        name: "stay_end_reason",
        codes: &[
            ("own_wish", "By own wish"),
            ("goal_reached", "Goal reached"),
            ("moved", "Moved to another place"),
            ("family", "Back with the family"),
            ("rules", "House rules"),
            ("lost", "Left without notice"),
            ("died", "Died"),
        ],
    },
    CodeList {
        name: "travel_means",
        codes: &[
            ("foot", "On foot"),
            ("road", "Road"),
            ("rail", "Rail"),
            ("boat", "Boat"),
            ("air", "Air"),
            ("other", "Other"),
        ],
    },
    CodeList {
        name: "alert_kind",
        codes: &[
            ("safety", "Safety"),
            ("medical", "Medical"),
            ("contact", "Contact"),
            ("conduct", "Conduct"),
            ("other", "Other"),
        ],
    },
    CodeList {
        name: "relation",
        codes: &[
            ("partner", "Partner"),
            ("parent", "Parent"),
            ("child", "Child"),
            ("sibling", "Sibling"),
            ("grandparent", "Grandparent"),
            ("guardian", "Guardian"),
            ("relative", "Other relative"),
            ("friend", "Friend"),
        ],
    },
    CodeList { name: "conflict_answer", codes: &[("can_act", "We can act"), ("cannot_act", "We cannot act")] },
    CodeList {
        name: "case_link",
        codes: &[
            ("adverse_party", "Same adverse party"),
            ("family", "Same family"),
            ("incident", "Same incident"),
            ("other", "Other"),
        ],
    },
    CodeList {
        name: "confirmed_what",
        codes: &[("contact", "Safe contact"), ("address", "Address"), ("risk", "Risk")],
    },
    CodeList {
        name: "activity_kind",
        codes: &[
            ("training", "Training"),
            ("meeting", "Meeting"),
            ("awareness", "Awareness raising"),
            ("clinic", "Advice day"),
            ("other", "Other"),
        ],
    },
    CodeList {
        name: "goal_status",
        codes: &[
            ("not_begun", "Not begun"),
            ("under_way", "Under way"),
            ("reached", "Reached"),
            ("partly_reached", "Partly reached"),
            ("given_up", "Given up"),
        ],
    },
    CodeList { name: "yes_no", codes: &[("yes", "Yes"), ("no", "No")] },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_fits_and_stands_once() {
        for list in LISTS {
            let mut seen = std::collections::BTreeSet::new();
            for (code, _) in list.codes {
                assert!(list.code(code).is_some(), "{}: {code}", list.name);
                assert!(seen.insert(code), "{}: {code} twice", list.name);
            }
        }
        assert!(code("case_type", "nothing").is_none());
    }
}
