"""All kernels here: the operator, the algorithm, the dtypes, and who plans it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias

from dispatch.answer import No
from dispatch.operators import operators
from dispatch.problem import Problem
from dispatch.tensor import NCHW, NHWC
from kernels.gpu.elementwise import ELEMENTWISE, plan_cast, plan_elementwise, plan_where
from kernels.gpu.indexing import (
    plan_gather,
    plan_gather_elements,
    plan_gather_nd,
    plan_scatter_elements,
    plan_scatter_nd,
)
from kernels.gpu.movement import (
    plan_channel_shuffle,
    plan_concat,
    plan_copy,
    plan_expand,
    plan_lookup,
    plan_pad,
    plan_reorder,
    plan_resize,
    plan_slice,
    plan_split,
    plan_transpose,
)
from kernels.gpu.plan import Plan
from kernels.gpu.product import (
    plan_conv2d,
    plan_conv_integer,
    plan_conv_transpose2d,
    plan_depthwise,
    plan_linear,
    plan_matmul,
    plan_matmul_integer,
)
from kernels.gpu.quantized import (
    plan_dequantize,
    plan_dynamic_quantize,
    plan_qavg_pool2d,
    plan_qbinary,
    plan_qconv2d,
    plan_qconv_transpose2d,
    plan_qmatmul,
    plan_qsoftmax,
    plan_quantize,
)
from kernels.gpu.recurrence import plan_gru, plan_lstm, plan_rnn
from kernels.gpu.reduction import (
    plan_argmax,
    plan_batch_norm,
    plan_global_pool2d,
    plan_layer_norm,
    plan_lrn,
    plan_pool2d,
    plan_reduction,
    plan_softmax,
)
from kernels.gpu.sampling import plan_grid_sample
from kernels.gpu.scan import plan_cumsum, plan_top_k
from kernels.gpu.tiling import TILINGS
from kernels.gpu.traits import Traits

__all__ = ["CATALOGUE", "Algorithm", "Planner"]

Planner: TypeAlias = Callable[[Problem, Traits], Plan | No]


@dataclass(frozen=True, slots=True)
class Algorithm:
    """One way to compute an operator, for several dtypes.

    Parameters
    ----------
    operator, name
        The second and third part of kernels' names.
    dtypes
        The dtypes that it is for: the fourth part.
    plan
        What it enqueues for a problem that is consistent and not too large, in one of the
        layouts; or why it can't.
    is_portable
        Its sources are CUDA C as well as OpenCL C.
    layouts
        That all images of a problem may have; the logical one comes first.
    """

    operator: str
    name: str
    dtypes: tuple[str, ...]
    plan: Planner
    is_portable: bool = True
    layouts: tuple[str, ...] = (NCHW,)


_OTHERS: tuple[tuple[str, str, Planner], ...] = (
    ("argmax", "reduce", plan_argmax),
    ("as_quantized", "move", plan_copy),
    ("as_stored", "move", plan_copy),
    ("avg_pool2d", "window", plan_pool2d),
    ("batch_norm", "map", plan_batch_norm),
    ("cast", "map", plan_cast),
    ("channel_shuffle", "move", plan_channel_shuffle),
    ("concat", "move", plan_concat),
    ("conv2d", "depthwise", plan_depthwise),
    ("conv_transpose2d", "direct", plan_conv_transpose2d),
    ("cumsum", "rows", plan_cumsum),
    ("dequantize_linear", "map", plan_dequantize),
    ("dynamic_quantize_linear", "reduce", plan_dynamic_quantize),
    ("expand", "move", plan_expand),
    ("gather", "move", plan_gather),
    ("gather_elements", "move", plan_gather_elements),
    ("gather_nd", "move", plan_gather_nd),
    ("global_avg_pool2d", "reduce", plan_global_pool2d),
    ("global_max_pool2d", "reduce", plan_global_pool2d),
    ("grid_sample", "gather", plan_grid_sample),
    ("layer_norm", "rows", plan_layer_norm),
    ("gru", "rows", plan_gru),
    ("log_softmax", "rows", plan_softmax),
    ("lookup", "map", plan_lookup),
    ("lrn", "map", plan_lrn),
    ("lstm", "rows", plan_lstm),
    ("max", "reduce", plan_reduction),
    ("max_pool2d", "window", plan_pool2d),
    ("mean", "reduce", plan_reduction),
    ("min", "reduce", plan_reduction),
    ("pad", "move", plan_pad),
    ("prod", "reduce", plan_reduction),
    ("qadd", "map", plan_qbinary),
    ("qavg_pool2d", "window", plan_qavg_pool2d),
    ("qconv_transpose2d", "direct", plan_qconv_transpose2d),
    ("qglobal_avg_pool2d", "window", plan_qavg_pool2d),
    ("qmul", "map", plan_qbinary),
    ("qsoftmax", "rows", plan_qsoftmax),
    ("quantize_linear", "map", plan_quantize),
    ("reorder", "move", plan_reorder),
    ("reshape", "move", plan_copy),
    ("resize", "gather", plan_resize),
    ("rnn", "rows", plan_rnn),
    ("scatter_elements", "move", plan_scatter_elements),
    ("scatter_nd", "move", plan_scatter_nd),
    ("slice", "move", plan_slice),
    ("softmax", "rows", plan_softmax),
    ("split", "move", plan_split),
    ("sum", "reduce", plan_reduction),
    ("top_k", "rows", plan_top_k),
    ("transpose", "move", plan_transpose),
    ("where", "map", plan_where),
)

_CHANNELS_LAST = (
    "avg_pool2d",
    "cast",
    "global_avg_pool2d",
    "global_max_pool2d",
    "max_pool2d",
    "where",
)
"""Those that take images whose channels lie last, too, as elementwise operators do."""

_PRODUCTS: tuple[tuple[str, Callable[..., Plan | No]], ...] = (
    ("conv2d", plan_conv2d),
    ("conv_integer", plan_conv_integer),
    ("linear", plan_linear),
    ("matmul", plan_matmul),
    ("matmul_integer", plan_matmul_integer),
    ("qconv2d", plan_qconv2d),
    ("qmatmul", plan_qmatmul),
)
"""Operators that are products of matrices; `tiling` says how."""

CATALOGUE: tuple[Algorithm, ...] = (
    *(
        Algorithm(name, "map", operators()[name].dtypes, plan_elementwise, layouts=(NCHW, NHWC))
        for name in ELEMENTWISE
    ),
    *(
        Algorithm(
            *(name, how, operators()[name].dtypes, plan),
            layouts=(NCHW, NHWC) if name in _CHANNELS_LAST else (NCHW,),
        )
        for name, how, plan in _OTHERS
    ),
    *(
        Algorithm(name, tiling.name, dtypes, partial(plan, tiling=tiling), tiling.is_portable)
        for name, plan in _PRODUCTS
        for tiling, wanted in TILINGS
        if (dtypes := tuple(d for d in operators()[name].dtypes if d in wanted))
    ),
)
