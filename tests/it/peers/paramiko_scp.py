"""Speaks the legacy SCP protocol by hand. Arguments: port, user, key file, what to play. Prints what the far end says."""
import sys
import time

import paramiko

port, user, key, play = int(sys.argv[1]), sys.argv[2], sys.argv[3], sys.argv[4]
client = paramiko.SSHClient()
client.set_missing_host_key_policy(paramiko.AutoAddPolicy())
client.connect("127.0.0.1", port, user, key_filename=key, look_for_keys=False, allow_agent=False)


def begin(command="scp -t /in"):
    channel = client.get_transport().open_session()
    channel.settimeout(60)
    channel.exec_command(command)
    return channel


def answer(channel):
    """One answer: its first byte, and its text."""
    first = channel.recv(1)
    text = b""
    while first not in (b"\0", b"") and not text.endswith(b"\n"):
        more = channel.recv(1)
        if not more:
            break
        text += more
    return (first[0] if first else -1), text.decode(errors="replace").strip()


def end(channel):
    channel.shutdown_write()
    while channel.recv(4096):
        pass
    return channel.recv_exit_status()


def send_file(channel, name, data, size=None, status=b"\0"):
    channel.sendall(b"C0644 %d %s\n" % (len(data) if size is None else size, name))
    code, text = answer(channel)
    if code != 0:
        return code, text
    channel.sendall(data + status)
    return answer(channel)


if play == "lines":
    # Each must be refused for good; after it the channel ends with status 1.
    for line in [b"C0644 -5 x\n", b"C0644 5x x\n", b"C0644 99999999999999999999 x\n", b"C0644 5 ../x\n",
                 b"C0644 5 /etc/passwd\n", b"C0644 5 ..\n", b"C0644 5 a\0b\n", b"C0644 5\n", b"X\n", b"\n",
                 b"E\n", b"D0755 0 sub\n", b"hello there\n", b"C0644 5 " + b"n" * 3000 + b"\n",
                 b"C0644 5 " + b"n" * 300 + b"\n", b"T1 2 3\n"]:
        channel = begin()
        assert answer(channel)[0] == 0
        channel.sendall(line)
        code, text = answer(channel)
        status = end(channel)
        assert code == 2 and status == 1, (line[:40], code, text, status)
    # Too large: refused, and the next one is taken.
    channel = begin()
    assert answer(channel)[0] == 0
    code, text = send_file(channel, b"huge", b"", size=1 << 50)
    assert code == 1 and "max_file" in text, (code, text)
    assert send_file(channel, b"small", b"after the huge one\n") == (0, "")
    assert end(channel) == 1
    for command in ["scp -f /in", "id", "scp -t /a /b", "sh -c 'scp -t x'"]:
        assert end(begin(command)) == 1, command
    print("good")
elif play == "status":
    # The sender could not read its file: it is not kept.
    channel = begin("scp -v -p -t -- '/in'")
    answer(channel)
    channel.sendall(b"T1709633730 0 1709633730 0\n")
    assert answer(channel)[0] == 0
    code, text = send_file(channel, b"bad", b"half\n\0\0\0", status=b"\1scp: /log/bad: file shrank\n")
    assert code == 1, (code, text)
    assert send_file(channel, b"empty", b"") == (0, "")
    assert send_file(channel, b"mail.@$1.s", b"good one\n") == (0, "")
    assert end(channel) == 1
    # Folders, a file whose last status never comes, and one that is not whole.
    channel = begin("scp -r -t .")
    answer(channel)
    channel.sendall(b"D0755 0 sub\n")
    assert answer(channel)[0] == 0
    assert send_file(channel, b"deep", b"deep one\n") == (0, "")
    channel.sendall(b"E\n")
    assert answer(channel)[0] == 0
    channel.sendall(b"C0644 9 unsure\n")
    assert answer(channel)[0] == 0
    channel.sendall(b"unsure 1\n")
    assert end(channel) == 0
    channel = begin()
    answer(channel)
    channel.sendall(b"C0644 9 short\n")
    assert answer(channel)[0] == 0
    channel.sendall(b"short 1\n")
    assert end(channel) == 1
    print("good")
elif play == "many":
    count = int(sys.argv[5])
    channel = begin()
    answer(channel)
    for number in range(count):
        result = send_file(channel, b"many.%d" % number, b"small file %d\n" % number)
        assert result == (0, ""), (number, result)
    assert end(channel) == 0
    print("good")
elif play == "hold":
    # Half of a file, then it waits until it is killed.
    channel = begin()
    answer(channel)
    channel.sendall(b"C0644 1000000 held\n")
    assert answer(channel)[0] == 0
    channel.sendall(b"x\n" * 250000)
    print("holding", flush=True)
    time.sleep(600)
elif play == "sftp":
    sftp = client.open_sftp()
    sftp.mkdir("/in")
    with sftp.open("/in/.temporary", "wb") as file:
        file.write(b"renamed one\n")
    sftp.posix_rename("/in/.temporary", "/in/final.log")
    assert sftp.stat("/in/final.log").st_size == 12
    assert sftp.listdir("/in") == ["final.log"], sftp.listdir("/in")
    for forbidden in [lambda: sftp.open("/in/final.log", "rb").read(), lambda: sftp.remove("/in/final.log"),
                      lambda: sftp.open("/etc/passwd", "rb").read(), lambda: sftp.open("/in/final.log", "ab"),
                      lambda: sftp.symlink("/etc/passwd", "/in/x"), lambda: sftp.rmdir("/in")]:
        try:
            forbidden()
        except (IOError, OSError):
            continue
        raise AssertionError("it was allowed")
    # Out of order, and over itself.
    with sftp.open("/in/../../order.log", "wb") as file:
        file.seek(6)
        file.write(b"second\n")
        file.seek(0)
        file.write(b"first\n")
    sftp.close()
    print("good")
elif play == "forward":
    transport = client.get_transport()
    for kind, destination in [("direct-tcpip", ("127.0.0.1", 22)), ("x11", None)]:
        try:
            transport.open_channel(kind, destination, ("127.0.0.1", 1))
        except paramiko.SSHException:
            continue
        raise AssertionError(kind)
    try:
        transport.request_port_forward("127.0.0.1", 0)
    except paramiko.SSHException:
        print("good")
