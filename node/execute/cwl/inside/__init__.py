"""What runs in the evaluator's sandbox. It has no file but its own program, and asks the node for every other one."""
