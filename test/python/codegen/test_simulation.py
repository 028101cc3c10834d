"""What quantization-aware training simulates against the integer reference, tensor by tensor."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from microai.codegen import formats, reference
from microai.codegen.graph import Graph
from microai.codegen.passes import simplify
from microai.codegen.quantize.affine import AffineScheme
from microai.codegen.quantize.calibration import calibrate
from microai.codegen.quantize.fixed_point import FixedPoint, choose_formats
from microai.codegen.requant import Rounding, requant
from microai.errors import UserError
from microai.train.qat import inference, signed_where_ranges_decide, simulation

from .random_graphs import STEPS, graphs, samples, softmax


def towards_one_output(graph: Graph) -> Graph:
    """The part of a graph that its last output depends on."""
    needed = {graph.outputs[-1]}
    for node in reversed(graph.nodes):
        if node.name in needed:
            needed |= set(node.inputs)
    return Graph.build(
        graph.name,
        {name: graph.tensors[name] for name in graph.inputs if name in needed},
        [node for node in graph.nodes if node.name in needed],
        [graph.outputs[-1]],
    )


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    graph=graphs(steps=[step for step in STEPS if step is not softmax]),
    bits=st.sampled_from([8, 8, 6, 12, 16]),
    weight_bits=st.sampled_from([8, 2, 4, 16]),
    scale=st.sampled_from(["layer", "filter"]),
    roundings=st.tuples(st.sampled_from(Rounding), st.sampled_from(Rounding)),
    unsigned=st.booleans(),
    seed=st.integers(0, 99),
)
def test_every_tensor_is_what_the_generator_makes(
    graph: Graph,
    bits: int,
    weight_bits: int,
    scale: str,
    roundings: tuple[Rounding, Rounding],
    unsigned: bool,
    seed: int,
) -> None:
    """Random graphs, formats left by post-training quantization, exported, against the integer reference."""
    from microai.train.simulation import Rules, Simulation, tensors

    graph = simplify(towards_one_output(graph))
    assume(len(graph.inputs) == 1 and graph.nodes)
    x = samples(graph, seed, 5)[0].astype(np.float32)
    scheme = FixedPoint(
        bits,
        scale,
        None,
        *roundings,
        weight_bits=weight_bits,
        unsigned=unsigned and roundings[1] is not Rounding.TRUNC,
    )
    try:
        maxima = calibrate(graph, [x])
        chosen = signed_where_ranges_decide(graph, choose_formats(graph, maxima, scheme))
        network = Simulation(graph, chosen, Rules(*roundings, "batch"), maxima=maxima)
        frozen = network.export()
        integers = frozen.quantized(graph, [x], scheme)
    except UserError as error:
        assume("too far apart" not in str(error) and "more than 31 bits apart" not in str(error))
        raise
    wanted = reference.tensors(integers, list(reference.stored(integers, [x])))
    found = tensors(network, x)
    for name, values in wanted.items():
        np.testing.assert_array_equal(found[name], values, err_msg=name)


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("ranges", ["batch", "learned"])
@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(graph=graphs(steps=[step for step in STEPS if step is not softmax]), seed=st.integers(0, 99))
def test_every_affine_tensor_is_what_the_generator_makes(
    bits: int, ranges: Any, graph: Graph, seed: int
) -> None:
    """Random graphs: before training, and after a step of it with other values, exported and taken up again."""
    from microai.train.simulation import tensors

    graph = simplify(towards_one_output(graph))
    assume(len(graph.inputs) == 1 and graph.nodes)
    x, other = (samples(graph, seed + step, 5)[0].astype(np.float32) for step in (0, 100))
    scheme = AffineScheme(bits)
    try:
        network = simulation(graph, scheme, [x], ranges)
        network.begin_epoch(settled=False)
        for values in (x, other):
            frozen = network.export()
            integers = frozen.quantized(graph, [x], scheme)
            wanted = reference.tensors(integers, list(reference.stored(integers, [values])))
            found = tensors(inference(graph, frozen, scheme), values)
            for name, tensor in wanted.items():
                np.testing.assert_array_equal(found[name], tensor, err_msg=name)
            scores = np.asarray(network(2 * other, training=True))
            assert np.isfinite(scores).all()
    except UserError as error:
        assume("finer" not in str(error) and "of scales" not in str(error))
        raise


@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(graph=graphs(steps=[step for step in STEPS if step is not softmax]), seed=st.integers(0, 99))
def test_a_training_step_computes_what_inference_does(graph: Graph, seed: int) -> None:
    """8 bits, ranges settled: the same scores in float32 as in float64."""
    graph = simplify(towards_one_output(graph))
    assume(len(graph.inputs) == 1 and graph.nodes)
    x = samples(graph, seed, 5)[0].astype(np.float32)
    try:
        network = simulation(graph, AffineScheme(8), [x], "batch")
    except UserError as error:
        assume("finer" not in str(error) and "of scales" not in str(error))
        raise
    network.begin_epoch(settled=True)
    np.testing.assert_allclose(network(x, training=True), network(x, training=False), rtol=1e-6)


@pytest.mark.parametrize("rounding", list(Rounding))
def test_rounding_is_the_generators(rounding: Rounding) -> None:
    """All numbers with 24 digits would be too many: those beside each half and each whole, at every shift."""
    from microai.train.simulation import rounded, tf

    for shift in range(1, 25):
        half = 1 << (shift - 1)
        near = np.unique([m * half + d for m in range(-9, 10) for d in (-1, 0, 1)])
        near = np.concatenate([near[abs(near) <= 2**24], [2**24 - 1, 1 - 2**24, 2**23 + 1]])
        found = rounded(tf.constant(np.ldexp(near, -shift), tf.float32), rounding)
        wanted = requant(near, shift, rounding, -(2**31), 2**31 - 1)
        np.testing.assert_array_equal(np.asarray(found), wanted, err_msg=str(shift))


def test_integer_bits_and_powers_of_two_are_exact() -> None:
    from microai.train.simulation import integer_bits, power_of_two, tf

    powers = np.ldexp(np.float32(1), np.arange(-100, 101)).astype(np.float32)
    values = np.concatenate([powers, np.nextafter(powers, np.float32(0)), np.float32([0, 3, 0.7])])
    found = np.asarray(integer_bits(tf.constant(values)))
    assert found.tolist() == [formats.integer_bits(float(v)) for v in values]
    for dtype in (tf.float32, tf.float64):
        twos = np.asarray(power_of_two(tf.range(-100.0, 101.0), dtype))
        assert np.array_equal(twos, np.ldexp(1.0, np.arange(-100, 101)))
