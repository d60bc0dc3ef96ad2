//! What every device draws from: random numbers, addresses that do not repeat, and the time as devices write it.

use std::net::{Ipv4Addr, Ipv6Addr};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::clock::Timestamp;

/// A seeded source of choices.
#[derive(Debug)]
pub(super) struct Dice {
    random: StdRng,
    /// Where the walk over outside flows begins.
    offset: u64,
}

/// An address and port somewhere on the Internet.
pub(super) type Flow = (Ipv4Addr, u16);

/// Hosts .1 to .254 of 198.51.100.0/24 and of 203.0.113.0/24.
const HOSTS: u64 = 2 * 254;
/// Ports 1,024 to 65,535.
const PORTS: u64 = 64_512;
/// Step of the walk over all flows: a prime that divides neither factor, so every flow comes once before one comes again,
/// and neighbours look unlike each other.
const STEP: u64 = 11_400_713;

impl Dice {
    pub(super) fn new(seed: u64, salt: u64) -> Self {
        // An odd factor spreads the few salts over all bits; equal seeds with unequal salts share nothing.
        let mut random = StdRng::seed_from_u64(seed ^ salt.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let offset = random.random_range(0..HOSTS * PORTS);
        Self { random, offset }
    }

    /// From 0 up to but not including `end`.
    pub(super) fn below(&mut self, end: u64) -> u64 {
        self.random.random_range(0..end.max(1))
    }

    /// From `low` to `high`, both included.
    pub(super) fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high.saturating_sub(low) + 1)
    }

    /// True once in `times`.
    pub(super) fn one_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }

    /// One of the words.
    pub(super) fn pick<T: Copy + Default>(&mut self, words: &[T]) -> T {
        let at = self.random.random_range(0..words.len().max(1));
        words.get(at).copied().unwrap_or_default()
    }

    /// 64 random bits.
    pub(super) fn bits(&mut self) -> u64 {
        self.random.random()
    }

    /// An address of the site's own network, 192.0.2.10 to 192.0.2.249.
    pub(super) fn inside(&mut self) -> Ipv4Addr {
        Ipv4Addr::new(192, 0, 2, u8::try_from(self.between(10, 249)).unwrap_or(10))
    }

    /// A short-lived port.
    pub(super) fn port(&mut self) -> u64 {
        self.between(32_768, 60_999)
    }

    /// An outside address and port. Different for every `serial` up to 32.7 million.
    pub(super) fn flow(&self, serial: u64) -> Flow {
        let place = (serial % (HOSTS * PORTS) + self.offset) * STEP % (HOSTS * PORTS);
        let (host, port) = (place % HOSTS, place / HOSTS);
        let last = u8::try_from(host % 254 + 1).unwrap_or(1);
        let address = if host < 254 { Ipv4Addr::new(198, 51, 100, last) } else { Ipv4Addr::new(203, 0, 113, last) };
        (address, u16::try_from(1_024 + port).unwrap_or(1_024))
    }

    /// An address under 2001:db8::/32, different for every `serial`.
    pub(super) fn outside_v6(&mut self, serial: u64) -> Ipv6Addr {
        let part = |shift: u32| u16::try_from(serial >> shift & 0xffff).unwrap_or(0);
        let subnet = u16::try_from(self.below(0x1000)).unwrap_or(0);
        Ipv6Addr::new(0x2001, 0xdb8, subnet, part(48), 0, part(32), part(16), part(0))
    }
}

/// One moment in the forms devices write. All devices of the play keep their clocks in UTC.
#[derive(Debug, Default)]
pub(super) struct Moment {
    second: Option<u64>,
    /// Microseconds since 1970.
    pub(super) micros: u64,
    /// RFC 3164 section 4.1.2: `Mar  5 10:15:30`.
    pub(super) bsd: String,
    /// Cisco ASA `logging timestamp`: `Mar 05 2024 10:15:30`.
    pub(super) asa: String,
    /// `2024-03-05`.
    pub(super) date: String,
    /// `10:15:30`.
    pub(super) time: String,
}

impl Moment {
    pub(super) fn set(&mut self, now: Timestamp) {
        self.micros = now.micros();
        let second = self.micros / 1_000_000;
        if self.second == Some(second) {
            return;
        }
        self.second = Some(second);
        let at = i64::try_from(second).ok().and_then(|second| jiff::Timestamp::from_second(second).ok());
        let at = at.unwrap_or_default();
        self.bsd = at.strftime("%b %e %H:%M:%S").to_string();
        self.asa = at.strftime("%b %d %Y %H:%M:%S").to_string();
        self.date = at.strftime("%Y-%m-%d").to_string();
        self.time = at.strftime("%H:%M:%S").to_string();
    }

    /// Microseconds within the second.
    pub(super) fn fraction(&self) -> u64 {
        self.micros % 1_000_000
    }

    /// Seconds since 1970.
    pub(super) fn epoch(&self) -> u64 {
        self.micros / 1_000_000
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn flows_do_not_repeat_and_stay_in_the_documentation_ranges() {
        let dice = Dice::new(7, 1);
        let mut seen = HashSet::new();
        for serial in 0..300_000 {
            let (address, port) = dice.flow(serial);
            assert!(matches!(address.octets(), [198, 51, 100, 1..=254] | [203, 0, 113, 1..=254]), "{address}");
            assert!(port >= 1_024);
            assert!(seen.insert((address, port)), "serial {serial} repeats {address}:{port}");
        }
        assert_eq!(dice.flow(HOSTS * PORTS), dice.flow(0), "the walk is as long as there are flows");
    }

    #[test]
    fn the_moment_is_written_as_devices_write_it() {
        let mut moment = Moment::default();
        moment.set(Timestamp(1_709_633_730_123_456));
        assert_eq!(moment.bsd, "Mar  5 10:15:30");
        assert_eq!(moment.asa, "Mar 05 2024 10:15:30");
        assert_eq!((moment.date.as_str(), moment.time.as_str()), ("2024-03-05", "10:15:30"));
        assert_eq!((moment.fraction(), moment.epoch()), (123_456, 1_709_633_730));
    }
}
