//! Our Lumberjack output against our Lumberjack source: one box sends to another.

use sapphire_edge::net::tls::ServerConfig;
use sapphire_edge::quantity::Size;
use sapphire_edge::status::Count;

use crate::peers::certificates::Authority;
use crate::peers::gateway::server;
use crate::rig::{Output, Source, many, soon, texts};

fn listen(config: &ServerConfig) -> String {
    format!(
        "listen = [\"tls://127.0.0.1:0\"]\nkeepalive = \"50ms\"\n[tls]\ncert = {:?}\nkey = {:?}",
        config.cert, config.key
    )
}

#[tokio::test]
async fn every_event_goes_through_two_boxes_under_its_first_id() {
    let authority = Authority::new();
    let settings = listen(&server(&authority.identity("127.0.0.1")));
    let source = Source::start(&settings, Size::gib(8)).await;
    for compression in [0, 1, 3, 9] {
        let output = Output::start(&format!(
            "type = \"lumberjack\"\nendpoint = [\"{}\"]\ncompression = {compression}\nwindow = 700\ntls.ca = {:?}",
            source.address,
            authority.ca()
        ));
        let ticket = output.intake.submit(many(5_000)).await.unwrap();
        let mut got = Vec::new();
        while got.len() < 5_000 {
            let delivery = soon(source.reader.next()).await.unwrap();
            got.extend(texts(&delivery));
            delivery.ack();
        }
        soon(ticket.settled()).await.unwrap();
        assert_eq!(got.len(), 5_000);
        for (number, (id, text)) in got.iter().enumerate() {
            let event: serde_json::Value = serde_json::from_str(text).unwrap();
            assert!(event["message"].as_str().unwrap().ends_with(&format!(": event {number}")));
            assert_eq!(event["@metadata"]["_id"].as_str(), id.as_deref());
            assert!(id.as_ref().unwrap().ends_with(&format!("-1-{number:x}")));
        }
        assert_eq!(output.count(Count::RepeatedEvents), 0);
        output.stop().await;
    }
    assert_eq!((source.count(Count::ProtocolErrors), source.count(Count::BrokenConnections)), (0, 0));
    source.stop().await;
}

#[tokio::test]
async fn a_far_box_that_cannot_settle_keeps_the_near_one_waiting_and_alive() {
    let source = Source::plain("keepalive = \"20ms\"").await;
    let output = Output::start(&format!(
        "type = \"lumberjack\"\ntransport = \"tcp\"\nack_timeout = \"200ms\"\nendpoint = [\"{}\"]",
        source.address
    ));
    let ticket = output.intake.submit(many(10)).await.unwrap();
    let delivery = soon(source.reader.next()).await.unwrap();
    // Longer than the near box would bear silence.
    let early = tokio::time::timeout(std::time::Duration::from_millis(600), ticket.settled()).await;
    assert!(early.is_err());
    assert_eq!(output.count(Count::BrokenConnections), 0);
    delivery.ack();
    output.counted(Count::DeliveredEvents, 10).await;
    assert_eq!(output.count(Count::RepeatedEvents), 0);
    output.stop().await;
    source.stop().await;
}
