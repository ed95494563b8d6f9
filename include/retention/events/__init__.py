"""What providers and customers tell us. Stored as it comes, applied in sets; an opt-out at once."""

from retention.events.applying import apply

__all__ = ["apply"]
