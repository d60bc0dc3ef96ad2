//! The box's page for people, over HTTPS: claim, accounts, health with charts, events as they come in, what became of them,
//! who did what; and the same as JSON for programs.
//!
//! In: snapshots of the status board, the ledger and a tap through the same door as the control socket's, what people send.
//! Out: pages made here (no script is needed to read them), JSON, server-sent events. Floor 4. Runs on the small runtime of
//! its own thread. Nothing listens without a `[page]` table.
//!
//! Invariants: but for the claim and the log-in nothing is shown and nothing done without a session; what changes something
//! needs a secret that only our pages know, and comes from our own address; every deed is in the audit log and goes to the
//! gateway; each answer forbids scripts, frames and images of others.
//! Bounded: connections in all and by address, requests by size and time, sessions, taps, and how often a page is made for
//! however many look at it.
//!
//! Facts: RFC 9110 (HTTP), RFC 6265bis (cookies: `__Host-`), HTML 9.2 (server-sent events), RFC 9116 (security.txt), W3C
//! Content Security Policy 3, OWASP's cheat sheets on sessions and CSRF (read 2026-11).
//!
//! Not supported: HTTP/2 (a page is one request and one stream), plain HTTP, and being behind a proxy that ends TLS: the
//! address of who logs in would be the proxy's.

mod account;
mod audit;
mod certificate;
mod consent;
mod context;
mod feed;
mod files;
mod guard;
mod history;
mod look;
mod multipart;
mod routes;
mod serve;
mod settings;
mod start;
mod support;
mod view;

pub use account::{claim_code, is_claimed};
pub use context::{Context, Questions, Sample};
pub use settings::Config;
pub use support::audit_for_support;
pub use view::Kinds;

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinSet;

use crate::net::tls::{Acceptor, Fingerprint, TlsError};
use crate::net::{Listen, SocketName, Sockets};
use crate::secret::Secret;
use account::Accounts;
use audit::Audit;
use consent::Consents;
use feed::Feed;
use files::Files;
use history::History;
use start::Start;

