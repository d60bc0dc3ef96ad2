//! Sophos Firewall (SFOS): the device standard format and the central reporting format.
//!
//! Facts: PRI, then pairs at once, no header time or host; legacy values are quoted or bare by no rule; a bare value may
//! hold blanks (`ether_type=IPv4 (0x0800)`), bare empty values and double blanks occur (splunk-connect-for-syslog
//! `test_sophos_firewall_xg.py`). `log_id` is twelve digits: type, component, subtype (two each), severity (one), message
//! (five) (Sophos Firewall 18.5 online help, "Logs"). The offset in the central format has no colon.

use std::fmt::Display;

use super::dice::{Dice, Moment};
use super::{put, words};

#[derive(Debug)]
pub(super) struct Sophos {
    name: String,
    number: String,
    central: bool,
    connection: u64,
    serial: u64,
}

/// What an event is, as its head says it.
struct Head {
    /// `daemon` is facility 3, so 24 plus severity.
    pri: u8,
    log_id: &'static str,
    log_type: &'static str,
    component: &'static str,
    subtype: &'static str,
    status: Option<&'static str>,
    severity: &'static str,
}

const INFO: Head =
    Head { pri: 30, log_id: "", log_type: "", component: "", subtype: "", status: None, severity: "Information" };

/// Pairs on their way into a message.
struct Pairs<'a> {
    to: &'a mut String,
    central: bool,
}

impl Pairs<'_> {
    /// A value that both formats quote.
    fn text(&mut self, key: &str, value: impl Display) -> &mut Self {
        put!(self.to, " {key}=\"{value}\"");
        self
    }

    /// A value that only the central format quotes, and leaves out where it is empty.
    fn bare(&mut self, key: &str, value: impl Display) -> &mut Self {
        if self.central {
            return self.text(key, value);
        }
        put!(self.to, " {key}={value}");
        self
    }

    /// A value that neither format quotes.
    fn number(&mut self, key: &str, value: impl Display) -> &mut Self {
        put!(self.to, " {key}={value}");
        self
    }
}

impl Sophos {
    pub(super) fn new(dice: &mut Dice, device: u8) -> Self {
        Self {
            name: format!("fw-{}", u32::from(device) + 1),
            number: format!("X1360000{:07}", u64::from(device) * 10_000 + dice.below(10_000)),
            central: device % 2 == 1,
            connection: dice.between(100_000_000, 900_000_000),
            serial: 0,
        }
    }

    pub(super) fn write(&mut self, dice: &mut Dice, moment: &Moment, to: &mut String) {
        self.serial += 1;
        match dice.below(100) {
            0..=44 => self.allowed(dice, moment, to),
            45..=54 => self.denied(dice, moment, to),
            55..=74 => self.web(dice, moment, to),
            75..=79 => self.application(dice, moment, to),
            80..=83 => self.attack(dice, moment, to),
            84..=86 => self.virus(dice, moment, to),
            87..=90 => self.login(dice, moment, to),
            91..=93 => self.vpn(dice, moment, to),
            94 => self.admin(dice, moment, to),
            95..=96 => self.waf(dice, moment, to),
            _ => self.health(dice, moment, to),
        }
    }

