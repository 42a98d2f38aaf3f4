"""TensorFlow, started once in a process and always in the same way."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress

TOWERS = 2  # a batch is trained in two halves, one a core; part of the lineage, not a setting


def configure_tensorflow(threads: int | None = None) -> None:
    """Import TensorFlow once, with what decides its bits fixed. Call before any other use of it in the process.

    One thread inside an operation and one operation a tower: as fast as it gets for small recurrent networks
    (docs/decisions/0003-training-path.md), and the sum order of no reduction depends on the number of cores.
    ``threads``: operations side by side, where it shall be another number than one a tower; the first call decides.
    """
    if threads is not None:
        os.environ["NEXTCLOSE_THREADS"] = str(threads)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ["TF_ENABLE_ONEDNN_OPTS"] = "0"
    if threads is None:
        _load_before_tensorflow()
    with _quiet_stderr():
        import tensorflow as tf
    tf.get_logger().setLevel("ERROR")
    try:
        tf.config.threading.set_intra_op_parallelism_threads(1)
        tf.config.threading.set_inter_op_parallelism_threads(threads_here())
    except RuntimeError:
        pass  # already initialised by an earlier call


def threads_here() -> int:
    """Computations that run side by side in this process."""
    return int(os.environ.get("NEXTCLOSE_THREADS", TOWERS))


def _load_before_tensorflow() -> None:
    """Load yfinance's HTTP client first, where it is installed.

    Once TensorFlow's libraries are loaded its own symbols are hidden, and every download of this process would fail with
    "Impersonating chrome is not supported".
    """
    if "tensorflow" not in sys.modules:
        with suppress(ImportError):
            import curl_cffi  # noqa: F401


@contextmanager
def _quiet_stderr() -> Iterator[None]:
    """Hold back what native code writes to stderr while it loads (absl logs before its own level applies); show it on error."""
    with tempfile.TemporaryFile() as held:
        sys.stderr.flush()
        kept = os.dup(2)
        os.dup2(held.fileno(), 2)
        try:
            yield
        except BaseException:
            held.seek(0)
            os.write(kept, held.read())
            raise
        finally:
            os.dup2(kept, 2)
            os.close(kept)
