"""What makes the double an event hub: tokens, properties, partitions with positions and retention, owner levels, and faults
on demand. Facts: Microsoft's AMQP protocol guide for Event Hubs, "Authenticate access using shared access signatures", "Event
Hubs Receiver Epoch"; what azure-eventhub for Python and JavaScript sends."""

import base64
import hashlib
import hmac
import re
import time
import urllib.parse
import uuid

from values import NULL, Described, array, boolean, described, int_, long, map_, sections, string, symbol, timestamp, ulong
from values import binary as binary_value
from wire import Refused, reply

SELECTOR = "apache.org:selector-filter:string"
SELECTOR_CODE = 0x0000468C00000004
EXPRESSION = re.compile(r"^amqp\.annotation\.x-opt-(offset|sequence-number|enqueued-time) *(>=?) *'([^']*)'$")
ADDRESS = re.compile(r"^(?:amqps://[^/]+/)?([^/]+)/consumergroups/([^/]+)/partitions/([^/]+)/?$", re.IGNORECASE)
STEP = 112


class Partition:
    def __init__(self):
        self.events, self.begin, self.base = [], 0, 4096

    def last(self):
        return self.begin + len(self.events) - 1

    def offset(self, sequence):
        return self.base + STEP * sequence


class Hub:
    def __init__(self, partitions, groups):
        self.partitions = {str(number): Partition() for number in range(partitions)}
        self.groups = groups
        self.created = int(time.time() * 1000)


class Reader:
    def __init__(self, key, link, epoch, position):
        self.key, self.link, self.epoch, self.position = key, link, epoch, position


