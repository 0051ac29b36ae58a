"""A small Django app whose writes are recorded by one package or another."""
