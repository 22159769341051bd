"""`phonaut align` on ten utterances of real speech, and on a corpus that has no lexicon."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import soundfile
from lhotse import SupervisionSet
from lhotse.kaldi import load_kaldi_data_dir

from helpers.words_of_tones import Tones, write_lexicon
from phonaut.alignment import phone_hmm, pocket
from phonaut.alignment.phone_hmm import TrainingConfig
from phonaut.cli import main
from phonaut.corpora.phone_alignments import Alignment


def ten_utterances(folder: Path, real: Path) -> Path:
    """A corpus of some utterances of three speakers, beside links to the recordings."""
    (folder / "train").mkdir(parents=True)
    said: dict[str, list[str]] = {}
    for line in (real / "train" / "utt2spk").read_text().splitlines():
        utterance, speaker = line.split()
        said.setdefault(speaker, []).append(utterance)
    chosen = {name for names, n in zip(said.values(), (4, 3, 3), strict=False) for name in names[:n]}
    for name in ("wav.scp", "text", "utt2spk"):
        table = (real / "train" / name).read_text().splitlines()
        kept = [line for line in table if line.split()[0] in chosen]
        (folder / "train" / name).write_text("\n".join(kept) + "\n")
    for name in ("WAVE", "resource"):
        (folder / name).symlink_to(real / name)
    return folder


@pytest.mark.corpus
@pytest.mark.slow
def test_ten_utterances_of_real_speech_are_aligned_by_both_and_train_phones(
    real_speech: Callable[[str], Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    if pocket.missing():
        pytest.skip("the extra 'align' (pocketsphinx) is not installed")
    monkeypatch.chdir(tmp_path)
    folder = ten_utterances(tmp_path / "speech", real_speech("speechocean762"))
    words = ["align", "dataset=speechocean762", f"dataset.data_folder={folder}", "n_jobs=1"]
    assert main(words) == 0
    out, told = capsys.readouterr()
    assert "pocketsphinx: 10 of 10 utterances aligned" in out
    assert "hmm: 10 of 10 utterances aligned" in out
    assert "pocketsphinx - hmm" in out
    assert "log-likelihood" in told
    made = tmp_path / "alignments" / "speechocean762"
    both = [Alignment(made / f"{name}.ctm") for name in ("pocketsphinx", "hmm")]
    for name in both[0]:
        for one in both:
            phones = one.phones(name)
            assert phones[0].start_s == 0
            gaps = [b.start_s - a.end_s for a, b in pairwise(phones)]
            np.testing.assert_allclose(gaps, 0, atol=2e-4)
        assert one.phones(name)[-1].end_s == pytest.approx(both[0].phones(name)[-1].end_s, abs=2e-4)
    figures = json.loads((made / "align.json").read_text())
    assert figures["differences"][0]["median_ms"]["value"] < 30
    assert len(list((made / "textgrid").rglob("*.TextGrid"))) == 10
    assert main(words) == 0
    assert "done already, with the same settings" in capsys.readouterr().out
    settings = ["dataset.min_phone_count=1", "protocol.n_folds=3", f"dataset.alignment={made / 'hmm.ctm'}"]
    assert main(["prepare", "target=phone", *words[1:3], *settings]) == 0
    assert "0 refused" in capsys.readouterr().out


def test_a_kaldi_directory_with_splits_of_its_own_is_aligned_whole_and_lhotse_finds_its_phones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PHONAUT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(phone_hmm, "TrainingConfig", partial(TrainingConfig, n_flat=2, n_iter=1, n_splits=0))
    spoken = Tones(tmp_path / "tones", 9).list
    for part, of_part in zip(("train", "dev", "test"), (spoken[:3], spoken[3:6], spoken[6:]), strict=True):
        (tmp_path / "data" / part).mkdir(parents=True)
        lines = {
            "wav.scp": [f"{u.path.stem} {u.path}" for u in of_part],
            "text": [f"{u.path.stem} {u.text}" for u in of_part],
            "utt2spk": [f"{u.path.stem} {part}" for u in of_part],
            "reco2file_and_channel": [f"{u.path.stem} {u.path.stem} B" for u in of_part[:1]],
        }
        sound, rate = soundfile.read(of_part[0].path)
        soundfile.write(of_part[0].path, np.stack([0 * sound, sound], axis=1), rate)
        for name, content in lines.items():
            (tmp_path / "data" / part / name).write_text("\n".join(content) + "\n")
    write_lexicon(tmp_path / "lexicon.txt")
    assert main(["align", "dataset=folder", "dataset.data_folder=data", "aligner=hmm", "lexicon=lexicon.txt"]) == 0
    assert "hmm: 9 of 9 utterances aligned" in capsys.readouterr().out
    ours = Alignment(tmp_path / "alignments" / "folder" / "hmm.ctm")
    assert sorted(ours) == sorted(u.path.stem for u in spoken)
    written = SupervisionSet.from_jsonl(ours.path.with_name("hmm.jsonl.gz"))
    assert [one.channel for one in written] == [1, 0, 0] * 3
    _, supervisions, _ = load_kaldi_data_dir(tmp_path / "data" / "dev", sampling_rate=16000)
    found = supervisions.with_alignment_from_ctm(ours.path, type="phone")
    for one in found:
        labels = [phone.label for phone in ours.phones(one.recording_id)]
        assert [item.symbol for item in one.alignment["phone"]] == labels


def test_an_option_that_does_not_exist_is_a_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["align", "dataset=synthetic", "alinger=hmm"]) == 2
    assert "align takes aligner=, lexicon=, n_jobs=, output=; it got alinger; did you mean aligner?" in (
        capsys.readouterr().err
    )
    assert main(["align", "n_jobs=two"]) == 2
    assert "n_jobs must be a whole number >= 1, got two" in capsys.readouterr().err
