"""Networks of integers: quantised in training as they will be on a device."""

from phonaut.networks.quantized.network import QuantizedNetwork, can_be, why_not
from phonaut.networks.quantized.number_format import Levels, Scheme

__all__ = ["Levels", "QuantizedNetwork", "Scheme", "can_be", "why_not"]
