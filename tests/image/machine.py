"""A virtual machine that boots the firmware as a box would: EFI, a disk, a network card, a serial line.

Emulated (TCG) unless a machine under KVM shows its firmware on the serial line: on some hosts KVM is there and does not
work. On a starved host an emulated kernel may find that no timer interrupt comes in time and panic ("IO-APIC + timer doesn't
work!", seen at a load of 12 on two cores); the box then starts again by itself, which counts as a try. QEMU's `-icount` cures
that but hung after a reset, so it is not used. Nothing in the image is made for this: the box is seen from outside, by its serial line, its network and its disk.
"""

import ctypes
import functools
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time

#: A starved host takes minutes for a boot that takes 30 s alone.
BOOT = 600
FIRMWARE = {
    "x86_64": ("/usr/share/OVMF/OVMF_CODE_4M.fd", "/usr/share/OVMF/OVMF_VARS_4M.fd"),
    "aarch64": ("/usr/share/AAVMF/AAVMF_CODE.fd", "/usr/share/AAVMF/AAVMF_VARS.fd"),
}
COLOURS = re.compile(r"\x1b\[[0-9;?=]*[A-Za-z]")


def wait_for(what, condition, seconds):
    """Polls until the condition holds; what it then is."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        value = condition()
        if value:
            return value
        time.sleep(0.1)
    raise AssertionError(f"waited {seconds} s for {what}")


def die_with_parent():
    """No machine outlives a test that was killed: PR_SET_PDEATHSIG, prctl(2)."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)


def free_port(kind=socket.SOCK_STREAM):
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@functools.cache
def accelerator():
    """`kvm` if a machine under it gets as far as its firmware's first words, else `tcg`."""
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return "tcg"
    code = FIRMWARE["x86_64"][0]
    with tempfile.TemporaryDirectory() as folder:
        serial = pathlib.Path(folder, "serial")
        command = ["qemu-system-x86_64", "-machine", "q35,accel=kvm", "-cpu", "host", "-m", "256", "-display", "none", "-no-reboot"]
        command += ["-drive", f"if=pflash,format=raw,readonly=on,file={code}", "-serial", f"file:{serial}", "-monitor", "none"]
        probe = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            said = lambda: serial.exists() and serial.stat().st_size > 0
            wait_for("firmware under KVM", lambda: said() or probe.poll() is not None, 15)
            return "kvm" if said() else "tcg"
        except AssertionError:
            return "tcg"
        finally:
            probe.kill()
            probe.wait()


