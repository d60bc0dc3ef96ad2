use std::net::UdpSocket;

use super::*;

fn sender() -> UdpSocket {
    UdpSocket::bind("127.0.0.1:0").unwrap()
}

/// Received and dropped by the kernel together.
fn taken_or_dropped(source: &Running) -> u64 {
    received(source.status()) + source.dropped(DropReason::KernelBuffer)
}

#[tokio::test]
async fn datagrams_are_kept_as_they_came_without_their_ending() {
    let mut source = Running::start("listen = [\"udp://127.0.0.1:0\"]\nmax_message = \"1KiB\"").await;
    let socket = sender();
    let long = [&b"<13>"[..], &[b'a'; 1_019], "\u{20ac}tail".as_bytes()].concat();
    for bytes in [&b"<13>a"[..], b"<13>b\r\n", b"<13>c\n\0", b"", b"\n", b"<13>two\nlines\n", b"\xff\xfe<13>\0x", &long]
    {
        socket.send_to(bytes, source.at(0)).unwrap();
    }
    let events = source.events(6).await;
    let cut = &long[..1_023];
    let bytes: Vec<&[u8]> = events.iter().map(|event| &event.bytes[..]).collect();
    assert_eq!(bytes, [&b"<13>a"[..], b"<13>b", b"<13>c", b"<13>two\nlines", b"\xff\xfe<13>\0x", cut]);
    assert_eq!(events[5].cut_from, Some(1_030));
    assert!(events[..5].iter().all(|event| event.cut_from.is_none()));
    assert_eq!(source.counters().count(Count::CutEvents), 1);
    source.stop().await;
}

#[tokio::test]
async fn a_burst_is_received_or_its_loss_is_counted() {
    let mut source = Running::start("listen = [\"udp://127.0.0.1:0\"]\nreceive_buffer = \"64KiB\"").await;
    let to = source.at(0);
    let sent = 30_000u64;
    let burst = std::thread::spawn(move || {
        let socket = sender();
        for number in 0..sent {
            socket.send_to(format!("<13>{number} {}", "x".repeat(500)).as_bytes(), to).unwrap();
        }
    });
    while !burst.is_finished() {
        tokio::task::yield_now().await;
        if let Ok(events) = tokio::time::timeout(Duration::from_millis(1), source.next_events()).await {
            assert!(!events.is_empty());
        }
    }
    let wait = async {
        while taken_or_dropped(&source) < sent {
            let _ = tokio::time::timeout(Duration::from_millis(20), source.next_events()).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), wait).await.unwrap();
    assert_eq!(taken_or_dropped(&source), sent);
    source.stop().await;
    assert_eq!(taken_or_dropped(&source), sent);
}

#[tokio::test]
async fn what_the_kernel_dropped_is_counted_and_shown() {
    // Nobody reads yet: the kernel's buffer fills up, and the rest is lost before the source begins.
    let config = config("listen = [\"udp://127.0.0.1:0\"]\nreceive_buffer = \"64KiB\"");
    let sockets = Sockets::default();
    let name = config.sockets().first().unwrap().clone();
    sockets.udp(&name, false).unwrap().set_receive_buffer(64 << 10).unwrap();
    let (to, socket) = (sockets.bound(&name).unwrap(), sender());
    for number in 0..1_000 {
        socket.send_to(format!("<13>{number}").as_bytes(), to).unwrap();
    }
    let mut source = Running::start_with(config, queue::Config::default(), sockets).await;
    source.until("degraded", |status| status.health().word() == "degraded").await;
    assert!(source.status().health().fault().unwrap().what.contains("the kernel drops"));
    source.until("read", |status| received(status) > 0).await;
    source.stop().await;
    assert!(source.dropped(DropReason::KernelBuffer) > 0);
    assert_eq!(taken_or_dropped(&source), 1_000);
    assert_eq!(source.rest().await as u64, received(source.status()));
}

