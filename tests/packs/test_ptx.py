"""That PTX runs on the host as its manual says, and that what the manual forbids is noticed."""

from __future__ import annotations

import struct
from fractions import Fraction

import numpy as np
import pytest

from tests.packs.ptx.build import shared_object
from tests.packs.ptx.run import Program, UndefinedBehaviour
from tests.packs.ptx.traffic import traffic_of

HEAD = ".version 9.0\n.target sm_80\n.address_size 64\n"
NAN, INF = float("nan"), float("inf")
FLOATS = np.array(
    [0.0, -0.0, 1, -1.5, 2.5, -0.5, 0.3, 1e-45, 1e-39, 255.99, 3e9, -3e9, 1e30, INF, -INF, NAN],
    np.float32,
)
PLAIN = np.array([1.0, -1.5, 0.3, 252.0, 255.99, -0.7, 12582913.0, 1e-3, 3e9], np.float32)
DOUBLES = np.array([*FLOATS, 1e300, -1e-310, 1e19, 2.0**63], np.float64)
WORDS = np.array(
    [0, 1, 2, 3, 7, 31, 32, 33, 128, 255, 0x7F80FF01, 2**31 - 1, 2**31, 2**32 - 2, 2**32 - 1],
    np.uint32,
)
FEW = np.array([0, 1, 31, 32, 63, 64, 255], np.uint32)
LONGS = np.array([0, 1, 5, 63, 64, 2**31, 2**63 - 1, 2**63, 2**64 - 3, 2**64 - 1], np.uint64)
SHORTS = np.array([0, 1, 2, 255, 2**15 - 1, 2**15, 2**16 - 1], np.uint16)
VALUES = {"r": WORDS, "d": LONGS, "h": SHORTS, "f": FLOATS, "g": PLAIN, "e": DOUBLES, "n": FEW}
"""By the letter of a register's kind: 32, 64 and 16 bits, float32 (g: without zeros and what
isn't finite; n: small numbers of 32 bits) and float64."""
STORED = {"r": "u32", "d": "u64", "h": "u16", "f": "f32", "g": "f32", "e": "f64", "n": "u32"}


def signed(x):
    return x.astype(f"i{x.itemsize}") if isinstance(x, np.ndarray) else x.view(f"i{x.itemsize}")


def kernel(name, body, parameters=3, declared=""):
    """Return a kernel of so many addresses; thread x's place of 8 bytes in each is %a0, %a1 …"""
    given = ",\n".join(f".param .u64 {name}_param_{i}" for i in range(parameters))
    loads = "\n".join(
        f"ld.param.u64 %a{i}, [{name}_param_{i}];\nadd.s64 %a{i}, %a{i}, %o;"
        for i in range(parameters)
    )
    return f"""
.visible .entry {name}(
{given}
)
{{
  .reg .pred %p<4>;
  .reg .b16 %h<4>;
  .reg .b32 %r<8>;
  .reg .b64 %d<4>;
  .reg .f32 %f<4>;
  .reg .f32 %g<4>;
  .reg .b32 %n<5>;
  .reg .f64 %e<4>;
  .reg .b64 %a<{parameters + 1}>;
  .reg .b64 %o;
  {declared}
  mov.u32 %r0, %tid.x;
  mul.wide.u32 %o, %r0, 8;
  {loads}
  {body}
  ret;
}}
"""


def program(*kernels):
    return Program(
        shared_object(".version 9.0\n.target sm_80\n.address_size 64\n" + "".join(kernels))
    )


def run(made, name, arrays, block=(1, 1, 1), grid=(1, 1, 1)):
    spans = [(a.ctypes.data, a.ctypes.data + a.nbytes) for a in arrays]
    addresses = [struct.pack("<Q", start) for start, _ in spans]
    made.launch(name, grid, block, addresses, spans)


# ---- Instructions -----------------------------------------------------------------------------


def wrapped(function):
    """As integers without a sign, in their own width."""

    def apply(*given):
        with np.errstate(all="ignore"):
            return function(*given).astype(given[0].dtype)

    return apply


def as_signed(function):
    def apply(*given):
        with np.errstate(all="ignore"):
            return signed_bits(function(*(signed(x) for x in given)), given[0].dtype)

    return apply


def signed_bits(values, dtype):
    return np.asarray(values).astype(f"i{dtype.itemsize}").view(dtype)


