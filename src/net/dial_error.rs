//! Why a connection could not be made, in words that say what to do.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use rustls::{AlertDescription as Alert, CertificateError};

use super::Endpoint;
use super::tls::{certificate_words, inner};

/// Why a connection could not be made. Every one may pass by itself or once a person has acted: try again after a backoff.
///
/// Shown as what failed and what to do; [`DialError::what`] and [`DialError::todo`] give the two apart, for a health line.
#[derive(Debug)]
pub enum DialError {
    /// The name could not be looked up.
    Name {
        /// The name.
        host: String,
        /// What the resolver says.
        source: io::Error,
    },
    /// The name has no address.
    NoAddress {
        /// The name.
        host: String,
    },
    /// The last address that was tried did not take the connection.
    Connect {
        /// The address.
        address: SocketAddr,
        /// Why not.
        source: io::Error,
    },
    /// No answer in time.
    TimedOut {
        /// Whose.
        what: String,
    },
    /// The proxy answered, but not with a connection.
    ProxyRefused {
        /// The proxy.
        proxy: Endpoint,
        /// Its status line, such as `HTTP/1.1 407 Proxy Authentication Required`.
        status: String,
    },
    /// The proxy broke off, or is no HTTP proxy.
    Proxy {
        /// The proxy.
        proxy: Endpoint,
        /// Why.
        source: io::Error,
    },
    /// The file with the proxy's password cannot be read.
    ProxyPassword {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// TLS failed, or the connection broke.
    Tls {
        /// The far end.
        endpoint: Endpoint,
        /// Holds the rustls error where there is one.
        source: io::Error,
    },
}

impl DialError {
    pub(super) fn tls(endpoint: &Endpoint, source: io::Error) -> Self {
        Self::Tls { endpoint: endpoint.clone(), source }
    }

    /// Whether the far end was reached and it is TLS, or the certificates, that failed.
    #[must_use]
    pub fn is_tls(&self) -> bool {
        matches!(self, Self::Tls { source, .. } if inner(source).is_some())
    }

    /// Whether it is a name or a password that was refused, or is missing.
    #[must_use]
    pub fn is_login(&self) -> bool {
        match self {
            Self::ProxyRefused { status, .. } => wants_login(status),
            Self::ProxyPassword { .. } => true,
            _ => false,
        }
    }

    /// What failed.
    #[must_use]
    pub fn what(&self) -> String {
        self.words().0
    }

    /// What a person should do.
    #[must_use]
    pub fn todo(&self) -> String {
        self.words().1
    }

    fn words(&self) -> (String, String) {
        match self {
            Self::Name { host, source } => {
                (format!("the name {host} was not found ({source})"), "check the name and the box's DNS servers".into())
            }
            Self::NoAddress { host } => (format!("the name {host} has no address"), "check the name".into()),
            Self::Connect { address, source } => connect_words(*address, source),
            Self::TimedOut { what } => (
                format!("no answer in time from {what}"),
                "check the network and that firewalls let this connection through".into(),
            ),
            Self::ProxyRefused { proxy, status } => (
                format!("the proxy {proxy} refused the connection: {status}"),
                if wants_login(status) {
                    "set proxy_user and proxy_password_file, or check that they are right".into()
                } else {
                    "ask the proxy's owner to allow CONNECT to this endpoint and port".into()
                },
            ),
            Self::Proxy { proxy, source } => (
                format!("the proxy {proxy} did not answer as an HTTP proxy ({source})"),
                "check the proxy's address and port".into(),
            ),
            Self::ProxyPassword { path, source } => (
                format!("cannot read the proxy's password file {} ({source})", path.display()),
                "check the path and that the program may read it".into(),
            ),
            Self::Tls { endpoint, source } => tls_words(endpoint, source),
        }
    }
}

impl std::fmt::Display for DialError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (what, todo) = self.words();
        write!(f, "{what}; {todo}")
    }
}

impl std::error::Error for DialError {}

/// tinyproxy answers a wrong password with 401.
fn wants_login(status: &str) -> bool {
    status.contains(" 407 ") || status.contains(" 401 ")
}

fn connect_words(address: SocketAddr, source: &io::Error) -> (String, String) {
    match source.kind() {
        io::ErrorKind::ConnectionRefused => (
            format!("{address} refused the connection"),
            "check that the far end is running and listens on this port".into(),
        ),
        io::ErrorKind::NetworkUnreachable | io::ErrorKind::HostUnreachable => (
            format!("{address} cannot be reached ({source})"),
            "check the box's network cable, address and gateway".into(),
        ),
        _ => (format!("no connection to {address} ({source})"), "check the network".into()),
    }
}

fn tls_words(endpoint: &Endpoint, source: &io::Error) -> (String, String) {
    let Some(error) = inner(source) else {
        let what = format!("the connection to {endpoint} broke ({source})");
        return (what, "check that the far end is well and expects what is configured here (tls or not)".into());
    };
    match error {
        rustls::Error::InvalidCertificate(reason) => (
            format!("the certificate of {endpoint} was refused: {}", certificate_words(reason)),
            certificate_todo(reason).to_owned(),
        ),
        rustls::Error::AlertReceived(alert) => {
            (format!("{endpoint} broke the tls connection off: {alert:?}"), alert_todo(*alert).to_owned())
        }
        rustls::Error::InvalidMessage(_) => (
            format!("{endpoint} does not speak tls on this port ({error})"),
            "check the port, and whether the far end expects tls there".into(),
        ),
        other => (format!("tls with {endpoint} failed: {other}"), "check the tls settings of both ends".into()),
    }
}

fn certificate_todo(reason: &CertificateError) -> &'static str {
    match reason {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "renew the far end's certificate, and check that this box's clock is right"
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "check that this box's clock is right"
        }
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            "set tls.ca to a file with the CA that signed it, or pin its key in tls.pinned_keys"
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "use a name that the certificate holds as the endpoint, or set tls.server_name"
        }
        CertificateError::Other(_) => {
            "if the far end got a new key, add it to tls.pinned_keys; if nobody changed it, somebody may be in between"
        }
        _ => "ask the far end's owner for a valid certificate",
    }
}

fn alert_todo(alert: Alert) -> &'static str {
    match alert {
        Alert::CertificateRequired => "the far end wants a client certificate: set tls.cert and tls.key",
        Alert::CertificateExpired => "our client certificate has expired: put a new one in tls.cert",
        Alert::BadCertificate
        | Alert::UnknownCA
        | Alert::UnsupportedCertificate
        | Alert::CertificateUnknown
        | Alert::CertificateRevoked
        | Alert::AccessDenied
        | Alert::DecryptError => {
            "the far end does not take our client certificate: check tls.cert, and the far end's list"
        }
        Alert::ProtocolVersion => "the far end speaks no tls version that is allowed here: it must speak 1.2 or 1.3",
        Alert::HandshakeFailure | Alert::InsufficientSecurity => {
            "the two ends share no cipher suite, or it wants a client certificate: check tls.cert and the far end's settings"
        }
        Alert::UnrecognisedName => "the far end does not know this name: check the endpoint, or set tls.server_name",
        _ => "check the far end's log",
    }
}
