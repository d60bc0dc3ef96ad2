"""From outside: the box boots whole, takes what it is set to take and nothing else, and passes it on."""

import time
import unittest

from box import Box, figure, send_tcp, send_udp
from disk import Disk
from machine import BOOT, wait_for


class Flow(Box):
    def test_a_new_box_boots_to_running_and_makes_its_data_partition(self):
        machine = self.box().start()
        self.assertEqual(machine.state(), "running", machine.serial())
        figure("first boot to running", f"{machine.cpu_seconds():.0f} CPU-seconds, {machine.kind}")
        self.assertEqual(machine.slots(), ["A"])
        machine.power_off()
        disk = Disk.of(machine.disk)
        first, last = disk.partitions()["sapphire-data"]
        self.assertGreater(last - first, 1 << 30, "it fills the disk")
        self.assertIn(b"state_dir", disk.read_data("settings.toml"))

    def test_syslog_from_outside_reaches_the_gateway_and_other_ports_are_closed(self):
        gateway = self.gateway().open()
        begin = time.monotonic()
        machine = self.box_with(gateway).start()
        first = "<13>Oct 11 22:14:15 fw1 test: first"

        def forwarded():
            send_udp(machine, 514, [first])
            return first in gateway.messages()
        wait_for("a first event at the gateway", forwarded, BOOT)
        figure("power on to first event forwarded", f"{time.monotonic() - begin:.0f} s, {machine.cpu_seconds():.0f} CPU-seconds, {machine.kind}")
        self.assertEqual(machine.state(), "running", machine.serial())
        udp = [f"<13>Oct 11 22:14:15 fw1 test: datagram {n}" for n in range(20)]
        tcp = [f"<13>Oct 11 22:14:15 fw1 test: line {n}" for n in range(20)]
        send_udp(machine, 514, udp)
        send_tcp(machine, 514, tcp)
        wait_for("all 40 at the gateway", lambda: set(udp + tcp) <= gateway.messages().keys(), 120)

        # 22: nothing listens. 9180: the program does, for itself. 9999/udp: nobody asked for it.
        send_udp(machine, 9999, ["anybody there?"])
        for port in (22, 9180):
            # The host's end is taken before the box is asked; what the box does is seen on its cable.
            send_tcp(machine, port, ["GET / HTTP/1.0\r\n\r\n"])
        came = lambda kind, port: [p for p in machine.packets() if p[0] == kind and p[2] == port]
        wait_for("the knocks on the cable", lambda: came("tcp", 22) and came("tcp", 9180) and came("udp", 9999), 60)
        send_tcp(machine, 514, ["<13>Oct 11 22:14:15 fw1 test: after"])
        wait_for("what came after", lambda: "<13>Oct 11 22:14:15 fw1 test: after" in gateway.messages(), 120)
        answers = [p for p in machine.packets() if p[1] in (22, 9180, 9999)]
        self.assertEqual(answers, [], "the firewall lets nothing in and says nothing")


if __name__ == "__main__":
    unittest.main(verbosity=2)