def floats(function):
    def apply(*given):
        with np.errstate(all="ignore"):
            return function(*given)

    return apply


def shifted(function):
    """By the width or more nothing is left."""

    def apply(a, amount):
        width = 8 * a.itemsize
        kept = function(a, np.minimum(amount, width - 1).astype(a.dtype))
        return np.where(amount < width, kept, 0).astype(a.dtype)

    return apply


def sign_shifted(a, amount):
    amount = np.minimum(amount.astype(np.uint64), a.itemsize * 8 - 1)
    return signed_bits(signed(a) >> amount.astype(f"i{a.itemsize}"), a.dtype)


def truth(function):
    def apply(*given):
        with np.errstate(all="ignore"):
            return function(*given).astype(np.uint32)

    return apply


def cut(low, high, dtype):
    """Return conversion to integers: what is too large becomes the largest, NaN 0."""

    def apply(x):
        wide = [0 if np.isnan(v) else int(min(max(float(np.trunc(v)), low), high)) for v in x]
        return np.array([min(max(v, low), high) for v in wide], dtype)

    return apply


def permuted(a, b, selected):
    found = []
    for x, y, s in zip(a.tolist(), b.tolist(), selected.tolist(), strict=True):
        both = (y << 32 | x).to_bytes(8, "little")
        taken = [both[s >> 4 * i & 7] for i in range(4)]
        filled = [(0xFF if t & 0x80 else 0) if s >> 4 * i & 8 else t for i, t in enumerate(taken)]
        found.append(int.from_bytes(bytes(filled), "little"))
    return np.array(found, np.uint32)


def inserted(a, b, start, count):
    found = []
    for x, y, s, n in zip(*(v.tolist() for v in (a, b, start, count)), strict=True):
        s, n, width = s & 255, n & 255, 8 * a.itemsize
        for i in range(min(n, max(width - s, 0))):
            y = y & ~(1 << s + i) | (x >> i & 1) << s + i
        found.append(y)
    return np.array(found, a.dtype)


def dot(a, b, total):
    x, y = (v.copy().view(np.int8).reshape(-1, 4).astype(np.int64) for v in (a, b))
    return ((x * y).sum(1) + total.astype(np.int64)).astype(np.uint64).astype(np.uint32)


def fused(rounded):
    """Return a product and a sum that are rounded once: `rounded` picks one of three neighbours."""

    def apply(a, b, c):
        found = (a.astype(np.longdouble) * b + c).astype(np.float32)
        for i in np.flatnonzero(np.isfinite(found) & (found != 0)):
            exact = Fraction(float(a[i])) * Fraction(float(b[i])) + Fraction(float(c[i]))
            around = [np.nextafter(found[i], np.float32(end)) for end in (-INF, INF)]
            found[i] = rounded(exact, sorted([found[i], *around]))
        return found

    return apply


def nearest(exact, candidates):
    """Of two as near the even one."""
    return min(candidates, key=lambda x: (abs(Fraction(float(x)) - exact), x.view(np.uint32) & 1))


def below(exact, candidates):
    return max(x for x in candidates if Fraction(float(x)) <= exact)


def saturated(x):
    return np.where(
        np.isnan(x), np.float32(0), np.clip(x, np.float32(0), np.float32(1)) + np.float32(0)
    )


def halves(x):
    return x.astype(np.float16).view(np.uint16)


