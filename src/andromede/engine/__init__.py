"""Operations and reconcilers: everything that takes longer than a request.

An operation is a row: a kind, the step it stands at, a memo, a lease. Workers claim due ones, run one step after the
other, and commit each where the lease is still theirs. A reconciler reads everything again and moves the world one
step towards the rows; it runs on a signal and on a timer, and the timer is the guarantee.
"""
