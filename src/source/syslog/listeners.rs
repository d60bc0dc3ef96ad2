//! The listeners of a source, each a task that is tried again by itself.

use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::account::Account;
use super::collector::Collector;
use super::stream::Connections;
use super::{Config, udp};
use crate::net::{self, Limits, Listen, Seldom, SocketName};
use crate::source::listeners::{all_end, keep};
use crate::source::silence::Silence;
use crate::source::watch::Watch;
use crate::source::{Context, SourceError};

/// All that the tasks of one source share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) config: Config,
    pub(super) context: Context,
    pub(super) stop: CancellationToken,
    pub(super) watch: Arc<Watch>,
    pub(super) account: Account,
    permits: Arc<Semaphore>,
    connections: Arc<Connections>,
}

impl Shared {
    pub(super) fn new(config: Config, context: Context) -> Self {
        let permits = Arc::new(Semaphore::new(config.max_connections as usize));
        let names = config.listeners().map(|(_, name)| name);
        let (status, clock) = (context.status.clone(), context.clock.clone());
        let silence = Silence::new(config.id.clone(), config.silent_after, &context);
        let watch = Watch::new(status.clone(), clock.clone(), config.tls.clone(), Arc::clone(&permits), names, silence);
        let account = Account::new(config.id.clone(), context.intake.clone(), status.clone());
        // A task that panics stops the others without stopping what the app runs beside us.
        let stop = context.stop.child_token();
        let connections = Connections {
            collector: Arc::new(Collector::new(config.id.clone(), account.clone(), clock)),
            framing: config.framing,
            max_message: config.max_message.len(),
            idle_timeout: config.idle_timeout.0,
            stop: stop.clone(),
            status,
            wrong_counts: Seldom::default(),
        };
        Self { config, context, stop, watch: Arc::new(watch), account, permits, connections: Arc::new(connections) }
    }
}

/// Serves every listener until told to stop; then hands over what is left.
pub(in crate::source) async fn run(config: Config, context: Context) -> Result<(), SourceError> {
    let shared = Arc::new(Shared::new(config, context));
    let mut tasks = JoinSet::new();
    for (listen, name) in shared.config.listeners() {
        tasks.spawn(listener(listen, name, Arc::clone(&shared)));
    }
    let done = CancellationToken::new();
    let collector = &shared.connections.collector;
    let work = all_end(tasks, &shared.stop, &done);
    let by_age = collector.close_by_age(shared.config.batch_after, &done);
    let (result, (), ()) = tokio::join!(work, by_age, shared.watch.run(&done));
    // The queue closes only when the box stops; then the events are counted as dropped.
    let _ = collector.flush().await;
    result
}

async fn listener(listen: Listen, name: SocketName, shared: Arc<Shared>) {
    keep(&shared.watch, listen, &name, &shared.stop, || serve(listen, &name, &shared)).await;
}

/// Opens one socket and serves it until told to stop.
async fn serve(listen: Listen, name: &SocketName, shared: &Arc<Shared>) -> Result<(), SourceError> {
    let cannot_bind = |source| SourceError::Bind { listen, source };
    let sockets = &shared.context.sockets;
    let tls = match listen {
        Listen::Udp(_) => {
            let socket = sockets.udp(name, shared.config.udp_sockets > 1).map_err(cannot_bind)?;
            return udp::serve(listen, name, socket, shared).await;
        }
        Listen::Tcp(_) => None,
        Listen::Tls(_) => Some(shared.watch.acceptor()?),
    };
    let listener = sockets.tcp(name).map_err(cannot_bind)?;
    shared.watch.serving(name, sockets.bound(name));
    let limits = Limits { permits: Arc::clone(&shared.permits), allow: shared.config.allow.clone(), tls };
    let connections = Arc::clone(&shared.connections);
    let handler = move |stream| Arc::clone(&connections).serve(stream);
    let served = net::serve(listener, limits, shared.stop.clone(), shared.context.status.clone(), handler).await;
    served.map_err(|source| SourceError::Socket { listen, source })
}
