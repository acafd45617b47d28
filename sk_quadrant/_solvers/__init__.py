"""Solvers: a problem in, the fitted layers out. Each declares what it cannot do."""

from sk_quadrant._solvers.base import PARAMETERS, FitResult, Problem, Solver
from sk_quadrant._solvers.registry import SOLVERS, check_solver_can, solvers_that_can
