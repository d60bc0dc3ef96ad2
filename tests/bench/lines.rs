//! The load: syslog lines as firewalls and servers write them, made beforehand, the same bytes for every collector.
//!
//! Deterministic, so that two machines send the same. Addresses, ports, numbers and users vary from line to line, because a
//! queue that compresses must not be flattered: zstd level 1 makes about a sixth of batches of them.

use std::fmt::Write as _;

/// Which lines are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mix {
    /// Servers, an ASA and a FortiGate: 282 bytes on average.
    Short,
    /// A Sophos firewall: 680 bytes on average.
    Long,
}

/// Lines in one buffer, each with its line feed.
#[derive(Debug)]
pub struct Lines {
    bytes: Vec<u8>,
    /// Where each line ends, its line feed included.
    ends: Vec<usize>,
}

/// Where the mark of a marked line stands: right after the priority.
pub const MARK_AT: usize = 5;
/// Hexadecimal digits of a mark.
pub const MARK: usize = 16;

impl Lines {
    /// Makes lines of at least `bytes` bytes. Marked ones have room for a number, see [`put_mark`].
    pub fn make(mix: Mix, bytes: usize, marked: bool) -> Self {
        let mut random = Random(0x5eed_1ab5_0000_0001);
        let mut lines = Self { bytes: Vec::with_capacity(bytes + 2_048), ends: Vec::new() };
        let mut line = String::new();
        let mut second = 36_000;
        while lines.bytes.len() < bytes {
            if random.below(100) < 2 {
                second += 1;
            }
            line.clear();
            match mix {
                Mix::Short => short(&mut line, &mut random, second),
                Mix::Long => sophos(&mut line, &mut random, second),
            }
            let (priority, rest) = line.split_at(MARK_AT);
            lines.bytes.extend_from_slice(priority.as_bytes());
            if marked {
                lines.bytes.extend_from_slice(&[b'0'; MARK]);
                lines.bytes.push(b' ');
            }
            lines.bytes.extend_from_slice(rest.as_bytes());
            lines.bytes.push(b'\n');
            lines.ends.push(lines.bytes.len());
        }
        lines
    }

    /// How many lines there are.
    pub fn count(&self) -> u64 {
        self.ends.len() as u64
    }

    /// Bytes of a line on average, without its line feed.
    pub fn mean(&self) -> f64 {
        self.bytes.len() as f64 / self.ends.len() as f64 - 1.0
    }

    /// The lines `from..to` with their line feeds; both below [`Lines::count`] or equal to it.
    pub fn range(&self, from: u64, to: u64) -> &[u8] {
        let at = |line: u64| if line == 0 { 0 } else { self.ends[line as usize - 1] };
        &self.bytes[at(from)..at(to)]
    }

    /// The line of a number that goes round, without its line feed.
    pub fn line(&self, number: u64) -> &[u8] {
        let at = number % self.count();
        let line = self.range(at, at + 1);
        &line[..line.len() - 1]
    }

    /// Bytes of the first `count` lines of the endless round, without line feeds.
    pub fn bytes_of(&self, count: u64) -> u64 {
        let (rounds, rest) = (count / self.count(), count % self.count());
        rounds * self.bytes.len() as u64 + self.range(0, rest).len() as u64 - count
    }
}

/// Writes a number into a marked line.
pub fn put_mark(line: &mut [u8], mark: u64) {
    for (at, place) in line[MARK_AT..MARK_AT + MARK].iter_mut().enumerate() {
        *place = b"0123456789abcdef"[(mark >> (60 - 4 * at)) as usize & 15];
    }
}

/// Reads the number out of a marked line.
pub fn mark(line: &[u8]) -> Option<u64> {
    let digits = line.get(MARK_AT..MARK_AT + MARK)?;
    digits.iter().try_fold(0, |sum, digit| Some(sum << 4 | u64::from((*digit as char).to_digit(16)?)))
}

/// Marsaglia's xorshift.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, limit: u64) -> u64 {
        (self.next() >> 11) % limit
    }

    fn of<'a>(&mut self, words: &[&'a str]) -> &'a str {
        words[self.below(words.len() as u64) as usize]
    }
}

const USERS: [&str; 8] = ["root", "admin", "j.doe", "backup", "svc_mail", "oracle", "m.keller", "test"];
const APPS: [&str; 6] = ["HTTPS.BROWSER", "Microsoft.Office.365", "DNS", "QUIC", "Zoom.Meeting", "SSH"];

fn clock(second: u64) -> String {
    format!("{:02}:{:02}:{:02}", second / 3_600 % 24, second / 60 % 60, second % 60)
}

