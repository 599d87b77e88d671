import pytest
import torch

import treg_edu


@pytest.fixture(scope="session")
def prior():
    return treg_edu.load_prior()


@pytest.fixture(scope="session")
def prior64():
    """The bundled prior in double precision, where two orders of the same arithmetic agree to many digits."""
    return treg_edu.load_prior(dtype=torch.float64)
