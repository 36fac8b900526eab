"""KIS (Korea Investment & Securities): orders, books and prices over its REST calls and websocket.

Needs the extra ``kis``, which is imported only when an adapter is made.
"""
