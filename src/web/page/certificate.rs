//! The page's own certificate: made at the first start, and made anew with the same key when the box's addresses change or
//! it is about to expire. A certificate that the settings name is used in its place.
//!
//! Signed by itself: a browser warns until somebody has compared the fingerprint that `sapphire-edge claim` prints, or the
//! settings name a certificate of the site's own CA. The key stays, so what was once compared stays right.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, KeyPair, KeyUsagePurpose, SanType,
    date_time_ymd,
};
use x509_parser::extensions::GeneralName;
use x509_parser::pem::parse_x509_pem;

use crate::clock::{Clock, Timestamp};
use crate::durable;
use crate::net::outward;
use crate::net::tls::Fingerprint;

/// Browsers of Apple take no certificate that is good for longer than 825 days (support.apple.com/103769, read 2026-11).
const GOOD_FOR_DAYS: u64 = 800;
/// Made anew when it has less than this.
const RENEW_DAYS: u64 = 60;
const DAY: u64 = 86_400_000_000;
/// A box's clock may stand in 1970 at its first start: no certificate ends before this and [`GOOD_FOR_DAYS`].
const PLAUSIBLE: Timestamp = Timestamp(1_793_000_000_000_000);

/// A person's wish and the page's own look make no two at once.
static MAKING: Mutex<()> = Mutex::new(());

/// Where the box's own certificate lies.
pub(super) fn path(folder: &Path) -> PathBuf {
    folder.join("certificate.pem")
}

/// Where its key lies.
pub(super) fn key_path(folder: &Path) -> PathBuf {
    folder.join("certificate.key")
}

/// What the certificate says: under which names and addresses the page may be called.
fn names(box_name: &str) -> (BTreeSet<String>, BTreeSet<IpAddr>) {
    let is_name = |name: &str| {
        let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-');
        !name.is_empty() && name.len() < 64 && name.chars().all(good) && name.parse::<IpAddr>().is_err()
    };
    let names = [box_name, "sapphire-edge", "localhost"].into_iter().filter(|name| is_name(name));
    let names = names.map(str::to_ascii_lowercase).collect();
    let loopback = [IpAddr::from(Ipv4Addr::LOCALHOST), IpAddr::from(Ipv6Addr::LOCALHOST)];
    (names, loopback.into_iter().chain(outward()).collect())
}

/// What a certificate says of itself.
#[derive(Clone, Debug)]
pub(super) struct Said {
    pub(super) begins: Timestamp,
    pub(super) ends: Timestamp,
    pub(super) names: BTreeSet<String>,
    pub(super) addresses: BTreeSet<IpAddr>,
    /// Who signed it.
    pub(super) issuer: String,
    /// Nobody else did.
    pub(super) is_own: bool,
    pub(super) fingerprint: Fingerprint,
}

/// What the first certificate of a PEM text says; nothing where there is none.
pub(super) fn said(pem: &[u8]) -> Option<Said> {
    let (_, pem) = parse_x509_pem(pem).ok()?;
    let certificate = pem.parse_x509().ok()?;
    let moment = |seconds: i64| u64::try_from(seconds).map(|seconds| Timestamp(seconds.saturating_mul(1_000_000))).ok();
    let (mut names, mut addresses) = (BTreeSet::new(), BTreeSet::new());
    let alternative = certificate.subject_alternative_name().ok().flatten();
    for name in alternative.iter().flat_map(|names| &names.value.general_names) {
        match name {
            GeneralName::DNSName(name) => drop(names.insert((*name).to_owned())),
            GeneralName::IPAddress(bytes) => {
                let four = <[u8; 4]>::try_from(*bytes).map(IpAddr::from);
                addresses.extend(four.or_else(|_| <[u8; 16]>::try_from(*bytes).map(IpAddr::from)));
            }
            _ => {}
        }
    }
    Some(Said {
        begins: moment(certificate.validity().not_before.timestamp()).unwrap_or_default(),
        ends: moment(certificate.validity().not_after.timestamp())?,
        names,
        addresses,
        issuer: certificate.issuer().to_string(),
        is_own: certificate.issuer() == certificate.subject(),
        fingerprint: Fingerprint::of(&pem.contents),
    })
}

/// Sees to it that there is a certificate that fits. True if a new one was made. Blocks on the disk.
///
/// # Errors
/// When it cannot be made or written.
pub(super) fn keep(folder: &Path, box_name: &str, clock: &Clock) -> io::Result<bool> {
    let _alone = MAKING.lock().unwrap_or_else(PoisonError::into_inner);
    keep_one(folder, box_name, clock)
}

