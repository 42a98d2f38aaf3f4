"""The seasonal naive: the move will be what it was over the same sessions one season ago, give or take a residual.

The season is a week (5 sessions; a longer horizon repeats the last week) or a year (252 sessions), for each horizon the
one with the lower loss on the validation labels. A symbol younger than the season gets no season: its center is the last
close. (Hyndman and Athanasopoulos 2021, section 5.2, on returns: of prices it would forecast last week's close.)
"""

from __future__ import annotations

import numpy as np

from forecasting.rivals.known import Known, Labels, Parts, around, loss_of, quantile_table

WEEK, YEAR = 5, 252
SEASONS = (WEEK, YEAR)


def fit(known: Known, labels: Labels) -> dict[str, np.ndarray]:
    tables, seasons = [], []
    for k, horizon in enumerate(known.horizons):
        own, choose = labels.train(k), labels.valid(k)
        best = None
        for season in SEASONS:
            unit = known.moments.scale[own] * known.root[k]
            residual = (labels.outcome(own, k) - _one_season_ago(known, own, horizon, season)) / unit
            table = quantile_table([residual])
            center = _one_season_ago(known, choose, horizon, season)[:, None]
            judged = around(center, known.moments.scale[choose, None] * known.root[k], table)[:, 0]
            loss = loss_of(labels.outcome(choose, k), judged)
            if best is None or loss < best[0]:
                best = (loss, season, table[0])
        seasons.append(best[1])
        tables.append(best[2])
    return {"table": np.array(tables, dtype=np.float32), "seasons": np.array(seasons, dtype=np.int64)}


def quantiles(parts: Parts, known: Known, rows: np.ndarray) -> np.ndarray:
    chosen = zip(known.horizons, parts["seasons"], strict=True)
    center = np.stack([_one_season_ago(known, rows, horizon, int(season)) for horizon, season in chosen], axis=1)
    return around(center, known.slow(rows), parts["table"])


def _one_season_ago(known: Known, rows: np.ndarray, horizon: int, season: int) -> np.ndarray:
    """The sum of the returns that lie whole seasons before the next ``horizon`` ones, the nearest known; float64 [N]."""
    begin = np.maximum(rows - season, 0)  # the returns of the last season follow this row
    whole, rest = divmod(horizon, season)
    level = known.level
    moved = whole * (level[rows] - level[begin]) + (level[begin + rest] - level[begin])
    return np.where(known.nth[rows] >= season, moved, 0.0)
