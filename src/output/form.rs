//! What is asked for each type of output.

use crate::form::{Field, Form, Kind, PROXY};

/// The forms of all types, in the order people should read them.
pub const FORMS: [&Form; 4] = [&LUMBERJACK, &SYSLOG, &MQTT, &FILE];

const TRANSPORT: Field = Field::new(
    Kind::Choice(&[("tls", "TLS"), ("tcp", "plain TCP: everybody on the way can read and change it")]),
    "transport",
    "Connection",
    "",
)
.default("tls");

/// What TLS needs besides the CA, which is asked with the rest.
const TLS: [Field; 4] = [
    Field::pem("tls.cert", "Certificate of the box", "Where the far end asks for one."),
    Field::pem("tls.key", "Private key of the certificate", "Without a passphrase."),
    Field::list(
        "tls.pinned_keys",
        "Pinned keys",
        "One a line, such as sha256/47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=.",
    ),
    Field::text(
        "tls.server_name",
        "Name in the far end's certificate",
        "Where it is another one than that of the address.",
    ),
];

const CA: Field = Field::pem(
    "tls.ca",
    "CA of the far end",
    "The certificate authority that signs its certificate. Empty: the CAs that all know.",
);

const LUMBERJACK: Form = Form {
    kind: "lumberjack",
    title: "BluSapphire gateway (Lumberjack)",
    about: "Every event is acknowledged by the gateway. The usual way.",
    asks: &[
        Field::list(
            "endpoint",
            "Gateways",
            "One a line, the preferred one first: a host and a port, such as gw1.example.net:5044.",
        )
        .needed(),
        CA,
        Field::new(
            Kind::Choice(&[("failover", "all goes to the first that works"), ("balance", "each gets a part")]),
            "mode",
            "With several gateways",
            "",
        )
        .default("failover"),
    ],
    more: &[&TLS, &[TRANSPORT], &PROXY],
    steps: &[
        "Whoever runs the gateway names its addresses, and hands out the CA of its certificate: a text between BEGIN CERTIFICATE and END \
         CERTIFICATE.",
        "The box must reach them, by default on TCP port 5044.",
        "Paste, test, and take it into use.",
    ],
    guides: &[],
    is_tested: true,
    consent: false,
    inside: None,
};

const SYSLOG: Form = Form {
    kind: "syslog",
    title: "Syslog collector (RFC 5425)",
    about: "Best effort: this protocol acknowledges nothing.",
    asks: &[
        Field::text("endpoint", "Collector", "A host and a port, such as collector.example.net:6514.").needed(),
        CA,
        Field::new(
            Kind::Choice(&[("original", "as they came"), ("rfc5424", "RFC 5424, with the event's id")]),
            "format",
            "Form of the events",
            "",
        )
        .default("original"),
    ],
    more: &[&TLS, &[TRANSPORT], &PROXY],
    steps: &["The collector must take syslog over TLS, by default on TCP port 6514."],
    guides: &[],
    is_tested: true,
    consent: false,
    inside: None,
};

const MQTT: Form = Form {
    kind: "mqtt",
    title: "MQTT 5 broker",
    about: "Every event is acknowledged by the broker, at QoS 1.",
    asks: &[
        Field::text("endpoint", "Broker", "A host and a port, such as broker.example.net:8883.").needed(),
        Field::text("topic", "Topic", "{box} stands for the box's name, {source} for the source's id.")
            .default("sapphire/{box}/{source}"),
        Field::text("user", "User", "Where the broker wants one."),
        Field::secret("password_file", "Password", ""),
        CA,
    ],
    more: &[
        &[
            Field::new(
                Kind::Choice(&[("batch", "events of one source, a line each"), ("single", "one event")]),
                "payload",
                "A message holds",
                "",
            )
            .default("batch"),
            Field::text(
                "client_id",
                "Client id",
                "It must be there once at the broker. Empty: the box's name and this output's.",
            ),
            Field::new(Kind::Flag, "require_subscriber", "Messages that nobody has subscribed to are sent again", "")
                .default("true"),
        ],
        &TLS,
        &[TRANSPORT],
        &PROXY,
    ],
    steps: &[
        "With Mosquitto: a user for the box, and in the access list topic write sapphire/NAME/# with the box's name.",
        "Let the broker keep enough for subscribers that are away, and subscribe at QoS 1 in a session that lasts.",
    ],
    guides: &[],
    is_tested: true,
    consent: false,
    inside: None,
};

const FILE: Form = Form {
    kind: "file",
    title: "File",
    about: "A line of JSON for each event, in a file on this box.",
    asks: &[
        Field::text("path", "File", "Its folder must exist.").needed(),
        Field::new(
            Kind::Amount,
            "max_size",
            "Largest size",
            "A file that would grow past this is renamed. A number and a unit: 256MiB.",
        )
        .default("256MiB"),
        Field::new(Kind::Number, "keep", "Renamed files that are kept", "").default("5"),
    ],
    more: &[],
    steps: &[],
    guides: &[],
    is_tested: false,
    consent: false,
    inside: None,
};
