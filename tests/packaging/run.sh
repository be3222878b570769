#!/usr/bin/env bash
# run.sh BUILD: installs BUILD into a temporary prefix, moves that, and makes a project of its own against it: the strategy
# that `mneme plugins new` writes and the one of core/plugin.h's tutorial. Both must build, load, and keep the contract.
# Then changes an installed header: the rebuilt plugins must be refused.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'echo "failed: line $LINENO: $BASH_COMMAND"' ERR
quietly() { "$@" >"$work/log" 2>&1 || { cat "$work/log" && exit 1; }; }

quietly cmake --install "$1" --prefix "$work/first"
mv "$work/first" "$work/prefix"
mneme=$work/prefix/bin/mneme
"$mneme" version
"$mneme" plugins show seq >/dev/null
# A vocabulary is learnt by a module that is installed too.
quietly "$mneme" pretrain "$here/../../experiments/pretrain_t5.yaml" steps=1 vocabulary=400 output="$work/t5"
test -s "$work/t5/spiece.model"

"$mneme" plugins new scaffold --dir "$work/project"
# The tutorial's program text: the lines behind "///     " in the header's comment.
sed -n '/^\/\/\/     #include/,/^\/\/\/ and/ s/^\/\/\/ \{0,5\}//p' "$here/../../core/plugin.h" | sed '/^and /,$d' \
  >"$work/project/anchor.cpp"
printf 'name: anchor\nstrength: 0.1\n' >"$work/project/anchor.yaml"
echo 'mneme_add_strategy(anchor SOURCES anchor.cpp CONFIG anchor.yaml)' >>"$work/project/CMakeLists.txt"

build_plugins() {
  quietly cmake -S "$work/project" -B "$work/build" -G Ninja -DCMAKE_PREFIX_PATH="$work/prefix"
  quietly cmake --build "$work/build" --target "$@"
}
build_plugins all
plugins=$work/build/lib/mneme/strategies
"$mneme" plugins show anchor --plugin-path "$plugins"
"$mneme" plugins list --plugin-path "$plugins" --format json | grep '"name": "scaffold"' >/dev/null
test -e "$plugins/anchor.yaml"
quietly ctest --test-dir "$work/build" --output-on-failure

echo '// another header' >>"$work/prefix/include/mneme/core/strategy/strategy.h"
build_plugins strategy_anchor
if "$mneme" plugins show anchor --plugin-path "$plugins" 2>"$work/refusal"; then
  echo "a plugin built against other headers was loaded" && exit 1
fi
grep "built for toolchain .* instead of .*; rebuild the plugin" "$work/refusal"
