//! What is asked for the sources of Microsoft's clouds: what Entra shows, and the permissions of each.
//!
//! Facts: as README.md, "Office 365, Microsoft Graph, Defender" (the vendor's pages that `mod.rs` names).

use crate::form::{Field, Form, Kind, PROXY, VENDOR_CA, backfill};

const CLOUD: Field = Field::new(
    Kind::Choice(&[
        ("commercial", "Commercial (worldwide)"),
        ("gcc", "GCC"),
        ("gcc_high", "GCC High"),
        ("dod", "DoD"),
        ("china", "China (21Vianet)"),
    ]),
    "cloud",
    "Cloud of the tenant",
    "",
)
.default("commercial");

const TENANTS: Field = Field::list(
    "tenants",
    "Directory (tenant) ID",
    "Of Overview. Several tenants with one app: one a line; its administrators have to consent.",
)
.needed();
const CLIENT: Field = Field::text("client_id", "Application (client) ID", "Of Overview.").needed();
const SECRET: Field = Field::secret(
    "client_secret_file",
    "Client secret: Value",
    "Of Certificates & secrets; not the Secret ID. Or a certificate, under More.",
);
const CERTIFICATE: [Field; 2] = [
    Field::pem(
        "certificate",
        "Certificate of the app",
        "In place of a secret; the one that was uploaded under Certificates.",
    ),
    Field::pem("key", "Private key of the certificate", "RSA, without a passphrase."),
];

const REGISTER: &str = "entra.microsoft.com (formerly Azure Active Directory) > App registrations > New registration: a name, Accounts in this \
                        organizational directory only, Register. Overview shows the two IDs.";
const NEW_SECRET: &str = "Certificates & secrets > New client secret: copy the Value, which is shown once.";

pub(in crate::source) const OFFICE365: Form = Form {
    kind: "office365",
    title: "Office 365: unified audit log",
    about: "What users and administrators do in Exchange, SharePoint, Entra, Teams and others (Management Activity API).",
    asks: &[
        TENANTS,
        CLIENT,
        SECRET,
        CLOUD,
        Field::new(
            Kind::Several(&[
                ("Audit.AzureActiveDirectory", "Entra: sign-ins, changes of the directory"),
                ("Audit.Exchange", "Exchange"),
                ("Audit.SharePoint", "SharePoint and OneDrive"),
                ("Audit.General", "All others: Teams, Power BI, Defender for Office"),
                ("DLP.All", "Data loss prevention"),
            ]),
            "content_types",
            "What is pulled",
            "",
        )
        .default("Audit.AzureActiveDirectory\nAudit.Exchange\nAudit.SharePoint\nAudit.General\nDLP.All"),
        backfill("7d"),
    ],
    more: &[&CERTIFICATE, &PROXY, &VENDOR_CA],
    steps: &[
        REGISTER,
        "API permissions > Add a permission > Office 365 Management APIs > Application permissions: ActivityFeed.Read, and for data loss \
         prevention ActivityFeed.ReadDlp. Then Grant admin consent.",
        NEW_SECRET,
        "Auditing must be on: purview.microsoft.com > Audit > Start recording user and admin activity. It takes up to an hour, and the first \
         records up to twelve.",
    ],
    guides: &[],
    is_tested: true,
    consent: true,
    inside: None,
};

pub(in crate::source) const GRAPH: Form = Form {
    kind: "graph",
    title: "Microsoft Graph: sign-ins, audits, alerts, service health",
    about: "Sign-ins and directory audits of Entra, alerts and incidents of Defender XDR, health and messages of the services.",
    asks: &[
        TENANTS,
        CLIENT,
        SECRET,
        CLOUD,
        Field::new(
            Kind::Several(&[
                ("sign_ins", "Sign-ins (Entra ID P1 or P2)"),
                ("directory_audits", "Directory audits"),
                ("alerts", "Alerts"),
                ("incidents", "Incidents"),
                ("service_health", "Service health"),
                ("service_messages", "Service messages"),
            ]),
            "feeds",
            "What is pulled",
            "",
        )
        .default("sign_ins\ndirectory_audits\nalerts\nincidents\nservice_health\nservice_messages"),
        backfill("7d"),
    ],
    more: &[&CERTIFICATE, &PROXY, &VENDOR_CA],
    steps: &[
        REGISTER,
        "API permissions > Add a permission > Microsoft Graph > Application permissions: AuditLog.Read.All (sign-ins, audits), \
         SecurityAlert.Read.All, SecurityIncident.Read.All, ServiceHealth.Read.All, ServiceMessage.Read.All. Then Grant admin consent.",
        NEW_SECRET,
    ],
    guides: &[],
    is_tested: true,
    consent: true,
    inside: None,
};

pub(in crate::source) const DEFENDER: Form = Form {
    kind: "defender",
    title: "Microsoft Defender for Endpoint (ATP)",
    about: "Alerts and machines, and hunting queries that the settings file names.",
    asks: &[
        TENANTS,
        CLIENT,
        SECRET,
        CLOUD,
        Field::new(Kind::Several(&[("alerts", "Alerts"), ("machines", "Machines")]), "feeds", "What is pulled", "")
            .default("alerts\nmachines"),
        backfill("7d"),
    ],
    more: &[&CERTIFICATE, &PROXY, &VENDOR_CA],
    steps: &[
        REGISTER,
        "API permissions > Add a permission > APIs my organization uses > WindowsDefenderATP > Application permissions: Alert.Read.All, \
         Machine.Read.All, and for queries AdvancedQuery.Read.All. Then Grant admin consent.",
        NEW_SECRET,
    ],
    guides: &[],
    is_tested: true,
    consent: true,
    inside: None,
};
