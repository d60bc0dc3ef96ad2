//! What is asked for CrowdStrike's Event Streams: what API clients and keys shows.
//!
//! Facts: as README.md, "CrowdStrike Falcon".

use crate::form::{Field, Form, Kind, PROXY, VENDOR_CA};

pub(in crate::source) const FORM: Form = Form {
    kind: "crowdstrike",
    title: "CrowdStrike Falcon: Event Streams",
    about: "Detections, incidents and audit events as they happen.",
    asks: &[
        Field::text("client_id", "Client ID", "").needed(),
        Field::secret("client_secret_file", "Secret", "It is shown once.").needed(),
        Field::new(
            Kind::Choice(&[
                ("us-1", "us-1 (falcon.crowdstrike.com)"),
                ("us-2", "us-2 (falcon.us-2.crowdstrike.com)"),
                ("eu-1", "eu-1 (falcon.eu-1.crowdstrike.com)"),
                ("us-gov-1", "us-gov-1 (falcon.laggar.gcw.crowdstrike.com)"),
                ("us-gov-2", "us-gov-2 (falcon.us-gov-2.crowdstrike.mil)"),
            ]),
            "cloud",
            "Cloud",
            "As the console's address names it.",
        )
        .default("us-1"),
        Field::text("app_id", "App id", "Letters and digits. A second box at the same tenant needs another one.")
            .default("SapphireEdge"),
    ],
    more: &[
        &[
            Field::text("member_cid", "Child tenant (CID)", "Where the API client is one of the parent."),
            Field::list(
                "event_types",
                "Only these types of events",
                "One a line, such as EppDetectionSummaryEvent. Empty: all.",
            ),
            Field::list("skip_event_types", "Not these types of events", "One a line."),
            Field::new(
                Kind::Choice(&[
                    ("oldest", "the oldest event that Falcon keeps"),
                    ("newest", "what happens from now on"),
                ]),
                "begin",
                "A first start begins with",
                "",
            )
            .default("oldest"),
            Field::new(
                Kind::Choice(&[("json", "JSON, as they came"), ("cef", "CEF"), ("leef", "LEEF")]),
                "format",
                "Form in which events go on",
                "",
            )
            .default("json"),
        ],
        &PROXY,
        &VENDOR_CA,
    ],
    steps: &[
        "Falcon console > Support and resources > API clients and keys > Create API client: a name, scope Event streams: Read, Create.",
        "Copy Client ID and Secret.",
        "Government clouds: ask CrowdStrike's support to enable Event Streams for the tenant.",
    ],
    guides: &[],
    is_tested: true,
    consent: false,
    inside: None,
};
