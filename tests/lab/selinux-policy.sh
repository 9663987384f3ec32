#!/bin/bash
# Builds Debian's own SELinux policy, so that its labels can be asked for:  tests/lab/selinux-policy.sh
#
# Prints a directory: policy/ has file_contexts as an installed system has them; ./matchpathcon asks libselinux itself.
# Made once, in ${NOVACTL_LAB:-target/lab}/selinux (half a minute, the network); nothing is installed. Needs apt-get.
set -eu
lab=${NOVACTL_LAB:-$(dirname "$0")/../../target/lab}
mkdir -p "$lab"
lab=$(cd "$lab" && pwd)
made=$lab/selinux
if [ ! -e "$made/matchpathcon" ]; then
  command -v apt-get >/dev/null || { echo "no apt-get" >&2; exit 3; }
  rm -rf "$lab"/selinux.*
  making=$(mktemp -d "$lab/selinux.XXXXXX")
  trap 'rm -rf "$making"' EXIT
  root=$making/root
  mkdir "$making/debs" "$root"
  (cd "$making/debs" && apt-get -qq -o APT::Sandbox::User=root download libselinux1 selinux-utils \
    selinux-policy-default policycoreutils libsemanage2 libsemanage-common libsepol2 libaudit1 >&2) ||
    { echo "the packages of SELinux cannot be downloaded" >&2; exit 3; }
  for package in "$making"/debs/*.deb; do dpkg -x "$package" "$root"; done
  export LD_LIBRARY_PATH=$root/usr/lib/x86_64-linux-gnu:$root/lib/x86_64-linux-gnu
  cat >"$root/etc/selinux/semanage.conf" <<END
module-store = direct
expand-check = 0
compiler-directory = $root/usr/libexec/selinux/hll
[setfiles]
path = $root/sbin/setfiles
args = -q -c \$@ \$<
[end]
[sefcontext_compile]
path = $root/usr/sbin/sefcontext_compile
args = \$@
[end]
END
  "$root/usr/sbin/semodule" -n -p "$root" -s default -X 100 -i "$root"/usr/share/selinux/default/*.pp.bz2 >&2
  mkdir "$making/made" "$making/made/lib"
  cp -r "$root/etc/selinux/default/contexts/files" "$making/made/policy"
  # what is compiled was made of the same text, and is asked first
  rm "$making"/made/policy/*.bin
  cp -a "$root"/lib/x86_64-linux-gnu/libselinux.so* "$root"/usr/lib/x86_64-linux-gnu/libsepol.so* \
    "$root"/lib/x86_64-linux-gnu/libsepol.so* "$making/made/lib/" 2>/dev/null || true
  cp "$root/usr/sbin/matchpathcon" "$making/made/lib/"
  printf '#!/bin/sh\nd=$(dirname "$0")\nLD_LIBRARY_PATH=$d/lib exec "$d/lib/matchpathcon" "$@"\n' >"$making/made/matchpathcon"
  chmod +x "$making/made/matchpathcon"
  mv -T "$making/made" "$made" 2>/dev/null || [ -e "$made/matchpathcon" ]
fi
echo "$made"
