"""Arrays in, matplotlib figures out; TensorBoard and reports show the same ones."""

from phonaut.files import keep_files_of

keep_files_of("matplotlib", "MPLCONFIGDIR")  # before it is imported

from phonaut.plots.directions import cosine_matrix  # noqa: E402
from phonaut.plots.encoder import attention_maps, coarse, hidden_layers, layer_weights  # noqa: E402
from phonaut.plots.figures import confusion_matrix, png, row_fractions, spectrogram, spectrograms  # noqa: E402
from phonaut.plots.histories import Curve, histories  # noqa: E402
from phonaut.plots.hmm import (  # noqa: E402
    plot_convergence,
    plot_durations,
    plot_posteriors,
    plot_states,
    plot_transitions,
)
from phonaut.plots.noise import against_snr  # noqa: E402
from phonaut.plots.trade_off import Point, trade_off  # noqa: E402
from phonaut.plots.verification import det_curves, score_histograms  # noqa: E402
from phonaut.plots.windows import code_map, window_grid  # noqa: E402

__all__ = [
    "Curve",
    "Point",
    "against_snr",
    "attention_maps",
    "coarse",
    "code_map",
    "confusion_matrix",
    "cosine_matrix",
    "det_curves",
    "hidden_layers",
    "histories",
    "layer_weights",
    "plot_convergence",
    "plot_durations",
    "plot_posteriors",
    "plot_states",
    "plot_transitions",
    "png",
    "row_fractions",
    "score_histograms",
    "spectrogram",
    "spectrograms",
    "trade_off",
    "window_grid",
]
