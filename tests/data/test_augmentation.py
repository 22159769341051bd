"""What augmentation does to a recording, and what it leaves alone."""

import math
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf
from scipy import signal

import phonaut.data
from phonaut.config.plugins import node_of_group
from phonaut.data.augmentation.chain import PROBABILITIES, Augmentation
from phonaut.data.augmentation.channel import gains, simulated_rooms
from phonaut.data.augmentation.codecs import through
from phonaut.data.augmentation.mixing import add_noise
from phonaut.data.augmentation.noise import loop
from phonaut.data.batches import Batch

RATE = 16000
MakeBatch = Callable[..., Batch]

PERTURBATIONS: dict[str, dict[str, Any]] = {
    "speed": {"speed_low": 0.85, "speed_high": 1.15},
    "time shift": {"timeshift_ms": 100},
    "white noise": {"snr_low_db": 5, "snr_high_db": 30, "noise_kinds": ["white"]},
    "pink noise": {"snr_low_db": 5, "snr_high_db": 30, "noise_kinds": ["pink"]},
    "recorded noise": {"snr_low_db": 5, "snr_high_db": 30, "noise_kinds": ["recorded"]},
    "level": {"level_low_db": -10, "level_high_db": 10},
    "room": {"room_prob": 1.0, "room_rt60_low_s": 0.05, "room_rt60_high_s": 0.2},
    "equalizer": {"equalizer_db": 10},
    "rolloff": {"rolloff_low_hz": 1000, "rolloff_high_hz": 4000},
    "codec": {"codec_prob": 1.0, "codecs": ["vorbis"]},
}
PERTURBATIONS["everything"] = {
    key: value
    for settings in PERTURBATIONS.values()
    for key, value in settings.items()
    if "kinds" not in key and "codec" not in key
}


def augmentation(**settings: Any) -> Augmentation:
    return Augmentation(sample_rate=RATE, **settings)


@pytest.fixture
def noise(make_table: Any) -> Any:
    rng = np.random.default_rng(1)
    return make_table([rng.standard_normal(n) * 0.05 for n in (5_000, 40_000, 100_000)])


def valid(batch: Batch, i: int) -> torch.Tensor:
    return batch.audio[i, : int(batch.audio_lengths[i])]


def item(batch: Batch, i: int) -> Batch:
    """Recording i of a batch, on its own."""
    length = int(batch.audio_lengths[i])
    one = {
        name: getattr(batch, name)[i : i + 1] for name in ("audio_lengths", "keys", "rows", "audio_start_s", "labels")
    }
    spans = {name: getattr(batch, name)[i : i + 1] for name in ("span_start_s", "span_end_s")}
    return replace(batch, audio=batch.audio[i : i + 1, :length], span_recording=torch.tensor([0]), **one, **spans)


@pytest.mark.parametrize("name", PERTURBATIONS)
@pytest.mark.parametrize("clip", [False, True])
def test_a_recording_is_changed_alike_alone_and_in_company(
    name: str, clip: bool, make_batch: MakeBatch, noise: Any
) -> None:
    batch = make_batch([16000] * 5 if clip else [9000, 16000, 333, 12000, 4000], clip=clip, epoch=3)
    augment = augmentation(**PERTURBATIONS[name])
    together = augment(batch, seed=1, noise=noise)
    for i in range(5):
        alone = augment(item(batch, i), seed=1, noise=noise)
        atol = (
            1e-5 if name in ("room", "equalizer", "rolloff", "everything") else 0
        )  # Fourier transforms round otherwise
        torch.testing.assert_close(valid(alone, 0), valid(together, i), rtol=0, atol=atol)
        assert alone.audio_lengths[0] == together.audio_lengths[i]
        assert alone.span_end_s[0] == together.span_end_s[i]
    assert any(not torch.equal(valid(together, i), valid(batch, i)) for i in range(5)), "and something is changed"


