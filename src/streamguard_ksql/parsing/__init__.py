"""SQL text to syntax tree, and back.

The life of a script:

1. `lexer.tokenize` cuts the text into tokens, without caring what they mean.
2. `split.statements_of` groups them into statements, at the semicolons.
3. `driver.parse` offers each statement's tokens to the LALR tables that lark makes of `grammar.lark`; a word that may
   be both a keyword and a name is decided there, by what the parser can take (`keywords.meaning`).
4. `build_clauses.TreeBuilder` makes the nodes of `streamguard_ksql.ast`, bottom up; those of statements are built and
   printed by the modules of `streamguard_ksql.statements`.
5. What cannot go on is explained by `messages.explain`, worded as in ksqlDB.

`streamguard_ksql.parser` is the entry; `streamguard_ksql.formatter` is the inverse.
"""
