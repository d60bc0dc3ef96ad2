"""Sends a file by libssh2's SCP. Arguments: port, user, key file, file, name on the far side."""
import os
import socket
import sys

from ssh2.session import Session

port, user, key, path, name = int(sys.argv[1]), sys.argv[2], sys.argv[3], sys.argv[4], sys.argv[5]
session = Session()
connection = socket.create_connection(("127.0.0.1", port))
session.handshake(connection)
session.userauth_publickey_fromfile(user, key)
size = os.stat(path).st_size
channel = session.scp_send64(name, 0o644, size, 0, 0)
with open(path, "rb") as file:
    while block := file.read(1 << 16):
        channel.write(block)
channel.send_eof()
channel.wait_eof()
channel.close()
channel.wait_closed()
print("status", channel.get_exit_status())
