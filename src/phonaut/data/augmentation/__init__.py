"""Augmentation of training batches: speed, shift, gain, noise."""
