#!/bin/sh
# Runs a reader of network configuration on real links:  tests/lab/reader.sh TREE FILES SCRIPT NAME=MAC...
#
# In namespaces of its own (network, mounts, processes) it puts FILES over TREE (see network-tree.sh), makes a pair of
# links for each NAME=MAC, and has /bin/sh run SCRIPT in there, chrooted. What came of it is printed as three lines of
# JSON: `ip address`, `ip -4 route`, `ip -6 route`. TREE and FILES are not changed; all processes end with the script.
set -eu
if [ "${1:-}" != --inside ]; then
  exec unshare --net --mount --uts --pid --fork --kill-child --propagation private "$0" --inside "$@"
fi
shift
tree=$1 files=$2 script=$3
shift 3
# an overlay's upper directory has to be on a plain file system
mount -t tmpfs -o mode=755 tmpfs /mnt
mkdir /mnt/upper /mnt/work /mnt/root
mount -t overlay overlay -o "lowerdir=$tree,upperdir=/mnt/upper,workdir=/mnt/work" /mnt/root
cp -a --remove-destination "$files/." /mnt/root/
chown -R 0:0 /mnt/root/etc
cd /mnt/root
mount -t proc proc proc
# networkd and NetworkManager wait for udev for ever where /sys can be written
mount -t sysfs -o ro sysfs sys
mount -t tmpfs -o mode=755 tmpfs run
mount --rbind /dev dev
# nobody else is on these links
echo 0 >proc/sys/net/ipv6/conf/default/accept_dad
ip link set lo up
number=0
for nic in "$@"; do
  ip link add "${nic%%=*}" address "${nic#*=}" type veth peer name "peer$number"
  ip link set "peer$number" up
  number=$((number + 1))
done
chroot . /bin/sh -euc "$script" >&2
ip -j address
ip -j -4 route
ip -j -6 route
