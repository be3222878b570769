#!/usr/bin/env bash
# Proof of the set-up on a machine that has nothing: makes a bare Debian 12 root file system with debootstrap, clones
# this checkout's HEAD into it and runs tools/mneme (twice) and tools/test there, with times. Needs root, debootstrap
# and the network; takes as long as a build. Not part of the tests.
#
#   tests/packaging/fresh_machine.sh [DIR]   DIR (new, or a root file system from before) stays; without it a temporary
#                                            directory is used and removed
#   CPUS=0,1                                 processors to use
#   LINK_CACHE=1                             start with this machine's unpacked LibTorch instead of fetching it
set -euo pipefail
source_root=$(cd "$(dirname "$0")/../.." && pwd)

if [[ ${1:-} != --inside ]]; then
  # Mounts live in an own namespace: they vanish with it, however this ends.
  status=0
  if [[ $# -gt 0 ]]; then
    unshare --mount "$0" --inside "$(realpath -m "$1")" || status=$?
  else
    directory=$(mktemp -d)
    unshare --mount "$0" --inside "$directory" || status=$?
    rm -rf --one-file-system "$directory"
  fi
  exit $status
fi

machine=$2
if [[ ! -e $machine/bin/bash ]]; then
  debootstrap --variant=minbase bookworm "$machine"
fi
# What lets the bare system reach the network as this one does.
for file in /etc/resolv.conf /etc/pip.conf /etc/ssl/certs /usr/local/share/ca-certificates; do
  [[ ! -e $file ]] || { mkdir -p "$machine$(dirname $file)" && cp -rL "$file" "$machine$(dirname $file)/"; }
done
mount -t proc proc "$machine/proc"
mount --rbind /dev "$machine/dev"
mount --make-rprivate "$machine/dev"
rm -rf "$machine/root/mneme"
git clone --quiet --no-hardlinks "$source_root" "$machine/root/mneme"
if [[ ${LINK_CACHE:-} == 1 ]]; then
  mkdir -p "$machine/root/.cache/mneme"
  mount --bind "${XDG_CACHE_HOME:-$HOME/.cache}/mneme" "$machine/root/.cache/mneme"
fi

inside='cd /root/mneme; for command in "tools/mneme version" "tools/mneme version" tools/test "tools/test"; do
          echo "=== $command"; time $command || exit; done'
taskset -c "${CPUS:-0-$(($(nproc --all) - 1))}" chroot "$machine" /usr/bin/env -i HOME=/root TERM=dumb LANG=C.UTF-8 \
  PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin /bin/bash -c "$inside"
