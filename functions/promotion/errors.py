"""The exceptions of the functions, by the names that the state machine catches.

The Lambda runtime reports only the class name, without its base classes. So there is one exception for each decision of
the state machine, not one for each cause:

* PromotionError
  - InvalidRequestError    the event or the settings are invalid           -> Promotion failed
    - InvalidInputError    the input of a manual start is invalid          -> Invalid input
  - PromotionRefusedError  the candidate or the endpoint cannot be used     -> Promotion failed
  - EndpointBusyError      another party is changing the endpoint           -> wait
  - TransientError         AWS reported a transient error                   -> retry a few times
  - ThrottledError         AWS accepts only so many requests a second       -> retry for half an hour
  - UnfinishedError        the function ran out of time                     -> invoke again until done
"""


class PromotionError(Exception):
    """The base class of the application's exceptions; the message is for the operator."""


class InvalidRequestError(PromotionError):
    """The input or the settings are invalid."""


class InvalidInputError(InvalidRequestError):
    """The input of a manual start is invalid; only the person who started the execution needs to know."""


class PromotionRefusedError(PromotionError):
    """The candidate or the endpoint is in a state that does not permit the promotion to continue."""


class EndpointBusyError(PromotionError):
    """Another party is changing the endpoint or removing its superseded resources."""


class TransientError(PromotionError):
    """AWS reported a transient error."""


class ThrottledError(TransientError):
    """AWS accepts only so many requests a second."""


class UnfinishedError(PromotionError):
    """The function ran out of time; the next invocation continues its work."""
