"""The GenHMM research code's pickles of features."""
