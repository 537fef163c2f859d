"""Metrics of enhanced speech, their scoring, and the cost of a model."""

# Nothing is imported here: the worker processes that score audio import
# ``evaluation.metrics`` and ``evaluation.scoring``, and must not load torch.
