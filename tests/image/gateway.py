"""A gateway outside the box: Lumberjack v2 over TLS, which keeps what it acknowledged; and a sender of the same protocol.

Protocol: the Beats input's, frames `2W` (window), `2C` (compressed), `2J` (JSON event), `2A` (acknowledgement).
"""

import json
import pathlib
import socket
import ssl
import struct
import subprocess
import threading
import time
import zlib


def make_ca(folder, name="gateway.test"):
    """A CA, and a certificate for `name` that it signed; paths of CA, certificate and key."""
    folder = pathlib.Path(folder)
    ca, cert, key = (folder / f"gateway-{part}.pem" for part in ("ca", "cert", "key"))
    extensions = folder / "gateway.ext"
    extensions.write_text(f"basicConstraints=critical,CA:FALSE\nsubjectAltName=DNS:{name}\n")
    new = "openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes".split()
    sign = "openssl x509 -req -days 2 -CAcreateserial".split()
    for command in (
        [*new, "-x509", "-days", "2", "-subj", "/CN=test CA", "-keyout", folder / "ca.key", "-out", ca],
        [*new, "-subj", f"/CN={name}", "-keyout", key, "-out", folder / "gateway.csr"],
        [*sign, "-in", folder / "gateway.csr", "-CA", ca, "-CAkey", folder / "ca.key", "-extfile", extensions, "-out", cert],
    ):
        subprocess.run(command, check=True, capture_output=True)
    return ca, cert, key


def read_exactly(stream, count):
    data = stream.read(count)
    if len(data) != count:
        raise EOFError
    return data


class Gateway:
    """Listens on 127.0.0.1, which the box reaches as 10.0.2.2. While closed it refuses connections."""

    def __init__(self, folder):
        self.ca, self.cert, self.key = make_ca(folder)
        self.events, self.lock = [], threading.Lock()
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.listener, self.lines = None, set()

    def open(self, identity=None):
        """Serves; with another certificate and key where `identity` names them."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*(identity or (self.cert, self.key)))
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", self.port))
        listener.listen()
        self.listener = listener
        threading.Thread(target=self.accept, args=(listener, context), daemon=True).start()
        return self

    def close(self):
        if self.listener:
            self.listener.shutdown(socket.SHUT_RDWR)
            self.listener.close()
            self.listener = None
        for line in list(self.lines):
            try:
                line.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def accept(self, listener, context):
        while True:
            try:
                raw, _ = listener.accept()
            except OSError:
                return
            self.lines.add(raw)
            threading.Thread(target=self.serve, args=(raw, context), daemon=True).start()

    def serve(self, raw, context):
        try:
            with context.wrap_socket(raw, server_side=True) as line:
                self.lines.add(line)
                self.frames(line, line.makefile("rb"))
        except (OSError, EOFError):
            pass
        finally:
            self.lines.discard(raw)

    def frames(self, line, stream):
        window, taken = 0, []
        while True:
            kind = read_exactly(stream, 2)
            if kind == b"2W":
                window, taken = struct.unpack(">I", read_exactly(stream, 4))[0], []
            elif kind == b"2C":
                size = struct.unpack(">I", read_exactly(stream, 4))[0]
                taken += self.events_of(zlib.decompress(read_exactly(stream, size)))
            elif kind == b"2J":
                sequence, size = struct.unpack(">II", read_exactly(stream, 8))
                taken.append((sequence, read_exactly(stream, size)))
            else:
                raise AssertionError(f"the box sent a frame {kind!r}")
            if taken and len(taken) == window:
                with self.lock:
                    self.events += [json.loads(event) for _, event in taken]
                line.sendall(b"2A" + struct.pack(">I", taken[-1][0]))

    @staticmethod
    def events_of(data):
        found, at = [], 0
        while at < len(data):
            sequence, size = struct.unpack_from(">II", data, at + 2)
            found.append((sequence, data[at + 10 : at + 10 + size]))
            at += 10 + size
        return found

    def messages(self):
        """Message to the ids it came under."""
        with self.lock:
            found = {}
            for event in self.events:
                found.setdefault(event.get("message"), set()).add(event["@metadata"]["_id"])
            return found


class Sender:
    """A Beats agent: sends windows and knows which of its events were answered."""

    def __init__(self, port):
        self.line = socket.create_connection(("127.0.0.1", port), timeout=60)
        self.stream = self.line.makefile("rb")
        self.answered = []

    def close(self):
        self.stream.close()
        self.line.close()

    def window(self, messages):
        frames = b"".join(
            b"2J" + struct.pack(">II", number, len(event)) + event
            for number, event in enumerate((json.dumps({"message": m}).encode() for m in messages), 1)
        )
        self.line.sendall(b"2W" + struct.pack(">I", len(messages)) + frames)
        done = 0
        while done < len(messages):
            if read_exactly(self.stream, 2) != b"2A":
                raise AssertionError("no acknowledgement")
            done = struct.unpack(">I", read_exactly(self.stream, 4))[0]
        self.answered += messages


class Load:
    """Sends window after window until the line breaks; what was answered is in `answered`."""

    def __init__(self, port, name, window=100, text=lambda number: "x" * 200):
        self.answered, self.port, self.name, self.window, self.text = [], port, name, window, text
        self.last = time.monotonic()
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        number, sender = 0, Sender(self.port)
        try:
            while True:
                messages = [f"{self.name} event {n} {self.text(n)}" for n in range(number, number + self.window)]
                sender.window(messages)
                number += len(messages)
                self.answered += messages
                self.last = time.monotonic()
        except (OSError, EOFError):
            pass
        finally:
            sender.close()

    def waits(self, seconds):
        """Whether nothing was answered for so long, though signs of life may have come."""
        return time.monotonic() - self.last > seconds
