"""An Azure Event Hubs namespace, with the token endpoint of Entra, that does what a test tells it. Settings come as the first line of the input, in JSON; every
further line is a command, answered with a line. Ports: AMQP over TLS, AMQP over WebSocket, and the token endpoint."""

import asyncio
import base64
import hashlib
import json
import ssl
import struct
import sys
import urllib.parse

from service import Service
from wire import Connection, Refused


class WebSocket:
    """The byte stream inside a WebSocket (RFC 6455), as a server sees it."""

    def __init__(self, reader, writer):
        self.inner, self.writer = reader, writer
        self.buffer = b""

    async def accept(self, service):
        head = (await self.inner.readuntil(b"\r\n\r\n")).decode()
        request, *lines = head.split("\r\n")
        fields = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines if line)}
        # Microsoft's client for Python still asks by the name of the draft.
        protocol = fields.get("sec-websocket-protocol")
        wanted = request.startswith("GET /$servicebus/websocket") and protocol in ("amqp", "AMQPWSB10")
        # With an endpoint of its own Microsoft's client names that one.
        if not wanted or fields.get("host", "").split(":")[0] not in (service.namespace, "localhost"):
            service.wrong.append(f"no WebSocket of Event Hubs: {request} {fields}")
            self.writer.write(b"HTTP/1.1 404 Not Found\r\n\r\n")
            return False
        text = fields["sec-websocket-key"] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
        proof = base64.b64encode(hashlib.sha1(text.encode()).digest()).decode()
        self.writer.write(
            f"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Protocol: {protocol}\r\nSec-WebSocket-Accept: {proof}\r\n\r\n".encode()
        )
        self.frame(9, b"are you there")
        return True

    def frame(self, code, data):
        size = len(data)
        head = bytes([0x80 | code]) + (
            bytes([size]) if size < 126 else struct.pack(">BH", 126, size) if size < 65536 else struct.pack(">BQ", 127, size))
        self.writer.write(head + data)

    async def readexactly(self, count):
        while len(self.buffer) < count:
            first, second = await self.inner.readexactly(2)
            size = second & 0x7F
            if size == 126:
                size = struct.unpack(">H", await self.inner.readexactly(2))[0]
            elif size == 127:
                size = struct.unpack(">Q", await self.inner.readexactly(8))[0]
            if not second & 0x80:
                raise ConnectionError("a frame is not masked")
            mask = await self.inner.readexactly(4)
            data = bytes(byte ^ mask[at % 4] for at, byte in enumerate(await self.inner.readexactly(size)))
            if first & 0xF in (0, 2):
                self.buffer += data
            elif first & 0xF == 8:
                raise asyncio.IncompleteReadError(b"", count)
        data, self.buffer = self.buffer[:count], self.buffer[count:]
        return data

    def write(self, data):
        self.frame(2, data)

    def is_closing(self):
        return self.writer.is_closing()

    async def drain(self):
        await self.writer.drain()

    def close(self):
        self.writer.close()


