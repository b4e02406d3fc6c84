"""One comparison for the mathematics: tensors or numbers, float64, never a signed sum."""

import torch


def close(actual, expected, rtol=1e-12, atol=0.0):
    """Assert that ``actual`` equals ``expected``, which may be a number for a whole tensor."""
    actual, expected = (
        part if isinstance(part, torch.Tensor) else torch.tensor(part, dtype=torch.float64)
        for part in (actual, expected)
    )
    torch.testing.assert_close(
        actual, expected.expand_as(actual), rtol=rtol, atol=atol, check_dtype=False
    )
