"""The registry and the choice of a kernel, on small packs driven from Python."""

import warnings
from dataclasses import replace

import numpy as np
import pytest

import dispatch
from dispatch import registry as registry_module
from dispatch.answer import No, NoCode, Yes
from dispatch.context import Settings
from dispatch.contract import KernelName
from dispatch.registry import Registry
from dispatch.remembered import clear
from dispatch.selection import FallbackWarning, admitted, candidates, select
from tests.dispatch.fakes import FakeKernel, FakePack

PROBLEM = dispatch.Problem(
    operator="relu",
    inputs=(dispatch.TensorSpec("float32", (4,)),),
    outputs=(dispatch.TensorSpec("float32", (4,)),),
    device="cpu",
)


def refuse(problem: dispatch.Problem) -> No:
    return No(NoCode.SHAPE, "x.shape", "<= 3", "4")


def vendor(cost: float = 1.0, **more) -> FakePack:
    return FakePack("vendor", (FakeKernel("vendor.relu.fast.f32", lambda p: Yes(cost)),), **more)


def spare(cost: float = 2.0) -> FakePack:
    kernel = FakeKernel("spare.relu.plain.f32", lambda p: Yes(cost))
    return FakePack("spare", (kernel,), fallback=True)


def registry_of(*packs: FakePack) -> Registry:
    return Registry((pack, f"{pack.name} of tests") for pack in packs)


def test_the_cheapest_yes_is_taken_and_all_candidates_are_kept() -> None:
    decision = select(PROBLEM, Settings(), registry_of(vendor(3.0), spare(2.0)))
    assert decision.kernel.name == "spare.relu.plain.f32"
    assert [c.kernel.name for c in decision.candidates] == [
        "spare.relu.plain.f32",
        "vendor.relu.fast.f32",
    ]
    assert not decision.fallback, "the vendor's kernel said yes: this was a preference"


def test_a_vendor_wins_a_tie_against_a_fallback() -> None:
    decision = select(PROBLEM, Settings(), registry_of(spare(1.0), vendor(1.0)))
    assert decision.kernel.name == "vendor.relu.fast.f32"


def makers(cost: float, answer=None) -> FakePack:
    kernel = FakeKernel("maker.relu.own.f32", answer or (lambda p: Yes(cost)))
    return FakePack("maker", (kernel,), devices=("cpu", "qualcomm"))


def family() -> FakePack:
    kernel = FakeKernel("family.relu.wide.f32", lambda p: Yes(2.0))
    return FakePack("family", (kernel,), devices=("arm",))


def names(problem: dispatch.Problem, *packs: FakePack) -> list[str]:
    decision = select(problem, Settings(), registry_of(*packs))
    assert decision.kernel is decision.candidates[0].kernel
    return [c.kernel.name.split(".")[0] for c in decision.candidates]


def test_on_a_makers_cpu_its_pack_comes_first_and_its_familys_serve_too() -> None:
    on_makers = replace(PROBLEM, device="qualcomm")
    assert names(on_makers, makers(9.0), family(), spare(1.0)) == ["maker", "spare", "family"]
    assert names(on_makers, makers(9.0, refuse), family(), spare(3.0)) == [
        "family",
        "spare",
        "maker",
    ]


def test_elsewhere_a_makers_pack_is_a_candidate_like_any_other() -> None:
    for device in ("arm", "cpu"):
        asked = replace(PROBLEM, device=device)
        assert names(asked, makers(9.0), spare(1.0)) == ["spare", "maker"]
        assert names(asked, makers(0.5), spare(1.0)) == ["maker", "spare"]


def test_only_preferred_kernels_are_admitted_where_they_say_yes() -> None:
    on_makers = replace(PROBLEM, device="qualcomm")
    for pack, expected in ((makers(9.0), ["maker"]), (makers(9.0, refuse), ["spare", "family"])):
        asked = candidates(on_makers, Settings(), registry_of(pack, family(), spare(1.0)))
        assert [c.kernel.name.split(".")[0] for c in admitted(asked)] == expected


