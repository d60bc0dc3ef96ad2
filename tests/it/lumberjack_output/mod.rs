//! Our Lumberjack output against gateways that behave, and gateways that do not.

/// Certificates, several gateways, the way to them.
mod gateways;

use std::time::Duration;

use proptest::prelude::*;
use sapphire_edge::status::{Count, Gauge};

use crate::peers::certificates::Authority;
use crate::peers::gateway::{Event, Gateway, server};
use crate::rig::{Output, many, soon};

fn plain(gateway: &Gateway, settings: &str) -> Output {
    start(&format!("transport = \"tcp\"\nendpoint = [\"{}\"]\n{settings}", gateway.address()))
}

fn start(settings: &str) -> Output {
    Output::start(&format!("type = \"lumberjack\"\nbackoff_min = \"10ms\"\nbackoff_max = \"20ms\"\n{settings}"))
}

fn sequences(events: &[Event]) -> Vec<u32> {
    events.iter().map(|event| event.sequence).collect()
}

#[tokio::test]
async fn events_arrive_over_tls_and_the_queue_is_told() {
    let authority = Authority::new();
    let gateway = Gateway::tls(&server(&authority.identity("127.0.0.1"))).await;
    let output = start(&format!("endpoint = [\"{}\"]\ntls.ca = {:?}", gateway.address(), authority.ca()));
    let ticket = output.submit(&["<13>Mar  5 10:15:30 host app: one", "<13>Mar  5 10:15:30 host app: two"]).await;
    let mut connection = soon(gateway.accept()).await;
    let events = soon(connection.window()).await;
    assert_eq!(sequences(&events), [1, 2]);
    assert!(events[0].message().contains("one") && events[1].message().contains("two"));
    assert!(events[0].id().ends_with("-1-0") && events[1].id().ends_with("-1-1"), "{events:?}");
    assert_eq!(output.unacked(), 2);
    connection.ack(2).await;
    soon(ticket.settled()).await.unwrap();
    output.health("healthy", "").await;
    assert_eq!((output.count(Count::DeliveredEvents), output.count(Count::RepeatedEvents)), (2, 0));
    assert_eq!(output.unacked(), 0);
    output.stop().await;
}

#[tokio::test]
async fn a_batch_is_cut_into_windows_of_which_two_are_in_flight() {
    let gateway = Gateway::plain().await;
    let output = plain(&gateway, "window = 10\ncompression = 0");
    let ticket = output.intake.submit(many(25)).await.unwrap();
    let mut connection = soon(gateway.accept()).await;
    assert_eq!(soon(connection.window()).await.len(), 10);
    assert_eq!(soon(connection.window()).await.len(), 10);
    assert_eq!(output.unacked(), 20);
    // The third comes only after the first ack, which says nothing of the second.
    assert!(tokio::time::timeout(Duration::from_millis(100), connection.window()).await.is_err());
    connection.ack(10).await;
    assert_eq!(soon(connection.window()).await.len(), 5);
    connection.send(&[b"2A\0\0\0\x0a".as_slice(), b"2A\0\0\0\x05".as_slice()].concat()).await;
    soon(ticket.settled()).await.unwrap();
    assert_eq!(output.count(Count::DeliveredEvents), 25);
    output.stop().await;
}

#[tokio::test]
async fn small_batches_share_a_window() {
    let gateway = Gateway::plain().await;
    let output = plain(&gateway, "windows_in_flight = 1");
    let first = output.submit(&["a"]).await;
    let mut connection = soon(gateway.accept()).await;
    soon(connection.window()).await;
    let mut tickets = vec![first];
    for _ in 0..50 {
        tickets.push(output.submit(&["b"]).await);
    }
    connection.ack(1).await;
    // The one that was encoded ahead, then all the others at once.
    let mut sizes = Vec::new();
    while sizes.iter().sum::<usize>() < 50 {
        sizes.push(soon(connection.serve()).await.len());
    }
    assert!(sizes.len() <= 3, "{sizes:?}");
    for ticket in tickets {
        soon(ticket.settled()).await.unwrap();
    }
    output.stop().await;
}

