#!/bin/bash
# Measures start-up and `doctor --root` on the real Debian tree of the tests, beside the targets:  benches/doctor.sh
#
# Takes the static release build ($NOVACTL to measure another one). With hyperfine when it is there, else with a loop.
set -euo pipefail
cd "$(dirname "$0")/.."
target=x86_64-unknown-linux-gnu
novactl=${NOVACTL:-target/$target/release/novactl}
if [ -z "${NOVACTL:-}" ]; then
  cargo static --quiet
fi
tree=$(tests/lab/debian-tree.sh)

# Prints the mean time of a command in milliseconds; what it says and how it ends does not matter.
measure() {
  if command -v hyperfine >/dev/null; then
    hyperfine --shell=none --warmup 5 --min-runs 50 --ignore-failure --style none --output null \
      --export-json /dev/stderr "$1" 2>&1 >/dev/null | awk -F '[:,]' '/"mean"/ { printf "%.1f", $2 * 1000 }'
  else
    local runs=100 start end
    start=$(date +%s%N)
    for _ in $(seq "$runs"); do $1 >/dev/null || true; done
    end=$(date +%s%N)
    awk -v ns=$((end - start)) -v runs="$runs" 'BEGIN { printf "%.1f", ns / runs / 1e6 }'
  fi
}

row() { printf '%-34s %12s   %s\n' "$1" "$2" "$3"; }

row what measured target
row "novactl --version" "$(measure "$novactl --version") ms" "under 2 ms"
row "doctor --root (Debian 12)" "$(measure "$novactl doctor --root $tree") ms" "under 100 ms"
row "doctor --root, JSON" "$(measure "$novactl doctor --root $tree --format json") ms" "under 100 ms"
row "size of the program" "$(stat -c %s "$novactl") B" "under 6291456 B"