    fn head<'a>(&self, head: &Head, moment: &Moment, to: &'a mut String) -> Pairs<'a> {
        let Head { pri, log_id, log_type, component, subtype, status, severity } = head;
        let (name, number, date, time) = (&self.name, &self.number, &moment.date, &moment.time);
        if self.central {
            put!(to, "<{pri}>device_name=\"{name}\" timestamp=\"{date}T{time}+0000\" device_model=\"XGS136\"");
            put!(to, " device_serial_id=\"{number}\" log_id=\"{log_id}\" log_type=\"{log_type}\"");
            put!(to, " log_component=\"{component}\" log_subtype=\"{subtype}\" log_version=1 severity=\"{severity}\"");
        } else {
            put!(to, "<{pri}>device=\"SFW\" date={date} time={time} timezone=\"UTC\" device_name=\"{name}\"");
            put!(to, " device_id={number} log_id={log_id} log_type=\"{log_type}\" log_component=\"{component}\"");
            put!(to, " log_subtype=\"{subtype}\"");
        }
        let mut pairs = Pairs { to, central: self.central };
        if let Some(status) = status {
            pairs.text("status", status);
        }
        if !self.central {
            pairs.number("priority", severity);
        }
        pairs
    }

    fn connection(&mut self, dice: &mut Dice) -> u64 {
        // Real firewalls skip numbers; the step keeps them growing.
        self.connection += dice.between(1, 9);
        self.connection
    }

    fn allowed(&mut self, dice: &mut Dice, moment: &Moment, to: &mut String) {
        let (connection, serial) = (self.connection(dice), self.serial);
        let (outside, port) = dice.flow(serial);
        let stop = dice.below(3) > 0;
        let (app, group, risk) = dice.pick(words::APPLICATIONS);
        let head = Head {
            log_id: "010101600001",
            log_type: "Firewall",
            component: "Firewall Rule",
            subtype: "Allowed",
            status: Some("Allow"),
            ..INFO
        };
        let mut pairs = self.head(&head, moment, to);
        pairs.number("duration", if stop { dice.below(900) } else { 0 });
        pairs.number("fw_rule_id", dice.between(1, 60)).number("nat_rule_id", dice.between(1, 9));
        pairs.number("policy_type", 1).text("user_name", if dice.one_in(3) { dice.pick(words::USERS) } else { "" });
        pairs.text("user_gp", if dice.one_in(3) { dice.pick(words::GROUPS) } else { "" });
        pairs.number("iap", dice.below(14)).number("ips_policy_id", dice.below(9));
        pairs.number("appfilter_policy_id", dice.below(9)).text("application", app).number("application_risk", risk);
        pairs.text("application_category", group).bare("ether_type", "IPv4 (0x0800)");
        pairs.text("in_interface", "Port1").text("out_interface", "Port2");
        pairs.bare("src_mac", format_args!("00:00:5e:00:53:{:02x}", dice.below(256))).bare("src_ip", dice.inside());
        pairs.text("src_country_code", "ZZ").bare("dst_ip", outside).text("protocol", "TCP");
        pairs.number("src_port", port).number("dst_port", dice.pick(&[443u64, 443, 443, 80, 993, 8443, 22, 25]));
        let (sent, received) = if stop { (dice.between(3, 900), dice.between(3, 4_000)) } else { (0, 0) };
        pairs.number("sent_pkts", sent).number(" recv_pkts", received);
        pairs
            .number("sent_bytes", sent * dice.between(60, 400))
            .number("recv_bytes", received * dice.between(60, 1_400));
        pairs.bare("tran_src_ip", "203.0.113.5").number("tran_src_port", 0).number("tran_dst_ip", "");
        pairs.number("tran_dst_port", 0).text("srczonetype", "LAN").text("dstzonetype", "WAN");
        pairs.text("connevent", if stop { "Stop" } else { "Start" }).text("connid", connection).text("message", "");
    }

    fn denied(&mut self, dice: &mut Dice, moment: &Moment, to: &mut String) {
        let (outside, port) = dice.flow(self.serial);
        let head = Head {
            log_id: "010102600002",
            log_type: "Firewall",
            component: dice.pick(&["Firewall Rule", "Invalid Traffic", "Local ACL"]),
            subtype: "Denied",
            status: Some("Deny"),
            ..INFO
        };
        let mut pairs = self.head(&head, moment, to);
        pairs.number("duration", 0).number("fw_rule_id", dice.below(60)).number("policy_type", 1);
        pairs.text("user_name", "").bare("ether_type", dice.pick(&["IPv4 (0x0800)", "Unknown (0x0000)"]));
        pairs.text("in_interface", "Port2").bare("src_ip", outside).text("src_country_code", "ZZ");
        pairs.bare("dst_ip", "203.0.113.5").text("protocol", dice.pick(&["TCP", "TCP", "UDP"]));
        pairs.number("src_port", port).number("dst_port", dice.pick(&[22u64, 23, 445, 3389, 5060, 8080, 502, 1433]));
        pairs.number("sent_pkts", 0).number("recv_pkts", 0).text("srczonetype", "WAN").text("dstzonetype", "LOCAL");
        pairs.text("message", dice.pick(&["", "Could not associate packet to any connection.", "Invalid TCP state."]));
    }

    fn web(&mut self, dice: &mut Dice, moment: &Moment, to: &mut String) {
        let connection = self.connection(dice);
        let (category, kind) = dice.pick(words::CATEGORIES);
        let blocked = kind == "Objectionable";
        let (outside, port) = dice.flow(self.serial);
        let head = Head {
            log_id: if blocked { "050902616002" } else { "050901616001" },
            log_type: "Content Filtering",
            component: "HTTP",
            subtype: if blocked { "Denied" } else { "Allowed" },
            status: Some(""),
            ..INFO
        };
        let (domain, path) = (dice.pick(words::DOMAINS), dice.pick(words::PATHS));
        let mut pairs = self.head(&head, moment, to);
        pairs.number("fw_rule_id", dice.between(1, 60)).text("user_name", dice.pick(words::USERS));
        pairs.text("user_gp", dice.pick(words::GROUPS)).number("iap", dice.below(14));
        pairs
            .text("category", category)
            .text("category_type", kind)
            .text("url", format_args!("https://{domain}{path}"));
        pairs.text("contenttype", dice.pick(&["text/html", "application/json", "image/png", ""]));
        pairs.text("override_token", "").text("httpresponsecode", "").bare("src_ip", dice.inside());
        pairs.bare("dst_ip", outside).text("protocol", "TCP").number("src_port", port).number("dst_port", 443);
        pairs.number("sent_bytes", dice.between(200, 9_000)).number("recv_bytes", dice.between(300, 900_000));
        pairs.bare("domain", domain).number("exceptions", "").text("activityname", "").text("reason", "");
        pairs.text("user_agent", dice.pick(words::AGENTS)).text("status_code", if blocked { 403 } else { 200 });
        pairs.text("transactionid", format_args!("{:016x}", dice.bits())).text("referer", "");
        pairs.text("con_id", connection).number("app_is_cloud", dice.below(2));
    }

    fn application(&mut self, dice: &mut Dice, moment: &Moment, to: &mut String) {
        let connection = self.connection(dice);
        let (app, category, risk) = dice.pick(words::APPLICATIONS);
        let head = Head {
            log_id: "054402617051",
            log_type: "Content Filtering",
            component: "Application",
            subtype: "Denied",
            status: None,
            ..INFO
        };
        let (outside, port) = dice.flow(self.serial);
        let mut pairs = self.head(&head, moment, to);
        pairs.number("fw_rule_id", dice.between(1, 60)).text("user_name", dice.pick(words::USERS));
        pairs.text("application_filter_policy", 8).text("category", category).text("application_name", app);
        pairs.number("application_risk", risk).text("application_technology", "Network Protocol");
        pairs.bare("src_ip", dice.inside()).text("src_country", "R1").bare("dst_ip", outside).text("protocol", "TCP");
        pairs.number("src_port", port).number("dst_port", dice.between(1_024, 65_535));
        pairs.text("con_id", connection).text("message", "");
    }

    fn attack(&mut self, dice: &mut Dice, moment: &Moment, to: &mut String) {
        let (signature, message, class) = dice.pick(words::ATTACKS);
        let head = Head {
            pri: 28,
            log_id: "020804407002",
            log_type: "IDP",
            component: "Signatures",
            subtype: "Drop",
            status: None,
            severity: "Warning",
        };
        let (outside, port) = dice.flow(self.serial);
        let mut pairs = self.head(&head, moment, to);
        pairs.text("idp_policy_name", "lan_to_wan").number("fw_rule_id", dice.between(1, 60)).text("user_name", "");
        pairs.number("signature_id", signature).text("signature_msg", message).text("classification", class);
        pairs.number("rule_priority", dice.between(1, 4)).bare("src_ip", outside).text("src_country_code", "ZZ");
        pairs.bare("dst_ip", dice.inside()).text("protocol", "TCP").number("src_port", port);
        pairs.number("dst_port", dice.pick(&[80u64, 443, 445, 502])).text("platform", "Windows,Linux");
        pairs.text("category", "server-web").text("target", "Server");
    }

    fn virus(&mut self, dice: &mut Dice, moment: &Moment, to: &mut String) {
        let head = Head {
            pri: 26,
            log_id: "030906208001",
            log_type: "Anti-Virus",
            component: "HTTP",
            subtype: "Virus",
            status: Some(""),
            severity: "Critical",
        };
        let (outside, port) = dice.flow(self.serial);
        let domain = dice.pick(words::DOMAINS);
        let mut pairs = self.head(&head, moment, to);
        pairs.number("fw_rule_id", dice.between(1, 60)).text("user_name", dice.pick(words::USERS)).number("iap", 13);
        pairs
            .text("av_policy_name", "default")
            .text("virus", dice.pick(&["EICAR-AV-Test", "Mal/Example-A", "Troj/Doc-Ex"]));
        pairs.text("url", format_args!("http://{domain}/{:08x}/setup.exe", self.serial)).text("domainname", domain);
        pairs.bare("src_ip", dice.inside()).bare("dst_ip", outside).text("protocol", "TCP").number("src_port", port);
        pairs.number("dst_port", 80).number("sent_bytes", 0).number("recv_bytes", dice.between(68, 4_000_000));
    }

    fn login(&mut self, dice: &mut Dice, moment: &Moment, to: &mut String) {
        let failed = dice.one_in(4);
        let head = Head {
            pri: if failed { 29 } else { 30 },
            log_id: if failed { "062910517702" } else { "062910617701" },
            log_type: "Event",
            component: "Firewall Authentication",
            subtype: "Authentication",
            status: Some(if failed { "Failed" } else { "Successful" }),
            severity: if failed { "Notice" } else { "Information" },
        };
        let (user, address) = (dice.pick(words::USERS), dice.inside());
        let session = self.connection(dice);
        let mut pairs = self.head(&head, moment, to);
        pairs.text("user_name", user).text("usergroupname", dice.pick(words::GROUPS)).text("auth_client", "Web Client");
        pairs
            .text("auth_mechanism", dice.pick(&["AD", "Local", "RADIUS"]))
            .text("reason", if failed { "wrong credentials" } else { "" });
        pairs.bare("src_ip", address).bare("src_mac", format_args!("00:00:5e:00:53:{:02x}", dice.below(256)));
        pairs.number("start_time", moment.epoch()).text("session_id", session);
        let word = if failed { "failed to log in" } else { "logged in successfully" };
        pairs.text("message", format_args!("User {user} {word} from {address}")).text("name", user);
    }

    fn vpn(&mut self, dice: &mut Dice, moment: &Moment, to: &mut String) {
        let up = dice.one_in(2);
        let head = Head {
            log_id: if up { "062811617824" } else { "062811617825" },
            log_type: "Event",
            component: "SSL VPN",
            subtype: "System",
            status: Some(if up { "Established" } else { "Terminated" }),
            ..INFO
        };
        let (outside, port) = dice.flow(self.serial);
        let user = dice.pick(words::USERS);
        let mut pairs = self.head(&head, moment, to);
        pairs.text("user_name", user).text("connectionname", format_args!("{user}@sslvpn")).number("connectiontype", 0);
        pairs.bare("remote_ip", outside).number("remote_port", port).bare("local_ip", "203.0.113.5");
        pairs.bare("client_ip", dice.outside_v6(self.serial)).number("start_time", moment.epoch());
        let bytes = if up { 0 } else { dice.between(10_000, 90_000_000) };
        pairs.number("bytes_received", bytes).number("bytes_sent", bytes / 7).text("message", "");
    }

    fn admin(&mut self, dice: &mut Dice, moment: &Moment, to: &mut String) {
        let head = Head {
            log_id: "062009617502",
            log_type: "Event",
            component: dice.pick(&["GUI", "CLI", "Central Management"]),
            subtype: "Admin",
            status: Some("Successful"),
            ..INFO
        };
        let rule = self.serial;
        let mut pairs = self.head(&head, moment, to);
        pairs.text("user_name", "admin").bare("src_ip", "192.0.2.2").text("additional_information", "");
        let verb = dice.pick(&["added", "changed", "removed", "moved"]);
        pairs.text("message", format_args!("Firewall rule 'rule_{rule}' was {verb} by 'admin' from '192.0.2.2'"));
    }

    fn waf(&mut self, dice: &mut Dice, moment: &Moment, to: &mut String) {
        let head = Head {
            pri: 25,
            log_id: "086320518009",
            log_type: "WAF",
            component: "Web Application Firewall",
            subtype: "Denied",
            status: None,
            severity: "Alert",
        };
        let (outside, port) = dice.flow(self.serial);
        let mut pairs = self.head(&head, moment, to);
        pairs
            .text("user_name", "-")
            .text("server", "www.example.org")
            .bare("sourceip", outside)
            .number("sourceport", port);
        pairs.bare("localip", "203.0.113.5").bare("ws_protocol", "HTTP/1.1").text("url", dice.pick(words::PATHS));
        pairs.text("querystring", "?id=1' OR '1'='1").text("cookie", "-").text("referer", "-").number("method", "GET");
        pairs.number("httpstatus", 403).text("reason", dice.pick(&["SQL Injection", "XSS attack", "Bad reputation"]));
        pairs.text("extra", "Inbound Anomaly Score Exceeded").text("contenttype", "text/html");
        pairs.text("useragent", dice.pick(words::AGENTS)).number("bytessent", dice.below(900));
    }

    fn health(&mut self, dice: &mut Dice, moment: &Moment, to: &mut String) {
        let (total, serial) = (4_131_282_944u64, self.serial);
        // The factor shares no divisor with the range, so no value comes twice.
        let used = 1_400_000_000 + serial * 4_099 % 2_600_000_000;
        let interface = dice.one_in(2);
        let head = Head {
            log_id: if interface { "123526618031" } else { "123526618032" },
            log_type: "System Health",
            component: if interface { "Interface" } else { "Memory" },
            subtype: "Usage",
            status: None,
            ..INFO
        };
        let mut pairs = self.head(&head, moment, to);
        if interface {
            pairs.text("interface", dice.pick(&["Port1", "Port2", "Port3"]));
            pairs.number("receivedkbits", serial * 13 + dice.below(13)).number("transmittedkbits", dice.below(90_000));
            pairs.number("receivederrors", "0.00").number("transmitteddrops", "0.00").number("collisions", "0.00");
        } else {
            pairs.text("unit", "byte").number("total_memory", total).number("free", total - used).number("used", used);
        }
    }
}
