"""Configuration: Hydra groups, composed and checked at the edge."""
