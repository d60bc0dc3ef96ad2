"""The image as it is on the disk, without booting it: nothing in it opens a box to somebody."""

import os
import re
import stat
import subprocess
import unittest

from box import Box
from disk import TOP, Disk, run

SECRETS = re.compile(
    rb"-----BEGIN (?:[A-Z]+ )?PRIVATE KEY-----|-----BEGIN OPENSSH PRIVATE KEY-----|AKIA[0-9A-Z]{16}|"
    rb"(?i:client_secret|password)\s*[=:]\s*[\"'][^\"']{6,}"
)
#: Interpreters, by the name of their program.
SHELLS = re.compile(r"^(?:[a-z]*sh|busybox|toybox|python[\d.]*|perl[\d.]*|lua[\d.]*|awk|gawk|mawk|tclsh[\d.]*)$")


def begin(path, count):
    with path.open("rb") as file:
        return file.read(count)


class Scan(Box):
    def setUp(self):
        super().setUp()
        self.disk = Disk.of(self.built("img"))
        part = self.folder / "root.img"
        self.disk.copy_part("sapphire-root-a", part)
        self.root = self.folder / "root"
        run("unsquashfs", "-q", "-n", "-d", self.root, part)
        self.files = [path for path in self.root.rglob("*") if not path.is_symlink() and path.is_file()]
        self.assertGreater(len(self.files), 500)

    def rows(self, name):
        return [line.split(":") for line in (self.root / "etc" / name).read_text().splitlines()]

    def test_no_account_can_be_logged_into(self):
        self.assertIn("sapphire-edge", [row[0] for row in self.rows("passwd")])
        for row in self.rows("passwd"):
            self.assertEqual(row[1], "x", row)
            self.assertIn(row[6], ("/usr/sbin/nologin", "/bin/false"), row)
        accounts = {row[0]: row[1] for row in self.rows("shadow")}
        self.assertEqual(accounts.keys(), {row[0] for row in self.rows("passwd")})
        for name, password in accounts.items():
            self.assertRegex(password, r"^[!*]+$", name)
        self.assertEqual([uid for uid in self.rows("passwd") if uid[2] == "0" and uid[0] != "root"], [])

    def test_no_program_is_setuid_and_nothing_is_writable_by_all(self):
        for path in [self.root, *self.root.rglob("*")]:
            mode = path.lstat().st_mode
            if stat.S_ISLNK(mode):
                continue
            self.assertFalse(mode & (stat.S_ISUID | stat.S_ISGID) and stat.S_ISREG(mode), path)
            self.assertFalse(mode & stat.S_IWOTH and not mode & stat.S_ISVTX, path)

    def test_there_is_no_shell_and_no_interpreter(self):
        programs = [path for path in self.files if path.stat().st_mode & 0o111]
        self.assertGreater(len(programs), 20)
        self.assertEqual([path for path in programs if SHELLS.match(path.name)], [])
        scripts = [path for path in programs if begin(path, 2) == b"#!"]
        self.assertEqual(scripts, [], "what would run them is not there")
        for name in ("bin/sh", "usr/bin/apt", "usr/bin/dpkg", "usr/bin/gcc"):
            self.assertFalse(os.path.lexists(self.root / name), name)

    def test_there_is_no_secret_and_nothing_that_two_boxes_must_not_share(self):
        for path in self.files:
            found = SECRETS.search(path.read_bytes())
            # Libraries hold the line as a word that they look for.
            if found and begin(path, 4) != b"\x7fELF":
                self.fail(f"{path}: {found[0]}")
        names = [path.name for path in self.files]
        self.assertEqual([name for name in names if re.match(r"ssh_host_|.*\.key$|random-seed$", name)], [])
        self.assertEqual((self.root / "etc/machine-id").read_bytes(), b"")

    def test_no_unit_gives_a_shell(self):
        units = self.root / "etc/systemd/system"
        wanted = {path.name for path in units.glob("*.wants/*")}
        self.assertIn("sapphire-edge.service", wanted)
        self.assertEqual([name for name in wanted if re.match(r".*getty|debug-shell|developer|ssh|telnet", name)], [])

    def test_the_root_holds_just_what_the_bill_of_materials_says(self):
        verify = [str(TOP / "image/sbom"), "verify", str(self.root), str(self.built("cdx.json"))]
        run(*verify)
        (self.root / "usr/bin/planted").touch()
        done = subprocess.run(verify, capture_output=True, text=True, check=False)
        self.assertEqual((done.returncode, "usr/bin/planted is in the image" in done.stderr), (1, True), done.stderr)

    def test_the_root_is_the_one_that_the_command_line_names(self):
        line = self.disk.fat("sapphire-boot-a", "slot.cfg").decode()
        table = re.search(r"verity 1 \S+ \S+ 4096 4096 (\d+) \d+ sha256 ([0-9a-f]{64}) ([0-9a-f]{64})", line)
        self.assertEqual(table[2], self.built("roothash").read_text().strip())
        part, blocks = self.folder / "root.img", int(table[1])
        verify = ["veritysetup", "verify", part, part, table[2], "--no-superblock", f"--hash-offset={blocks * 4096}"]
        verify += [f"--data-blocks={blocks}", f"--salt={table[3]}"]
        run(*verify)
        with part.open("r+b") as file:
            file.seek(blocks * 4096 // 2)
            byte = file.read(1)
            file.seek(-1, os.SEEK_CUR)
            file.write(bytes([byte[0] ^ 1]))
        self.assertNotEqual(subprocess.run(verify, capture_output=True, check=False).returncode, 0, "one bit is noticed")


if __name__ == "__main__":
    unittest.main(verbosity=2)
