"""The key of cached frames: another one for whatever can change a frame, in settings, parameters, code or audio."""

import importlib
import shutil
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf
from torch import Tensor, nn

import phonaut
from helpers.runs_of_tones import run_settings, write_tones
from phonaut.config.compose import compose
from phonaut.data.datamodule import SpeechData
from phonaut.features import CMVN, MFCC, FrontEnd
from phonaut.models import SpeechModel, frame_cache, frame_key
from phonaut.models.encoded import EncodedFrontEnd
from phonaut.models.frame_cache import FrameCache
from phonaut.models.frame_key import Description, meaning
from phonaut.networks import LSTM, Mockingjay
from phonaut.tasks import build as parts
from phonaut.tasks.classification import speech_data

CONF = Path(phonaut.__file__).parent / "config" / "conf"

# Another value of each option, by its name; where it needs company, more options with it in both cases.
OTHER: dict[str, Any] = {
    "sample_rate": 8000, "n_mels": 19, "n_mfcc": 11, "n_fft": 1024, "win_length": 320, "hop_length": 80, "f_min": 40.0,
    "f_max": 3500.0, "framing": "causal", "pad_mode": "replicate", "window": ("hamming", "hann"), "periodic": "flip",
    "scale": 2.0, "remove_dc_offset": "flip", "preemphasis": 0.5, "power": 1,
    "mel_scale": ("htk", "slaney"), "norm": (None, "slaney"),
    "log": ("db", "natural"), "amin": 1e-6, "top_db": 40.0, "deltas": (2, 1), "cepstral_lifter": 11.0, "n_features": 5,
    "frame_shift_s": 0.02, "frame_offset_s": 0.005, "mean": False, "variance": False,
    "ddof": 1, "log_offset": 1e-3, "delta_kind": ("htk", "librosa"), "relaxation": 0.25,
}  # fmt: skip
LEARNED = {
    "sinc",
    "adaptivefixedpoint",
    "batch",
    "gain_batch",
}  # trained with the network: frames are not computed before training
BASE = {"n_fft": 512, "win_length": 400, "top_db": None, "n_mels": 20, "n_mfcc": 10}  # where a file has that key
FRAMES = {"n_features": 4, "frame_shift_s": 0.01, "frame_offset_s": 0.0}  # which have no defaults


def node(group: str, name: str) -> dict[str, Any]:
    """The options of a configuration file, with those of the files it builds on."""
    plain = OmegaConf.to_container(OmegaConf.load(CONF / group / f"{name}.yaml"))
    assert isinstance(plain, dict)
    below: dict[str, Any] = {}
    for default in plain.pop("defaults", []):
        if isinstance(default, str) and default != "_self_":
            below |= node(group, default)
    return below | plain


def choices(group: str) -> list[str]:
    return sorted(path.stem for path in (CONF / group).glob("*.yaml") if path.stem not in LEARNED)


def options(group: str) -> list[Any]:
    pairs = [(name, key) for name in choices(group) for key in node(group, name) if key != "_target_"]
    return [pytest.param(name, key, id=f"{name}.{key}") for name, key in pairs]


def other(key: str, value: Any) -> Any:
    if OTHER[key] == "flip":
        return not value
    return next(one for one in OTHER[key] if one != value) if isinstance(OTHER[key], tuple) else OTHER[key]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> SpeechData:
    folder = tmp_path_factory.mktemp("tones") / "tones"
    config = compose(run_settings(write_tones(folder, n_speakers=8, n_takes=1)))
    return speech_data(config, parts.prepared_corpus(config))


Key = Callable[..., str | None]


@pytest.fixture(scope="module")
def key(data: SpeechData) -> Key:
    """The key of the training frames of a front end and a normaliser."""

    def of(front_end: nn.Module, normalizer: nn.Module | None = None) -> str | None:
        model = SpeechModel(front_end, nn.Identity(), normalizer)  # type: ignore[arg-type]
        return FrameCache(model, data).key("train")

    return of


