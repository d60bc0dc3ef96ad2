//! The factory reset: a mark that asks for it, and the wiping at the next start that heeds it.
//!
//! The program asks: it puts the mark into the state folder, durably, and has the box restarted. Root wipes, before anything else
//! uses the data partition (`systemd/sapphire-edge-reset.service`): everything in the folder but what root keeps there, and
//! the mark last. So whenever the power goes, the next start finds no mark and a box that is as it was or as new, or the mark,
//! and goes on.
//!
//! Facts: `std::fs::remove_dir_all` follows no symbolic link, whoever put it there (its documentation); fsync(2) of a folder makes
//! what was removed from it durable.
//!
//! Not supported: making what the disk held unreadable for who takes its chips apart.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::durable;

/// The mark's name in the state folder.
const MARK: &str = "factory-reset";
/// What root keeps there: which slot was updated, a random seed, the time. Nothing of it was given by a person.
const KEPT: &str = "system";

/// The factory reset of a state folder.
#[derive(Clone, Debug)]
pub struct Reset {
    folder: PathBuf,
}

impl Reset {
    /// Of this state folder.
    #[must_use]
    pub fn of(state_dir: &Path) -> Self {
        Self { folder: state_dir.to_owned() }
    }

    /// From now on the next start of the box wipes the folder. Blocks on the disk.
    ///
    /// # Errors
    /// When the mark cannot be written; it is then not there, or goes with [`Reset::forget`].
    pub fn ask(&self) -> io::Result<()> {
        durable::replace(&self.mark(), b"")
    }

    /// Nobody asks for it any more. Blocks on the disk.
    ///
    /// # Errors
    /// When the mark cannot be removed: the next start wipes the folder.
    pub fn forget(&self) -> io::Result<()> {
        match fs::remove_file(self.mark()) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => durable::sync_folder(&self.mark()),
        }
    }

    /// Whether somebody asked for it, and it was not yet done.
    #[must_use]
    pub fn is_asked(&self) -> bool {
        fs::symlink_metadata(self.mark()).is_ok()
    }

    /// Does it if somebody asked for it; whether somebody had. Nothing else may use the folder meanwhile. Blocks on the disk.
    ///
    /// # Errors
    /// When something cannot be removed: everything else is gone, and the next start tries again.
    pub fn heed(&self) -> io::Result<bool> {
        if !self.is_asked() {
            return Ok(false);
        }
        self.wipe(remove)?;
        Ok(true)
    }

    fn wipe(&self, mut remove: impl FnMut(&Path) -> io::Result<()>) -> io::Result<()> {
        let mut failure = None;
        for entry in fs::read_dir(&self.folder)?.collect::<io::Result<Vec<_>>>()? {
            let name = entry.file_name();
            if name == KEPT || name == MARK {
                continue;
            }
            if let Err(error) = remove(&entry.path()) {
                let words = format!("{} cannot be removed: {error}", entry.path().display());
                failure.get_or_insert(io::Error::new(error.kind(), words));
            }
        }
        durable::sync_folder(&self.mark())?;
        if let Some(error) = failure {
            return Err(error);
        }
        remove(&self.mark())?;
        durable::sync_folder(&self.mark())
    }

    fn mark(&self) -> PathBuf {
        self.folder.join(MARK)
    }
}

fn remove(path: &Path) -> io::Result<()> {
    if fs::symlink_metadata(path)?.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::os::unix::fs::symlink;

    use super::*;

    /// A state folder, and a folder outside that a link leads to.
    fn state() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let (state, outside) = (folder.path().join("state"), folder.path().join("outside"));
        for path in ["queue/index", "secrets", "page", "ssh", "system/services"] {
            fs::create_dir_all(state.join(path)).unwrap();
        }
        fs::create_dir(&outside).unwrap();
        fs::write(outside.join("precious"), "of somebody else").unwrap();
        symlink(&outside, state.join("page/link")).unwrap();
        symlink(&outside, state.join("link")).unwrap();
        for file in ["settings.toml", "queue/1.seg", "secrets/key", "page/claim-code", "system/services/seed"] {
            fs::write(state.join(file), "mine").unwrap();
        }
        (folder, state)
    }

    fn names(folder: &Path) -> BTreeSet<String> {
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[test]
    fn what_was_given_goes_what_root_keeps_stays_and_no_link_leads_outside() {
        let (folder, state) = state();
        let reset = Reset::of(&state);
        let before = names(&state);
        assert!(!reset.heed().unwrap(), "nobody asked");
        reset.ask().unwrap();
        reset.forget().unwrap();
        reset.forget().unwrap();
        assert!(!reset.heed().unwrap(), "nobody asks any more");
        assert_eq!(names(&state), before);
        reset.ask().unwrap();
        assert!(reset.is_asked() && reset.heed().unwrap());
        assert_eq!(names(&state), BTreeSet::from(["system".to_owned()]));
        assert!(state.join("system/services/seed").exists() && folder.path().join("outside/precious").exists());
        assert!(!reset.heed().unwrap(), "once");
    }

    /// The power goes, or the disk fails, after each number of removals.
    #[test]
    fn whenever_the_power_goes_the_next_start_goes_on() {
        let all = names(&state().1).len();
        for steps in 0..=all {
            let (_folder, state) = state();
            let reset = Reset::of(&state);
            reset.ask().unwrap();
            let mut done = 0;
            let cut = reset.wipe(|path| {
                done += 1;
                if done > steps { Err(io::Error::other("the power went")) } else { remove(path) }
            });
            assert_eq!(cut.is_ok(), steps == all, "{steps}");
            // Everything but `system` goes, and the mark last.
            assert_eq!(reset.is_asked(), steps < all, "{steps}: the mark stays until all else is gone");
            assert_eq!(reset.heed().unwrap(), steps < all);
            assert_eq!(names(&state), BTreeSet::from(["system".to_owned()]), "{steps}");
        }
    }

    #[test]
    fn one_that_cannot_be_removed_keeps_the_mark_and_spares_no_other() {
        let (_folder, state) = state();
        let reset = Reset::of(&state);
        reset.ask().unwrap();
        let error =
            reset.wipe(|path| if path.ends_with("queue") { Err(io::Error::other("bad disk")) } else { remove(path) });
        assert!(error.unwrap_err().to_string().contains("queue cannot be removed: bad disk"));
        assert_eq!(names(&state), BTreeSet::from(["system", "queue", MARK].map(str::to_owned)));
    }
}
