from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sirend.audio.stream import Samples, to_samples
from sirend.call.arbitration import ArbitrationRules, ArbitrationState, Bid, Leaving, arbitrate, forget
from sirend.config.settings import ArbitrationConfig
from sirend.detect.motion import Motion

HOP = to_samples(0.25)
RULES = ArbitrationRules.of(ArbitrationConfig())
PARALLEL = replace(RULES, is_parallel=True)


def _bid(name: str, *, state: str, level_db: float = -40.0, priority: int = 1, onset: int = 0) -> Bid:
    """Return the bid of an approach that is `deaf`, `hears`, is `ready` or `calls`."""
    return Bid(
        approach=name,
        onset=Samples(onset),
        hears=state != "deaf",
        ready=state == "ready",
        calls=state == "calls",
        level_db=level_db,
        priority=priority,
    )


def _granted(
    *bids: Bid, rules: ArbitrationRules = RULES, state: ArbitrationState | None = None, now: int = 0
) -> set[str]:
    return set(arbitrate(rules, state or ArbitrationState(), Samples(now), bids)[1])


def test_whoever_hears_a_siren_alone_may_call() -> None:
    assert _granted(_bid("north", state="ready"), _bid("south", state="deaf")) == {"north"}
    assert _granted(_bid("north", state="hears"), _bid("south", state="deaf")) == set()


def test_while_a_call_stands_no_other_starts_unless_parallel() -> None:
    bids = (_bid("north", state="calls"), _bid("south", state="ready", level_db=0.0))
    assert _granted(*bids) == set()
    assert _granted(*bids, rules=PARALLEL) == {"north", "south"}


def test_the_loudest_wins_by_the_margin_else_priority_and_then_the_earliest() -> None:
    north = _bid("north", state="ready", level_db=-46.0, onset=100)
    assert _granted(north, _bid("south", state="ready", level_db=-40.0, onset=200)) == {"south"}
    assert _granted(north, _bid("south", state="ready", level_db=-41.0, onset=200)) == {"north"}
    assert _granted(north, _bid("south", state="ready", level_db=-52.0, onset=50)) == {"north"}
    assert _granted(replace(north, priority=2), _bid("south", state="ready", level_db=-46.0, onset=200)) == {"south"}
    assert _granted(north, replace(north, approach="south")) == {"north"}


def test_a_confirmed_siren_waits_for_a_louder_approach_but_not_for_ever() -> None:
    bids = (_bid("north", state="ready", level_db=-60.0), _bid("south", state="hears", level_db=-40.0))
    state = ArbitrationState()
    starts = []
    for i in range(8):
        state, granted = arbitrate(RULES, state, Samples(i * HOP), bids)
        starts.append(set(granted))
    assert starts == [set()] * 4 + [{"north"}] * 4


def test_what_is_earlier_is_told_by_the_common_count() -> None:
    north = _bid("north", state="ready", onset=100)
    south = _bid("south", state="ready", onset=90_000)
    assert _granted(north, south) == {"north"}
    assert _granted(north, replace(south, ahead=-89_950)) == {"south"}
    assert _granted(replace(north, ahead=-60), replace(south, ahead=-89_950)) == {"north"}


def test_the_loss_of_an_input_forgets_what_it_heard_and_whom_its_call_held() -> None:
    names = ("north", "south", "west")
    heard = ArbitrationState(
        waiting=(("south", Samples(5)), ("west", Samples(7))),
        echoes=(("west", Samples(1)),),
        called=Samples(9),
        caller=("north", Samples(0)),
    )
    assert forget(heard, ["north"]) == ArbitrationState()
    assert forget(heard, names) == ArbitrationState()
    assert forget(heard, ["south"]) == replace(heard, waiting=(("west", Samples(7)),))
    assert forget(heard, ["west"]) == replace(heard, waiting=(("south", Samples(5)),), echoes=())


