//! Which files and which lines are wanted.

use std::borrow::Cow;
use std::collections::BTreeSet;

use memchr::memmem;
use serde::Deserialize;

/// Of a line that was cut, the name is looked for in so many bytes.
const HEAD: usize = 16 << 10;
const NAME: &[u8] = b"\"event_simpleName\"";

/// What the settings leave of a feed.
#[derive(Debug)]
pub(super) struct Wanted {
    /// Each between slashes.
    folders: Vec<String>,
    events: BTreeSet<String>,
    skip_events: BTreeSet<String>,
}

#[derive(Deserialize)]
struct Named<'a> {
    #[serde(borrow, rename = "event_simpleName", default)]
    name: Option<Cow<'a, str>>,
}

impl Wanted {
    /// Empty lists mean all folders, all events, and none that is left out.
    pub(super) fn new(folders: &[String], events: &[String], skip_events: &[String]) -> Self {
        let set = |names: &[String]| names.iter().cloned().collect();
        let folders = folders.iter().map(|folder| format!("/{folder}/")).collect();
        Self { folders, events: set(events), skip_events: set(skip_events) }
    }

    /// Whether a file is: it lies in one of the folders, at whatever depth, and is no marker.
    ///
    /// Facts: `data/UUID/part-00000.gz`, newer ones `TENANT/data/…` and `TENANT/fdrv2/aidmaster/…` with folders of platform and
    /// time below (others' consumers); a `_SUCCESS` file ends a batch (CrowdStrike Tech Center, see the room).
    pub(super) fn file(&self, path: &str) -> bool {
        let Some((folder, name)) = path.rsplit_once('/').or(Some(("", path))) else { return false };
        let folder = format!("/{folder}/");
        let is_inside = self.folders.is_empty() || self.folders.iter().any(|wanted| folder.contains(wanted));
        is_inside && !name.is_empty() && name != "_SUCCESS"
    }

    /// Whether a line is. What has no name, as rows of inventories, is not held back by one.
    pub(super) fn line(&self, line: &[u8]) -> bool {
        if self.events.is_empty() && self.skip_events.is_empty() {
            return true;
        }
        name(line).is_none_or(|name| {
            let is_in = |set: &BTreeSet<String>| set.contains(name.as_ref());
            (self.events.is_empty() || is_in(&self.events)) && !is_in(&self.skip_events)
        })
    }
}

fn name(line: &[u8]) -> Option<Cow<'_, str>> {
    if let Ok(named) = serde_json::from_slice::<Named<'_>>(line) {
        return named.name;
    }
    // It was cut, or is no JSON.
    let head = line.get(..HEAD.min(line.len()))?;
    let rest = head.get(memmem::find(head, NAME)? + NAME.len()..)?;
    let rest = rest.trim_ascii_start().strip_prefix(b":")?;
    serde_json::Deserializer::from_slice(rest).into_iter::<Cow<'_, str>>().next()?.ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(folders: &[&str], events: &[&str], skip_events: &[&str]) -> Wanted {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        Wanted::new(&owned(folders), &owned(events), &owned(skip_events))
    }

    #[test]
    fn files_by_folder() {
        let all = wanted(&[], &[], &[]);
        let some = wanted(&["data", "fdrv2/userinfo"], &[], &[]);
        for (path, is_in_all, is_in_some) in [
            ("data/0d1f/part-00000.gz", true, true),
            ("0123/data/batch=a/year=2026/x.txt.gz", true, true),
            ("0123/fdrv2/userinfo/x.gz", true, true),
            ("0123/fdrv2/aidmaster/x.gz", true, false),
            ("aidmaster/data.gz", true, false),
            ("metadata/x.gz", true, false),
            ("part.gz", true, false),
            ("data/0d1f/_SUCCESS", false, false),
            ("data/0d1f/", false, false),
        ] {
            assert_eq!((all.file(path), some.file(path)), (is_in_all, is_in_some), "{path}");
        }
    }

    #[test]
    fn lines_by_their_name() {
        let line = |name: &str| format!(r#"{{"aid":"1","event_simpleName":"{name}","timestamp":"1705904285259"}}"#);
        let only = wanted(&[], &["ProcessRollup2", "DnsRequest"], &["DnsRequest"]);
        let most = wanted(&[], &[], &["SensorHeartbeat"]);
        assert!(only.line(line("ProcessRollup2").as_bytes()) && !only.line(line("DnsRequest").as_bytes()));
        assert!(!only.line(line("SensorHeartbeat").as_bytes()) && !most.line(line("SensorHeartbeat").as_bytes()));
        assert!(most.line(line("ProcessRollup2").as_bytes()));
        // Cut in a later member, with blanks, and what has no name.
        assert!(!most.line(br#"{"event_simpleName" : "SensorHeartbeat","CommandLine":"aaaa"#));
        assert!(only.line(br#"{"event_simpleName":"ProcessRollup2","CommandLine":"aaaa"#));
        for nameless in
            [&br#"{"aid":"1","ComputerName":"x"}"#[..], b"no JSON", br#"{"event_simpleName":7}"#, b"[]", b""]
        {
            assert!(only.line(nameless) && most.line(nameless), "{nameless:?}");
        }
    }
}
