"""The audit is audited: ten planted leaks must be caught, their honest twins must pass."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import numpy as np
import pandas as pd
import pytest

from forecasting.audit.features import AuditReport, LabelSpans, audit, audit_fitted, audit_split
from forecasting.audit.training import audit_fits, audit_masks, audit_model
from forecasting.errors import LeakFound
from forecasting.features import DEFAULT_FEATURES, compute_features
from forecasting.lstm import LstmSpec
from forecasting.models import Fitted
from forecasting.panel import Panel
from forecasting.splits import Spans, label_masks
from tests.forecasting.features.test_features import ALL
from tests.references import leaks
from tests.references.market import small_macro, small_panel

TRAIN_END = np.datetime64("2021-11-30")


def verdict_on(planted: str) -> AuditReport:
    if planted in leaks.FEATURES:
        return audit(leaks.FEATURES[planted], small_panel(), small_macro(), [planted])
    if planted in leaks.FITS:
        return audit_fitted(leaks.FITS[planted], small_panel(), TRAIN_END)
    return audit_split(*leaks.SPLITS[planted])


def test_planted_leaks__ten_planted_ten_caught() -> None:
    planted = {**leaks.FEATURES, **leaks.FITS, **leaks.SPLITS}
    caught = {name: sorted({f.code for f in verdict_on(name).findings}) for name in sorted(planted)}
    assert len(planted) == 10
    assert [name for name, codes in caught.items() if not codes] == []
    assert "K1" in caught["X1"] and caught["X4"] == ["K6"] and caught["X10"] == ["K8"] and "K10" in caught["X9"]


@pytest.mark.parametrize("name", sorted(leaks.HONEST_FEATURES))
def test_honest_twins_of_leaky_features__pass(name: str) -> None:
    report = audit(leaks.HONEST_FEATURES[name], small_panel(), small_macro(), [name])
    assert report.ok, [str(f) for f in report.findings]


def test_honest_scaler_and_split__pass() -> None:
    assert audit_fitted(leaks.HONEST_FIT, small_panel(), TRAIN_END).ok
    assert audit_split(*leaks.split()).ok


def test_every_feature__has_not_seen_the_future() -> None:
    def compute(panel: Panel, macro: pd.DataFrame | None) -> np.ndarray:
        return compute_features(panel, ALL, macro=macro).values

    report = audit(compute, small_panel(), small_macro(), ALL)
    assert report.ok, [str(f) for f in report.findings]
    assert report.compared > 1_000_000


def test_default_features__truncated_at_every_session() -> None:
    """K1 as it is written: F(D, t) = F(D until t, t) for every t, bit by bit."""
    panel, macro = small_panel(), small_macro()
    whole = compute_features(panel, DEFAULT_FEATURES, macro=macro).values
    for t in panel.sessions:
        cut = compute_features(panel.until(t), DEFAULT_FEATURES, macro=macro[macro["session"] <= t]).values
        assert np.array_equal(cut.view(np.uint32), whole[panel.session <= t].view(np.uint32)), t


def back_adjusted(panel: Panel, macro: pd.DataFrame | None = None) -> np.ndarray:
    """Closes divided by all later splits, as charts show them: history changes with every split."""
    out = np.empty(panel.rows)
    for i in range(len(panel.symbols)):
        rows = slice(panel.starts[i], panel.starts[i + 1])
        out[rows] = panel.close[rows] * np.cumprod(panel.split[rows]) / np.prod(panel.split[rows])
    return out


def macro_by_reference_date(panel: Panel, macro: pd.DataFrame | None) -> np.ndarray:
    """The macro value that was published one session later."""
    at = np.searchsorted(macro["session"].to_numpy().astype("datetime64[D]"), panel.session)
    return macro["value"].to_numpy()[np.minimum(at + 1, len(macro) - 1)]


def first_symbol_of_the_panel(panel: Panel, macro: pd.DataFrame | None = None) -> np.ndarray:
    """A benchmark picked by position: another order of the files, another benchmark."""
    mean = panel.close[panel.starts[0] : panel.starts[1]][0]
    return panel.close / mean


@pytest.mark.parametrize(
    ("compute", "code"), [(back_adjusted, "K15"), (macro_by_reference_date, "K1"), (first_symbol_of_the_panel, "K5")]
)
def test_other_leaks__are_caught_under_their_code(compute, code: str) -> None:
    report = audit(compute, small_panel(), small_macro(), ["leak"])
    assert code in {f.code for f in report.findings}


def test_audit__names_the_feature_and_the_cell_and_raises() -> None:
    def compute(panel: Panel, macro: pd.DataFrame | None) -> np.ndarray:
        return np.hstack([leaks.HONEST_FEATURES["X1"](panel), leaks.FEATURES["X1"](panel)])

    report = audit(compute, small_panel(), None, ["yesterday", "tomorrow"])
    assert {f.what for f in report.findings} == {"tomorrow"}
    first = report.findings[0]
    assert first.symbol.startswith("S") and first.session.startswith("2021") and first.cells > 0
    with pytest.raises(LeakFound, match="tomorrow has seen the future: K1, changes when the data ends on 2021"):
        report.raise_if_leaky()


def test_audit__is_deterministic_and_looks_at_few_symbols() -> None:
    seen: list[tuple[str, ...]] = []

    def compute(panel: Panel, macro: pd.DataFrame | None) -> np.ndarray:
        seen.append(panel.symbols)
        return panel.close

    one, two = (audit(compute, small_panel(symbols=9), None, symbols=3, seed=4) for _ in range(2))
    assert one == two and {len(symbols) for symbols in seen} == {3}


def test_audit_fitted__a_selection_that_looks_at_later_rows_is_named() -> None:
    def fit(panel: Panel, train_end: np.datetime64) -> dict[str, np.ndarray]:
        volume = [panel.volume[panel.starts[i] : panel.starts[i + 1]].sum() for i in range(len(panel.symbols))]
        return {"chosen": np.array([int(np.argmax(volume))]), "mean": leaks.HONEST_FIT(panel, train_end)["center"]}

    def rising(panel: Panel) -> Panel:  # from December on another symbol trades most
        late = (panel.session > TRAIN_END) & (panel.symbol_index == 3)
        return replace(panel, volume=np.where(late, panel.volume * 1e4, panel.volume))

    report = audit_fitted(fit, rising(small_panel()), TRAIN_END)
    assert {f.what for f in report.findings} == {"chosen"}


def test_audit_split__counts_the_labels_that_overlap() -> None:
    train, valid = leaks.split(purge=3)  # origins up to 196, labels of 5 sessions: 195 and 196 end on 200 and 201
    found = audit_split(train, valid).findings
    assert [(f.code, f.cells) for f in found] == [("K8", 2 * 4)]


def test_audit_split__embargo_asks_for_whole_sessions_between() -> None:
    train, valid = leaks.split()  # the last label ends on 199, validation begins on 200
    assert audit_split(train, valid, embargo=0).ok
    assert [f.code for f in audit_split(train, valid, embargo=1).findings] == ["K9"]
    assert audit_split(*leaks.split(purge=6), embargo=1).ok


def test_audit_split__looks_at_the_test_span_too() -> None:
    train, valid = leaks.split(sessions=260)
    late, early = (LabelSpans(np.arange(a, a + 20), np.arange(a, a + 20) + 5) for a in (265, 262))
    assert audit_split(train, valid, late).ok
    assert [f.what for f in audit_split(train, valid, early).findings] == ["validation/test split"]


def test_nothing_compared__is_not_a_pass() -> None:
    empty = small_panel().until("2000-01-01")
    assert not audit(leaks.FEATURES["X1"], empty).ok
    assert not audit_fitted(leaks.HONEST_FIT, small_panel(), "2030-01-01").ok
    nothing = LabelSpans(np.empty(0, int), np.empty(0, int))
    assert not audit_split(nothing, nothing).ok


SPANS = Spans(date(2021, 9, 30), date(2021, 12, 31), date(2022, 3, 31))


def mean_of_macro(panel: Panel, spans: Spans, macro: pd.DataFrame) -> dict[str, np.ndarray]:
    """A scaler of a macro series that learns from all there is of it, beside one that learns from the training span."""
    value, learnt = macro["value"].to_numpy(), macro["session"] <= pd.Timestamp(spans.train_end)
    return {"everything": np.array([np.nanmean(value)]), "training": np.array([np.nanmean(value[learnt])])}


def test_audit_fits__a_scaler_that_learns_from_later_macro_values_is_named() -> None:
    report = audit_fits(mean_of_macro, small_panel(), SPANS, macro=small_macro())
    assert {(f.code, f.what) for f in report.findings} == {("K6", "everything")} and report.compared > 0


def test_audit_model__says_so_when_what_is_fitted_follows_later_macro_values(monkeypatch: pytest.MonkeyPatch) -> None:
    import forecasting.models as models

    def with_the_last_value(spec, panel, macro, *more, **others):
        fitted = honest(spec, panel, macro, *more, **others)
        fitted.arrays["macro/last"] = macro["value"].to_numpy()[-1:]
        return fitted

    honest = models.fit_model
    monkeypatch.setattr(models, "fit_model", with_the_last_value)
    assert [s.split(":")[0] for s in audit_model(model(), small_panel(), small_macro(), SPANS)] == ["K6 macro/last"] * 2


def test_audit_masks__hold_the_spans_to_their_own_embargo() -> None:
    """A split that keeps no embargo is found wanting by spans that ask for one, and by no others."""
    without = lambda panel, targets, spans: label_masks(panel, targets, replace(spans, embargo=0))  # noqa: E731
    wanted = replace(SPANS, embargo=3)
    assert audit_masks(without, small_panel(), (1, 5), SPANS).ok
    assert {f.code for f in audit_masks(without, small_panel(), (1, 5), wanted).findings} == {"K9"}
    assert audit_masks(label_masks, small_panel(), (1, 5), wanted).ok


RIVALS = ["persistence", "drift", "ewma", "ridge"]


def model() -> Fitted:
    """A model as the audit sees it: its specification and its card; it is fitted again, without a network."""
    spec = LstmSpec(features=DEFAULT_FEATURES[:5], horizons=(1, 5), lookback=20)
    return Fitted(spec, {}, {"market_symbols": ["S0", "S1", "S2", "S3"], "rivals": RIVALS, "user_features": {}})


def test_audit_model__the_product_s_own_features_fitted_numbers_and_split_pass() -> None:
    assert audit_model(model(), small_panel(), small_macro(), SPANS) == ()


def test_audit_model__says_so_when_a_scaler_learns_from_later_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    from forecasting.scaling import Scaler

    honest = Scaler.fit.__func__
    on_all_rows = classmethod(lambda cls, values, train, *rest: honest(cls, values, np.ones_like(train), *rest))
    monkeypatch.setattr(Scaler, "fit", on_all_rows)
    found = audit_model(model(), small_panel(), small_macro(), SPANS)
    assert found[0].startswith("K6 scaler/center")


def test_audit_model__says_so_when_rivals_learn_from_validation_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    import forecasting.models as models

    honest = models.fit_rivals
    monkeypatch.setattr(models, "fit_rivals", lambda i, x, train, valid, *more: honest(i, x, train | valid, valid, *more))
    found = audit_model(model(), small_panel(), small_macro(), SPANS)
    assert {sentence.split()[1].rstrip(":") for sentence in found} >= {"persistence/table", "drift/table", "ewma/table"}


def test_audit_model__says_so_when_the_purge_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    import forecasting.splits as splits

    def by_origin(panel: Panel, targets, spans: Spans) -> dict[str, np.ndarray]:
        known, first = np.isfinite(targets.returns), np.searchsorted(panel.sessions, np.datetime64(spans.train_end), "right")
        train = known & (panel.at < first)[:, None]
        return honest(panel, targets, spans) | {"train": train}

    honest = splits.label_masks
    monkeypatch.setattr(splits, "label_masks", by_origin)
    assert any(s.startswith("K8 training/validation split") for s in audit_model(model(), small_panel(), small_macro(), SPANS))


def test_audit_model__too_short_a_panel_is_no_pass() -> None:
    assert audit_model(model(), small_panel().until("2000-01-01"), small_macro(), SPANS) is None