@pytest.mark.parametrize("name", PERTURBATIONS)
def test_padding_stays_zero_and_the_batch_itself_is_not_touched(name: str, make_batch: MakeBatch, noise: Any) -> None:
    batch = make_batch([9000, 16000, 333, 12000])
    before = replace(batch, audio=batch.audio.clone())
    after = augmentation(**PERTURBATIONS[name])(batch, seed=0, noise=noise)
    for i, length in enumerate(after.audio_lengths.tolist()):
        assert (after.audio[i, length:] == 0).all()
    assert torch.equal(batch.audio, before.audio)
    assert after.keys is batch.keys
    assert after.rows is batch.rows


@pytest.mark.parametrize("name", PERTURBATIONS)
def test_draws_follow_seed_and_epoch(name: str, make_batch: MakeBatch, noise: Any) -> None:
    augment = augmentation(**PERTURBATIONS[name])
    batch = make_batch([16000] * 4, clip=True)
    first = augment(batch, seed=0, noise=noise).audio
    assert torch.equal(augment(batch, seed=0, noise=noise).audio, first)
    assert not torch.equal(augment(batch, seed=1, noise=noise).audio, first)
    assert not torch.equal(augment(replace(batch, epoch=1), seed=0, noise=noise).audio, first)


def test_turned_off_it_is_the_same_object(make_batch: MakeBatch, noise: Any) -> None:
    batch = make_batch([16000] * 4)
    assert augmentation()(batch, seed=0, noise=noise) is batch
    silent = {f"{name}_prob": 0.0 for name in PROBABILITIES}
    assert augmentation(**{**PERTURBATIONS["everything"], **silent})(batch, seed=0, noise=noise) is batch
    only_recorded = augmentation(**PERTURBATIONS["recorded noise"])
    assert only_recorded(batch, seed=0) is batch, "the corpus brings no noise"


@pytest.mark.parametrize("name", [name for name in PERTURBATIONS if name != "everything"])
def test_a_probability_is_the_part_of_recordings_that_are_changed(name: str, make_batch: MakeBatch, noise: Any) -> None:
    key = "timeshift_prob" if name == "time shift" else f"{name.rpartition(' ')[2]}_prob"
    n = 400 if name == "codec" else 2000
    batch = make_batch([800] * n, clip=True)
    after = augmentation(**{**PERTURBATIONS[name], key: 0.3})(batch, seed=0, noise=noise)
    changed = (after.audio != batch.audio).any(dim=1).double().mean()
    assert abs(changed - 0.3) < 1.8 / n**0.5


# --- time shift


def test_a_shift_moves_samples_and_brings_in_zeros(make_batch: MakeBatch) -> None:
    batch = make_batch([16000] * 200)
    after = augmentation(timeshift_ms=100)(batch, seed=0).audio
    shifts = []
    for before, moved in zip(batch.audio.numpy(), after.numpy(), strict=True):
        shift = int(np.argmax(signal.correlate(moved, before, method="fft"))) - 15999
        shifts.append(shift)
        expected = np.zeros_like(before)
        expected[max(shift, 0) : 16000 + min(shift, 0)] = before[max(-shift, 0) : 16000 - max(shift, 0)]
        assert (moved == expected).all()
    assert min(shifts) < -1500
    assert max(shifts) > 1500
    assert max(map(abs, shifts)) <= 1600
    assert abs(np.mean(shifts)) < 250


def test_spans_move_with_the_shift(make_batch: MakeBatch) -> None:
    batch = make_batch([16000])
    spans = {
        "span_recording": torch.tensor([0, 0, 0, 0]),
        "span_start_s": torch.tensor([0.0, 0.0, 0.5, 0.99], dtype=torch.float64),
        "span_end_s": torch.tensor([1.0, 0.02, 0.6, 1.0], dtype=torch.float64),
        "labels": torch.tensor([7, 1, 2, 3]),
    }
    batch = replace(batch, **spans)
    batch.audio[0] = torch.nn.functional.pad(torch.ones(1), (8000, 7999))  # a click at 0.5 s
    seen = set()
    for epoch in range(40):
        after = augmentation(timeshift_ms=100)(replace(batch, epoch=epoch), seed=0)
        shift_s = float(after.span_start_s[2]) - 0.5
        assert int(after.audio[0].argmax()) == round(8000 + shift_s * RATE)
        assert (after.span_start_s[0], after.span_end_s[0]) == (0.0, 1.0), "all of the recording is all of it still"
        assert float(after.span_end_s[2]) == pytest.approx(0.6 + shift_s)
        assert ((after.span_start_s >= 0) & (after.span_end_s <= 1)).all()
        assert after.labels[1] == (-1 if shift_s <= -0.02 else 1), "what left the recording has no label"
        assert after.labels[3] == (-1 if shift_s >= 0.01 else 3)
        seen.add(shift_s > 0)
    assert seen == {True, False}


