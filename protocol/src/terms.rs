//! Value types that both sides of a referral need: coded values, what is known of a field, dates as far as
//! they are known, money, how a person may be reached, and the terms of a consent.

use crate::bounded::{List, Text, TooLong};
use crate::directory::OfficeKind;
use crate::id::OfficeId;
use crate::limits::{CODE_BYTES_MAX, LINE_BYTES_MAX, LIST_MAX};
use crate::time::{Day, Timestamp};
use minicbor::{Decode, Encode};
use serde::{Deserialize, Serialize};

/// Declares an enumeration that is a number on the wire and a word in texts, with all its values listed.
#[macro_export]
macro_rules! coded_enum {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $number:literal $text:tt,)+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[derive(minicbor::Encode, minicbor::Decode, serde::Serialize, serde::Deserialize, utoipa::ToSchema)]
        #[cbor(index_only)]
        pub enum $name {
            $($(#[$vdoc])* #[n($number)] #[serde(rename = $text)] $variant,)+
        }

        impl $name {
            /// Every value, in the order of their numbers.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The word for it in files, addresses and catalogues.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)+ }
            }

            /// Its number on the wire.
            pub const fn number(self) -> u16 {
                match self { $(Self::$variant => $number,)+ }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::terms::UnknownWord;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Self::ALL.iter().copied().find(|value| value.as_str() == text).ok_or_else(|| {
                    $crate::terms::UnknownWord {
                        given: text.chars().take(40).collect(),
                        known: Self::ALL.iter().map(|value| value.as_str()).collect::<Vec<_>>().join(", "),
                    }
                })
            }
        }
    };
}

/// A word that is not one of those that may stand there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{given:?} is not one of: {known}")]
pub struct UnknownWord {
    /// What stood there.
    pub given: String,
    /// What may stand there.
    pub known: String,
}

/// One line of text.
pub type Line = Text<LINE_BYTES_MAX>;

/// A coded value: the code, its label as it read then, and which version of which list it comes from. A
/// reader who does not know the code keeps it and shows the label.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Encode, Decode)]
#[cbor(array)]
pub struct Code {
    /// The list, for example `case_type`.
    #[n(0)]
    pub list: Text<CODE_BYTES_MAX>,
    /// The version of the list.
    #[n(1)]
    pub version: u16,
    /// The code.
    #[n(2)]
    pub code: Text<CODE_BYTES_MAX>,
    /// The label in the language in which it was chosen.
    #[n(3)]
    pub label: Line,
}

impl Code {
    /// A coded value of a list.
    ///
    /// # Errors
    /// When a part is too long.
    pub fn new(list: &str, version: u16, code: &str, label: &str) -> Result<Self, TooLong> {
        Ok(Self { list: Text::new(list)?, version, code: Text::new(code)?, label: Line::new(label)? })
    }
}

/// What is known of a field. Leaving a field out and not knowing are different facts (domain.md).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, Encode, Decode)]
#[serde(rename_all = "snake_case", tag = "state", content = "value")]
pub enum FieldState<T> {
    /// The value.
    #[n(0)]
    Known(#[n(0)] T),
    /// Asked; nobody knows.
    #[n(1)]
    Unknown,
    /// Asked; the person does not want to say.
    #[n(2)]
    Refused,
    /// Not asked.
    #[default]
    #[n(3)]
    NotAsked,
    /// A value was given and the worker doubts it.
    #[n(4)]
    Unsure(#[n(0)] T),
}

impl<T> FieldState<T> {
    /// The value, if one was given.
    pub fn value(&self) -> Option<&T> {
        match self {
            Self::Known(value) | Self::Unsure(value) => Some(value),
            Self::Unknown | Self::Refused | Self::NotAsked => None,
        }
    }

    /// The word for the state.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Known(_) => "known",
            Self::Unknown => "unknown",
            Self::Refused => "refused",
            Self::NotAsked => "not_asked",
            Self::Unsure(_) => "unsure",
        }
    }
}

