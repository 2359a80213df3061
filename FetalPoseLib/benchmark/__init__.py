"""The paper's tables and figures, measured on this implementation. Nothing that estimates a pose imports from here."""
