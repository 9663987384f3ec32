#!/bin/bash
# Measures `set-password --disk` and `fix-image --disk` on a raw image of 2 GiB with a real Debian 12 on it, beside the
# target and, where they are installed, virt-customize and virt-sysprep:  benches/disk.sh
#
# As root. Takes the static release build ($NOVACTL to measure another one). Every run starts from the same image.
set -euo pipefail
cd "$(dirname "$0")/.."
PATH=$PATH:/usr/sbin:/sbin
target=x86_64-unknown-linux-gnu
novactl=${NOVACTL:-target/$target/release/novactl}
if [ -z "${NOVACTL:-}" ]; then
  cargo static --quiet
fi
novactl=$(realpath "$novactl")
tree=$(tests/lab/debian-tree.sh)
work=$(mktemp -d "${NOVACTL_LAB:-target/lab}/bench.XXXXXX")
trap 'rm -rf "$work"' EXIT
truncate -s 2G "$work/fresh.img"
mkfs.ext4 -q -d "$tree" "$work/fresh.img"
sync -f "$work/fresh.img"

# Prints the median time of a command in seconds: runs, then the command, which finds a fresh image as disk.img.
measure() {
  local runs=$1 start end
  shift
  for _ in $(seq "$runs"); do
    cp --sparse=always "$work/fresh.img" "$work/disk.img"
    sync -f "$work/disk.img"
    start=$(date +%s%N)
    (cd "$work" && "$@" >/dev/null 2>&1) || true
    end=$(date +%s%N)
    echo $((end - start))
  done | sort -n | awk '{ all[NR] = $1 } END { printf "%.3f s", all[int((NR + 1) / 2)] / 1e9 }'
}

set_password() { echo 'a new Passw0rd' | "$novactl" set-password --disk disk.img --stdin --yes; }
fix_image() { "$novactl" fix-image --disk disk.img --yes; }
generalize() { "$novactl" fix-image --disk disk.img --generalize --yes; }
customize() { virt-customize -q -a disk.img --root-password password:x; }
sysprep() { virt-sysprep -q -a disk.img; }

row() { printf '%-34s %12s   %s\n' "$1" "$2" "$3"; }

row what measured target
row "set-password --disk" "$(measure 9 set_password)" "under 0.5 s"
row "fix-image --disk" "$(measure 9 fix_image)" "under 0.5 s"
row "fix-image --disk --generalize" "$(measure 9 generalize)" "under 0.5 s"
for tool in customize sysprep; do
  if command -v "virt-$tool" >/dev/null; then
    row "virt-$tool" "$(measure 1 "$tool")" "for comparison"
  else
    row "virt-$tool" "-" "not installed"
  fi
done
