"""Estimators whose states emit through normalising flows, trained by generalised EM."""

from phonaut.hmm.emissions.flow import GenEmissions, GSEmissions, LatEmissions
from phonaut.hmm.estimators import Estimator


class GenHMM(Estimator):
    """Every component of every state has a generator of its own: `GenEmissions`."""

    emissions_class = GenEmissions


class LatHMM(Estimator):
    """A generator for each state, and a mixture in its latent: `LatEmissions`."""

    emissions_class = LatEmissions


class GSHMM(Estimator):
    """One generator for all states, and a mixture for each in its latent: `GSEmissions`."""

    emissions_class = GSEmissions
