"""Arrays in, matplotlib figures out; TensorBoard and reports show the same ones."""

from phonaut.plots.encoder import attention_maps, coarse, hidden_layers, layer_weights
from phonaut.plots.figures import confusion_matrix, png, row_fractions, spectrogram, spectrograms
from phonaut.plots.hmm import plot_convergence, plot_durations, plot_posteriors, plot_states, plot_transitions
from phonaut.plots.noise import against_snr

__all__ = [
    "against_snr",
    "attention_maps",
    "coarse",
    "confusion_matrix",
    "hidden_layers",
    "layer_weights",
    "plot_convergence",
    "plot_durations",
    "plot_posteriors",
    "plot_states",
    "plot_transitions",
    "png",
    "row_fractions",
    "spectrogram",
    "spectrograms",
]
