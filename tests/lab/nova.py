#!/usr/bin/env python3
"""nova's half of the key exchange: prime, base and pipe through openssl as in nova/virt/xenapi/agent.py.

nova.py public PRIVATE                       the host's public number
nova.py encrypt PRIVATE THEIRS DIGEST        the password from standard input, as the host sends it
"""
import subprocess
import sys

PRIME, BASE = 162259276829213363391578010288127, 5


def main():
    verb, private = sys.argv[1], int(sys.argv[2])
    if verb == "public":
        print(pow(BASE, private, PRIME))
        return
    theirs, digest = int(sys.argv[3]), sys.argv[4]
    shared = pow(theirs, private, PRIME)
    command = ["openssl", "aes-128-cbc", "-A", "-a", "-pass", f"pass:{shared}", "-nosalt", "-md", digest]
    clear = sys.stdin.buffer.read() + b"\n"
    done = subprocess.run(command, input=clear, stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=True)
    print(done.stdout.decode().strip())


main()
