//! The invented people, places and things that devices report about.

pub(super) const USERS: &[&str] = &[
    "jane", "ahmed", "li.wei", "sofia", "jörg", "m.okafor", "priya", "tomasz", "yuki", "carlos", "deploy", "backup",
    "amelie", "svc_scan", "nguyen.t", "o'brien",
];

pub(super) const GROUPS: &[&str] = &["Open Group", "Staff", "Contractors", "Finance", "Plant Operators"];

pub(super) const DOMAINS: &[&str] = &[
    "www.example.com",
    "cdn.example.net",
    "mail.example.org",
    "updates.example.com",
    "shop.example.net",
    "telemetry.example.org",
    "files.example.com",
    "video.example.net",
    "news.example",
    "login.example.com",
];

pub(super) const PATHS: &[&str] = &[
    "/",
    "/index.html",
    "/api/v2/items",
    "/search?q=pump+seal",
    "/assets/app.7f3c.js",
    "/download/driver.zip",
    "/wiki/Übersicht",
    "/cart/checkout",
    "/feed.xml",
    "/static/img/logo@2x.png",
    "/search?q=\"a b\"",
];

pub(super) const AGENTS: &[&str] = &[
    "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/129.0 Safari/537.36",
    "curl/8.9.1",
    "Example-Updater/3.2 (+https://updates.example.com/about)",
    "",
];

pub(super) const CATEGORIES: &[(&str, &str)] = &[
    ("Search Engines", "Acceptable"),
    ("Information Technology", "Acceptable"),
    ("Social Networking", "Unproductive"),
    ("Online Shopping", "Unproductive"),
    ("Phishing & Fraud", "Objectionable"),
    ("Business Networking", "Acceptable"),
];

pub(super) const APPLICATIONS: &[(&str, &str, u64)] = &[
    ("HTTPS", "General Internet", 1),
    ("DNS", "Infrastructure", 1),
    ("BitTorrent", "P2P", 5),
    ("Example Meet", "Conferencing", 2),
    ("SMB", "File Transfer", 2),
    ("Tor Proxy", "Proxy and Tunnel", 5),
];

/// Signature, message, classification.
pub(super) const ATTACKS: &[(u64, &str, &str)] = &[
    (1_234, "SERVER-WEBAPP directory traversal attempt", "Attempted Recon"),
    (20_481, "PROTOCOL-SCADA Modbus write to a read-only coil", "Misc Activity"),
    (31_978, "OS-OTHER remote code injection attempt", "Attempted Administrator Privilege Gain"),
    (44_007, "MALWARE-CNC outbound beacon", "A Network Trojan was detected"),
    (58_722, "SERVER-OTHER logging library remote lookup attempt", "Attempted User Privilege Gain"),
];

pub(super) const PEOPLE: &[&str] =
    &["jane.roe", "john.doe", "accounts", "noreply", "sales", "m.okafor", "it-helpdesk", "newsletter", "buchhaltung"];

pub(super) const MAIL_DOMAINS: &[&str] =
    &["example.com", "example.net", "example.org", "mail.example", "partner.example"];

pub(super) const SUBJECTS: &[&str] = &[
    "Invoice, part 2",
    "Rechnung für März",
    "Re: Re: maintenance window",
    "You've won",
    "Liefertermin Ventile \"DN50\"",
    "会議の資料",
    "Monthly report [confidential]",
    "Fwd: photos",
    "",
];

pub(super) const COMMANDS: &[&str] = &[
    "/usr/bin/systemctl restart nginx",
    "/usr/bin/apt-get update",
    "/usr/bin/journalctl -u backup --since today",
    "/bin/cat /var/log/auth.log",
    "/usr/sbin/ip -6 route show",
    "/usr/bin/vim /etc/hosts",
];

pub(super) const UNITS: &[&str] = &["nginx", "postgresql", "backup", "logrotate", "apt-daily", "certbot", "fstrim"];

pub(super) const JOBS: &[&str] = &[
    "   cd / && run-parts --report /etc/cron.hourly",
    "test -x /usr/sbin/anacron || { cd / && run-parts --report /etc/cron.daily; }",
    "/usr/local/bin/rotate-keys --quiet",
    "[ -d /srv/data ] && /usr/bin/find /srv/data -name '*.tmp' -mtime +3 -delete",
];
