"""Keyed randomness: a draw depends on its key and on nothing else."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alenv.rng import Stream, keyed_rng

EPISODES = st.integers(0, 2**62 - 1)  # the range that the environment draws from


@given(EPISODES, st.sampled_from(Stream), st.lists(st.integers(0, 1000), max_size=2))
def test_one_key_gives_one_stream(episode, stream, keys):
    first, second = (keyed_rng(episode, stream, *keys).random(4) for _ in range(2))
    np.testing.assert_array_equal(first, second)


@given(EPISODES, EPISODES, st.integers(0, 50))
def test_streams_episodes_and_rounds_differ(a, b, round_):
    def key(episode, *rest):
        return keyed_rng(episode, *rest).random(2).tobytes()

    episodes = {a, b}
    draws = [key(e, stream, round_) for e in episodes for stream in Stream]
    draws += [key(e, Stream.CANDIDATES, round_ + 1) for e in episodes]
    assert len(set(draws)) == len(draws)


@given(EPISODES, st.integers(1, 40), st.integers(1, 40))
def test_item_i_is_item_i_however_many_are_drawn(episode, n, more):
    short = keyed_rng(episode, Stream.CANDIDATES, 3).random(n)
    long = keyed_rng(episode, Stream.CANDIDATES, 3).random(n + more)
    np.testing.assert_array_equal(short, long[:n])


def test_golden_draws():
    """Traces are replayed on other machines and NumPy versions: these numbers must not change."""
    draws = [keyed_rng(7, Stream.INITIAL).random(), keyed_rng(2**61 + 5, Stream.CANDIDATES, 4).random()]
    assert draws == pytest.approx(GOLDEN, abs=0)


def test_streams_keep_their_numbers():
    assert {stream.name: stream.value for stream in Stream} == {
        "INITIAL": 0,
        "CANDIDATES": 1,
        "IMAGES": 3,
        "PASSES": 4,
    }


GOLDEN = [0.625095466604667, 0.11025892740286136]
