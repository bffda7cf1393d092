"""A directory that holds a model: what is refused, and what a failure leaves (table, property)."""

import json

import pytest
import safetensors.torch
import torch
from nnparts import TransformerConfig, TransformerLM, from_huggingface, to_huggingface

CONFIG = TransformerConfig(11, 8, 8, 2, 2, 12)
V_PROJ = "model.layers.1.self_attn.v_proj.weight"


def make_model(seed=0, **fields):
    config = TransformerConfig.from_dict(CONFIG.to_dict() | fields)
    return TransformerLM(config, generator=torch.Generator().manual_seed(seed))


def rewrite(directory, change):
    """Put the weights, once changed, in the place of those in `directory`."""
    path = directory / "model.safetensors"
    weights = safetensors.torch.load(path.read_bytes())
    change(weights)
    path.unlink()
    path.write_bytes(safetensors.torch.save(weights, {"format": "pt"}))


def contents(directory):
    return {path.name: path.read_bytes() for path in directory.iterdir()}


def assert_equal(ours, theirs):
    for name, weight in theirs.state_dict().items():
        assert torch.equal(ours.state_dict()[name], weight), name


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda w: w.pop(V_PROJ), f"{V_PROJ}: missing in the files, \\(8, 8\\) to us"),
        (
            lambda w: w.update({V_PROJ.replace("weight", "bias"): torch.zeros(8)}),
            r"v_proj.bias: \(8,\) in the files, unknown to us",
        ),
        (
            lambda w: w.update({V_PROJ: torch.zeros(4, 8)}),
            r"v_proj.weight: \(4, 8\) in the files, \(8, 8\) to us",
        ),
        (lambda w: [w.pop(name) for name in list(w)[1:]], "and 10 more"),
        (
            lambda w: w.update({V_PROJ: w[V_PROJ].bfloat16()}),
            "the weights are bfloat16, float32: say by dtype=",
        ),
        (
            lambda w: w.update({V_PROJ: w[V_PROJ].to(torch.int8)}),
            "floats of 16 bits or more, got int8",
        ),
        (
            lambda w: w.update({V_PROJ: w[V_PROJ].to(torch.float8_e4m3fn)}),
            "floats of 16 bits or more, got float8_e4m3fn",
        ),
    ],
)
def test_weights_of_another_model_are_refused(change, message, tmp_path):
    to_huggingface(make_model(), tmp_path)
    rewrite(tmp_path, change)
    with pytest.raises(ValueError, match=message):
        from_huggingface(tmp_path)


def test_frequencies_stored_by_old_llamas_are_passed_over(tmp_path):
    ours = make_model()
    to_huggingface(ours, tmp_path)
    name = "model.layers.0.self_attn.rotary_emb.inv_freq"
    rewrite(tmp_path, lambda weights: weights.update({name: torch.ones(2)}))
    assert_equal(from_huggingface(tmp_path), ours)


def test_a_tied_head_may_be_stored_too_if_it_is_the_embeddings(tmp_path):
    ours = make_model(tied_embeddings=True)
    to_huggingface(ours, tmp_path)
    table = ours.token_embeddings.weight.detach()
    rewrite(tmp_path, lambda weights: weights.update({"lm_head.weight": table.clone()}))
    assert_equal(from_huggingface(tmp_path), ours)
    rewrite(tmp_path, lambda weights: weights.update({"lm_head.weight": table + 1}))
    with pytest.raises(ValueError, match=r"lm_head\.weight differs from"):
        from_huggingface(tmp_path)


@pytest.mark.parametrize("kept_bytes", [0, 4, 100, 2000])
def test_a_file_cut_short_is_refused(kept_bytes, tmp_path):
    to_huggingface(make_model(), tmp_path)
    path = tmp_path / "model.safetensors"
    path.write_bytes(path.read_bytes()[:kept_bytes])
    with pytest.raises(ValueError, match=r"model\.safetensors is not a whole safetensors file"):
        from_huggingface(tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"model_type": ', "is not a whole JSON file"),
        ("[]", "must hold a JSON object, got list"),
        ("{}", "describes no model of ours: only LlamaForCausalLM"),
    ],
)
def test_a_config_that_is_none_is_refused(text, message, tmp_path):
    to_huggingface(make_model(), tmp_path)
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(ValueError, match=message):
        from_huggingface(tmp_path)


@pytest.mark.parametrize(
    ("name", "value"),
    [("rms_norm_eps", "small"), ("rope_theta", None), ("rope_scaling", {"factor": "2"})],
)
def test_text_where_a_number_should_be_is_a_value_error(name, value, tmp_path):
    to_huggingface(make_model(), tmp_path)
    path = tmp_path / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {name: value}))
    with pytest.raises(ValueError, match=r"config\.json describes no model of ours"):
        from_huggingface(tmp_path)


