"""Pictures of what an encoder does with one recording, from the command to the files, and what is refused."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from safetensors.torch import load_file

from helpers.runs_of_tones import RATE, write_tones
from phonaut.cli import main
from phonaut.config.compose import compose
from phonaut.runs import Run
from phonaut.runs import train as train_run
from phonaut.runs import visualize as pictures
from phonaut.runs.load import load

FEW = ["trainer.max_epochs=1", "trainer.accelerator=cpu", "trainer.enable_progress_bar=false"]
ENCODER = [
    "model=mockingjay_small", "model.hidden_size=16", "model.n_heads=2", "model.intermediate_size=24",
    "model.n_layers=2", "model.stack_size=3", "features.n_mels=10", "features.n_fft=512", "features.win_length=400",
    "batch_frames=400",
    "trainer.precision=32-true", *FEW,
]  # fmt: skip
OTHERS = ["input", "layers", "attention"]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    return ["dataset=folder", f"dataset.data_folder={write_tones(tmp_path_factory.mktemp('c') / 'tones', n_takes=1)}"]


@pytest.fixture(scope="module")
def encoder(corpus: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    masks = [
        "objective.mask_length=2",
        "objective.mask_prob=0.3",
        "objective.mask_zero_prob=1",
        "objective.mask_random_prob=0",
    ]
    return trained(tmp_path_factory.mktemp("encoder") / "run", [*ENCODER, *corpus, *masks])


@pytest.fixture(scope="module")
def weighted(encoder: Path, corpus: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    words = ["model=probe", f"encoder.run={encoder}", "encoder.mode=weighted", "target=keyword", "batch_size=8"]
    return trained(tmp_path_factory.mktemp("weighted") / "run", [*words, *corpus, *FEW])


@pytest.fixture(scope="module")
def recording(corpus: list[str]) -> Path:
    return Path(corpus[1].partition("=")[2]) / "low" / "s3_0.wav"


def trained(folder: Path, words: list[str]) -> Path:
    run = train_run(compose(words), folder, ["phonaut", "train"])
    assert run is not None
    return run.folder


def without_encoder(corpus: list[str], folder: Path) -> Path:
    words = ["model=majority", "target=keyword", "features.n_mfcc=10", "features.n_mels=20", *corpus, *FEW]
    return trained(folder, words)


@pytest.mark.slow
def test_the_command_writes_the_pictures_and_prints_where(
    encoder: Path, recording: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["extract", str(encoder), str(recording), "plot=true", "head=true"]) == 0
    printed = [Path(line) for line in capsys.readouterr().out.splitlines()]
    assert printed == [Path("pictures/s3_0") / f"{name}.png" for name in ("reconstruction", *OTHERS)]
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in printed)
    assert len(list(Path("pictures/s3_0").iterdir())) == len(printed), "nothing half-written stays"
    first = {path.name: path.read_bytes() for path in printed}
    assert main(["extract", str(encoder), str(recording), "plot=true", "head=true"]) == 0
    assert {path.name: path.read_bytes() for path in printed} == first, "the same masks again"
    assert main(["extract", str(encoder), str(recording), "plot=true"]) == 0
    assert sorted(path.stem for path in Path("pictures/s3_0").iterdir()) == sorted(OTHERS), "no old one stays"


@pytest.mark.slow
def test_a_run_with_layer_weights_has_them_as_a_picture_and_no_head(
    weighted: Path, encoder: Path, recording: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["extract", str(weighted), str(recording), "plot=true", f"output={tmp_path / 'out'}"]) == 0
    assert sorted(path.stem for path in (tmp_path / "out").iterdir()) == sorted([*OTHERS, "layer_weights"])
    in_front, alone = pictures.encoder_of(load(weighted)), pictures.encoder_of(load(encoder))
    weights = in_front.layer_weights
    assert weights is not None
    assert weights.shape == (3,)
    for name, value in alone.network.state_dict().items():
        torch.testing.assert_close(in_front.network.state_dict()[name], value, rtol=0, atol=0)
    batch = pictures.batch_of(recording, pictures.read(recording, RATE, print))
    for a, b in zip(in_front.frames(*batch.given), alone.frames(*batch.given), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=0)
    assert main(["extract", str(weighted), str(recording), "plot=true", "head=true"]) == 2
    assert "no head" in capsys.readouterr().err


@pytest.mark.slow
def test_tensorboard_has_layers_and_attention_of_the_first_example_as_the_epochs_go(encoder: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(encoder))
    events.Reload()
    images = [tag for tag in events.Tags()["images"] if tag.startswith("validation/")]
    whole = [tag for tag in images if not tag.endswith(("/layers", "/attention"))]
    assert len(whole) > 1
    assert sorted(set(images) - set(whole)) == [f"{whole[0]}/attention", f"{whole[0]}/layers"]


@pytest.mark.slow
def test_the_truth_is_the_input_unaltered_and_what_is_seen_is_hidden_where_it_is_marked(
    encoder: Path, recording: Path
) -> None:
    run = Run(encoder)
    model = pictures.encoder_of(load(encoder))
    batch = pictures.batch_of(recording, pictures.read(recording, RATE, print))
    seen, predicted, truth = pictures.reconstruction(run.config, model, batch).axes
    frames, _ = model.frames(*batch.given)
    n = frames.shape[1] // model.network.stack_size * model.network.stack_size
    shown = [np.asarray(plot.images[0].get_array()).T for plot in (seen, predicted, truth)]
    np.testing.assert_array_equal(shown[2], frames[0, :n])
    lines = seen.collections[0].get_segments()
    marked = np.zeros(n, bool)
    marked[[round(line[0, 0] / model.front_end.frame_shift_s) for line in lines]] = True
    assert 0 < marked.sum() < n
    assert not shown[0][marked].any()
    np.testing.assert_array_equal(shown[0][~marked], shown[2][~marked])
    model = load(run.folder).model
    for name, value in load_file(encoder / "model.safetensors").items():
        torch.testing.assert_close(model.state_dict()[name], value, rtol=0, atol=0)
    hidden, _ = model.network(torch.from_numpy(shown[0])[None], torch.tensor([n]))
    made = model.head(hidden).detach().reshape(n, -1)
    np.testing.assert_allclose(shown[1], made, atol=1e-5, err_msg="the trained head, of what is seen")


@pytest.mark.slow
def test_of_a_long_recording_the_beginning_is_shown_and_that_is_said(
    encoder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    noise = 0.1 * np.random.default_rng(0).standard_normal(31 * RATE).astype(np.float32)
    soundfile.write(tmp_path / "long.wav", noise, RATE, subtype="FLOAT")
    soundfile.write(tmp_path / "whole.wav", noise[: 30 * RATE], RATE, subtype="FLOAT")
    said: list[str] = []
    read = pictures.read(tmp_path / "long.wav", RATE, said.append)
    np.testing.assert_array_equal(read, noise[: 10 * RATE])
    assert len(said) == 1
    assert "first 10 s" in said[0]
    assert len(pictures.read(tmp_path / "whole.wav", RATE, said.append)) == 30 * RATE
    assert len(said) == 1, "nothing is left out of 30 s"
    words = ["extract", str(encoder), str(tmp_path / "long.wav"), "plot=true", f"output={tmp_path / 'out'}"]
    assert main(words) == 0
    assert "first 10 s" in capsys.readouterr().err


def test_integers_and_other_rates_are_read_as_the_corpora_are(tmp_path: Path) -> None:
    tone = (8192 * np.sin(np.arange(4800) * 0.1)).astype(np.int16)
    soundfile.write(tmp_path / "a.wav", tone, 48_000)
    np.testing.assert_array_equal(pictures.read(tmp_path / "a.wav", 48_000, print), tone / np.float32(32768))
    assert len(pictures.read(tmp_path / "a.wav", RATE, print)) == 1600


@pytest.mark.slow
def test_a_recording_that_cannot_be_shown_is_refused_by_name(
    encoder: Path, corpus: list[str], recording: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "text.wav").write_text("no audio at all, but long enough to look at")
    soundfile.write(tmp_path / "short.wav", np.ones(RATE // 40, np.float32) * 0.1, RATE)
    soundfile.write(tmp_path / "one.wav", np.ones(1, np.float32) * 0.1, 3 * RATE)
    output = f"output={tmp_path / 'out'}"
    for name, message in (
        ("missing.wav", "is not there"),
        ("text.wav", "not readable as audio"),
        ("short.wav", "too short"),
        ("one.wav", "too short"),
    ):
        assert main(["extract", str(encoder), str(tmp_path / name), "plot=true", "head=true", output]) == 2
        error = capsys.readouterr().err
        assert message in error
        assert name in error
    other = without_encoder(corpus, tmp_path / "other")
    assert main(["extract", str(other), str(recording), "plot=true", output]) == 2
    assert "no encoder" in capsys.readouterr().err
    assert not (tmp_path / "out").exists(), "nothing is written before all is made"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["RUN", "plot=true"], "a RUN and one FILE"),
        (["RUN", "a.wav", "b.wav", "plot=true"], "RUN and one FILE"),
        (["RUN", "a.wav"], "a FILE with plot=true alone"),
        (["RUN", "a.wav", "head=true"], "head=true goes with plot=true"),
        (["RUN", "a.wav", "plot=false"], "a FILE with plot=true alone"),
        (["RUN", "a.wav", "plot=yes"], "plot must be true or false, got yes"),
        (["RUN", "a.wav", "plot=true", "layer=1"], "it got layer"),
        (["RUN", "a.wav", "plot=true", "dataset=fsdd"], "it got dataset"),
    ],
)
def test_what_does_not_go_together_is_a_sentence(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["extract", *words]) == 2
    assert message in capsys.readouterr().err