#[tokio::test]
async fn what_the_queue_has_no_room_for_is_counted_and_shown() {
    let table = "listen = [\"udp://127.0.0.1:0\"]\nbatch_after = \"1ms\"";
    let mut source = Running::start_with(config(table), full_queue(), Sockets::default()).await;
    let (to, socket) = (source.at(0), sender());
    // Every batch holds one event; sixteen wait, more are dropped.
    let mut sent = 0;
    while source.dropped(DropReason::QueueFull) < 10 {
        socket.send_to(b"<13>x", to).unwrap();
        sent += 1;
        source.until("received", |status| received(status) == sent).await;
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    source.until("degraded", |status| status.health().word() == "degraded").await;
    assert!(source.status().health().fault().unwrap().what.contains("the queue has no room"));
    source.tasks.abort_all();
    assert!(source.tasks.join_next().await.unwrap().unwrap_err().is_cancelled());
    let all_is_counted =
        |_: &Handle| source.dropped(DropReason::QueueFull) + source.dropped(DropReason::Stopping) == sent;
    source.until("all is counted", all_is_counted).await;
    assert!(source.dropped(DropReason::Stopping) >= 16);
    assert_eq!(source.ledger(), (sent, sent));
}

#[tokio::test]
async fn a_source_that_is_cut_off_counts_what_it_held() {
    let table = "listen = [\"udp://127.0.0.1:0\", \"tcp://127.0.0.1:0\"]";
    let mut source = Running::start_with(config(table), full_queue(), Sockets::default()).await;
    let socket = sender();
    let mut stream = TcpStream::connect(source.at(1)).await.unwrap();
    for number in 0..50u64 {
        socket.send_to(format!("<13>{number}").as_bytes(), source.at(0)).unwrap();
        stream.write_all(format!("<13>{number}\n").as_bytes()).await.unwrap();
        source.until("received", |status| received(status) > number).await;
    }
    // All datagrams, and at least one line: the rest may wait in the connection behind the full collector.
    source.until("received", |status| received(status) > 50).await;
    source.tasks.abort_all();
    assert!(source.tasks.join_next().await.unwrap().unwrap_err().is_cancelled());
    source.until("all is counted", |status| source.dropped(DropReason::Stopping) == received(status)).await;
    assert_eq!(source.ledger(), (received(source.status()), received(source.status())));
}

#[tokio::test]
async fn who_is_not_allowed_is_counted_as_dropped() {
    let mut source = Running::start("listen = [\"udp://127.0.0.1:0\"]\nallow = [\"127.0.0.2\"]").await;
    let (stranger, friend) = (sender(), UdpSocket::bind("127.0.0.2:0").unwrap());
    for _ in 0..3 {
        stranger.send_to(b"<13>no", source.at(0)).unwrap();
    }
    friend.send_to(b"<13>yes", source.at(0)).unwrap();
    assert_eq!(source.events(1).await[0].text(), "<13>yes");
    assert_eq!(source.dropped(DropReason::NotAllowed), 3);
    assert_eq!(received(source.status()), 1);
    source.stop().await;
}

#[tokio::test]
async fn a_restart_under_load_loses_no_datagram() {
    let mut source = Running::start("listen = [\"udp://127.0.0.1:0\"]\nreceive_buffer = \"4MiB\"").await;
    let to = source.at(0);
    let sent = 20_000u64;
    let sending = std::thread::spawn(move || {
        let socket = sender();
        for number in 0..sent {
            socket.send_to(format!("<13>{number}").as_bytes(), to).unwrap();
            // Paced, so that the kernel's buffer is never the limit: the test is about the restart.
            if number % 20 == 0 {
                pause_a_millisecond();
            }
        }
    });
    let mut restarts = 0;
    while !sending.is_finished() {
        source.stop().await;
        source.run();
        restarts += 1;
        let seen = received(source.status());
        source.until("goes on", |status| received(status) > seen + 100 || sending.is_finished()).await;
    }
    source.until("all", |status| received(status) == sent).await;
    source.stop().await;
    assert!(restarts > 3, "only {restarts} restarts");
    assert_eq!(source.dropped(DropReason::KernelBuffer), 0);
    let mut numbers: Vec<u64> = source.events(20_000).await.iter().map(|e| e.text()[4..].parse().unwrap()).collect();
    numbers.sort_unstable();
    assert!(numbers.into_iter().eq(0..sent));
}

/// Waits on nothing: the load generator's own pace.
#[expect(clippy::disallowed_methods, reason = "a load generator waits for time, not for a state")]
fn pause_a_millisecond() {
    std::thread::sleep(Duration::from_millis(1));
}

#[tokio::test]
async fn several_sockets_of_one_address_take_the_load_of_many_senders() {
    let port = sender().local_addr().unwrap();
    let mut source = Running::start(&format!("listen = [\"udp://{port}\"]\nudp_sockets = 3")).await;
    let senders: Vec<UdpSocket> = (0..100).map(|_| sender()).collect();
    for (number, socket) in senders.iter().enumerate() {
        for _ in 0..5 {
            socket.send_to(format!("<13>{number}").as_bytes(), port).unwrap();
        }
    }
    assert_eq!(source.events(500).await.len(), 500);
    assert_eq!(
        source.context.sockets.udp(source.config.sockets().last().unwrap(), true).unwrap().local_addr().unwrap(),
        port
    );
    source.stop().await;
}
