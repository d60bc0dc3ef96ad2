//! What is asked for CrowdStrike's Falcon Data Replicator: what a feed shows.
//!
//! Facts: as README.md, "Falcon Data Replicator".

use crate::form::{Field, Form, PROXY, VENDOR_CA};

pub(in crate::source) const FORM: Form = Form {
    kind: "falcon_replicator",
    title: "CrowdStrike Falcon Data Replicator",
    about: "Raw events of the sensors, gigabytes an hour, and inventories.",
    asks: &[
        Field::text("sqs_queue", "SQS queue URL", "").needed(),
        Field::text("access_key_id", "Client id", "").needed(),
        Field::secret("secret_access_key_file", "Secret", "It is shown once.").needed(),
    ],
    more: &[
        &[
            Field::text("region", "Region", "Where the queue's address does not say it."),
            Field::list(
                "folders",
                "Only these folders",
                "One a line: data, aidmaster, managedassets, notmanaged, userinfo, appinfo. Empty: all.",
            ),
            Field::list(
                "events",
                "Only these events",
                "One a line, by event_simpleName, such as ProcessRollup2. Empty: all.",
            ),
            Field::list("skip_events", "Not these events", "One a line, such as SensorHeartbeat."),
        ],
        &PROXY,
        &VENDOR_CA,
    ],
    steps: &[
        "Falcon console > Support and resources > Falcon data replicator > Create feed (where there is no such page, CrowdStrike's support makes the \
         feed): the events and inventories that are wanted.",
        "Copy the three values of the page.",
        "A feed has one reader: a second box needs a feed of its own.",
    ],
    guides: &[],
    is_tested: true,
    consent: false,
    inside: None,
};
