//! Makes a plan true, or leaves everything as it was.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use super::files::{FOLDERS, OURS};
use super::{Plan, System};

/// More files of ours than a plan can hold were not written by us.
const MOST_FILES: usize = 256;
/// Ours are under 2 KiB.
const LARGEST_FILE: u64 = 64 << 10;

/// What was done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// Files of the network service were changed.
    pub network: bool,
    /// Files of the time service were changed.
    pub time: bool,
    /// The host name is another one now.
    pub host_name: Option<String>,
}

/// Why a plan could not be made true. The machine is as it was before, except where [`HostError::NotUndone`] says otherwise.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// A file could not be read or written.
    #[error("{} cannot be used: {source}; this needs root and a writable /run", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The host name could not be read or changed.
    #[error("the host name cannot be set: {0}; this needs root")]
    HostName(#[source] io::Error),
    /// A tool could not be run.
    #[error("{tool} cannot be run: {source}; it has to be installed")]
    Tool {
        /// Its name.
        tool: &'static str,
        /// What the system says.
        source: io::Error,
    },
    /// A tool ran and refused.
    #[error("{tool} refused: {words}")]
    Refused {
        /// Its name.
        tool: &'static str,
        /// What it says.
        words: String,
    },
    /// After a failure the machine could not be put back to what it was.
    #[error("{why}; and what was changed before could not be undone: {undo}; reboot the box")]
    NotUndone {
        /// The failure.
        why: Box<HostError>,
        /// What went wrong then.
        undo: Box<HostError>,
    },
}

impl Plan {
    /// Makes the plan true below `root`: files first, the firewall last and in one step. Doing it twice changes nothing.
    ///
    /// # Errors
    /// When something refuses; what was done by then is undone.
    pub fn apply(&self, root: &Path, system: &dyn System) -> Result<Applied, HostError> {
        let _alone = alone(root)?;
        system.check_rules(&self.rules)?;
        let old = State::read(root, system)?;
        let host_name = self.host_name.clone().unwrap_or_else(|| old.host_name.clone());
        let new = State { files: self.files.clone(), host_name };
        let done = old.turn_into(&new, root, system);
        let loaded = done.and_then(|applied| system.load_rules(&self.rules).map(|()| applied));
        loaded.map_err(|why| {
            let undone = State::read(root, system).and_then(|now| now.turn_into(&old, root, system));
            match undone {
                Ok(_) => why,
                Err(undo) => HostError::NotUndone { why: Box::new(why), undo: Box::new(undo) },
            }
        })
    }
}

/// Two at once would undo each other's work. Let go of when the process ends.
fn alone(root: &Path) -> Result<File, HostError> {
    let folder = root.join("run/systemd");
    let path = folder.join("sapphire-edge-apply.lock");
    let lock =
        fs::create_dir_all(&folder).and_then(|()| File::create(&path)).and_then(|file| file.lock().map(|()| file));
    lock.map_err(|source| HostError::File { path, source })
}

/// What of the machine a plan changes, rules aside.
#[derive(Clone, Debug, PartialEq, Eq)]
struct State {
    files: BTreeMap<String, String>,
    host_name: String,
}

impl State {
    /// What is there now.
    fn read(root: &Path, system: &dyn System) -> Result<Self, HostError> {
        let mut files = BTreeMap::new();
        for folder in FOLDERS {
            let path = root.join(folder);
            let found = ours(&path, folder).map_err(|source| HostError::File { path, source })?;
            files.extend(found);
        }
        Ok(Self { files, host_name: system.host_name()? })
    }

    /// Changes the machine from this to another state.
    fn turn_into(&self, new: &Self, root: &Path, system: &dyn System) -> Result<Applied, HostError> {
        let paths: BTreeSet<&String> = self.files.keys().chain(new.files.keys()).collect();
        let changed: Vec<&String> =
            paths.into_iter().filter(|path| self.files.get(*path) != new.files.get(*path)).collect();
        for path in &changed {
            let file = root.join(path);
            let done = match new.files.get(*path) {
                Some(text) => replace(&file, text),
                None => fs::remove_file(&file),
            };
            done.map_err(|source| HostError::File { path: file, source })?;
        }
        let is_time = |path: &&String| path.starts_with(FOLDERS[2]);
        let mut applied = Applied {
            network: changed.iter().any(|path| !is_time(path)),
            time: changed.iter().any(is_time),
            host_name: None,
        };
        // First the name: DHCP tells it to its server.
        if self.host_name != new.host_name {
            system.set_host_name(&new.host_name)?;
            applied.host_name = Some(new.host_name.clone());
        }
        if applied.network {
            system.reread_network()?;
        }
        if applied.time {
            system.reread_time()?;
        }
        Ok(applied)
    }
}

/// Our files in one folder, by path below the root.
fn ours(folder: &Path, name: &str) -> io::Result<BTreeMap<String, String>> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
        Err(error) => return Err(error),
    };
    let mut files = BTreeMap::new();
    for entry in entries.take(MOST_FILES) {
        let entry = entry?;
        let file = entry.file_name().to_string_lossy().into_owned();
        if file.starts_with(OURS) && entry.file_type()?.is_file() && entry.metadata()?.len() <= LARGEST_FILE {
            files.insert(format!("{name}/{file}"), fs::read_to_string(entry.path())?);
        }
    }
    Ok(files)
}

/// Writes a file that is either the old one or the new one, whole, whoever reads it meanwhile.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    // The services read only files that end in .network and .conf.
    let mut new = path.as_os_str().to_owned();
    new.push(".new");
    fs::write(&new, text)?;
    fs::rename(&new, path)
}
