"""Figures of generators whose reconstructions, samples and likelihoods are known."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA
from torch import Tensor, nn

from phonaut.arrays import Array
from phonaut.config.metrics import registered_metrics
from phonaut.data.frame_windows import FrameWindows
from phonaut.features.spectral import MFCC, MelSpectrogram
from phonaut.files import write_arrays, write_json
from phonaut.metrics.generation import inception_score
from phonaut.models.generators import Generator, Windows
from phonaut.models.window_model import WindowModel
from phonaut.tasks.base import Trained
from phonaut.tasks.conversion import Conversion
from phonaut.tasks.generation_figures import Figures, decibels
from phonaut.tasks.judge import Judge

T, D = 5, 8  # of windows
N = {"train": 300, "test": 60}
LABELS, SPEAKERS = ["a", "b"], ["s0", "s1"]


class Linear(Generator):
    """Codes are coordinates along given directions, and samples what it is given."""

    def __init__(self, basis: Array, mean: Array, given: Tensor | None = None, condition_size: int = 0) -> None:
        super().__init__(n_features=D, window_frames=T, latent_size=len(basis), condition_size=condition_size)
        self.basis = nn.Parameter(torch.from_numpy(basis).float())
        self.offset, self.given = torch.from_numpy(mean).float(), given

    def encode(self, frames: Tensor, condition: Tensor) -> Tensor:
        return (frames.flatten(1) - self.offset) @ self.basis.T

    def decode(self, latents: Tensor, condition: Tensor) -> Tensor:
        return (latents @ self.basis + self.offset).view(-1, T, D)

    def sample(self, n: int, condition: Tensor, rng: torch.Generator) -> Tensor:
        assert self.given is not None
        return self.given[:n]


@dataclass
class Corpus:
    """Windows of a split are rows of frames, one after another; a speaker has ten of them."""

    tables: dict[str, FrameWindows]
    labels: list[str] = field(default_factory=lambda: list(LABELS))
    speech: Any = field(default_factory=lambda: SimpleNamespace(target="keyword"))

    def windows(self, split: str) -> FrameWindows:
        return self.tables[split]

    @property
    def prepared(self) -> Any:
        genders = {f"s{row}": "fm"[row % 2] for row in range(30)}
        return SimpleNamespace(
            utterances=lambda _: SimpleNamespace(speaker_name=lambda row: f"s{row}"), genders=genders
        )


def table(split: str, frames: Array, cut: int, known: bool) -> FrameWindows:
    """Windows of `(W, T, D)`; the first ones lack `cut` frames, which lie before their recording."""
    n = len(frames)
    first = np.arange(n) * T
    begin = first + np.where(np.arange(n) < 10, cut, 0)
    row = np.arange(n) // 10
    speakers = row % 2 if known else np.full(n, -1)
    keys = np.arange(n, dtype=np.uint64)
    flat = frames.reshape(-1, D).astype(np.float32)
    return FrameWindows(flat, first, begin, first + T, row, np.arange(n) % 2, speakers, keys, T, split == "train")


def corpus(cut: int = 0, known: bool = True, n_test: int = N["test"]) -> Corpus:
    rng = np.random.default_rng(0)
    mixing = rng.standard_normal((T * D, T * D)) * 0.8 ** np.arange(T * D)
    made = {s: (rng.standard_normal((n, T * D)) @ mixing.T + 3).reshape(n, T, D) for s, n in N.items()}
    return Corpus({s: table(s, x[:n_test] if s == "test" else x, cut, known) for s, x in made.items()})


def mel(**options: Any) -> MelSpectrogram:
    return MelSpectrogram(**{"n_mels": D, "n_fft": 512, "log": "natural", "top_db": None, **options})


def model_of(data: Corpus, network: Generator, front_end: Any = None, **names: list[str]) -> WindowModel:
    model = WindowModel(front_end or mel(), network, **names).eval()
    model.fit_normalization(data.windows("train").frames)
    return model


def normalised(data: Corpus, split: str) -> Array:
    """Windows as a generator gets them, by loops."""
    windows, train = data.windows(split), data.windows("train").frames.astype(np.float64)
    mean, deviation = train.mean(axis=0), train.std(axis=0)
    made = np.zeros((len(windows), T, D))
    for w in range(len(windows)):
        for t in range(T):
            at = windows.first[w] + t
            if windows.begin[w] <= at < windows.end[w]:
                made[w, t] = (windows.frames[at] - mean) / deviation
    return made


def inside(data: Corpus, split: str) -> Array:
    windows = data.windows(split)
    return (windows.first[:, None] + np.arange(T) >= windows.begin[:, None]).astype(float)[:, :, None]


def principal(data: Corpus, k: int) -> tuple[Array, Array]:
    """The first k right singular vectors of training windows, and their mean."""
    x = normalised(data, "train").reshape(-1, T * D)
    return np.linalg.svd(x - x.mean(axis=0), full_matrices=False)[2][:k], x.mean(axis=0)


def test_a_linear_generator_along_principal_components_has_their_snr_and_frames_outside_recordings_do_not_count() -> (
    None
):
    data = corpus(cut=2)
    basis, mean = principal(data, 16)
    with torch.inference_mode():
        found = Figures(model_of(data, Linear(basis, mean)), data).of_reconstructions("test")  # type: ignore[arg-type]
    x, mask = normalised(data, "test"), inside(data, "test")
    y = ((x.reshape(-1, T * D) - mean) @ basis.T @ basis + mean).reshape(x.shape)
    of_bin = (normalised(data, "train") * inside(data, "train")).sum((0, 1)) / inside(data, "train").sum()
    expected = 10 * np.log10((((x - of_bin) * mask) ** 2).sum() / (((x - y) * mask) ** 2).sum())
    assert found["snr_db"].value == pytest.approx(expected, abs=1e-3)
    assert found["snr_db/pca_16"].value == pytest.approx(expected, abs=1e-3)
    assert found["snr_db"].low < expected < found["snr_db"].high
    assert found["snr_db"].n == N["test"]
    assert "elbo" not in found, "it has no likelihood"
    assert "snr_db/pca_128" not in found, "windows of 40 values have no 128 components"


@pytest.mark.peer
def test_the_bound_stands_beside_the_likelihood_of_probabilistic_components() -> None:
    class Bounded(Linear):
        def elbo(self, windows: Windows) -> Tensor:
            return torch.full((len(windows),), -3.0 * T)

    data = corpus()
    network = Bounded(np.zeros((2, T * D)), np.zeros(T * D))
    with torch.inference_mode():
        found = Figures(model_of(data, network), data).of_reconstructions("test")  # type: ignore[arg-type]
    train, test = (normalised(data, split).reshape(-1, T * D) for split in ("train", "test"))
    assert found["elbo"].value == pytest.approx(-3.0)
    expected = PCA(16).fit(train).score_samples(test)
    assert found["elbo/pca_16"].value == pytest.approx(expected.mean() / T, rel=1e-4)
    assert found["elbo/pca_16"].n == 60


@pytest.mark.parametrize(("options", "factor"), [({}, 10 / np.log(10)), ({"power": 1}, 20 / np.log(10)),
                                                 ({"log": "db"}, 1.0)])  # fmt: skip
def test_log_spectral_distance_is_that_of_the_spectra_in_db(options: dict[str, Any], factor: float) -> None:
    data = corpus(cut=2)
    basis, mean = principal(data, 4)
    model = model_of(data, Linear(basis, mean), mel(**options))
    with torch.inference_mode():
        found = Figures(model, data).of_reconstructions("test")["lsd_db"]  # type: ignore[arg-type]
    x, windows = normalised(data, "test"), data.windows("test")
    y = ((x.reshape(-1, T * D) - mean) @ basis.T @ basis + mean).reshape(x.shape)
    deviation, distances = data.windows("train").frames.astype(np.float64).std(axis=0), []
    for w in range(len(windows)):
        for t in range(T):
            if windows.first[w] + t >= windows.begin[w]:
                distances.append(np.sqrt(np.mean((factor * deviation * (x[w, t] - y[w, t])) ** 2)))
    assert found.value == pytest.approx(np.mean(distances), rel=1e-4)


def test_features_that_are_no_logarithms_of_spectra_have_no_log_spectral_distance() -> None:
    for front_end in (MFCC(n_mfcc=D), mel(deltas=1), mel(log=None)):
        assert decibels(SimpleNamespace(front_end=front_end, normalizer=None)) is None  # type: ignore[arg-type]
    assert decibels(SimpleNamespace(front_end=mel(), normalizer=nn.Identity())) is None  # type: ignore[arg-type]


def sampled(data: Corpus, windows: Array) -> dict[str, Any]:
    basis, mean = principal(data, 4)
    figures = Figures(model_of(data, Linear(basis, mean, torch.from_numpy(windows).float())), data)  # type: ignore[arg-type]
    with torch.inference_mode():
        return figures.of_samples("test", figures.samples("test"))


def test_samples_that_are_recorded_windows_moved_by_a_vector_are_as_far_by_frechet_as_it_is_long() -> None:
    data = corpus()
    basis, _ = principal(data, 2)
    move = 3 * basis[0] - 4 * basis[1]
    found = sampled(data, normalised(data, "test") + move.reshape(T, D))
    assert found["frechet"].value == pytest.approx(25.0, rel=1e-3)
    assert found["frechet"].low < 25 < found["frechet"].high
    assert found["frechet"].n == N["test"]
    assert found["mmd"].low > found["mmd/floor"].value
    same = sampled(data, normalised(data, "test"))
    assert same["frechet"].value == pytest.approx(0.0, abs=1e-3)
    assert same["sample_precision"].value == same["sample_recall"].value == same["coverage"].value == 1.0


def test_a_generator_that_gives_training_windows_back_is_told_by_copying_and_one_that_does_not_is_not() -> None:
    data = corpus()
    copies = sampled(data, normalised(data, "train")[:60] + 0.001)["copying"]
    assert copies.high < 0.1
    honest = sampled(data, normalised(data, "test"))["copying"]
    assert honest.low <= 1.0 <= honest.high
    assert honest.value == pytest.approx(1.0, abs=1e-6)


def test_a_gaussian_is_as_near_as_training_windows_where_windows_are_gaussian_and_farther_where_they_are_not() -> None:
    data = corpus()
    found = sampled(data, normalised(data, "test"))
    assert found["mmd/gaussian"].low <= 0.0 <= found["mmd/gaussian"].high
    for windows in data.tables.values():  # of two kinds, far from each other, as often in each speaker
        windows.frames.reshape(-1, T, D)[::2] += 40
    apart = sampled(data, normalised(data, "test"))
    assert apart["mmd/gaussian"].low > 0 > apart["mmd/floor"].low


def test_speakers_that_training_has_not_are_replaced_where_samples_are_made_for_speakers() -> None:
    data = corpus()
    strangers = corpus(known=False)
    data.tables["test"] = strangers.tables["test"]
    basis, mean = principal(data, 4)
    network = Linear(basis, mean, torch.zeros(60, T, D), condition_size=4)
    model = model_of(data, network, labels=LABELS, speakers=SPEAKERS)
    samples = Figures(model, data).samples("test")  # type: ignore[arg-type]
    assert samples is not None
    assert torch.equal(samples.condition[:, :2].argmax(dim=1), torch.arange(60) % 2), "labels of the windows"
    assert torch.equal(samples.condition[:, 2:].sum(dim=1), torch.ones(60))
    assert set(samples.condition[:, 2:].argmax(dim=1).tolist()) == {0, 1}


def test_few_windows_are_not_compared_with_samples() -> None:
    data = corpus(n_test=10)
    assert sampled(data, normalised(data, "test")) == {}


def test_the_headline_of_a_generator_is_the_snr_and_without_an_encoder_the_discrepancy() -> None:
    order = list(registered_metrics())
    assert order.index("snr_db") < order.index("mmd") < order.index("frechet")
    ours = sampled(corpus(), normalised(corpus(), "test"))
    shown = {name for name in ours if "/" not in name}
    assert shown <= set(order)
    assert shown.isdisjoint({"recall", "accuracy"}), "which are of classes"


# --- judges


class MeanClassifier(nn.Module):
    """A linear layer on the mean of the frames: class 0 where the mean of the first feature is positive."""

    encodes_recordings = frame_level = False

    def __init__(self) -> None:
        super().__init__()
        self.classifier = nn.Linear(D, 2)
        nn.init.zeros_(self.classifier.bias)
        nn.init.zeros_(self.classifier.weight)
        self.classifier.weight.data[0, 0] = 1.0

    def forward(self, segments: Tensor, lengths: Tensor) -> Tensor:
        scores: Tensor = self.classifier(segments.mean(dim=1))
        return scores


class Heard(nn.Module):
    encodes_recordings = False

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def classify(self, segments: Tensor, lengths: Tensor) -> Tensor:
        scores: Tensor = self.network(segments, lengths)
        return scores


def config(**changed: Any) -> Any:
    options: dict[str, Any] = {"features": {"n_mels": D}, "normalizer": None, "target": "keyword"}
    choices = {"task": "classification", "features": "melspec"}
    return SimpleNamespace(**options | changed, choices=choices, encoder=SimpleNamespace(run=None))


def judge(network: nn.Module | None = None, *, folder: Path = Path("generator"), **changed: Any) -> Judge:
    model: Any = Heard(network or MeanClassifier())
    conversion = changed.pop("conversion", None)
    run = Trained(changed.pop("of", Path("judge")), config(**changed), {"classes": LABELS}, {}, [], model)
    return Judge(run, config(), folder, conversion)


def test_a_judge_measures_in_the_input_of_its_last_layer_and_tells_how_many_it_recognises() -> None:
    data = corpus()
    basis, mean = principal(data, 40)  # all: reconstructions are exact
    x = normalised(data, "test")
    moved = x + 1.0  # in normalised features
    network = Linear(basis, mean, torch.from_numpy(moved).float(), condition_size=2)
    figures = Figures(model_of(data, network, labels=LABELS), data)  # type: ignore[arg-type]
    with torch.inference_mode():
        found = judge().figures(figures, "test", figures.samples("test"))
    frames = data.windows("test").frames.reshape(-1, T, D).astype(np.float64)
    deviation = data.windows("train").frames.astype(np.float64).std(axis=0)
    assert found["frechet/keyword"].value == pytest.approx(np.square(deviation).sum(), rel=1e-3)
    assert found["frechet/keyword/reconstructed"].value == pytest.approx(0.0, abs=1e-3)
    truth, first = np.arange(60) % 2, frames.mean(axis=1)[:, 0]
    right = np.where(first > 0, 0, 1) == truth
    true, rebuilt = found["accuracy/keyword/true"].value, found["accuracy/keyword/reconstructed"].value
    assert true == rebuilt == pytest.approx(right.mean())
    asked = np.where(first + deviation[0] > 0, 0, 1) == truth
    assert found["accuracy/keyword/sampled"].value == pytest.approx(asked.mean())
    assert found["accuracy/keyword/true"].n == 60
    p = 1 / (1 + np.exp(-np.stack([first, -first], axis=1)))
    assert found["inception/keyword/true"].value == pytest.approx(inception_score(p), rel=1e-4)
    p = 1 / (1 + np.exp(-np.stack([first, -first], axis=1) - deviation[0] * np.array([1, -1])))
    assert found["inception/keyword"].value == pytest.approx(inception_score(p), rel=1e-4)
    assert "judge" in found["frechet/keyword"].method


def test_a_judge_of_speakers_counts_those_that_it_knows() -> None:
    data = corpus()
    basis, mean = principal(data, 40)
    figures = Figures(model_of(data, Linear(basis, mean, torch.zeros(60, T, D))), data)  # type: ignore[arg-type]
    heard = judge(target="speaker")
    heard.classes = ["s1", "s5"]
    with torch.inference_mode():
        found = heard.figures(figures, "test", figures.samples("test"))
    assert found["accuracy/speaker/true"].n == 20
    assert "accuracy/speaker/sampled" not in found, "samples are of no speaker"


def test_a_second_judge_of_a_target_has_a_name_of_its_own_and_the_first_keeps_its_own(tmp_path: Path) -> None:
    of = tmp_path / "first"
    assert judge(folder=tmp_path, of=of).name == "keyword"
    figure = {"inception/keyword": {"value": 1, "low": 1, "high": 1, "n": 9, "method": f"judge {of}; over samples"}}
    write_json(tmp_path / "metrics.json", {"test": {"snr_db": {"value": 1.0}, **figure}})
    assert judge(folder=tmp_path, of=of).name == "keyword"
    assert judge(folder=tmp_path, of=tmp_path / "second").name == "keyword_2"
    assert judge(folder=tmp_path, of=tmp_path / "second", target="speaker").name == "speaker"


def test_conversions_are_heard_before_and_after_by_a_judge_of_the_target_and_by_one_of_words(tmp_path: Path) -> None:
    data = corpus()
    basis, mean = principal(data, 40)
    model = model_of(data, Linear(basis, mean, torch.zeros(60, T, D)))
    one = np.zeros((T, D))
    one[:, 0] = -4.0  # normalised, and so the first feature: class 1, which is a man's
    means = np.stack([np.zeros(40), basis @ one.ravel()])
    arrays = {"codes": np.zeros((2, 40)), "names/gender": np.array(["f", "m"]), "means/gender": means}
    arrays |= {f"{part}/{name}": np.zeros(0) for part in ("names", "means") for name in ("speaker", "label")}
    write_arrays(tmp_path / "latents.npz", arrays)
    figures, first = Figures(model, data), data.windows("test").frames.reshape(-1, T, D).mean(axis=1)[:, 0]  # type: ignore[arg-type]
    women = np.arange(60) // 10 % 2 == 0
    how = {"folder": tmp_path, "conversion": Conversion("gender:m")}
    by_gender, by_word = judge(target="gender", **how), judge(**how)
    by_gender.classes = ["f", "m"]
    with torch.inference_mode():
        found = by_gender.figures(figures, "test", figures.samples("test"))
        words = by_word.figures(figures, "test", figures.samples("test"))
    shift = -4 * model.deviation[0].item()
    of = "accuracy/gender/to_m"
    assert found[f"{of}/true"].n == women.sum() == 30
    assert found[f"{of}/true"].value == found[f"{of}/reconstructed"].value == pytest.approx((first[women] < 0).mean())
    assert found[f"{of}/converted"].value == pytest.approx((first[women] + shift < 0).mean())
    assert found[f"{of}/converted"].value > found[f"{of}/true"].value
    right = np.where(first + shift > 0, 0, 1) == np.arange(60) % 2
    assert words["accuracy/keyword/to_m/converted"].value == pytest.approx(right[women].mean())
    assert "codes moved 1 times" in words["accuracy/keyword/to_m/converted"].method
    by_gender.classes = ["f", "x"]
    with torch.inference_mode(), pytest.raises(ValueError, match="has no such class, but f, x"):
        by_gender.figures(figures, "test", figures.samples("test"))


def test_speakers_that_training_has_not_move_from_the_mean_of_their_own_windows(tmp_path: Path) -> None:
    data = corpus()
    basis, mean = principal(data, 40)
    model = model_of(data, Linear(basis, mean, torch.zeros(60, T, D)))
    target = np.random.default_rng(3).standard_normal((1, 40))
    arrays = {"codes": np.zeros((2, 40)), "names/speaker": np.array(["s9"]), "means/speaker": target}
    arrays |= {f"{part}/{name}": np.zeros(0) for part in ("names", "means") for name in ("gender", "label")}
    write_arrays(tmp_path / "latents.npz", arrays)
    by, heard = judge(folder=tmp_path), list[Tensor]()
    hear = by.hear
    by.hear = lambda frames: (heard.append(frames), hear(frames))[1]  # type: ignore[method-assign]
    with torch.inference_mode():
        found = by.of_conversion(Figures(model, data), "test", Conversion("speaker:s9"))  # type: ignore[arg-type]
        there = model.restored(model.network.decode(torch.from_numpy(target).float(), torch.zeros(1, 0)))[0]
    assert found["accuracy/keyword/to_s9/converted"].n == 60
    for speaker in range(6):
        own = heard[2][10 * speaker : 10 * speaker + 10].mean(dim=0)
        torch.testing.assert_close(own, there, rtol=1e-3, atol=1e-3)


def test_judges_that_hear_other_frames_or_have_no_linear_layer_are_refused() -> None:
    with pytest.raises(ValueError, match=rf"hears other frames than generator makes: .* with features.n_mels={D}$"):
        judge(features={"n_mels": D + 1})
    with pytest.raises(ValueError, match=r"is to be trained with normalizer=null$"):
        judge(normalizer={"mean": True})
    with pytest.raises(ValueError, match="no linear layer at its end"):
        judge(nn.Conv1d(D, 2, 1))


# --- whole recordings


def recordings() -> Corpus:
    """Six test recordings of 40 frames, a speaker each, whose windows overlap."""
    data, rng = corpus(), np.random.default_rng(1)
    frames = np.cumsum(rng.standard_normal((240, D)), axis=0).astype(np.float32)
    begin = np.repeat(np.arange(6) * 40, 8)
    first, row = begin + np.tile(np.arange(8) * 5, 6), begin // 40
    keys = np.arange(48, dtype=np.uint64)
    data.tables["test"] = FrameWindows(frames, first, begin, begin + 40, row, row % 2, row % 2, keys, T, False)
    return data


class Louder(Linear):
    """Gives windows back with a cosine over the filters added, which is one cepstral coefficient."""

    level, ripple = 0.0, 0.0

    def decode(self, latents: Tensor, condition: Tensor) -> Tensor:
        bins = torch.cos(np.pi * 2 * (torch.arange(D) + 0.5) / D)
        return super().decode(latents, condition) + self.level + self.ripple * bins


def test_cepstral_distortion_of_rebuilt_recordings_is_the_rms_of_the_ripple_and_takes_no_note_of_the_level() -> None:
    """A ripple `a cos` over the filters has the root mean square `a / sqrt 2`, in dB, at each frame."""
    data = recordings()
    basis, mean = principal(data, T * D)
    network = Louder(basis, mean)
    model = model_of(data, network, mel(log="db"))
    model.deviation.fill_(1.0)
    for level, ripple in ((7.0, 3.0), (0.0, 1.0)):
        network.level, network.ripple = level, ripple
        with torch.inference_mode():
            found = Figures(model, data).of_recordings("test")  # type: ignore[arg-type]
        assert found["mcd_db"].value == pytest.approx(ripple / np.sqrt(2), rel=1e-3)
        assert found["mcd_db"].n == 6
        assert 0 < found["mcd_db/dtw"].value <= found["mcd_db"].value + 1e-3
    network.level, network.ripple = 0.0, 0.0
    with torch.inference_mode():
        exact = Figures(model, data).of_recordings("test")  # type: ignore[arg-type]
    assert exact["mcd_db/dtw"].value == pytest.approx(0.0, abs=1e-3)


def test_warping_takes_a_delay_out_of_the_distortion() -> None:
    data = recordings()
    basis, mean = principal(data, T * D)
    model = model_of(data, Linear(basis, mean), mel(log="db"))
    model.rebuilt = lambda frames, **_: torch.cat([frames[:1], frames[:1], frames[:-2]])  # type: ignore[method-assign]
    with torch.inference_mode():
        found = Figures(model, data).of_recordings("test")  # type: ignore[arg-type]
    assert found["mcd_db/dtw"].value < 0.4 * found["mcd_db"].value


def test_linear_spectra_are_compared_as_mel_spectra_of_the_same_sound_are() -> None:
    from phonaut.features.spectral import Spectrogram
    from phonaut.tasks.cepstral import cepstra

    options: dict[str, Any] = {"sample_rate": 8000, "n_fft": 512, "win_length": 200, "top_db": None, "amin": 1e-30}
    audio = torch.randn(1, 4000, generator=torch.Generator().manual_seed(0))
    linear, mels = Spectrogram(**options), MelSpectrogram(**options, n_mels=40, f_min=0.0, log="natural")
    a, b = (one(audio, torch.tensor([4000]))[0][0].numpy() for one in (linear, mels))
    np.testing.assert_allclose(cepstra(linear, a, 1.0), cepstra(mels, b, 10 / np.log(10)), atol=1e-4)
    louder = cepstra(linear, a + 6.0, 1.0)[:, 1:]
    np.testing.assert_allclose(louder, cepstra(linear, a, 1.0)[:, 1:], atol=1e-6)
