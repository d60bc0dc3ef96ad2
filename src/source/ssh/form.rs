//! What is asked for a source of pushed files, for each device, and what AsyncOS asks and is to be answered.
//!
//! Facts: as README.md, "Cisco Secure Email" (put together from Cisco's documents; wording and order differ between versions).

use crate::form::{ALLOW, Field, Form, Guide, Inside, Kind, TIME_ZONE};

pub(in crate::source) const FORM: Form = Form {
    kind: "ssh",
    title: "Cisco Secure Email (CES, ESA), and all that pushes files",
    about: "Log files that devices push by SCP or SFTP, each known by its key.",
    asks: &[
        Field::list(
            "listen",
            "Addresses to listen on",
            "One a line: tcp://, an IP address and a port. 0.0.0.0 is every IPv4 address of the box, [::] every IPv6 address.",
        )
        .needed()
        .preset("tcp://0.0.0.0:22"),
        TIME_ZONE,
        ALLOW,
    ],
    more: &[&[Field::list(
        "legacy",
        "Addresses with old algorithms",
        "For AsyncOS before 12: those of the addresses above, with a port of their own, that also offer SHA-1 and CBC.",
    )]],
    steps: &[
        "On the appliance, logconfig, then new (or edit, for a log that is there), and answer as below.",
        "Then it shows: Please place the following SSH key(s) into your authorized_keys file. Paste each line here, as the device's key, \
         and take it into use. All logs of an appliance use the same key.",
        "Last, on the appliance, commit, and rollovernow to push at once.",
    ],
    guides: &[Guide {
        title: "Cisco Secure Email: what logconfig asks",
        place: "On the appliance's command line",
        rows: &[
            ("log type", "IronPort Text Mail Logs; likewise Consolidated Event Logs, or any other text log"),
            ("name", "mail_{user}: a name of its own for each appliance"),
            ("log level", "Information"),
            ("method to retrieve the logs", "SCP Push"),
            ("hostname to deliver the logs", "{address}"),
            ("port", "{tcp}"),
            ("username", "{user}"),
            ("directory", "/"),
            ("filename", "as offered"),
            ("maximum time between transfers", "300"),
            ("maximum file size", "as offered"),
            ("protocol", "SSH2"),
            ("enable host key checking", "Y; then paste a line of the box's host keys, or let it scan and compare the fingerprint"),
        ],
        text: "",
    }],
    is_tested: false,
    consent: false,
    inside: Some(Inside {
        list: "device",
        asks: &[
            Field::text("name", "Device", "Its name in events, and the user it logs in as: letters, digits and -_.@, such as esa1.").needed(),
            Field::new(
                Kind::List,
                "keys",
                "Public keys",
                "One a line, as the device shows them: they begin with ssh-rsa, ecdsa or ssh-ed25519.",
            )
            .needed(),
        ],
    }),
};
