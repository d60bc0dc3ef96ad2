//! Lines of OpenSSH's `authorized_keys`, as far as they make sense where nothing but uploads is allowed.
//!
//! Facts: sshd(8), "AUTHORIZED_KEYS FILE FORMAT": options before the key, separated by commas, values in double quotes with
//! `\"` for a quote; `from=` holds patterns separated by commas, `*` and `?` in addresses, CIDR networks, `!` to exclude;
//! `expiry-time=` is YYYYMMDD[Z] or YYYYMMDDHHMM[SS][Z]. Without `Z` it is read as UTC here: the box has no other zone.
//!
//! Not supported: host names in `from=` (a name in the reverse DNS is the peer's own word); `cert-authority`.

use std::fs::File;
use std::io::{self, Read as _};
use std::net::IpAddr;
use std::path::Path;

use ipnet::IpNet;
use russh::keys::ssh_key::public::KeyData;
use russh::keys::{HashAlg, PublicKey};

use crate::clock::Timestamp;

/// A key file: thousands of keys.
const LARGEST_FILE: u64 = 1 << 20;
/// Options that only take away what is not there anyway.
const WITHOUT_EFFECT: [&str; 12] = [
    "restrict",
    "no-pty",
    "no-port-forwarding",
    "no-agent-forwarding",
    "no-x11-forwarding",
    "no-user-rc",
    "no-touch-required",
    "port-forwarding",
    "agent-forwarding",
    "pty",
    "user-rc",
    "x11-forwarding",
];

/// A key of a device, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceKey {
    /// Such as `ssh-ed25519`.
    pub algorithm: String,
    /// As OpenSSH shows it: `SHA256:…`.
    pub fingerprint: String,
}

impl DeviceKey {
    /// Reads a line of `authorized_keys`.
    ///
    /// # Errors
    /// When it holds no key, or an option that has no meaning here.
    pub fn parse(line: &str) -> Result<Self, String> {
        let key = Entry::parse(line)?.key;
        let fingerprint = key.fingerprint(HashAlg::Sha256).to_string();
        Ok(Self { algorithm: key.algorithm().to_string(), fingerprint })
    }
}

/// A key and when it is taken.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::source::ssh) struct Entry {
    key: KeyData,
    from: Vec<Pattern>,
    expires: Option<Timestamp>,
}

#[derive(Clone, Debug, PartialEq)]
struct Pattern {
    excludes: bool,
    matcher: Matcher,
}

#[derive(Clone, Debug, PartialEq)]
enum Matcher {
    Network(IpNet),
    Wildcard(String),
}

/// Why a key that is known is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::source::ssh) enum NotNow {
    Expired,
    WrongAddress,
}

impl Entry {
    /// Reads one line; `None` for an empty one or a comment.
    pub(in crate::source::ssh) fn parse_line(line: &str) -> Option<Result<Self, String>> {
        let line = line.trim();
        (!line.is_empty() && !line.starts_with('#')).then(|| Self::parse(line))
    }

    /// Reads one line with a key.
    pub(in crate::source::ssh) fn parse(line: &str) -> Result<Self, String> {
        let line = line.trim();
        let entry = |options: &str, key: &str| -> Result<Self, String> {
            let key = PublicKey::from_openssh(key).map_err(|error| error.to_string())?;
            let mut entry = Self { key: key.key_data().clone(), from: Vec::new(), expires: None };
            options_of(options)?.iter().try_for_each(|(name, value)| entry.set(name, value.as_deref()))?;
            Ok(entry)
        };
        match entry("", line) {
            Ok(entry) => Ok(entry),
            Err(error) => {
                let (options, key) = split_options(line).ok_or(error)?;
                entry(options, key.trim_start())
            }
        }
    }

    fn set(&mut self, name: &str, value: Option<&str>) -> Result<(), String> {
        match (name.to_ascii_lowercase().as_str(), value) {
            ("from", Some(value)) => self.from = value.split(',').map(pattern).collect::<Result<_, _>>()?,
            ("expiry-time", Some(value)) => self.expires = Some(expiry(value)?),
            ("command" | "environment" | "permitopen" | "permitlisten" | "tunnel" | "principals", Some(_)) => {
                return Err(format!("the option {name} has no meaning here; take it out"));
            }
            (name, None) if WITHOUT_EFFECT.contains(&name) => {}
            _ => return Err(format!("the option {name} is not known; take it out")),
        }
        Ok(())
    }

