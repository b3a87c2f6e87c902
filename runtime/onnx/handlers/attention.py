"""Attention and what goes before it, as ONNX Runtime's optimiser for transformers writes them.

Of its documentation "Contrib Operator Schemas". A batch of B sequences of S tokens attends to T
tokens, by N heads.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import dispatch
from runtime.errors import ModelError
from runtime.onnx.call import Call, Handler, Value, as_integers
from runtime.onnx.extents import Extents, extents_of, reshape, static_shape
from runtime.onnx.handlers.casts import cast_to
from runtime.onnx.handlers.positions import positions

__all__ = ["HANDLERS"]

FILTER = -10000.0
"""Default of what is added to the scores of masked tokens."""


# ---- Heads ---------------------------------------------------------------------------------------


def _heads(call: Call, x: Any, heads: int) -> Any:
    """Return [B, N, S, D] of [B, S, N·D], or what is that already."""
    if x.ndim == 4:
        return x
    if heads < 1:
        raise ModelError(f"num_heads: expected at least 1, got {heads}")
    if x.ndim != 3 or x.spec.shape[2] % heads:
        raise ModelError(f"expected [batch, length, a multiple of {heads} heads], got {x.spec}")
    size = x.spec.shape[2] // heads
    apart = reshape(call, x, (Extents((0,)), Extents((1,)), heads, size))
    return dispatch.transpose(apart, (0, 2, 1, 3))


def _joined(call: Call, y: Any) -> Any:
    """Return [B, S, N·D] of [B, N, S, D]."""
    width = y.spec.shape[1] * y.spec.shape[3]
    return reshape(call, dispatch.transpose(y, (0, 2, 1, 3)), (Extents((0,)), Extents((1,)), width))


# ---- Masks ---------------------------------------------------------------------------------------


def _filtered(call: Call, attended: Any, dtype: Any) -> Any:
    """Return what is added to scores: 0 where a token is attended to."""
    scope = call.scope
    masked = scope.concrete(call.get("mask_filter_value", FILTER), dtype)
    return dispatch.where(attended, scope.concrete(0, dtype), masked)


def _mask(call: Call, mask: Value, scores: Any) -> Any:
    """Return what a mask adds to scores [B, N, S, T]."""
    if mask.ndim == 1:
        return _filtered(call, _within(call, mask, scores), scores.dtype)
    if mask.ndim not in (2, 3):
        raise ModelError(
            f"mask: expected lengths [B], or a mask [B, T] or [B, S, T], got {mask.spec}"
        )
    attended = dispatch.greater(cast_to(mask, "int32"), 0)
    rows = 1 if mask.ndim == 2 else Extents((1,))
    shape = (Extents((0,)), 1, rows, Extents((mask.ndim - 1,)))
    return _filtered(call, reshape(call, attended, shape), scores.dtype)


def _within(call: Call, lengths: Value, scores: Any) -> Any:
    """Say which tokens lie before the end of each sequence."""
    count, batch = (static_shape(call, x) for x in (lengths, scores))
    if count is not None and batch is not None and count[0] != batch[0]:
        raise ModelError(
            f"mask: expected as many lengths as sequences, {batch[0]}, got {count[0]}: beginnings "
            f"aren't served"
        )
    places = positions(call, extents_of(call, scores, (3,)))
    ends = reshape(call, cast_to(lengths, "int64"), (Extents((0,)), 1, 1, 1))
    return dispatch.less(places, ends)


def _before(call: Call, scores: Any) -> Any:
    """Return what is added to scores so that no token attends to later ones."""
    rows, columns = (extents_of(call, scores, (axis,)) for axis in (2, 3))
    now = dispatch.add(positions(call, rows), dispatch.sub(columns, rows))
    attended = dispatch.less_equal(positions(call, columns), reshape(call, now, (Extents((0,)), 1)))
    return _filtered(call, attended, scores.dtype)


# ---- Attention -----------------------------------------------------------------------------------


def _attended(call: Call, q: Any, k: Any, v: Any, mask: Value | None, bias: Value | None) -> Any:
    """Return what the heads attend to, [B, S, N·D]."""
    scale = call.get("scale", 0.0) or 1 / math.sqrt(q.spec.shape[3])
    scores = dispatch.matmul(q, k, transpose_b=True, alpha=scale)
    if mask is not None:
        scores = dispatch.add(scores, _mask(call, mask, scores))
    if call.get("unidirectional", 0):
        scores = dispatch.add(scores, _before(call, scores))
    if bias is not None:
        scores = dispatch.add(scores, bias)
    return _joined(call, dispatch.matmul(dispatch.softmax(scores, -1), v))


def _refuse(call: Call, *served_not: tuple[int, str]) -> None:
    for index, name in served_not:
        if call.optional(index) is not None:
            raise ModelError(f"{name}: expected none, which is all that is served")


def attention(call: Call) -> Any:
    """Record Attention: the projections of one input attend to one another."""
    x, weights, bias, mask, past = call[0], call[1], *(call.optional(i) for i in (2, 3, 4))
    if call.get("do_rotary", 0) or call.get("past_present_share_buffer", 0):
        raise ModelError("expected no rotation and no shared buffer, which aren't served")
    _refuse(call, (6, "past_sequence_length"))
    heads = call.get("num_heads", 0)
    projected = dispatch.matmul(x, weights, bias)
    sizes = call.integers("qkv_hidden_sizes") or (weights.spec.shape[1] // 3,) * 3
    if len(sizes) != 3 or sum(sizes) != weights.spec.shape[1]:
        raise ModelError(
            f"qkv_hidden_sizes: expected three parts of {weights.spec.shape[1]}, got {sizes}"
        )
    q, k, v = (_heads(call, part, heads) for part in dispatch.split(projected, sizes, 2))
    if past is not None:
        k, v = (
            dispatch.concat([dispatch.gather(past, call.scope.concrete(i, "int64")), new], 2)
            for i, new in enumerate((k, v))
        )
    y = _attended(call, q, k, v, mask, call.optional(5))
    if not call.wants(1):
        return y
    extents = tuple(Extents((axis,)) for axis in range(4))
    return y, dispatch.concat([reshape(call, part, (1, *extents)) for part in (k, v)], 0)


def multi_head_attention(call: Call) -> Any:
    """Record MultiHeadAttention: queries, keys and values were projected before."""
    q, k, v = (call.optional(i) for i in range(3))
    if q is None or k is None or v is None or 5 in (q.ndim, k.ndim):
        raise ModelError("expected a query, a key and a value apart, got packed ones")
    _refuse(call, (8, "past_sequence_length"), (9, "cache_indirection"))
    heads, bias = call.get("num_heads", 0), call.optional(3)
    if bias is not None:
        sizes = tuple(
            x.spec.shape[2] if x.ndim == 3 else heads * x.spec.shape[3] for x in (q, k, v)
        )
        parts = dispatch.split(bias, sizes, 0)
        # Keys and values with heads already come from another call, which has added theirs.
        q, k, v = (
            dispatch.add(x, part) if x.ndim == 3 else x
            for x, part in zip((q, k, v), parts, strict=True)
        )
    q, k, v = (_heads(call, x, heads) for x in (q, k, v))
    k, v = (
        x if past is None else dispatch.concat([past, x], 2)
        for x, past in ((k, call.optional(6)), (v, call.optional(7)))
    )
    return _attended(call, q, k, v, call.optional(4), call.optional(5)), k, v


# ---- Before it -----------------------------------------------------------------------------------


def rotary_embedding(call: Call) -> Any:
    """Record RotaryEmbedding: pairs of a head's elements are turned by their token's place."""
    x, ids, cosines, sines = (call[i] for i in range(4))
    if call.get("is_packed_batching", 0) or call.get("scale", 1.0) != 1.0:
        raise ModelError("expected no packed batches and a scale of 1, which are all that's served")
    turned = 2 * cosines.spec.shape[1]
    apart = _heads(call, x, call.get("num_heads", 0) or x.spec.shape[2] // turned)
    if ids.ndim == 1:  # of the first token
        ids = dispatch.add(cast_to(ids, "int64"), positions(call, extents_of(call, apart, (2,))))
        ids = reshape(call, ids, (1, Extents((0,))))
    across = (Extents((0,)), 1, Extents((1,)), Extents((2,)))
    c, s = (reshape(call, dispatch.gather(t, ids), across) for t in (cosines, sines))
    parts = [apart]
    if turned != apart.spec.shape[3]:
        parts = list(dispatch.split(apart, (turned, apart.spec.shape[3] - turned), 3))
    parts[0] = _turned(call, parts[0], c, s)
    y = parts[0] if len(parts) == 1 else dispatch.concat(parts, 3)
    return y if x.ndim == 4 else _joined(call, y)


def _turned(call: Call, x: Any, c: Any, s: Any) -> Any:
    """Turn pairs of elements [B, N, S, 2·P] by angles' cosines and sines [B, 1, S, P]."""
    outer, pairs = tuple(Extents((a,)) for a in range(3)), x.spec.shape[3] // 2
    neighbours = call.get("interleaved", 0)
    apart = reshape(call, x, (*outer, *((pairs, 2) if neighbours else (2, pairs))))
    axis = 4 if neighbours else 3
    a, b = (dispatch.gather(apart, call.scope.concrete(i, "int64"), axis) for i in (0, 1))
    made = (
        dispatch.sub(dispatch.mul(a, c), dispatch.mul(b, s)),
        dispatch.add(dispatch.mul(a, s), dispatch.mul(b, c)),
    )
    shape = (*outer, *((pairs, 1) if neighbours else (1, pairs)))
    joined = dispatch.concat([reshape(call, part, shape) for part in made], axis)
    return reshape(call, joined, (*outer, 2 * pairs))