def test_a_directory_without_a_model_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"config\.json"):
        from_huggingface(tmp_path)
    to_huggingface(make_model(), tmp_path)
    (tmp_path / "model.safetensors").rename(tmp_path / "pytorch_model.bin")
    with pytest.raises(FileNotFoundError, match=r"pickled weights \(\.bin\) are not read"):
        from_huggingface(tmp_path)


def test_a_missing_shard_is_named(tmp_path):
    to_huggingface(make_model(), tmp_path, max_shard_bytes=1000)
    next(tmp_path.glob("model-00002-of-*.safetensors")).unlink()
    with pytest.raises(FileNotFoundError, match=r"model-00002-of-.* is missing"):
        from_huggingface(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda weight_map: weight_map.update(there=weight_map[V_PROJ]), "there"),
        (lambda weight_map: weight_map.pop(V_PROJ), "v_proj"),
        (lambda weight_map: weight_map.update({V_PROJ: "../model.safetensors"}), "a file beside"),
        (lambda weight_map: weight_map.update({V_PROJ: 3}), "a file beside"),
        (lambda weight_map: weight_map.clear(), "a file beside"),
    ],
)
def test_an_index_that_does_not_fit_its_shards_is_refused(change, message, tmp_path):
    to_huggingface(make_model(), tmp_path, max_shard_bytes=1000)
    path = tmp_path / "model.safetensors.index.json"
    index = json.loads(path.read_text())
    change(index["weight_map"])
    path.write_text(json.dumps(index))
    with pytest.raises(ValueError, match=message):
        from_huggingface(tmp_path)


def test_a_model_replaces_another_and_leaves_strangers(tmp_path):
    to_huggingface(make_model(), tmp_path / "deep" / "model", max_shard_bytes=1000)
    directory = tmp_path / "deep" / "model"
    (directory / "tokenizer.json").write_text("{}")
    ours = make_model(seed=1, sliding_window=3)
    to_huggingface(ours, directory)
    assert sorted(contents(directory)) == [
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "tokenizer.json",
    ]
    assert_equal(from_huggingface(directory), ours)


def test_a_failure_leaves_the_old_model(tmp_path, monkeypatch):
    to_huggingface(make_model(), tmp_path)
    before = contents(tmp_path)
    save = safetensors.torch.save

    def fail_at_the_second(tensors, metadata):
        monkeypatch.setattr(safetensors.torch, "save", full_disk)
        return save(tensors, metadata)

    def full_disk(tensors, metadata):
        raise OSError("No space left on device")

    monkeypatch.setattr(safetensors.torch, "save", fail_at_the_second)
    with pytest.raises(OSError, match="No space left"):
        to_huggingface(make_model(seed=1), tmp_path, max_shard_bytes=1000)
    assert contents(tmp_path) == before


def test_a_model_without_a_twin_touches_no_file(tmp_path):
    with pytest.raises(ValueError, match="norm='post'"):
        to_huggingface(make_model(norm="post"), tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_training_a_loaded_model_leaves_its_file_alone(tmp_path):
    to_huggingface(make_model(), tmp_path)
    before = contents(tmp_path)
    loaded = from_huggingface(tmp_path)
    with torch.no_grad():
        for parameter in loaded.parameters():
            parameter.zero_()
    assert contents(tmp_path) == before


def test_a_loaded_model_outlives_its_file(tmp_path):
    ours = make_model()
    to_huggingface(ours, tmp_path)
    loaded = from_huggingface(tmp_path)
    to_huggingface(make_model(seed=1), tmp_path)
    assert_equal(loaded, ours)


def test_loaded_weights_are_the_pages_of_the_file(tmp_path):
    to_huggingface(make_model(), tmp_path)
    data = (tmp_path / "model.safetensors").read_bytes()
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    loaded = from_huggingface(tmp_path).layers[0]
    weights = {
        "self_attn.v_proj": loaded.attn.v_proj,
        "mlp.gate_proj": loaded.ffn.w1,
        "input_layernorm": loaded.ln1,
    }
    starts = {  # where the file would begin if the weight is in it
        module.weight.data_ptr() - header[f"model.layers.0.{name}.weight"]["data_offsets"][0]
        for name, module in weights.items()
    }
    assert len(starts) == 1


def test_a_wrapped_model_is_refused(tmp_path):
    with pytest.raises(TypeError, match="a TransformerLM is needed, got Sequential"):
        to_huggingface(torch.nn.Sequential(make_model()), tmp_path)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_shard_bytes": 0}, "max_shard_bytes must be positive, got 0"),
        ({"dtype": torch.int8}, "floats of 16 bits or more, got int8"),
    ],
)
def test_options_that_make_no_file_are_refused(options, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        to_huggingface(make_model(), tmp_path, **options)
    assert not contents(tmp_path)
