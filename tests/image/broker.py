"""A fleet's broker outside the box: Mosquitto, which takes the certificates of the fleet's CA, and a subscriber who hears all boxes."""

import json
import pathlib
import subprocess

from machine import die_with_parent, free_port, wait_for

#: As the README says. Whoever hears the boxes comes in without TLS.
SETTINGS = """
user root
per_listener_settings true
persistence false
log_dest stderr
listener {port} 127.0.0.1
cafile {ca}
certfile {cert}
keyfile {key}
require_certificate true
use_identity_as_username true
acl_file {folder}/fleet.acl
listener {inside} 127.0.0.1
allow_anonymous true
"""
ACCESS = """
pattern write sapphire/v1/%u/status
pattern write sapphire/v1/%u/inventory
pattern write sapphire/v1/%u/ledger
pattern write sapphire/v1/%u/event
pattern write sapphire/v1/%u/answer
pattern read sapphire/v1/%u/command
pattern read sapphire/v1/all/offer/#
"""


class Broker:
    """The box reaches it as 10.0.2.2; its certificate is the gateway's."""

    def __init__(self, folder, gateway, ca):
        self.folder = pathlib.Path(folder, "broker")
        self.folder.mkdir()
        self.port, self.inside, self.processes = free_port(), free_port(), []
        (self.folder / "fleet.acl").write_text(ACCESS)
        settings = self.folder / "mosquitto.conf"
        settings.write_text(SETTINGS.format(port=self.port, inside=self.inside, folder=self.folder, ca=ca, cert=gateway.cert, key=gateway.key))
        self.run("log", "/usr/sbin/mosquitto", "-c", settings)
        wait_for("mosquitto", lambda: " running" in (self.folder / "log").read_text(), 60)
        self.run("heard", "stdbuf", "-oL", "mosquitto_sub", "-V", "5", "-q", "1", "-p", self.inside, "-t", "sapphire/v1/#", "-F", "%t\t%p")

    def run(self, into, *command):
        with (self.folder / into).open("wb") as file:
            self.processes.append(subprocess.Popen([str(word) for word in command], stdin=subprocess.DEVNULL, stdout=file,
                                                   stderr=subprocess.STDOUT, preexec_fn=die_with_parent))

    def last(self, box, kind):
        """What the box said last under this topic; empty where it said nothing."""
        said = {}
        for line in (self.folder / "heard").read_text(errors="replace").splitlines():
            topic, _, payload = line.partition("\t")
            if topic == f"sapphire/v1/{box}/{kind}" and payload.endswith("}"):
                said = json.loads(payload)
        return said

    def close(self):
        for process in self.processes:
            process.kill()
            process.wait()
