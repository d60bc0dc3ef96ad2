"""A device outside the box that pushes its log files with OpenSSH's scp, and knows the box by its host key."""

import pathlib
import subprocess


class Device:
    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.key, self.known = self.folder / "device", self.folder / "known_hosts"
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", self.key], check=True)

    def settings(self):
        """The source that takes its files."""
        public = self.key.with_suffix(".pub").read_text().strip()
        return f"""
[[source]]
id = "files"
type = "ssh"
listen = ["tcp://0.0.0.0:22"]
[[source.device]]
name = "esa1"
keys = ["{public}"]
"""

    def push(self, machine, name, lines):
        """Pushes a file by the legacy protocol; the box must have the host key that it had the first time. Why not, if it failed."""
        file = self.folder / name
        file.write_text("".join(f"{line}\n" for line in lines))
        options = ["BatchMode=yes", "StrictHostKeyChecking=accept-new", f"UserKnownHostsFile={self.known}", "HostKeyAlias=box",
                   "IdentitiesOnly=yes", "User=esa1", "ConnectTimeout=60"]
        words = [word for option in options for word in ("-o", option)]
        command = ["scp", "-O", "-q", "-F", "none", *words, "-P", str(machine.tcp[22]), "-i", self.key, file, "127.0.0.1:/mail/"]
        pushed = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
        return "" if pushed.returncode == 0 else pushed.stderr or "failed"
