"""Files that are read again and again are parsed once, and nobody notices."""

from pathlib import Path

import pytest

from phonaut.config.yaml_files import MOST_KEPT, read_yaml


@pytest.mark.parametrize("size", [0, MOST_KEPT], ids=["kept", "too large to be kept"])
def test_what_is_done_to_the_content_of_a_file_and_to_the_file_shows_as_if_nothing_were_kept(
    size: int, tmp_path: Path
) -> None:
    path, other = tmp_path / "a.yaml", tmp_path / "b.yaml"
    for file in (path, other):
        file.write_text(f"words: [low, high]\nsizes: {{a: 1e3}}\n#{'x' * size}\n")
    content = read_yaml(path)
    content["words"].append("up")
    content["sizes"].clear()
    assert read_yaml(path) == read_yaml(other) == {"words": ["low", "high"], "sizes": {"a": 1000.0}}
    path.write_text("words: [")
    for _ in range(2):
        with pytest.raises(ValueError, match=r"a\.yaml is damaged"):
            read_yaml(path)
    path.write_text("words: []")
    assert read_yaml(path) == {"words": []}
