"""Every shipped configuration composes and names a class that takes its keys; whatever is wrong is said at once."""

import inspect
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hydra.utils import get_object
from hypothesis import given, settings
from hypothesis import strategies as st

from phonaut import features, networks
from phonaut.config import trust
from phonaut.config.compose import ConfigurationError, as_text, choices, compose, draft
from phonaut.config.nodes import class_of, instantiate
from phonaut.config.plugins import node_of_group
from phonaut.deploy import StreamingModel
from phonaut.models import GenerativeClassifier
from phonaut.models.generators import Generator
from phonaut.models.speakers.vectors import VectorSystem
from phonaut.tasks.build import speech_model
from phonaut.training import EM, Hybrid, SpeakerEmbedding, SpeechClassifier
from phonaut.training.representation import compiler_problems as without_compiler

EVERY_CHOICE = [(group, name) for group, names in choices().items() for name in names]
SELF = {"self", "args", "kwargs"}
PRETRAINING = ["model=mockingjay_small"]
# What some choices go with; others go with the defaults.
WITH_MODEL = {
    "module=em": ["model=gmmhmm"],
    "module=hybrid": ["model=dnnhmm"],
    "module=representation": PRETRAINING,
    "module=generation": ["model=cvae"],
    "module=speaker_embedding": ["model=ecapa"],
    "module=stages": ["model=gmm_ubm"],
    "task=verification": ["model=gmm_ubm"],
    "task=generation": ["model=cvae"],
    "task=pretraining": PRETRAINING,
    "dataset=mix": PRETRAINING,
    "objective": PRETRAINING,
    "target_features": PRETRAINING,
    "target_features=fbank": [*PRETRAINING, "features=fbank"],
    "target_features=mfcc": [*PRETRAINING, "features=mfcc"],
    "target_features=spectrogram": [*PRETRAINING, "features=mfcc"],
    "dataset=logmel_mat": ["target=phone"],
    **{f"dataset={name}": ["target=speaker"] for name in ("librispeech", "speechocean762", "timit")},  # no keywords
}


