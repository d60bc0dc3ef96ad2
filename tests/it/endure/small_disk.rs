//! A real file system of a few MiB, that others can fill.

use std::fs::{self, File};
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Room for the ballast, the index and some segments.
const MIB: u32 = 48;

/// The mounted file system; unmounted when it goes out of scope.
#[derive(Debug)]
pub struct SmallDisk {
    folder: tempfile::TempDir,
}

impl SmallDisk {
    /// ext4 on a loop device, or else tmpfs; the reason where neither can be mounted (not root, no such right in a container).
    pub fn mount() -> Result<Self, String> {
        let disk = Self { folder: tempfile::tempdir().unwrap() };
        fs::create_dir(disk.path()).unwrap();
        let (image, path) = (disk.folder.path().join("image"), disk.path());
        let size = format!("{MIB}M");
        // -m 0: nothing is kept for root, whom the tests may run as.
        let ext4 = run(Command::new("mkfs.ext4").args(["-q", "-F", "-m", "0"]).arg(&image).arg(&size))
            .and_then(|()| run(Command::new("mount").args(["-o", "loop"]).arg(&image).arg(&path)));
        let Err(first) = ext4 else { return Ok(disk) };
        println!("small disk: tmpfs, because {first}");
        let size = format!("size={size}");
        let tmpfs = run(Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(&path));
        tmpfs.map(|()| disk).map_err(|second| format!("{first}; {second}"))
    }

    pub fn path(&self) -> PathBuf {
        self.folder.path().join("disk")
    }

    /// Takes all space that is left with a file of somebody else.
    pub fn fill(&self) {
        let mut file = File::create(self.foreign()).unwrap();
        let block = vec![0x5a; 1 << 20];
        let mut size = block.len();
        while size > 0 {
            // ext4 may hand out space late: only what is synced is taken.
            match file.write(&block[..size]).and_then(|written| file.sync_data().map(|()| written)) {
                Ok(1..) => {}
                Ok(_) => size /= 2,
                Err(error) if error.kind() == ErrorKind::StorageFull => size /= 2,
                Err(error) => panic!("the small disk: {error}"),
            }
        }
    }

    /// Gives that space back.
    pub fn free(&self) {
        fs::remove_file(self.foreign()).unwrap();
    }

    fn foreign(&self) -> PathBuf {
        self.path().join("foreign")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: the program may still have files open when a test fails.
        let _ = umount(&self.path());
    }
}

fn umount(path: &Path) -> Result<(), String> {
    run(Command::new("umount").arg("-l").arg(path))
}

fn run(command: &mut Command) -> Result<(), String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.output().map_err(|error| format!("{name}: {error}"))?;
    let words = String::from_utf8_lossy(&output.stderr);
    if output.status.success() { Ok(()) } else { Err(format!("{name}: {}", words.trim())) }
}
