"""Files of estimators: what is not whole is refused by a sentence that names the file; what is loaded is checked."""

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import save_file

from phonaut.hmm import GMM, GMMHMM, GSHMM, GaussianHMM, GenHMM, LatHMM

SMALL_FLOWS = {"n_couplings": 1, "n_hidden": 2, "n_passes": 1}
SETTINGS: dict[Any, dict[str, Any]] = {
    GMM: {"tol": 1e-2}, GaussianHMM: {}, GMMHMM: {"n_mix": 2}, **dict.fromkeys((GenHMM, LatHMM, GSHMM), SMALL_FLOWS)
}  # fmt: skip
EVERY = pytest.mark.parametrize("cls", SETTINGS, ids=lambda cls: cls.__name__)
X = np.random.default_rng(0).standard_normal((30, 3))

Arrays = dict[str, np.ndarray]


def make(cls: Any, **changes: Any) -> Any:
    steps = {} if cls is GMM else {"n_iter": 2}
    return cls(**{"n_components": 2, "random_state": 0, **SETTINGS[cls], **steps, **changes})


def rewritten(path: Path, change: Callable[[dict[str, Any], Arrays], None], *, checksum: bool = False) -> None:
    """The file with other contents, without a checksum, as files of before there was one."""
    with safe_open(path, framework="np") as file:
        arrays = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118  # not a dict
        kind = json.loads(file.metadata()["phonaut"])
    if not checksum:
        del kind["checksum"]
    change(kind, arrays)
    save_file(arrays, path, metadata={"phonaut": json.dumps(kind)})


def check_refused(cls: Any, path: Path, why: str) -> None:
    with pytest.raises(ValueError, match=why) as refusal:
        cls.load(path)
    message = str(refusal.value)
    assert path.name in message
    assert "\n" not in message


@EVERY
def test_a_file_that_is_not_whole_is_refused_by_name(cls: Any, tmp_path: Path) -> None:
    path, model = tmp_path / "model.safetensors", make(cls).fit(X)
    model.save(path)
    whole = path.read_bytes()
    others: dict[str, bytes] = {
        "empty": b"",
        "the beginning": whole[:100],
        "all but the last byte": whole[:-1],
        "with more behind it": whole + b"\0",
        "zeros": bytes(len(whole)),
        "text": b"a model of speech\n",
        "a pickle": pickle.dumps({"means_": X}),
        "of a long header": (2**62).to_bytes(8, "little") + whole[8:],
    }
    for what, content in others.items():
        path.write_bytes(content)
        check_refused(cls, path, "holds no model of Phonaut")
        assert what
    np.savez(tmp_path / "model.npz", means_=X)
    check_refused(cls, tmp_path / "model.npz", "holds no model of Phonaut")
    save_file({"means_": X}, path)
    check_refused(cls, path, "holds no model of Phonaut, not a")
    with pytest.raises(OSError, match=r"missing\.safetensors"):
        cls.load(tmp_path / "missing.safetensors")


@EVERY
def test_a_bit_that_changed_in_an_array_is_noticed(cls: Any, tmp_path: Path) -> None:
    path, model = tmp_path / "model.safetensors", make(cls).fit(X)
    model.save(path)
    whole = path.read_bytes()
    begin = 8 + int.from_bytes(whole[:8], "little")
    for place in np.linspace(begin, len(whole) - 1, 8).astype(int):
        changed = bytearray(whole)
        changed[place] ^= 1
        path.write_bytes(changed)
        check_refused(cls, path, "is damaged: its arrays are not those that were written")
    path.write_bytes(whole)
    assert cls.load(path).score(X) == model.score(X)