# --- speed


def band_limited(n: int, seed: int = 0) -> np.ndarray:
    """Noise up to 0.75 of the Nyquist frequency, faded in and out."""
    noise = np.random.default_rng(seed).standard_normal(n)
    low = signal.sosfiltfilt(signal.cheby2(14, 80, 0.75, output="sos"), noise)
    return low * signal.windows.tukey(n, 0.2) * 0.1


@pytest.mark.oracle
@pytest.mark.parametrize("percent", [75, 85, 92.5, 97.5, 102.5, 107.5, 115, 135])
def test_speed_is_what_soxr_makes_of_it(percent: float, make_batch: MakeBatch) -> None:
    import soxr

    audio = band_limited(16000)
    if percent > 100:  # what will lie above the Nyquist frequency is another question
        audio = signal.sosfiltfilt(signal.cheby2(14, 80, 0.75 * 100 / percent, output="sos"), audio)
    batch = make_batch([16000])
    batch.audio[0] = torch.from_numpy(audio.copy())
    after = augmentation(speed_low=percent / 100, speed_high=percent / 100)(batch, seed=0)
    expected = soxr.resample(audio, percent, 100, quality="VHQ")
    got = valid(after, 0).numpy()
    assert len(got) == math.ceil(16000 * 100 / percent)
    n = min(len(got), len(expected))
    error = np.square(got[:n] - expected[:n]).mean() / np.square(expected).mean()
    assert 10 * np.log10(error) < -60


def test_what_rises_above_the_nyquist_frequency_is_gone(make_batch: MakeBatch) -> None:
    batch = make_batch([16000])
    batch.audio[0] = torch.sin(2 * math.pi * 7800 / RATE * torch.arange(16000, dtype=torch.float64))
    after = augmentation(speed_low=1.2, speed_high=1.2)(batch, seed=0)
    assert valid(after, 0)[100:-100].abs().max() < 1.5e-3  # else an alias of amplitude 1 at 6640 Hz


def test_speeds_fill_their_range(make_batch: MakeBatch) -> None:
    after = augmentation(speed_low=0.9, speed_high=1.1)(make_batch([8000] * 1000), seed=0)
    speeds = np.round(8000 / after.audio_lengths.numpy(), 3)
    assert set(speeds) == {round(0.9 + 0.025 * k, 3) for k in range(9)}
    assert np.bincount((speeds * 40).round().astype(int))[36:].min() > 60


def test_spans_follow_the_speed(make_batch: MakeBatch) -> None:
    batch = make_batch([16000, 8000])
    spans = {
        "span_recording": torch.tensor([0, 0, 1]),
        "span_start_s": torch.tensor([0.25, 0.5, 0.0], dtype=torch.float64),
        "span_end_s": torch.tensor([0.5, 1.0, 0.5], dtype=torch.float64),
        "labels": torch.tensor([0, 1, 2]),
    }
    batch = replace(batch, **spans)
    batch.audio[0] = torch.nn.functional.pad(torch.ones(1), (8000, 7999))  # a click at 0.5 s
    after = augmentation(speed_low=0.8, speed_high=0.8)(batch, seed=0)
    assert after.audio_lengths.tolist() == [20000, 10000]
    assert after.span_start_s.tolist() == pytest.approx([0.3125, 0.625, 0.0])
    assert after.span_end_s.tolist() == pytest.approx([0.625, 1.25, 0.625])
    assert int(after.audio[0].argmax()) == 10000


