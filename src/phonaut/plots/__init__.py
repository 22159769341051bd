"""Arrays in, matplotlib figures out; TensorBoard and reports show the same ones."""

from phonaut.plots.figures import confusion_matrix, png, spectrogram

__all__ = ["confusion_matrix", "png", "spectrogram"]
