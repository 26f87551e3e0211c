"""What passes may rely on without knowing the operation."""

from enum import Enum, auto


class Trait(Enum):
    """A property of an operation class."""

    PURE = auto()
    """No effect but its results; may be removed when unused and folded when constant."""
    TERMINATOR = auto()
    """Ends a block."""
    COMMUTATIVE = auto()
    """Its two operands may change places."""
    MOVEMENT = auto()
    """Moves elements without looking at them; takes any element type, quantised ones too."""
    ISOLATED = auto()
    """Its regions use no value from outside."""
