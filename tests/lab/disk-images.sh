#!/usr/bin/env bash
# Disk images with a small system on them, made with the distribution's own tools (root, loop devices, no partition
# scanning and no device mapper needed).
#   disk-images.sh volume FILE SIZE KIND TREE [LABEL]   a file system: ext3 ext4 xfs btrfs btrfs-root (in subvolume @)
#   disk-images.sh parted FILE SIZE WORDS...            an empty disk with a partition table, by parted's words
#   disk-images.sh put FILE MIB VOLUME                  a volume into a disk, from this MiB on
#   disk-images.sh lvm FILE VOLUME                      a physical volume whose group testvg has VOLUME as testvg/root
#   disk-images.sh dirty FILE                           as if the power had failed while it was written to
#   disk-images.sh mount FILE MIB DIR [OPTIONS]         mounts a partition by its place, for a look by other means
# needs: e2fsprogs xfsprogs btrfs-progs parted lvm2
set -euo pipefail
PATH=$PATH:/usr/sbin:/sbin

with_mounted() { # FILE OPTIONS FUNCTION: the function gets the directory
  local dir; dir=$(mktemp -d)
  mount -o "loop,$2" "$1" "$dir"
  "$3" "$dir" || { umount "$dir"; rmdir "$dir"; return 1; }
  umount "$dir"; rmdir "$dir"
}

case ${1:-} in
volume)
  file=$2 size=$3 kind=$4 tree=$5 label=${6:-}
  rm -f "$file"; truncate -s "$size" "$file"
  copy() { cp -a "$tree/." "$1/"; }
  copy_into_subvolume() { btrfs -q subvolume create "$1/@" && cp -a "$tree/." "$1/@/"; }
  case $kind in
  ext3 | ext4) mkfs."$kind" -q -L "$label" -d "$tree" "$file" ;;
  xfs) mkfs.xfs -q -L "$label" "$file"; with_mounted "$file" rw copy ;;
  btrfs) mkfs.btrfs -q -L "$label" "$file"; with_mounted "$file" rw copy ;;
  btrfs-root) mkfs.btrfs -q -L "$label" "$file"; with_mounted "$file" rw copy_into_subvolume ;;
  esac ;;
parted)
  file=$2; rm -f "$file"; truncate -s "$3" "$file"; shift 3
  # it looks for udevadm to tell of a change of a device, which a file is not
  parted -s "$file" "$@" 2>/dev/null ;;
put) dd if="$4" of="$2" bs=1M seek="$3" conv=notrunc,sparse status=none ;;
lvm)
  file=$2 volume=$3
  extents=$((($(stat -c %s "$volume") + 4194303) / 4194304))
  rm -f "$file"; truncate -s $((2 + extents * 4))M "$file"
  loop=$(losetup --find --show "$file"); group=$(mktemp)
  trap 'losetup -d "$loop"; rm -f "$group"' EXIT
  only="devices { filter = [ \"a|^$loop\$|\", \"r|.*|\" ] use_devicesfile = 0 } backup { backup = 0 archive = 0 }"
  id=AAAAAA-BBBB-CCCC-DDDD-EEEE-FFFF-GGGGGG
  pvcreate -q --config "$only" --uuid $id --norestorefile "$loop" >/dev/null 2>&1
  cat >"$group" <<END
contents = "Text Format Volume Group"
version = 1
testvg {
  id = "HHHHHH-IIII-JJJJ-KKKK-LLLL-MMMM-NNNNNN" seqno = 1 format = "lvm2"
  status = ["RESIZEABLE", "READ", "WRITE"] flags = [] extent_size = 8192 max_lv = 0 max_pv = 0 metadata_copies = 0
  physical_volumes { pv0 { id = "$id" device = "$loop" status = ["ALLOCATABLE"] flags = []
    dev_size = $(($(stat -c %s "$file") / 512)) pe_start = 2048 pe_count = $extents } }
  logical_volumes { root { id = "OOOOOO-PPPP-QQQQ-RRRR-SSSS-TTTT-UUUUUU" status = ["READ", "WRITE", "VISIBLE"] flags = []
    segment_count = 1
    segment1 { start_extent = 0 extent_count = $extents type = "striped" stripe_count = 1 stripes = ["pv0", 0] } } }
}
END
  vgcfgrestore -q --config "$only" --file "$group" testvg >/dev/null 2>&1
  dd if="$volume" of="$file" bs=1M seek=1 conv=notrunc,sparse status=none ;;
dirty)
  scribble() { echo x >"$1/etc/scribbled"; sync -f "$1"; cp "$file" "$file.copy"; }
  file=$2; with_mounted "$file" rw scribble; mv "$file.copy" "$file" ;;
mount)
  mount -o "loop,offset=$(($3 << 20))${5:+,$5}" "$2" "$4" ;;
*) sed -n 2,13p "$0"; exit 2 ;;
esac