@pytest.mark.parametrize("percent", [80, 120])
def test_a_clip_keeps_its_length_around_its_middle(percent: int, make_batch: MakeBatch) -> None:
    batch = make_batch([16000], clip=True)
    batch.audio[0] = torch.from_numpy(signal.windows.gaussian(16000, 1000))
    after = augmentation(speed_low=percent / 100, speed_high=percent / 100)(batch, seed=0)
    assert after.audio.shape == (1, 16000)
    assert after.audio_lengths.tolist() == [16000]
    assert (after.span_start_s[0], after.span_end_s[0]) == (0.0, 1.0)
    expected = torch.from_numpy(signal.windows.gaussian(16000, 1000 * 100 / percent)).float()
    torch.testing.assert_close(after.audio[0], expected, rtol=0, atol=2e-3)
    phone = replace(
        batch,
        span_start_s=torch.tensor([0.25], dtype=torch.float64),
        span_end_s=torch.tensor([0.5], dtype=torch.float64),
    )
    after = augmentation(speed_low=percent / 100, speed_high=percent / 100)(phone, seed=0)
    assert after.span_start_s.tolist() == pytest.approx([max(0.5 - 0.25 * 100 / percent, 0)], abs=1e-4)
    assert after.span_end_s.tolist() == pytest.approx([0.5], abs=1e-4)


@pytest.mark.parametrize("clip", [False, True])
def test_speed_and_shift_together_move_sound_and_spans_alike(clip: bool, make_batch: MakeBatch) -> None:
    batch = make_batch([16000] * 50, clip=clip)
    batch.audio[:] = torch.from_numpy(signal.windows.gaussian(16000, 100)).float().roll(-2000)  # centred on 0.375 s
    batch = replace(
        batch,
        span_start_s=torch.full((50,), 0.365, dtype=torch.float64),
        span_end_s=torch.full((50,), 0.385, dtype=torch.float64),
    )
    after = augmentation(speed_low=0.85, speed_high=1.15, timeshift_ms=100)(batch, seed=0)
    middle_s = (after.span_start_s + after.span_end_s) / 2
    heard_s = after.audio.argmax(dim=1) / RATE
    assert (middle_s - heard_s).abs().max() < 0.001
    assert middle_s.std() > 0.03


# --- noise


def snr_db(before: Batch, after: Batch, i: int) -> float:
    added = (valid(after, i).double() - valid(before, i).double()).square().mean()
    return float(10 * torch.log10(valid(before, i).double().square().mean() / added))


@pytest.mark.parametrize("kind", ["white", "pink", "recorded"])
def test_noise_has_the_snr_that_was_asked_for(kind: str, make_batch: MakeBatch, noise: Any) -> None:
    batch = make_batch([9000, 16000, 333, 12000])
    after = add_noise(batch, 10.0, kind=kind, noise=noise)
    assert [snr_db(batch, after, i) for i in range(4)] == pytest.approx([10.0] * 4, abs=1e-3)


def test_the_snr_is_uniform_in_its_range(make_batch: MakeBatch) -> None:
    batch = make_batch([800] * 1000)
    after = augmentation(snr_low_db=5, snr_high_db=25)(batch, seed=0)
    snrs = np.array([snr_db(batch, after, i) for i in range(1000)])
    assert snrs.min() > 4.99
    assert snrs.max() < 25.01
    assert (np.abs(np.histogram(snrs, bins=5, range=(5, 25))[0] - 200) < 50).all()


def test_digital_silence_stays_silent(make_batch: MakeBatch, make_table: Any) -> None:
    batch = make_batch([16000, 16000])
    batch.audio[0] = 0
    after = add_noise(batch, 0.0)
    assert (after.audio[0] == 0).all()
    assert (after.audio[1] != batch.audio[1]).any()
    after = add_noise(batch, 0.0, kind="recorded", noise=make_table([np.zeros(4000)]))
    assert torch.equal(after.audio, batch.audio)


@pytest.mark.parametrize(("kind", "slope"), [("white", 0.0), ("pink", -1.0), ("brown", -2.0), ("blue", 1.0)])
def test_noise_has_its_colour(kind: str, slope: float) -> None:
    frequency, power = signal.welch(loop(kind).numpy(), RATE, nperseg=4096)
    band = (frequency > 50) & (frequency < 7500)
    fitted = np.polyfit(np.log(frequency[band]), np.log(power[band]), 1, w=1 / np.sqrt(frequency[band]))[0]
    assert fitted == pytest.approx(slope, abs=0.03)


