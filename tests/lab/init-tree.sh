#!/bin/sh
# Makes the tree of a Debian 12 that boots without systemd, and prints where it is:  tests/lab/init-tree.sh sysv|openrc
#
# It is made once, in ${NOVACTL_LAB:-target/lab}/debian-12-sysv or -openrc (about 150 MB, half a minute, the network),
# and never changed: who boots it works on a copy. What it needs: tree.sh.
set -eu
cd "$(dirname "$0")/../.."
case ${1:-} in
sysv) packages=sysvinit-core,sysv-rc,insserv,initscripts ;;
openrc) packages=sysvinit-core,openrc,initscripts ;;
*) sed -n '2,5s/^# \{0,1\}//p' "$0"; exit 2 ;;
esac
. tests/lab/tree.sh
make_tree "$lab/debian-12-$1" --include="$packages,procps,python3-minimal" \
  --customize-hook='echo web01 >"$1"/etc/hostname'
echo "$lab/debian-12-$1"
