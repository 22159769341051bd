"""Names of earlier versions still work."""

from typing import Any

import pytest
from hydra.utils import instantiate

from phonaut.config.aliases import CHOICES, KEYS, TARGETS, current, current_override, current_overrides
from phonaut.config.compose import compose
from phonaut.config.nodes import load_target


@pytest.mark.parametrize(("model", "value"), [("lstm", "recording"), ("dnnhmm", "recording"), ("probe", "segment")])
def test_a_key_of_before_may_still_be_typed(model: str, value: str) -> None:
    assert compose(["target=phone", f"model={model}", f"model.over={value}"]).model["scope"] == value


@pytest.mark.parametrize(
    ("words", "key", "value"),
    [
        (["model=gmm", "model.linear=true"], "calibration", True),
        (["model=genhmm", "model.durations=true"], "duration_model", True),
        (["model=genhmm", "model.first_fit=3"], "gmm_init_steps", 3),
        (["model=genhmm", "model.density=gshmm"], "density", "phonaut.hmm.emissions.GSEmissions"),
    ],
)
def test_keys_and_values_of_densities_of_before_may_still_be_typed(words: list[str], key: str, value: object) -> None:
    assert compose(words).model[key] == value


def test_a_stored_classifier_of_before_is_read_as_todays() -> None:
    stored = {"model": {"_target_": "phonaut.modules.ClassDensities", "density": "lathmm", "linear": True}}
    assert current(stored) == {
        "model": {
            "_target_": "phonaut.models.GenerativeClassifier",
            "density": "phonaut.hmm.emissions.LatEmissions",
            "calibration": True,
        }
    }


@pytest.mark.parametrize("old", KEYS)
def test_a_stored_key_of_before_is_read_under_todays_name(old: str) -> None:
    group, key = old.split(".")
    new = KEYS[old].split(".")[1]
    assert current({group: {key: 1, "other": 2}, key: 3}) == {group: {new: 1, "other": 2}, key: 3}
    assert current_override(f"+{old}=a=b") == f"+{KEYS[old]}=a=b"


def test_a_key_of_somebody_elses_class_stays_as_it_is() -> None:
    model = {"_target_": "toy.Network", "stride": 2, "over": "time"}
    assert current({"model": model}) == {"model": model}


@pytest.mark.parametrize("old", CHOICES)
def test_a_choice_of_before_may_still_be_made(old: str) -> None:
    group, _, name = CHOICES[old].partition("=")
    assert compose([old]).choices[group] == name


@pytest.mark.parametrize("name", TARGETS.values())
def test_a_stored_class_is_found_under_todays_name(name: str) -> None:
    assert isinstance(load_target(name), type)


def test_options_of_pretraining_may_still_be_typed_under_names_of_before() -> None:
    old = ["objective.share=0.2", "objective.consecutive=3", "objective.zero_share=0.5", "objective.random_share=0.3"]
    old += ["objective.frequency_share=0.1", "objective.noise_share=0.4"]
    config = compose(["model=mockingjay_small", "objective=tera", "model.stride=3", *old])
    assert config.model["stack_size"] == 3
    found = {key: config.objective[key] for key in config.objective if key not in ("_target_", "noise_variance")}
    assert found == {
        "mask_prob": 0.2,
        "mask_length": 3,
        "mask_zero_prob": 0.5,
        "mask_random_prob": 0.3,
        "mask_frequency": 0.1,
        "noise_prob": 0.4,
    }
    assert compose(["model=mockingjay_small", "objective=apc", "objective.ahead=5"]).objective["n_future"] == 5


WORDS = {
    "dataset=folder dataset.protocol=speakers dataset.test_speakers=[18]": "by_speaker",
    "dataset=folder dataset.protocol=given dataset.shared_speakers=true": "official",
    "dataset=folder dataset.protocol=recordings": "by_recording",
    "dataset=folder dataset.protocol=recordings target=speaker": "within_speakers",
    "dataset=folder dataset.train_pct=60 dataset.dev_pct=20 dataset.test_pct=20": "auto",
    "dataset=frames dataset.protocol=all_test": "all_test",
    "dataset=fsdd dataset.protocol=leave_one_speaker_out dataset.fold=3": "leave_one_speaker_out",
    "dataset=fsdd dataset.protocol=official": "official",
    "dataset=kws dataset.use_default_split=true": "official",
    "dataset=kws dataset.use_default_split=false": "auto",
    "dataset=kws dataset.group_speakers_by_id=false": "by_recording",
    "dataset=speechocean762 target=speaker": "auto",
    "dataset=speechocean762 target=speaker dataset.protocol=fixed": "within_speakers",
    "dataset=speechocean762 dataset.target=text dataset.fold=2": "folds",
    "dataset=speechocean762 dataset.target=text dataset.protocol=folds dataset.n_folds=4 dataset.fold=3": "folds",
    "dataset=timit target=phone dataset.protocol=complete": "official",
    "dataset=mix model=mockingjay_small dataset.validation_pct=20": "unlabelled",
}


