"""The plug is pulled while an update is installed, at many instants: the box boots by itself, in one slot or the other."""

import os
import unittest

import blocklog
from box import Update, send_tcp
from disk import run
from machine import Machine, wait_for

#: Instants, spread over the install.
CUTS = int(os.environ.get("IMAGE_INSTALL_CUTS", "12"))
SEED = int(os.environ.get("IMAGE_SEED", "1"))


class Cuts(Update):
    def test_a_power_cut_at_any_instant_of_an_install_leaves_a_box_that_boots(self):
        gateway = self.gateway().open()
        operator, machine = self.updatable(gateway)
        machine.start()
        self.good(machine, "A")
        machine.power_off()
        base = self.folder / "base.img"
        run("cp", "--sparse=always", machine.disk, base)

        machine.log = self.folder / "writes.log"
        machine.log.touch()
        machine.start()
        self.assertEqual(machine.state(), "running", machine.serial())
        begin = machine.log.stat().st_size
        operator.offer("next")
        machine.wait_serial("starting slot B")
        machine.close()

        replay = blocklog.Replay(machine.log, base, SEED)
        flushes = [index for index in blocklog.flushes(replay.writes) if replay.writes[index].end > begin]
        self.assertGreater(len(flushes), CUTS, "flushes between the offer and the restart")
        slots = set()
        for cut in range(CUTS):
            replay.to(flushes[cut * (len(flushes) - 1) // (CUTS - 1)])
            disk = self.folder / f"cut-{cut}.img"
            run("cp", "--sparse=always", base, disk)
            replay.torn(disk)
            slots.add(self.boots(disk, gateway, cut))
            disk.unlink()
        self.assertEqual(slots, {"A", "B"}, "cuts before and after the switch")

    def boots(self, disk, gateway, cut):
        """Boots it and lets it forward an event; its slot."""
        folder = self.folder / f"cut-{cut}"
        folder.mkdir()
        box = Machine(disk, folder=folder, tcp=(514,))
        self.addCleanup(box.close)
        box.start()
        self.assertEqual(box.state(), "running", f"seed {SEED}, cut {cut}: {box.serial()}")
        text = f"<13>Oct 11 22:14:15 fw1 test: after cut {cut}"
        send_tcp(box, 514, [text])
        wait_for("an event after it", lambda: text in gateway.messages(), 300)
        slot = box.slots()[-1]
        box.close()
        return slot


if __name__ == "__main__":
    unittest.main(verbosity=2)
