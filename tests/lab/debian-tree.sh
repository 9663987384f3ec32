#!/bin/sh
# Makes the tree of a real Debian 12 and prints where it is:  tests/lab/debian-tree.sh [VARIANT]
#
# With ifupdown and cloud-init; VARIANT is one of netplan (in place of ifupdown), network-manager (beside it),
# without-cloud-init.
# It is made once, in ${NOVACTL_LAB:-target/lab}/debian-12 (about 300 MB, a minute, the network), and never changed:
# who wants a fault in it works on a copy (`cp -al` takes a second). What it needs: tree.sh.
set -eu
cd "$(dirname "$0")/../.."
. tests/lab/tree.sh
tree=$lab/debian-12
make_tree "$tree" \
  --include=systemd,systemd-sysv,dbus,udev,kmod,ifupdown,iproute2,net-tools,cloud-init,python3,python3-cryptography,python3-yaml \
  --customize-hook='echo web01 >"$1"/etc/hostname; echo nameserver 69.20.0.164 >"$1"/etc/resolv.conf'
[ -n "${1:-}" ] || { echo "$tree"; exit; }

# Installs packages into a copy, fetched by the machine's apt for what the copy lacks.
add() {
  debs=$(mktemp -d "$lab/debs.XXXXXX")
  mkdir -p "$debs/archives/partial"
  apt-get -qq -y -o Dir::State::status="$making/tree/var/lib/dpkg/status" -o Dir::Cache::archives="$debs/archives" \
    -o APT::Sandbox::User=root -o Debug::NoLocking=1 --no-install-recommends --download-only install "$@" >&2
  mkdir "$making/tree/debs"
  mv "$debs"/archives/*.deb "$making/tree/debs"
  rm -rf "$debs"
  inside 'dpkg -i debs/*.deb; rm -r debs'
}
inside() { chroot "$making/tree" sh -ec "export DEBIAN_FRONTEND=noninteractive LC_ALL=C; $1" >&2; }

copy=$tree-$1
if [ ! -e "$copy" ]; then
  making=$(mktemp -d "$lab/making.XXXXXX")
  trap 'rm -rf "$making"' EXIT
  cp -a "$tree" "$making/tree"
  case $1 in
  netplan)
    add netplan.io
    inside 'dpkg --purge ifupdown'
    systemctl --quiet --root="$making/tree" enable systemd-networkd.service ;;
  network-manager) add network-manager ;;
  without-cloud-init) inside 'dpkg --purge cloud-init' ;;
  *) echo "no such variant: $1" >&2; exit 2 ;;
  esac
  rm -rf "$making/tree"/var/log/* "$making/tree"/dev/*
  settle "$copy"
fi
echo "$copy"
