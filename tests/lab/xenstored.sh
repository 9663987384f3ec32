#!/bin/bash
# A real XenStore without a hypervisor: Debian's unmodified xenstored (C) and oxenstored (OCaml), whose calls
# into Xen are answered by an LD_PRELOAD library (xenstored-shim.c). Root is not needed; nothing is installed.
#
#   xenstored.sh fetch                 download and unpack the packages, build the shim; nothing when that is done
#   xenstored.sh start c|ocaml DIR     start a daemon; its socket is DIR/socket
#   xenstored.sh domu DIR ID           make domain ID as xl does; DIR/domu-ID.sock has that guest's rights and paths
#   xenstored.sh stop DIR              stop what was started in DIR
#   xenstored.sh run DIR PROGRAM...    run a program (xenstore-read, xenstore-ls) against DIR/socket
#
# The packages are kept in $NOVACTL_LAB (default: target/lab of this repository).
set -eu
here=$(cd "$(dirname "$0")" && pwd)
lab=${NOVACTL_LAB:-$here/../../target/lab}
mkdir -p "$lab"
lab=$(cd "$lab" && pwd)
xen=$lab/xen
shim=$lab/xenstored-shim.so
packages="xen-utils-4.17 xenstore-utils libxenmisc4.17 libxenstore4 libxentoollog1 libxenevtchn1 libxengnttab1
  libxencall1 libxenforeignmemory1 libxendevicemodel1 libxentoolcore1 libxenhypfs1"

die() { echo "$*" >&2; exit 1; }

fetch() {
  exec 9>"$lab/lock"
  flock 9
  if [ ! -e "$xen/complete" ]; then
    rm -rf "$xen"
    mkdir -p "$xen" "$lab/debs"
    # shellcheck disable=SC2086  # a list of names
    (cd "$lab/debs" && apt-get -qq -o APT::Sandbox::User=root download $packages >&2) || die "the Xen 4.17 packages cannot be downloaded"
    for name in $packages; do dpkg -x "$lab/debs/$name"_*.deb "$xen"; done
    touch "$xen/complete"
  fi
  if [ "$here/xenstored-shim.c" -nt "$shim" ]; then
    command -v gcc >/dev/null || die "gcc is not installed"
    gcc -shared -fPIC -O1 -Wall -o "$shim.new" "$here/xenstored-shim.c" -ldl
    mv "$shim.new" "$shim"
  fi
  exec 9>&-
}

# Waits until the process $2 listens on the socket that it is about to make: the file is there earlier.
await() {
  for _ in $(seq 500); do
    grep -q " 00010000 .* $1\$" /proc/net/unix && return
    kill -0 "$2" 2>/dev/null || break
    sleep .01
  done
  cat "$(dirname "$1")"/*.log >&2
  die "no $1"
}

start() {
  local kind=$1 dir program
  mkdir -p "$2"
  dir=$(cd "$2" && pwd)
  rm -f "$dir/socket" "$dir/pid"
  case $kind in
  c) program=("$xen/usr/lib/xen-4.17/bin/xenstored" -N) ;;
  ocaml)
    printf '%s\n' "pid-file = $dir/pid" "persistent = false" "xenstored-kva = $dir/ring-0" \
      "xenstored-port = $dir/xsd_port" "xenstored-log-file = $dir/xenstored.log" \
      "access-log-file = $dir/access.log" >"$dir/oxenstored.conf"
    truncate -s 4096 "$dir/ring-0"
    printf 1 >"$dir/xsd_port"
    program=("$xen/usr/lib/xen-4.17/bin/oxenstored" --no-fork --config-file "$dir/oxenstored.conf") ;;
  *) die "no such daemon: $kind" ;;
  esac
  LD_LIBRARY_PATH=$xen/usr/lib/x86_64-linux-gnu LD_PRELOAD=$shim XENSTORED_RUNDIR=$dir SHIM_DIR=$dir \
    setsid "${program[@]}" >"$dir/daemon.log" 2>&1 </dev/null &
  echo $! >"$dir/daemon.pid"
  await "$dir/socket" $!
}

domu() {
  local dir=$1 id=$2
  command -v python3 >/dev/null || die "python3 is not installed"
  rm -f "$dir/domu-$id.sock"
  setsid python3 "$here/domu.py" "$dir" "$id" >"$dir/domu-$id.log" 2>&1 </dev/null &
  echo $! >"$dir/domu-$id.pid"
  await "$dir/domu-$id.sock" $!
}

stop() {
  local file pid
  for file in "$1"/*.pid; do
    [ -e "$file" ] || continue
    pid=$(cat "$file")
    rm -f "$file"
    kill "$pid" 2>/dev/null || continue
    # Until it has ended it may still remove the socket of the next one.
    for _ in $(seq 500); do
      grep -qs '^State:[[:space:]]*[^ZX[:space:]]' "/proc/$pid/status" || continue 2
      sleep .01
    done
    kill -KILL "$pid" 2>/dev/null || true
  done
}

case ${1:-} in
fetch) fetch ;;
start) fetch; start "$2" "$3" ;;
domu) domu "$2" "$3" ;;
stop) stop "$2" ;;
run) dir=$2; shift 2
  LD_LIBRARY_PATH=$xen/usr/lib/x86_64-linux-gnu XENSTORED_PATH=$dir/socket PATH=$xen/usr/bin:$PATH exec "$@" ;;
*) sed -n '2,12s/^# \{0,1\}//p' "$0"; exit 2 ;;
esac
