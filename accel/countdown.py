"""A counter that knows in a register whether the step at hand is the last."""

from amaranth.hdl import Module, Mux, Shape, Signal, Value


class Countdown:
    """Counts down what is left, a step at a time.

    What it keeps is what will be left after the step at hand, less 1. That is below 0 exactly when nothing will be,
    so the sign bit tells the last step; to compare what is left would put a carry chain between the register and
    all that waits for the end.

    It has no reset: `load` comes before all else.

    Parameters
    ----------
    name
        Prefix of its registers' names.
    high
        Largest count.
    step
        What a step takes away; the last one may find less.
    """

    def __init__(self, name: str, high: int, step: int) -> None:
        self.step = step
        #: What will be left after the step at hand, less 1.
        self.rest = Signal(
            Shape.cast(range(-step, max(0, high - step))), name=f"{name}_rest", reset_less=True
        )
        self._again = Signal.like(self.rest, name=f"{name}_again")
        #: Whether the step at hand is the last: a register.
        self.last: Value = self.rest[-1]

    def load(self, m: Module, count: Value) -> None:
        """Start from a count of 1 or more, to which `wrap` goes back."""
        self.start(m, count - (self.step + 1))

    def skip(self, m: Module, count: Value) -> None:
        """After `load` of a count that has a second step: start with that one."""
        m.d.sync += self.rest.eq(count - (2 * self.step + 1))

    def start(self, m: Module, rest: Value) -> None:
        """Start from what will be left after the first step, less 1."""
        m.d.sync += [self.rest.eq(rest), self._again.eq(rest)]

    def advance(self, m: Module, when: Value | int = 1) -> None:
        """Take a step.

        Parameters
        ----------
        m
            The module, in whose condition it is taken.
        when
            A further condition, known early: it makes what is taken away 0, so it is in the way of nothing.
        """
        m.d.sync += self.rest.eq(self.rest - Mux(when, self.step, 0))

    def wrap(self, m: Module) -> None:
        """Take a step; with the last one, start again."""
        m.d.sync += self.rest.eq(Mux(self.last, self._again, self.rest - self.step))
