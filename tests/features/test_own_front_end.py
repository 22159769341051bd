"""A front end of one's own is one class and one configuration file: options, checks and framing are inherited."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pytest
import torch
from hydra.utils import instantiate
from torch import Tensor

from phonaut.config.compose import compose, draft
from phonaut.config.plugins import add_config_dir
from phonaut.features import FrontEnd
from phonaut.features.options import FrontEndOptions


@dataclass(frozen=True, kw_only=True)
class EnergyOptions(FrontEndOptions):
    """Options of `Energy`."""

    floor: float = 1e-6

    def _wrong_combinations(self) -> list[str]:
        problems = super()._wrong_combinations()
        return [*problems, f"floor={self.floor:g}: must be > 0"] if self.floor <= 0 else problems


class Energy(FrontEnd):
    """Log energy of each window."""

    Options: ClassVar[type[FrontEndOptions]] = EnergyOptions
    options: EnergyOptions

    def __init__(self, **options: object) -> None:
        super().__init__(**options)
        self.n_features = 1 + self.options.deltas

    def analyze(self, frames: Tensor) -> Tensor:
        return frames.square().mean(dim=-1, keepdim=True).clamp(min=self.options.floor).log()


@pytest.fixture
def configured(tmp_path: Path) -> None:
    (tmp_path / "conf" / "features").mkdir(parents=True)
    lines = (f"_target_: {__name__}.Energy", "sample_rate: 16000", "win_length: 400", "floor: 1e-4", "deltas: 0")
    (tmp_path / "conf" / "features" / "energy.yaml").write_text("\n".join(lines))
    add_config_dir(tmp_path / "conf")


@pytest.mark.usefixtures("configured")
def test_it_is_chosen_by_name_and_gives_frames() -> None:
    config = compose(["features=energy", "features.deltas=1", "model=gru"])
    front_end = instantiate(config.features)
    assert isinstance(front_end, Energy)
    audio = torch.cat([torch.full((1, 8000), 0.1), torch.full((1, 8000), 0.5)], dim=1)
    frames, lengths = front_end(audio, torch.tensor([16000]))
    assert frames.shape == (1, 101, 2) == (1, int(lengths[0]), front_end.n_features)
    torch.testing.assert_close(frames[0, [20, 80], 0].exp(), torch.tensor([0.01, 0.25]))
    assert float(frames[0, 48:53, 1].max()) > 0.5, "the deltas of the base class see the step"


@pytest.mark.usefixtures("configured")
@pytest.mark.parametrize(
    ("word", "problem"), [("floor=0.0", "floor=0: must be > 0"), ("win_length=0", "win_length=0: must be >= 1")]
)
def test_its_rules_stand_in_its_class_alone_and_are_checked_before_a_run(word: str, problem: str) -> None:
    _, problems = draft(["features=energy", f"features.{word}"])
    assert [one for one in problems if problem in one]
    key, _, value = word.partition("=")
    options = {key: type(getattr(EnergyOptions(), key))(float(value))}
    with pytest.raises(ValueError, match=f"Energy: {problem}"):
        Energy(**options)
