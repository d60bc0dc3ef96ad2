"""Disk, network, kernel and program fail: the box goes on, or another slot does, with no hand on it."""

import hashlib
import re
import unittest

from box import Box, Update, send_tcp
from disk import MIB, Disk
from gateway import Load, Sender
from machine import BOOT, wait_for


#: A usual size for Filebeat's largest.
WINDOW = 2048


def lines(name, count):
    return [f"<13>Oct 11 22:14:15 fw1 test: {name} {n}" for n in range(count)]


class Disks(Box):
    def test_a_full_data_disk_loses_nothing_and_heals(self):
        gateway = self.gateway()
        # The queue may take 512 MiB, and the disk has a fraction of it.
        machine = self.box_with(gateway, data_bytes=64 * MIB).start()
        self.assertEqual(machine.state(), "running", machine.serial())
        # Large windows, because each waits for a flush, of hexadecimal digits, which halve at best.
        load = Load(machine.tcp[5044], "full", WINDOW, noise)
        wait_for("the box to hold its sender back", lambda: load.waits(30), 600)
        held = len(load.answered)
        self.assertGreater(held, 10 * WINDOW)
        gateway.open()
        wait_for("the sender to go on", lambda: len(load.answered) > held + 10 * WINDOW, 300)
        answered = set(load.answered)
        wait_for("everything answered at the gateway", lambda: answered <= gateway.messages().keys(), 600)

    def test_a_flipped_bit_in_the_root_is_noticed_and_the_other_slot_boots(self):
        machine = self.box()
        disk = Disk.of(machine.disk)
        disk.fill_slot_b()
        disk.set_boot_environment(ORDER="A B", A_OK="1", A_TRY="0", B_OK="1", B_TRY="0")
        # Bytes 8 to 11 of a squashfs are the time it was made: nothing but the verity hash would miss it.
        disk.flip("sapphire-root-a", 8)
        machine.start()
        self.assertEqual(machine.state(), "running", machine.serial())
        self.assertEqual(machine.slots(), ["A", "A", "A", "B"])


class Kernels(Box):
    def test_a_kernel_that_panics_is_left_for_the_other_slot(self):
        machine = self.box()
        disk = Disk.of(machine.disk)
        disk.fill_slot_b()
        disk.set_boot_environment(ORDER="B A", A_OK="1", A_TRY="0", B_OK="1", B_TRY="0")
        line = disk.fat("sapphire-boot-b", "slot.cfg")
        # Without its initrd it finds no root, and it is not told to wait for one: "Unable to mount root fs".
        disk.fat("sapphire-boot-b", "slot.cfg", re.sub(rb"(?m)^initrd .*$| rootwait", b"", line))
        machine.start()
        self.assertEqual(machine.state(), "running", machine.serial())
        self.assertIn("Kernel panic", machine.serial())
        self.assertEqual(machine.slots(), ["B", "B", "B", "A"])


class Network(Box):
    def test_a_cable_that_is_pulled_and_put_back_loses_nothing(self):
        gateway = self.gateway().open()
        machine = self.box_with(gateway).start()
        self.assertEqual(machine.state(), "running", machine.serial())
        sender = Sender(machine.tcp[5044])
        sender.window(lines("before", 100))
        machine.qmp("set_link", name="net", up=False)
        sender.line.settimeout(5)
        with self.assertRaises(TimeoutError):
            sender.window(lines("with no cable", 100))
        sender.close()
        machine.qmp("set_link", name="net", up=True)
        again = Sender(machine.tcp[5044])
        again.window(lines("with no cable", 100))
        again.window(lines("after", 100))
        wanted = set(sender.answered + again.answered)
        wait_for("all of it at the gateway", lambda: wanted <= gateway.messages().keys(), 300)


class FirstBoots(Box):
    def test_two_new_boxes_have_nothing_secret_in_common(self):
        found = []
        for name in ("one", "two"):
            machine = self.box(name=name).start()
            self.assertEqual(machine.state(), "running", machine.serial())
            machine.power_off()
            found.append(Disk.of(machine.disk).read_all_data())
        one, two = found
        same = {path for path in one.keys() & two.keys() if one[path] and one[path] == two[path]}
        # The settings are those of the image; the ballast is zeros, and the index has nothing in it.
        alike = re.compile(r"settings\.(toml|kept/.*)|queue/(ballast|index/(conf|db))")
        self.assertEqual([path for path in same if not alike.fullmatch(path)], [])
        # The queue's segment holds the box's id.
        differ = {path for path in one.keys() & two.keys() if one[path] != two[path]}
        self.assertLessEqual({"queue/0000000000000001.seg", "system/services/random-seed"}, differ)


class Hang(Update):
    def test_an_update_whose_program_hangs_is_taken_back(self):
        gateway = self.gateway().open()
        operator, machine = self.updatable(gateway)
        machine.start()
        self.good(machine, "A")
        operator.offer("hangs")
        # Eight times a minute of silence, three starts.
        wait_for("three starts of B, then A", lambda: machine.slots() == ["A", "B", "B", "B", "A"], 3 * (600 + BOOT))
        machine.wait_serial(r"sapphire-edge-state\[\d+\]: running", count=2)


def noise(seed):
    """200 hexadecimal digits."""
    return "".join(hashlib.sha256(f"{seed} {part}".encode()).hexdigest() for part in range(4))[:200]


if __name__ == "__main__":
    unittest.main(verbosity=2)
