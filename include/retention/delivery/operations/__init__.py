"""Operations: what an operator asks of delivery, and the nightly proof."""
