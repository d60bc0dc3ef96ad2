//! Applications that write RFC 5424: several elements, escapes, nil fields, a byte order mark, JSON bodies.
//!
//! Facts: RFC 5424 sections 6.2 (header), 6.3.3 (escape `"`, `\` and `]`), 6.4 (UTF-8 announced by a byte order mark),
//! 7.3 (`meta sequenceId` from 1 to 2147483647, then 1 again); enterprise number 32473 is for documentation (RFC 5612).

use super::dice::{Dice, Moment};
use super::{put, words};

#[derive(Debug)]
pub(super) struct Structured {
    host: String,
    sequence: u64,
    serial: u64,
}

impl Structured {
    pub(super) fn new(dice: &mut Dice, device: u8) -> Self {
        Self {
            host: format!("app{:02}.example.net", u32::from(device) + 1),
            sequence: dice.between(1, 1_000_000_000),
            serial: 0,
        }
    }

    pub(super) fn write(&mut self, dice: &mut Dice, moment: &Moment, to: &mut String) {
        self.serial += 1;
        self.sequence = self.sequence % 2_147_483_647 + 1;
        match dice.below(100) {
            0..=39 => self.request(dice, moment, to),
            40..=59 => self.audit(dice, moment, to),
            60..=79 => self.payment(dice, moment, to),
            80..=89 => self.database(dice, moment, to),
            _ => self.bare(dice, moment, to),
        }
    }

    /// `<PRI>1 TIME HOST ` with microseconds and `Z`.
    fn head(&self, pri: u8, moment: &Moment, to: &mut String) {
        let (date, time, fraction, host) = (&moment.date, &moment.time, moment.fraction(), &self.host);
        put!(to, "<{pri}>1 {date}T{time}.{fraction:06}Z {host} ");
    }

    fn meta(&self, to: &mut String) {
        put!(to, "[meta sequenceId=\"{}\"]", self.sequence);
    }

    fn request(&mut self, dice: &mut Dice, moment: &Moment, to: &mut String) {
        let (address, port) = dice.flow(self.serial);
        let status = dice.pick(&[200u64, 200, 200, 201, 304, 404, 500]);
        self.head(if status == 500 { 131 } else { 134 }, moment, to);
        put!(to, "api-gateway {} REQ ", dice.between(2, 30_000));
        put!(to, "[http@32473 method=\"GET\" path=\"");
        escape(dice.pick(words::PATHS), to);
        put!(to, "\" status=\"{status}\" client=\"{address}\" clientPort=\"{port}\"]");
        put!(to, "[trace@32473 traceId=\"{:016x}{:016x}\" spanId=\"{:016x}\"]", dice.bits(), dice.bits(), dice.bits());
        self.meta(to);
        put!(to, " request finished in {}.{:03} ms", dice.below(900), dice.below(1_000));
    }

    fn audit(&mut self, dice: &mut Dice, moment: &Moment, to: &mut String) {
        let (user, address) = (dice.pick(words::USERS), dice.outside_v6(self.serial));
        self.head(109, moment, to);
        put!(to, "identity - LOGIN [origin ip=\"{address}\" software=\"identity\" swVersion=\"4.{}\"]", dice.below(9));
        put!(to, "[user@32473 name=\"{user}\" realm=\"corp.example\" device=\"");
        escape(dice.pick(&["Laptop \"blue\"", "C:\\agent", "phone [2]", "kiosk"]), to);
        put!(to, "\"]");
        self.meta(to);
        let word = dice.pick(&["signed in", "was asked for a second factor", "was refused: wrong password"]);
        // The byte order mark announces UTF-8 (section 6.4).
        put!(to, " \u{feff}{user} {word}");
    }

    fn payment(&mut self, dice: &mut Dice, moment: &Moment, to: &mut String) {
        let serial = self.serial;
        self.head(165, moment, to);
        put!(to, "billing {} ID{} ", dice.between(2, 30_000), dice.between(10, 99));
        put!(to, "[exampleSDID@32473 iut=\"3\" eventSource=\"Billing\" eventID=\"{}\"]", dice.between(1_000, 1_099));
        self.meta(to);
        put!(to, " {{\"invoice\":\"R-{serial:07}\",\"customer\":\"{}\",", dice.pick(words::PEOPLE));
        put!(to, "\"amount\":{}.{:02},\"currency\":\"XTS\",", dice.below(9_000), dice.below(100));
        put!(to, "\"lines\":[{{\"text\":\"Pumpengehäuse\",\"count\":{}}}]}}", dice.between(1, 40));
    }

    fn database(&mut self, dice: &mut Dice, moment: &Moment, to: &mut String) {
        self.head(134, moment, to);
        put!(to, "postgres {} - ", dice.between(2, 4_000_000));
        self.meta(to);
        let took = dice.between(1, 90_000);
        put!(to, " LOG:  duration: {}.{:03} ms  statement: ", took / 1_000, took % 1_000);
        put!(to, "SELECT id, state FROM orders WHERE id = {} AND note <> '';", self.sequence);
    }

    /// No structured data at all.
    fn bare(&mut self, dice: &mut Dice, moment: &Moment, to: &mut String) {
        self.head(13, moment, to);
        put!(to, "- - - - heartbeat {} from {}", self.sequence, dice.inside());
    }
}

/// Escapes a parameter value (RFC 5424 section 6.3.3).
fn escape(text: &str, to: &mut String) {
    for letter in text.chars() {
        if matches!(letter, '"' | '\\' | ']') {
            to.push('\\');
        }
        to.push(letter);
    }
}
