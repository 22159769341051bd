"""Listening gives the same scores, probabilities and detections however the sound is cut, and they are right."""

from __future__ import annotations

import itertools
import tracemalloc
from collections.abc import Sequence

import numpy as np
import pytest
import torch
from torch import Tensor

from phonaut.deploy.detection import Detection, Detector
from phonaut.deploy.listening import Listener
from phonaut.deploy.scores import Rows, Scores, StatefulScores, WindowedScores
from phonaut.deploy.smoothing import MovingAverage, WordChain
from phonaut.deploy.streaming import StreamingModel
from phonaut.features import MFCC, Raw
from phonaut.models import SpeechModel
from phonaut.networks import TCResNet8

RATE = 16000
SIZES = ([160], [7000], [1, 3000, 0, 33, 20000])


def model(*, causal: bool) -> SpeechModel:
    torch.manual_seed(0)
    front_end = MFCC(framing="causal" if causal else "center", top_db=None if causal else 80.0, n_mels=10, n_mfcc=5)
    return SpeechModel(front_end, TCResNet8(n_features=5, n_classes=4, causal=causal)).eval()


def sound(seconds: float) -> Tensor:
    noise = torch.randn(round(RATE * seconds), generator=torch.Generator().manual_seed(1))
    return 0.1 * noise * torch.linspace(0.1, 1, len(noise))


def cut(audio: Tensor, sizes: Sequence[int]) -> list[Tensor]:
    cuts = itertools.accumulate(itertools.cycle(sizes))
    ends = list(itertools.takewhile(lambda end: end < len(audio), cuts))
    return list(torch.tensor_split(audio, torch.tensor(ends, dtype=torch.long)))


def along(scores: Scores, audio: Tensor, sizes: Sequence[int]) -> Rows:
    parts = [*(scores.step(part) for part in cut(audio, sizes)), scores.end()]
    rows = [part for part in parts if len(part.end_s)]
    return Rows(torch.cat([row.end_s for row in rows]), torch.cat([row.scores for row in rows]))


@pytest.mark.oracle
@pytest.mark.parametrize("sizes", SIZES)
def test_stateful_scores_are_the_offline_ones_of_the_whole_recording_at_their_times(sizes: list[int]) -> None:
    stream, audio = StreamingModel(model(causal=True), window_ms=640), sound(1.7)
    rows = along(StatefulScores(stream), audio, sizes)
    torch.testing.assert_close(rows.scores, stream.offline(audio[None])[0], rtol=1e-4, atol=1e-4)
    for end_s, row in zip(rows.end_s.tolist(), rows.scores, strict=True):  # nothing after its time is heard
        heard = stream.offline(audio[None, : round(end_s * RATE)])[0, -1]
        torch.testing.assert_close(row, heard, rtol=1e-4, atol=1e-4)


@pytest.mark.oracle
@pytest.mark.parametrize("sizes", SIZES)
def test_windowed_scores_are_those_of_each_window_on_its_own(sizes: list[int]) -> None:
    hears, audio = model(causal=False), sound(1.73)
    rows = along(WindowedScores(hears, window_ms=500, hop_ms=130), audio, sizes)
    ends = [*range(8000, len(audio), 2080), len(audio)]  # the last window ends with the sound
    assert [round(end_s * RATE) for end_s in rows.end_s.tolist()] == ends
    for end, row in zip(ends, rows.scores, strict=True):
        alone = hears(audio[None, end - 8000 : end], torch.tensor([8000]))[0]
        torch.testing.assert_close(row, alone.detach(), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("seconds", "ends"), [(0.05, []), (0.3, [0.3]), (0.5, [0.5]), (0.63, [0.5, 0.63])])
def test_sound_shorter_than_a_window_is_heard_as_a_whole(seconds: float, ends: list[float]) -> None:
    scores, audio = WindowedScores(model(causal=False), window_ms=500, hop_ms=130), sound(seconds)
    rows = [scores.step(audio), scores.end()]
    assert [round(end_s, 6) for row in rows for end_s in row.end_s.tolist()] == ends
    if seconds == 0.3:
        torch.testing.assert_close(
            rows[1].scores, model(causal=False)(audio[None], torch.tensor([len(audio)])).detach()
        )


@pytest.mark.oracle
@pytest.mark.parametrize("sizes", [[1], [50], [3, 0, 11]])
def test_the_moving_average_is_the_mean_of_the_last_rows(sizes: list[int]) -> None:
    scores = torch.randn(50, 4, generator=torch.Generator().manual_seed(0))
    smooth = MovingAverage([0, 2], shift_s=0.1, smoothing_s=0.4)
    got = np.concatenate([smooth.step(part) for part in cut(scores, sizes)])
    p = np.exp(scores.double().numpy())
    p /= p.sum(axis=1, keepdims=True)
    for t, row in enumerate(got):
        np.testing.assert_allclose(row, p[max(0, t - 3) : t + 1, [0, 2]].mean(axis=0), rtol=1e-9)


