//! A Linux server in RFC 3164, as its local syslog daemon forwards it: logins in threads, sudo, cron, systemd, kernel.
//!
//! Facts: facilities auth 4, authpriv 10, cron 9, daemon 3, kern 0, mail 2 (RFC 3164 table 1); texts as OpenSSH 9, sudo 1.9,
//! cron, systemd and the kernel's netfilter log write them (observed), with invented values. Process ids go up to 4,194,304
//! (Linux `pid_max` on 64 bit).

use std::collections::VecDeque;
use std::net::Ipv4Addr;

use super::dice::{Dice, Moment};
use super::{put, words};

#[derive(Debug)]
pub(super) struct Linux {
    host: String,
    pid: u64,
    session: u64,
    serial: u64,
    booted: u64,
    logins: VecDeque<Login>,
}

/// One ssh session on its way from connection to goodbye.
#[derive(Clone, Copy, Debug)]
struct Login {
    step: u8,
    pid: u64,
    session: u64,
    user: &'static str,
    peer: Ipv4Addr,
    port: u16,
}

/// Sessions open at one time.
const MOST_LOGINS: usize = 24;

impl Linux {
    pub(super) fn new(dice: &mut Dice, device: u8) -> Self {
        Self {
            host: format!("{}{:02}", dice.pick(&["web", "db", "app", "jump", "build"]), u32::from(device) + 1),
            pid: dice.between(1_000, 60_000),
            session: dice.between(1, 90_000),
            serial: 0,
            booted: dice.between(10_000, 9_000_000) * 1_000_000,
            logins: VecDeque::new(),
        }
    }

    pub(super) fn write(&mut self, dice: &mut Dice, moment: &Moment, to: &mut String) {
        self.serial += 1;
        match dice.below(100) {
            0..=44 => self.login(dice, moment, to),
            45..=57 => self.refused(dice, moment, to),
            58..=66 => self.sudo(dice, moment, to),
            67..=75 => self.cron(dice, moment, to),
            76..=83 => self.systemd(dice, moment, to),
            84..=93 => self.firewall(dice, moment, to),
            94..=97 => self.web(dice, moment, to),
            _ => self.mail(dice, moment, to),
        }
    }

    fn head(&self, pri: u8, moment: &Moment, to: &mut String) {
        put!(to, "<{pri}>{} {} ", moment.bsd, self.host);
    }

    fn process(&mut self) -> u64 {
        self.pid = (self.pid + 1) % 4_194_304;
        self.pid
    }

    fn login(&mut self, dice: &mut Dice, moment: &Moment, to: &mut String) {
        let mut login = match self.logins.pop_front() {
            Some(login) if self.logins.len() + 1 >= MOST_LOGINS || dice.below(3) > 0 => login,
            open => {
                self.logins.extend(open);
                let (peer, port) = dice.flow(self.serial);
                self.session += 1;
                Login { step: 0, pid: self.process(), session: self.session, user: dice.pick(words::USERS), peer, port }
            }
        };
        self.head(if login.step == 3 { 38 } else { 86 }, moment, to);
        let Login { pid, session, user, peer, port, .. } = login;
        match login.step {
            0 => put!(to, "sshd[{pid}]: Connection from {peer} port {port} on 192.0.2.30 port 22 rdomain \"\""),
            1 => put!(
                to,
                "sshd[{pid}]: Accepted publickey for {user} from {peer} port {port} ssh2: ED25519 SHA256:{:016x}{:016x}",
                dice.bits(),
                dice.bits()
            ),
            2 => put!(
                to,
                "sshd[{pid}]: pam_unix(sshd:session): session opened for user {user}(uid=1{:03}) by (uid=0)",
                pid % 997
            ),
            3 => put!(to, "systemd-logind[612]: New session {session} of user {user}."),
            4 => put!(to, "sshd[{pid}]: Disconnected from user {user} {peer} port {port}"),
            _ => put!(to, "sshd[{pid}]: pam_unix(sshd:session): session closed for user {user}"),
        }
        login.step += 1;
        if login.step < 6 {
            self.logins.push_back(login);
        }
    }

