"""The paper's experiment on all networks."""
