//! What is asked for Azure Event Hubs: what the portal shows.
//!
//! Facts: as README.md, "Azure Event Hubs".

use crate::form::{Field, Form, Kind, PROXY, VENDOR_CA};

pub(in crate::source) const FORM: Form = Form {
    kind: "event_hubs",
    title: "Azure Event Hubs",
    about: "What Azure exports: Entra, Azure Monitor, Application Gateway, Azure SQL, Intune, and the streaming API of Defender.",
    asks: &[
        Field::text(
            "namespace",
            "Namespace",
            "Its host name, or the first part of it: contoso for contoso.servicebus.windows.net.",
        ),
        Field::list("event_hub", "Event hubs", "One a line, such as insights-logs-auditlogs."),
        Field::list(
            "consumer_group",
            "Consumer group",
            "One of the box's own; on the Basic tier $Default is the only one.",
        )
        .default("$Default"),
        Field::text("policy", "Shared access policy", "With the claim Listen and no other."),
        Field::secret("primary_key_file", "Primary key", "Of the policy."),
        Field::new(
            Kind::Choice(&[("amqp", "AMQP, port 5671"), ("websocket", "AMQP over WebSocket, port 443")]),
            "transport",
            "Connection",
            "",
        )
        .default("amqp"),
    ],
    more: &[
        &[
            Field::secret(
                "connection_string_file",
                "Connection string-primary key",
                "In place of namespace, policy and key.",
            ),
            Field::text(
                "tenant_id",
                "Directory (tenant) ID",
                "In place of policy and key: an application in Entra with the role Azure Event Hubs Data Receiver.",
            ),
            Field::text("client_id", "Application (client) ID", ""),
            Field::secret("client_secret_file", "Client secret: Value", ""),
            Field::new(
                Kind::Choice(&[
                    ("earliest", "the oldest event that is still there"),
                    ("latest", "what comes from now on"),
                ]),
                "start",
                "A first start begins with",
                "",
            )
            .default("earliest"),
        ],
        &PROXY,
        &VENDOR_CA,
    ],
    steps: &[
        "portal.azure.com > Event Hubs > Create a namespace (Standard tier where it is affordable), in it + Event hub: 4 partitions, and as much \
         retention as the box may ever be away.",
        "The event hub > Consumer groups > + Consumer group: sapphire-edge. On the Basic tier leave this out.",
        "The namespace > Settings > Shared access policies > + Add: sapphire-edge, claim Listen only. Open it and copy Primary key.",
        "Let the logs flow: Entra ID > Monitoring & health > Diagnostic settings, Monitor > Activity log > Export Activity Logs, Diagnostic \
         settings of any resource, or security.microsoft.com > Settings > Microsoft Defender XDR > Streaming API: Stream to an event hub.",
    ],
    guides: &[],
    is_tested: true,
    consent: false,
    inside: None,
};
