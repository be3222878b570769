"""Configurations of the models that record.py makes: those of the repository, and random ones with random forms of their
files."""


def shape(family, **fields):
    return {"model_type": family, **fields}


def llama3_rope(theta, factor, original):
    return {"rope_type": "llama3", "rope_theta": theta, "factor": factor, "low_freq_factor": 1.0,
            "high_freq_factor": 4.0, "original_max_position_embeddings": original}


COMMITTED = {
    "llama_plain": shape("llama", vocab_size=97, hidden_size=32, intermediate_size=40, num_hidden_layers=2,
                         num_attention_heads=4, num_key_value_heads=4),
    "llama_grouped": shape("llama", vocab_size=83, hidden_size=42, intermediate_size=56, num_hidden_layers=2,
                           num_attention_heads=6, num_key_value_heads=2, head_dim=10, tie_word_embeddings=True,
                           rms_norm_eps=1e-5, rope_parameters=llama3_rope(500000.0, 8.0, 16)),
    "llama_biased": shape("llama", vocab_size=71, hidden_size=24, intermediate_size=36, num_hidden_layers=3,
                          num_attention_heads=3, num_key_value_heads=1, head_dim=14, attention_bias=True,
                          mlp_bias=True, hidden_act="gelu_pytorch_tanh",
                          rope_parameters={"rope_type": "linear", "rope_theta": 1000.0, "factor": 4.0}),
    "mistral_full": shape("mistral", vocab_size=97, hidden_size=32, intermediate_size=48, num_hidden_layers=2,
                          num_attention_heads=4, num_key_value_heads=2, sliding_window=None),
    "mistral_window": shape("mistral", vocab_size=64, hidden_size=36, intermediate_size=44, num_hidden_layers=3,
                            num_attention_heads=3, num_key_value_heads=1, sliding_window=7),
    "mistral_wide": shape("mistral", vocab_size=89, hidden_size=24, intermediate_size=64, num_hidden_layers=2,
                          num_attention_heads=4, num_key_value_heads=4, head_dim=16, sliding_window=16,
                          tie_word_embeddings=True, rope_parameters={"rope_type": "default", "rope_theta": 100.0}),
    "qwen2_tied": shape("qwen2", vocab_size=97, hidden_size=32, intermediate_size=40, num_hidden_layers=2,
                        num_attention_heads=4, num_key_value_heads=2, tie_word_embeddings=True),
    "qwen2_untied": shape("qwen2", vocab_size=61, hidden_size=48, intermediate_size=40, num_hidden_layers=2,
                          num_attention_heads=6, num_key_value_heads=3, rms_norm_eps=1e-5,
                          rope_parameters={"rope_type": "default", "rope_theta": 1000000.0}),
    "qwen2_window": shape("qwen2", vocab_size=79, hidden_size=24, intermediate_size=52, num_hidden_layers=3,
                          num_attention_heads=4, num_key_value_heads=1, use_sliding_window=True, sliding_window=5,
                          max_window_layers=0),
    "qwen3_tied": shape("qwen3", vocab_size=97, hidden_size=32, intermediate_size=40, num_hidden_layers=2,
                        num_attention_heads=4, num_key_value_heads=2, head_dim=12, tie_word_embeddings=True),
    "qwen3_untied": shape("qwen3", vocab_size=67, hidden_size=40, intermediate_size=44, num_hidden_layers=2,
                          num_attention_heads=2, num_key_value_heads=2, head_dim=32, rms_norm_eps=1e-5),
    "qwen3_biased": shape("qwen3", vocab_size=73, hidden_size=24, intermediate_size=36, num_hidden_layers=3,
                          num_attention_heads=6, num_key_value_heads=2, head_dim=6, attention_bias=True),
    "t5_v10": shape("t5", vocab_size=97, d_model=32, d_kv=8, d_ff=48, num_layers=2, num_heads=4),
    "t5_v11": shape("t5", vocab_size=83, d_model=28, d_kv=12, d_ff=36, num_layers=2, num_decoder_layers=3, num_heads=3,
                    feed_forward_proj="gated-gelu", tie_word_embeddings=False),
    "t5_odd": shape("t5", vocab_size=71, d_model=30, d_kv=7, d_ff=44, num_layers=3, num_decoder_layers=1, num_heads=5,
                    feed_forward_proj="gated-silu", relative_attention_num_buckets=10,
                    relative_attention_max_distance=20, layer_norm_epsilon=1e-5),
    "t5_small_buckets": shape("t5", vocab_size=64, d_model=24, d_kv=16, d_ff=40, num_layers=1, num_decoder_layers=2,
                              num_heads=2, feed_forward_proj="gelu", tie_word_embeddings=False,
                              relative_attention_num_buckets=6, relative_attention_max_distance=9),
}


