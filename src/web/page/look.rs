//! The page's own line on the board, and its certificate, which is renewed in time.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::{Shared, account, certificate};
use crate::clock::Timestamp;
use crate::net::tls::Acceptor;
use crate::status::{Cause, Gauge, Health};

/// How often certificate and addresses are looked at, and the page's own line on the board.
const LOOK: Duration = Duration::from_secs(60);
/// A certificate of the settings that ends within this is told.
const ENDS_SOON: Duration = Duration::from_secs(14 * 86_400);

/// What lies behind all faults of the page but that nobody has claimed the box.
const CERTIFICATE: Option<Cause> = Some(Cause::Tls);

/// Keeps the certificate fit and the line on the board true.
pub(super) async fn look_after(
    shared: &Shared,
    acceptor: &Acceptor,
    addresses: &[SocketAddr],
    stop: &CancellationToken,
) {
    loop {
        let folder = account::folder(&shared.context.state_dir);
        let (own, name, clock) =
            (shared.config.cert.is_none(), Arc::clone(&shared.context.name.borrow()), shared.context.clock.clone());
        let certificate = acceptor.clone();
        let renewed = tokio::task::spawn_blocking(move || -> Result<bool, String> {
            if own {
                certificate::keep(&folder, &name, &clock).map_err(|error| error.to_string())?;
            }
            certificate.reload().map_err(|error| error.to_string())
        });
        let trouble = match renewed.await {
            Ok(Ok(changed)) => {
                if changed {
                    tracing::info!("the page has a new certificate");
                }
                None
            }
            Ok(Err(error)) => Some(error),
            Err(error) => Some(error.to_string()),
        };
        let status = &shared.context.status;
        status.counters().set(Gauge::Unclaimed, (!shared.accounts.is_claimed()).into());
        status.set(health(shared, acceptor.valid_until(), trouble, addresses));
        tokio::select! {
            () = stop.cancelled() => return,
            _ = timeout(LOOK, shared.look.notified()) => {}
        }
    }
}

/// How the page is, in words.
fn health(shared: &Shared, ends: Timestamp, trouble: Option<String>, addresses: &[SocketAddr]) -> Health {
    if let Some(error) = trouble {
        let what = format!("the page's certificate cannot be renewed, the one before stays in use: {error}");
        return Health::degraded(what, "see the disk's state, and the files that [page] names").because(CERTIFICATE);
    }
    let now = shared.context.clock.now();
    if now >= ends {
        let todo = "put a new certificate in its place; the page takes it by itself";
        return Health::degraded(format!("the page's certificate expired on {ends}"), todo).because(CERTIFICATE);
    }
    if ends.since(now) < ENDS_SOON {
        let todo = "put a new certificate in its place; the page takes it by itself";
        return Health::degraded(format!("the page's certificate expires on {ends}"), todo).because(CERTIFICATE);
    }
    if !shared.accounts.is_claimed() {
        let ports: Vec<String> = addresses.iter().map(|address| address.port().to_string()).collect();
        let todo = format!(
            "open https://<this box's address> (port {}) and type the claim code, which the \
             screen and `sapphire-edge claim` show",
            ports.join(" or ")
        );
        return Health::degraded("nobody has claimed this box: it has no administrator yet", todo);
    }
    Health::Healthy
}
