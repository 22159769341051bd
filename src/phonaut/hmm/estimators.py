"""Estimators in hmmlearn's terms: a hidden Markov model whose settings are those of its emissions and of its chain."""

from __future__ import annotations

import inspect
from typing import Any, ClassVar

from phonaut.hmm.base import HMM
from phonaut.hmm.emissions.base import Emissions
from phonaut.hmm.emissions.gaussian import GaussianEmissions
from phonaut.hmm.emissions.mixture import MixtureEmissions


class Estimator(HMM):
    """A model whose settings and parameters are all attributes, as hmmlearn and scikit-learn have them.

    Arguments are `n_components`, then those of the emissions, then those of `HMM`, by name. Attributes of the emissions
    are attributes of the estimator.
    """

    emissions_class: ClassVar[type[Emissions]]
    _of_emissions: ClassVar[frozenset[str]]

    def __init_subclass__(cls) -> None:
        """Compose the signature, so that what is said of an argument stands once."""
        emissions = list(inspect.signature(cls.emissions_class.__init__).parameters.values())[2:]
        chain = list(inspect.signature(HMM.__init__).parameters.values())[2:]
        n_components = inspect.Parameter("n_components", inspect.Parameter.POSITIONAL_OR_KEYWORD, default=1)
        cls.__signature__ = inspect.Signature([n_components, *emissions, *chain])  # type: ignore[attr-defined]
        arrays = [*cls.emissions_class.letters.values(), *cls.emissions_class.constants]
        public = [name.removeprefix("_") for name in arrays]
        cls._of_emissions = frozenset([*(p.name for p in emissions), *arrays, *public, "n_features"])

    def __init__(self, n_components: int = 1, *settings: Any, **named: Any) -> None:
        given = inspect.signature(type(self)).bind(n_components, *settings, **named).arguments
        n_states = given.pop("n_components")
        of_emissions = {name: given.pop(name) for name in list(given) if name in self._of_emissions}
        super().__init__(self.emissions_class(n_states, **of_emissions), **given)

    # hmmlearn's names
    _check, _init = HMM.check, HMM.initialize

    def __getattr__(self, name: str) -> Any:
        """An attribute of the emissions."""
        if name.startswith("__") or "emissions" not in self.__dict__:
            raise AttributeError(name)
        return getattr(self.emissions, name)

    def __setattr__(self, name: str, value: Any) -> None:
        """Set an attribute of the emissions, if it is one of theirs."""
        if name in self._of_emissions:
            setattr(self.emissions, name, value)
        else:
            super().__setattr__(name, value)


class GaussianHMM(Estimator):
    """Each state emits a Gaussian: `GaussianEmissions` says what the settings are, `HMM` those of the chain.

    The names are hmmlearn's, so that a program changes its import only.
    """

    emissions_class = GaussianEmissions


class GMMHMM(Estimator):
    """Each state emits a Gaussian mixture: `MixtureEmissions` says what the settings are, `HMM` those of the chain.

    The names are hmmlearn's, so that a program changes its import only. What differs: the M-step is exact, and by
    default a prior worth one frame, with a thousandth of the variance of the data, keeps variances from vanishing.
    """

    emissions_class = MixtureEmissions
