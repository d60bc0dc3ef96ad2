//! Sapphire Edge beside other collectors: the same load, the same receiver, the same bytes, on one machine in one run.
//!
//! `tests/bench/run` prints a table for the README. Nothing here asserts: a figure is a figure. Every collector is a process
//! of its own; CPU time, memory and disk are what the kernel says about that process. Generator, receiver and delay are
//! threads of this one, made so cheap that they are not the limit; the first table says how far they are from it.

#![allow(
    clippy::disallowed_methods,
    reason = "paces itself by the machine's clock, on threads of its own; measures real time"
)]
#![allow(clippy::indexing_slicing, reason = "a wrong index ends a measurement, not the appliance")]
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "what it is for")]

mod beats;
mod certs;
mod collector;
mod delay;
mod discard;
mod limits;
mod lines;
mod measure;
mod parse;
mod paths;
mod peers;
mod receiver;
mod report;
mod send;

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use clap::{Parser, Subcommand, ValueEnum};

use self::certs::Certs;
use self::collector::Bench;
use self::paths::Plan;

/// Measures Sapphire Edge beside rsyslog, syslog-ng and sshd, and prints a table.
#[derive(Debug, Parser)]
struct Options {
    /// Alternating paired runs of each path.
    #[arg(short = 'n', long, default_value_t = 5)]
    rounds: usize,
    /// One short run of each path: shows that it works, measures little.
    #[arg(long)]
    quick: bool,
    /// Only these paths.
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Path>,
    /// Events of a run over TCP.
    #[arg(long, default_value_t = 2_000_000)]
    events: u64,
    /// Only our own figures.
    #[arg(long)]
    alone: bool,
    /// Print CPU seconds by thread name after each run.
    #[arg(long)]
    threads: bool,
    /// Lines of 680 bytes, as of a Sophos firewall, in place of 282.
    #[arg(long)]
    long: bool,
    /// Our program.
    #[arg(long, default_value = env!("CARGO_BIN_EXE_sapphire-edge"))]
    program: PathBuf,
    /// Where syslog-ng was unpacked.
    #[arg(long, default_value = "target/peers")]
    peers: PathBuf,
    /// For queues; should be on a real disk.
    #[arg(long, default_value = "target/bench")]
    folder: PathBuf,
    /// A library that makes each sync take 10 ms.
    #[arg(long)]
    slow_sync: Option<PathBuf>,
    /// Given by cargo.
    #[arg(long, hide = true)]
    bench: bool,
    #[command(subcommand)]
    command: Option<Command>,
}

/// A way through the collector.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Path {
    /// What the generators and receivers can do.
    Limits,
    /// TCP in, TLS out.
    Tcp,
    /// The same, with the receiver 40 and 150 ms away.
    Far,
    /// UDP in, TLS out.
    Udp,
    /// TCP in, the receiver gone; then drained.
    Gone,
    /// Lumberjack in, acknowledged when settled.
    Beats,
    /// A day's load: what goes to the disk while the receiver is there.
    Steady,
    /// From socket to receiver.
    Latency,
    /// Files over SSH, beside OpenSSH's server.
    Push,
    /// The load of `tcp` with a hundred pages open.
    Pages,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Our Lumberjack listener, throwing events away.
    #[command(hide = true)]
    Discard { port: u16, state: PathBuf, cert: String, key: String },
}

fn main() -> Result<()> {
    let options = Options::parse();
    if let Some(Command::Discard { port, state, cert, key }) = &options.command {
        return discard::run(*port, state, cert, key);
    }
    measure::now();
    std::fs::create_dir_all(&options.folder).context("making the folder for queues")?;
    let folder = tempfile::TempDir::new_in(std::fs::canonicalize(&options.folder)?)?;
    let bench = Bench {
        certs: Certs::make(folder.path())?,
        program: options.program.clone(),
        peers: options.peers.clone(),
        folder: folder.path().to_owned(),
        preload: None,
        show_threads: options.threads,
    };
    let plan = Plan::new(
        bench,
        if options.quick { 1 } else { options.rounds },
        if options.quick { options.events.min(200_000) } else { options.events },
        options.alone,
        if options.long { lines::Mix::Long } else { lines::Mix::Short },
    );
    let wanted = |path| options.only.is_empty() || options.only.contains(&path);
    println!("Measured on {}.\n", report::machine());
    println!("{}\n", plan.about());
    for path in Path::value_variants().iter().filter(|path| wanted(**path)) {
        let text = match path {
            Path::Limits => limits::limits(&plan)?,
            Path::Tcp => paths::tcp(&plan)?,
            Path::Far => paths::far(&plan)?,
            Path::Udp => paths::udp(&plan)?,
            Path::Gone => paths::gone(&plan, options.slow_sync.as_ref())?,
            Path::Beats => paths::beats(&plan)?,
            Path::Steady => paths::steady(&plan)?,
            Path::Latency => paths::latency(&plan)?,
            Path::Push => paths::push(&plan)?,
            Path::Pages => paths::pages(&plan)?,
        };
        println!("{text}");
    }
    Ok(())
}
