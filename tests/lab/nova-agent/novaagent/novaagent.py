"""What nova-agent 2.x does at its start and with a `version` request, and how it dies; written for the tests.

As the real one: a zip application that needs cryptography, a log line for each step, sd_notify when it is up, exit at
once where the provider is not Rackspace; a request is worked on first and removed last, so that one that kills the agent
is there again at its next start. It polls every 0.2 s, not every 10; LIVES in its environment says after how many
seconds it dies.
"""

import json
import os
import socket
import struct
import sys
import time

from novaagent import __version__
from novaagent.common import password  # noqa: F401  needs cryptography, as the real one

LIST, READ, WRITE, REMOVE, ERROR = 1, 2, 11, 13, 16


def log(text):
    with open("/var/log/nova-agent.log", "a") as file:
        stamp = time.strftime("%Y-%m-%d %H:%M:%S,000", time.gmtime())
        file.write(f"{stamp} [INFO ] {text}\n")


class Store:
    def __init__(self):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect("/run/xenstored/socket")

    def ask(self, kind, *parts):
        payload = b"\0".join(parts)
        self.socket.sendall(struct.pack("<4I", kind, 0, 0, len(payload)) + payload)
        kind, _, _, size = struct.unpack("<4I", self.socket.recv(16, socket.MSG_WAITALL))
        answer = self.socket.recv(size, socket.MSG_WAITALL) if size else b""
        return None if kind == ERROR else answer

    def list(self, path):
        answer = self.ask(LIST, path.encode() + b"\0")
        return [] if answer is None else [name.decode() for name in answer.split(b"\0") if name]

    def read(self, path):
        return self.ask(READ, path.encode() + b"\0")


def notify(text):
    address = os.environ.get("NOTIFY_SOCKET")
    if address:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as to:
            to.sendto(text, address.replace("@", "\0", 1))


def serve(store):
    for id in store.list("data/host"):
        request = json.loads(store.read(f"data/host/{id}"))
        log(f"Event: {id} -> {request['name']}")
        request["value"]
        answers = {"version": __version__, "features": "version,features"}
        answer = json.dumps({"message": answers[request["name"]], "returncode": "0"})
        log(f"Returning {answer}")
        store.ask(WRITE, f"data/guest/{id}".encode(), answer.encode())
        store.ask(REMOVE, f"data/host/{id}".encode() + b"\0")


def main():
    log("Agent is starting up")
    store = Store()
    provider = (store.read("vm-data/provider_data/provider") or b"None").decode()
    log(f"Provider: {provider}")
    if provider != "Rackspace":
        sys.exit("nova-agent is only for Rackspace")
    log("Sending notification startup is complete")
    notify(b"READY=1")
    end = time.monotonic() + float(os.environ.get("LIVES", "inf"))
    while time.monotonic() < end:
        serve(store)
        time.sleep(0.2)
