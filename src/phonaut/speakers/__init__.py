"""What compares utterances with references: dynamic time warping."""
