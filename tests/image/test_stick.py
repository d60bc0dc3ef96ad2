"""A USB stick makes a new box one of a site's: nobody logs in, and nothing is done but to switch it on."""

import time
import unittest

from box import IMAGES, Box, figure, send_udp
from broker import Broker
from disk import Disk
from est import Est
from machine import BOOT, wait_for
from stick import Stick, signed

ENROLMENT = """form = 1
name = "edge-stick"
gateway = ["10.0.2.2:{port}"]
ca = '''
{ca}'''
settings = \"\"\"
[time]
# The host, which does not answer: no test asks a server outside.
ntp = ["10.0.2.2"]
[[source]]
id = "firewalls"
type = "syslog"
listen = ["udp://0.0.0.0:514"]
[[output]]
id = "gateway"
type = "lumberjack"
endpoint = ["10.0.2.2:{port}"]
backoff_max = "5s"
[output.tls]
server_name = "gateway.test"
[fleet.tls]
server_name = "gateway.test"
\"\"\"
[fleet]
broker = "10.0.2.2:{broker}"
enrolment = "https://10.0.2.2:{est}"
ca = '''
{ca}'''
secret = "{secret}"
"""
SECRET = "0nce-4nd-n3ver-again"


class Sticks(Box):
    def test_a_new_box_with_a_stick_in_it_forwards_is_in_the_fleet_and_takes_no_other_stick_afterwards(self):
        gateway = self.gateway().open()
        est = Est(self.folder, gateway, "edge-stick", SECRET)
        self.addCleanup(est.close)
        broker = Broker(self.folder, gateway, est.ca)
        self.addCleanup(broker.close)
        text = ENROLMENT.format(port=gateway.port, ca=gateway.ca.read_text(), est=est.port, broker=broker.port, secret=SECRET)
        # The images trust this key (`--update-keys`).
        stick = Stick(self.folder / "first.img", {"sapphire-edge.toml": signed(text, IMAGES / "manifest.key")})
        machine = self.box(udp=(514,))
        machine.stick = stick.path
        begin = time.monotonic()
        machine.start()
        first = "<13>Oct 11 22:14:15 fw1 test: first"

        def forwarded():
            send_udp(machine, 514, [first])
            return first in gateway.messages()
        wait_for("an event at the gateway", forwarded, BOOT)
        figure("power on with a stick to first event forwarded", f"{time.monotonic() - begin:.0f} s, {machine.kind}")
        said = wait_for("the result on the stick", stick.result, BOOT)
        for part in ("was taken: it is in use", "edge-stick", "https://10.0.2.15/", "claim code   ", "certificate  "):
            self.assertIn(part, said)
        self.assertEqual(machine.state(), "running", machine.serial())
        # The box has its certificate, and the secret is on the stick no more.
        wait_for("the certificate for the fleet", lambda: est.subject() == "subject=CN=edge-stick", 120)
        self.assertEqual(est.asked[-1], ("/.well-known/est/simpleenroll", True))
        # Its operator sees it, as it is.
        wait_for("the box in its fleet, healthy", lambda: broker.last("edge-stick", "status").get("health") == "healthy", 120)
        figure("power on with a stick to healthy in the fleet", f"{time.monotonic() - begin:.0f} s, {machine.kind}")
        inventory = wait_for("what it consists of", lambda: broker.last("edge-stick", "inventory"), 60)
        self.assertEqual([source["id"] for source in inventory["sources"]], ["firewalls"])
        left = stick.read("sapphire-edge.toml")
        self.assertIn("broker = ", left)
        self.assertNotIn(SECRET.encode(), stick.path.read_bytes(), "nor in what was a file of it")

        # Plugged in later, when what became of the first was shown, and not signed.
        shown = lambda: any(line["id"] == "stick" for line in broker.last("edge-stick", "status")["components"])
        wait_for("the first stick is done with", lambda: not shown(), 120)
        other = Stick(self.folder / "other.img", {"sapphire-edge.toml": text.replace("edge-stick", "edge-evil")})
        machine.plug(other.path)
        said = wait_for("the result on the other stick", other.result, BOOT)
        self.assertIn("was not taken: it is not signed by a key that this box trusts", said)
        told = lambda: any("an enrolment file on a USB stick was not taken" in (message or "") for message in gateway.messages())
        wait_for("the refusal at the gateway", told, 120)
        machine.power_off()
        wait_for("the box's last words", lambda: broker.last("edge-stick", "status").get("health") == "stopped", 60)
        kept = Disk.of(machine.disk).read_all_data()
        self.assertIn("fleet/certificate.pem", kept)
        self.assertNotIn("fleet/one-time-secret", kept)

        # A stick that stays in is no trouble at the next start.
        stick.remove("sapphire-edge-result.txt")
        machine.start()
        said = wait_for("the result on the stick", stick.result, BOOT)
        self.assertIn("Nothing was changed: this box is set up already as the file says", said)
        self.assertIn("edge-stick", said)
        self.assertEqual(machine.state(), "running", machine.serial())


if __name__ == "__main__":
    unittest.main(verbosity=2)
