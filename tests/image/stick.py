"""USB sticks as people make them: a table of partitions, and a FAT file system in the first, with an enrolment file on it."""

import base64
import os
import pathlib
import subprocess
import tempfile

from disk import MIB, TOP, run

#: Where the file system begins, and how long it is.
FIRST, SIZE = MIB, 32


class Stick:
    def __init__(self, path, files):
        """`files`: name to text."""
        self.path = pathlib.Path(path)
        with tempfile.TemporaryDirectory() as folder:
            content, part = pathlib.Path(folder, "content"), pathlib.Path(folder, "part")
            content.mkdir()
            for name, text in files.items():
                (content / name).write_text(text)
            run(TOP / "image/make-vfat", part, SIZE, "STICK", "5EED0001", content, env={**os.environ, "SOURCE_DATE_EPOCH": "1780000000"})
            with self.path.open("wb") as disk:
                disk.truncate(FIRST + (SIZE + 1) * MIB)
            # 0700: what Windows and cameras write to.
            run("sgdisk", "-n", f"1:{FIRST // 512}:{(FIRST + SIZE * MIB) // 512 - 1}", "-t", "1:0700", self.path)
            run("dd", f"if={part}", f"of={self.path}", "bs=1M", f"seek={FIRST // MIB}", "conv=notrunc")

    def read(self, name):
        """A file of it, also while the box has it; empty where there is none."""
        done = subprocess.run(["mcopy", "-n", "-i", f"{self.path}@@{FIRST}", f"::{name}", "-"], capture_output=True, check=False)
        return done.stdout.decode(errors="replace")

    def remove(self, name):
        run("mdel", "-i", f"{self.path}@@{FIRST}", f"::{name}")

    def result(self):
        """What the box has written, as soon as it is whole: its last line is one of those about the page."""
        text = self.read("sapphire-edge-result.txt")
        return text if "\npage " in text else ""


def signed(text, key):
    """The file as a fleet's operator signs it (README)."""
    with tempfile.TemporaryDirectory() as folder:
        body, signature = pathlib.Path(folder, "body"), pathlib.Path(folder, "signature")
        body.write_text(text)
        run("openssl", "pkeyutl", "-sign", "-rawin", "-inkey", key, "-in", body, "-out", signature)
        return f"# sapphire-enrolment-1 {base64.b64encode(signature.read_bytes()).decode()}\n{text}"
