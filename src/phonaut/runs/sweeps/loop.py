"""Ask, train, tell: the trials of a sweep, until as many are trained as were asked for."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from phonaut.runs.sweeps.goals import SIZES
from phonaut.runs.sweeps.searches import Search
from phonaut.runs.sweeps.sweep import Sweep, Trial

ASKED_PER_TRIAL = 20  # most trials that are looked at for each one that is trained
HOPELESS = 3  # failures with nothing else that end a search

Sizes = dict[str, float]


def carry_out(
    sweep: Sweep,
    search: Search,
    launch: Callable[[Sequence[int]], None],
    predict: Callable[[Sequence[str]], Sizes],
    *,
    n_trials: int,
    n_jobs: int,
    is_search: bool = True,
) -> None:
    """Train the trials of a sweep; what an earlier call trained is not trained again.

    Where a limit is of a size, the size of each trial is computed first, and one that is too large is not trained; it
    counts for nothing, nor does one with the words of an earlier trial.

    Args:
        sweep: begun.
        search: chooses the trials.
        launch: trains the trials of some numbers, which write down what became of them.
        predict: the words of a trial -> its size.
        n_trials: to be trained, failed ones among them.
        n_jobs: trained at a time.
        is_search: may be ended where the first trials all fail; a grid is gone through.

    Raises:
        ValueError: the folder has other trials than the search chooses, or nothing could be trained.
    """
    n_trained, number, batch, failures = 0, 0, list[Trial](), list[str]()
    most = n_trials * ASKED_PER_TRIAL if is_search else n_trials
    while n_trained + len(batch) < n_trials and number < most:
        trial, is_new = taken_up(sweep, number, search, retry=not is_search)
        number += 1
        if is_new and trial.state == "open":
            judge(sweep, trial, predict)
        sweep.save(trial)
        is_free = trial.state == "infeasible" or (is_copy(trial) and trial.state != "open")
        if is_free and is_search:
            search.tell(trial, sweep)
        else:
            batch.append(trial)
        if len(batch) == n_jobs or n_trained + len(batch) == n_trials or number == most:
            waiting = [one.number for one in batch if one.state == "open" and not is_copy(one)]
            if waiting:
                launch(waiting)
            done = [settled(sweep, one) for one in batch]
            for one in done:
                search.tell(one, sweep)
            n_trained, batch = n_trained + len(batch), []
            failures += [one.reason if one.state == "failed" else "" for one in done if one.number in waiting]
            if is_search and len(failures) >= HOPELESS and all(failures):
                raise ValueError(f"all {len(failures)} trials failed, so the sweep ends here: {failures[0]}")
    if n_trained < n_trials:
        print(f"{n_trained} of {n_trials} trials were trained: of {number} that were looked at, the others break a "
              "limit or are such as were trained before")  # fmt: skip


def taken_up(sweep: Sweep, number: int, search: Search, *, retry: bool) -> tuple[Trial, bool]:
    """The trial of a number and whether it is new; in a grid, failed ones are tried again.

    Raises:
        ValueError: another trial has the number, and the search cannot do with it.
    """
    words = search.ask(number)
    if not sweep.path(number).exists():
        return sweep.new(number, words), True
    trial = sweep.trial(number)
    if trial.words != words and not search.adopt(trial):
        raise ValueError(f"trial {number} in {sweep.folder} is {' '.join(trial.words)}, and would now be "
                         f"{' '.join(words)}: choose another experiment_id, or overwrite=true")  # fmt: skip
    if retry and trial.state == "failed":
        return Trial(trial.number, trial.words, trial.job), True
    return trial, False


def is_copy(trial: Trial) -> bool:
    """It has the words, and the run, of an earlier trial."""
    return trial.job.partition("_")[0] != str(trial.number)


def judge(sweep: Sweep, trial: Trial, predict: Callable[[Sequence[str]], Sizes]) -> None:
    """Compute the size of a trial where a limit is of one."""
    if not any(one.name in SIZES for one in sweep.limits):
        return
    try:
        trial.figures |= predict(trial.words)
    except (ValueError, OSError) as error:
        trial.state, trial.reason = "failed", "; ".join(str(error).splitlines())
        return
    if broken := [name for name, over in sweep.violations(trial).items() if over > 0]:
        trial.state, trial.reason = "infeasible", f"not {' and not '.join(broken)}"


def settled(sweep: Sweep, trial: Trial) -> Trial:
    """A trial as it was written down; a copy as what it is a copy of."""
    now = sweep.trial(trial.number)
    if now.state == "open" and is_copy(now):
        now = sweep.new(now.number, now.words)
        sweep.save(now)
    return now
