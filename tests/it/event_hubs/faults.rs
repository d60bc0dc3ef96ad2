//! What goes wrong at the vendor, what the box says, and that it reads on by itself.

use serde_json::json;

use super::{Site, health, messages, numbered, wait_for, written};
use crate::peers::appliance::{Appliance, until};
use crate::peers::event_hub::{KEY, POLICY};

const SOURCE: &str = "event_hub = [\"h\"]\n";

/// One hub with one partition that was read up to three events, and its appliance.
fn begun(more: &str) -> Option<(Site, Appliance)> {
    let site = Site::new(&[("h", 1, &["$Default"])])?;
    let edge = site.edge(&site.source(&format!("{SOURCE}{more}")));
    site.hub.send("h", 0, numbered(0..3));
    wait_for(&edge, 3);
    Some((site, edge))
}

/// Three more events come, and nothing came under two ids.
fn goes_on(site: &Site, edge: &Appliance) {
    site.hub.send("h", 0, numbered(3..6));
    let expected: Vec<String> = (0..6).map(|number| format!("{{\"n\":{}}}", 100_000 + number)).collect();
    assert_eq!(messages(&wait_for(edge, 6)), expected);
    health(edge, "healthy", "");
}

#[test]
fn broken_links_and_connections_are_made_again_where_they_were() {
    for command in [
        json!({ "do": "detach", "condition": "amqp:link:detach-forced" }),
        json!({ "do": "detach", "condition": "amqp:internal-error" }),
        json!({ "do": "detach", "condition": "com.microsoft:unheard-of" }),
        json!({ "do": "close", "condition": "amqp:connection:forced" }),
        json!({ "do": "cut" }),
        json!({ "do": "expire" }),
    ] {
        let Some((site, edge)) = begun("") else { return };
        site.hub.tell(&command);
        goes_on(&site, &edge);
        edge.stop();
        site.hub.is_content();
    }
}

#[test]
fn a_refused_login_is_told_and_a_new_key_is_taken_into_use_by_itself() {
    let Some((site, edge)) = begun("") else { return };
    let key = "YW5vdGhlci1rZXk=";
    site.hub.tell(&json!({ "do": "policy", "policy": POLICY, "key": key }));
    site.hub.tell(&json!({ "do": "cut" }));
    health(&edge, "failed", "contoso.servicebus.windows.net refuses the login listen for event hub h");
    std::fs::write(site.authority.folder().join("key"), key).unwrap();
    goes_on(&site, &edge);
    let log = edge.stop();
    for secret in [KEY, key, "SharedAccessSignature sr"] {
        assert!(!log.contains(secret), "the log holds a secret");
    }
}

#[test]
fn what_the_administrator_got_wrong_is_named() {
    let Some(site) = Site::new(&[("h", 1, &["$Default"])]) else { return };
    for (settings, words) in [
        ("event_hub = [\"absent\"]\n", "there is no event hub absent in contoso.servicebus.windows.net"),
        ("event_hub = [\"h\"]\nconsumer_group = [\"absent\"]\n", "event hub h has no consumer group absent"),
    ] {
        let edge = site.edge(&site.source(settings));
        health(&edge, "failed", words);
        edge.stop();
    }
    let edge = site.edge(&site.source(SOURCE).replace("policy = \"listen\"", "policy = \"absent\""));
    health(&edge, "failed", "refuses the login absent");
    edge.stop();
    // The certificate must hold the namespace's name, whatever is dialled.
    let edge = site.edge(&site.source(SOURCE).replace("namespace = \"contoso\"", "namespace = \"fabrikam\""));
    health(&edge, "failed", "was refused: ");
    edge.stop();
}

#[test]
fn a_busy_namespace_is_told_and_waited_for() {
    let Some(site) = Site::new(&[("h", 1, &["$Default"])]) else { return };
    site.hub.fault("attach", "Partitions/0", "com.microsoft:server-busy", 1);
    let edge = site.edge(&site.source(SOURCE));
    health(&edge, "failed", "is busy and asks to wait");
    site.hub.send("h", 0, numbered(0..3));
    // It waits for ten seconds, as the service asks.
    wait_for(&edge, 3);
    edge.stop();
    site.hub.is_content();
}

#[test]
fn a_reader_that_is_pushed_out_waits_and_takes_over_when_the_other_ends() {
    let Some((site, edge)) = begun("") else { return };
    let other = json!({ "do": "steal", "hub": "h", "group": "$Default", "partition": "0", "epoch": 0 });
    site.hub.tell(&other);
    health(&edge, "failed", "another reader of consumer group $Default has partition 0 of event hub h");
    let attached = || site.hub.state()["attaches"].as_array().unwrap().len();
    let before = attached();
    // It looks after 30 s, without pushing the other out.
    until("it looks again", || site.hub.state()["refusals"].to_string().contains("non-epoch receiver").then_some(()));
    assert_eq!(attached(), before);
    site.hub.tell(&json!({ "do": "release" }));
    goes_on(&site, &edge);
    edge.stop();
    site.hub.is_content();
}

#[test]
fn events_that_expired_are_counted_and_told() {
    let Some((site, mut edge)) = begun("") else { return };
    edge.signal(nix::sys::signal::Signal::SIGTERM);
    assert!(edge.wait().success());
    site.hub.send("h", 0, numbered(3..10));
    site.hub.tell(&json!({ "do": "trim", "hub": "h", "partition": "0", "begin": 8 }));
    edge.restart();
    let events = wait_for(&edge, 5);
    assert_eq!(messages(&events)[3..], ["{\"n\":100008}", "{\"n\":100009}"]);
    let told = || {
        let notices = written(&edge).1;
        let of = |kind: &str| notices.iter().find(|notice| notice["notice"]["kind"] == kind).cloned();
        Some((of("position_lost")?, of("events_dropped")?))
    };
    let (lost, dropped) = until("the hole is told", told);
    assert_eq!((&lost["notice"]["count"], &lost["notice"]["last_sequence_number"]), (&json!(5), &json!(2)));
    assert_eq!((&dropped["notice"]["count"], &dropped["notice"]["reason"]), (&json!(5), &json!("expired")));
    edge.stop();
    site.hub.is_content();
}