def test_two_recordings_hear_different_noise(make_batch: MakeBatch, noise: Any) -> None:
    for kind in ("white", "pink", "recorded"):
        batch = make_batch([16000] * 20)
        added = (add_noise(batch, 0.0, kind=kind, noise=noise).audio - batch.audio).numpy()
        correlation = np.corrcoef(added) - np.eye(20)
        assert np.abs(correlation).max() < (0.1 if kind != "pink" else 0.5), kind


def test_recorded_noise_is_a_stretch_of_a_recording(make_batch: MakeBatch, make_table: Any) -> None:
    ramp = np.arange(1, 5001) / 5001
    batch = make_batch([12000] * 10)
    added = add_noise(batch, 0.0, kind="recorded", noise=make_table([ramp])).audio.double() - batch.audio.double()
    for row in added.numpy():
        row = row / row.max()
        assert (np.argmax(row[:5000]) - np.argmax(row[5000:10000])) == 0, "a short recording goes round"
        steps = np.diff(row)
        assert np.sum(steps < 0) in (2, 3)
        np.testing.assert_allclose(steps[steps > 0], 1 / 5000, rtol=0.05)


def test_all_kinds_of_noise_occur(make_batch: MakeBatch, make_table: Any) -> None:
    tone = make_table([np.sin(2 * np.pi * 1000 * np.arange(16000) / RATE)])
    batch = make_batch([4000] * 300, clip=True)
    after = augmentation(snr_low_db=0, snr_high_db=0, noise_kinds=["recorded", "white", "pink"])(
        batch, seed=0, noise=tone
    )
    spectrum = np.abs(np.fft.rfft((after.audio - batch.audio).numpy())) ** 2
    spectrum /= spectrum.sum(axis=1, keepdims=True)
    is_tone = spectrum[:, 250] > 0.9
    is_pink = ~is_tone & (spectrum[:, :200].sum(axis=1) > 0.3)
    assert [int(n) for n in (is_tone.sum(), is_pink.sum())] == pytest.approx([100, 100], abs=25)


def test_test_noise_belongs_to_the_recording(make_batch: MakeBatch) -> None:
    batch = make_batch([9000, 16000, 12000])
    after = add_noise(batch, 10.0, seed=4)
    assert torch.equal(add_noise(replace(batch, epoch=9), 10.0, seed=4).audio, after.audio), "in every epoch"
    assert not torch.equal(add_noise(batch, 10.0, seed=5).audio, after.audio)


def test_impossible_noise_is_refused(make_batch: MakeBatch, make_table: Any) -> None:
    batch = make_batch([800])
    with pytest.raises(ValueError, match="noise is one of white, pink, brown, blue, recorded, got violet"):
        add_noise(batch, 10, kind="violet")
    for table in (None, make_table([])):
        with pytest.raises(ValueError, match="recorded noise needs recordings"):
            add_noise(batch, 10, kind="recorded", noise=table)


# --- level


def test_the_gain_is_uniform_in_db(make_batch: MakeBatch) -> None:
    batch = make_batch([400] * 1000)
    after = augmentation(level_low_db=-12, level_high_db=6)(batch, seed=0)
    gain = after.audio / batch.audio
    gains_db = 20 * torch.log10(gain.median(dim=1).values)
    torch.testing.assert_close(after.audio, batch.audio * gain.median(dim=1, keepdim=True).values)
    counts = np.histogram(gains_db.numpy(), bins=6, range=(-12, 6))[0]
    assert counts.sum() == 1000
    assert (np.abs(counts - 167) < 50).all()


# --- settings


def test_mistakes_in_the_settings_are_named_all_at_once() -> None:
    with pytest.raises(ValueError, match=r"^augmentation: ") as error:
        augmentation(speed_low=1.1, speed_high=0.9, snr_low_db=3, noise_prob=2, timeshift_ms=-5, noise_kinds=["violet"])
    for part in (
        "speed_low=1.1 is above speed_high=0.9",
        "snr_low_db and snr_high_db are numbers both, or null both",
        "noise_prob is between 0 and 1, got 2",
        "timeshift_ms is 0 or more",
        "noise_kinds are some of white, pink, brown, blue, recorded, got violet",
    ):
        assert part in str(error.value)