#[tokio::test]
async fn what_was_acknowledged_in_part_is_not_sent_again() {
    let gateway = Gateway::plain().await;
    let output = plain(&gateway, "window = 10");
    let ticket = output.intake.submit(many(25)).await.unwrap();
    let mut connection = soon(gateway.accept()).await;
    let first = soon(connection.window()).await;
    connection.ack(0).await;
    connection.ack(4).await;
    connection.ack(2).await;
    connection.ack(7).await;
    soon(connection.window()).await;
    drop(connection);
    let mut connection = soon(gateway.accept()).await;
    let again = soon(connection.serve()).await;
    assert_eq!(again[0].id(), first[7].id(), "the first event that was not acknowledged comes first");
    assert_eq!(sequences(&again), (1..=10).collect::<Vec<_>>());
    assert_eq!(soon(connection.serve()).await.len(), 8);
    soon(ticket.settled()).await.unwrap();
    assert_eq!(output.count(Count::DeliveredEvents), 25);
    assert_eq!(output.count(Count::RepeatedEvents), 13);
    output.stop().await;
}

#[tokio::test]
async fn acks_torn_into_bytes_are_understood() {
    let gateway = Gateway::plain().await;
    let output = plain(&gateway, "");
    let ticket = output.submit(&["a", "b"]).await;
    let mut connection = soon(gateway.accept()).await;
    soon(connection.window()).await;
    for byte in *b"2A\0\0\0\x002A\0\0\0\x02" {
        connection.send(&[byte]).await;
    }
    soon(ticket.settled()).await.unwrap();
    output.stop().await;
}

#[tokio::test]
async fn a_silent_gateway_is_left_and_its_events_come_again() {
    let gateway = Gateway::plain().await;
    let output = plain(&gateway, "ack_timeout = \"200ms\"");
    let ticket = output.submit(&["a"]).await;
    let mut connection = soon(gateway.accept()).await;
    let first = soon(connection.window()).await;
    soon(connection.closed()).await;
    output.health("failed", "silent").await;
    let mut connection = soon(gateway.accept()).await;
    let again = soon(connection.window()).await;
    assert_eq!(again, first, "the same event under the same id");
    // Connected again, but not healthy before it acknowledges.
    output.health("failed", "silent").await;
    connection.ack(1).await;
    soon(ticket.settled()).await.unwrap();
    output.health("healthy", "").await;
    assert_eq!(output.count(Count::RepeatedEvents), 1);
    output.stop().await;
}

#[tokio::test]
async fn signs_of_life_hold_a_connection_but_not_for_ever() {
    let gateway = Gateway::plain().await;
    let output = plain(&gateway, "ack_timeout = \"150ms\"\nstall_timeout = \"600ms\"");
    let _ticket = output.submit(&["a"]).await;
    let mut connection = soon(gateway.accept()).await;
    soon(connection.window()).await;
    let begun = tokio::time::Instant::now();
    let mut signs = 0;
    while connection.try_send(b"2A\0\0\0\0").await {
        signs += 1;
        if tokio::time::timeout(Duration::from_millis(50), connection.closed()).await.is_ok() {
            break;
        }
    }
    assert!(begun.elapsed() >= Duration::from_millis(500), "left after {:?} and {signs} signs", begun.elapsed());
    output.health("failed", "is alive but has acknowledged none of 1 events").await;
    output.stop().await;
}

#[tokio::test]
async fn answers_that_break_the_protocol_end_the_connection_in_words() {
    let gateway = Gateway::plain().await;
    let output = plain(&gateway, "");
    let ticket = output.submit(&["a", "b"]).await;
    let cases: [(&[u8], &str); 5] = [
        (b"2A\0\0\0\x03", "ack 3 for a window of 2 events"),
        (b"1A\0\0\0\x02", "version 1"),
        (b"2J\0\0\0\x02", "type 0x4a"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "byte 0x48 instead of version"),
        (b"\x15\x03\x03\0\x02\x02\x46", "byte 0x15"),
    ];
    for (answer, words) in cases {
        let mut connection = soon(gateway.accept()).await;
        soon(connection.window()).await;
        connection.send(answer).await;
        output.health("failed", words).await;
        soon(connection.closed()).await;
    }
    assert_eq!(output.count(Count::ProtocolErrors), cases.len() as u64);
    let mut connection = soon(gateway.accept()).await;
    assert_eq!(soon(connection.serve()).await.len(), 2);
    soon(ticket.settled()).await.unwrap();
    connection.ack(1).await;
    output.health("failed", "ack 1 while nothing was outstanding").await;
    output.stop().await;
}

