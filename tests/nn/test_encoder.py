from __future__ import annotations

import pytest
import torch
from torch import nn

from graphkit.nn import CategoricalEncoder
from graphkit.nn.encoder import build_encoder, multi_hot


def test_sum_of_tables():
    encoder = CategoricalEncoder([5, 6, 2], 4)
    codes = torch.tensor([[4, 5, 1], [0, 0, 0]])
    tables = [embedding.weight for embedding in encoder.embeddings]
    torch.testing.assert_close(encoder(codes)[0], tables[0][4] + tables[1][5] + tables[2][1])
    assert str(encoder) == "CategoricalEncoder([5, 6, 2], 4)"


def test_reset_is_xavier_uniform():
    encoder = CategoricalEncoder([200], 100)
    bound = (6 / 300) ** 0.5
    before = encoder.embeddings[0].weight.clone()
    encoder.reset_parameters()
    after = encoder.embeddings[0].weight.detach()
    assert not torch.equal(before, after)
    assert after.abs().max() <= bound
    assert after.std().item() == pytest.approx(bound / 3**0.5, rel=0.02)


def test_refuses_what_is_no_code():
    encoder = CategoricalEncoder([5, 6], 4)
    with pytest.raises(ValueError, match="2 columns"):
        encoder(torch.zeros(3, 3, dtype=torch.long))
    with pytest.raises(ValueError, match="integers"):
        encoder(torch.zeros(3, 2))


def test_build_encoder():
    assert isinstance(build_encoder(None, 4), nn.Identity)
    assert build_encoder(3, 4)(torch.ones(2, 3)).shape == (2, 4)
    assert build_encoder(-1, 4)(torch.ones(2, 9)).shape == (2, 4)
    assert build_encoder([3, 3], 4)(torch.zeros(2, 2, dtype=torch.long)).shape == (2, 4)
    assert build_encoder(lambda width: nn.Linear(7, width), 4)(torch.ones(2, 7)).shape == (2, 4)


@pytest.mark.interop
def test_equals_ogb():
    encoders = pytest.importorskip("ogb.graphproppred.mol_encoder")
    theirs = encoders.BondEncoder(8)
    ours = CategoricalEncoder([table.num_embeddings for table in theirs.bond_embedding_list], 8)
    for a, b in zip(ours.embeddings, theirs.bond_embedding_list, strict=True):
        a.load_state_dict(b.state_dict())
    codes = torch.tensor([[0, 5, 1], [4, 1, 0]])
    torch.testing.assert_close(ours(codes), theirs(codes))


@pytest.mark.parametrize("channels", [4, 16])  # lookups, and the product with a multi-hot matrix
def test_both_ways_are_the_sum_of_the_embeddings(channels: int) -> None:
    torch.manual_seed(0)
    encoder = CategoricalEncoder([5, 6, 2], channels).double()
    codes = torch.stack([torch.randint(0, n, (3, 7)) for n in (5, 6, 2)], dim=-1)
    out = encoder(codes)
    expected = sum(table.weight[codes[..., i]] for i, table in enumerate(encoder.embeddings))
    torch.testing.assert_close(out, expected, rtol=1e-14, atol=1e-14)
    weight = torch.randn_like(out)
    gradients = torch.autograd.grad((out * weight).sum(), list(encoder.parameters()))
    others = torch.autograd.grad((expected * weight).sum(), list(encoder.parameters()))
    for ours, theirs in zip(gradients, others, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize(("code", "column"), [(5, 0), (-1, 1), (2, 2)])
def test_a_code_out_of_range_never_reads_another_table(code: int, column: int) -> None:
    encoder = CategoricalEncoder([5, 6, 2], 16)
    codes = torch.zeros(4, 3, dtype=torch.long)
    codes[2, column] = code
    with pytest.raises(ValueError, match=rf"in column {column} \(got {code}\)"):
        encoder(codes)


def test_the_matrix_is_made_once_and_an_edit_is_noticed() -> None:
    codes = torch.tensor([[4, 5, 1], [0, 0, 0]])
    first = multi_hot(codes, (5, 6, 2), torch.float32)
    assert multi_hot(codes, (5, 6, 2), torch.float32) is first
    assert multi_hot(codes, (5, 6, 2), torch.float64).dtype == torch.float64
    assert multi_hot(codes, (6, 6, 2), torch.float32).shape == (2, 14)
    codes[0, 0] = 1
    edited = multi_hot(codes, (5, 6, 2), torch.float32)
    assert edited[0].nonzero().flatten().tolist() == [1, 10, 12]
    codes[1, 2] = 9
    with pytest.raises(ValueError, match="column 2"):
        multi_hot(codes, (5, 6, 2), torch.float32)


def test_inference_and_meta_devices() -> None:
    encoder = CategoricalEncoder([5, 6, 2], 16)
    codes = torch.tensor([[4, 5, 1], [0, 0, 0]])
    with torch.inference_mode():
        inside = encoder(codes)
        assert inside.equal(encoder(codes.clone()))
    out = encoder(codes)  # a matrix remembered in inference mode still trains
    out.sum().backward()
    assert out.equal(inside)
    with torch.device("meta"):
        assert CategoricalEncoder([5, 6, 2], 16).embeddings[0].weight.is_meta
