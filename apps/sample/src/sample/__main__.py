"""The command `sample`."""

import sys

import tyro
from rich.console import Console
from rich.text import Text

from sample.config import SampleConfig
from sample.device import pick_device
from sample.run import load_run, newest_run
from sample.web.runs import Runs
from sample.writing import write


def main() -> None:
    """Runs `sample` on the command line's arguments; exits with 1 and a sentence on bad input."""
    config = tyro.cli(SampleConfig, prog="sample")
    console = Console(highlight=False, markup=False, emoji=False)
    try:
        if config.web:
            _serve(config, console)
            return
        texts = _write(config, console)
    except (ValueError, OSError) as error:
        message = Text("error: ", style="bold red").append(str(error), style="not bold default")
        Console(stderr=True, highlight=False).print(message, soft_wrap=True)
        sys.exit(1)
    console.print()  # the first was printed as it was written
    for text in texts[1:]:
        console.rule(style="dim")
        console.print(text, soft_wrap=True)


def _write(config: SampleConfig, console: Console) -> list[str]:
    if config.num_samples < 1:
        raise ValueError(f"num_samples must be at least 1, got {config.num_samples}")
    if len(config.run) > 1:
        raise ValueError(f"a text is of one run, got {len(config.run)}; compare them with --web")
    directory = config.run[0] if config.run else newest_run()
    run = load_run(directory, pick_device(config.device), config.step)
    return write(
        run.model,
        run.tokenizer,
        config.prompt,
        max_new_tokens=config.max_new_tokens,
        temperature=config.temperature,
        top_p=config.top_p,
        top_k=config.top_k,
        min_p=config.min_p,
        repetition_penalty=config.repetition_penalty,
        stop=config.stop,
        seed=config.seed,
        num_samples=config.num_samples,
        on_text=lambda piece: console.print(piece, end="", soft_wrap=True),
    )


def _serve(config: SampleConfig, console: Console) -> None:
    try:
        from sample.web.server import serve  # takes seconds, and what an extra brings
    except ModuleNotFoundError as error:
        if error.name != "gradio":
            raise
        raise ValueError("--web needs gradio: pip install 'sample-app[web]'") from error
    runs = Runs(config.run or (newest_run(),), pick_device(config.device), config.step)
    serve(runs, config.host, config.port, say=console.print)


if __name__ == "__main__":
    main()
