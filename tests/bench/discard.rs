//! Our Lumberjack listener with a queue that delivers everything at once to nobody: what the listener alone can do.
//!
//! The same source, the same queue, no disk: an output that acknowledges each batch the moment it has it, so that the batch
//! is settled and its write spared.

use std::path::Path;

use anyhow::Result;
use sapphire_edge::clock::Clock;
use sapphire_edge::event::{OutputId, Teller};
use sapphire_edge::net::Sockets;
use sapphire_edge::queue::{Config, OutputRule, Queue};
use sapphire_edge::source::{self, Context};
use sapphire_edge::status::{Board, Component};
use tokio_util::sync::CancellationToken;

use super::certs::HOST;

/// Runs until the process is told to end.
pub fn run(port: u16, state: &Path, cert: &str, key: &str) -> Result<()> {
    std::fs::create_dir_all(state)?;
    let board = Board::new(Clock::System);
    let output = OutputId::from("discard");
    let rule = OutputRule { id: output.clone(), may_skip: false, acknowledges: true };
    let queue = Queue::open(state, &Config::default(), &[rule], board.handle(Component::Queue, "queue"))?;
    let settings = format!(
        "type = \"lumberjack\"\nid = \"bench\"\nlisten = [\"tls://{HOST}:{port}\"]\n[tls]\ncert = \"{cert}\"\nkey = \"{key}\""
    );
    let config: source::Config = toml::from_str(&settings)?;
    let context = Context {
        intake: queue.intake(),
        stop: CancellationToken::new(),
        status: board.handle(Component::Source, "bench"),
        clock: Clock::System,
        sockets: Sockets::default(),
        state_dir: state.to_owned(),
        teller: Teller::new().0,
    };
    let reader = queue.reader(&output);
    let discard = async {
        while let Ok(delivery) = reader.next().await {
            delivery.ack();
        }
    };
    tokio::runtime::Runtime::new()?.block_on(async {
        tokio::select! {
            ended = source::run(config, context) => ended?,
            () = discard => {}
        }
        Ok(())
    })
}
