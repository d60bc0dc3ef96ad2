//! A connection against a broker that says what the test writes, byte for byte.

use std::time::Duration;

use rumqttc::v5::mqttbytes::v5 as wire;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::*;

/// A yes without properties, one that allows two messages of 100 bytes, and one that takes no QoS 1.
const YES: [u8; 5] = [0x20, 3, 0, 0, 0];
const LITTLE: [u8; 13] = [0x20, 11, 0, 0, 8, 0x21, 0, 2, 0x27, 0, 0, 0, 100];
const NO_QOS: [u8; 7] = [0x20, 5, 0, 0, 2, 0x24, 0];
const SECOND: Duration = Duration::from_secs(1);

struct Scripted {
    stream: TcpStream,
    inbox: BytesMut,
}

impl Scripted {
    /// What the client sends next.
    async fn next(&mut self) -> wire::Packet {
        loop {
            if wire::check(self.inbox.iter(), None).is_ok() {
                return wire::Packet::read(&mut self.inbox, None).unwrap();
            }
            assert!(self.stream.read_buf(&mut self.inbox).await.unwrap() > 0, "the client left");
        }
    }

    async fn publish(&mut self) -> wire::Publish {
        let packet = self.next().await;
        let wire::Packet::Publish(publish) = packet else { panic!("{packet:?}") };
        publish
    }

    async fn say(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    async fn acknowledge(&mut self, id: u16, reason: u8) {
        let [high, low] = id.to_be_bytes();
        self.say(&[0x40, 3, high, low, reason]).await;
    }
}

/// A client that greets a broker which answers so; and the greeting.
async fn greet(answer: &[u8]) -> (Result<Connection, MqttError>, Scripted, wire::Packet) {
    greet_as(answer, |_| {}).await
}

/// The same, where something is different with the client.
async fn greet_as(
    answer: &[u8],
    change: impl FnOnce(&mut Broker),
) -> (Result<Connection, MqttError>, Scripted, wire::Packet) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let dialer = Dialer {
        endpoint: listener.local_addr().unwrap().into(),
        proxy: None,
        tls: None,
        connect_timeout: Duration::from_millis(500),
    };
    let mut broker = Broker {
        dialer,
        client_id: "edge-1".into(),
        user: Some("box".into()),
        password_file: None,
        keep_alive: 60 * SECOND,
        in_flight: 10,
        will: None,
        session: None,
    };
    change(&mut broker);
    let serve = async {
        let mut scripted = Scripted { stream: listener.accept().await.unwrap().0, inbox: BytesMut::new() };
        let hello = scripted.next().await;
        scripted.say(answer).await;
        (scripted, hello)
    };
    let (connected, (scripted, hello)) = tokio::join!(broker.connect(), serve);
    (connected, scripted, hello)
}

async fn open(answer: &[u8]) -> (Connection, Scripted) {
    let (connected, scripted, _) = greet(answer).await;
    (connected.unwrap(), scripted)
}

fn message(payload: &[u8]) -> Message<'_> {
    Message { topic: "a/b", payload, content_type: "text/plain", retain: false }
}

/// The words of the error that a broker's bytes end a connection with.
async fn ends(said: &[u8]) -> MqttError {
    let (mut connection, mut scripted) = open(&YES).await;
    connection.publish(&message(b"x")).unwrap();
    scripted.say(said).await;
    let ((), ended) = tokio::join!(
        async {
            scripted.publish().await;
            scripted.stream.shutdown().await.unwrap();
        },
        connection.next()
    );
    ended.unwrap_err()
}

#[tokio::test]
async fn the_greeting_says_who_we_are_and_begins_anew() {
    let (connected, _scripted, hello) = greet(&YES).await;
    assert!(connected.is_ok());
    let wire::Packet::Connect(connect, None, Some(login)) = hello else { panic!("{hello:?}") };
    assert_eq!((connect.client_id.as_str(), connect.clean_start, connect.keep_alive), ("edge-1", true, 60));
    assert_eq!(connect.properties.unwrap().max_packet_size, Some(MAX_INCOMING));
    assert_eq!((login.username.as_str(), login.password.as_str()), ("box", ""));
}

