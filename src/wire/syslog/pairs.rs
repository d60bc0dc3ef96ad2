//! Messages that are nothing but `key=value`: Sophos SFOS, FortiGate, Check Point. The device's name and time are in them.
//!
//! Times: Sophos writes `date=` and `time=` in its own zone (`timezone="CET"` is an abbreviation and no help) or, in its
//! central format, `timestamp="2024-03-05T10:15:33+0100"`; FortiGate `date=`, `time=`, `tz="+0100"` and `eventtime=` in
//! seconds, since 6.2 in nanoseconds; Check Point `time=` in seconds.

use super::{Context, Dialect, Mark, Message, time};
use crate::wire::kv;

/// Names and times stand among the first pairs; FortiGate's `eventtime` and `tz` come up to twelfth (observed).
const LOOKED_AT: usize = 16;

#[derive(Default)]
struct Found<'a> {
    /// Of these each alone may be anybody's; together they are a vendor's.
    names: Names,
    device: Option<&'a str>,
    date: Option<&'a str>,
    time: Option<&'a str>,
    zone: Option<&'a str>,
    timestamp: Option<&'a str>,
    epoch: Option<&'a str>,
}

#[derive(Default)]
struct Names {
    sfw: bool,
    log_id: bool,
    sophos_device: bool,
    fortinet_device: bool,
    logid: bool,
    vd: bool,
}

/// Reads pairs that begin right at the start of `text`. False, and nothing changed, if they do not, or if `any` is false
/// and they are of no known vendor.
pub(super) fn read<'a>(text: &'a str, any: bool, message: &mut Message<'a>, context: &mut Context<'_>) -> bool {
    if !kv::starts_with_key(text) {
        return false;
    }
    let pairs = kv::pairs(text);
    let bars = matches!(pairs.separator(), b'|' | b';');
    let mut found = Found::default();
    for (key, value) in pairs.take(LOOKED_AT) {
        found.take(key, value);
        if found.is_enough() {
            break;
        }
    }
    let moment = found.moment();
    let vendor = found.vendor().or_else(|| (bars && moment.is_some()).then_some(Dialect::CheckPoint));
    if vendor.is_none() && !any {
        return false;
    }
    message.dialect = vendor.unwrap_or(Dialect::KeyValue);
    message.device = found.device.filter(|_| vendor.is_some());
    message.body = text;
    match moment {
        Some(moment) => context.settle(&moment, message),
        None if found.has_time() && vendor.is_some() => message.marks.insert(Mark::BadTime),
        None => {}
    }
    true
}

impl<'a> Found<'a> {
    fn take(&mut self, key: &str, value: &'a str) {
        let names = &mut self.names;
        match key {
            "device" => names.sfw |= value == "SFW",
            "log_id" => names.log_id = true,
            "device_id" | "device_serial_id" => names.sophos_device = true,
            "device_name" => {
                names.sophos_device = true;
                self.device = Some(value);
            }
            "logid" => names.logid = true,
            "vd" => names.vd = true,
            "devid" => names.fortinet_device = true,
            "devname" => {
                names.fortinet_device = true;
                self.device = Some(value);
            }
            "eventtime" => self.epoch = Some(value),
            "date" => self.date = Some(value),
            "time" => self.time = Some(value),
            "tz" => self.zone = Some(value),
            "timestamp" => self.timestamp = Some(value),
            _ => {}
        }
    }
}

impl Found<'_> {
    fn vendor(&self) -> Option<Dialect> {
        let names = &self.names;
        if names.sfw || (names.log_id && names.sophos_device) {
            Some(Dialect::SophosSfos)
        } else if names.fortinet_device || (names.logid && names.vd) {
            Some(Dialect::Fortinet)
        } else {
            None
        }
    }

    fn is_enough(&self) -> bool {
        match self.vendor() {
            Some(Dialect::SophosSfos) => self.device.is_some() && (self.time.is_some() || self.timestamp.is_some()),
            Some(_) => self.device.is_some() && self.epoch.is_some(),
            None => false,
        }
    }

    fn has_time(&self) -> bool {
        self.time.is_some() || self.timestamp.is_some() || self.epoch.is_some()
    }

    /// The best time among those found: an instant before a local time.
    fn moment(&self) -> Option<time::Moment> {
        let whole = |text| time::read(text).filter(|(_, rest)| rest.is_empty()).map(|(moment, _)| moment);
        let epoch = self.epoch.and_then(time::of_epoch);
        let stamp = || self.timestamp.and_then(whole);
        let parts = || {
            let zone = self.zone.and_then(time::of_offset).unwrap_or(time::Zone::Local);
            time::of_parts(self.date?, self.time?, zone)
        };
        epoch.or_else(stamp).or_else(parts).or_else(|| self.time.and_then(time::of_epoch))
    }
}
