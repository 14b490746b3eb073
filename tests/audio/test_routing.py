from hypothesis import given
from hypothesis import strategies as st

from sirend.audio.routing import columns, pickups
from sirend.config.settings import Approach, AudioConfig, Config

AUDIO = AudioConfig(device="array", channels=4, rate=48_000, stall_s=2.0)


def test_approaches_that_name_no_device_are_heard_by_the_one_there_is() -> None:
    config = Config(audio=AUDIO, approaches=(Approach("north", 3), Approach("south", 1, device="array")))
    (pickup,) = pickups(config)
    assert (pickup.audio, pickup.approaches) == (AUDIO, config.approaches)
    assert columns(config) == [3, 1]


def test_another_device_is_opened_with_the_channels_it_needs_and_shares_the_rest() -> None:
    north, east, south = Approach("north", 3), Approach("east", 1, device="usb:1-1.2"), Approach("south", 0)
    config = Config(audio=AUDIO, approaches=(north, east, south))
    first, second = pickups(config)
    assert (first.audio, first.approaches) == (AUDIO, (north, south))
    assert second.approaches == (east,)
    assert second.audio == AudioConfig(device="usb:1-1.2", channels=2, rate=48_000, stall_s=2.0)
    assert columns(config) == [0, 1, 2]


def test_a_default_that_nobody_listens_to_is_not_opened() -> None:
    config = Config(approaches=(Approach("a", device="x"), Approach("b", device="y")))
    assert [pickup.audio.device for pickup in pickups(config)] == ["x", "y"]


@given(st.lists(st.tuples(st.integers(0, 7), st.sampled_from([None, "x", "y", "default"])), min_size=1, max_size=8))
def test_every_approach_is_heard_once_on_a_channel_that_is_opened(places: list[tuple[int, str | None]]) -> None:
    config = Config(
        audio=AudioConfig(channels=8),
        approaches=tuple(Approach(f"a{i}", channel, device=device) for i, (channel, device) in enumerate(places)),
    )
    found = pickups(config)
    assert sorted(each.name for pickup in found for each in pickup.approaches) == [f"a{i}" for i in range(len(places))]
    assert len({pickup.audio.device for pickup in found}) == len(found)
    for pickup in found:
        assert all(each.channel < pickup.audio.channels for each in pickup.approaches)
        assert all((each.device or "default") == pickup.audio.device for each in pickup.approaches)
