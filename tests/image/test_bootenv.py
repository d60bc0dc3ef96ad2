"""The boot environment may be lost: the box boots all the same, and has one again."""

import unittest

from box import Box
from disk import Disk
from machine import wait_for


class BootEnvironment(Box):
    def test_a_torn_environment_is_counted_around_and_mended(self):
        machine = self.box()
        disk = Disk.of(machine.disk)
        # What GRUB finds after a write that only half happened, in both copies at once: worse than a power cut can be.
        for name in ("grubenv", "grubenv.bak"):
            disk.fat("sapphire-esp", name, b"\x00" * 512 + b"#" * 512)
        machine.start()
        machine.wait_serial("boot environment lost")
        self.assertEqual(machine.state(), "running", machine.serial())
        wait_for("a new environment", lambda: disk.boot_environment().get("ORDER") == "A B", 120)
        self.assertEqual(disk.boot_environment()["A_OK"], "1")
        # The next start reads it, and counts in it.
        machine.qmp("system_reset")
        machine.wait_serial("starting slot A", count=2)
        wait_for("a counted start", lambda: disk.boot_environment().get("A_TRY") in ("1", "2"), 120)
        self.assertEqual(machine.serial().count("boot environment lost"), 1)


if __name__ == "__main__":
    unittest.main(verbosity=2)
