"""treg_edu.noise: a sample's noise depends on its own generator alone."""

import numpy as np
import pytest
import torch

from treg_edu import noise


@pytest.mark.parametrize("seed", [3, np.int64(3), torch.tensor(3), [3, 4], (3, 4), range(3, 5), np.array([3, 4]), torch.tensor([3, 4])])
def test_seeds(seed):
    drawn = noise.normal(noise.generators(seed, 2), (2, 5))
    expected = [torch.randn(5, generator=torch.Generator().manual_seed(s)) for s in (3, 4)]
    assert torch.equal(drawn, torch.stack(expected))


def test_generators_are_seeds_of_their_own():
    drawn = noise.normal(noise.generators([torch.Generator().manual_seed(3), 4], 2), (2, 5))
    assert torch.equal(drawn, noise.normal(noise.generators([3, 4], 2), (2, 5)))
    one = noise.generators(torch.Generator().manual_seed(3), 2)
    assert one[0] is one[1] and torch.equal(noise.normal(one, (2, 5)), noise.normal(torch.Generator().manual_seed(3), (2, 5)))


@pytest.mark.parametrize("seed", [True, 1.0, None, "3", [3], [3, 4, 5], [3, True], [3, 4.0], np.array([3.0, 4.0]), 2**64])
def test_what_are_no_seeds(seed):
    with pytest.raises(ValueError, match="^seed: got .*, expected "):
        noise.generators(seed, 2)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
def test_the_noise_is_one_in_every_dtype(dtype):
    single = noise.normal(noise.generators(0, 2), (2, 4))
    assert torch.equal(noise.normal(noise.generators(0, 2), (2, 4), dtype=dtype), single.to(dtype))


def test_one_generator_serves_all_samples_in_order():
    many = noise.normal(torch.Generator().manual_seed(1), (3, 4))
    assert torch.equal(noise.normal(torch.Generator().manual_seed(1), (1, 4)), many[:1])
    torch.manual_seed(9)
    unseeded = noise.normal(None, (2, 4))
    torch.manual_seed(9)
    assert torch.equal(noise.normal(None, (2, 4)), unseeded)


@pytest.mark.parametrize("generator", [3, [torch.Generator()], "cpu", [torch.Generator(), 3]])
def test_what_are_no_generators(generator):
    with pytest.raises(ValueError, match="^generator: got .*, expected .*torch.Generator"):
        noise.normal(generator, (2, 4))
