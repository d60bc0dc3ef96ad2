//! The MQTT output against Mosquitto, with TLS, a password and an access list.

/// Killed in the middle: the broker, the box.
mod killed;
/// What the broker refuses.
mod refused;

use sapphire_edge::status::{Cause, Count};

use crate::peers::balance::balance;
use crate::peers::mosquitto::Broker;
use crate::peers::until;
use crate::proxy::tinyproxy;
use crate::rig::{Output, many, numbered, soon};

/// All topics, among which the box's are.
const ALL: &str = "sapphire/#";

#[tokio::test(flavor = "multi_thread")]
async fn events_arrive_in_batches_and_settle_when_the_broker_has_them() {
    let Some(broker) = Broker::start("") else { return };
    let subscriber = broker.subscribe(ALL);
    let output = Output::start(&format!("{}batch_events = 300\n", broker.settings()));
    // The queue would flush after a minute: only a delivery settles.
    let ticket = output.intake.submit(many(3_000)).await.unwrap();
    soon(ticket.settled()).await.unwrap();
    output.counted(Count::DeliveredEvents, 3_000).await;
    let events = subscriber.wait_for(&numbered(0..3_000));
    assert_eq!(events.len(), 3_000);
    assert_eq!(balance(&numbered(0..3_000), &events).repeats, 0);
    let texts: Vec<_> = events.iter().map(|event| event.message().to_owned()).collect();
    assert_eq!(texts, numbered(0..3_000), "in order");
    let messages = subscriber.messages();
    assert!(messages.len() >= 10 && messages.len() < 100, "{}", messages.len());
    for message in &messages {
        assert_eq!(
            (message.topic.as_str(), message.content_type.as_str()),
            ("sapphire/edge-1/fw", "application/x-ndjson")
        );
        assert!(message.payload.ends_with("}\n") && message.events().len() <= 300);
    }
    output.health("healthy", "").await;
    assert_eq!((output.unacked(), output.count(Count::RepeatedEvents)), (0, 0));
    assert!(output.count(Count::SentBytes) > 3_000 * 300, "{}", output.count(Count::SentBytes));
    output.stop().await;
    until("it says goodbye", || broker.log().contains("Client edge-1-gw disconnected.").then_some(()));
}

#[tokio::test(flavor = "multi_thread")]
async fn each_event_can_be_a_message_under_a_topic_of_ones_own() {
    let Some(broker) = Broker::start("max_inflight_messages 5\n") else { return };
    broker.allow("user edge\ntopic write logs/#\nuser siem\ntopic read #\n");
    let subscriber = broker.subscribe("logs/#");
    let output =
        Output::start(&format!("{}payload = \"single\"\ntopic = \"logs/{{source}}/by/{{box}}\"\n", broker.settings()));
    output.intake.submit(many(500)).await.unwrap();
    output.counted(Count::DeliveredEvents, 500).await;
    let events = subscriber.wait_for(&numbered(0..500));
    assert_eq!(balance(&numbered(0..500), &events).repeats, 0);
    let messages = subscriber.messages();
    assert_eq!(messages.len(), 500);
    for message in messages {
        assert_eq!((message.topic.as_str(), message.content_type.as_str()), ("logs/fw/by/edge-1", "application/json"));
        assert!(message.payload.starts_with('{') && message.payload.ends_with('}'));
    }
    output.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_certificate_is_enough_where_the_broker_takes_it_for_a_name() {
    let Some(broker) = Broker::start("require_certificate true\nuse_identity_as_username true\n") else { return };
    let ours = broker.authority.identity("edge");
    let subscriber = broker.subscribe(ALL);
    let settings = broker.settings();
    let settings = settings.lines().filter(|line| !line.starts_with("user") && !line.starts_with("password"));
    let settings: String = settings.map(|line| format!("{line}\n")).collect();
    // The broker breaks off when it sees no certificate, which only the first read tells.
    let output = Output::start(&settings);
    let cause = || output.status.health().fault().and_then(|fault| fault.cause);
    assert!(crate::rig::until(|| cause() == Some(Cause::Tls)).await, "{:?}", output.status.health());
    output.stop().await;
    let output = Output::start(&format!("{settings}tls.cert = {:?}\ntls.key = {:?}\n", ours.cert, ours.key));
    output.intake.submit(many(10)).await.unwrap();
    output.counted(Count::DeliveredEvents, 10).await;
    assert_eq!(subscriber.wait_for(&numbered(0..10)).len(), 10);
    output.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_way_leads_through_tinyproxy() {
    let Some(broker) = Broker::start("") else { return };
    let Some((_proxy, proxy)) = tinyproxy(broker.authority.folder(), broker.address()) else { return };
    let subscriber = broker.subscribe(ALL);
    let password = broker.password_file();
    let output = Output::start(&format!(
        "{}proxy = \"{proxy}\"\nproxy_user = \"edge\"\nproxy_password_file = {password:?}\n",
        broker.settings()
    ));
    output.intake.submit(many(1_000)).await.unwrap();
    output.counted(Count::DeliveredEvents, 1_000).await;
    let events = subscriber.wait_for(&numbered(0..1_000));
    assert_eq!(balance(&numbered(0..1_000), &events).repeats, 0);
    let log = std::fs::read_to_string(broker.authority.folder().join("tinyproxy.log")).unwrap();
    assert!(log.contains(&format!("CONNECT {}", broker.address())), "{log}");
    output.stop().await;
}
