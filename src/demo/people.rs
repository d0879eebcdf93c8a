//! Invented people, in several languages and scripts.

use serde_json::{Value, json};

pub(super) struct Invented {
    pub(super) given: &'static str,
    pub(super) family: &'static str,
    pub(super) local: &'static str,
    pub(super) birth: &'static str,
    pub(super) sex: &'static str,
    pub(super) country: &'static str,
    pub(super) language: &'static str,
    pub(super) case_type: &'static str,
    pub(super) summary: &'static str,
    pub(super) note: &'static str,
    pub(super) recovered: Option<(&'static str, &'static str)>,
}

const fn person(
    name: [&'static str; 3],
    birth: &'static str,
    about: [&'static str; 3],
    case: [&'static str; 3],
    recovered: Option<(&'static str, &'static str)>,
) -> Invented {
    let [given, family, local] = name;
    let [sex, country, language] = about;
    let [case_type, summary, note] = case;
    Invented { given, family, local, birth, sex, country, language, case_type, summary, note, recovered }
}

pub(super) const ADVICE: &[Invented] = &[
    person(
        ["Bongani", "Cele", ""],
        "1979-02-03",
        ["male", "ZA", "zu"],
        [
            "unpaid_wages",
            "Worked four months on a building site without pay.",
            "Called the contractor; he promises to pay on Friday.",
        ],
        Some(("4200.00", "ZAR")),
    ),
    person(
        ["Zanele", "Khumalo", ""],
        "1963",
        ["female", "ZA", "zu"],
        ["social_grant", "Pension stopped after a wrong deduction.", "Wrote to the agency with copies of the slips."],
        Some(("1890.50", "ZAR")),
    ),
    person(
        ["Selamawit", "Tesfaye", "ሰላማዊት ተስፋዬ"],
        "1998-07",
        ["female", "ET", "am"],
        ["identity_document", "Child has no birth certificate.", "Accompanied her to the registry; papers accepted."],
        None,
    ),
    person(
        ["Oksana", "Kovalenko", "Оксана Коваленко"],
        "1987-11-30",
        ["female", "UA", "uk"],
        ["asylum", "Permit runs out next month.", "Booked the appointment for the renewal."],
        None,
    ),
    person(
        ["Themba", "Zulu", ""],
        "1990-01-12",
        ["male", "ZA", "zu"],
        [
            "eviction",
            "Farm owner locked the gate to the family's house.",
            "Letter sent; meeting agreed with the owner.",
        ],
        None,
    ),
];

pub(super) const SHELTER: &[Invented] = &[
    person(
        ["Lucía", "Mamani", ""],
        "1995-04-18",
        ["female", "PE", "es"],
        [
            "domestic_violence",
            "Came with two children in the night.",
            "Plan made with her; school informed without address.",
        ],
        None,
    ),
    person(
        ["Sokha", "Chann", "សុខា ចាន់"],
        "2001-09-09",
        ["female", "KH", "km"],
        ["trafficking", "Held in a house to work without pay.", "Interpreter found; rest and doctor first."],
        None,
    ),
    person(
        ["Thida", "Aung", "သီတာ အောင်"],
        "1999",
        ["female", "MM", "my"],
        ["unpaid_wages", "Employer kept papers and wages.", "Papers returned after a call from the embassy."],
        Some(("310.00", "USD")),
    ),
];

pub(super) const CLINIC: &[Invented] = &[
    person(
        ["Yusuf", "al-Najjar", "يوسف النجار"],
        "1984-06-21",
        ["male", "SY", "ar"],
        ["custody", "Wants to see his daughter.", "Mediation date proposed to the mother."],
        None,
    ),
    person(
        ["Sita", "Gurung", "सीता गुरुङ"],
        "1992-12-02",
        ["female", "NP", "ne"],
        ["recruitment_fee", "Paid an agent for a job that did not exist.", "Claim filed; agent offers half."],
        Some(("15000.00", "NPR")),
    ),
    person(
        ["Nguyễn", "Thị Lan", ""],
        "1989-03-15",
        ["female", "VN", "vi"],
        ["dismissal", "Dismissed while pregnant.", "Tribunal hearing in three weeks."],
        None,
    ),
];

fn known(value: &str) -> Value {
    json!({ "state": if value.is_empty() { "not_asked" } else { "known" }, "value": value })
}

impl Invented {
    pub(super) fn as_input(&self) -> Value {
        json!({
            "identity": "self_declared",
            "given": known(self.given),
            "family": known(self.family),
            "local_name": known(self.local),
            "birth": known(self.birth),
            "sex": known(self.sex),
            "nationality": known(self.country),
            "language": known(self.language),
            "address": { "state": "refused", "value": "" },
            "safe_text": true,
            "counting": "headcount",
        })
    }

    pub(super) fn case_input(&self, person: &str) -> Value {
        json!({ "clients": [person], "case": { "case_type": self.case_type, "summary": self.summary } })
    }
}
