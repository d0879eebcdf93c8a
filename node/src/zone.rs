//! The time zone of an office: days and hours as people there say them. Stored and sent is UTC.

use casemesh_protocol::time::{Day, Timestamp};
use jiff::Zoned;
use jiff::tz::TimeZone;

/// A zone of the IANA database, which is built into the program.
#[derive(Debug, Clone)]
pub struct Zone(TimeZone);

impl Default for Zone {
    fn default() -> Self {
        Self(TimeZone::UTC)
    }
}

impl Zone {
    /// The zone of a name such as `Africa/Johannesburg`; none where there is no such zone.
    pub fn named(name: &str) -> Option<Self> {
        TimeZone::get(name).ok().map(Self)
    }

    /// The name of the zone that this computer is set to; `UTC` where that cannot be told.
    pub fn of_computer() -> String {
        let zone = TimeZone::try_system().ok();
        zone.as_ref().and_then(TimeZone::iana_name).unwrap_or("UTC").to_owned()
    }

    fn at(&self, at: Timestamp) -> Zoned {
        let ms = i64::try_from(at.ms()).unwrap_or(i64::MAX);
        jiff::Timestamp::from_millisecond(ms).unwrap_or(jiff::Timestamp::MAX).to_zoned(self.0.clone())
    }

    /// The day that it is there.
    pub fn day(&self, at: Timestamp) -> Day {
        let date = self.at(at).date();
        let part = |number: i8| u8::try_from(number).unwrap_or(1);
        Day::new(date.year(), part(date.month()), part(date.day())).unwrap_or_else(|| at.day())
    }

    /// Day, hour and minute there: `2026-11-22 07:30`.
    pub fn shown(&self, at: Timestamp) -> String {
        self.at(at).strftime("%Y-%m-%d %H:%M").to_string()
    }

    /// So many minutes after the first instant of a day there. Where a clock is set forward or back on that day, they are
    /// counted as the clock on the wall shows them.
    pub fn instant(&self, day: Day, minutes: u32) -> Timestamp {
        let (hours, rest) = (minutes / 60, minutes % 60);
        let day = day.plus_days(i32::try_from(hours / 24).unwrap_or(0));
        let part = |number: u32| i8::try_from(number).unwrap_or(0);
        let date = jiff::civil::date(day.year(), part(u32::from(day.month())), part(u32::from(day.day())));
        let there = self.0.to_zoned(date.at(part(hours % 24), part(rest), 0, 0));
        let ms = there.ok().and_then(|there| u64::try_from(there.timestamp().as_millisecond()).ok());
        Timestamp::from_ms(ms.unwrap_or_else(|| day.start().ms()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_is_the_day_on_the_wall() {
        let at = |text: &str| -> Timestamp { serde_json::from_value(serde_json::json!(text)).unwrap() };
        for (zone, instant, shown) in [
            ("UTC", "2026-11-21T23:30:00Z", "2026-11-21 23:30"),
            ("Africa/Johannesburg", "2026-11-21T23:30:00Z", "2026-11-22 01:30"),
            ("Asia/Kathmandu", "2026-11-21T23:30:00Z", "2026-11-22 05:15"),
            ("America/Bogota", "2026-11-22T02:30:00Z", "2026-11-21 21:30"),
            // Summer time.
            ("Europe/London", "2026-07-01T23:30:00Z", "2026-07-02 00:30"),
        ] {
            let zone = Zone::named(zone).unwrap();
            assert_eq!(zone.shown(at(instant)), shown);
            assert_eq!(zone.day(at(instant)).to_string(), shown.split(' ').next().unwrap());
            let minutes: Vec<u32> = shown[11..].split(':').map(|part| part.parse().unwrap()).collect();
            assert_eq!(zone.instant(zone.day(at(instant)), minutes[0] * 60 + minutes[1]), at(instant));
        }
        let bangkok = Zone::named("Asia/Bangkok").unwrap();
        let day: Day = "2026-11-22".parse().unwrap();
        assert_eq!(bangkok.instant(day, 0), at("2026-11-21T17:00:00Z"));
        assert_eq!(bangkok.instant(day, 24 * 60), at("2026-11-22T17:00:00Z"));
        assert!(Zone::named("Middle/Earth").is_none());
        assert!(Zone::named(&Zone::of_computer()).is_some());
    }
}