class Service:
    def __init__(self, settings):
        self.namespace = settings["namespace"]
        self.policies = settings["policies"]
        self.hubs = {name: Hub(hub["partitions"], hub.get("groups", ["$Default"])) for name, hub in settings["hubs"].items()}
        self.jwt = settings.get("jwt")
        self.connections, self.readers = set(), {}
        self.opens, self.refusals, self.wrong, self.credits, self.attaches, self.puts = [], [], [], [], [], []
        self.faults = []
        self.accepted = self.sent = 0
        self.idle, self.frozen, self.now_ms = 120000, False, None
        self.lives = 3599

    # -- logging in

    def sasl(self, mechanism, response):
        if mechanism == "PLAIN":
            _, policy, key = response.split(b"\0")
            return self.policies.get(policy.decode()) == key.decode()
        return mechanism in ("ANONYMOUS", "MSSBCBS")

    def check(self, kind, token, audience):
        """The end of a token's validity; refused where it is not good for the audience."""
        if kind == "jwt":
            if self.jwt is None or token != self.jwt:
                raise Refused("401", "InvalidToken: the token's audience or signature is wrong")
            return time.time() + 3600
        if kind != "servicebus.windows.net:sastoken" or not token.startswith("SharedAccessSignature "):
            raise Refused("401", "MalformedToken: no shared access signature")
        parts = dict(part.split("=", 1) for part in token.split(" ", 1)[1].split("&"))
        resource, expiry, policy = parts["sr"], parts["se"], urllib.parse.unquote(parts["skn"])
        key = self.policies.get(policy)
        if key is None:
            raise Refused("401", f"InvalidSignature: there is no policy {policy}")
        wanted = hmac.new(key.encode(), f"{resource}\n{expiry}".encode(), hashlib.sha256).digest()
        if not hmac.compare_digest(base64.b64encode(wanted).decode(), urllib.parse.unquote(parts["sig"])):
            raise Refused("401", "InvalidSignature: the token has an invalid signature")
        if int(expiry) <= time.time():
            raise Refused("401", "ExpiredToken: the token is expired")
        covers, asked = path(urllib.parse.unquote(resource)), path(audience)
        if not asked.startswith(covers) or not asked.startswith(self.namespace.lower()):
            raise Refused("401", f"InvalidAudience: {covers} does not cover {asked}")
        return int(expiry)

    def may(self, connection, resource):
        """Whether a token covers a resource."""
        asked = path(f"sb://{self.namespace}/{resource}")
        good = [end for audience, end in connection.tokens.items() if asked.startswith(audience)]
        if not good or max(good) <= time.time():
            raise Refused("amqp:unauthorized-access", f"no valid token for {asked}. TrackingId:{uuid.uuid4()}")

    def entra(self, request, form):
        """The token endpoint, version 2."""
        one = {name: values[0] for name, values in form.items()}
        self.granted = getattr(self, "granted", 0)

        def refuse(code, error, number, text):
            self.refusals.append(f"AADSTS{number}: {text}")
            return code, {"error": error, "error_codes": [number], "error_description": f"AADSTS{number}: {text}"}

        if request != ["POST", "/contoso.example/oauth2/v2.0/token"]:
            return refuse(400, "invalid_request", 90002, f"there is no tenant at {request}")
        if one.get("client_id") != "the-client":
            return refuse(400, "unauthorized_client", 700016, "the application was not found")
        if one.get("client_secret") != "s~+cret/=":
            return refuse(401, "invalid_client", 7000215, "invalid client secret provided")
        wanted = {"grant_type": "client_credentials", "scope": "https://eventhubs.azure.net/.default"}
        if any(one.get(name) != value for name, value in wanted.items()) or "resource" in one:
            return refuse(400, "invalid_scope", 70011, f"{sorted(one)} is not right")
        self.granted += 1
        return 200, {"token_type": "Bearer", "expires_in": self.lives, "ext_expires_in": self.lives, "access_token": self.jwt}

    # -- links

    def attach(self, connection, link):
        address = link.address()
        self.fail("attach", address)
        if address in ("$cbs", "$management"):
            key = (address, link.client_receives)
            if address == "$cbs" and key in connection.has_cbs:
                raise Refused("amqp:not-allowed", "there is a $cbs link already")
            connection.has_cbs.add(key)
            return
        match = ADDRESS.match(address or "")
        if not link.client_receives or not match:
            raise Refused("amqp:not-found", f"there is nothing at {address!r}")
        name, group, partition = match.groups()
        hub = self.hubs.get(name)
        if hub is None:
            raise Refused("amqp:not-found", f"there is no event hub {name}")
        if group.lower() not in [known.lower() for known in hub.groups]:
            raise Refused("amqp:not-found", f"there is no consumer group {group}")
        if partition not in hub.partitions:
            raise Refused("com.microsoft:argument-out-of-range", f"there is no partition {partition}")
        self.may(connection, f"{name}/consumergroups/{group}/partitions/{partition}")
        position = self.position(hub.partitions[partition], link)
        epoch = link.properties.get("com.microsoft:epoch")
        key = (name, group.lower(), partition)
        self.compete(key, epoch)
        link.reader = Reader(key, link, epoch, position)
        self.readers.setdefault(key, []).append(link.reader)
        self.attaches.append({"address": address, "epoch": epoch, "position": position})

    def position(self, partition, link):
        filters = (link.source[7] if len(link.source) > 7 else None) or {}
        found = filters.get(SELECTOR)
        if found is None:
            return partition.begin
        if not isinstance(found, Described) or found.descriptor not in (SELECTOR, SELECTOR_CODE):
            raise Refused("amqp:invalid-field", "the selector filter is not described")
        match = EXPRESSION.match(found.value)
        if not match:
            raise Refused("com.microsoft:argument-error", f"the filter {found.value!r} is wrong")
        what, sign, value = match.groups()
        step = 0 if sign == ">=" else 1
        if what == "enqueued-time":
            late = [number for number, event in enumerate(partition.events) if event[1] + 1 - step > int(value)]
            return partition.begin + (late[0] if late else len(partition.events))
        if what == "sequence-number":
            return max(partition.begin, int(value) + step)
        if value == "@latest":
            return partition.last() + 1
        if value == "-1":
            return partition.begin
        last = partition.offset(partition.last()) if partition.last() >= 0 else -1
        if not value.lstrip("-").isdigit() or int(value) > last or (int(value) - partition.base) % STEP:
            raise Refused(
                "com.microsoft:argument-error",
                f"The supplied offset '{value}' is invalid. The last offset in the system is '{last}'",
            )
        return max(partition.begin, (int(value) - partition.base) // STEP + step)

    def compete(self, key, epoch):
        others = [reader for reader in self.readers.get(key, [])]
        owners = [reader for reader in others if reader.epoch is not None]
        if epoch is None:
            if owners:
                raise Refused(
                    "amqp:link:stolen",
                    f"At least one receiver for the endpoint is created with epoch of '{owners[0].epoch}', and so "
                    "non-epoch receiver is not allowed.",
                )
            if len(others) >= 5:
                raise Refused("amqp:resource-limit-exceeded", "Exceeded the maximum number of allowed receivers, which is 5.")
            return
        if owners and owners[0].epoch > epoch:
            raise Refused(
                "amqp:link:stolen",
                f"Receiver 'nil' with a higher epoch '{owners[0].epoch}' already exists. Receiver 'nil' with epoch {epoch} "
                "cannot be created.",
            )
        for reader in others:
            text = (
                f"New receiver 'nil' with higher epoch of '{epoch}' is created hence current receiver 'nil' with epoch "
                f"'{reader.epoch}' is getting disconnected."
            )
            if reader.link is not None:
                reader.link.session.connection.detach(reader.link, Refused("amqp:link:stolen", text))
        self.readers[key] = []

    def attached(self, link):
        self.pump(link)

    def gone(self, link):
        if link.reader:
            others = self.readers.get(link.reader.key, [])
            self.readers[link.reader.key] = [reader for reader in others if reader is not link.reader]
            link.reader = None

    # -- events

    def pump(self, link):
        reader = link.reader
        if reader is None or self.frozen:
            return
        partition = self.hubs[reader.key[0]].partitions[reader.key[2]]
        reader.position = max(reader.position, partition.begin)
        while reader.position <= partition.last():
            body, at, key = partition.events[reader.position - partition.begin]
            annotations = [
                (symbol("x-opt-sequence-number"), long(reader.position)),
                (symbol("x-opt-offset"), string(str(partition.offset(reader.position)))),
                (symbol("x-opt-enqueued-time"), timestamp(at)),
            ]
            if key is not None:
                annotations.append((symbol("x-opt-partition-key"), string(key)))
            message = described(0x72, map_(annotations)) + body
            if not link.session.connection.deliver(link, message):
                return
            reader.position += 1
            self.sent += 1

    def pump_all(self):
        for readers in list(self.readers.values()):
            for reader in list(readers):
                if reader.link is not None:
                    self.pump(reader.link)

    def add(self, hub, partition, bodies, key=None, kind="data"):
        at = self.now_ms or int(time.time() * 1000)
        for body in bodies:
            if kind == "data":
                encoded = described(0x75, binary_value(body))
            elif kind == "two":
                encoded = described(0x75, binary_value(body[:3])) + described(0x75, binary_value(body[3:]))
            elif kind == "value":
                encoded = described(0x77, string(body.decode()))
            else:
                encoded = described(0x77, NULL)
            self.hubs[hub].partitions[partition].events.append((encoded, at, key))
        self.pump_all()

    # -- questions

    def message(self, connection, link, payload):
        found = sections(payload)
        properties = found[0x73][0] + [None] * 13
        about = found[0x74][0]
        body = found.get(0x77, [None])[0]
        node = link.address()
        answer = self.put_token if node == "$cbs" else self.read
        try:
            code, description, value = answer(connection, about, body)
            condition = None
        except Refused as refused:
            self.refusals.append(str(refused))
            code, description, value, condition = int(refused.condition), refused.description, NULL, f"error:{refused.condition}"
        links = [other for session in connection.sessions.values() for other in session.links.values()]
        takers = [other for other in links if other.client_receives and other.address() == node]
        exact = [other for other in takers if properties[4] and other.reply_address() == properties[4]]
        if not takers:
            raise Refused("amqp:not-allowed", f"nobody takes answers of {node}")
        taker = (exact or takers)[0]
        identity = properties[0]
        encoded = b"\x98" + identity.bytes if isinstance(identity, uuid.UUID) else (
            string(identity) if isinstance(identity, str) else ulong(identity))
        if not connection.deliver(taker, reply(encoded, code, description, value, condition)):
            raise Refused("amqp:not-allowed", f"no credit for the answer of {node}")

    def put_token(self, connection, about, token):
        self.fail("token", about.get("name"))
        if about.get("operation") != "put-token":
            raise Refused("400", "operation must be put-token")
        audience = about["name"]
        end = self.check(about["type"], token, audience)
        hub = (path(audience).split("/") + [""])[1]
        if hub not in [name.lower() for name in self.hubs]:
            raise Refused("404", f"there is no event hub {hub}")
        connection.tokens[path(audience)] = end
        self.puts.append(audience)
        return 202, "Accepted", NULL

    def read(self, connection, about, _):
        self.fail("read", about.get("name"))
        name = about.get("name")
        hub = self.hubs.get(name)
        if about.get("operation") != "READ" or hub is None:
            raise Refused("404", f"there is no event hub {name}")
        if not any(audience.startswith(path(f"sb://{self.namespace}/{name}")) for audience in connection.tokens):
            raise Refused("401", "no token was put for this event hub")
        kind = about.get("type")
        if kind == "com.microsoft:eventhub":
            ids = list(hub.partitions)
            return 200, "OK", map_([
                (string("name"), string(name)), (string("type"), string(kind)), (string("created_at"), timestamp(hub.created)),
                (string("partition_count"), int_(len(ids))), (string("partition_ids"), array(0xB1, ids)),
            ])
        partition = hub.partitions.get(about.get("partition"))
        if kind != "com.microsoft:partition" or partition is None:
            raise Refused("404", f"there is no partition {about.get('partition')!r}")
        last = partition.last()
        at = partition.events[-1][1] if partition.events else 0
        return 200, "OK", map_([
            (string("name"), string(name)), (string("type"), string(kind)), (string("partition"), string(about["partition"])),
            (string("begin_sequence_number"), long(partition.begin)), (string("last_enqueued_sequence_number"), long(last)),
            (string("last_enqueued_offset"), string(str(partition.offset(last)) if last >= 0 else "-1")),
            (string("last_enqueued_time_utc"), timestamp(at)), (string("is_partition_empty"), boolean(not partition.events)),
            (string("last_enqueued_sequence_number_epoch"), int_(0)),
        ])

    # -- faults

    def fail(self, on, at):
        for fault in self.faults:
            if fault["on"] == on and fault["times"] > 0 and fault.get("at", "") in (at or ""):
                fault["times"] -= 1
                raise Refused(fault["condition"], fault.get("description", "a fault on demand"))

    def expire(self):
        """Drops links whose token has ended, as the service does."""
        for connection in list(self.connections):
            for session in list(connection.sessions.values()):
                for link in list(session.links.values()):
                    if link.reader:
                        name, group, partition = link.reader.key
                        try:
                            self.may(connection, f"{name}/consumergroups/{group}/partitions/{partition}")
                        except Refused as refused:
                            connection.detach(link, refused)


def path(audience):
    """An audience without its scheme, as tokens are compared."""
    return audience.split("://", 1)[-1].rstrip("/").lower()