/// The page cannot be served now; a later try may succeed.
#[derive(Debug, thiserror::Error)]
pub enum PageError {
    /// An address could not be bound.
    #[error("{address} cannot be listened on: {source}; free the address, or change listen in [page]")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// Its folder cannot be used.
    #[error("{source} ({})", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The certificate cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// Serving ended.
    #[error("the listener broke: {0}")]
    Serve(#[source] io::Error),
}

/// What all requests share.
struct Shared {
    config: Config,
    context: Context,
    accounts: Accounts,
    audit: Audit,
    history: History,
    files: Files,
    start: Start,
    feed: Feed,
    consents: Consents,
    /// One test at a time.
    testing: Semaphore,
    /// Somebody claimed the box: its line on the board is another one.
    look: Notify,
    /// One bundle comes at a time.
    upload: Arc<Semaphore>,
    /// One bundle for support goes at a time.
    support: Arc<Semaphore>,
}

/// Serves the page until told to stop. `bound` is told the addresses, which matters where a port is 0.
///
/// # Errors
/// When its folder, certificate or addresses cannot be used.
///
/// # Cancel safety
/// Safe: what was answered is on the disk.
pub async fn run(config: Config, context: Context, bound: impl FnOnce(&[SocketAddr]) + Send) -> Result<(), PageError> {
    let (shared, acceptor) = prepare(config, context).await?;
    let shared = Arc::new(shared);
    let sockets = Sockets::default();
    let mut listeners = Vec::new();
    for address in &shared.config.listen {
        let failed = |source| PageError::Bind { address: *address, source };
        let listener = sockets.tcp(&SocketName::new("page", Listen::Tls(*address), 0)).map_err(failed)?;
        listeners.push((listener.local_addr().map_err(failed)?, listener));
    }
    let addresses: Vec<SocketAddr> = listeners.iter().map(|(address, _)| *address).collect();
    let stop = shared.context.stop.child_token();
    let mut tasks = JoinSet::new();
    let limits = serve::limits(&shared.config, &acceptor);
    let routes = routes::all(Arc::clone(&shared));
    for (address, listener) in listeners {
        tracing::info!(%address, "the page is served");
        tasks.spawn(serve::serve(
            listener,
            limits.clone(),
            routes.clone(),
            shared.context.status.clone(),
            stop.clone(),
        ));
    }
    bound(&addresses);
    let (history, board, done) = (shared.history.clone(), shared.context.board.clone(), stop.clone());
    tasks.spawn(async move {
        history.run(board, done).await;
        Ok(())
    });
    let (feed, done) = (Arc::clone(&shared), stop.clone());
    tasks.spawn(async move {
        feed.feed.run(&feed, &done).await;
        Ok(())
    });
    let (looker, done) = (Arc::clone(&shared), stop.clone());
    tasks.spawn(async move {
        look::look_after(&looker, &acceptor, &addresses, &done).await;
        Ok(())
    });
    let mut result = Ok(());
    while let Some(ended) = tasks.join_next().await {
        let ended = ended.unwrap_or_else(|error| Err(io::Error::other(error)));
        if let Err(error) = ended {
            result = Err(PageError::Serve(error));
        }
        // Without one of them it is no page.
        stop.cancel();
    }
    result
}

/// Opens what lies in the state folder, and the certificate.
async fn prepare(config: Config, context: Context) -> Result<(Shared, Acceptor), PageError> {
    let folder = account::folder(&context.state_dir);
    let failed = {
        let folder = folder.clone();
        move |source| PageError::Folder { path: folder.clone(), source }
    };
    let (limits, clock, teller) = (config.login_limits(), context.clock.clone(), context.teller.clone());
    let (tls, name, board_clock) = (config.tls(&folder), Arc::clone(&context.name.borrow()), context.clock.clone());
    let own = config.cert.is_none();
    let files = Files::of(&context.state_dir);
    let sweeper = files.clone();
    let opened = tokio::task::spawn_blocking(move || -> Result<_, PageError> {
        let failed = |source| PageError::Folder { path: folder.clone(), source };
        make_folder(&folder).map_err(failed)?;
        if own {
            certificate::keep(&folder, &name, &clock).map_err(failed)?;
        }
        let acceptor = tls.build()?;
        let accounts = Accounts::open(&folder, limits, clock.clone()).map_err(failed)?;
        let audit = Audit::open(&folder, clock, teller).map_err(failed)?;
        // Whoever typed it into a form began before this start.
        sweeper.sweep(0);
        Ok((acceptor, accounts, audit, History::open(&folder, board_clock), Start::of(&folder)))
    });
    let opened = opened.await.unwrap_or_else(|error| Err(failed(io::Error::other(error))))?;
    let (acceptor, accounts, audit, history, start) = opened;
    let shared = Shared {
        config,
        context,
        accounts,
        audit,
        history,
        files,
        start,
        feed: Feed::default(),
        consents: Consents::default(),
        testing: Semaphore::new(1),
        look: Notify::new(),
        upload: Arc::new(Semaphore::new(1)),
        support: Arc::new(Semaphore::new(1)),
    };
    Ok((shared, acceptor))
}

/// The folder holds keys and accounts: for our user alone.
fn make_folder(folder: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

/// Keeps a secret, key or certificate in the box, as the page does; its path for the settings. Blocks on the disk.
///
/// # Errors
/// When it is not taken; why, in words.
pub fn keep_file(state_dir: &Path, name: &str, text: &Secret<String>) -> Result<String, String> {
    Files::of(state_dir).put(name, text).map_err(|error| error.to_string())
}

/// The fingerprint of the certificate that the page of this state folder shows, for who compares it. Blocks on the disk.
#[must_use]
pub fn certificate_fingerprint(config: &Config, state_dir: &Path) -> Option<Fingerprint> {
    let path = config.tls(&account::folder(state_dir)).cert;
    certificate::said(&std::fs::read(path).ok()?).map(|said| said.fingerprint)
}
