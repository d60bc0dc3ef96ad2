//! Reads the times that senders write, in all the forms seen, and says what each leaves open: the year, the zone.
//!
//! Forms: `Mar  5 10:15:30` with or without a year before or after the clock (RFC 3164, Cisco, BSD), with months of several
//! languages; `2024 Mar  5 10:15:30` (NX-OS); RFC 3339 and its relatives with a blank, slashes, or an offset without
//! colon; `2024:03:05-10:15:30` (Sophos UTM 9); seconds since 1970 with up to nanoseconds. A fraction may follow the
//! clock, then a zone. IOS puts `*` in front when the clock was never set and `.` when it is not synchronised.
//!
//! `24:00:00` and a second of 60 are taken as what follows them.

use super::Mark;

/// A time as written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Moment {
    pub(super) day: Day,
    /// Second of the day, 0 to 86,400.
    pub(super) second: i64,
    pub(super) micros: u32,
    pub(super) zone: Zone,
    /// What the sender itself says of its clock.
    pub(super) doubt: Option<Mark>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Day {
    /// Days since 1970-01-01.
    Number(i64),
    /// Month and day of a year that has to be found.
    Yearless(u32, u32),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Zone {
    /// Nothing usable was said: the source's zone. Abbreviations other than UTC and GMT are no help: `CST` is an hour in
    /// America and another in China.
    Local,
    /// Seconds east of UTC.
    Offset(i64),
}

/// Reads a time from the start of `text` and returns what follows it.
pub(super) fn read(text: &str) -> Option<(Moment, &str)> {
    let mut scan = Scan(text.as_bytes());
    let doubt = match scan.peek()? {
        b'*' => Some(Mark::ClockNotSet),
        b'.' => Some(Mark::ClockNotSynced),
        _ => None,
    };
    if doubt.is_some() {
        scan.skip(1);
    }
    let moment = match scan.peek()? {
        b'0'..=b'9' => numeric(&mut scan)?,
        b'A'..=b'Z' | b'a'..=b'z' | 0x80.. => named(&mut scan)?,
        _ => return None,
    };
    Some((Moment { doubt, ..moment }, text.get(text.len() - scan.0.len()..)?))
}

/// The time of separate `date=` and `time=` values.
pub(super) fn of_parts(date: &str, time: &str, zone: Zone) -> Option<Moment> {
    let mut scan = Scan(date.as_bytes());
    let day = date_parts(&mut scan)?;
    let mut scan = Scan(time.as_bytes());
    let (second, micros) = clock(&mut scan)?;
    Some(Moment { day, second, micros, zone, doubt: None })
}

/// Seconds, milliseconds, microseconds or nanoseconds since 1970, by the number of digits.
pub(super) fn of_epoch(digits: &str) -> Option<Moment> {
    let scale: u64 = match digits.len() {
        10 => 1_000_000,
        13 => 1_000,
        16 => 1,
        19 => {
            let micros = digits.parse::<u64>().ok()? / 1_000;
            return Some(since_1970(micros));
        }
        _ => return None,
    };
    Some(since_1970(digits.parse::<u64>().ok()?.checked_mul(scale)?))
}

/// An offset such as `+0200`, `-05:00`, `+02` or `Z`, alone in the text.
pub(super) fn of_offset(text: &str) -> Option<Zone> {
    let mut scan = Scan(text.as_bytes());
    let zone = offset(&mut scan)?;
    scan.0.is_empty().then_some(zone)
}

fn since_1970(micros: u64) -> Moment {
    let seconds = i64::try_from(micros / 1_000_000).unwrap_or(0);
    Moment {
        day: Day::Number(seconds / 86_400),
        second: seconds % 86_400,
        micros: u32::try_from(micros % 1_000_000).unwrap_or(0),
        zone: Zone::Offset(0),
        doubt: None,
    }
}

/// A time that begins with digits.
fn numeric(scan: &mut Scan<'_>) -> Option<Moment> {
    match (scan.0.get(4)?, scan.0.get(7)) {
        (b'-' | b'/', Some(b'-' | b'/')) => {
            let day = date_parts(scan)?;
            if !matches!(scan.take()?, b'T' | b't' | b' ') {
                return None;
            }
            let (second, micros) = clock(scan)?;
            Some(Moment { day, second, micros, zone: offset(scan).or_else(|| spoken_zone(scan))?, doubt: None })
        }
        (b':', Some(b':')) => {
            let year = scan.number(4, 4)?;
            scan.eat(b':')?;
            let month = scan.number(2, 2)?;
            scan.eat(b':')?;
            let day = scan.number(2, 2)?;
            scan.eat(b'-')?;
            let (second, micros) = clock(scan)?;
            let day = Day::Number(days(i64::from(year), month, day)?);
            Some(Moment { day, second, micros, zone: Zone::Local, doubt: None })
        }
        (b' ', _) => {
            let year = scan.number(4, 4)?;
            scan.skip(1);
            let month = month(scan)?;
            scan.blanks()?;
            let day = scan.number(1, 2)?;
            scan.blanks()?;
            let (second, micros) = clock(scan)?;
            let day = Day::Number(days(i64::from(year), month, day)?);
            Some(Moment { day, second, micros, zone: spoken_zone(scan)?, doubt: None })
        }
        _ => epoch(scan),
    }
}

/// Ten digits and perhaps a fraction, or milliseconds; then a blank or a colon.
fn epoch(scan: &mut Scan<'_>) -> Option<Moment> {
    let digits = scan.0.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(scan.0.len());
    let text = std::str::from_utf8(scan.0.get(..digits)?).ok()?;
    if digits != 10 && digits != 13 {
        return None;
    }
    let mut moment = of_epoch(text)?;
    scan.skip(digits);
    if digits == 10 {
        moment.micros = fraction(scan)?;
    }
    matches!(scan.peek(), Some(b' ' | b':') | None).then_some(moment)
}

/// A time that begins with the name of a month.
fn named(scan: &mut Scan<'_>) -> Option<Moment> {
    let month = month(scan)?;
    scan.blanks()?;
    let day = scan.number(1, 2)?;
    scan.blanks()?;
    let mut year = None;
    if matches!(scan.0, [b'0'..=b'9', b'0'..=b'9', b'0'..=b'9', b'0'..=b'9', b' ', ..]) {
        year = scan.number(4, 4);
        scan.blanks()?;
    }
    let (second, micros) = clock(scan)?;
    let zone = spoken_zone(scan)?;
    if let (None, [b' ', b'1' | b'2', b'0'..=b'9', b'0'..=b'9', b'0'..=b'9', end @ ..]) = (year, scan.0)
        && matches!(end.first(), Some(b' ' | b':') | None)
    {
        scan.skip(1);
        year = scan.number(4, 4);
    }
    let day = match year {
        Some(year) => Day::Number(days(i64::from(year), month, day)?),
        None if (1..=31).contains(&day) => Day::Yearless(month, day),
        None => return None,
    };
    Some(Moment { day, second, micros, zone, doubt: None })
}

/// `2024-03-05` or `2024/03/05`.
fn date_parts(scan: &mut Scan<'_>) -> Option<Day> {
    let year = scan.number(4, 4)?;
    let between = scan.take()?;
    if !matches!(between, b'-' | b'/') {
        return None;
    }
    let month = scan.number(2, 2)?;
    scan.eat(between)?;
    let day = scan.number(2, 2)?;
    Some(Day::Number(days(i64::from(year), month, day)?))
}

/// `10:15:30`, perhaps with a fraction after a point or comma: second of the day and microseconds.
fn clock(scan: &mut Scan<'_>) -> Option<(i64, u32)> {
    let hour = scan.number(1, 2)?;
    scan.eat(b':')?;
    let minute = scan.number(2, 2)?;
    scan.eat(b':')?;
    let second = scan.number(2, 2)?;
    let fits = hour < 24 && minute < 60 && second <= 60;
    if !fits && (hour, minute, second) != (24, 0, 0) {
        return None;
    }
    Some((i64::from(hour * 3_600 + minute * 60 + second), fraction(scan)?))
}

/// The digits after a point or comma as microseconds; more than six are cut.
fn fraction(scan: &mut Scan<'_>) -> Option<u32> {
    if !matches!(scan.0, [b'.' | b',', b'0'..=b'9', ..]) {
        return Some(0);
    }
    scan.skip(1);
    let (mut micros, mut scale) = (0, 100_000);
    while let Some(digit @ b'0'..=b'9') = scan.peek() {
        micros += u32::from(digit - b'0') * scale;
        scale /= 10;
        scan.skip(1);
    }
    Some(micros)
}

/// `Z`, `+02:00`, `+0200` or `+02`, right here.
fn offset(scan: &mut Scan<'_>) -> Option<Zone> {
    let sign = match scan.peek()? {
        b'Z' | b'z' => {
            scan.skip(1);
            return Some(Zone::Offset(0));
        }
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let mut ahead = Scan(scan.0);
    ahead.skip(1);
    let hours = ahead.two_digits()?;
    let minutes = match ahead.0 {
        [b':', b'0'..=b'9', ..] => {
            ahead.skip(1);
            ahead.two_digits()?
        }
        [b'0'..=b'9', ..] => ahead.two_digits()?,
        _ => 0,
    };
    // RFC 3339 section 5.6: hours to 23, minutes to 59.
    if hours > 23 || minutes > 59 {
        return None;
    }
    scan.0 = ahead.0;
    Some(Zone::Offset(sign * i64::from(hours * 3_600 + minutes * 60)))
}

/// A zone after a blank: an offset or one of the words below; the source's zone if there is none of them.
fn spoken_zone(scan: &mut Scan<'_>) -> Option<Zone> {
    let mut ahead = Scan(scan.0);
    if ahead.eat(b' ').is_none() {
        return Some(Zone::Local);
    }
    let zone = match ahead.peek() {
        Some(b'+' | b'-') => offset(&mut ahead),
        Some(b'A'..=b'Z') => {
            let letters = ahead.0.iter().position(|byte| !byte.is_ascii_uppercase()).unwrap_or(ahead.0.len());
            let word = ahead.0.get(..letters)?;
            ahead.skip(letters);
            let known = ZONE_WORDS.iter().any(|zone| zone.as_bytes() == word);
            let utc = matches!(word, b"UTC" | b"GMT" | b"Z" | b"UCT");
            known.then_some(if utc { Zone::Offset(0) } else { Zone::Local })
        }
        _ => None,
    };
    match (zone, ahead.peek()) {
        (Some(zone), Some(b' ' | b':') | None) => {
            scan.0 = ahead.0;
            Some(zone)
        }
        _ => Some(Zone::Local),
    }
}

/// Words after a time that are zones and no host names. `DST` is what IOS shows with an unnamed summer time (observed).
const ZONE_WORDS: [&str; 38] = [
    "UTC", "GMT", "Z", "UCT", "WET", "WEST", "BST", "IST", "CET", "CEST", "MET", "MEST", "EET", "EEST", "MSK", "TRT",
    "EST", "EDT", "CST", "CDT", "MST", "MDT", "PST", "PDT", "AKST", "AKDT", "HST", "JST", "KST", "SGT", "HKT", "AWST",
    "ACST", "AEST", "AEDT", "NZST", "NZDT", "DST",
];

/// The number of the month whose name stands here; a point may follow a shortened name.
fn month(scan: &mut Scan<'_>) -> Option<u32> {
    if let [a, b, c, b' ', ..] = scan.0
        && let Some(month) = three_letters([a | 0x20, b | 0x20, c | 0x20])
    {
        scan.skip(3);
        return Some(month);
    }
    let length = scan.0.iter().take(12).position(|byte| byte.is_ascii() && !byte.is_ascii_alphabetic())?;
    let word = std::str::from_utf8(scan.0.get(..length)?).ok()?.to_lowercase();
    let (_, month) = LONG_MONTHS.iter().find(|(name, _)| *name == word)?;
    scan.skip(length);
    let _ = scan.eat(b'.');
    Some(*month)
}

/// English, German, French, Spanish, Italian, Portuguese and Dutch abbreviations of three letters.
fn three_letters(word: [u8; 3]) -> Option<u32> {
    Some(match &word {
        b"jan" | b"ene" | b"gen" => 1,
        b"feb" | b"fev" => 2,
        b"mar" | b"mrz" | b"mrt" => 3,
        b"apr" | b"avr" | b"abr" => 4,
        b"may" | b"mai" | b"mag" | b"mei" => 5,
        b"jun" | b"giu" => 6,
        b"jul" | b"lug" => 7,
        b"aug" | b"ago" => 8,
        b"sep" | b"set" => 9,
        b"oct" | b"okt" | b"ott" | b"out" => 10,
        b"nov" => 11,
        b"dec" | b"dez" | b"dic" => 12,
        _ => return None,
    })
}

/// The names that have more than three letters, or letters that are not ASCII.
const LONG_MONTHS: [(&str, u32); 33] = [
    ("january", 1),
    ("janv", 1),
    ("januar", 1),
    ("jänner", 1),
    ("jän", 1),
    ("february", 2),
    ("februar", 2),
    ("févr", 2),
    ("fév", 2),
    ("march", 3),
    ("mär", 3),
    ("märz", 3),
    ("mars", 3),
    ("april", 4),
    ("avril", 4),
    ("june", 6),
    ("juni", 6),
    ("juin", 6),
    ("july", 7),
    ("juli", 7),
    ("juil", 7),
    ("august", 8),
    ("août", 8),
    ("aoû", 8),
    ("sept", 9),
    ("september", 9),
    ("october", 10),
    ("oktober", 10),
    ("november", 11),
    ("december", 12),
    ("dezember", 12),
    ("déc", 12),
    ("mrz", 3),
];

/// Days from 1970-01-01 to a date of the Gregorian calendar; `None` if there is no such date. Years 0 to 9999.
pub(super) fn days(year: i64, month: u32, day: u32) -> Option<i64> {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let length = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 => 28 + u32::from(leap),
        _ => return None,
    };
    if !(1..=length).contains(&day) || !(0..=9_999).contains(&year) {
        return None;
    }
    // Years that begin on 1 March, so that the leap day is the last day of its year; eras of 400 years.
    let (year, from_march) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let of_year = i64::from((153 * from_march + 2) / 5 + day - 1);
    Some(era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468)
}

/// What is left to read.
struct Scan<'a>(&'a [u8]);

