"""The operator of a fleet: an HTTPS server with a signed manifest and the bundles that it names.

The manifest's format is that of src/update/offer/manifest.rs: a line with an Ed25519 signature over the JSON that follows.
"""

import base64
import hashlib
import http.server
import json
import os
import pathlib
import re
import ssl
import subprocess
import threading
import time


class Operator:
    """Serves `/<compatible>.manifest` and bundles; the box reaches it as 10.0.2.2."""

    def __init__(self, folder, gateway, compatible="sapphire-edge-x86_64"):
        self.folder = pathlib.Path(folder, "operator")
        self.folder.mkdir()
        # Its public half is in the images.
        self.key = pathlib.Path(os.environ["IMAGES"], "manifest.key")
        self.compatible, self.files, self.serial = compatible, {}, 0
        #: When each path was first asked for.
        self.asked = {}
        operator = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                path = operator.files.get(self.path)
                operator.asked.setdefault(self.path, time.monotonic())
                if path is None:
                    self.send_error(404)
                    return
                size, first = path.stat().st_size, 0
                asked = re.match(r"bytes=(\d+)-", self.headers.get("Range", ""))
                if asked:
                    first = int(asked[1])
                self.send_response(206 if asked else 200)
                if asked:
                    self.send_header("Content-Range", f"bytes {first}-{size - 1}/{size}")
                self.send_header("Content-Length", str(size - first))
                self.end_headers()
                with path.open("rb") as file:
                    file.seek(first)
                    while block := file.read(1 << 18):
                        self.wfile.write(block)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(gateway.cert, gateway.key)
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def settings(self):
        """The box's `[update]` table; it looks every minute, the shortest that it takes."""
        return f"""
[update]
manifest = "https://10.0.2.2:{self.server.server_port}/{{compatible}}.manifest"
check_every = "1m"
settle = "5s"
patience = "5m"
[update.tls]
ca = "/var/lib/sapphire-edge/gateway.pem"
server_name = "gateway.test"
"""

    def offer(self, build):
        """Offers what tests/image/run has built under that name: `next`, `crashes` or `hangs`. Its version."""
        bundle = pathlib.Path(os.environ["IMAGES"], build, f"{self.compatible}.raucb")
        version = bundle.with_name("version").read_text().strip()
        self.serial += 1
        self.files[f"/{bundle.name}"] = bundle
        body = json.dumps({
            "serial": self.serial, "compatible": self.compatible, "version": version, "url": bundle.name,
            "size": bundle.stat().st_size, "sha256": hashlib.sha256(bundle.read_bytes()).hexdigest(), "not_after": "2099-01-01T00:00:00Z",
        }).encode()
        text, signature = self.folder / "body", self.folder / "signature"
        text.write_bytes(body)
        subprocess.run(["openssl", "pkeyutl", "-sign", "-rawin", "-inkey", self.key, "-in", text, "-out", signature], check=True)
        manifest = self.folder / f"{self.serial}.manifest"
        manifest.write_bytes(b"sapphire-update-1 " + base64.b64encode(signature.read_bytes()) + b"\n" + body)
        self.files[f"/{self.compatible}.manifest"] = manifest
        return version

    def close(self):
        self.server.shutdown()
        self.server.server_close()
