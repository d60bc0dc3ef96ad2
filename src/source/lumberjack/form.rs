//! What is asked for a source of Beats agents, and what to write into filebeat.yml.

use crate::form::{ALLOW, Field, Form, Guide, OWN_TLS};

pub(in crate::source) const FORM: Form = Form {
    kind: "lumberjack",
    title: "Filebeat and other Beats agents",
    about: "Agents that send by Lumberjack v2 and are answered when their events are safe.",
    asks: &[
        Field::list(
            "listen",
            "Addresses to listen on",
            "One a line: tls:// or tcp://, an IP address and a port. 0.0.0.0 is every IPv4 address of the box, [::] every IPv6 address.",
        )
        .needed()
        .preset("tls://0.0.0.0:5044"),
        ALLOW,
    ],
    more: &[&OWN_TLS],
    steps: &[
        "Give the box a certificate that the agents can check, and its key, below under More; without one write tcp:// above: then \
         everybody on the way can read the events.",
        "Take the source into use, and put the lines below into filebeat.yml, with every other output removed.",
        "filebeat test output says whether it connects.",
    ],
    guides: &[
        Guide {
            title: "filebeat.yml",
            place: "With the CA of the box's certificate in /etc/filebeat/edge-ca.pem; in place of the address, the name in the certificate",
            rows: &[],
            text: "output.logstash:\n  hosts: [\"{address}:{tls}\"]\n  ssl.certificate_authorities: [\"/etc/filebeat/edge-ca.pem\"]\nprocessors:\n  \
                   - add_id: ~",
        },
        Guide {
            title: "filebeat.yml, without TLS",
            place: "Everybody on the way can read the events",
            rows: &[],
            text: "output.logstash:\n  hosts: [\"{address}:{tcp}\"]\nprocessors:\n  - add_id: ~",
        },
    ],
    is_tested: false,
    consent: false,
    inside: None,
};
