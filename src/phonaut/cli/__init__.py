"""The command line: `phonaut COMMAND [RUN or files ...] [key=value ...]`, one short function per command."""

from __future__ import annotations

import hashlib
import os
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from phonaut.cli.options import count, flag, listed, number, options_of, split_config_dirs, split_flags, split_paths

if TYPE_CHECKING:
    from omegaconf import DictConfig

HELP = """\
Phonaut trains, compares and ships models of speech.

  phonaut COMMAND [RUN or files ...] [key=value ...]

Commands
{commands}

Examples
  phonaut train                                     ten words of synthetic speech, in two minutes
  phonaut train dataset=folder dataset.data_folder=recordings
                                                    your own: one directory per word, files <speaker>_<take>.wav
  phonaut train dataset=fsdd model=lstm trainer.max_epochs=20
  phonaut train -m features=mfcc,melspec seed=0,1   all combinations, a run each
  phonaut train dataset=kws -c job                  print every key with its value, and what is wrong
  phonaut evaluate trained_models/ID new_recordings score a folder with a trained model
  phonaut evaluate trained_models/ID noise=white    score the test split in noise of 5 to 30 dB SNR
  phonaut train model=mockingjay_small dataset=fsdd pre-train an encoder on recordings without labels
  phonaut train dataset=fsdd encoder.run=trained_models/ID   put it in front of a model
  phonaut prepare dataset=librispeech units=1000    its transcripts in units that SentencePiece learns in training
  phonaut extract trained_models/ID dataset=fsdd    representations of a corpus, for dataset=frames
  phonaut extract trained_models/ID a.wav plot=true pictures of an encoder's layers and attention
  phonaut compare trained_models/A trained_models/B side by side, with intervals and paired tests

Choices, as group=choice
{groups}

A run lies in trained_models/<experiment_id>/<model>: report.html, metrics.json, model.safetensors, TensorBoard events.
The same experiment_id again resumes it. Corpora are looked for under $PHONAUT_DATA, else under datasets/; prepared
corpora lie under $PHONAUT_CACHE, else under ~/.cache/phonaut. PHONAUT_DEBUG=1 shows where an error came from.
"""
PREPARE_OPTIONS = {"n_jobs", "units", "units_kind", "output"}


def train(words: Sequence[str]) -> int:
    """Prepare what is missing, train, evaluate, write the report."""
    flags, overrides = split_flags(words, {"-c", "--cfg"}, {"-m", "--multirun"})
    if "-c" in flags or "--cfg" in flags:
        return show(overrides)
    if "-m" in flags or "--multirun" in flags:
        return sweep(overrides)
    from phonaut.config.compose import compose

    train_one(compose(overrides), overrides)
    return 0


def show(overrides: Sequence[str]) -> int:
    """Print whatever composes, then what is wrong with it."""
    from omegaconf import OmegaConf

    from phonaut.config.compose import draft

    config, problems = draft(overrides)
    print(OmegaConf.to_yaml(config), end="", flush=True)
    for problem in problems:
        print(f"refused: {problem}", file=sys.stderr)
    return 0


def train_one(config: DictConfig, overrides: Sequence[str], job: str = "") -> float | None:
    """Train one run and say how it went; the lowest validation loss is what a sweeper minimises."""
    from omegaconf import OmegaConf

    from phonaut.config.plugins import added_config_dirs
    from phonaut.runs import train as train_run
    from phonaut.runs.run import default_experiment_id

    if config.experiment_id is None:
        task = config.choices.objective if config.get("objective") else config.target
        config.experiment_id = default_experiment_id(config.choices.dataset, task)
        overrides = [*overrides, f"experiment_id={config.experiment_id}"]
        sys.argv.append(overrides[-1])  # Lightning's ddp starts this command again for each process
    OmegaConf.resolve(config)
    folder = Path(config.output_dir) / str(config.experiment_id) / job / config.choices.model
    again = [text for text in overrides if not text.startswith(("overwrite=", "resume="))]
    folders = [word for path in added_config_dirs() for word in ("--config-dir", str(path))]
    run = train_run(config, folder, ["phonaut", "train", *again, *folders])
    if run is None:
        return None
    from phonaut.reports import write_report
    from phonaut.reports.terminal import summarize

    write_report(run.folder)
    summarize(run)
    return min((line.get("validation/loss", float("inf")) for line in run.history), default=None)


