"""An app that ``benchmarks/planting.py`` plants into a generated project: orders and their jobs."""
