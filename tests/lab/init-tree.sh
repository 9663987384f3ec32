#!/bin/sh
# Makes the tree of a Debian 12 that boots without systemd, and prints where it is:  tests/lab/init-tree.sh sysv|openrc
#
# It is made once, in ${NOVACTL_LAB:-target/lab}/debian-12-sysv or -openrc (about 150 MB, half a minute, the network),
# and never changed: who boots it works on a copy. Needs root, or user namespaces, and mmdebstrap. SOURCES names a file of
# apt sources or a mirror to use instead of the machine's own.
set -eu
cd "$(dirname "$0")/../.."
case ${1:-} in
sysv) packages=sysvinit-core,sysv-rc,insserv,initscripts ;;
openrc) packages=sysvinit-core,openrc,initscripts ;;
*) sed -n '2,6s/^# \{0,1\}//p' "$0"; exit 2 ;;
esac
mkdir -p "${NOVACTL_LAB:-target/lab}"
lab=$(cd "${NOVACTL_LAB:-target/lab}" && pwd)
tree=$lab/debian-12-$1
if [ ! -e "$tree/etc/debian_version" ]; then
  command -v mmdebstrap >/dev/null || { echo "no mmdebstrap" >&2; exit 3; }
  making=$(mktemp -d "$lab/making.XXXXXX")
  trap 'rm -rf "$making"' EXIT
  # none: mmdebstrap takes Debian's own
  sources=${SOURCES:-}
  [ -n "$sources" ] || [ ! -e /etc/apt/sources.list.d/debian.sources ] ||
    sources=/etc/apt/sources.list.d/debian.sources
  mmdebstrap --quiet --variant=minbase --include="$packages,procps,python3-minimal" \
    --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
    --dpkgopt='path-exclude=/usr/share/man/*' \
    --customize-hook='rm -rf "$1"/var/cache/apt/* "$1"/var/lib/apt/lists/*' \
    --customize-hook='rm -rf "$1"/var/log/*; echo web01 >"$1"/etc/hostname' \
    bookworm "$making/tree" ${sources:+"$sources"} >&2
  rm -rf "$making/tree"/dev/*
  chmod 755 "$making/tree"
  # whoever else made it meanwhile has made the same
  mv -T "$making/tree" "$tree" 2>/dev/null || [ -e "$tree/etc/debian_version" ]
fi
echo "$tree"
