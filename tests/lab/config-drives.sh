#!/bin/bash
# Config drives, whole and hostile, and a small machine under QEMU without KVM that has them as disks.
#
#   config-drives.sh fetch            the kernel of xen-in-qemu.sh; nothing when it is there
#   config-drives.sh make DIR         makes DIR/*.img, and DIR/*.label with what blkid calls each
#   config-drives.sh boot ROOT DIR    boots Debian's kernel with ROOT over a busybox root; DIR/*.img are its disks in the
#                                     order of their names, /dev/vdb and on; ROOT/test.sh runs, and what it leaves in
#                                     /results comes back as DIR/results/
#
# Needs qemu-system-x86_64, cpio, xorriso, dosfstools, mtools and e2fsprogs. No root.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
lab=${NOVACTL_LAB:-$here/../../target/lab}
kernel=$lab/kernel
PATH=$PATH:/usr/sbin:/sbin

# Everything that the drives and the machine need; virtio and its parts first, each after what it needs.
modules="virtio/virtio_ring virtio/virtio virtio/virtio_pci_legacy_dev virtio/virtio_pci_modern_dev virtio/virtio_pci
  block/virtio_blk net/ethernet/intel/e1000/e1000 cdrom/cdrom"
filesystems="isofs/isofs fat/fat fat/vfat nls/nls_cp437 nls/nls_ascii nls/nls_utf8"

die() { echo "$*" >&2; exit 1; }

fetch() {
  local program
  for program in xorriso mkfs.vfat mcopy mkfs.ext4 blkid; do
    command -v $program >/dev/null || die "$program is not installed"
  done
  "$here/xen-in-qemu.sh" fetch
}

# Fills $1 as nova does, with two NICs.
fill() {
  mkdir -p "$1/openstack/latest"
  echo '{"uuid": "83679162-1378-4288-a2d4-70e13ec132aa"}' >"$1/openstack/latest/meta_data.json"
  echo '{}' >"$1/openstack/latest/vendor_data.json"
  cat >"$1/openstack/latest/network_data.json" <<'END'
{"links": [
   {"id": "tap1", "type": "vif", "mtu": null, "ethernet_mac_address": "bc:76:4e:20:00:01", "vif_id": "a"},
   {"id": "tap2", "type": "vif", "mtu": null, "ethernet_mac_address": "bc:76:4e:20:00:02", "vif_id": "b"}],
 "networks": [
   {"id": "network0", "link": "tap1", "type": "ipv4", "ip_address": "198.51.100.7", "netmask": "255.255.255.0",
    "network_id": "n", "routes": [{"network": "0.0.0.0", "netmask": "0.0.0.0", "gateway": "198.51.100.1"}]},
   {"id": "network1", "link": "tap2", "type": "ipv4", "ip_address": "10.176.1.2", "netmask": "255.255.224.0",
    "network_id": "m", "routes": [{"network": "10.191.192.0", "netmask": "255.255.192.0", "gateway": "10.176.0.1"}]}],
 "services": [{"type": "dns", "address": "192.0.2.53"}]}
END
}

# Makes $1 an ISO of $2, as nova's genisoimage call does (virt/configdrive.py).
iso() {
  xorriso -as mkisofs -quiet -o "$1" -allow-lowercase -allow-multidot -l -publisher nova -J -r -V config-2 "$2" 2>/dev/null
}

make() {
  local dir=$1 tree name data
  for name in b-iso d-huge e-link f-fifo g-directory; do
    tree=$dir/$name
    data=$tree/openstack/latest/network_data.json
    fill "$tree"
    case $name in
    d-huge) truncate -s 1G "$data" ;;
    e-link) ln -sf /etc/shadow "$data" ;;
    f-fifo) rm "$data"; mkfifo "$data" ;;
    g-directory) rm "$data"; mkdir "$data" ;;
    esac
    iso "$dir/$name.img" "$tree"
  done
  truncate -s 64M "$dir/c-vfat.img" "$dir/h-ext4.img" "$dir/i-upper.img"
  # nova's own label; dosfstools warns that it is in lower case
  mkfs.vfat -n config-2 "$dir/c-vfat.img" >/dev/null 2>&1
  mkfs.vfat -n CONFIG-2 "$dir/i-upper.img" >/dev/null
  for name in c-vfat i-upper; do mcopy -s -i "$dir/$name.img" "$dir/b-iso/openstack" ::; done
  mkfs.ext4 -q -L config-2 -d "$dir/b-iso" "$dir/h-ext4.img"
  for name in "$dir"/*.img; do
    blkid -p -o value -s LABEL "$name" >"${name%.img}.label"
  done
}

boot() {
  local root=$1 dir=$2 work version tree module disks=() image
  work=$(mktemp -d)
  # shellcheck disable=SC2064  # as it is now
  trap "rm -rf '$work'" EXIT
  version=$(basename "$kernel"/lib/modules/*)
  tree=$kernel/lib/modules/$version/kernel
  mkdir -p "$work"/root/{bin,dev,etc,proc,run,sys,tmp,modules,results}
  cp "$kernel/bin/busybox" "$work/root/bin/"
  ln -s busybox "$work/root/bin/sh"
  {
    echo '#!/bin/sh'
    echo '/bin/busybox --install -s /bin'
    # a program of its own: reset-network does not write for busybox' ifup
    echo 'mkdir -p /sbin; printf "#!/bin/sh\\nexec /bin/busybox ifup \\"\$@\\"\\n" >/sbin/ifup; chmod +x /sbin/ifup'
    echo 'mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t devtmpfs dev /dev'
    for module in $modules; do cp "$tree/drivers/$module.ko" "$work/root/modules/"; done
    for module in $filesystems; do cp "$tree/fs/$module.ko" "$work/root/modules/"; done
    for module in $modules $filesystems; do echo "insmod /modules/${module##*/}.ko"; done
    echo 'sh /test.sh >/results/log 2>&1'
    echo 'tar -cf /dev/vda -C / results; sync; poweroff -f'
  } >"$work/root/init"
  chmod +x "$work/root/init"
  cp -a "$root/." "$work/root/"
  (cd "$work/root" && find . | cpio -o -H newc -R 0:0 2>/dev/null | gzip -1) >"$work/root.img"
  truncate -s 8M "$work/results.tar"
  for image in "$work/results.tar" "$dir"/*.img; do
    disks+=(-drive "file=$image,format=raw,if=virtio")
  done
  timeout -s KILL "${QEMU_LIMIT:-110}" qemu-system-x86_64 -accel tcg -M pc -m 512 -smp 1 -nographic -no-reboot -nodefaults \
    -serial stdio -monitor none -kernel "$kernel/boot/vmlinuz-$version" -append "console=ttyS0 quiet mitigations=off panic=-1" \
    -initrd "$work/root.img" "${disks[@]}" \
    -device e1000,mac=bc:76:4e:20:00:01,romfile= -device e1000,mac=bc:76:4e:20:00:02,romfile= </dev/null
  tar -xf "$work/results.tar" -C "$dir"
}

case ${1:-} in
fetch) fetch ;;
make) make "$2" ;;
boot) boot "$2" "$3" ;;
*) sed -n '2,12s/^# \{0,1\}//p' "$0"; exit 2 ;;
esac