@pytest.mark.parametrize(("name", "option"), options("features"))
def test_each_option_of_a_front_end_changes_the_key(name: str, option: str, key: Key) -> None:
    plain = node("features", name)
    plain |= {k: v for k, v in (FRAMES if name == "frames" else BASE).items() if k in plain}
    changed = {**plain, option: other(option, plain[option])}
    assert changed != plain
    keys = [key(instantiate(settings)) for settings in (plain, changed, plain)]
    assert keys[0] == keys[2] is not None
    assert keys[1] not in (keys[0], None)


@pytest.mark.parametrize(("name", "option"), options("normalizer"))
def test_each_option_of_a_normaliser_changes_the_key(name: str, option: str, key: Key) -> None:
    plain = node("normalizer", name)
    changed = {**plain, option: other(option, plain[option])}
    assert changed != plain
    first, second, again = (key(MFCC(n_mfcc=13), instantiate(settings)) for settings in (plain, changed, plain))
    assert first == again is not None
    assert second not in (first, None)


def test_no_two_files_of_front_ends_and_normalisers_share_a_key(key: Key) -> None:
    fronts = [node("features", name) | (FRAMES if name == "frames" else {}) for name in choices("features")]
    keys = [key(instantiate(front)) for front in fronts]
    keys += [key(MFCC(), instantiate(node("normalizer", name))) for name in choices("normalizer")]
    assert None not in keys
    assert len(set(keys)) == len(keys) == len(choices("features")) + len(choices("normalizer"))


SIZES = {"hidden_size": 16, "n_layers": 2, "n_heads": 2, "intermediate_size": 24, "dropout": 0.1, "stack_size": 2,
         "causal": False}  # fmt: skip


def encoder(normalizer: nn.Module | None = None, layer: Any = "last", n_components: int | None = None, seed: int = 0,
            features: dict[str, Any] | None = None, **sizes: Any) -> EncodedFrontEnd:  # fmt: skip
    torch.manual_seed(seed)
    front_end = MFCC(**{"n_mfcc": 10, **(features or {})})
    network = Mockingjay(n_features=front_end.n_features, **{**SIZES, **sizes})
    return EncodedFrontEnd(front_end, network, normalizer, layer=layer, n_components=n_components)


ENCODERS: dict[str, dict[str, Any]] = {
    "hidden_size": {"hidden_size": 32},
    "n_layers": {"n_layers": 1},
    "n_heads": {"n_heads": 4},  # changes no parameter's shape
    "intermediate_size": {"intermediate_size": 16},
    "stack_size": {"stack_size": 1},
    "causal": {"causal": True},  # changes no parameter at all
    "layer 1": {"layer": 1},
    "layer 0": {"layer": 0},
    "all layers": {"layer": "all"},
    "n_components": {"n_components": 3},
    "its normaliser": {"normalizer": CMVN()},
    "an option of its normaliser": {"normalizer": CMVN(variance=False)},
    "its front end": {"features": {"window": "hamming"}},
    "its weights": {"seed": 1},
}


def test_each_setting_of_an_encoder_changes_the_key(key: Key) -> None:
    plain = node("model", "mockingjay_small")
    assert set(plain) - {"_target_"} == set(SIZES), "an option has no other value here"
    keys = {"plain": key(encoder()), **{name: key(encoder(**change)) for name, change in ENCODERS.items()}}
    assert key(encoder()) == keys["plain"]
    assert None not in keys.values()
    assert len(set(keys.values())) == len(keys)


def test_a_fitted_projection_changes_the_key_and_one_that_is_set_aside_does_not(key: Key) -> None:
    module = encoder(n_components=3)
    before = key(module)
    module.projection.fit(torch.randn(50, 16))  # type: ignore[union-attr]
    assert key(module) != before
    module.projection = None
    assert key(module) == key(encoder()), "so that runs with other numbers of components share what they begin with"


