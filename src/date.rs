//! Seconds since 1970 as a date, in UTC.

use std::fmt;

/// A date and time of day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Date {
    /// Year.
    pub year: u64,
    /// Month, 1 to 12.
    pub month: u64,
    /// Day of the month, 1 to 31.
    pub day: u64,
    /// Seconds since midnight.
    pub seconds: u64,
}

impl Date {
    /// Returns the date of a time (Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms", `civil_from_days`).
    pub fn of(seconds: u64) -> Self {
        let days = seconds / 86400 + 719_468;
        let (era, day_of_era) = (days / 146_097, days % 146_097);
        let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let shifted = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * shifted + 2) / 5 + 1;
        let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
        let year = year_of_era + era * 400 + u64::from(month <= 2);
        Self { year, month, day, seconds: seconds % 86400 }
    }

    /// Returns the time of a date, in seconds since 1970 (the same work, `days_from_civil`); a date before that is 0.
    pub fn time(self) -> u64 {
        let year = self.year.saturating_sub(u64::from(self.month <= 2));
        let day_of_year = (153 * ((self.month + 9) % 12) + 2) / 5 + self.day.saturating_sub(1);
        let days = year * 365 + year / 4 - year / 100 + year / 400 + day_of_year;
        days.saturating_sub(719_468) * 86400 + self.seconds
    }

    /// Returns hour, minute, second.
    pub fn clock(self) -> (u64, u64, u64) {
        (self.seconds / 3600, self.seconds / 60 % 60, self.seconds % 60)
    }
}

impl fmt::Display for Date {
    /// `2026-11-21 23:15:00`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (hour, minute, second) = self.clock();
        write!(f, "{:04}-{:02}-{:02} {hour:02}:{minute:02}:{second:02}", self.year, self.month, self.day)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_dates() {
        assert_eq!(Date::of(0).to_string(), "1970-01-01 00:00:00");
        assert_eq!(Date::of(951_782_400).to_string(), "2000-02-29 00:00:00");
        assert_eq!(Date::of(1_795_302_900).to_string(), "2026-11-21 23:15:00");
    }

    #[test]
    fn a_date_is_the_time_that_it_is_of() {
        for time in [0, 1, 951_782_399, 951_782_400, 1_078_099_200, 1_795_302_900, 4_107_542_400] {
            assert_eq!(Date::of(time).time(), time);
        }
    }
}
