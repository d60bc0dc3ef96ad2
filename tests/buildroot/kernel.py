"""Has the kernel's own Kconfig make a .config of our fragments, and compares: a misspelt or impossible option shows."""

import re
import shutil
import subprocess
import tempfile
from pathlib import Path

import kconfig
import static

# The kernel's name of an architecture, and the compiler that its Kconfig asks what it can do.
MAKE = {"x86_64": ("x86_64", "x86_64-linux-gnu-"), "aarch64": ("arm64", "aarch64-linux-gnu-")}


def check(top, source, skipped):
    """Both architectures, each as Buildroot does it: files joined in order, then olddefconfig."""
    if not source:
        skipped.append("KERNEL_DIR names no kernel source")
        return []
    version = re.search(r"^VERSION = (\d+)\nPATCHLEVEL = (\d+)", Path(source, "Makefile").read_text(), re.M)
    values, _ = kconfig.read(static.defconfig(top, "x86_64").read_text())
    pinned = values["BR2_LINUX_KERNEL_CUSTOM_VERSION_VALUE"].strip('"')
    if not version or not pinned.startswith(f"{version[1]}.{version[2]}."):
        return [f"{source} is not of the series of {pinned}, which the defconfigs name"]
    problems = []
    for arch in static.ARCHES:
        name, cross = MAKE[arch]
        tools = [tool for tool in (f"{cross}gcc", "flex", "bison", "make") if not shutil.which(tool)]
        if tools:
            skipped.append(f"{arch}: {' and '.join(tools)} not installed")
            continue
        problems += [f"{arch}: {problem}" for problem in one(top, source, arch, [f"ARCH={name}", f"CROSS_COMPILE={cross}"])]
    return problems


def one(top, source, arch, arguments):
    """What the kernel makes of one architecture's fragments, against what they ask for."""
    asked, _ = static.kernel_options(top, arch)
    with tempfile.TemporaryDirectory() as out:
        config = Path(out, ".config")
        config.write_text("".join(path.read_text() for path in static.fragments(top, arch)))
        made = subprocess.run(
            ["make", "-s", "-C", source, f"O={out}", *arguments, "olddefconfig"], capture_output=True, text=True, check=False
        )
        if made.returncode != 0:
            return [f"olddefconfig failed: {made.stderr.strip()[-300:]}"]
        return kconfig.missing(asked, config.read_text())
