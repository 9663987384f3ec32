#!/bin/bash
# Real Xen 4.17 with a dom0 and a paravirtual guest that has a real vif, under QEMU without KVM.
#
#   xen-in-qemu.sh fetch        download and unpack the packages; nothing when that is done
#   xen-in-qemu.sh boot DIR [HOST]
#                               boot, with what is in DIR copied over the guest's root; DIR/test.sh runs in the guest,
#                               and what it prints is printed between "GUEST BEGIN" and "GUEST END"; the script HOST
#                               runs in dom0 meanwhile, and what it prints comes before
#   xen-in-qemu.sh servers DIR HOST DISK...
#                               boot dom0 with disks, /dev/vda and so on, of which HOST starts servers: see xen/servers;
#                               in a server and in dom0, what is in DIR is in /run/lab
#
# dom0 plays the host: see xen/dom0-init for what it writes for the guest, xen/nova for what HOST has to send. Needs qemu-system-x86_64, cpio and the
# packages of xenstored.sh; 75 MB are downloaded and kept in $NOVACTL_LAB (default: target/lab). No root.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
lab=${NOVACTL_LAB:-$here/../../target/lab}
mkdir -p "$lab"
lab=$(cd "$lab" && pwd)
xen=$lab/xen
kernel=$lab/kernel
# what is unpacked there with the kernel; ifupdown is for a guest that has its files read
besides="xen-hypervisor-4.17-amd64 xen-utils-common busybox-static libyajl2 ifupdown"
# of a run, in seconds
limit=240
work=
trap '[ -z "$work" ] || rm -rf "$work"' EXIT

die() { echo "$*" >&2; exit 1; }

fetch() {
  command -v qemu-system-x86_64 >/dev/null || die "qemu-system-x86_64 is not installed"
  command -v cpio >/dev/null || die "cpio is not installed"
  "$here/xenstored.sh" fetch
  exec 9>"$lab/lock"
  flock 9
  if [ "$(cat "$kernel/complete" 2>/dev/null)" != "$besides" ]; then
    local image packages name
    image=$(apt-cache depends linux-image-amd64 | awk '/Depends: linux-image/ { print $2; exit }')
    packages="$image $besides"
    rm -rf "$kernel"
    mkdir -p "$kernel" "$lab/debs"
    # shellcheck disable=SC2086  # a list of names
    (cd "$lab/debs" && apt-get -qq -o APT::Sandbox::User=root download $packages >&2) ||
      die "the kernel and Xen packages cannot be downloaded"
    for name in $packages; do dpkg -x "$lab/debs/$name"_*.deb "$kernel"; done
    echo "$besides" >"$kernel/complete"
  fi
  if [ ! -e "$kernel/boot/vmlinux" ]; then
    unpacked_kernel "$kernel"/boot/vmlinuz-* >"$kernel/boot/vmlinux.new"
    mv "$kernel/boot/vmlinux.new" "$kernel/boot/vmlinux"
  fi
  exec 9>&-
}

# Makes a root with busybox in $1.
skeleton() {
  mkdir -p "$1"/{bin,dev,etc/xen/scripts,lib64,lib/x86_64-linux-gnu,proc,root,run,sys,tmp,usr/bin,usr/lib/xen-4.17/bin} \
    "$1"/var/{lib/xen,lib/xenstored,log/xen}
  ln -s ../run "$1/var/run"
  cp "$kernel/bin/busybox" "$1/bin/"
  ln -s busybox "$1/bin/sh"
}

