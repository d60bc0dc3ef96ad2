//! The policy on other people's code: one registry, one version of each crate unless a reason stands here, one TLS library.

use std::collections::{BTreeMap, BTreeSet};

/// Crates that may come in two versions, each with who brings the older one. Looked at on 2026-11-24; an entry that is no
/// longer needed fails the test too.
const TWICE: [(&str, &str); 16] = [
    ("base64", "rcgen's pem is a version ahead"),
    ("bitflags", "sled 0.34, through parking_lot 0.11"),
    ("convert_case", "derive_more, which crossterm brings, is behind serde_amqp"),
    ("getrandom", "ring (not built), rand and tempfile are at three ages"),
    ("nom", "x509-parser reads with 7, syslog_loose with 8"),
    ("num-bigint", "x509-parser is a version behind russh"),
    ("parking_lot", "sled 0.34"),
    ("parking_lot_core", "sled 0.34"),
    ("r-efi", "getrandom, for a target we do not build"),
    ("rand", "proptest, in tests, and tungstenite are at other ages"),
    ("rand_core", "proptest, in tests, and tungstenite are at other ages"),
    ("redox_syscall", "sled 0.34, for a target we do not build"),
    ("syn", "macros move to 3 one by one"),
    ("synstructure", "moves with syn"),
    ("untrusted", "aws-lc-rs and webpki"),
    ("windows-sys", "for a target we do not build"),
];

/// What must not be there in any version.
const BANNED: [&str; 5] = ["native-tls", "openssl", "openssl-sys", "mbedtls", "rustls-pemfile"];

struct Package {
    name: String,
    version: String,
    source: Option<String>,
}

fn packages() -> Vec<Package> {
    let lock: toml::Table = toml::from_str(include_str!("../../Cargo.lock")).unwrap();
    let text = |package: &toml::Value, key: &str| package.get(key).map(|value| value.as_str().unwrap().to_owned());
    let packages = lock["package"].as_array().unwrap().iter();
    packages
        .map(|package| Package {
            name: text(package, "name").unwrap(),
            version: text(package, "version").unwrap(),
            source: text(package, "source"),
        })
        .collect()
}

#[test]
fn everything_comes_from_the_registry() {
    for package in packages().into_iter().filter(|package| package.name != "sapphire-edge") {
        let from = package.source.unwrap_or_default();
        assert!(from.starts_with("registry+"), "{} {} comes from {from:?}", package.name, package.version);
    }
}

#[test]
fn no_crate_comes_twice_without_a_reason() {
    let mut versions: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for package in packages() {
        versions.entry(package.name).or_default().insert(package.version);
    }
    let twice: BTreeSet<&str> =
        versions.iter().filter(|(_, versions)| versions.len() > 1).map(|(name, _)| name.as_str()).collect();
    let allowed: BTreeSet<&str> = TWICE.iter().map(|(name, _)| *name).collect();
    assert_eq!(twice, allowed);
}

#[test]
fn one_tls_library() {
    let packages = packages();
    let count = |name: &str| packages.iter().filter(|package| package.name == name).count();
    assert_eq!((count("rustls"), count("rustls-webpki"), count("aws-lc-rs")), (1, 1, 1));
    for name in BANNED {
        assert_eq!(count(name), 0, "{name} must not be in the tree");
    }
}
