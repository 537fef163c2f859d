"""Scores of enhanced speech, the cost of a model, and the results table.

Nothing is imported here: the worker processes that score audio import
``evaluation.metrics`` and ``evaluation.scoring``, and must not load torch.
"""