def _after_a_call(hop_s: float, bid: Bid, rules: ArbitrationRules = RULES) -> set[str]:
    """Return who may call ``hop_s`` after the end of a call of north under which ``bid`` was heard."""
    heard = replace(bid, ready=False, motion=Motion.UNKNOWN)
    state, _ = arbitrate(rules, ArbitrationState(), Samples(0), (_bid("north", state="calls"), heard))
    return _granted(_bid("north", state="deaf"), bid, rules=rules, state=state, now=to_samples(hop_s))


def test_the_siren_of_a_call_that_ended_is_not_called_for_another_leg() -> None:
    south = _bid("south", state="ready", onset=77)
    assert _after_a_call(1.0, south) == set()
    assert _after_a_call(9.75, south) == set()
    assert _after_a_call(10.0, south) == {"south"}
    assert _after_a_call(0.25, south, replace(RULES, hold=Samples(0))) == {"south"}


def test_another_siren_than_that_of_the_call_is_no_echo_of_it() -> None:
    north, south = _bid("north", state="calls"), _bid("south", state="ready", onset=77)
    for is_others, granted in ((False, set[str]()), (True, {"south"})):
        state, none = arbitrate(RULES, ArbitrationState(), Samples(0), (replace(north, is_others=is_others), south))
        assert not none
        assert _granted(_bid("north", state="deaf"), south, state=state, now=HOP) == granted


def test_a_siren_that_outlasts_its_call_calls_nowhere_else_until_it_is_gone() -> None:
    south = _bid("south", state="ready", onset=77)
    parked = _bid("north", state="hears", onset=5)
    state, _ = arbitrate(RULES, ArbitrationState(), Samples(0), (replace(parked, calls=True), south))
    for i in range(1, 400):
        state, granted = arbitrate(RULES, state, Samples(i * HOP), (parked, south))
        assert not granted
    gone = _bid("north", state="deaf")
    served = []
    for i in range(400, 500):
        state, granted = arbitrate(RULES, state, Samples(i * HOP), (gone, south))
        served += [i] if granted else []
    assert served[0] == 399 + RULES.hold // HOP


def test_but_one_that_comes_nearer_there_for_a_second_is_another_one() -> None:
    south = _bid("south", state="ready")
    nearer = replace(south, motion=Motion.APPROACHING)
    heard = (_bid("north", state="calls"), replace(south, ready=False))
    begun, _ = arbitrate(RULES, ArbitrationState(), Samples(0), heard)

    def starts(*bids: Bid) -> list[bool]:
        state, found = begun, []
        for number, bid in enumerate(bids, 1):
            state, granted = arbitrate(RULES, state, Samples(number * HOP), (_bid("north", state="deaf"), bid))
            found.append("south" in granted)
        return found

    assert starts(*[nearer] * 6) == [False] * 4 + [True] * 2
    assert starts(*[nearer, nearer, nearer, south] * 3) == [False] * 12  # taken for nearer in some windows


def _after_a_pass(
    seconds: float, level_db: float, north_db: float = -45.0, rules: ArbitrationRules = RULES
) -> set[str]:
    """Return who may call when south confirms a siren so long after north, which called nobody, heard it at -30 dB."""
    loud = (_bid("north", state="hears", level_db=-30.0), _bid("south", state="deaf", level_db=-40.0))
    state, _ = arbitrate(rules, ArbitrationState(), Samples(0), loud)
    now = (_bid("north", state="deaf", level_db=north_db), _bid("south", state="ready", level_db=level_db, onset=9))
    return _granted(*now, rules=rules, state=state, now=to_samples(seconds))


def test_a_siren_that_was_louder_on_another_leg_a_moment_ago_leaves_by_this_one() -> None:
    assert _after_a_pass(2.0, -32.0) == set()
    assert _after_a_pass(7.75, -32.0) == set()
    assert _after_a_pass(2.0, -29.0) == {"south"}  # louder than it ever was there: another vehicle
    assert _after_a_pass(2.0, -32.0, north_db=-34.0) == {"south"}  # north hears it as before
    assert _after_a_pass(2.0, -32.0, rules=replace(RULES, hold=Samples(0))) == {"south"}
    assert _after_a_pass(2.0, -32.0, rules=replace(RULES, is_apart=False)) == {"south"}


