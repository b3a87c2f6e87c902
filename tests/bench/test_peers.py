"""The translations of problems for other frameworks, against the operators' references."""

import pytest

from bench.case import Case, cases_of, shape_sets
from bench.check import check, expect
from bench.engines.base import PEERS
from bench.engines.named import make_engine
from bench.errors import Refused
from bench.quantized import PRODUCTS
from dispatch.tuning.values import arrays_of

SMALL = 5e7


def small_cases() -> list[Case]:
    """One case of each operator and epilogue of the sets, the cheapest."""
    from dispatch.operators import operators

    found: dict[tuple[object, ...], Case] = {}
    for name, names in shape_sets().items():
        for operator in names:
            if operator in PRODUCTS:  # peers run them in whole models alone
                continue
            for case in cases_of(operator, name):
                p = case.problem
                flops = operators()[operator].flops(p)
                attributes = tuple(k for k, v in p.attributes if v not in (1, 0, (1, 1), (0,) * 4))
                key = (operator, tuple(s.name for s in p.epilogue), attributes)
                known = found.get(key)
                if flops < SMALL and (
                    known is None or flops < operators()[operator].flops(known.problem)
                ):
                    found[key] = case
    return list(found.values())


@pytest.mark.parametrize("peer", PEERS)
@pytest.mark.parametrize("case", small_cases(), ids=lambda c: c.name)
def test_peers_give_what_the_reference_gives(peer: str, case: Case) -> None:
    pytest.importorskip(peer)
    pytest.importorskip("onnx")
    arrays = arrays_of(case.problem)
    try:
        runner = make_engine(peer, 1).prepare(case.problem, arrays)
    except Refused as error:
        pytest.skip(str(error))
    check(peer, case.problem, runner.outputs(), expect(case.problem, arrays))
    assert runner.run(2) > 0


def test_onnxruntime_serves_all_but_what_onnx_lacks() -> None:
    pytest.importorskip("onnxruntime")
    engine = make_engine("onnxruntime", 1)
    refused = []
    for case in small_cases():
        try:
            engine.prepare(case.problem, arrays_of(case.problem))
        except Refused:
            refused.append(case.name)
    assert refused == []
