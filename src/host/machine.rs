//! The services that are told: the real ones, or a folder that shows what they would be told.

use std::fs;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use super::HostError;

/// So much of what a tool complains about is passed on.
const LONGEST_COMPLAINT: usize = 2_048;

/// What there is to tell besides files.
pub trait System {
    /// The host name now.
    ///
    /// # Errors
    /// When it cannot be read.
    fn host_name(&self) -> Result<String, HostError>;

    /// Changes the host name until the next boot.
    ///
    /// # Errors
    /// When the system refuses.
    fn set_host_name(&self, name: &str) -> Result<(), HostError>;

    /// Has the network service read its files again, if it runs already.
    ///
    /// # Errors
    /// When it does not take them.
    fn reread_network(&self) -> Result<(), HostError>;

    /// Has the time service read its files again, if it runs already.
    ///
    /// # Errors
    /// When it does not come up again.
    fn reread_time(&self) -> Result<(), HostError>;

    /// Looks whether the kernel would take these rules.
    ///
    /// # Errors
    /// When it would not, or cannot be asked.
    fn check_rules(&self, rules: &str) -> Result<(), HostError>;

    /// Loads rules in place of those that were there: all of them, or none.
    ///
    /// # Errors
    /// When the kernel refuses; then the old ones are in force.
    fn load_rules(&self, rules: &str) -> Result<(), HostError>;
}

/// The machine we run on; needs root.
#[derive(Clone, Copy, Debug, Default)]
pub struct Machine;

impl System for Machine {
    fn host_name(&self) -> Result<String, HostError> {
        let name = nix::unistd::gethostname().map_err(|errno| HostError::HostName(errno.into()))?;
        Ok(name.to_string_lossy().into_owned())
    }

    fn set_host_name(&self, name: &str) -> Result<(), HostError> {
        nix::unistd::sethostname(name).map_err(|errno| HostError::HostName(errno.into()))
    }

    fn reread_network(&self) -> Result<(), HostError> {
        if is_active("systemd-networkd.service")? { run("networkctl", &["reload"], "") } else { Ok(()) }
    }

    fn reread_time(&self) -> Result<(), HostError> {
        let unit = "systemd-timesyncd.service";
        if is_active(unit)? { run("systemctl", &["try-restart", unit], "") } else { Ok(()) }
    }

    fn check_rules(&self, rules: &str) -> Result<(), HostError> {
        run("nft", &["--check", "--file", "-"], rules)
    }

    fn load_rules(&self, rules: &str) -> Result<(), HostError> {
        run("nft", &["--file", "-"], rules)
    }
}

/// At boot these services begin after us and read the files by themselves; to wait for them then would be to wait for ever.
fn is_active(unit: &str) -> Result<bool, HostError> {
    Ok(output("systemctl", &["is-active", "--quiet", unit], "")?.status.success())
}

fn run(tool: &'static str, arguments: &[&str], input: &str) -> Result<(), HostError> {
    let output = output(tool, arguments, input)?;
    if output.status.success() {
        return Ok(());
    }
    let end = output.stderr.len().min(LONGEST_COMPLAINT);
    let words = String::from_utf8_lossy(output.stderr.get(..end).unwrap_or_default()).trim().to_owned();
    Err(HostError::Refused { tool, words: if words.is_empty() { output.status.to_string() } else { words } })
}

fn output(tool: &'static str, arguments: &[&str], input: &str) -> Result<Output, HostError> {
    let failed = |source| HostError::Tool { tool, source };
    let mut command = Command::new(tool);
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(failed)?;
    if let Some(mut stdin) = child.stdin.take() {
        // A tool that does not read to the end says why by itself. The rules fit into the pipe or are read as they come:
        // nft complains only after it has read them.
        match stdin.write_all(input.as_bytes()) {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => return Err(failed(error)),
            _ => {}
        }
    }
    child.wait_with_output().map_err(failed)
}

/// A folder in place of the machine: shows what would be loaded, and changes nothing else.
#[derive(Clone, Debug)]
pub struct Paper {
    folder: PathBuf,
}

impl Paper {
    /// Writes into this folder, which is made if it is not there.
    #[must_use]
    pub fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    fn write(&self, name: &str, text: &str) -> Result<(), HostError> {
        let path = self.folder.join(name);
        let written = fs::create_dir_all(&self.folder).and_then(|()| fs::write(&path, text));
        written.map_err(|source| HostError::File { path, source })
    }
}

impl System for Paper {
    fn host_name(&self) -> Result<String, HostError> {
        Ok(fs::read_to_string(self.folder.join("hostname")).unwrap_or_default().trim().to_owned())
    }

    fn set_host_name(&self, name: &str) -> Result<(), HostError> {
        self.write("hostname", &format!("{name}\n"))
    }

    fn reread_network(&self) -> Result<(), HostError> {
        Ok(())
    }

    fn reread_time(&self) -> Result<(), HostError> {
        Ok(())
    }

    fn check_rules(&self, _rules: &str) -> Result<(), HostError> {
        Ok(())
    }

    fn load_rules(&self, rules: &str) -> Result<(), HostError> {
        self.write("firewall.nft", rules)
    }
}