@pytest.mark.oracle
@pytest.mark.parametrize("words", [[0, 1], [0, 1, 2]])
def test_the_chain_of_words_is_what_all_paths_together_say(words: list[int]) -> None:
    """States by hand: a filler, and for each word two in a row, each of which is entered from the one before."""
    scores = 2 * torch.randn(6, 3, generator=torch.Generator().manual_seed(0))
    smooth = WordChain(words, 3, shift_s=0.2, smoothing_s=0.5)
    got = np.concatenate([smooth.step(part) for part in cut(scores, [1, 3])])
    logs = scores.double().log_softmax(dim=1).numpy() + np.log(3)
    filler = logs[:, 2] if len(words) == 2 else np.zeros(6)
    n, stay, last = 1 + 2 * len(words), 0.9, 0.2  # 1 - 0.2 / 2.0, 1 - 2 * 0.2 / 0.5
    transition = np.zeros((n, n))
    transition[0, 0] = stay
    for k in range(len(words)):
        first = 1 + 2 * k
        transition[0, first] = (1 - stay) / len(words)
        transition[first, first], transition[first, first + 1] = last, 1 - last
        transition[first + 1, first + 1], transition[first + 1, 0] = last, 1 - last
    emission = 0.4 * np.stack([filler, *(logs[:, k] for k in words for _ in range(2))], axis=1)
    for t in range(6):
        mass = np.zeros(n)
        for path in itertools.product(range(n), repeat=t):  # after the filler, in which each begins
            states = (0, *path)
            p = np.prod([transition[a, b] for a, b in itertools.pairwise(states)])
            if p:
                mass[states[-1]] += p * np.exp(sum(emission[i, s] for i, s in enumerate(states)))
        expected = [mass[1 + 2 * k : 3 + 2 * k].sum() / mass.sum() for k in range(len(words))]
        np.testing.assert_allclose(got[t], expected, rtol=1e-9)


def detected(
    probabilities: Sequence[Sequence[float]], sizes: Sequence[int] = (1000,), **more: float
) -> list[Detection]:
    """Detections in rows 0.1 s apart, the first of which ends after 0.1 s."""
    options = {"window_s": 0.25, "threshold": 0.5, "refractory_s": 0.3} | more
    detector = Detector(["a", "b"][: len(probabilities[0])], **options)
    rows, ends = torch.tensor(probabilities), 0.1 * (1 + torch.arange(len(probabilities), dtype=torch.float64))
    parts = zip(cut(ends, sizes), cut(rows, sizes), strict=True)
    return [one for end_s, part in parts for one in detector.step(end_s.numpy(), part.numpy())]


@pytest.mark.parametrize("sizes", [[1], [4], [2, 0, 5], [1000]])
def test_a_word_is_detected_once_until_it_has_been_below_the_threshold(sizes: list[int]) -> None:
    low, a, b, both = (0.1, 0.1), (0.9, 0.1), (0.1, 0.7), (0.6, 0.8)
    cases = {
        "once, however long it lasts": ([low, a, a, a, a, a, a, a], [("a", 0.2)]),
        "again after a pause": ([a, low, low, a], [("a", 0.1), ("a", 0.4)]),
        "not within the refractory time": ([a, low, a, low], [("a", 0.1)]),
        "after it, where it still lasts": ([a, low, a, a, a], [("a", 0.1), ("a", 0.4)]),
        "another word once it may be": ([a, a, b, b, b, b], [("a", 0.1), ("b", 0.4)]),
        "the more probable of two": ([both, both, both, both, low], [("b", 0.1), ("a", 0.4)]),
        "the first stays detected beside another": ([a, a, a, (0.9, 0.6), a, a, a], [("a", 0.1), ("b", 0.4)]),
    }  # fmt: skip
    for case, (rows, expected) in cases.items():
        assert [(one.word, round(one.end_s, 9)) for one in detected(rows, sizes)] == expected, case


def test_a_detection_lies_in_the_window_that_was_heard() -> None:
    first, second = detected([(0.5,), (0.1,), (0.1,), (0.1,), (0.75,)])
    assert first == Detection("a", 0.0, 0.1, 0.5)
    assert (second.word, second.probability) == ("a", 0.75)
    assert (second.start_s, second.end_s) == pytest.approx((0.25, 0.5))


@pytest.mark.parametrize(("key", "value"), [("threshold", 0.0), ("threshold", 1.1), ("refractory_s", -1.0)])
def test_settings_out_of_range_are_refused(key: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"{key[:-2]}.*must"):
        detected([(0.1,)], **{key: value})
    with pytest.raises(ValueError, match="hop_ms=600: must be from 1 to window_ms=500"):
        WindowedScores(model(causal=False), window_ms=500, hop_ms=600)


@pytest.mark.parametrize("causal", [True, False])
def test_what_is_kept_of_an_hour_does_not_grow(causal: bool) -> None:
    """An hour in blocks of ten seconds through a front end of one number a second, so that it takes no time."""
    torch.manual_seed(0)
    front_end = Raw(framing="causal" if causal else "center", win_length=400, hop_length=400, sample_rate=400)
    small = TCResNet8(n_features=400, n_classes=3, causal=causal)
    hears = SpeechModel(front_end, small)
    scores: Scores = (
        StatefulScores(StreamingModel(hears, window_ms=8000))
        if causal
        else WindowedScores(hears, window_ms=8000, hop_ms=5000)
    )
    chain = WordChain([0, 1], 3, shift_s=scores.shift_s, smoothing_s=1.0)
    listener = Listener(scores, chain, Detector(["a", "b"], window_s=8, threshold=0.5, refractory_s=1), 400)
    sizes = list[int]()
    tracemalloc.start()
    for i in range(360):
        listener.step(np.zeros(4000, np.float32))
        if i % 120 == 119:
            state = scores.state.n_bytes if isinstance(scores, StatefulScores) else scores.kept.numel()
            sizes += [state]
            if i == 119:
                before = tracemalloc.get_traced_memory()[0]
    grown = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert len(set(sizes)) == 1
    assert grown < 50_000
    assert listener.heard_s == 3600