@pytest.mark.parametrize("words", WORDS)
def test_corpora_may_still_be_divided_by_their_own_keys(words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PHONAUT_DATA", "nowhere")
    config = compose([*words.split(), *(["features=frames"] if "frames" in words else [])])
    assert config.choices["protocol"] == WORDS[words]
    for word in words.split():
        key, _, value = word.partition("=")
        if key.endswith(("fold", "n_folds", "_pct")):
            assert str(config.protocol[key.partition(".")[2]]) == value
    if "complete" in words:
        assert config.dataset["test_set"] == "complete"


@pytest.mark.parametrize(
    ("dataset", "target", "protocol"),
    [
        ({"_target_": "phonaut.corpora.FSDD", "protocol": "leave_one_speaker_out", "fold": 3}, "keyword",
         {"_target_": "phonaut.corpora.protocols.LeaveOneSpeakerOut", "fold": 3}),
        ({"_target_": "phonaut.corpora.FSDD", "protocol": "official", "fold": 0}, "keyword",
         {"_target_": "phonaut.corpora.protocols.Official"}),
        ({"_target_": "phonaut.corpora.FolderCorpus", "protocol": "auto", "train_pct": 80, "dev_pct": 10,
          "test_pct": 10, "test_speakers": [18], "validation_speakers": [], "shared_speakers": False}, "keyword",
         {"_target_": "phonaut.corpora.protocols.Auto", "test_speakers": [18], "validation_speakers": [],
          "shared_speakers": False}),
        ({"_target_": "phonaut.corpora.KeywordCorpus", "use_default_split": False, "group_speakers_by_id": False,
          "train_pct": 70, "dev_pct": 20, "test_pct": 10}, "keyword",
         {"_target_": "phonaut.corpora.protocols.ByRecording", "train_pct": 70, "dev_pct": 20, "test_pct": 10,
          "balance": False}),
        ({"_target_": "phonaut.corpora.Speechocean762", "protocol": "folds", "n_folds": 5, "fold": 1}, "speaker",
         {"_target_": "phonaut.corpora.protocols.Auto"}),
        ({"_target_": "phonaut.corpora.Speechocean762", "protocol": "folds", "n_folds": 5, "fold": 1}, "phone",
         {"_target_": "phonaut.corpora.protocols.Folds", "n_folds": 5, "fold": 1}),
        ({"_target_": "phonaut.corpora.TIMIT", "protocol": "complete"}, "phone",
         {"_target_": "phonaut.corpora.protocols.Official"}),
        ({"_target_": "phonaut.corpora.SyntheticCorpus", "seed": 0}, "keyword",
         {"_target_": "phonaut.corpora.protocols.Official"}),
        ({"_target_": "phonaut.corpora.frames.FrameCorpus", "protocol": "given"}, "keyword",
         {"_target_": "phonaut.corpora.protocols.Official"}),
    ],
)  # fmt: skip
def test_a_stored_corpus_that_divided_itself_gets_the_protocol_that_does_so(
    dataset: dict[str, Any], target: str, protocol: dict[str, Any]
) -> None:
    config = current({"dataset": dataset, "target": target, "choices": {"dataset": "x"}})
    assert config["protocol"] == protocol
    assert instantiate(config["protocol"]).name == config["choices"]["protocol"]
    assert not config["dataset"].keys() & {"protocol", "fold", "n_folds", "train_pct", "use_default_split", "corpora"}
    assert config["dataset"].get("test_set") == ("complete" if "TIMIT" in dataset["_target_"] else None)
    assert current(config) == config


def test_a_stored_mix_is_read_with_its_parts() -> None:
    part = {"_target_": "phonaut.corpora.Speechocean762", "target": "speaker", "protocol": "folds", "fold": 0}
    parts = [{"_target_": "phonaut.corpora.Part", "name": "a", "weight": 1.0, "corpus": part}]
    mix = {"_target_": "phonaut.corpora.Mix", "validation_pct": 20.0, "leave_out_speakers": [], "corpora": parts}
    config = current({"dataset": mix, "target": "none"})
    assert config["protocol"] == {"_target_": "phonaut.corpora.protocols.Unlabelled", "validation_pct": 20.0}
    assert config["dataset"]["corpora"][0]["corpus"] == {key: part[key] for key in ("_target_", "target")}
    assert "validation_pct" not in config["dataset"]


def test_keys_of_somebody_elses_corpus_stay_as_they_are() -> None:
    dataset = {"_target_": "toy.Corpus", "fold": 2, "protocol": "mine"}
    assert current({"dataset": dataset, "target": "keyword"})["dataset"] == dataset
    words = ["dataset=toy", "dataset.fold=2", "dataset.protocol=mine"]
    assert current_overrides(words) == words
