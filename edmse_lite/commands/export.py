"""``edmse export``: the network of a score model as an ONNX file.

Chapter: 10 (The compact score model); the README lists the commands.
"""

from __future__ import annotations

from argparse import Namespace

from .common import CommandError


def export(args: Namespace) -> int:
    """Write the file; print its size and how far it is from PyTorch."""
    from edmse_lite import checkpoints, export

    try:
        network = checkpoints.load(args.model).model.network
        size = export.write(network, args.output)
        apart = export.difference(network, args.output.read_bytes())
    except (checkpoints.CheckpointError, export.ExportError) as error:
        raise CommandError(str(error)) from None
    print(f"{args.output}: {size / 1e6:.2f} MB")
    print(f"largest difference from PyTorch: {apart:.1g} of the output's root mean square")
    return 0
