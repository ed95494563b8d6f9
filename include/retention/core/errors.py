"""Every error this package raises on purpose. A message says what is wrong, where, and what to do.

RetentionError
├── InputError        a person asked for something impossible: wrong day, unknown source, a YAML or SQL file in error
│                     (the command line exits with 2)
├── DataError         a file from the shop cannot be read or is not there
│   └── NotReady      it is not there *yet*: still being written, or not delivered; worth another try
├── ExpectationFailed a critical expectation does not hold: nothing of that day was published
├── StateError        the database is not in the state this step needs: an earlier day is missing, a stage not done
│   └── DayRefused    a day cannot be done: something comes before it, or a later day was done
├── DeliveryError     a provider or the delivery settings make sending impossible
└── Fault             a mistake in this program; a log file holds the traceback
"""


class RetentionError(Exception):
    """Base of all errors raised on purpose."""


class InputError(RetentionError):
    """What a person wrote or asked for is wrong; the message says what to write instead."""


class DataError(RetentionError):
    """A shop's file cannot be used; names the file and the line or row."""


class NotReady(DataError):
    """A shop's file is absent or still being written; trying again later can help."""


class ExpectationFailed(RetentionError):
    """A critical expectation failed; names the rule and the numbers. Nothing was published."""


class StateError(RetentionError):
    """The database is not in the state this step needs; names what has to be done first."""


class DayRefused(StateError):
    """A day cannot be done; says what has to be done first, or that its time has passed. Trying again does not help."""


class DeliveryError(RetentionError):
    """Messages cannot be handed over: provider refusal of us (not of a message), or settings that are missing."""


class Fault(RetentionError):
    """This program does not do what it should; names the log file that shows where."""


FINAL = (InputError, DataError, DayRefused)  # trying the same again cannot mend these; DataError but for NotReady
