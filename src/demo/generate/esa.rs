//! Cisco Secure Email (ESA) `mail_logs`: many mails at once, each told over 15 to 40 lines.
//!
//! Facts: ICID is an incoming connection, MID a message, RID a recipient of a message from 0, DCID a delivery connection;
//! an ICID may bring several MIDs; lines of different mails interleave; over syslog a line is PRI (`mail.info`, 22), BSD
//! time, the subscription's name, level, text, without a host (Cisco ESA delivery documentation; shapes observed).

use super::dice::{Dice, Moment};
use super::{put, words};

#[derive(Debug)]
pub(super) struct Esa {
    next: Numbers,
    threads: Vec<Thread>,
}

#[derive(Debug)]
struct Numbers {
    icid: u64,
    mid: u64,
    dcid: u64,
}

/// Mails under way at one time.
const THREADS: usize = 48;

#[derive(Clone, Copy, Debug, Default)]
enum Step {
    #[default]
    Connect,
    Policy,
    Tls,
    Start,
    From,
    To(u64),
    Sender,
    MessageId,
    Subject,
    Ready,
    Matched,
    Spam,
    Virus,
    Reputation,
    Queued,
    Deliver,
    DeliveryStart,
    Done,
    Response,
    Finished,
    DeliveryClose,
    Close,
}

#[derive(Debug, Default)]
struct Thread {
    step: Step,
    icid: u64,
    mid: u64,
    dcid: u64,
    recipients: u64,
    person: &'static str,
    domain: &'static str,
}

impl Esa {
    pub(super) fn new(dice: &mut Dice, device: u8) -> Self {
        // A range per device: nothing else in a line names the appliance.
        let base = u64::from(device) * 200_000_000;
        let mut start = || base + dice.below(50_000_000);
        let next = Numbers { icid: start(), mid: start(), dcid: start() };
        Self { next, threads: (0..THREADS).map(|_| Thread::default()).collect() }
    }

    pub(super) fn write(&mut self, dice: &mut Dice, moment: &Moment, to: &mut String) {
        let at = dice.below(THREADS as u64) as usize;
        let Some(thread) = self.threads.get_mut(at) else { return };
        put!(to, "<22>{} mail_logs: Info: ", moment.bsd);
        thread.step = match thread.step {
            Step::Connect | Step::Policy | Step::Tls | Step::Close => thread.connection(&mut self.next, dice, to),
            Step::Start | Step::From | Step::To(_) | Step::Sender | Step::MessageId | Step::Subject | Step::Ready => {
                thread.message(&mut self.next, dice, to)
            }
            Step::Matched | Step::Spam | Step::Virus | Step::Reputation => thread.scan(dice, to),
            _ => thread.delivery(&mut self.next, dice, to),
        };
    }
}

impl Thread {
    fn connection(&mut self, next: &mut Numbers, dice: &mut Dice, to: &mut String) -> Step {
        match self.step {
            Step::Connect => {
                next.icid += 1;
                self.icid = next.icid;
                (self.person, self.domain) = (dice.pick(words::PEOPLE), dice.pick(words::MAIL_DOMAINS));
                let (address, _) = dice.flow(self.icid);
                put!(to, "New SMTP ICID {} interface Data1 (192.0.2.5) address {address}", self.icid);
                put!(to, " reverse dns host mx.{} verified {}", self.domain, dice.pick(&["yes", "yes", "no"]));
                Step::Policy
            }
            Step::Policy if dice.one_in(12) => {
                put!(to, "ICID {} REJECT SG BLOCKED_LIST match sbrs[-10.0:-3.0] SBRS -7.{}", self.icid, dice.below(10));
                put!(to, " country not available");
                Step::Close
            }
            Step::Policy => {
                let score = dice.pick(&["None", "1.2", "3.5", "4.9", "-0.3"]);
                put!(to, "ICID {} ACCEPT SG UNKNOWNLIST match sbrs[-1.0:10.0] SBRS {score} country ZZ", self.icid);
                if dice.one_in(3) { Step::Start } else { Step::Tls }
            }
            Step::Tls => {
                put!(to, "ICID {} TLS success protocol TLSv1.2 cipher ECDHE-RSA-AES256-GCM-SHA384", self.icid);
                Step::Start
            }
            _ => {
                put!(to, "ICID {} close", self.icid);
                Step::Connect
            }
        }
    }