    /// Whether it is this key.
    pub(in crate::source::ssh) fn is(&self, key: &PublicKey) -> bool {
        self.key == *key.key_data()
    }

    /// Whether it is taken now, from there.
    pub(in crate::source::ssh) fn check(&self, peer: IpAddr, now: Timestamp) -> Result<(), NotNow> {
        if self.expires.is_some_and(|expires| now >= expires) {
            return Err(NotNow::Expired);
        }
        let matches = |pattern: &&Pattern| pattern.matches(peer);
        let excluded = self.from.iter().filter(|pattern| pattern.excludes).any(|pattern| matches(&pattern));
        let included = self.from.iter().filter(|pattern| !pattern.excludes).any(|pattern| matches(&pattern));
        if self.from.is_empty() || (included && !excluded) { Ok(()) } else { Err(NotNow::WrongAddress) }
    }
}

impl Pattern {
    fn matches(&self, peer: IpAddr) -> bool {
        match &self.matcher {
            Matcher::Network(network) => network.contains(&peer.to_canonical()),
            Matcher::Wildcard(pattern) => {
                wildcard(pattern.as_bytes(), peer.to_canonical().to_string().to_ascii_lowercase().as_bytes())
            }
        }
    }
}

/// `*` is any number of characters, `?` is one.
fn wildcard(pattern: &[u8], text: &[u8]) -> bool {
    // Going back to the last star alone is enough: linear for each star.
    let (mut p, mut t, mut back) = (0, 0, None);
    while t < text.len() {
        match pattern.get(p) {
            Some(b'*') => {
                back = Some((p, t));
                p += 1;
            }
            Some(c) if *c == b'?' || text.get(t) == Some(c) => (p, t) = (p + 1, t + 1),
            _ => {
                let Some((star, from)) = back else { return false };
                (p, t) = (star + 1, from + 1);
                back = Some((star, from + 1));
            }
        }
    }
    pattern.get(p..).unwrap_or_default().iter().all(|c| *c == b'*')
}

fn pattern(text: &str) -> Result<Pattern, String> {
    let text = text.trim();
    let (excludes, text) = text.strip_prefix('!').map_or((false, text), |rest| (true, rest));
    let network = text.parse::<IpAddr>().map(IpNet::from).or_else(|_| text.parse::<IpNet>());
    let is_pattern = text.contains(['*', '?']) && text.chars().all(|c| c.is_ascii_hexdigit() || ".:*?".contains(c));
    let matcher = match network {
        Ok(network) => Matcher::Network(network.trunc()),
        Err(_) if is_pattern => Matcher::Wildcard(text.to_ascii_lowercase()),
        Err(_) => return Err(format!("from= holds {text:?}; write addresses or networks, such as 192.0.2.0/24")),
    };
    Ok(Pattern { excludes, matcher })
}

fn expiry(text: &str) -> Result<Timestamp, String> {
    let digits = text.strip_suffix(['Z', 'z']).unwrap_or(text);
    let wrong = || format!("expiry-time= holds {text:?}; write it as YYYYMMDD or YYYYMMDDHHMM");
    if !matches!(digits.len(), 8 | 12 | 14) {
        return Err(wrong());
    }
    let padded = format!("{digits:0<14}");
    let time = jiff::civil::DateTime::strptime("%Y%m%d%H%M%S", padded).map_err(|_| wrong())?;
    let at = jiff::tz::Offset::UTC.to_timestamp(time).map_err(|_| wrong())?;
    u64::try_from(at.as_microsecond()).map(Timestamp).map_err(|_| wrong())
}

/// Options and the rest: the first blank outside quotes ends the options.
fn split_options(line: &str) -> Option<(&str, &str)> {
    let (mut quoted, mut escaped) = (false, false);
    for (at, c) in line.char_indices() {
        match c {
            '"' if !escaped => quoted = !quoted,
            ' ' | '\t' if !quoted => return line.split_at_checked(at),
            _ => {}
        }
        escaped = c == '\\' && !escaped;
    }
    None
}