class Doubled(FrontEnd):
    """A user's: what its base says of options, which says nothing of `factor`."""

    def __init__(self, factor: float, **more: object) -> None:
        super().__init__(**more)
        self.factor, self.n_features = factor, 1


class Shape:
    """A helper that is no module."""

    def __init__(self, width: int) -> None:
        self.width = width


class Bare(nn.Module):
    """A user's, without `extra_repr`, parameters or buffers."""

    def __init__(self, **what: Any) -> None:
        super().__init__()
        self.what = what

    def forward(self, frames: Tensor, lengths: Tensor) -> Tensor:
        return frames


def power(exponent: float) -> Callable[[Tensor], Tensor]:
    return lambda x: x**exponent


def test_modules_of_a_user_that_print_nothing_of_themselves_have_keys_of_their_own(key: Key) -> None:
    fronts = [Doubled(1.0), Doubled(2.0), Doubled(1.0, hop_length=80)]
    lstm = [nn.LSTM(3, 4), nn.LSTM(3, 4)]
    things: list[Any] = [
        1, 1.5, "a", None, True, [1, 2], [2, 1], {"x": 1}, {"x": 2}, {1, 2}, {3}, torch.zeros(2), torch.zeros(3),
        torch.zeros(2).numpy(), torch.zeros(2, dtype=torch.float64), Shape(1), Shape(2), power(2), power(3), abs, len,
        torch.relu, torch.float16, Path("a"), b"a", lambda x: x + 1, lambda x: x + 2, *lstm, Shape, Bare,
    ]  # fmt: skip
    normalizers = [Bare(of=thing) for thing in things]
    keys = [*map(key, fronts), *(key(MFCC(), module) for module in normalizers)]
    assert None not in keys
    assert len(set(keys)) == len(keys)
    assert [key(Doubled(1.0)), key(MFCC(), Bare(of=Shape(2))), key(MFCC(), Bare(of=power(3)))] == [
        keys[0], keys[3 + 16], keys[3 + 18]
    ]  # fmt: skip


def test_a_module_that_holds_itself_has_a_key(key: Key) -> None:
    modules = [Bare(n=1), Bare(n=2), Bare(n=1)]
    for module in modules:
        module.bound = module.forward
    first, second, again = (key(MFCC(), module) for module in modules)
    assert first == again is not None
    assert second not in (first, None)


def test_what_cannot_be_described_is_computed_and_not_kept(data: SpeechData, tmp_path: Path) -> None:
    cache = FrameCache(SpeechModel(MFCC(), nn.Identity(), Bare(lock=threading.Lock())), data)
    assert cache.key("train") is None
    cache.root = tmp_path / "frames"
    frames, _ = cache.frames("train")
    assert frames.shape[1] == 40
    assert [path.name for path in cache.root.iterdir() if path.name != ".lock"] == []


def test_a_set_is_described_in_one_order() -> None:
    of = Description().of
    assert of({"b", "a", "c"}) == of({"c", "b", "a"})
    assert of(frozenset({1, 2})) != of(frozenset({1, 3}))


class Recorder:
    """The files of Phonaut whose functions are called meanwhile."""

    def __init__(self) -> None:
        self.files: set[str] = set()

    def __enter__(self) -> "Recorder":
        sys.setprofile(lambda frame, *_: self.files.add(frame.f_code.co_filename))
        return self

    def __exit__(self, *_: object) -> None:
        sys.setprofile(None)

    def modules(self) -> list[str]:
        root = Path(phonaut.__file__).parent
        return sorted(
            ".".join(["phonaut", *Path(file).relative_to(root).with_suffix("").parts]).removesuffix(".__init__")
            for file in self.files
            if file.startswith(str(root))
        )


