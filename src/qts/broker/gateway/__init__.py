"""The gateway: the only way to a broker. Nothing else calls a broker's ``place``, ``replace`` or ``cancel``."""
