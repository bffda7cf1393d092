"""The page's answers, without a page. Parity: with `write`, also two texts at a time."""

import itertools
import json
from pathlib import Path

import pytest
import torch
from sample.run import load_run
from sample.web.knobs import Knobs, read_stop
from sample.web.limits import Limits
from sample.web.playground import Playground
from sample.web.runs import Runs, of_its_own
from sample.writing import write
from trainkit import Sampling

CPU = torch.device("cpu")
USUAL = {  # in the order of the page
    "max_new_tokens": 40,
    "temperature": 0.8,
    "top_p": 0.95,
    "top_k": 0,
    "min_p": 0,
    "repetition_penalty": 1,
    "stop": "",
    "seed": 0,
}


def knobs(**changed):
    return Knobs.read(list((USUAL | changed).values()))


@pytest.fixture(scope="module")
def directory(make_run, tmp_path_factory) -> Path:
    return make_run(tmp_path_factory.mktemp("runs") / "one")


@pytest.fixture
def runs(directory) -> Runs:
    return Runs([directory, directory.parent / "missing"], CPU)


@pytest.fixture
def name(directory) -> str:
    return str(directory)


@pytest.fixture
def playground(runs) -> Playground:
    return Playground(runs, Limits(characters=200, new_tokens=50))


def last(frames):
    *_, (text, _) = frames
    return text


def test_the_page_writes_what_the_command_does(playground, directory, name):
    run = load_run(directory, CPU)
    theirs = write(run.model, run.tokenizer, "the", max_new_tokens=40, top_k=20, seed=3, stop=["q"])
    ours = playground.write("a", name, "the", knobs(top_k=20, seed=3, stop="q"))
    assert last(ours) == theirs[0]


def test_two_texts_of_one_run_written_in_turns_are_each_as_alone(playground, name):
    asked = [knobs(seed=seed) for seed in (1, 2)]
    alone = [last(playground.write("a", name, "on", each)) for each in asked]
    both = [playground.write("a", name, "on", each) for each in asked]
    frames = list(itertools.zip_longest(*both))
    seen = [[frame for frame in side if frame is not None] for side in zip(*frames, strict=True)]
    assert [frames[-1][0] for frames in seen] == alone


def test_a_model_of_its_own_shares_weights_but_not_what_decoding_sets_up(directory):
    model = load_run(directory, CPU).model
    own = of_its_own(model)
    assert [p.data_ptr() for p in own.parameters()] == [p.data_ptr() for p in model.parameters()]
    own.train()
    assert not any(module.training for module in model.modules())


def test_a_text_that_is_left_in_its_middle_leaves_nothing_set_up(playground, runs, name):
    frames = playground.write("a", name, "", knobs())
    next(frames)
    frames.close()
    assert not runs.load(name).model.training
    assert playground.look("a", name, "the", None, knobs())


def test_one_looks_at_the_end_or_at_a_token(playground, name):
    tokens, expected = playground.look("a", name, "the", None, knobs())
    assert "3 tokens; the next one" in tokens
    assert "actual" not in expected
    tokens, expected = playground.look("a", name, "the", 2, knobs())
    assert '<p class="detail">token 2 ' in tokens
    assert expected.count('<tr class="actual">') == 1
    assert playground.look("a", name, "the", 10**9, knobs()) == playground.look(
        "a", name, "the", None, knobs()
    )
    assert "nothing is expected" in playground.look("a", name, "the", -1, knobs())[1]


@pytest.mark.parametrize(
    ("prompt", "sentence"),
    [("a" * 201, "may have 200 characters"), ("\ud800", "surrogate")],
)
def test_a_bad_prompt_is_refused_in_words(playground, name, prompt, sentence):
    with pytest.raises(ValueError, match=sentence):
        playground.look("a", name, prompt, None, knobs())
    with pytest.raises(ValueError, match=sentence):
        next(playground.write("a", name, prompt, knobs()))


def test_more_tokens_than_the_limit_are_refused(playground, name):
    with pytest.raises(ValueError, match="50 new tokens here"):
        next(playground.write("a", name, "", knobs(max_new_tokens=51)))


def test_texts_have_a_rate_limit_of_their_own(runs, name):
    playground = Playground(runs, Limits(texts_per_minute=1))
    last(playground.write("a", name, "", knobs(max_new_tokens=1)))
    with pytest.raises(ValueError, match="at most 1 of these a minute"):
        next(playground.write("a", name, "", knobs()))
    playground.look("a", name, "", None, knobs())


def test_a_run_that_can_not_be_read_is_told_of_and_tried_again(make_run, runs, directory):
    playground, missing = Playground(runs, Limits()), directory.parent / "missing"
    assert 'role="alert"' in playground.facts(str(missing))
    assert "it has no config.json" in playground.facts(str(missing))
    make_run(missing)
    assert "step 7 · 16," in playground.facts(str(missing))


def test_a_config_that_is_another_programs_is_told_of(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "gpt2"}))
    (tmp_path / "tokenizer.json").write_text("{}")
    assert 'role="alert"' in Playground(Runs([tmp_path], CPU), Limits()).facts(str(tmp_path))


def test_only_the_runs_that_were_named_can_be_asked_for(runs, directory):
    with pytest.raises(ValueError, match="no run '/etc' here"):
        runs.load("/etc")
    assert runs.names == [str(directory), str(directory.parent / "missing")]


def test_what_changes_nothing_means_all():
    assert knobs(top_p=1).sampling == Sampling(temperature=0.8)
    assert knobs(top_k=3, min_p=0.1, seed=5).sampling == Sampling(0.8, 3, 0.95, 0.1)


@pytest.mark.parametrize("changed", [{"seed": None}, {"temperature": "hot"}, {"top_p": 2}])
def test_a_field_that_is_empty_or_out_of_range_is_refused(changed):
    with pytest.raises(ValueError, match=r"needs a number|must be in"):
        knobs(**changed)


def test_stops_are_lines_in_which_a_line_end_can_be_written():
    assert read_stop("The end\n\n\\n\\n\n ") == ("The end", "\n\n", " ")


def test_a_stopped_text_ends_at_the_next_token_and_says_so(playground, name):
    asked = iter([False, False, True])
    frames = list(playground.write("a", name, "on", knobs(), lambda: next(asked)))
    assert frames[-1][1] == "3 tokens, stopped"
    assert last(playground.write("a", name, "on", knobs())).startswith(frames[-1][0])
