//! What the generator promises.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, RandomState};

use super::*;
use crate::wire::syslog::{Dialect, Message, Parser, Reading, Text};

/// 2024-03-05T10:15:30Z.
const START: u64 = 1_709_633_730_000_000;

fn events(family: Family, seed: u64, device: u8, count: usize) -> Vec<String> {
    let mut generator = Generator::new(family, seed, device);
    let event = |at: usize| {
        let mut text = String::new();
        // A hundred events in each second: most of them share their time with others.
        generator.write(Timestamp(START + at as u64 * 10_000), &mut text);
        text
    };
    (0..count).map(event).collect()
}

#[test]
fn the_same_seed_gives_the_same_events_and_another_seed_others() {
    for family in Family::ALL {
        let first = events(family, 7, 0, 2_000);
        assert_eq!(first, events(family, 7, 0, 2_000), "{family:?}");
        let others: HashSet<String> = events(family, 8, 0, 2_000).into_iter().collect();
        let shared = first.iter().filter(|event| others.contains(*event)).count();
        // Lines of few words (`ICID 7001 close`) may meet by chance where two seeds' ranges overlap.
        assert!(shared < 20, "{family:?}: {shared} of 2,000 events are the same under two seeds");
    }
}

#[test]
fn a_million_events_of_fifteen_devices_are_all_distinct_though_time_stands_still() {
    let hasher = RandomState::new();
    let mut seen: HashMap<u64, (Family, u8)> = HashMap::new();
    let mut text = String::new();
    for family in Family::ALL {
        for device in 0..3 {
            let mut generator = Generator::new(family, 42, device);
            for _ in 0..70_000 {
                text.clear();
                generator.write(Timestamp(START), &mut text);
                let before = seen.insert(hasher.hash_one(&text), (family, device));
                assert_eq!(before, None, "{family:?} {device}: {text}");
            }
        }
    }
    assert!(seen.len() > 1_000_000);
}

#[test]
fn events_are_whole_lines_of_one_family_with_a_priority_and_no_control_characters() {
    for family in Family::ALL {
        for device in 0..2 {
            let events = events(family, 3, device, 5_000);
            let longest = events.iter().map(String::len).max().unwrap();
            assert!(longest > 100 && longest < 2_048, "{family:?}: {longest}");
            for event in events {
                assert!(event.starts_with('<') && !event.contains(char::is_control), "{event:?}");
                let end = event.find('>').unwrap();
                let pri: u8 = event[1..end].parse().unwrap();
                assert!(pri <= 191, "{event}");
            }
        }
    }
}

#[test]
fn every_kind_of_event_of_the_firewalls_comes() {
    let kinds = |events: Vec<String>, marker: &str| -> HashSet<String> {
        let kind = |event: &String| event.split(marker).nth(1).unwrap()[..12].to_owned();
        events.iter().map(kind).collect()
    };
    assert!(kinds(events(Family::Sophos, 1, 0, 3_000), " log_id=").len() >= 15);
    assert!(kinds(events(Family::Sophos, 1, 1, 3_000), " log_id=\"").len() >= 15);
    assert!(kinds(events(Family::Asa, 1, 0, 3_000), ": %ASA-").len() >= 13);
}

#[test]
fn a_mail_is_told_in_order_and_its_numbers_belong_together() {
    let mut told: HashMap<String, Vec<String>> = HashMap::new();
    for event in events(Family::Esa, 5, 0, 20_000) {
        let text = event.split(": Info: ").nth(1).unwrap();
        let words: Vec<&str> = text.split(' ').collect();
        if let Some(at) = words.iter().position(|word| *word == "MID") {
            told.entry(words[at + 1].to_owned()).or_default().push(text.to_owned());
        }
    }
    let finished: Vec<_> =
        told.values().filter(|lines| lines.last().unwrap().starts_with("Message finished")).collect();
    assert!(finished.len() > 500, "only {} mails came to their end", finished.len());
    for lines in finished {
        assert!(lines[0].starts_with("Start MID"), "{lines:?}");
        let place = |part: &str| {
            lines.iter().position(|line| line.contains(part)).unwrap_or_else(|| panic!("{part}: {lines:?}"))
        };
        assert!(place(" From: <") < place(" RID 0 To: <"));
        assert!(place(" RID 0 To: <") < place(" Subject '"));
        assert!(place(" queued for delivery") < place("Delivery start DCID"));
        assert!(place("Delivery start DCID") < place("Message done DCID"));
        let recipients = lines.iter().filter(|line| line.contains(" To: <")).count();
        let named = lines[place("Message done DCID")].split(['[', ']']).nth(1).unwrap().split(", ").count();
        assert_eq!(recipients, named, "{lines:?}");
    }
}

/// Reads events as the box does on the way out.
fn read(family: Family, device: u8, mut check: impl FnMut(&Message<'_>, &str)) {
    let mut parser = Parser::new(&Reading::default());
    for (at, event) in events(family, 9, device, 5_000).iter().enumerate() {
        let text = Text::of(event.as_bytes());
        let received = Timestamp(START + at as u64 * 10_000);
        let message = parser.parse(&text, received);
        assert!(message.marks.is_empty(), "{:?}: {event}", message.marks.iter().collect::<Vec<_>>());
        let pri: u8 = event[1..event.find('>').unwrap()].parse().unwrap();
        assert_eq!(message.priority, pri, "{event}");
        let said = message.timestamp.unwrap_or_else(|| panic!("no time: {event}"));
        assert_eq!(said.micros() / 1_000_000, received.micros() / 1_000_000, "{event}");
        check(&message, event);
    }
}

#[test]
fn every_event_reads_as_the_dialect_it_should_be() {
    for device in 0..2 {
        read(Family::Sophos, device, |message, event| {
            assert_eq!(message.dialect, Dialect::SophosSfos, "{event}");
            assert_eq!(message.device, Some(["fw-1", "fw-2"][usize::from(device)]), "{event}");
        });
        read(Family::Asa, device, |message, event| {
            assert_eq!(message.dialect, Dialect::CiscoAsa, "{event}");
            assert_eq!(message.hostname, ["asa-1"].get(usize::from(device)).copied(), "{event}");
            assert_eq!(message.msgid.map(str::len), Some(6), "{event}");
        });
        read(Family::Esa, device, |message, event| {
            assert_eq!(message.dialect, Dialect::Rfc3164, "{event}");
            assert_eq!(message.appname, Some("mail_logs"), "{event}");
        });
        read(Family::Linux, device, |message, event| {
            assert_eq!(message.dialect, Dialect::Rfc3164, "{event}");
            assert!(message.hostname.is_some_and(|host| event.contains(host)), "{event}");
            let programs = ["sshd", "sudo", "CRON", "systemd", "systemd-logind", "kernel", "nginx", "postfix/smtp"];
            assert!(message.appname.is_some_and(|name| programs.contains(&name)), "{event}");
        });
        read(Family::Structured, device, |message, event| {
            assert_eq!(message.dialect, Dialect::Rfc5424, "{event}");
            assert_eq!(message.hostname, Some(["app01.example.net", "app02.example.net"][usize::from(device)]));
            assert_eq!(event.contains("[meta"), message.structured_data != Default::default(), "{event}");
        });
    }
}
