//! Fields that many types ask for.

use super::{Field, Kind};

/// The proxy on the way out, which is the same for all that dial.
pub const PROXY: [Field; 3] = [
    Field::text(
        "proxy",
        "HTTP proxy",
        "Host and port, such as proxy.example.net:3128, where the site lets nothing else out.",
    ),
    Field::text("proxy_user", "User at the proxy", ""),
    Field::secret("proxy_password_file", "Password at the proxy", ""),
];

/// The CA of a vendor that everybody knows.
pub const VENDOR_CA: [Field; 1] = [Field::pem(
    "tls.ca",
    "CA of the proxy",
    "Where a proxy looks into TLS. Empty: the certificate authorities that everybody knows.",
)];

/// Our own certificate, and whether peers show one.
pub const OWN_TLS: [Field; 4] = [
    Field::pem(
        "tls.cert",
        "Certificate of the box",
        "For tls:// addresses: the certificate, followed by the intermediate CAs.",
    ),
    Field::pem("tls.key", "Private key of the certificate", "Without a passphrase."),
    Field::new(
        Kind::Choice(&[("none", "no"), ("optional", "may"), ("required", "must")]),
        "tls.client_auth",
        "Senders show a certificate",
        "",
    )
    .default("none"),
    Field::pem("tls.client_ca", "CA of the senders' certificates", ""),
];

/// Who may send.
pub const ALLOW: Field =
    Field::list("allow", "Networks that may send", "One a line, such as 192.0.2.0/24 or 192.0.2.7. Empty: everybody.");

/// The zone of times that come without one.
pub const TIME_ZONE: Field =
    Field::text("time_zone", "Time zone of the devices", "As in Europe/Berlin: their times come without one.")
        .default("UTC");

/// How far back a first start goes.
#[must_use]
pub const fn backfill(default: &'static str) -> Field {
    Field::new(Kind::Amount, "backfill", "How far back a first start goes", "A number and a unit: 12h, 7d.")
        .default(default)
}
