//! What a broker refuses is said in words, held, and goes on once a person has mended it.

use std::fs;

use sapphire_edge::status::{Cause, Count, Health};

use super::ALL;
use crate::peers::balance::balance;
use crate::peers::certificates::Authority;
use crate::peers::free_address;
use crate::peers::gateway::Gateway;
use crate::peers::mosquitto::{Broker, LIST, Subscriber};
use crate::rig::{Output, many, numbered, until};

/// Waits for this fault.
async fn fails(output: &Output, what: &str, todo: &str, cause: Cause) {
    let mut last = Health::Starting;
    let is_so = until(|| {
        last = output.status.health();
        last.word() == "failed" && last.fault().is_some_and(|fault| fault.what.contains(what))
    });
    assert!(is_so.await, "{what:?} expected, but {last:?}");
    let fault = last.fault().unwrap();
    assert!(fault.todo.contains(todo) && fault.cause == Some(cause), "{fault:?}");
}

/// Everything that was submitted comes, once.
async fn goes_on(output: Output, subscriber: &Subscriber, count: usize) {
    output.counted(Count::DeliveredEvents, count as u64).await;
    let events = subscriber.wait_for(&numbered(0..count));
    assert_eq!(balance(&numbered(0..count), &events).repeats, 0);
    output.health("healthy", "").await;
    output.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_is_a_wrong_password_until_the_file_is_mended() {
    let Some(broker) = Broker::start("") else { return };
    let subscriber = broker.subscribe(ALL);
    fs::write(broker.password_file(), "open sesame").unwrap();
    let output = Output::start(&broker.settings());
    output.intake.submit(many(100)).await.unwrap();
    fails(&output, "does not let user \"edge\" in", "check user and password_file", Cause::Login).await;
    fs::remove_file(broker.password_file()).unwrap();
    fails(&output, "cannot read the password file", "check the path", Cause::Login).await;
    fs::write(broker.password_file(), "open-sesame\n").unwrap();
    goes_on(output, &subscriber, 100).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_access_list_forbids_waits_until_it_is_allowed() {
    let Some(broker) = Broker::start("") else { return };
    broker.allow("user edge\ntopic write elsewhere\nuser siem\ntopic read #\n");
    let subscriber = broker.subscribe(ALL);
    let output = Output::start(&format!("{}batch_events = 10\n", broker.settings()));
    output.intake.submit(many(1_000)).await.unwrap();
    let what = "does not let user \"edge\" write to \"sapphire/edge-1/fw\"";
    fails(&output, what, "in the broker's access list", Cause::Login).await;
    // It is tried again and again, one message at a time, and the health stays.
    output.counted_at_least(Count::Connections, 5).await;
    output.health("failed", what).await;
    assert_eq!((output.count(Count::DeliveredEvents), subscriber.messages().len()), (0, 0));
    broker.allow(LIST);
    goes_on(output, &subscriber, 1_000).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_has_subscribed_to_waits_unless_that_is_wanted() {
    let Some(broker) = Broker::start("") else { return };
    let output = Output::start(&format!("{}batch_events = 10\n", broker.settings()));
    output.intake.submit(many(200)).await.unwrap();
    let what = "because nobody has subscribed";
    fails(&output, what, "subscribe to this topic", Cause::Unreachable).await;
    assert_eq!(output.count(Count::DeliveredEvents), 0);
    let subscriber = broker.subscribe(ALL);
    goes_on(output, &subscriber, 200).await;
    drop(subscriber);
    let output = Output::start(&format!("{}require_subscriber = false\n", broker.settings()));
    output.intake.submit(many(200)).await.unwrap();
    output.counted(Count::DeliveredEvents, 200).await;
    output.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_of_an_unknown_ca_gets_nothing() {
    let Some(broker) = Broker::start("") else { return };
    let subscriber = broker.subscribe(ALL);
    let other = Authority::new();
    let settings = broker.settings().replace(broker.authority.ca().to_str().unwrap(), other.ca().to_str().unwrap());
    let output = Output::start(&settings);
    output.intake.submit(many(10)).await.unwrap();
    fails(&output, "the certificate of 127.0.0.1", "set tls.ca", Cause::Tls).await;
    assert!(!broker.log().contains("u'edge'"), "no password left for it");
    // Replaced files are taken into use at the next connection.
    fs::copy(broker.authority.ca(), other.ca()).unwrap();
    goes_on(output, &subscriber, 10).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_clients_with_one_id_are_told_of_each_other() {
    let Some(broker) = Broker::start("") else { return };
    let subscriber = broker.subscribe(ALL);
    let output = Output::start(&broker.settings());
    output.intake.submit(many(10)).await.unwrap();
    output.counted(Count::DeliveredEvents, 10).await;
    let other = broker.take_over("edge-1-gw");
    fails(&output, "without a word, soon after it had let us in", "\"edge-1-gw\"", Cause::Unreachable).await;
    drop(other);
    output.submit(&["the last"]).await;
    output.counted(Count::DeliveredEvents, 11).await;
    subscriber.wait_for(&["the last".to_owned()]);
    output.health("healthy", "").await;
    output.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_larger_than_the_broker_takes_waits_for_a_broker_that_takes_it() {
    let Some(mut broker) = Broker::start("max_packet_size 4000\n") else { return };
    let subscriber = broker.subscribe(ALL);
    let output = Output::start(&broker.settings());
    // Many small ones make a batch that is too large: it is cut to what the broker takes.
    output.intake.submit(many(100)).await.unwrap();
    output.counted(Count::DeliveredEvents, 100).await;
    let large = "x".repeat(5_000);
    output.submit(&[&large]).await;
    fails(&output, "takes at most 4000", "raise the broker's max_packet_size", Cause::Protocol).await;
    assert_eq!(output.count(Count::DeliveredEvents), 100);
    // This one does not say what it takes before it refuses it.
    broker.restart("message_size_limit 4000\n");
    fails(&output, "because the packet is too large", "raise the broker's limit", Cause::Protocol).await;
    broker.restart("");
    subscriber.wait_for(&[large]);
    output.counted(Count::DeliveredEvents, 101).await;
    output.health("healthy", "").await;
    output.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_broker_is_told_apart() {
    let Some(broker) = Broker::start("") else { return };
    let nobody = free_address();
    let settings = broker.settings().replace(&broker.address().to_string(), &nobody.to_string());
    let output = Output::start(&settings);
    fails(&output, "refused the connection", "check that the far end is running", Cause::Unreachable).await;
    output.stop().await;
    // TLS where none is spoken.
    let gateway = Gateway::plain().await;
    let settings = broker.settings().replace(&broker.address().to_string(), &gateway.address().to_string());
    let plain = settings.lines().filter(|line| !line.starts_with("tls")).map(|line| format!("{line}\n"));
    let output =
        Output::start(&format!("{}transport = \"tcp\"\nconnect_timeout = \"300ms\"\n", plain.collect::<String>()));
    fails(&output, "has not answered", "check the broker", Cause::Unreachable).await;
    output.stop().await;
}
