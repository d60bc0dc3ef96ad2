//! Cisco ASA: connections built and torn down, translations, denials, logins, commands, VPN sessions.
//!
//! Facts: facility local4 (20) by default; `Mmm dd yyyy hh:mm:ss`, then ` host :` only with `logging device-id`, then
//! `%ASA-severity-number:`. Texts after the "Cisco Secure Firewall ASA Series Syslog Messages" guide, with invented values.

use std::collections::VecDeque;

use super::dice::{Dice, Flow, Moment};
use super::{put, words};

#[derive(Debug)]
pub(super) struct Asa {
    host: Option<String>,
    /// The name of the outer interface. It tells devices apart that do not name themselves.
    wan: String,
    connection: u64,
    serial: u64,
    session: u64,
    open: VecDeque<Connection>,
}

#[derive(Clone, Copy, Debug)]
struct Connection {
    id: u64,
    tcp: bool,
    outside: Flow,
    inside: std::net::Ipv4Addr,
    port: u64,
    since: u64,
}

/// Connections that wait for their end; a real firewall holds more, a log reader cannot tell.
const MOST_OPEN: usize = 2_000;

impl Asa {
    pub(super) fn new(dice: &mut Dice, device: u8) -> Self {
        Self {
            host: device.is_multiple_of(2).then(|| format!("asa-{}", u32::from(device) + 1)),
            wan: if device.is_multiple_of(2) { "outside".to_owned() } else { format!("wan{device}") },
            // A range per device, for texts that name neither the device nor its outer interface.
            connection: u64::from(device) * 1_000_000_000 + dice.below(100_000_000),
            serial: 0,
            session: u64::from(device) * 100_000_000 + dice.below(10_000_000),
            open: VecDeque::new(),
        }
    }

    pub(super) fn write(&mut self, dice: &mut Dice, moment: &Moment, to: &mut String) {
        self.serial += 1;
        let close = self.open.len() >= MOST_OPEN || (self.open.len() > 40 && dice.one_in(2));
        match dice.below(100) {
            0..=64 if close => self.teardown(dice, moment, to),
            0..=64 => self.built(dice, moment, to),
            65..=76 => self.denied(dice, moment, to),
            77..=84 => self.translation(dice, moment, to),
            85..=88 => self.access_list(dice, moment, to),
            89..=91 => self.handshake(dice, moment, to),
            92..=94 => self.vpn(dice, moment, to),
            95..=96 => self.login(dice, moment, to),
            97..=98 => self.command(dice, moment, to),
            _ => self.threat(dice, moment, to),
        }
    }

    fn head(&self, severity: u8, number: u32, moment: &Moment, to: &mut String) {
        put!(to, "<{}>{}", 160 + severity, moment.asa);
        if let Some(host) = &self.host {
            put!(to, " {host} ");
        }
        put!(to, ": %ASA-{severity}-{number}: ");
    }

    fn built(&mut self, dice: &mut Dice, moment: &Moment, to: &mut String) {
        self.connection += dice.between(1, 3);
        let tcp = dice.below(4) > 0;
        let open = Connection {
            id: self.connection,
            tcp,
            outside: (dice.flow(self.serial).0, if tcp { 443 } else { 53 }),
            inside: dice.inside(),
            port: dice.port(),
            since: moment.epoch().saturating_sub(dice.below(4_000)),
        };
        self.open.push_back(open);
        let Connection { id, outside: (address, service), inside, port, .. } = open;
        let (number, word) = if tcp { (302_013, "TCP") } else { (302_015, "UDP") };
        self.head(6, number, moment, to);
        let wan = &self.wan;
        put!(to, "Built outbound {word} connection {id} for {wan}:{address}/{service} ({address}/{service})");
        put!(to, " to inside:{inside}/{port} (203.0.113.6/{port})");
    }

    fn teardown(&mut self, dice: &mut Dice, moment: &Moment, to: &mut String) {
        let Some(open) = self.open.pop_front() else { return self.built(dice, moment, to) };
        let Connection { id, tcp, outside: (address, service), inside, port, since } = open;
        let took = moment.epoch().saturating_sub(since);
        let (hours, minutes, seconds) = (took / 3_600, took / 60 % 60, took % 60);
        let (number, word) = if tcp { (302_014, "TCP") } else { (302_016, "UDP") };
        self.head(6, number, moment, to);
        put!(to, "Teardown {word} connection {id} for {}:{address}/{service}", self.wan);
        put!(to, " to inside:{inside}/{port}");
        put!(to, " duration {hours}:{minutes:02}:{seconds:02} bytes {}", dice.between(90, 9_000_000));
        if tcp {
            put!(to, " {}", dice.pick(&["TCP FINs", "TCP Reset-O", "TCP Reset-I", "SYN Timeout"]));
        }
    }

