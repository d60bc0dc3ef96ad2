//! What a person types: arguments, help texts, and what the commands print.
//!
//! Floor 8. Results go to standard output, everything else to standard error. Exit codes: 0 it worked, 1 it did not, 2 the
//! command line is wrong.

mod apply;
mod check;
mod claim;
mod console;
mod demo;
mod fleet;
mod import;
mod ledger;
mod lights;
mod log;
mod passphrase;
mod queue;
mod reset;
mod run;
mod settings;
mod source;
mod ssh;
mod status;
mod stick;
mod support;
mod survey;
mod table;
mod tap;
mod update;

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::config::Config;

/// Where the image keeps the settings.
const SETTINGS: &str = "/etc/sapphire-edge/settings.toml";
/// Who asks, in the log and in events.
const BY: &str = "somebody on the box";

/// Gets security logs from this site to the gateway, and loses none.
///
/// Takes events in by syslog and Beats, keeps them on disk, and forwards them over TLS until the gateway has acknowledged
/// them.
#[derive(Debug, Parser)]
#[command(name = "sapphire-edge", version, max_term_width = 100)]
#[command(after_help = "Exit codes: 0 it worked, 1 it did not, 2 the command line is wrong.")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the appliance until it is told to stop.
    ///
    /// SIGHUP reads the settings again: what did not change keeps its connections, and a file with an error changes nothing.
    /// SIGTERM and SIGINT stop it within the grace period of the settings; a second one does not wait for that.
    Run(Settings),

    /// Check a settings file, with the certificates and keys it names.
    ///
    /// Changes nothing and opens no connection. Every error says file, line, column and key, what is wrong, and what to write
    /// instead.
    Check(Settings),

    /// Take network, time, host name and firewall of the settings into use.
    ///
    /// Needs root, and runs by itself at boot and whenever the settings file changes. Closes every port that nothing in the
    /// settings listens on. If anything is wrong, in the file or with the machine, everything stays as it was.
    Apply(apply::Options),

    /// Show on the board's lights how the running appliance is, until told to stop.
    ///
    /// A process of its own, so that a program that hangs or has ended is a fault that the lights show. Follows the settings
    /// file; without [hw] it leaves the lights alone. Needs write access to /sys/class/leds, and to the control socket.
    Lights(lights::Options),

    /// Show the screen of the HDMI port on this terminal: how the box is, the claim code, and what can be done before it.
    ///
    /// A process of its own, so that a program that hangs or has ended is a fault that the screen shows. Sets a network card's
    /// addresses, restarts the box or the program, and makes the box as new, unless [screen] forbids it; the program does that, and
    /// tells of it.
    Console(console::Options),

    /// Make the box as new, if a factory reset was asked for.
    ///
    /// Needs root, and runs by itself at boot, before anything uses the state folder. Removes all that is in it but what root keeps in
    /// `system`. If the power goes meanwhile the next boot goes on.
    Reset(reset::Options),

    /// Print the JSON Schema of the settings file, for editors.
    Schema,

    /// Show how the running appliance is.
    ///
    /// One line per source, queue and output with its health and numbers, then every fault with what to do about it. Exits
    /// with 1 when something has failed or no appliance runs.
    Status(status::Options),

    /// Show events as they come in, a line of JSON each, until interrupted.
    ///
    /// Shows what is taken in from now on, as it is forwarded. Looking on never slows the appliance down: what this
    /// command cannot take in time is passed over, and it says so.
    Tap(tap::Options),

    /// Change the settings of the running appliance, with a way back.
    #[command(subcommand)]
    Settings(settings::Command),

    /// Make this box one of a site's: take name, gateways and first sources from an enrolment file.
    ///
    /// The file is TOML: form = 1, gateway = ["gw1.example.net:5044"], and where wanted name, ca (PEM) and settings (TOML text
    /// with sources). What the box has already stays. It is applied like `settings apply`.
    Enrol(settings::Enrolment),

    /// Look for an enrolment file on a USB stick (sapphire-edge.toml), and have the running appliance take it.
    ///
    /// Needs root, and runs by itself when a stick is plugged in. What became of the file is written beside it
    /// (sapphire-edge-result.txt), and the lights show it. Takes only what is signed with a key of [enrolment] keys; where there is no
    /// such key, a box that nobody has claimed and that has no output takes any.
    Stick(stick::Options),

    /// Show what became of each source's events: received, delivered, queued, dropped.
    ///
    /// Whatever was received is delivered, queued, or dropped for a reason: exits with 1 if it does not balance. Asks the
    /// running appliance, which knows what is in memory too; with --offline counts the events in the queue's files and holds
    /// its stored totals against them.
    Ledger(ledger::Options),

    /// Show the code that claims a new box on its page, and the fingerprint of the page's certificate.
    ///
    /// Reads the state folder: works while the appliance runs and when it does not, as root or as its user.
    Claim(Settings),

    /// Show the host keys for devices that push files, as fingerprints and as lines of known_hosts, and what they pushed.
    ///
    /// Reads the state folder: works while the appliance runs and when it does not.
    Ssh(Settings),
    /// Ask the vendor of a source, with the settings as they are; or restart a source.
    #[command(subcommand)]
    Source(source::Command),

    /// Make settings of another program's.
    #[command(subcommand)]
    Import(import::Command),

    /// Show, look for and install updates of the firmware.
    #[command(subcommand)]
    Update(update::Command),

    /// Write all that somebody needs who looks for a fault from afar into one file (.tar.gz), without secrets.
    ///
    /// Status, ledger, settings, versions, the last lines of the log, the audit log, disk and network; also when the appliance
    /// does not run. To be run as root or as the program's user: what is secret has to be known to be kept out.
    Support(support::Options),

    /// Show how the channel to the fleet's operator is, and what is said on it.
    #[command(subcommand)]
    Fleet(fleet::Command),

    /// Look into the queue's files, check them, take events out, mend them.
    #[command(subcommand)]
    Queue(queue::Command),

    /// Play the whole way on this machine: a box, a gateway, a busy site, and an outage in between.
    ///
    /// Needs no root and no settings; everything listens on 127.0.0.1. Thousands of different events a second come in over
    /// UDP, TCP and TLS; the gateway is cut off until 50,000 wait on the disk, and comes back. In the end the gateway's
    /// file is read event by event: exits with 0 only if it holds every event that was sent, by id and by content, none
    /// dropped, none invented, and repeats only under their own id. Without --for it then stays up and says where to send
    /// your own syslog.
    Demo(demo::Options),
}

