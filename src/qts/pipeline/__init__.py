"""The one decision path: Extract → Transform → Evaluate → Decide → Act (ETEDA).

The order is fixed and no step can be skipped: each stage takes the value only the stage before it makes.
"""
