"""Trained networks that teach, and where they come from."""