# Copies the programs $2... into $1/DIR, and the libraries that they need.
programs() {
  local root=$1 into=$2 program library
  shift 2
  cp "$@" "$root/$into/"
  for program in "$@"; do
    LD_LIBRARY_PATH=$xen/usr/lib/x86_64-linux-gnu:$kernel/usr/lib/x86_64-linux-gnu ldd "$program"
  done | awk '/not found/ { print "missing: " $1 > "/dev/stderr"; exit 1 } $2 == "=>" { print $3 } $1 ~ /^\/lib64/ { print $1 }' |
    sort -u | while read -r library; do
      case $library in
      /lib64/*) cp -L "$library" "$root/lib64/" ;;
      *) cp -L "$library" "$root/lib/x86_64-linux-gnu/" ;;
      esac
    done
  # xl ends a thread, for which the C library loads this by name.
  cp -L /lib/x86_64-linux-gnu/libgcc_s.so.1 "$root/lib/x86_64-linux-gnu/"
}

# Not compressed, like the kernel: under emulation that costs seconds.
image() {
  (cd "$1" && find . | cpio -o -H newc -R 0:0 2>/dev/null) >"$2"
}

# Unpacks the kernel $1, whose header says where it is packed (Linux, Documentation/x86/boot.rst).
unpacked_kernel() {
  python3 - "$1" <<'END'
import lzma, struct, sys
image = open(sys.argv[1], "rb").read()
start, length = struct.unpack_from("<II", image, 0x248)
start += (image[0x1F1] + 1) * 512
sys.stdout.buffer.write(lzma.LZMADecompressor().decompress(image[start : start + length]))
END
}

# Copies the kernel's modules $2... into the root $1, whose first process loads them in this order.
modules() {
  local root=$1 name
  shift
  for name in "$@"; do
    find "$kernel/lib/modules" -name "$name.ko" -exec cp {} "$root/lib/" \;
    echo "$name"
  done >"$root/lib/order"
}
ext4="crc16 crc32c_generic libcrc32c mbcache jbd2 ext4"

# Makes a guest's root with busybox, which loads the modules $2....
guest() {
  local root=$1
  shift
  skeleton "$root"
  programs "$root" usr/bin "${tools[@]}"
  modules "$root" xen-privcmd xenfs xen-netfront "$@"
  cp "$here/xen/show" "$root/root/"
}

boot() {
  guest "$work/guest"
  cp "$here/xen/guest-init" "$work/guest/init"
  cp -a "$1/." "$work/guest/"
  dom0 "${2:-}"
}

servers() {
  local dir=$1 host=$2 disk drives=()
  limit=600
  shift 2
  # shellcheck disable=SC2086  # lists of names
  guest "$work/guest" $ext4 xen-blkfront
  cp "$here/xen/server-init" "$work/guest/init"
  mkdir -p "$work/dom0/run" "$work/guest/lab"
  cp -a "$dir/." "$work/guest/lab/"
  cp -a "$dir" "$work/dom0/lab"
  for disk in "$@"; do drives+=(-drive "file=$disk,format=raw,if=virtio,cache=unsafe"); done
  dom0 "$host" "${drives[@]}"
}

# Boots Xen and dom0 with the guest's root, the script $1 and QEMU's arguments $2....
dom0() {
  local bin=$xen/usr/lib/xen-4.17/bin host=$1
  shift
  image "$work/guest" "$work/guest.img"
  skeleton "$work/dom0"
  programs "$work/dom0" usr/bin "${tools[@]}"
  programs "$work/dom0" usr/lib/xen-4.17/bin "$bin"/{xl,xenstored,xenconsoled,xen-init-dom0,libxl-save-helper}
  # shellcheck disable=SC2086  # a list of names
  modules "$work/dom0" xen-privcmd xen-evtchn xen-gntdev xen-gntalloc xenfs xen-netback xen-blkback $ext4 \
    virtio_ring virtio virtio_pci_legacy_dev virtio_pci_modern_dev virtio_pci virtio_blk
  cp "$here"/xen/{vif-connected,block-connected} "$work/dom0/etc/xen/scripts/"
  cp "$here/xen/dom0-init" "$work/dom0/init"
  cp "$here"/xen/{show,nova,servers} "$work/dom0/root/"
  if [ -n "$host" ]; then
    programs "$work/dom0" usr/bin "$(command -v openssl)"
    cp "$host" "$work/dom0/root/host.sh"
  fi
  cp "$kernel/boot/vmlinux" "$work/dom0/root/"
  cp "$work/guest.img" "$work/dom0/root/"
  image "$work/dom0" "$work/dom0.img"

  gunzip -c "$kernel/boot/xen-4.17-amd64.gz" >"$work/xen.elf"
  # Nehalem: of what QEMU 7.2 calls max, dom0 dies at once. A crash ends the run: Xen reboots, QEMU does not.
  timeout -s KILL "${XEN_LIMIT:-$limit}" qemu-system-x86_64 -accel tcg -cpu Nehalem -M pc -m 1536 -smp 2 -nographic -no-reboot -nodefaults \
    -serial stdio -monitor none -kernel "$work/xen.elf" \
    -append "console=com1 com1=115200,8n1 loglvl=error guest_loglvl=error dom0_mem=512M,max:512M dom0_max_vcpus=1 spec-ctrl=no xpti=no pv-l1tf=no smt=no sched=credit" \
    -initrd "$kernel/boot/vmlinux console=hvc0 quiet mitigations=off,$work/dom0.img" "$@" </dev/null
}

case ${1:-} in
fetch) fetch ;;
boot | servers)
  fetch
  work=$(mktemp -d)
  tools=("$xen"/usr/bin/xenstore-{read,write,list,ls,rm,exists,watch})
  "$@" ;;
*) sed -n '2,14s/^# \{0,1\}//p' "$0"; exit 2 ;;
esac
