"""Solvers: a problem in, the fitted layers out. Each declares what it cannot do."""
