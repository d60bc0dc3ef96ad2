//! What is asked for Duo: what the application Admin API shows.
//!
//! Facts: as README.md, "Duo".

use crate::form::{Field, Form, Kind, PROXY, VENDOR_CA, backfill};

pub(in crate::source) const FORM: Form = Form {
    kind: "duo",
    title: "Duo",
    about: "Logins, what administrators did, calls and texts, offline enrollments, activity and Trust Monitor.",
    asks: &[
        Field::text("host", "API hostname", "Such as api-1a2b3c4d.duosecurity.com.").needed(),
        Field::text("integration_key", "Integration key", "20 characters that begin with DI.").needed(),
        Field::secret("secret_key_file", "Secret key", "").needed(),
        Field::new(
            Kind::Several(&[
                ("authentication", "Authentication"),
                ("administrator", "Administrator"),
                ("telephony", "Telephony"),
                ("offline_enrollment", "Offline enrollment"),
                ("activity", "Activity"),
                ("trust_monitor", "Trust Monitor (editions Advantage and Premier only)"),
            ]),
            "logs",
            "What is pulled",
            "",
        )
        .default("authentication\nadministrator\ntelephony\noffline_enrollment\nactivity\ntrust_monitor"),
        backfill("7d"),
    ],
    more: &[&PROXY, &VENDOR_CA],
    steps: &[
        "Duo Admin Panel (admin.duosecurity.com), as an administrator with the role Owner: Applications > Protect an Application (now Application \
         Catalog), search for Admin API, Protect (now Add).",
        "Permissions: tick Grant read log and nothing else. Networks for API Access: the public address that the box comes from. Save Changes.",
        "Copy the three values of the page.",
    ],
    guides: &[],
    is_tested: true,
    consent: false,
    inside: None,
};