def test_a_pinned_kernel_is_taken_whatever_it_costs() -> None:
    known = registry_of(vendor(3.0), spare(2.0))
    decision = select(PROBLEM, Settings(kernel="vendor.relu.fast.f32"), known)
    assert decision.kernel.name == "vendor.relu.fast.f32"


def test_a_pinned_kernel_that_does_not_exist_is_named() -> None:
    with pytest.raises(
        dispatch.RegistrationError, match=r"vendor has no kernel vendor\.relu\.x\.f32"
    ):
        select(PROBLEM, Settings(kernel="vendor.relu.x.f32"), registry_of(vendor()))


def test_a_pinned_kernel_for_another_operator_is_refused() -> None:
    with pytest.raises(dispatch.NoKernel, match="another operator"):
        select(
            dispatch.Problem("abs", PROBLEM.inputs, PROBLEM.outputs),
            Settings(kernel="vendor.relu.fast.f32"),
            registry_of(vendor()),
        )


@pytest.mark.parametrize("fallback", ["allow", "warn", "error"])
def test_fallback_when_the_vendor_refuses(fallback: str) -> None:
    refusing = FakePack("vendor", (FakeKernel("vendor.relu.fast.f32", refuse),))
    known = registry_of(refusing, spare())
    settings = Settings(fallback=fallback)
    if fallback == "error":
        with pytest.raises(dispatch.FallbackRefused, match=r"vendor\.relu.*SHAPE.*<= 3, got 4"):
            select(PROBLEM, settings, known)
        return
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        decision = select(PROBLEM, settings, known)
    assert decision.kernel.name == "spare.relu.plain.f32"
    assert decision.fallback
    assert [w.category for w in caught] == ([FallbackWarning] if fallback == "warn" else [])


def test_fallback_when_the_vendors_library_is_missing() -> None:
    known = registry_of(vendor(missing="libvendor.so.3 not found: pip install vendor"), spare())
    with pytest.raises(dispatch.FallbackRefused, match="pip install vendor"):
        select(PROBLEM, Settings(fallback="error"), known)
    assert select(PROBLEM, Settings(), known).unavailable[0][0] == "vendor"


def test_when_nobody_serves_every_reason_is_told() -> None:
    refusing = FakePack("vendor", (FakeKernel("vendor.relu.fast.f32", refuse),))
    with pytest.raises(dispatch.NoKernel) as caught:
        select(PROBLEM, Settings(), registry_of(refusing, vendor_named("other", "no library")))
    assert "vendor.relu.fast.f32: SHAPE x.shape: expected <= 3, got 4" in str(caught.value)
    assert "other: unavailable: no library" in str(caught.value)


def vendor_named(name: str, missing: str) -> FakePack:
    return FakePack(name, missing=missing)


def test_only_the_packs_allowed_are_asked() -> None:
    decision = select(PROBLEM, Settings(packs=("spare",)), registry_of(vendor(), spare()))
    assert [c.kernel.name for c in decision.candidates] == ["spare.relu.plain.f32"]


def test_a_pack_for_another_device_is_not_asked() -> None:
    known = registry_of(vendor(devices=("nvidia",)), spare())
    assert select(PROBLEM, Settings(), known).kernel.name == "spare.relu.plain.f32"


def test_two_packs_of_one_name_are_an_error_that_names_both_places() -> None:
    with pytest.raises(dispatch.RegistrationError, match=r"first of a and second of b"):
        Registry([(FakePack("vendor"), "first of a"), (FakePack("vendor"), "second of b")])


def test_two_kernels_of_one_name_are_an_error_that_names_both_places() -> None:
    kernels = (
        FakeKernel("vendor.relu.fast.f32", source="a.c:10"),
        FakeKernel("vendor.relu.fast.f32", source="b.c:20"),
    )
    with pytest.raises(dispatch.RegistrationError, match=r"a\.c:10 and b\.c:20"):
        registry_of(FakePack("vendor", kernels))


@pytest.mark.parametrize(
    "name",
    [
        "relu",
        "vendor.relu.fast",
        "vendor.relu.fast.f33",
        "Vendor.relu.fast.f32",
        "vendor..a.f32",
        "",
    ],
)
def test_a_kernels_name_keeps_to_the_grammar(name: str) -> None:
    with pytest.raises(
        dispatch.RegistrationError, match=r"expected pack\.operator\.algorithm\.dtype"
    ):
        registry_of(FakePack("vendor", (FakeKernel(name),)))


