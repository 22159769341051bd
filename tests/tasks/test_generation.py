"""A run of generation from recordings to what is made: on tones, whose words differ in pitch."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

from helpers.runs_of_tones import write_tones
from phonaut.cli import main
from phonaut.config.compose import ConfigurationError, compose
from phonaut.features.loudness import level_of
from phonaut.reports import write_report
from phonaut.reports.record import read
from phonaut.reports.terminal import lines
from phonaut.runs import Run, train
from phonaut.runs.generation import Generating, prior_of
from phonaut.runs.load import load
from phonaut.tasks.latents import Latents

T, D = 12, 20


@pytest.fixture(scope="module")
def tones(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tones(tmp_path_factory.mktemp("tones") / "corpus", n_speakers=6, n_takes=2)


def words(tones: Path, *more: str) -> list[str]:
    return [
        "dataset=folder", f"dataset.data_folder={tones}", "protocol.validation_speakers=[s4]",
        "protocol.test_speakers=[s5]", "trainer.accelerator=cpu", "trainer.enable_progress_bar=false", *more,
    ]  # fmt: skip


SMALL = (
    "model.channels=[8,8,8]", "model.hidden_size=16", "model.latent_size=4", f"task.window_frames={T}",
    "task.shift_frames=6", f"features.n_mels={D}", "batch_size=32",
)  # fmt: skip


def trained(tones: Path, folder: Path, *more: str) -> Run:
    run = train(compose(words(tones, *more)), folder, ["phonaut", "train"])
    assert run is not None
    return run


@pytest.fixture(scope="module")
def run(tones: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("cvae") / "id" / "cvae"
    return trained(tones, folder, "model=cvae", *SMALL, "trainer.max_epochs=3", "optimizer.lr=0.01")


@pytest.fixture(scope="module")
def conditional(tones: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("conditional") / "id" / "cvae"
    return trained(tones, folder, "model=cvae", *SMALL, "trainer.max_epochs=1", "task.condition=[label,speaker]")


@pytest.fixture(scope="module")
def prior(run: Run, tones: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("prior") / "id" / "gmm"
    return trained(tones, folder, "model=gmm", f"encoder.run={run.folder}", "model.n_mix=1", "trainer.max_epochs=2",
                   "normalizer=null")  # fmt: skip


def test_features_of_training_windows_are_kept_with_mean_and_deviation(run: Run, tones: Path) -> None:
    model: Any = load(run.folder).model
    frames = []
    for path in sorted(tones.rglob("s[0-3]_*.wav")):
        audio = torch.from_numpy(soundfile.read(path, dtype="float32")[0])
        frames.append(model.frames(audio[None], torch.tensor([len(audio)]))[0][0])
    every = torch.cat(frames).double()
    torch.testing.assert_close(model.mean.double(), every.mean(dim=0), rtol=1e-4, atol=1e-3)
    torch.testing.assert_close(model.deviation.double(), every.std(dim=0, correction=0), rtol=1e-3, atol=1e-3)


def test_a_run_that_was_stopped_and_resumed_has_the_same_weights(run: Run, tones: Path, tmp_path: Path) -> None:
    folder = tmp_path / "id" / "cvae"
    options = ("model=cvae", *SMALL, "optimizer.lr=0.01")
    config = compose(words(tones, *options, "trainer.max_epochs=3"))

    class Killed(Exception):
        pass

    def killed(*_: Any, **__: Any) -> None:
        raise Killed

    with pytest.MonkeyPatch.context() as patch:
        from phonaut.training.generation import Generation

        step = Generation.training_step

        def until(self: Generation, batch: Any, batch_idx: int) -> Any:
            return killed() if self.current_epoch == 1 else step(self, batch, batch_idx)

        patch.setattr(Generation, "training_step", until)
        with pytest.raises(Killed):
            train(config, folder, ["phonaut", "train"])
    assert not (folder / "model.safetensors").exists()
    resumed = train(config, folder, ["phonaut", "train"])
    assert resumed is not None
    assert (folder / "model.safetensors").read_bytes() == (run.folder / "model.safetensors").read_bytes()


def test_samples_are_those_of_their_seed_and_a_prior_draws_codes_of_its_classes(run: Run, prior: Run) -> None:
    made = load(run.folder).generator()
    first, again, other = made.sample(3), made.sample(3), made.sample(3, seed=1)
    assert first[0].frames.shape == (T, D)
    assert np.array_equal(first[2].frames, again[2].frames)
    assert not np.array_equal(first[0].frames, other[0].frames)
    means, density = Latents(run.folder), prior_of(made, prior.folder)
    for name in ("low", "high"):
        codes = density.codes_alone(400, np.random.default_rng(0), name)
        frame_codes = codes.mean(axis=0) - means.mean("label", name)
        others = [np.linalg.norm(codes.mean(axis=0) - means.mean("label", one)) for one in ("low", "middle", "high")]
        assert np.linalg.norm(frame_codes) == min(others)  # of frames, and of windows at every sixth
    assert made.sample(2, prior=prior.folder, label="low")[0].frames.shape == (T, D)
    with pytest.raises(ValueError, match=r"^label=lwo is no class of prior="):
        made.sample(2, prior=prior.folder, label="lwo")


def test_utterances_of_a_prior_are_its_codes_one_a_frame_whose_windows_overlap(run: Run, prior: Run) -> None:
    made = load(run.folder).generator()
    model, n = made.model, 3 * T
    shift_s = model.front_end.frame_shift_s
    (one,) = made.sample(1, prior=prior.folder, label="low", seconds=n * shift_s)
    codes = torch.from_numpy(prior_of(made, prior.folder).codes(1, n, np.random.default_rng(0), "low")[0])
    with torch.inference_mode():
        windows = model.restored(model.network.decode(codes, torch.zeros(n, 0))).numpy()
    total, weights = np.zeros((n, D)), np.zeros((n, 1))
    for middle in range(n):
        for t in range(T):
            frame, weight = middle - T // 2 + t, 1 - abs(t - (T - 1) / 2) / ((T + 1) / 2)
            if 0 <= frame < n:
                total[frame] += weight * windows[middle, t]
                weights[frame] += weight
    assert one.frames == pytest.approx(total / weights, abs=1e-3)
    for seconds in (0.0, 61.0):
        with pytest.raises(ValueError, match="must be above 0, and at most 60"):
            made.sample(1, seconds=seconds, prior=prior.folder)
    with pytest.raises(ValueError, match="goes with prior=RUN"):
        made.sample(1, seconds=0.5)


def test_a_prior_of_another_generator_and_a_run_that_is_no_prior_are_refused(
    conditional: Run, run: Run, prior: Run
) -> None:
    with pytest.raises(ValueError, match="is of the codes of another generator than"):
        Generating(load(conditional.folder)).sample(1, prior=prior.folder)
    with pytest.raises(
        ValueError, match=r"is no density of codes: train one, phonaut train task=generation model=gmm "
    ):
        Generating(load(run.folder)).sample(1, prior=run.folder)
    with pytest.raises(ValueError, match=r"draws codes of a generator, .*: phonaut generate GENERATOR prior="):
        load(prior.folder).generator()


def test_a_conversion_moves_codes_by_the_difference_of_means(run: Run, tones: Path) -> None:
    made, latents, path = load(run.folder).generator(), Latents(run.folder), tones / "low" / "s5_0.wav"
    codes: list[torch.Tensor] = []
    decode = made.model.network.decode
    made.model.network.decode = lambda z, c: (codes.append(z), decode(z, c))[1]  # type: ignore[method-assign]
    made.reconstruct([path])
    made.reconstruct([path], source="label:low", target="label:high")
    made.reconstruct([path], target="speaker:s1")
    moved = latents.mean("label", "high") - latents.mean("label", "low")
    np.testing.assert_allclose((codes[1] - codes[0]).numpy(), np.tile(moved, (len(codes[0]), 1)), atol=1e-4)
    moved = latents.mean("speaker", "s1") - latents.arrays["codes"].mean(axis=0)
    np.testing.assert_allclose((codes[2] - codes[0]).numpy(), np.tile(moved, (len(codes[0]), 1)), atol=1e-4)


def test_a_conditional_generator_exchanges_the_condition_and_leaves_the_codes(conditional: Run, tones: Path) -> None:
    made = load(conditional.folder).generator()
    heard: list[torch.Tensor] = []
    given: list[torch.Tensor] = []
    network = made.model.network
    encode, decode = network.encode, network.decode
    network.encode = lambda x, c: (heard.append(c), encode(x, c))[1]  # type: ignore[method-assign]
    network.decode = lambda z, c: (given.append(c), decode(z, c))[1]  # type: ignore[method-assign]
    made.reconstruct([tones / "low" / "s5_0.wav"], source="speaker:s0", target="speaker:s2")
    assert made.model.labels == ["high", "low", "middle"]
    assert made.model.speakers == ["s0", "s1", "s2", "s3"]
    assert heard[0][0].tolist() == [0, 0, 0, 1, 0, 0, 0]
    assert given[0][0].tolist() == [0, 0, 0, 0, 0, 1, 0]
    made.sample(1, label="middle")
    assert given[1][0].tolist() == [0, 0, 1, 1, 0, 0, 0]  # and the first speaker


def test_interpolation_goes_from_one_recording_to_the_other_on_a_line(run: Run, tones: Path) -> None:
    made = load(run.folder).generator()
    codes: list[torch.Tensor] = []
    decode = made.model.network.decode
    made.model.network.decode = lambda z, c: (codes.append(z), decode(z, c))[1]  # type: ignore[method-assign]
    assert len(made.interpolate(tones / "low" / "s5_0.wav", tones / "high" / "s5_0.wav", n=5)) == 5
    steps = codes[0].diff(dim=0)
    torch.testing.assert_close(steps, steps[:1].expand(4, -1), rtol=1e-4, atol=1e-5)
    assert steps.abs().max() > 1e-3


FORMS = {
    "samples": ["n=3"],
    "prior": ["n=3", "prior=PRIOR", "label=low"],
    "recording": ["TONES/low/s5_0.wav", "TONES/high/s5_1.wav"],
    "conversion": ["TONES/low/s5_0.wav", "source=speaker:s0", "target=speaker:s1"],
    "voice": ["TONES/low/s5_0.wav", "source=speaker:s0", "target=speaker:s1", "vocoder=world"],
    "interpolation": ["TONES/low/s5_0.wav", "TONES/high/s5_0.wav", "interpolate=3"],
}


@pytest.mark.parametrize("form", FORMS)
def test_what_is_written_can_be_seen_and_heard(
    form: str, run: Run, prior: Run, tones: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if form == "voice":
        pytest.importorskip("pyworld")
    given = [one.replace("TONES", str(tones)).replace("PRIOR", str(prior.folder)) for one in FORMS[form]]
    assert main(["generate", str(run.folder), *given, f"output={tmp_path / 'out'}"]) == 0
    written = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert sorted(Path(line).name for line in capsys.readouterr().out.split()) == written
    sounds = [name for name in written if name.endswith(".wav")]
    assert len(sounds) == (2 if form == "recording" else 1)
    assert written == sorted(name.replace(".wav", end) for name in sounds for end in (".wav", ".png", ".npz"))
    for name in sounds:
        audio, rate = soundfile.read(tmp_path / "out" / name)
        level = level_of(audio, rate)
        assert rate == 16000
        assert level.peak < 1
        assert level.n_clipped == 0
        assert abs(level.dc) < 1e-3
        if form in ("recording", "conversion", "voice"):
            assert len(audio) == 8000  # as the recording
            assert -40 < level.dbfs < -25
        else:
            assert len(audio) == 3 * (round(0.15 * 16000) + (T - 1) * 160)


REFUSALS = {
    "draws codes of a generator, which makes windows of them": ["PRIOR"],
    "source= goes with recordings: name a FILE": ["RUN", "source=speaker:s0"],
    "n= goes without recordings: leave one of them out": ["RUN", "FILE", "n=3"],
    "interpolate= takes two recordings, and no source=, target=, strength= or vocoder=": [
        "RUN",
        "FILE",
        "interpolate=3",
    ],
    "label=low: .* was not made for it; train with task.condition=.label.": ["RUN", "label=low"],
    "'anna': must be speaker:NAME, gender:f, gender:m or label:NAME": ["RUN", "FILE", "target=anna"],
    "no training window has speaker=s9": ["RUN", "FILE", "target=speaker:s9"],
    "no training window has gender=f; they have none": ["RUN", "FILE", "target=gender:f"],
    "both must be of one kind": ["RUN", "FILE", "source=gender:f", "target=speaker:s0"],
    "says what recordings are; target= says what they become": ["RUN", "FILE", "source=speaker:s0"],
    "strength=2 is of a conversion; target= says what they become": ["RUN", "FILE", "strength=2"],
    "strength= goes with recordings: name a FILE": ["RUN", "strength=2"],
    "vocoder=world changes a voice: name a target=": ["RUN", "FILE", "vocoder=world"],
    "vocoder=word is none of griffin_lim, world; did you mean world": [
        "RUN",
        "FILE",
        "target=speaker:s1",
        "vocoder=word",
    ],
    "no such recording": ["RUN", "nowhere.wav"],
    "would both be written as s5_0_reconstructed": ["RUN", "FILE", "OTHER"],
}


@pytest.mark.parametrize("message", REFUSALS)
def test_what_cannot_be_made_is_refused_in_one_sentence(
    message: str, run: Run, prior: Run, tones: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = {"RUN": str(run.folder), "PRIOR": str(prior.folder), "FILE": str(tones / "low" / "s5_0.wav"),
             "OTHER": str(tones / "high" / "s5_0.wav")}  # fmt: skip
    given = [names.get(one, one) for one in REFUSALS[message]]
    assert main(["generate", *given, f"output={tmp_path / 'out'}"]) != 0
    said = capsys.readouterr().err.strip()
    assert re.search(message, said)
    assert len(said.splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_a_folder_that_cannot_be_made_is_said_with_what_to_do(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "out").write_text("a file")
    assert main(["generate", str(run.folder), "n=1", f"output={tmp_path / 'out'}"]) == 1
    said = capsys.readouterr().err
    assert said == f"phonaut: output={tmp_path / 'out'} cannot be written, File exists: name another folder\n"


def test_a_wgan_is_no_encoder_and_its_run_makes_only_samples(tones: Path, tmp_path: Path) -> None:
    small = [one for one in SMALL if not one.startswith("model.channels")]
    run = trained(tones, tmp_path / "id" / "wgan", "model=wgan_gp", "model.channels=[8,8,8]", *small,
                  "trainer.max_epochs=1")  # fmt: skip
    made = load(run.folder).generator()
    assert made.sample(1)[0].frames.shape == (T, D)
    with pytest.raises(ConfigurationError, match="has no encoder: a WGANGP makes windows of draws, and codes none"):
        compose(words(tones, "model=gmm", f"encoder.run={run.folder}"))
    with pytest.raises(ValueError, match="has no encoder"):
        made.reconstruct([tones / "low" / "s5_0.wav"])
    page = write_report(run.folder).read_text()
    assert "drawn at random" in page
    assert "reconstructed</bdi>" not in page


@pytest.mark.parametrize("features", ["spectrogram", "melspec"])
def test_a_window_is_the_same_whatever_louder_sound_is_elsewhere_in_its_recording(features: str, tones: Path) -> None:
    from phonaut.config.nodes import instantiate

    config = compose(words(tones, "model=cvae", f"features={features}"))
    quiet = 1e-4 * torch.randn(1, 16000, generator=torch.Generator().manual_seed(0))
    loud = quiet.clone()
    loud[:, 12000:] += 0.9 * torch.sin(torch.arange(4000))
    front_end = instantiate(config.features)
    a, b = (front_end(audio, torch.tensor([16000]))[0][:, :60] for audio in (quiet, loud))
    torch.testing.assert_close(a, b)
    assert a.min() >= -80.0, "the noise of 16 bits"
    with pytest.raises(
        ConfigurationError, match=r"features.top_db=60 has no effect: this run has features.top_db=None"
    ):
        compose(words(tones, "model=cvae", f"features={features}", "features.top_db=60"))
    assert instantiate(compose(words(tones, "model=gru", f"features={features}")).features).options.top_db == 80.0


@pytest.mark.parametrize(
    "word",
    ["augmentation=default", "task.windows=segments task.shift_frames=3", "labels_pct=50", "context_s=0.1",
     "dataset.timeshift_ms=50"],
)  # fmt: skip
def test_keys_that_change_no_generator_are_refused(word: str, tones: Path) -> None:
    with pytest.raises(ConfigurationError, match="has no effect"):
        compose(words(tones, "model=cvae", *[one for one in SMALL if "shift_frames" not in one], *word.split()))


def test_a_report_needs_the_files_of_the_run_alone(run: Run, tmp_path: Path) -> None:
    moved = Run(shutil.copytree(run.folder, tmp_path / "id" / "cvae"))
    page = write_report(moved.folder).read_text()
    for said in ("speech generation", "Windows", "Codes", "drawn at random", "converted to speaker s0", "KL",
                 "Over 42 windows"):  # fmt: skip
        assert said in page, said
    assert page.count("<audio") == 3 * 3 + 1
    arrays = np.load(moved.folder / "samples.npz")
    rate = int(arrays["heard/rate"])
    original, made = (arrays[f"heard/0/{name}"] / 32768 for name in ("original", "reconstructed"))
    assert level_of(original, rate).dbfs == pytest.approx(-26, abs=0.2)
    assert level_of(made, rate).dbfs == pytest.approx(-26, abs=0.2) or level_of(made, rate).peak > 0.94
    assert sum(arrays[name].nbytes for name in arrays if arrays[name].dtype == np.int16) * 4 / 3 < 1e6
    said = [text for _, _, text in lines(read(moved.folder), None)]
    assert any(f"phonaut generate {moved.folder} FILE" in text for text in said)
    assert not any("phonaut evaluate" in text for text in said)


def test_the_page_on_generation_runs_from_top_to_bottom(
    run: Run, prior: Run, tones: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = (Path(__file__).parents[2] / "docs" / "generation.md").read_text(encoding="utf-8")
    for ours, theirs in {"anna": "s0", "bert": "s1", "label=yes": "label=low"}.items():
        page = page.replace(ours, theirs)
    monkeypatch.chdir(tmp_path)
    shutil.copytree(run.folder, "trained_models/ID")
    for name in ("PRIOR", "WORDS"):  # what one of all codes draws, `test_generation_prior` says
        shutil.copytree(prior.folder, f"trained_models/{name}")
    trained(tones, Path("trained_models/HMM/gmm"), "model=gmm", "model.n_mix=1", "trainer.max_epochs=1",
            "features=melspec", "normalizer=null")  # fmt: skip
    (tmp_path / "recordings").symlink_to(tones)
    for name, word in (("a.wav", "low"), ("b.wav", "high")):
        shutil.copy(tones / word / "s5_0.wav", name)
    blocks = "".join(re.findall(r"```sh\n(.*?)```", page, flags=re.DOTALL))
    commands = [line.split()[1:] for line in blocks.splitlines()]
    assert [command[0] for command in commands].count("generate") == 7
    for command, *given in commands:
        if command == "train":
            assert compose(given).choices["model"] in ("cvae", "gmm", "gmmhmm")
        else:
            assert main([command, *given]) == 0
    names: dict[str, Any] = {}
    exec(re.search(r"```py\n(.*?)```", page, flags=re.DOTALL)[1], names)  # type: ignore[index]
    assert len(names["windows"]) == 16
    assert names["audio"].shape == (8000,)