#[tokio::test]
async fn a_will_is_left_and_a_session_is_taken_up_again() {
    let (connected, mut scripted, hello) = greet_as(&YES, |broker| {
        broker.will = Some(Will { topic: "a/status".into(), payload: "lost".into() });
        broker.session = Some(3_600 * SECOND);
    })
    .await;
    let wire::Packet::Connect(connect, Some(will), _) = hello else { panic!("{hello:?}") };
    let properties = connect.properties.unwrap();
    assert_eq!((connect.clean_start, properties.session_expiry_interval), (false, Some(3_600)));
    assert_eq!(properties.receive_maximum, Some(MAX_UNTAKEN));
    assert_eq!((&*will.topic, &*will.message, will.retain), (&b"a/status"[..], &b"lost"[..], true));
    // What waited comes before anything was subscribed to.
    let mut connection = connected.unwrap();
    scripted.say(&[0x32, 8, 0, 1, b'c', 0, 9, 0, b'h', b'i']).await;
    let Event::Message(arrived) = connection.next().await.unwrap() else { panic!("no message") };
    assert_eq!((arrived.topic.as_str(), &*arrived.payload, arrived.is_repeat), ("c", &b"hi"[..], false));
    connection.taken(&arrived);
    connection.publish(&Message { retain: true, ..message(b"x") }).unwrap();
    let serve = async {
        let wire::Packet::PubAck(ack) = scripted.next().await else { panic!("no acknowledgement") };
        let publish = scripted.publish().await;
        scripted.acknowledge(publish.pkid, 0).await;
        (ack.pkid, publish.retain)
    };
    let (seen, event) = tokio::join!(serve, connection.next());
    assert_eq!((seen, event.unwrap()), ((9, true), Event::Acknowledged(Reason::SUCCESS)));
}

#[tokio::test]
async fn a_subscription_is_answered_and_a_message_without_one_is_an_error() {
    let (mut connection, mut scripted) = open(&YES).await;
    connection.subscribe(&["a/b", "c/#"]);
    let serve = async {
        let wire::Packet::Subscribe(subscribe) = scripted.next().await else { panic!("no subscription") };
        let [high, low] = subscribe.pkid.to_be_bytes();
        scripted.say(&[0x90, 5, high, low, 0, 1, 0x87]).await;
        subscribe.filters.iter().map(|filter| (filter.path.clone(), filter.qos)).collect::<Vec<_>>()
    };
    let (filters, event) = tokio::join!(serve, connection.next());
    assert_eq!(filters, [("a/b".to_owned(), QoS::AtLeastOnce), ("c/#".to_owned(), QoS::AtLeastOnce)]);
    assert_eq!(event.unwrap(), Event::Subscribed(vec![Reason::SUCCESS, Reason::NOT_AUTHORIZED]));
    let error = ends(&[0x30, 6, 0, 1, b'c', 0, b'h', b'i']).await;
    assert!(error.is_protocol() && error.what().contains("nobody asked for"), "{error}");
    let error = ends(&[0x90, 4, 0, 9, 0, 1]).await;
    assert!(error.is_protocol() && error.what().contains("nobody wanted"), "{error}");
}

#[tokio::test]
async fn what_the_broker_allows_is_kept_to() {
    let (mut connection, mut scripted) = open(&LITTLE).await;
    assert_eq!(connection.max_packet(), 100);
    assert_eq!(connection.publish(&message(&[b'x'; 100])), Err(123));
    for payload in [b"1", b"2"] {
        assert!(connection.has_room());
        connection.publish(&message(payload)).unwrap();
    }
    assert!(!connection.has_room());
    let serve = async {
        let one = scripted.publish().await;
        assert_eq!((&*one.topic, &*one.payload, one.qos as u8, one.dup), (&b"a/b"[..], &b"1"[..], 1, false));
        assert_eq!(one.properties.unwrap().content_type.as_deref(), Some("text/plain"));
        scripted.acknowledge(one.pkid, 0).await;
    };
    let ((), event) = tokio::join!(serve, connection.next());
    assert_eq!(event.unwrap(), Event::Acknowledged(Reason::SUCCESS));
    assert!(connection.has_room());
}

#[tokio::test]
async fn acknowledgements_are_told_in_the_order_of_the_messages() {
    let (mut connection, mut scripted) = open(&YES).await;
    for payload in [b"1", b"2", b"3"] {
        connection.publish(&message(payload)).unwrap();
    }
    let serve = async {
        let ids = [scripted.publish().await.pkid, scripted.publish().await.pkid, scripted.publish().await.pkid];
        scripted.acknowledge(ids[2], 0x10).await;
        scripted.acknowledge(ids[1], 0x87).await;
        scripted.acknowledge(ids[0], 0).await;
    };
    let hear = async {
        let mut reasons = Vec::new();
        for _ in 0..3 {
            let Event::Acknowledged(reason) = connection.next().await.unwrap() else { panic!("no acknowledgement") };
            reasons.push(reason.0);
        }
        reasons
    };
    assert_eq!(tokio::join!(serve, hear).1, [0, 0x87, 0x10]);
}

#[tokio::test]
async fn packet_numbers_go_round_and_are_never_zero() {
    let (mut connection, mut scripted) = open(&YES).await;
    let mut seen = Vec::new();
    for _ in 0..65_540 {
        connection.publish(&message(b"x")).unwrap();
        let serve = async {
            let id = scripted.publish().await.pkid;
            scripted.acknowledge(id, 0).await;
            id
        };
        let (id, event) = tokio::join!(serve, connection.next());
        event.unwrap();
        seen.push(id);
    }
    assert!(!seen.contains(&0));
    assert_eq!((seen[0], seen[65_534], seen[65_535]), (1, 65_535, 1));
}

