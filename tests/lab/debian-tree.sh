#!/bin/sh
# Makes the tree of a real Debian 12 and prints where it is:  tests/lab/debian-tree.sh
#
# It is made once, in ${NOVACTL_LAB:-target/lab}/debian-12 (about 300 MB, a minute, the network), and never changed:
# who wants a fault in it works on a copy (`cp -al` takes a second). Needs root, or user namespaces, and mmdebstrap.
# SOURCES names a file of apt sources or a mirror to use instead of the machine's own.
set -eu
cd "$(dirname "$0")/../.."
mkdir -p "${NOVACTL_LAB:-target/lab}"
lab=$(cd "${NOVACTL_LAB:-target/lab}" && pwd)
tree=$lab/debian-12
if [ ! -e "$tree/etc/debian_version" ]; then
  command -v mmdebstrap >/dev/null || { echo "no mmdebstrap" >&2; exit 3; }
  making=$(mktemp -d "$lab/making.XXXXXX")
  trap 'rm -rf "$making"' EXIT
  # none: mmdebstrap takes Debian's own
  sources=${SOURCES:-}
  [ -n "$sources" ] || [ ! -e /etc/apt/sources.list.d/debian.sources ] ||
    sources=/etc/apt/sources.list.d/debian.sources
  mmdebstrap --quiet --variant=minbase \
    --include=systemd,systemd-sysv,dbus,udev,kmod,ifupdown,iproute2,net-tools,cloud-init,python3,python3-cryptography,python3-yaml \
    --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
    --dpkgopt='path-exclude=/usr/share/man/*' \
    --customize-hook='rm -rf "$1"/var/cache/apt/* "$1"/var/lib/apt/lists/*' \
    --customize-hook='rm -rf "$1"/var/log/*; echo web01 >"$1"/etc/hostname; echo nameserver 69.20.0.164 >"$1"/etc/resolv.conf' \
    bookworm "$making/tree" ${sources:+"$sources"} >&2
  rm -rf "$making/tree"/dev/*
  chmod 755 "$making/tree"
  # whoever else made it meanwhile has made the same
  mv -T "$making/tree" "$tree" 2>/dev/null || [ -e "$tree/etc/debian_version" ]
fi
echo "$tree"
