"""The strategy contract, loading and memory of strategies, and four that come with the package."""
