#!/bin/sh
# Makes a Debian 12 tree with every reader of network configuration that Debian has, and prints where it is:
#   tests/lab/network-tree.sh
#
# netctl is unpacked in its place, and ifupdown-ng below /opt: installed they would drive others out.
# It is made once, in ${NOVACTL_LAB:-target/lab}/network-tree-2 (about 350 MB, a minute, the network), and never changed:
# who runs a reader in it mounts an overlay over it. Needs root, and what tree.sh needs. The services are not started: no
# postinst runs a daemon in a chroot.
set -eu
cd "$(dirname "$0")/../.."
. tests/lab/tree.sh
make_tree "$lab/network-tree-2" \
  --include=ifupdown,network-manager,systemd,systemd-resolved,netplan.io,iproute2,iputils-ping,dbus \
  --customize-hook='cd "$1/opt" && APT_CONFIG=$MMDEBSTRAP_APT_CONFIG apt-get download netctl ifupdown-ng' \
  --customize-hook='cd "$1/opt" && dpkg-deb --fsys-tarfile netctl_*.deb | tar -x --keep-directory-symlink -C "$1"' \
  --customize-hook='cd "$1/opt" && dpkg -x ifupdown-ng_*.deb ifupdown-ng && rm ./*.deb'
echo "$lab/network-tree-2"
