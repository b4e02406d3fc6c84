"""The loss of a score model: how far the denoiser is from r, weighted so that all sigma count.

Chapter: 10 (The compact score model, trained on a GPU).
"""

from __future__ import annotations

from torch import Tensor, nn

from .denoisers import ScoreModel


def denoising_loss(
    model: ScoreModel, x0: Tensor, y: Tensor, sigma: Tensor, noise: Tensor
) -> Tensor:
    r"""Loss of each item, averaged over its bins.

    .. math:: \lambda(\sigma)\,\lVert D(x_0 - y + \sigma\varepsilon;\,y,\,\sigma) - (x_0-y)\rVert^2

    Source: Karras et al. 2022, eq. 2, with r = x0 - y as the data (Gonzalez et al. 2024).

    Args:
        model: denoiser with its preconditioning.
        x0, y: clean and noisy spectrogram, shape (B, 1, F, L), complex.
        sigma: noise levels, shape (B,), above 0.
        noise: epsilon of unit variance, shape (B, 1, F, L), complex.

    Returns:
        Shape (B,). With EDM preconditioning an untrained network has a loss near 1 at every sigma.

    Chapter: 10.
    """
    r = x0 - y
    error = model(r + sigma.view(-1, 1, 1, 1) * noise, y, sigma) - r
    weight = model.preconditioning.loss_weight(sigma).to(error.real)
    return weight.view(-1) * error.abs().square().mean(dim=(1, 2, 3))


class MeanLoss(nn.Module):
    """The mean of :func:`denoising_loss` as a module, which many processes can share.

    Args:
        model: the denoiser.

    Chapter: 10.
    """

    def __init__(self, model: ScoreModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, x0: Tensor, y: Tensor, sigma: Tensor, noise: Tensor) -> Tensor:
        """Mean over the batch, a number; arguments as for :func:`denoising_loss`."""
        return denoising_loss(self.model, x0, y, sigma, noise).mean()
