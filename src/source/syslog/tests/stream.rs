use std::collections::HashMap;

use super::*;

#[tokio::test]
async fn both_framings_arrive_whole_however_they_are_cut_up() {
    let mut source = Running::start("listen = [\"tcp://127.0.0.1:0\"]\nbatch_after = \"1ms\"").await;
    let wires: [&[u8]; 3] =
        [b"<13>one\n<13>two\r\n<13>three\0", b"7 <13>one7 <13>two9 <13>three", b"<13>one\n\n<13>two\n<13>three"];
    for wire in wires {
        for at in 0..wire.len() {
            let mut stream = TcpStream::connect(source.at(0)).await.unwrap();
            stream.set_nodelay(true).unwrap();
            stream.write_all(&wire[..at]).await.unwrap();
            tokio::task::yield_now().await;
            stream.write_all(&wire[at..]).await.unwrap();
            stream.shutdown().await.unwrap();
            assert!(is_closed(&mut stream).await);
            let texts: Vec<String> = source.events(3).await.iter().map(Event::text).collect();
            assert_eq!(texts, ["<13>one", "<13>two", "<13>three"]);
        }
    }
    source.stop().await;
}

#[tokio::test]
async fn the_framing_can_be_set() {
    let mut lines = Running::start("listen = [\"tcp://127.0.0.1:0\"]\nframing = \"lines\"").await;
    send(lines.at(0), b"5 <13>a\n").await;
    assert_eq!(lines.events(1).await[0].text(), "5 <13>a");
    lines.stop().await;
    let mut counted = Running::start("listen = [\"tcp://127.0.0.1:0\"]\nframing = \"counted\"").await;
    let mut stream = TcpStream::connect(counted.at(0)).await.unwrap();
    stream.write_all(b"5 no pri5 <13>a").await.unwrap();
    assert!(is_closed(&mut stream).await, "\"pri\" is no count");
    assert_eq!(counted.events(1).await[0].text(), "no pr");
    assert_eq!(counted.counters().count(Count::ProtocolErrors), 1);
    counted.stop().await;
}

