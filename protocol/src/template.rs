//! What a referral shares, by its purpose: for each template the fields that it may hold. A full packet is built from this list and
//! under the consent's scope, and never holds what is in neither; nothing is left out when it is shown.

use crate::coded_enum;
use crate::terms::FieldGroup;

coded_enum!(
    /// What kind of help is asked for decides what has to be known for it (domain.md 4b).
    Template {
        /// Who it is, and how to reach her.
        ContactOnly = 1 "contact_only",
        /// The facts, deadlines, papers and amounts of a legal matter.
        LegalBrief = 2 "legal_brief",
        /// A child: danger, who cares for her, what happened.
        ChildProtection = 3 "child_protection",
        /// A bed: what is needed and how to be safe, and nothing about the place she left.
        Shelter = 4 "shelter",
        /// Treatment: nothing about the legal matter.
        Health = 5 "health",
        /// The whole case, when it is handed over.
        FullTransfer = 6 "full_transfer",
    }
);

/// Every field that a full packet can hold: its name, the group under which a consent lets it go, and the templates that hold it
/// (C contact only, L legal brief, P child protection, S shelter, H health, T full transfer).
const FIELDS: &[(&str, FieldGroup, &str)] = &[
    ("given", FieldGroup::Names, "CLPSHT"),
    ("family", FieldGroup::Names, "CLPSHT"),
    ("local_name", FieldGroup::Names, "CLPSHT"),
    ("alias", FieldGroup::Names, "CLPSHT"),
    ("birth", FieldGroup::BirthAndSex, "LPSHT"),
    ("sex", FieldGroup::BirthAndSex, "LPSHT"),
    ("telephone", FieldGroup::Contact, "CLPSHT"),
    ("address", FieldGroup::Address, "LPHT"),
    ("area", FieldGroup::Address, "LPHT"),
    ("nationality", FieldGroup::Origin, "LPT"),
    ("language", FieldGroup::Origin, "CLPSHT"),
    ("identifier", FieldGroup::Identifiers, "LT"),
    ("case_type", FieldGroup::CaseBrief, "LPT"),
    ("deadline", FieldGroup::CaseBrief, "LT"),
    ("risk", FieldGroup::Safety, "PST"),
    ("caregiver", FieldGroup::Family, "PST"),
    ("household", FieldGroup::Family, "PST"),
    ("claimed", FieldGroup::Money, "LT"),
    ("agreed", FieldGroup::Money, "LT"),
    ("recovered", FieldGroup::Money, "LT"),
];

/// The group of a field, if there is such a field.
pub fn group_of(field: &str) -> Option<FieldGroup> {
    FIELDS.iter().find(|(name, _, _)| *name == field).map(|(_, group, _)| *group)
}

impl Template {
    const fn letter(self) -> char {
        match self {
            Self::ContactOnly => 'C',
            Self::LegalBrief => 'L',
            Self::ChildProtection => 'P',
            Self::Shelter => 'S',
            Self::Health => 'H',
            Self::FullTransfer => 'T',
        }
    }

    /// Whether it holds a field of that group: both must be what the list says.
    pub fn holds(self, group: FieldGroup, field: &str) -> bool {
        FIELDS.iter().any(|(name, of, in_)| *name == field && *of == group && in_.contains(self.letter()))
    }

    /// Whether it holds anything of a group.
    pub fn asks_for(self, group: FieldGroup) -> bool {
        match group {
            FieldGroup::CaseBrief => self.has_brief(),
            FieldGroup::CaseNotes => self == Self::FullTransfer,
            FieldGroup::Documents => !matches!(self, Self::ContactOnly),
            // It goes before acceptance, to a computer alone, and never with a full packet.
            FieldGroup::ConflictCheck => false,
            _ => FIELDS.iter().any(|(_, of, in_)| *of == group && in_.contains(self.letter())),
        }
    }

    /// Whether the worker's summary of the case goes along.
    pub const fn has_brief(self) -> bool {
        matches!(self, Self::LegalBrief | Self::ChildProtection | Self::FullTransfer)
    }

    /// The groups without which a case cannot be handed over: whoever gets it has to know whose it is and what was done.
    pub const NEEDED_TO_HAND_OVER: &'static [FieldGroup] =
        &[FieldGroup::Names, FieldGroup::CaseBrief, FieldGroup::CaseNotes];
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_template_holds_what_its_purpose_needs_and_no_more() {
        let held = |template: Template| {
            let fields = FIELDS.iter().filter(|(name, group, _)| template.holds(*group, name));
            fields.map(|(name, _, _)| *name).collect::<Vec<_>>().join(" ")
        };
        let table: String = Template::ALL.iter().map(|template| format!("{template}: {}\n", held(*template))).collect();
        assert_eq!(
            table,
            "contact_only: given family local_name alias telephone language\n\
             legal_brief: given family local_name alias birth sex telephone address area nationality language \
             identifier case_type deadline claimed agreed recovered\n\
             child_protection: given family local_name alias birth sex telephone address area nationality language \
             case_type risk caregiver household\n\
             shelter: given family local_name alias birth sex telephone language risk caregiver household\n\
             health: given family local_name alias birth sex telephone address area language\n\
             full_transfer: given family local_name alias birth sex telephone address area nationality language \
             identifier case_type deadline risk caregiver household claimed agreed recovered\n"
        );
        assert!(Template::Shelter.holds(FieldGroup::Names, "given") && !Template::Shelter.has_brief());
        assert!(!Template::LegalBrief.holds(FieldGroup::Names, "telephone"), "a field under another group is another");
        assert!(!Template::Shelter.asks_for(FieldGroup::Address) && !Template::Health.asks_for(FieldGroup::Money));
        for group in FieldGroup::ALL.iter().filter(|group| **group != FieldGroup::ConflictCheck) {
            assert!(Template::FullTransfer.asks_for(*group), "a case is handed over whole: {group}");
        }
    }
}
