"""Lines printed when a run has ended: figure, interval, protocol, and what to try next."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from phonaut.data.classes import is_word
from phonaut.metrics import Estimate
from phonaut.plots.verification import CONDITIONS
from phonaut.reports.ideas import aligned, ideas
from phonaut.reports.record import Evaluation, Record, page_of, read
from phonaut.reports.sections.headline import absent_trials, interval_method, unknown_labels
from phonaut.reports.sections.rejection import rates_in_words
from phonaut.reports.sections.setup import model_size, rejection
from phonaut.reports.sections.training import averaged_epochs, checkpoint_criterion, turn
from phonaut.reports.text import figure, interval, percent, print_line, seconds, things, trained_speakers, value
from phonaut.runs.extraction import Extracted
from phonaut.runs.run import Run
from phonaut.tasks.cross_validation import is_few, more
from phonaut.tasks.noise_test import parsed
from phonaut.tasks.trial_scores import LEFT_OUT

LABEL_WIDTH = 13
CUTS = "cuts.txt.gz"  # of pre-training
Line = tuple[str, str, str]  # label, figure, rest


def summarize(run: Run, name: str | None = None, *, console: Console | None = None) -> None:
    """Print a few lines about an evaluation of a run.

    Lines are never cut off or broken, so that they can be searched and copied; colours only reach a terminal.

    Args:
        run: a finished run.
        name: which evaluation; None: that of the headline, the test split.
        console: where to print; None: standard output.

    Raises:
        ValueError: the run has no such evaluation.
    """
    console = console or Console()
    record = read(run.folder)
    console.print()
    for label, shown, rest in lines(record, name):
        print_line(Text.assemble((label.ljust(LABEL_WIDTH), "dim"), (shown, "bold"), rest), console)


def show_judged(run: Run, name: str, judge: str, *, console: Console | None = None) -> None:
    """Print what a judge said of generated windows, a figure a line."""
    from phonaut.tasks.judge import SIGNED  # whose packages take a second to load

    for key, one in run.metrics[name].items():
        if not str(one.get("method", "")).startswith(f"{SIGNED}{judge};"):
            continue
        rate = Estimate(one["value"], one["low"], one["high"], int(one["n"]), str(one["method"]))
        is_share = key.startswith("accuracy/")
        shown = percent(rate.value) if is_share else figure(rate.value)
        limits = interval(rate, "percent" if is_share else "number")
        print_line(f"{key}   {shown}   95 % interval {limits}, n = {rate.n:,}", console or Console())


def show_extracted(result: Extracted, target: str, *, console: Console | None = None) -> None:
    """Print the files, the speed and the next command of `extract`."""
    splits = ", ".join(f"{n:,} {split}" for split, n in result.splits.items())
    rate = result.hours * 3600 / max(result.seconds, 1e-9)
    what = f"{result.n_features} features, {things(result.n_sequences, 'recording')} ({splits})"
    folder = shlex.quote(str(result.folder))
    for label, text in (
        ("frames", f"{result.folder}   {what}"),
        ("time", f"{seconds(result.seconds)} for {result.hours:.2f} h, {rate:.0f} times real time"),
        ("next", f"phonaut train dataset=frames dataset.data_folder={folder} target={target} model=probe"),
    ):
        print_line(label.ljust(LABEL_WIDTH) + text, console or Console())


def show_exported(folder: Path, figures: Mapping[str, Any], *, console: Console | None = None) -> None:
    """Print the files of an export, and how alike they and the run are."""
    sizes = ", ".join(f"{name} {size / 1000:,.0f} kB" for name, size in figures["bytes"].items())
    lines = [("exported", f"{folder}   {sizes}")]
    for split, one in figures["parity"].items():
        lines.append((split, f"{things(one['n_changed'], 'decision')} of {one['n']:,} changed, scores differ by "
                             f"{one['largest_difference']:.1e} at most; accuracy {percent(one['accuracy'][0])} and "
                             f"{percent(one['accuracy'][1])}"))  # fmt: skip
    if stream := figures.get("stream"):
        changed = f"{things(stream['n_changed'], 'decision')} of {stream['n']:,} hops changed"
        size = f"{stream['hop_samples']:,} samples a hop, {stream['state_bytes']:,} bytes of state"
        lines.append(("stream", f"{changed}, scores differ by {stream['largest_difference']:.1e} at most; {size}"))
    lines += [
        ("latency", f"{given} in, one thread: " + ", ".join(f"{name} {ms:.2f} ms" for name, ms in times.items()))
        for given, times in figures["latency_ms"].items()
    ]
    lines += [("plan" if i == 0 else "", line) for i, line in enumerate(figures.get("plan", []))]
    lines += [
        ("next", f"{folder / 'model_card.md'} says how it runs without Phonaut"),
    ]
    for label, text in lines:
        print_line(label.ljust(LABEL_WIDTH) + text, console or Console())


def show_probes(probes: list[dict[str, Any]], *, console: Console | None = None) -> None:
    """Print the accuracy of a linear probe after each epoch."""
    for line in probes:
        rate = Estimate(line["value"], line["low"], line["high"], int(line["n"]))
        text = f"step {line['step']:,}, epoch {line['epoch'] + 1}   95 % interval {interval(rate)}, n = {rate.n:,}"
        print_line(percent(rate.value).ljust(LABEL_WIDTH) + text, console or Console())


def lines(record: Record, name: str | None) -> list[Line]:
    """Label, figure and rest of every line."""
    evaluation = next((one for one in record.evaluations if name in (None, one.name)), None)
    if evaluation is None:
        there = ", ".join(e.name for e in record.evaluations)
        raise ValueError(f"{record.run.folder} has no evaluation {name!r}; it has: {there}")
    metric = evaluation.metric
    rate = evaluation.rates[metric.name]
    counted = evaluation.classified and rate.n > 0
    people = f", {things(evaluation.n_speakers, 'speaker')}" if counted else ""
    on = f" on {things(rate.n, record.item)}{people} ({evaluation.name})"
    certainty = f"   95 % interval {interval(rate, metric.format)}{on}"
    if rate.n == 0:
        certainty = f"   nothing to count in {evaluation.name}"
    result: list[Line] = [(metric.label, value(rate.value, metric.format), certainty)]
    if method := interval_method(record, evaluation):
        result.append(("interval", "", method))
    if frames := evaluation.rates.get("frame_accuracy"):
        about = f"   95 % interval {interval(frames)} on {things(frames.n, 'frame')}, each on its own"
        result.append(("frames", percent(frames.value), about))
    if absent := absent_trials(record, evaluation):
        result.append(("absent", "", absent))
    if left_out := evaluation.rates.get(LEFT_OUT):
        result.append(("left out", things(left_out.value, "trial"), f" of {left_out.n:,}, as recordings were refused"))
    result += noise_lines(evaluation) + trial_lines(record, evaluation)
    if unknown := unknown_labels(evaluation):
        words = ", ".join(f"{word} {n}" for word, n in unknown.most_common(10)) + (" ..." if len(unknown) > 10 else "")
        about = f" of classes that the model does not know: {words}"
        result.append(("not counted", things(unknown.total(), record.item), about))
    if record.protocol and evaluation.name in ("test", "validation", "train"):
        result.append(("protocol", "", record.protocol[0]))
    if is_few(record.run.config) and evaluation.name == "test" and rate.n:
        n_words = len([name for name in record.run.classes if is_word(name)])
        if advice := more(rate, evaluation.n_speakers, n_words):
            result.append(("more", "", advice))
    if threshold := rejection(record):
        result.append(("rejected", "", threshold))
        if here := rates_in_words(record, evaluation):
            result.append(("", "", f"of {evaluation.name}, {here}"))
    result.append(("model", "", model(record)))
    if kept := kept_epoch(record):
        result.append(("kept", *kept))
    folder = record.folders.get(evaluation.name)
    refused = record.refused if folder is None else folder["refused"]
    if refused:
        about = "" if folder is None else f" of {evaluation.name}"
        result.append(("refused", things(len(refused), "recording"), f"{about}, named in the report with the reasons"))
    if silent := record.run.corpus.get("summary", {}).get("remarks", {}).get("silent"):
        result.append(("silent", things(silent, "recording"), " of the corpus: every sample of them is 0"))
    if folder and (sentence := trained_speakers(folder)):
        result.append(("speakers", "", sentence))
    if (cuts := record.run.folder / CUTS).exists():
        result.append(("cuts", "", f"{cuts} names every cut"))
    page = record.run.folder / page_of(evaluation.name)
    result.append(("report", str(page if page.exists() else record.run.folder / "report.html"), ""))
    return [*result, *(("" if i else "next", "", text) for i, text in enumerate(aligned(ideas(record))))]


def noise_lines(evaluation: Evaluation) -> list[Line]:
    """A line for each kind of noise of the evaluation."""
    metric, by_kind = evaluation.metric, dict[str, list[str]]()
    conditions = (name.partition("/")[2] for name in evaluation.rates if name.startswith(f"{metric.name}/"))
    for kind, snr_db, name in sorted((*level, name) for name in conditions if (level := parsed(name))):
        text = value(evaluation.rates[f"{metric.name}/{name}"].value, metric.format)
        by_kind.setdefault(kind, []).append(f"{text} at {snr_db:g} dB")
    label = {"noise": "in noise"}
    return [(label.get(kind, f"in {kind}"), "", ", ".join(levels)) for kind, levels in by_kind.items()]


def trial_lines(record: Record, evaluation: Evaluation) -> list[Line]:
    """A line for each kind of trial that is to be turned away, and what the threshold means."""
    result: list[Line] = []
    # Where no phrase is wrong, phrases play no part.
    names = CONDITIONS if "eer/TW" in evaluation.rates else {"IC": "impostor"}
    for name, rate in evaluation.rates.items():
        figure, _, condition = name.partition("/")
        if figure == "eer" and condition in names:
            text = f"   95 % interval {interval(rate)}, n = {rate.n:,}   {names[condition]}"
            result.append((f"EER {condition}", percent(rate.value), text))
    if result and "cllr" in evaluation.rates:
        least = evaluation.rates["min_cllr"].value
        result.append(("Cllr", f"{evaluation.rates['cllr'].value:.3f}", f"   least {least:.3f}"))
    if result and "in_words" in record.run.model and evaluation.name == "test":
        threshold = record.run.model["threshold"]
        result.append(("threshold", f"{threshold:.2f}", f"   {record.run.model['in_words']}"))
    return result


def model(record: Record) -> str:
    """Name, cost and training time in a line."""
    about = record.run.model
    costs = [f"{value} {name.lower()}" for name, value, _ in model_size(record)[:2]]
    time = [f"trained in {seconds(about['train_seconds'])}"] if "train_seconds" in about else []
    objective = [str(about["objective"])] if "objective" in about else []
    return ", ".join([str(about.get("model", record.run.folder.name)), *objective, *costs, *time])


def kept_epoch(record: Record) -> tuple[str, str] | None:
    """The epoch whose weights are the model, and why, or the epochs; None where there was one, or none is known."""
    if averaged := averaged_epochs(record.run):
        return f"mean of epochs {averaged}", ""
    best, n_epochs = record.run.model.get("best_epoch"), record.run.model.get("epochs", 1)
    if best is None or best < 0 or n_epochs < 2:
        return None
    return f"{turn(record)} {best + 1} of {n_epochs}", f", {checkpoint_criterion(record)}"
