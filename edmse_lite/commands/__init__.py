"""What the commands of ``edmse`` do, once their arguments are parsed.

Each takes the parsed arguments and returns an exit code. Heavy imports wait until they are used.

Chapter: 1 (A noisy recording, enhanced).
"""

from .common import CommandError, complain
from .corpus import check, corpus, get, pack, take
from .enhance import enhance
from .evaluate import evaluate
from .export import export
from .train import train

__all__ = [
    "CommandError",
    "check",
    "complain",
    "corpus",
    "enhance",
    "evaluate",
    "export",
    "get",
    "pack",
    "take",
    "train",
]