def sweep(overrides: Sequence[str]) -> int:
    """All combinations by Hydra's sweeper, a run each, one level deeper than a single run."""
    import hydra
    from hydra.core.hydra_config import HydraConfig
    from omegaconf import open_dict

    from phonaut.config.compose import ConfigurationError, as_text, finish, impossible
    from phonaut.config.plugins import CONF, choices, search_path
    from phonaut.runs.run import default_experiment_id

    texts = [as_text(text, sweep=True) for text in overrides]
    if not any(text.startswith("experiment_id=") for text in texts):
        texts.append(f"experiment_id={default_experiment_id('sweep', 'of')}")

    @hydra.main(version_base="1.3", config_path=str(CONF), config_name="config")
    def job(config: DictConfig) -> float | None:
        chosen = HydraConfig.get().runtime.choices
        mine = [text for text in HydraConfig.get().overrides.task if not text.startswith("experiment_id=")]
        with open_dict(config):
            config.choices = {group: name for group, name in chosen.items() if group in choices()}
        problems = impossible(finish(config), mine)
        if str(config.trainer.strategy).startswith("ddp") and config.trainer.strategy != "ddp_spawn":
            problems.append(f"trainer.strategy={config.trainer.strategy} would start the sweep again: use ddp_spawn")
        if problems:
            raise ConfigurationError(problems)
        return train_one(
            config, [*mine, f"experiment_id={config.experiment_id}"], job_name(HydraConfig.get().job.num, mine)
        )

    sys.argv = [sys.argv[0], "--multirun", *search_path(), *texts]
    job()
    return 0


def job_name(number: int, overrides: Sequence[str]) -> str:
    """`<number>_<overrides>`: short, unique, without slashes.

    >>> job_name(3, ["features=mfcc", "optimizer.lr=0.1"])
    '3_features-mfcc_optimizer.lr-0.1'
    """
    text = "_".join(re.sub(r"[^\w.-]+", "-", override) for override in overrides)
    if len(text) > 60:
        text = f"{text[:50]}_{hashlib.sha256('|'.join(overrides).encode()).hexdigest()[:8]}"
    return f"{number}_{text}" if text else str(number)


def prepare(words: Sequence[str]) -> int:
    """Make the manifests of a corpus, and list what was refused; units=1000: its transcripts in text units too."""
    mine = [text for text in words if text.partition("=")[0] in PREPARE_OPTIONS]
    options, overrides = options_of("prepare", mine, PREPARE_OPTIONS), [text for text in words if text not in mine]
    n_jobs, n_units = count(options, "n_jobs"), count(options, "units")
    needless = sorted(options.keys() & {"units_kind", "output"})
    if n_units is None and needless:
        raise ValueError(f"{needless[0]}= goes with units=1000")
    from phonaut.config.compose import compose
    from phonaut.data.preparation.prepare import describe
    from phonaut.data.preparation.text_units import Wanted, describe_units, write_units
    from phonaut.runs.build import prepared_corpus

    config = compose(overrides if n_units is None else asking_for_texts(overrides))
    if n_units is None:
        print(describe(prepared_corpus(config, n_jobs=n_jobs)))
        return 0
    output = Path(options.get("output", f"units/{config.choices.dataset}"))
    wanted = Wanted(n_units, options.get("units_kind", "unigram"), output)
    wanted.check()
    prepared = prepared_corpus(config, n_jobs=n_jobs)
    print(describe(prepared), flush=True)
    print(describe_units(write_units(prepared, wanted)))
    return 0


