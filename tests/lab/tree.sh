# Sourced by the scripts that make trees of Debian 12, from the repository's root: sets $lab, the directory that they
# stand in, and makes one. Needs root, or user namespaces, and mmdebstrap. SOURCES names a file of apt sources or a
# mirror to use instead of the machine's own.
mkdir -p "${NOVACTL_LAB:-target/lab}"
lab=$(cd "${NOVACTL_LAB:-target/lab}" && pwd)

# Makes a tree where there is none yet:  make_tree DIRECTORY [option of mmdebstrap]...
make_tree() {
  tree=$1
  shift
  [ ! -e "$tree/etc/debian_version" ] || return 0
  command -v mmdebstrap >/dev/null || { echo "no mmdebstrap" >&2; exit 3; }
  making=$(mktemp -d "$lab/making.XXXXXX")
  trap 'rm -rf "$making"' EXIT
  # none: mmdebstrap takes Debian's own
  sources=${SOURCES:-}
  [ -n "$sources" ] || [ ! -e /etc/apt/sources.list.d/debian.sources ] ||
    sources=/etc/apt/sources.list.d/debian.sources
  mmdebstrap --quiet --variant=minbase \
    --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
    --dpkgopt='path-exclude=/usr/share/man/*' "$@" \
    --customize-hook='rm -rf "$1"/var/cache/apt/* "$1"/var/lib/apt/lists/* "$1"/var/log/*' \
    bookworm "$making/tree" ${sources:+"$sources"} >&2
  rm -rf "$making/tree"/dev/*
  chmod 755 "$making/tree"
  settle "$tree"
}

# Puts what was made in its place, unless somebody else put the same there meanwhile.
settle() { mv -T "$making/tree" "$1" 2>/dev/null || [ -e "$1/etc/debian_version" ]; }
