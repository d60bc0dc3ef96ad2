"""The plug is pulled under load: the box boots by itself, and nothing that it has answered is lost, events and pushed files."""

import os
import unittest

from box import Box
from device import Device
from gateway import Load
from machine import wait_for

#: tests/run --full asks for more.
CUTS = int(os.environ.get("IMAGE_POWER_CUTS", "1"))
RESTARTS = int(os.environ.get("IMAGE_RESTARTS", "0"))


class Power(Box):
    @unittest.skipUnless(RESTARTS, "takes long: --full")
    def test_a_box_restarted_under_load_goes_on_each_time(self):
        gateway = self.gateway().open()
        machine = self.box_with(gateway)
        answered = []
        for restart in range(RESTARTS):
            machine.start()
            self.assertEqual(machine.state(), "running", machine.serial())
            load = Load(machine.tcp[5044], f"restart {restart}")
            wait_for("some hundred answers", lambda: len(load.answered) > 500, 300)
            machine.power_off()
            load.thread.join(60)
            answered += load.answered
        machine.start()
        wait_for("everything answered at the gateway", lambda: set(answered) <= gateway.messages().keys(), 300)

    def test_a_power_cut_under_load_loses_nothing_that_was_answered(self):
        gateway, device = self.gateway(), Device(self.folder)
        machine = self.box_with(gateway, device.settings()).start()
        answered = []
        for cut in range(CUTS):
            self.assertEqual(machine.state(), "running", machine.serial())
            # No gateway: what is answered can only be on the disk.
            load = Load(machine.tcp[5044], f"cut {cut}")
            pushed = [f"pushed before cut {cut}, line {n}" for n in range(200)]
            self.assertEqual(device.push(machine, f"mail.{cut}.s", pushed), "")
            answered += pushed
            wait_for("some thousand answers", lambda: len(load.answered) > 3000 + 500 * cut, 300)
            machine.cut_power()
            load.thread.join(60)
            answered += load.answered
            machine.start()
        self.assertEqual(machine.state(), "running", machine.serial())
        self.assertEqual(device.push(machine, "mail.last.s", ["pushed after the last cut"]), "", "the host key is the same")
        answered.append("pushed after the last cut")
        gateway.open()
        wait_for("everything answered at the gateway", lambda: set(answered) <= gateway.messages().keys(), 300)
        # The box's own word of each cut is a new event every time.
        answered = set(answered)
        repeated = {text: ids for text, ids in gateway.messages().items() if text in answered and len(ids) > 1}
        self.assertEqual(repeated, {}, "what comes twice comes under the same id")


if __name__ == "__main__":
    unittest.main(verbosity=2)
