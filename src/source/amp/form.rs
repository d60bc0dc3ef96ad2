//! What is asked for Cisco Secure Endpoint: what API Credentials shows.
//!
//! Facts: as README.md, "Cisco Secure Endpoint (AMP)".

use crate::form::{Field, Form, Kind, PROXY, VENDOR_CA, backfill};

pub(in crate::source) const FORM: Form = Form {
    kind: "amp",
    title: "Cisco Secure Endpoint (AMP)",
    about: "Its events, from an event stream of the box's own.",
    asks: &[
        Field::text("client_id", "3rd Party API Client ID", "").needed(),
        Field::secret("api_key_file", "API Key", "It is shown once.").needed(),
        Field::new(
            Kind::Choice(&[
                ("north_america", "North America (console.amp.cisco.com)"),
                ("europe", "Europe (console.eu.amp.cisco.com)"),
                ("asia_pacific", "Asia Pacific (console.apjc.amp.cisco.com)"),
            ]),
            "region",
            "Region",
            "As the console's address names it.",
        )
        .default("north_america"),
        Field::list(
            "event_types",
            "Only these event types",
            "One a line, as the console calls them: Threat Detected. Empty: all.",
        ),
        backfill("7d"),
    ],
    more: &[
        &[
            Field::new(
                Kind::Choice(&[("stream", "by an event stream, within seconds"), ("poll", "by asking every minute")]),
                "delivery",
                "How events come",
                "A stream needs an API key with Read & Write.",
            )
            .default("stream"),
            Field::list("groups", "Only these groups", "Their GUIDs, one a line."),
        ],
        &PROXY,
        &VENDOR_CA,
    ],
    steps: &[
        "In the console: Administration > API Credentials > New API Credential (older consoles: Accounts > API Credentials). Application name \
         sapphire-edge, scope Read & Write.",
        "Copy 3rd Party API Client ID and API Key.",
        "Nothing has to be switched on for streams. An organization has at most 5.",
    ],
    guides: &[],
    is_tested: true,
    consent: false,
    inside: None,
};
