//! What is at the vendor arrives, by a stream or by asking.

use sapphire_edge::status::{Component, Count};
use serde_json::json;

use super::{all_arrived, edge, health, reads_a_stream, texts, whole};
use crate::microsoft::{arrived, events};
use crate::peers::amp::{Amp, event, kind_of, now};
use crate::peers::appliance::until;

#[test]
fn polled_page_by_page_while_more_comes_each_event_arrives_once_byte_by_byte() {
    let Some(double) = Amp::start() else { return };
    double.happen((0..47).map(|number| event(number, now() - 60 - i64::try_from(number).unwrap() * 10_000)));
    {
        let mut state = double.state();
        state.page = 10;
        // They come while pages are read: what was on the next page is pushed on, and comes twice.
        state.between.extend((100..103).map(|number| event(number, now() - 30)));
    }
    let edge = edge(&double, "delivery = \"poll\"\nbackfill = \"30d\"");
    until("what comes between", || double.state().between.is_empty().then_some(()));
    assert_eq!(all_arrived(&double, &edge), 50);
    // Late, with an old time; and once more what is there.
    double.happen([event(200, now() - 900), event(200, now() - 900)]);
    assert_eq!(all_arrived(&double, &edge), 51);
    let line = health(&edge, "healthy", "");
    assert!(line.count(Count::Requests) > 5);
    let first = events(&edge).into_iter().next().unwrap();
    assert_eq!((&first["sapphire"]["feed"], &first["sapphire"]["source"]), (&json!("events"), &json!("amp")));
    assert!(double.state().streams.is_empty() && double.state().sins.is_empty(), "{:?}", double.state().sins);
    edge.stop();
}

#[test]
fn a_stream_is_made_once_and_read_from_where_it_was() {
    let Some(double) = Amp::start() else { return };
    double.happen((0..5).map(|number| event(number, now() - 100_000)));
    let mut edge = edge(&double, "");
    all_arrived(&double, &edge);
    reads_a_stream(&edge);
    double.happen((5..400).map(|number| event(number, now())));
    assert_eq!(all_arrived(&double, &edge), 400, "before the stream and in it, each once");
    let settled = |edge: &crate::peers::appliance::Appliance, least| {
        edge.line(Component::Source, "amp", |line| {
            line.health.word() == "healthy" && line.count(Count::SettledEvents) >= least
        })
    };
    settled(&edge, 400);
    let queue = double.queue();
    edge.kill();
    // While it is away the vendor keeps what happens.
    double.happen((400..410).map(|number| event(number, now())));
    edge.restart();
    assert_eq!(all_arrived(&double, &edge), 410);
    settled(&edge, 10);
    assert_eq!((double.queue(), double.state().streams.len()), (queue.clone(), 1), "the same stream");
    assert!(double.state().streams[0].name.starts_with("sapphire-edge amp "));
    // Everything is acknowledged: nothing comes again.
    edge.kill();
    until("an empty queue", || (double.broker.look(&queue) == Some((0, 0))).then_some(()));
    assert_eq!(double.state().sins, Vec::<String>::new());
    // Another way to have them: the stream is of no use any more, and is deleted.
    edge.write_settings(&whole(&double, "delivery = \"poll\""));
    edge.restart();
    until("no stream", || double.state().streams.is_empty().then_some(()));
    double.happen([event(500, now())]);
    assert_eq!(all_arrived(&double, &edge), 411);
    edge.stop();
}

#[test]
fn nothing_is_acknowledged_before_it_is_settled() {
    let Some(double) = Amp::start() else { return };
    // Nobody takes it, and the disk is asked for in a minute.
    let source = whole(&double, "").replace("flush_after = \"20ms\"", "flush_after = \"1m\"");
    let outputless = source.split("[[output]]").next().unwrap().to_owned()
        + "[[source]]"
        + source.split("[[source]]").nth(1).unwrap();
    let mut edge = crate::peers::appliance::Appliance::start(&outputless);
    reads_a_stream(&edge);
    double.happen((0..20).map(|number| event(number, now())));
    edge.received("amp", 20);
    let queue = double.queue();
    until("all on their way", || (double.broker.look(&queue) == Some((0, 1))).then_some(()));
    edge.kill();
    until("all back in the queue", || (double.broker.look(&queue) == Some((20, 0))).then_some(()));
    // The API forgets them: only the stream has them now.
    let expected = texts(&std::mem::take(&mut double.state().events));
    edge.write_settings(&whole(&double, ""));
    edge.restart();
    assert_eq!(arrived(&edge, &expected).len(), 20);
    until("an empty queue", || (double.broker.look(&queue) == Some((0, 1))).then_some(()));
    edge.stop();
}

#[test]
fn types_are_named_and_another_choice_makes_another_stream() {
    let Some(double) = Amp::start() else { return };
    let (threat, other) = (1_090_519_054, 553_648_143);
    double.happen([kind_of(1, now() - 100, threat), kind_of(2, now() - 100, other)]);
    let edge = edge(&double, "event_types = [\"threat detected\"]");
    reads_a_stream(&edge);
    double.happen([kind_of(3, now(), threat), kind_of(4, now(), other)]);
    let all = double.state().events.clone();
    arrived(&edge, &texts(all.iter().filter(|event| event.kind == threat)));
    assert_eq!(double.state().streams[0].kinds, [threat]);
    let before = edge.logged();
    edge.reload(&whole(&double, "event_types = [\"Threat Detected\", \"553648143\"]"));
    edge.log_line_after(before, &["the event stream is read"]);
    double.happen([kind_of(5, now(), threat), kind_of(6, now(), other)]);
    // What did not come by the old choice comes from the last question on, as far back as it looks.
    let expected = texts(all.iter().filter(|event| event.kind == threat).chain(double.state().events.iter().skip(4)));
    until("the new choice", || {
        let found: std::collections::BTreeSet<String> =
            events(&edge).iter().map(|event| event["message"].as_str().unwrap().to_owned()).collect();
        expected.is_subset(&found).then_some(())
    });
    let kinds: Vec<_> = double.state().streams.iter().map(|made| made.kinds.clone()).collect();
    assert_eq!(kinds, [[other, threat]]);
    assert_eq!(double.state().sins, Vec::<String>::new());
    edge.stop();
}