/// Makes another one, with another key. Blocks on the disk.
///
/// # Errors
/// When it cannot be made or written.
pub(super) fn renew(folder: &Path, box_name: &str, clock: &Clock) -> io::Result<()> {
    let _alone = MAKING.lock().unwrap_or_else(PoisonError::into_inner);
    match fs::remove_file(key_path(folder)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    keep_one(folder, box_name, clock).map(drop)
}

fn keep_one(folder: &Path, box_name: &str, clock: &Clock) -> io::Result<bool> {
    let (names, addresses) = names(box_name);
    let now = clock.now().max(PLAUSIBLE);
    let key = fs::read_to_string(key_path(folder)).ok().and_then(|pem| KeyPair::from_pem(&pem).ok());
    let fits = fs::read(path(folder)).ok().as_deref().and_then(said).is_some_and(|said| {
        let is_fresh = said.ends.micros() > now.micros() + RENEW_DAYS * DAY;
        is_fresh && said.names == names && said.addresses == addresses
    });
    if fits && key.is_some() {
        return Ok(false);
    }
    let key = match key {
        Some(key) => key,
        None => {
            let key = KeyPair::generate().map_err(io::Error::other)?;
            durable::replace_secret(&key_path(folder), key.serialize_pem().as_bytes())?;
            key
        }
    };
    let pem = make(&key, box_name, names, addresses, now).map_err(io::Error::other)?;
    durable::replace(&path(folder), pem.as_bytes())?;
    Ok(true)
}

fn make(
    key: &KeyPair,
    box_name: &str,
    names: BTreeSet<String>,
    addresses: BTreeSet<IpAddr>,
    now: Timestamp,
) -> Result<String, rcgen::Error> {
    let mut params = CertificateParams::new(names.into_iter().collect::<Vec<_>>())?;
    params.subject_alt_names.extend(addresses.into_iter().map(SanType::IpAddress));
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, box_name);
    params.distinguished_name.push(DnType::OrganizationName, "Sapphire Edge");
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    // Before any clock that the box or a browser may have.
    params.not_before = date_time_ymd(2026, 1, 1);
    let days = (now.micros() / DAY).saturating_add(GOOD_FOR_DAYS);
    let seconds = i64::try_from(days * 86_400).unwrap_or(i64::MAX);
    let ends = jiff::Timestamp::from_second(seconds).unwrap_or(jiff::Timestamp::MAX);
    let ends = jiff::tz::TimeZone::UTC.to_datetime(ends);
    let (month, day) = (ends.month().unsigned_abs(), ends.day().unsigned_abs());
    params.not_after = date_time_ymd(ends.year().into(), month, day);
    Ok(params.self_signed(key)?.pem())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;
    use crate::net::tls::KeyPin;

    fn pin(folder: &Path) -> KeyPin {
        let pem = fs::read(path(folder)).unwrap();
        KeyPin::of(&parse_x509_pem(&pem).unwrap().1.contents).unwrap()
    }

    #[test]
    fn one_is_made_kept_and_made_anew_with_the_same_key_before_it_ends_or_when_the_name_changes() {
        let folder = tempfile::tempdir().unwrap();
        let now = Arc::new(AtomicU64::new(0));
        let clock = Clock::Fixed(Arc::clone(&now));
        assert!(keep(folder.path(), "edge-1", &clock).unwrap());
        assert!(!keep(folder.path(), "edge-1", &clock).unwrap());
        let first = pin(folder.path());
        let Said { ends, names, addresses, is_own, .. } = said(&fs::read(path(folder.path())).unwrap()).unwrap();
        assert!(is_own && names.contains("edge-1") && addresses.contains(&IpAddr::from([127, 0, 0, 1])));
        assert!(ends.micros() > PLAUSIBLE.micros() + 790 * DAY, "although the clock stands in 1970");
        assert!(keep(folder.path(), "edge-2", &clock).unwrap());
        now.store(ends.micros() - 70 * DAY, Ordering::Relaxed);
        assert!(!keep(folder.path(), "edge-2", &clock).unwrap());
        now.store(ends.micros() - 50 * DAY, Ordering::Relaxed);
        assert!(keep(folder.path(), "edge-2", &clock).unwrap());
        assert_eq!(pin(folder.path()), first);
        for torn in [path(folder.path()), key_path(folder.path())] {
            fs::write(torn, "torn").unwrap();
            assert!(keep(folder.path(), "edge-2", &clock).unwrap());
        }
        assert_ne!(pin(folder.path()), first, "its key was gone");
        assert!(keep(folder.path(), "no name: blanks and ä", &clock).unwrap());
        let before = pin(folder.path());
        renew(folder.path(), "edge-2", &clock).unwrap();
        assert_ne!(pin(folder.path()), before, "somebody wanted another key");
        assert!(!keep(folder.path(), "edge-2", &clock).unwrap());
    }
}
