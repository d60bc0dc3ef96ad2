//! SIGHUP: the settings are read again, and only what changed is stopped and started.

use tokio::time::Instant;

use super::life::{Life, beating};
use super::parts::{output_key, source_key, update_key};
use super::supervise::Key;
use super::{Host, parts, systemd};
use crate::config::{Config, ConfigError};
use crate::output;
use crate::source;
use crate::status::{Component, Health};

/// What has to be done to go from one settings file to the next.
#[derive(Debug, Default)]
struct Plan {
    /// To be stopped: changed or gone.
    stop: Vec<Key>,
    /// Gone for good: their lines leave the board.
    gone: Vec<Key>,
    sources: Vec<source::Config>,
    outputs: Vec<output::Config>,
    /// What sees to updates has to be started.
    update: bool,
    /// Keys that are only looked at when the program starts.
    later: Vec<&'static str>,
}

/// Reads the settings again and follows them. A bad file changes nothing and shows why.
pub(super) async fn reload(life: &mut Life) {
    let Host::Process { settings, .. } = &life.host else { return };
    let file = settings.clone();
    tracing::info!(file = %file.display(), "reading the settings again");
    systemd::reloading();
    let line = life.parts.board.handle(Component::Box, "settings");
    let read = tokio::task::spawn_blocking(move || Config::check(&file)).await;
    match read {
        Ok(Ok(new)) => {
            let later = follow(life, new).await;
            line.set(later_health(&later));
            // Ready again when the new sources have taken up their work.
            return;
        }
        Ok(Err(error)) => {
            tracing::error!(%error, "the settings are wrong; the old ones stay in force");
            line.set(refused(&error));
        }
        Err(error) => tracing::error!(%error, "reading the settings panicked; the old ones stay in force"),
    }
    systemd::ready();
}

fn refused(error: &ConfigError) -> Health {
    let what = format!("the settings file is wrong, the old settings stay in force: {}", error.headline());
    Health::degraded(what, "mend the file and reload; `sapphire-edge check` shows all that is wrong")
}

/// How the settings are when these keys of them need a restart.
pub(super) fn later_health(later: &[&str]) -> Health {
    if later.is_empty() {
        return Health::Healthy;
    }
    Health::degraded(
        format!("{} changed, which takes effect at the next start", later.join(", ")),
        "restart the program",
    )
}

/// Stops what changed or went, starts what changed or came. Returns the keys that need a restart.
async fn follow(life: &mut Life, new: Config) -> Vec<&'static str> {
    let name = parts::box_name(&new);
    let plan = plan(&life.config, &new, name != life.name);
    // What takes effect later stays as it is, and is compared with what is in force, however often the file changes.
    let new = Config { state_dir: life.config.state_dir.clone(), queue: life.config.queue.clone(), ..new };
    let deadline = Instant::now() + life.config.grace.0;
    let pulse = life.pulse.clone();
    let cut = beating(&pulse, life.supervisor.stop(|key| plan.stop.contains(key), deadline)).await;
    for key in cut {
        tracing::warn!(component = %key, "did not stop within the grace period and was cut off");
    }
    plan.gone.iter().for_each(|key| life.parts.board.remove(key.component, &key.id));
    life.hearth.set_outputs(&new);
    life.parts.set_readings(&new);
    for output in &plan.outputs {
        life.parts.start_output(&mut life.supervisor, output, &life.hearth, &name);
    }
    for source in &plan.sources {
        life.parts.start_source(&mut life.supervisor, source, &life.hearth);
    }
    if plan.update {
        life.parts.start_update(&mut life.supervisor, &new);
    }
    life.orders.follow(&new);
    if let Host::Process { set_level, .. } = &life.host
        && new.log != life.config.log
    {
        set_level(new.log.level);
    }
    let (stopped, started) = (plan.stop.len(), plan.sources.len() + plan.outputs.len());
    tracing::info!(stopped, started, "the new settings are in force");
    life.settling = true;
    life.name = name;
    life.config = new;
    plan.later
}

fn plan(old: &Config, new: &Config, renamed: bool) -> Plan {
    let mut plan = Plan::default();
    for source in &old.source {
        let key = source_key(source);
        let now = new.source.iter().find(|other| other.id() == source.id());
        if now != Some(source) {
            plan.stop.push(key.clone());
            plan.gone.extend(now.is_none().then_some(key));
        }
    }
    for output in &old.output {
        let key = output_key(output);
        let now = new.output.iter().find(|other| other.id() == output.id());
        if now != Some(output) || renamed {
            plan.stop.push(key.clone());
            plan.gone.extend(now.is_none().then_some(key));
        }
    }
    plan.sources.extend(new.source.iter().filter(|source| !old.source.contains(source)).cloned());
    plan.outputs.extend(new.output.iter().filter(|output| renamed || !old.output.contains(output)).cloned());
    // It asks the doors of the box whether they answer.
    if old.update != new.update || old.web != new.web || old.control_socket() != new.control_socket() {
        plan.stop.push(update_key());
        plan.update = true;
    }
    plan.later = later(old, new);
    plan
}

/// The keys that are only looked at when the program starts, and are others now.
pub(super) fn later(old: &Config, new: &Config) -> Vec<&'static str> {
    let changed = [("state_dir", old.state_dir != new.state_dir), ("[queue]", old.queue != new.queue)];
    changed.into_iter().filter(|(_, is_changed)| *is_changed).map(|(key, _)| key).collect()
}
