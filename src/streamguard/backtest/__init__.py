"""What would a change of the rules have done: both rule sets over the same transactions, and where they differ.

1. `prepare.prepare` makes the inputs (`spec.Spec`): side A is what runs, side B the change; which offsets or files are read.
2. `plan.make_plan` leaves out what means the same on both sides.
3. `processes.run_on_topic` starts a process for each partition (`run.Run`); files are read in this one.
4. `run.Run` sends each batch through the engines of both sides and judges what they raise, as the consumer does.
5. `result.result_of` compares the alerts; `result.encode` has the bytes, the same for the same inputs.
6. `store.keep` keeps inputs and result in one statement: a back-test that is killed leaves nothing.

Nothing is imported here: the desk shows back-tests, and needs no engine for that.
"""