impl Scan<'_> {
    fn peek(&self) -> Option<u8> {
        self.0.first().copied()
    }

    fn take(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn skip(&mut self, bytes: usize) {
        self.0 = self.0.get(bytes..).unwrap_or_default();
    }

    fn eat(&mut self, byte: u8) -> Option<()> {
        if self.peek()? != byte {
            return None;
        }
        self.skip(1);
        Some(())
    }

    /// At least one blank.
    fn blanks(&mut self) -> Option<()> {
        self.eat(b' ')?;
        while self.eat(b' ').is_some() {}
        Some(())
    }

    fn two_digits(&mut self) -> Option<u32> {
        let (Some(tens @ b'0'..=b'9'), Some(ones @ b'0'..=b'9')) = (self.take(), self.take()) else { return None };
        Some(u32::from(tens - b'0') * 10 + u32::from(ones - b'0'))
    }

    /// A number of `least` to `most` digits that no further digit follows.
    fn number(&mut self, least: usize, most: usize) -> Option<u32> {
        let (mut value, mut digits) = (0, 0);
        while let Some(digit @ b'0'..=b'9') = self.peek() {
            if digits == most {
                return None;
            }
            value = value * 10 + u32::from(digit - b'0');
            digits += 1;
            self.skip(1);
        }
        (digits >= least).then_some(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The time in the form `days since 1970 or month-day, second, micros, zone`, and what follows.
    fn shown(text: &str) -> Option<(String, &str)> {
        let (moment, rest) = read(text)?;
        let day = match moment.day {
            Day::Number(days) => days.to_string(),
            Day::Yearless(month, day) => format!("{month}-{day}"),
        };
        let zone = match moment.zone {
            Zone::Local => "local".to_owned(),
            Zone::Offset(seconds) => seconds.to_string(),
        };
        Some((format!("{day} {} {} {zone}", moment.second, moment.micros), rest))
    }

    #[test]
    fn every_form_is_read() {
        for (text, expected, rest) in [
            ("Mar  5 10:15:30 h", "3-5 36930 0 local", " h"),
            ("Mar 05 10:15:30.123 h", "3-5 36930 123000 local", " h"),
            ("mar 5 10:15:30: h", "3-5 36930 0 local", ": h"),
            ("Mar  5 2024 10:15:30: x", "19787 36930 0 local", ": x"),
            ("Mar  5 10:15:30 2024 h", "19787 36930 0 local", " h"),
            ("Mar  5 10:15:30 CET 2024: h", "19787 36930 0 local", ": h"),
            ("Mar  5 10:15:30 CET: x", "3-5 36930 0 local", ": x"),
            ("Mar  5 10:15:30 CEST h", "3-5 36930 0 local", " h"),
            ("Mar  5 10:15:30 CETUS h", "3-5 36930 0 local", " CETUS h"),
            ("Mar  5 10:15:30 UTC: x", "3-5 36930 0 0", ": x"),
            ("Mar  5 10:15:30 +0200 h", "3-5 36930 0 7200", " h"),
            ("Mär  5 10:15:30 h", "3-5 36930 0 local", " h"),
            ("Okt  5 10:15:30 h", "10-5 36930 0 local", " h"),
            ("Dez  5 10:15:30 h", "12-5 36930 0 local", " h"),
            ("déc.  5 10:15:30 h", "12-5 36930 0 local", " h"),
            ("July 22 22:45:28 h", "7-22 81928 0 local", " h"),
            ("2024 Mar  5 10:15:30 UTC: x", "19787 36930 0 0", ": x"),
            ("2024-03-05T10:15:30Z h", "19787 36930 0 0", " h"),
            ("2024-03-05t10:15:30.123456789z h", "19787 36930 123456 0", " h"),
            ("2024-03-05T10:15:30+02:00 h", "19787 36930 0 7200", " h"),
            ("2024-03-05T10:15:30-0530 h", "19787 36930 0 -19800", " h"),
            ("2024-03-05 10:15:30 h", "19787 36930 0 local", " h"),
            ("2024-03-05 10:15:30,123 h", "19787 36930 123000 local", " h"),
            ("2024/03/05 10:15:30 h", "19787 36930 0 local", " h"),
            ("2024:03:05-10:15:30 utm", "19787 36930 0 local", " utm"),
            ("1709633730 h", "19787 36930 0 0", " h"),
            ("1709633730.123456789 h", "19787 36930 123456 0", " h"),
            ("1709633730123 h", "19787 36930 123000 0", " h"),
            ("Mar  5 24:00:00 h", "3-5 86400 0 local", " h"),
            ("Mar  5 23:59:60 h", "3-5 86400 0 local", " h"),
            ("Feb 29 10:15:30 h", "2-29 36930 0 local", " h"),
        ] {
            assert_eq!(shown(text), Some((expected.to_owned(), rest)), "{text}");
        }
    }

    #[test]
    fn what_is_no_time_is_none() {
        for text in [
            "",
            "*",
            "Mar",
            "Mar 5",
            "Mar  5 25:00:00 h",
            "Mar  5 24:00:01 h",
            "Mar  5 10:60:00 h",
            "Mar 32 10:15:30 h",
            "Foo  5 10:15:30 h",
            "2024-13-05T10:15:30Z",
            "2023-02-29T10:15:30Z",
            "2024-03-05",
            "2024-03/05 10:15:30",
            "123: x",
            "17096337301 x",
            "1709633730x",
            "Mar  5 10:15",
            "2024-03-05T10:15:30",
            "ümläut 5 10:15:30",
        ] {
            let found = shown(text);
            assert!(found.is_none() || text == "2024-03-05T10:15:30", "{text}: {found:?}");
        }
    }

    #[test]
    fn ios_says_what_its_clock_is_worth() {
        assert_eq!(read("*Mar  5 10:15:30 x").map(|(moment, _)| moment.doubt), Some(Some(Mark::ClockNotSet)));
        assert_eq!(read(".Mar  5 10:15:30 x").map(|(moment, _)| moment.doubt), Some(Some(Mark::ClockNotSynced)));
    }

    #[test]
    fn parts_epochs_and_offsets() {
        assert_eq!(of_parts("2024-03-05", "10:15:30", Zone::Local), read("2024-03-05 10:15:30").map(|(m, _)| m));
        for digits in ["1709633730", "1709633730000", "1709633730000000", "1709633730000000000"] {
            assert_eq!(of_epoch(digits), read("2024-03-05T10:15:30Z").map(|(moment, _)| moment), "{digits}");
        }
        assert_eq!(of_epoch("99999999999999999999"), None);
        assert_eq!(of_offset("-0500"), Some(Zone::Offset(-18_000)));
        assert_eq!(of_offset("+24:00"), None);
        assert_eq!(of_offset("CET"), None);
    }

    #[test]
    fn days_agree_with_jiff() {
        for year in [1970, 1999, 2000, 2024, 2100, 9998] {
            for month in 1..=13 {
                for day in 0..=32 {
                    let theirs = jiff::civil::Date::new(year, month, day).ok().map(|date| {
                        jiff::tz::Offset::UTC.to_timestamp(date.at(0, 0, 0, 0)).unwrap().as_second() / 86_400
                    });
                    let ours =
                        u32::try_from(day).ok().and_then(|day| days(year.into(), u32::try_from(month).ok()?, day));
                    assert_eq!(ours, theirs, "{year}-{month}-{day}");
                }
            }
        }
    }
}
