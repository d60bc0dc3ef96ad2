//! A seeded stream of realistic events, no two of them equal.
//!
//! In: a seed, a device number and the time. Out: one syslog message after another in the dialect of a device family,
//! without transport framing, always UTF-8. The same seed, device and times give the same events.
//!
//! Every event is unlike every other of the same run: each carries a running number in a field where its device has one
//! (connection id, session, MID, process id, sequence), or an address and port that are walked through without repeats.
//! Two devices of one family differ by name or by the range of their numbers.
//!
//! All data is invented: addresses from RFC 5737 and RFC 3849, hardware addresses from RFC 7042 section 2.1.2, names under
//! `example` (RFC 2606), enterprise number 32473 (RFC 5612), country `ZZ` (user-assigned in ISO 3166-1).

mod asa;
mod dice;
mod esa;
mod linux;
mod sophos;
mod structured;
mod words;

use crate::clock::Timestamp;
use dice::{Dice, Moment};

/// A kind of device, and so a dialect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Family {
    /// Sophos Firewall (SFOS): even device numbers speak the device standard format, odd ones the central format.
    Sophos,
    /// Cisco ASA: even device numbers name themselves in the header, odd ones do not.
    Asa,
    /// Cisco Secure Email (ESA) `mail_logs`: interleaved threads of connections, messages and deliveries.
    Esa,
    /// A Linux server: sshd, sudo, cron, systemd, kernel and others in RFC 3164.
    Linux,
    /// Applications that speak RFC 5424 with structured data.
    Structured,
}

impl Family {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Sophos, Self::Asa, Self::Esa, Self::Linux, Self::Structured];

    /// A number that keeps the families' streams apart under one seed.
    fn salt(self) -> u64 {
        match self {
            Self::Sophos => 1,
            Self::Asa => 2,
            Self::Esa => 3,
            Self::Linux => 4,
            Self::Structured => 5,
        }
    }
}

/// The events of one device.
#[derive(Debug)]
pub struct Generator {
    dice: Dice,
    moment: Moment,
    device: Device,
}

#[derive(Debug)]
enum Device {
    Sophos(sophos::Sophos),
    Asa(asa::Asa),
    Esa(esa::Esa),
    Linux(linux::Linux),
    Structured(structured::Structured),
}

impl Generator {
    /// A device of `family`. Device numbers 0 to 255 tell devices of one family apart.
    #[must_use]
    pub fn new(family: Family, seed: u64, device: u8) -> Self {
        let mut dice = Dice::new(seed, family.salt() << 8 | u64::from(device));
        let device = match family {
            Family::Sophos => Device::Sophos(sophos::Sophos::new(&mut dice, device)),
            Family::Asa => Device::Asa(asa::Asa::new(&mut dice, device)),
            Family::Esa => Device::Esa(esa::Esa::new(&mut dice, device)),
            Family::Linux => Device::Linux(linux::Linux::new(&mut dice, device)),
            Family::Structured => Device::Structured(structured::Structured::new(&mut dice, device)),
        };
        Self { dice, moment: Moment::default(), device }
    }

    /// Appends the next event, as the device would send it at `now`. Never empty, never with a line feed.
    pub fn write(&mut self, now: Timestamp, to: &mut String) {
        self.moment.set(now);
        let (dice, moment) = (&mut self.dice, &self.moment);
        match &mut self.device {
            Device::Sophos(device) => device.write(dice, moment, to),
            Device::Asa(device) => device.write(dice, moment, to),
            Device::Esa(device) => device.write(dice, moment, to),
            Device::Linux(device) => device.write(dice, moment, to),
            Device::Structured(device) => device.write(dice, moment, to),
        }
    }
}

/// Appends formatted text; writing to a `String` cannot fail.
macro_rules! put {
    ($to:expr, $($text:tt)*) => {{
        use std::fmt::Write as _;
        let _ = write!($to, $($text)*);
    }};
}
use put;

#[cfg(test)]
mod tests;
