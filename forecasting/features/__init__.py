"""What the network is told: a registry of named, versioned features, one file a subject, and their values for a panel."""

from forecasting.features.registry import (
    DEFAULT_FEATURES,
    MODULES,
    WHOLE_HISTORY,
    Feature,
    FeatureMatrix,
    compute_features,
    describe,
    ewma_volatility,
    expand,
    feature,
    is_known,
    known_names,
    log_returns,
    register,
)

__all__ = [
    "DEFAULT_FEATURES", "MODULES", "WHOLE_HISTORY", "Feature", "FeatureMatrix", "compute_features", "describe",
    "ewma_volatility", "expand", "feature", "is_known", "known_names", "log_returns", "register",
]  # fmt: skip