@pytest.fixture(autouse=True)
def no_corpora(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is on this machine's disk does not count."""
    monkeypatch.delenv("PHONAUT_DATA", raising=False)


def problems(*overrides: str) -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        compose(overrides)
    return caught.value.problems


@pytest.mark.parametrize(("group", "name"), EVERY_CHOICE, ids=lambda value: value)
def test_every_choice_composes_and_its_class_takes_its_keys(group: str, name: str) -> None:
    config, found = draft([f"{group}={name}", *WITH_MODEL.get(f"{group}={name}", WITH_MODEL.get(group, []))])
    wanted = (
        "sparse_adam",
        "needs dataset.train=",
        "needs dataset.frames_folder=",
        "needs dataset.path=",
        "model=prototypes compares in the frames of a network",
        "task=prior is a density of the codes of a generator",
        "model=prototypes compares in the frames of a network that heard other words",
        "for dataset=" if name == "frames" else "sparse_adam",
    )
    allowed = [problem for problem in found if any(text in problem for text in wanted)]
    assert found == allowed, "only sparse_adam is refused, and what needs more words"
    assert trust.problems(config.to_dict()) == [], "a stored run of it names nothing that is not ours"
    part = getattr(config, group)
    if "_target_" not in part:
        assert group == "trainer"
        taken = inspect.signature(get_object("lightning.Trainer")).parameters
    else:
        taken = taken_by(part)
    extra = {"interval"} if group == "scheduler" else set()
    assert {str(key) for key in part} - {"_target_"} - extra <= set(taken), (
        f"{group}={name} has keys that nothing takes"
    )
    if group not in ("model", "trainer", "checkpoint", "profiler"):
        given_later = {"params", "optimizer", "last_epoch", "verbose", "scale_fn", "sample_rate", "model", "classes"}
        module_gets = {"scheduler", "interval", "augmentation", "noise", "seed", "objective", "segments_of"}
        module_gets |= {"teachers", "window_ms"}
        given_later |= module_gets if group == "module" else {"labelled"} if name == "mix" else set()
        given_later |= {"n_features"} if group == "normalizer" else set()
        missing = set(taken) - set(part) - given_later - SELF
        assert not missing, f"{group}={name} lacks keys of its class"


PROMISED = {
    "features": {
        "fbank": features.MelSpectrogram, "frames": features.Frames, "linear": features.Spectrogram,
        "mel": features.MelSpectrogram, "melspec": features.MelSpectrogram, "melspec_kaldi": features.MelSpectrogram,
        "mfcc": features.MFCC, "mfcc39": features.MFCC, "mfcc60": features.MFCC, "mfcc_kaldi": features.MFCC,
        "raw": features.Raw, "sinc": features.Sinc, "spectrogram": features.Spectrogram,
    },
    "normalizer": {
        "adaptivefixedpoint": features.AdaptiveFixedPoint, "cmvn": features.CMVN, "fixedpoint": features.FixedPoint,
        "gain": features.GainNormalizer, "batch": features.BatchNormalizer, "gain_batch": features.GainBatchNormalizer,
        "relaxed": features.RelaxedFrequencyNorm,
    },
    "model": {
        "bc-res1": networks.BCResNet, "bc-res3": networks.BCResNet, "bc-res8": networks.BCResNet,
        "branchy-tc-res8": networks.BranchyTCResNet8, "ds-tcn": networks.DSTCN, "ecapa": networks.Ecapa,
        "gds": networks.GDS, "gru": networks.GRU, "lstm": networks.LSTM, "mdtc": networks.MDTC, "probe": networks.Probe,
        "redimnet": networks.ReDimNet, "rnn": networks.RNN, "tc-res14": networks.TCResNet14,
        "tc-res8": networks.TCResNet8,
    },
}  # fmt: skip


@pytest.mark.parametrize("group", PROMISED)
def test_a_name_gives_the_class_that_it_promises(group: str) -> None:
    # Models beside networks are of EM, pre-training, generation and verification.
    names = PROMISED[group] if group == "model" else choices()[group]
    nodes = {name: node_of_group(group, name, {}, {}) for name in names}
    found = {name: class_of(node) for name, node in nodes.items()}
    assert found == PROMISED[group]
    if group == "model":
        assert [nodes[f"bc-res{width}"]["width"] for width in (1, 3, 8)] == [1, 3, 8]


def taken_by(part: Any) -> dict[str, Any]:
    """The keys of a class; what it hands on to another counts as its own."""
    cls = get_object(part["_target_"])
    taken = dict(inspect.signature(cls).parameters)
    if issubclass(cls, (Generator, VectorSystem)):
        return {name: one for base in cls.__mro__[::-1] if issubclass(base, (Generator, VectorSystem))
                for name, one in inspect.signature(base).parameters.items()}  # fmt: skip
    if cls not in (GenerativeClassifier, EM, Hybrid, SpeakerEmbedding):
        return taken
    more = dict(inspect.signature(get_object(part["density"]) if "density" in part else SpeechClassifier).parameters)
    if cls is not GenerativeClassifier:  # what is of the scores of spans has no key where those are not learned
        of_spans = {"mixup", "statistics_noise", "reparameterized", "loss", "gamma", "negative_weight"}
        of_spans |= {"label_smoothing"} if cls is EM else set()
        more = {name: one for name, one in more.items() if name not in of_spans}
    return more | {name: p for name, p in taken.items() if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)}


OUR_OPTIONS = {
    "adamw": ("lr", "fused"),
    "pretraining": ("lr", "fused"),
    "vae": ("betas", "weight_decay", "fused"),
    "wae_gan": ("lr", "betas", "fused"),
    "wgan_gp": ("lr", "betas", "fused"),
}


@pytest.mark.parametrize("name", choices()["optimizer"])
def test_an_optimizer_has_pytorchs_own_defaults(name: str) -> None:
    config, _ = draft([f"optimizer={name}"])
    for key, parameter in inspect.signature(get_object(config.optimizer["_target_"])).parameters.items():
        if key == "params" or key in OUR_OPTIONS.get(name, ()):
            continue
        ours, theirs = config.optimizer[key], parameter.default
        assert ours == (list(theirs) if isinstance(theirs, tuple) else theirs), key


@pytest.mark.parametrize("name", [name for name in choices()["optimizer"] if name != "sparse_adam"])
def test_the_class_that_is_named_is_the_class_that_runs(name: str) -> None:
    config = compose([f"optimizer={name}", "optimizer.lr=0.25"])
    optimizer = instantiate(config.optimizer, [torch.nn.Parameter(torch.ones(2))])
    assert type(optimizer) is get_object(config.optimizer["_target_"])
    assert optimizer.param_groups[0]["lr"] == 0.25


