#!/bin/sh
# usage: tests/fuzz/seeds.sh OUT: writes OUT/text/, OUT/weights/ and OUT/model_config/, first inputs of the fuzz targets, made of the fixtures.
set -eu
here=$(cd "$(dirname "$0")/.." && pwd)
mkdir -p "$1/text" "$1/weights" "$1/model_config"
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
for file in "$here"/parity/hf/fixtures/*/config.json; do seed model_config 000 "$file"; done
for file in "$here"/parity/hf/fixtures/*/adapter/adapter_config.json; do seed model_config 002 "$file"; done
printf '\001%s' '{"eos_token_id": [2, 3], "decoder_start_token_id": 0, "temperature": 0.6}' > "$out/model_config/generation"
printf '\002%s' '{"peft_type": "PROMPT_TUNING", "num_virtual_tokens": 5}' > "$out/model_config/prompt"
printf '\002%s' '{"peft_type": "LORA", "r": 3, "target_modules": ".*(q_proj|v)", "rank_pattern": {"q_proj": 5}, "alpha_pattern": {"v": 2.5}, "use_rslora": true, "layers_to_transform": [0]}' > "$out/model_config/lora"
# Small ones, which are mutated faster.
tiny='"added_tokens":[],"model":{"type":"BPE","vocab":{"a":0,"b":1,"ab":2,"<0x41>":3},"merges":["a b"],"byte_fallback":true}'
split='{"type":"Split","pattern":{"Regex":"\\p{N}{1,3}|[^\\s]+"},"behavior":"Isolated","invert":false}'
json() { printf '\000{%s,%s}' "$2" "$tiny" > "$out/text/tiny_$1"; }
json normalizer '"normalizer":{"type":"Sequence","normalizers":[{"type":"NFKC"},{"type":"Replace","pattern":{"String":" "},"content":"_"},{"type":"Strip","strip_left":true,"strip_right":true}]}'
json splitter '"pre_tokenizer":{"type":"Sequence","pretokenizers":['"$split"',{"type":"Metaspace","replacement":"_","prepend_scheme":"first"},{"type":"Digits","individual_digits":true}]}'
json decoder '"decoder":{"type":"Sequence","decoders":[{"type":"ByteFallback"},{"type":"Fuse"},{"type":"Strip","content":" ","start":1,"stop":0}]}'
json processor '"post_processor":{"type":"TemplateProcessing","single":[{"SpecialToken":{"id":"a","type_id":0}},{"Sequence":{"id":"A","type_id":0}}],"pair":[],"special_tokens":{"a":{"id":"a","ids":[0],"tokens":["a"]}}}'
printf '\003%s' "[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|(?i:'s|'ll)| ?[^\\s\\p{L}]+[\\r\\n]*|\\s+(?!\\S)|\\x{e9}\\u00e8" > "$out/text/pattern"