INSTRUCTIONS = {
    "add.s32 r,r,r": wrapped(lambda a, b: a + b),
    "add.s64 d,d,d": wrapped(lambda a, b: a + b),
    "sub.s32 r,r,r": wrapped(lambda a, b: a - b),
    "sub.s16 h,h,h": wrapped(lambda a, b: a - b),
    "mul.lo.s32 r,r,r": wrapped(lambda a, b: a * b),
    "mul.lo.s16 h,h,h": wrapped(lambda a, b: a * b),
    "mul.lo.s64 d,d,d": wrapped(lambda a, b: a * b),
    "mul.wide.s32 d,r,r": lambda a, b: (signed(a).astype(np.int64) * signed(b)).view(np.uint64),
    "mul.wide.u32 d,r,r": lambda a, b: a.astype(np.uint64) * b,
    "mad.lo.s32 r,r,r,r": wrapped(lambda a, b, c: a * b + c),
    "min.s32 r,r,r": as_signed(np.minimum),
    "max.s64 d,d,d": as_signed(np.maximum),
    "min.u64 d,d,d": np.minimum,
    "max.u32 r,r,r": np.maximum,
    "neg.s32 r,r": wrapped(lambda a: 0 - a),
    "abs.s64 d,d": as_signed(np.abs),
    "not.b32 r,r": np.invert,
    "and.b32 r,r,r": np.bitwise_and,
    "or.b64 d,d,d": np.bitwise_or,
    "xor.b32 r,r,r": np.bitwise_xor,
    "shl.b32 r,r,r": shifted(np.left_shift),
    "shr.u32 r,r,r": shifted(np.right_shift),
    "shr.s32 r,r,r": sign_shifted,
    "shr.s64 d,d,r": sign_shifted,
    "shl.b64 d,d,r": shifted(np.left_shift),
    "cvt.s64.s32 d,r": lambda a: signed(a).astype(np.int64).view(np.uint64),
    "cvt.u64.u32 d,r": lambda a: a.astype(np.uint64),
    "cvt.u32.u64 r,d": lambda a: a.astype(np.uint32),
    "cvt.s32.s16 r,h": lambda a: signed(a).astype(np.int32).view(np.uint32),
    "cvt.s32.s8 r,r": lambda a: a.astype(np.int8).astype(np.int32).view(np.uint32),
    "cvt.rn.f32.s32 f,r": lambda a: signed(a).astype(np.float32),
    "cvt.rn.f32.u64 f,d": lambda a: a.astype(np.float32),
    "cvt.rn.f64.s64 e,d": lambda a: signed(a).astype(np.float64),
    "cvt.rzi.s32.f32 r,f": lambda a: cut(-(2**31), 2**31 - 1, np.int32)(a).view(np.uint32),
    "cvt.rzi.u32.f32 r,f": cut(0, 2**32 - 1, np.uint32),
    "cvt.rzi.s32.f64 r,e": lambda a: cut(-(2**31), 2**31 - 1, np.int32)(a).view(np.uint32),
    "cvt.rni.f32.f32 f,f": floats(np.rint),
    "cvt.rmi.f64.f64 e,e": floats(np.floor),
    "cvt.rpi.f32.f32 f,f": floats(np.ceil),
    "cvt.rzi.f64.f64 e,e": floats(np.trunc),
    "cvt.sat.f32.f32 f,f": floats(saturated),
    "cvt.f64.f32 e,f": lambda a: a.astype(np.float64),
    "cvt.rn.f32.f64 f,e": floats(lambda a: a.astype(np.float32)),
    "cvt.rn.f16.f32 h,f": floats(halves),
    "cvt.f32.f16 f,h": floats(lambda a: a.view(np.float16).astype(np.float32)),
    "add.f32 f,f,f": floats(np.add),
    "sub.f64 e,e,e": floats(np.subtract),
    "mul.rn.f32 f,f,f": floats(np.multiply),
    "div.rn.f32 f,f,f": floats(np.divide),
    "div.rn.f64 e,e,e": floats(np.divide),
    "fma.rn.f32 f,f,f,f": floats(fused(nearest)),
    "fma.rm.f32 g,g,g,g": floats(fused(below)),
    "rcp.rn.f32 f,f": floats(lambda a: np.float32(1) / a),
    "sqrt.rn.f64 e,e": floats(np.sqrt),
    "neg.f32 f,f": np.negative,
    "abs.f64 e,e": np.abs,
    "copysign.f32 f,f,f": lambda sign, size: np.copysign(size, sign),
    "dp4a.s32.s32 r,r,r,r": dot,
    "prmt.b32 r,r,r,r": permuted,
    "bfi.b64 d,d,d,n,n": inserted,
    "mov.b32 f,r": lambda a: a.view(np.float32),
    "mov.b64 d,e": lambda a: a.view(np.uint64),
    "setp.lt.s32 p,r,r": truth(lambda a, b: signed(a) < signed(b)),
    "setp.ge.u32 p,r,r": truth(np.greater_equal),
    "setp.ne.s64 p,d,d": truth(np.not_equal),
    "setp.gt.s16 p,h,h": truth(lambda a, b: signed(a) > signed(b)),
    "setp.eq.f32 p,f,f": truth(np.equal),
    "setp.ne.f32 p,f,f": truth(lambda a, b: (a != b) & ~np.isnan(a) & ~np.isnan(b)),
    "setp.neu.f64 p,e,e": truth(np.not_equal),
    "setp.ltu.f32 p,f,f": truth(lambda a, b: ~(a >= b)),
    "setp.le.f32 p,f,f": truth(np.less_equal),
    "setp.nan.f32 p,f,f": truth(lambda a, b: np.isnan(a) | np.isnan(b)),
    "setp.num.f64 p,e,e": truth(lambda a, b: ~np.isnan(a) & ~np.isnan(b)),
}