def embed_layer_norm(call: Call) -> Any:
    """Record EmbedLayerNormalization: LayerNormalization of the sum of tokens' embeddings."""
    ids, segments, words, places, kinds = call[0], *(call.optional(i) for i in range(1, 5))
    scale, bias, mask, place_ids = call[5], call[6], call.optional(7), call.optional(8)
    if words is None or places is None:
        raise ModelError("expected embeddings of words and of positions")
    if place_ids is None:
        place_ids = positions(call, extents_of(call, ids, (1,)))
    total = dispatch.add(dispatch.gather(words, ids), dispatch.gather(places, place_ids))
    if segments is not None and kinds is not None:
        total = dispatch.add(total, dispatch.gather(kinds, segments))
    y = dispatch.layer_norm(total, scale, bias, axis=2, epsilon=call.get("epsilon", 1e-12))
    if mask is None:
        batch = as_integers(extents_of(call, ids, (0,)))
        lengths = dispatch.expand(call.scope.concrete(0, "int32"), batch)
    else:
        lengths = dispatch.sum(cast_to(dispatch.equal(mask, 1), "int32"), (1,))
    return y, lengths, total


HANDLERS: Mapping[str, Handler] = {
    "com.microsoft::Attention": attention,
    "com.microsoft::EmbedLayerNormalization": embed_layer_norm,
    "com.microsoft::MultiHeadAttention": multi_head_attention,
    "com.microsoft::RotaryEmbedding": rotary_embedding,
}
