#!/usr/bin/env bash
# run.sh BUILD: installs BUILD into a temporary prefix, moves that, builds the plugin of core/plugin.h's tutorial against
# it in a project of its own, and uses it with the installed program. Then changes an installed header: the rebuilt
# plugin must be refused.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
quietly() { "$@" >"$work/log" 2>&1 || { cat "$work/log" && exit 1; }; }

quietly cmake --install "$1" --prefix "$work/first"
mv "$work/first" "$work/prefix"
mneme=$work/prefix/bin/mneme
"$mneme" version
"$mneme" plugins show seq >/dev/null

# The tutorial's program text: the lines behind "///     " in the header's comment.
sed -n '/^\/\/\/     #include/,/^\/\/\/ and/ s/^\/\/\/ \{0,5\}//p' "$here/../../core/plugin.h" | sed '/^and /,$d' >"$work/anchor.cpp"

build_plugin() {
  quietly cmake -S "$here/anchor" -B "$work/build" -G Ninja -DCMAKE_PREFIX_PATH="$work/prefix" \
    -DCMAKE_BUILD_TYPE=Release -DANCHOR_SOURCE="$work/anchor.cpp"
  quietly cmake --build "$work/build"
}
build_plugin
plugins=$work/build/lib/mneme/strategies
"$mneme" plugins show anchor --plugin-path "$plugins"
"$mneme" plugins list --plugin-path "$plugins" --format json | grep -q '"name": "anchor"'
test -e "$plugins/anchor.yaml"
quietly ctest --test-dir "$work/build" --output-on-failure

echo '// another header' >>"$work/prefix/include/mneme/core/strategy/strategy.h"
build_plugin
if "$mneme" plugins show anchor --plugin-path "$plugins" 2>"$work/refusal"; then
  echo "a plugin built against other headers was loaded" && exit 1
fi
grep "built for toolchain .* instead of .*; rebuild the plugin" "$work/refusal"
