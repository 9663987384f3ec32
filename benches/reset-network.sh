#!/usr/bin/env bash
# Time of a plan for 1, 10 and 100 NICs, for every back end:  benches/reset-network.sh
#
# Takes the static release build ($NOVACTL to measure another one). The disk and the host's data are made in a temporary
# directory; nothing is changed (--dry-run). Needs hyperfine.
set -euo pipefail
cd "$(dirname "$0")/.."
target=x86_64-unknown-linux-gnu
if [ -z "${NOVACTL:-}" ]; then
  cargo static --quiet
fi
novactl=$(realpath "${NOVACTL:-target/$target/release/novactl}")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/root/etc"
echo 'ID=debian' >"$work/root/etc/os-release"

for count in 1 10 100; do
  {
    printf '{"vm-data": {"networking": {'
    for number in $(seq "$count"); do
      [ "$number" = 1 ] || printf ', '
      ips="[{\\\"ip\\\": \\\"10.0.$number.7\\\", \\\"netmask\\\": \\\"255.255.255.0\\\", \\\"enabled\\\": \\\"1\\\"}]"
      printf '"52540000%04X": "{\\"label\\": \\"net%d\\", \\"ips\\": %s}"' "$number" "$number" "$ips"
    done
    printf '}}}\n'
  } >"$work/dump.json"
  for backend in netplan networkd keyfile ifcfg ifupdown; do
    hyperfine --shell none --warmup 2 --ignore-failure --style basic --command-name "$backend, $count NICs" \
      "$novactl reset-network --dry-run --root $work/root --xenstore $work/dump.json --backend $backend"
  done
done