#[tokio::test]
async fn a_refusal_at_the_door_says_why() {
    let refused = async |answer: &[u8]| greet(answer).await.0.unwrap_err();
    let error = refused(&[0x20, 3, 0, 0x86, 0]).await;
    assert!(error.is_login() && error.what().contains("does not let user \"box\" in"), "{error}");
    let error = refused(&[0x20, 3, 0, 0x85, 0]).await;
    assert!(!error.is_login() && error.todo().contains("set client_id"), "{error}");
    // A broker that knows 3.1.1 only.
    let error = refused(&[0x20, 2, 0, 1]).await;
    assert!(error.is_protocol() && error.what().contains("does not speak MQTT 5"), "{error}");
    let error = refused(&NO_QOS).await;
    assert!(error.is_protocol() && error.what().contains("QoS 1"), "{error}");
    let page = [b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/html\r\n\r\n".as_slice(), &[b' '; 100]].concat();
    let error = refused(&page).await;
    assert!(error.is_protocol() && error.what().contains("broke the MQTT 5 protocol"), "{error}");
    let error = refused(&[]).await;
    assert!(matches!(error, MqttError::Silent { .. }) && error.what().contains("has not answered"), "{error}");
}

#[tokio::test]
async fn an_end_says_why() {
    let error = ends(&[0xe0, 1, 0x8e]).await;
    assert!(error.what().contains("another client has come with the same client id"), "{error}");
    assert!(error.todo().contains("\"edge-1\" is used twice"), "{error}");
    let error = ends(&[0xe0, 0]).await;
    assert!(matches!(error, MqttError::Left { reason: Reason::SUCCESS, .. }), "{error}");
    let error = ends(&[]).await;
    assert!(matches!(error, MqttError::Closed { greeted: true, .. }), "{error}");
    let error = ends(&[0x40, 2, 0, 9]).await;
    assert!(error.is_protocol() && error.what().contains("message 9, which was not in flight"), "{error}");
    let error = ends(&YES).await;
    assert!(error.is_protocol() && error.what().contains("twice"), "{error}");
}

#[tokio::test]
async fn nothing_is_lost_when_the_wait_is_given_up_and_taken_up_again() {
    let (mut connection, mut scripted) = open(&YES).await;
    connection.publish(&message(b"x")).unwrap();
    let serve = async {
        let id = scripted.publish().await.pkid;
        for byte in [0x40, 2, 0, u8::try_from(id).unwrap()] {
            scripted.say(&[byte]).await;
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let hear = async {
        loop {
            if let Ok(event) = tokio::time::timeout(Duration::from_millis(1), connection.next()).await {
                return event.unwrap();
            }
        }
    };
    assert_eq!(tokio::join!(serve, hear).1, Event::Acknowledged(Reason::SUCCESS));
}

#[tokio::test]
async fn a_quiet_broker_is_asked_for_a_sign_of_life_and_left_without_one() {
    // Server keep alive (section 3.2.2.3.14): a second.
    let (mut connection, mut scripted) = open(&[0x20, 6, 0, 0, 3, 0x13, 0, 1]).await;
    let serve = async {
        assert_eq!(scripted.next().await, wire::Packet::PingReq(wire::PingReq));
        scripted.say(&[0xd0, 0]).await;
        assert_eq!(scripted.next().await, wire::Packet::PingReq(wire::PingReq));
        tokio::time::pause();
        std::future::pending::<()>().await;
    };
    let error = tokio::select! {
        ended = connection.next() => ended.unwrap_err(),
        () = serve => unreachable!(),
    };
    assert!(matches!(error, MqttError::Silent { after, .. } if after >= 30 * SECOND), "{error}");
}

#[tokio::test]
async fn it_says_goodbye() {
    let (connection, mut scripted) = open(&YES).await;
    connection.close(SECOND).await;
    // Section 3.14.2.1: no reason stands for a normal end.
    let mut rest = Vec::new();
    scripted.stream.read_to_end(&mut rest).await.unwrap();
    assert_eq!(rest, [0xe0, 0]);
}

#[tokio::test]
async fn a_password_that_cannot_be_read_is_told_before_anything_is_dialled() {
    let broker = Broker {
        dialer: Dialer { endpoint: "127.0.0.1:1".parse().unwrap(), proxy: None, tls: None, connect_timeout: SECOND },
        client_id: "edge-1".into(),
        user: Some("box".into()),
        password_file: Some("/nowhere/password".into()),
        keep_alive: 60 * SECOND,
        in_flight: 10,
        will: None,
        session: None,
    };
    let error = broker.connect().await.unwrap_err();
    assert!(error.is_login() && error.what().contains("/nowhere/password"), "{error}");
}
