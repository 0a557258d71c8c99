"""What can go wrong, by the name the state machine knows it.

The Lambda runtime reports the bare class name and no inheritance, so there is one exception for each
decision the state machine makes, not one for each cause:

* PromotionError
  - InvalidRequestError    the input or the settings can never work      -> Promotion failed
  - PromotionRefusedError  the candidate or the endpoint must not be used -> Promotion failed
  - EndpointBusyError      someone else is changing the endpoint          -> waited for
  - TransientError          AWS asks for another try                       -> retried, a few times
  - UnfinishedError        time is over before the work is                -> called again, until it is done
"""


class PromotionError(Exception):
    """Everything this application raises on purpose; its message is for the operator."""


class InvalidRequestError(PromotionError):
    """The input or the settings can never work."""


class PromotionRefusedError(PromotionError):
    """The candidate or the endpoint is in a state in which the promotion must not go on."""


class EndpointBusyError(PromotionError):
    """The endpoint is being changed by someone else, or what is superseded on it is being removed."""


class TransientError(PromotionError):
    """AWS asks for another try."""


class UnfinishedError(PromotionError):
    """The function's time is over before its work is; the next call goes on with what is left."""