def test_a_second_vehicle_waits_for_ten_seconds_at_most_and_less_where_it_comes_nearer() -> None:
    assert _after_a_pass(8.0, -44.0) == {"south"}  # it begins to be heard long after

    def first(motion: Motion, louder_from: int = 99) -> float:
        """Return how many seconds south, which confirms a siren 2 s after north heard one, waits."""
        state = ArbitrationState()
        for number in range(80):
            north = _bid("north", state="hears" if number == 0 else "deaf", level_db=-30.0 if number == 0 else -45.0)
            level_db = -29.0 if number >= louder_from else -40.0
            south = _bid("south", state="ready" if number >= 8 else "deaf", level_db=level_db, onset=9)
            state, granted = arbitrate(RULES, state, Samples(number * HOP), (north, replace(south, motion=motion)))
            if granted:
                return (number - 8) / 4.0
        return float("inf")

    assert first(Motion.UNKNOWN) == 10.0
    assert first(Motion.APPROACHING) == 1.0
    assert first(Motion.UNKNOWN, louder_from=12) == 1.0


def test_the_loss_of_an_input_forgets_how_loud_it_was() -> None:
    state = ArbitrationState(
        peaks=(("north", -30.0, Samples(0)), ("west", -50.0, Samples(0))),
        nearing=(("north", Samples(0)),),
        leaving=(Leaving("south", Samples(9), Samples(9), -30.0),),
    )
    left = forget(state, ["north"])
    assert left.peaks == (("west", -50.0, Samples(0)),)
    assert left.nearing == ()
    assert left.leaving == ()


def test_and_one_that_began_later_is_too() -> None:
    state, _ = arbitrate(RULES, ArbitrationState(), Samples(0), (_bid("north", state="calls"),))
    later = _bid("south", state="ready", onset=100)
    assert _granted(_bid("north", state="deaf"), later, state=state, now=to_samples(1.0)) == {"south"}


bids = st.lists(
    st.builds(
        _bid,
        st.just("leg"),
        state=st.sampled_from(["deaf", "hears", "ready", "ready", "calls"]),
        level_db=st.floats(-120.0, 0.0),
        priority=st.integers(1, 9),
        onset=st.integers(0, 3),
    ),
    min_size=1,
    max_size=5,
).map(lambda found: [replace(bid, approach=f"leg-{i}") for i, bid in enumerate(found)])


@given(st.lists(bids, max_size=30))
def test_never_two_and_never_beside_a_standing_call(stream: list[list[Bid]]) -> None:
    state = ArbitrationState()
    for i, given_bids in enumerate(stream):
        state, granted = arbitrate(RULES, state, Samples(i * HOP), given_bids)
        assert len(granted) <= 1
        assert granted <= {bid.approach for bid in given_bids if bid.ready}
        if any(bid.calls for bid in given_bids):
            assert not granted


@given(bids, st.integers(0, 2**40))
def test_a_ready_approach_is_served_within_settle_and_hold(standing: list[Bid], start: int) -> None:
    quiet = [replace(bid, calls=False, hears=bid.hears and not bid.calls) for bid in standing]
    state = ArbitrationState()
    granted: frozenset[str] = frozenset()
    for i in range(4):
        state, _ = arbitrate(RULES, state, Samples(start + i * HOP), standing)
    for i in range(4, 4 + (RULES.settle + RULES.hold) // HOP + 1):
        state, granted = arbitrate(RULES, state, Samples(start + i * HOP), quiet)
    assert bool(granted) == any(bid.ready for bid in quiet)


@pytest.mark.parametrize("mode", ["first", "parallel"])
def test_the_configuration_is_in_seconds(mode: str) -> None:
    rules = ArbitrationRules.of(ArbitrationConfig(mode=mode, margin_db=3.0, settle_s=0.5, hold_s=2.0))
    assert rules == ArbitrationRules(mode == "parallel", 3.0, Samples(8_000), Samples(32_000))
