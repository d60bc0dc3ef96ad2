"""One AMQP connection of the double: frames, sessions, links, credit and windows. What a client does wrong is kept in
`service.wrong` and ends its connection. Everything here follows OASIS AMQP 1.0 part 2; the service's own rules are in
`service`.

Frames are written with all their fields: azure-eventhub for Python takes fields by position and fails where trailing ones
are left out, which the standard allows."""

import asyncio
import struct

from values import (
    NULL, TRUE, FALSE, Described, Malformed, array, binary, boolean, described, int_, list_, map_, read, string, symbol,
    ubyte, uint, ushort,
)

OPEN, BEGIN, ATTACH, FLOW, TRANSFER, DISPOSITION, DETACH, END, CLOSE = range(0x10, 0x19)
MAX_FRAME = 65536


class Refused(Exception):
    """A link or connection is refused with a condition."""

    def __init__(self, condition, description):
        super().__init__(f"{condition}: {description}")
        self.condition, self.description = condition, description

    def encoded(self):
        return described(0x1D, list_(symbol(self.condition), string(self.description), NULL))


class Link:
    def __init__(self, session, handle, fields):
        self.session, self.handle = session, handle
        self.name, self.client_receives = fields[0], fields[2]
        self.source, self.target = fields[5].value if fields[5] else [], fields[6].value if fields[6] else []
        self.properties = (fields[13] if len(fields) > 13 else None) or {}
        self.credit = self.count = 0
        self.partial = b""
        self.reader = None
        self.is_open = True

    def address(self):
        side = self.source if self.client_receives else self.target
        return side[0] if side else None

    def reply_address(self):
        return self.target[0] if self.target else None


class Session:
    def __init__(self, connection, channel, fields):
        self.connection, self.channel = connection, channel
        self.window = fields[2]
        self.next_out = 0
        self.next_in = fields[1]
        self.links = {}
        self.unsettled = set()
        self.pending = 0

    def send(self, code, *fields, payload=b""):
        self.connection.send(self.channel, code, *fields, payload=payload)


