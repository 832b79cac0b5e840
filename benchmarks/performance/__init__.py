"""The pages of figures, rendered from docs/performance/data: see benchmarks/pages.py."""
