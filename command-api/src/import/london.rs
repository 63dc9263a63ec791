//! Local time in the United Kingdom, which the retail layout writes without a zone: an hour ahead of UTC from the last Sunday of
//! March to the last Sunday of October, 01:00 UTC. The rule has stood since 1996; earlier years are not converted rightly.

use chrono::{Datelike, Duration, NaiveDate, NaiveDateTime};
use domain::time::Timestamp;

/// Reads `YYYY-MM-DD HH:MM[:SS]` as the instant that clocks in London showed it. In the hour that occurs twice, the first one.
#[must_use]
pub(super) fn parse(text: &str) -> Option<Timestamp> {
    let local = NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S")
        .or_else(|_| NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M"))
        .ok()?;
    if !(1970..=9998).contains(&local.year()) {
        return None;
    }
    let summer = local - Duration::hours(1);
    let utc = if is_summer(summer)? { summer } else { local };
    Some(Timestamp::from_micros(utc.and_utc().timestamp_micros()))
}

fn is_summer(utc: NaiveDateTime) -> Option<bool> {
    let begins = last_sunday(utc.year(), 3)?.and_hms_opt(1, 0, 0)?;
    let ends = last_sunday(utc.year(), 10)?.and_hms_opt(1, 0, 0)?;
    Some(begins <= utc && utc < ends)
}

fn last_sunday(year: i32, month: u32) -> Option<NaiveDate> {
    let last = NaiveDate::from_ymd_opt(year, month, 31)?;
    Some(last - Duration::days(i64::from(last.weekday().num_days_from_sunday())))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test may")]

    use super::*;

    #[test]
    fn summer_is_an_hour_ahead() {
        let at = |text| parse(text).unwrap().to_string();
        assert_eq!(at("2010-12-01 08:26:00"), "2010-12-01T08:26:00.000000Z");
        assert_eq!(at("2011-03-27 00:59"), "2011-03-27T00:59:00.000000Z");
        assert_eq!(at("2011-03-27 02:00"), "2011-03-27T01:00:00.000000Z");
        assert_eq!(at("2011-07-01 12:00:00"), "2011-07-01T11:00:00.000000Z");
        assert_eq!(at("2011-10-30 01:30:00"), "2011-10-30T00:30:00.000000Z");
        assert_eq!(at("2011-10-30 02:00:00"), "2011-10-30T02:00:00.000000Z");
        assert_eq!(parse("2011-13-01 12:00"), None);
        assert_eq!(parse("01/12/2010 08:26"), None);
    }
}
