# shellcheck shell=bash
# Set-up shared by tools/mneme and tools/test, which source this file and call `setup TARGET…`: Debian packages,
# LibTorch, configuration and build. Everything is said on standard error; a second call finds its stamp and only asks
# ninja whether a source has changed.
#
# Environment: LIBTORCH=DIR      an existing LibTorch (the directory with lib/ and include/) instead of the pinned wheel
#              MNEME_CACHE=DIR   where the wheel is unpacked; else $XDG_CACHE_HOME/mneme, else ~/.cache/mneme
#              MNEME_JOBS=N      build jobs; else as many as processors and memory allow
#              MNEME_CUDA=1|0    fetch the CUDA libraries that LibTorch needs on a GPU; else if a GPU is present

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
build=$root/build

packages=(build-essential ca-certificates ccache cmake git ninja-build pkgconf python3 python3-pip
  catch2 gnuplot-nox libbenchmark-dev libboost1.81-dev libboost-program-options1.81-dev libeigen3-dev libfmt-dev
  libhdf5-dev libpcre2-dev libsentencepiece-dev libspdlog-dev libssl-dev libyaml-cpp-dev nlohmann-json3-dev)

torch_version=2.11.0
torch_wheels=("torch==$torch_version" "nvidia-cuda-runtime==13.0.*" "nvidia-cuda-cupti==13.0.*")
# What a GPU needs besides: the libraries that torch's own wheel requires, in its versions.
cuda_wheels=("cuda-toolkit[cublas,cufft,cufile,curand,cusolver,cusparse,nvjitlink,nvrtc,nvtx]==13.0.2"
  nvidia-cudnn-cu13==9.19.0.56 nvidia-cusparselt-cu13==0.8.0 nvidia-nccl-cu13==2.28.9 nvidia-nvshmem-cu13==3.4.5)

say() { echo "mneme set-up: $*" >&2; }
fail() {
  say "$*"
  exit 1
}

# missing_packages NAME…: those that are not installed.
missing_packages() {
  local package
  for package in "$@"; do
    [[ $(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null) == installed ]] || echo "$package"
  done
}

