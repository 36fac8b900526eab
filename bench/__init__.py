"""Speed, measured as ratios and figures of one run; never asserted by a test."""
