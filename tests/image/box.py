"""What the tests share: the images under test, and a box with settings, its gateway outside."""

import os
import pathlib
import shutil
import socket
import tempfile
import unittest

from disk import MIB, Disk
from fleet import Operator
from gateway import Gateway
from machine import Machine, wait_for

#: Where tests/image/run has put the images.
IMAGES = pathlib.Path(os.environ["IMAGES"])

SETTINGS = """
name = "edge-vm"
state_dir = "/var/lib/sapphire-edge"

[control]
socket = "/run/sapphire-edge/control.sock"

[web]
listen = "127.0.0.1:9180"

[time]
# The host, which does not answer: no test asks a server outside.
ntp = ["10.0.2.2"]

[queue]
max_size = "512MiB"

[[source]]
id = "firewalls"
type = "syslog"
listen = ["udp://0.0.0.0:514", "tcp://0.0.0.0:514"]

[[source]]
id = "beats"
type = "lumberjack"
listen = ["tcp://0.0.0.0:5044"]

[[output]]
id = "gateway"
type = "lumberjack"
endpoint = ["10.0.2.2:{port}"]
backoff_max = "5s"
[output.tls]
ca = "/var/lib/sapphire-edge/gateway.pem"
server_name = "gateway.test"
"""


class Box(unittest.TestCase):
    """A test with a folder of its own, which is kept where the test failed."""

    #: The box's processor; test_arm.py runs the same tests on the other.
    arch = "x86_64"

    @classmethod
    def built(cls, kind):
        """What image/build made: `img`, `raucb`, `roothash`, `cdx.json`."""
        return IMAGES / f"sapphire-edge-{cls.arch}.{kind}"

    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="sapphire-test-", dir=os.environ.get("IMAGE_TESTS_FOLDER")))

    def tearDown(self):
        outcome = self._outcome.result
        if any(test is self for test, _ in outcome.failures + outcome.errors):
            print(f"kept: {self.folder}")
        else:
            shutil.rmtree(self.folder)

    def gateway(self):
        gateway = Gateway(self.folder)
        self.addCleanup(gateway.close)
        return gateway

    def box(self, data=None, name="box", data_bytes=1800 * MIB, **ports):
        folder = self.folder / name
        folder.mkdir()
        disk = Disk(self.built("img"), folder / "disk.img", data, data_bytes)
        machine = Machine(disk.path, self.arch, folder=folder, **ports)
        self.addCleanup(machine.close)
        return machine

    def box_with(self, gateway, more="", **options):
        """A box that takes syslog and Beats and sends to the gateway; `more` is appended to its settings."""
        settings = SETTINGS.format(port=gateway.port) + more
        data = {"settings.toml": settings.encode(), "gateway.pem": gateway.ca.read_bytes()}
        return self.box(data=data, tcp=(514, 5044, 22, 9180), udp=(514, 9999), **options)


class Update(Box):
    """A test with a fleet's operator, whose offers the box takes."""

    def updatable(self, gateway):
        operator = Operator(self.folder, gateway, f"sapphire-edge-{self.arch}")
        self.addCleanup(operator.close)
        return operator, self.box_with(gateway, operator.settings())

    def good(self, machine, slot, seconds=600):
        """Waits until the slot has started and its starts are counted anew, as the disk says."""
        def is_good():
            found = Disk.of(machine.disk).boot_environment()
            return machine.slots()[-1:] == [slot] and found.get(f"{slot}_OK") == "1" and found.get(f"{slot}_TRY") == "0"
        wait_for(f"slot {slot} marked good", is_good, seconds)


def figure(name, value):
    """Something measured, for tests/image/run to print at the end."""
    with (IMAGES / "figures").open("a") as file:
        file.write(f"{name}: {value}\n")


def send_udp(machine, port, messages):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for message in messages:
            sender.sendto(message.encode(), ("127.0.0.1", machine.udp[port]))


def send_tcp(machine, port, messages):
    with socket.create_connection(("127.0.0.1", machine.tcp[port]), timeout=30) as sender:
        sender.sendall("".join(f"{message}\n" for message in messages).encode())
