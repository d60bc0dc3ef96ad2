"""What stands on the screen of a real console, and what its keyboard does: the box as whoever racks it sees it."""

import subprocess
import unittest

from box import Box
from disk import Disk
from machine import BOOT, wait_for


class Screen(Box):
    def photographed(self, machine):
        """A picture of the screen."""
        picture = self.folder / "screen.ppm"
        machine.qmp("screendump", filename=str(picture))
        return picture

    def scanned(self, machine):
        """What a phone reads on the screen; empty where there is no code."""
        command = ["zbarimg", "--quiet", "--raw", self.photographed(machine)]
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()

    def press(self, machine, *keys):
        """Presses keys one after the other, each alone or with others held."""
        for key in keys:
            machine.qmp("send-key", keys=[{"type": "qcode", "data": part} for part in key.split("+")])

    def claim_code(self, machine):
        return Disk.of(machine.disk).read_data("page/claim-code")

    def test_a_phone_reads_the_page_off_the_screen_and_a_factory_reset_makes_another_box(self):
        machine = self.box().start()
        self.assertEqual(machine.state(), "running", machine.serial())
        # What QEMU's DHCP gives the first machine.
        wait_for("a code on the screen", lambda: self.scanned(machine) == "https://10.0.2.15/", BOOT)
        machine.power_off()
        first = self.claim_code(machine)
        self.assertEqual(len(first), 14)

        machine.start()
        self.assertEqual(machine.state(), "running", machine.serial())
        wait_for("a code on the screen", lambda: self.scanned(machine), BOOT)
        # No key leads out: another terminal, a restart, an end.
        self.press(machine, "alt+f2", "alt+f6", "ctrl+c", "ctrl+z", "ctrl+alt+delete", "alt+sysrq+b")
        self.press(machine, "f", *(f"shift+{letter}" for letter in "reset"))
        # The window covers the code.
        wait_for("a window on the screen", lambda: not self.scanned(machine), 60)
        self.assertEqual(machine.slots(), ["A"])
        self.press(machine, "ret")
        self.assertEqual(machine.state(boots=2), "running", machine.serial())
        wait_for("a code on the screen", lambda: self.scanned(machine) == "https://10.0.2.15/", BOOT)
        self.assertEqual(machine.slots(), ["A", "A"])
        machine.power_off()
        files = Disk.of(machine.disk).read_all_data()
        self.assertNotIn("factory-reset", files)
        self.assertNotEqual(files["page/claim-code"], first)


if __name__ == "__main__":
    unittest.main(verbosity=2)
