"""Speaker verification: is it the speaker, and the phrase, that a model was enrolled with?"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from phonaut.arrays import Array
from phonaut.checks import Rule, within
from phonaut.config.compose import compose
from phonaut.config.nodes import class_of
from phonaut.config.schema import Config
from phonaut.data.trial_files import read_enrolment, read_trials
from phonaut.data.trials import TrialList
from phonaut.files import read_arrays, write_arrays
from phonaut.metrics import (
    Cost,
    Estimate,
    Fusion,
    detection_figures,
    fit_fusion,
    threshold_in_words,
)
from phonaut.models.encoded import EncodedFrontEnd
from phonaut.models.speakers import Utterances, VerificationSystem
from phonaut.models.speakers.scoring import NORMALIZATIONS, Cohort, Enrolled, fusion_inputs
from phonaut.models.speakers.system import PHRASE, SPEAKER
from phonaut.models.speech_model import SpeechModel
from phonaut.tasks import build, mixes
from phonaut.tasks.base import Metrics, Request, Task, Trained
from phonaut.tasks.trial_scores import LEFT_OUT, TrialScores

if TYPE_CHECKING:
    from lightning.pytorch.callbacks import Callback

    from phonaut.data.prepared import PreparedCorpus
    from phonaut.data.trial_data import TrialData
    from phonaut.training.loop import TrainingLoop

COHORT = "cohort.npz"


class Verification(Task):
    """Trials of models against recordings: equal error rate, detection cost and Cllr, with intervals over speakers.

    Args:
        trim: leave out what lies before and after speech.
        normalization: of speaker scores: `none`, `z`, `t`, `s` or `as`.
        n_cohort: speakers of a cohort, of each phrase, at most.
        n_cohort_takes: recordings of each of them.
        top_n: of `as`: the largest cohort scores that count.
        durations: speech of both sides goes into the calibration.
        cohort_scores: means and deviations of the cohort's scores go into it.
        p_target: prior of an owner.
        c_miss: cost of an owner turned away.
        c_false_alarm: cost of somebody else let in.
    """

    RULES: ClassVar = {
        "normalization": Rule(f"must be one of {', '.join(NORMALIZATIONS)}", lambda kind: kind in NORMALIZATIONS),
        "n_cohort": within(2, 1e6),
        "n_cohort_takes": within(1, 1e6),
        "top_n": within(2, 1e6),
        "p_target": Rule("must be > 0 and < 1", lambda p: 0 < p < 1),
        "c_miss": Rule("must be > 0", lambda c: 0 < c < float("inf")),
        "c_false_alarm": Rule("must be > 0", lambda c: 0 < c < float("inf")),
    }
    unused = (
        "backend classes n_classes labels_pct labels_each batch_frames context_s probe leave_out_speakers objective"
        " generated negatives"
    )
    metrics = ("eer", "min_dcf", "cllr")
    report = ("headline", "trials", "training", "setup")

    def __init__(
        self,
        *,
        trim: bool = True,
        normalization: str = "s",
        n_cohort: int = 60,
        n_cohort_takes: int = 3,
        top_n: int = 20,
        durations: bool = False,
        cohort_scores: bool = False,
        p_target: float = 0.5,
        c_miss: float = 1.0,
        c_false_alarm: float = 1.0,
    ) -> None:
        self.trim, self.normalization = trim, normalization
        self.durations, self.cohort_scores = durations, cohort_scores
        self.n_cohort, self.n_cohort_takes, self.top_n = n_cohort, n_cohort_takes, top_n
        self.p_target, self.c_miss, self.c_false_alarm = p_target, c_miss, c_false_alarm

    @property
    def cost(self) -> Cost:
        """Cost of decisions."""
        return Cost(self.p_target, self.c_miss, self.c_false_alarm)

    # --- configuration

    def name(self, config: Config) -> str:
        """`verification`."""
        return "verification"

    def finish(self, config: Config) -> None:
        """The speakers of the background are the classes of what is trained by gradients; several corpora are one.

        Raises:
            ValueError: a part of a mix is not described as it should be.
        """
        if mixes.is_mix(config):
            mixes.finish(config, labelled=True)
        if config.target == "keyword":  # the default
            config.target = "speaker"
            if config.dataset.get("target") == "keyword":
                config.dataset["target"] = "speaker"

    def check(self, config: Config) -> list[str]:
        """All problems of a configuration of verification."""
        from phonaut.data.trial_data import TrialData

        model = config.choices["model"]
        network = class_of(config.model)
        wrong = []
        if not (issubclass(network, VerificationSystem) or hasattr(network, "embed")):
            wrong.append(f"model={model} verifies no speakers: use model=gmm_ubm, or see phonaut --help")
        protocol = class_of(config.protocol)
        if protocol.__module__.startswith("phonaut.") and protocol.__name__ not in ("VerificationTrials", "Official"):
            wrong.append(f"protocol={config.choices['protocol']} makes no trials: type protocol=trials")
        if config.target != "speaker":
            wrong.append(f"target={config.target}: verification is of speakers; leave target out")
        if config.protocol.get("turns") and not issubclass(network, VerificationSystem):
            wrong.append(f"protocol.turns trains model={model} several times: use protocol.validation_speakers")
        if self.cohort_scores and self.normalization == "none":
            wrong.append("task.cohort_scores=true has no effect with task.normalization=none, which scores no cohort")
        return wrong + TrialData.problems(n_workers=config.n_workers, max_recording_s=config.max_recording_s)

    # --- training

    def data(self, config: Config) -> TrialData:
        """Recordings of the background, of development and of evaluation.

        Raises:
            ValueError: there are no trials, or none is left.
        """
        data = self._data(config, build.prepared_corpus(config))
        if (trials := data.trials("test")) is None:
            raise ValueError(
                f"protocol={config.choices['protocol']} makes no trials of {data.prepared.name}: type protocol=trials"
            )
        refuse_one_kind(trials, "the test")
        return data

    def _data(self, config: Config, prepared: Any, classes: Sequence[str] | None = None) -> TrialData:
        from phonaut.data.trial_data import TrialData

        table = prepared.utterances("train")
        names = sorted({table.speaker_name(row) for row in range(len(table))} - {""}) if classes is None else classes
        return TrialData(
            prepared,
            trim=self.trim,
            classes=list(names),
            batch_size=config.batch_size,
            seed=config.seed,
            n_workers=config.n_workers,
            max_recording_s=config.max_recording_s,
        )

    def model(self, config: Config, classes: list[str]) -> SpeechModel:
        """Front end, normaliser and system, or network."""
        return build.speech_model(config, len(classes))

    def loop(self, config: Config, model: SpeechModel, data: TrialData) -> TrainingLoop:
        """The loop around a model."""
        if isinstance(model.network, VerificationSystem):
            return build.training_loop(config, model)
        noise = data.prepared.utterances("noise")
        more = {"augmentation": build.augmentation_of(config), "noise": noise if len(noise) else None}
        return build.training_loop(config, model, data.classes, **more)

    def begin(self, config: Config, folder: Path, model: SpeechModel, data: TrialData) -> None:
        """Load the encoder in front, if there is one."""
        if isinstance(model.front_end, EncodedFrontEnd):
            from phonaut.tasks.encoders import prepare_encoder  # which loads Lightning

            assert config.encoder.run is not None
            augmented = build.augmentation_of(config) is not None
            prepare_encoder(model, data, config.encoder.run, seed=config.seed, augmented=augmented)

    def callbacks(self, config: Config, folder: Path) -> list[Callback]:
        """None."""
        return []

    # --- evaluation

    def conclude(
        self, config: Config, folder: Path, loop: TrainingLoop, data: TrialData
    ) -> tuple[Metrics, dict[str, Any]]:
        """Score development trials, calibrate on them, then score those of evaluation."""
        from phonaut.training.stages import background_of, utterances_of

        model: SpeechModel = loop.model.cpu().eval()
        about = {"classes": data.classes, **loop.conclude(data)}
        system = system_of(model)
        background = background_of(model, data, getattr(loop, "speeds", ()))
        cohort = self._cohort(system, system.represent(Utterances.joined(background)))
        if cohort is not None:
            write_arrays(folder / COHORT, cohort.arrays(), compressed=False)
        metrics: Metrics = {}
        calibration: Fusion | None = None
        development = self._development(config, model, data, system, cohort, background)
        if development is not None:
            kinds = set(development.condition.tolist())
            if "TC" in kinds and kinds & {"TW", "IC"}:  # IW has no prior
                calibration = fit_fusion(development.inputs, development.condition)
            else:
                print(f"development trials are of {', '.join(sorted(kinds))} alone, and fit no calibration", flush=True)
            scored = with_ratios(development, calibration)
            scored = replace(scored, n_left_out=data.n_trials_left_out("validation"))
            scored.save(folder, "validation")
            if figures := self.figures(scored):
                metrics["validation"] = figures
        if development is None:
            print("no development trials: scores are not calibrated, and have no threshold", flush=True)
        if calibration is not None:
            about |= {"calibration": asdict(calibration), "threshold": self.cost.threshold}
        trials = data.trials("test")
        assert trials is not None
        genders = data.prepared.genders
        evaluated = self.scored(system, cohort, utterances_of(model, data, "test"), trials, genders)
        scored = replace(with_ratios(evaluated, calibration), n_left_out=data.n_trials_left_out("test"))
        scored.save(folder, "test")
        metrics["test"] = self.figures(scored)
        if calibration is not None:
            about["in_words"] = threshold_in_words(scored.scores, scored.condition, self.cost.threshold)
        return metrics, about

    def _cohort(self, system: VerificationSystem, background: Utterances) -> Cohort | None:
        """The cohort, by which scores are normalised and phrases known; None where the system needs neither."""
        if PHRASE not in system.scores and (self.normalization == "none" or SPEAKER not in system.scores):
            return None
        return Cohort.of(system, background, self.n_cohort_takes, self.n_cohort)

    def _development(
        self,
        config: Config,
        model: SpeechModel,
        data: TrialData,
        system: VerificationSystem,
        cohort: Cohort | None,
        copies: Sequence[Utterances],
    ) -> TrialScores | None:
        """Scores of development trials: of speakers of their own, or of background speakers left out in turn.

        `copies` are the background and the same at other speeds: a speaker is left out with all copies.
        """
        from phonaut.training.stages import train_to_the_end, utterances_of

        genders = data.prepared.genders
        if (trials := data.trials("validation")) is not None:
            return self.scored(system, cohort, utterances_of(model, data, "validation"), trials, genders)
        turns = data.turns()
        if not turns:
            return None
        background = copies[0]
        parts = []
        for n, trials in enumerate(turns, 1):
            named = trials.named()
            out = np.isin(background["speaker"], background["speaker"][np.isin(background["id"], list(named))])
            fresh = build.speech_model(config, len(data.classes)).network
            assert isinstance(fresh, VerificationSystem)
            print(f"development turn {n} of {len(turns)}: {int(out.sum()):,} recordings left out", flush=True)
            rest = Utterances.joined([copy.select(~out) for copy in copies])
            train_to_the_end(fresh, rest, config.seed)
            left = self._cohort(fresh, fresh.represent(rest))
            parts.append(self.scored(fresh, left, background.select(out), trials, genders))
        return pooled(parts)

    def scored(
        self,
        system: VerificationSystem,
        cohort: Cohort | None,
        recordings: Utterances,
        trials: TrialList,
        genders: Mapping[str, str] | None = None,
    ) -> TrialScores:
        """Inputs of the calibration for trials; the scores are the first of them until then.

        Args:
            system: that is trained.
            cohort: of its background.
            recordings: in frames; all that enrol or are tested are among them.
            trials: whose names are their ids.
            genders: of speakers, `f` or `m`, where they are known.
        """
        row = {name: i for i, name in enumerate(recordings["id"].tolist())}
        enrolling = [name for names in trials.enrolment.values() for name in names]
        owner = np.repeat(np.arange(len(trials.models)), [len(names) for names in trials.enrolment.values()])
        represented = system.represent(recordings)
        of_models = represented.select([row[name] for name in enrolling])
        tested = represented.select([row[name] for name in trials.recordings])
        enrolled = Enrolled.of(system, of_models, owner.astype(np.int64))
        inputs = self._inputs(system, cohort, enrolled, tested, trials)
        first = np.unique(owner, return_index=True)[1]
        return TrialScores(trials, of_models["speaker"][first], tested["speaker"], next(iter(inputs.values())),
                           inputs=inputs, genders=genders or {})  # fmt: skip

    def _inputs(
        self,
        system: VerificationSystem,
        cohort: Cohort | None,
        enrolled: Enrolled,
        tested: Utterances,
        trials: TrialList,
    ) -> dict[str, Array]:
        """Inputs of the calibration, as the options of the task say."""
        return fusion_inputs(
            system, cohort, enrolled, tested, trials,
            normalization=self.normalization, top_n=self.top_n, durations=self.durations,
            cohort_scores=self.cohort_scores,
        )  # fmt: skip

    def score(self, run: Trained, cohort: Cohort | None, takes: Utterances, tested: Utterances) -> float:
        """The score of a recording against the speaker whom some takes enrol, as a trained run scores trials.

        Args:
            run: that is trained.
            cohort: that it keeps (`cohort_of`).
            takes: represented.
            tested: one recording, represented.

        Returns:
            The log-likelihood ratio; the raw score where there was nothing to calibrate on.
        """
        system, first = system_of(run.model), np.zeros(1, np.int32)
        enrolment = {"model": tuple(f"take {row}" for row in range(len(takes)))}
        trials = TrialList(enrolment, ("recording",), first, first, np.zeros(1, np.int8))
        enrolled = Enrolled.of(system, takes, np.zeros(len(takes), np.int64))
        inputs = self._inputs(system, cohort, enrolled, tested, trials)
        calibration = calibration_of(run.about)
        return float((next(iter(inputs.values())) if calibration is None else calibration(inputs))[0])

    def figures(self, scored: TrialScores) -> dict[str, dict[str, float]]:
        """Metrics with 95 % intervals over the speakers of both sides."""
        if len(np.unique(scored.trials.condition == 0)) < 2:
            return {}
        found = detection_figures(scored.scores, scored.tried, self.cost, ratios=scored.is_ratio)
        figures = {name: estimate.as_dict() for name, estimate in found.items()}
        if n := scored.n_left_out:  # of how many
            figures[LEFT_OUT] = Estimate(n, n, n, n + len(scored.trials), "a count").as_dict()
        return figures

    def evaluate(self, run: Trained, request: Request) -> tuple[str, dict[str, dict[str, float]]]:
        """Score a split again, other lists of trials, or a folder of recordings, with or without lists.

        Lists name recordings by their ids: in a folder the path within it, with or without its suffix. Without lists,
        trials are made of all recordings of a folder as `protocol=trials` makes them.

        Raises:
            ValueError: recordings of the lists are not there, there are no trials, or what is asked for has no effect.
        """
        from phonaut.tasks.classification import find_files, own_corpus
        from phonaut.tasks.recordings import about_folder, name_beside_splits
        from phonaut.training.stages import utterances_of

        if request.noise is not None:
            raise ValueError("noise= is of classifiers; leave it out")
        if request.enrolment is not None and request.trials is None:
            raise ValueError(f"enrolment={request.enrolment} goes with trials=FILE")
        config, words = copy.deepcopy(run.config), list(request.overrides)
        split, name = request.split, request.split
        if request.data_folder is not None:
            folder = folder_of_trials(request.data_folder, words, config.protocol.get("text_dependent", True))
            config.dataset, config.protocol = folder.dataset, folder.protocol
            split, name = "test", name_beside_splits(request.data_folder.resolve().name, "folder")
            prepared = build.prepared_corpus(config)
        else:
            options = options_of_test(config, words)
            find_files(config, [word for word in words if word not in options])
            prepared = own_corpus(config, run.folder)
            otherwise = f"phonaut evaluate {run.folder} FOLDER scores another folder"
            build.check_same_recordings(run.corpus, prepared, otherwise)
            if options:
                prepared, name = tested_otherwise(config, run.folder, request, options.values(), prepared)
        data = self._data(config, prepared, list(run.about["classes"]))
        if request.trials is not None:
            known = data.ids(split)
            try:
                enrolment = None if request.enrolment is None else read_enrolment(request.enrolment, known)
                trials = read_trials(request.trials, enrolment, known)
                name = name_beside_splits(request.trials.stem, "list")
            except ValueError as error:
                more = [f"dataset.{key}=" for key in class_of(config.dataset).options_of_test]
                if not more or "there is no recording" not in str(error):
                    raise
                raise ValueError(f"{error} in what is tested; {' or '.join(more)} chooses what is") from error
        else:
            there = data.trials(split)
            if there is None:
                raise ValueError(f"split={split}: {prepared.name} has no trials there; trials=FILE names some")
            trials = there
        name = name if request.epoch is None else f"{name}_epoch_{request.epoch}"
        recordings = utterances_of(run.model, data, split)
        cohort = cohort_of(run.folder)
        evaluated = self.scored(system_of(run.model), cohort, recordings, trials, prepared.genders)
        n_left_out = 0 if request.trials else data.n_trials_left_out(split)
        scored = replace(with_ratios(evaluated, calibration_of(run.about)), n_left_out=n_left_out)
        refuse_one_kind(scored.trials, name)
        figures = self.figures(scored)
        scored.save(run.folder, name)
        if request.data_folder is not None:
            background = str(run.corpus.get("folder", ""))
            about_folder(run.folder, name, prepared, [*prepared.refused, *data.refused], background)
        return name, figures

    def predict(self, run: Trained, recordings: list[Path]) -> list[Any]:
        """No answer: a recording is verified against a model."""
        raise ValueError("verification answers for a recording and a model: enroll a speaker first (phonaut enroll)")


def refuse_one_kind(trials: TrialList, name: str) -> None:
    """Refuse trials of targets alone, or of none.

    Raises:
        ValueError: they are.
    """
    if len(np.unique(trials.is_target)) < 2:
        kind = "targets" if trials.is_target.all() else "non-targets"
        raise ValueError(f"all {len(trials):,} trials of {name} are {kind}: error rates need both")


def options_of_test(config: Config, words: Sequence[str]) -> dict[str, tuple[str, str]]:
    """Those of some words that choose another test of the same corpus, with key and value."""
    keys, found = class_of(config.dataset).options_of_test, dict[str, tuple[str, str]]()
    for word in words:
        key, _, value = word.removeprefix("dataset.").partition("=")
        if word.startswith("dataset.") and key in keys:
            found[word] = key, value.strip("'\"")
    return found


def tested_otherwise(
    config: Config, run: Path, request: Request, options: Iterable[tuple[str, str]], own: PreparedCorpus
) -> tuple[PreparedCorpus, str]:
    """The corpus of a run with another test, and a name for it.

    Args:
        config: of the run; it gets the options.
        run: its folder.
        request: of an evaluation.
        options: that choose the test.
        own: the corpus as the run has it.

    Raises:
        ValueError: the run was trained on what would be tested.
    """
    if request.split != "test":
        keys = " ".join(f"dataset.{key}=" for key, _ in options)
        raise ValueError(f"split={request.split}: {keys} chooses what is tested; leave split out")
    from phonaut.tasks.classification import own_corpus

    config.dataset |= dict(options)
    prepared = own_corpus(config, run)
    tables = [own.utterances(split) for split in ("train", "validation")]
    seen = {table.id(row) for table in tables for row in range(len(table))}
    trials = prepared.trials("test")
    if trials is not None and (both := sorted(seen & trials.named())):
        raise ValueError(f"the run was trained on {len(both):,} of the recordings that would be tested ({both[0]})")
    return prepared, "_".join(part for option in options for part in option)


def cohort_of(folder: Path) -> Cohort | None:
    """The cohort that a run keeps; None where its scores are not normalised.

    Raises:
        ValueError: the file is damaged.
    """
    path = folder / COHORT
    return Cohort.from_arrays(read_arrays(path)) if path.exists() else None


def calibration_of(about: Mapping[str, Any]) -> Fusion | None:
    """The calibration of a run, by its `model.json`; None: there was nothing to fit one on.

    Raises:
        ValueError: what is there is none.
    """
    kept = about.get("calibration")
    try:
        return None if kept is None else Fusion.from_dict(kept)
    except ValueError as error:
        raise ValueError(f"model.json is damaged: {error}") from error


def folder_of_trials(folder: Path, words: Sequence[str], text_dependent: bool) -> Config:
    """The configuration of a folder whose speakers are all tested."""
    here = [f"dataset.data_folder={folder}", "target=speaker", "recipe=none"]
    trials = ["protocol=trials", "protocol.all_test=true", f"protocol.text_dependent={str(text_dependent).lower()}"]
    return compose(["dataset=folder", *here, *trials, *words])


def system_of(model: SpeechModel) -> VerificationSystem:
    """The verification system of a model: its network, or the scores of that network's embeddings."""
    if isinstance(model.network, VerificationSystem):
        return model.network
    from phonaut.models.speakers.embedding import EmbeddingScorer

    return EmbeddingScorer(model.network, model.front_end.n_features)


def with_ratios(scored: TrialScores, calibration: Fusion | None) -> TrialScores:
    """The scores as log-likelihood ratios, where there is a calibration."""
    if calibration is None:
        return scored
    return replace(scored, scores=calibration(scored.inputs), is_ratio=True)


def pooled(parts: Sequence[TrialScores]) -> TrialScores:
    """Scores of several lists as of one, in their order."""
    from phonaut.data.trials import joined

    models = {name: who for part in parts for name, who in zip(part.trials.models, part.model_speaker, strict=True)}
    tested = {
        name: who for part in parts for name, who in zip(part.trials.recordings, part.recording_speaker, strict=True)
    }
    trials = joined([part.trials for part in parts])
    shared = [name for name in parts[0].inputs if all(name in part.inputs for part in parts)]
    return TrialScores(
        trials,
        np.array([models[name] for name in trials.models], np.str_),
        np.array([tested[name] for name in trials.recordings], np.str_),
        np.concatenate([part.scores for part in parts]),
        inputs={name: np.concatenate([part.inputs[name] for part in parts]) for name in shared},
        genders=parts[0].genders,
    )
