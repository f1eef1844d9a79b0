"""The local HTTP interface of a node: what can be asked (schema, services), the server, and the typed client."""