def test_a_kernel_belongs_to_its_pack() -> None:
    with pytest.raises(dispatch.RegistrationError, match="expected the pack's name 'vendor'"):
        registry_of(FakePack("vendor", (FakeKernel("other.relu.fast.f32"),)))


def test_a_kernels_name_is_taken_apart() -> None:
    assert KernelName.parse("a.max_pool2d.3x3.bf16") == ("a", "max_pool2d", "3x3", "bf16")


def test_a_module_that_cannot_be_imported_is_an_unavailable_pack(monkeypatch) -> None:
    class Point:
        name, value, dist = "acme", "acme.pack:pack", None

        def load(self):
            raise OSError("libacme.so: cannot open shared object file")

    monkeypatch.setattr(registry_module.metadata, "entry_points", lambda group: [Point()])
    (pack,) = Registry(registry_module._entries()).packs
    assert not pack.available
    assert "libacme.so" in pack.reason


@pytest.fixture
def fake_registry(monkeypatch):
    """Put fake packs in the place of those installed."""

    def use(*packs: FakePack) -> None:
        clear()
        monkeypatch.setattr(registry_module, "_registry", registry_of(*packs))

    yield use
    clear()


def test_a_pack_driven_from_python_serves_eager_calls(fake_registry) -> None:
    pack = vendor()
    fake_registry(pack)
    x = np.array([-1, 0, 2], np.float32)
    assert dispatch.relu(x).tolist() == [0, 0, 2]
    out = np.empty(3, np.float32)
    assert dispatch.relu(x, out=out) is out
    assert out.tolist() == [0, 0, 2]
    assert pack.kernels[0].runs == 2


def test_a_constant_is_packed_once_for_many_calls(fake_registry) -> None:
    kernel = FakeKernel("vendor.conv2d.direct.f32", lambda p: Yes(1.0, packed_bytes=(0, 64, 0)))
    fake_registry(FakePack("vendor", (kernel,)))
    w = dispatch.constant(np.ones((2, 3, 1, 1), np.float32))
    for _ in range(3):
        dispatch.conv2d(np.ones((1, 3, 2, 2), np.float32), w)
    assert kernel.packed == [1]
    assert kernel.runs == 3


class CostlyPack(FakePack):
    """Says what it serves, and counts how often it was opened."""

    serves = ("relu.f32",)
    opened = 0

    def open(self, options=None):
        type(self).opened += 1
        return super().open(options)


def test_a_pack_that_says_what_it_serves_is_opened_for_that(monkeypatch) -> None:
    monkeypatch.setattr(CostlyPack, "opened", 0)
    kernel = FakeKernel("costly.relu.fast.f32", lambda p: Yes(1.0))
    known = registry_of(CostlyPack("costly", (kernel,)), spare(2.0))
    other = replace(PROBLEM, operator="abs")
    with pytest.raises(dispatch.NoKernel):
        select(other, Settings(), known)
    assert CostlyPack.opened == 0
    for _ in range(2):
        assert select(PROBLEM, Settings(), known).kernel.name == "costly.relu.fast.f32"
    assert CostlyPack.opened == 1
    stray = FakeKernel("costly.abs.fast.f32", lambda p: Yes(1.0))
    wrong = registry_of(CostlyPack("costly", (kernel, stray)), spare(2.0))
    with pytest.raises(dispatch.RegistrationError, match=r"costly\.abs\.fast\.f32 .*it serves"):
        select(PROBLEM, Settings(), wrong)


def test_a_pack_that_is_missing_is_named_where_it_could_serve() -> None:
    pack = CostlyPack("costly", (), missing="no library")
    known = registry_of(pack, spare(2.0))
    assert select(PROBLEM, Settings(), known).unavailable == (("costly", "no library"),)
    with pytest.raises(dispatch.NoKernel) as caught:
        select(replace(PROBLEM, operator="abs"), Settings(), known)
    assert "costly" not in str(caught.value)
