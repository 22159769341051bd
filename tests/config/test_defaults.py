"""What a key is by default is found without a look at all the others."""

from phonaut.config.compose import UNKNOWN, default_of, flat_config, hydra_compose


def test_the_default_of_a_key_is_that_of_the_flat_configuration_and_a_group_has_none() -> None:
    config = hydra_compose(("model=gmmhmm", "~scheduler"))
    flat = flat_config(config)
    assert {key: default_of(config, key) for key in flat} == flat
    groups = {key.rpartition(".")[0] for key in flat if "." in key}
    others = ["bogus", "model.bogus", "seed.bogus", "bogus.bogus", ""]
    assert [key for key in (*groups, *others) if default_of(config, key) is not UNKNOWN] == []