fn inside(random: &mut Random) -> String {
    format!("10.{}.{}.{}", random.below(8), random.below(32), 1 + random.below(254))
}

fn outside(random: &mut Random) -> String {
    let (a, b) = (20 + random.below(180), random.below(256));
    format!("{a}.{b}.{}.{}", random.below(256), 1 + random.below(254))
}

fn short(line: &mut String, random: &mut Random, second: u64) {
    let time = clock(second);
    // Writing to a string cannot fail.
    let _ = match random.below(100) {
        0..15 => {
            let (user, from, port) = (random.of(&USERS), outside(random), 1_024 + random.below(60_000));
            let (host, pid) = (random.below(40), 700 + random.below(60_000));
            write!(
                line,
                "<086>Nov 24 {time} srv-{host:02} sshd[{pid}]: Failed password for invalid user {user} from {from} port {port} ssh2"
            )
        }
        15..29 => {
            let (id, size, delay) = (random.next() & 0xff_ffff_ffff, random.below(300_000), random.below(9_000));
            let (user, relay) = (random.of(&USERS), outside(random));
            write!(
                line,
                "<022>Nov 24 {time} mx1 postfix/smtp[{}]: {id:010X}: to=<{user}@example.com>, relay=mail.example.com[{relay}]:25, delay={}.{:02}, delays=0.01/0/0.2/0.5, dsn=2.0.0, size={size}, status=sent (250 2.0.0 Ok: queued as {:010X})",
                2_000 + random.below(30_000),
                delay / 100,
                delay % 100,
                random.next() & 0xff_ffff_ffff
            )
        }
        29..53 => {
            let (number, from, to) = (random.below(90_000_000), inside(random), outside(random));
            let port = 1_024 + random.below(60_000);
            write!(
                line,
                "<166>Nov 24 2026 {time} asa-1 : %ASA-6-302013: Built outbound TCP connection {number} for outside:{to}/443 ({to}/443) to inside:{from}/{port} (203.0.113.9/{port})"
            )
        }
        _ => {
            let (from, to, app) = (inside(random), outside(random), random.of(&APPS));
            let (port, session) = (1_024 + random.below(60_000), random.below(900_000_000));
            let (sent, received) = (random.below(90_000), random.below(4_000_000));
            write!(
                line,
                "<189>date=2026-11-24 time={time} devname=\"FGT-60F\" devid=\"FGT60FTK20001234\" logid=\"0000000013\" type=\"traffic\" subtype=\"forward\" level=\"notice\" vd=\"root\" srcip={from} srcport={port} srcintf=\"lan\" dstip={to} dstport=443 dstintf=\"wan1\" sessionid={session} proto=6 action=\"accept\" policyid={} service=\"HTTPS\" app=\"{app}\" duration={} sentbyte={sent} rcvdbyte={received} sentpkt={} rcvdpkt={}",
                1 + random.below(40),
                random.below(600),
                sent / 700,
                received / 1_300
            )
        }
    };
}

fn sophos(line: &mut String, random: &mut Random, second: u64) {
    let (time, from, to, user) = (clock(second), inside(random), outside(random), random.of(&USERS));
    let (port, sent, received) = (1_024 + random.below(60_000), random.below(90_000), random.below(4_000_000));
    let (rule, connection) = (1 + random.below(60), random.next() & 0xffff_ffff);
    let app = random.of(&APPS);
    let _ = write!(
        line,
        "<030>device=\"SFW\" date=2026-11-24 time={time} timezone=\"CET\" device_name=\"XGS2100\" device_id=X21012345678ABC log_id=010101600001 log_type=\"Firewall\" log_component=\"Firewall Rule\" log_subtype=\"Allowed\" status=\"Allow\" priority=Information duration={} fw_rule_id={rule} fw_rule_name=\"LAN to WAN {rule}\" policy_type=1 user_name=\"{user}\" user_gp=\"Open Group\" iap=13 ips_policy_id=11 application=\"{app}\" application_risk={} in_interface=\"Port1\" out_interface=\"Port2\" src_mac=7c:5a:1c:{:02x}:{:02x}:{:02x} src_ip={from} src_country_code=R1 dst_ip={to} dst_country_code=USA protocol=\"TCP\" src_port={port} dst_port=443 sent_pkts={} recv_pkts={} sent_bytes={sent} recv_bytes={received} tran_src_ip=203.0.113.9 tran_src_port={port} connid=\"{connection}\"",
        random.below(600),
        1 + random.below(5),
        random.below(256),
        random.below(256),
        random.below(256),
        sent / 700,
        received / 1_300
    );
}
