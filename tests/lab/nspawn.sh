#!/bin/bash
# Boots a tree with systemd, or sysvinit, as its first process, on a machine whose own need not be systemd.
#
#   nspawn.sh boot TREE STATE [ARGUMENTS OF systemd-nspawn]   boot, and wait until the boot has come to an end
#   nspawn.sh exec STATE PROGRAM...                           run a program inside
#   nspawn.sh stop STATE                                      shut down, and wait for the end
#
# STATE is a directory for the process ids and the console. machinectl needs a systemd outside: nsenter does not.
# Needs root and systemd-container.
set -eu

inside() {
  local state=$1
  shift
  nsenter -t "$(cat "$state/leader")" -m -u -i -n -p -C -- \
    env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root TERM=dumb LC_ALL=C "$@"
}

# Whether the boot has come to an end: init starts the terminals last.
is_up() {
  if [ "$2" = init ]; then
    inside "$1" pgrep -x getty >/dev/null
  else
    case $(inside "$1" systemctl is-system-running 2>/dev/null) in
    running | degraded) ;;
    *) return 1 ;;
    esac
  fi
}

boot() {
  local tree=$1 state=$2 pid child comm
  shift 2
  setsid systemd-nspawn --register=no --keep-unit --boot --quiet --directory="$tree" --machine="nova$$" \
    --console=read-only --private-network "$@" </dev/null >"$state/console" 2>&1 &
  pid=$!
  echo "$pid" >"$state/pid"
  for _ in $(seq 600); do
    kill -0 "$pid" 2>/dev/null || { cat "$state/console" >&2; exit 1; }
    for child in $(cat "/proc/$pid/task/$pid/children" 2>/dev/null); do
      comm=$(cat "/proc/$child/comm" 2>/dev/null) || continue
      case $comm in systemd | init) ;; *) continue ;; esac
      echo "$child" >"$state/leader"
      ! is_up "$state" "$comm" || return 0
    done
    sleep .1
  done
  cat "$state/console" >&2
  echo "the boot does not come to an end" >&2
  exit 1
}

stop() {
  local pid
  pid=$(cat "$1/pid")
  if [ "$(cat "/proc/$(cat "$1/leader")/comm" 2>/dev/null)" = init ]; then
    inside "$1" poweroff >/dev/null 2>&1 || true
  else
    # systemd(1): halt
    kill -s SIGRTMIN+4 "$(cat "$1/leader")" 2>/dev/null || true
  fi
  for _ in $(seq 300); do
    kill -0 "$pid" 2>/dev/null || return 0
    sleep .1
  done
  kill -KILL "$pid"
}

case ${1:-} in
boot) shift; boot "$@" ;;
exec) shift; inside "$@" ;;
stop) stop "$2" ;;
*) sed -n '2,9s/^# \{0,1\}//p' "$0"; exit 2 ;;
esac
