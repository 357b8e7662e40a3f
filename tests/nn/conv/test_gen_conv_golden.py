"""GENConv and DeepGCNLayer against the published code: values, all gradients and buffers, on every backend."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from graphkit import ops
from graphkit.nn import DeepGCNLayer, GENConv
from tests.golden.deepergcn_golden import Golden, assert_close, build_conv, conv_key, conv_state, names

BACKENDS = [name for name, (on, _) in ops.backend_status().items() if on and name != "triton"]


@pytest.fixture(params=BACKENDS)
def backend(request):
    with ops.backend(request.param):
        yield request.param


def run(golden: Golden, conv: GENConv) -> dict[str, float]:
    """Forward and backward as the file's; the error of every array that it has."""
    x = golden["x"].clone().requires_grad_()
    edge_attr = golden.get("edge_attr")
    if edge_attr is not None and edge_attr.is_floating_point():
        edge_attr = edge_attr.clone().requires_grad_()
    seen = {}

    def keep_aggregate(module, inputs, out):
        out.retain_grad()
        seen["aggr_out"] = out

    def keep_input(module, inputs):
        seen["mlp_in"] = inputs[0]

    conv.register_propagate_forward_hook(keep_aggregate)
    conv.mlp.register_forward_pre_hook(keep_input)
    out = conv(x, golden["edge_index"], edge_attr)
    loss = (out * golden["R"]).sum()
    loss.backward()

    errors = {"out": assert_close(out, golden["out"], "out"), "loss": assert_close(loss, golden["loss"], "loss")}
    for key in ("aggr_out", "mlp_in"):
        errors[key] = assert_close(seen[key], golden[key], key)
    parameters = dict(conv.named_parameters())
    scaled = hasattr(conv.aggr_module, "aggr")
    inputs = {"x": x, "edge_attr": edge_attr, "aggr_out": seen["aggr_out"]}
    for key, expected in golden.section("grad.").items():
        tensor = inputs[key] if key in inputs else parameters[conv_key(key, scaled=scaled)]
        errors[f"grad.{key}"] = assert_close(tensor.grad, expected, f"grad.{key}")
    buffers = dict(conv.named_buffers())
    for key, expected in conv_state(golden.section("after.")).items():
        errors[f"after.{key}"] = assert_close(buffers[key], expected, f"after.{key}")
    return errors


@pytest.mark.parametrize("name", names("genconv"))
def test_genconv(name, backend):
    golden = Golden(name)
    conv = build_conv(golden)
    errors = run(golden, conv)
    learnt = sum(parameter.requires_grad for parameter in conv.parameters())
    assert len(errors) >= 6 + learnt, "every parameter has been compared"


@pytest.mark.parametrize("name", names("genconv"))
def test_genconv_by_messages(name):
    golden = Golden(name)
    conv = build_conv(golden)
    conv.fuse = False
    run(golden, conv)


@pytest.mark.parametrize("name", [name for name in names("genconv") if "power" in name])
def test_exact_power_mean_is_the_published_one_where_no_clamp_binds(name, backend):
    golden = Golden(name)
    exact, clamped = build_conv(golden, compat=None), build_conv(golden)
    p = float(golden["param.p"] if "param.p" in golden else golden["const.p"])
    edge_index, target = golden["edge_index"], golden["edge_index"][1]
    messages = []
    clamped.register_message_forward_hook(lambda module, inputs, out: messages.append(out))
    results = []
    for conv in (clamped, exact):
        x, edge_attr = golden["x"].clone().requires_grad_(), golden["edge_attr"].clone().requires_grad_()
        outs = []
        conv.register_propagate_forward_hook(lambda module, inputs, out, outs=outs: outs.append(out))
        conv(x, edge_index, edge_attr)
        results.append((outs[0], x, edge_attr))

    (m,) = messages
    q = m.pow(p)
    mean = ops.scatter(q, target, 9, "mean")
    inside = (mean > 1e-7) & (mean < 10) & (ops.scatter(m, target, 9, "max") < 10)
    assert inside.any()
    cotangent = golden["grad.aggr_out"] * inside
    out = results[1][0]
    assert_close(out[inside], golden["aggr_out"][inside], "aggr_out")
    assert (out[[7, 8]] == 0).all(), "nodes without neighbours get 0"
    grads = [torch.autograd.grad(out, [x, edge_attr], cotangent) for out, x, edge_attr in results]
    for got, expected, what in zip(grads[1], grads[0], ("grad.x", "grad.edge_attr"), strict=True):
        assert_close(got, expected, what)


@pytest.mark.parametrize("ckpt_grad", [False, True])
@pytest.mark.parametrize("name", names("block"))
def test_block(name, ckpt_grad, backend):
    golden = Golden(name)
    state = golden.section("param.")
    kind = name.split("_")[2]
    conv = GENConv(5, 5, learn_t=True, norm=kind, bias=True, edge_dim=4)
    norm = nn.BatchNorm1d(5) if kind == "batch" else nn.LayerNorm(5)
    block = {"resplus": "res+", "res": "res", "plain": "plain"}[name.split("_")[1]]
    layer = DeepGCNLayer(conv, norm, nn.ReLU(), block, ckpt_grad=ckpt_grad).double()
    # The files have no running statistics: these start afresh.
    conv.load_state_dict(conv_state(golden.section("param.conv.")), strict=False)
    norm.load_state_dict(golden.section("param.norm."), strict=False)
    assert len(state) == len(list(layer.parameters()))
    x, edge_attr = golden["x"].clone().requires_grad_(), golden["edge_attr"].clone().requires_grad_()
    out = layer(x, golden["edge_index"], edge_attr)
    (out * golden["R"]).sum().backward()

    assert_close(out, golden["out"], "out")
    parameters = dict(layer.named_parameters())
    for key, expected in golden.section("grad.").items():
        owner, _, rest = key.partition(".")
        ours = f"conv.{conv_key(rest)}" if owner == "conv" else key
        tensor = {"x": x, "edge_attr": edge_attr}.get(key)
        assert_close((parameters[ours] if tensor is None else tensor).grad, expected, f"grad.{key}")