#[tokio::test]
async fn an_over_long_message_is_cut_marked_and_counted() {
    let mut source = Running::start("listen = [\"tcp://127.0.0.1:0\"]\nmax_message = \"1KiB\"").await;
    let long = vec![b'a'; 300_000];
    send(source.at(0), &[&b"<13>"[..], &long, b"\n<13>next\n"].concat()).await;
    send(source.at(0), &[&b"300004 <13>"[..], &long, b"8 <13>next"].concat()).await;
    let events = source.events(4).await;
    let (cut, whole): (Vec<_>, Vec<_>) = events.into_iter().partition(|event| event.cut_from.is_some());
    assert!(cut.iter().all(|event| event.bytes == [b"<13>", &long[..1_020]].concat()));
    assert_eq!(cut.iter().map(|event| event.cut_from).collect::<Vec<_>>(), [Some(300_004); 2]);
    assert_eq!(whole.iter().map(Event::text).collect::<Vec<_>>(), ["<13>next"; 2]);
    assert_eq!(source.counters().count(Count::CutEvents), 2);
    source.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_senders_at_once_lose_nothing_and_keep_their_order() {
    const EACH: usize = 20;
    let mut source = Running::start("listen = [\"tcp://127.0.0.1:0\"]").await;
    let (to, mut senders) = (source.at(0), JoinSet::new());
    for sender in 0..1_000 {
        senders.spawn(async move {
            let mut stream = TcpStream::connect(to).await.unwrap();
            for number in 0..EACH {
                let text = format!("<13>{sender} {number}");
                let framed = if sender % 2 == 0 { format!("{text}\n") } else { format!("{} {text}", text.len()) };
                stream.write_all(framed.as_bytes()).await.unwrap();
                tokio::task::yield_now().await;
            }
            stream
        });
    }
    let streams = senders.join_all().await;
    let mut next: HashMap<String, usize> = HashMap::new();
    for event in source.events(1_000 * EACH).await {
        let text = event.text();
        let (sender, number) = text[4..].split_once(' ').unwrap();
        let wanted = next.entry(sender.to_owned()).or_default();
        assert_eq!(number.parse::<usize>().unwrap(), *wanted, "order of {sender}");
        *wanted += 1;
    }
    assert_eq!(next.len(), 1_000);
    assert_eq!(source.counters().gauge(Gauge::OpenConnections), 1_000);
    drop(streams);
    source.stop().await;
}

#[tokio::test]
async fn a_hundred_slow_senders_do_not_slow_a_fast_one() {
    let mut source = Running::start("listen = [\"tcp://127.0.0.1:0\"]").await;
    let mut slow = Vec::new();
    for _ in 0..100 {
        let mut stream = TcpStream::connect(source.at(0)).await.unwrap();
        stream.write_all(b"<13>sl").await.unwrap();
        slow.push(stream);
    }
    source.until("connected", |status| status.counters().gauge(Gauge::OpenConnections) == 100).await;
    send(source.at(0), &b"<13>fast\n".repeat(1_000)).await;
    assert!(source.events(1_000).await.iter().all(|event| event.bytes == b"<13>fast"));
    for stream in &mut slow {
        stream.write_all(b"ow\n").await.unwrap();
    }
    assert!(source.events(100).await.iter().all(|event| event.bytes == b"<13>slow"));
    source.stop().await;
}

#[tokio::test]
async fn a_silent_connection_is_closed_and_its_unfinished_line_is_kept() {
    let mut source = Running::start("listen = [\"tcp://127.0.0.1:0\"]\nidle_timeout = \"1s\"").await;
    let mut idle = TcpStream::connect(source.at(0)).await.unwrap();
    let mut half = TcpStream::connect(source.at(0)).await.unwrap();
    half.write_all(b"<189>12: no end").await.unwrap();
    assert!(is_closed(&mut idle).await && is_closed(&mut half).await);
    assert_eq!(source.events(1).await[0].text(), "<189>12: no end");
    source.stop().await;
}

#[tokio::test]
async fn a_line_without_end_is_given_out_after_half_a_minute_of_silence() {
    let mut source = Running::start("listen = [\"tcp://127.0.0.1:0\"]").await;
    let mut stream = TcpStream::connect(source.at(0)).await.unwrap();
    stream.write_all(b"<189>12: whole\n<189>13: no end").await.unwrap();
    assert_eq!(source.events(1).await[0].text(), "<189>12: whole");
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(29)).await;
    tokio::time::resume();
    source.status().set(Health::Starting);
    source.until("a second later", |status| status.health() == Health::Healthy).await;
    assert_eq!(received(source.status()), 1, "after 29 seconds");
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(2)).await;
    tokio::time::resume();
    assert_eq!(source.events(1).await[0].text(), "<189>13: no end");
    stream.write_all(b"<189>14: goes on\n").await.unwrap();
    assert_eq!(source.events(1).await[0].text(), "<189>14: goes on");
    source.stop().await;
}

#[tokio::test]
async fn who_is_not_allowed_is_closed_and_counted() {
    let mut source = Running::start("listen = [\"tcp://127.0.0.1:0\"]\nallow = [\"10.0.0.0/8\"]").await;
    assert!(is_closed(&mut TcpStream::connect(source.at(0)).await.unwrap()).await);
    source.until("refused", |status| status.counters().count(Count::RefusedConnections) == 1).await;
    source.stop().await;
}

#[tokio::test]
async fn all_connections_in_use_is_shown() {
    let mut source = Running::start("listen = [\"tcp://127.0.0.1:0\"]\nmax_connections = 1").await;
    let stream = TcpStream::connect(source.at(0)).await.unwrap();
    source.until("degraded", |status| status.health().word() == "degraded").await;
    assert!(source.status().health().fault().unwrap().todo.contains("max_connections"));
    drop(stream);
    source.until("healthy", |status| status.health() == Health::Healthy).await;
    source.stop().await;
}

