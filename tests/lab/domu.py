#!/usr/bin/env python3
"""A guest without a hypervisor: `domu.py DIR ID` for a daemon that xenstored.sh started in DIR.

Makes /local/domain/ID as xl does, introduces the domain to the daemon with a ring in the file DIR/ring-ID, and
serves DIR/domu-ID.sock: whoever talks there has the rights, the quotas and the relative paths of that guest, as if
through the kernel's /dev/xen/xenbus. Clients share the one ring, so request ids and watch tokens are rewritten; the
watches of a client that goes are taken away, as the kernel does when its device is closed.
"""
import itertools
import mmap
import os
import select
import socket
import struct
import sys
import threading
import time

HEADER = struct.Struct("<IIII")  # type, request, transaction, length
SET_PERMS, INTRODUCE, MKDIR, WRITE, WATCH, UNWATCH, WATCH_EVENT, ERROR = 14, 8, 12, 11, 4, 5, 15, 16
PAYLOAD_MAX = 4096


class Daemon:
    """The daemon's socket, as dom0."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(path)

    def receive(self, count):
        data = b""
        while len(data) < count:
            chunk = self.socket.recv(count - len(data))
            if not chunk:
                raise EOFError("the daemon closed the connection")
            data += chunk
        return data

    def ask(self, kind, payload):
        self.socket.sendall(HEADER.pack(kind, 0, 0, len(payload)) + payload)
        answer, _, _, length = HEADER.unpack(self.receive(HEADER.size))
        reply = self.receive(length)
        if answer == ERROR:
            raise OSError(f"{kind} {payload}: {reply}")

    def write(self, path, value):
        self.ask(WRITE, path.encode() + b"\0" + value.encode())

    def make(self, path, *permissions):
        self.ask(MKDIR, path.encode() + b"\0")
        self.ask(SET_PERMS, b"".join(word.encode() + b"\0" for word in (path, *permissions)))


class Ring:
    """The guest's side of a shared page: two rings of 1024 bytes, then the indexes.

    Indexes are stored through a view of 32-bit words: struct.pack_into writes byte by byte, and the daemon takes a
    torn index for a broken guest.
    """

    SIZE = 1024
    REQUEST_CONSUMER, REQUEST_PRODUCER, REPLY_CONSUMER, REPLY_PRODUCER = range(512, 516)

    def __init__(self, directory, domain, port):
        self.port = port
        page = os.open(f"{directory}/ring-{domain}", os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
        os.ftruncate(page, 4096)
        self.page = mmap.mmap(page, 4096)
        self.index = memoryview(self.page).cast("I")
        self.events = os.open(f"{directory}/evtchn", os.O_RDWR)
        notify = f"{directory}/notify-{port}"
        if not os.path.exists(notify):
            os.mkfifo(notify, 0o600)
        self.notify = os.open(notify, os.O_RDWR | os.O_NONBLOCK)

    def signal(self):
        os.write(self.events, struct.pack("<I", self.port))

    def wait(self):
        select.select([self.notify], [], [], 0.05)
        try:
            os.read(self.notify, 4096)
        except BlockingIOError:
            pass

    def send(self, data):
        while data:
            produced, consumed = self.index[self.REQUEST_PRODUCER], self.index[self.REQUEST_CONSUMER]
            free = self.SIZE - ((produced - consumed) & 0xFFFFFFFF)
            start = produced % self.SIZE
            count = min(free, self.SIZE - start, len(data))
            if not count:
                self.signal()
                time.sleep(0.001)
                continue
            self.page[start : start + count] = data[:count]
            self.index[self.REQUEST_PRODUCER] = (produced + count) & 0xFFFFFFFF
            data = data[count:]
            self.signal()

    def receive(self, count):
        data = bytearray()
        while len(data) < count:
            produced, consumed = self.index[self.REPLY_PRODUCER], self.index[self.REPLY_CONSUMER]
            start = consumed % self.SIZE
            size = min((produced - consumed) & 0xFFFFFFFF, self.SIZE - start, count - len(data))
            if not size:
                self.wait()
                continue
            data += self.page[self.SIZE + start : self.SIZE + start + size]
            self.index[self.REPLY_CONSUMER] = (consumed + size) & 0xFFFFFFFF
            self.signal()
        return bytes(data)


def introduce(directory, domain):
    """Makes the domain's directories with xl's permissions and tells the daemon about it."""
    port = 10 + domain
    ring = Ring(directory, domain, port)  # first: permissions that name an unknown domain are dropped
    daemon = Daemon(f"{directory}/socket")
    home, reads, owns = f"/local/domain/{domain}", ("n0", f"r{domain}"), (f"n{domain}",)
    daemon.make(home, *reads)
    for name in ("control", "device", "vm-data"):
        daemon.make(f"{home}/{name}", *reads)
    for name in ("data", "drivers", "feature", "attr", "error", "control/shutdown"):
        daemon.make(f"{home}/{name}", *owns)
    daemon.make(f"/vm/lab-{domain}", *reads)
    daemon.write(f"{home}/vm", f"/vm/lab-{domain}")
    daemon.write(f"{home}/domid", str(domain))
    daemon.write(f"{home}/name", f"u{domain}")
    daemon.ask(INTRODUCE, f"{domain}\0001\000{port}\0".encode())
    return ring


class Server:
    """Shares one ring among the clients of a unix socket."""

    def __init__(self, ring):
        self.ring = ring
        self.lock = threading.Lock()
        self.clients = {}
        self.pending = {}
        self.watches = {}
        self.numbers = itertools.count(1)

    def answer_for_ever(self):
        while True:
            kind, request, transaction, length = HEADER.unpack(self.ring.receive(HEADER.size))
            payload = self.ring.receive(length)
            if kind == WATCH_EVENT:
                path, token = payload.split(b"\0")[:2]
                number, token = token.split(b":", 1)
                payload = path + b"\0" + token + b"\0"
                client = int(number)
            else:
                client, request = self.pending.pop(request)
            connection = self.clients.get(client)
            if connection is None:
                continue
            try:
                connection.sendall(HEADER.pack(kind, request, transaction, len(payload)) + payload)
            except OSError:
                pass  # this client has gone, the others have not

    def forward(self, client, header, payload):
        kind, request, transaction, _ = header
        with self.lock:
            number = next(self.numbers)
            self.pending[number] = client, request
            if kind in (WATCH, UNWATCH):
                watches = self.watches.setdefault(client, set())
                (watches.add if kind == WATCH else watches.discard)(payload)
                path, token = payload.split(b"\0")[:2]
                payload = path + b"\0" + b"%d:" % client + token + b"\0"
            self.ring.send(HEADER.pack(kind, number, transaction, len(payload)) + payload)

    def serve(self, client, connection):
        data = b""
        try:
            while chunk := connection.recv(8192):
                data += chunk
                while len(data) >= HEADER.size:
                    header = HEADER.unpack_from(data)
                    end = HEADER.size + header[3]
                    if header[3] > PAYLOAD_MAX:
                        return
                    if len(data) < end:
                        break
                    self.forward(client, header, data[HEADER.size : end])
                    data = data[end:]
        except OSError:
            pass
        finally:
            del self.clients[client]
            connection.close()
            for watch in self.watches.pop(client, set()).copy():
                self.forward(client, (UNWATCH, 0, 0, len(watch)), watch)
            self.watches.pop(client, None)


def main():
    directory, domain = sys.argv[1], int(sys.argv[2])
    server = Server(introduce(directory, domain))
    threading.Thread(target=server.answer_for_ever, daemon=True).start()
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(f"{directory}/domu-{domain}.sock")
    listener.listen(8)
    for client in itertools.count(1):
        connection, _ = listener.accept()
        server.clients[client] = connection
        threading.Thread(target=server.serve, args=(client, connection), daemon=True).start()


main()
