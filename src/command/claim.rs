//! `claim`: what somebody needs to claim this box.

use std::io::{self, Write as _};
use std::process::ExitCode;

use super::Settings;
use crate::config::Config;
use crate::web::page;

pub(super) fn claim(settings: &Settings) -> anyhow::Result<ExitCode> {
    let config = Config::load(&settings.config)?;
    let Some(page) = &config.page else {
        anyhow::bail!("the settings have no [page] table: this box has no page to claim it on");
    };
    let mut out = io::stdout().lock();
    match page::claim_code(&config.state_dir)? {
        Some(code) => writeln!(out, "claim code   {code}")?,
        None if page::is_claimed(&config.state_dir) => {
            writeln!(out, "this box has been claimed already: log in on its page")?;
        }
        None => anyhow::bail!("there is no claim code yet: it is made when the page first starts"),
    }
    if let Some(fingerprint) = page::certificate_fingerprint(page, &config.state_dir) {
        writeln!(out, "certificate  {fingerprint}")?;
    }
    page.listen.iter().try_for_each(|address| writeln!(out, "page         https://{address}/"))?;
    Ok(ExitCode::SUCCESS)
}
