//! The settings by which outputs reach a far end over the network, and what is made of them.

use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use tokio::io::AsyncReadExt as _;
use tokio::time::timeout;

use crate::form::Finding;
use crate::net::tls::{ClientConfig, Connector, TlsError};
use crate::net::{Backoff, DialError, Dialer, Endpoint, Proxy};
use crate::quantity::Span;

/// A far end that refuses our certificate says so only after the handshake (RFC 8446, 4.4.2.4), within a round trip.
const REFUSES_WITHIN: Duration = Duration::from_secs(1);

/// What the connection runs on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Transport {
    /// TLS 1.2 or 1.3.
    #[default]
    Tls,
    /// Plain TCP: everybody on the way can read and change the events.
    Tcp,
}

/// The keys that outputs over the network share, by the names they have in each table.
pub(super) struct Reach<'a> {
    pub(super) transport: Transport,
    pub(super) tls: &'a ClientConfig,
    pub(super) proxy: Option<&'a Endpoint>,
    pub(super) proxy_user: Option<&'a String>,
    pub(super) proxy_password_file: Option<&'a PathBuf>,
    pub(super) connect_timeout: Span,
    pub(super) backoff_min: Span,
    pub(super) backoff_max: Span,
}

/// On a bad line a name and a connection take a second or two.
pub(super) fn connect_timeout() -> Span {
    Span::secs(10)
}

/// As Filebeat.
pub(super) fn backoff_min() -> Span {
    Span::secs(1)
}

/// As Filebeat.
pub(super) fn backoff_max() -> Span {
    Span::secs(60)
}

/// Whether a span is one that a person could mean; the words if not.
pub(super) fn check_span(key: &str, span: Span) -> Option<(String, String)> {
    let is_right = (Duration::from_millis(10)..=Duration::from_secs(86_400)).contains(&span.0);
    (!is_right).then(|| (key.to_owned(), "write a duration from \"10ms\" to \"1d\"".to_owned()))
}

impl Reach<'_> {
    pub(super) fn validate(&self) -> Vec<(String, String)> {
        let spans = [
            ("connect_timeout", self.connect_timeout),
            ("backoff_min", self.backoff_min),
            ("backoff_max", self.backoff_max),
        ];
        let mut problems: Vec<_> = spans.into_iter().filter_map(|(key, span)| check_span(key, span)).collect();
        let mut need = |is_right: bool, key: &str, words: &str| {
            if !is_right {
                problems.push((key.to_owned(), words.to_owned()));
            }
        };
        need(self.backoff_min <= self.backoff_max, "backoff_min", "write at most what backoff_max says");
        need(self.proxy.is_some() || self.proxy_user.is_none(), "proxy_user", "set proxy too, or take this out");
        need(
            self.proxy_user.is_some() || self.proxy_password_file.is_none(),
            "proxy_password_file",
            "set proxy_user too, or take this out",
        );
        need(
            self.transport == Transport::Tls || *self.tls == ClientConfig::default(),
            "tls",
            "transport = \"tcp\" uses no tls; take one of the two out",
        );
        problems.extend(self.tls.validate().into_iter().map(|(key, words)| (format!("tls.{key}"), words)));
        problems
    }

    pub(super) fn open_files(&self) -> Vec<(String, String)> {
        let mut problems = Vec::new();
        if let Some(Err(error)) = self.proxy_password_file.map(std::fs::File::open) {
            problems
                .push(("proxy_password_file".to_owned(), format!("cannot be read ({error}); check path and rights")));
        }
        if self.transport == Transport::Tls {
            problems.extend(self.tls.open_files().into_iter().map(|(key, words)| (format!("tls.{key}"), words)));
        }
        problems
    }

    /// The TLS side, made once for all endpoints.
    pub(super) fn connector(&self) -> Result<Option<Connector>, TlsError> {
        match self.transport {
            Transport::Tls => self.tls.build().map(Some),
            Transport::Tcp => Ok(None),
        }
    }

    pub(super) fn dialer(&self, endpoint: &Endpoint, tls: Option<&Connector>) -> Dialer {
        let proxy = self.proxy.map(|endpoint| Proxy {
            endpoint: endpoint.clone(),
            user: self.proxy_user.cloned(),
            password_file: self.proxy_password_file.cloned(),
        });
        Dialer { endpoint: endpoint.clone(), proxy, tls: tls.cloned(), connect_timeout: self.connect_timeout.0 }
    }

    /// Connects to each of them once, and sends nothing.
    pub(super) async fn test(&self, endpoints: &[Endpoint]) -> Vec<Finding> {
        let connector = match self.connector() {
            Ok(connector) => connector,
            Err(error) => {
                let todo = "bring the certificates anew".to_owned();
                return vec![Finding::wrong("tls", error.to_string(), todo)];
            }
        };
        let mut findings = Vec::new();
        for endpoint in endpoints {
            let dialer = self.dialer(endpoint, connector.as_ref());
            findings.push(look(&dialer, &endpoint.to_string()).await);
        }
        findings
    }

    pub(super) fn backoff(&self) -> Backoff {
        Backoff::new(self.backoff_min.0, self.backoff_max.0)
    }
}

async fn look(dialer: &Dialer, name: &str) -> Finding {
    let wrong = |error: DialError| Finding::wrong(name, error.what(), error.todo());
    let mut stream = match dialer.dial().await {
        Ok(stream) => stream,
        Err(error) => return wrong(error),
    };
    let mut first = [0u8; 1];
    match timeout(REFUSES_WITHIN, stream.read(&mut first)).await {
        Ok(Err(error)) => wrong(dialer.explain(error)),
        Ok(Ok(0)) => {
            let todo = "check that this is the right port, and whether a certificate of the box is wanted there";
            Finding::wrong(name, format!("{name} closes the connection at once"), todo.to_owned())
        }
        Ok(Ok(_)) | Err(_) => Finding::right(name),
    }
}