def instruction_kernel(name, instruction):
    """Return a kernel that computes one instruction of each thread's operands."""
    opcode, places = instruction.split()
    target, *given = places.split(",")
    lines = [f"ld.global.{STORED[kind]} %{kind}{i}, [%a{i}];" for i, kind in enumerate(given, 1)]
    if target == "p":
        result = "%r7"
        after = "selp.u32 %r7, 1, 0, %p0;"
        written = "%p0"
    else:
        result = written = f"%{target}0" if target != "r" else "%r7"
        after = ""
    operands = ", ".join([written, *(f"%{kind}{i}" for i, kind in enumerate(given, 1))])
    stored = STORED["r" if target == "p" else target]
    lines += [f"{opcode} {operands};", after, f"st.global.{stored} [%a0], {result};"]
    return kernel(name, "\n  ".join(lines), 5)


@pytest.fixture(scope="module")
def instructions():
    return program(*(instruction_kernel(f"i{n}", text) for n, text in enumerate(INSTRUCTIONS)))


def spread(values):
    """Return an array whose elements lie 8 bytes apart, and its view of the values."""
    held = np.zeros(len(values), np.uint64)
    view = held.view(values.dtype).reshape(len(values), -1)[:, 0]
    view[...] = values
    return held, view


@pytest.mark.parametrize("instruction", INSTRUCTIONS)
def test_instructions_compute_what_the_manual_says(instructions, instruction):
    number = list(INSTRUCTIONS).index(instruction)
    target, *given = instruction.split()[1].split(",")
    grid = np.meshgrid(*(VALUES[kind] for kind in given), indexing="ij")
    operands = [part.ravel() for part in grid]
    wanted = INSTRUCTIONS[instruction](*operands)
    kind = VALUES["r" if target == "p" else target].dtype
    result, got = spread(np.full(len(operands[0]), 0xAB, kind))
    held = [result, *(spread(x)[0] for x in operands)]
    held += [result] * (5 - len(held))
    threads = 1024
    for start in range(0, len(result), threads):
        part = [h[start : start + threads] for h in held]
        run(instructions, f"i{number}", part, (len(part[0]), 1, 1))
    assert wanted.dtype == kind
    if kind.kind == "f":
        np.testing.assert_array_equal(got, wanted)
        finite = ~np.isnan(wanted)
        np.testing.assert_array_equal(np.signbit(got[finite]), np.signbit(wanted[finite]))
    elif instruction == "cvt.rn.f16.f32 h,f":
        np.testing.assert_array_equal(got.view(np.float16), wanted.view(np.float16))
    else:
        np.testing.assert_array_equal(got, wanted)


def test_approximations_are_close():
    made = program(
        instruction_kernel("exponential", "ex2.approx.ftz.f32 f,f"),
        instruction_kernel("one_over", "rcp.approx.ftz.f32 f,f"),
        instruction_kernel("coarse", "rcp.approx.ftz.f64 e,e"),
    )
    x = np.array([0.0, 1.0, -3.5, 100.0, 0.1], np.float32)
    held, got = spread(np.zeros_like(x))
    run(made, "exponential", [held, spread(x)[0], *[held] * 3], (len(x), 1, 1))
    np.testing.assert_allclose(got, np.exp2(x.astype(np.float64)), rtol=2**-22)
    run(made, "one_over", [held, spread(x)[0], *[held] * 3], (len(x), 1, 1))
    with np.errstate(divide="ignore"):
        np.testing.assert_allclose(got, 1 / x, rtol=2**-23)
    y = np.array([3.0, -0.7, 1e200])
    held, got = spread(np.zeros_like(y))
    run(made, "coarse", [held, spread(y)[0], *[held] * 3], (len(y), 1, 1))
    np.testing.assert_allclose(got, 1 / y, rtol=2**-19)
    assert not (got.view(np.uint64) & 0xFFFFFFFF).any()


