"""The API below `/api/v1`: what the pages do, as JSON for programs.

Each endpoint is a function with the models of what it takes and gives; `document` makes the OpenAPI document of them.
A request carries a personal token (`Authorization: Bearer sgt_...`); cookies do not count here.
"""

from streamguard.desk.api import alerts, document, lists, rules, system

__all__ = ["alerts", "document", "lists", "rules", "system"]