fn options_of(text: &str) -> Result<Vec<(String, Option<String>)>, String> {
    let mut options = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let end = rest.find(['=', ',']).unwrap_or(rest.len());
        let (name, after) = rest.split_at(end);
        let Some(after) = after.strip_prefix('=') else {
            options.push((name.to_owned(), None));
            rest = after.strip_prefix(',').unwrap_or(after);
            continue;
        };
        let after = after.strip_prefix('"').ok_or_else(|| format!("the value of {name}= stands in double quotes"))?;
        let (mut value, mut escaped, mut end) = (String::new(), false, None);
        for (at, c) in after.char_indices() {
            match c {
                '"' if !escaped => {
                    end = Some(at + 1);
                    break;
                }
                '\\' if !escaped => escaped = true,
                c => {
                    escaped = false;
                    value.push(c);
                }
            }
        }
        let end = end.ok_or_else(|| format!("the value of {name}= has no closing quote"))?;
        options.push((name.to_owned(), Some(value)));
        let after = after.get(end..).unwrap_or_default();
        rest = after.strip_prefix(',').unwrap_or(after);
    }
    Ok(options)
}

/// A small file of text.
///
/// # Errors
/// When it cannot be read, or is too large or no text.
pub(in crate::source::ssh) fn read_small(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    let read = File::open(path)?.take(LARGEST_FILE + 1).read_to_string(&mut text)?;
    if read as u64 > LARGEST_FILE {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "it is larger than 1 MiB"));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAiRfu02Oj4BPFuYII67hMWPpbNUv4EvrIvRKI4nb67a";

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_line_is_a_key_with_or_without_options_and_a_comment() {
        let plain = Entry::parse(KEY).unwrap();
        let shown = DeviceKey::parse(&format!("restrict {KEY} esa1")).unwrap();
        assert_eq!((shown.algorithm.as_str(), &shown.fingerprint[..7]), ("ssh-ed25519", "SHA256:"));
        for line in [
            format!("{KEY} esa1 of the mail team"),
            format!("restrict {KEY}"),
            format!("restrict,no-pty,from=\"*\" {KEY} x"),
        ] {
            assert_eq!(Entry::parse(&line).unwrap().key, plain.key, "{line}");
        }
        assert!(Entry::parse_line("  # a comment").is_none() && Entry::parse_line("").is_none());
        for (line, words) in [
            (format!("command=\"rm\" {KEY}"), "no meaning"),
            (format!("cert-authority {KEY}"), "not known"),
            (format!("from=\"host.example.net\" {KEY}"), "write addresses"),
            (format!("from=192.0.2.1 {KEY}"), "double quotes"),
            (format!("expiry-time=\"soon\" {KEY}"), "YYYYMMDD"),
            ("ssh-ed25519 AAAA".to_owned(), ""),
        ] {
            let error = Entry::parse(&line).unwrap_err();
            assert!(error.contains(words), "{line}: {error}");
        }
    }

    #[test]
    fn a_key_is_taken_only_from_where_and_as_long_as_its_line_says() {
        let entry = Entry::parse(&format!(
            "from=\"192.0.2.0/24,!192.0.2.66,10.1.?.*,2001:db8::/32\",expiry-time=\"20240305\" {KEY}"
        ));
        let entry = entry.unwrap();
        let before = Timestamp(1_709_596_799_000_000);
        for (address, taken) in [
            ("192.0.2.1", true),
            ("::ffff:192.0.2.1", true),
            ("192.0.2.66", false),
            ("10.1.2.33", true),
            ("10.1.22.33", false),
            ("2001:db8::5", true),
            ("198.51.100.1", false),
        ] {
            assert_eq!(entry.check(ip(address), before).is_ok(), taken, "{address}");
        }
        let at = Timestamp(1_709_596_800_000_000);
        assert_eq!(entry.check(ip("192.0.2.1"), at), Err(NotNow::Expired));
        let minute = Entry::parse(&format!("expiry-time=\"202403051015Z\" {KEY}")).unwrap();
        assert!(minute.check(ip("192.0.2.1"), Timestamp(1_709_633_699_999_999)).is_ok());
        assert_eq!(minute.check(ip("192.0.2.1"), Timestamp(1_709_633_700_000_000)), Err(NotNow::Expired));
    }
}
