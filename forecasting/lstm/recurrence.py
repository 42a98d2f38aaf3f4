"""The recurrence of an LSTM layer as compiled loops: forwards, and backwards through time.

What has no recurrence - the product of the inputs with their weights, and the gradients of all weights - is a few large
matrix products and stays with TensorFlow (``forecasting/lstm/fused.py``). What is left are small steps that depend on each
other, and there an operation of TensorFlow costs more than its arithmetic. Here four sequences go through all their steps
together, while their state and the recurrent weights lie in the first caches.

A sequence's numbers are computed from itself alone and always in the same order: neither its company nor the number of
threads changes a bit of them. The compiler may fuse a product and a sum that follows it, nothing else.

Gates lie in the order of Keras: input, forget, candidate, output.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numba import njit

# tanh(x) = x P(x^2) / Q(x^2): least squares, weighted until the largest relative error on [-8, 8] was at its smallest (6e-9);
# in float32 within 4e-7 of tanh everywhere, never beyond 1.
_P0, _P1, _P2, _P3, _P4 = (
    np.float32(c) for c in (0.99999999359, 0.134445018118, 3.57160253787e-3, 2.18947353748e-5, 1.52305196868e-8)
)
_Q1, _Q2, _Q3, _Q4 = (np.float32(c) for c in (0.467778291361, 2.61644601978e-2, 3.41129935256e-4, 8.52248819116e-7))
_FLAT = np.float32(8.0)
_HALF, _ONE, _ZERO = np.float32(0.5), np.float32(1.0), np.float32(0.0)


def compiled(function: Callable, inline: str = "never") -> Callable:
    """``function`` compiled without the interpreter lock, kept on disk where some folder for that can be written."""
    options = {"nogil": True, "error_model": "numpy", "fastmath": {"contract"}, "inline": inline}
    try:
        return njit(cache=True, **options)(function)
    except RuntimeError:  # no writable folder beside the source, in the home or in NUMBA_CACHE_DIR: compile in each process
        return njit(**options)(function)


def _tanh_of(x):
    x = min(max(x, -_FLAT), _FLAT)
    s = x * x
    return x * ((((_P4 * s + _P3) * s + _P2) * s + _P1) * s + _P0) / ((((_Q4 * s + _Q3) * s + _Q2) * s + _Q1) * s + _ONE)


_tanh = compiled(_tanh_of, inline="always")


@compiled
def _copy(target, source):
    for j in range(target.size):
        target[j] = source[j]


@compiled
def _add(target, source):
    for j in range(target.size):
        target[j] += source[j]


@compiled
def _clear(rows):
    for r in range(rows.shape[0]):
        for j in range(rows.shape[1]):
            rows[r, j] = _ZERO


@compiled
def _add_product(out, a, w):
    """``out`` [4, N] += ``a`` [4, K] x ``w`` [K, N], each sum from k = 0 upwards."""
    o0, o1, o2, o3 = out[0], out[1], out[2], out[3]
    a0, a1, a2, a3 = a[0], a[1], a[2], a[3]
    whole = w.shape[0] - w.shape[0] % 4
    for k in range(0, whole, 4):
        a00, a01, a02, a03 = a0[k], a0[k + 1], a0[k + 2], a0[k + 3]
        a10, a11, a12, a13 = a1[k], a1[k + 1], a1[k + 2], a1[k + 3]
        a20, a21, a22, a23 = a2[k], a2[k + 1], a2[k + 2], a2[k + 3]
        a30, a31, a32, a33 = a3[k], a3[k + 1], a3[k + 2], a3[k + 3]
        w0, w1, w2, w3 = w[k], w[k + 1], w[k + 2], w[k + 3]
        for j in range(w.shape[1]):
            v0, v1, v2, v3 = w0[j], w1[j], w2[j], w3[j]
            o0[j] = (((o0[j] + a00 * v0) + a01 * v1) + a02 * v2) + a03 * v3
            o1[j] = (((o1[j] + a10 * v0) + a11 * v1) + a12 * v2) + a13 * v3
            o2[j] = (((o2[j] + a20 * v0) + a21 * v1) + a22 * v2) + a23 * v3
            o3[j] = (((o3[j] + a30 * v0) + a31 * v1) + a32 * v2) + a33 * v3
    for k in range(whole, w.shape[0]):
        v = w[k]
        for r in range(4):
            mine, factor = out[r], a[r, k]
            for j in range(w.shape[1]):
                mine[j] += factor * v[j]


@compiled
def _add_transposed(out, a, z, width):
    """``out`` [N, M] += ``a``^T x ``z``: ``a`` [K, N], ``z`` [K, M]; K a multiple of four, N at least three above ``width``."""
    for begin in range(0, a.shape[0], 32):  # so many rows of z stay in the first cache until all of ``out`` has seen them
        for n in range(0, width, 4):
            o0, o1, o2, o3 = out[n], out[n + 1], out[n + 2], out[n + 3]
            for k in range(begin, min(begin + 32, a.shape[0]), 4):
                p, q, s, t = a[k], a[k + 1], a[k + 2], a[k + 3]
                p0, p1, p2, p3 = p[n], p[n + 1], p[n + 2], p[n + 3]
                q0, q1, q2, q3 = q[n], q[n + 1], q[n + 2], q[n + 3]
                s0, s1, s2, s3 = s[n], s[n + 1], s[n + 2], s[n + 3]
                t0, t1, t2, t3 = t[n], t[n + 1], t[n + 2], t[n + 3]
                zp, zq, zs, zt = z[k], z[k + 1], z[k + 2], z[k + 3]
                for j in range(z.shape[1]):
                    vp, vq, vs, vt = zp[j], zq[j], zs[j], zt[j]
                    o0[j] = (((o0[j] + p0 * vp) + q0 * vq) + s0 * vs) + t0 * vt
                    o1[j] = (((o1[j] + p1 * vp) + q1 * vq) + s1 * vs) + t1 * vt
                    o2[j] = (((o2[j] + p2 * vp) + q2 * vq) + s2 * vs) + t2 * vt
                    o3[j] = (((o3[j] + p3 * vp) + q3 * vq) + s3 * vs) + t3 * vt


@compiled
def _scales(units):
    """What makes a gate of tanh: sigmoid(x) = tanh(x / 2) / 2 + 1 / 2, and the candidate is tanh itself."""
    scale, shift = np.full(4 * units, _HALF), np.full(4 * units, _HALF)
    scale[2 * units : 3 * units], shift[2 * units : 3 * units] = _ONE, _ZERO
    return scale, shift


@compiled
def _gates(z, scale, shift):
    """``z`` [4, 4U], sums of inputs, to gates, in place."""
    for r in range(4):
        mine = z[r]
        for j in range(mine.size):
            mine[j] = _tanh(mine[j] * scale[j]) * scale[j] + shift[j]


@compiled
def _cell(new, old, gate_in, gate_forget, candidate):
    for j in range(new.size):
        new[j] = gate_forget[j] * old[j] + gate_in[j] * candidate[j]


@compiled
def _output(h, gate_out, c):
    for j in range(h.size):
        h[j] = gate_out[j] * _tanh(c[j])


@compiled
def forwards(x, w, b):
    """The outputs of all steps, float32 [B, T, U], from a state of zeros.

    ``x`` float32 [B, T, F]; ``w`` float32 [F + U, 4U]: the weights of the inputs, below them those of the outputs of the step
    before; ``b`` float32 [4U].
    """
    rows, steps, features = x.shape
    units = b.size // 4
    scale, shift = _scales(units)
    out = np.empty((rows, steps, units), np.float32)
    given, c = np.empty((4, features + units), np.float32), np.empty((4, units), np.float32)
    z = np.empty((4, 4 * units), np.float32)
    for first in range(0, rows, 4):
        _clear(given)
        _clear(c)
        for t in range(steps):
            for r in range(4):
                _copy(given[r, :features], x[min(first + r, rows - 1), t])  # of fewer than four the last goes along again
                _copy(z[r], b)
            _add_product(z, given, w)
            _gates(z, scale, shift)
            for r in range(4):
                _cell(c[r], c[r], z[r, :units], z[r, units : 2 * units], z[r, 2 * units : 3 * units])
                _output(given[r, features:], z[r, 3 * units :], c[r])
            for r in range(min(4, rows - first)):
                _copy(out[first + r, t], given[r, features:])
    return out


@compiled
def _step_back(dh, dc, c, before, z, tanh_c):
    """From the gradients of a step's output and state to those of its four sums (in place of the gates ``z`` [4U]) and of the
    state ``before`` it (in place of ``dc``). A loop a line: few arrays in one let the compiler see that they do not overlap.
    """
    units = dh.size
    i, f, g, o = z[:units], z[units : 2 * units], z[2 * units : 3 * units], z[3 * units :]
    for j in range(units):
        tanh_c[j] = _tanh(c[j])
    for j in range(units):
        dc[j] += dh[j] * o[j] * (_ONE - tanh_c[j] * tanh_c[j])
    for j in range(units):
        o[j] = dh[j] * tanh_c[j] * o[j] * (_ONE - o[j])
    through = tanh_c  # no longer needed: now what flows through the input gate
    for j in range(units):
        through[j] = dc[j] * i[j]
    for j in range(units):
        i[j] = through[j] * g[j] * (_ONE - i[j])
    for j in range(units):
        g[j] = through[j] * (_ONE - g[j] * g[j])
    for j in range(units):
        dc[j] *= f[j]
    for j in range(units):
        f[j] = dc[j] * before[j] * (_ONE - f[j])


@compiled
def backwards(x, w, b, h, dh):
    """From ``dh`` [B, T, U], the gradient of the loss in the outputs ``h``, to those in ``x``, ``w`` and ``b``.

    The gates are computed once more: that is cheaper than to carry them here through memory.
    """
    rows, steps, features = x.shape
    units = b.size // 4
    width = features + units
    scale, shift = _scales(units)
    wide = (width + 15) // 16 * 16  # whole vectors: what is left over of a row would be computed one by one
    back = np.zeros((4 * units, wide), np.float32)
    for k in range(width):
        for j in range(4 * units):
            back[j, k] = w[k, j]
    dx, dw, db = np.empty_like(x), np.zeros((wide, 4 * units), np.float32), np.zeros(4 * units, np.float32)
    dw_here, db_here = np.empty_like(dw), np.empty_like(db)
    given = np.zeros((steps, 4, wide), np.float32)
    z, c = np.empty((steps, 4, 4 * units), np.float32), np.zeros((steps + 1, 4, units), np.float32)
    d, dc, spare = np.empty((4, wide), np.float32), np.empty((4, units), np.float32), np.empty(units, np.float32)
    for first in range(0, rows, 4):
        for t in range(steps):
            for r in range(4):
                row = min(first + r, rows - 1)
                _copy(given[t, r, :features], x[row, t])
                if t:
                    _copy(given[t, r, features:width], h[row, t - 1])
                _copy(z[t, r], b)
            _add_product(z[t], given[t], w)
            _gates(z[t], scale, shift)
            for r in range(4):
                mine = z[t, r]
                _cell(c[t + 1, r], c[t, r], mine[:units], mine[units : 2 * units], mine[2 * units : 3 * units])
        _clear(d)
        _clear(dc)
        for t in range(steps - 1, -1, -1):
            for r in range(4):
                own, from_above = d[r, features:width], dh[min(first + r, rows - 1), t]
                _add(own, from_above)
                _step_back(own, dc[r], c[t + 1, r], c[t, r], z[t, r], spare)
            _clear(z[t, min(4, rows - first) :])  # the one that went along again counts once
            _clear(d)
            _add_product(d, z[t], back)
            for r in range(min(4, rows - first)):
                _copy(dx[first + r, t], d[r, :features])
        sums = z.reshape(-1, 4 * units)
        _clear(dw_here)  # sums of few terms first, and then of those: less is rounded away
        _add_transposed(dw_here, given.reshape(-1, wide), sums, width)
        for k in range(width):
            _add(dw[k], dw_here[k])
        for j in range(db.size):
            db_here[j] = _ZERO
        for k in range(sums.shape[0]):
            _add(db_here, sums[k])
        _add(db, db_here)
    return dx, dw[:width], db