@pytest.mark.parametrize("name", choices()["scheduler"])
def test_a_scheduler_runs_over_the_planned_length(name: str) -> None:
    from phonaut.tasks.build import scheduler_of

    more = ["scheduler.milestones=[10,20]"] if name == "multistep" else []
    config = compose([f"scheduler={name}", "optimizer=sgd", "optimizer.lr=0.1", *more])
    make, interval = scheduler_of(config.scheduler)
    assert make is not None
    assert interval in ("step", "epoch")
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.ones(2))], lr=0.1, momentum=0.9)
    scheduler = make(optimizer, 30)
    rates = []
    for _ in range(30):
        optimizer.step()
        scheduler.step(*([1.0] if name == "plateau" else []))
        rates.append(optimizer.param_groups[0]["lr"])
    assert min(rates) < max(rates), "the rate moves"
    if name in ("1cycle", "cosine", "warmup"):
        assert rates[-1] < 0.01 * max(rates), "and ends near zero where training ends"


def test_everything_wrong_is_said_at_once_with_the_nearest_name() -> None:
    found = "\n".join(
        problems(
            "optimiser.lr=0.1",
            "trainer.max_epoch=3",
            "model=tc_res8",
            "features.f_max=9000",
            "features.n_mfcc=50",
            "batch_size=many",
            "target=speker",
        )
    )
    for expected in (
        "unknown key optimiser.lr; did you mean optimizer.lr?",
        "unknown key trainer.max_epoch; did you mean trainer.max_epochs?",
        "model=tc_res8 is not a choice; did you mean tc-res8? (model: bc-res1, bc-res3, bc-res8, branchy-tc-res8,",
        "f_max=9000 is above half of sample_rate=16000",
        "n_mfcc=50 is more than n_mels=40",
        "batch_size=many must be a whole number",
        "target=speker is none of",
    ):
        assert expected in found


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["optimizer=sparse_adam"], "sparse gradients only"),
        (["features.n_mels=500"], "n_mels=500"),
        (["streaming=true", "normalizer=cmvn"], "needs the whole recording"),
        (["model=lstm", "model.bidirectional=true", "streaming=true"], "later frames"),
        (["batch_size=0"], "batch_size must be >= 1, got 0"),
        (["module.label_smoothing=1.0"], "from 0 to below 1"),
        (["optimizer=lbfgs", "trainer.accumulate_grad_batches=2"], "lbfgs"),
        (["trainer=default", "optimizer"], "not key=value|optimizer"),
        (["optimizer={lr:3}"], "optimizer"),
        (["+optimizer.lrr=1"], "unknown key optimizer.lrr; did you mean lr?"),
        (["model=null", "~optimizer"], "(?s)model=null: a run needs one.*optimizer=null: a run needs one"),
        (["features.window=hanning"], "window"),
        (["trainer.enable_progress_bar=1"], "must be true or false"),
        (["classes=1"], "classes=1: must be >= 2"),
        (["classes=[AA]"], r"classes=\['AA'\]: must be at least 2 names"),
        (["classes=[AA,AA]"], "must be at least 2 names"),
        (["classes=AA"], r"classes=AA: must be a number of classes, or a list of them: 'classes=\[AA,IY\]'"),
        (["classes=true"], "classes=True: must be a number of classes"),
        (["seed=null", "output_dir=null"], "(?s)seed=null must be a whole number.*output_dir=null must be text"),
        (["optimizer.betas=[0.9]"], r"optimizer.betas=\[0.9\] must be a list of 2 numbers"),
        (["probe=a"], r"probe=a must be a list: probe=\[a\]"),
        (["labels_each=many"], "labels_each=many must be a whole number, or null"),
        (["experiment_id=[1]"], r"experiment_id=\[1\] must be text"),
        (["choices.model=lstm"], "unknown key choices.model"),
        (["classes=2", "n_classes=3"], "n_classes=3 and classes=2: give one of them"),
    ],
)
def test_what_cannot_be_run_is_refused_before_any_work(overrides: list[str], message: str) -> None:
    assert re.search(message, "\n".join(problems(*overrides)))


def test_a_name_that_reads_as_a_number_is_a_name() -> None:
    for name in ("1.10", "2024_01_15", "007", "true", "1e3"):
        assert compose([f"experiment_id={name}"]).experiment_id == name