ACTIVATIONS = ["silu", "silu", "swish", "gelu", "gelu_new", "gelu_pytorch_tanh", "relu"]


def odd_or_even(rng, most):
    """Head sizes of rotary models are even; halves of them need not be."""
    return 2 * rng.randint(1, most)


def random_t5(rng, vocabulary):
    """tie_word_embeddings scales the decoder's outputs; own_head says whether the head differs from the embeddings."""
    buckets = rng.choice([4, 6, 8, 9, 16, 32, 33])
    return shape("t5", vocab_size=vocabulary, d_model=rng.randint(5, 70), d_kv=rng.randint(3, 40),
                 d_ff=rng.randint(7, 99), num_layers=rng.randint(1, 4), num_decoder_layers=rng.randint(1, 4),
                 num_heads=rng.randint(1, 6), relative_attention_num_buckets=buckets,
                 relative_attention_max_distance=rng.randint(buckets // 2 + 1, 150),
                 feed_forward_proj=rng.choice(["relu", "gated-gelu", "gated-gelu", "gated-silu", "gelu", "gelu_new",
                                               "gated-relu", "gated-gelu_new", "swish"]),
                 tie_word_embeddings=rng.random() < 0.5, own_head=rng.random() < 0.5, layer_norm_epsilon=rng.choice([1e-6, 1e-5, 1e-9, 1e-2]))


def random_rope(rng):
    theta = rng.choice([2.0, 100.0, 10000.0, 1e6, 1e9])
    return rng.choice([{"rope_type": "default", "rope_theta": theta},
                       {"rope_type": "linear", "rope_theta": theta, "factor": rng.choice([1.0, 2.0, 3.5])},
                       llama3_rope(theta, rng.choice([1.0, 2.0, 8.0, 32.0]), rng.choice([8, 32, 8192]))])


# A window of 1 is left out: transformers' cache of keys then keeps all, so that its answers are not those of its logits,
# and gradients of queries and keys are 0.
def random_decoder(rng, family, vocabulary):
    groups, ratio = rng.randint(1, 4), rng.randint(1, 4)
    heads = groups * ratio
    fields = dict(vocab_size=vocabulary, hidden_size=heads * odd_or_even(rng, 8), intermediate_size=rng.randint(5, 120),
                  num_hidden_layers=rng.randint(1, 4), num_attention_heads=heads, num_key_value_heads=groups,
                  tie_word_embeddings=rng.random() < 0.5, rms_norm_eps=rng.choice([1e-6, 1e-5, 1e-3, 1e-12]),
                  hidden_act=rng.choice(ACTIVATIONS), max_position_embeddings=rng.choice([128, 2048]),
                  rope_parameters=random_rope(rng))
    if family != "qwen2" and rng.random() < 0.6 or family == "qwen3":
        fields["head_dim"] = odd_or_even(rng, 20)
    if family in ("llama", "qwen3"):
        fields["attention_bias"] = rng.random() < 0.3
    if family == "llama":
        fields["mlp_bias"] = rng.random() < 0.3
    if family == "mistral":
        fields["sliding_window"] = rng.choice([None, 2, 6, 30, 4096])
    if family.startswith("qwen") and rng.random() < 0.4:
        fields.update(use_sliding_window=True, sliding_window=rng.randint(2, 30),
                      max_window_layers=rng.choice([0, 0, 28]))
    return shape(family, **fields)


def random_shape(rng):
    family = rng.choice(["llama", "llama", "mistral", "qwen2", "qwen3", "t5", "t5"])
    vocabulary = rng.randint(40, 300)
    return random_t5(rng, vocabulary) if family == "t5" else random_decoder(rng, family, vocabulary)


def random_form(rng):
    """How the weights are stored and how old a config.json is; see rewrite()."""
    return dict(dtype=rng.choice(["bfloat16", "float16", "float32"]),
                files=rng.choice(["safetensors", "safetensors", "shards", "bin", "bin_shards"]),
                old_config=rng.random() < 0.5)
