//! What of this programs can ask, for the description of the API.

use super::super::calls::{Call, Needs, call};
use super::super::openapi::add;
use super::backup::{NewBackup, OldBackup, Restored};
use super::certificate::NewCertificate;
use super::machine::{NewCard, NewName, NewTime};
use super::updates::Install;
use crate::web::page::view;

const BYTES: &str = "application/octet-stream";

/// All of them.
pub(in super::super) const CALLS: &[Call] = &[
    Call {
        refused: &[409],
        ..call(
            "/updates",
            "get",
            "What runs, what is offered, what is being done.",
            Needs::Session,
            (200, Some("Updates")),
        )
    },
    Call {
        refused: &[403, 409],
        ..call(
            "/updates/check",
            "post",
            "Looks for a newer version. For administrators.",
            Needs::Session,
            (200, Some("Updates")),
        )
    },
    Call {
        body: Some("Install"),
        refused: &[403, 409],
        ..call(
            "/updates/install",
            "post",
            "Begins to install what is offered. For administrators.",
            Needs::Session,
            (202, Some("Updates")),
        )
    },
    Call {
        body: Some(BYTES),
        refused: &[403, 409],
        ..call(
            "/updates/bundle",
            "post",
            "Brings a bundle and begins to install it. For administrators.",
            Needs::Session,
            (202, Some("Updates")),
        )
    },
    Call {
        refused: &[403, 409],
        ..call(
            "/updates/restart",
            "post",
            "Restarts the box into what is installed. For administrators.",
            Needs::Session,
            (202, Some("Updates")),
        )
    },
    Call {
        refused: &[403, 409],
        ..call(
            "/updates/roll-back",
            "post",
            "Goes back to the version before. For administrators.",
            Needs::Session,
            (202, Some("Updates")),
        )
    },
    Call {
        refused: &[409],
        ..call("/box", "get", "The box's name, network and time.", Needs::Session, (200, Some("Machine")))
    },
    Call {
        body: Some("NewName"),
        refused: &[403, 409, 422],
        ..call("/box/name", "put", "Names the box. For administrators.", Needs::Session, (200, Some("Applied")))
    },
    Call {
        body: Some("NewTime"),
        refused: &[403, 409, 422],
        ..call("/box/time", "put", "Sets the time servers. For administrators.", Needs::Session, (200, Some("Applied")))
    },
    Call {
        body: Some("NewCard"),
        refused: &[403, 404, 409, 422],
        ..call(
            "/box/network/{name}",
            "put",
            "Says what a network card is to do; to be confirmed like settings. For administrators.",
            Needs::Session,
            (200, Some("Applied")),
        )
    },
    Call {
        refused: &[409],
        ..call(
            "/certificate",
            "get",
            "The certificate of the page and this API.",
            Needs::Session,
            (200, Some("Certificate")),
        )
    },
    Call {
        body: Some("NewCertificate"),
        refused: &[403, 409, 422],
        ..call(
            "/certificate",
            "put",
            "Puts another certificate in its place; to be confirmed like settings. For administrators.",
            Needs::Session,
            (200, Some("Applied")),
        )
    },
    Call {
        refused: &[403, 409],
        ..call(
            "/certificate",
            "delete",
            "Goes back to the one that the box makes itself; to be confirmed like settings. For administrators.",
            Needs::Session,
            (200, Some("Applied")),
        )
    },
    Call {
        refused: &[403, 409],
        ..call(
            "/certificate/new",
            "post",
            "Has the box make another one of its own. For administrators.",
            Needs::Session,
            (204, None),
        )
    },
    Call {
        refused: &[409],
        ..call(
            "/start",
            "get",
            "The first steps of a new box, and which are done.",
            Needs::Session,
            (200, Some("Start")),
        )
    },
    Call {
        refused: &[403, 409],
        ..call("/start", "delete", "Ends the first steps. For administrators.", Needs::Session, (204, None))
    },
    Call {
        refused: &[403, 409],
        ..call(
            "/support",
            "get",
            "All that a fault is looked for with, without secrets (.tar.gz). For administrators.",
            Needs::Session,
            (200, Some("application/gzip")),
        )
    },
    Call {
        body: Some("NewBackup"),
        refused: &[403, 409, 422],
        ..call(
            "/backup",
            "post",
            "The settings with what they name, sealed with a passphrase. For administrators.",
            Needs::Session,
            (200, Some(BYTES)),
        )
    },
    Call {
        body: Some("OldBackup"),
        refused: &[403, 409, 422],
        ..call(
            "/backup/restore",
            "post",
            "Puts the files of a backup into the box, and answers its settings, which are not in use. For administrators.",
            Needs::Session,
            (200, Some("Restored")),
        )
    },
    Call {
        refused: &[403, 404],
        ..call(
            "/sources/{id}/heard/{name}",
            "delete",
            "Misses a device no more that has fallen silent, until it is heard again. For administrators.",
            Needs::Session,
            (204, None),
        )
    },
    Call {
        refused: &[409],
        ..call(
            "/live",
            "get",
            "Events of the last minutes that are still in the box.",
            Needs::Session,
            (200, Some("Replay")),
        )
    },
];

/// Puts a type among the schemas.
type Add = fn(&mut schemars::SchemaGenerator);

/// Their types.
pub(in super::super) const SCHEMAS: &[Add] = &[
    add::<view::Updates>,
    add::<Install>,
    add::<view::Machine>,
    add::<NewName>,
    add::<NewTime>,
    add::<NewCard>,
    add::<view::Certificate>,
    add::<NewCertificate>,
    add::<view::Start>,
    add::<view::Replay>,
    add::<NewBackup>,
    add::<OldBackup>,
    add::<Restored>,
];
