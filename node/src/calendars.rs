//! Birth dates in the calendar that a person gives them in. The Gregorian date is what is counted and compared; what was
//! said is kept beside it.

use casemesh_protocol::coded_enum;
use casemesh_protocol::terms::PartialDate;
use icu_calendar::cal::{EthiopianEraStyle, Hijri, hijri::UmmAlQura};
use icu_calendar::{Date, Gregorian};

coded_enum!(
    /// A calendar.
    Calendar {
        /// The Gregorian one.
        Gregorian = 1 "gregorian",
        /// Ethiopia's, in the era of the Incarnation.
        Ethiopic = 2 "ethiopic",
        /// Thailand's, Buddhist era.
        Buddhist = 3 "buddhist",
        /// The Hijri one, as Umm al-Qura reckons it.
        Hijri = 4 "hijri",
        /// Nepal's Bikram Sambat.
        BikramSambat = 5 "bikram_sambat",
    }
);

/// The Gregorian day of a day of another calendar.
fn to_gregorian(calendar: Calendar, year: i32, month: u8, day: u8) -> Option<(i16, u8, u8)> {
    let date = match calendar {
        Calendar::Gregorian => Date::try_new_gregorian(year, month, day).ok()?,
        Calendar::Ethiopic => {
            Date::try_new_ethiopian(EthiopianEraStyle::AmeteMihret, year, month, day).ok()?.to_calendar(Gregorian)
        }
        Calendar::Buddhist => Date::try_new_buddhist(year, month, day).ok()?.to_calendar(Gregorian),
        Calendar::Hijri => {
            let umm_al_qura: Hijri<UmmAlQura> = Hijri::new_umm_al_qura();
            Date::try_new_hijri_with_calendar(year, month, day, umm_al_qura).ok()?.to_calendar(Gregorian)
        }
        Calendar::BikramSambat => {
            let date = nepdate::NepaliDate::new(u16::try_from(year).ok()?, month, day).ok()?.to_gregorian();
            return Some((i16::try_from(date.year()).ok()?, date.month(), date.day()));
        }
    };
    Some((i16::try_from(date.year().extended_year()).ok()?, date.month().ordinal, date.day_of_month().0))
}

/// A birth date as it was said (`1986`, `1986-09` or `1986-09-07` of a calendar), as far as it can be known in the
/// Gregorian calendar. A year or month of another calendar lies in two Gregorian ones: its middle is taken, as a guess.
pub fn birth_date(calendar: Calendar, text: &str, estimated: bool) -> Option<PartialDate> {
    let text = crate::names::ascii_digits(text.trim());
    let mut parts = text.split('-');
    let year: i32 = parts.next()?.parse().ok()?;
    let rest: Vec<u8> = parts.map(|part| part.parse().ok()).collect::<Option<_>>()?;
    match (calendar, rest.as_slice()) {
        (Calendar::Gregorian, []) => PartialDate::new(i16::try_from(year).ok()?, None, None, estimated),
        (Calendar::Gregorian, [month]) => PartialDate::new(i16::try_from(year).ok()?, Some(*month), None, estimated),
        (_, []) => {
            let (year, ..) = to_gregorian(calendar, year, 7, 1)?;
            PartialDate::new(year, None, None, true)
        }
        (_, [month]) => {
            // The thirteenth month of Ethiopia has five or six days.
            let (year, month, _) =
                to_gregorian(calendar, year, *month, 15).or_else(|| to_gregorian(calendar, year, *month, 1))?;
            PartialDate::new(year, Some(month), None, true)
        }
        (_, [month, day]) => {
            let (year, month, day) = to_gregorian(calendar, year, *month, *day)?;
            PartialDate::new(year, Some(month), Some(day), estimated)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_of_five_calendars_are_the_same_days() {
        for (calendar, said, gregorian) in [
            (Calendar::Gregorian, "1990-05-17", "1990-05-17"),
            // New year of the Ethiopian millennium; New Year 2569; the first of Muharram 1446; Nepal's 1 Baisakh 2081.
            (Calendar::Ethiopic, "2000-01-01", "2007-09-12"),
            (Calendar::Buddhist, "2569-01-01", "2026-01-01"),
            (Calendar::Hijri, "1446-01-01", "2024-07-07"),
            (Calendar::BikramSambat, "2081-01-01", "2024-04-13"),
            (Calendar::Ethiopic, "1984", "1992"),
            (Calendar::BikramSambat, "2050-05", "1993-08"),
            (Calendar::Ethiopic, "1999-13", "2007-09"),
            (Calendar::Buddhist, "๒๕๓๓-๐๕-๑๗", "1990-05-17"),
        ] {
            let date = birth_date(calendar, said, false).unwrap();
            assert_eq!(date.to_string(), gregorian, "{calendar} {said}");
            assert_eq!(date.estimated, calendar != Calendar::Gregorian && said.matches('-').count() < 2, "{said}");
        }
    }

    #[test]
    fn a_day_that_is_in_no_calendar_is_none() {
        for (calendar, said) in [
            (Calendar::Gregorian, "1990-02-30"),
            (Calendar::Ethiopic, "1999-13-07"),
            (Calendar::Hijri, "1446-01-31"),
            (Calendar::BikramSambat, "1500-01-01"),
            (Calendar::Buddhist, "2569-13"),
            (Calendar::Ethiopic, "soon"),
            (Calendar::Ethiopic, "1984-01-01-01"),
            (Calendar::Hijri, ""),
        ] {
            assert_eq!(birth_date(calendar, said, false), None, "{calendar} {said}");
        }
    }
}
