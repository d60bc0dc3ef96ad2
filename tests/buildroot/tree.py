"""Asks Buildroot's own tree what it makes of ours: configuration, packages, hashes, style, and the package's own steps."""

import json
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

import kconfig
import static

# Packages without which the image would not be the appliance, whatever else the configuration says.
NEEDED = {"sapphire-edge", "systemd", "rauc", "nftables", "grub2", "linux", "glibc", "e2fsprogs", "ca-certificates", "rootfs-squashfs"}
# Packages that the shipped image must not have: compilers, interpreters, package managers, shells, remote logins.
UNWANTED = {"busybox", "bash", "dash", "gcc-target", "python3", "perl", "opkg", "openssh", "dropbear", "sudo", "gdb", "strace"}


def check(top, source, skipped):
    """Everything that runs in Buildroot's tree; its output goes to a folder that is removed again."""
    if not source:
        skipped.append("BUILDROOT_DIR names no Buildroot tree")
        return []
    source = Path(source).resolve()
    pinned = re.search(r"^tag (\S+)$", (top / "buildroot/release").read_text(), re.M)[1]
    is_version = re.search(r"^export BR2_VERSION := (\S+)$", (source / "Makefile").read_text(), re.M)
    if not is_version or is_version[1] != pinned:
        return [f"{source} is Buildroot {is_version and is_version[1]}, and buildroot/release names {pinned}"]
    problems = style(top, source, skipped)
    for arch in static.ARCHES:
        with tempfile.TemporaryDirectory() as out:
            maker = Make(source, top / "buildroot", out)
            problems += [f"{arch}: {problem}" for problem in one(top, maker, arch, skipped)]
    return problems


class Make:
    """Buildroot's make with one output folder; never two at once in it."""

    def __init__(self, source, external, out):
        self.source, self.out = source, Path(out)
        self.base = ["make", "-s", "-C", str(source), f"O={out}", f"BR2_EXTERNAL={external}"]

    def run(self, *arguments):
        """Exit code, what was printed, and what was complained about."""
        environment = {key: value for key, value in os.environ.items() if not key.startswith(("BR2_", "SAPPHIRE_EDGE_", "MAKE"))}
        done = subprocess.run([*self.base, *arguments], capture_output=True, text=True, check=False, env=environment)
        return done.returncode, done.stdout, done.stderr

    def config(self, text):
        """Has `text` made into a .config, and what was asked for compared with it."""
        file = self.out / "asked"
        file.write_text(text)
        code, _, errors = self.run(f"BR2_DEFCONFIG={file}", "defconfig")
        if code != 0:
            return [f"defconfig failed: {errors.strip()[-300:]}"]
        return kconfig.missing(kconfig.read(text)[0], (self.out / ".config").read_text())


def one(top, maker, arch, skipped):
    """One architecture: the developer's variant first, so that what ships is what the later checks see."""
    shipped = static.defconfig(top, arch).read_text()
    developer = kconfig.read((top / "buildroot/developer.config").read_text())[0]
    merged = kconfig.read(shipped)[0] | developer
    text = "".join(f"{symbol}={value}\n" if value is not None else f"# {symbol} is not set\n" for symbol, value in merged.items())
    problems = [f"developer: {problem}" for problem in maker.config(text)]
    # The bug that this comparison is for: the tool-chain's headers not named, and half the system silently gone.
    broken = re.sub(r"BR2_PACKAGE_HOST_LINUX_HEADERS_CUSTOM_\w+=y\n", "", shipped)
    if not any("BR2_INIT_SYSTEMD" in problem for problem in maker.config(broken + "BR2_INIT_SYSTEMD=y\n")):
        problems.append("a configuration without its headers' series was not found to have lost systemd")
    problems += maker.config(shipped)
    for part in (packages, graph, early_errors, installs):
        problems += part(top, maker, arch, skipped)
    return problems


