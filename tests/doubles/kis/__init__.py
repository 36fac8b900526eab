"""A double of the Open API of Korea Investment & Securities (KIS): REST and websocket on two loopback ports.

``async with KisDouble(seed=1) as kis`` serves on the loop of the caller, ``with KisThread(seed=1) as kis`` on a
thread of its own, and ``KisProcess`` (:mod:`tests.doubles.kis.process`) or ``python -m tests.doubles.kis`` in a
process of its own. It shares no code with the adapter that it tests. What is doubtful about KIS is a setting
(:class:`Settings`), so that tests can run both ways.

A test that has ``kis`` can::

    kis.clock.jump(timedelta(hours=24))              # time: token and day end, orders expire, trades settle
    kis.market.trade("005930", 70_100, 5, side="5")  # a trade of others; quote, book, halt, start_vi, expect, add
    kis.play(walk(kis.market, "005930", begin=…, end=…, seed=1))  # a whole tape (tests.doubles.kis.tape)
    kis.hold("005930", 100, 65_000)                  # shares; kis.account.cash is the money
    kis.fill(number, 3)                              # with Settings(matching="told"); kis.by_hand places an order
    kis.fault("ack_lost", on="order-cash")           # what goes wrong next (see faults.py), or by chance:
    kis.faults.rates = {"timeout_after": 0.02, "notice_dropped": 0.01}
    kis.during("inquire-balance", lambda: kis.fill(number))       # a fill between question and answer
    kis.sockets.cut(); kis.sockets.mute(); kis.sockets.freeze(); kis.cut_at("09:00"); kis.down()
    kis.books.orders, kis.books.fills, kis.made("order-cash"), kis.notices.sent, kis.sockets.registrations
"""

from tests.doubles.kis.clock import KST, DoubleClock
from tests.doubles.kis.double import KisDouble
from tests.doubles.kis.settings import Settings
from tests.doubles.kis.thread import KisThread

__all__ = ["KST", "DoubleClock", "KisDouble", "KisThread", "Settings"]
