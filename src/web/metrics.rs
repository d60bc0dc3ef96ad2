//! A snapshot in the text format of Prometheus.
//!
//! prometheus-client writes OpenMetrics 1.0, which Prometheus reads since 2.5; counters get the ending `_total` there.
//! A counter is there from the start at 0 for the kinds of component it belongs to, so that its first step is seen as one.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric, LabelSetEncoder, MetricEncoder};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

use crate::status::{Component, Count, DropReason, Gauge, Line, Snapshot};

/// The type of what [`text`] returns (OpenMetrics 1.0, section "Protocol Negotiation").
pub(super) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The words of `status::Health`, for the health metric.
const STATES: [&str; 6] = ["starting", "healthy", "degraded", "failed", "stopped", "paused"];

/// All metrics of a snapshot.
pub(super) fn text(snapshot: &Snapshot) -> Result<String, fmt::Error> {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Metrics(snapshot.clone())));
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &registry)?;
    Ok(text)
}

#[derive(Debug)]
struct Metrics(Snapshot);

/// The labels of one value.
#[derive(Debug)]
struct Labels<'a>(Vec<(&'static str, &'a str)>);

impl EncodeLabelSet for Labels<'_> {
    fn encode(&self, encoder: &mut LabelSetEncoder<'_>) -> fmt::Result {
        self.0.as_slice().encode(encoder)
    }
}

fn labels<'a>(line: &'a Line, more: Option<(&'static str, &'a str)>) -> Labels<'a> {
    Labels([("component", line.component.as_str()), ("id", line.id.as_str())].into_iter().chain(more).collect())
}

/// Whether a counter or gauge is shown while it is zero.
fn belongs(component: Component, name: &str) -> bool {
    let ends = |endings: &[&str]| endings.iter().any(|ending| name.ends_with(ending));
    match component {
        Component::Source => {
            name.starts_with("receive")
                || ends(&[
                    "connections",
                    "protocol_errors",
                    "cut_events",
                    "settled_events",
                    "restarts",
                    "dropped_events",
                ])
        }
        Component::Queue => {
            name.starts_with("queue")
                || name.starts_with("stored")
                || ends(&[
                    "syncs",
                    "batches",
                    "damaged_records",
                    "disk_errors",
                    "memory_bytes",
                    "segments",
                    "oldest_seconds",
                ])
        }
        Component::Output => {
            name.starts_with("delivered")
                || ends(&[
                    "sent_bytes",
                    "repeated_events",
                    "unparsed_events",
                    "connections",
                    "restarts",
                    "unacked_events",
                ])
                || ends(&["queued_events", "oldest_seconds", "dropped_events"])
        }
        Component::Box => ends(&["restarts"]),
    }
}

impl Metrics {
    fn family(
        &self,
        encoder: &mut DescriptorEncoder<'_>,
        (name, help, kind): (&str, &str, MetricType),
        mut each: impl FnMut(&Line, &mut MetricEncoder<'_>) -> fmt::Result,
    ) -> fmt::Result {
        let name = format!("sapphire_edge_{name}");
        // prometheus-client ends every help text with a full stop of its own.
        let mut family = encoder.encode_descriptor(&name, help.trim_end_matches('.'), None, kind)?;
        self.0.components.iter().try_for_each(|line| each(line, &mut family))
    }

    fn counters(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        for count in Count::ALL {
            let name = count.as_str();
            self.family(encoder, (name, count.help(), MetricType::Counter), |line, family| {
                let value = line.count(*count);
                if value == 0 && !belongs(line.component, name) {
                    return Ok(());
                }
                ConstCounter::new(value).encode(family.encode_family(&labels(line, None))?)
            })?;
        }
        let dropped = ("dropped_events", "Events that were dropped, by reason", MetricType::Counter);
        self.family(encoder, dropped, |line, family| {
            for reason in DropReason::ALL {
                let value = line.dropped.get(reason).copied().unwrap_or(0);
                if value > 0 || belongs(line.component, "dropped_events") {
                    let labels = labels(line, Some(("reason", reason.as_str())));
                    ConstCounter::new(value).encode(family.encode_family(&labels)?)?;
                }
            }
            Ok(())
        })
    }

    fn gauges(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        for gauge in Gauge::ALL {
            let name = gauge.as_str();
            self.family(encoder, (name, gauge.help(), MetricType::Gauge), |line, family| {
                let value = line.gauge(*gauge);
                if value == 0 && !belongs(line.component, name) {
                    return Ok(());
                }
                ConstGauge::new(value).encode(family.encode_family(&labels(line, None))?)
            })?;
        }
        let health = ("health", "1 for the state the component is in, 0 for the others", MetricType::Gauge);
        self.family(encoder, health, |line, family| {
            STATES.iter().try_for_each(|state| {
                let value = u64::from(line.health.word() == *state);
                ConstGauge::new(value).encode(family.encode_family(&labels(line, Some(("state", state))))?)
            })
        })
    }

    fn process(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let help = "Seconds since the program started";
        let uptime = encoder.encode_descriptor("sapphire_edge_uptime_seconds", help, None, MetricType::Gauge)?;
        ConstGauge::new(self.0.uptime_seconds).encode(uptime)?;
        let help = "The version of the program";
        let mut build = encoder.encode_descriptor("sapphire_edge_build", help, None, MetricType::Info)?;
        build.encode_info(&Labels(vec![("version", self.0.version.as_str())]))
    }
}

impl Collector for Metrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        self.counters(&mut encoder)?;
        self.gauges(&mut encoder)?;
        self.process(&mut encoder)
    }
}
