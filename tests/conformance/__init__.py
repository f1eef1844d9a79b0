"""The CWL v1.2 conformance suite through the evaluator, each step in the sandbox: ``python -m tests.conformance``."""