    fn refused(&mut self, dice: &mut Dice, moment: &Moment, to: &mut String) {
        let (pid, (peer, port)) = (self.process(), dice.flow(self.serial));
        self.head(86, moment, to);
        let user = dice.pick(&["root", "admin", "oracle", "test", "ubuntu"]);
        if dice.one_in(2) {
            put!(to, "sshd[{pid}]: Failed password for invalid user {user} from {peer} port {port} ssh2");
        } else {
            put!(to, "sshd[{pid}]: Connection closed by authenticating user {user} {peer} port {port} [preauth]");
        }
    }

    fn sudo(&mut self, dice: &mut Dice, moment: &Moment, to: &mut String) {
        let (pid, user) = (self.process(), dice.pick(words::USERS));
        self.head(85, moment, to);
        put!(to, "sudo[{pid}]: {user:>8} : TTY=pts/{} ; PWD=/home/{user} ; USER=root ;", dice.below(12));
        put!(to, " COMMAND={}", dice.pick(words::COMMANDS));
    }

    fn cron(&mut self, dice: &mut Dice, moment: &Moment, to: &mut String) {
        let pid = self.process();
        self.head(78, moment, to);
        put!(to, "CRON[{pid}]: ({}) CMD ({})", dice.pick(&["root", "backup", "www-data"]), dice.pick(words::JOBS));
    }

    fn systemd(&mut self, dice: &mut Dice, moment: &Moment, to: &mut String) {
        self.session += 1;
        let unit = dice.pick(words::UNITS);
        self.head(30, moment, to);
        match dice.below(3) {
            0 => put!(to, "systemd[1]: Started session-{}.scope - Session of User deploy.", self.session),
            1 => put!(to, "systemd[1]: {unit}@{}.service: Deactivated successfully.", self.session),
            _ => {
                put!(to, "systemd[1]: {unit}@{}.service: Consumed {}.", self.session, dice.between(1, 9));
                put!(to, "{:03}s CPU time.", dice.below(1_000));
            }
        }
    }

    fn firewall(&mut self, dice: &mut Dice, moment: &Moment, to: &mut String) {
        // Time since the start of the machine, which never stands still between two lines.
        self.booted += dice.between(1, 4_000);
        let (peer, port) = dice.flow(self.serial);
        self.head(4, moment, to);
        put!(to, "kernel: [{:5}.{:06}] [UFW BLOCK] IN=eth0 OUT= ", self.booted / 1_000_000, self.booted % 1_000_000);
        put!(to, "MAC=00:00:5e:00:53:01:00:00:5e:00:53:{:02x}:08:00", dice.below(256));
        put!(to, " SRC={peer} DST=192.0.2.30 LEN={} TOS=0x00 PREC=0x00", dice.between(40, 60));
        put!(to, " TTL={} ID={} DF PROTO=TCP", dice.between(30, 250), dice.below(65_536));
        put!(to, " SPT={port} DPT={} WINDOW=1024 RES=0x00 SYN URGP=0 ", dice.pick(&[23u64, 445, 3389, 6379]));
    }

    fn web(&mut self, dice: &mut Dice, moment: &Moment, to: &mut String) {
        let (pid, peer) = (self.process(), dice.outside_v6(self.serial));
        self.head(190, moment, to);
        put!(to, "nginx[{pid}]: {peer} - - \"GET {} HTTP/1.1\"", dice.pick(words::PATHS));
        put!(to, " {} {}", dice.pick(&[200u64, 200, 304, 404, 502]), dice.below(90_000));
        put!(to, " \"-\" \"{}\"", dice.pick(words::AGENTS));
    }

    fn mail(&mut self, dice: &mut Dice, moment: &Moment, to: &mut String) {
        let pid = self.process();
        self.head(22, moment, to);
        put!(to, "postfix/smtp[{pid}]: {:010X}: to=<{}@example.org>,", dice.bits() >> 24, dice.pick(words::PEOPLE));
        put!(to, " relay=mx.example.org[203.0.113.25]:25, delay={}.{:02},", dice.below(40), dice.below(100));
        put!(to, " dsn=2.0.0, status=sent (250 2.0.0 Ok: queued)");
    }
}
