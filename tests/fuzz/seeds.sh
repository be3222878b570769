#!/bin/sh
# usage: tests/fuzz/seeds.sh OUT: writes OUT/text/ and OUT/weights/, first inputs of the fuzz targets, made of the fixtures.
set -eu
here=$(cd "$(dirname "$0")/.." && pwd)
mkdir -p "$1/text" "$1/weights"
seed() { # FOLDER CHOICE FILE
  name=$(basename "$(dirname "$3")")_$(basename "$3")
  { printf "\\$2"; cat "$3"; } > "$out/$1/$name"
}
out=$1
for file in "$here"/parity/tokenizers/fixtures/*/tokenizer.json; do seed text 000 "$file"; done
for file in "$here"/parity/tokenizers/fixtures/*/spiece.model; do seed text 001 "$file"; done
for file in "$here"/parity/tokenizers/fixtures/*/tokenizer.model; do seed text 002 "$file"; done
for file in "$here"/parity/model/fixtures/torch_archive/*.bin; do seed weights 000 "$file"; done
for file in "$here"/parity/model/fixtures/torch_archive/*.safetensors; do seed weights 001 "$file"; done