def packages(top, maker, _arch, _skipped):
    """What is built: all that is needed, nothing that is unwanted, no source without a known hash."""
    code, out, errors = maker.run("show-targets")
    targets = set(out.split())
    if code != 0:
        return [f"show-targets failed: {errors.strip()[-300:]}"]
    problems = [f"{name} is not built" for name in sorted(NEEDED - targets)] + [f"{name} is built" for name in sorted(UNWANTED & targets)]
    code, out, errors = maker.run("show-info")
    if code != 0:
        return problems + [f"show-info failed: {errors.strip()[-300:]}"]
    info = json.loads(out)
    version = re.search(r'^version = "(.*)"$', (top / "Cargo.toml").read_text(), re.M)[1]
    if info["sapphire-edge"]["version"] != version:
        problems.append(f"sapphire-edge has the version {info['sapphire-edge']['version']}, and Cargo.toml says {version}")
    for name, package in sorted(info.items()):
        known = "".join(path.read_text() for path in (maker.source / file for file in package.get("hashes", [])) if path.exists())
        for download in package.get("downloads", []):
            if not re.search(rf"^sha(256|512)\s+[0-9a-f]+\s+{re.escape(download['source'])}$", known, re.M):
                problems.append(f"{name}: no hash of {download['source']}")
    return problems


def graph(_top, maker, _arch, skipped):
    """No circle among the packages, and each is found."""
    if not shutil.which("dot"):
        skipped.append("graph-depends: dot (graphviz) not installed")
        return []
    code, _, errors = maker.run("graph-depends")
    return [] if code == 0 and (maker.out / "graphs/graph-depends.pdf").exists() else [f"graph-depends: {errors.strip()[-300:]}"]


def early_errors(_top, maker, _arch, _skipped):
    """A build without its program, its keyring, or with a path that is wrong stops before anything is built, and says why."""
    problems = []
    for arguments, words in (
        ((), "build the program with cargo, then name it"),
        (("SAPPHIRE_EDGE_PROGRAM=/bin/true",), "name the certificate that updates are checked against"),
        (("SAPPHIRE_EDGE_PROGRAM=/no/such", "SAPPHIRE_EDGE_KEYRING=/bin/true"), "SAPPHIRE_EDGE_PROGRAM=/no/such does not exist"),
    ):
        code, _, errors = maker.run(*arguments, "all")
        if code == 0 or words not in errors:
            problems.append(f"make {' '.join(arguments)} did not say {words!r}: {errors.strip()[-200:]}")
    return problems


def installs(top, maker, arch, _skipped):
    """The package's own steps run and leave the appliance's files, the program among them, in the target folder."""
    program = maker.out / "program"
    program.write_text("a program of our own")
    code, _, errors = maker.run(
        f"SAPPHIRE_EDGE_PROGRAM={program}",
        f"SAPPHIRE_EDGE_KEYRING={program}",
        # The tool-chain and what else would be built first, which wants sources from the network.
        "SAPPHIRE_EDGE_DEPENDENCIES=",
        "SAPPHIRE_EDGE_ADD_TOOLCHAIN_DEPENDENCY=NO",
        "SAPPHIRE_EDGE_ADD_SKELETON_DEPENDENCY=NO",
        "BR2_TAR_HOST_DEPENDENCY=",
        "sapphire-edge",
    )
    if code != 0:
        return [f"installing the package failed: {errors.strip()[-300:]}"]
    target = maker.out / "target"
    problems = [
        f"the package did not install {name}"
        for name in ("usr/lib/systemd/system/sapphire-edge.service", "etc/rauc/system.conf", "etc/rauc/keyring.pem", "usr/lib/os-release")
        if not (target / name).is_file()
    ]
    released = target / "usr/lib/os-release"
    if released.is_file() and f"SUPPORT_END={(top / 'image/support-end').read_text().strip()}\n" not in released.read_text():
        problems.append("usr/lib/os-release does not say when support ends")
    if not (target / "usr/bin/sapphire-edge").exists() or (target / "usr/bin/sapphire-edge").read_bytes() != program.read_bytes():
        problems.append("the package did not install the program that was named")
    if f"sapphire-edge-{arch}" not in (target / "etc/rauc/system.conf").read_text():
        problems.append(f"etc/rauc/system.conf is not that of {arch}")
    return problems


def style(top, source, skipped):
    """Buildroot's own judge of style, over every file of ours."""
    missing = [module for module in ("magic",) if subprocess.run(["/usr/bin/python3", "-c", f"import {module}"], check=False, capture_output=True).returncode]
    if missing or not shutil.which("flake8"):
        skipped.append("check-package: python3-magic or flake8 not installed")
        return []
    files = [str(path) for path in sorted((top / "buildroot").rglob("*")) if path.is_file()]
    done = subprocess.run(
        ["/usr/bin/python3", str(source / "utils/check-package"), "-b", *files], capture_output=True, text=True, check=False, cwd=source
    )
    return [] if done.returncode == 0 else [f"check-package: {line}" for line in done.stdout.splitlines()]
