//! Dates as HTTP has them (RFC 9110 §5.6.7).

use std::time::{SystemTime, UNIX_EPOCH};

const WEEKDAYS: [&str; 7] = ["Thursday", "Friday", "Saturday", "Sunday", "Monday", "Tuesday", "Wednesday"];
const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// Milliseconds since 1970.
pub(crate) fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis().try_into().unwrap()
}

/// `Sun, 06 Nov 1994 08:49:37 GMT`.
pub(crate) fn imf_fixdate(milliseconds: i64) -> String {
    let (weekday, year, month, day, time) = parts(milliseconds);
    format!("{}, {day:02} {month} {year} {time} GMT", &weekday[..3])
}

/// `Sunday, 06-Nov-94 08:49:37 GMT`.
pub(crate) fn rfc850(milliseconds: i64) -> String {
    let (weekday, year, month, day, time) = parts(milliseconds);
    format!("{weekday}, {day:02}-{month}-{:02} {time} GMT", year % 100)
}

fn parts(milliseconds: i64) -> (&'static str, i64, &'static str, i64, String) {
    let seconds = milliseconds.div_euclid(1000);
    let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let (mut year, mut day) = (1970, days);
    while day >= days_in(year) {
        day -= days_in(year);
        year += 1;
    }
    let mut month = 0;
    while day >= days_of_month(year, month) {
        day -= days_of_month(year, month);
        month += 1;
    }
    let time = format!("{:02}:{:02}:{:02}", second / 3600, second / 60 % 60, second % 60);
    (WEEKDAYS[days.rem_euclid(7) as usize], year, MONTHS[month], day + 1, time)
}

fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

fn days_in(year: i64) -> i64 {
    if is_leap(year) { 366 } else { 365 }
}

fn days_of_month(year: i64, month: usize) -> i64 {
    const DAYS: [i64; 12] = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    if month == 1 && is_leap(year) { 29 } else { DAYS[month] }
}

#[test]
fn dates_are_written_in_two_forms() {
    assert_eq!(imf_fixdate(784_111_777_999), "Sun, 06 Nov 1994 08:49:37 GMT");
    assert_eq!(rfc850(784_111_777_000), "Sunday, 06-Nov-94 08:49:37 GMT");
    assert_eq!(imf_fixdate(1_709_164_800_000), "Thu, 29 Feb 2024 00:00:00 GMT");
}
