"""Chunks are lossless, and each path hears its own axis only."""

import pytest
import torch

from speechbrain_dfkd.models.dptnet import (
    DualPathBlock,
    ImprovedTransformer,
    SequenceNorm,
    join_chunks,
    split_chunks,
)


@pytest.mark.parametrize("length", [1, 4, 5, 6, 10, 11, 99])
@pytest.mark.parametrize("chunk_size", [2, 10])
def test_joined_chunks_are_the_sequence(length, chunk_size):
    x = torch.randn(2, length, 3)
    chunks = split_chunks(x, chunk_size)
    assert chunks.shape[1:] == (2 * length // chunk_size + 3, chunk_size, 3)
    torch.testing.assert_close(join_chunks(chunks, length), x)


def test_chunks_overlap_by_half():
    chunks = split_chunks(torch.arange(1.0, 9).view(1, 8, 1), 4)
    assert chunks[0, 1:4, :, 0].tolist() == [
        [0, 0, 1, 2],
        [1, 2, 3, 4],
        [3, 4, 5, 6],
    ]


def test_zeros_fill_all_of_the_first_chunk():
    chunks = split_chunks(torch.tensor([[[1.0], [2.0], [3.0]]]), 2)
    assert chunks[0, ..., 0].tolist() == [
        *([0, 0], [0, 1], [1, 2], [2, 3], [3, 0], [0, 0])
    ]


def test_join_adds_the_two_chunks_of_a_frame():
    chunks = torch.zeros(1, 7, 4, 1)
    chunks[0, 2] = 2  # frames 0 to 3
    joined = join_chunks(chunks, 8)[0, :, 0]
    assert joined.tolist() == [1, 1, 1, 1, 0, 0, 0, 0]


@pytest.mark.parametrize(
    ("idle", "reached"),
    [("inter", (0, 2)), ("intra", (0, slice(None), 3))],
)
@torch.no_grad()
def test_path_hears_its_own_axis(idle, reached):
    block, chunks = DualPathBlock(4, 2, 3), torch.randn(2, 6, 5, 4)
    setattr(block, idle, torch.nn.Identity())
    changed = chunks.clone()
    changed[0, 2, 3] += 10
    expected = torch.zeros(2, 6, 5, dtype=torch.bool)
    expected[reached] = True
    assert torch.equal((block(chunks) != block(changed)).any(3), expected)


@torch.no_grad()
def test_both_paths_together_hear_the_whole_item():
    block, chunks = DualPathBlock(4, 2, 3), torch.randn(2, 6, 5, 4)
    changed = chunks.clone()
    changed[0, 2, 3] += 10
    moved = (block(chunks) != block(changed)).any(3)
    assert moved[0].all() and not moved[1].any()


def test_sequence_norm_follows_its_definition():
    norm = SequenceNorm(3)
    torch.nn.init.normal_(norm.weight)
    torch.nn.init.normal_(norm.bias)
    x = 2 + torch.randn(2, 7, 3)
    mean = x.mean((1, 2), keepdim=True)
    deviation = x.std((1, 2), correction=0, keepdim=True)
    expected = (x - mean) / deviation * norm.weight + norm.bias
    torch.testing.assert_close(norm(x), expected)
    half = x.bfloat16()
    torch.testing.assert_close(norm(half), norm(half.float()))


def test_layer_is_a_transformer_with_an_lstm():
    layer = ImprovedTransformer(8, heads=2, lstm_units=3)
    attention = torch.nn.MultiheadAttention(8, 2, batch_first=True)
    theirs = {
        "in_proj_weight": layer.attention_in.weight,
        "in_proj_bias": layer.attention_in.bias,
        "out_proj.weight": layer.attention_out.weight,
        "out_proj.bias": layer.attention_out.bias,
    }
    attention.load_state_dict(theirs)
    x = torch.randn(5, 7, 8)
    heard = layer.attention_norm(x + attention(x, x, x)[0])
    expected = layer.norm(heard + layer.project(layer.lstm(heard)[0].relu()))
    torch.testing.assert_close(layer(x), expected)
