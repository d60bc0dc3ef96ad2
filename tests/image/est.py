"""An enrolment server outside the box (EST, RFC 7030) with one secret that is good once. openssl reads the requests and signs.

tests/it/peers/est.rs is the strict one; this one is for a box that is watched from outside.
"""

import base64
import http.server
import pathlib
import ssl
import subprocess
import threading

from disk import run


def certs_only(certificate):
    message = run("openssl", "crl2pkcs7", "-nocrl", "-outform", "DER", "-certfile", certificate)
    return base64.encodebytes(message)


class Est:
    """The box reaches it as 10.0.2.2; its certificate is the gateway's."""

    def __init__(self, folder, gateway, name, secret):
        self.folder = pathlib.Path(folder, "est")
        self.folder.mkdir()
        self.given, self.asked = base64.b64encode(f"{name}:{secret}".encode()).decode(), []
        self.ca, self.key = self.folder / "ca.pem", self.folder / "ca.key"
        run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
            "-subj", "/CN=fleet CA", "-keyout", self.key, "-out", self.ca)
        est = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                self.say(certs_only(est.ca) if self.path == "/.well-known/est/cacerts" else None, 404)

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                is_known = self.headers.get("Authorization") == f"Basic {est.given}"
                est.asked.append((self.path, is_known))
                self.say(est.sign(body) if is_known and self.path == "/.well-known/est/simpleenroll" else None, 401)

            def say(self, body, otherwise):
                self.send_response(200 if body else otherwise)
                if body:
                    self.send_header("Content-Type", "application/pkcs7-mime; smime-type=certs-only")
                self.send_header("Content-Length", str(len(body or b"")))
                self.end_headers()
                self.wfile.write(body or b"")

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(gateway.cert, gateway.key)
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()

    def sign(self, body):
        request, extensions, out = (self.folder / name for name in ("request.der", "extensions", "certificate.pem"))
        request.write_bytes(base64.b64decode(body))
        # Also whether whoever asks has the key.
        run("openssl", "req", "-verify", "-noout", "-inform", "DER", "-in", request)
        extensions.write_text("basicConstraints=critical,CA:FALSE\nextendedKeyUsage=clientAuth\n")
        run("openssl", "x509", "-req", "-days", "2", "-CAcreateserial", "-CA", self.ca, "-CAkey", self.key, "-extfile", extensions,
            "-inform", "DER", "-in", request, "-out", out)
        self.given = "used"
        return certs_only(out)

    def subject(self):
        """Whom the certificate is for that was given out."""
        done = subprocess.run(["openssl", "x509", "-noout", "-subject", "-nameopt", "RFC2253", "-in", self.folder / "certificate.pem"],
                              capture_output=True, text=True, check=False)
        return done.stdout.strip()
