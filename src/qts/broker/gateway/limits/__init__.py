"""The limits of orders that stand at the entry of the gateway and nowhere else: no order passes by them."""