def test_an_empty_batch_stays_empty(make_batch: MakeBatch) -> None:
    batch = make_batch([800])
    empty = replace(
        batch, **{name: value[:0] for name, value in vars(batch).items() if isinstance(value, torch.Tensor)}
    )
    assert augmentation(**PERTURBATIONS["everything"])(empty, seed=0) is empty


def test_the_shipped_settings_are_those_of_the_class(make_batch: MakeBatch) -> None:
    folder = Path(phonaut.data.__file__).parents[1] / "config" / "conf" / "augmentation"
    batch = make_batch([16000] * 20, clip=True)
    for path in folder.glob("*.yaml"):
        settings = OmegaConf.create(node_of_group("augmentation", path.stem, {}, {}))
        assert {"_target_", *(field.name for field in fields(Augmentation))} == {*settings, "sample_rate"}
        augment = instantiate(settings, sample_rate=RATE)
        assert (augment(batch, seed=0) is batch) == (path.stem == "none")


# --- room, equaliser, roll-off, codecs


@pytest.mark.oracle
def test_a_recording_in_a_recorded_room_is_its_convolution(make_batch: MakeBatch, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    (tmp_path / "halls").mkdir()
    (tmp_path / "halls" / "README.txt").write_text("measured")
    response = rng.standard_normal(3000) * np.exp(-np.arange(3000) / 500) * 0.1
    response[0] = 1.0
    soundfile.write(tmp_path / "halls" / "one.wav", np.pad(response / 2, (100, 0)), RATE, subtype="DOUBLE")
    batch = make_batch([9000, 16000])
    after = augmentation(room_prob=1.0, room_folder=str(tmp_path))(batch, seed=0)
    for i in range(2):
        dry = valid(batch, i).double().numpy()
        expected = signal.fftconvolve(dry, response)[: len(dry)]
        np.testing.assert_allclose(valid(after, i).numpy(), expected, atol=2e-6 * np.abs(expected).max() + 1e-6)
    with pytest.raises(ValueError, match="holds no impulse responses"):
        augmentation(room_prob=1.0, room_folder=str(tmp_path / "nowhere"))


def test_simulated_rooms_have_the_decay_and_the_direct_sound_that_were_asked_for() -> None:
    rooms = simulated_rooms(0.1, 0.5, 0.0, 12.0, RATE).double().numpy()
    assert (rooms[:, 0] == 1).all()
    assert (rooms[:, 1:32] == 0).all(), "no reflection within 2 ms"
    rest = np.square(rooms[:, 1:])
    direct_db = -10 * np.log10(rest.sum(axis=1))
    assert direct_db.min() > -0.01
    assert direct_db.max() < 12.01
    assert np.ptp(direct_db) > 9
    for row, rt60_s in ((0, 0.1), (63, 0.5)):
        energy = np.cumsum(rest[row][::-1])[::-1]  # Schroeder's integral
        decay_db = 10 * np.log10(np.maximum(energy[31:] / energy[31], 1e-30))
        time_s = np.arange(len(decay_db)) / RATE
        fitted = (decay_db < -5) & (decay_db > -35)
        assert -60 / np.polyfit(time_s[fitted], decay_db[fitted], 1)[0] == pytest.approx(rt60_s, rel=0.1)


@pytest.mark.oracle
def test_the_rolloff_is_a_butterworth_filter_of_24_db_an_octave(make_batch: MakeBatch) -> None:
    batch = make_batch([16000])
    batch.audio[0] = torch.nn.functional.pad(torch.ones(1), (8000, 7999))
    after = augmentation(rolloff_low_hz=1500, rolloff_high_hz=1500)(batch, seed=0)
    hz = np.arange(250, 7000, 250.0)
    response = np.abs(np.fft.rfft(after.audio[0].numpy()))[hz.astype(int)]
    expected = np.abs(signal.freqs(*signal.butter(4, 2 * np.pi * 1500, analog=True), worN=2 * np.pi * hz)[1])
    np.testing.assert_allclose(response, expected, atol=2e-3)
    assert int(after.audio[0].argmax()) == 8000, "and nothing moves"


def test_the_equaliser_has_its_gain_at_each_knot_and_no_more_anywhere(make_batch: MakeBatch) -> None:
    level_db = np.array([[-6.0, 6, 3, 0, -3, 6, -6, 2]])
    gain = gains(level_db, None, RATE)
    assert gain is not None
    at_hz = 62.5 * 2.0 ** np.arange(8)
    np.testing.assert_allclose(20 * np.log10(gain[0].numpy()[(at_hz / 62.5).astype(int)]), level_db[0], atol=1e-4)
    batch = make_batch([16000] * 50)
    after = augmentation(equalizer_db=6)(batch, seed=0)
    power = [np.mean([signal.welch(valid(b, i).numpy(), RATE)[1] for i in range(50)], axis=0) for b in (batch, after)]
    single = [signal.welch(valid(b, 3).numpy(), RATE)[1] for b in (batch, after)]
    change_db = 10 * np.log10(single[1] / single[0])
    assert np.abs(change_db[2:-2]).max() < 6.5
    assert np.ptp(change_db[2:-2]) > 2
    assert np.abs(10 * np.log10(power[1] / power[0])[2:-2]).max() < 3, "on average little is changed"


@pytest.mark.parametrize("codec", ["mp3", "opus", "vorbis"])
@pytest.mark.parametrize("compression", [0.0, 0.99995, 1.0])
def test_a_codec_takes_every_level(codec: str, compression: float) -> None:
    heard = 0.5 * np.sin(np.arange(4000) / 7).astype(np.float32)
    assert np.corrcoef(through(heard, codec, compression, 16000), heard)[0, 1] > 0.9


@pytest.mark.parametrize("codec", ["mp3", "opus", "vorbis"])
def test_a_codec_keeps_time_length_and_level(codec: str, make_batch: MakeBatch) -> None:
    batch = make_batch([16000, 700, 9001, 5])
    batch.audio[0] = torch.from_numpy(band_limited(16000)).float() * 30  # louder than full scale
    after = augmentation(codec_prob=1.0, codecs=[codec])(batch, seed=0)
    assert after.audio_lengths is batch.audio_lengths
    before, decoded = valid(batch, 0).numpy(), valid(after, 0).numpy()
    lag = int(np.argmax(signal.correlate(decoded, before, method="fft"))) - 15999
    assert lag == 0
    assert np.std(decoded) == pytest.approx(np.std(before), rel=0.2)
    assert np.corrcoef(before, decoded)[0, 1] > 0.8
    assert not np.array_equal(before, decoded)
    assert after.audio.isfinite().all()


def test_opus_is_refused_at_rates_that_it_does_not_know() -> None:
    with pytest.raises(ValueError, match="opus is for 8000, 12000, 16000, 24000, 48000 Hz, got 22050"):
        Augmentation(sample_rate=22050, codec_prob=0.5)


# --- what the front end and the model are to do


def test_warps_and_masks_are_drawn_and_left_to_the_model(make_batch: MakeBatch) -> None:
    batch = make_batch([16000] * 1000)
    augment = augmentation(
        vtl_low=0.85,
        vtl_high=1.18,
        vtl_prob=0.5,
        time_mask_ms=200,
        time_masks=2,
        frequency_mask=0.25,
        time_mask_prob=0.5,
    )
    after = augment(batch, seed=0)
    assert after.audio is batch.audio
    assert after.warp is not None
    warped = after.warp[after.warp != 1]
    assert abs(len(warped) / 1000 - 0.5) < 0.06
    assert {round(100 * w) for w in warped.tolist()} == set(range(85, 119)) - {100}
    assert after.hidden_s is not None
    assert after.hidden_s.shape == (1000, 2, 2)
    width = after.hidden_s[:, :, 1] - after.hidden_s[:, :, 0]
    assert float(width.max()) < 0.2
    assert abs(float((width > 0).all(dim=1).double().mean()) - 0.5) < 0.06
    assert float(width[width > 0].mean()) == pytest.approx(0.1, abs=0.01)
    assert after.hidden_bands is not None
    assert 0 <= float(after.hidden_bands.min()) < float(after.hidden_bands.max()) <= 1
    alone = augment(item(batch, 7), seed=0)
    assert alone.warp is not None
    assert alone.warp[0] == after.warp[7]