@EVERY
def test_arrays_that_are_none_of_such_a_model_are_refused(cls: Any, tmp_path: Path) -> None:
    path, model = tmp_path / "model.safetensors", make(cls).fit(X)
    model.save(path)
    whole = path.read_bytes()
    names = [name for name in model.state_dict() if name != "_floor"]
    for name in names:
        changes: list[Callable[[dict[str, Any], Arrays], None]] = [
            lambda kind, arrays, name=name: arrays.pop(name),
            lambda kind, arrays, name=name: arrays.update({name: np.concatenate([arrays[name], arrays[name]])}),
            lambda kind, arrays, name=name: arrays.update({name: arrays[name][None]}),
            lambda kind, arrays, name=name: arrays.update({name: np.zeros((0,))}),
        ]
        if name != "seed_":
            spoilt = np.full_like(model.state_dict()[name], np.nan)
            changes.append(lambda kind, arrays, name=name, spoilt=spoilt: arrays.update({name: spoilt}))
        for change in changes:
            path.write_bytes(whole)
            rewritten(path, change)
            check_refused(cls, path, "is damaged: |holds no model")
    path.write_bytes(whole)
    rewritten(path, lambda kind, arrays: arrays.update(extra=X))
    check_refused(cls, path, "holds extra, which a")
    path.write_bytes(whole)
    rewritten(path, lambda kind, arrays: None)
    assert cls.load(path).score(X) == model.score(X), "a file of before there were checksums"


HEADERS: list[tuple[str, Callable[[dict[str, Any]], Any], str]] = [
    ("other model", lambda kind: kind.update(model="DTW"), "holds DTW, not a"),
    ("no name", lambda kind: kind.update(model=["GMM"]), "holds no model of Phonaut, not a"),
    ("no settings", lambda kind: kind.pop("settings"), "is damaged: its header is not that of a"),
    ("a list of settings", lambda kind: kind.update(settings=[]), "is damaged: its header is not that of a"),
    ("an unknown setting", lambda kind: kind["settings"].update(n_states=2), "does not know: n_states"),
    (
        "a setting that is none",
        lambda kind: kind["settings"].update(n_components=0),
        "is damaged: .*must be >= 1, got 0",
    ),
    ("of many states", lambda kind: kind["settings"].update(n_components=10**9), "is damaged: "),
    ("words for numbers", lambda kind: kind["settings"].update(tol="small"), "is damaged: .*tol must be a number"),
]


@EVERY
@pytest.mark.parametrize(("what", "change", "why"), HEADERS)
def test_headers_that_are_none_of_such_a_model_are_refused(
    cls: Any, what: str, change: Any, why: str, tmp_path: Path
) -> None:
    path = tmp_path / "model.safetensors"
    make(cls).fit(X).save(path)
    rewritten(path, lambda kind, arrays: change(kind), checksum=True)
    check_refused(cls, path, why)


def test_flows_that_would_fill_all_memory_are_refused_before_they_are_laid_out(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    make(GenHMM).fit(X).save(path)
    for setting in ({"n_hidden": 10**9}, {"n_couplings": 10**9}):
        rewritten(path, lambda kind, arrays, setting=setting: kind["settings"].update(setting), checksum=True)
        check_refused(GenHMM, path, "is damaged: flows_ must be")


@pytest.mark.parametrize("cls", [cls for cls in SETTINGS if cls is not GMM], ids=lambda cls: cls.__name__)
def test_a_checkpoint_that_is_damaged_stops_the_fit_and_stays(cls: Any, tmp_path: Path) -> None:
    path = tmp_path / "fit.safetensors"
    make(cls, checkpoint=str(path)).fit(X)
    whole = path.read_bytes()
    for content in (b"", whole[:200], whole[:-1] + bytes([whole[-1] ^ 1])):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"fit\.safetensors (is damaged|holds no model)"):
            make(cls, checkpoint=str(path)).fit(X)
        assert path.read_bytes() == content
    for wrong in ({"history": 3}, {"history": ["a"], "objective": [1.0]}, {"history": []}, {"n_seeded": "x"}):
        path.write_bytes(whole)
        rewritten(path, lambda kind, arrays, wrong=wrong: kind.update(wrong))
        with pytest.raises(ValueError, match=r"fit\.safetensors is damaged: its header is not that of a"):
            make(cls, checkpoint=str(path)).fit(X)
    path.write_bytes(whole)
    rewritten(path, lambda kind, arrays: arrays.update({"before/transmat_": np.zeros((3, 3))}))
    with pytest.raises(ValueError, match=r"fit\.safetensors is damaged: transmat_ must be"):
        make(cls, checkpoint=str(path)).fit(X)
