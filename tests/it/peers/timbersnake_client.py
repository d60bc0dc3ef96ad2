"""Sends events with timbersnake, whose windows are always announced as three events and numbered from zero.

Arguments: port, version ("1" or "2"), compression level, number of events.
"""

import asyncio
import struct
import sys

from timbersnake.client import Client

port, version, level, count = int(sys.argv[1]), sys.argv[2].encode(), int(sys.argv[3]), int(sys.argv[4])


def data_frame(event, sequence):
    """Version 1's key-value frame, which timbersnake itself leaves out."""
    frame = struct.pack("!ccII", b"1", b"D", sequence, len(event))
    for key, value in event.items():
        key, value = key.encode(), value.encode()
        frame += struct.pack("!I", len(key)) + key + struct.pack("!I", len(value)) + value
    return frame


async def main():
    client = Client("127.0.0.1", port, version=version, compression_level=level)
    if version == b"1":
        client.pack_data_frame_fn = data_frame
    events = ({"message": f"timbersnake event {number}"} for number in range(count))
    try:
        await asyncio.wait_for(client.send(events), 20)
        print("acknowledged")
    except (asyncio.IncompleteReadError, ConnectionError) as error:
        print("refused", type(error).__name__)


asyncio.run(main())
