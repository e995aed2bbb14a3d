"""Statements, a module for each family: to add one is to write it in a module here, and its rule in grammar.lark.

A module declares the node of the syntax tree, how it is built from the rule's parts, how it is printed, and what it
does; the decorators of `registry` make that known to the parser, the formatter, the engine and the server. Every
module beside this one is loaded, none has to be listed.

The nodes that the engine, the runtime or the planner read as well are in `streamguard_ksql.ast`.
"""
