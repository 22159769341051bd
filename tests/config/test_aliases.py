"""Names of earlier versions still work."""

import pytest

from phonaut.config.aliases import CHOICES, KEYS, TARGETS, current, current_override
from phonaut.config.compose import compose
from phonaut.config.plugins import load_target


@pytest.mark.parametrize(("model", "value"), [("lstm", "recording"), ("dnnhmm", "recording"), ("probe", "segment")])
def test_a_key_of_before_may_still_be_typed(model: str, value: str) -> None:
    assert compose([f"model={model}", f"model.over={value}"]).model.scope == value


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