def test_a_list_of_words_needs_no_quotes() -> None:
    for text in ("probe=[dataset=fsdd,target=speaker]", 'probe=["dataset=fsdd","target=speaker"]'):
        assert compose([*PRETRAINING, text]).probe == ["dataset=fsdd", "target=speaker"]


def test_groups_that_may_be_empty_can_be_emptied() -> None:
    config = compose(["scheduler=null", "normalizer=null", "profiler=null", "augmentation=null"])
    assert not any(getattr(config, group) for group in ("scheduler", "normalizer", "profiler", "augmentation"))


def test_one_switch_makes_front_end_and_network_causal() -> None:
    config = compose(["streaming=true"])
    assert config.features["framing"] == "causal"
    assert config.model["causal"] is True


@pytest.mark.parametrize(
    ("model", "feature"),
    [(name, "mfcc") for name in PROMISED["model"] if name not in ("ecapa", "probe", "redimnet")]
    + [("gds", "sinc"), ("tc-res8", "melspec"), ("gru", "spectrogram"), ("lstm", "raw")],
)
def test_one_word_makes_a_model_that_streams(model: str, feature: str) -> None:
    words = [f"model={model}", f"features={feature}", "streaming=true", "recipe=none"]
    made = StreamingModel(
        speech_model(
            compose([*words, "features.win_length=64", "features.hop_length=64"] if feature == "raw" else words), 3
        )
    )
    audio = 0.1 * torch.randn(1, 4800, generator=torch.Generator().manual_seed(0))
    state, parts = made.initial_state(), []
    for part in audio.split(700, dim=1):
        scores, state = made.step(part, state)
        parts.append(scores)
    torch.testing.assert_close(torch.cat(parts, dim=1), made.offline(audio), rtol=1e-3, atol=1e-3)


def test_streaming_configurations_build_and_score() -> None:
    from phonaut.tasks.build import speech_model

    model = speech_model(compose(["streaming=true"]), 3)
    assert model(torch.zeros(2, 16000), torch.tensor([16000, 8000])).shape == (2, 3)


@pytest.mark.parametrize(
    "value",
    ["/data/a (b)/c", "/data/a,b", "/data/it's", "C:\\recordings", "a=b", "{x", "[y", "ünïcode ", "$x", "a:b c"],
)
def test_a_value_that_the_grammar_refuses_is_text(value: str) -> None:
    assert compose(["dataset=fsdd", f"dataset.data_folder={value}"]).dataset["data_folder"] == value


@settings(max_examples=60, deadline=None)
@given(
    st.text(st.characters(codec="utf-8", exclude_categories=["C"]), min_size=1).filter(
        lambda text: text == text.strip()
    )
)
def test_any_text_that_names_no_number_comes_through(value: str) -> None:
    from hydra.core.override_parser.overrides_parser import OverridesParser

    parsed = OverridesParser.create().parse_override(as_text(f"output_dir={value}"))
    if isinstance(parsed.value(), str) and "$" not in value and "\\" not in value and value[0] not in "\"'":
        assert parsed.value() == value


def test_a_model_of_pre_training_chooses_what_goes_with_it_and_words_override_it() -> None:
    config = compose(["model=mockingjay_small"])
    chosen = {group: config.choices[group] for group in ("module", "objective", "features", "normalizer", "scheduler")}
    assert chosen == {
        "module": "representation",
        "objective": "mockingjay",
        "features": "mel",
        "normalizer": "cmvn",
        "scheduler": "warmup",
    }
    assert (config.target, config.model["causal"]) == ("none", False)
    config = compose(["model=mockingjay_base", "objective=apc", "features=fbank", "optimizer.lr=0.1"])
    assert (config.choices["objective"], config.choices["features"], config.optimizer["lr"]) == ("apc", "fbank", 0.1)
    assert config.model["causal"] is True, "apc predicts what comes"


def test_any_corpus_is_a_mix_of_one_and_parts_take_their_options() -> None:
    (part,) = compose(["model=mockingjay_small", "dataset=fsdd"]).dataset["corpora"]
    assert (part["name"], part["weight"], part["corpus"]["target"]) == ("fsdd", 1.0, "speaker")
    parts = "[{name: fsdd, weight: 2}, {name: folder, data_folder: /a, as: mine}, {name: folder, data_folder: /b}]"
    words = ["model=mockingjay_small", "dataset=mix", f"dataset.corpora={parts}", "leave_out_speakers=[0001,theo]"]
    config = compose(words)
    named = [(part["name"], part["weight"], part["corpus"]["data_folder"]) for part in config.dataset["corpora"]]
    assert named == [("fsdd", 2.0, "datasets/fsdd"), ("mine", 1.0, "/a"), ("folder", 1.0, "/b")]
    assert [str(name).lstrip("0") for name in config.dataset["leave_out_speakers"]] == ["1", "theo"]


