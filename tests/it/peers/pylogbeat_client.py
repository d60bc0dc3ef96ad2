"""Sends batches of different sizes over one connection with pylogbeat and says when each was acknowledged.

Arguments: port, CA file or "-" for plain TCP, sizes of the batches.
"""

import sys

from pylogbeat import PyLogBeatClient

port, ca, sizes = int(sys.argv[1]), sys.argv[2], [int(size) for size in sys.argv[3:]]
is_tls = ca != "-"
client = PyLogBeatClient(
    "127.0.0.1", port, timeout=30, ssl_enable=is_tls, ssl_verify=is_tls, ca_certs=ca if is_tls else None
)
number = 0
with client:
    for size in sizes:
        events = []
        for _ in range(size):
            number += 1
            message = f"pylogbeat event {number} \u00e4\u4e16"
            events.append({"@timestamp": "2026-11-24T10:00:00.000Z", "message": message, "fields": {"n": number}})
        client.send(events)
        print("acknowledged", size, flush=True)
