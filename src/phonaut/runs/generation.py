"""What a trained generator makes: samples, recordings that are taken apart and put together again, conversions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from phonaut.features.spectral import MFCC, Spectrogram
from phonaut.features.world import Pitch, missing
from phonaut.files import write_bytes
from phonaut.models.speech_model import SpeechModel
from phonaut.models.window_model import WindowModel
from phonaut.names import did_you_mean, some
from phonaut.tasks.classification import own_corpus
from phonaut.tasks.conversion import Change, Conversion, attribute_of, change_of
from phonaut.tasks.generated import one_after_another
from phonaut.tasks.latents import Latents
from phonaut.tasks.priors import Prior
from phonaut.tasks.recordings import prepared_files
from phonaut.tasks.voice import pitch_of_value, revoiced

if TYPE_CHECKING:
    from phonaut.runs.load import LoadedRun

SHARPNESS = 110  # dots per inch
LONGEST_S = 60.0  # of an utterance that is drawn
VOCODERS = ("griffin_lim", "world")


@dataclass(frozen=True)
class Made:
    """Frames that a generator made, and the recording that they come from, if they come from one.

    Attributes:
        name: of the files that are written.
        title: for people.
        frames: `(T, D)`, as the front end gives them.
        source: frames of the recording, `(T, D)`, or None.
        audio: of the recording, `(S,)`, or None: its phase is what inversion starts from.
        sound: what is heard, `(S,)`; None: it is found by inversion.
    """

    name: str
    title: str
    frames: NDArray[np.float32]
    source: NDArray[np.float32] | None = None
    audio: NDArray[np.float32] | None = None
    sound: NDArray[np.float32] | None = None


class Maker:
    """A trained model that makes frames, and what can be heard of them.

    Args:
        run: that is trained.
    """

    def __init__(self, run: LoadedRun) -> None:
        self.run = run
        self.model: SpeechModel = run.model

    def audio(self, made: Made, *, n_iterations: int = 32) -> NDArray[np.float32]:
        """Audio `(S,)` of frames, ready to be heard; inversion starts from the phase of the recording if there is one.

        Raises:
            ValueError: the front end cannot be inverted, or a normaliser took from recordings what is not known.
        """
        if made.sound is not None:
            return made.sound
        return self.model.audio(made.frames, phase_of=made.audio, n_iterations=n_iterations)


class Generating(Maker):
    """A trained generator, to make things with.

    >>> # run = phonaut.load("trained_models/ID"); run.generator().reconstruct(["a.wav"])[0].frames

    Args:
        run: that is trained.

    Raises:
        ValueError: it generates nothing.
    """

    model: WindowModel

    def __init__(self, run: LoadedRun) -> None:
        if not isinstance(run.model, WindowModel):
            raise ValueError(f"{run.folder} generates no windows: train a generator, such as model=cvae")
        super().__init__(run)

    # --- what is asked for

    def conditions(self, n: int, label: str | None = None, speaker: str | None = None) -> Tensor:
        """Conditions `(n, K)` of a class and a speaker by their names; of one that is not said, each in turn.

        Raises:
            ValueError: the generator is not conditioned on it, or does not know it.
        """
        index = []
        for what, name, names in (("label", label, self.model.labels), ("speaker", speaker, self.model.speakers)):
            if name is not None and not names:
                raise ValueError(
                    f"{what}={name}: {self.run.folder} was not made for it; train with task.condition=[{what}]"
                )
            if name is not None and name not in names:
                raise ValueError(
                    f"{what}={name} is none of its {len(names)}{did_you_mean(name, names)}; they are {some(names)}"
                )
            in_turn = torch.arange(n) % max(1, len(names))
            index.append(in_turn if name is None else torch.full((n,), names.index(name)))
        return self.model.condition(*index)

    def read(self, files: Sequence[Path]) -> list[tuple[NDArray[np.float32], NDArray[np.float32]]]:
        """Audio `(S,)` and frames `(T, D)` of recordings.

        Raises:
            ValueError: one is not there, or cannot be used.
        """
        found = []
        with prepared_files(files, int(self.model.front_end.sample_rate)) as prepared:
            table = prepared.utterances("test")
            for row in range(len(table)):
                audio = table.audio(row)
                with torch.inference_mode():
                    frames, _ = self.model.frames(torch.from_numpy(audio)[None], torch.tensor([len(audio)]))
                found.append((audio, frames[0].numpy()))
        return found

    # --- what is made

    def sample(
        self,
        n: int = 16,
        *,
        label: str | None = None,
        speaker: str | None = None,
        seed: int = 0,
        prior: str | Path | None = None,
        seconds: float | None = None,
    ) -> list[Made]:
        """Windows of draws of the generator's own prior, or of a density that was trained on its codes.

        With `seconds`, the density draws a code for every frame, and windows overlap: a hidden Markov model draws what
        follows what, so that whole utterances come out.

        Args:
            n: windows, or utterances.
            label: the class that they are drawn for; of the prior, where the generator itself is made for none.
            speaker: the speaker, likewise.
            seed: of the draws.
            prior: a run with `encoder.run=` this generator.
            seconds: of an utterance; None: windows by themselves.

        Raises:
            ValueError: the generator is not conditioned on what is asked for, the prior is none of its codes, or
                utterances are asked for without one.
        """
        if seconds is not None and prior is None:
            raise ValueError(f"seconds={seconds:g} goes with prior=RUN: a generator's own draws are windows")
        of_prior = label if prior is not None and not self.model.labels else None  # whose classes are its own
        condition = self.conditions(n, None if of_prior else label, speaker)
        if prior is None:
            with torch.inference_mode():
                rng = torch.Generator().manual_seed(seed)
                windows = self.model.network.sample(n, condition, rng)
                return numbered("sample", list(self.model.restored(windows).numpy()))
        density, rng_of_codes = prior_of(self, prior), np.random.default_rng(seed)
        if seconds is None:
            codes = torch.from_numpy(density.codes_alone(n, rng_of_codes, of_prior))
            with torch.inference_mode():
                windows = self.model.network.decode(codes, condition)
                return numbered("sample", list(self.model.restored(windows).numpy()))
        n_frames = frames_in(seconds, self.model.front_end.frame_shift_s)
        begins = density.begins(n_frames)
        codes = torch.from_numpy(density.codes(n, len(begins), rng_of_codes, of_prior))
        utterances = [self.model.overlapped(one, begins, n_frames, of).numpy()
                      for one, of in zip(codes, condition, strict=True)]  # fmt: skip
        return numbered("utterance", utterances)

    def reconstruct(
        self,
        files: Sequence[Path | str],
        *,
        source: str | None = None,
        target: str | None = None,
        strength: float = 1.0,
        vocoder: str = VOCODERS[0],
    ) -> list[Made]:
        """Recordings taken apart into windows and put together again, converted on the way where that is asked for.

        How they are converted, `phonaut.tasks.conversion.change_of` says.

        Args:
            files: recordings.
            source: `speaker:NAME`, `gender:f` or `label:NAME` that they are; None: not known.
            target: what they become; None: nothing else.
            strength: codes move so many times the difference of means.
            vocoder: what makes the sound: `griffin_lim` of the frames, or `world`, which changes the recording's own
                envelope as conversion changes frames, and its pitch to that of the target in training.

        Raises:
            ValueError: a value is not known, or the generator has no encoder.
        """
        if vocoder not in VOCODERS:
            raise ValueError(f"vocoder={vocoder} is none of {', '.join(VOCODERS)}{did_you_mean(vocoder, VOCODERS)}")
        if vocoder == "world" and target is None:
            raise ValueError("vocoder=world changes a voice: name a target=")
        if target is not None:
            latents, conversion = Latents(self.run.folder), Conversion(target, strength)
            change = change_of(self.model, latents, conversion, source=source)
        elif source is not None or strength != 1.0:
            said = (
                f"source={source} says what recordings are" if source else f"strength={strength:g} is of a conversion"
            )
            raise ValueError(f"{said}; target= says what they become")
        else:
            change = Change()
        paths = [Path(file) for file in files]
        results = []
        pitches = [self.pitch(source), self.pitch(target)] if vocoder == "world" else []
        for path, (audio, frames) in zip(paths, self.read(paths), strict=True):
            rebuilt = self.model.rebuilt(torch.from_numpy(frames), **change._asdict())
            what = "reconstructed" if target is None else f"to_{target.replace(':', '_')}"
            sound = None
            if vocoder == "world":
                before = self.model.rebuilt(torch.from_numpy(frames), heard=change.heard).numpy()
                sound = revoiced(self.model, audio, before, rebuilt.numpy(), source=pitches[0], target=pitches[1])
            results.append(Made(f"{path.stem}_{what}", f"{path.name}, {what}", rebuilt.numpy(), frames, audio, sound))
        return results

    def pitch(self, value: str | None) -> Pitch | None:
        """The pitch of `speaker:NAME` or `gender:f` in training; None where nothing is said.

        Raises:
            ValueError: WORLD is not installed, or nobody in training has that pitch.
        """
        if (why_not := missing()) or value is None:
            if why_not:
                raise ValueError(why_not)
            return None
        return pitch_of_value(self.run.folder, own_corpus(self.run.config, self.run.folder), *attribute_of(value))

    def interpolate(self, first: Path | str, second: Path | str, n: int = 7) -> list[Made]:
        """Windows between the middles of two recordings, their codes on a straight line."""
        t = self.model.network.window_frames
        windows = []
        for _, frames in self.read([Path(first), Path(second)]):
            if len(frames) < t:
                raise ValueError(f"a window has {t} frames, and one of the recordings has {len(frames)}")
            begin = (len(frames) - t) // 2
            windows.append(frames[begin : begin + t])
        nothing = self.model.mean.new_zeros(2, self.model.network.condition_size)
        with torch.inference_mode():
            ends = self.model.network.encode(self.model.normalised(torch.from_numpy(np.stack(windows))), nothing)
            share = torch.linspace(0, 1, n)[:, None]
            codes = (1 - share) * ends[:1] + share * ends[1:]
            frames = self.model.restored(self.model.network.decode(codes, nothing[:1].expand(n, -1))).numpy()
        return [Made(f"between_{i + 1:03d}", f"{s:.0%} of the way", one) for i, (s, one) in enumerate(
            zip(share[:, 0].tolist(), frames, strict=True))]  # fmt: skip


def prior_of(generating: Generating, prior: str | Path) -> Prior:
    """The density of a run as the prior of a generator. Errors are those of `Prior`."""
    from phonaut.runs.load import load

    run = load(prior)
    windows = run.config.task if run.config.choices["task"] == "generation" else None
    return Prior(
        str(prior),
        run.model,
        list(run.about["classes"]),
        generating.model,
        str(generating.run.folder),
        median_frames=run.about.get("median_frames"),
        windows=windows,
    )


def numbered(what: str, frames: Sequence[NDArray[np.float32]], titles: Sequence[str] = ()) -> list[Made]:
    """Things that were made of nothing: `sample_001` and so on."""
    return [
        Made(f"{what}_{i + 1:03d}", titles[i] if titles else f"{what} {i + 1}", one) for i, one in enumerate(frames)
    ]


def frames_in(seconds: float, frame_shift_s: float) -> int:
    """Frames of an utterance that is drawn, one at least.

    Raises:
        ValueError: it would be too long, or last no time.
    """
    if not 0 < seconds <= LONGEST_S:
        raise ValueError(f"seconds={seconds:g}: must be above 0, and at most {LONGEST_S:g}")
    return max(1, round(seconds / frame_shift_s))


def write(maker: Maker, made: Sequence[Made], folder: Path) -> list[Path]:
    """Frames, pictures and, where it can be heard, audio of what was made, whole files each.

    Recordings have a picture and a WAV file each. What was drawn is pictures in one grid, heard one after another.

    Returns:
        The files.

    Raises:
        OSError: the folder cannot be made.
        ValueError: two things have one name.
    """
    import io

    import soundfile

    from phonaut.files import write_arrays
    from phonaut.plots import png, spectrograms, window_grid

    names = [one.name for one in made]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise ValueError(f"two recordings would both be written as {twice}: give them other names, or one at a time")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OSError(f"output={folder} cannot be written, {error.strerror}: name another folder") from error
    front_end, audible = maker.model.front_end, not maker.model.inaudible
    windows = [one for one in made if one.source is None]
    heard = {one.name: maker.audio(one) for one in made if one.source is not None and audible}
    figures = {
        one.name: spectrograms(
            {"recording": one.source, one.title: one.frames}, frame_shift_s=front_end.frame_shift_s, size=(9.0, 5.0)
        )
        for one in made
        if one.source is not None
    }
    kept = {one.name: {one.name: one.frames} for one in made if one.source is not None}
    if windows:
        what = windows[0].name.rpartition("_")[0]
        name = what if what == "between" else f"{what}s"
        kept[name] = {one.name: one.frames for one in windows}
        is_spectrum = isinstance(front_end, Spectrogram) and not isinstance(front_end, MFCC)
        frames, titles = [one.frames for one in windows], [one.title for one in windows]
        figures[name] = window_grid({"": frames}, titles=titles, by_feature=not is_spectrum)
        if audible:
            heard[name] = one_after_another(maker.model, frames)
    files = [folder / f"{name}.npz" for name in kept]
    for path, arrays in zip(files, kept.values(), strict=True):
        write_arrays(path, arrays)
    for name, figure in figures.items():
        files.append(folder / f"{name}.png")
        write_bytes(files[-1], png(figure, dpi=SHARPNESS))
    for name, samples in heard.items():
        file = io.BytesIO()
        soundfile.write(file, samples, int(front_end.sample_rate), format="WAV", subtype="PCM_16")
        files.append(folder / f"{name}.wav")
        write_bytes(files[-1], file.getvalue())
    return files