#[derive(Args, Debug)]
struct Settings {
    /// The settings file.
    #[arg(long, short, value_name = "FILE", default_value = SETTINGS)]
    config: PathBuf,
}

/// Which running appliance is asked.
#[derive(Args, Debug)]
struct Where {
    /// The settings file of the running appliance: names its control socket.
    #[arg(long, short, value_name = "FILE", default_value = SETTINGS)]
    config: PathBuf,
    /// Its control socket, if it is not the one of the settings.
    #[arg(long, value_name = "PATH", conflicts_with = "config")]
    socket: Option<PathBuf>,
}

impl Where {
    fn socket(&self) -> PathBuf {
        self.socket.clone().unwrap_or_else(|| Config::control_socket_of(&self.config))
    }
}

/// Does what the command line says.
#[must_use]
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Also `--help` and `--version`, which are no errors. Without a terminal there is nobody to tell.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    let done = match cli.command {
        Command::Run(settings) => run::run(&settings.config),
        Command::Check(settings) => check::check(&settings.config),
        Command::Apply(options) => apply::apply(&options),
        Command::Lights(options) => lights::lights(&options),
        Command::Console(options) => console::console(&options),
        Command::Reset(options) => reset::reset(&options),
        Command::Schema => check::schema(),
        Command::Status(options) => status::status(&options),
        Command::Tap(options) => tap::tap(&options),
        Command::Settings(command) => settings::settings(&command),
        Command::Enrol(enrolment) => settings::enrol(&enrolment),
        Command::Stick(options) => stick::stick(&options),
        Command::Ledger(options) => ledger::ledger(&options),
        Command::Claim(settings) => claim::claim(&settings),
        Command::Ssh(settings) => ssh::ssh(&settings),
        Command::Source(command) => source::source(&command),
        Command::Import(command) => import::import(&command),
        Command::Update(command) => update::update(command),
        Command::Support(options) => support::support(&options),
        Command::Fleet(command) => fleet::fleet(&command),
        Command::Queue(command) => queue::queue(&command),
        Command::Demo(options) => demo::demo(options),
    };
    match done {
        Ok(code) => code,
        // Whoever read our output has seen enough.
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let io = error.downcast_ref::<io::Error>();
    io.is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

/// A runtime for a command that only asks.
fn small_runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_current_thread().enable_all().build()?)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_well_formed_and_every_command_has_help() {
        Cli::command().debug_assert();
        for command in Cli::command().get_subcommands() {
            assert!(command.get_about().is_some(), "{}", command.get_name());
        }
    }
}
