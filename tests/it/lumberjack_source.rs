//! Our Lumberjack source against agents that behave, and agents that do not.

use std::time::Duration;

use proptest::prelude::*;
use sapphire_edge::event::{Kind, Transport};
use sapphire_edge::quantity::Size;
use sapphire_edge::status::{Count, Gauge};

use crate::peers::agent::{Agent, compressed, window};
use crate::peers::certificates::Authority;
use crate::rig::{Source, soon, texts};

const ONE: &str = r#"{"message":"one","@metadata":{"beat":"filebeat","_id":"id-1"}}"#;
const TWO: &str = r#"{"message":"two"}"#;

#[tokio::test]
async fn a_window_is_acknowledged_by_its_last_number_once_it_is_settled() {
    let source = Source::plain("").await;
    let mut agent = Agent::plain(source.address).await;
    // pylogbeat goes on counting over windows; the answer is the number, not the count.
    agent.send(&window(1_000, &[ONE, TWO])).await;
    let delivery = source.next().await;
    assert_eq!(delivery.batch().kind(), Kind::Beats);
    let expected = [(Some("id-1".to_owned()), ONE.to_owned()), (None, TWO.to_owned())];
    assert_eq!(texts(&delivery), expected);
    let origin = delivery.batch().records().next().unwrap().origin.clone();
    assert_eq!((origin.transport, origin.peer.unwrap().ip()), (Transport::Tcp, source.address.ip()));
    let early = tokio::time::timeout(Duration::from_millis(50), agent.ack()).await;
    assert!(early.is_err(), "acknowledged before it was settled");
    delivery.ack();
    assert_eq!(soon(agent.ack()).await, 1_001);
    source.counted(Count::SettledEvents, 2).await;
    assert_eq!(source.count(Count::ReceivedEvents), 2);
    assert_eq!(source.count(Count::ReceivedBytes), (ONE.len() + TWO.len()) as u64);
    source.stop().await;
}

#[tokio::test]
async fn windows_are_pipelined_and_acknowledged_in_order() {
    let source = Source::plain("keepalive = \"25s\"").await;
    let mut agent = Agent::plain(source.address).await;
    agent.send(&compressed(&[ONE])).await;
    agent.send(&compressed(&[TWO, TWO])).await;
    agent.send(&window(1, &[])).await;
    let (first, second) = (source.next().await, source.next().await);
    second.ack();
    assert!(tokio::time::timeout(Duration::from_millis(50), agent.ack()).await.is_err());
    first.ack();
    assert_eq!([soon(agent.ack()).await, soon(agent.ack()).await], [1, 2]);
    assert_eq!(soon(agent.ack()).await, 0, "an empty window is answered in its turn");
    source.stop().await;
}

#[tokio::test]
async fn an_agent_that_waits_gets_signs_of_life() {
    let source = Source::plain("keepalive = \"20ms\"").await;
    let mut agent = Agent::plain(source.address).await;
    agent.send(&window(1, &[ONE])).await;
    let delivery = source.next().await;
    assert_eq!([soon(agent.ack()).await, soon(agent.ack()).await, soon(agent.ack()).await], [0, 0, 0]);
    delivery.ack();
    assert_eq!(soon(agent.progress()).await, Some(1));
    // And none when it does not wait.
    assert!(tokio::time::timeout(Duration::from_millis(100), agent.ack()).await.is_err());
    source.stop().await;
}

#[tokio::test]
async fn a_full_queue_holds_the_agent_back_without_losing_it() {
    let source = Source::start("listen = [\"tcp://127.0.0.1:0\"]\nkeepalive = \"20ms\"", Size::kib(64)).await;
    let mut agent = Agent::plain(source.address).await;
    let large = format!("{{\"message\":\"{}\"}}", "x".repeat(40_000));
    for _ in 0..6 {
        agent.send(&window(1, &[&large])).await;
    }
    // Two fit; the third has to wait, and its agent hears so.
    source.counted(Count::ReceivedEvents, 2).await;
    assert_eq!(soon(agent.ack()).await, 0);
    assert_eq!(source.count(Count::ReceivedEvents), 2);
    for _ in 0..6 {
        source.next().await.ack();
    }
    for _ in 0..6 {
        assert_eq!(soon(agent.progress()).await, Some(1));
    }
    source.stop().await;
}

#[tokio::test]
async fn a_window_comes_to_the_queue_whole_or_not_at_all() {
    let source = Source::plain("").await;
    let mut agent = Agent::plain(source.address).await;
    let whole = window(1, &[ONE, TWO]);
    agent.send(&whole[..whole.len() - 1]).await;
    agent.finish().await;
    assert_eq!(soon(agent.try_ack()).await, None);
    source.counted(Count::BrokenConnections, 1).await;
    assert_eq!(source.count(Count::ReceivedEvents), 0);
    assert!(tokio::time::timeout(Duration::from_millis(20), source.reader.next()).await.is_err());
    source.stop().await;
}

