"""Recipes choose what nobody else has chosen, compose for every target and model, and can be left out."""

import re
from pathlib import Path

import pytest

from phonaut.config.compose import ConfigurationError, compose, draft
from phonaut.config.plugins import CONF
from phonaut.config.recipes import _recipes, default_choices, recipes

MFCC = {"n_mfcc": 13, "deltas": 2}
LOOPS = {"em": "gmm", "hybrid": "dnnhmm", "speech_classifier": "tc-res8", "speaker_embedding": "ecapa",
         "stages": "gmm_ubm"}  # fmt: skip
CLASSIFIERS = ("tc-res8", "gru", "lstm", "rnn", "gmm", "gmmhmm", "genhmm", "lathmm", "gshmm", "flow", "dnnhmm", "dtw")


def features_of(*words: str) -> dict[str, object]:
    features = compose(words).features
    return {key: features.get(key) for key in MFCC}


@pytest.mark.parametrize("name", recipes())
def test_every_recipe_is_one_of_a_target_with_a_model_or_a_loop(name: str) -> None:
    target, _, rest = name.partition("-")
    assert target in ("keyword", "phone", "speaker", "verification", "generation")
    words = [f"task={target}" if target in ("verification", "generation") else f"target={target}", f"recipe={name}"]
    if rest:
        words.append(f"model={rest}" if rest in (*CLASSIFIERS, "redimnet", "prototypes") else f"model={LOOPS[rest]}")
    elif target in ("verification", "generation"):
        words.append("model=gmm_ubm" if target == "verification" else "model=cvae")
    config, problems = draft(words)
    assert [problem for problem in problems if "type encoder.run=RUN" not in problem] == []
    assert config.recipe == name


@pytest.mark.parametrize("target", ["keyword", "phone"])
@pytest.mark.parametrize("model", CLASSIFIERS)
def test_every_classifier_has_a_recipe_that_normalises_each_recording(target: str, model: str) -> None:
    config = compose([f"target={target}", f"model={model}"])
    assert config.recipe.startswith(f"{target}-")
    assert config.normalizer is not None
    bare = compose([f"target={target}", f"model={model}", "recipe=none"])
    assert (bare.recipe, bare.normalizer, bare.features["deltas"]) == ("none", None, 0)


def test_what_is_typed_wins_over_the_recipe_and_leaves_the_rest_of_it() -> None:
    assert features_of("target=phone", "model=gmmhmm") == MFCC
    assert features_of("target=phone", "model=gmmhmm", "features.n_mfcc=20") == {"n_mfcc": 20, "deltas": 2}
    assert features_of("target=phone", "model=gmmhmm", "features=mfcc") == {"n_mfcc": 40, "deltas": 0}, "as its file"
    typed = compose(["target=phone", "model=gmmhmm", "features=mel", "model.n_mix=2"])
    assert (typed.choices["features"], typed.model["n_mix"], typed.model["n_states"]) == ("mel", 2, 3)
    assert typed.normalizer is not None
    assert compose(["normalizer=null"]).normalizer is None
    assert compose(["checkpoint=best"]).checkpoint["monitor"] == "validation/loss"
    assert compose(["trainer.max_epochs=7"]).trainer["max_epochs"] == 7


@pytest.mark.parametrize("corpus", ["fsdd", "synthetic"])
def test_densities_of_words_hear_no_zeros_around_a_recording_unless_silence_is_a_class(corpus: str) -> None:
    assert compose(["model=gmmhmm", f"dataset={corpus}"]).dataset["clip_s"] is None
    assert compose(["model=gmmhmm", f"dataset={corpus}", "dataset.clip_s=0.5"]).dataset["clip_s"] == 0.5
    assert compose(["model=tc-res8", f"dataset={corpus}"]).dataset["clip_s"] == 1.0
    assert compose(["model=gmmhmm", f"dataset={corpus}", "recipe=none"]).dataset["clip_s"] == 1.0
    snips = ["model=gmmhmm", "dataset=snips", "dataset.noise_dataset=[tau]"]
    assert draft(snips)[0].dataset["clip_s"] == 2.0


def test_what_the_model_has_chosen_stays() -> None:
    pretraining, _ = draft(["model=mockingjay_small"])
    assert (pretraining.choices["features"], pretraining.recipe) == ("mel", "none")


def test_nothing_that_needs_the_whole_recording_is_chosen_for_streaming() -> None:
    config = compose(["streaming=true"])
    assert config.normalizer == {"_target_": "phonaut.features.BatchNormalizer"}
    assert config.features["deltas"] == 2
    assert compose(["streaming=true", "normalizer=null"]).normalizer is None
    assert compose(["features.framing=causal", "features.top_db=null", "model=gmm"]).normalizer is None, (
        "densities learn no normaliser"
    )
    assert compose(["streaming=true", "model=gru", "target=phone"]).model["bidirectional"] is False


def test_an_unknown_recipe_is_refused_with_those_there_are() -> None:
    with pytest.raises(ConfigurationError, match=r"recipe=phones is not a choice.*phone-gmmhmm"):
        compose(["recipe=phones"])


def test_recipes_choose_only_in_groups_that_have_a_default() -> None:
    groups = {word.split("=")[0].split(".")[0] for words in recipes().values() for word in words}
    assert groups <= {*default_choices(), "context_s", "batch_size"}
    assert not groups & {"task", "module"}
    of_corpora = {word for words in recipes().values() for word in words if word.startswith("dataset")}
    assert of_corpora == {"dataset.clip_s=null"}, "no corpus is chosen"
    with_protocol = {name for name, words in recipes().items() if any(word.startswith("protocol=") for word in words)}
    assert with_protocol == {name for name in recipes() if name.startswith("verification")}, "they need trials"


def test_what_recipes_choose_is_whole_in_its_own_file() -> None:
    chosen = {word for words in recipes().values() for word in words if "." not in word.split("=")[0]} - {
        "context_s=0.05",
        "batch_size=32",
        "batch_size=64",
    }
    for word in chosen:
        group, name = word.split("=")
        below = re.findall(r"^ *- (.*)", (CONF / group / f"{name}.yaml").read_text(), flags=re.MULTILINE)
        assert all(re.fullmatch(r"[\w-]+", one) for one in below), f"{word} chooses in its own group alone"


def test_a_recipe_builds_on_another_and_says_which_is_not_there(tmp_path: Path) -> None:
    def read(folder: str, **texts: str) -> dict[str, list[str]]:
        (tmp_path / folder / "recipes").mkdir(parents=True)
        for name, text in texts.items():
            (tmp_path / folder / "recipes" / f"{name}.yaml").write_text(text)
        return _recipes((tmp_path / folder,))

    found = read("good", a="[a=1, recipe=b, d=4]", b="[recipe=c, c=3]", c="[b=2]")
    assert found == {"a": ["a=1", "b=2", "c=3", "d=4"], "b": ["b=2", "c=3"], "c": ["b=2"]}
    with pytest.raises(ValueError, match=r"recipe=bass is no other recipe; did you mean base\?"):
        read("far", base="[a=1]", user="[recipe=bass]")
    with pytest.raises(ValueError, match="recipe=a is no other recipe"):
        read("round", a="[recipe=b]", b="[recipe=a]")
