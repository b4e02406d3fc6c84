"""The noise levels at which a sampler stops."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from edmse_lite import grids
from edmse_lite.sdes import BBED, OUVE, Cosine


def test_rho_grid_is_the_published_formula():
    nodes = grids.rho(0.002, 80.0, rho=7)(OUVE(), 18)
    for i, found in enumerate(nodes.tolist()):
        root = 80 ** (1 / 7) + i / 17 * (0.002 ** (1 / 7) - 80 ** (1 / 7))
        assert found == pytest.approx(root**7, rel=1e-12)
    assert nodes.dtype == torch.float64
    assert nodes[0].item() == pytest.approx(80.0) and nodes[-1].item() == pytest.approx(0.002)


def test_rho_one_is_uniform_in_sigma():
    steps = grids.rho(0.1, 1.1, rho=1)(OUVE(), 11).diff()
    torch.testing.assert_close(steps, torch.full_like(steps, -0.1))


@given(
    steps=st.integers(1, 60),
    low=st.floats(1e-4, 1.0),
    ratio=st.floats(1.5, 1e4),
    rho=st.floats(0.5, 12),
)
def test_levels_fall_and_stay_above_zero(steps, low, ratio, rho):
    for grid in (grids.rho(low, low * ratio, rho), grids.uniform_t()):
        nodes = grid(Cosine(), steps)
        assert nodes.shape == (steps,) and nodes.dtype == torch.float64
        assert (nodes > 0).all() and (nodes.diff() < 0).all()


def test_uniform_t_starts_at_one_and_leaves_out_zero():
    sde = BBED()
    nodes = grids.uniform_t()(sde, 8)
    torch.testing.assert_close(sde.sigma_inv(nodes), 1 - torch.arange(8).double() / 8)
    assert grids.uniform_t()(sde, 1).tolist() == [sde.sigma_1]


def test_default_range_is_what_the_denoiser_was_trained_on():
    sde = OUVE()
    assert grids.rho()(sde, 9, (0.02, 0.3))[[0, -1]].tolist() == pytest.approx([0.3, 0.02])
    assert grids.rho()(sde, 9)[[0, -1]].tolist() == pytest.approx(
        [sde.sigma_1, float(sde.sigma(0.01))]
    )
    nodes = grids.rho(sigma_max=0.2)(sde, 9, (0.0, 0.3))
    assert nodes[[0, -1]].tolist() == pytest.approx([0.2, float(sde.sigma(0.01))])
    assert grids.uniform_t()(sde, 9, (0.02, 0.3))[0].item() == pytest.approx(0.3)
    assert grids.uniform_t()(sde, 9, (0.02, 3.0))[0].item() == pytest.approx(sde.sigma_1)


def test_one_step_has_the_highest_level():
    assert grids.rho(0.01, 0.4)(OUVE(), 1).tolist() == pytest.approx([0.4])


@pytest.mark.parametrize("steps", [0, -3, 2.0, True])
def test_steps_must_be_a_whole_number(steps):
    for grid in (grids.rho(), grids.uniform_t()):
        with pytest.raises(ValueError, match="whole number"):
            grid(OUVE(), steps)


def test_wrong_ranges_are_named():
    with pytest.raises(ValueError, match="must exceed"):
        grids.rho(0.5, 0.1)
    with pytest.raises(ValueError, match="sigma_min=0"):
        grids.rho(0, 0.1)
    for wrong in (0.0, -1.0, float("inf"), float("nan")):
        with pytest.raises(ValueError, match="sigma_max=.* must be > 0"):
            grids.rho(sigma_max=wrong)
    with pytest.raises(ValueError, match="rho=0"):
        grids.rho(rho=0)
    with pytest.raises(ValueError, match="must exceed"):
        grids.rho(sigma_min=1.0)(OUVE(), 4)