class Machine:
    """One box. `disk` is changed; ports of the box are reached through `tcp` and `udp` on 127.0.0.1."""

    def __init__(self, disk, arch="x86_64", tcp=(), udp=(), folder=None):
        self.disk, self.arch = pathlib.Path(disk), arch
        self.folder = pathlib.Path(folder or tempfile.mkdtemp(prefix="sapphire-vm-"))
        self.serial_file = self.folder / "serial.log"
        self.packets_file = self.folder / "packets.pcap"
        self.firmware = self.folder / "firmware.fd"
        shutil.copy(FIRMWARE[arch][1], self.firmware)
        self.tcp = {port: free_port() for port in tcp}
        self.udp = {port: free_port(socket.SOCK_DGRAM) for port in udp}
        self.process = None
        self.seen = 0
        #: Where every write to the disk is noted (blocklog.py), if anywhere.
        self.log = None
        #: The USB stick that is in when the power comes, if one is.
        self.stick = None

    @property
    def kind(self):
        """Processor, and how it is run: what a measured figure needs beside it."""
        return f"{self.arch}, {accelerator() if self.arch == 'x86_64' else 'tcg'}"

    def command(self):
        forward = [f"hostfwd=tcp:127.0.0.1:{host}-:{guest}" for guest, host in self.tcp.items()]
        forward += [f"hostfwd=udp:127.0.0.1:{host}-:{guest}" for guest, host in self.udp.items()]
        kvm = self.kind.endswith("kvm")
        if self.arch == "x86_64":
            command = ["qemu-system-x86_64", "-machine", f"q35,accel={'kvm' if kvm else 'tcg'}", "-cpu", "host" if kvm else "max"]
        else:
            command = ["qemu-system-aarch64", "-machine", "virt,accel=tcg", "-cpu", "cortex-a72"]
        return command + [
            "-m", "1024", "-smp", "2" if kvm else "1", "-display", "none", "-monitor", "none",
            "-drive", f"if=pflash,format=raw,readonly=on,file={FIRMWARE[self.arch][0]}",
            "-drive", f"if=pflash,format=raw,file={self.firmware}",
            *self.drive(),
            "-device", "virtio-blk-pci,drive=disk,bootindex=0",
            "-netdev", ",".join(["user,id=net", *forward]), "-device", "virtio-net-pci,netdev=net,romfile=",
            "-object", f"filter-dump,id=dump,netdev=net,file={self.packets_file}",
            *self.usb(),
            "-device", "virtio-rng-pci",
            "-chardev", f"file,id=serial,path={self.serial_file},append=on", "-serial", "chardev:serial",
            "-qmp", f"unix:{self.folder}/qmp,server=on,wait=off",
        ]

    def drive(self):
        # What the box has flushed is on the host's disk when it is told so, and nothing else is promised.
        if self.log is None:
            return ["-drive", f"file={self.disk},format=raw,if=none,id=disk,cache=none,discard=unmap"]
        return [
            "-blockdev", f"driver=file,node-name=file,filename={self.disk},cache.direct=on,discard=unmap",
            "-blockdev", f"driver=file,node-name=log,filename={self.log}",
            "-blockdev", "driver=blklogwrites,node-name=disk,file=file,log=log",
        ]

    def usb(self):
        """A USB port, and the stick in it."""
        if self.stick is None:
            return []
        stick = ["-drive", f"file={self.stick},format=raw,if=none,id=stick", "-device", "usb-storage,bus=usb.0,drive=stick,removable=on"]
        return ["-device", "qemu-xhci,id=usb", *stick]

    def plug(self, stick):
        """Puts another stick into the port of a running machine that had one when the power came."""
        name = stick.stem
        self.qmp("blockdev-add", driver="raw", **{"node-name": name, "file": {"driver": "file", "filename": str(stick)}})
        self.qmp("device_add", driver="usb-storage", bus="usb.0", drive=name, id=name, removable=True)

    def start(self):
        self.seen = self.serial_file.stat().st_size if self.serial_file.exists() else 0
        self.process = subprocess.Popen(self.command(), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, preexec_fn=die_with_parent)
        return self

    def cpu_seconds(self):
        """What the machine has cost its host since its last start (proc(5): utime and stime)."""
        words = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")

    def serial(self):
        """What the box has said since its last start, without colours."""
        if not self.serial_file.exists():
            return ""
        with self.serial_file.open("rb") as file:
            file.seek(self.seen)
            return COLOURS.sub("", file.read().decode("utf-8", "replace")).replace("\r", "")

    def wait_serial(self, pattern, seconds=BOOT, count=1):
        """Waits until the box has said it `count` times; the last match."""
        def found():
            matches = list(re.finditer(pattern, self.serial()))
            if len(matches) < count and self.process.poll() is not None:
                raise AssertionError(f"the machine ended before {pattern!r}; last words:\n{self.serial()[-3000:]}")
            return matches[-1] if len(matches) >= count else None
        try:
            return wait_for(f"{pattern!r} on the serial line", found, seconds)
        except AssertionError as error:
            raise AssertionError(f"{error}; last words:\n{self.serial()[-3000:]}") from None

    def state(self, seconds=BOOT, boots=1):
        """What the box says about its start: `running` when every unit works."""
        return self.wait_serial(r"sapphire-edge-state\[\d+\]: (\w+)", seconds, boots).group(1)

    def slots(self):
        """Which slots were started, in their order."""
        return re.findall(r"starting slot ([AB])", self.serial())

    def packets(self):
        """IPv4 packets on the box's cable: protocol, source port, destination port, TCP flags; of this start."""
        data = self.packets_file.read_bytes()
        # pcap: 24 bytes of header; 16 before each packet, the stored length third. Then Ethernet (14) and IPv4.
        at, found = 24, []
        while at + 16 <= len(data):
            size = int.from_bytes(data[at + 8 : at + 12], "little")
            frame = data[at + 16 : at + 16 + size]
            at += 16 + size
            if frame[12:14] == b"\x08\x00" and frame[23] in (6, 17):
                head = 14 + (frame[14] & 15) * 4
                source, target = (int.from_bytes(frame[head + n : head + n + 2], "big") for n in (0, 2))
                found.append(("tcp" if frame[23] == 6 else "udp", source, target, frame[head + 13] if frame[23] == 6 else 0))
        return found

    def qmp(self, command, **arguments):
        with socket.socket(socket.AF_UNIX) as line:
            line.settimeout(30)
            line.connect(str(self.folder / "qmp"))
            reader = line.makefile()
            reader.readline()
            for request in ({"execute": "qmp_capabilities"}, {"execute": command, "arguments": arguments}):
                line.sendall(json.dumps(request).encode() + b"\n")
                while not ({"return", "error"} & (answer := json.loads(reader.readline())).keys()):
                    pass
            if "error" in answer:
                raise AssertionError(f"{command}: {answer['error']}")
            return answer["return"]

    def cut_power(self):
        """The plug is pulled: nothing is written any more from this instant on."""
        self.process.kill()
        self.process.wait()

    def power_off(self, seconds=300):
        """The button is pressed; the box stops in good order."""
        self.qmp("system_powerdown")
        self.process.wait(seconds)

    def close(self):
        if self.process and self.process.poll() is None:
            self.cut_power()