#[test]
fn a_hub_that_is_made_anew_and_one_that_failed_over_begin_with_their_oldest_event() {
    for command in ["renew", "fail_over"] {
        let Some((site, mut edge)) = begun("") else { return };
        edge.signal(nix::sys::signal::Signal::SIGTERM);
        assert!(edge.wait().success());
        site.hub.tell(&json!({ "do": command, "hub": "h" }));
        site.hub.send("h", 0, numbered(3..6));
        edge.restart();
        let events = wait_for(&edge, 6);
        assert_eq!(messages(&events).last().unwrap(), "{\"n\":100005}", "{command}");
        let lost = || written(&edge).1.into_iter().find(|notice| notice["notice"]["kind"] == "position_lost");
        until("the hole is told", lost);
        edge.stop();
        site.hub.is_content();
    }
}

#[test]
fn a_namespace_that_falls_silent_is_left() {
    let Some((site, edge)) = begun("probe_every = \"100ms\"\n") else { return };
    site.hub.tell(&json!({ "do": "freeze", "on": true }));
    health(&edge, "failed", "does not answer");
    site.hub.tell(&json!({ "do": "freeze", "on": false }));
    site.hub.tell(&json!({ "do": "cut" }));
    goes_on(&site, &edge);
    edge.stop();
}

#[test]
fn our_signs_of_life_keep_an_idle_connection() {
    let Some(site) = Site::new(&[("h", 1, &["$Default"])]) else { return };
    site.hub.tell(&json!({ "do": "idle", "ms": 1_000 }));
    let edge = site.edge(&site.source(SOURCE));
    site.hub.send("h", 0, numbered(0..3));
    wait_for(&edge, 3);
    let begin = sapphire_edge::clock::monotonic();
    until("three seconds pass", || (begin.elapsed().as_secs() >= 3).then_some(()));
    goes_on(&site, &edge);
    assert_eq!(site.hub.state()["opens"].as_array().unwrap().len(), 1);
    edge.stop();
    site.hub.is_content();
}

#[test]
fn nothing_more_is_asked_for_while_the_queue_is_full() {
    let Some(site) = Site::new(&[("h", 1, &["$Default"])]) else { return };
    let settings = format!(
        "[queue]\nmax_size = \"4MiB\"\nsegment_size = \"1MiB\"\nmemory = \"2MiB\"\nflush_bytes = \"1MiB\"\n\
         flush_after = \"20ms\"\n[[output]]\nid = \"gw\"\ntype = \"lumberjack\"\ntransport = \"tcp\"\n\
         endpoint = [\"127.0.0.1:1\"]\n{}",
        site.source(&format!("{SOURCE}prefetch = \"1MiB\"\n"))
    );
    let edge = Appliance::start(&settings);
    // Text that does not compress.
    let noise = || (0..65_536).map(|_| char::from(rand::random_range(b'!'..b'~'))).collect::<String>();
    for _ in 0..30 {
        site.hub.send("h", 0, (0..8).map(|_| noise()));
    }
    let sent = || site.hub.state()["sent"].as_u64().unwrap();
    let mut last = (0, 0);
    until("it stands still", || {
        let now = sent();
        last = if now == last.0 { (now, last.1 + 1) } else { (now, 0) };
        (now > 0 && last.1 > 200).then_some(())
    });
    assert!(last.0 < 200, "{} of 240 were taken by a full queue", last.0);
    edge.stop();
    site.hub.is_content();
}

#[test]
fn an_application_of_entra_logs_in_renews_and_is_named_when_it_is_wrong() {
    let Some(site) = Site::new(&[("h", 1, &["$Default"])]) else { return };
    let login = site.authority.identity("127.0.0.1");
    let Some(entra) = crate::peers::event_hub::EventHub::start(&login, &[]) else { return };
    entra.tell(&json!({ "do": "lives", "seconds": 2 }));
    let file = site.authority.folder().join("secret");
    let folder = site.authority.folder().display().to_string();
    let application = |client: &str| {
        let source = site.source(SOURCE).replace("policy = \"listen\"\n", "");
        source.replace(
            &format!("primary_key_file = \"{folder}/key\""),
            &format!(
                "tenant_id = \"contoso.example\"\nclient_id = \"{client}\"\nclient_secret_file = {file:?}\n\
                 login = \"https://127.0.0.1:{}\"",
                entra.entra
            ),
        )
    };
    std::fs::write(&file, "old").unwrap();
    let edge = site.edge(&application("the-client"));
    health(&edge, "failed", "the client secret is wrong (AADSTS7000215)");
    std::fs::write(&file, "s~+cret/=\n").unwrap();
    site.hub.send("h", 0, numbered(0..3));
    wait_for(&edge, 3);
    // Tokens of two seconds are renewed without a break of the connection.
    let puts = || site.hub.state()["puts"].as_array().unwrap().len();
    until("the token is renewed", || (puts() >= 3).then_some(()));
    assert_eq!(site.hub.state()["opens"].as_array().unwrap().len(), 1);
    goes_on(&site, &edge);
    let log = edge.stop();
    assert!(!log.contains("s~+cret") && !log.contains("header.claims"), "the log holds a secret");
    let edge = site.edge(&application("another"));
    health(&edge, "failed", "the tenant does not know this app (AADSTS700016)");
    edge.stop();
    site.hub.is_content();
}