#[tokio::test]
async fn a_full_queue_holds_the_senders_back_and_loses_nothing() {
    const EACH: usize = 25_000;
    let (max_size, segment_size, memory) = (Size::mib(4), Size::mib(1), Size::mib(2));
    let queue = queue::Config { max_size, reserve: Some(Size(0)), segment_size, memory, ..queue::Config::default() };
    let mut source = Running::start_with(config("listen = [\"tcp://127.0.0.1:0\"]"), queue, Sockets::default()).await;
    let (to, mut senders) = (source.at(0), JoinSet::new());
    for _ in 0..4 {
        senders.spawn(async move {
            let mut stream = TcpStream::connect(to).await.unwrap();
            for _ in 0..EACH {
                // Random digits hardly compress: half of their bytes at least.
                let numbers: [u64; 30] = rand::random();
                stream.write_all(format!("<13>{numbers:016x?}\n").as_bytes()).await.unwrap();
            }
        });
    }
    // Some 55 MB are on their way, more than the kernel's buffers hold too. Nobody takes them out: intake must stop.
    let mut before = u64::MAX;
    while before != received(source.status()) || before == 0 {
        before = received(source.status());
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    let taken = source.counters().count(Count::ReceivedBytes);
    assert!(taken < 14 << 20, "{taken} bytes of 55 MB were taken into a queue of 4 MiB");
    assert_eq!(source.events(4 * EACH).await.len(), 4 * EACH);
    senders.join_all().await;
    source.stop().await;
}

#[tokio::test]
async fn a_stop_takes_what_was_sent_and_lets_no_sender_hold_it_up() {
    let mut source = Running::start("listen = [\"tcp://127.0.0.1:0\"]\nbatch_after = \"10s\"").await;
    let mut done = TcpStream::connect(source.at(0)).await.unwrap();
    let mut endless = TcpStream::connect(source.at(0)).await.unwrap();
    source.until("connected", |status| status.counters().gauge(Gauge::OpenConnections) == 2).await;
    done.write_all(&b"<13>last words\n".repeat(100)).await.unwrap();
    done.write_all(b"<13>half").await.unwrap();
    let mut tasks = JoinSet::new();
    tasks.spawn(async move { while endless.write_all(b"<13>and on\n").await.is_ok() {} });
    source.stop().await;
    tasks.join_all().await;
    let mut texts = Vec::new();
    while let Ok(events) = tokio::time::timeout(Duration::from_millis(50), source.next_events()).await {
        texts.extend(events.iter().map(Event::text).filter(|text| !text.contains("and on")));
    }
    assert_eq!(texts.iter().filter(|text| *text == "<13>last words").count(), 100);
    assert_eq!(texts.last().unwrap(), "<13>half");
    // The kernel still takes connections for the next run.
    let mut early = TcpStream::connect(source.at(0)).await.unwrap();
    early.write_all(b"<13>before the next run\n").await.unwrap();
    let before = received(source.status());
    source.run();
    source.until("received", |status| received(status) > before).await;
    source.stop().await;
    assert_eq!(source.events(1).await[0].text(), "<13>before the next run");
}

#[tokio::test]
async fn a_closed_queue_ends_the_source_in_peace() {
    let mut source = Running::start("listen = [\"udp://127.0.0.1:0\", \"tcp://127.0.0.1:0\"]").await;
    let grace = Duration::from_secs(60);
    assert!(source.queue.take().unwrap().close(grace).await);
    let mut stream = TcpStream::connect(source.at(1)).await.unwrap();
    stream.write_all(b"<13>too late\n").await.unwrap();
    source.until("counted", |_| source.dropped(DropReason::Stopping) == 1).await;
    source.stop().await;
}
