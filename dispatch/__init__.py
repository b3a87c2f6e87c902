"""Send each tensor operator to the fastest kernel here: a vendor's, or our own.

>>> import dispatch
>>> y = dispatch.conv2d(x, dispatch.constant(w), pads="same", activation="relu")
>>> print(dispatch.explain(dispatch.conv2d, x, w))
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dispatch.answer import Answer, No, NoCode, Yes
from dispatch.constant import Constant, constant
from dispatch.context import Settings, settings, using
from dispatch.devices import Device, devices
from dispatch.errors import (
    DeviceUnavailable,
    DispatchError,
    FallbackRefused,
    ForkedProcessError,
    InvalidArgument,
    KernelFailed,
    NoKernel,
    PackUnavailable,
    RegistrationError,
    UnsupportedDtype,
)
from dispatch.explain import Explanation, explain
from dispatch.operators import functions, operators
from dispatch.problem import EpilogueStep, Problem
from dispatch.quantized import QuantizedArray, quantized
from dispatch.registry import packs
from dispatch.selection import Decision, FallbackWarning
from dispatch.tensor import Quantization, TensorSpec
from dispatch.tuning.database import TuningWarning
from dispatch.tuning.tune import Tuning, tune

__all__ = [
    "Answer",
    "Constant",
    "Decision",
    "Device",
    "DeviceUnavailable",
    "DispatchError",
    "EpilogueStep",
    "Explanation",
    "FallbackRefused",
    "FallbackWarning",
    "ForkedProcessError",
    "InvalidArgument",
    "KernelFailed",
    "No",
    "NoCode",
    "NoKernel",
    "PackUnavailable",
    "Problem",
    "Quantization",
    "QuantizedArray",
    "RegistrationError",
    "Settings",
    "TensorSpec",
    "Tuning",
    "TuningWarning",
    "UnsupportedDtype",
    "Yes",
    "constant",
    "devices",
    "explain",
    "operators",
    "packs",
    "quantized",
    "settings",
    "tune",
    "using",
]

globals().update(functions())
__all__ += list(functions())

if TYPE_CHECKING:

    def __getattr__(name: str) -> Any: ...
