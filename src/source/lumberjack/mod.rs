//! Lumberjack v2 (the Beats protocol): what a customer's Filebeat sends, acknowledged when it is settled.
//!
//! In: connections, plain or inside TLS. Out: batches of whole JSON objects as they came ([`Kind::Beats`]). Floor 3 with
//! `source/`.
//!
//! Invariants: an ack is sent only for events that are durable or delivered; windows are acknowledged in order; what a
//! connection may hold is bounded by `max_frame` and a few MiB. An error costs its connection and nothing else.
//!
//! Facts: `wire::lumberjack`. Agents wait 30 s for an ack and take ack 0 as a sign of life; go-lumber's server sends one
//! every 3 s, Logstash every 5 s.
//!
//! Not supported: version 1 (refused and counted; no agent since 2016 speaks it); several events in one `J` frame.
//!
//! [`Kind::Beats`]: crate::event::Kind::Beats

mod event;
mod form;
mod session;
mod settings;

pub(super) use form::FORM;
pub use settings::Config;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::listeners::{all_end, keep};
use super::silence::Silence;
use super::watch::Watch;
use super::{Context, SourceError};
use crate::clock::Clock;
use crate::event::SourceId;
use crate::net::{self, Listen, Seldom, SocketName};
use crate::queue::Intake;
use crate::status::Handle;
use crate::wire::lumberjack::Limits;

/// What all connections of a source share.
#[derive(Debug)]
struct Shared {
    id: SourceId,
    intake: Intake,
    status: Handle,
    clock: Clock,
    limits: Limits,
    windows: usize,
    keepalive: Duration,
    idle_timeout: Duration,
    /// For lines about broken protocol: a wrong agent comes again every second.
    complaints: Seldom,
}

/// What all listeners of a source share.
struct Listeners {
    config: Config,
    context: Context,
    stop: CancellationToken,
    watch: Watch,
    permits: Arc<Semaphore>,
    connections: Arc<Shared>,
}

/// See [`super::run`].
pub(super) async fn run(config: Config, context: Context) -> Result<(), SourceError> {
    let listeners = Arc::new(Listeners::new(config, context));
    let mut tasks = JoinSet::new();
    for (listen, name) in listeners.config.listeners() {
        tasks.spawn(listener(listen, name, Arc::clone(&listeners)));
    }
    let done = CancellationToken::new();
    let work = all_end(tasks, &listeners.stop, &done);
    let (result, ()) = tokio::join!(work, listeners.watch.run(&done));
    result
}

impl Listeners {
    fn new(config: Config, context: Context) -> Self {
        let permits = Arc::new(Semaphore::new(config.max_connections as usize));
        let (status, clock) = (context.status.clone(), context.clock.clone());
        let names = config.listeners().map(|(_, name)| name);
        let silence = Silence::new(config.id.clone(), config.silent_after, &context);
        let watch = Watch::new(status.clone(), clock.clone(), config.tls.clone(), Arc::clone(&permits), names, silence);
        let connections = Shared {
            id: config.id.clone(),
            intake: context.intake.clone(),
            status,
            clock,
            limits: config.limits(),
            windows: config.windows_in_flight,
            keepalive: config.keepalive.0,
            idle_timeout: config.idle_timeout.0,
            complaints: Seldom::default(),
        };
        // A task that panics stops the others without stopping what the app runs beside us.
        let stop = context.stop.child_token();
        Self { config, context, stop, watch, permits, connections: Arc::new(connections) }
    }
}

/// Serves one address, and tries again where that fails.
async fn listener(listen: Listen, name: SocketName, listeners: Arc<Listeners>) {
    keep(&listeners.watch, listen, &name, &listeners.stop, || serve(listen, &name, &listeners)).await;
}

async fn serve(listen: Listen, name: &SocketName, listeners: &Arc<Listeners>) -> Result<(), SourceError> {
    let tls = match listen {
        Listen::Tls(_) => Some(listeners.watch.acceptor()?),
        _ => None,
    };
    let sockets = &listeners.context.sockets;
    let listener = sockets.tcp(name).map_err(|source| SourceError::Bind { listen, source })?;
    listeners.watch.serving(name, sockets.bound(name));
    let limits = net::Limits { permits: Arc::clone(&listeners.permits), allow: listeners.config.allow.clone(), tls };
    let (connections, stop) = (Arc::clone(&listeners.connections), listeners.stop.clone());
    let handler = move |stream| session::serve(stream, Arc::clone(&connections), stop.clone());
    let served = net::serve(listener, limits, listeners.stop.clone(), listeners.context.status.clone(), handler).await;
    served.map_err(|source| SourceError::Socket { listen, source })
}