def test_an_instruction_that_isnt_known_is_refused():
    with pytest.raises(ValueError, match=r"not known: sin\.approx\.f32 %f0, %f1"):
        shared_object(kernel("f", "sin.approx.f32 %f0, %f1;"))


# ---- Threads ----------------------------------------------------------------------------------

SHARED = ".shared .align 16 .b8 held[256];"
PLACE = "mov.u64 %d0, held; shl.b32 %r1, %r0, 2; cvt.u64.u32 %d1, %r1; add.s64 %d1, %d0, %d1;"
REVERSED = f"""{PLACE}
  st.shared.u32 [%d1], %r0;
  {{barrier}}
  sub.s32 %r2, 63, %r0; shl.b32 %r2, %r2, 2; cvt.u64.u32 %d2, %r2; add.s64 %d2, %d0, %d2;
  ld.shared.u32 %r3, [%d2];
  st.global.u32 [%a0], %r3;"""


def test_threads_meet_at_barriers():
    made = program(kernel("f", REVERSED.format(barrier="bar.sync 0;"), 1, SHARED))
    y = np.zeros(64, np.uint64)
    run(made, "f", [y], (64, 1, 1))
    assert y.tolist() == list(range(63, -1, -1))


def test_loops_wait_each_time():
    body = f"""{PLACE}
  mov.u32 %r4, 0;
$again:
  add.s32 %r5, %r0, %r4;
  st.shared.u32 [%d1], %r5;
  bar.sync 0;
  ld.shared.u32 %r3, [held+252];
  bar.sync 0;
  add.s32 %r4, %r4, 1;
  setp.lt.s32 %p0, %r4, 5;
  @%p0 bra $again;
  st.global.u32 [%a0], %r3;"""
    y = np.zeros(64, np.uint64)
    run(program(kernel("f", body, 1, SHARED)), "f", [y], (64, 1, 1))
    assert (y == 67).all()


def test_lanes_shuffle():
    body = """mov.u32 %r1, 31; mov.u32 %r2, -1; mov.u32 %r3, 5;
  shfl.sync.bfly.b32 %r4|%p0, %r0, %r3, %r1, %r2;
  shfl.sync.bfly.b32 %r5|%p1, %r4, %r3, %r1, %r2;
  add.s32 %r4, %r4, %r5;
  st.global.u32 [%a0], %r4;"""
    y = np.zeros(96, np.uint64)
    run(program(kernel("f", body, 1)), "f", [y], (96, 1, 1))
    assert y.tolist() == [i + (i ^ 5) for i in range(96)]


def test_vectors_places_and_functions():
    body = """
  ld.global.v2.u32 {%r1, %r2}, [%a1];
  mov.b64 %d1, {%r2, %r1};
  {
  .reg .b32 %temp;
  mov.b64 {%temp, %r3}, %d1;
  mov.u32 %r4, %ctaid.y;
  mad.lo.s32 %r3, %r4, 100, %r3;
  .param .b32 param0;
  st.param.b32 [param0+0], %r3;
  .param .b32 retval0;
  call.uni (retval0), twice, (param0);
  ld.param.b32 %r5, [retval0+0];
  }
  st.global.v2.u32 [%a0], {%r5, %r2};"""
    function = """
.func (.param .b32 func_retval0) twice(.param .b32 twice_param_0)
{
  .reg .b32 %r<3>;
  ld.param.u32 %r1, [twice_param_0];
  shl.b32 %r2, %r1, 1;
  st.param.b32 [func_retval0+0], %r2;
  ret;
}
"""
    x, y = np.array([7 | 9 << 32], np.uint64), np.zeros(1, np.uint64)
    run(program(function, kernel("f", body, 2)), "f", [y, x], grid=(1, 3, 1))
    assert y[0] == 2 * (2 * 100 + 7) | 9 << 32


# ---- What is noticed --------------------------------------------------------------------------

