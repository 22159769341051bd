"""The page: whole, self-contained, safe with any text, accessible, and true to the run."""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from phonaut.reports import write_report
from phonaut.reports.html import TEMPLATES
from phonaut.runs import Predictions

MakeRun = Callable[..., Path]
VOID = {"meta", "link", "img", "br", "path", "circle", "rect"}


class Page(HTMLParser):
    """Elements and text of a page."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.html = path.read_text(encoding="utf-8")
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.parts: list[str] = []
        self.feed(self.html)
        self.text = " ".join("".join(self.parts).split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, f"</{tag}> closes nothing"

    def handle_data(self, data: str) -> None:
        if not self.open or self.open[-1] not in ("script", "style"):
            self.parts.append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def edit(run: Path, name: str, change: Callable[[Any], Any]) -> None:
    (run / name).write_text(json.dumps(change(json.loads((run / name).read_text()))))


def test_the_headline_has_figure_interval_n_and_protocol(make_run: MakeRun) -> None:
    run = make_run(20)
    page = Page(write_report(run))
    rate = json.loads((run / "metrics.json").read_text())["test"]["accuracy"]
    assert f"{100 * rate['value']:.1f} %" in page.text
    assert f"95 % interval {100 * rate['low']:.1f} to {100 * rate['high']:.1f} %" in page.text
    assert "112 of 132 clips right, 3 speakers" in page.text
    assert "Wilson's interval over clips: wider than the bootstrap over the 3 speakers" in page.text
    assert "Protocol by speaker: the three test speakers are in no other split" in page.text


def test_all_that_was_promised_is_there(make_run: MakeRun) -> None:
    page = Page(write_report(make_run(20)))
    for wanted in (
        "phonaut train dataset=folder 'dataset.data_folder=recordings (new), 2' seed=3",  # to repeat it
        "python 3.11.7, phonaut 0.1.0, torch 2.13.0+cpu",
        "AMD EPYC 7B13, 2 cores",
        "_target_: phonaut.features.MFCC",  # configuration
        "65,204",
        "1.56 M",
        "25.2 KiB",
        "30 epochs in 2 min 3 s",
        "Kept: epoch 24",
        "120 recordings",  # refused
        "clips/bad 0.wav",
        "truncated: 8000 of 32044 bytes are there",
        "validation",
    ):
        assert wanted in page.text, wanted
    assert len(page.all("audio")) == 12
    assert len([svg for svg in page.all("svg") if svg.get("role") == "img"]) == 3


def test_words_of_users_are_text_and_nothing_else(make_run: MakeRun) -> None:
    run = make_run(20)
    evil = "</code><img src=x onerror=alert(1)><script>alert(2)</script>"
    edit(run, "environment.json", lambda e: {**e, "command": evil})
    edit(run, "corpus.json", lambda c: {**c, "notes": [evil, evil]})
    edit(run, "refused.json", lambda _: [{"path": evil, "reason": evil}])
    page = Page(write_report(run))
    assert len(page.all("script")) == 1
    assert "<script>document.title='run'</script>" in page.text  # a word
    assert page.text.count(evil) == 5
    assert not [a for _, attributes in page.elements for a in attributes if a.startswith("on")]


def test_only_the_pages_own_script_may_run_and_nothing_may_be_fetched(make_run: MakeRun) -> None:
    page = Page(write_report(make_run(3)))
    policy = next(m["content"] for m in page.all("meta") if m.get("http-equiv") == "Content-Security-Policy")
    assert policy is not None
    assert policy.startswith("default-src 'none'")
    assert re.search(r"script-src 'sha256-[\w+/=]+';", policy)
    for tag, attributes in page.elements:
        for name in ("src", "href", "action", "data"):
            value = attributes.get(name)
            assert value is None or value.startswith(("data:", "#")), (tag, value)
    assert "url(" not in page.html
    assert "@import" not in page.html


def test_it_is_small_and_the_same_files_give_the_same_bytes(make_run: MakeRun) -> None:
    run = make_run(60)
    first = write_report(run).read_bytes()
    assert write_report(run).read_bytes() == first
    assert len(first) < 3_000_000


def test_many_classes_speakers_epochs_and_refusals_stay_small(make_run: MakeRun) -> None:
    run, n, n_classes = make_run(3), 3000, 150
    rng = np.random.default_rng(0)
    label = np.arange(n) % n_classes
    scores = rng.normal(size=(n, n_classes)).astype(np.float32)
    names = np.array([f"class {c}" for c in range(n_classes)])
    speaker = np.array([f"speaker {i % 600}" for i in range(n)])
    cut = np.array([f"{i:06d}" for i in range(n)])
    times = np.zeros(n)
    Predictions(cut, cut, speaker, label, names[label], scores, times, times + 1, names).save(
        run / "predictions" / "test.npz"
    )
    edit(run, "history.json", lambda h: [{**h[0], "epoch": e} for e in range(20_000)])
    edit(run, "refused.json", lambda r: r * 1000)
    path = write_report(run)
    assert path.stat().st_size < 1_500_000
    assert "the first 200 of 600" in Page(path).text
    assert "holds another corpus than the one that was tested" in Page(path).text


def test_every_table_is_captioned_every_picture_described_and_ids_are_unique(make_run: MakeRun) -> None:
    page = Page(write_report(make_run(20)))
    assert page.all("html")[0]["lang"] == "en"
    assert len(page.all("caption")) == len(page.all("table")) > 5
    assert all(th.get("scope") for th in page.all("th"))
    assert all(img.get("alt") for img in page.all("img"))
    assert all(svg.get("aria-label") for svg in page.all("svg"))
    assert all(audio.get("aria-label") for audio in page.all("audio"))
    scrolling = [div for div in page.all("div") if div.get("class") == "scroll"]
    assert all(div.get("tabindex") == "0" and div.get("aria-label") for div in scrolling)
    ids = [str(attributes["id"]) for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    links = [str(a["href"])[1:] for a in page.all("a")]
    assert set(links) <= set(ids)
    levels = [int(tag[1]) for tag, _ in page.elements if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1
    assert all(b - a <= 1 for a, b in pairwise(levels))


def luminance(colour: tuple[float, ...]) -> float:
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in colour]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(a: tuple[float, ...], b: tuple[float, ...]) -> float:
    high, low = sorted((luminance(a), luminance(b)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.oracle
@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
def test_text_stands_out_as_wcag_asks_for(theme: int) -> None:
    block = re.findall(r":root \{(.*?)\}", (TEMPLATES / "report.css").read_text(), re.DOTALL)[theme]
    colours = {
        name: tuple(int(value[i : i + 2], 16) / 255 for i in (0, 2, 4))
        for name, value in re.findall(r"--([\w-]+): #([0-9a-f]{6});", block)
    }
    for text in ("ink", "muted", "accent", "wrong"):
        for ground in ("paper", "soft"):
            assert contrast(colours[text], colours[ground]) >= 4.5, (text, ground)
    for heat in ("heat-right", "heat-wrong"):
        for shade in np.linspace(0, 1, 21):
            mixed = tuple(shade * h + (1 - shade) * p for h, p in zip(colours[heat], colours["paper"], strict=True))
            assert contrast(colours["ink"], mixed) >= 4.5, (heat, shade)
    assert contrast(colours["accent"], colours["band"]) >= 3  # the mark on its interval


def test_without_the_prepared_corpus_there_are_mistakes_but_no_players(make_run: MakeRun) -> None:
    run = make_run(20)
    edit(run, "corpus.json", lambda c: {**c, "folder": "/nowhere/clips-0a1b"})
    page = Page(write_report(run))
    assert not page.all("audio")
    assert "They cannot be played: /nowhere/clips-0a1b is not there any more." in page.text
    assert page.text.count("heard") == 12


def test_a_run_without_mistakes_says_so(make_run: MakeRun) -> None:
    page = Page(write_report(make_run(0)))
    assert "100.0 %" in page.text
    assert "There were no mistakes." in page.text
    assert "Wilson's interval" in page.text
    assert not page.all("audio")


def test_a_single_speaker_is_said_to_be_one(make_run: MakeRun) -> None:
    run = make_run(20)
    path = run / "predictions" / "test.npz"
    p = Predictions.load(path)
    replace(p, speaker=np.full(len(p), "jackson")).save(path)
    assert "because there is one speaker: it says nothing about other speakers" in Page(write_report(run)).text


def test_words_that_the_model_does_not_know_are_reported_apart(make_run: MakeRun) -> None:
    run = make_run(0)
    p = Predictions.load(run / "predictions" / "test.npz")
    label, word = p.label.copy(), p.label_name.astype("U20")
    label[:40], word[:30], word[30:40] = -1, "wow", "hey phonaut"
    replace(p, label=label, label_name=word).save(run / "predictions" / "my folder.npz")
    edit(
        run,
        "metrics.json",
        lambda m: {**m, "my folder": {"accuracy": {"value": 1.0, "low": 0.96, "high": 1.0, "n": 92}}},
    )
    text = Page(write_report(run)).text
    assert "Not counted in my folder: 40 clips of classes that the model does not know: wow 30, hey phonaut 10." in text


def test_nothing_to_count_is_no_accuracy(make_run: MakeRun) -> None:
    run = make_run(0)
    path = run / "predictions" / "test.npz"
    p = Predictions.load(path)
    replace(p, label=np.full(len(p), -1)).save(path)
    nothing = {"value": float("nan"), "low": 0.0, "high": 1.0, "n": 0}
    edit(run, "metrics.json", lambda m: {**m, "test": {"accuracy": nothing, "recall": nothing, "f1": nothing}})
    page = Page(write_report(run))
    assert "there is nothing to count" in page.text
    assert "nan" not in page.text.lower().replace("nan or infinite", "")


@pytest.mark.parametrize(
    "gone", ["predictions/test.npz", "history.json", "environment.json", "corpus.json", "refused.json"]
)
def test_a_file_that_has_gone_costs_its_part_of_the_page_only(make_run: MakeRun, gone: str) -> None:
    run = make_run(20)
    (run / gone).unlink()
    page = Page(write_report(run))
    assert "84.8 %" in page.text
    assert ("predictions of this run are not there any more" in page.text) == ("predictions" in gone)


def test_conditions_have_lines_of_their_own(make_run: MakeRun) -> None:
    run = make_run(3)
    noisy = {"value": 0.81, "low": 0.7, "high": 0.9, "n": 12}
    edit(run, "metrics.json", lambda m: {**m, "test": {**m["test"], "accuracy/noise_10_db": noisy}})
    assert "test noise 10 db 81.0 % 70.0 to 90.0 %" in Page(write_report(run)).text


def test_names_that_are_no_unicode_are_shown_as_far_as_they_go(make_run: MakeRun) -> None:
    run = make_run(3)
    edit(run, "refused.json", lambda _: [{"path": "bad \udcff.wav", "reason": "the name is not UTF-8"}])
    assert r"bad \udcff.wav" in Page(write_report(run)).text


def test_an_unfinished_run_is_refused_with_the_command_that_finishes_it(make_run: MakeRun) -> None:
    run = make_run(3)
    (run / "metrics.json").unlink()
    with pytest.raises(ValueError, match=r"no figures to report yet; finish it with: phonaut train"):
        write_report(run)


def test_a_report_that_cannot_be_written_leaves_the_one_that_was_there(
    make_run: MakeRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make_run(3)
    before = write_report(run).read_bytes()
    monkeypatch.setattr("os.replace", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        write_report(run)
    assert (run / "report.html").read_bytes() == before
    assert not list(run.glob(".report*"))


def test_new_recordings_have_a_page_of_their_own_with_players_speakers_and_what_is_rejected(make_run: MakeRun) -> None:
    run = make_run(20)
    p = Predictions.load(run / "predictions" / "test.npz")
    p.save(run / "predictions" / "new ones.npz")
    metrics = json.loads((run / "metrics.json").read_text())
    edit(run, "metrics.json", lambda m: {**m, "test": m["validation"], "new ones": metrics["test"]})
    Predictions.load(run / "predictions" / "validation.npz").save(run / "predictions" / "test.npz")
    corpus = json.loads((run / "corpus.json").read_text())["folder"]
    refused = [{"path": "b.wav", "reason": "no samples"}]
    about = {"refused": refused, "prepared": corpus, "n_speakers": 3, "trained_speakers": ["jackson"]}
    (run / "folders.json").write_text(json.dumps({"new ones": about}))
    edit(run, "corpus.json", lambda c: {**c, "folder": "gone"})
    counts = {name: {"n": 10, "rejected": 1} for name in ("words", "others", "right", "wrong")}
    chosen = {"threshold": 0.7, "rule": "others", "of": "validation", **counts}
    edit(run, "model.json", lambda m: {**m, "rejection": chosen})
    path = write_report(run, "new ones")
    assert path.name == "report.new ones.html"
    page = Page(path)
    assert "112 of 132 clips right, 3 speakers" in page.text
    assert "tc-res8 on new ones" in page.text
    assert "all of them tested" in page.text
    assert "12 of 20 mistakes" in page.text
    assert len(page.all("audio")) == 12
    assert {attributes.get("id") for attributes in page.all("section")} >= {"speakers", "confusions", "rejection"}
    assert "training" not in {attributes.get("id") for attributes in page.all("section")}, "that is of the run"
    assert "Refused in new ones: 1 recording" in page.text
    targets = {link["href"] for link in page.all("a") if str(link["href"]).startswith("#")}
    assert targets <= {f"#{attributes['id']}" for _, attributes in page.elements if attributes.get("id")}
    word = np.array([name not in ("_unknown_",) for name in p.label_name])
    posterior = p.probabilities().max(axis=1)
    rejected = (p.predicted == p.classes.tolist().index("_unknown_")) | (posterior < 0.7)
    share = 100 * rejected[word].mean()
    assert f"{share:.1f} % of {word.sum()} words are rejected" in page.text
    assert "ROC curve" in page.html
    report = Page(write_report(run))
    assert [link["href"] for link in report.all("a") if "new" in str(link["href"])] == ["report.new%20ones.html"]
    with pytest.raises(ValueError, match="has no evaluation 'other'"):
        write_report(run, "other")
