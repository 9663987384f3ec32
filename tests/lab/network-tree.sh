#!/bin/sh
# Makes a Debian 12 tree with every reader of network configuration that Debian has, and prints where it is:
#   tests/lab/network-tree.sh
#
# netctl is unpacked in its place, and ifupdown-ng below /opt: installed they would drive others out.
# It is made once, in ${NOVACTL_LAB:-target/lab}/network-tree-2 (about 350 MB, a minute, the network), and never changed:
# who runs a reader in it mounts an overlay over it. Needs root and mmdebstrap. SOURCES names a file of apt sources or a
# mirror to use instead of the machine's own. The services are not started: no postinst runs a daemon in a chroot.
set -eu
cd "$(dirname "$0")/../.."
mkdir -p "${NOVACTL_LAB:-target/lab}"
lab=$(cd "${NOVACTL_LAB:-target/lab}" && pwd)
tree=$lab/network-tree-2
if [ ! -e "$tree/etc/debian_version" ]; then
  command -v mmdebstrap >/dev/null || { echo "no mmdebstrap" >&2; exit 3; }
  making=$(mktemp -d "$lab/making.XXXXXX")
  trap 'rm -rf "$making"' EXIT
  # none: mmdebstrap takes Debian's own
  sources=${SOURCES:-}
  [ -n "$sources" ] || [ ! -e /etc/apt/sources.list.d/debian.sources ] ||
    sources=/etc/apt/sources.list.d/debian.sources
  mmdebstrap --quiet --variant=minbase \
    --include=ifupdown,network-manager,systemd,systemd-resolved,netplan.io,iproute2,iputils-ping,dbus \
    --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
    --dpkgopt='path-exclude=/usr/share/man/*' \
    --customize-hook='cd "$1/opt" && APT_CONFIG=$MMDEBSTRAP_APT_CONFIG apt-get download netctl ifupdown-ng' \
    --customize-hook='cd "$1/opt" && dpkg-deb --fsys-tarfile netctl_*.deb | tar -x --keep-directory-symlink -C "$1"' \
    --customize-hook='cd "$1/opt" && dpkg -x ifupdown-ng_*.deb ifupdown-ng && rm ./*.deb' \
    --customize-hook='rm -rf "$1"/var/cache/apt/* "$1"/var/lib/apt/lists/* "$1"/var/log/*' \
    bookworm "$making/tree" ${sources:+"$sources"} >&2
  rm -rf "$making/tree"/dev/*
  chmod 755 "$making/tree"
  # whoever else made it meanwhile has made the same
  mv -T "$making/tree" "$tree" 2>/dev/null || [ -e "$tree/etc/debian_version" ]
fi
echo "$tree"
