"""Checks of our own files, which need nothing else: they parse, agree with each other, and name only what is there."""

import re
import tomllib

import kconfig

ARCHES = ("x86_64", "aarch64")
# What both makers must agree on is written twice only because Kconfig cannot read a file; here they are held together.
MODULES = "BR2_TARGET_GRUB2_BUILTIN_MODULES_EFI"
FRAGMENTS = ("BR2_LINUX_KERNEL_CUSTOM_CONFIG_FILE", "BR2_LINUX_KERNEL_CONFIG_FRAGMENT_FILES")


def defconfig(top, arch):
    """Path of an architecture's defconfig."""
    return top / f"buildroot/configs/sapphire_edge_{arch}_defconfig"


def fragments(top, arch):
    """The kernel's configuration files, in the order in which Buildroot merges them."""
    values, _ = kconfig.read(defconfig(top, arch).read_text())
    named = " ".join(values.get(symbol) or "" for symbol in FRAGMENTS)
    files = [top / "buildroot" / name for name in re.findall(r"_PATH\)/([\w./-]+)", named)]
    return [path for path in files if path.exists()]  # `paths` reports the others


def kernel_options(top, arch):
    """Everything that the fragments ask of the kernel, later ones over earlier ones, and what is wrong with them."""
    asked, problems = {}, []
    for path in fragments(top, arch):
        values, wrong = kconfig.read(path.read_text())
        problems += [f"{path.name}: {problem}" for problem in wrong]
        problems += [f"{path.name}: {symbol} is asked for before, by another file" for symbol in values if symbol in asked]
        asked |= values
    return asked, problems


def check(top):
    """Everything below, in the order of the files."""
    problems = []
    for part in (configs, kernels, paths, hashes, release, boot_loader, account, no_shell, boards):
        problems += part(top)
    return problems


def configs(top):
    """Both defconfigs and the developer's fragment parse, and the two differ only in what an architecture must differ in."""
    problems, common = [], []
    for arch in ARCHES:
        values, wrong = kconfig.read(defconfig(top, arch).read_text())
        problems += [f"{arch} defconfig: {problem}" for problem in wrong]
        differ = re.compile(r"BR2_(x86_64|aarch64|LINUX_KERNEL_(BZIMAGE|IMAGE|NEEDS_\w+|CONFIG_FRAGMENT_FILES)|TARGET_GRUB2_\w+_EFI)")
        common.append({symbol: value for symbol, value in values.items() if not differ.fullmatch(symbol) or symbol == MODULES})
    for symbol in sorted(common[0].keys() | common[1].keys()):
        if any(symbol not in values for values in common) or common[0][symbol] != common[1][symbol]:
            problems.append(f"the defconfigs differ in {symbol}")
    _, wrong = kconfig.read((top / "buildroot/developer.config").read_text())
    return problems + [f"developer.config: {problem}" for problem in wrong]


def kernels(top):
    """The kernel's fragments parse and none asks for what another asks for."""
    return [f"{arch}: {problem}" for arch in ARCHES for problem in kernel_options(top, arch)[1]]


def paths(top):
    """Every file that a file of ours names is there, and nobody names a place of one machine."""
    tree, problems = top / "buildroot", []
    name = re.search(r"^name: (\w+)$", (tree / "external.desc").read_text(), re.M)
    if not name:
        return ["external.desc: no name"]
    for path in sorted(p for p in tree.rglob("*") if p.is_file()):
        text, inside = path.read_text(), path.relative_to(tree)
        for external, named in re.findall(r"\$[({]?BR2_EXTERNAL_(\w+)_PATH[)}]?/?([\w./-]*)", text):
            if external != name.group(1):
                problems.append(f"{inside}: names the tree {external}, which is {name.group(1)}")
            elif not (tree / named).exists():
                problems.append(f"{inside}: {named} is not there")
        for named in re.findall(r"\$\(SAPPHIRE_EDGE_TOP\)/([\w./-]+)", text):
            if not (top / named).exists():
                problems.append(f"{inside}: {named} is not there")
        for place in re.findall(r"[\"= ](/(?:home|work|root|opt|mnt|srv)/\S+)", text):
            problems.append(f"{inside}: {place} is a place of one machine")
    return problems


