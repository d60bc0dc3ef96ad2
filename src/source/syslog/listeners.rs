//! The listeners of a source, each a task that is tried again by itself.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::account::Account;
use super::collector::Collector;
use super::stream::Connections;
use super::{Config, udp};
use crate::net::{self, Backoff, Limits, Listen, Seldom, SocketName};
use crate::source::watch::Watch;
use crate::source::{Context, SourceError};

/// An address that cannot be bound now is tried again after this, and then ever more rarely.
const RETRY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

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
        let watch = Watch::new(status.clone(), clock.clone(), config.tls.clone(), Arc::clone(&permits), names);
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
    // Ends what only accompanies the listeners, but not in the middle of handing a batch over.
    let done = CancellationToken::new();
    let collector = &shared.connections.collector;
    let work = async {
        let mut result = Ok(());
        while let Some(ended) = tasks.join_next().await {
            if ended.is_err() {
                result = Err(SourceError::Panicked);
                shared.stop.cancel();
            }
        }
        done.cancel();
        result
    };
    let by_age = collector.close_by_age(shared.config.batch_after, &done);
    let (result, (), ()) = tokio::join!(work, by_age, shared.watch.run(&done));
    // The queue closes only when the box stops; then the events are counted as dropped.
    let _ = collector.flush().await;
    result
}

async fn listener(listen: Listen, name: SocketName, shared: Arc<Shared>) {
    let mut backoff = Backoff::new(RETRY.0, RETRY.1);
    while let Err(error) = serve(listen, &name, &shared).await {
        tracing::warn!(%listen, %error, todo = error.todo(), "listener does not work");
        shared.watch.failed(&name, &error);
        tokio::select! {
            () = shared.stop.cancelled() => return,
            () = tokio::time::sleep(backoff.next_delay()) => {}
        }
    }
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