#[tokio::test]
async fn large_windows_become_several_batches_and_one_ack() {
    let source = Source::plain("").await;
    let mut agent = Agent::plain(source.address).await;
    let large = format!("{{\"message\":\"{}\"}}", "y".repeat(30_000));
    // 7.5 MiB: more than is held back for a whole window.
    let bytes = compressed(&vec![large.as_str(); 250]);
    agent.send(&bytes).await;
    let mut events = 0;
    while events < 250 {
        let delivery = source.next().await;
        events += delivery.batch().count();
        assert!(delivery.batch().packed().len() < 1 << 20);
        delivery.ack();
    }
    assert_eq!(soon(agent.ack()).await, 250);
    source.stop().await;
}

#[tokio::test]
async fn bytes_that_break_the_protocol_cost_one_connection_and_are_counted() {
    let source = Source::plain("max_frame = \"64KiB\"\nmax_inflated = \"64KiB\"").await;
    let mut bystander = Agent::plain(source.address).await;
    let blank = format!("{{{}}}", " ".repeat(60_000));
    let cases: [Vec<u8>; 11] = [
        b"1W\0\0\0\x01".to_vec(),
        b"GET / HTTP/1.1\r\n\r\n".to_vec(),
        b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03".to_vec(),
        b"2A\0\0\0\x01".to_vec(),
        window(1, &["[1,2]"]),
        window(1, &["{\"a\":"]),
        window(1, &["{\"a\":1}{}"]),
        [window(1, &[ONE]), window(2, &[ONE])[6..].to_vec()].concat(),
        [b"2W\0\0\0\x02".to_vec(), window(1, &[ONE])[6..].to_vec(), window(1, &[ONE])].concat(),
        b"2W\0\0\x27\x11".to_vec(),
        compressed(&[&blank, &blank]),
    ];
    for (at, case) in cases.iter().enumerate() {
        let mut agent = Agent::plain(source.address).await;
        agent.try_send(case).await;
        if at == 7 {
            source.next().await.ack();
            assert_eq!(soon(agent.ack()).await, 1, "what was whole before the error is acknowledged");
        }
        assert_eq!(soon(agent.try_ack()).await, None, "case {at}");
        source.counted(Count::ProtocolErrors, at as u64 + 1).await;
    }
    bystander.send(&window(1, &[ONE])).await;
    source.next().await.ack();
    assert_eq!(soon(bystander.ack()).await, 1);
    assert_eq!(source.count(Count::BrokenConnections), 0);
    source.stop().await;
}

#[tokio::test]
async fn an_agent_that_says_it_is_done_still_gets_its_acks() {
    let source = Source::plain("").await;
    let mut agent = Agent::plain(source.address).await;
    agent.send(&window(1, &[ONE])).await;
    agent.finish().await;
    source.next().await.ack();
    assert_eq!(soon(agent.try_ack()).await, Some(1));
    assert_eq!(soon(agent.try_ack()).await, None);
    assert_eq!(source.count(Count::BrokenConnections), 0);
    source.stop().await;
}

#[tokio::test]
async fn idle_connections_are_closed_and_waiting_ones_are_not() {
    let source = Source::plain("idle_timeout = \"1s\"\nkeepalive = \"100ms\"").await;
    let mut idle = Agent::plain(source.address).await;
    let mut waiting = Agent::plain(source.address).await;
    let mut midway = Agent::plain(source.address).await;
    waiting.send(&window(1, &[ONE])).await;
    midway.send(b"2W\0\0\0\x02").await;
    let delivery = source.next().await;
    assert_eq!(soon(idle.try_ack()).await, None);
    assert_eq!(soon(midway.try_ack()).await, None);
    source.counted(Count::BrokenConnections, 1).await;
    assert_eq!(soon(waiting.ack()).await, 0);
    delivery.ack();
    assert_eq!(soon(waiting.progress()).await, Some(1));
    source.stop().await;
}

