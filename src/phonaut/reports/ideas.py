"""What to try after a run: a purpose, and the command for it."""

from __future__ import annotations

import shlex

from phonaut.names import as_typed
from phonaut.reports.record import Record
from phonaut.tasks.latents import FILE as LATENTS


def ideas(record: Record) -> list[tuple[str, str]]:
    """Next steps: a purpose, and the command for it; none of runs that nothing can be done with."""
    run, command = shlex.quote(str(record.run.folder)), record.run.environment.get("command")
    if not ("classes" in record.run.model or record.target in ("verification", "none")):
        return []
    steps = [("see and hear the details", "open the report in a browser")]
    if record.target == "verification":
        phrase = " phrase=WORD" * bool(record.run.config.protocol.get("text_dependent", True))
        steps.append(("enroll a speaker", f"phonaut enroll {run} speakers NAME a.wav b.wav c.wav{phrase}"))
        steps.append(("is it she, or he?", f"phonaut verify {run} speakers NAME x.wav"))
        return steps
    if record.target == "generation":
        if (generator := record.run.config.encoder.run) is not None:
            steps.append(("draw windows", f"phonaut generate {shlex.quote(str(generator))} prior={run}"))
        else:
            steps.append(("draw windows", f"phonaut generate {run} n=16"))
        if (record.run.folder / LATENTS).exists():
            steps.append(("rebuild a recording", f"phonaut generate {run} FILE"))
        steps.append(("look into the training", f"tensorboard --logdir {run}"))
        return steps
    if record.target == "none":
        corpus = "dataset=CORPUS target=phone"
        steps.append(("what has it learned?", f"phonaut evaluate {run} {corpus}"))
        steps.append(("train a model behind it", f"phonaut train {corpus} model=gru encoder.run={run}"))
        steps.append(("keep its representations", f"phonaut extract {run} {corpus}"))
        steps.append(("look into the training", f"tensorboard --logdir {run}"))
        return steps
    if record.target != "phone":
        steps.append(("ask what is in a recording", f"phonaut predict {run} FILE"))
    steps.append(("test recordings of your own", f"phonaut evaluate {run} FOLDER"))
    if record.choices.get("dataset") == "synthetic":
        steps.append(("train on words of your own", "phonaut train dataset=folder dataset.data_folder=FOLDER"))
    if command and record.run.model.get("model") != "prototypes":  # others need more recordings, and more words
        other = "lstm" if record.run.model.get("model") != "lstm" else "tc-res8"
        steps.append(("try another network", with_model(command, other)))
    steps.append(("look into the training", f"tensorboard --logdir {run}"))
    return steps


def aligned(steps: list[tuple[str, str]]) -> list[str]:
    """Purposes and commands in two columns."""
    width = max(len(purpose) for purpose, _ in steps)
    return [f"{purpose.ljust(width)}   {as_typed(how_to)}" for purpose, how_to in steps]


def with_model(command: str, model: str) -> str:
    """The command of a run, for another model and another run.

    >>> with_model("phonaut train 'dataset.data_folder=my words' model=lstm experiment_id=x", "tc-res8")
    "phonaut train 'dataset.data_folder=my words' model=tc-res8"
    """
    replaced = ("model=", "model.", "module=", "experiment_id=", "overwrite=", "resume=")
    return shlex.join([*(word for word in shlex.split(command) if not word.startswith(replaced)), f"model={model}"])
