#!/usr/bin/env bash
# A Debian 12 with sshd that boots from an image in QEMU without KVM, its console on the standard input and output.
#
#   boot-image.sh fetch          the tree, the kernel and its initramfs; nothing when that is done; prints the tree
#   boot-image.sh boot IMAGE [CLOCK]
#                                boots a raw image whose first file system has the label root, and writes to it; the
#                                hardware clock says CLOCK, or the time
#
# Kept in ${NOVACTL_LAB:-target/lab}: 350 MB. Needs root, mmdebstrap, apt-get, qemu-system-x86_64, cpio and
# busybox-static. SOURCES names a file of apt sources or a mirror to use instead of the machine's own.
set -euo pipefail
lab=${NOVACTL_LAB:-$(dirname "$0")/../../target/lab}
mkdir -p "$lab"
lab=$(cd "$lab" && pwd)
tree=$lab/debian-12-sshd
linux=$lab/linux
making=

die() { echo "$*" >&2; exit 3; }

make_tree() {
  local sources=${SOURCES:-}
  [ -n "$sources" ] || [ ! -e /etc/apt/sources.list.d/debian.sources ] ||
    sources=/etc/apt/sources.list.d/debian.sources
  making=$(mktemp -d "$lab/making.XXXXXX")
  trap 'rm -rf "$making"' EXIT
  mmdebstrap --quiet --variant=minbase --include=systemd,systemd-sysv,udev,openssh-server,iproute2 \
    --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
    --dpkgopt='path-exclude=/usr/share/man/*' \
    --customize-hook='rm -rf "$1"/var/cache/apt/* "$1"/var/lib/apt/lists/*; echo web01 >"$1"/etc/hostname' \
    bookworm "$making/tree" ${sources:+"$sources"} >&2
  rm -rf "$making/tree"/dev/*
  chmod 755 "$making/tree"
  mv -T "$making/tree" "$tree"
  rmdir "$making"; making=; trap - EXIT
}

# The kernel's package, and an initramfs with what a disk of QEMU and ext4 need.
make_linux() {
  local package version modules name
  package=$(apt-cache depends linux-image-cloud-amd64 | awk '/Depends: linux-image/ { print $2; exit }')
  rm -rf "$linux"
  mkdir -p "$linux/package" "$linux/root"/{bin,dev,mnt,lib} "$lab/debs"
  (cd "$lab/debs" && apt-get -qq -o APT::Sandbox::User=root download "$package" >&2) ||
    die "the kernel's package cannot be downloaded"
  dpkg -x "$lab/debs/$package"_*.deb "$linux/package"
  version=$(basename "$linux/package"/lib/modules/*)
  modules=$linux/package/lib/modules/$version
  cp "$linux/package/boot/vmlinuz-$version" "$linux/vmlinuz"
  cp "$(command -v busybox)" "$linux/root/bin/busybox"
  # in the order in which they need each other; what is built in is no file
  for name in crc16 crc32c_generic libcrc32c mbcache jbd2 ext4 virtio_ring virtio virtio_pci_legacy_dev \
    virtio_pci_modern_dev virtio_pci virtio_blk; do
    find "$modules" -name "$name.ko" -exec cp {} "$linux/root/lib/" \; -exec basename {} \;
  done >"$linux/root/lib/order"
  cat >"$linux/root/init" <<'END'
#!/bin/busybox sh
/bin/busybox mount -t devtmpfs none /dev
while read -r module; do /bin/busybox insmod "/lib/$module"; done </lib/order
disk=
while [ -z "$disk" ]; do disk=$(/bin/busybox findfs LABEL=root 2>/dev/null); done
/bin/busybox mount -t ext4 "$disk" /mnt
/bin/busybox umount /dev
exec /bin/busybox switch_root /mnt /sbin/init
END
  chmod +x "$linux/root/init"
  (cd "$linux/root" && find . | cpio -o -H newc -R 0:0 2>/dev/null | gzip -1) >"$linux/initrd"
  touch "$linux/complete"
}

case ${1:-} in
fetch)
  for program in mmdebstrap apt-get qemu-system-x86_64 cpio busybox; do
    command -v "$program" >/dev/null || die "$program is not installed"
  done
  exec 9>"$lab/lock"
  flock 9
  [ -e "$tree/etc/debian_version" ] || make_tree
  [ -e "$linux/complete" ] || make_linux
  echo "$tree" ;;
boot)
  # a boot that hangs ends with this
  exec timeout -s KILL "${BOOT_LIMIT:-300}" qemu-system-x86_64 -accel tcg -cpu max -M q35 -m 768 -smp 1 -display none \
    -no-reboot -nodefaults -serial stdio -monitor none -kernel "$linux/vmlinuz" -initrd "$linux/initrd" \
    -append "console=ttyS0 quiet mitigations=off audit=0 systemd.show_status=no systemd.mask=systemd-networkd-wait-online.service" \
    -drive "file=$2,format=raw,if=virtio" -device virtio-rng-pci -rtc "base=${3:-utc}" ;;
*) sed -n '2,10s/^# \{0,1\}//p' "$0"; exit 2 ;;
esac
