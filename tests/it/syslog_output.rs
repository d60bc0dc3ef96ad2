//! The syslog output against a collector of our own.

use std::time::Duration;

use sapphire_edge::event::{BatchBuilder, BatchLimits, Kind, Origin, Record, Transport};
use sapphire_edge::status::Count;

use crate::peers::certificates::Authority;
use crate::peers::gateway::{Connection, Gateway, server};
use crate::rig::{Output, many, soon};

fn start(gateway: &Gateway, settings: &str) -> Output {
    Output::start(&format!(
        "type = \"syslog\"\nbackoff_min = \"10ms\"\nbackoff_max = \"20ms\"\nendpoint = \"{}\"\n{settings}",
        gateway.address()
    ))
}

/// The next frame of RFC 5425.
async fn frame(connection: &mut Connection) -> Vec<u8> {
    let mut length = String::new();
    loop {
        match soon(connection.read_exactly(1)).await[0] {
            b' ' => break,
            digit => length.push(char::from(digit)),
        }
    }
    assert!(!length.starts_with('0'), "{length}");
    soon(connection.read_exactly(length.parse().unwrap())).await
}

async fn text(connection: &mut Connection) -> String {
    String::from_utf8(frame(connection).await).unwrap()
}

#[tokio::test]
async fn original_bytes_arrive_over_tls_as_they_came() {
    let authority = Authority::new();
    let gateway = Gateway::tls(&server(&authority.identity("127.0.0.1"))).await;
    let output = start(&gateway, &format!("tls.ca = {:?}", authority.ca()));
    let mut connection = soon(gateway.accept()).await;
    let texts: [&[u8]; 4] = [b"<13>Mar  5 10:15:30 h a: x", b"no header", b"two\nlines\0and a nul", b"\xff\xfe\x80"];
    let mut builder = BatchBuilder::new("fw".into(), Kind::Syslog, BatchLimits::default());
    let origin = Origin::new(Transport::Udp, None);
    for bytes in texts {
        let received = sapphire_edge::clock::Timestamp(1);
        builder.push(&Record { received, origin: &origin, id: None, cut_from: None, bytes });
    }
    output.intake.submit(builder.seal().unwrap()).await.unwrap();
    for bytes in texts {
        assert_eq!(frame(&mut connection).await, bytes);
    }
    output.counted(Count::DeliveredEvents, 4).await;
    output.health("healthy", "").await;
    output.stop().await;
}

#[tokio::test]
async fn a_rebuilt_header_says_what_was_understood_and_the_id() {
    let gateway = Gateway::plain().await;
    let output = start(&gateway, "transport = \"tcp\"\nformat = \"rfc5424\"");
    let mut connection = soon(gateway.accept()).await;
    output
        .submit(&[
            "<34>Oct 11 22:14:15 fw1 sshd[42]: failed: for root",
            "<165>1 2024-03-05T10:15:30.003Z host-2 app 7 ID9 [x@1 k=\"v\\\"\"][y@2] body",
            "words without any header",
        ])
        .await;
    let one = text(&mut connection).await;
    let ours = "received=\"1970-01-01T00:00:00.000Z\" peer=\"192.0.2.1:514\"]";
    assert!(one.starts_with("<34>1 "), "{one}");
    assert!(one.contains(" fw1 sshd 42 - [sapphire@32473 id=\""), "{one}");
    assert!(one.ends_with(&format!("-1-0\" source=\"fw\" {ours} failed: for root")), "{one}");
    let two = text(&mut connection).await;
    let head = "<165>1 2024-03-05T10:15:30.003Z host-2 app 7 ID9 [x@1 k=\"v\\\"\"][y@2][sapphire@32473 id=\"";
    assert!(two.starts_with(head), "{two}");
    assert!(two.ends_with(&format!("-1-1\" source=\"fw\" {ours} body")), "{two}");
    let three = text(&mut connection).await;
    assert!(three.starts_with("<13>1 1970-01-01T00:00:00.000Z 192.0.2.1 - - - [sapphire@32473 "), "{three}");
    assert!(three.ends_with("] words without any header"), "{three}");
    output.counted(Count::DeliveredEvents, 3).await;
    assert_eq!(output.count(Count::UnparsedEvents), 1);
    output.stop().await;
}

