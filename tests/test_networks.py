"""The compact network: its size, its cost, and what its last layer can say."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.flop_counter import FlopCounterMode

import edmse_lite as se
from edmse_lite import compact
from edmse_lite.networks import CompactUNet, UNetConfig

TINY = UNetConfig(channels=(8, 16), embedding=16)


def randomised(config: UNetConfig) -> CompactUNet:
    """A network whose zero-initialised layers are random, too."""
    torch.manual_seed(0)
    network = CompactUNet(config)
    for parameter in network.parameters():
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.05)
    return network.eval()


def test_size_and_cost_of_the_compact_network():
    """At most 1.25 M parameters, and 2.1 GFLOP an evaluation and second of sound."""
    network = CompactUNet(compact.COMPACT.network)
    assert sum(parameter.numel() for parameter in network.parameters()) <= 1_250_000
    frames = 256
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(torch.zeros(1, 4, 256, frames), torch.zeros(1))
    seconds = frames * 256 / se.SAMPLE_RATE
    assert counter.get_total_flops() / seconds <= 2.1e9


@settings(deadline=None, max_examples=20)
@given(frames=st.integers(1, 40), batch=st.integers(1, 3))
def test_any_number_of_frames(frames, batch):
    network = randomised(TINY)
    inputs = torch.randn(batch, 4, 256, frames)
    assert network(inputs, torch.zeros(batch)).shape == (batch, 2, 256, frames)


def test_sizes_that_cannot_be_are_named():
    for channels in ((), (10, 20), (0,), (-8,)):
        with pytest.raises(ValueError, match="expected multiples of 8"):
            UNetConfig(channels=channels)
    config = compact.COMPACT.network
    assert config.multiple == 64
    with pytest.raises(ValueError, match="160 bins: this network takes multiples of 64"):
        CompactUNet(config)(torch.zeros(1, 4, 160, 8), torch.zeros(1))


def test_items_of_a_batch_do_not_mix():
    network = randomised(TINY)
    inputs, labels = torch.randn(3, 4, 256, 12), torch.randn(3)
    alone = torch.cat([network(inputs[b : b + 1], labels[b : b + 1]) for b in range(3)])
    torch.testing.assert_close(network(inputs, labels), alone, rtol=1e-4, atol=1e-5)


def test_the_noise_level_reaches_the_output():
    network = randomised(TINY)
    inputs = torch.randn(1, 4, 256, 12)
    low, high = (network(inputs, torch.tensor([label])) for label in (-1.0, 0.1))
    assert (low - high).abs().max() > 1e-3


def test_every_parameter_learns():
    network = randomised(compact.COMPACT.network)
    network(torch.randn(2, 4, 256, 16), torch.tensor([-0.5, 0.1])).square().mean().backward()
    still = [name for name, p in network.named_parameters() if p.grad is None or not p.grad.any()]
    assert still == []


def test_the_last_layer_can_be_a_gaussian_oracle():
    """F = a + b y + c x holds the exact denoiser of a Gaussian bin (chapter 5), by hand."""
    network = CompactUNet(TINY)  # its last layer is zero: only its bias speaks
    stride, scale = TINY.stride, TINY.y_scale
    b, c = complex(-0.3, 0.2), complex(0.4, 0.0)
    with torch.no_grad():
        bias = network.head.bias.view(6, stride)
        bias[2], bias[3] = b.real / scale, b.imag / scale
        bias[4], bias[5] = c.real, c.imag
    x, y = (torch.randn(2, 1, 256, 8, dtype=torch.complex64) for _ in "xy")
    found = network(torch.cat([x.real, x.imag, y.real, y.imag], dim=1), torch.zeros(2))
    expected = b * y + c * x
    torch.testing.assert_close(torch.complex(found[:, :1], found[:, 1:]), expected)


def test_folded_bands_unfold_to_their_bins():
    """Channel k of band m is bin m * stride + k."""
    network = CompactUNet(TINY)
    with torch.no_grad():
        network.head.bias.view(6, TINY.stride)[0] = torch.arange(4.0)
    found = network(torch.zeros(1, 4, 256, 2), torch.zeros(1))[0, 0, :, 0]
    torch.testing.assert_close(found, torch.arange(256.0) % 4)


@pytest.mark.parametrize("gains", [True, False])
def test_an_untrained_network_says_zero(gains):
    network = CompactUNet(UNetConfig(channels=(8, 16), embedding=16, gains=gains))
    assert not network(torch.randn(1, 4, 256, 8), torch.zeros(1)).any()
