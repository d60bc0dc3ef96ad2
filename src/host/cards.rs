//! What the kernel and the time service tell everybody of this machine: which network cards there are, and whether a time
//! server has set the clock.
//!
//! Facts: sysfs, `Documentation/ABI/testing/sysfs-class-net` (a card of the machine has a `device`; `carrier` is 1 with a link
//! and cannot be read while the card is down); systemd-timesyncd.service(8) (`/run/systemd/timesync/synchronized`).
//! Not supported: the cards' addresses, which need netlink; the program's sandbox forbids that.

use std::fs;
use std::path::Path;

use super::CardName;

/// As many as the settings take.
const MOST: usize = 32;

/// A network card.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Card {
    /// Its name.
    pub name: String,
    /// Whether a device of the machine is behind it.
    pub is_hardware: bool,
    /// Its hardware address.
    pub mac: Option<String>,
    /// Whether a cable with somebody at its other end is in it.
    pub has_link: bool,
}

/// The cards of the machine below this root (`/`), by name: those that are hardware, or all where none is. Blocks, briefly.
#[must_use]
pub fn cards(root: &Path) -> Vec<Card> {
    let Ok(entries) = fs::read_dir(root.join("sys/class/net")) else { return Vec::new() };
    let mut found = Vec::new();
    for entry in entries.flatten() {
        let Ok(name) = entry.file_name().into_string() else { continue };
        if CardName::try_from(name.clone()).is_err() {
            continue;
        }
        let read = |file: &str| fs::read_to_string(entry.path().join(file)).map(|text| text.trim().to_owned());
        let (mac, has_link) = (read("address").ok(), read("carrier").is_ok_and(|text| text == "1"));
        found.push(Card { name, is_hardware: entry.path().join("device").exists(), mac, has_link });
    }
    let has_hardware = found.iter().any(|card| card.is_hardware);
    let mut cards: Vec<Card> = found.into_iter().filter(|card| card.is_hardware == has_hardware).collect();
    cards.sort_by(|one, other| one.name.cmp(&other.name));
    cards.truncate(MOST);
    cards
}

/// Whether a time server has set the clock of the machine below this root since it was switched on; nothing where another
/// service than the box's own sees to that.
#[must_use]
pub fn is_clock_set(root: &Path) -> Option<bool> {
    let folder = root.join("run/systemd/timesync");
    folder.is_dir().then(|| folder.join("synchronized").exists())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cards_of_the_machine_are_found_and_others_only_where_there_is_none() {
        let root = tempfile::tempdir().unwrap();
        assert_eq!((cards(root.path()), is_clock_set(root.path())), (Vec::new(), None));
        let card = |name: &str, files: &[(&str, &str)]| {
            let folder = root.path().join("sys/class/net").join(name);
            fs::create_dir_all(&folder).unwrap();
            files.iter().for_each(|(file, text)| fs::write(folder.join(file), text).unwrap());
            folder
        };
        card("lo", &[]);
        card("veth1", &[("carrier", "0\n")]);
        let names = || cards(root.path()).into_iter().map(|card| (card.name, card.has_link)).collect::<Vec<_>>();
        assert_eq!(names(), [("veth1".to_owned(), false)]);
        fs::create_dir(card("eth1", &[("address", "52:54:00:12:34:56\n"), ("carrier", "1\n")]).join("device")).unwrap();
        fs::create_dir(card("eth0", &[]).join("device")).unwrap();
        assert_eq!(names(), [("eth0".to_owned(), false), ("eth1".to_owned(), true)]);
        assert_eq!(cards(root.path())[1].mac.as_deref(), Some("52:54:00:12:34:56"));
        let time = root.path().join("run/systemd/timesync");
        fs::create_dir_all(&time).unwrap();
        assert_eq!(is_clock_set(root.path()), Some(false));
        fs::write(time.join("synchronized"), "").unwrap();
        assert_eq!(is_clock_set(root.path()), Some(true));
    }
}