#[tokio::test]
async fn windows_shrink_while_a_gateway_takes_none_and_grow_again() {
    let gateway = Gateway::plain().await;
    let output = plain(&gateway, "window = 64\nwindows_in_flight = 1");
    let ticket = output.intake.submit(many(200)).await.unwrap();
    let mut sizes = Vec::new();
    for _ in 0..4 {
        let mut connection = soon(gateway.accept()).await;
        sizes.push(soon(connection.window()).await.len());
    }
    let mut connection = soon(gateway.accept()).await;
    while sizes[4..].iter().sum::<usize>() < 200 {
        sizes.push(soon(connection.serve()).await.len());
    }
    soon(ticket.settled()).await.unwrap();
    assert_eq!(sizes[..6], [64, 32, 16, 8, 4, 4], "the second of size 4 was encoded ahead");
    assert!(sizes[6..].contains(&64), "{sizes:?}");
    output.stop().await;
}

#[tokio::test]
async fn a_gateway_that_closes_in_the_middle_of_a_window_gets_it_again() {
    let gateway = Gateway::plain().await;
    let large = "x".repeat(100_000);
    let texts = vec![large.as_str(); 20];
    let output = plain(&gateway, "compression = 0");
    let ticket = output.submit(&texts).await;
    let mut connection = soon(gateway.accept()).await;
    soon(connection.read(1_000)).await;
    drop(connection);
    output.health("failed", "").await;
    let mut connection = soon(gateway.accept()).await;
    let mut events = Vec::new();
    while events.len() < 20 {
        events.extend(soon(connection.serve()).await);
    }
    assert!(events.iter().all(|event| event.message() == large));
    soon(ticket.settled()).await.unwrap();
    output.stop().await;
}

