//! What is asked for a syslog source, and what to type into Sophos firewalls and other devices.
//!
//! Facts: as README.md, "Sophos Firewall", "Sophos UTM 9" and "Everything else that speaks syslog" (Sophos, "Log settings", read 2026-11).

use crate::form::{ALLOW, Field, Form, Guide, Kind, OWN_TLS, TIME_ZONE};

pub(in crate::source) const FORM: Form = Form {
    kind: "syslog",
    title: "Sophos, and all that speaks syslog",
    about: "Firewalls, switches, servers and mail gateways that send syslog over UDP, TCP or TLS.",
    asks: &[
        Field::list(
            "listen",
            "Addresses to listen on",
            "One a line: udp://, tcp:// or tls://, an IP address and a port. 0.0.0.0 is every IPv4 address of the box, [::] every IPv6 \
             address.",
        )
        .needed()
        .preset("udp://0.0.0.0:514\ntcp://0.0.0.0:514"),
        ALLOW,
        TIME_ZONE,
    ],
    more: &[
        &OWN_TLS,
        &[
            Field::new(
                Kind::Choice(&[("auto", "of Sophos and Fortinet"), ("always", "of all"), ("never", "of none")]),
                "fields",
                "Pairs key=value become fields",
                "",
            )
            .default("auto"),
            Field::new(
                Kind::Choice(&[("auto", "seen by itself"), ("lines", "by line ends"), ("counted", "by their length (RFC 5425)")]),
                "framing",
                "How messages on TCP and TLS are told apart",
                "",
            )
            .default("auto"),
        ],
    ],
    steps: &[
        "Take the source into use: its ports are open at once.",
        "Type the values below into each device. A Sophos firewall rule sends nothing until Log firewall traffic is ticked in the rule; \
         TLS inspection rules likewise.",
        "See the events under Live.",
    ],
    guides: &[
        Guide {
            title: "Sophos Firewall (SFOS, XG and XGS)",
            place: "System services > Log settings > Syslog servers > Add; then tick in the new server's column every module that is to be sent",
            rows: &[
                ("Name", "sapphire-edge"),
                ("IP address/domain", "{address}"),
                ("Secure log transmission", "off"),
                ("Port", "{udp}"),
                ("Facility", "DAEMON"),
                ("Severity level", "Information"),
                ("Format", "Device standard format, or Central reporting format"),
            ],
            text: "",
        },
        Guide {
            title: "Sophos Firewall over TLS",
            place: "Upload the CA of the box's certificate to the firewall first, then System services > Log settings > Syslog servers > Add",
            rows: &[
                ("Name", "sapphire-edge"),
                ("IP address/domain", "the name in the box's certificate, or {address}"),
                ("Secure log transmission", "on"),
                ("Port", "{tls}"),
                ("Facility", "DAEMON"),
                ("Severity level", "Information"),
                ("Format", "Device standard format, or Central reporting format"),
            ],
            text: "",
        },
        Guide {
            title: "Sophos UTM 9 (SG)",
            place: "Logging & Reporting > Log Settings > Remote Syslog Server; then choose the logs below and apply",
            rows: &[("Server", "{address}"), ("Port", "{udp}, UDP")],
            text: "",
        },
        Guide { title: "Other devices over UDP", place: "", rows: &[("Server", "{address}"), ("Port", "{udp}")], text: "" },
        Guide { title: "Other devices over TCP", place: "", rows: &[("Server", "{address}"), ("Port", "{tcp}")], text: "" },
        Guide {
            title: "rsyslog over TLS",
            place: "/etc/rsyslog.d/edge.conf, with the CA of the box's certificate in edge-ca.pem",
            rows: &[],
            text: "global(DefaultNetstreamDriver=\"ossl\" DefaultNetstreamDriverCAFile=\"/etc/rsyslog/edge-ca.pem\")\n\
                   action(type=\"omfwd\" target=\"{address}\" port=\"{tls}\" protocol=\"tcp\" TCP_Framing=\"octet-counted\"\n       \
                   StreamDriver=\"ossl\" StreamDriverMode=\"1\" StreamDriverAuthMode=\"x509/certvalid\"\n       \
                   queue.type=\"linkedList\" queue.filename=\"edge\" action.resumeRetryCount=\"-1\")",
        },
    ],
    is_tested: false,
    consent: false,
    inside: None,
};
