//! `ssh`: what a device has to know of this box, and what the devices did.

use std::collections::BTreeSet;
use std::io::{self, Write as _};
use std::process::ExitCode;

use super::Settings;
use super::table::{Align, table};
use crate::app;
use crate::config::Config;
use crate::quantity::thousands;
use crate::source;

pub(super) fn ssh(settings: &Settings) -> anyhow::Result<ExitCode> {
    let config = Config::load(&settings.config)?;
    let mut out = io::stdout().lock();
    let keys = source::host_keys(&config.state_dir)?;
    if keys.is_empty() {
        writeln!(out, "there are no host keys yet: they are made when a source of type ssh first starts")?;
    }
    let rows: Vec<_> = keys.iter().map(|key| vec![key.algorithm.clone(), key.fingerprint.clone()]).collect();
    if !rows.is_empty() {
        writeln!(out, "{}", table(&[("host key", Align::Left), ("fingerprint", Align::Left)], &rows))?;
        writeln!(out, "for known_hosts, with the name or address by which the device reaches this box:")?;
    }
    let sources = || {
        config.source.iter().filter_map(|source| match source {
            source::Config::Ssh(config) => Some(config),
            _ => None,
        })
    };
    let name = app::box_name(&config);
    let ports: BTreeSet<u16> =
        sources().flat_map(|source| source.listen.iter().map(|listen| listen.address().port())).collect();
    for port in ports {
        let host = if port == 22 { name.to_string() } else { format!("[{name}]:{port}") };
        keys.iter().try_for_each(|key| writeln!(out, "{host} {}", key.line))?;
    }
    let mut rows = Vec::new();
    for source in sources() {
        for (device, deeds) in source::deeds(&config.state_dir, &source.id)? {
            let error = deeds.last_error.zip(deeds.last_error_at).map(|(what, at)| format!("{at} {what}"));
            let last = deeds.last_upload.unwrap_or_default();
            let numbers = [deeds.files, deeds.bytes, deeds.events, deeds.repeats].map(thousands);
            let row =
                [source.id.to_string(), device, last].into_iter().chain(numbers).chain([error.unwrap_or_default()]);
            rows.push(row.collect());
        }
    }
    if !rows.is_empty() {
        let left = |title| (title, Align::Left);
        let right = |title| (title, Align::Right);
        let header = [
            left("source"),
            left("device"),
            left("last upload"),
            right("files"),
            right("bytes"),
            right("events"),
            right("repeats"),
            left("last error"),
        ];
        writeln!(out, "\n{}", table(&header, &rows).trim_end())?;
    }
    Ok(ExitCode::SUCCESS)
}
