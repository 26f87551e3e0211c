"""From fixed point to blocks and their splits."""
