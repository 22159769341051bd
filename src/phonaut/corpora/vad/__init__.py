"""Speech against noise."""