def asking_for_texts(overrides: Sequence[str]) -> list[str]:
    """`overrides`; a corpus that can do without labels is asked to, where no target is named.

    Raises:
        ValueError: speakers are asked for, who are in all splits.
    """
    targets = [text.rpartition("=")[2] for text in overrides if text.startswith(("target=", "dataset.target="))]
    if "speaker" in targets:
        raise ValueError("target=speaker has every speaker in all splits, and units are learned without those of the "
                         "test: leave it out")  # fmt: skip
    from hydra.utils import get_class

    from phonaut.config.compose import draft

    corpus = get_class(draft(overrides)[0].dataset._target_)
    asked = ["dataset.target=text"] if not targets and getattr(corpus, "has_texts", False) else []
    return [*overrides, *asked]


def evaluate(words: Sequence[str]) -> int:
    """Score a split of a run's corpus, or a new folder, with a trained model; noise=white,recorded: also in noise.

    Of a pre-trained encoder there is a corpus to probe: `evaluate RUN dataset=... target=...`.
    """
    usage = "evaluate RUN [FOLDER] [split=test] [noise=white,recorded] [snr_db=5,10,...] [dataset.key=value ...]"
    paths, overrides = split_paths(words, usage)
    if any(text.startswith(("dataset=", "target=")) for text in overrides):
        return probe(paths, overrides)
    mine = [text for text in overrides if not text.startswith("dataset.")]
    options = options_of("evaluate", mine, {"split", "batch_size", "noise", "snr_db", "noise_folder"})
    if len(paths) > 2:
        raise ValueError(f"evaluate takes RUN and one FOLDER; it got {len(paths)} paths: {', '.join(paths)}")
    batch_size = count(options, "batch_size")
    needless = sorted(options.keys() & {"snr_db", "noise_folder"})
    if "noise" not in options and needless:
        raise ValueError(f"{needless[0]}= goes with noise=white,recorded")
    numbers = [number(text, "snr_db") for text in listed(options["snr_db"])] if "snr_db" in options else []
    from phonaut.runs import evaluate as evaluate_run
    from phonaut.runs import members
    from phonaut.runs.noise_test import NoiseTest

    noise = None
    if "noise" in options:
        more = {"snr_db": tuple(numbers)} if "snr_db" in options else {}
        folder = Path(options["noise_folder"]) if "noise_folder" in options else None
        noise = NoiseTest(tuple(listed(options["noise"])), folder=folder, **more)
    for member in members(paths[0]):
        run, name = evaluate_run(
            member,
            data_folder=Path(paths[1]) if len(paths) == 2 else None,
            split=options.get("split", "test"),
            overrides=[text for text in overrides if text.startswith("dataset.")],
            batch_size=batch_size,
            noise=noise,
        )
        from phonaut.reports import write_report
        from phonaut.reports.terminal import summarize

        write_report(run.folder)
        summarize(run, name)
    return 0


def probe(paths: Sequence[str], overrides: Sequence[str]) -> int:
    """Say what a linear probe tells from each checkpoint that a pre-training run has kept."""
    usage = "phonaut evaluate RUN dataset=speechocean762 target=speaker"
    if len(paths) != 1:
        raise ValueError(f"a probe takes one RUN; it got {len(paths)} paths: {', '.join(paths)}; {usage}")
    from phonaut.reports import write_report
    from phonaut.reports.terminal import show_probes
    from phonaut.runs import Run
    from phonaut.runs.probing import probe_run

    run = Run(paths[0])
    show_probes(probe_run(run, overrides, tell=lambda text: print(text, file=sys.stderr, flush=True)))
    print(write_report(run.folder))
    return 0