    fn denied(&mut self, dice: &mut Dice, moment: &Moment, to: &mut String) {
        let (address, port) = dice.flow(self.serial);
        let service = dice.pick(&[22u64, 23, 445, 3389, 5060, 8080]);
        self.head(4, 106_023, moment, to);
        put!(to, "Deny {} src {}:{address}/{port}", dice.pick(&["tcp", "tcp", "udp"]), self.wan);
        put!(to, " dst inside:{}/{service} by access-group \"outside_in\" [0x8ed66b60, 0x0]", dice.inside());
    }

    fn translation(&mut self, dice: &mut Dice, moment: &Moment, to: &mut String) {
        let (address, port) = dice.flow(self.serial);
        self.head(6, 305_011, moment, to);
        put!(to, "Built dynamic TCP translation from inside:{}/{}", dice.inside(), dice.port());
        put!(to, " to {}:{address}/{port}", self.wan);
    }

    fn access_list(&mut self, dice: &mut Dice, moment: &Moment, to: &mut String) {
        let (address, port) = dice.flow(self.serial);
        self.head(6, 106_100, moment, to);
        put!(to, "access-list {} ", dice.pick(&["outside_in", "dmz_in", "plant_in"]));
        put!(to, "{} tcp {}/{address}({port})", dice.pick(&["permitted", "denied"]), self.wan);
        put!(to, " -> inside/{}({}) hit-cnt 1 first hit", dice.inside(), dice.pick(&[443u64, 502, 1883]));
        put!(to, " [0x{:08x}, 0x0]", dice.bits() as u32);
    }

    fn handshake(&mut self, dice: &mut Dice, moment: &Moment, to: &mut String) {
        let (address, port) = dice.flow(self.serial);
        self.head(6, 725_002, moment, to);
        put!(to, "Device completed SSL handshake with client {}:{address}/{port} to 203.0.113.6/443", self.wan);
        put!(to, " for TLSv1.{} session", dice.between(2, 3));
    }

    fn vpn(&mut self, dice: &mut Dice, moment: &Moment, to: &mut String) {
        self.session += 1;
        let (user, address) = (dice.pick(words::USERS), dice.flow(self.serial).0);
        let took = dice.between(40, 40_000);
        self.head(4, 113_019, moment, to);
        put!(to, "Group = staff, Username = {user}, IP = {address}, Session disconnected. Session Type: SSL");
        put!(to, ", Duration: {}h:{:02}m:{:02}s", took / 3_600, took / 60 % 60, took % 60);
        // The byte counts carry the session number: it grows, and is unlike any other device's.
        put!(to, ", Bytes xmt: {}, Bytes rcv: {}", self.session, dice.below(90_000_000));
        put!(to, ", Reason: {}", dice.pick(&["User Requested", "Idle Timeout", "Connection Preempted"]));
    }

    fn login(&mut self, dice: &mut Dice, moment: &Moment, to: &mut String) {
        let (address, port) = dice.flow(self.serial);
        let (user, wan) = (dice.pick(words::USERS), &self.wan);
        if dice.one_in(3) {
            self.head(6, 605_004, moment, to);
            put!(to, "Login denied from {address}/{port} to {wan}:203.0.113.6/ssh for user \"{user}\"");
        } else {
            self.head(6, 605_005, moment, to);
            put!(to, "Login permitted from {address}/{port} to {wan}:203.0.113.6/ssh for user \"{user}\"");
        }
    }

    fn command(&mut self, dice: &mut Dice, moment: &Moment, to: &mut String) {
        self.session += 1;
        let (user, session) = (dice.pick(words::USERS), self.session);
        let verb =
            dice.pick(&["show access-list", "clear conn address 192.0.2.77", "object network host", "write memory"]);
        self.head(5, 111_010, moment, to);
        put!(to, "User '{user}', running 'CLI' from IP {}, executed '{verb} #{session}'", dice.inside());
    }

    fn threat(&mut self, dice: &mut Dice, moment: &Moment, to: &mut String) {
        self.session += 1;
        let rate = dice.between(1, 40);
        self.head(4, 733_100, moment, to);
        put!(to, "[ {}] drop rate-1 exceeded.", dice.pick(&["Scanning", "ACL drop", "SYN attack"]));
        put!(to, " Current burst rate is {rate} per second, max configured rate is 10; Current average rate is");
        put!(to, " {} per second, max configured rate is 5; Cumulative total count is {}", rate / 2 + 1, self.session);
    }
}
