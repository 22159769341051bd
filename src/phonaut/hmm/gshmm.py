"""GSHMM: one generator for all states."""

from phonaut.hmm.flows import FlowHMM


class GSHMM(FlowHMM):
    """All states emit through one generator; what tells them apart is the mixture in its latent.

    `p(x | s) = sum_k w_sk N(f(x); mu_sk, diag sigma_sk^2) |d f / dx|`. `docs/generalised_em.md` derives its training.
    Settings and attributes are those of `FlowHMM`.
    """

    @property
    def n_flows(self) -> int:
        """1."""
        return 1
