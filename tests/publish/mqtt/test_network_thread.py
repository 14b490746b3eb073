import queue
import socket
import threading

from sirend.publish.mqtt.network_thread import NetworkThread


def test_a_thread_that_waits_is_woken_by_each_wake_and_joined() -> None:
    heard: queue.Queue[bytes] = queue.Queue()

    def run(wake: socket.socket) -> None:
        assert threading.current_thread().name == "talks"
        with wake:
            while heard.qsize() < 2:
                heard.put(wake.recv(1))

    talker = NetworkThread("talks", run)
    assert talker.join(0.0)  # it never began
    talker.start()
    talker.wake()
    talker.wake()
    assert talker.join(60.0)
    assert [heard.get_nowait(), heard.get_nowait()] == [b"\0", b"\0"]
    talker.wake()  # after its end: nobody is woken, and nothing is raised


def test_one_that_does_not_end_is_told_apart_and_a_full_pipe_holds_nobody_up() -> None:
    may_end = threading.Event()

    def run(wake: socket.socket) -> None:
        with wake:
            may_end.wait(60.0)

    talker = NetworkThread("sleeps", run)
    talker.start()
    for _ in range(100_000):
        talker.wake()
    assert not talker.join(0.0)
    may_end.set()
