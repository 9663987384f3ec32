#!/bin/bash
# Real Xen 4.17 with a dom0 and a paravirtual guest that has a real vif, under QEMU without KVM.
#
#   xen-in-qemu.sh fetch        download and unpack the packages; nothing when that is done
#   xen-in-qemu.sh boot DIR [HOST]
#                               boot, with what is in DIR copied over the guest's root; DIR/test.sh runs in the guest,
#                               and what it prints is printed between "GUEST BEGIN" and "GUEST END"; the script HOST
#                               runs in dom0 meanwhile, and what it prints comes before
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

image() {
  (cd "$1" && find . | cpio -o -H newc -R 0:0 2>/dev/null | gzip -1) >"$2"
}

boot() {
  local bin=$xen/usr/lib/xen-4.17/bin version modules module tools
  work=$(mktemp -d)
  version=$(basename "$kernel"/lib/modules/*)
  modules=$kernel/lib/modules/$version/kernel/drivers
  tools=("$xen"/usr/bin/xenstore-{read,write,list,ls,rm,exists,watch})

  skeleton "$work/guest"
  programs "$work/guest" usr/bin "${tools[@]}"
  cp "$modules"/{xen/xen-privcmd.ko,xen/xenfs/xenfs.ko,net/xen-netfront.ko} "$work/guest/lib/"
  cp "$here/xen/guest-init" "$work/guest/init"
  cp "$here/xen/show" "$work/guest/root/"
  cp -a "$1/." "$work/guest/"
  image "$work/guest" "$work/guest.img"

  skeleton "$work/dom0"
  programs "$work/dom0" usr/bin "${tools[@]}"
  programs "$work/dom0" usr/lib/xen-4.17/bin "$bin"/{xl,xenstored,xenconsoled,xen-init-dom0,libxl-save-helper}
  for module in xen-privcmd xen-evtchn xen-gntdev xen-gntalloc xenfs/xenfs; do
    cp "$modules/xen/$module.ko" "$work/dom0/lib/"
  done
  cp "$modules/net/xen-netback/xen-netback.ko" "$work/dom0/lib/"
  cp "$here/xen/vif-connected" "$work/dom0/etc/xen/scripts/"
  cp "$here/xen/dom0-init" "$work/dom0/init"
  cp "$here"/xen/{show,nova} "$work/dom0/root/"
  if [ -n "${2:-}" ]; then
    programs "$work/dom0" usr/bin "$(command -v openssl)"
    cp "$2" "$work/dom0/root/host.sh"
  fi
  cp "$kernel/boot/vmlinuz-$version" "$work/dom0/root/vmlinuz"
  cp "$work/guest.img" "$work/dom0/root/"
  image "$work/dom0" "$work/dom0.img"

  gunzip -c "$kernel/boot/xen-4.17-amd64.gz" >"$work/xen.elf"
  # Nehalem: of what QEMU 7.2 calls max, dom0 dies at once. A crash ends the run: Xen reboots, QEMU does not.
  timeout -s KILL "${XEN_LIMIT:-240}" qemu-system-x86_64 -accel tcg -cpu Nehalem -M pc -m 1024 -smp 1 -nographic -no-reboot -nodefaults \
    -serial stdio -monitor none -kernel "$work/xen.elf" \
    -append "console=com1 com1=115200,8n1 loglvl=error guest_loglvl=error dom0_mem=512M,max:512M dom0_max_vcpus=1 spec-ctrl=no xpti=no pv-l1tf=no smt=no sched=credit" \
    -initrd "$work/dom0/root/vmlinuz console=hvc0 quiet mitigations=off,$work/dom0.img" </dev/null
}

case ${1:-} in
fetch) fetch ;;
boot) fetch; boot "$2" "${3:-}" ;;
*) sed -n '2,11s/^# \{0,1\}//p' "$0"; exit 2 ;;
esac
