from hypothesis import given
from hypothesis import strategies as st

from sirend.publish.mqtt.outbox import Message, Outbox


def _event(number: int, deadline: float | None = None) -> Message:
    return Message("event", str(number).encode(), retain=False, deadline=deadline)


def _state(topic: str, payload: str, deadline: float | None = None) -> Message:
    return Message(topic, payload.encode(), retain=True, deadline=deadline)


def _drain(outbox: Outbox, now: float = 0.0) -> list[tuple[str, str]]:
    drained = []
    while (message := outbox.take(now)) is not None:
        drained.append((message.topic, message.payload.decode()))
    return drained


def test_a_connection_begins_with_the_latest_states_in_the_order_asked_for() -> None:
    outbox = Outbox(10)
    for message in (_state("a", "1"), _event(1), _state("b", "1"), _state("a", "2"), _event(2)):
        outbox.put(message)
    outbox.begin(["b", "unknown", "a"], now=0.0)
    assert _drain(outbox) == [("b", "1"), ("a", "2"), ("event", "1"), ("event", "2")]


def test_while_a_connection_stands_everything_goes_out_in_order() -> None:
    outbox = Outbox(10)
    outbox.begin([], now=0.0)
    for message in (_state("a", "1"), _event(1), _state("a", "2"), _event(2)):
        outbox.put(message)
    assert len(outbox) == 4
    assert _drain(outbox) == [("a", "1"), ("event", "1"), ("a", "2"), ("event", "2")]


def test_after_a_connection_the_unacknowledged_events_come_first_and_states_from_memory() -> None:
    outbox = Outbox(10)
    outbox.begin([], now=0.0)
    for message in (_state("a", "1"), _event(3)):
        outbox.put(message)
    outbox.end([_event(1), _state("a", "0"), _event(2)])
    outbox.put(_state("a", "2"))
    assert len(outbox) == 3
    outbox.begin(["a"], now=0.0)
    assert _drain(outbox) == [("a", "2"), ("event", "1"), ("event", "2"), ("event", "3")]


def test_a_stale_state_is_taken_from_the_broker() -> None:
    outbox = Outbox(10)
    outbox.put(_state("a", "approaching", deadline=5.0))
    outbox.begin(["a"], now=5.0)
    assert _drain(outbox, now=5.0) == [("a", "")]
    assert outbox.dropped_expired == 1


def test_what_expired_is_dropped_and_counted() -> None:
    outbox = Outbox(10)
    for message in (_event(1, 5.0), _event(2, 5.1), _event(3), _event(4, 5.0)):
        outbox.put(message)
    assert _drain(outbox, now=5.0) == [("event", "2"), ("event", "3")]
    assert outbox.dropped_expired == 2


def test_the_oldest_make_room_and_are_counted() -> None:
    outbox = Outbox(3)
    for number in range(5):
        outbox.put(_event(number))
    assert outbox.dropped_full == 2
    outbox.end([_event(9)])
    assert outbox.dropped_full == 3
    assert _drain(outbox) == [("event", "2"), ("event", "3"), ("event", "4")]


_steps = st.lists(
    st.one_of(
        st.tuples(st.just("event"), st.integers(0, 20)),
        st.tuples(st.sampled_from(["a", "b"]), st.integers(0, 20)),
        st.tuples(st.sampled_from(["begin", "end", "take"]), st.just(0)),
    ),
    max_size=60,
)


@given(_steps, st.integers(1, 8))
def test_whatever_happens_nothing_stale_goes_out_nothing_is_lost_uncounted_and_order_holds(
    steps: list[tuple[str, int]], capacity: int
) -> None:
    outbox = Outbox(capacity)
    sent: list[Message] = []
    put = 0
    is_open = False
    for now, (what, life) in enumerate(steps):
        if what == "begin" and not is_open:
            outbox.begin(["a", "b"], float(now))
            is_open = True
        elif what in ("begin", "end"):
            outbox.end([])
            is_open = False
        elif what == "take":
            message = outbox.take(float(now))
            if message is not None:
                assert message.deadline is None or message.deadline > now
                sent.append(message)
        else:
            retain = what != "event"
            outbox.put(Message(what, str(now).encode(), retain=retain, deadline=float(now + life)))
            put += not retain
        assert len(outbox) <= capacity + 2  # two topics begin a connection whatever waits
    numbers = [int(message.payload) for message in sent if not message.retain]
    assert numbers == sorted(set(numbers))
    assert put <= len(numbers) + len(outbox) + outbox.dropped_expired + outbox.dropped_full
