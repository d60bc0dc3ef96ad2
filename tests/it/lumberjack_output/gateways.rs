use sapphire_edge::status::Count;

use super::start;
use crate::peers::certificates::Authority;
use crate::peers::gateway::{Gateway, server};
use crate::peers::proxy::Proxy;
use crate::rig::{many, soon};

#[tokio::test]
async fn a_wrong_certificate_is_refused_in_words() {
    let authority = Authority::new();
    let stranger = Authority::new();
    let expired = authority.expired("127.0.0.1");
    for (identity, ca, words) in [
        (stranger.identity("127.0.0.1"), authority.ca(), "certificate"),
        (expired, authority.ca(), "expired"),
        (authority.identity("gw1.example.net"), authority.ca(), "certificate"),
    ] {
        let gateway = Gateway::tls(&server(&identity)).await;
        let output = start(&format!("endpoint = [\"{}\"]\ntls.ca = {ca:?}", gateway.address()));
        assert!(soon(gateway.try_accept()).await.is_err());
        output.health("failed", words).await;
        let Some(fault) = output.status.health().fault().cloned() else { panic!("no fault") };
        assert!(!fault.todo.is_empty());
        output.stop().await;
    }
}

#[tokio::test]
async fn a_pinned_key_is_enough_and_a_server_name_is_heeded() {
    let authority = Authority::new();
    let identity = authority.identity("gw1.example.net");
    let gateway = Gateway::tls(&server(&identity)).await;
    let pin = authority.pin(&identity);
    for tls in [
        format!("tls.pinned_keys = [\"{pin}\"]"),
        format!("tls.ca = {:?}\ntls.server_name = \"gw1.example.net\"", authority.ca()),
    ] {
        let output = start(&format!("endpoint = [\"{}\"]\n{tls}", gateway.address()));
        let ticket = output.submit(&["a"]).await;
        soon(soon(gateway.accept()).await.serve()).await;
        soon(ticket.settled()).await.unwrap();
        output.stop().await;
    }
    let wrong = "sha256/AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    let output = start(&format!("endpoint = [\"{}\"]\ntls.pinned_keys = [\"{wrong}\"]", gateway.address()));
    assert!(soon(gateway.try_accept()).await.is_err());
    output.health("failed", "pinned").await;
    output.stop().await;
}

#[tokio::test]
async fn a_client_certificate_is_shown_and_its_lack_is_told() {
    let authority = Authority::new();
    let mut config = server(&authority.identity("127.0.0.1"));
    config.client_auth = sapphire_edge::net::tls::ClientAuth::Required;
    config.client_ca = Some(authority.ca());
    let gateway = Gateway::tls(&config).await;
    let endpoint = format!("endpoint = [\"{}\"]\ntls.ca = {:?}", gateway.address(), authority.ca());
    let ours = authority.identity("edge-1.example.net");
    let output = start(&format!("{endpoint}\ntls.cert = {:?}\ntls.key = {:?}", ours.cert, ours.key));
    let ticket = output.submit(&["a"]).await;
    soon(soon(gateway.accept()).await.serve()).await;
    soon(ticket.settled()).await.unwrap();
    output.stop().await;
    let output = start(&endpoint);
    assert!(soon(gateway.try_accept()).await.is_err());
    output.health("failed", "CertificateRequired").await;
    output.stop().await;
}

#[tokio::test]
async fn failover_takes_the_next_and_goes_back_without_a_repeat() {
    let (first, second) = (Gateway::plain().await, Gateway::plain().await);
    let (here, there) = (first.address(), second.address());
    drop(first);
    let output =
        start(&format!("transport = \"tcp\"\nfailback = \"50ms\"\nwindow = 1\nendpoint = [\"{here}\", \"{there}\"]"));
    let one = output.submit(&["one"]).await;
    let mut connection = soon(second.accept()).await;
    output.health("degraded", &format!("events go to {there} because {here} refused")).await;
    soon(connection.serve()).await;
    soon(one.settled()).await.unwrap();
    // An ack is outstanding when the first gateway comes back; it is waited for.
    let two = output.submit(&["two"]).await;
    soon(connection.window()).await;
    let first = Gateway::plain_at(here).await;
    let mut back = soon(first.accept()).await;
    connection.ack(1).await;
    soon(two.settled()).await.unwrap();
    soon(connection.closed()).await;
    let three = output.submit(&["three"]).await;
    assert!(soon(back.serve()).await[0].message().contains("three"));
    soon(three.settled()).await.unwrap();
    output.health("healthy", "").await;
    assert_eq!(output.count(Count::RepeatedEvents), 0);
    output.stop().await;
}

