"""The box's disk, seen and prepared from outside: no test needs a way into the running box.

Settings come onto the data partition before the first boot. systemd-repart keeps a partition that is there, so it is made
here as the box would make it, with the type and label of `systemd/sapphire-edge.repart`.
"""

import os
import pathlib
import re
import subprocess
import tempfile

TOP = pathlib.Path(__file__).resolve().parents[2]
REPART = (TOP / "systemd/sapphire-edge.repart").read_text()
MIB = 1 << 20


def run(*command, **more):
    done = subprocess.run([str(word) for word in command], capture_output=True, **more)
    if done.returncode:
        raise AssertionError(f"{command} ended with {done.returncode}: {(done.stderr or done.stdout).decode(errors='replace')}")
    return done.stdout


class Disk:
    """A copy of an image on a disk with `data_bytes` for the data partition, and the files of `data` (path to bytes) on that."""

    def __init__(self, image, path, data=None, data_bytes=1800 * MIB):
        self.path = pathlib.Path(path)
        run("cp", "--sparse=always", image, self.path)
        os.truncate(self.path, self.path.stat().st_size + data_bytes)
        if data is not None:
            self.make_data(data)

    @classmethod
    def of(cls, path):
        """A disk that is there already."""
        disk = cls.__new__(cls)
        disk.path = pathlib.Path(path)
        return disk

    def partitions(self):
        """Label to first and last byte."""
        found = {}
        for line in run("sgdisk", "-p", self.path).decode().splitlines():
            match = re.match(r"\s+(\d+)\s+(\d+)\s+(\d+)\s", line)
            if match:
                info = run("sgdisk", "-i", match[1], self.path).decode()
                label = re.search(r"Partition name: '(.*)'", info)[1]
                found[label] = (int(match[2]) * 512, (int(match[3]) + 1) * 512)
        return found

    def make_data(self, files):
        kind = re.search(r"^Type=(.*)$", REPART, re.MULTILINE)[1]
        label = re.search(r"^Label=(.*)$", REPART, re.MULTILINE)[1]
        run("sgdisk", "-e", "-n", "6:0:0", "-t", f"6:{kind}", "-c", f"6:{label}", self.path)
        first, last = self.partitions()[label]
        with tempfile.TemporaryDirectory() as folder:
            for name, content in files.items():
                path = pathlib.Path(folder, name)
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
                path.chmod(0o644)
            run("mke2fs", "-q", "-t", "ext4", "-L", label, "-d", folder, "-E", f"offset={first}", self.path, f"{(last - first) // 1024}k")

    def read_data(self, name):
        """A file of the data partition of a machine that is off, `None` where there is none."""
        return self.read_all_data().get(name)

    def read_all_data(self):
        """Every file of the data partition of a machine that is off: path to bytes."""
        with tempfile.TemporaryDirectory() as folder:
            # The journal is replayed on a copy, as the box would do it.
            part, out = pathlib.Path(folder, "data.ext4"), pathlib.Path(folder, "out")
            self.copy_part("sapphire-data", part)
            subprocess.run(["e2fsck", "-fy", part], capture_output=True, check=False)
            out.mkdir()
            run("debugfs", "-R", f"rdump / {out}", part)
            return {str(path.relative_to(out)): path.read_bytes() for path in out.rglob("*") if path.is_file() and not path.is_symlink()}

    def copy_part(self, label, target):
        first, last = self.partitions()[label]
        run("dd", f"if={self.path}", f"of={target}", "bs=1M", "iflag=skip_bytes,count_bytes", f"skip={first}", f"count={last - first}", "conv=sparse")

    def fat(self, label, name, content=None):
        """A file of a FAT partition, read, or written where `content` is given. Also of a machine that runs: read only."""
        first, _ = self.partitions()[label]
        if content is None:
            return run("mcopy", "-n", "-i", f"{self.path}@@{first}", f"::{name}", "-")
        run("mcopy", "-o", "-i", f"{self.path}@@{first}", "-", f"::{name}", input=content)
        return content

    def flip(self, label, byte):
        """Flips the lowest bit of a partition's byte."""
        first, _ = self.partitions()[label]
        with self.path.open("r+b") as file:
            file.seek(first + byte)
            old = file.read(1)[0]
            file.seek(first + byte)
            file.write(bytes([old ^ 1]))

    def fill_slot_b(self):
        """Slot B becomes a copy of slot A: what stands in a slot does not depend on which one it is."""
        for part in ("boot", "root"):
            first, last = self.partitions()[f"sapphire-{part}-a"]
            there, _ = self.partitions()[f"sapphire-{part}-b"]
            run("dd", f"if={self.path}", f"of={self.path}", "bs=1M", "conv=notrunc,sparse", "iflag=skip_bytes,count_bytes",
                "oflag=seek_bytes", f"skip={first}", f"seek={there}", f"count={last - first}")

    def set_boot_environment(self, **values):
        with tempfile.TemporaryDirectory() as folder:
            file = pathlib.Path(folder, "grubenv")
            run("grub-editenv", file, "create")
            run("grub-editenv", file, "set", "LAST=", *(f"{name}={value}" for name, value in values.items()))
            for name in ("grubenv", "grubenv.bak"):
                self.fat("sapphire-esp", name, file.read_bytes())

    def boot_environment(self):
        lines = self.fat("sapphire-esp", "grubenv").decode(errors="replace").splitlines()
        return dict(line.split("=", 1) for line in lines if "=" in line)
