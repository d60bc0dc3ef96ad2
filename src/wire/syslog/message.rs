//! What a syslog message says, once it has been read.

use super::StructuredData;
use crate::clock::Timestamp;

/// The parts of one message; they borrow its text. What is absent, nil (`-`) or not understood is `None`.
#[derive(Clone, Debug, PartialEq)]
pub struct Message<'a> {
    /// The form it was recognised by.
    pub dialect: Dialect,
    /// Facility * 8 + severity, 0 to 191; user.notice (13) where the message brought none (RFC 3164 section 4.3.3).
    pub priority: u8,
    /// When the sender says it happened. `None` also where the sender's clock cannot be believed (see the marks).
    pub timestamp: Option<Timestamp>,
    /// The version of an RFC 5424 header, as written.
    pub version: Option<&'a str>,
    /// The host of the header: the device, or the relay that wrote the header.
    pub hostname: Option<&'a str>,
    /// RFC 5424 APP-NAME, the RFC 3164 tag, a Cisco mnemonic with its `%`, a Meraki log type.
    pub appname: Option<&'a str>,
    /// The process, as written (mostly a number, leading zeros kept).
    pub procid: Option<&'a str>,
    /// RFC 5424 MSGID, the last part of a Cisco mnemonic (`302013`, `CONFIG_I`), a Palo Alto log type.
    pub msgid: Option<&'a str>,
    /// RFC 5424 structured data.
    pub structured_data: StructuredData<'a>,
    /// The sender's own count of messages (Cisco IOS).
    pub sequence: Option<u64>,
    /// The device by its own word inside the body (Sophos `device_name`, Fortinet `devname`).
    pub device: Option<&'a str>,
    /// The host of the outer header, where a relay put one in front of another.
    pub relay: Option<&'a str>,
    /// What follows the header; the whole text where nothing was understood.
    pub body: &'a str,
    /// What was odd about it.
    pub marks: Marks,
}

/// RFC 3164 section 4.3.3: what a relay puts in front of a message that has no PRI.
pub(super) const USER_NOTICE: u8 = 13;

impl<'a> Message<'a> {
    /// A message of which nothing is known yet.
    pub(super) fn new(text: &'a str, marks: Marks) -> Self {
        Self {
            dialect: Dialect::Unknown,
            priority: USER_NOTICE,
            timestamp: None,
            version: None,
            hostname: None,
            appname: None,
            procid: None,
            msgid: None,
            structured_data: StructuredData::default(),
            sequence: None,
            device: None,
            relay: None,
            body: text,
            marks,
        }
    }

    /// The facility, 0 to 23.
    #[must_use]
    pub fn facility(&self) -> u8 {
        self.priority >> 3
    }

    /// The severity, 0 (emergency) to 7 (debug).
    #[must_use]
    pub fn severity(&self) -> u8 {
        self.priority & 7
    }
}

/// Facility 23, severity 7.
pub const MAX_PRIORITY: u8 = 191;

/// The name of a priority's facility as Linux and ECS (`log.syslog.facility.name`) spell it.
#[must_use]
pub fn facility_name(priority: u8) -> &'static str {
    FACILITIES.get(usize::from(priority >> 3)).copied().unwrap_or_default()
}

/// The name of a priority's severity as ECS (`log.syslog.severity.name`) spells it.
#[must_use]
pub fn severity_name(priority: u8) -> &'static str {
    SEVERITIES.get(usize::from(priority & 7)).copied().unwrap_or_default()
}

/// RFC 5424 table 1, by the short names of `syslog.h`; 12 to 15 have none there and are named after the table.
const FACILITIES: [&str; 24] = [
    "kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp", "ntp",
    "audit", "alert", "clock", "local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7",
];

/// RFC 5424 table 2.
const SEVERITIES: [&str; 8] =
    ["Emergency", "Alert", "Critical", "Error", "Warning", "Notice", "Informational", "Debug"];

macro_rules! words {
    ($(#[$doc:meta])* $type:ident { $($(#[$vdoc:meta])* $variant:ident = $word:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $type { $($(#[$vdoc])* $variant,)* }

        impl $type {
            /// All of them, in their order.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The word in forwarded events.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)* }
            }
        }
    };
}

words! {
    /// The form of a message.
    Dialect {
        /// RFC 5424.
        Rfc5424 = "rfc5424",
        /// RFC 3164 and what resembles it, with whatever time.
        Rfc3164 = "rfc3164",
        /// Sophos Firewall: pairs right after the PRI or a relay's header.
        SophosSfos = "sophos_sfos",
        /// Sophos UTM 9: a header with a time of its own, then pairs.
        SophosUtm = "sophos_utm",
        /// Cisco ASA, PIX, FWSM, Firepower.
        CiscoAsa = "cisco_asa",
        /// Cisco IOS and whatever else writes `%FACILITY-SEVERITY-MNEMONIC`.
        CiscoIos = "cisco_ios",
        /// Cisco NX-OS: the year before the month.
        CiscoNxos = "cisco_nxos",
        /// Cisco Meraki: version 1, but the time is a number.
        CiscoMeraki = "cisco_meraki",
        /// Fortinet pairs.
        Fortinet = "fortinet",
        /// Palo Alto CSV behind whatever header.
        PaloAlto = "palo_alto",
        /// Check Point, with its own kind of structured data or with pairs.
        CheckPoint = "check_point",
        /// Windows agents: `MSWinEventLog` and tabs.
        Windows = "windows",
        /// ArcSight CEF behind whatever header.
        Cef = "cef",
        /// QRadar LEEF behind whatever header.
        Leef = "leef",
        /// Pairs of an unknown sender right after the PRI.
        KeyValue = "key_value",
        /// None of these.
        Unknown = "unknown",
    }
}

words! {
    /// Something odd about a message. The order is that of the words in forwarded events.
    Mark {
        /// No header was recognised; the body is all there is.
        Unparsed = "unparsed",
        /// There was no PRI; user.notice was assumed.
        NoPri = "no_pri",
        /// The PRI was none (above 191, empty, a leading zero): the whole text is the body.
        BadPri = "bad_pri",
        /// A relay had put a header in front of another; the inner one counts.
        NestedHeader = "nested_header",
        /// The sender's clock was never set: IOS says so with `*`, others by a year before 2000.
        ClockNotSet = "clock_not_set",
        /// The sender's clock was set but not synchronised: IOS says so with `.`.
        ClockNotSynced = "clock_not_synced",
        /// A time stood there, but no such time exists near the time of receipt.
        BadTime = "bad_time",
        /// Structured data was not well-formed; it is part of the body.
        BadStructuredData = "bad_structured_data",
        /// A byte order mark stood before the PRI.
        ByteOrderMark = "byte_order_mark",
        /// Bytes were not UTF-8; they were read as Latin-1 where that has a letter.
        NotUtf8 = "not_utf8",
        /// The bytes were UTF-16.
        Utf16 = "utf16",
    }
}

/// A set of marks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Marks(u16);

impl Marks {
    /// Adds a mark.
    pub fn insert(&mut self, mark: Mark) {
        self.0 |= 1 << mark as u16;
    }

    /// True if the mark is in the set.
    #[must_use]
    pub fn contains(self, mark: Mark) -> bool {
        self.0 & (1 << mark as u16) != 0
    }

    /// True if nothing was odd.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The marks in their order.
    pub fn iter(self) -> impl Iterator<Item = Mark> {
        Mark::ALL.iter().copied().filter(move |mark| self.contains(*mark))
    }
}