async def main():
    loop = asyncio.get_running_loop()
    lines = asyncio.StreamReader(limit=1 << 26)
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    settings = json.loads(await lines.readline())
    service = Service(settings)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(settings["cert"], settings["key"])

    async def amqp(reader, writer):
        connection = Connection(service, reader, writer)
        service.connections.add(connection)
        await connection.serve()

    async def web(reader, writer):
        socket = WebSocket(reader, writer)
        if await socket.accept(service):
            await amqp(socket, socket)
        else:
            writer.close()

    async def entra(reader, writer):
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        size = next(int(line.split(":")[1]) for line in head.split("\r\n") if line.lower().startswith("content-length"))
        code, answer = service.entra(head.split(" ")[:2], urllib.parse.parse_qs((await reader.readexactly(size)).decode()))
        body = json.dumps(answer).encode()
        writer.write(f"HTTP/1.1 {code} X\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode() + body)
        await writer.drain()
        writer.close()

    servers = [await asyncio.start_server(handler, "127.0.0.1", 0, ssl=context) for handler in (amqp, web, entra)]
    print(json.dumps([server.sockets[0].getsockname()[1] for server in servers]), flush=True)

    async def watch():
        while True:
            await asyncio.sleep(0.05)
            service.expire()
            for connection in list(service.connections):
                if loop.time() - connection.heard > service.idle / 1000 and not service.frozen:
                    service.wrong.append("a client was silent for longer than the idle time-out")
                    connection.close(Refused("amqp:resource-limit-exceeded", "idle"))
                    connection.writer.close()

    watcher = asyncio.create_task(watch())
    while line := await lines.readline():
        print(json.dumps(command(service, json.loads(line))), flush=True)
    watcher.cancel()


def command(service, said):
    do = said["do"]
    if do == "send":
        bodies = [base64.b64decode(body) for body in said["bodies"]]
        service.add(said["hub"], said["partition"], bodies, said.get("key"), said.get("kind", "data"))
    elif do == "fill":
        # Envelopes of numbered records, made here: a million of them would be long on the way.
        number = 0
        for _ in range(said["events"]):
            records = ",".join(f'{{"n":{number + at},"fill":"{"x" * said["size"]}"}}' for at in range(said["records"]))
            number += said["records"]
            service.add(said["hub"], said["partition"], [f'{{"records":[{records}]}}'.encode()])
    elif do == "trim":
        partition = service.hubs[said["hub"]].partitions[said["partition"]]
        gone = said["begin"] - partition.begin
        partition.events, partition.begin = partition.events[gone:], said["begin"]
    elif do == "renew":
        hub = service.hubs[said["hub"]]
        hub.created += 1000
        for partition in hub.partitions.values():
            partition.events, partition.begin = [], 0
    elif do == "fail_over":
        # A twin without its last events: the same hub, offsets that it never gave.
        for partition in service.hubs[said["hub"]].partitions.values():
            partition.base += 7
    elif do == "grow":
        hub = service.hubs[said["hub"]]
        hub.partitions[str(len(hub.partitions))] = type(next(iter(hub.partitions.values())))()
    elif do == "fault":
        service.faults.append(said)
    elif do == "policy":
        service.policies[said["policy"]] = said["key"]
    elif do == "detach":
        for readers in list(service.readers.values()):
            for reader in list(readers):
                if reader.link is not None:
                    refused = Refused(said["condition"], said.get("description", "a fault on demand"))
                    reader.link.session.connection.detach(reader.link, refused)
    elif do == "close":
        for connection in list(service.connections):
            connection.close(Refused(said["condition"], said.get("description", "a fault on demand")))
            connection.writer.close()
    elif do == "cut":
        for connection in list(service.connections):
            connection.writer.close()
    elif do == "steal":
        # Another reader, of which only its owner level is seen.
        from service import Reader

        key = (said["hub"], said["group"].lower(), said["partition"])
        service.compete(key, said["epoch"])
        service.readers[key] = [Reader(key, None, said["epoch"], 0)]
    elif do == "release":
        for key, readers in service.readers.items():
            service.readers[key] = [reader for reader in readers if reader.link is not None]
    elif do == "freeze":
        service.frozen = said["on"]
        if not service.frozen:
            service.pump_all()
    elif do == "expire":
        for connection in service.connections:
            connection.tokens = {audience: 0 for audience in connection.tokens}
    elif do == "lives":
        service.lives = said["seconds"]
    elif do == "idle":
        service.idle = said["ms"]
    return {
        "opens": service.opens, "refusals": service.refusals, "wrong": service.wrong, "attaches": service.attaches,
        "puts": service.puts, "accepted": service.accepted, "sent": service.sent, "credit": max(service.credits, default=0),
        "connections": len(service.connections), "readers": sum(len(readers) for readers in service.readers.values()),
        "unsettled": sum(len(session.unsettled) for c in service.connections for session in c.sessions.values()),
    }


asyncio.run(main())
