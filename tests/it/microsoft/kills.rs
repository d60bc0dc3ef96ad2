//! Killed at random while contents come late, twice and out of order: every record arrives, none under two ids.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::json;

use super::{arrived, settings};
use crate::peers::appliance::Appliance;
use crate::peers::microsoft::{Microsoft, now, record, rfc3339};

/// Rounds; `PULL_KILLS` says how many.
fn rounds() -> usize {
    std::env::var("PULL_KILLS").map_or(5, |text| text.parse().unwrap())
}

#[test]
fn killed_at_random_every_record_arrives_under_one_id() {
    let double = Microsoft::start();
    // Many pages, but no more than the vendor's limits on requests let through in minutes.
    double.state().page = rounds().div_ceil(2).max(3);
    let more = "backfill = \"2h\"";
    let office = double.settings(&format!("content_types = [\"Audit.General\", \"Audit.Exchange\"]\n{more}"));
    let graph = double.settings(&format!("feeds = [\"sign_ins\", \"alerts\"]\n{more}"));
    let mut edge = Appliance::start(&settings(&[("office365", office), ("graph", graph)]));
    let mut expected = BTreeSet::new();
    for round in 0..rounds() {
        for number in 0..20 {
            let name = format!("{round}-{number}");
            // Listed later than it happened, but less than the overlap of an hour.
            let created = now() - 70 - rand::random_range(0..3_000);
            let records: Vec<String> = (0..3).map(|part| record(&format!("{name}-{part}"), created)).collect();
            let content_type = if number % 2 == 0 { "Audit.General" } else { "Audit.Exchange" };
            double.content(content_type, &name, created, &records);
            if number % 5 == 0 {
                double.content(content_type, &format!("{name}-again"), created, &records);
            }
            expected.extend(records);
            let path = if number % 2 == 0 { "/v1.0/auditLogs/signIns" } else { "/v1.0/security/alerts_v2" };
            let field = if number % 2 == 0 { "createdDateTime" } else { "lastUpdateDateTime" };
            let object = json!({ "id": name, field: rfc3339(created) });
            expected.insert(object.to_string());
            double.object(path, object);
        }
        std::thread::park_timeout(Duration::from_millis(rand::random_range(50..2_500)));
        edge.kill();
        edge.restart();
    }
    arrived(&edge, &expected);
    assert_eq!(double.state().sins, Vec::<String>::new());
    // What it delivered may all be from before the last kill: it must be up before it can stop in good order.
    edge.log_line(&["started name="]);
    edge.stop();
}
