#!/bin/bash
# The agent's whole life under another first process than systemd:  tests/lab/agent-init.sh sysv|openrc NOVACTL
#
# Boots a Debian 12 with sysvinit and sysv-rc, or OpenRC, in a container; there a nova-agent 2.x runs that does nothing
# for the host. NOVACTL is installed over it, answers a request from a real xenstored, is killed, and is uninstalled:
# then the tree is byte for byte as it was, and the old agent runs. Says what it does; ends with 0 when all holds.
# Needs root, mmdebstrap, systemd-container, gcc and python3.
set -eu
cd "$(dirname "$0")"
kind=$1
novactl=$2
tree=$(./init-tree.sh "$kind")
dir=$(mktemp -d "$(dirname "$tree")/life.XXXXXX")
finish() {
  [ ! -e "$dir/state/leader" ] || ./nspawn.sh stop "$dir/state" || true
  ./xenstored.sh stop "$dir/store" || true
  rm -rf "$dir"
}
trap finish EXIT

inside() { ./nspawn.sh exec "$dir/state" "$@"; }
die() {
  echo "$kind: $*" >&2
  inside cat /var/log/novactl-agent.log >&2 || true
  exit 1
}

# Waits for a command to succeed.
until_holds() {
  local text=$1
  shift
  for _ in $(seq 300); do
    ! "$@" >/dev/null 2>&1 || { echo "$kind: $text"; return 0; }
    sleep .1
  done
  die "not so: $text"
}

# Every file of the tree that counts: kind, mode, owner, where a link leads, content.
identity() {
  (
    cd "$dir/tree"
    find etc usr root -printf '%p %y %m %U:%G %l\n' | LC_ALL=C sort
    find etc usr root -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum
  )
}

old_runs() { inside pgrep -f /usr/bin/nova-agent; }
no_old_runs() { ! old_runs; }
agent_pid() { inside pgrep -f '^/usr/sbin/novactl agent run'; }
status() { if [ "$kind" = openrc ]; then inside rc-service novactl-agent status; else inside service novactl-agent status; fi; }
answered() {
  ./xenstored.sh run "$dir/store" xenstore-read "/local/domain/7/data/guest/$1" | grep -q '"returncode": "0"'
}
ask() {
  ./xenstored.sh run "$dir/store" xenstore-write "/local/domain/7/data/host/$1" '{"name": "version", "value": "agent"}'
  until_holds "the agent answers $1" answered "$1"
}

cp -a "$tree" "$dir/tree"
cat >"$dir/tree/usr/bin/nova-agent" <<'END'
#!/usr/bin/python3
import signal
signal.pause()
END
cat >"$dir/tree/etc/init.d/nova-agent" <<'END'
#!/bin/sh
### BEGIN INIT INFO
# Provides:          nova-agent
# Required-Start:    $local_fs
# Required-Stop:     $local_fs
# Default-Start:     2 3 4 5
# Default-Stop:      0 1 6
# Short-Description: Nova Agent for xenstore
### END INIT INFO
pid=/var/run/nova-agent.pid
case "$1" in
start) start-stop-daemon --start --background --make-pidfile --pidfile $pid --startas /usr/bin/nova-agent ;;
stop) start-stop-daemon --stop --oknodo --remove-pidfile --pidfile $pid ;;
restart) "$0" stop; "$0" start ;;
status) [ -e $pid ] && kill -0 "$(cat $pid)" ;;
esac
END
chmod 755 "$dir/tree/usr/bin/nova-agent" "$dir/tree/etc/init.d/nova-agent"
cp "$novactl" "$dir/tree/root/novactl"
mkdir "$dir/state"

./xenstored.sh start c "$dir/store"
./xenstored.sh domu "$dir/store" 7
./nspawn.sh boot "$dir/tree" "$dir/state" --bind="$dir/store/domu-7.sock:/run/xenstored/socket"
inside update-rc.d nova-agent defaults >/dev/null 2>&1
inside service nova-agent start >/dev/null
until_holds "the old agent runs" old_runs
identity >"$dir/before"

inside /root/novactl agent install --yes >"$dir/install" 2>&1 || die "install: $(tail -5 "$dir/install")"
grep '^DONE' "$dir/install"
until_holds "status says that it runs" status
until_holds "the old agent is stopped" no_old_runs
ask 11111111-1111-4111-8111-000000000001

old=$(agent_pid)
inside kill -KILL "$old"
if [ "$kind" = openrc ]; then
  starts_again() { local pid; pid=$(agent_pid) && [ "$pid" != "$old" ]; }
  until_holds "killed, it is started again" starts_again
else
  is_dead() { [ "$(status | tail -1)" = "novactl-agent is dead, its pid file is there" ]; }
  until_holds "killed, it stays so, and status says it" is_dead
  inside service novactl-agent start >/dev/null
fi
ask 11111111-1111-4111-8111-000000000002

inside /root/novactl agent uninstall --yes >"$dir/uninstall" 2>&1 || die "uninstall: $(tail -5 "$dir/uninstall")"
grep '^DONE' "$dir/uninstall"
identity >"$dir/after"
diff "$dir/before" "$dir/after" || die "the tree is not as it was"
echo "$kind: the tree is byte for byte as it was"
until_holds "the old agent runs again" old_runs
! agent_pid >/dev/null || die "novactl still runs"
