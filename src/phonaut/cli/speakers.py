"""`phonaut speakers`."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from phonaut.cli.options import Command, option

if TYPE_CHECKING:
    from phonaut.runs.speaker_store import SpeakerStore

ACTIONS = {"list": 0, "rename": 2, "delete": 1, "add": 2}  # words that follow


@dataclass(frozen=True)
class Speakers(Command):
    """List, rename or delete the speakers of a store, or add takes to one.

    Takes that are added pass the same gate as those of phonaut enroll, and have
    to agree with those that are there.
    """

    usage = (
        "STORE list",
        "STORE rename OLD NEW",
        "STORE delete NAME [take=N]",
        "STORE add NAME FILE ... [run_folder=RUN] [force=true]",
    )
    arguments = {
        "STORE": "a folder of enrolled speakers (phonaut enroll)",
        "ACTION": "list, rename, delete or add",
        "[NAME]": "of a speaker",
        "[FILE ...]": "recordings that are added, or the new name",
    }
    examples = {
        "my_store list": "who is enrolled, with how much speech",
        "my_store add anna d.wav": "another take of a speaker",
        "my_store delete anna take=2": "remove one take; without take=, the speaker",
    }

    take: int | None = option(None, "with delete: number of the take that is removed", least=1, otherwise="all")
    run_folder: Path | None = option(None, "with add: the run, where it is not any more where it was")
    force: bool = option(False, "with add: store takes that would be refused")

    def run(self) -> int:
        """Do what the second word says."""
        folder, action, *words = self.paths
        if action not in ACTIONS:
            from phonaut.names import did_you_mean

            raise ValueError(f"speakers STORE list, rename, delete or add; got {action}{did_you_mean(action, ACTIONS)}")
        needed = ACTIONS[action]
        if len(words) < needed or (action != "add" and len(words) > needed):
            form = next(form for form in self.usage if form.split()[1] == action)
            raise ValueError(f"usage: phonaut speakers {form}; got {len(words)} words after {action}")
        of = {"take": "delete", "run_folder": "add", "force": "add"}
        if needless := [key for key in self.given(*of) if of[key] != action]:
            raise ValueError(f"{needless[0]}= goes with {of[needless[0]]}, not with {action}")
        from phonaut.runs.speaker_store import SpeakerStore

        store = SpeakerStore(folder)
        content = store.content()
        if content is None:
            raise ValueError(f"{folder} is no store of speakers yet: phonaut enroll RUN {folder} NAME FILE ...")
        if action == "list":
            print("\n".join(table(store)))
        elif action == "rename":
            store.rename(*words)
            print(f"{words[0]} is {words[1]} now")
        elif action == "delete":
            store.delete(words[0], self.take)
            print(f"{words[0]} is deleted" if self.take is None else f"take {self.take} of {words[0]} is deleted")
        else:
            self.add(store, self.run_folder or Path(content.run), words[0], words[1:])
        return 0

    def add(self, store: SpeakerStore, run: Path, name: str, files: list[str]) -> None:
        """Add takes to a speaker by the run that made the store."""
        from phonaut.runs.load import load

        if self.run_folder is not None and not os.path.isdir(run):
            raise ValueError(f"run_folder={run}: there is no such folder")
        if not run.exists():
            raise ValueError(f"{run} made the store, and is not there any more: say where it is (run_folder=RUN)")
        done = load(run).speakers(store.folder).add(name, files, force=self.force)
        for remark in done.remarks:
            print(remark, file=sys.stderr)
        print(f"{done.name} has {len(done.takes)} takes, {sum(take.speech_s for take in done.takes):.1f} s of speech")


def table(store: SpeakerStore) -> list[str]:
    """The lines of `list`: a speaker each, and a take each below."""
    rows = [("speaker", "takes", "speech", "phrase", "enrolled")]
    for name, one in store.speakers.items():
        speech_s = sum(take.speech_s for take in one.takes)
        added = max((take.added for take in one.takes), default="")
        rows.append((name, str(len(one.takes)), f"{speech_s:.1f} s", one.phrase or "any", added))
        rows += [(f"  {n} {take.name}", "", f"{take.speech_s:.1f} s", "", take.added) for n, take in
                 enumerate(one.takes, 1)]  # fmt: skip
    widths = [max(len(row[column]) for row in rows) for column in range(5)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