WRONG = {
    "aren't in memory": ("ld.global.u32 %r1, [%a0+8];", "outside of all memory"),
    "cross an end": ("ld.global.u64 %d1, [%a0+8];", "outside of all memory"),
    "aren't aligned": ("ld.global.u32 %r1, [%a0+2];", "which isn't aligned"),
    "aren't aligned as vectors": ("ld.global.v2.u32 {%r1, %r2}, [%a0+4];", "isn't aligned"),
    "race": (REVERSED.format(barrier=""), "where nobody wrote|since the last barrier"),
    "write over": ("st.shared.u32 [held], %r0;", "where thread 0 wrote since"),
    "read what nobody wrote": ("ld.shared.u32 %r1, [held];", "where nobody wrote"),
    "leave shared memory": ("st.shared.u32 [held+256], %r0;", "of its 256"),
    "write what others read": (
        f"""{PLACE} st.shared.u32 [%d1], %r0; bar.sync 0; ld.shared.u32 %r3, [held+8];
        st.shared.u32 [%d1], %r0;""",
        "where another thread read",
    ),
    "wait elsewhere": (
        "setp.lt.u32 %p0, %r0, 8; @%p0 bra $low; bar.sync 0; bra $end; $low: bar.sync 0; $end:",
        "a barrier that others",
    ),
    "shuffle without others": (
        """setp.lt.u32 %p0, %r0, 8; @%p0 bra $end; mov.u32 %r1, 31; mov.u32 %r2, -1;
        shfl.sync.bfly.b32 %r4|%p1, %r0, %r1, %r1, %r2; $end:""",
        "a shuffle of lanes 0xffffffff, of which 0 isn't there",
    ),
    "shuffle among others": (
        "mov.u32 %r1, 31; mov.u32 %r2, -2; shfl.sync.bfly.b32 %r4|%p1, %r0, %r1, %r1, %r2;",
        "a shuffle of lanes 0xfffffffe, of which 0 isn't one",
    ),
    "divide by 0": ("mov.u32 %r1, 0; div.s32 %r2, %r0, %r1;", "a division of an integer by 0"),
    "never end": ("$again: bra $again;", "no end of its loops"),
}


@pytest.mark.parametrize("what", WRONG)
def test_threads_that_do_wrong_are_named(what):
    body, message = WRONG[what]
    made = program(kernel("f", body, 1, SHARED))
    y = np.zeros(1 if "memory" in message else 64, np.uint64)
    named = rf"f: thread \(\d+, 0, 0\) of block \(0, 0, 0\): .*({message})"
    with pytest.raises(UndefinedBehaviour, match=named):
        run(made, "f", [y], (64, 1, 1))


# ---- Traffic ----------------------------------------------------------------------------------

COPIES = {
    "side by side": ("shl.b32 %r1, %r0, 2;", 1.0),
    "in pairs of sectors": ("shl.b32 %r1, %r0, 3;", 2.0),
    "a sector each": ("shl.b32 %r1, %r0, 5;", 8.0),
    "the same": ("mov.u32 %r1, 0;", 1.0),
}


@pytest.mark.parametrize("how", COPIES)
def test_sectors_of_global_memory_are_counted(how):
    place, waste = COPIES[how]
    body = f"""{place} cvt.u64.u32 %d1, %r1; sub.s64 %a0, %a0, %o; add.s64 %d2, %a0, %d1;
    ld.global.u32 %r2, [%d2];"""
    made = Program(shared_object(HEAD + kernel("f", body, 1), logs=True))
    memory = np.zeros(1024, np.uint64)
    start = -memory.ctypes.data % 32 // 8
    run(made, "f", [memory[start : start + 512]], (64, 1, 1), (2, 1, 1))
    found = traffic_of(made.log())
    assert found["loads"].requests == 4 and found["loads"].waste == waste
    assert found["stores"].requests == found["shared_loads"].requests == 0
    assert not len(made.log())


def test_turns_of_shared_memory_are_counted():
    body = """mul.lo.s32 %r1, %r0, {step}; cvt.u64.u32 %d1, %r1; mov.u64 %d0, held;
    add.s64 %d1, %d0, %d1; st.shared.u32 [%d1], %r0;"""
    declared = ".shared .align 16 .b8 held[4352];"
    for step, turns in ((4, 1), (8, 2), (128, 32), (132, 1)):
        text = HEAD + kernel("f", body.format(step=step), 1, declared)
        made = Program(shared_object(text, logs=True))
        run(made, "f", [np.zeros(64, np.uint64)], (32, 1, 1))
        found = traffic_of(made.log())["shared_stores"]
        assert (found.requests, found.units, found.least) == (1, turns, 1)