def compare(words: Sequence[str]) -> int:
    """Put runs side by side on the same test items, with intervals, paired tests and their curves in noise."""
    usage = "compare RUN RUN ... [split=test] [metric=NAME] [output=FOLDER]"
    paths, overrides = split_paths(words, usage)
    options = options_of("compare", overrides, {"split", "metric", "output"})
    from phonaut.reports.comparison import write_comparison
    from phonaut.reports.comparison_table import show
    from phonaut.runs.comparison import compare as compare_runs

    comparison = compare_runs(paths, split=options.get("split", "test"), metric=options.get("metric", "accuracy"))
    written = write_comparison(comparison, Path(options["output"]) if "output" in options else None)
    show(comparison, written)
    return 0


def align(words: Sequence[str]) -> int:
    """Find when each phone is spoken in a transcribed corpus, by pocketsphinx and by phone models of our own."""
    mine = [text for text in words if not text.startswith(("dataset=", "dataset.", "target="))]
    options = options_of("align", mine, {"aligner", "output", "n_jobs", "lexicon"})
    n_jobs = count(options, "n_jobs")
    from hydra.utils import instantiate

    from phonaut.alignment.align import SAMPLE_RATE
    from phonaut.alignment.align import align as align_corpus
    from phonaut.config.compose import compose
    from phonaut.data.preparation.prepare import prepare as prepare_corpus
    from phonaut.reports.alignment import show as show_alignment

    # Of the targets, the one that has every sentence and needs no phones.
    config = compose(["target=speaker", *(text for text in words if text not in mine)])
    corpus = instantiate(config.dataset)
    own = corpus.lexicon() if hasattr(corpus, "lexicon") else None
    result = align_corpus(
        prepare_corpus(corpus, sample_rate=SAMPLE_RATE),
        output=Path(options.get("output", f"alignments/{config.choices.dataset}")),
        aligner=options.get("aligner", "both"),
        lexicon=Path(options["lexicon"]) if "lexicon" in options else own if own and own.is_file() else None,
        n_jobs=2 if n_jobs is None else n_jobs,
        tell=lambda text: print(text, file=sys.stderr, flush=True),
    )
    show_alignment(result)
    return 0


def extract(words: Sequence[str]) -> int:
    """Write what a run's encoder or front end makes of a corpus, as frames that dataset=frames takes."""
    usage = "extract RUN dataset=... [target=...] [layer=last|all|weighted|NUMBER] [output=FOLDER] [overwrite=true]"
    paths, overrides = split_paths(words, usage)
    if any(text.startswith(("plot=", "head=")) for text in overrides):
        return pictures(paths, overrides)
    mine = [text for text in overrides if not text.startswith(("dataset=", "dataset.", "target="))]
    options = options_of("extract", mine, {"layer", "output", "overwrite"})
    if len(paths) != 1:
        shown = ", ".join(paths)
        raise ValueError(f"extract takes one RUN, a FILE with plot=true alone; it got {len(paths)} paths: {shown}")
    overwrite = flag(options, "overwrite")
    if not any(text.startswith("dataset=") for text in overrides):
        raise ValueError(f"which recordings? Name a corpus: phonaut {usage}")
    from phonaut.checkpoints.imported import folder_of
    from phonaut.config.compose import compose
    from phonaut.reports.terminal import show_extracted
    from phonaut.runs import Run
    from phonaut.runs.build import prepared_corpus
    from phonaut.runs.extraction import extract as extract_from

    run, layer = Run(folder_of(paths[0], compose)), options.get("layer")
    for note in run.config.imported.notes if "imported" in run.config else []:
        print(f"{paths[0]}: {note}", file=sys.stderr)
    config = compose([text for text in overrides if text not in mine])
    config.features.sample_rate = run.config.features.sample_rate
    own = Path(paths[0]).stem if Path(paths[0]).is_file() else run.folder.parent.name
    name = "-".join([str(config.choices.dataset), config.target, own, *([layer] if layer else [])])
    result = extract_from(
        run,
        prepared_corpus(config),
        Path(options.get("output", f"representations/{name}")),
        layer=int(layer) if layer is not None and layer.isdigit() else layer,
        overwrite=overwrite,
        max_recording_s=config.max_recording_s,
        tell=lambda text: print(text, file=sys.stderr, flush=True),
    )
    show_extracted(result, config.target)
    return 0