def test_speakers_of_several_corpora_are_told_apart() -> None:
    parts = "[{name: fsdd}, {name: folder, data_folder: /a, as: mine}]"
    config = compose(["model=ecapa", "target=speaker", "dataset=mix", f"dataset.corpora={parts}"])
    assert [(part["name"], part["corpus"]["target"]) for part in config.dataset["corpora"]] == [
        ("fsdd", "speaker"), ("mine", "speaker")
    ]  # fmt: skip
    assert (config.choices["protocol"], config.dataset["labelled"]) == ("auto", True)
    chosen = compose(["model=ecapa", "target=speaker", "dataset=mix", "protocol=trials", "leave_out_speakers=[theo]"])
    assert (chosen.choices["protocol"], chosen.dataset["leave_out_speakers"]) == ("trials", ["theo"])


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["objective=tera"], "objective=tera is for pre-training"),
        (["target_features=mel"], "target_features=mel is for pre-training"),
        (["dataset=mix"], "dataset=mix has no classes"),
        (["leave_out_speakers=[a]"], "leave_out_speakers is for pre-training"),
        ([*PRETRAINING, "target=phone"], "pre-training has no classes; leave target out"),
        ([*PRETRAINING, "objective=null"], "objective=null: pre-training needs one"),
        ([*PRETRAINING, "objective=apc", "model.causal=false"], "leave model.causal out"),
        ([*PRETRAINING, "objective.mask_prob=2"], "objective.mask_prob=2: must be in "),
        ([*PRETRAINING, "model.n_heads=7"], "model: hidden_size=256 must be a multiple of n_heads=7"),
        ([*PRETRAINING, "batch_frames=0"], "batch_frames must be >= 1, got 0"),
        ([*PRETRAINING, "augmentation=default"], "pre-training alters frames by its objective"),
        ([*PRETRAINING, "features=raw"], "attention compares all pairs"),
        ([*PRETRAINING, "target_features=fbank"], "have their frames at other times"),
        ([*PRETRAINING, "target_features=linear", "target_features.n_fft=3"], "target_features: .*n_fft"),
        ([*PRETRAINING, "module=em"], "module=em cannot train model=mockingjay_small"),
        (["model=lstm", "module=representation"], "module=representation cannot train model=lstm"),
        ([*PRETRAINING, "streaming=true"], "CMVN needs the whole recording"),
        ([*PRETRAINING, "dataset=mix", "dataset.corpora=[{name: fsd}]"], "name=fsd is none of"),
        ([*PRETRAINING, "dataset=mix", "dataset.corpora=[fsdd]"], "is no part of a mix"),
        ([*PRETRAINING, "dataset=mix", "dataset.corpora=[{name: fsdd, folder: x}]"], "fsdd takes no folder"),
        ([*PRETRAINING, "dataset=mix", "dataset.corpora=[{name: fsdd, weight: 0}]"], "weight 0.0; it is above 0"),
    ],
)
def test_what_pre_training_cannot_do_is_refused_before_any_work(overrides: list[str], message: str) -> None:
    assert re.search(message, "\n".join(problems(*overrides)))


def test_the_chosen_names_are_kept() -> None:
    assert compose(["model=lstm", "dataset=fsdd"]).choices["model"] == "lstm"


def test_a_corpus_is_looked_at_before_any_work(tmp_path: Path) -> None:
    for word in ("bed", "cat"):
        (tmp_path / word).mkdir()
        (tmp_path / word / "00176480_nohash_0.wav").touch()
    (found,) = problems("dataset=kws", f"dataset.data_folder={tmp_path}", "dataset.wanted_words=[bed,cta]")
    assert "lacks cta (cat?)" in found


def test_n_classes_is_another_name_of_classes() -> None:
    config = compose(["n_classes=2"])
    assert (config.classes, config.n_classes) == (2, None)
    assert compose(["classes=[AA,IY]"]).classes == ["AA", "IY"]
    assert compose(["n_classes=[AA,IY]"]) == compose(["classes=[AA,IY]"])