/// A date as far as it is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Encode, Decode)]
#[cbor(array)]
pub struct PartialDate {
    /// The year.
    #[n(0)]
    pub year: i16,
    /// The month, 1 to 12, if known.
    #[n(1)]
    pub month: Option<u8>,
    /// The day, if known; only with the month.
    #[n(2)]
    pub day: Option<u8>,
    /// Whether it is a guess.
    #[n(3)]
    pub estimated: bool,
}

impl PartialDate {
    /// A date that exists, as far as it is given.
    pub fn new(year: i16, month: Option<u8>, day: Option<u8>, estimated: bool) -> Option<Self> {
        let exists = (1800..=2200).contains(&year)
            && (day.is_none() || month.is_some())
            && Day::new(year, month.unwrap_or(1), day.unwrap_or(1)).is_some();
        exists.then_some(Self { year, month, day, estimated })
    }

    /// How old a person born then was on a day, in whole years; for a date without day, at the year's
    /// (or month's) end.
    pub fn age_on(&self, day: Day) -> Option<u16> {
        let passed = (self.month.unwrap_or(12), self.day.unwrap_or(31)) <= (day.month(), day.day());
        u16::try_from(i32::from(day.year()) - i32::from(self.year) - i32::from(!passed)).ok()
    }
}

impl std::fmt::Display for PartialDate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:04}", self.year)?;
        if let Some(month) = self.month {
            write!(f, "-{month:02}")?;
        }
        if let Some(day) = self.day {
            write!(f, "-{day:02}")?;
        }
        Ok(())
    }
}

/// An ISO 4217 currency code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Currency([u8; 3]);

/// The text is no currency code.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a currency; write its three letters, for example ZAR or KES")]
pub struct NotACurrency(String);

impl std::str::FromStr for Currency {
    type Err = NotACurrency;
    fn from_str(text: &str) -> Result<Self, NotACurrency> {
        <[u8; 3]>::try_from(text.trim().to_ascii_uppercase().as_bytes())
            .ok()
            .filter(|bytes| bytes.iter().all(u8::is_ascii_uppercase))
            .map(Self)
            .ok_or_else(|| NotACurrency(text.chars().take(20).collect()))
    }
}

impl Currency {
    /// How many digits of the minor unit the currency has (ISO 4217).
    pub fn minor_digits(self) -> u8 {
        match &self.0 {
            b"BIF" | b"CLP" | b"DJF" | b"GNF" | b"ISK" | b"JPY" | b"KMF" | b"KRW" | b"PYG" | b"RWF" | b"UGX"
            | b"VND" | b"VUV" | b"XAF" | b"XOF" | b"XPF" => 0,
            b"BHD" | b"IQD" | b"JOD" | b"KWD" | b"LYD" | b"OMR" | b"TND" => 3,
            _ => 2,
        }
    }
}

impl std::fmt::Display for Currency {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{}", char::from(*byte)))
    }
}

/// An amount in the minor unit of a currency. Amounts of two currencies are never added.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Encode, Decode)]
#[cbor(array)]
pub struct Money {
    /// The amount: cents, for most currencies.
    #[n(0)]
    pub minor: i64,
    /// The currency.
    #[n(1)]
    pub currency: Currency,
}

/// The text is no amount.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{given:?} is not an amount in {currency}; write digits and at most {digits} decimals, for example 1250.50")]
pub struct NotAnAmount {
    given: String,
    currency: Currency,
    digits: u8,
}

impl Money {
    /// Reads an amount such as `1250.50`. Spaces and apostrophes may group digits; the decimal sign is a
    /// point or a comma that is followed by one or two (or the currency's number of) digits.
    ///
    /// # Errors
    /// When it is no amount of that currency, or negative.
    pub fn parse(text: &str, currency: Currency) -> Result<Self, NotAnAmount> {
        let digits = currency.minor_digits();
        let wrong = || NotAnAmount { given: text.chars().take(40).collect(), currency, digits };
        let plain: String = text.trim().chars().filter(|c| !matches!(c, ' ' | '\'' | '\u{a0}' | '\u{202f}')).collect();
        let (whole, fraction) = plain.rsplit_once(['.', ',']).unwrap_or((&plain, ""));
        let clean = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
        if whole.is_empty() || !clean(whole) || !clean(fraction) || fraction.len() > usize::from(digits) {
            return Err(wrong());
        }
        let padded = format!("{whole}{fraction:0<width$}", width = usize::from(digits));
        padded.parse().map(|minor| Self { minor, currency }).map_err(|_| wrong())
    }