    fn message(&mut self, next: &mut Numbers, dice: &mut Dice, to: &mut String) -> Step {
        let Self { icid, person, domain, .. } = *self;
        let mid = self.mid;
        match self.step {
            Step::Start => {
                next.mid += 1;
                self.mid = next.mid;
                self.recipients = dice.pick(&[1u64, 1, 1, 2, 3, 5]);
                put!(to, "Start MID {} ICID {icid}", self.mid);
                Step::From
            }
            Step::From => {
                put!(to, "MID {mid} ICID {icid} From: <{person}@{domain}>");
                Step::To(0)
            }
            Step::To(recipient) => {
                let name = dice.pick(words::PEOPLE);
                put!(to, "MID {mid} ICID {icid} RID {recipient} To: <{name}@corp.example>");
                if recipient + 1 < self.recipients { Step::To(recipient + 1) } else { Step::Sender }
            }
            Step::Sender => {
                let verdict = dice.pick(&["Pass (v=spf1)", "None", "SoftFail (v=spf1)"]);
                put!(to, "MID {mid} SPF: mailfrom identity {person}@{domain} {verdict}");
                Step::MessageId
            }
            Step::MessageId => {
                put!(to, "MID {mid} Message-ID '<{:016x}@{domain}>'", dice.bits());
                Step::Subject
            }
            Step::Subject => {
                put!(to, "MID {mid} Subject '{}'", dice.pick(words::SUBJECTS));
                Step::Ready
            }
            _ => {
                put!(to, "MID {mid} ready {} bytes from <{person}@{domain}>", dice.between(700, 9_000_000));
                Step::Matched
            }
        }
    }

    fn scan(&mut self, dice: &mut Dice, to: &mut String) -> Step {
        let mid = self.mid;
        match self.step {
            Step::Matched => {
                put!(to, "MID {mid} matched all recipients for per-recipient policy DEFAULT in the inbound table");
                Step::Spam
            }
            Step::Spam => {
                put!(to, "MID {mid} interim verdict using engine: CASE spam {}", dice.pick(&["negative", "suspect"]));
                Step::Virus
            }
            Step::Virus => {
                put!(to, "MID {mid} interim AV verdict using Sophos CLEAN");
                if dice.one_in(2) { Step::Reputation } else { Step::Queued }
            }
            _ => {
                put!(to, "MID {mid} AMP file reputation verdict : ");
                put!(to, "{}", dice.pick(&["CLEAN", "SKIPPED (no attachment in message)", "UNKNOWN"]));
                Step::Queued
            }
        }
    }

    fn delivery(&mut self, next: &mut Numbers, dice: &mut Dice, to: &mut String) -> Step {
        let (mid, dcid) = (self.mid, self.dcid);
        match self.step {
            Step::Queued => {
                put!(to, "MID {mid} queued for delivery");
                Step::Deliver
            }
            Step::Deliver => {
                next.dcid += 1;
                self.dcid = next.dcid;
                put!(to, "New SMTP DCID {} interface 192.0.2.5 address 192.0.2.25 port 25", self.dcid);
                Step::DeliveryStart
            }
            Step::DeliveryStart => {
                put!(to, "Delivery start DCID {dcid} MID {mid} to RID ");
                self.list(to);
                Step::Done
            }
            Step::Done => {
                put!(to, "Message done DCID {dcid} MID {mid} to RID ");
                self.list(to);
                put!(to, " [('x-note', 'ok')]");
                Step::Response
            }
            Step::Response => {
                put!(to, "MID {mid} RID ");
                self.list(to);
                put!(to, " Response '2.0.0 Ok: queued as {:010X}'", dice.bits() >> 24);
                Step::Finished
            }
            Step::Finished => {
                put!(to, "Message finished MID {mid} done");
                Step::DeliveryClose
            }
            _ => {
                put!(to, "DCID {dcid} close");
                // One connection in four brings another mail.
                if dice.one_in(4) { Step::Start } else { Step::Close }
            }
        }
    }

    /// `[0, 1, 2]`
    fn list(&self, to: &mut String) {
        to.push('[');
        for recipient in 0..self.recipients {
            put!(to, "{}{recipient}", if recipient == 0 { "" } else { ", " });
        }
        to.push(']');
    }
}
