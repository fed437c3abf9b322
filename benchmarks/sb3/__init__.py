"""Comparison with Stable-Baselines3: what runs here, and in `scripts` what runs in an environment of its own."""
