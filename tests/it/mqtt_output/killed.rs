//! The broker or the box is killed in the middle: every event arrives, and what comes twice has one id.

use sapphire_edge::status::Count;

use super::ALL;
use crate::peers::appliance::Appliance;
use crate::peers::balance::{balance, balance_beside};
use crate::peers::flood::{Flood, WINDOW};
use crate::peers::mosquitto::{Broker, Message};
use crate::peers::{free_address, until};
use crate::rig::{Output, batch, numbered};

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_is_killed_again_and_again_gets_every_event() {
    let Some(mut broker) = Broker::start("") else { return };
    let subscriber = broker.subscribe_for_kills(ALL);
    let output = Output::start(&format!("{}payload = \"single\"\nin_flight = 20\n", broker.settings()));
    let (rounds, each) = (4, 2_000);
    for round in 0..rounds {
        let texts = numbered(round * each..(round + 1) * each);
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        for some in texts.chunks(100) {
            output.intake.submit(batch(some)).await.unwrap();
        }
        let part = (round * each + each / 4) as u64;
        assert!(crate::rig::until(|| output.count(Count::DeliveredEvents) >= part).await);
        broker.kill();
        output.health("failed", "").await;
        let times = subscriber.times_subscribed();
        broker.restart("");
        until("mosquitto_sub comes back", || (subscriber.times_subscribed() > times).then_some(()));
    }
    output.counted(Count::DeliveredEvents, (rounds * each) as u64).await;
    let sent = numbered(0..rounds * each);
    let events = subscriber.wait_for(&sent);
    let repeats = balance(&sent, &events).repeats;
    assert!(repeats as u64 <= output.count(Count::RepeatedEvents), "{repeats}");
    output.health("healthy", "").await;
    output.stop().await;
}

#[test]
fn a_box_that_is_killed_again_and_again_keeps_all_that_it_answered_for() {
    let Some(broker) = Broker::start("") else { return };
    let subscriber = broker.subscribe(ALL);
    let address = free_address();
    let mut edge = Appliance::start(&format!(
        "name = \"edge-1\"\n[[source]]\nid = \"beats\"\ntype = \"lumberjack\"\nlisten = [\"tcp://{address}\"]\n\
         [[output]]\nid = \"bus\"\n{}",
        broker.settings()
    ));
    let flood = Flood::start(address, |number| format!("event {number}"));
    for _ in 0..4 {
        flood.more(1_000);
        edge.kill();
        edge.restart();
    }
    flood.more(1_000);
    let acked = flood.end();
    subscriber.wait_for(&acked);
    // The box tells of each end by force as an event of its own, under another topic.
    let messages = subscriber.messages();
    let ours = messages.iter().filter(|message| message.topic == "sapphire/edge-1/beats");
    let events: Vec<_> = ours.flat_map(Message::events).collect();
    let balance = balance_beside(WINDOW, &acked, &events);
    assert!(balance.ids.iter().all(|(text, id)| *id == format!("agent-{}", text.strip_prefix("event ").unwrap())));
    edge.stop();
}
