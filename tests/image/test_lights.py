"""The lights of a board, on a real kernel: the board is told by its DMI names, its lights are the kernel's (uleds), its lines a
GPIO chip's (gpio-sim). What each light was set to, and when, is read from the kernel's side."""

import os
import pathlib
import re
import socket
import subprocess
import threading
import unittest

from machine import die_with_parent, free_port, wait_for

FOLDER = pathlib.Path(os.environ["IMAGES"], "lights")
POWER, GATEWAY, FAULT = "platled::fp_left", "platled::fp_center", "platled::fp_right"
#: Milliseconds of one step of the lights (src/hw/pattern.rs), and what an emulated machine may be late by.
STEP, LATE = 250, 200


class Small:
    """The small machine: what it says, and what it is told."""

    def __init__(self):
        self.said = ""
        self.monitor = free_port()
        command = [
            "qemu-system-x86_64", "-machine", "q35,accel=tcg", "-cpu", "max", "-m", "1024", "-display", "none", "-no-reboot",
            "-kernel", FOLDER / "kernel", "-initrd", FOLDER / "initrd", "-append", "console=ttyS0 quiet",
            "-smbios", "type=1,manufacturer=Silicom", "-smbios", "type=2,manufacturer=Silicom,product=80500-0214-G",
            "-netdev", "user,id=net,restrict=on", "-device", "virtio-net-pci,netdev=net,id=card,romfile=",
            "-serial", "stdio", "-monitor", f"tcp:127.0.0.1:{self.monitor},server=on,wait=off",
        ]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, preexec_fn=die_with_parent
        )
        self.listener = threading.Thread(target=self.listen, daemon=True)
        self.listener.start()

    def listen(self):
        while part := os.read(self.process.stdout.fileno(), 65536):
            self.said += part.decode("utf-8", "replace").replace("\r", "")

    def tell(self, line):
        """Has it done on the machine; waits until it is."""
        before = len(self.said)
        self.process.stdin.write(line.encode() + b"\n")
        self.process.stdin.flush()
        # The line itself comes back first, as whoever types sees it.
        self.wait(rf"(?m)^done: {re.escape(line)}$", before)
        return self.said[before:]

    def wait(self, pattern, since=0, seconds=600):
        try:
            return wait_for(pattern, lambda: re.search(pattern, self.said[since:]), seconds)
        except AssertionError as error:
            raise AssertionError(f"{error}; last words:\n{self.said[-3000:]}") from None

    def cable(self, is_in):
        with socket.create_connection(("127.0.0.1", self.monitor)) as line:
            line.settimeout(30)
            line.recv(4096)
            line.sendall(f"set_link card {'on' if is_in else 'off'}\n".encode())
            while b"(qemu)" not in line.recv(4096):
                pass

    def changes(self, light, since):
        """What the light was set to since then, and when: [(value, milliseconds)]."""
        found = re.findall(rf"light {re.escape(light)} (\d) at (\d+)", self.said[since:])
        return [(int(value), int(at)) for value, at in found]

    def close(self):
        self.process.kill()
        self.listener.join()
        self.process.communicate()


class Lights(unittest.TestCase):
    def setUp(self):
        self.box = Small()
        self.addCleanup(self.box.close)
        self.box.wait("the machine is ready")

    def shows(self, light, spans, seconds=120):
        """Waits until the light does this: [(value, steps)], one after the other, whatever was before and comes after."""
        since = len(self.box.said)

        def seen():
            changes = self.box.changes(light, since)
            values = [(value, after - at) for (value, at), (_, after) in zip(changes, changes[1:])]
            fits = lambda have, want: have[0] == want[0] and abs(have[1] - want[1] * STEP) <= LATE
            return any(
                all(fits(have, want) for have, want in zip(values[at:], spans)) for at in range(len(values) - len(spans) + 1)
            )

        try:
            wait_for(f"{light} to show {spans}", seen, seconds)
        except AssertionError as error:
            raise AssertionError(f"{error}; it was set: {self.box.changes(light, since)}") from None

    def code(self, blinks):
        """The fault light's code: so many blinks, and the pause before the next."""
        self.shows(FAULT, [(1, 1), (0, 1)] * (blinks - 1) + [(1, 1), (0, 7)])

    def test_each_light_says_what_the_box_does(self):
        box = self.box
        box.tell("sapphire-edge run --config /etc/settings.toml > /state/log 2>&1 & run=$!")
        box.tell("sapphire-edge lights --config /etc/settings.toml > /state/lights.log 2>&1 & lights=$!")
        # Nobody has claimed it: a short light every two seconds.
        self.shows(POWER, [(1, 1), (0, 7), (1, 1)], 300)
        box.cable(False)
        self.code(2)
        box.cable(True)
        # Events that go out are seen: a short dark every two seconds.
        box.tell("(while sleep 0.2; do echo '<13>Nov 29 12:00:00 fw1 app: an event'; done | nc 127.0.0.1 514) & senders=$!")
        self.shows(GATEWAY, [(0, 1), (1, 7), (0, 1)])
        # A program that has ended: power is dark, six blinks.
        box.tell("kill $senders; kill -9 $run")
        self.code(6)
        self.assertEqual(box.changes(POWER, 0)[-1][0], 0)
        box.tell("kill $lights; wait $lights")
        for light in (POWER, GATEWAY, FAULT):
            self.assertEqual(box.changes(light, 0)[-1][0], 0, "dark at the end")

    def test_a_gpio_line_is_driven_as_it_is_wired(self):
        test = "hw::led::tests::a_line_is_driven_the_way_round_it_is_wired"
        sim = "sapphire-lines=/sys/devices/platform/gpio-sim.0/gpiochip0/sim_gpio1"
        said = self.box.tell(f"GPIO_SIM={sim} unit-tests --nocapture --exact {test}")
        self.assertIn("test result: ok. 1 passed", said)
        self.assertNotIn("SKIPPED", said)


if __name__ == "__main__":
    unittest.main()
