"""Names of earlier versions still work."""

import pytest

from phonaut.config.aliases import KEYS, current, current_override
from phonaut.config.compose import compose


@pytest.mark.parametrize(("model", "value"), [("lstm", "recording"), ("dnnhmm", "recording"), ("probe", "segment")])
def test_a_key_of_before_may_still_be_typed(model: str, value: str) -> None:
    assert compose([f"model={model}", f"model.over={value}"]).model.scope == value


@pytest.mark.parametrize("old", KEYS)
def test_a_stored_key_of_before_is_read_under_todays_name(old: str) -> None:
    group, key = old.split(".")
    new = KEYS[old].split(".")[1]
    assert current({group: {key: 1, "other": 2}, key: 3}) == {group: {new: 1, "other": 2}, key: 3}
    assert current_override(f"+{old}=a=b") == f"+{KEYS[old]}=a=b"
