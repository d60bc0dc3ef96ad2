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
    #[command(flatten)]
    at: Where,
}

pub(super) fn tap(options: &Options) -> anyhow::Result<ExitCode> {
    small_runtime()?.block_on(async {
        let request = Request::Tap { source: options.source.clone() };
        let mut client = Client::ask(&options.at.socket(), &request).await?;
        while let Some(answer) = client.next().await? {
            match answer {
                Answer::Event(event) => writeln!(io::stdout().lock(), "{}", event.get())?,
                Answer::Missed(count) => {
                    writeln!(io::stderr(), "passed over {count} batches that came faster than they were shown")?;
                }
                Answer::Refused(why) => anyhow::bail!(why),
                Answer::Status(_)
                | Answer::Ledger(_)
                | Answer::Update(_)
                | Answer::Settings(_)
                | Answer::Progress(_) => {}
            }
        }
        writeln!(io::stderr(), "the appliance stopped")?;
        Ok(ExitCode::SUCCESS)
    })
}