class Connection:
    def __init__(self, service, reader, writer):
        self.service, self.reader, self.writer = service, reader, writer
        self.sessions = {}
        self.ended = set()
        self.peer_frame = 512
        self.has_cbs = set()
        self.tokens = {}
        self.is_open = False
        self.heard = asyncio.get_event_loop().time()

    async def serve(self):
        try:
            await self.handshake()
            while True:
                frame = await self.frame()
                if frame is None:
                    return
                self.take(*frame)
                await self.writer.drain()
        except Refused as refused:
            self.service.wrong.append(str(refused))
            self.close(refused)
        except Malformed as error:
            self.service.wrong.append(f"malformed: {error}")
            self.close(Refused("amqp:decode-error", str(error)))
        except (asyncio.IncompleteReadError, OSError):
            pass
        finally:
            for session in self.sessions.values():
                for link in session.links.values():
                    self.service.gone(link)
            self.service.connections.discard(self)
            self.writer.close()

    async def handshake(self):
        header = await self.reader.readexactly(8)
        if header != b"AMQP\x03\x01\x00\x00":
            self.writer.write(b"AMQP\x03\x01\x00\x00")
            raise Malformed(f"SASL was expected, not {header!r}")
        self.writer.write(header)
        mechanisms = array(0xB3, ["MSSBCBS", "PLAIN", "ANONYMOUS"])
        self.raw(1, 0, described(0x40, list_(mechanisms)))
        kind, _, body = await self.raw_frame()
        init, _ = read(body)
        if kind != 1 or init.descriptor != 0x41:
            raise Malformed("sasl-init was expected")
        good = self.service.sasl(str(init.value[0]), init.value[1] if len(init.value) > 1 else None)
        self.raw(1, 0, described(0x44, list_(ubyte(0 if good else 1), NULL)))
        if await self.reader.readexactly(8) != b"AMQP\x00\x01\x00\x00":
            raise Malformed("the AMQP header was expected")
        self.writer.write(b"AMQP\x00\x01\x00\x00")

    async def raw_frame(self):
        size, offset, kind, channel = struct.unpack(">IBBH", await self.reader.readexactly(8))
        if not 8 <= size <= MAX_FRAME or offset < 2:
            raise Malformed(f"a frame of {size} bytes")
        body = await self.reader.readexactly(size - 8)
        self.heard = asyncio.get_event_loop().time()
        return kind, channel, body[4 * offset - 8 :]

    async def frame(self):
        while True:
            kind, channel, body = await self.raw_frame()
            if kind != 0:
                raise Malformed("a SASL frame in the middle")
            if self.service.frozen:
                continue
            if body:
                performative, at = read(body)
                if performative.descriptor == CLOSE:
                    self.send(0, CLOSE, NULL)
                    return None
                return channel, performative.descriptor, performative.value, body[at:]

    def raw(self, kind, channel, body):
        self.writer.write(struct.pack(">IBBH", len(body) + 8, 2, kind, channel) + body)

    def send(self, channel, code, *fields, payload=b""):
        self.raw(0, channel, described(code, list_(*fields)) + payload)

    def close(self, refused):
        if self.is_open and not self.writer.is_closing():
            self.send(0, CLOSE, refused.encoded())

    def take(self, channel, code, fields, payload):
        if code == OPEN:
            self.opened(fields + [None] * (10 - len(fields)))
            return
        if not self.is_open:
            raise Malformed("open was expected")
        if code == BEGIN:
            self.sessions[channel] = Session(self, channel, fields)
            self.ended.discard(channel)
            self.send(channel, BEGIN, ushort(channel), uint(0), uint(5000), uint(5000), uint(255), NULL, NULL, NULL)
            return
        session = self.sessions.get(channel)
        if session is None and channel in self.ended:
            return
        if session is None:
            raise Malformed("a frame for a session that was not begun")
        fields = fields + [None] * (14 - len(fields))
        if code == END:
            for link in session.links.values():
                self.service.gone(link)
            del self.sessions[channel]
            self.ended.add(channel)
            self.send(channel, END, NULL)
        elif code == ATTACH:
            self.attach(session, fields)
        elif code == FLOW:
            self.flow(session, fields)
        elif code == TRANSFER:
            self.transfer(session, fields, payload)
        elif code == DISPOSITION:
            self.disposition(session, fields)
        elif code == DETACH:
            link = session.links.pop(fields[0], None)
            if link and link.is_open:
                self.service.gone(link)
                session.send(DETACH, uint(link.handle), boolean(fields[1]), NULL)

    def opened(self, fields):
        if fields[1] != self.service.namespace:
            raise Refused("amqp:not-found", f"the host name {fields[1]!r} is not this namespace")
        self.peer_frame = min(fields[2] or 4294967295, MAX_FRAME)
        self.is_open = True
        self.service.opens.append({"container": fields[0], "idle": fields[4]})
        self.send(
            0, OPEN, string("double"), NULL, uint(MAX_FRAME), ushort(4999), uint(self.service.idle), NULL, NULL, NULL, NULL,
            NULL,
        )

    def attach(self, session, fields):
        link = Link(session, fields[1], fields)
        session.links[link.handle] = link
        try:
            self.service.attach(self, link)
        except Refused as refused:
            self.service.refusals.append(str(refused))
            self.answer_attach(link, is_refused=True)
            link.is_open = False
            session.send(DETACH, uint(link.handle), TRUE, refused.encoded())
            return
        self.answer_attach(link)
        if not link.client_receives:
            self.grant(link)
        self.service.attached(link)

    def answer_attach(self, link, is_refused=False):
        def side(code, fields, width):
            address = NULL if not fields or fields[0] is None else string(fields[0])
            return described(code, list_(address, *[NULL] * (width - 1)))

        source, target = side(0x28, link.source, 11), side(0x29, link.target, 7)
        if is_refused:
            source, target = (NULL, target) if link.client_receives else (source, NULL)
        count = uint(0) if link.client_receives else NULL
        link.session.send(
            ATTACH, string(link.name), uint(link.handle), boolean(not link.client_receives), ubyte(2), ubyte(0), source,
            target, NULL, FALSE, count, described_max(), NULL, NULL, NULL,
        )

    def grant(self, link):
        session = link.session
        session.send(
            FLOW, uint(session.next_in), uint(5000), uint(session.next_out), uint(5000), uint(link.handle), uint(link.count),
            uint(100), NULL, FALSE, FALSE, NULL,
        )

    def flow(self, session, fields):
        session.window = ((fields[0] or 0) + fields[1] - session.next_out) & 0xFFFFFFFF
        link = session.links.get(fields[4]) if fields[4] is not None else None
        if link and link.is_open and link.client_receives:
            link.credit = ((fields[5] or 0) + fields[6] - link.count) & 0xFFFFFFFF
            if link.credit > 0x7FFFFFFF:
                link.credit = 0
            self.service.credits.append(link.credit)
        for link in session.links.values():
            self.service.pump(link)

    def transfer(self, session, fields, payload):
        session.next_in += 1
        link = session.links.get(fields[0])
        if link is None or link.client_receives:
            raise Malformed("a transfer on a link that takes none")
        link.partial += payload
        if fields[5]:
            return
        message, link.partial = link.partial, b""
        link.count += 1
        session.send(DISPOSITION, TRUE, uint(fields[1]), uint(fields[1]), TRUE, described(0x24, list_()), FALSE)
        self.grant(link)
        self.service.message(self, link, message)

    def disposition(self, session, fields):
        first, last = fields[1], fields[1] if fields[2] is None else fields[2]
        if fields[0] is not True:
            return
        if not isinstance(fields[4], Described) or fields[4].descriptor != 0x24:
            raise Refused("amqp:not-allowed", f"an event was not accepted but {fields[4]!r}")
        self.service.accepted += len([number for number in range(first, last + 1) if number in session.unsettled])
        session.unsettled.difference_update(range(first, last + 1))

    def deliver(self, link, message):
        """Sends a message, in as many frames as it needs. False if there is no credit or window for it."""
        session = link.session
        room = self.peer_frame - 512
        parts = [message[at : at + room] for at in range(0, len(message), room)] or [b""]
        if not link.is_open or link.credit == 0 or session.window < len(parts):
            return False
        number = session.pending
        session.pending += 1
        for at, part in enumerate(parts):
            session.send(
                TRANSFER, uint(link.handle), uint(number), binary(struct.pack(">I", number)), uint(0), FALSE,
                boolean(at + 1 < len(parts)), NULL, NULL, FALSE, FALSE, FALSE, payload=part,
            )
            session.next_out += 1
            session.window -= 1
        link.credit -= 1
        link.count += 1
        session.unsettled.add(number)
        return True

    def detach(self, link, refused):
        if link.is_open:
            link.is_open = False
            self.service.gone(link)
            link.session.send(DETACH, uint(link.handle), TRUE, refused.encoded())


def described_max():
    """max-message-size: some clients take none for zero."""
    return struct.pack(">BQ", 0x80, 1 << 20)


def reply(correlation, code, description, body, condition=None):
    """The message that answers a question."""
    about = [(string("status-code"), int_(code)), (string("status-description"), string(description))]
    if condition:
        about.append((string("error-condition"), symbol(condition)))
    properties = list_(*[NULL] * 5, correlation, *[NULL] * 7)
    return described(0x73, properties) + described(0x74, map_(about)) + described(0x77, body)