#[tokio::test]
async fn failover_leaves_a_gateway_that_acknowledges_nothing() {
    let (first, second) = (Gateway::plain().await, Gateway::plain().await);
    let output = start(&format!(
        "transport = \"tcp\"\nack_timeout = \"100ms\"\nendpoint = [\"{}\", \"{}\"]",
        first.address(),
        second.address()
    ));
    let ticket = output.submit(&["one"]).await;
    let mut connection = soon(first.accept()).await;
    soon(connection.window()).await;
    let mut connection = soon(second.accept()).await;
    soon(connection.serve()).await;
    soon(ticket.settled()).await.unwrap();
    output.health("degraded", "takes connections but acknowledges nothing").await;
    output.stop().await;
}

#[tokio::test]
async fn failover_leaves_a_gateway_that_closes_each_connection_at_once() {
    let (first, second) = (Gateway::plain().await, Gateway::plain().await);
    let output = start(&format!("transport = \"tcp\"\nendpoint = [\"{}\", \"{}\"]", first.address(), second.address()));
    // Before there is anything to send, as a load balancer does that has no machine behind it.
    drop(soon(first.accept()).await);
    let mut connection = soon(second.accept()).await;
    // Also while there is nothing to send: the fault is the first one's.
    output.health("degraded", "takes connections but acknowledges nothing").await;
    let ticket = output.submit(&["one"]).await;
    soon(connection.serve()).await;
    soon(ticket.settled()).await.unwrap();
    output.stop().await;
}

#[tokio::test]
async fn all_gateways_down_is_told_with_the_first_reason() {
    let (first, second) = (Gateway::plain().await, Gateway::plain().await);
    let endpoints = format!("endpoint = [\"{}\", \"{}\"]", first.address(), second.address());
    drop((first, second));
    let output = start(&format!("transport = \"tcp\"\n{endpoints}"));
    output.health("failed", "none of the 2 gateways can be used").await;
    output.stop().await;
}

#[tokio::test]
async fn balance_uses_all_and_does_without_the_one_that_fails() {
    let (first, second) = (Gateway::plain().await, Gateway::plain().await);
    let output = start(&format!(
        "transport = \"tcp\"\nmode = \"balance\"\nwindow = 10\nwindows_in_flight = 1\nendpoint = [\"{}\", \"{}\"]",
        first.address(),
        second.address()
    ));
    let mut one = soon(first.accept()).await;
    let mut two = soon(second.accept()).await;
    let mut tickets = Vec::new();
    for _ in 0..20 {
        tickets.push(output.intake.submit(many(10)).await.unwrap());
    }
    // Neither acknowledges before both have something.
    let (a, b) = (soon(one.window()).await, soon(two.window()).await);
    assert_ne!(a[0].id(), b[0].id());
    drop((two, second));
    one.ack(10).await;
    output.health("degraded", "1 of 2 gateways").await;
    let mut delivered = a.len();
    while delivered < 200 {
        delivered += soon(one.serve()).await.len();
    }
    for ticket in tickets {
        soon(ticket.settled()).await.unwrap();
    }
    output.stop().await;
}

#[tokio::test]
async fn the_way_out_may_lead_through_a_proxy() {
    let authority = Authority::new();
    let gateway = Gateway::tls(&server(&authority.identity("127.0.0.1"))).await;
    // "edge:open sesame", as RFC 7617 encodes it.
    let proxy = Proxy::start("Proxy-Authorization: Basic ZWRnZTpvcGVuIHNlc2FtZQ==").await;
    let password = authority.folder().join("password");
    std::fs::write(&password, "open sesame\n").unwrap();
    let settings = format!(
        "endpoint = [\"{}\"]\ntls.ca = {:?}\nproxy = \"{}\"\n",
        gateway.address(),
        authority.ca(),
        proxy.address()
    );
    let output = start(&settings.replace("proxy =", "connect_timeout = \"5s\"\nproxy ="));
    output.health("failed", "407").await;
    output.stop().await;
    let user = format!("proxy_user = \"edge\"\nproxy_password_file = {password:?}\n");
    let output = start(&format!("{user}{settings}"));
    let ticket = output.submit(&["a"]).await;
    soon(soon(gateway.accept()).await.serve()).await;
    soon(ticket.settled()).await.unwrap();
    output.stop().await;
}
