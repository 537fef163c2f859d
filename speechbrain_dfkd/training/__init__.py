"""Brains, and what they need to train and to resume."""
