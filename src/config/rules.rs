//! Rules that span tables, and those of the top of the file.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use super::Config;
use super::kind::{Complaints, Item, Part};
use super::table::{Finding, Step, Table, tree};
use crate::fleet;
use crate::hw;
use crate::net::Listen;
use crate::output;
use crate::source;
use crate::web::page;

/// Longer than this no service manager waits; systemd's unit allows 90 s in all.
const LONGEST_GRACE: Duration = Duration::from_secs(75);
/// The name stands in every event.
const LONGEST_NAME: usize = 255;

/// Rules of the top of the file.
pub(super) fn own(config: &Config) -> Complaints {
    let mut complaints = Complaints::new();
    let mut complain = |key: &str, text: String| complaints.push((key.to_owned(), text));
    if config.grace.0 > LONGEST_GRACE {
        complain("grace", format!("{} is too long to wait for; write 75s or less", config.grace));
    }
    if let Some(name) = &config.name {
        let bad = name.is_empty()
            || name.len() > LONGEST_NAME
            || name.contains(|c: char| c.is_control() || c.is_whitespace());
        if bad {
            complain(
                "name",
                format!("{name:?} is no name; write 1 to 255 characters without blanks, such as \"edge-1\""),
            );
        }
    }
    for (table, problems) in [
        ("queue", config.queue.validate()),
        ("network", config.network.validate()),
        ("time", config.time.validate()),
        ("update", config.update.validate()),
        ("enrolment", config.enrolment.validate()),
        ("page", config.page.as_ref().map(page::Config::validate).unwrap_or_default()),
        ("hw", config.hw.as_ref().map(hw::Config::validate).unwrap_or_default()),
        ("fleet", config.fleet.as_ref().map(fleet::Config::validate).unwrap_or_default()),
    ] {
        complaints.extend(problems.into_iter().map(|(key, text)| (format!("{table}.{key}"), text)));
    }
    let must_be_absolute = |key: &str, path: &Path| {
        let text = format!("{} depends on the folder the program is started in; write it from / on", path.display());
        (!path.is_absolute()).then(|| (key.to_owned(), text))
    };
    complaints.extend(must_be_absolute("state_dir", &config.state_dir));
    complaints.extend(config.control.socket.as_deref().and_then(|path| must_be_absolute("control.socket", path)));
    complaints
}

/// Opens the files that the tables of the top name.
pub(super) fn own_files(config: &Config) -> Complaints {
    let page = config.page.as_ref().map(page::Config::open_files).unwrap_or_default();
    let fleet = config.fleet.as_ref().map(fleet::Config::open_files).unwrap_or_default();
    let tables = [("update", config.update.open_files()), ("page", page), ("fleet", fleet)];
    let complaints = tables
        .into_iter()
        .flat_map(|(table, problems)| problems.into_iter().map(move |(key, text)| (format!("{table}.{key}"), text)));
    complaints.collect()
}

/// Two tables of one list must not have the same id.
pub(super) fn same_ids<P: Part>(items: &[Item<'_, P>]) -> Vec<(String, Finding)> {
    let mut findings = Vec::new();
    for (at, item) in items.iter().enumerate() {
        let Some((id, span)) = &item.id else { continue };
        let before = items.iter().take(at).filter_map(|other| other.id.as_ref()).any(|(other, _)| other == id);
        if before && !id.is_empty() {
            let finding = Finding {
                span: span.clone(),
                path: vec![Step::Key("id".to_owned())],
                what: format!("another {} has the id {id:?} already", P::LIST),
                advice: format!("write another one, such as \"{id}_2\""),
                missing: false,
            };
            findings.push((item.base.clone(), finding));
        }
    }
    findings
}

/// Two outputs must not write the same file.
pub(super) fn same_file(outputs: &[Item<'_, output::Config>]) -> Vec<(String, Finding)> {
    let mut taken: Vec<(&Path, &str)> = Vec::new();
    let mut findings = Vec::new();
    for item in outputs {
        let Some(output::Config::File(config)) = &item.config else { continue };
        if let Some((_, other)) = taken.iter().find(|(path, _)| *path == config.path) {
            let path = vec![Step::Key("path".to_owned())];
            let what = format!("{} is written by {other} already", config.path.display());
            let advice = "write the path of another file".to_owned();
            let found = tree::find(item.table.get_ref(), &path);
            let span = found.map_or_else(|| item.table.span(), |found| found.value.span());
            findings.push((item.base.clone(), Finding { span, path, what, advice, missing: false }));
        }
        taken.push((&config.path, &item.base));
    }
    findings
}

/// Where something listens, and who: to find two that want the same address.
struct Place {
    udp: bool,
    address: SocketAddr,
    who: String,
}

/// Two listeners must not have the same address.
pub(super) fn same_address(
    config: &Config,
    root: &Table<'_>,
    sources: &[Item<'_, source::Config>],
) -> Vec<(String, Finding)> {
    let mut taken: Vec<Place> = Vec::new();
    let mut findings = Vec::new();
    if let Some(web) = &config.web {
        taken.push(Place { udp: false, address: web.listen, who: "[web]".to_owned() });
    }
    for (at, address) in config.page.iter().flat_map(|page| page.listen.iter().enumerate()) {
        let place = Place { udp: false, address: *address, who: "[page]".to_owned() };
        if let Some(other) = taken.iter().find(|other| clash(other, &place)) {
            let path = vec![Step::Key("page".to_owned()), Step::Key("listen".to_owned()), Step::Index(at)];
            let what = format!("{address} is taken by {}, which listens on {}", other.who, other.address);
            let span = tree::find(root.get_ref(), &path).map_or_else(|| root.span(), |found| found.value.span());
            let advice = "write another port or address".to_owned();
            findings.push((String::new(), Finding { span, path, what, advice, missing: false }));
        }
        taken.push(place);
    }
    for item in sources {
        for (at, listen) in item.config.iter().flat_map(source::Config::listen).enumerate() {
            let udp = matches!(listen, Listen::Udp(_));
            let place = Place { udp, address: listen.address(), who: item.base.clone() };
            if let Some(other) = taken.iter().find(|other| clash(other, &place)) {
                let path = vec![Step::Key("listen".to_owned()), Step::Index(at)];
                let found = tree::find(item.table.get_ref(), &path);
                let what = format!("{listen} is taken by {}, which listens on {}", other.who, other.address);
                let advice = "write another port or address".to_owned();
                let span = found.map_or_else(|| root.span(), |found| found.value.span());
                findings.push((item.base.clone(), Finding { span, path, what, advice, missing: false }));
            }
            taken.push(place);
        }
    }
    findings
}

/// Whether the kernel would refuse the second, or split the traffic between both. IPv6 sockets here take no IPv4 (see `net`).
fn clash(one: &Place, other: &Place) -> bool {
    let (first, second) = (one.address, other.address);
    let same_ip = first.ip() == second.ip() || first.ip().is_unspecified() || second.ip().is_unspecified();
    one.udp == other.udp
        && first.port() == second.port()
        && first.port() != 0
        && first.is_ipv4() == second.is_ipv4()
        && same_ip
}