#[tokio::test]
async fn a_slow_gateway_is_waited_for_while_bytes_flow() {
    let gateway = Gateway::plain().await;
    // Far more than the kernel's buffers hold, so that writing takes as long as reading.
    let texts = vec!["y".repeat(60_000); 400];
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let output =
        plain(&gateway, "compression = 0\nwindow_size = \"32MiB\"\nack_timeout = \"400ms\"\nstall_timeout = \"400ms\"");
    let ticket = output.submit(&texts).await;
    let mut connection = soon(gateway.accept()).await;
    let begun = tokio::time::Instant::now();
    let mut taken = 0;
    // About a second and a half for the window, with a pause after each piece.
    while taken < 12 << 20 {
        taken += soon(connection.read(256 << 10)).await;
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(begun.elapsed() > Duration::from_millis(450), "not slow enough to prove anything");
    while taken < 24_000_000 {
        taken += soon(connection.read(1 << 20)).await;
    }
    connection.ack(400).await;
    soon(ticket.settled()).await.unwrap();
    assert_eq!(output.count(Count::BrokenConnections), 0);
    output.stop().await;
}

#[tokio::test]
async fn acks_that_came_before_the_connection_broke_count() {
    let gateway = Gateway::plain().await;
    let output = plain(&gateway, "window = 5\nwindows_in_flight = 1");
    let ticket = output.intake.submit(many(10)).await.unwrap();
    let mut connection = soon(gateway.accept()).await;
    soon(connection.window()).await;
    connection.ack(5).await;
    drop(connection);
    let mut connection = soon(gateway.accept()).await;
    let events = soon(connection.serve()).await;
    assert!(events[0].message().ends_with("event 5"), "{events:?}");
    soon(ticket.settled()).await.unwrap();
    output.stop().await;
}

#[tokio::test]
async fn stopping_waits_for_acks_that_are_on_their_way() {
    let gateway = Gateway::plain().await;
    let output = plain(&gateway, "window = 10");
    let ticket = output.intake.submit(many(30)).await.unwrap();
    let mut connection = soon(gateway.accept()).await;
    soon(connection.window()).await;
    soon(connection.window()).await;
    output.stop.cancel();
    connection.ack(10).await;
    connection.ack(10).await;
    assert_eq!(soon(connection.try_window()).await, None, "nothing new is sent");
    soon(output.task).await.unwrap().unwrap();
    let counters = output.status.counters();
    assert_eq!((counters.count(Count::DeliveredEvents), counters.gauge(Gauge::UnackedEvents)), (20, 0));
    drop(ticket);
}

#[tokio::test]
async fn stopping_does_not_wait_for_ever() {
    let gateway = Gateway::plain().await;
    let output = plain(&gateway, "");
    let _ticket = output.submit(&["a"]).await;
    let mut connection = soon(gateway.accept()).await;
    soon(connection.window()).await;
    let begun = tokio::time::Instant::now();
    output.stop().await;
    assert!(begun.elapsed() < Duration::from_secs(10));
}

#[tokio::test]
async fn an_idle_connection_that_the_gateway_closes_is_no_trouble() {
    let gateway = Gateway::plain().await;
    let output = plain(&gateway, "");
    let ticket = output.submit(&["a"]).await;
    let mut connection = soon(gateway.accept()).await;
    soon(connection.serve()).await;
    soon(ticket.settled()).await.unwrap();
    drop(connection);
    let mut connection = soon(gateway.accept()).await;
    output.health("healthy", "").await;
    let ticket = output.submit(&["b"]).await;
    soon(connection.serve()).await;
    soon(ticket.settled()).await.unwrap();
    assert_eq!(output.count(Count::BrokenConnections), 0);
    output.stop().await;
}

/// What a gateway that cannot be relied on does with a window.
#[derive(Clone, Debug)]
enum Whim {
    AckAll,
    AckPart(u32),
    SignOfLife,
    Close,
    AckPartAndClose(u32),
}

fn whims() -> impl Strategy<Value = Vec<Whim>> {
    let whim = prop_oneof![
        4 => Just(Whim::AckAll),
        2 => (1u32..20).prop_map(Whim::AckPart),
        2 => Just(Whim::SignOfLife),
        1 => Just(Whim::Close),
        2 => (1u32..20).prop_map(Whim::AckPartAndClose),
    ];
    proptest::collection::vec(whim, 0..12)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    /// At least once, in order of batches, and never again what was acknowledged.
    #[test]
    fn nothing_is_lost_and_nothing_acknowledged_comes_again(sizes in proptest::collection::vec(1usize..40, 1..8), whims in whims()) {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async move {
            let gateway = Gateway::plain().await;
            let output = plain(&gateway, "window = 16\ncompression = 1");
            let mut tickets = Vec::new();
            for size in &sizes {
                tickets.push(output.intake.submit(many(*size)).await.unwrap());
            }
            let all: usize = sizes.iter().sum();
            let mut acked = std::collections::BTreeSet::new();
            let mut whims = whims.into_iter();
            while acked.len() < all {
                let mut connection = soon(gateway.accept()).await;
                while acked.len() < all {
                    let Some(events) = soon(connection.try_window()).await else { break };
                    let count = events.len() as u32;
                    assert_eq!(sequences(&events), (1..=count).collect::<Vec<_>>());
                    assert!(events.iter().all(|event| !acked.contains(event.id())), "acknowledged, and sent again");
                    let whim = whims.next().unwrap_or(Whim::AckAll);
                    if let Whim::SignOfLife = whim {
                        connection.ack(0).await;
                    }
                    let upto = match whim {
                        Whim::AckAll | Whim::SignOfLife => count,
                        Whim::AckPart(part) | Whim::AckPartAndClose(part) => part.min(count),
                        Whim::Close => 0,
                    };
                    if upto > 0 {
                        connection.ack(upto).await;
                        acked.extend(events[..upto as usize].iter().map(|event| event.id().to_owned()));
                    }
                    match whim {
                        Whim::AckPart(_) if upto < count => {
                            connection.ack(count).await;
                            acked.extend(events[upto as usize..].iter().map(|event| event.id().to_owned()));
                        }
                        // Bytes of the next window may lie unread: closing then resets the connection and takes acks with
                        // it, so take what is there first.
                        Whim::Close | Whim::AckPartAndClose(_) => {
                            connection.finish().await;
                            break;
                        }
                        _ => {}
                    }
                }
            }
            for ticket in tickets {
                soon(ticket.settled()).await.unwrap();
            }
            assert_eq!(output.count(Count::DeliveredEvents), all as u64);
            output.stop().await;
        });
    }
}
