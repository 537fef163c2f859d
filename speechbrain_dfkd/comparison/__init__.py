"""Compares distillation objectives: the jobs, their statistics, the report."""
