//! Times and durations on the command line, as Kafka's own tools take them.

use std::time::Duration;

const SECOND_MS: i64 = 1000;
const MINUTE_MS: i64 = 60 * SECOND_MS;
const HOUR_MS: i64 = 60 * MINUTE_MS;
const DAY_MS: i64 = 24 * HOUR_MS;

/// Milliseconds since 1970 of `2026-11-21T14:00:00`, which is UTC; `.123` and `Z`, `+02:00` or `-0500` may follow.
pub(crate) fn parse_datetime(text: &str) -> Result<i64, String> {
    let wrong =
        || format!("{text} is not a time such as 2026-11-21T14:00:00 or 2026-11-21T14:00:00.000+02:00");
    let (date, rest) = text.split_once(['T', ' ']).ok_or_else(wrong)?;
    let zone_at = rest.find(['Z', '+', '-']).unwrap_or(rest.len());
    let (time, zone) = rest.split_at(zone_at);
    let days = date_to_days(date).ok_or_else(wrong)?;
    let of_day_ms = time_to_ms(time).ok_or_else(wrong)?;
    let zone_ms = zone_to_ms(zone).ok_or_else(wrong)?;
    Ok(days * DAY_MS + of_day_ms - zone_ms)
}

/// `P1DT2H30M`, as Kafka's tools take it, or shorter `1d2h30m` or `90s`.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text} is not a duration such as P1DT2H30M or 90s");
    let mut total_ms: u64 = 0;
    let mut number = String::new();
    let body = text.strip_prefix(['P', 'p']).unwrap_or(text);
    for character in body.chars() {
        let unit_ms = match character.to_ascii_uppercase() {
            digit if digit.is_ascii_digit() => {
                number.push(digit);
                continue;
            }
            'T' if number.is_empty() => continue,
            'D' => DAY_MS,
            'H' => HOUR_MS,
            'M' => MINUTE_MS,
            'S' => SECOND_MS,
            _ => return Err(wrong()),
        };
        let count: u64 = number.parse().map_err(|_| wrong())?;
        let added = count.checked_mul(unit_ms.unsigned_abs()).and_then(|ms| total_ms.checked_add(ms));
        total_ms = added.filter(|ms| i64::try_from(*ms).is_ok()).ok_or_else(wrong)?;
        number.clear();
    }
    if number.is_empty() && body.chars().any(|character| character.is_ascii_digit()) {
        Ok(Duration::from_millis(total_ms))
    } else {
        Err(wrong())
    }
}

fn number(text: &str, digits: usize, max: i64) -> Option<i64> {
    let is_number = text.len() == digits && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|value| is_number && *value <= max)
}

/// Days since 1970 in the proleptic Gregorian calendar. Source: Howard Hinnant, `days_from_civil`.
fn date_to_days(date: &str) -> Option<i64> {
    let mut parts = date.split('-');
    let year = number(parts.next()?, 4, 9999)?;
    let month = number(parts.next()?, 2, 12)?;
    let day = number(parts.next()?, 2, days_of_month(year, month)?)?;
    if parts.next().is_some() || day == 0 {
        return None;
    }
    let shifted_year = if month <= 2 { year - 1 } else { year };
    let era = shifted_year.div_euclid(400);
    let year_of_era = shifted_year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    Some(era * 146_097 + day_of_era - 719_468)
}

fn days_of_month(year: i64, month: i64) -> Option<i64> {
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    match month {
        2 => Some(if is_leap { 29 } else { 28 }),
        4 | 6 | 9 | 11 => Some(30),
        1..=12 => Some(31),
        _ => None,
    }
}

/// `14:00`, `14:00:00` or `14:00:00.000`.
fn time_to_ms(time: &str) -> Option<i64> {
    let (whole, fraction) = time.split_once('.').unwrap_or((time, "0"));
    let mut parts = whole.split(':');
    let hours = number(parts.next()?, 2, 23)?;
    let minutes = number(parts.next()?, 2, 59)?;
    let seconds = parts.next().map_or(Some(0), |seconds| number(seconds, 2, 59))?;
    let fraction_ms = match fraction.len() {
        1..=3 => number(fraction, fraction.len(), 999)? * 10_i64.pow(3 - u32::try_from(fraction.len()).ok()?),
        _ => return None,
    };
    let is_all = parts.next().is_none();
    is_all.then_some(hours * HOUR_MS + minutes * MINUTE_MS + seconds * SECOND_MS + fraction_ms)
}

/// How far a zone is ahead of UTC.
fn zone_to_ms(zone: &str) -> Option<i64> {
    let sign = match zone.chars().next() {
        None => return Some(0),
        Some('Z') => return (zone == "Z").then_some(0),
        Some('-') => -1,
        Some(_plus) => 1,
    };
    let digits: String = zone.chars().skip(1).filter(|character| *character != ':').collect();
    let (hours, minutes) = digits.split_at_checked(2)?;
    let minutes = if minutes.is_empty() { 0 } else { number(minutes, 2, 59)? };
    Some(sign * (number(hours, 2, 18)? * HOUR_MS + minutes * MINUTE_MS))
}

#[cfg(test)]
mod tests {
    use super::{parse_datetime, parse_duration};
    use std::time::Duration;

    /// Expected values from GNU `date -u -d … +%s`.
    #[test]
    fn times_are_utc_unless_they_say_otherwise() {
        let cases = [
            ("1970-01-01T00:00:00", 0),
            ("2000-02-29T23:59:59.5", 951_868_799_500),
            ("2026-11-21T14:00:00", 1_795_269_600_000),
            ("2026-11-21 14:00", 1_795_269_600_000),
            ("2026-11-21T14:00:00.123Z", 1_795_269_600_123),
            ("2026-11-21T16:00:00+02:00", 1_795_269_600_000),
            ("2026-11-21T08:30:00-0530", 1_795_269_600_000),
            ("1969-12-31T23:59:59.999", -1),
        ];
        for (text, expected) in cases {
            assert_eq!(parse_datetime(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_time_is_refused() {
        let texts = [
            "",
            "T",
            "2026-11-21",
            "2026-02-29T00:00:00",
            "2026-13-01T00:00:00",
            "2026-11-00T00:00:00",
            "2026-11-21T24:00:00",
            "2026-11-21T14:00:00.",
            "2026-11-21T14:00:00.1234",
            "2026-11-21T14:00:00Zulu",
            "2026-11-21T14:00:00+",
            "2026-11-21T14:00:00+1",
            "2026-11-21T14:00:00:00",
            "26-11-21T14:00:00",
        ];
        for text in texts {
            assert!(parse_datetime(text).is_err(), "{text}");
        }
    }

    #[test]
    fn durations_are_those_of_kafka_or_shorter() {
        let hours = |hours: u64| Duration::from_secs(hours * 3600);
        for (text, expected) in [
            ("P1DT2H", hours(26)),
            ("P7D", hours(168)),
            ("PT30M", hours(1) / 2),
            ("1d2h", hours(26)),
            ("90s", Duration::from_secs(90)),
            ("PT0S", Duration::ZERO),
        ] {
            assert_eq!(parse_duration(text), Ok(expected), "{text}");
        }
        for text in
            ["", "P", "PT", "5", "h", "1w", "1h2", "-1h", "99999999999999999999d", "9999999999999999d"]
        {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }
}
