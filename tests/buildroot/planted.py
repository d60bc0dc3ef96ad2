"""Plants one fault after another in a copy of our files; a check that does not find its own fault is no check."""

import shutil
import tempfile
from pathlib import Path

import static

X86, ARM = (f"buildroot/configs/sapphire_edge_{arch}_defconfig" for arch in static.ARCHES)
# File, what is replaced, by what, and a word of the complaint that must come.
FAULTS = (
    (X86, "BR2_SSP_STRONG=y\n", "", "differ in BR2_SSP_STRONG"),
    (X86, "BR2_REPRODUCIBLE=y", "BR2_REPRODUCIBLE y", "not understood"),
    (ARM, "BR2_RELRO_FULL=y", "BR2_RELRO_FULL=y\nBR2_RELRO_FULL=y", "twice"),
    (X86, "hardening.config", "hardned.config", "is not there"),
    (X86, "6.12.104", "6.12.103", "no hash of linux-6.12.103"),
    (X86, "BR2_PACKAGE_HOST_LINUX_HEADERS_CUSTOM_6_12=y\n", "", "headers' series"),
    (X86, "loadenv ", "", "GRUB's modules"),
    ("buildroot/developer.config", "BR2_PACKAGE_STRACE=y", "strace", "not understood"),
    ("buildroot/kernel/hardening.config", "CONFIG_SECURITY=y", "CONFIG_SECURITY=y\nCONFIG_DM_VERITY=y", "by another file"),
    ("buildroot/kernel/x86_64.config", "CONFIG_SILICOM_PLATFORM=y", "", "CONFIG_SILICOM_PLATFORM is not in"),
    ("buildroot/external.desc", "SAPPHIRE_EDGE", "SAPPHIRE", "names the tree SAPPHIRE_EDGE"),
    ("buildroot/release", "commit 1", "commit x", "no commit"),
    ("buildroot/package/sapphire-edge/sapphire-edge.mk", "image/install-root", "image/install", "image/install is not there"),
    ("buildroot/patches/linux-headers/linux-headers.hash", "sha256  9", "sha256  ", "linux-headers.hash: no hash"),
    ("systemd/sapphire-edge.sysusers", "u sapphire-edge ", "u sapphire-edge - # ", "needs a number"),
    ("systemd/sapphire-edge.service", "ExecStart=", "ExecStartPre=/bin/sh -c true\nExecStart=", "needs a shell"),
)


def check(top):
    """The faults that no check found, and those that could not be planted because the file no longer says so."""
    problems = []
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder)
        for part in ("buildroot", "hw", "image", "systemd"):
            shutil.copytree(top / part, copy / part)
        # What is wrong already is reported once, by the check of our files.
        already = set(static.check(copy))
        for name, old, new, complaint in FAULTS:
            path = copy / name
            text = path.read_text()
            if old not in text:
                problems.append(f"{name} no longer says {old!r}: plant another fault")
                continue
            path.write_text(text.replace(old, new, 1))
            found = set(static.check(copy)) - already
            path.write_text(text)
            if not any(complaint in problem for problem in found):
                problems.append(f"{old!r} → {new!r} in {name} was not found")
    return problems