def test_downsampling_a_corpus_sets_the_front_end() -> None:
    config = compose(["dataset=kws", "dataset.downsample=8000", "features.f_max=4000"])
    assert config.features["sample_rate"] == 8000
    assert any(
        "Nyquist" in text or "f_max" in text
        for text in problems("dataset=kws", "dataset.downsample=4000", "features.f_max=4000")
    )


def test_the_speech_commands_keys_set_the_augmentation() -> None:
    config = compose(["dataset=kws", "dataset.timeshift_ms=37", "dataset.train_snr_low=3", "dataset.train_snr_high=9"])
    set_to = config.augmentation
    assert (set_to["timeshift_ms"], set_to["snr_low_db"], set_to["snr_high_db"]) == (37, 3, 9)


@pytest.fixture
def folder_of_frames(tmp_path: Path) -> Path:
    from phonaut.data.frame_writer import FrameWriter

    with FrameWriter(tmp_path / "f", n_features=3, frame_shift_s=0.02, frame_offset_s=0.005) as writer:
        writer.add(np.zeros((4, 3)), id="a", split="train")
    return tmp_path / "f"


def test_frames_are_taken_as_they_are_without_being_asked(folder_of_frames: Path) -> None:
    config = compose(["dataset=frames", f"dataset.data_folder={folder_of_frames}", "model=gmmhmm", "normalizer=cmvn"])
    assert (config.choices["features"], config.choices["augmentation"]) == ("frames", "none")
    features = config.features
    assert (features["n_features"], features["frame_shift_s"], features["frame_offset_s"]) == (3, 0.02, 0.005)
    for words in ("augmentation=null", "features=frames", "features.n_features=3"):
        assert compose(["dataset=frames", f"dataset.data_folder={folder_of_frames}", words]).features == features


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["features=mfcc"], "features=mfcc makes frames of recordings, and dataset=frames has frames already: leave"),
        (["augmentation=default"], "dataset=frames has none: type augmentation=none"),
        (["features=mfcc", "streaming=true"], "streaming=true begins with a waveform"),
        (["augmentation.speed_low=0.9"], "augmentation changes waveforms"),
        (["streaming=true"], "streaming=true begins with a waveform"),
        (["features.n_features=13"], "features.n_features=13: the frames of dataset=frames have 3; leave it out"),
        (["features.frame_shift_s=0"], "frame_shift_s=0: must be > 0"),
        (["features.frame_shift_s=0.01"], "frame_shift_s=0.01: the frames of dataset=frames have 0.02"),
        (["protocol=officl"], "protocol=officl is not a choice; did you mean official?"),
        (["dataset=fsdd", "features=frames"], "dataset=fsdd has recordings: type features=mfcc"),
    ],
)
def test_what_frames_cannot_be_combined_with_says_why(words: list[str], message: str, folder_of_frames: Path) -> None:
    base = [] if words[0].startswith("dataset=") else ["dataset=frames", f"dataset.data_folder={folder_of_frames}"]
    assert message in "\n".join(problems(*base, *words))


def test_a_folder_without_frames_is_refused_before_any_work(tmp_path: Path) -> None:
    assert problems("dataset=frames", f"dataset.data_folder={tmp_path}") == [
        f"{tmp_path} is no folder of frames: there is no manifest.jsonl in it"
    ]


@pytest.mark.parametrize("name", choices()["dataset"])
def test_corpora_of_recordings_are_taken_with_any_front_end(name: str) -> None:
    _, found = draft([f"dataset={name}", "features=melspec"])
    assert any("has frames already" in problem for problem in found) == (
        name in ("frames", "genhmm_data", "logmel_mat", "reddots_frames")
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("shutil.which", lambda name: None), "needs a C\\+\\+ compiler"),
        (("sysconfig.get_path", lambda name: "/nowhere"), "needs Python.h"),
        (("importlib.util.find_spec", lambda name: SimpleNamespace(origin="/a b/torch")), "a path with a space"),
    ],
    ids=["compiler", "headers", "space"],
)
def test_compiling_is_refused_where_it_would_fail(
    change: tuple[str, object], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "Python.h").touch()
    monkeypatch.setattr("shutil.which", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr("sysconfig.get_path", lambda name: str(tmp_path))
    monkeypatch.setattr("importlib.util.find_spec", lambda name: SimpleNamespace(origin="/torch/__init__.py"))
    assert not without_compiler()
    monkeypatch.setattr(*change)
    assert re.search(message, "; ".join(without_compiler()))
