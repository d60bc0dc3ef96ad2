//! Connections: TLS, HTTP/1.1, and their bounds.

use std::collections::HashMap;
use std::convert::Infallible;
use std::io;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::settings::Config;
use crate::net::tls::Acceptor;
use crate::net::{self, Stream};
use crate::status::Handle;

/// Time for the header of a request; also how long an idle connection is kept for the next one: shorter than a minute, and clients
/// that think a while send into a connection that closes at that moment.
const HEADER_WITHIN: Duration = Duration::from_secs(60);
/// The whole life of a connection. A page that is open longer comes back by itself.
const LIFE: Duration = Duration::from_secs(3_600);
/// Time for what is under way when the page is told to stop.
const LAST: Duration = Duration::from_millis(500);
/// Our longest request line and header fields are below 2 KiB.
const LARGEST_HEADER: usize = 16 << 10;

/// Who is at the other end of a request's connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Peer(pub(super) IpAddr);

/// What all listeners share.
#[derive(Clone, Debug)]
pub(super) struct Limits {
    net: net::Limits,
    places: Places,
}

/// Connections of each address.
#[derive(Clone, Debug)]
struct Places {
    most_of_one: usize,
    taken: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

/// A place that is taken as long as this is there.
struct Place {
    places: Places,
    of: IpAddr,
}

impl Places {
    /// A place for an address; none if it has all that one may have.
    fn take(&self, of: IpAddr) -> Option<Place> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let count = taken.entry(of).or_default();
        if *count >= self.most_of_one {
            return None;
        }
        *count += 1;
        Some(Place { places: self.clone(), of })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = taken.get_mut(&self.of) {
            *count -= 1;
            if *count == 0 {
                taken.remove(&self.of);
            }
        }
    }
}

pub(super) fn limits(config: &Config, acceptor: &Acceptor) -> Limits {
    let most = config.max_connections as usize;
    let permits = Arc::new(Semaphore::new(most));
    let net = net::Limits { permits, allow: config.allow.clone(), tls: Some(acceptor.clone()) };
    Limits { net, places: Places { most_of_one: most / 2, taken: Arc::default() } }
}

/// Serves a listener until told to stop.
pub(super) async fn serve(
    listener: TcpListener,
    limits: Limits,
    routes: Router,
    status: Handle,
    stop: CancellationToken,
) -> io::Result<()> {
    let (places, told) = (limits.places, stop.clone());
    let handler = move |stream: Stream| {
        let place = places.take(stream.peer().ip());
        connection(stream, place, routes.clone(), told.clone())
    };
    net::serve(listener, limits.net, stop, status, handler).await
}

async fn connection(stream: Stream, place: Option<Place>, routes: Router, stop: CancellationToken) {
    let peer = stream.peer();
    if place.is_none() {
        tracing::debug!(%peer, "connection refused: this address has as many as one may have");
        return;
    }
    let routes = TowerToHyperService::new(routes);
    let service = service_fn(move |mut request: hyper::Request<Incoming>| {
        request.extensions_mut().insert(Peer(peer.ip()));
        let answer = routes.call(request);
        async move {
            let Ok(answer) = answer.await;
            Ok::<_, Infallible>(answer)
        }
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEADER_WITHIN).max_header_size(LARGEST_HEADER);
    let mut connection = std::pin::pin!(http.serve_connection(TokioIo::new(stream), service));
    let ended = tokio::select! {
        ended = timeout(LIFE, connection.as_mut()) => ended,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            timeout(LAST, connection).await
        }
    };
    if let Ok(Err(error)) = ended {
        tracing::debug!(%peer, %error, "connection of the page ended");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address_never_has_all_places() {
        let places = Places { most_of_one: 2, taken: Arc::default() };
        let (one, other) = (IpAddr::from([192, 0, 2, 1]), IpAddr::from([192, 0, 2, 2]));
        let (first, _second) = (places.take(one), places.take(one));
        assert!(first.is_some() && places.take(one).is_none() && places.take(other).is_some());
        drop(first);
        let third = places.take(one);
        assert!(third.is_some());
        assert_eq!(places.taken.lock().unwrap().len(), 1, "who has none is forgotten");
    }
}
