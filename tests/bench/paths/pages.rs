//! What people who look at the box's page cost: the same load with nobody there and with a hundred pages open.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use super::{Plan, flow};
use crate::collector::{Bench, Collector};
use crate::measure::wait_until;
use crate::peers::Subject;
use crate::receiver::Protocol;
use crate::report::{Column, Series, compared, shown};

const PAGES: usize = 100;
/// Each page is told something several times in a run.
const LONGER: u64 = 8;
/// Logging in, and the first picture on every page, while all of them come at once.
const OPEN: Duration = Duration::from_secs(60);

const COLUMNS: [Column; 3] = [compared("events per CPU-second", 0), compared("events/s", 0), shown("peak MiB", 0)];

/// TCP in, TLS out, with nobody at the page and with a hundred who look at the overview.
pub fn pages(plan: &Plan) -> Result<String> {
    let mut text = format!(
        "### {PAGES} open pages\n\nTCP in, TLS out; each page is a curl on the same machine to which the box pushes the overview every two seconds inside TLS.\n\n"
    );
    let run = |subject| {
        let watch = |collector: &Collector| {
            if subject == Subject::OursWatched { Watchers::open(&plan.bench, collector).map(Some) } else { Ok(None) }
        };
        let all = flow::watched(plan, subject, plan.events * LONGER, Protocol::Syslog, Duration::ZERO, watch)?;
        Ok(all.into_iter().take(COLUMNS.len()).collect())
    };
    text += &Series::run("pages", plan.rounds, &COLUMNS, &[Subject::OursWatched, Subject::Ours], run).markdown();
    Ok(text)
}

/// Those who look; they go when this is dropped.
#[derive(Debug)]
pub struct Watchers(Vec<Child>);

impl Watchers {
    fn open(bench: &Bench, collector: &Collector) -> Result<Self> {
        let (folder, page) = (collector.folder(), collector.page.context("no page was asked for")?);
        let mut code = None;
        // It is made when the page first starts.
        wait_until(OPEN, || {
            code = claim_code(bench, folder);
            code.is_some()
        });
        let code = code.context("no claim code")?;
        let mut claim = curl(folder);
        for field in [&format!("code={code}"), "name=ada", "password=four words make one", "again=four words make one"]
        {
            claim.args(["--data-urlencode", field]);
        }
        if !claim.arg(format!("https://{page}/claim")).stdout(Stdio::null()).status()?.success() {
            bail!("the page was not claimed");
        }
        let mut watchers = Self(Vec::new());
        let file = |number: usize| folder.join(format!("watch-{number}"));
        for number in 0..PAGES {
            let mut watch = curl(folder);
            watch.arg("--no-buffer").arg("--output").arg(file(number)).arg(format!("https://{page}/events"));
            watchers.0.push(watch.spawn()?);
        }
        let is_shown = |number| file(number).metadata().is_ok_and(|file| file.len() > 0);
        if !wait_until(OPEN, || (0..PAGES).all(is_shown)) {
            bail!("{} of {PAGES} pages were shown", (0..PAGES).filter(|number| is_shown(*number)).count());
        }
        Ok(watchers)
    }
}

fn claim_code(bench: &Bench, folder: &Path) -> Option<String> {
    let said = Command::new(&bench.program).arg("claim").arg("--config").arg(folder.join("settings")).output().ok()?;
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    said.lines().find_map(|line| line.strip_prefix("claim code")).map(|code| code.trim().to_owned())
}

fn curl(folder: &Path) -> Command {
    let jar = folder.join("jar");
    let mut curl = Command::new("curl");
    curl.args(["--silent", "--insecure", "--cookie"]).arg(&jar).arg("--cookie-jar").arg(&jar);
    curl
}

impl Drop for Watchers {
    fn drop(&mut self) {
        for watcher in &mut self.0 {
            let _ = watcher.kill();
            let _ = watcher.wait();
        }
    }
}
