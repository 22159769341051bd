"""speechocean762: genders of speakers by its Kaldi directory, as far as they are written there."""

from __future__ import annotations

from pathlib import Path

from phonaut.corpora import Speechocean762


def test_genders_are_those_of_spk2gender_and_what_is_none_is_left_out(tmp_path: Path) -> None:
    for split, speakers in (("train", {"0001": "m", "0006": "f", "0007": "?"}), ("test", {"0003": "f"})):
        folder = tmp_path / split
        folder.mkdir()
        (folder / "wav.scp").write_text("".join(f"{name}0\tWAVE/{name}.WAV\n" for name in speakers))
        (folder / "spk2gender").write_text("".join(f"{name}\t{gender}\n" for name, gender in speakers.items()))
    assert Speechocean762(data_folder=tmp_path, target="speaker").genders() == {"0001": "m", "0006": "f", "0003": "f"}
    (tmp_path / "test" / "spk2gender").unlink()
    assert "0003" not in Speechocean762(data_folder=tmp_path, target="speaker").genders()