    /// The amount with a decimal point, without the currency.
    pub fn amount(&self) -> String {
        let digits = usize::from(self.currency.minor_digits());
        let (sign, text) = (if self.minor < 0 { "-" } else { "" }, self.minor.unsigned_abs().to_string());
        if digits == 0 {
            return format!("{sign}{text}");
        }
        let padded = format!("{text:0>width$}", width = digits + 1);
        let (whole, fraction) = padded.split_at(padded.len() - digits);
        format!("{sign}{whole}.{fraction}")
    }
}

impl std::fmt::Display for Money {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.currency, self.amount())
    }
}

impl Serialize for Currency {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Currency {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl<C> Encode<C> for Currency {
    fn encode<W: minicbor::encode::Write>(
        &self,
        e: &mut minicbor::Encoder<W>,
        _: &mut C,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        e.str(&self.to_string())?.ok()
    }
}

impl<'b, C> Decode<'b, C> for Currency {
    fn decode(d: &mut minicbor::Decoder<'b>, _: &mut C) -> Result<Self, minicbor::decode::Error> {
        d.str()?.parse().map_err(minicbor::decode::Error::message)
    }
}

/// How a person may be reached without bringing them into danger. Nothing is safe unless it says so.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, Encode, Decode)]
#[cbor(array)]
pub struct SafeContact {
    /// Calling is safe.
    #[n(0)]
    pub call: bool,
    /// A text message is safe.
    #[n(1)]
    pub text: bool,
    /// A message on the voicemail is safe.
    #[n(2)]
    pub voicemail: bool,
    /// A letter is safe.
    #[n(3)]
    pub post: bool,
    /// When, and what to say: "weekdays 9 to 12; say you call from the library".
    #[n(4)]
    pub instructions: Line,
    /// The word by which the person knows that it is us.
    #[n(5)]
    pub code_word: Line,
}

impl SafeContact {
    /// Whether there is any way that is safe.
    #[must_use]
    pub fn has_way(&self) -> bool {
        self.call || self.text || self.voicemail || self.post
    }

