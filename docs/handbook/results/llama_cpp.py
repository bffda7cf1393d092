"""A run taken to llama.cpp: converted by its own converter, and held against the model here.

    uv run --with xllamacpp --with sentencepiece --with gguf python \
        docs/handbook/results/llama_cpp.py --run runs/handbook --llama-cpp DIR

writes llama_cpp.json beside this file; the run is that of stories_run.py. DIR is llama.cpp's
source, `vendor/llama.cpp` of llama-cpp-python's source distribution, for its converter; xllamacpp
brings llama.cpp built.
"""

import argparse
import json
import runpy
import sys
import tempfile
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Any
from unittest import mock

import torch
import xllamacpp
from nnparts import to_huggingface
from sample import LoadedRun, load_run
from shared import END, machine
from trainkit import Sampling, generate_stream

PROMPT = f"{END}\nLast summer, Tom's red crown was"
MAX_NEW_TOKENS = 80


def convert(llama_cpp: Path, model: Path, gguf: Path) -> str:
    """Runs the converter twice: as it is, for its error, which is returned; then told the pattern.

    It knows the pattern of a byte-level tokenizer by a hash of the ids of one text, and so only
    tokenizers that it has met. Ours splits as GPT-2's does, which has a name there.
    """
    sys.path.insert(0, str(llama_cpp))
    from conversion.base import TextModel

    arguments = [str(model), "--outfile", str(gguf), "--outtype", "f32"]

    def run() -> None:
        with mock.patch.object(sys, "argv", ["convert", *arguments]):
            runpy.run_path(str(llama_cpp / "convert_hf_to_gguf.py"), run_name="__main__")

    try:
        run()
    except NotImplementedError as error:
        refusal = str(error)
    else:
        refusal = ""
    with mock.patch.object(TextModel, "get_vocab_base_pre", return_value="gpt-2"):
        run()
    return refusal


def theirs(gguf: Path) -> dict[str, Any]:
    """The likeliest continuation by llama.cpp, which also tokenizes the prompt."""
    params = xllamacpp.CommonParams()
    params.model.path = str(gguf)
    params.n_ctx = 256
    answer = xllamacpp.Server(params).handle_completions(
        {"prompt": PROMPT, "max_tokens": MAX_NEW_TOKENS, "temperature": 0.0, "logprobs": 1}
    )
    tokens = answer["choices"][0]["logprobs"]["content"]
    return {
        "token_ids": [token["id"] for token in tokens],
        "log_probs": [token["logprob"] for token in tokens],
        "text": answer["choices"][0]["text"],
    }


def ours(run: LoadedRun) -> dict[str, Any]:
    """The likeliest continuation by the model here."""
    prompt_ids = run.tokenizer.encode(PROMPT)
    steps = list(generate_stream(run.model, prompt_ids, MAX_NEW_TOKENS, Sampling(temperature=0)))
    token_ids = [step.token_ids.item() for step in steps]
    return {
        "token_ids": token_ids,
        "log_probs": [step.log_probs.item() for step in steps if step.log_probs is not None],
        "text": run.tokenizer.decode(token_ids),
    }


def main() -> None:
    """Converts, compares, and writes the result."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--llama-cpp", type=Path, required=True, metavar="DIR")
    arguments = parser.parse_args()
    run = load_run(arguments.run, torch.device("cpu"))
    with tempfile.TemporaryDirectory() as name:
        directory, gguf = Path(name), Path(name, "stories.gguf")
        to_huggingface(run.model, directory, eos_token_id=run.tokenizer.special_tokens[END])
        run.tokenizer.save(directory / "tokenizer.json")
        refusal = convert(arguments.llama_cpp.resolve(), directory, gguf)
        there, here = theirs(gguf), ours(run)
        size = gguf.stat().st_size
    pairs = list(zip(there["log_probs"], here["log_probs"], strict=True))
    result = {
        "date": date.today().isoformat(),
        "machine": machine(),
        "versions": {name: version(name) for name in ("xllamacpp", "torch")},
        "converter": arguments.llama_cpp.resolve().parents[1].name,
        "refusal": refusal,
        "gguf_bytes": size,
        "prompt": PROMPT,
        "text": there["text"],
        "same_token_ids": there["token_ids"] == here["token_ids"],
        "largest_difference": max(abs(one - other) for one, other in pairs),
    }
    Path(__file__).with_suffix(".json").write_text(json.dumps(result, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
