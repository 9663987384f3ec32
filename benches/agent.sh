#!/usr/bin/env bash
# Measures the agent against a real xenstored with a guest's rights:  benches/agent.sh [BINARY [SECONDS]]
#
# The time from the host's write of `version` to its answer (target: under 5 ms), then memory and wake-ups of the idle
# agent over SECONDS (default 60): its safety net looks every 20 s, so 3 a minute are its own. Needs what
# tests/lab/xenstored.sh needs.
set -euo pipefail
cd "$(dirname "$0")/.."
binary=${1:-target/release/novactl}
seconds=${2:-60}
work=$(mktemp -d)
agent=
trap 'kill ${agent:-} 2>/dev/null || true; tests/lab/xenstored.sh stop "$work/store"; rm -rf "$work"' EXIT

tests/lab/xenstored.sh start c "$work/store"
tests/lab/xenstored.sh domu "$work/store" 7
mkdir -p "$work/root/etc" "$work/root/var/lib"
"$binary" agent run --root "$work/root" --xenstore "$work/store/domu-7.sock" 2>"$work/log" &
agent=$!

python3 - "$work/store/socket" <<'PYTHON'
import socket, statistics, struct, sys, time, uuid

READ, WATCH, WRITE, EVENT = 2, 4, 11, 15
store = socket.socket(socket.AF_UNIX)
store.connect(sys.argv[1])
home = "/local/domain/7/data"

def receive():
    head = b""
    while len(head) < 16:
        head += store.recv(16 - len(head))
    kind, _, _, length = struct.unpack("<4I", head)
    body = b""
    while len(body) < length:
        body += store.recv(length - len(body))
    return kind, body

def send(kind, *parts):
    body = b"".join(parts)
    store.sendall(struct.pack("<4I", kind, 0, 0, len(body)) + body)

send(WATCH, f"{home}/guest".encode(), b"\0", b"t\0")
times = []
# answers stay until the host has had time to look: more than 54 in two seconds would wait for room
for _ in range(50):
    name = str(uuid.uuid4())
    began = time.perf_counter()
    send(WRITE, f"{home}/host/{name}".encode(), b"\0", b'{"name": "version", "value": "agent"}')
    while True:
        kind, body = receive()
        if kind == EVENT and body.split(b"\0")[0].endswith(name.encode()):
            break
    times.append((time.perf_counter() - began) * 1000)
    # a host does not ask in bursts
    time.sleep(0.02)
times = sorted(times[5:])
print(f"version: median {statistics.median(times):.2f} ms, 95 % within {times[int(len(times) * .95)]:.2f} ms, "
      f"longest {times[-1]:.2f} ms, of {len(times)}")
PYTHON

# of all its threads; what it still tidies of the answers above belongs to them, not to idling
sleep 5
wakes() { cat /proc/"$agent"/task/*/status | awk '/^voluntary_ctxt/ { sum += $2 } END { print sum }'; }
ticks() { awk '{ print $14 + $15 }' "/proc/$agent/stat"; }
before=$(wakes) spent=$(ticks)
sleep "$seconds"
echo "idle for $seconds s: $(($(wakes) - before)) wake-ups, $(($(ticks) - spent)) ticks of CPU"
grep -E '^(VmRSS|RssAnon|Threads)' "/proc/$agent/status"
