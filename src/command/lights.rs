//! `lights`: a process of its own that shows on the board's lights how the program is.

use std::future::pending;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::{SETTINGS, apply, log, small_runtime, status};
use crate::config::{Config, Version};
use crate::hw;
use crate::support::Ring;

/// How often the settings are looked at. Whoever changes them waits for more than the lights.
const LOOK: Duration = Duration::from_secs(2);

#[derive(Args, Debug)]
pub(super) struct Options {
    /// The settings file.
    #[arg(long, short, value_name = "FILE", default_value = SETTINGS)]
    config: PathBuf,
}

pub(super) fn lights(options: &Options) -> anyhow::Result<ExitCode> {
    small_runtime()?.block_on(async {
        let (mut end, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        let stop = CancellationToken::new();
        let mut logging = None;
        let show = async {
            while !stop.is_cancelled() {
                let (config, version) = apply::settings(&options.config)?;
                logging.get_or_insert_with(|| log::start(config.log.level, &Ring::default()));
                show(&config, changed(&options.config, version), &stop).await?;
            }
            anyhow::Ok(())
        };
        let told = async {
            tokio::select! {
                _ = end.recv() => {}
                _ = interrupt.recv() => {}
            }
            stop.cancel();
            pending().await
        };
        tokio::select! {
            shown = show => shown.map(|()| ExitCode::SUCCESS),
            done = told => done,
        }
    })
}

/// Shows what these settings say until they change or `stop` comes.
async fn show(config: &Config, changed: impl Future<Output = ()>, stop: &CancellationToken) -> anyhow::Result<()> {
    let until = stop.child_token();
    let socket = config.control_socket();
    let ask = async || status::ask(&socket).await.ok();
    let shown = async {
        match &config.hw {
            Some(hw) => hw::run(hw, ask, until.clone()).await,
            // Left alone, as the settings say.
            None => {
                until.cancelled().await;
                Ok(())
            }
        }
    };
    let follow = async {
        tokio::select! {
            () = changed => {}
            () = until.cancelled() => {}
        }
        until.cancel();
        pending().await
    };
    tokio::select! {
        shown = shown => Ok(shown?),
        done = follow => done,
    }
}

async fn changed(file: &Path, version: Option<Version>) {
    while Version::of(file) == version {
        sleep(LOOK).await;
    }
}
