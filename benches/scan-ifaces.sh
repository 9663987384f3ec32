#!/usr/bin/env bash
# scan-ifaces beside `ip -d -j address`, with 1 000 and 10 000 interfaces:  benches/scan-ifaces.sh
#
# Takes the static release build ($NOVACTL to measure another one). The links are veth pairs in a network namespace of their own,
# which goes away with the script. Needs root, iproute2 and hyperfine. The target: at most twice the time of ip.
set -euo pipefail
cd "$(dirname "$0")/.."
target=x86_64-unknown-linux-gnu
if [ -z "${NOVACTL:-}" ]; then
  cargo static --quiet
fi
novactl=$(realpath "${NOVACTL:-target/$target/release/novactl}")

[ -n "${IN_NAMESPACE:-}" ] ||
  exec env IN_NAMESPACE=1 NOVACTL="$novactl" unshare --net --mount --propagation private "$0"

mount -t sysfs sysfs /sys
# a duplicate address detection per link would still run while the programs do
echo 0 >/proc/sys/net/ipv6/conf/default/dad_transmits
made=0
for count in 1000 10000; do
  while [ "$made" -lt "$count" ]; do
    echo "link add a$made type veth peer name b$made"
    echo "address add 10.$((made / 65536)).$((made / 256 % 256)).$((made % 256))/32 dev a$made"
    made=$((made + 2))
  done | ip -batch -
  # the loop ran in a subshell
  made=$count
  echo "== $(ip -o link | wc -l) interfaces"
  hyperfine --shell none --warmup 2 --ignore-failure --style basic \
    --command-name scan-ifaces "$novactl scan-ifaces --format json" \
    --command-name ip "ip -d -j address"
done
