//! `tap`.

use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::Args;

use super::{Where, small_runtime};
use crate::control::{Answer, Client, Request};

#[derive(Args, Debug)]
pub(super) struct Options {
    /// Only events of the source with this id.
    #[arg(long, value_name = "ID")]
    source: Option<String>,
    /// First show what is still in the box of so many minutes. What the gateway has may be gone from it.
    #[arg(long, value_name = "MINUTES")]
    last: Option<u32>,
    #[command(flatten)]
    at: Where,
}

pub(super) fn tap(options: &Options) -> anyhow::Result<ExitCode> {
    small_runtime()?.block_on(async {
        let request = Request::Tap { source: options.source.clone(), last_minutes: options.last };
        let mut client = Client::ask(&options.at.socket(), &request).await?;
        while let Some(answer) = client.next().await? {
            match answer {
                Answer::Event(event) => writeln!(io::stdout().lock(), "{}", event.get())?,
                Answer::Missed(count) => {
                    writeln!(io::stderr(), "passed over {count} batches that came faster than they were shown")?;
                }
                Answer::Replayed { events, is_whole } => {
                    let newest = if is_whole { "" } else { ", the newest that are there" };
                    writeln!(io::stderr(), "{events} events of the last minutes{newest}; from here on they are new")?;
                }
                Answer::Refused(why) => anyhow::bail!(why),
                Answer::Status(_)
                | Answer::Ledger(_)
                | Answer::Update(_)
                | Answer::Settings(_)
                | Answer::Log(_)
                | Answer::Progress(_)
                | Answer::Face(_)
                | Answer::Stick(_)
                | Answer::Done => {}
            }
        }
        writeln!(io::stderr(), "the appliance stopped")?;
        Ok(ExitCode::SUCCESS)
    })
}