# install_packages NAME…: whatever of it is not there.
install_packages() {
  if ! command -v apt-get >/dev/null || ! command -v dpkg-query >/dev/null; then
    say "this is no Debian: install the equivalents of these packages yourself: $*"
    return
  fi
  local missing as_root=()
  mapfile -t missing < <(missing_packages "$@")
  [[ ${#missing[@]} -gt 0 ]] || return 0
  if [[ $EUID -ne 0 ]]; then
    as_root=(sudo)
    if ! command -v sudo >/dev/null; then
      say "Debian packages are missing and this is neither root nor is there sudo; have an administrator run:" \
        "apt-get install --no-install-recommends ${missing[*]}"
      return
    fi
  fi
  say "installing ${#missing[@]} Debian packages: ${missing[*]}"
  local apt=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q -o Acquire::Retries=3)
  "${apt[@]}" update >&2 || fail "apt-get update failed (see above); check the network and the package sources"
  "${apt[@]}" install -y --no-install-recommends "${missing[@]}" >&2 ||
    fail "apt-get install failed (see above); Mneme is made for Debian 12"
}

# unpack_wheels DIR WHEEL…: downloads wheels with pip and unpacks them side by side in DIR.
unpack_wheels() {
  local directory=$1 wheel machine
  shift
  machine=$(uname -m)
  local platforms=() glibc
  for glibc in manylinux_2_28 manylinux_2_27 manylinux_2_26 manylinux_2_25 manylinux_2_18 manylinux_2_17 \
    manylinux2014 linux; do
    platforms+=(--platform "${glibc}_$machine")
  done
  # The Python version of the wheel does not matter, the libraries are the same: always the one of Debian 12.
  /usr/bin/python3 -m pip download --quiet --disable-pip-version-check --retries 5 --dest "$directory/wheels" \
    --only-binary=:all: --python-version 3.11 --implementation cp --abi cp311 --abi abi3 --abi none \
    "${platforms[@]}" "$@" >&2 || fail "pip could not fetch $* (see above)"
  for wheel in "$directory"/wheels/*.whl; do
    /usr/bin/python3 -m zipfile -e "$wheel" "$directory" || fail "$wheel cannot be unpacked; is the disk full?"
  done
  rm -r "$directory/wheels"
}

# Sets and checks LIBTORCH. The directory of the wheel appears only when it is complete.
fetch_libtorch() {
  local home=${MNEME_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/mneme}/libtorch-$torch_version
  if [[ -z ${LIBTORCH:-} ]]; then
    if [[ ! -e $home ]]; then
      say "fetching LibTorch $torch_version (0.6 GB, 1.2 GB unpacked) into $home"
      mkdir -p "$home.$$"
      # shellcheck disable=SC2064  # the names are meant to be expanded now
      trap "rm -rf '$home.$$'" EXIT
      unpack_wheels "$home.$$" --no-deps "${torch_wheels[@]}"
      mv -T "$home.$$" "$home"
      trap - EXIT
    fi
    LIBTORCH=$home/torch
    fetch_cuda "$home"
  fi
  [[ -e $LIBTORCH/lib/libtorch_cpu.so ]] ||
    fail "LIBTORCH=$LIBTORCH: lib/libtorch_cpu.so is not there; give the directory that holds lib/ and include/," \
      "such as .../site-packages/torch, or unset LIBTORCH"
}

fetch_cuda() {
  local home=$1 wanted=${MNEME_CUDA:-}
  [[ -n $wanted || ! -e /dev/nvidiactl ]] || wanted=1
  [[ $wanted == 1 && ! -e $home/cuda-complete ]] || return 0
  say "fetching the CUDA libraries of LibTorch $torch_version (2 GB) into $home; MNEME_CUDA=0 skips this"
  unpack_wheels "$home" "${cuda_wheels[@]}"
  touch "$home/cuda-complete"
}

# One job per processor, but 1.5 GB of memory for each: sources that include LibTorch need that much.
build_jobs() {
  local processors memory limit
  processors=$(nproc)
  memory=$(awk '/^MemAvailable/ {print int($2 / 1024)}' /proc/meminfo)
  limit=$(cat /sys/fs/cgroup/memory.max 2>/dev/null || echo max)
  if [[ $limit != max ]] && ((limit / 1048576 < memory)); then memory=$((limit / 1048576)); fi
  local jobs=$((memory / 1500))
  ((jobs < processors)) || jobs=$processors
  echo $((jobs > 0 ? jobs : 1))
}

configure() {
  local fresh=()
  if [[ -e $build/CMakeCache.txt ]] && ! grep -qx "CMAKE_HOME_DIRECTORY:INTERNAL=$root" "$build/CMakeCache.txt"; then
    say "this checkout has moved: configuring anew"
    fresh=(--fresh)
  fi
  say "configuring build/ with LibTorch at $LIBTORCH"
  (cd "$root" && cmake "${fresh[@]}" --preset release -DLIBTORCH="$LIBTORCH" >&2) ||
    fail "configuration failed (see above)"
}

# setup TARGET…: everything that building these targets needs, then the build.
setup() {
  mkdir -p "$build"
  exec 9>"$build/.setup-lock"
  if ! flock -n 9; then
    say "waiting for another set-up of this checkout"
    flock 9
  fi
  local key
  key=$(cat "$root/tools/setup.sh" "$root/CMakePresets.json" - <<<"$root|${LIBTORCH:-}|${MNEME_CACHE:-}|${CXX:-}" |
    sha256sum)
  if [[ ! -e $build/build.ninja || $(cat "$build/.setup-stamp" 2>/dev/null) != "$key" ]]; then
    rm -f "$build/.setup-stamp"
    install_packages "${packages[@]}"
    fetch_libtorch
    configure
    say "building (the first time takes some minutes)"
    echo "$key" >"$build/.setup-stamp"
  fi
  ninja -C "$build" -j "${MNEME_JOBS:-$(build_jobs)}" "$@" 2>&1 |
    sed -u -e '/^ninja: \(Entering directory\|no work to do\)/d' -e '/Re-checking globbed directories/d' >&2 ||
    fail "the build failed (see above)"
  exec 9>&-
}
