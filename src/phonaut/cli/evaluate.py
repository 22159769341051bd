"""`phonaut evaluate`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from phonaut.cli.detecting import LISTENING, Detecting
from phonaut.cli.options import CORPUS, option, print_progress
from phonaut.data.utterance import SPLITS

DETECTION = "protocol=detection"
OF_STREAMS = ("false_alarms", "minutes", "insertions", "negatives", "streams", "validation_streams", "seed")


@dataclass(frozen=True)
class Evaluate(Detecting):
    """Score a split of a run's corpus, or a folder, with a trained model.

    Also in noise of several SNRs. A pre-trained encoder has no classes to
    score: it is probed by a linear classifier, trained on a corpus and target.
    With protocol=detection words are to be found in long sound, by what
    phonaut listen runs: misses, false alarms an hour, and the threshold.
    """

    usage = (
        "RUN [FOLDER] [split=test] [noise=white,recorded] [snr_db=5,10] [dataset.KEY=VALUE ...]",
        "RUN judge=RUN [convert=gender:f [strength=1]] [split=test]",
        "RUN dataset=NAME target=NAME [dataset.KEY=VALUE ...]",
        "RUN protocol=detection [negatives=FOLDER] [streams=FOLDER] [keywords=WORD,...]",
    )
    arguments = {
        "RUN": "trained_models/ID, or a sweep over folds: each of its runs",
        "[FOLDER]": "recordings, all of them tested, in place of the run's own corpus",
    }
    composes = {
        **CORPUS,
        "dataset.KEY=VALUE": "how FOLDER is read, such as dataset.speaker_pattern=...; dataset.test=FILE where the "
        "run's corpus has a test file",
        "negatives.folder=FOLDER": "where the negatives of the run's training lie now",
        "dataset=NAME": "the corpus of a probe",
        "protocol=NAME": "how a probe's corpus is divided; protocol.KEY=VALUE are options of that",
        "target=NAME": "the classes of a probe: keyword, phone, speaker or gender",
        "classes=NAMES": "the classes that a probe is limited to",
        "n_classes=N": "likewise, by number",
        "labels_pct=N": "per cent of the labels that a probe is trained on",
        "labels_each=N": "recordings of each class and speaker that a probe is trained on",
    }
    examples = {
        "trained_models/ID new_recordings": "score a folder with a trained model",
        "trained_models/ID noise=white": "score the test split in noise of 5 to 30 dB SNR",
        "trained_models/ID dataset=speechocean762 target=speaker": "probe a pre-trained encoder",
        "trained_models/ID protocol=detection": "words in 20 minutes of sound, as MLPerf Tiny has them",
    }

    split: str = option("test", "train, validation or test, of the run's corpus")
    batch_size: int | None = option(None, "spans at a time; the figures do not change", least=1, otherwise="the run's")
    epoch: int | None = option(
        None,
        "epoch whose weights are scored; checkpoint=all keeps every one",
        least=1,
        otherwise="the one that was kept",
    )
    noise: tuple[str, ...] = option((), "also in noise: white, pink, brown, blue, recorded")
    snr_db: tuple[float, ...] = option((), "signal-to-noise ratios of the noise, in dB", otherwise="5,10,15,20,25,30")
    noise_folder: Path | None = option(
        None, "recordings for noise=recorded", otherwise="what the corpus keeps for the test"
    )
    trials: Path | None = option(
        None, "verification: a list of trials (.ndx, Kaldi's, VoxCeleb's)", otherwise="those of the split"
    )
    enrolment: Path | None = option(
        None, "verification: the recordings of its models (.trn, spk2utt)", otherwise="as the list has them"
    )

    judge: Path | None = option(
        None, "generation: a classifier that hears what is generated", otherwise="principal components alone"
    )
    convert: str | None = option(
        None, "with judge=: windows of others are converted, and heard: gender:f, speaker:NAME"
    )
    strength: float = option(1.0, "of the conversion: codes move so many times the difference of means", least=0)

    false_alarms: float = option(1.0, "detection: an hour, for which the threshold is chosen")
    minutes: float | None = option(None, "detection: of a stream", otherwise="20, or as long as negatives last")
    insertions: int = option(50, "detection: words in a stream, and as many that are none of the run's", least=1)
    negatives: Path | None = option(
        None, "detection: recordings in which nobody says a word of the run, the background", otherwise="noise"
    )
    streams: Path | None = option(
        None, "detection: recordings with labels (a.wav, a.csv or a.txt)", otherwise="built of the test split"
    )
    validation_streams: Path | None = option(
        None, "detection: likewise, to choose the threshold", otherwise="built of the validation split"
    )
    seed: int = option(0, "detection: of built streams", least=0)

    def run(self) -> int:
        """Score or probe."""
        if DETECTION in self.overrides:
            return self.detect()
        is_probe = any(text.startswith(("dataset=", "target=")) for text in self.overrides)
        self.check(is_probe)
        from phonaut.reports import write_report
        from phonaut.reports.terminal import show_judged, show_probes, summarize
        from phonaut.runs import evaluate, members
        from phonaut.runs.load import load
        from phonaut.tasks.base import Request
        from phonaut.tasks.noise_test import NoiseTest
        from phonaut.training.callbacks.probing import PROBE_FILE

        snr_db = {"snr_db": self.snr_db} if self.snr_db else {}
        request = Request(
            split=self.split,
            data_folder=Path(self.paths[1]) if len(self.paths) == 2 else None,
            overrides=self.overrides,
            batch_size=self.batch_size,
            noise=NoiseTest(self.noise, folder=self.noise_folder, **snr_db) if self.noise else None,
            epoch=self.epoch,
            trials=self.trials,
            enrolment=self.enrolment,
            judge=load(self.judge) if self.judge else None,
            convert=self.convert,
            strength=self.strength,
            progress=print_progress,
        )
        for member in members(self.paths[0]):
            run, name = evaluate(member, request)
            classified = (run.folder / "predictions" / f"{name}.npz").exists()
            of_its_own = classified and not is_probe and name != "test"
            if of_its_own:
                write_report(run.folder, name)  # before the report, which links to it
            report = write_report(run.folder)
            if is_probe:
                probes: dict[str, Any] = run.read(PROBE_FILE, {})
                show_probes(probes["epochs"])
                print(report)
            else:
                summarize(run, name)
                if request.judge is not None:
                    show_judged(run, name, str(request.judge.folder))
        return 0

    def detect(self) -> int:
        """Score detections in long sound."""
        others = ("split", "batch_size", "epoch", "noise_folder", "trials", "enrolment", "judge", "convert", "strength")
        if needless := self.given(*others):
            raise ValueError(f"{needless[0]}= has no effect with {DETECTION}; leave it out")
        if len(self.paths) != 1:
            raise ValueError(f"{DETECTION} takes one RUN; streams={self.paths[1]} names labelled recordings")
        if len(self.noise) > 1:
            raise ValueError(f"noise={','.join(self.noise)}: a stream has one kind of background")
        if self.streams and self.validation_streams and (needless := self.given(
            "minutes", "insertions", "negatives", "seed", "noise", "snr_db")):  # fmt: skip
            raise ValueError(f"{needless[0]}= has no effect where no stream is built; leave it out")
        from phonaut.reports import write_report
        from phonaut.reports.detection import show_detection
        from phonaut.runs import members
        from phonaut.runs.detection import evaluate_detection
        from phonaut.runs.streams import DetectionTest

        snr_db = {"snr_db": self.snr_db} if self.snr_db else {}
        test = DetectionTest(
            per_hour=self.false_alarms,
            minutes=self.minutes,
            insertions=self.insertions,
            noise=self.noise[0] if self.noise else None,
            negatives=self.negatives,
            streams=self.streams,
            validation_streams=self.validation_streams,
            seed=self.seed,
            listening=self.listening,
            **snr_db,
        )
        overrides = [word for word in self.overrides if word != DETECTION]
        for member in members(self.paths[0]):
            run, name = evaluate_detection(member, test, overrides, print_progress)
            show_detection(run, name, write_report(run.folder))
        return 0

    def check(self, is_probe: bool) -> None:
        """Refuse options that would have no effect.

        Raises:
            ValueError: one is given.
        """
        if needless := self.given(*OF_STREAMS, *LISTENING):
            raise ValueError(f"{needless[0]}= goes with {DETECTION}")
        if is_probe:
            of_splits = ("split", "batch_size", "epoch", "noise", "snr_db", "noise_folder", "trials", "enrolment",
                         "judge", "convert", "strength")  # fmt: skip
            if needless := self.given(*of_splits):
                raise ValueError(f"{needless[0]}= has no effect on a probe; leave it out")
            if len(self.paths) != 1:
                raise ValueError(f"a probe takes one RUN; it got {len(self.paths)} paths: {', '.join(self.paths)}; "
                                 "phonaut evaluate RUN dataset=speechocean762 target=speaker")  # fmt: skip
            return
        if self.split not in SPLITS:
            raise ValueError(f"split={self.split}: must be {', '.join(SPLITS[:-1])} or {SPLITS[-1]}")
        keys = [text.partition("=")[0] for text in self.overrides]
        if of_probe := [key for key in keys if not key.startswith(("dataset.", "protocol", "negatives."))]:
            raise ValueError(f"{of_probe[0]}= goes with a probe: phonaut evaluate RUN dataset=NAME target=NAME")
        if not self.noise and (needless := self.given("snr_db", "noise_folder")):
            raise ValueError(f"{needless[0]}= goes with noise=white,recorded")
        if self.convert is not None and self.judge is None:
            raise ValueError(f"convert={self.convert} goes with judge=RUN, which hears what comes of it")
        if self.convert is None and self.given("strength"):
            raise ValueError("strength= goes with convert=gender:f or another conversion")
        if len(self.paths) == 2 and self.split != "test":
            raise ValueError(f"split={self.split} is of the run's corpus, and all of {self.paths[1]} is tested: "
                             "leave one out")  # fmt: skip
