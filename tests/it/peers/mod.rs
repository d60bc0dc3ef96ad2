//! The far ends that our program talks to, each speaking its real protocol over a real socket, and the program itself
//! as they see it.
//!
//! Two kinds. Real peers are other people's programs (rsyslog, loggen, pylogbeat and more), which `tests/run` installs;
//! a test fails if one is missing, or says so and passes where `SKIP_PEERS=1`. Doubles are ours, because no real peer
//! misbehaves on command; what they know of Lumberjack is written again in `lumberjack`, so that a mistake of `wire`
//! cannot agree with itself.

/// A Beats agent that does what the test tells it.
pub mod agent;
/// Cisco Secure Endpoint.
pub mod amp;
/// The program under test.
pub mod appliance;
/// moto: S3 and SQS.
pub mod aws;
/// What a gateway holds against what was sent.
pub mod balance;
/// Certificates of a CA made on the spot.
pub mod certificates;
/// CrowdStrike Falcon's event streams.
pub mod crowdstrike;
/// Duo's Admin API.
pub mod duo;
/// An enrolment server (EST).
pub mod est;
/// An Azure Event Hubs namespace.
pub mod event_hub;
/// A Beats agent that sends again what was not acknowledged.
pub mod flood;
/// A Lumberjack gateway that does what the test tells it.
pub mod gateway;
/// An HTTPS server whose answers a test writes.
pub mod https;
/// A board's lights, and who drives them.
pub mod lights;
/// Lumberjack version 2 as the doubles speak it.
pub mod lumberjack;
/// Microsoft's clouds.
pub mod microsoft;
/// Mosquitto, broker and subscriber.
pub mod mosquitto;
/// Files of a test in place of the machine's own.
pub mod place;
/// What the kernel says of a process.
pub mod process;
/// Other people's programs: where they are, and running them.
pub mod program;
/// An HTTP proxy.
pub mod proxy;
/// RAUC on a bus of its own.
pub mod rauc;
/// rsyslog as sender and as receiver.
pub mod rsyslog;
/// S3.
pub mod s3;
/// Plain senders of syslog.
pub mod sender;
/// A gateway that serves by itself while the test does other things.
pub mod service;
/// A server of files.
pub mod site;
/// Devices that push files over SSH.
pub mod ssh;
/// A terminal, and a phone that reads its code.
pub mod tmux;

use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

/// Whatever a test waits for comes within this, even on a machine that is busy with other things.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// Waits until `probe` gives a value.
pub fn until<T>(what: &str, probe: impl FnMut() -> Option<T>) -> T {
    try_until(probe).unwrap_or_else(|| panic!("waited in vain: {what}"))
}

/// As [`until`]; `None` where it never does.
pub fn try_until<T>(mut probe: impl FnMut() -> Option<T>) -> Option<T> {
    let begin = sapphire_edge::clock::monotonic();
    while begin.elapsed() < PATIENCE {
        if let Some(value) = probe() {
            return Some(value);
        }
        std::thread::park_timeout(Duration::from_millis(5));
    }
    None
}

/// An address for a program that has to come back at the same one after a restart.
///
/// Not from the range out of which the kernel gives ports to those who ask for any (32768 and up), so that nobody takes
/// it meanwhile.
pub fn free_address() -> SocketAddr {
    loop {
        let address = SocketAddr::from(([127, 0, 0, 1], rand::random_range(20_000..32_000)));
        if TcpListener::bind(address).is_ok() {
            return address;
        }
    }
}