#[tokio::test]
async fn what_is_no_syslog_goes_as_a_message_with_its_json() {
    let gateway = Gateway::plain().await;
    let output = start(&gateway, "transport = \"tcp\"");
    let mut connection = soon(gateway.accept()).await;
    let mut builder = BatchBuilder::new("beats".into(), Kind::Beats, BatchLimits::default());
    let origin = Origin::new(Transport::Tls, None);
    let (received, bytes) = (sapphire_edge::clock::Timestamp(1), br#"{"message":"x"}"#.as_slice());
    builder.push(&Record { received, origin: &origin, id: Some("a\"b]c\\"), cut_from: None, bytes });
    output.intake.submit(builder.seal().unwrap()).await.unwrap();
    let head = "<14>1 1970-01-01T00:00:00.000Z edge-1 beats - - [sapphire@32473 id=\"a\\\"b\\]c\\\\\" source=\"beats\" \
                received=\"1970-01-01T00:00:00.000Z\"] {\"message\":\"x\"}";
    assert_eq!(text(&mut connection).await, head);
    output.stop().await;
}

#[tokio::test]
async fn what_was_on_its_way_when_the_collector_left_comes_again() {
    let gateway = Gateway::plain().await;
    let output = start(&gateway, "transport = \"tcp\"");
    // More than the kernels hold: the collector leaves in the middle.
    let large = "z".repeat(60_000);
    let mut connection = soon(gateway.accept()).await;
    for _ in 0..100 {
        output.submit(&[&large, &large]).await;
    }
    soon(connection.read(100_000)).await;
    drop(connection);
    output.health("failed", "").await;
    let mut connection = soon(gateway.accept()).await;
    let mut frames = 0;
    while output.count(Count::DeliveredEvents) < 200 {
        if tokio::time::timeout(Duration::from_millis(200), connection.peek()).await.is_err() {
            continue;
        }
        assert_eq!(frame(&mut connection).await.len(), large.len());
        frames += 1;
    }
    assert!(frames > 100, "{frames}");
    assert!(output.count(Count::RepeatedEvents) > 0);
    output.health("healthy", "").await;
    output.stop().await;
}

#[tokio::test]
async fn a_collector_that_leaves_while_nothing_is_sent_is_no_trouble() {
    let gateway = Gateway::plain().await;
    let output = start(&gateway, "transport = \"tcp\"");
    output.submit(&["one"]).await;
    let mut connection = soon(gateway.accept()).await;
    assert_eq!(text(&mut connection).await, "one");
    output.counted(Count::DeliveredEvents, 1).await;
    drop(connection);
    let mut connection = soon(gateway.accept()).await;
    output.submit(&["two"]).await;
    assert_eq!(text(&mut connection).await, "two");
    output.health("healthy", "").await;
    assert_eq!(output.count(Count::BrokenConnections), 0);
    output.stop().await;
}

#[tokio::test]
async fn a_collector_that_does_not_read_holds_the_events_back() {
    let gateway = Gateway::plain().await;
    let output = start(&gateway, "transport = \"tcp\"");
    let mut connection = soon(gateway.accept()).await;
    let large = "z".repeat(60_000);
    for _ in 0..300 {
        output.submit(&[&large]).await;
    }
    // 18 MB: more than the buffers of both kernels; then it waits.
    let waits = async {
        let mut before = u64::MAX;
        loop {
            let now = output.count(Count::DeliveredEvents);
            if now == before {
                return now;
            }
            before = now;
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
    };
    assert!(soon(waits).await < 300);
    for _ in 0..300 {
        assert_eq!(frame(&mut connection).await.len(), large.len());
    }
    output.counted(Count::DeliveredEvents, 300).await;
    assert_eq!(output.count(Count::RepeatedEvents), 0);
    output.stop().await;
}

#[tokio::test]
async fn many_events_arrive_in_order() {
    let gateway = Gateway::plain().await;
    let output = start(&gateway, "transport = \"tcp\"");
    output.intake.submit(many(5_000)).await.unwrap();
    let mut connection = soon(gateway.accept()).await;
    for number in 0..5_000 {
        assert!(text(&mut connection).await.ends_with(&format!(": event {number}")));
    }
    output.counted(Count::DeliveredEvents, 5_000).await;
    output.stop().await;
}
