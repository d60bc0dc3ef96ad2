"""Updates as a fleet gets them: offered by a signed manifest, installed by the box, kept or taken back by the box alone."""

import time
import unittest

from box import Update, figure, send_tcp
from disk import Disk
from gateway import make_ca
from machine import BOOT, wait_for


class Updates(Update):
    def test_a_good_update_is_installed_with_a_backlog_and_marked_good(self):
        gateway = self.gateway().open()
        operator, machine = self.updatable(gateway)
        machine.start()
        self.assertEqual(machine.state(), "running", machine.serial())
        self.good(machine, "A")
        gateway.close()
        backlog = [f"<13>Oct 11 22:14:15 fw1 test: before the update {n}" for n in range(5000)]
        send_tcp(machine, 514, backlog)
        version = operator.offer("next")
        machine.wait_serial("starting slot B")
        took = time.monotonic() - operator.asked[f"/{operator.compatible}.raucb"]
        figure("update: download, install and restart", f"{took:.0f} s, {machine.kind}")
        self.assertEqual(machine.state(boots=2), "running", machine.serial())
        self.assertEqual(machine.slots(), ["A", "B"])
        gateway.open()
        wait_for("the backlog at the gateway", lambda: set(backlog) <= gateway.messages().keys(), 300)
        self.good(machine, "B")
        machine.power_off()
        self.assertIn(version.encode(), Disk.of(machine.disk).read_data("system/rauc.status"))

    def test_a_version_that_fails_its_trial_is_taken_back_and_what_it_took_in_arrives(self):
        gateway = self.gateway().open()
        operator, machine = self.updatable(gateway)
        machine.start()
        self.good(machine, "A")
        gateway.close()
        old = [f"<13>Oct 11 22:14:15 fw1 test: taken by the old version {n}" for n in range(500)]
        send_tcp(machine, 514, old)
        operator.offer("next")
        self.assertEqual(machine.state(boots=2), "running", machine.serial())
        # Its records and its state files are of a later kind (the feature `next`).
        new = [f"<13>Oct 11 22:14:15 fw1 test: taken by the new version {n}" for n in range(500)]
        send_tcp(machine, 514, new)
        # A gateway that cannot be reached prolongs the trial. One whose certificate is wrong, as none was before, ends it.
        other = self.folder / "other"
        other.mkdir()
        gateway.open(make_ca(other)[1:])
        wait_for("the way back", lambda: machine.slots()[-1] == "A" and "B" in machine.slots(), 3 * BOOT)
        gateway.close()
        gateway.open()
        wanted = set(old + new)
        wait_for("everything at the gateway", lambda: wanted <= gateway.messages().keys(), 600)
        repeated = [ids for ids in gateway.messages().values() if len(ids) > 1]
        self.assertEqual(repeated, [], "what comes twice comes under the same id")

    def test_an_update_whose_program_crashes_is_taken_back_with_no_hand_on_it(self):
        gateway = self.gateway().open()
        operator, machine = self.updatable(gateway)
        machine.start()
        self.assertEqual(machine.state(), "running", machine.serial())
        self.good(machine, "A")
        operator.offer("crashes")
        wait_for("three starts of B, then A", lambda: machine.slots() == ["A", "B", "B", "B", "A"], 3 * BOOT)
        machine.wait_serial(r"sapphire-edge-state\[\d+\]: running", count=2)
        after = "<13>Oct 11 22:14:15 fw1 test: after the way back"
        send_tcp(machine, 514, [after])
        wait_for("an event after it", lambda: after in gateway.messages(), 300)
        self.good(machine, "A")


if __name__ == "__main__":
    unittest.main(verbosity=2)
