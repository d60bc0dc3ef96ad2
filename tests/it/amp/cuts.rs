//! A connection that dies at every byte.

use super::{all_arrived, reads_a_stream, whole};
use crate::peers::amp::{Amp, event, now};
use crate::peers::appliance::{Appliance, until};

/// Bytes from one cut to the next: each in `--full`, where `AMP_CUTS` is 1.
fn step() -> usize {
    std::env::var("AMP_CUTS").map_or(29, |text| text.parse().unwrap())
}

#[test]
fn a_stream_that_dies_at_every_byte_loses_nothing() {
    let Some(double) = Amp::start() else { return };
    let soon = whole(&double, "")
        .replace("backoff_max = \"200ms\"", "backoff_max = \"20ms\"")
        // It never comes to asking instead.
        .replace("poll_interval = \"1s\"", "poll_interval = \"1h\"");
    let edge = Appliance::start(&soon);
    reads_a_stream(&edge);
    // TLS handshake, login, and some events: about so much comes from the broker.
    double.relay.cut_after((1..6_000).step_by(step()));
    double.relay.cut();
    let mut number = 0;
    // However many they are, some hundred do not take long.
    for left in (0..6_000).step_by(300).rev() {
        until("the next cuts", || {
            // A queue that holds a few, so that a connection that gets so far has something to deliver.
            double.happen((0..3).map(|more| event(number + more, now())));
            number += 3;
            std::thread::park_timeout(std::time::Duration::from_millis(10));
            (double.relay.left() <= left).then_some(())
        });
    }
    double.happen([event(number, now())]);
    all_arrived(&double, &edge);
    let queue = double.queue();
    until("everything acknowledged", || (double.broker.look(&queue) == Some((0, 1))).then_some(()));
    println!("amp cuts: {} connections, {number} events", double.relay.connections());
    assert_eq!(double.state().sins, Vec::<String>::new());
    edge.stop();
}
