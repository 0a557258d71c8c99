"""The events of a state in the history of an execution."""

# API reference, HistoryEvent: a state is entered and exited; each attempt of a task is scheduled, started and ended.
EVENTS = {"Choice": 2, "Pass": 2, "Wait": 2, "Task": 5, "Map": 4, "Succeed": 2, "Fail": 1}
EVENTS_OF_A_RETRY = 3
# MapIterationStarted and MapIterationSucceeded.
EVENTS_OF_AN_ITERATION = 2
