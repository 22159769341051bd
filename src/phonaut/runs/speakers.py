"""Speakers of a store, enrolled and verified by a trained run."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from numpy.typing import NDArray

from phonaut.data.preparation.audio import BadRecordingError, open_recording
from phonaut.data.preparation.clip_window import clip_window
from phonaut.data.utterance import Utterance
from phonaut.features import slice_spans
from phonaut.features.playback import SAME, fingerprint, likeness
from phonaut.features.vad import activity
from phonaut.metrics.verification import Cost
from phonaut.models.speakers.system import PHRASE
from phonaut.models.speakers.utterances import Utterances
from phonaut.names import did_you_mean, excerpt, shown
from phonaut.runs.enrolment_gate import LEAST_RANGE_DB, Gate, Heard
from phonaut.runs.sounds import Source, as_file
from phonaut.runs.speaker_store import SpeakerStore, Take, Voice, name_of
from phonaut.tasks.verification import Verification, calibration_of, cohort_of, system_of

if TYPE_CHECKING:
    from phonaut.runs.answers import Answers

LEAST_GAP = 0.5  # by which another phrase fits better than the one named, of the deviation of scores over phrases


class EnrolmentRefusedError(ValueError):
    """An enrolment that the gate refused; nothing was stored.

    Attributes:
        problems: what is wrong, a sentence for each take that is refused, and for all together.
    """

    def __init__(self, name: str, problems: Sequence[str]) -> None:
        self.problems = list(problems)
        super().__init__("\n".join([f"nothing of {shown(name)} is stored:", *self.problems]))


@dataclass(frozen=True)
class Enrolment:
    """A speaker who was enrolled, or has more takes now.

    Attributes:
        name: of the speaker.
        takes: all of them.
        remarks: what should be known, a sentence each.
    """

    name: str
    takes: tuple[Take, ...]
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True)
class Decision:
    """A decision on a recording: is it the speaker?

    Attributes:
        name: of the speaker.
        score: log-likelihood ratio of the speaker and anybody else (natural logarithm); a raw score of the model where
            there was nothing to calibrate on.
        threshold: the least score that is accepted; None: nothing says what it should be.
        played_back: name of the enrolled take that the recording is; empty: it is none of them.
        warnings: what speaks against trusting it, a sentence each.
    """

    name: str
    score: float
    threshold: float | None
    played_back: str = ""
    warnings: tuple[str, ...] = ()

    @property
    def accepted(self) -> bool | None:
        """Whether it is the speaker, and no take played back; None without a threshold."""
        if self.played_back:
            return False
        return None if self.threshold is None else self.score >= self.threshold

    def __str__(self) -> str:
        """The decision in words, with its score and threshold."""
        if self.threshold is None:
            compared = f"score {self.score:.3f}, and no threshold: the run had no development trials to calibrate on"
        else:
            compared = f"score {self.score:.3f}, threshold {self.threshold:.3f}"
        if self.played_back:
            return f"played back: the recording is the enrolled take {self.played_back} itself ({compared})"
        word = {None: "not decided", True: "accepted", False: "rejected"}[self.accepted]
        return f"{word} as {self.name}: {compared}"


class Speakers:
    """The speakers of a store, as a trained run enrols and verifies them; `LoadedRun.speakers` makes one.

        run = phonaut.load("trained_models/ID")
        speakers = run.speakers("my_store")
        speakers.enroll("anna", ["a.wav", "b.wav"], phrase="open")
        print(speakers.verify("anna", "x.wav"))

    Recordings are files, or arrays of samples `(S,)` or `(S, channels)`. Scores are those of trials: the same trimming,
    normalisation by the run's cohort, calibration and threshold.

    Args:
        run: of verification, trained on audio.
        folder: of the store, or the store.

    Attributes:
        store: on disk; it lists, renames and deletes.

    Raises:
        ValueError: the run verifies no speakers, the folder is no store, or another model made it.
    """

    def __init__(self, run: Answers, folder: Path | str | SpeakerStore) -> None:
        if not isinstance(run.task, Verification):
            raise ValueError(f"{run.folder} verifies no speakers: train one with model=gmm_ubm, or see phonaut --help")
        if "sample_rate" not in run.config.features:
            raise ValueError(f"{run.folder} was trained on frames, and recordings cannot be verified with it")
        self.run, self.task = run, run.task
        self.store = folder if isinstance(folder, SpeakerStore) else SpeakerStore(folder)
        self.store.check_model(self.model)

    @cached_property
    def model(self) -> str:
        """A digest of what decides the numbers of a store: weights, and the configuration of all that makes them."""
        config = self.run.config
        encoder = config.encoder
        of_encoder = [encoder.built, encoder.mode, encoder.layer, encoder.n_components]
        parts = [config.features, config.normalizer, config.model, of_encoder, self.task.trim, self.run.clip_s]
        digest = hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode())
        with (self.run.folder / "model.safetensors").open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
        return digest.hexdigest()[:32]

    @property
    def sample_rate(self) -> int:
        """Of the model, Hz."""
        return int(self.run.config.features["sample_rate"])

    @cached_property
    def cohort(self) -> Any:
        """The cohort of the run."""
        return cohort_of(self.run.folder)

    @property
    def is_text_dependent(self) -> bool:
        """Whether the run verifies a phrase together with its speaker."""
        calibration = calibration_of(self.run.about)
        is_known = calibration is not None and "TW" in calibration.n_trials
        return bool(self.run.config.protocol.get("text_dependent", is_known))

    @property
    def phrases(self) -> set[str]:
        """The phrases of the background, where the cohort knows them."""
        return set() if self.cohort is None else set(self.cohort.model_phrase.tolist()) - {""}

    @property
    def knows_phrases(self) -> bool:
        """Whether the model says how well a recording fits a phrase."""
        system = system_of(self.run.model)
        return PHRASE in system.scores and getattr(system, "phrase_models", True) is not False

    # --- enrolment

    def enroll(
        self,
        name: str,
        takes: Source | Sequence[Source],
        *,
        phrase: str = "",
        sample_rate: int | None = None,
        gate: Gate | None = None,
        force: bool = False,
    ) -> Enrolment:
        """Enrol a speaker with some takes.

        Args:
            name: of a new speaker, any text.
            takes: recordings.
            phrase: that they say, where the run verifies a phrase as well.
            sample_rate: of arrays, Hz; None: that of the model.
            gate: limits of what is let in; None: the usual ones.
            force: what the gate refuses becomes a remark.

        Raises:
            EnrolmentRefusedError: the gate refused a take; nothing was stored.
            ValueError: the speaker is there already, a recording cannot be read, or the phrase is missing.
        """
        name = name_of(name)
        self.check_phrase(phrase)
        heard = self.heard(takes, sample_rate)
        with self.store.changing():
            if name in self.store.speakers:
                raise ValueError(f"{self.store.folder} has a speaker {shown(name)} already: add takes to it "
                                 f"(phonaut speakers STORE add NAME FILE ...), or delete it first")  # fmt: skip
            return self._store(name, phrase, [], None, heard, gate or Gate(), force)

    def add(
        self,
        name: str,
        takes: Source | Sequence[Source],
        *,
        sample_rate: int | None = None,
        gate: Gate | None = None,
        force: bool = False,
    ) -> Enrolment:
        """Add takes to a speaker; the new ones have to agree with those that are there. Arguments as of `enroll`.

        Raises:
            EnrolmentRefusedError: the gate refused a take; nothing was changed.
            ValueError: there is no such speaker, or a recording cannot be read.
        """
        self.store.speaker(name)
        name = name_of(name)
        heard = self.heard(takes, sample_rate)
        with self.store.changing():
            speaker = self.store.speaker(name)
            there = self.store.voice(name)
            return self._store(name, speaker.phrase, list(speaker.takes), there, heard, gate or Gate(), force)

    def _store(
        self,
        name: str,
        phrase: str,
        known: list[Take],
        there: Voice | None,
        heard: list[Heard],
        gate: Gate,
        force: bool,
    ) -> Enrolment:
        represented = self.represented(heard, phrase)
        prints = [fingerprint(take.audio, self.sample_rate) for take in heard]
        voice = Voice(represented, prints)
        if there is not None:
            voice = Voice(Utterances.joined([there.represented, represented]), [*there.fingerprints, *prints])
        now = datetime.now().strftime("%Y-%m-%d %H:%M")
        takes = known + [Take(one.name, round(one.activity.speech_s, 3), now) for one in heard]
        labels = [f"take {n} ({take.name})" for n, take in enumerate(takes, 1)]
        first = len(known)
        problems = [f"{labels[first + i]} {what}" for i, one in enumerate(heard) for what in gate.problems(one)]
        if (few := gate.problem_of_all([take.speech_s for take in takes])) is not None:
            problems.append(few)
        twice = self.twice(voice, heard, labels, first)
        problems += twice
        if not problems:
            problems += self.misnamed(phrase, represented, labels[first:])
        if gate.agreement and not problems:
            problems += self.disagreeing(voice.represented, labels, first)
        speechless = [label for label, one in zip(labels[first:], heard, strict=True) if not one.has_speech]
        if force and speechless:
            problems.append(f"force=true stores no take without speech: {', '.join(speechless)}")
        if problems and (speechless or not force):
            raise EnrolmentRefusedError(name, problems)
        remarks = [f"in spite of the gate: {problem}" for problem in problems]
        if len(takes) == 1:
            remarks.append("one take alone: nothing tells whether it is a good one; add others")
        elif gate.agreement and self.threshold() is None:
            remarks.append("the run has no threshold: whether the takes agree with one another was not judged")
        if phrase and self.phrases and phrase not in self.phrases:
            remarks.append(self.unknown(phrase))
        elif phrase and not self.knows_phrases:
            remarks.append(
                f"the run's model has no score of phrases: whether the takes say {shown(phrase)} was not judged"
            )
        self.store.put(name, phrase, takes, voice, run=self.run.folder, model=self.model)
        return Enrolment(name, tuple(takes), tuple(remarks))

    def twice(self, voice: Voice, heard: list[Heard], labels: list[str], first: int) -> list[str]:
        """The takes, from number `first` on, that are a recording which is there already."""
        found = []
        for row, take in enumerate(heard, first):
            same = (n for n in range(row) if likeness(voice.fingerprints[n], take.audio, self.sample_rate) >= SAME)
            if (other := next(same, None)) is not None:
                found.append(f"{labels[row]} is the same recording as {labels[other]}")
        return found

    def misnamed(self, phrase: str, represented: Utterances, labels: Sequence[str]) -> list[str]:
        """Takes that say another phrase of the background than the one named.

        A word of half a second is easily taken for another one, takes of it together are not: another phrase has to
        fit all of them better on average, by half the deviation of the scores of phrases. (Of 100 enrolments with three
        takes of an Arabic word, that refuses one; under each of the 19 wrong words, all but 1.4 %.)
        """
        if phrase not in self.phrases or not self.knows_phrases:
            return []
        names, fits = self.phrase_scores(represented, phrase)
        own, together = names.index(phrase), fits.mean(axis=0)
        if together.max() - together[own] <= LEAST_GAP * together.std():
            return []
        return [
            f"{label} resembles the phrase {shown(names[best])} more than {shown(phrase)}: it scores "
            f"{scores[best]:.2f} for that, and {scores[own]:.2f} for this"
            for label, scores, best in zip(labels, fits, fits.argmax(axis=1).tolist(), strict=True)
            if best != own
        ]

    @torch.no_grad()
    def phrase_scores(self, represented: Utterances, phrase: str) -> tuple[list[str], NDArray[np.float64]]:
        """The phrases of the background, and for each take the score of the model that it fits best, `(B, P)`.

        Each phrase has at most as many models as the one that is claimed.
        """
        names, n, known = sorted(self.phrases), len(represented), self.cohort.model_phrase
        n_models = int((known == phrase).sum())
        models = [np.flatnonzero(known == name)[:n_models] for name in names]
        pairs = np.tile(np.concatenate(models), n), np.repeat(np.arange(n), sum(map(len, models)))
        scores = system_of(self.run.model).score(self.cohort.references, represented, *pairs)[PHRASE].reshape(n, -1)
        parts = np.split(scores, np.cumsum([len(one) for one in models])[:-1], axis=1)
        return names, np.stack([part.max(axis=1) for part in parts], axis=1)

    def disagreeing(self, represented: Utterances, labels: list[str], first: int) -> list[str]:
        """The takes, from number `first` on, that the others do not accept as their speaker's.

        Each is tried against all others; the worst is put aside, and the rest is tried again without it. Of two that
        do not agree, nothing tells which one is wrong.
        """
        threshold, rows, found = self.threshold(), list(range(len(represented))), list[str]()
        while threshold is not None and len(rows) > 1:
            scores = self.against_the_others(represented.select(rows))
            judged = [place for place, row in enumerate(rows) if row >= first]
            wrong = [place for place in judged if scores[place] < threshold]
            if not wrong:
                break
            worst = min(wrong, key=lambda place: scores[place])
            out = wrong if len(rows) == 2 else [worst]
            found += [f"{labels[rows[place]]} does not agree with the other takes: its score against them is "
                      f"{scores[place]:.2f}, and the threshold {threshold:.2f}" for place in out]  # fmt: skip
            rows = [row for place, row in enumerate(rows) if place not in out]
        return found

    def against_the_others(self, represented: Utterances) -> list[float]:
        """The score of each take against the speaker whom all others enrol, one at a time: systems may pool takes."""
        rows = range(len(represented))
        return [
            self._score(represented.select([n for n in rows if n != row]), represented.select([row])) for row in rows
        ]

    # --- verification

    def verify(
        self,
        name: str,
        recording: Source,
        *,
        sample_rate: int | None = None,
        p_target: float | None = None,
        c_miss: float | None = None,
        c_false_alarm: float | None = None,
    ) -> Decision:
        """Decide whether a recording is of a speaker.

        Args:
            name: of the speaker.
            recording: file, or array of samples.
            sample_rate: of an array, Hz; None: that of the model.
            p_target: prior of the speaker, for the threshold; None: the run's. Likewise the costs.
            c_miss: cost of the speaker turned away.
            c_false_alarm: cost of somebody else let in.

        Raises:
            ValueError: there is no such speaker, the recording cannot be used, or costs that cannot be.
        """
        threshold = self.threshold(p_target=p_target, c_miss=c_miss, c_false_alarm=c_false_alarm)
        speaker, voice = self.store.speaker(name), self.store.voice(name)
        (heard,) = self.heard([recording], sample_rate)
        if not heard.has_speech:
            raise ValueError(
                f"{heard.name} {Gate(min_range_db=LEAST_RANGE_DB).problems(heard)[0]}: there is nothing to verify"
            )
        tested = self.represented([heard], "")
        score = self._score(voice.represented, tested)
        like = [likeness(known, heard.audio, self.sample_rate) for known in voice.fingerprints]
        played = speaker.takes[int(np.argmax(like))].name if max(like) >= SAME else ""
        warnings = [f"{heard.name} {problem}" for problem in Gate().problems(heard)]
        if speaker.phrase and self.phrases and speaker.phrase not in self.phrases:
            warnings.append(self.unknown(speaker.phrase))
        if len(speaker.takes) == 1:
            warnings.append(f"{name} is enrolled with one take alone")
        return Decision(name, score, threshold, played, tuple(warnings))

    def threshold(self, **costs: float | None) -> float | None:
        """The least score that is accepted at some costs, by default the run's; None: the run has no calibration.

        Raises:
            ValueError: costs that cannot be, or that have no effect.
        """
        given = {key: value for key, value in costs.items() if value is not None}
        usual = {"p_target": self.task.p_target, "c_miss": self.task.c_miss, "c_false_alarm": self.task.c_false_alarm}
        cost = Cost(**{**usual, **given})
        if self.run.about.get("calibration") is not None:
            return cost.threshold
        if given:
            raise ValueError(f"{next(iter(given))}= has no effect: {self.run.folder} has no calibration, for there "
                             "were no development trials (protocol.turns, protocol.validation_speakers)")  # fmt: skip
        return None

    def _score(self, takes: Utterances, tested: Utterances) -> float:
        with torch.no_grad():
            score = self.task.score(self.run, self.cohort, takes, tested)
        if not np.isfinite(score):
            raise ValueError(f"{self.run.folder} gives no finite score for {tested['id'][0]}")
        return score

    # --- recordings

    def check_phrase(self, phrase: str) -> None:
        """Refuse a phrase that has no effect, and none where one is needed.

        Raises:
            ValueError: see above.
        """
        if not isinstance(phrase, str):
            raise ValueError(f"phrase must be text, got {phrase!r:.40}")
        if self.is_text_dependent and not phrase:
            known = sorted(self.phrases)
            some = f"; the background says {', '.join(known[:8])}{' ...' * (len(known) > 8)}" if known else ""
            raise ValueError(f"phrase= is missing: {self.run.folder} verifies the speaker and the phrase{some}")
        if phrase and not self.is_text_dependent:
            raise ValueError(
                f"phrase={shown(phrase)} has no effect: {self.run.folder} verifies speakers whatever they say"
            )

    def unknown(self, phrase: str) -> str:
        """What is to be said of a phrase that the background does not say."""
        return (f"nobody in the background says {shown(phrase)}{did_you_mean(phrase, self.phrases)}: scores are "
                "compared with those of its other phrases, and the threshold was not measured for it")  # fmt: skip

    def heard(self, sources: Source | Sequence[Source], sample_rate: int | None) -> list[Heard]:
        """Recordings, decoded as preparation decodes those of a corpus.

        Raises:
            ValueError: one cannot be used; all of them are named.
        """
        one = isinstance(sources, (str, Path)) or (isinstance(sources, np.ndarray) and sources.dtype != object)
        if not one and not isinstance(sources, (Sequence, np.ndarray)):
            raise ValueError(f"recordings must be files or arrays of samples, one or several; got {sources!r:.40}")
        listed = [cast("Source", sources)] if one else list(cast("Sequence[Source]", sources))
        if not listed:
            raise ValueError("there must be recordings; got none")
        if sample_rate is not None and not sample_rate > 0:
            raise ValueError(f"sample_rate must be > 0, got {sample_rate}")
        found, problems = list[Heard](), list[str]()
        for number, source in enumerate(listed, 1):
            try:
                with as_file(source, number, sample_rate or self.sample_rate) as (path, name):
                    audio = self.decoded(path)
                found.append(Heard(name, audio, activity(audio, self.sample_rate)))
            except BadRecordingError as error:
                where = f"array {number}" if isinstance(source, np.ndarray) else excerpt(str(source))
                problems.append(f"{where}: {error}")
        if problems:
            raise ValueError(f"recordings that cannot be used: {'; '.join(problems)}")
        return found

    def decoded(self, path: Path) -> NDArray[np.float32]:
        """The samples of a file at the model's rate, in [-1, 1], fitted to the length of a clip where there is one.

        Raises:
            BadRecordingError: it cannot be used.
        """
        rate, most_s, parts = self.sample_rate, float(self.run.config.max_recording_s), list[NDArray[Any]]()
        recording, blocks = open_recording(path, rate)
        for block in blocks:
            parts.append(block)
            if recording.n_samples > most_s * rate:
                raise BadRecordingError(f"longer than {most_s:g} s, which is the most that the run takes")
        samples = np.concatenate(parts)
        whole = samples.astype(np.float32) if recording.is_float else samples * np.float32(1 / 32768)
        _, place = clip_window(Utterance(path.stem, path, "test", word="?"), recording, rate, self.run.clip_s)
        audio = np.zeros(place.n_samples, np.float32)
        audio[place.before : place.before + place.valid] = whole[place.start : place.start + place.valid]
        return audio

    @torch.no_grad()
    def represented(self, heard: Sequence[Heard], phrase: str) -> Utterances:
        """What the model keeps of recordings, as it keeps it of those of a corpus."""
        parts, lengths, speech_s = list[NDArray[Any]](), list[int](), list[float]()
        model, front_end = self.run.model, self.run.model.front_end
        for one in heard:
            whole_s = len(one.audio) / self.sample_rate
            start_s, end_s = (one.activity.start_s, one.activity.end_s) if self.task.trim else (0.0, whole_s)
            frames, n = model.frames(torch.from_numpy(one.audio)[None], torch.tensor([len(one.audio)]))
            cut, n = slice_spans(
                frames,
                n,
                torch.zeros(1, dtype=torch.int64),
                torch.tensor([start_s], dtype=torch.float64),
                torch.tensor([end_s], dtype=torch.float64),
                frame_shift_s=front_end.frame_shift_s,
                frame_offset_s=front_end.frame_offset_s,
                durations_s=torch.tensor([whole_s], dtype=torch.float64),
            )
            parts.append(cut[0, : int(n[0])].numpy())
            lengths.append(int(n[0]))
            speech_s.append(end_s - start_s)
        columns = {
            "id": np.array([one.name for one in heard], np.str_),
            "speaker": np.full(len(heard), "", np.str_),
            "phrase": np.array([phrase] * len(heard), np.str_),
            "text": np.full(len(heard), "", np.str_),
            "speech_s": np.array(speech_s),
        }
        frames_of_all = Utterances(np.concatenate(parts), np.array(lengths, np.int64), columns)
        return system_of(model).represent(frames_of_all)
