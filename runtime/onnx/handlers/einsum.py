"""Einsum: products and sums of several arrays along named axes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import dispatch
from runtime.errors import ModelError
from runtime.onnx.call import Call, Handler, Value
from runtime.onnx.extents import Extents, extents_of, joined, reshape
from runtime.onnx.handlers.positions import positions

__all__ = ["HANDLERS"]

ELLIPSIS = "..."


@dataclass(frozen=True, slots=True)
class Term:
    """An array and the label of each of its axes.

    Parameters
    ----------
    value
        The array.
    labels
        A letter, or a number for each axis of the ellipsis, counted from the last.
    """

    value: Value
    labels: tuple[str, ...]


def einsum(call: Call) -> Any:
    """Record Einsum: the arrays are taken in one after the other."""
    equation = call.get("equation", "").replace(" ", "")
    values = call.every()
    left, arrow, right = equation.partition("->")
    texts = left.split(",")
    if len(texts) != len(values):
        raise ModelError(f"equation: expected {len(values)} terms, got {equation!r}")
    terms = [
        _diagonal(call, Term(value, _labels(text, value.ndim, equation)))
        for text, value in zip(texts, values, strict=True)
    ]
    wanted = _output(right if arrow else None, terms, equation)
    total = terms[0]
    for index, term in enumerate(terms[1:], 2):
        later = {label for other in terms[index:] for label in other.labels}
        total = _product(call, total, term, later.union(wanted))
    total = _summed(total, frozenset(wanted))
    return _arranged(total, wanted).value


def _labels(text: str, rank: int, equation: str) -> tuple[str, ...]:
    """Return a term's labels, numbers in the place of its ellipsis."""
    before, dots, after = text.partition(ELLIPSIS)
    letters = before + after
    hidden = rank - len(letters)
    if not all(c.isalpha() for c in letters) or hidden < 0 or (hidden and not dots):
        raise ModelError(
            f"equation: expected letters for {rank} axes, got {text!r} of {equation!r}"
        )
    return (*before, *(str(n) for n in reversed(range(hidden))), *after)


def _diagonal(call: Call, term: Term) -> Term:
    """Return a term's diagonal along axes of one label."""
    labels = term.labels
    for axis, label in enumerate(labels):
        first = labels.index(label)
        if first < axis:
            rank = len(labels)
            along, across = (
                reshape(
                    call,
                    positions(call, extents_of(call, term.value, (a,))),
                    [Extents((0,)) if b == a else 1 for b in range(rank)],
                )
                for a in (first, axis)
            )
            zero = call.scope.concrete(0, term.value.dtype)
            kept = dispatch.where(dispatch.equal(along, across), term.value, zero)
            rest = Term(dispatch.sum(kept, (axis,)), labels[:axis] + labels[axis + 1 :])
            return _diagonal(call, rest)
    return term


def _output(text: str | None, terms: Sequence[Term], equation: str) -> tuple[str, ...]:
    """Return the result's labels; by default those that only one term has, in their order."""
    counts = Counter(label for term in terms for label in term.labels)
    hidden = sorted((label for label in counts if label.isdigit()), key=int, reverse=True)
    if text is None:
        return (*hidden, *sorted(c for c, n in counts.items() if n == 1 and c.isalpha()))
    before, dots, after = text.partition(ELLIPSIS)
    letters = before + after
    if len(set(letters)) != len(letters) or not set(letters) <= set(counts):
        raise ModelError(f"equation: expected labels of the terms, each once, got {equation!r}")
    return (*before, *(hidden if dots else ()), *after)


def _product(call: Call, a: Term, b: Term, wanted: set[str]) -> Term:
    """Return the product of two terms, summed over what only they have and nobody wants."""
    a, b = _summed(a, wanted.union(b.labels)), _summed(b, wanted.union(a.labels))
    both = [label for label in a.labels if label in b.labels]
    shared = tuple(label for label in both if label in wanted)
    summed = tuple(label for label in both if label not in wanted)
    rows = tuple(label for label in a.labels if label not in both)
    columns = tuple(label for label in b.labels if label not in both)
    a, b = _arranged(a, shared + rows + summed), _arranged(b, shared + summed + columns)
    kept = len(shared)

    def matrices(term: Term, first: int) -> Any:
        axes = tuple(range(kept, kept + first)), tuple(range(kept + first, len(term.labels)))
        return reshape(call, term.value, (*_each(0, kept), *map(Extents, axes)))

    y = dispatch.matmul(matrices(a, len(rows)), matrices(b, len(summed)))
    if len(rows) == len(columns) == 1:
        return Term(y, shared + rows + columns)
    parts = (
        (y, range(kept)),
        (a.value, range(kept, kept + len(rows))),
        (b.value, range(kept + len(summed), len(b.labels))),
    )
    found = [extents_of(call, value, axes) for value, axes in parts if len(axes)]
    shape = joined(call, found) if found else ()
    return Term(dispatch.reshape(y, shape, allow_zero=True), shared + rows + columns)


def _each(begin: int, end: int) -> tuple[Extents, ...]:
    return tuple(Extents((axis,)) for axis in range(begin, end))


def _summed(term: Term, kept: set[str] | frozenset[str]) -> Term:
    """Return a term summed over the labels that aren't kept."""
    axes = tuple(axis for axis, label in enumerate(term.labels) if label not in kept)
    if not axes:
        return term
    labels = tuple(label for label in term.labels if label in kept)
    return Term(dispatch.sum(term.value, axes), labels)


def _arranged(term: Term, labels: tuple[str, ...]) -> Term:
    """Return a term with its axes in the order of `labels`."""
    if labels == term.labels:
        return term
    permutation = tuple(term.labels.index(label) for label in labels)
    return Term(dispatch.transpose(term.value, permutation), labels)


HANDLERS: Mapping[str, Handler] = {"Einsum": einsum}
