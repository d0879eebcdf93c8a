//! Instants and periods. An instant is milliseconds since 1970 UTC; a period is whole days.

use jiff::civil;
use minicbor::{Decode, Encode};
use serde::{Deserialize, Serialize};

/// An instant: milliseconds since 1970-01-01T00:00Z.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
#[cbor(transparent)]
pub struct Timestamp(#[n(0)] u64);

const MS_PER_DAY: u64 = 86_400_000;

impl Timestamp {
    /// From milliseconds since 1970.
    pub const fn from_ms(ms: u64) -> Self {
        Self(ms)
    }

    /// From seconds since 1970.
    pub const fn from_s(s: u64) -> Self {
        Self(s.saturating_mul(1000))
    }

    /// Milliseconds since 1970.
    pub const fn ms(self) -> u64 {
        self.0
    }

    /// Seconds since 1970.
    pub const fn s(self) -> u64 {
        self.0 / 1000
    }

    /// Hours since 1970, for a header's expiry.
    pub fn h(self) -> u32 {
        u32::try_from(self.0 / 3_600_000).unwrap_or(u32::MAX)
    }

    /// From hours since 1970: a header's expiry.
    pub const fn from_h(h: u32) -> Self {
        Self(h as u64 * 3_600_000)
    }

    /// So many milliseconds later.
    pub const fn plus_ms(self, ms: u64) -> Self {
        Self(self.0.saturating_add(ms))
    }

    /// So many days later.
    pub const fn plus_days(self, days: u64) -> Self {
        self.plus_ms(days.saturating_mul(MS_PER_DAY))
    }

    /// Milliseconds from an earlier instant to this one, else zero.
    pub const fn ms_since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }

    /// The day in UTC.
    pub fn day(self) -> Day {
        let ms = i64::try_from(self.0).unwrap_or(i64::MAX);
        let stamp = jiff::Timestamp::from_millisecond(ms).unwrap_or(jiff::Timestamp::MAX);
        Day(jiff::tz::Offset::UTC.to_datetime(stamp).date())
    }
}

impl std::fmt::Display for Timestamp {
    /// RFC 3339 in UTC, to the second.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let s = i64::try_from(self.s()).unwrap_or(i64::MAX);
        match jiff::Timestamp::from_second(s) {
            Ok(stamp) => write!(f, "{stamp}"),
            Err(_) => write!(f, "{}", jiff::Timestamp::MAX),
        }
    }
}

impl Serialize for Timestamp {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let stamp: jiff::Timestamp = text.parse().map_err(serde::de::Error::custom)?;
        u64::try_from(stamp.as_millisecond()).map(Self).map_err(serde::de::Error::custom)
    }
}

/// A calendar day (Gregorian, proleptic), text `YYYY-MM-DD`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Day(civil::Date);

/// The text is no day.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a day; write year-month-day, for example 2026-11-21")]
pub struct NotADay(String);

impl Day {
    /// The day of that year, month, day; `None` when there is none.
    pub fn new(year: i16, month: u8, day: u8) -> Option<Self> {
        civil::Date::new(year, i8::try_from(month).ok()?, i8::try_from(day).ok()?).ok().map(Self)
    }

    /// Its year.
    pub fn year(self) -> i16 {
        self.0.year()
    }

    /// Its month, 1 to 12.
    pub fn month(self) -> u8 {
        u8::try_from(self.0.month()).unwrap_or(1)
    }

    /// Its day of the month.
    pub fn day(self) -> u8 {
        u8::try_from(self.0.day()).unwrap_or(1)
    }

    /// So many days later, within the calendar.
    pub fn plus_days(self, days: i32) -> Self {
        Self(self.0.saturating_add(jiff::Span::new().days(days)))
    }

    /// Days from this one to a later one; negative to an earlier one.
    pub fn days_to(self, later: Self) -> i32 {
        later.0.since(self.0).map_or(0, |span| span.get_days())
    }

    /// Its first instant in UTC.
    pub fn start(self) -> Timestamp {
        let stamp = jiff::tz::Offset::UTC.to_timestamp(self.0.at(0, 0, 0, 0));
        Timestamp(stamp.ok().and_then(|stamp| u64::try_from(stamp.as_millisecond()).ok()).unwrap_or(0))
    }
}

impl std::fmt::Display for Day {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl std::str::FromStr for Day {
    type Err = NotADay;
    fn from_str(text: &str) -> Result<Self, NotADay> {
        let wrong = || NotADay(text.chars().take(40).collect());
        let mut parts = text.split('-');
        let mut number = |digits: usize| {
            parts.next().filter(|part| part.len() == digits && part.bytes().all(|b| b.is_ascii_digit()))
        };
        let (year, month, day) = (number(4), number(2), number(2));
        let (Some(year), Some(month), Some(day), None) = (year, month, day, parts.next()) else {
            return Err(wrong());
        };
        match (year.parse(), month.parse(), day.parse()) {
            (Ok(year), Ok(month), Ok(day)) => Self::new(year, month, day).ok_or_else(wrong),
            _ => Err(wrong()),
        }
    }
}

impl Serialize for Day {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Day {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl<C> Encode<C> for Day {
    fn encode<W: minicbor::encode::Write>(
        &self,
        e: &mut minicbor::Encoder<W>,
        _: &mut C,
    ) -> Result<(), minicbor::encode::Error<W::Error>> {
        e.str(&self.to_string())?.ok()
    }
}

impl<'b, C> Decode<'b, C> for Day {
    fn decode(d: &mut minicbor::Decoder<'b>, _: &mut C) -> Result<Self, minicbor::decode::Error> {
        d.str()?.parse().map_err(minicbor::decode::Error::message)
    }
}

/// Days from the first to the last, both included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Encode, Decode)]
#[cbor(array)]
pub struct Period {
    /// The first day.
    #[n(0)]
    pub from: Day,
    /// The last day.
    #[n(1)]
    pub to: Day,
}

impl Period {
    /// A period that does not end before it starts.
    pub fn new(from: Day, to: Day) -> Option<Self> {
        (from <= to).then_some(Self { from, to })
    }

    /// A calendar year.
    pub fn year(year: i16) -> Option<Self> {
        Self::new(Day::new(year, 1, 1)?, Day::new(year, 12, 31)?)
    }

    /// Whether a day lies in it.
    pub fn contains(&self, day: Day) -> bool {
        (self.from..=self.to).contains(&day)
    }

    /// Whether two periods share a day.
    pub fn overlaps(&self, other: &Self) -> bool {
        self.from <= other.to && other.from <= self.to
    }
}

impl std::fmt::Display for Period {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.from, self.to)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_and_instants_agree() {
        let day: Day = "2026-11-21".parse().unwrap();
        assert_eq!(day.start().day(), day);
        assert_eq!(day.start().to_string(), "2026-11-21T00:00:00Z");
        assert_eq!(day.plus_days(10).to_string(), "2026-12-01");
        assert_eq!(Timestamp::from_ms(u64::MAX).day().year(), 9999);
    }

    #[test]
    fn what_is_no_day_is_said() {
        for text in ["", "2026-11", "2026-13-01", "2026-02-29", "21-11-2026", "2026-11-21T00:00", "२०२६-११-२१"]
        {
            assert!(text.parse::<Day>().is_err(), "{text}");
        }
        assert_eq!(
            "21.11.2026".parse::<Day>().unwrap_err().to_string(),
            "\"21.11.2026\" is not a day; write year-month-day, for example 2026-11-21"
        );
    }
}
