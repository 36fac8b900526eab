"""The pre-trade gate: no order leaves without an ``Approved``, and only the gate makes one."""