#[tokio::test]
async fn agents_are_asked_for_certificates_where_the_settings_say_so() {
    let authority = Authority::new();
    let (ours, stranger) = (authority.identity("127.0.0.1"), Authority::new());
    let settings = format!(
        "listen = [\"tls://127.0.0.1:0\"]\n[tls]\ncert = {:?}\nkey = {:?}\nclient_auth = \"required\"\n\
         client_ca = {:?}\nclient_names = [\"*.example.net\"]",
        ours.cert,
        ours.key,
        authority.ca()
    );
    let source = Source::start(&settings, Size::gib(8)).await;
    let ca = authority.ca();
    let allowed = authority.identity("web1.example.net");
    let mut agent = Agent::tls(source.address, &ca, Some(&allowed)).await.unwrap();
    agent.send(&compressed(&[ONE, TWO])).await;
    let delivery = source.next().await;
    let origin = delivery.batch().records().next().unwrap().origin.clone();
    assert_eq!((origin.transport, origin.name.as_deref()), (Transport::Tls, Some("web1.example.net")));
    delivery.ack();
    assert_eq!(soon(agent.ack()).await, 2);
    let others = [None, Some(stranger.identity("web1.example.net")), Some(authority.identity("web1.example.org"))];
    for (at, identity) in others.iter().enumerate() {
        // TLS 1.3 tells a refused client only when it reads.
        if let Ok(mut agent) = Agent::tls(source.address, &ca, identity.as_ref()).await {
            agent.try_send(&window(1, &[ONE])).await;
            assert_eq!(soon(agent.try_ack()).await, None);
        }
        source.counted(Count::RefusedConnections, at as u64 + 1).await;
    }
    assert_eq!(source.count(Count::ReceivedEvents), 2);
    source.stop().await;
}

#[tokio::test]
async fn stopping_waits_for_what_is_about_to_be_settled() {
    let source = Source::plain("").await;
    let mut agent = Agent::plain(source.address).await;
    agent.send(&window(1, &[ONE])).await;
    let delivery = source.next().await;
    agent.send(&window(1, &[ONE, TWO])[..20]).await;
    source.stop.cancel();
    delivery.ack();
    assert_eq!(soon(agent.try_ack()).await, Some(1));
    assert_eq!(soon(agent.try_ack()).await, None);
    soon(source.task).await.unwrap().unwrap();
    assert_eq!(source.status.counters().gauge(Gauge::OpenConnections), 0);
}

#[tokio::test]
async fn a_closed_queue_means_no_ack_but_for_what_it_wrote() {
    let source = Source::plain("").await;
    let mut agent = Agent::plain(source.address).await;
    agent.send(&window(1, &[ONE])).await;
    source.counted(Count::ReceivedEvents, 1).await;
    assert!(source.queue.close(Duration::from_secs(30)).await);
    agent.try_send(&window(7, &[TWO])).await;
    assert_eq!(soon(agent.try_ack()).await, Some(1), "closing makes it durable");
    assert_eq!(soon(agent.try_ack()).await, None);
    source.stop.cancel();
    soon(source.task).await.unwrap().unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// However the bytes come, every event comes once and in order, and every window is acknowledged once and in order.
    #[test]
    fn fragments_make_no_difference(
        sizes in proptest::collection::vec(1usize..30, 1..10),
        levels in proptest::collection::vec(any::<bool>(), 10),
        cuts in proptest::collection::vec(1usize..700, 1..30),
    ) {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async move {
            let source = Source::plain("").await;
            let mut agent = Agent::plain(source.address).await;
            let (mut bytes, mut events, mut acks) = (Vec::new(), Vec::new(), Vec::new());
            for (size, is_compressed) in sizes.iter().zip(levels) {
                let first = events.len();
                events.extend((first..first + size).map(|number| format!("{{\"n\":{number},\"pad\":\"{}\"}}", "p".repeat(number * 7 % 90))));
                let texts: Vec<&str> = events[first..].iter().map(String::as_str).collect();
                let base = if is_compressed { 1 } else { first as u32 + 1 };
                bytes.extend(if is_compressed { compressed(&texts) } else { window(base, &texts) });
                acks.push(base + *size as u32 - 1);
            }
            let count = events.len();
            let send = async {
                let mut rest = &bytes[..];
                for cut in cuts.iter().cycle() {
                    let (piece, after) = rest.split_at((*cut).min(rest.len()));
                    agent.send(piece).await;
                    rest = after;
                    if rest.is_empty() { break }
                }
                let mut got = Vec::new();
                while got.len() < acks.len() {
                    got.extend(agent.progress().await);
                }
                got
            };
            let receive = async {
                let mut got = Vec::new();
                while got.len() < count {
                    let delivery = source.reader.next().await.unwrap();
                    got.extend(texts(&delivery).into_iter().map(|(_, text)| text));
                    delivery.ack();
                }
                got
            };
            let (got_acks, got_events) = soon(async { tokio::join!(send, receive) }).await;
            assert_eq!(got_acks, acks);
            assert_eq!(got_events, events);
            drop(agent);
            source.stop().await;
        });
    }
}
