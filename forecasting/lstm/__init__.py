"""The LSTM: the one room that knows TensorFlow, and only inside functions."""

from forecasting.lstm.engine import configure_tensorflow
from forecasting.lstm.network import LEVELS, LstmSpec, Network, classical_spec

__all__ = ["LEVELS", "LstmSpec", "Network", "classical_spec", "configure_tensorflow"]