    /// The rule without words that a person wrote: what may be known before acceptance.
    #[must_use]
    pub fn without_words(&self) -> Self {
        Self { instructions: Line::default(), code_word: Line::default(), ..self.clone() }
    }
}

coded_enum!(
    /// What a consent is for (domain.md, Consent).
    Purpose {
        /// To keep a record.
        HoldRecord = 1 "hold_record",
        /// To contact the person.
        Contact = 2 "contact",
        /// To share with a named office so that it can help.
        ShareForService = 3 "share_for_service",
        /// To hand the case over to a named office.
        ShareForTransfer = 4 "share_for_transfer",
        /// To count the person in detailed statistics.
        Statistics = 5 "statistics",
        /// To look for family.
        Tracing = 6 "tracing",
        /// For research.
        Research = 7 "research",
        /// For press, radio and the like.
        Media = 8 "media",
    }
);

coded_enum!(
    /// What a consent can let go, group by group.
    FieldGroup {
        /// Names and other names.
        Names = 1 "names",
        /// Birth date, sex.
        BirthAndSex = 2 "birth_and_sex",
        /// Telephone and other ways to reach the person.
        Contact = 3 "contact",
        /// Where the person lives.
        Address = 4 "address",
        /// Nationality, origin, languages.
        Origin = 5 "origin",
        /// Numbers of documents.
        Identifiers = 6 "identifiers",
        /// The worker's summary of the case.
        CaseBrief = 7 "case_brief",
        /// Notes and actions of the case.
        CaseNotes = 8 "case_notes",
        /// Money claimed, agreed, recovered.
        Money = 9 "money",
        /// Danger: how high the risk is, and of what.
        Safety = 10 "safety",
        /// Who cares for the person, and with whom she lives.
        Family = 11 "family",
        /// Papers of the case, as files.
        Documents = 12 "documents",
        /// Names of the client and the parties, for the other office's computer to compare with its own before anybody accepts.
        ConflictCheck = 13 "conflict_check",
    }
);

coded_enum!(
    /// How a consent was given.
    ConsentMethod {
        /// Signed on paper.
        SignedPaper = 1 "signed_paper",
        /// A thumbprint on paper.
        Thumbprint = 2 "thumbprint",
        /// A recorded voice.
        RecordedVoice = 3 "recorded_voice",
        /// Said aloud before a witness.
        WitnessedOral = 4 "witnessed_oral",
        /// Not at all: a supervisor decided.
        NotGiven = 5 "not_given",
    }
);

coded_enum!(
    /// Who gave a consent.
    ConsentGiver {
        /// The person.
        Person = 1 "person",
        /// A caregiver of a child.
        Caregiver = 2 "caregiver",
        /// A guardian by law.
        Guardian = 3 "guardian",
        /// Somebody the person or a court named.
        Representative = 4 "representative",
    }
);

coded_enum!(
    /// Why something is withheld.
    WithholdReason {
        /// It could bring harm.
        FearOfHarm = 1 "fear_of_harm",
        /// The person wants to say it personally.
        TellsPersonally = 2 "tells_personally",
        /// Another reason.
        Other = 3 "other",
    }
);

/// A group of fields that the person keeps back, and why. It travels as "withheld", not as empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Encode, Decode)]
#[cbor(array)]
pub struct Withheld {
    /// What.
    #[n(0)]
    pub group: FieldGroup,
    /// Why.
    #[n(1)]
    pub reason: WithholdReason,
}

/// The terms of a consent: what may go to whom, for what, until when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Encode, Decode)]
#[cbor(array)]
pub struct ConsentTerms {
    /// For what.
    #[n(0)]
    pub purpose: Purpose,
    /// To whom, by name; in the order in which they may be asked.
    #[n(1)]
    pub recipients: List<OfficeId, LIST_MAX>,
    /// What may go.
    #[n(2)]
    pub scope: List<FieldGroup, LIST_MAX>,
    /// What must not go, and why.
    #[n(3)]
    pub withheld: List<Withheld, LIST_MAX>,
    /// Given when.
    #[n(4)]
    pub given: Timestamp,
    /// Good until when.
    #[n(5)]
    pub expires: Timestamp,
    /// How it was given.
    #[n(6)]
    pub method: ConsentMethod,
    /// Who gave it.
    #[n(7)]
    pub giver: ConsentGiver,
    /// The language in which it was explained.
    #[n(8)]
    pub language: Text<CODE_BYTES_MAX>,
    /// Offices without a node, by name, in the order in which they may be asked.
    #[n(9)]
    pub outside: Option<List<Line, LIST_MAX>>,
    /// What a child says herself, beside whoever gave it for her.
    #[n(10)]
    pub child_view: Option<ChildView>,
    /// The name of whoever gave it for the client.
    #[n(11)]
    pub given_by: Option<Line>,
    /// Whether everything may go at once in an emergency, before the other office accepted.
    #[cbor(n(12), default)]
    pub complete_now: bool,
}

coded_enum!(
    /// What a child says of a consent that somebody else gives for her.
    ChildView {
        /// She agrees.
        Agrees = 1 "agrees",
        /// She does not.
        Disagrees = 2 "disagrees",
        /// She was not asked.
        NotAsked = 3 "not_asked",
        /// She is too young to say.
        TooYoung = 4 "too_young",
    }
);

coded_enum!(
    /// On which ground something is shared without a consent (domain.md 4c, rules 5 and 6).
    Ground {
        /// Somebody's life or health is in danger, and nobody can be asked in time.
        VitalInterest = 1 "vital_interest",
        /// A law demands it, a duty to report for example.
        LegalDuty = 2 "legal_duty",
        /// A court ordered it.
        CourtOrder = 3 "court_order",
        /// What is best for a child, where she or who cares for her says no.
        BestInterestOfChild = 4 "best_interest_of_child",
    }
);

/// Who must never get anything about a client, whatever a consent says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Encode, Decode)]
#[serde(rename_all = "snake_case")]
pub enum Never {
    /// An office of the network.
    #[n(0)]
    Office(#[n(0)] OfficeId),
    /// A kind of office: the police, say.
    #[n(1)]
    Kind(#[n(0)] OfficeKind),
    /// A person or an office, by name.
    #[n(2)]
    Named(#[n(0)] Line),
}

impl Never {
    /// Whether an office is meant: by its id, by its kind, or because every word of the name stands in its name.
    pub fn bars(&self, office: OfficeId, kind: Option<OfficeKind>, name: &str) -> bool {
        match self {
            Self::Office(barred) => *barred == office,
            Self::Kind(barred) => kind == Some(*barred),
            Self::Named(barred) => {
                let words = |text: &str| text.to_lowercase().split_whitespace().map(str::to_owned).collect::<Vec<_>>();
                let (barred, name) = (words(barred.as_str()), words(name));
                !barred.is_empty() && barred.iter().all(|word| name.contains(word))
            }
        }
    }
}

/// What an answer to a field of a form can be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Encode, Decode)]
#[serde(rename_all = "snake_case")]
pub enum Value {
    /// Words.
    #[n(0)]
    Text(#[n(0)] String),
    /// A day.
    #[n(1)]
    Day(#[n(0)] Day),
    /// A number.
    #[n(2)]
    Number(#[n(0)] i64),
    /// Money.
    #[n(3)]
    Money(#[n(0)] Money),
    /// A code of a list.
    #[n(4)]
    Code(#[n(0)] Code),
    /// Yes or no.
    #[n(5)]
    YesNo(#[n(0)] bool),
}

/// One answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Encode, Decode)]
#[cbor(array)]
pub struct Answer {
    /// Which field of the form.
    #[n(0)]
    pub field: String,
    /// What is known.
    #[n(1)]
    pub value: FieldState<Value>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rand() -> Currency {
        "zar".parse().unwrap()
    }

    #[test]
    fn amounts_read_as_people_write_them() {
        for (text, minor) in
            [("1250", 125_000), ("1250.5", 125_050), ("1 250,50", 125_050), ("0.05", 5), ("1'000.00", 100_000)]
        {
            assert_eq!(Money::parse(text, rand()).map(|money| money.minor), Ok(minor), "{text}");
        }
        for text in ["", "-5", "1.234.567", "12.345", "R100", "1e9", "99999999999999999999", ".", ".5", "١٢"] {
            assert!(Money::parse(text, rand()).is_err(), "{text}");
        }
        assert_eq!(Money::parse("1500", "UGX".parse().unwrap()).unwrap().minor, 1500);
        assert_eq!(Money { minor: 5, currency: rand() }.to_string(), "ZAR 0.05");
        assert_eq!(Money { minor: 125_050, currency: rand() }.to_string(), "ZAR 1250.50");
    }

    #[test]
    fn ages_follow_what_is_known_of_the_birth() {
        let day = Day::new(2026, 11, 21).unwrap();
        assert_eq!(PartialDate::new(2010, Some(11), Some(21), false).unwrap().age_on(day), Some(16));
        assert_eq!(PartialDate::new(2010, Some(11), Some(22), false).unwrap().age_on(day), Some(15));
        assert_eq!(PartialDate::new(2010, None, None, true).unwrap().age_on(day), Some(15));
        assert_eq!(PartialDate::new(2010, None, Some(3), false), None);
        assert_eq!(PartialDate::new(2010, Some(2), Some(30), false), None);
    }

    #[test]
    fn words_and_numbers_of_an_enumeration_are_inverse() {
        for purpose in Purpose::ALL {
            assert_eq!(purpose.as_str().parse::<Purpose>().as_ref(), Ok(purpose));
        }
        assert!("share".parse::<Purpose>().unwrap_err().to_string().contains("share_for_service"));
    }
}
