"""People: who may log in, what each role may do, who is logged in, and what they did.

* `roles`: the table of permissions
* `accounts`: users and their passwords
* `sessions`: logins at the desk
* `audit`: the log of what people did
* `audit_chain`: whether that log is as it was written

Layers above show it: the command line (`streamguard users`) and the desk.
"""
