"""The Gaussian world of `treg_edu.priors`, and an operator without structure, for tests."""

from treg_edu.operators import LinearOperator
from treg_edu.priors import GaussianPrior, smooth_covariance
from treg_edu.priors import dense_matrix as dense

__all__ = ["GaussianPrior", "Matrix", "dense", "smooth_covariance"]


class Matrix(LinearOperator):
    """y = M x of flattened images, (m, n): an operator without structure.  y: (B, 1, 1, m)."""

    def __init__(self, matrix, size=(4, 4)):
        self.matrix, self.sides = matrix, size

    def A(self, x):
        return (x.flatten(1) @ self.matrix.T.to(x))[:, None, None]

    def A_adjoint(self, y):
        return (y.flatten(1) @ self.matrix.to(y)).view(len(y), 3, *self.sides)
