//! Why a source cannot work.

use std::io;

use crate::net::Listen;
use crate::net::tls::TlsError;

/// Why a source, or one of its listeners, cannot work. Trying again after a backoff may help: an address can appear, a file be
/// mended.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// An address cannot be listened on.
    #[error("cannot listen on {listen}: {source}")]
    Bind {
        /// The address.
        listen: Listen,
        /// Why not.
        source: io::Error,
    },
    /// A socket that was bound no longer works.
    #[error("the socket of {listen} broke: {source}")]
    Socket {
        /// The address.
        listen: Listen,
        /// Why.
        source: io::Error,
    },
    /// The TLS settings cannot be used; the text says what to do.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// No thread could be started to read datagrams.
    #[error("cannot start a thread to read {listen}: {source}")]
    Thread {
        /// The address.
        listen: Listen,
        /// Why not.
        source: io::Error,
    },
    /// What was done before could not be read back from the queue.
    #[error("the queue's checkpoint cannot be read: {0}")]
    Checkpoint(#[source] io::Error),
    /// What it keeps in the state folder cannot be used.
    #[error("its part of the state folder cannot be used: {0}")]
    StateFolder(#[source] io::Error),
    /// The settings cannot be used; checking them says so earlier.
    #[error("the settings cannot be used: {0}")]
    Settings(String),
    /// A part of the source panicked.
    #[error("a part of the source panicked")]
    Panicked,
}

impl SourceError {
    /// What a person should do.
    #[must_use]
    pub fn todo(&self) -> String {
        match self {
            Self::Bind { listen, source } => bind_todo(listen, source),
            Self::Socket { .. } | Self::Checkpoint(_) | Self::Panicked => {
                "if it stays, restart the box and send its log to support".into()
            }
            Self::StateFolder(_) => "make the state folder writable, or mend the file; it tries again by itself".into(),
            Self::Settings(_) => "run `sapphire-edge check`, and mend what it says".into(),
            Self::Tls(_) => "mend the files or the tls settings of this source; it tries again by itself".into(),
            Self::Thread { .. } => "lower udp_sockets, or raise the limit on tasks of the service".into(),
        }
    }
}

fn bind_todo(listen: &Listen, source: &io::Error) -> String {
    let port = listen.address().port();
    match source.kind() {
        io::ErrorKind::AddrInUse => {
            let tables = if matches!(listen, Listen::Udp(_)) { "-lunp" } else { "-ltnp" };
            format!("another program has this port: find it with ss {tables} 'sport = {port}', or choose another port")
        }
        io::ErrorKind::AddrNotAvailable => {
            "the box has no such address: check its network, or listen on 0.0.0.0 or [::]".into()
        }
        io::ErrorKind::PermissionDenied => {
            format!(
                "port {port} needs the right to bind low ports (CAP_NET_BIND_SERVICE): use the service unit, or a port from 1024"
            )
        }
        _ => "check the address and the box's network".into(),
    }
}
