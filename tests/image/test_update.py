"""Updates as a fleet gets them: offered by a signed manifest, installed by the box, kept or taken back by the box alone."""

import os
import unittest

from box import IMAGES, Box, send_tcp
from disk import Disk
from machine import BOOT, wait_for
from fleet import Operator

#: What tests/image/run has built besides: a newer version, and a newer one whose program ends at once.
NEXT, CRASHES = os.environ["IMAGE_NEXT"], os.environ["IMAGE_CRASHES"]


class Update(Box):
    def updatable(self, gateway):
        operator = Operator(self.folder, gateway)
        self.addCleanup(operator.close)
        files = {"update-keys.pem": operator.public.read_bytes()}
        return operator, self.box_with(gateway, operator.settings(), files)

    def is_good(self, machine, slot):
        """Whether the slot comes first and its tries are counted anew, as the disk says."""
        found = Disk.of(machine.disk).boot_environment()
        return found.get("ORDER", "").startswith(slot) and found.get(f"{slot}_OK") == "1" and found.get(f"{slot}_TRY") == "0"

    def test_a_good_update_is_installed_with_a_backlog_and_marked_good(self):
        gateway = self.gateway().open()
        operator, machine = self.updatable(gateway)
        machine.start()
        self.assertEqual(machine.state(), "running", machine.serial())
        wait_for("slot A marked good", lambda: self.is_good(machine, "A"), 600)
        gateway.close()
        backlog = [f"<13>Oct 11 22:14:15 fw1 test: before the update {n}" for n in range(5000)]
        send_tcp(machine, 514, backlog)
        operator.offer(IMAGES / NEXT / "sapphire-edge-x86_64.raucb", "9.0.0")
        self.assertEqual(machine.state(boots=2), "running", machine.serial())
        self.assertEqual(machine.slots(), ["A", "B"])
        gateway.open()
        wait_for("the backlog at the gateway", lambda: set(backlog) <= gateway.messages().keys(), 300)
        wait_for("slot B marked good", lambda: self.is_good(machine, "B"), 600)
        machine.power_off()
        self.assertIn(b"9.0.0", Disk.of(machine.disk).read_data("system/rauc.status"))

    def test_an_update_whose_program_crashes_is_taken_back_with_no_hand_on_it(self):
        gateway = self.gateway().open()
        operator, machine = self.updatable(gateway)
        machine.start()
        self.assertEqual(machine.state(), "running", machine.serial())
        wait_for("slot A marked good", lambda: self.is_good(machine, "A"), 600)
        operator.offer(IMAGES / CRASHES / "sapphire-edge-x86_64.raucb", "9.0.1")
        wait_for("three starts of B, then A", lambda: machine.slots() == ["A", "B", "B", "B", "A"], 3 * BOOT)
        machine.wait_serial(r"sapphire-edge-state\[\d+\]: running", count=2)
        send_tcp(machine, 514, ["<13>Oct 11 22:14:15 fw1 test: after the way back"])
        wait_for("an event after it", lambda: "<13>Oct 11 22:14:15 fw1 test: after the way back" in gateway.messages(), 300)
        wait_for("slot A marked good again", lambda: machine.slots()[-1] == "A" and self.counts_no_try(machine, "A"), 300)

    def counts_no_try(self, machine, slot):
        return Disk.of(machine.disk).boot_environment().get(f"{slot}_TRY") == "0"


if __name__ == "__main__":
    unittest.main(verbosity=2)