def hashes(top):
    """The kernel is pinned to a version whose hash is known, for the kernel and for its headers."""
    values, _ = kconfig.read(defconfig(top, ARCHES[0]).read_text())
    version = (values.get("BR2_LINUX_KERNEL_CUSTOM_VERSION_VALUE") or "").strip('"')
    problems = []
    for package in ("linux", "linux-headers"):
        text = (top / f"buildroot/patches/{package}/{package}.hash").read_text()
        if not re.search(rf"^sha256  [0-9a-f]{{64}}  linux-{re.escape(version)}\.tar\.xz$", text, re.M):
            problems.append(f"patches/{package}/{package}.hash: no hash of linux-{version}.tar.xz")
    series = "_".join(version.split(".")[:2])
    if values.get(f"BR2_PACKAGE_HOST_LINUX_HEADERS_CUSTOM_{series}") != "y":
        problems.append(f"the headers' series is not said (BR2_PACKAGE_HOST_LINUX_HEADERS_CUSTOM_{series}), so glibc would be dropped")
    return problems


def release(top):
    """Buildroot's release is pinned by tag and commit."""
    text = (top / "buildroot/release").read_text()
    wanted = {"tag": r"\d{4}\.\d{2}(\.\d+)?", "commit": r"[0-9a-f]{40}"}
    return [f"release: no {key}" for key, form in wanted.items() if not re.search(rf"^{key} {form}$", text, re.M)]


def boot_loader(top):
    """GRUB has the modules that the image's configuration of it was written and tested with."""
    text = "".join(line for line in (top / "image/boot/modules").read_text().splitlines(True) if not line.startswith("#"))
    problems = []
    for arch in ARCHES:
        values, _ = kconfig.read(defconfig(top, arch).read_text())
        if (values.get(MODULES) or "").strip('"').split() != text.split():
            problems.append(f"{arch} defconfig: GRUB's modules are not those of image/boot/modules")
    return problems


def account(top):
    """The program's user has a fixed number: it owns the data partition, which outlives every version."""
    text = (top / "systemd/sapphire-edge.sysusers").read_text()
    match = re.search(r"^u sapphire-edge (\d+)[: ]", text, re.M)
    # Below 1000: a system account. From 100 on: what Buildroot gives out by itself, so it sees that this one is taken.
    if not match or not 100 <= int(match.group(1)) <= 999:
        return ["systemd/sapphire-edge.sysusers: the user needs a number from 100 to 999, or an update may change who owns the data"]
    return []


def no_shell(top):
    """No unit asks for a shell: the shipped root has none."""
    problems = []
    for path in sorted((top / "systemd").rglob("*")):
        if path.is_file():
            for line in path.read_text().splitlines():
                if re.match(r"Exec\w+=[-@:+!]*\S*\b(sh|bash|dash|busybox|env|python3?)\b", line):
                    problems.append(f"systemd/{path.name}: {line} needs a shell")
    return problems


def boards(top):
    """Every kernel option that a board's profile needs is built into the kernels of its architectures."""
    problems, found = [], sorted(top.glob("hw/*/profile.toml"))
    options = {arch: kernel_options(top, arch)[0] for arch in ARCHES}
    for path in found:
        profile = tomllib.loads(path.read_text())
        for option in profile["kernel"]:
            if options[profile["arch"]].get(f"CONFIG_{option}") != "y":
                problems.append(f"hw/{path.parent.name}: CONFIG_{option} is not in the {profile['arch']} kernel")
    return problems or ([] if found else ["hw: no profiles found"])
