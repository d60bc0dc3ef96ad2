"""A gateway on timbersnake's decoder: prints its port, then each event as a line of JSON.

Arguments: certificate and key, or none for plain TCP.
"""

import asyncio
import json
import ssl
import struct
import sys

import timbersnake.server


class Gateway(timbersnake.server.Server):
    def json_frame_str(self, s, pos=0):
        sequence, size = struct.unpack("!II", s[pos : pos + 8])
        print(json.dumps(json.loads(s[pos + 8 : pos + 8 + size])), flush=True)
        return super().json_frame_str(s, pos)


async def main():
    context = None
    if len(sys.argv) > 2:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(sys.argv[1], sys.argv[2])
    gateway = Gateway("127.0.0.1", 0, ssl=context)
    server = await asyncio.start_server(gateway.handle_client_callback, "127.0.0.1", 0, ssl=context)
    print("port", server.sockets[0].getsockname()[1], flush=True)
    async with server:
        await server.serve_forever()


asyncio.run(main())
