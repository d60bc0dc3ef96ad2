//! Where log lines go: standard error, in the form that suits who reads it.

use std::fmt;
use std::io::{self, IsTerminal as _};

use tracing::level_filters::LevelFilter;
use tracing::{Event, Level as Importance, Subscriber};
use tracing_subscriber::fmt::format::{Compact, Format, FormatEvent, FormatFields, Writer};
use tracing_subscriber::fmt::{self as lines, FmtContext};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::reload;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::config::Level;
use crate::support::Ring;

/// Starts logging, also into the ring; what comes back changes the level later.
pub(super) fn start(level: Level, ring: &Ring) -> Box<dyn Fn(Level) + Send> {
    let (layer, handle) = reload::Layer::new(filter(level));
    let ring = ring.clone();
    let kept = lines::layer().compact().with_ansi(false).with_writer(move || ring.line());
    let registry = tracing_subscriber::registry().with(layer).with(kept);
    // systemd sets this where standard error goes to its journal, which keeps time and priority itself (systemd.exec(5)).
    if std::env::var_os("JOURNAL_STREAM").is_some() {
        let format = Journal(Format::default().compact().without_time().with_level(false).with_ansi(false));
        registry.with(lines::layer().event_format(format).with_ansi(false).with_writer(io::stderr)).init();
    } else {
        let colours = io::stderr().is_terminal();
        registry.with(lines::layer().compact().with_ansi(colours).with_writer(io::stderr)).init();
    }
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        tracing::error!(place, "{}", panic.payload_as_str().unwrap_or("panic without a message"));
    }));
    Box::new(move |level| {
        if let Err(error) = handle.reload(filter(level)) {
            tracing::error!(%error, "the log level could not be changed");
        }
    })
}

fn filter(level: Level) -> LevelFilter {
    match level {
        Level::Error => LevelFilter::ERROR,
        Level::Warn => LevelFilter::WARN,
        Level::Info => LevelFilter::INFO,
        Level::Debug => LevelFilter::DEBUG,
        Level::Trace => LevelFilter::TRACE,
    }
}

/// Lines for the journal: each begins with its priority (sd-daemon(3)).
struct Journal(Format<Compact, ()>);

impl<S, N> FormatEvent<S, N> for Journal
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut to: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let priority = match *event.metadata().level() {
            Importance::ERROR => "<3>",
            Importance::WARN => "<4>",
            Importance::INFO => "<6>",
            _ => "<7>",
        };
        to.write_str(priority)?;
        self.0.format_event(context, to, event)
    }
}