@pytest.fixture
def change(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Lets one source file read as if it had been changed; without arguments, all as they are."""
    true = frame_key.source

    def to(module: str = "", edit: Callable[[str], str] = str) -> None:
        file = frame_key.file_of(module)
        package = module if frame_key.is_package(module) else module.rpartition(".")[0]
        changed = file and frame_key.parsed(edit(file.read_text()), package)
        for place in (frame_key, frame_cache):
            monkeypatch.setattr(place, "source", lambda name: changed if changed and name == module else true(name))
        frame_key.code_version.cache_clear()

    yield to
    to()


def with_code(text: str) -> str:
    return text + "\nchanged = True\n"


def with_words(text: str) -> str:
    return text.replace('"""', '"""Says more. ', 1) + "\n\n# A comment.\n"


@pytest.mark.oracle
@pytest.mark.parametrize("kind", ["front end", "encoder"])
def test_every_file_that_runs_while_frames_are_made_counts(
    kind: str, data: SpeechData, change: Callable[..., None]
) -> None:
    """The interpreter says which files these are: those of the functions that it calls."""
    with Recorder() as recorder:
        front_end = MFCC(n_mfcc=10, mel_scale="kaldi", deltas=1) if kind == "front end" else encoder(CMVN())
        cache = FrameCache(SpeechModel(front_end, nn.Identity(), CMVN()), data)  # type: ignore[arg-type]
        shutil.rmtree(cache.compute("validation"))
    # Atomic files are of no matter to a frame, and the data module lists windows, which are in the key themselves.
    ran = set(recorder.modules()) - {"phonaut.files", "phonaut.data.datamodule"}
    assert {"phonaut.data.prepared", "phonaut.data.batches", "phonaut.features.mel"} <= ran
    assert ("phonaut.networks.attention" in ran) == (kind == "encoder")
    before = cache.key("validation")
    for module in sorted(ran):
        change(module, with_code)
        assert cache.key("validation") != before, module
        change(module, with_words)
        assert cache.key("validation") == before, module
    change("phonaut.hmm.base", with_code)
    assert cache.key("validation") == before, "no frame depends on it"


def test_code_of_a_user_counts_with_what_it_imports(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: Key, change: Callable[..., None]
) -> None:
    (tmp_path / "house").mkdir()
    (tmp_path / "house" / "__init__.py").write_text("from house.fronts import Mine\n")
    (tmp_path / "house" / "fronts.py").write_text(
        "from phonaut.features import CMVN\nfrom . import tables\n\n\nclass Mine(CMVN):\n    shift = tables.SHIFT\n"
    )
    (tmp_path / "house" / "tables.py").write_text("from numbers_of_mine import SHIFT\n\nUNUSED = 1\n")
    (tmp_path / "numbers_of_mine.py").write_text("SHIFT = 3\n")
    monkeypatch.syspath_prepend(tmp_path)
    mine = importlib.import_module("house").Mine
    before = key(MFCC(), mine())
    assert before is not None
    for module in ("house.fronts", "house.tables", "numbers_of_mine", "phonaut.features.functional"):
        change(module, with_code)
        assert key(MFCC(), mine()) != before, module
    change()
    assert key(MFCC(), mine()) == before
    for module in ("house", "house.fronts", "house.tables", "numbers_of_mine"):
        monkeypatch.delitem(sys.modules, module)


def test_a_recurrent_normaliser_has_a_key(key: Key) -> None:
    """Recurrent layers of torch hold weak references."""
    network = LSTM(n_features=4, n_classes=2, hidden_size=3)
    assert key(MFCC(), network) is not None
    assert key(MFCC(), network) == key(MFCC(), network)


def test_comments_layout_and_docstrings_of_code_do_not_count() -> None:
    assert meaning("def f(x):\n    return x + 1") == meaning('def f(x):\n    """Says."""\n    # why\n    return x+1')
    assert meaning("def f(x):\n    return x + 1") != meaning("def f(x):\n    return x + 2")