def pictures(paths: Sequence[str], overrides: Sequence[str]) -> int:
    """Show what a run's encoder does with one recording: `extract RUN FILE plot=true`."""
    usage = "phonaut extract RUN FILE plot=true [head=true] [output=FOLDER]"
    options = options_of("extract with plot=true", overrides, {"plot", "head", "output"})
    head = flag(options, "head")
    if not flag(options, "plot"):
        raise ValueError(f"{' '.join(overrides)}: it is plot=true that asks for pictures: {usage}")
    if len(paths) != 2:
        raise ValueError(f"plot=true takes a RUN and one FILE; it got {len(paths)} paths: {', '.join(paths)}; {usage}")
    from phonaut.checkpoints.imported import folder_of
    from phonaut.config.compose import compose
    from phonaut.runs import Run
    from phonaut.runs.visualize import write_pictures

    file = Path(paths[1])
    written = write_pictures(
        Run(folder_of(paths[0], compose)),
        file,
        Path(options.get("output", f"pictures/{file.stem}")),
        head=head,
        tell=lambda text: print(text, file=sys.stderr, flush=True),
    )
    print(*written, sep="\n")
    return 0


def report(words: Sequence[str]) -> int:
    """Write the report of a run again."""
    paths, _ = split_paths(words, "report RUN")
    from phonaut.reports import write_report
    from phonaut.runs import Run

    for path in paths:
        print(write_report(Run(path).folder))
    return 0


COMMANDS: dict[str, Callable[[Sequence[str]], int]] = {
    command.__name__: command for command in (train, prepare, align, extract, evaluate, compare, report)
}


def help_text() -> str:
    """What `phonaut --help` prints."""
    from phonaut.config.plugins import choices

    commands = "\n".join(f"  {name:<10}{(run.__doc__ or '').splitlines()[0]}" for name, run in COMMANDS.items())
    groups = "\n".join(f"  {group + ' ':<14}{', '.join(names)}" for group, names in choices().items())
    return HELP.format(commands=commands, groups=groups)


def main(words: Sequence[str] | None = None) -> int:
    """Run a command; a mistake is one sentence and exit code 2, a failure one sentence and exit code 1."""
    from phonaut.config.plugins import add_config_dir

    try:
        folders, words = split_config_dirs(sys.argv[1:] if words is None else words)
        for path in folders:
            add_config_dir(path)
    except ValueError as error:
        return explained(error)
    if not words or {"-h", "--help", "help"} & set(words):
        print(help_text(), end="")
        return 0
    if words[0] == "--version":
        from phonaut import __version__

        print(__version__)
        return 0
    if words[0] not in COMMANDS:
        from phonaut.config.compose import nearest

        print(f"phonaut has no command {words[0]}{nearest(words[0], COMMANDS)} (phonaut --help)", file=sys.stderr)
        return 2
    try:
        return COMMANDS[words[0]](words[1:])
    except KeyboardInterrupt:
        print("\nstopped; the same command goes on from the last checkpoint", file=sys.stderr)
        return 130
    except Exception as error:
        return explained(error)


def explained(error: Exception) -> int:
    """Say what went wrong in a sentence; what is no mistake of the user's keeps its traceback."""
    cause: BaseException = error
    while type(cause).__module__.startswith("hydra.") and cause.__cause__ is not None:
        cause = cause.__cause__
    if os.environ.get("PHONAUT_DEBUG") or not isinstance(cause, (ValueError, OSError)):
        raise error
    first, *rest = str(cause).splitlines() or [type(cause).__name__]
    print("\n  ".join(["phonaut cannot do this:", first, *rest] if rest else [f"phonaut: {first}"]), file=sys.stderr)
    return 2 if isinstance(cause, ValueError) else 1


if __name__ == "__main__":
    sys.exit(main())
