"""One executor per step kind: the only place with effects.

An executor gets a Situation (what the rows said) and a Workbench (what it may use), does at most one external thing
outside any transaction, and returns a StepResult: values to journal, and `write`, which makes the step's rows true
inside the journal's transaction.
"""
