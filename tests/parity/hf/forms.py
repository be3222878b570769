"""Forms in which the files of one model are found: single or sharded, safetensors or archives of torch, config.json as
older versions of transformers wrote it."""
import json

import torch


def old_config(config):
    """The fields as they were before transformers 5: names that changed, and defaults that went unsaid."""
    config = dict(config)
    if "dtype" in config:
        config["torch_dtype"] = config.pop("dtype")
    rope = config.pop("rope_parameters", None)
    if rope is not None:
        rope = dict(rope)
        config["rope_theta"] = rope.pop("rope_theta")
        kind = rope.pop("rope_type")
        # Linear scaling is older than the name `rope_type`.
        name = "type" if kind == "linear" else "rope_type"
        config["rope_scaling"] = None if kind == "default" else {name: kind, **rope}
    if config["model_type"] == "llama":
        heads = config["num_attention_heads"]
        if config["num_key_value_heads"] == heads:
            del config["num_key_value_heads"]
        if config["head_dim"] == config["hidden_size"] // heads:
            del config["head_dim"]
        for name in ["attention_bias", "mlp_bias", "tie_word_embeddings"]:
            if not config[name]:
                del config[name]
    config.pop("layer_types", None)
    if config["model_type"] == "t5":
        scaled = config.pop("scale_decoder_outputs")
        config["tie_word_embeddings"] = scaled
        if config["num_decoder_layers"] == config["num_layers"]:
            del config["num_decoder_layers"]
    return config


def torch_names(model, state):
    """What torch.save found in older models: every name of a shared tensor, and buffers that are no longer stored."""
    state = dict(state)
    if model.config.model_type == "llama":
        for layer in range(model.config.num_hidden_layers):
            state[f"model.layers.{layer}.self_attn.rotary_emb.inv_freq"] = torch.ones(model.config.head_dim // 2)
    if model.config.model_type == "t5":
        # A leftover of the conversion from Mesh TensorFlow, in all checkpoints of T5 v1.0.
        state["decoder.block.0.layer.1.EncDecAttention.relative_attention_bias.weight"] = torch.ones(
            model.config.relative_attention_num_buckets, model.config.num_heads)
    return state


def save(model, directory, files, old):
    """The model in one of the forms of shapes.random_form()."""
    model.save_pretrained(directory, **({"max_shard_size": "16KB"} if files == "shards" else {}))
    if files.startswith("bin"):
        (directory / "model.safetensors").unlink()
        state = torch_names(model, model.state_dict())
        if files == "bin":
            torch.save(state, directory / "pytorch_model.bin")
        else:
            names = sorted(state)
            index = {}
            for part in range(3):
                name = f"pytorch_model-{part + 1:05}-of-00003.bin"
                torch.save({key: state[key] for key in names[part::3]}, directory / name)
                index.update({key: name for key in names[part::3]})
            (directory / "pytorch_model.bin.index.json").write_text(json.dumps({"metadata": {}, "weight_map": index}))
    if old:
        path = directory / "config.json"
        path.write_text(json.dumps(old_config(json.loads(path.read_text())), indent=1))
